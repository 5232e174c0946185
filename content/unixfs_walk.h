/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixfs_walk -- reads a file's tree from the root, in order, with the checks that make its size
 * trustworthy.
 *
 * Balanced and trickle trees, raw and dag-pb leaves, CIDv0 and v1, bytes inside inner nodes and
 * inside identity CIDs. Raw leaves are named, not fetched (but a root that is one, whose size
 * nobody else says). A child whose node says another size than its parent did is refused, and so is
 * a tree deeper than UNIXFS_DEPTH_MAX. What lies outside the range is not entered, nor is a child
 * of no bytes: so every block that is entered holds at least one byte of the range, and a walk ends
 * whatever the source hands out. Memory: the links of one node a level, one block.
 */
#ifndef COLMEIA_CONTENT_UNIXFS_WALK_H
#define COLMEIA_CONTENT_UNIXFS_WALK_H

#include "content/unixfs.h"

struct unixfs_leaf {
    struct cid cid;
    uint64_t offset; /* in the file */
    uint64_t size;
};

/* Any member but `self` may be NULL. An error ends the walk. */
struct unixfs_visitor {
    void *self;
    /* The file's size, once, before anything else is called. */
    int (*begin)(void *self, uint64_t file_bytes, struct err *err);
    /* Each dag-pb block that is entered, before its children; its CID may be an identity. */
    int (*node)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    /* A raw leaf that overlaps the range: all of it. */
    int (*leaf)(void *self, const struct unixfs_leaf *leaf, struct err *err);
    /* Bytes inside a dag-pb node or an identity CID that overlap the range, cut to it. NULL: such
     * files are ERR_UNSUPPORTED. */
    int (*data)(void *self, uint64_t offset, struct bytes data, struct err *err);
};

/* Visits bytes `from`..`to` - 1 of the file `root` (`to` may lie behind its end). ERR_UNSUPPORTED
 * `is a directory` for what is no file. A root that is an empty raw block gets no visit but
 * `begin`. */
int unixfs_walk_range(const struct block_source *source, const struct cid *root, uint64_t from,
                      uint64_t to, const struct unixfs_visitor *v, struct err *err) MUST_USE;

/* A whole file of raw leaves, such as a model: calls `leaf` for every leaf in order. ERR_LIMIT if
 * the file is larger than `max_bytes`; `size` (may be NULL) is filled before the first leaf. */
int unixfs_walk(const struct block_source *source, const struct cid *root, uint64_t max_bytes,
                uint64_t *size,
                int (*leaf)(void *self, const struct unixfs_leaf *leaf, struct err *err),
                void *self, struct err *err) MUST_USE;

/* Reads bytes `from`..`to` - 1, each block verified by the source, and hands them to `write` in
 * order. */
int unixfs_walk_read(const struct block_source *source, const struct cid *root, uint64_t from,
                     uint64_t to, int (*write)(void *self, struct bytes piece, struct err *err),
                     void *self, struct err *err) MUST_USE;

#endif
