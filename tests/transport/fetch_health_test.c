/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_health.h"

#include "tests/scratch.h"

/* One block of a mebibyte, asked for at `*now_ms` and here after `took_ms`. */
static void deliver(struct fetch_health *h, uint64_t *now_ms, uint64_t took_ms)
{
    fetch_health_started(h, *now_ms);
    *now_ms += took_ms;
    fetch_health_ended(h, *now_ms, 1u << 20);
    fetch_health_delivered(h, took_ms);
}

static unsigned room(const struct fetch_health *h)
{
    struct fetch_health copy = *h;
    unsigned count = 0;
    while (fetch_health_has_room(&copy)) {
        copy.running++;
        count++;
    }
    return count;
}

static void test_a_window_begins_at_two_and_grows_to_its_maximum(void **state)
{
    (void)state;
    struct fetch_health h = {0};
    uint64_t now = 1000;
    unsigned before = room(&h);
    assert_int_equal(before, 2);
    for (int i = 0; i < 200; i++) {
        deliver(&h, &now, 10);
        assert_in_range(room(&h), before, before + 1);
        before = room(&h);
    }
    assert_int_equal(before, FETCH_WINDOW_MAX);
}

static void test_a_full_line_is_no_reason_to_ask_for_more(void **state)
{
    (void)state;
    struct fetch_health h = {0};
    uint64_t now = 1000;
    for (int i = 0; i < 50; i++)
        deliver(&h, &now, 2000);
    assert_int_equal(room(&h), 2);
    for (int i = 0; i < 50; i++)
        deliver(&h, &now, 8000);
    assert_int_equal(room(&h), 1);
}

static void test_cuts_halve_the_window_down_to_one(void **state)
{
    (void)state;
    struct fetch_health h = {0};
    uint64_t now = 1000;
    for (int i = 0; i < 200; i++)
        deliver(&h, &now, 10);
    for (unsigned left = FETCH_WINDOW_MAX; left > 1; left /= 2) {
        fetch_health_broke(&h, now, true);
        fetch_health_broke(&h, now, true); /* together: one failure */
        assert_int_equal(room(&h), left / 2);
        now = h.not_before_ms;
    }
    fetch_health_broke(&h, now, true);
    assert_int_equal(room(&h), 1);
    assert_int_equal(h.failures, 0); /* it works, and was cut */
}

static void test_the_back_off_doubles_to_half_a_minute(void **state)
{
    (void)state;
    struct fetch_health h = {0};
    uint64_t now = 1000, expected = 250;
    for (int i = 0; i < 12; i++) {
        fetch_health_broke(&h, now, false);
        uint64_t delay = h.not_before_ms - now;
        assert_in_range(delay, expected * 3 / 4, expected);
        now = h.not_before_ms;
        expected = expected * 2 > 30000 || i >= 6 ? 30000 : expected * 2;
    }
    deliver(&h, &now, 10);
    assert_int_equal(h.failures, 0);
    fetch_health_broke(&h, now, false);
    assert_in_range(h.not_before_ms - now, 187, 250);
}

static void test_what_is_expected_follows_speed_and_queue(void **state)
{
    (void)state;
    struct fetch_health fast = {0}, slow = {0};
    uint64_t now = 1000;
    assert_true(fetch_health_expected_ms(&fast) == 0); /* nobody knows: it is tried */
    deliver(&fast, &now, 10);
    deliver(&slow, &now, 1000);
    assert_true(fetch_health_expected_ms(&fast) * 50 < fetch_health_expected_ms(&slow));
    double alone = fetch_health_expected_ms(&fast);
    fetch_health_started(&fast, now);
    assert_true(fetch_health_expected_ms(&fast) == 2 * alone);
    fetch_health_started(&slow, now);
    fetch_health_ended(&slow, now + 60000, 10);
    fetch_health_overtaken(&slow, 10, 60000);
    assert_true(fetch_health_expected_ms(&slow) > 1e6);
}

static void test_answers_that_end_at_one_byte_again_and_again_are_noticed(void **state)
{
    (void)state;
    struct fetch_health h = {0};
    for (size_t at = 1; at < 100; at++) /* a line that is cut here and there */
        assert_false(fetch_health_ends_early(&h, at));
    assert_false(fetch_health_ends_early(&h, 7));
    assert_false(fetch_health_ends_early(&h, 7));
    assert_false(fetch_health_ends_early(&h, 7));
    assert_true(fetch_health_ends_early(&h, 7));
}

static void test_a_busy_source_gets_no_more_than_it_has(void **state)
{
    (void)state;
    struct fetch_health h = {.window = 8, .running = 3};
    fetch_health_busy(&h);
    assert_false(fetch_health_has_room(&h));
    h.running = 0;
    fetch_health_busy(&h);
    assert_int_equal(room(&h), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_window_begins_at_two_and_grows_to_its_maximum),
        cmocka_unit_test(test_a_full_line_is_no_reason_to_ask_for_more),
        cmocka_unit_test(test_cuts_halve_the_window_down_to_one),
        cmocka_unit_test(test_the_back_off_doubles_to_half_a_minute),
        cmocka_unit_test(test_what_is_expected_follows_speed_and_queue),
        cmocka_unit_test(test_answers_that_end_at_one_byte_again_and_again_are_noticed),
        cmocka_unit_test(test_a_busy_source_gets_no_more_than_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
