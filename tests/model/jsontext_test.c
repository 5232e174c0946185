/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "model/jsontext.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* Reads `json` as one string with nothing behind it, in memory of exactly its size. */
static int read_string(const char *json, char out[64], struct err *err)
{
    size_t size = strlen(json);
    char *text = malloc(size + 1);
    assert_non_null(text);
    struct jsontext r = jsontext_reader(bytes_of_text(json), text);
    const char *got = jsontext_take_string(&r);
    assert_true(r.text <= text + size);
    snprintf(out, 64, "%s", got);
    free(text);
    return jsontext_finish(&r, err);
}

static void test_strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"\"\"", ""},
        {" \"a\"  ", "a"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[64];
        struct err err = {0};
        if (read_string(rows[i].json, got, &err) != 0)
            fail_msg("%s: %s", rows[i].json, err.text);
        assert_string_equal(got, rows[i].text);
    }
}

static void test_what_is_no_string_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"", "JSON at offset 0: expected a string"},
        {"a", "JSON at offset 0: expected a string"},
        {"\"", "JSON at offset 1: a string that is not closed, or a raw control character"},
        {"\"a", "JSON at offset 2: a string that is not closed, or a raw control character"},
        {"\"a\n\"", "JSON at offset 2: a string that is not closed, or a raw control character"},
        {"\"\\", "JSON at offset 2: an escape that JSON does not know"},
        {"\"\\a\"", "JSON at offset 2: an escape that JSON does not know"},
        {"\"\\u12\"", "JSON at offset 5: expected four hexadecimal digits"},
        {"\"\\u12g4\"", "JSON at offset 5: expected four hexadecimal digits"},
        {"\"\\u", "JSON at offset 3: expected four hexadecimal digits"},
        {"\"\\u0000\"", "JSON at offset 7: U+0000 in a string"},
        {"\"\\ud83d\"", "JSON at offset 7: half of a surrogate pair"},
        {"\"\\ud83d\\n\"", "JSON at offset 8: half of a surrogate pair"},
        {"\"\\ud83d\\u0041\"", "JSON at offset 13: half of a surrogate pair"},
        {"\"\\ud83d\\ud83d\"", "JSON at offset 13: half of a surrogate pair"},
        {"\"\\ude00\"", "JSON at offset 7: half of a surrogate pair"},
        {"\"a\"\n", "JSON at offset 3: bytes behind the end"},
        {"\"a\" \"b\"", "JSON at offset 4: bytes behind the end"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[64];
        struct err err = {0};
        assert_int_equal(read_string(rows[i].json, got, &err), ERR_MALFORMED);
        assert_string_equal(err.text, rows[i].text);
        if (strstr(rows[i].text, "behind") == NULL)
            assert_string_equal(got, "");
    }
}

static void test_numbers_are_whole_and_fit(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint64_t value;
        const char *text; /* NULL: it is one */
    } rows[] = {
        {"0", 0, NULL},
        {" 7 ", 7, NULL},
        {"18446744073709551615", UINT64_MAX, NULL},
        {"18446744073709551616", 0, "a number of 2^64 or more"},
        {"99999999999999999999999999999999", 0, "a number of 2^64 or more"},
        {"01", 0, "expected a whole number without sign or leading zero"},
        {"-1", 0, "expected a whole number without sign or leading zero"},
        {"+1", 0, "expected a whole number without sign or leading zero"},
        {"", 0, "expected a whole number without sign or leading zero"},
        {"NaN", 0, "expected a whole number without sign or leading zero"},
        {"\"1\"", 0, "expected a whole number without sign or leading zero"},
        {"1.0", 1, "bytes behind the end"},
        {"1e3", 1, "bytes behind the end"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[64];
        struct err err = {0};
        struct jsontext r = jsontext_reader(bytes_of_text(rows[i].json), text);
        assert_true(jsontext_take_uint(&r) == rows[i].value);
        assert_int_equal(jsontext_finish(&r, &err), rows[i].text == NULL ? 0 : ERR_MALFORMED);
        if (rows[i].text != NULL)
            assert_non_null(strstr(err.text, rows[i].text));
    }
}

/* Sums a list of numbers; SIZE_MAX if it is not one. */
static size_t sum_list(const char *json)
{
    char text[64];
    size_t sum = 0;
    struct jsontext r = jsontext_reader(bytes_of_text(json), text);
    jsontext_expect(&r, '[');
    for (size_t i = 0; jsontext_more(&r, ']', i); i++)
        sum += jsontext_take_uint(&r);
    return jsontext_finish(&r, NULL) == 0 ? sum : SIZE_MAX;
}

static void test_lists_end_where_they_should(void **state)
{
    (void)state;
    assert_int_equal(sum_list("[]"), 0);
    assert_int_equal(sum_list("[ 1\t,\r\n20 ]"), 21);
    static const char *const bad[] = {"",      "[",      "]",    "[,]",   "[1,]",  "[,1]",
                                      "[1 2]", "[1,,2]", "[1}",  "[1]]",  "[[1]]", "[1",
                                      "[1,",   "{1}",    "[1],", "[null]"};
    for (size_t i = 0; i < COUNT(bad); i++)
        if (sum_list(bad[i]) != SIZE_MAX)
            fail_msg("%s was read", bad[i]);
}

static void test_the_first_failure_stays(void **state)
{
    (void)state;
    char text[64];
    struct err err;
    struct jsontext r = jsontext_reader(bytes_of_text("1 \"a\""), text);
    jsontext_fail(&r, ERR_LIMIT, "enough");
    assert_string_equal(jsontext_take_key(&r), "");
    assert_true(jsontext_take_uint(&r) == 0);
    assert_false(jsontext_more(&r, '}', 0));
    assert_false(jsontext_more(&r, '}', 1));
    assert_int_equal(jsontext_finish(&r, &err), ERR_LIMIT);
    assert_string_equal(err.text, "JSON at offset 0: enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_decoded),
        cmocka_unit_test(test_what_is_no_string_is_refused),
        cmocka_unit_test(test_numbers_are_whole_and_fit),
        cmocka_unit_test(test_lists_end_where_they_should),
        cmocka_unit_test(test_the_first_failure_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
