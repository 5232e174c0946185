/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <sys/stat.h>

#include "study/event_log.h"

/* The n-th line of the file, parsed; the caller drops the reference. */
static json_t *line(size_t n)
{
    struct buf b = read_file(in_scratch("log.jsonl"));
    char *at = (char *)buf_text(&b);
    for (; n > 0; n--) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    json_t *object = json_loadb(at, strcspn(at, "\n"), 0, NULL);
    buf_fini(&b);
    return object;
}

static void open_log(struct event_log *l)
{
    struct err err = {0};
    if (event_log_open(l, in_scratch("log.jsonl"), &err) != 0)
        fail_msg("%s", err.text);
}

static void test_each_event_is_one_object_on_a_line(void **state)
{
    (void)state;
    struct event_log l;
    open_log(&l);
    event_log_put(&l, "opened", "{s:I,s:s}", "round", (json_int_t)7, "rule", "fedavg");
    json_t *object = json_pack("{s:f}", "loss", 0.5);
    event_log_put_object(&l, "closed", object);
    event_log_put(&l, "stopped", "{}");
    json_t *first = line(0), *second = line(1), *third = line(2); /* before it is closed */
    assert_string_equal(json_string_value(json_object_get(first, "event")), "opened");
    assert_int_equal(json_integer_value(json_object_get(first, "round")), 7);
    assert_string_equal(json_string_value(json_object_get(first, "rule")), "fedavg");
    assert_true(json_number_value(json_object_get(first, "time")) > 1600000000);
    assert_int_equal(json_object_size(first), 4);
    assert_string_equal(json_string_value(json_object_get(second, "event")), "closed");
    assert_true(json_real_value(json_object_get(second, "loss")) == 0.5);
    assert_int_equal(json_object_size(third), 2);
    json_decref(first);
    json_decref(second);
    json_decref(third);
    event_log_close(&l);
    event_log_close(&l);
}

static void test_the_file_is_private_and_appended_to(void **state)
{
    (void)state;
    struct event_log l;
    struct stat s;
    for (int i = 0; i < 2; i++) {
        open_log(&l);
        event_log_put(&l, "started", "{s:i}", "number", i);
        event_log_close(&l);
    }
    assert_int_equal(stat(in_scratch("log.jsonl"), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    json_t *second = line(1);
    assert_int_equal(json_integer_value(json_object_get(second, "number")), 1);
    json_decref(second);
}

static void test_a_line_torn_by_a_crash_spoils_no_other(void **state)
{
    (void)state;
    struct event_log l;
    write_file(in_scratch("log.jsonl"), bytes_of_text("{\"event\":\"a\"}\n{\"event\":\"b"));
    open_log(&l);
    event_log_put(&l, "c", "{}");
    event_log_close(&l);
    json_t *first = line(0), *torn = line(1), *third = line(2);
    assert_string_equal(json_string_value(json_object_get(first, "event")), "a");
    assert_null(torn);
    assert_string_equal(json_string_value(json_object_get(third, "event")), "c");
    json_decref(first);
    json_decref(third);
}

static void test_hostile_text_stays_inside_its_line(void **state)
{
    (void)state;
    static const char text[] = "a\nb\"c\x1b[2J\xe2\x80\xae"
                               "d";
    struct event_log l;
    open_log(&l);
    event_log_put(&l, "refused", "{s:s}", "sentence", text);
    event_log_close(&l);
    struct buf b = read_file(in_scratch("log.jsonl"));
    for (size_t i = 0; i + 1 < b.size; i++)
        assert_true(b.data[i] >= 0x20 && b.data[i] < 0x7f);
    assert_int_equal(b.data[b.size - 1], '\n');
    buf_fini(&b);
    json_t *object = line(0);
    assert_string_equal(json_string_value(json_object_get(object, "sentence")), text);
    json_decref(object);
}

static void test_an_event_that_cannot_be_written_is_still_told(void **state)
{
    (void)state;
    struct event_log l;
    open_log(&l);
    event_log_put(&l, "refused", "{s:s}", "sentence", "\xff");
    event_log_close(&l);
    json_t *object = line(0);
    assert_string_equal(json_string_value(json_object_get(object, "event")), "refused");
    assert_non_null(json_object_get(object, "unwritable"));
    json_decref(object);
}

static void test_a_symbolic_link_is_not_followed(void **state)
{
    (void)state;
    struct event_log l;
    assert_int_equal(symlink(in_scratch("elsewhere"), in_scratch("log.jsonl")), 0);
    assert_int_not_equal(event_log_open(&l, in_scratch("log.jsonl"), NULL), 0);
    assert_int_not_equal(access(in_scratch("elsewhere"), F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_event_is_one_object_on_a_line),
        TEST(test_the_file_is_private_and_appended_to),
        TEST(test_a_line_torn_by_a_crash_spoils_no_other),
        TEST(test_hostile_text_stays_inside_its_line),
        TEST(test_an_event_that_cannot_be_written_is_still_told),
        TEST(test_a_symbolic_link_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
