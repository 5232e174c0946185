/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle is libcrypto, which hash_sha256 is. A CPU without the instructions has no pair to be
 * tested; what it answers then is tested all the same. */
#include "tests/scratch.h"

#include "base/hash_pair.h"

static void assert_pair(struct bytes a, struct bytes b)
{
    uint8_t digests[2][HASH_BYTES], expected[2][HASH_BYTES];
    hash_pair(a, b, digests[0], digests[1]);
    hash_sha256(a, expected[0]);
    hash_sha256(b, expected[1]);
    if (memcmp(digests, expected, sizeof digests) != 0)
        fail_msg("a pair of %zu and %zu bytes", a.size, b.size);
}

static void assert_digest(const char *text, const char *hex)
{
    uint8_t digests[2][HASH_BYTES], expected[HASH_BYTES];
    assert_int_equal(from_hex(hex, expected, sizeof expected), HASH_BYTES);
    hash_pair(bytes_of_text(text), bytes_of_text(text), digests[0], digests[1]);
    assert_memory_equal(digests[0], expected, HASH_BYTES);
    assert_memory_equal(digests[1], expected, HASH_BYTES);
    hash_pair(bytes_of_text(text), bytes_of("x", 1), digests[0], digests[1]);
    assert_memory_equal(digests[0], expected, HASH_BYTES);
    hash_pair(bytes_of("x", 1), bytes_of_text(text), digests[0], digests[1]);
    assert_memory_equal(digests[1], expected, HASH_BYTES);
}

/* FIPS 180-4's examples (NIST, SHA256.pdf), and the million of "a" of FIPS 180-2, B.3. */
static void test_nists_examples_are_met_in_either_place(void **state)
{
    (void)state;
    char *million = malloc(1000001);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    million[1000000] = '\0';
    assert_digest("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    assert_digest(million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* All of the places where the end of a message needs one block or two, beside all others. */
static void test_every_short_length_goes_with_every_other(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("pair", 600);
    for (size_t a = 0; a <= 300; a++)
        for (size_t b = 0; b <= 300; b++)
            assert_pair(bytes_of(data, a), bytes_of(data + 300, b));
    assert_pair(bytes_of(NULL, 0), bytes_of(NULL, 0));
    assert_pair(bytes_of(NULL, 0), bytes_of(data, 300));
    free(data);
}

static void test_long_inputs_of_any_length_and_alignment_are_right(void **state)
{
    (void)state;
    enum {
        LARGEST = (1 << 20) + 1
    };
    uint8_t *data = stream_bytes("long", 2 * LARGEST + 128);
    struct random_stream s;
    uint8_t key[HASH_BYTES] = {1};
    random_stream_init(&s, key);
    assert_pair(bytes_of(data, LARGEST), bytes_of(data + LARGEST, LARGEST));
    for (size_t at = 0; at < 64; at++)
        assert_pair(bytes_of(data + at, 4096), bytes_of(data + 8192 + (at * 7) % 64, 4096));
    for (int i = 0; i < 100; i++) {
        uint32_t drawn[3];
        random_stream_fill(&s, drawn, sizeof drawn);
        size_t a = drawn[0] % (LARGEST + 1), b = i % 2 == 0 ? a : drawn[1] % (LARGEST + 1);
        assert_pair(bytes_of(data + drawn[2] % 64, a), bytes_of(data + LARGEST + 1 + i % 63, b));
    }
    free(data);
}

static void test_the_same_input_may_stand_in_both_places(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("same", 1000);
    assert_pair(bytes_of(data, 1000), bytes_of(data, 1000));
    assert_pair(bytes_of(data, 1000), bytes_of(data + 1, 999));
    free(data);
}

static void test_the_answer_about_the_cpu_does_not_change(void **state)
{
    (void)state;
    bool first = hash_pair_available();
    for (int i = 0; i < 3; i++)
        assert_int_equal(hash_pair_available(), first);
}

int main(void)
{
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_the_answer_about_the_cpu_does_not_change),
        cmocka_unit_test(test_nists_examples_are_met_in_either_place),
        cmocka_unit_test(test_every_short_length_goes_with_every_other),
        cmocka_unit_test(test_long_inputs_of_any_length_and_alignment_are_right),
        cmocka_unit_test(test_the_same_input_may_stand_in_both_places),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_the_answer_about_the_cpu_does_not_change),
    };
    return hash_pair_available() ? cmocka_run_group_tests(with, NULL, NULL)
                                 : cmocka_run_group_tests(without, NULL, NULL);
}
