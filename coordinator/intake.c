/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/state.h"
#include "study/statement.h"

#define DRAIN_MAX 1024 /* messages and jobs looked at in one turn */

static void make(struct round_event *e, enum round_event_type type, uint32_t site,
                 const struct msg *m)
{
    memset(e, 0, sizeof *e);
    e->type = type;
    e->site = site;
    e->round = m->round;
    e->record = m->record;
}

static void answer(struct coordinator *c, uint32_t site, enum msg_type type, const char *code,
                   const char *sentence)
{
    struct msg m;
    msg_init(&m, type);
    snprintf(m.code, sizeof m.code, "%s", code);
    snprintf(m.text, sizeof m.text, "%s", sentence);
    act_send(c, site, &m);
    msg_fini(&m);
}

bool intake_may_warn(struct coordinator *c, uint32_t site)
{
    struct presence *p = &c->presence[site];
    uint64_t now_ms = loop_time_ms(&c->loop) + 1; /* never 0 */
    if (p->warned_ms != 0 && now_ms - p->warned_ms < COORDINATOR_WARN_MS)
        return false;
    p->warned_ms = now_ms;
    return true;
}

static void deny(struct coordinator *c, uint32_t site, const char *code, const char *sentence)
{
    if (intake_may_warn(c, site))
        log_warn("site-denied", "site=%s code=%s", c->roster.sites[site].site.name, code);
    answer(c, site, MSG_DENIED, code, sentence);
}

/* --- evidence --- */

void intake_rolled_back(struct coordinator *c, uint32_t site, const char *what)
{
    coordinator_fail(c,
                     "site %s holds %s, signed by this coordinator, of which %.400s knows nothing: "
                     "the folder was set back to an earlier state. Put the newest copy of it back; "
                     "going on would make two histories of one study",
                     c->roster.sites[site].site.name, what, c->folder.dir);
}

/* A receipt names a frame that was durable when we signed it. Returns whether all is well. */
static bool check_receipt(struct coordinator *c, uint32_t site, struct bytes in)
{
    struct key_public key = key_public(c->folder.coordinator);
    struct receipt receipt;
    struct err err = {0};
    uint8_t hash[HASH_BYTES];
    if (in.size == 0)
        return true;
    if (statement_decode_receipt(in, &c->folder.study_id, &key, &receipt, &err) != 0) {
        deny(c, site, "bad-evidence", "the receipt shown is not this coordinator's");
        return false;
    }
    int rc = receipt.sequence > journal_tail(c->loop.journal).sequence
                 ? ERR_NOTFOUND
                 : journal_find(c->loop.journal, receipt.sequence, hash, &err);
    if (rc == ERR_NOTFOUND || (rc == 0 && memcmp(hash, receipt.hash, sizeof hash) != 0)) {
        intake_rolled_back(c, site, "a receipt for an update");
        return false;
    }
    if (rc != 0)
        coordinator_fail(c, "journal: %s", err.text);
    return rc == 0;
}

/* Shown a statement of ours, is it in our chain? Welcomes the site if it is. */
static void check_head(struct coordinator *c, uint32_t site, struct bytes in)
{
    struct key_public key = key_public(c->folder.coordinator);
    const struct round *r = c->round;
    struct head_statement head;
    if (in.size == 0) {
        act_welcome(c, site);
        return;
    }
    if (statement_decode_head(in, &c->folder.study_id, &key, &head, NULL) != 0) {
        deny(c, site, "bad-evidence", "the head statement shown is not this coordinator's");
        return;
    }
    if (head.round + 1 < r->number) {
        look_up_evidence(c, site, head.round, &head.record);
        return;
    }
    if (head.round + 1 > r->number || !cid_equal(&head.record, &r->prev)) {
        intake_rolled_back(c, site, "a newer or another round record");
        return;
    }
    c->presence[site].has_end = r->phase == ROUND_FINISHED;
    act_welcome(c, site);
}

static void hello(struct coordinator *c, uint32_t site, const struct msg *m)
{
    if (m->least > MSG_VERSION || m->most < MSG_VERSION)
        deny(c, site, "version",
             "this coordinator speaks version 1 of the protocol; take another release of the "
             "worker");
    else if (check_receipt(c, site, buf_bytes(&m->receipt)))
        check_head(c, site, buf_bytes(&m->head));
}

/* --- messages --- */

/* Only the code of it is believed to be one. */
static bool decline(struct coordinator *c, uint32_t site, const struct msg *m,
                    struct round_event *e)
{
    make(e, ROUND_DECLINE, site, m);
    e->code = refusal_parse(m->code);
    if (refusal_is_decline(e->code))
        return true;
    if (intake_may_warn(c, site))
        log_warn("message-refused", "site=%s why=\"a task is not declined by code %s\"",
                 c->roster.sites[site].site.name, m->code);
    return false;
}

/* Returns whether the message made an event. */
static bool take_body(struct coordinator *c, uint32_t site, const struct msg *m,
                      struct round_event *e)
{
    if (m->type == MSG_HELLO) {
        hello(c, site, m);
        return false;
    }
    if (!m->has_boot || memcmp(m->boot, c->boot, sizeof m->boot) != 0) {
        answer(c, site, MSG_GREET, "", "");
        return false;
    }
    switch (m->type) {
    case MSG_WANT:
        make(e, ROUND_WANT, site, m);
        return true;
    case MSG_MISSING:
        make(e, ROUND_MISSING, site, m);
        return true;
    case MSG_SUBMIT:
        make(e, ROUND_SUBMIT, site, m);
        return true;
    case MSG_DECLINE:
        return decline(c, site, m, e);
    default: /* nothing that a worker sends */
        return false;
    }
}

static bool take_message(struct coordinator *c, uint64_t time_ms, struct round_event *e)
{
    long found = roster_find_curve(&c->roster, &c->message.peer);
    struct err err = {0};
    struct msg m;
    if (found < 0)
        return false; /* its key was taken off the list just now */
    uint32_t site = (uint32_t)found;
    if (msg_decode(buf_bytes(&c->message.body), &m, &err) != 0) {
        if (intake_may_warn(c, site))
            log_warn("message-refused", "site=%s why=\"%s\"", c->roster.sites[site].site.name,
                     err.text);
        return false;
    }
    bool made = false;
    struct presence *p = &c->presence[site];
    if (cid_equal(&m.study, &c->folder.study_id)) {
        p->has_route = true;
        p->route = c->message.route;
        p->seen_ms = time_ms;
        p->asked = m.sequence;
        if (c->roster.sites[site].until <= c->round->number)
            deny(c, site, "not-active", "the roster does not admit this site any more");
        else
            made = take_body(c, site, &m, e);
    }
    msg_fini(&m);
    return made;
}

/* --- the roster --- */

/* For HTTP threads: which sites may read and send. */
static void publish_active(struct coordinator *c)
{
    for (size_t w = 0; w < ROUND_SET_WORDS; w++) {
        uint64_t bits = 0;
        for (size_t i = 64 * w; i < 64 * (w + 1) && i < c->roster.count; i++)
            if (c->roster.sites[i].until > c->round->number)
                bits |= 1ull << (i % 64);
        atomic_store(&c->active[w], bits);
    }
}

static int allow(struct coordinator *c, struct err *err)
{
    size_t count = 0;
    struct key_public *keys = calloc(c->roster.count + 1, sizeof *keys);
    if (keys == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->roster.count; i++)
        if (c->roster.sites[i].until > c->round->number)
            keys[count++] = c->roster.sites[i].site.curve;
    publish_active(c);
    c->allowed_round = c->round->number;
    int rc = c->world->allow(c->world->self, keys, count, err);
    free(keys);
    return rc;
}

int intake_roster(struct coordinator *c, struct err *err)
{
    struct cid newest;
    struct roster next = {0};
    size_t known = c->roster.count;
    int rc = folder_read_cid(c->files, c->folder.dir, "roster", &newest, err);
    if (rc != 0)
        return rc;
    if (cid_equal(&newest, &c->roster.cid)) /* a site's last round may be over */
        return c->allowed_round == c->round->number ? 0 : allow(c, err);
    rc = roster_load(c->store, &c->folder.study_id, &c->study.charter.founder, &newest, &next, err);
    if (rc == 0)
        rc = roster_check_append(&c->roster, &next, err);
    if (rc != 0) {
        roster_fini(&next);
        return err_wrap(err, rc, "roster");
    }
    roster_fini(&c->roster);
    c->roster = next;
    for (size_t i = known; i < next.count; i++) {
        const char *name = next.sites[i].site.name;
        event_log_put(&c->log.events, "site-admitted", "{s:s}", "site", name);
        round_log_say(&c->log, "site %s is admitted", name);
    }
    return allow(c, err);
}

/* --- the tick --- */

uint64_t intake_room_needed(const struct coordinator *c)
{
    const struct plan *plan = &c->study.plan;
    uint64_t admitted = 0;
    for (size_t i = 0; i < c->roster.count; i++)
        admitted += roster_is_active(&c->roster, i, c->round->number) ? 1 : 0;
    uint64_t selected = plan_wanted(plan, c->round->number, admitted);
    if (selected > ROUND_SLOTS_MAX)
        selected = ROUND_SLOTS_MAX;
    const struct layout *l = c->study.layout;
    return selected * layout_update_bytes(l) +
           2 * (l->data_bytes + state_bytes(l, optimiser_slots(plan->optimiser.kind)));
}

/* A round opens only where its updates and models have room. */
static bool has_room(struct coordinator *c)
{
    uint64_t there = 0, needed = intake_room_needed(c);
    char a[TEXT_SMALL], b[TEXT_SMALL];
    bool room =
        c->files->free_bytes(c->files->self, c->folder.dir, &there, NULL) != 0 || there >= needed;
    if (!room && !c->no_room)
        log_error("disk-full", "dir=\"%s\" free=%s needed=%s: round %llu waits for room",
                  c->folder.dir, text_format_size(there, a), text_format_size(needed, b),
                  (unsigned long long)c->round->number);
    c->no_room = !room;
    return room;
}

static bool tick(struct coordinator *c, uint64_t time_ms, struct round_event *e)
{
    const struct round *r = c->round;
    if (r->phase != ROUND_COLLECT && (r->phase != ROUND_GATHER || !has_room(c)))
        return false;
    memset(e, 0, sizeof *e);
    e->type = ROUND_TICK;
    e->time_ms = time_ms;
    e->roster = c->roster.cid;
    for (size_t i = 0; i < c->roster.count; i++) {
        if (!roster_is_active(&c->roster, i, r->number))
            continue;
        e->admitted++;
        if (coordinator_is_online(c, i, time_ms))
            e->online[i / 64] |= 1ull << (i % 64);
    }
    return true;
}

/* --- the loop's next event --- */

/* One message or finished job. *made: it is an event. False: there is none. */
static bool drain_one(struct coordinator *c, uint64_t time_ms, struct round_event *e, bool *made)
{
    struct job *job = c->world->take_done(c->world->self);
    if (job != NULL) {
        *made = work_finish(c, job, e);
        return true;
    }
    switch (c->world->receive(c->world->self, &c->message)) {
    case WORLD_MESSAGE:
        *made = take_message(c, time_ms, e);
        return true;
    case WORLD_STOP:
        c->stop = true;
        return false;
    default:
        return false;
    }
}

bool intake_next(void *self, uint64_t time_ms, void *event)
{
    struct coordinator *c = self;
    bool made = false;
    atomic_store(&c->time_ms, time_ms);
    while (!c->stop && c->drained++ < DRAIN_MAX && drain_one(c, time_ms, event, &made))
        if (made)
            return true;
    if (!c->stop && !c->ticked) {
        c->ticked = true;
        if (tick(c, time_ms, event))
            return true;
    }
    c->ticked = false;
    c->drained = 0;
    return false;
}
