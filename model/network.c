/* SPDX-License-Identifier: Apache-2.0 */
#include "model/network.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "model/network_pass.h"

#define TENSORS_MAX (2 * (NETWORK_HIDDEN_MAX + 1) + 2)

static const char *const kinds[] = {"logistic", "softmax", "mlp"};

bool network_parse_kind(const char *name, enum network_kind *out)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i]) == 0) {
            *out = (enum network_kind)i;
            return true;
        }
    return false;
}

const char *network_kind_name(enum network_kind kind)
{
    return kinds[kind];
}

/* --- layout --- */

static struct network_layer named_layer(enum network_kind kind, size_t i)
{
    struct network_layer l = {.weight = "weight", .bias = "bias"};
    if (kind == NETWORK_MLP) {
        snprintf(l.weight, sizeof l.weight, "layers.%u.weight", (unsigned)i);
        snprintf(l.bias, sizeof l.bias, "layers.%u.bias", (unsigned)i);
    }
    return l;
}

struct network_layer network_layer(const struct network *n, size_t i)
{
    struct network_layer l = named_layer(n->kind, i);
    l.in = i == 0 ? n->features : n->hidden[i - 1];
    if (i < n->hidden_count)
        l.out = n->hidden[i];
    else
        l.out = n->kind == NETWORK_LOGISTIC ? 1 : n->classes;
    return l;
}

static int check_shape(const struct network *n, struct err *err)
{
    const char *name = network_kind_name(n->kind);
    if (n->features == 0)
        return err_set(err, ERR_USAGE, "%s: a model of no features", name);
    if (n->classes < 2)
        return err_set(err, ERR_USAGE, "%s: fewer than two classes", name);
    if (n->kind == NETWORK_LOGISTIC && n->classes != 2)
        return err_set(err, ERR_USAGE, "logistic tells two classes apart, not %zu: softmax does",
                       n->classes);
    if ((n->kind == NETWORK_MLP) != (n->hidden_count > 0))
        return err_set(err, ERR_USAGE, "%s: %s", name,
                       n->hidden_count > 0 ? "it has no hidden layers, an mlp has"
                                           : "without hidden layers");
    if (n->hidden_count > NETWORK_HIDDEN_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d hidden layers", name, NETWORK_HIDDEN_MAX);
    if (n->features > NETWORK_WIDTH_MAX || n->classes > NETWORK_WIDTH_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d features or classes", name,
                       NETWORK_WIDTH_MAX);
    for (size_t i = 0; i < n->hidden_count; i++)
        if (n->hidden[i] == 0 || n->hidden[i] > NETWORK_WIDTH_MAX)
            return err_set(err, n->hidden[i] == 0 ? ERR_USAGE : ERR_LIMIT,
                           "%s: hidden layer %zu has %zu units; 1 to %d", name, i + 1, n->hidden[i],
                           NETWORK_WIDTH_MAX);
    return 0;
}

int network_layout(const struct network *n, struct layout **out, struct err *err)
{
    char mean[] = "input.mean", deviation[] = "input.deviation";
    struct network_layer layers[NETWORK_HIDDEN_MAX + 1];
    struct tensor tensors[TENSORS_MAX] = {
        {.name = mean, .use = USE_FIXED, .rank = 1, .shape = {n->features}},
        {.name = deviation, .use = USE_FIXED, .rank = 1, .shape = {n->features}},
    };
    size_t count = 2;
    int rc = check_shape(n, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i <= n->hidden_count; i++) {
        struct network_layer *l = &layers[i];
        *l = network_layer(n, i);
        tensors[count++] = (struct tensor){
            .name = l->weight, .use = USE_MEAN, .rank = 2, .shape = {l->out, l->in}};
        tensors[count++] =
            (struct tensor){.name = l->bias, .use = USE_MEAN, .rank = 1, .shape = {l->out}};
    }
    for (size_t i = 0; i < count; i++)
        tensors[i].dtype = DTYPE_F32;
    struct layout *made;
    rc = layout_new(tensors, count, &made, err);
    if (rc == 0 && made->data_bytes > NETWORK_BYTES_MAX) {
        rc = err_set(err, ERR_LIMIT, "%llu bytes of parameters; at most %llu",
                     (unsigned long long)made->data_bytes, NETWORK_BYTES_MAX);
        layout_free(made);
    }
    if (rc != 0)
        return err_wrap(err, rc, "%s", network_kind_name(n->kind));
    *out = made;
    return 0;
}

int network_check(const struct network *n, const struct layout *l, struct err *err)
{
    struct layout *expected;
    int rc = network_layout(n, &expected, err);
    if (rc != 0)
        return rc;
    rc = layout_compare(expected, l, err);
    layout_free(expected);
    if (rc != 0)
        return err_wrap(err, rc, "not of architecture %s with %zu features",
                        network_kind_name(n->kind), n->features);
    return 0;
}

/* The outputs of the weight tensor called `name`; 0 if there is no such tensor. */
static size_t outputs_of(const struct layout *l, const char *name)
{
    const struct tensor *t = layout_find(l, name);
    return t != NULL && t->rank == 2 && t->shape[0] <= NETWORK_WIDTH_MAX ? (size_t)t->shape[0] : 0;
}

/* Every layer but the last is a hidden one. */
static void take_layers(const struct layout *l, struct network *n)
{
    n->classes = outputs_of(l, named_layer(NETWORK_MLP, 0).weight);
    while (n->hidden_count < NETWORK_HIDDEN_MAX) {
        size_t next = outputs_of(l, named_layer(NETWORK_MLP, n->hidden_count + 1).weight);
        if (next == 0)
            return;
        n->hidden[n->hidden_count++] = n->classes;
        n->classes = next;
    }
}

int network_of(const struct layout *l, struct network *out, struct err *err)
{
    static const char what[] = "not a network that is known here";
    const struct tensor *mean = layout_find(l, "input.mean");
    struct network n = {.kind = NETWORK_SOFTMAX, .classes = outputs_of(l, "weight")};
    if (n.classes == 1) {
        n.kind = NETWORK_LOGISTIC;
        n.classes = 2;
    } else if (n.classes == 0) {
        n.kind = NETWORK_MLP;
        take_layers(l, &n);
    }
    if (mean == NULL || n.classes == 0 || mean->elements > NETWORK_WIDTH_MAX)
        return err_set(err, ERR_MALFORMED, "%s", what);
    n.features = (size_t)mean->elements;
    int rc = network_check(&n, l, err);
    if (rc != 0)
        return err_wrap(err, ERR_MALFORMED, "%s", what);
    *out = n;
    return 0;
}

/* --- init --- */

static float *tensor_at(const struct layout *l, void *data, const char *name)
{
    return (float *)data + layout_find(l, name)->offset / sizeof(float);
}

void network_init(const struct network *n, const struct layout *l, const uint8_t seed[HASH_BYTES],
                  void *data)
{
    struct random_stream draw;
    float *deviation = tensor_at(l, data, "input.deviation");
    memset(data, 0, (size_t)l->data_bytes);
    for (size_t j = 0; j < n->features; j++)
        deviation[j] = 1;
    if (n->kind != NETWORK_MLP)
        return;
    random_stream_init(&draw, seed);
    for (size_t i = 0; i <= n->hidden_count; i++) {
        struct network_layer layer = network_layer(n, i);
        float *weight = tensor_at(l, data, layer.weight);
        double bound = sqrt(6 / (double)layer.in);
        for (size_t j = 0; j < layer.out * layer.in; j++)
            weight[j] = (float)((2 * random_stream_unit(&draw) - 1) * bound);
    }
}

/* --- loss and gradient of all examples --- */

int network_evaluate(const struct network *n, const struct layout *l, const void *data,
                     const struct dataset *d, struct network_metrics *out, struct err *err)
{
    struct network_pass pass;
    struct network_metrics m = {.correct = 0};
    int rc = network_pass_init(&pass, n, l, data, d, err);
    if (rc != 0)
        return rc;
    struct network_pass_rows all = {.count = d->rows};
    m.loss = network_pass_loss(&pass, &all, &m.correct) / (double)d->rows;
    m.accuracy = (double)m.correct / (double)d->rows;
    network_pass_fini(&pass);
    *out = m;
    return 0;
}

int network_gradient(const struct network *n, const struct layout *l, const void *data,
                     const struct dataset *d, const struct network_options *o,
                     struct network_slope *out, struct err *err)
{
    struct network_pass pass;
    const float *base = o->base != NULL ? o->base : data;
    int rc = network_pass_init(&pass, n, l, data, d, err);
    if (rc != 0)
        return rc;
    struct network_pass_rows all = {.count = d->rows};
    memset(out->gradient, 0, (size_t)l->data_bytes);
    out->loss = network_pass_gradient(&pass, &all, 0, out->gradient) / (double)d->rows;
    out->loss += network_pass_penalty(&pass, o, base);
    network_pass_regularise(&pass, o, base, out->gradient);
    network_pass_fini(&pass);
    return 0;
}
