/* SPDX-License-Identifier: Apache-2.0 */
#include "base/command.h"

#include <stdio.h>
#include <string.h>

#include "base/key.h"

int command_fail(const struct command_table *t, int rc, const struct err *err)
{
    fprintf(stderr, "%s: %s\n", t->program, err->text);
    return rc == ERR_EXISTS ? COMMAND_NO : err_exit(rc);
}

int command_misused(const struct command_table *t, const char *command, const char *why)
{
    fprintf(stderr, "%s: %s: %s; see `%s %s --help`\n", t->program, command, why, t->program,
            command);
    return COMMAND_USAGE;
}

static int width(size_t longest, const char *text)
{
    size_t length = strlen(text);
    return (int)(length > longest ? length : longest);
}

static void print_help(const struct command_table *t, FILE *to)
{
    int names = 0, arguments = 0;
    for (size_t i = 0; i < t->count; i++) {
        names = width((size_t)names, t->commands[i].name);
        arguments = width((size_t)arguments, t->commands[i].arguments);
    }
    fprintf(to, "usage: %s COMMAND ...\n\n", t->program);
    for (size_t i = 0; i < t->count; i++)
        fprintf(to, "  %-*s  %-*s  %s\n", names, t->commands[i].name, arguments,
                t->commands[i].arguments, t->commands[i].does);
    fprintf(
        to,
        "\n`%s COMMAND --help` says more; --version prints the version.\n"
        "Exit: 0 done, 1 the answer is no, 2 usage or configuration, 3 the environment failed.\n",
        t->program);
}

int command_main(const struct command_table *t, int argc, char **argv)
{
    struct err err = {0};
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        printf("%s %s\n", t->program, VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(t, stdout);
        return 0;
    }
    int rc = key_setup(&err);
    if (rc != 0)
        return command_fail(t, rc, &err);
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(name, t->commands[i].name) == 0)
            return t->commands[i].run(argc - 1, argv + 1);
    if (name[0] != '\0')
        fprintf(stderr, "%s: there is no command \"%s\"\n", t->program, name);
    print_help(t, stderr);
    return COMMAND_USAGE;
}
