/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#define KIND "colmeia/test/1"

static struct key *key;
static struct cid study;

static int setup(void **state)
{
    (void)state;
    uint8_t seed[KEY_BYTES] = {1};
    study = cid_of(CID_DAG_CBOR, bytes_of_text("study"));
    return key_setup(NULL) | key_from_seed(KEY_ED25519, seed, &key, NULL);
}

static int teardown(void **state)
{
    (void)state;
    key_free(key);
    return 0;
}

/* Fields in an order that is not the canonical one. */
static struct buf make(void)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct record_writer w;
    struct cid cid;
    record_begin(&w);
    cbor_put_uint(record_field(&w, "number"), 7);
    cbor_put_text(record_field(&w, "text"), "hello");
    cbor_put_link(record_field(&w, "a"), &study);
    assert_int_equal(record_sign(&w, KIND, &study, key, &out, &cid, NULL), 0);
    struct cid expected = cid_of(CID_DAG_CBOR, buf_bytes(&out));
    assert_true(cid_equal(&cid, &expected));
    return out;
}

static int decode(struct bytes in, struct err *err)
{
    struct record r;
    char text[16];
    struct key_public by = key_public(key);
    int rc = record_open(in, KIND, &r, err);
    if (rc == 0)
        rc = record_expect(&r, &study, &by, "the test", err);
    if (rc != 0)
        return rc;
    (void)record_uint(&r, "number", 1, 9);
    (void)record_link(&r, "a");
    record_text(&r, "text", text, sizeof text);
    return record_close(&r, err);
}

static void test_a_record_is_a_canonical_map_whatever_the_order_of_writing(void **state)
{
    (void)state;
    struct buf b = make();
    struct cbor c = cbor_reader(buf_bytes(&b));
    static const char *const order[] = {"a", "by", "sig", "kind", "text", "study", "number"};
    assert_int_equal(cbor_take_map(&c, 32), 7);
    for (size_t i = 0; i < 7; i++) {
        cbor_expect_key(&c, order[i]);
        (void)cbor_take_item(&c);
    }
    assert_int_equal(cbor_finish(&c, NULL), 0);
    buf_fini(&b);
}

static void test_what_is_signed_is_the_domain_and_the_map_without_sig(void **state)
{
    (void)state;
    struct buf b = make(), message = buf_new(4096);
    struct record r;
    struct key_public by = key_public(key);
    uint8_t signature[KEY_SIGNATURE_BYTES] = {0};
    assert_int_equal(record_open(buf_bytes(&b), KIND, &r, NULL), 0);
    buf_append_text(&message, "colmeia-record-v1:");
    cbor_put_map(&message, 6);
    for (size_t i = 0; i < r.count; i++) {
        if (bytes_equal(r.fields[i].key, bytes_of_text("sig"))) {
            struct cbor c = cbor_reader(r.fields[i].value);
            memcpy(signature, cbor_take_bytes(&c, 64).data, sizeof signature);
            continue;
        }
        cbor_put_text_bytes(&message, r.fields[i].key);
        buf_append(&message, r.fields[i].value.data, r.fields[i].value.size);
    }
    assert_int_equal(key_verify(&by, buf_bytes(&message), signature, NULL), 0);
    buf_fini(&message);
    buf_fini(&b);
}

static void test_an_opened_record_says_who_and_what(void **state)
{
    (void)state;
    struct buf b = make();
    struct record r;
    struct key_public by = key_public(key);
    char text[16];
    assert_int_equal(record_open(buf_bytes(&b), NULL, &r, NULL), 0);
    assert_string_equal(r.kind, KIND);
    assert_true(key_equal(&r.by, &by));
    assert_true(cid_equal(&r.study, &study));
    assert_int_equal(record_uint(&r, "number", 7, 7), 7);
    record_text(&r, "text", text, sizeof text);
    assert_string_equal(text, "hello");
    struct cid a = record_link(&r, "a");
    assert_true(cid_equal(&a, &study));
    assert_int_equal(record_close(&r, NULL), 0);
    buf_fini(&b);
}

static void test_a_damaged_record_is_refused(void **state)
{
    (void)state;
    struct buf b = make();
    assert_damage_is_refused(buf_bytes(&b), decode);
    buf_fini(&b);
}

static void test_another_kind_signer_or_field_is_refused(void **state)
{
    (void)state;
    struct buf b = make();
    struct key *stranger;
    uint8_t seed[KEY_BYTES] = {2};
    assert_int_equal(key_from_seed(KEY_ED25519, seed, &stranger, NULL), 0);
    assert_others_are_refused(buf_bytes(&b), key, stranger, decode);
    key_free(stranger);
    buf_fini(&b);
}

/* 0x1220 ... of 32 zero bytes, as a link of some codec. */
#define DIGEST                                                                                     \
    "1220"                                                                                         \
    "0000000000000000000000000000000000000000000000000000000000000000"

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"number", "", ERR_MALFORMED, "absent"},
        {"number", "00", ERR_MALFORMED, "below the least"},
        {"number", "0a", ERR_MALFORMED, "above the most"},
        {"number", "fb4014000000000000", ERR_MALFORMED, "a float"},
        {"number", "20", ERR_MALFORMED, "negative"},
        {"text", "60", ERR_MALFORMED, "empty"},
        {"text", "62610a", ERR_MALFORMED, "a line end"},
        {"text", "62617f", ERR_MALFORMED, "a delete"},
        {"text", "70 61616161616161616161616161616161", ERR_LIMIT, "sixteen bytes for fifteen"},
        {"text", "4161", ERR_MALFORMED, "bytes"},
        {"a", "f6", ERR_MALFORMED, "null for a link"},
        {"a", "d82a5825000155" DIGEST, ERR_MALFORMED, "a raw block"},
        {"a", "d82a582300" DIGEST, ERR_MALFORMED, "version 0"},
        {"a", "d82a4800017100 03 010203", ERR_MALFORMED, "an identity CID"},
        {"study", "", ERR_DENIED, "no study"},
        {"study", "00", ERR_DENIED, "another study"},
    };
    struct buf b = make();
    assert_rows_are_refused(buf_bytes(&b), key, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&b);
}

static void test_a_record_without_a_study_has_no_such_field(void **state)
{
    (void)state;
    struct buf b = make();
    struct record r;
    struct err err = {0};
    assert_int_equal(record_open(buf_bytes(&b), KIND, &r, NULL), 0);
    assert_int_equal(record_expect(&r, NULL, NULL, "", &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "unknown field study"));
    buf_fini(&b);
}

static void test_the_first_failure_of_a_take_is_the_one_told(void **state)
{
    (void)state;
    struct buf b = make();
    struct record r;
    struct err err = {0};
    char text[16];
    uint8_t bytes[4];
    assert_int_equal(record_open(buf_bytes(&b), KIND, &r, NULL), 0);
    assert_int_equal(record_uint(&r, "number", 8, 9), 0);
    record_bytes(&r, "text", bytes, sizeof bytes);
    record_text(&r, "none", text, sizeof text);
    assert_int_equal(record_close(&r, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "field number: "));
    assert_non_null(strstr(err.text, "out of range"));
    buf_fini(&b);
}

static void test_an_unknown_field_is_named_only_if_its_name_is_harmless(void **state)
{
    (void)state;
    struct buf b = make(), changed = buf_new(RECORD_BYTES_MAX);
    struct err err = {0};
    hostile_remake(buf_bytes(&b), NULL, key, "evil\x1b[2J", "00", &changed);
    assert_int_equal(decode(buf_bytes(&changed), &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "an unknown field"));
    assert_null(strstr(err.text, "evil"));
    buf_fini(&changed);
    buf_fini(&b);
}

static void test_a_writer_past_its_limits_fails_and_leaves_nothing(void **state)
{
    (void)state;
    static char names[RECORD_FIELDS_MAX + 1][8];
    struct record_writer w;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    record_begin(&w);
    for (size_t i = 0; i <= RECORD_FIELDS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "k%zu", i);
        cbor_put_uint(record_field(&w, names[i]), i);
    }
    assert_int_equal(record_sign(&w, KIND, NULL, key, &out, &cid, NULL), ERR_LIMIT);
    assert_int_equal(out.size, 0);

    record_begin(&w);
    struct buf *b = record_field(&w, "big");
    uint8_t *zeros = calloc(RECORD_BYTES_MAX, 1);
    cbor_put_bytes(b, bytes_of(zeros, RECORD_BYTES_MAX - 100));
    assert_int_equal(record_sign(&w, KIND, NULL, key, &out, &cid, NULL), ERR_LIMIT);
    assert_int_equal(out.size, 0);
    free(zeros);

    record_begin(&w); /* one key twice would be two meanings */
    cbor_put_uint(record_field(&w, "x"), 1);
    cbor_put_uint(record_field(&w, "x"), 2);
    assert_int_equal(record_sign(&w, KIND, NULL, key, &out, &cid, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

static void test_a_record_over_the_limit_is_not_looked_at(void **state)
{
    (void)state;
    uint8_t *zeros = calloc(RECORD_BYTES_MAX + 1, 1);
    struct record r;
    assert_non_null(zeros);
    assert_int_equal(record_open(bytes_of(zeros, RECORD_BYTES_MAX + 1), KIND, &r, NULL), ERR_LIMIT);
    free(zeros);
}

static void test_keys_of_other_types_are_for_later_versions(void **state)
{
    (void)state;
    /* {"by": 0xe701 and 33 bytes (secp256k1), "sig": 64 bytes, "kind": "colmeia/test/1"} */
    struct buf b = buf_new(4096);
    uint8_t by[35] = {0xe7, 0x01}, sig[64] = {0};
    cbor_put_map(&b, 3);
    cbor_put_text(&b, "by");
    cbor_put_bytes(&b, bytes_of(by, sizeof by));
    cbor_put_text(&b, "sig");
    cbor_put_bytes(&b, bytes_of(sig, sizeof sig));
    cbor_put_text(&b, "kind");
    cbor_put_text(&b, KIND);
    struct record r;
    assert_int_equal(record_open(buf_bytes(&b), KIND, &r, NULL), ERR_UNSUPPORTED);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_is_a_canonical_map_whatever_the_order_of_writing),
        cmocka_unit_test(test_what_is_signed_is_the_domain_and_the_map_without_sig),
        cmocka_unit_test(test_an_opened_record_says_who_and_what),
        cmocka_unit_test(test_a_damaged_record_is_refused),
        cmocka_unit_test(test_another_kind_signer_or_field_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_record_without_a_study_has_no_such_field),
        cmocka_unit_test(test_the_first_failure_of_a_take_is_the_one_told),
        cmocka_unit_test(test_an_unknown_field_is_named_only_if_its_name_is_harmless),
        cmocka_unit_test(test_a_writer_past_its_limits_fails_and_leaves_nothing),
        cmocka_unit_test(test_a_record_over_the_limit_is_not_looked_at),
        cmocka_unit_test(test_keys_of_other_types_are_for_later_versions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
