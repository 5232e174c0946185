/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jobs.h"
#include "tests/content/blocks_scratch.h"

/* --- roots --- */

/* Input and CIDs: the profile tests of Kubo 0.43 (test/cli/cid_profiles_test.go). Those of 1 GiB
 * and of a full node of CIDv0 are in unixfs_large_test.c. */
static const struct {
    const char *profile;
    const char *seed;
    size_t size;
    const char *cid;
} vectors[] = {
    {"unixfs-v1-2025", "chunk-v1-seed", 1048576,
     "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"},
    {"unixfs-v1-2025", "chunk-v1-seed", 1048577,
     "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"},
    {"unixfs-v0-2015", "chunk-v0-seed", 262144, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"},
    {"legacy-cid-v0", "chunk-v0-seed", 262145, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"},
};

static void test_roots_are_those_of_kubo(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct unixfs_profile *p = unixfs_profile_find(vectors[i].profile);
        assert_non_null(p);
        uint8_t *data = stream_bytes(vectors[i].seed, vectors[i].size);
        struct unixfs_child root = blocks_file(NULL, p, bytes_of(data, vectors[i].size));
        assert_cid(&root.cid, vectors[i].cid);
        free(data);
    }
    struct bytes hello = bytes_of_text("hello world"), empty = bytes_of(NULL, 0);
    struct unixfs_child root = blocks_file(NULL, &unixfs_v1_2025, hello);
    assert_cid(&root.cid, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    root = blocks_file(NULL, &unixfs_v1_2025, empty);
    assert_cid(&root.cid, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    assert_int_equal(root.total_bytes, 0);
    root = blocks_file(NULL, &unixfs_v0_2015, hello);
    assert_cid(&root.cid, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
    assert_int_equal(root.total_bytes, 19);
    struct blocks kept = {0};
    root = blocks_file(&kept, &unixfs_v0_2015, empty);
    assert_cid(&root.cid, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    assert_int_equal(root.total_bytes, 6);
    assert_int_equal(kept.count, 1); /* nobody else would write its block */
    blocks_fini(&kept);
}

/* Computed with Kubo 0.43.0: `ipfs add --only-hash --cid-version --raw-leaves --chunker=size-N
 * --max-file-links` of the first bytes of one stream. */
static const struct {
    unsigned cid_version;
    bool raw_leaves;
    uint32_t chunk_bytes, links_max;
    size_t size;
    const char *cid;
} shapes[] = {
    {1, true, 1000, 2, 1, "bafkreifkois6pvnqujksxo2yraft5qamfbuzloabu6xlneub45viwsii3y"},
    {1, true, 1000, 2, 1000, "bafkreiepfgnzsqnae7rqx6aqxycletwdlhlxhffzoxzsxf55tig6ytinza"},
    {1, true, 1000, 2, 1001, "bafybeicxhwopczh6qygdthhsn4ai46l5a6rur5t6fzkuzyd4ri34xyv4hy"},
    {1, true, 1000, 2, 3000, "bafybeiekspo4kv2dlce7vwx4te3tp2fby2fix2hio2hzdvj5h2w324di7q"},
    {1, true, 1000, 2, 100001, "bafybeiftplpqgpkl7wlb3r2or2d23qezrlbwzxr76nd6ef75lcmf3x4244"},
    {1, true, 1000, 3, 9000, "bafybeih55mkdtestbtftpi4unm4j73n5l5yrjb3o3njluwdowoaoeg2pra"},
    {1, true, 1000, 3, 9001, "bafybeibmrjxu3rupxk2n7pywxvcakcf4ws4henth4hrsd6zads4o7cptou"},
    {1, true, 1000, 3, 81500, "bafybeihfkxory24nfakrogslyli4bquo5qkgphihmx7s7hofswbcfnl4z4"},
    {1, true, 262144, 174, 1500000, "bafybeihzw4pcyv74f4lwssyqxznkrrjhfuefntmoyfwvq56cgespfztmtq"},
    {1, true, 4096, 174, 2850816, "bafybeie7yzrwrp3v4cwlmwuy6i2tfg4o73qmy4fhgmatpdlxzx5ehwiesq"},
    {1, true, 4096, 174, 714753, "bafybeifdf4eaycmrpmaiaojxwuhcpv2nsvjkl76vl4524cucwoc5hcvule"},
    {1, true, 65536, 8, 1048576, "bafybeicgzgdk4z65ehvazg7wcr3dla45ao2gtxg4wpyzhqqz635chcoega"},
    {1, true, 1, 2, 17, "bafybeifnfi37nif5p3x2iffth4fjl2233agsknyxrtewsqesckt6dlzdiu"},
    {1, false, 1000, 3, 9001, "bafybeigrf5xtbupnma6fp5hkhzgagmyblxum7vdionktu2attazfuzfrdm"},
    {1, false, 1000, 3, 999, "bafybeif5f7lcghnia3yatnzt4fr3lc7pc7egjheffm2naes2pdunqbpqem"},
    {1, false, 262144, 174, 0, "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y"},
    {0, false, 1000, 2, 3000, "QmdP84w71r3kv7NyfL938R8reyBaiwiysbQtfNJXbRw2J5"},
    {0, false, 1000, 3, 81500, "Qmd1Cc3tDYXbHdyX865J7KigxbutyY2dFGSfVRk2jNQgX9"},
    {0, false, 262144, 174, 262144, "QmTT77qJb8eMNn5vv5Gh9cwGhxpcVEdR9EAfVzga4ECCdT"},
    {0, false, 262144, 174, 0, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"},
    {0, false, 4096, 174, 714753, "QmQYn67zPPGSNcmXmjiDx7JCehgfrVmANnWXDCQmhnxVgX"},
    {0, false, 100000, 8, 1234567, "QmafZh3e14T7mw3VKrAiSjep25TFKLhXtcCU1B1x1HCfSG"},
    {0, true, 1000, 3, 9001, "QmXqUCZz3eXn6EHNxntJXs2D8bbQGYsu6ax8x6eJqUz67c"},
    {0, true, 1000, 3, 999, "bafkreichc7bna2xf6mulpucggab35xvuhfbixrc4y2wtsb6ctpv6x2xymq"},
    {1, true, 1048576, 1024, 3000000,
     "bafybeidm4aaze3qwtr6rys3prvbpjljks7zs44sxi2sacwlttmjfgs7vqe"},
    {1, true, 128, 8192, 3000000, "bafybeidxqejnl5htsrhuyc252qx55nkezb5wb33rnlngilfdfbbqcxkf4y"},
    {0, false, 262144, 174, 3000000, "QmNYa6Hcsa19BS12fnsdjARcHPCBVuStSi5cyex2Jz7VMc"},
};

static void test_roots_of_every_chunk_size_and_width_are_those_of_kubo(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("shapes", 3000000);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct unixfs_profile p = unixfs_v1_2025;
        char text[CID_TEXT_MAX];
        p.cid_version = shapes[i].cid_version;
        p.raw_leaves = shapes[i].raw_leaves;
        p.chunk_bytes = shapes[i].chunk_bytes;
        p.links_max = shapes[i].links_max;
        struct unixfs_child root = blocks_file(NULL, &p, bytes_of(data, shapes[i].size));
        if (strcmp(cid_format(&root.cid, text), shapes[i].cid) != 0)
            fail_msg("row %zu: %s", i, text);
        assert_int_equal(root.file_bytes, shapes[i].size);
    }
    free(data);
}

/* The twin of the builder: boxo's balanced layout as it is written there, from the root down. */
struct twin {
    uint64_t left; /* leaves still to come */
    struct buf block;
};

static struct unixfs_child twin_leaf(struct twin *t)
{
    uint8_t digest[HASH_BYTES];
    hash_sha256(bytes_of(&t->left, sizeof t->left), digest); /* each leaf its own */
    t->left--;
    return (struct unixfs_child){.cid = cid_from_digest(CID_RAW, digest),
                                 .file_bytes = UNIXFS_LEAF_BYTES,
                                 .total_bytes = UNIXFS_LEAF_BYTES};
}

static struct unixfs_child twin_fill(struct twin *t, const struct unixfs_child *first,
                                     unsigned depth)
{
    struct unixfs_child *links = calloc(UNIXFS_LINKS, sizeof *links);
    struct unixfs_child node = {0};
    size_t count = 0;
    assert_non_null(links);
    if (first != NULL)
        links[count++] = *first;
    while (count < UNIXFS_LINKS && t->left > 0)
        links[count++] = depth == 1 ? twin_leaf(t) : twin_fill(t, NULL, depth - 1);
    buf_clear(&t->block);
    unixfs_node_put_file(&t->block, links, count);
    assert_int_equal(buf_check(&t->block, NULL), 0);
    node.cid = cid_of(CID_DAG_PB, buf_bytes(&t->block));
    node.total_bytes = t->block.size;
    for (size_t i = 0; i < count; i++) {
        node.file_bytes += links[i].file_bytes;
        node.total_bytes += links[i].total_bytes;
    }
    free(links);
    return node;
}

static struct cid twin_root(uint64_t leaves)
{
    struct twin t = {.left = leaves, .block = buf_new(1 << 20)};
    struct unixfs_child root = twin_leaf(&t);
    for (unsigned depth = 1; t.left > 0; depth++)
        root = twin_fill(&t, &root, depth);
    buf_fini(&t.block);
    return root.cid;
}

static struct cid builder_root(uint64_t leaves)
{
    struct unixfs_builder *b;
    struct unixfs_child root;
    assert_int_equal(unixfs_builder_new(&unixfs_v1_2025, NULL, NULL, &b, NULL), 0);
    for (uint64_t left = leaves; left > 0; left--) {
        uint8_t digest[HASH_BYTES];
        hash_sha256(bytes_of(&left, sizeof left), digest);
        assert_int_equal(unixfs_builder_add(b, digest, UNIXFS_LEAF_BYTES, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
    unixfs_builder_free(b);
    return root.cid;
}

static void test_trees_of_every_shape_are_those_of_the_balanced_layout(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1,    2,    3,    1023,  1024,   1025,    1026,
                                      2047, 2048, 2049, 10240, 102400, 1048576, 1048577};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct cid want = twin_root(counts[i]), got = builder_root(counts[i]);
        if (!cid_equal(&want, &got))
            fail_msg("%llu leaves", (unsigned long long)counts[i]);
    }
}

static void test_only_the_last_leaf_may_be_short(void **state)
{
    (void)state;
    struct unixfs_builder *b;
    uint8_t digest[HASH_BYTES] = {0};
    assert_int_equal(unixfs_builder_new(&unixfs_v1_2025, NULL, NULL, &b, NULL), 0);
    assert_int_equal(unixfs_builder_add(b, digest, 0, NULL), ERR_USAGE);
    assert_int_equal(unixfs_builder_add(b, digest, UNIXFS_LEAF_BYTES + 1, NULL), ERR_USAGE);
    assert_int_equal(unixfs_builder_add(b, digest, 5, NULL), 0);
    assert_int_equal(unixfs_builder_add(b, digest, 5, NULL), ERR_USAGE);
    unixfs_builder_free(b);
}

static void test_a_digest_alone_is_no_leaf_of_a_profile_of_dag_pb_leaves(void **state)
{
    (void)state;
    struct unixfs_builder *b;
    uint8_t digest[HASH_BYTES] = {0};
    assert_int_equal(unixfs_builder_new(&unixfs_v0_2015, NULL, NULL, &b, NULL), 0);
    assert_int_equal(unixfs_builder_add(b, digest, 5, NULL), ERR_USAGE);
    unixfs_builder_free(b);
}

static int refuse(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    unsigned *left = self;
    (void)cid;
    (void)block;
    return (*left)-- == 0 ? err_set(err, ERR_IO, "disk full") : 0;
}

static void test_a_block_that_cannot_be_put_ends_the_building(void **state)
{
    (void)state;
    struct unixfs_profile p = unixfs_v1_2025;
    uint8_t digest[HASH_BYTES] = {0};
    p.chunk_bytes = 1;
    p.links_max = 2;
    for (unsigned fail_at = 0;; fail_at++) {
        struct unixfs_builder *b;
        struct unixfs_child root;
        unsigned left = fail_at;
        int rc = unixfs_builder_new(&p, refuse, &left, &b, NULL);
        for (int i = 0; rc == 0 && i < 9; i++)
            rc = unixfs_builder_add(b, digest, 1, NULL);
        if (rc == 0)
            rc = unixfs_builder_finish(b, &root, NULL);
        unixfs_builder_free(b);
        if (rc == 0) {
            assert_int_equal(fail_at, 5 + 3 + 2 + 1); /* the nodes of nine leaves, two a node */
            return;
        }
        assert_int_equal(rc, ERR_IO);
    }
}

static void test_profiles_out_of_range_are_refused(void **state)
{
    (void)state;
    struct unixfs_profile p = unixfs_v1_2025;
    struct err err = {0};
    assert_int_equal(unixfs_profile_check(&p, NULL), 0);
    assert_int_equal(unixfs_profile_check(&unixfs_v0_2015, NULL), 0);
    assert_null(unixfs_profile_find("unixfs-v2"));
    assert_null(unixfs_profile_find(""));
    static const uint32_t chunks[] = {0, UNIXFS_CHUNK_BYTES_MAX + 1, UINT32_MAX};
    static const uint32_t links[] = {0, 1, UNIXFS_LINKS_MAX + 1};
    static const uint32_t fanouts[] = {0, 3, 4, 24, 2048, 1u << 31};
    for (size_t i = 0; i < 3; i++) {
        p = unixfs_v1_2025;
        p.chunk_bytes = chunks[i];
        assert_int_equal(unixfs_profile_check(&p, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "chunks"));
        p = unixfs_v1_2025;
        p.links_max = links[i];
        assert_int_equal(unixfs_profile_check(&p, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "links"));
    }
    for (size_t i = 0; i < sizeof fanouts / sizeof fanouts[0]; i++) {
        p = unixfs_v1_2025;
        p.fanout = fanouts[i];
        assert_int_equal(unixfs_profile_check(&p, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, "fanout"));
    }
    p = unixfs_v1_2025;
    p.cid_version = 2;
    assert_int_equal(unixfs_profile_check(&p, &err), ERR_USAGE);
    struct unixfs_builder *b;
    assert_int_equal(unixfs_builder_new(&p, NULL, NULL, &b, NULL), ERR_USAGE);
}

/* The largest node that may be written is a block that others read. */
static void test_the_largest_blocks_are_within_what_is_read(void **state)
{
    (void)state;
    struct unixfs_child *links = calloc(UNIXFS_LINKS_MAX, sizeof *links);
    uint8_t digest[HASH_BYTES] = {0};
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    assert_non_null(links);
    for (size_t i = 0; i < UNIXFS_LINKS_MAX; i++)
        links[i] = (struct unixfs_child){.cid = cid_from_digest(CID_RAW, digest),
                                         .file_bytes = 1ull << 50,
                                         .total_bytes = UINT64_MAX};
    unixfs_node_put_file(&block, links, UNIXFS_LINKS_MAX);
    assert_int_equal(buf_check(&block, NULL), 0);
    buf_clear(&block);
    uint8_t *leaf = calloc(1, UNIXFS_CHUNK_BYTES_MAX);
    assert_non_null(leaf);
    unixfs_node_put_leaf(&block, bytes_of(leaf, UNIXFS_CHUNK_BYTES_MAX));
    assert_int_equal(buf_check(&block, NULL), 0);
    free(leaf);
    free(links);
    buf_fini(&block);
}

static void test_a_file_is_hashed_the_same_alone_and_on_all_cores(void **state)
{
    (void)state;
    size_t size = 36u * UNIXFS_LEAF_BYTES + 12345; /* more than two windows, and an odd leaf */
    uint8_t *data = stream_bytes("file", size);
    write_file(in_scratch("file"), bytes_of(data, size));
    struct cid want = blocks_file(NULL, &unixfs_v1_2025, bytes_of(data, size)).cid, root;
    struct jobs *jobs;
    uint64_t got;
    assert_int_equal(jobs_new(3, &jobs, NULL), 0);
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("file"), jobs, &root, &got, NULL),
                     0);
    assert_true(cid_equal(&root, &want));
    assert_int_equal(got, size);
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("file"), NULL, &root, NULL, NULL),
                     0);
    assert_true(cid_equal(&root, &want));
    jobs_free(jobs);
    free(data);
    assert_int_equal(unixfs_hash_file(files_posix(), in_scratch("none"), NULL, &root, NULL, NULL),
                     ERR_NOTFOUND);
}

/* Every number of leaves from a part of one to a window and one more. */
static void test_small_files_are_hashed_as_they_are_built(void **state)
{
    (void)state;
    size_t max = 18u * UNIXFS_LEAF_BYTES;
    uint8_t *data = stream_bytes("small", max);
    static const size_t sizes[] = {0,
                                   1,
                                   1 << 20,
                                   (1 << 20) + 1,
                                   2 << 20,
                                   3 << 20,
                                   (3 << 20) + 7,
                                   16 << 20,
                                   (16 << 20) + 1,
                                   (17 << 20) + 9};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t got;
        struct cid root;
        write_file(in_scratch("file"), bytes_of(data, sizes[i]));
        struct unixfs_child want = blocks_file(NULL, &unixfs_v1_2025, bytes_of(data, sizes[i]));
        assert_int_equal(
            unixfs_hash_file(files_posix(), in_scratch("file"), NULL, &root, &got, NULL), 0);
        assert_true(cid_equal(&root, &want.cid));
        assert_int_equal(got, sizes[i]);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_those_of_kubo),
        cmocka_unit_test(test_roots_of_every_chunk_size_and_width_are_those_of_kubo),
        cmocka_unit_test(test_trees_of_every_shape_are_those_of_the_balanced_layout),
        cmocka_unit_test(test_only_the_last_leaf_may_be_short),
        cmocka_unit_test(test_a_digest_alone_is_no_leaf_of_a_profile_of_dag_pb_leaves),
        cmocka_unit_test(test_a_block_that_cannot_be_put_ends_the_building),
        cmocka_unit_test(test_profiles_out_of_range_are_refused),
        cmocka_unit_test(test_the_largest_blocks_are_within_what_is_read),
        cmocka_unit_test_setup_teardown(test_a_file_is_hashed_the_same_alone_and_on_all_cores,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_small_files_are_hashed_as_they_are_built,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
