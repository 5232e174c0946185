/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errand -- what must not run in the loop: fetching, training, sending. One job at a time.
 *
 * All that a job needs is copied into it; of the worker it touches only what does not change while
 * it runs (home, store, world) and the lineage and the trainer program, which are the jobs' own.
 * What it found is read out by errand_finish, in the loop. A job whose task was dropped is
 * cancelled, and what it brings is nothing. One that failed is begun again by the retry timer; but
 * a trainer that failed is tried once more at once, and then the task is declined.
 */
#ifndef COLMEIA_WORKER_ERRAND_H
#define COLMEIA_WORKER_ERRAND_H

#include "base/jobs.h"
#include "base/progress.h"
#include "worker/lineage.h"
#include "worker/task.h"
#include "worker/trainer.h"

#define ERRAND_ROOM 4 /* models that must fit on the disk before a task is begun */

struct worker;

enum errand_kind {
    ERRAND_FETCH,  /* records, their checks, the base model */
    ERRAND_TRAIN,  /* trainer and seal */
    ERRAND_UPLOAD, /* the blocks that the coordinator misses */
    ERRAND_REPAIR, /* the same for the update answered last */
    ERRAND_FINAL   /* the finished study's record and model */
};

/* The one job: what it needs is copied in, what it found is read out by errand_finish. */
struct errand {
    struct job job;
    struct worker *worker; /* of it only what does not change while a job runs */
    enum errand_kind kind;
    struct task_order order;
    struct cid record; /* upload */
    struct cid *cids;  /* upload: what to send; owned */
    size_t cid_count;
    bool more; /* upload: the list was as long as a list can be */
    struct lineage_walk walk;
    char data[HOME_DATA_MAX];
    struct program_config trainer; /* train: the site's own */
    atomic_bool cancel;
    /* train: how far the trainer says it is, while it runs; total 0: it did not say */
    _Atomic uint64_t trainer_done, trainer_total;
    struct progress_count sealing; /* train: bytes of the update's shards, once it seals */
    /* results */
    int rc;
    struct err err;
    enum verdict verdict;
    enum refusal_code code; /* train: how the trainer failed, twice; REFUSAL_NONE: it did not */
    bool base_lost;
    bool omitted; /* a round record lacks an update that was acknowledged */
    struct cid sealed;
    struct cid model; /* final */
    uint64_t rounds;  /* of the plan; 0: not known yet */
    uint64_t bytes;   /* moved, or sealed */
    uint64_t ms;      /* it took; of train, the trainer alone ... */
    uint64_t seal_ms; /* ... and the seal */
    double loss, accuracy;
};

/* Starts a job of this kind for the present task, unless one runs already. */
void errand_start(struct worker *w, enum errand_kind kind);
void errand_cancel(struct worker *w);
/* Takes a finished job back; true if `e` was filled. */
bool errand_finish(struct worker *w, struct job *job, uint64_t time_ms, struct task_event *e);

/* For jobs: where the site's own update of a round is, and unlink that allows for absence. */
int errand_pack_path(const struct errand *k, uint64_t round, char out[FILES_PATH_MAX],
                     struct err *err) MUST_USE;
int errand_remove_file(const struct errand *k, const char *path, struct err *err) MUST_USE;

/* What the jobs do, in threads. */
int fetching_task(struct errand *k, struct err *err) MUST_USE;
int fetching_final(struct errand *k, struct err *err) MUST_USE;
int training_run(struct errand *k, struct err *err) MUST_USE;
int sending_run(struct errand *k, struct err *err) MUST_USE;

#endif
