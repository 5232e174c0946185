/* SPDX-License-Identifier: Apache-2.0 */
/*
 * combine -- the next model from base and updates: the same bits on every machine, in flat memory.
 *
 * The model's file is made in windows of COMBINE_WINDOW_LEAVES leaves: base leaves read and hashed,
 * every shard that touches the window summed over the updates in the order given (roster order),
 * the server optimiser's step, one rounding, leaves hashed and written in order. A shard at a
 * window's edge is read in both windows. Next has the base's header byte for byte and its fixed
 * tensors, but for what the rule `moments` sets. The optimiser's state is read and written in the
 * same pass (state.h). Memory: two windows, a window's elements of the state (a window for each of
 * m and v; two where the model is of half floats), one shard and one accumulator a thread, and the
 * names of a window's shards of each update; it does not grow with the model.
 *
 * The coordinator stores the result, verify only hashes it, and `colmeia aggregate` runs the same
 * code on plain files.
 */
#ifndef COLMEIA_STUDY_COMBINE_H
#define COLMEIA_STUDY_COMBINE_H

#include "aggregate/rule.h"
#include "base/progress.h"
#include "content/pack.h"
#include "study/state.h"
#include "study/study.h"

#define COMBINE_WINDOW_LEAVES 16

struct combine_update {
    uint32_t weight;
    struct cid answer; /* update index or values object; none for metrics */
    struct pack *pack; /* where its blocks are */
    const char *site_name;
};

/* Shards that lie next to each other in order. */
struct combine_range {
    size_t first, count;
};

/* Where base bytes and shards come from, verified before they are handed out; called from many
 * threads. */
struct combine_source {
    void *self;
    int (*base)(void *self, uint64_t offset, void *data, size_t size,
                struct err *err); /* one leaf of the file, each once */
    /* *null: the shard is all zero and `data` untouched. */
    int (*shard)(void *self, size_t update, size_t shard, void *data, size_t size, bool *null,
                 struct err *err);
    /* Which shards the next window will ask for (`mean` ones, `largest` ones), from one thread; may
     * be NULL. */
    int (*expect)(void *self, const struct combine_range ranges[2], struct err *err);
    uint64_t file_bytes; /* of the base's file */
    uint64_t data_start;
};

/* Where the next model's leaves go, in order; called from one thread. */
struct combine_sink {
    void *self;
    int (*window)(void *self, uint64_t offset, struct bytes data, struct err *err);
};

/* What is summed. */
struct combine_sum {
    const struct layout *layout;
    const struct rule *rule; /* one on shards */
    const uint32_t *weights; /* (count), 1..ACCUMULATE_WEIGHT_MAX each, in the order of the sum */
    size_t count;            /* updates, at least one */
    const struct optimiser_step *step; /* NULL: no server optimiser */
    struct state *state;               /* its state, at the beginning; NULL where it has none */
};

/* What came out. */
struct combine_found {
    bool finite;    /* false: some result is not finite; sink and state saw what must not be used */
    size_t suspect; /* then: the update with the largest delta in the first such shard; SIZE_MAX */
    const struct tensor *tensor; /* where that delta stands; NULL */
};

/* The streaming core, for rules on shards. ERR_MALFORMED for a weight out of range, no updates, or
 * a file that is not of the layout's length. */
int combine_stream(const struct combine_sum *sum, const struct combine_source *source,
                   const struct combine_sink *sink, struct jobs *jobs, struct combine_found *out,
                   struct err *err) MUST_USE;

struct combine {
    const struct study *study;
    const struct rule *rule;
    struct store *store; /* holds base and state; gets the next ones unless `dry` */
    struct cid base;
    struct cid state; /* the server optimiser's, as it belongs to base; none: all zero */
    uint64_t t;       /* plan_training_rounds of the round */
    const struct combine_update *updates; /* in roster order */
    size_t update_count;
    struct jobs *jobs;
    bool dry;                        /* verify: hash only */
    const char *part;                /* name of the part file, such as "round-7" */
    struct progress_count *progress; /* of the next model's bytes; may be NULL */
};

struct combine_result {
    struct cid next;  /* base if the rule changes nothing or the round fails */
    struct cid state; /* after it; the same if the round fails or has no use for one */
    char failure[64]; /* "", "not-finite" or "no-quorum" */
    size_t suspect;   /* not-finite: whose delta is to blame, as far as can be said; ... */
    const struct tensor *suspect_tensor; /* ... and where; SIZE_MAX and NULL: nobody's */
    size_t damaged_update;               /* with an error: whose block ... */
    struct cid damaged; /* ... and which; none if it is the base's, or no block is to blame */
};

/* Makes the next model and the next state, synced. With no updates next = base and failure
 * "no-quorum". ERR_CORRUPT: a block of base, state or an update is damaged, or one of an update is
 * not there; any error that an update's block is to blame for fills `damaged` and `damaged_update`.
 * ERR_UNSUPPORTED: the rule is `moments` and the layout has no fixed F32 tensors input.mean and
 * input.deviation of the plan's features. */
int combine_round(const struct combine *c, struct combine_result *out, struct err *err) MUST_USE;

#endif
