/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_internal -- what verify.c (the chain) and verify_update.c (the answers inside one round)
 * share, and nobody else.
 */
#ifndef COLMEIA_STUDY_VERIFY_INTERNAL_H
#define COLMEIA_STUDY_VERIFY_INTERNAL_H

#include "study/roster.h"
#include "study/round_record.h"
#include "study/verify.h"

struct verify {
    const struct verify_options *options;
    struct store *store;
    uint64_t newest;      /* last round closed in this folder: retention goes by it */
    struct study study;   /* under the plan of the round at hand */
    struct roster roster; /* bound by the round at hand */
    struct cid state;     /* the server optimiser's, as the round before left it; none */
};

/* Is the file of the model, or of the state, or its root here at all? */
bool verify_model_held(const struct verify *v, const struct cid *root);

/* Checks who was selected and every update and refusal that the record lists, then recomputes the
 * next model from them if all is held. The record's place in the chain was checked before. */
int verify_update_round(const struct verify *v, const struct round_record *r,
                        enum verify_depth *depth, struct err *err) MUST_USE;

#endif
