/* SPDX-License-Identifier: Apache-2.0 */
#include "model/network_pass.h"

#include <math.h>
#include <stdlib.h>

#include "model/gemm.h"

#define PART_ROWS_MAX 512
#define PART_FLOATS   (1u << 23) /* of a slab, where that is more than one row: 32 MiB */

/* --- getting ready --- */

static int check_data(const struct network *n, const struct dataset *d, struct err *err)
{
    if (d->features != n->features)
        return err_set(err, ERR_USAGE, "the data has %zu features, the model %zu", d->features,
                       n->features);
    if (d->rows == 0)
        return err_set(err, ERR_USAGE, "no examples");
    for (size_t i = 0; i < d->rows; i++)
        if (d->y[i] >= n->classes)
            return err_set(err, ERR_USAGE, "example %zu is not of a class below %zu", i,
                           n->classes);
    return 0;
}

static size_t float_offset(const struct layout *l, const char *name)
{
    return (size_t)layout_find(l, name)->offset / sizeof(float);
}

/* How inputs are scaled; not at all where that would change nothing. */
static int take_scaling(struct network_pass *p, const struct layout *l, struct err *err)
{
    const float *mean = p->model + float_offset(l, "input.mean");
    const float *deviation = p->model + float_offset(l, "input.deviation");
    for (size_t j = 0; j < p->features; j++) {
        if (!isfinite(mean[j]) || !isfinite(deviation[j]) || deviation[j] <= 0)
            return err_set(err, ERR_MALFORMED,
                           "feature %zu cannot be scaled: its mean is %g, its deviation %g", j,
                           (double)mean[j], (double)deviation[j]);
        if (mean[j] != 0 || deviation[j] != 1) {
            p->mean = mean;
            p->deviation = deviation;
        }
    }
    return 0;
}

static int allocate(struct network_pass *p, struct err *err)
{
    size_t width = p->features;
    for (size_t i = 0; i < p->layer_count; i++)
        width += 2 * p->layers[i].out;
    p->part = PART_FLOATS / width < PART_ROWS_MAX ? PART_FLOATS / width : PART_ROWS_MAX;
    if (p->part > p->data->rows)
        p->part = p->data->rows;
    p->slab = malloc(p->part * width * sizeof *p->slab);
    if (p->slab == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    p->x = p->slab;
    float *at = p->x + p->part * p->features;
    for (size_t i = 0; i < p->layer_count; i++) {
        struct network_pass_layer *layer = &p->layers[i];
        layer->value = at;
        layer->slope = at + p->part * layer->out;
        at += 2 * p->part * layer->out;
    }
    return 0;
}

static void take_layers(struct network_pass *p, const struct network *n, const struct layout *l)
{
    p->layer_count = n->hidden_count + 1;
    for (size_t i = 0; i < p->layer_count; i++) {
        struct network_layer layer = network_layer(n, i);
        p->layers[i] = (struct network_pass_layer){.in = layer.in,
                                                   .out = layer.out,
                                                   .weight = float_offset(l, layer.weight),
                                                   .bias = float_offset(l, layer.bias)};
    }
}

int network_pass_init(struct network_pass *p, const struct network *n, const struct layout *l,
                      const void *model, const struct dataset *d, struct err *err)
{
    *p = (struct network_pass){.kind = n->kind, .features = n->features, .model = model, .data = d};
    int rc = network_check(n, l, err);
    if (rc != 0)
        return err_wrap(err, ERR_USAGE, "the model");
    rc = check_data(n, d, err);
    if (rc == 0)
        rc = take_scaling(p, l, err);
    if (rc == 0) {
        take_layers(p, n, l);
        rc = allocate(p, err);
    }
    return rc != 0 ? err_wrap(err, rc, "%s", network_kind_name(n->kind)) : 0;
}

void network_pass_fini(struct network_pass *p)
{
    free(p->slab);
}

/* --- forwards --- */

static size_t row_of(const struct network_pass_rows *rows, size_t i)
{
    return rows->order != NULL ? rows->order[rows->first + i] : rows->first + i;
}

/* x (count, features), from the dataset itself if it lies there as it is needed. */
static const float *take_input(const struct network_pass *p, const struct network_pass_rows *rows)
{
    size_t features = p->features;
    if (rows->order == NULL && p->mean == NULL)
        return p->data->x + rows->first * features;
    for (size_t i = 0; i < rows->count; i++) {
        const float *from = p->data->x + row_of(rows, i) * features;
        float *to = p->x + i * features;
        if (p->mean == NULL) {
            memcpy(to, from, features * sizeof *to);
            continue;
        }
        for (size_t j = 0; j < features; j++)
            to[j] = (float)(((double)from[j] - (double)p->mean[j]) / (double)p->deviation[j]);
    }
    return p->x;
}

/* value (count, out) = ReLU(x (count, in) t(w (out, in)) + b), the last layer without ReLU. */
static void forward(const struct network_pass *p, size_t count, const float *x)
{
    for (size_t l = 0; l < p->layer_count; l++) {
        const struct network_pass_layer *layer = &p->layers[l];
        size_t out = layer->out;
        for (size_t i = 0; i < count; i++)
            memcpy(layer->value + i * out, p->model + layer->bias, out * sizeof *x);
        gemm_nt(count, out, layer->in, x, p->model + layer->weight, 1, layer->value);
        for (size_t i = 0; i < count * out && l + 1 < p->layer_count; i++)
            layer->value[i] = layer->value[i] > 0 ? layer->value[i] : 0;
        x = layer->value;
    }
}

/* --- losses of one example: z its outputs, slope the loss by each of them, divided by `count` ---
 */

/* -[y log p + (1 - y) log(1 - p)] for p = sigmoid(z), without overflow for any z. */
static double logistic_loss(double z, uint32_t y, double count, float *slope, uint64_t *correct)
{
    double e = exp(-fabs(z));
    double p = (z >= 0 ? 1 : e) / (1 + e);
    *slope = (float)((p - y) / count);
    *correct += (z >= 0) == (y == 1);
    return log1p(e) + (z > 0 ? z : 0) - (y == 1 ? z : 0);
}

/* -log p_y for p = softmax(z); of equal outputs the first counts as the largest. */
static double softmax_loss(size_t classes, const float *z, uint32_t y, double count, float *slope,
                           uint64_t *correct)
{
    size_t largest = 0;
    double sum = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[largest])
            largest = c;
    double top = (double)z[largest];
    for (size_t c = 0; c < classes; c++) {
        double e = exp((double)z[c] - top);
        slope[c] = (float)e;
        sum += e;
    }
    for (size_t c = 0; c < classes; c++)
        slope[c] = (float)(((double)slope[c] / sum - (c == y ? 1 : 0)) / count);
    *correct += largest == y;
    return log(sum) + top - (double)z[y];
}

/* Sets the last layer's slopes; returns the sum of the losses. */
static double losses(const struct network_pass *p, const struct network_pass_rows *part,
                     double count, uint64_t *correct)
{
    const struct network_pass_layer *last = &p->layers[p->layer_count - 1];
    double sum = 0;
    for (size_t i = 0; i < part->count; i++) {
        const float *z = last->value + i * last->out;
        float *slope = last->slope + i * last->out;
        uint32_t y = p->data->y[row_of(part, i)];
        sum += p->kind == NETWORK_LOGISTIC ? logistic_loss((double)*z, y, count, slope, correct)
                                           : softmax_loss(last->out, z, y, count, slope, correct);
    }
    return sum;
}

/* --- back --- */

/* slope (count, in) of the layer below = (slope (count, out) w (out, in)) where its ReLU let the
 * sum through. */
static void descend(const struct network_pass *p, size_t l, size_t count)
{
    const struct network_pass_layer *layer = &p->layers[l], *below = &p->layers[l - 1];
    gemm_nn(count, layer->in, layer->out, layer->slope, p->model + layer->weight, 0, below->slope);
    for (size_t i = 0; i < count * below->out; i++)
        below->slope[i] = below->value[i] > 0 ? below->slope[i] : 0;
}

/* gradient = keep gradient + that of this part: (out, in) t(slope (count, out)) x (count, in), and
 * for the bias the sum of the slopes. */
static void backward(const struct network_pass *p, size_t count, const float *x, float keep,
                     float *gradient)
{
    for (size_t l = p->layer_count; l-- > 0;) {
        const struct network_pass_layer *layer = &p->layers[l];
        float *bias = gradient + layer->bias;
        gemm_tn(layer->out, layer->in, count, layer->slope, l > 0 ? p->layers[l - 1].value : x,
                keep, gradient + layer->weight);
        for (size_t j = 0; j < layer->out; j++)
            bias[j] *= keep;
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < layer->out; j++)
                bias[j] += layer->slope[i * layer->out + j];
        if (l > 0)
            descend(p, l, count);
    }
}

/* --- whole batches --- */

/* The part that begins with the batch's row `at`. */
static struct network_pass_rows part_of(const struct network_pass *p,
                                        const struct network_pass_rows *rows, size_t at)
{
    size_t left = rows->count - at;
    return (struct network_pass_rows){
        .order = rows->order, .first = rows->first + at, .count = left < p->part ? left : p->part};
}

double network_pass_loss(struct network_pass *p, const struct network_pass_rows *rows,
                         uint64_t *correct)
{
    double sum = 0;
    for (size_t at = 0; at < rows->count; at += p->part) {
        struct network_pass_rows part = part_of(p, rows, at);
        forward(p, part.count, take_input(p, &part));
        sum += losses(p, &part, (double)rows->count, correct);
    }
    return sum;
}

double network_pass_gradient(struct network_pass *p, const struct network_pass_rows *rows,
                             float keep, float *gradient)
{
    uint64_t correct = 0;
    double sum = 0;
    for (size_t at = 0; at < rows->count; at += p->part) {
        struct network_pass_rows part = part_of(p, rows, at);
        const float *x = take_input(p, &part);
        forward(p, part.count, x);
        sum += losses(p, &part, (double)rows->count, &correct);
        backward(p, part.count, x, at == 0 ? keep : 1, gradient);
    }
    return sum;
}

/* --- terms that know no examples --- */

static double squared_distance(size_t count, const float *w, const float *base)
{
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
        double away = (double)w[j] - (base == NULL ? 0 : (double)base[j]);
        sum += away * away;
    }
    return sum;
}

double network_pass_penalty(const struct network_pass *p, const struct network_options *o,
                            const float *base)
{
    double norm = 0, distance = 0;
    for (size_t l = 0; l < p->layer_count; l++) {
        const struct network_pass_layer *layer = &p->layers[l];
        const float *w = p->model;
        size_t weights = layer->out * layer->in, at = layer->weight, bias = layer->bias;
        norm += squared_distance(weights, w + at, NULL);
        distance += squared_distance(weights, w + at, base + at) +
                    squared_distance(layer->out, w + bias, base + bias);
    }
    return o->weight_decay / 2 * norm + o->proximal / 2 * distance;
}

static void pull(size_t count, float rate, const float *w, const float *base, float *gradient)
{
    for (size_t j = 0; j < count; j++)
        gradient[j] += rate * (w[j] - base[j]);
}

void network_pass_regularise(const struct network_pass *p, const struct network_options *o,
                             const float *base, float *gradient)
{
    float rate = (float)o->proximal;
    for (size_t l = 0; l < p->layer_count; l++) {
        const struct network_pass_layer *layer = &p->layers[l];
        const float *w = p->model;
        size_t weights = layer->out * layer->in, at = layer->weight, bias = layer->bias;
        if (o->weight_decay > 0)
            gemm_add(weights, (float)o->weight_decay, w + at, gradient + at);
        if (rate > 0) {
            pull(weights, rate, w + at, base + at, gradient + at);
            pull(layer->out, rate, w + bias, base + bias, gradient + bias);
        }
    }
}
