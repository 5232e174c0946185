/* SPDX-License-Identifier: Apache-2.0 */
#include "content/extract_part.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/content/store_scratch.h"

/* Of the CID below: the name by the documented rule. */
static char part_name[128];

static struct cid some_cid(const char *of)
{
    char text[CID_TEXT_MAX];
    struct cid cid = cid_of(CID_RAW, bytes_of_text(of));
    size_t size = strlen(cid_format(&cid, text));
    snprintf(part_name, sizeof part_name, "out.%s.part", text + size - 12);
    return cid;
}

static struct extract_part *open_part(bool force)
{
    struct extract_options o = {.force = force};
    struct extract_part *p;
    struct cid cid = some_cid("one");
    struct err err = {0};
    if (extract_part_open(&o, &cid, in_scratch("out"), &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

static void must_begin(struct extract_part *p, uint64_t bytes)
{
    struct err err = {0};
    if (extract_part_begin(p, bytes, &err) != 0)
        fail_msg("%s", err.text);
}

static void must_write(struct extract_part *p, uint64_t offset, const char *text)
{
    assert_int_equal(extract_part_write(p, offset, bytes_of_text(text), NULL), 0);
}

static bool is_there(const char *name)
{
    struct stat s;
    return lstat(in_scratch(name), &s) == 0;
}

static void assert_file(const char *name, const char *text)
{
    struct buf found = read_file(in_scratch(name));
    assert_string_equal(buf_text(&found), text);
    buf_fini(&found);
}

static void test_out_appears_when_it_is_whole(void **state)
{
    (void)state;
    struct extract_part *p = open_part(false);
    assert_false(is_there(part_name));
    must_begin(p, 6);
    must_write(p, 3, "def");
    assert_true(is_there(part_name));
    assert_false(is_there("out"));
    must_write(p, 0, "abc");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, true);
    assert_file("out", "abcdef");
    assert_false(is_there(part_name));
}

static void test_what_is_not_finished_stays_or_goes_as_it_is_told(void **state)
{
    (void)state;
    struct extract_part *p = open_part(false);
    must_begin(p, 6);
    must_write(p, 0, "abcdefghi"); /* longer than the next one says */
    extract_part_close(p, true);
    assert_file(part_name, "abcdefghi");
    char found[3];
    p = open_part(false);
    must_begin(p, 6);
    assert_int_equal(extract_part_read(p, 3, found, 3, NULL), 0);
    assert_memory_equal(found, "def", 3);
    assert_int_not_equal(extract_part_read(p, 6, found, 1, NULL), 0);
    must_write(p, 0, "ABC");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, false);
    assert_file("out", "ABCdef");
    p = open_part(true);
    must_begin(p, 6);
    extract_part_close(p, false);
    assert_false(is_there(part_name));
    assert_file("out", "ABCdef");
}

static void test_another_cid_has_another_part(void **state)
{
    (void)state;
    struct extract_options o = {.force = false};
    struct extract_part *p = open_part(false), *q;
    must_begin(p, 3);
    must_write(p, 0, "abc");
    extract_part_close(p, true);
    struct cid two = some_cid("two");
    assert_int_equal(extract_part_open(&o, &two, in_scratch("out"), &q, NULL), 0);
    must_begin(q, 3);
    char found[3];
    assert_int_not_equal(extract_part_read(q, 0, found, 3, NULL), 0);
    extract_part_close(q, false);
    some_cid("one");
    assert_file(part_name, "abc");
}

static void test_what_is_there_stays_unless_forced_and_folders_always_do(void **state)
{
    (void)state;
    struct extract_options o = {.force = false};
    struct cid cid = some_cid("one");
    struct extract_part *p;
    struct err err = {0};
    write_file(in_scratch("out"), bytes_of_text("precious"));
    assert_int_equal(extract_part_open(&o, &cid, in_scratch("out"), &p, &err), ERR_EXISTS);
    /* It may also come while the part is filled. */
    assert_int_equal(unlink(in_scratch("out")), 0);
    p = open_part(false);
    must_begin(p, 3);
    write_file(in_scratch("out"), bytes_of_text("precious"));
    assert_int_equal(extract_part_finish(p, &err), ERR_EXISTS);
    extract_part_close(p, false);
    assert_file("out", "precious");
    p = open_part(true);
    must_begin(p, 3);
    must_write(p, 0, "new");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, false);
    assert_file("out", "new");
    o.force = true;
    assert_int_equal(mkdir(in_scratch("dir"), 0700), 0);
    assert_int_equal(extract_part_open(&o, &cid, in_scratch("dir"), &p, &err), ERR_EXISTS);
    assert_int_equal(extract_part_open(&o, &cid, in_scratch("no/where"), &p, &err), ERR_NOTFOUND);
    assert_int_equal(extract_part_open(&o, &cid, in_scratch("dir/.."), &p, &err), ERR_USAGE);
}

static void test_a_name_as_long_as_names_may_be_has_a_part_too(void **state)
{
    (void)state;
    struct extract_options o = {.force = false};
    struct cid cid = some_cid("one");
    struct extract_part *p;
    char name[257];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    assert_int_equal(extract_part_open(&o, &cid, in_scratch(name), &p, NULL), ERR_USAGE);
    name[255] = '\0';
    assert_int_equal(extract_part_open(&o, &cid, in_scratch(name), &p, NULL), 0);
    must_begin(p, 3);
    must_write(p, 0, "abc");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, false);
    assert_file(name, "abc");
}

static void test_attack_21_a_part_that_is_no_plain_file_is_not_written(void **state)
{
    (void)state;
    struct err err = {0};
    struct extract_part *p = open_part(false);
    write_file(in_scratch("victim"), bytes_of_text("precious"));
    assert_int_equal(symlink("victim", in_scratch(part_name)), 0);
    assert_int_not_equal(extract_part_begin(p, 3, &err), 0);
    assert_file("victim", "precious");
    assert_int_equal(unlink(in_scratch(part_name)), 0);
    assert_int_equal(mkfifo(in_scratch(part_name), 0600), 0);
    assert_int_equal(extract_part_begin(p, 3, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "no plain file"));
    assert_int_equal(unlink(in_scratch(part_name)), 0);
    assert_int_equal(mkdir(in_scratch(part_name), 0700), 0);
    assert_int_not_equal(extract_part_begin(p, 3, &err), 0);
    extract_part_close(p, false);
    assert_true(is_there(part_name));
}

/* In a folder that others may write to, they know what the part will be called. */
static void test_attack_21_a_part_that_is_somebody_else_s_is_not_taken_up(void **state)
{
    (void)state;
    struct err err = {0};
    struct extract_part *p = open_part(false);
    write_file(in_scratch("victim"), bytes_of_text("precious"));
    assert_int_equal(link(in_scratch("victim"), in_scratch(part_name)), 0);
    assert_int_equal(extract_part_begin(p, 3, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "has another name besides: remove it"));
    assert_file("victim", "precious");
    assert_int_equal(unlink(in_scratch(part_name)), 0);
    if (geteuid() == 0) { /* nobody else can give a file away */
        write_file(in_scratch(part_name), bytes_of_text("planted"));
        assert_int_equal(chown(in_scratch(part_name), 65534, 65534), 0);
        assert_int_equal(extract_part_begin(p, 3, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, "belongs to another user: remove it"));
        assert_file(part_name, "planted");
        assert_int_equal(unlink(in_scratch(part_name)), 0);
    }
    must_begin(p, 3); /* it is gone: nothing is in the way */
    must_write(p, 0, "abc");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, false);
    assert_file("out", "abc");
}

static void test_two_commands_do_not_fill_one_part(void **state)
{
    (void)state;
    struct err err = {0};
    struct extract_part *p = open_part(false), *q = open_part(false);
    must_begin(p, 3);
    assert_int_equal(extract_part_begin(q, 3, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "another command"));
    extract_part_close(q, false); /* leaves what is not its own */
    assert_true(is_there(part_name));
    must_write(p, 0, "abc");
    assert_int_equal(extract_part_finish(p, NULL), 0);
    extract_part_close(p, false);
    assert_file("out", "abc");
}

static void test_attack_15_more_than_the_disk_has_is_refused_before_a_byte(void **state)
{
    (void)state;
    struct err err = {0};
    struct extract_part *p = open_part(false);
    assert_int_equal(extract_part_begin(p, UINT64_MAX, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "are free on the disk"));
    extract_part_close(p, false);
    assert_false(is_there(part_name));
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_out_appears_when_it_is_whole),
        WITH_FOLDER(test_what_is_not_finished_stays_or_goes_as_it_is_told),
        WITH_FOLDER(test_another_cid_has_another_part),
        WITH_FOLDER(test_what_is_there_stays_unless_forced_and_folders_always_do),
        WITH_FOLDER(test_a_name_as_long_as_names_may_be_has_a_part_too),
        WITH_FOLDER(test_attack_21_a_part_that_is_no_plain_file_is_not_written),
        WITH_FOLDER(test_attack_21_a_part_that_is_somebody_else_s_is_not_taken_up),
        WITH_FOLDER(test_two_commands_do_not_fill_one_part),
        WITH_FOLDER(test_attack_15_more_than_the_disk_has_is_refused_before_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
