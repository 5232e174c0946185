/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/blocks_scratch.h"

/* Kubo 0.43, test/cli/cid_profiles_test.go: as many leaves as exactly fill one node. Hashed as it
 * is made; nothing is stored. */
static void assert_full_node(const struct unixfs_profile *p, const char *seed, const char *want)
{
    uint8_t key[HASH_BYTES];
    uint8_t *leaf = malloc(p->chunk_bytes);
    struct random_stream stream;
    struct unixfs_builder *b;
    struct unixfs_child root;
    assert_non_null(leaf);
    hash_sha256(bytes_of_text(seed), key);
    random_stream_init(&stream, key);
    assert_int_equal(unixfs_builder_new(p, NULL, NULL, &b, NULL), 0);
    for (uint32_t i = 0; i < p->links_max; i++) {
        random_stream_fill(&stream, leaf, p->chunk_bytes);
        struct unixfs_child child = blocks_leaf(NULL, p, bytes_of(leaf, p->chunk_bytes));
        assert_int_equal(unixfs_builder_add_leaf(b, &child, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
    assert_cid(&root.cid, want);
    assert_int_equal(root.file_bytes, (uint64_t)p->links_max * p->chunk_bytes);
    unixfs_builder_free(b);
    free(leaf);
}

static void test_one_gibibyte_has_the_root_of_kubo(void **state)
{
    (void)state;
    assert_full_node(&unixfs_v1_2025, "v1-2025-seed",
                     "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
}

static void test_a_full_node_of_dag_pb_leaves_has_the_root_of_kubo(void **state)
{
    (void)state;
    assert_full_node(&unixfs_v0_2015, "v0-seed", "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_gibibyte_has_the_root_of_kubo),
        cmocka_unit_test(test_a_full_node_of_dag_pb_leaves_has_the_root_of_kubo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
