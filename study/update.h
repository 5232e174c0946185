/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update -- a site's signed answer to one exchange of one round. kind colmeia/update/1, by the
 * site.
 */
#ifndef COLMEIA_STUDY_UPDATE_H
#define COLMEIA_STUDY_UPDATE_H

#include "study/record.h"

#define UPDATE_METRICS_MAX     16
#define UPDATE_METRIC_NAME_MAX 32

struct update_metric {
    char name[UPDATE_METRIC_NAME_MAX]; /* [a-z0-9_.]+ */
    double value;                      /* NAN is written as null */
};

struct update {
    struct cid cid;
    struct cid study, plan, base;
    struct key_public by;
    uint64_t round;
    uint64_t exchange;
    struct cid delta;  /* update index; none if the rule asks for something else */
    struct cid values; /* the rule's own object; likewise */
    uint64_t examples; /* weight; range is the door's check, not the decoder's */
    size_t metric_count;
    struct update_metric metrics[UPDATE_METRICS_MAX]; /* in canonical key order when decoded */
    uint8_t trainer[HASH_BYTES]; /* digest of the trainer: SHA-256 of "colmeia-native-1 NAME" for
                                    built-in ones */
    uint64_t seconds;            /* training took, rounded */
};

int update_sign(const struct update *u, const struct key *site, struct buf *out, struct cid *cid,
                struct err *err) MUST_USE;
/* Form and signature by `by` in the record itself; whether that is the site, and every value's
 * fitness, is check.h's. */
int update_decode(struct bytes in, struct update *out, struct err *err) MUST_USE;
/* A metric's value, NAN if absent. */
double update_metric(const struct update *u, const char *name);

#endif
