/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "aggregate/moments.h"
#include "base/cbor.h"

static struct moments make(uint64_t count, double sum, double squares)
{
    struct moments m;
    assert_int_equal(moments_new(1, &m, NULL), 0);
    m.count = count;
    m.sum[0] = sum;
    m.squares[0] = squares;
    return m;
}

static void test_values_come_back_from_their_bytes(void **state)
{
    (void)state;
    struct moments m, back;
    struct buf out = buf_new(1u << 20);
    assert_int_equal(moments_new(3, &m, NULL), 0);
    assert_true(m.count == 0 && m.sum[2] == 0 && m.squares[2] == 0);
    m.count = 77;
    for (size_t i = 0; i < 3; i++) {
        m.sum[i] = -0.1 * (double)i;
        m.squares[i] = 1e70 / (double)(i + 1);
    }
    assert_int_equal(moments_encode(&m, &out, NULL), 0);
    assert_int_equal(cbor_check(buf_bytes(&out), NULL, NULL, NULL), 0);
    assert_int_equal(moments_decode(buf_bytes(&out), 3, &back, NULL), 0);
    assert_int_equal(back.count, 77);
    assert_int_equal(back.features, 3);
    assert_memory_equal(back.sum, m.sum, 3 * sizeof *m.sum);
    assert_memory_equal(back.squares, m.squares, 3 * sizeof *m.squares);
    moments_fini(&back);
    assert_int_equal(moments_decode(buf_bytes(&out), 0, &back, NULL), 0);
    moments_fini(&back);
    struct err err = {0};
    assert_int_equal(moments_decode(buf_bytes(&out), 4, &back, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "3 features where 4"));
    for (size_t size = 0; size < out.size; size++)
        assert_int_equal(moments_decode(bytes_of(out.data, size), 3, &back, NULL), ERR_MALFORMED);
    buf_fini(&out);
    moments_fini(&m);
}

static void test_bad_values_are_neither_written_nor_read(void **state)
{
    (void)state;
    static const struct {
        uint64_t count;
        double sum, squares;
        const char *reason;
    } cases[] = {
        {0, 1, 1, "a count of 0"},
        {MOMENTS_COUNT_MAX + 1, 1, 1, "a count past the limit"},
        {1, NAN, 1, "NaN"},
        {1, INFINITY, 1, "infinite"},
        {1, 1, INFINITY, "infinite squares"},
        {1, 1, -1, "negative squares"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moments m = make(cases[i].count, cases[i].sum, cases[i].squares), back;
        struct buf out = buf_new(1024);
        if (moments_encode(&m, &out, NULL) != ERR_MALFORMED)
            fail_msg("written: %s", cases[i].reason);
        buf_clear(&out);
        cbor_put_map(&out, 3);
        cbor_put_text(&out, "sum");
        cbor_put_array(&out, 1);
        cbor_put_double(&out, cases[i].sum); /* null if not finite */
        cbor_put_text(&out, "count");
        cbor_put_uint(&out, cases[i].count);
        cbor_put_text(&out, "squares");
        cbor_put_array(&out, 1);
        cbor_put_double(&out, cases[i].squares);
        if (moments_decode(buf_bytes(&out), 1, &back, NULL) != ERR_MALFORMED)
            fail_msg("read: %s", cases[i].reason);
        buf_fini(&out);
        moments_fini(&m);
    }
}

/* Bytes as a peer may send them, in the form of dag-cbor but not ours. */
static void test_other_forms_are_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *reason;
    } cases[] = {
        {"", "nothing"},
        {"a0", "an empty map"},
        {"80", "an array"},
        {"a3 63 73756d 80 65 636f756e74 01 67 73717561726573 80", "no features"},
        {"a3 63 73756d 81 fb 3ff0000000000000 65 636f756e74 01 67 73717561726573 80",
         "sum and squares differ in length"},
        {"a3 63 73756d 81 01 65 636f756e74 01 67 73717561726573 81 fb 3ff0000000000000",
         "an integer for a float"},
        {"a3 63 73756d 81 fb 3ff0000000000000 65 636f756e74 20 67 73717561726573 81 fb "
         "3ff0000000000000",
         "a negative count"},
        {"a3 63 73756d 81 fb 3ff0000000000000 65 636f756e74 01 67 73717561726573 81 fb "
         "3ff0000000000000 00",
         "a byte too many"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[128];
        size_t size = from_hex(cases[i].hex, bytes, sizeof bytes);
        struct moments m;
        if (moments_decode(bytes_of(bytes, size), 0, &m, NULL) != ERR_MALFORMED)
            fail_msg("%s", cases[i].reason);
    }
}

static void test_more_features_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct moments m;
    struct buf out = buf_new(1u << 20);
    assert_int_equal(moments_new(0, &m, NULL), ERR_LIMIT);
    assert_int_equal(moments_new(MOMENTS_FEATURES_MAX + 1, &m, NULL), ERR_LIMIT);
    assert_int_equal(moments_new(MOMENTS_FEATURES_MAX, &m, NULL), 0);
    m.count = 1;
    assert_int_equal(moments_encode(&m, &out, NULL), 0);
    moments_fini(&m);
    assert_int_equal(moments_decode(buf_bytes(&out), 0, &m, NULL), 0);
    moments_fini(&m);
    buf_clear(&out);
    cbor_put_map(&out, 3);
    cbor_put_text(&out, "sum");
    cbor_put_array(&out, MOMENTS_FEATURES_MAX + 1);
    for (size_t i = 0; i <= MOMENTS_FEATURES_MAX; i++)
        cbor_put_double(&out, 0);
    assert_int_equal(moments_decode(buf_bytes(&out), 0, &m, NULL), ERR_MALFORMED);
    buf_fini(&out);
}

static void test_mean_and_deviation_are_those_of_all_values_together(void **state)
{
    (void)state;
    /* Sites hold {1, 2, 3} and {4, 9}: mean 3.8, variance 111/5 - 3.8^2 = 7.76. */
    struct moments total = make(0, 0, 0), a = make(3, 6, 14), b = make(2, 13, 97);
    float mean, deviation;
    moments_add(&total, &a);
    moments_add(&total, &b);
    assert_int_equal(total.count, 5);
    assert_true(moments_finish(&total, &mean, &deviation));
    assert_true(mean == (float)(19.0 / 5));
    assert_true(deviation == (float)sqrt(111.0 / 5 - (19.0 / 5) * (19.0 / 5)));
    moments_fini(&b);
    moments_fini(&a);
    moments_fini(&total);
}

static void test_a_deviation_that_cannot_divide_is_one(void **state)
{
    (void)state;
    static const struct {
        uint64_t count;
        double sum, squares;
        const char *reason;
    } cases[] = {
        {4, 8, 16, "all values equal"},
        {3, 0.3, 0.03 - 1e-10, "rounding made the variance negative"},
        {1, 0, 1e-200, "it vanishes in f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moments m = make(cases[i].count, cases[i].sum, cases[i].squares);
        float mean, deviation;
        if (!moments_finish(&m, &mean, &deviation) || deviation != 1)
            fail_msg("%s", cases[i].reason);
        moments_fini(&m);
    }
}

static void test_rounding_makes_no_deviation_of_a_constant_column(void **state)
{
    (void)state;
    static const double constants[] = {0.1, 1e5 / 3, -7.7e-9};
    for (size_t c = 0; c < sizeof constants / sizeof constants[0]; c++) {
        struct moments m = make(0, 0, 0);
        float mean, deviation;
        for (; m.count < 100000; m.count++) {
            m.sum[0] += constants[c];
            m.squares[0] += constants[c] * constants[c];
        }
        assert_true(m.squares[0] / 1e5 !=
                    m.sum[0] / 1e5 * (m.sum[0] / 1e5)); /* or it proves nothing */
        assert_true(moments_finish(&m, &mean, &deviation));
        assert_true(deviation == 1);
        moments_fini(&m);
    }
}

static void test_a_small_deviation_beside_a_large_mean_is_kept(void **state)
{
    (void)state;
    struct moments m = make(1000, 0, 0);
    float mean, deviation;
    for (int i = 0; i < 1000; i++) {
        double x = 1e5 + (i % 2 == 0 ? 0.5 : -0.5);
        m.sum[0] += x;
        m.squares[0] += x * x;
    }
    assert_true(moments_finish(&m, &mean, &deviation));
    assert_true(deviation > 0.499f && deviation < 0.501f);
    moments_fini(&m);
}

static void test_a_result_that_is_not_finite_is_told(void **state)
{
    (void)state;
    float mean, deviation;
    struct moments large = make(1, 1e39, 1e78); /* past the largest f32 */
    assert_false(moments_finish(&large, &mean, &deviation));
    struct moments wide = make(1, 0, 1e80);
    assert_false(moments_finish(&wide, &mean, &deviation));
    struct moments a = make(1, 1.5e308, 0), b = make(1, 1.5e308, 0);
    moments_add(&a, &b);
    assert_false(moments_finish(&a, &mean, &deviation));
    moments_fini(&b);
    moments_fini(&a);
    moments_fini(&wide);
    moments_fini(&large);
}

static void test_values_that_no_floats_can_sum_up_to_are_refused(void **state)
{
    (void)state;
    const double largest = 3.4028234663852886e38;
    struct buf out = buf_new(4096);
    struct err err;
    struct moments good = make(3, 3 * largest, 3 * largest * largest);
    assert_int_equal(moments_encode(&good, &out, &err), 0);
    struct moments sum = make(3, -3.001 * largest, 0);
    assert_int_equal(moments_encode(&sum, &out, &err), ERR_MALFORMED);
    struct moments squares = make(3, 0, 3.001 * largest * largest);
    assert_int_equal(moments_encode(&squares, &out, &err), ERR_MALFORMED);
    buf_fini(&out);
    moments_fini(&good);
    moments_fini(&sum);
    moments_fini(&squares);
}

static void test_the_order_of_sites_is_the_order_of_the_sum(void **state)
{
    (void)state;
    struct moments sites[3] = {make(1, 1, 1), make(1, 1e16, 1), make(1, -1e16, 1)};
    struct moments forward = make(0, 0, 0), backward = make(0, 0, 0);
    for (size_t i = 0; i < 3; i++) {
        moments_add(&forward, &sites[i]);
        moments_add(&backward, &sites[2 - i]);
    }
    assert_true(forward.sum[0] == 0 && backward.sum[0] == 1);
    for (size_t i = 0; i < 3; i++)
        moments_fini(&sites[i]);
    moments_fini(&backward);
    moments_fini(&forward);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back_from_their_bytes),
        cmocka_unit_test(test_bad_values_are_neither_written_nor_read),
        cmocka_unit_test(test_other_forms_are_malformed),
        cmocka_unit_test(test_more_features_than_the_limit_are_refused),
        cmocka_unit_test(test_mean_and_deviation_are_those_of_all_values_together),
        cmocka_unit_test(test_a_deviation_that_cannot_divide_is_one),
        cmocka_unit_test(test_rounding_makes_no_deviation_of_a_constant_column),
        cmocka_unit_test(test_a_small_deviation_beside_a_large_mean_is_kept),
        cmocka_unit_test(test_a_result_that_is_not_finite_is_told),
        cmocka_unit_test(test_values_that_no_floats_can_sum_up_to_are_refused),
        cmocka_unit_test(test_the_order_of_sites_is_the_order_of_the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
