/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "study/update_index.h"

#define LIST   UPDATE_INDEX_LIST
#define BLOCKS 2048

/* Blocks in memory, in order of writing. */
struct blocks {
    size_t count;
    struct cid cids[BLOCKS];
    struct buf bytes[BLOCKS];
    bool gone[BLOCKS];
    size_t missing_count;
    struct cid missing[BLOCKS];
    size_t gets;
    size_t seen_count;
    struct cid seen[BLOCKS];
};

static int put(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct blocks *b = self;
    (void)err;
    assert_int_equal(cid_verify(cid, block, NULL), 0);
    assert_true(block.size <= 1u << 20);
    assert_true(b->count < BLOCKS);
    b->cids[b->count] = *cid;
    b->bytes[b->count] = buf_new(1u << 20);
    buf_append(&b->bytes[b->count++], block.data, block.size);
    return 0;
}

static int get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct blocks *b = self;
    b->gets++;
    for (size_t i = 0; i < b->count; i++)
        if (cid_equal(&b->cids[i], cid) && !b->gone[i]) {
            buf_clear(out);
            buf_append(out, b->bytes[i].data, b->bytes[i].size);
            return buf_check(out, err);
        }
    return err_set(err, ERR_NOTFOUND, "not here");
}

static void note_missing(void *self, const struct cid *cid)
{
    struct blocks *b = self;
    b->missing[b->missing_count++] = *cid;
}

static int see(void *self, const struct cid *cid, struct err *err)
{
    struct blocks *b = self;
    (void)err;
    b->seen[b->seen_count++] = *cid;
    return 0;
}

static void forget(struct blocks *b)
{
    for (size_t i = 0; i < b->count; i++)
        buf_fini(&b->bytes[i]);
    free(b);
}

static struct blocks *no_blocks(void)
{
    struct blocks *b = calloc(1, sizeof *b);
    assert_non_null(b);
    return b;
}

static struct update_index make(size_t count)
{
    struct update_index x = {
        .codec = "plain", .layout = cid_of(CID_DAG_CBOR, bytes_of_text("layout")), .count = count};
    x.shards = calloc(count + 1, sizeof *x.shards);
    assert_non_null(x.shards);
    for (size_t i = 0; i < count; i++)
        if (i % 7 != 3) /* the rest are null */
            x.shards[i] = cid_of(CID_RAW, bytes_of(&i, sizeof i));
    return x;
}

static struct update_index_source source_of(struct blocks *b)
{
    return (struct update_index_source){.self = b, .get = get};
}

static const size_t counts[] = {0, 1, LIST - 1, LIST, LIST + 1, 3 * LIST, 5 * LIST + 9};

static void test_an_index_of_any_length_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct blocks *b = no_blocks();
        struct update_index x = make(counts[i]), back;
        struct update_index_source source = source_of(b);
        struct cid root;
        size_t lists = counts[i] <= LIST ? 0 : (counts[i] + LIST - 1) / LIST;
        assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
        assert_int_equal(b->count, lists + 1);
        assert_true(cid_equal(&b->cids[lists], &root)); /* the index last */
        for (size_t k = 0; k < b->count; k++)
            assert_int_equal(cbor_check(buf_bytes(&b->bytes[k]), NULL, NULL, NULL), 0);
        assert_int_equal(update_index_read(&source, &root, x.count, NULL, &back, NULL), 0);
        assert_string_equal(back.codec, "plain");
        assert_true(cid_equal(&back.layout, &x.layout));
        assert_int_equal(back.count, x.count);
        if (x.count > 0)
            assert_memory_equal(back.shards, x.shards, x.count * sizeof *x.shards);
        update_index_fini(&back);
        assert_int_equal(update_index_read(&source, &root, UPDATE_INDEX_ANY, NULL, &back, NULL), 0);
        update_index_fini(&back);
        assert_int_equal(update_index_blocks(&source, &root, see, b, NULL), 0);
        assert_int_equal(b->seen_count, lists + 1);
        assert_true(cid_equal(&b->seen[0], &root));
        for (size_t k = 0; k < lists; k++)
            assert_true(cid_equal(&b->seen[k + 1], &b->cids[k]));
        update_index_fini(&x);
        forget(b);
    }
}

/* Past 1,024 lists the lists have lists. */
static void test_lists_of_lists_come_back_and_are_told_when_missing(void **state)
{
    (void)state;
    size_t count = (size_t)LIST * LIST + 1;
    struct blocks *b = no_blocks();
    struct update_index x = make(count), back;
    struct update_index_source source = source_of(b);
    struct cid root, range[3];
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
    assert_int_equal(b->count, LIST + 1 + 2 + 1);
    assert_int_equal(update_index_read(&source, &root, count, NULL, &back, NULL), 0);
    assert_memory_equal(back.shards, x.shards, count * sizeof *x.shards);
    update_index_fini(&back);
    assert_int_equal(update_index_read_range(&source, &root, &x, count - 3, 3, range, NULL), 0);
    assert_memory_equal(range, x.shards + count - 3, sizeof range);
    assert_int_equal(update_index_blocks(&source, &root, see, b, NULL), 0);
    assert_int_equal(b->seen_count, b->count);
    /* One list of shards, and the list of lists that names another one. */
    b->gone[5] = b->gone[LIST + 2] = true;
    struct err err = {0};
    assert_int_equal(update_index_read(&source, &root, count, note_missing, &back, &err),
                     ERR_NOTFOUND);
    assert_int_equal(b->missing_count, 2);
    assert_true(cid_equal(&b->missing[0], &b->cids[LIST + 2]));
    assert_true(cid_equal(&b->missing[1], &b->cids[5]));
    update_index_fini(&x);
    forget(b);
}

static void test_a_range_is_read_from_its_own_lists_alone(void **state)
{
    (void)state;
    static const struct {
        size_t first, n, gets;
    } cases[] = {{0, 1, 2},       {0, LIST, 2},          {LIST - 1, 2, 3},
                 {LIST, LIST, 2}, {2 * LIST - 5, 10, 3}, {3 * LIST + 16, 1, 2},
                 {7, 0, 1},       {0, 3 * LIST + 17, 5}};
    struct blocks *b = no_blocks();
    struct update_index x = make(3 * LIST + 17);
    struct update_index_source source = source_of(b);
    struct cid root;
    struct cid *out = calloc(x.count, sizeof *out);
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        b->gets = 0;
        assert_int_equal(
            update_index_read_range(&source, &root, &x, cases[i].first, cases[i].n, out, NULL), 0);
        assert_int_equal(b->gets, cases[i].gets);
        assert_memory_equal(out, x.shards + cases[i].first, cases[i].n * sizeof *out);
    }
    b->gone[1] = true;
    assert_int_equal(update_index_read_range(&source, &root, &x, 0, LIST, out, NULL), 0);
    assert_int_equal(update_index_read_range(&source, &root, &x, LIST, 1, out, NULL), ERR_NOTFOUND);
    struct update_index other = x;
    other.codec[0] = 'P';
    assert_int_equal(update_index_read_range(&source, &root, &other, 0, 1, out, NULL),
                     ERR_MALFORMED);
    other = x;
    other.layout = cid_of(CID_DAG_CBOR, bytes_of_text("other"));
    assert_int_equal(update_index_read_range(&source, &root, &other, 0, 1, out, NULL),
                     ERR_MALFORMED);
    other = x;
    other.count++;
    assert_int_equal(update_index_read_range(&source, &root, &other, 0, 1, out, NULL), ERR_LIMIT);
    assert_int_equal(update_index_read_range(&source, &root, &x, x.count, 1, out, NULL), ERR_USAGE);
    free(out);
    update_index_fini(&x);
    forget(b);
}

static void test_every_absent_block_is_told(void **state)
{
    (void)state;
    struct blocks *b = no_blocks();
    struct update_index x = make(3 * LIST), back;
    struct update_index_source source = source_of(b);
    struct cid root;
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
    b->gone[0] = b->gone[2] = true;
    assert_int_equal(update_index_read(&source, &root, x.count, note_missing, &back, NULL),
                     ERR_NOTFOUND);
    assert_int_equal(b->missing_count, 2);
    assert_true(cid_equal(&b->missing[0], &b->cids[0]) && cid_equal(&b->missing[1], &b->cids[2]));
    b->missing_count = 0;
    b->gone[3] = true;
    assert_int_equal(update_index_read(&source, &root, x.count, note_missing, &back, NULL),
                     ERR_NOTFOUND);
    assert_int_equal(b->missing_count, 1);
    assert_true(cid_equal(&b->missing[0], &root));
    assert_int_equal(update_index_read(&source, &root, x.count, NULL, &back, NULL), ERR_NOTFOUND);
    assert_int_equal(update_index_blocks(&source, &root, see, b, NULL), ERR_NOTFOUND);
    update_index_fini(&x);
    forget(b);
}

static void test_another_count_than_expected_is_a_limit(void **state)
{
    (void)state;
    struct blocks *b = no_blocks();
    struct update_index x = make(5), back;
    struct update_index_source source = source_of(b);
    struct cid root;
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
    assert_int_equal(update_index_read(&source, &root, 4, NULL, &back, NULL), ERR_LIMIT);
    assert_int_equal(update_index_read(&source, &root, 6, NULL, &back, NULL), ERR_LIMIT);
    x.count = UPDATE_INDEX_COUNT_MAX + 1;
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), ERR_LIMIT);
    update_index_fini(&x);
    forget(b);
}

/* An index of `count` with `items` items, each a link to `item`, or null. */
static struct cid put_index(struct blocks *b, uint64_t count, size_t items, const struct cid *item)
{
    struct buf out = buf_new(1u << 20);
    struct cid layout = cid_of(CID_DAG_CBOR, bytes_of_text("layout"));
    cbor_put_map(&out, 4);
    cbor_put_text(&out, "codec");
    cbor_put_text(&out, "plain");
    cbor_put_text(&out, "count");
    cbor_put_uint(&out, count);
    cbor_put_text(&out, "layout");
    cbor_put_link(&out, &layout);
    cbor_put_text(&out, "shards");
    cbor_put_array(&out, items);
    for (size_t i = 0; i < items; i++)
        cbor_put_link_or_null(&out, item);
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&out));
    put(b, &cid, buf_bytes(&out), NULL);
    buf_fini(&out);
    return cid;
}

static struct cid put_list(struct blocks *b, size_t items, const struct cid *item)
{
    struct buf out = buf_new(1u << 20);
    cbor_put_array(&out, items);
    for (size_t i = 0; i < items; i++)
        cbor_put_link_or_null(&out, item);
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&out));
    put(b, &cid, buf_bytes(&out), NULL);
    buf_fini(&out);
    return cid;
}

static void test_other_forms_are_malformed(void **state)
{
    (void)state;
    struct blocks *b = no_blocks();
    struct cid raw = cid_of(CID_RAW, bytes_of_text("shard")), none = {0}, identity, v0;
    struct cid record = cid_of(CID_DAG_CBOR, bytes_of_text("shard"));
    assert_int_equal(cid_parse("bafkqaaa", &identity, NULL), 0);
    assert_int_equal(cid_parse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", &v0, NULL), 0);
    struct cid full = put_list(b, LIST, &raw), one = put_list(b, 1, &raw);
    struct cid odd = put_list(b, LIST, &record);
    struct cid huge = put_index(b, LIST + 1, 2, &none);
    const struct {
        struct cid root;
        size_t count;
        const char *reason;
    } cases[] = {
        {put_index(b, 2, 1, &raw), 2, "fewer items than the count"},
        {put_index(b, 1, 2, &raw), 1, "more items than the count"},
        {put_index(b, LIST + 1, LIST + 1, &raw), LIST + 1, "a long list that is not nested"},
        {put_index(b, 1, 1, &record), 1, "a shard that is not a raw block"},
        {put_index(b, 1, 1, &identity), 1, "a shard that is not sha2-256"},
        {put_index(b, 1, 1, &v0), 1, "a shard of CIDv0"},
        {huge, LIST + 1, "null for a list"},
        {put_index(b, LIST + 1, 2, &raw), LIST + 1, "a list that is not dag-cbor"},
        {put_index(b, LIST + 1, 2, &full), LIST + 1, "the last list is not shorter"},
        {put_index(b, 2 * LIST, 2, &one), 2 * LIST, "a list that is too short"},
        {put_index(b, 2 * LIST, 2, &odd), 2 * LIST, "shards in a list are checked too"},
        {one, 1, "a list in place of an index"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct update_index_source source = source_of(b);
        struct update_index back;
        struct err err = {0};
        int rc = update_index_read(&source, &cases[i].root, cases[i].count, NULL, &back, &err);
        if (rc != ERR_MALFORMED)
            fail_msg("%s: %s", cases[i].reason, err.text);
    }
    /* The same blocks put together rightly are read. */
    struct cid good = put_index(b, 2 * LIST, 2, &full);
    struct update_index_source source = source_of(b);
    struct update_index back;
    assert_int_equal(update_index_read(&source, &good, 2 * LIST, NULL, &back, NULL), 0);
    update_index_fini(&back);
    forget(b);
}

static void test_an_index_cut_anywhere_is_malformed(void **state)
{
    (void)state;
    struct blocks *b = no_blocks();
    struct update_index x = make(9), back;
    struct update_index_source source = source_of(b);
    struct cid root;
    assert_int_equal(update_index_write(&x, put, b, &root, NULL), 0);
    for (size_t size = b->bytes[0].size; size-- > 0;) {
        b->bytes[0].size = size;
        assert_int_equal(update_index_read(&source, &root, 9, NULL, &back, NULL), ERR_MALFORMED);
    }
    update_index_fini(&x);
    forget(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_index_of_any_length_comes_back),
        cmocka_unit_test(test_lists_of_lists_come_back_and_are_told_when_missing),
        cmocka_unit_test(test_a_range_is_read_from_its_own_lists_alone),
        cmocka_unit_test(test_every_absent_block_is_told),
        cmocka_unit_test(test_another_count_than_expected_is_a_limit),
        cmocka_unit_test(test_other_forms_are_malformed),
        cmocka_unit_test(test_an_index_cut_anywhere_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
