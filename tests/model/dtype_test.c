/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "model/dtype.h"

static void test_every_dtype_has_its_safetensors_name_and_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t bytes;
        bool is_float;
    } rows[] = {
        {"F64", 8, true},   {"F32", 4, true},  {"F16", 2, true},  {"BF16", 2, true},
        {"I64", 8, false},  {"I32", 4, false}, {"I16", 2, false}, {"I8", 1, false},
        {"U64", 8, false},  {"U32", 4, false}, {"U16", 2, false}, {"U8", 1, false},
        {"BOOL", 1, false},
    };
    assert_int_equal(sizeof rows / sizeof rows[0], DTYPE_COUNT);
    for (size_t i = 0; i < DTYPE_COUNT; i++) {
        enum dtype d = DTYPE_COUNT;
        assert_true(dtype_parse(bytes_of_text(rows[i].name), &d));
        assert_string_equal(dtype_name(d), rows[i].name);
        assert_int_equal(dtype_bytes(d), rows[i].bytes);
        assert_int_equal(dtype_is_float(d), rows[i].is_float);
    }
}

static void test_an_unknown_name_is_no_dtype(void **state)
{
    (void)state;
    static const char *const rows[] = {"",        "f32",     "F3",  "F32 ",
                                       "F8_E4M3", "F8_E5M2", "C64", "F128"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum dtype d = DTYPE_I16;
        assert_false(dtype_parse(bytes_of_text(rows[i]), &d));
        assert_int_equal(d, DTYPE_I16);
    }
}

static const enum dtype halves[] = {DTYPE_F16, DTYPE_BF16};

static uint16_t put_half(enum dtype d, double value)
{
    uint16_t bits;
    dtype_put(d, &bits, value);
    return bits;
}

static void test_every_16_bit_float_survives_widening(void **state)
{
    (void)state;
    for (size_t h = 0; h < 2; h++)
        for (uint32_t i = 0; i <= UINT16_MAX; i++) {
            uint16_t bits = (uint16_t)i;
            double value = dtype_get(halves[h], &bits);
            if (isnan(value))
                assert_true(isnan(dtype_get(halves[h], &(uint16_t){put_half(halves[h], value)})));
            else
                assert_int_equal(put_half(halves[h], value), bits);
        }
}

/* Between each two neighbours: half way goes to the even one, anything off it to the nearer. */
static void test_rounding_is_to_nearest_and_ties_go_to_even(void **state)
{
    (void)state;
    static const uint16_t largest[] = {0x7bff, 0x7f7f};
    for (size_t h = 0; h < 2; h++)
        for (uint32_t i = 0; i < largest[h]; i++) {
            uint16_t low = (uint16_t)i, high = (uint16_t)(i + 1);
            double middle = (dtype_get(halves[h], &low) + dtype_get(halves[h], &high)) / 2;
            assert_int_equal(put_half(halves[h], middle), i % 2 == 0 ? low : high);
            assert_int_equal(put_half(halves[h], nextafter(middle, 0)), low);
            assert_int_equal(put_half(halves[h], nextafter(middle, INFINITY)), high);
            assert_int_equal(put_half(halves[h], -middle), 0x8000 | (i % 2 == 0 ? low : high));
        }
}

static void test_values_of_the_standards(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        double value;
        uint16_t bits;
        const char *why;
    } rows[] = {
        {DTYPE_F16, 1, 0x3c00, "one"},
        {DTYPE_F16, -2, 0xc000, "minus two"},
        {DTYPE_F16, 65504, 0x7bff, "the largest"},
        {DTYPE_F16, 0x1p-24, 0x0001, "the smallest"},
        {DTYPE_F16, 0x1p-14, 0x0400, "the smallest normal"},
        {DTYPE_F16, 65520, 0x7c00, "half way to the next power of two: infinity"},
        {DTYPE_F16, 1e300, 0x7c00, "far too large"},
        {DTYPE_F16, -INFINITY, 0xfc00, "infinity"},
        {DTYPE_F16, -0.0, 0x8000, "minus zero"},
        {DTYPE_F16, 1 + 0x1p-11 + 0x1p-40, 0x3c01, "rounding to f32 on the way would lose it"},
        {DTYPE_BF16, 1, 0x3f80, "one"},
        {DTYPE_BF16, 0x1.fep127, 0x7f7f, "the largest"},
        {DTYPE_BF16, 0x1.ffp127, 0x7f80, "half way above it"},
        {DTYPE_BF16, 0x1p-133, 0x0001, "the smallest"},
        {DTYPE_BF16, 0x1p-134, 0x0000, "half of it is a tie with zero"},
        {DTYPE_BF16, 1e-320, 0x0000, "a subnormal f64"},
        {DTYPE_BF16, 1 + 0x1p-8 + 0x1p-40, 0x3f81, "rounding to f32 on the way would lose it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (put_half(rows[i].dtype, rows[i].value) != rows[i].bits)
            fail_msg("%s %s: %04x", dtype_name(rows[i].dtype), rows[i].why,
                     put_half(rows[i].dtype, rows[i].value));
}

static void test_wide_floats_are_read_and_written_unaligned(void **state)
{
    (void)state;
    uint8_t at[9];
    dtype_put(DTYPE_F64, at + 1, 0.1);
    assert_true(dtype_get(DTYPE_F64, at + 1) == 0.1);
    dtype_put(DTYPE_F32, at + 1, 0.1);
    assert_true(dtype_get(DTYPE_F32, at + 1) == (double)0.1f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_dtype_has_its_safetensors_name_and_size),
        cmocka_unit_test(test_an_unknown_name_is_no_dtype),
        cmocka_unit_test(test_every_16_bit_float_survives_widening),
        cmocka_unit_test(test_rounding_is_to_nearest_and_ties_go_to_even),
        cmocka_unit_test(test_values_of_the_standards),
        cmocka_unit_test(test_wide_floats_are_read_and_written_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
