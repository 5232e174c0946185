/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool -- a subcommand called as main would call it, with what it says caught in files of the
 * test's folder.
 */
#ifndef COLMEIA_TESTS_CLI_TOOL_H
#define COLMEIA_TESTS_CLI_TOOL_H

#include "tests/scratch.h"

#include <fcntl.h>
#include <jansson.h>

#include "base/key.h"
#include "cli/cmd.h"
#include "model/gemm.h"

#define TOOL_ARGUMENTS_MAX 32

struct tool {
    int status;
    struct buf out, err; /* fini'd by the next call and by tool_teardown */
};

static struct tool tool;

UNUSED static void tool_forget(void)
{
    buf_fini(&tool.out);
    buf_fini(&tool.err);
}

UNUSED static int tool_setup(void **state)
{
    struct err err;
    gemm_setup();
    return key_setup(&err) != 0 ? -1 : scratch_setup(state);
}

UNUSED static int tool_teardown(void **state)
{
    tool_forget();
    return scratch_teardown(state);
}

UNUSED static int catch (int stream, const char *name)
{
    int kept = dup(stream);
    int file = open(in_scratch(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && file >= 0);
    assert_true(dup2(file, stream) >= 0);
    close(file);
    return kept;
}

UNUSED static void release(int stream, int kept)
{
    assert_true(dup2(kept, stream) >= 0);
    close(kept);
}

/* Runs the command with the arguments behind it, the last being NULL; returns its exit status. They
 * are copied, since in_scratch forgets; four of them may come from there. */
UNUSED static int tool_run(int (*command)(int argc, char **argv), const char *name, ...)
{
    static char copies[TOOL_ARGUMENTS_MAX][512];
    char *argv[TOOL_ARGUMENTS_MAX + 1] = {(char *)name};
    int argc = 1;
    va_list arguments;
    va_start(arguments, name);
    for (char *next; (next = va_arg(arguments, char *)) != NULL;) {
        assert_true(argc < TOOL_ARGUMENTS_MAX && strlen(next) < sizeof copies[0]);
        argv[argc] = strcpy(copies[argc], next);
        argc++;
    }
    va_end(arguments);
    tool_forget();
    fflush(stdout);
    int out = catch (STDOUT_FILENO, "stdout"), err = catch (STDERR_FILENO, "stderr");
    tool.status = command(argc, argv);
    fflush(stdout);
    release(STDOUT_FILENO, out);
    release(STDERR_FILENO, err);
    tool.out = read_file(in_scratch("stdout"));
    tool.err = read_file(in_scratch("stderr"));
    return tool.status;
}

UNUSED static const char *tool_out(void)
{
    return buf_text(&tool.out);
}

UNUSED static const char *tool_err(void)
{
    return buf_text(&tool.err);
}

/* The one line of JSON on stdout; the caller's to json_decref. */
UNUSED static json_t *tool_json(void)
{
    json_error_t why;
    json_t *object = json_loads(tool_out(), 0, &why);
    if (object == NULL)
        fail_msg("not JSON: %s: %s", why.text, tool_out());
    assert_int_equal(tool.out.data[tool.out.size - 1], '\n');
    return object;
}

UNUSED static void tool_expect(int status, const char *in_out, const char *in_err)
{
    if (tool.status != status || strstr(tool_out(), in_out) == NULL ||
        strstr(tool_err(), in_err) == NULL)
        fail_msg("expected exit %d, \"%s\" and \"%s\", got exit %d\n%s%s", status, in_out, in_err,
                 tool.status, tool_out(), tool_err());
}

#endif
