/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/round_events.h"

/* --- whole studies, by chance --- */

#define EVENTS_MAX 4000
#define ROUNDS     40

/* A coordinator's journal and what its round records would say. */
struct world {
    struct plan plan;
    struct round now;
    struct random_stream chance;
    uint64_t time_ms;
    size_t count;
    struct round_event journal[EVENTS_MAX]; /* of the present file */
    struct cid accepted[ROUNDS + 2][SITES]; /* by site; none */
    size_t late, acknowledged, closed, declined, proven;
};

static bool is_counted(const struct world *w, const struct round_effect *x)
{
    return x->round <= ROUNDS && !cid_is_none(&x->record) && /* a decline is about none */
           cid_equal(&w->accepted[x->round][x->site], &x->record);
}

static void replay(const struct world *w, size_t count, struct round *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        struct buf text = buf_new(4096);
        struct round_event e;
        encode(&w->journal[i], &text);
        struct cbor r = cbor_reader(buf_bytes(&text));
        assert_int_equal(round_event_decode(&r, &e, NULL), 0);
        effects.count = 0;
        assert_true(round_step(out, &w->plan, &e, &effects));
        buf_fini(&text);
    }
}

/* A counted site is acknowledged, whenever and however often it asks; nobody else is. */
static void judge_effects(struct world *w, const struct round_event *e)
{
    for (size_t i = 0; i < effects.count; i++) {
        const struct round_effect *x = &effects.items[i];
        if (x->type == ROUND_REFUSE && x->code == REFUSAL_LATE) {
            assert_false(is_counted(w, x));
            w->late++;
        }
        if (x->type == ROUND_ACKNOWLEDGE) {
            assert_true(is_counted(w, x));
            w->acknowledged++;
        }
        if (x->type == ROUND_REFUSE && !cid_is_none(&x->refusal)) { /* shown again as it was made */
            w->declined += e->type == ROUND_DECLINE ? 1 : 0;
            w->proven += e->type == ROUND_EQUIVOCATED ? 1 : 0;
        }
        if (x->type == ROUND_LOOK_UP) /* answered from that round's record */
            assert_true(x->round < w->now.number && x->site == e->site);
    }
}

static void take(struct world *w, const struct round_event *e)
{
    static struct round before;
    before = w->now;
    effects.count = 0;
    bool changed = round_step(&w->now, &w->plan, e, &effects);
    assert_int_equal(changed, memcmp(&before, &w->now, sizeof before) != 0);
    if (!changed) {
        judge_effects(w, e);
        return;
    }
    if (e->type == ROUND_CLOSED) {
        w->count = 0;
        w->closed++;
    }
    assert_true(w->count < EVENTS_MAX);
    w->journal[w->count++] = *e;
    const struct round_slot *s = e->type == ROUND_CHECKED ? round_find(&w->now, e->site) : NULL;
    if (s != NULL && s->state == ROUND_ACCEPTED)
        w->accepted[e->round][e->site] = s->record;
    judge_effects(w, e);
}

static struct round_event any_event(struct world *w)
{
    struct random_stream *c = &w->chance;
    uint32_t site = (uint32_t)random_stream_below(c, SITES);
    uint64_t round = w->now.number - random_stream_below(c, w->now.number < 3 ? 1 : 3);
    const char *record = random_stream_below(c, 8) == 0 ? "other" : "update";
    switch (random_stream_below(c, 10)) {
    case 0:
    case 1:
        w->time_ms += random_stream_below(c, DEADLINE_MS / 4);
        return tick(w->time_ms, random_stream_below(c, 1 << SITES));
    case 2:
        return ask(ROUND_WANT, site, round, record);
    case 3:
        return ask(ROUND_MISSING, site, round, record);
    case 4:
        return ask(ROUND_SUBMIT, site, round, record);
    case 5:
        return random_stream_below(c, 2) == 0 ? decline(site, round) : declined(site, round);
    case 6:
        return proven(site, round, record);
    case 7:
    case 8:
        return check(site, round, record, random_stream_below(c, 4) != 0);
    default:
        return w->now.phase == ROUND_COMBINE
                   ? close_round(w->now.number, w->now.no_quorum ? w->now.failures + 1 : 0)
                   : close_round(round, 0);
    }
}

static void begin_world(struct world *w, uint64_t seed)
{
    uint8_t key[HASH_BYTES] = {0};
    memset(w, 0, sizeof *w);
    bytes_put_u64(key, seed);
    random_stream_init(&w->chance, key);
    w->plan = the_plan();
    w->plan.schedule[0].rounds = ROUNDS;
    struct round_event first = close_round(0, 0);
    take(w, &first);
}

static void test_a_journal_replays_to_the_same_state_whatever_happened(void **state)
{
    (void)state;
    static struct world w;
    static struct round again;
    size_t closed = 0, late = 0, acknowledged = 0, declined_again = 0, proofs = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        begin_world(&w, seed);
        for (size_t i = 0; i < 1500 && w.now.phase != ROUND_FINISHED; i++) {
            size_t before = w.count;
            struct round_event e = any_event(&w);
            take(&w, &e);
            if (w.count == before)
                continue;
            replay(&w, w.count, &again);
            assert_memory_equal(&again, &w.now, sizeof again);
        }
        closed += w.closed;
        late += w.late;
        acknowledged += w.acknowledged;
        declined_again += w.declined;
        proofs += w.proven;
    }
    assert_true(closed > 400 && late > 40 && acknowledged > 1000); /* the runs met what matters */
    assert_true(declined_again > 20 && proofs > 100);
}

static void test_any_prefix_of_a_journal_is_a_state_that_was(void **state)
{
    (void)state;
    static struct world w;
    static struct round states[64], again;
    size_t kept = 0, lengths[64];
    begin_world(&w, 99);
    states[kept] = w.now;
    lengths[kept++] = w.count;
    for (size_t i = 0; i < 4000 && kept < 64; i++) {
        size_t before = w.count, closed = w.closed;
        struct round_event e = any_event(&w);
        take(&w, &e);
        if (w.closed != closed)
            kept = 0;
        if (w.count == before && w.closed == closed)
            continue;
        states[kept] = w.now;
        lengths[kept++] = w.count;
        for (size_t k = 0; k < kept; k++) {
            replay(&w, lengths[k], &again);
            assert_memory_equal(&again, &states[k], sizeof again);
        }
        if (w.closed > 20)
            break;
    }
    assert_true(w.closed > 20);
}

/* The program lives for a little more than an eighth of the deadline each time, and is then killed:
 * what was not journalled of its time is lost. */
static void test_a_deadline_passes_however_often_the_program_dies(void **state)
{
    (void)state;
    static struct world w;
    begin_world(&w, 1);
    struct round_event e = tick(1000, 0xf);
    take(&w, &e);
    size_t lives = 0;
    uint64_t journalled_ms = 1000;
    for (; !w.now.past && lives < 20; lives++) {
        uint64_t end_ms = journalled_ms + DEADLINE_MS / 8 + 10;
        for (uint64_t now_ms = journalled_ms; now_ms <= end_ms; now_ms++) {
            size_t before = w.count;
            e = tick(now_ms, 0xf);
            take(&w, &e);
            if (w.count != before)
                journalled_ms = now_ms;
        }
        static struct round again;
        replay(&w, w.count, &again);
        w.now = again;
    }
    assert_true(w.now.past);
    assert_true(lives <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_journal_replays_to_the_same_state_whatever_happened),
        cmocka_unit_test(test_any_prefix_of_a_journal_is_a_state_that_was),
        cmocka_unit_test(test_a_deadline_passes_however_often_the_program_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
