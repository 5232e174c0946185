/* SPDX-License-Identifier: Apache-2.0 */
/* What verify says of a server optimiser's state; beside verify_test.c, which has none. */
#include "tests/study/verify_chain.h"

static enum optimiser kind;
static uint64_t keep_models;

/* moments 1, fedavg 3, evaluate 1 */
static void with_optimiser(struct plan *plan)
{
    bool adaptive = optimiser_slots(kind) == 2;
    plan->optimiser =
        (struct optimiser_setting){.kind = kind,
                                   .rate = 0.1,
                                   .beta1 = 0.9,
                                   .beta2 = adaptive && kind != OPTIMISER_FEDADAGRAD ? 0.99 : 0,
                                   .tau = adaptive ? 1e-3 : 0};
    plan->keep_models = keep_models;
}

static const struct fixture_options three_sites = {.sites = 3, .edit = with_optimiser};

static struct cid states[6]; /* after each round */

static void play_all(struct chain *c)
{
    while (c->round <= 5) {
        uint64_t round = c->round;
        chain_play(c, NULL);
        states[round] = c->state;
    }
}

static int setup(void **state)
{
    kind = OPTIMISER_FEDADAM;
    keep_models = 0;
    memset(states, 0, sizeof states);
    return scratch_setup(state);
}

static void test_a_study_with_any_optimiser_is_recomputed(void **state)
{
    for (kind = OPTIMISER_FEDAVGM; kind <= OPTIMISER_FEDYOGI; kind++) {
        struct chain c;
        struct verify_result found = {0};
        chain_init(&c, &three_sites);
        play_all(&c);
        MUST(chain_verify(NULL, &found, err));
        assert_int_equal(found.recomputed, 5);
        assert_true(cid_is_none(&states[1]));
        for (size_t i = 2; i <= 4; i++)
            assert_false(cid_equal(&states[i], &states[i - 1]));
        assert_true(cid_equal(&states[5], &states[4]));
        chain_fini(&c);
        assert_int_equal(scratch_teardown(state), 0);
        assert_int_equal(scratch_setup(state), 0);
    }
}

/* --- lies --- */

static void lie_none(struct chain *c, struct round_record *r)
{
    (void)c;
    r->state = (struct cid){0};
}

static void lie_before(struct chain *c, struct round_record *r)
{
    r->state = c->state;
}

static void lie_other(struct chain *c, struct round_record *r)
{
    (void)c;
    r->state = cid_of(CID_RAW, bytes_of_text("another"));
}

static void lie_first(struct chain *c, struct round_record *r)
{
    (void)c;
    r->state = states[2];
}

static void test_a_lie_about_the_state_is_found_in_its_round(void **state)
{
    static const struct {
        lie_function *lie;
        uint64_t round;
        const char *sentence;
    } lies[] = {
        {lie_other, 1, "left -"}, /* moments does not step */
        {lie_none, 2, "it names no state of the plan's optimiser fedadam"},
        {lie_other, 2, "where its updates give"},
        {lie_before, 3, "where its updates give"},
        {lie_first, 4, "where its updates give"},
        {lie_none, 5, "its optimiser's state is - where the round before left"},
        {lie_first, 5, "where the round before left"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct chain c;
        char round[32];
        struct err err = {0};
        chain_init(&c, &three_sites);
        while (c.round <= lies[i].round) {
            uint64_t now = c.round;
            chain_play(&c, now == lies[i].round ? lies[i].lie : NULL);
            states[now] = c.state;
        }
        chain_expect_no(lies[i].sentence, ERR_DENIED);
        (void)chain_verify(NULL, NULL, &err);
        snprintf(round, sizeof round, "round %u,", (unsigned)lies[i].round);
        assert_non_null(strstr(err.text, round));
        chain_fini(&c);
        assert_int_equal(scratch_teardown(state), 0);
        assert_int_equal(scratch_setup(state), 0);
    }
}

/* The next model and the state belong together: a coordinator that went on from an older state is
 * found by the model that came of it. */
static void forget_a_round(struct chain *c, struct round_record *r)
{
    (void)r;
    c->state = states[2];
}

static void test_a_round_from_an_older_state_is_found(void **state)
{
    (void)state;
    struct chain c;
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    states[2] = c.state;
    chain_play(&c, NULL);
    c.state = states[2];
    chain_play(&c, forget_a_round);
    chain_expect_no("round 4", ERR_DENIED);
    chain_fini(&c);
}

static void test_a_failed_round_hands_the_state_on(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    states[2] = c.state;
    c.answering = 0;
    chain_play(&c, NULL);
    assert_true(cid_equal(&c.state, &states[2]));
    c.answering = 3;
    chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 4);
    c.answering = 0;
    chain_play(&c, lie_first);
    chain_expect_no("where the round before left", ERR_DENIED);
    chain_fini(&c);
}

/* --- what is not here --- */

static const char *state_path(const struct cid *cid)
{
    char text[CID_TEXT_MAX], name[128];
    snprintf(name, sizeof name, "shared/models/%.59s.safetensors", cid_format(cid, text));
    return in_scratch(name);
}

static void test_a_damaged_or_missing_state_is_named(void **state)
{
    (void)state;
    struct chain c;
    char text[CID_TEXT_MAX];
    chain_init(&c, &three_sites);
    play_all(&c);
    for (size_t i = 2; i <= 4; i++) {
        struct buf file = read_file(state_path(&states[i]));
        damage_file(state_path(&states[i]), (long)file.size - 2, 1);
        chain_expect_no(cid_format(&states[i], text), ERR_CORRUPT);
        assert_int_equal(unlink(state_path(&states[i])), 0);
        chain_expect_no("is not held, though the plan keeps it", ERR_NOTFOUND);
        write_file(state_path(&states[i]), buf_bytes(&file));
        buf_fini(&file);
    }
    MUST(chain_verify(NULL, NULL, err));
    chain_fini(&c);
}

/* After round 4 the models, and the states, of rounds 3 and 4 are held. */
static void test_a_state_gone_by_plan_leaves_signatures(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    keep_models = 2;
    chain_init(&c, &three_sites);
    while (c.round <= 4) {
        uint64_t round = c.round;
        chain_play(&c, NULL);
        states[round] = c.state;
    }
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 4);
    assert_int_equal(unlink(state_path(&states[2])), 0);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 3); /* round 3 began from it */
    assert_int_equal(unlink(state_path(&states[3])), 0);
    chain_expect_no("is not held, though the plan keeps it", ERR_NOTFOUND);
    struct verify_options worker = {.worker = true}; /* it never needs one */
    MUST(chain_verify(&worker, &found, err));
    assert_int_equal(found.recomputed, 2);
    chain_fini(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_study_with_any_optimiser_is_recomputed),
        TEST(test_a_lie_about_the_state_is_found_in_its_round),
        TEST(test_a_round_from_an_older_state_is_found),
        TEST(test_a_failed_round_hands_the_state_on),
        TEST(test_a_damaged_or_missing_state_is_named),
        TEST(test_a_state_gone_by_plan_leaves_signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
