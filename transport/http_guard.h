/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_guard -- connections of the HTTP server that outstay their welcome.
 *
 * A connection owes a request from the moment it opens and after each answer. One that has not sent
 * whole headers after `request_seconds` is shut down, however busily it drips. And one that is
 * closed while its client still sends what was refused is read on and thrown away for up to
 * HTTP_GUARD_LINGER_MS: closing at once would be a reset, and the client might never read why. One
 * thread of its own; any thread may call.
 */
#ifndef COLMEIA_TRANSPORT_HTTP_GUARD_H
#define COLMEIA_TRANSPORT_HTTP_GUARD_H

#include <stdbool.h>

#include "base/err.h"

#define HTTP_GUARD_LINGER_MS  10000
#define HTTP_GUARD_LINGER_MAX 64 /* connections at once; a further one is closed at once */

struct http_guard;
struct http_guarded; /* one connection */

int http_guard_new(unsigned request_seconds, struct http_guard **out, struct err *err) MUST_USE;
void http_guard_free(struct http_guard *g); /* NULL is fine; no connection may be left */

/* A connection is there and owes a request; NULL without memory. The descriptor stays the
 * caller's. */
struct http_guarded *http_guard_open(struct http_guard *g, int fd);
/* Its request's headers are in, or its answer is out and it owes the next. NULL is fine. */
void http_guard_owes(struct http_guard *g, struct http_guarded *c, bool owes);
/* The caller is about to close the descriptor. `lingers`: the client may still be sending. */
void http_guard_close(struct http_guard *g, struct http_guarded *c, bool lingers);

#endif
