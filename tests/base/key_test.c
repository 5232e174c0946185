/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <sys/stat.h>

#include "base/key.h"

static struct key *key_of(enum key_kind kind, const char *hex)
{
    uint8_t seed[KEY_BYTES];
    struct key *k;
    assert_int_equal(from_hex(hex, seed, sizeof seed), sizeof seed);
    assert_int_equal(key_from_seed(kind, seed, &k, NULL), 0);
    return k;
}

static void assert_hex(const void *got, size_t size, const char *hex)
{
    uint8_t expected[128];
    assert_int_equal(from_hex(hex, expected, sizeof expected), size);
    assert_memory_equal(got, expected, size);
}

/* RFC 8032, section 7.1, tests 1, 2 and 3. */
static const struct {
    const char *seed, *public, *message, *signature;
} rfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
};

static void test_signatures_are_those_of_rfc_8032(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rfc8032 / sizeof rfc8032[0]; i++) {
        struct key *k = key_of(KEY_ED25519, rfc8032[i].seed);
        struct key_public by = key_public(k);
        uint8_t message[8], signature[KEY_SIGNATURE_BYTES];
        size_t size = from_hex(rfc8032[i].message, message, sizeof message);
        assert_hex(by.bytes, KEY_BYTES, rfc8032[i].public);
        assert_int_equal(key_sign(k, bytes_of(message, size), signature, NULL), 0);
        assert_hex(signature, sizeof signature, rfc8032[i].signature);
        assert_int_equal(key_verify(&by, bytes_of(message, size), signature, NULL), 0);
        key_free(k);
    }
}

static void test_x25519_publics_are_those_of_rfc_7748_and_zeromq(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        /* RFC 7748, section 6.1: Alice and Bob. */
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
         "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"},
        {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
        /* zmq_curve(7): the server's keys, out of Z85. */
        {"8e0bdd697628b91d8f245587ee95c5b04d48963f79259877b49cd9063aead3b7",
         "54fcba24e93249969316fb617c872bb0c1d1ff14800427c594cbfacf1bc2d652"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct key *k = key_of(KEY_X25519, rows[i][0]);
        struct key_public p = key_public(k);
        uint8_t secret[KEY_BYTES];
        assert_hex(p.bytes, KEY_BYTES, rows[i][1]);
        key_secret_bytes(k, secret);
        assert_hex(secret, KEY_BYTES, rows[i][0]);
        key_free(k);
    }
}

static void test_z85_is_the_form_zeromq_reads(void **state)
{
    (void)state;
    /* zmq_curve(7), and the corners of the alphabet. */
    static const char *const rows[][2] = {
        {"8e0bdd697628b91d8f245587ee95c5b04d48963f79259877b49cd9063aead3b7",
         "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"},
        {"54fcba24e93249969316fb617c872bb0c1d1ff14800427c594cbfacf1bc2d652",
         "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"},
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "0000000000000000000000000000000000000000"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
         "%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct key_public p;
        char text[KEY_Z85_MAX];
        assert_int_equal(from_hex(rows[i][0], p.bytes, KEY_BYTES), KEY_BYTES);
        key_format_z85(&p, text);
        assert_string_equal(text, rows[i][1]);
    }
}

static void test_a_flipped_bit_anywhere_does_not_verify(void **state)
{
    (void)state;
    struct key *k = key_of(KEY_ED25519, rfc8032[2].seed);
    struct key_public by = key_public(k), other;
    uint8_t message[] = "an update", signature[KEY_SIGNATURE_BYTES];
    struct err err;
    assert_int_equal(key_sign(k, bytes_of(message, sizeof message), signature, NULL), 0);
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(key_verify(&by, bytes_of(message, sizeof message), signature, &err),
                         ERR_DENIED);
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_string_equal(err.text, "signature does not verify");
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(key_verify(&by, bytes_of(message, sizeof message), signature, NULL),
                         ERR_DENIED);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * KEY_BYTES; bit++) {
        other = by;
        other.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(key_verify(&other, bytes_of(message, sizeof message), signature, NULL),
                         ERR_DENIED);
        assert_false(key_equal(&by, &other));
    }
    assert_int_equal(key_verify(&by, bytes_of(message, sizeof message), signature, NULL), 0);
    key_free(k);
}

static void test_a_second_form_of_a_good_signature_is_refused(void **state)
{
    (void)state;
    /* S + L verifies in implementations that do not ask for S < L (RFC 8032, 5.1.7). */
    static const uint8_t order[KEY_BYTES] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
                                             0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
                                             0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct key *k = key_of(KEY_ED25519, rfc8032[0].seed);
    struct key_public by = key_public(k);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    unsigned carry = 0;
    assert_int_equal(key_sign(k, bytes_of("m", 1), signature, NULL), 0);
    for (size_t i = 0; i < KEY_BYTES; i++) {
        carry += (unsigned)signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_int_equal(key_verify(&by, bytes_of("m", 1), signature, NULL), ERR_DENIED);
    key_free(k);
}

static void test_keys_of_small_order_sign_nothing(void **state)
{
    (void)state;
    /* For the neutral element as key, R = neutral and S = 0 fit every message unless it is refused.
     */
    struct key_public neutral = {{1}};
    uint8_t signature[KEY_SIGNATURE_BYTES] = {1};
    assert_int_equal(key_verify(&neutral, bytes_of("m", 1), signature, NULL), ERR_DENIED);
    memset(neutral.bytes, 0, sizeof neutral.bytes); /* of order four */
    assert_int_equal(key_verify(&neutral, bytes_of("m", 1), signature, NULL), ERR_DENIED);
}

static void test_an_x25519_key_does_not_sign(void **state)
{
    (void)state;
    struct key *k;
    uint8_t signature[KEY_SIGNATURE_BYTES];
    assert_int_equal(key_new(KEY_X25519, &k, NULL), 0);
    assert_int_equal(key_sign(k, bytes_of("m", 1), signature, NULL), ERR_USAGE);
    key_free(k);
}

static void test_new_keys_differ(void **state)
{
    (void)state;
    struct key *a, *b;
    assert_int_equal(key_new(KEY_ED25519, &a, NULL), 0);
    assert_int_equal(key_new(KEY_ED25519, &b, NULL), 0);
    struct key_public pa = key_public(a), pb = key_public(b);
    assert_false(key_equal(&pa, &pb));
    assert_true(key_equal(&pa, &pa));
    key_free(a);
    key_free(b);
    key_free(NULL);
}

static void test_the_multicodec_form_is_read_back_and_others_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int rc;
        const char *why;
    } rows[] = {
        {"", ERR_MALFORMED, "nothing"},
        {"ed", ERR_MALFORMED, "half a prefix"},
        {"ed01", ERR_MALFORMED, "no key"},
        {"ed01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f70751", ERR_MALFORMED,
         "a byte short"},
        {"ed01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a00", ERR_MALFORMED,
         "a byte long"},
        {"ec01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", ERR_UNSUPPORTED,
         "an X25519 key"},
        {"e70103d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", ERR_UNSUPPORTED,
         "a secp256k1 key"},
    };
    struct key *k = key_of(KEY_ED25519, rfc8032[0].seed);
    struct key_public p = key_public(k), back = {{0}};
    uint8_t coded[KEY_MULTICODEC_BYTES], bytes[64];
    key_encode(&p, coded);
    assert_hex(coded, sizeof coded,
               "ed01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_int_equal(key_decode(bytes_of(coded, sizeof coded), &back, NULL), 0);
    assert_true(key_equal(&p, &back));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t size = from_hex(rows[i].hex, bytes, sizeof bytes);
        if (key_decode(bytes_of(bytes, size), &back, NULL) != rows[i].rc)
            fail_msg("%s", rows[i].why);
        assert_true(key_equal(&p, &back)); /* untouched */
    }
    key_free(k);
}

static void test_a_saved_key_is_loaded_again(void **state)
{
    (void)state;
    static const enum key_kind kinds[] = {KEY_ED25519, KEY_X25519};
    for (size_t i = 0; i < 2; i++) {
        struct key *k, *back;
        struct stat s;
        const char *path = in_scratch(i == 0 ? "sign" : "curve");
        assert_int_equal(key_new(kinds[i], &k, NULL), 0);
        assert_int_equal(key_save(k, path, NULL), 0);
        assert_int_equal(stat(path, &s), 0);
        assert_int_equal(s.st_mode & 07777, 0600);
        assert_int_equal(key_load(kinds[i], path, &back, NULL), 0);
        struct key_public a = key_public(k), b = key_public(back);
        assert_true(key_equal(&a, &b));
        assert_int_equal(key_load(kinds[1 - i], path, &back, NULL), ERR_CORRUPT);
        /* Never written over. */
        assert_int_equal(key_save(back, path, NULL), ERR_EXISTS);
        key_free(k);
        key_free(back);
    }
    assert_int_equal(key_load(KEY_ED25519, in_scratch("none"), &(struct key *){NULL}, NULL),
                     ERR_NOTFOUND);
}

static void test_a_key_file_says_what_it_holds(void **state)
{
    (void)state;
    struct key *k = key_of(KEY_ED25519, rfc8032[0].seed);
    assert_int_equal(key_save(k, in_scratch("k"), NULL), 0);
    struct buf got = read_file(in_scratch("k"));
    assert_string_equal(
        buf_text(&got),
        "colmeia-key-1 ed25519 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n");
    buf_fini(&got);
    key_free(k);
}

static void refused(const char *path, const char *sentence)
{
    struct key *k = NULL;
    struct err err;
    assert_int_equal(key_load(KEY_ED25519, path, &k, &err), ERR_DENIED);
    assert_null(k);
    if (strstr(err.text, sentence) == NULL)
        fail_msg("\"%s\" in \"%s\"", sentence, err.text);
}

static void test_a_key_that_others_could_reach_is_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0640, 0620, 0610, 0604, 0602, 0601, 0666};
    struct key *k;
    assert_int_equal(key_new(KEY_ED25519, &k, NULL), 0);
    assert_int_equal(key_save(k, in_scratch("k"), NULL), 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(in_scratch("k"), modes[i]), 0);
        refused(in_scratch("k"), "run: chmod 600");
    }
    assert_int_equal(chmod(in_scratch("k"), 0400), 0);
    struct key *back;
    assert_int_equal(key_load(KEY_ED25519, in_scratch("k"), &back, NULL), 0);
    key_free(back);
    assert_int_equal(symlink("k", in_scratch("link")), 0);
    refused(in_scratch("link"), "symbolic link");
    assert_int_equal(key_save(k, in_scratch("link"), NULL), ERR_EXISTS);
    assert_int_equal(symlink("elsewhere", in_scratch("dangling")), 0);
    assert_int_equal(key_save(k, in_scratch("dangling"), NULL), ERR_EXISTS);
    assert_int_equal(mkfifo(in_scratch("pipe"), 0600), 0);
    refused(in_scratch("pipe"), "not a plain file"); /* and did not wait for a writer */
    /* Only root can make a file of somebody else's. */
    if (geteuid() == 0) {
        assert_int_equal(chown(in_scratch("k"), 12345, 12345), 0);
        refused(in_scratch("k"), "another user");
    }
    key_free(k);
}

#define HEX "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"

static void test_a_damaged_key_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "empty"},
        {"colmeia-key-1 ed25519 " HEX, "no line end"},
        {"colmeia-key-1 ed25519 " HEX "\n\n", "a line too many"},
        {"colmeia-key-1 ed25519 " HEX "00\n", "33 bytes"},
        {"colmeia-key-1 ed25519 9d61\n", "2 bytes"},
        {"colmeia-key-1 ed25519 x" HEX "\n", "not hex"},
        {"colmeia-key-2 ed25519 " HEX "\n", "another version"},
        {"colmeia-key-1 x25519 " HEX "\n", "another kind"},
        {"colmeia-key-1 ed25519  " HEX "\n", "two blanks"},
        {HEX "\n", "no name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct key *k = NULL;
        struct err err;
        write_file(in_scratch("k"), bytes_of_text(rows[i].text));
        assert_int_equal(chmod(in_scratch("k"), 0600), 0);
        if (key_load(KEY_ED25519, in_scratch("k"), &k, &err) != ERR_CORRUPT)
            fail_msg("%s", rows[i].why);
        assert_null(strstr(err.text, "9d61")); /* a message shows no secret */
    }
}

static void test_a_key_that_cannot_be_saved_leaves_no_file(void **state)
{
    (void)state;
    struct key *k;
    assert_int_equal(key_new(KEY_ED25519, &k, NULL), 0);
    assert_int_equal(key_save(k, in_scratch("none/k"), NULL), ERR_NOTFOUND);
    assert_false(files_exists(files_posix(), in_scratch("none")));
    key_free(k);
}

static void test_secrets_are_compared_and_wiped(void **state)
{
    (void)state;
    uint8_t a[16] = "0123456789abcde", b[16] = "0123456789abcde";
    assert_true(key_secret_equal(a, b, sizeof a));
    b[15] ^= 1;
    assert_false(key_secret_equal(a, b, sizeof a));
    key_wipe(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        assert_int_equal(a[i], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_are_those_of_rfc_8032),
        cmocka_unit_test(test_x25519_publics_are_those_of_rfc_7748_and_zeromq),
        cmocka_unit_test(test_z85_is_the_form_zeromq_reads),
        cmocka_unit_test(test_a_flipped_bit_anywhere_does_not_verify),
        cmocka_unit_test(test_a_second_form_of_a_good_signature_is_refused),
        cmocka_unit_test(test_keys_of_small_order_sign_nothing),
        cmocka_unit_test(test_an_x25519_key_does_not_sign),
        cmocka_unit_test(test_new_keys_differ),
        cmocka_unit_test(test_the_multicodec_form_is_read_back_and_others_refused),
        TEST(test_a_saved_key_is_loaded_again),
        TEST(test_a_key_file_says_what_it_holds),
        TEST(test_a_key_that_others_could_reach_is_refused),
        TEST(test_a_damaged_key_file_is_refused),
        TEST(test_a_key_that_cannot_be_saved_leaves_no_file),
        cmocka_unit_test(test_secrets_are_compared_and_wiped),
    };
    struct err err;
    if (key_setup(&err) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
