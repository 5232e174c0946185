/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal -- why a site's answer was not counted, signed by the coordinator, so that a wrongful one
 * can be shown. kind colmeia/refusal/1
 */
#ifndef COLMEIA_STUDY_REFUSAL_H
#define COLMEIA_STUDY_REFUSAL_H

#include "study/record.h"

/*      name            text             said to a person */
#define REFUSAL_CODES(X)                                                                           \
    X(BAD_SIGNATURE, "bad-signature",                                                              \
      "the record's signature does not verify with the site's key")                                \
    X(UNKNOWN_SITE, "unknown-site", "the record is signed by a key that is not this site's")       \
    X(WRONG_STUDY, "wrong-study", "the record belongs to another study")                           \
    X(WRONG_ROUND, "wrong-round", "the record names another round or exchange")                    \
    X(WRONG_PLAN, "wrong-plan", "the record was made under another plan")                          \
    X(WRONG_BASE, "wrong-base", "the update was trained from another base model")                  \
    X(LAYOUT_MISMATCH, "layout-mismatch", "the update has another layout than the plan's")         \
    X(NOT_FINITE, "not-finite", "the update holds NaN or infinite values")                         \
    X(BAD_WEIGHT, "bad-weight", "the number of examples is 0 or above 536870911")                  \
    X(BAD_BLOCK, "bad-block", "a block did not hash to its CID")                                   \
    X(EQUIVOCATION, "equivocation",                                                                \
      "another record of this site was there first for the same exchange")                         \
    X(LATE, "late", "the round was already closed")                                                \
    X(OVER_QUOTA, "over-quota", "the site sent more bytes than its quota for the round")           \
    X(NOT_SELECTED, "not-selected", "the site was not selected for this round")                    \
    X(DECIDED, "decided", "the site's answer for this exchange was already refused")               \
    X(MALFORMED, "malformed", "the record or its index is not in the expected form")               \
    X(DISK_FULL, "disk-full", "the coordinator has no room for the update")                        \
    X(NORM_BOUND, "norm-bound", "the update's norm is above the plan's bound")                     \
    X(TRAINER_HUNG, "trainer-hung", "the site's trainer made no progress for too long")            \
    X(TRAINER_DIED, "trainer-died", "the site's trainer ended in the middle of its work")          \
    X(TRAINER_GARBAGE, "trainer-garbage", "the site's trainer broke the contract")                 \
    X(TRAINER_NO_OUTPUT, "trainer-no-output", "the site's trainer wrote no model")                 \
    X(TRAINER_LAYOUT, "trainer-layout", "the site's trainer wrote a model of another layout")      \
    X(TRAINER_NOT_FINITE, "trainer-not-finite", "the site's trainer wrote NaN or infinite values") \
    X(TRAINER_TOO_LARGE, "trainer-too-large",                                                      \
      "the site's trainer wrote more than the model's size")                                       \
    X(TRAINER_MEMORY, "trainer-memory",                                                            \
      "the site's trainer used more memory than the site allows")                                  \
    X(TRAINER_ERROR, "trainer-error", "the site's trainer said that it cannot do the task")        \
    X(TRAINER_DIGEST, "trainer-digest", "the site's trainer is not the one that the plan pins")

enum refusal_code {
    REFUSAL_NONE = 0,
#define REFUSAL_AS_ENUM(name, text, sentence) REFUSAL_##name,
    REFUSAL_CODES(REFUSAL_AS_ENUM)
#undef REFUSAL_AS_ENUM
    REFUSAL_CODE_COUNT
};

const char *refusal_name(enum refusal_code c);     /* "bad-signature" */
const char *refusal_sentence(enum refusal_code c); /* the table's */
enum refusal_code refusal_parse(const char *name); /* REFUSAL_NONE if unknown */

/* Is it one of the codes `trainer-...`, by which a site declines a task? Only the code leaves the
 * site; its sentence here is the table's. */
bool refusal_is_decline(enum refusal_code c);

struct refusal {
    struct cid cid;
    struct cid study, plan;
    uint64_t round;
    struct cid site;   /* its id */
    struct cid record; /* none if there was no readable one; one that is no record's name is signed
                          as none */
    enum refusal_code code;
    char sentence[256];
};

int refusal_sign(const struct refusal *r, const struct key *coordinator, struct buf *out,
                 struct cid *cid, struct err *err) MUST_USE;
int refusal_decode(struct bytes in, const struct cid *study, const struct key_public *coordinator,
                   struct refusal *out, struct err *err) MUST_USE;

#endif
