/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "study/statement.h"
#include "worker/worker.h"

static const struct cid *study_of(const struct worker *w)
{
    return &w->home->invitation.study;
}

static const struct key_public *coordinator_of(const struct worker *w)
{
    return &w->home->invitation.coordinator;
}

static bool is_study_cid(const struct cid *c)
{
    return c->size == CID_BYTES_V1 && cid_digest(c) != NULL;
}

/* Fills event's statement and `out` from signed bytes; false, and logged, if they do not verify. */
static bool take_head(struct worker *w, const struct buf *signed_head, struct task_evidence *keep,
                      struct head_statement *out)
{
    struct err err = {.text = "it names no round"};
    if (statement_decode_head(buf_bytes(signed_head), study_of(w), coordinator_of(w), out, &err) ==
            0 &&
        out->round > 0 && is_study_cid(&out->record) &&
        task_evidence_set(keep, buf_bytes(signed_head)))
        return true;
    log_warn("ignored", "what=\"head statement\" why=\"%s\"", err.text);
    return false;
}

/* --- what the coordinator says of itself --- */

/* Said once; the trying goes on. */
static void say_unadmitted(struct worker *w, const char *sentence)
{
    w->session.welcomed = false;
    if (w->session.told_unadmitted)
        return;
    w->session.told_unadmitted = true;
    snprintf(w->trouble, sizeof w->trouble, "%s", sentence);
    snprintf(w->advice, sizeof w->advice,
             "the coordinator's people admit a site by its string, which `colmeia-worker site "
             "%.512s` prints",
             w->home->dir);
    perform_say(w, NULL, "not admitted yet, trying on: %s; %s", sentence, w->advice);
    event_log_put(&w->log, "not-admitted", "{s:s}", "sentence", sentence);
}

static bool take_denied(struct worker *w, const struct msg *m)
{
    struct buf sentence = buf_new(WORKER_SENTENCE_MAX);
    buf_append_format(&sentence, "the coordinator says %s: ", m->code);
    log_escape(&sentence, bytes_of_text(m->text));
    say_unadmitted(w, buf_text(&sentence));
    buf_fini(&sentence);
    return false;
}

static bool take_greet(struct worker *w, uint64_t time_ms)
{
    w->session.welcomed = false;
    if (time_ms - w->session.greeted_ms >= WORKER_GREET_MS)
        perform_hello(w);
    return false;
}

/* A newer head, whoever brings it. */
static bool take_newer(struct worker *w, const struct buf *signed_head, struct task_event *e)
{
    struct head_statement head;
    memset(e, 0, sizeof *e);
    if (!take_head(w, signed_head, &e->statement, &head))
        return false;
    e->type = TASK_HEAD;
    e->round = head.round;
    e->record = head.record;
    if (head.round < w->task.seen.round)
        log_warn("old-head", "shown=%llu seen=%llu", (unsigned long long)head.round,
                 (unsigned long long)w->task.seen.round);
    return true;
}

static bool take_welcome(struct worker *w, const struct msg *m, uint64_t time_ms,
                         struct task_event *e)
{
    struct session *s = &w->session;
    if (m->agreed != MSG_VERSION) {
        log_error("ignored", "what=welcome why=\"version %u was not offered\"", m->agreed);
        return false;
    }
    bool first = !s->welcomed && !w->finished;
    s->welcomed = true;
    s->told_unadmitted = false;
    s->refusals = 0;
    s->site = m->site;
    memcpy(s->boot, m->welcome_boot, sizeof s->boot);
    memcpy(s->token, m->token, sizeof s->token);
    s->renew_ms = time_ms + m->token_ms - m->token_ms / 4;
    if (first) {
        w->trouble[0] = w->advice[0] = '\0';
        perform_say(w, NULL, "connected as site %u", m->site);
        event_log_put(&w->log, "welcome", "{s:I}", "site", (json_int_t)m->site);
        worker_hurry(w, time_ms);
    }
    w->nudged = true; /* what waited for the token */
    return m->head.size > 0 && take_newer(w, &m->head, e);
}

static bool take_wait(struct worker *w, const struct msg *m, uint64_t time_ms)
{
    uint64_t wait = m->retry_ms;
    if (w->task.phase != TASK_IDLE)
        return false;
    snprintf(w->waits_for, sizeof w->waits_for, "%s", m->text);
    if (wait < WORKER_RETRY_MS)
        wait = WORKER_RETRY_MS;
    if (wait > WORKER_RETRY_MAX_MS)
        wait = WORKER_RETRY_MAX_MS;
    w->retry_ms = time_ms + wait;
    return false;
}

/* --- tasks --- */

/* What the site's people decided, as it stands now. */
static bool read_policy(struct worker *w)
{
    struct err err;
    if (home_read_policy(w->home->dir, &w->home->policy, &err) == 0)
        return true;
    worker_trouble(w, "config", err.text, "mend the folder's config.toml");
    return false;
}

static bool take_order(const struct msg *m, struct task_order *o)
{
    memset(o, 0, sizeof *o);
    o->round = m->round;
    o->exchange = m->exchange;
    o->site = m->site;
    memcpy(o->rule, m->rule, strnlen(m->rule, sizeof o->rule - 1));
    o->plan = m->plan;
    o->roster = m->roster;
    o->prev = m->prev;
    o->base = m->base;
    return o->round > 0 && o->exchange < RULE_EXCHANGES_MAX && is_study_cid(&o->plan) &&
           is_study_cid(&o->roster) && is_study_cid(&o->prev) && is_study_cid(&o->base);
}

/* The coordinator must have signed that `prev` is the record of the round before. */
static bool confirms(struct worker *w, const struct msg *m, struct task_event *e)
{
    struct head_statement head;
    if (m->round == 1)
        return cid_equal(&m->prev, study_of(w)) && m->head.size == 0;
    return take_head(w, &m->head, &e->statement, &head) && head.round == m->round - 1 &&
           cid_equal(&head.record, &m->prev);
}

static bool take_task(struct worker *w, const struct msg *m, uint64_t time_ms, struct task_event *e)
{
    memset(e, 0, sizeof *e);
    e->type = TASK_ORDERED;
    if (!take_order(m, &e->order) || !read_policy(w))
        return false;
    if (m->round <= w->task.done)
        return false; /* an echo */
    if (!cid_equal(&m->plan, &w->home->policy.plan)) {
        perform_refuse(w, m->round, VERDICT_OTHER_PLAN, &m->plan, "");
        return false;
    }
    if (!confirms(w, m, e)) {
        perform_refuse(w, m->round, VERDICT_UNSIGNED_HEAD, NULL, "");
        return false;
    }
    worker_hurry(w, time_ms);
    return true;
}

static bool take_done(struct worker *w, const struct msg *m, struct task_event *e)
{
    struct head_statement head;
    struct task_evidence scratch;
    if (!take_head(w, &m->head, &scratch, &head) || head.round < w->task.seen.round)
        return false;
    w->final.round = head.round;
    w->final.record = head.record;
    w->nudged = true;
    return take_newer(w, &m->head, e);
}

/* --- answers to the update, or to its decline --- */

/* Of a declined task there is no record, and only its refusal has none. */
static bool is_ours(const struct worker *w, const struct msg *m)
{
    const struct task *t = &w->task;
    bool about =
        t->phase == TASK_DECLINE ? cid_is_none(&m->record) : cid_equal(&m->record, &t->record);
    return (t->phase == TASK_SEND || t->phase == TASK_DECLINE) && m->round == t->order.round &&
           about;
}

static bool take_list_of_missing(struct worker *w, struct msg *m, uint64_t time_ms,
                                 struct task_event *e)
{
    bool asked_again = w->task.phase == TASK_IDLE && m->round == w->task.done &&
                       cid_equal(&m->record, &w->task.record);
    if (!is_ours(w, m) && !asked_again)
        return false;
    free(w->listed);
    w->listed = m->cids;
    w->listed_count = m->cid_count;
    m->cids = NULL;
    m->cid_count = 0;
    memset(e, 0, sizeof *e);
    e->type = TASK_LISTED;
    e->round = m->round;
    e->record = m->record;
    e->count = w->listed_count;
    worker_hurry(w, time_ms);
    return true;
}

static bool take_accepted(struct worker *w, const struct msg *m, uint64_t time_ms,
                          struct task_event *e)
{
    struct receipt receipt;
    struct err err;
    if (!is_ours(w, m))
        return false;
    task_end(&w->task, true, e);
    if (statement_decode_receipt(buf_bytes(&m->receipt), study_of(w), coordinator_of(w), &receipt,
                                 &err) != 0 ||
        receipt.round != m->round || !cid_equal(&receipt.record, &m->record) ||
        !task_evidence_set(&e->receipt, buf_bytes(&m->receipt))) {
        log_warn("ignored", "what=acknowledgement why=\"its receipt is not a valid one\"");
        return false;
    }
    memset(&w->answer, 0, sizeof w->answer);
    w->answer.order = w->task.order;
    worker_hurry(w, time_ms);
    FAULT_POINT("worker-accepted-before-commit");
    return true;
}

/* Every refusal comes with a record that can be shown to anybody. */
static bool take_refused(struct worker *w, const struct msg *m, uint64_t time_ms,
                         struct task_event *e)
{
    struct answer *a = &w->answer;
    struct refusal r;
    if (!is_ours(w, m))
        return false;
    if (refusal_decode(buf_bytes(&m->refusal), study_of(w), coordinator_of(w), &r, NULL) != 0 ||
        r.round != m->round || !cid_equal(&r.site, &w->home->site.cid) ||
        (!cid_is_none(&r.record) && !cid_equal(&r.record, &m->record))) {
        log_warn("ignored", "what=refusal why=\"its record is not a valid one\"");
        return false;
    }
    memset(a, 0, sizeof *a);
    a->order = w->task.order;
    a->code = r.code;
    memcpy(a->sentence, r.sentence, sizeof a->sentence);
    task_end(&w->task, false, e);
    worker_hurry(w, time_ms);
    return true;
}

/* --- dispatch --- */

static bool take_message(struct worker *w, uint64_t time_ms, struct task_event *e)
{
    struct msg m;
    struct err err;
    bool made = false;
    if (msg_decode(buf_bytes(&w->message.body), &m, &err) != 0) {
        log_warn("ignored", "what=message why=\"%s\"", err.text);
        return false;
    }
    if (cid_equal(&m.study, study_of(w)))
        switch (m.type) {
        case MSG_WELCOME:
            made = take_welcome(w, &m, time_ms, e);
            break;
        case MSG_WAIT:
            made = take_wait(w, &m, time_ms);
            break;
        case MSG_TASK:
            made = take_task(w, &m, time_ms, e);
            break;
        case MSG_DONE:
            made = take_done(w, &m, e);
            break;
        case MSG_LIST:
            made = take_list_of_missing(w, &m, time_ms, e);
            break;
        case MSG_ACCEPTED:
            made = take_accepted(w, &m, time_ms, e);
            break;
        case MSG_REFUSED:
            made = take_refused(w, &m, time_ms, e);
            break;
        case MSG_GREET:
            made = take_greet(w, time_ms);
            break;
        case MSG_DENIED:
            made = take_denied(w, &m);
            break;
        case MSG_HELLO: /* a worker's own, and hints, which come another way */
        case MSG_WANT:
        case MSG_MISSING:
        case MSG_SUBMIT:
        case MSG_DECLINE:
        case MSG_HEAD:
            break;
        }
    msg_fini(&m);
    return made;
}

static bool take_hint(struct worker *w, struct task_event *e)
{
    struct msg m;
    if (msg_decode(buf_bytes(&w->message.body), &m, NULL) != 0)
        return false;
    bool is_head = m.type == MSG_HEAD && cid_equal(&m.study, study_of(w));
    memset(e, 0, sizeof *e);
    e->type = TASK_HINT;
    e->round = m.round;
    msg_fini(&m);
    return is_head;
}

static void take_connected(struct worker *w, uint64_t time_ms)
{
    w->session.connected = true;
    w->session.welcomed = false;
    w->hold_ms = 0;
    event_log_put(&w->log, "connected", "{}");
    perform_hello(w);
    worker_hurry(w, time_ms);
}

static void take_lost(struct worker *w)
{
    w->session.connected = false;
    w->session.welcomed = false;
    if (!w->session.told_unadmitted)
        worker_trouble(w, "connection-lost", "the connection to the coordinator is lost", "");
}

/* Takes one thing in from the bus: *made says whether it became an event. False: nothing there. */
static bool receive(struct worker *w, uint64_t time_ms, struct task_event *e, bool *made)
{
    *made = false;
    switch (w->world->receive(w->world->self, &w->message)) {
    case WORLD_NOTHING:
        return false;
    case WORLD_MESSAGE:
        *made = take_message(w, time_ms, e);
        return true;
    case WORLD_HINT:
        *made = take_hint(w, e);
        return true;
    case WORLD_CONNECTED:
        take_connected(w, time_ms);
        return true;
    case WORLD_LOST:
        take_lost(w);
        return true;
    case WORLD_REFUSED:
        w->session.connected = false;
        if (++w->session.refusals > 1)
            say_unadmitted(w, "the coordinator does not know this site's key");
        return true;
    case WORLD_STOP:
        w->stop = true;
        return true;
    }
    return false;
}

static bool retry(struct task_event *e)
{
    memset(e, 0, sizeof *e);
    e->type = TASK_RETRY;
    return true;
}

/* Before a welcome there is only one thing to ask for. */
static bool take_time(struct worker *w, uint64_t time_ms, struct task_event *e)
{
    struct session *s = &w->session;
    if (s->welcomed && time_ms >= s->renew_ms) {
        s->renew_ms = time_ms + WORKER_RETRY_MAX_MS;
        perform_hello(w);
    }
    if (w->nudged) {
        w->nudged = false;
        return retry(e);
    }
    if (time_ms < w->retry_ms)
        return false;
    worker_back_off(w, time_ms);
    if (!s->welcomed)
        perform_hello(w);
    return retry(e);
}

bool listen_next(void *self, uint64_t time_ms, void *event)
{
    struct worker *w = self;
    struct task_event *e = event;
    struct job *job;
    bool made;
    while ((job = w->world->take_done(w->world->self)) != NULL)
        if (errand_finish(w, job, time_ms, e))
            return true;
    while (receive(w, time_ms, e, &made))
        if (made)
            return true;
    return take_time(w, time_ms, e);
}
