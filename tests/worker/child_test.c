/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "worker/child.h"

#define LONG_MS 20000 /* never waited for, unless something is wrong */

/* --- what the child says on its error output --- */

static struct buf notes;

static void keep_note(const char *note)
{
    buf_append_text(&notes, note);
    buf_append_byte(&notes, '\n');
}

static int setup(void **state)
{
    notes = buf_new(4u << 20);
    return scratch_setup(state);
}

static int teardown(void **state)
{
    buf_fini(&notes);
    return scratch_teardown(state);
}

/* --- children --- */

static struct child *start(const char *script)
{
    const char *const words[] = {"sh", "-c", script, NULL};
    const struct child_options options = {
        .words = words, .folder = scratch, .variable = "COLMEIA_SITE=a b", .say = keep_note};
    struct child *c = NULL;
    struct err err = {0};
    if (child_start(&options, &c, &err) != 0)
        fail_msg("%s", err.text);
    return c;
}

static void tell(struct child *c, const char *text)
{
    assert_int_equal(child_write(c, bytes_of_text(text), LONG_MS, NULL), 0);
}

static void expect(struct child *c, const char *text)
{
    struct bytes line;
    struct err err = {0};
    if (child_read(c, LONG_MS, &line, &err) != 0)
        fail_msg("no \"%s\": %s", text, err.text);
    if (!bytes_equal(line, bytes_of_text(text)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)line.size, (const char *)line.data, text);
}

/* A set of signals as the kernel writes it, but for 32 and 33: these are the C library's own, which
 * no program can set, and some parents hand them down ignored. */
static void expect_no_signals(struct child *c)
{
    struct bytes line;
    char text[32];
    assert_int_equal(child_read(c, LONG_MS, &line, NULL), 0);
    assert_int_equal(line.size, 16);
    snprintf(text, sizeof text, "%.16s", (const char *)line.data);
    assert_int_equal(strtoull(text, NULL, 16) & ~0x180000000ull, 0);
}

static void expect_end(struct child *c, int rc)
{
    struct bytes line;
    assert_int_equal(child_read(c, LONG_MS, &line, NULL), rc);
}

/* Its state as the kernel says it; 0: there is no such process. */
static char state_of(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    const char *name_end = fgets(text, sizeof text, f) == NULL ? NULL : strrchr(text, ')');
    fclose(f);
    return name_end == NULL ? '\0' : name_end[2];
}

static bool is_stopped(pid_t pid)
{
    return state_of(pid) == 'T';
}

/* A zombie is dead as well: its new parent may be slow. */
static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 1000; i++) {
        char at = state_of(pid);
        if (at == '\0' || at == 'Z')
            return true;
        usleep(10000);
    }
    return false;
}

/* The number that the child's next line is. */
static pid_t take_pid(struct child *c)
{
    struct bytes line;
    assert_int_equal(child_read(c, LONG_MS, &line, NULL), 0);
    char text[16] = "";
    assert_true(line.size < sizeof text);
    memcpy(text, line.data, line.size);
    return (pid_t)strtol(text, NULL, 10);
}

/* --- lines --- */

static void test_lines_go_there_and_back(void **state)
{
    (void)state;
    struct child *c = start("exec cat");
    tell(c, "one\n");
    expect(c, "one");
    tell(c, "two\n\nth");
    expect(c, "two");
    expect(c, "");
    tell(c, "ree\n");
    expect(c, "three");
    child_free(c);
}

static void test_a_last_line_may_lack_its_end(void **state)
{
    (void)state;
    struct child *c = start("printf 'one\\ntwo'");
    expect(c, "one");
    expect(c, "two");
    expect_end(c, ERR_NOTFOUND);
    expect_end(c, ERR_NOTFOUND);
    child_free(c);
}

static void test_the_longest_line_is_read_and_a_longer_one_is_not(void **state)
{
    (void)state;
    struct bytes line;
    struct child *c = start("head -c 65536 /dev/zero | tr '\\0' x; echo; echo short");
    assert_int_equal(child_read(c, LONG_MS, &line, NULL), 0);
    assert_int_equal(line.size, CHILD_LINE_MAX);
    expect(c, "short");
    child_free(c);
    c = start("head -c 65537 /dev/zero | tr '\\0' x; echo");
    expect_end(c, ERR_LIMIT);
    child_free(c);
}

static void test_silence_is_not_the_end(void **state)
{
    (void)state;
    struct bytes line;
    struct child *c = start("read x; echo \"$x\"; exec cat");
    assert_int_equal(child_read(c, 0, &line, NULL), ERR_TIMEOUT);
    assert_int_equal(child_read(c, 20, &line, NULL), ERR_TIMEOUT);
    tell(c, "hello\n");
    expect(c, "hello");
    child_free(c);
}

static void test_an_end_is_seen_though_something_holds_the_pipes(void **state)
{
    (void)state;
    struct child *c = start("sleep 60 & echo $!; exit 4");
    pid_t left = take_pid(c);
    expect_end(c, ERR_NOTFOUND);
    assert_true(child_has_ended(c));
    char words[CHILD_WORDS_MAX];
    assert_false(child_stop(c, 0, 0, words));
    assert_string_equal(words, "exit status 4");
    assert_true(is_gone(left));
    child_free(c);
}

static void test_whoever_does_not_read_is_not_waited_for(void **state)
{
    (void)state;
    static uint8_t much[1u << 20];
    struct child *c = start("exec sleep 60");
    assert_int_equal(child_write(c, bytes_of(much, sizeof much), 20, NULL), ERR_TIMEOUT);
    child_free(c);
}

static void test_a_closed_input_is_an_answer_and_no_signal(void **state)
{
    (void)state;
    sigset_t pending;
    signal(SIGPIPE, SIG_DFL);
    struct child *c = start("exec 0<&-; echo closed; exec sleep 60");
    expect(c, "closed");
    assert_int_equal(child_write(c, bytes_of_text("x\n"), LONG_MS, NULL), ERR_NOTFOUND);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    child_free(c);
}

/* Both directions full at once: we go on reading while we write. */
static void test_a_child_that_answers_while_it_is_told_blocks_nobody(void **state)
{
    (void)state;
    struct child *c = start("while read x; do echo \"$x\" >&2; done; echo over");
    for (int i = 0; i < 5000; i++)
        tell(c, "a line of some sixty bytes, a line of some sixty bytes, and end\n");
    assert_false(child_has_ended(c));
    child_free(c);
}

/* --- what it has of ours --- */

static void test_it_has_no_descriptor_of_ours(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(fd, 77), 77);              /* not close-on-exec */
    struct child *c = start("ls /proc/$$/fd; exit"); /* not the last, or ls is the shell itself */
    close(77);
    close(fd);
    expect(c, "0");
    expect(c, "1");
    expect(c, "2");
    expect_end(c, ERR_NOTFOUND);
    child_free(c);
}

static void test_it_runs_in_the_folder_with_the_variable(void **state)
{
    (void)state;
    char folder[4096];
    assert_non_null(realpath(scratch, folder));
    setenv("COLMEIA_SITE", "an older one", 1);
    struct child *c = start("pwd -P; echo \"$COLMEIA_SITE\"; env | grep -c COLMEIA_SITE");
    unsetenv("COLMEIA_SITE");
    expect(c, folder);
    expect(c, "a b");
    expect(c, "1");
    child_free(c);
}

static void test_it_starts_with_the_usual_signals(void **state)
{
    (void)state;
    sigset_t some, before;
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigprocmask(SIG_BLOCK, &some, &before);
    struct child *c = start("sed -n 's/^Sig\\(Blk\\|Ign\\):[[:space:]]*//p' /proc/self/status");
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR2, SIG_DFL);
    expect_no_signals(c);
    expect_no_signals(c);
    child_free(c);
}

static void test_it_is_the_head_of_a_group_of_its_own(void **state)
{
    (void)state;
    struct child *c = start("echo $$; exec cat");
    pid_t pid = take_pid(c);
    assert_int_equal(pid, child_pid(c));
    assert_int_equal(getpgid(pid), pid);
    assert_true(child_memory(c) > 0 && child_memory(c) < 64u << 20);
    child_free(c);
}

/* --- notes --- */

static void test_notes_are_escaped_and_the_last_one_is_kept(void **state)
{
    (void)state;
    struct child *c = start("printf '10%%\\r20%%\\rred \\033[31m\\n\\nlast' >&2");
    expect_end(c, ERR_NOTFOUND);
    (void)child_stop(c, LONG_MS, 0, NULL);
    assert_string_equal(buf_text(&notes), "\"10%\"\n\"20%\"\n\"red \\x1b[31m\"\n\"last\"\n");
    assert_string_equal(child_last_note(c), "\"last\"");
    child_free(c);
}

static void test_a_long_note_is_cut(void **state)
{
    (void)state;
    struct child *c = start("head -c 5000 /dev/zero | tr '\\0' x >&2; echo >&2; echo next >&2");
    expect_end(c, ERR_NOTFOUND);
    (void)child_stop(c, LONG_MS, 0, NULL);
    const char *text = buf_text(&notes);
    assert_int_equal(strspn(text + 1, "x"), CHILD_NOTE_MAX);
    assert_string_equal(text + 1 + CHILD_NOTE_MAX, "\"...\n\"next\"\n");
    child_free(c);
}

static void test_a_flood_of_notes_is_counted(void **state)
{
    (void)state;
    size_t lines = 0;
    struct child *c = start("i=0; while test $i -lt 1000; do echo $i >&2; i=$((i+1)); done");
    expect_end(c, ERR_NOTFOUND);
    (void)child_stop(c, LONG_MS, 0, NULL);
    for (size_t i = 0; i < notes.size; i++)
        lines += notes.data[i] == '\n';
    assert_int_equal(lines, CHILD_NOTES_A_MINUTE + 1);
    assert_non_null(strstr(buf_text(&notes), "(700 lines left out)\n"));
    assert_string_equal(child_last_note(c), "\"999\"");
    child_free(c);
}

/* --- ends --- */

static const struct {
    const char *script;
    uint64_t ask_ms, term_ms;
    bool willing;
    const char *words;
} ends[] = {
    {"exec cat", LONG_MS, LONG_MS, true, "exit status 0"}, /* ends with its input */
    {"exec sleep 60", 20, LONG_MS, false, "signal TERM"},
    {"trap 'exit 9' TERM; echo; while :; do sleep 0.05; done", 20, LONG_MS, false, "exit status 9"},
    {"trap '' TERM; echo; sleep 60; sleep 60", 20, 20, false, "signal KILL"},
    {"kill -STOP $$", 20, 20, false, "signal KILL"}, /* cannot even be told */
    {"exit 3", LONG_MS, LONG_MS, false, "exit status 3"},
    {"kill -USR1 $$", LONG_MS, LONG_MS, false, "signal USR1"},
    {"exec cat", 0, LONG_MS, false, "signal TERM"}, /* not asked */
};

static void test_it_is_asked_then_told_then_killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char words[CHILD_WORDS_MAX];
        struct child *c = start(ends[i].script);
        struct bytes line;
        if (strstr(ends[i].script, "echo") != NULL) /* its trap is set */
            assert_int_equal(child_read(c, LONG_MS, &line, NULL), 0);
        pid_t pid = child_pid(c);
        while (strstr(ends[i].script, "STOP") != NULL && !is_stopped(pid))
            usleep(1000);
        bool willing = child_stop(c, ends[i].ask_ms, ends[i].term_ms, words);
        if (strcmp(words, ends[i].words) != 0 || willing != ends[i].willing)
            fail_msg("%s: %s", ends[i].script, words);
        assert_int_equal(kill(pid, 0), -1); /* buried */
        child_free(c);
    }
}

static void test_its_whole_group_ends(void **state)
{
    (void)state;
    struct child *c = start("trap '' TERM; (trap '' TERM; sleep 60) & echo $!; exec cat");
    pid_t left = take_pid(c);
    assert_true(child_stop(c, LONG_MS, 0, NULL));
    assert_true(is_gone(left));
    child_free(c);
}

static void test_one_that_must_write_before_it_ends_can(void **state)
{
    (void)state;
    struct child *c =
        start("cat >/dev/null; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2");
    assert_true(child_stop(c, LONG_MS, 0, NULL));
    child_free(c);
}

static void test_it_dies_with_us(void **state)
{
    (void)state;
    int ends_of[2];
    pid_t pid = 0;
    assert_int_equal(pipe(ends_of), 0);
    pid_t we = fork();
    if (we == 0) {
        const char *const words[] = {"sleep", "60", NULL};
        const struct child_options options = {
            .words = words, .folder = "/", .variable = "A=b", .say = keep_note};
        struct child *c = NULL;
        if (child_start(&options, &c, NULL) == 0)
            pid = child_pid(c);
        ssize_t written = write(ends_of[1], &pid, sizeof pid);
        (void)written;
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends_of[0], &pid, sizeof pid), sizeof pid);
    assert_true(pid > 1);
    assert_int_equal(kill(we, SIGKILL), 0);
    assert_int_equal(waitpid(we, NULL, 0), we);
    assert_true(is_gone(pid));
    close(ends_of[0]);
    close(ends_of[1]);
}

/* A program started without standard descriptors gets low ones for its pipes. */
static void test_closed_standard_descriptors_do_no_harm(void **state)
{
    (void)state;
    pid_t we = fork();
    if (we == 0) {
        const char *const words[] = {"cat", NULL};
        const struct child_options options = {
            .words = words, .folder = "/", .variable = "A=b", .say = keep_note};
        struct child *c = NULL;
        struct bytes line;
        close(0);
        close(1);
        close(2);
        bool well = child_start(&options, &c, NULL) == 0 &&
                    child_write(c, bytes_of_text("hello\n"), LONG_MS, NULL) == 0 &&
                    child_read(c, LONG_MS, &line, NULL) == 0 && line.size == 5;
        child_free(c);
        _exit(well ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(we, &status, 0), we);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- commands that cannot be --- */

static void test_a_command_that_cannot_run_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *word, *words;
    } rows[] = {
        {"no-such-command-here", "PATH"},
        {"./none", "No such file"},
        {"/nonexistent/none", "No such file"},
        {"./plain", "chmod"},
        {"./", "not an executable file"},
        {"./nothing", "#!"},
        {"", "PATH"},
        {"only-here", "PATH"}, /* a relative folder in PATH is not ours to interpret */
    };
    char path[1024];
    write_file(in_scratch("plain"), bytes_of_text("x"));
    write_file(in_scratch("nothing"), bytes_of_text("x"));
    write_file(in_scratch("only-here"), bytes_of_text("#!/bin/sh\n"));
    assert_int_equal(chmod(in_scratch("nothing"), 0700), 0);
    assert_int_equal(chmod(in_scratch("only-here"), 0700), 0);
    snprintf(path, sizeof path, "%s::.", getenv("PATH"));
    char *before = strdup(getenv("PATH"));
    setenv("PATH", path, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const words[] = {rows[i].word, NULL};
        const struct child_options options = {
            .words = words, .folder = scratch, .variable = "A=b", .say = keep_note};
        struct child *c = NULL;
        struct err err = {0};
        if (child_start(&options, &c, &err) != ERR_USAGE ||
            strstr(err.text, rows[i].words) == NULL || c != NULL)
            fail_msg("%s: %s", rows[i].word, err.text);
    }
    setenv("PATH", before, 1);
    free(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_go_there_and_back),
        TEST(test_a_last_line_may_lack_its_end),
        TEST(test_the_longest_line_is_read_and_a_longer_one_is_not),
        TEST(test_silence_is_not_the_end),
        TEST(test_an_end_is_seen_though_something_holds_the_pipes),
        TEST(test_whoever_does_not_read_is_not_waited_for),
        TEST(test_a_closed_input_is_an_answer_and_no_signal),
        TEST(test_a_child_that_answers_while_it_is_told_blocks_nobody),
        TEST(test_it_has_no_descriptor_of_ours),
        TEST(test_it_runs_in_the_folder_with_the_variable),
        TEST(test_it_starts_with_the_usual_signals),
        TEST(test_it_is_the_head_of_a_group_of_its_own),
        TEST(test_notes_are_escaped_and_the_last_one_is_kept),
        TEST(test_a_long_note_is_cut),
        TEST(test_a_flood_of_notes_is_counted),
        TEST(test_it_is_asked_then_told_then_killed),
        TEST(test_its_whole_group_ends),
        TEST(test_one_that_must_write_before_it_ends_can),
        TEST(test_it_dies_with_us),
        TEST(test_closed_standard_descriptors_do_no_harm),
        TEST(test_a_command_that_cannot_run_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
