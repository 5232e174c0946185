/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter -- a line on the terminal that tells how far a command is: bytes, rate, what is left.
 *
 * On a terminal only (standard error), rewritten in place by a thread of its own, and erased at the
 * end. The command counts in `count` and knows nothing of it.
 */
#ifndef COLMEIA_CLI_METER_H
#define COLMEIA_CLI_METER_H

#include <pthread.h>

#include "base/progress.h"

struct meter {
    const char *what; /* "adding" */
    struct progress_count count;
    bool runs; /* there is a thread */
    bool stop; /* guarded by mutex */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct progress progress;
    struct progress_line line;
};

/* Where there is no terminal, or no thread to be had, nothing is shown. */
void meter_start(struct meter *m, const char *what);
void meter_stop(struct meter *m);
/* For other lines in between: nothing is drawn until meter_show. */
void meter_hide(struct meter *m);
void meter_show(struct meter *m);

#endif
