/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/store_tool.h"

static struct said_cid put_pair(const struct said_cid *a, const struct said_cid *b)
{
    char text[2 * CID_TEXT_MAX + 40];
    snprintf(text, sizeof text, "[{\"/\":\"%s\"},{\"/\":\"%s\"}]", a->text, b->text);
    return tool_put("store", "dag-json", bytes_of_text(text));
}

static void test_pins_are_listed_with_kind_and_name(void **state)
{
    (void)state;
    struct said_cid a = tool_put("store", "raw", bytes_of_text("a"));
    struct said_cid b = tool_put("store", "raw", bytes_of_text("b"));
    char line[CID_TEXT_MAX + 60];
    tool_group(cmd_pin, "pin", "add", "--name", "the first of all", a.text);
    snprintf(line, sizeof line, "pinned %s recursively\n", a.text);
    tool_expect(0, line, "");
    tool_group(cmd_pin, "pin", "add", "--direct", b.text);
    tool_expect(0, "directly", "");
    tool_group(cmd_pin, "pin", "ls");
    snprintf(line, sizeof line, "%s recursive the first of all\n", a.text);
    tool_expect(0, line, "");
    snprintf(line, sizeof line, "%s direct\n", b.text);
    tool_expect(0, line, "");
    tool_group(cmd_pin, "pin", "ls", "-q");
    tool_expect(0, a.text, "");
    assert_null(strstr(tool_out(), "recursive"));
    tool_group(cmd_pin, "pin", "ls", b.text);
    tool_expect(0, line, "");
    assert_null(strstr(tool_out(), a.text));
    tool_group(cmd_pin, "pin", "ls", "--json", a.text);
    json_t *said = tool_json();
    assert_string_equal(json_string_value(json_object_get(said, "name")), "the first of all");
    json_decref(said);
}

static void test_a_pin_that_is_removed_is_gone(void **state)
{
    (void)state;
    struct said_cid a = tool_put("store", "raw", bytes_of_text("a"));
    tool_group(cmd_pin, "pin", "add", a.text);
    tool_group(cmd_pin, "pin", "rm", a.text);
    tool_expect(0, "unpinned ", "");
    tool_group(cmd_pin, "pin", "rm", a.text);
    tool_expect(1, "", "not pinned");
    tool_group(cmd_pin, "pin", "ls", a.text);
    tool_expect(1, "", "not pinned");
    assert_true(tool_holds("store", a.text));
    tool_run(cmd_pin, "pin", "rm", "--store", in_scratch("absent"), a.text, NULL);
    tool_expect(2, "", "no store at");
    assert_false(files_exists(files_posix(), in_scratch("absent")));
}

static void test_what_is_not_all_here_is_not_pinned_and_the_missing_block_named(void **state)
{
    (void)state;
    struct said_cid a = tool_put("store", "raw", bytes_of_text("a"));
    struct said_cid b = tool_put("store", "raw", bytes_of_text("b"));
    struct said_cid inner = put_pair(&a, &b), root = put_pair(&inner, &a);
    assert_int_equal(unlink(tool_block_path("store", b.text)), 0);
    tool_group(cmd_pin, "pin", "add", root.text);
    tool_expect(1, "", b.text);
    tool_group(cmd_pin, "pin", "ls");
    assert_int_equal(tool.out.size, 0);
    tool_group(cmd_pin, "pin", "add", "--direct", root.text); /* itself is here */
    tool_expect(0, "", "");
    tool_group(cmd_pin, "pin", "add", "--direct", b.text);
    tool_expect(1, "", "is not here");
}

static void test_a_path_pins_what_it_leads_to(void **state)
{
    (void)state;
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("d/sub"), NULL), 0);
    write_file(in_scratch("d/sub/x"), bytes_of_text("ex"));
    tool_run(cmd_add, "add", "-Q", "--store", in_scratch("store"), in_scratch("d"), NULL);
    char path[CID_TEXT_MAX + 20], text[CID_TEXT_MAX];
    snprintf(path, sizeof path, "/ipfs/%s/sub/x", tool_cid().text);
    struct cid x = cid_of(CID_RAW, bytes_of_text("ex"));
    tool_group(cmd_pin, "pin", "add", path);
    tool_expect(0, cid_format(&x, text), "");
}

static void test_a_name_that_would_move_a_cursor_is_refused(void **state)
{
    (void)state;
    struct said_cid a = tool_put("store", "raw", bytes_of_text("a"));
    char longest[300];
    tool_group(cmd_pin, "pin", "add", "--name", "a\x1b[2J", a.text);
    tool_expect(2, "", "");
    memset(longest, 'x', sizeof longest);
    longest[299] = '\0';
    tool_group(cmd_pin, "pin", "add", "--name", longest, a.text);
    tool_expect(2, "", "longer than 255 bytes");
    tool_group(cmd_pin, "pin", "add", "nonsense");
    tool_expect(2, "", "");
}

static void test_a_pin_is_asked_for_and_removed_by_a_path_too(void **state)
{
    (void)state;
    struct said_cid a = tool_put("store", "raw", bytes_of_text("a"));
    char text[CID_TEXT_MAX + 20], path[CID_TEXT_MAX + 20];
    snprintf(text, sizeof text, "[{\"/\":\"%s\"}]", a.text);
    struct said_cid root = tool_put("store", "dag-json", bytes_of_text(text));
    snprintf(path, sizeof path, "/ipfs/%s/0", root.text);
    tool_group(cmd_pin, "pin", "add", "-r", path);
    tool_expect(0, a.text, "");
    tool_group(cmd_pin, "pin", "ls", path);
    tool_expect(0, a.text, "");
    tool_group(cmd_pin, "pin", "ls", "--type", "direct");
    assert_int_equal(tool.out.size, 0);
    tool_group(cmd_pin, "pin", "ls", "-t", "recursive", "--names");
    tool_expect(0, a.text, "");
    tool_group(cmd_pin, "pin", "ls", "-t", "no");
    tool_expect(2, "", "\"no\" is not direct, recursive or all");
    tool_group(cmd_pin, "pin", "rm", path);
    tool_expect(0, a.text, "");
    tool_group(cmd_pin, "pin", "rm", path);
    tool_expect(1, "", "not pinned");
    tool_group(cmd_pin, "pin", "add", "--recursive=false", root.text);
    tool_expect(0, "directly", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pins_are_listed_with_kind_and_name),
        TEST(test_a_pin_that_is_removed_is_gone),
        TEST(test_what_is_not_all_here_is_not_pinned_and_the_missing_block_named),
        TEST(test_a_path_pins_what_it_leads_to),
        TEST(test_a_name_that_would_move_a_cursor_is_refused),
        TEST(test_a_pin_is_asked_for_and_removed_by_a_path_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
