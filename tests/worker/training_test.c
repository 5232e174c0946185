/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/stage.h"

#include "worker/child.h"

#define SCRIPT "tests/worker/trainers/trainer.py"

static uint8_t pin[HASH_BYTES];

static void use_program(struct plan *p)
{
    use_null_trainer(p);
    strcpy(p->trainer, "program");
}

static void use_pinned_program(struct plan *p)
{
    use_program(p);
    p->pinned = true;
    memcpy(p->trainer_digest, pin, sizeof pin);
}

static int begin(void **state)
{
    return stage_begin_with(state, use_program);
}

static int begin_pinned(void **state)
{
    memset(pin, 9, sizeof pin);
    return stage_begin_with(state, use_pinned_program);
}

/* The site's trainer behaves as `mode` says from its next task on. */
static void configure(struct stage *s, const char *mode)
{
    char cid[CID_TEXT_MAX], script[FILES_PATH_MAX], text[FILES_PATH_MAX + 512];
    assert_non_null(realpath(SCRIPT, script));
    snprintf(text, sizeof text,
             "plan = \"%s\"\n[trainer]\ncommand = [\"python3\", \"-S\", \"%s\", \"%s\"]\n"
             "stall_seconds = 20\ngrace_seconds = 0.2\n",
             cid_format(&s->chain.f.plan_id, cid), script, mode);
    write_file(in_scratch("site/config.toml"), bytes_of_text(text));
}

/* How often the trainer was started. */
static size_t starts(void)
{
    size_t n = 0;
    if (!files_exists(files_posix(), in_scratch("site/pids")))
        return 0;
    struct buf b = read_file(in_scratch("site/pids"));
    for (size_t i = 0; i < b.size; i++)
        n += b.data[i] == '\n';
    buf_fini(&b);
    return n;
}

/* The update that the worker sealed for the chain's round. */
static struct update sealed(const struct stage *s)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct pack *pack = NULL;
    struct update u;
    assert_int_equal(phase(s), TASK_SEND);
    MUST(pack_open(files_posix(), pack_of(s, s->chain.round), false, &pack, err));
    MUST(pack_get(pack, &s->worker->task.record, &block, err));
    MUST(update_decode(buf_bytes(&block), &u, err));
    pack_close(pack);
    buf_fini(&block);
    return u;
}

static int count_one(void *arg, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(size_t *)arg;
    return 0;
}

static size_t files_in_work(void)
{
    size_t n = 0;
    MUST(files_posix()->list(NULL, in_scratch("site/work"), count_one, &n, err));
    return n;
}

/* --- tests --- */

static void test_two_rounds_are_trained_by_one_process(void **state)
{
    struct stage *s = *state;
    configure(s, "good");
    reach_send(s);
    struct update u = sealed(s);
    assert_int_equal(u.examples, 5);
    assert_true(update_metric(&u, "loss") == 0.25);
    assert_memory_equal(u.trainer, s->worker->program.digest, HASH_BYTES);
    assert_int_equal(files_in_work(), 0);
    be_accepted(s);
    chain_play(&s->chain, NULL);
    say_task(s, s->chain.f.coordinator);
    u = sealed(s);
    assert_int_equal(u.round, 2);
    assert_int_equal(starts(), 1);
}

static struct cid delta_by(const char *mode)
{
    void *state;
    assert_int_equal(begin(&state), 0);
    struct stage *s = state;
    configure(s, mode);
    reach_send(s);
    struct cid delta = sealed(s).delta;
    assert_int_equal(files_in_work(), 0);
    assert_int_equal(stage_end(&state), 0);
    return delta;
}

static void test_another_order_of_tensors_gives_the_same_delta(void **state)
{
    (void)state;
    struct cid usual = delta_by("good"), reversed = delta_by("reorder");
    assert_false(cid_is_none(&usual));
    assert_true(cid_equal(&usual, &reversed));
}

/* What the trainer writes, and the code by which the task is declined. */
static const struct {
    const char *mode;
    enum refusal_code code;
    const char *words;
} bad[] = {
    {"nan", REFUSAL_TRAINER_NOT_FINITE, "element 0"},
    {"layout", REFUSAL_TRAINER_LAYOUT, "extra"},
    {"shape", REFUSAL_TRAINER_LAYOUT, "its model"},
    {"fixed", REFUSAL_TRAINER_LAYOUT, "input.mean"},
    {"text", REFUSAL_TRAINER_LAYOUT, "its model"},
    {"exit-1", REFUSAL_TRAINER_DIED, "no such column"},
    {"error", REFUSAL_TRAINER_ERROR, "no GPU"},
};

static void test_a_trainer_that_fails_twice_declines_the_round(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        void *made;
        assert_int_equal(begin(&made), 0);
        struct stage *s = made;
        configure(s, bad[i].mode);
        stage_greet(s);
        say_task(s, s->chain.f.coordinator);
        if (phase(s) != TASK_DECLINE || s->worker->task.code != bad[i].code ||
            strstr(s->worker->trouble, bad[i].words) == NULL || starts() != 2)
            fail_msg("%s: %s, %zu starts: %s", bad[i].mode, task_phase_name(phase(s)), starts(),
                     s->worker->trouble);
        assert_null(s->worker->program.child);
        assert_int_equal(files_in_work(), 0);
        assert_int_equal(sent_count(s, MSG_DECLINE), 1);
        assert_int_equal(stage_end(&made), 0);
    }
}

static void test_after_a_declined_round_the_next_one_is_trained(void **state)
{
    struct stage *s = *state;
    configure(s, "exit-1");
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_DECLINE);
    say_noted(s, s->chain.f.coordinator, SITE, REFUSAL_TRAINER_DIED);
    assert_int_equal(phase(s), TASK_IDLE);
    configure(s, "good");
    chain_play(&s->chain, NULL);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(sealed(s).round, 2);
}

static void test_a_trainer_that_fails_once_is_forgiven(void **state)
{
    struct stage *s = *state;
    configure(s, "die-once");
    reach_send(s);
    assert_int_equal(sealed(s).round, 1);
    assert_int_equal(starts(), 2);
}

static void test_another_trainer_than_the_pinned_one_is_never_started(void **state)
{
    struct stage *s = *state;
    configure(s, "good");
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_DECLINE);
    assert_int_equal(s->worker->task.code, REFUSAL_TRAINER_DIGEST);
    assert_int_equal(starts(), 0);
}

static void test_without_a_trainer_the_task_waits_for_a_person(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_TRAIN);
    assert_non_null(strstr(s->worker->trouble, "[trainer]"));
    configure(s, "good");
    say_task(s, s->chain.f.coordinator); /* an echo; config.toml is read all the same */
    s->now_ms += 60000;
    queue(s, WORLD_CONNECTED, NULL);
    say_welcome(s);
    settle(s);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_a_base_that_the_trainer_changed_is_fetched_again(void **state)
{
    struct stage *s = *state;
    configure(s, "base");
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_non_null(strstr(s->worker->trouble, "base-changed"));
    assert_int_equal(s->models_fetched, 1);
    configure(s, "good");
    say_task(s, s->chain.f.coordinator);
    for (int i = 0; i < 2; i++) {
        s->now_ms += 60000;
        queue(s, WORLD_CONNECTED, NULL);
        say_welcome(s);
        settle(s);
    }
    assert_int_equal(phase(s), TASK_SEND);
    assert_int_equal(s->models_fetched, 2);
}

static void test_closing_the_worker_ends_its_trainer(void **state)
{
    struct stage *s = *state;
    configure(s, "good");
    reach_send(s);
    pid_t pid = child_pid(s->worker->program.child);
    close_worker(s);
    assert_int_equal(kill(pid, 0), -1);
    open_worker(s);
}

static void test_whatever_a_trainer_leaves_is_removed_and_no_link_is_followed(void **state)
{
    struct stage *s = *state;
    write_file(in_scratch("precious"), bytes_of_text("data"));
    close_worker(s);
    MUST(files_make_dirs(files_posix(), in_scratch("site/work/cache/deep"), err));
    write_file(in_scratch("site/work/cache/deep/file"), bytes_of_text("x"));
    assert_int_equal(symlink("../..", in_scratch("site/work/cache/up")), 0);
    assert_int_equal(symlink("../../precious", in_scratch("site/work/link")), 0);
    open_worker(s);
    assert_int_equal(files_in_work(), 0);
    assert_true(files_exists(files_posix(), in_scratch("precious")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_rounds_are_trained_by_one_process),
        cmocka_unit_test(test_another_order_of_tensors_gives_the_same_delta),
        cmocka_unit_test(test_a_trainer_that_fails_twice_declines_the_round),
        TEST(test_after_a_declined_round_the_next_one_is_trained),
        TEST(test_a_trainer_that_fails_once_is_forgiven),
        cmocka_unit_test_setup_teardown(test_another_trainer_than_the_pinned_one_is_never_started,
                                        begin_pinned, stage_end),
        TEST(test_without_a_trainer_the_task_waits_for_a_person),
        TEST(test_a_base_that_the_trainer_changed_is_fetched_again),
        TEST(test_closing_the_worker_ends_its_trainer),
        TEST(test_whatever_a_trainer_leaves_is_removed_and_no_link_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
