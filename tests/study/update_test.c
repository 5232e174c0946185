/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/hostile.h"

#include <math.h>

#include "study/update.h"

static struct key *site;

static int setup(void **state)
{
    (void)state;
    uint8_t a[KEY_BYTES] = {1};
    return key_setup(NULL) | key_from_seed(KEY_ED25519, a, &site, NULL);
}

static int teardown(void **state)
{
    (void)state;
    key_free(site);
    return 0;
}

static struct update example(void)
{
    struct update u = {.study = cid_of(CID_DAG_CBOR, bytes_of_text("study")),
                       .plan = cid_of(CID_DAG_CBOR, bytes_of_text("plan")),
                       .base = cid_of(CID_DAG_PB, bytes_of_text("base")),
                       .by = key_public(site),
                       .round = 7,
                       .exchange = 0,
                       .delta = cid_of(CID_DAG_CBOR, bytes_of_text("index")),
                       .examples = 569,
                       .metric_count = 3,
                       .metrics = {{"loss", 0.25}, {"auc", NAN}, {"accuracy", 1}},
                       .trainer = {1, 2, 3},
                       .seconds = 12};
    return u;
}

static int decode(struct bytes in, struct err *err)
{
    struct update u;
    return update_decode(in, &u, err);
}

static struct buf sign(struct update *u)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct err err = {0};
    if (update_sign(u, site, &out, &u->cid, &err) != 0)
        fail_msg("%s", err.text);
    return out;
}

static void test_an_update_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct update a = example(), b;
    struct buf out = sign(&a);
    assert_int_equal(update_decode(buf_bytes(&out), &b, NULL), 0);
    static const char *const order[] = {"auc", "loss", "accuracy"}; /* canonical */
    assert_int_equal(b.metric_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(b.metrics[i].name, order[i]);
    assert_true(isnan(update_metric(&b, "auc")));
    assert_true(update_metric(&b, "loss") == 0.25);
    assert_true(update_metric(&b, "accuracy") == 1);
    assert_true(isnan(update_metric(&b, "absent")));
    memcpy(b.metrics, a.metrics, sizeof a.metrics);
    assert_memory_equal(&a, &b, sizeof a);
    buf_fini(&out);
}

static void test_delta_and_values_are_there_or_not(void **state)
{
    (void)state;
    struct update u = example(), back;
    u.values = u.delta;
    u.delta = (struct cid){0};
    struct buf out = sign(&u);
    assert_int_equal(update_decode(buf_bytes(&out), &back, NULL), 0);
    assert_true(cid_is_none(&back.delta) && cid_equal(&back.values, &u.values));
    buf_fini(&out);
    u.values = (struct cid){0};
    u.metric_count = 0;
    out = sign(&u);
    assert_int_equal(update_decode(buf_bytes(&out), &back, NULL), 0);
    assert_true(cid_is_none(&back.delta) && cid_is_none(&back.values));
    assert_int_equal(back.metric_count, 0);
    buf_fini(&out);
}

static void test_a_metric_that_is_not_finite_is_null(void **state)
{
    (void)state;
    struct update u = example(), back;
    u.metrics[0].value = INFINITY;
    struct buf out = sign(&u);
    assert_int_equal(update_decode(buf_bytes(&out), &back, NULL), 0);
    assert_true(isnan(update_metric(&back, "loss")));
    buf_fini(&out);
}

static void test_the_weight_is_not_the_decoders_question(void **state)
{
    (void)state;
    static const uint64_t weights[] = {0, 1u << 29, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct update u = example(), back;
        u.examples = weights[i];
        struct buf out = sign(&u);
        assert_int_equal(update_decode(buf_bytes(&out), &back, NULL), 0);
        assert_true(back.examples == weights[i]);
        buf_fini(&out);
    }
}

static void test_a_damaged_update_is_refused(void **state)
{
    (void)state;
    struct update u = example();
    struct buf out = sign(&u);
    assert_damage_is_refused(buf_bytes(&out), decode);
    assert_others_are_refused(buf_bytes(&out), site, NULL, decode);
    buf_fini(&out);
}

#define ZEROS  "0000000000000000000000000000000000000000000000000000000000000000"
#define M(...) "a1" __VA_ARGS__ "f6"

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"study", "", ERR_MALFORMED, "absent"},
        {"plan", "", ERR_MALFORMED, "absent"},
        {"base", "f6", ERR_MALFORMED, "null"},
        {"base", "d82a58250001711220" ZEROS, ERR_MALFORMED, "a model that is dag-cbor"},
        {"base", "d82a582300 1220" ZEROS, ERR_MALFORMED, "a version 0"},
        {"round", "20", ERR_MALFORMED, "negative"},
        {"exchange", "", ERR_MALFORMED, "absent"},
        {"delta", "f6", ERR_MALFORMED, "null: it is absent if there is none"},
        {"delta", "d82a58250001551220" ZEROS, ERR_MALFORMED, "an index that is a raw block"},
        {"values", "00", ERR_MALFORMED, "a number"},
        {"examples", "fb3ff0000000000000", ERR_MALFORMED, "a float"},
        {"examples", "20", ERR_MALFORMED, "negative"},
        {"metrics", "", ERR_MALFORMED, "absent"},
        {"metrics", "80", ERR_MALFORMED, "an array"},
        {"metrics", M("60"), ERR_MALFORMED, "an empty name"},
        {"metrics", M("6141"), ERR_MALFORMED, "upper case"},
        {"metrics", M("63612062"), ERR_MALFORMED, "a space"},
        {"metrics", M("63612f62"), ERR_MALFORMED, "a slash"},
        {"metrics", M("62c3a9"), ERR_MALFORMED, "not ASCII"},
        {"metrics", M("7820 6161616161616161616161616161616161616161616161616161616161616161"),
         ERR_LIMIT, "a name of 32 bytes"},
        {"metrics", "a1616101", ERR_MALFORMED, "an integer for a float"},
        {"metrics",
         "b1 6161f6 6162f6 6163f6 6164f6 6165f6 6166f6 6167f6 6168f6 6169f6 616af6 616bf6 616cf6 "
         "616df6 616ef6 616ff6 6170f6 6171f6",
         ERR_LIMIT, "seventeen"},
        {"trainer", "", ERR_MALFORMED, "absent"},
        {"trainer", "4101", ERR_MALFORMED, "short"},
        {"seconds", "20", ERR_MALFORMED, "negative"},
    };
    struct update u = example();
    struct buf out = sign(&u);
    assert_rows_are_refused(buf_bytes(&out), site, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&out);
}

static void test_metrics_that_cannot_be_written_are_not_signed(void **state)
{
    (void)state;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct update u = example();
    struct cid cid;
    u.metric_count = UPDATE_METRICS_MAX + 1;
    assert_int_equal(update_sign(&u, site, &out, &cid, NULL), ERR_LIMIT);
    u.metric_count = 2;
    strcpy(u.metrics[1].name, "loss"); /* twice */
    assert_int_equal(update_sign(&u, site, &out, &cid, NULL), ERR_MALFORMED);
    strcpy(u.metrics[1].name, "Loss");
    assert_int_equal(update_sign(&u, site, &out, &cid, NULL), ERR_MALFORMED);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_update_is_read_as_it_was_signed),
        cmocka_unit_test(test_delta_and_values_are_there_or_not),
        cmocka_unit_test(test_a_metric_that_is_not_finite_is_null),
        cmocka_unit_test(test_the_weight_is_not_the_decoders_question),
        cmocka_unit_test(test_a_damaged_update_is_refused),
        cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(test_metrics_that_cannot_be_written_are_not_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
