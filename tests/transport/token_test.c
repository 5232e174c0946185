/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"
#include "transport/token.h"

static const struct token_maker maker = {.key = "0123456789abcdef0123456789abcde"};

static int check(const char *text, uint64_t now_ms, uint32_t *site)
{
    return token_check(&maker, bytes_of_text(text), now_ms, site, NULL);
}

static void test_a_token_names_its_site_until_it_is_over(void **state)
{
    (void)state;
    static const uint32_t sites[] = {0, 1, 9999, UINT32_MAX};
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        char text[TOKEN_TEXT_MAX];
        uint32_t site = 77;
        token_make(&maker, sites[i], 1000, text);
        assert_int_equal(check(text, 999, &site), 0);
        assert_int_equal(site, sites[i]);
        site = 77;
        assert_int_equal(check(text, 1000, &site), ERR_DENIED);
        assert_int_equal(check(text, UINT64_MAX, &site), ERR_DENIED);
        assert_int_equal(site, 77); /* untouched */
    }
}

static void test_a_token_can_stand_in_a_header_and_in_a_message(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_MAX];
    for (uint32_t site = 0; site < 200; site++) {
        token_make(&maker, site, UINT64_MAX, text);
        assert_int_equal(strlen(text), 49); /* u, and 36 bytes in base64url */
        assert_int_equal(
            strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), 49);
    }
}

/* The token's bytes as docs say: site, expiry, HMAC. Made with Python's hmac and base64. */
static void test_the_form_is_the_documented_one(void **state)
{
    (void)state;
    struct token_maker m = {{0}};
    char text[TOKEN_TEXT_MAX];
    for (uint8_t i = 0; i < TOKEN_KEY_BYTES; i++)
        m.key[i] = i;
    token_make(&m, 7, 1234567890123, text);
    assert_string_equal(text, "uBwAAAMsE-3EfAQAACYAx0wK6921dSdJuRTm8o1JkBL8jFloI");
}

static void test_every_changed_character_is_refused(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_MAX];
    uint32_t site;
    token_make(&maker, 3, 1000, text);
    for (size_t i = 0; text[i] != '\0'; i++)
        for (int c = 1; c < 256; c++) {
            char was = text[i];
            if ((char)c == was)
                continue;
            text[i] = (char)c;
            if (check(text, 1, &site) != ERR_DENIED)
                fail_msg("character %zu as \\x%02x", i, (unsigned)c);
            text[i] = was;
        }
}

static void test_another_length_is_refused(void **state)
{
    (void)state;
    char text[2 * TOKEN_TEXT_MAX] = "";
    uint32_t site;
    token_make(&maker, 3, 1000, text);
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(token_check(&maker, bytes_of(text, i), 1, &site, NULL), ERR_DENIED);
    for (size_t i = size; i < sizeof text - 1; i++) {
        text[i] = 'A';
        assert_int_equal(token_check(&maker, bytes_of(text, i + 1), 1, &site, NULL), ERR_DENIED);
    }
    assert_int_equal(token_check(&maker, bytes_of(NULL, 0), 1, &site, NULL), ERR_DENIED);
}

static void test_a_token_of_another_process_is_refused(void **state)
{
    (void)state;
    struct token_maker other = maker;
    char text[TOKEN_TEXT_MAX];
    struct err err;
    uint32_t site;
    other.key[TOKEN_KEY_BYTES - 1] ^= 1;
    token_make(&other, 3, 1000, text);
    assert_int_equal(token_check(&maker, bytes_of_text(text), 1, &site, &err), ERR_DENIED);
    assert_null(strstr(err.text, text)); /* a message shows no token */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_names_its_site_until_it_is_over),
        cmocka_unit_test(test_a_token_can_stand_in_a_header_and_in_a_message),
        cmocka_unit_test(test_the_form_is_the_documented_one),
        cmocka_unit_test(test_every_changed_character_is_refused),
        cmocka_unit_test(test_another_length_is_refused),
        cmocka_unit_test(test_a_token_of_another_process_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
