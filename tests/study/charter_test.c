/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#include "study/charter.h"

static struct key *founder, *stranger;

static int setup(void **state)
{
    (void)state;
    uint8_t a[KEY_BYTES] = {1}, b[KEY_BYTES] = {2};
    return key_setup(NULL) | key_from_seed(KEY_ED25519, a, &founder, NULL) |
           key_from_seed(KEY_ED25519, b, &stranger, NULL);
}

static int teardown(void **state)
{
    (void)state;
    key_free(founder);
    key_free(stranger);
    return 0;
}

static int decode(struct bytes in, struct err *err)
{
    struct charter c;
    return charter_decode(in, &c, err);
}

static struct buf make(struct charter *c)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(charter_make("breast-cancer", founder, 1234, &out, c, NULL), 0);
    return out;
}

static void test_a_charter_is_read_as_it_was_made(void **state)
{
    (void)state;
    struct charter made, read;
    struct key_public by = key_public(founder);
    struct buf b = make(&made);
    assert_int_equal(charter_decode(buf_bytes(&b), &read, NULL), 0);
    assert_memory_equal(&made, &read, sizeof made);
    assert_string_equal(read.name, "breast-cancer");
    assert_int_equal(read.created_s, 1234);
    assert_true(key_equal(&read.founder, &by));
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&b));
    assert_true(cid_equal(&read.cid, &cid));
    buf_fini(&b);
}

static void test_two_charters_of_the_same_words_are_two_studies(void **state)
{
    (void)state;
    struct charter a, b;
    struct buf x = make(&a), y = make(&b);
    assert_false(cid_equal(&a.cid, &b.cid));
    buf_fini(&x);
    buf_fini(&y);
}

static void test_a_bad_name_makes_no_charter(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "Upper",
                                        "a b",
                                        "-a",
                                        "a/b",
                                        "0123456789012345678901234567890123456789012345678901234567"
                                        "8901234"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf out = buf_new(RECORD_BYTES_MAX);
        struct charter c = {.created_s = 9};
        assert_int_not_equal(charter_make(names[i], founder, 1, &out, &c, NULL), 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(c.created_s, 9);
        buf_fini(&out);
    }
}

static void test_a_damaged_charter_is_refused(void **state)
{
    (void)state;
    struct charter c;
    struct buf b = make(&c);
    assert_damage_is_refused(buf_bytes(&b), decode);
    assert_others_are_refused(buf_bytes(&b), founder, stranger, decode);
    buf_fini(&b);
}

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"name", "", ERR_MALFORMED, "absent"},
        {"name", "6141", ERR_MALFORMED, "an upper-case name"},
        {"founder", "", ERR_MALFORMED, "absent"},
        {"founder", "42ed01", ERR_MALFORMED, "cut short"},
        {"nonce", "4101", ERR_MALFORMED, "short"},
        {"nonce", "", ERR_MALFORMED, "absent"},
        {"created", "20", ERR_MALFORMED, "before 1970"},
        {"created", "1b0000010000000000", ERR_MALFORMED, "in the year 36812"},
        {"study", "00", ERR_MALFORMED, "a charter is of no study but its own"},
    };
    struct charter c;
    struct buf b = make(&c);
    assert_rows_are_refused(buf_bytes(&b), founder, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_charter_is_read_as_it_was_made),
        cmocka_unit_test(test_two_charters_of_the_same_words_are_two_studies),
        cmocka_unit_test(test_a_bad_name_makes_no_charter),
        cmocka_unit_test(test_a_damaged_charter_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
