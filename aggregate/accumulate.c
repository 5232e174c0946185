/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate/accumulate.h"

#include <cblas.h>
#include <math.h>

/* Elements: 8 KiB of doubles stay in the first-level cache between the conversion and daxpy, and
 * are too few for OpenBLAS to think of threads of its own. */
#define TILE 1024

/* A constant count, so that compilers make vector code of it at -O2. */
static void widen_tile(const float *restrict in, double *restrict out)
{
    for (size_t i = 0; i < TILE; i++)
        out[i] = in[i];
}

void accumulate_add_f32(double *acc, const float *delta, size_t n, uint32_t weight)
{
    double tile[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        size_t count = n - at < TILE ? n - at : TILE;
        if (count == TILE)
            widen_tile(delta + at, tile);
        else
            for (size_t i = 0; i < count; i++)
                tile[i] = delta[at + i];
        cblas_daxpy((blasint)count, weight, tile, 1, acc + at, 1);
    }
}

void accumulate_add_f32_naive(double *acc, const float *delta, size_t n, uint32_t weight)
{
    for (size_t i = 0; i < n; i++)
        acc[i] += (double)weight * (double)delta[i];
}

void accumulate_add_f64(double *acc, const double *delta, size_t n, uint32_t weight)
{
    for (size_t i = 0; i < n; i++)
        acc[i] += (double)weight * delta[i];
}

/* The least bits, sign apart, of an f32 that is not finite. */
#define NOT_FINITE 0x7f800000

static bool finish_tile(const float *restrict base, const double *restrict acc, double total,
                        float *restrict next)
{
    int32_t worst = 0;
    for (size_t i = 0; i < TILE; i++)
        next[i] = (float)((double)base[i] + acc[i] / total);
    for (size_t i = 0; i < TILE; i++) {
        int32_t bits;
        memcpy(&bits, &next[i], sizeof bits);
        bits &= INT32_MAX;
        worst = bits > worst ? bits : worst;
    }
    return worst < NOT_FINITE;
}

bool accumulate_finish_f32(const float *base, const double *acc, size_t n, uint64_t total,
                           float *next)
{
    bool finite = true;
    float tile[TILE]; /* apart, since next may be base */
    size_t at = 0;
    for (; n - at >= TILE; at += TILE) {
        finite &= finish_tile(base + at, acc + at, (double)total, tile);
        memcpy(next + at, tile, sizeof tile);
    }
    for (; at < n; at++) {
        next[at] = (float)((double)base[at] + acc[at] / (double)total);
        finite &= isfinite(next[at]) != 0;
    }
    return finite;
}

bool accumulate_finish_f64(const double *base, const double *acc, size_t n, uint64_t total,
                           double *next)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        next[i] = base[i] + acc[i] / (double)total;
        finite &= isfinite(next[i]) != 0;
    }
    return finite;
}

bool accumulate_finish_half(enum dtype dtype, const uint16_t *base, const double *acc, size_t n,
                            uint64_t total, uint16_t *next)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        dtype_put(dtype, &next[i], dtype_get(dtype, &base[i]) + acc[i] / (double)total);
        finite &= isfinite(dtype_get(dtype, &next[i])) != 0;
    }
    return finite;
}
