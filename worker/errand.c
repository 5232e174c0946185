/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/errand.h"

#include <math.h>
#include <stdlib.h>

#include "study/statement.h"
#include "worker/worker.h"

int errand_pack_path(const struct errand *k, uint64_t round, char out[FILES_PATH_MAX],
                     struct err *err)
{
    const struct home *f = k->worker->home;
    return study_pack_path(f->dir, &f->site.cid, round, out, err);
}

int errand_remove_file(const struct errand *k, const char *path, struct err *err)
{
    const struct files *f = k->worker->world->files;
    int rc = f->unlink(f->self, path, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* --- beginning and ending one --- */

static uint64_t bytes_moved(const struct worker *w)
{
    uint64_t sent = 0, received = 0;
    w->world->moved(w->world->self, &sent, &received);
    return sent + received;
}

static int perform(struct errand *k)
{
    switch (k->kind) {
    case ERRAND_FETCH:
        return fetching_task(k, &k->err);
    case ERRAND_TRAIN:
        return training_run(k, &k->err);
    case ERRAND_UPLOAD:
    case ERRAND_REPAIR:
        return sending_run(k, &k->err);
    case ERRAND_FINAL:
        return fetching_final(k, &k->err);
    }
    return 0;
}

static void run(struct job *job)
{
    struct errand *k = (struct errand *)job;
    const struct world *world = k->worker->world;
    uint64_t began = world->now_ms(world->self), before = bytes_moved(k->worker);
    k->rc = perform(k);
    if (k->kind != ERRAND_TRAIN) {
        k->ms = world->now_ms(world->self) - began;
        k->bytes = bytes_moved(k->worker) - before;
    }
}

/* The acknowledged update whose naming by its round's record is awaited. */
static void watch_receipt(const struct worker *w, struct lineage_walk *walk)
{
    struct receipt receipt;
    const struct task_evidence *e = &w->task.receipt;
    if (e->size == 0 ||
        statement_decode_receipt(bytes_of(e->bytes, e->size), &w->home->invitation.study,
                                 &w->home->invitation.coordinator, &receipt, NULL) != 0)
        return;
    walk->watched = receipt.record;
    walk->watched_round = receipt.round;
}

/* Does the job that runs still serve the task? */
static bool is_useful(const struct worker *w, enum errand_kind kind)
{
    static const enum task_phase phases[] = {[ERRAND_FETCH] = TASK_FETCH,
                                             [ERRAND_TRAIN] = TASK_TRAIN,
                                             [ERRAND_UPLOAD] = TASK_SEND,
                                             [ERRAND_REPAIR] = TASK_IDLE,
                                             [ERRAND_FINAL] = TASK_IDLE};
    return w->errand.kind == kind && w->task.phase == phases[kind] &&
           (kind == ERRAND_FINAL || kind == ERRAND_REPAIR ||
            memcmp(&w->errand.order, &w->task.order, sizeof w->task.order) == 0);
}

void errand_cancel(struct worker *w)
{
    if (!w->working)
        return;
    atomic_store(&w->errand.cancel, true);
    w->world->cancel_transfers(w->world->self);
}

static int take_list(struct worker *w, struct errand *k)
{
    k->cids = malloc((w->listed_count + 1) * sizeof *k->cids);
    if (k->cids == NULL)
        return ERR_NOMEM;
    if (w->listed_count > 0)
        memcpy(k->cids, w->listed, w->listed_count * sizeof *k->cids);
    k->cid_count = w->listed_count;
    k->more = w->listed_count == MSG_LIST_MAX;
    return 0;
}

void errand_start(struct worker *w, enum errand_kind kind)
{
    struct errand *k = &w->errand;
    if (w->working) {
        if (!is_useful(w, kind))
            errand_cancel(w); /* its end brings the next retry */
        return;
    }
    if (kind != ERRAND_TRAIN && !w->session.welcomed)
        return; /* no token yet; Welcome brings the next retry */
    if (loop_time_ms(&w->loop) < w->hold_ms)
        return; /* it has just failed; the timer asks again */
    memset(k, 0, sizeof *k);
    k->job.run = run;
    k->worker = w;
    k->kind = kind;
    k->order = w->task.order;
    k->record = w->task.record;
    k->loss = k->accuracy = NAN;
    k->walk.from = w->task.proven;
    k->walk.through = w->task.seen;
    k->walk.cancel = &k->cancel;
    watch_receipt(w, &k->walk);
    if (kind == ERRAND_FINAL) {
        k->walk.top = w->final;
        k->order.plan = w->home->policy.plan;
    } else if (w->task.order.round > 0) {
        k->walk.top.round = w->task.order.round - 1;
        k->walk.top.record = w->task.order.prev;
    }
    if (kind == ERRAND_REPAIR)
        k->order.round = w->task.done;
    memcpy(k->data, w->home->policy.data, sizeof k->data);
    k->trainer = w->home->policy.trainer;
    if ((kind == ERRAND_UPLOAD || kind == ERRAND_REPAIR) && take_list(w, k) != 0)
        return; /* out of memory: the timer asks again */
    w->world->set_token(w->world->self, w->session.token);
    w->working = true;
    w->world->start(w->world->self, &k->job);
}

/* --- what came of it --- */

static void end_event(struct task_event *e, enum task_event_type type, const struct errand *k)
{
    memset(e, 0, sizeof *e);
    e->type = type;
    e->round = k->order.round;
    e->record = k->record;
}

static bool finish_well(struct worker *w, struct errand *k, struct task_event *e)
{
    switch (k->kind) {
    case ERRAND_FETCH:
        if (k->omitted) {
            worker_trouble(w, "omitted",
                           "the round's record lacks this site's update, which was acknowledged: "
                           "the coordinator broke its word",
                           "keep this folder: its journal holds the signed receipt");
            event_log_put(&w->log, "omitted", "{s:I}", "round", (json_int_t)k->walk.watched_round);
        }
        end_event(e, TASK_FETCHED, k);
        return true;
    case ERRAND_TRAIN:
        end_event(e, TASK_SEALED, k);
        e->record = k->sealed;
        return true;
    case ERRAND_UPLOAD:
    case ERRAND_REPAIR:
        event_log_put(&w->log, "uploaded", "{s:I,s:I,s:f}", "round", (json_int_t)k->order.round,
                      "bytes", (json_int_t)k->bytes, "seconds", (double)k->ms / 1000);
        end_event(e, TASK_UPLOADED, k);
        e->more = k->more;
        return k->kind == ERRAND_UPLOAD;
    case ERRAND_FINAL:
        w->final_model = k->model;
        w->finished = true;
        return false;
    }
    return false;
}

/* A failure that only time, the network or a person can mend is told, and tried again later. */
static bool finish_badly(struct worker *w, struct errand *k, uint64_t time_ms, struct task_event *e)
{
    static const char *const names[] = {[ERRAND_FETCH] = "fetch-failed",
                                        [ERRAND_TRAIN] = "train-failed",
                                        [ERRAND_UPLOAD] = "upload-failed",
                                        [ERRAND_REPAIR] = "upload-failed",
                                        [ERRAND_FINAL] = "fetch-failed"};
    if (k->verdict != VERDICT_FIT && k->kind == ERRAND_FETCH) {
        end_event(e, TASK_UNFIT, k);
        e->verdict = k->verdict;
        return true;
    }
    if (k->kind == ERRAND_FINAL && k->verdict != VERDICT_FIT) {
        perform_refuse(w, k->walk.top.round, k->verdict, NULL, k->err.text);
        w->exit_code = 1;
        w->stop = true;
        return false;
    }
    if (k->base_lost) {
        end_event(e, TASK_BASE_LOST, k);
        return true;
    }
    if (k->code != REFUSAL_NONE) { /* the round goes on without this site */
        end_event(e, TASK_FAILED, k);
        e->code = k->code;
        return true;
    }
    worker_trouble(w, names[k->kind], k->err.text, "");
    worker_back_off(w, time_ms);
    w->hold_ms = w->retry_ms;
    if (k->rc == ERR_DENIED && k->kind != ERRAND_TRAIN)
        perform_hello(w); /* the token may be of an earlier process */
    if (k->kind != ERRAND_UPLOAD || (k->rc != ERR_LIMIT && k->rc != ERR_MALFORMED))
        return false;
    end_event(e, TASK_UPLOADED, k); /* the answer to a submission says what is wrong */
    return true;
}

bool errand_finish(struct worker *w, struct job *job, uint64_t time_ms, struct task_event *e)
{
    struct errand *k = (struct errand *)job;
    w->working = false;
    free(k->cids);
    k->cids = NULL;
    if (k->rounds > 0)
        w->rounds = k->rounds;
    if (!is_useful(w, k->kind) || atomic_load(&k->cancel)) {
        w->nudged = true;
        return false;
    }
    if (k->rc != 0)
        return finish_badly(w, k, time_ms, e);
    w->trouble[0] = w->advice[0] = '\0';
    w->hold_ms = 0;
    return finish_well(w, k, e);
}
