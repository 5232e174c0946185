/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "content/unixfs.h"

/* Kubo 0.43, test/cli/cid_profiles_test.go, unixfs-v1-2025: 1,024 leaves exactly fill one node.
 * Hashed as it is made; nothing is stored. */
static void test_one_gibibyte_has_the_root_of_kubo(void **state)
{
    (void)state;
    uint8_t key[HASH_BYTES], digest[HASH_BYTES];
    uint8_t *leaf = malloc(UNIXFS_LEAF_BYTES);
    struct random_stream stream;
    struct unixfs_builder *b;
    struct cid root;
    assert_non_null(leaf);
    hash_sha256(bytes_of_text("v1-2025-seed"), key);
    random_stream_init(&stream, key);
    assert_int_equal(unixfs_builder_new(NULL, NULL, &b, NULL), 0);
    for (int i = 0; i < 1024; i++) {
        random_stream_fill(&stream, leaf, UNIXFS_LEAF_BYTES);
        hash_sha256(bytes_of(leaf, UNIXFS_LEAF_BYTES), digest);
        assert_int_equal(unixfs_builder_add(b, digest, UNIXFS_LEAF_BYTES, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
    assert_cid(&root, "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
    unixfs_builder_free(b);
    free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_gibibyte_has_the_root_of_kubo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
