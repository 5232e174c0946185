/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "model/gemm.h"

static const struct {
    size_t m, n, k;
} shapes[] = {{1, 1, 1},  {1, 30, 7},  {30, 1, 5},    {7, 5, 1},
              {1, 1, 99}, {64, 64, 9}, {33, 131, 65}, {10, 200, 784}};

/* Whole numbers so small that every order of adding gives the same f32. */
static float small_number(size_t i)
{
    return (float)((i * 2654435761u >> 7) % 17) - 8;
}

static float *numbers(size_t n, size_t salt)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = small_number(i + salt);
    return x;
}

/* The same numbers, columns as rows. */
static float *transposed(size_t rows, size_t columns, const float *a)
{
    float *t = malloc(rows * columns * sizeof *t);
    assert_non_null(t);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            t[j * rows + i] = a[i * columns + j];
    return t;
}

static void test_products_equal_the_sums_written_out(void **state)
{
    (void)state;
    static const float betas[] = {0, 1, 0.5f, -2};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k;
        float *a = numbers(m * k, 1), *b = numbers(k * n, 2);
        float *at = transposed(m, k, a), *bt = transposed(k, n, b);
        for (size_t z = 0; z < sizeof betas / sizeof betas[0]; z++) {
            float beta = betas[z];
            float *nn = numbers(m * n, 3), *nt = numbers(m * n, 3), *tn = numbers(m * n, 3);
            gemm_nn(m, n, k, a, b, beta, nn);
            gemm_nt(m, n, k, a, bt, beta, nt);
            gemm_tn(m, n, k, at, b, beta, tn);
            for (size_t i = 0; i < m * n; i++) {
                float sum = beta * small_number(i + 3);
                for (size_t j = 0; j < k; j++)
                    sum += a[i / n * k + j] * b[j * n + i % n];
                assert_true(nn[i] == sum && nt[i] == sum && tn[i] == sum);
            }
            free(nn);
            free(nt);
            free(tn);
        }
        free(a);
        free(b);
        free(at);
        free(bt);
    }
}

static void test_with_beta_0_what_c_held_does_not_matter(void **state)
{
    (void)state;
    const float a[2] = {1, 2}, b[2] = {3, 4};
    float c[1] = {NAN};
    gemm_nn(1, 1, 2, a, b, 0, c);
    assert_true(c[0] == 11);
    c[0] = INFINITY;
    gemm_nt(1, 1, 2, a, b, 0, c);
    assert_true(c[0] == 11);
    c[0] = NAN;
    gemm_tn(1, 1, 2, a, b, 0, c);
    assert_true(c[0] == 11);
}

static void test_an_empty_product_leaves_all_as_it_is(void **state)
{
    (void)state;
    const float a[1] = {1}, b[1] = {1};
    float c[1] = {7};
    gemm_nn(0, 1, 1, a, b, 1, c);
    gemm_nt(1, 0, 1, a, b, 1, c);
    gemm_tn(1, 1, 0, a, b, 1, c);
    gemm_add(0, 5, a, c);
    assert_true(c[0] == 7);
}

static void test_adding_is_element_by_element(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100; n++) {
        float *x = numbers(n, 1), *y = numbers(n + 1, 2);
        gemm_add(n, -0.5f, x, y);
        for (size_t i = 0; i <= n; i++)
            assert_true(y[i] == small_number(i + 2) - (i < n ? 0.5f * small_number(i + 1) : 0));
        free(x);
        free(y);
    }
}

static void test_the_kernel_has_a_name(void **state)
{
    (void)state;
    assert_true(strlen(gemm_kernel()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_equal_the_sums_written_out),
        cmocka_unit_test(test_with_beta_0_what_c_held_does_not_matter),
        cmocka_unit_test(test_an_empty_product_leaves_all_as_it_is),
        cmocka_unit_test(test_adding_is_element_by_element),
        cmocka_unit_test(test_the_kernel_has_a_name),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
