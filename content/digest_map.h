/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest_map -- where a block lies in a file, by its SHA-256: open addressing.
 *
 * 56 bytes a block. A digest in a link belongs to no block that anybody ever hashed, so a peer may
 * choose all its bits: where in the table a digest begins is hashed again, under a random key that
 * no one else knows and that is another for each table. Not locked.
 */
#ifndef COLMEIA_CONTENT_DIGEST_MAP_H
#define COLMEIA_CONTENT_DIGEST_MAP_H

#include "base/hash.h"

struct digest_place {
    uint64_t offset;
    uint32_t size;
    uint32_t file; /* the owner's number of the file; 0 where there is one only */
};

enum digest_state {
    DIGEST_FREE,
    DIGEST_USED,
    DIGEST_REMOVED
};

struct digest_entry {
    uint8_t digest[HASH_BYTES];
    struct digest_place place;
    uint8_t state;
};

struct digest_map { /* all zero: empty */
    size_t count, filled, capacity;
    struct digest_entry *entries;
    uint64_t key[6]; /* random, drawn with the first `entries` */
};

/* Adds or replaces. */
int digest_map_put(struct digest_map *m, const uint8_t digest[HASH_BYTES],
                   const struct digest_place *place, struct err *err) MUST_USE;
bool digest_map_get(const struct digest_map *m, const uint8_t digest[HASH_BYTES],
                    struct digest_place *out);
void digest_map_remove(struct digest_map *m, const uint8_t digest[HASH_BYTES]);
/* How many entries a search for it looks at: for tests. */
size_t digest_map_probes(const struct digest_map *m, const uint8_t digest[HASH_BYTES]);
void digest_map_fini(struct digest_map *m);

#endif
