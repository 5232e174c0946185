/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate_run -- coordinator and workers of the folders that simulate_setup made, in one process,
 * on one thread that takes turns over them and a pool that does their jobs, till the study is
 * finished or a signal comes.
 *
 * A site that must stop is named on the standard error; the others go on.
 */
#ifndef COLMEIA_CLI_SIMULATE_RUN_H
#define COLMEIA_CLI_SIMULATE_RUN_H

#include "base/cid.h"

struct simulate_result {
    struct cid study, head, model; /* head: none before the first round is closed */
    uint64_t rounds, planned;      /* closed in all, and of the plan */
    uint64_t run;                  /* closed by this call, in ... */
    double seconds;
    bool finished;
    char failure[ERR_TEXT_MAX]; /* why the coordinator had to stop; "" */
};

/* `quiet`: no line a round on stdout. */
int simulate_run(const char *out, size_t clients, bool quiet, struct simulate_result *result,
                 struct err *err) MUST_USE;

#endif
