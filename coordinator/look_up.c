/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/round_record.h"

enum found {
    FOUND_NOTHING, /* the walk failed: no answer, the worker asks again */
    FOUND_ACCEPTED,
    FOUND_REFUSED,
    FOUND_LATE,
    FOUND_SAME,     /* evidence: that is the round's record */
    FOUND_DIFFERENT /* ... it is not */
};

struct look_up {
    struct work work;
    bool evidence;
    struct cid newest;  /* where the walk begins */
    struct cid site_id; /* the asker's */
    enum found found;
    struct cid refusal;
    struct err err;
};

/* The record of `round`, walking back from the newest one. */
static int find_round(const struct look_up *x, struct buf *block, struct round_record *out,
                      struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct key_public key = key_public(c->folder.coordinator);
    struct cid at = x->newest;
    for (;;) {
        int rc = study_get(c->store, &at, block, err);
        if (rc == 0)
            rc = round_record_decode(buf_bytes(block), &c->folder.study_id, &key, out, err);
        if (rc != 0)
            return rc;
        if (out->round == x->work.round)
            return 0;
        at = out->prev;
        bool past = out->round < x->work.round || out->round <= 1;
        round_record_fini(out);
        if (past)
            return err_set(err, ERR_NOTFOUND, "there is no round %llu",
                           (unsigned long long)x->work.round);
    }
}

/* Is one of the round's refusals of this very record, by this site? */
static bool find_refusal(struct look_up *x, const struct round_record *r, struct buf *block)
{
    struct coordinator *c = x->work.coordinator;
    struct key_public key = key_public(c->folder.coordinator);
    for (size_t i = 0; i < r->refused_count; i++) {
        struct refusal refusal;
        if (study_get(c->store, &r->refused[i], block, NULL) != 0 ||
            refusal_decode(buf_bytes(block), &c->folder.study_id, &key, &refusal, NULL) != 0)
            continue;
        if (!cid_equal(&refusal.site, &x->site_id) || !cid_equal(&refusal.record, &x->work.record))
            continue;
        x->refusal = r->refused[i];
        return true;
    }
    return false;
}

static enum found judge(struct look_up *x, const struct round_record *r, struct buf *block)
{
    if (x->evidence)
        return cid_equal(&r->cid, &x->work.record) ? FOUND_SAME : FOUND_DIFFERENT;
    for (size_t i = 0; i < r->update_count; i++)
        if (cid_equal(&r->updates[i], &x->work.record))
            return FOUND_ACCEPTED;
    return find_refusal(x, r, block) ? FOUND_REFUSED : FOUND_LATE;
}

static void run(struct job *job)
{
    struct look_up *x = (struct look_up *)job;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct round_record record = {0};
    if (find_round(x, &block, &record, &x->err) == 0) {
        x->found = judge(x, &record, &block);
        round_record_fini(&record);
    }
    buf_fini(&block);
}

static bool finish(struct coordinator *c, struct work *w, struct round_event *e)
{
    struct look_up *x = (struct look_up *)w;
    (void)e;
    switch (x->found) {
    case FOUND_NOTHING:
        if (intake_may_warn(c, w->site))
            log_warn("look-up-failed", "site=%s round=%llu why=\"%s\"",
                     c->roster.sites[w->site].site.name, (unsigned long long)w->round, x->err.text);
        break;
    case FOUND_ACCEPTED:
        act_acknowledge(c, w->site, w->round, &w->record);
        break;
    case FOUND_REFUSED:
        act_refuse(c, w->site, w->round, &w->record, REFUSAL_DECIDED, &x->refusal);
        break;
    case FOUND_LATE:
        act_refuse(c, w->site, w->round, &w->record, REFUSAL_LATE, NULL);
        break;
    case FOUND_SAME:
        act_welcome(c, w->site);
        break;
    case FOUND_DIFFERENT:
        intake_rolled_back(c, w->site, "another record of a closed round");
        break;
    }
    return false;
}

static void free_look_up(struct work *w)
{
    free(w);
}

static void start(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                  bool evidence)
{
    if (site >= c->roster.count || c->presence[site].busy || round == 0)
        return; /* rounds begin at 1 */
    struct look_up *x = calloc(1, sizeof *x);
    if (x == NULL)
        return; /* the worker asks again */
    x->work = (struct work){.of_site = true,
                            .site = site,
                            .round = round,
                            .record = *record,
                            .finish = finish,
                            .free = free_look_up};
    x->evidence = evidence;
    x->newest = c->round->prev;
    x->site_id = c->roster.sites[site].id;
    work_start(c, &x->work, run);
}

void look_up_answer(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record)
{
    start(c, site, round, record, false);
}

void look_up_evidence(struct coordinator *c, uint32_t site, uint64_t round,
                      const struct cid *record)
{
    start(c, site, round, record, true);
}
