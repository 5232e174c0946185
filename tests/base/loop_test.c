/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/loop.h"

/* A program that adds numbers: an event n > 0 adds n, 0 changes nothing, and an event above 1000
 * begins the journal file of that number with the sum 0. It writes down when it acted. */
struct adder {
    uint64_t sum; /* the state */
    uint64_t event;
    uint64_t inputs[16];
    size_t input_count, input_at;
    uint64_t wishes, acted, forgotten;
    uint64_t sequence_seen; /* the journal's tail when it acted */
    struct loop loop;
    uint64_t now_ms;
};

static uint64_t now(void *self)
{
    return ((struct adder *)self)->now_ms;
}

static void do_not_wait(void *self, uint64_t timeout_ms)
{
    (void)self;
    (void)timeout_ms;
}

static bool next(void *self, uint64_t time_ms, void *event)
{
    (void)time_ms;
    struct adder *a = self;
    if (a->input_at == a->input_count)
        return false;
    *(uint64_t *)event = a->inputs[a->input_at++];
    return true;
}

static bool step(void *self, const void *event)
{
    struct adder *a = self;
    uint64_t n = *(const uint64_t *)event;
    uint64_t before = a->sum;
    a->sum = n > 1000 ? n : a->sum + n;
    a->wishes++;
    return a->sum != before;
}

static void encode(const void *event, struct buf *out)
{
    cbor_put_uint(out, *(const uint64_t *)event);
}

static bool starts_file(const void *event, uint64_t *number)
{
    *number = *(const uint64_t *)event;
    return *number > 1000;
}

static int perform(void *self, struct err *err)
{
    (void)err;
    struct adder *a = self;
    a->acted += a->wishes;
    a->wishes = 0;
    a->sequence_seen = journal_tail(a->loop.journal).sequence;
    return 0;
}

static int decode(struct cbor *r, void *event, struct err *err)
{
    *(uint64_t *)event = cbor_take_uint(r, UINT64_MAX);
    return r->failed ? cbor_finish(r, err) : 0;
}

static void forget(void *self)
{
    struct adder *a = self;
    a->wishes = 0;
    a->forgotten++;
}

static void start(struct adder *a, struct world *w, const struct files *files)
{
    *w = (struct world){.self = a, .files = files, .now_ms = now, .wait = do_not_wait};
    struct loop_program p = {a,    &a->sum, sizeof a->sum, &a->event, sizeof a->event, next,
                             step, encode,  starts_file,   perform,   decode,          forget};
    struct err err;
    if (loop_open(&a->loop, w, &p, in_scratch("journal"), &err) != 0)
        fail_msg("%s", err.text);
}

static void feed(struct adder *a, uint64_t n)
{
    struct err err;
    if (loop_feed(&a->loop, &n, &err) != 0)
        fail_msg("%s", err.text);
}

static void test_what_was_committed_comes_back_and_nothing_is_acted_again(void **state)
{
    (void)state;
    struct adder a = {0}, b = {0};
    struct world w;
    start(&a, &w, files_posix());
    assert_int_equal(a.loop.replayed, 0);
    feed(&a, 1001);
    a.input_count = 3;
    a.inputs[0] = 5;
    a.inputs[1] = 0;
    a.inputs[2] = 7;
    struct err err;
    assert_int_equal(loop_turn(&a.loop, 0, &err), 0);
    assert_int_equal(a.acted, 4);
    assert_int_equal(a.sequence_seen, 2); /* one frame for the whole turn, before acting */
    loop_close(&a.loop);
    start(&b, &w, files_posix());
    assert_int_equal(b.sum, 1001 + 5 + 7);
    assert_int_equal(b.loop.replayed, 3); /* the 0 changed nothing and was not kept */
    assert_int_equal(b.acted, 0);
    assert_int_equal(b.wishes, 0);
    loop_close(&b.loop);
}

static void test_an_event_that_starts_a_file_rebuilds_the_state_alone(void **state)
{
    (void)state;
    struct adder a = {0}, b = {0};
    struct world w;
    start(&a, &w, files_posix());
    feed(&a, 1001);
    feed(&a, 9);
    feed(&a, 2000);
    feed(&a, 1);
    loop_close(&a.loop);
    start(&b, &w, files_posix());
    assert_int_equal(b.sum, 2001);
    assert_int_equal(b.loop.replayed, 2);
    loop_close(&b.loop);
}

static void test_study_time_stands_still_while_the_program_is_down(void **state)
{
    (void)state;
    struct adder a = {.now_ms = 500000}, b = {.now_ms = 90};
    struct world w;
    start(&a, &w, files_posix());
    assert_int_equal(loop_time_ms(&a.loop), 0);
    feed(&a, 1001);
    a.now_ms += 700;
    feed(&a, 1);
    loop_close(&a.loop);
    start(&b, &w, files_posix()); /* another boot: the clock starts over */
    assert_int_equal(loop_time_ms(&b.loop), 700);
    b.now_ms += 5;
    assert_int_equal(loop_time_ms(&b.loop), 705);
    loop_close(&b.loop);
}

static int refuse_sync(void *self, int fd, struct err *err)
{
    (void)self;
    (void)fd;
    return err_set(err, ERR_IO, "the disk is gone");
}

static void test_nothing_is_acted_on_when_the_commit_fails(void **state)
{
    (void)state;
    struct adder a = {0};
    struct world w;
    struct files files = *files_posix();
    start(&a, &w, &files);
    feed(&a, 1001);
    uint64_t acted = a.acted, n = 3;
    struct err err;
    files.sync = refuse_sync;
    assert_int_equal(loop_feed(&a.loop, &n, &err), ERR_IO);
    assert_int_equal(a.acted, acted);
    files.sync = files_posix()->sync; /* never tried again: memory is ahead of the disk */
    assert_int_not_equal(loop_feed(&a.loop, &n, &err), 0);
    assert_int_equal(a.acted, acted);
    loop_close(&a.loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_committed_comes_back_and_nothing_is_acted_again),
        TEST(test_an_event_that_starts_a_file_rebuilds_the_state_alone),
        TEST(test_study_time_stands_still_while_the_program_is_down),
        TEST(test_nothing_is_acted_on_when_the_commit_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
