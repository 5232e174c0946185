/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/tool.h"

#include <sys/stat.h>

static void write_plan(const char *name, const char *trainer, unsigned minimum)
{
    char text[1024];
    snprintf(text, sizeof text,
             "[study]\n"
             "name = \"test\"\n"
             "[model]\n"
             "architecture = \"logistic\"\n"
             "features = 2\n"
             "classes = 2\n"
             "[data]\n"
             "target = \"label\"\n"
             "[rounds]\n"
             "schedule = [\"fedavg 3\"]\n"
             "minimum = %u\n"
             "[training]\n"
             "trainer = \"%s\"\n",
             minimum, trainer);
    write_file(in_scratch(name), bytes_of_text(text));
}

static int make_files(void **state)
{
    static const char csv[] = "a,b,label\n1,2,0\n2,1,1\n3,1,1\n1,4,0\n";
    int rc = tool_setup(state);
    if (rc != 0)
        return rc;
    write_plan("native.toml", "native", 2);
    write_plan("null.toml", "null", 2);
    write_plan("other.toml", "null", 1);
    write_plan("many.toml", "null", 9);
    write_plan("program.toml", "program", 2);
    if (mkdir(in_scratch("data"), 0700) != 0)
        return -1;
    if (mkdir(in_scratch("empty"), 0700) != 0)
        return -1;
    write_file(in_scratch("data/b.csv"), bytes_of_text(csv));
    write_file(in_scratch("data/a.csv"), bytes_of_text(csv));
    write_file(in_scratch("data/notes.txt"), bytes_of_text("not data"));
    return 0;
}

static void test_what_cannot_be_is_said_before_anything_is_made(void **state)
{
    static const struct {
        const char *plan, *option, *value, *sentence;
    } bad[] = {
        {"native.toml", "--clients", "2", "needs --data DIR"},  /* nothing to train on */
        {"null.toml", NULL, NULL, "give --data DIR, or --cli"}, /* how many? */
        {"many.toml", "--clients", "8", "9 sites"},             /* no round would ever open */
        {"null.toml", "--clients", "2001", "2000"},             /* more than one process takes */
        {"program.toml", "--clients", "2", "names for itself"}, /* no site here could */
        {"absent.toml", "--clients", "2", "absent.toml"},
        {"native.toml", "--data", "absent", "absent"},
        {"native.toml", "--data", "empty", "no file *.csv"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char value[256] = "";
        if (bad[i].value != NULL)
            snprintf(value, sizeof value, "%s",
                     strcmp(bad[i].option, "--data") == 0 ? in_scratch(bad[i].value)
                                                          : bad[i].value);
        tool_run(cmd_simulate, "simulate", in_scratch(bad[i].plan), "--out", in_scratch("out"),
                 bad[i].option, value, NULL);
        tool_expect(2, "", bad[i].sentence);
        assert_false(files_exists(files_posix(), in_scratch("out/study")));
    }
    tool_run(cmd_simulate, "simulate", in_scratch("null.toml"), "--clients", "2", NULL);
    tool_expect(2, "", "--out DIR");
    tool_run(cmd_simulate, "simulate", in_scratch("native.toml"), "--out", in_scratch("out"),
             "--data", in_scratch("data"), "--clients", "3", NULL);
    tool_expect(2, "", "3 clients, and 2 data files");
}

static void test_a_study_is_run_verified_and_not_mixed_up_with_another(void **state)
{
    (void)state;
    tool_run(cmd_simulate, "simulate", in_scratch("native.toml"), "--out", in_scratch("out"),
             "--data", in_scratch("data"), NULL);
    tool_expect(0, "\n3/3 ", "");
    tool_expect(0, "finished: 3 rounds", "");
    tool_expect(0, "s a round\n", "");
    tool_run(cmd_verify, "verify", in_scratch("out/study"), NULL);
    tool_expect(0, "verified 3 rounds", "");
    struct buf config = read_file(in_scratch("out/sites/client-0001/config.toml"));
    assert_non_null(strstr(buf_text(&config), "data/a.csv")); /* in name order */
    buf_fini(&config);

    tool_run(cmd_simulate, "simulate", in_scratch("native.toml"), "--out", in_scratch("out"),
             "--data", in_scratch("data"), NULL);
    tool_expect(0, "0 rounds in ", "");
    tool_run(cmd_simulate, "simulate", in_scratch("null.toml"), "--out", in_scratch("out"),
             "--clients", "2", NULL);
    tool_expect(2, "", "another plan");
    assert_int_equal(rename(in_scratch("data/b.csv"), in_scratch("data/c.csv")), 0);
    tool_run(cmd_simulate, "simulate", in_scratch("native.toml"), "--out", in_scratch("out"),
             "--data", in_scratch("data"), NULL);
    tool_expect(2, "", "data/b.csv; give another --out");
}

static void test_json_is_all_that_is_said_to_scripts(void **state)
{
    (void)state;
    tool_run(cmd_simulate, "simulate", in_scratch("other.toml"), "--out", in_scratch("out"),
             "--clients", "4", "--json", NULL);
    assert_int_equal(tool.status, 0);
    json_t *said = tool_json();
    assert_true(json_is_true(json_object_get(said, "finished")));
    assert_int_equal(json_integer_value(json_object_get(said, "clients")), 4);
    assert_int_equal(json_integer_value(json_object_get(said, "rounds_run")), 3);
    tool_run(cmd_verify, "verify", in_scratch("out/study"), "--study",
             json_string_value(json_object_get(said, "study")), NULL);
    tool_expect(0, json_string_value(json_object_get(said, "model")), "");
    json_decref(said);
    tool_run(cmd_simulate, "simulate", in_scratch("other.toml"), "--out", in_scratch("out"),
             "--clients", "3", NULL);
    tool_expect(2, "", "has 4 clients already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_cannot_be_is_said_before_anything_is_made,
                                        make_files, tool_teardown),
        cmocka_unit_test_setup_teardown(test_a_study_is_run_verified_and_not_mixed_up_with_another,
                                        make_files, tool_teardown),
        cmocka_unit_test_setup_teardown(test_json_is_all_that_is_said_to_scripts, make_files,
                                        tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
