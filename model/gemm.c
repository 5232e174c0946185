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

/* BLAS counts in int; callers' tables are under 2^30 bytes. */
static int as_int(size_t n)
{
    assert(n <= INT_MAX);
    return (int)n;
}

void gemm_vector(size_t m, size_t n, const float *a, const float *x, float *y)
{
    memset(y, 0, m * sizeof *y); /* BLAS returns at once, y as it was, if there is nothing to add */
    if (m > 0 && n > 0)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, as_int(m), as_int(n), 1.0f, a, as_int(n), x, 1,
                    0.0f, y, 1);
}

void gemm_vector_transposed(size_t m, size_t n, const float *a, const float *x, float *y)
{
    memset(y, 0, n * sizeof *y);
    if (m > 0 && n > 0)
        cblas_sgemv(CblasRowMajor, CblasTrans, as_int(m), as_int(n), 1.0f, a, as_int(n), x, 1, 0.0f,
                    y, 1);
}
