/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"

#include <math.h>

#include "aggregate/moments.h"
#include "worker/synthetic.h"
#include "worker/trainer.h"

static atomic_bool no, yes = true;

/* As in_scratch, for tests that hold many paths at once. */
static const char *place(const char *name)
{
    static char paths[32][256];
    static unsigned next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

/* --- models of some layouts, as files --- */

static struct layout *layout_of(const struct tensor *tensors, size_t count)
{
    struct layout *l;
    MUST(layout_new(tensors, count, &l, err));
    return l;
}

static struct tensor tensor(const char *name, enum dtype dtype, enum use use, uint64_t elements)
{
    return (struct tensor){.name = (char *)(uintptr_t)name,
                           .dtype = dtype,
                           .use = use,
                           .rank = 1,
                           .shape = {elements}};
}

/* Elements count upwards, so that none is like the next. */
static struct buf model_of(const struct layout *l, uint64_t *data_start)
{
    struct buf file = buf_new(64u << 20);
    MUST(safetensors_format(l, &file, err));
    *data_start = file.size;
    uint8_t *data = buf_extend(&file, (size_t)l->data_bytes);
    assert_non_null(data);
    memset(data, 0, (size_t)l->data_bytes);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        for (uint64_t k = 0; k < t->elements; k++) {
            float x = (float)(k % 1000) * 0.5f;
            double y = (double)(k % 1000) * 0.25;
            uint8_t *at = data + t->offset + k * dtype_bytes(t->dtype);
            if (t->dtype == DTYPE_F32)
                memcpy(at, &x, sizeof x);
            else if (t->dtype == DTYPE_F64)
                memcpy(at, &y, sizeof y);
            else
                *at = (uint8_t)k;
        }
    }
    return file;
}

/* A task on the file `base`; the plan and its layout are the caller's. */
static struct trainer_task task_of(const struct plan *plan, const struct layout *l,
                                   uint64_t data_start, const char *base, const char *output)
{
    return (struct trainer_task){.files = files_posix(),
                                 .plan = plan,
                                 .layout = l,
                                 .asks = RULE_DELTA,
                                 .round = 3,
                                 .site = 1,
                                 .data = "",
                                 .base = base,
                                 .data_start = data_start,
                                 .output = output,
                                 .cancel = &no};
}

static struct plan plan_for(const char *trainer)
{
    struct cid none = fixture_cid(0);
    struct plan p = fixture_plan(&none, &none);
    snprintf(p.trainer, sizeof p.trainer, "%s", trainer);
    return p;
}

static double element(const struct buf *file, uint64_t data_start, const struct tensor *t,
                      uint64_t k)
{
    const uint8_t *at = file->data + data_start + t->offset + k * dtype_bytes(t->dtype);
    float x;
    double y;
    if (t->dtype == DTYPE_F32) {
        memcpy(&x, at, sizeof x);
        return (double)x;
    }
    if (t->dtype != DTYPE_F64)
        return *at;
    memcpy(&y, at, sizeof y);
    return y;
}

/* Runs the named test trainer and checks what it did to every element of every tensor. */
static void check_synthetic(const char *name, const struct layout *l, double amount)
{
    struct plan plan = plan_for(name);
    uint64_t start;
    struct buf base = model_of(l, &start);
    struct trainer_result r;
    write_file(place("base"), buf_bytes(&base));
    struct trainer_task task = task_of(&plan, l, start, place("base"), place("out"));
    MUST(trainer_run(&task, &r, err));
    assert_int_equal(r.examples, 1);
    struct buf made = read_file(place("out"));
    assert_int_equal(made.size, base.size);
    assert_memory_equal(made.data, base.data, (size_t)start);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        for (uint64_t k = 0; k < t->elements; k++) {
            double before = element(&base, start, t, k);
            double expected = t->use != USE_MEAN      ? before
                              : t->dtype == DTYPE_F32 ? (float)before + (float)amount
                                                      : before + amount;
            if (element(&made, start, t, k) != expected)
                fail_msg("%s: %s[%llu]", name, t->name, (unsigned long long)k);
        }
    }
    trainer_result_fini(&r);
    buf_fini(&made);
    buf_fini(&base);
}

/* --- test trainers --- */

static void test_test_trainers_add_what_they_say_to_every_averaged_element(void **state)
{
    (void)state;
    const struct tensor tensors[] = {
        tensor("a", DTYPE_F32, USE_MEAN, 10), tensor("b", DTYPE_F64, USE_MEAN, 7),
        tensor("c", DTYPE_F32, USE_FIXED, 5), tensor("d", DTYPE_U8, USE_LARGEST, 3),
        tensor("empty", DTYPE_F32, USE_MEAN, 0)};
    struct layout *l = layout_of(tensors, sizeof tensors / sizeof tensors[0]);
    check_synthetic("null", l, 2 * 3 / 1000.0); /* (site 1 + 1) * round 3 */
    check_synthetic("constant", l, 2 / 1000.0); /* (site 1 + 1) */
    layout_free(l);
}

static void test_a_model_of_many_pieces_is_changed_to_its_last_element(void **state)
{
    (void)state;
    uint64_t elements = 2 * SYNTHETIC_PIECE_BYTES / sizeof(float) + 3;
    const struct tensor tensors[] = {tensor("a", DTYPE_F32, USE_MEAN, elements)};
    struct layout *l = layout_of(tensors, 1);
    check_synthetic("constant", l, 2 / 1000.0);
    layout_free(l);
}

static void test_null_changes_by_site_and_round_and_constant_by_site_alone(void **state)
{
    (void)state;
    const struct tensor tensors[] = {tensor("a", DTYPE_F32, USE_MEAN, 10)};
    static const struct {
        const char *trainer;
        uint64_t round;
        uint32_t site;
        bool same; /* as round 3 of site 1 */
    } runs[] = {{"null", 3, 1, true},     {"null", 4, 1, false},    {"null", 3, 2, false},
                {"constant", 3, 1, true}, {"constant", 4, 1, true}, {"constant", 3, 2, false}};
    struct layout *l = layout_of(tensors, 1);
    uint64_t start;
    struct buf base = model_of(l, &start), first = {0};
    write_file(place("base"), buf_bytes(&base));
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct plan plan = plan_for(runs[i].trainer);
        struct trainer_task task = task_of(&plan, l, start, place("base"), place("out"));
        struct trainer_result r;
        task.round = runs[i].round;
        task.site = runs[i].site;
        MUST(trainer_run(&task, &r, err));
        trainer_result_fini(&r);
        struct buf made = read_file(place("out"));
        if (i % 3 == 0) {
            buf_fini(&first);
            first = made;
        } else {
            assert_int_equal(bytes_equal(buf_bytes(&first), buf_bytes(&made)), runs[i].same);
            buf_fini(&made);
        }
    }
    buf_fini(&first);
    buf_fini(&base);
    layout_free(l);
}

static void test_half_floats_are_changed_and_rounded_once(void **state)
{
    (void)state;
    const struct tensor tensors[] = {tensor("brain", DTYPE_BF16, USE_MEAN, 3),
                                     tensor("half", DTYPE_F16, USE_MEAN, 4)};
    struct layout *l = layout_of(tensors, 2);
    struct plan plan = plan_for("constant");
    uint64_t start;
    struct buf base = model_of(l, &start);
    struct trainer_result r;
    write_file(place("base"), buf_bytes(&base));
    struct trainer_task task = task_of(&plan, l, start, place("base"), place("out"));
    MUST(trainer_run(&task, &r, err));
    struct buf made = read_file(place("out"));
    assert_int_equal(made.size, base.size);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        for (size_t at = start + t->offset, k = 0; k < t->elements; k++, at += 2) {
            uint8_t expected[2];
            dtype_put(t->dtype, expected,
                      dtype_get(t->dtype, base.data + at) + 0.001 * (double)(task.site + 1));
            assert_memory_equal(made.data + at, expected, 2);
        }
    }
    trainer_result_fini(&r);
    buf_fini(&made);
    buf_fini(&base);
    layout_free(l);
}

static void test_a_cancelled_trainer_ends_and_leaves_no_file(void **state)
{
    (void)state;
    const struct tensor tensors[] = {tensor("a", DTYPE_F32, USE_MEAN, 10)};
    struct layout *l = layout_of(tensors, 1);
    struct plan plan = plan_for("constant");
    uint64_t start;
    struct buf base = model_of(l, &start);
    struct trainer_result r;
    write_file(place("base"), buf_bytes(&base));
    struct trainer_task task = task_of(&plan, l, start, place("base"), place("out"));
    task.cancel = &yes;
    assert_int_equal(trainer_run(&task, &r, NULL), ERR_TIMEOUT);
    assert_false(files_exists(files_posix(), place("out")));
    buf_fini(&base);
    layout_free(l);
}

static void test_test_trainers_answer_every_rule(void **state)
{
    (void)state;
    struct plan plan = plan_for("null");
    struct trainer_task task = task_of(&plan, NULL, 0, "", "");
    struct trainer_result r;
    struct moments m;
    task.asks = RULE_VALUES;
    MUST(trainer_run(&task, &r, err));
    MUST(moments_decode(buf_bytes(&r.values), (size_t)plan.features, &m, err));
    assert_int_equal(m.count, 1);
    moments_fini(&m);
    trainer_result_fini(&r);
    task.asks = RULE_METRICS;
    MUST(trainer_run(&task, &r, err));
    assert_int_equal(r.values.size, 0);
    trainer_result_fini(&r);
}

/* --- native --- */

static const char table[] = "a,b,c,diagnosis\n"
                            "1,0,2,0\n0,1,2,0\n2,1,0,0\n1,1,1,0\n"
                            "5,4,6,1\n4,6,5,1\n6,5,4,1\n5,5,5,1\n";

/* A new model of the plan's network as the file SCRATCH/base. */
static struct layout *native_base(const struct plan *plan, uint64_t *start)
{
    const uint8_t seed[HASH_BYTES] = {1};
    struct layout *l;
    struct network n;
    struct buf file = buf_new(1u << 20);
    assert_true(plan_network(plan, &n));
    MUST(network_layout(&n, &l, err));
    MUST(safetensors_format(l, &file, err));
    *start = file.size;
    uint8_t *data = buf_extend(&file, (size_t)l->data_bytes);
    assert_non_null(data);
    network_init(&n, l, seed, data);
    write_file(place("base"), buf_bytes(&file));
    write_file(place("data.csv"), bytes_of_text(table));
    buf_fini(&file);
    return l;
}

static struct trainer_task native_task(const struct plan *plan, const struct layout *l,
                                       uint64_t start)
{
    struct trainer_task t = task_of(plan, l, start, place("base"), place("out"));
    t.data = place("data.csv");
    return t;
}

static double result_metric(const struct trainer_result *r, const char *name)
{
    for (size_t i = 0; i < r->metric_count; i++)
        if (strcmp(r->metrics[i].name, name) == 0)
            return r->metrics[i].value;
    return NAN;
}

static void test_native_trains_and_tells_how_the_base_did_before(void **state)
{
    (void)state;
    uint64_t start;
    struct plan plan = plan_for("native");
    struct layout *l = native_base(&plan, &start);
    struct trainer_task task = native_task(&plan, l, start);
    struct trainer_result r;
    MUST(trainer_run(&task, &r, err));
    assert_int_equal(r.examples, 8);
    assert_true(fabs(result_metric(&r, "loss") - log(2)) < 1e-6);
    assert_true(fabs(result_metric(&r, "accuracy") - 0.5) < 1e-12);
    assert_int_equal(r.metric_count, 2);
    trainer_result_fini(&r);

    /* What it wrote is a model of the layout that does better on the same rows. */
    assert_int_equal(rename(place("out"), place("base")), 0);
    task.asks = RULE_METRICS;
    MUST(trainer_run(&task, &r, err));
    assert_true(result_metric(&r, "loss") < 0.69);
    assert_true(result_metric(&r, "correct") == 8 * result_metric(&r, "accuracy"));
    trainer_result_fini(&r);
    layout_free(l);
}

static void test_native_is_deterministic_and_keeps_header_and_fixed_tensors(void **state)
{
    (void)state;
    uint64_t start;
    struct plan plan = plan_for("native");
    struct layout *l = native_base(&plan, &start);
    struct trainer_task task = native_task(&plan, l, start);
    struct trainer_result r;
    MUST(trainer_run(&task, &r, err));
    trainer_result_fini(&r);
    task.output = place("again");
    MUST(trainer_run(&task, &r, err));
    trainer_result_fini(&r);
    struct buf base = read_file(place("base")), one = read_file(place("out")),
               two = read_file(place("again"));
    assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    assert_int_equal(one.size, base.size);
    assert_memory_equal(one.data, base.data, (size_t)start);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        size_t at = (size_t)(start + t->offset), size = (size_t)(t->elements * 4);
        assert_int_equal(memcmp(one.data + at, base.data + at, size) == 0, t->use == USE_FIXED);
    }
    buf_fini(&two);
    buf_fini(&one);
    buf_fini(&base);
    layout_free(l);
}

/* How many of the eight examples the model in SCRATCH/out tells right. */
static double correct_after(struct trainer_task *task)
{
    struct trainer_result r;
    MUST(trainer_run(task, &r, err));
    trainer_result_fini(&r);
    assert_int_equal(rename(place("out"), place("base")), 0);
    task->asks = RULE_METRICS;
    MUST(trainer_run(task, &r, err));
    assert_int_equal(r.examples, 8);
    double correct = result_metric(&r, "correct");
    trainer_result_fini(&r);
    return correct;
}

static void test_native_trains_networks_of_more_classes_on_tables_and_images(void **state)
{
    (void)state;
    static const char classes[] = "a,b,c,diagnosis\n"
                                  "1,0,2,0\n0,1,2,0\n2,1,0,0\n1,1,1,0\n"
                                  "5,0,6,1\n4,0,5,1\n6,8,0,2\n5,9,1,2\n";
    static const uint8_t images[] = {0, 0, 8, 2, 0, 0, 0,  8, 0,  0,  0, 3,  9,  0,  20, 0, 9, 20,
                                     9, 9, 0, 9, 9, 9, 50, 0, 60, 40, 0, 50, 60, 80, 0,  5, 9, 255},
                         labels[] = {0, 0, 8, 1, 0, 0, 0, 8, 0, 0, 0, 0, 1, 1, 2, 2};
    for (int i = 0; i < 4; i++) {
        bool mlp = i % 2 == 1, idx = i / 2 == 1;
        struct plan plan = plan_for("native");
        uint64_t start;
        strcpy(plan.architecture, mlp ? "mlp" : "softmax");
        plan.hidden_count = mlp;
        plan.hidden[0] = mlp ? 16 : 0;
        plan.classes = 3;
        plan.epochs = i == 0 ? 200 : 0;
        plan.steps = i == 0 ? 0 : 400;
        plan.batch = 4;
        plan.momentum = 0.9;
        plan.learning_rate = idx ? 0.1 : 0.02;
        plan.weight_decay = 0;
        plan.target[0] = idx ? '\0' : plan.target[0];
        struct layout *l = native_base(&plan, &start);
        write_file(place("data.csv"), bytes_of_text(classes));
        write_file(place("images"), bytes_of(images, sizeof images));
        write_file(place("labels"), bytes_of(labels, sizeof labels));
        struct trainer_task task = native_task(&plan, l, start);
        task.data = place(idx ? "images" : "data.csv");
        assert_true(correct_after(&task) == 8);
        layout_free(l);
    }
}

static void test_native_obeys_every_hyperparameter(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct plan plan = plan_for("native");
        struct trainer_result r;
        uint64_t start;
        plan.learning_rate = i == 1 ? 0.5 : 0.25;
        plan.momentum = i == 2 ? 0.5 : 0;
        plan.weight_decay = i == 3 ? 0.1 : 0;
        plan.proximal = i == 4 ? 0.1 : 0;
        plan.batch = i == 5 ? 3 : 2;
        plan.epochs = i == 6 ? 3 : i == 7 ? 0 : 2;
        plan.steps = i == 7 ? 7 : 0;
        struct layout *l = native_base(&plan, &start);
        struct trainer_task task = native_task(&plan, l, start);
        task.output = place(i == 0 ? "first" : "out");
        MUST(trainer_run(&task, &r, err));
        trainer_result_fini(&r);
        if (i > 0) {
            struct buf first = read_file(place("first")), other = read_file(place("out"));
            if (bytes_equal(buf_bytes(&first), buf_bytes(&other)))
                fail_msg("hyperparameter %d changes nothing", i);
            buf_fini(&first);
            buf_fini(&other);
        }
        layout_free(l);
    }
}

static void test_native_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    uint64_t start;
    struct plan plan = plan_for("native");
    struct layout *l = native_base(&plan, &start);
    struct trainer_task task = native_task(&plan, l, start);
    struct trainer_result r;
    task.cancel = &yes;
    assert_int_equal(trainer_run(&task, &r, NULL), ERR_TIMEOUT);
    assert_false(files_exists(files_posix(), place("out")));
    layout_free(l);
}

static void test_native_gives_moments_of_the_raw_columns(void **state)
{
    (void)state;
    uint64_t start;
    struct plan plan = plan_for("native");
    struct layout *l = native_base(&plan, &start);
    struct trainer_task task = native_task(&plan, l, start);
    struct trainer_result r;
    struct moments m;
    task.asks = RULE_VALUES;
    MUST(trainer_run(&task, &r, err));
    assert_int_equal(r.examples, 8);
    assert_int_equal(r.metric_count, 0);
    MUST(moments_decode(buf_bytes(&r.values), 3, &m, err));
    assert_int_equal(m.count, 8);
    assert_true(m.sum[0] == 24 && m.sum[1] == 23 && m.sum[2] == 25);
    assert_true(m.squares[0] == 1 + 4 + 1 + 25 + 16 + 36 + 25);
    moments_fini(&m);
    trainer_result_fini(&r);
    layout_free(l);
}

static void test_what_a_person_must_mend_is_said_in_their_words(void **state)
{
    (void)state;
    uint64_t start;
    struct plan usual = plan_for("native");
    struct layout *l = native_base(&usual, &start);
    write_file(place("two.csv"), bytes_of_text("a,b,diagnosis\n1,2,0\n"));
    write_file(place("none.csv"), bytes_of_text("a,b,c,diagnosis\n"));
    write_file(place("target.csv"), bytes_of_text("a,b,c,d\n1,2,3,0\n"));
    const struct {
        const char *data, *words;
    } bad[] = {
        {"", "config.toml"},
        {place("two.csv"), "3 features"},
        {place("target.csv"), "diagnosis"},
        {"/nonexistent/data.csv", "/nonexistent/data.csv"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct plan plan = plan_for("native");
        struct trainer_task task = native_task(&plan, l, start);
        struct trainer_result r;
        struct err why = {0};
        task.data = bad[i].data;
        if (trainer_run(&task, &r, &why) == 0 || strstr(why.text, bad[i].words) == NULL)
            fail_msg("%s: %s", bad[i].words, why.text);
        assert_false(files_exists(files_posix(), place("out")));
    }
    layout_free(l);
}

static void test_an_architecture_that_native_does_not_know_is_said(void **state)
{
    (void)state;
    struct plan plan = plan_for("native");
    strcpy(plan.architecture, "external");
    struct trainer_task task = task_of(&plan, NULL, 0, "", place("out"));
    struct trainer_result r;
    struct err why = {0};
    assert_int_equal(trainer_run(&task, &r, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "external"));
}

/* --- the table --- */

static void test_the_table_has_the_documented_trainers_and_no_other(void **state)
{
    (void)state;
    const struct trainer *t;
    struct err why = {0};
    static const char *const names[] = {"native", "program", "null", "constant"};
    for (size_t i = 0; i < 4; i++) {
        MUST(trainer_find(names[i], &t, err));
        assert_ptr_equal(t, trainer_at(i));
    }
    assert_null(trainer_at(4));
    assert_int_equal(trainer_find("torch", &t, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "torch"));
}

static void test_a_trainers_digest_is_that_of_its_words(void **state)
{
    (void)state;
    uint8_t found[HASH_BYTES], expected[HASH_BYTES];
    hash_sha256(bytes_of_text("colmeia-native-1 native"), expected);
    trainer_digest("native", found);
    assert_memory_equal(found, expected, HASH_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_test_trainers_add_what_they_say_to_every_averaged_element),
        TEST(test_a_model_of_many_pieces_is_changed_to_its_last_element),
        TEST(test_null_changes_by_site_and_round_and_constant_by_site_alone),
        TEST(test_half_floats_are_changed_and_rounded_once),
        TEST(test_a_cancelled_trainer_ends_and_leaves_no_file),
        TEST(test_test_trainers_answer_every_rule),
        TEST(test_native_trains_and_tells_how_the_base_did_before),
        TEST(test_native_is_deterministic_and_keeps_header_and_fixed_tensors),
        TEST(test_native_trains_networks_of_more_classes_on_tables_and_images),
        TEST(test_native_obeys_every_hyperparameter),
        TEST(test_native_ends_when_it_is_cancelled),
        TEST(test_native_gives_moments_of_the_raw_columns),
        TEST(test_what_a_person_must_mend_is_said_in_their_words),
        TEST(test_an_architecture_that_native_does_not_know_is_said),
        TEST(test_the_table_has_the_documented_trainers_and_no_other),
        TEST(test_a_trainers_digest_is_that_of_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
