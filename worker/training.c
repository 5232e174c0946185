/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "study/seal.h"
#include "worker/output.h"
#include "worker/work_folder.h"
#include "worker/worker.h"

#define ATTEMPTS 2 /* of a program in one round: that it failed may have been chance */

static int output_path(const struct errand *k, char out[FILES_PATH_MAX], struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "work/round-%llu.safetensors", (unsigned long long)k->order.round);
    return files_join(out, k->worker->home->dir, name, err);
}

/* Fills what the trainer needs; ERR_NOTFOUND and ERR_CORRUPT are about the base. */
static int prepare(struct errand *k, struct trainer_task *t, char base[FILES_PATH_MAX],
                   char output[FILES_PATH_MAX], struct err *err)
{
    struct worker *w = k->worker;
    uint64_t size;
    int rc = store_model_path(w->store, &k->order.base, base, &size, err);
    if (rc == 0)
        rc = study_check_model(w->store, w->lineage.study.layout, &k->order.base, &t->data_start,
                               err);
    if (rc == 0)
        rc = output_path(k, output, err);
    if (rc != 0)
        return rc;
    const struct plan *plan = &w->lineage.study.plan;
    t->files = w->world->files;
    t->study = &w->home->invitation.study;
    t->plan = plan;
    t->layout = w->lineage.study.layout;
    t->asks = plan_rule(plan, k->order.round)->asks[k->order.exchange];
    t->round = k->order.round;
    t->site = k->order.site;
    t->data = k->data;
    t->base = base;
    t->output = output;
    t->cancel = &k->cancel;
    t->done = &k->trainer_done;
    t->total = &k->trainer_total;
    t->program = &w->program;
    t->config = &k->trainer;
    plan_site_seed(plan, k->order.round, k->order.site, t->seed);
    return 0;
}

/* A pack that is here already was never journalled, so nothing of it has left: made anew. */
static int make_pack(struct errand *k, struct pack **out, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int rc = errand_pack_path(k, k->order.round, path, err);
    if (rc != 0)
        return rc;
    files_folder(path, folder);
    rc = files_make_dirs(k->worker->world->files, folder, err);
    if (rc == 0)
        rc = errand_remove_file(k, path, err);
    return rc != 0 ? rc : pack_open(k->worker->world->files, path, true, out, err);
}

static int seal(struct errand *k, const struct trainer_task *t, const struct trainer_result *r,
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
                     .key = w->home->ed25519,
                     .pack = pack,
                     .jobs = w->world->jobs,
                     .progress = &k->sealing};
    s.update.round = k->order.round;
    s.update.exchange = k->order.exchange;
    s.update.examples = r->examples;
    s.update.metric_count = r->metric_count;
    memcpy(s.update.metrics, r->metrics, sizeof s.update.metrics);
    s.update.seconds = (k->ms + 500) / 1000;
    memcpy(s.update.trainer, r->digest, sizeof s.update.trainer);
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

/* Adopts and seals what the trainer wrote; what is wrong with it gets its code. */
static int finish(struct errand *k, const struct trainer_task *t, const struct trainer_result *r,
                  struct err *err)
{
    struct worker *w = k->worker;
    uint64_t began = w->world->now_ms(w->world->self);
    int rc = t->asks == RULE_DELTA ? output_adopt(t->files, t->output, t->layout, err) : 0;
    if (rc == ERR_MALFORMED)
        k->code = REFUSAL_TRAINER_LAYOUT;
    if (rc != 0)
        return rc;
    k->loss = metric(r, "loss");
    k->accuracy = metric(r, "accuracy");
    rc = seal(k, t, r, err);
    k->seal_ms = w->world->now_ms(w->world->self) - began;
    if (rc == ERR_DENIED)
        k->code = REFUSAL_TRAINER_LAYOUT;
    else if (rc == ERR_MALFORMED)
        k->code = REFUSAL_TRAINER_NOT_FINITE;
    return rc;
}

/* After this the new model's file is gone: all that counts of it is in the pack. */
static int attempt(struct errand *k, const struct trainer_task *t, struct err *err)
{
    struct worker *w = k->worker;
    struct trainer_result r = {.code = REFUSAL_NONE};
    atomic_store(&k->trainer_done, 0);
    atomic_store(&k->trainer_total, 0);
    k->code = REFUSAL_NONE;
    int rc = work_folder_clear(t->files, w->home->dir, err);
    if (rc != 0)
        return rc;
    uint64_t began = w->world->now_ms(w->world->self);
    rc = trainer_run(t, &r, err);
    k->ms = w->world->now_ms(w->world->self) - began;
    k->code = r.code;
    FAULT_POINT("worker-trained");
    if (rc != 0)
        return rc;
    rc = finish(k, t, &r, err);
    trainer_result_fini(&r);
    if (k->code != REFUSAL_NONE)
        program_stop(&w->program); /* one that writes such a model is not kept */
    if (work_folder_clear(t->files, w->home->dir, NULL) != 0)
        log_warn("delete-failed", "what=\"what the trainer left\""); /* at the next task again */
    FAULT_POINT("worker-sealed-before-journal");
    return rc;
}

/* Would the same again be of any use? A program fails by chance, what is built in does not. */
static bool may_try_again(const struct errand *k, const struct trainer_task *t)
{
    return k->code != REFUSAL_NONE && k->code != REFUSAL_TRAINER_DIGEST &&
           strcmp(t->plan->trainer, "program") == 0 && !atomic_load(&k->cancel);
}

int training_run(struct errand *k, struct err *err)
{
    struct worker *w = k->worker;
    struct trainer_task t;
    char base[FILES_PATH_MAX], output[FILES_PATH_MAX];
    int rc = lineage_study(&w->lineage, &k->order.plan, &k->verdict, err);
    if (rc != 0)
        return rc;
    k->rounds = plan_rounds(&w->lineage.study.plan);
    rc = prepare(k, &t, base, output, err);
    k->base_lost = rc == ERR_NOTFOUND;
    if (rc == 0)
        rc = attempt(k, &t, err);
    for (int i = 1; rc != 0 && i < ATTEMPTS && may_try_again(k, &t); i++) {
        log_warn("trainer-failed", "round=%llu code=%s why=\"%s\": tried again",
                 (unsigned long long)t.round, refusal_name(k->code), err->text);
        rc = attempt(k, &t, err);
    }
    if (rc == ERR_CORRUPT && store_model_delete(w->store, &k->order.base, NULL) != 0)
        log_warn("delete-failed", "what=\"damaged base model\"");
    return rc; /* with the base gone the next try goes back to fetching */
}
