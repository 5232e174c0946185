/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/text.h"

static void test_sizes_and_durations_are_said_for_people(void **state)
{
    (void)state;
    char out[TEXT_SMALL];
    assert_string_equal(text_format_size(0, out), "0 B");
    assert_string_equal(text_format_size(1023, out), "1023 B");
    assert_string_equal(text_format_size(1536, out), "1.5 KiB");
    assert_string_equal(text_format_size(1ull << 30, out), "1.0 GiB");
    assert_string_equal(text_format_size(UINT64_MAX, out), "16.0 EiB");
    assert_string_equal(text_format_ms(999, out), "999 ms");
    assert_string_equal(text_format_ms(1200, out), "1.2 s");
    assert_string_equal(text_format_ms(200000, out), "3 min 20 s");
    assert_string_equal(text_format_ms(3 * 3600000 + 5 * 60000, out), "3 h 5 min");
}

static void test_numbers_are_whole_strings_in_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "-1",   "+1",  " 1",  "1 ",
                                      "1x", "0x10", "1e3", "101", "18446744073709551616"};
    uint64_t n = 7;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (text_parse_uint(bad[i], 100, &n, &err) != ERR_USAGE)
            fail_msg("\"%s\" was read", bad[i]);
    assert_int_equal(n, 7);
    assert_int_equal(text_parse_uint("100", 100, &n, &err), 0);
    assert_int_equal(n, 100);
    assert_int_equal(text_parse_uint("18446744073709551615", UINT64_MAX, &n, &err), 0);
    assert_true(n == UINT64_MAX);
}

static void test_doubles_are_whole_strings_and_finite(void **state)
{
    (void)state;
    static const char *const bad[] = {"", " 1", "1 ", "nan", "inf", "1e999", "1,5", "x"};
    double d = 7;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (text_parse_double(bad[i], &d, &err) != ERR_USAGE)
            fail_msg("\"%s\" was read", bad[i]);
    assert_true(d == 7);
    assert_int_equal(text_parse_double("-1.5e-3", &d, &err), 0);
    assert_true(d == -1.5e-3);
}

/* Unicode, table 3-7: well-formed UTF-8 byte sequences. */
static void test_only_well_formed_utf8_is_text(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x90\x9d",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf"};
    static const struct {
        const char *bytes;
        size_t size;
        const char *why;
    } bad[] = {
        {"a\0b", 3, "NUL"},
        {"\x80", 1, "a tail without a lead"},
        {"\xc3", 1, "cut short"},
        {"\xc0\xaf", 2, "an overlong slash"},
        {"\xe0\x80\xaf", 3, "an overlong form of three"},
        {"\xf0\x80\x80\xaf", 4, "an overlong form of four"},
        {"\xed\xa0\x80", 3, "a surrogate"},
        {"\xf4\x90\x80\x80", 4, "past U+10FFFF"},
        {"\xf5\x80\x80\x80", 4, "a lead that does not exist"},
        {"\xe2\x28\xa1", 3, "a tail that is none"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(text_is_utf8(bytes_of_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (text_is_utf8(bytes_of(bad[i].bytes, bad[i].size)))
            fail_msg("%s passed", bad[i].why);
}

static void test_a_name_is_safe_in_a_path_and_a_line(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    ".",   "..", "-x",  "_x",
                                      "a/b", "a b", "A",  "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (text_is_name(bad[i]))
            fail_msg("\"%s\" passed", bad[i]);
    char longest[66];
    memset(longest, 'a', sizeof longest);
    longest[64] = '\0';
    assert_true(text_is_name(longest));
    longest[64] = 'a';
    longest[65] = '\0';
    assert_false(text_is_name(longest));
    assert_true(text_is_name("hospital-b.2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_durations_are_said_for_people),
        cmocka_unit_test(test_numbers_are_whole_strings_in_range),
        cmocka_unit_test(test_doubles_are_whole_strings_and_finite),
        cmocka_unit_test(test_only_well_formed_utf8_is_text),
        cmocka_unit_test(test_a_name_is_safe_in_a_path_and_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
