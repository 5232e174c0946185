/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group -- a command that is a table of commands: `colmeia pin add`, `colmeia model new`.
 */
#ifndef COLMEIA_CLI_GROUP_H
#define COLMEIA_CLI_GROUP_H

#include <stddef.h>

struct group_row {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is `name` */
    const char *about;
};

/* Runs the row that argv[1] names, or says what there is; `group` is "colmeia pin". Returns the
 * exit status. */
int group_run(const char *group, const struct group_row *rows, size_t count, int argc, char **argv);

#endif
