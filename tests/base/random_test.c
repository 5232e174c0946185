/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/random.h"

/* RFC 8439, A.1, test vectors 1 and 2: key 0, nonce 0, blocks 0 and 1. */
static void test_the_stream_is_chacha20(void **state)
{
    (void)state;
    static const char first[] = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7";
    static const char second[] = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed";
    uint8_t seed[HASH_BYTES] = {0}, out[128];
    struct random_stream s;
    char hex[65];
    random_stream_init(&s, seed);
    random_stream_fill(&s, out, sizeof out);
    bytes_format_hex(bytes_of(out, 32), hex);
    assert_string_equal(hex, first);
    bytes_format_hex(bytes_of(out + 64, 32), hex);
    assert_string_equal(hex, second);
}

static void test_pieces_of_any_size_are_one_stream(void **state)
{
    (void)state;
    uint8_t seed[HASH_BYTES] = {1}, whole[500], piece[500];
    struct random_stream s;
    random_stream_init(&s, seed);
    random_stream_fill(&s, whole, sizeof whole);
    for (size_t size = 1; size < 150; size += 7) {
        random_stream_init(&s, seed);
        for (size_t at = 0; at < sizeof piece; at += size)
            random_stream_fill(&s, piece + at, at + size > sizeof piece ? sizeof piece - at : size);
        assert_memory_equal(whole, piece, sizeof whole);
    }
}

static void test_numbers_below_n_are_uniform_and_below_n(void **state)
{
    (void)state;
    uint8_t seed[HASH_BYTES] = {2};
    struct random_stream s;
    unsigned counts[3] = {0};
    random_stream_init(&s, seed);
    for (unsigned i = 0; i < 30000; i++) {
        uint64_t n = random_stream_below(&s, 3);
        assert_true(n < 3);
        counts[n]++;
    }
    for (size_t i = 0; i < 3; i++) /* six deviations around 10,000; the seed is fixed */
        assert_in_range(counts[i], 9500, 10500);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(random_stream_below(&s, 1), 0);
        double unit = random_stream_unit(&s);
        assert_true(unit >= 0 && unit < 1);
    }
}

static void test_unpredictable_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_stream_is_chacha20),
        cmocka_unit_test(test_pieces_of_any_size_are_one_stream),
        cmocka_unit_test(test_numbers_below_n_are_uniform_and_below_n),
        cmocka_unit_test(test_unpredictable_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
