/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/task.h"

#include <assert.h>

static struct task_effect *wish(struct task_effects *out, enum task_effect_type type,
                                uint64_t round)
{
    static struct task_effect lost; /* any effect may be lost; the timer asks again */
    struct task_effect *x = out->count == TASK_EFFECTS_MAX ? &lost : &out->items[out->count++];
    memset(x, 0, sizeof *x);
    x->type = type;
    x->round = round;
    return x;
}

static void refuse(struct task_effects *out, uint64_t round, enum verdict verdict)
{
    wish(out, TASK_SAY_REFUSED, round)->verdict = verdict;
}

/* The one place where the phase changes, against the table of docs/protocol.md. */
static void set_phase(struct task *t, enum task_phase to)
{
    static const uint8_t edges[] = {
        [TASK_NEW] = 1 << TASK_IDLE,
        [TASK_IDLE] = 1 << TASK_FETCH,
        [TASK_FETCH] = 1 << TASK_FETCH | 1 << TASK_TRAIN | 1 << TASK_IDLE,
        [TASK_TRAIN] = 1 << TASK_FETCH | 1 << TASK_SEND | 1 << TASK_IDLE | 1 << TASK_DECLINE,
        [TASK_SEND] = 0, /* left by `ended` alone, which begins anew */
        [TASK_DECLINE] = 1 << TASK_FETCH | 1 << TASK_IDLE,
    };
    assert((edges[t->phase] >> to & 1) != 0);
    t->phase = to;
}

/* Has it a task of which nothing is sealed? The end of its round ends that, too. */
static bool has_task(const struct task *t)
{
    return t->phase == TASK_FETCH || t->phase == TASK_TRAIN || t->phase == TASK_DECLINE;
}

/* Leaves a task whose round is over before anything of it was sealed. */
static void drop(struct task *t, struct task_effects *out)
{
    wish(out, TASK_CANCEL_JOB, t->order.round);
    wish(out, TASK_SAY_DROPPED, t->order.round);
    memset(&t->order, 0, sizeof t->order);
    t->code = REFUSAL_NONE;
}

static void see(struct task *t, uint64_t round, const struct cid *record,
                const struct task_evidence *statement)
{
    t->seen.round = round;
    t->seen.record = *record;
    memcpy(&t->statement, statement, sizeof t->statement);
}

static bool ordered(struct task *t, const struct task_event *e, struct task_effects *out)
{
    const struct task_order *o = &e->order;
    if (t->phase == TASK_NEW || o->round == 0 || o->round <= t->done)
        return false;
    if (t->phase == TASK_SEND) { /* finish first; a newer round may have closed ours */
        if (o->round > t->order.round)
            wish(out, TASK_SEND_MISSING, t->order.round);
        return false;
    }
    if (memcmp(o, &t->order, sizeof *o) == 0 || o->round - 1 < t->seen.round)
        return false; /* an echo, or old */
    if (has_task(t) && o->round == t->order.round) {
        refuse(out, o->round, VERDICT_CONFLICT);
        return false;
    }
    if (o->round - 1 == t->seen.round && !cid_equal(&o->prev, &t->seen.record)) {
        refuse(out, o->round, VERDICT_NOT_DESCENDING);
        return false;
    }
    if (has_task(t))
        drop(t, out);
    see(t, o->round - 1, &o->prev, &e->statement);
    memcpy(&t->order, o, sizeof t->order);
    set_phase(t, TASK_FETCH);
    wish(out, TASK_SAY_TAKEN, o->round);
    wish(out, TASK_FETCH_JOB, o->round);
    return true;
}

static bool head(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase == TASK_NEW || e->round < t->seen.round)
        return false;
    if (e->round == t->seen.round) {
        if (!cid_equal(&e->record, &t->seen.record))
            refuse(out, e->round, VERDICT_NOT_DESCENDING);
        return false;
    }
    see(t, e->round, &e->record, &e->statement);
    if (t->phase == TASK_SEND) {
        wish(out, TASK_SEND_MISSING, t->order.round);
        return true;
    }
    if (has_task(t)) { /* `seen` was the head below the task, so a newer one closes its round */
        drop(t, out);
        set_phase(t, TASK_IDLE);
    }
    wish(out, TASK_SEND_WANT, t->done);
    return true;
}

static bool fetched(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase != TASK_FETCH || e->round != t->order.round)
        return false;
    t->proven.round = t->order.round - 1;
    t->proven.record = t->order.prev;
    set_phase(t, TASK_TRAIN);
    wish(out, TASK_SAY_FETCHED, e->round);
    wish(out, TASK_TRAIN_JOB, e->round);
    return true;
}

static bool sealed(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase != TASK_TRAIN || e->round != t->order.round)
        return false;
    t->record = e->record;
    set_phase(t, TASK_SEND);
    wish(out, TASK_SAY_SEALED, e->round)->record = e->record;
    wish(out, TASK_SEND_MISSING, e->round);
    return true;
}

static bool failed(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase != TASK_TRAIN || e->round != t->order.round)
        return false;
    t->code = e->code;
    set_phase(t, TASK_DECLINE);
    wish(out, TASK_SAY_DECLINED, e->round)->code = e->code;
    wish(out, TASK_SEND_DECLINE, e->round);
    return true;
}

/* The order stays, so that the same task is an echo from now on. */
static bool unfit(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase != TASK_FETCH || e->round != t->order.round)
        return false;
    set_phase(t, TASK_IDLE);
    refuse(out, e->round, e->verdict);
    return true;
}

static bool base_lost(struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase != TASK_TRAIN || e->round != t->order.round)
        return false;
    set_phase(t, TASK_FETCH);
    wish(out, TASK_FETCH_JOB, e->round);
    return true;
}

/* What an answer to the task in hand is about: the sealed update, or nothing if it is declined. */
static struct cid answered_record(const struct task *t)
{
    return t->phase == TASK_DECLINE ? (struct cid){.size = 0} : t->record;
}

static bool is_answer(const struct task *t, const struct task_event *e)
{
    struct cid record = answered_record(t);
    return (t->phase == TASK_SEND || (t->phase == TASK_DECLINE && !e->accepted)) &&
           e->round == t->order.round && cid_equal(&e->record, &record);
}

static bool ended(struct task *t, const struct task_event *e, struct task_effects *out)
{
    bool ours = is_answer(t, e);
    if (t->phase != TASK_NEW && !ours)
        return false;
    memset(t, 0, sizeof *t);
    t->done = e->round;
    t->record = e->record;
    t->proven = e->proven;
    t->receipt = e->receipt;
    see(t, e->seen.round, &e->seen.record, &e->statement);
    set_phase(t, TASK_IDLE);
    if (ours) {
        struct task_effect *said = wish(out, TASK_SAY_ANSWERED, e->round);
        said->record = e->record;
        said->accepted = e->accepted;
        wish(out, TASK_CANCEL_JOB, e->round);
    }
    wish(out, TASK_SEND_WANT, e->round);
    return true;
}

/* Blocks of the update answered last were found damaged over there; no answer is due. */
static void repair(const struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (e->type == TASK_LISTED && e->count > 0 && e->round == t->done &&
        cid_equal(&e->record, &t->record))
        wish(out, TASK_REPAIR_JOB, e->round);
}

static void sending(const struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (e->round != t->order.round || !cid_equal(&e->record, &t->record))
        return;
    if (e->type == TASK_LISTED && e->count > 0)
        wish(out, TASK_UPLOAD_JOB, e->round);
    else if (e->type == TASK_UPLOADED && e->more)
        wish(out, TASK_SEND_MISSING, e->round);
    else
        wish(out, TASK_SEND_SUBMIT, e->round);
}

static void hint(const struct task *t, const struct task_event *e, struct task_effects *out)
{
    if (t->phase == TASK_IDLE)
        wish(out, TASK_SEND_WANT, t->done);
    else if (has_task(t) && e->round >= t->order.round)
        wish(out, TASK_SEND_HELLO, e->round); /* Welcome brings the signed head */
    else if (t->phase == TASK_SEND && e->round >= t->order.round)
        wish(out, TASK_SEND_MISSING, t->order.round);
}

/* A want while at work is a sign of life; its answer is an echo. */
static void retry(const struct task *t, struct task_effects *out)
{
    if (t->phase == TASK_FETCH)
        wish(out, TASK_FETCH_JOB, t->order.round);
    else if (t->phase == TASK_TRAIN)
        wish(out, TASK_TRAIN_JOB, t->order.round);
    if (t->phase == TASK_SEND)
        wish(out, TASK_SEND_MISSING, t->order.round);
    else if (t->phase == TASK_DECLINE)
        wish(out, TASK_SEND_DECLINE, t->order.round);
    else if (t->phase != TASK_NEW)
        wish(out, TASK_SEND_WANT, t->done);
}

bool task_step(struct task *t, const struct task_event *e, struct task_effects *out)
{
    switch (e->type) {
    case TASK_ENDED:
        return ended(t, e, out);
    case TASK_ORDERED:
        return ordered(t, e, out);
    case TASK_HEAD:
        return head(t, e, out);
    case TASK_FETCHED:
        return fetched(t, e, out);
    case TASK_SEALED:
        return sealed(t, e, out);
    case TASK_FAILED:
        return failed(t, e, out);
    case TASK_UNFIT:
        return unfit(t, e, out);
    case TASK_BASE_LOST:
        return base_lost(t, e, out);
    case TASK_LISTED:
    case TASK_UPLOADED:
        if (t->phase == TASK_SEND)
            sending(t, e, out);
        else if (t->phase == TASK_IDLE)
            repair(t, e, out);
        return false;
    case TASK_HINT:
        hint(t, e, out);
        return false;
    case TASK_RETRY:
        retry(t, out);
        return false;
    }
    return false;
}

void task_begin(const struct cid *study, struct task_event *out)
{
    memset(out, 0, sizeof *out);
    out->type = TASK_ENDED;
    out->proven.record = *study;
    out->seen.record = *study;
}

void task_end(const struct task *t, bool accepted, struct task_event *out)
{
    memset(out, 0, sizeof *out);
    out->type = TASK_ENDED;
    out->round = t->order.round;
    out->record = answered_record(t);
    out->accepted = accepted;
    out->proven = t->proven;
    out->seen = t->seen;
    out->statement = t->statement;
    out->receipt = t->receipt;
}

bool task_evidence_set(struct task_evidence *e, struct bytes from)
{
    if (from.size > sizeof e->bytes)
        return false;
    memset(e, 0, sizeof *e);
    e->size = (uint32_t)from.size;
    if (from.size > 0)
        memcpy(e->bytes, from.data, from.size);
    return true;
}

/* --- words --- */

const char *task_phase_name(enum task_phase p)
{
    static const char *const names[] = {"new", "idle", "fetch", "train", "send", "decline"};
    return names[p];
}

/* --- the journal's form --- */

static void put_head(struct buf *out, const struct task_head *h)
{
    cbor_put_uint(out, h->round);
    cbor_put_link(out, &h->record);
}

static void put_evidence(struct buf *out, const struct task_evidence *e)
{
    cbor_put_bytes(out, bytes_of(e->bytes, e->size));
}

static void put_order(struct buf *out, const struct task_order *o)
{
    cbor_put_uint(out, o->round);
    cbor_put_uint(out, o->exchange);
    cbor_put_uint(out, o->site);
    cbor_put_text(out, o->rule);
    cbor_put_link(out, &o->plan);
    cbor_put_link(out, &o->roster);
    cbor_put_link(out, &o->prev);
    cbor_put_link(out, &o->base);
}

void task_event_encode(const struct task_event *e, struct buf *out)
{
    static const uint8_t items[TASK_FAILED + 1] = {
        [TASK_ENDED] = 11, [TASK_ORDERED] = 10, [TASK_HEAD] = 4,      [TASK_FETCHED] = 2,
        [TASK_SEALED] = 3, [TASK_UNFIT] = 3,    [TASK_BASE_LOST] = 2, [TASK_FAILED] = 3};
    if (items[e->type] == 0)
        return; /* the others never change the state */
    cbor_put_array(out, items[e->type]);
    cbor_put_uint(out, e->type);
    if (e->type == TASK_ENDED)
        cbor_put_uint(out, TASK_VERSION);
    if (e->type == TASK_ORDERED)
        put_order(out, &e->order);
    else
        cbor_put_uint(out, e->round);
    if (e->type == TASK_ENDED || e->type == TASK_HEAD || e->type == TASK_SEALED)
        cbor_put_link_or_null(out, &e->record);
    if (e->type == TASK_UNFIT)
        cbor_put_uint(out, e->verdict);
    if (e->type == TASK_FAILED)
        cbor_put_text(out, refusal_name(e->code));
    if (e->type == TASK_ENDED) {
        cbor_put_bool(out, e->accepted);
        put_head(out, &e->proven);
        put_head(out, &e->seen);
    }
    if (e->type == TASK_ENDED || e->type == TASK_HEAD || e->type == TASK_ORDERED)
        put_evidence(out, &e->statement);
    if (e->type == TASK_ENDED)
        put_evidence(out, &e->receipt);
}

static void take_head(struct cbor *r, struct task_head *out)
{
    out->round = cbor_take_uint(r, UINT64_MAX - 1);
    out->record = cbor_take_link(r);
}

static void take_evidence(struct cbor *r, struct task_evidence *out)
{
    if (!task_evidence_set(out, cbor_take_bytes(r, sizeof out->bytes)))
        cbor_fail(r, "evidence is too long");
}

static void take_order(struct cbor *r, struct task_order *out)
{
    out->round = cbor_take_uint(r, UINT64_MAX - 1);
    out->exchange = (uint32_t)cbor_take_uint(r, RULE_EXCHANGES_MAX - 1);
    out->site = (uint32_t)cbor_take_uint(r, UINT32_MAX);
    cbor_take_string(r, out->rule, sizeof out->rule);
    out->plan = cbor_take_link(r);
    out->roster = cbor_take_link(r);
    out->prev = cbor_take_link(r);
    out->base = cbor_take_link(r);
}

static void take_ended(struct cbor *r, struct task_event *out)
{
    out->round = cbor_take_uint(r, UINT64_MAX - 1);
    out->record = cbor_take_link_or_null(r);
    out->accepted = cbor_take_bool(r);
    take_head(r, &out->proven);
    take_head(r, &out->seen);
    take_evidence(r, &out->statement);
    take_evidence(r, &out->receipt);
}

static void take_failed(struct cbor *r, struct task_event *out)
{
    char code[MSG_CODE_MAX];
    out->round = cbor_take_uint(r, UINT64_MAX - 1);
    cbor_take_string(r, code, sizeof code);
    out->code = r->failed ? REFUSAL_NONE : refusal_parse(code);
    if (!refusal_is_decline(out->code))
        cbor_fail(r, "not a code by which a task is declined");
}

int task_event_decode(struct cbor *r, struct task_event *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    uint64_t items = cbor_take_array(r, 11);
    uint64_t type = cbor_take_uint(r, TASK_FAILED);
    out->type = (enum task_event_type)type;
    if (type == TASK_ENDED && items == 11) {
        if (cbor_take_uint(r, UINT32_MAX) != TASK_VERSION && !r->failed)
            return err_set(err, ERR_UNSUPPORTED,
                           "the journal was written by another version of this program; finish the "
                           "task with that one");
        take_ended(r, out);
    } else if (type == TASK_ORDERED && items == 10) {
        take_order(r, &out->order);
        take_evidence(r, &out->statement);
    } else if (type == TASK_HEAD && items == 4) {
        out->round = cbor_take_uint(r, UINT64_MAX - 1);
        out->record = cbor_take_link(r);
        take_evidence(r, &out->statement);
    } else if ((type == TASK_FETCHED || type == TASK_BASE_LOST) && items == 2) {
        out->round = cbor_take_uint(r, UINT64_MAX - 1);
    } else if (type == TASK_SEALED && items == 3) {
        out->round = cbor_take_uint(r, UINT64_MAX - 1);
        out->record = cbor_take_link(r);
    } else if (type == TASK_UNFIT && items == 3) {
        out->round = cbor_take_uint(r, UINT64_MAX - 1);
        out->verdict = (enum verdict)cbor_take_uint(r, VERDICT_COUNT - 1);
    } else if (type == TASK_FAILED && items == 3) {
        take_failed(r, out);
    } else {
        cbor_fail(r, "not an event of this program");
    }
    return r->failed ? cbor_finish(r, err) : 0;
}
