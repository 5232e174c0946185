/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/verify_chain.h"

#include "worker/lineage.h"

#define SITE 1 /* whose worker this is */

static atomic_bool no, yes = true;

/* A worker beside a study played by the library: its blocks come from the study's store, one by
 * one, into a store of its own. */
struct site_of_test {
    struct chain chain;
    struct store *own;
    struct home home;
    struct world world;
    struct lineage lineage;
    size_t fetched;    /* blocks that were not here */
    struct cid absent; /* the network does not have it */
};

static int fetch_block(void *self, struct store *store, const struct cid *cid, struct buf *out,
                       struct err *err)
{
    struct site_of_test *s = self;
    int rc = store_get(store, cid, out, NULL);
    if (rc != ERR_NOTFOUND)
        return rc;
    s->fetched++;
    if (cid_equal(cid, &s->absent))
        return err_set(err, ERR_NET, "cut by the test");
    rc = store_get(s->chain.f.store, cid, out, err);
    return rc != 0 ? rc : store_put(store, cid, buf_bytes(out), err);
}

static void begin(struct site_of_test *s)
{
    struct fixture *f = &s->chain.f;
    memset(s, 0, sizeof *s);
    chain_init(&s->chain, &(struct fixture_options){.sites = 3});
    MUST(store_open(files_posix(), in_scratch("own"), STORE_WRITE, &s->own, err));
    s->home.invitation = (struct invitation){.study = f->study_id,
                                             .plan = f->plan_id,
                                             .founder = key_public(f->founder),
                                             .coordinator = key_public(f->coordinator)};
    s->home.site = f->sites[SITE].site;
    s->world = (struct world){.self = s, .files = files_posix(), .fetch_block = fetch_block};
    lineage_init(&s->lineage, &s->world, s->own, &s->home);
}

static void end(struct site_of_test *s)
{
    lineage_fini(&s->lineage);
    store_close(s->own);
    chain_fini(&s->chain);
}

/* --- asking --- */

/* The task of the round that the chain has come to, as an honest coordinator gives it. */
static struct task_order order_of(const struct site_of_test *s)
{
    const struct chain *c = &s->chain;
    struct task_order o;
    memset(&o, 0, sizeof o);
    o.round = c->round;
    o.site = SITE;
    snprintf(o.rule, sizeof o.rule, "%s", plan_rule(&c->f.study.plan, c->round)->name);
    o.plan = c->f.plan_id;
    o.roster = c->roster;
    o.prev = c->prev;
    o.base = c->base;
    return o;
}

/* From the charter to `top`. */
static struct lineage_walk walk_to(const struct site_of_test *s, const struct task_head *top)
{
    struct task_head charter = {0, s->chain.f.study_id};
    return (struct lineage_walk){.from = charter, .through = *top, .top = *top, .cancel = &no};
}

static struct task_head newest(const struct site_of_test *s)
{
    return (struct task_head){s->chain.round - 1, s->chain.prev};
}

struct asked {
    int rc;
    enum verdict verdict;
    struct lineage_found found;
    struct err why;
};

static struct asked follow(struct site_of_test *s, const struct lineage_walk *w)
{
    struct asked a = {.rc = 0};
    a.rc = lineage_study(&s->lineage, &s->home.invitation.plan, &a.verdict, &a.why);
    if (a.rc == 0)
        a.rc = lineage_follow(&s->lineage, w, &a.found, &a.verdict, &a.why);
    return a;
}

static struct asked ask(struct site_of_test *s, const struct task_order *o)
{
    struct task_head top = {o->round - 1, o->prev};
    struct lineage_walk w = walk_to(s, &top);
    struct asked a = follow(s, &w);
    if (a.rc == 0)
        a.rc = lineage_order(&s->lineage, o, &a.found, &a.verdict, &a.why);
    return a;
}

static void expect_fit(struct site_of_test *s, const struct task_order *o)
{
    struct asked a = ask(s, o);
    if (a.rc != 0 || a.verdict != VERDICT_FIT)
        fail_msg("%s: %s", verdict_name(a.verdict), a.why.text);
}

static void expect_verdict(struct asked a, enum verdict v)
{
    if (a.rc == 0 || a.verdict != v)
        fail_msg("expected %s, got %s: %s", verdict_name(v), verdict_name(a.verdict),
                 a.rc == 0 ? "fit" : a.why.text);
}

/* --- honest studies --- */

static void test_every_task_of_an_honest_study_is_fit(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    for (uint64_t round = 1; round <= 5; round++) {
        struct task_order o = order_of(&s);
        expect_fit(&s, &o);
        chain_play(&s.chain, NULL);
    }
    end(&s);
}

static void test_a_site_that_joins_late_follows_all_records_to_the_charter(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    for (uint64_t round = 1; round <= 4; round++)
        chain_play(&s.chain, NULL);
    struct task_order o = order_of(&s);
    expect_fit(&s, &o);
    /* charter, plan, layout, roster, three sites, four rounds */
    assert_int_equal(s.fetched, 11);
    end(&s);
}

static void test_what_is_proven_is_not_walked_again(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_head proven = newest(&s);
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.from = proven;
    s.absent = proven.record;
    struct asked a = follow(&s, &w);
    assert_int_equal(a.rc, 0);
    assert_true(cid_equal(&a.found.next, &s.chain.base));
    end(&s);
}

static void test_a_walk_of_no_steps_still_finds_the_model(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.from = top;
    struct asked a = follow(&s, &w);
    assert_int_equal(a.rc, 0);
    assert_true(cid_equal(&a.found.next, &s.chain.base));
    assert_true(cid_equal(&a.found.roster, &s.chain.roster));
    end(&s);
}

static void test_a_cut_network_is_no_verdict_and_the_next_try_goes_on(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_order o = order_of(&s);
    struct cid blocks[] = {s.chain.f.study_id, s.chain.f.plan_id, s.chain.f.study.plan.layout,
                           s.chain.prev, s.chain.roster};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        s.absent = blocks[i];
        struct asked a = ask(&s, &o);
        assert_int_equal(a.rc, ERR_NET);
        assert_int_equal(a.verdict, VERDICT_FIT);
    }
    s.absent = (struct cid){.size = 0};
    expect_fit(&s, &o);
    end(&s);
}

static void test_a_cancelled_walk_ends(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.cancel = &yes;
    struct asked a = follow(&s, &w);
    assert_int_equal(a.rc, ERR_TIMEOUT);
    assert_int_equal(a.verdict, VERDICT_FIT);
    end(&s);
}

static void test_an_update_is_found_among_those_that_its_round_counted(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct cid ours = s.chain.records[SITE];
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.watched = ours;
    w.watched_round = 1;
    struct asked a = follow(&s, &w);
    assert_true(a.found.watched_seen && a.found.watched_counted);
    w.watched = fixture_cid(99);
    a = follow(&s, &w);
    assert_true(a.found.watched_seen && !a.found.watched_counted);
    w.watched_round = 7;
    a = follow(&s, &w);
    assert_false(a.found.watched_seen);
    end(&s);
}

static void test_the_model_before_is_found_past_rounds_that_changed_nothing(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    struct cid before[6], none;
    for (uint64_t round = 1; round <= 5; round++) {
        before[round] = s.chain.base;
        chain_play(&s.chain, NULL);
    }
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    assert_int_equal(follow(&s, &w).rc, 0);
    /* Round 5 evaluated: its base is its next, and round 4's base the one before. */
    struct cid older = lineage_older_model(&s.lineage, &top.record, &s.chain.base);
    assert_true(cid_equal(&older, &before[4]));
    none = lineage_older_model(&s.lineage, &s.chain.f.study_id, &s.chain.base);
    assert_true(cid_is_none(&none));
    end(&s);
}

/* --- tasks that are not what the records say --- */

static void test_each_wrong_field_of_a_task_has_its_verdict(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_order good = order_of(&s), o = good;
    o.base = s.chain.f.model;
    expect_verdict(ask(&s, &o), VERDICT_WRONG_BASE);
    o = good;
    snprintf(o.rule, sizeof o.rule, "evaluate");
    expect_verdict(ask(&s, &o), VERDICT_WRONG_RULE);
    o = good;
    o.exchange = 1;
    expect_verdict(ask(&s, &o), VERDICT_WRONG_RULE);
    o = good;
    o.site = 0;
    expect_verdict(ask(&s, &o), VERDICT_WRONG_ROSTER);
    o.site = 3;
    expect_verdict(ask(&s, &o), VERDICT_WRONG_ROSTER);
    o = good;
    o.roster = s.chain.f.plan_id; /* a record, but no roster */
    expect_verdict(ask(&s, &o), VERDICT_WRONG_ROSTER);
    o = good;
    o.prev = s.chain.f.plan_id; /* a record, but no round */
    expect_verdict(ask(&s, &o), VERDICT_WRONG_RECORD);
    expect_fit(&s, &good);
    end(&s);
}

static void test_the_first_round_starts_from_the_plans_model(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    struct task_order o = order_of(&s);
    expect_fit(&s, &o);
    o.base = fixture_cid(5);
    expect_verdict(ask(&s, &o), VERDICT_WRONG_BASE);
    end(&s);
}

static void test_a_round_past_the_schedule_is_refused(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    struct task_order o = order_of(&s);
    for (uint64_t round = 1; round <= 5; round++)
        chain_play(&s.chain, NULL);
    o.round = 6;
    o.prev = s.chain.prev;
    o.base = s.chain.base;
    expect_verdict(ask(&s, &o), VERDICT_WRONG_RULE);
    end(&s);
}

/* --- histories that do not hang together --- */

static void test_another_history_does_not_lead_back_to_what_is_proven(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.from = (struct task_head){1, fixture_cid(66)};
    expect_verdict(follow(&s, &w), VERDICT_NOT_DESCENDING);
    w.from = (struct task_head){3, fixture_cid(66)};
    expect_verdict(follow(&s, &w), VERDICT_NOT_DESCENDING);
    end(&s);
}

static void test_a_history_must_pass_through_every_head_that_was_signed(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    chain_play(&s.chain, NULL);
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    w.through = (struct task_head){1, fixture_cid(66)};
    expect_verdict(follow(&s, &w), VERDICT_NOT_DESCENDING);
    end(&s);
}

static void say_another_round(struct chain *c, struct round_record *r)
{
    (void)c;
    r->round++;
}

static void say_another_plan(struct chain *c, struct round_record *r)
{
    (void)c;
    r->plan = fixture_cid(44);
}

static void say_another_study(struct chain *c, struct round_record *r)
{
    (void)c;
    r->study = fixture_cid(44);
}

static void say_another_roster(struct chain *c, struct round_record *r)
{
    r->roster = c->f.plan_id;
}

static void test_a_record_that_lies_about_its_place_is_refused(void **state)
{
    (void)state;
    static const struct {
        lie_function *lie;
        enum verdict verdict;
    } lies[] = {{say_another_round, VERDICT_WRONG_RECORD},
                {say_another_plan, VERDICT_WRONG_RECORD},
                {say_another_study, VERDICT_WRONG_RECORD},
                {say_another_roster, VERDICT_WRONG_ROSTER}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct site_of_test s;
        begin(&s);
        chain_play(&s.chain, lies[i].lie);
        struct task_head top = newest(&s);
        struct lineage_walk w = walk_to(&s, &top);
        expect_verdict(follow(&s, &w), lies[i].verdict);
        end(&s);
        scratch_teardown(NULL);
        scratch_setup(NULL);
    }
}

static void test_records_signed_by_anybody_else_are_refused(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    struct key *coordinator = s.chain.f.coordinator;
    s.chain.f.coordinator = s.chain.f.sites[0].ed25519; /* a site plays coordinator */
    chain_play(&s.chain, NULL);
    s.chain.f.coordinator = coordinator;
    struct task_head top = newest(&s);
    struct lineage_walk w = walk_to(&s, &top);
    expect_verdict(follow(&s, &w), VERDICT_WRONG_RECORD);
    end(&s);
}

/* --- founders and coordinators that are not the invitation's --- */

static void test_a_plan_of_another_founder_is_refused(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    s.home.invitation.founder = key_public(s.chain.f.coordinator);
    struct task_order o = order_of(&s);
    expect_verdict(ask(&s, &o), VERDICT_WRONG_PLAN);
    end(&s);
}

static void test_a_roster_that_names_another_coordinator_is_refused(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    s.home.invitation.coordinator = key_public(s.chain.f.founder);
    struct task_order o = order_of(&s);
    expect_verdict(ask(&s, &o), VERDICT_WRONG_ROSTER);
    end(&s);
}

/* A roster of the founder's with the sites in another order, stored. */
static struct cid shuffled_roster(struct fixture *f)
{
    struct roster_site sites[FIXTURE_SITES_MAX];
    struct roster r = {.prev = f->roster_id,
                       .coordinator = key_public(f->coordinator),
                       .count = f->roster.count,
                       .sites = sites};
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    for (size_t i = 0; i < r.count; i++)
        sites[i] = f->roster.sites[i == SITE ? SITE : r.count - 1 - i];
    MUST(roster_make(&r, &f->study_id, f->founder, &block, &cid, err));
    fixture_put(f, &block);
    buf_fini(&block);
    return cid;
}

static void test_a_roster_that_does_not_keep_the_last_ones_order_is_refused(void **state)
{
    (void)state;
    struct site_of_test s;
    begin(&s);
    chain_play(&s.chain, NULL);
    struct task_order o = order_of(&s);
    o.roster = shuffled_roster(&s.chain.f);
    expect_verdict(ask(&s, &o), VERDICT_WRONG_ROSTER);
    end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_task_of_an_honest_study_is_fit),
        TEST(test_a_site_that_joins_late_follows_all_records_to_the_charter),
        TEST(test_what_is_proven_is_not_walked_again),
        TEST(test_a_walk_of_no_steps_still_finds_the_model),
        TEST(test_a_cut_network_is_no_verdict_and_the_next_try_goes_on),
        TEST(test_a_cancelled_walk_ends),
        TEST(test_an_update_is_found_among_those_that_its_round_counted),
        TEST(test_the_model_before_is_found_past_rounds_that_changed_nothing),
        TEST(test_each_wrong_field_of_a_task_has_its_verdict),
        TEST(test_the_first_round_starts_from_the_plans_model),
        TEST(test_a_round_past_the_schedule_is_refused),
        TEST(test_another_history_does_not_lead_back_to_what_is_proven),
        TEST(test_a_history_must_pass_through_every_head_that_was_signed),
        TEST(test_a_record_that_lies_about_its_place_is_refused),
        TEST(test_records_signed_by_anybody_else_are_refused),
        TEST(test_a_plan_of_another_founder_is_refused),
        TEST(test_a_roster_that_names_another_coordinator_is_refused),
        TEST(test_a_roster_that_does_not_keep_the_last_ones_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
