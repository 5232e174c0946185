/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include <sys/wait.h>

static struct desk d; /* its coordinator is stopped but where the test starts it */

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 2, .schedule = "fedavg 3"});
    desk_stop_coordinator(&d);
    return 0;
}

static int teardown(void **state)
{
    desk_close(&d);
    return scratch_teardown(state);
}

static void load_roster(struct roster *out)
{
    struct store *store;
    struct invitation i;
    struct cid cid;
    char path[FILES_PATH_MAX];
    snprintf(path, sizeof path, "%s/shared", desk_dir());
    MUST(folder_invitation(desk_dir(), &i, err));
    MUST(store_open(files_posix(), path, STORE_READ_ONLY, &store, err));
    MUST(folder_read_cid(files_posix(), desk_dir(), "roster", &cid, err));
    MUST(roster_load(store, &i.study, &i.founder, &cid, out, err));
    store_close(store);
}

static int admit(const char *string, struct err *err)
{
    char name[SITE_NAME_MAX];
    uint64_t from;
    return admission_add(desk_dir(), string, name, &from, err);
}

/* A site string with these keys. */
static struct buf string_of(const char *name, uint8_t ed25519, uint8_t curve)
{
    struct buf block = buf_new(RECORD_BYTES_MAX), string = buf_new(SITE_STRING_MAX);
    struct key *signs = fixture_key(KEY_ED25519, ed25519), *curves = fixture_key(KEY_X25519, curve);
    struct key_public key = key_public(curves);
    struct site site;
    MUST(site_make(name, signs, &key, &block, &site, err));
    site_format(buf_bytes(&block), &string);
    key_free(signs);
    key_free(curves);
    buf_fini(&block);
    return string;
}

static void test_sites_are_admitted_in_order(void **state)
{
    (void)state;
    struct roster r;
    load_roster(&r);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.sites[0].site.name, "hospital-a");
    assert_string_equal(r.sites[1].site.name, "hospital-b");
    assert_int_equal(r.sites[0].from, 1);
    assert_true(r.sites[0].until == ROSTER_FOREVER);
    roster_fini(&r);
}

static void test_a_site_is_admitted_from_the_round_under_way(void **state)
{
    (void)state;
    char name[SITE_NAME_MAX];
    uint64_t from = 0;
    desk_start_coordinator(&d);
    desk_gather(&d);
    desk_round(&d, 1);
    struct buf string = string_of("late", 50, 51);
    MUST(admission_add(desk_dir(), buf_text(&string), name, &from, err)); /* run has the store */
    assert_string_equal(name, "late");
    assert_int_equal(from, 2);
    buf_fini(&string);
}

static void test_what_is_there_already_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t ed25519, curve;
        const char *says;
    } rows[] = {
        {"hospital-a", 10, 100, "admitted already"},
        {"hospital-a", 50, 51, "another site has the name"},
        {"other", 11, 51, "a key of site hospital-b"},
        {"other", 50, 101, "a key of site hospital-b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        struct buf string = string_of(rows[i].name, rows[i].ed25519, rows[i].curve);
        if (admit(buf_text(&string), &err) != ERR_EXISTS || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].says, err.text);
        buf_fini(&string);
    }
    struct roster r;
    load_roster(&r);
    assert_int_equal(r.count, 2);
    roster_fini(&r);
}

static void test_a_damaged_string_admits_nobody(void **state)
{
    (void)state;
    struct buf string = string_of("other", 50, 51);
    for (size_t i = 0; i < string.size; i += 7) {
        char *text = strdup(buf_text(&string));
        text[i] = text[i] == 'A' ? 'B' : 'A';
        if (admit(text, NULL) == 0)
            fail_msg("character %zu", i);
        free(text);
    }
    assert_int_equal(admit("", NULL), ERR_MALFORMED);
    struct roster r;
    load_roster(&r);
    assert_int_equal(r.count, 2);
    roster_fini(&r);
    buf_fini(&string);
}

static void test_admissions_at_the_same_time_lose_none(void **state)
{
    (void)state;
    pid_t children[4];
    for (uint8_t i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char name[16];
            snprintf(name, sizeof name, "site-%u", i);
            struct buf string = string_of(name, (uint8_t)(60 + i), (uint8_t)(70 + i));
            _exit(admit(buf_text(&string), NULL) == 0 ? 0 : 1);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct roster r;
    load_roster(&r);
    assert_int_equal(r.count, 6);
    roster_fini(&r);
}

static void test_a_running_coordinator_takes_the_new_site_up(void **state)
{
    (void)state;
    desk_start_coordinator(&d);
    desk_greet(&d, 0);
    desk_admit(&d);
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    assert_int_equal(d.allowed, 3);
    desk_greet(&d, 2);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT); /* it counts for the round that waited */
    struct buf log = desk_read("log.jsonl");
    assert_non_null(strstr(buf_text(&log), "\"event\":\"site-admitted\""));
    assert_non_null(strstr(buf_text(&log), "\"site\":\"hospital-c\""));
    buf_fini(&log);
}

static void test_a_round_in_collect_does_not_take_the_new_site(void **state)
{
    (void)state;
    desk_start_coordinator(&d);
    desk_gather(&d);
    desk_admit(&d);
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    desk_greet(&d, 2);
    assert_int_equal(d.c->round->slot_count, 2);
    desk_ask(&d, 2, MSG_WANT, 0, NULL);
    desk_expect(&d, 2, MSG_WAIT);
    desk_drop_mail(&d);
    desk_answer(&d, 0, 1);
    desk_answer(&d, 1, 1);
    assert_int_equal(d.c->round->number, 2);
    assert_int_equal(d.c->round->slot_count, 3);
    desk_expect(&d, 2, MSG_TASK);
}

static void test_a_bad_roster_file_leaves_the_one_before_in_force(void **state)
{
    (void)state;
    desk_start_coordinator(&d);
    struct cid before = d.c->roster.cid, other = fixture_cid(3);
    MUST(folder_write_cid(files_posix(), desk_dir(), "roster", &other, false, err));
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    assert_true(d.running);
    assert_true(cid_equal(&d.c->roster.cid, &before));
    desk_gather(&d);
    assert_int_equal(d.c->round->phase, ROUND_COLLECT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sites_are_admitted_in_order),
        TEST(test_a_site_is_admitted_from_the_round_under_way),
        TEST(test_what_is_there_already_is_refused_by_name),
        TEST(test_a_damaged_string_admits_nobody),
        TEST(test_admissions_at_the_same_time_lose_none),
        TEST(test_a_running_coordinator_takes_the_new_site_up),
        TEST(test_a_round_in_collect_does_not_take_the_new_site),
        TEST(test_a_bad_roster_file_leaves_the_one_before_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
