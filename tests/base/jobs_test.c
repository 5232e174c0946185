/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <fenv.h>
#include <float.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/jobs.h"

#define PARTS 200

/* --- a gate that a job waits at --- */

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int waiting;
    bool is_open;
};

#define GATE                                                                                       \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false                              \
    }

static void gate_pass(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->waiting++;
    pthread_cond_broadcast(&g->changed);
    while (!g->is_open)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_await(struct gate *g, int waiting)
{
    pthread_mutex_lock(&g->mutex);
    while (g->waiting < waiting)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->is_open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* --- jobs of the tests --- */

struct test_job {
    struct job job;
    struct jobs *jobs;
    struct gate *gate;
    atomic_int hits[PARTS];
    int rounds;
    int value;
};

static struct jobs *new_jobs(size_t threads)
{
    struct jobs *j;
    assert_int_equal(jobs_new(threads, &j, NULL), 0);
    return j;
}

static struct job *wait_done(struct jobs *j)
{
    struct pollfd p = {.fd = jobs_fd(j), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
    struct job *done = jobs_take_done(j);
    assert_non_null(done);
    return done;
}

static bool is_readable(const struct jobs *j)
{
    struct pollfd p = {.fd = jobs_fd(j), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void hit(void *self, size_t i)
{
    struct test_job *t = self;
    atomic_fetch_add(&t->hits[i], 1);
}

static void run_split(struct job *job)
{
    struct test_job *t = (struct test_job *)job;
    for (int i = 0; i < t->rounds; i++)
        jobs_split(t->jobs, PARTS, hit, t);
}

static void run_gate(struct job *job)
{
    gate_pass(((struct test_job *)job)->gate);
}

static void run_square(struct job *job)
{
    struct test_job *t = (struct test_job *)job;
    t->value *= t->value;
}

static void assert_hits(struct test_job *t, int times)
{
    for (size_t i = 0; i < PARTS; i++)
        assert_int_equal(atomic_load(&t->hits[i]), times);
}

/* --- tests --- */

static void test_every_job_comes_back_once_with_its_result(void **state)
{
    (void)state;
    static struct test_job jobs[100];
    bool back[100] = {false};
    struct jobs *j = new_jobs(3);
    for (int i = 0; i < 100; i++) {
        jobs[i] = (struct test_job){.job.run = run_square, .value = i};
        jobs_start(j, &jobs[i].job);
    }
    for (int i = 0; i < 100; i++) {
        struct test_job *t = (struct test_job *)wait_done(j);
        size_t index = (size_t)(t - jobs);
        assert_false(back[index]);
        back[index] = true;
        assert_int_equal(t->value, (int)(index * index));
    }
    assert_null(jobs_take_done(j));
    assert_false(is_readable(j));
    jobs_free(j);
}

static void test_the_descriptor_is_readable_while_something_is_done(void **state)
{
    (void)state;
    struct jobs *j = new_jobs(1);
    struct job posted[2] = {{0}, {0}}; /* `run` is NULL: calling it would crash */
    assert_false(is_readable(j));
    jobs_post(j, &posted[0]);
    jobs_post(j, &posted[1]);
    assert_true(is_readable(j));
    assert_ptr_equal(jobs_take_done(j), &posted[0]);
    assert_true(is_readable(j));
    assert_ptr_equal(jobs_take_done(j), &posted[1]);
    assert_false(is_readable(j));
    jobs_post(j, &posted[0]);
    assert_true(is_readable(j));
    jobs_free(j);
}

static void test_split_does_every_part_once(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 4; threads++) {
        static struct test_job t;
        t = (struct test_job){0};
        struct jobs *j = new_jobs(threads);
        assert_int_equal(jobs_thread_count(j), threads);
        for (int i = 0; i < 50; i++)
            jobs_split(j, PARTS, hit, &t);
        jobs_split(j, 0, hit, &t);
        assert_hits(&t, 50);
        jobs_split(j, 1, hit, &t);
        assert_int_equal(atomic_load(&t.hits[0]), 51);
        jobs_free(j);
    }
}

static void test_split_without_threads_is_done_by_the_caller(void **state)
{
    (void)state;
    static struct test_job t;
    t = (struct test_job){0};
    jobs_split(NULL, PARTS, hit, &t);
    assert_hits(&t, 1);
}

/* Every part of the first waits for the other thread to have begun one, so this ends only if
 * another thread helps. */
struct meeting {
    struct gate gate;
};

static void meet(void *self, size_t i)
{
    struct meeting *m = self;
    (void)i;
    pthread_mutex_lock(&m->gate.mutex);
    m->gate.waiting++;
    pthread_cond_broadcast(&m->gate.changed);
    while (m->gate.waiting < 2)
        pthread_cond_wait(&m->gate.changed, &m->gate.mutex);
    pthread_mutex_unlock(&m->gate.mutex);
}

static void test_split_is_helped_by_free_threads(void **state)
{
    (void)state;
    static struct meeting m = {GATE};
    struct jobs *j = new_jobs(2);
    jobs_split(j, 2, meet, &m);
    assert_int_equal(m.gate.waiting, 2);
    jobs_free(j);
}

static void test_split_ends_though_every_thread_is_busy(void **state)
{
    (void)state;
    static struct gate gate = GATE;
    static struct test_job blocked[2], t;
    struct jobs *j = new_jobs(2);
    t = (struct test_job){0};
    for (int i = 0; i < 2; i++) {
        blocked[i] = (struct test_job){.job.run = run_gate, .gate = &gate};
        jobs_start(j, &blocked[i].job);
    }
    gate_await(&gate, 2);
    for (int i = 0; i < 100; i++)
        jobs_split(j, PARTS, hit, &t);
    assert_hits(&t, 100);
    gate_open(&gate);
    jobs_free(j);
}

static void test_split_ends_inside_jobs_that_fill_every_thread(void **state)
{
    (void)state;
    static struct test_job jobs[8];
    struct jobs *j = new_jobs(2);
    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct test_job){.job.run = run_split, .jobs = j, .rounds = 30};
        jobs_start(j, &jobs[i].job);
    }
    for (int i = 0; i < 8; i++)
        wait_done(j);
    for (int i = 0; i < 8; i++)
        assert_hits(&jobs[i], 30);
    jobs_free(j);
}

static void split_again(void *self, size_t i)
{
    struct test_job *t = self;
    if (i < 4)
        jobs_split(t->jobs, PARTS, hit, t);
}

static void test_a_part_may_split_again(void **state)
{
    (void)state;
    static struct test_job t;
    struct jobs *j = new_jobs(2);
    t = (struct test_job){.jobs = j};
    jobs_split(j, 8, split_again, &t);
    assert_hits(&t, 4);
    jobs_free(j);
}

static void test_free_ends_the_running_and_drops_the_waiting(void **state)
{
    (void)state;
    static struct gate gate = GATE;
    static struct test_job blocked, waiting;
    struct jobs *j = new_jobs(1);
    blocked = (struct test_job){.job.run = run_gate, .gate = &gate};
    waiting = (struct test_job){.job.run = run_square, .value = 3};
    jobs_start(j, &blocked.job);
    gate_await(&gate, 1);
    jobs_start(j, &waiting.job);
    gate_open(&gate);
    jobs_free(j);
    /* Either it was still waiting or it ran to its end; never half. */
    assert_true(waiting.value == 3 || waiting.value == 9);
    jobs_free(NULL);
}

static void run_arithmetic(struct job *job)
{
    volatile double tiny = DBL_MIN;
    tiny = tiny / 4;
    ((struct test_job *)job)->value = fegetround() == FE_TONEAREST && tiny > 0;
}

static void test_threads_compute_in_the_default_environment(void **state)
{
    (void)state;
    static struct test_job t;
    assert_int_equal(fesetround(FE_UPWARD), 0); /* as a careless library might; threads inherit */
    struct jobs *j = new_jobs(1);
    int here = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(here, FE_TONEAREST); /* the caller works along, so it is reset as well */
    t = (struct test_job){.job.run = run_arithmetic};
    jobs_start(j, &t.job);
    wait_done(j);
    assert_int_equal(t.value, 1);
    jobs_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_comes_back_once_with_its_result),
        cmocka_unit_test(test_the_descriptor_is_readable_while_something_is_done),
        cmocka_unit_test(test_split_does_every_part_once),
        cmocka_unit_test(test_split_without_threads_is_done_by_the_caller),
        cmocka_unit_test(test_split_is_helped_by_free_threads),
        cmocka_unit_test(test_split_ends_though_every_thread_is_busy),
        cmocka_unit_test(test_split_ends_inside_jobs_that_fill_every_thread),
        cmocka_unit_test(test_a_part_may_split_again),
        cmocka_unit_test(test_free_ends_the_running_and_drops_the_waiting),
        cmocka_unit_test(test_threads_compute_in_the_default_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
