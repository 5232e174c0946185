/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logistic -- binary logistic regression, trained by mini-batch SGD on BLAS.
 *
 * Tensors, all F32: weight (1, features) and bias (1), averaged; input.mean (features) and
 * input.deviation (features), fixed: set by the rule `moments`, applied to every input as (x -
 * mean) / deviation. Loss: mean over the batch of
 * -[y log p + (1 - y) log(1 - p)], p = sigmoid(w x + b), plus l2/2 |w|^2 (the bias is not decayed).
 * Seeded: the same seed, data and options give the same model on the same machine (exp differs
 * between machines, which is why training is not on the checkable path).
 */
#ifndef COLMEIA_MODEL_LOGISTIC_H
#define COLMEIA_MODEL_LOGISTIC_H

#include "base/hash.h"
#include "model/dataset.h"
#include "model/layout.h"

struct logistic_options {
    uint64_t epochs;      /* passes over the data */
    uint64_t batch;       /* examples a step; 0: all of them */
    double learning_rate; /* > 0 */
    double l2;            /* >= 0 */
};

struct logistic_metrics {
    double loss;     /* mean negative log-likelihood, natural log, without the l2 term */
    double accuracy; /* share of examples with (p >= 0.5) == y */
};

/* The layout for `features` inputs. */
int logistic_layout(size_t features, struct layout **out, struct err *err) MUST_USE;
/* Fills a data section of that layout (l->data_bytes): weights and bias 0, mean 0, deviation 1. */
void logistic_init(const struct layout *l, void *data);

/* Trains `data` (a data section, in place). ERR_USAGE if the layout is not this model's or the
 * dataset has other features; ERR_MALFORMED if the result is not finite. */
int logistic_train(const struct layout *l, void *data, const struct dataset *d,
                   const struct logistic_options *o, const uint8_t seed[HASH_BYTES],
                   struct err *err) MUST_USE;
int logistic_evaluate(const struct layout *l, const void *data, const struct dataset *d,
                      struct logistic_metrics *out, struct err *err) MUST_USE;

/* Loss (l2 term included) and gradient of the batch of all rows, for tests against finite
 * differences: `out` is (features + 1), weights then bias. */
int logistic_gradient(const struct layout *l, const void *data, const struct dataset *d, double l2,
                      double *loss, double *out, struct err *err) MUST_USE;

#endif
