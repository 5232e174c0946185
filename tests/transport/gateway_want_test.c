/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"
#include "transport/gateway_want.h"

/* --- Range --- */

static const struct {
    const char *text;
    uint64_t size;
    enum gateway_range is;
    uint64_t from, to;
} ranges[] = {
    {"bytes=0-0", 10, GATEWAY_RANGE_PART, 0, 1},
    {"bytes=0-9", 10, GATEWAY_RANGE_PART, 0, 10},
    {"bytes=0-10", 10, GATEWAY_RANGE_PART, 0, 10},
    {"bytes=9-", 10, GATEWAY_RANGE_PART, 9, 10},
    {"bytes=-1", 10, GATEWAY_RANGE_PART, 9, 10},
    {"bytes=-99", 10, GATEWAY_RANGE_PART, 0, 10},
    {"BYTES= 2-3 ", 10, GATEWAY_RANGE_PART, 2, 4},
    {"bytes=6-7,0-4", 10, GATEWAY_RANGE_PART, 6, 8},    /* the first alone */
    {"bytes=20-30, 3-4", 10, GATEWAY_RANGE_PART, 3, 5}, /* the first that lies in it */
    {"bytes=10-", 10, GATEWAY_RANGE_OUTSIDE, 0, 0},
    {"bytes=-0", 10, GATEWAY_RANGE_OUTSIDE, 0, 0},
    {"bytes=0-0", 0, GATEWAY_RANGE_OUTSIDE, 0, 0},
    {"bytes=-5", 0, GATEWAY_RANGE_OUTSIDE, 0, 0},
    {"bytes=20-21,30-31", 10, GATEWAY_RANGE_OUTSIDE, 0, 0},
    {NULL, 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=-", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=a-b", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=4-2", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=0-1,", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=0-1;2-3", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=0-1,x", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=+1-2", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=0x1-2", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    {"bytes=1-99999999999999999999", 10, GATEWAY_RANGE_WHOLE, 0, 0}, /* more than 18 digits */
    {"lines=0-1", 10, GATEWAY_RANGE_WHOLE, 0, 0},
    /* 17 ranges: more than are read */
    {"bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 10,
     GATEWAY_RANGE_WHOLE, 0, 0},
};

static void test_a_range_is_the_first_that_lies_in_the_entity(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        uint64_t from = 77, to = 77;
        enum gateway_range is = gateway_want_range(ranges[i].text, ranges[i].size, &from, &to);
        if (is != ranges[i].is ||
            (is == GATEWAY_RANGE_PART && (from != ranges[i].from || to != ranges[i].to)))
            fail_msg("%s of %llu: %d %llu..%llu", ranges[i].text,
                     (unsigned long long)ranges[i].size, (int)is, (unsigned long long)from,
                     (unsigned long long)to);
    }
}

/* --- entity-bytes --- */

static const struct {
    const char *text;
    uint64_t size;
    bool parses, inside;
    uint64_t from, to;
} entities[] = {
    {"0:*", 1026, true, true, 0, 1026},
    {"0:0", 1026, true, true, 0, 1},
    {"512:1023", 1026, true, true, 512, 1024},
    {"512:-256", 1026, true, true, 512, 771},
    {"-5:*", 1026, true, true, 1021, 1026},
    {"-5:-1", 1026, true, true, 1021, 1026},
    {"-9999:*", 1026, true, true, 0, 1026},
    {"-9999:-3", 1026, true, true, 0, 1024},
    {"1000:9999", 1026, true, true, 1000, 1026},
    {"499:-1000", 1026, true, true, 499, 499}, /* no bytes: the block alone */
    {"0:*", 0, true, true, 0, 0},
    {"1026:*", 1026, true, false, 0, 0},
    {"5000:6000", 1026, true, false, 0, 0},
    {"-9999:-5000", 1026, true, false, 0, 0},
    {"0:-1027", 1026, true, false, 0, 0},
    {"", 1, false, false, 0, 0},
    {"0", 1, false, false, 0, 0},
    {"0:", 1, false, false, 0, 0},
    {":5", 1, false, false, 0, 0},
    {"*:5", 1, false, false, 0, 0},
    {"0:**", 1, false, false, 0, 0},
    {"5:2", 1, false, false, 0, 0},
    {"-2:-5", 1, false, false, 0, 0},
    {"--1:*", 1, false, false, 0, 0},
    {"0:1:2", 1, false, false, 0, 0},
    {"0-1", 1, false, false, 0, 0},
    {" 0:1", 1, false, false, 0, 0},
    {"0:9999999999999999999", 1, false, false, 0, 0},
};

static void test_entity_bytes_are_placed_and_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        struct gateway_bytes b;
        uint64_t from = 0, to = 0;
        bool parses = gateway_want_entity_bytes(entities[i].text, &b);
        bool inside = parses && gateway_want_place(&b, entities[i].size, &from, &to);
        if (parses != entities[i].parses || inside != entities[i].inside ||
            (inside && (from != entities[i].from || to != entities[i].to)))
            fail_msg("%s of %llu: %d %d %llu..%llu", entities[i].text,
                     (unsigned long long)entities[i].size, parses, inside, (unsigned long long)from,
                     (unsigned long long)to);
    }
}

/* --- Accept --- */

#define RAW "application/vnd.ipld.raw"
#define CAR "application/vnd.ipld.car"

static const struct {
    const char *accept;
    bool makeable, found;
    enum gateway_format format;
    bool html;
    int dups;
} accepts[] = {
    {NULL, true, false, GATEWAY_FILE, false, -1},
    {"", true, false, GATEWAY_FILE, false, -1},
    {"*/*", true, false, GATEWAY_FILE, false, -1},
    {RAW, true, true, GATEWAY_RAW, false, -1},
    {"APPLICATION/vnd.IPLD.raw", true, true, GATEWAY_RAW, false, -1},
    {RAW "er", true, false, GATEWAY_FILE, false, -1},
    {"foo, " RAW ",bar", true, true, GATEWAY_RAW, false, -1},
    {RAW "," CAR, true, true, GATEWAY_RAW, false, -1},                /* the first of equals */
    {RAW ";q=0.5," CAR, true, true, GATEWAY_CAR, false, -1},          /* the better one */
    {RAW ";q=0", true, false, GATEWAY_FILE, false, -1},               /* "not that" */
    {"text/html, " RAW ";q=0.1", true, true, GATEWAY_RAW, false, -1}, /* named on purpose */
    {"text/html;q=0", true, false, GATEWAY_FILE, false, -1},
    {"text/html;q=0.5, " RAW ";q=1, */*", true, true, GATEWAY_RAW, false, -1},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true, false, GATEWAY_FILE,
     true, -1},
    {CAR ";dups=y", true, true, GATEWAY_CAR, false, 1},
    {CAR "; version=1; order=dfs; dups=n", true, true, GATEWAY_CAR, false, 0},
    {CAR ";order=\"dfs\";dups=\"y\"", true, true, GATEWAY_CAR, false, 1},
    {CAR ";order=unk", true, true, GATEWAY_CAR, false, -1},
    {CAR ";version=2", false, false, GATEWAY_FILE, false, -1},
    {CAR ";order=foo", false, false, GATEWAY_FILE, false, -1},
    {CAR ";dups=maybe", false, false, GATEWAY_FILE, false, -1},
    {CAR ";order=foo, " CAR ";order=dfs;dups=y;q=0.5", true, true, GATEWAY_CAR, false, 1},
    {CAR ";order=foo, " RAW ";q=0.5", false, true, GATEWAY_RAW, false, -1},
    {"application/vnd.ipld.dag-json", true, true, GATEWAY_DAG_JSON, false, -1},
    {"application/cbor", true, true, GATEWAY_CBOR, false, -1},
    {"application/vnd.ipfs.ipns-record", true, true, GATEWAY_RECORD, false, -1},
    {CAR ";;;=;q=;,,;,", true, true, GATEWAY_CAR, false, -1},
    {CAR ";dups=\"y", true, true, GATEWAY_CAR, false, 1}, /* a quote that never ends */
};

static void test_accept_chooses_the_best_that_is_made_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepts / sizeof accepts[0]; i++) {
        struct gateway_accept a;
        bool makeable = gateway_want_accept(accepts[i].accept, &a);
        if (makeable != accepts[i].makeable || a.found != accepts[i].found ||
            a.format != accepts[i].format || a.html != accepts[i].html ||
            a.car_dups != accepts[i].dups)
            fail_msg("%s: makeable %d found %d format %d html %d dups %d", accepts[i].accept,
                     makeable, a.found, (int)a.format, a.html, a.car_dups);
    }
}

static void test_entity_tags_match_weakly_and_in_lists(void **state)
{
    (void)state;
    assert_true(gateway_want_matches("\"a.raw\"", "\"a.raw\""));
    assert_true(gateway_want_matches("W/\"a.raw\"", "\"a.raw\""));
    assert_true(gateway_want_matches("\"x\", \"y\" ,W/\"a.raw\"", "\"a.raw\""));
    assert_true(gateway_want_matches("*", "\"a.raw\""));
    assert_false(gateway_want_matches(NULL, "\"a.raw\""));
    assert_false(gateway_want_matches("", "\"a.raw\""));
    assert_false(gateway_want_matches("\"a.rawer\"", "\"a.raw\""));
    assert_false(gateway_want_matches("a.raw", "\"a.raw\""));
    assert_true(gateway_want_lists("no-store, Only-If-Cached", "only-if-cached"));
    assert_false(gateway_want_lists("only-if-cachedx", "only-if-cached"));
}

/* --- whole requests --- */

struct fake {
    struct http_request request;
    const char *accept, *queries[8][2];
};

static const char *fake_header(const struct http_request *r, const char *name)
{
    const struct fake *f = r->raw;
    return strcmp(name, "Accept") == 0 ? f->accept : NULL;
}

static const char *fake_query(const struct http_request *r, const char *name)
{
    const struct fake *f = r->raw;
    for (size_t i = 0; i < 8 && f->queries[i][0] != NULL; i++)
        if (strcmp(f->queries[i][0], name) == 0)
            return f->queries[i][1];
    return NULL;
}

static int want(struct fake *f, struct gateway_want *out)
{
    struct err err = {0};
    f->request = (struct http_request){.header = fake_header, .query = fake_query, .raw = f};
    int status = gateway_want_read(&f->request, out, &err);
    assert_true(status == 0 || err.text[0] != '\0');
    return status;
}

static void test_the_query_wins_over_accept(void **state)
{
    (void)state;
    struct gateway_want w;
    struct fake f = {.accept = CAR ";dups=y", .queries = {{"format", "raw"}}};
    assert_int_equal(want(&f, &w), 0);
    assert_int_equal(w.format, GATEWAY_RAW);
    assert_true(w.negotiated); /* its cache must not take one for the other */
    f = (struct fake){.accept = CAR ";dups=y", .queries = {{"format", "car"}, {"car-dups", "n"}}};
    assert_int_equal(want(&f, &w), 0);
    assert_false(w.dups);
    assert_false(w.negotiated);
    f = (struct fake){.accept = CAR ";dups=y", .queries = {{"format", "car"}}};
    assert_int_equal(want(&f, &w), 0);
    assert_true(w.dups);
    f = (struct fake){.accept = CAR ";version=2", .queries = {{"format", "raw"}}};
    assert_int_equal(want(&f, &w), 0);
}

static const struct {
    const char *queries[3][2];
    int status;
} refusals[] = {
    {{{"format", "tar"}}, 406},
    {{{"format", "RAW"}}, 400},
    {{{"format", ""}}, 400},
    {{{"format", "car"}, {"car-version", "2"}}, 400},
    {{{"format", "car"}, {"car-version", ""}}, 400},
    {{{"format", "car"}, {"car-order", "bfs"}}, 400},
    {{{"format", "car"}, {"car-dups", "yes"}}, 400},
    {{{"format", "car"}, {"dag-scope", "some"}}, 400},
    {{{"format", "car"}, {"entity-bytes", "0-5"}}, 400},
    {{{"format", "raw"}, {"filename", "a%00b"}}, 400},
    {{{"format", "raw"}, {"filename", "a%zz"}}, 400},
    {{{"format", "raw"}, {"dag-scope", "some"}}, 0}, /* a CAR's: passed over elsewhere */
    {{{"format", "car"}, {"dag-scope", "block"}}, 0},
    {{{"format", "car"}, {"entity-bytes", "0:5"}}, 0},
};

static void test_what_cannot_be_made_is_refused_with_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct gateway_want w;
        struct fake f = {.accept = NULL};
        for (size_t k = 0; k < 3; k++) {
            f.queries[k][0] = refusals[i].queries[k][0];
            f.queries[k][1] = refusals[i].queries[k][1];
        }
        int status = want(&f, &w);
        if (status != refusals[i].status)
            fail_msg("%s=%s: %d, not %d", f.queries[1][0], f.queries[1][1], status,
                     refusals[i].status);
    }
}

static void test_a_name_longer_than_the_limit_is_refused(void **state)
{
    (void)state;
    char name[GATEWAY_WANT_NAME_MAX + 1];
    struct gateway_want w;
    memset(name, 'a', sizeof name);
    name[GATEWAY_WANT_NAME_MAX - 1] = '\0';
    struct fake f = {.queries = {{"filename", name}}};
    assert_int_equal(want(&f, &w), 0);
    assert_string_equal(w.filename, name);
    name[GATEWAY_WANT_NAME_MAX - 1] = 'a';
    name[GATEWAY_WANT_NAME_MAX] = '\0';
    assert_int_equal(want(&f, &w), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_range_is_the_first_that_lies_in_the_entity),
        cmocka_unit_test(test_entity_bytes_are_placed_and_cut),
        cmocka_unit_test(test_accept_chooses_the_best_that_is_made_here),
        cmocka_unit_test(test_entity_tags_match_weakly_and_in_lists),
        cmocka_unit_test(test_the_query_wins_over_accept),
        cmocka_unit_test(test_what_cannot_be_made_is_refused_with_a_sentence),
        cmocka_unit_test(test_a_name_longer_than_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
