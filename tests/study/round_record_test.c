/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"
#include "tests/study/hostile.h"

#include "study/round_record.h"

static struct key *coordinator, *stranger;
static struct cid study;

static int setup(void **state)
{
    (void)state;
    coordinator = fixture_key(KEY_ED25519, 1);
    stranger = fixture_key(KEY_ED25519, 2);
    study = fixture_cid(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    key_free(coordinator);
    key_free(stranger);
    return 0;
}

static uint32_t selected[] = {4, 0, 9999, 2};
static struct cid updates[2], refused[1];

static struct round_record example(void)
{
    updates[0] = fixture_cid(10);
    updates[1] = fixture_cid(11);
    refused[0] = fixture_cid(12);
    return (struct round_record){.study = study,
                                 .plan = fixture_cid(2),
                                 .roster = fixture_cid(3),
                                 .round = 7,
                                 .rule = "fedavg",
                                 .prev = fixture_cid(4),
                                 .base = cid_of(CID_DAG_PB, bytes_of_text("base")),
                                 .next = cid_of(CID_RAW, bytes_of_text("next")),
                                 .selected_count = 4,
                                 .update_count = 2,
                                 .refused_count = 1,
                                 .selected = selected,
                                 .updates = updates,
                                 .refused = refused,
                                 .deleted = 3,
                                 .received = UINT64_MAX};
}

static int decode(struct bytes in, struct err *err)
{
    struct round_record r = {.round = 99};
    struct key_public by = key_public(coordinator);
    int rc = round_record_decode(in, &study, &by, &r, err);
    if (rc == 0)
        round_record_fini(&r);
    else
        assert_true(r.round == 99 && r.selected == NULL); /* untouched */
    return rc;
}

static struct buf sign(struct round_record *r)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct err err = {0};
    if (round_record_sign(r, coordinator, &out, &r->cid, &err) != 0)
        fail_msg("%s", err.text);
    return out;
}

static void test_a_round_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct key_public by = key_public(coordinator);
    struct round_record a = example(), b;
    struct buf out = sign(&a);
    assert_int_equal(round_record_decode(buf_bytes(&out), &study, &by, &b, NULL), 0);
    assert_memory_equal(a.selected, b.selected, sizeof selected);
    assert_memory_equal(a.updates, b.updates, sizeof updates);
    assert_memory_equal(a.refused, b.refused, sizeof refused);
    free(b.selected);
    free(b.updates);
    free(b.refused);
    b.selected = a.selected;
    b.updates = a.updates;
    b.refused = a.refused;
    assert_memory_equal(&a, &b, sizeof a);
    buf_fini(&out);
}

static void test_the_same_facts_give_the_same_cid(void **state)
{
    (void)state;
    struct round_record a = example(), b = example();
    struct buf x = sign(&a), y = sign(&b);
    assert_true(cid_equal(&a.cid, &b.cid));
    assert_true(bytes_equal(buf_bytes(&x), buf_bytes(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

static void test_a_failed_round_keeps_its_base(void **state)
{
    (void)state;
    struct key_public by = key_public(coordinator);
    struct round_record r = example(), back;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    strcpy(r.failure, "not-finite");
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    r.next = r.base;
    r.state = cid_of(CID_RAW, bytes_of_text("state"));
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), 0);
    assert_int_equal(round_record_decode(buf_bytes(&out), &study, &by, &back, NULL), 0);
    assert_string_equal(back.failure, "not-finite");
    assert_true(cid_equal(&back.state, &r.state));
    round_record_fini(&back);
    strcpy(r.failure, "no-quorum");
    r.update_count = 0;
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), 0);
    strcpy(r.failure, "bored");
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), ERR_MALFORMED);
    buf_fini(&out);
}

static void test_the_largest_round_fits_into_a_record(void **state)
{
    (void)state;
    static uint32_t sites[PLAN_SELECTED_MAX + 1];
    static struct cid links[PLAN_SELECTED_MAX + 1];
    struct round_record r = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    for (unsigned i = 0; i <= PLAN_SELECTED_MAX; i++) {
        sites[i] = i;
        links[i] = fixture_cid(i);
    }
    r.selected = sites;
    r.updates = links;
    r.selected_count = r.update_count = PLAN_SELECTED_MAX;
    r.refused_count = 0;
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), 0);
    r.selected_count++;
    assert_int_equal(round_record_sign(&r, coordinator, &out, &r.cid, NULL), ERR_LIMIT);
    buf_fini(&out);
}

static void test_a_damaged_round_is_refused(void **state)
{
    (void)state;
    struct round_record r = example();
    struct buf out = sign(&r);
    assert_damage_is_refused(buf_bytes(&out), decode);
    assert_others_are_refused(buf_bytes(&out), coordinator, stranger, decode);
    buf_fini(&out);
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define LINK  "d82a58250001711220" ZEROS
#define RAW   "d82a58250001551220" ZEROS

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"plan", "f6", ERR_MALFORMED, "null"},
        {"roster", "", ERR_MALFORMED, "absent"},
        {"round", "00", ERR_MALFORMED, "rounds are counted from 1"},
        {"round", "1a000f4241", ERR_MALFORMED, "past the last possible round"},
        {"rule", "60", ERR_MALFORMED, "empty"},
        {"rule", "7061616161616161616161616161616161", ERR_LIMIT, "sixteen letters"},
        {"prev", "f6", ERR_MALFORMED, "null: the first one's is the charter"},
        {"base", LINK, ERR_MALFORMED, "a model that is dag-cbor"},
        {"next", "f6", ERR_MALFORMED, "null"},
        {"failure", "", ERR_MALFORMED, "absent"},
        {"failure", "60", ERR_MALFORMED, "an empty text for null"},
        {"selected", "820404", ERR_MALFORMED, "a site twice"},
        {"selected", "8400010204", 0, "others"},
        {"selected", "81192710", ERR_MALFORMED, "the index 10000"},
        {"selected", "820001", 0, "two updates, and the proof of a third"},
        {"selected", "8100", ERR_MALFORMED, "fewer than answered"},
        {"selected", "a0", ERR_MALFORMED, "a map"},
        {"updates", "81f6", ERR_MALFORMED, "a null update"},
        {"updates", "81" RAW, ERR_MALFORMED, "an update that is a raw block"},
        {"refused", "", ERR_MALFORMED, "absent"},
        {"state", "", ERR_MALFORMED, "absent"},
        {"state", RAW, 0, "a file of one leaf"},
        {"state", LINK, ERR_MALFORMED, "a state that is dag-cbor"},
        {"deleted", "00", ERR_MALFORMED, "round 0"},
        {"deleted", "08", ERR_MALFORMED, "later than the round"},
        {"metering", "a0", ERR_MALFORMED, "empty"},
        {"metering", "a1 68726563656976656420", ERR_MALFORMED, "negative"},
        {"metering", "a2 627575 00 68726563656976656400", ERR_LIMIT, "one more"},
    };
    struct round_record r = example();
    struct buf out = sign(&r);
    assert_rows_are_refused(buf_bytes(&out), coordinator, decode, rows,
                            sizeof rows / sizeof rows[0]);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_is_read_as_it_was_signed),
        cmocka_unit_test(test_the_same_facts_give_the_same_cid),
        cmocka_unit_test(test_a_failed_round_keeps_its_base),
        cmocka_unit_test(test_the_largest_round_fits_into_a_record),
        cmocka_unit_test(test_a_damaged_round_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
