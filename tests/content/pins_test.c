/* SPDX-License-Identifier: Apache-2.0 */
#include "content/pins.h"

#include <sys/stat.h>

#include "tests/scratch.h"

static struct pin pin_of(const char *text, bool recursive, const char *name)
{
    struct pin pin = {.cid = cid_of(CID_RAW, bytes_of_text(text)), .recursive = recursive};
    snprintf(pin.name, sizeof pin.name, "%s", name);
    return pin;
}

static int add(const struct pin *pin)
{
    return pins_add(files_posix(), scratch, pin, NULL);
}

static const char *path_of(const struct cid *cid)
{
    char text[CID_TEXT_MAX], name[128];
    snprintf(name, sizeof name, "pins/%.100s", cid_format(cid, text));
    return in_scratch(name);
}

static int list_one(void *self, const struct pin *pin, struct err *err)
{
    char *text = self, cid[CID_TEXT_MAX];
    (void)err;
    snprintf(text + strlen(text), 2048 - strlen(text), "%s %d [%s]\n", cid_format(&pin->cid, cid),
             pin->recursive, pin->name);
    return 0;
}

static void test_a_pin_is_kept_replaced_and_removed(void **state)
{
    (void)state;
    struct pin a = pin_of("a", true, "a person's name"), got;
    struct err err = {0};
    assert_int_equal(pins_get(files_posix(), scratch, &a.cid, &got, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "not pinned"));
    assert_int_equal(add(&a), 0);
    assert_int_equal(pins_get(files_posix(), scratch, &a.cid, &got, NULL), 0);
    assert_true(got.recursive && cid_equal(&got.cid, &a.cid));
    assert_string_equal(got.name, a.name);
    struct buf line = read_file(path_of(&a.cid));
    assert_string_equal(buf_text(&line), "recursive a person's name\n");
    buf_fini(&line);
    a = pin_of("a", false, "");
    assert_int_equal(add(&a), 0);
    assert_int_equal(pins_get(files_posix(), scratch, &a.cid, &got, NULL), 0);
    assert_false(got.recursive);
    assert_string_equal(got.name, "");
    line = read_file(path_of(&a.cid));
    assert_string_equal(buf_text(&line), "direct\n");
    buf_fini(&line);
    assert_int_equal(pins_remove(files_posix(), scratch, &a.cid, NULL), 0);
    err.text[0] = '\0';
    assert_int_equal(pins_remove(files_posix(), scratch, &a.cid, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "not pinned"));
}

static void test_pins_are_listed_in_the_order_of_their_names(void **state)
{
    (void)state;
    char listed[2048] = "", expected[2048] = "";
    assert_int_equal(pins_each(files_posix(), scratch, list_one, listed, NULL), 0);
    assert_string_equal(listed, ""); /* no folder, no pins */
    struct pin pins[3] = {pin_of("a", true, "x"), pin_of("b", false, ""), pin_of("c", true, "y z")};
    pins[1].cid = cid_of(CID_DAG_PB, bytes_of_text("b"));
    pins[1].cid = cid_as_v0(&pins[1].cid);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(&pins[i]), 0);
    write_file(in_scratch("pins/x.1-1.tmp"), bytes_of_text("cut")); /* of a killed process */
    assert_int_equal(pins_each(files_posix(), scratch, list_one, listed, NULL), 0);
    char texts[3][CID_TEXT_MAX];
    bool first = strcmp(cid_format(&pins[0].cid, texts[0]), cid_format(&pins[2].cid, texts[2])) < 0;
    const int order[3] = {1, first ? 0 : 2, first ? 2 : 0}; /* Q before b */
    for (int i = 0; i < 3; i++)
        assert_int_equal(list_one(expected, &pins[order[i]], NULL), 0);
    assert_string_equal(listed, expected);
}

static void test_hostile_names_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rc;
        const char *why;
    } rows[] = {
        {"plain", 0, "a name"},
        {"../../etc/passwd", 0, "only text: it names no file"},
        {"M\xc3\xbcnchen \xe2\x82\xac", 0, "UTF-8"},
        {" leading", 0, "a space is a character"},
        {"two\nlines", ERR_USAGE, "a second line"},
        {"a\rb", ERR_USAGE, "a return"},
        {"\x1b[31m", ERR_USAGE, "a terminal's escape"},
        {"a\tb", ERR_USAGE, "a tabulator"},
        {"\x7f", ERR_USAGE, "delete"},
        {"\xc2\x9b", ERR_USAGE, "a terminal's escape of two bytes"},
        {"\xff", ERR_USAGE, "no UTF-8"},
        {"\xc0\xaf", ERR_USAGE, "an overlong form"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pin pin = pin_of("x", true, rows[i].name), got;
        if (add(&pin) != rows[i].rc)
            fail_msg("%s", rows[i].why);
        if (rows[i].rc != 0)
            continue;
        assert_int_equal(pins_get(files_posix(), scratch, &pin.cid, &got, NULL), 0);
        assert_string_equal(got.name, rows[i].name);
    }
    struct pin pin = pin_of("x", true, "");
    memset(pin.name, 'n', sizeof pin.name); /* no end */
    assert_int_equal(add(&pin), ERR_USAGE);
    pin.name[PINS_NAME_MAX - 1] = '\0'; /* the longest */
    assert_int_equal(add(&pin), 0);
    struct pin got;
    assert_int_equal(pins_get(files_posix(), scratch, &pin.cid, &got, NULL), 0);
    assert_string_equal(got.name, pin.name);
    pin.cid = (struct cid){0};
    assert_int_equal(add(&pin), ERR_USAGE);
}

static void test_what_is_no_pin_is_damage(void **state)
{
    (void)state;
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"", "empty: power was lost"},
        {"recursive", "no end of line"},
        {"recursive ", "a name that is empty, and no end"},
        {"recursive \n", "a name that is empty"},
        {"recursivex\n", "no space"},
        {"Direct\n", "another word"},
        {"direct a\nb\n", "two lines"},
        {"direct \x1b\n", "a control character"},
        {"direct \xff\n", "no UTF-8"},
        {"\n", "no word"},
    };
    struct pin pin = pin_of("x", true, "");
    struct pin got = pin_of("untouched", false, "u");
    char listed[2048] = "";
    assert_int_equal(add(&pin), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        write_file(path_of(&pin.cid), bytes_of_text(rows[i].line));
        if (pins_get(files_posix(), scratch, &pin.cid, &got, &err) != ERR_CORRUPT)
            fail_msg("%s", rows[i].why);
        assert_non_null(strstr(err.text, path_of(&pin.cid)));
        assert_string_equal(got.name, "u");
        assert_int_equal(pins_each(files_posix(), scratch, list_one, listed, NULL), ERR_CORRUPT);
    }
    uint8_t long_line[600] = "direct ";
    memset(long_line + 7, 'n', sizeof long_line - 8);
    long_line[599] = '\n';
    write_file(path_of(&pin.cid), bytes_of(long_line, sizeof long_line));
    assert_int_equal(pins_get(files_posix(), scratch, &pin.cid, &got, NULL), ERR_CORRUPT);
    assert_int_equal(pins_remove(files_posix(), scratch, &pin.cid, NULL), 0); /* the way out */
    assert_int_equal(pins_each(files_posix(), scratch, list_one, listed, NULL), 0);
    struct err err = {0};
    write_file(in_scratch("pins/notes.txt"), bytes_of_text("direct\n"));
    assert_int_equal(pins_each(files_posix(), scratch, list_one, listed, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "notes.txt"));
}

static void test_whatever_fails_a_pin_is_the_old_or_the_new(void **state)
{
    (void)state;
    struct pin old = pin_of("x", true, "old"), new = pin_of("x", false, "new"), got;
    unsigned failures = 0;
    for (unsigned at = 1;; at++) {
        struct flaky disk;
        assert_int_equal(add(&old), 0);
        flaky_init(&disk);
        disk.fail_at = at;
        int rc = pins_add(&disk.table, scratch, &new, NULL);
        assert_int_equal(pins_get(files_posix(), scratch, &old.cid, &got, NULL), 0);
        assert_string_equal(got.name, got.recursive ? "old" : "new");
        if (rc == 0)
            break;
        failures++;
    }
    assert_false(got.recursive);
    assert_true(failures >= 4); /* write, sync, rename, sync of the folder */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_pin_is_kept_replaced_and_removed),
        T(test_pins_are_listed_in_the_order_of_their_names),
        T(test_hostile_names_are_refused),
        T(test_what_is_no_pin_is_damage),
        T(test_whatever_fails_a_pin_is_the_old_or_the_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
