/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule -- what a round does, in a table by name: fedavg (McMahan et al. 2017), moments, evaluate.
 *
 * A rule says what it asks of a site in each of its exchanges and how answers become the next
 * model. A rule that adds in order sees one shard of one site at a time; nothing here knows clock,
 * disk or network.
 */
#ifndef COLMEIA_AGGREGATE_RULE_H
#define COLMEIA_AGGREGATE_RULE_H

#include "aggregate/optimiser.h"
#include "base/err.h"
#include "model/layout.h"

#define RULE_NAME_MAX      16
#define RULE_EXCHANGES_MAX 4

enum rule_answer {
    RULE_DELTA,  /* an update index and shards */
    RULE_VALUES, /* one small object: moments' {count, sum, squares} */
    RULE_METRICS /* the record's own metrics and nothing else */
};

/* What a server optimiser needs for a run of `mean` elements: its step, and its state of these
 * elements, changed in place (NULL where it has none). */
struct rule_state {
    const struct optimiser_step *step;
    float *m, *v; /* (elements) */
};

struct rule {
    const char *name;
    size_t exchange_count;
    enum rule_answer asks[RULE_EXCHANGES_MAX];
    bool trains; /* the site trains, and so names a seed */
    /* Rules on shards (NULL otherwise): acc holds `elements` doubles, cleared by the caller before
     * the first add. Both work element by element, so that a run of a shard's elements may stand
     * for the shard: `elements` and `bytes` are then the run's. */
    void (*add)(const struct shard *shard, double *acc, const void *delta, uint32_t weight);
    /* base, next: the elements in the tensors' dtype; may be the same memory. `state` NULL: there
     * is no server optimiser; `largest` shards look at none. False: a result is not finite. */
    bool (*finish)(const struct shard *shard, const void *base, const double *acc, uint64_t total,
                   const struct rule_state *state, void *next);
};

/* NULL if there is no such rule. */
const struct rule *rule_find(const char *name);
/* The i-th of the table, NULL past the end; for help texts. */
const struct rule *rule_at(size_t i);

#endif
