/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_read -- what a store answers over HTTP to those who read: trustless (raw blocks, CARs,
 * IPNS records) and, where allowed, as files and pages for a browser.
 *
 *     GET, HEAD /ipfs/CID[/path]   ?format=raw|car|ipns-record or Accept; without: the file
 *     GET, HEAD /ipns/NAME[/path]  a record held here, or what it points to
 *     GET, HEAD /routing/v1/providers/CID
 *     OPTIONS                      CORS
 *
 * Source: IPFS trustless and path gateway specifications (2026-03), IPIP-402, 412, 484, 523, 524;
 * where Kubo differs, the specification. A block that is missing is 404 at once: this gateway asks
 * nobody else. Blocks are sent as they lie, unhashed, since the reader must hash (but those that
 * lie in files others may change, and what is not sent raw: pages, files, paths on the way).
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_READ_H
#define COLMEIA_TRANSPORT_GATEWAY_READ_H

#include "content/store.h"
#include "transport/http_server.h"

struct gateway_read {
    struct store *store;
    bool open; /* public: CORS, shared caches, files and pages; else raw, CAR and records alone,
                  `private` */
    char provider[320]; /* multiaddr of this gateway's address for routing answers:
                           "/ip4/127.0.0.1/tcp/8080/http" */
    char peer[64];      /* the id it is given there */
};

/* What is under way for one request; zeroed, then the functions below in order. */
struct gateway_visit;

/* Headers are in: as http_handler's begin. `*visit` is made where it is needed; the caller keeps
 * it. */
bool gateway_read_begin(const struct gateway_read *g, const struct http_request *r,
                        struct gateway_visit **visit, struct http_response *out);
void gateway_read_answer(const struct gateway_read *g, const struct http_request *r,
                         struct gateway_visit *visit, struct http_response *out);
/* Body bytes that the answer carried, for those who count: at a request's end. */
uint64_t gateway_read_bytes(const struct gateway_visit *visit);
void gateway_read_end(struct gateway_visit *visit); /* NULL is fine */

/* An open gateway as a handler: what `colmeia gateway` serves. `g` must outlive its server. */
struct http_handler gateway_read_handler(const struct gateway_read *g);

#endif
