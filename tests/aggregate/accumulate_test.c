/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <float.h>
#include <math.h>

#include "aggregate/accumulate.h"

#define ELEMENTS 5000 /* whole tiles and a short one */
#define UPDATES  7

static const uint32_t weights[UPDATES] = {
    ACCUMULATE_WEIGHT_MAX, 1, 536870909, 3, 402653189, 17, 268435399};

/* Any finite f32: every exponent, subnormals and both zeros among them. */
static float any_float(struct random_stream *s)
{
    for (;;) {
        uint32_t bits = (uint32_t)random_stream_u64(s);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            return value;
    }
}

static float *make_deltas(const char *seed)
{
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    float *out = malloc(UPDATES * ELEMENTS * sizeof *out);
    assert_non_null(out);
    hash_sha256(bytes_of_text(seed), key);
    random_stream_init(&s, key);
    for (size_t i = 0; i < UPDATES * ELEMENTS; i++)
        out[i] = any_float(&s);
    /* One exponent for all updates in every other element, where the order of a sum shows. */
    for (size_t i = 0; i < UPDATES * ELEMENTS; i += 2)
        out[i] = (float)(random_stream_unit(&s) - 0.5);
    return out;
}

typedef void add_function(double *acc, const float *delta, size_t n, uint32_t weight);

static double *sum(const float *deltas, add_function *add, size_t first)
{
    double *acc = calloc(ELEMENTS, sizeof *acc);
    assert_non_null(acc);
    for (size_t k = 0; k < UPDATES; k++) {
        size_t i = (first + k) % UPDATES;
        add(acc, deltas + i * ELEMENTS, ELEMENTS, weights[i]);
    }
    return acc;
}

static void test_blas_and_the_plain_loop_give_the_same_bits(void **state)
{
    (void)state;
    float *deltas = make_deltas("blas");
    double *fast = sum(deltas, accumulate_add_f32, 0);
    double *naive = sum(deltas, accumulate_add_f32_naive, 0);
    assert_memory_equal(fast, naive, ELEMENTS * sizeof *fast);
    free(naive);
    free(fast);
    free(deltas);
}

static void test_another_order_of_updates_gives_other_bits(void **state)
{
    (void)state;
    float *deltas = make_deltas("order");
    double *first = sum(deltas, accumulate_add_f32, 0);
    double *other = sum(deltas, accumulate_add_f32, 3);
    assert_memory_not_equal(first, other, ELEMENTS * sizeof *first);
    free(other);
    free(first);
    free(deltas);
}

/* What makes fused multiply-add and separate operations agree. */
static void test_a_product_of_weight_and_f32_is_exact(void **state)
{
    (void)state;
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    hash_sha256(bytes_of_text("exact"), key);
    random_stream_init(&s, key);
    for (size_t i = 0; i < 20000; i++) {
        double weight = (double)(1 + random_stream_below(&s, ACCUMULATE_WEIGHT_MAX));
        double delta = (double)any_float(&s);
        volatile double product = weight * delta;
        assert_true(fma(weight, delta, -product) == 0);
    }
}

static void test_every_length_is_added_to_its_end_and_not_past_it(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 3, 1023, 1024, 1025, 2047, 2048, 4999};
    float *deltas = make_deltas("lengths");
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        double *acc = calloc(ELEMENTS, sizeof *acc), *naive = calloc(ELEMENTS, sizeof *naive);
        accumulate_add_f32(acc, deltas, lengths[k], 12345);
        accumulate_add_f32_naive(naive, deltas, lengths[k], 12345);
        assert_memory_equal(acc, naive, ELEMENTS * sizeof *acc);
        free(naive);
        free(acc);
    }
    free(deltas);
}

static void test_f64_deltas_are_multiplied_and_added_each_rounded(void **state)
{
    (void)state;
    double acc[2] = {0, 1};
    const double delta[2] = {0x1.fffffffffffffp-3, 0x1.0000000000001p0};
    accumulate_add_f64(acc, delta, 2, 3);
    accumulate_add_f64(acc, delta, 2, ACCUMULATE_WEIGHT_MAX);
    for (size_t i = 0; i < 2; i++) {
        volatile double expected = i == 0 ? 0 : 1, product = 3 * delta[i];
        expected = expected + product;
        product = (double)ACCUMULATE_WEIGHT_MAX * delta[i];
        expected = expected + product;
        assert_true(acc[i] == expected);
    }
}

static void test_finish_rounds_once_to_the_dtype(void **state)
{
    (void)state;
    /* 1 + 2^-24 is a tie of f32, and goes down to even; with a little more it goes up. In two
     * steps, through a rounded mean, the second would be a tie too. */
    const float base[3] = {1, 1, -0.0f};
    const double acc[3] = {3 * 0x1p-24, 3 * (0x1p-24 + 0x1p-50), 0};
    float next[3];
    assert_true(accumulate_finish_f32(base, acc, 3, 3, next));
    assert_true(next[0] == 1);
    assert_true(next[1] == 1 + FLT_EPSILON);
    assert_true(next[2] == 0 && !signbit(next[2])); /* adding zero does not keep -0 */
    const double base64[1] = {0.1}, acc64[1] = {0.6};
    double next64[1];
    assert_true(accumulate_finish_f64(base64, acc64, 1, 7, next64));
    assert_true(next64[0] == 0.1 + 0.6 / 7);
}

static void test_half_floats_are_rounded_straight_from_f64(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        uint16_t base;
        double step;
        uint16_t expected;
        const char *reason;
    } cases[] = {
        {DTYPE_F16, 0x3c00, 0, 0x3c00, "1 stays"},
        {DTYPE_F16, 0x3c00, 0x1p-11, 0x3c00, "a tie goes to even"},
        {DTYPE_F16, 0x3c01, 0x1p-11, 0x3c02, "a tie goes to even, upwards"},
        {DTYPE_F16, 0x3c00, 0x1p-11 + 0x1p-40, 0x3c01,
         "just above a tie; through f32 it would be one"},
        {DTYPE_F16, 0x0001, 0x1p-25, 0x0002, "subnormals have ties too"},
        {DTYPE_F16, 0x03ff, 0x1p-24, 0x0400, "the largest subnormal to the smallest normal"},
        {DTYPE_F16, 0x8000, 0, 0x0000, "-0 and a step of 0 make +0"},
        {DTYPE_F16, 0x7bff, 15.9, 0x7bff, "rounds back to the largest"},
        {DTYPE_BF16, 0x3f80, 0x1p-8, 0x3f80, "a tie goes to even"},
        {DTYPE_BF16, 0x3f80, 0x1p-8 + 0x1p-45, 0x3f81,
         "just above a tie; through f32 it would be one"},
        {DTYPE_BF16, 0x4049, -3.140625, 0x0000, "to zero"},
        {DTYPE_BF16, 0x0001, 0x1p-133, 0x0002, "subnormals"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t next = 0xffff;
        double acc = cases[i].step * 5;
        bool finite = accumulate_finish_half(cases[i].dtype, &cases[i].base, &acc, 1, 5, &next);
        if (!finite || next != cases[i].expected)
            fail_msg("%s: %04x", cases[i].reason, next);
    }
}

static void test_a_result_that_is_not_finite_is_told(void **state)
{
    (void)state;
    const double over = 0x1p127, fine = 0, bad = NAN;
    const float largest = FLT_MAX;
    float next;
    assert_true(accumulate_finish_f32(&largest, &fine, 1, 1, &next));
    assert_false(accumulate_finish_f32(&largest, &over, 1, 1, &next));
    assert_false(accumulate_finish_f32(&largest, &bad, 1, 1, &next));
    const double largest64 = DBL_MAX;
    double next64;
    assert_false(accumulate_finish_f64(&largest64, &largest64, 1, 1, &next64));
    const uint16_t half = 0x7bff, brain = 0x7f7f;
    const double sixteen = 16;
    uint16_t bits;
    assert_false(accumulate_finish_half(DTYPE_F16, &half, &sixteen, 1, 1, &bits));
    assert_false(accumulate_finish_half(DTYPE_BF16, &brain, &over, 1, 1, &bits));
    assert_false(accumulate_finish_half(DTYPE_F16, &half, &bad, 1, 1, &bits));
    /* One among many, in a whole tile and behind the last, whatever follows it. */
    static const size_t places[] = {0, 1023, 1024, 2047, 2048, 2499};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        float many[2500] = {0};
        double steps[2500] = {0};
        many[places[i]] = -FLT_MAX;
        assert_true(accumulate_finish_f32(many, steps, 2500, 1, many));
        steps[places[i]] = -over;
        assert_false(accumulate_finish_f32(many, steps, 2500, 1, many));
        many[places[i]] = 0;
        steps[places[i]] = bad;
        assert_false(accumulate_finish_f32(many, steps, 2500, 1, many));
    }
}

/* Tiles and what is left behind them are computed by two pieces of code. */
static void test_every_element_is_finished_alike(void **state)
{
    (void)state;
    float *deltas = make_deltas("finish"), all[ELEMENTS];
    double acc[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        acc[i] = (double)deltas[ELEMENTS + i] * 3;
    (void)accumulate_finish_f32(deltas, acc, ELEMENTS, 1000003, all);
    for (size_t i = 0; i < ELEMENTS; i++) {
        float one, expected = (float)((double)deltas[i] + acc[i] / 1000003);
        (void)accumulate_finish_f32(deltas + i, acc + i, 1, 1000003, &one);
        assert_memory_equal(&all[i], &expected, sizeof expected);
        assert_memory_equal(&one, &expected, sizeof expected);
    }
    free(deltas);
}

static void test_next_may_be_base(void **state)
{
    (void)state;
    float *deltas = make_deltas("in place"), apart[ELEMENTS], in_place[ELEMENTS];
    double acc[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++) {
        in_place[i] = deltas[2 * i] / 2;
        acc[i] = (double)deltas[2 * i + 1];
    }
    (void)accumulate_finish_f32(in_place, acc, ELEMENTS, 11, apart);
    (void)accumulate_finish_f32(in_place, acc, ELEMENTS, 11, in_place);
    assert_memory_equal(apart, in_place, sizeof apart);
    free(deltas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blas_and_the_plain_loop_give_the_same_bits),
        cmocka_unit_test(test_another_order_of_updates_gives_other_bits),
        cmocka_unit_test(test_a_product_of_weight_and_f32_is_exact),
        cmocka_unit_test(test_every_length_is_added_to_its_end_and_not_past_it),
        cmocka_unit_test(test_f64_deltas_are_multiplied_and_added_each_rounded),
        cmocka_unit_test(test_finish_rounds_once_to_the_dtype),
        cmocka_unit_test(test_half_floats_are_rounded_straight_from_f64),
        cmocka_unit_test(test_a_result_that_is_not_finite_is_told),
        cmocka_unit_test(test_every_element_is_finished_alike),
        cmocka_unit_test(test_next_may_be_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
