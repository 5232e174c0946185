/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "study/leaves.h"

#define LEAF UNIXFS_LEAF_BYTES

/* The real disk, counting how often a model's file is opened: once a leaf that is read. */
struct counted {
    struct files table;
    unsigned model_opens;
};

static int count_open(void *self, const char *path, enum files_mode mode, int *fd, struct err *err)
{
    struct counted *c = self;
    if (strstr(path, ".safetensors") != NULL)
        c->model_opens++;
    return files_posix()->open(NULL, path, mode, fd, err);
}

struct case_of_leaves {
    struct counted disk;
    struct store *store;
    struct cid root;
    struct leaves leaves;
    uint8_t *bytes;
};

static void set_up(struct case_of_leaves *c, size_t size)
{
    *c = (struct case_of_leaves){.disk.table = *files_posix()};
    c->disk.table.self = &c->disk;
    c->disk.table.open = count_open;
    assert_int_equal(scratch_setup(NULL), 0);
    c->bytes = stream_bytes("leaves", size);
    write_file(in_scratch("model"), bytes_of(c->bytes, size));
    assert_int_equal(store_open(&c->disk.table, in_scratch("store"), STORE_WRITE, &c->store, NULL),
                     0);
    assert_int_equal(store_import(c->store, in_scratch("model"), NULL, &c->root, NULL), 0);
    assert_int_equal(leaves_load(c->store, &c->root, &c->leaves, NULL), 0);
    assert_int_equal(c->leaves.file_bytes, size);
    c->disk.model_opens = 0;
}

static void tear_down(struct case_of_leaves *c)
{
    leaves_fini(&c->leaves);
    store_close(c->store);
    free(c->bytes);
    assert_int_equal(scratch_teardown(NULL), 0);
}

static void test_any_range_is_the_files_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        size_t size;
    } ranges[] = {{0, 1},           {0, LEAF},       {LEAF - 1, 2},       {LEAF, LEAF},
                  {5, 2 * LEAF},    {3 * LEAF, 777}, {3 * LEAF + 776, 1}, {0, 3 * LEAF + 777},
                  {LEAF / 2, LEAF}, {2 * LEAF, 0},   {3 * LEAF + 777, 0}};
    struct case_of_leaves c;
    struct leaves_reader r;
    uint8_t *out = malloc(4 * LEAF);
    set_up(&c, 3 * LEAF + 777);
    assert_int_equal(c.leaves.count, 4);
    leaves_reader_init(&r, &c.leaves);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_int_equal(leaves_read(&r, ranges[i].offset, out, ranges[i].size, NULL), 0);
        assert_memory_equal(out, c.bytes + ranges[i].offset, ranges[i].size);
    }
    assert_int_equal(leaves_read(&r, 3 * LEAF, out, 778, NULL), ERR_MALFORMED);
    assert_int_equal(leaves_read(&r, UINT64_MAX, out, 2, NULL), ERR_MALFORMED);
    leaves_reader_fini(&r);
    free(out);
    tear_down(&c);
}

static void test_a_sequential_reader_reads_and_hashes_each_leaf_once(void **state)
{
    (void)state;
    struct case_of_leaves c;
    struct leaves_reader r;
    uint8_t out[1000];
    set_up(&c, 3 * LEAF + 500);
    leaves_reader_init(&r, &c.leaves);
    for (uint64_t at = 0; at < c.leaves.file_bytes; at += sizeof out) {
        uint64_t left = c.leaves.file_bytes - at;
        size_t size = left < sizeof out ? (size_t)left : sizeof out;
        assert_int_equal(leaves_read(&r, at, out, size, NULL), 0);
        assert_memory_equal(out, c.bytes + at, size);
    }
    assert_int_equal(c.disk.model_opens, 4);
    leaves_reader_fini(&r);
    tear_down(&c);
}

static void test_a_changed_leaf_is_corrupt_and_named(void **state)
{
    (void)state;
    struct case_of_leaves c;
    struct leaves_reader r;
    struct err err = {0};
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX];
    uint8_t out[10];
    set_up(&c, 2 * LEAF);
    assert_int_equal(store_model_path(c.store, &c.root, path, NULL, NULL), 0);
    damage_file(path, LEAF + 100, 1);
    leaves_reader_init(&r, &c.leaves);
    assert_int_equal(leaves_read(&r, LEAF - 5, out, 10, &err), ERR_CORRUPT);
    struct cid cid = cid_from_digest(CID_RAW, c.leaves.digests[1]);
    assert_non_null(strstr(err.text, "leaf 1 "));
    assert_non_null(strstr(err.text, cid_format(&cid, text)));
    assert_int_equal(leaves_read(&r, LEAF - 5, out, 5, NULL), 0); /* the first is whole */
    assert_memory_equal(out, c.bytes + LEAF - 5, 5);
    assert_int_equal(leaves_read(&r, LEAF, out, 1, NULL), ERR_CORRUPT); /* and not remembered */
    assert_int_equal(truncate(path, LEAF), 0);
    assert_int_equal(leaves_read(&r, LEAF, out, 1, NULL), ERR_CORRUPT);
    leaves_reader_fini(&r);
    tear_down(&c);
}

static void test_a_file_of_one_leaf_has_no_tree(void **state)
{
    (void)state;
    struct case_of_leaves c;
    struct leaves_reader r;
    uint8_t out[100];
    set_up(&c, 100);
    assert_int_equal(c.leaves.count, 1);
    assert_int_equal(cid_codec(&c.root), CID_RAW);
    leaves_reader_init(&r, &c.leaves);
    assert_int_equal(leaves_read(&r, 0, out, 100, NULL), 0);
    assert_memory_equal(out, c.bytes, 100);
    leaves_reader_fini(&r);
    tear_down(&c);
}

static void test_a_model_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct case_of_leaves c;
    struct leaves none;
    set_up(&c, 100);
    struct cid raw = cid_of(CID_RAW, bytes_of_text("x")),
               tree = cid_of(CID_DAG_PB, bytes_of_text("x"));
    assert_int_equal(leaves_load(c.store, &raw, &none, NULL), ERR_NOTFOUND);
    assert_int_equal(leaves_load(c.store, &tree, &none, NULL), ERR_NOTFOUND);
    tear_down(&c);
}

/* Valid UnixFS, but not our profile: its leaves do not lie where ours do. */
static void test_leaves_of_another_size_are_unsupported(void **state)
{
    (void)state;
    struct case_of_leaves c;
    struct leaves none;
    set_up(&c, 100);
    struct unixfs_child links[2];
    struct buf node = buf_new(1024);
    for (size_t i = 0; i < 2; i++)
        links[i] = (struct unixfs_child){
            .cid = cid_of(CID_RAW, bytes_of(c.bytes, 10)), .file_bytes = 10, .total_bytes = 10};
    unixfs_node_put_file(&node, links, 2);
    struct cid root = cid_of(CID_DAG_PB, buf_bytes(&node));
    assert_int_equal(store_put(c.store, &root, buf_bytes(&node), NULL), 0);
    assert_int_equal(leaves_load(c.store, &root, &none, NULL), ERR_UNSUPPORTED);
    buf_fini(&node);
    tear_down(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_range_is_the_files_bytes),
        cmocka_unit_test(test_a_sequential_reader_reads_and_hashes_each_leaf_once),
        cmocka_unit_test(test_a_changed_leaf_is_corrupt_and_named),
        cmocka_unit_test(test_a_file_of_one_leaf_has_no_tree),
        cmocka_unit_test(test_a_model_that_is_not_there_is_not_found),
        cmocka_unit_test(test_leaves_of_another_size_are_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
