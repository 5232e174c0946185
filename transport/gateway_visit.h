/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_visit -- one request to the reading half of the gateway: what it names, where that led,
 * and the headers that answers share. For the gateway_*.c files alone.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_VISIT_H
#define COLMEIA_TRANSPORT_GATEWAY_VISIT_H

#include "content/ipns.h"
#include "content/resolve.h"
#include "transport/gateway_read.h"
#include "transport/gateway_want.h"

#define GATEWAY_VISIT_ETAG_MAX (CID_TEXT_MAX + 64)

struct gateway_car;
struct gateway_file;

enum gateway_place {
    GATEWAY_IPFS,
    GATEWAY_IPNS,
    GATEWAY_PROVIDERS
};

struct gateway_visit {
    const struct gateway_read *g;
    struct block_source source; /* over the store, hashed */
    enum gateway_place place;
    struct gateway_want want;
    bool head;
    bool slash;           /* the path ends in one */
    uint64_t ttl_seconds; /* of the record that led here */
    struct cid root;
    struct ipns_name name;
    char spelling[CID_TEXT_MAX]; /* of root or name, as it was asked for */
    struct buf asked;  /* the path behind the root as it was asked for, decoded: "" or "/a/b" */
    struct buf path;   /* the path to follow: `asked`, or a record's and `asked` */
    struct buf roots;  /* struct cid each: one a segment */
    struct buf passed; /* struct cid each: the blocks read on the way */
    struct cid cid;    /* where the path ends */
    const char *rest;  /* into `path`: what names a place inside that block */
    uint64_t sent;     /* of the answer's body; a stream's as it goes */
    struct gateway_car *car;
    struct gateway_file *file;
};

/* The store's blocks, hashed. */
struct block_source gateway_visit_source(const struct gateway_read *g);
/* Follows the path: roots, passed, cid, rest. */
int gateway_visit_resolve(struct gateway_visit *v, struct err *err) MUST_USE;
/* Is the block here, or in its CID? */
bool gateway_visit_has(const struct gateway_visit *v, const struct cid *cid);
/* The size of a block that is here. ERR_NOTFOUND. */
int gateway_visit_size(const struct gateway_visit *v, const struct cid *cid, uint64_t *out,
                       struct err *err) MUST_USE;

/* --- answers; false, as http_server_say --- */

/* By the code of `err`: not here (404, or 412 if only a cache was asked), or what else went wrong.
 */
bool gateway_visit_refuse(const struct gateway_visit *v, const struct err *err,
                          struct http_response *out);

/* X-Ipfs-Path and -Roots, X-Content-Type-Options. */
void gateway_visit_put_paths(const struct gateway_visit *v, const struct http_request *r,
                             struct http_response *out);
/* Etag and Cache-Control for what never changes, or, under /ipns, for as long as the record says.
 */
void gateway_visit_put_cache(const struct gateway_visit *v, const char *etag,
                             struct http_response *out);
/* Content-Disposition: the name that was asked for, else `name`. `kind`: attachment or inline. */
void gateway_visit_put_name(const struct gateway_visit *v, const char *kind, const char *name,
                            struct http_response *out);
/* Content-Location, where Accept chose the format. */
void gateway_visit_put_location(const struct gateway_visit *v, const struct http_request *r,
                                const char *format, struct http_response *out);
/* `?` and the query's arguments that a redirect must keep. */
void gateway_visit_put_query(const struct http_request *r, const char *format, struct buf *out);
/* If-None-Match names `etag`: the answer is 304. */
bool gateway_visit_is_known(const struct http_request *r, const char *etag,
                            struct http_response *out);
/* The range asked for, of `size` bytes, as status and headers: 200, 206, or 416 with false. */
bool gateway_visit_put_range(const struct gateway_visit *v, const struct http_request *r,
                             const char *etag, uint64_t size, uint64_t *from, uint64_t *to,
                             struct http_response *out);
/* Appends `text` with everything but letters, digits and -._~ (and '/') %-escaped. */
void gateway_visit_escape(struct bytes text, struct buf *out);

#endif
