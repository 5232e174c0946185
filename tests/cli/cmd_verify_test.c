/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/tool.h"
#include "tests/study/verify_chain.h"

#include "base/journal.h"

static const struct fixture_options two_sites = {.sites = 2};

/* A study of two rounds; its model and study as text. */
static void make_study(char model[CID_TEXT_MAX], char study[CID_TEXT_MAX])
{
    struct chain c;
    chain_init(&c, &two_sites);
    chain_play(&c, NULL);
    chain_play(&c, NULL);
    cid_format(&c.base, model);
    cid_format(&c.f.study_id, study);
    chain_fini(&c);
}

static void test_a_study_that_holds_ends_in_one_line(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX], line[CID_TEXT_MAX + 64];
    make_study(model, study);
    tool_run(cmd_verify, "verify", scratch, "--study", study, NULL);
    snprintf(line, sizeof line, "verified 2 rounds, final model %s\n", model);
    assert_int_equal(tool.status, 0);
    assert_string_equal(tool_out(), line);
    assert_int_equal(tool.err.size, 0);
    tool_run(cmd_verify, "verify", "-v", scratch, "--study", study, NULL);
    tool_expect(0, "round 1, record bafy", "");
    tool_expect(0, ": recomputed\nround 2, record ", "");
    tool_expect(0, line, "");
}

static void test_without_an_anchor_it_says_so(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX];
    make_study(model, study);
    tool_run(cmd_verify, "verify", scratch, NULL);
    tool_expect(0, "verified 2 rounds", "no trust anchor was given");
    tool_expect(0, "", study);
}

static void test_json_says_the_same_to_scripts(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX];
    make_study(model, study);
    tool_run(cmd_verify, "verify", scratch, "--study", study, "--json", "-v", NULL);
    assert_int_equal(tool.status, 0);
    json_t *found = tool_json();
    assert_true(json_is_true(json_object_get(found, "verified")));
    assert_true(json_is_true(json_object_get(found, "anchored")));
    assert_int_equal(json_integer_value(json_object_get(found, "rounds")), 2);
    assert_int_equal(json_integer_value(json_object_get(found, "recomputed")), 2);
    assert_string_equal(json_string_value(json_object_get(found, "model")), model);
    json_decref(found);
    tool_run(cmd_verify, "verify", scratch, "--study", model, "--json", NULL);
    assert_int_equal(tool.status, 1);
    found = tool_json();
    assert_true(json_is_false(json_object_get(found, "verified")));
    assert_string_equal(json_string_value(json_object_get(found, "code")), "denied");
    assert_non_null(json_string_value(json_object_get(found, "record")));
    json_decref(found);
}

static void test_damage_is_a_no_that_names_round_record_and_file(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX], name[CID_TEXT_MAX + 64];
    make_study(model, study);
    snprintf(name, sizeof name, "shared/models/%s.safetensors", model);
    damage_file(in_scratch(name), 10, 1);
    tool_run(cmd_verify, "verify", scratch, "--study", study, NULL);
    tool_expect(1, "", "colmeia verify: round 2, record bafy");
    tool_expect(1, "", model);
    assert_int_equal(tool.out.size, 0);
}

static void test_a_damaged_journal_is_named_with_its_offset(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX];
    struct journal *j;
    uint64_t cut;
    make_study(model, study);
    MUST(journal_open(files_posix(), in_scratch("journal"), NULL, NULL, &j, &cut, err));
    MUST(journal_start(j, 1, 0, bytes_of_text("first"), err));
    MUST(journal_append(j, 1, bytes_of_text("second"), err));
    MUST(journal_append(j, 2, bytes_of_text("third"), err));
    journal_close(j);
    tool_run(cmd_verify, "verify", scratch, "--study", study, NULL);
    tool_expect(0, "verified 2 rounds", "");
    damage_file(in_scratch("journal/0000000000000001-0000000000000001.journal"), 100, 1);
    tool_run(cmd_verify, "verify", scratch, "--study", study, NULL);
    tool_expect(1, "", "journal/0000000000000001-0000000000000001.journal");
    tool_expect(1, "", "offset");
}

static void test_a_sites_folder_is_known_by_its_site_string(void **state)
{
    (void)state;
    char model[CID_TEXT_MAX], study[CID_TEXT_MAX];
    make_study(model, study);
    assert_int_equal(rename(in_scratch("updates"), in_scratch("elsewhere")), 0);
    tool_run(cmd_verify, "verify", scratch, "--study", study, NULL);
    tool_expect(1, "", "it is not held");
    write_file(in_scratch("site"), bytes_of_text("colmeia-site-1:u"));
    tool_run(cmd_verify, "verify", scratch, "--study", study, "-v", NULL);
    tool_expect(0, "signatures only (not held here)", "2 of 2 rounds: signatures only");
    tool_expect(0, "verified 2 rounds, final model ", "");
}

static void test_a_folder_that_is_none_is_usage(void **state)
{
    (void)state;
    tool_run(cmd_verify, "verify", in_scratch("absent"), NULL);
    tool_expect(2, "", "there is no folder");
    tool_run(cmd_verify, "verify", scratch, NULL);
    tool_expect(1, "", "no round of a study is closed here");
    tool_run(cmd_verify, "verify", scratch, "--head", "nonsense", NULL);
    tool_expect(2, "", "--head: ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_study_that_holds_ends_in_one_line),
        TEST(test_without_an_anchor_it_says_so),
        TEST(test_json_says_the_same_to_scripts),
        TEST(test_damage_is_a_no_that_names_round_record_and_file),
        TEST(test_a_damaged_journal_is_named_with_its_offset),
        TEST(test_a_sites_folder_is_known_by_its_site_string),
        TEST(test_a_folder_that_is_none_is_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
