/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster -- who may take part, in order of admission: the order in which sums run. kind
 * colmeia/roster/1, by the founder.
 *
 * Append-only: a later roster has the earlier one's sites first, names are unique, only `until` may
 * go from null to a number. A site's place in it (its index) is its name in events and tokens.
 */
#ifndef COLMEIA_STUDY_ROSTER_H
#define COLMEIA_STUDY_ROSTER_H

#include "content/store.h"
#include "study/site.h"

#define ROSTER_SITES_MAX 10000
#define ROSTER_FOREVER   UINT64_MAX

struct roster_site {
    struct cid id;        /* CID of the site's first record */
    uint64_t from, until; /* rounds: from <= n < until; ROSTER_FOREVER for null */
    struct site site;     /* loaded from the store */
};

struct roster {
    struct cid cid, prev;
    struct key_public coordinator; /* who signs rounds */
    size_t count;
    struct roster_site *sites; /* owned */
};

/* Signs `r` (its own CID is not looked at) and appends its block to `out`; out_cid its CID. */
int roster_make(const struct roster *r, const struct cid *study, const struct key *founder,
                struct buf *out, struct cid *out_cid, struct err *err) MUST_USE;
/* Reads the roster and its sites' records from `store`, checking signatures against `founder`. */
int roster_load(struct store *store, const struct cid *study, const struct key_public *founder,
                const struct cid *cid, struct roster *out, struct err *err) MUST_USE;
void roster_fini(struct roster *r);
/* `later` keeps what `earlier` said? ERR_DENIED with the first difference. */
int roster_check_append(const struct roster *earlier, const struct roster *later,
                        struct err *err) MUST_USE;
/* Index by CURVE key or name; -1 if none. */
long roster_find_curve(const struct roster *r, const struct key_public *curve);
long roster_find_name(const struct roster *r, const char *name);
bool roster_is_active(const struct roster *r, size_t index, uint64_t round);

#endif
