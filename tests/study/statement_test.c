/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#include "study/statement.h"

static struct key *coordinator, *stranger;
static struct cid study, record;

static int setup(void **state)
{
    (void)state;
    uint8_t a[KEY_BYTES] = {1}, b[KEY_BYTES] = {2};
    study = cid_of(CID_DAG_CBOR, bytes_of_text("study"));
    record = cid_of(CID_DAG_CBOR, bytes_of_text("record"));
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

static int decode_head(struct bytes in, struct err *err)
{
    struct head_statement h;
    struct key_public by = key_public(coordinator);
    return statement_decode_head(in, &study, &by, &h, err);
}

static int decode_receipt(struct bytes in, struct err *err)
{
    struct receipt r;
    struct key_public by = key_public(coordinator);
    return statement_decode_receipt(in, &study, &by, &r, err);
}

static void test_a_head_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct key_public by = key_public(coordinator);
    struct head_statement a = {.round = UINT64_MAX, .record = record}, b;
    struct buf out = buf_new(1024); /* all the room it is given on the wire */
    assert_int_equal(statement_sign_head(&a, &study, coordinator, &out, NULL), 0);
    assert_int_equal(statement_decode_head(buf_bytes(&out), &study, &by, &b, NULL), 0);
    assert_true(a.round == b.round && cid_equal(&a.record, &b.record));
    assert_damage_is_refused(buf_bytes(&out), decode_head);
    assert_others_are_refused(buf_bytes(&out), coordinator, stranger, decode_head);
    assert_int_equal(decode_receipt(buf_bytes(&out), NULL), ERR_UNSUPPORTED);
    buf_fini(&out);
}

/* The example of the formats document, written by another program: Python's cryptography 48 and an
 * encoder of twenty lines. */
static void test_the_documented_head_is_made_byte_for_byte(void **state)
{
    (void)state;
    static const char hex[] =
        "a6"
        "626279"
        "5822ed0103a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
        "63736967"
        "5840"
        "7c5aa0ddf51078996a1832f99d6d325df8d8e9932d09072dff8eba1eb9b180f3"
        "3ded0491f2436810bb6bdb3347a39e27a27c989ac608f863873957fd7c5bfc0f"
        "646b696e64"
        "6e636f6c6d6569612f686561642f31"
        "65726f756e64"
        "07"
        "657374756479"
        "d82a58250001711220"
        "0c87ed818fb90f3f88faa6b362cf1e99025f3c1248f8fe513cdb38d03d9dce65"
        "667265636f7264"
        "d82a58250001711220"
        "70ce871f8a3d3fb449bc3c3ace6547cef02dfc74ffe48d912532a724bfdbe5b9";
    uint8_t seed[KEY_BYTES], expected[512];
    for (uint8_t i = 0; i < KEY_BYTES; i++)
        seed[i] = i;
    struct key *key;
    struct head_statement h = {.round = 7, .record = record};
    struct buf out = buf_new(1024);
    size_t size = from_hex(hex, expected, sizeof expected);
    assert_int_equal(key_from_seed(KEY_ED25519, seed, &key, NULL), 0);
    assert_int_equal(statement_sign_head(&h, &study, key, &out, NULL), 0);
    assert_true(bytes_equal(buf_bytes(&out), bytes_of(expected, size)));
    key_free(key);
    buf_fini(&out);
}

static void test_a_receipt_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct key_public by = key_public(coordinator);
    struct receipt a = {.record = record, .round = 3, .sequence = UINT64_MAX, .hash = {1, 2, 3}};
    struct receipt b;
    struct buf out = buf_new(1024);
    assert_int_equal(statement_sign_receipt(&a, &study, coordinator, &out, NULL), 0);
    assert_int_equal(statement_decode_receipt(buf_bytes(&out), &study, &by, &b, NULL), 0);
    assert_true(a.round == b.round && a.sequence == b.sequence && cid_equal(&a.record, &b.record));
    assert_memory_equal(a.hash, b.hash, sizeof a.hash);
    assert_damage_is_refused(buf_bytes(&out), decode_receipt);
    assert_others_are_refused(buf_bytes(&out), coordinator, stranger, decode_receipt);
    assert_int_equal(decode_head(buf_bytes(&out), NULL), ERR_UNSUPPORTED);
    buf_fini(&out);
}

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"record", "", ERR_MALFORMED, "absent"},
        {"record", "f6", ERR_MALFORMED, "null"},
        {"round", "00", ERR_MALFORMED, "round 0"},
        {"round", "", ERR_MALFORMED, "absent"},
        {"sequence", "00", ERR_MALFORMED, "frames are counted from 1"},
        {"hash", "4101", ERR_MALFORMED, "short"},
        {"study", "", ERR_DENIED, "absent"},
    };
    struct head_statement h = {.round = 1, .record = record};
    struct receipt r = {.record = record, .round = 1, .sequence = 1};
    struct buf out = buf_new(1024);
    assert_int_equal(statement_sign_head(&h, &study, coordinator, &out, NULL), 0);
    assert_rows_are_refused(buf_bytes(&out), coordinator, decode_head, rows, 4);
    assert_int_equal(statement_sign_receipt(&r, &study, coordinator, &out, NULL), 0);
    assert_rows_are_refused(buf_bytes(&out), coordinator, decode_receipt, rows,
                            sizeof rows / sizeof rows[0]);
    buf_fini(&out);
}

static void test_nothing_is_stated_of_round_0(void **state)
{
    (void)state;
    struct buf out = buf_new(1024);
    struct head_statement h = {.round = 0, .record = record};
    assert_int_equal(statement_sign_head(&h, &study, coordinator, &out, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_head_is_read_as_it_was_signed),
        cmocka_unit_test(test_the_documented_head_is_made_byte_for_byte),
        cmocka_unit_test(test_a_receipt_is_read_as_it_was_signed),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(test_nothing_is_stated_of_round_0),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
