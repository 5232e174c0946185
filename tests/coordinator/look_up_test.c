/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include <math.h>

static struct desk d;
static struct cid accepted, refused, pending;

/* Rounds 1 to 3 are closed. In round 1 site 0 was accepted and site 1 refused; site 3 sent its
 * update too late. */
static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 4, .schedule = "fedavg 5"});
    desk_gather(&d);
    accepted = desk_answer(&d, 0, 1);
    refused = desk_answer(&d, 1, NAN);
    desk_answer(&d, 2, 1);
    pending = desk_upload(&d, 3, 1);
    desk_pass(&d, 60000);
    assert_int_equal(d.c->round->number, 2);
    desk_drop_mail(&d);
    desk_gather(&d);
    desk_round(&d, 1);
    desk_round(&d, 1);
    assert_int_equal(d.c->round->number, 4);
    desk_drop_mail(&d);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static void test_a_closed_round_is_answered_from_its_record(void **state)
{
    (void)state;
    struct cid never = fixture_cid(8);
    const struct {
        uint32_t site;
        const struct cid *record;
        enum msg_type answer;
        const char *code, *why;
    } rows[] = {
        {0, &accepted, MSG_ACCEPTED, "", "counted: never told late"},
        {1, &refused, MSG_REFUSED, "not-finite", "refused then, and now for the same reason"},
        {3, &pending, MSG_REFUSED, "late", "not there in time"},
        {0, &never, MSG_REFUSED, "late", "another record than the counted one"},
        {3, &refused, MSG_REFUSED, "late", "another site's refused record"},
    };
    static const enum msg_type asks[] = {MSG_SUBMIT, MSG_MISSING};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            desk_ask(&d, rows[i].site, asks[k], 1, rows[i].record);
            struct msg *m = desk_expect(&d, rows[i].site, rows[i].answer);
            if (strcmp(m->code, rows[i].code) != 0 || m->round != 1 ||
                !cid_equal(&m->record, rows[i].record))
                fail_msg("%s: %s", rows[i].why, m->code);
            if (m->type == MSG_REFUSED)
                assert_true(m->refusal.size > 0);
        }
}

static void test_rounds_that_never_were_are_not_answered(void **state)
{
    (void)state;
    desk_ask(&d, 0, MSG_SUBMIT, 0, &accepted);
    desk_expect_nothing(&d, 0);
    desk_ask(&d, 0, MSG_SUBMIT, 77, &accepted);
    desk_expect_nothing(&d, 0);
    assert_false(d.c->presence[0].busy);
    assert_true(d.running);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_closed_round_is_answered_from_its_record),
        TEST(test_rounds_that_never_were_are_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
