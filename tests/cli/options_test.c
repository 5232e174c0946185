/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "tests/cli/tool.h"

static struct {
    bool flag;
    const char *text;
    uint64_t number;
    double real;
    struct cid cid;
    struct options_list list;
    char *given[4];
    size_t count;
} seen;

/* A command with one option of each kind and one or two operands. */
static int command(int argc, char **argv)
{
    const struct options_row rows[] = {
        {.name = "flag", .letter = 'f', .flag = &seen.flag, .help = "a flag"},
        {.name = "text", .letter = 't', .argument = "TEXT", .text = &seen.text, .help = "a text"},
        {.name = "number", .argument = "N", .number = &seen.number, .most = 10, .help = "a number"},
        {.name = "real", .argument = "X", .real = &seen.real, .help = "any number"},
        {.name = "cid", .argument = "CID", .cid = &seen.cid, .help = "a CID"},
        {.name = "list", .argument = "ITEM", .list = &seen.list, .help = "again and again"},
    };
    struct options o = {.command = "colmeia test",
                        .operands = "ONE [TWO]",
                        .about =
                            "What it does, in more words than a line of a terminal has room for, "
                            "so that it must be told in several.\nA line of its own.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 2};
    int status;
    memset(&seen, 0, sizeof seen);
    if (!options_parse(&o, argc, argv, &status))
        return status;
    seen.count = o.count;
    memcpy(seen.given, o.given, o.count * sizeof *o.given);
    return 0;
}

static void test_options_and_operands_come_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(tool_run(command, "test", "one", "--list", "a", "-f", "--number=7", "-tx",
                              "--list=b", "two", "--cid", "bafkqaaa", "--real", "-2.5e-3", NULL),
                     0);
    assert_true(seen.flag);
    assert_string_equal(seen.text, "x");
    assert_int_equal(seen.number, 7);
    assert_true(seen.real == -0.0025);
    assert_false(cid_is_none(&seen.cid));
    assert_int_equal(seen.list.count, 2);
    assert_string_equal(seen.list.items[1], "b");
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.given[0], "one");
    assert_string_equal(seen.given[1], "two");
    assert_int_equal(tool_run(command, "test", "--", "-f", NULL), 0);
    assert_false(seen.flag);
    assert_string_equal(seen.given[0], "-f");
}

static void test_help_goes_to_stdout_and_names_every_option(void **state)
{
    (void)state;
    assert_int_equal(tool_run(command, "test", "--help", NULL), 0);
    tool_expect(0, "usage: colmeia test [OPTION]... ONE [TWO]\n", "");
    tool_expect(0, "  -t, --text TEXT", "");
    tool_expect(0, "      --list ITEM", "");
    tool_expect(
        0,
        "\n\nWhat it does, in more words than a line of a terminal has room for, so that it "
        "must be told in\nseveral.\nA line of its own.\n\n  -f",
        "");
    assert_int_equal(tool.err.size, 0);
    assert_int_equal(tool_run(command, "test", "one", "-h", NULL), 0);
}

static void test_a_wrong_call_is_told_on_stderr_with_the_word_that_is_wrong(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        {"--nope", "one", NULL, "there is no option --nope"},
        {"-x", "one", NULL, "there is no option -x"},
        {"--flag=1", "one", NULL, "option --flag takes no argument but true or false"},
        {"one", "--text", NULL, "option --text needs an argument"},
        {"one", "-t", NULL, "option -t needs an argument"},
        {"one", "--number", "11", "--number: \"11\" is not a number from 0 to 10"},
        {"one", "--number", "-1", "--number: \"-1\""},
        {"one", "--real", "1,5", "--real: \"1,5\""},
        {"one", "--real", "inf", "--real: \"inf\""},
        {"one", "--cid", "bafy", "--cid: "},
        {"-f", NULL, NULL, "an argument is missing: colmeia test [OPTION]... ONE [TWO]"},
        {"one", "two", "three", "too many arguments, from \"three\" on"},
        {"one", "two", "\x1b[2J", "from \"\\x1b[2J\" on"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tool_run(command, "test", rows[i][0], rows[i][1], rows[i][2], NULL);
        tool_expect(2, "", rows[i][3]);
        tool_expect(2, "", "colmeia test --help tells what it takes");
        assert_int_equal(tool.out.size, 0);
    }
}

static void test_a_studys_folder_has_its_store_in_shared(void **state)
{
    (void)state;
    char path[FILES_PATH_MAX];
    struct err err;
    assert_int_equal(options_store(scratch, path, &err), 0);
    assert_string_equal(path, scratch);
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("shared"), &err), 0);
    assert_int_equal(options_store(scratch, path, &err), 0);
    assert_string_equal(path, in_scratch("shared"));
}

static void test_a_flag_may_say_true_or_false(void **state)
{
    (void)state;
    assert_int_equal(tool_run(command, "test", "one", "--flag=true", NULL), 0);
    assert_true(seen.flag);
    assert_int_equal(tool_run(command, "test", "one", "-f", "--flag=false", NULL), 0);
    assert_false(seen.flag);
    tool_run(command, "test", "one", "--fl=maybe", NULL);
    tool_expect(2, "", "option --flag takes no argument but true or false");
    tool_run(command, "test", "one", "--nope=1", NULL);
    tool_expect(2, "", "there is no option --nope\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_options_and_operands_come_in_any_order),
        TEST(test_help_goes_to_stdout_and_names_every_option),
        TEST(test_a_wrong_call_is_told_on_stderr_with_the_word_that_is_wrong),
        TEST(test_a_studys_folder_has_its_store_in_shared),
        TEST(test_a_flag_may_say_true_or_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
