/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/store_tool.h"

static void test_gc_keeps_what_pins_reach_and_removes_the_rest(void **state)
{
    (void)state;
    struct said_cid kept = tool_add_file("store", "kept", 3000000);
    struct said_cid gone = tool_add_file("store", "gone", 5000000);
    tool_group(cmd_pin, "pin", "rm", gone.text);
    tool_expect(0, "", "");
    tool_group(cmd_gc, "gc");
    tool_expect(0, "removed 6 blocks, 4.8 MiB; kept 4", "");
    assert_true(tool_holds("store", kept.text) && !tool_holds("store", gone.text));
    tool_run(cmd_get, "get", "--store", in_scratch("store"), "-o", in_scratch("out"), kept.text,
             NULL);
    tool_expect(0, "", "");
    tool_run(cmd_store_repo, "repo", "gc", "--json", "--store", in_scratch("store"), NULL);
    tool_expect(0, "{\"removed\":0,\"removed_bytes\":0,\"kept\":4,\"missing\":0}\n", "");
}

static void test_gc_refuses_a_studys_folder_by_either_name(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("shared", "raw", bytes_of_text("a record"));
    write_file(in_scratch("config.toml"), bytes_of_text(""));
    tool_run(cmd_gc, "gc", "--store", scratch, NULL);
    tool_expect(2, "", "a study's store keeps what its plan says");
    tool_run(cmd_gc, "gc", "--store", in_scratch("shared"), NULL);
    tool_expect(2, "", "a study's store keeps what its plan says");
    assert_true(tool_holds("shared", cid.text));
}

static void test_gc_waits_for_nobody_and_makes_no_store(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("store", "raw", bytes_of_text("x"));
    struct store *s;
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_SHARE, &s, NULL), 0);
    tool_group(cmd_gc, "gc");
    assert_int_not_equal(tool.status, 0);
    assert_true(tool.err.size > 0);
    store_close(s);
    assert_true(tool_holds("store", cid.text));
    tool_run(cmd_gc, "gc", "--store", in_scratch("absent"), NULL);
    tool_expect(2, "", "no store at");
    assert_false(files_exists(files_posix(), in_scratch("absent")));
}

static void test_gc_says_that_pinned_blocks_are_missing(void **state)
{
    (void)state;
    char text[2 * CID_TEXT_MAX];
    struct said_cid leaf = tool_put("store", "raw", bytes_of_text("leaf"));
    snprintf(text, sizeof text, "[{\"/\":\"%s\"}]", leaf.text);
    struct said_cid root = tool_put("store", "dag-json", bytes_of_text(text));
    tool_group(cmd_pin, "pin", "add", root.text);
    assert_int_equal(unlink(tool_block_path("store", leaf.text)), 0);
    tool_group(cmd_gc, "gc");
    tool_expect(0, "kept 1", "1 block that pins reach is not here");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gc_keeps_what_pins_reach_and_removes_the_rest),
        TEST(test_gc_refuses_a_studys_folder_by_either_name),
        TEST(test_gc_waits_for_nobody_and_makes_no_store),
        TEST(test_gc_says_that_pinned_blocks_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
