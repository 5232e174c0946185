/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"
#include "tests/study/hostile.h"

static struct fixture f;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    fixture_init(&f, &(struct fixture_options){.sites = 3});
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(&f);
    return scratch_teardown(state);
}

static struct key_public founder_key(void)
{
    return key_public(f.founder);
}

static int make(struct roster_site *sites, size_t count, struct buf *out, struct cid *cid)
{
    struct roster r = {.prev = f.roster_id,
                       .coordinator = key_public(f.coordinator),
                       .count = count,
                       .sites = sites};
    return roster_make(&r, &f.study_id, f.founder, out, cid, NULL);
}

static int load(const struct cid *cid, struct err *err)
{
    struct roster r;
    struct key_public founder = founder_key();
    int rc = roster_load(f.store, &f.study_id, &founder, cid, &r, err);
    if (rc == 0)
        roster_fini(&r);
    return rc;
}

static int decode(struct bytes in, struct err *err)
{
    struct cid cid = cid_of(CID_DAG_CBOR, in);
    assert_int_equal(store_put(f.store, &cid, in, NULL), 0);
    int rc = load(&cid, err);
    assert_int_equal(store_delete(f.store, &cid, NULL), 0);
    return rc;
}

static struct buf block_of(const struct cid *cid)
{
    struct buf b = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(study_get(f.store, cid, &b, NULL), 0);
    return b;
}

static void test_a_roster_is_loaded_as_it_was_made(void **state)
{
    (void)state;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct roster_site sites[3];
    struct key_public founder = founder_key(), coordinator = key_public(f.coordinator);
    struct roster r;
    memcpy(sites, f.roster.sites, sizeof sites);
    sites[1].until = 9;
    sites[2].from = 4;
    struct cid cid;
    assert_int_equal(make(sites, 3, &out, &cid), 0);
    fixture_put(&f, &out);
    assert_int_equal(roster_load(f.store, &f.study_id, &founder, &cid, &r, NULL), 0);
    assert_true(cid_equal(&r.cid, &cid) && cid_equal(&r.prev, &f.roster_id));
    assert_true(key_equal(&r.coordinator, &coordinator));
    assert_int_equal(r.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(&r.sites[i], &sites[i], sizeof sites[i]);
    roster_fini(&r);
    buf_fini(&out);
}

static void test_a_roster_may_be_empty(void **state)
{
    (void)state;
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    assert_int_equal(make(NULL, 0, &out, &cid), 0);
    fixture_put(&f, &out);
    assert_int_equal(load(&cid, NULL), 0);
    buf_fini(&out);
}

static void test_sites_are_found_by_name_and_key_and_are_active_by_round(void **state)
{
    (void)state;
    struct key_public curve = key_public(f.sites[1].curve), ed = key_public(f.sites[1].ed25519);
    assert_int_equal(roster_find_name(&f.roster, "hospital-b"), 1);
    assert_int_equal(roster_find_name(&f.roster, "hospital-z"), -1);
    assert_int_equal(roster_find_curve(&f.roster, &curve), 1);
    assert_int_equal(roster_find_curve(&f.roster, &ed), -1);
    f.roster.sites[1].from = 3;
    f.roster.sites[1].until = 5;
    static const bool active[] = {false, false, false, true, true, false};
    for (uint64_t round = 0; round < 6; round++)
        assert_int_equal(roster_is_active(&f.roster, 1, round), active[round]);
    assert_true(roster_is_active(&f.roster, 0, 1000000));
    assert_false(roster_is_active(&f.roster, 3, 1));
}

static void test_a_damaged_roster_is_refused(void **state)
{
    (void)state;
    struct buf b = block_of(&f.roster_id);
    struct key_public founder = founder_key();
    struct roster r;
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&b));
        assert_int_equal(store_put(f.store, &cid, buf_bytes(&b), NULL), 0);
        assert_int_not_equal(roster_load(f.store, &f.study_id, &founder, &cid, &r, NULL), 0);
        assert_int_equal(store_delete(f.store, &cid, NULL), 0);
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_others_are_refused(buf_bytes(&b), f.founder, f.coordinator, decode);
    buf_fini(&b);
}

#define LINK              "d82a582500017112200000000000000000000000000000000000000000000000000000000000000000"
#define SITE(from, until) "81a3 6466726f6d" from "6473697465" LINK "65756e74696c" until

static void test_a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct hostile_row rows[] = {
        {"prev", "", ERR_MALFORMED, "absent"},
        {"coordinator", "", ERR_MALFORMED, "absent"},
        {"coordinator", "4101", ERR_MALFORMED, "short"},
        {"sites", "a0", ERR_MALFORMED, "a map"},
        {"sites", "8100", ERR_MALFORMED, "a number for a site"},
        {"sites", "81a0", ERR_MALFORMED, "an empty site"},
        {"sites", SITE("01", "f6"), ERR_NOTFOUND, "a site whose record is not there"},
        {"sites", SITE("00", "f6"), ERR_MALFORMED, "from round 0"},
        {"sites", SITE("05", "04"), ERR_MALFORMED, "until before from"},
        {"sites", SITE("1a000f4241", "f6"), ERR_MALFORMED, "past the last round"},
        {"sites", SITE("01", "1a000f4241"), ERR_MALFORMED, "until past the last round"},
        {"sites", SITE("01", "f5"), ERR_MALFORMED, "until true"},
        {"study", LINK, ERR_DENIED, "another study"},
    };
    struct buf b = block_of(&f.roster_id);
    assert_rows_are_refused(buf_bytes(&b), f.founder, decode, rows, sizeof rows / sizeof rows[0]);
    buf_fini(&b);
}

/* A site of any name and keys, well signed. */
static struct roster_site other_site(const char *name, uint8_t ed25519, uint8_t curve)
{
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct roster_site s = {.from = 1, .until = ROSTER_FOREVER};
    struct key *key = fixture_key(KEY_ED25519, ed25519), *x = fixture_key(KEY_X25519, curve);
    struct key_public public = key_public(x);
    assert_int_equal(site_make(name, key, &public, &out, &s.site, NULL), 0);
    s.id = fixture_put(&f, &out);
    key_free(key);
    key_free(x);
    buf_fini(&out);
    return s;
}

static void test_names_and_keys_are_unique(void **state)
{
    (void)state;
    const struct {
        struct roster_site site;
        int code;
        const char *why;
    } rows[] = {
        {other_site("hospital-z", 200, 201), 0, "all its own"},
        {other_site("hospital-b", 200, 201), ERR_EXISTS, "the name of another"},
        {other_site("hospital-z", 11, 201), ERR_EXISTS, "the signing key of another"},
        {other_site("hospital-z", 200, 101), ERR_EXISTS, "the CURVE key of another"},
        {f.roster.sites[0], ERR_EXISTS, "the same site again"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct roster_site sites[4];
        struct buf out = buf_new(RECORD_BYTES_MAX);
        struct cid cid;
        memcpy(sites, f.roster.sites, 3 * sizeof sites[0]);
        sites[3] = rows[i].site;
        int rc = make(sites, 4, &out, &cid);
        if (rc != rows[i].code)
            fail_msg("%s: code %d", rows[i].why, rc);
        assert_int_equal(out.size == 0, rc != 0);
        buf_fini(&out);
    }
}

static void test_a_roster_that_names_a_site_by_a_later_record_is_refused(void **state)
{
    (void)state;
    struct buf out = buf_new(RECORD_BYTES_MAX), first = block_of(&f.sites[0].site.cid);
    struct cid cid;
    struct roster_site s = {.from = 1, .until = ROSTER_FOREVER};
    hostile_remake(buf_bytes(&first), NULL, f.sites[0].ed25519, "prev", LINK, &out);
    s.id = fixture_put(&f, &out);
    assert_int_equal(site_decode(buf_bytes(&out), &s.site, NULL, NULL), 0);
    assert_int_equal(make(&s, 1, &out, &cid), ERR_MALFORMED);
    s = f.roster.sites[0];
    s.id = f.roster.sites[1].id; /* another's */
    assert_int_equal(make(&s, 1, &out, &cid), ERR_MALFORMED);
    buf_fini(&first);
    buf_fini(&out);
}

static void test_a_missing_or_damaged_site_is_named(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(store_delete(f.store, &f.sites[1].site.cid, NULL), 0);
    assert_int_equal(load(&f.roster_id, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "site 1: "));
    struct cid raw = cid_from_digest(CID_RAW, cid_digest(&f.roster_id));
    assert_int_equal(load(&raw, &err), ERR_MALFORMED); /* the same bytes under another codec */
}

static void test_a_later_roster_keeps_what_the_earlier_one_said(void **state)
{
    (void)state;
    struct roster_site a[3], b[3];
    memcpy(a, f.roster.sites, sizeof a);
    a[1].until = 9;
    struct roster earlier = {.count = 2, .sites = a}, later = {.count = 3, .sites = b};
    struct err err = {0};
    memcpy(b, a, sizeof b);
    assert_int_equal(roster_check_append(&earlier, &later, NULL), 0); /* one more */
    b[0].until = 5;
    assert_int_equal(roster_check_append(&earlier, &later, NULL), 0); /* one leaves */
    b[0] = a[0];

    later.count = 1;
    assert_int_equal(roster_check_append(&earlier, &later, &err), ERR_DENIED); /* one is gone */
    later.count = 3;
    b[1].until = 10;
    assert_int_equal(roster_check_append(&earlier, &later, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "hospital-b"));
    b[1].until = ROSTER_FOREVER;
    assert_int_equal(roster_check_append(&earlier, &later, &err), ERR_DENIED);
    b[1] = a[1];
    b[0].from = 2;
    assert_int_equal(roster_check_append(&earlier, &later, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "hospital-a"));
    b[0] = a[1];
    b[1] = a[0]; /* another order would give other bits */
    assert_int_equal(roster_check_append(&earlier, &later, &err), ERR_DENIED);
}

/* Ten thousand sites of long times must fit into a record. */
static void test_the_largest_roster_fits_into_a_record(void **state)
{
    (void)state;
    struct roster_site *sites = calloc(ROSTER_SITES_MAX + 1, sizeof *sites);
    struct buf out = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    assert_non_null(sites);
    for (unsigned i = 0; i <= ROSTER_SITES_MAX; i++) {
        sites[i] = (struct roster_site){.id = fixture_cid(i), .from = 1000000, .until = 1000000};
        sites[i].site.cid = sites[i].id;
        snprintf(sites[i].site.name, sizeof sites[i].site.name, "site-%u", i);
        memcpy(sites[i].site.ed25519.bytes, &i, sizeof i);
        memcpy(sites[i].site.curve.bytes, &i, sizeof i);
    }
    assert_int_equal(make(sites, ROSTER_SITES_MAX, &out, &cid), 0);
    assert_int_equal(make(sites, ROSTER_SITES_MAX + 1, &out, &cid), ERR_LIMIT);
    free(sites);
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_roster_is_loaded_as_it_was_made),
        TEST(test_a_roster_may_be_empty),
        TEST(test_sites_are_found_by_name_and_key_and_are_active_by_round),
        TEST(test_a_damaged_roster_is_refused),
        TEST(test_a_field_that_does_not_fit_is_refused),
        TEST(test_names_and_keys_are_unique),
        TEST(test_a_roster_that_names_a_site_by_a_later_record_is_refused),
        TEST(test_a_missing_or_damaged_site_is_named),
        TEST(test_a_later_roster_keeps_what_the_earlier_one_said),
        TEST(test_the_largest_roster_fits_into_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
