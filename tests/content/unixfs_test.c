/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/jobs.h"
#include "content/unixfs.h"

/* --- roots --- */

static struct cid root_of(struct bytes file)
{
    struct unixfs_builder *b;
    struct cid root;
    assert_int_equal(unixfs_builder_new(NULL, NULL, &b, NULL), 0);
    for (size_t at = 0; at < file.size; at += UNIXFS_LEAF_BYTES) {
        uint8_t digest[HASH_BYTES];
        size_t size = file.size - at < UNIXFS_LEAF_BYTES ? file.size - at : UNIXFS_LEAF_BYTES;
        hash_sha256(bytes_of(file.data + at, size), digest);
        assert_int_equal(unixfs_builder_add(b, digest, size, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
    unixfs_builder_free(b);
    return root;
}

/* Input and CIDs: the profile tests of Kubo 0.43 (test/cli/cid_profiles_test.go), unixfs-v1-2025.
 * The 1 GiB one is in unixfs_large_test.c. */
static const struct {
    const char *seed;
    size_t size;
    const char *cid;
} vectors[] = {
    {"chunk-v1-seed", 1048576, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"},
    {"chunk-v1-seed", 1048577, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"},
};

static void test_roots_are_those_of_kubo(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t *data = stream_bytes(vectors[i].seed, vectors[i].size);
        struct cid root = root_of(bytes_of(data, vectors[i].size));
        assert_cid(&root, vectors[i].cid);
        free(data);
    }
    struct cid hello = root_of(bytes_of_text("hello world"));
    assert_cid(&hello, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    struct cid empty = root_of(bytes_of(NULL, 0));
    assert_cid(&empty, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
}

/* The twin of the builder: boxo's balanced layout as it is written there, from the root down. */
struct twin {
    uint64_t left; /* leaves still to come */
    struct buf block;
};

static struct dagpb_link twin_leaf(struct twin *t)
{
    uint8_t digest[HASH_BYTES];
    hash_sha256(bytes_of(&t->left, sizeof t->left), digest); /* each leaf its own */
    t->left--;
    return (struct dagpb_link){.cid = cid_from_digest(CID_RAW, digest),
                               .file_bytes = UNIXFS_LEAF_BYTES,
                               .total_bytes = UNIXFS_LEAF_BYTES};
}

static struct dagpb_link twin_fill(struct twin *t, const struct dagpb_link *first, unsigned depth)
{
    struct dagpb_link *links = calloc(UNIXFS_LINKS, sizeof *links);
    struct dagpb_link node = {0};
    size_t count = 0;
    assert_non_null(links);
    if (first != NULL)
        links[count++] = *first;
    while (count < UNIXFS_LINKS && t->left > 0)
        links[count++] = depth == 1 ? twin_leaf(t) : twin_fill(t, NULL, depth - 1);
    buf_clear(&t->block);
    dagpb_encode_file(links, count, &t->block);
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
    struct dagpb_link root = twin_leaf(&t);
    for (unsigned depth = 1; t.left > 0; depth++)
        root = twin_fill(&t, &root, depth);
    buf_fini(&t.block);
    return root.cid;
}

static struct cid builder_root(uint64_t leaves)
{
    struct unixfs_builder *b;
    struct cid root;
    assert_int_equal(unixfs_builder_new(NULL, NULL, &b, NULL), 0);
    for (uint64_t left = leaves; left > 0; left--) {
        uint8_t digest[HASH_BYTES];
        hash_sha256(bytes_of(&left, sizeof left), digest);
        assert_int_equal(unixfs_builder_add(b, digest, UNIXFS_LEAF_BYTES, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
    unixfs_builder_free(b);
    return root;
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
    assert_int_equal(unixfs_builder_new(NULL, NULL, &b, NULL), 0);
    assert_int_equal(unixfs_builder_add(b, digest, 0, NULL), ERR_USAGE);
    assert_int_equal(unixfs_builder_add(b, digest, UNIXFS_LEAF_BYTES + 1, NULL), ERR_USAGE);
    assert_int_equal(unixfs_builder_add(b, digest, 5, NULL), 0);
    assert_int_equal(unixfs_builder_add(b, digest, 5, NULL), ERR_USAGE);
    unixfs_builder_free(b);
}

static void test_a_file_is_hashed_the_same_alone_and_on_all_cores(void **state)
{
    (void)state;
    size_t size = 37u * UNIXFS_LEAF_BYTES + 12345; /* more than two windows */
    uint8_t *data = stream_bytes("file", size);
    write_file(in_scratch("file"), bytes_of(data, size));
    struct cid want = root_of(bytes_of(data, size)), root;
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

/* --- walking --- */

#define NODES_MAX 80

struct nodes {
    size_t count, gets;
    struct cid cids[NODES_MAX];
    struct buf blocks[NODES_MAX];
};

static int put_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct nodes *n = self;
    (void)err;
    assert_true(n->count < NODES_MAX);
    assert_int_equal(cid_verify(cid, block, NULL), 0);
    n->cids[n->count] = *cid;
    n->blocks[n->count] = buf_new(2u << 20);
    buf_append(&n->blocks[n->count], block.data, block.size);
    n->count++;
    return 0;
}

static int get_node(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct nodes *n = self;
    n->gets++;
    buf_clear(out);
    for (size_t i = 0; i < n->count; i++)
        if (cid_equal(cid, &n->cids[i])) {
            buf_append(out, n->blocks[i].data, n->blocks[i].size);
            return buf_check(out, err);
        }
    return err_set(err, ERR_NOTFOUND, "no such node");
}

static void nodes_fini(struct nodes *n)
{
    for (size_t i = 0; i < n->count; i++)
        buf_fini(&n->blocks[i]);
}

/* A node of the given children, stored. */
static struct dagpb_link store_node(struct nodes *n, const struct dagpb_link *links, size_t count)
{
    struct buf block = buf_new(1 << 20);
    dagpb_encode_file(links, count, &block);
    struct dagpb_link node = {.cid = cid_of(CID_DAG_PB, buf_bytes(&block))};
    assert_int_equal(put_node(n, &node.cid, buf_bytes(&block), NULL), 0);
    for (size_t i = 0; i < count; i++)
        node.file_bytes += links[i].file_bytes;
    buf_fini(&block);
    return node;
}

struct leaves {
    uint64_t count, next_offset, stop_at;
};

static int see_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct leaves *l = self;
    assert_int_equal(leaf->offset, l->next_offset);
    if (l->stop_at != 0 && l->count == l->stop_at)
        return err_set(err, ERR_DENIED, "enough");
    l->next_offset += leaf->size;
    l->count++;
    return 0;
}

static struct dagpb_link leaf_link(const char *text)
{
    return (struct dagpb_link){.cid = cid_of(CID_RAW, bytes_of_text(text)),
                               .file_bytes = strlen(text),
                               .total_bytes = strlen(text)};
}

static int walk(struct nodes *n, const struct cid *root, uint64_t max, uint64_t *size,
                struct leaves *l, struct err *err)
{
    struct unixfs_source source = {.self = n, .get = get_node};
    return unixfs_walk(&source, root, max, size, see_leaf, l, err);
}

static void test_a_walk_sees_every_leaf_in_its_place(void **state)
{
    (void)state;
    static const uint64_t counts[] = {2, 1024, 1025, 2050};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct nodes n = {0};
        struct leaves l = {0};
        struct unixfs_builder *b;
        struct cid root;
        uint8_t digest[HASH_BYTES] = {7};
        uint64_t size = 0, want = (counts[i] - 1) * UNIXFS_LEAF_BYTES + 77;
        assert_int_equal(unixfs_builder_new(put_node, &n, &b, NULL), 0);
        for (uint64_t k = 0; k < counts[i]; k++)
            assert_int_equal(
                unixfs_builder_add(b, digest, k + 1 < counts[i] ? UNIXFS_LEAF_BYTES : 77, NULL), 0);
        assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
        unixfs_builder_free(b);
        assert_int_equal(walk(&n, &root, want, &size, &l, NULL), 0);
        assert_int_equal(size, want);
        assert_int_equal(l.count, counts[i]);
        assert_int_equal(l.next_offset, want);
        struct leaves none = {0};
        assert_int_equal(walk(&n, &root, want - 1, &size, &none, NULL), ERR_LIMIT);
        assert_int_equal(none.count, 0);
        struct leaves some = {.stop_at = 1};
        assert_int_equal(walk(&n, &root, want, NULL, &some, NULL), ERR_DENIED);
        assert_int_equal(some.count, 1);
        nodes_fini(&n);
    }
}

static void test_a_file_of_one_leaf_is_its_root(void **state)
{
    (void)state;
    struct nodes n = {0};
    struct leaves l = {0};
    struct cid root = cid_of(CID_RAW, bytes_of_text("hello"));
    uint64_t size = 0;
    assert_int_equal(put_node(&n, &root, bytes_of_text("hello"), NULL), 0);
    assert_int_equal(walk(&n, &root, 5, &size, &l, NULL), 0);
    assert_int_equal(size, 5);
    assert_int_equal(l.count, 1);
    assert_int_equal(walk(&n, &root, 4, NULL, &l, NULL), ERR_LIMIT);
    struct cid empty = cid_of(CID_RAW, bytes_of(NULL, 0));
    struct leaves none = {0};
    assert_int_equal(put_node(&n, &empty, bytes_of(NULL, 0), NULL), 0);
    assert_int_equal(walk(&n, &empty, 0, &size, &none, NULL), 0);
    assert_int_equal(size, 0);
    assert_int_equal(none.count, 0);
    nodes_fini(&n);
}

static void test_a_child_that_holds_other_than_its_parent_says_is_refused(void **state)
{
    (void)state;
    struct nodes n = {0};
    struct leaves l = {0};
    struct dagpb_link leaf = leaf_link("abc");
    struct dagpb_link child = store_node(&n, &leaf, 1);
    child.file_bytes++;
    struct dagpb_link root = store_node(&n, &child, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_MALFORMED);
    assert_int_equal(l.count, 0);
    nodes_fini(&n);
}

static void test_trees_deeper_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct nodes n = {0};
    struct dagpb_link link = leaf_link("abc");
    for (size_t depth = 1; depth <= UNIXFS_DEPTH_MAX + 1; depth++) {
        struct leaves l = {0};
        link = store_node(&n, &link, 1);
        int rc = walk(&n, &link.cid, 100, NULL, &l, NULL);
        assert_int_equal(rc, depth <= UNIXFS_DEPTH_MAX ? 0 : ERR_LIMIT);
    }
    nodes_fini(&n);
}

static void test_children_that_are_no_leaves_of_a_file_are_refused(void **state)
{
    (void)state;
    struct nodes n = {0};
    struct leaves l = {0};
    struct dagpb_link empty = leaf_link("");
    struct dagpb_link root = store_node(&n, &empty, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_MALFORMED);

    struct dagpb_link record = leaf_link("abc");
    record.cid = cid_of(CID_DAG_CBOR, bytes_of_text("abc"));
    root = store_node(&n, &record, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);

    struct dagpb_link huge = leaf_link("abc");
    huge.file_bytes = (2u << 20) + 1;
    root = store_node(&n, &huge, 1);
    assert_int_equal(walk(&n, &root.cid, 1 << 30, NULL, &l, NULL), ERR_UNSUPPORTED);

    uint8_t inside[32]; /* "hello world" inside a dag-pb leaf */
    size_t size = from_hex("0a110802120b68656c6c6f20776f726c64180b", inside, sizeof inside);
    struct cid cid = cid_of(CID_DAG_PB, bytes_of(inside, size));
    assert_int_equal(put_node(&n, &cid, bytes_of(inside, size), NULL), 0);
    assert_int_equal(walk(&n, &cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);

    assert_int_equal(walk(&n, &record.cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);
    assert_int_equal(l.count, 0);
    nodes_fini(&n);
}

static void test_a_missing_node_is_named(void **state)
{
    (void)state;
    struct nodes n = {0};
    struct leaves l = {0};
    struct err err = {0};
    struct dagpb_link leaf = leaf_link("abc"), gone = leaf;
    gone.cid = cid_of(CID_DAG_PB, bytes_of_text("never stored"));
    struct dagpb_link both[2] = {leaf, gone};
    struct dagpb_link root = store_node(&n, both, 2);
    char text[CID_TEXT_MAX];
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, cid_format(&gone.cid, text)));
    assert_int_equal(l.count, 1);
    nodes_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_those_of_kubo),
        cmocka_unit_test(test_trees_of_every_shape_are_those_of_the_balanced_layout),
        cmocka_unit_test(test_only_the_last_leaf_may_be_short),
        cmocka_unit_test_setup_teardown(test_a_file_is_hashed_the_same_alone_and_on_all_cores,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test(test_a_walk_sees_every_leaf_in_its_place),
        cmocka_unit_test(test_a_file_of_one_leaf_is_its_root),
        cmocka_unit_test(test_a_child_that_holds_other_than_its_parent_says_is_refused),
        cmocka_unit_test(test_trees_deeper_than_the_limit_are_refused),
        cmocka_unit_test(test_children_that_are_no_leaves_of_a_file_are_refused),
        cmocka_unit_test(test_a_missing_node_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
