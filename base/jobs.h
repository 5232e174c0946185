/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs -- work that must not run in the loop: threads take jobs from a queue, and what is done
 * comes back through one mutex-held list and an eventfd that the loop waits on.
 *
 * A job is the caller's struct with a `struct job` first. Between jobs_start and its return by
 * jobs_take_done it belongs to the threads. A job reserves the place of its result by being its own
 * list node, so a result is never lost to a full queue.
 *
 * jobs_split spreads one computation over all cores from inside a job (or a tool): the caller works
 * along, so it finishes even with no thread free. Every thread starts with the default
 * floating-point environment and checks that subnormal numbers are kept.
 */
#ifndef COLMEIA_BASE_JOBS_H
#define COLMEIA_BASE_JOBS_H

#include "base/bytes.h"
#include "base/err.h"

struct jobs;

struct job {
    void (*run)(struct job *job); /* in a thread; stores its results in the caller's struct */
    struct job *next;
    bool for_loop; /* jobs' own */
};

/* `threads` 0: one a core. */
int jobs_new(size_t threads, struct jobs **out, struct err *err) MUST_USE;
/* Waits for jobs that run, drops those that wait, joins the threads. */
void jobs_free(struct jobs *j);

void jobs_start(struct jobs *j, struct job *job);
/* Readable while something is done. */
int jobs_fd(const struct jobs *j);
/* A finished job, or NULL. */
struct job *jobs_take_done(struct jobs *j);
/* Puts a job straight on the done list from any thread (an HTTP thread's event); `run` is not
 * called. */
void jobs_post(struct jobs *j, struct job *done);

/* Calls part(self, i) for every i in 0..count-1, each once, on this and other threads; returns when
 * all have returned. */
void jobs_split(struct jobs *j, size_t count, void (*part)(void *self, size_t i), void *self);

size_t jobs_thread_count(const struct jobs *j);

#endif
