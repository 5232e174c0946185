/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/progress.h"

#define MIB (1ull << 20)

static void assert_says(const struct progress *p, const char *text)
{
    char got[PROGRESS_TEXT_MAX];
    assert_string_equal(progress_format(p, got), text);
}

static void test_rate_and_time_left_are_those_of_what_moved(void **state)
{
    (void)state;
    struct progress p = {0};
    assert_says(&p, "");
    progress_of(&p, "fetching the model", PROGRESS_BYTES);
    progress_note(&p, 5000, 0, 1024 * MIB, 0);
    assert_true(progress_rate(&p) < 0 && progress_seconds_left(&p) < 0);
    assert_says(&p, "fetching the model: 0 of 1024 MiB");
    for (uint64_t i = 1; i <= 4; i++)
        progress_note(&p, 5000 + i * 1000, i * 100 * MIB, 1024 * MIB, i * 100 * MIB);
    assert_true(progress_rate(&p) == 100.0 * MIB);
    assert_true(progress_seconds_left(&p) == 6.24);
    assert_says(&p, "fetching the model: 400 of 1024 MiB, 100.0 MiB/s, 7 s left");
}

/* 600 MiB were here already and are found in a second; 4 MiB a second come over the wire. */
static void test_what_was_held_is_done_but_not_fast(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_of(&p, "fetching the model", PROGRESS_BYTES);
    progress_note(&p, 0, 0, 1000 * MIB, 70 * MIB);
    progress_note(&p, 1000, 600 * MIB, 1000 * MIB, 70 * MIB);
    assert_true(progress_rate(&p) == 0 && progress_seconds_left(&p) < 0);
    assert_says(&p, "fetching the model: 600 of 1000 MiB, 0 B/s");
    progress_note(&p, 2000, 604 * MIB, 1000 * MIB, 74 * MIB);
    progress_note(&p, 3000, 608 * MIB, 1000 * MIB, 78 * MIB);
    assert_true(progress_rate(&p) == 8.0 * MIB / 3);
    for (uint64_t s = 4; s <= 20; s++)
        progress_note(&p, s * 1000, (600 + 4 * (s - 1)) * MIB, 1000 * MIB,
                      (70 + 4 * (s - 1)) * MIB);
    assert_true(progress_rate(&p) == 4.0 * MIB);
    assert_says(&p, "fetching the model: 676 of 1000 MiB, 4.0 MiB/s, 1 min 21 s left");
}

static void test_the_rate_is_of_the_last_seconds_and_a_stall_has_no_end(void **state)
{
    (void)state;
    struct progress p = {0};
    uint64_t now_ms = 0, done = 0;
    progress_of(&p, "sending the update", PROGRESS_BYTES);
    for (int i = 0; i < 1000; i++, now_ms += 100, done += MIB) /* 10 MiB/s, looked at often */
        progress_note(&p, now_ms, done, 4096 * MIB, done);
    assert_true(progress_rate(&p) == 10.0 * MIB);
    for (int i = 0; i < 200; i++, now_ms += 100, done += 2 * MIB)
        progress_note(&p, now_ms, done, 4096 * MIB, done);
    assert_true(progress_rate(&p) == 20.0 * MIB);
    for (int i = 0; i < 120; i++, now_ms += 100)
        progress_note(&p, now_ms, done, 4096 * MIB, done);
    assert_true(progress_rate(&p) == 0);
    assert_says(&p, "sending the update: 1400 of 4096 MiB, 0 B/s");
}

static void test_other_work_begins_anew(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_of(&p, "fetching the model", PROGRESS_BYTES);
    progress_note(&p, 0, 0, 100, 0);
    progress_note(&p, 2000, 90, 100, 90);
    progress_of(&p, "training", PROGRESS_STEPS);
    assert_true(progress_rate(&p) < 0);
    progress_note(&p, 3000, 10, 600, 10);
    progress_note(&p, 5000, 38, 600, 38);
    assert_says(&p, "training: 38 of 600, 14.0/s, 41 s left");
    progress_note(&p, 6000, 5, 600, 5); /* the next round's */
    assert_true(progress_rate(&p) < 0);
    assert_says(&p, "training: 5 of 600");
    progress_of(&p, NULL, PROGRESS_STEPS);
    assert_says(&p, "");
}

static void test_a_number_is_said_in_a_unit_that_is_easy_to_read(void **state)
{
    (void)state;
    static const struct {
        enum progress_unit unit;
        uint64_t done, total;
        const char *text;
    } rows[] = {
        {PROGRESS_BYTES, 0, 0, "x: 0 B"},
        {PROGRESS_BYTES, 812, 9000, "x: 812 of 9000 B"},
        {PROGRESS_BYTES, 50 * 1024, 100 * 1024, "x: 50 of 100 KiB"},
        {PROGRESS_BYTES, 3 * MIB, 0, "x: 3072 KiB"},
        {PROGRESS_BYTES, 3072 * MIB, 102400 * MIB, "x: 3 of 100 GiB"},
        {PROGRESS_BYTES, 3072 * MIB, 10240 * MIB, "x: 3072 of 10240 MiB"},
        {PROGRESS_BYTES, 200, 100, "x: 100 of 100 B"},
        {PROGRESS_STEPS, 20000, 0, "x: 20000"},
        {PROGRESS_STEPS, UINT64_MAX, UINT64_MAX, "x: 18446744073709551616 of 18446744073709551616"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct progress p = {0};
        progress_of(&p, "x", rows[i].unit);
        progress_note(&p, 0, rows[i].done, rows[i].total, 0);
        assert_says(&p, rows[i].text);
    }
}

/* --- the line --- */

static struct buf shown(bool terminal, void (*show)(struct progress_line *l))
{
    struct progress_line l;
    FILE *to = fopen(in_scratch("shown"), "wb");
    assert_non_null(to);
    progress_line_init(&l, to);
    assert_false(l.terminal);
    l.terminal = terminal;
    show(&l);
    fclose(to);
    return read_file(in_scratch("shown"));
}

static void show_some(struct progress_line *l)
{
    progress_line_show(l, 500, "a");
    progress_line_show(l, 10000, "b");
    progress_line_show(l, 10500, "c");
    progress_line_clear(l);
    progress_line_clear(l);
    progress_line_show(l, 20500, "d");
    progress_line_show(l, 30499, "e");
}

static void test_a_terminal_sees_it_in_place_and_a_pipe_now_and_then(void **state)
{
    (void)state;
    struct buf text = shown(true, show_some);
    assert_string_equal(buf_text(&text), "\r\033[Ka\r\033[Kb\r\033[Kc\r\033[K\r\033[Kd\r\033[Ke");
    buf_fini(&text);
    text = shown(false, show_some);
    assert_string_equal(buf_text(&text), "c\n");
    buf_fini(&text);
}

#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_and_time_left_are_those_of_what_moved),
        cmocka_unit_test(test_what_was_held_is_done_but_not_fast),
        cmocka_unit_test(test_the_rate_is_of_the_last_seconds_and_a_stall_has_no_end),
        cmocka_unit_test(test_other_work_begins_anew),
        cmocka_unit_test(test_a_number_is_said_in_a_unit_that_is_easy_to_read),
        WITH_FOLDER(test_a_terminal_sees_it_in_place_and_a_pipe_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
