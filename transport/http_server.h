/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_server -- HTTP/1.1 over TLS, by libmicrohttpd with its own threads. The door to
 * <microhttpd.h>.
 *
 * Knows nothing of blocks: a table of functions answers requests. Limits: HTTP_HEADER_BYTES_MAX and
 * HTTP_PATH_MAX a request, connections in all and per address, HTTP_BODIES_MAX requests at work
 * with a block in memory (a further one gets 503 with Retry-After), an idle time after which a
 * silent connection, or one that owes whole headers, is closed. A connection that waits holds no
 * block, nor does one whose answer is a file (the kernel sends it) or a few kilobytes. Of the
 * others, that are sent as slowly as their readers like, there are fewer, and fewer still to one
 * address (http_places.h): what is too much gets 503, or 429, with Retry-After. Functions run in
 * the server's threads.
 *
 * Only PUT has a body, and says its length; what two readers of HTTP could take for different
 * requests (Transfer-Encoding, two lengths, odd header names) is refused. A PUT refused at its
 * headers is answered at once and the connection closed, with time for the client to read why; one
 * refused later is read to its end, for which HTTP_UPLOAD_BYTES_MAX is the bound.
 */
#ifndef COLMEIA_TRANSPORT_HTTP_SERVER_H
#define COLMEIA_TRANSPORT_HTTP_SERVER_H

#include "base/buf.h"

#define HTTP_HEADER_BYTES_MAX (16u << 10)
#define HTTP_UPLOAD_BYTES_MAX (64u << 20) /* one PUT's body */
#define HTTP_BODIES_MAX       24          /* unless the configuration says another number */
#define HTTP_PATH_MAX         4096

struct http_request {
    const char *method;  /* "GET" */
    const char *path;    /* decoded by nobody: as it came, without the query */
    uint64_t body_bytes; /* that will come; 0: none */
    void *state;         /* the handler's, from begin to end */
    /* A header's or query argument's value, or NULL; borrowed for the call. */
    const char *(*header)(const struct http_request *r, const char *name);
    const char *(*query)(const struct http_request *r, const char *name);
    void *raw; /* the server's */
};

/* A body of unknown or large length, made piece by piece while it is sent. */
struct http_stream {
    void *self;
    /* Fills at most `size` bytes; returns how many, 0 at the end, -1 to cut the connection, so that
     * the client sees that the rest is missing. Called in a server's thread, never twice at once.
     */
    long (*read)(void *self, uint8_t *data, size_t size);
    void (*end)(void *self); /* always, once; may be NULL */
};

/* One of `body`, `file`, `stream`: the body, if `file.fd` is -1 and `stream.read` NULL. */
struct http_response {
    int status;
    struct buf body;    /* owned by the response; the server frees it, and keeps it from a HEAD */
    struct buf headers; /* lines "Name: value\n" */
    struct {
        int fd; /* a real descriptor, the server closes it; -1: none */
        uint64_t offset, size;
    } file;
    struct http_stream stream;
    uint64_t stream_bytes; /* UINT64_MAX: not known (chunked) */
};

struct http_handler {
    void *self;
    /* Headers are in. Return true to go on (a body may follow), false if `out` is the answer
     * already (a body is not read). */
    bool (*begin)(void *self, struct http_request *r, struct http_response *out);
    /* A piece of the body. False: `out` is the answer, and the rest of the body is thrown away. */
    bool (*body)(void *self, struct http_request *r, struct bytes piece, struct http_response *out);
    /* The request is whole: fill `out`. */
    void (*answer)(void *self, struct http_request *r, struct http_response *out);
    /* Always called last if begin was, behind a stream's end, however the connection ended; frees
     * r->state. */
    void (*end)(void *self, struct http_request *r);
};

struct http_server_config {
    const char *host; /* address to bind */
    uint16_t port;    /* 0: any; see http_server_port */
    const char *certificate_pem,
        *key_pem; /* both NULL: plain HTTP (tests and public gateways only) */
    unsigned connections_max;
    unsigned idle_seconds;
    unsigned bodies_max; /* 0: HTTP_BODIES_MAX */
    struct http_handler handler;
};

struct http_server;

int http_server_open(const struct http_server_config *c, struct http_server **out,
                     struct err *err) MUST_USE;
uint16_t http_server_port(const struct http_server *s);
/* Breaks off the requests at work, when the functions they are in have returned. NULL is fine. */
void http_server_close(struct http_server *s);

/* Value of the query argument or path piece `text` with its %-escapes undone (and '+' as it is),
 * appended to `out`; ERR_MALFORMED with the offset for a bad escape or an escaped NUL. */
int http_server_unescape(const char *text, struct buf *out, struct err *err) MUST_USE;
/* Reads the answer's file, where it has one, into its body, and closes it: for those who carry
 * answers otherwise. ERR_IO, ERR_LIMIT. */
int http_server_load_file(struct http_response *r, struct err *err) MUST_USE;
/* Makes `out` a plain sentence with `status`; returns false, as begin and body do then. */
bool http_server_say(struct http_response *out, int status, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
