/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/round.h"

#include "base/random.h"

static struct round_effect *wish(struct round_effects *out, enum round_effect_type type,
                                 const struct round_event *e)
{
    static struct round_effect lost; /* any effect may be lost; workers ask again */
    struct round_effect *x = out->count == ROUND_EFFECTS_MAX ? &lost : &out->items[out->count++];
    memset(x, 0, sizeof *x);
    x->type = type;
    x->site = e->site;
    x->round = e->round;
    x->record = e->record;
    return x;
}

static void refuse(struct round_effects *out, const struct round_event *e, enum refusal_code code,
                   const struct cid *refusal)
{
    struct round_effect *x = wish(out, ROUND_REFUSE, e);
    x->code = code;
    if (refusal != NULL)
        x->refusal = *refusal;
}

static struct round_slot *slot_of(struct round *r, uint32_t site)
{
    for (uint32_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].site == site)
            return &r->slots[i];
    return NULL;
}

const struct round_slot *round_find(const struct round *r, uint32_t site)
{
    for (uint32_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].site == site)
            return &r->slots[i];
    return NULL;
}

static uint32_t pending(const struct round *r)
{
    return r->slot_count - r->accepted - r->refused;
}

static bool is_online(const struct round_event *e, uint32_t site)
{
    return (e->online[site / 64] >> (site % 64) & 1) != 0;
}

/* The one place where the phase changes while a round runs; `closed` begins the next. */
static void set_phase(struct round *r, enum round_phase to)
{
    bool edge = (r->phase == ROUND_GATHER && to == ROUND_COLLECT) ||
                (r->phase == ROUND_COLLECT && to == ROUND_COMBINE);
    if (edge)
        r->phase = to;
}

/* Closes the round if it may close: asked after each accepted or refused update and at each tick.
 */
static bool settle(struct round *r, const struct plan *plan, const struct round_event *e,
                   struct round_effects *out)
{
    if (r->phase != ROUND_COLLECT || r->accepted < plan->quorum || (!r->past && pending(r) > 0))
        return false;
    set_phase(r, ROUND_COMBINE);
    wish(out, ROUND_COMBINE_JOB, e);
    return true;
}

static void add_slot(struct round *r, uint32_t site)
{
    struct round_slot *s = &r->slots[r->slot_count++];
    memset(s, 0, sizeof *s);
    s->site = site;
}

/* Selects up to `want` of the sites that are online and have no slot; drawn without replacement by
 * the round's own stream, so that the same online set gives the same choice. */
static uint32_t extend(struct round *r, const struct plan *plan, const struct round_event *e,
                       uint64_t want)
{
    uint32_t pool[ROSTER_SITES_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < ROSTER_SITES_MAX; i++)
        if (is_online(e, i) && slot_of(r, i) == NULL)
            pool[count++] = i;
    if (want > ROUND_SLOTS_MAX - r->slot_count)
        want = ROUND_SLOTS_MAX - r->slot_count;
    uint8_t seed[HASH_BYTES];
    struct random_stream draw;
    plan_selection_seed(plan, r->number, seed);
    random_stream_init(&draw, seed);
    uint32_t added = 0;
    for (; added < want && added < count; added++) {
        size_t pick = added + (size_t)random_stream_below(&draw, count - added);
        uint32_t site = pool[pick];
        pool[pick] = pool[added];
        pool[added] = site;
        add_slot(r, site);
    }
    if (added > 0)
        r->roster = e->roster;
    return added;
}

static uint64_t online_count(const struct round_event *e)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ROUND_SET_WORDS; i++)
        n += (uint64_t)__builtin_popcountll(e->online[i]);
    return n;
}

static bool tick_gather(struct round *r, const struct plan *plan, const struct round_event *e,
                        struct round_effects *out)
{
    if (online_count(e) < plan->minimum)
        return false;
    extend(r, plan, e, plan_wanted(plan, r->number, e->admitted));
    r->opened_ms = e->time_ms;
    r->time_ms = e->time_ms;
    set_phase(r, ROUND_COLLECT);
    wish(out, ROUND_OPENED, e);
    wish(out, ROUND_SEND_TASKS, e);
    return true;
}

static bool tick_collect(struct round *r, const struct plan *plan, const struct round_event *e,
                         struct round_effects *out)
{
    bool changed = false;
    if (!r->past && e->time_ms >= r->opened_ms + plan->deadline_ms) {
        r->past = true;
        changed = true;
    }
    if (settle(r, plan, e, out))
        return true;
    bool in_need = r->accepted < plan->quorum && (r->past || pending(r) == 0);
    if (in_need && extend(r, plan, e, ROUND_SLOTS_MAX) > 0) {
        wish(out, ROUND_MORE, e);
        wish(out, ROUND_SEND_TASKS, e);
        return true;
    }
    if (in_need && r->past && pending(r) == 0) {
        r->no_quorum = true;
        set_phase(r, ROUND_COMBINE);
        wish(out, ROUND_COMBINE_JOB, e);
        return true;
    }
    /* Time itself is journalled now and then, so that repeated crashes cannot stop the deadline. */
    if (!r->past && e->time_ms > r->time_ms &&
        e->time_ms - r->time_ms >= plan->deadline_ms / 8 + 1) {
        r->time_ms = e->time_ms;
        changed = true;
    }
    return changed;
}

static void want(const struct round *r, const struct round_event *e, struct round_effects *out)
{
    const struct round_slot *s = round_find(r, e->site);
    if (r->phase == ROUND_FINISHED)
        wish(out, ROUND_SEND_DONE, e);
    else if (r->phase == ROUND_COLLECT && s != NULL && s->state == ROUND_PENDING &&
             e->round < r->number)
        wish(out, ROUND_SEND_TASK, e);
    else
        wish(out, ROUND_SEND_WAIT, e);
}

static void missing(const struct round *r, const struct round_event *e, struct round_effects *out)
{
    if (e->round < r->number)
        wish(out, ROUND_LOOK_UP, e);
    else if (e->round > r->number || r->phase == ROUND_NEW || r->phase == ROUND_FINISHED)
        return;
    else if (round_find(r, e->site) == NULL)
        refuse(out, e, REFUSAL_NOT_SELECTED, NULL);
    else
        wish(out, ROUND_LIST_MISSING, e);
}

/* Answers a submission, or a check's result that came too late to count as one. */
static void submit(const struct round *r, const struct round_event *e, struct round_effects *out)
{
    if (e->round < r->number) {
        wish(out, ROUND_LOOK_UP, e);
        return;
    }
    if (e->round > r->number || r->phase == ROUND_NEW || r->phase == ROUND_FINISHED)
        return;
    const struct round_slot *s = round_find(r, e->site);
    if (s == NULL)
        refuse(out, e, REFUSAL_NOT_SELECTED, NULL);
    else if (s->state == ROUND_PENDING && r->phase == ROUND_COLLECT)
        wish(out, ROUND_CHECK, e);
    else if (s->state == ROUND_PENDING)
        refuse(out, e, REFUSAL_LATE, NULL);
    else if (s->state == ROUND_ACCEPTED && cid_equal(&s->record, &e->record))
        wish(out, ROUND_ACKNOWLEDGE, e);
    else if (s->state == ROUND_ACCEPTED && r->phase == ROUND_COLLECT && cid_is_none(&s->evidence))
        wish(out, ROUND_PROVE, e);
    else if (s->state == ROUND_ACCEPTED)
        refuse(out, e, REFUSAL_EQUIVOCATION, NULL);
    else if (cid_equal(&s->record, &e->record))
        refuse(out, e, REFUSAL_DECIDED, &s->refusal);
    else
        refuse(out, e, REFUSAL_DECIDED, NULL);
}

/* Answers a site that declines, or the refusal made of it that came too late to count. What was
 * decided for the site stands. */
static void decline(const struct round *r, const struct round_event *e, struct round_effects *out)
{
    if (e->round == 0 || e->round > r->number ||
        (e->round == r->number && r->phase == ROUND_FINISHED))
        return;
    const struct round_slot *s = round_find(r, e->site);
    if (e->round < r->number)
        refuse(out, e, REFUSAL_LATE, NULL);
    else if (s == NULL)
        refuse(out, e, REFUSAL_NOT_SELECTED, NULL);
    else if (s->state == ROUND_PENDING && r->phase == ROUND_COLLECT)
        wish(out, ROUND_RECORD_DECLINE, e)->code = e->code;
    else if (s->state == ROUND_PENDING)
        refuse(out, e, REFUSAL_LATE, NULL);
    else if (s->state == ROUND_ACCEPTED)
        wish(out, ROUND_ACKNOWLEDGE, e)->record = s->record;
    else
        refuse(out, e, REFUSAL_DECIDED, cid_is_none(&s->record) ? &s->refusal : NULL);
}

static bool checked(struct round *r, const struct plan *plan, const struct round_event *e,
                    struct round_effects *out)
{
    struct round_slot *s = slot_of(r, e->site);
    if (e->round != r->number || r->phase != ROUND_COLLECT || s == NULL ||
        s->state != ROUND_PENDING) {
        if (cid_is_none(&e->record))
            decline(r, e, out);
        else
            submit(r, e, out);
        return false;
    }
    s->record = e->record;
    s->bytes = e->bytes;
    if (e->fit) {
        s->state = ROUND_ACCEPTED;
        s->weight = e->weight;
        r->accepted++;
        wish(out, ROUND_ACKNOWLEDGE, e);
    } else {
        s->state = ROUND_REFUSED;
        s->refusal = e->refusal;
        r->refused++;
        refuse(out, e, REFUSAL_DECIDED, &s->refusal);
    }
    settle(r, plan, e, out);
    return true;
}

/* The first update stands; of those that differ from it the first is kept as evidence. */
static bool equivocated(struct round *r, const struct round_event *e, struct round_effects *out)
{
    struct round_slot *s = slot_of(r, e->site);
    if (e->round != r->number || r->phase != ROUND_COLLECT || s == NULL ||
        s->state != ROUND_ACCEPTED || cid_equal(&s->record, &e->record) ||
        !cid_is_none(&s->evidence)) {
        submit(r, e, out);
        return false;
    }
    s->evidence = e->refusal;
    s->bytes += e->bytes;
    refuse(out, e, REFUSAL_EQUIVOCATION, &s->evidence);
    return true;
}

static bool closed(struct round *r, const struct plan *plan, const struct round_event *e,
                   struct round_effects *out)
{
    bool first = r->phase == ROUND_NEW;
    if (!first && (r->phase != ROUND_COMBINE || e->round != r->number))
        return false;
    memset(r, 0, sizeof *r);
    r->number = e->round + 1;
    r->prev = e->record;
    r->base = e->next;
    r->state = e->state;
    r->failures = e->failures;
    r->phase = r->number > plan_rounds(plan) || r->failures >= ROUND_FAILURES_MAX ? ROUND_FINISHED
                                                                                  : ROUND_GATHER;
    wish(out, ROUND_HEAD_HINT, e);
    return true;
}

bool round_step(struct round *r, const struct plan *plan, const struct round_event *e,
                struct round_effects *out)
{
    switch (e->type) {
    case ROUND_TICK:
        if (r->phase == ROUND_GATHER)
            return tick_gather(r, plan, e, out);
        return r->phase == ROUND_COLLECT && tick_collect(r, plan, e, out);
    case ROUND_WANT:
        want(r, e, out);
        return false;
    case ROUND_MISSING:
        missing(r, e, out);
        return false;
    case ROUND_SUBMIT:
        submit(r, e, out);
        return false;
    case ROUND_CHECKED:
        return checked(r, plan, e, out);
    case ROUND_CLOSED:
        return closed(r, plan, e, out);
    case ROUND_DECLINE:
        decline(r, e, out);
        return false;
    case ROUND_EQUIVOCATED:
        return equivocated(r, e, out);
    case ROUND_RESUME:
        wish(out, ROUND_HEAD_HINT, e);
        if (r->phase == ROUND_COMBINE)
            wish(out, ROUND_COMBINE_JOB, e);
        return false;
    }
    return false;
}

const char *round_phase_name(enum round_phase p)
{
    static const char *const names[] = {"new", "gather", "collect", "combine", "finished"};
    return names[p];
}

/* --- the journal's form --- */

static void encode_online(const struct round_event *e, struct buf *out)
{
    uint8_t bytes[ROUND_SET_WORDS * 8];
    size_t used = 0;
    for (size_t i = 0; i < ROUND_SET_WORDS; i++) {
        bytes_put_u64(bytes + 8 * i, e->online[i]);
        if (e->online[i] != 0)
            used = 8 * (i + 1);
    }
    cbor_put_bytes(out, bytes_of(bytes, used));
}

void round_event_encode(const struct round_event *e, struct buf *out)
{
    switch (e->type) {
    case ROUND_TICK:
        cbor_put_array(out, 5);
        cbor_put_uint(out, e->type);
        cbor_put_uint(out, e->time_ms);
        cbor_put_link(out, &e->roster);
        cbor_put_uint(out, e->admitted);
        encode_online(e, out);
        return;
    case ROUND_CHECKED:
        cbor_put_array(out, 8);
        cbor_put_uint(out, e->type);
        cbor_put_uint(out, e->round);
        cbor_put_uint(out, e->site);
        cbor_put_link_or_null(out, &e->record);
        cbor_put_bool(out, e->fit);
        cbor_put_link_or_null(out, &e->refusal);
        cbor_put_uint(out, e->weight);
        cbor_put_uint(out, e->bytes);
        return;
    case ROUND_CLOSED:
        cbor_put_array(out, 7);
        cbor_put_uint(out, e->type);
        cbor_put_uint(out, ROUND_VERSION);
        cbor_put_uint(out, e->round);
        cbor_put_link(out, &e->record);
        cbor_put_link(out, &e->next);
        cbor_put_link_or_null(out, &e->state);
        cbor_put_uint(out, e->failures);
        return;
    case ROUND_EQUIVOCATED:
        cbor_put_array(out, 6);
        cbor_put_uint(out, e->type);
        cbor_put_uint(out, e->round);
        cbor_put_uint(out, e->site);
        cbor_put_link(out, &e->record);
        cbor_put_link(out, &e->refusal);
        cbor_put_uint(out, e->bytes);
        return;
    case ROUND_WANT:
    case ROUND_MISSING:
    case ROUND_SUBMIT:
    case ROUND_DECLINE:
    case ROUND_RESUME:
        return; /* these never change the state */
    }
}

static void decode_tick(struct cbor *r, struct round_event *e)
{
    e->time_ms = cbor_take_uint(r, UINT64_MAX);
    e->roster = cbor_take_link(r);
    e->admitted = cbor_take_uint(r, ROSTER_SITES_MAX);
    struct bytes online = cbor_take_bytes(r, ROUND_SET_WORDS * 8);
    if (online.size % 8 != 0) {
        cbor_fail(r, "online set is not whole words");
        return;
    }
    for (size_t i = 0; i < online.size / 8; i++)
        e->online[i] = bytes_get_u64(online.data + 8 * i);
    if (online.size == ROUND_SET_WORDS * 8 && ROSTER_SITES_MAX % 64 != 0 &&
        e->online[ROUND_SET_WORDS - 1] >> (ROSTER_SITES_MAX % 64) != 0)
        cbor_fail(r, "online set names a site past the roster's limit");
}

static void decode_checked(struct cbor *r, struct round_event *e)
{
    e->round = cbor_take_uint(r, UINT64_MAX);
    e->site = (uint32_t)cbor_take_uint(r, ROSTER_SITES_MAX - 1);
    e->record = cbor_take_link_or_null(r);
    e->fit = cbor_take_bool(r);
    e->refusal = cbor_take_link_or_null(r);
    e->weight = (uint32_t)cbor_take_uint(r, UINT32_MAX);
    e->bytes = cbor_take_uint(r, UINT64_MAX);
    if (e->fit && cid_is_none(&e->record))
        cbor_fail(r, "accepted, but no record is named");
}

static void decode_equivocated(struct cbor *r, struct round_event *e)
{
    e->round = cbor_take_uint(r, UINT64_MAX);
    e->site = (uint32_t)cbor_take_uint(r, ROSTER_SITES_MAX - 1);
    e->record = cbor_take_link(r);
    e->refusal = cbor_take_link(r);
    e->bytes = cbor_take_uint(r, UINT64_MAX);
}

static void decode_closed(struct cbor *r, struct round_event *e)
{
    e->round = cbor_take_uint(r, UINT64_MAX - 1);
    e->record = cbor_take_link(r);
    e->next = cbor_take_link(r);
    e->state = cbor_take_link_or_null(r);
    e->failures = (uint32_t)cbor_take_uint(r, UINT32_MAX);
}

int round_event_decode(struct cbor *r, struct round_event *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    uint64_t items = cbor_take_array(r, 64);
    uint64_t type = cbor_take_uint(r, ROUND_EQUIVOCATED);
    out->type = (enum round_event_type)type;
    if (type == ROUND_TICK && items == 5) {
        decode_tick(r, out);
    } else if (type == ROUND_CHECKED && items == 8) {
        decode_checked(r, out);
    } else if (type == ROUND_EQUIVOCATED && items == 6) {
        decode_equivocated(r, out);
    } else if (type == ROUND_CLOSED && items >= 2) {
        /* The version stands right behind the type in every version there will be. */
        uint64_t version = cbor_take_uint(r, UINT32_MAX);
        if (r->failed == 0 && version != ROUND_VERSION)
            return err_set(err, ERR_UNSUPPORTED,
                           "the journal was written by another version of this program; finish the "
                           "round with that one, or start a new study");
        if (items != 7)
            cbor_fail(r, "not an event of this program");
        decode_closed(r, out);
    } else {
        cbor_fail(r, "not an event of this program");
    }
    return r->failed ? cbor_finish(r, err) : 0;
}
