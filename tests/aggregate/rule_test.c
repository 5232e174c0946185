/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "aggregate/rule.h"

static void test_rules_are_found_by_name_and_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum rule_answer asks;
        bool trains, on_shards;
    } expected[] = {{"fedavg", RULE_DELTA, true, true},
                    {"moments", RULE_VALUES, false, false},
                    {"evaluate", RULE_METRICS, false, false}};
    size_t count = sizeof expected / sizeof expected[0];
    for (size_t i = 0; i < count; i++) {
        const struct rule *r = rule_at(i);
        assert_non_null(r);
        assert_string_equal(r->name, expected[i].name);
        assert_true(strlen(r->name) < RULE_NAME_MAX);
        assert_ptr_equal(rule_find(r->name), r);
        assert_int_equal(r->exchange_count, 1);
        assert_int_equal(r->asks[0], expected[i].asks);
        assert_true(r->trains == expected[i].trains);
        assert_true((r->add != NULL) == expected[i].on_shards);
        assert_true((r->finish != NULL) == expected[i].on_shards);
    }
    assert_null(rule_at(count));
    assert_null(rule_find("fedav"));
    assert_null(rule_find("fedavgs"));
    assert_null(rule_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_found_by_name_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
