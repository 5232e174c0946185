/* SPDX-License-Identifier: Apache-2.0 */
#include "model/logistic.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "model/gemm.h"

int logistic_layout(size_t features, struct layout **out, struct err *err)
{
    char weight[] = "weight", bias[] = "bias", mean[] = "input.mean",
         deviation[] = "input.deviation";
    struct tensor tensors[] = {
        {.name = weight, .use = USE_MEAN, .rank = 2, .shape = {1, features}},
        {.name = bias, .use = USE_MEAN, .rank = 1, .shape = {1}},
        {.name = mean, .use = USE_FIXED, .rank = 1, .shape = {features}},
        {.name = deviation, .use = USE_FIXED, .rank = 1, .shape = {features}},
    };
    for (size_t i = 0; i < 4; i++)
        tensors[i].dtype = DTYPE_F32;
    if (features == 0)
        return err_set(err, ERR_USAGE, "logistic: a model of no features");
    int rc = layout_new(tensors, 4, out, err);
    return rc != 0 ? err_wrap(err, rc, "logistic") : 0;
}

/* Where `name` lies in a data section of `l`. */
static uint8_t *tensor_at(const struct layout *l, void *data, const char *name)
{
    return (uint8_t *)data + layout_find(l, name)->offset;
}

static void read_tensor(const struct layout *l, const void *data, const char *name, float *out)
{
    const struct tensor *t = layout_find(l, name);
    memcpy(out, (const uint8_t *)data + t->offset, t->elements * sizeof *out);
}

void logistic_init(const struct layout *l, void *data)
{
    uint64_t features = layout_find(l, "input.deviation")->elements;
    uint8_t *deviation = tensor_at(l, data, "input.deviation");
    memset(data, 0, l->data_bytes);
    for (uint64_t j = 0; j < features; j++)
        dtype_put(DTYPE_F32, deviation + 4 * j, 1);
}

/* What training and evaluation work on. Parameters are kept in f64, so that many small steps add
 * up, and are rounded for each product. */
struct work {
    size_t rows, features;
    size_t batch; /* examples a step; rows: all of them, always */
    float *floats;
    float *mean, *deviation; /* (features) */
    float *weight, *product; /* (features) the parameters rounded; z x */
    float *z;                /* (batch) w x + b, then the slope p - y */
    float *x;                /* (rows, features) scaled */
    float *batch_x;          /* (batch, features) gathered, if batch < rows */
    uint32_t *batch_y;       /* (batch) */
    size_t *order;           /* (rows) in which the examples are taken */
    double *theta;           /* (features + 1) weights, then bias */
    double *slope;           /* (features + 1) the gradient */
};

static void work_fini(struct work *w)
{
    free(w->floats);
    free(w->batch_y);
    free(w->order);
    free(w->theta);
}

static int check_model(const struct layout *l, const struct dataset *d, struct err *err)
{
    struct layout *expected;
    int rc = logistic_layout(d->features, &expected, err);
    if (rc != 0)
        return rc;
    rc = layout_compare(expected, l, err);
    layout_free(expected);
    if (rc != 0)
        return err_wrap(err, ERR_USAGE, "not a logistic model of %zu features", d->features);
    if (d->rows == 0)
        return err_set(err, ERR_USAGE, "logistic: no examples");
    for (size_t i = 0; i < d->rows; i++)
        if (d->y[i] > 1)
            return err_set(err, ERR_USAGE,
                           "logistic: example %zu is of class %u; classes are 0 and 1", i, d->y[i]);
    return 0;
}

static int allocate(struct work *w, struct err *err)
{
    size_t gathered = w->batch < w->rows ? w->batch * w->features : 0;
    size_t floats = 4 * w->features + w->batch + w->rows * w->features + gathered;
    w->floats = malloc(floats * sizeof *w->floats);
    w->batch_y = malloc(w->batch * sizeof *w->batch_y);
    w->order = malloc(w->rows * sizeof *w->order);
    w->theta = malloc(2 * (w->features + 1) * sizeof *w->theta);
    if (w->floats == NULL || w->batch_y == NULL || w->order == NULL || w->theta == NULL)
        return err_set(err, ERR_NOMEM, "logistic: %zu examples: out of memory", w->rows);
    w->mean = w->floats;
    w->deviation = w->mean + w->features;
    w->weight = w->deviation + w->features;
    w->product = w->weight + w->features;
    w->z = w->product + w->features;
    w->x = w->z + w->batch;
    w->batch_x = w->x + w->rows * w->features;
    w->slope = w->theta + w->features + 1;
    return 0;
}

/* x (rows, features) = (d->x - mean) / deviation */
static int scale(struct work *w, const struct dataset *d, struct err *err)
{
    for (size_t j = 0; j < w->features; j++)
        if (!isfinite(w->mean[j]) || !isfinite(w->deviation[j]) || w->deviation[j] <= 0)
            return err_set(
                err, ERR_MALFORMED,
                "logistic: feature %zu cannot be scaled: its mean is %g, its deviation %g", j,
                (double)w->mean[j], (double)w->deviation[j]);
    for (size_t i = 0; i < w->rows; i++)
        for (size_t j = 0; j < w->features; j++) {
            double centred = (double)d->x[i * w->features + j] - (double)w->mean[j];
            w->x[i * w->features + j] = (float)(centred / (double)w->deviation[j]);
        }
    return 0;
}

/* Everything ready for the first step; on failure nothing is held. */
static int work_init(struct work *w, const struct layout *l, const void *data,
                     const struct dataset *d, uint64_t batch, struct err *err)
{
    int rc = check_model(l, d, err);
    if (rc != 0)
        return rc;
    *w = (struct work){.rows = d->rows, .features = d->features, .batch = d->rows};
    if (batch > 0 && batch < d->rows)
        w->batch = (size_t)batch;
    rc = allocate(w, err);
    if (rc != 0)
        goto out;
    read_tensor(l, data, "input.mean", w->mean);
    read_tensor(l, data, "input.deviation", w->deviation);
    read_tensor(l, data, "weight", w->weight);
    for (size_t j = 0; j < w->features; j++)
        w->theta[j] = (double)w->weight[j];
    float bias;
    read_tensor(l, data, "bias", &bias);
    w->theta[w->features] = (double)bias;
    for (size_t i = 0; i < w->rows; i++)
        w->order[i] = i;
    rc = scale(w, d, err);
out:
    if (rc != 0)
        work_fini(w);
    return rc;
}

/* -[y log p + (1 - y) log(1 - p)] for p = sigmoid(z), without overflow for any z. */
static double log_loss(double z, uint32_t y)
{
    return log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - (y == 1 ? z : 0);
}

static double sigmoid(double z)
{
    double e = exp(-fabs(z));
    return (z >= 0 ? 1 : e) / (1 + e);
}

/* z (n) = w x + b for x (n, features); returns the sum of the losses, and counts what is right. */
static double forward(struct work *w, size_t n, const float *x, const uint32_t *y, size_t *right)
{
    double loss = 0;
    for (size_t j = 0; j < w->features; j++)
        w->weight[j] = (float)w->theta[j];
    gemm_vector(n, w->features, x, w->weight, w->z);
    for (size_t i = 0; i < n; i++) {
        double z = (double)w->z[i] + w->theta[w->features];
        w->z[i] = (float)z;
        loss += log_loss(z, y[i]);
        *right += (z >= 0) == (y[i] == 1);
    }
    return loss;
}

/* The mean loss of n examples, l2 term included; slope (features + 1) is its gradient. */
static double gradient(struct work *w, size_t n, const float *x, const uint32_t *y, double l2)
{
    size_t right = 0;
    double loss = forward(w, n, x, y, &right) / (double)n, bias = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        double error = sigmoid((double)w->z[i]) - y[i];
        w->z[i] = (float)error;
        bias += error;
    }
    gemm_vector_transposed(n, w->features, x, w->z, w->product);
    for (size_t j = 0; j < w->features; j++) {
        w->slope[j] = (double)w->product[j] / (double)n + l2 * w->theta[j];
        norm += w->theta[j] * w->theta[j];
    }
    w->slope[w->features] = bias / (double)n;
    return loss + l2 / 2 * norm;
}

static void shuffle(struct work *w, struct random_stream *s)
{
    for (size_t i = w->rows - 1; i > 0; i--) {
        size_t j = (size_t)random_stream_below(s, i + 1);
        size_t other = w->order[j];
        w->order[j] = w->order[i];
        w->order[i] = other;
    }
}

static void step(struct work *w, size_t n, const float *x, const uint32_t *y,
                 const struct logistic_options *o)
{
    gradient(w, n, x, y, o->l2);
    for (size_t j = 0; j <= w->features; j++)
        w->theta[j] -= o->learning_rate * w->slope[j];
}

/* One pass over the examples in w->order, the last batch being short. */
static void pass(struct work *w, const struct dataset *d, const struct logistic_options *o)
{
    size_t n;
    for (size_t start = 0; start < w->rows; start += n) {
        n = w->rows - start < w->batch ? w->rows - start : w->batch;
        for (size_t i = 0; i < n; i++) {
            size_t row = w->order[start + i];
            memcpy(w->batch_x + i * w->features, w->x + row * w->features,
                   w->features * sizeof *w->x);
            w->batch_y[i] = d->y[row];
        }
        step(w, n, w->batch_x, w->batch_y, o);
    }
}

/* Rounds the parameters into the model, all or nothing. */
static int store(const struct work *w, const struct layout *l, void *data, struct err *err)
{
    for (size_t j = 0; j <= w->features; j++)
        if (!isfinite((float)w->theta[j]))
            return err_set(err, ERR_MALFORMED,
                           "logistic: training ended in a value that is not finite; try a smaller "
                           "learning rate");
    uint8_t *weight = tensor_at(l, data, "weight");
    for (size_t j = 0; j < w->features; j++)
        dtype_put(DTYPE_F32, weight + 4 * j, w->theta[j]);
    dtype_put(DTYPE_F32, tensor_at(l, data, "bias"), w->theta[w->features]);
    return 0;
}

int logistic_train(const struct layout *l, void *data, const struct dataset *d,
                   const struct logistic_options *o, const uint8_t seed[HASH_BYTES],
                   struct err *err)
{
    struct work w;
    struct random_stream draw;
    if (!isfinite(o->learning_rate) || o->learning_rate <= 0 || !isfinite(o->l2) || o->l2 < 0)
        return err_set(err, ERR_USAGE, "logistic: learning_rate must be > 0 and l2 >= 0");
    int rc = work_init(&w, l, data, d, o->batch, err);
    if (rc != 0)
        return rc;
    random_stream_init(&draw, seed);
    for (uint64_t i = 0; i < o->epochs; i++) {
        if (w.batch == w.rows) { /* the same in any order */
            step(&w, w.rows, w.x, d->y, o);
            continue;
        }
        shuffle(&w, &draw);
        pass(&w, d, o);
    }
    rc = store(&w, l, data, err);
    work_fini(&w);
    return rc;
}

int logistic_evaluate(const struct layout *l, const void *data, const struct dataset *d,
                      struct logistic_metrics *out, struct err *err)
{
    struct work w;
    size_t right = 0;
    int rc = work_init(&w, l, data, d, 0, err);
    if (rc != 0)
        return rc;
    out->loss = forward(&w, w.rows, w.x, d->y, &right) / (double)w.rows;
    out->accuracy = (double)right / (double)w.rows;
    work_fini(&w);
    return 0;
}

int logistic_gradient(const struct layout *l, const void *data, const struct dataset *d, double l2,
                      double *loss, double *out, struct err *err)
{
    struct work w;
    int rc = work_init(&w, l, data, d, 0, err);
    if (rc != 0)
        return rc;
    *loss = gradient(&w, w.rows, w.x, d->y, l2);
    memcpy(out, w.slope, (w.features + 1) * sizeof *out);
    work_fini(&w);
    return 0;
}
