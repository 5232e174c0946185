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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_is_that_of_fips_180),
        cmocka_unit_test(test_three_pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(test_hmac_is_that_of_rfc_4231),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
