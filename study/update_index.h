/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update_index -- which block holds which shard: dag-cbor {codec, count, layout, shards: [CID or
 * null]}.
 *
 * A list of more than 1,024 items is replaced by the list of links to blocks that each hold a bare
 * array of 1,024 consecutive items (the last shorter), again while it is longer than 1,024; `count`
 * tells the depth.
 */
#ifndef COLMEIA_STUDY_UPDATE_INDEX_H
#define COLMEIA_STUDY_UPDATE_INDEX_H

#include "base/cbor.h"

#define UPDATE_INDEX_LIST      1024
#define UPDATE_INDEX_COUNT_MAX (1u << 24) /* shards */
#define UPDATE_INDEX_ANY       SIZE_MAX   /* as expected_count: what our own index says */

struct update_index {
    char codec[16];
    struct cid layout;
    size_t count;
    struct cid *shards; /* (count) owned; none for null */
};

/* Calls `put` for each block, lists first, the index last; `root` is its CID. ERR_LIMIT past
 * UPDATE_INDEX_COUNT_MAX. */
int update_index_write(const struct update_index *x,
                       int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct cid *root, struct err *err) MUST_USE;

struct update_index_source {
    void *self;
    /* Verified block into `out` (cleared first). ERR_NOTFOUND is passed on, after `missing` (may be
     * NULL; its `self` is this one) was told. */
    int (*get)(void *self, const struct cid *cid, struct buf *out, struct err *err);
};

/* Reads it whole. ERR_LIMIT if count is not `expected_count` before anything of that size is
 * allocated. If list blocks are absent: ERR_NOTFOUND, and `missing` was called for each absent one
 * (the index's own, or every absent list block whose name is known). ERR_MALFORMED: not the form
 * above, or a shard that is not named by a raw sha2-256 CIDv1. */
int update_index_read(const struct update_index_source *source, const struct cid *root,
                      size_t expected_count, void (*missing)(void *self, const struct cid *cid),
                      struct update_index *out, struct err *err) MUST_USE;
void update_index_fini(struct update_index *x);

/* Shards first .. first + n - 1 alone into `out` (n), by reading the index and the one or two list
 * blocks they stand in: what a window of combine needs, in memory that does not grow with the
 * model. The index must have the codec, layout and count of `expected` (its `shards` is not looked
 * at): ERR_MALFORMED. */
int update_index_read_range(const struct update_index_source *source, const struct cid *root,
                            const struct update_index *expected, size_t first, size_t n,
                            struct cid *out, struct err *err) MUST_USE;

/* Calls `each` for the index and its list blocks (not the shards), for retention and verify. */
int update_index_blocks(const struct update_index_source *source, const struct cid *root,
                        int (*each)(void *self, const struct cid *cid, struct err *err), void *self,
                        struct err *err) MUST_USE;

#endif
