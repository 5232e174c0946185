/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "coordinator/round_log.h"

static struct round_line line(void)
{
    return (struct round_line){.round = 3,
                               .rounds = 22,
                               .rule = "fedavg",
                               .answered = 4,
                               .selected = 5,
                               .refused = 1,
                               .loss = 0.25,
                               .accuracy = 0.975,
                               .examples = 455,
                               .bytes_moved = 2048,
                               .seconds = 1.5,
                               .record = cid_of(CID_DAG_CBOR, bytes_of_text("record")),
                               .model = cid_of(CID_RAW, bytes_of_text("model")),
                               .failure = ""};
}

/* What `log` prints, and what it leaves in the file. */
static void logged(void (*log)(struct round_log *l), struct buf *printed, struct buf *file)
{
    struct round_log l;
    fflush(stdout);
    int keep = dup(STDOUT_FILENO);
    assert_true(keep >= 0);
    assert_non_null(freopen(in_scratch("stdout"), "w", stdout));
    assert_int_equal(round_log_open(&l, in_scratch("log.jsonl"), NULL), 0);
    log(&l);
    round_log_close(&l);
    round_log_close(&l);
    fflush(stdout);
    assert_true(dup2(keep, STDOUT_FILENO) >= 0);
    close(keep);
    *printed = read_file(in_scratch("stdout"));
    *file = read_file(in_scratch("log.jsonl"));
}

static void two_rounds(struct round_log *l)
{
    struct round_line x = line();
    round_log_round(l, &x);
    x.round = 4;
    x.loss = x.accuracy = NAN;
    x.failure = "no-quorum";
    round_log_round(l, &x);
}

static void test_a_pipe_gets_plain_lines_under_one_heading(void **state)
{
    (void)state;
    struct buf printed, file;
    logged(two_rounds, &printed, &file);
    const char *text = buf_text(&printed);
    const char *heading = strstr(text, "rule ");
    assert_non_null(heading);
    assert_null(strstr(heading + 1, "rule "));
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "3/22"));
    assert_non_null(strstr(text, "4/5"));
    assert_non_null(strstr(text, "0.2500"));
    assert_non_null(strstr(text, "0.9750"));
    assert_non_null(strstr(text, "2.0 KiB"));
    assert_non_null(strstr(text, "failed: no-quorum"));
    buf_fini(&printed);
    buf_fini(&file);
}

static void test_a_round_is_an_object_with_null_for_what_nobody_said(void **state)
{
    (void)state;
    struct buf printed, file;
    char record[CID_TEXT_MAX];
    logged(two_rounds, &printed, &file);
    char *second = strchr((char *)(uintptr_t)buf_text(&file), '\n');
    assert_non_null(second);
    *second++ = '\0';
    json_t *a = json_loads((const char *)file.data, 0, NULL), *b = json_loads(second, 0, NULL);
    struct round_line x = line();
    assert_string_equal(json_string_value(json_object_get(a, "event")), "round");
    assert_int_equal(json_integer_value(json_object_get(a, "answered")), 4);
    assert_int_equal(json_integer_value(json_object_get(a, "examples")), 455);
    assert_true(json_real_value(json_object_get(a, "loss")) == 0.25);
    assert_string_equal(json_string_value(json_object_get(a, "record")),
                        cid_format(&x.record, record));
    assert_true(json_is_null(json_object_get(b, "loss")));
    assert_string_equal(json_string_value(json_object_get(b, "failure")), "no-quorum");
    json_decref(a);
    json_decref(b);
    buf_fini(&printed);
    buf_fini(&file);
}

static void say_and_progress(struct round_log *l)
{
    round_log_progress(l, 1000, "round 1: waits", false);
    round_log_say(l, "site %s is admitted", "a");
    l->line.terminal = true;
    round_log_progress(l, 2000,
                       "round 1: waits for b, and this is a line that is far longer than any "
                       "terminal is wide, so that it is cut",
                       false);
    round_log_say(l, "done");
}

static void test_progress_is_for_terminals_in_place_and_cut(void **state)
{
    (void)state;
    struct buf printed, file;
    logged(say_and_progress, &printed, &file);
    const char *text = buf_text(&printed);
    assert_int_equal(strncmp(text, "site a is admitted\n", 19), 0);
    const char *live = strstr(text, "round 1: waits for b");
    assert_non_null(live);
    assert_null(strstr(text, "cut"));
    const char *done = strstr(live, "\r\033[Kdone\n"); /* the line was erased first */
    assert_non_null(done);
    assert_true(done - live <= 79);
    assert_int_equal(file.size, 0);
    buf_fini(&printed);
    buf_fini(&file);
}

static void move_and_wait(struct round_log *l)
{
    round_log_progress(l, 1000, "a tenth", true);
    round_log_progress(l, 10999, "nearly", true);
    round_log_progress(l, 11000, "half", true);
    round_log_progress(l, 20999, "most", true);
    round_log_progress(l, 22000, "waits", false);
    round_log_progress(l, 23000, "again", true);
    round_log_progress(l, 32000, "nearly again", true);
}

static void test_a_pipe_gets_a_line_now_and_then_while_something_moves(void **state)
{
    (void)state;
    struct buf printed, file;
    logged(move_and_wait, &printed, &file);
    assert_string_equal(buf_text(&printed), "half\n");
    buf_fini(&printed);
    buf_fini(&file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_pipe_gets_plain_lines_under_one_heading),
        TEST(test_a_round_is_an_object_with_null_for_what_nobody_said),
        TEST(test_progress_is_for_terminals_in_place_and_cut),
        TEST(test_a_pipe_gets_a_line_now_and_then_while_something_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
