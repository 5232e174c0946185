/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "model/gemm.h"
#include "model/logistic.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

enum {
    FEATURES = 5,
    ROWS = 203
};

static const uint8_t seed_a[HASH_BYTES] = {1}, seed_b[HASH_BYTES] = {2};

/* Two overlapping clouds; the last feature is constant. */
static struct dataset clouds(void)
{
    struct random_stream s;
    struct dataset d = {.rows = ROWS, .features = FEATURES};
    d.x = malloc(ROWS * FEATURES * sizeof *d.x);
    d.y = malloc(ROWS * sizeof *d.y);
    assert_true(d.x != NULL && d.y != NULL);
    random_stream_init(&s, seed_a);
    for (size_t i = 0; i < ROWS; i++) {
        d.y[i] = random_stream_below(&s, 3) == 0;
        for (size_t j = 0; j < FEATURES; j++) {
            double x = 4 * random_stream_unit(&s) + (d.y[i] == 1 ? 0.5 * (double)j : 0);
            d.x[i * FEATURES + j] = j == FEATURES - 1 ? 3.25f : (float)x;
        }
    }
    return d;
}

struct fixture {
    struct layout *l;
    struct dataset d;
    uint8_t *data;
};

static float *floats_of(const struct fixture *f, const char *name)
{
    return (float *)(void *)(f->data + layout_find(f->l, name)->offset);
}

/* A model scaled by its own data's moments, as the first round would do. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    double sum[FEATURES], squares[FEATURES];
    f->d = clouds();
    if (logistic_layout(FEATURES, &f->l, NULL) != 0)
        return -1;
    f->data = malloc(f->l->data_bytes);
    logistic_init(f->l, f->data);
    dataset_moments(&f->d, sum, squares);
    for (size_t j = 0; j < FEATURES; j++) {
        double mean = sum[j] / ROWS, variance = squares[j] / ROWS - mean * mean;
        floats_of(f, "input.mean")[j] = (float)mean;
        floats_of(f, "input.deviation")[j] = variance > 1e-9 ? (float)sqrt(variance) : 1.0f;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dataset_fini(&f->d);
    layout_free(f->l);
    free(f->data);
    free(f);
    return 0;
}

static void set_parameters(struct fixture *f)
{
    static const float weight[FEATURES] = {0.5f, -1.25f, 0.0f, 2.0f, -0.75f};
    memcpy(floats_of(f, "weight"), weight, sizeof weight);
    *floats_of(f, "bias") = 0.375f;
}

/* --- the naive twin, in f64 throughout --- */

static double naive_x(const struct fixture *f, size_t i, size_t j)
{
    return ((double)f->d.x[i * FEATURES + j] - (double)floats_of(f, "input.mean")[j]) /
           (double)floats_of(f, "input.deviation")[j];
}

static double naive(const struct fixture *f, const double *theta, double l2, double *slope)
{
    double loss = 0;
    memset(slope, 0, (FEATURES + 1) * sizeof *slope);
    for (size_t i = 0; i < ROWS; i++) {
        double z = theta[FEATURES];
        for (size_t j = 0; j < FEATURES; j++)
            z += theta[j] * naive_x(f, i, j);
        double p = 1 / (1 + exp(-z));
        loss -= f->d.y[i] == 1 ? log(p) : log(1 - p);
        for (size_t j = 0; j < FEATURES; j++)
            slope[j] += (p - f->d.y[i]) * naive_x(f, i, j) / ROWS;
        slope[FEATURES] += (p - f->d.y[i]) / ROWS;
    }
    loss /= ROWS;
    for (size_t j = 0; j < FEATURES; j++) {
        loss += l2 / 2 * theta[j] * theta[j];
        slope[j] += l2 * theta[j];
    }
    return loss;
}

static void read_parameters(const struct fixture *f, double *theta)
{
    for (size_t j = 0; j < FEATURES; j++)
        theta[j] = (double)floats_of(f, "weight")[j];
    theta[FEATURES] = (double)*floats_of(f, "bias");
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g is not %.9g", got, want);
}

/* --- */

static void test_the_layout_averages_the_parameters_and_fixes_the_scaling(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        enum use use;
        uint8_t rank;
        uint64_t elements;
    } rows[] = {{"weight", USE_MEAN, 2, FEATURES},
                {"bias", USE_MEAN, 1, 1},
                {"input.mean", USE_FIXED, 1, FEATURES},
                {"input.deviation", USE_FIXED, 1, FEATURES}};
    struct layout *l = NULL;
    assert_int_equal(f->l->tensor_count, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tensor *t = layout_find(f->l, rows[i].name);
        assert_int_equal(t->dtype, DTYPE_F32);
        assert_int_equal(t->use, rows[i].use);
        assert_int_equal(t->rank, rows[i].rank);
        assert_int_equal(t->elements, rows[i].elements);
    }
    assert_int_equal(f->l->shard_count, 1);
    assert_int_equal(layout_update_bytes(f->l), 4 * (FEATURES + 1));
    assert_int_equal(logistic_layout(0, &l, NULL), ERR_USAGE);
    assert_null(l);
}

static void test_a_new_model_says_one_half(void **state)
{
    struct fixture *f = *state;
    struct logistic_metrics m;
    logistic_init(f->l, f->data);
    for (size_t j = 0; j < FEATURES; j++) {
        assert_true(floats_of(f, "weight")[j] == 0 && floats_of(f, "input.mean")[j] == 0);
        assert_true(floats_of(f, "input.deviation")[j] == 1);
    }
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &m, NULL), 0);
    assert_near(m.loss, log(2), 1e-12);
}

static void test_the_gradient_is_the_naive_twin_s(void **state)
{
    struct fixture *f = *state;
    double theta[FEATURES + 1], want[FEATURES + 1], got[FEATURES + 1], loss;
    set_parameters(f);
    read_parameters(f, theta);
    assert_int_equal(logistic_gradient(f->l, f->data, &f->d, 0.25, &loss, got, NULL), 0);
    assert_near(loss, naive(f, theta, 0.25, want), 1e-6);
    for (size_t j = 0; j <= FEATURES; j++)
        assert_near(got[j], want[j], 1e-6);
}

static void test_the_gradient_is_the_slope_of_the_loss(void **state)
{
    struct fixture *f = *state;
    double slope[FEATURES + 1], unused[FEATURES + 1], up, down;
    const float step = 0x1p-6f; /* the parameters are f32, and so are the products */
    set_parameters(f);
    for (int decay = 0; decay < 2; decay++) {
        assert_int_equal(logistic_gradient(f->l, f->data, &f->d, decay, &up, slope, NULL), 0);
        for (size_t j = 0; j <= FEATURES; j++) {
            float *parameter = j < FEATURES ? floats_of(f, "weight") + j : floats_of(f, "bias");
            float at = *parameter;
            *parameter = at + step;
            assert_int_equal(logistic_gradient(f->l, f->data, &f->d, decay, &up, unused, NULL), 0);
            *parameter = at - step;
            assert_int_equal(logistic_gradient(f->l, f->data, &f->d, decay, &down, unused, NULL),
                             0);
            *parameter = at;
            assert_near(slope[j], (up - down) / (2 * (double)step), 1e-4);
        }
    }
}

static void test_full_batches_are_gradient_descent(void **state)
{
    struct fixture *f = *state;
    double theta[FEATURES + 1], slope[FEATURES + 1], got[FEATURES + 1];
    struct logistic_options o = {.epochs = 50, .learning_rate = 0.5, .l2 = 0.01};
    set_parameters(f);
    read_parameters(f, theta);
    for (int step = 0; step < 50; step++) {
        naive(f, theta, o.l2, slope);
        for (size_t j = 0; j <= FEATURES; j++)
            theta[j] -= o.learning_rate * slope[j];
    }
    assert_int_equal(logistic_train(f->l, f->data, &f->d, &o, seed_a, NULL), 0);
    read_parameters(f, got);
    for (size_t j = 0; j <= FEATURES; j++)
        assert_near(got[j], theta[j], 1e-5);
}

/* Trains a fresh model; the caller frees its data section. */
static uint8_t *train(const struct fixture *f, uint64_t batch, uint64_t epochs, const uint8_t *seed)
{
    struct logistic_options o = {.epochs = epochs, .batch = batch, .learning_rate = 0.1};
    struct err err;
    uint8_t *data = malloc(f->l->data_bytes);
    assert_non_null(data);
    memcpy(data, f->data, f->l->data_bytes);
    if (logistic_train(f->l, data, &f->d, &o, seed, &err) != 0)
        fail_msg("%s", err.text);
    return data;
}

static void assert_same_model(const struct fixture *f, uint8_t *a, uint8_t *b, bool same)
{
    assert_int_equal(memcmp(a, b, f->l->data_bytes) == 0, same);
    free(a);
    free(b);
}

static void test_seed_and_options_decide_the_model(void **state)
{
    struct fixture *f = *state;
    assert_same_model(f, train(f, 16, 3, seed_a), train(f, 16, 3, seed_a), true);
    assert_same_model(f, train(f, 16, 3, seed_a), train(f, 16, 3, seed_b), false);
    assert_same_model(f, train(f, 16, 3, seed_a), train(f, 32, 3, seed_a), false);
    assert_same_model(f, train(f, 0, 3, seed_a), train(f, 0, 3, seed_b), true);
    assert_same_model(f, train(f, 0, 3, seed_a), train(f, ROWS, 3, seed_a), true);
    assert_same_model(f, train(f, 0, 3, seed_a), train(f, UINT64_MAX, 3, seed_b), true);
    assert_same_model(f, train(f, 0, 0, seed_a), train(f, 16, 0, seed_b), true);
}

static void test_each_example_counts_once_an_epoch(void **state)
{
    struct fixture *f = *state;
    /* One step a row, so small that the gradients hardly differ from those at the start: their sum
     * is rows times the mean gradient, whatever the order, if each row is taken once. */
    double slope[FEATURES + 1], loss, theta[FEATURES + 1], before[FEATURES + 1];
    struct logistic_options o = {.epochs = 1, .batch = 1, .learning_rate = 1e-6};
    read_parameters(f, before);
    assert_int_equal(logistic_gradient(f->l, f->data, &f->d, 0, &loss, slope, NULL), 0);
    assert_int_equal(logistic_train(f->l, f->data, &f->d, &o, seed_b, NULL), 0);
    read_parameters(f, theta);
    for (size_t j = 0; j <= FEATURES; j++)
        assert_near((before[j] - theta[j]) / o.learning_rate, ROWS * slope[j], 0.02);
}

static void test_training_leaves_the_scaling_alone_and_learns(void **state)
{
    struct fixture *f = *state;
    struct logistic_metrics before, after;
    float mean[FEATURES], deviation[FEATURES];
    memcpy(mean, floats_of(f, "input.mean"), sizeof mean);
    memcpy(deviation, floats_of(f, "input.deviation"), sizeof deviation);
    struct logistic_options o = {.epochs = 30, .batch = 10, .learning_rate = 0.1, .l2 = 1e-4};
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &before, NULL), 0);
    assert_int_equal(logistic_train(f->l, f->data, &f->d, &o, seed_a, NULL), 0);
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &after, NULL), 0);
    assert_memory_equal(mean, floats_of(f, "input.mean"), sizeof mean);
    assert_memory_equal(deviation, floats_of(f, "input.deviation"), sizeof deviation);
    assert_true(after.loss < before.loss - 0.1);
    assert_true(after.accuracy > 0.75);
}

static void test_a_constant_feature_keeps_its_weight(void **state)
{
    struct fixture *f = *state;
    struct logistic_options o = {.epochs = 20, .batch = 8, .learning_rate = 0.1};
    assert_true(floats_of(f, "input.deviation")[FEATURES - 1] == 1);
    assert_int_equal(logistic_train(f->l, f->data, &f->d, &o, seed_a, NULL), 0);
    assert_true(floats_of(f, "weight")[FEATURES - 1] == 0);
}

static void test_one_example_can_be_learned(void **state)
{
    struct fixture *f = *state;
    struct dataset one = f->d;
    struct logistic_metrics m;
    struct logistic_options o = {.epochs = 100, .batch = 32, .learning_rate = 1};
    one.rows = 1;
    assert_int_equal(logistic_train(f->l, f->data, &one, &o, seed_a, NULL), 0);
    assert_int_equal(logistic_evaluate(f->l, f->data, &one, &m, NULL), 0);
    assert_true(m.accuracy == 1 && m.loss < 0.05);
}

static void test_a_sure_and_wrong_model_has_a_large_and_finite_loss(void **state)
{
    struct fixture *f = *state;
    struct logistic_metrics m;
    size_t ones = 0;
    for (size_t i = 0; i < ROWS; i++)
        ones += f->d.y[i];
    *floats_of(f, "bias") = 1000;
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &m, NULL), 0);
    assert_near(m.loss, 1000.0 * (double)(ROWS - ones) / ROWS, 1e-9);
    assert_near(m.accuracy, (double)ones / ROWS, 1e-12);
    *floats_of(f, "bias") = -1000;
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &m, NULL), 0);
    assert_near(m.loss, 1000.0 * (double)ones / ROWS, 1e-9);
}

static void test_what_cannot_be_trained_is_refused_and_nothing_written(void **state)
{
    struct fixture *f = *state;
    const struct logistic_options good = {.epochs = 1, .learning_rate = 0.1};
    static const struct {
        double learning_rate, l2;
        int rc;
    } rows[] = {{0, 0, ERR_USAGE},        {-1, 0, ERR_USAGE}, {NAN, 0, ERR_USAGE},
                {INFINITY, 0, ERR_USAGE}, {1, -1, ERR_USAGE}, {1, NAN, ERR_USAGE},
                {1e300, 0, ERR_MALFORMED}};
    uint8_t *before = malloc(f->l->data_bytes);
    memcpy(before, f->data, f->l->data_bytes);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct logistic_options o = {
            .epochs = 3, .learning_rate = rows[i].learning_rate, .l2 = rows[i].l2};
        assert_int_equal(logistic_train(f->l, f->data, &f->d, &o, seed_a, NULL), rows[i].rc);
        assert_memory_equal(f->data, before, f->l->data_bytes);
    }
    free(before);

    struct dataset d = f->d;
    struct err err;
    d.features = FEATURES - 1;
    assert_int_equal(logistic_train(f->l, f->data, &d, &good, seed_a, &err), ERR_USAGE);
    assert_string_equal(err.text, "not a logistic model of 4 features: tensor \"input.deviation\": "
                                  "shape is [5], expected [4]");
    d = f->d;
    d.rows = 0;
    assert_int_equal(logistic_train(f->l, f->data, &d, &good, seed_a, NULL), ERR_USAGE);
    f->d.y[9] = 2;
    assert_int_equal(logistic_train(f->l, f->data, &f->d, &good, seed_a, &err), ERR_USAGE);
    assert_string_equal(err.text, "logistic: example 9 is of class 2; classes are 0 and 1");
}

static void test_a_scaling_that_cannot_divide_is_refused(void **state)
{
    struct fixture *f = *state;
    static const float rows[] = {0.0f, -1.0f, NAN, INFINITY};
    struct logistic_metrics m;
    for (size_t i = 0; i < COUNT(rows); i++) {
        floats_of(f, "input.deviation")[2] = rows[i];
        assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &m, NULL), ERR_MALFORMED);
    }
    floats_of(f, "input.deviation")[2] = 1;
    floats_of(f, "input.mean")[2] = NAN;
    assert_int_equal(logistic_evaluate(f->l, f->data, &f->d, &m, NULL), ERR_MALFORMED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_layout_averages_the_parameters_and_fixes_the_scaling),
        TEST(test_a_new_model_says_one_half),
        TEST(test_the_gradient_is_the_naive_twin_s),
        TEST(test_the_gradient_is_the_slope_of_the_loss),
        TEST(test_full_batches_are_gradient_descent),
        TEST(test_seed_and_options_decide_the_model),
        TEST(test_each_example_counts_once_an_epoch),
        TEST(test_training_leaves_the_scaling_alone_and_learns),
        TEST(test_a_constant_feature_keeps_its_weight),
        TEST(test_one_example_can_be_learned),
        TEST(test_a_sure_and_wrong_model_has_a_large_and_finite_loss),
        TEST(test_what_cannot_be_trained_is_refused_and_nothing_written),
        TEST(test_a_scaling_that_cannot_divide_is_refused),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
