/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trainer -- what turns a base model and a site's data into an answer, in a table by name.
 *
 * A trainer gets the base's file to read and the path of a file to write, and is told what the rule
 * asks: a new model (RULE_DELTA), the rule's own values (RULE_VALUES) or metrics alone. It runs in
 * a job's thread, changes nothing but that file, and is deterministic given seed, data and base. It
 * never touches the network. The plan names it:
 *
 *     native     trains the plan's architecture on the site's table of numbers
 *     program    any program of the site's own, behind the contract of docs/trainer.md
 *     null       a test trainer, needs no data: adds (site + 1) * round / 1000 to every element
 *     constant   a test trainer, needs no data: adds (site + 1) / 1000 to every element
 *
 * Each sum is rounded as its element demands. Both test trainers work for any layout (tensors that
 * are not averaged are copied), stream in pieces of 1 MiB, and weigh every site 1.
 */
#ifndef COLMEIA_WORKER_TRAINER_H
#define COLMEIA_WORKER_TRAINER_H

#include <stdatomic.h>

#include "base/files.h"
#include "study/plan.h"
#include "study/refusal.h"
#include "study/update.h"

struct program;
struct program_config;

struct trainer_task {
    const struct files *files;
    const struct cid *study;
    const struct plan *plan;
    const struct layout *layout;
    enum rule_answer asks;
    uint64_t round;
    uint32_t site;       /* roster index */
    const char *data;    /* the site's data, a file or a folder; "" if it named none */
    const char *base;    /* path of the base model's file: read only */
    uint64_t data_start; /* where its data section begins; what is before it is copied */
    const char *output;  /* RULE_DELTA: where the new model is written; made anew */
    uint8_t seed[HASH_BYTES];
    const atomic_bool *cancel;      /* set: the result is of no use any more */
    _Atomic uint64_t *done, *total; /* how far it is, for people; may be NULL */
    struct program *program;        /* for `program`: the site's own, and how it is configured */
    const struct program_config *config;
};

struct trainer_result {
    enum refusal_code code;     /* of a failure that is the trainer's own; else REFUSAL_NONE */
    uint8_t digest[HASH_BYTES]; /* of what ran */
    uint64_t examples;
    size_t metric_count; /* an evaluation of the base on the site's data */
    struct update_metric metrics[UPDATE_METRICS_MAX];
    struct buf values; /* RULE_VALUES; trainer_run makes it, the caller fini */
};

struct trainer {
    const char *name;
    /* ERR_USAGE: a person at the site must do something about it (data, configuration, plan).
     * ERR_TIMEOUT: cancelled. With `code` set: the trainer failed, and may be tried again. */
    int (*run)(const struct trainer_task *task, struct trainer_result *out, struct err *err);
};

/* ERR_UNSUPPORTED if there is none of that name. */
int trainer_find(const char *name, const struct trainer **out, struct err *err) MUST_USE;
/* The i-th of the table, NULL past the end; for help texts. */
const struct trainer *trainer_at(size_t i);

/* Runs the trainer that the plan names; if it fails, the output file is removed and of `out` only
 * `code` means something. */
int trainer_run(const struct trainer_task *task, struct trainer_result *out,
                struct err *err) MUST_USE;
void trainer_result_fini(struct trainer_result *r);

/* What an update says of a trainer that is built in: SHA-256 of "colmeia-native-1 NAME". */
void trainer_digest(const char *name, uint8_t out[HASH_BYTES]);

/* For trainers. Adds a metric; NAN is allowed. */
void trainer_add_metric(struct trainer_result *r, const char *name, double value);
/* Makes the output file and copies the base's header into it; the caller closes `out`. */
int trainer_begin_output(const struct trainer_task *task, int *out, struct err *err) MUST_USE;

#endif
