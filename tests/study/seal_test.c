/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/numeric_fixture.h"

#include "study/update_index.h"

/* Two shards of "a" and "c" with a fixed tensor in the middle of the second. */
static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 200000},
                                    {"b", DTYPE_F32, USE_FIXED, 300000},
                                    {"c", DTYPE_F32, USE_MEAN, 10000},
                                    {"half", DTYPE_F16, USE_MEAN, 10},
                                    {"steps", DTYPE_I32, USE_LARGEST, 10}};
#define SHARDS 4 /* a; rest of a and c; half; steps */

static int get_block(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return pack_get(self, cid, out, err);
}

static struct update_index index_of(const struct site_of_fixture *s)
{
    struct update_index_source source = {.self = s->pack, .get = get_block};
    struct update_index x;
    assert_int_equal(update_index_read(&source, &s->update.delta, SHARDS, NULL, &x, NULL), 0);
    return x;
}

static void test_an_update_says_what_it_answers(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    fixture_add_random_site(f, 1);
    const struct update *u = &f->sites[0].update;
    struct key_public by = key_public(f->key);
    assert_int_equal(f->study.layout->shard_count, SHARDS);
    assert_true(cid_equal(&u->study, &f->study.charter.cid));
    assert_true(cid_equal(&u->plan, &f->study.plan.cid));
    assert_true(cid_equal(&u->base, &f->root));
    assert_true(key_equal(&u->by, &by));
    assert_int_equal(u->round, 1);
    assert_int_equal(u->examples, 10);
    assert_true(cid_is_none(&u->values));
    struct update_index x = index_of(&f->sites[0]);
    assert_string_equal(x.codec, "plain");
    assert_true(cid_equal(&x.layout, &f->study.plan.layout));
    update_index_fini(&x);
    fixture_free(f);
}

/* Each shard holds the deltas of its elements, in order, across pieces. */
static void test_shards_hold_new_minus_base(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    const struct layout *l = f->study.layout;
    fixture_add_random_site(f, 1);
    struct update_index x = index_of(&f->sites[0]);
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    assert_int_equal(pack_get(f->sites[0].pack, &x.shards[1], &block, NULL), 0);
    assert_int_equal(block.size, (200000 - 131072 + 10000) * sizeof(float));
    for (size_t i = 0; i < block.size / sizeof(float); i++) {
        bool in_a = i < 200000 - 131072;
        size_t at = in_a ? 131072 + i : i - (200000 - 131072);
        float base, new_value, delta;
        memcpy(&base, element_of(l, &f->base, in_a ? "a" : "c", at), sizeof base);
        memcpy(&new_value, element_of(l, &f->sites[0].model, in_a ? "a" : "c", at),
               sizeof new_value);
        memcpy(&delta, block.data + i * sizeof delta, sizeof delta);
        assert_true(delta == (float)((double)new_value - (double)base));
    }
    assert_int_equal(pack_get(f->sites[0].pack, &x.shards[2], &block, NULL), 0);
    assert_int_equal(block.size, 10 * sizeof(float)); /* f16 has f32 deltas */
    assert_int_equal(pack_get(f->sites[0].pack, &x.shards[3], &block, NULL), 0);
    assert_memory_equal(block.data, element_of(l, &f->sites[0].model, "steps", 0), 40);
    buf_fini(&block);
    update_index_fini(&x);
    fixture_free(f);
}

static void test_the_record_is_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    static const struct spec large[] = {{"a", DTYPE_F32, USE_MEAN, 5000000},
                                        {"b", DTYPE_F32, USE_FIXED, 300000},
                                        {"c", DTYPE_F32, USE_MEAN, 1000000}};
    struct fixture *f = fixture_new(LAYOUT(large), false);
    fixture_add_random_site(f, 1);
    for (size_t threads = 1; threads < 4; threads++) {
        struct jobs *jobs;
        struct cid record;
        char name[16];
        snprintf(name, sizeof name, "pack-%zu", threads);
        struct pack *pack = new_pack(name);
        assert_int_equal(jobs_new(threads, &jobs, NULL), 0);
        assert_int_equal(seal_model(f, &f->sites[0].model, pack, jobs, &record, NULL), 0);
        assert_true(cid_equal(&record, &f->sites[0].record));
        jobs_free(jobs);
        pack_close(pack);
    }
    fixture_free(f);
}

static void test_what_did_not_change_is_null(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct model m = model_copy(&f->base);
    element_of(f->study.layout, &m, "c", 9999)[0] ^= 1;
    fixture_add_site(f, m, 1);
    struct update_index x = index_of(&f->sites[0]);
    assert_true(cid_is_none(&x.shards[0]) && !cid_is_none(&x.shards[1]));
    assert_true(cid_is_none(&x.shards[2]));
    assert_false(cid_is_none(&x.shards[3])); /* values, and not zeros */
    assert_int_equal(pack_count(f->sites[0].pack), 4);
    update_index_fini(&x);
    fixture_free(f);
}

/* Zeros in a `largest` shard may be null only where the base's values, for which null stands, are
 * zeros. */
static void test_largest_zeros_are_null_only_over_zeros(void **state)
{
    (void)state;
    for (uint8_t base = 0; base < 2; base++) {
        struct fixture *f = fixture_new(LAYOUT(specs), true);
        struct model m = model_copy(&f->base);
        element_of(f->study.layout, &f->base, "steps", 9)[0] = base;
        fixture_import(f, &f->base, &f->root);
        fixture_add_site(f, m, 1);
        struct update_index x = index_of(&f->sites[0]);
        assert_true(cid_is_none(&x.shards[3]) == (base == 0));
        update_index_fini(&x);
        fixture_free(f);
    }
}

static void test_a_changed_fixed_tensor_is_named(void **state)
{
    (void)state;
    static const uint64_t places[] = {0, 123456, 299999};
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct model m = model_copy(&f->base);
        struct pack *pack = new_pack("pack");
        struct cid record;
        struct err err = {0};
        element_of(f->study.layout, &m, "b", places[i])[3] ^= 0x80;
        assert_int_equal(seal_model(f, &m, pack, NULL, &record, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, "tensor b,"));
        assert_int_equal(pack_count(pack), 0);
        pack_close(pack);
        model_free(&m);
    }
    fixture_free(f);
}

static void test_a_delta_that_is_not_finite_names_tensor_and_element(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        uint64_t element;
        double base, value;
        const char *named;
    } cases[] = {
        {"a", 0, 0, NAN, "tensor a, element 0"},
        {"a", 199999, 0, INFINITY, "tensor a, element 199999"},
        {"c", 17, 0, -INFINITY, "tensor c, element 17"},
        {"c", 9999, -0x1.8p127, 0x1.8p127, "tensor c, element 9999"}, /* both are finite */
        {"half", 9, 0, NAN, "tensor half, element 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *f = fixture_new(LAYOUT(specs), true);
        const struct tensor *t = layout_find(f->study.layout, cases[i].tensor);
        struct model m = model_copy(&f->base);
        struct pack *pack = new_pack("pack");
        struct cid record;
        struct err err = {0};
        dtype_put(t->dtype, element_of(f->study.layout, &f->base, t->name, cases[i].element),
                  cases[i].base);
        dtype_put(t->dtype, element_of(f->study.layout, &m, t->name, cases[i].element),
                  cases[i].value);
        fixture_import(f, &f->base, &f->root);
        assert_int_equal(seal_model(f, &m, pack, NULL, &record, &err), ERR_MALFORMED);
        if (strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].named, err.text);
        pack_close(pack);
        model_free(&m);
        fixture_free(f);
    }
}

static void test_a_base_that_the_trainer_changed_is_corrupt(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct model m = model_copy(&f->base);
    struct pack *pack = new_pack("pack");
    struct cid record;
    struct err err = {0};
    char path[FILES_PATH_MAX];
    assert_int_equal(store_model_path(f->store, &f->root, path, NULL, NULL), 0);
    damage_file(path, (long)f->base.size - 1, 1);
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "base: leaf 1 "));
    pack_close(pack);
    model_free(&m);
    fixture_free(f);
}

static void test_a_file_of_another_layout_is_malformed(void **state)
{
    (void)state;
    static const struct {
        struct spec specs[5];
        const char *named, *reason;
    } cases[] = {
        {{{"a", DTYPE_F32, USE_MEAN, 200001},
          {"b", DTYPE_F32, USE_FIXED, 299999},
          {"c", DTYPE_F32, USE_MEAN, 10000},
          {"half", DTYPE_F16, USE_MEAN, 10},
          {"steps", DTYPE_I32, USE_LARGEST, 10}},
         "\"a\"",
         "another shape, in a file of the same length"},
        {{{"a", DTYPE_F32, USE_MEAN, 200000},
          {"b", DTYPE_F32, USE_FIXED, 300000},
          {"c", DTYPE_F32, USE_MEAN, 10000},
          {"half", DTYPE_BF16, USE_MEAN, 10},
          {"steps", DTYPE_I32, USE_LARGEST, 10}},
         "half",
         "another dtype"},
        {{{"a", DTYPE_F32, USE_MEAN, 200000},
          {"b", DTYPE_F32, USE_FIXED, 300000},
          {"d", DTYPE_F32, USE_MEAN, 10000},
          {"half", DTYPE_F16, USE_MEAN, 10},
          {"steps", DTYPE_I32, USE_LARGEST, 10}},
         "c",
         "another name"},
    };
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct pack *pack = new_pack("pack");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct layout *l = layout_of(cases[i].specs, 5);
        struct model m = model_new(l);
        struct cid record;
        struct err err = {0};
        if (seal_model(f, &m, pack, NULL, &record, &err) != ERR_MALFORMED ||
            strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].reason, err.text);
        model_free(&m);
        layout_free(l);
    }
    assert_int_equal(pack_count(pack), 0);
    pack_close(pack);
    fixture_free(f);
}

static void test_a_file_that_is_not_a_canonical_model_is_malformed(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct pack *pack = new_pack("pack");
    struct cid record;
    struct model m = model_copy(&f->base);
    struct err err = {0};
    size_t size = m.size;
    char *shape = memmem(m.file, 512, "\"shape\":[10]", 12);
    assert_non_null(shape);
    memcpy(shape, "\"shape\":[1 ]", 12); /* not the same, whatever it may mean */
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, NULL), ERR_MALFORMED);
    memcpy(shape, "\"shape\":[10]", 12);
    static const char ours[] = "\"dtype\":\"F16\",\"shape\":[10]";
    static const char theirs[] = "\"shape\":[10],\"dtype\":\"F16\"";
    char *keys = memmem(m.file, 512, ours, strlen(ours));
    assert_non_null(keys);
    memcpy(keys, theirs, strlen(theirs)); /* the same to any reader of JSON */
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "canonical"));
    memcpy(keys, ours, strlen(ours));
    m.size = size - 1;
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, NULL), ERR_MALFORMED);
    m.size = 0;
    assert_int_not_equal(seal_model(f, &m, pack, NULL, &record, NULL), 0);
    m.size = size;
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, NULL), 0);
    model_free(&m);
    pack_close(pack);
    fixture_free(f);
}

static void test_values_and_metrics_have_no_shards(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct pack *pack = new_pack("pack");
    struct update u;
    struct cid record;
    struct seal s = {.study = &f->study,
                     .rule = rule_find("moments"),
                     .store = f->store,
                     .base = f->root,
                     .values = bytes_of("\x01", 1),
                     .update = {.round = 1, .examples = 10},
                     .key = f->key,
                     .pack = pack};
    assert_int_equal(seal_update(&s, &record, NULL), 0);
    load_update(pack, &record, &u);
    struct cid values = cid_of(CID_DAG_CBOR, s.values), *cids;
    size_t count;
    assert_true(cid_equal(&u.values, &values) && cid_is_none(&u.delta));
    assert_int_equal(seal_blocks(pack, &record, &cids, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_true(cid_equal(&cids[0], &record) && cid_equal(&cids[1], &values));
    free(cids);
    s.rule = rule_find("evaluate");
    assert_int_equal(seal_update(&s, &record, NULL), 0);
    load_update(pack, &record, &u);
    assert_true(cid_is_none(&u.values) && cid_is_none(&u.delta));
    assert_int_equal(seal_blocks(pack, &record, &cids, &count, NULL), 0);
    assert_int_equal(count, 1);
    free(cids);
    s.update.exchange = 1;
    assert_int_equal(seal_update(&s, &record, NULL), ERR_MALFORMED); /* a task for another rule */
    pack_close(pack);
    fixture_free(f);
}

/* Record and index first, then shards in their order, each block once. */
static void test_the_blocks_to_send_are_each_named_once(void **state)
{
    (void)state;
    static const struct spec same[] = {{"a", DTYPE_F32, USE_MEAN, 4 * 131072 + 1}};
    struct fixture *f = fixture_new(LAYOUT(same), true);
    struct model m = model_copy(&f->base);
    for (size_t i = 0; i < 4 * 131072 + 1; i++)
        if (i / 131072 != 2) /* the third shard is null */
            dtype_put(DTYPE_F32, element_of(f->study.layout, &m, "a", i), 1);
    fixture_add_site(f, m, 1);
    const struct site_of_fixture *s = &f->sites[0];
    struct cid *cids;
    size_t count;
    assert_int_equal(seal_blocks(s->pack, &s->record, &cids, &count, NULL), 0);
    assert_int_equal(count, 4); /* record, index, three equal shards, a short one */
    assert_int_equal(pack_count(s->pack), 4);
    assert_true(cid_equal(&cids[0], &s->record));
    assert_true(cid_equal(&cids[1], &s->update.delta));
    for (size_t i = 0; i < count; i++)
        assert_true(pack_has(s->pack, &cids[i]));
    free(cids);
    pack_forget(s->pack, &s->update.delta);
    assert_int_equal(seal_blocks(s->pack, &s->record, &cids, &count, NULL), ERR_NOTFOUND);
    fixture_free(f);
}

static void test_everything_is_synced_before_the_record_is_named(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    struct model m = model_copy(&f->base);
    struct flaky disk;
    struct pack *pack;
    struct cid record = {0};
    flaky_init(&disk);
    model_fill(f->study.layout, &m, "new", false);
    assert_int_equal(pack_open(&disk.table, in_scratch("pack"), true, &pack, NULL), 0);
    disk.log[0] = '\0';
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, NULL), 0);
    size_t size = strlen(disk.log);
    assert_true(size > 2);
    assert_string_equal(disk.log + size - 2, "SD"); /* bytes, then the name; nothing behind */
    assert_null(memchr(disk.log, 'S', size - 2));
    pack_close(pack);
    assert_int_equal(unlink(in_scratch("pack")), 0);
    /* A sync that fails is a seal that fails. */
    memset(&record, 0, sizeof record);
    flaky_init(&disk);
    assert_int_equal(pack_open(&disk.table, in_scratch("pack"), true, &pack, NULL), 0);
    disk.only = 'S';
    disk.fail_at = disk.changes + 1;
    assert_int_equal(seal_model(f, &m, pack, NULL, &record, NULL), ERR_IO);
    assert_true(cid_is_none(&record));
    pack_close(pack);
    model_free(&m);
    fixture_free(f);
}

static void test_sealing_again_into_the_same_pack_adds_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(LAYOUT(specs), false);
    fixture_add_random_site(f, 1);
    uint64_t bytes = pack_bytes(f->sites[0].pack);
    struct cid record;
    assert_int_equal(seal_model(f, &f->sites[0].model, f->sites[0].pack, NULL, &record, NULL), 0);
    assert_true(cid_equal(&record, &f->sites[0].record));
    assert_int_equal(pack_bytes(f->sites[0].pack), bytes);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_update_says_what_it_answers),
        cmocka_unit_test(test_shards_hold_new_minus_base),
        cmocka_unit_test(test_the_record_is_the_same_for_any_number_of_threads),
        cmocka_unit_test(test_what_did_not_change_is_null),
        cmocka_unit_test(test_largest_zeros_are_null_only_over_zeros),
        cmocka_unit_test(test_a_changed_fixed_tensor_is_named),
        cmocka_unit_test(test_a_delta_that_is_not_finite_names_tensor_and_element),
        cmocka_unit_test(test_a_base_that_the_trainer_changed_is_corrupt),
        cmocka_unit_test(test_a_file_of_another_layout_is_malformed),
        cmocka_unit_test(test_a_file_that_is_not_a_canonical_model_is_malformed),
        cmocka_unit_test(test_values_and_metrics_have_no_shards),
        cmocka_unit_test(test_the_blocks_to_send_are_each_named_once),
        cmocka_unit_test(test_everything_is_synced_before_the_record_is_named),
        cmocka_unit_test(test_sealing_again_into_the_same_pack_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
