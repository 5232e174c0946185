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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_found_until_it_is_removed),
        cmocka_unit_test(test_digests_that_clash_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
