/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network -- the networks that the native trainer knows, on BLAS: logistic regression, multinomial
 * logistic regression, and the multilayer perceptron with ReLU; trained by SGD.
 *
 *     kind        output   loss                         tensors (all F32; w row-major, out x in)
 *     logistic    1        binary cross-entropy         weight (features), bias (1)
 *     softmax     classes  softmax cross-entropy        weight (classes, features), bias (classes)
 *     mlp         classes  softmax cross-entropy        layers.I.weight (out, in), layers.I.bias
 * (out)
 *
 * and for each the fixed tensors input.mean and input.deviation (features), 0 and 1 until a round
 * by the rule `moments` sets them: inputs are scaled by them. Parameters are f32, as everywhere;
 * sums of losses are f64. Same machine, seed, data and model: same bits (BLAS on one thread; exp
 * and BLAS differ between machines, so training is not on the checkable path). A data section is
 * aligned as float is.
 */
#ifndef COLMEIA_MODEL_NETWORK_H
#define COLMEIA_MODEL_NETWORK_H

#include <stdatomic.h>

#include "base/hash.h"
#include "model/dataset.h"
#include "model/layout.h"

#define NETWORK_HIDDEN_MAX 8
#define NETWORK_WIDTH_MAX  65536        /* units of a layer; features */
#define NETWORK_BYTES_MAX  (1ull << 30) /* of all tensors: a network is trained in memory */
#define NETWORK_NAME_MAX   24           /* of a layer's tensors */

enum network_kind {
    NETWORK_LOGISTIC,
    NETWORK_SOFTMAX,
    NETWORK_MLP
};

struct network {
    enum network_kind kind;
    size_t features, classes; /* classes: 2 for logistic */
    size_t hidden_count;
    size_t hidden[NETWORK_HIDDEN_MAX];
};

struct network_layer {
    size_t in, out;
    char weight[NETWORK_NAME_MAX], bias[NETWORK_NAME_MAX]; /* its tensors */
};

/* "logistic", "softmax", "mlp"; false if it is none of them. */
bool network_parse_kind(const char *name, enum network_kind *out);
const char *network_kind_name(enum network_kind kind);
/* Layer i of hidden_count + 1. */
struct network_layer network_layer(const struct network *n, size_t i);

/* ERR_USAGE for a shape that makes no sense (no features, fewer than 2 classes, an mlp without
 * hidden layers or another with them), ERR_LIMIT past a limit. The caller frees the layout. */
int network_layout(const struct network *n, struct layout **out, struct err *err) MUST_USE;
/* Is `l` this network's layout? ERR_MALFORMED says where it differs. */
int network_check(const struct network *n, const struct layout *l, struct err *err) MUST_USE;
/* The network whose layout this is; ERR_MALFORMED if it is none's. */
int network_of(const struct layout *l, struct network *out, struct err *err) MUST_USE;
/* Fills a model's data section: logistic and softmax with zeros, an mlp's weights uniformly within
 * +-sqrt(6 / fan_in) (He et al. 2015), drawn from `seed` layer by layer, row by row, with no
 * operation but + - * / sqrt: the same bits on every machine; biases 0. */
void network_init(const struct network *n, const struct layout *l, const uint8_t seed[HASH_BYTES],
                  void *data);

struct network_options {
    uint64_t epochs; /* passes over the data; 0: `steps` counts */
    uint64_t steps;  /* SGD steps, pass after pass; 0: `epochs` counts. Exactly one is not 0 */
    uint64_t batch;  /* examples a step, the last of a pass being short; 0: all of them */
    double learning_rate;
    double momentum; /* v = momentum v + g; w -= rate v (Sutskever et al. 2013, as in PyTorch) */
    double weight_decay; /* g += weight_decay w, on weights alone */
    double proximal;     /* g += proximal (w - base): FedProx (Li et al. 2020, eq. 2); 0: none */
    const void *base;    /* its data section; NULL: the model as it is given */
    const atomic_bool *cancel; /* looked at between steps; may be NULL */
};

struct network_metrics {
    double loss,
        accuracy;     /* means over all examples; the loss as in the table above, natural log */
    uint64_t correct; /* examples whose class has the largest output (logistic: p >= 1/2 is 1) */
};

/* A loss with its terms of weight decay and proximity, and its gradient. */
struct network_slope {
    double loss;
    float *gradient; /* the caller's, l->data_bytes; laid out as the data section is, 0 for fixed */
};

/* Trains in place on the data section. Each pass takes the examples in an order drawn from `seed`,
 * unless a batch is all of them. ERR_USAGE: data or options that do not fit; ERR_MALFORMED: the
 * model cannot scale its input, or training ended in a value that is not finite; ERR_TIMEOUT:
 * cancelled. On failure the model is as it was. */
int network_train(const struct network *n, const struct layout *l, void *data,
                  const struct dataset *d, const struct network_options *o,
                  const uint8_t seed[HASH_BYTES], struct err *err) MUST_USE;
int network_evaluate(const struct network *n, const struct layout *l, const void *data,
                     const struct dataset *d, struct network_metrics *out,
                     struct err *err) MUST_USE;

/* The mean loss on all of `d`, and its gradient: what the tests hold against finite differences. */
int network_gradient(const struct network *n, const struct layout *l, const void *data,
                     const struct dataset *d, const struct network_options *o,
                     struct network_slope *out, struct err *err) MUST_USE;

#endif
