/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify -- somebody's claim about a study, recomputed: every signature, link, hash and average
 * from the charter on.
 *
 * Walks from the head through `prev` to the charter and then forward; reads nothing but DIR/head,
 * shared/ and updates/. The first record that lies ends it with the round, record and block named.
 * Whatever is held of what the head reaches is hashed, whether it is needed for an average or not.
 */
#ifndef COLMEIA_STUDY_VERIFY_H
#define COLMEIA_STUDY_VERIFY_H

#include "study/study.h"

enum verify_depth {
    VERIFY_FULL,      /* updates were there; the next model and state were recomputed */
    VERIFY_SIGNATURES /* updates, base or state gone by plan, or not held here: signatures and links
                         only */
};

struct verify_options {
    const char *dir;  /* a study's folder */
    struct cid study; /* none: taken from the chain itself, and said so */
    struct cid head;  /* none: DIR/head */
    bool worker; /* a worker's folder: other sites' updates and models that it never needed are not
                    held here, and that is no fault */
    struct jobs *jobs;
    /* Told after each round; may be NULL. */
    void (*round)(void *self, uint64_t round, const struct cid *record, const struct cid *next,
                  enum verify_depth depth);
    void *self;
};

struct verify_result {
    struct cid study; /* as found */
    uint64_t rounds;
    uint64_t recomputed; /* of them VERIFY_FULL */
    struct cid final_model;
    bool final_held;       /* and hashed; false in a worker's folder only */
    struct cid bad_record; /* with an error: which record lies, none if unknown */
};

/* ERR_NOTFOUND, ERR_CORRUPT, ERR_DENIED, ERR_MALFORMED: the answer is no, `err` names record and
 * block. ERR_IO: cannot say. */
int verify_study(const struct verify_options *o, struct verify_result *out,
                 struct err *err) MUST_USE;

#endif
