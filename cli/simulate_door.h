/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate_door -- a site's transfers with no network in between: the coordinator's gateway is
 * called where HTTP would carry a request to it.
 *
 * Token, quota, metering and every check are therefore the gateway's own, and what comes is hashed
 * here before it counts, as transport/fetch.h has it. Called in a job's thread, one at a time.
 */
#ifndef COLMEIA_CLI_SIMULATE_DOOR_H
#define COLMEIA_CLI_SIMULATE_DOOR_H

#include <stdatomic.h>

#include "content/pack.h"
#include "content/store.h"
#include "transport/http_client.h"
#include "transport/http_server.h"

struct simulate_door {
    struct http_handler gateway; /* `begin` NULL: nobody is there */
    char token[HTTP_TOKEN_MAX];
    const atomic_int *cancel; /* looked at between blocks */
    uint64_t sent, received;  /* results, added up over calls: bytes of blocks */
};

/* One single-file block into the store (unsynced) and, if `out` is not NULL, into `out`. Present
 * already: only read. ERR_NOTFOUND, ERR_DENIED, ERR_NET: later, perhaps. */
int simulate_door_block(struct simulate_door *d, struct store *s, const struct cid *cid,
                        struct buf *out, struct err *err) MUST_USE;
/* A whole model into store models/ (unsynced). ERR_LIMIT if larger than `bytes_max`. */
int simulate_door_model(struct simulate_door *d, struct store *s, const struct cid *root,
                        uint64_t bytes_max, struct err *err) MUST_USE;
/* Blocks of a pack into the site's pack over there, in order. ERR_DENIED: not this site's round;
 * ERR_LIMIT: the quota is spent. */
int simulate_door_upload(struct simulate_door *d, uint64_t round, struct pack *pack,
                         const struct cid *cids, size_t count, struct err *err) MUST_USE;

#endif
