/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_window -- the requests of one fetch that are in flight: which block from which source, and
 * what a source's answer means for the next. fetch.c's alone.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_WINDOW_H
#define COLMEIA_TRANSPORT_FETCH_WINDOW_H

#include "transport/fetch.h"

struct fetch_want {
    struct cid cid;  /* sha2-256 */
    uint64_t offset; /* of a leaf in its file */
};

struct fetch_window;

/* `deliver` gets each block, hashed, in the order of arrival; its error ends the fetch. */
int fetch_window_new(struct fetch *f,
                     int (*deliver)(void *self, const struct fetch_want *want, struct bytes block,
                                    struct err *err),
                     void *self, struct fetch_window **out, struct err *err) MUST_USE;
/* Asks for a block as soon as there is room; meanwhile others are delivered. */
int fetch_window_ask(struct fetch_window *w, const struct fetch_want *want,
                     struct err *err) MUST_USE;
/* Till everything asked for is delivered. */
int fetch_window_wait(struct fetch_window *w, struct err *err) MUST_USE;
/* Abandons what is under way. NULL is fine. */
void fetch_window_free(struct fetch_window *w);

#endif
