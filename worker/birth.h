/* SPDX-License-Identifier: Apache-2.0 */
/*
 * birth -- starts another program: process group of its own, three pipes, nothing else of ours.
 *
 * Between fork and exec only calls are made that a signal handler may make, so it may be done in a
 * program of many threads. The kernel kills the new process when the thread that started it ends.
 */
#ifndef COLMEIA_WORKER_BIRTH_H
#define COLMEIA_WORKER_BIRTH_H

#include <sys/types.h>

#include "base/err.h"

struct birth {
    const char *const *words; /* the command, NULL at the end; no shell looks at it */
    const char *folder;       /* where it runs, and what a relative command is relative to */
    const char *variable;     /* NAME=VALUE, put into our environment for it */
    /* made: */
    pid_t pid;          /* of its process group as well */
    int in, out, notes; /* our ends of its standard input, output and error; they do not block */
};

/* ERR_USAGE: there is no such command, or it cannot be executed. */
int birth_give(struct birth *b, struct err *err) MUST_USE;

#endif
