/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/statement.h"

/* --- sending --- */

void act_send(struct coordinator *c, uint32_t index, struct msg *m)
{
    const struct presence *p = &c->presence[index];
    struct err err = {0};
    if (!p->has_route)
        return;
    m->version = MSG_VERSION;
    m->study = c->folder.study_id;
    m->sequence = p->asked;
    m->has_boot = true;
    memcpy(m->boot, c->boot, sizeof m->boot);
    if (msg_encode(m, &c->out, &err) != 0)
        log_error("not-sent", "message=%s why=\"%s\"", msg_type_name(m->type), err.text);
    else
        c->world->send(c->world->self, &p->route, buf_bytes(&c->out));
}

int act_head_statement(struct coordinator *c, struct buf *out, struct err *err)
{
    struct head_statement h = {.round = c->round->number - 1, .record = c->round->prev};
    if (h.round == 0)
        return 0;
    if (c->head_round != h.round) {
        c->head_round = 0;
        buf_clear(&c->head);
        int rc = statement_sign_head(&h, &c->folder.study_id, c->folder.coordinator, &c->head, err);
        if (rc != 0)
            return rc;
        c->head_round = h.round;
    }
    buf_append(out, c->head.data, c->head.size);
    return buf_check(out, err);
}

/* Sends a message that carries the head statement. */
static void send_with_head(struct coordinator *c, uint32_t site, struct msg *m)
{
    struct err err = {0};
    if (act_head_statement(c, &m->head, &err) == 0)
        act_send(c, site, m);
    else
        log_error("not-sent", "message=%s why=\"%s\"", msg_type_name(m->type), err.text);
    msg_fini(m);
}

void act_welcome(struct coordinator *c, uint32_t site)
{
    struct msg m;
    msg_init(&m, MSG_WELCOME);
    m.agreed = MSG_VERSION;
    memcpy(m.welcome_boot, c->boot, sizeof m.welcome_boot);
    m.site = site;
    m.plan = c->folder.plan_id;
    m.token_ms = COORDINATOR_TOKEN_MS;
    token_make(&c->tokens, site, loop_time_ms(&c->loop) + COORDINATOR_TOKEN_MS, m.token);
    send_with_head(c, site, &m);
}

static void send_task(struct coordinator *c, uint32_t site)
{
    const struct round *r = c->round;
    struct msg m;
    msg_init(&m, MSG_TASK);
    m.round = r->number;
    snprintf(m.rule, sizeof m.rule, "%s", plan_rule(&c->study.plan, r->number)->name);
    m.plan = c->folder.plan_id;
    m.roster = r->roster;
    m.prev = r->prev;
    m.base = r->base;
    m.site = site;
    send_with_head(c, site, &m);
    FAULT_POINT("task-sent");
}

static void send_tasks(struct coordinator *c)
{
    uint64_t now_ms = loop_time_ms(&c->loop);
    for (uint32_t i = 0; i < c->round->slot_count; i++) {
        const struct round_slot *s = &c->round->slots[i];
        if (s->state == ROUND_PENDING && coordinator_is_online(c, s->site, now_ms))
            send_task(c, s->site);
    }
}

static void send_done(struct coordinator *c, uint32_t site)
{
    struct msg m;
    msg_init(&m, MSG_DONE);
    send_with_head(c, site, &m);
}

static void send_wait(struct coordinator *c, uint32_t site)
{
    char sentence[STATUS_SENTENCE_MAX];
    if (!cid_is_none(&c->repair) && c->repair_site == site) { /* there is something it can do */
        const struct round_slot *s = round_find(c->round, site);
        if (s != NULL)
            act_list(c, site, c->round->number, &s->record, &c->repair, 1);
        return;
    }
    struct msg m;
    msg_init(&m, MSG_WAIT);
    m.retry_ms = COORDINATOR_WAIT_MS;
    snprintf(m.text, sizeof m.text, "%.*s", (int)sizeof m.text - 1, status_sentence(c, sentence));
    act_send(c, site, &m);
    msg_fini(&m);
}

void act_list(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
              const struct cid *cids, size_t count)
{
    struct msg m;
    msg_init(&m, MSG_LIST);
    m.round = round;
    m.record = *record;
    m.cid_count = count < MSG_LIST_MAX ? count : MSG_LIST_MAX;
    m.cids = m.cid_count == 0 ? NULL : malloc(m.cid_count * sizeof *m.cids);
    if (m.cid_count > 0 && m.cids == NULL) {
        m.cid_count = 0; /* no answer: the worker asks again */
    } else {
        if (m.cid_count > 0)
            memcpy(m.cids, cids, m.cid_count * sizeof *m.cids);
        act_send(c, site, &m);
    }
    msg_fini(&m);
}

void act_acknowledge(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record)
{
    struct journal_tail tail = journal_tail(c->loop.journal);
    struct receipt receipt = {.record = *record, .round = round, .sequence = tail.sequence};
    struct err err = {0};
    struct msg m;
    memcpy(receipt.hash, tail.hash, sizeof receipt.hash);
    msg_init(&m, MSG_ACCEPTED);
    m.round = round;
    m.record = *record;
    if (statement_sign_receipt(&receipt, &c->folder.study_id, c->folder.coordinator, &m.receipt,
                               &err) == 0) {
        FAULT_POINT("before-acknowledge");
        act_send(c, site, &m);
    } else {
        log_error("not-sent", "message=accepted why=\"%s\"", err.text);
    }
    msg_fini(&m);
}

/* --- telling people --- */

static const char *name_of(const struct coordinator *c, uint32_t site)
{
    return site < c->roster.count ? c->roster.sites[site].site.name : "?";
}

static json_t *cid_or_null(const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    return cid_is_none(cid) ? json_null() : json_string(cid_format(cid, text));
}

static void tell_refusal(struct coordinator *c, uint32_t site, const struct cid *record,
                         const struct refusal *said, bool listed)
{
    const struct cid none = {.size = 0};
    event_log_put(&c->log.events, "update-refused", "{s:I,s:s,s:s,s:s,s:o,s:o}", "round",
                  (json_int_t)said->round, "site", name_of(c, site), "code",
                  refusal_name(said->code), "sentence", said->sentence, "record",
                  cid_or_null(record), "refusal", cid_or_null(listed ? &said->cid : &none));
    round_log_say(&c->log, "round %llu: %s of %s %s (%s): %s", (unsigned long long)said->round,
                  cid_is_none(record) ? "task" : "update", name_of(c, site),
                  refusal_is_decline(said->code) ? "declined" : "refused", refusal_name(said->code),
                  said->sentence);
}

/* Two updates that differ, both signed by the site: what the accepted one is, stands in the slot.
 */
static void tell_equivocation(struct coordinator *c, const struct round_effect *x)
{
    const struct round_slot *s = round_find(c->round, x->site);
    const struct cid none = {.size = 0};
    event_log_put(&c->log.events, "equivocation", "{s:I,s:s,s:o,s:o,s:o}", "round",
                  (json_int_t)x->round, "site", name_of(c, x->site), "accepted",
                  cid_or_null(s == NULL ? &none : &s->record), "record", cid_or_null(&x->record),
                  "refusal", cid_or_null(&x->refusal));
    round_log_say(
        &c->log,
        "round %llu: %s sent two differing updates (equivocation): the first counts, both "
        "are kept",
        (unsigned long long)x->round, name_of(c, x->site));
}

/* Refusals that no round lists are told once a site, code and round under way: a site may ask for
 * them as fast as it likes. */
static bool is_first_told(struct coordinator *c, uint32_t site, enum refusal_code code)
{
    _Static_assert(REFUSAL_CODE_COUNT <= 32, "`told` has a bit for each code");
    struct presence *p = &c->presence[site];
    uint32_t bit = UINT32_C(1) << code;
    if (p->told_round != c->round->number)
        p->told = 0;
    p->told_round = c->round->number;
    bool first = (p->told & bit) == 0;
    p->told |= bit;
    return first;
}

/* A refusal for this answer alone: the site gets it, no round lists it. */
static int sign_refusal(struct coordinator *c, uint32_t site, const struct msg *m,
                        enum refusal_code code, struct refusal *out, struct buf *block,
                        struct err *err)
{
    *out = (struct refusal){.study = c->folder.study_id,
                            .plan = c->folder.plan_id,
                            .round = m->round,
                            .site = c->roster.sites[site].id,
                            .record = m->record,
                            .code = code};
    snprintf(out->sentence, sizeof out->sentence, "%s: %s", name_of(c, site),
             refusal_sentence(code));
    return refusal_sign(out, c->folder.coordinator, block, &out->cid, err);
}

void act_refuse(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                enum refusal_code code, const struct cid *refusal)
{
    struct key_public key = key_public(c->folder.coordinator);
    struct refusal said;
    struct err err = {0};
    struct msg m;
    msg_init(&m, MSG_REFUSED);
    m.round = round;
    m.record = *record;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    bool listed = refusal != NULL && !cid_is_none(refusal);
    int rc;
    if (!listed) {
        rc = sign_refusal(c, site, &m, code, &said, &block, &err);
    } else {
        rc = study_get(c->store, refusal, &block, &err);
        if (rc == 0)
            rc = refusal_decode(buf_bytes(&block), &c->folder.study_id, &key, &said, &err);
    }
    if (rc == 0) {
        snprintf(m.code, sizeof m.code, "%s", refusal_name(said.code));
        snprintf(m.text, sizeof m.text, "%s", said.sentence);
        buf_append(&m.refusal, block.data, block.size);
        act_send(c, site, &m);
        if (!listed && is_first_told(c, site, code))
            tell_refusal(c, site, record, &said, false);
    } else {
        log_error("not-sent", "message=refused why=\"%s\"", err.text);
    }
    buf_fini(&block);
    msg_fini(&m);
}

/* The last check's result of that record has not been told yet? */
static bool is_news(struct coordinator *c, const struct round_effect *x)
{
    struct presence *p = &c->presence[x->site];
    bool news = p->has_news && cid_equal(&p->checked, &x->record);
    p->has_news = p->has_news && !news;
    return news;
}

static json_t *metrics_of(const struct update *u)
{
    json_t *metrics = json_object();
    for (size_t i = 0; i < u->metric_count; i++)
        json_object_set_new(metrics, u->metrics[i].name, round_log_number(u->metrics[i].value));
    return metrics;
}

static void accepted(struct coordinator *c, const struct round_effect *x)
{
    const struct update *u = &c->presence[x->site].update;
    const struct round_slot *s = round_find(c->round, x->site);
    if (is_news(c, x) && s != NULL) {
        FAULT_POINT("accepted-after-commit");
        event_log_put(&c->log.events, "update-accepted", "{s:I,s:s,s:o,s:I,s:I,s:o,s:o,s:o}",
                      "round", (json_int_t)x->round, "site", name_of(c, x->site), "record",
                      cid_or_null(&x->record), "examples", (json_int_t)u->examples, "bytes",
                      (json_int_t)s->bytes, "loss", round_log_number(update_metric(u, "loss")),
                      "accuracy", round_log_number(update_metric(u, "accuracy")), "metrics",
                      metrics_of(u));
    }
    act_acknowledge(c, x->site, x->round, &x->record);
}

static void refused(struct coordinator *c, const struct round_effect *x)
{
    struct key_public key = key_public(c->folder.coordinator);
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct refusal said;
    if (!cid_is_none(&x->refusal) && is_news(c, x) &&
        study_get(c->store, &x->refusal, &block, NULL) == 0 &&
        refusal_decode(buf_bytes(&block), &c->folder.study_id, &key, &said, NULL) == 0) {
        if (said.code == REFUSAL_EQUIVOCATION)
            tell_equivocation(c, x);
        else
            tell_refusal(c, x->site, &x->record, &said, true);
    }
    buf_fini(&block);
    act_refuse(c, x->site, x->round, &x->record, x->code, &x->refusal);
}

static json_t *selected_names(const struct coordinator *c)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < c->round->slot_count; i++)
        json_array_append_new(names, json_string(name_of(c, c->round->slots[i].site)));
    return names;
}

/* --- the round's turns --- */

/* The sites of the round may send, all others may not. */
static int open_inbox(struct coordinator *c, struct err *err)
{
    const struct round *r = c->round;
    uint32_t *sites = calloc(r->slot_count + 1u, sizeof *sites);
    struct cid *ids = calloc(r->slot_count + 1u, sizeof *ids);
    int rc = sites == NULL || ids == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    for (uint32_t i = 0; rc == 0 && i < r->slot_count; i++) {
        sites[i] = r->slots[i].site;
        ids[i] = c->roster.sites[sites[i]].id;
    }
    if (rc == 0)
        rc = inbox_open_round(c->inbox, r->number, sites, ids, r->slot_count, err);
    free(sites);
    free(ids);
    return rc;
}

static int opened(struct coordinator *c, struct err *err)
{
    const struct round *r = c->round;
    c->opened_ms = c->world->now_ms(c->world->self);
    int rc = open_inbox(c, err);
    event_log_put(&c->log.events, "round-opened", "{s:I,s:s,s:o}", "round", (json_int_t)r->number,
                  "rule", plan_rule(&c->study.plan, r->number)->name, "selected",
                  selected_names(c));
    FAULT_POINT("round-opened");
    return rc;
}

static int more(struct coordinator *c, struct err *err)
{
    event_log_put(&c->log.events, "sites-added", "{s:I,s:o}", "round", (json_int_t)c->round->number,
                  "selected", selected_names(c));
    return open_inbox(c, err);
}

static void publish_head(struct coordinator *c)
{
    struct err err = {0};
    struct msg m;
    msg_init(&m, MSG_HEAD);
    m.version = MSG_VERSION;
    m.study = c->folder.study_id;
    m.round = c->round->number - 1;
    m.record = c->round->prev;
    if (msg_encode(&m, &c->out, &err) == 0)
        c->world->publish(c->world->self, buf_bytes(&c->out));
    else
        log_error("not-sent", "message=head why=\"%s\"", err.text);
    msg_fini(&m);
}

/* Another round is under way: after `closed`, which is durable now, and after a start. */
static int head_moved(struct coordinator *c, struct err *err)
{
    bool finished = c->round->phase == ROUND_FINISHED;
    bool fresh = c->closed.is_new;
    int rc = open_inbox(c, err);
    if (fresh)
        FAULT_POINT("closed-before-head");
    if (rc == 0 && c->round->number > 1) /* made again by the next start, so rarely synced */
        rc = folder_write_cid(c->files, c->folder.dir, "head", &c->round->prev, finished || !fresh,
                              err);
    if (fresh)
        FAULT_POINT("head-written");
    if (rc != 0)
        return rc;
    publish_head(c);
    for (uint32_t i = 0; finished && i < c->roster.count; i++)
        send_done(c, i);
    if (fresh)
        round_log_round(&c->log, &c->closed.line);
    c->closed.is_new = false;
    retention_start(c);
    return 0;
}

static int act(struct coordinator *c, const struct round_effect *x, struct err *err)
{
    switch (x->type) {
    case ROUND_SEND_TASKS:
        send_tasks(c);
        return 0;
    case ROUND_SEND_TASK:
        send_task(c, x->site);
        return 0;
    case ROUND_SEND_WAIT:
        send_wait(c, x->site);
        return 0;
    case ROUND_SEND_DONE:
        send_done(c, x->site);
        return 0;
    case ROUND_LOOK_UP:
        look_up_answer(c, x->site, x->round, &x->record);
        return 0;
    case ROUND_LIST_MISSING:
        examine_update(c, x->site, x->round, &x->record, true);
        return 0;
    case ROUND_CHECK:
        examine_update(c, x->site, x->round, &x->record, false);
        return 0;
    case ROUND_PROVE:
        examine_second(c, x->site, x->round, &x->record);
        return 0;
    case ROUND_RECORD_DECLINE:
        examine_decline(c, x->site, x->round, x->code);
        return 0;
    case ROUND_ACKNOWLEDGE:
        accepted(c, x);
        return 0;
    case ROUND_REFUSE:
        refused(c, x);
        return 0;
    case ROUND_OPENED:
        return opened(c, err);
    case ROUND_MORE:
        return more(c, err);
    case ROUND_COMBINE_JOB:
        combining_start(c);
        return 0;
    case ROUND_HEAD_HINT:
        return head_moved(c, err);
    }
    return 0;
}

int act_perform(void *self, struct err *err)
{
    struct coordinator *c = self;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->effects.count; i++)
        rc = act(c, &c->effects.items[i], err);
    c->effects.count = 0;
    return rc;
}
