/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/fetch_scratch.h"

#include "content/packs.h"

#define LEAF_BYTES 5000
#define DEEP       5000

static struct source *open_source(struct reader *r)
{
    struct source *s = calloc(1, sizeof *s);
    assert_non_null(s);
    source_open(s, r->theirs, HONEST, -1);
    reader_add(r, s->url);
    return s;
}

static void close_source(struct source *s)
{
    source_close(s);
    free(s);
}

/* Two trees of leaves below a node, and a map in dag-cbor above it all that links to it and to a
 * leaf of its own. */
static struct cid some_dag(struct reader *r)
{
    struct cid trees[2] = {their_tree(r, 0, 30, LEAF_BYTES), their_tree(r, 100, 30, LEAF_BYTES)};
    struct cid links[2] = {their_node(r, trees, 2, 30 * LEAF_BYTES),
                           their_leaf(r, 999, LEAF_BYTES)};
    uint8_t map[256] = {0xa2};
    size_t n = 1;
    for (size_t i = 0; i < 2; i++) {
        const uint8_t head[] = {0x61, (uint8_t)('a' + i), 0xd8, 0x2a, 0x58, 37, 0};
        memcpy(map + n, head, sizeof head);
        memcpy(map + n + sizeof head, links[i].bytes, 36);
        n += sizeof head + 36;
    }
    return their_block(r, CID_DAG_CBOR, map, n);
}

#define SOME_BLOCKS (1 + 1 + 2 + 60 + 1)

static void test_all_below_a_root_comes_once(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 1; threads++) {
        struct reader *r = reader_open();
        struct source *s = open_source(r);
        struct jobs *jobs = r->fetch.jobs;
        struct cid root = some_dag(r);
        if (threads == 0)
            r->fetch.jobs = NULL;
        reader_must(r, &root);
        assert_int_equal(assert_ours(r, &root), SOME_BLOCKS);
        assert_int_equal(atomic_load(&s->requests), SOME_BLOCKS);
        reader_must(r, &root);
        assert_int_equal(atomic_load(&s->requests), SOME_BLOCKS);
        /* Closed and opened again, the store has it still. */
        store_close(r->ours);
        r->ours = reader_store("ours");
        assert_int_equal(assert_ours(r, &root), SOME_BLOCKS);
        close_source(s);
        r->fetch.jobs = jobs;
        reader_close(r);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_what_is_here_is_walked_and_not_fetched(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid tree = their_tree(r, 0, 30, LEAF_BYTES), root;
    reader_must(r, &tree);
    unsigned asked = atomic_load(&s->requests);
    root = some_dag(r); /* of which that tree is a part */
    reader_must(r, &root);
    assert_int_equal(atomic_load(&s->requests), asked + SOME_BLOCKS - 31);
    close_source(s);
    reader_close(r);
}

/* One byte of our block becomes another, wherever it lies. */
static void damage(struct reader *r, const struct cid *cid)
{
    char fd[64], path[512];
    struct store_place place;
    assert_int_equal(store_find(r->ours, cid, &place, NULL), 0);
    snprintf(fd, sizeof fd, "/proc/self/fd/%d", place.fd);
    ssize_t n = readlink(fd, path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = '\0';
    close(place.fd);
    damage_file(path, (long)place.offset + 7, 1);
}

static int fetch_to_last(struct reader *r, const struct cid *root)
{
    return fetch_dag(&r->fetch, r->ours, root, true, NULL, NULL);
}

/* To say that all is here is a promise, where it must last: more leaves than are hashed together,
 * damaged ones among the first, in the middle and last. */
static void test_what_must_last_is_hashed_and_fetched_anew_if_damaged(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 1; threads++) {
        struct reader *r = reader_open();
        struct source *s = open_source(r);
        struct jobs *jobs = r->fetch.jobs;
        struct cid root = some_dag(r);
        static const unsigned numbers[] = {0, 29, 115, 999};
        if (threads == 0)
            r->fetch.jobs = NULL;
        assert_int_equal(fetch_to_last(r, &root), 0);
        unsigned asked = atomic_load(&s->requests);
        assert_int_equal(fetch_to_last(r, &root), 0); /* whole: nothing is asked for */
        assert_int_equal(atomic_load(&s->requests), asked);
        for (size_t i = 0; i < 4; i++) {
            struct cid leaf = their_leaf(r, numbers[i], LEAF_BYTES);
            damage(r, &leaf);
        }
        r->fetch.source_count = 0; /* nobody to ask: it is not here, then */
        assert_int_not_equal(fetch_to_last(r, &root), 0);
        r->fetch.source_count = 1;
        assert_int_equal(reader_fetch(r, &root, NULL), 0); /* what may go need not be read */
        assert_int_equal(atomic_load(&s->requests), asked);
        assert_int_equal(fetch_to_last(r, &root), 0);
        assert_int_equal(atomic_load(&s->requests), asked + 4);
        assert_int_equal(assert_ours(r, &root), SOME_BLOCKS);
        close_source(s);
        r->fetch.jobs = jobs;
        reader_close(r);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_leaves_in_a_file_that_changed_are_fetched_where_it_must_last(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct packs_batch *batch;
    struct cid leaves[3];
    uint8_t digests[3][HASH_BYTES], *data = stream_bytes("a file", 3 * LEAF_BYTES);
    write_file(in_scratch("data"), bytes_of(data, 3 * LEAF_BYTES));
    for (size_t i = 0; i < 3; i++) {
        leaves[i] = their_block(r, CID_RAW, data + i * LEAF_BYTES, LEAF_BYTES);
        memcpy(digests[i], cid_digest(&leaves[i]), HASH_BYTES);
    }
    struct cid root = their_node(r, leaves, 3, LEAF_BYTES);
    assert_int_equal(store_batch_new(r->ours, &batch, NULL), 0);
    assert_int_equal(packs_batch_reference(batch, in_scratch("data"), 3 * LEAF_BYTES, LEAF_BYTES,
                                           (const uint8_t(*)[HASH_BYTES])digests, 3, NULL),
                     0);
    assert_int_equal(store_batch_finish(batch, false, NULL), 0);
    assert_int_equal(fetch_to_last(r, &root), 0);
    assert_int_equal(atomic_load(&s->requests), 1); /* the node */
    damage_file(in_scratch("data"), LEAF_BYTES + 7, 1);
    assert_int_equal(fetch_to_last(r, &root), 0);
    assert_int_equal(atomic_load(&s->requests), 2);
    assert_int_equal(assert_ours(r, &root), 4);
    free(data);
    close_source(s);
    reader_close(r);
}

/* What was under way when a fetch failed may still reach the server, and is counted then. */
static unsigned requests_at_rest(struct source *s)
{
    unsigned before, now = atomic_load(&s->requests);
    do {
        before = now;
        usleep(200000);
        now = atomic_load(&s->requests);
    } while (now != before);
    return now;
}

static void test_a_fetch_that_fails_keeps_what_came(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid leaves[40];
    struct err err = {0};
    char text[CID_TEXT_MAX];
    for (unsigned i = 0; i < 40; i++)
        leaves[i] = their_leaf(r, i, LEAF_BYTES);
    struct cid root = their_node(r, leaves, 40, LEAF_BYTES);
    assert_int_equal(store_delete(r->theirs, &leaves[39], NULL), 0);
    assert_int_equal(reader_fetch(r, &root, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, cid_format(&leaves[39], text)));
    assert_non_null(strstr(err.text, cid_format(&root, text)));
    assert_true(store_has(r->ours, &root));
    unsigned asked = requests_at_rest(s);
    uint64_t came = r->fetch.blocks_received;
    assert_true(came >= 2);
    (void)their_leaf(r, 39, LEAF_BYTES); /* it is back */
    reader_must(r, &root);
    assert_int_equal(atomic_load(&s->requests) - asked, 41 - came);
    close_source(s);
    reader_close(r);
}

static void test_a_block_linked_many_times_is_fetched_once(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid links[64], node = their_leaf(r, 1, LEAF_BYTES);
    for (unsigned level = 0; level < 40; level++) { /* 64^40 paths */
        for (size_t i = 0; i < 64; i++)
            links[i] = node;
        node = their_node(r, links, 64, UINT64_MAX / 2); /* and a size to match */
    }
    reader_must(r, &node);
    assert_int_equal(atomic_load(&s->requests), 41);
    close_source(s);
    reader_close(r);
}

static void test_a_chain_of_thousands_takes_no_stack(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid node = their_leaf(r, 1, 100);
    struct err err = {0};
    for (unsigned i = 0; i < DEEP; i++)
        node = their_node(r, &node, 1, 100);
    if (reader_fetch(r, &node, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(r->fetch.blocks_received, DEEP + 1);
    close_source(s);
    reader_close(r);
}

/* Tiny answers end together: whoever overlooks that there is room again sleeps a minute, each time
 * that it happens. */
static void test_thousands_of_tiny_blocks_come_without_a_pause(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid trees[16];
    for (unsigned i = 0; i < 16; i++)
        trees[i] = their_tree(r, 1000 * i, 250, 16);
    struct cid root = their_node(r, trees, 16, 250 * 16);
    reader_must(r, &root);
    assert_int_equal(r->fetch.blocks_received, 1 + 16 + 16 * 250);
    close_source(s);
    reader_close(r);
}

static void test_identity_cids_are_not_asked_for(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct cid links[2] = {{.size = 6, .bytes = {1, CID_RAW, 0, 2, 'h', 'i'}},
                           their_leaf(r, 1, LEAF_BYTES)};
    struct cid root = their_node(r, links, 2, LEAF_BYTES);
    reader_must(r, &root);
    assert_int_equal(atomic_load(&s->requests), 2);
    close_source(s);
    reader_close(r);
}

static void test_links_whose_hash_proves_nothing_are_refused(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct err err = {0};
    struct cid sha1 = {.size = 24, .bytes = {1, CID_RAW, 0x11, 20, 1, 2, 3}};
    struct cid root = their_node(r, &sha1, 1, LEAF_BYTES);
    assert_int_equal(reader_fetch(r, &root, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "sha1"));
    assert_int_equal(atomic_load(&s->requests), 1);
    close_source(s);
    reader_close(r);
}

static void test_a_block_that_is_none_of_its_codec_is_nobodys_lie(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct err err = {0};
    struct cid bad = their_block(r, CID_DAG_PB, "\xff\xff", 2);
    struct cid root = their_node(r, &bad, 1, 2);
    assert_int_equal(reader_fetch(r, &root, &err), ERR_MALFORMED);
    assert_int_equal(r->notices, 0);
    close_source(s);
    reader_close(r);
}

/* Each child is answered with the root: a walk that believed it would never end. */
static void test_attack_16_a_gateway_that_answers_with_ancestors_is_found_out(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *liar = calloc(1, sizeof *liar);
    struct err err = {0};
    struct cid root = their_tree(r, 0, 20, LEAF_BYTES);
    assert_non_null(liar);
    liar->other = root;
    source_open(liar, r->theirs, ANCESTOR, -1);
    reader_add(r, liar->url);
    assert_int_equal(reader_fetch(r, &root, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, liar->url));
    assert_int_equal(r->notices, 1);
    assert_in_range(atomic_load(&liar->requests), 2, 1 + FETCH_WINDOW_MAX);
    struct source *s = open_source(r);
    reader_must(r, &root);
    close_source(liar);
    close_source(s);
    reader_close(r);
}

static void test_progress_counts_what_was_here_and_ends_at_the_roots_total(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct progress_count p = {0};
    struct cid root = their_tree(r, 0, 30, LEAF_BYTES), leaf = their_leaf(r, 3, LEAF_BYTES);
    reader_must(r, &leaf);
    assert_int_equal(fetch_dag(&r->fetch, r->ours, &root, true, &p, NULL), 0);
    struct buf node = buf_new(STORE_BLOCK_BYTES_MAX);
    assert_int_equal(store_get(r->ours, &root, &node, NULL), 0);
    assert_int_equal(p.total, 30 * LEAF_BYTES + node.size);
    assert_int_equal(p.done, p.total);
    buf_fini(&node);
    close_source(s);
    reader_close(r);
}

static void test_a_source_over_a_store_fetches_and_keeps_what_is_missing(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source *s = open_source(r);
    struct fetch_source both = {
        .fetch = &r->fetch, .store = r->ours, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct block_source source = fetch_source(&both);
    struct cid leaf = their_leaf(r, 3, LEAF_BYTES), gone = cid_of(CID_RAW, bytes_of_text("gone"));
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(block_source_get(&source, &leaf, &out, NULL), 0);
        assert_int_equal(out.size, LEAF_BYTES);
    }
    assert_int_equal(atomic_load(&s->requests), 1);
    assert_true(store_has(r->ours, &leaf));
    assert_int_equal(block_source_get(&source, &gone, &out, NULL), ERR_NOTFOUND);
    buf_fini(&out);
    close_source(s);
    reader_close(r);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_all_below_a_root_comes_once),
        WITH_FOLDER(test_what_is_here_is_walked_and_not_fetched),
        WITH_FOLDER(test_what_must_last_is_hashed_and_fetched_anew_if_damaged),
        WITH_FOLDER(test_leaves_in_a_file_that_changed_are_fetched_where_it_must_last),
        WITH_FOLDER(test_a_fetch_that_fails_keeps_what_came),
        WITH_FOLDER(test_a_block_linked_many_times_is_fetched_once),
        WITH_FOLDER(test_a_chain_of_thousands_takes_no_stack),
        WITH_FOLDER(test_thousands_of_tiny_blocks_come_without_a_pause),
        WITH_FOLDER(test_identity_cids_are_not_asked_for),
        WITH_FOLDER(test_links_whose_hash_proves_nothing_are_refused),
        WITH_FOLDER(test_a_block_that_is_none_of_its_codec_is_nobodys_lie),
        WITH_FOLDER(test_attack_16_a_gateway_that_answers_with_ancestors_is_found_out),
        WITH_FOLDER(test_progress_counts_what_was_here_and_ends_at_the_roots_total),
        WITH_FOLDER(test_a_source_over_a_store_fetches_and_keeps_what_is_missing),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
