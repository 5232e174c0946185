/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/hash.h"

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char got[2 * HASH_BYTES + 1];
    bytes_format_hex(bytes_of(bytes, HASH_BYTES), got);
    assert_string_equal(got, hex);
}

/* FIPS 180-4's examples. */
static void test_sha256_is_that_of_fips_180(void **state)
{
    (void)state;
    uint8_t digest[HASH_BYTES];
    hash_sha256(bytes_of("", 0), digest);
    assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_sha256(bytes_of_text("abc"), digest);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_three_pieces_give_the_digest_of_the_whole(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("pieces", 200), whole[HASH_BYTES], pieces[HASH_BYTES];
    hash_sha256(bytes_of(data, 200), whole);
    for (size_t a = 0; a <= 200; a += 13)
        for (size_t b = a; b <= 200; b += 17) {
            struct hash *h;
            struct err err;
            assert_int_equal(hash_new(&h, &err), 0);
            hash_add(h, bytes_of(data, a));
            hash_add(h, bytes_of(data + a, b - a));
            hash_add(h, bytes_of(data + b, 200 - b));
            hash_finish(h, pieces);
            hash_free(h);
            assert_memory_equal(whole, pieces, HASH_BYTES);
        }
    free(data);
}

/* RFC 4231, cases 2 and 6 (a key longer than a block). */
static void test_hmac_is_that_of_rfc_4231(void **state)
{
    (void)state;
    uint8_t mac[HASH_BYTES], key[131];
    hash_hmac(bytes_of_text("Jefe"), bytes_of_text("what do ya want for nothing?"), mac);
    assert_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hash_hmac(bytes_of(key, sizeof key),
              bytes_of_text("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    assert_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* NIST's examples of FIPS 180-4 and FIPS 202, those of RFC 7693, all of "abc"; the double one was
 * made with Python's hashlib. */
static void test_other_hashes_are_known_by_their_multihash_codes(void **state)
{
    (void)state;
    static const struct {
        uint64_t code;
        const char *hex;
    } known[] = {
        {0x12, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {0x13, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
        {0x14, "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
               "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
        {0x15, "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2"
               "98d88cea927ac7f539f1edf228376d25"},
        {0x16, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
        {0x17, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"},
        {0x56, "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"},
        {0xb220, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
        {0xb240, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                 "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
        {0xb260, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t digest[HASH_MULTI_MAX];
        char hex[2 * HASH_MULTI_MAX + 1];
        size_t size = hash_multi(known[i].code, bytes_of_text("abc"), digest);
        bytes_format_hex(bytes_of(digest, size), hex);
        assert_string_equal(hex, known[i].hex);
    }
}

/* Identity, sha1, blake3, md5, a blake2b that is not of 512 bits, and no code at all. */
static void test_a_hash_that_is_unknown_or_weak_has_no_digest(void **state)
{
    (void)state;
    static const uint64_t unknown[] = {0x00, 0x11, 0x1e, 0xd5, 0xb214, UINT64_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        uint8_t digest[HASH_MULTI_MAX] = {77};
        assert_int_equal(hash_multi(unknown[i], bytes_of_text("abc"), digest), 0);
        assert_int_equal(digest[0], 77);
    }
}

static void test_many_digests_are_those_of_each(void **state)
{
    (void)state;
    enum {
        MOST = 9
    };
    static const size_t sizes[] = {0, 64, 1000};
    uint8_t *data = stream_bytes("many", MOST * 1000);
    for (size_t count = 0; count <= MOST; count++)
        for (unsigned mix = 0; mix < 729; mix++) {
            struct bytes inputs[MOST];
            uint8_t found[MOST + 1][HASH_BYTES], expected[HASH_BYTES];
            unsigned digits = mix * 31 + (unsigned)count;
            memset(found, 77, sizeof found);
            for (size_t i = 0; i < count; i++, digits /= 3)
                inputs[i] = bytes_of(data + i * 1000, sizes[digits % 3]);
            hash_sha256_many(inputs, count, found);
            for (size_t i = 0; i < count; i++) {
                hash_sha256(inputs[i], expected);
                assert_memory_equal(found[i], expected, HASH_BYTES);
            }
            memset(expected, 77, HASH_BYTES);
            assert_memory_equal(found[count], expected, HASH_BYTES); /* none behind the last */
        }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_is_that_of_fips_180),
        cmocka_unit_test(test_three_pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(test_hmac_is_that_of_rfc_4231),
        cmocka_unit_test(test_other_hashes_are_known_by_their_multihash_codes),
        cmocka_unit_test(test_a_hash_that_is_unknown_or_weak_has_no_digest),
        cmocka_unit_test(test_many_digests_are_those_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
