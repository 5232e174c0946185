/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/round_events.h"

/* --- states --- */

/* Round 2, but for NEW. In COLLECT and what follows site 1 is accepted, site 2 refused, sites 0 and
 * 3 are pending, 4 and 5 were not selected. */
enum state {
    NEW,
    GATHER,
    COLLECT,
    PAST,    /* collect, past the deadline, short of the quorum */
    COMBINE, /* site 3 is accepted too, site 0 was too late */
    FINISHED,
    STATE_COUNT
};

static bool step(struct round *r, const struct round_event *e)
{
    static struct round before;
    struct plan plan = the_plan();
    before = *r;
    effects.count = 0;
    bool changed = round_step(r, &plan, e, &effects);
    assert_int_equal(changed, memcmp(&before, r, sizeof before) != 0);
    return changed;
}

static void must(struct round *r, struct round_event e)
{
    assert_true(step(r, &e));
}

static void reach(struct round *r, enum state s)
{
    memset(r, 0, sizeof *r);
    if (s == NEW)
        return;
    must(r, close_round(s == FINISHED ? 3 : 1, 0));
    if (s == GATHER || s == FINISHED)
        return;
    must(r, tick(1000, 0xf));
    assert_int_equal(r->slot_count, 4);
    must(r, check(1, 2, "update", true));
    must(r, check(2, 2, "update", false));
    if (s == COMBINE)
        must(r, check(3, 2, "update", true));
    if (s == PAST || s == COMBINE)
        must(r, tick(1000 + DEADLINE_MS, 0xf));
    assert_int_equal(r->phase, s == COMBINE ? ROUND_COMBINE : ROUND_COLLECT);
}

/* --- the table of docs/protocol.md --- */

#define NONE      (-1)
#define ALL_ROWS  0x3f /* every state */
#define IN(state) (1 << (state))

struct cell {
    int states;
    enum round_event_type type;
    uint32_t site;
    uint64_t round;
    const char *record; /* NULL: the site declines */
    uint64_t number;    /* tick: time; checked: fit; closed: failures */
    uint64_t online;
    bool changed;
    int phase, effect, effect2;
    enum refusal_code code;
    const char *why;
};

static const struct cell cells[] = {
    /* tick */
    {IN(NEW), ROUND_TICK, 0, 0, "", 1000, 0x3f, false, NONE, NONE, NONE, 0, "nothing has begun"},
    {IN(GATHER), ROUND_TICK, 0, 0, "", 1000, 0x7, false, NONE, NONE, NONE, 0, "3 of 4 are online"},
    {IN(GATHER), ROUND_TICK, 0, 0, "", 1000, 0xf, true, ROUND_COLLECT, ROUND_OPENED,
     ROUND_SEND_TASKS, 0, "4 of 4 are online"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 1001, 0x3f, false, NONE, NONE, NONE, 0,
     "nothing is due; others online are no reason"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 1000 + DEADLINE_MS / 8, 0xf, false, NONE, NONE, NONE, 0,
     "an eighth is not over yet"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 1001 + DEADLINE_MS / 8, 0xf, true, NONE, NONE, NONE, 0,
     "time itself is kept"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 999 + DEADLINE_MS, 0x3f, true, NONE, NONE, NONE, 0,
     "not past the deadline"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 1000 + DEADLINE_MS, 0xf, true, NONE, NONE, NONE, 0,
     "past it, nobody left to select, two still pending"},
    {IN(COLLECT), ROUND_TICK, 0, 0, "", 1000 + DEADLINE_MS, 0x3f, true, NONE, ROUND_MORE,
     ROUND_SEND_TASKS, 0, "past it and short: others are selected"},
    {IN(PAST), ROUND_TICK, 0, 0, "", 9001, 0xf, false, NONE, NONE, NONE, 0, "still pending"},
    {IN(PAST), ROUND_TICK, 0, 0, "", 9001, 0x1f, true, NONE, ROUND_MORE, ROUND_SEND_TASKS, 0,
     "one more came online"},
    {IN(COMBINE), ROUND_TICK, 0, 0, "", 99000, 0x3f, false, NONE, NONE, NONE, 0, "closed"},
    {IN(FINISHED), ROUND_TICK, 0, 0, "", 99000, 0x3f, false, NONE, NONE, NONE, 0, "over"},

    /* want */
    {IN(NEW) | IN(GATHER) | IN(COMBINE), ROUND_WANT, 0, 1, "", 0, 0, false, NONE, ROUND_SEND_WAIT,
     NONE, 0, "there is no task now"},
    {IN(COLLECT) | IN(PAST), ROUND_WANT, 0, 1, "", 0, 0, false, NONE, ROUND_SEND_TASK, NONE, 0,
     "selected and pending"},
    {IN(COLLECT) | IN(PAST), ROUND_WANT, 0, 2, "", 0, 0, false, NONE, ROUND_SEND_WAIT, NONE, 0,
     "pending, but it has refused this task"},
    {IN(COLLECT) | IN(PAST), ROUND_WANT, 1, 1, "", 0, 0, false, NONE, ROUND_SEND_WAIT, NONE, 0,
     "accepted already"},
    {IN(COLLECT) | IN(PAST), ROUND_WANT, 2, 1, "", 0, 0, false, NONE, ROUND_SEND_WAIT, NONE, 0,
     "refused already"},
    {IN(COLLECT) | IN(PAST), ROUND_WANT, 4, 1, "", 0, 0, false, NONE, ROUND_SEND_WAIT, NONE, 0,
     "not selected"},
    {IN(FINISHED), ROUND_WANT, 0, 1, "", 0, 0, false, NONE, ROUND_SEND_DONE, NONE, 0, "over"},

    /* missing? */
    {IN(NEW), ROUND_MISSING, 0, 2, "update", 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {ALL_ROWS & ~IN(NEW), ROUND_MISSING, 0, 1, "update", 0, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "an older round"},
    {ALL_ROWS, ROUND_MISSING, 0, 9, "update", 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {IN(GATHER), ROUND_MISSING, 0, 2, "update", 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_NOT_SELECTED, "nobody is selected yet"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_MISSING, 0, 2, "update", 0, 0, false, NONE,
     ROUND_LIST_MISSING, NONE, 0, "pending"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_MISSING, 1, 2, "update", 0, 0, false, NONE,
     ROUND_LIST_MISSING, NONE, 0, "accepted: it may have to send a block again"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_MISSING, 4, 2, "update", 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_NOT_SELECTED, "not selected"},
    {IN(FINISHED), ROUND_MISSING, 0, 4, "update", 0, 0, false, NONE, NONE, NONE, 0,
     "there will be no round 4"},

    /* submit */
    {IN(NEW), ROUND_SUBMIT, 0, 2, "update", 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {ALL_ROWS & ~IN(NEW), ROUND_SUBMIT, 0, 1, "update", 0, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "an older round"},
    {ALL_ROWS, ROUND_SUBMIT, 0, 9, "update", 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {IN(GATHER), ROUND_SUBMIT, 0, 2, "update", 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_NOT_SELECTED, "nobody is selected yet"},
    {IN(COLLECT) | IN(PAST), ROUND_SUBMIT, 0, 2, "update", 0, 0, false, NONE, ROUND_CHECK, NONE, 0,
     "the slot is empty"},
    {IN(COMBINE), ROUND_SUBMIT, 0, 2, "update", 0, 0, false, NONE, ROUND_REFUSE, NONE, REFUSAL_LATE,
     "the slot is empty and stays so"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_SUBMIT, 1, 2, "update", 0, 0, false, NONE,
     ROUND_ACKNOWLEDGE, NONE, 0, "the same record again"},
    {IN(COLLECT) | IN(PAST), ROUND_SUBMIT, 1, 2, "other", 0, 0, false, NONE, ROUND_PROVE, NONE, 0,
     "another record than the accepted one"},
    {IN(COMBINE), ROUND_SUBMIT, 1, 2, "other", 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_EQUIVOCATION, "another record, too late to be kept"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_SUBMIT, 2, 2, "update", 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_DECIDED, "the refused record again"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_SUBMIT, 2, 2, "other", 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_DECIDED, "another record after a refusal"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_SUBMIT, 4, 2, "update", 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_NOT_SELECTED, "not selected"},
    {IN(FINISHED), ROUND_SUBMIT, 0, 4, "update", 0, 0, false, NONE, NONE, NONE, 0,
     "there will be no round 4"},

    /* checked, fit */
    {IN(NEW), ROUND_CHECKED, 0, 2, "update", 1, 0, false, NONE, NONE, NONE, 0, "nothing has begun"},
    {IN(GATHER), ROUND_CHECKED, 0, 1, "update", 1, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "its round closed meanwhile"},
    {IN(COLLECT), ROUND_CHECKED, 0, 2, "update", 1, 0, true, NONE, ROUND_ACKNOWLEDGE, NONE, 0,
     "accepted; site 3 is still pending"},
    {IN(PAST), ROUND_CHECKED, 0, 2, "update", 1, 0, true, ROUND_COMBINE, ROUND_ACKNOWLEDGE,
     ROUND_COMBINE_JOB, 0, "the quorum is reached past the deadline"},
    {IN(COMBINE), ROUND_CHECKED, 0, 2, "update", 1, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_LATE, "the round closed while it was checked"},
    {IN(COMBINE), ROUND_CHECKED, 1, 2, "update", 1, 0, false, NONE, ROUND_ACKNOWLEDGE, NONE, 0,
     "counted: never told late"},
    {IN(COLLECT), ROUND_CHECKED, 4, 2, "update", 1, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_NOT_SELECTED, "not selected"},
    {IN(FINISHED), ROUND_CHECKED, 0, 3, "update", 1, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "its round closed meanwhile"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_CHECKED, 0, 1, "update", 1, 0, false, NONE,
     ROUND_LOOK_UP, NONE, 0, "a record of another round takes no slot"},

    /* checked, unfit */
    {IN(COLLECT), ROUND_CHECKED, 0, 2, "update", 0, 0, true, NONE, ROUND_REFUSE, NONE,
     REFUSAL_DECIDED, "refused; site 3 is still pending"},
    {IN(PAST), ROUND_CHECKED, 0, 2, "update", 0, 0, true, NONE, ROUND_REFUSE, NONE, REFUSAL_DECIDED,
     "refused; site 3 is still pending"},
    {IN(COMBINE), ROUND_CHECKED, 0, 2, "update", 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_LATE, "late all the same"},
    {IN(GATHER), ROUND_CHECKED, 0, 1, "update", 0, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "its round closed meanwhile"},

    /* checked, declined */
    {IN(COLLECT) | IN(PAST), ROUND_CHECKED, 0, 2, NULL, 0, 0, true, NONE, ROUND_REFUSE, NONE,
     REFUSAL_DECIDED, "written down; site 3 is still pending"},
    {IN(COMBINE), ROUND_CHECKED, 0, 2, NULL, 0, 0, false, NONE, ROUND_REFUSE, NONE, REFUSAL_LATE,
     "the round closed while it was written down"},
    {IN(GATHER), ROUND_CHECKED, 0, 1, NULL, 0, 0, false, NONE, ROUND_REFUSE, NONE, REFUSAL_LATE,
     "its round closed meanwhile"},
    {IN(COLLECT), ROUND_CHECKED, 1, 2, NULL, 0, 0, false, NONE, ROUND_ACKNOWLEDGE, NONE, 0,
     "what was accepted stands"},

    /* decline */
    {IN(NEW), ROUND_DECLINE, 0, 2, NULL, 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {ALL_ROWS, ROUND_DECLINE, 0, 0, NULL, 0, 0, false, NONE, NONE, NONE, 0, "there is no round 0"},
    {ALL_ROWS, ROUND_DECLINE, 0, 9, NULL, 0, 0, false, NONE, NONE, NONE, 0, "a future round"},
    {ALL_ROWS & ~IN(NEW), ROUND_DECLINE, 0, 1, NULL, 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_LATE, "an older round"},
    {IN(GATHER), ROUND_DECLINE, 0, 2, NULL, 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_NOT_SELECTED, "nobody is selected yet"},
    {IN(COLLECT) | IN(PAST), ROUND_DECLINE, 0, 2, NULL, 0, 0, false, NONE, ROUND_RECORD_DECLINE,
     NONE, REFUSAL_TRAINER_HUNG, "the slot is empty"},
    {IN(COMBINE), ROUND_DECLINE, 0, 2, NULL, 0, 0, false, NONE, ROUND_REFUSE, NONE, REFUSAL_LATE,
     "the slot is empty and stays so"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_DECLINE, 1, 2, NULL, 0, 0, false, NONE,
     ROUND_ACKNOWLEDGE, NONE, 0, "it was accepted before"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_DECLINE, 2, 2, NULL, 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_DECIDED, "its update was refused before"},
    {IN(COLLECT) | IN(PAST) | IN(COMBINE), ROUND_DECLINE, 4, 2, NULL, 0, 0, false, NONE,
     ROUND_REFUSE, NONE, REFUSAL_NOT_SELECTED, "not selected"},
    {IN(FINISHED), ROUND_DECLINE, 0, 4, NULL, 0, 0, false, NONE, NONE, NONE, 0,
     "there will be no round 4"},

    /* equivocated */
    {IN(NEW), ROUND_EQUIVOCATED, 0, 2, "other", 0, 0, false, NONE, NONE, NONE, 0,
     "nothing has begun"},
    {IN(GATHER), ROUND_EQUIVOCATED, 0, 1, "other", 0, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "its round closed meanwhile"},
    {IN(COLLECT) | IN(PAST), ROUND_EQUIVOCATED, 1, 2, "other", 0, 0, true, NONE, ROUND_REFUSE, NONE,
     REFUSAL_EQUIVOCATION, "kept beside the first"},
    {IN(COLLECT) | IN(PAST), ROUND_EQUIVOCATED, 1, 2, "update", 0, 0, false, NONE,
     ROUND_ACKNOWLEDGE, NONE, 0, "that one is the first"},
    {IN(COMBINE), ROUND_EQUIVOCATED, 1, 2, "other", 0, 0, false, NONE, ROUND_REFUSE, NONE,
     REFUSAL_EQUIVOCATION, "the round closed while it was looked at"},
    {IN(COLLECT) | IN(PAST), ROUND_EQUIVOCATED, 2, 2, "other", 0, 0, false, NONE, ROUND_REFUSE,
     NONE, REFUSAL_DECIDED, "there is no first"},
    {IN(FINISHED), ROUND_EQUIVOCATED, 0, 3, "other", 0, 0, false, NONE, ROUND_LOOK_UP, NONE, 0,
     "its round closed meanwhile"},

    /* closed */
    {IN(NEW), ROUND_CLOSED, 0, 0, "", 0, 0, true, ROUND_GATHER, ROUND_HEAD_HINT, NONE, 0,
     "a study begins"},
    {IN(NEW), ROUND_CLOSED, 0, 3, "", 0, 0, true, ROUND_FINISHED, ROUND_HEAD_HINT, NONE, 0,
     "the schedule has 3 rounds"},
    {IN(COMBINE), ROUND_CLOSED, 0, 2, "", 0, 0, true, ROUND_GATHER, ROUND_HEAD_HINT, NONE, 0,
     "the next round"},
    {IN(COMBINE), ROUND_CLOSED, 0, 2, "", 2, 0, true, ROUND_GATHER, ROUND_HEAD_HINT, NONE, 0,
     "two failures in a row"},
    {IN(COMBINE), ROUND_CLOSED, 0, 2, "", 3, 0, true, ROUND_FINISHED, ROUND_HEAD_HINT, NONE, 0,
     "three failures in a row"},
    {IN(COMBINE), ROUND_CLOSED, 0, 1, "", 0, 0, false, NONE, NONE, NONE, 0, "another round's"},
    {IN(GATHER) | IN(COLLECT) | IN(PAST) | IN(FINISHED), ROUND_CLOSED, 0, 2, "", 0, 0, false, NONE,
     NONE, NONE, 0, "nothing was being combined"},

    /* resume */
    {IN(NEW) | IN(GATHER) | IN(COLLECT) | IN(PAST) | IN(FINISHED), ROUND_RESUME, 0, 0, "", 0, 0,
     false, NONE, ROUND_HEAD_HINT, NONE, 0, "workers ask for the rest"},
    {IN(COMBINE), ROUND_RESUME, 0, 0, "", 0, 0, false, NONE, ROUND_HEAD_HINT, ROUND_COMBINE_JOB, 0,
     "the job is begun again"},
};

static struct round_event event_of(const struct cell *x)
{
    switch (x->type) {
    case ROUND_TICK:
        return tick(x->number, x->online);
    case ROUND_CHECKED:
        return x->record == NULL ? declined(x->site, x->round)
                                 : check(x->site, x->round, x->record, x->number == 1);
    case ROUND_DECLINE:
        return decline(x->site, x->round);
    case ROUND_EQUIVOCATED:
        return proven(x->site, x->round, x->record);
    case ROUND_CLOSED:
        return close_round(x->round, (uint32_t)x->number);
    case ROUND_WANT:
    case ROUND_MISSING:
    case ROUND_SUBMIT:
    case ROUND_RESUME:
        break;
    }
    return ask(x->type, x->site, x->round, x->record);
}

static bool effects_are(int first, int second)
{
    size_t count = first == NONE ? 0 : second == NONE ? 1 : 2;
    return effects.count == count && (count < 1 || (int)effects.items[0].type == first) &&
           (count < 2 || (int)effects.items[1].type == second);
}

static void test_every_cell_of_the_table_is_as_printed(void **state)
{
    (void)state;
    static struct round r;
    bool met[STATE_COUNT][ROUND_EQUIVOCATED + 1] = {{false}};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        const struct cell *x = &cells[i];
        for (enum state s = NEW; s < STATE_COUNT; s++) {
            if ((x->states & IN(s)) == 0)
                continue;
            reach(&r, s);
            struct round_event e = event_of(x);
            int phase = x->phase == NONE ? (int)r.phase : x->phase;
            met[s][x->type] = true;
            if (step(&r, &e) != x->changed || (int)r.phase != phase ||
                !effects_are(x->effect, x->effect2) ||
                (x->code != 0 && effects.items[0].code != x->code))
                fail_msg("row %zu, state %d, event %d (%s): phase %s, %zu effects, first %d", i, s,
                         x->type, x->why, round_phase_name(r.phase), effects.count,
                         effects.count > 0 ? (int)effects.items[0].type : NONE);
        }
    }
    for (enum state s = NEW; s < STATE_COUNT; s++)
        for (int type = ROUND_TICK; type <= ROUND_EQUIVOCATED; type++)
            if (!met[s][type])
                fail_msg("the table has no row for state %d, event %d", s, type);
}

static void test_a_decided_slot_keeps_what_was_checked(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, COLLECT);
    const struct round_slot *good = round_find(&r, 1), *bad = round_find(&r, 2);
    struct cid update1 = named("update", 1), update2 = named("update", 2),
               refusal = named("refusal", 2);
    assert_int_equal(good->state, ROUND_ACCEPTED);
    assert_int_equal(good->weight, 11);
    assert_int_equal(good->bytes, 101);
    assert_true(cid_equal(&good->record, &update1));
    assert_int_equal(bad->state, ROUND_REFUSED);
    assert_true(cid_equal(&bad->record, &update2));
    assert_true(cid_equal(&bad->refusal, &refusal));
    assert_null(round_find(&r, 4));
}

static void test_the_refused_record_is_answered_with_its_refusal_and_no_other(void **state)
{
    (void)state;
    static struct round r;
    struct cid refusal = named("refusal", 2);
    reach(&r, COLLECT);
    struct round_event e = ask(ROUND_SUBMIT, 2, 2, "update");
    step(&r, &e);
    assert_true(cid_equal(&effects.items[0].refusal, &refusal));
    e = ask(ROUND_SUBMIT, 2, 2, "other");
    step(&r, &e);
    assert_true(cid_is_none(&effects.items[0].refusal));
}

static void test_a_site_that_declines_is_answered_and_not_waited_for(void **state)
{
    (void)state;
    static struct round r;
    struct cid refusal = named("refusal", 0), other = named("update", 0);
    reach(&r, COLLECT);
    must(&r, declined(0, 2));
    const struct round_slot *slot = round_find(&r, 0);
    assert_int_equal(slot->state, ROUND_REFUSED);
    assert_true(cid_is_none(&slot->record));
    assert_true(cid_equal(&slot->refusal, &refusal));
    assert_true(cid_equal(&effects.items[0].refusal, &refusal));
    struct round_event e = decline(0, 2);
    e.code = REFUSAL_TRAINER_DIED; /* it has tried again */
    assert_false(step(&r, &e));
    assert_true(cid_equal(&effects.items[0].refusal, &refusal)); /* as it was answered before */
    e = ask(ROUND_SUBMIT, 0, 2, "update");
    assert_false(step(&r, &e));
    assert_int_equal(effects.items[0].code, REFUSAL_DECIDED);
    assert_true(cid_is_none(&effects.items[0].refusal));
    assert_true(cid_equal(&effects.items[0].record, &other));
    must(&r, check(3, 2, "update", true)); /* nobody is pending any more: no deadline is needed */
    assert_int_equal(r.phase, ROUND_COMBINE);
    assert_false(r.past);
}

static void test_the_last_one_to_decline_closes_the_round(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, COLLECT);
    must(&r, check(3, 2, "update", true));
    must(&r, declined(0, 2));
    assert_int_equal(r.phase, ROUND_COMBINE);
    assert_true(effects_are(ROUND_REFUSE, ROUND_COMBINE_JOB));
}

static void test_two_stories_leave_the_first_and_one_proof(void **state)
{
    (void)state;
    static struct round r;
    struct cid first = named("update", 1), proof = named("proof against", 1);
    reach(&r, COLLECT);
    must(&r, proven(1, 2, "other"));
    const struct round_slot *slot = round_find(&r, 1);
    assert_int_equal(slot->state, ROUND_ACCEPTED);
    assert_true(cid_equal(&slot->record, &first));
    assert_true(cid_equal(&slot->evidence, &proof));
    assert_int_equal(slot->bytes, 101 + 1000);
    assert_int_equal(slot->weight, 11);
    assert_true(cid_equal(&effects.items[0].refusal, &proof));
    assert_int_equal(r.accepted, 1);
    static const char *const more[] = {"other", "a third"};
    for (size_t i = 0; i < 2; i++) {
        struct round_event e = ask(ROUND_SUBMIT, 1, 2, more[i]);
        assert_false(step(&r, &e)); /* answered, not looked at again */
        assert_true(effects_are(ROUND_REFUSE, NONE));
        assert_int_equal(effects.items[0].code, REFUSAL_EQUIVOCATION);
        e = proven(1, 2, more[i]); /* nor taken */
        e.refusal = named("another proof", 1);
        assert_false(step(&r, &e));
    }
    assert_true(cid_equal(&round_find(&r, 1)->evidence, &proof));
    struct round_event e = ask(ROUND_SUBMIT, 1, 2, "update");
    assert_false(step(&r, &e));
    assert_true(effects_are(ROUND_ACKNOWLEDGE, NONE));
}

static void test_the_optimisers_state_comes_with_its_model(void **state)
{
    (void)state;
    static struct round r;
    struct cid before = named("state", 2);
    reach(&r, COMBINE);
    assert_true(cid_is_none(&r.state)); /* round 1 left none */
    must(&r, close_round(2, 0));
    assert_true(cid_equal(&r.state, &before));
}

/* --- selecting --- */

static void open_with(struct round *r, const struct plan *plan, const struct round_event *e)
{
    struct round_event begin = close_round(0, 0);
    effects.count = 0;
    memset(r, 0, sizeof *r);
    assert_true(round_step(r, plan, &begin, &effects));
    assert_true(round_step(r, plan, e, &effects));
}

static void test_selection_is_a_function_of_plan_round_and_online_set(void **state)
{
    (void)state;
    static struct round a, b;
    struct plan plan = the_plan();
    struct round_event e = tick(1, 0);
    e.admitted = 64;
    e.online[0] = UINT64_MAX;
    plan.fraction_ppm = 250000;
    open_with(&a, &plan, &e);
    assert_int_equal(a.slot_count, 16);
    e.time_ms = 99;
    open_with(&b, &plan, &e);
    assert_int_equal(b.slot_count, 16);
    assert_memory_equal(a.slots, b.slots, sizeof a.slots);
    plan.seed++;
    open_with(&b, &plan, &e);
    assert_memory_not_equal(a.slots, b.slots, sizeof a.slots);
}

static void test_selection_takes_the_fraction_but_at_least_the_minimum(void **state)
{
    (void)state;
    static const struct {
        uint64_t fraction_ppm, admitted, online, selected;
        const char *why;
    } rows[] = {
        {1000000, 6, 0x3f, 6, "all"},
        {500000, 10, 0x3ff, 5, "a half"},
        {510000, 10, 0x3ff, 6, "rounded up"},
        {1, 10, 0x3ff, 4, "never below the minimum"},
        {900000, 10, 0x1f, 5, "no more than are online"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct round r;
        struct plan plan = the_plan();
        struct round_event e = tick(1, rows[i].online);
        plan.fraction_ppm = rows[i].fraction_ppm;
        e.admitted = rows[i].admitted;
        open_with(&r, &plan, &e);
        if (r.slot_count != rows[i].selected)
            fail_msg("%s: %u selected", rows[i].why, r.slot_count);
        for (uint32_t k = 0; k < r.slot_count; k++) {
            assert_true(rows[i].online >> r.slots[k].site & 1);
            for (uint32_t n = 0; n < k; n++)
                assert_int_not_equal(r.slots[k].site, r.slots[n].site);
        }
    }
}

/* A measurement wants everybody; a fraction is for what trains. */
static void test_rules_that_do_not_train_ask_everybody(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint32_t selected;
    } rows[] = {{"fedavg", 4}, {"moments", 20}, {"evaluate", 20}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct round r;
        struct plan plan = the_plan();
        struct round_event e = tick(1, 0xfffff);
        e.admitted = 20;
        plan.fraction_ppm = 100000;
        snprintf(plan.schedule[0].rule, sizeof plan.schedule[0].rule, "%s", rows[i].rule);
        open_with(&r, &plan, &e);
        if (r.slot_count != rows[i].selected)
            fail_msg("%s: %u selected", rows[i].rule, r.slot_count);
    }
}

static void test_each_round_draws_anew(void **state)
{
    (void)state;
    static struct round r;
    uint64_t chosen[3] = {0};
    struct plan plan = the_plan();
    plan.fraction_ppm = 250000;
    for (uint64_t round = 0; round < 3; round++) {
        struct round_event begin = close_round(round, 0), e = tick(1, UINT64_MAX);
        plan.schedule[0].rounds = 4;
        e.admitted = 64;
        effects.count = 0;
        memset(&r, 0, sizeof r);
        assert_true(round_step(&r, &plan, &begin, &effects));
        assert_true(round_step(&r, &plan, &e, &effects));
        for (uint32_t i = 0; i < r.slot_count; i++)
            chosen[round] |= 1ull << r.slots[i].site;
    }
    assert_true(chosen[0] != chosen[1] && chosen[1] != chosen[2]);
}

/* It is there, and is not taken in: the others are at work already. */
static void test_a_site_that_comes_late_is_asked_in_the_next_round(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, GATHER);
    must(&r, tick(1000, 0xf));
    for (uint32_t site = 0; site < 4; site++) {
        struct round_event e = tick(1001 + site, 0x1f);
        assert_false(step(&r, &e));
        must(&r, check(site, 2, "update", true));
    }
    assert_int_equal(r.phase, ROUND_COMBINE);
    assert_null(round_find(&r, 4));
    must(&r, close_round(2, 0));
    struct plan plan = the_plan();
    plan.schedule[0].rounds = 4;
    r.phase = ROUND_GATHER; /* of a longer schedule than that of the other tests */
    struct round_event e = tick(2000, 0x1f);
    assert_true(round_step(&r, &plan, &e, &effects));
    assert_non_null(round_find(&r, 4));
}

static void test_no_more_than_the_slots_are_selected(void **state)
{
    (void)state;
    static struct round r;
    struct plan plan = the_plan();
    struct round_event e = tick(1, 0);
    memset(e.online, 0xff, sizeof e.online);
    e.online[ROUND_SET_WORDS - 1] = (1ull << (ROSTER_SITES_MAX % 64)) - 1;
    e.admitted = ROSTER_SITES_MAX;
    open_with(&r, &plan, &e);
    assert_int_equal(r.slot_count, ROUND_SLOTS_MAX);
    e.time_ms += DEADLINE_MS;
    assert_true(round_step(&r, &plan, &e, &effects));
    assert_int_equal(r.slot_count, ROUND_SLOTS_MAX);
}

static void test_the_roster_is_bound_by_selecting(void **state)
{
    (void)state;
    static struct round r;
    struct cid newer = named("roster", 2);
    reach(&r, COLLECT);
    struct round_event e = tick(1001 + DEADLINE_MS / 8, 0xf);
    e.roster = newer;
    must(&r, e);
    assert_false(cid_equal(&r.roster, &newer)); /* nobody was selected */
    e.time_ms = 1000 + DEADLINE_MS;
    e.online[0] = 0x1f;
    must(&r, e);
    assert_true(cid_equal(&r.roster, &newer));
    assert_int_equal(r.slots[4].site, 4);
}

static void test_nobody_left_past_the_deadline_fails_the_round(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, PAST);
    must(&r, check(0, 2, "update", false));
    must(&r, check(3, 2, "update", false));
    assert_int_equal(r.phase, ROUND_COLLECT); /* the next tick asks who else is there */
    must(&r, tick(9002, 0xf));
    assert_int_equal(r.phase, ROUND_COMBINE);
    assert_true(r.no_quorum);
    assert_true(effects_are(ROUND_COMBINE_JOB, NONE));
}

static void test_all_answered_before_the_deadline_but_too_few_are_fit(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, COLLECT);
    must(&r, check(0, 2, "update", false));
    must(&r, check(3, 2, "update", false));
    struct round_event e = tick(1500, 0xf);
    assert_false(step(&r, &e)); /* somebody may still come */
    must(&r, tick(1600, 0x1f));
    assert_true(effects_are(ROUND_MORE, ROUND_SEND_TASKS));
    must(&r, check(4, 2, "update", true));
    assert_int_equal(r.phase, ROUND_COMBINE);
    assert_false(r.no_quorum);
}

/* --- the journal's form --- */

static void test_a_journalled_event_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf text = buf_new(4096);
    struct round_event events[] = {
        tick(5, 0),
        tick(UINT64_MAX, 0xf0),
        tick(6, 0),
        check(9, 3, "update", true),
        check(ROSTER_SITES_MAX - 1, 3, "update", false),
        declined(9, 3),
        proven(9, 3, "other"),
        close_round(0, 0),
        close_round(UINT64_MAX - 1, 3),
    };
    events[2].online[ROUND_SET_WORDS - 1] = 1;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct round_event back;
        assert_true(encode(&events[i], &text) > 0);
        struct cbor r = cbor_reader(buf_bytes(&text));
        assert_int_equal(round_event_decode(&r, &back, NULL), 0);
        assert_int_equal(cbor_finish(&r, NULL), 0);
        assert_memory_equal(&back, &events[i], sizeof back);
    }
    buf_fini(&text);
}

static void test_events_that_change_nothing_have_no_form(void **state)
{
    (void)state;
    struct buf text = buf_new(4096);
    static const enum round_event_type types[] = {ROUND_WANT, ROUND_MISSING, ROUND_SUBMIT,
                                                  ROUND_DECLINE, ROUND_RESUME};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct round_event e = ask(types[i], 1, 1, "update");
        assert_int_equal(encode(&e, &text), 0);
    }
    buf_fini(&text);
}

static void test_every_flipped_bit_is_refused_or_another_event(void **state)
{
    (void)state;
    struct buf text = buf_new(4096);
    struct round_event e = check(9, 3, "update", true);
    encode(&e, &text);
    for (size_t bit = 0; bit < 8 * text.size; bit++) {
        struct round_event back;
        text.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        struct cbor r = cbor_reader(buf_bytes(&text));
        if (round_event_decode(&r, &back, NULL) == 0 && cbor_finish(&r, NULL) == 0)
            assert_memory_not_equal(&back, &e, sizeof e);
        text.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    }
    for (size_t size = 0; size < text.size; size++) {
        struct round_event back;
        struct cbor r = cbor_reader(bytes_of(text.data, size));
        assert_int_equal(round_event_decode(&r, &back, NULL), ERR_MALFORMED);
    }
    buf_fini(&text);
}

static void test_a_journal_of_another_version_is_refused_by_that_name(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t size;
        int code;
        const char *why;
    } rows[] = {
        {{0x82, 6, 3}, 3, ERR_UNSUPPORTED, "version 3"},
        {{0x84, 6, 1, 0, 0}, 5, ERR_UNSUPPORTED, "version 1 with other fields"},
        {{0x82, 6, 2}, 3, ERR_MALFORMED, "version 2, but too short"},
        {{0x81, 6}, 2, ERR_MALFORMED, "no version"},
        {{0x82, 6, 0x61, 'x'}, 4, ERR_MALFORMED, "a text for a version"},
        {{0x81, 2}, 2, ERR_MALFORMED, "an event that is never journalled"},
        {{0x81, 8}, 2, ERR_MALFORMED, "another that is never journalled"},
        {{0x81, 10}, 2, ERR_MALFORMED, "an unknown type"},
        {{0x80}, 1, ERR_MALFORMED, "nothing inside"},
        {{0xa0}, 1, ERR_MALFORMED, "a map"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct round_event e;
        struct cbor r = cbor_reader(bytes_of(rows[i].bytes, rows[i].size));
        int rc = round_event_decode(&r, &e, NULL);
        if (rc != rows[i].code)
            fail_msg("%s: %d", rows[i].why, rc);
    }
}

static void test_an_accepted_update_has_a_name(void **state)
{
    (void)state;
    struct buf text = buf_new(4096);
    struct round_event e = declined(1, 2), back;
    e.fit = true;
    encode(&e, &text);
    struct cbor r = cbor_reader(buf_bytes(&text));
    assert_int_equal(round_event_decode(&r, &back, NULL), ERR_MALFORMED);
    buf_fini(&text);
}

static void test_an_online_set_past_the_roster_is_refused(void **state)
{
    (void)state;
    struct buf text = buf_new(4096);
    struct round_event e = tick(1, 0), back;
    e.online[ROUND_SET_WORDS - 1] = 1ull << (ROSTER_SITES_MAX % 64);
    encode(&e, &text);
    struct cbor r = cbor_reader(buf_bytes(&text));
    assert_int_equal(round_event_decode(&r, &back, NULL), ERR_MALFORMED);
    buf_fini(&text);
}

static void test_effects_past_the_limit_are_lost_and_harm_no_other(void **state)
{
    (void)state;
    static struct round r;
    reach(&r, COLLECT);
    struct plan plan = the_plan();
    struct round_event good = ask(ROUND_SUBMIT, 1, 2, "update");
    struct round_event bad = ask(ROUND_SUBMIT, 1, 2, "other");
    effects.count = 0;
    for (size_t i = 0; i < ROUND_EFFECTS_MAX; i++)
        round_step(&r, &plan, &good, &effects);
    round_step(&r, &plan, &bad, &effects);
    assert_int_equal(effects.count, ROUND_EFFECTS_MAX);
    const struct round_effect *last = &effects.items[ROUND_EFFECTS_MAX - 1];
    assert_int_equal(last->type, ROUND_ACKNOWLEDGE);
    assert_int_equal(last->code, REFUSAL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell_of_the_table_is_as_printed),
        cmocka_unit_test(test_a_decided_slot_keeps_what_was_checked),
        cmocka_unit_test(test_the_refused_record_is_answered_with_its_refusal_and_no_other),
        cmocka_unit_test(test_a_site_that_declines_is_answered_and_not_waited_for),
        cmocka_unit_test(test_the_last_one_to_decline_closes_the_round),
        cmocka_unit_test(test_two_stories_leave_the_first_and_one_proof),
        cmocka_unit_test(test_the_optimisers_state_comes_with_its_model),
        cmocka_unit_test(test_selection_is_a_function_of_plan_round_and_online_set),
        cmocka_unit_test(test_selection_takes_the_fraction_but_at_least_the_minimum),
        cmocka_unit_test(test_rules_that_do_not_train_ask_everybody),
        cmocka_unit_test(test_each_round_draws_anew),
        cmocka_unit_test(test_a_site_that_comes_late_is_asked_in_the_next_round),
        cmocka_unit_test(test_no_more_than_the_slots_are_selected),
        cmocka_unit_test(test_the_roster_is_bound_by_selecting),
        cmocka_unit_test(test_nobody_left_past_the_deadline_fails_the_round),
        cmocka_unit_test(test_all_answered_before_the_deadline_but_too_few_are_fit),
        cmocka_unit_test(test_a_journalled_event_comes_back_as_it_was),
        cmocka_unit_test(test_events_that_change_nothing_have_no_form),
        cmocka_unit_test(test_every_flipped_bit_is_refused_or_another_event),
        cmocka_unit_test(test_a_journal_of_another_version_is_refused_by_that_name),
        cmocka_unit_test(test_an_accepted_update_has_a_name),
        cmocka_unit_test(test_an_online_set_past_the_roster_is_refused),
        cmocka_unit_test(test_effects_past_the_limit_are_lost_and_harm_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
