/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "worker/task.h"

#define ROUND 7 /* of the task in hand */

/* --- things with names --- */

static struct cid named(const char *name)
{
    return cid_of(CID_DAG_CBOR, bytes_of_text(name));
}

static struct task_evidence signed_by(const char *words)
{
    struct task_evidence e;
    assert_true(task_evidence_set(&e, bytes_of_text(words)));
    return e;
}

/* The record of a round in the one honest history; of round 0, the charter. */
static struct cid record_of(uint64_t round)
{
    char name[32];
    snprintf(name, sizeof name, "round %llu", (unsigned long long)round);
    return named(name);
}

static struct task_event event(enum task_event_type type, uint64_t round)
{
    struct task_event e;
    memset(&e, 0, sizeof e);
    e.type = type;
    e.round = round;
    return e;
}

static struct task_event ordered(uint64_t round)
{
    struct task_event e = event(TASK_ORDERED, 0);
    e.order.round = round;
    e.order.site = 3;
    snprintf(e.order.rule, sizeof e.order.rule, "fedavg");
    e.order.plan = named("plan");
    e.order.roster = named("roster");
    e.order.prev = record_of(round - 1);
    e.order.base = named("base");
    e.statement = signed_by("head below the task");
    return e;
}

static struct task_event ordered_from(uint64_t round, const char *prev)
{
    struct task_event e = ordered(round);
    e.order.prev = named(prev);
    return e;
}

static struct task_event with_other_base(uint64_t round)
{
    struct task_event e = ordered(round);
    e.order.base = named("other base");
    return e;
}

static struct task_event head(uint64_t round, struct cid record)
{
    struct task_event e = event(TASK_HEAD, round);
    e.record = record;
    e.statement = signed_by("newer head");
    return e;
}

static struct task_event about(enum task_event_type type, uint64_t round, const char *record)
{
    struct task_event e = event(type, round);
    e.record = named(record);
    return e;
}

static struct task_event unfit(uint64_t round)
{
    struct task_event e = event(TASK_UNFIT, round);
    e.verdict = VERDICT_WRONG_BASE;
    return e;
}

static struct task_event failed(uint64_t round)
{
    struct task_event e = event(TASK_FAILED, round);
    e.code = REFUSAL_TRAINER_MEMORY;
    return e;
}

static struct task_event listed(const char *record, uint64_t count)
{
    struct task_event e = about(TASK_LISTED, ROUND, record);
    e.count = count;
    return e;
}

/* Of the update that was answered last. */
static struct task_event relisted(uint64_t count)
{
    struct task_event e = about(TASK_LISTED, ROUND - 1, "update 6");
    e.count = count;
    return e;
}

static struct task_event uploaded(const char *record, bool more)
{
    struct task_event e = about(TASK_UPLOADED, ROUND, record);
    e.more = more;
    return e;
}

static struct task_event begun(void)
{
    struct task_event e;
    struct cid charter = record_of(0);
    task_begin(&charter, &e);
    return e;
}

/* --- the journal under every step --- */

static struct buf encoded(const struct task_event *e)
{
    struct buf b = buf_new(1u << 16);
    task_event_encode(e, &b);
    assert_int_equal(buf_check(&b, NULL), 0);
    return b;
}

/* Only what has a form comes back, and it comes back whole. */
static void assert_survives_journal(const struct task_event *e)
{
    struct task_event back;
    struct buf b = encoded(e);
    struct cbor r = cbor_reader(buf_bytes(&b));
    assert_true(b.size > 0);
    assert_int_equal(task_event_decode(&r, &back, NULL), 0);
    assert_int_equal(cbor_finish(&r, NULL), 0);
    assert_memory_equal(&back, e, sizeof back);
    buf_fini(&b);
}

/* One step, with what the loop relies on: "changed" is the truth, and an event that changed
 * something is stored and changes a copy of the state in the same way when it comes back. */
static bool step(struct task *t, const struct task_event *e, struct task_effects *out)
{
    static struct task_effects forgotten;
    struct task before = *t, again = *t;
    out->count = 0;
    forgotten.count = 0;
    bool changed = task_step(t, e, out);
    assert_int_equal(changed, memcmp(&before, t, sizeof before) != 0);
    if (changed) {
        assert_survives_journal(e);
        assert_true(task_step(&again, e, &forgotten));
        assert_memory_equal(&again, t, sizeof again);
    }
    return changed;
}

static void must(struct task *t, struct task_event e)
{
    static struct task_effects out;
    assert_true(step(t, &e, &out));
}

/* A worker that has answered rounds 1 to 6, up to the given phase of round 7. */
static struct task at(enum task_phase phase)
{
    struct task t;
    memset(&t, 0, sizeof t);
    if (phase == TASK_NEW)
        return t;
    struct task_event first = event(TASK_ENDED, ROUND - 1);
    first.record = named("update 6");
    first.accepted = true;
    first.proven = (struct task_head){ROUND - 2, record_of(ROUND - 2)};
    first.seen = (struct task_head){ROUND - 1, record_of(ROUND - 1)};
    first.statement = signed_by("head 6");
    first.receipt = signed_by("receipt 6");
    must(&t, first);
    if (phase > TASK_IDLE)
        must(&t, ordered(ROUND));
    if (phase > TASK_FETCH)
        must(&t, event(TASK_FETCHED, ROUND));
    if (phase == TASK_SEND)
        must(&t, about(TASK_SEALED, ROUND, "update 7"));
    if (phase == TASK_DECLINE)
        must(&t, failed(ROUND));
    assert_int_equal(t.phase, phase);
    return t;
}

static struct task_event answered(bool accepted)
{
    struct task t = at(TASK_SEND);
    struct task_event e;
    task_end(&t, accepted, &e);
    if (accepted)
        e.receipt = signed_by("receipt 7");
    return e;
}

/* The coordinator has written down that the task is declined. */
static struct task_event noted(void)
{
    struct task t = at(TASK_DECLINE);
    struct task_event e;
    task_end(&t, false, &e);
    return e;
}

static struct task_event noted_elsewhere(void)
{
    struct task_event e = noted();
    e.round++;
    return e;
}

/* Nobody can accept what was never sent. */
static struct task_event noted_as_accepted(void)
{
    struct task_event e = noted();
    e.accepted = true;
    return e;
}

static struct task_event answered_another(void)
{
    struct task_event e = answered(true);
    e.record = named("another update");
    return e;
}

/* --- the table --- */

/* What a row says of each phase (new, idle, fetch, train, send, decline): the phase afterwards by
 * its first letter, * if that is journalled, and the effects in order: Hello Want Missing Submit
 * Zilch (decline); jobs fetch, train, upload, repair (p); cancel; said: Taken Fetched seaLed
 * Quit (declined) Answered Dropped Refused. */
struct row {
    const char *what;
    struct task_event event;
    const char *cells[6];
};

static const char phase_letters[] = "niftsd";
static const char effect_letters[] = "HWMSZftupcTFLQADR";

static void check_cell(const struct row *row, enum task_phase in)
{
    static struct task_effects out;
    struct task t = at(in);
    char found[TASK_EFFECTS_MAX + 8];
    bool changed = step(&t, &row->event, &out);
    size_t n = 0;
    found[n++] = phase_letters[t.phase];
    if (changed)
        found[n++] = '*';
    for (size_t i = 0; i < out.count; i++)
        found[n++] = effect_letters[out.items[i].type];
    found[n] = '\0';
    if (strcmp(found, row->cells[in]) != 0)
        fail_msg("%s, in %s: %s; the table says %s", row->what, task_phase_name(in), found,
                 row->cells[in]);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int p = TASK_NEW; p <= TASK_DECLINE; p++)
            check_cell(&rows[i], (enum task_phase)p);
}

static void test_orders_and_heads_do_in_every_phase_what_the_table_says(void **state)
{
    (void)state;
    const struct row rows[] = {
        {"the next task, or its echo", ordered(ROUND), {"n", "f*Tf", "f", "t", "s", "d"}},
        {"a task of a later round",
         ordered(ROUND + 2),
         {"n", "f*Tf", "f*cDTf", "f*cDTf", "sM", "f*cDTf"}},
        {"a task of an answered round", ordered(ROUND - 1), {"n", "i", "f", "t", "s", "d"}},
        {"a task on another history",
         ordered_from(ROUND, "fork"),
         {"n", "iR", "fR", "tR", "s", "dR"}},
        {"the same round, other base",
         with_other_base(ROUND),
         {"n", "f*Tf", "fR", "tR", "s", "dR"}},
        {"a head that closes the round",
         head(ROUND, record_of(ROUND)),
         {"n", "i*W", "i*cDW", "i*cDW", "s*M", "i*cDW"}},
        {"the head it knows",
         head(ROUND - 1, record_of(ROUND - 1)),
         {"n", "i", "f", "t", "s", "d"}},
        {"two heads for one round",
         head(ROUND - 1, named("fork")),
         {"n", "iR", "fR", "tR", "sR", "dR"}},
        {"an old head", head(ROUND - 3, named("whatever")), {"n", "i", "f", "t", "s", "d"}},
        {"a hint that the round is over",
         event(TASK_HINT, ROUND),
         {"n", "iW", "fH", "tH", "sM", "dH"}},
        {"a hint of an earlier round",
         event(TASK_HINT, ROUND - 1),
         {"n", "iW", "f", "t", "s", "d"}},
        {"retry", event(TASK_RETRY, 0), {"n", "iW", "ffW", "ttW", "sM", "dZ"}},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void test_work_and_answers_do_in_every_phase_what_the_table_says(void **state)
{
    (void)state;
    const struct row rows[] = {
        {"the beginning", begun(), {"i*W", "i", "f", "t", "s", "d"}},
        {"accepted", answered(true), {"i*W", "i", "f", "t", "i*AcW", "d"}},
        {"refused", answered(false), {"i*W", "i", "f", "t", "i*AcW", "d"}},
        {"another update's answer", answered_another(), {"i*W", "i", "f", "t", "s", "d"}},
        {"the decline is noted", noted(), {"i*W", "i", "f", "t", "s", "i*AcW"}},
        {"another round's is", noted_elsewhere(), {"i*W", "i", "f", "t", "s", "d"}},
        {"a decline is accepted", noted_as_accepted(), {"i*W", "i", "f", "t", "s", "d"}},
        {"fetched", event(TASK_FETCHED, ROUND), {"n", "i", "t*Ft", "t", "s", "d"}},
        {"fetched, dropped task", event(TASK_FETCHED, ROUND + 1), {"n", "i", "f", "t", "s", "d"}},
        {"sealed", about(TASK_SEALED, ROUND, "update 7"), {"n", "i", "f", "s*LM", "s", "d"}},
        {"sealed, dropped task",
         about(TASK_SEALED, ROUND + 1, "x"),
         {"n", "i", "f", "t", "s", "d"}},
        {"failed", failed(ROUND), {"n", "i", "f", "d*QZ", "s", "d"}},
        {"failed, dropped task", failed(ROUND + 1), {"n", "i", "f", "t", "s", "d"}},
        {"unfit", unfit(ROUND), {"n", "i", "i*R", "t", "s", "d"}},
        {"unfit, dropped task", unfit(ROUND + 1), {"n", "i", "f", "t", "s", "d"}},
        {"base lost", event(TASK_BASE_LOST, ROUND), {"n", "i", "f", "f*f", "s", "d"}},
        {"base lost, dropped task",
         event(TASK_BASE_LOST, ROUND - 1),
         {"n", "i", "f", "t", "s", "d"}},
        {"blocks are missing", listed("update 7", 5), {"n", "i", "f", "t", "su", "d"}},
        {"nothing is missing", listed("update 7", 0), {"n", "i", "f", "t", "sS", "d"}},
        {"the answered one's blocks", relisted(5), {"n", "ip", "f", "t", "s", "d"}},
        {"nothing of the answered one", relisted(0), {"n", "i", "f", "t", "s", "d"}},
        {"another update's blocks", listed("other", 5), {"n", "i", "f", "t", "s", "d"}},
        {"uploaded", uploaded("update 7", false), {"n", "i", "f", "t", "sS", "d"}},
        {"uploaded a full list", uploaded("update 7", true), {"n", "i", "f", "t", "sM", "d"}},
        {"uploaded another update", uploaded("other", false), {"n", "i", "f", "t", "s", "d"}},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

/* --- what the table cannot say --- */

static void test_an_answer_keeps_what_the_next_hello_shows(void **state)
{
    (void)state;
    struct task t = at(TASK_SEND);
    struct task_evidence head_before = t.statement, receipt = signed_by("receipt 7");
    must(&t, answered(true));
    assert_int_equal(t.done, ROUND);
    assert_memory_equal(&t.statement, &head_before, sizeof head_before);
    assert_memory_equal(&t.receipt, &receipt, sizeof receipt);
    assert_int_equal(t.proven.round, ROUND - 1);
    assert_int_equal(t.order.round, 0);
}

static void test_a_refusal_keeps_the_receipt_before(void **state)
{
    (void)state;
    struct task t = at(TASK_SEND);
    struct task_evidence receipt = t.receipt;
    must(&t, answered(false));
    assert_int_equal(t.done, ROUND);
    assert_memory_equal(&t.receipt, &receipt, sizeof receipt);
}

static void test_a_decline_keeps_the_code_till_it_is_noted_and_the_receipt_before(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_DECLINE);
    struct task_evidence receipt = t.receipt;
    assert_int_equal(t.code, REFUSAL_TRAINER_MEMORY);
    struct task_event e = noted();
    assert_true(cid_is_none(&e.record));
    assert_true(step(&t, &e, &out));
    assert_int_equal(t.done, ROUND); /* the task is not asked for again */
    assert_int_equal(t.code, REFUSAL_NONE);
    assert_true(cid_is_none(&t.record));
    assert_int_equal(t.proven.round, ROUND - 1);
    assert_memory_equal(&t.receipt, &receipt, sizeof receipt);
    assert_int_equal(out.items[0].type, TASK_SAY_ANSWERED);
    assert_true(cid_is_none(&out.items[0].record));
}

static void test_a_code_is_forgotten_with_its_task(void **state)
{
    (void)state;
    struct task t = at(TASK_DECLINE);
    must(&t, head(ROUND, record_of(ROUND)));
    assert_int_equal(t.code, REFUSAL_NONE);
    assert_int_equal(t.done, ROUND - 1);
    t = at(TASK_DECLINE);
    must(&t, ordered(ROUND + 1));
    assert_int_equal(t.code, REFUSAL_NONE);
}

static void test_the_code_is_said_with_the_decline(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_TRAIN);
    struct task_event e = failed(ROUND);
    assert_true(step(&t, &e, &out));
    assert_int_equal(out.items[0].type, TASK_SAY_DECLINED);
    assert_int_equal(out.items[0].code, REFUSAL_TRAINER_MEMORY);
    assert_int_equal(out.items[0].round, ROUND);
}

static void test_the_first_event_of_a_file_alone_rebuilds_the_state(void **state)
{
    (void)state;
    struct task t = at(TASK_SEND), fresh;
    struct task_event e = answered(true);
    must(&t, e);
    memset(&fresh, 0, sizeof fresh);
    must(&fresh, e);
    assert_memory_equal(&fresh, &t, sizeof t);
}

static void test_a_head_is_proven_only_when_its_records_were_fetched(void **state)
{
    (void)state;
    struct task t = at(TASK_IDLE);
    must(&t, ordered(ROUND + 2));
    assert_int_equal(t.seen.round, ROUND + 1);
    assert_int_equal(t.proven.round, ROUND - 2);
    must(&t, event(TASK_FETCHED, ROUND + 2));
    assert_int_equal(t.proven.round, ROUND + 1);
    struct cid prev = record_of(ROUND + 1);
    assert_true(cid_equal(&t.proven.record, &prev));
}

static void test_an_unfit_task_is_an_echo_from_then_on_but_another_is_taken(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_FETCH);
    must(&t, unfit(ROUND));
    struct task_event same = ordered(ROUND), other = with_other_base(ROUND);
    assert_false(step(&t, &same, &out));
    assert_int_equal(out.count, 0);
    assert_true(step(&t, &other, &out));
    assert_int_equal(t.phase, TASK_FETCH);
}

static void test_a_task_below_a_head_seen_since_is_old(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_IDLE);
    must(&t, head(ROUND + 3, record_of(ROUND + 3)));
    struct task_event e = ordered(ROUND + 3);
    assert_false(step(&t, &e, &out));
    assert_int_equal(out.count, 0);
    must(&t, ordered(ROUND + 4));
}

static void test_the_first_round_stands_on_the_charter(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t;
    memset(&t, 0, sizeof t);
    must(&t, begun());
    struct task_event fork = ordered_from(1, "another study");
    assert_false(step(&t, &fork, &out));
    assert_int_equal(out.items[0].verdict, VERDICT_NOT_DESCENDING);
    must(&t, ordered(1));
}

static void test_a_task_of_round_0_is_nothing(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_IDLE);
    struct task_event e = ordered(1);
    e.order.round = 0;
    assert_false(step(&t, &e, &out));
    assert_int_equal(out.count, 0);
}

static void test_a_full_list_of_effects_loses_the_last_and_changes_all_the_same(void **state)
{
    (void)state;
    static struct task_effects out;
    struct task t = at(TASK_IDLE);
    struct task_event e = ordered(ROUND);
    out.count = TASK_EFFECTS_MAX;
    assert_true(task_step(&t, &e, &out));
    assert_int_equal(out.count, TASK_EFFECTS_MAX);
    assert_int_equal(t.phase, TASK_FETCH);
}

static void test_evidence_that_is_too_long_is_not_kept(void **state)
{
    (void)state;
    static const uint8_t long_one[MSG_EVIDENCE_MAX + 1];
    struct task_evidence e = signed_by("before");
    struct task_evidence before = e;
    assert_false(task_evidence_set(&e, bytes_of(long_one, sizeof long_one)));
    assert_memory_equal(&e, &before, sizeof e);
    assert_true(task_evidence_set(&e, bytes_of(long_one, MSG_EVIDENCE_MAX)));
    assert_int_equal(e.size, MSG_EVIDENCE_MAX);
}

static void test_events_that_change_nothing_have_no_form(void **state)
{
    (void)state;
    static const enum task_event_type types[] = {TASK_LISTED, TASK_UPLOADED, TASK_HINT, TASK_RETRY};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct task_event e = event(types[i], ROUND);
        struct buf b = encoded(&e);
        assert_int_equal(b.size, 0);
        buf_fini(&b);
    }
}

static void test_a_journal_of_another_version_is_refused_by_name(void **state)
{
    (void)state;
    struct task_event e = begun(), back;
    struct buf b = encoded(&e);
    struct err err;
    assert_int_equal(b.data[2], TASK_VERSION);
    b.data[2] = TASK_VERSION + 1;
    struct cbor r = cbor_reader(buf_bytes(&b));
    assert_int_equal(task_event_decode(&r, &back, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "another version"));
    buf_fini(&b);
}

static void test_an_event_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct task_event events[] = {answered(true),
                                  ordered(ROUND),
                                  head(9, record_of(9)),
                                  event(TASK_FETCHED, 3),
                                  about(TASK_SEALED, 3, "update"),
                                  unfit(3),
                                  failed(3),
                                  event(TASK_BASE_LOST, 3)};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct buf b = encoded(&events[i]);
        for (size_t size = 0; size < b.size; size++) {
            struct task_event back;
            struct cbor r = cbor_reader(bytes_of(b.data, size));
            assert_int_not_equal(task_event_decode(&r, &back, NULL), 0);
        }
        buf_fini(&b);
    }
}

static void test_numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t size;
        const char *why;
    } bad[] = {
        {{0x82, 0x00, 0x01}, 3, "there is no event 0"},
        {{0x82, 0x0b, 0x01}, 3, "retry has no form"},
        {{0x82, 0x0d, 0x01}, 3, "there is no event 13"},
        {{0x82, 0x0c, 0x01}, 3, "failed has a code"},
        {{0x83, 0x0c, 0x01, 0x12}, 4, "a code is a word"},
        {{0x83, 0x0c, 0x01, 0x63, 'b', 'a', 'd'}, 7, "there is no code bad"},
        {{0x83, 0x0c, 0x01, 0x64, 'l', 'a', 't', 'e'}, 8, "no task is declined by late"},
        {{0x83, 0x04, 0x01, 0x01}, 4, "fetched has no third item"},
        {{0x81, 0x04}, 2, "fetched has a round"},
        {{0x83, 0x06, 0x01, 0x0b}, 4, "there is no verdict 11"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct task_event back;
        struct cbor r = cbor_reader(bytes_of(bad[i].bytes, bad[i].size));
        if (task_event_decode(&r, &back, NULL) == 0)
            fail_msg("%s", bad[i].why);
    }
}

static void test_every_verdict_has_a_word_and_a_sentence(void **state)
{
    (void)state;
    for (int v = VERDICT_FIT + 1; v < VERDICT_COUNT; v++) {
        assert_true(strlen(verdict_name((enum verdict)v)) > 3);
        assert_true(strlen(verdict_sentence((enum verdict)v)) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_and_heads_do_in_every_phase_what_the_table_says),
        cmocka_unit_test(test_work_and_answers_do_in_every_phase_what_the_table_says),
        cmocka_unit_test(test_an_answer_keeps_what_the_next_hello_shows),
        cmocka_unit_test(test_a_refusal_keeps_the_receipt_before),
        cmocka_unit_test(test_a_decline_keeps_the_code_till_it_is_noted_and_the_receipt_before),
        cmocka_unit_test(test_a_code_is_forgotten_with_its_task),
        cmocka_unit_test(test_the_code_is_said_with_the_decline),
        cmocka_unit_test(test_the_first_event_of_a_file_alone_rebuilds_the_state),
        cmocka_unit_test(test_a_head_is_proven_only_when_its_records_were_fetched),
        cmocka_unit_test(test_an_unfit_task_is_an_echo_from_then_on_but_another_is_taken),
        cmocka_unit_test(test_a_task_below_a_head_seen_since_is_old),
        cmocka_unit_test(test_the_first_round_stands_on_the_charter),
        cmocka_unit_test(test_a_task_of_round_0_is_nothing),
        cmocka_unit_test(test_a_full_list_of_effects_loses_the_last_and_changes_all_the_same),
        cmocka_unit_test(test_evidence_that_is_too_long_is_not_kept),
        cmocka_unit_test(test_events_that_change_nothing_have_no_form),
        cmocka_unit_test(test_a_journal_of_another_version_is_refused_by_name),
        cmocka_unit_test(test_an_event_cut_anywhere_is_refused),
        cmocka_unit_test(test_numbers_out_of_range_are_refused),
        cmocka_unit_test(test_every_verdict_has_a_word_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
