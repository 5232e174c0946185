/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"
#include "content/dag.h"
#include "content/unixfs_node.h"
#include "tests/scratch.h"
#include "transport/gateway_walk.h"

/* --- DAGs that nobody stores: block N is made when it is asked for --- */

#define WIDTH 16384

struct maker {
    unsigned width; /* links of every block, to N + 1, N + 2... */
    uint64_t ends;  /* blocks from here on are missing */
};

static struct cid numbered(uint64_t n)
{
    uint8_t digest[HASH_BYTES] = {1};
    bytes_put_u64(digest + 8, n);
    return cid_from_digest(CID_DAG_CBOR, digest);
}

static int make(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    const struct maker *m = self;
    uint64_t n = bytes_get_u64(cid_digest(cid) + 8);
    buf_clear(out);
    if (n >= m->ends)
        return err_set(err, ERR_NOTFOUND, "block %llu is missing", (unsigned long long)n);
    cbor_put_array(out, m->width);
    for (unsigned i = 0; i < m->width; i++) {
        struct cid link = numbered(n * m->width + i + 1);
        cbor_put_link(out, &link);
    }
    return buf_check(out, err);
}

/* How many blocks come before the end or the failure, which is returned. */
static int walk_all(const struct gateway_walk_config *c, size_t *count)
{
    struct gateway_walk *w;
    struct gateway_walk_item item;
    struct err err = {0};
    int rc;
    assert_int_equal(gateway_walk_new(c, &w, NULL), 0);
    for (*count = 0; (rc = gateway_walk_next(w, &item, &err)) == 1;)
        ++*count;
    assert_true(rc == 0 || err.text[0] != '\0');
    gateway_walk_free(w);
    return rc;
}

static void test_a_chain_without_end_is_a_limit(void **state)
{
    (void)state;
    struct maker m = {.width = 1, .ends = UINT64_MAX};
    struct block_source source = {.self = &m, .get = make};
    size_t count;
    struct gateway_walk_config c = {
        .source = &source, .root = numbered(0), .to = UINT64_MAX, .dups = true};
    assert_int_equal(walk_all(&c, &count), ERR_LIMIT);
    assert_int_equal(count, DAG_DEPTH_MAX + 1);
}

/* Sixteen thousand links a block, and below the first of them as many again. */
static void test_links_still_to_come_have_a_limit(void **state)
{
    (void)state;
    struct maker m = {.width = WIDTH, .ends = UINT64_MAX};
    struct block_source source = {.self = &m, .get = make};
    size_t count;
    struct gateway_walk_config c = {
        .source = &source, .root = numbered(0), .to = UINT64_MAX, .dups = true};
    assert_int_equal(walk_all(&c, &count), ERR_LIMIT);
    assert_in_range(count, 2, GATEWAY_WALK_BYTES_MAX / (WIDTH * CID_BYTES_V1));
}

static void test_a_missing_block_ends_the_walk_where_it_is(void **state)
{
    (void)state;
    struct maker m = {.width = 1, .ends = 5};
    struct block_source source = {.self = &m, .get = make};
    size_t count;
    struct gateway_walk_config c = {.source = &source, .root = numbered(0), .to = UINT64_MAX};
    assert_int_equal(walk_all(&c, &count), ERR_NOTFOUND);
    assert_int_equal(count, 5);
    c.scope = GATEWAY_BLOCK; /* named, and not read */
    c.root = numbered(7);
    assert_int_equal(walk_all(&c, &count), 0);
    assert_int_equal(count, 1);
}

static void test_what_was_passed_over_does_not_come_again(void **state)
{
    (void)state;
    struct maker m = {.width = 1, .ends = UINT64_MAX};
    struct block_source source = {.self = &m, .get = make};
    struct gateway_walk_config c = {.source = &source, .root = numbered(3), .to = UINT64_MAX};
    struct gateway_walk *w;
    struct gateway_walk_item item;
    struct cid third = numbered(3), fifth = numbered(5);
    assert_int_equal(gateway_walk_new(&c, &w, NULL), 0);
    assert_int_equal(gateway_walk_pass_over(w, &fifth, NULL), 0);
    assert_int_equal(gateway_walk_pass_over(w, &fifth, NULL), 1);
    assert_int_equal(gateway_walk_next(w, &item, NULL), 1);
    assert_true(cid_equal(&item.cid, &third));
    assert_int_equal(gateway_walk_next(w, &item, NULL), 1);
    assert_int_equal(gateway_walk_next(w, &item, NULL), 0); /* nor what is below it */
    gateway_walk_free(w);
    c.dups = true;
    assert_int_equal(gateway_walk_new(&c, &w, NULL), 0);
    assert_int_equal(gateway_walk_pass_over(w, &fifth, NULL), 0);
    assert_int_equal(gateway_walk_pass_over(w, &fifth, NULL), 0);
    gateway_walk_free(w);
}

/* --- a file: a node of three raw leaves --- */

struct file {
    struct cid root;
    struct buf node;
};

static int get_file(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct file *f = self;
    buf_clear(out);
    if (!cid_equal(cid, &f->root))
        return err_set(err, ERR_NOTFOUND, "leaves are not read");
    buf_append(out, f->node.data, f->node.size);
    return buf_check(out, err);
}

static void test_leaves_are_named_with_the_part_that_is_in_the_range(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, to;
        size_t count;
        struct {
            uint64_t skip, size;
        } parts[3];
    } rows[] = {
        {0, 30, 3, {{0, 10}, {0, 10}, {0, 10}}},
        {0, UINT64_MAX, 3, {{0, 10}, {0, 10}, {0, 10}}},
        {5, 12, 2, {{5, 5}, {0, 2}}},
        {10, 20, 1, {{0, 10}}},
        {29, 30, 1, {{9, 1}}},
        {30, 40, 0, {{0, 0}}},
    };
    struct file f = {.node = buf_new(4096)};
    struct unixfs_child children[3];
    for (size_t i = 0; i < 3; i++) {
        uint8_t digest[HASH_BYTES] = {(uint8_t)i};
        children[i] = (struct unixfs_child){
            .cid = cid_from_digest(CID_RAW, digest), .file_bytes = 10, .total_bytes = 10};
    }
    unixfs_node_put_file(&f.node, children, 3);
    f.root = cid_of(CID_DAG_PB, buf_bytes(&f.node));
    struct block_source source = {.self = &f, .get = get_file};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct gateway_walk_config c = {.source = &source,
                                        .root = f.root,
                                        .scope = GATEWAY_ENTITY,
                                        .from = rows[row].from,
                                        .to = rows[row].to};
        struct gateway_walk *w;
        struct gateway_walk_item item;
        assert_int_equal(gateway_walk_new(&c, &w, NULL), 0);
        assert_int_equal(gateway_walk_next(w, &item, NULL), 1);
        assert_true(item.loaded && bytes_equal(item.block, buf_bytes(&f.node)));
        for (size_t i = 0; i < rows[row].count; i++) {
            assert_int_equal(gateway_walk_next(w, &item, NULL), 1);
            assert_false(item.loaded);
            assert_int_equal(item.leaf_bytes, 10);
            assert_int_equal(item.skip, rows[row].parts[i].skip);
            assert_int_equal(item.size, rows[row].parts[i].size);
        }
        assert_int_equal(gateway_walk_next(w, &item, NULL), 0);
        gateway_walk_free(w);
    }
    buf_fini(&f.node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain_without_end_is_a_limit),
        cmocka_unit_test(test_links_still_to_come_have_a_limit),
        cmocka_unit_test(test_a_missing_block_ends_the_walk_where_it_is),
        cmocka_unit_test(test_what_was_passed_over_does_not_come_again),
        cmocka_unit_test(test_leaves_are_named_with_the_part_that_is_in_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
