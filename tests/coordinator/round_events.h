/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round_events -- a plan and events for tests of the round: six sites, three rounds, records named
 * by what they are and whose.
 */
#ifndef COLMEIA_TESTS_COORDINATOR_ROUND_EVENTS_H
#define COLMEIA_TESTS_COORDINATOR_ROUND_EVENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "coordinator/round.h"

#define UNUSED      __attribute__((unused))
#define DEADLINE_MS 8000
#define SITES       6

UNUSED static struct plan the_plan(void)
{
    return (struct plan){.seed = 7,
                         .step_count = 1,
                         .schedule = {{"fedavg", 3}},
                         .fraction_ppm = PLAN_PPM,
                         .minimum = 4,
                         .quorum = 2,
                         .deadline_ms = DEADLINE_MS};
}

UNUSED static struct cid named(const char *what, uint64_t number)
{
    char text[64];
    snprintf(text, sizeof text, "%s %llu", what, (unsigned long long)number);
    return cid_of(CID_DAG_CBOR, bytes_of_text(text));
}

UNUSED static struct round_event tick(uint64_t time_ms, uint64_t online)
{
    return (struct round_event){.type = ROUND_TICK,
                                .time_ms = time_ms,
                                .roster = named("roster", 1),
                                .admitted = SITES,
                                .online = {online}};
}

UNUSED static struct round_event ask(enum round_event_type type, uint32_t site, uint64_t round,
                                     const char *record)
{
    return (struct round_event){
        .type = type, .site = site, .round = round, .record = named(record, site)};
}

UNUSED static struct round_event check(uint32_t site, uint64_t round, const char *record, bool fit)
{
    struct round_event e = ask(ROUND_CHECKED, site, round, record);
    e.fit = fit;
    e.bytes = 100 + site;
    if (fit)
        e.weight = 10 + site;
    else
        e.refusal = named("refusal", site);
    return e;
}

/* The site's trainer failed. */
UNUSED static struct round_event decline(uint32_t site, uint64_t round)
{
    struct round_event e = ask(ROUND_DECLINE, site, round, "");
    e.record = (struct cid){.size = 0};
    e.code = REFUSAL_TRAINER_HUNG;
    return e;
}

/* The refusal that was made of it. */
UNUSED static struct round_event declined(uint32_t site, uint64_t round)
{
    struct round_event e = check(site, round, "", false);
    e.record = (struct cid){.size = 0};
    e.bytes = 0;
    return e;
}

/* `record` was found to be a second one. */
UNUSED static struct round_event proven(uint32_t site, uint64_t round, const char *record)
{
    struct round_event e = ask(ROUND_EQUIVOCATED, site, round, record);
    e.refusal = named("proof against", site);
    e.bytes = 1000;
    return e;
}

UNUSED static struct round_event close_round(uint64_t round, uint32_t failures)
{
    const struct cid none = {.size = 0};
    return (struct round_event){.type = ROUND_CLOSED,
                                .round = round,
                                .record = named("round", round),
                                .next = named("model", round),
                                .state = round % 2 == 0 ? named("state", round) : none,
                                .failures = failures};
}

static struct round_effects effects;

UNUSED static size_t encode(const struct round_event *e, struct buf *out)
{
    buf_clear(out);
    round_event_encode(e, out);
    assert_int_equal(buf_check(out, NULL), 0);
    return out->size;
}

#endif
