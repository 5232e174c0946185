/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm -- the matrix products that native networks need, in model/'s own words: the only door to
 * <cblas.h> in this folder.
 *
 * OpenBLAS is set to one thread by gemm_setup (asserted by every program at start): the threads are
 * ours.
 */
#ifndef COLMEIA_MODEL_GEMM_H
#define COLMEIA_MODEL_GEMM_H

#include "base/bytes.h"

void gemm_setup(void);
/* Which kernel OpenBLAS chose ("SkylakeX"), for benchmarks. */
const char *gemm_kernel(void);

/* y (m) = a (m, n) x (n), row-major. */
void gemm_vector(size_t m, size_t n, const float *a, const float *x, float *y);
/* y (n) = transpose(a (m, n)) x (m). */
void gemm_vector_transposed(size_t m, size_t n, const float *a, const float *x, float *y);

#endif
