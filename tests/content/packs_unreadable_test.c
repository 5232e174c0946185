/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/packs_scratch.h"

#define SIZE 100

/* Every way to look block `n` up. */
static void expect_all(struct packs *p, unsigned n, int rc)
{
    uint8_t data[SIZE];
    char where[FILES_PATH_MAX];
    struct cid cid = block(n, data, SIZE);
    struct buf out = buf_new(BLOCK_BYTES_MAX);
    struct packs_place place = {.fd = -1};
    struct err err = {0};
    assert_int_equal(packs_get(p, cid_digest(&cid), &out, where, NULL), rc);
    assert_int_equal(packs_read(p, cid_digest(&cid), &out, where, NULL), rc);
    assert_int_equal(packs_has(p, cid_digest(&cid), NULL), rc);
    assert_int_equal(packs_sync(p, cid_digest(&cid), NULL), rc);
    assert_int_equal(packs_find(p, cid_digest(&cid), &place, &err), rc);
    if (rc == ERR_IO)
        assert_non_null(strstr(err.text, "unreadable"));
    if (rc == 0)
        close(place.fd);
    assert_int_equal(packs_has_whole(p, cid_digest(&cid), bytes_of(data, SIZE)), rc == 0);
    buf_fini(&out);
}

static void test_what_cannot_be_read_is_not_taken_for_absent(void **state)
{
    (void)state;
    struct blind disk;
    char index[512];
    blind_init(&disk);
    struct packs *p = open_packs(true);
    put_pack(p, 0, 3, SIZE);
    count_files(".index", index);
    put_pack(p, 3, 6, SIZE);
    packs_close(p);
    p = open_packs_on(&disk.table, false);
    snprintf(disk.hidden, sizeof disk.hidden, "%s", index);
    expect_all(p, 0, ERR_IO);
    expect_all(p, 99, ERR_IO); /* it may be there too */
    expect_all(p, 3, 0);       /* it lies in the other pack */
    disk.hidden[0] = '\0';
    expect_all(p, 0, 0); /* too many files were open, but now they are not */
    expect_all(p, 99, ERR_NOTFOUND);
    packs_close(p);
    snprintf(disk.hidden, sizeof disk.hidden, ".car");
    p = open_packs_on(&disk.table, false);
    uint8_t data[SIZE];
    char where[FILES_PATH_MAX];
    struct packs_place place;
    struct buf out = buf_new(BLOCK_BYTES_MAX);
    struct cid cid = block(0, data, SIZE);
    assert_int_equal(packs_find(p, cid_digest(&cid), &place, NULL), ERR_IO);
    assert_int_equal(packs_get(p, cid_digest(&cid), &out, where, NULL), ERR_IO);
    buf_fini(&out);
    packs_close(p);
}

static void test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(void **state)
{
    (void)state;
    struct blind disk;
    struct packs *p = open_packs(true), *none;
    put_pack(p, 0, 3, SIZE);
    packs_close(p);
    blind_init(&disk);
    p = open_packs_on(&disk.table, false);
    snprintf(disk.hidden, sizeof disk.hidden, "/packs");
    expect_all(p, 0, 0);
    expect_all(p, 99, ERR_IO);
    packs_close(p);
    assert_int_equal(packs_open(&disk.table, in_scratch("packs"), false, &none, NULL), ERR_IO);
}

static void test_what_cannot_be_compared_is_written_again(void **state)
{
    (void)state;
    struct blind disk;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 3, SIZE);
    packs_close(p);
    blind_init(&disk);
    count_files(".index", disk.hidden);
    p = open_packs_on(&disk.table, true);
    put_pack(p, 0, 3, SIZE);
    packs_close(p);
    assert_int_equal(count_files(".car", NULL), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_cannot_be_read_is_not_taken_for_absent),
        T(test_a_folder_that_cannot_be_listed_is_not_taken_for_empty),
        T(test_what_cannot_be_compared_is_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
