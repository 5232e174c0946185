/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox -- where updates arrive: one open pack a site for the round under way, shared by HTTP
 * threads, jobs and loop.
 *
 * The loop says which round is open and for which sites; uploads for others are denied. Packs are
 * counted references. What spoiled a transfer (bad bytes, quota) is kept here till the site's check
 * asks.
 */
#ifndef COLMEIA_COORDINATOR_INBOX_H
#define COLMEIA_COORDINATOR_INBOX_H

#include "content/pack.h"
#include "study/refusal.h"
#include "study/roster.h"

struct inbox;

int inbox_new(const struct files *f, const char *dir, struct inbox **out, struct err *err) MUST_USE;
void inbox_free(struct inbox *i);

/* From now on `round` is open for `sites` (roster indices; `ids` their site ids); packs of other
 * rounds are closed as soon as nobody uses them. */
int inbox_open_round(struct inbox *i, uint64_t round, const uint32_t *sites, const struct cid *ids,
                     size_t count, struct err *err) MUST_USE;

/* The site's pack, made if `write`; ERR_DENIED if the round is not open for it, ERR_NOTFOUND if
 * nothing arrived yet. */
int inbox_take(struct inbox *i, uint32_t site, uint64_t round, bool write, struct pack **out,
               struct err *err) MUST_USE;
void inbox_release(struct inbox *i, uint32_t site, uint64_t round);

/* Length of the site's pack; 0 while none is open. */
uint64_t inbox_bytes(struct inbox *i, uint32_t site, uint64_t round);

void inbox_spoil(struct inbox *i, uint32_t site, uint64_t round, enum refusal_code code);
enum refusal_code inbox_spoiled(struct inbox *i, uint32_t site, uint64_t round);

#endif
