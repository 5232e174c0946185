/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"
#include "tests/study/hostile.h"

static struct fixture f;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    fixture_init(&f, &(struct fixture_options){.sites = 1});
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(&f);
    return scratch_teardown(state);
}

static int load(const struct cid *id, const struct cid *plan, struct err *err)
{
    struct study s;
    int rc = study_load(f.store, id, plan, &s, err);
    if (rc == 0)
        study_fini(&s);
    return rc;
}

/* Signs a plan of the fixture's study, whether or not it fits the layout. */
static struct cid put_plan(struct plan *p, const struct cid *study, const struct key *by)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(plan_sign(p, study, by, &out, &p->cid, NULL), 0);
    struct cid cid = fixture_put(&f, &out);
    buf_fini(&out);
    return cid;
}

static void test_a_study_is_loaded_with_its_plan_and_layout(void **state)
{
    (void)state;
    struct study s;
    assert_int_equal(study_load(f.store, &f.study_id, &f.plan_id, &s, NULL), 0);
    assert_true(cid_equal(&s.charter.cid, &f.study_id) && cid_equal(&s.plan.cid, &f.plan_id));
    assert_string_equal(s.charter.name, "test-study");
    assert_non_null(layout_find(s.layout, "input.mean"));
    assert_int_equal(s.layout->shard_count, 1);
    study_fini(&s);
    study_fini(&s);
}

static void test_what_is_missing_or_not_a_record_is_named(void **state)
{
    (void)state;
    struct err err = {0};
    struct cid none = fixture_cid(77);
    assert_int_equal(load(&none, &f.plan_id, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "charter bafy"));
    assert_int_equal(load(&f.study_id, &none, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "plan bafy"));
    assert_int_equal(load(&f.study_id, &f.study_id, &err), ERR_UNSUPPORTED);
    struct cid raw = cid_from_digest(CID_RAW, cid_digest(&f.study_id));
    assert_int_equal(load(&raw, &f.plan_id, &err), ERR_MALFORMED);
    assert_int_equal(store_delete(f.store, &f.study.plan.layout, NULL), 0);
    assert_int_equal(load(&f.study_id, &f.plan_id, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "layout bafy"));
}

static void test_a_plan_of_another_founder_or_study_is_refused(void **state)
{
    (void)state;
    struct plan p = f.study.plan;
    struct cid other = fixture_cid(1);
    struct cid cid = put_plan(&p, &f.study_id, f.coordinator);
    assert_int_equal(load(&f.study_id, &cid, NULL), ERR_DENIED);
    cid = put_plan(&p, &other, f.founder);
    assert_int_equal(load(&f.study_id, &cid, NULL), ERR_DENIED);
}

static void test_a_layout_that_the_plan_cannot_use_is_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct plan p = f.study.plan;
    p.features = 4; /* the layout has 3 */
    struct cid cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, &err), ERR_MALFORMED);
    p = f.study.plan;
    strcpy(p.architecture, "softmax"); /* of the same names, but two outputs */
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "shape is [1], expected [2]"));
    strcpy(p.architecture, "mlp");
    p.hidden_count = 1;
    p.hidden[0] = 4;
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "not of architecture mlp with 3 features"));
    p = f.study.plan;
    strcpy(p.architecture, "external"); /* moments still needs its tensors */
    strcpy(p.trainer, "null");
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, NULL), 0);
    p.features = 4;
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "input.mean of 4 elements"));
    p = f.study.plan;
    p.layout = f.study_id; /* not a layout */
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_not_equal(load(&f.study_id, &cid, &err), 0);
    assert_non_null(strstr(err.text, "layout bafy"));
}

static void test_an_mlp_s_plan_is_loaded_with_its_layout(void **state)
{
    (void)state;
    const struct network mlp = {NETWORK_MLP, 3, 4, 2, {6, 5}};
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct plan p = f.study.plan;
    struct layout *l;
    struct network n;
    MUST(network_layout(&mlp, &l, err));
    MUST(layout_encode(l, &block, err));
    p.layout = fixture_put(&f, &block);
    strcpy(p.architecture, "mlp");
    p.classes = 4;
    p.hidden_count = 2;
    p.hidden[0] = 6;
    p.hidden[1] = 5;
    struct cid cid = put_plan(&p, &f.study_id, f.founder);
    struct study s;
    MUST(study_load(f.store, &f.study_id, &cid, &s, err));
    assert_true(plan_network(&s.plan, &n));
    assert_memory_equal(&n, &mlp, sizeof mlp);
    assert_int_equal(s.layout->tensor_count, 8);
    study_fini(&s);
    p.hidden[1] = 4;
    cid = put_plan(&p, &f.study_id, f.founder);
    assert_int_equal(load(&f.study_id, &cid, NULL), ERR_MALFORMED);
    layout_free(l);
    buf_fini(&block);
}

static void test_a_record_larger_than_a_record_is_not_read(void **state)
{
    (void)state;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX), out = buf_new(STORE_BLOCK_BYTES_MAX);
    memset(buf_extend(&block, RECORD_BYTES_MAX + 1), 0, RECORD_BYTES_MAX + 1);
    struct cid cid = fixture_put(&f, &block);
    assert_int_equal(study_get(f.store, &cid, &out, NULL), ERR_LIMIT);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
    buf_fini(&block);
}

static void test_a_sites_pack_has_its_place(void **state)
{
    (void)state;
    char path[FILES_PATH_MAX], expected[FILES_PATH_MAX], id[CID_TEXT_MAX];
    snprintf(expected, sizeof expected, "DIR/updates/%s/18446744073709551615.car",
             cid_format(&f.study_id, id));
    assert_int_equal(study_pack_path("DIR", &f.study_id, UINT64_MAX, path, NULL), 0);
    assert_string_equal(path, expected);
    char *large = malloc(FILES_PATH_MAX);
    memset(large, 'a', FILES_PATH_MAX);
    large[FILES_PATH_MAX - 1] = '\0';
    assert_int_equal(study_pack_path(large, &f.study_id, 1, path, NULL), ERR_LIMIT);
    free(large);
}

/* Stores the file made of `header` and the initial model's data. */
static struct cid put_file(const struct buf *header, size_t data_bytes)
{
    struct cid root;
    struct buf file = buf_new(1u << 20);
    buf_append(&file, header->data, header->size);
    if (data_bytes > 0)
        memset(buf_extend(&file, data_bytes), 0, data_bytes);
    write_file(in_scratch("other"), buf_bytes(&file));
    assert_int_equal(store_import(f.store, in_scratch("other"), NULL, &root, NULL), 0);
    buf_fini(&file);
    return root;
}

static void test_a_model_is_of_the_layout_or_not(void **state)
{
    (void)state;
    struct err err = {0};
    uint64_t data_start = 0;
    const struct layout *l = f.study.layout;
    struct buf header = buf_new(1u << 20);
    assert_int_equal(safetensors_format(l, &header, NULL), 0);
    assert_int_equal(study_check_model(f.store, l, &f.model, &data_start, NULL), 0);
    assert_int_equal(data_start, header.size);
    assert_int_equal(data_start % 64, 0);
    assert_int_equal(study_check_model(f.store, l, &f.model, NULL, NULL), 0);

    struct cid root = put_file(&header, (size_t)l->data_bytes + 1);
    assert_int_equal(study_check_model(f.store, l, &root, NULL, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "model bafk"));
    root = put_file(&header, (size_t)l->data_bytes - 1);
    assert_int_equal(study_check_model(f.store, l, &root, NULL, NULL), ERR_MALFORMED);
    root = put_file(&header, 0);
    assert_int_equal(study_check_model(f.store, l, &root, NULL, NULL), ERR_MALFORMED);
    for (size_t i = 0; i < header.size; i += 7) { /* another tensor's name, shape, length */
        header.data[i] ^= 1;
        root = put_file(&header, (size_t)l->data_bytes);
        assert_int_equal(study_check_model(f.store, l, &root, NULL, NULL), ERR_MALFORMED);
        header.data[i] ^= 1;
    }
    struct cid none = cid_of(CID_RAW, bytes_of_text("none"));
    assert_int_equal(study_check_model(f.store, l, &none, NULL, NULL), ERR_NOTFOUND);
    buf_fini(&header);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_study_is_loaded_with_its_plan_and_layout),
        TEST(test_what_is_missing_or_not_a_record_is_named),
        TEST(test_a_plan_of_another_founder_or_study_is_refused),
        TEST(test_a_layout_that_the_plan_cannot_use_is_refused),
        TEST(test_an_mlp_s_plan_is_loaded_with_its_layout),
        TEST(test_a_record_larger_than_a_record_is_not_read),
        TEST(test_a_sites_pack_has_its_place),
        TEST(test_a_model_is_of_the_layout_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
