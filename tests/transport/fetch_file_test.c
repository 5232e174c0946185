/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_file.h"

#include "content/packs.h"
#include "tests/transport/fetch_scratch.h"

#define LEAVES     70 /* more than are looked for together */
#define LEAF_BYTES 5000
#define FILE_BYTES ((size_t)LEAVES * LEAF_BYTES)

/* A part in memory, and who fetches into it. */
struct target {
    struct reader *reader;
    struct source *source;
    struct cid root, leaves[LEAVES];
    uint8_t *part;
    uint64_t bytes, have;
    unsigned begun, written;
    unsigned fail_at; /* the write that fails, from 1; 0: none */
    bool keep;
};

static int begin(void *self, uint64_t bytes, struct err *err)
{
    struct target *t = self;
    (void)err;
    assert_true(bytes <= FILE_BYTES);
    t->bytes = bytes;
    t->begun++;
    return 0;
}

static int read_part(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    struct target *t = self;
    (void)err;
    assert_true(offset + size <= t->bytes);
    memcpy(data, t->part + offset, size);
    return 0;
}

static int write_part(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct target *t = self;
    assert_true(offset + data.size <= t->bytes);
    if (++t->written == t->fail_at)
        return err_set(err, ERR_IO, "the disk is full");
    if (data.size > 0)
        memcpy(t->part + offset, data.data, data.size);
    return 0;
}

static void note(void *self, uint64_t have, uint64_t all)
{
    struct target *t = self;
    assert_true(have > t->have || t->bytes == 0);
    assert_int_equal(all, t->bytes);
    t->have = have;
}

static struct cid put_file_node(struct target *t, const struct cid *links, size_t count,
                                uint64_t each_bytes)
{
    struct unixfs_child children[LEAVES];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        children[i] = (struct unixfs_child){
            .cid = links[i], .file_bytes = each_bytes, .total_bytes = each_bytes};
    unixfs_node_put_file(&block, children, count);
    struct cid cid = their_block(t->reader, CID_DAG_PB, block.data, block.size);
    buf_fini(&block);
    return cid;
}

static struct target *open_target(void)
{
    struct target *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->part = calloc(1, FILE_BYTES);
    assert_non_null(t->part);
    t->reader = reader_open();
    for (unsigned i = 0; i < LEAVES; i++)
        t->leaves[i] = their_leaf(t->reader, i + 1, LEAF_BYTES);
    struct cid halves[2] = {put_file_node(t, t->leaves, LEAVES / 2, LEAF_BYTES),
                            put_file_node(t, t->leaves + LEAVES / 2, LEAVES / 2, LEAF_BYTES)};
    t->root = put_file_node(t, halves, 2, FILE_BYTES / 2);
    t->source = calloc(1, sizeof *t->source);
    assert_non_null(t->source);
    source_open(t->source, t->reader->theirs, HONEST, -1);
    reader_add(t->reader, t->source->url);
    return t;
}

static void close_target(struct target *t)
{
    source_close(t->source);
    reader_close(t->reader);
    free(t->source);
    free(t->part);
    free(t);
}

static int fetch_it(struct target *t, uint64_t bytes_max, struct err *err)
{
    struct fetch_file to = {.store = t->reader->ours,
                            .bytes_max = bytes_max,
                            .self = t,
                            .begin = begin,
                            .read = read_part,
                            .write = write_part,
                            .progress = note};
    t->have = 0;
    t->begun = t->written = 0;
    atomic_store(&t->source->requests, 0);
    if (t->keep)
        assert_int_equal(store_batch_new(t->reader->ours, &to.batch, NULL), 0);
    int rc = fetch_file(&t->reader->fetch, &to, &t->root, err);
    if (t->keep)
        assert_int_equal(store_batch_finish(to.batch, false, NULL), 0);
    return rc;
}

static void assert_whole(struct target *t)
{
    struct buf leaf = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = 0; i < LEAVES; i++) {
        assert_int_equal(store_get(t->reader->theirs, &t->leaves[i], &leaf, NULL), 0);
        assert_memory_equal(t->part + i * LEAF_BYTES, leaf.data, LEAF_BYTES);
    }
    buf_fini(&leaf);
    assert_int_equal(t->bytes, FILE_BYTES);
    assert_int_equal(t->begun, 1);
}

static void must_fetch(struct target *t)
{
    struct err err = {0};
    if (fetch_it(t, FILE_BYTES, &err) != 0)
        fail_msg("%s", err.text);
    assert_whole(t);
    assert_int_equal(t->have, FILE_BYTES);
}

static unsigned leaves_in_store(struct target *t)
{
    unsigned count = 0;
    for (size_t i = 0; i < LEAVES; i++)
        count += store_has(t->reader->ours, &t->leaves[i]);
    return count;
}

static void test_a_file_comes_into_its_place_and_its_leaves_are_kept_if_asked(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct target *t = open_target();
        struct jobs *jobs = t->reader->fetch.jobs;
        t->keep = way % 2 == 1;
        if (way >= 2)
            t->reader->fetch.jobs = NULL;
        must_fetch(t);
        assert_int_equal(atomic_load(&t->source->requests), LEAVES + 3);
        assert_int_equal(t->written, LEAVES);
        assert_int_equal(leaves_in_store(t), t->keep ? LEAVES : 0);
        t->reader->fetch.jobs = jobs;
        close_target(t);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_what_the_part_holds_is_neither_fetched_nor_written(void **state)
{
    (void)state;
    struct target *t = open_target();
    must_fetch(t);
    must_fetch(t);
    assert_int_equal(atomic_load(&t->source->requests), 0);
    assert_int_equal(t->written, 0);
    t->part[3 * LEAF_BYTES + 17] ^= 1;                /* one rotted */
    memset(t->part + 40 * LEAF_BYTES, 0, LEAF_BYTES); /* and one never came */
    must_fetch(t);
    assert_int_equal(atomic_load(&t->source->requests), 2);
    assert_int_equal(t->written, 2);
    close_target(t);
}

static void test_what_only_the_part_holds_comes_into_the_store_from_there(void **state)
{
    (void)state;
    struct target *t = open_target();
    must_fetch(t);
    assert_int_equal(leaves_in_store(t), 0);
    t->keep = true;
    must_fetch(t);
    assert_int_equal(atomic_load(&t->source->requests), 0);
    assert_int_equal(leaves_in_store(t), LEAVES);
    close_target(t);
}

static void test_leaves_that_the_store_has_are_hashed_and_written_from_there(void **state)
{
    (void)state;
    struct target *t = open_target();
    struct buf leaf = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = 0; i < LEAVES; i += 2) {
        assert_int_equal(store_get(t->reader->theirs, &t->leaves[i], &leaf, NULL), 0);
        assert_int_equal(store_put(t->reader->ours, &t->leaves[i], buf_bytes(&leaf), NULL), 0);
    }
    buf_fini(&leaf);
    char text[CID_TEXT_MAX], path[CID_TEXT_MAX + 32]; /* one of them rots: it comes anew */
    cid_format(&t->leaves[4], text);
    size_t size = strlen(text);
    snprintf(path, sizeof path, "ours/blocks/%.2s/%s", text + size - 3, text);
    damage_file(in_scratch(path), 100, 1);
    must_fetch(t);
    assert_int_equal(atomic_load(&t->source->requests), LEAVES / 2 + 1 + 3);
    close_target(t);
}

static void test_a_failed_write_ends_it_and_the_next_call_goes_on(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= LEAVES; at += 23) {
        struct target *t = open_target();
        struct err err = {0};
        t->fail_at = at;
        assert_int_equal(fetch_it(t, FILE_BYTES, &err), ERR_IO);
        assert_string_equal(err.text, "the disk is full");
        t->fail_at = 0;
        uint64_t before = t->reader->fetch.blocks_received;
        must_fetch(t);
        assert_in_range(t->reader->fetch.blocks_received - before, 1, LEAVES + 1 - at);
        close_target(t);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_a_liar_is_named_and_writes_nothing(void **state)
{
    (void)state;
    struct target *t = open_target();
    struct source liar = {0};
    struct err err = {0};
    assert_int_equal(fetch_block(&t->reader->fetch, t->reader->ours, &t->root, NULL, NULL), 0);
    reader_forget(t->reader);
    source_open(&liar, t->reader->theirs, WRONG, -1);
    reader_add(t->reader, liar.url);
    assert_int_equal(fetch_it(t, FILE_BYTES, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, liar.url));
    assert_int_equal(t->begun, 0);
    assert_int_equal(t->reader->notices, 1);
    /* Beside an honest one it does no harm. */
    reader_forget(t->reader);
    reader_add(t->reader, liar.url);
    reader_add(t->reader, t->source->url);
    must_fetch(t);
    source_close(&liar);
    close_target(t);
}

static void test_a_source_that_breaks_off_costs_no_byte_twice(void **state)
{
    (void)state;
    struct target *t = open_target();
    uint64_t sent, received;
    t->source->manner = BREAKS;
    atomic_store(&t->source->manners_left, 2); /* three at one byte would be a lie */
    must_fetch(t);
    assert_true(atomic_load(&t->source->ranged) > 0);
    http_client_moved(t->reader->fetch.http, &sent, &received);
    assert_true(received < FILE_BYTES + LEAF_BYTES); /* the nodes are small */
    close_target(t);
}

static void test_a_leaf_of_another_size_than_its_parent_says_is_refused(void **state)
{
    (void)state;
    for (int where = 0; where <= 1; where++)
        for (int more = -1; more <= 1; more += 2) {
            struct target *t = open_target();
            struct err err = {0};
            t->root = put_file_node(t, t->leaves, 10, (uint64_t)(LEAF_BYTES + more));
            if (where == 1) /* the leaves lie in our store */
                assert_int_equal(
                    fetch_block(&t->reader->fetch, t->reader->ours, &t->leaves[0], NULL, NULL), 0);
            assert_int_equal(fetch_it(t, FILE_BYTES, &err), ERR_MALFORMED);
            assert_non_null(strstr(err.text, "its parent says"));
            close_target(t);
            assert_int_equal(scratch_teardown(NULL), 0);
            assert_int_equal(scratch_setup(NULL), 0);
        }
}

static void test_what_is_for_fetch_dag_is_said_before_anything_is_begun(void **state)
{
    (void)state;
    struct target *t = open_target();
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct err err = {0};
    unixfs_node_put_leaf(&block, bytes_of_text("bytes in a node"));
    struct cid mixed[2] = {t->leaves[0],
                           their_block(t->reader, CID_DAG_PB, block.data, block.size)};
    buf_clear(&block);
    unixfs_node_put_directory(&block);
    const struct cid rows[] = {
        mixed[1],
        put_file_node(t, mixed, 2, strlen("bytes in a node")),
        their_block(t->reader, CID_DAG_PB, block.data, block.size), /* a folder */
        their_block(t->reader, CID_DAG_CBOR, "\xa0", 1),
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t->root = rows[i];
        if (fetch_it(t, FILE_BYTES, &err) != ERR_UNSUPPORTED || t->begun != 0)
            fail_msg("%zu: %s", i, err.text);
    }
    buf_fini(&block);
    close_target(t);
}

static void test_a_file_over_the_limit_costs_its_root_alone(void **state)
{
    (void)state;
    struct target *t = open_target();
    assert_int_equal(fetch_it(t, FILE_BYTES - 1, NULL), ERR_LIMIT);
    assert_int_equal(atomic_load(&t->source->requests), 1);
    t->root = t->leaves[0];
    assert_int_equal(fetch_it(t, LEAF_BYTES - 1, NULL), ERR_LIMIT);
    assert_int_equal(t->begun, 0);
    close_target(t);
}

static void test_files_of_one_leaf_and_of_none(void **state)
{
    (void)state;
    struct target *t = open_target();
    const struct cid roots[] = {t->leaves[7], their_block(t->reader, CID_RAW, "", 0)};
    for (size_t i = 0; i < 2; i++) {
        t->root = roots[i];
        t->keep = true;
        assert_int_equal(fetch_it(t, FILE_BYTES, NULL), 0);
        assert_int_equal(t->bytes, i == 0 ? LEAF_BYTES : 0);
        assert_int_equal(t->begun, 1);
        assert_true(store_has(t->reader->ours, &roots[i]));
        struct buf leaf = buf_new(STORE_BLOCK_BYTES_MAX);
        assert_int_equal(store_get(t->reader->theirs, &roots[i], &leaf, NULL), 0);
        assert_true(bytes_equal(buf_bytes(&leaf), bytes_of(t->part, t->bytes)));
        buf_fini(&leaf);
        /* Again, from the store. */
        assert_int_equal(fetch_it(t, FILE_BYTES, NULL), 0);
        assert_int_equal(atomic_load(&t->source->requests), 0);
    }
    close_target(t);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_file_comes_into_its_place_and_its_leaves_are_kept_if_asked),
        WITH_FOLDER(test_what_the_part_holds_is_neither_fetched_nor_written),
        WITH_FOLDER(test_what_only_the_part_holds_comes_into_the_store_from_there),
        WITH_FOLDER(test_leaves_that_the_store_has_are_hashed_and_written_from_there),
        WITH_FOLDER(test_a_failed_write_ends_it_and_the_next_call_goes_on),
        WITH_FOLDER(test_a_liar_is_named_and_writes_nothing),
        WITH_FOLDER(test_a_source_that_breaks_off_costs_no_byte_twice),
        WITH_FOLDER(test_a_leaf_of_another_size_than_its_parent_says_is_refused),
        WITH_FOLDER(test_what_is_for_fetch_dag_is_said_before_anything_is_begun),
        WITH_FOLDER(test_a_file_over_the_limit_costs_its_root_alone),
        WITH_FOLDER(test_files_of_one_leaf_and_of_none),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
