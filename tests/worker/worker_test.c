/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/stage.h"

static struct cid counted; /* the update that the next record lists in place of the chain's own */

static void count_ours(struct chain *c, struct round_record *r)
{
    (void)c;
    r->updates[SITE] = counted;
}

/* --- tests --- */

static void test_a_round_goes_from_hello_to_a_receipt_that_is_kept(void **state)
{
    struct stage *s = *state;
    queue(s, WORLD_CONNECTED, NULL);
    settle(s);
    assert_int_equal(s->sent_count, 1);
    assert_int_equal(s->sent[0].type, MSG_HELLO);
    say_welcome(s);
    settle(s);
    assert_int_equal(sent_count(s, MSG_WANT), 1);
    forget_sent(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
    assert_int_equal(s->sent_count, 1);
    assert_int_equal(s->sent[0].type, MSG_MISSING);
    struct cid record = s->worker->task.record;
    assert_true(cid_equal(&s->sent[0].record, &record));

    say_list(s, 1, &record, &record);
    assert_true(s->uploaded_count >= 3); /* record, index, shards */
    assert_true(cid_equal(&s->uploaded[0], &record));
    assert_int_equal(s->sent[s->sent_count - 1].type, MSG_SUBMIT);
    be_accepted(s);
    assert_int_equal(s->worker->task.done, 1);
    assert_int_equal(s->sent[s->sent_count - 1].type, MSG_WANT);
    assert_int_equal(s->sent[s->sent_count - 1].round, 1);
    queue(s, WORLD_CONNECTED, NULL);
    settle(s);
    assert_int_equal(s->hello.receipt.size, s->worker->task.receipt.size);
    assert_true(s->hello.receipt.size > 0);
}

static void test_answers_that_do_not_verify_are_ignored(void **state)
{
    struct stage *s = *state;
    const struct fixture *f = &s->chain.f;
    reach_send(s);
    say_accepted(s, f->founder, 1);
    say_accepted(s, f->coordinator, 2);
    say_refused(s, f->sites[0].ed25519, SITE);
    say_refused(s, f->coordinator, 0);
    assert_int_equal(phase(s), TASK_SEND);
    assert_int_equal(logged("accepted") + logged("refused"), 0);
    be_accepted(s);
    assert_int_equal(logged("accepted"), 1);
}

static void test_a_refusal_that_verifies_ends_the_task_and_is_logged(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    say_refused(s, s->chain.f.coordinator, SITE);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(s->worker->task.done, 1);
    assert_int_equal(s->worker->task.receipt.size, 0);
    assert_int_equal(logged("refused"), 1);
}

/* --- a trainer that fails --- */

static void reach_decline(struct stage *s)
{
    stage_greet(s);
    s->fail_by = REFUSAL_TRAINER_DIED;
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_DECLINE);
}

static void test_a_trainer_that_failed_for_good_declines_its_task_by_the_code_alone(void **state)
{
    struct stage *s = *state;
    reach_decline(s);
    const struct msg *m = &s->sent[s->sent_count - 1];
    assert_int_equal(m->type, MSG_DECLINE);
    assert_int_equal(m->round, 1);
    assert_string_equal(m->code, "trainer-died");
    assert_string_equal(m->text, "");
    struct buf log = read_file(in_scratch("site/log.jsonl")); /* the site's own, where it is told */
    assert_non_null(strstr(buf_text(&log), "\"sentence\":\"the trainer spoke of patient 17\""));
    buf_fini(&log);
    assert_int_equal(logged("declined"), 1);
    assert_non_null(strstr(s->worker->trouble, "trainer-died"));
}

static void test_a_decline_is_repeated_till_it_is_noted_also_by_the_next_process(void **state)
{
    struct stage *s = *state;
    reach_decline(s);
    forget_sent(s);
    s->now_ms += WORKER_RETRY_MAX_MS;
    settle(s);
    assert_int_equal(sent_count(s, MSG_DECLINE), 1);
    close_worker(s);
    forget_sent(s);
    open_worker(s);
    s->fail_by = REFUSAL_NONE; /* it would go well now */
    stage_greet(s);
    assert_int_equal(phase(s), TASK_DECLINE);
    assert_int_equal(sent_count(s, MSG_DECLINE), 1);
    assert_string_equal(s->sent[s->sent_count - 1].code, "trainer-died");
    assert_int_equal(logged("trained"), 0);
    forget_sent(s);
    say_noted(s, s->chain.f.coordinator, SITE, REFUSAL_TRAINER_DIED);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(s->worker->task.done, 1);
    assert_int_equal(s->sent[s->sent_count - 1].type, MSG_WANT);
    assert_int_equal(s->sent[s->sent_count - 1].round, 1);
    assert_int_equal(logged("decline-answered"), 1);
    assert_int_equal(logged("refused"), 0);
    chain_play(&s->chain, NULL); /* the next round is another matter */
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_an_answer_to_a_decline_that_does_not_verify_is_ignored(void **state)
{
    struct stage *s = *state;
    const struct fixture *f = &s->chain.f;
    reach_send(s);
    be_accepted(s);
    chain_play(&s->chain, NULL);
    reach_decline(s);
    say_noted(s, f->founder, SITE, REFUSAL_TRAINER_DIED);
    say_noted(s, f->coordinator, 0, REFUSAL_TRAINER_DIED);
    say_refused(s, f->coordinator, SITE); /* about the update before */
    assert_int_equal(phase(s), TASK_DECLINE);
    say_noted(s, f->coordinator, SITE, REFUSAL_LATE); /* a true one, whatever it says */
    assert_int_equal(phase(s), TASK_IDLE);
}

static void test_a_declined_task_is_dropped_with_its_round(void **state)
{
    struct stage *s = *state;
    reach_decline(s);
    s->fail_by = REFUSAL_NONE;
    chain_play(&s->chain, NULL);
    say_hint(s, 1);
    say_welcome(s);
    settle(s);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(logged("dropped"), 1);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

/* --- what is kept --- */

static void test_a_killed_worker_sends_the_same_bytes(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    struct cid record = s->worker->task.record;
    struct buf before = read_file(pack_of(s, 1));
    close_worker(s);
    forget_sent(s);
    open_worker(s);
    stage_greet(s);
    assert_int_equal(phase(s), TASK_SEND);
    assert_int_equal(sent_count(s, MSG_MISSING), 1);
    assert_true(cid_equal(&s->worker->task.record, &record));
    struct buf after = read_file(pack_of(s, 1));
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    buf_fini(&after);
    buf_fini(&before);
}

static void test_a_pack_that_was_never_journalled_is_made_anew(void **state)
{
    struct stage *s = *state;
    char folder[FILES_PATH_MAX];
    files_folder(pack_of(s, 1), folder);
    MUST(files_make_dirs(files_posix(), folder, err));
    write_file(pack_of(s, 1), bytes_of_text("half of something"));
    reach_send(s);
    struct pack *pack;
    MUST(pack_open(files_posix(), pack_of(s, 1), false, &pack, err));
    assert_true(pack_has(pack, &s->worker->task.record));
    pack_close(pack);
}

static void test_another_plan_is_refused_once_and_taken_when_a_person_approves_it(void **state)
{
    struct stage *s = *state;
    struct cid other = fixture_cid(9);
    approve(s, &other);
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(logged("task-refused"), 1);
    char cid[CID_TEXT_MAX], line[128];
    snprintf(line, sizeof line, "config.toml: plan = \"%s\"", cid_format(&s->chain.f.plan_id, cid));
    assert_non_null(strstr(s->worker->advice, line));
    approve(s, &s->chain.f.plan_id);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_a_head_that_the_coordinator_did_not_sign_is_no_ground_for_a_task(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    chain_play(&s->chain, NULL);
    say_task(s, s->chain.f.founder);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(logged("task-refused"), 1);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_a_task_on_another_history_is_refused_for_good(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    be_accepted(s);
    struct chain fork = s->chain; /* another first round, signed by the same coordinator */
    chain_play(&s->chain, NULL);
    fork.answering = 2;
    chain_play(&fork, NULL);
    say_task(s, s->chain.f.coordinator);
    be_accepted(s);
    struct chain honest = s->chain;
    s->chain = fork;
    chain_play(&s->chain, NULL);
    say_task(s, s->chain.f.coordinator); /* round 3 over the other rounds 1 and 2 */
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(logged("task-refused"), 1);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(logged("task"), 3); /* taken up once, then an echo */
    s->chain.f = honest.f;
}

static void test_who_is_not_admitted_is_told_once_and_goes_on_trying(void **state)
{
    struct stage *s = *state;
    queue(s, WORLD_REFUSED, NULL);
    settle(s);
    assert_int_equal(logged("not-admitted"), 0); /* perhaps the coordinator is just starting */
    queue(s, WORLD_REFUSED, NULL);
    queue(s, WORLD_REFUSED, NULL);
    settle(s);
    assert_int_equal(logged("not-admitted"), 1);
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_denied_is_told_once_and_hello_is_said_again(void **state)
{
    struct stage *s = *state;
    queue(s, WORLD_CONNECTED, NULL);
    settle(s);
    say_word(s, MSG_DENIED);
    say_word(s, MSG_DENIED);
    assert_int_equal(logged("not-admitted"), 1);
    s->now_ms += WORKER_RETRY_MAX_MS;
    settle(s);
    assert_int_equal(sent_count(s, MSG_HELLO), 2);
}

static void test_a_flood_of_greetings_is_answered_by_one_hello(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    forget_sent(s);
    s->now_ms += WORKER_GREET_MS;
    for (int i = 0; i < 5; i++)
        say_word(s, MSG_GREET);
    assert_int_equal(sent_count(s, MSG_HELLO), 1);
}

static void test_a_request_is_repeated_ever_later_until_it_is_answered(void **state)
{
    struct stage *s = *state;
    size_t early, late;
    reach_send(s);
    forget_sent(s);
    for (int i = 0; i < 30; i++) {
        s->now_ms += 100;
        settle(s);
    }
    early = sent_count(s, MSG_MISSING);
    assert_in_range(early, 2, 4);
    forget_sent(s);
    for (int i = 0; i < 60; i++) {
        s->now_ms += 1000;
        settle(s);
    }
    late = sent_count(s, MSG_MISSING);
    assert_in_range(late, 4, 10); /* never more than 15 s apart: below what counts as offline */
}

static void test_a_dead_network_is_tried_again_and_the_task_goes_on(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    s->no_network = true;
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_FETCH);
    assert_non_null(strstr(s->worker->trouble, "cut by the test"));
    s->no_network = false;
    settle(s);
    assert_int_equal(phase(s), TASK_FETCH); /* not before the timer */
    s->now_ms += WORKER_RETRY_MAX_MS;
    settle(s);
    assert_int_equal(phase(s), TASK_SEND);
}

static void test_a_base_that_was_damaged_is_fetched_again(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    s->damage_base = true;
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_TRAIN);
    assert_int_equal(s->models_fetched, 1);
    s->now_ms += WORKER_RETRY_MAX_MS;
    settle(s);
    assert_int_equal(phase(s), TASK_SEND);
    assert_int_equal(s->models_fetched, 2);
}

static void test_only_the_updates_own_blocks_are_sent(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    struct cid foreign = fixture_cid(123), record = s->worker->task.record;
    say_list(s, 1, &record, &foreign);
    assert_int_equal(s->uploaded_count, 0);
    say_list(s, 1, &foreign, &record);
    assert_int_equal(s->uploaded_count, 0);
}

static void test_blocks_damaged_over_there_are_sent_again_after_the_answer(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    struct cid record = s->worker->task.record;
    say_list(s, 1, &record, &record);
    size_t all = s->uploaded_count;
    struct cid last = s->uploaded[all - 1];
    be_accepted(s);
    forget_sent(s);
    say_list(s, 1, &record, &last);
    assert_int_equal(s->uploaded_count, all + 1);
    assert_true(cid_equal(&s->uploaded[all], &last));
    assert_int_equal(sent_count(s, MSG_SUBMIT), 0);
}

static void test_an_update_goes_when_its_rounds_record_names_it(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    counted = s->worker->task.record;
    be_accepted(s);
    assert_true(files_exists(files_posix(), pack_of(s, 1)));
    chain_play(&s->chain, count_ours);
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_SEND);
    assert_false(files_exists(files_posix(), pack_of(s, 1)));
    assert_true(files_exists(files_posix(), pack_of(s, 2)));
    assert_int_equal(logged("omitted"), 0);
}

static void test_an_acknowledged_update_that_is_not_counted_is_kept_and_said(void **state)
{
    struct stage *s = *state;
    reach_send(s);
    be_accepted(s);
    chain_play(&s->chain, NULL);
    say_task(s, s->chain.f.coordinator);
    assert_true(files_exists(files_posix(), pack_of(s, 1)));
    assert_int_equal(logged("omitted"), 1);
}

static void test_the_two_newest_models_stay_and_nothing_in_work(void **state)
{
    struct stage *s = *state;
    struct cid *roots, bases[4];
    size_t count;
    for (uint64_t round = 1; round <= 3; round++) {
        bases[round] = s->chain.base;
        if (round == 1)
            stage_greet(s);
        say_task(s, s->chain.f.coordinator);
        assert_int_equal(phase(s), TASK_SEND);
        counted = s->worker->task.record;
        be_accepted(s);
        chain_play(&s->chain, count_ours);
    }
    MUST(store_model_list(s->worker->store, &roots, &count, err));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        assert_true(cid_equal(&roots[i], &bases[2]) || cid_equal(&roots[i], &bases[3]));
    free(roots);
    assert_int_equal(rmdir(in_scratch("site/work")), 0);
}

static void test_a_hint_while_at_work_asks_for_the_signed_head_that_drops_the_task(void **state)
{
    struct stage *s = *state;
    stage_greet(s);
    s->no_network = true;
    say_task(s, s->chain.f.coordinator);
    assert_int_equal(phase(s), TASK_FETCH);
    forget_sent(s);
    chain_play(&s->chain, NULL);
    say_hint(s, 1);
    assert_int_equal(sent_count(s, MSG_HELLO), 1);
    assert_int_equal(phase(s), TASK_FETCH); /* a hint decides nothing */
    say_welcome(s);
    settle(s);
    assert_int_equal(phase(s), TASK_IDLE);
    assert_int_equal(logged("dropped"), 1);
}

static void test_done_brings_the_final_model_and_the_end(void **state)
{
    struct stage *s = *state;
    char head[CID_TEXT_MAX + 1];
    for (int round = 1; round <= 3; round++)
        chain_play(&s->chain, NULL);
    stage_greet(s);
    say_done(s);
    assert_true(s->worker->finished);
    assert_true(cid_equal(&s->worker->final_model, &s->chain.base));
    assert_true(store_model_has(s->worker->store, &s->chain.base));
    struct buf file = read_file(in_scratch("site/head"));
    cid_format(&s->chain.prev, head);
    strcat(head, "\n");
    assert_string_equal(buf_text(&file), head);
    buf_fini(&file);
}

static void test_an_end_on_another_history_is_refused_with_exit_1(void **state)
{
    struct stage *s = *state;
    struct chain fork = s->chain;
    chain_play(&s->chain, NULL);
    stage_greet(s);
    say_task(s, s->chain.f.coordinator);
    be_accepted(s);
    fork.answering = 2;
    struct chain honest = s->chain;
    s->chain = fork;
    for (int round = 1; round <= 3; round++)
        chain_play(&s->chain, NULL);
    say_done(s);
    assert_true(s->worker->stop);
    assert_int_equal(s->worker->exit_code, 1);
    assert_false(s->worker->finished);
    s->chain.f = honest.f;
}

static void test_a_second_worker_on_the_folder_is_refused(void **state)
{
    struct stage *s = *state;
    struct worker *second = calloc(1, sizeof *second);
    assert_non_null(second);
    assert_int_equal(worker_open(second, &s->home, &s->world, NULL), ERR_DENIED);
    worker_close(second);
    free(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_round_goes_from_hello_to_a_receipt_that_is_kept),
        TEST(test_answers_that_do_not_verify_are_ignored),
        TEST(test_a_refusal_that_verifies_ends_the_task_and_is_logged),
        TEST(test_a_trainer_that_failed_for_good_declines_its_task_by_the_code_alone),
        TEST(test_a_decline_is_repeated_till_it_is_noted_also_by_the_next_process),
        TEST(test_an_answer_to_a_decline_that_does_not_verify_is_ignored),
        TEST(test_a_declined_task_is_dropped_with_its_round),
        TEST(test_a_killed_worker_sends_the_same_bytes),
        TEST(test_a_pack_that_was_never_journalled_is_made_anew),
        TEST(test_another_plan_is_refused_once_and_taken_when_a_person_approves_it),
        TEST(test_a_head_that_the_coordinator_did_not_sign_is_no_ground_for_a_task),
        TEST(test_a_task_on_another_history_is_refused_for_good),
        TEST(test_who_is_not_admitted_is_told_once_and_goes_on_trying),
        TEST(test_denied_is_told_once_and_hello_is_said_again),
        TEST(test_a_flood_of_greetings_is_answered_by_one_hello),
        TEST(test_a_request_is_repeated_ever_later_until_it_is_answered),
        TEST(test_a_dead_network_is_tried_again_and_the_task_goes_on),
        TEST(test_a_base_that_was_damaged_is_fetched_again),
        TEST(test_only_the_updates_own_blocks_are_sent),
        TEST(test_blocks_damaged_over_there_are_sent_again_after_the_answer),
        TEST(test_an_update_goes_when_its_rounds_record_names_it),
        TEST(test_an_acknowledged_update_that_is_not_counted_is_kept_and_said),
        TEST(test_the_two_newest_models_stay_and_nothing_in_work),
        TEST(test_a_hint_while_at_work_asks_for_the_signed_head_that_drops_the_task),
        TEST(test_done_brings_the_final_model_and_the_end),
        TEST(test_an_end_on_another_history_is_refused_with_exit_1),
        TEST(test_a_second_worker_on_the_folder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
