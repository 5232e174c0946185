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
        a.weight_decay = 0;
        a.learning_rate = 1e-12;
        a.epochs = 0;
        a.steps = PLAN_STEPS_MAX;
        a.momentum = 0.9;
        a.proximal = PLAN_RATE_MAX;
        memset(a.architecture, 0, sizeof a.architecture); /* the whole is compared */
        strcpy(a.architecture, "mlp");
        a.classes = 10;
        a.hidden_count = NETWORK_HIDDEN_MAX;
        for (size_t k = 0; k < NETWORK_HIDDEN_MAX; k++)
            a.hidden[k] = k == 0 ? NETWORK_WIDTH_MAX : k;
        strcpy(a.trainer, "program");
        a.pinned = true;
        memset(a.trainer_digest, 0xab, sizeof a.trainer_digest);
        a.optimiser = (struct optimiser_setting){OPTIMISER_FEDADAM_CORRECTED, 0.1, 0.9, 0.99, 1e-3};
        a.update_norm_max = PLAN_NORM_MAX;
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
#define HYPER(batch, steps, epochs, momentum, proximal, decay, rate)                               \
    "a7 656261746368" batch "657374657073" steps "6665706f636873" epochs                           \
    "686d6f6d656e74756d" momentum "6870726f78696d616c" proximal "6c7765696768745f6465636179" decay \
    "6d6c6561726e696e675f72617465" rate
#define HYPER_1(l2, batch, epochs, rate)                                                           \
    "a4 626c32" l2 "656261746368" batch "6665706f636873" epochs "6d6c6561726e696e675f7261746"      \
    "5" rate
#define SERVER(tau, name, rate, beta1, beta2)                                                      \
    "a5 63746175" tau "646e616d65" name "6472617465" rate "656265746131" beta1 "65626574613"       \
    "2" beta2
#define LIMITS(norm, bytes) "a2 6b7570646174655f6e6f726d" norm "6c7570646174655f6279746573" bytes
#define ONE                 "fb3ff0000000000000"
#define ZERO                "fb0000000000000000"
#define HALF                "fb3fe0000000000000"
#define NEGATIVE            "fbbff0000000000000"
#define LARGE               "fb7e37e43c8800759c" /* 1e300 */
#define LARGER              "fb7e37e43c8800759d"
#define NONE                "646e6f6e65"
#define FEDAVGM             "676665646176676d"
#define FEDADAGRAD          "6a66656461646167726164"
#define FEDADAM             "676665646164616d"
#define CORRECTED           "716665646164616d2d636f72726563746564"
#define DIGEST              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FEDYOGI             "67666564796f6769"

static const struct hostile_row out_of_range[] = {
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
    {"trainer_digest", "", ERR_MALFORMED, "absent"},
    {"trainer_digest", "5820" DIGEST, ERR_MALFORMED, "a native trainer pinned"},
    {"trainer_digest", "43616263", ERR_MALFORMED, "three bytes"},
    {"hidden", "", ERR_MALFORMED, "absent"},
    {"hidden", "8101", ERR_MALFORMED, "of a logistic"},
    {"hidden", "8100", ERR_MALFORMED, "a layer without units"},
    {"hidden", "811a00010001", ERR_MALFORMED, "65537 units"},
    {"hidden", "89010101010101010101", ERR_LIMIT, "nine layers"},
    {"optimiser", SERVER(ZERO, "646164616d", ONE, ZERO, ZERO), ERR_UNSUPPORTED, "adam"},
    {"optimiser", SERVER(ZERO, "60", ONE, ZERO, ZERO), ERR_MALFORMED, "no name"},
    {"optimiser", NONE, ERR_MALFORMED, "as in version 1"},
    {"optimiser", SERVER(ZERO, NONE, ONE, ZERO, ZERO), 0, "as it is"},
    {"optimiser", SERVER(ZERO, NONE, HALF, ZERO, ZERO), ERR_MALFORMED, "none with a rate"},
    {"optimiser", SERVER(ZERO, NONE, ONE, HALF, ZERO), ERR_MALFORMED, "none with beta1"},
    {"optimiser", SERVER(ZERO, NONE, ONE, ZERO, HALF), ERR_MALFORMED, "none with beta2"},
    {"optimiser", SERVER(HALF, NONE, ONE, ZERO, ZERO), ERR_MALFORMED, "none with tau"},
    {"optimiser", SERVER(ZERO, FEDAVGM, HALF, HALF, ZERO), 0, "momentum"},
    {"optimiser", SERVER(ZERO, FEDAVGM, HALF, HALF, HALF), ERR_MALFORMED, "with beta2"},
    {"optimiser", SERVER(HALF, FEDAVGM, HALF, HALF, ZERO), ERR_MALFORMED, "with tau"},
    {"optimiser", SERVER(ZERO, FEDAVGM, ZERO, HALF, ZERO), ERR_MALFORMED, "rate 0"},
    {"optimiser", SERVER(ZERO, FEDAVGM, NEGATIVE, HALF, ZERO), ERR_MALFORMED, "rate -1"},
    {"optimiser", SERVER(ZERO, FEDAVGM, LARGE, HALF, ZERO), ERR_MALFORMED, "rate 1e300"},
    {"optimiser", SERVER(ZERO, FEDAVGM, HALF, ONE, ZERO), ERR_MALFORMED, "beta1 1"},
    {"optimiser", SERVER(ZERO, FEDAVGM, HALF, NEGATIVE, ZERO), ERR_MALFORMED, "beta1 -1"},
    {"optimiser", SERVER(HALF, FEDADAGRAD, HALF, HALF, ZERO), 0, "fedadagrad"},
    {"optimiser", SERVER(HALF, FEDADAGRAD, HALF, ZERO, HALF), ERR_MALFORMED, "with beta2"},
    {"optimiser", SERVER(ZERO, FEDADAGRAD, HALF, ZERO, ZERO), ERR_MALFORMED, "tau 0"},
    {"optimiser", SERVER(HALF, FEDADAM, HALF, HALF, HALF), 0, "fedadam"},
    {"optimiser", SERVER(ZERO, FEDADAM, HALF, HALF, HALF), ERR_MALFORMED, "tau 0"},
    {"optimiser", SERVER(NEGATIVE, FEDADAM, HALF, HALF, HALF), ERR_MALFORMED, "tau -1"},
    {"optimiser", SERVER(HALF, FEDADAM, HALF, HALF, ONE), ERR_MALFORMED, "beta2 1"},
    {"optimiser", SERVER(ONE, CORRECTED, HALF, HALF, HALF), 0, "fedadam-corrected"},
    {"optimiser", SERVER(ZERO, CORRECTED, HALF, HALF, HALF), ERR_MALFORMED, "tau 0"},
    {"optimiser", SERVER(HALF, FEDYOGI, ONE, HALF, HALF), 0, "fedyogi"},
    {"optimiser", SERVER(ZERO, FEDYOGI, ONE, HALF, HALF), ERR_MALFORMED, "tau 0"},
    {"codec", "64746f706b", ERR_UNSUPPORTED, "topk"},
    {"privacy", "a0", ERR_MALFORMED, "not null"},
    {"data", DATA("60", "02", "03"), ERR_MALFORMED, "logistic without a target"},
    {"data", DATA("6179", "03", "03"), ERR_MALFORMED, "logistic of three classes"},
    {"data", DATA("6179", "02", "00"), ERR_MALFORMED, "logistic without features"},
    {"data", DATA("6179", "02", "191001"), ERR_MALFORMED, "4097 features"},
    {"data", DATA("610a", "02", "03"), ERR_MALFORMED, "a line end in a name"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, ZERO, ONE), 0, "other ones"},
    {"hyperparameters", HYPER("01", "1a3b9aca00", "00", HALF, ONE, HALF, HALF), 0,
     "every one of them"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, NEGATIVE, ONE), ERR_MALFORMED,
     "negative decay"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, LARGE, ONE), ERR_MALFORMED,
     "huge decay"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, "00", ONE), ERR_MALFORMED,
     "an integer decay"},
    {"hyperparameters", HYPER("1a40000001", "00", "01", ZERO, ZERO, ZERO, ONE), ERR_MALFORMED,
     "huge batch"},
    {"hyperparameters", HYPER("00", "00", "00", ZERO, ZERO, ZERO, ONE), ERR_MALFORMED,
     "neither epochs nor steps"},
    {"hyperparameters", HYPER("00", "01", "01", ZERO, ZERO, ZERO, ONE), ERR_MALFORMED,
     "both epochs and steps"},
    {"hyperparameters", HYPER("00", "00", "1a000f4241", ZERO, ZERO, ZERO, ONE), ERR_MALFORMED,
     "too many epochs"},
    {"hyperparameters", HYPER("00", "1a3b9aca01", "00", ZERO, ZERO, ZERO, ONE), ERR_MALFORMED,
     "too many steps"},
    {"hyperparameters", HYPER("00", "00", "01", ONE, ZERO, ZERO, ONE), ERR_MALFORMED, "momentum 1"},
    {"hyperparameters", HYPER("00", "00", "01", NEGATIVE, ZERO, ZERO, ONE), ERR_MALFORMED,
     "momentum -1"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, NEGATIVE, ZERO, ONE), ERR_MALFORMED,
     "negative mu"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, LARGE, ZERO, ONE), ERR_MALFORMED, "huge mu"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, ZERO, ZERO), ERR_MALFORMED, "rate 0"},
    {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, ZERO, "f6"), ERR_MALFORMED,
     "rate null"},
    {"hyperparameters", "a1 656261746368 00", ERR_MALFORMED, "one entry"},
    {"retention", "a2 666d6f64656c73 00 6775706461746573 1a000f4241", ERR_MALFORMED, "too many"},
    {"limits", LIMITS(LARGE, "1b0000100000000000"), 0, "as much as there may be"},
    {"limits", LIMITS(ZERO, "1b0000100000000001"), ERR_MALFORMED, "huge"},
    {"limits", LIMITS(LARGER, "00"), ERR_MALFORMED, "a norm above 1e300"},
    {"limits", LIMITS(NEGATIVE, "00"), ERR_MALFORMED, "a negative norm"},
    {"limits", LIMITS("f6", "00"), ERR_MALFORMED, "norm null"},
    {"limits", "a1 6c7570646174655f6279746573 00", ERR_MALFORMED, "as in version 1"},
};

static void test_a_value_out_of_range_is_refused(void **state)
{
    (void)state;
    struct plan p = example();
    struct buf out = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(sign(&p, &out, NULL), 0);
    assert_rows_are_refused(buf_bytes(&out), founder, decode, out_of_range,
                            sizeof out_of_range / sizeof out_of_range[0]);
    buf_fini(&out);
}

/* --- what only the whole says --- */

static void quorum_above_minimum(struct plan *p)
{
    p->quorum = 2;
}
static void unknown_rule(struct plan *p)
{
    strcpy(p->schedule[1].rule, "fedavgg");
}
static void no_schedule(struct plan *p)
{
    p->step_count = 0;
}
/* Needs neither target nor features but for moments. */
static void external_with_moments(struct plan *p)
{
    strcpy(p->architecture, "external");
    strcpy(p->trainer, "null");
    p->target[0] = '\0';
    p->features = p->classes = 0;
}
static void external(struct plan *p)
{
    external_with_moments(p);
    strcpy(p->schedule[0].rule, "fedavg");
}
static void external_by_a_program(struct plan *p)
{
    external(p);
    strcpy(p->trainer, "program");
}
static void external_by_a_pinned_program(struct plan *p)
{
    external_by_a_program(p);
    p->pinned = true;
}
static void external_with_layers(struct plan *p)
{
    external(p);
    p->hidden[p->hidden_count++] = 10;
}
static void logistic_by_a_program(struct plan *p)
{
    strcpy(p->trainer, "program");
}
static void pinned_constant(struct plan *p)
{
    strcpy(p->trainer, "constant");
    p->pinned = true;
}
static void softmax(struct plan *p)
{
    strcpy(p->architecture, "softmax");
    p->classes = 10;
    p->target[0] = '\0'; /* IDX data has no columns */
}
static void softmax_of_one_class(struct plan *p)
{
    softmax(p);
    p->classes = 1;
}
static void softmax_of_too_many_classes(struct plan *p)
{
    softmax(p);
    p->classes = NETWORK_WIDTH_MAX + 1;
}
static void softmax_without_features(struct plan *p)
{
    softmax(p);
    p->features = 0;
    strcpy(p->schedule[0].rule, "fedavg");
}
static void softmax_with_layers(struct plan *p)
{
    softmax(p);
    p->hidden[p->hidden_count++] = 10;
}
static void mlp(struct plan *p)
{
    softmax(p);
    strcpy(p->architecture, "mlp");
    p->hidden_count = 2;
    p->hidden[0] = p->hidden[1] = 200;
}
static void mlp_without_layers(struct plan *p)
{
    mlp(p);
    p->hidden_count = 0;
}

static void test_a_plan_that_makes_no_sense_is_not_signed(void **state)
{
    (void)state;
    static const struct {
        void (*edit)(struct plan *p);
        int code;
        const char *words;
    } rows[] = {
        {quorum_above_minimum, ERR_MALFORMED, "minimum 1 is below quorum 2"},
        {unknown_rule, ERR_UNSUPPORTED, "known: fedavg, moments, evaluate"},
        {no_schedule, ERR_MALFORMED, "a schedule without rounds"},
        {external_with_moments, ERR_MALFORMED, "moments needs features"},
        {external, 0, ""},
        {external_by_a_program, 0, ""},
        {external_by_a_pinned_program, 0, ""},
        {external_with_layers, ERR_MALFORMED,
         "an mlp has hidden layers, another architecture none"},
        {logistic_by_a_program, 0, ""},
        {pinned_constant, ERR_MALFORMED, "a digest pins a program, not trainer constant"},
        {softmax, 0, ""},
        {softmax_of_one_class, ERR_MALFORMED, "softmax needs features and 2 to 65536 classes"},
        {softmax_of_too_many_classes, ERR_MALFORMED, "2 to 65536 classes"},
        {softmax_without_features, ERR_MALFORMED, "softmax needs features"},
        {softmax_with_layers, ERR_MALFORMED, "another architecture none"},
        {mlp, 0, ""},
        {mlp_without_layers, ERR_MALFORMED, "an mlp has hidden layers"},
    };
    struct buf out = buf_new(RECORD_BYTES_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan p = example();
        struct err err = {0};
        rows[i].edit(&p);
        int rc = sign(&p, &out, &err);
        if (rc != rows[i].code || strstr(err.text, rows[i].words) == NULL)
            fail_msg("row %zu: %d %s", i, rc, err.text);
        assert_int_equal(out.size > 0, rc == 0);
    }
    buf_fini(&out);
}

/* --- version 1 --- */

/* As the program signed it that knew no other version. */
static const char version_1[] =
    "b56262795822ed016455c6f20f1ab0190f54ed602233bedf2a2f564f07aa466729b3e2cd7929b87d63736967"
    "58405f50f99c4595c28defeae3499587ad58ce004e64d869c7222df96f04fbab4c087c792a74410cde63f631"
    "30e095b9dcaf0dc0518d08387730433219c1783aa6036464617461a36674617267657469646961676e6f7369"
    "7367636c61737365730268666561747572657303646b696e646e636f6c6d6569612f706c616e2f3164707265"
    "76d82a582500017112209d9f290527a6be626a8f5985b26e19b237b44872b03631811df4416fc17131786473"
    "6565641bffffffffffffffff65636f64656365706c61696e656d6f64656cd82a582500015512209372c470ee"
    "add5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4657374756479d82a5825000171122067ab"
    "dd721024f0ff4e0b3f4c2fc13bc5bad42d0b7851d456d88d203d15aaa450666c61796f7574d82a5825000171"
    "122026b25d457597a7b0463f9620f666dd10aa2c4373a505967c7c8d70922a2d6ece666c696d697473a16c75"
    "70646174655f62797465731a075bcd156671756f72756d026770726976616379f667747261696e6572666e61"
    "74697665687363686564756c658382676d6f6d656e74730182666665646176670382686576616c7561746501"
    "696f7074696d69736572646e6f6e6569726574656e74696f6ea2666d6f64656c730267757064617465730369"
    "73656c656374696f6ea2676d696e696d756d036c6672616374696f6e5f70706d1a0007a1206b646561646c69"
    "6e655f6d7319ea606c617263686974656374757265686c6f6769737469636f6879706572706172616d657465"
    "7273a4626c32fb3f50624dd2f1a9fc656261746368086665706f636873026d6c6561726e696e675f72617465"
    "fb3fd0000000000000";

static struct buf old_plan(void)
{
    static uint8_t bytes[sizeof version_1 / 2];
    struct buf out = buf_new(RECORD_BYTES_MAX);
    buf_append(&out, bytes, from_hex(version_1, bytes, sizeof bytes));
    return out;
}

static void test_a_plan_of_version_1_is_still_read(void **state)
{
    (void)state;
    struct key_public by = key_public(founder);
    struct buf old = old_plan();
    struct plan p, want = example();
    char cid[CID_TEXT_MAX];
    struct err err = {0};
    if (plan_decode(buf_bytes(&old), &study, &by, &p, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(cid_format(&p.cid, cid),
                        "bafyreidvv5yytd3lfbp3yxqmn3xcs3k4u7r3qdqplqdkpwjhsa7ifcbqam");
    want.cid = p.cid;
    want.prev = fixture_cid(3);
    want.seed = UINT64_MAX;
    want.update_bytes_max = 123456789;
    want.keep_models = 2;
    want.keep_updates = 3;
    want.fraction_ppm = 500000;
    want.minimum = 3;
    want.quorum = 2;
    want.weight_decay = 0.001; /* which was called l2 */
    want.optimiser = (struct optimiser_setting){.kind = OPTIMISER_NONE, .rate = 1};
    assert_memory_equal(&p, &want, sizeof p);
    assert_damage_is_refused(buf_bytes(&old), decode);
    assert_others_are_refused(buf_bytes(&old), founder, stranger, decode);
    buf_fini(&old);
}

static void test_version_1_knows_nothing_of_version_2(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"hidden", "80", ERR_MALFORMED, "a field of version 2"},
        {"trainer_digest", "f6", ERR_MALFORMED, "a field of version 2"},
        {"architecture", "67736f66746d6178", ERR_UNSUPPORTED, "softmax"},
        {"trainer", "6770726f6772616d", ERR_UNSUPPORTED, "program"},
        {"optimiser", FEDAVGM, ERR_UNSUPPORTED, "fedavgm"},
        {"optimiser", SERVER(ZERO, NONE, ONE, ZERO, ZERO), ERR_MALFORMED, "as in version 2"},
        {"limits", LIMITS(ONE, "00"), ERR_LIMIT, "as in version 2"},
        {"hyperparameters", HYPER("00", "00", "01", ZERO, ZERO, ZERO, ONE), ERR_LIMIT,
         "as in version 2"},
        {"hyperparameters", HYPER_1(ONE, "00", "01", ONE), 0, "other ones"},
        {"hyperparameters", HYPER_1(ONE, "00", "00", ONE), ERR_MALFORMED, "no epochs"},
        {"hyperparameters", HYPER_1(NEGATIVE, "00", "01", ONE), ERR_MALFORMED, "negative l2"},
        {"hyperparameters", HYPER_1(ONE, "00", "01", ZERO), ERR_MALFORMED, "rate 0"},
    };
    struct buf old = old_plan(), other = buf_new(RECORD_BYTES_MAX);
    struct plan p = example();
    assert_rows_are_refused(buf_bytes(&old), founder, decode, rows, sizeof rows / sizeof rows[0]);
    /* one version's fields under the other's name */
    hostile_remake(buf_bytes(&old), "colmeia/plan/2", founder, "kind", "", &other);
    assert_int_equal(decode(buf_bytes(&other), NULL), ERR_MALFORMED);
    assert_int_equal(sign(&p, &old, NULL), 0);
    hostile_remake(buf_bytes(&old), "colmeia/plan/1", founder, "kind", "", &other);
    assert_int_equal(decode(buf_bytes(&other), NULL), ERR_MALFORMED);
    buf_fini(&other);
    buf_fini(&old);
}

/* --- functions of a plan --- */

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

static void test_rounds_that_train_are_counted(void **state)
{
    (void)state;
    struct plan p = example();
    static const uint64_t counts[] = {0, 0, 1, 2, 3, 3, 3}; /* moments, 3 x fedavg, evaluate */
    for (uint64_t i = 0; i < 7; i++)
        assert_int_equal(plan_training_rounds(&p, i), counts[i]);
    assert_int_equal(plan_training_rounds(&p, UINT64_MAX), 3);
    p.schedule[2] = (struct plan_step){"fedavg", 1000000};
    assert_int_equal(plan_training_rounds(&p, 1000), 999);
}

static void test_a_fraction_trains_and_everybody_answers_the_rest(void **state)
{
    (void)state;
    static const struct {
        uint64_t number, fraction_ppm, admitted, minimum, wanted;
        const char *why;
    } rows[] = {
        {2, PLAN_PPM, 7, 1, 7, "all"},
        {2, 100000, 100, 1, 10, "a tenth"},
        {2, 100000, 101, 1, 11, "rounded up"},
        {2, 1, 100, 1, 1, "never nobody"},
        {2, 100000, 100, 20, 20, "the minimum"},
        {2, 333333, 3, 1, 1, "just below a whole"},
        {2, 333334, 3, 1, 2, "just above a whole"},
        {2, 500000, 10000, 1, 5000, "a large roster"},
        {4, 500000, 8, 1, 4, "the last round that trains"},
        {1, 100000, 100, 1, 100, "moments: everybody"},
        {5, 100000, 100, 1, 100, "evaluate: everybody"},
        {5, 100000, 2, 3, 3, "evaluate: the minimum still"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan p = example();
        p.fraction_ppm = rows[i].fraction_ppm;
        p.minimum = rows[i].minimum;
        uint64_t got = plan_wanted(&p, rows[i].number, rows[i].admitted);
        if (got != rows[i].wanted)
            fail_msg("%s: %llu", rows[i].why, (unsigned long long)got);
    }
}

static void test_a_plans_network_is_its_architecture(void **state)
{
    (void)state;
    struct plan p = example();
    struct network n;
    assert_true(plan_network(&p, &n));
    assert_true(n.kind == NETWORK_LOGISTIC && n.features == 3 && n.classes == 2);
    assert_int_equal(n.hidden_count, 0);
    mlp(&p);
    p.hidden[1] = 100;
    assert_true(plan_network(&p, &n));
    assert_true(n.kind == NETWORK_MLP && n.features == 3 && n.classes == 10);
    assert_true(n.hidden_count == 2 && n.hidden[0] == 200 && n.hidden[1] == 100);
    n.features = 77;
    external(&p);
    assert_false(plan_network(&p, &n));
    assert_int_equal(n.features, 77);
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
    const struct network n = {.kind = NETWORK_LOGISTIC, .features = 3, .classes = 2};
    struct layout *l;
    assert_int_equal(network_layout(&n, &l, NULL), 0);
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
        cmocka_unit_test(test_a_plan_that_makes_no_sense_is_not_signed),
        cmocka_unit_test(test_a_plan_of_version_1_is_still_read),
        cmocka_unit_test(test_version_1_knows_nothing_of_version_2),
        cmocka_unit_test(test_rounds_that_train_are_counted),
        cmocka_unit_test(test_a_fraction_trains_and_everybody_answers_the_rest),
        cmocka_unit_test(test_a_plans_network_is_its_architecture),
        cmocka_unit_test(test_the_schedule_says_each_rounds_rule),
        cmocka_unit_test(test_seeds_are_the_documented_hashes),
        cmocka_unit_test(test_retention_is_a_function_of_round_and_plan),
        cmocka_unit_test(test_the_quota_is_twice_the_layout_unless_the_plan_says),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
