/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "study/plan_file.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int load(const char *text, struct plan_file *out, struct err *err)
{
    write_file(in_scratch("plan.toml"), bytes_of_text(text));
    return plan_file_load(in_scratch("plan.toml"), out, err);
}

static const char least[] = "[study]\nname = \"demo\"\n"
                            "[model]\narchitecture = \"logistic\"\nfeatures = 30\nclasses = 2\n"
                            "[data]\ntarget = \"diagnosis\"\n"
                            "[rounds]\nschedule = [\"fedavg 1\"]\nminimum = 3\n";

static void test_what_is_not_said_has_the_documented_value(void **state)
{
    (void)state;
    struct plan_file f;
    struct err err = {0};
    if (load(least, &f, &err) != 0)
        fail_msg("%s", err.text);
    const struct plan *p = &f.plan;
    assert_string_equal(f.name, "demo");
    assert_string_equal(p->architecture, "logistic");
    assert_string_equal(p->target, "diagnosis");
    assert_string_equal(p->trainer, "native");
    assert_true(p->optimiser.kind == OPTIMISER_NONE && p->optimiser.rate == 1);
    assert_true(p->optimiser.beta1 == 0 && p->optimiser.beta2 == 0 && p->optimiser.tau == 0);
    assert_string_equal(p->codec, "plain");
    assert_true(p->features == 30 && p->classes == 2 && p->seed == 1);
    assert_true(p->minimum == 3 && p->quorum == 3 && p->fraction_ppm == PLAN_PPM);
    assert_true(p->deadline_ms == 3600000 && p->epochs == 1 && p->batch == 32);
    assert_true(p->learning_rate == 0.1 && p->weight_decay == 0);
    assert_true(p->steps == 0 && p->momentum == 0 && p->proximal == 0);
    assert_true(p->hidden_count == 0 && !p->pinned && p->update_norm_max == 0);
    assert_true(p->keep_updates == 0 && p->keep_models == 0 && p->update_bytes_max == 0);
    assert_true(f.fixed.count == 0 && f.largest.count == 0);
    plan_file_fini(&f);
}

static void test_every_key_reaches_the_plan(void **state)
{
    (void)state;
    struct plan_file f;
    struct err err = {0};
    if (load("seed = 18446744073709551615\n"
             "[study]\nname = \"cnn.1\"\n"
             "[model]\narchitecture = \"mlp\"\nhidden = [200, 65536]\nfeatures = 4\nclasses = 10\n"
             "fixed = [\"a.b\", \"c\"]\nlargest = [\"steps\"]\n"
             "[data]\ntarget = \"label\"\n"
             "[rounds]\nschedule = [\n  \"moments 1\", # scaling\n  \"fedavg 20\",\n  \"evaluate "
             "1\",\n]\n"
             "minimum = 5\nquorum = 4\nfraction = 0.5\ndeadline_seconds = 2.5\n"
             "[training]\ntrainer = \"program\"\nsteps = 100\nbatch = 0\nlearning_rate = 1e-3\n"
             "trainer_digest = \"" DIGEST "\"\n"
             "momentum = 0.9\nweight_decay = 0.5\nproximal = 0.01\n"
             "[server]\noptimiser = \"fedyogi\"\nrate = 0.3\nbeta1 = 0.8\nbeta2 = 0.7\ntau = 0.5\n"
             "[limits]\nupdate_norm = 1e300\nupdate_bytes = 17592186044416\n"
             "[retention]\nupdates = 2\nmodels = 3\n",
             &f, &err) != 0)
        fail_msg("%s", err.text);
    const struct plan *p = &f.plan;
    assert_true(p->seed == UINT64_MAX && p->step_count == 3 && plan_rounds(p) == 22);
    assert_string_equal(p->schedule[1].rule, "fedavg");
    assert_true(p->minimum == 5 && p->quorum == 4);
    assert_true(p->fraction_ppm == 500000 && p->deadline_ms == 2500);
    assert_string_equal(p->architecture, "mlp");
    assert_true(p->hidden_count == 2 && p->hidden[0] == 200 && p->hidden[1] == 65536);
    assert_string_equal(p->trainer, "program");
    assert_true(p->pinned && p->trainer_digest[0] == 0x01 && p->trainer_digest[31] == 0xef);
    assert_true(p->epochs == 0 && p->steps == 100 && p->batch == 0 && p->learning_rate == 1e-3);
    assert_true(p->momentum == 0.9 && p->weight_decay == 0.5 && p->proximal == 0.01);
    assert_true(p->optimiser.kind == OPTIMISER_FEDYOGI && p->optimiser.rate == 0.3);
    assert_true(p->optimiser.beta1 == 0.8 && p->optimiser.beta2 == 0.7 && p->optimiser.tau == 0.5);
    assert_true(p->update_norm_max == 1e300 && p->update_bytes_max == 1ull << 44);
    assert_true(p->keep_updates == 2 && p->keep_models == 3);
    assert_int_equal(f.fixed.count, 2);
    assert_string_equal(f.fixed.items[1], "c");
    assert_string_equal(f.largest.items[0], "steps");
    plan_file_fini(&f);
    plan_file_fini(&f); /* harmless twice */
}

static void test_each_optimiser_has_its_usual_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct optimiser_setting setting;
    } rows[] = {
        {"none", {OPTIMISER_NONE, 1, 0, 0, 0}},
        {"fedavgm", {OPTIMISER_FEDAVGM, 1, 0.9, 0, 0}},
        {"fedadagrad", {OPTIMISER_FEDADAGRAD, 0.1, 0, 0, 1e-3}},
        {"fedadam", {OPTIMISER_FEDADAM, 0.1, 0.9, 0.99, 1e-3}},
        {"fedadam-corrected", {OPTIMISER_FEDADAM_CORRECTED, 0.1, 0.9, 0.99, 1e-3}},
        {"fedyogi", {OPTIMISER_FEDYOGI, 0.1, 0.9, 0.99, 1e-3}},
    };
    struct buf text = buf_new(4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan_file f;
        struct err err = {0};
        const struct optimiser_setting *want = &rows[i].setting, *got = &f.plan.optimiser;
        buf_clear(&text);
        buf_append_format(&text, "%s[server]\noptimiser = \"%s\"\n", least, rows[i].name);
        if (load(buf_text(&text), &f, &err) != 0)
            fail_msg("%s", err.text);
        if (got->kind != want->kind || got->rate != want->rate || got->beta1 != want->beta1 ||
            got->beta2 != want->beta2 || got->tau != want->tau)
            fail_msg("%s", rows[i].name);
        plan_file_fini(&f);
    }
    buf_fini(&text);
}

/* Whatever the file may say, the record takes. */
static void test_what_the_file_allows_can_be_signed(void **state)
{
    (void)state;
    static const char *const more[] = {
        "",
        "[training]\nsteps = 1000000000\nmomentum = 0.9999999999999999\nlearning_rate = 1e6\n",
        "[training]\ntrainer = \"program\"\ntrainer_digest = \"" DIGEST "\"\n",
        "[training]\ntrainer = \"program\"\n[server]\noptimiser = \"fedavgm\"\nbeta1 = 0\n",
        "[server]\noptimiser = \"fedadam-corrected\"\nrate = 1e-12\ntau = 1e-12\n",
        "[server]\noptimiser = \"fedadagrad\"\nbeta1 = 0.9999999999999999\ntau = 1e6\n",
        "[limits]\nupdate_norm = 1e300\nupdate_bytes = 17592186044416\n",
    };
    const uint8_t seed[KEY_BYTES] = {1};
    struct cid study = cid_of(CID_DAG_CBOR, bytes_of_text("study")), cid;
    struct buf text = buf_new(4096), block = buf_new(RECORD_BYTES_MAX);
    struct key *founder;
    assert_int_equal(key_setup(NULL), 0);
    assert_int_equal(key_from_seed(KEY_ED25519, seed, &founder, NULL), 0);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        struct plan_file f;
        struct err err = {0};
        buf_clear(&text);
        buf_append_format(&text, "%s%s", least, more[i]);
        if (load(buf_text(&text), &f, &err) != 0)
            fail_msg("%s: %s", more[i], err.text);
        f.plan.layout = cid_of(CID_DAG_CBOR, bytes_of_text("layout"));
        f.plan.model = cid_of(CID_RAW, bytes_of_text("model"));
        if (plan_sign(&f.plan, &study, founder, &block, &cid, &err) != 0)
            fail_msg("%s: %s", more[i], err.text);
        plan_file_fini(&f);
    }
    key_free(founder);
    buf_fini(&block);
    buf_fini(&text);
}

#define S       "[study]\nname = \"demo\"\n"
#define M       "[model]\narchitecture = \"logistic\"\nfeatures = 3\nclasses = 2\n"
#define MLP     "[model]\narchitecture = \"mlp\"\nfeatures = 3\nclasses = 2\n"
#define PROGRAM "[training]\ntrainer = \"program\"\n"
#define D       "[data]\ntarget = \"y\"\n"
#define R       "[rounds]\nminimum = 3\n"
#define C       "schedule = [\"fedavg 1\"]\n"

static const struct {
    const char *text, *sentence;
} wrong[] = {
    /* by the schema: base/config's tests have the rest */
    {M D R C, "plan.toml: [study] name is missing; it must be 1 to 64 of a-z"},
    {S D R C, "plan.toml: [model] architecture is missing; it must be logistic | softmax | "
              "mlp | external"},
    {S M D R, "plan.toml: [rounds] schedule is missing; it must be an array of \"RULE ROUNDS\""},
    {S M D "[rounds]\n" C, "plan.toml: [rounds] minimum is missing; it must be a number of sites"},
    {S M D R C "sites = 3\n", "plan.toml:12: sites: no such key in [rounds]; allowed: schedule, "},
    {S M D R C "[clients]\n", "plan.toml:12: [clients]: no such table; allowed: [study], [model], "
                              "[data], [rounds], [training], [server], [limits], [retention]"},
    {S M D R C "[training]\nepochs = 0\n",
     "plan.toml:13: epochs: must be a number from 1 to 1000000, not 0"},
    {S M D R C "[training]\ntrainer = \"magic\"\n",
     "plan.toml:13: trainer: must be native | program | null | constant, not \"magic\""},
    {S M D R C "[training]\nlearning_rate = 0\n",
     "plan.toml:13: learning_rate: must be a number from 1e-12 to 1e6, not 0"},
    {S M D R C "[training]\nl2 = 0.1\n", "plan.toml:13: l2: no such key in [training]; allowed: "
                                         "trainer, trainer_digest, epochs, steps, batch, "
                                         "learning_rate, momentum, weight_decay, proximal"},
    {S M D R C "[training]\nweight_decay = -1\n",
     "plan.toml:13: weight_decay: must be a number from 0 to 1e6, not -1"},
    {S M D R C "[training]\nproximal = -1\n",
     "plan.toml:13: proximal: must be a number from 0 to 1e6, not -1"},
    {S M D R C "[training]\nmomentum = 1\n",
     "plan.toml:13: momentum: must be a number from 0 and below 1, not 1"},
    {S M D R C "[training]\nsteps = 0\n",
     "plan.toml:13: steps: must be a number from 1 to 1000000000, not 0"},
    {S M D R C "[server]\noptimiser = \"adam\"\n",
     "plan.toml:13: optimiser: must be none | fedavgm | fedadagrad | fedadam | fedadam-corrected | "
     "fedyogi, not \"adam\""},
    {S M D R C "[server]\nrate = 0\n", "plan.toml:13: rate: must be a number from 1e-12 to 1e6"},
    {S M D R C "[server]\nbeta1 = 1.0\n",
     "plan.toml:13: beta1: must be a number from 0 and below 1, not 1.0"},
    {S M D R C "[server]\nbeta2 = -0.5\n",
     "plan.toml:13: beta2: must be a number from 0 and below 1, not -0.5"},
    {S M D R C "[server]\ntau = 0\n", "plan.toml:13: tau: must be a number from 1e-12 to 1e6"},
    {S M D R C "[limits]\nupdate_norm = -1\n",
     "plan.toml:13: update_norm: must be a number up to 1e300, 0 for no bound, not -1"},
    {S M D R C "[limits]\nupdate_bytes = 17592186044417\n",
     "plan.toml:13: update_bytes: must be a number of bytes, 0 for twice the model"},
    {S "[model]\nhidden = [0]\n" D R C, "plan.toml:4: hidden: must be an array of 1 to 8 numbers "
                                        "of units, each from 1 to 65536, not 0"},
    {S "[model]\nhidden = [65537]\n" D R C, "plan.toml:4: hidden: must be an array of 1 to 8"},
    {S "[model]\nhidden = 200\n" D R C, "plan.toml:4: hidden: must be an array of 1 to 8"},
    {S M D R C "quorum = 0\n", "plan.toml:12: quorum: must be a number of sites from 1 to 1024"},
    {S M D R C "fraction = 0\n", "plan.toml:12: fraction: must be a number above 0 and up to 1"},
    {S M D R C "fraction = 1.1\n", "plan.toml:12: fraction: must be a number above 0 and up to 1"},
    {S M D R C "deadline_seconds = 0\n", "plan.toml:12: deadline_seconds: must be a number of "},
    /* what only a plan knows */
    {"[study]\nname = \"My Study\"\n" M D R C,
     "plan.toml:2: name: must be 1 to 64 of a-z 0-9 - _ ., beginning with a letter or digit"},
    {S M D R "quorum = 4\n" C, "plan.toml:10: minimum: must be at least quorum"},
    {S M D R "schedule = []\n", "plan.toml:11: schedule: must be of 1 to 64 steps"},
    {S M D R "schedule = [\"fedprox 3\"]\n",
     "plan.toml:11: schedule: must be of known rules (fedavg, moments, evaluate), not \"fedprox "
     "3\""},
    {S M D R "schedule = [\"0123456789abcdef 3\"]\n",
     "plan.toml:11: schedule: must be of known rules (fedavg, moments, evaluate), not "},
    {S M D R "schedule = [\"\"]\n", "plan.toml:11: schedule: must be of known rules"},
    {S M D R "schedule = [\" fedavg 1\"]\n", "plan.toml:11: schedule: must be of known rules"},
    {S M D R "schedule = [\"fedavg\"]\n",
     "plan.toml:11: schedule: must be of \"RULE ROUNDS\", such as \"fedavg 1\", not \"fedavg\""},
    {S M D R "schedule = [\"fedavg 0\"]\n", "plan.toml:11: schedule: must be of \"RULE ROUNDS\""},
    {S M D R "schedule = [\"fedavg -1\"]\n", "plan.toml:11: schedule: must be of \"RULE ROUNDS\""},
    {S M D R "schedule = [\"fedavg 1 \"]\n", "plan.toml:11: schedule: must be of \"RULE ROUNDS\""},
    {S M D R "schedule = [\"fedavg 1000001\"]\n",
     "plan.toml:11: schedule: must be of \"RULE ROUNDS\""},
    {S M D R "schedule = [\"fedavg 1000000\",\n\"evaluate 1\"]\n",
     "plan.toml:11: schedule: must be of 1000000 rounds at most"},
    {S "[model]\narchitecture = \"logistic\"\nfeatures = 3\n" D R C,
     "plan.toml: classes: must be 2 for architecture logistic"},
    {S "[model]\narchitecture = \"logistic\"\nfeatures = 3\nclasses = 3\n" D R C,
     "plan.toml:6: classes: must be 2 for architecture logistic"},
    {S "[model]\narchitecture = \"logistic\"\nclasses = 2\nfeatures = 0\n" D R C,
     "plan.toml:6: features: must be at least 1"},
    {S M R C, "plan.toml: target: must be the name of a column for architecture logistic"},
    {S M "[data]\ntarget = \"a\\nb\"\n" R C,
     "plan.toml:8: target: must be without control characters"},
    {S "[model]\narchitecture = \"external\"\n" R C,
     "plan.toml: trainer: must be program, null or constant for architecture external"},
    {S M "hidden = [20]\n" D R C,
     "plan.toml:7: hidden: must be left out: only architecture mlp has hidden layers"},
    {S MLP D R C, "plan.toml: hidden: must be an array of 1 to 8 numbers of units for "
                  "architecture mlp"},
    {S MLP "hidden = []\n" D R C,
     "plan.toml:7: hidden: must be an array of 1 to 8 numbers of units"},
    {S MLP "hidden = [1,2,3,4,5,6,7,8,9]\n" D R C,
     "plan.toml:7: hidden: must be an array of 1 to 8"},
    {S "[model]\narchitecture = \"softmax\"\nfeatures = 3\n" R C,
     "plan.toml: classes: must be a number from 2 to 65536 for architectures softmax and mlp"},
    {S "[model]\narchitecture = \"softmax\"\nfeatures = 3\nclasses = 65537\n" R C,
     "plan.toml:6: classes: must be a number from 2 to 65536"},
    {S "[model]\narchitecture = \"softmax\"\nclasses = 3\n" R C,
     "plan.toml: features: must be at least 1 for the rule moments and every architecture but"},
    {S M D R C "[training]\nepochs = 1\nsteps = 5\n",
     "plan.toml:14: steps: must be left out where epochs is given, and epochs where steps is"},
    {S M D R C "[training]\ntrainer_digest = \"" DIGEST "\"\n",
     "plan.toml:13: trainer_digest: must be left out unless the trainer is program"},
    {S M D R C PROGRAM "trainer_digest = \"\"\n",
     "plan.toml:14: trainer_digest: must be 64 hex digits, lower case"},
    {S M D R C PROGRAM "trainer_digest = \"abcd\"\n",
     "plan.toml:14: trainer_digest: must be 64 hex digits, lower case"},
    {S M D R C PROGRAM "trainer_digest = \"" DIGEST "0\"\n",
     "plan.toml:14: trainer_digest: longer than 64 bytes"},
    {S M D R C PROGRAM
     "trainer_digest = \"g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n",
     "plan.toml:14: trainer_digest: must be 64 hex digits, lower case"},
    {S M D R C "[server]\nrate = 0.5\n",
     "plan.toml:13: rate: must be left out: optimiser none does not use it"},
    {S M D R C "[server]\noptimiser = \"none\"\nbeta1 = 0\n",
     "plan.toml:14: beta1: must be left out: optimiser none does not use it"},
    {S M D R C "[server]\noptimiser = \"fedavgm\"\nbeta2 = 0.9\n",
     "plan.toml:14: beta2: must be left out: optimiser fedavgm does not use it"},
    {S M D R C "[server]\noptimiser = \"fedavgm\"\ntau = 0.9\n",
     "plan.toml:14: tau: must be left out: optimiser fedavgm does not use it"},
    {S M D R C "[server]\noptimiser = \"fedadagrad\"\nbeta2 = 0.9\n",
     "plan.toml:14: beta2: must be left out: optimiser fedadagrad does not use it"},
    {S "[model]\narchitecture = \"external\"\n" R "schedule = [\"moments 1\"]\n"
       "[training]\ntrainer = \"null\"\n",
     "plan.toml: features: must be at least 1"},
};

static void test_what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct plan_file f = {.name = "untouched"};
        struct err err = {0};
        int rc = load(wrong[i].text, &f, &err);
        const char *said = strstr(err.text, "plan.toml");
        if (rc != ERR_USAGE || said == NULL ||
            strncmp(said, wrong[i].sentence, strlen(wrong[i].sentence)) != 0)
            fail_msg("expected %s\n got %d %s", wrong[i].sentence, rc, err.text);
        assert_string_equal(f.name, "untouched");
    }
}

static void test_too_many_names_are_refused(void **state)
{
    (void)state;
    struct plan_file f;
    struct err err = {0};
    struct buf text = buf_new(1u << 20);
    buf_append_text(&text, S D R C M "largest = [");
    for (int i = 0; i <= PLAN_NAMES_MAX; i++)
        buf_append_format(&text, "\"t%d\",", i);
    buf_append_text(&text, "]\n");
    assert_int_equal(load(buf_text(&text), &f, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "largest: must be of 256 names at most"));
    buf_fini(&text);
}

static void test_a_missing_file_is_named(void **state)
{
    (void)state;
    struct plan_file f;
    struct err err = {0};
    assert_int_equal(plan_file_load(in_scratch("none.toml"), &f, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "none.toml"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_not_said_has_the_documented_value),
        TEST(test_every_key_reaches_the_plan),
        TEST(test_each_optimiser_has_its_usual_values),
        TEST(test_what_the_file_allows_can_be_signed),
        TEST(test_what_is_wrong_is_said_with_its_place),
        TEST(test_too_many_names_are_refused),
        TEST(test_a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
