/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/numeric_fixture.h"

#include <stdatomic.h>

#define UPDATES 3
#define SHARDS  256
#define LEAVES  256

/* A base and updates in memory, every request counted. */
struct memory {
    const struct layout *layout;
    struct model base, next;
    float step; /* every delta */
    atomic_int leaf_reads[LEAVES], shard_reads[UPDATES][SHARDS];
    struct combine_range ranges[2]; /* expected */
    size_t widest;
    atomic_bool unexpected;
    bool disorder;
    uint64_t written;
    int fail_at_shard; /* -1: none */
};

static int count_base(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    struct memory *m = self;
    (void)err;
    uint64_t left = m->base.size - offset;
    assert_int_equal(offset % UNIXFS_LEAF_BYTES, 0);
    assert_int_equal(size, left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES);
    memcpy(data, m->base.file + offset, size);
    m->leaf_reads[offset / UNIXFS_LEAF_BYTES]++;
    return 0;
}

static bool is_expected(const struct memory *m, size_t shard)
{
    for (size_t i = 0; i < 2; i++)
        if (shard >= m->ranges[i].first && shard - m->ranges[i].first < m->ranges[i].count)
            return true;
    return false;
}

static int count_shard(void *self, size_t update, size_t shard, void *data, size_t size, bool *null,
                       struct err *err)
{
    struct memory *m = self;
    float *delta = data;
    (void)null;
    if (!is_expected(m, shard))
        m->unexpected = true;
    m->shard_reads[update][shard]++;
    if ((int)shard == m->fail_at_shard)
        return err_set(err, ERR_IO, "shard %zu failed", shard);
    for (size_t i = 0; i < size / sizeof *delta; i++)
        delta[i] = m->step;
    return 0;
}

static int note_ranges(void *self, const struct combine_range ranges[2], struct err *err)
{
    struct memory *m = self;
    (void)err;
    memcpy(m->ranges, ranges, sizeof m->ranges);
    m->widest = ranges[0].count > m->widest ? ranges[0].count : m->widest;
    return 0;
}

static int write_next(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct memory *m = self;
    (void)err;
    m->disorder |= offset != m->written;
    memcpy(m->next.file + offset, data.data, data.size);
    m->written = offset + data.size;
    return 0;
}

static struct memory *memory_new(struct layout *l)
{
    struct memory *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->layout = l;
    m->step = 0.5f;
    m->fail_at_shard = -1;
    m->base = model_new(l);
    m->next = model_copy(&m->base);
    model_fill(l, &m->base, "memory", true);
    assert_true(l->shard_count <= SHARDS && m->base.size <= (size_t)LEAVES << 20);
    return m;
}

static void memory_free(struct memory *m)
{
    model_free(&m->base);
    model_free(&m->next);
    free(m);
}

static int stream(struct memory *m, size_t threads, struct combine_found *found, struct err *err)
{
    static const uint32_t weights[UPDATES] = {5, 1, 7};
    struct combine_sum sum = {
        .layout = m->layout, .rule = rule_find("fedavg"), .weights = weights, .count = UPDATES};
    struct combine_source source = {.self = m,
                                    .base = count_base,
                                    .shard = count_shard,
                                    .expect = note_ranges,
                                    .file_bytes = m->base.size,
                                    .data_start = (uint64_t)(m->base.data - m->base.file)};
    struct combine_sink sink = {.self = m, .window = write_next};
    struct jobs *jobs = NULL;
    if (threads > 0)
        assert_int_equal(jobs_new(threads, &jobs, NULL), 0);
    int rc = combine_stream(&sum, &source, &sink, jobs, found, err);
    jobs_free(jobs);
    return rc;
}

static const struct spec three_windows[] = {{"a", DTYPE_F32, USE_MEAN, 5000001},
                                            {"b", DTYPE_F32, USE_FIXED, 4300000},
                                            {"c", DTYPE_F32, USE_MEAN, 900000}};

static void test_leaves_are_read_once_and_shards_twice_at_edges_only(void **state)
{
    (void)state;
    struct layout *l = LAYOUT(three_windows);
    struct memory *m = memory_new(l);
    struct combine_found found = {.finite = false};
    size_t twice = 0;
    assert_int_equal(stream(m, 2, &found, NULL), 0);
    assert_true(found.finite);
    assert_int_equal(m->written, m->base.size);
    assert_false(m->disorder);
    assert_false(m->unexpected);
    assert_true(m->widest <= 16 * 2 + 1); /* a window's shards of 512 KiB, and what hangs over */
    for (size_t i = 0; i * UNIXFS_LEAF_BYTES < m->base.size; i++)
        assert_int_equal(m->leaf_reads[i], 1);
    for (size_t i = 0; i < l->shard_count; i++)
        for (size_t u = 0; u < UPDATES; u++) {
            assert_in_range(m->shard_reads[u][i], 1, 2);
            twice += m->shard_reads[u][i] == 2;
        }
    assert_int_equal(twice, 2 * UPDATES); /* two edges of three windows lie inside a shard */
    for (size_t i = 0; i < 5000001; i += 997) {
        float base, next;
        memcpy(&base, element_of(l, &m->base, "a", i), sizeof base);
        memcpy(&next, element_of(l, &m->next, "a", i), sizeof next);
        assert_true(next == base + m->step);
    }
    assert_memory_equal(element_of(l, &m->base, "b", 0), element_of(l, &m->next, "b", 0),
                        4300000 * sizeof(float));
    memory_free(m);
    layout_free(l);
}

static void test_the_first_failing_shard_is_told_whatever_the_threads_do(void **state)
{
    (void)state;
    static const struct spec one_window[] = {{"a", DTYPE_F32, USE_MEAN, 2000000}};
    struct layout *l = LAYOUT(one_window);
    for (size_t threads = 0; threads < 4; threads++) {
        struct memory *m = memory_new(l);
        struct err err = {0};
        struct combine_found found;
        m->fail_at_shard = 7;
        assert_int_equal(stream(m, threads, &found, &err), ERR_IO);
        assert_string_equal(err.text, "shard 7 failed");
        assert_int_equal(m->written, 0);
        memory_free(m);
    }
    layout_free(l);
}

static void test_one_result_that_is_not_finite_is_told(void **state)
{
    (void)state;
    struct layout *l = LAYOUT(three_windows);
    struct memory *m = memory_new(l);
    struct combine_found found;
    m->step = 0x1p127f;
    dtype_put(DTYPE_F32, element_of(l, &m->base, "c", 899999), 0x1.8p127);
    dtype_put(DTYPE_F32, element_of(l, &m->base, "b", 7), (double)INFINITY); /* fixed: not ours */
    assert_int_equal(stream(m, 2, &found, NULL), 0);
    assert_false(found.finite);
    assert_int_equal(found.suspect, 0); /* all are alike */
    assert_ptr_equal(found.tensor, layout_find(l, "c"));
    dtype_put(DTYPE_F32, element_of(l, &m->base, "c", 899999), 0);
    m->written = 0;
    assert_int_equal(stream(m, 2, &found, NULL), 0);
    assert_true(found.finite);
    assert_true(found.suspect == SIZE_MAX && found.tensor == NULL);
    memory_free(m);
    layout_free(l);
}

static void test_a_base_of_another_length_is_malformed(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 100}};
    struct layout *l = LAYOUT(specs);
    struct memory *m = memory_new(l);
    struct combine_found found;
    m->base.size--;
    assert_int_equal(stream(m, 0, &found, NULL), ERR_MALFORMED);
    m->base.size += 2;
    assert_int_equal(stream(m, 0, &found, NULL), ERR_MALFORMED);
    m->base.size--;
    assert_int_equal(stream(m, 0, &found, NULL), 0);
    memory_free(m);
    layout_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_are_read_once_and_shards_twice_at_edges_only),
        cmocka_unit_test(test_the_first_failing_shard_is_told_whatever_the_threads_do),
        cmocka_unit_test(test_one_result_that_is_not_finite_is_told),
        cmocka_unit_test(test_a_base_of_another_length_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
