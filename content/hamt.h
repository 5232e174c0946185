/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hamt -- directories too large for one block: a trie over the murmur3 hash of entries' names.
 *
 * Source: UnixFS specification, HAMT-sharded directories. h is the first half of
 * murmur3-x64-128(name, seed 0), taken as eight big-endian bytes, log2(fanout) bits a level from
 * the most significant down. A link's name is the slot in upper-case hex, then the entry's name;
 * nothing behind the slot: a sub-shard. Depth: as many levels as the hash has bits for.
 */
#ifndef COLMEIA_CONTENT_HAMT_H
#define COLMEIA_CONTENT_HAMT_H

#include "content/block_source.h"
#include "content/unixfs_node.h"

struct hamt_entry {
    struct bytes name;
    struct cid cid;
    uint64_t total_bytes;
};

uint64_t hamt_hash(struct bytes name);

/* Writes the shards of `count` entries (names all different; the array is reordered), children
 * before parents, through `put`. */
int hamt_build(struct hamt_entry *entries, size_t count, uint32_t fanout, unsigned cid_version,
               int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err),
               void *self, struct unixfs_child *root, struct err *err) MUST_USE;

/* The entry called `name` below the shard whose block is `block`. `visit` (may be NULL) gets every
 * further shard on the way, but for identity CIDs. ERR_NOTFOUND. */
int hamt_find(const struct block_source *source, struct bytes block, struct bytes name,
              int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err),
              void *self, struct cid *out, struct err *err) MUST_USE;

/* Every entry, in the order of the shards; `visit` as above. A shard met twice on one way down, or
 * a name in a slot where its hash does not lead, is ERR_MALFORMED. */
int hamt_each(const struct block_source *source, struct bytes block,
              int (*each)(void *self, const struct hamt_entry *entry, struct err *err),
              int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err),
              void *self, struct err *err) MUST_USE;

#endif
