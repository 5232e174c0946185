/* SPDX-License-Identifier: Apache-2.0 */
/* The bound on an update's norm: at the door, and for verify. */
#include "tests/study/verify_chain.h"

#include <math.h>

#include "base/jobs.h"

#define ROUND  2
#define SHARDS 6

/* Shards: 0 F64 x 4, 1 and 2 F32, 3 BF16, 4 F16, 5 I32. */
static const struct tensor tensors[] = {
    {.name = "a", .dtype = DTYPE_F64, .use = USE_MEAN, .rank = 1, .shape = {4}},
    {.name = "w", .dtype = DTYPE_F32, .use = USE_MEAN, .rank = 1, .shape = {131072 + 3}},
    {.name = "b", .dtype = DTYPE_BF16, .use = USE_MEAN, .rank = 1, .shape = {5}},
    {.name = "h", .dtype = DTYPE_F16, .use = USE_MEAN, .rank = 1, .shape = {5}},
    {.name = "steps", .dtype = DTYPE_I32, .use = USE_LARGEST, .rank = 1, .shape = {2}},
};

static struct fixture f;
static struct flaky disk;
static struct jobs *jobs;
static uint64_t bytes_read; /* from the pack, by a check */
static struct check_result result;

static int counting_read(void *self, int fd, uint64_t offset, void *data, size_t size,
                         struct err *err)
{
    (void)self;
    __atomic_add_fetch(&bytes_read, size, __ATOMIC_RELAXED);
    return files_posix()->read(NULL, fd, offset, data, size, err);
}

static int group_setup(void **state)
{
    (void)state;
    return jobs_new(4, &jobs, NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    jobs_free(jobs);
    return 0;
}

static int setup(void **state)
{
    static const enum dtype order[SHARDS] = {DTYPE_F64,  DTYPE_F32, DTYPE_F32,
                                             DTYPE_BF16, DTYPE_F16, DTYPE_I32};
    struct layout *l;
    if (scratch_setup(state) != 0)
        return -1;
    MUST(layout_new(tensors, sizeof tensors / sizeof tensors[0], &l, err));
    assert_int_equal(l->shard_count, SHARDS);
    for (size_t i = 0; i < SHARDS; i++)
        assert_int_equal(l->shards[i].dtype, order[i]);
    fixture_init(&f, &(struct fixture_options){.sites = 2, .layout = l});
    layout_free(l);
    flaky_init(&disk);
    disk.table.read = counting_read;
    return 0;
}

static int teardown(void **state)
{
    check_result_fini(&result);
    fixture_fini(&f);
    return scratch_teardown(state);
}

static struct pack *open_pack(void)
{
    struct pack *pack;
    MUST(pack_open(&disk.table, in_scratch("site.car"), true, &pack, err));
    return pack;
}

/* Checks the first site's update against `bound`, its shards on `threads`. */
static void check(double bound, struct pack *pack, const struct cid *record, struct jobs *threads)
{
    const struct check_expected e = {.study = &f.study,
                                     .site = key_public(f.sites[0].ed25519),
                                     .site_name = "hospital-a",
                                     .round = ROUND,
                                     .rule = rule_find("fedavg"),
                                     .base = f.model};
    f.study.plan.update_norm_max = bound;
    check_result_fini(&result);
    bytes_read = 0;
    check_update(&e, pack, record, threads, &result);
}

static void assert_accepted(double bound, struct pack *pack, const struct cid *record)
{
    check(bound, pack, record, jobs);
    if (result.outcome != CHECK_ACCEPTED)
        fail_msg("bound %g: outcome %d: %s%s", bound, result.outcome, result.sentence,
                 result.err.text);
}

static void assert_refused(double bound, struct pack *pack, const struct cid *record,
                           enum refusal_code code, const char *words)
{
    check(bound, pack, record, jobs);
    if (result.outcome != CHECK_REFUSED || result.code != code ||
        strstr(result.sentence, words) == NULL)
        fail_msg("bound %g, \"%s\": outcome %d, %s: %s", bound, words, result.outcome,
                 refusal_name(result.code), result.sentence);
}

static struct cid put_shard(struct pack *pack, const void *data, size_t size)
{
    return fixture_pack_put(pack, CID_RAW, bytes_of(data, size));
}

static struct cid put_update(struct pack *pack, struct cid shards[SHARDS])
{
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    struct update_index x = {
        .codec = "plain", .layout = f.study.plan.layout, .count = SHARDS, .shards = shards};
    MUST(update_index_write(&x, fixture_index_put, pack, &u.delta, err));
    return fixture_sign(&f, pack, 0, &u);
}

/* The dtype that the shard's part of an update is in. */
static enum dtype stored(const struct shard *s)
{
    return s->use == USE_LARGEST || s->dtype == DTYPE_F64 ? s->dtype : DTYPE_F32;
}

/* One value in the first element of every shard, all else zero. */
static struct cid put_values_of(struct pack *pack, const double *values)
{
    const struct layout *l = f.study.layout;
    struct cid shards[SHARDS] = {{0}};
    for (size_t i = 0; i < SHARDS; i++) {
        const struct shard *s = &l->shards[i];
        uint8_t *data = calloc(s->bytes, 1);
        assert_non_null(data);
        if (s->use == USE_LARGEST)
            bytes_put_u32(data, (uint32_t)values[i]);
        else
            dtype_put(stored(s), data, values[i]);
        if (values[i] != 0) /* else null */
            shards[i] = put_shard(pack, data, s->bytes);
        free(data);
    }
    return put_update(pack, shards);
}

static void test_a_norm_up_to_the_bound_is_accepted_and_none_above(void **state)
{
    (void)state;
    static const struct {
        double values[SHARDS]; /* F64, F32, F32, BF16, F16, I32 */
        double norm;
        const char *why;
    } rows[] = {
        {{2}, 2, "F64"},
        {{0, -2}, 2, "F32, the first shard"},
        {{0, 0, 2}, 2, "F32, the second one"},
        {{0, 0, 0, 2}, 2, "BF16"},
        {{0, 0, 0, 0, -2}, 2, "F16"},
        {{0, 0, 0, 0, 1e6}, 1e6, "more than an F16 holds: its delta is F32"},
        {{3, 0, 4}, 5, "two tensors"},
        {{1, 1, 1, 1, 0}, 2, "four of them"},
        {{0, 2, 0, 0, 0, 1000000}, 2, "the value of a largest shard is not in it"},
        {{0, 0x1p127}, 0x1p127, "finite and absurd"},
        {{0x1p500}, 0x1p500, "so in F64"},
    };
    struct pack *pack = open_pack();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cid record = put_values_of(pack, rows[i].values);
        assert_accepted(rows[i].norm, pack, &record);
        assert_accepted(nextafter(rows[i].norm, INFINITY), pack, &record);
        assert_refused(nextafter(rows[i].norm, 0), pack, &record, REFUSAL_NORM_BOUND,
                       "the update's norm is ");
        assert_accepted(0, pack, &record); /* no bound */
    }
    pack_close(pack);
}

static void test_both_numbers_are_told(void **state)
{
    (void)state;
    static const double five[SHARDS] = {0, 3, 4}, over[SHARDS] = {1e200};
    struct pack *pack = open_pack();
    struct cid record = put_values_of(pack, five);
    assert_refused(2.5, pack, &record, REFUSAL_NORM_BOUND,
                   "hospital-a: the update's norm is 5, the plan's bound 2.5");
    record = put_values_of(pack, over); /* its square is not finite */
    assert_refused(PLAN_NORM_MAX, pack, &record, REFUSAL_NORM_BOUND,
                   "norm is inf, the plan's bound 1e+300");
    pack_close(pack);
}

/* Shards in random order of threads, sums in the order stated: to the last bit. */
static void test_the_norm_is_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    const struct layout *l = f.study.layout;
    struct pack *pack = open_pack();
    struct cid shards[SHARDS] = {{0}};
    double sum = 0, in_one_run = 0;
    for (size_t i = 0; i < SHARDS - 1; i++) {
        const struct shard *s = &l->shards[i];
        char seed[16]; /* another one each: no two shards are one block */
        snprintf(seed, sizeof seed, "norm %zu", i);
        uint8_t *data = stream_bytes(seed, s->bytes);
        enum dtype dtype = stored(s);
        double squares = 0;
        for (size_t k = 0; k < s->elements; k++) {
            double value = 1 + (double)bytes_get_u32(data + 4 * k) / 0x1p32;
            dtype_put(dtype, data + k * dtype_bytes(dtype), value);
            value = dtype_get(dtype, data + k * dtype_bytes(dtype));
            squares += value * value;
            in_one_run += value * value;
        }
        sum += squares;
        shards[i] = put_shard(pack, data, s->bytes);
        free(data);
    }
    assert_true(sqrt(sum) != sqrt(in_one_run)); /* else this test could not tell */
    struct cid record = put_update(pack, shards);
    for (int i = 0; i < 6; i++) {
        struct jobs *threads = i % 2 == 0 ? jobs : NULL;
        bool above = i >= 2;
        check(above ? nextafter(sqrt(sum), 0) : sqrt(sum), pack, &record, threads);
        assert_int_equal(result.outcome, above ? CHECK_REFUSED : CHECK_ACCEPTED);
        assert_int_equal(bytes_read, result.bytes); /* each shard once, for all of it */
    }
    pack_close(pack);
}

static void test_a_norm_is_judged_when_all_is_there_and_finite(void **state)
{
    (void)state;
    static const double large[SHARDS] = {9, 9};
    const double bad[4] = {1e300, NAN};
    struct pack *pack = open_pack();
    struct cid shards[SHARDS] = {{0}}, record = put_values_of(pack, large);
    assert_refused(1, pack, &record, REFUSAL_NORM_BOUND,
                   "norm is 12.7279220614, the plan's bound 1");
    shards[0] = put_shard(pack, bad, sizeof bad);
    record = put_update(pack, shards);
    assert_refused(1, pack, &record, REFUSAL_NOT_FINITE, "element 1 is NaN");
    shards[1] = cid_of(CID_RAW, bytes_of_text("not yet there"));
    record = put_update(pack, shards);
    check(1, pack, &record, jobs);
    assert_int_equal(result.outcome, CHECK_MISSING);
    assert_true(result.missing_count == 1 && cid_equal(&result.missing[0], &shards[1]));
    pack_close(pack);
}

/* --- for verify --- */

static void bound_norms(struct plan *p)
{
    p->update_norm_max = 2; /* honest ones have 0.5, 1 and 1.5: four elements each */
}

static void lie_norm(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    r->updates[0] = fixture_delta(&c->f, pack, 0, r->round, &r->base, 1.5f, 10);
    pack_close(pack);
}

static void test_an_accepted_update_above_the_bound_is_a_lie(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    struct err why = {0};
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = bound_norms});
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    struct cid liar = chain_play(&c, lie_norm);
    assert_int_equal(chain_verify(NULL, &found, &why), ERR_DENIED);
    if (strstr(why.text, "it had to be refused, norm-bound: hospital-a: the update's norm is 3, "
                         "the plan's bound 2") == NULL)
        fail_msg("%s", why.text);
    assert_true(cid_equal(&found.bad_record, &liar));
    chain_fini(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_norm_up_to_the_bound_is_accepted_and_none_above),
        TEST(test_both_numbers_are_told),
        TEST(test_the_norm_is_the_same_on_any_number_of_threads),
        TEST(test_a_norm_is_judged_when_all_is_there_and_finite),
        cmocka_unit_test_setup_teardown(test_an_accepted_update_above_the_bound_is_a_lie,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
