/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

static int setup(void **state)
{
    return scratch_setup(state) != 0 || key_setup(NULL) != 0 ? -1 : 0;
}

struct wish {
    const char *architecture, *schedule, *extra;
    unsigned features;
};

static const char *write_plan(const struct wish *w)
{
    static char path[256];
    struct buf text = buf_new(4096);
    buf_append_format(&text,
                      "seed = 7\n[study]\nname = \"new\"\n[model]\narchitecture = \"%s\"\n"
                      "features = %u\nclasses = 2\n%s\n[data]\ntarget = \"label\"\n"
                      "[rounds]\nschedule = [\"%s\"]\nminimum = 2\n"
                      "[training]\ntrainer = \"%s\"\n",
                      w->architecture == NULL ? "logistic" : w->architecture,
                      w->features == 0 ? 3 : w->features, w->extra == NULL ? "" : w->extra,
                      w->schedule == NULL ? "fedavg 3" : w->schedule,
                      w->architecture == NULL ? "native" : "constant");
    snprintf(path, sizeof path, "%s", in_scratch("plan.toml"));
    write_file(path, buf_bytes(&text));
    buf_fini(&text);
    return path;
}

static int make(const struct wish *w, const char *model, const char *listen, struct invitation *out,
                struct err *err)
{
    return founding_make(desk_dir(), write_plan(w), model, listen, out, err);
}

/* A model file of two tensors, not in canonical form: padded otherwise and with metadata. */
static const char *write_model(void)
{
    static char path[256];
    static const char header[] =
        "{\"__metadata__\":{\"by\":\"test\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"input.mean\":{\"dtype\":\"F32\",\"shape\":[3],"
        "\"data_offsets\":[24,36]},"
        "\"input.deviation\":{\"dtype\":\"F32\",\"shape\":[3],"
        "\"data_offsets\":[36,48]}}";
    uint8_t size[8];
    float data[12] = {1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 1, 1};
    struct buf file = buf_new(4096);
    bytes_put_u64(size, sizeof header - 1);
    buf_append(&file, size, sizeof size);
    buf_append(&file, header, sizeof header - 1);
    buf_append(&file, data, sizeof data);
    snprintf(path, sizeof path, "%s", in_scratch("given.safetensors"));
    write_file(path, buf_bytes(&file));
    buf_fini(&file);
    return path;
}

static void load(const struct invitation *i, struct store **store, struct study *study)
{
    char path[FILES_PATH_MAX];
    snprintf(path, sizeof path, "%s/shared", desk_dir());
    MUST(store_open(files_posix(), path, STORE_READ_ONLY, store, err));
    MUST(study_load(*store, &i->study, &i->plan, study, err));
}

static void test_a_seeded_model_is_made_from_the_plan(void **state)
{
    (void)state;
    struct invitation i;
    struct store *store;
    struct study study;
    MUST(make(&(struct wish){.schedule = "moments 1\", \"fedavg 2"}, NULL, NULL, &i, err));
    load(&i, &store, &study);
    assert_string_equal(study.charter.name, "new");
    assert_true(key_equal(&study.charter.founder, &i.founder));
    MUST(study_check_model(store, study.layout, &study.plan.model, NULL, err));
    assert_non_null(layout_find(study.layout, "weight"));
    study_fini(&study);
    store_close(store);
}

static const struct {
    struct wish wish;
    struct network network;
} networks[] = {
    {{.architecture = "logistic"}, {NETWORK_LOGISTIC, 3, 2, 0, {0}}},
    {{.architecture = "softmax", .schedule = "moments 1"}, {NETWORK_SOFTMAX, 3, 2, 0, {0}}},
    {{.architecture = "mlp", .extra = "hidden = [6, 4]"}, {NETWORK_MLP, 3, 2, 2, {6, 4}}},
    {{.architecture = "mlp", .extra = "hidden = [5, 4]"}, {NETWORK_MLP, 3, 2, 2, {5, 4}}},
};

/* A network's model as a file of its canonical form. */
static struct buf network_file(const struct network *n, const uint8_t seed[HASH_BYTES])
{
    struct layout *l;
    struct buf file = buf_new(1u << 20);
    MUST(network_layout(n, &l, err));
    MUST(safetensors_format(l, &file, err));
    uint8_t *data = buf_extend(&file, (size_t)l->data_bytes);
    assert_non_null(data);
    network_init(n, l, seed, data);
    layout_free(l);
    return file;
}

/* The study's initial model is the file `want`; `seed` is what its plan seeds one with. */
static void assert_founded(const struct invitation *i, const struct buf *want, uint8_t *seed)
{
    struct store *store;
    struct study study;
    char path[FILES_PATH_MAX];
    uint64_t size;
    load(i, &store, &study);
    MUST(study_check_model(store, study.layout, &study.plan.model, NULL, err));
    MUST(store_model_path(store, &study.plan.model, path, &size, err));
    struct buf file = read_file(path);
    assert_true(bytes_equal(buf_bytes(&file), buf_bytes(want)));
    buf_fini(&file);
    plan_initial_seed(&study.plan, seed);
    study_fini(&study);
    store_close(store);
}

static void test_every_network_s_initial_model_is_seeded_by_the_plan(void **state)
{
    uint8_t expected[HASH_BYTES], seed[HASH_BYTES], message[32] = "colmeia-initial-model-1:";
    bytes_put_u64(message + 24, 7);
    hash_sha256(bytes_of(message, 32), expected);
    for (size_t k = 0; k < sizeof networks / sizeof networks[0]; k++) {
        struct invitation i;
        MUST(make(&networks[k].wish, NULL, NULL, &i, err));
        struct buf want = network_file(&networks[k].network, expected);
        assert_founded(&i, &want, seed);
        assert_memory_equal(seed, expected, HASH_BYTES);
        buf_fini(&want);
        assert_int_equal(scratch_teardown(state), 0);
        assert_int_equal(scratch_setup(state), 0);
    }
}

static void test_a_given_model_must_be_the_network_s(void **state)
{
    uint8_t seed[HASH_BYTES] = {99};
    for (size_t k = 0; k < sizeof networks / sizeof networks[0]; k++)
        for (size_t m = 0; m < sizeof networks / sizeof networks[0]; m++) {
            struct invitation i;
            struct err why = {0};
            struct buf given = network_file(&networks[m].network, seed);
            write_file(in_scratch("given"), buf_bytes(&given));
            int rc = make(&networks[k].wish, in_scratch("given"), NULL, &i, &why);
            if (k == m) {
                uint8_t unused[HASH_BYTES];
                if (rc != 0)
                    fail_msg("%s", why.text);
                assert_founded(&i, &given, unused);
            } else {
                assert_int_equal(rc, ERR_MALFORMED);
                assert_non_null(strstr(why.text, "given: not of architecture"));
            }
            buf_fini(&given);
            assert_int_equal(scratch_teardown(state), 0);
            assert_int_equal(scratch_setup(state), 0);
        }
}

static void test_a_given_model_is_stored_in_canonical_form(void **state)
{
    (void)state;
    struct invitation i;
    struct store *store;
    struct study study;
    char path[FILES_PATH_MAX];
    uint64_t size;
    struct wish w = {.architecture = "external",
                     .schedule = "moments 1\", \"fedavg 2",
                     .extra = "fixed = [\"input.mean\", \"input.deviation\"]"};
    MUST(make(&w, write_model(), NULL, &i, err));
    load(&i, &store, &study);
    assert_int_equal(layout_find(study.layout, "input.mean")->use, USE_FIXED);
    assert_int_equal(layout_find(study.layout, "w")->use, USE_MEAN);
    MUST(store_model_path(store, &study.plan.model, path, &size, err));
    struct buf file = read_file(path);
    struct safetensors header;
    MUST(safetensors_parse(buf_bytes(&file), size, NULL, &header, err));
    assert_true(header.canonical);
    safetensors_fini(&header);
    buf_fini(&file);
    study_fini(&study);
    store_close(store);
}

static void test_what_cannot_be_founded_is_refused_and_leaves_no_study(void **state)
{
    (void)state;
    static const struct {
        struct wish wish;
        bool model;
        const char *listen;
        int code;
        const char *says;
    } rows[] = {
        {{.architecture = "external"}, false, NULL, ERR_USAGE, "--model"},
        {{.architecture = "external", .schedule = "moments 1"},
         true,
         NULL,
         ERR_USAGE,
         "input.mean"},
        {{.architecture = "external",
          .schedule = "moments 1",
          .features = 4,
          .extra = "fixed = [\"input.mean\", \"input.deviation\"]"},
         true,
         NULL,
         ERR_USAGE,
         "4 elements"},
        {{NULL}, true, NULL, ERR_MALFORMED, "given.safetensors"},
        {{.schedule = "median 3"}, false, NULL, ERR_USAGE, "median"},
        {{NULL}, false, "", ERR_USAGE, "--listen"},
        {{NULL}, false, ":8470", ERR_USAGE, "--listen"},
        {{NULL}, false, "::1", ERR_USAGE, "IPv6"},
        {{NULL}, false, "[::1]:8470", ERR_USAGE, "IPv6"},
        {{NULL}, false, "127.0.0.1:x", ERR_USAGE, "x"},
        {{NULL}, false, "127.0.0.1:65534", ERR_USAGE, "65534"},
        {{NULL}, false, "not a host", ERR_USAGE, "not a host"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct invitation invitation;
        struct err err = {0};
        struct folder f;
        int rc = make(&rows[i].wish, rows[i].model ? write_model() : NULL, rows[i].listen,
                      &invitation, &err);
        if (rc != rows[i].code || strstr(err.text, rows[i].says) == NULL)
            fail_msg("row %zu, %s: %d, %s", i, rows[i].says, rc, err.text);
        assert_int_equal(folder_open(desk_dir(), &f, NULL), ERR_NOTFOUND);
    }
    struct invitation invitation;
    MUST(make(&(struct wish){NULL}, NULL, NULL, &invitation, err)); /* what they left is no harm */
}

static void test_a_folder_with_a_study_is_left_alone(void **state)
{
    (void)state;
    struct invitation first, second;
    struct err why = {0};
    MUST(make(&(struct wish){NULL}, NULL, NULL, &first, err));
    assert_int_equal(make(&(struct wish){NULL}, NULL, NULL, &second, &why), ERR_EXISTS);
    assert_non_null(strstr(why.text, "holds a study"));
    MUST(folder_invitation(desk_dir(), &second, err));
    assert_memory_equal(&first, &second, sizeof first);
}

static void test_an_interrupted_founding_is_taken_up_with_its_keys(void **state)
{
    (void)state;
    struct invitation first, second;
    char path[FILES_PATH_MAX];
    MUST(make(&(struct wish){NULL}, NULL, NULL, &first, err));
    snprintf(path, sizeof path, "%s/config.toml", desk_dir()); /* it is written last */
    assert_int_equal(unlink(path), 0);
    MUST(make(&(struct wish){NULL}, NULL, NULL, &second, err));
    assert_true(key_equal(&first.founder, &second.founder));
    assert_true(key_equal(&first.coordinator, &second.coordinator));
    assert_false(cid_equal(&first.study, &second.study));
}

static void test_ports_are_three_in_a_row_or_three_free_ones(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *host, *bind;
        unsigned port; /* 0: any */
    } rows[] = {
        {NULL, "127.0.0.1", "127.0.0.1", 8470},
        {"192.0.2.7", "192.0.2.7", "192.0.2.7", 8470},
        {"fl.example.org", "fl.example.org", "0.0.0.0", 8470},
        {"fl.example.org:443", "fl.example.org", "0.0.0.0", 443},
        {"localhost:65533", "localhost", "127.0.0.1", 65533},
        {"127.0.0.1:0", "127.0.0.1", "127.0.0.1", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct invitation invitation;
        struct folder f;
        MUST(make(&(struct wish){NULL}, NULL, rows[i].listen, &invitation, err));
        MUST(folder_open(desk_dir(), &f, err));
        assert_string_equal(f.host, rows[i].host);
        assert_string_equal(f.bind, rows[i].bind);
        if (rows[i].port != 0) {
            assert_int_equal(f.control_port, rows[i].port);
            assert_int_equal(f.hints_port, rows[i].port + 1);
            assert_int_equal(f.https_port, rows[i].port + 2);
        }
        assert_true(f.control_port > 0 && f.control_port != f.hints_port &&
                    f.hints_port != f.https_port && f.control_port != f.https_port);
        folder_close(&f);
        char path[FILES_PATH_MAX];
        snprintf(path, sizeof path, "%s/config.toml", desk_dir());
        assert_int_equal(unlink(path), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_seeded_model_is_made_from_the_plan),
        TEST(test_every_network_s_initial_model_is_seeded_by_the_plan),
        TEST(test_a_given_model_must_be_the_network_s),
        TEST(test_a_given_model_is_stored_in_canonical_form),
        TEST(test_what_cannot_be_founded_is_refused_and_leaves_no_study),
        TEST(test_a_folder_with_a_study_is_left_alone),
        TEST(test_an_interrupted_founding_is_taken_up_with_its_keys),
        TEST(test_ports_are_three_in_a_row_or_three_free_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
