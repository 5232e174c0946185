/* SPDX-License-Identifier: Apache-2.0 */
/* What a round's record says of its sites' answers is believed only as far as these show it: here
 * the refusals, verify_test.c has the rest. */
#include "tests/study/verify_chain.h"

static const struct fixture_options three_sites = {.sites = 3};

/* --- what may be listed --- */

static void test_a_refused_site_is_no_lie(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    c.refused_site = 1;
    c.refused_round = 2;
    while (c.round <= 3)
        chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 3);
    chain_fini(&c);
}

/* --- what may not --- */

/* Refusals: of another round, and of a site that has an update in the same list. */
static void refuse(struct chain *c, struct round_record *r, uint64_t round, size_t site)
{
    const struct check_result found = {.code = REFUSAL_BAD_WEIGHT, .sentence = "none"};
    uint64_t now = c->round;
    c->round = round;
    r->refused[r->refused_count++] = chain_refuse(c, site, &c->records[site], &found);
    c->round = now;
    r->update_count = 2; /* as many answers as sites */
}

static void lie_refused_elsewhere(struct chain *c, struct round_record *r)
{
    refuse(c, r, r->round + 1, 2);
}

static void lie_refused_too(struct chain *c, struct round_record *r)
{
    refuse(c, r, r->round, 1);
}

static void lie_refused_twice(struct chain *c, struct round_record *r)
{
    refuse(c, r, r->round, 2);
    r->refused[r->refused_count++] = r->refused[0];
    r->update_count = 1;
}

/* A second record of site 0 in its pack, and whose; `r` accuses the site of two stories by it. */
static struct cid tell_second(struct chain *c, uint64_t round, uint64_t examples, size_t signer)
{
    struct pack *pack = fixture_pack(&c->f, 0, c->round);
    struct update u = fixture_update(&c->f, round, &c->base, examples);
    u.delta = fixture_index(&c->f, pack, 0.25f);
    struct cid record = fixture_sign(&c->f, pack, signer, &u);
    pack_close(pack);
    return record;
}

static void accuse(struct chain *c, struct round_record *r, size_t site, const struct cid *record)
{
    const struct check_result found = {.code = REFUSAL_EQUIVOCATION, .sentence = "two stories"};
    r->refused[r->refused_count++] = chain_refuse(c, site, record, &found);
}

static void told_two_stories(struct chain *c, struct round_record *r)
{
    struct cid second = tell_second(c, r->round, 11, 0);
    accuse(c, r, 0, &second);
    r->received += 500;
}

static void lie_proof_lacking(struct chain *c, struct round_record *r)
{
    struct cid record = fixture_cid(4);
    accuse(c, r, 0, &record);
}

static void lie_proof_nameless(struct chain *c, struct round_record *r)
{
    struct cid none = {.size = 0};
    accuse(c, r, 0, &none);
}

static void lie_proof_is_no_record(struct chain *c, struct round_record *r)
{
    struct pack *pack = fixture_pack(&c->f, 0, c->round);
    struct cid record = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("no record"));
    pack_close(pack);
    accuse(c, r, 0, &record);
}

static void lie_proof_is_the_first(struct chain *c, struct round_record *r)
{
    accuse(c, r, 0, &c->records[0]);
}

static void lie_proof_of_another_site(struct chain *c, struct round_record *r)
{
    struct cid record = tell_second(c, r->round, 11, 1);
    accuse(c, r, 0, &record);
}

static void lie_proof_of_another_round(struct chain *c, struct round_record *r)
{
    struct cid record = tell_second(c, r->round + 1, 11, 0);
    accuse(c, r, 0, &record);
}

static void lie_proven_twice(struct chain *c, struct round_record *r)
{
    struct cid second = tell_second(c, r->round, 11, 0), third = tell_second(c, r->round, 12, 0);
    accuse(c, r, 0, &second);
    accuse(c, r, 0, &third);
}

static void lie_no_first(struct chain *c, struct round_record *r)
{
    accuse(c, r, 2, &c->records[2]);
    r->update_count = 2;
}

static void lie_proof_out_of_order(struct chain *c, struct round_record *r)
{
    refuse(c, r, r->round, 2);
    told_two_stories(c, r);
}

static const struct {
    lie_function *lie;
    int code;
    const char *sentence;
} lies[] = {
    {lie_refused_elsewhere, ERR_DENIED, "it is of another round or plan"},
    {lie_refused_too, ERR_DENIED, "another answer of site hospital-b is listed"},
    {lie_refused_twice, ERR_DENIED, "another answer of site hospital-c is listed"},
    {lie_proof_lacking, ERR_NOTFOUND, "its proof"},
    {lie_proof_nameless, ERR_NOTFOUND, "its proof"},
    {lie_proof_is_no_record, ERR_MALFORMED, "its proof"},
    {lie_proof_is_the_first, ERR_DENIED, "its proof is the update that was accepted"},
    {lie_proof_of_another_site, ERR_DENIED, "its proof is not signed by the site"},
    {lie_proof_of_another_round, ERR_DENIED, "its proof is of another round"},
    {lie_proven_twice, ERR_DENIED, "another proof against site hospital-a is listed"},
    {lie_no_first, ERR_DENIED, "a second update of site hospital-c, without a first"},
    {lie_proof_out_of_order, ERR_DENIED, "it is not listed in the roster's order"},
};

static void test_two_stories_with_both_at_hand_are_no_lie(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    chain_init(&c, &three_sites);
    chain_play(&c, told_two_stories);
    chain_play(&c, told_two_stories);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.recomputed, 2);
    chain_fini(&c);
}

static void keep_two(struct plan *plan)
{
    plan->keep_updates = 2;
    plan->keep_models = 2;
}

static void test_a_proof_that_went_with_its_pack_is_no_lie(void **state)
{
    (void)state;
    struct chain c;
    struct verify_result found = {0};
    char path[FILES_PATH_MAX];
    chain_init(&c, &(struct fixture_options){.sites = 3, .edit = keep_two});
    chain_play(&c, NULL);
    chain_play(&c, told_two_stories);
    MUST(study_pack_path(scratch, &c.f.sites[0].site.cid, 2, path, err));
    assert_int_equal(unlink(path), 0); /* too early */
    chain_expect_no("it is not held, though the plan does not let it go", ERR_NOTFOUND);
    while (c.round <= 4)
        chain_play(&c, NULL);
    MUST(chain_verify(NULL, &found, err));
    assert_int_equal(found.rounds, 4);
    chain_fini(&c);
}

static void test_each_lie_is_found_with_its_sentence(void **state)
{
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct chain c;
        struct verify_result found = {0};
        struct err err = {0};
        assert_int_equal(scratch_setup(state), 0);
        chain_init(&c, &three_sites);
        chain_play(&c, NULL);
        struct cid liar = chain_play(&c, lies[i].lie);
        int rc = chain_verify(NULL, &found, &err);
        if (rc != lies[i].code || strstr(err.text, lies[i].sentence) == NULL)
            fail_msg("lie %zu: expected \"%s\", got %d: %s", i, lies[i].sentence, rc, err.text);
        assert_true(cid_equal(&found.bad_record, &liar));
        chain_fini(&c);
        assert_int_equal(scratch_teardown(state), 0);
    }
    assert_int_equal(scratch_setup(state), 0); /* for the teardown of this test */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_refused_site_is_no_lie),
        TEST(test_two_stories_with_both_at_hand_are_no_lie),
        TEST(test_a_proof_that_went_with_its_pack_is_no_lie),
        TEST(test_each_lie_is_found_with_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
