/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colmeia -- the tools beside the two programs: models, blocks, and looking at a study.
 */
#include <stdio.h>
#include <string.h>

#include "base/key.h"
#include "cli/cmd.h"
#include "cli/say.h"
#include "model/gemm.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"verify", cmd_verify, "recompute a study and name the first record that lies"},
    {"status", cmd_status, "what a running program waits for"},
    {"log", cmd_log, "what happened in a study's folder"},
    {"model", cmd_model, "new, train, evaluate, show"},
    {"compare", cmd_compare, "how far two models are apart"},
    {"aggregate", cmd_aggregate, "average model files as a round does"},
    {"simulate", cmd_simulate, "run a study with all its sites in this process"},
    {"add", cmd_add, "import a file as content-addressed blocks"},
    {"get", cmd_get, "write a file out of a store"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    fprintf(to, "usage: colmeia COMMAND [OPTION]...\n\n"
                "Tools of Colmeia, federated learning over content-addressed blocks. The programs "
                "of a study are\ncolmeia-coordinator and colmeia-worker.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-12s%s\n", commands[i].name, commands[i].about);
    fprintf(to, "\n  --help, --version; COMMAND --help\n"
                "exit status: 0 yes, 1 the answer is no, 2 usage, 3 the environment failed\n");
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("colmeia %s\n", VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return say_usage("colmeia", "there is no command \"%s\"", argv[1]);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    int rc = key_setup(&err);
    if (rc != 0)
        return say_error("colmeia", rc, &err);
    gemm_setup();
    int status = run(argc, argv);
    /* A result that could not be written was not given. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "colmeia: writing to the standard output failed\n");
        return 3;
    }
    return status;
}
