/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include "study/round_record.h"

static struct desk d;

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static void test_a_study_goes_from_hello_to_a_head_that_verifies(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d, &(struct desk_options){.sites = 3});
    assert_int_equal(d.allowed, 3);
    desk_gather(&d);
    for (uint64_t round = 1; round <= 3; round++) {
        struct cid base = d.c->round->base;
        for (uint32_t i = 0; i < 3; i++) {
            struct msg *task = desk_expect(&d, i, MSG_TASK);
            assert_int_equal(task->round, round);
            assert_int_equal(task->site, i);
            assert_string_equal(task->rule, "fedavg");
            assert_true(cid_equal(&task->base, &base));
            assert_true(cid_equal(&task->prev, &d.c->round->prev));
            assert_int_equal(task->head.size > 0, round > 1);
        }
        desk_round(&d, 0.5f);
        assert_false(cid_equal(&d.c->round->base, &base));
        desk_run(&d);
        for (uint32_t i = 0; round < 3 && i < 3; i++) { /* the next task was sent with the close */
            desk_ask(&d, i, MSG_WANT, round, NULL);
        }
    }
    assert_int_equal(d.c->round->phase, ROUND_FINISHED);
    struct cid head;
    MUST(folder_read_cid(files_posix(), desk_dir(), "head", &head, err));
    assert_true(cid_equal(&head, &d.c->round->prev));
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.rounds, 3);
    assert_int_equal(found.recomputed, 3);
    assert_true(cid_equal(&found.final_model, &d.c->round->base));
}

static void test_the_next_task_leaves_with_the_close(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){.sites = 2});
    desk_gather(&d);
    desk_expect(&d, 0, MSG_TASK);
    desk_expect(&d, 1, MSG_TASK);
    size_t hints = d.hints;
    desk_answer(&d, 0, 1);
    desk_expect(&d, 0, MSG_ACCEPTED);
    desk_answer(&d, 1, 2);
    desk_expect(&d, 1, MSG_ACCEPTED);
    assert_int_equal(d.hints, hints + 1);
    assert_int_equal(desk_expect(&d, 0, MSG_TASK)->round, 2);
    assert_int_equal(desk_expect(&d, 1, MSG_TASK)->round, 2);
}

static void test_a_round_waits_for_its_minimum_and_says_whom_it_misses(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){.sites = 3});
    desk_greet(&d, 0);
    desk_greet(&d, 1);
    assert_int_equal(d.c->round->phase, ROUND_GATHER);
    desk_ask(&d, 0, MSG_WANT, 0, NULL);
    struct msg *wait = desk_expect(&d, 0, MSG_WAIT);
    assert_non_null(strstr(wait->text, "hospital-c"));
    assert_true(wait->retry_ms > 0 && wait->retry_ms < COORDINATOR_ONLINE_MS);
    desk_greet(&d, 2);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
}

static void test_a_site_that_is_silent_too_long_is_not_online(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){.sites = 2});
    desk_greet(&d, 0);
    desk_pass(&d, COORDINATOR_ONLINE_MS);
    desk_greet(&d, 1);
    assert_int_equal(d.c->round->phase, ROUND_GATHER);
    desk_ask(&d, 0, MSG_WANT, 0, NULL);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
}

static void test_the_deadline_closes_a_round_with_its_quorum(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d, &(struct desk_options){.sites = 3, .schedule = "fedavg 1"});
    desk_gather(&d);
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 2);
    desk_pass(&d, 59999);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
    desk_pass(&d, 1);
    assert_int_equal(d.c->round->phase, ROUND_FINISHED);
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.rounds, 1);
}

static void test_a_round_without_room_on_the_disk_waits_and_says_so(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){.sites = 2});
    d.free_bytes = 0;
    desk_gather(&d);
    assert_int_equal(d.c->round->phase, ROUND_GATHER);
    desk_pass(&d, 1000);
    struct buf status = desk_read("status.json");
    assert_non_null(strstr(buf_text(&status), "room on the disk"));
    assert_non_null(strstr(buf_text(&status), "free some space"));
    buf_fini(&status);
    d.free_bytes = UINT64_MAX;
    desk_run(&d);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
}

/* --- who is asked --- */

#define CROWD 6

static bool is_asked(uint32_t site)
{
    return round_find(d.c->round, site) != NULL;
}

/* Those who are asked answer, each with what the rule wants; the others are told to wait. */
static void let_the_asked_answer(void)
{
    uint64_t number = d.c->round->number;
    bool asked[CROWD];
    desk_drop_mail(&d);
    for (uint32_t i = 0; i < CROWD; i++) {
        asked[i] = is_asked(i);
        desk_ask(&d, i, MSG_WANT, number - 1, NULL);
        desk_expect(&d, i, asked[i] ? MSG_TASK : MSG_WAIT);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        if (!asked[i])
            continue;
        struct pack *pack;
        MUST(inbox_take(d.c->inbox, i, number, true, &pack, err));
        struct update u = fixture_update(&d.f, number, &d.c->round->base, 10 + (uint64_t)i);
        if (strcmp(plan_rule(&d.c->study.plan, number)->name, "fedavg") == 0)
            u.delta = fixture_index(&d.f, pack, (float)i);
        u.metrics[u.metric_count++] = (struct update_metric){"correct", i};
        struct cid record = fixture_sign(&d.f, pack, i, &u);
        inbox_release(d.c->inbox, i, number);
        desk_ask(&d, i, MSG_SUBMIT, number, &record);
        desk_expect(&d, i, MSG_ACCEPTED);
    }
    assert_int_equal(d.c->round->number, number + 1);
}

/* Who was asked in the round just closed, as its record says; a bit a site. */
static unsigned recorded_choice(void)
{
    struct key_public key = key_public(d.c->folder.coordinator);
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct round_record r;
    unsigned choice = 0;
    MUST(study_get(d.c->store, &d.c->round->prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &d.f.study_id, &key, &r, err));
    for (size_t i = 0; i < r.selected_count; i++)
        choice |= 1u << r.selected[i];
    assert_int_equal(r.update_count, r.selected_count);
    round_record_fini(&r);
    buf_fini(&block);
    return choice;
}

/* Rounds 1 to 3 train with half of six sites, the last one asks all; `choices` (4). */
static void play_with_a_half(unsigned choices[4])
{
    desk_open(&d, &(struct desk_options){.sites = CROWD,
                                         .schedule = "fedavg 3\", \"evaluate 1",
                                         .minimum = 2,
                                         .fraction = 0.5});
    desk_greet(&d, 4);
    assert_int_equal(d.c->round->phase, ROUND_GATHER);
    desk_greet(&d, 5); /* the minimum: the round opens with those who are there */
    assert_int_equal(d.c->round->slot_count, 2);
    for (uint32_t i = 0; i < 4; i++) {
        desk_greet(&d, i);
        assert_false(is_asked(i)); /* too late for this round */
    }
    for (int round = 0; round < 4; round++) {
        let_the_asked_answer();
        choices[round] = recorded_choice();
    }
}

static void test_a_seeded_fraction_trains_and_all_evaluate_and_who_comes_late_joins(void **state)
{
    (void)state;
    unsigned choices[4], again[4];
    struct verify_result found;
    play_with_a_half(choices);
    assert_int_equal(choices[0], 0x30);
    assert_int_equal(__builtin_popcount(choices[1]), 3);
    assert_int_equal(__builtin_popcount(choices[2]), 3);
    assert_true(((choices[1] | choices[2]) & 0xf) != 0); /* late ones are among them */
    assert_int_equal(choices[3], 0x3f);
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 4);

    struct buf log = desk_read("log.jsonl"); /* of the evaluation, each site's counts and results */
    for (int i = 0; i < CROWD; i++) {
        char line[160];
        snprintf(line, sizeof line, "\"round\":4,\"site\":\"hospital-%c\"", 'a' + i);
        const char *at = strstr(buf_text(&log), line);
        assert_non_null(at);
        snprintf(line, sizeof line, "\"examples\":%d,", 10 + i);
        assert_non_null(strstr(at, line));
        snprintf(line, sizeof line, "\"correct\":%d.0", i);
        assert_non_null(strstr(at, line));
    }
    buf_fini(&log);

    assert_int_equal(teardown(state), 0); /* the same plan and sites: the same choice */
    assert_int_equal(scratch_setup(state), 0);
    play_with_a_half(again);
    assert_memory_equal(choices, again, sizeof choices);
}

/* --- how it ends --- */

static void test_three_failed_rounds_in_a_row_end_the_program_with_a_sentence(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d, &(struct desk_options){.sites = 2, .schedule = "fedavg 9"});
    desk_gather(&d);
    for (int i = 0; i < 4; i++) { /* the first leaves 3e38, from where each next step overflows */
        assert_int_equal(d.c->round->failures, i == 0 ? 0 : i - 1);
        desk_round(&d, 3e38f);
    }
    assert_int_equal(d.c->round->phase, ROUND_FINISHED);
    desk_pass(&d, COORDINATOR_LINGER_MS + 1);
    assert_false(d.running);
    assert_int_equal(d.c->exit_code, 3);
    assert_non_null(strstr(d.c->failure, "3 rounds in a row failed"));
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.rounds, 4);
}

/* --- the end --- */

static void finish_study(size_t sites)
{
    desk_open(&d, &(struct desk_options){.sites = sites, .schedule = "fedavg 1"});
    desk_gather(&d);
    desk_round(&d, 1);
    assert_int_equal(d.c->round->phase, ROUND_FINISHED);
}

static struct buf head_now(void)
{
    struct buf head = buf_new(MSG_EVIDENCE_MAX);
    MUST(act_head_statement(d.c, &head, err));
    return head;
}

static void test_the_program_ends_once_every_site_holds_the_final_head(void **state)
{
    (void)state;
    finish_study(2);
    struct buf head = head_now();
    assert_true(d.running);
    desk_hello(&d, 0, buf_bytes(&head), bytes_of(NULL, 0));
    assert_true(d.running);
    desk_hello(&d, 1, buf_bytes(&head), bytes_of(NULL, 0));
    desk_pass(&d, COORDINATOR_QUIET_MS + 1);
    assert_false(d.running);
    assert_int_equal(d.c->exit_code, 0);
    buf_fini(&head);
}

static void test_a_finished_program_serves_as_long_as_sites_fetch(void **state)
{
    (void)state;
    finish_study(2);
    for (int i = 0; i < 20; i++) { /* a large model over a long link: bytes move now and then */
        desk_pass(&d, COORDINATOR_LINGER_MS - 1);
        assert_true(d.running);
        atomic_fetch_add(&d.c->sent, 1);
    }
    desk_pass(&d, 1); /* sees that they did */
    desk_pass(&d, COORDINATOR_LINGER_MS - 1);
    assert_true(d.running);
    desk_pass(&d, 2);
    assert_false(d.running);
}

static void test_a_silent_site_delays_the_end_by_the_linger_alone(void **state)
{
    (void)state;
    finish_study(2);
    desk_ask(&d, 0, MSG_WANT, 1, NULL);
    struct head_statement said;
    struct key_public key = key_public(d.c->folder.coordinator);
    struct msg *done = desk_expect(&d, 0, MSG_DONE);
    MUST(statement_decode_head(buf_bytes(&done->head), &d.f.study_id, &key, &said, err));
    assert_int_equal(said.round, 1);
    assert_true(cid_equal(&said.record, &d.c->round->prev));
    desk_pass(&d, COORDINATOR_LINGER_MS - 1);
    assert_true(d.running);
    desk_pass(&d, 2);
    assert_false(d.running);
    assert_int_equal(d.c->exit_code, 0);
}

static void test_a_finished_study_started_again_tells_and_ends(void **state)
{
    (void)state;
    finish_study(2);
    desk_stop_coordinator(&d);
    desk_start_coordinator(&d);
    desk_run(&d);
    assert_true(d.running);
    desk_greet(&d, 0);
    desk_ask(&d, 0, MSG_WANT, 1, NULL);
    desk_expect(&d, 0, MSG_DONE);
    desk_pass(&d, COORDINATOR_LINGER_MS + 1);
    assert_false(d.running);
}

/* --- stopping and starting --- */

static struct cid final_model(bool disturbed)
{
    desk_open(&d, &(struct desk_options){.sites = 3, .schedule = "fedavg 2"});
    desk_gather(&d);
    struct cid first = desk_answer(&d, 0, 1);
    if (disturbed) {
        desk_drop_mail(&d);
        desk_stop_coordinator(&d);
        d.now_ms = 17; /* another boot of the machine */
        desk_start_coordinator(&d);
        assert_int_equal(d.c->round->phase, ROUND_COLLECT);
        assert_int_equal(d.c->round->accepted, 1);
        desk_gather(&d);
        desk_drop_mail(&d);
        desk_ask(&d, 0, MSG_SUBMIT, 1, &first); /* its acknowledgement may have been lost */
        desk_expect(&d, 0, MSG_ACCEPTED);
    }
    desk_answer(&d, 1, 2);
    desk_answer(&d, 2, 3);
    desk_drop_mail(&d);
    desk_round(&d, 0.25f);
    struct cid model = d.c->round->base;
    desk_close(&d);
    return model;
}

static void test_a_study_stopped_in_mid_round_ends_in_the_same_model(void **state)
{
    struct cid undisturbed = final_model(false);
    assert_int_equal(scratch_teardown(state), 0);
    assert_int_equal(scratch_setup(state), 0);
    struct cid disturbed = final_model(true);
    assert_true(cid_equal(&disturbed, &undisturbed));
    memset(&d, 0, sizeof d);
}

static void test_study_time_stands_still_while_the_program_is_down(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){.sites = 2});
    desk_gather(&d);
    desk_pass(&d, 30000); /* half of the deadline, journalled */
    desk_stop_coordinator(&d);
    d.now_ms += 3600 * 1000;
    desk_start_coordinator(&d);
    desk_pass(&d, 20000);
    assert_false(d.c->round->past);
    desk_pass(&d, 11000);
    assert_true(d.c->round->past);
}

static void test_two_coordinators_on_one_folder_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    desk_open(&d, &(struct desk_options){.sites = 1, .quorum = 1});
    struct coordinator *second = calloc(1, sizeof *second);
    assert_non_null(second);
    assert_int_equal(coordinator_open(second, desk_dir(), files_posix(), &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "another coordinator"));
    coordinator_close(second);
    free(second);
}

static void test_a_store_without_the_journals_model_is_not_begun_with(void **state)
{
    (void)state;
    struct err why = {0};
    desk_open(&d, &(struct desk_options){.sites = 1, .quorum = 1});
    MUST(store_model_delete(d.c->store, &d.c->round->base, err));
    desk_stop_coordinator(&d);
    struct coordinator *c = calloc(1, sizeof *c);
    assert_non_null(c);
    MUST(coordinator_open(c, desk_dir(), &d.files, err));
    assert_int_equal(coordinator_start(c, &d.world, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "stands on model"));
    coordinator_close(c);
    free(c);
}

static void test_a_roster_older_than_the_journal_is_not_begun_with(void **state)
{
    (void)state;
    struct err why = {0};
    struct cid older = {0};
    desk_open(&d, &(struct desk_options){.sites = 2});
    desk_gather(&d);
    older = d.c->roster.prev; /* it names one site of the two */
    desk_stop_coordinator(&d);
    MUST(folder_write_cid(files_posix(), desk_dir(), "roster", &older, false, err));
    struct coordinator *c = calloc(1, sizeof *c);
    assert_non_null(c);
    MUST(coordinator_open(c, desk_dir(), &d.files, err));
    assert_int_equal(coordinator_start(c, &d.world, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "roster"));
    coordinator_close(c);
    free(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_study_goes_from_hello_to_a_head_that_verifies),
        TEST(test_the_next_task_leaves_with_the_close),
        TEST(test_a_round_waits_for_its_minimum_and_says_whom_it_misses),
        TEST(test_a_site_that_is_silent_too_long_is_not_online),
        TEST(test_the_deadline_closes_a_round_with_its_quorum),
        TEST(test_a_round_without_room_on_the_disk_waits_and_says_so),
        TEST(test_a_seeded_fraction_trains_and_all_evaluate_and_who_comes_late_joins),
        TEST(test_three_failed_rounds_in_a_row_end_the_program_with_a_sentence),
        TEST(test_the_program_ends_once_every_site_holds_the_final_head),
        TEST(test_a_finished_program_serves_as_long_as_sites_fetch),
        TEST(test_a_silent_site_delays_the_end_by_the_linger_alone),
        TEST(test_a_finished_study_started_again_tells_and_ends),
        TEST(test_a_study_stopped_in_mid_round_ends_in_the_same_model),
        TEST(test_study_time_stands_still_while_the_program_is_down),
        TEST(test_two_coordinators_on_one_folder_are_refused),
        TEST(test_a_store_without_the_journals_model_is_not_begun_with),
        TEST(test_a_roster_older_than_the_journal_is_not_begun_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
