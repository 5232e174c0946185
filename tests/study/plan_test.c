/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"
#include "tests/study/hostile.h"

#include "study/plan.h"

static struct key *founder, *stranger;
static struct cid study;

static int setup(void **state)
{
    (void)state;
    founder = fixture_key(KEY_ED25519, 1);
    stranger = fixture_key(KEY_ED25519, 2);
    study = fixture_cid(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    key_free(founder);
    key_free(stranger);
    return 0;
}

static struct plan example(void)
{
    struct cid layout = fixture_cid(2), model = cid_of(CID_RAW, bytes_of_text("model"));
    return fixture_plan(&layout, &model);
}

static int decode(struct bytes in, struct err *err)
{
    struct plan p;
    struct key_public by = key_public(founder);
    return plan_decode(in, &study, &by, &p, err);
}

static int sign(struct plan *p, struct buf *out, struct err *err)
{
    return plan_sign(p, &study, founder, out, &p->cid, err);
}

static void test_a_plan_is_read_as_it_was_signed(void **state)
{
    (void)state;
    struct key_public by = key_public(founder);
    struct plan a = example(), b;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sign(&a, &out, NULL), 0);
        assert_int_equal(plan_decode(buf_bytes(&out), &study, &by, &b, NULL), 0);
        assert_memory_equal(&a, &b, sizeof a);
        a.prev = fixture_cid(3); /* and once more with every optional value */
        a.seed = UINT64_MAX;
        a.update_bytes_max = 123456789;
        a.keep_models = 2;
        a.keep_updates = 3;
        a.fraction_ppm = 1;
        a.minimum = a.quorum = 1024;
        a.deadline_ms = PLAN_DEADLINE_MAX;
        a.l2 = 0;
        a.learning_rate = 1e-12;
    }
    buf_fini(&out);
}

static void test_a_damaged_plan_is_refused(void **state)
{
    (void)state;
    struct plan p = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(sign(&p, &out, NULL), 0);
    assert_damage_is_refused(buf_bytes(&out), decode);
    assert_others_are_refused(buf_bytes(&out), founder, stranger, decode);
    buf_fini(&out);
}

#define FEDAVG                  "66666564617667"
#define SELECTION(minimum, ppm) "a2 676d696e696d756d" minimum "6c6672616374696f6e5f70706d" ppm
#define DATA(target, classes, features)                                                            \
    "a3 66746172676574" target "67636c6173736573" classes "686665617475726573" features
#define HYPER(l2, batch, epochs, rate)                                                             \
    "a4 626c32" l2 "656261746368" batch "6665706f636873" epochs "6d6c6561726e696e675f7261746"      \
    "5" rate
#define ONE      "fb3ff0000000000000"
#define ZERO     "fb0000000000000000"
#define NEGATIVE "fbbff0000000000000"
#define LARGE    "fb7e37e43c8800759c"

static void test_a_value_out_of_range_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"prev", "", ERR_MALFORMED, "absent"},
        {"layout", "f6", ERR_MALFORMED, "null"},
        {"model", "f6", ERR_MALFORMED, "null"},
        {"architecture", "63636e6e", ERR_UNSUPPORTED, "cnn"},
        {"architecture", "60", ERR_MALFORMED, "empty"},
        {"architecture", "6865787465726e616c", ERR_MALFORMED, "external with a native trainer"},
        {"seed", "20", ERR_MALFORMED, "negative"},
        {"schedule", "80", ERR_MALFORMED, "no step"},
        {"schedule", "8182" FEDAVG "00", ERR_MALFORMED, "no rounds"},
        {"schedule", "8182" FEDAVG "1a000f4241", ERR_MALFORMED, "too many rounds"},
        {"schedule", "8282" FEDAVG "1a000f4240 82" FEDAVG "01", ERR_MALFORMED, "together too many"},
        {"schedule", "8181" FEDAVG, ERR_MALFORMED, "a rule alone"},
        {"schedule", "8182 63616263 01", ERR_UNSUPPORTED, "an unknown rule"},
        {"selection", SELECTION("00", "01"), ERR_MALFORMED, "minimum 0"},
        {"selection", SELECTION("190401", "01"), ERR_MALFORMED, "minimum 1025"},
        {"selection", SELECTION("01", "00"), ERR_MALFORMED, "nobody"},
        {"selection", SELECTION("01", "1a000f4241"), ERR_MALFORMED, "more than all"},
        {"selection", "a1 676d696e696d756d 01", ERR_MALFORMED, "one entry"},
        {"quorum", "00", ERR_MALFORMED, "nobody"},
        {"quorum", "02", ERR_MALFORMED, "above minimum"},
        {"quorum", "190401", ERR_MALFORMED, "1025"},
        {"deadline_ms", "00", ERR_MALFORMED, "none"},
        {"deadline_ms", "1b0000000757b12c01", ERR_MALFORMED, "more than a year"},
        {"trainer", "637a7a7a", ERR_UNSUPPORTED, "unknown"},
        {"optimiser", "646164616d", ERR_UNSUPPORTED, "adam"},
        {"codec", "64746f706b", ERR_UNSUPPORTED, "topk"},
        {"privacy", "a0", ERR_MALFORMED, "not null"},
        {"data", DATA("60", "02", "03"), ERR_MALFORMED, "logistic without a target"},
        {"data", DATA("6179", "03", "03"), ERR_MALFORMED, "logistic of three classes"},
        {"data", DATA("6179", "02", "00"), ERR_MALFORMED, "logistic without features"},
        {"data", DATA("6179", "02", "191001"), ERR_MALFORMED, "4097 features"},
        {"data", DATA("610a", "02", "03"), ERR_MALFORMED, "a line end in a name"},
        {"hyperparameters", HYPER(ONE, "00", "01", ONE), 0, "other ones"},
        {"hyperparameters", HYPER(NEGATIVE, "00", "01", ONE), ERR_MALFORMED, "negative l2"},
        {"hyperparameters", HYPER(LARGE, "00", "01", ONE), ERR_MALFORMED, "huge l2"},
        {"hyperparameters", HYPER("00", "00", "01", ONE), ERR_MALFORMED, "an integer l2"},
        {"hyperparameters", HYPER(ONE, "1a40000001", "01", ONE), ERR_MALFORMED, "huge batch"},
        {"hyperparameters", HYPER(ONE, "00", "00", ONE), ERR_MALFORMED, "no epochs"},
        {"hyperparameters", HYPER(ONE, "00", "01", ZERO), ERR_MALFORMED, "rate 0"},
        {"hyperparameters", HYPER(ONE, "00", "01", "f6"), ERR_MALFORMED, "rate null"},
        {"retention", "a2 666d6f64656c73 00 6775706461746573 1a000f4241", ERR_MALFORMED,
         "too many"},
        {"limits", "a1 6c7570646174655f6279746573 1bffffffffffffffff", ERR_MALFORMED, "huge"},
    };
    struct plan p = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(sign(&p, &out, NULL), 0);
    assert_rows_are_refused(buf_bytes(&out), founder, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&out);
}

static void test_a_plan_out_of_range_is_not_signed(void **state)
{
    (void)state;
    struct plan p = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct err err = {0};
    p.quorum = 2;
    assert_int_equal(sign(&p, &out, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "minimum 1 is below quorum 2"));
    assert_int_equal(out.size, 0);
    p = example();
    strcpy(p.schedule[1].rule, "fedavgg");
    assert_int_equal(sign(&p, &out, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "known: fedavg, moments, evaluate"));
    p = example();
    p.step_count = 0;
    assert_int_equal(sign(&p, &out, NULL), ERR_MALFORMED);
    p = example();
    strcpy(p.architecture, "external"); /* needs neither target nor features but for moments */
    strcpy(p.trainer, "null");
    p.target[0] = '\0';
    p.features = p.classes = 0;
    assert_int_equal(sign(&p, &out, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "moments needs features"));
    strcpy(p.schedule[0].rule, "fedavg");
    assert_int_equal(sign(&p, &out, NULL), 0);
    buf_fini(&out);
}

static void test_the_schedule_says_each_rounds_rule(void **state)
{
    (void)state;
    struct plan p = example();
    static const char *const rules[] = {NULL,     "moments",  "fedavg", "fedavg",
                                        "fedavg", "evaluate", NULL};
    assert_int_equal(plan_rounds(&p), 5);
    for (uint64_t i = 0; i < 7; i++) {
        const struct rule *r = plan_rule(&p, i);
        if (rules[i] == NULL)
            assert_null(r);
        else
            assert_string_equal(r->name, rules[i]);
    }
    assert_null(plan_rule(&p, UINT64_MAX));
    assert_true(plan_asks(&p, RULE_DELTA) && plan_asks(&p, RULE_VALUES));
    p.step_count = 1;
    assert_true(!plan_asks(&p, RULE_DELTA) && plan_asks(&p, RULE_VALUES));
}

/* SHA-256 of the text and of little-endian numbers: what docs say, so that others can draw the
 * same. */
static void test_seeds_are_the_documented_hashes(void **state)
{
    (void)state;
    struct plan p = example();
    uint8_t got[HASH_BYTES], expected[HASH_BYTES], message[64];
    memcpy(message, "colmeia-site-seed-1:", 20);
    bytes_put_u64(message + 20, 7);
    bytes_put_u64(message + 28, 3);
    bytes_put_u64(message + 36, 4);
    hash_sha256(bytes_of(message, 44), expected);
    plan_site_seed(&p, 3, 4, got);
    assert_memory_equal(got, expected, HASH_BYTES);
    memcpy(message, "colmeia-selection-seed-1:", 25);
    bytes_put_u64(message + 25, 7);
    bytes_put_u64(message + 33, 3);
    hash_sha256(bytes_of(message, 41), expected);
    plan_selection_seed(&p, 3, got);
    assert_memory_equal(got, expected, HASH_BYTES);
    plan_site_seed(&p, 4, 3, expected);
    plan_site_seed(&p, 3, 4, got);
    assert_memory_not_equal(got, expected, HASH_BYTES);
}

static void test_retention_is_a_function_of_round_and_plan(void **state)
{
    (void)state;
    struct plan p = example();
    static const struct {
        uint64_t keep, round, from;
    } rows[] = {{0, 1, 1}, {0, 99, 1}, {1, 1, 1}, {1, 5, 5}, {3, 2, 1}, {3, 3, 1}, {3, 4, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        p.keep_updates = rows[i].keep;
        p.keep_models = 0;
        assert_int_equal(plan_updates_held_from(&p, rows[i].round), rows[i].from);
        assert_int_equal(plan_models_held_from(&p, rows[i].round), 1);
        p.keep_models = rows[i].keep;
        assert_int_equal(plan_models_held_from(&p, rows[i].round), rows[i].from);
    }
}

static void test_the_quota_is_twice_the_layout_unless_the_plan_says(void **state)
{
    (void)state;
    struct plan p = example();
    struct layout *l;
    assert_int_equal(logistic_layout(3, &l, NULL), 0);
    assert_int_equal(plan_quota(&p, l), 2 * 4 * 4 + (1u << 20)); /* 3 weights, 1 bias */
    p.update_bytes_max = 77;
    assert_int_equal(plan_quota(&p, l), 77);
    layout_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_is_read_as_it_was_signed),
        cmocka_unit_test(test_a_damaged_plan_is_refused),
        cmocka_unit_test(test_a_value_out_of_range_is_refused),
        cmocka_unit_test(test_a_plan_out_of_range_is_not_signed),
        cmocka_unit_test(test_the_schedule_says_each_rounds_rule),
        cmocka_unit_test(test_seeds_are_the_documented_hashes),
        cmocka_unit_test(test_retention_is_a_function_of_round_and_plan),
        cmocka_unit_test(test_the_quota_is_twice_the_layout_unless_the_plan_says),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
