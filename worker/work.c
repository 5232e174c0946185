/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "model/safetensors.h"
#include "study/leaves.h"
#include "study/seal.h"
#include "study/statement.h"
#include "worker/worker.h"

/* --- paths --- */

static int work_path(const struct work *k, char out[FILES_PATH_MAX], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "work/round-%llu.safetensors", (unsigned long long)k->order.round);
    return files_join(out, k->worker->folder->dir, name, err);
}

static int pack_path(const struct work *k, uint64_t round, char out[FILES_PATH_MAX],
                     struct err *err)
{
    const struct folder *f = k->worker->folder;
    return study_pack_path(f->dir, &f->site.cid, round, out, err);
}

static int remove_file(const struct work *k, const char *path, struct err *err)
{
    const struct files *f = k->worker->world->files;
    int rc = f->unlink(f->self, path, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* DIR/head or DIR/roster. It can be made again, so that only the last is worth a sync. */
static int write_cid(const struct work *k, const char *name, const struct cid *cid, bool sync,
                     struct err *err)
{
    const struct files *f = k->worker->world->files;
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX + 1];
    int rc = files_join(path, k->worker->folder->dir, name, err);
    if (rc != 0)
        return rc;
    size_t size = strlen(cid_format(cid, text));
    text[size++] = '\n';
    return sync ? files_save(f, path, bytes_of(text, size), err)
                : files_save_unsynced(f, path, bytes_of(text, size), err);
}

/* --- fetch --- */

struct tidy {
    const struct work *work;
    uint64_t keep; /* the update of this round stays; 0: none */
};

/* Own updates of closed rounds have been answered and, if counted, named by a record. */
static int tidy_pack(void *arg, const char *name, struct err *err)
{
    const struct tidy *t = arg;
    char path[FILES_PATH_MAX], expected[64];
    char *end;
    unsigned long long round = strtoull(name, &end, 10);
    snprintf(expected, sizeof expected, "%llu.car", round);
    if (strcmp(name, expected) != 0 || round >= t->work->walk.top.round + 1 || round == t->keep)
        return 0;
    int rc = pack_path(t->work, round, path, err);
    return rc != 0 ? rc : remove_file(t->work, path, err);
}

/* Lets go of what no one needs: updates that their round's record names, and all models but the one
 * to come and the newest before it. */
static int tidy(struct work *k, const struct lineage_found *found, const struct cid *newest,
                struct err *err)
{
    struct worker *w = k->worker;
    const struct files *f = w->world->files;
    struct tidy t = {.work = k};
    char path[FILES_PATH_MAX];
    k->omitted = found->watched_seen && !found->watched_counted;
    if (k->omitted || !found->watched_seen)
        t.keep = k->walk.watched_round; /* evidence, or its record is yet to come */
    int rc = pack_path(k, 0, path, err);
    if (rc != 0)
        return rc;
    *strrchr(path, '/') = '\0';
    rc = f->list(f->self, path, tidy_pack, &t, err);
    if (rc != 0 && rc != ERR_NOTFOUND)
        return rc;
    struct cid older = lineage_older_model(&w->lineage, &k->walk.top.record, newest);
    struct cid *roots = NULL;
    size_t count = 0;
    rc = store_model_list(w->store, &roots, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (!cid_equal(&roots[i], newest) && !cid_equal(&roots[i], &older))
            rc = store_model_delete(w->store, &roots[i], err);
    free(roots);
    return rc;
}

static uint64_t model_bytes_max(const struct work *k)
{
    return k->worker->lineage.study.layout->data_bytes + SAFETENSORS_HEADER_MAX;
}

static int check_room(const struct work *k, struct err *err)
{
    const struct files *f = k->worker->world->files;
    const char *dir = k->worker->folder->dir;
    uint64_t needed = WORKER_ROOM * k->worker->lineage.study.layout->data_bytes, here;
    char need[TEXT_SMALL], have[TEXT_SMALL];
    int rc = f->free_bytes(f->self, dir, &here, err);
    if (rc == 0 && here < needed)
        rc =
            err_set(err, ERR_LIMIT,
                    "disk-full: a task needs %s free in %s (%d times the model), there are %s",
                    text_format_size(needed, need), dir, WORKER_ROOM, text_format_size(here, have));
    return rc;
}

/* The model, and that it is one of the plan's; a damaged one is removed, to be fetched again. */
static int get_model(struct work *k, const struct cid *root, struct err *err)
{
    struct worker *w = k->worker;
    int rc = w->world->fetch_model(w->world->self, w->store, root, model_bytes_max(k), err);
    if (rc == ERR_LIMIT)
        k->verdict = TASK_WRONG_MODEL;
    if (rc == 0) {
        rc = study_check_model(w->store, w->lineage.study.layout, root, NULL, err);
        if (rc == ERR_MALFORMED || rc == ERR_LIMIT)
            k->verdict = TASK_WRONG_MODEL;
    }
    if (rc == ERR_CORRUPT && store_model_delete(w->store, root, NULL) != 0)
        log_warn("delete-failed", "what=\"damaged base model\"");
    return rc;
}

static int fetch(struct work *k, struct err *err)
{
    struct worker *w = k->worker;
    struct lineage_found found;
    int rc = lineage_study(&w->lineage, &k->order.plan, &k->verdict, err);
    if (rc != 0)
        return rc;
    k->rounds = plan_rounds(&w->lineage.study.plan);
    rc = lineage_follow(&w->lineage, &k->walk, &found, &k->verdict, err);
    if (rc == 0)
        rc = lineage_order(&w->lineage, &k->order, &found, &k->verdict, err);
    if (rc == 0 && k->walk.top.round > 0)
        rc = write_cid(k, "head", &k->walk.top.record, false, err);
    if (rc == 0)
        rc = write_cid(k, "roster", &k->order.roster, false, err);
    if (rc == 0)
        rc = tidy(k, &found, &k->order.base, err);
    if (rc == 0)
        rc = check_room(k, err);
    if (rc == 0 && atomic_load(&k->cancel))
        rc = err_set(err, ERR_TIMEOUT, "cancelled");
    return rc != 0 ? rc : get_model(k, &k->order.base, err);
}

/* --- train and seal --- */

/* Fills what the trainer needs; ERR_NOTFOUND and ERR_CORRUPT are about the base. */
static int prepare(struct work *k, struct trainer_task *t, char base[FILES_PATH_MAX],
                   char output[FILES_PATH_MAX], struct err *err)
{
    struct worker *w = k->worker;
    uint64_t size;
    int rc = store_model_path(w->store, &k->order.base, base, &size, err);
    if (rc == 0)
        rc = study_check_model(w->store, w->lineage.study.layout, &k->order.base, &t->data_start,
                               err);
    if (rc == 0)
        rc = work_path(k, output, err);
    if (rc != 0)
        return rc;
    const struct plan *plan = &w->lineage.study.plan;
    t->files = w->world->files;
    t->plan = plan;
    t->layout = w->lineage.study.layout;
    t->asks = plan_rule(plan, k->order.round)->asks[k->order.exchange];
    t->round = k->order.round;
    t->site = k->order.site;
    t->data = k->data;
    t->base = base;
    t->output = output;
    t->cancel = &k->cancel;
    plan_site_seed(plan, k->order.round, k->order.site, t->seed);
    return 0;
}

/* A pack that is here already was never journalled, so nothing of it has left: made anew. */
static int make_pack(struct work *k, struct pack **out, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int rc = pack_path(k, k->order.round, path, err);
    if (rc != 0)
        return rc;
    files_folder(path, folder);
    rc = files_make_dirs(k->worker->world->files, folder, err);
    if (rc == 0)
        rc = remove_file(k, path, err);
    return rc != 0 ? rc : pack_open(k->worker->world->files, path, true, out, err);
}

static int seal(struct work *k, const struct trainer_task *t, const struct trainer_result *r,
                struct err *err)
{
    struct worker *w = k->worker;
    struct pack *pack = NULL;
    int rc = make_pack(k, &pack, err);
    if (rc != 0)
        return rc;
    struct seal s = {.study = &w->lineage.study,
                     .rule = plan_rule(&w->lineage.study.plan, k->order.round),
                     .store = w->store,
                     .base = k->order.base,
                     .new_model = t->asks == RULE_DELTA ? t->output : NULL,
                     .values = buf_bytes(&r->values),
                     .key = w->folder->ed25519,
                     .pack = pack,
                     .jobs = w->world->jobs};
    s.update.round = k->order.round;
    s.update.exchange = k->order.exchange;
    s.update.examples = r->examples;
    s.update.metric_count = r->metric_count;
    memcpy(s.update.metrics, r->metrics, sizeof s.update.metrics);
    s.update.seconds = (k->ms + 500) / 1000;
    trainer_digest(w->lineage.study.plan.trainer, s.update.trainer);
    rc = seal_update(&s, &k->sealed, err);
    if (rc == 0)
        k->bytes = pack_bytes(pack);
    pack_close(pack);
    if (rc == ERR_CORRUPT)
        err_wrap(err, rc, "base-changed");
    return rc;
}

static double metric(const struct trainer_result *r, const char *name)
{
    for (size_t i = 0; i < r->metric_count; i++)
        if (strcmp(r->metrics[i].name, name) == 0)
            return r->metrics[i].value;
    return NAN;
}

/* After this the new model's file is gone: all that counts of it is in the pack. */
static int train(struct work *k, struct err *err)
{
    struct worker *w = k->worker;
    struct trainer_task t;
    struct trainer_result r = {.examples = 0};
    char base[FILES_PATH_MAX], output[FILES_PATH_MAX];
    int rc = lineage_study(&w->lineage, &k->order.plan, &k->verdict, err);
    if (rc != 0)
        return rc;
    k->rounds = plan_rounds(&w->lineage.study.plan);
    rc = prepare(k, &t, base, output, err);
    k->base_lost = rc == ERR_NOTFOUND;
    if (rc == 0) {
        uint64_t began = w->world->now_ms(w->world->self);
        rc = trainer_run(&t, &r, err);
        k->ms = w->world->now_ms(w->world->self) - began;
        FAULT_POINT("worker-trained");
    }
    if (rc == 0) {
        k->loss = metric(&r, "loss");
        k->accuracy = metric(&r, "accuracy");
        rc = seal(k, &t, &r, err);
        trainer_result_fini(&r);
        (void)remove_file(k, output, NULL); /* left over at worst: removed at the next start */
        FAULT_POINT("worker-sealed-before-journal");
    }
    if (rc == ERR_CORRUPT && store_model_delete(w->store, &k->order.base, NULL) != 0)
        log_warn("delete-failed", "what=\"damaged base model\"");
    return rc; /* with the base gone the next try goes back to fetching */
}

/* --- upload --- */

static bool is_listed(const struct work *k, const struct cid *cid)
{
    for (size_t i = 0; i < k->cid_count; i++)
        if (cid_equal(&k->cids[i], cid))
            return true;
    return false;
}

/* Replaces the list by what is to be sent: never anything but the update's own. Where record or
 * index are missing the coordinator cannot know of what they name, so all from there on goes. */
static int choose(struct work *k, struct pack *pack, struct err *err)
{
    struct cid *all = NULL;
    size_t count = 0, from = 0;
    int rc = seal_blocks(pack, &k->record, &all, &count, err);
    if (rc != 0)
        return rc;
    while (from < 2 && from < count && !is_listed(k, &all[from]))
        from++;
    if (from < 2 && from < count) {
        free(k->cids);
        memmove(all, all + from, (count - from) * sizeof *all);
        k->cids = all;
        k->cid_count = count - from;
        k->more = false;
        return 0;
    }
    free(all);
    size_t kept = 0;
    for (size_t i = 0; i < k->cid_count; i++)
        if (pack_has(pack, &k->cids[i]))
            k->cids[kept++] = k->cids[i];
    k->cid_count = kept;
    return kept > 0 ? 0
                    : err_set(err, ERR_NOTFOUND,
                              "the coordinator misses blocks that are not this update's");
}

static int upload(struct work *k, struct err *err)
{
    struct worker *w = k->worker;
    char path[FILES_PATH_MAX];
    struct pack *pack;
    int rc = pack_path(k, k->order.round, path, err);
    if (rc == 0)
        rc = pack_open(w->world->files, path, false, &pack, err);
    if (rc != 0)
        return rc;
    rc = choose(k, pack, err);
    if (rc == 0)
        rc = w->world->upload(w->world->self, k->order.round, pack, k->cids, k->cid_count, err);
    pack_close(pack);
    if (rc == 0)
        FAULT_POINT("worker-uploaded");
    return rc;
}

/* --- the end --- */

/* The first leaf stands for the model: a model is made durable whole. */
static int sync_model(struct work *k, const struct cid *root, struct err *err)
{
    struct leaves leaves = {.count = 0};
    int rc = leaves_load(k->worker->store, root, &leaves, err);
    if (rc == 0 && leaves.count > 0) {
        struct cid leaf = cid_from_digest(CID_RAW, leaves.digests[0]);
        rc = store_sync(k->worker->store, &leaf, 1, err);
    }
    leaves_fini(&leaves);
    return rc;
}

static int end_study(struct work *k, struct err *err)
{
    struct worker *w = k->worker;
    struct lineage_found found;
    int rc = lineage_study(&w->lineage, &k->order.plan, &k->verdict, err);
    if (rc == 0)
        rc = lineage_follow(&w->lineage, &k->walk, &found, &k->verdict, err);
    if (rc == 0)
        rc = tidy(k, &found, &found.next, err);
    if (rc == 0)
        rc = get_model(k, &found.next, err);
    if (rc == 0)
        rc = sync_model(k, &found.next, err);
    if (rc == 0)
        rc = store_sync(w->store, &k->walk.top.record, 1, err);
    if (rc == 0)
        rc = write_cid(k, "roster", &found.roster, true, err);
    if (rc == 0)
        rc = write_cid(k, "head", &k->walk.top.record, true, err);
    if (rc == 0)
        k->model = found.next;
    return rc;
}

/* --- jobs --- */

static uint64_t bytes_moved(const struct worker *w)
{
    uint64_t sent = 0, received = 0;
    w->world->moved(w->world->self, &sent, &received);
    return sent + received;
}

static void run(struct job *job)
{
    static int (*const kinds[])(struct work * k, struct err * err) = {[WORK_FETCH] = fetch,
                                                                      [WORK_TRAIN] = train,
                                                                      [WORK_UPLOAD] = upload,
                                                                      [WORK_FINAL] = end_study};
    struct work *k = (struct work *)job;
    const struct world *world = k->worker->world;
    uint64_t began = world->now_ms(world->self), before = bytes_moved(k->worker);
    k->rc = kinds[k->kind](k, &k->err);
    if (k->kind != WORK_TRAIN) {
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
        statement_decode_receipt(bytes_of(e->bytes, e->size), &w->folder->invitation.study,
                                 &w->folder->invitation.coordinator, &receipt, NULL) != 0)
        return;
    walk->watched = receipt.record;
    walk->watched_round = receipt.round;
}

/* Does the job that runs still serve the task? */
static bool is_useful(const struct worker *w, enum work_kind kind)
{
    static const enum task_phase phases[] = {[WORK_FETCH] = TASK_FETCH,
                                             [WORK_TRAIN] = TASK_TRAIN,
                                             [WORK_UPLOAD] = TASK_SEND,
                                             [WORK_FINAL] = TASK_IDLE};
    return w->work.kind == kind && w->task.phase == phases[kind] &&
           (kind == WORK_FINAL ||
            memcmp(&w->work.order, &w->task.order, sizeof w->task.order) == 0);
}

void work_cancel(struct worker *w)
{
    if (!w->working)
        return;
    atomic_store(&w->work.cancel, true);
    w->world->cancel_transfers(w->world->self);
}

static int take_list(struct worker *w, struct work *k)
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

void work_start(struct worker *w, enum work_kind kind)
{
    struct work *k = &w->work;
    if (w->working) {
        if (!is_useful(w, kind))
            work_cancel(w); /* its end brings the next retry */
        return;
    }
    if (kind != WORK_TRAIN && !w->session.welcomed)
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
    if (kind == WORK_FINAL) {
        k->walk.top = w->final;
        k->order.plan = w->folder->policy.plan;
    } else if (w->task.order.round > 0) {
        k->walk.top.round = w->task.order.round - 1;
        k->walk.top.record = w->task.order.prev;
    }
    memcpy(k->data, w->folder->policy.data, sizeof k->data);
    if (kind == WORK_UPLOAD && take_list(w, k) != 0)
        return; /* out of memory: the timer asks again */
    w->world->set_token(w->world->self, w->session.token);
    w->working = true;
    w->world->start(w->world->self, &k->job);
}

/* --- what came of it --- */

static void end_event(struct task_event *e, enum task_event_type type, const struct work *k)
{
    memset(e, 0, sizeof *e);
    e->type = type;
    e->round = k->order.round;
    e->record = k->record;
}

static bool finish_well(struct worker *w, struct work *k, struct task_event *e)
{
    switch (k->kind) {
    case WORK_FETCH:
        if (k->omitted) {
            worker_trouble(w, "omitted",
                           "the round's record lacks this site's update, which was acknowledged: "
                           "the coordinator broke its word",
                           "keep this folder: its journal holds the signed receipt");
            event_log_put(&w->log, "omitted", "{s:I}", "round", (json_int_t)k->walk.watched_round);
        }
        end_event(e, TASK_FETCHED, k);
        return true;
    case WORK_TRAIN:
        end_event(e, TASK_SEALED, k);
        e->record = k->sealed;
        return true;
    case WORK_UPLOAD:
        event_log_put(&w->log, "uploaded", "{s:I,s:I}", "round", (json_int_t)k->order.round,
                      "bytes", (json_int_t)k->bytes);
        end_event(e, TASK_UPLOADED, k);
        e->more = k->more;
        return true;
    case WORK_FINAL:
        w->final_model = k->model;
        w->finished = true;
        return false;
    }
    return false;
}

/* A failure that only time, the network or a person can mend is told, and tried again later. */
static bool finish_badly(struct worker *w, struct work *k, uint64_t time_ms, struct task_event *e)
{
    static const char *const names[] = {[WORK_FETCH] = "fetch-failed",
                                        [WORK_TRAIN] = "train-failed",
                                        [WORK_UPLOAD] = "upload-failed",
                                        [WORK_FINAL] = "fetch-failed"};
    if (k->verdict != TASK_FIT && k->kind == WORK_FETCH) {
        end_event(e, TASK_UNFIT, k);
        e->verdict = k->verdict;
        return true;
    }
    if (k->kind == WORK_FINAL && k->verdict != TASK_FIT) {
        act_refuse(w, k->walk.top.round, k->verdict, NULL, k->err.text);
        w->exit_code = 1;
        w->stop = true;
        return false;
    }
    if (k->base_lost) {
        end_event(e, TASK_BASE_LOST, k);
        return true;
    }
    worker_trouble(w, names[k->kind], k->err.text, "");
    worker_back_off(w, time_ms);
    w->hold_ms = w->retry_ms;
    if (k->rc == ERR_DENIED && k->kind != WORK_TRAIN)
        act_hello(w); /* the token may be of an earlier process */
    if (k->kind != WORK_UPLOAD || (k->rc != ERR_LIMIT && k->rc != ERR_MALFORMED))
        return false;
    end_event(e, TASK_UPLOADED, k); /* the answer to a submission says what is wrong */
    return true;
}

bool work_finish(struct worker *w, struct job *job, uint64_t time_ms, struct task_event *e)
{
    struct work *k = (struct work *)job;
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
