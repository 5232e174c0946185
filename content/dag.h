/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dag -- blocks that link to blocks, whatever their codec: raw (no links), dag-pb, dag-cbor,
 * dag-json.
 */
#ifndef COLMEIA_CONTENT_DAG_H
#define COLMEIA_CONTENT_DAG_H

#include "content/block_source.h"

/* Of a walk in order; a deeper DAG is ERR_LIMIT. A chain of records is as deep as it has records.
 */
#define DAG_DEPTH_MAX 65536

/* May the block link to others? By its codec alone: the block need not be here. */
bool dag_has_links(const struct cid *cid);

/* Calls `each` for every link of the block in order; checks the block as strictly as its codec
 * does. Other codecs (cbor, json, libp2p-key) have no links that we follow. ERR_MALFORMED with the
 * offset. */
int dag_each_link(const struct cid *cid, struct bytes block,
                  int (*each)(void *self, const struct cid *link, struct err *err), void *self,
                  struct err *err) MUST_USE;

/* Calls `visit` for the blocks below `root`, depth first, a parent before its children, in the
 * order of links. Identity CIDs are passed over. Without `dups` each block once (56 bytes of memory
 * a block). */
struct dag_walk {
    const struct block_source *source;
    bool dups;
    /* NULL: visit every block. False: neither this block nor what is below it. */
    bool (*enter)(void *self, const struct cid *cid);
    int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
};

int dag_walk(const struct dag_walk *w, const struct cid *root, struct err *err) MUST_USE;

#endif
