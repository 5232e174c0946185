/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <float.h>
#include <math.h>

#include "model/delta.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static struct shard shard_of(enum use use, enum dtype d, uint32_t elements)
{
    bool own = use == USE_LARGEST || d == DTYPE_F64;
    return (struct shard){.use = use,
                          .dtype = d,
                          .elements = elements,
                          .bytes = elements * (own ? (uint32_t)dtype_bytes(d) : 4)};
}

/* One element through the codec: base and new as values of `d`. */
static int encode_one(enum dtype d, double base, double new_value, double *out, struct err *err)
{
    uint8_t from[8], to[8], delta[8];
    struct shard s = shard_of(USE_MEAN, d, 1);
    dtype_put(d, from, base);
    dtype_put(d, to, new_value);
    int rc = delta_encode(&s, from, to, delta, err);
    *out = dtype_get(s.bytes == 8 ? DTYPE_F64 : DTYPE_F32, delta);
    return rc;
}

static void test_a_delta_is_the_difference_rounded_once(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        double base, new_value, delta;
        const char *why;
    } rows[] = {
        {DTYPE_F32, 1, 3, 2, "whole"},
        {DTYPE_F32, 0x1p24, 1, -(0x1p24 - 1), "exact"},
        {DTYPE_F32, 0x1p26, 3, -0x1p26 + 4, "rounded to the nearest f32"},
        {DTYPE_F32, 0x1p26, 2, -0x1p26, "a tie, to the even one"},
        {DTYPE_F32, 0x1p-149, 0, -0x1p-149, "the smallest subnormal"},
        {DTYPE_F16, 65504, -65504, -131008, "past what F16 holds: f32 does"},
        {DTYPE_F16, 1, 1 + 0x1p-10, 0x1p-10, "one step"},
        {DTYPE_BF16, 1, 1 + 0x1p-7, 0x1p-7, "one step"},
        {DTYPE_BF16, 0x1p100, 1, -0x1p100, "one is lost"},
        {DTYPE_F64, 1, 1 + 0x1p-52, 0x1p-52, "one step: f32 would not hold 1 + that"},
        {DTYPE_F64, 1e300, -1e300, -2e300, "past f32"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double got;
        assert_int_equal(encode_one(rows[i].dtype, rows[i].base, rows[i].new_value, &got, NULL), 0);
        if (got != rows[i].delta)
            fail_msg("%s %s: %a", dtype_name(rows[i].dtype), rows[i].why, got);
    }
}

static void test_what_is_not_finite_is_refused_by_its_place(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        double base, new_value;
        const char *text;
    } rows[] = {
        {DTYPE_F32, 0, NAN, "element 0 is NaN"},
        {DTYPE_F32, NAN, 0, "element 0 is NaN"},
        {DTYPE_F32, 0, -INFINITY, "element 0 is infinite"},
        {DTYPE_F32, INFINITY, INFINITY, "element 0 is NaN"},
        {DTYPE_F32, -FLT_MAX, FLT_MAX, "element 0 is infinite"},
        {DTYPE_F64, -DBL_MAX, DBL_MAX, "element 0 is infinite"},
        {DTYPE_F16, 1, INFINITY, "element 0 is infinite"},
        {DTYPE_BF16, 1, NAN, "element 0 is NaN"},
        {DTYPE_BF16, -0x1.fep127, 0x1.fep127, "element 0 is infinite"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double got;
        struct err err = {0};
        int rc = encode_one(rows[i].dtype, rows[i].base, rows[i].new_value, &got, &err);
        if (rc != ERR_MALFORMED || strcmp(err.text, rows[i].text) != 0)
            fail_msg("row %zu: %d %s", i, rc, err.text);
    }
}

/* f32 has a loop of its own; element by element it must be what the definition says. */
static void test_every_f32_delta_is_as_defined(void **state)
{
    (void)state;
    enum {
        N = 50000
    };
    uint8_t *base = stream_bytes("base", 4 * N), *new_model = stream_bytes("new", 4 * N);
    uint8_t *got = malloc(4 * N);
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, N);
    assert_non_null(got);
    for (size_t i = 0; i < N; i++) { /* bit patterns over the whole exponent range, but finite */
        base[4 * i + 3] &= 0xbf;
        new_model[4 * i + 3] &= 0xbf;
        if (i % 3 == 0)
            memcpy(new_model + 4 * i + 1, base + 4 * i + 1, 3); /* near each other */
    }
    assert_int_equal(delta_encode(&s, base, new_model, got, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        double exact = dtype_get(DTYPE_F32, new_model + 4 * i) - dtype_get(DTYPE_F32, base + 4 * i);
        uint8_t want[4];
        dtype_put(DTYPE_F32, want, exact);
        assert_memory_equal(got + 4 * i, want, 4);
    }
    assert_int_equal(delta_check(&s, bytes_of(got, 4 * N), NULL), 0);
    free(base);
    free(new_model);
    free(got);
}

static void test_a_largest_shard_holds_the_new_values(void **state)
{
    (void)state;
    static const uint8_t base[16] = {9}, new_model[16] = {1, 2, 3, 255, 0, 0, 0, 0, 0x80};
    uint8_t got[16];
    struct shard s = shard_of(USE_LARGEST, DTYPE_I64, 2);
    assert_int_equal(delta_encode(&s, base, new_model, got, NULL), 0);
    assert_memory_equal(got, new_model, 16);
    assert_int_equal(delta_check(&s, bytes_of(got, 16), NULL), 0);
}

static void test_a_bad_value_is_found_wherever_it_is(void **state)
{
    (void)state;
    enum {
        N = 67
    };
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16};
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < COUNT(dtypes); k++)
        for (size_t i = 0; i < N; i++)
            for (size_t v = 0; v < COUNT(bad); v++) {
                uint8_t delta[8 * N] = {0};
                char want[32];
                struct err err;
                struct shard s = shard_of(USE_MEAN, dtypes[k], N);
                enum dtype stored = s.bytes == 8 * N ? DTYPE_F64 : DTYPE_F32;
                dtype_put(stored, delta + i * dtype_bytes(stored), bad[v]);
                snprintf(want, sizeof want, "element %zu is %s", i, v == 0 ? "NaN" : "infinite");
                assert_int_equal(delta_check(&s, bytes_of(delta, s.bytes), &err), ERR_MALFORMED);
                assert_string_equal(err.text, want);
                dtype_put(stored, delta + i * dtype_bytes(stored), -FLT_MAX);
                assert_int_equal(delta_check(&s, bytes_of(delta, s.bytes), NULL), 0);
            }
}

static void test_a_nan_with_any_payload_is_found(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7fc00000};
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 1);
    uint8_t delta[4];
    for (size_t i = 0; i < COUNT(rows); i++) {
        bytes_put_u32(delta, rows[i]);
        assert_int_equal(delta_check(&s, bytes_of(delta, 4), NULL), ERR_MALFORMED);
    }
}

static void test_the_length_must_be_the_shard_s(void **state)
{
    (void)state;
    static const uint8_t zeros[44];
    struct err err;
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 10);
    static const size_t sizes[] = {0, 1, 36, 39, 41, 44};
    for (size_t i = 0; i < COUNT(sizes); i++)
        assert_int_equal(delta_check(&s, bytes_of(zeros, sizes[i]), &err), ERR_MALFORMED);
    assert_string_equal(err.text, "44 bytes, expected 40");
    assert_int_equal(delta_check(&s, bytes_of(zeros, 40), NULL), 0);
}

static void test_a_truth_value_is_0_or_1(void **state)
{
    (void)state;
    static const uint8_t good[3] = {0, 1, 1}, bad[3] = {0, 1, 2};
    struct err err;
    struct shard s = shard_of(USE_LARGEST, DTYPE_BOOL, 3);
    assert_int_equal(delta_check(&s, bytes_of(good, 3), NULL), 0);
    assert_int_equal(delta_check(&s, bytes_of(bad, 3), &err), ERR_MALFORMED);
    assert_string_equal(err.text, "element 2 is 2, not a BOOL");
}

/* In the dtype that deltas are stored in, one after another. */
static double naive_squares(enum dtype stored, const uint8_t *delta, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double value = dtype_get(stored, delta + i * dtype_bytes(stored));
        double square = value * value;
        sum = sum + square;
    }
    return sum;
}

static void test_squares_are_summed_in_element_order(void **state)
{
    (void)state;
    enum {
        N = 4099
    };
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16};
    uint8_t *random = stream_bytes("squares", 4 * N), *delta = malloc(8 * N);
    assert_non_null(delta);
    for (size_t k = 0; k < COUNT(dtypes); k++) {
        struct shard s = shard_of(USE_MEAN, dtypes[k], N);
        enum dtype stored = dtypes[k] == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
        double backwards = 0;
        for (size_t i = 0; i < N; i++) { /* of many sizes, so that the order shows */
            double value = 1 + (double)bytes_get_u32(random + 4 * i) / 0x1p32;
            dtype_put(stored, delta + i * dtype_bytes(stored), ldexp(value, (int)(i % 30)));
        }
        double want = naive_squares(stored, delta, N), got = delta_squares(&s, delta);
        assert_memory_equal(&got, &want, sizeof got);
        for (size_t i = N; i-- > 0;) {
            double value = dtype_get(stored, delta + i * dtype_bytes(stored));
            backwards += value * value;
        }
        assert_true(got != backwards); /* else this test could not tell */
    }
    free(random);
    free(delta);
}

static void test_squares_of_the_largest_values(void **state)
{
    (void)state;
    static const float single[2] = {-FLT_MAX, FLT_MAX};
    static const double wide[2] = {1e200, 1};
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 2);
    assert_true(delta_squares(&s, single) == 2 * (double)FLT_MAX * (double)FLT_MAX);
    s = shard_of(USE_MEAN, DTYPE_F64, 2);
    assert_true(isinf(delta_squares(&s, wide)));
    s.elements = 0;
    assert_true(delta_squares(&s, wide) == 0);
}

static void test_null_means_every_byte_is_zero(void **state)
{
    (void)state;
    uint8_t delta[40] = {0};
    assert_true(delta_is_null(bytes_of(NULL, 0)));
    for (size_t size = 1; size <= sizeof delta; size++)
        assert_true(delta_is_null(bytes_of(delta, size)));
    for (size_t i = 0; i < sizeof delta; i++) {
        delta[i] = 0x80;
        assert_false(delta_is_null(bytes_of(delta, sizeof delta)));
        delta[i] = 0;
    }
    memset(delta, 1, sizeof delta);
    assert_false(delta_is_null(bytes_of(delta, sizeof delta)));
}

static void test_an_unchanged_model_is_null_and_a_changed_sign_of_zero_is_not(void **state)
{
    (void)state;
    static const float same[4] = {0.0f, -0.0f, 1.5f, -FLT_MAX}, minus = -0.0f, plus = 0.0f;
    float delta[4];
    struct shard s = shard_of(USE_MEAN, DTYPE_F32, 4);
    assert_int_equal(delta_encode(&s, same, same, delta, NULL), 0);
    assert_true(delta_is_null(bytes_of(delta, sizeof delta)));
    s = shard_of(USE_MEAN, DTYPE_F32, 1);
    assert_int_equal(delta_encode(&s, &plus, &minus, delta, NULL), 0);
    assert_false(delta_is_null(bytes_of(delta, 4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delta_is_the_difference_rounded_once),
        cmocka_unit_test(test_what_is_not_finite_is_refused_by_its_place),
        cmocka_unit_test(test_every_f32_delta_is_as_defined),
        cmocka_unit_test(test_a_largest_shard_holds_the_new_values),
        cmocka_unit_test(test_a_bad_value_is_found_wherever_it_is),
        cmocka_unit_test(test_a_nan_with_any_payload_is_found),
        cmocka_unit_test(test_the_length_must_be_the_shard_s),
        cmocka_unit_test(test_a_truth_value_is_0_or_1),
        cmocka_unit_test(test_squares_are_summed_in_element_order),
        cmocka_unit_test(test_squares_of_the_largest_values),
        cmocka_unit_test(test_null_means_every_byte_is_zero),
        cmocka_unit_test(test_an_unchanged_model_is_null_and_a_changed_sign_of_zero_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
