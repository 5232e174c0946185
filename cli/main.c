/* SPDX-License-Identifier: Apache-2.0 */
/*
 * colmeia -- the tools beside the two programs: models, blocks, and looking at a study.
 */
#include <stdio.h>
#include <string.h>

#include "base/key.h"
#include "cli/cmd.h"
#include "cli/descriptors.h"
#include "cli/say.h"
#include "model/gemm.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: a heading */
    const char *about;
};

static const struct command commands[] = {
    {"Studies", NULL, NULL},
    {"verify", cmd_verify, "recompute a study and name the first record that lies"},
    {"status", cmd_status, "what a running program waits for"},
    {"log", cmd_log, "what happened in a study's folder"},
    {"simulate", cmd_simulate, "run a study with all its sites in this process"},
    {"Models", NULL, NULL},
    {"model", cmd_model, "new, train, evaluate, show"},
    {"compare", cmd_compare, "how far two models are apart"},
    {"aggregate", cmd_aggregate, "average model files as a round does"},
    {"Files, folders and blocks, by the names that `ipfs` has", NULL, NULL},
    {"add", cmd_add, "import files and folders, and print their CIDs"},
    {"get", cmd_get, "write a file or folder to disk (--from URL: fetch what is not here)"},
    {"cat", cmd_cat, "write a file, or a part of it, to the standard output"},
    {"ls", cmd_ls, "list a folder"},
    {"stat", cmd_stat, "what a CID is, and how large"},
    {"dag", cmd_dag, "get (as dag-json), stat, export, import"},
    {"block", cmd_block, "get, put, stat, rm"},
    {"name", cmd_name, "put, get, inspect: IPNS records"},
    {"The store", NULL, NULL},
    {"pin", cmd_pin, "add, ls, rm: what `gc` keeps"},
    {"gc", cmd_gc, "remove the blocks that no pin reaches"},
    {"store", cmd_store, "verify, stat"},
    {"repo", cmd_store_repo, "gc, verify, stat: the same by the names that `ipfs` has"},
    {"car", cmd_car, "export, import, ls, verify: a DAG as one file"},
    {"gateway", cmd_gateway, "serve the store over HTTP"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    fprintf(to, "usage: colmeia COMMAND [OPTION]...\n\n"
                "Tools of Colmeia, federated learning over content-addressed blocks. The programs "
                "of a study are\ncolmeia-coordinator and colmeia-worker.\n");
    for (const struct command *c = commands; c < commands + COMMAND_COUNT; c++)
        if (c->run == NULL)
            fprintf(to, "\n%s\n", c->name);
        else
            fprintf(to, "  %-12s%s\n", c->name, c->about);
    fprintf(to, "\n  --help, --version; COMMAND --help\n"
                "the store: --store DIR, else $COLMEIA_STORE, else ~/.local/share/colmeia/store\n"
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
        if (commands[i].run != NULL && strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return say_usage("colmeia", "there is no command \"%s\"", argv[1]);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    descriptors_fill();
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
