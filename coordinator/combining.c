/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "coordinator/act.h"
#include "coordinator/work.h"
#include "study/combine.h"
#include "study/round_record.h"
#include "study/update.h"

/* One accepted update, in roster order. */
struct answer {
    uint32_t site, weight;
    struct cid record;
    char name[SITE_NAME_MAX];
    struct pack *pack; /* NULL: not taken */
};

/* A mean over sites, weighted by examples, of those who said something. */
struct mean {
    double sum, weight;
};

struct combining {
    struct work work;
    bool no_quorum;
    struct round_record record;
    size_t count;
    struct answer *answers;         /* (count) */
    struct combine_update *updates; /* (count) */
    struct mean loss, accuracy;
    uint64_t examples;
    size_t suspect; /* whose update seems to make a result not finite, SIZE_MAX; ... */
    const struct tensor *suspect_tensor; /* ... and where */
    int rc;
    struct err err;
    struct cid damaged; /* with ERR_CORRUPT: the block to be sent again; none: it is ours */
    size_t damaged_answer;
};

/* --- the snapshot, in the loop --- */

static int by_site(const void *a, const void *b)
{
    uint32_t x = (*(const struct round_slot *const *)a)->site;
    uint32_t y = (*(const struct round_slot *const *)b)->site;
    return x < y ? -1 : x > y;
}

static void copy_slots(struct combining *x, const struct round_slot *const *slots, size_t count,
                       const struct roster *roster)
{
    struct round_record *r = &x->record;
    for (size_t i = 0; i < count; i++) {
        const struct round_slot *s = slots[i];
        if (s->state == ROUND_PENDING)
            continue;
        r->received += s->bytes;
        if (s->state == ROUND_REFUSED) {
            r->refused[r->refused_count++] = s->refusal;
            continue;
        }
        struct answer *a = &x->answers[x->count++];
        *a = (struct answer){.site = s->site, .weight = s->weight, .record = s->record};
        memcpy(a->name, roster->sites[s->site].site.name, sizeof a->name);
        r->updates[r->update_count++] = s->record;
        if (!cid_is_none(&s->evidence))
            r->refused[r->refused_count++] = s->evidence;
        x->examples += s->weight;
    }
}

static bool take_snapshot(struct combining *x, const struct coordinator *c)
{
    const struct round *round = c->round;
    size_t n = round->slot_count + 1; /* never 0 */
    struct round_record *r = &x->record;
    const struct round_slot **slots = calloc(n, sizeof *slots);
    x->answers = calloc(n, sizeof *x->answers);
    x->updates = calloc(n, sizeof *x->updates);
    r->selected = calloc(n, sizeof *r->selected);
    r->updates = calloc(n, sizeof *r->updates);
    r->refused = calloc(n, sizeof *r->refused);
    if (slots == NULL || x->answers == NULL || x->updates == NULL || r->selected == NULL ||
        r->updates == NULL || r->refused == NULL) {
        free(slots);
        return false;
    }
    r->study = c->folder.study_id;
    r->plan = c->folder.plan_id;
    r->roster = round->roster;
    r->round = round->number;
    snprintf(r->rule, sizeof r->rule, "%s", plan_rule(&c->study.plan, round->number)->name);
    r->prev = round->prev;
    r->base = round->base;
    r->state = round->state;
    r->deleted = plan_updates_held_from(&c->study.plan, round->number);
    for (size_t i = 0; i < round->slot_count; i++) {
        r->selected[r->selected_count++] = round->slots[i].site;
        slots[i] = &round->slots[i];
    }
    qsort(slots, round->slot_count, sizeof *slots, by_site);
    copy_slots(x, slots, round->slot_count, &c->roster);
    x->no_quorum = round->no_quorum;
    free(slots);
    return true;
}

/* --- in a thread --- */

static void add_to_mean(struct mean *m, double value, uint32_t weight)
{
    if (!isfinite(value))
        return;
    m->sum += value * weight;
    m->weight += weight;
}

static double mean_of(const struct mean *m)
{
    return m->weight > 0 ? m->sum / m->weight : NAN;
}

/* The update's record, from its pack: what it links, and what it measured. */
static int read_answer(struct combining *x, size_t i, struct buf *block, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct answer *a = &x->answers[i];
    struct update update;
    int rc = inbox_take(c->inbox, a->site, x->record.round, false, &a->pack, err);
    if (rc == 0)
        rc = pack_get(a->pack, &a->record, block, err);
    if (rc == 0)
        rc = update_decode(buf_bytes(block), &update, err);
    if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT) {
        x->damaged = a->record;
        x->damaged_answer = i;
        rc = ERR_CORRUPT;
    }
    if (rc != 0)
        return err_wrap(err, rc, "update of %s", a->name);
    bool by_delta = !cid_is_none(&update.delta);
    x->updates[i] = (struct combine_update){.weight = a->weight,
                                            .answer = by_delta ? update.delta : update.values,
                                            .pack = a->pack,
                                            .site_name = a->name};
    add_to_mean(&x->loss, update_metric(&update, "loss"), a->weight);
    add_to_mean(&x->accuracy, update_metric(&update, "accuracy"), a->weight);
    return 0;
}

static int read_answers(struct combining *x, struct err *err)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < x->count; i++)
        rc = read_answer(x, i, &block, err);
    buf_fini(&block);
    return rc;
}

static int make_next(struct combining *x, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct round_record *r = &x->record;
    struct combine_result result = {0};
    char part[32];
    if (x->no_quorum) {
        r->next = r->base;
        snprintf(r->failure, sizeof r->failure, "no-quorum");
        return 0;
    }
    snprintf(part, sizeof part, "round-%llu", (unsigned long long)r->round);
    struct combine combine = {.study = &c->study,
                              .rule = plan_rule(&c->study.plan, r->round),
                              .store = c->store,
                              .base = r->base,
                              .state = r->state,
                              .t = plan_training_rounds(&c->study.plan, r->round),
                              .updates = x->updates,
                              .update_count = x->count,
                              .jobs = c->world->jobs,
                              .part = part,
                              .progress = &c->status.combined};
    int rc = combine_round(&combine, &result, err);
    if (rc == ERR_CORRUPT) {
        x->damaged = result.damaged;
        x->damaged_answer = result.damaged_update;
    }
    if (rc != 0)
        return rc;
    r->next = result.next;
    r->state = result.state;
    x->suspect = result.suspect;
    x->suspect_tensor = result.suspect_tensor;
    memcpy(r->failure, result.failure, sizeof r->failure);
    return 0;
}

/* Signed last, and durable before the event that names it. */
static int store_record(struct combining *x, struct err *err)
{
    struct coordinator *c = x->work.coordinator;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    int rc = round_record_sign(&x->record, c->folder.coordinator, &block, &x->record.cid, err);
    if (rc == 0)
        rc = store_put(c->store, &x->record.cid, buf_bytes(&block), err);
    if (rc == 0)
        rc = store_sync(c->store, &x->record.cid, 1, err);
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "round record") : 0;
}

static void run(struct job *job)
{
    struct combining *x = (struct combining *)job;
    struct coordinator *c = x->work.coordinator;
    FAULT_POINT("combine-start");
    x->rc = read_answers(x, &x->err);
    if (x->rc == 0)
        x->rc = make_next(x, &x->err);
    FAULT_POINT("combine-done");
    if (x->rc == 0)
        x->rc = store_record(x, &x->err);
    FAULT_POINT("record-stored");
    for (size_t i = 0; i < x->count; i++) {
        struct answer *a = &x->answers[i];
        if (a->pack == NULL)
            continue;
        if (i == x->damaged_answer && !cid_is_none(&x->damaged))
            pack_forget(a->pack, &x->damaged);
        inbox_release(c->inbox, a->site, x->record.round);
    }
}

/* --- back in the loop --- */

static double seconds_between(uint64_t from_ms, uint64_t to_ms)
{
    return to_ms > from_ms ? (double)(to_ms - from_ms) / 1000 : 0;
}

/* Kept until the event is durable. */
static void note_closed(struct coordinator *c, const struct combining *x)
{
    const struct round_record *r = &x->record;
    struct closed_round *closed = &c->closed;
    uint64_t now_ms = c->world->now_ms(c->world->self);
    uint64_t moved = atomic_load(&c->sent) + atomic_load(&c->received);
    *closed = (struct closed_round){.is_new = true};
    memcpy(closed->rule, r->rule, sizeof closed->rule);
    memcpy(closed->failure, r->failure, sizeof closed->failure);
    closed->line =
        (struct round_line){.round = r->round,
                            .rounds = plan_rounds(&c->study.plan),
                            .rule = closed->rule,
                            .answered = (uint32_t)r->update_count,
                            .selected = (uint32_t)r->selected_count,
                            .refused = (uint32_t)r->refused_count,
                            .loss = mean_of(&x->loss),
                            .accuracy = mean_of(&x->accuracy),
                            .examples = x->examples,
                            .bytes_moved = moved - c->moved_before,
                            .seconds = seconds_between(c->opened_ms, now_ms),
                            .seconds_collect = seconds_between(c->opened_ms, c->combined_ms),
                            .seconds_combine = seconds_between(c->combined_ms, now_ms),
                            .record = r->cid,
                            .model = r->next,
                            .failure = closed->failure};
    c->moved_before = moved;
}

/* A block of an accepted update is no longer what its site sent. The site keeps it until the round
 * record names its update, and is asked for it by name. */
static void ask_again(struct coordinator *c, const struct combining *x)
{
    const struct answer *a = &x->answers[x->damaged_answer];
    char text[CID_TEXT_MAX];
    if (!cid_equal(&c->repair, &x->damaged)) {
        log_error("block-damaged", "site=%s round=%llu block=%s why=\"%s\"", a->name,
                  (unsigned long long)x->record.round, cid_format(&x->damaged, text), x->err.text);
        event_log_put(&c->log.events, "block-damaged", "{s:I,s:s,s:s}", "round",
                      (json_int_t)x->record.round, "site", a->name, "block",
                      cid_format(&x->damaged, text));
        act_list(c, a->site, x->record.round, &a->record, &x->damaged, 1);
    }
    c->repair = x->damaged;
    c->repair_site = a->site;
    c->combine_after_ms = loop_time_ms(&c->loop) + COORDINATOR_RETRY_MS;
}

/* An operator wants to know whom to ask. */
static void warn_of_suspect(const struct combining *x)
{
    struct buf tensor = buf_new(8 * LAYOUT_NAME_MAX);
    log_escape(&tensor, bytes_of_text(x->suspect_tensor->name));
    log_warn("round-not-finite", "round=%llu site=%s tensor=%s",
             (unsigned long long)x->record.round, x->answers[x->suspect].name, buf_text(&tensor));
    buf_fini(&tensor);
}

static bool finish(struct coordinator *c, struct work *w, struct round_event *e)
{
    struct combining *x = (struct combining *)w;
    c->combining = false;
    if (x->rc == ERR_CORRUPT && !cid_is_none(&x->damaged)) {
        ask_again(c, x);
        return false;
    }
    if (x->rc != 0) {
        coordinator_fail(c, "round %llu: %s", (unsigned long long)x->record.round, x->err.text);
        return false;
    }
    c->repair = (struct cid){0};
    if (x->suspect_tensor != NULL)
        warn_of_suspect(x);
    note_closed(c, x);
    memset(e, 0, sizeof *e);
    e->type = ROUND_CLOSED;
    e->round = x->record.round;
    e->record = x->record.cid;
    e->next = x->record.next;
    e->state = x->record.state;
    e->failures = x->record.failure[0] != '\0' ? c->round->failures + 1 : 0;
    return true;
}

static void free_combining(struct work *w)
{
    struct combining *x = (struct combining *)w;
    round_record_fini(&x->record);
    free(x->answers);
    free(x->updates);
    free(x);
}

void combining_start(struct coordinator *c)
{
    c->combine_after_ms = 0;
    if (c->combining)
        return;
    struct combining *x = calloc(1, sizeof *x);
    if (x == NULL || !take_snapshot(x, c)) {
        if (x != NULL)
            free_combining(&x->work);
        coordinator_fail(c, "round %llu: out of memory", (unsigned long long)c->round->number);
        return;
    }
    x->work.finish = finish;
    x->work.free = free_combining;
    c->combining = true;
    progress_count_set(&c->status.combined, 0, 0);
    c->combined_ms = c->world->now_ms(c->world->self);
    work_start(c, &x->work, run);
}

void combining_retry(struct coordinator *c)
{
    const struct round_slot *s = round_find(c->round, c->repair_site);
    struct pack *pack;
    bool here = cid_is_none(&c->repair) || s == NULL;
    if (!here && inbox_take(c->inbox, s->site, c->round->number, false, &pack, NULL) == 0) {
        here = pack_has(pack, &c->repair);
        inbox_release(c->inbox, s->site, c->round->number);
    }
    if (here)
        combining_start(c);
    else
        c->combine_after_ms = loop_time_ms(&c->loop) + COORDINATOR_RETRY_MS;
}
