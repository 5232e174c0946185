/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <pthread.h>

#include "coordinator/inbox.h"
#include "study/study.h"

static struct inbox *inbox;
static struct cid ids[3];

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    for (size_t i = 0; i < 3; i++)
        ids[i] = cid_of(CID_DAG_CBOR, bytes_of(&i, sizeof i));
    return inbox_new(files_posix(), scratch, &inbox, NULL);
}

static int teardown(void **state)
{
    inbox_free(inbox);
    return scratch_teardown(state);
}

static void open_round(uint64_t round, const uint32_t *sites, size_t count)
{
    struct cid of[3];
    for (size_t i = 0; i < count; i++)
        of[i] = ids[sites[i]];
    assert_int_equal(inbox_open_round(inbox, round, sites, of, count, NULL), 0);
}

static int take(uint32_t site, uint64_t round, bool write, struct pack **out)
{
    return inbox_take(inbox, site, round, write, out, NULL);
}

static struct cid put(struct pack *pack, const char *text)
{
    struct cid cid = cid_of(CID_RAW, bytes_of_text(text));
    assert_int_equal(pack_put(pack, &cid, bytes_of_text(text), NULL), 0);
    return cid;
}

static bool file_is_there(uint32_t site, uint64_t round)
{
    char path[FILES_PATH_MAX];
    assert_int_equal(study_pack_path(scratch, &ids[site], round, path, NULL), 0);
    return files_exists(files_posix(), path);
}

static void test_only_the_sites_of_the_open_round_may_send(void **state)
{
    (void)state;
    static const struct {
        uint32_t site;
        uint64_t round;
        int code;
        const char *why;
    } rows[] = {
        {0, 4, 0, "selected"},
        {1, 4, ERR_DENIED, "not selected"},
        {2, 4, 0, "selected"},
        {0, 3, ERR_DENIED, "an older round"},
        {0, 5, ERR_DENIED, "a round to come"},
        {9, 4, ERR_DENIED, "no site at all"},
    };
    open_round(4, (uint32_t[]){0, 2}, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pack *pack;
        int rc = take(rows[i].site, rows[i].round, true, &pack);
        if (rc != rows[i].code)
            fail_msg("%s: %d", rows[i].why, rc);
        if (rc == 0)
            inbox_release(inbox, rows[i].site, rows[i].round);
    }
    assert_false(file_is_there(1, 4));
}

static void test_nothing_is_made_for_a_reader(void **state)
{
    (void)state;
    struct pack *pack;
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, false, &pack), ERR_NOTFOUND);
    assert_false(file_is_there(0, 1));
    assert_int_equal(take(0, 1, true, &pack), 0);
    assert_true(file_is_there(0, 1));
    inbox_release(inbox, 0, 1);
    assert_int_equal(take(0, 1, false, &pack), 0);
    inbox_release(inbox, 0, 1);
}

static void test_bytes_are_those_of_the_pack_that_is_open(void **state)
{
    (void)state;
    struct pack *pack;
    open_round(1, (uint32_t[]){0, 1}, 2);
    assert_int_equal(inbox_bytes(inbox, 0, 1), 0);
    assert_int_equal(take(0, 1, true, &pack), 0);
    struct cid cid = cid_of(CID_RAW, bytes_of_text("a block"));
    assert_int_equal(pack_put(pack, &cid, bytes_of_text("a block"), NULL), 0);
    assert_true(inbox_bytes(inbox, 0, 1) > 7);
    assert_int_equal(inbox_bytes(inbox, 0, 1), pack_bytes(pack));
    inbox_release(inbox, 0, 1);
    assert_true(inbox_bytes(inbox, 0, 1) > 7); /* it stays open */
    assert_int_equal(inbox_bytes(inbox, 1, 1), 0);
    assert_int_equal(inbox_bytes(inbox, 0, 2), 0);
}

static void test_writers_and_readers_share_one_pack(void **state)
{
    (void)state;
    struct pack *a, *b;
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, true, &a), 0);
    assert_int_equal(take(0, 1, false, &b), 0);
    assert_ptr_equal(a, b);
    struct cid cid = put(a, "block");
    assert_true(pack_has(b, &cid));
    inbox_release(inbox, 0, 1);
    inbox_release(inbox, 0, 1);
}

static void test_more_sites_are_added_to_the_round_and_none_forgotten(void **state)
{
    (void)state;
    struct pack *a, *b;
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, true, &a), 0);
    inbox_spoil(inbox, 0, 1, REFUSAL_BAD_BLOCK);
    open_round(1, (uint32_t[]){0, 2}, 2);
    assert_int_equal(take(0, 1, true, &b), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(inbox_spoiled(inbox, 0, 1), REFUSAL_BAD_BLOCK);
    assert_int_equal(inbox_spoiled(inbox, 2, 1), REFUSAL_NONE);
    inbox_release(inbox, 0, 1);
    inbox_release(inbox, 0, 1);
    assert_int_equal(take(2, 1, true, &b), 0);
    inbox_release(inbox, 2, 1);
}

/* An upload or a job may still be at work when its round is closed. */
static void test_a_closed_rounds_pack_lives_until_it_is_released(void **state)
{
    (void)state;
    struct pack *pack, *other;
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, true, &pack), 0);
    open_round(2, (uint32_t[]){0}, 1);
    struct cid cid = put(pack, "late, but harmless");
    assert_true(pack_has(pack, &cid));
    assert_int_equal(take(0, 1, true, &other), ERR_DENIED); /* no new writer */
    assert_int_equal(take(0, 1, false, &other), 0);         /* a job of that round */
    assert_ptr_equal(other, pack);
    inbox_release(inbox, 0, 1);
    inbox_release(inbox, 0, 1);
    assert_int_equal(take(0, 1, false, &other), ERR_DENIED);
}

static void test_a_pack_of_an_earlier_life_is_taken_up(void **state)
{
    (void)state;
    struct pack *pack;
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, true, &pack), 0);
    struct cid cid = put(pack, "block");
    inbox_release(inbox, 0, 1);
    inbox_free(inbox);
    assert_int_equal(inbox_new(files_posix(), scratch, &inbox, NULL), 0);
    open_round(1, (uint32_t[]){0}, 1);
    assert_int_equal(take(0, 1, false, &pack), 0);
    assert_true(pack_has(pack, &cid));
    inbox_release(inbox, 0, 1);
}

/* --- many threads, while rounds come and go --- */

#define ROUNDS 200

static void *visit_rounds(void *self)
{
    uint32_t site = *(const uint32_t *)self;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct pack *pack;
        if (take(site, round, true, &pack) != 0)
            continue;
        put(pack, "block");
        inbox_spoil(inbox, site, round, REFUSAL_OVER_QUOTA);
        inbox_release(inbox, site, round);
    }
    return NULL;
}

static void test_threads_may_come_and_go_while_rounds_change(void **state)
{
    (void)state;
    uint32_t sites[] = {0, 1, 2};
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visit_rounds, &sites[i]), 0);
    for (uint64_t round = 1; round <= ROUNDS; round++)
        open_round(round, sites, 3);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    struct pack *pack;
    assert_int_equal(take(0, ROUNDS, true, &pack), 0);
    inbox_release(inbox, 0, ROUNDS);
    assert_int_equal(take(0, ROUNDS - 1, false, &pack), ERR_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_the_sites_of_the_open_round_may_send),
        TEST(test_nothing_is_made_for_a_reader),
        TEST(test_bytes_are_those_of_the_pack_that_is_open),
        TEST(test_writers_and_readers_share_one_pack),
        TEST(test_more_sites_are_added_to_the_round_and_none_forgotten),
        TEST(test_a_closed_rounds_pack_lives_until_it_is_released),
        TEST(test_a_pack_of_an_earlier_life_is_taken_up),
        TEST(test_threads_may_come_and_go_while_rounds_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
