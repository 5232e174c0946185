/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_dag -- everything below a root, from several sources at once, into a store's packs.
 *
 * The blocks that a node links to are asked for as soon as the node is here and hashed. What the
 * store has is walked and not fetched, so that an interrupted fetch goes on from what came; each
 * block is fetched once, however often it is linked. Where the caller wants it durable, leaves that
 * the store has are hashed too, since they may be damaged or lie in files that changed: those are
 * fetched. Memory: the blocks in flight, 80 bytes for each block that is known and not asked for
 * yet, 56 for each seen; no recursion.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_DAG_H
#define COLMEIA_TRANSPORT_FETCH_DAG_H

#include "base/progress.h"
#include "transport/fetch.h"

#define FETCH_DAG_PENDING_MAX (8u << 20) /* blocks known and not asked for yet */

/* All or an error; what came stays in either case. `sync`: all that is below the root is here,
 * whole, and what came is durable.
 * `progress` (may be NULL) gets bytes of blocks present and, as far as the root says, in all.
 * ERR_MALFORMED: a source lied, or a block below the root is none of its codec. */
int fetch_dag(struct fetch *f, struct store *s, const struct cid *root, bool sync,
              struct progress_count *progress, struct err *err) MUST_USE;

#endif
