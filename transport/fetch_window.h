/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_window -- the requests of one fetch that are in flight: which block from which source, and
 * what a source's answer means for the next. fetch*.c's alone.
 *
 * The caller's thread moves bytes; whole bodies are hashed two at a time and delivered in the
 * threads of f->jobs.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_WINDOW_H
#define COLMEIA_TRANSPORT_FETCH_WINDOW_H

#include "transport/fetch.h"

struct fetch_want {
    struct cid cid;  /* no identity */
    uint64_t offset; /* of a leaf in its file ... */
    uint64_t size;   /* ... as its parent says; for the caller */
};

struct fetch_window;

/* `deliver` gets each block once, hashed, in the order of arrival; its error ends the fetch. With
 * f->jobs it is called in those threads, several at once: it must stand that. */
int fetch_window_new(struct fetch *f,
                     int (*deliver)(void *self, const struct fetch_want *want, struct bytes block,
                                    struct err *err),
                     void *self, struct fetch_window **out, struct err *err) MUST_USE;
/* Asks for a block as soon as there is room; meanwhile others are delivered. ERR_UNSUPPORTED for a
 * CID whose hash cannot be checked. */
int fetch_window_ask(struct fetch_window *w, const struct fetch_want *want,
                     struct err *err) MUST_USE;
/* Is nothing asked for that has not been delivered? */
bool fetch_window_is_idle(const struct fetch_window *w);
/* Till something happens, when the caller has nothing to ask for: what slow sources owe is asked
 * of others too. */
int fetch_window_step(struct fetch_window *w, struct err *err) MUST_USE;
/* Till everything asked for is delivered. */
int fetch_window_wait(struct fetch_window *w, struct err *err) MUST_USE;
/* Abandons what is under way. NULL is fine. */
void fetch_window_free(struct fetch_window *w);

#endif
