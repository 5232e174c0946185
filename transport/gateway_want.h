/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_want -- what a reader of the gateway asks for: format, shape of a CAR, ranges, names;
 * read from the query and the headers alone.
 *
 * Source: trustless and path gateway specifications, IPIP-402, 412, 523; RFC 9110 for Accept, Range
 * and entity tags. `format` in the query wins over Accept, and car-version, car-order and car-dups
 * over its parameters. Of an Accept list the first of the highest quality counts; a page is made
 * only where none of our formats is named, since nobody names those by accident.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_WANT_H
#define COLMEIA_TRANSPORT_GATEWAY_WANT_H

#include "transport/http_server.h"

#define GATEWAY_WANT_RANGES_MAX 16 /* in one Range; more are not read at all */
#define GATEWAY_WANT_NAME_MAX   512

enum gateway_format {
    GATEWAY_FILE, /* none was named: files and pages */
    GATEWAY_RAW,
    GATEWAY_CAR,
    GATEWAY_RECORD,
    GATEWAY_DAG_JSON,
    GATEWAY_DAG_CBOR,
    GATEWAY_JSON,
    GATEWAY_CBOR
};

enum gateway_scope {
    GATEWAY_ALL,
    GATEWAY_ENTITY,
    GATEWAY_BLOCK
};

/* entity-bytes=from:to, both included; a negative one counts from the end. */
struct gateway_bytes {
    bool from_end, to_end; /* `from`, `to` count from the end */
    bool open;             /* `to` is '*' */
    uint64_t from, to;
};

struct gateway_want {
    enum gateway_format format;
    bool negotiated; /* by Accept, and the query says nothing or something else */
    bool html;       /* Accept names text/html, and no format */
    enum gateway_scope scope;
    bool has_bytes;
    struct gateway_bytes bytes;
    bool dups;
    bool only_if_cached;
    bool download;
    char filename[GATEWAY_WANT_NAME_MAX]; /* decoded; "" if none was named */
};

/* Fills `out`. 0, or the HTTP status of the refusal, whose sentence is in `err`. */
int gateway_want_read(const struct http_request *r, struct gateway_want *out,
                      struct err *err) MUST_USE;

/* --- the parts, for tests and fuzzing --- */

/* Is `item` in the comma-separated list? Parameters behind ';' do not matter. */
bool gateway_want_lists(const char *list, const char *item);
/* Does If-None-Match (may be NULL) name `etag` (with its quotes, without W/)? */
bool gateway_want_matches(const char *if_none_match, const char *etag);

bool gateway_want_entity_bytes(const char *text, struct gateway_bytes *out);
/* The half-open range it names in an entity of `size` bytes, cut to it. False: wholly outside. */
bool gateway_want_place(const struct gateway_bytes *b, uint64_t size, uint64_t *from, uint64_t *to);

/* Accept, as far as CARs and formats go. False: it names CARs, and none that we make. */
struct gateway_accept {
    bool found;
    enum gateway_format format;
    bool html;    /* text/html is named, and none of our formats */
    bool car;     /* a CAR is named, with these: */
    int car_dups; /* -1: not said */
};
bool gateway_want_accept(const char *accept, struct gateway_accept *out);

enum gateway_range {
    GATEWAY_RANGE_WHOLE, /* none, or one we do not read: RFC 9110 lets us send all */
    GATEWAY_RANGE_PART,
    GATEWAY_RANGE_OUTSIDE
};
/* The first of the ranges in `text` (may be NULL) that lies in `size` bytes: `from`, and `to`, the
 * first byte not in it. */
enum gateway_range gateway_want_range(const char *text, uint64_t size, uint64_t *from,
                                      uint64_t *to);

#endif
