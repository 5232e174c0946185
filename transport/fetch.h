/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch -- blocks from other stores over HTTP into ours, each hashed before it counts.
 *
 * Several in flight; a source that answers 503 or breaks off is asked again after a back-off that
 * grows to 30 s, and goes on inside a block where it broke off; what is here is not fetched again;
 * an interrupted model goes on from the leaves its part file holds (hashed again). A source whose
 * bytes do not hash to the CID, whose key is wrong or which refuses us is asked no more in that
 * call and named; when none is left the call fails by the last one's reason: ERR_MALFORMED,
 * ERR_DENIED. Called in a job's thread, one at a time.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_H
#define COLMEIA_TRANSPORT_FETCH_H

#include "content/store.h"
#include "transport/http_client.h"

#define FETCH_SOURCES_MAX 8
#define FETCH_WINDOW      6 /* requests in flight */

struct fetch {
    struct http_client *http; /* borrowed; its connections outlive a call */
    size_t source_count;
    char sources[FETCH_SOURCES_MAX][512]; /* base URLs: https://HOST:PORT */
    unsigned give_up_seconds; /* without any progress; then ERR_NET with the last cause */
    uint64_t blocks_received; /* result, added up over calls */
    /* fetch's own: how the sources behaved, from call to call */
    struct fetch_health {
        unsigned failures; /* in a row */
        uint64_t not_before_ms;
    } health[FETCH_SOURCES_MAX];
};

/* One single-file block into the store (unsynced) and, if `out` is not NULL, into `out`. Present
 * already: only read. ERR_NOTFOUND if every source says it has none. */
int fetch_block(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                struct err *err) MUST_USE;
/* A whole model into store models/ (unsynced: hash, fetch again). ERR_LIMIT if larger than
 * `max_bytes`. Whatever fails, what came is kept and not fetched again. `progress` (may be NULL)
 * gets file bytes present and in all. */
int fetch_model(struct fetch *f, struct store *s, const struct cid *root, uint64_t max_bytes,
                void (*progress)(void *self, uint64_t have, uint64_t all), void *self,
                struct err *err) MUST_USE;

#endif
