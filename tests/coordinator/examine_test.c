/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include <math.h>

#include "study/round_record.h"

static struct desk d;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 3, .schedule = "fedavg 2"});
    desk_gather(&d);
    desk_drop_mail(&d);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static struct pack *open_pack(uint32_t site)
{
    struct pack *pack;
    MUST(inbox_take(d.c->inbox, site, d.c->round->number, true, &pack, err));
    return pack;
}

static void close_pack(uint32_t site)
{
    inbox_release(d.c->inbox, site, d.c->round->number);
}

static enum round_slot_state slot_of(uint32_t site)
{
    return round_find(d.c->round, site)->state;
}

static void test_an_accepted_update_gets_a_receipt_for_a_durable_frame(void **state)
{
    (void)state;
    struct receipt receipt;
    struct key_public key = key_public(d.c->folder.coordinator);
    uint8_t hash[HASH_BYTES];
    struct cid record = desk_answer(&d, 0, 1);
    struct msg *m = desk_expect(&d, 0, MSG_ACCEPTED);
    assert_true(cid_equal(&m->record, &record));
    MUST(statement_decode_receipt(buf_bytes(&m->receipt), &d.f.study_id, &key, &receipt, err));
    assert_true(cid_equal(&receipt.record, &record));
    assert_int_equal(receipt.round, 1);
    MUST(journal_find(d.c->loop.journal, receipt.sequence, hash, err));
    assert_memory_equal(hash, receipt.hash, sizeof hash);
}

static void test_missing_blocks_are_a_list_and_change_nothing(void **state)
{
    (void)state;
    struct cid never = fixture_cid(4);
    uint64_t tail = journal_tail(d.c->loop.journal).sequence;
    desk_ask(&d, 0, MSG_SUBMIT, 1, &never); /* nothing arrived at all */
    struct msg *m = desk_expect(&d, 0, MSG_LIST);
    assert_int_equal(m->cid_count, 1);
    assert_true(cid_equal(&m->cids[0], &never));

    struct pack *pack = open_pack(0); /* the record without its index */
    struct update u = fixture_update(&d.f, 1, &d.c->round->base, 5);
    u.delta = fixture_cid(5);
    struct cid record = fixture_sign(&d.f, pack, 0, &u);
    close_pack(0);
    static const enum msg_type asks[] = {MSG_MISSING, MSG_SUBMIT};
    for (size_t i = 0; i < 2; i++) {
        desk_ask(&d, 0, asks[i], 1, &record);
        m = desk_expect(&d, 0, MSG_LIST);
        assert_int_equal(m->cid_count, 1);
        assert_true(cid_equal(&m->cids[0], &u.delta));
    }
    assert_int_equal(slot_of(0), ROUND_PENDING);
    assert_int_equal(journal_tail(d.c->loop.journal).sequence, tail);
}

static void test_nothing_missing_is_an_empty_list(void **state)
{
    (void)state;
    struct cid record = desk_upload(&d, 0, 1);
    desk_ask(&d, 0, MSG_MISSING, 1, &record);
    assert_int_equal(desk_expect(&d, 0, MSG_LIST)->cid_count, 0);
    assert_int_equal(slot_of(0), ROUND_PENDING);
}

/* What the door finds is study/check.h's; here, that each finding is a refusal of its own. */
static struct cid upload_bad(int kind)
{
    struct pack *pack = open_pack(0);
    struct cid base = d.c->round->base;
    struct update u = fixture_update(&d.f, 1, &base, kind == 1 ? 0 : 5);
    u.delta = fixture_index(&d.f, pack, kind == 0 ? NAN : 1);
    if (kind == 2)
        u.base = cid_of(CID_RAW, bytes_of_text("another model"));
    if (kind == 3)
        u.study = fixture_cid(6);
    struct cid record = fixture_sign(&d.f, pack, kind == 4 ? 1 : 0, &u);
    close_pack(0);
    return record;
}

static void test_what_the_door_refuses_is_signed_stored_and_listed(void **state)
{
    static const char *const codes[] = {"not-finite", "bad-weight", "wrong-base", "wrong-study",
                                        "unknown-site"};
    for (int kind = 0; kind < 5; kind++) {
        if (kind > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
        struct key_public key = key_public(d.c->folder.coordinator);
        struct refusal refusal;
        struct verify_result found;
        struct cid record = upload_bad(kind);
        desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
        struct msg *m = desk_expect(&d, 0, MSG_REFUSED);
        assert_string_equal(m->code, codes[kind]);
        assert_non_null(strstr(m->text, "hospital-a"));
        MUST(refusal_decode(buf_bytes(&m->refusal), &d.f.study_id, &key, &refusal, err));
        assert_true(cid_equal(&refusal.site, &d.f.sites[0].site.cid));
        assert_true(cid_equal(&refusal.record, &record));
        assert_int_equal(slot_of(0), ROUND_REFUSED);
        assert_true(store_has(d.c->store, &refusal.cid));

        desk_ask(&d, 0, MSG_SUBMIT, 1, &record); /* again: the same refusal */
        m = desk_expect(&d, 0, MSG_REFUSED);
        assert_string_equal(m->code, codes[kind]);
        desk_answer(&d, 0, 2); /* another record: too late for that */
        assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "decided");

        desk_answer(&d, 1, 1); /* the round goes on with the others */
        desk_answer(&d, 2, 1);
        assert_int_equal(d.c->round->number, 2);
        MUST(desk_verify(&d, &found, err));
    }
}

/* A shard's name, an empty identity, a version 0: what no record is called can be submitted, too.
 */
static void test_a_name_that_no_record_has_is_refused_as_malformed(void **state)
{
    static const struct {
        const char *cid;
        const char *why;
    } rows[] = {
        {"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "raw bytes"},
        {"bafkqaaa", "no hash at all"},
        {"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "version 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
        struct key_public key = key_public(d.c->folder.coordinator);
        struct refusal refusal;
        struct verify_result found;
        struct cid record;
        MUST(cid_parse(rows[i].cid, &record, err));
        desk_upload(&d, 0, 1); /* something has arrived */
        desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
        struct msg *m = desk_next(&d, 0);
        if (m == NULL || m->type != MSG_REFUSED || strcmp(m->code, "malformed") != 0)
            fail_msg("%s", rows[i].why);
        MUST(refusal_decode(buf_bytes(&m->refusal), &d.f.study_id, &key, &refusal, err));
        assert_true(cid_is_none(&refusal.record));
        assert_int_equal(slot_of(0), ROUND_REFUSED);
        desk_stop_coordinator(&d); /* the journal has it */
        desk_start_coordinator(&d);
        assert_int_equal(slot_of(0), ROUND_REFUSED);
        desk_greet(&d, 1);
        desk_greet(&d, 2);
        desk_answer(&d, 1, 1);
        desk_answer(&d, 2, 1);
        assert_int_equal(d.c->round->number, 2);
        MUST(desk_verify(&d, &found, err));
    }
}

static size_t count_in_log(const char *text)
{
    struct buf log = desk_read("log.jsonl");
    size_t count = 0;
    for (const char *at = buf_text(&log); (at = strstr(at, text)) != NULL; at++)
        count++;
    buf_fini(&log);
    return count;
}

/* The refusal in the last message, which must be about `record` of site 0. */
static struct refusal refusal_in(const struct msg *m, const struct cid *record)
{
    struct key_public key = key_public(d.c->folder.coordinator);
    struct refusal r;
    MUST(refusal_decode(buf_bytes(&m->refusal), &d.f.study_id, &key, &r, err));
    assert_true(cid_equal(&r.site, &d.f.sites[0].site.cid));
    assert_true(cid_equal(&r.record, record));
    assert_true(cid_equal(&m->record, record));
    assert_string_equal(m->code, refusal_name(r.code));
    return r;
}

static struct round_record newest_record(void)
{
    struct key_public key = key_public(d.c->folder.coordinator);
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct round_record r;
    MUST(study_get(d.c->store, &d.c->round->prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &d.f.study_id, &key, &r, err));
    buf_fini(&block);
    return r;
}

/* --- two stories --- */

static void test_a_refusal_that_no_round_lists_is_told_once_by_the_sites_name(void **state)
{
    (void)state;
    desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    for (int i = 2; i < 6; i++) {
        desk_answer(&d, 0, (float)i);
        struct msg *m = desk_expect(&d, 0, MSG_REFUSED); /* answered each time ... */
        assert_string_equal(m->code, "equivocation");
        assert_non_null(strstr(m->text, "hospital-a: "));
    }
    assert_int_equal(count_in_log("\"event\":\"equivocation\""), 1); /* ... the first is kept ... */
    assert_int_equal(count_in_log("\"update-refused\""), 1);         /* ... the others told once */
    assert_int_equal(count_in_log("hospital-a: another record"), 1);
}

static void test_a_second_record_is_kept_as_evidence_and_the_first_one_stands(void **state)
{
    (void)state;
    struct verify_result found;
    struct cid first = desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    struct cid second = desk_answer(&d, 0, 2);
    struct refusal proof = refusal_in(desk_expect(&d, 0, MSG_REFUSED), &second);
    assert_int_equal(proof.code, REFUSAL_EQUIVOCATION);
    assert_true(store_has(d.c->store, &proof.cid));
    for (int life = 0; life < 2; life++) { /* the journal has it */
        const struct round_slot *slot = round_find(d.c->round, 0);
        assert_int_equal(slot->state, ROUND_ACCEPTED);
        assert_true(cid_equal(&slot->record, &first));
        assert_true(cid_equal(&slot->evidence, &proof.cid));
        desk_stop_coordinator(&d);
        desk_start_coordinator(&d);
        desk_gather(&d);
        desk_drop_mail(&d);
    }
    desk_answer(&d, 0, 3); /* a third is answered, and nothing more */
    struct msg *m = desk_expect(&d, 0, MSG_REFUSED);
    assert_string_equal(m->code, "equivocation");
    assert_true(cid_equal(&round_find(d.c->round, 0)->evidence, &proof.cid));
    desk_ask(&d, 0, MSG_SUBMIT, 1, &first);
    desk_expect(&d, 0, MSG_ACCEPTED);

    struct pack *pack = open_pack(0);
    assert_true(pack_has(pack, &first) && pack_has(pack, &second));
    close_pack(0);
    uint64_t bytes = round_find(d.c->round, 0)->bytes;
    desk_answer(&d, 1, 1);
    bytes += round_find(d.c->round, 1)->bytes;
    desk_answer(&d, 2, 1);
    struct round_record r = newest_record();
    assert_int_equal(r.update_count, 3);
    assert_int_equal(r.refused_count, 1);
    assert_true(cid_equal(&r.refused[0], &proof.cid));
    assert_true(r.received > bytes); /* of all three, and the second record */
    round_record_fini(&r);
    desk_drop_mail(&d);
    desk_ask(&d, 0, MSG_SUBMIT, 1, &second); /* the round's record has the answer from now on */
    refusal_in(desk_expect(&d, 0, MSG_REFUSED), &second);
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 1);
}

static void test_a_second_record_that_is_not_here_is_asked_for(void **state)
{
    (void)state;
    struct cid never = fixture_cid(4);
    desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    desk_ask(&d, 0, MSG_SUBMIT, 1, &never);
    struct msg *m = desk_expect(&d, 0, MSG_LIST);
    assert_int_equal(m->cid_count, 1);
    assert_true(cid_equal(&m->cids[0], &never));
    inbox_spoil(d.c->inbox, 0, 1, REFUSAL_OVER_QUOTA); /* it cannot come */
    desk_ask(&d, 0, MSG_SUBMIT, 1, &never);
    assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "equivocation");
    assert_true(cid_is_none(&round_find(d.c->round, 0)->evidence));
}

/* A record that site 0 may submit, beside its accepted one, without having told two stories. */
static struct cid upload_no_proof(int kind)
{
    struct pack *pack = open_pack(0);
    struct cid base = d.c->round->base, record;
    struct update u = fixture_update(&d.f, kind == 0 ? 2 : 1, &base, 5);
    u.delta = fixture_index(&d.f, pack, 2);
    if (kind == 1)
        u.study = fixture_cid(6);
    if (kind == 2)
        u.plan = fixture_cid(6);
    if (kind == 3)
        u.exchange = 1;
    if (kind == 4)
        record = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("no record"));
    else
        record = fixture_sign(&d.f, pack, kind == 5 ? 1 : 0, &u);
    if (kind == 6) /* a record by the name of raw bytes */
        record = cid_from_digest(CID_RAW, cid_digest(&record));
    close_pack(0);
    return record;
}

static void test_what_proves_nothing_is_answered_and_not_kept(void **state)
{
    (void)state;
    static const char *const kinds[] = {"another round",    "another study", "another plan",
                                        "another exchange", "no record",     "another site's",
                                        "another name"};
    struct cid first = desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    uint64_t tail = journal_tail(d.c->loop.journal).sequence;
    for (int kind = 0; kind < 7; kind++) {
        struct cid record = upload_no_proof(kind);
        desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
        struct msg *m = desk_next(&d, 0);
        if (m == NULL || m->type != MSG_REFUSED || strcmp(m->code, "equivocation") != 0)
            fail_msg("%s", kinds[kind]);
        if (!cid_is_none(&round_find(d.c->round, 0)->evidence))
            fail_msg("%s is kept", kinds[kind]);
    }
    first = cid_from_digest(CID_RAW, cid_digest(&first)); /* the accepted one by another name */
    desk_ask(&d, 0, MSG_SUBMIT, 1, &first);
    desk_expect(&d, 0, MSG_REFUSED);
    assert_int_equal(journal_tail(d.c->loop.journal).sequence, tail);
}

/* --- sites that cannot answer --- */

static void say_decline(uint32_t site, uint64_t round, const char *code)
{
    struct msg m;
    msg_init(&m, MSG_DECLINE);
    m.round = round;
    snprintf(m.code, sizeof m.code, "%s", code);
    m.has_boot = true;
    memcpy(m.boot, d.c->boot, sizeof m.boot);
    desk_say(&d, site, &m);
    msg_fini(&m);
    desk_run(&d);
}

static void test_a_declined_task_is_signed_listed_and_not_waited_for(void **state)
{
    (void)state;
    const struct cid none = {.size = 0};
    struct verify_result found;
    say_decline(0, 1, "trainer-hung");
    struct msg *m = desk_expect(&d, 0, MSG_REFUSED);
    struct refusal said = refusal_in(m, &none);
    assert_int_equal(said.code, REFUSAL_TRAINER_HUNG);
    assert_string_equal(m->text, "hospital-a: the site's trainer made no progress for too long");
    assert_int_equal(slot_of(0), ROUND_REFUSED);
    assert_true(store_has(d.c->store, &said.cid));
    assert_int_equal(count_in_log("\"trainer-hung\""), 1);
    say_decline(0, 1, "trainer-died"); /* its answer was lost, it has tried again */
    struct refusal again = refusal_in(desk_expect(&d, 0, MSG_REFUSED), &none);
    assert_true(cid_equal(&again.cid, &said.cid));
    desk_answer(&d, 0, 1);
    assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "decided");

    desk_stop_coordinator(&d); /* the journal has it */
    desk_start_coordinator(&d);
    desk_gather(&d);
    desk_drop_mail(&d);
    say_decline(0, 1, "trainer-hung");
    again = refusal_in(desk_expect(&d, 0, MSG_REFUSED), &none);
    assert_true(cid_equal(&again.cid, &said.cid));
    desk_answer(&d, 1, 1);
    desk_answer(&d, 2, 1); /* no deadline is needed */
    assert_int_equal(d.c->round->number, 2);
    struct round_record r = newest_record();
    assert_int_equal(r.update_count, 2);
    assert_int_equal(r.refused_count, 1);
    assert_true(cid_equal(&r.refused[0], &said.cid));
    round_record_fini(&r);
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 1);

    desk_drop_mail(&d);
    say_decline(0, 1, "trainer-hung"); /* the answer was lost till now */
    assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "late");
}

static void test_only_a_trainers_failure_declines_a_task(void **state)
{
    (void)state;
    static const char *const codes[] = {"late", "equivocation", "none", "trainer-", "whatever"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        say_decline(0, 1, codes[i]);
        desk_expect_nothing(&d, 0);
    }
    assert_int_equal(slot_of(0), ROUND_PENDING);
    assert_int_equal(d.c->jobs_out, 0);
}

static void test_an_accepted_site_cannot_decline(void **state)
{
    (void)state;
    struct cid record = desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    say_decline(0, 1, "trainer-died");
    struct msg *m = desk_expect(&d, 0, MSG_ACCEPTED);
    assert_true(cid_equal(&m->record, &record));
    assert_int_equal(slot_of(0), ROUND_ACCEPTED);
}

static void test_a_site_that_declines_while_it_is_examined_asks_again(void **state)
{
    (void)state;
    struct cid record = desk_upload(&d, 0, 1);
    d.hold_jobs = true;
    say_decline(0, 1, "trainer-memory");
    desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
    say_decline(0, 1, "trainer-memory");
    assert_int_equal(d.c->jobs_out, 1);
    d.hold_jobs = false;
    desk_run(&d);
    assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "trainer-memory");
    desk_expect_nothing(&d, 0);
}

/* --- the rest --- */

static void test_a_spoiled_transfer_is_refused_by_its_name(void **state)
{
    (void)state;
    static const enum refusal_code codes[] = {REFUSAL_BAD_BLOCK, REFUSAL_OVER_QUOTA};
    for (uint32_t site = 0; site < 2; site++) {
        struct cid never = fixture_cid(4);
        open_pack(site);
        inbox_spoil(d.c->inbox, site, 1, codes[site]);
        close_pack(site);
        desk_ask(&d, site, MSG_SUBMIT, 1, &never);
        assert_string_equal(desk_expect(&d, site, MSG_REFUSED)->code, refusal_name(codes[site]));
        assert_int_equal(slot_of(site), ROUND_REFUSED);
    }
}

static void test_a_record_of_a_closed_round_takes_no_slot_of_this_one(void **state)
{
    (void)state;
    struct cid old = desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 2);
    desk_answer(&d, 2, 3);
    assert_int_equal(d.c->round->number, 2);
    desk_drop_mail(&d);
    struct pack *pack = open_pack(0); /* the very same bytes, sent as an answer to round 2 */
    struct cid base = d.c->study.plan.model;
    struct cid again = fixture_delta(&d.f, pack, 0, 1, &base, 1, 10);
    close_pack(0);
    assert_true(cid_equal(&again, &old));
    desk_ask(&d, 0, MSG_SUBMIT, 2, &old);
    struct msg *m = desk_expect(&d, 0, MSG_ACCEPTED); /* as it was, in its own round */
    assert_int_equal(m->round, 1);
    assert_int_equal(slot_of(0), ROUND_PENDING);
}

static void test_a_record_of_a_round_to_come_is_refused_and_takes_no_slot(void **state)
{
    (void)state;
    struct pack *pack = open_pack(0);
    struct cid record = fixture_delta(&d.f, pack, 0, 2, &d.c->round->base, 1, 10);
    close_pack(0);
    desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
    struct msg *m = desk_expect(&d, 0, MSG_REFUSED);
    assert_string_equal(m->code, "wrong-round");
    assert_true(m->refusal.size > 0);
    assert_int_equal(slot_of(0), ROUND_PENDING);
    desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
}

static void test_one_check_of_a_site_at_a_time(void **state)
{
    (void)state;
    struct cid record = desk_upload(&d, 0, 1);
    d.hold_jobs = true;
    desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
    desk_ask(&d, 0, MSG_SUBMIT, 1, &record);
    desk_ask(&d, 0, MSG_MISSING, 1, &record);
    assert_int_equal(d.c->jobs_out, 1);
    d.hold_jobs = false;
    desk_run(&d);
    desk_expect(&d, 0, MSG_ACCEPTED);
    desk_expect_nothing(&d, 0);
}

static void test_a_site_that_was_not_selected_is_told_so(void **state)
{
    (void)state;
    struct cid record = fixture_cid(4);
    desk_admit(&d);
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    desk_greet(&d, 3);
    desk_ask(&d, 3, MSG_SUBMIT, 1, &record);
    assert_string_equal(desk_expect(&d, 3, MSG_REFUSED)->code, "not-selected");
    desk_ask(&d, 3, MSG_MISSING, 1, &record);
    assert_string_equal(desk_expect(&d, 3, MSG_REFUSED)->code, "not-selected");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_accepted_update_gets_a_receipt_for_a_durable_frame),
        TEST(test_missing_blocks_are_a_list_and_change_nothing),
        TEST(test_nothing_missing_is_an_empty_list),
        TEST(test_what_the_door_refuses_is_signed_stored_and_listed),
        TEST(test_a_name_that_no_record_has_is_refused_as_malformed),
        TEST(test_a_refusal_that_no_round_lists_is_told_once_by_the_sites_name),
        TEST(test_a_second_record_is_kept_as_evidence_and_the_first_one_stands),
        TEST(test_a_second_record_that_is_not_here_is_asked_for),
        TEST(test_what_proves_nothing_is_answered_and_not_kept),
        TEST(test_a_declined_task_is_signed_listed_and_not_waited_for),
        TEST(test_only_a_trainers_failure_declines_a_task),
        TEST(test_an_accepted_site_cannot_decline),
        TEST(test_a_site_that_declines_while_it_is_examined_asks_again),
        TEST(test_a_spoiled_transfer_is_refused_by_its_name),
        TEST(test_a_record_of_a_closed_round_takes_no_slot_of_this_one),
        TEST(test_a_record_of_a_round_to_come_is_refused_and_takes_no_slot),
        TEST(test_one_check_of_a_site_at_a_time),
        TEST(test_a_site_that_was_not_selected_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
