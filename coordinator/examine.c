/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/check.h"

struct examine {
    struct work work;
    bool only_list;
    struct check_expected expected;
    char name[SITE_NAME_MAX]; /* the roster may be replaced meanwhile */
    struct cid site_id;
    struct check_result result;
    bool elsewhere;     /* the record is one of another round, whose record has the answer */
    struct cid refusal; /* stored and synced, of a result that is refused */
};

/* Nothing of the site arrived yet: the record is what we can name. */
static void miss_record(struct examine *x)
{
    struct check_result *r = &x->result;
    *r = (struct check_result){.outcome = CHECK_MISSING, .missing = malloc(sizeof *r->missing)};
    if (r->missing == NULL) {
        r->outcome = CHECK_FAILED;
        (void)err_set(&r->err, ERR_NOMEM, "out of memory");
        return;
    }
    r->missing[r->missing_count++] = x->work.record;
}

static int store_refusal(struct examine *x, struct pack *pack, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct refusal refusal = {.study = c->folder.study_id,
                              .plan = c->folder.plan_id,
                              .round = x->work.round,
                              .site = x->site_id,
                              .record = x->work.record,
                              .code = x->result.code};
    struct buf block = buf_new(RECORD_BYTES_MAX);
    memcpy(refusal.sentence, x->result.sentence, sizeof refusal.sentence);
    int rc = refusal_sign(&refusal, c->folder.coordinator, &block, &x->refusal, err);
    if (rc == 0)
        rc = store_put(c->store, &x->refusal, buf_bytes(&block), err);
    if (rc == 0)
        rc = store_sync(c->store, &x->refusal, 1, err);
    if (rc == 0) /* what was refused is the evidence */
        rc = pack_sync(pack, err);
    buf_fini(&block);
    return rc;
}

static void run(struct job *job)
{
    struct examine *x = (struct examine *)job;
    struct work *w = &x->work;
    struct coordinator *c = w->coordinator;
    struct pack *pack;
    int rc = inbox_take(c->inbox, w->site, w->round, false, &pack, &x->result.err);
    if (rc == ERR_NOTFOUND) {
        miss_record(x);
        return;
    }
    x->result.outcome = CHECK_FAILED;
    if (rc != 0)
        return;
    x->expected.spoiled = inbox_spoiled(c->inbox, w->site, w->round);
    if (x->only_list)
        check_missing(&x->expected, pack, &w->record, &x->result);
    else
        check_update(&x->expected, pack, &w->record, c->world->jobs, &x->result);
    x->elsewhere = x->result.outcome == CHECK_REFUSED && x->result.code == REFUSAL_WRONG_ROUND &&
                   x->result.update.round != w->round;
    if (x->result.outcome == CHECK_REFUSED && !x->elsewhere &&
        store_refusal(x, pack, &x->result.err) != 0)
        x->result.outcome = CHECK_FAILED;
    inbox_release(c->inbox, w->site, w->round);
}

static void decide(struct coordinator *c, struct examine *x, bool fit, struct round_event *e)
{
    const struct check_result *r = &x->result;
    struct presence *p = &c->presence[x->work.site];
    memset(e, 0, sizeof *e);
    e->type = ROUND_CHECKED;
    e->site = x->work.site;
    e->round = x->work.round;
    e->record = x->work.record;
    e->fit = fit;
    e->bytes = r->bytes;
    if (fit)
        e->weight = (uint32_t)r->examples;
    else
        e->refusal = x->refusal;
    p->checked = x->work.record;
    p->examples = r->examples;
    p->loss = update_metric(&r->update, "loss");
    p->accuracy = update_metric(&r->update, "accuracy");
}

/* The round of a submission is what its record says: one of another round changes no slot. */
static bool redirect(struct coordinator *c, const struct examine *x, struct round_event *e)
{
    const struct work *w = &x->work;
    if (x->result.update.round > w->round) {
        act_refuse(c, w->site, w->round, &w->record, REFUSAL_WRONG_ROUND, NULL);
        return false;
    }
    memset(e, 0, sizeof *e);
    e->type = ROUND_SUBMIT;
    e->site = w->site;
    e->round = x->result.update.round;
    e->record = w->record;
    return true;
}

static bool finish(struct coordinator *c, struct work *w, struct round_event *e)
{
    struct examine *x = (struct examine *)w;
    const struct check_result *r = &x->result;
    switch (r->outcome) {
    case CHECK_ACCEPTED:
    case CHECK_REFUSED:
        if (x->elsewhere)
            return redirect(c, x, e);
        decide(c, x, r->outcome == CHECK_ACCEPTED, e);
        return true;
    case CHECK_MISSING:
        act_list(c, w->site, w->round, &w->record, r->missing, r->missing_count);
        return false;
    case CHECK_FAILED: /* nothing is decided; the worker asks again */
        if (r->err.code != ERR_DENIED)
            log_warn("check-failed", "site=%s round=%llu why=\"%s\"", x->name,
                     (unsigned long long)w->round, r->err.text);
        return false;
    }
    return false;
}

static void free_examine(struct work *w)
{
    struct examine *x = (struct examine *)w;
    check_result_fini(&x->result);
    free(x);
}

void examine_update(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                    bool only_list)
{
    if (site >= c->roster.count || c->presence[site].busy)
        return;
    const struct roster_site *s = &c->roster.sites[site];
    struct examine *x = calloc(1, sizeof *x);
    if (x == NULL)
        return; /* the worker asks again */
    x->work = (struct work){.of_site = true,
                            .site = site,
                            .round = round,
                            .record = *record,
                            .finish = finish,
                            .free = free_examine};
    x->only_list = only_list;
    memcpy(x->name, s->site.name, sizeof x->name);
    x->site_id = s->id;
    x->expected = (struct check_expected){.study = &c->study,
                                          .site = s->site.ed25519,
                                          .site_name = x->name,
                                          .round = round,
                                          .rule = plan_rule(&c->study.plan, round),
                                          .base = c->round->base};
    work_start(c, &x->work, run);
}
