/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

static struct desk d;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 2, .schedule = "fedavg 4"});
    return 0;
}

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static const struct bytes nothing;

/* --- hello --- */

static void test_hello_is_answered_with_all_that_a_worker_needs(void **state)
{
    (void)state;
    uint32_t site;
    desk_hello(&d, 1, nothing, nothing);
    struct msg *m = desk_expect(&d, 1, MSG_WELCOME);
    assert_int_equal(m->agreed, MSG_VERSION);
    assert_int_equal(m->site, 1);
    assert_memory_equal(m->welcome_boot, d.c->boot, sizeof m->welcome_boot);
    assert_true(cid_equal(&m->plan, &d.f.plan_id));
    assert_int_equal(m->head.size, 0); /* no round is closed */
    assert_int_equal(m->sequence, d.sequence);
    MUST(token_check(&d.c->tokens, bytes_of_text(m->token), loop_time_ms(&d.c->loop), &site, err));
    assert_int_equal(site, 1);
}

static void test_versions_without_a_common_one_are_denied(void **state)
{
    (void)state;
    static const struct {
        uint32_t least, most;
        enum msg_type answer;
        const char *why;
    } rows[] = {
        {1, 1, MSG_WELCOME, "the one we speak"},
        {1, 9, MSG_WELCOME, "ours and newer ones"},
        {2, 9, MSG_DENIED, "newer ones only"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct msg m;
        msg_init(&m, MSG_HELLO);
        m.least = rows[i].least;
        m.most = rows[i].most;
        m.site_record = d.f.sites[0].site.cid;
        desk_say(&d, 0, &m);
        msg_fini(&m);
        desk_run(&d);
        struct msg *answer = desk_expect(&d, 0, rows[i].answer);
        if (answer->type == MSG_DENIED)
            assert_string_equal(answer->code, "version");
    }
}

static void test_a_request_with_another_boot_id_is_greeted_and_not_processed(void **state)
{
    (void)state;
    static const enum msg_type types[] = {MSG_WANT, MSG_MISSING, MSG_SUBMIT};
    struct cid record = fixture_cid(1);
    desk_gather(&d);
    desk_drop_mail(&d);
    d.c->boot[0] ^= 1; /* what desk_ask will say is now the boot id of another life */
    uint8_t own[MSG_BOOT_BYTES];
    memcpy(own, d.c->boot, sizeof own);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct msg m;
        msg_init(&m, types[i]);
        m.round = 1;
        m.record = record;
        m.has_boot = true;
        memcpy(m.boot, own, sizeof own);
        m.boot[0] ^= 1;
        desk_say(&d, 0, &m);
        msg_fini(&m);
        desk_run(&d);
        desk_expect(&d, 0, MSG_GREET);
        desk_expect_nothing(&d, 0);
    }
}

static void test_what_is_not_a_workers_message_is_dropped(void **state)
{
    (void)state;
    struct cid other = fixture_cid(9);
    struct msg m;
    desk_gather(&d);
    desk_drop_mail(&d);
    desk_ask(&d, 0, MSG_GREET, 0, NULL); /* a coordinator's */
    msg_init(&m, MSG_WANT);
    struct cid own = d.f.study_id;
    d.f.study_id = other; /* of another study */
    desk_say(&d, 0, &m);
    d.f.study_id = own;
    msg_fini(&m);
    d.in[d.in_count++] = (struct desk_mail){.site = 0, .body = buf_new(64)}; /* no message at all */
    buf_append_text(&d.in[d.in_count - 1].body, "\xff\xff");
    desk_run(&d);
    desk_expect_nothing(&d, 0);
    assert_true(d.running);
}

static void test_a_stranger_is_not_answered(void **state)
{
    (void)state;
    struct buf string = buf_new(SITE_STRING_MAX);
    desk_make_site(&d, d.f.site_count++, &string);
    buf_fini(&string);
    desk_hello(&d, 2, nothing, nothing);
    desk_expect_nothing(&d, 2);
}

/* --- evidence --- */

static struct buf statement_of(const struct key *by, uint64_t round, const struct cid *record)
{
    struct buf out = buf_new(MSG_EVIDENCE_MAX);
    struct head_statement h = {.round = round, .record = *record};
    MUST(statement_sign_head(&h, &d.f.study_id, by, &out, err));
    return out;
}

static struct buf receipt_of(const struct key *by, uint64_t sequence, uint8_t first_of_hash)
{
    struct buf out = buf_new(MSG_EVIDENCE_MAX);
    struct receipt r = {.record = fixture_cid(1), .round = 1, .sequence = sequence};
    if (sequence <= journal_tail(d.c->loop.journal).sequence)
        MUST(journal_find(d.c->loop.journal, sequence, r.hash, err));
    r.hash[0] ^= first_of_hash;
    MUST(statement_sign_receipt(&r, &d.f.study_id, by, &out, err));
    return out;
}

static void assert_stopped_by(const char *site)
{
    assert_false(d.running);
    assert_int_equal(d.c->exit_code, 3);
    assert_non_null(strstr(d.c->failure, site));
    assert_non_null(strstr(d.c->failure, "set back to an earlier state"));
}

static void test_evidence_that_our_journal_has_is_welcome(void **state)
{
    (void)state;
    desk_gather(&d);
    struct cid records[3];
    for (int i = 0; i < 3; i++) {
        desk_round(&d, 1);
        records[i] = d.c->round->prev;
    }
    for (uint64_t round = 1; round <= 3; round++) { /* the newest head, and older ones */
        struct buf head = statement_of(d.c->folder.coordinator, round, &records[round - 1]);
        struct buf receipt = receipt_of(d.c->folder.coordinator, round + 1, 0);
        desk_hello(&d, 0, buf_bytes(&head), buf_bytes(&receipt));
        desk_expect(&d, 0, MSG_WELCOME);
        buf_fini(&head);
        buf_fini(&receipt);
    }
    assert_true(d.running);
}

/* Each row is a thing that a coordinator with our key said, and that we know nothing of. */
static void test_evidence_that_our_journal_lacks_stops_the_program(void **state)
{
    static const struct {
        uint64_t round, sequence;
        bool known;
        uint8_t hash;
        const char *why;
    } rows[] = {
        {3, 0, false, 0, "a head newer than ours"},
        {2, 0, false, 0, "another record of our newest round"},
        {1, 0, false, 0, "another record of an older round"},
        {2, 999, true, 0, "a receipt beyond the journal's end"},
        {2, 2, true, 1, "a receipt for another frame"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
        desk_gather(&d);
        desk_round(&d, 1);
        desk_round(&d, 1);
        struct cid other = fixture_cid(77);
        const struct cid *record = rows[i].known ? &d.c->round->prev : &other;
        struct buf head = statement_of(d.c->folder.coordinator, rows[i].round, record);
        struct buf receipt = buf_new(MSG_EVIDENCE_MAX);
        if (rows[i].sequence != 0)
            receipt = receipt_of(d.c->folder.coordinator, rows[i].sequence, rows[i].hash);
        desk_hello(&d, 1, buf_bytes(&head), buf_bytes(&receipt));
        if (d.running)
            fail_msg("%s", rows[i].why);
        assert_stopped_by("hospital-b");
        buf_fini(&head);
        buf_fini(&receipt);
    }
}

static void test_evidence_that_we_did_not_sign_denies_the_site_alone(void **state)
{
    (void)state;
    struct cid record = fixture_cid(77);
    struct buf head = statement_of(d.f.sites[0].ed25519, 9, &record);
    struct buf receipt = receipt_of(d.f.sites[0].ed25519, 999, 0);
    const struct bytes shown[][2] = {{buf_bytes(&head), nothing},
                                     {nothing, buf_bytes(&receipt)},
                                     {bytes_of_text("nonsense"), nothing}};
    for (size_t i = 0; i < 3; i++) {
        desk_hello(&d, 0, shown[i][0], shown[i][1]);
        assert_string_equal(desk_expect(&d, 0, MSG_DENIED)->code, "bad-evidence");
        assert_true(d.running);
    }
    desk_gather(&d); /* everybody else, and the site itself without its forgery */
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
    buf_fini(&head);
    buf_fini(&receipt);
}

static void test_the_room_for_a_round_counts_the_optimisers_state(void **state)
{
    uint64_t without = intake_room_needed(d.c);
    assert_int_equal(teardown(state), 0);
    assert_int_equal(scratch_setup(state), 0);
    desk_open(&d, &(struct desk_options){.sites = 2, .optimiser = "fedadam"});
    /* three weights and a bias: m and v of each, twice, as the models are counted */
    assert_int_equal(intake_room_needed(d.c) - without, 2 * 2 * 4 * sizeof(float));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_is_answered_with_all_that_a_worker_needs),
        TEST(test_versions_without_a_common_one_are_denied),
        TEST(test_a_request_with_another_boot_id_is_greeted_and_not_processed),
        TEST(test_what_is_not_a_workers_message_is_dropped),
        TEST(test_a_stranger_is_not_answered),
        TEST(test_evidence_that_our_journal_has_is_welcome),
        TEST(test_evidence_that_our_journal_lacks_stops_the_program),
        TEST(test_evidence_that_we_did_not_sign_denies_the_site_alone),
        TEST(test_the_room_for_a_round_counts_the_optimisers_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
