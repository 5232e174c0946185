/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal -- a site's answer made final: delta of two models into shards, index and signed record,
 * synced before any byte leaves.
 *
 * Every base leaf is hashed again as it is read: a trainer that changed the base file fails the
 * task (ERR_CORRUPT). Fixed tensors of the new model must equal the base's (ERR_DENIED naming the
 * tensor); a non-finite delta is ERR_MALFORMED with the element. Memory: one leaf and three
 * shards a thread.
 */
#ifndef COLMEIA_STUDY_SEAL_H
#define COLMEIA_STUDY_SEAL_H

#include "base/progress.h"
#include "content/pack.h"
#include "study/study.h"
#include "study/update.h"

struct seal {
    const struct study *study;
    const struct rule *rule;
    struct store *store; /* holds the base */
    struct cid base;
    const char *new_model; /* path of a safetensors file of the plan's layout, canonical; NULL
                              unless the rule asks RULE_DELTA */
    struct bytes values;   /* the values object, for RULE_VALUES */
    struct update update;  /* round, exchange, examples, metrics, trainer, seconds; the rest is
                              filled in here */
    const struct key *key; /* the site's */
    struct pack *pack;     /* gets every block */
    struct jobs *jobs;
    struct progress_count *progress; /* of the shards' bytes; may be NULL */
};

/* On success `record` names the update, which is whole and durable in the pack. */
int seal_update(const struct seal *s, struct cid *record, struct err *err) MUST_USE;

/* The names of all blocks of a sealed update, record and index first, each once: what is to be
 * sent. The caller frees. */
int seal_blocks(struct pack *pack, const struct cid *record, struct cid **out, size_t *count,
                struct err *err) MUST_USE;

#endif
