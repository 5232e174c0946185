/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command -- a program as a table of subcommands: `PROGRAM NAME ARGUMENT...`, with --help and
 * --version, and one way to say what went wrong.
 */
#ifndef COLMEIA_BASE_COMMAND_H
#define COLMEIA_BASE_COMMAND_H

#include <stddef.h>

#include "base/err.h"

/* Exit statuses besides 0, "yes" or "done". */
#define COMMAND_NO          1
#define COMMAND_USAGE       2
#define COMMAND_ENVIRONMENT 3

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit status */
    const char *arguments, *does;      /* for --help */
};

struct command_table {
    const char *program;
    const struct command *commands;
    size_t count;
};

/* What main returns: starts libsodium and runs the command named by argv[1]. */
int command_main(const struct command_table *t, int argc, char **argv);

/* `PROGRAM: sentence` on stderr. Returns the exit status for `rc`. */
int command_fail(const struct command_table *t, int rc, const struct err *err);
/* `PROGRAM: COMMAND: why; see ...` on stderr. Returns COMMAND_USAGE. */
int command_misused(const struct command_table *t, const char *command, const char *why);

#endif
