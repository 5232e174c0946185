/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dagpb -- dag-pb nodes: links with names and sizes, and bytes.
 *
 * Source: IPLD dag-pb specification. Links (0x12), then data (0x0a), in each link Hash, Name, Tsize
 * in that order, shortest varints, nothing else. Written with a Name in every link, empty where it
 * has none, as Kubo does; read with Name or Tsize absent too, and with the data before the links,
 * as other readers do (never between them). A refusal says the offset.
 */
#ifndef COLMEIA_CONTENT_DAGPB_H
#define COLMEIA_CONTENT_DAGPB_H

#include "base/cid.h"

#define DAGPB_LINKS_MAX 65536 /* counted before anything is allocated */

struct dagpb_link {
    struct cid cid;
    struct bytes name; /* borrowed from the input; empty if absent */
    uint64_t
        total_bytes; /* Tsize, 0 if absent: what the writer said of the block and all below it */
};

struct dagpb_node {
    size_t link_count;
    struct dagpb_link *links; /* owned */
    bool has_data;
    struct bytes data; /* borrowed */
};

/* `in` must outlive `out`. ERR_MALFORMED, ERR_LIMIT, ERR_NOMEM. */
int dagpb_decode(struct bytes in, struct dagpb_node *out, struct err *err) MUST_USE;
void dagpb_node_fini(struct dagpb_node *n); /* all zero is fine */
/* Calls `each` for every link in order, allocating nothing. */
int dagpb_each_link(struct bytes in,
                    int (*each)(void *self, const struct dagpb_link *link, struct err *err),
                    void *self, struct err *err) MUST_USE;

/* Writing: links first, in the caller's order, then the data. */
void dagpb_put_link(struct buf *out, const struct cid *cid, struct bytes name,
                    uint64_t total_bytes);
void dagpb_put_data(struct buf *out, struct bytes data);

#endif
