/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "coordinator/work.h"
#include "study/round_record.h"

/* Removes what the plan no longer keeps after `round`. Both parts look at what is there, so that an
 * interrupted one is made good by the next. */
struct retention {
    struct work work;
    struct cid newest; /* record of `work.round` */
    int rc;
    struct err err;
};

/* --- updates: packs of rounds before `from` --- */

struct sweep {
    const struct files *files;
    uint64_t from;
    char updates[FILES_PATH_MAX]; /* DIR/updates */
    char site[FILES_PATH_MAX];    /* one of its folders */
};

/* "17.car" of an old round. */
static bool is_old(const char *name, uint64_t from)
{
    char number[24];
    uint64_t round;
    const char *dot = strrchr(name, '.');
    if (dot == NULL || strcmp(dot, ".car") != 0 || (size_t)(dot - name) >= sizeof number)
        return false;
    memcpy(number, name, (size_t)(dot - name));
    number[dot - name] = '\0';
    return text_parse_uint(number, UINT64_MAX, &round, NULL) == 0 && round < from;
}

static int sweep_pack(void *arg, const char *name, struct err *err)
{
    struct sweep *s = arg;
    char path[FILES_PATH_MAX];
    if (!is_old(name, s->from))
        return 0;
    int rc = files_join(path, s->site, name, err);
    if (rc == 0)
        rc = s->files->unlink(s->files->self, path, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int sweep_site(void *arg, const char *name, struct err *err)
{
    struct sweep *s = arg;
    int rc = files_join(s->site, s->updates, name, err);
    return rc != 0 ? rc : s->files->list(s->files->self, s->site, sweep_pack, s, err);
}

static int sweep_updates(const struct retention *x, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct sweep s = {.files = c->files,
                      .from = plan_updates_held_from(&c->study.plan, x->work.round)};
    if (s.from <= 1)
        return 0;
    int rc = folder_path(&c->folder, "updates", s.updates, err);
    return rc != 0 ? rc : s.files->list(s.files->self, s.updates, sweep_site, &s, err);
}

/* --- models and states: what rounds before `from` made --- */

struct models {
    size_t count;
    struct cid *roots; /* owned */
};

/* A round's model, and the server optimiser's state that belongs to it. */
struct made {
    struct cid model, state; /* state: none */
};

static bool holds(const struct models *m, const struct cid *root)
{
    for (size_t i = 0; i < m->count; i++)
        if (cid_equal(&m->roots[i], root))
            return true;
    return false;
}

static int add(struct models *m, const struct cid *root, struct err *err)
{
    struct cid *roots = realloc(m->roots, (m->count + 1) * sizeof *roots);
    if (roots == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    m->roots = roots;
    m->roots[m->count++] = *root;
    return 0;
}

/* What round `round` made, and the record before it in `at`. The model before round 1 is the
 * plan's.
 */
static int read_made(const struct retention *x, uint64_t round, struct cid *at, struct buf *block,
                     struct made *out, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct key_public key = key_public(c->folder.coordinator);
    struct round_record r;
    *out = (struct made){.model = c->study.plan.model};
    if (round == 0)
        return 0;
    int rc = study_get(c->store, at, block, err);
    if (rc == 0)
        rc = round_record_decode(buf_bytes(block), &c->folder.study_id, &key, &r, err);
    if (rc != 0)
        return rc;
    *out = (struct made){.model = r.next, .state = r.state};
    *at = r.prev;
    round_record_fini(&r);
    return 0;
}

/* Rounds may share what they made: what one keeps is not dropped for another. */
static int drop_if(const struct retention *x, const struct cid *root, const struct models *keep,
                   struct models *drop, struct err *err)
{
    bool there = store_model_has(x->work.coordinator->store, root);
    return there && !holds(keep, root) && !holds(drop, root) ? add(drop, root, err) : 0;
}

/* Walks back from the newest round: first what stays, then what goes, as far as there is any. */
static int sort_models(const struct retention *x, uint64_t from, struct models *keep,
                       struct models *drop, struct err *err)
{
    struct store *store = x->work.coordinator->store;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct cid at = x->newest;
    struct made made;
    bool there = true;
    int rc = 0;
    for (uint64_t round = x->work.round + 1; rc == 0 && there && round-- > 0;) {
        rc = read_made(x, round, &at, &block, &made, err);
        if (rc == 0 && round >= from) {
            rc = add(keep, &made.model, err);
            if (rc == 0)
                rc = add(keep, &made.state, err);
        } else if (rc == 0) {
            there = store_model_has(store, &made.model) || store_model_has(store, &made.state);
            rc = drop_if(x, &made.model, keep, drop, err);
            if (rc == 0)
                rc = drop_if(x, &made.state, keep, drop, err);
        }
    }
    buf_fini(&block);
    return rc;
}

static int sweep_models(const struct retention *x, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct models keep = {0}, drop = {0};
    uint64_t from = plan_models_held_from(&c->study.plan, x->work.round);
    int rc = from <= 1 ? 0 : sort_models(x, from, &keep, &drop, err);
    for (size_t i = drop.count; rc == 0 && i-- > 0;) /* oldest first: what is left has no gap */
        rc = store_model_delete(c->store, &drop.roots[i], err);
    free(keep.roots);
    free(drop.roots);
    return rc;
}

static void run(struct job *job)
{
    struct retention *x = (struct retention *)job;
    x->rc = sweep_updates(x, &x->err);
    if (x->rc == 0)
        x->rc = sweep_models(x, &x->err);
}

static bool finish(struct coordinator *c, struct work *w, struct round_event *e)
{
    const struct retention *x = (const struct retention *)w;
    (void)c;
    (void)e;
    if (x->rc != 0) /* the next round's tries again */
        log_warn("retention-failed", "round=%llu why=\"%s\"", (unsigned long long)w->round,
                 x->err.text);
    return false;
}

static void free_retention(struct work *w)
{
    free(w);
}

void retention_start(struct coordinator *c)
{
    const struct plan *plan = &c->study.plan;
    if ((plan->keep_updates == 0 && plan->keep_models == 0) || c->round->number < 2)
        return;
    struct retention *x = calloc(1, sizeof *x);
    if (x == NULL)
        return;
    x->work =
        (struct work){.round = c->round->number - 1, .finish = finish, .free = free_retention};
    x->newest = c->round->prev;
    work_start(c, &x->work, run);
}
