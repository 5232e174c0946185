/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

static const struct files *disk(void)
{
    return files_posix();
}

static void save_text(const char *path, const char *text)
{
    assert_int_equal(files_save(disk(), path, bytes_of_text(text), NULL), 0);
}

static void assert_file(const char *path, const char *text)
{
    struct buf got = read_file(path);
    assert_string_equal(buf_text(&got), text);
    buf_fini(&got);
}

static int count_name(void *arg, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(int *)arg;
    return 0;
}

static int names_in_scratch(void)
{
    int count = 0;
    assert_int_equal(disk()->list(NULL, scratch, count_name, &count, NULL), 0);
    return count;
}

static void test_what_is_written_at_an_offset_is_read_there(void **state)
{
    (void)state;
    int fd;
    char got[4];
    struct files_stat s;
    struct err err;
    assert_int_equal(disk()->open(NULL, in_scratch("f"), FILES_EXCLUSIVE, &fd, NULL), 0);
    assert_int_equal(disk()->write(NULL, fd, 3, "abcd", 4, NULL), 0);
    assert_int_equal(disk()->read(NULL, fd, 3, got, 4, NULL), 0);
    assert_memory_equal(got, "abcd", 4);
    assert_int_equal(disk()->read(NULL, fd, 0, got, 4, NULL), 0);
    assert_memory_equal(got, "\0\0\0a", 4);
    assert_int_equal(disk()->read(NULL, fd, 4, got, 4, &err), ERR_CORRUPT);
    assert_string_equal(err.text, "file ends at 7");
    assert_int_equal(disk()->truncate(NULL, fd, 5, NULL), 0);
    assert_int_equal(disk()->reserve(NULL, fd, 1 << 16, NULL), 0);
    assert_int_equal(disk()->stat_fd(NULL, fd, &s, NULL), 0);
    assert_int_equal(s.size, 5); /* reserving changes no length */
    assert_false(s.is_dir);
    assert_int_equal(disk()->sync(NULL, fd, NULL), 0);
    disk()->close(NULL, fd);
}

static void test_each_mode_opens_what_it_says(void **state)
{
    (void)state;
    static const struct {
        enum files_mode mode;
        bool there;
        int rc;
        const char *why;
    } rows[] = {
        {FILES_READ, false, ERR_NOTFOUND, "reading makes no file"},
        {FILES_UPDATE, false, ERR_NOTFOUND, "updating makes no file"},
        {FILES_CREATE, false, 0, "make it"},
        {FILES_EXCLUSIVE, false, 0, "make it"},
        {FILES_READ, true, 0, "it is there"},
        {FILES_UPDATE, true, 0, "it is there"},
        {FILES_CREATE, true, 0, "it is there"},
        {FILES_EXCLUSIVE, true, ERR_EXISTS, "somebody else's"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = -7;
        const char *path = in_scratch(rows[i].there ? "there" : "absent");
        if (rows[i].there)
            save_text(path, "kept");
        if (disk()->open(NULL, path, rows[i].mode, &fd, NULL) != rows[i].rc)
            fail_msg("row %zu: %s", i, rows[i].why);
        if (rows[i].rc != 0)
            assert_int_equal(fd, -7);
        else
            disk()->close(NULL, fd);
        if (rows[i].there)
            assert_file(path, "kept");
        (void)disk()->unlink(NULL, path, NULL);
    }
}

static void test_files_and_folders_are_for_their_owner_alone(void **state)
{
    (void)state;
    struct stat s;
    int fd;
    assert_int_equal(disk()->open(NULL, in_scratch("f"), FILES_CREATE, &fd, NULL), 0);
    disk()->close(NULL, fd);
    assert_int_equal(stat(in_scratch("f"), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(disk()->make_dir(NULL, in_scratch("d"), NULL), 0);
    assert_int_equal(stat(in_scratch("d"), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0700);
}

static void test_an_exclusive_open_does_not_follow_a_link(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(symlink("target", in_scratch("link")), 0);
    assert_int_equal(disk()->open(NULL, in_scratch("link"), FILES_EXCLUSIVE, &fd, NULL),
                     ERR_EXISTS);
    assert_false(files_exists(disk(), in_scratch("target")));
}

static void test_save_replaces_the_whole_file(void **state)
{
    (void)state;
    save_text(in_scratch("f"), "a long first content");
    save_text(in_scratch("f"), "short");
    assert_file(in_scratch("f"), "short");
    save_text(in_scratch("f"), "");
    assert_file(in_scratch("f"), "");
    assert_int_equal(names_in_scratch(), 1);
}

static void test_save_syncs_the_bytes_before_the_name(void **state)
{
    (void)state;
    struct flaky f;
    flaky_init(&f);
    assert_int_equal(files_save(&f.table, in_scratch("f"), bytes_of_text("x"), NULL), 0);
    assert_string_equal(f.log, "WSRD");
    flaky_init(&f);
    assert_int_equal(files_save_unsynced(&f.table, in_scratch("f"), bytes_of_text("x"), NULL), 0);
    assert_string_equal(f.log, "WR");
}

static void test_save_that_fails_anywhere_leaves_the_old_or_the_new_file(void **state)
{
    (void)state;
    unsigned n = 1;
    for (;; n++) {
        struct flaky f;
        save_text(in_scratch("f"), "old");
        flaky_init(&f);
        f.fail_at = n;
        int rc = files_save(&f.table, in_scratch("f"), bytes_of_text("new"), NULL);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_IO);
        /* Only the folder's sync comes behind the rename. */
        assert_file(in_scratch("f"), n <= 3 ? "old" : "new");
        assert_true(strstr(f.log, "SS") == NULL); /* a failed sync is not tried again */
    }
    assert_int_equal(n, 5);
}

static void test_save_that_fails_leaves_no_temporary_file(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct flaky f;
        flaky_init(&f);
        f.only = "WSR"[i];
        f.fail_at = 1;
        assert_int_equal(files_save(&f.table, in_scratch("f"), bytes_of_text("x"), NULL), ERR_IO);
        assert_int_equal(names_in_scratch(), 0);
    }
}

/* A process of the same number may have been killed here before: in a container all are 1. */
static void test_save_is_not_hindered_by_what_another_process_left(void **state)
{
    (void)state;
    char left[300];
    int before = 200; /* saves of this process, and more */
    for (int i = 0; i < before; i++) {
        snprintf(left, sizeof left, "%s.%d-%d.tmp", in_scratch("f"), (int)getpid(), i);
        write_file(left, bytes_of_text("cut"));
    }
    save_text(in_scratch("f"), "whole");
    assert_file(in_scratch("f"), "whole");
    assert_int_equal(names_in_scratch(), before + 1);
}

/* A disk where the first names asked for are taken. */
struct crowded {
    struct files table;
    int taken, asked;
    char last[FILES_PATH_MAX];
};

static int open_crowded(void *self, const char *path, enum files_mode mode, int *fd,
                        struct err *err)
{
    struct crowded *c = self;
    assert_string_not_equal(path, c->last); /* another name each time */
    snprintf(c->last, sizeof c->last, "%s", path);
    if (c->asked++ < c->taken)
        return err_set(err, ERR_EXISTS, "it is taken");
    return disk()->open(NULL, path, mode, fd, err);
}

static void test_save_takes_another_name_where_one_is_taken_but_not_for_ever(void **state)
{
    (void)state;
    struct crowded c = {.table = *disk(), .taken = 3};
    c.table.self = &c;
    c.table.open = open_crowded;
    assert_int_equal(files_save(&c.table, in_scratch("f"), bytes_of_text("x"), NULL), 0);
    assert_int_equal(c.asked, 4);
    assert_file(in_scratch("f"), "x");
    c.taken = 1000000;
    assert_int_equal(files_save(&c.table, in_scratch("f"), bytes_of_text("y"), NULL), ERR_EXISTS);
    assert_true(c.asked < 100);
    assert_file(in_scratch("f"), "x");
    assert_int_equal(names_in_scratch(), 1);
}

static void *save_often(void *arg)
{
    for (int i = 0; i < 100; i++)
        if (files_save_unsynced(disk(), arg, bytes_of_text("same"), NULL) != 0)
            return arg;
    return NULL;
}

static void test_two_threads_may_save_the_same_file(void **state)
{
    (void)state;
    pthread_t threads[2];
    void *failed[2];
    static char path[256];
    snprintf(path, sizeof path, "%s", in_scratch("f"));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, save_often, path), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &failed[i]);
    assert_null(failed[0]);
    assert_null(failed[1]);
    assert_file(path, "same");
    assert_int_equal(names_in_scratch(), 1);
}

static void test_load_refuses_a_file_above_the_limit_and_leaves_the_buffer(void **state)
{
    (void)state;
    struct err err;
    struct buf b = buf_new(8);
    save_text(in_scratch("f"), "123456");
    buf_append_text(&b, "abc");
    assert_int_equal(files_load(disk(), in_scratch("f"), &b, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "6 bytes, more than 5"));
    assert_string_equal(buf_text(&b), "abc");
    assert_int_equal(files_load(disk(), in_scratch("none"), &b, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, in_scratch("none")));
    buf_clear(&b);
    assert_int_equal(files_load(disk(), in_scratch("f"), &b, &err), 0);
    assert_string_equal(buf_text(&b), "123456");
    buf_fini(&b);
}

static int fail_read(void *self, int fd, uint64_t offset, void *data, size_t size, struct err *err)
{
    (void)self;
    (void)fd;
    (void)offset;
    memset(data, 'x', size / 2);
    return err_set(err, ERR_IO, "failed by the test");
}

static void test_load_that_fails_half_way_leaves_the_buffer(void **state)
{
    (void)state;
    struct files table = *disk();
    struct buf b = buf_new(64);
    table.read = fail_read;
    save_text(in_scratch("f"), "123456");
    buf_append_text(&b, "abc");
    assert_int_equal(files_load(&table, in_scratch("f"), &b, NULL), ERR_IO);
    assert_string_equal(buf_text(&b), "abc");
    buf_fini(&b);
}

struct seen {
    char names[64];
    int stop_after;
};

static int see(void *arg, const char *name, struct err *err)
{
    struct seen *s = arg;
    strcat(s->names, name);
    strcat(s->names, " ");
    return --s->stop_after == 0 ? err_set(err, ERR_DENIED, "enough") : 0;
}

static void test_names_are_listed_in_byte_order_until_told_to_stop(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a", "B", "10", "9"};
    for (size_t i = 0; i < 5; i++)
        save_text(in_scratch(names[i]), "");
    struct seen all = {.stop_after = -1}, two = {.stop_after = 2};
    assert_int_equal(disk()->list(NULL, scratch, see, &all, NULL), 0);
    assert_string_equal(all.names, "10 9 B a b ");
    assert_int_equal(disk()->list(NULL, scratch, see, &two, NULL), ERR_DENIED);
    assert_string_equal(two.names, "10 9 ");
    assert_int_equal(disk()->list(NULL, in_scratch("none"), see, &all, NULL), ERR_NOTFOUND);
}

static void test_folders_are_made_with_those_above_and_each_name_synced(void **state)
{
    (void)state;
    struct flaky f;
    struct files_stat s;
    flaky_init(&f);
    assert_int_equal(files_make_dirs(&f.table, in_scratch("a//b/c/"), NULL), 0);
    assert_string_equal(f.log, "MDMDMD");
    assert_int_equal(disk()->stat(NULL, in_scratch("a/b/c"), &s, NULL), 0);
    assert_true(s.is_dir);
    flaky_init(&f);
    assert_int_equal(files_make_dirs(&f.table, in_scratch("a/b"), NULL), 0);
    assert_string_equal(f.log, "");
    save_text(in_scratch("file"), "");
    assert_int_equal(files_make_dirs(disk(), in_scratch("file"), NULL), ERR_EXISTS);
    assert_int_not_equal(files_make_dirs(disk(), in_scratch("file/x"), NULL), 0);
}

static void test_absent_names_are_not_found(void **state)
{
    (void)state;
    struct files_stat s;
    assert_int_equal(disk()->stat(NULL, in_scratch("none"), &s, NULL), ERR_NOTFOUND);
    assert_int_equal(disk()->unlink(NULL, in_scratch("none"), NULL), ERR_NOTFOUND);
    assert_int_equal(disk()->remove_dir(NULL, in_scratch("none"), NULL), ERR_NOTFOUND);
    assert_int_equal(disk()->rename(NULL, in_scratch("none"), in_scratch("x"), NULL), ERR_NOTFOUND);
    assert_false(files_exists(disk(), in_scratch("none")));
}

static void test_only_empty_folders_are_removed(void **state)
{
    (void)state;
    assert_int_equal(disk()->make_dir(NULL, in_scratch("d"), NULL), 0);
    save_text(in_scratch("d/f"), "");
    assert_int_not_equal(disk()->remove_dir(NULL, in_scratch("d"), NULL), 0);
    assert_int_equal(disk()->unlink(NULL, in_scratch("d/f"), NULL), 0);
    assert_int_equal(disk()->remove_dir(NULL, in_scratch("d"), NULL), 0);
    assert_false(files_exists(disk(), in_scratch("d")));
}

static void test_a_lock_is_held_by_one_until_closed(void **state)
{
    (void)state;
    int first, second = -7;
    struct err err;
    assert_int_equal(disk()->lock(NULL, in_scratch("lock"), &first, NULL), 0);
    assert_int_equal(disk()->lock(NULL, in_scratch("lock"), &second, &err), ERR_DENIED);
    assert_int_equal(second, -7);
    assert_non_null(strstr(err.text, "another process"));
    disk()->close(NULL, first);
    assert_int_equal(disk()->lock(NULL, in_scratch("lock"), &second, NULL), 0);
    disk()->close(NULL, second);
}

static void test_a_shared_lock_is_held_by_many_and_keeps_out_who_wants_it_alone(void **state)
{
    (void)state;
    int shared[2], alone, third = -7;
    struct err err = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(disk()->open(NULL, in_scratch("lock"), FILES_CREATE, &shared[i], NULL), 0);
        assert_int_equal(disk()->lock_fd(NULL, shared[i], true, NULL), 0);
    }
    assert_int_equal(disk()->open(NULL, in_scratch("lock"), FILES_UPDATE, &alone, NULL), 0);
    assert_int_equal(disk()->lock_fd(NULL, alone, false, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "another process"));
    assert_int_equal(disk()->lock(NULL, in_scratch("lock"), &third, NULL), ERR_DENIED);
    disk()->close(NULL, shared[0]);
    assert_int_equal(disk()->lock_fd(NULL, alone, false, NULL), ERR_DENIED);
    disk()->close(NULL, shared[1]);
    assert_int_equal(disk()->lock_fd(NULL, alone, false, NULL), 0);
    assert_int_equal(disk()->open(NULL, in_scratch("lock"), FILES_UPDATE, &third, NULL), 0);
    assert_int_equal(disk()->lock_fd(NULL, third, true, NULL), ERR_DENIED);
    disk()->close(NULL, third);
    disk()->close(NULL, alone);
}

static void test_a_file_s_time_is_when_it_was_last_written(void **state)
{
    (void)state;
    static const struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 3, .tv_nsec = 5}};
    struct files_stat by_path, by_fd;
    int fd;
    save_text(in_scratch("f"), "x");
    assert_int_equal(utimensat(AT_FDCWD, in_scratch("f"), times, 0), 0);
    assert_int_equal(disk()->stat(NULL, in_scratch("f"), &by_path, NULL), 0);
    assert_true(by_path.mtime_ns == 3000000005u);
    assert_int_equal(disk()->open(NULL, in_scratch("f"), FILES_READ, &fd, NULL), 0);
    assert_int_equal(disk()->stat_fd(NULL, fd, &by_fd, NULL), 0);
    assert_true(by_fd.mtime_ns == by_path.mtime_ns && by_fd.size == 1);
    disk()->close(NULL, fd);
}

static void test_free_space_is_what_an_unprivileged_writer_may_use(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_int_equal(disk()->free_bytes(NULL, scratch, &bytes, NULL), 0);
    assert_true(bytes > 0);
    assert_int_equal(disk()->free_bytes(NULL, in_scratch("none"), &bytes, NULL), ERR_NOTFOUND);
}

static void test_paths_are_joined_and_split_within_the_limit(void **state)
{
    (void)state;
    static const struct {
        const char *path, *folder;
    } rows[] = {{"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"/a/b/c", "/a/b"}};
    char out[FILES_PATH_MAX], name[FILES_PATH_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        files_folder(rows[i].path, out);
        assert_string_equal(out, rows[i].folder);
    }
    assert_int_equal(files_join(out, "dir", "name", NULL), 0);
    assert_string_equal(out, "dir/name");
    memset(name, 'n', sizeof name);
    name[FILES_PATH_MAX - 3] = '\0'; /* with "d/" one byte below the limit */
    assert_int_equal(files_join(out, "d", name, NULL), 0);
    name[FILES_PATH_MAX - 3] = 'n';
    name[FILES_PATH_MAX - 2] = '\0';
    assert_int_equal(files_join(out, "d", name, NULL), ERR_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_at_an_offset_is_read_there),
        TEST(test_each_mode_opens_what_it_says),
        TEST(test_files_and_folders_are_for_their_owner_alone),
        TEST(test_an_exclusive_open_does_not_follow_a_link),
        TEST(test_save_replaces_the_whole_file),
        TEST(test_save_syncs_the_bytes_before_the_name),
        TEST(test_save_that_fails_anywhere_leaves_the_old_or_the_new_file),
        TEST(test_save_that_fails_leaves_no_temporary_file),
        TEST(test_save_is_not_hindered_by_what_another_process_left),
        TEST(test_save_takes_another_name_where_one_is_taken_but_not_for_ever),
        TEST(test_two_threads_may_save_the_same_file),
        TEST(test_load_refuses_a_file_above_the_limit_and_leaves_the_buffer),
        TEST(test_load_that_fails_half_way_leaves_the_buffer),
        TEST(test_names_are_listed_in_byte_order_until_told_to_stop),
        TEST(test_folders_are_made_with_those_above_and_each_name_synced),
        TEST(test_absent_names_are_not_found),
        TEST(test_only_empty_folders_are_removed),
        TEST(test_a_lock_is_held_by_one_until_closed),
        TEST(test_a_shared_lock_is_held_by_many_and_keeps_out_who_wants_it_alone),
        TEST(test_a_file_s_time_is_when_it_was_last_written),
        TEST(test_free_space_is_what_an_unprivileged_writer_may_use),
        TEST(test_paths_are_joined_and_split_within_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
