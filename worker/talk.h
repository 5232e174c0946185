/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk -- a conversation with a trainer program that runs: the limits on it, and how it can fail.
 *
 * Every function but talk_cancel returns 0 or fills the talk's `err`. ERR_IO: the trainer failed by
 * `code`, and was stopped; program->child is NULL then.
 */
#ifndef COLMEIA_WORKER_TALK_H
#define COLMEIA_WORKER_TALK_H

#include "worker/program.h"

struct talk {
    struct program *program;
    const atomic_bool *cancel; /* may be NULL */
    const char *output;        /* the file being written; NULL: none is */
    uint64_t output_max;       /* its bytes */
    uint64_t look_ms;          /* when memory and output are looked at next; 0 at first */
    enum refusal_code code;
    struct err *err;
};

/* Takes the line. That the trainer has ended is found when it is listened to. */
int talk_say(struct talk *t, struct buf *line) MUST_USE;
/* Its next message, but for those about a task that was cancelled. Time without any, memory and
 * output are watched. ERR_TIMEOUT: cancelled, and it runs on. */
int talk_hear(struct talk *t, struct contract_message *m) MUST_USE;
/* Stops it for what it did; returns ERR_IO. */
int talk_fail(struct talk *t, enum refusal_code code, const char *format, ...) PRINTF_LIKE(3, 4);
int talk_check_output(struct talk *t) MUST_USE;
/* Its task is of no use any more. A trainer that answers in the grace time is kept. */
void talk_cancel(struct program *p);

#endif
