/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

static void test_a_buffer_grows_to_its_maximum_and_no_further(void **state)
{
    (void)state;
    struct buf b = buf_new(1000);
    struct err err;
    for (int i = 0; i < 1000; i++)
        buf_append_byte(&b, (uint8_t)i);
    assert_int_equal(buf_check(&b, &err), 0);
    assert_int_equal(b.size, 1000);
    buf_append_byte(&b, 0);
    assert_int_equal(buf_check(&b, &err), ERR_LIMIT);
    assert_int_equal(b.size, 1000);
    buf_fini(&b);
    buf_fini(&b);
}

static void test_the_first_failure_sticks_until_cleared(void **state)
{
    (void)state;
    struct buf b = buf_new(4);
    struct err err;
    buf_append_text(&b, "too long");
    buf_append_text(&b, "ok");
    assert_int_equal(b.size, 0);
    assert_null(buf_extend(&b, 1));
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_check(&b, &err), ERR_LIMIT);
    buf_clear(&b);
    buf_append_text(&b, "ok");
    assert_int_equal(buf_check(&b, &err), 0);
    assert_string_equal(buf_text(&b), "ok");
    buf_fini(&b);
}

static void test_a_length_that_would_overflow_is_a_limit(void **state)
{
    (void)state;
    struct buf b = buf_new(100);
    struct err err;
    buf_append_text(&b, "x");
    assert_null(buf_extend(&b, SIZE_MAX));
    assert_int_equal(buf_check(&b, &err), ERR_LIMIT);
    buf_fini(&b);
}

static void test_formatted_text_is_appended_whole_or_not(void **state)
{
    (void)state;
    struct buf b = buf_new(8);
    struct err err;
    buf_append_format(&b, "%d-%s", 42, "abc");
    assert_string_equal(buf_text(&b), "42-abc");
    buf_append_format(&b, "%s", "more than fits");
    assert_int_equal(buf_check(&b, &err), ERR_LIMIT);
    assert_int_equal(b.size, 6);
    buf_fini(&b);
}

static void test_integers_are_little_endian_at_any_alignment(void **state)
{
    (void)state;
    uint8_t raw[16] = {0};
    for (size_t at = 0; at < 8; at++) {
        bytes_put_u64(raw + at, 0x1122334455667788);
        assert_int_equal(raw[at], 0x88);
        assert_true(bytes_get_u64(raw + at) == 0x1122334455667788);
        bytes_put_u32(raw + at, 0xaabbccdd);
        assert_int_equal(raw[at], 0xdd);
        assert_true(bytes_get_u32(raw + at) == 0xaabbccdd);
    }
}

static void test_a_sentence_is_built_from_the_inside_out(void **state)
{
    (void)state;
    struct err err;
    int rc = err_set(&err, ERR_NOTFOUND, "block %d missing", 3);
    rc = err_wrap(&err, rc, "update of %s", "hospital-b");
    rc = err_wrap(&err, rc, "round 7");
    assert_int_equal(rc, ERR_NOTFOUND);
    assert_int_equal(err.code, ERR_NOTFOUND);
    assert_string_equal(err.text, "round 7: update of hospital-b: block 3 missing");
    assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
    assert_int_equal(err_wrap(NULL, ERR_IO, "nobody listens"), ERR_IO);
    for (int i = 0; i < 200; i++) /* a chain without end is cut, not overrun */
        rc = err_wrap(&err, rc, "and so on and on");
    assert_true(strlen(err.text) < ERR_TEXT_MAX);
}

static void test_every_code_has_a_name_and_an_exit_status(void **state)
{
    (void)state;
#define CHECK_CODE(name, value)                                                                    \
    assert_string_not_equal(err_name(ERR_##name), "unknown");                                      \
    assert_in_range(err_exit(ERR_##name), 1, 3);
    ERR_CODES(CHECK_CODE)
    assert_string_equal(err_name(ERR_MALFORMED), "malformed");
    assert_string_equal(err_name(-99), "unknown");
    assert_int_equal(err_exit(0), 0);
    assert_int_equal(err_exit(ERR_CORRUPT), 1);
    assert_int_equal(err_exit(ERR_USAGE), 2);
    assert_int_equal(err_exit(ERR_IO), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_buffer_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(test_the_first_failure_sticks_until_cleared),
        cmocka_unit_test(test_a_length_that_would_overflow_is_a_limit),
        cmocka_unit_test(test_formatted_text_is_appended_whole_or_not),
        cmocka_unit_test(test_integers_are_little_endian_at_any_alignment),
        cmocka_unit_test(test_a_sentence_is_built_from_the_inside_out),
        cmocka_unit_test(test_every_code_has_a_name_and_an_exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
