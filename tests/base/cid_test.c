/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/multibase.h"

/* The CIDs of known bytes, from the UnixFS specification's appendix and Kubo. */
static void test_known_bytes_have_their_known_cids(void **state)
{
    (void)state;
    static const struct {
        uint32_t codec;
        const char *bytes;
        size_t size;
        const char *cid;
    } known[] = {
        {CID_RAW, "", 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
        {CID_DAG_PB, "\x0a\x02\x08\x01", 4,
         "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct cid c = cid_of(known[i].codec, bytes_of(known[i].bytes, known[i].size)), back;
        char text[CID_TEXT_MAX];
        struct err err;
        assert_string_equal(cid_format(&c, text), known[i].cid);
        assert_int_equal(cid_parse(text, &back, &err), 0);
        assert_true(cid_equal(&c, &back));
        assert_memory_equal(&c, &back, sizeof c);
        assert_int_equal(cid_codec(&back), known[i].codec);
        assert_int_equal(cid_verify(&c, bytes_of(known[i].bytes, known[i].size), &err), 0);
    }
}

static void test_a_version_0_is_kept_as_it_is(void **state)
{
    (void)state;
    static const char text[] =
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"; /* the empty file */
    struct cid c;
    struct err err;
    char again[CID_TEXT_MAX];
    assert_int_equal(cid_parse(text, &c, &err), 0);
    assert_int_equal(c.size, 34);
    assert_string_equal(cid_format(&c, again), text);
    assert_int_equal(cid_codec(&c), CID_DAG_PB);
    assert_int_equal(cid_verify(&c, bytes_of("\x0a\x04\x08\x02\x18\x00", 6), &err), 0);
    assert_int_equal(cid_verify(&c, bytes_of("\x0a\x04\x08\x02\x18\x01", 6), &err), ERR_MALFORMED);
}

static void test_one_cid_is_read_in_every_base(void **state)
{
    (void)state;
    struct cid c = cid_of(CID_RAW, bytes_of_text("same")), back;
    static const char bases[] = "bBfFkKzmu";
    struct err err;
    for (size_t i = 0; bases[i] != '\0'; i++) {
        struct buf text = buf_new(256);
        multibase_encode(bases[i], bytes_of(c.bytes, c.size), &text);
        int rc = cid_parse(buf_text(&text), &back, &err);
        if (text.size >= CID_TEXT_MAX) {
            assert_int_equal(rc, ERR_MALFORMED); /* hexadecimal is longer than we look at */
        } else {
            assert_int_equal(rc, 0);
            assert_true(cid_equal(&c, &back));
        }
        buf_fini(&text);
    }
}

/* Binary forms, each with a reason. D32 stands for a 32-byte digest. */
#define D16 "0123456789abcdef"
#define D32 D16 D16

static void test_malformed_cids_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *why;
    } bad[] = {
        {"", 0, ERR_MALFORMED, "empty"},
        {"\x01", 1, ERR_MALFORMED, "nothing behind the version"},
        {"\x02\x55\x12\x20" D32, 36, ERR_MALFORMED, "version 2"},
        {"\x00\x55\x12\x20" D32, 36, ERR_MALFORMED, "version 0 in a version 1's form"},
        {"\x12\x20" D16, 18, ERR_MALFORMED, "version 0 cut short"},
        {"\x12\x20" D32 "x", 35, ERR_MALFORMED, "a byte behind a version 0"},
        {"\x01\x55\x12\x20" D32 "x", 37, ERR_MALFORMED, "a byte behind a version 1"},
        {"\x01\x55\x12\x20" D16, 20, ERR_MALFORMED, "digest cut short"},
        {"\x01\x55\x12\x1f" D32, 35, ERR_MALFORMED, "sha2-256 of 31 bytes"},
        {"\x01\x55\x12\x10" D16, 20, ERR_MALFORMED, "sha2-256 of 16 bytes"},
        {"\x01\x55\x13\x10" D16, 20, ERR_MALFORMED, "a digest below 20 bytes"},
        {"\x01\x55\x13\x81\x01" D32 D32 D32 D32 "x", 134, ERR_MALFORMED, "a digest of 129 bytes"},
        {"\x01\x55\x00\x81\x01" D32 D32 D32 D32 "x", 134, ERR_MALFORMED,
         "an identity of 129 bytes"},
        {"\x81\x00\x55\x12\x20" D32, 37, ERR_MALFORMED, "version's varint not minimal"},
        {"\x01\xd5\x00\x12\x20" D32, 37, ERR_MALFORMED, "codec's varint not minimal"},
        {"\x01\x55\x12\xa0\x00" D32, 37, ERR_MALFORMED, "length's varint not minimal"},
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x20" D32, 45, ERR_MALFORMED,
         "a varint of ten bytes"},
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x12\x20" D32, 44, ERR_UNSUPPORTED,
         "a codec past 32 bits"},
        {"\x01\x55\x13\x40" D32 D32, 68, ERR_UNSUPPORTED, "sha2-512, which no store of ours holds"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cid c = {.size = 77};
        struct err err;
        int rc = cid_decode(bytes_of(bad[i].bytes, bad[i].size), &c, &err);
        if (rc != bad[i].code)
            fail_msg("%s: %d, not %d", bad[i].why, rc, bad[i].code);
        assert_int_equal(c.size, 77); /* untouched */
    }
}

static void test_malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "b",
        "Q",
        "Qm",
        "hello",
        "zQmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", /* a version 0 has no prefix */
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ0",  /* 0 is not in base58 */
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQHH", /* too long */
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk1",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv", /* other bits left over */
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku ",
    };
    struct cid c;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (cid_parse(bad[i], &c, &err) == 0)
            fail_msg("\"%s\" was read", bad[i]);
    char *huge = malloc(1u << 20);
    assert_non_null(huge);
    memset(huge, 'b', (1u << 20) - 1);
    huge[(1u << 20) - 1] = '\0';
    assert_int_equal(cid_parse(huge, &c, &err), ERR_MALFORMED);
    free(huge);
}

static void test_a_flipped_bit_of_block_or_digest_does_not_verify(void **state)
{
    (void)state;
    uint8_t block[33];
    random_bytes(block, sizeof block);
    struct cid c = cid_of(CID_DAG_CBOR, bytes_of(block, sizeof block));
    struct err err;
    for (size_t bit = 0; bit < 8 * sizeof block; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(cid_verify(&c, bytes_of(block, sizeof block), &err), ERR_MALFORMED);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * HASH_BYTES; bit++) {
        struct cid other = c;
        other.bytes[4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(cid_verify(&other, bytes_of(block, sizeof block), &err), ERR_MALFORMED);
    }
    assert_int_equal(cid_verify(&c, bytes_of(block, sizeof block), &err), 0);
}

static void test_an_identity_cid_verifies_its_own_bytes_only(void **state)
{
    (void)state;
    struct cid c;
    struct err err;
    assert_int_equal(cid_parse("bafkqaaa", &c, &err), 0); /* identity, empty: the gateway's probe */
    assert_null(cid_digest(&c));
    assert_int_equal(cid_verify(&c, bytes_of("", 0), &err), 0);
    assert_int_equal(cid_verify(&c, bytes_of("x", 1), &err), ERR_MALFORMED);
}

static void test_no_cid_is_said_as_a_dash(void **state)
{
    (void)state;
    struct cid none = {0};
    char text[CID_TEXT_MAX];
    assert_true(cid_is_none(&none));
    assert_string_equal(cid_format(&none, text), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_bytes_have_their_known_cids),
        cmocka_unit_test(test_a_version_0_is_kept_as_it_is),
        cmocka_unit_test(test_one_cid_is_read_in_every_base),
        cmocka_unit_test(test_malformed_cids_are_refused),
        cmocka_unit_test(test_malformed_text_is_refused),
        cmocka_unit_test(test_a_flipped_bit_of_block_or_digest_does_not_verify),
        cmocka_unit_test(test_an_identity_cid_verifies_its_own_bytes_only),
        cmocka_unit_test(test_no_cid_is_said_as_a_dash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
