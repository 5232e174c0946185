/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_health -- how a source behaves: its window, its speed, its back-off. fetch_window.c's
 * alone. Plain arithmetic on the caller's clock.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_HEALTH_H
#define COLMEIA_TRANSPORT_FETCH_HEALTH_H

#include "transport/fetch.h"

/* May one more request be started? */
bool fetch_health_has_room(const struct fetch_health *h);
/* When one more block would be here, in ms from now; 0 while nothing is known. */
double fetch_health_expected_ms(const struct fetch_health *h);

void fetch_health_started(struct fetch_health *h, uint64_t now_ms);
/* A request is over, whatever came of it, after `bytes` of a body. */
void fetch_health_ended(struct fetch_health *h, uint64_t now_ms, uint64_t bytes);
/* A block came whole and true, `took_ms` after it was asked for. */
void fetch_health_delivered(struct fetch_health *h, uint64_t took_ms);
/* A request was given up for another source's answer: it had brought `bytes` in `took_ms`. */
void fetch_health_overtaken(struct fetch_health *h, uint64_t bytes, uint64_t took_ms);
/* It said that it is busy: no more at once than it has now. */
void fetch_health_busy(struct fetch_health *h);
/* It broke off. Several requests that break off together are one failure. */
void fetch_health_broke(struct fetch_health *h, uint64_t now_ms, bool brought_bytes);
/* An answer ended before its end, at this byte of the block. True: it has done so again and again,
 * and nothing but that. */
bool fetch_health_ends_early(struct fetch_health *h, size_t at);

#endif
