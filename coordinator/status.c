/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "coordinator/coordinator.h"
#include "study/status_file.h"

#define NAMED_MAX         5   /* sites named in a sentence */
#define SITES_FEW         500 /* up to so many, status.json is written at nearly every change */
#define GAP_MS            100 /* between two writings */
#define SENTENCE_PART_MAX 600

/* --- what the round waits for --- */

/* Fills `out` (roster.count) with the sites that the round waits for; returns how many. */
static size_t list_waited_for(struct coordinator *c, uint64_t now_ms, uint32_t *out)
{
    const struct round *r = c->round;
    size_t count = 0;
    if (r->phase == ROUND_GATHER)
        for (uint32_t i = 0; i < c->roster.count; i++)
            if (roster_is_active(&c->roster, i, r->number) && !coordinator_is_online(c, i, now_ms))
                out[count++] = i;
    if (r->phase == ROUND_COLLECT)
        for (uint32_t i = 0; i < r->slot_count; i++)
            if (r->slots[i].state == ROUND_PENDING)
                out[count++] = r->slots[i].site;
    if (r->phase == ROUND_COMBINE && !cid_is_none(&c->repair))
        out[count++] = c->repair_site;
    return count;
}

/* "a, b, c and 17 more" */
static void name_some(struct coordinator *c, uint64_t now_ms, char out[SENTENCE_PART_MAX])
{
    uint32_t *sites = calloc(c->roster.count + 1, sizeof *sites);
    size_t used = 0, count = sites == NULL ? 0 : list_waited_for(c, now_ms, sites);
    out[0] = '\0';
    for (size_t i = 0; i < count && i < NAMED_MAX; i++)
        used += (size_t)snprintf(out + used, SENTENCE_PART_MAX - used, "%s%s", i > 0 ? ", " : "",
                                 c->roster.sites[sites[i]].site.name);
    if (count > NAMED_MAX)
        snprintf(out + used, SENTENCE_PART_MAX - used, " and %zu more", count - NAMED_MAX);
    free(sites);
}

static uint32_t count_online(const struct coordinator *c, uint64_t now_ms, uint32_t *admitted)
{
    uint32_t online = 0;
    *admitted = 0;
    for (uint32_t i = 0; i < c->roster.count; i++) {
        if (!roster_is_active(&c->roster, i, c->round->number))
            continue;
        (*admitted)++;
        online += coordinator_is_online(c, i, now_ms) ? 1 : 0;
    }
    return online;
}

static void say_gather(struct coordinator *c, uint64_t now_ms, char out[STATUS_SENTENCE_MAX])
{
    uint32_t admitted, online = count_online(c, now_ms, &admitted);
    unsigned long long round = (unsigned long long)c->round->number;
    char names[SENTENCE_PART_MAX], room[TEXT_SMALL];
    if (c->no_room)
        snprintf(out, STATUS_SENTENCE_MAX, "round %llu waits for room on the disk: %s", round,
                 text_format_size(intake_room_needed(c), room));
    else {
        name_some(c, now_ms, names);
        snprintf(out, STATUS_SENTENCE_MAX,
                 "round %llu opens when %llu sites are online: %u of %u are%s%s", round,
                 (unsigned long long)c->study.plan.minimum, online, admitted,
                 names[0] != '\0' ? "; not there: " : "", names);
    }
}

static void say_collect(struct coordinator *c, uint64_t now_ms, char out[STATUS_SENTENCE_MAX])
{
    const struct round *r = c->round;
    char names[SENTENCE_PART_MAX];
    name_some(c, now_ms, names);
    snprintf(out, STATUS_SENTENCE_MAX, "round %llu: %u of %u updates accepted%s%s%s",
             (unsigned long long)r->number, r->accepted, r->slot_count,
             names[0] != '\0' ? "; waits for " : "", names, r->past ? "; past the deadline" : "");
}

const char *status_sentence(struct coordinator *c, char out[STATUS_SENTENCE_MAX])
{
    const struct round *r = c->round;
    uint64_t now_ms = loop_time_ms(&c->loop);
    char names[SENTENCE_PART_MAX];
    out[0] = '\0';
    switch (r->phase) {
    case ROUND_NEW:
        break;
    case ROUND_GATHER:
        say_gather(c, now_ms, out);
        break;
    case ROUND_COLLECT:
        say_collect(c, now_ms, out);
        break;
    case ROUND_COMBINE:
        name_some(c, now_ms, names);
        snprintf(out, STATUS_SENTENCE_MAX,
                 names[0] != '\0'
                     ? "round %llu: a block was damaged on this disk; waits for it from %s"
                     : "round %llu is being combined",
                 (unsigned long long)r->number, names);
        break;
    case ROUND_FINISHED:
        snprintf(out, STATUS_SENTENCE_MAX, "the study is finished");
        break;
    }
    return out;
}

/* What a person could do about it; "" if there is nothing. */
static void advise(struct coordinator *c, char out[STATUS_SENTENCE_MAX])
{
    const struct round *r = c->round;
    uint64_t minimum = c->study.plan.minimum;
    uint32_t admitted;
    uint32_t online = count_online(c, loop_time_ms(&c->loop), &admitted);
    const char *advice = "";
    if (r->phase == ROUND_GATHER && c->no_room)
        advice = "free some space where the study's folder lies";
    else if (r->phase == ROUND_GATHER && admitted < minimum)
        advice = "admit more sites: colmeia-coordinator admit DIR SITE-STRING";
    else if (r->phase == ROUND_GATHER && online < minimum)
        advice = "start the workers of the sites named";
    else if (r->phase == ROUND_COLLECT && r->past)
        advice =
            "the quorum is not reached: start the workers of the sites named, or admit another";
    else if (r->phase == ROUND_COMBINE && !cid_is_none(&c->repair))
        advice = "start the worker of the site named: it keeps the block until the round is closed";
    snprintf(out, STATUS_SENTENCE_MAX, "%s", advice);
}

/* --- what moves --- */

/* Bytes of updates: here, and expected. What a site will send is known as a limit only until all of
 * it is there. */
static void count_updates(const struct coordinator *c, uint64_t *done, uint64_t *total)
{
    const struct round *r = c->round;
    uint64_t each = layout_update_bytes(c->study.layout);
    *done = *total = 0;
    for (uint32_t i = 0; i < r->slot_count; i++) {
        const struct round_slot *s = &r->slots[i];
        uint64_t here = s->state == ROUND_ACCEPTED ? s->bytes : 0;
        if (s->state == ROUND_PENDING)
            here = inbox_bytes(c->inbox, s->site, r->number);
        *done += here;
        *total += s->state != ROUND_PENDING || here > each ? here : each;
    }
}

static bool brings_models(const struct coordinator *c)
{
    const struct rule *rule = plan_rule(&c->study.plan, c->round->number);
    return rule != NULL && rule->asks[0] == RULE_DELTA;
}

static void look_at_progress(struct coordinator *c, uint64_t now_ms)
{
    struct progress *p = &c->status.progress;
    uint64_t done = 0, total = 0, moved = 0;
    const char *what = NULL;
    if (c->round->phase == ROUND_COLLECT && brings_models(c)) {
        count_updates(c, &done, &total);
        moved = atomic_load(&c->received);
        what = "receiving updates";
    } else if (c->combining) {
        total = c->status.combined.total;
        moved = done = c->status.combined.done;
        what = "combining";
    }
    progress_of(p, done > 0 ? what : NULL, PROGRESS_BYTES);
    if (done > 0)
        progress_note(p, now_ms, done, total, moved);
}

/* The line of progress; returns whether something moves. */
static bool format_line(struct coordinator *c, char out[STATUS_SENTENCE_MAX])
{
    char text[PROGRESS_TEXT_MAX];
    const struct round *r = c->round;
    if (progress_rate(&c->status.progress) <= 0) {
        status_sentence(c, out);
        return false;
    }
    snprintf(out, STATUS_SENTENCE_MAX, "round %llu, %u of %u updates accepted, %s",
             (unsigned long long)r->number, r->accepted, r->slot_count,
             progress_format(&c->status.progress, text));
    return true;
}

/* --- status.json --- */

static const char *state_of(const struct round_slot *s)
{
    if (s->state == ROUND_ACCEPTED)
        return cid_is_none(&s->evidence) ? "accepted" : "equivocated";
    if (s->state == ROUND_REFUSED)
        return cid_is_none(&s->record) ? "declined" : "refused";
    return "pending";
}

static json_t *describe_sites(const struct coordinator *c, uint64_t now_ms)
{
    const struct round *r = c->round;
    const char **states = calloc(c->roster.count + 1, sizeof *states);
    json_t *sites = json_array();
    for (uint32_t i = 0; states != NULL && i < r->slot_count; i++)
        states[r->slots[i].site] = state_of(&r->slots[i]);
    for (uint32_t i = 0; states != NULL && i < c->roster.count; i++) {
        const struct presence *p = &c->presence[i];
        json_t *seen =
            p->has_route ? json_integer((json_int_t)((now_ms - p->seen_ms) / 1000)) : json_null();
        json_array_append_new(sites,
                              json_pack("{s:s,s:b,s:s,s:o}", "name", c->roster.sites[i].site.name,
                                        "online", coordinator_is_online(c, i, now_ms), "state",
                                        states[i] == NULL ? "not-selected" : states[i],
                                        "seen_seconds_ago", seen));
    }
    free(states);
    return sites;
}

static json_t *describe_whom(struct coordinator *c, uint64_t now_ms)
{
    uint32_t *sites = calloc(c->roster.count + 1, sizeof *sites);
    size_t count = sites == NULL ? 0 : list_waited_for(c, now_ms, sites);
    json_t *whom = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(whom, json_string(c->roster.sites[sites[i]].site.name));
    free(sites);
    return whom;
}

static json_t *seconds_left(const struct coordinator *c, uint64_t now_ms)
{
    const struct round *r = c->round;
    uint64_t end_ms = r->opened_ms + c->study.plan.deadline_ms;
    if (r->phase != ROUND_COLLECT || r->past)
        return json_null();
    return json_integer(end_ms > now_ms ? (json_int_t)((end_ms - now_ms + 999) / 1000) : 0);
}

static json_t *describe(struct coordinator *c, bool running)
{
    const struct round *r = c->round;
    const struct rule *rule = plan_rule(&c->study.plan, r->number);
    uint64_t now_ms = loop_time_ms(&c->loop);
    char sentence[STATUS_SENTENCE_MAX], advice[STATUS_SENTENCE_MAX];
    struct cid none = {0};
    advise(c, advice);
    return json_pack(
        "{s:s,s:i,s:b,s:I,s:s,s:o,s:o,s:I,s:I,s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:s}",
        "program", "coordinator", "pid", (int)getpid(), "running", running, "updated",
        (json_int_t)c->world->wall_s(c->world->self), "name", c->study.charter.name, "study",
        status_file_cid(&c->folder.study_id), "plan", status_file_cid(&c->folder.plan_id), "round",
        (json_int_t)(rule == NULL ? r->number - 1 : r->number), "rounds",
        (json_int_t)plan_rounds(&c->study.plan), "rule", rule == NULL ? "" : rule->name, "phase",
        round_phase_name(r->phase), "waits_for", status_sentence(c, sentence), "whom",
        describe_whom(c, now_ms), "seconds_left", seconds_left(c, now_ms), "advice", advice,
        "progress", status_file_progress(&c->status.progress), "model", status_file_cid(&r->base),
        "head", status_file_cid(r->number > 1 ? &r->prev : &none), "sites",
        describe_sites(c, now_ms), "failure", c->failure);
}

static struct status_key key_of(const struct coordinator *c, uint64_t now_ms)
{
    const struct round *r = c->round;
    uint32_t admitted;
    struct status_key k;
    memset(&k, 0, sizeof k); /* compared with memcmp */
    k.round = r->number;
    k.phase = r->phase;
    k.selected = r->slot_count;
    k.accepted = r->accepted;
    k.refused = r->refused;
    for (uint32_t i = 0; i < r->slot_count; i++)
        k.proofs += cid_is_none(&r->slots[i].evidence) ? 0 : 1;
    k.online = count_online(c, now_ms, &admitted);
    k.past = r->past;
    k.no_room = c->no_room;
    k.repair = !cid_is_none(&c->repair);
    return k;
}

void status_update(struct coordinator *c, bool running)
{
    uint64_t now_ms = loop_time_ms(&c->loop);
    struct status *s = &c->status;
    struct status_key key = key_of(c, now_ms);
    bool changed = memcmp(&key, &s->key, sizeof key) != 0;
    uint64_t gap_ms = c->roster.count <= SITES_FEW ? GAP_MS : STATUS_MS;
    uint64_t due_ms = s->wrote_ms + (changed ? gap_ms : STATUS_MS);
    char line[STATUS_SENTENCE_MAX];
    bool first = s->next_ms == 0;
    s->next_ms = due_ms;
    if (running && !first && now_ms < due_ms)
        return;
    look_at_progress(c, now_ms);
    status_file_save(c->files, c->folder.dir, describe(c, running));
    if (running) {
        bool moves = format_line(c, line);
        round_log_progress(&c->log, now_ms, line, moves);
    }
    s->key = key;
    s->wrote_ms = now_ms;
    s->next_ms = now_ms + STATUS_MS;
}
