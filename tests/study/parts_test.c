/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <stdatomic.h>

#include "study/parts.h"

#define PARTS 100

struct work {
    atomic_int hits[PARTS];
    bool fails[PARTS];
};

static int do_part(void *self, size_t i, struct err *err)
{
    struct work *w = self;
    w->hits[i]++;
    return w->fails[i] ? err_set(err, ERR_CORRUPT, "part %zu", i) : 0;
}

static void test_every_part_runs_once(void **state)
{
    (void)state;
    for (size_t threads = 0; threads < 4; threads++) {
        struct work w = {0};
        struct jobs *jobs = NULL;
        if (threads > 0)
            assert_int_equal(jobs_new(threads, &jobs, NULL), 0);
        assert_int_equal(parts_run(jobs, PARTS, do_part, &w, NULL), 0);
        for (size_t i = 0; i < PARTS; i++)
            assert_int_equal(w.hits[i], 1);
        assert_int_equal(parts_run(jobs, 0, do_part, &w, NULL), 0);
        jobs_free(jobs);
    }
}

static void test_the_first_failure_in_order_is_told_and_nothing_before_it_left_out(void **state)
{
    (void)state;
    struct jobs *jobs;
    assert_int_equal(jobs_new(4, &jobs, NULL), 0);
    for (size_t run = 0; run < 50; run++) {
        struct work w = {0};
        struct err err = {0};
        for (size_t i = 40; i < PARTS; i++)
            w.fails[i] = true;
        assert_int_equal(parts_run(jobs, PARTS, do_part, &w, &err), ERR_CORRUPT);
        assert_string_equal(err.text, "part 40");
        for (size_t i = 0; i <= 40; i++)
            assert_int_equal(w.hits[i], 1);
    }
    jobs_free(jobs);
}

static void test_parts_behind_a_failure_are_left_out(void **state)
{
    (void)state;
    struct work w = {0};
    w.fails[3] = true;
    assert_int_equal(parts_run(NULL, PARTS, do_part, &w, NULL), ERR_CORRUPT);
    for (size_t i = 0; i < PARTS; i++)
        assert_int_equal(w.hits[i], i <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_part_runs_once),
        cmocka_unit_test(test_the_first_failure_in_order_is_told_and_nothing_before_it_left_out),
        cmocka_unit_test(test_parts_behind_a_failure_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
