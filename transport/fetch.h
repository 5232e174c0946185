/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch -- blocks from other stores over HTTP into ours, each hashed before it counts.
 *
 * Several sources at once, each with a window of requests that grows while it delivers and shrinks
 * when it breaks off; the next block is asked of the source that is expected to bring it soonest,
 * and what a slow one still owes at the end is asked of an idle one too. A source that answers 503
 * or breaks off is asked again after a back-off that grows to 30 s; a block goes on where it broke
 * off, at whichever source. What is here is not fetched again; an interrupted model goes on from
 * the leaves its part file holds (hashed again).
 *
 * A source that lies (bytes that do not hash to the CID, answers that always end at the same early
 * byte or never, redirects to where they may not lead) is asked no more in this session and named
 * in a notice; fetch_begin_session begins another. One whose key is wrong or which refuses us is
 * asked no more in that call. When none is left the call fails by the last one's reason:
 * ERR_MALFORMED, ERR_DENIED. One call at a time, in a job's thread or a tool's.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_H
#define COLMEIA_TRANSPORT_FETCH_H

#include <pthread.h>

#include "base/jobs.h"
#include "content/store.h"
#include "transport/http_client.h"

#define FETCH_SOURCES_MAX   32
#define FETCH_WINDOW_MAX    8  /* requests in flight at one source */
#define FETCH_IN_FLIGHT_MAX 32 /* at all, those being hashed too: blocks in memory */
#define FETCH_WHY_MAX       320

struct fetch {
    struct http_client *http; /* borrowed; its connections outlive a call */
    /* Threads that hash and deliver, borrowed, whose done list is the fetch's alone; NULL: all is
     * done in the caller's thread. */
    struct jobs *jobs;
    size_t source_count;
    char sources[FETCH_SOURCES_MAX][512]; /* base URLs: https://HOST:PORT */
    unsigned give_up_seconds; /* without any progress; then ERR_NET with the last cause */
    void (*notice)(
        void *self,
        const char *sentence); /* a source was dropped, or does not answer; may be NULL */
    void *notice_self;
    uint64_t blocks_received; /* result, added up over calls */
    /* fetch's own: how the sources behaved, from call to call */
    struct fetch_health {
        unsigned failures; /* in a row */
        uint64_t not_before_ms;
        char why[FETCH_WHY_MAX]; /* it lied; "": it did not */
        unsigned running;        /* requests */
        double window;           /* how many there may be; 0: not asked yet */
        double bytes_per_ms;     /* 0: not known */
        uint64_t since_ms;       /* when the bytes below began to come */
        uint64_t bytes;
        size_t broke_at; /* answers that ended at the same byte ... */
        unsigned broke;  /* ... in a row */
    } health[FETCH_SOURCES_MAX];
};

/* Liars get another chance, and nothing is known of anybody's speed. */
void fetch_begin_session(struct fetch *f);

/* One single-file block into the store (unsynced) and, if `out` is not NULL, into `out`. Present
 * already: only read. ERR_NOTFOUND if every source says it has none. */
int fetch_block(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                struct err *err) MUST_USE;
/* The same into `out` alone (cleared first): neither looked for in a store nor put there. */
int fetch_bytes(struct fetch *f, const struct cid *cid, struct buf *out, struct err *err) MUST_USE;
/* A whole model into store models/ (unsynced: hash, fetch again). ERR_LIMIT if larger than
 * `max_bytes`. Whatever fails, what came is kept and not fetched again. `progress` (may be NULL)
 * gets file bytes present and in all; in any thread, one call at a time. */
int fetch_model(struct fetch *f, struct store *s, const struct cid *root, uint64_t max_bytes,
                void (*progress)(void *self, uint64_t have, uint64_t all), void *self,
                struct err *err) MUST_USE;

/* A store that fetches what it has not: for reading a path or a part of a file. What came is kept
 * as single-file blocks. Any thread may read from it; one fetches at a time. */
struct fetch_source {
    struct fetch *fetch;
    struct store *store;
    pthread_mutex_t mutex; /* the caller's to initialise */
};

struct block_source fetch_source(struct fetch_source *s);

#endif
