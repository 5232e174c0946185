/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_twin -- networks again, naively: plain loops in f64, one example after the other. What
 * BLAS computes is held against it.
 */
#ifndef COLMEIA_TESTS_MODEL_NETWORK_TWIN_H
#define COLMEIA_TESTS_MODEL_NETWORK_TWIN_H

#include "tests/scratch.h"

#include <math.h>

#include "model/gemm.h"
#include "model/network.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

#define TWIN_WIDTH 32 /* of a layer, at most */

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct err e_ = {0}, *err = &e_;                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, e_.text);                                                    \
    } while (0)

static const uint8_t seed_a[HASH_BYTES] = {1}, seed_b[HASH_BYTES] = {2};

/* --- what is computed with --- */

struct twin {
    struct network n;
    struct layout *l;
    struct dataset d;
    size_t floats; /* of the data section */
    float *data;
};

UNUSED static float *twin_tensor(const struct twin *t, float *data, const char *name)
{
    return data + layout_find(t->l, name)->offset / sizeof *data;
}

/* Seeded examples: each class is a cloud of its own place, wide enough to overlap with others. */
UNUSED static struct dataset twin_examples(const struct network *n, size_t rows)
{
    struct random_stream s;
    struct dataset d = {.rows = rows, .features = n->features};
    d.x = malloc(rows * n->features * sizeof *d.x);
    d.y = malloc(rows * sizeof *d.y);
    assert_true(d.x != NULL && d.y != NULL);
    random_stream_init(&s, seed_a);
    for (size_t i = 0; i < rows; i++) {
        d.y[i] = (uint32_t)random_stream_below(&s, n->classes);
        for (size_t j = 0; j < n->features; j++)
            d.x[i * n->features + j] =
                (float)(2 * random_stream_unit(&s) - 1 + (double)(d.y[i] * (j + 1) % 3));
    }
    return d;
}

/* A network of that shape with parameters from -1 to 1, that scales its input if told so. */
UNUSED static struct twin twin_new(const struct network *n, size_t rows, bool scaled)
{
    struct random_stream s;
    struct twin t = {.n = *n};
    MUST(network_layout(n, &t.l, err));
    t.d = twin_examples(n, rows);
    t.floats = (size_t)t.l->data_bytes / sizeof *t.data;
    t.data = malloc((size_t)t.l->data_bytes);
    assert_non_null(t.data);
    network_init(n, t.l, seed_a, t.data);
    random_stream_init(&s, seed_b);
    for (size_t i = 0; i < t.l->tensor_count; i++) {
        const struct tensor *tensor = &t.l->tensors[i];
        float *at = t.data + tensor->offset / sizeof *at;
        for (size_t j = 0; j < tensor->elements && tensor->use == USE_MEAN; j++)
            at[j] = (float)(2 * random_stream_unit(&s) - 1);
    }
    for (size_t j = 0; j < n->features && scaled; j++) {
        twin_tensor(&t, t.data, "input.mean")[j] = 0.25f * (float)j - 0.5f;
        twin_tensor(&t, t.data, "input.deviation")[j] = 0.5f + 0.25f * (float)(j % 4);
    }
    return t;
}

UNUSED static void twin_free(struct twin *t)
{
    layout_free(t->l);
    dataset_fini(&t->d);
    free(t->data);
}

/* A copy; the caller frees. */
UNUSED static float *twin_copy(const struct twin *t)
{
    float *data = malloc((size_t)t->l->data_bytes);
    assert_non_null(data);
    memcpy(data, t->data, (size_t)t->l->data_bytes);
    return data;
}

UNUSED static double *twin_widen(const struct twin *t, const float *data)
{
    double *w = malloc(t->floats * sizeof *w);
    assert_non_null(w);
    for (size_t j = 0; j < t->floats; j++)
        w[j] = (double)data[j];
    return w;
}

/* --- loss and gradient --- */

/* Outputs (layers + 1 rows: the input first, ReLU applied) of one example. */
UNUSED static void twin_forward(const struct twin *t, const double *w, size_t row,
                                double a[][TWIN_WIDTH])
{
    const double *mean = w + layout_find(t->l, "input.mean")->offset / 4;
    const double *deviation = w + layout_find(t->l, "input.deviation")->offset / 4;
    for (size_t j = 0; j < t->n.features; j++)
        a[0][j] = ((double)t->d.x[row * t->n.features + j] - mean[j]) / deviation[j];
    for (size_t l = 0; l <= t->n.hidden_count; l++) {
        struct network_layer layer = network_layer(&t->n, l);
        const double *weight = w + layout_find(t->l, layer.weight)->offset / 4;
        const double *bias = w + layout_find(t->l, layer.bias)->offset / 4;
        for (size_t o = 0; o < layer.out; o++) {
            double z = bias[o];
            for (size_t i = 0; i < layer.in; i++)
                z += weight[o * layer.in + i] * a[l][i];
            a[l + 1][o] = l < t->n.hidden_count && z < 0 ? 0 : z;
        }
    }
}

/* The loss of outputs z, and its slope by each of them. */
UNUSED static double twin_loss_of(const struct network *n, const double *z, uint32_t y,
                                  double *slope)
{
    double sum = 0;
    if (n->kind == NETWORK_LOGISTIC) {
        double p = 1 / (1 + exp(-z[0]));
        slope[0] = p - y;
        return y == 1 ? -log(p) : -log(1 - p);
    }
    for (size_t c = 0; c < n->classes; c++)
        sum += exp(z[c]);
    for (size_t c = 0; c < n->classes; c++)
        slope[c] = exp(z[c]) / sum - (c == y);
    return -log(exp(z[y]) / sum);
}

/* Adds one example's gradient, times `share`. */
UNUSED static void twin_backward(const struct twin *t, const double *w, double a[][TWIN_WIDTH],
                                 double *slope, double share, double *gradient)
{
    for (size_t l = t->n.hidden_count + 1; l-- > 0;) {
        struct network_layer layer = network_layer(&t->n, l);
        size_t weight = layout_find(t->l, layer.weight)->offset / 4;
        size_t bias = layout_find(t->l, layer.bias)->offset / 4;
        double below[TWIN_WIDTH] = {0};
        for (size_t o = 0; o < layer.out; o++) {
            gradient[bias + o] += share * slope[o];
            for (size_t i = 0; i < layer.in; i++) {
                gradient[weight + o * layer.in + i] += share * slope[o] * a[l][i];
                below[i] += slope[o] * w[weight + o * layer.in + i];
            }
        }
        for (size_t i = 0; i < layer.in; i++)
            slope[i] = a[l][i] > 0 ? below[i] : 0;
    }
}

/* The mean loss of rows order[0 .. count - 1] (NULL: the first ones); its gradient is added. */
UNUSED static double twin_loss(const struct twin *t, const double *w, const size_t *order,
                               size_t count, double *gradient)
{
    double a[NETWORK_HIDDEN_MAX + 2][TWIN_WIDTH], slope[TWIN_WIDTH], loss = 0;
    for (size_t i = 0; i < count; i++) {
        size_t row = order == NULL ? i : order[i];
        twin_forward(t, w, row, a);
        loss += twin_loss_of(&t->n, a[t->n.hidden_count + 1], t->d.y[row], slope);
        if (gradient != NULL)
            twin_backward(t, w, a, slope, 1 / (double)count, gradient);
    }
    return loss / (double)count;
}

/* The terms of weight decay and proximity; their gradient is added. */
UNUSED static double twin_terms(const struct twin *t, const double *w, const double *base,
                                const struct network_options *o, double *gradient)
{
    double loss = 0;
    for (size_t i = 0; i < t->l->tensor_count; i++) {
        const struct tensor *tensor = &t->l->tensors[i];
        double decay = tensor->rank == 2 ? o->weight_decay : 0;
        for (size_t j = tensor->offset / 4;
             tensor->use == USE_MEAN && j < tensor->offset / 4 + tensor->elements; j++) {
            double away = w[j] - base[j];
            loss += decay / 2 * w[j] * w[j] + o->proximal / 2 * away * away;
            if (gradient != NULL)
                gradient[j] += decay * w[j] + o->proximal * away;
        }
    }
    return loss;
}

/* --- training --- */

/* Runs `steps` steps of network_train on w. */
UNUSED static void twin_train(const struct twin *t, double *w, const struct network_options *o,
                              uint64_t steps, const uint8_t seed[HASH_BYTES])
{
    size_t rows = t->d.rows, at = rows;
    size_t batch = o->batch == 0 || o->batch > rows ? rows : (size_t)o->batch;
    size_t *order = malloc(rows * sizeof *order), bytes = t->floats * sizeof *w;
    double *v = calloc(1, bytes), *gradient = malloc(bytes), *base = malloc(bytes);
    struct random_stream draw;
    assert_true(order != NULL && v != NULL && gradient != NULL && base != NULL);
    memcpy(base, w, bytes);
    random_stream_init(&draw, seed);
    for (size_t i = 0; i < rows; i++)
        order[i] = i;
    for (uint64_t k = 0; k < steps; k++) {
        if (at == rows) {
            at = 0;
            for (size_t i = rows - 1; i > 0 && batch < rows; i--) {
                size_t j = (size_t)random_stream_below(&draw, i + 1), other = order[j];
                order[j] = order[i];
                order[i] = other;
            }
        }
        size_t count = rows - at < batch ? rows - at : batch;
        memset(gradient, 0, bytes);
        twin_loss(t, w, order + at, count, gradient);
        twin_terms(t, w, base, o, gradient);
        for (size_t j = 0; j < t->floats; j++) {
            v[j] = o->momentum * v[j] + gradient[j];
            w[j] -= o->learning_rate * v[j];
        }
        at += count;
    }
    free(order);
    free(v);
    free(gradient);
    free(base);
}

UNUSED static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g is not %.9g", got, want);
}

#endif
