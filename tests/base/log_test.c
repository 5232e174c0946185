/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <fcntl.h>
#include <regex.h>

#include "base/log.h"
#include "base/text.h"

/* Stderr becomes a pipe in packet mode: what one write put in, one read takes out. */
static int saved, out;

static void capture(void)
{
    int ends[2];
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_DIRECT | O_NONBLOCK), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    out = ends[0];
}

static void release(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(out);
}

/* The next write, or "" if there was none. */
static void take(char line[8192])
{
    ssize_t size = read(out, line, 8191);
    line[size < 0 ? 0 : size] = '\0';
}

static void test_a_line_is_level_time_event_and_pairs_in_one_write(void **state)
{
    (void)state;
    char lines[3][8192];
    regex_t form;
    capture();
    log_warn("update-refused", "site=%s round=%d", "hospital-b", 7);
    log_error("store-failed", "path=%s", "x");
    for (int i = 0; i < 3; i++)
        take(lines[i]);
    release();
    assert_int_equal(regcomp(&form,
                             "^warn 2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
                             "\\.[0-9]{3}Z update-refused site=hospital-b round=7\n$",
                             REG_EXTENDED),
                     0);
    assert_int_equal(regexec(&form, lines[0], 0, NULL, 0), 0);
    regfree(&form);
    assert_memory_equal(lines[1], "error 2", 7);
    assert_string_equal(lines[2], "");
}

static void test_the_level_decides_who_is_heard(void **state)
{
    (void)state;
    char line[8192];
    static const char *const words[] = {"error ", "warn ", "info ", "debug "};
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        log_set_level((enum log_level)level);
        capture();
        log_error("e", "x=1");
        log_warn("e", "x=1");
        log_info("e", "x=1");
        log_debug("e", "x=1");
        for (int i = 0; i < 4; i++) {
            take(line);
            assert_int_equal(strncmp(line, words[i], strlen(words[i])) == 0, i <= level);
        }
        release();
    }
    log_set_level(LOG_LEVEL_WARN);
}

static void test_the_environment_overrides_the_level(void **state)
{
    (void)state;
    char line[8192];
    setenv("COLMEIA_LOG", "debug", 1);
    log_set_level(LOG_LEVEL_ERROR);
    capture();
    log_debug("e", "x=1");
    take(line);
    release();
    unsetenv("COLMEIA_LOG");
    log_set_level(LOG_LEVEL_WARN);
    assert_memory_equal(line, "debug ", 6);
}

static void test_a_line_stays_one_line_however_long_or_dirty(void **state)
{
    (void)state;
    char line[8192], text[8000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[10] = '\n';
    text[11] = '\r';
    text[12] = '\033';
    capture();
    log_warn(text, "x=%s", text);
    take(line);
    release();
    size_t size = strlen(line);
    assert_true(size > 3000 && size <= 4096);
    assert_ptr_equal(strpbrk(line, "\n\r\033"), line + size - 1);
    assert_int_equal(line[size - 1], '\n');
}

static void test_escape_quotes_what_could_break_a_line_or_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out, *why;
    } rows[] = {
        {"", "\"\"", "nothing"},
        {"plain text", "\"plain text\"", "plain"},
        {"a\nb", "\"a\\x0ab\"", "a line end"},
        {"a\tb\033[2J", "\"a\\x09b\\x1b[2J\"", "a terminal's escape"},
        {"\x7f", "\"\\x7f\"", "delete"},
        {"say \"x\" \\", "\"say \\x22x\\x22 \\x5c\"", "quotes and the escape itself"},
        {"colm\xc3\xa9ia", "\"colm\xc3\xa9ia\"", "a letter with an accent stays"},
        {"\xf0\x9f\x90\x9d", "\"\xf0\x9f\x90\x9d\"", "a bee stays"},
        {"\xc2\x9b"
         "2J",
         "\"\\u{009b}2J\"", "the C1 form of escape ["},
        {"\xc2\x85", "\"\\u{0085}\"", "next line"},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\"\\u{2028}\\u{2029}\"", "line and paragraph separator"},
        {"\xe2\x80\xae", "\"\\u{202e}\"", "right-to-left override"},
        {"\xe2\x81\xa6\xe2\x81\xa9", "\"\\u{2066}\\u{2069}\"", "isolates"},
        {"\xe2\x80\x8b\xef\xbb\xbf", "\"\\u{200b}\\u{feff}\"", "invisible"},
        {"\xd8\x9c", "\"\\u{061c}\"", "Arabic letter mark"},
        {"\xff\xfe", "\"\\xff\\xfe\"", "no UTF-8"},
        {"\xc3", "\"\\xc3\"", "cut off"},
        {"\xc3(", "\"\\xc3(\"", "a lead byte without its second"},
        {"\xc0\x8a", "\"\\xc0\\x8a\"", "an overlong line end"},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "a surrogate"},
        {"\xf5\x80\x80\x80", "\"\\xf5\\x80\\x80\\x80\"", "above U+10FFFF"},
        {"\x9b", "\"\\x9b\"", "a bare C1 byte"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf got = buf_new(256);
        log_escape(&got, bytes_of_text(rows[i].in));
        if (strcmp(buf_text(&got), rows[i].out) != 0)
            fail_msg("%s: %s", rows[i].why, buf_text(&got));
        buf_fini(&got);
    }
}

static void test_escape_makes_valid_text_of_any_two_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        uint8_t in[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        struct buf got = buf_new(64);
        log_escape(&got, bytes_of(in, 2));
        assert_true(text_is_utf8(buf_bytes(&got)));
        for (size_t k = 0; k < got.size; k++)
            assert_true(got.data[k] >= 0x20 && got.data[k] != 0x7f);
        for (size_t k = 1; k + 1 < got.size; k++)
            assert_int_not_equal(got.data[k], '"');
        buf_fini(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_level_time_event_and_pairs_in_one_write),
        cmocka_unit_test(test_the_level_decides_who_is_heard),
        cmocka_unit_test(test_the_environment_overrides_the_level),
        cmocka_unit_test(test_a_line_stays_one_line_however_long_or_dirty),
        cmocka_unit_test(test_escape_quotes_what_could_break_a_line_or_a_terminal),
        cmocka_unit_test(test_escape_makes_valid_text_of_any_two_bytes),
    };
    unsetenv("COLMEIA_LOG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
