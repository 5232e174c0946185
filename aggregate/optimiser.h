/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimiser -- the server's step on the mean of the deltas, in a table by name (Reddi et al. 2021,
 * "Adaptive Federated Optimization", algorithm 2; FedAvgM: Hsu et al. 2019).
 *
 *     none              x += D                                              no state
 *     fedavgm           m = beta1 m + D;                x += rate m         state m
 *     fedadagrad        v = v + D^2                                         state m, v
 *     fedadam           v = beta2 v + (1 - beta2) D^2
 *     fedyogi           v = v - (1 - beta2) D^2 sign(v - D^2)
 *        these three:   m = beta1 m + (1 - beta1) D;    x += rate m / (sqrt(v) + tau)
 *     fedadam-corrected as fedadam, with m / (1 - beta1^t) and v / (1 - beta2^t) (Kingma and Ba
 *                       2015, algorithm 1) in the step; t counts the plan's training rounds
 *
 * All in f64 on the exact mean D, then one rounding each of x (to the tensor's dtype), m and v (to
 * f32). m and v begin at 0, not at v >= tau^2 as in the paper. beta^t is t multiplications; there
 * is no exp, log or pow. No allocation; any thread, each on its own elements.
 */
#ifndef COLMEIA_AGGREGATE_OPTIMISER_H
#define COLMEIA_AGGREGATE_OPTIMISER_H

#include "model/dtype.h"

#define OPTIMISER_NAME_MAX 24

enum optimiser {
    OPTIMISER_NONE,
    OPTIMISER_FEDAVGM,
    OPTIMISER_FEDADAGRAD,
    OPTIMISER_FEDADAM,
    OPTIMISER_FEDADAM_CORRECTED,
    OPTIMISER_FEDYOGI
};

/* What a plan says. */
struct optimiser_setting {
    enum optimiser kind;
    double rate;         /* the server's learning rate; 1 for none */
    double beta1, beta2; /* 0 <= beta < 1 */
    double tau;          /* > 0 for the adaptive ones */
};

/* One round's step: the setting, and 1 - beta^t where the form is bias-corrected, else 1. */
struct optimiser_step {
    struct optimiser_setting setting;
    double correct1, correct2;
};

/* The names above; false if there is none of that name. */
bool optimiser_parse(const char *name, enum optimiser *out);
const char *optimiser_name(enum optimiser kind);
/* How many f32 a `mean` element has as state: 0, 1 (m) or 2 (m, v). */
size_t optimiser_slots(enum optimiser kind);

/* t >= 1. */
struct optimiser_step optimiser_step(const struct optimiser_setting *s, uint64_t t);

/* Elements to step on. */
struct optimiser_run {
    enum dtype dtype; /* F64, F32, F16 or BF16 */
    size_t n;
    const void *base;  /* (n) in `dtype` */
    const double *acc; /* (n) the mean is acc / total */
    uint64_t total;
    float *m, *v; /* (n) changed in place; NULL where the optimiser has no such state */
};

/* next (n) in the run's dtype; may be its base. False if a result (x, m or v) is not finite. */
bool optimiser_apply(const struct optimiser_step *s, const struct optimiser_run *r, void *next);

/* The same formula for one element in f64 throughout: the tests' oracle. */
double optimiser_apply_naive(const struct optimiser_step *s, double x, double mean, double *m,
                             double *v);

#endif
