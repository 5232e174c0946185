/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include <jansson.h>
#include <math.h>

static struct desk d;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 3, .schedule = "fedavg 2"});
    return 0;
}

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

/* status.json as it stands once it has had time to be written. */
static json_t *status(void)
{
    desk_pass(&d, COORDINATOR_STATUS_MS);
    struct buf text = desk_read("status.json");
    json_t *object = json_loads(buf_text(&text), 0, NULL);
    assert_non_null(object);
    buf_fini(&text);
    return object;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL)
        fail_msg("%s is not a text", key);
    return text;
}

static const char *site_state(const json_t *object, size_t i)
{
    return text_of(json_array_get(json_object_get(object, "sites"), i), "state");
}

static void test_it_has_every_field_that_tools_read(void **state)
{
    (void)state;
    char text[CID_TEXT_MAX];
    json_t *s = status();
    assert_string_equal(text_of(s, "program"), "coordinator");
    assert_int_equal(json_integer_value(json_object_get(s, "pid")), getpid());
    assert_true(json_is_true(json_object_get(s, "running")));
    assert_true(json_is_number(json_object_get(s, "updated")));
    assert_string_equal(text_of(s, "name"), "desk");
    assert_string_equal(text_of(s, "study"), cid_format(&d.f.study_id, text));
    assert_string_equal(text_of(s, "plan"), cid_format(&d.f.plan_id, text));
    assert_int_equal(json_integer_value(json_object_get(s, "round")), 1);
    assert_int_equal(json_integer_value(json_object_get(s, "rounds")), 2);
    assert_string_equal(text_of(s, "rule"), "fedavg");
    assert_string_equal(text_of(s, "phase"), "gather");
    assert_string_equal(text_of(s, "model"), cid_format(&d.c->round->base, text));
    assert_true(json_is_null(json_object_get(s, "head")));
    assert_true(json_is_null(json_object_get(s, "seconds_left")));
    assert_string_equal(text_of(s, "failure"), "");
    assert_int_equal(json_array_size(json_object_get(s, "sites")), 3);
    json_decref(s);
}

static void test_it_says_whom_the_round_waits_for_and_what_to_do(void **state)
{
    (void)state;
    desk_greet(&d, 1);
    json_t *s = status();
    assert_int_equal(json_array_size(json_object_get(s, "whom")), 2);
    assert_non_null(strstr(text_of(s, "waits_for"), "hospital-a, hospital-c"));
    assert_non_null(strstr(text_of(s, "advice"), "start the workers"));
    const json_t *b = json_array_get(json_object_get(s, "sites"), 1);
    assert_true(json_is_true(json_object_get(b, "online")));
    assert_int_equal(json_integer_value(json_object_get(b, "seen_seconds_ago")), 1);
    assert_true(json_is_null(
        json_object_get(json_array_get(json_object_get(s, "sites"), 0), "seen_seconds_ago")));
    json_decref(s);
}

static void test_it_follows_the_round(void **state)
{
    (void)state;
    desk_gather(&d);
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, NAN);
    json_t *s = status();
    assert_string_equal(text_of(s, "phase"), "collect");
    assert_string_equal(site_state(s, 0), "accepted");
    assert_string_equal(site_state(s, 1), "refused");
    assert_string_equal(site_state(s, 2), "pending");
    assert_int_equal(json_integer_value(json_object_get(s, "seconds_left")), 59);
    assert_string_equal(json_string_value(json_array_get(json_object_get(s, "whom"), 0)),
                        "hospital-c");
    assert_string_equal(text_of(s, "advice"), "");
    json_decref(s);
    desk_pass(&d, 60000);
    s = status();
    assert_true(json_is_null(json_object_get(s, "seconds_left")));
    assert_non_null(strstr(text_of(s, "waits_for"), "past the deadline"));
    assert_non_null(strstr(text_of(s, "advice"), "quorum"));
    json_decref(s);
}

static void test_its_end_says_that_nothing_runs_and_why(void **state)
{
    (void)state;
    char text[CID_TEXT_MAX];
    desk_gather(&d);
    desk_round(&d, 1);
    coordinator_fail(d.c, "a reason");
    coordinator_fail(d.c, "a later one");
    assert_int_equal(coordinator_run(d.c), 3);
    struct buf file = desk_read("status.json");
    json_t *s = json_loads(buf_text(&file), 0, NULL);
    assert_true(json_is_false(json_object_get(s, "running")));
    assert_string_equal(text_of(s, "failure"), "a reason");
    assert_string_equal(text_of(s, "head"), cid_format(&d.c->round->prev, text));
    json_decref(s);
    buf_fini(&file);
}

static void test_a_long_list_is_cut_short_in_the_sentence_alone(void **state)
{
    (void)state;
    char sentence[COORDINATOR_SENTENCE_MAX];
    for (int i = 0; i < 6; i++)
        desk_admit(&d);
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    assert_non_null(strstr(status_sentence(d.c, sentence), "hospital-e and 4 more"));
    json_t *s = status();
    assert_int_equal(json_array_size(json_object_get(s, "whom")), 9);
    json_decref(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_has_every_field_that_tools_read),
        TEST(test_it_says_whom_the_round_waits_for_and_what_to_do),
        TEST(test_it_follows_the_round),
        TEST(test_its_end_says_that_nothing_runs_and_why),
        TEST(test_a_long_list_is_cut_short_in_the_sentence_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
