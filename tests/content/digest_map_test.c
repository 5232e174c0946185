/* SPDX-License-Identifier: Apache-2.0 */
#include "content/digest_map.h"
#include "tests/scratch.h"

/* Digests that all begin at the same place of the table, as far as `clash` says. */
static void digest_of(uint32_t i, bool clash, uint8_t out[HASH_BYTES])
{
    hash_sha256(bytes_of(&i, sizeof i), out);
    if (clash)
        memset(out, 7, 8);
}

static void put_and_remove(bool clash)
{
    enum {
        COUNT = 3000
    };
    struct digest_map m = {0};
    struct digest_place place;
    uint8_t digest[HASH_BYTES];
    digest_of(0, clash, digest);
    assert_false(digest_map_get(&m, digest, &place));
    digest_map_remove(&m, digest);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            digest_of(i, clash, digest);
            place = (struct digest_place){.offset = i, .size = round};
            assert_int_equal(digest_map_put(&m, digest, &place, NULL), 0);
        }
        assert_int_equal(m.count, COUNT);
        for (uint32_t i = 0; i < COUNT; i += 2) {
            digest_of(i, clash, digest);
            digest_map_remove(&m, digest);
            digest_map_remove(&m, digest); /* twice is once */
        }
        assert_int_equal(m.count, COUNT / 2);
        for (uint32_t i = 0; i < COUNT; i++) {
            digest_of(i, clash, digest);
            assert_int_equal(digest_map_get(&m, digest, &place), i % 2);
            if (i % 2 == 1)
                assert_true(place.offset == i && place.size == round);
        }
    }
    assert_true(m.capacity <= 8 * COUNT); /* what was removed does not pile up */
    digest_map_fini(&m);
    assert_int_equal(m.count, 0);
}

static void test_what_is_put_is_found_until_it_is_removed(void **state)
{
    (void)state;
    put_and_remove(false);
}

static void test_digests_that_clash_are_told_apart(void **state)
{
    (void)state;
    put_and_remove(true);
}

/* What anybody can write into links: bits that stay the same, or words that cancel out. */
static void crafted_digest(int kind, uint64_t i, uint8_t out[HASH_BYTES])
{
    memset(out, 7, HASH_BYTES);
    switch (kind) {
    case 0: /* the first 16 bytes are the same */
        hash_sha256(bytes_of(&i, sizeof i), out);
        memset(out, 7, 16);
        break;
    case 1: /* all but one word is, and that counts */
        bytes_put_u64(out + 24, i);
        break;
    case 2: /* the words' exclusive or and their low halves are the same */
        bytes_put_u64(out, i << 32);
        bytes_put_u64(out + 8, i << 32);
        break;
    case 3: /* the words' sum is the same */
        bytes_put_u64(out, i);
        bytes_put_u64(out + 16, 0 - i);
        break;
    case 4: /* their products' low halves are */
        bytes_put_u64(out, i << 47);
        bytes_put_u64(out + 8, 0);
        break;
    default: /* but one, and that in its highest bits */
        bytes_put_u64(out + 8, i << 40);
    }
}

static void test_digests_that_somebody_chose_lie_as_far_apart_as_random_ones(void **state)
{
    (void)state;
    enum {
        COUNT = 100000,
        PROBES_MAX = 400, /* of one: random ones need about 50, a single cluster 100,000 */
        PROBES_MEAN = 4   /* the table is less than half full, so 1.5 */
    };
    for (int kind = 0; kind < 6; kind++) {
        struct digest_map m = {0};
        struct digest_place place = {0};
        uint8_t digest[HASH_BYTES];
        size_t most = 0, sum = 0;
        for (uint64_t i = 0; i < COUNT; i++) {
            crafted_digest(kind, i, digest);
            assert_int_equal(digest_map_put(&m, digest, &place, NULL), 0);
            size_t probes = digest_map_probes(&m, digest);
            assert_true(probes > 0 && probes < PROBES_MAX); /* at once: else this takes minutes */
        }
        assert_int_equal(m.count, COUNT);
        for (uint64_t i = 0; i < COUNT; i++) {
            crafted_digest(kind, i, digest);
            size_t probes = digest_map_probes(&m, digest);
            most = probes > most ? probes : most;
            sum += probes;
        }
        if (most > PROBES_MAX || sum > (size_t)PROBES_MEAN * COUNT)
            fail_msg("kind %d: %zu probes, %zu for one", kind, sum, most);
        digest_map_fini(&m);
    }
}

static void test_no_two_tables_begin_at_the_same_places(void **state)
{
    (void)state;
    struct digest_map a = {0}, b = {0};
    struct digest_place place = {0};
    uint8_t digest[HASH_BYTES] = {1};
    assert_int_equal(digest_map_put(&a, digest, &place, NULL), 0);
    assert_int_equal(digest_map_put(&b, digest, &place, NULL), 0);
    assert_true(memcmp(a.key, b.key, sizeof a.key) != 0);
    digest_map_fini(&a);
    digest_map_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_found_until_it_is_removed),
        cmocka_unit_test(test_digests_that_clash_are_told_apart),
        cmocka_unit_test(test_digests_that_somebody_chose_lie_as_far_apart_as_random_ones),
        cmocka_unit_test(test_no_two_tables_begin_at_the_same_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
