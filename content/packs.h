/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packs -- many blocks in few files: what `add`, `get --from` and `car import` bring into a store.
 *
 *     ROOT/packs/NAME.car     CARv1 without roots: sections in order of arrival; any CAR reader
 *                             opens it
 *     ROOT/packs/NAME.index   where each block lies: entries sorted by digest
 *     ROOT/packs/NAME.part    one being written (locked while it is), or left by a killed process
 *     ROOT/packs/NAME.ref     instead of a .car: a file elsewhere whose chunks are the blocks
 *                             (path, size, mtime), for `add --nocopy`
 *
 * NAME is 16 random hex digits. A pack is sealed, and then never changed, at PACKS_BLOCKS_MAX
 * blocks or PACKS_BYTES_MAX, so that writing takes memory that does not grow with what is written.
 * Looking a digest up reads a page or two of an index by interpolation (digests are evenly spread);
 * indexes are not held in memory. Blocks are found by digest whatever their codec, as in other
 * stores; only sha2-256 goes into packs. Any thread may call.
 *
 * What a crash leaves: a .part is taken up when a writer opens the packs next and nobody holds its
 * lock: sections are hashed up to the first that is not whole, the rest is cut, and it is sealed,
 * so that an interrupted transfer goes on from there. An index without its .car is removed, a .car
 * without its index gets a new one. Not synced until packs_batch_finish says so: after a power
 * failure blocks may be damaged, which reading notices.
 */
#ifndef COLMEIA_CONTENT_PACKS_H
#define COLMEIA_CONTENT_PACKS_H

#include "base/cid.h"
#include "base/files.h"
#include "content/block_source.h"

#define PACKS_BLOCKS_MAX  65536
#define PACKS_BYTES_MAX   (4ull << 30)
#define PACKS_SMALL       16         /* a batch of so few blocks ... */
#define PACKS_SMALL_BYTES (2u << 20) /* ... and bytes goes to `single`: no pack of its own */

struct packs;

/* `write`: makes the folder, takes up what was left. Else only reads, and a folder that is not
 * there has no packs. */
int packs_open(const struct files *f, const char *folder, bool write, struct packs **out,
               struct err *err) MUST_USE;
void packs_close(struct packs *p); /* NULL is fine */

struct packs_place {
    int fd; /* a real descriptor of the pack's file, the caller's to close */
    uint64_t offset;
    uint32_t size;
    bool reference; /* bytes of a file that others may change: to be hashed before they are used */
};

/* What looks a digest up returns 0, ERR_NOTFOUND without a sentence if it is nowhere, or the first
 * other failure: with an index that cannot be read it is not known whether the block is here.
 * What was not found is looked for again, a few times, as long as the folder changes; what cannot
 * be read is looked for elsewhere. */
int packs_has(struct packs *p, const uint8_t digest[HASH_BYTES], struct err *err) MUST_USE;
/* Appends the block's bytes, unhashed (a reference's hashed), to `out`; `where` says file and
 * offset for a sentence. */
int packs_read(struct packs *p, const uint8_t digest[HASH_BYTES], struct buf *out,
               char where[FILES_PATH_MAX], struct err *err) MUST_USE;
/* The same hashed: a damaged one is passed over for a whole one elsewhere; ERR_CORRUPT names the
 * first damaged. */
int packs_get(struct packs *p, const uint8_t digest[HASH_BYTES], struct buf *out,
              char where[FILES_PATH_MAX], struct err *err) MUST_USE;
/* Is the block in a sealed pack, and no reference, with exactly these bytes? What is not known
 * counts as no: it is written again. */
bool packs_has_whole(struct packs *p, const uint8_t digest[HASH_BYTES], struct bytes block);
/* Makes durable what holds the block, unless this process did so before. */
int packs_sync(struct packs *p, const uint8_t digest[HASH_BYTES], struct err *err) MUST_USE;
/* Where it lies, for sendfile. */
int packs_find(struct packs *p, const uint8_t digest[HASH_BYTES], struct packs_place *out,
               struct err *err) MUST_USE;

/* --- writing --- */

struct packs_batch; /* blocks that come in together; any thread may put */

/* `single` stores one block by itself: where a batch that stayed small ends up; NULL: in a pack. */
int packs_batch_new(struct packs *p,
                    int (*single)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                    void *self, struct packs_batch **out, struct err *err) MUST_USE;
/* The caller has hashed the block. One that is there already with these bytes, but not in a file
 * elsewhere, is not written again, unless `replace`. ERR_UNSUPPORTED if it is not sha2-256. */
int packs_batch_put(struct packs_batch *b, const struct cid *cid, struct bytes block, bool replace,
                    struct err *err) MUST_USE;
/* Chunks of the file at the absolute `path`, already hashed, raw: `count` of them, one behind the
 * other from offset 0, each `chunk_bytes` long but the last. */
int packs_batch_reference(struct packs_batch *b, const char *path, uint64_t file_bytes,
                          uint32_t chunk_bytes, const uint8_t (*digests)[HASH_BYTES], size_t count,
                          struct err *err) MUST_USE;
/* Seals. `sync`: durable when it returns, also what was there before. Frees `b` on success. */
int packs_batch_finish(struct packs_batch *b, bool sync, struct err *err) MUST_USE;
/* What was put stays, unsynced. NULL is fine. */
void packs_batch_free(struct packs_batch *b);

/* --- the whole --- */

struct packs_stat {
    uint64_t packs, blocks, bytes, references;
    uint64_t damaged; /* packs and references that could not be looked into: not in the rest */
    struct err first_damaged;
};

int packs_stat(struct packs *p, struct packs_stat *out, struct err *err) MUST_USE;
/* Every sealed pack's blocks, in the order of the files; the CID as it was put. The place's
 * descriptor is not the callee's to close; -1: the file elsewhere is gone. A pack that cannot be
 * looked into goes to `damaged`, and the rest goes on; NULL: it is the end. */
typedef int packs_each_block(void *self, const struct cid *cid, const struct packs_place *place,
                             const char *where, struct err *err);
typedef int packs_each_damaged(void *self, const char *where, const struct err *why,
                               struct err *err);
int packs_each(struct packs *p, packs_each_block *each, packs_each_damaged *damaged, void *self,
               struct err *err) MUST_USE;

struct packs_swept {
    uint64_t blocks, bytes; /* that went */
    uint64_t damaged; /* of them those that were to be kept, but were not what their CID says */
};

/* Keeps the blocks for which `keep` says so, removes or rewrites (hashing) the packs that hold
 * others; adds what went to `out`. A reference pack goes when none of its blocks is kept, or its
 * index is damaged. Nothing goes if any other index cannot be read. Nobody else may have the packs
 * open. */
int packs_sweep(struct packs *p, bool (*keep)(void *self, const uint8_t digest[HASH_BYTES]),
                void *self, struct packs_swept *out, struct err *err) MUST_USE;

#endif
