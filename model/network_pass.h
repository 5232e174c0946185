/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_pass -- examples on their way through a network: forwards for the loss, back for its
 * gradient. Internal to network.c and network_train.c.
 *
 * A batch goes through in parts of as many rows as one slab of bounded size holds: memory does not
 * grow with the batch, and nothing is allocated after init. Slabs of parameters (model, gradient,
 * velocity, base) are laid out as the model's data section is.
 */
#ifndef COLMEIA_MODEL_NETWORK_PASS_H
#define COLMEIA_MODEL_NETWORK_PASS_H

#include "model/network.h"

struct network_pass_layer {
    size_t in, out;
    size_t weight, bias; /* (out, in), (out): where they begin in a slab of parameters, in floats */
    float *value;        /* (part, out) what it gives: after ReLU; the last one without */
    float *slope;        /* (part, out) of the loss by its sums, the values before ReLU */
};

struct network_pass {
    enum network_kind kind;
    size_t features, layer_count;
    struct network_pass_layer layers[NETWORK_HIDDEN_MAX + 1];
    const float *model;
    const struct dataset *data;
    const float *mean, *deviation; /* (features) in the model; NULL: inputs are taken as they are */
    size_t part;                   /* rows at a time */
    float *slab;
    float *x; /* (part, features) gathered and scaled */
};

/* Which examples: numbers first .. first + count - 1 of `order`, or of the dataset if it is NULL.
 */
struct network_pass_rows {
    const size_t *order;
    size_t first, count;
};

/* Borrows all it is given. ERR_USAGE, ERR_MALFORMED as network_train says. */
int network_pass_init(struct network_pass *p, const struct network *n, const struct layout *l,
                      const void *model, const struct dataset *d, struct err *err) MUST_USE;
void network_pass_fini(struct network_pass *p);

/* The sum of the losses; adds to *correct what is right. */
double network_pass_loss(struct network_pass *p, const struct network_pass_rows *rows,
                         uint64_t *correct);
/* gradient = keep gradient + the gradient of the rows' mean loss. Returns the sum of the losses. */
double network_pass_gradient(struct network_pass *p, const struct network_pass_rows *rows,
                             float keep, float *gradient);
/* weight_decay/2 |weights|^2 + proximal/2 |w - base|^2; and adds their gradients. */
double network_pass_penalty(const struct network_pass *p, const struct network_options *o,
                            const float *base);
void network_pass_regularise(const struct network_pass *p, const struct network_options *o,
                             const float *base, float *gradient);

#endif
