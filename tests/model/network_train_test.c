/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/network_twin.h"

#include <pthread.h>

static const struct network shapes[] = {
    {NETWORK_LOGISTIC, 5, 2, 0, {0}},
    {NETWORK_SOFTMAX, 4, 3, 0, {0}},
    {NETWORK_MLP, 5, 3, 1, {6}},
    {NETWORK_MLP, 4, 4, 2, {7, 5}},
};

enum {
    ROWS = 23
};

/* --- step for step --- */

static double norm(const double *w, const double *from, size_t count)
{
    double sum = 0;
    for (size_t j = 0; j < count; j++)
        sum += (w[j] - from[j]) * (w[j] - from[j]);
    return sqrt(sum);
}

static void test_every_step_is_the_twin_s(void **state)
{
    (void)state;
    static const struct network_options rows[] = {
        {.learning_rate = 0.1},
        {.learning_rate = 0.1, .batch = 1},
        {.learning_rate = 0.1, .batch = 5}, /* the fifth step of a pass has three examples */
        {.learning_rate = 0.1, .batch = 23},
        {.learning_rate = 0.05, .batch = 5, .momentum = 0.9},
        {.learning_rate = 0.1, .batch = 5, .weight_decay = 0.3},
        {.learning_rate = 0.1, .batch = 5, .proximal = 1.5},
        {.learning_rate = 0.05, .batch = 4, .momentum = 0.5, .weight_decay = 0.2, .proximal = 2},
    };
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (size_t i = 0; i < COUNT(rows); i++) {
            struct twin t = twin_new(&shapes[s], ROWS, i % 2 == 0);
            double *start = twin_widen(&t, t.data);
            for (uint64_t steps = 1; steps <= 12; steps++) {
                struct network_options o = rows[i];
                float *got = twin_copy(&t);
                double *want = twin_widen(&t, t.data);
                o.steps = steps;
                MUST(network_train(&t.n, t.l, got, &t.d, &o, seed_a, err));
                twin_train(&t, want, &o, steps, seed_a);
                for (size_t j = 0; j < t.floats; j++)
                    assert_near((double)got[j], want[j], 3e-6 * (1 + fabs(want[j])));
                assert_true(norm(want, start, t.floats) > 1e-3); /* the twin went somewhere */
                free(got);
                free(want);
            }
            free(start);
            twin_free(&t);
        }
}

/* Without these a twin that ignored an option would agree with a network that does. */
static void test_every_option_changes_the_model(void **state)
{
    (void)state;
    const struct network_options plain = {.epochs = 2, .batch = 5, .learning_rate = 0.1};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], ROWS, false);
        float *first = twin_copy(&t);
        MUST(network_train(&t.n, t.l, first, &t.d, &plain, seed_a, err));
        for (int i = 0; i < 6; i++) {
            struct network_options o = plain;
            float *other = twin_copy(&t);
            o.momentum = i == 0 ? 0.5 : 0;
            o.weight_decay = i == 1 ? 0.1 : 0;
            o.proximal = i == 2 ? 0.1 : 0;
            o.learning_rate = i == 3 ? 0.2 : 0.1;
            o.batch = i == 4 ? 6 : 5;
            o.epochs = i == 5 ? 3 : 2;
            MUST(network_train(&t.n, t.l, other, &t.d, &o, seed_a, err));
            assert_memory_not_equal(first, other, (size_t)t.l->data_bytes);
            free(other);
        }
        free(first);
        twin_free(&t);
    }
}

static void test_weight_decay_leaves_biases_alone(void **state)
{
    (void)state;
    /* So strong, and the rate so small, that decay is all that happens. */
    const struct network_options o = {.steps = 1, .learning_rate = 1e-9, .weight_decay = 5e8};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], ROWS, false);
        float *w = twin_copy(&t);
        MUST(network_train(&t.n, t.l, w, &t.d, &o, seed_a, err));
        for (size_t i = 0; i < t.l->tensor_count; i++) {
            const struct tensor *tensor = &t.l->tensors[i];
            double factor = tensor->rank == 2 ? 0.5 : 1;
            for (size_t k = 0; k < tensor->elements; k++) {
                size_t j = (size_t)tensor->offset / 4 + k;
                assert_near((double)w[j], factor * (double)t.data[j], 1e-6);
            }
        }
        free(w);
        twin_free(&t);
    }
}

static void test_the_proximal_term_holds_the_model_to_a_base_that_is_given(void **state)
{
    (void)state;
    struct twin t = twin_new(&shapes[2], ROWS, false);
    float *base = twin_copy(&t), *w = twin_copy(&t);
    for (size_t j = 0; j < t.floats; j++)
        base[j] += 0.5f;
    /* One step of rate 1/proximal goes all the way, but for the loss' own slope. */
    const struct network_options o = {
        .steps = 1, .learning_rate = 1e-6, .proximal = 1e6, .base = base};
    MUST(network_train(&t.n, t.l, w, &t.d, &o, seed_a, err));
    for (size_t i = 0; i < t.l->tensor_count; i++)
        for (size_t k = 0; k < t.l->tensors[i].elements; k++) {
            size_t j = (size_t)t.l->tensors[i].offset / 4 + k;
            bool fixed = t.l->tensors[i].use == USE_FIXED;
            assert_near((double)w[j], (double)(fixed ? t.data[j] : base[j]), 1e-5);
        }
    free(base);
    free(w);
    twin_free(&t);
}

/* --- passes --- */

static float *trained(const struct twin *t, const struct network_options *o, const uint8_t *seed)
{
    float *data = twin_copy(t);
    MUST(network_train(&t->n, t->l, data, &t->d, o, seed, err));
    return data;
}

static void assert_same_model(const struct twin *t, float *a, float *b, bool same)
{
    assert_int_equal(memcmp(a, b, (size_t)t->l->data_bytes) == 0, same);
    free(a);
    free(b);
}

static void test_seed_and_options_decide_the_model(void **state)
{
    (void)state;
    const struct network_options small = {.epochs = 3,
                                          .batch = 4,
                                          .learning_rate = 0.1,
                                          .momentum = 0.5},
                                 all = {.epochs = 3, .learning_rate = 0.1},
                                 exact = {.epochs = 3, .batch = ROWS, .learning_rate = 0.1},
                                 more = {.epochs = 3, .batch = UINT64_MAX, .learning_rate = 0.1};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], ROWS, true);
        assert_same_model(&t, trained(&t, &small, seed_a), trained(&t, &small, seed_a), true);
        assert_same_model(&t, trained(&t, &small, seed_a), trained(&t, &small, seed_b), false);
        assert_same_model(&t, trained(&t, &all, seed_a), trained(&t, &all, seed_b), true);
        assert_same_model(&t, trained(&t, &all, seed_a), trained(&t, &exact, seed_b), true);
        assert_same_model(&t, trained(&t, &all, seed_a), trained(&t, &more, seed_b), true);
        twin_free(&t);
    }
}

static void test_epochs_are_as_many_steps_as_batches_fit_in(void **state)
{
    (void)state;
    static const struct {
        uint64_t batch, epochs, steps;
    } rows[] = {{0, 3, 3}, {23, 3, 3}, {22, 2, 4}, {5, 2, 10}, {1, 2, 46}};
    struct twin t = twin_new(&shapes[2], ROWS, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct network_options epochs = {
            .epochs = rows[i].epochs, .batch = rows[i].batch, .learning_rate = 0.1};
        struct network_options steps = {
            .steps = rows[i].steps, .batch = rows[i].batch, .learning_rate = 0.1};
        assert_same_model(&t, trained(&t, &epochs, seed_a), trained(&t, &steps, seed_a), true);
        steps.steps++;
        assert_same_model(&t, trained(&t, &epochs, seed_a), trained(&t, &steps, seed_a), false);
    }
    twin_free(&t);
}

/* One step a row, so small that the gradients hardly differ from those at the start: their sum is
 * rows times the mean gradient, whatever the order, if each row is taken once. */
static void test_each_example_counts_once_an_epoch(void **state)
{
    (void)state;
    const struct network_options o = {.epochs = 1, .batch = 1, .learning_rate = 1e-6};
    for (size_t s = 0; s < 2; s++) { /* new models are 0, which leaves f32 all its digits */
        struct twin t = twin_new(&shapes[s], 203, false);
        struct network_slope slope = {.gradient = twin_copy(&t)};
        network_init(&t.n, t.l, seed_a, t.data);
        MUST(network_gradient(&t.n, t.l, t.data, &t.d, &o, &slope, err));
        float *w = trained(&t, &o, seed_b);
        for (size_t j = 0; j < t.floats; j++)
            assert_near((double)(t.data[j] - w[j]) / o.learning_rate,
                        203 * (double)slope.gradient[j], 0.05);
        free(w);
        free(slope.gradient);
        twin_free(&t);
    }
}

static void
test_training_leaves_the_scaling_alone_and_a_constant_feature_without_weight(void **state)
{
    (void)state;
    const struct network_options o = {
        .epochs = 20, .batch = 8, .learning_rate = 0.1, .momentum = 0.5};
    struct twin t = twin_new(&shapes[1], ROWS, true);
    float mean[4], deviation[4];
    network_init(&t.n, t.l, seed_a, t.data);
    twin_tensor(&t, t.data, "input.mean")[3] = 3.25f;
    for (size_t i = 0; i < ROWS; i++)
        t.d.x[4 * i + 3] = 3.25f;
    memcpy(mean, twin_tensor(&t, t.data, "input.mean"), sizeof mean);
    memcpy(deviation, twin_tensor(&t, t.data, "input.deviation"), sizeof deviation);
    MUST(network_train(&t.n, t.l, t.data, &t.d, &o, seed_a, err));
    assert_memory_equal(mean, twin_tensor(&t, t.data, "input.mean"), sizeof mean);
    assert_memory_equal(deviation, twin_tensor(&t, t.data, "input.deviation"), sizeof deviation);
    for (size_t c = 0; c < 3; c++) {
        assert_true(twin_tensor(&t, t.data, "weight")[4 * c + 3] == 0);
        assert_true(twin_tensor(&t, t.data, "weight")[4 * c] != 0);
    }
    twin_free(&t);
}

/* --- learning --- */

static void test_one_example_can_be_learned(void **state)
{
    (void)state;
    const struct network_options o = {.epochs = 200, .batch = 32, .learning_rate = 0.5};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], 1, false);
        struct network_metrics m;
        network_init(&t.n, t.l, seed_a, t.data);
        MUST(network_train(&t.n, t.l, t.data, &t.d, &o, seed_a, err));
        MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
        assert_true(m.correct == 1 && m.accuracy == 1 && m.loss < 0.05);
        twin_free(&t);
    }
}

/* Four clouds on the corners of a square, opposite corners being of one class. */
static double learn_corners(const struct network *n, const struct network_options *o)
{
    struct twin t = twin_new(n, 400, false);
    struct random_stream s;
    struct network_metrics m;
    random_stream_init(&s, seed_b);
    for (size_t i = 0; i < 400; i++) {
        bool right = i % 2 == 0, up = i % 4 < 2;
        t.d.x[2 * i] = (float)((right ? 1 : -1) + random_stream_unit(&s) - 0.5);
        t.d.x[2 * i + 1] = (float)((up ? 1 : -1) + random_stream_unit(&s) - 0.5);
        t.d.y[i] = right == up;
    }
    network_init(n, t.l, seed_a, t.data);
    MUST(network_train(n, t.l, t.data, &t.d, o, seed_a, err));
    MUST(network_evaluate(n, t.l, t.data, &t.d, &m, err));
    twin_free(&t);
    return m.accuracy;
}

static void test_an_mlp_learns_what_no_plane_separates(void **state)
{
    (void)state;
    static const struct network logistic = {NETWORK_LOGISTIC, 2, 2, 0, {0}},
                                softmax = {NETWORK_SOFTMAX, 2, 2, 0, {0}},
                                mlp = {NETWORK_MLP, 2, 2, 1, {8}};
    const struct network_options o = {
        .epochs = 30, .batch = 10, .learning_rate = 0.1, .momentum = 0.9};
    assert_true(learn_corners(&mlp, &o) > 0.99);
    assert_true(learn_corners(&logistic, &o) < 0.8);
    assert_true(learn_corners(&softmax, &o) < 0.8);
}

/* --- what is refused --- */

static void test_what_cannot_be_trained_is_refused_and_nothing_written(void **state)
{
    (void)state;
    static const struct {
        struct network_options o;
        int rc;
        const char *words;
    } rows[] = {
        {{.epochs = 1, .learning_rate = 0}, ERR_USAGE, "learning rate"},
        {{.epochs = 1, .learning_rate = -1}, ERR_USAGE, "learning rate"},
        {{.epochs = 1, .learning_rate = NAN}, ERR_USAGE, "learning rate"},
        {{.epochs = 1, .learning_rate = INFINITY}, ERR_USAGE, "learning rate"},
        {{.epochs = 1, .learning_rate = 1e300}, ERR_USAGE, "learning rate"}, /* no f32 */
        {{.epochs = 0, .learning_rate = 1}, ERR_USAGE, "either epochs or steps"},
        {{.epochs = 1, .steps = 1, .learning_rate = 1}, ERR_USAGE, "either epochs or steps"},
        {{.epochs = 1, .learning_rate = 1, .momentum = 1}, ERR_USAGE, "momentum"},
        {{.epochs = 1, .learning_rate = 1, .momentum = -0.1}, ERR_USAGE, "momentum"},
        {{.epochs = 1, .learning_rate = 1, .momentum = NAN}, ERR_USAGE, "momentum"},
        {{.epochs = 1, .learning_rate = 1, .weight_decay = -1}, ERR_USAGE, "weight_decay"},
        {{.epochs = 1, .learning_rate = 1, .weight_decay = NAN}, ERR_USAGE, "weight_decay"},
        {{.epochs = 1, .learning_rate = 1, .proximal = -1}, ERR_USAGE, "proximal"},
        {{.epochs = 1, .learning_rate = 1, .proximal = INFINITY}, ERR_USAGE, "proximal"},
        {{.epochs = 30, .learning_rate = 10, .weight_decay = 1e3}, ERR_MALFORMED, "not finite"},
    };
    for (size_t s = 0; s < COUNT(shapes); s++) {
        struct twin t = twin_new(&shapes[s], ROWS, false);
        float *before = twin_copy(&t);
        for (size_t i = 0; i < COUNT(rows); i++) {
            struct err why = {0};
            assert_int_equal(network_train(&t.n, t.l, t.data, &t.d, &rows[i].o, seed_a, &why),
                             rows[i].rc);
            if (strstr(why.text, rows[i].words) == NULL)
                fail_msg("%s: %s", rows[i].words, why.text);
            assert_memory_equal(t.data, before, (size_t)t.l->data_bytes);
        }
        const struct network_options good = {.epochs = 1, .learning_rate = 0.1};
        t.d.features++;
        assert_int_equal(network_train(&t.n, t.l, t.data, &t.d, &good, seed_a, NULL), ERR_USAGE);
        t.d.features--;
        t.d.y[ROWS - 1] = (uint32_t)t.n.classes;
        assert_int_equal(network_train(&t.n, t.l, t.data, &t.d, &good, seed_a, NULL), ERR_USAGE);
        assert_memory_equal(t.data, before, (size_t)t.l->data_bytes);
        free(before);
        twin_free(&t);
    }
}

static void *set(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

static void test_cancelled_training_leaves_the_model_as_it_was(void **state)
{
    (void)state;
    struct twin t = twin_new(&shapes[3], ROWS, false);
    float *before = twin_copy(&t);
    atomic_bool cancel = true;
    struct network_options o = {.epochs = 1, .learning_rate = 0.1, .cancel = &cancel};
    struct err why = {0};
    assert_int_equal(network_train(&t.n, t.l, t.data, &t.d, &o, seed_a, &why), ERR_TIMEOUT);
    assert_string_equal(why.text, "mlp: cancelled");
    assert_memory_equal(t.data, before, (size_t)t.l->data_bytes);
    cancel = false;
    o.epochs = UINT64_MAX; /* ends because it is told to, or not at all */
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, set, &cancel), 0);
    assert_int_equal(network_train(&t.n, t.l, t.data, &t.d, &o, seed_a, NULL), ERR_TIMEOUT);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_memory_equal(t.data, before, (size_t)t.l->data_bytes);
    free(before);
    twin_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_is_the_twin_s),
        cmocka_unit_test(test_every_option_changes_the_model),
        cmocka_unit_test(test_weight_decay_leaves_biases_alone),
        cmocka_unit_test(test_the_proximal_term_holds_the_model_to_a_base_that_is_given),
        cmocka_unit_test(test_seed_and_options_decide_the_model),
        cmocka_unit_test(test_epochs_are_as_many_steps_as_batches_fit_in),
        cmocka_unit_test(test_each_example_counts_once_an_epoch),
        cmocka_unit_test(
            test_training_leaves_the_scaling_alone_and_a_constant_feature_without_weight),
        cmocka_unit_test(test_one_example_can_be_learned),
        cmocka_unit_test(test_an_mlp_learns_what_no_plane_separates),
        cmocka_unit_test(test_what_cannot_be_trained_is_refused_and_nothing_written),
        cmocka_unit_test(test_cancelled_training_leaves_the_model_as_it_was),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
