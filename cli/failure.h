/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failure -- of what went wrong in several threads, the first in the order of the work, so that the
 * same input says the same sentence.
 */
#ifndef COLMEIA_CLI_FAILURE_H
#define COLMEIA_CLI_FAILURE_H

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"

struct failure {
    pthread_mutex_t mutex;
    uint64_t at; /* in the work */
    int rc;      /* 0: nothing failed; read it where no other thread is at work */
    struct err err;
};

void failure_init(struct failure *f);
void failure_fini(struct failure *f);
/* Any thread. */
void failure_note(struct failure *f, uint64_t at, int rc, const struct err *err);
/* What was noted, as one's own failure. */
int failure_tell(const struct failure *f, struct err *err) MUST_USE;

#endif
