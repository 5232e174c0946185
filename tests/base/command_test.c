/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/command.h"

static int seen_argc;
static char *seen_argument;

static int act(int argc, char **argv)
{
    seen_argc = argc;
    seen_argument = argc > 1 ? argv[1] : NULL;
    return 7;
}

static const struct command commands[] = {{"act", act, "THING", "does it"},
                                          {"acting", NULL, "", "is never run"}};
static const struct command_table table = {"colmeia-test", commands, 2};

static int run(char *first, char *second)
{
    char *argv[] = {"colmeia-test", first, second, NULL};
    return command_main(&table, first == NULL ? 1 : second == NULL ? 2 : 3, argv);
}

static void test_the_command_named_is_run_with_its_arguments(void **state)
{
    (void)state;
    assert_int_equal(run("act", "thing"), 7);
    assert_int_equal(seen_argc, 2);
    assert_string_equal(seen_argument, "thing");
}

static void test_what_is_no_command_is_usage(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, NULL), COMMAND_USAGE);
    assert_int_equal(run("ac", NULL), COMMAND_USAGE);
    assert_int_equal(run("--nonsense", NULL), COMMAND_USAGE);
}

static void test_help_and_version_are_answers(void **state)
{
    (void)state;
    assert_int_equal(run("--help", NULL), 0);
    assert_int_equal(run("--version", NULL), 0);
}

static void test_every_failure_has_an_exit_status(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_IO, "said on stderr");
    assert_int_equal(command_fail(&table, ERR_IO, &err), COMMAND_ENVIRONMENT);
    assert_int_equal(command_fail(&table, ERR_EXISTS, &err), COMMAND_NO);
    assert_int_equal(command_fail(&table, ERR_USAGE, &err), COMMAND_USAGE);
    assert_int_equal(command_misused(&table, "act", "give one thing"), COMMAND_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_command_named_is_run_with_its_arguments),
        cmocka_unit_test(test_what_is_no_command_is_usage),
        cmocka_unit_test(test_help_and_version_are_answers),
        cmocka_unit_test(test_every_failure_has_an_exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
