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
    desk_pass(&d, STATUS_MS);
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

static void test_it_counts_the_updates_that_arrive(void **state)
{
    (void)state;
    struct pack *pack;
    uint64_t each = layout_update_bytes(d.c->study.layout);
    desk_gather(&d);
    json_t *s = status();
    assert_true(json_is_null(json_object_get(s, "progress"))); /* nothing is here yet */
    json_decref(s);
    desk_answer(&d, 0, 1);
    struct cid cid = cid_of(CID_RAW, bytes_of_text("a block"));
    assert_int_equal(inbox_take(d.c->inbox, 1, 1, true, &pack, NULL), 0);
    assert_int_equal(pack_put(pack, &cid, bytes_of_text("a block"), NULL), 0);
    uint64_t part = pack_bytes(pack);
    inbox_release(d.c->inbox, 1, 1);
    s = status();
    uint64_t whole = round_find(d.c->round, 0)->bytes;
    json_t *p = json_object_get(s, "progress");
    assert_string_equal(text_of(p, "what"), "receiving updates");
    assert_true(whole > 0 && part > each);
    assert_int_equal(json_integer_value(json_object_get(p, "done")), whole + part);
    assert_int_equal(json_integer_value(json_object_get(p, "total")),
                     whole + part + each); /* a model so small is less than its update's frame */
    json_decref(s);
    atomic_fetch_add(&d.c->received, 5000); /* in the second that status() lets pass */
    s = status();
    p = json_object_get(s, "progress");
    assert_true(json_number_value(json_object_get(p, "per_second")) == 5000);
    assert_true(json_number_value(json_object_get(p, "seconds_left")) > 0);
    assert_non_null(strstr(text_of(p, "sentence"), "4.9 KiB/s"));
    json_decref(s);
}

static void test_it_counts_what_is_combined(void **state)
{
    (void)state;
    struct files_stat file;
    char path[FILES_PATH_MAX];
    uint64_t size;
    desk_gather(&d);
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 1);
    struct cid base = d.c->round->base;
    assert_int_equal(store_model_path(d.c->store, &base, path, &size, NULL), 0);
    d.c->combining = true; /* as it is while the job has written its first window of two */
    d.c->round->phase = ROUND_COMBINE;
    progress_count_set(&d.c->status.combined, size / 2, size);
    json_t *s = status();
    json_t *p = json_object_get(s, "progress");
    assert_string_equal(text_of(p, "what"), "combining");
    assert_int_equal(json_integer_value(json_object_get(p, "done")), size / 2);
    json_decref(s);
    d.c->combining = false;
    d.c->round->phase = ROUND_COLLECT;
    progress_count_set(&d.c->status.combined, 0, 0);
    desk_answer(&d, 2, 1); /* and this is what it does itself */
    assert_int_equal(d.c->round->number, 2);
    assert_int_equal(files_posix()->stat(NULL, path, &file, NULL), 0);
    assert_int_equal(d.c->status.combined.done, file.size);
    assert_int_equal(d.c->status.combined.total, file.size);
    s = status();
    assert_true(json_is_null(json_object_get(s, "progress")));
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
    char sentence[STATUS_SENTENCE_MAX];
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
        TEST(test_it_counts_the_updates_that_arrive),
        TEST(test_it_counts_what_is_combined),
        TEST(test_its_end_says_that_nothing_runs_and_why),
        TEST(test_a_long_list_is_cut_short_in_the_sentence_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
