/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan -- what is trained, how, and by which rules. kind colmeia/plan/1, by the founder. A site
 * approves one by its CID.
 */
#ifndef COLMEIA_STUDY_PLAN_H
#define COLMEIA_STUDY_PLAN_H

#include "aggregate/rule.h"
#include "study/record.h"

#define PLAN_SCHEDULE_MAX   64
#define PLAN_RULE_NAMES_MAX 256
#define PLAN_NAMES_MAX      256 /* tensors named fixed or largest */
#define PLAN_ROUNDS_MAX     1000000
#define PLAN_SELECTED_MAX   1024
#define PLAN_PPM            1000000
#define PLAN_DEADLINE_MAX   31536000000ull /* milliseconds: a year */
#define PLAN_EPOCHS_MAX     1000000
#define PLAN_BATCH_MAX      (1u << 30)
#define PLAN_RATE_MAX       1e6 /* of learning_rate and l2 */

struct plan_step {
    char rule[RULE_NAME_MAX];
    uint64_t rounds;
};

struct plan {
    struct cid cid;        /* none before it is signed */
    struct cid prev;       /* none for the first */
    struct cid layout;     /* the layout object */
    struct cid model;      /* the initial model's root */
    char architecture[32]; /* "logistic"; "external": known to the trainer only */
    uint64_t seed;
    size_t step_count;
    struct plan_step schedule[PLAN_SCHEDULE_MAX];
    uint64_t fraction_ppm;      /* of admitted sites selected, in millionths: 1..1000000 */
    uint64_t minimum;           /* sites online before a round opens; >= quorum */
    uint64_t quorum;            /* accepted updates before it may close */
    uint64_t deadline_ms;       /* study time from opening */
    char trainer[32];           /* "native", or a test trainer: "null", "constant" */
    char target[128];           /* data: name of the target column; "" if the trainer needs none */
    uint64_t features, classes; /* 0 where the architecture says nothing of them */
    /* hyperparameters of native trainers */
    uint64_t epochs, batch;
    double learning_rate, l2;
    char optimiser[16];                 /* "none" */
    char codec[16];                     /* "plain" */
    uint64_t keep_updates, keep_models; /* retention, in rounds; 0: for ever */
    uint64_t update_bytes_max;          /* limits: quota of a site and round; 0: twice the layout */
};

/* Total rounds of the schedule. */
uint64_t plan_rounds(const struct plan *p);
/* The rule of round `number` (from 1); NULL past the end. */
const struct rule *plan_rule(const struct plan *p, uint64_t number);
/* Does any step's rule ask for this kind of answer? */
bool plan_asks(const struct plan *p, enum rule_answer answer);
/* SHA-256 over domain text, plan seed, round, roster index: a site's training seed; and the
 * selection's seed. */
void plan_site_seed(const struct plan *p, uint64_t round, uint64_t index, uint8_t out[HASH_BYTES]);
void plan_selection_seed(const struct plan *p, uint64_t round, uint8_t out[HASH_BYTES]);
/* First round whose updates / whose next model is still held once round `number` is closed, at
 * least 1; a pure function of (round, plan). */
uint64_t plan_updates_held_from(const struct plan *p, uint64_t number);
uint64_t plan_models_held_from(const struct plan *p, uint64_t number);
/* Quota in bytes of a site's pack for one round: update_bytes_max or 2 x the layout's update + 1
 * MiB. */
uint64_t plan_quota(const struct plan *p, const struct layout *l);

/* Known rules as a list for people: "fedavg, moments, evaluate". */
const char *plan_rule_names(char out[PLAN_RULE_NAMES_MAX]);

int plan_sign(const struct plan *p, const struct cid *study, const struct key *founder,
              struct buf *out, struct cid *cid, struct err *err) MUST_USE;
/* Checks every value against its range. ERR_UNSUPPORTED: a rule, trainer, architecture, optimiser
 * or codec that this program does not know. */
int plan_decode(struct bytes in, const struct cid *study, const struct key_public *founder,
                struct plan *out, struct err *err) MUST_USE;

#endif
