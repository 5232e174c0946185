/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/stage.h"

#include <jansson.h>

#define MIB (1ull << 20)

/* status.json as a turn of the loop leaves it `ms` later. */
static json_t *status(struct stage *s, uint64_t ms)
{
    s->now_ms += ms;
    report_write(s->worker, true);
    struct buf text = read_file(in_scratch("site/status.json"));
    json_t *object = json_loads(buf_text(&text), 0, NULL);
    assert_non_null(object);
    buf_fini(&text);
    return object;
}

static json_t *progress_of_status(struct stage *s, uint64_t ms)
{
    json_t *whole = status(s, ms);
    json_t *p = json_incref(json_object_get(whole, "progress"));
    assert_non_null(p);
    json_decref(whole);
    return p;
}

static void assert_sentence(struct stage *s, uint64_t ms, const char *sentence)
{
    json_t *p = progress_of_status(s, ms);
    const char *found = json_string_value(json_object_get(p, "sentence"));
    if (sentence == NULL)
        assert_true(json_is_null(p));
    else
        assert_string_equal(found == NULL ? "" : found, sentence);
    json_decref(p);
}

/* A job at work that this test holds in its hands. */
static void begin(struct stage *s, enum errand_kind kind)
{
    struct errand *k = &s->worker->errand;
    memset(k, 0, sizeof *k);
    k->kind = kind;
    k->order.round = 1;
    s->worker->working = true;
}

static void end(struct stage *s)
{
    s->worker->working = false;
}

static void move(struct stage *s, uint64_t done, uint64_t moved)
{
    s->moving_done = done;
    s->moving_total = 1024 * MIB;
    s->moved = moved;
}

static void test_a_transfer_is_told_with_rate_and_time_left(void **state)
{
    struct stage *s = *state;
    assert_sentence(s, 0, NULL);
    begin(s, ERRAND_FETCH);
    assert_sentence(s, 0, NULL); /* it looks at records: nobody knows how many bytes there are */
    move(s, 512 * MIB, 3 * MIB); /* half of it was here */
    assert_sentence(s, 1000, "fetching the model: 512 of 1024 MiB");
    move(s, 532 * MIB, 23 * MIB);
    assert_sentence(s, 1000, "fetching the model: 532 of 1024 MiB, 20.0 MiB/s, 25 s left");
    json_t *p = progress_of_status(s, 0);
    assert_string_equal(json_string_value(json_object_get(p, "what")), "fetching the model");
    assert_string_equal(json_string_value(json_object_get(p, "unit")), "bytes");
    assert_int_equal(json_integer_value(json_object_get(p, "done")), 532 * MIB);
    assert_int_equal(json_integer_value(json_object_get(p, "total")), 1024 * MIB);
    assert_true(json_number_value(json_object_get(p, "per_second")) == 20.0 * MIB);
    assert_true(json_number_value(json_object_get(p, "seconds_left")) == 492.0 / 20);
    json_decref(p);
    end(s);
    assert_sentence(s, 1000, NULL);
    begin(s, ERRAND_UPLOAD);
    move(s, 1 * MIB, 24 * MIB);
    assert_sentence(s, 1000, "sending the update: 1 of 1024 MiB");
    end(s);
}

static void test_training_is_told_in_the_trainers_steps_then_the_seal(void **state)
{
    struct stage *s = *state;
    struct errand *k = &s->worker->errand;
    begin(s, ERRAND_TRAIN);
    assert_sentence(s, 1000, NULL); /* it said nothing yet, and may never */
    k->trainer_total = 600;
    k->trainer_done = 100;
    assert_sentence(s, 1000, "training: 100 of 600");
    k->trainer_done = 128;
    assert_sentence(s, 2000, "training: 128 of 600, 14.0/s, 34 s left");
    progress_count_set(&k->sealing, 200 * MIB, 400 * MIB);
    assert_sentence(s, 1000, "sealing the update: 200 of 400 MiB");
    end(s);
}

static void test_the_jobs_count_to_the_end(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
    const struct errand *k = &s->worker->errand;
    assert_int_equal(k->kind, ERRAND_TRAIN);
    assert_int_equal(k->sealing.total, layout_update_bytes(s->chain.f.study.layout));
    assert_int_equal(k->sealing.done, k->sealing.total);
    assert_sentence(s, 1000, NULL); /* it is over */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_transfer_is_told_with_rate_and_time_left),
        TEST(test_training_is_told_in_the_trainers_steps_then_the_seal),
        TEST(test_the_jobs_count_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
