/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <sys/wait.h>

#include "base/fault.h"

/* The environment is read once a process, so every case runs in a child. Its exit status says what
 * the third pass of the point "here" returned; stderr goes to a file. */
static int status_with(const char *faults, const char *stderr_path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int code = 0;
        if (freopen(stderr_path, "w", stderr) == NULL || setenv("COLMEIA_FAULT", faults, 1) != 0)
            _exit(99);
        for (int i = 0; i < 3; i++) {
            FAULT_POINT("there");
            code = FAULT_FAIL("here", NULL);
        }
        exit(-code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        int stopped = status;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        return stopped;
    }
    return status;
}

static void test_a_point_acts_at_the_pass_it_was_told_to(void **state)
{
    (void)state;
    static const struct {
        const char *faults;
        int exit, signal, stop;
        const char *why;
    } rows[] = {
        {"", 0, 0, 0, "nothing asked"},
        {"here:3=fail", -ERR_IO, 0, 0, "the third pass fails"},
        {"here:2=fail", 0, 0, 0, "the second failed, the third does not"},
        {"here=fail", 0, 0, 0, "the first is the default"},
        {"here=kill", 0, SIGKILL, 0, "a kill"},
        {"there:3=kill", 0, SIGKILL, 0, "a point that cannot fail"},
        {"here:4=kill", 0, 0, 0, "there is no fourth pass"},
        {"here:2=stop", 0, 0, SIGSTOP, "a stop"},
        {"there:1=fail,here:3=fail", -ERR_IO, 0, 0, "two, of which one cannot fail"},
        {"elsewhere=kill", 0, 0, 0, "another point"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int status = status_with(rows[i].faults, in_scratch("stderr"));
        int exit = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        int stop = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
        if (exit != rows[i].exit || signal != rows[i].signal || stop != rows[i].stop)
            fail_msg("%s (%s): exit %d, signal %d, stop %d", rows[i].faults, rows[i].why, exit,
                     signal, stop);
    }
}

static void test_a_point_that_never_acted_is_reported(void **state)
{
    (void)state;
    struct buf said;
    assert_int_equal(status_with("mispelt=kill,here:3=fail", in_scratch("stderr")), -ERR_IO << 8);
    said = read_file(in_scratch("stderr"));
    assert_string_equal(buf_text(&said), "fault: point mispelt was passed 0 times, not 1\n");
    buf_fini(&said);
}

static void test_an_order_that_cannot_be_read_ends_the_process(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "here",        /* no action */
        "here=burn",   /* an unknown action */
        "here:0=kill", /* passes count from 1 */
        "here:x=kill", /* not a number */
        "here:1x=kill" /* something behind it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (status_with(rows[i], in_scratch("stderr")) != 2 << 8)
            fail_msg("%s", rows[i]);
}

static void test_a_failure_says_which_point(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct err err = {0};
        setenv("COLMEIA_FAULT", "here=fail", 1);
        int rc = FAULT_FAIL("here", &err);
        _exit(rc == ERR_IO && strcmp(err.text, "fault here") == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_point_acts_at_the_pass_it_was_told_to),
        TEST(test_a_point_that_never_acted_is_reported),
        TEST(test_an_order_that_cannot_be_read_ends_the_process),
        TEST(test_a_failure_says_which_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
