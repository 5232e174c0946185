/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/verify_chain.h"

#include "base/jobs.h"

static const struct fixture_options three_sites = {.sites = 3};

/* --- what is right --- */

struct told {
    size_t count;
    uint64_t rounds[8];
    enum verify_depth depths[8];
    struct cid last_record, last_model;
};

static void tell(void *self, uint64_t round, const struct cid *record, const struct cid *next,
                 enum verify_depth depth)
{
    struct told *t = self;
    assert_true(t->count < 8);
    t->rounds[t->count] = round;
    t->depths[t->count++] = depth;
    t->last_record = *record;
    t->last_model = *next;
}

static void test_a_whole_study_is_recomputed_round_by_round(void **state)
{
    (void)state;
    struct chain c;
    struct told told = {0};
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    struct verify_options o = {.study = c.f.study_id, .round = tell, .self = &told};
    MUST(jobs_new(2, &o.jobs, err));
    while (c.round <= 5)
        chain_play(&c, NULL);
    MUST(chain_verify(&o, &found, err));
    assert_int_equal(found.rounds, 5);
    assert_int_equal(found.recomputed, 5);
    assert_true(found.final_held);
    assert_true(cid_equal(&found.study, &c.f.study_id));
    assert_true(cid_equal(&found.final_model, &c.base));
    assert_int_equal(told.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(told.rounds[i], i + 1);
        assert_int_equal(told.depths[i], VERIFY_FULL);
    }
    assert_true(cid_equal(&told.last_record, &c.prev));
    assert_true(cid_equal(&told.last_model, &c.base));
    jobs_free(o.jobs);
    chain_fini(&c);
}

static void test_without_an_anchor_the_study_found_is_told(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    assert_true(cid_equal(&found.study, &c.f.study_id));
    chain_fini(&c);
}

static void test_another_anchor_is_a_no(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    struct verify_options o = {.study = fixture_cid(1)};
    struct err err = {0};
    assert_int_equal(chain_verify(&o, NULL, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "it belongs to the study"));
    chain_fini(&c);
}

static void test_a_folder_without_a_closed_round_has_nothing_to_verify(void **state)
{
    (void)state;
    struct chain c;
    char text[CID_TEXT_MAX];
    chain_init(&c, &three_sites);
    chain_expect_no("no round of a study is closed here", ERR_NOTFOUND);
    cid_format(&c.f.study_id, text);
    write_file(in_scratch("head"), bytes_of_text(text));
    chain_expect_no("no round is closed yet", ERR_NOTFOUND);
    chain_fini(&c);
}

static void test_an_older_head_can_be_asked_about(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    struct verify_options o = {.head = chain_play(&c, NULL)};
    struct cid model = c.base;
    chain_play(&c, NULL);
    MUST(chain_verify(&o, &found, err));
    assert_int_equal(found.rounds, 2);
    assert_true(cid_equal(&found.final_model, &model));
    assert_int_equal(unlink(in_scratch("head")), 0); /* nor is DIR/head needed */
    MUST(chain_verify(&o, &found, err));
    chain_fini(&c);
}

/* Two sites may agree that one sends the other's record along. */
static void test_a_record_in_a_pack_that_is_not_its_signers_is_no_lie(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    struct buf block = buf_new(RECORD_BYTES_MAX);
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    struct pack *own = fixture_pack(&c.f, 1, 1), *other = fixture_pack(&c.f, 0, 1);
    MUST(pack_get(own, &c.records[1], &block, err));
    MUST(pack_put(other, &c.records[1], buf_bytes(&block), err));
    pack_close(own);
    pack_close(other);
    buf_fini(&block);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 1);
    chain_fini(&c);
}

/* --- failed rounds --- */

static void need_three(struct plan *plan)
{
    plan->quorum = plan->minimum = 3;
    plan->step_count = 1;
    plan->schedule[0] = (struct plan_step){"fedavg", 5};
}

static void lose_quorum(struct chain *c, struct round_record *r)
{
    r->update_count = c->answering;
    r->next = r->base;
    strcpy(r->failure, "no-quorum");
}

static void test_three_rounds_may_fail_in_a_row_and_no_fourth_may_come(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = need_three});
    c.answering = 2;
    while (c.round <= 3)
        chain_play(&c, lose_quorum);
    MUST(chain_verify(NULL, NULL, err));
    chain_play(&c, lose_quorum);
    chain_expect_no("a round after 3 failed ones in a row", ERR_DENIED);
    chain_fini(&c);
}

static void test_a_round_between_failed_ones_begins_the_count_anew(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = need_three});
    for (c.answering = 2; c.round <= 2;)
        chain_play(&c, lose_quorum);
    c.answering = 3;
    chain_play(&c, NULL);
    for (c.answering = 2; c.round <= 5;)
        chain_play(&c, lose_quorum);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 5);
    chain_fini(&c);
}

/* --- lies, each signed as it should be --- */

static void lie_next(struct chain *c, struct round_record *r)
{
    r->next = c->f.model;
}

static void lie_base(struct chain *c, struct round_record *r)
{
    r->base = r->next = c->f.model;
}

static void lie_metrics_next(struct chain *c, struct round_record *r)
{
    r->next = c->f.model;
}

static void lie_twice(struct chain *c, struct round_record *r)
{
    (void)c;
    r->updates[2] = r->updates[1];
}

static void lie_order(struct chain *c, struct round_record *r)
{
    r->updates[0] = c->records[1];
    r->updates[1] = c->records[0];
}

/* A second record of the same site, as good as the first. */
static void lie_second(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    r->updates[1] = fixture_delta(&c->f, pack, 0, r->round, &r->base, 7, 70);
    r->update_count = 2;
    pack_close(pack);
}

static void lie_left_out(struct chain *c, struct round_record *r)
{
    r->update_count--;
    r->received -= c->bytes[2];
}

static void lie_not_selected(struct chain *c, struct round_record *r)
{
    (void)c;
    for (size_t i = 0; i < r->selected_count; i++)
        if (r->selected[i] == 2)
            r->selected[i] = r->selected[--r->selected_count];
    r->updates[0] = r->updates[2];
    r->update_count = 1;
}

static void lie_unknown_site(struct chain *c, struct round_record *r)
{
    (void)c;
    r->selected[0] = 17;
}

static void lie_deleted(struct chain *c, struct round_record *r)
{
    (void)c;
    r->deleted = 2;
}

static void lie_rule(struct chain *c, struct round_record *r)
{
    (void)c;
    strcpy(r->rule, "evaluate");
}

static void lie_not_finite(struct chain *c, struct round_record *r)
{
    (void)c;
    strcpy(r->failure, "not-finite");
    r->next = r->base;
}

static void lie_no_quorum(struct chain *c, struct round_record *r)
{
    (void)c;
    strcpy(r->failure, "no-quorum");
    r->next = r->base;
}

static void lie_state(struct chain *c, struct round_record *r)
{
    (void)c;
    r->state = r->base;
}

static void lie_metering(struct chain *c, struct round_record *r)
{
    (void)c;
    r->received++;
}

static void lie_round(struct chain *c, struct round_record *r)
{
    (void)c;
    r->round += 2;
}

static void lie_skip(struct chain *c, struct round_record *r)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct round_record before;
    struct key_public key = key_public(c->f.coordinator);
    MUST(study_get(c->f.store, &r->prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &c->f.study_id, &key, &before, err));
    r->prev = before.prev;
    round_record_fini(&before);
    buf_fini(&block);
}

static void lie_study(struct chain *c, struct round_record *r)
{
    (void)c;
    r->study = fixture_cid(9);
}

static void lie_plan(struct chain *c, struct round_record *r)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct plan plan = c->f.study.plan;
    plan.learning_rate *= 2;
    MUST(plan_sign(&plan, &c->f.study_id, c->f.founder, &block, &r->plan, err));
    fixture_put(&c->f, &block);
    buf_fini(&block);
}

/* An update that was good for the round before. */
static void lie_stale(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    r->updates[0] = fixture_delta(&c->f, pack, 0, r->round - 1, &r->base, 1, 10);
    pack_close(pack);
}

static void lie_other_base(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    r->updates[0] = fixture_delta(&c->f, pack, 0, r->round, &c->f.model, 1, 10);
    pack_close(pack);
}

static void lie_weight(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    r->updates[0] = fixture_delta(&c->f, pack, 0, r->round, &r->base, 1, 1ull << 29);
    pack_close(pack);
}

static void lie_forged(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, r->round);
    struct update u = fixture_update(&c->f, r->round, &r->base, 10);
    u.delta = fixture_index(&c->f, pack, 1);
    struct buf block = buf_new(RECORD_BYTES_MAX);
    MUST(update_sign(&u, c->f.coordinator, &block, &r->updates[0], err));
    fixture_pack_put(pack, CID_DAG_CBOR, buf_bytes(&block));
    buf_fini(&block);
    pack_close(pack);
}

static void set_roster(struct chain *c, struct round_record *r, const struct cid *prev,
                       struct roster_site *sites, size_t count)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct roster roster = {
        .prev = *prev, .coordinator = key_public(c->f.coordinator), .count = count, .sites = sites};
    MUST(roster_make(&roster, &c->f.study_id, c->f.founder, &block, &r->roster, err));
    fixture_put(&c->f, &block);
    buf_fini(&block);
}

static void lie_roster_unlinked(struct chain *c, struct round_record *r)
{
    struct roster_site sites[3];
    memcpy(sites, c->f.roster.sites, sizeof sites);
    sites[2].until = 99; /* allowed, had it the other roster for `prev` */
    set_roster(c, r, &(struct cid){0}, sites, 3);
}

static void lie_roster_shorter(struct chain *c, struct round_record *r)
{
    set_roster(c, r, &c->f.roster_id, c->f.roster.sites, 2);
}

static void lie_roster_reordered(struct chain *c, struct round_record *r)
{
    struct roster_site sites[3] = {c->f.roster.sites[1], c->f.roster.sites[0],
                                   c->f.roster.sites[2]};
    set_roster(c, r, &c->f.roster_id, sites, 3);
}

static void lie_ended_site(struct chain *c, struct round_record *r)
{
    struct roster_site sites[3];
    memcpy(sites, c->f.roster.sites, sizeof sites);
    sites[2].until = r->round;
    set_roster(c, r, &c->f.roster_id, sites, 3);
}

static const struct {
    lie_function *lie;
    uint64_t round; /* moments is 1, fedavg 2 to 4, evaluate 5 */
    int code;
    const char *sentence;
} lies[] = {
    {lie_next, 2, ERR_DENIED, "where its updates give"},
    {lie_base, 3, ERR_DENIED, "its base is model"},
    {lie_metrics_next, 5, ERR_DENIED, "where rule evaluate keeps the base"},
    {lie_twice, 2, ERR_DENIED, "it is listed twice"},
    {lie_order, 2, ERR_DENIED, "not listed in the roster's order"},
    {lie_second, 2, ERR_DENIED, "of hospital-a: another one of the same site is listed"},
    {lie_left_out, 2, ERR_DENIED, "where its updates give"},
    {lie_not_selected, 2, ERR_DENIED, "of site hospital-c, which was not selected"},
    {lie_unknown_site, 2, ERR_DENIED, "it selects site 17 of a roster of 3"},
    {lie_deleted, 2, ERR_DENIED, "held from round 2 on where the plan says 1"},
    {lie_rule, 2, ERR_DENIED, "its rule is evaluate where the plan says fedavg"},
    {lie_not_finite, 2, ERR_DENIED, "its failure is \"not-finite\" where its updates give \"\""},
    {lie_no_quorum, 2, ERR_DENIED, "3 updates and a quorum of 1, but it failed"},
    {lie_state, 2, ERR_DENIED, "its optimiser's state is"},
    {lie_metering, 2, ERR_DENIED, "bytes received, its updates have"},
    {lie_round, 2, ERR_DENIED, "it says that it is round 1"},
    {lie_round, 1, ERR_DENIED, "it says that it is round 0"},
    {lie_skip, 3, ERR_DENIED, "it says that it is round 1"},
    {lie_skip, 2, ERR_DENIED, "it says that it is round 0"},
    {lie_study, 3, ERR_DENIED, "it belongs to another study"},
    {lie_plan, 2, ERR_DENIED, "does not descend from"},
    {lie_stale, 2, ERR_DENIED, "it had to be refused, wrong-round"},
    {lie_other_base, 2, ERR_DENIED, "it had to be refused, wrong-base"},
    {lie_weight, 2, ERR_DENIED, "it had to be refused, bad-weight"},
    {lie_forged, 2, ERR_DENIED, "it had to be refused, unknown-site"},
    {lie_roster_unlinked, 2, ERR_DENIED, "does not descend from"},
    {lie_roster_shorter, 2, ERR_DENIED, "the later roster has 2 sites"},
    {lie_roster_reordered, 2, ERR_DENIED, "site 0 was hospital-a and is now hospital-b"},
    {lie_ended_site, 2, ERR_DENIED, "site hospital-c, which the roster does not admit"},
};

static void test_each_lie_is_found_in_its_round_with_its_sentence(void **state)
{
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct chain c;
        struct verify_result found = {0};
        struct err err = {0};
        assert_int_equal(scratch_setup(state), 0);
        chain_init(&c, &three_sites);
        while (c.round < lies[i].round)
            chain_play(&c, NULL);
        struct cid liar = chain_play(&c, lies[i].lie);
        int rc = chain_verify(NULL, &found, &err);
        if (rc != lies[i].code || strstr(err.text, lies[i].sentence) == NULL)
            fail_msg("lie %zu: expected \"%s\", got %d: %s", i, lies[i].sentence, rc, err.text);
        if (lies[i].lie != lie_round && lies[i].lie != lie_skip && lies[i].lie != lie_study)
            assert_true(cid_equal(&found.bad_record, &liar));
        chain_fini(&c);
        assert_int_equal(scratch_teardown(state), 0);
    }
    assert_int_equal(scratch_setup(state), 0); /* for the teardown of this test */
}

static void test_a_lie_that_honest_rounds_follow_is_named(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    struct err err = {0};
    char text[CID_TEXT_MAX], start[CID_TEXT_MAX + 64];
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    struct cid liar = chain_play(&c, lie_next);
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    assert_int_equal(chain_verify(NULL, &found, &err), ERR_DENIED);
    assert_true(cid_equal(&found.bad_record, &liar));
    snprintf(start, sizeof start, "round 2, record %s: ", cid_format(&liar, text));
    assert_ptr_equal(strstr(err.text, start), err.text);
    chain_fini(&c);
}

static void test_only_the_coordinator_of_the_roster_closes_rounds(void **state)
{
    (void)state;
    struct chain c;
    struct round_record r;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    struct key_public key = key_public(c.f.coordinator);
    MUST(study_get(c.f.store, &c.prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &c.f.study_id, &key, &r, err));
    chain_sign(&c, &r, c.f.founder);
    chain_expect_no("the coordinator", ERR_DENIED);
    round_record_fini(&r);
    buf_fini(&block);
    chain_fini(&c);
}

static void test_a_round_past_the_plan_is_a_lie(void **state)
{
    (void)state;
    struct chain c;
    struct round_record r;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    chain_init(&c, &three_sites);
    while (c.round <= 5)
        chain_play(&c, NULL);
    struct key_public key = key_public(c.f.coordinator);
    MUST(study_get(c.f.store, &c.prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &c.f.study_id, &key, &r, err));
    r.round = 6;
    r.prev = c.prev;
    chain_sign(&c, &r, c.f.coordinator);
    chain_expect_no("the plan ends after round 5", ERR_DENIED);
    round_record_fini(&r);
    buf_fini(&block);
    chain_fini(&c);
}

/* --- rosters that grow --- */

static void test_a_roster_may_grow_in_several_steps_between_two_rounds(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    struct round_record made = {.round = 0};
    chain_init(&c, &(struct fixture_options){.sites = 3});
    c.f.site_count = 1; /* the first roster has one site, then there are two, then three */
    c.answering = 1;
    set_roster(&c, &made, &(struct cid){0}, c.f.roster.sites, 1);
    c.roster = made.roster;
    chain_play(&c, NULL);
    set_roster(&c, &made, &made.roster, c.f.roster.sites, 2);
    struct cid between = made.roster;
    set_roster(&c, &made, &made.roster, c.f.roster.sites, 3);
    c.roster = made.roster;
    c.f.site_count = c.answering = 3;
    chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 2);
    MUST(store_delete(c.f.store, &between, err));
    chain_expect_no("earlier roster", ERR_NOTFOUND);
    struct verify_options worker = {.worker = true};
    MUST(chain_verify(&worker, &found, err)); /* it was told of the last one only */
    chain_fini(&c);
}

/* --- what is gone --- */

static void keep_two(struct plan *plan)
{
    plan->keep_updates = 2;
    plan->keep_models = 2;
}

static void remove_pack(struct chain *c, size_t site, uint64_t round)
{
    char path[FILES_PATH_MAX];
    MUST(study_pack_path(scratch, &c->f.sites[site].site.cid, round, path, err));
    assert_int_equal(unlink(path), 0);
}

static void test_what_the_plan_lets_go_is_signatures_only(void **state)
{
    (void)state;
    struct chain c;
    struct told told = {0};
    struct verify_result found = {0};
    struct cid models[6];
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = keep_two});
    models[0] = c.base;
    while (c.round <= 4) {
        chain_play(&c, NULL);
        models[c.round - 1] = c.base;
    }
    for (size_t i = 0; i < 3; i++) {
        remove_pack(&c, i, 1);
        remove_pack(&c, i, 2);
    }
    for (size_t i = 0; i <= 2; i++)
        MUST(store_model_delete(c.f.store, &models[i], err));
    struct verify_options o = {.round = tell, .self = &told};
    MUST(chain_verify(&o, &found, err));
    assert_int_equal(found.rounds, 4);
    assert_int_equal(found.recomputed, 1); /* of round 3 the base is gone */
    assert_int_equal(told.depths[2], VERIFY_SIGNATURES);
    assert_int_equal(told.depths[3], VERIFY_FULL);
    MUST(store_model_delete(c.f.store, &models[3], err));
    chain_expect_no("is not held, though the plan keeps it", ERR_NOTFOUND);
    chain_fini(&c);
}

static void test_a_missing_update_or_final_model_is_a_no(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = keep_two});
    while (c.round <= 3)
        chain_play(&c, NULL);
    remove_pack(&c, 1, 1);
    MUST(chain_verify(NULL, NULL, err));
    remove_pack(&c, 1, 3);
    chain_expect_no("it is not held, though the plan does not let it go", ERR_NOTFOUND);
    chain_fini(&c);
}

static void test_a_worker_need_not_hold_what_is_not_its_own(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    struct verify_options worker = {.worker = true};
    chain_init(&c, &three_sites);
    while (c.round <= 3)
        chain_play(&c, NULL);
    for (uint64_t round = 1; round <= 3; round++) {
        remove_pack(&c, 0, round);
        remove_pack(&c, 2, round);
    }
    MUST(chain_verify(&worker, &found, err));
    assert_int_equal(found.recomputed, 0);
    assert_true(found.final_held);
    MUST(store_model_delete(c.f.store, &c.base, err));
    MUST(chain_verify(&worker, &found, err));
    assert_false(found.final_held);
    chain_fini(&c);
}

static void test_a_worker_checks_its_own_update_all_the_same(void **state)
{
    (void)state;
    struct chain c;
    struct verify_options worker = {.worker = true};
    struct err err = {0};
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    chain_play(&c, lie_weight);
    remove_pack(&c, 1, 2);
    remove_pack(&c, 2, 2);
    assert_int_equal(chain_verify(&worker, NULL, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "bad-weight"));
    chain_fini(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_study_is_recomputed_round_by_round),
        TEST(test_without_an_anchor_the_study_found_is_told),
        TEST(test_another_anchor_is_a_no),
        TEST(test_a_folder_without_a_closed_round_has_nothing_to_verify),
        TEST(test_an_older_head_can_be_asked_about),
        TEST(test_a_record_in_a_pack_that_is_not_its_signers_is_no_lie),
        TEST(test_three_rounds_may_fail_in_a_row_and_no_fourth_may_come),
        TEST(test_a_round_between_failed_ones_begins_the_count_anew),
        TEST(test_each_lie_is_found_in_its_round_with_its_sentence),
        TEST(test_a_lie_that_honest_rounds_follow_is_named),
        TEST(test_only_the_coordinator_of_the_roster_closes_rounds),
        TEST(test_a_round_past_the_plan_is_a_lie),
        TEST(test_a_roster_may_grow_in_several_steps_between_two_rounds),
        TEST(test_what_the_plan_lets_go_is_signatures_only),
        TEST(test_a_missing_update_or_final_model_is_a_no),
        TEST(test_a_worker_need_not_hold_what_is_not_its_own),
        TEST(test_a_worker_checks_its_own_update_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
