/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/numeric_fixture.h"

#include "study/state.h"

#define LEAF UNIXFS_LEAF_BYTES

static struct store *store;
static struct jobs *three;

static int setup(void **state)
{
    assert_int_equal(scratch_setup(state), 0);
    assert_int_equal(jobs_new(3, &three, NULL), 0);
    return store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL);
}

static int teardown(void **state)
{
    jobs_free(three);
    store_close(store);
    return scratch_teardown(state);
}

/* --- what a state should be, made naively --- */

/* Element i of slot k in generation g. */
static float value(size_t k, uint64_t i, unsigned g)
{
    return (float)(i % 1000003) * (k == 0 ? 0.25f : -0.5f) + (float)g;
}

/* The header as a writer of text would make it. */
static void append_header(const struct layout *l, size_t slots, struct buf *out)
{
    struct buf json = buf_new(STATE_HEADER_MAX);
    unsigned long long at = 0;
    uint8_t length[8];
    buf_append_text(&json, "{");
    for (size_t k = 0; k < slots; k++)
        for (size_t i = 0; i < l->tensor_count; i++) {
            const struct tensor *t = &l->tensors[i];
            if (t->use != USE_MEAN)
                continue;
            buf_append_format(&json, "%s\"%c/%s\":{\"dtype\":\"F32\",\"shape\":[%llu],",
                              json.size > 1 ? "," : "", k == 0 ? 'm' : 'v', t->name,
                              (unsigned long long)t->shape[0]);
            buf_append_format(&json, "\"data_offsets\":[%llu,%llu]}", at, at + 4 * t->elements);
            at += 4 * t->elements;
        }
    buf_append_text(&json, "}");
    while ((8 + json.size) % 64 != 0)
        buf_append_text(&json, " ");
    bytes_put_u64(length, json.size);
    buf_append(out, length, sizeof length);
    buf_append(out, json.data, json.size);
    assert_int_equal(buf_check(out, NULL), 0);
    buf_fini(&json);
}

static struct buf expected_file(const struct layout *l, size_t slots, unsigned g)
{
    struct buf out = buf_new(64u << 20);
    uint64_t n = state_bytes(l, 1) / sizeof(float);
    append_header(l, slots, &out);
    for (size_t k = 0; k < slots; k++)
        for (uint64_t i = 0; i < n; i++) {
            float x = value(k, i, g);
            buf_append(&out, &x, sizeof x);
        }
    assert_int_equal(buf_check(&out, NULL), 0);
    return out;
}

static struct state_setting setting_of(const struct layout *l, size_t slots, const struct cid *base,
                                       struct jobs *jobs, bool dry)
{
    struct state_setting s = {
        .store = store, .layout = l, .slots = slots, .part = dry ? NULL : "made", .jobs = jobs};
    if (base != NULL)
        s.base = *base;
    return s;
}

/* Walks a state in steps of `step` elements: finds generation g - 1 (0: zeros), leaves g. */
static struct cid walk(const struct state_setting *setting, uint64_t step, unsigned g)
{
    uint64_t n = state_bytes(setting->layout, 1) / sizeof(float);
    struct state *s;
    struct err err = {0};
    struct cid root = {0};
    float *runs[2];
    if (state_open(setting, &s, &err) != 0)
        fail_msg("%s", err.text);
    for (uint64_t at = 0, count; at < n; at += count) {
        count = n - at < step ? n - at : step;
        if (state_next(s, count, &runs[0], &runs[1], &err) != 0)
            fail_msg("%s", err.text);
        assert_true((runs[1] != NULL) == (setting->slots == 2));
        for (size_t k = 0; k < setting->slots; k++)
            for (uint64_t i = 0; i < count; i++) {
                float before = g == 1 ? 0 : value(k, at + i, g - 1);
                if (runs[k][i] != before)
                    fail_msg("slot %zu, element %llu: %f, not %f", k, (unsigned long long)(at + i),
                             (double)runs[k][i], (double)before);
                runs[k][i] = value(k, at + i, g);
            }
    }
    if (state_finish(s, &root, &err) != 0)
        fail_msg("%s", err.text);
    state_free(s);
    return root;
}

static void assert_stored(const struct cid *root, const struct buf *expected)
{
    char path[FILES_PATH_MAX];
    assert_int_equal(store_model_path(store, root, path, NULL, NULL), 0);
    struct buf found = read_file(path);
    assert_int_equal(found.size, expected->size);
    assert_memory_equal(found.data, expected->data, found.size);
    buf_fini(&found);
}

static struct cid root_of(const struct buf *file)
{
    struct cid root;
    uint64_t size;
    write_file(in_scratch("whole"), buf_bytes(file));
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("whole"), NULL, &root, &size, NULL),
                     0);
    return root;
}

/* --- the walk --- */

/* From nothing to the first state and on to the second: to the byte, however it is walked. */
static void check_layout(const struct layout *l, size_t slots, uint64_t step)
{
    struct buf first = expected_file(l, slots, 1), second = expected_file(l, slots, 2);
    struct cid expected = root_of(&second);
    struct state_setting s = setting_of(l, slots, NULL, NULL, false);
    struct cid one = walk(&s, step, 1);
    assert_stored(&one, &first);
    assert_int_equal(state_check(store, l, slots, &one, NULL), 0);
    s = setting_of(l, slots, &one, three, true);
    struct cid dry = walk(&s, step + 7, 2);
    assert_true(cid_equal(&dry, &expected));
    assert_true(cid_equal(&one, &expected) || !store_model_has(store, &dry));
    s = setting_of(l, slots, &one, three, false);
    struct cid two = walk(&s, UINT64_MAX, 2);
    assert_true(cid_equal(&two, &expected));
    assert_stored(&two, &second);
    buf_fini(&first);
    buf_fini(&second);
    assert_int_equal(store_model_delete(store, &one, NULL), 0);
    assert_int_equal(store_model_delete(store, &two, NULL), 0);
}

/* m's end falls before, on and behind a leaf's end, or both slots lie in one leaf. */
static void test_states_of_sizes_around_a_leaf_are_walked_to_the_byte(void **state)
{
    (void)state;
    static const uint64_t ends[] = {LEAF / 2, LEAF, 2 * LEAF, 5 * (uint64_t)LEAF / 2};
    for (size_t slots = 1; slots <= 2; slots++)
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            for (int more = -1; more <= 1; more++) {
                uint64_t header = slots == 1 ? 128 : 192;
                uint64_t n = (ends[i] - header) / 4 + (uint64_t)(int64_t)more;
                struct spec spec = {"a", DTYPE_F32, USE_MEAN, n};
                struct layout *l = layout_of(&spec, 1);
                struct buf head = buf_new(STATE_HEADER_MAX);
                append_header(l, slots, &head);
                assert_int_equal(head.size, header); /* or the ends are not where they should be */
                buf_fini(&head);
                check_layout(l, slots, 100003);
                layout_free(l);
            }
}

static void test_only_mean_tensors_have_state_in_layout_order(void **state)
{
    (void)state;
    static const struct spec specs[] = {
        {"z", DTYPE_F64, USE_MEAN, 140001}, {"fixed", DTYPE_F32, USE_FIXED, 500},
        {"b", DTYPE_F32, USE_MEAN, 200003}, {"empty", DTYPE_F32, USE_MEAN, 0},
        {"n", DTYPE_I32, USE_LARGEST, 9},   {"c", DTYPE_BF16, USE_MEAN, 131}};
    struct layout *l = LAYOUT(specs);
    assert_int_equal(state_bytes(l, 2), 2 * 4 * (140001 + 200003 + 131));
    check_layout(l, 1, 4096);
    check_layout(l, 2, 131072);
    layout_free(l);
}

static void test_a_layout_without_mean_tensors_has_an_empty_state(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"n", DTYPE_I32, USE_LARGEST, 9}};
    struct layout *l = LAYOUT(specs);
    check_layout(l, 2, 1);
    layout_free(l);
}

/* A header of several leaves: more than a model's own may have. */
static void test_a_header_may_be_larger_than_a_leaf(void **state)
{
    (void)state;
    enum {
        TENSORS = 5000,
        NAME = 200
    };
    static struct tensor tensors[TENSORS];
    static char names[TENSORS][NAME + 1];
    struct layout *l;
    for (size_t i = 0; i < TENSORS; i++) {
        memset(names[i], 'x', NAME);
        snprintf(names[i], 8, "%05zu", i);
        names[i][5] = '.';
        tensors[i] = (struct tensor){
            .name = names[i], .dtype = DTYPE_F32, .use = USE_MEAN, .rank = 1, .shape = {i % 90}};
    }
    assert_int_equal(layout_new(tensors, TENSORS, &l, NULL), 0);
    check_layout(l, 2, 70001);
    layout_free(l);
}

/* To the byte, as any reader of safetensors takes it. */
static void test_the_file_is_a_canonical_safetensors_file(void **state)
{
    (void)state;
    static const char header[] =
        "{\"m/w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"m/b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
        "\"v/w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]},"
        "\"v/b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[20,24]}}";
    static const struct spec specs[] = {{"w", DTYPE_F64, USE_MEAN, 2},
                                        {"a", DTYPE_F32, USE_FIXED, 2},
                                        {"b", DTYPE_F16, USE_MEAN, 1}};
    struct layout *l = LAYOUT(specs);
    struct state_setting s = setting_of(l, 2, NULL, NULL, false);
    struct cid root = walk(&s, 1, 1);
    char path[FILES_PATH_MAX];
    assert_int_equal(store_model_path(store, &root, path, NULL, NULL), 0);
    struct buf file = read_file(path);
    assert_int_equal(bytes_get_u64(file.data) % 64, 56);
    assert_memory_equal(file.data + 8, header, strlen(header));
    for (size_t i = 8 + strlen(header); i < file.size - 24; i++)
        assert_int_equal(file.data[i], ' ');
    buf_fini(&file);
    layout_free(l);
}

/* --- what cannot be --- */

static int try_open(const struct layout *l, size_t slots, const struct cid *base, struct err *err)
{
    struct state_setting setting = setting_of(l, slots, base, three, false);
    struct state *s;
    int rc = state_open(&setting, &s, err);
    if (rc == 0)
        state_free(s);
    else
        assert_int_equal(state_check(store, l, slots, base, NULL), rc);
    return rc;
}

static void test_another_file_is_not_a_state(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 100}};
    static const struct spec renamed[] = {{"b", DTYPE_F32, USE_MEAN, 100}};
    static const struct spec longer[] = {{"a", DTYPE_F32, USE_MEAN, 101}};
    struct layout *l = LAYOUT(specs), *other = LAYOUT(renamed), *more = LAYOUT(longer);
    struct err err = {0};
    struct state_setting s = setting_of(l, 2, NULL, NULL, false);
    struct cid two = walk(&s, 1000, 1), model, none = cid_of(CID_RAW, bytes_of_text("nowhere"));
    struct model m = model_new(l);
    write_file(in_scratch("model"), bytes_of(m.file, m.size));
    assert_int_equal(store_import(store, in_scratch("model"), NULL, &model, NULL), 0);
    model_free(&m);
    assert_int_equal(try_open(l, 2, &two, &err), 0);
    assert_int_equal(try_open(l, 1, &two, &err), ERR_MALFORMED);
    assert_int_equal(try_open(more, 2, &two, &err), ERR_MALFORMED);
    assert_int_equal(try_open(other, 2, &two, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "its header is not"));
    assert_int_equal(try_open(l, 1, &model, &err), ERR_MALFORMED);
    assert_int_equal(try_open(l, 2, &none, &err), ERR_NOTFOUND);
    layout_free(l);
    layout_free(other);
    layout_free(more);
}

/* Each leaf in turn: the one that both slots share, too. */
static void test_a_damaged_leaf_stops_the_walk_and_leaves_no_part(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 400000}};
    struct layout *l = LAYOUT(specs);
    struct state_setting setting = setting_of(l, 2, NULL, NULL, false);
    struct cid root = walk(&setting, UINT64_MAX, 1);
    char path[FILES_PATH_MAX];
    uint64_t size;
    assert_int_equal(store_model_path(store, &root, path, &size, NULL), 0);
    assert_int_equal(size / LEAF, 3);
    for (uint64_t leaf = 0; leaf < 4; leaf++) {
        struct err err = {0};
        struct state *s = NULL;
        float *m, *v;
        char named[16];
        damage_file(path, (long)(leaf * LEAF + 500), 1);
        setting = setting_of(l, 2, &root, three, false);
        int rc = state_open(&setting, &s, &err);
        if (rc == 0)
            rc = state_next(s, 400000, &m, &v, &err);
        assert_int_equal(rc, ERR_CORRUPT);
        snprintf(named, sizeof named, "leaf %u ", (unsigned)leaf);
        assert_non_null(strstr(err.text, named));
        assert_non_null(strstr(err.text, "state"));
        state_free(s);
        assert_false(files_exists(files_posix(), in_scratch("store/models/made.part")));
        damage_file(path, (long)(leaf * LEAF + 500), 255);
    }
    struct cid again = walk(&setting, 12345, 2);
    assert_true(store_model_has(store, &again));
    layout_free(l);
}

static void test_a_walk_ends_where_the_state_ends(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 10}};
    struct layout *l = LAYOUT(specs);
    struct state_setting setting = setting_of(l, 1, NULL, NULL, true);
    struct cid root = {0};
    struct state *s;
    float *m, *v;
    assert_int_equal(state_open(&setting, &s, NULL), 0);
    assert_int_equal(state_next(s, 9, &m, &v, NULL), 0);
    assert_int_equal(state_finish(s, &root, NULL), ERR_USAGE);
    assert_int_equal(state_next(s, 2, &m, &v, NULL), ERR_USAGE);
    assert_int_equal(state_next(s, 0, &m, &v, NULL), 0);
    assert_int_equal(state_next(s, 1, &m, &v, NULL), 0);
    assert_int_equal(state_next(s, 0, &m, &v, NULL), 0);
    assert_true(cid_is_none(&root));
    assert_int_equal(state_finish(s, &root, NULL), 0);
    assert_false(cid_is_none(&root));
    state_free(s);
    layout_free(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_states_of_sizes_around_a_leaf_are_walked_to_the_byte),
        TEST(test_only_mean_tensors_have_state_in_layout_order),
        TEST(test_a_layout_without_mean_tensors_has_an_empty_state),
        TEST(test_a_header_may_be_larger_than_a_leaf),
        TEST(test_the_file_is_a_canonical_safetensors_file),
        TEST(test_another_file_is_not_a_state),
        TEST(test_a_damaged_leaf_stops_the_walk_and_leaves_no_part),
        TEST(test_a_walk_ends_where_the_state_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
