/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round_record -- one closed round: base -> next, by which updates. kind colmeia/round/1, by the
 * coordinator. The newest is the study's head.
 *
 * Built from journalled facts only, so that it has the same CID when made again after a crash.
 */
#ifndef COLMEIA_STUDY_ROUND_RECORD_H
#define COLMEIA_STUDY_ROUND_RECORD_H

#include "study/plan.h"

struct round_record {
    struct cid cid;
    struct cid study, plan, roster;
    uint64_t round;
    char rule[RULE_NAME_MAX];
    struct cid prev; /* the round record before, or the charter */
    struct cid base, next;
    char failure[64]; /* "" for null: "not-finite", "no-quorum" */
    size_t selected_count, update_count, refused_count;
    uint32_t *selected;  /* roster indices in order of selection; owned */
    struct cid *updates; /* accepted update records, in roster order; owned */
    struct cid *refused; /* refusal records, in roster order; owned */
    struct cid state;    /* the server optimiser's after the round; none */
    uint64_t deleted;    /* first round whose updates are still held */
    uint64_t received;   /* metering: bytes of accepted and refused updates, as journalled */
};

int round_record_sign(const struct round_record *r, const struct key *coordinator, struct buf *out,
                      struct cid *cid, struct err *err) MUST_USE;
int round_record_decode(struct bytes in, const struct cid *study,
                        const struct key_public *coordinator, struct round_record *out,
                        struct err *err) MUST_USE;
void round_record_fini(struct round_record *r);

#endif
