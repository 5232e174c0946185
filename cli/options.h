/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options -- a subcommand's options as one table: what getopt_long is told and what --help prints.
 */
#ifndef COLMEIA_CLI_OPTIONS_H
#define COLMEIA_CLI_OPTIONS_H

#include "base/cid.h"
#include "base/files.h"

#define OPTIONS_ROWS_MAX 24
#define OPTIONS_LIST_MAX 1024 /* times a repeatable option may be given */

struct options_list {
    size_t count;
    const char *items[OPTIONS_LIST_MAX];
};

/* One option. Exactly one target is not NULL (but `said`); it is untouched if the option is not
 * given. */
struct options_row {
    const char *name;     /* long name */
    char letter;          /* short one, 0: none */
    const char *argument; /* what stands for it in the help; NULL: a flag */
    const char *help;
    bool *flag;        /* --flag and --flag=true, or --flag=false */
    bool *said;        /* beside `flag`: set if the flag was given, whatever it says; may be NULL */
    const char **text; /* points into argv */
    uint64_t *number;
    uint64_t most; /* of a number */
    double *real;  /* any that is finite */
    struct cid *cid;
    struct options_list *list;
};

struct options {
    const char *command;  /* "colmeia get" */
    const char *operands; /* for the help: "CID" */
    const char *about;    /* for the help: a paragraph */
    const struct options_row *rows;
    size_t row_count;
    size_t least, most; /* operands */
    size_t count;       /* filled: operands given ... */
    char **given;       /* ... and which, in argv */
};

/* For a struct options: all rows of an array. */
#define OPTIONS_ROWS(table) .rows = (table), .row_count = sizeof(table) / sizeof(table)[0]
/* Rows that read the same in every command. */
#define OPTIONS_JSON_ROW(target)                                                                   \
    {                                                                                              \
        .name = "json", .flag = (target), .help = "say it as JSON"                                 \
    }
#define OPTIONS_JSON_LINES_ROW(target)                                                             \
    {                                                                                              \
        .name = "json", .flag = (target), .help = "say each as a line of JSON"                     \
    }

/* True: go on. False: help was printed (*status 0) or what is wrong was said (*status 2). */
bool options_parse(struct options *o, int argc, char **argv, int *status);

/* The whole of a command that either does it or says why not: parses, runs, tells the error. The
 * exit status. */
int options_run(struct options *o, int argc, char **argv,
                int (*run)(void *self, const struct options *o, struct err *err), void *self);
/* An operand that is a CID; ERR_USAGE quotes what is none. */
int options_cid(const char *text, struct cid *out, struct err *err) MUST_USE;
/* The store that a person means by DIR: a study's folder has it in shared/. */
int options_store(const char *dir, char out[FILES_PATH_MAX], struct err *err) MUST_USE;

#endif
