/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child -- another program as a child of this one: lines to it, lines from it, and its end.
 *
 * It runs in a process group of its own, with pipes for standard input, output and error and no
 * other descriptor of ours. Nothing here waits for longer than it is told to, but for the kernel to
 * bury what SIGKILL has ended. Whoever stops it ends the whole group, so that what it has started
 * goes too (unless that left the group), and no zombie stays.
 *
 * The kernel kills the child when the thread that started it ends (PR_SET_PDEATHSIG): a worker that
 * is killed leaves no trainer behind. So that thread must live as long as the child; otherwise any
 * thread may use it, one at a time.
 */
#ifndef COLMEIA_WORKER_CHILD_H
#define COLMEIA_WORKER_CHILD_H

#include <sys/types.h>

#include "base/buf.h"

#define CHILD_LINE_MAX       (64u << 10) /* bytes of a line of its output, without the end */
#define CHILD_NOTE_MAX       1024        /* bytes of a line of its error output; more is cut */
#define CHILD_NOTES_A_MINUTE 300         /* of those lines that are passed on; others are counted */
#define CHILD_WORDS_MAX      160

struct child; /* opaque */

struct child_options {
    const char *const *words;      /* the command, NULL at the end; no shell looks at it */
    const char *folder;            /* where it runs, and what a relative command is relative to */
    const char *variable;          /* NAME=VALUE, put into our environment for it */
    void (*say)(const char *note); /* gets each line of its error output, escaped (log_escape) */
};

/* ERR_USAGE: there is no such command, or it cannot be executed. */
int child_start(const struct child_options *o, struct child **out, struct err *err) MUST_USE;

/* Hands it a line (the end is the caller's). ERR_TIMEOUT if it does not take it, ERR_NOTFOUND if it
 * reads no more. */
int child_write(struct child *c, struct bytes line, uint64_t timeout_ms, struct err *err) MUST_USE;
/* The next line of its output, without the end, valid till the next call. ERR_TIMEOUT if none comes
 * in time, ERR_NOTFOUND if none will come, ERR_LIMIT if it is too long. Passes on notes meanwhile.
 */
int child_read(struct child *c, uint64_t timeout_ms, struct bytes *line, struct err *err) MUST_USE;

/* Has it ended, unasked? */
bool child_has_ended(const struct child *c);
/* Bytes of memory that its group has resident; pages that processes share count for each. */
uint64_t child_memory(const struct child *c);
pid_t child_pid(const struct child *c);
/* Its last line of error output, escaped; "" if there was none. */
const char *child_last_note(const struct child *c);

/* Closes its input and gives it `ask_ms` to end, then SIGTERM and `term_ms`, then SIGKILL, each to
 * the group. `words` (may be NULL) says how it ended: "exit status 1", "signal KILL". Returns
 * whether it was by itself and with status 0. After this only child_last_note and child_free. */
bool child_stop(struct child *c, uint64_t ask_ms, uint64_t term_ms, char words[CHILD_WORDS_MAX]);
/* Ends it at once unless it was stopped; harmless on NULL. */
void child_free(struct child *c);

#endif
