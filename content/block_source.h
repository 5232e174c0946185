/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_source -- where blocks come from while a DAG is read: a store, a CAR, a set of gateways.
 */
#ifndef COLMEIA_CONTENT_BLOCK_SOURCE_H
#define COLMEIA_CONTENT_BLOCK_SOURCE_H

#include "base/cid.h"

#define BLOCK_BYTES_MAX (2u << 20) /* read; 1 MiB is written */

/* Must hand out verified bytes (cleared buffer, max >= BLOCK_BYTES_MAX); ERR_NOTFOUND if it has no
 * such block. An identity CID's bytes are in the CID: block_source_get looks there itself. */
struct block_source {
    void *self;
    int (*get)(void *self, const struct cid *cid, struct buf *out, struct err *err);
};

/* Through `source`, or out of an identity CID. */
int block_source_get(const struct block_source *source, const struct cid *cid, struct buf *out,
                     struct err *err) MUST_USE;

#endif
