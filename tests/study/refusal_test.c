/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#include "study/refusal.h"

static struct key *coordinator, *stranger;
static struct cid study;

static int setup(void **state)
{
    (void)state;
    uint8_t a[KEY_BYTES] = {1}, b[KEY_BYTES] = {2};
    study = cid_of(CID_DAG_CBOR, bytes_of_text("study"));
    return key_setup(NULL) | key_from_seed(KEY_ED25519, a, &coordinator, NULL) |
           key_from_seed(KEY_ED25519, b, &stranger, NULL);
}

static int teardown(void **state)
{
    (void)state;
    key_free(coordinator);
    key_free(stranger);
    return 0;
}

static struct refusal example(void)
{
    return (struct refusal){.study = study,
                            .plan = cid_of(CID_DAG_CBOR, bytes_of_text("plan")),
                            .round = 7,
                            .site = cid_of(CID_DAG_CBOR, bytes_of_text("site")),
                            .record = cid_of(CID_DAG_CBOR, bytes_of_text("record")),
                            .code = REFUSAL_NOT_FINITE,
                            .sentence = "hospital-b: shard 0: element 17 is NaN"};
}

static int decode(struct bytes in, struct err *err)
{
    struct refusal r;
    struct key_public by = key_public(coordinator);
    return refusal_decode(in, &study, &by, &r, err);
}

static void test_a_refusal_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct key_public by = key_public(coordinator);
    for (int code = 1; code < REFUSAL_CODE_COUNT; code++) {
        struct refusal a = example(), b;
        struct buf out = buf_new(RECORD_BYTES_MAX);
        a.code = (enum refusal_code)code;
        if (code % 2 == 0)
            a.record = (struct cid){0};
        assert_int_equal(refusal_sign(&a, coordinator, &out, &a.cid, NULL), 0);
        assert_true(out.size < 4096); /* what a control message has room for */
        assert_int_equal(refusal_decode(buf_bytes(&out), &study, &by, &b, NULL), 0);
        assert_memory_equal(&a, &b, sizeof a);
        buf_fini(&out);
    }
}

static void test_a_name_that_no_record_has_is_signed_as_none(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", /* raw */
        "bafkqaaa",                                                    /* identity */
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",              /* version 0 */
    };
    struct key_public by = key_public(coordinator);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct refusal a = example(), b;
        struct buf out = buf_new(RECORD_BYTES_MAX);
        assert_int_equal(cid_parse(names[i], &a.record, NULL), 0);
        assert_int_equal(refusal_sign(&a, coordinator, &out, &a.cid, NULL), 0);
        assert_int_equal(refusal_decode(buf_bytes(&out), &study, &by, &b, NULL), 0);
        assert_true(cid_is_none(&b.record));
        buf_fini(&out);
    }
}

static void test_each_code_has_a_name_and_a_sentence_of_its_own(void **state)
{
    (void)state;
    for (int code = 1; code < REFUSAL_CODE_COUNT; code++) {
        enum refusal_code c = (enum refusal_code)code;
        assert_int_equal(refusal_parse(refusal_name(c)), c);
        for (int other = 0; other < code; other++)
            assert_string_not_equal(refusal_sentence(c),
                                    refusal_sentence((enum refusal_code)other));
    }
    assert_int_equal(refusal_parse("none"), REFUSAL_NONE);
    assert_int_equal(refusal_parse(""), REFUSAL_NONE);
    assert_int_equal(refusal_parse("NaN"), REFUSAL_NONE);
}

static void test_a_task_is_declined_by_the_codes_of_trainers_and_by_no_other(void **state)
{
    (void)state;
    int found = 0;
    for (int code = 0; code < REFUSAL_CODE_COUNT; code++) {
        enum refusal_code c = (enum refusal_code)code;
        bool named = strncmp(refusal_name(c), "trainer-", 8) == 0;
        assert_int_equal(refusal_is_decline(c), named);
        found += named ? 1 : 0;
    }
    assert_int_equal(found, 10);
    assert_false(refusal_is_decline(REFUSAL_CODE_COUNT));
}

static void test_a_damaged_refusal_is_refused(void **state)
{
    (void)state;
    struct refusal r = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(refusal_sign(&r, coordinator, &out, &r.cid, NULL), 0);
    assert_damage_is_refused(buf_bytes(&out), decode);
    assert_others_are_refused(buf_bytes(&out), coordinator, stranger, decode);
    buf_fini(&out);
}

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"plan", "", ERR_MALFORMED, "absent"},
        {"plan", "f6", ERR_MALFORMED, "null"},
        {"round", "00", ERR_MALFORMED, "rounds are counted from 1"},
        {"site", "f6", ERR_MALFORMED, "null"},
        {"record", "", ERR_MALFORMED, "absent rather than null"},
        {"code", "646e6f6e65", ERR_MALFORMED, "none"},
        {"code", "63616263", ERR_MALFORMED, "unknown"},
        {"sentence", "60", ERR_MALFORMED, "empty"},
        {"sentence", "631b5b4a", ERR_MALFORMED, "a terminal's escape"},
        {"study", "", ERR_DENIED, "absent"},
    };
    struct refusal r = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(refusal_sign(&r, coordinator, &out, &r.cid, NULL), 0);
    assert_rows_are_refused(buf_bytes(&out), coordinator, decode, rows,
                            sizeof rows / sizeof rows[0]);
    buf_fini(&out);
}

static void test_a_refusal_without_a_code_or_sentence_is_not_signed(void **state)
{
    (void)state;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct refusal r = example();
    struct cid cid;
    r.code = REFUSAL_NONE;
    assert_int_equal(refusal_sign(&r, coordinator, &out, &cid, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    r = example();
    r.sentence[0] = '\0';
    assert_int_equal(refusal_sign(&r, coordinator, &out, &cid, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_is_read_as_it_was_signed),
        cmocka_unit_test(test_a_name_that_no_record_has_is_signed_as_none),
        cmocka_unit_test(test_each_code_has_a_name_and_a_sentence_of_its_own),
        cmocka_unit_test(test_a_task_is_declined_by_the_codes_of_trainers_and_by_no_other),
        cmocka_unit_test(test_a_damaged_refusal_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_refusal_without_a_code_or_sentence_is_not_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
