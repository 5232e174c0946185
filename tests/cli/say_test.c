/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/say.h"

#include <sys/wait.h>

#include "base/text.h"
#include "cli/descriptors.h"
#include "tests/cli/tool.h"

static void test_a_long_path_is_quoted_without_its_middle(void **state)
{
    (void)state;
    char out[SAY_SHORT], path[4000];
    assert_string_equal(say_short("a/b", out), "a/b");
    for (size_t size = SAY_SHORT - 3; size < sizeof path; size++) {
        memset(path, 'x', size);
        memcpy(path, "begin", 5);
        memcpy(path + size - 3, "end", 3);
        path[size] = '\0';
        say_short(path, out);
        size_t got = strlen(out);
        assert_true(got < SAY_SHORT && strncmp(out, "begin", 5) == 0);
        assert_string_equal(out + got - 3, "end");
        assert_int_equal(strstr(out, "[...]") != NULL, size >= SAY_SHORT);
    }
}

static void test_a_character_is_not_cut_in_two(void **state)
{
    (void)state;
    char out[SAY_SHORT], path[1000];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(path, 'x', shift);
        for (size_t at = shift; at + 3 < sizeof path; at += 3)
            memcpy(path + at, "\xe2\x82\xac", 4);
        say_short(path, out);
        assert_true(text_is_utf8(bytes_of_text(out)));
        assert_non_null(strstr(out, "[...]"));
    }
}

static void test_a_long_path_leaves_room_for_the_reason(void **state)
{
    (void)state;
    char path[480];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    tool_run(cmd_car, "car", "import", "--store", in_scratch("store"), path, NULL);
    tool_expect(3, "", "[...]");
    tool_expect(3, "", "File name too long");
    tool_run(cmd_add, "add", "-n", path, NULL);
    tool_expect(3, "", "[...]");
    tool_expect(3, "", "File name too long");
    tool_run(cmd_get, "get", "bafkqaaa", "-o", path, NULL);
    tool_expect(3, "", "[...]");
    tool_expect(3, "", "File name too long");
}

/* Each in a process of its own, which says what it found by its exit status. */
static void test_closed_standard_streams_are_taken_but_stay_unusable(void **state)
{
    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char byte = 'x';
            close(fd);
            descriptors_fill();
            int next = open("/dev/null", O_RDONLY);
            ssize_t n = fd == STDIN_FILENO ? read(fd, &byte, 1) : write(fd, &byte, 1);
            _exit(next > STDERR_FILENO && n < 0 ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_long_path_is_quoted_without_its_middle),
        TEST(test_a_character_is_not_cut_in_two),
        TEST(test_a_long_path_leaves_room_for_the_reason),
        TEST(test_closed_standard_streams_are_taken_but_stay_unusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
