/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program -- the trainer `program`: any program of the site's own, behind the contract of
 * docs/trainer.md.
 *
 * It is started when the first task comes and kept over rounds. Before each task its digest is
 * taken anew: with other files or another configuration it is started again. Whatever it does that
 * the contract does not allow becomes a code TRAINER_* and a sentence, and it is stopped; the next
 * task starts a fresh one. Its standard error goes to the log.
 *
 * One thread at a time uses a program. The thread that ran it first must outlive it (child.h).
 */
#ifndef COLMEIA_WORKER_PROGRAM_H
#define COLMEIA_WORKER_PROGRAM_H

#include <stdatomic.h>

#include "study/refusal.h"
#include "worker/contract.h"

#define PROGRAM_WORDS_BYTES_MAX                                                                    \
    4096                      /* of the command's words together, and of the files' names          \
                               */
#define PROGRAM_WORDS_MAX 64  /* words; names */
#define PROGRAM_TICK_MS   250 /* how often memory and output are looked at */
#define PROGRAM_STALL_MS  600000
#define PROGRAM_GRACE_MS  5000

/* The table [trainer] of config.toml. Plain data without pointers; what is not used is zero, so
 * that memcmp tells whether it changed. */
struct program_config {
    size_t command_count, file_count;
    char command[PROGRAM_WORDS_BYTES_MAX]; /* each word ended by a NUL; no words: none configured */
    char files[PROGRAM_WORDS_BYTES_MAX];   /* further files that belong to it, likewise */
    uint64_t stall_ms;                     /* without a message for so long: hung */
    uint64_t grace_ms;                     /* between asking, SIGTERM and SIGKILL */
    uint64_t memory_bytes;                 /* resident, of its whole process group; 0: no limit */
};

struct child;
struct trainer_task;
struct trainer_result;

struct program {
    const char *folder, *site; /* the site's folder, where it runs, and the site's name */
    struct child *child;       /* NULL: none runs, and what follows says nothing */
    struct program_config config;
    uint8_t digest[HASH_BYTES];
    struct contract_hello hello;
    uint64_t id;        /* of the newest task */
    uint64_t cancelled; /* of the newest that was cancelled; 0: none */
};

/* What the two texts point at outlives the program. */
void program_init(struct program *p, const char *folder, const char *site);
/* Asks it to end, then makes it; harmless if none runs. Takes up to twice the grace time. */
void program_stop(struct program *p);

/* Starts it, unless the right one runs, and shakes hands; then p->digest and p->hello are valid.
 * `pinned` (HASH_BYTES) may be NULL: any will do. `cancel` may be NULL. ERR_USAGE: a person must
 * mend the configuration; ERR_TIMEOUT: cancelled; ERR_IO: it failed, `code` says how. */
int program_start(struct program *p, const struct program_config *config, const uint8_t *pinned,
                  const atomic_bool *cancel, enum refusal_code *code, struct err *err) MUST_USE;

/* The table's function (trainer.h): one task, by task->program. */
int program_run(const struct trainer_task *task, struct trainer_result *out,
                struct err *err) MUST_USE;

#endif
