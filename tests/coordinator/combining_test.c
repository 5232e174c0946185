/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include <fcntl.h>
#include <math.h>

#include "study/round_record.h"

static struct desk d;

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static void open_desk(void)
{
    desk_open(&d, &(struct desk_options){.sites = 3, .schedule = "fedavg 2"});
    desk_gather(&d);
    desk_drop_mail(&d);
}

static struct round_record newest_record(void)
{
    struct round_record r;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct key_public key = key_public(d.c->folder.coordinator);
    MUST(study_get(d.c->store, &d.c->round->prev, &block, err));
    MUST(round_record_decode(buf_bytes(&block), &d.f.study_id, &key, &r, err));
    buf_fini(&block);
    return r;
}

static void test_a_record_says_what_was_journalled_in_roster_order(void **state)
{
    (void)state;
    open_desk();
    struct cid base = d.c->round->base;
    struct cid c = desk_answer(&d, 2, 3), b = desk_answer(&d, 1, NAN), a = desk_answer(&d, 0, 1);
    (void)b;
    struct round_record r = newest_record();
    assert_int_equal(r.round, 1);
    assert_string_equal(r.rule, "fedavg");
    assert_string_equal(r.failure, "");
    assert_true(cid_equal(&r.base, &base));
    assert_true(cid_equal(&r.next, &d.c->round->base));
    assert_true(cid_equal(&r.roster, &d.c->roster.cid));
    assert_int_equal(r.selected_count, 3);
    assert_int_equal(r.update_count, 2);
    assert_true(cid_equal(&r.updates[0], &a) && cid_equal(&r.updates[1], &c));
    assert_int_equal(r.refused_count, 1);
    assert_true(r.received > 0);
    round_record_fini(&r);
}

static void test_a_round_short_of_its_quorum_keeps_its_base(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d, &(struct desk_options){.sites = 3, .quorum = 2, .schedule = "fedavg 2"});
    desk_gather(&d);
    struct cid base = d.c->round->base;
    struct cid good = desk_answer(&d, 0, 1);
    desk_answer(&d, 1, NAN);
    desk_answer(&d, 2, NAN);
    desk_pass(&d, 60000);
    assert_int_equal(d.c->round->number, 2);
    assert_int_equal(d.c->round->failures, 1);
    assert_true(cid_equal(&d.c->round->base, &base));
    struct round_record r = newest_record();
    assert_string_equal(r.failure, "no-quorum");
    assert_int_equal(r.update_count, 1);
    assert_true(cid_equal(&r.updates[0], &good));
    round_record_fini(&r);
    MUST(desk_verify(&d, &found, err));
}

/* Sites 0 and 1 are accepted; the last update waits to be submitted. */
static struct cid all_but_submitted(void)
{
    open_desk();
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 2);
    return desk_upload(&d, 2, 3);
}

static void test_a_stop_during_combine_ends_in_the_same_model(void **state)
{
    struct round_event e;
    struct cid last = all_but_submitted();
    desk_ask(&d, 2, MSG_SUBMIT, 1, &last);
    assert_int_equal(d.c->round->number, 2);
    struct cid undisturbed = d.c->round->base;
    assert_int_equal(teardown(state), 0);
    assert_int_equal(scratch_setup(state), 0);

    last = all_but_submitted();
    d.hold_jobs = true;
    desk_ask(&d, 2, MSG_SUBMIT, 1, &last);
    d.hold_jobs = false;
    struct job *check = desk_take_done(&d); /* the check comes back, what it starts does not */
    assert_non_null(check);
    assert_true(work_finish(d.c, check, &e));
    d.hold_jobs = true;
    MUST(loop_feed(&d.c->loop, &e, err));
    assert_int_equal(d.c->round->phase, ROUND_COMBINE);
    desk_stop_coordinator(&d);
    desk_start_coordinator(&d);
    desk_run(&d);
    assert_int_equal(d.c->round->number, 2);
    assert_true(cid_equal(&d.c->round->base, &undisturbed));
}

/* --- the server optimiser's state --- */

/* All sites answer a round that asks for metrics only. */
static void evaluate_all(void)
{
    uint64_t number = d.c->round->number;
    for (uint32_t i = 0; i < d.f.site_count; i++) {
        struct update u = fixture_update(&d.f, number, &d.c->round->base, 10);
        struct pack *pack;
        MUST(inbox_take(d.c->inbox, i, number, true, &pack, err));
        struct cid record = fixture_sign(&d.f, pack, i, &u);
        inbox_release(d.c->inbox, i, number);
        desk_ask(&d, i, MSG_SUBMIT, number, &record);
    }
    assert_int_equal(d.c->round->number, number + 1);
    desk_drop_mail(&d);
}

static void test_the_state_goes_from_round_to_round_and_is_verified(void **state)
{
    (void)state;
    struct verify_result found;
    struct cid before = {0};
    desk_open(&d, &(struct desk_options){.sites = 2,
                                         .schedule = "fedavg 2\", \"evaluate 1\", \"fedavg 2",
                                         .optimiser = "fedyogi"});
    desk_gather(&d);
    assert_true(cid_is_none(&d.c->round->state));
    for (uint64_t round = 1; round <= 5; round++) {
        bool trains = round != 3;
        if (trains)
            desk_round(&d, 0.5f);
        else
            evaluate_all();
        struct round_record r = newest_record();
        assert_int_equal(r.round, round);
        assert_true(cid_equal(&r.state, &d.c->round->state));
        assert_true(cid_equal(&r.state, &before) == !trains);
        assert_true(store_model_has(d.c->store, &r.state));
        before = r.state;
        round_record_fini(&r);
        desk_stop_coordinator(&d); /* the journal knows it, too */
        desk_start_coordinator(&d);
        desk_run(&d);
        assert_true(cid_equal(&d.c->round->state, &before));
        if (round < 5)
            desk_gather(&d);
    }
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 5);
}

/* A finite delta whose square is not, in f32. */
static void test_a_round_whose_state_is_not_finite_keeps_the_one_before(void **state)
{
    (void)state;
    struct verify_result found;
    desk_open(&d,
              &(struct desk_options){.sites = 2, .schedule = "fedavg 3", .optimiser = "fedadam"});
    desk_gather(&d);
    desk_round(&d, 0.5f);
    struct cid before = d.c->round->state, base = d.c->round->base;
    int kept = dup(STDERR_FILENO), file = open(in_scratch("stderr"), O_CREAT | O_WRONLY, 0600);
    assert_true(kept >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    desk_round(&d, 1e30f);
    assert_true(dup2(kept, STDERR_FILENO) >= 0 && close(kept) == 0 && close(file) == 0);
    struct buf said = read_file(in_scratch("stderr"));
    assert_non_null(strstr(buf_text(&said), "round-not-finite round=2 site=hospital-a tensor="));
    buf_fini(&said);
    struct round_record r = newest_record();
    assert_string_equal(r.failure, "not-finite");
    assert_true(cid_equal(&r.state, &before));
    assert_true(cid_equal(&r.next, &base));
    round_record_fini(&r);
    assert_true(cid_equal(&d.c->round->state, &before));
    desk_round(&d, 0.25f);
    MUST(desk_verify(&d, &found, err));
    assert_int_equal(found.recomputed, 3);
}

/* --- damage --- */

/* Adds 1 to a byte of the block in the site's pack file. */
static void damage_block(uint32_t site, const struct cid *cid)
{
    char path[FILES_PATH_MAX];
    MUST(study_pack_path(desk_dir(), &d.f.sites[site].site.cid, d.c->round->number, path, err));
    struct buf file = read_file(path);
    const uint8_t *at = memmem(file.data, file.size, cid->bytes, cid->size);
    assert_non_null(at);
    damage_file(path, (long)(at - file.data) + cid->size + 2, 1);
    buf_fini(&file);
}

struct last {
    struct cid cid;
    uint32_t codec;
};

static int note_last(void *self, const struct cid *cid, uint32_t size, struct err *err)
{
    struct last *l = self;
    (void)size;
    (void)err;
    if (cid_codec(cid) == l->codec)
        l->cid = *cid;
    return 0;
}

/* A shard (CID_RAW), or the record, which is put last (CID_DAG_CBOR). */
static struct cid block_of(uint32_t site, uint32_t codec)
{
    struct pack *pack;
    struct last l = {.codec = codec};
    MUST(inbox_take(d.c->inbox, site, d.c->round->number, false, &pack, err));
    MUST(pack_each(pack, note_last, &l, err));
    inbox_release(d.c->inbox, site, d.c->round->number);
    return l.cid;
}

static void test_a_damaged_block_is_asked_for_again_by_name(void **state)
{
    (void)state;
    static const uint32_t codecs[] = {CID_RAW, CID_DAG_CBOR};
    for (size_t i = 0; i < 2; i++) {
        struct verify_result found;
        if (i > 0) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(scratch_setup(state), 0);
        }
        open_desk();
        struct cid record = desk_answer(&d, 0, 1);
        desk_answer(&d, 1, 2);
        desk_drop_mail(&d);
        struct cid damaged = block_of(0, codecs[i]);
        damage_block(0, &damaged);
        desk_answer(&d, 2, 3);
        assert_int_equal(d.c->round->phase, ROUND_COMBINE);
        struct msg *m = desk_expect(&d, 0, MSG_LIST);
        assert_true(cid_equal(&m->record, &record));
        assert_int_equal(m->cid_count, 1);
        assert_true(cid_equal(&m->cids[0], &damaged));
        desk_ask(&d, 0, MSG_WANT, 1, NULL); /* the list may have been lost */
        desk_expect(&d, 0, MSG_LIST);
        desk_ask(&d, 0, MSG_MISSING, 1, &record);
        assert_int_equal(desk_expect(&d, 0, MSG_LIST)->cid_count, 1);
        desk_pass(&d, COORDINATOR_RETRY_MS + 1);
        assert_int_equal(d.c->round->phase, ROUND_COMBINE);

        struct cid again = desk_upload(&d, 0, 1); /* the same bytes, put where the upload goes */
        assert_true(cid_equal(&again, &record));
        desk_pass(&d, COORDINATOR_RETRY_MS + 1);
        assert_int_equal(d.c->round->number, 2);
        MUST(desk_verify(&d, &found, err));
        assert_int_equal(found.recomputed, 1);
    }
}

static void test_a_damaged_base_stops_the_program_and_is_named(void **state)
{
    (void)state;
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX];
    uint64_t size;
    open_desk();
    struct cid base = d.c->round->base;
    MUST(store_model_path(d.c->store, &base, path, &size, err));
    damage_file(path, (long)size - 1, 1);
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 2);
    desk_answer(&d, 2, 3);
    assert_false(d.running);
    assert_int_equal(d.c->exit_code, 3);
    assert_non_null(strstr(d.c->failure, cid_format(&base, text)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_record_says_what_was_journalled_in_roster_order),
        TEST(test_a_round_short_of_its_quorum_keeps_its_base),
        TEST(test_a_stop_during_combine_ends_in_the_same_model),
        TEST(test_the_state_goes_from_round_to_round_and_is_verified),
        TEST(test_a_round_whose_state_is_not_finite_keeps_the_one_before),
        TEST(test_a_damaged_block_is_asked_for_again_by_name),
        TEST(test_a_damaged_base_stops_the_program_and_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
