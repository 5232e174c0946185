/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/group.h"

#include <stdio.h>
#include <string.h>

#include "cli/say.h"

static void print_help(FILE *to, const char *group, const struct group_row *rows, size_t count)
{
    fprintf(to, "usage: %s COMMAND [OPTION]...\n\n", group);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-12s%s\n", rows[i].name, rows[i].about);
    fprintf(to, "\n  --help; COMMAND --help\n");
}

int group_run(const char *group, const struct group_row *rows, size_t count, int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr, group, rows, count);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout, group, rows, count);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(argv[1], rows[i].name) == 0)
            return rows[i].run(argc - 1, argv + 1);
    return say_usage(group, "there is no command \"%s\"", argv[1]);
}
