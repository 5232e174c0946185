/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_places -- who may hold memory while answers are made and sent.
 *
 * A request takes a place while it is at work, which is soon over. An answer that holds memory
 * while it is sent (a stream, a page; not a file, which the kernel sends) keeps it, and goes at its
 * reader's pace: what moves is not cut off, however slowly. So that slow readers shut nobody out,
 * those have three quarters of the places at most, and one address a quarter of these: the rest is
 * for requests that are over at once. The addresses of one IPv6 network (/64) are one; so are all
 * who come through one proxy. Any thread may call.
 */
#ifndef COLMEIA_TRANSPORT_HTTP_PLACES_H
#define COLMEIA_TRANSPORT_HTTP_PLACES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define HTTP_PLACES_ADDRESS_BYTES 16

struct http_places;

/* One request's; zeroed: none. */
struct http_place {
    bool held, sending;
    uint8_t address[HTTP_PLACES_ADDRESS_BYTES]; /* of a sending one */
};

int http_places_new(unsigned count, struct http_places **out, struct err *err) MUST_USE;
void http_places_free(struct http_places *p); /* NULL is fine */

/* For a request at work. False: none is free. */
bool http_places_take(struct http_places *p, struct http_place *place) MUST_USE;
/* For an answer to `to` (NULL: unknown) that holds memory while it is sent. 0, or the status of the
 * refusal, and the place is as it was: 429 if `to` has its share, 503 if all such places are taken.
 */
int http_places_keep(struct http_places *p, struct http_place *place,
                     const struct sockaddr *to) MUST_USE;
/* None is fine. */
void http_places_leave(struct http_places *p, struct http_place *place);

#endif
