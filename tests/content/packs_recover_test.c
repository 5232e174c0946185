/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/packs_scratch.h"

#include <fcntl.h>

#define SIZE    50
#define HEADER  18
#define SECTION (1 + 36 + SIZE) /* length, CID, block */

/* A part as a killed writer leaves it: `count` sections, and no lock. */
static struct buf make_part(unsigned count)
{
    struct packs *p = open_packs(true);
    put_pack(p, 0, count, SIZE);
    packs_close(p);
    char car[512], index[512];
    assert_int_equal(count_files(".car", car), 1);
    assert_int_equal(count_files(".index", index), 1);
    struct buf bytes = read_file(car);
    assert_int_equal(bytes.size, HEADER + count * SECTION);
    assert_int_equal(unlink(car), 0);
    assert_int_equal(unlink(index), 0);
    return bytes;
}

static const char *part_path(void)
{
    return in_scratch("packs/0123456789abcdef.part");
}

/* Opens for writing; how many of the blocks are there then, and are they the first? */
static unsigned opened_blocks(unsigned most)
{
    struct packs *p = open_packs(true);
    struct packs_stat st;
    unsigned count = 0;
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    while (count < most && read_back(p, count, SIZE) == 0)
        count++;
    assert_int_equal(st.blocks, count);
    assert_int_equal(count_files(".part", NULL), 0);
    assert_int_equal(count_files(".car", NULL), count > 0 ? 1 : 0);
    assert_int_equal(count_files(".index", NULL), count > 0 ? 1 : 0);
    packs_close(p);
    return count;
}

static void remove_packs(void)
{
    char path[512];
    while (count_files(".car", path) > 0)
        assert_int_equal(unlink(path), 0);
    while (count_files(".index", path) > 0)
        assert_int_equal(unlink(path), 0);
}

static void test_attack_10_a_part_cut_anywhere_keeps_what_is_whole(void **state)
{
    (void)state;
    enum {
        COUNT = 4
    };
    struct buf bytes = make_part(COUNT);
    for (size_t size = 0; size <= bytes.size; size++) {
        write_file(part_path(), bytes_of(bytes.data, size));
        unsigned whole = size < HEADER ? 0 : (unsigned)((size - HEADER) / SECTION);
        assert_int_equal(opened_blocks(COUNT), whole);
        remove_packs();
    }
    buf_fini(&bytes);
}

static void test_attack_9_a_part_damaged_anywhere_keeps_what_stands_before(void **state)
{
    (void)state;
    enum {
        COUNT = 4
    };
    struct buf bytes = make_part(COUNT);
    for (size_t at = 0; at < bytes.size; at++) {
        size_t section = at < HEADER ? 0 : (at - HEADER) / SECTION;
        size_t within = at < HEADER ? 0 : (at - HEADER) % SECTION;
        bytes.data[at] ^= 0x40;
        write_file(part_path(), buf_bytes(&bytes));
        bytes.data[at] ^= 0x40;
        unsigned whole = opened_blocks(COUNT);
        /* Another codec is another name of the same bytes: nothing is lost by it. */
        if (at >= HEADER && within == 2)
            assert_true(whole == COUNT || whole == section);
        else
            assert_int_equal(whole, section);
        remove_packs();
    }
    buf_fini(&bytes);
}

static void test_parts_that_are_no_packs_go(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *why;
    } rows[] = {
        {"", "nothing written yet"},
        {"/a/path\n", "a reference on its way"},
        {"0000000000000000000000000000000000", "another file"},
    };
    struct packs *p = open_packs(true);
    packs_close(p);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(part_path(), bytes_of_text(rows[i].bytes));
        write_file(in_scratch("packs/0123456789abcdef.index"), bytes_of_text("left"));
        if (opened_blocks(1) != 0)
            fail_msg("%s", rows[i].why);
    }
}

static void test_a_part_that_somebody_writes_is_left_alone(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    put(b, 0, SIZE);
    packs_close(open_packs(true));
    assert_int_equal(count_files(".part", NULL), 1);
    put(b, 1, SIZE);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    assert_int_equal(read_back(p, 0, SIZE), 0);
    assert_int_equal(read_back(p, 1, SIZE), 0);
    packs_close(p);
}

static void test_readers_take_nothing_up(void **state)
{
    (void)state;
    struct buf bytes = make_part(3);
    write_file(part_path(), buf_bytes(&bytes));
    struct packs *p = open_packs(false);
    assert_int_equal(read_back(p, 0, SIZE), ERR_NOTFOUND);
    packs_close(p);
    assert_int_equal(count_files(".part", NULL), 1);
    buf_fini(&bytes);
}

/* --- indexes --- */

static void test_an_index_damaged_or_cut_anywhere_is_made_again(void **state)
{
    (void)state;
    enum {
        COUNT = 3
    };
    struct packs *p = open_packs(true);
    put_pack(p, 0, COUNT, SIZE);
    packs_close(p);
    char index[512];
    assert_int_equal(count_files(".index", index), 1);
    struct buf bytes = read_file(index);
    assert_int_equal(bytes.size, 24 + COUNT * 48 + 32);
    for (size_t at = 0; at < bytes.size * 2; at++) {
        struct buf bad = buf_new(bytes.size);
        buf_append(&bad, bytes.data, at < bytes.size ? bytes.size : at - bytes.size);
        if (at < bytes.size)
            bad.data[at] ^= 1;
        for (int write = 0; write < 2; write++) { /* a reader makes it in memory */
            write_file(index, buf_bytes(&bad));
            p = open_packs(write == 1);
            for (unsigned n = 0; n < COUNT; n++)
                assert_int_equal(read_back(p, n, SIZE), 0);
            assert_int_equal(read_back(p, COUNT, SIZE), ERR_NOTFOUND);
            packs_close(p);
            struct buf after = read_file(index);
            assert_true(bytes_equal(buf_bytes(&after), buf_bytes(write == 1 ? &bytes : &bad)));
            buf_fini(&after);
        }
        buf_fini(&bad);
    }
    buf_fini(&bytes);
}

static void test_a_pack_without_its_index_gets_one_and_an_index_alone_goes(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 3, SIZE);
    packs_close(p);
    char index[512];
    count_files(".index", index);
    assert_int_equal(rename(index, in_scratch("packs/00000000000000aa.index")), 0);
    p = open_packs(false);
    assert_int_equal(read_back(p, 2, SIZE), 0);
    packs_close(p);
    p = open_packs(true);
    assert_int_equal(read_back(p, 2, SIZE), 0);
    packs_close(p);
    assert_int_equal(count_files(".index", NULL), 1);
    assert_int_equal(access(index, F_OK), 0);
}

struct told {
    unsigned blocks, damaged;
    char where[FILES_PATH_MAX];
};

static int tell_block(void *self, const struct cid *cid, const struct packs_place *place,
                      const char *where, struct err *err)
{
    struct told *t = self;
    (void)cid;
    (void)place;
    (void)where;
    (void)err;
    t->blocks++;
    return 0;
}

static int tell_damaged(void *self, const char *where, const struct err *why, struct err *err)
{
    struct told *t = self;
    (void)err;
    t->damaged++;
    snprintf(t->where, sizeof t->where, "%s: %s", where, why->text);
    return 0;
}

/* One of two packs, the reference, cannot be looked into: it is named, the other is not hidden. */
static void expect_damaged(struct packs *p, const char *said)
{
    struct packs_stat st;
    struct told told = {0};
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.damaged, 1);
    assert_non_null(strstr(st.first_damaged.text, said));
    assert_int_equal(st.blocks, 3);
    assert_int_equal(st.references, 0);
    assert_int_equal(packs_each(p, tell_block, tell_damaged, &told, NULL), 0);
    assert_int_equal(told.blocks, 3);
    assert_int_equal(told.damaged, 1);
    assert_non_null(strstr(told.where, in_scratch("packs/")));
    assert_non_null(strstr(told.where, said));
    assert_int_equal(packs_each(p, tell_block, NULL, &told, NULL), ERR_CORRUPT);
}

static bool keep_all(void *self, const uint8_t digest[HASH_BYTES])
{
    (void)self;
    (void)digest;
    return true;
}

static void test_a_reference_s_index_that_is_damaged_is_said(void **state)
{
    (void)state;
    static uint8_t digests[1][HASH_BYTES];
    write_file(in_scratch("data"), bytes_of_text("ten bytes."));
    hash_sha256(bytes_of_text("ten bytes."), digests[0]);
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    char index[512], ref[512];
    assert_int_equal(packs_batch_reference(b, in_scratch("data"), 10, 1000,
                                           (const uint8_t(*)[HASH_BYTES])digests, 1, NULL),
                     0);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    packs_close(p);
    count_files(".index", index);
    damage_file(index, 30, 1);
    p = open_packs(true);
    put_pack(p, 0, 3, 24);
    assert_int_equal(packs_has(p, digests[0], NULL), ERR_CORRUPT);
    assert_int_equal(read_back(p, 2, 24), 0);
    expect_damaged(p, in_scratch("data"));
    packs_close(p);
    assert_int_equal(unlink(index), 0);
    p = open_packs(true);
    expect_damaged(p, in_scratch("data"));
    packs_close(p);
    /* A reference that is none. */
    static const char *const bad[] = {"", "\n", "data\n", "/d", "/d\n1\n", "/d\n\n"};
    count_files(".ref", ref);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(ref, bytes_of_text(bad[i]));
        p = open_packs(true);
        expect_damaged(p, ".ref is damaged");
        packs_close(p);
    }
    struct packs_swept swept = {0};
    struct packs_stat st;
    p = open_packs(true);
    assert_int_equal(packs_sweep(p, keep_all, NULL, &swept, NULL), 0);
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.blocks, 3);
    packs_close(p);
    assert_int_equal(count_files(".ref", NULL), 0);
}

/* --- killed, and failing --- */

static int write_all(const struct files *f, unsigned blocks)
{
    struct packs *p;
    struct packs_batch *b = NULL;
    uint8_t data[SIZE];
    int rc = packs_open(f, in_scratch("packs"), true, &p, NULL);
    if (rc != 0)
        return rc;
    rc = packs_batch_new(p, NULL, NULL, &b, NULL);
    for (unsigned n = 0; rc == 0 && n < blocks; n++) {
        struct cid cid = block(n, data, SIZE);
        rc = packs_batch_put(b, &cid, bytes_of(data, SIZE), false, NULL);
    }
    if (rc == 0) {
        rc = packs_batch_finish(b, true, NULL);
        if (rc == 0)
            b = NULL;
    }
    packs_batch_free(b);
    packs_close(p);
    return rc;
}

static void test_killed_before_any_change_of_the_disk_what_was_written_is_there(void **state)
{
    (void)state;
    enum {
        COUNT = 4
    };
    unsigned seen = 0;
    for (unsigned at = 1;; at++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct flaky disk;
            flaky_init(&disk);
            disk.kill_at = at;
            _exit(write_all(&disk.table, COUNT) == 0 ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        bool through = WIFEXITED(status);
        if (through)
            assert_int_equal(WEXITSTATUS(status), 0);
        struct packs *p = open_packs(true);
        unsigned count = 0;
        while (count < COUNT && read_back(p, count, SIZE) == 0)
            count++;
        assert_true(count >= seen || through); /* a later death leaves no less */
        seen = count;
        packs_close(p);
        assert_int_equal(count_files(".part", NULL), 0);
        assert_int_equal(write_all(files_posix(), COUNT), 0); /* it goes on from there */
        p = open_packs(false);
        for (unsigned n = 0; n < COUNT; n++)
            assert_int_equal(read_back(p, n, SIZE), 0);
        packs_close(p);
        scratch_teardown(NULL);
        scratch_setup(NULL);
        if (through)
            break;
    }
    assert_int_equal(seen, COUNT);
}

static void test_whatever_fails_what_is_whole_stays_and_the_failure_is_said(void **state)
{
    (void)state;
    enum {
        COUNT = 4
    };
    static const char letters[] = {'W', 'S', 'D', 'R', 'M'};
    for (size_t i = 0; i < sizeof letters; i++) {
        unsigned failures = 0;
        for (unsigned at = 1;; at++) {
            struct flaky disk;
            flaky_init(&disk);
            disk.only = letters[i];
            disk.fail_at = at;
            int rc = write_all(&disk.table, COUNT);
            if (rc == 0)
                break;
            failures++;
            assert_int_equal(rc, ERR_IO);
            assert_int_equal(write_all(files_posix(), COUNT), 0);
            struct packs *p = open_packs(true);
            for (unsigned n = 0; n < COUNT; n++)
                assert_int_equal(read_back(p, n, SIZE), 0);
            packs_close(p);
            scratch_teardown(NULL);
            scratch_setup(NULL);
        }
        assert_true(failures >= 1);
        scratch_teardown(NULL);
        scratch_setup(NULL);
    }
}

/* Or nobody could open the store to free anything. */
static void test_a_part_that_a_full_disk_cannot_take_up_waits_for_room(void **state)
{
    (void)state;
    enum {
        COUNT = 4
    };
    struct buf bytes = make_part(COUNT);
    write_file(part_path(), buf_bytes(&bytes));
    buf_fini(&bytes);
    struct flaky disk;
    struct packs *p;
    flaky_init(&disk);
    disk.only = 'W';
    disk.fail_at = 1;
    assert_int_equal(packs_open(&disk.table, in_scratch("packs"), true, &p, NULL), 0);
    packs_close(p);
    assert_int_equal(count_files(".part", NULL), 1);
    assert_int_equal(count_files(".car", NULL), 0);
    assert_int_equal(opened_blocks(COUNT), COUNT);
}

/* --- killed at named points, in a program of its own --- */

#define LARGE  5000 /* written apart from its head */
#define LARGES 6

static int faulted_program(const char *folder)
{
    struct packs *p;
    struct packs_batch *b = NULL;
    uint8_t data[LARGE];
    snprintf(scratch, sizeof scratch, "%s", folder);
    int rc = packs_open(files_posix(), in_scratch("packs"), true, &p, NULL);
    if (rc == 0)
        rc = packs_batch_new(p, NULL, NULL, &b, NULL);
    for (unsigned n = 0; rc == 0 && n < LARGES; n++) {
        struct cid cid = block(n, data, LARGE);
        rc = packs_batch_put(b, &cid, bytes_of(data, LARGE), false, NULL);
    }
    return rc != 0 || packs_batch_finish(b, true, NULL) != 0;
}

static void run_killed(const char *fault)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *const arguments[] = {(char *)"child", scratch, NULL};
        setenv("COLMEIA_FAULT", fault, 1);
        execv("/proc/self/exe", arguments);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed_at_each_point_what_is_whole_is_taken_up(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second; /* a second program, killed too */
        unsigned kept;
    } rows[] = {
        {"packs-inside-block=kill", NULL, 0},
        {"packs-inside-block:4=kill", NULL, 3},
        {"packs-before-index=kill", NULL, LARGES},
        {"packs-before-rename=kill", NULL, LARGES},
        {"packs-before-sync=kill", NULL, LARGES},
        {"packs-inside-block:4=kill", "packs-recover-before-rename=kill", 3},
        {"packs-inside-block:4=kill", "packs-inside-block:2=kill", 4}, /* it goes on from there */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        run_killed(rows[i].first);
        if (rows[i].second != NULL)
            run_killed(rows[i].second);
        struct packs *p = open_packs(true);
        for (unsigned n = 0; n < LARGES; n++)
            assert_int_equal(read_back(p, n, LARGE), n < rows[i].kept ? 0 : ERR_NOTFOUND);
        packs_close(p);
        assert_int_equal(count_files(".part", NULL), 0);
        scratch_teardown(NULL);
        scratch_setup(NULL);
    }
}

static void test_a_failed_sync_is_not_tried_again(void **state)
{
    (void)state;
    struct flaky disk;
    flaky_init(&disk);
    disk.only = 'S';
    struct packs *p;
    assert_int_equal(packs_open(&disk.table, in_scratch("packs"), true, &p, NULL), 0);
    put_pack(p, 0, 3, SIZE);
    uint8_t data[SIZE];
    struct cid cid = block(0, data, SIZE);
    struct err err = {0};
    disk.fail_at = disk.changes + 1;
    assert_int_equal(packs_sync(p, cid_digest(&cid), NULL), ERR_IO);
    disk.fail_at = 0;
    assert_int_equal(packs_sync(p, cid_digest(&cid), &err), ERR_IO);
    assert_non_null(strstr(err.text, "a sync failed before"));
    packs_close(p);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return faulted_program(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_attack_10_a_part_cut_anywhere_keeps_what_is_whole),
        T(test_attack_9_a_part_damaged_anywhere_keeps_what_stands_before),
        T(test_parts_that_are_no_packs_go),
        T(test_a_part_that_somebody_writes_is_left_alone),
        T(test_readers_take_nothing_up),
        T(test_an_index_damaged_or_cut_anywhere_is_made_again),
        T(test_a_pack_without_its_index_gets_one_and_an_index_alone_goes),
        T(test_a_reference_s_index_that_is_damaged_is_said),
        T(test_killed_before_any_change_of_the_disk_what_was_written_is_there),
        T(test_whatever_fails_what_is_whole_stays_and_the_failure_is_said),
        T(test_a_part_that_a_full_disk_cannot_take_up_waits_for_room),
        T(test_killed_at_each_point_what_is_whole_is_taken_up),
        T(test_a_failed_sync_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
