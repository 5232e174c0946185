/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/say.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"new", cmd_model_new,
     "a network, such as a plan's initial model, or random bytes for benchmarks"},
    {"train", cmd_model_train, "train alone, with a plan's hyperparameters"},
    {"evaluate", cmd_model_evaluate, "loss and accuracy on examples"},
    {"show", cmd_model_show, "tensors, shapes, sizes and CID"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    fprintf(to, "usage: colmeia model COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-12s%s\n", commands[i].name, commands[i].about);
    fprintf(to, "\n  --help; COMMAND --help\n");
}

int cmd_model(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return say_usage("colmeia model", "there is no command \"%s\"", argv[1]);
}
