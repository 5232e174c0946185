/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/check.h"

enum what {
    EXAMINE_LIST,   /* which blocks are missing? */
    EXAMINE_UPDATE, /* is it fit? */
    EXAMINE_SECOND, /* is it a second, differing update? */
    EXAMINE_DECLINE /* nothing is: the site declined */
};

struct examine {
    struct work work;
    enum what what;
    struct check_expected expected;
    char name[SITE_NAME_MAX]; /* the roster may be replaced meanwhile */
    struct cid site_id;
    struct cid accepted; /* of a second: the one that counts */
    struct check_result result;
    bool elsewhere;     /* the record is one of another round, whose record has the answer */
    bool unproven;      /* of a second: it proves nothing */
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
    if (rc == 0 && pack != NULL) /* what was refused is the evidence */
        rc = pack_sync(pack, err);
    buf_fini(&block);
    FAULT_POINT("refusal-stored");
    return rc;
}

/* A sentence that says no more than the code does, and whose it is. */
static void refuse(struct examine *x, enum refusal_code code)
{
    struct check_result *r = &x->result;
    r->outcome = CHECK_REFUSED;
    r->code = code;
    snprintf(r->sentence, sizeof r->sentence, "%s: %s", x->name, refusal_sentence(code));
}

static void examine_pack(struct examine *x, struct pack *pack)
{
    struct check_result *r = &x->result;
    const struct work *w = &x->work;
    if (x->what == EXAMINE_LIST)
        check_missing(&x->expected, pack, &w->record, r);
    else
        check_update(&x->expected, pack, &w->record, w->coordinator->world->jobs, r);
    x->elsewhere = r->outcome == CHECK_REFUSED && r->code == REFUSAL_WRONG_ROUND &&
                   r->update.round != w->round;
}

/* Two records that the site signed for one exchange are the proof, whatever their shards are. */
static void examine_proof(struct examine *x, struct pack *pack)
{
    struct check_result *r = &x->result;
    const struct check_expected *e = &x->expected;
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct update *u = &r->update;
    int rc = pack_get(pack, &x->work.record, &block, &r->err);
    r->bytes = block.size;
    if (rc == ERR_CORRUPT)
        pack_forget(pack, &x->work.record);
    if ((rc == ERR_NOTFOUND || rc == ERR_CORRUPT) && e->spoiled == REFUSAL_NONE)
        miss_record(x);
    else if (rc == ERR_NOMEM || rc == ERR_IO)
        r->outcome = CHECK_FAILED;
    else if (rc == 0 && update_decode(buf_bytes(&block), u, NULL) == 0 &&
             key_equal(&u->by, &e->site) && cid_equal(&u->study, &e->study->charter.cid) &&
             cid_equal(&u->plan, &e->study->plan.cid) && u->round == e->round &&
             u->exchange == e->exchange && cid_equal(&u->cid, &x->work.record) &&
             !cid_equal(&u->cid, &x->accepted))
        refuse(x, REFUSAL_EQUIVOCATION);
    else
        x->unproven = true;
    buf_fini(&block);
}

static void run_decline(struct job *job)
{
    struct examine *x = (struct examine *)job;
    if (store_refusal(x, NULL, &x->result.err) != 0)
        x->result.outcome = CHECK_FAILED;
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
    if (x->what == EXAMINE_SECOND)
        examine_proof(x, pack);
    else
        examine_pack(x, pack);
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
    e->type = x->what == EXAMINE_SECOND ? ROUND_EQUIVOCATED : ROUND_CHECKED;
    e->site = x->work.site;
    e->round = x->work.round;
    e->record = x->work.record;
    e->fit = fit;
    e->bytes = r->bytes;
    if (fit)
        e->weight = (uint32_t)r->examples;
    else
        e->refusal = x->refusal;
    p->has_news = true;
    p->checked = x->work.record;
    p->update = r->update;
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
    if (x->unproven) {
        act_refuse(c, w->site, w->round, &w->record, REFUSAL_EQUIVOCATION, NULL);
        return false;
    }
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

/* What there is to examine for the site; NULL if it must ask again. */
static struct examine *prepare(struct coordinator *c, enum what what, uint32_t site, uint64_t round,
                               const struct cid *record)
{
    if (site >= c->roster.count || c->presence[site].busy)
        return NULL;
    const struct roster_site *s = &c->roster.sites[site];
    struct examine *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->work = (struct work){.of_site = true,
                            .site = site,
                            .round = round,
                            .record = *record,
                            .finish = finish,
                            .free = free_examine};
    x->what = what;
    memcpy(x->name, s->site.name, sizeof x->name);
    x->site_id = s->id;
    x->expected = (struct check_expected){.study = &c->study,
                                          .site = s->site.ed25519,
                                          .site_name = x->name,
                                          .round = round,
                                          .rule = plan_rule(&c->study.plan, round),
                                          .base = c->round->base};
    return x;
}

void examine_update(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                    bool only_list)
{
    struct examine *x = prepare(c, only_list ? EXAMINE_LIST : EXAMINE_UPDATE, site, round, record);
    if (x != NULL)
        work_start(c, &x->work, run);
}

void examine_second(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record)
{
    const struct round_slot *s = round_find(c->round, site);
    struct examine *x = s == NULL ? NULL : prepare(c, EXAMINE_SECOND, site, round, record);
    if (x == NULL)
        return;
    x->accepted = s->record;
    work_start(c, &x->work, run);
}

void examine_decline(struct coordinator *c, uint32_t site, uint64_t round, enum refusal_code code)
{
    struct cid none = {.size = 0};
    struct examine *x = prepare(c, EXAMINE_DECLINE, site, round, &none);
    if (x == NULL)
        return;
    refuse(x, code);
    work_start(c, &x->work, run_decline);
}
