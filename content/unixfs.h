/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixfs -- files as trees of blocks under the profile unixfs-v1-2025 (IPIP-499): CIDv1, sha2-256,
 * raw leaves of 1 MiB, balanced, at most 1,024 links a node. `ipfs add` of the same bytes under
 * that profile gives the same root.
 *
 * A tree is built from leaf digests in order, in memory of O(depth * 1,024 links); nodes are handed
 * out as they are complete. A file of one leaf has no node: its root is the leaf. Reading walks
 * from the root and hands out leaves in order, with the checks that make the file's size
 * trustworthy.
 */
#ifndef COLMEIA_CONTENT_UNIXFS_H
#define COLMEIA_CONTENT_UNIXFS_H

#include "content/dagpb.h"

#define UNIXFS_LEAF_BYTES (1u << 20)
#define UNIXFS_LINKS      1024
#define UNIXFS_DEPTH_MAX  64

/* --- building --- */

struct unixfs_builder;

/* `put` is called for every inner node when it is complete (children before parents); NULL to
 * compute the root only. */
int unixfs_builder_new(int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct unixfs_builder **out, struct err *err) MUST_USE;
/* The next leaf, UNIXFS_LEAF_BYTES long unless it is the last. */
int unixfs_builder_add(struct unixfs_builder *b, const uint8_t digest[HASH_BYTES], uint64_t size,
                       struct err *err) MUST_USE;
/* The root; a file without leaves is the empty raw block. */
int unixfs_builder_finish(struct unixfs_builder *b, struct cid *root, struct err *err) MUST_USE;
void unixfs_builder_free(struct unixfs_builder *b);

/* Hashes a file as it would be imported, on all cores of `jobs` (a struct jobs; NULL: this thread
 * alone). */
struct jobs;
struct files;
int unixfs_hash_file(const struct files *f, const char *path, struct jobs *jobs, struct cid *root,
                     uint64_t *size, struct err *err) MUST_USE;

/* --- reading --- */

struct unixfs_leaf {
    struct cid cid;
    uint64_t offset; /* in the file */
    uint64_t size;
};

/* Where nodes come from: must hand out verified bytes (cleared buffer). */
struct unixfs_source {
    void *self;
    int (*get)(void *self, const struct cid *cid, struct buf *out, struct err *err);
};

/* Calls `leaf` for every leaf of the file `root` in order; leaves themselves are not fetched,
 * dag-pb leaves are refused. ERR_LIMIT if the file is larger than `max_bytes` (known from the root)
 * or deeper than UNIXFS_DEPTH_MAX; ERR_MALFORMED if sizes disagree. `size` (may be NULL) is filled
 * before the first leaf. */
int unixfs_walk(const struct unixfs_source *source, const struct cid *root, uint64_t max_bytes,
                uint64_t *size,
                int (*leaf)(void *self, const struct unixfs_leaf *leaf, struct err *err),
                void *self, struct err *err) MUST_USE;

#endif
