/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/lineage.h"

void lineage_init(struct lineage *l, const struct world *world, struct store *store,
                  const struct home *home)
{
    *l = (struct lineage){
        .world = world, .store = store, .invitation = &home->invitation, .site = &home->site};
}

static void forget_roster(struct lineage *l)
{
    roster_fini(&l->roster);
    l->roster = (struct roster){.sites = NULL};
}

void lineage_fini(struct lineage *l)
{
    study_fini(&l->study);
    forget_roster(l);
}

/* What the peer's bytes are to blame for is final; all else may be better next time. */
static int judge(int rc, enum verdict value, enum verdict *verdict)
{
    bool blamed = rc == ERR_MALFORMED || rc == ERR_DENIED || rc == ERR_LIMIT || rc == ERR_EXISTS ||
                  rc == ERR_UNSUPPORTED || rc == ERR_USAGE;
    *verdict = blamed ? value : VERDICT_FIT;
    return rc;
}

/* A block, from here or over the network. */
static int get(struct lineage *l, const struct cid *cid, struct buf *out, struct err *err)
{
    return l->world->fetch_block(l->world->self, l->store, cid, out, err);
}

/* --- the study --- */

static int get_study(struct lineage *l, const struct cid *plan, struct buf *block,
                     enum verdict *verdict, struct err *err)
{
    const struct invitation *i = l->invitation;
    struct plan p;
    int rc = get(l, &i->study, block, err);
    if (rc == 0)
        rc = get(l, plan, block, err);
    if (rc != 0)
        return rc;
    rc = judge(plan_decode(buf_bytes(block), &i->study, &i->founder, &p, err), VERDICT_WRONG_PLAN,
               verdict);
    return rc != 0 ? rc : get(l, &p.layout, block, err);
}

int lineage_study(struct lineage *l, const struct cid *plan, enum verdict *verdict, struct err *err)
{
    *verdict = VERDICT_FIT;
    if (l->study.layout != NULL && cid_equal(&l->study.plan.cid, plan))
        return 0;
    struct study s;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = get_study(l, plan, &block, verdict, err);
    buf_fini(&block);
    if (rc != 0)
        return rc;
    rc = judge(study_load(l->store, &l->invitation->study, plan, &s, err), VERDICT_WRONG_PLAN,
               verdict);
    if (rc != 0)
        return rc;
    if (!key_equal(&s.charter.founder, &l->invitation->founder)) {
        study_fini(&s);
        *verdict = VERDICT_WRONG_PLAN;
        return err_set(err, ERR_DENIED, "the charter names another founder than the invitation");
    }
    study_fini(&l->study);
    l->study = s;
    return 0;
}

/* --- rosters --- */

struct site_links {
    struct lineage *l;
    struct cid prev;
    struct buf block;
};

/* Earlier rosters are not needed: what binds is what round records name. */
static int get_site(void *self, const struct cid *cid, struct err *err)
{
    struct site_links *s = self;
    return cid_equal(cid, &s->prev) ? 0 : get(s->l, cid, &s->block, err);
}

static int get_sites(struct lineage *l, struct bytes block, enum verdict *verdict, struct err *err)
{
    struct record r;
    int rc = record_open(block, "colmeia/roster/1", &r, err);
    if (rc == 0)
        rc = record_expect(&r, &l->invitation->study, &l->invitation->founder, "the founder", err);
    if (rc != 0)
        return judge(rc, VERDICT_WRONG_ROSTER, verdict);
    struct site_links s = {.l = l, .block = buf_new(STORE_BLOCK_BYTES_MAX)};
    s.prev = record_link_or_null(&r, "prev");
    rc = cbor_check(block, get_site, &s, err);
    buf_fini(&s.block);
    return rc;
}

/* Makes `cid` the roster in hand. */
static int get_roster(struct lineage *l, const struct cid *cid, enum verdict *verdict,
                      struct err *err)
{
    const struct invitation *i = l->invitation;
    if (l->roster.sites != NULL && cid_equal(&l->roster.cid, cid))
        return 0;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct roster found;
    int rc = get(l, cid, &block, err);
    if (rc == 0)
        rc = get_sites(l, buf_bytes(&block), verdict, err);
    buf_fini(&block);
    if (rc != 0)
        return rc;
    rc = judge(roster_load(l->store, &i->study, &i->founder, cid, &found, err),
               VERDICT_WRONG_ROSTER, verdict);
    if (rc != 0)
        return rc;
    if (!key_equal(&found.coordinator, &i->coordinator)) {
        roster_fini(&found);
        *verdict = VERDICT_WRONG_ROSTER;
        return err_set(err, ERR_DENIED,
                       "the roster names another coordinator key than the invitation");
    }
    forget_roster(l);
    l->roster = found;
    return 0;
}

/* --- round records --- */

static bool is_counted(const struct round_record *r, const struct cid *update)
{
    for (size_t i = 0; i < r->update_count; i++)
        if (cid_equal(&r->updates[i], update))
            return true;
    return false;
}

static int check_record(const struct lineage *l, const struct lineage_walk *w,
                        const struct round_record *r, uint64_t round, enum verdict *verdict,
                        struct err *err)
{
    *verdict = VERDICT_WRONG_RECORD;
    if (r->round != round)
        return err_set(err, ERR_DENIED, "it says that it is round %llu",
                       (unsigned long long)r->round);
    if (!cid_equal(&r->plan, &l->study.plan.cid))
        return err_set(err, ERR_DENIED, "it was made under another plan");
    *verdict = VERDICT_NOT_DESCENDING;
    if (round == w->through.round && !cid_equal(&r->cid, &w->through.record))
        return err_set(err, ERR_DENIED,
                       "the coordinator has signed another record for this round before");
    *verdict = VERDICT_FIT;
    return 0;
}

/* One step down: the record `cid` of `round`; `out` is the caller's to fini. */
static int take_record(struct lineage *l, const struct lineage_walk *w, const struct cid *cid,
                       uint64_t round, struct round_record *out, enum verdict *verdict,
                       struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = get(l, cid, &block, err);
    if (rc == 0)
        rc = judge(round_record_decode(buf_bytes(&block), &l->invitation->study,
                                       &l->invitation->coordinator, out, err),
                   VERDICT_WRONG_RECORD, verdict);
    buf_fini(&block);
    if (rc != 0)
        return rc;
    rc = check_record(l, w, out, round, verdict, err);
    if (rc == 0)
        rc = get_roster(l, &out->roster, verdict, err);
    if (rc != 0)
        round_record_fini(out);
    return rc;
}

static void note(const struct lineage_walk *w, const struct round_record *r,
                 struct lineage_found *found)
{
    if (r->round == w->top.round) {
        found->next = r->next;
        found->roster = r->roster;
    }
    if (r->round == w->watched_round) {
        found->watched_seen = true;
        found->watched_counted = is_counted(r, &w->watched);
    }
}

/* Where the walk has nothing to do, the model is still to be read from the record it ends at. */
static int read_top(struct lineage *l, const struct lineage_walk *w, struct lineage_found *found,
                    enum verdict *verdict, struct err *err)
{
    struct round_record r;
    int rc = take_record(l, w, &w->top.record, w->top.round, &r, verdict, err);
    if (rc != 0)
        return rc;
    note(w, &r, found);
    round_record_fini(&r);
    return 0;
}

int lineage_follow(struct lineage *l, const struct lineage_walk *w, struct lineage_found *out,
                   enum verdict *verdict, struct err *err)
{
    struct lineage_found found = {.next = l->study.plan.model};
    struct cid at = w->top.record;
    int rc = 0;
    *verdict = VERDICT_FIT;
    for (uint64_t round = w->top.round; rc == 0 && round > w->from.round; round--) {
        struct round_record r;
        if (atomic_load(w->cancel))
            return err_set(err, ERR_TIMEOUT, "cancelled");
        rc = take_record(l, w, &at, round, &r, verdict, err);
        if (rc != 0)
            return err_wrap(err, rc, "record of round %llu", (unsigned long long)round);
        note(w, &r, &found);
        at = r.prev;
        round_record_fini(&r);
    }
    if (w->top.round < w->from.round || !cid_equal(&at, &w->from.record)) {
        *verdict = VERDICT_NOT_DESCENDING;
        return err_set(err, ERR_DENIED, "it does not lead back to round %llu as this site knows it",
                       (unsigned long long)w->from.round);
    }
    if (w->top.round == w->from.round && w->top.round > 0)
        rc = read_top(l, w, &found, verdict, err);
    if (rc == 0)
        *out = found;
    return rc;
}

/* --- the task --- */

static int check_place(struct lineage *l, const struct task_order *o, struct err *err)
{
    const struct roster *r = &l->roster;
    if (o->site >= r->count || !cid_equal(&r->sites[o->site].id, &l->site->cid))
        return err_set(err, ERR_DENIED, "place %u of the roster is not this site's", o->site);
    if (!roster_is_active(r, o->site, o->round))
        return err_set(err, ERR_DENIED, "the roster does not have this site in round %llu",
                       (unsigned long long)o->round);
    return 0;
}

/* The newest roster keeps what the last round's said. */
static int check_roster(struct lineage *l, const struct task_order *o, const struct cid *before,
                        enum verdict *verdict, struct err *err)
{
    struct roster earlier = {.sites = NULL};
    int rc = 0;
    if (!cid_is_none(before) && !cid_equal(before, &o->roster)) {
        rc = get_roster(l, before, verdict, err);
        if (rc != 0)
            return rc;
        earlier = l->roster;
        l->roster = (struct roster){.sites = NULL};
    }
    rc = get_roster(l, &o->roster, verdict, err);
    if (rc == 0 && earlier.sites != NULL)
        rc = judge(roster_check_append(&earlier, &l->roster, err), VERDICT_WRONG_ROSTER, verdict);
    if (rc == 0)
        rc = judge(check_place(l, o, err), VERDICT_WRONG_ROSTER, verdict);
    roster_fini(&earlier);
    return rc;
}

int lineage_order(struct lineage *l, const struct task_order *o, const struct lineage_found *below,
                  enum verdict *verdict, struct err *err)
{
    const struct rule *rule = plan_rule(&l->study.plan, o->round);
    *verdict = VERDICT_FIT;
    if (rule == NULL || strcmp(rule->name, o->rule) != 0 || o->exchange >= rule->exchange_count) {
        *verdict = VERDICT_WRONG_RULE;
        return err_set(err, ERR_DENIED, "the plan has %s for round %llu",
                       rule == NULL ? "nothing" : rule->name, (unsigned long long)o->round);
    }
    if (!cid_equal(&o->base, &below->next)) {
        char expected[CID_TEXT_MAX];
        *verdict = VERDICT_WRONG_BASE;
        return err_set(err, ERR_DENIED, "the round before it made the model %s",
                       cid_format(&below->next, expected));
    }
    return check_roster(l, o, &below->roster, verdict, err);
}

struct cid lineage_older_model(struct lineage *l, const struct cid *head, const struct cid *newest)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct cid at = *head, older = {.size = 0};
    while (cid_is_none(&older)) {
        struct round_record r;
        if (cid_equal(&at, &l->invitation->study) || study_get(l->store, &at, &block, NULL) != 0 ||
            round_record_decode(buf_bytes(&block), &l->invitation->study,
                                &l->invitation->coordinator, &r, NULL) != 0)
            break;
        if (!cid_equal(&r.base, newest))
            older = r.base;
        at = r.prev;
        round_record_fini(&r);
    }
    buf_fini(&block);
    return older;
}
