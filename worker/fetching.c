/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "model/safetensors.h"
#include "study/leaves.h"
#include "worker/worker.h"

/* DIR/head or DIR/roster. It can be made again, so that only the last is worth a sync. */
static int write_cid(const struct errand *k, const char *name, const struct cid *cid, bool sync,
                     struct err *err)
{
    const struct files *f = k->worker->world->files;
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX + 1];
    int rc = files_join(path, k->worker->home->dir, name, err);
    if (rc != 0)
        return rc;
    size_t size = strlen(cid_format(cid, text));
    text[size++] = '\n';
    return sync ? files_save(f, path, bytes_of(text, size), err)
                : files_save_unsynced(f, path, bytes_of(text, size), err);
}

/* --- room --- */

struct tidy {
    const struct errand *errand;
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
    if (strcmp(name, expected) != 0 || round > t->errand->walk.top.round || round == t->keep)
        return 0;
    int rc = errand_pack_path(t->errand, round, path, err);
    return rc != 0 ? rc : errand_remove_file(t->errand, path, err);
}

/* Lets go of what no one needs: updates that their round's record names, and all models but the one
 * to come and the newest before it. */
static int tidy(struct errand *k, const struct lineage_found *found, const struct cid *newest,
                struct err *err)
{
    struct worker *w = k->worker;
    const struct files *f = w->world->files;
    struct tidy t = {.errand = k};
    char path[FILES_PATH_MAX];
    k->omitted = found->watched_seen && !found->watched_counted;
    if (k->omitted || !found->watched_seen)
        t.keep = k->walk.watched_round; /* evidence, or its record is yet to come */
    int rc = errand_pack_path(k, 0, path, err);
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

static uint64_t model_bytes_max(const struct errand *k)
{
    return k->worker->lineage.study.layout->data_bytes + SAFETENSORS_HEADER_MAX;
}

static int check_room(const struct errand *k, struct err *err)
{
    const struct files *f = k->worker->world->files;
    const char *dir = k->worker->home->dir;
    uint64_t needed = ERRAND_ROOM * k->worker->lineage.study.layout->data_bytes, here;
    char need[TEXT_SMALL], have[TEXT_SMALL];
    int rc = f->free_bytes(f->self, dir, &here, err);
    if (rc == 0 && here < needed)
        rc =
            err_set(err, ERR_LIMIT,
                    "disk-full: a task needs %s free in %s (%d times the model), there are %s",
                    text_format_size(needed, need), dir, ERRAND_ROOM, text_format_size(here, have));
    return rc;
}

/* The model, and that it is one of the plan's; a damaged one is removed, to be fetched again. */
static int get_model(struct errand *k, const struct cid *root, struct err *err)
{
    struct worker *w = k->worker;
    int rc = w->world->fetch_model(w->world->self, w->store, root, model_bytes_max(k), err);
    if (rc == ERR_LIMIT)
        k->verdict = VERDICT_WRONG_MODEL;
    if (rc == 0) {
        rc = study_check_model(w->store, w->lineage.study.layout, root, NULL, err);
        if (rc == ERR_MALFORMED || rc == ERR_LIMIT)
            k->verdict = VERDICT_WRONG_MODEL;
    }
    if (rc == ERR_CORRUPT && store_model_delete(w->store, root, NULL) != 0)
        log_warn("delete-failed", "what=\"damaged base model\"");
    return rc;
}

int fetching_task(struct errand *k, struct err *err)
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

/* --- the end --- */

/* The first leaf stands for the model: a model is made durable whole. */
static int sync_model(struct errand *k, const struct cid *root, struct err *err)
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

int fetching_final(struct errand *k, struct err *err)
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
