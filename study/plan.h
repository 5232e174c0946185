/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan -- what is trained, how, and by which rules. kind colmeia/plan/2, by the founder. A site
 * approves one by its CID. Version 1, which knew neither networks nor optimisers, is still read.
 */
#ifndef COLMEIA_STUDY_PLAN_H
#define COLMEIA_STUDY_PLAN_H

#include "aggregate/optimiser.h"
#include "aggregate/rule.h"
#include "model/network.h"
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
#define PLAN_STEPS_MAX      1000000000
#define PLAN_RATE_MAX       1e6 /* of learning_rate, weight_decay, proximal and the server's rate */
#define PLAN_NORM_MAX       1e300                  /* of a bound on an update's norm */
#define PLAN_BYTES_MAX      (4 * LAYOUT_BYTES_MAX) /* of a quota */

struct plan_step {
    char rule[RULE_NAME_MAX];
    uint64_t rounds;
};

struct plan {
    struct cid cid;        /* none before it is signed */
    struct cid prev;       /* none for the first */
    struct cid layout;     /* the layout object */
    struct cid model;      /* the initial model's root */
    char architecture[32]; /* "logistic", "softmax", "mlp"; "external": known to the trainer only */
    size_t hidden_count;   /* mlp: its hidden layers, at least one; else 0 */
    uint64_t hidden[NETWORK_HIDDEN_MAX]; /* units of each */
    uint64_t seed;
    size_t step_count;
    struct plan_step schedule[PLAN_SCHEDULE_MAX];
    uint64_t fraction_ppm; /* of admitted sites that train, in millionths: 1..1000000; rules
                              that do not train ask everybody */
    uint64_t minimum;      /* sites online before a round opens; >= quorum */
    uint64_t quorum;       /* accepted updates before it may close */
    uint64_t deadline_ms;  /* study time from opening */
    char trainer[32];      /* "native"; "program": any program behind the trainer contract,
                              which each site names; a test trainer: "null", "constant" */
    bool pinned;           /* program: only the one with this digest */
    uint8_t trainer_digest[HASH_BYTES];
    char target[128];           /* data: name of the target column; "" if the trainer needs none */
    uint64_t features, classes; /* 0 where the architecture says nothing of them */
    /* hyperparameters: what native trainers obey, and programs are told */
    uint64_t epochs; /* passes over the data; 0: `steps` counts */
    uint64_t steps;  /* local updates; 0: `epochs` counts. Exactly one of both is not 0 */
    uint64_t batch;  /* examples a step; 0: all */
    double learning_rate;
    double momentum;                    /* 0..1, of the site's SGD */
    double weight_decay;                /* on weights, not on biases */
    double proximal;                    /* FedProx's mu; 0: FedAvg's local objective */
    struct optimiser_setting optimiser; /* the server's */
    char codec[16];                     /* "plain" */
    uint64_t keep_updates, keep_models; /* retention, in rounds; 0: for ever */
    uint64_t update_bytes_max;          /* limits: quota of a site and round; 0: twice the layout */
    double update_norm_max; /* limits: L2 norm of a delta, all `mean` elements; 0: no bound */
};

/* Total rounds of the schedule. */
uint64_t plan_rounds(const struct plan *p);
/* How many of the rounds 1..number have a rule that trains: the server optimiser's t. */
uint64_t plan_training_rounds(const struct plan *p, uint64_t number);
/* How many sites round `number` selects at first, of `admitted`: ceil(fraction x admitted) if its
 * rule trains, else all of them; `minimum` at least. */
uint64_t plan_wanted(const struct plan *p, uint64_t number, uint64_t admitted);
/* The plan's network; false if its architecture is external. */
bool plan_network(const struct plan *p, struct network *out);
/* The rule of round `number` (from 1); NULL past the end. */
const struct rule *plan_rule(const struct plan *p, uint64_t number);
/* Does any step's rule ask for this kind of answer? */
bool plan_asks(const struct plan *p, enum rule_answer answer);
/* SHA-256 over a domain text and the plan's seed: the initial model's seed; with round and roster
 * index: a site's training seed; with the round: the selection's. */
void plan_initial_seed(const struct plan *p, uint8_t out[HASH_BYTES]);
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
