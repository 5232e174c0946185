/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accumulate -- the exact weighted sum of a tile, and the one rounding at its end.
 *
 * acc (f64) += weight * delta, one update after another in roster order. weight < 2^29 times a
 * 24-bit f32 significand is exact in f64, so fused multiply-add or not gives the same bits on every
 * kernel; only the order of updates matters, and it is fixed. f64 deltas take plain C (one
 * multiplication and one addition, each rounded). `mean = acc / total`, then the step on the base
 * in f64, then one rounding to the model's dtype.
 *
 * The naive twin of a function is the tests' oracle. No allocation; any thread, each on its own
 * tile.
 */
#ifndef COLMEIA_AGGREGATE_ACCUMULATE_H
#define COLMEIA_AGGREGATE_ACCUMULATE_H

#include "model/dtype.h"

#define ACCUMULATE_WEIGHT_MAX ((1u << 29) - 1)

/* acc (n) += weight * delta (n); OpenBLAS' daxpy on tiles converted f32 -> f64. */
void accumulate_add_f32(double *acc, const float *delta, size_t n, uint32_t weight);
void accumulate_add_f32_naive(double *acc, const float *delta, size_t n, uint32_t weight);
void accumulate_add_f64(double *acc, const double *delta, size_t n, uint32_t weight);

/* next (n) = base (n) + acc (n) / total, in f64, rounded once; `total` = sum of weights, > 0.
 * Returns false if any result is not finite. `next` may be `base`. `half` is for F16 and BF16,
 * rounded straight from f64. */
bool accumulate_finish_f32(const float *base, const double *acc, size_t n, uint64_t total,
                           float *next);
bool accumulate_finish_f64(const double *base, const double *acc, size_t n, uint64_t total,
                           double *next);
bool accumulate_finish_half(enum dtype dtype, const uint16_t *base, const double *acc, size_t n,
                            uint64_t total, uint16_t *next);

#endif
