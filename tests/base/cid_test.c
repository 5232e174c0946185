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

static const char all_bases[] = "079fFvVtTbBcChkKzZmMuU";

static void test_one_cid_is_written_and_read_in_every_base(void **state)
{
    (void)state;
    struct cid c = cid_of(CID_RAW, bytes_of_text("same")), back;
    struct err err;
    for (size_t i = 0; all_bases[i] != '\0'; i++) {
        char text[CID_TEXT_MAX];
        assert_ptr_equal(cid_format_base(&c, all_bases[i], text), text);
        assert_int_equal(text[0], all_bases[i]);
        assert_int_equal(cid_parse(text, &back, &err), 0);
        assert_memory_equal(&c, &back, sizeof c);
    }
}

/* The longest CID that is read, in the bases that hold it; in base2 it would not fit. */
static void test_the_longest_cid_is_written_and_read(void **state)
{
    (void)state;
    uint8_t longest[CID_BYTES_MAX] = {1};
    static const uint8_t head[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe,
                                   0xff, 0xff, 0xff, 0x0f, 0x80, 0x01};
    memcpy(longest + 1, head, sizeof head);
    memset(longest + 1 + sizeof head, 0xff, CID_DIGEST_MAX);
    struct cid c, back;
    struct err err;
    assert_int_equal(cid_decode(bytes_of(longest, 1 + sizeof head + CID_DIGEST_MAX), &c, &err), 0);
    assert_true(cid_codec(&c) == UINT32_MAX);
    for (size_t i = 0; all_bases[i] != '\0'; i++) {
        char text[CID_TEXT_MAX];
        cid_format_base(&c, all_bases[i], text);
        bool fits = strchr("07 9", all_bases[i]) == NULL;
        assert_int_equal(text[0], fits ? all_bases[i] : 'b');
        assert_int_equal(cid_parse(text, &back, &err), 0);
        assert_memory_equal(&c, &back, sizeof c);
    }
    char text[CID_TEXT_MAX];
    assert_int_equal(cid_format_base(&c, 'p', text)[0], 'b'); /* no such base */
}

static void test_a_version_0_and_a_version_1_name_the_same_bytes(void **state)
{
    (void)state;
    struct cid v0, v1, other;
    struct err err;
    char text[CID_TEXT_MAX];
    assert_int_equal(cid_parse("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", &v0, &err), 0);
    v1 = cid_as_v1(&v0);
    assert_cid(&v1, "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y");
    other = cid_as_v0(&v1);
    assert_memory_equal(&other, &v0, sizeof v0);
    other = cid_as_v1(&v1);
    assert_memory_equal(&other, &v1, sizeof v1);
    other = cid_as_v0(&v0);
    assert_memory_equal(&other, &v0, sizeof v0);
    assert_true(bytes_equal(cid_multihash(&v0), cid_multihash(&v1)));
    assert_int_equal(cid_multihash(&v0).size, 34);
    assert_string_equal(cid_format_base(&v0, 'k', text), cid_format(&v0, (char[CID_TEXT_MAX]){0}));
    static const char *const no_v0[] = {
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", /* raw */
        "bafkqaaa",                                                    /* identity */
        "bafkrmib2tbo2ot7cewzaixaxfvv5hef5qvpqq3r6tvjfwrv74jcrcqyvgi", /* sha3-256 */
    };
    for (size_t i = 0; i < sizeof no_v0 / sizeof no_v0[0]; i++) {
        assert_int_equal(cid_parse(no_v0[i], &v1, &err), 0);
        other = cid_as_v0(&v1);
        assert_memory_equal(&other, &v1, sizeof v1);
        other = cid_as_v1(&v1);
        assert_memory_equal(&other, &v1, sizeof v1);
    }
    struct cid none = {0};
    other = cid_as_v1(&none);
    assert_true(cid_is_none(&other));
    other = cid_as_v0(&none);
    assert_true(cid_is_none(&other));
    assert_int_equal(cid_multihash(&none).size, 0);
    assert_false(cid_identity(&none, NULL));
    assert_null(cid_digest(&none));
    assert_int_equal(cid_verify(&none, bytes_of("", 0), &err), ERR_MALFORMED);
}

/* CIDs of "abc" made with Python's hashlib and base64. */
static void test_blocks_of_other_hashes_are_verified(void **state)
{
    (void)state;
    static const char *const known[] = {
        "bafkrgqg5v422de3bpk5myqltjgxcaqjrcltputujvf7kecu653tewvottiqzfgjke5h4dkbwxi6chi765o6uktke"
        "ensdz2aofknmst5fjssj6",
        "bafkrmib2tbo2ot7cewzaixaxfvv5hef5qvpqq3r6tvjfwrv74jcrcqyvgi",
        "bafkrohhgikbeyp4m6jfnberu5z6ty5tpzgr2kfunbskk245un7pq",
        "bafk4bzacic5ibjj7taoe2dlke6l3nhys63uuyijpcrufvrfxjmjlw36376rnc7mhyu4svk3zfxbffvo6iuz4zfiy"
        "2ofkrw7rsjnlsi4g5xkabgjd",
        "bafk6bzacebiiyxumgj6bjyxbu4v2gtxliuxtormlecpnmorjjwmzwtegm5mye",
        "bafkvmicprnbmelotoknvdg5g62gs3j6mlmwwa3if3lwvvvisrtad43ddla",
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct cid c;
        struct err err;
        assert_int_equal(cid_parse(known[i], &c, &err), 0);
        assert_cid(&c, known[i]);
        assert_int_equal(cid_codec(&c), CID_RAW);
        assert_null(cid_digest(&c));
        assert_int_equal(cid_verify(&c, bytes_of_text("abc"), &err), 0);
        assert_int_equal(cid_verify(&c, bytes_of_text("abd"), &err), ERR_MALFORMED);
        assert_non_null(strstr(err.text, "bytes do not hash to CID b"));
        c.bytes[c.size - 1] ^= 1;
        assert_int_equal(cid_verify(&c, bytes_of_text("abc"), &err), ERR_MALFORMED);
    }
}

static void test_a_shortened_digest_proves_nothing_here(void **state)
{
    (void)state;
    uint8_t whole[HASH_MULTI_MAX], bytes[4 + 32] = {1, CID_RAW, 0x13, 32};
    struct cid c;
    struct err err;
    assert_int_equal(hash_multi(0x13, bytes_of_text("abc"), whole), 64);
    memcpy(bytes + 4, whole, 32);
    assert_int_equal(cid_decode(bytes_of(bytes, sizeof bytes), &c, &err), 0);
    assert_int_equal(cid_verify(&c, bytes_of_text("abc"), &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "32 of the 64 bytes"));
}

/* Binary forms, each with a reason. D32 stands for a 32-byte digest. */
#define D16  "0123456789abcdef"
#define D32  D16 D16
#define D128 D32 D32 D32 D32

struct row {
    const char *bytes;
    size_t size;
    int code;           /* 0: read */
    const char *saying; /* what the sentence names */
    const char *why;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct cid c = {.size = 77};
        struct err err = {.code = 0};
        size_t used = 0;
        struct bytes in = bytes_of(rows[i].bytes, rows[i].size);
        int rc = cid_decode(in, &c, &err);
        if (rc != rows[i].code || (rc != 0 && strstr(err.text, rows[i].saying) == NULL))
            fail_msg("%s: %d, %s", rows[i].why, rc, err.text);
        if (rc != 0) {
            assert_int_equal(c.size, 77); /* untouched */
            continue;
        }
        assert_true(bytes_equal(bytes_of(c.bytes, c.size), in));
        assert_int_equal(cid_decode_prefix(in, &c, &used, &err), 0);
        assert_int_equal(used, in.size);
    }
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void test_what_stands_behind_a_cid_is_not_part_of_it(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\x12\x20" D32 "x", 35, ERR_MALFORMED, "1 bytes too many at byte 34", "version 0"},
        {"\x01\x55\x12\x20" D32 "xy", 38, ERR_MALFORMED, "2 bytes too many at byte 36",
         "version 1"},
        {"\x01\x55\x00\x00x", 5, ERR_MALFORMED, "1 bytes too many at byte 4", "an identity"},
    };
    CHECK_ROWS(rows);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cid c;
        size_t used = 0;
        struct err err;
        assert_int_equal(cid_decode_prefix(bytes_of(rows[i].bytes, rows[i].size), &c, &used, &err),
                         0);
        assert_int_equal(used, i == 0 ? 34 : i == 1 ? 36 : 4);
        assert_int_equal(c.size, used);
    }
}

static void test_no_cut_of_a_cid_is_a_cid(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafk4bzacic5ibjj7taoe2dlke6l3nhys63uuyijpcrufvrfxjmjlw36376rnc7mhyu4svk3zfxbffvo6iuz4zfiy"
        "2ofkrw7rsjnlsi4g5xkabgjd",
        "bafkqabtimvwgy3yk",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cid c, other;
        struct err err;
        size_t used;
        assert_int_equal(cid_parse(texts[i], &c, &err), 0);
        for (size_t cut = 0; cut < c.size; cut++)
            assert_int_equal(cid_decode_prefix(bytes_of(c.bytes, cut), &other, &used, &err),
                             ERR_MALFORMED);
        for (size_t cut = 0; cut < strlen(texts[i]); cut++) {
            char text[CID_TEXT_MAX];
            snprintf(text, sizeof text, "%.*s", (int)cut, texts[i]);
            assert_int_not_equal(cid_parse(text, &other, &err), 0);
        }
    }
}

static void test_a_flipped_bit_of_a_cid_is_refused_or_another_cid(void **state)
{
    (void)state;
    struct cid c = cid_of(CID_DAG_CBOR, bytes_of_text("flip")), other;
    for (size_t bit = 0; bit < 8u * c.size; bit++) {
        c.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (cid_decode(bytes_of(c.bytes, c.size), &other, NULL) == 0) {
            assert_memory_equal(&other, &c, sizeof c);
            int rc = cid_verify(&other, bytes_of_text("flip"), NULL);
            assert_int_equal(rc == 0, bit / 8 == 1); /* of the codec's bits no hash knows */
        }
        c.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_malformed_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *saying, *why;
    } bad[] = {
        {"Q", "offset 0", "no multibase"},
        {"hello", "offset 2", "no CID at all"},
        {"zQmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", "no multibase prefix",
         "a version 0 behind a prefix"},
        {"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv", "left over",
         "other bits at the end"},
        {"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku ", "offset 59", "a blank"},
        {" bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "offset 0", "a blank"},
        {"bAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU", "offset 1",
         "upper case under the lower-case prefix"},
    };
    struct cid c = {.size = 77};
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err.text[0] = '\0';
        int rc = cid_parse(bad[i].text, &c, &err);
        if (rc != ERR_MALFORMED || strstr(err.text, bad[i].saying) == NULL)
            fail_msg("%s: %d, %s", bad[i].why, rc, err.text);
        assert_int_equal(c.size, 77);
    }
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
    struct bytes block;
    assert_int_equal(cid_parse("bafkqaaa", &c, &err), 0); /* identity, empty: the gateway's probe */
    assert_null(cid_digest(&c));
    assert_true(cid_identity(&c, &block));
    assert_int_equal(block.size, 0);
    assert_int_equal(cid_verify(&c, bytes_of("", 0), &err), 0);
    assert_int_equal(cid_verify(&c, bytes_of("x", 1), &err), ERR_MALFORMED);
    assert_int_equal(cid_parse("bafkqabtimvwgy3yk", &c, &err), 0);
    assert_true(cid_identity(&c, &block));
    assert_true(cid_identity(&c, NULL));
    assert_true(bytes_equal(block, bytes_of_text("hello\n")));
    assert_int_equal(cid_verify(&c, block, &err), 0);
    assert_int_equal(cid_verify(&c, bytes_of_text("hello!"), &err), ERR_MALFORMED);
    struct cid hashed = cid_of(CID_RAW, bytes_of_text("hello\n"));
    assert_false(cid_identity(&hashed, &block));
}

/* The block of an identity may end as a sha2-256 multihash does; it is none. */
static void test_an_identity_that_looks_like_a_digest_is_none(void **state)
{
    (void)state;
    uint8_t bytes[4 + 34] = {1, CID_RAW, CID_IDENTITY, 34, CID_SHA2_256, HASH_BYTES};
    struct cid c;
    struct err err;
    hash_sha256(bytes_of_text("abc"), bytes + 6);
    assert_int_equal(cid_decode(bytes_of(bytes, sizeof bytes), &c, &err), 0);
    assert_null(cid_digest(&c));
    assert_int_equal(cid_verify(&c, bytes_of_text("abc"), &err), ERR_MALFORMED);
    assert_int_equal(cid_verify(&c, bytes_of(bytes + 4, 34), &err), 0);
}

static void test_no_cid_is_said_as_a_dash(void **state)
{
    (void)state;
    struct cid none = {0};
    char text[CID_TEXT_MAX];
    assert_true(cid_is_none(&none));
    assert_string_equal(cid_format(&none, text), "-");
    assert_string_equal(cid_format_base(&none, 'k', text), "-");
}

/* --- hostile CIDs --- */

static void test_attack_1_an_empty_cid(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", 0, ERR_MALFORMED, "empty", "no bytes"},
        {"\x01", 1, ERR_MALFORMED, "codec at byte 1", "nothing behind the version"},
        {"\x00", 1, ERR_MALFORMED, "byte 0", "a zero"},
    };
    CHECK_ROWS(rows);
    assert_int_equal(cid_decode(bytes_of(NULL, 0), &(struct cid){0}, NULL), ERR_MALFORMED);
    for (size_t i = 0; all_bases[i] != '\0'; i++) {
        char text[2] = {all_bases[i], '\0'};
        assert_int_equal(cid_parse(text, &(struct cid){0}, NULL), ERR_MALFORMED);
    }
    assert_int_equal(cid_parse("", &(struct cid){0}, NULL), ERR_MALFORMED);
    assert_int_equal(cid_parse("-", &(struct cid){0}, NULL), ERR_MALFORMED); /* none, as written */
}

static void test_attack_2_a_bad_character_of_multibase_or_base58(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bad;
    } good[] = {
        {"QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", "0OIl+/=_- \x01\x7f\xc3"},
        {"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "0189AZ=+/ \n\x80\xff"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        for (size_t at = 2; good[i].text[at] != '\0'; at++)
            for (size_t k = 0; good[i].bad[k] != '\0'; k++) {
                char text[CID_TEXT_MAX], said[64];
                struct err err;
                snprintf(text, sizeof text, "%s", good[i].text);
                text[at] = good[i].bad[k];
                assert_int_equal(cid_parse(text, &(struct cid){0}, &err), ERR_MALFORMED);
                snprintf(said, sizeof said, "bad character 0x%02x at offset %zu",
                         (unsigned char)good[i].bad[k], at);
                assert_non_null(strstr(err.text, said));
            }
    for (int prefix = 1; prefix < 256; prefix++) {
        char text[] = "?afkqaaa";
        text[0] = (char)prefix;
        if (strchr(all_bases, prefix) == NULL)
            assert_int_equal(cid_parse(text, &(struct cid){0}, NULL), ERR_MALFORMED);
    }
}

static void test_attack_3_a_version_0_of_the_wrong_length(void **state)
{
    (void)state;
    static const char whole[] = "\x12\x20" D32 D32;
    for (size_t size = 0; size <= 66; size++)
        assert_int_equal(cid_decode(bytes_of(whole, size), &(struct cid){0}, NULL),
                         size == 34 ? 0 : ERR_MALFORMED);
    static const struct row rows[] = {
        {"\x12\x20" D16, 18, ERR_MALFORMED, "a version 0 of 18 bytes, not 34", "cut short"},
        {"\x12\x1f" D32, 34, ERR_MALFORMED, "not version 0 or 1", "31 bytes claimed"},
        {"\x12\x21" D32 "x", 35, ERR_MALFORMED, "not version 0 or 1", "33 bytes claimed"},
        {"\x13\x20" D32, 34, ERR_MALFORMED, "not version 0 or 1", "sha2-512 as version 0"},
        {"\x00\x70\x12\x20" D32, 36, ERR_MALFORMED, "not version 0 or 1", "in version 1's form"},
    };
    CHECK_ROWS(rows);
    static const char *const texts[] = {
        "Q",
        "Qm",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQHH",
        "Qm13C3zZUhGcQoxgkkZLs93E4NsF7ox2G",              /* the base58 of a good version 1 */
        "Qmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", /* 46, but larger than 0x1220ff... */
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(cid_parse(texts[i], &(struct cid){0}, NULL), ERR_MALFORMED);
}

/* Such CIDs can be shown and passed on; that a block is theirs cannot be said. */
static void test_attack_4_an_unknown_codec_or_hash(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *text, *saying;
    } shown[] = {
        {"\x01\x55\x11\x14\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0"
         "\xd8\x9d",
         24, "bafkrcffjte7dmrygqfvluprfof4fbqtmttinrhi", "sha1 is too weak"},
        {"\x01\x55\x1e\x20" D32, 36, NULL, "multihash 0x1e"},
        {"\x01\x55\x22\x20" D32, 36, NULL, "murmur3 is too weak"},
        {"\x01\x55\x9e\xe4\x02\x20" D32, 38, NULL, "multihash 0xb21e"},
        {"\x01\x55\xff\xff\xff\xff\x0f\x20" D32, 40, NULL, "multihash 0xffffffff"},
    };
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        struct cid c, back;
        struct err err;
        char text[CID_TEXT_MAX];
        assert_int_equal(cid_decode(bytes_of(shown[i].bytes, shown[i].size), &c, &err), 0);
        cid_format(&c, text);
        if (shown[i].text != NULL)
            assert_string_equal(text, shown[i].text);
        assert_int_equal(cid_parse(text, &back, &err), 0);
        assert_true(cid_equal(&c, &back));
        assert_null(cid_digest(&c));
        assert_int_equal(cid_verify(&c, bytes_of_text("abc"), &err), ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, shown[i].saying));
        assert_non_null(strstr(err.text, "sha2-256")); /* what to ask for */
    }
    struct cid c;
    assert_int_equal(cid_decode(bytes_of("\x01\xff\xff\xff\xff\x0f\x12\x20" D32, 40), &c, NULL), 0);
    assert_true(cid_codec(&c) == UINT32_MAX);
    static const struct row rows[] = {
        {"\x02\x55\x12\x20" D32, 36, ERR_MALFORMED, "not version 0 or 1", "version 2"},
        {"\x01\x80\x80\x80\x80\x10\x12\x20" D32, 40, ERR_UNSUPPORTED,
         "codec past 32 bits at byte 1", "a codec of 2^32"},
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x12\x20" D32, 44, ERR_UNSUPPORTED,
         "codec past 32 bits at byte 1", "a codec of 2^63 - 1"},
        {"\x01\x55\x80\x80\x80\x80\x10\x20" D32, 40, ERR_UNSUPPORTED, "hash past 32 bits at byte 2",
         "a hash of 2^32"},
    };
    CHECK_ROWS(rows);
}

static void test_attack_5_a_digest_below_20_or_above_128_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\x01\x55\x13\x00", 4, ERR_MALFORMED, "0 bytes at byte 3", "no digest"},
        {"\x01\x55\x13\x13" D32, 23, ERR_MALFORMED, "19 bytes at byte 3", "19 bytes"},
        {"\x01\x55\x13\x14" D32, 24, 0, NULL, "20 bytes"},
        {"\x01\x55\x13\x80\x01" D128, 133, 0, NULL, "128 bytes"},
        {"\x01\x55\x13\x81\x01" D128 "x", 134, ERR_MALFORMED, "129 bytes at byte 3", "129 bytes"},
        {"\x01\x55\x13\xff\xff\xff\xff\xff\xff\xff\xff\x7f" D32, 44, ERR_MALFORMED,
         "9223372036854775807 bytes", "2^63 - 1 bytes"},
        {"\x01\x55\x13\x40" D32, 36, ERR_MALFORMED, "cut short: 32 bytes of 64", "cut short"},
        {"\x01\x55\x12\x1f" D32, 35, ERR_MALFORMED, "sha2-256 digest of 31 bytes", "31 bytes"},
        {"\x01\x55\x12\x21" D32 "x", 37, ERR_MALFORMED, "sha2-256 digest of 33", "33 bytes"},
        {"\x01\x55\x12\x14" D32, 24, ERR_MALFORMED, "sha2-256 digest of 20", "sha2-256 shortened"},
    };
    CHECK_ROWS(rows);
}

static void test_attack_6_an_identity_above_128_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\x01\x55\x00\x00", 4, 0, NULL, "empty"},
        {"\x01\x55\x00\x01x", 5, 0, NULL, "one byte: an identity may be short"},
        {"\x01\x55\x00\x80\x01" D128, 133, 0, NULL, "128 bytes"},
        {"\x01\x55\x00\x81\x01" D128 "x", 134, ERR_MALFORMED, "an identity of 129 bytes",
         "129 bytes"},
        {"\x01\x55\x00\x80\x80\x40" D128, 134, ERR_MALFORMED, "an identity of 1048576 bytes",
         "a block of 1 MiB"},
        {"\x01\x55\x00\x02x", 5, ERR_MALFORMED, "cut short", "more than there is"},
    };
    CHECK_ROWS(rows);
}

static void test_attack_7_a_varint_not_in_its_shortest_form_or_of_more_than_9_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\x81\x00\x55\x12\x20" D32, 37, ERR_MALFORMED, "byte 0", "the version in two bytes"},
        {"\x01\xd5\x00\x12\x20" D32, 37, ERR_MALFORMED, "codec at byte 1", "codec"},
        {"\x01\x55\x92\x00\x20" D32, 37, ERR_MALFORMED, "hash at byte 2", "hash"},
        {"\x01\x55\x12\xa0\x00" D32, 37, ERR_MALFORMED, "length of the digest at byte 3", "length"},
        {"\x01\x55\x00\x80\x00", 5, ERR_MALFORMED, "length of the digest at byte 3",
         "an identity's length"},
        {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x20" D32, 45, ERR_MALFORMED,
         "codec at byte 1", "a codec of ten bytes"},
        {"\x01\x55\x92\x80\x80\x80\x80\x80\x80\x80\x80\x01\x20" D32, 45, ERR_MALFORMED,
         "hash at byte 2", "a hash of ten bytes"},
        {"\x01\x55\x12\xa0\x80\x80\x80\x80\x80\x80\x80\x80\x01" D32, 45, ERR_MALFORMED,
         "length of the digest at byte 3", "a length of ten bytes"},
        {"\x01\x55\x12\xff", 4, ERR_MALFORMED, "length of the digest at byte 3", "cut short"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, ERR_MALFORMED, "byte 0",
         "a version without end"},
    };
    CHECK_ROWS(rows);
}

/* Neither is it read through, nor does the sentence repeat it or what a terminal would obey. */
static void test_attack_8_a_string_of_a_megabyte(void **state)
{
    (void)state;
    enum {
        HUGE_TEXT = 1 << 20
    };
    char *huge = malloc(HUGE_TEXT);
    assert_non_null(huge);
    for (const char *fill = "bz9mQ\n\x1b\x07\x7f\xff"; *fill != '\0'; fill++) {
        struct cid c = {.size = 77};
        struct err err;
        memset(huge, *fill, HUGE_TEXT - 1);
        huge[HUGE_TEXT - 1] = '\0';
        assert_int_equal(cid_parse(huge, &c, &err), ERR_MALFORMED);
        assert_non_null(strstr(err.text, "longer than 303 characters"));
        assert_true(strlen(err.text) < 160);
        for (const char *at = err.text; *at != '\0'; at++)
            assert_true(*at >= ' ' && *at <= '~');
        for (size_t size = 1; size < CID_TEXT_MAX; size++) { /* as few as are looked at */
            huge[size] = '\0';
            assert_int_not_equal(cid_parse(huge, &c, &err), 0);
            for (const char *at = err.text; *at != '\0'; at++)
                assert_true(*at >= ' ' && *at <= '~');
            assert_true(strlen(err.text) < 240);
            huge[size] = *fill;
        }
        assert_int_equal(c.size, 77);
    }
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_bytes_have_their_known_cids),
        cmocka_unit_test(test_a_version_0_is_kept_as_it_is),
        cmocka_unit_test(test_one_cid_is_written_and_read_in_every_base),
        cmocka_unit_test(test_the_longest_cid_is_written_and_read),
        cmocka_unit_test(test_a_version_0_and_a_version_1_name_the_same_bytes),
        cmocka_unit_test(test_blocks_of_other_hashes_are_verified),
        cmocka_unit_test(test_a_shortened_digest_proves_nothing_here),
        cmocka_unit_test(test_what_stands_behind_a_cid_is_not_part_of_it),
        cmocka_unit_test(test_no_cut_of_a_cid_is_a_cid),
        cmocka_unit_test(test_a_flipped_bit_of_a_cid_is_refused_or_another_cid),
        cmocka_unit_test(test_malformed_text_is_refused),
        cmocka_unit_test(test_a_flipped_bit_of_block_or_digest_does_not_verify),
        cmocka_unit_test(test_an_identity_cid_verifies_its_own_bytes_only),
        cmocka_unit_test(test_an_identity_that_looks_like_a_digest_is_none),
        cmocka_unit_test(test_no_cid_is_said_as_a_dash),
        cmocka_unit_test(test_attack_1_an_empty_cid),
        cmocka_unit_test(test_attack_2_a_bad_character_of_multibase_or_base58),
        cmocka_unit_test(test_attack_3_a_version_0_of_the_wrong_length),
        cmocka_unit_test(test_attack_4_an_unknown_codec_or_hash),
        cmocka_unit_test(test_attack_5_a_digest_below_20_or_above_128_bytes),
        cmocka_unit_test(test_attack_6_an_identity_above_128_bytes),
        cmocka_unit_test(test_attack_7_a_varint_not_in_its_shortest_form_or_of_more_than_9_bytes),
        cmocka_unit_test(test_attack_8_a_string_of_a_megabyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
