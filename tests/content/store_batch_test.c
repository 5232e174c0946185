/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "content/pins.h"
#include "tests/content/packs_scratch.h"
#include "tests/content/store_scratch.h"

#define SIZE 100

static struct cid numbered(unsigned n, uint8_t data[SIZE])
{
    memset(data, 'y', SIZE);
    snprintf((char *)data, SIZE, "block %u", n);
    return cid_of(CID_RAW, bytes_of(data, SIZE));
}

static void put_numbers(struct store *s, unsigned from, unsigned to, bool sync)
{
    struct packs_batch *b;
    uint8_t data[SIZE];
    struct err err = {0};
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    for (unsigned n = from; n < to; n++) {
        struct cid cid = numbered(n, data);
        if (store_batch_put(b, &cid, bytes_of(data, SIZE), &err) != 0)
            fail_msg("%s", err.text);
    }
    if (store_batch_finish(b, sync, &err) != 0)
        fail_msg("%s", err.text);
}

static struct store_stat stat_of(struct store *s)
{
    struct store_stat st;
    assert_int_equal(store_stat(s, &st, NULL), 0);
    return st;
}

static int count_one(void *self, const struct cid *cid, const char *where, struct err *err)
{
    unsigned *count = self;
    (void)err;
    assert_true(cid->size > 0);
    assert_non_null(strstr(where, "store/"));
    ++*count;
    return 0;
}

static void test_a_small_batch_becomes_files_and_a_large_one_a_pack(void **state)
{
    (void)state;
    struct store *s = open_real();
    put_numbers(s, 0, 5, true);
    struct store_stat st = stat_of(s);
    assert_int_equal(st.single_blocks, 5);
    assert_int_equal(st.single_bytes, 5 * SIZE);
    assert_int_equal(st.packs, 0);
    put_numbers(s, 0, 40, true); /* five are there already */
    st = stat_of(s);
    assert_int_equal(st.single_blocks, 5);
    assert_int_equal(st.packs, 1);
    assert_int_equal(st.pack_blocks, 35);
    unsigned count = 0;
    assert_int_equal(store_each(s, count_one, NULL, &count, NULL), 0);
    assert_int_equal(count, 40);
    uint8_t data[SIZE];
    for (unsigned n = 0; n < 40; n++) {
        struct cid cid = numbered(n, data);
        assert_true(store_has(s, &cid));
        assert_int_equal(get(s, &cid), 0);
        assert_int_equal(store_sync(s, &cid, 1, NULL), 0);
    }
    store_close(s);
}

static void test_bytes_are_found_by_their_hash_whatever_the_cid(void **state)
{
    (void)state;
    static const uint32_t codecs[] = {CID_RAW, CID_DAG_PB, CID_DAG_CBOR};
    struct cid forms[4];
    struct bytes text = bytes_of_text("one block");
    for (size_t i = 0; i < 3; i++)
        forms[i] = cid_of(codecs[i], text);
    forms[3] = cid_as_v0(&forms[1]);
    for (size_t put = 0; put < 4; put++) {
        struct store *s = open_real();
        assert_int_equal(store_put(s, &forms[put], text, NULL), 0);
        assert_int_equal(access(path_of(&forms[put]), F_OK), 0); /* by the name it came with */
        for (size_t asked = 0; asked < 4; asked++) {
            struct store_place place;
            assert_true(store_has(s, &forms[asked]));
            assert_int_equal(get(s, &forms[asked]), 0);
            assert_int_equal(store_sync(s, &forms[asked], 1, NULL), 0);
            assert_int_equal(store_find(s, &forms[asked], &place, NULL), 0);
            assert_int_equal(place.size, text.size);
            close(place.fd);
            assert_int_equal(store_put(s, &forms[asked], text, NULL), 0);
        }
        assert_int_equal(stat_of(s).single_blocks, 1);
        assert_int_equal(store_delete(s, &forms[(put + 1) % 4], NULL), 0);
        assert_int_equal(stat_of(s).single_blocks, 0);
        assert_int_equal(get(s, &forms[put]), ERR_NOTFOUND);
        store_close(s);
    }
}

static void test_other_hashes_are_files_of_their_own(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid cid = {.size = 4 + 64, .bytes = {1, CID_RAW, 0x13, 64}};
    struct bytes text = bytes_of_text("hashed by sha2-512");
    assert_int_equal(hash_multi(0x13, text, cid.bytes + 4), 64);
    struct packs_batch *b;
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    assert_int_equal(store_batch_put(b, &cid, text, NULL), 0);
    assert_int_equal(store_batch_put(b, &cid, bytes_of_text("other bytes"), NULL), ERR_MALFORMED);
    assert_int_equal(store_batch_finish(b, true, NULL), 0);
    assert_int_equal(stat_of(s).single_blocks, 1);
    assert_int_equal(get(s, &cid), 0);
    struct cid as_cbor = cid;
    as_cbor.bytes[1] = CID_DAG_CBOR;
    assert_int_equal(get(s, &as_cbor), 0);
    struct cid weak = {.size = 4 + 20, .bytes = {1, CID_RAW, 0x11, 20}}; /* sha1 */
    assert_int_equal(store_put(s, &weak, text, NULL), ERR_UNSUPPORTED);
    store_close(s);
}

/* --- whole here, damaged there --- */

static void test_a_damaged_place_does_not_hide_a_whole_one(void **state)
{
    (void)state;
    struct store *s = open_real();
    uint8_t data[SIZE];
    struct cid cid = numbered(3, data), cbor = cid_from_digest(CID_DAG_CBOR, cid_digest(&cid));
    put_numbers(s, 0, 40, false);
    struct store_place place;
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    assert_int_equal(store_find(s, &cid, &place, NULL), 0);
    char fd_path[64], pack[512];
    snprintf(fd_path, sizeof fd_path, "/proc/self/fd/%d", place.fd);
    ssize_t size = readlink(fd_path, pack, sizeof pack - 1);
    assert_true(size > 0);
    pack[size] = '\0';
    close(place.fd);
    damage_file(pack, (long)place.offset + 7, 1);
    struct err err = {0};
    assert_int_equal(store_get(s, &cid, &out, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, pack));
    assert_int_equal(store_put(s, &cbor, bytes_of(data, SIZE), NULL),
                     0); /* written: it was not whole */
    assert_int_equal(access(path_of(&cbor), F_OK), 0);
    assert_int_equal(get(s, &cid), 0);
    write_file(path_of(&cbor), bytes_of_text("damaged as well"));
    err.text[0] = '\0';
    assert_int_equal(store_get(s, &cid, &out, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, pack)); /* the first is named */
    assert_int_equal(out.size, 0);
    put_numbers(s, 3, 4, true);
    assert_int_equal(get(s, &cid), 0);
    buf_fini(&out);
    store_close(s);
}

/* --- attacks on content addressing --- */

static void test_attack_9_bytes_that_do_not_hash_to_the_cid(void **state)
{
    (void)state;
    struct store *s = open_real();
    uint8_t data[SIZE], other[SIZE];
    struct cid cid = numbered(1, data), none = numbered(2, other);
    assert_int_equal(store_put(s, &cid, bytes_of(other, SIZE), NULL), ERR_MALFORMED);
    assert_false(store_has(s, &cid));
    assert_int_equal(store_put(s, &cid, bytes_of(data, SIZE), NULL), 0);
    for (long at = 0; at < SIZE; at++) {
        damage_file(path_of(&cid), at, 1);
        assert_int_equal(get(s, &cid), ERR_CORRUPT);
        damage_file(path_of(&cid), at, 255);
    }
    assert_int_equal(get(s, &cid), 0);
    assert_int_equal(get(s, &none), ERR_NOTFOUND);
    store_close(s);
}

static void test_attack_10_a_block_that_is_cut(void **state)
{
    (void)state;
    struct store *s = open_real();
    uint8_t data[SIZE];
    struct cid cid = numbered(1, data);
    for (size_t size = 0; size < SIZE; size++) {
        assert_int_equal(store_put(s, &cid, bytes_of(data, size), NULL), ERR_MALFORMED);
        assert_false(store_has(s, &cid));
    }
    assert_int_equal(store_put(s, &cid, bytes_of(data, SIZE), NULL), 0);
    for (size_t size = SIZE; size-- > 0;) {
        assert_int_equal(truncate(path_of(&cid), (off_t)size), 0);
        assert_int_equal(get(s, &cid), ERR_CORRUPT);
    }
    store_close(s);
}

static void test_attack_11_a_block_over_two_mebibytes(void **state)
{
    (void)state;
    struct store *s = open_real();
    uint8_t *data = calloc(1, STORE_BLOCK_BYTES_MAX + 1);
    struct cid cid = cid_of(CID_RAW, bytes_of(data, STORE_BLOCK_BYTES_MAX + 1));
    struct packs_batch *b;
    assert_int_equal(store_put(s, &cid, bytes_of(data, STORE_BLOCK_BYTES_MAX + 1), NULL),
                     ERR_LIMIT);
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    assert_int_equal(store_batch_put(b, &cid, bytes_of(data, STORE_BLOCK_BYTES_MAX + 1), NULL),
                     ERR_LIMIT);
    assert_int_equal(store_batch_finish(b, false, NULL), 0);
    assert_false(store_has(s, &cid));
    store_close(s);
    free(data);
}

/* The bytes are what the hash says, and the store gives them; what they mean is for the decoder to
 * refuse. */
static void test_attack_12_the_right_hash_under_a_wrong_codec(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct bytes text = bytes_of_text("not a node");
    struct cid raw = cid_of(CID_RAW, text), node = cid_of(CID_DAG_PB, text);
    assert_int_equal(store_put(s, &raw, text, NULL), 0);
    struct block_source source = store_source(s);
    struct unixfs_visitor nobody = {0};
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    assert_int_equal(store_get(s, &node, &out, NULL), 0);
    assert_true(bytes_equal(buf_bytes(&out), text));
    assert_int_equal(unixfs_walk_range(&source, &node, 0, UINT64_MAX, &nobody, NULL),
                     ERR_MALFORMED);
    buf_fini(&out);
    store_close(s);
}

/* --- who may have it open --- */

static void test_those_that_share_add_side_by_side(void **state)
{
    (void)state;
    struct store *a = open_store(files_posix(), STORE_SHARE), *none;
    struct store *b = open_store(files_posix(), STORE_SHARE);
    struct err err = {0};
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &none, &err),
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "wait until that ends, or stop it"));
    put_numbers(a, 0, 40, false);
    put_numbers(b, 20, 60, false);
    uint8_t data[SIZE];
    for (unsigned n = 0; n < 60; n++) {
        struct cid cid = numbered(n, data);
        assert_int_equal(get(a, &cid), 0);
        assert_int_equal(get(b, &cid), 0);
    }
    assert_int_equal(stat_of(a).pack_blocks, 60); /* none of them twice */
    store_close(a);
    store_close(b);
    a = open_real();
    err.text[0] = '\0';
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_SHARE, &none, &err),
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "wait until that ends, or stop it"));
    store_close(a);
    struct packs_batch *batch;
    a = open_store(files_posix(), STORE_READ_ONLY);
    assert_int_equal(store_batch_new(a, &batch, NULL), ERR_DENIED);
    store_close(a);
    a = open_store(files_posix(), STORE_ADD);
    assert_int_equal(store_batch_new(a, &batch, NULL), ERR_DENIED);
    store_close(a);
}

/* --- durability --- */

static void test_a_synced_batch_syncs_what_it_found_there_too(void **state)
{
    (void)state;
    struct store *s = open_real();
    put_numbers(s, 0, 5, false);
    put_numbers(s, 100, 140, false);
    store_close(s);
    struct flaky disk;
    flaky_init(&disk);
    s = open_store(&disk.table, STORE_WRITE);
    disk.log[0] = '\0';
    put_numbers(s, 0, 3, true);
    size_t files = 0, folders = 0;
    for (const char *c = disk.log; *c != '\0'; c++) {
        files += *c == 'S';
        folders += *c == 'D';
        assert_true(*c == 'S' || *c == 'D'); /* nothing is written */
    }
    assert_int_equal(files, 3);
    assert_int_equal(folders, 3 + 2); /* blocks/ and the root */
    disk.log[0] = '\0';
    put_numbers(s, 100, 140, true);
    assert_string_equal(disk.log, "SSDD"); /* the pack, its index, packs/, the folder above */
    disk.log[0] = '\0';
    put_numbers(s, 100, 140, true);
    assert_string_equal(disk.log, "");
    store_close(s);
}

/* Without a sync none is paid for, however many blocks were there already. */
static void test_an_unsynced_batch_syncs_nothing(void **state)
{
    (void)state;
    struct flaky disk;
    uint8_t data[SIZE];
    flaky_init(&disk);
    struct store *s = open_store(&disk.table, STORE_WRITE);
    for (unsigned n = 0; n < 4100; n++) {
        struct cid cid = numbered(n, data);
        assert_int_equal(store_put(s, &cid, bytes_of(data, SIZE), NULL), 0);
    }
    disk.only = 'S';
    disk.changes = 0;
    put_numbers(s, 0, 4100, false);
    assert_int_equal(disk.changes, 0);
    put_numbers(s, 0, 4100, true);
    assert_int_equal(disk.changes, 4100);
    store_close(s);
}

/* --- models --- */

/* What was added must outlive a model that had the same bytes first. */
static void test_what_was_added_stays_when_a_model_with_the_same_leaf_goes(void **state)
{
    (void)state;
    struct bytes text = bytes_of_text("a model of one leaf");
    write_file(in_scratch("model"), text);
    struct flaky disk;
    flaky_init(&disk);
    struct store *s = open_store(&disk.table, STORE_WRITE);
    struct cid root;
    struct packs_batch *b;
    struct store_place place;
    assert_int_equal(store_import(s, in_scratch("model"), NULL, &root, NULL), 0);
    assert_int_equal(store_find(s, &root, &place, NULL), 0);
    assert_int_equal(place.offset, 0);
    close(place.fd);
    disk.log[0] = '\0';
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    assert_int_equal(store_batch_put(b, &root, text, NULL), 0);
    assert_int_equal(store_batch_finish(b, true, NULL), 0);
    assert_non_null(strchr(disk.log, 'S')); /* the copy's own bytes are durable */
    struct store_stat st = stat_of(s);
    assert_int_equal(st.single_blocks, 1);
    assert_int_equal(st.models, 1);
    assert_int_equal(st.model_bytes, text.size);
    assert_int_equal(store_model_delete(s, &root, NULL), 0);
    assert_int_equal(get(s, &root), 0);
    store_close(s);
}

static void test_a_model_s_nodes_stay_when_it_goes_while_there_are_pins(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("nodes", (2u << 20) + 5);
    write_file(in_scratch("model"), bytes_of(data, (2u << 20) + 5));
    for (int pinned = 0; pinned < 2; pinned++) {
        struct store *s = open_real();
        struct cid root;
        assert_int_equal(store_import(s, in_scratch("model"), NULL, &root, NULL), 0);
        struct pin pin = {.cid = root, .recursive = true};
        if (pinned)
            assert_int_equal(pins_add(files_posix(), in_scratch("store"), &pin, NULL), 0);
        assert_int_equal(store_model_delete(s, &root, NULL), 0);
        assert_int_equal(get(s, &root), pinned ? 0 : ERR_NOTFOUND);
        store_close(s);
    }
    free(data);
}

/* --- what cannot be read --- */

static void test_what_cannot_be_looked_up_is_not_said_to_be_absent(void **state)
{
    (void)state;
    struct blind disk;
    uint8_t data[SIZE];
    struct store *s = open_real();
    put_numbers(s, 0, 40, false);
    struct cid packed = numbered(3, data), single = numbered(1000, data);
    assert_int_equal(store_put(s, &single, bytes_of(data, SIZE), NULL), 0);
    store_close(s);
    blind_init(&disk);
    snprintf(disk.hidden, sizeof disk.hidden, ".index");
    s = open_store(&disk.table, STORE_READ_ONLY);
    struct store_place place;
    struct err err = {0};
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    assert_int_equal(store_get(s, &packed, &out, NULL), ERR_IO);
    assert_int_equal(store_read(s, &packed, &out, NULL), ERR_IO);
    assert_int_equal(store_find(s, &packed, &place, &err), ERR_IO);
    assert_non_null(strstr(err.text, "unreadable"));
    assert_int_equal(store_look(s, &packed, NULL), ERR_IO);
    assert_false(store_has(s, &packed));
    /* What is found elsewhere is found. */
    assert_int_equal(store_get(s, &single, &out, NULL), 0);
    assert_int_equal(store_find(s, &single, &place, NULL), 0);
    close(place.fd);
    assert_int_equal(store_look(s, &single, NULL), 0);
    snprintf(disk.hidden, sizeof disk.hidden, "%s", path_of(&single));
    assert_int_equal(store_find(s, &single, &place, NULL), ERR_IO);
    assert_int_equal(store_look(s, &single, NULL), ERR_IO);
    buf_fini(&out);
    store_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_small_batch_becomes_files_and_a_large_one_a_pack),
        T(test_bytes_are_found_by_their_hash_whatever_the_cid),
        T(test_other_hashes_are_files_of_their_own),
        T(test_a_damaged_place_does_not_hide_a_whole_one),
        T(test_attack_9_bytes_that_do_not_hash_to_the_cid),
        T(test_attack_10_a_block_that_is_cut),
        T(test_attack_11_a_block_over_two_mebibytes),
        T(test_attack_12_the_right_hash_under_a_wrong_codec),
        T(test_those_that_share_add_side_by_side),
        T(test_a_synced_batch_syncs_what_it_found_there_too),
        T(test_an_unsynced_batch_syncs_nothing),
        T(test_what_was_added_stays_when_a_model_with_the_same_leaf_goes),
        T(test_a_model_s_nodes_stay_when_it_goes_while_there_are_pins),
        T(test_what_cannot_be_looked_up_is_not_said_to_be_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
