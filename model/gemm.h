/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm -- the matrix products that native networks need, in model/'s own words: the only door to
 * <cblas.h> in this folder.
 *
 * All matrices are row-major, f32 and without gaps; t() is the transpose. Dimensions are at most
 * INT_MAX (asserted: BLAS counts in int). OpenBLAS is set to one thread by gemm_setup (asserted by
 * every program at start): the threads are ours.
 */
#ifndef COLMEIA_MODEL_GEMM_H
#define COLMEIA_MODEL_GEMM_H

#include "base/bytes.h"

void gemm_setup(void);
/* Which kernel OpenBLAS chose ("SkylakeX"), for benchmarks. */
const char *gemm_kernel(void);

/* c (m, n) = beta c + a (m, k) b (k, n). With beta 0 it does not matter what c held. */
void gemm_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);
/* c (m, n) = beta c + a (m, k) t(b (n, k)) */
void gemm_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);
/* c (m, n) = beta c + t(a (k, m)) b (k, n) */
void gemm_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);

/* y (n) += alpha x (n) */
void gemm_add(size_t n, float alpha, const float *x, float *y);

#endif
