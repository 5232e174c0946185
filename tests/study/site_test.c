/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#include "base/multibase.h"
#include "study/site.h"

static struct key *own, *other;
static struct key_public curve = {{7}};

static int setup(void **state)
{
    (void)state;
    uint8_t a[KEY_BYTES] = {1}, b[KEY_BYTES] = {2};
    return key_setup(NULL) | key_from_seed(KEY_ED25519, a, &own, NULL) |
           key_from_seed(KEY_ED25519, b, &other, NULL);
}

static int teardown(void **state)
{
    (void)state;
    key_free(own);
    key_free(other);
    return 0;
}

static int decode(struct bytes in, struct err *err)
{
    struct site s;
    return site_decode(in, &s, NULL, err);
}

static struct buf make(struct site *s)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(site_make("hospital-a", own, &curve, &out, s, NULL), 0);
    return out;
}

static void test_a_site_is_read_as_it_was_made(void **state)
{
    (void)state;
    struct site made, read;
    struct key_public by, ed25519 = key_public(own);
    struct buf b = make(&made);
    assert_int_equal(site_decode(buf_bytes(&b), &read, &by, NULL), 0);
    assert_memory_equal(&made, &read, sizeof made);
    assert_string_equal(read.name, "hospital-a");
    assert_true(cid_is_none(&read.prev));
    assert_true(key_equal(&read.ed25519, &ed25519));
    assert_true(key_equal(&read.curve, &curve));
    assert_true(key_equal(&by, &ed25519));
    buf_fini(&b);
}

static void test_a_damaged_site_is_refused(void **state)
{
    (void)state;
    struct site s;
    struct buf b = make(&s);
    assert_damage_is_refused(buf_bytes(&b), decode);
    assert_others_are_refused(buf_bytes(&b), own, other, decode);
    buf_fini(&b);
}

#define LINK "d82a582500017112200000000000000000000000000000000000000000000000000000000000000000"

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"name", "", ERR_MALFORMED, "absent"},
        {"name", "632e2e2f", ERR_MALFORMED, "a path"},
        {"prev", "", ERR_MALFORMED, "absent"},
        {"prev", "00", ERR_MALFORMED, "a number"},
        {"ed25519", "", ERR_MALFORMED, "absent"},
        {"ed25519", "5822e7010000000000000000000000000000000000000000000000000000000000000000",
         ERR_UNSUPPORTED, "a key of another type"},
        {"ed25519", "5822ed010000000000000000000000000000000000000000000000000000000000000000",
         ERR_DENIED, "not the signer's key"},
        {"curve", "", ERR_MALFORMED, "absent"},
        {"curve", "4107", ERR_MALFORMED, "short"},
        {"study", LINK, ERR_MALFORMED, "a site is of no study"},
    };
    struct site s;
    struct buf b = make(&s);
    assert_rows_are_refused(buf_bytes(&b), own, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&b);
}

static void test_a_later_record_is_signed_by_the_earlier_key(void **state)
{
    (void)state;
    struct site s;
    struct key_public by, old = key_public(other);
    struct buf b = make(&s), later = buf_new(RECORD_BYTES_MAX);
    hostile_remake(buf_bytes(&b), NULL, other, "prev", LINK, &later);
    assert_int_equal(site_decode(buf_bytes(&later), &s, &by, NULL), 0);
    assert_false(cid_is_none(&s.prev));
    assert_true(key_equal(&by, &old)); /* and the caller compares */
    buf_fini(&later);
    buf_fini(&b);
}

/* --- the string --- */

static void test_a_site_string_gives_the_record_back(void **state)
{
    (void)state;
    struct site s;
    struct buf b = make(&s), text = buf_new(SITE_STRING_MAX), back = buf_new(RECORD_BYTES_MAX);
    site_format(buf_bytes(&b), &text);
    assert_int_equal(buf_check(&text, NULL), 0);
    assert_memory_equal(text.data, "colmeia-site-1:u", 16);
    assert_int_equal(site_parse(buf_text(&text), &back, NULL), 0);
    assert_true(bytes_equal(buf_bytes(&b), buf_bytes(&back)));
    buf_fini(&back);
    buf_fini(&text);
    buf_fini(&b);
}

static void test_a_site_string_with_any_character_changed_is_refused(void **state)
{
    (void)state;
    struct site s;
    struct buf b = make(&s), text = buf_new(SITE_STRING_MAX), back = buf_new(RECORD_BYTES_MAX);
    site_format(buf_bytes(&b), &text);
    (void)buf_text(&text);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t kept = text.data[i];
        text.data[i] = kept == 'A' ? 'B' : 'A';
        assert_int_not_equal(site_parse(buf_text(&text), &back, NULL), 0);
        text.data[i] = 0; /* cut */
        assert_int_not_equal(site_parse((const char *)text.data, &back, NULL), 0);
        text.data[i] = kept;
    }
    assert_int_equal(back.size, 0);
    buf_fini(&back);
    buf_fini(&text);
    buf_fini(&b);
}

static void test_hostile_strings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *why;
    } rows[] = {
        {"", ERR_MALFORMED, "empty"},
        {"colmeia-site-1:", ERR_MALFORMED, "nothing behind the prefix"},
        {"colmeia-site-1:u", ERR_MALFORMED, "no record"},
        {"colmeia-site-2:uoA", ERR_MALFORMED, "another version"},
        {"colmeia-invitation-1:uoA", ERR_MALFORMED, "another kind of string"},
        {" colmeia-site-1:uoA", ERR_MALFORMED, "a space before it"},
        {"colmeia-site-1:uoA\n", ERR_MALFORMED, "a line end"},
        {"colmeia-site-1:uo A", ERR_MALFORMED, "a space inside"},
        {"colmeia-site-1:uoA==", ERR_MALFORMED, "padding"},
        {"colmeia-site-1:fa0", ERR_MALFORMED, "base16: one record would have two strings"},
        {"colmeia-site-1:uoA", ERR_MALFORMED, "an empty map"},
    };
    struct buf back = buf_new(RECORD_BYTES_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = site_parse(rows[i].text, &back, NULL);
        if (rc != rows[i].code)
            fail_msg("\"%s\" (%s): code %d", rows[i].text, rows[i].why, rc);
    }
    char *large = malloc(SITE_STRING_MAX + 2);
    assert_non_null(large);
    memset(large, 'A', SITE_STRING_MAX + 1);
    memcpy(large, "colmeia-site-1:u", 16);
    large[SITE_STRING_MAX + 1] = '\0';
    assert_int_equal(site_parse(large, &back, NULL), ERR_LIMIT);
    large[SITE_STRING_MAX] = '\0';
    assert_int_equal(site_parse(large, &back, NULL), ERR_MALFORMED);
    free(large);
    assert_int_equal(back.size, 0);
    buf_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_site_is_read_as_it_was_made),
        cmocka_unit_test(test_a_damaged_site_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_later_record_is_signed_by_the_earlier_key),
        cmocka_unit_test(test_a_site_string_gives_the_record_back),
        cmocka_unit_test(test_a_site_string_with_any_character_changed_is_refused),
        cmocka_unit_test(test_hostile_strings_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
