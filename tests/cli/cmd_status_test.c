/* SPDX-License-Identifier: Apache-2.0 */
/* `status` and `log`, on folders as the programs leave them. */
#include "tests/cli/tool.h"

#include <sys/wait.h>
#include <time.h>

static void write_status(const char *phase, bool running, long pid, long age, const char *more)
{
    struct buf text = buf_new(8192);
    buf_append_format(&text,
                      "{\"program\":\"coordinator\",\"pid\":%ld,\"running\":%s,\"updated\":%ld,"
                      "\"name\":\"heart\",\"round\":3,\"rounds\":22,\"rule\":\"fedavg\","
                      "\"phase\":\"%s\",\"waits_for\":\"updates of 2 sites\",\"whom\":[\"a\",\"b\"]"
                      ",\"seconds_left\":75,\"advice\":\"ask them\",\"model\":null,\"head\":null,"
                      "\"failure\":\"\"%s}",
                      pid, running ? "true" : "false", (long)time(NULL) - age, phase, more);
    write_file(in_scratch("status.json"), buf_bytes(&text));
    buf_fini(&text);
}

/* The number of a process that is no more. */
static long dead_pid(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_true(child > 0 && waitpid(child, NULL, 0) == child);
    return child;
}

static void test_the_exit_status_says_whether_it_runs_or_has_finished(void **state)
{
    (void)state;
    const struct {
        const char *phase;
        bool running;
        long pid, age;
        int status;
        const char *line;
    } rows[] = {
        {"collect", true, getpid(), 0, 0, "coordinator of heart is running (process "},
        {"collect", false, getpid(), 0, 1, "coordinator of heart is not running\n"},
        {"collect", true, dead_pid(), 0, 1, "coordinator of heart is not running\n"},
        {"collect", true, 0, 0, 1, "coordinator of heart is not running\n"},
        {"collect", true, getpid(), 60, 1, "coordinator of heart is not responding (process "},
        {"finished", false, dead_pid(), 60, 0, "coordinator of heart has finished\n"},
        {"finished", true, getpid(), 0, 0, "coordinator of heart is running (process "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_status(rows[i].phase, rows[i].running, rows[i].pid, rows[i].age, "");
        tool_run(cmd_status, "status", scratch, NULL);
        tool_expect(rows[i].status, rows[i].line, "");
        tool_run(cmd_status, "status", scratch, "--json", NULL);
        assert_int_equal(tool.status, rows[i].status);
        json_t *as_it_is = tool_json();
        assert_int_equal(json_integer_value(json_object_get(as_it_is, "pid")), rows[i].pid);
        json_decref(as_it_is);
    }
}

static void test_a_person_reads_what_it_waits_for_whom_and_until_when(void **state)
{
    (void)state;
    write_status("collect", true, getpid(), 0,
                 ",\"sites\":[{\"name\":\"a\",\"online\":true,\"state\":\"pending\","
                 "\"seen_seconds_ago\":1},{\"name\":\"b\",\"online\":false,\"state\":\"pending\","
                 "\"seen_seconds_ago\":90}],\"progress\":{\"what\":\"x\",\"sentence\":\"x: 3 of "
                 "4 MiB\"}");
    tool_run(cmd_status, "status", scratch, NULL);
    static const char *const lines[] = {
        "round    3 of 22 (fedavg), collect\n",
        "waits    updates of 2 sites: a, b\n",
        "progress x: 3 of 4 MiB\n",
        "until    1 min 15 s from now\n",
        "advice   ask them\n",
        "  a: online, pending\n",
        "  b: offline, pending\n    last seen 1 min 30 s ago\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        tool_expect(0, lines[i], "");
    assert_null(strstr(tool_out(), "failure"));
    assert_null(strstr(tool_out(), "model"));
    write_status("collect", true, getpid(), 0, ",\"progress\":null");
    tool_run(cmd_status, "status", scratch, NULL);
    assert_int_equal(tool.status, 0);
    assert_null(strstr(tool_out(), "progress"));
}

static void test_a_status_that_is_none_is_a_no(void **state)
{
    (void)state;
    tool_run(cmd_status, "status", scratch, NULL);
    tool_expect(1, "", "no program has run here yet");
    static const char *const bad[] = {"", "[]", "{\"a\":", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(in_scratch("status.json"), bytes_of_text(bad[i]));
        tool_run(cmd_status, "status", scratch, NULL);
        tool_expect(1, "", "status.json: not a status");
    }
    write_file(in_scratch("status.json"), bytes_of_text("{\"name\":\"\\u001b[2J\"}"));
    tool_run(cmd_status, "status", scratch, NULL);
    tool_expect(1, "? of \\x1b[2J is not running\n", "");
}

/* --- log --- */

static void test_a_log_is_read_line_by_line_and_a_torn_end_waits(void **state)
{
    (void)state;
    write_file(in_scratch("log.jsonl"),
               bytes_of_text("{\"event\":\"connected\",\"time\":0}\n"
                             "not json\n"
                             "{\"event\":\"failed\",\"time\":1,\"sentence\":\"\\u001b[2J\"}\n"
                             "{\"event\":\"stop"));
    tool_run(cmd_log, "log", scratch, NULL);
    assert_int_equal(tool.status, 0);
    assert_string_equal(tool_out(), "1970-01-01 00:00:00Z  connected to the coordinator\n"
                                    "1970-01-01 00:00:01Z  stopped for good: \\x1b[2J\n");
    assert_string_equal(tool_err(), "colmeia log: line 2 is not an event\n");
    tool_run(cmd_log, "log", scratch, "--json", NULL);
    assert_string_equal(tool_out(), "{\"event\":\"connected\",\"time\":0}\n"
                                    "{\"event\":\"failed\",\"time\":1,\"sentence\":\"\\u001B[2J\"}"
                                    "\n");
}

static void test_no_log_is_a_no(void **state)
{
    (void)state;
    tool_run(cmd_log, "log", scratch, NULL);
    tool_expect(1, "", "log.jsonl: there is no log yet");
}

/* Follows in a child process that this one ends once it has said what came later. */
static void test_follow_tells_what_comes_later(void **state)
{
    (void)state;
    char first[] = "{\"event\":\"connected\",\"time\":0}\n{\"event\":\"sto";
    char rest[] = "pped\",\"time\":0}\n";
    struct err err;
    write_file(in_scratch("log.jsonl"), bytes_of_text(first));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {(char *)"log", (char *)"-f", scratch, NULL};
        if (freopen(in_scratch("said"), "w", stdout) == NULL)
            _exit(9);
        _exit(cmd_log(3, argv));
    }
    assert_true(child > 0);
    struct buf said = buf_new(4096);
    bool added = false;
    for (int i = 0; i < 6000 && strstr(buf_text(&said), "stopped") == NULL; i++) {
        const struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        buf_clear(&said);
        if (files_load(files_posix(), in_scratch("said"), &said, &err) != 0)
            continue;
        if (!added && said.size > 0) {
            FILE *log = fopen(in_scratch("log.jsonl"), "a");
            assert_non_null(log);
            fputs(rest, log);
            fclose(log);
            added = true;
        }
    }
    kill(child, SIGTERM);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_string_equal(buf_text(&said), "1970-01-01 00:00:00Z  connected to the coordinator\n"
                                         "1970-01-01 00:00:00Z  stopped\n");
    buf_fini(&said);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_exit_status_says_whether_it_runs_or_has_finished),
        TEST(test_a_person_reads_what_it_waits_for_whom_and_until_when),
        TEST(test_a_status_that_is_none_is_a_no),
        TEST(test_a_log_is_read_line_by_line_and_a_torn_end_waits),
        TEST(test_no_log_is_a_no),
        TEST(test_follow_tells_what_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
