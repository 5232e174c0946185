/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "study/seal.h"
#include "worker/worker.h"

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
int training_run(struct errand *k, struct err *err)
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
        uint64_t began = w->world->now_ms(w->world->self);
        k->loss = metric(&r, "loss");
        k->accuracy = metric(&r, "accuracy");
        rc = seal(k, &t, &r, err);
        k->seal_ms = w->world->now_ms(w->world->self) - began;
        trainer_result_fini(&r);
        const struct files *f = w->world->files;
        (void)f->unlink(f->self, output, NULL); /* left over at worst: removed at the next start */
        FAULT_POINT("worker-sealed-before-journal");
    }
    if (rc == ERR_CORRUPT && store_model_delete(w->store, &k->order.base, NULL) != 0)
        log_warn("delete-failed", "what=\"damaged base model\"");
    return rc; /* with the base gone the next try goes back to fetching */
}
