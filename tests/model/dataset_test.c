/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "model/dataset.h"

static void test_moments_are_sums_in_f64_per_feature(void **state)
{
    (void)state;
    /* In f32 each 1 would be lost beside 16777216, and beside its square. */
    float x[] = {16777216.0f, 0.5f, 1.0f, -0.25f, 1.0f, 4.0f};
    uint32_t y[] = {0, 1, 0};
    struct dataset d = {.rows = 3, .features = 2, .x = x, .y = y};
    double sum[2] = {7, 7}, squares[2] = {7, 7};
    dataset_moments(&d, sum, squares);
    assert_true(sum[0] == 16777218.0 && sum[1] == 4.25);
    assert_true(squares[0] == 281474976710658.0 && squares[1] == 16.3125);
}

static void test_a_finished_dataset_is_empty(void **state)
{
    (void)state;
    struct dataset d = {.rows = 1, .features = 1, .x = malloc(4), .y = malloc(4)};
    dataset_fini(&d);
    assert_null(d.x);
    assert_null(d.y);
    assert_int_equal(d.rows, 0);
    dataset_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_are_sums_in_f64_per_feature),
        cmocka_unit_test(test_a_finished_dataset_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
