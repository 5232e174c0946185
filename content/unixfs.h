/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixfs -- files as balanced trees of blocks, by a profile's parameters (IPIP-499).
 *
 * `unixfs-v1-2025`: CIDv1, raw leaves of 1 MiB, at most 1,024 links a node. `unixfs-v0-2015`:
 * CIDv0, dag-pb leaves of 256 KiB, 174 links. `ipfs add` of the same bytes by the same profile
 * gives the same root.
 *
 * A tree is built from leaves in order, in memory of O(depth * links a node); nodes are handed out
 * as they are complete. A file of one leaf has no node: its root is the leaf.
 */
#ifndef COLMEIA_CONTENT_UNIXFS_H
#define COLMEIA_CONTENT_UNIXFS_H

#include "content/block_source.h"
#include "content/unixfs_node.h"

#define UNIXFS_LEAF_BYTES (1u << 20) /* of the profile that studies use */
#define UNIXFS_LINKS      1024
#define UNIXFS_DEPTH_MAX  64

#define UNIXFS_CHUNK_BYTES_MAX ((2u << 20) - 256) /* with its envelope a block that others read */
#define UNIXFS_LINKS_MAX       8192 /* a node's, written: 8,192 links fit in a block */

struct unixfs_profile {
    const char *name;
    uint32_t chunk_bytes; /* of a leaf, but the last */
    uint32_t links_max;   /* a file's node */
    unsigned cid_version; /* of dag-pb blocks */
    bool raw_leaves;      /* always CIDv1 */
    /* A directory is a HAMT once it is larger than this ... */
    uint32_t directory_bytes_max;
    bool directory_by_block; /* ... in bytes of its block; false: of its links' names and CIDs */
    uint32_t fanout;
};

extern const struct unixfs_profile unixfs_v1_2025, unixfs_v0_2015;

/* By name (or Kubo's old names for them); NULL if there is none. */
const struct unixfs_profile *unixfs_profile_find(const char *name);
/* ERR_USAGE names the parameter that is out of range or does not go with another. */
int unixfs_profile_check(const struct unixfs_profile *p, struct err *err) MUST_USE;

/* --- building --- */

struct unixfs_builder;

/* `put` is called for every inner node when it is complete (children before parents); NULL to
 * compute the root only. `profile` must outlive the builder. */
int unixfs_builder_new(const struct unixfs_profile *profile,
                       int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct unixfs_builder **out, struct err *err) MUST_USE;
/* The next leaf of a profile with raw leaves, by its digest; chunk_bytes long unless it is the
 * last. */
int unixfs_builder_add(struct unixfs_builder *b, const uint8_t digest[HASH_BYTES], uint64_t size,
                       struct err *err) MUST_USE;
/* The next leaf of any profile. */
int unixfs_builder_add_leaf(struct unixfs_builder *b, const struct unixfs_child *leaf,
                            struct err *err) MUST_USE;
/* The root; a file without leaves is the profile's empty leaf (whose block `put` gets if it is
 * dag-pb). */
int unixfs_builder_finish(struct unixfs_builder *b, struct unixfs_child *root,
                          struct err *err) MUST_USE;
void unixfs_builder_free(struct unixfs_builder *b);

/* A profile's CID for a dag-pb block with that digest. */
struct cid unixfs_profile_cid(const struct unixfs_profile *p, const uint8_t digest[HASH_BYTES]);

/* Hashes a file as it would be imported by unixfs-v1-2025, on all cores of `jobs` (a struct jobs;
 * NULL: this thread alone). */
struct jobs;
struct files;
int unixfs_hash_file(const struct files *f, const char *path, struct jobs *jobs, struct cid *root,
                     uint64_t *size, struct err *err) MUST_USE;

#endif
