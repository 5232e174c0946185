/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/network_twin.h"

static const struct network shapes[] = {
    {NETWORK_LOGISTIC, 5, 2, 0, {0}},   {NETWORK_LOGISTIC, 1, 2, 0, {0}},
    {NETWORK_SOFTMAX, 5, 2, 0, {0}},    {NETWORK_SOFTMAX, 7, 4, 0, {0}},
    {NETWORK_MLP, 5, 3, 1, {4}},        {NETWORK_MLP, 3, 2, 1, {1}},
    {NETWORK_MLP, 6, 4, 3, {8, 5, 3}},  {NETWORK_MLP, 1, 2, 1, {2}},
    {NETWORK_MLP, 17, 11, 2, {20, 13}},
};

/* --- kinds and layouts --- */

static void test_kinds_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"logistic", "softmax", "mlp"};
    static const char *const others[] = {"", "Logistic", "mlp ", "external", "resnet"};
    enum network_kind kind = NETWORK_SOFTMAX;
    for (unsigned i = 0; i < COUNT(names); i++) {
        assert_true(network_parse_kind(names[i], &kind));
        assert_int_equal(kind, i);
        assert_string_equal(network_kind_name(kind), names[i]);
    }
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(network_parse_kind(others[i], &kind));
}

static void assert_tensor(const struct layout *l, const char *name, enum use use, size_t rows,
                          size_t columns)
{
    const struct tensor *t = layout_find(l, name);
    if (t == NULL)
        fail_msg("no tensor %s", name);
    assert_int_equal(t->dtype, DTYPE_F32);
    assert_int_equal(t->use, use);
    assert_int_equal(t->rank, columns == 0 ? 1 : 2);
    assert_int_equal(t->shape[0], rows);
    if (columns != 0)
        assert_int_equal(t->shape[1], columns);
}

static void test_layouts_average_the_parameters_and_fix_the_scaling(void **state)
{
    (void)state;
    static const struct network logistic = {NETWORK_LOGISTIC, 30, 2, 0, {0}},
                                softmax = {NETWORK_SOFTMAX, 30, 3, 0, {0}},
                                mlp = {NETWORK_MLP, 784, 10, 2, {200, 100}};
    struct layout *l;
    MUST(network_layout(&logistic, &l, err));
    assert_int_equal(l->tensor_count, 4);
    assert_tensor(l, "weight", USE_MEAN, 1, 30);
    assert_tensor(l, "bias", USE_MEAN, 1, 0);
    assert_tensor(l, "input.mean", USE_FIXED, 30, 0);
    assert_tensor(l, "input.deviation", USE_FIXED, 30, 0);
    assert_int_equal(layout_update_bytes(l), 4 * 31);
    layout_free(l);
    MUST(network_layout(&softmax, &l, err));
    assert_int_equal(l->tensor_count, 4);
    assert_tensor(l, "weight", USE_MEAN, 3, 30);
    assert_tensor(l, "bias", USE_MEAN, 3, 0);
    layout_free(l);
    MUST(network_layout(&mlp, &l, err));
    assert_int_equal(l->tensor_count, 8);
    assert_tensor(l, "layers.0.weight", USE_MEAN, 200, 784);
    assert_tensor(l, "layers.0.bias", USE_MEAN, 200, 0);
    assert_tensor(l, "layers.1.weight", USE_MEAN, 100, 200);
    assert_tensor(l, "layers.1.bias", USE_MEAN, 100, 0);
    assert_tensor(l, "layers.2.weight", USE_MEAN, 10, 100);
    assert_tensor(l, "layers.2.bias", USE_MEAN, 10, 0);
    assert_tensor(l, "input.mean", USE_FIXED, 784, 0);
    assert_int_equal(layout_update_bytes(l), 4 * (200 * 785 + 100 * 201 + 10 * 101));
    layout_free(l);
}

static void test_shapes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    enum {
        MOST = NETWORK_WIDTH_MAX
    };
    static const struct {
        struct network n;
        int rc;
        const char *words;
    } rows[] = {
        {{NETWORK_LOGISTIC, 0, 2, 0, {0}}, ERR_USAGE, "no features"},
        {{NETWORK_LOGISTIC, 3, 3, 0, {0}}, ERR_USAGE, "softmax does"},
        {{NETWORK_SOFTMAX, 3, 1, 0, {0}}, ERR_USAGE, "two classes"},
        {{NETWORK_SOFTMAX, 3, 0, 0, {0}}, ERR_USAGE, "two classes"},
        {{NETWORK_SOFTMAX, 3, 3, 1, {4}}, ERR_USAGE, "it has no hidden layers"},
        {{NETWORK_LOGISTIC, 3, 2, 1, {4}}, ERR_USAGE, "it has no hidden layers"},
        {{NETWORK_MLP, 3, 3, 0, {0}}, ERR_USAGE, "without hidden layers"},
        {{NETWORK_MLP, 3, 3, 2, {4, 0}}, ERR_USAGE, "hidden layer 2 has 0 units"},
        {{NETWORK_MLP, 3, 3, 2, {MOST + 1, 1}}, ERR_LIMIT, "hidden layer 1"},
        {{NETWORK_MLP, 3, 3, NETWORK_HIDDEN_MAX + 1, {1, 1, 1, 1, 1, 1, 1, 1}},
         ERR_LIMIT,
         "more than 8 hidden layers"},
        {{NETWORK_SOFTMAX, MOST + 1, 2, 0, {0}}, ERR_LIMIT, "features or classes"},
        {{NETWORK_SOFTMAX, 1, MOST + 1, 0, {0}}, ERR_LIMIT, "features or classes"},
        {{NETWORK_MLP, MOST, 2, 2, {MOST, MOST}}, ERR_LIMIT, "bytes of parameters"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct layout *l = NULL;
        struct err why = {0};
        assert_int_equal(network_layout(&rows[i].n, &l, &why), rows[i].rc);
        if (strstr(why.text, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].words, why.text);
        assert_null(l);
    }
}

static void test_as_many_layers_as_the_limit_allows(void **state)
{
    (void)state;
    static const struct network deep = {
        NETWORK_MLP, 2, 3, NETWORK_HIDDEN_MAX, {3, 4, 5, 6, 7, 8, 9, 10}};
    struct twin t = twin_new(&deep, 5, true);
    struct network found;
    struct network_metrics m;
    double *w = twin_widen(&t, t.data);
    MUST(network_of(t.l, &found, err));
    assert_memory_equal(&found, &deep, sizeof deep);
    MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
    assert_near(m.loss, twin_loss(&t, w, NULL, 5, NULL), 1e-4);
    free(w);
    twin_free(&t);
}

static void test_a_layout_tells_its_network(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct layout *l;
        struct network found;
        memset(&found, 0xff, sizeof found);
        MUST(network_layout(&shapes[i], &l, err));
        MUST(network_of(l, &found, err));
        assert_int_equal(found.kind, shapes[i].kind);
        assert_int_equal(found.features, shapes[i].features);
        assert_int_equal(found.classes, shapes[i].classes);
        assert_int_equal(found.hidden_count, shapes[i].hidden_count);
        assert_memory_equal(found.hidden, shapes[i].hidden,
                            shapes[i].hidden_count * sizeof *found.hidden);
        MUST(network_check(&shapes[i], l, err));
        if (i > 0)
            assert_int_equal(network_check(&shapes[i - 1], l, NULL), ERR_MALFORMED);
        layout_free(l);
    }
}

/* Changes one tensor of an mlp 3-4-2 and looks what is said of it. */
static void test_layouts_that_are_no_network_s_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct tensor with; /* of rank 0: without it */
    } rows[] = {
        {"layers.0.weight", {.rank = 1, .shape = {12}, .dtype = DTYPE_F32}},
        {"layers.0.weight", {.rank = 2, .shape = {4, 5}, .dtype = DTYPE_F32}},
        {"layers.1.weight", {.rank = 2, .shape = {2, 5}, .dtype = DTYPE_F32}},
        {"layers.1.weight", {.rank = 2, .shape = {1, 4}, .dtype = DTYPE_F32}},
        {"layers.1.weight", {.rank = 2, .shape = {1u << 17, 4}, .dtype = DTYPE_F32}},
        {"layers.1.bias", {.rank = 1, .shape = {3}, .dtype = DTYPE_F32}},
        {"layers.0.bias", {.rank = 1, .shape = {4}, .dtype = DTYPE_F64}},
        {"input.mean", {.rank = 1, .shape = {3}, .dtype = DTYPE_F32, .use = USE_MEAN}},
        {"input.mean", {.rank = 1, .shape = {2}, .dtype = DTYPE_F32, .use = USE_FIXED}},
        {"input.mean", {.rank = 0}},
        {"layers.0.weight", {.rank = 0}},
        {"layers.1.weight", {.rank = 0}},
    };
    static const struct network mlp = {NETWORK_MLP, 3, 2, 1, {4}};
    struct layout *l;
    MUST(network_layout(&mlp, &l, err));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tensor tensors[6];
        struct layout *changed;
        struct network found;
        size_t count = 0;
        for (size_t k = 0; k < l->tensor_count; k++) {
            tensors[count] = l->tensors[k];
            if (strcmp(l->tensors[k].name, rows[i].name) == 0) {
                if (rows[i].with.rank == 0)
                    continue;
                tensors[count] = rows[i].with;
                tensors[count].name = l->tensors[k].name;
            }
            count++;
        }
        MUST(layout_new(tensors, count, &changed, err));
        struct err why = {0};
        if (network_of(changed, &found, &why) != ERR_MALFORMED)
            fail_msg("row %zu was taken", i);
        assert_non_null(strstr(why.text, "not a network that is known here"));
        assert_int_equal(network_check(&mlp, changed, NULL), ERR_MALFORMED);
        layout_free(changed);
    }
    layout_free(l);
}

/* --- init --- */

static void test_a_new_model_without_hidden_layers_is_zero_and_says_even_odds(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct twin t = twin_new(&shapes[i], 40, false);
        struct network_metrics m;
        memset(t.data, 0xff, (size_t)t.l->data_bytes);
        network_init(&t.n, t.l, seed_b, t.data);
        for (size_t k = 0; k < t.l->tensor_count; k++) {
            const struct tensor *tensor = &t.l->tensors[k];
            float want = strcmp(tensor->name, "input.deviation") == 0 ? 1.0f : 0.0f;
            for (size_t j = 0; j < tensor->elements; j++)
                assert_true(t.data[tensor->offset / 4 + j] == want);
        }
        MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
        assert_near(m.loss, log((double)t.n.classes), 1e-12);
        uint64_t chosen = 0; /* p = 1/2 is class 1; of equal outputs the first */
        for (size_t row = 0; row < t.d.rows; row++)
            chosen += t.d.y[row] == (t.n.kind == NETWORK_LOGISTIC);
        assert_int_equal(m.correct, chosen);
        twin_free(&t);
    }
}

static void test_an_mlp_s_weights_are_drawn_layer_by_layer_within_their_bounds(void **state)
{
    (void)state;
    static const struct network mlp = {NETWORK_MLP, 6, 4, 3, {8, 5, 3}};
    struct twin t = twin_new(&mlp, 1, false);
    struct random_stream s;
    network_init(&t.n, t.l, seed_b, t.data);
    random_stream_init(&s, seed_b);
    for (size_t i = 0; i <= mlp.hidden_count; i++) {
        struct network_layer layer = network_layer(&mlp, i);
        const float *weight = twin_tensor(&t, t.data, layer.weight);
        const float *bias = twin_tensor(&t, t.data, layer.bias);
        double bound = sqrt(6.0 / (double)layer.in);
        for (size_t j = 0; j < layer.in * layer.out; j++) {
            assert_true(weight[j] == (float)((2 * random_stream_unit(&s) - 1) * bound));
            assert_true(fabsf(weight[j]) <= (float)bound);
        }
        for (size_t j = 0; j < layer.out; j++)
            assert_true(bias[j] == 0);
    }
    for (size_t j = 0; j < mlp.features; j++) {
        assert_true(twin_tensor(&t, t.data, "input.mean")[j] == 0);
        assert_true(twin_tensor(&t, t.data, "input.deviation")[j] == 1);
    }
    twin_free(&t);
}

/* The same bytes on every machine; pinned from a twin in Python, its stream from `openssl enc
 * -chacha20`. */
static void test_a_seed_s_initial_model_is_what_it_always_was(void **state)
{
    (void)state;
    static const struct network mlp = {NETWORK_MLP, 784, 10, 2, {200, 200}};
    static const char pinned[] = "371e03f5157b132f0ad66f4ab9cf30597d625880f587a650ad27153ad2762189";
    uint8_t digest[HASH_BYTES];
    char hex[2 * HASH_BYTES + 1];
    struct layout *l;
    MUST(network_layout(&mlp, &l, err));
    uint8_t *data = malloc((size_t)l->data_bytes);
    assert_non_null(data);
    network_init(&mlp, l, seed_a, data);
    hash_sha256(bytes_of(data, (size_t)l->data_bytes), digest);
    bytes_format_hex(bytes_of(digest, HASH_BYTES), hex);
    assert_string_equal(hex, pinned);
    network_init(&mlp, l, seed_b, data);
    hash_sha256(bytes_of(data, (size_t)l->data_bytes), digest);
    bytes_format_hex(bytes_of(digest, HASH_BYTES), hex);
    assert_string_not_equal(hex, pinned);
    free(data);
    layout_free(l);
}

/* --- loss and gradient --- */

/* Every parameter's slope against the difference of the twin's losses on both sides of it. */
static void check_gradient(const struct network *n, size_t rows, bool scaled,
                           const struct network_options *o)
{
    struct twin t = twin_new(n, rows, scaled);
    double *w = twin_widen(&t, t.data), *base = twin_widen(&t, t.data);
    struct network_slope slope = {.gradient = malloc((size_t)t.l->data_bytes)};
    const double step = 1e-6;
    assert_non_null(slope.gradient);
    if (o->base != NULL)
        for (size_t j = 0; j < t.floats; j++)
            base[j] = (double)((const float *)o->base)[j];
    memset(slope.gradient, 0xff, (size_t)t.l->data_bytes);
    MUST(network_gradient(&t.n, t.l, t.data, &t.d, o, &slope, err));
    double loss = twin_loss(&t, w, NULL, rows, NULL) + twin_terms(&t, w, base, o, NULL);
    assert_near(slope.loss, loss, 1e-5 * (1 + loss));
    for (size_t i = 0; i < t.l->tensor_count; i++) {
        const struct tensor *tensor = &t.l->tensors[i];
        for (size_t k = 0; k < tensor->elements; k++) {
            size_t j = (size_t)tensor->offset / 4 + k;
            if (tensor->use == USE_FIXED) {
                assert_true(slope.gradient[j] == 0);
                continue;
            }
            double at = w[j];
            w[j] = at + step;
            double up = twin_loss(&t, w, NULL, rows, NULL) + twin_terms(&t, w, base, o, NULL);
            w[j] = at - step;
            double down = twin_loss(&t, w, NULL, rows, NULL) + twin_terms(&t, w, base, o, NULL);
            w[j] = at;
            double want = (up - down) / (2 * step);
            assert_near((double)slope.gradient[j], want, 2e-5 * (1 + fabs(want)));
        }
    }
    free(slope.gradient);
    free(w);
    free(base);
    twin_free(&t);
}

static void test_gradients_are_the_slopes_of_the_losses(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 2, 7, 40};
    const struct network_options plain = {.epochs = 1};
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (size_t k = 0; k < COUNT(rows); k++)
            check_gradient(&shapes[i], rows[k], k % 2 == 0, &plain);
}

static void test_gradients_have_the_terms_of_weight_decay_and_proximity(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct twin elsewhere = twin_new(&shapes[i], 1, false);
        for (size_t j = 0; j < elsewhere.floats; j++)
            elsewhere.data[j] = 0.125f * (float)(j % 7) - 0.25f;
        const struct network_options rows[] = {
            {.weight_decay = 0.5},
            {.proximal = 0.75, .base = elsewhere.data},
            {.proximal = 0.75}, /* from the model itself it is nothing away */
            {.weight_decay = 0.5, .proximal = 0.75, .base = elsewhere.data},
        };
        for (size_t k = 0; k < COUNT(rows); k++)
            check_gradient(&shapes[i], 9, true, &rows[k]);
        twin_free(&elsewhere);
    }
}

/* More rows than go through at once: the last part is short. */
static void test_large_batches_go_through_in_parts(void **state)
{
    (void)state;
    const struct network_options plain = {.epochs = 1};
    check_gradient(&shapes[0], 1100, false, &plain);
    check_gradient(&shapes[3], 1025, true, &plain);
    check_gradient(&shapes[6], 1100, true, &plain);
    check_gradient(&shapes[6], 1024, false, &plain);
}

/* --- evaluate --- */

static void test_metrics_are_the_twin_s(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct twin t = twin_new(&shapes[i], 1300, i % 2 == 0);
        double a[NETWORK_HIDDEN_MAX + 2][TWIN_WIDTH], *w = twin_widen(&t, t.data);
        const double *z = a[t.n.hidden_count + 1];
        struct network_metrics m;
        uint64_t correct = 0;
        for (size_t row = 0; row < t.d.rows; row++) {
            uint32_t best = 0;
            twin_forward(&t, w, row, a);
            for (uint32_t c = 1; c < t.n.classes && t.n.kind != NETWORK_LOGISTIC; c++)
                best = z[c] > z[best] ? c : best;
            if (t.n.kind == NETWORK_LOGISTIC)
                best = z[0] >= 0;
            correct += best == t.d.y[row];
        }
        MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
        assert_int_equal(m.correct, correct);
        assert_near(m.accuracy, (double)correct / 1300, 1e-12);
        assert_near(m.loss, twin_loss(&t, w, NULL, 1300, NULL), 1e-5);
        free(w);
        twin_free(&t);
    }
}

static void test_a_sure_and_wrong_model_has_a_large_and_finite_loss(void **state)
{
    (void)state;
    static const struct network logistic = {NETWORK_LOGISTIC, 2, 2, 0, {0}},
                                softmax = {NETWORK_SOFTMAX, 2, 3, 0, {0}};
    struct network_metrics m;
    struct twin t = twin_new(&logistic, 203, false);
    size_t ones = 0, first = 0;
    network_init(&t.n, t.l, seed_a, t.data);
    for (size_t i = 0; i < t.d.rows; i++)
        ones += t.d.y[i];
    *twin_tensor(&t, t.data, "bias") = 1000;
    MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
    assert_near(m.loss, 1000.0 * (double)(203 - ones) / 203, 1e-9);
    assert_int_equal(m.correct, ones);
    *twin_tensor(&t, t.data, "bias") = -1000;
    MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
    assert_near(m.loss, 1000.0 * (double)ones / 203, 1e-9);
    twin_free(&t);

    t = twin_new(&softmax, 203, false);
    network_init(&t.n, t.l, seed_a, t.data);
    for (size_t i = 0; i < t.d.rows; i++)
        first += t.d.y[i] == 0;
    *twin_tensor(&t, t.data, "bias") = 1000;
    MUST(network_evaluate(&t.n, t.l, t.data, &t.d, &m, err));
    assert_near(m.loss, 1000.0 * (double)(203 - first) / 203, 1e-9);
    assert_int_equal(m.correct, first);
    twin_free(&t);
}

static void test_a_scaling_that_cannot_divide_is_refused(void **state)
{
    (void)state;
    static const float rows[] = {0.0f, -1.0f, NAN, INFINITY};
    struct twin t = twin_new(&shapes[4], 5, true);
    struct network_metrics m;
    struct err why = {0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        twin_tensor(&t, t.data, "input.deviation")[2] = rows[i];
        assert_int_equal(network_evaluate(&t.n, t.l, t.data, &t.d, &m, &why), ERR_MALFORMED);
        assert_non_null(strstr(why.text, "feature 2 cannot be scaled"));
    }
    twin_tensor(&t, t.data, "input.deviation")[2] = 1;
    twin_tensor(&t, t.data, "input.mean")[2] = NAN;
    assert_int_equal(network_evaluate(&t.n, t.l, t.data, &t.d, &m, NULL), ERR_MALFORMED);
    twin_free(&t);
}

static void test_data_of_another_shape_is_refused(void **state)
{
    (void)state;
    struct twin t = twin_new(&shapes[4], 10, false);
    struct network other = t.n;
    struct network_metrics m = {.loss = 5};
    struct err why = {0};
    t.d.features--;
    assert_int_equal(network_evaluate(&t.n, t.l, t.data, &t.d, &m, &why), ERR_USAGE);
    assert_string_equal(why.text, "mlp: the data has 4 features, the model 5");
    t.d.features++;
    t.d.rows = 0;
    assert_int_equal(network_evaluate(&t.n, t.l, t.data, &t.d, &m, &why), ERR_USAGE);
    assert_string_equal(why.text, "mlp: no examples");
    t.d.rows = 10;
    t.d.y[9] = 3;
    assert_int_equal(network_evaluate(&t.n, t.l, t.data, &t.d, &m, &why), ERR_USAGE);
    assert_string_equal(why.text, "mlp: example 9 is not of a class below 3");
    t.d.y[9] = 2;
    other.hidden[0]++;
    assert_int_equal(network_evaluate(&other, t.l, t.data, &t.d, &m, &why), ERR_USAGE);
    assert_non_null(strstr(why.text, "shape is [4], expected [5]"));
    assert_true(m.loss == 5);
    twin_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_have_names),
        cmocka_unit_test(test_layouts_average_the_parameters_and_fix_the_scaling),
        cmocka_unit_test(test_shapes_that_make_no_sense_are_refused),
        cmocka_unit_test(test_as_many_layers_as_the_limit_allows),
        cmocka_unit_test(test_a_layout_tells_its_network),
        cmocka_unit_test(test_layouts_that_are_no_network_s_are_refused),
        cmocka_unit_test(test_a_new_model_without_hidden_layers_is_zero_and_says_even_odds),
        cmocka_unit_test(test_an_mlp_s_weights_are_drawn_layer_by_layer_within_their_bounds),
        cmocka_unit_test(test_a_seed_s_initial_model_is_what_it_always_was),
        cmocka_unit_test(test_gradients_are_the_slopes_of_the_losses),
        cmocka_unit_test(test_gradients_have_the_terms_of_weight_decay_and_proximity),
        cmocka_unit_test(test_large_batches_go_through_in_parts),
        cmocka_unit_test(test_metrics_are_the_twin_s),
        cmocka_unit_test(test_a_sure_and_wrong_model_has_a_large_and_finite_loss),
        cmocka_unit_test(test_a_scaling_that_cannot_divide_is_refused),
        cmocka_unit_test(test_data_of_another_shape_is_refused),
    };
    gemm_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
