/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/store_scratch.h"

static void test_a_block_is_there_after_opening_again_under_its_documented_path(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid cid = put_text(s, "a record"), none = cid_of(CID_RAW, bytes_of_text("none"));
    assert_true(store_has(s, &cid));
    assert_false(store_has(s, &none));
    assert_int_equal(get(s, &none), ERR_NOTFOUND);
    store_close(s);
    s = open_store(files_posix(), STORE_READ_ONLY);
    assert_int_equal(get(s, &cid), 0);
    struct buf file = read_file(path_of(&cid));
    assert_true(bytes_equal(buf_bytes(&file), bytes_of_text("a record")));
    buf_fini(&file);
    store_close(s);
}

static void test_only_what_hashes_and_fits_is_put(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid cid = cid_of(CID_RAW, bytes_of_text("one")), identity;
    assert_int_equal(store_put(s, &cid, bytes_of_text("two"), NULL), ERR_MALFORMED);
    assert_false(store_has(s, &cid));
    uint8_t *big = calloc(1, STORE_BLOCK_BYTES_MAX + 1);
    struct bytes too_big = bytes_of(big, STORE_BLOCK_BYTES_MAX + 1);
    struct bytes largest = bytes_of(big, STORE_BLOCK_BYTES_MAX);
    cid = cid_of(CID_RAW, too_big);
    assert_int_equal(store_put(s, &cid, too_big, NULL), ERR_LIMIT);
    cid = cid_of(CID_RAW, largest);
    assert_int_equal(store_put(s, &cid, largest, NULL), 0);
    assert_int_equal(get(s, &cid), 0);
    free(big);
    assert_int_equal(cid_parse("bafkqaaa", &identity, NULL), 0);
    /* A block that is its own name is always there, and is no file. */
    assert_int_equal(store_put(s, &identity, bytes_of(NULL, 0), NULL), 0);
    assert_int_equal(get(s, &identity), 0);
    assert_int_equal(store_sync(s, &identity, 1, NULL), 0);
    assert_true(store_has(s, &identity));
    assert_true(access(path_of(&identity), F_OK) != 0);
    store_close(s);
}

static void test_damage_is_named_and_put_heals_it(void **state)
{
    (void)state;
    static const char *const damages[] = {"", "a recorc", "a record and more"};
    struct store *s = open_real();
    struct cid cid = put_text(s, "a record");
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
        struct err err = {0};
        char text[CID_TEXT_MAX];
        write_file(path_of(&cid), bytes_of_text(damages[i]));
        assert_int_equal(store_get(s, &cid, &out, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, path_of(&cid)));
        assert_non_null(strstr(err.text, cid_format(&cid, text)));
        assert_int_equal(store_read(s, &cid, &out, NULL), 0); /* for readers who hash */
        assert_true(bytes_equal(buf_bytes(&out), bytes_of_text(damages[i])));
        buf_fini(&out);
        put_text(s, "a record");
        assert_int_equal(get(s, &cid), 0);
    }
    store_close(s);
}

static void test_a_file_larger_than_any_block_is_damage(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid cid = put_text(s, "a record");
    assert_int_equal(truncate(path_of(&cid), STORE_BLOCK_BYTES_MAX + 1), 0);
    assert_int_equal(get(s, &cid), ERR_CORRUPT);
    store_close(s);
}

static void test_one_writes_and_others_read_or_add(void **state)
{
    (void)state;
    struct store *none;
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_READ_ONLY, &none, NULL),
                     ERR_NOTFOUND);
    struct store *s = open_real();
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &none, NULL),
                     ERR_DENIED);
    struct store *reader = open_store(files_posix(), STORE_READ_ONLY);
    struct store *adder = open_store(files_posix(), STORE_ADD);
    struct cid cid = put_text(adder, "a roster");
    assert_int_equal(store_sync(adder, &cid, 1, NULL), 0);
    assert_int_equal(get(s, &cid), 0);
    assert_int_equal(get(reader, &cid), 0);
    assert_int_equal(store_put(reader, &cid, bytes_of_text("a roster"), NULL), ERR_DENIED);
    assert_int_equal(store_delete(reader, &cid, NULL), ERR_DENIED);
    struct store_model *m;
    assert_int_equal(store_model_begin(adder, "x", 1, &m, NULL), ERR_DENIED);
    assert_int_equal(store_model_begin(reader, "x", 1, &m, NULL), ERR_DENIED);
    assert_int_equal(store_delete(s, &cid, NULL), 0);
    assert_int_equal(store_delete(s, &cid, NULL), 0); /* absent is fine */
    assert_false(store_has(s, &cid));
    store_close(reader);
    store_close(adder);
    store_close(s);
    store_close(open_real()); /* the lock went with its holder */
}

static void test_a_sync_reaches_bytes_then_names_and_each_once(void **state)
{
    (void)state;
    struct flaky disk;
    flaky_init(&disk);
    struct store *s = open_store(&disk.table, STORE_WRITE);
    struct cid cids[3] = {put_text(s, "one"), put_text(s, "two"), put_text(s, "three")};
    disk.log[0] = '\0';
    assert_int_equal(store_sync(s, cids, 2, NULL), 0);
    assert_string_equal(disk.log,
                        "SSDDDD"); /* two files, their folders, the folder of folders, the root */
    assert_int_equal(store_sync(s, cids, 2, NULL), 0);
    assert_string_equal(disk.log, "SSDDDD");
    assert_int_equal(store_sync(s, cids, 3, NULL), 0);
    assert_string_equal(disk.log, "SSDDDDSDD");
    struct cid none = cid_of(CID_RAW, bytes_of_text("none"));
    struct err err = {0};
    char text[CID_TEXT_MAX];
    assert_int_equal(store_sync(s, &none, 1, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, cid_format(&none, text)));
    /* The same bytes under another codec are the same file. */
    struct cid raw = cid_of(CID_RAW, bytes_of_text("one"));
    disk.log[0] = '\0';
    assert_int_equal(store_put(s, &raw, bytes_of_text("one"), NULL), 0);
    assert_int_equal(store_sync(s, &raw, 1, NULL), 0);
    assert_string_equal(disk.log, "");
    /* One written anew is unsynced again. */
    write_file(path_of(&cids[0]), bytes_of_text("bad"));
    assert_int_equal(store_put(s, &cids[0], bytes_of_text("one"), NULL), 0);
    disk.log[0] = '\0';
    assert_int_equal(store_sync(s, &cids[0], 1, NULL), 0);
    assert_string_equal(disk.log, "SDD");
    store_close(s);

    flaky_init(&disk); /* what another process left counts as unsynced */
    s = open_store(&disk.table, STORE_WRITE);
    disk.log[0] = '\0';
    assert_int_equal(store_sync(s, cids, 1, NULL), 0);
    assert_string_equal(disk.log, "SDDD");
    store_close(s);
}

static void test_whatever_fails_a_put_leaves_all_or_nothing(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct flaky disk;
        char text[32];
        snprintf(text, sizeof text, "block %u", n);
        struct cid cid = cid_of(CID_RAW, bytes_of_text(text));
        store_close(open_real());
        flaky_init(&disk);
        struct store *s = open_store(&disk.table, STORE_WRITE);
        disk.changes = 0;
        disk.fail_at = n;
        int rc = store_put(s, &cid, bytes_of_text(text), NULL);
        disk.fail_at = 0;
        assert_int_equal(get(s, &cid), rc == 0 ? 0 : ERR_NOTFOUND);
        assert_int_equal(store_put(s, &cid, bytes_of_text(text), NULL), 0);
        assert_int_equal(get(s, &cid), 0);
        store_close(s);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_IO);
        failures++;
    }
    assert_int_equal(failures, 3); /* folder, write, rename */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_block_is_there_after_opening_again_under_its_documented_path),
        TEST(test_only_what_hashes_and_fits_is_put),
        TEST(test_damage_is_named_and_put_heals_it),
        TEST(test_a_file_larger_than_any_block_is_damage),
        TEST(test_one_writes_and_others_read_or_add),
        TEST(test_a_sync_reaches_bytes_then_names_and_each_once),
        TEST(test_whatever_fails_a_put_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
