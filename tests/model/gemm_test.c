/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "model/gemm.h"

static const struct {
    size_t m, n;
} shapes[] = {{1, 1}, {1, 30}, {30, 1}, {7, 5}, {64, 64}, {333, 31}};

/* Whole numbers so small that every order of adding gives the same f32. */
static float small_number(size_t i)
{
    return (float)((i * 2654435761u >> 7) % 17) - 8;
}

static float *numbers(size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = small_number(i + n);
    return x;
}

static void test_products_equal_the_sums_written_out(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t m = shapes[s].m, n = shapes[s].n;
        float *a = numbers(m * n), *x = numbers(n), *z = numbers(m);
        float *y = numbers(m), *t = numbers(n);
        gemm_vector(m, n, a, x, y);
        gemm_vector_transposed(m, n, a, z, t);
        for (size_t i = 0; i < m; i++) {
            float sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += a[i * n + j] * x[j];
            assert_true(y[i] == sum);
        }
        for (size_t j = 0; j < n; j++) {
            float sum = 0;
            for (size_t i = 0; i < m; i++)
                sum += a[i * n + j] * z[i];
            assert_true(t[j] == sum);
        }
        free(a);
        free(x);
        free(z);
        free(y);
        free(t);
    }
}

static void test_an_empty_sum_is_zero(void **state)
{
    (void)state;
    float a[1] = {1}, x[1] = {1}, y[2] = {NAN, NAN};
    gemm_vector(2, 0, a, x, y);
    assert_true(y[0] == 0 && y[1] == 0);
    y[0] = y[1] = NAN;
    gemm_vector_transposed(0, 2, a, x, y);
    assert_true(y[0] == 0 && y[1] == 0);
}

static void test_what_y_held_does_not_matter(void **state)
{
    (void)state;
    float a[2] = {1, 2}, x[2] = {3, 4}, y[1] = {NAN};
    gemm_vector(1, 2, a, x, y);
    assert_true(y[0] == 11);
    y[0] = INFINITY;
    gemm_vector_transposed(2, 1, a, x, y);
    assert_true(y[0] == 11);
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
        cmocka_unit_test(test_an_empty_sum_is_zero),
        cmocka_unit_test(test_what_y_held_does_not_matter),
        cmocka_unit_test(test_the_kernel_has_a_name),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
