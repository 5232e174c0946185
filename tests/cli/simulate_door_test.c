/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_scratch.h"

#include "cli/simulate_door.h"

#define LEAF_BYTES UNIXFS_LEAF_BYTES
#define LARGE      (2 * LEAF_BYTES + 777) /* three leaves and a node */

/* A coordinator's gateway with its store and the pack that it takes, and a site's side of it. */
struct bench {
    struct hive *hive;
    struct store *mine;
    struct pack *pack;
    atomic_int cancel;
    struct simulate_door door;
};

static struct bench *open_bench(void)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->hive = hive_open(false, 30);
    assert_int_equal(store_open(files_posix(), in_scratch("mine"), STORE_WRITE, &b->mine, NULL), 0);
    assert_int_equal(pack_open(files_posix(), in_scratch("mine.pack"), true, &b->pack, NULL), 0);
    b->door = (struct simulate_door){
        .gateway = gateway_handler(b->hive->gateway), .token = "good", .cancel = &b->cancel};
    return b;
}

static void close_bench(struct bench *b)
{
    pack_close(b->pack);
    store_close(b->mine);
    hive_close(b->hive);
    free(b);
}

static struct cid import(struct bench *b, const char *seed, size_t size)
{
    struct cid root;
    struct err err = {0};
    uint8_t *data = stream_bytes(seed, size);
    write_file(in_scratch("file"), bytes_of(data, size));
    free(data);
    if (store_import(b->hive->store, in_scratch("file"), NULL, &root, &err) != 0)
        fail_msg("%s", err.text);
    return root;
}

static struct cid put_block(struct pack *p, const char *seed, size_t size)
{
    uint8_t *data = stream_bytes(seed, size);
    struct cid cid = cid_of(CID_RAW, bytes_of(data, size));
    assert_int_equal(pack_put(p, &cid, bytes_of(data, size), NULL), 0);
    free(data);
    return cid;
}

/* --- blocks --- */

static void test_a_block_comes_into_the_store_once(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    struct cid cid = put_text(b->hive->store, "a record");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(simulate_door_block(&b->door, b->mine, &cid, &out, NULL), 0);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of_text("a record")));
    }
    assert_int_equal(get(b->mine, &cid), 0);
    assert_int_equal(b->door.received, strlen("a record"));
    assert_int_equal(atomic_load(&b->hive->sent), strlen("a record")); /* metered by the gateway */
    buf_fini(&out);
    close_bench(b);
}

static void test_what_the_gateway_refuses_has_the_code_of_a_real_transfer(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid here = put_text(b->hive->store, "here"),
               nowhere = cid_of(CID_DAG_CBOR, bytes_of_text("nowhere"));
    assert_int_equal(simulate_door_block(&b->door, b->mine, &nowhere, NULL, NULL), ERR_NOTFOUND);
    strcpy(b->door.token, "evil");
    assert_int_equal(simulate_door_block(&b->door, b->mine, &here, NULL, NULL), ERR_DENIED);
    strcpy(b->door.token, "good");
    atomic_store(&b->cancel, 1);
    assert_int_equal(simulate_door_block(&b->door, b->mine, &here, NULL, NULL), ERR_TIMEOUT);
    atomic_store(&b->cancel, 0);
    b->door.gateway = (struct http_handler){.self = NULL};
    assert_int_equal(simulate_door_block(&b->door, b->mine, &here, NULL, NULL), ERR_NET);
    assert_false(store_has(b->mine, &here));
    close_bench(b);
}

/* --- models --- */

static void test_a_model_is_copied_leaf_by_leaf(void **state)
{
    static const size_t sizes[] = {777, LEAF_BYTES, LEAF_BYTES + 1, LARGE};
    (void)state;
    struct bench *b = open_bench();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char seed[32];
        snprintf(seed, sizeof seed, "model %zu", i);
        struct cid root = import(b, seed, sizes[i]);
        assert_int_equal(simulate_door_model(&b->door, b->mine, &root, LARGE, NULL), 0);
        assert_true(store_model_has(b->mine, &root));
        assert_int_equal(store_export(b->mine, &root, in_scratch("copy"), NULL), 0);
        struct buf copy = read_file(in_scratch("copy")), file = read_file(in_scratch("file"));
        assert_true(bytes_equal(buf_bytes(&copy), buf_bytes(&file)));
        buf_fini(&copy);
        buf_fini(&file);
        uint64_t before = b->door.received;
        assert_int_equal(simulate_door_model(&b->door, b->mine, &root, LARGE, NULL), 0);
        assert_int_equal(b->door.received, before); /* it is here */
    }
    close_bench(b);
}

static void test_a_model_too_large_is_not_begun(void **state)
{
    static const size_t sizes[] = {777, LARGE};
    (void)state;
    struct bench *b = open_bench();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct cid root = import(b, "large", sizes[i]);
        assert_int_equal(simulate_door_model(&b->door, b->mine, &root, sizes[i] - 1, NULL),
                         ERR_LIMIT);
        assert_false(store_model_has(b->mine, &root));
    }
    close_bench(b);
}

/* The gateway does not hash what it sends. */
static void test_bytes_that_do_not_hash_are_not_believed(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    char path[FILES_PATH_MAX];
    uint64_t size;
    struct cid root = import(b, "damaged", LARGE);
    assert_int_equal(store_model_path(b->hive->store, &root, path, &size, NULL), 0);
    damage_file(path, LEAF_BYTES + 5, 1);
    assert_int_equal(simulate_door_model(&b->door, b->mine, &root, LARGE, NULL), ERR_MALFORMED);
    assert_false(store_model_has(b->mine, &root));
    close_bench(b);
}

/* --- uploads --- */

static void test_blocks_arrive_in_the_pack_over_there(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid cids[3] = {put_block(b->pack, "first", 100000), put_block(b->pack, "second", 1),
                          put_block(b->pack, "third", 1000)};
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND, b->pack, cids, 2, NULL), 0);
    assert_true(pack_has(b->hive->pack, &cids[0]));
    assert_true(pack_has(b->hive->pack, &cids[1]));
    assert_false(pack_has(b->hive->pack, &cids[2])); /* not asked for */
    assert_int_equal(b->door.sent, 100001);
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND, b->pack, cids, 0, NULL), 0);
    close_bench(b);
}

static void test_the_gateway_says_who_may_send_when_and_how_much(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    struct cid cids[2] = {put_block(b->pack, "small", 100), put_block(b->pack, "large", 100000)};
    struct cid absent = cid_of(CID_RAW, bytes_of_text("absent"));
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND - 1, b->pack, cids, 2, &err),
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "is not selected"));
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND + 1, b->pack, cids, 2, &err),
                     ERR_NET); /* the disk is full over there: later */
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND, b->pack, &absent, 1, &err),
                     ERR_NOTFOUND);
    assert_int_equal(atomic_load(&b->hive->spoiled), 0);
    atomic_store(&b->hive->quota, 1000);
    assert_int_equal(simulate_door_upload(&b->door, GOOD_ROUND, b->pack, cids, 2, &err), ERR_LIMIT);
    assert_int_equal(atomic_load(&b->hive->spoiled), ERR_LIMIT);
    assert_true(pack_has(b->hive->pack, &cids[0])); /* what came before counts */
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_block_comes_into_the_store_once, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(
            test_what_the_gateway_refuses_has_the_code_of_a_real_transfer, scratch_setup,
            scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_model_is_copied_leaf_by_leaf, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_model_too_large_is_not_begun, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_do_not_hash_are_not_believed, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_blocks_arrive_in_the_pack_over_there, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_the_gateway_says_who_may_send_when_and_how_much,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
