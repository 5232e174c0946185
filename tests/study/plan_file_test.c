/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "study/plan_file.h"

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
    assert_string_equal(p->optimiser, "none");
    assert_string_equal(p->codec, "plain");
    assert_true(p->features == 30 && p->classes == 2 && p->seed == 1);
    assert_true(p->minimum == 3 && p->quorum == 3 && p->fraction_ppm == PLAN_PPM);
    assert_true(p->deadline_ms == 3600000 && p->epochs == 1 && p->batch == 32);
    assert_true(p->learning_rate == 0.1 && p->l2 == 0);
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
             "[model]\narchitecture = \"external\"\nfeatures = 4\nclasses = 10\n"
             "fixed = [\"a.b\", \"c\"]\nlargest = [\"steps\"]\n"
             "[data]\ntarget = \"label\"\n"
             "[rounds]\nschedule = [\n  \"moments 1\", # scaling\n  \"fedavg 20\",\n  \"evaluate "
             "1\",\n]\n"
             "minimum = 5\nquorum = 4\nfraction = 0.5\ndeadline_seconds = 2.5\n"
             "[training]\ntrainer = \"null\"\nepochs = 3\nbatch = 0\nlearning_rate = 1e-3\nl2 = "
             "0.5\n"
             "[retention]\nupdates = 2\nmodels = 3\n",
             &f, &err) != 0)
        fail_msg("%s", err.text);
    const struct plan *p = &f.plan;
    assert_true(p->seed == UINT64_MAX && p->step_count == 3 && plan_rounds(p) == 22);
    assert_string_equal(p->schedule[1].rule, "fedavg");
    assert_true(p->minimum == 5 && p->quorum == 4);
    assert_true(p->fraction_ppm == 500000 && p->deadline_ms == 2500);
    assert_string_equal(p->trainer, "null");
    assert_true(p->epochs == 3 && p->batch == 0 && p->learning_rate == 1e-3 && p->l2 == 0.5);
    assert_true(p->keep_updates == 2 && p->keep_models == 3);
    assert_int_equal(f.fixed.count, 2);
    assert_string_equal(f.fixed.items[1], "c");
    assert_string_equal(f.largest.items[0], "steps");
    plan_file_fini(&f);
    plan_file_fini(&f); /* harmless twice */
}

#define S "[study]\nname = \"demo\"\n"
#define M "[model]\narchitecture = \"logistic\"\nfeatures = 3\nclasses = 2\n"
#define D "[data]\ntarget = \"y\"\n"
#define R "[rounds]\nminimum = 3\n"
#define C "schedule = [\"fedavg 1\"]\n"

static const struct {
    const char *text, *sentence;
} wrong[] = {
    /* by the schema: base/config's tests have the rest */
    {M D R C, "plan.toml: [study] name is missing; it must be 1 to 64 of a-z"},
    {S D R C, "plan.toml: [model] architecture is missing; it must be logistic | external"},
    {S M D R, "plan.toml: [rounds] schedule is missing; it must be an array of \"RULE ROUNDS\""},
    {S M D "[rounds]\n" C, "plan.toml: [rounds] minimum is missing; it must be a number of sites"},
    {S M D R C "sites = 3\n", "plan.toml:12: sites: no such key in [rounds]; allowed: schedule, "},
    {S M D R C "[server]\n", "plan.toml:12: [server]: no such table; allowed: [study], [model], "},
    {S M D R C "[training]\nepochs = 0\n",
     "plan.toml:13: epochs: must be a number from 1 to 1000000, not 0"},
    {S M D R C "[training]\ntrainer = \"magic\"\n",
     "plan.toml:13: trainer: must be native | null | constant, not \"magic\""},
    {S M D R C "[training]\nlearning_rate = 0\n",
     "plan.toml:13: learning_rate: must be a number from 1e-12 to 1e6, not 0"},
    {S M D R C "[training]\nl2 = -1\n", "plan.toml:13: l2: must be a number from 0 to 1e6, not -1"},
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
     "plan.toml: trainer: must be null or constant unless the architecture is logistic"},
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
        TEST(test_what_is_wrong_is_said_with_its_place),
        TEST(test_too_many_names_are_refused),
        TEST(test_a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
