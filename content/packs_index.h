/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packs_index -- what is known of a pack's blocks: entries in memory (packs_entries.c), the index
 * file (packs_index.c), and the CAR file itself (packs_car.c). For packs*.c alone.
 *
 * A lookup in an index file guesses where the digest stands, since digests are evenly spread, and
 * reads a page there: twice in most cases, whatever the index's size.
 */
#ifndef COLMEIA_CONTENT_PACKS_INDEX_H
#define COLMEIA_CONTENT_PACKS_INDEX_H

#include "base/cid.h"
#include "base/files.h"

#define PACKS_ENTRY_V0     0x80000000u
#define PACKS_ENTRY_UNDONE 0x40000000u /* in memory only: its bytes are not written yet */

struct packs_entry {
    uint8_t digest[HASH_BYTES];
    uint64_t offset;
    uint32_t size;
    uint32_t codec; /* and PACKS_ENTRY_V0 */
};

struct packs_entries { /* all zero: empty */
    size_t count, capacity;
    struct packs_entry *entries;
};

/* --- entries (packs_entries.c) --- */

struct cid packs_entries_cid(const struct packs_entry *e);
int packs_entries_add(struct packs_entries *list, const struct packs_entry *e,
                      struct err *err) MUST_USE;
void packs_entries_fini(struct packs_entries *list);
void packs_entries_by_offset(struct packs_entries *list);
/* Sorts, and drops all but the last written of equal digests. */
void packs_entries_sort(struct packs_entries *list);
/* The entry of `digest` in a list sorted by digest. */
bool packs_entries_find(const struct packs_entry *entries, size_t count,
                        const uint8_t digest[HASH_BYTES], struct packs_entry *out);

/* --- index files (packs_index.c) --- */

/* Sorts `list` and writes it whole or not at all, unsynced. */
int packs_index_save(const struct files *f, const char *path, struct packs_entries *list,
                     struct err *err) MUST_USE;

/* Says in memory of most digests that are not in an index that they are not: one to two bytes a
 * block (a Bloom filter). */
struct packs_filter {
    uint32_t bits; /* a power of two */
    uint8_t *set;  /* owned; NULL: everything may be there */
};

int packs_index_filter_new(uint64_t count, struct packs_filter *out, struct err *err) MUST_USE;
void packs_index_filter_add(struct packs_filter *filter, const uint8_t digest[HASH_BYTES]);
bool packs_index_filter_may_have(const struct packs_filter *filter,
                                 const uint8_t digest[HASH_BYTES]);

/* ERR_CORRUPT unless the checksum is right. Makes the filter, the caller's to free. */
int packs_index_check(const struct files *f, int fd, uint64_t *count, struct packs_filter *filter,
                      struct err *err) MUST_USE;
int packs_index_load(const struct files *f, int fd, uint64_t count, struct packs_entries *out,
                     struct err *err) MUST_USE;
/* ERR_NOTFOUND without a sentence. */
int packs_index_find(const struct files *f, int fd, uint64_t count,
                     const uint8_t digest[HASH_BYTES], struct packs_entry *out,
                     struct err *err) MUST_USE;

/* --- CAR files (packs_car.c) --- */

/* The sections of a CAR without roots, up to the first that is not whole (`hash`: nor what its CID
 * says); `end` is where that one begins, 0 if there is not even a header. */
int packs_car_scan(const struct files *f, int fd, bool hash, struct packs_entries *out,
                   uint64_t *end, struct err *err) MUST_USE;
/* Appends one section at `offset`. */
int packs_car_write(const struct files *f, int fd, uint64_t offset, const struct cid *cid,
                    struct bytes block, struct err *err) MUST_USE;

#endif
