/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

static struct desk d;

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static bool pack_is_there(uint32_t site, uint64_t round)
{
    char path[FILES_PATH_MAX];
    MUST(study_pack_path(desk_dir(), &d.f.sites[site].site.cid, round, path, err));
    return files_exists(files_posix(), path);
}

static void test_updates_and_models_go_when_the_plan_says(void **state)
{
    (void)state;
    struct cid models[5];
    struct verify_result found;
    desk_open(&d, &(struct desk_options){
                      .sites = 2, .schedule = "fedavg 5", .keep_updates = 2, .keep_models = 1});
    desk_gather(&d);
    models[0] = d.c->study.plan.model;
    for (uint64_t round = 1; round <= 4; round++) {
        desk_round(&d, 1);
        desk_run(&d);
        models[round] = d.c->round->base;
        for (uint64_t i = 1; i <= round; i++)
            assert_int_equal(pack_is_there(0, i), i + 2 > round);
        for (uint64_t i = 0; i <= round; i++)
            if (store_model_has(d.c->store, &models[i]) != (i + 1 > round || round == 1))
                fail_msg("after round %u: model %u", (unsigned)round, (unsigned)i);
    }
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.rounds, 4);
}

/* A model and its state, present or gone together. */
static bool state_is_there(const struct cid *model, const struct cid *state)
{
    bool there = store_model_has(d.c->store, state);
    assert_int_equal(there, store_model_has(d.c->store, model));
    return there;
}

static void test_a_state_stays_as_long_as_its_model(void **state)
{
    (void)state;
    struct cid models[6], states[6];
    struct verify_result found;
    desk_open(&d,
              &(struct desk_options){
                  .sites = 2, .schedule = "fedavg 5", .keep_models = 2, .optimiser = "fedavgm"});
    desk_gather(&d);
    for (uint64_t round = 1; round <= 4; round++) {
        desk_round(&d, 1);
        desk_run(&d);
        models[round] = d.c->round->base;
        states[round] = d.c->round->state;
        for (uint64_t i = 1; i <= round; i++)
            assert_int_equal(state_is_there(&models[i], &states[i]), i + 2 > round);
    }
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.rounds, 4);
    assert_int_equal(found.recomputed, 1); /* only round 4 has its base and its state */
}

/* A failed round keeps model and state of the one before: they stay for it, and go with it. */
static void test_a_state_that_rounds_share_goes_with_the_last_of_them(void **state)
{
    (void)state;
    desk_open(&d,
              &(struct desk_options){
                  .sites = 2, .schedule = "fedavg 6", .keep_models = 1, .optimiser = "fedadam"});
    desk_gather(&d);
    desk_round(&d, 1);
    struct cid shared = d.c->round->state, model = d.c->round->base;
    for (int i = 0; i < 2; i++) {
        desk_round(&d, 1e30f);
        desk_run(&d);
        assert_true(cid_equal(&d.c->round->state, &shared));
        assert_true(state_is_there(&model, &shared));
    }
    desk_round(&d, 1);
    desk_run(&d);
    assert_false(state_is_there(&model, &shared));
    assert_true(state_is_there(&d.c->round->base, &d.c->round->state));
}

/* A stop between the two deletions: the next round's retention finds the state without its model.
 */
static void test_a_state_left_behind_is_swept(void **state)
{
    (void)state;
    struct cid models[3], states[3];
    desk_open(&d,
              &(struct desk_options){
                  .sites = 2, .schedule = "fedavg 5", .keep_models = 2, .optimiser = "fedyogi"});
    desk_gather(&d);
    for (int round = 1; round <= 2; round++) {
        desk_round(&d, 1);
        models[round] = d.c->round->base;
        states[round] = d.c->round->state;
    }
    MUST(store_model_delete(d.c->store, &models[1], err));
    desk_round(&d, 1);
    desk_run(&d);
    assert_false(store_model_has(d.c->store, &states[1]));
    assert_true(state_is_there(&models[2], &states[2]));
}

static void test_without_retention_everything_stays(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d, &(struct desk_options){.sites = 2, .schedule = "fedavg 3"});
    desk_gather(&d);
    for (int i = 0; i < 3; i++)
        desk_round(&d, 1);
    assert_true(pack_is_there(0, 1) && pack_is_there(1, 3));
    assert_true(store_model_has(d.c->store, &d.c->study.plan.model));
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 3);
}

/* The program died after a close: the next start makes it good. */
static void test_an_interrupted_retention_is_made_good(void **state)
{
    (void)state;
    desk_open(&d, &(struct desk_options){
                      .sites = 2, .schedule = "fedavg 5", .keep_updates = 1, .keep_models = 1});
    desk_gather(&d);
    struct cid first = d.c->study.plan.model;
    for (uint64_t round = 1; round <= 2; round++) {
        desk_answer(&d, 0, 1);
        struct cid record = desk_upload(&d, 1, 2);
        desk_drop_mail(&d);
        desk_ask(&d, 1, MSG_SUBMIT, round, &record);
    }
    assert_false(pack_is_there(0, 1));
    assert_false(store_model_has(d.c->store, &first));
    char path[FILES_PATH_MAX];
    MUST(study_pack_path(desk_dir(), &d.f.sites[0].site.cid, 1, path, err));
    write_file(path, bytes_of_text("left over"));
    desk_stop_coordinator(&d);
    desk_start_coordinator(&d);
    desk_run(&d);
    assert_false(pack_is_there(0, 1));
    assert_true(pack_is_there(0, 2));
    assert_true(store_model_has(d.c->store, &d.c->round->base));
}

static void test_other_files_beside_the_packs_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"notes.txt", "1.txt", "x.car", ".car", "01x.car"};
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX], other[FILES_PATH_MAX];
    desk_open(&d, &(struct desk_options){.sites = 2, .schedule = "fedavg 5", .keep_updates = 1});
    desk_gather(&d);
    desk_round(&d, 1);
    MUST(study_pack_path(desk_dir(), &d.f.sites[0].site.cid, 1, path, err));
    files_folder(path, folder);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        MUST(files_join(other, folder, names[i], err));
        write_file(other, bytes_of_text("mine"));
    }
    desk_round(&d, 1);
    desk_run(&d);
    assert_false(pack_is_there(0, 1));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        MUST(files_join(other, folder, names[i], err));
        assert_true(files_exists(files_posix(), other));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_updates_and_models_go_when_the_plan_says),
        TEST(test_a_state_stays_as_long_as_its_model),
        TEST(test_a_state_that_rounds_share_goes_with_the_last_of_them),
        TEST(test_a_state_left_behind_is_swept),
        TEST(test_without_retention_everything_stays),
        TEST(test_an_interrupted_retention_is_made_good),
        TEST(test_other_files_beside_the_packs_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
