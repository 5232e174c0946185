/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate/optimiser.h"

#include <math.h>

static const struct {
    const char *name;
    size_t slots;
} table[] = {
    [OPTIMISER_NONE] = {"none", 0},
    [OPTIMISER_FEDAVGM] = {"fedavgm", 1},
    [OPTIMISER_FEDADAGRAD] = {"fedadagrad", 2},
    [OPTIMISER_FEDADAM] = {"fedadam", 2},
    [OPTIMISER_FEDADAM_CORRECTED] = {"fedadam-corrected", 2},
    [OPTIMISER_FEDYOGI] = {"fedyogi", 2},
};

bool optimiser_parse(const char *name, enum optimiser *out)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0) {
            *out = (enum optimiser)i;
            return true;
        }
    return false;
}

const char *optimiser_name(enum optimiser kind)
{
    return table[kind].name;
}

size_t optimiser_slots(enum optimiser kind)
{
    return table[kind].slots;
}

/* beta^t is t multiplications: pow differs between libraries. */
static double correction(double beta, uint64_t t)
{
    double power = 1;
    for (; t > 0 && power > 0; t--)
        power *= beta;
    return 1 - power;
}

struct optimiser_step optimiser_step(const struct optimiser_setting *s, uint64_t t)
{
    struct optimiser_step step = {.setting = *s, .correct1 = 1, .correct2 = 1};
    if (s->kind == OPTIMISER_FEDADAM_CORRECTED) {
        step.correct1 = correction(s->beta1, t);
        step.correct2 = correction(s->beta2, t);
    }
    return step;
}

/* --- the formulas, on a tile --- */

/* Elements: with what is read and written, a tile stays in the first-level cache. Every loop runs
 * over a whole tile, so that compilers make vector code of it at -O2. */
#define TILE 512

struct tile {
    double mean[TILE], x[TILE], m[TILE], v[TILE];
};

/* FedAvgM: m_t = beta1 m_(t-1) + D_t; x_(t+1) = x_t + rate m_t */
static void momentum(const struct optimiser_setting *s, struct tile *t)
{
    const double rate = s->rate, beta1 = s->beta1;
    for (size_t i = 0; i < TILE; i++)
        t->m[i] = beta1 * t->m[i] + t->mean[i];
    for (size_t i = 0; i < TILE; i++)
        t->x[i] += rate * t->m[i];
}

/* Reddi et al. 2021, algorithm 2, line 12: m_t = beta1 m_(t-1) + (1 - beta1) D_t */
static void first_moment(double beta1, struct tile *t)
{
    const double rest = 1 - beta1;
    for (size_t i = 0; i < TILE; i++)
        t->m[i] = beta1 * t->m[i] + rest * t->mean[i];
}

/* line 13, FedAdagrad: v_t = v_(t-1) + D_t^2 */
static void adagrad(struct tile *t)
{
    for (size_t i = 0; i < TILE; i++)
        t->v[i] += t->mean[i] * t->mean[i];
}

/* line 14, FedYogi: v_t = v_(t-1) - (1 - beta2) D_t^2 sign(v_(t-1) - D_t^2) */
static void yogi(double beta2, struct tile *t)
{
    const double rest = 1 - beta2;
    for (size_t i = 0; i < TILE; i++) {
        double square = t->mean[i] * t->mean[i], v = t->v[i];
        double sign = (double)(v > square) - (double)(v < square);
        t->v[i] = v - rest * square * sign;
    }
}

/* line 15, FedAdam: v_t = beta2 v_(t-1) + (1 - beta2) D_t^2 */
static void adam(double beta2, struct tile *t)
{
    const double rest = 1 - beta2;
    for (size_t i = 0; i < TILE; i++)
        t->v[i] = beta2 * t->v[i] + rest * (t->mean[i] * t->mean[i]);
}

/* line 16: x_(t+1) = x_t + rate m_t / (sqrt(v_t) + tau) */
static void adaptive(const struct optimiser_setting *s, struct tile *t)
{
    const double rate = s->rate, tau = s->tau;
    for (size_t i = 0; i < TILE; i++)
        t->x[i] += rate * t->m[i] / (sqrt(t->v[i]) + tau);
}

/* Kingma and Ba 2015, algorithm 1: the same with m_t / (1 - beta1^t) and v_t / (1 - beta2^t) */
static void adaptive_corrected(const struct optimiser_step *s, struct tile *t)
{
    const double rate = s->setting.rate, tau = s->setting.tau;
    for (size_t i = 0; i < TILE; i++)
        t->x[i] += rate * (t->m[i] / s->correct1) / (sqrt(t->v[i] / s->correct2) + tau);
}

static void step_tile(const struct optimiser_step *s, struct tile *t)
{
    const struct optimiser_setting *o = &s->setting;
    switch (o->kind) {
    case OPTIMISER_NONE: /* x_(t+1) = x_t + D_t */
        for (size_t i = 0; i < TILE; i++)
            t->x[i] += t->mean[i];
        return;
    case OPTIMISER_FEDAVGM:
        momentum(o, t);
        return;
    case OPTIMISER_FEDADAGRAD:
        adagrad(t);
        break;
    case OPTIMISER_FEDADAM:
    case OPTIMISER_FEDADAM_CORRECTED:
        adam(o->beta2, t);
        break;
    case OPTIMISER_FEDYOGI:
        yogi(o->beta2, t);
        break;
    }
    first_moment(o->beta1, t);
    if (o->kind == OPTIMISER_FEDADAM_CORRECTED)
        adaptive_corrected(s, t);
    else
        adaptive(o, t);
}

/* --- tensors to tiles and back --- */

static void widen_f32(const float *restrict in, double *restrict out)
{
    for (size_t i = 0; i < TILE; i++)
        out[i] = in[i];
}

static void widen(enum dtype dtype, const void *in, double *out)
{
    size_t size = dtype_bytes(dtype);
    if (dtype == DTYPE_F32)
        widen_f32(in, out);
    else
        for (size_t i = 0; i < TILE; i++)
            out[i] = dtype_get(dtype, (const uint8_t *)in + i * size);
}

/* The least bits, sign apart, of an f32 that is not finite. */
#define NOT_FINITE 0x7f800000

/* False if an element is not finite. */
static bool round_f32(const double *restrict in, float *restrict out)
{
    int32_t worst = 0;
    for (size_t i = 0; i < TILE; i++)
        out[i] = (float)in[i];
    for (size_t i = 0; i < TILE; i++) {
        int32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        bits &= INT32_MAX;
        worst = bits > worst ? bits : worst;
    }
    return worst < NOT_FINITE;
}

static bool round_to(enum dtype dtype, const double *in, void *out)
{
    size_t size = dtype_bytes(dtype);
    bool finite = true;
    if (dtype == DTYPE_F32)
        return round_f32(in, out);
    for (size_t i = 0; i < TILE; i++) {
        uint8_t *at = (uint8_t *)out + i * size;
        dtype_put(dtype, at, in[i]);
        finite &= isfinite(dtype_get(dtype, at)) != 0;
    }
    return finite;
}

/* optimiser_apply for a run of TILE elements. */
static bool apply_tile(const struct optimiser_step *s, const struct optimiser_run *r, void *next)
{
    const double total = (double)r->total;
    struct tile t;
    for (size_t i = 0; i < TILE; i++)
        t.mean[i] = r->acc[i] / total;
    widen(r->dtype, r->base, t.x);
    if (r->m != NULL)
        widen_f32(r->m, t.m);
    if (r->v != NULL)
        widen_f32(r->v, t.v);
    step_tile(s, &t);
    bool finite = round_to(r->dtype, t.x, next);
    if (r->m != NULL)
        finite &= round_f32(t.m, r->m);
    if (r->v != NULL)
        finite &= round_f32(t.v, r->v);
    return finite;
}

/* Fewer elements, filled up with zeros, whose results are zeros. */
static bool apply_rest(const struct optimiser_step *s, const struct optimiser_run *r, void *next)
{
    struct {
        double x[TILE], acc[TILE];
        float m[TILE], v[TILE];
    } full = {.x = {0}};
    struct optimiser_run whole = {.dtype = r->dtype,
                                  .n = TILE,
                                  .base = full.x,
                                  .acc = full.acc,
                                  .total = r->total,
                                  .m = r->m == NULL ? NULL : full.m,
                                  .v = r->v == NULL ? NULL : full.v};
    size_t bytes = r->n * dtype_bytes(r->dtype);
    memcpy(full.x, r->base, bytes);
    memcpy(full.acc, r->acc, r->n * sizeof *r->acc);
    if (r->m != NULL)
        memcpy(full.m, r->m, r->n * sizeof *r->m);
    if (r->v != NULL)
        memcpy(full.v, r->v, r->n * sizeof *r->v);
    bool finite = apply_tile(s, &whole, full.x);
    memcpy(next, full.x, bytes);
    if (r->m != NULL)
        memcpy(r->m, full.m, r->n * sizeof *r->m);
    if (r->v != NULL)
        memcpy(r->v, full.v, r->n * sizeof *r->v);
    return finite;
}

bool optimiser_apply(const struct optimiser_step *s, const struct optimiser_run *r, void *next)
{
    size_t size = dtype_bytes(r->dtype);
    bool finite = true;
    for (size_t at = 0; at < r->n; at += TILE) {
        struct optimiser_run part = *r;
        part.n = r->n - at < TILE ? r->n - at : TILE;
        part.base = (const uint8_t *)r->base + at * size;
        part.acc = r->acc + at;
        part.m = r->m == NULL ? NULL : r->m + at;
        part.v = r->v == NULL ? NULL : r->v + at;
        uint8_t *to = (uint8_t *)next + at * size;
        finite &= part.n == TILE ? apply_tile(s, &part, to) : apply_rest(s, &part, to);
    }
    return finite;
}

/* --- the oracle --- */

double optimiser_apply_naive(const struct optimiser_step *s, double x, double mean, double *m,
                             double *v)
{
    const struct optimiser_setting *o = &s->setting;
    double square = mean * mean;
    if (o->kind == OPTIMISER_NONE)
        return x + mean;
    if (o->kind == OPTIMISER_FEDAVGM) {
        *m = o->beta1 * *m + mean;
        return x + o->rate * *m;
    }
    if (o->kind == OPTIMISER_FEDADAGRAD)
        *v = *v + square;
    else if (o->kind != OPTIMISER_FEDYOGI)
        *v = o->beta2 * *v + (1 - o->beta2) * square;
    else if (*v > square)
        *v = *v - (1 - o->beta2) * square;
    else if (*v < square)
        *v = *v + (1 - o->beta2) * square;
    *m = o->beta1 * *m + (1 - o->beta1) * mean;
    return x + o->rate * (*m / s->correct1) / (sqrt(*v / s->correct2) + o->tau);
}
