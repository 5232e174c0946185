/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway -- a study's blocks over HTTP: a strict trustless gateway (gateway_read.h) to read, block
 * streams to write.
 *
 *     GET, HEAD /ipfs/CID?format=raw       a block of shared/; Range, If-None-Match
 *                                          (Accept: application/vnd.ipld.raw does as well)
 *     GET, HEAD /ipfs/CID[/path]?format=car
 *     PUT       /upload/ROUND              CAR sections into the site's own pack; each counts once
 *                                          its hash is right
 *     GET, HEAD /ipfs/bafkqaaa?format=raw  the probe: 200 and nothing
 *
 * Every request but the probe needs `Authorization: Bearer TOKEN`. 401: token missing, bad or
 * expired (say hello again); 403: not this site's to do; 404: no such block; 413: block too large
 * or quota spent; 400: malformed, or bytes that do not hash to their CID (what came before them is
 * kept); 503 with Retry-After: busy, or the disk is full. Nothing is decided here: uploaded blocks
 * change no round. The gateway does not hash what it sends; the reader must. One site has at most
 * GATEWAY_SITE_REQUESTS_MAX requests at work, so that none shuts the others out.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_H
#define COLMEIA_TRANSPORT_GATEWAY_H

#include "content/pack.h"
#include "content/store.h"
#include "transport/http_server.h"

#define GATEWAY_SITE_REQUESTS_MAX 8

/* What the gateway asks of the program; called in HTTP threads. */
struct gateway_policy {
    void *self;
    /* Which site holds this token? ERR_DENIED. */
    int (*authenticate)(void *self, struct bytes token, uint32_t *site, struct err *err);
    /* The pack into which `site` may write for `round`, and how many bytes the pack's file may
     * reach (and thereby how many blocks: 256, and one more for each 4 KiB). The pack stays open
     * till release. ERR_DENIED (not selected, no such round), ERR_LIMIT (disk full). */
    int (*upload)(void *self, uint32_t site, uint64_t round, struct pack **pack,
                  uint64_t *bytes_max, struct err *err);
    void (*release)(void *self, uint32_t site, uint64_t round, struct pack *pack);
    /* An upload was broken off because bytes did not hash to their CID (ERR_MALFORMED) or the quota
     * was spent (ERR_LIMIT): a submission that still misses blocks is then refused by that name. */
    void (*spoiled)(void *self, uint32_t site, uint64_t round, int code);
    /* Bytes that crossed, as they come or at a request's end, for the round log and progress. */
    void (*moved)(void *self, uint32_t site, uint64_t sent, uint64_t received);
};

struct gateway;

/* `shared` and the policy must outlive the gateway, and the gateway its server. */
int gateway_new(struct store *shared, const struct gateway_policy *policy, struct gateway **out,
                struct err *err) MUST_USE;
void gateway_free(struct gateway *g);
struct http_handler gateway_handler(struct gateway *g);
/* Requests of sites at work this moment; NULL has none. */
size_t gateway_requests(struct gateway *g);

#endif
