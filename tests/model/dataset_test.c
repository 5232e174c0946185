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

/* What it is, the file's first bytes say, never its name. */
static void test_data_is_loaded_by_what_it_is(void **state)
{
    (void)state;
    static const uint8_t images[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 1, 255, 0},
                         labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 2, 0};
    struct dataset d;
    struct err err = {0};
    write_file(in_scratch("images.csv"), bytes_of(images, sizeof images));
    write_file(in_scratch("labels.csv"), bytes_of(labels, sizeof labels));
    write_file(in_scratch("table-images"), bytes_of_text("a,class\n5,9\n6,0\n7,3\n"));
    assert_int_equal(dataset_load(in_scratch("images.csv"), "", 3, &d, &err), 0);
    assert_int_equal(d.rows, 2);
    assert_true(d.x[0] == 1 && d.x[1] == 0 && d.y[0] == 2 && d.y[1] == 0);
    dataset_fini(&d);
    assert_int_equal(dataset_load(in_scratch("table-images"), "class", 10, &d, &err), 0);
    assert_int_equal(d.rows, 3);
    assert_true(d.x[2] == 7 && d.y[0] == 9 && d.y[1] == 0 && d.y[2] == 3);
    dataset_fini(&d);
    assert_int_equal(dataset_load(in_scratch("table-images"), "class", 9, &d, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "not a class number below 9"));
    assert_int_equal(dataset_load(in_scratch("table-images"), "", 10, &d, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "target column"));
    assert_int_equal(dataset_load(in_scratch("absent"), "class", 10, &d, &err), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_data_is_loaded_by_what_it_is, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_moments_are_sums_in_f64_per_feature),
        cmocka_unit_test(test_a_finished_dataset_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
