/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/numeric_fixture.h"

#include "aggregate/accumulate.h"
#include "aggregate/moments.h"
#include "study/update_index.h"

/* Every use and many dtypes, no size a multiple of anything, fixed tensors in between. */
static const struct spec mixed[] = {{"a.wide", DTYPE_F64, USE_MEAN, 140001},
                                    {"b.wide.fixed", DTYPE_F64, USE_FIXED, 333},
                                    {"c.wide", DTYPE_F64, USE_MEAN, 70001},
                                    {"a.steps", DTYPE_I64, USE_LARGEST, 3},
                                    {"b.steps", DTYPE_U64, USE_LARGEST, 1},
                                    {"a", DTYPE_F32, USE_MEAN, 131072},
                                    {"b", DTYPE_F32, USE_FIXED, 5001},
                                    {"c", DTYPE_F32, USE_MEAN, 1},
                                    {"d", DTYPE_F32, USE_FIXED, 7},
                                    {"e", DTYPE_F32, USE_MEAN, 200003},
                                    {"a.count", DTYPE_I32, USE_LARGEST, 70},
                                    {"b.count", DTYPE_I32, USE_FIXED, 9},
                                    {"c.count", DTYPE_I32, USE_LARGEST, 5},
                                    {"a.half", DTYPE_F16, USE_MEAN, 131073},
                                    {"a.brain", DTYPE_BF16, USE_MEAN, 12345},
                                    {"b.half", DTYPE_F16, USE_FIXED, 3},
                                    {"c.half", DTYPE_F16, USE_MEAN, 1000},
                                    {"small", DTYPE_I16, USE_LARGEST, 4001},
                                    {"bytes", DTYPE_U8, USE_LARGEST, 132001},
                                    {"flags", DTYPE_BOOL, USE_LARGEST, 13},
                                    {"flags.fixed", DTYPE_BOOL, USE_FIXED, 1},
                                    {"signs", DTYPE_I8, USE_LARGEST, 77}};

static void test_the_next_model_is_the_oracles_for_any_number_of_updates(void **state)
{
    (void)state;
    static const uint32_t weights[] = {ACCUMULATE_WEIGHT_MAX, 1, 77, 536870909, 1000};
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        fixture_add_random_site(f, weights[i]);
        struct model expected = oracle(f, NULL);
        struct cid next = fixture_combine(f, NULL, NULL, false), imported;
        assert_model(f, &next, &expected);
        if (i == 0) { /* its name is that of the file */
            fixture_import(f, &expected, &imported);
            assert_true(cid_equal(&next, &imported));
        }
        model_free(&expected);
    }
    fixture_free(f);
}

static void test_threads_and_arrival_do_not_change_the_next_model(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    for (uint32_t i = 0; i < 3; i++)
        fixture_add_random_site(f, 1 + 1000 * i);
    struct cid expected = fixture_combine(f, NULL, NULL, true);
    for (size_t threads = 1; threads <= 4; threads++) {
        struct jobs *jobs;
        assert_int_equal(jobs_new(threads, &jobs, NULL), 0);
        struct cid next = fixture_combine(f, NULL, jobs, threads % 2 == 0);
        assert_true(cid_equal(&next, &expected));
        jobs_free(jobs);
    }
    /* The blocks of a pack in another order: as if they had arrived so. */
    struct cid *cids;
    size_t count;
    assert_int_equal(seal_blocks(f->sites[1].pack, &f->sites[1].record, &cids, &count, NULL), 0);
    struct pack *other = new_pack("backwards");
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = count; i-- > 0;) {
        assert_int_equal(pack_get(f->sites[1].pack, &cids[i], &block, NULL), 0);
        assert_int_equal(pack_put(other, &cids[i], buf_bytes(&block), NULL), 0);
    }
    buf_fini(&block);
    free(cids);
    pack_close(f->sites[1].pack);
    f->sites[1].pack = other;
    struct cid next = fixture_combine(f, NULL, NULL, true);
    assert_true(cid_equal(&next, &expected));
    fixture_free(f);
}

/* Windows of 16 MiB: shards at their edges, and one window that lies between two pieces of a shard.
 */
static void test_a_model_of_several_windows_is_the_oracles(void **state)
{
    (void)state;
    static const struct spec large[] = {{"a", DTYPE_F32, USE_MEAN, 4200003},
                                        {"b", DTYPE_F32, USE_FIXED, 9000000},
                                        {"c", DTYPE_F32, USE_MEAN, 300001},
                                        {"d", DTYPE_I32, USE_LARGEST, 150000}};
    struct fixture *f = fixture_new(LAYOUT(large), false);
    struct jobs *jobs;
    assert_int_equal(jobs_new(2, &jobs, NULL), 0);
    fixture_add_random_site(f, 5);
    fixture_add_random_site(f, 1000003);
    struct model expected = oracle(f, NULL);
    struct cid dry = fixture_combine(f, NULL, NULL, true);
    assert_false(store_model_has(f->store, &dry));
    struct cid next = fixture_combine(f, NULL, jobs, false);
    assert_true(cid_equal(&dry, &next));
    assert_model(f, &next, &expected);
    model_free(&expected);
    jobs_free(jobs);
    fixture_free(f);
}

/* Deltas over the whole range of f32, the largest weights; the first two cancel. */
static void add_wide_sites(struct fixture *f)
{
    uint8_t *bits = stream_bytes("wide", (size_t)f->study.layout->data_bytes * 3);
    size_t size = (size_t)f->study.layout->data_bytes;
    for (size_t i = 0; i < 3; i++) {
        struct model m = model_copy(&f->base);
        for (size_t at = 0; at < size; at += 4) {
            uint32_t value = bytes_get_u32(bits + (i == 2 ? size : 0) + at);
            if ((value & 0x7f800000) == 0x7f800000)
                value ^= 0x40000000;
            bytes_put_u32(m.data + at, i == 1 ? value ^ 0x80000000 : value);
        }
        fixture_add_site(f, m, i == 2 ? 3 : ACCUMULATE_WEIGHT_MAX);
    }
    free(bits);
}

static void test_the_order_given_is_the_order_of_the_sum(void **state)
{
    (void)state;
    static const struct spec wide[] = {{"a", DTYPE_F32, USE_MEAN, 150000}};
    static const size_t other_order[] = {0, 2, 1};
    struct fixture *f = fixture_new(LAYOUT(wide), true);
    add_wide_sites(f);
    struct model expected = oracle(f, NULL), expected_other = oracle(f, other_order);
    struct cid next = fixture_combine(f, NULL, NULL, false);
    struct cid other = fixture_combine(f, other_order, NULL, false);
    assert_model(f, &next, &expected);
    assert_model(f, &other, &expected_other);
    assert_false(cid_equal(&next, &other));
    model_free(&expected_other);
    model_free(&expected);
    fixture_free(f);
}

static void test_null_shards_of_some_sites_count_with_their_weight(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    fixture_add_random_site(f, 100);
    fixture_add_site(f, model_copy(&f->base), 300); /* nothing changed */
    struct model half = model_copy(&f->base);       /* only one tensor changed */
    dtype_put(DTYPE_F32, element_of(f->study.layout, &half, "e", 200002), 3.5);
    fixture_add_site(f, half, 50);
    struct model expected = oracle(f, NULL);
    struct cid next = fixture_combine(f, NULL, NULL, false);
    assert_model(f, &next, &expected);
    model_free(&expected);
    fixture_free(f);
}

static void test_a_shard_null_for_all_goes_through_the_arithmetic(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 1000},
                                        {"b", DTYPE_F32, USE_FIXED, 10},
                                        {"n", DTYPE_I32, USE_LARGEST, 10}};
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    const struct layout *l = f->study.layout;
    dtype_put(DTYPE_F32, element_of(l, &f->base, "a", 17), -0.0);
    dtype_put(DTYPE_F32, element_of(l, &f->base, "b", 3), -0.0);
    fixture_import(f, &f->base, &f->root);
    fixture_add_site(f, model_copy(&f->base), 1);
    fixture_add_site(f, model_copy(&f->base), 2);
    struct model expected = model_copy(&f->base);
    dtype_put(DTYPE_F32, element_of(l, &expected, "a", 17), 0.0); /* the fixed one keeps its sign */
    struct cid next = fixture_combine(f, NULL, NULL, false);
    assert_model(f, &next, &expected);
    model_free(&expected);
    fixture_free(f);
}

/* Null in a `largest` shard is the base's values, not zeros. */
static void test_largest_shards_keep_what_null_stands_for(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 3},
                                        {"n", DTYPE_I32, USE_LARGEST, 2}};
    static const struct {
        int32_t base, first, second, expected;
    } cases[] = {
        {5, 0, 0, 0},    /* zeros are values here */
        {0, 0, 0, 0},    /* null, null */
        {0, -3, 0, 0},   /* null wins */
        {0, -3, -2, -2}, /* the base takes no part by itself */
        {-9, 0, -4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *f = fixture_new(LAYOUT(specs), true);
        const struct layout *l = f->study.layout;
        struct model first = model_copy(&f->base), second = model_copy(&f->base);
        for (size_t k = 0; k < 2; k++) {
            bytes_put_u32(element_of(l, &f->base, "n", k), (uint32_t)cases[i].base);
            bytes_put_u32(element_of(l, &first, "n", k), (uint32_t)cases[i].first);
            bytes_put_u32(element_of(l, &second, "n", k), (uint32_t)cases[i].second);
        }
        fixture_import(f, &f->base, &f->root);
        fixture_add_site(f, first, 1);
        fixture_add_site(f, second, 1);
        struct model expected = model_copy(&f->base);
        for (size_t k = 0; k < 2; k++)
            bytes_put_u32(element_of(l, &expected, "n", k), (uint32_t)cases[i].expected);
        struct cid next = fixture_combine(f, NULL, NULL, false);
        assert_model(f, &next, &expected);
        model_free(&expected);
        fixture_free(f);
    }
}

/* --- what cannot be combined --- */

static int run_round(struct fixture *f, struct combine_result *result, struct err *err)
{
    struct round_of_fixture r;
    memset(result, 0, sizeof *result);
    fixture_round(f, NULL, NULL, &r);
    return combine_round(&r.combine, result, err);
}

/* The same without storing what comes out. */
static int run_dry(struct fixture *f, struct combine_result *result, struct err *err)
{
    struct round_of_fixture r;
    memset(result, 0, sizeof *result);
    fixture_round(f, NULL, NULL, &r);
    r.combine.dry = true;
    return combine_round(&r.combine, result, err);
}

static void test_a_damaged_leaf_of_the_base_is_named(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    struct combine_result result;
    struct err err = {0};
    char path[FILES_PATH_MAX];
    fixture_add_random_site(f, 1);
    assert_int_equal(store_model_path(f->store, &f->root, path, NULL, NULL), 0);
    damage_file(path, (1 << 20) + 5, 1);
    assert_int_equal(run_round(f, &result, &err), ERR_CORRUPT);
    assert_true(cid_is_none(&result.damaged));
    assert_non_null(strstr(err.text, "leaf 1 "));
    assert_false(files_exists(files_posix(), in_scratch("store/models/round-1.part")));
    damage_file(path, (1 << 20) + 5, 255);
    assert_int_equal(run_round(f, &result, &err), 0);
    fixture_free(f);
}

/* Each block of an update in turn, damaged and then gone; its return heals. */
static void test_a_damaged_or_missing_block_of_an_update_is_named(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    struct combine_result result;
    struct cid *cids;
    size_t count;
    fixture_add_random_site(f, 1);
    fixture_add_random_site(f, 2);
    fixture_add_random_site(f, 3);
    struct pack *pack = f->sites[1].pack;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    assert_int_equal(seal_blocks(pack, &f->sites[1].record, &cids, &count, NULL), 0);
    struct buf file = read_file(in_scratch("site-1"));
    for (size_t i = 1; i < count; i++) { /* the record is not asked for */
        struct err err = {0};
        assert_int_equal(pack_get(pack, &cids[i], &block, NULL), 0);
        uint8_t *at = memmem(file.data, file.size, block.data, block.size < 64 ? block.size : 64);
        assert_non_null(at);
        damage_file(in_scratch("site-1"), at - file.data, 1);
        assert_int_equal(run_dry(f, &result, &err), ERR_CORRUPT);
        assert_int_equal(result.damaged_update, 1);
        assert_true(cid_equal(&result.damaged, &cids[i]));
        assert_non_null(strstr(err.text, "update of site-1"));
        pack_forget(pack, &cids[i]);
        assert_int_equal(run_dry(f, &result, &err), ERR_CORRUPT);
        assert_true(cid_equal(&result.damaged, &cids[i]));
        assert_int_equal(pack_put(pack, &cids[i], buf_bytes(&block), NULL), 0);
        assert_int_equal(run_dry(f, &result, &err), 0);
    }
    buf_fini(&file);
    buf_fini(&block);
    free(cids);
    fixture_free(f);
}

static void test_of_many_damaged_blocks_the_first_in_order_is_named(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    struct round_of_fixture r;
    struct jobs *jobs;
    struct cid *cids;
    size_t count;
    fixture_add_random_site(f, 1);
    fixture_add_random_site(f, 1);
    assert_int_equal(jobs_new(4, &jobs, NULL), 0);
    assert_int_equal(seal_blocks(f->sites[1].pack, &f->sites[1].record, &cids, &count, NULL), 0);
    for (size_t i = 3; i < count; i++) /* record, index and the first shard stay */
        pack_forget(f->sites[1].pack, &cids[i]);
    for (size_t i = 0; i < 20; i++) {
        struct combine_result result;
        fixture_round(f, NULL, jobs, &r);
        assert_int_equal(combine_round(&r.combine, &result, NULL), ERR_CORRUPT);
        assert_true(cid_equal(&result.damaged, &cids[3]));
    }
    free(cids);
    jobs_free(jobs);
    fixture_free(f);
}

static void test_an_index_of_another_layout_or_codec_is_malformed(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(mixed), false);
    struct combine_result result;
    fixture_add_random_site(f, 1);
    struct cid layout = f->study.plan.layout;
    f->study.plan.layout = f->root;
    assert_int_equal(run_round(f, &result, NULL), ERR_MALFORMED);
    assert_true(cid_equal(&result.damaged, &f->sites[0].update.delta));
    f->study.plan.layout = layout;
    f->study.plan.codec[0] = 'x';
    assert_int_equal(run_round(f, &result, NULL), ERR_MALFORMED);
    fixture_free(f);
}

static void test_a_weight_out_of_range_is_malformed(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 10}};
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct combine_result result;
    fixture_add_random_site(f, 0);
    assert_int_equal(run_round(f, &result, NULL), ERR_MALFORMED);
    f->sites[0].weight = ACCUMULATE_WEIGHT_MAX + 1;
    assert_int_equal(run_round(f, &result, NULL), ERR_MALFORMED);
    f->sites[0].weight = ACCUMULATE_WEIGHT_MAX;
    assert_int_equal(run_round(f, &result, NULL), 0);
    fixture_free(f);
}

static void test_a_next_model_that_is_not_finite_fails_the_round(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F16, USE_MEAN, 150000}};
    struct fixture *f = fixture_new(LAYOUT(specs), true);
    struct combine_result result;
    /* Each delta is a finite f32; f16 cannot hold their mean on top of the base. */
    struct model up = model_copy(&f->base);
    dtype_put(DTYPE_F16, element_of(f->study.layout, &f->base, "a", 140000), -60000);
    dtype_put(DTYPE_F16, element_of(f->study.layout, &up, "a", 140000), 60000);
    fixture_import(f, &f->base, &f->root);
    fixture_add_site(f, up, 1);
    model_free(&f->base);
    f->base = model_copy(&f->sites[0].model);
    fixture_import(f, &f->base, &f->root); /* an older base than the delta's */
    assert_int_equal(run_round(f, &result, NULL), 0);
    assert_string_equal(result.failure, "not-finite");
    assert_true(cid_equal(&result.next, &f->root));
    assert_false(files_exists(files_posix(), in_scratch("store/models/round-1.part")));
    fixture_free(f);
}

static void test_rounds_that_change_nothing_keep_the_base(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 10}};
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct combine_result result;
    struct round_of_fixture r;
    assert_int_equal(run_round(f, &result, NULL), 0);
    assert_string_equal(result.failure, "no-quorum");
    assert_true(cid_equal(&result.next, &f->root));
    fixture_add_random_site(f, 1);
    fixture_round(f, NULL, NULL, &r);
    r.combine.rule = rule_find("evaluate");
    r.updates[0].answer = (struct cid){0};
    assert_int_equal(combine_round(&r.combine, &result, NULL), 0);
    assert_string_equal(result.failure, "");
    assert_true(cid_equal(&result.next, &f->root));
    fixture_free(f);
}

/* --- moments --- */

#define FEATURES 4

static struct cid put_moments(struct pack *pack, uint64_t count, double scale)
{
    struct moments m;
    struct buf out = buf_new(1u << 20);
    assert_int_equal(moments_new(FEATURES, &m, NULL), 0);
    m.count = count;
    for (size_t i = 0; i < FEATURES; i++) {
        m.sum[i] = scale * (double)(i + 1);
        m.squares[i] = scale * scale * (double)(i + 2);
    }
    assert_int_equal(moments_encode(&m, &out, NULL), 0);
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&out));
    assert_int_equal(pack_put(pack, &cid, buf_bytes(&out), NULL), 0);
    buf_fini(&out);
    moments_fini(&m);
    return cid;
}

static int run_moments(struct fixture *f, double scale, struct combine_result *out, struct err *err)
{
    struct pack *pack = new_pack("values");
    struct combine_update updates[2] = {
        {.weight = 3, .answer = put_moments(pack, 3, scale), .pack = pack, .site_name = "one"},
        {.weight = 9,
         .answer = put_moments(pack, 9, -scale / 3),
         .pack = pack,
         .site_name = "two"}};
    struct combine c = {.study = &f->study,
                        .rule = rule_find("moments"),
                        .store = f->store,
                        .base = f->root,
                        .updates = updates,
                        .update_count = 2,
                        .part = "round-1"};
    memset(out, 0, sizeof *out);
    int rc = combine_round(&c, out, err);
    pack_close(pack);
    return rc;
}

static void set_expected(const struct layout *l, struct model *m, double scale)
{
    for (size_t i = 0; i < FEATURES; i++) {
        double k = (double)i, sum = scale * (k + 1) + -scale / 3 * (k + 1);
        double squares = scale * scale * (k + 2) + -scale / 3 * (-scale / 3) * (k + 2);
        double mean = sum / 12, variance = squares / 12 - mean * mean;
        dtype_put(DTYPE_F32, element_of(l, m, "input.mean", i), mean);
        dtype_put(DTYPE_F32, element_of(l, m, "input.deviation", i), sqrt(variance));
    }
}

/* The tensors lie on both sides of the first window's end, and among others. */
static struct layout *layout_at_an_edge(uint64_t *filler)
{
    struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, *filler},
                           {"input.deviation", DTYPE_F32, USE_FIXED, FEATURES},
                           {"input.mean", DTYPE_F32, USE_FIXED, FEATURES},
                           {"z", DTYPE_F32, USE_FIXED, 100}};
    struct layout *l = LAYOUT(specs);
    struct model m = model_new(l);
    uint64_t start = (uint64_t)(m.data - m.file), edge = 16u << 20;
    uint64_t wanted = (edge - start) / 4 - FEATURES / 2;
    model_free(&m);
    if (*filler == wanted)
        return l;
    layout_free(l);
    *filler = wanted;
    return layout_at_an_edge(filler);
}

static void test_moments_set_two_fixed_tensors_and_nothing_else(void **state)
{
    (void)state;
    uint64_t filler = 4194000;
    struct fixture *f = fixture_new(layout_at_an_edge(&filler), false);
    struct combine_result result;
    struct err err = {0};
    f->study.plan.features = FEATURES;
    if (run_moments(f, 0.7, &result, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(result.failure, "");
    struct model expected = model_copy(&f->base);
    set_expected(f->study.layout, &expected, 0.7);
    assert_model(f, &result.next, &expected);
    model_free(&expected);
    fixture_free(f);
}

static void test_moments_need_their_tensors(void **state)
{
    (void)state;
    static const struct {
        struct spec specs[2];
        const char *named, *reason;
    } cases[] = {
        {{{"input.mean", DTYPE_F32, USE_FIXED, FEATURES}, {"x", DTYPE_F32, USE_FIXED, FEATURES}},
         "input.deviation",
         "one is not there"},
        {{{"input.mean", DTYPE_F64, USE_FIXED, FEATURES},
          {"input.deviation", DTYPE_F32, USE_FIXED, FEATURES}},
         "input.mean",
         "not F32"},
        {{{"input.mean", DTYPE_F32, USE_MEAN, FEATURES},
          {"input.deviation", DTYPE_F32, USE_FIXED, FEATURES}},
         "input.mean",
         "not fixed"},
        {{{"input.mean", DTYPE_F32, USE_FIXED, FEATURES},
          {"input.deviation", DTYPE_F32, USE_FIXED, FEATURES + 1}},
         "input.deviation",
         "another number of features"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *f = fixture_new(layout_of(cases[i].specs, 2), false);
        struct combine_result result;
        struct err err = {0};
        f->study.plan.features = FEATURES;
        if (run_moments(f, 0.7, &result, &err) != ERR_UNSUPPORTED ||
            strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].reason, err.text);
        fixture_free(f);
    }
}

static void test_values_of_other_features_are_the_sites_fault(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"input.mean", DTYPE_F32, USE_FIXED, FEATURES - 1},
                                        {"input.deviation", DTYPE_F32, USE_FIXED, FEATURES - 1}};
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct combine_result result;
    struct err err = {0};
    f->study.plan.features = FEATURES - 1;
    assert_int_equal(run_moments(f, 0.7, &result, &err), ERR_MALFORMED);
    assert_int_equal(result.damaged_update, 0);
    assert_false(cid_is_none(&result.damaged));
    assert_non_null(strstr(err.text, "update of one"));
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_model_is_the_oracles_for_any_number_of_updates),
        cmocka_unit_test(test_threads_and_arrival_do_not_change_the_next_model),
        cmocka_unit_test(test_a_model_of_several_windows_is_the_oracles),
        cmocka_unit_test(test_the_order_given_is_the_order_of_the_sum),
        cmocka_unit_test(test_null_shards_of_some_sites_count_with_their_weight),
        cmocka_unit_test(test_a_shard_null_for_all_goes_through_the_arithmetic),
        cmocka_unit_test(test_largest_shards_keep_what_null_stands_for),
        cmocka_unit_test(test_a_damaged_leaf_of_the_base_is_named),
        cmocka_unit_test(test_a_damaged_or_missing_block_of_an_update_is_named),
        cmocka_unit_test(test_of_many_damaged_blocks_the_first_in_order_is_named),
        cmocka_unit_test(test_an_index_of_another_layout_or_codec_is_malformed),
        cmocka_unit_test(test_a_weight_out_of_range_is_malformed),
        cmocka_unit_test(test_a_next_model_that_is_not_finite_fails_the_round),
        cmocka_unit_test(test_rounds_that_change_nothing_keep_the_base),
        cmocka_unit_test(test_moments_set_two_fixed_tensors_and_nothing_else),
        cmocka_unit_test(test_moments_need_their_tensors),
        cmocka_unit_test(test_values_of_other_features_are_the_sites_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
