/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world -- all that a program does to the outside, as one table: time, chance, files, messages,
 * transfers, jobs.
 *
 * transport/world_real.c binds the real one. The simulator binds another; the programs cannot tell.
 * Messages may be lost, doubled and reordered, and whoever needs an answer asks again. The transfer
 * functions block and are called from jobs only; everything else belongs to the loop's thread.
 */
#ifndef COLMEIA_BASE_WORLD_H
#define COLMEIA_BASE_WORLD_H

#include "base/files.h"
#include "base/jobs.h"
#include "base/key.h"

#define WORLD_ROUTE_MAX 256

struct cid;
struct store;
struct pack;

struct world_route { /* where an answer goes; opaque */
    size_t size;
    uint8_t bytes[WORLD_ROUTE_MAX];
};

enum world_event {
    WORLD_NOTHING,
    WORLD_MESSAGE,   /* `body` from `peer`, by `route` */
    WORLD_HINT,      /* `body` over PUB: may be anybody's */
    WORLD_CONNECTED, /* a worker's connection is there, first or again */
    WORLD_LOST,
    WORLD_REFUSED, /* the coordinator does not know our key (yet) */
    WORLD_STOP     /* SIGINT or SIGTERM: end in order */
};

struct world_message {
    struct world_route route;
    struct key_public peer; /* whom CURVE authenticated; a coordinator's messages only */
    struct buf body;        /* reused; the caller's to fini */
};

struct world {
    void *self;
    const struct files *files;
    uint64_t (*now_ms)(void *self); /* monotonic */
    uint64_t (*wall_s)(void *self);
    void (*random)(void *self, void *out, size_t size);

    /* Sleeps until something may be ready or `timeout_ms` is over. */
    void (*wait)(void *self, uint64_t timeout_ms);
    enum world_event (*receive)(void *self, struct world_message *out);
    void (*send)(void *self, const struct world_route *to, struct bytes body); /* worker: to NULL */
    void (*publish)(void *self, struct bytes body);
    int (*allow)(void *self, const struct key_public *keys, size_t count, struct err *err);

    void (*start)(void *self, struct job *job);
    struct job *(*take_done)(void *self); /* NULL: none is done */
    struct jobs *jobs;                    /* for jobs_split inside jobs */

    /* Transfers of a worker, in jobs' threads, one at a time. */
    void (*set_token)(void *self, const char *token);
    int (*fetch_block)(void *self, struct store *store, const struct cid *cid, struct buf *out,
                       struct err *err);
    int (*fetch_model)(void *self, struct store *store, const struct cid *root, uint64_t bytes_max,
                       struct err *err);
    int (*upload)(void *self, uint64_t round, struct pack *pack, const struct cid *cids,
                  size_t count, struct err *err);
    /* Bytes moved by the three above since the start, and how far the last two are: bytes there in
     * the end, of all (0: not known yet). For people; any thread may ask. */
    void (*moved)(void *self, uint64_t *sent, uint64_t *received);
    void (*progress)(void *self, uint64_t *done, uint64_t *total);
    void (*cancel_transfers)(void *self); /* those under way end soon with ERR_TIMEOUT */
};

#endif
