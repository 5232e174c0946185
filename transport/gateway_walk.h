/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_walk -- the blocks of a DAG one at a time, for answers that are made while they are sent.
 *
 * Depth first, a parent before its children, in the order of links, as dag_walk and
 * unixfs_walk_range do; but the caller pulls, and nothing is held between two pulls but the links
 * that are still to come (at most GATEWAY_WALK_BYTES_MAX) and, without duplicates, the names of
 * blocks already given. Raw leaves are named, not read. Every block that is read is hashed.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_WALK_H
#define COLMEIA_TRANSPORT_GATEWAY_WALK_H

#include "content/block_source.h"
#include "transport/gateway_want.h"

#define GATEWAY_WALK_BYTES_MAX (32u << 20) /* a link takes about 55 */
#define GATEWAY_WALK_SEEN_MAX  (1u << 20)  /* blocks a walk without duplicates remembers */

struct gateway_walk_config {
    const struct block_source *source;
    struct cid root;
    enum gateway_scope scope;
    uint64_t from, to; /* of a file, with scope entity: its bytes `from` to `to` - 1 */
    bool dups;
};

struct gateway_walk_item {
    struct cid cid;
    bool loaded;        /* its bytes were needed to go on: `block` */
    struct bytes block; /* valid until the next call */
    /* Of a file, with scope entity: which of its bytes are in this block, cut to the range. A raw
     * leaf's are `size` bytes from `skip` on, of the `leaf_bytes` that its parent says it has; a
     * node's lie in `data`. */
    uint64_t skip, size, leaf_bytes;
    struct bytes data;
};

struct gateway_walk;

int gateway_walk_new(const struct gateway_walk_config *c, struct gateway_walk **out,
                     struct err *err) MUST_USE;
/* For a block that the caller gives itself. 1: it was given already; 0: it was not, and, without
 * duplicates, will not come any more. */
int gateway_walk_pass_over(struct gateway_walk *w, const struct cid *cid, struct err *err) MUST_USE;
/* 1: an item; 0: that was all. ERR_NOTFOUND: a block is missing; ERR_MALFORMED, ERR_LIMIT... */
int gateway_walk_next(struct gateway_walk *w, struct gateway_walk_item *out,
                      struct err *err) MUST_USE;
void gateway_walk_free(struct gateway_walk *w); /* NULL is fine */

#endif
