/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gemm.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>

void gemm_setup(void)
{
    openblas_set_num_threads(1);
    assert(openblas_get_num_threads() == 1);
}

const char *gemm_kernel(void)
{
    return openblas_get_corename();
}

/* Networks are within limits far below. */
static int as_int(size_t n)
{
    assert(n <= INT_MAX);
    return (int)n;
}

/* A leading dimension: BLAS wants at least 1. */
static int as_stride(size_t n)
{
    return n == 0 ? 1 : as_int(n);
}

void gemm_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, as_int(m), as_int(n), as_int(k), 1.0f, a,
                as_stride(k), b, as_stride(n), beta, c, as_stride(n));
}

void gemm_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, as_int(m), as_int(n), as_int(k), 1.0f, a,
                as_stride(k), b, as_stride(k), beta, c, as_stride(n));
}

void gemm_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, as_int(m), as_int(n), as_int(k), 1.0f, a,
                as_stride(m), b, as_stride(n), beta, c, as_stride(n));
}

void gemm_add(size_t n, float alpha, const float *x, float *y)
{
    cblas_saxpy(as_int(n), alpha, x, 1, y, 1);
}
