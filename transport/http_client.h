/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client -- many HTTP requests at once, by libcurl's multi interface. The door to
 * <curl/curl.h>.
 *
 * The caller owns the loop: it starts transfers and takes those that are done. Connections are kept
 * and used again, so a client should live as long as its program: a new one costs a TLS handshake.
 *
 * HTTPS only, with the server's key pinned (no authority is asked); without a pin authorities are
 * asked and plain http:// is let through as well. Nothing is decompressed; HTTP_PROXY and
 * HTTPS_PROXY are honoured. No limit on total time: a transfer fails when fewer than one byte a
 * second moved for `stall_seconds`. A wrong pin is ERR_DENIED with words for the network
 * department. One thread at a time; the program ignores SIGPIPE.
 *
 * A GET without a pin follows up to HTTP_REDIRECTS_MAX redirects, to http and https alone. They may
 * not lead to this machine or its link (http_target.h) unless the URL itself does: the address is
 * looked at when it is connected to, so that a name that changes its mind does not help. The token
 * goes to the URL's own origin alone. A redirect that is refused is ERR_MALFORMED.
 */
#ifndef COLMEIA_TRANSPORT_HTTP_CLIENT_H
#define COLMEIA_TRANSPORT_HTTP_CLIENT_H

#include <stdatomic.h>

#include "base/buf.h"

#define HTTP_URL_MAX   2048
#define HTTP_TOKEN_MAX 128

#define HTTP_REDIRECTS_MAX   5
#define HTTP_CONNECTIONS_MAX 16 /* to one host */

struct http_client_config {
    const char *pin; /* "sha256//BASE64", borrowed; or NULL */
    unsigned connect_seconds;
    unsigned stall_seconds;
    const atomic_int *cancel; /* may be NULL; not 0: http_client_next ends with ERR_TIMEOUT */
};

struct http_client;

struct http_transfer {
    char url[HTTP_URL_MAX];
    /* GET if `upload` is NULL, else PUT: fills `data` (size bytes at most), returns how many, -1 to
     * give up. `rewind` goes back to the body's beginning: a kept connection turned out to be dead.
     */
    long (*upload)(void *self, void *data, size_t size);
    void (*rewind)(void *self);
    void *self;
    uint64_t upload_bytes; /* the body's length */
    bool resume;           /* GET: `body` holds the beginning already, ask for the rest of it. If
                              another part comes: ERR_NET, and `body` is empty */
    size_t body_max;       /* of the answer; more: ERR_LIMIT */
    /* results */
    int code; /* 0: there is a status; else ERR_NET, ERR_TIMEOUT, ERR_LIMIT, ERR_DENIED,
                 ERR_MALFORMED */
    struct err err;
    long status;                  /* HTTP status, 0 if none came */
    unsigned retry_after_seconds; /* 0: not said */
    struct buf body;              /* the caller's to fini; its memory is used again */
    uint64_t body_expected;       /* what `body` will hold in the end; 0: not known (yet) */
    uint64_t bytes_received, bytes_sent;
    void *raw; /* the client's */
};

int http_client_new(const struct http_client_config *c, struct http_client **out,
                    struct err *err) MUST_USE;
void http_client_free(struct http_client *c); /* NULL is fine */
/* The bearer token of transfers started from now on; NULL or "": none. */
void http_client_set_token(struct http_client *c, const char *token);
/* The transfer belongs to the client until http_client_next hands it back or http_client_stop. */
int http_client_start(struct http_client *c, struct http_transfer *t, struct err *err) MUST_USE;
/* Waits up to `wait_ms` for a transfer that is done; `*out` is NULL if none was, or if the watched
 * descriptor became readable first. ERR_TIMEOUT `cancelled`, and all are abandoned. */
int http_client_next(struct http_client *c, uint64_t wait_ms, struct http_transfer **out,
                     struct err *err) MUST_USE;
/* Abandons one, or all that are under way. */
void http_client_abandon(struct http_client *c, struct http_transfer *t);
void http_client_stop(struct http_client *c);
/* What http_client_next waits for beside transfers; -1: nothing. */
void http_client_watch(struct http_client *c, int fd);

/* Bytes of bodies moved since it was made, those under way too; any thread may ask. */
void http_client_moved(const struct http_client *c, uint64_t *sent, uint64_t *received);
/* The plain characters that an answer begins with, for a sentence of ours; returns `out`. */
const char *http_client_words(const struct http_transfer *t, char *out, size_t size);
/* Monotonic. */
uint64_t http_client_now_ms(void);

#endif
