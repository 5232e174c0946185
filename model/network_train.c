/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "model/gemm.h"
#include "model/network.h"
#include "model/network_pass.h"

struct training {
    struct network_pass pass;
    const struct network_options *options;
    size_t batch;
    float *model;      /* the data section that is trained */
    float *before;     /* as it was */
    const float *base; /* what the proximal term pulls towards */
    float *velocity;   /* momentum velocity + gradient */
    size_t *order;     /* (rows) in which examples are taken; NULL: a batch is all of them */
    struct random_stream draw;
};

static bool in_range(double value, double most)
{
    return value >= 0 && value <= most;
}

static int check_options(const struct network_options *o, struct err *err)
{
    if ((o->epochs == 0) == (o->steps == 0))
        return err_set(err, ERR_USAGE, "give either epochs or steps to train");
    if (!in_range(o->learning_rate, (double)FLT_MAX) || o->learning_rate == 0)
        return err_set(err, ERR_USAGE, "the learning rate must be a number above 0");
    if (!in_range(o->momentum, 1) || o->momentum == 1)
        return err_set(err, ERR_USAGE, "momentum must be from 0 to below 1");
    if (!in_range(o->weight_decay, (double)FLT_MAX) || !in_range(o->proximal, (double)FLT_MAX))
        return err_set(err, ERR_USAGE, "weight_decay and proximal must be numbers of at least 0");
    return 0;
}

static void training_fini(struct training *t)
{
    network_pass_fini(&t->pass);
    free(t->before);
    free(t->velocity);
    free(t->order);
}

static int training_init(struct training *t, const struct layout *l, void *data,
                         const struct dataset *d, const struct network_options *o, struct err *err)
{
    size_t bytes = (size_t)l->data_bytes;
    t->options = o;
    t->batch = o->batch == 0 || o->batch > d->rows ? d->rows : (size_t)o->batch;
    t->model = data;
    t->before = malloc(bytes);
    t->velocity = calloc(1, bytes);
    if (t->batch < d->rows)
        t->order = malloc(d->rows * sizeof *t->order);
    if (t->before == NULL || t->velocity == NULL || (t->batch < d->rows && t->order == NULL))
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(t->before, data, bytes);
    t->base = o->base != NULL ? o->base : t->before;
    for (size_t i = 0; t->order != NULL && i < d->rows; i++)
        t->order[i] = i;
    return 0;
}

/* Fisher and Yates, drawn from the seed. */
static void shuffle(struct training *t, size_t rows)
{
    for (size_t i = rows - 1; i > 0; i--) {
        size_t j = (size_t)random_stream_below(&t->draw, i + 1);
        size_t other = t->order[j];
        t->order[j] = t->order[i];
        t->order[i] = other;
    }
}

/* v = momentum v + gradient, w -= rate v: the gradient is added where v lies. */
static void step(struct training *t, const struct network_pass_rows *rows)
{
    const struct network_options *o = t->options;
    float rate = -(float)o->learning_rate;
    (void)network_pass_gradient(&t->pass, rows, (float)o->momentum, t->velocity);
    if (o->weight_decay > 0 || o->proximal > 0)
        network_pass_regularise(&t->pass, o, t->base, t->velocity);
    for (size_t l = 0; l < t->pass.layer_count; l++) {
        const struct network_pass_layer *layer = &t->pass.layers[l];
        gemm_add(layer->out * layer->in, rate, t->velocity + layer->weight,
                 t->model + layer->weight);
        gemm_add(layer->out, rate, t->velocity + layer->bias, t->model + layer->bias);
    }
}

/* One pass over the examples; *done counts steps and stops at the options' number. */
static int run_pass(struct training *t, size_t rows, uint64_t *done, struct err *err)
{
    const struct network_options *o = t->options;
    struct network_pass_rows batch = {.order = t->order};
    if (t->order != NULL)
        shuffle(t, rows);
    for (; batch.first < rows; batch.first += batch.count) {
        if (o->cancel != NULL && atomic_load(o->cancel))
            return err_set(err, ERR_TIMEOUT, "cancelled");
        if (o->steps > 0 && *done == o->steps)
            return 0;
        size_t left = rows - batch.first;
        batch.count = left < t->batch ? left : t->batch;
        step(t, &batch);
        ++*done;
    }
    return 0;
}

static int run(struct training *t, size_t rows, struct err *err)
{
    const struct network_options *o = t->options;
    uint64_t done = 0;
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && (o->steps > 0 ? done < o->steps : i < o->epochs); i++)
        rc = run_pass(t, rows, &done, err);
    return rc;
}

static int check_result(const struct layout *l, const float *model, struct err *err)
{
    for (size_t j = 0; j < l->data_bytes / sizeof *model; j++)
        if (!isfinite(model[j]))
            return err_set(err, ERR_MALFORMED,
                           "training ended in a value that is not finite; try a smaller learning "
                           "rate");
    return 0;
}

int network_train(const struct network *n, const struct layout *l, void *data,
                  const struct dataset *d, const struct network_options *o,
                  const uint8_t seed[HASH_BYTES], struct err *err)
{
    struct training t = {.order = NULL};
    int rc = check_options(o, err);
    if (rc == 0)
        rc = network_pass_init(&t.pass, n, l, data, d, err);
    if (rc != 0)
        return rc;
    random_stream_init(&t.draw, seed);
    rc = training_init(&t, l, data, d, o, err);
    if (rc == 0) {
        rc = run(&t, d->rows, err);
        if (rc == 0)
            rc = check_result(l, data, err);
        if (rc != 0)
            memcpy(data, t.before, (size_t)l->data_bytes);
    }
    training_fini(&t);
    return rc != 0 ? err_wrap(err, rc, "%s", network_kind_name(n->kind)) : 0;
}
