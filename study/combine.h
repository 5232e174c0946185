/* SPDX-License-Identifier: Apache-2.0 */
/*
 * combine -- the next model from base and updates: the same bits on every machine, in flat memory.
 *
 * The model's file is made in windows of COMBINE_WINDOW_LEAVES leaves: base leaves read and hashed,
 * every shard that touches the window summed over the updates in the order given (roster order),
 * one rounding, leaves hashed and written in order. A shard at a window's edge is read in both
 * windows. Next has the base's header byte for byte and its fixed tensors, but for what the rule
 * `moments` sets. Memory: two windows, one shard and one accumulator a thread, and the names of a
 * window's shards of each update; it does not grow with the model.
 *
 * The coordinator stores the result, verify only hashes it, and `colmeia aggregate` runs the same
 * code on plain files.
 */
#ifndef COLMEIA_STUDY_COMBINE_H
#define COLMEIA_STUDY_COMBINE_H

#include "aggregate/rule.h"
#include "study/study.h"
#include "transport/pack.h"

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
};

/* The streaming core, for rules on shards. *finite false: some result is not finite (the sink saw
 * bytes that must not be used). ERR_MALFORMED for a weight out of range, no updates, or a file that
 * is not of the layout's length. */
int combine_stream(const struct combine_sum *sum, const struct combine_source *source,
                   const struct combine_sink *sink, struct jobs *jobs, bool *finite,
                   struct err *err) MUST_USE;

struct combine {
    const struct study *study;
    const struct rule *rule;
    struct store *store; /* holds base; gets next unless `dry` */
    struct cid base;
    const struct combine_update *updates; /* in roster order */
    size_t update_count;
    struct jobs *jobs;
    bool dry;         /* verify: hash only */
    const char *part; /* name of the part file, such as "round-7" */
};

struct combine_result {
    struct cid next;       /* base if the rule changes nothing or the round fails */
    char failure[64];      /* "", "not-finite" or "no-quorum" */
    size_t damaged_update; /* with an error: whose block ... */
    struct cid damaged;    /* ... and which; none if it is the base's, or no block is to blame */
};

/* Makes the next model, synced. With no updates next = base and failure "no-quorum". ERR_CORRUPT:
 * a block of the base or of an update is damaged, or one of an update is not there; any error that
 * an update's block is to blame for fills `damaged` and `damaged_update`. ERR_UNSUPPORTED: the rule
 * is `moments` and the layout has no fixed F32 tensors input.mean and input.deviation of the plan's
 * features. */
int combine_round(const struct combine *c, struct combine_result *out, struct err *err) MUST_USE;

#endif
