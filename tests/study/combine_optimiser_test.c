/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds with a server optimiser, against a naive twin that has the whole model in memory. */
#include "tests/study/numeric_fixture.h"

#include "aggregate/accumulate.h"

/* Every use and dtype, no size a multiple of anything, fixed tensors in between. */
static const struct spec mixed[] = {
    {"a.wide", DTYPE_F64, USE_MEAN, 140001},  {"b.wide.fixed", DTYPE_F64, USE_FIXED, 333},
    {"c.wide", DTYPE_F64, USE_MEAN, 7001},    {"a.steps", DTYPE_I64, USE_LARGEST, 3},
    {"a", DTYPE_F32, USE_MEAN, 131072},       {"b", DTYPE_F32, USE_FIXED, 5001},
    {"c", DTYPE_F32, USE_MEAN, 20003},        {"a.half", DTYPE_F16, USE_MEAN, 131073},
    {"a.brain", DTYPE_BF16, USE_MEAN, 12345}, {"b.half", DTYPE_F16, USE_FIXED, 3},
    {"c.half", DTYPE_F16, USE_MEAN, 1000},    {"bytes", DTYPE_U8, USE_LARGEST, 2001}};

/* Three windows: at the first edge a shard is cut, the second lies in a fixed tensor, and the state
 * of the last begins in the middle of a leaf. */
static const struct spec large[] = {{"a", DTYPE_F32, USE_MEAN, 4200003},
                                    {"b", DTYPE_F32, USE_FIXED, 4300000},
                                    {"c", DTYPE_F32, USE_MEAN, 300001},
                                    {"d", DTYPE_I32, USE_LARGEST, 15000},
                                    {"e", DTYPE_F16, USE_MEAN, 400000}};

static const struct optimiser_setting settings[] = {
    {OPTIMISER_FEDAVGM, 0.9, 0.9, 0, 0},       {OPTIMISER_FEDADAGRAD, 0.1, 0, 0, 1e-3},
    {OPTIMISER_FEDADAM, 0.1, 0.9, 0.99, 1e-3}, {OPTIMISER_FEDADAM_CORRECTED, 0.1, 0.9, 0.99, 1e-3},
    {OPTIMISER_FEDYOGI, 0.1, 0.9, 0.99, 1e-3},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

/* --- the twin --- */

struct twin {
    struct fixture *f;
    struct model model;
    size_t n;
    float *m, *v; /* (n) of the `mean` elements in layout order */
};

static void twin_init(struct twin *t, struct fixture *f)
{
    *t = (struct twin){.f = f, .model = model_copy(&f->base)};
    for (size_t i = 0; i < f->study.layout->tensor_count; i++)
        if (f->study.layout->tensors[i].use == USE_MEAN)
            t->n += f->study.layout->tensors[i].elements;
    t->m = calloc(t->n, sizeof *t->m);
    t->v = calloc(t->n, sizeof *t->v);
    assert_true(t->m != NULL && t->v != NULL);
}

static void twin_fini(struct twin *t)
{
    model_free(&t->model);
    free(t->m);
    free(t->v);
}

/* The weighted mean of what the sites sent, which is what they trained from the first base. */
static double mean_delta(const struct fixture *f, enum dtype d, size_t offset)
{
    double acc = 0, total = 0, base = dtype_get(d, f->base.data + offset);
    for (size_t i = 0; i < f->site_count; i++) {
        double delta = dtype_get(d, f->sites[i].model.data + offset) - base;
        acc += (double)f->sites[i].weight * (d == DTYPE_F64 ? delta : (double)(float)delta);
        total += (double)f->sites[i].weight;
    }
    return acc / total;
}

static void twin_step(struct twin *t, uint64_t round)
{
    const struct fixture *f = t->f;
    const struct layout *l = f->study.layout;
    struct model largest = oracle(f, NULL);
    size_t rank = 0;
    double power1 = 1, power2 = 1;
    for (uint64_t i = 0; i < round; i++) {
        power1 *= f->study.plan.optimiser.beta1;
        power2 *= f->study.plan.optimiser.beta2;
    }
    bool corrected = f->study.plan.optimiser.kind == OPTIMISER_FEDADAM_CORRECTED;
    struct optimiser_step s = {.setting = f->study.plan.optimiser,
                               .correct1 = corrected ? 1 - power1 : 1,
                               .correct2 = corrected ? 1 - power2 : 1};
    for (size_t k = 0; k < l->tensor_count; k++) {
        const struct tensor *x = &l->tensors[k];
        size_t size = dtype_bytes(x->dtype), offset = (size_t)x->offset;
        if (x->use == USE_LARGEST)
            memcpy(t->model.data + offset, largest.data + offset, (size_t)x->elements * size);
        for (uint64_t i = 0; x->use == USE_MEAN && i < x->elements; i++, offset += size, rank++) {
            double m = (double)t->m[rank], v = (double)t->v[rank];
            double next = optimiser_apply_naive(&s, dtype_get(x->dtype, t->model.data + offset),
                                                mean_delta(f, x->dtype, offset), &m, &v);
            dtype_put(x->dtype, t->model.data + offset, next);
            t->m[rank] = (float)m;
            t->v[rank] = (float)v;
        }
    }
    model_free(&largest);
}

/* The stored state is m and, with two slots, v: flat, at the file's end. */
static void assert_state(const struct twin *t, const struct cid *root)
{
    char path[FILES_PATH_MAX];
    size_t slots = optimiser_slots(t->f->study.plan.optimiser.kind), size = t->n * sizeof *t->m;
    assert_int_equal(store_model_path(t->f->store, root, path, NULL, NULL), 0);
    struct buf file = read_file(path);
    assert_true(file.size > slots * size);
    const uint8_t *data = file.data + (file.size - slots * size);
    assert_int_equal((data - file.data) % SAFETENSORS_ALIGNMENT, 0);
    assert_memory_equal(data, t->m, size);
    if (slots == 2)
        assert_memory_equal(data + size, t->v, size);
    buf_fini(&file);
}

/* --- rounds --- */

/* The sites answer every round with the same deltas. */
static struct fixture *study_of(struct layout *l, const struct optimiser_setting *setting)
{
    struct fixture *f = fixture_new(l, false);
    f->study.plan.optimiser = *setting;
    fixture_add_random_site(f, 5);
    fixture_add_random_site(f, 1000003);
    return f;
}

static struct combine_result run_from(struct fixture *f, const struct combine_result *before,
                                      uint64_t t, struct jobs *jobs, bool dry)
{
    struct round_of_fixture r;
    struct combine_result out = {.failure = "unset"};
    struct err err = {0};
    fixture_round(f, NULL, jobs, &r);
    r.combine.base = before->next;
    r.combine.state = before->state;
    r.combine.t = t;
    r.combine.dry = dry;
    if (combine_round(&r.combine, &out, &err) != 0)
        fail_msg("%s", err.text);
    return out;
}

static void assert_same(const struct combine_result *a, const struct combine_result *b)
{
    assert_true(cid_equal(&a->next, &b->next));
    assert_true(cid_equal(&a->state, &b->state));
}

/* `rounds` rounds, each by one thread, by three, and without storing anything. */
static void follow(struct layout *l, const struct optimiser_setting *setting, uint64_t rounds)
{
    struct fixture *f = study_of(l, setting);
    struct combine_result now = {.next = f->root};
    struct twin twin;
    struct jobs *one, *three;
    assert_int_equal(jobs_new(1, &one, NULL), 0);
    assert_int_equal(jobs_new(3, &three, NULL), 0);
    twin_init(&twin, f);
    for (uint64_t t = 1; t <= rounds; t++) {
        struct combine_result dry = run_from(f, &now, t, one, true);
        assert_false(store_model_has(f->store, &dry.next));
        assert_false(store_model_has(f->store, &dry.state));
        struct combine_result made = run_from(f, &now, t, three, false);
        assert_string_equal(made.failure, "");
        assert_same(&dry, &made);
        twin_step(&twin, t);
        assert_model(f, &made.next, &twin.model);
        assert_state(&twin, &made.state);
        now = made;
    }
    twin_fini(&twin);
    jobs_free(one);
    jobs_free(three);
    fixture_free(f);
}

static void test_every_optimiser_follows_its_naive_twin_through_three_rounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < SETTINGS; i++)
        follow(LAYOUT(mixed), &settings[i], 3);
}

static void test_a_model_of_several_windows_follows_it(void **state)
{
    (void)state;
    follow(LAYOUT(large), &settings[3], 2);
}

/* t is what the plan counts, whatever was made before. */
static void test_the_corrected_form_depends_on_t_and_the_other_does_not(void **state)
{
    (void)state;
    for (size_t i = 2; i <= 3; i++) {
        struct fixture *f = study_of(LAYOUT(mixed), &settings[i]);
        struct combine_result begin = {.next = f->root};
        struct combine_result a = run_from(f, &begin, 1, NULL, true);
        struct combine_result b = run_from(f, &begin, 2, NULL, true);
        bool corrected = settings[i].kind == OPTIMISER_FEDADAM_CORRECTED;
        assert_true(cid_equal(&a.next, &b.next) == !corrected);
        assert_true(cid_equal(&a.state, &b.state));
        fixture_free(f);
    }
}

static void test_null_shards_decay_the_state_as_zeros_do(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"a", DTYPE_F32, USE_MEAN, 140000}};
    struct fixture *f = study_of(LAYOUT(specs), &settings[2]);
    struct combine_result begin = {.next = f->root};
    struct combine_result first = run_from(f, &begin, 1, NULL, false);
    struct twin twin;
    twin_init(&twin, f);
    twin_step(&twin, 1);
    assert_state(&twin, &first.state);
    for (size_t i = 0; i < 2; i++) { /* from now on nobody changes anything */
        struct model same = model_copy(&f->base);
        struct pack *pack = new_pack(i == 0 ? "null-0" : "null-1");
        assert_int_equal(seal_model(f, &same, pack, NULL, &f->sites[i].record, NULL), 0);
        pack_close(f->sites[i].pack);
        f->sites[i].pack = pack;
        load_update(pack, &f->sites[i].record, &f->sites[i].update);
        model_free(&f->sites[i].model);
        f->sites[i].model = same;
    }
    struct combine_result second = run_from(f, &first, 2, NULL, false);
    twin_step(&twin, 2);
    assert_model(f, &second.next, &twin.model);
    assert_state(&twin, &second.state);
    assert_false(cid_equal(&first.state, &second.state));
    twin_fini(&twin);
    fixture_free(f);
}

/* --- rounds without a step --- */

static void test_a_round_that_does_not_step_hands_the_state_on(void **state)
{
    (void)state;
    struct fixture *f = study_of(LAYOUT(mixed), &settings[2]);
    struct combine_result begin = {.next = f->root}, out;
    struct combine_result now = run_from(f, &begin, 1, NULL, false);
    struct round_of_fixture r;
    fixture_round(f, NULL, NULL, &r);
    r.combine.base = now.next;
    r.combine.state = now.state;
    r.combine.t = 1;
    r.combine.rule = rule_find("evaluate");
    assert_int_equal(combine_round(&r.combine, &out, NULL), 0);
    assert_true(cid_equal(&out.state, &now.state));
    r.combine.rule = rule_find("fedavg");
    r.combine.update_count = 0;
    assert_int_equal(combine_round(&r.combine, &out, NULL), 0);
    assert_string_equal(out.failure, "no-quorum");
    assert_same(&out, &now);
    r.combine.update_count = 2;
    f->study.plan.optimiser = (struct optimiser_setting){.kind = OPTIMISER_NONE, .rate = 1};
    assert_int_equal(combine_round(&r.combine, &out, NULL), 0);
    assert_true(cid_equal(&out.state, &now.state));
    assert_false(cid_equal(&out.next, &now.next));
    fixture_free(f);
}

/* --- what is not finite --- */

static const struct spec two_shards[] = {{"a", DTYPE_F32, USE_MEAN, 100000},
                                         {"b", DTYPE_F32, USE_FIXED, 10},
                                         {"c", DTYPE_F32, USE_MEAN, 100000}};

static void add_site_with(struct fixture *f, const char *tensor, uint64_t element, double value,
                          uint32_t weight)
{
    struct model m = model_copy(&f->base);
    dtype_put(DTYPE_F32, element_of(f->study.layout, &m, tensor, element), value);
    fixture_add_site(f, m, weight);
}

/* A square of a finite delta is past f32 in v: nothing is changed, and the site is named. */
static void test_a_state_that_is_not_finite_fails_the_round_and_names_a_site(void **state)
{
    (void)state;
    for (size_t i = 1; i < SETTINGS; i++) {
        struct fixture *f = fixture_new(LAYOUT(two_shards), true);
        struct combine_result begin = {.next = f->root};
        f->study.plan.optimiser = settings[i];
        add_site_with(f, "a", 7, 3, 1);
        struct combine_result now = run_from(f, &begin, 1, NULL, false);
        add_site_with(f, "a", 7, -5, 500);
        add_site_with(f, "c", 99999, -1e24, 1); /* in the second shard */
        add_site_with(f, "c", 50000, 1e23, 9);
        struct combine_result out = run_from(f, &now, 2, NULL, false);
        assert_string_equal(out.failure, "not-finite");
        assert_same(&out, &now);
        assert_int_equal(out.suspect, 2);
        assert_string_equal(out.suspect_tensor->name, "c");
        assert_false(files_exists(files_posix(), in_scratch("store/models/round-1.part")));
        assert_false(files_exists(files_posix(), in_scratch("store/models/round-1-state.part")));
        fixture_free(f);
    }
}

/* The first shard in order counts, though a later one has the larger delta. */
static void test_the_first_shard_that_is_not_finite_names_the_site(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 3; threads += 2) {
        struct jobs *jobs;
        struct fixture *f = fixture_new(LAYOUT(two_shards), true);
        struct combine_result begin = {.next = f->root};
        assert_int_equal(jobs_new(threads, &jobs, NULL), 0);
        f->study.plan.optimiser = settings[2];
        add_site_with(f, "c", 99999, 1e30, 1);
        add_site_with(f, "c", 2, -1e25, 1); /* shard 0 reaches into tensor c */
        struct combine_result out = run_from(f, &begin, 1, jobs, true);
        assert_string_equal(out.failure, "not-finite");
        assert_int_equal(out.suspect, 1);
        assert_string_equal(out.suspect_tensor->name, "c");
        jobs_free(jobs);
        fixture_free(f);
    }
}

/* --- damage --- */

static int run_round(struct fixture *f, const struct combine_result *before,
                     struct combine_result *out, struct err *err)
{
    struct round_of_fixture r;
    memset(out, 0, sizeof *out);
    fixture_round(f, NULL, NULL, &r);
    r.combine.base = before->next;
    r.combine.state = before->state;
    r.combine.t = 2;
    return combine_round(&r.combine, out, err);
}

static void test_a_damaged_missing_or_foreign_state_is_ours_and_no_sites(void **state)
{
    (void)state;
    struct fixture *f = study_of(LAYOUT(mixed), &settings[2]);
    struct combine_result begin = {.next = f->root}, out;
    struct combine_result now = run_from(f, &begin, 1, NULL, false);
    struct err err = {0};
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX];
    assert_int_equal(store_model_path(f->store, &now.state, path, NULL, NULL), 0);
    damage_file(path, (1 << 20) + 5, 1);
    assert_int_equal(run_round(f, &now, &out, &err), ERR_CORRUPT);
    assert_true(cid_is_none(&out.damaged));
    assert_non_null(strstr(err.text, "state"));
    assert_false(files_exists(files_posix(), in_scratch("store/models/round-1.part")));
    assert_false(files_exists(files_posix(), in_scratch("store/models/round-1-state.part")));
    damage_file(path, (1 << 20) + 5, 255);
    assert_int_equal(run_round(f, &now, &out, &err), 0);

    f->study.plan.optimiser = settings[0]; /* another number of slots */
    assert_int_equal(run_round(f, &now, &out, &err), ERR_MALFORMED);
    assert_true(cid_is_none(&out.damaged));
    assert_non_null(strstr(err.text, cid_format(&now.state, text)));
    f->study.plan.optimiser = settings[2];
    assert_int_equal(store_model_delete(f->store, &now.state, NULL), 0);
    assert_int_equal(run_round(f, &now, &out, &err), ERR_NOTFOUND);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_optimiser_follows_its_naive_twin_through_three_rounds),
        cmocka_unit_test(test_a_model_of_several_windows_follows_it),
        cmocka_unit_test(test_the_corrected_form_depends_on_t_and_the_other_does_not),
        cmocka_unit_test(test_null_shards_decay_the_state_as_zeros_do),
        cmocka_unit_test(test_a_round_that_does_not_step_hands_the_state_on),
        cmocka_unit_test(test_a_state_that_is_not_finite_fails_the_round_and_names_a_site),
        cmocka_unit_test(test_the_first_shard_that_is_not_finite_names_the_site),
        cmocka_unit_test(test_a_damaged_missing_or_foreign_state_is_ours_and_no_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
