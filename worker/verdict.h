/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict -- why a task is not done at this site: a word for logs and a sentence for the person.
 *
 * Nothing of it goes to the coordinator. A verdict is about what was signed or named by a hash, so
 * that asking again would not change it.
 */
#ifndef COLMEIA_WORKER_VERDICT_H
#define COLMEIA_WORKER_VERDICT_H

/*      name            text              said to a person; their order is the journal's numbering
 */
#define VERDICTS(X)                                                                                \
    X(OTHER_PLAN, "other-plan", "it asks for a plan that this site has not approved")              \
    X(UNSIGNED_HEAD, "unsigned-head",                                                              \
      "it stands on a round that the coordinator's signature does not confirm")                    \
    X(NOT_DESCENDING, "not-descending",                                                            \
      "it does not descend from the newest round that this site has seen")                         \
    X(CONFLICT, "conflict", "this site has another task for the same round")                       \
    X(WRONG_RECORD, "wrong-record",                                                                \
      "a round record behind it is not what study, plan, round number or signature demand")        \
    X(WRONG_PLAN, "wrong-plan",                                                                    \
      "the plan or its layout is not a valid one of the study's founder")                          \
    X(WRONG_ROSTER, "wrong-roster",                                                                \
      "its roster is not the founder's, or does not have this site at its place")                  \
    X(WRONG_RULE, "wrong-rule", "the plan's schedule has another rule for this round")             \
    X(WRONG_BASE, "wrong-base", "its base is not the model that the round before it made")         \
    X(WRONG_MODEL, "wrong-model", "its base model is not of the plan's layout")

enum verdict {
    VERDICT_FIT = 0,
#define VERDICT_AS_ENUM(name, text, sentence) VERDICT_##name,
    VERDICTS(VERDICT_AS_ENUM)
#undef VERDICT_AS_ENUM
    VERDICT_COUNT
};

const char *verdict_name(enum verdict v);     /* "other-plan" */
const char *verdict_sentence(enum verdict v); /* the table's */

#endif
