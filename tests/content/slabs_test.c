/* SPDX-License-Identifier: Apache-2.0 */
#include "content/slabs.h"

#include "base/jobs.h"
#include "tests/scratch.h"

static void test_a_slab_that_comes_back_goes_out_next_with_its_memory_and_empty(void **state)
{
    (void)state;
    struct slabs s;
    slabs_init(&s, 1000);
    struct slab one = slabs_take(&s), two = slabs_take(&s);
    buf_extend(&one.a, 1000);
    buf_extend(&one.a, 1); /* too much: it has failed */
    buf_extend(&two.b, 10);
    const uint8_t *memory = one.a.data;
    slabs_give(&s, &two);
    slabs_give(&s, &one);
    struct slab again = slabs_take(&s);
    assert_ptr_equal(again.a.data, memory);
    assert_int_equal(again.a.size, 0);
    assert_int_equal(buf_check(&again.a, NULL), 0);
    assert_non_null(buf_extend(&again.a, 1000));
    slabs_give(&s, &again);
    slabs_fini(&s);
}

struct crowd {
    struct slabs slabs;
    pthread_mutex_t mutex;
    size_t out, most;
};

static void use_slab(void *self, size_t i)
{
    struct crowd *c = self;
    struct slab slab = slabs_take(&c->slabs);
    pthread_mutex_lock(&c->mutex);
    c->out++;
    if (c->out > c->most)
        c->most = c->out;
    pthread_mutex_unlock(&c->mutex);
    uint8_t *at = buf_extend(&slab.a, 64);
    memset(at, (int)i, 64);
    sched_yield();
    for (size_t k = 0; k < 64; k++)
        assert_int_equal(at[k], (uint8_t)i); /* nobody else has it */
    pthread_mutex_lock(&c->mutex);
    c->out--;
    pthread_mutex_unlock(&c->mutex);
    slabs_give(&c->slabs, &slab);
}

static void test_more_threads_than_slabs_wait_for_each_other(void **state)
{
    (void)state;
    static struct crowd c;
    struct jobs *jobs;
    slabs_init(&c.slabs, 64);
    pthread_mutex_init(&c.mutex, NULL);
    assert_int_equal(jobs_new(SLABS_MAX + 8, &jobs, NULL), 0);
    jobs_split(jobs, 2000, use_slab, &c);
    assert_int_equal(c.out, 0);
    assert_in_range(c.most, 1, SLABS_MAX);
    jobs_free(jobs);
    pthread_mutex_destroy(&c.mutex);
    slabs_fini(&c.slabs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slab_that_comes_back_goes_out_next_with_its_memory_and_empty),
        cmocka_unit_test(test_more_threads_than_slabs_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
