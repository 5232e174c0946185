/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_read_scratch.h"

#include "content/dag.h"

/* --- raw blocks --- */

static void test_a_raw_block_comes_with_the_headers_of_a_public_gateway(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 64];
    struct reply *r = ask(c, at(&c->tree.alpha, "?format=raw"));
    cid_format(&c->tree.alpha, text);
    assert_int_equal(r->status, 200);
    expect_body(r, bytes_of_text("alpha"));
    expect_header(r, "Content-Type", "application/vnd.ipld.raw");
    expect_header(r, "Content-Length", "5");
    snprintf(value, sizeof value, "attachment; filename=\"%s.bin\"", text);
    expect_header(r, "Content-Disposition", value);
    expect_header(r, "X-Content-Type-Options", "nosniff");
    snprintf(value, sizeof value, "\"%s.raw\"", text);
    expect_header(r, "Etag", value);
    expect_header(r, "Cache-Control", "public, max-age=29030400, immutable");
    expect_header(r, "Accept-Ranges", "bytes");
    snprintf(value, sizeof value, "/ipfs/%s", text);
    expect_header(r, "X-Ipfs-Path", value);
    expect_header(r, "X-Ipfs-Roots", text);
    expect_header(r, "Content-Location", NULL);
    expect_header(r, "Vary", NULL);
    reply_free(r);
    comb_close(c);
}

static void test_accept_alone_says_where_the_same_lies_by_query(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 64];
    struct reply *r = ask_with(c, "GET", at(&c->tree.alpha, "?filename=a%20b"),
                               "Accept: application/vnd.ipld.raw\r\n");
    assert_int_equal(r->status, 200);
    snprintf(value, sizeof value, "/ipfs/%s?format=raw&filename=a%%20b",
             cid_format(&c->tree.alpha, text));
    expect_header(r, "Content-Location", value);
    expect_header(r, "Vary", "Accept");
    reply_free(r);
    r = ask_with(c, "GET", at(&c->tree.alpha, "?format=raw"),
                 "Accept: application/vnd.ipld.car\r\n");
    expect_header(r, "Content-Type", "application/vnd.ipld.raw");
    snprintf(value, sizeof value, "/ipfs/%s?format=raw", text);
    expect_header(r, "Content-Location", value);
    reply_free(r);
    comb_close(c);
}

static const struct {
    const char *query, *disposition;
} names[] = {
    {"&filename=foobar.bin", "attachment; filename=\"foobar.bin\""},
    {"&filename=test%D1%82%D0%B5%D1%81%D1%82.jpg",
     "attachment; filename=\"test____.jpg\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.jpg"},
    {"&filename=a%22b%5Cc%0D%0AX:%20y", "attachment; filename=\"a_b_c__X: y\""},
};

static void test_a_name_is_written_so_that_it_stays_one_header(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char rest[128];
        snprintf(rest, sizeof rest, "?format=raw%s", names[i].query);
        struct reply *r = ask(c, at(&c->tree.alpha, rest));
        expect_header(r, "Content-Disposition", names[i].disposition);
        reply_free(r);
    }
    comb_close(c);
}

static const struct {
    const char *headers;
    int status;
    const char *range, *body;
} parts[] = {
    {"Range: bytes=1-3\r\n", 206, "bytes 1-3/5", "lph"},
    {"Range: bytes=3-\r\n", 206, "bytes 3-4/5", "ha"},
    {"Range: bytes=-2\r\n", 206, "bytes 3-4/5", "ha"},
    {"Range: bytes=0-99\r\n", 206, "bytes 0-4/5", "alpha"},
    {"Range: bytes=2-3,0-0\r\n", 206, "bytes 2-3/5", "ph"},
    {"Range: bytes=5-\r\n", 416, "bytes */5", ""},
    {"Range: bytes=4-2\r\n", 200, NULL, "alpha"},
    {"Range: bytes=0-0\r\nIf-Range: \"other\"\r\n", 200, NULL, "alpha"},
    {"If-None-Match: *\r\n", 304, NULL, ""},
    {"If-None-Match: \"x\", W/\"%s.raw\"\r\n", 304, NULL, ""},
    {"If-None-Match: \"%s\"\r\n", 200, NULL, "alpha"}, /* another format's */
    {"Range: bytes=0-0\r\nIf-Range: \"%s.raw\"\r\n", 206, "bytes 0-0/5", "a"},
};

static void test_ranges_and_conditions_on_raw_blocks(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], headers[512];
    cid_format(&c->tree.alpha, text);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *hole = strstr(parts[i].headers, "%s");
        snprintf(headers, sizeof headers, "%.*s%s%s",
                 (int)(hole == NULL ? strlen(parts[i].headers) : (size_t)(hole - parts[i].headers)),
                 parts[i].headers, hole == NULL ? "" : text, hole == NULL ? "" : hole + 2);
        struct reply *r = ask_with(c, "GET", at(&c->tree.alpha, "?format=raw"), headers);
        if (r->status != parts[i].status)
            fail_msg("%s: %d", headers, r->status);
        expect_header(r, "Content-Range", parts[i].range);
        expect_body(r, bytes_of_text(parts[i].body));
        reply_free(r);
    }
    comb_close(c);
}

/* Larger ones are sent by the kernel from their file: the same bytes, the same ranges. */
static void test_a_large_block_is_sent_as_it_lies(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    uint8_t *bytes = stream_bytes("large", 2 << 20);
    struct cid cid = put_block(c->store, CID_RAW, bytes_of(bytes, 2 << 20));
    struct reply *r = ask(c, at(&cid, "?format=raw"));
    expect_body(r, bytes_of(bytes, 2 << 20));
    reply_free(r);
    r = ask_with(c, "GET", at(&cid, "?format=raw"), "Range: bytes=70000-1500000\r\n");
    assert_int_equal(r->status, 206);
    expect_body(r, bytes_of(bytes + 70000, 1430001));
    reply_free(r);
    r = ask_with(c, "HEAD", at(&cid, "?format=raw"), "");
    expect_header(r, "Content-Length", "2097152");
    assert_int_equal(r->body.size, 0);
    reply_free(r);
    free(bytes);
    comb_close(c);
}

static void test_paths_lead_to_raw_blocks_and_name_their_roots(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char root[CID_TEXT_MAX], copy[CID_TEXT_MAX], index[CID_TEXT_MAX], roots[1024];
    struct reply *r = ask(c, at(&c->tree.root, "/copy//index.html?format=raw"));
    assert_int_equal(r->status, 200);
    snprintf(roots, sizeof roots, "%s,%s,%s", cid_format(&c->tree.root, root),
             cid_format(&c->tree.copy, copy), cid_format(&c->tree.index, index));
    expect_header(r, "X-Ipfs-Roots", roots);
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/many/entry-77?format=raw"));
    expect_body(r, bytes_of_text("77"));
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/data/to/big?format=raw"));
    assert_int_equal(r->status, 200);
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/odd/a%20b%26c.txt?format=raw"));
    expect_body(r, bytes_of_text("alpha"));
    reply_free(r);
    comb_close(c);
}

/* --- statuses --- */

static const struct {
    const char *method, *target, *headers;
    int status;
    const char *why;
} requests[] = {
    {"GET", "/ipfs/bafkqaaa?format=raw", "", 200, "the probe"},
    {"HEAD", "/ipfs/bafkqaaa?format=raw", "", 200, "the probe by HEAD"},
    {"GET", "/ipfs/bafkqaaa?format=car", "", 200, "the probe for CARs"},
    {"HEAD", "/ipfs/bafkqaaa", "Accept: application/vnd.ipld.car\r\n", 200, "by HEAD and Accept"},
    {"GET", "/ipfs/" ABSENT_CID "?format=raw", "", 404, "not here"},
    {"HEAD", "/ipfs/" ABSENT_CID "?format=raw", "", 404, "not here, by HEAD"},
    {"GET", "/ipfs/" ABSENT_CID "?format=car", "", 404, "no CAR without its root"},
    {"GET", "/ipfs/" ABSENT_CID "/a/b?format=car", "", 404, "nor of a path below it"},
    {"GET", "/ipfs/" ABSENT_CID, "", 404, "nor a file"},
    {"GET", "/ipfs/" ABSENT_CID "?format=raw", "Cache-Control: only-if-cached\r\n", 412, "raw"},
    {"HEAD", "/ipfs/" ABSENT_CID "?format=car", "Cache-Control: only-if-cached\r\n", 412, "a CAR"},
    {"GET", "/ipfs/" ABSENT_CID, "Cache-Control: max-age=0, only-if-cached\r\n", 412, "a file"},
    {"GET", "/ipfs/" ABSENT_CID "?format=raw", "If-None-Match: *\r\n", 404, "no 304 without it"},
    {"GET", "/ipfs/nonsense?format=raw", "", 400, "no CID"},
    {"GET", "/ipfs/?format=raw", "", 400, "nothing"},
    {"GET", "/ipfs/../etc/passwd", "", 400, "dots"},
    {"GET", "/ipfs/%2e%2e/etc/passwd", "", 400, "coded dots"},
    {"GET", "/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSj0", "", 400, "bad base58"},
    {"GET", "/ipfs/" ABSENT_CID "/a%00b", "", 400, "an escaped NUL"},
    {"GET", "/ipfs/" ABSENT_CID "/a%0", "", 400, "half an escape"},
    {"GET", "/ipfs/" ABSENT_CID "?format=ipns-record", "", 400, "a record of no name"},
    {"GET", "/ipfs/" ABSENT_CID "?format=tar", "", 406, "a format that is not made"},
    {"GET", "/ipfs/" ABSENT_CID, "Accept: application/vnd.ipld.car;version=2\r\n", 406, "CARv2"},
    {"GET", "/ipfs/" ABSENT_CID, "Service-Worker: script\r\n", 400, "a worker for a whole root"},
    {"GET", "/ipns/nonsense", "", 400, "no name"},
    {"GET", "/ipns/example.org", "", 400, "a name by DNS"},
    {"GET", "/ipns/k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f", "", 404,
     "no record here"},
    {"GET",
     "/ipns/k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f?format="
     "ipns-record",
     "Cache-Control: only-if-cached\r\n", 412, "nor in a cache"},
    {"GET", "/", "", 404, "the root"},
    {"GET", "/etc/passwd", "", 404, "another place"},
    {"GET", "/ipfs", "", 404, "no slash"},
    {"GET", "/routing/v1/providers/nonsense", "", 422, "no CID"},
    {"GET", "/routing/v1/providers/" ABSENT_CID "/a", "", 404, "a path below it"},
    {"PUT", "/ipfs/" ABSENT_CID, "Content-Length: 0\r\n", 405, "writing"},
    {"POST", "/ipfs/" ABSENT_CID, "Content-Length: 0\r\n", 405, "POST"},
    {"DELETE", "/ipfs/" ABSENT_CID, "", 405, "DELETE"},
    {"TRACE", "/ipfs/" ABSENT_CID, "", 405, "TRACE"},
    {"OPTIONS", "/ipfs/" ABSENT_CID, "Origin: http://b\r\n", 204, "a preflight"},
    {"GET", "/ipfs/bafkqaaa?format=raw", "Host: evil.example\r\n", 400, "two Hosts"},
};

static void test_each_request_gets_its_status(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct reply *r = ask_with(c, requests[i].method, requests[i].target, requests[i].headers);
        if (r->status != requests[i].status)
            fail_msg("%s: %s %s gave %d, not %d:\n%s", requests[i].why, requests[i].method,
                     requests[i].target, r->status, requests[i].status, buf_text(&r->body));
        if (r->status == 405)
            expect_header(r, "Allow", "GET, HEAD, OPTIONS");
        /* A sentence, and none that names a file of ours. */
        if (r->status >= 400 && strcmp(requests[i].method, "HEAD") != 0)
            assert_true(r->body.size > 0 && strstr(buf_text(&r->body), scratch) == NULL);
        reply_free(r);
    }
    comb_close(c);
}

static void test_paths_that_lead_nowhere_are_404_and_into_a_block_501(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    expect_status(c, "GET", at(&c->tree.root, "/none?format=car"), "", 404);
    expect_status(c, "GET", at(&c->tree.root, "/copy/none"), "", 404);
    expect_status(c, "GET", at(&c->tree.root, "/none"), "Cache-Control: only-if-cached\r\n", 404);
    expect_status(c, "GET", at(&c->tree.root, "/many/entry-9999"), "", 404);
    expect_status(c, "GET", at(&c->tree.alpha, "/below-a-file"), "", 404);
    expect_status(c, "GET", at(&c->tree.root, "/copy/../alpha.txt"), "", 404); /* no such entry */
    expect_status(c, "GET", at(&c->tree.data, "/none"), "", 404);
    expect_status(c, "GET", at(&c->tree.data, "/to"), "", 501);
    expect_status(c, "GET", at(&c->tree.data, "/n?format=dag-cbor"), "", 501);
    expect_status(c, "GET", at(&c->tree.data, "/to/big"), "", 200);
    comb_close(c);
}

static void test_a_public_gateway_lets_any_page_read(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS"};
    static const char *const headers[][2] = {
        {"Access-Control-Allow-Origin", "*"},
        {"Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"},
        {"Access-Control-Allow-Headers", "Content-Type, Range, User-Agent, X-Requested-With"},
        {"Access-Control-Expose-Headers", "Content-Length, Content-Range, X-Chunked-Output, "
                                          "X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output"}};
    struct comb *c = comb_open();
    for (size_t i = 0; i < 3; i++) {
        struct reply *r = ask_with(c, methods[i], at(&c->tree.alpha, ""), "");
        for (size_t k = 0; k < 4; k++)
            expect_header(r, headers[k][0], headers[k][1]);
        reply_free(r);
    }
    struct reply *r = ask(c, "/ipfs/" ABSENT_CID);
    expect_header(r, "Access-Control-Allow-Origin", "*"); /* refusals as well */
    reply_free(r);
    comb_close(c);
}

static void test_a_strict_gateway_serves_blocks_cars_and_records_alone(void **state)
{
    (void)state;
    struct comb *c = comb_open_as(false);
    expect_status(c, "GET", at(&c->tree.alpha, ""), "", 400);
    expect_status(c, "GET", at(&c->tree.alpha, ""), "Accept: */*\r\n", 400);
    expect_status(c, "GET", at(&c->tree.alpha, ""), "Accept: text/html\r\n", 400);
    expect_status(c, "GET", at(&c->tree.data, "?format=dag-cbor"), "", 406);
    expect_status(c, "GET", at(&c->tree.data, "?format=json"), "", 406);
    expect_status(c, "GET", at(&c->tree.root, "/alpha.txt?format=raw"), "", 400);
    expect_status(c, "GET", at(&c->tree.root, "/alpha.txt?format=car"), "", 200);
    expect_status(c, "OPTIONS", at(&c->tree.root, ""), "", 405);
    expect_status(c, "GET", "/routing/v1/providers/" ABSENT_CID, "", 404);
    struct reply *r = ask(c, at(&c->tree.alpha, "?format=raw"));
    expect_header(r, "Cache-Control", "private, max-age=29030400, immutable");
    expect_header(r, "Access-Control-Allow-Origin", NULL);
    reply_free(r);
    comb_close(c);
}

static void test_a_damaged_file_is_500_before_a_byte_is_sent(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char path[512];
    uint8_t *bytes = stream_bytes("cut", 1 << 20);
    struct cid cid = put_block(c->store, CID_RAW, bytes_of(bytes, 1 << 20));
    snprintf(path, sizeof path, "%s", path_of(&cid));
    assert_int_equal(truncate(path, 1000), 0);
    /* What lies there is a whole file still: only its hash can tell, and raw is not hashed here. */
    expect_status(c, "GET", at(&cid, ""), "", 500);
    struct reply *r = ask(c, at(&cid, ""));
    assert_null(strstr(buf_text(&r->body), scratch));
    reply_free(r);
    free(bytes);
    comb_close(c);
}

/* --- codecs --- */

static void test_blocks_of_data_codecs_come_under_their_media_type(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 64];
    struct cid json = put_block(c->store, CID_JSON, bytes_of_text("{\"a\":1}"));
    struct cid bad = put_block(c->store, CID_CBOR, bytes_of_text("\xff\xff"));
    struct reply *r = ask(c, at(&c->tree.data, ""));
    expect_header(r, "Content-Type", "application/vnd.ipld.dag-cbor");
    cid_format(&c->tree.data, text);
    snprintf(value, sizeof value, "attachment; filename=\"%s.cbor\"", text);
    expect_header(r, "Content-Disposition", value);
    snprintf(value, sizeof value, "\"%s.dag-cbor\"", text);
    expect_header(r, "Etag", value);
    reply_free(r);
    r = ask(c, at(&c->tree.data, "?format=cbor"));
    expect_header(r, "Content-Type", "application/cbor");
    reply_free(r);
    r = ask(c, at(&json, ""));
    expect_header(r, "Content-Type", "application/json");
    snprintf(value, sizeof value, "inline; filename=\"%s.json\"", cid_format(&json, text));
    expect_header(r, "Content-Disposition", value);
    reply_free(r);
    r = ask_with(c, "GET", at(&json, "?format=dag-json&download=true"), "Range: bytes=1-3\r\n");
    assert_int_equal(r->status, 206);
    expect_header(r, "Content-Type", "application/vnd.ipld.dag-json");
    expect_body(r, bytes_of_text("\"a\""));
    assert_non_null(strstr(header_in(r, "Content-Disposition"), "attachment"));
    reply_free(r);
    expect_status(c, "GET", at(&c->tree.data, "?format=dag-json"), "", 406);
    expect_status(c, "GET", at(&c->tree.root, "?format=dag-json"), "", 406);
    expect_status(c, "GET", at(&json, "?format=dag-cbor"), "", 406);
    expect_status(c, "GET", at(&bad, "?format=dag-cbor"), "", 406); /* cbor, and not that strict */
    expect_status(c, "GET", at(&c->tree.alpha, "?format=json"), "", 200); /* a file: no change */
    comb_close(c);
}

/* --- who has it --- */

static void test_providers_are_this_gateway_or_none(void **state)
{
    (void)state;
    static const char provider[] = "{\"Schema\":\"peer\",\"ID\":\"" PEER "\",\"Addrs\":[\"" PROVIDER
                                   "\"],\"Protocols\":[\"transport-ipfs-gateway-http\"]}";
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], target[CID_TEXT_MAX + 128], body[1024];
    static const struct {
        const char *query;
        bool found;
    } filters[] = {{"", true},
                   {"?filter-protocols=transport-ipfs-gateway-http", true},
                   {"?filter-protocols=transport-bitswap", false},
                   {"?filter-addrs=ip4", true},
                   {"?filter-addrs=ip6,http", true},
                   {"?filter-addrs=!http", false},
                   {"?filter-addrs=webtransport", false},
                   {"?filter-addrs=%21ip4", false}};
    snprintf(body, sizeof body, "{\"Providers\":[%s]}\n", provider);
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        snprintf(target, sizeof target, "/routing/v1/providers/%s%s",
                 cid_format(&c->tree.big, text), filters[i].query);
        struct reply *r = ask(c, target);
        assert_int_equal(r->status, 200);
        expect_body(r, bytes_of_text(filters[i].found ? body : "{\"Providers\":[]}\n"));
        expect_header(r, "Content-Type", "application/json");
        expect_header(r, "Vary", "Accept");
        assert_non_null(strstr(header_in(r, "Cache-Control"),
                               filters[i].found ? "max-age=300," : "max-age=15,"));
        expect_header(r, "Access-Control-Allow-Origin", "*");
        reply_free(r);
    }
    snprintf(target, sizeof target, "/routing/v1/providers/%s", text);
    struct reply *r = ask_with(c, "GET", target, "Accept: application/x-ndjson\r\n");
    expect_header(r, "Content-Type", "application/x-ndjson");
    snprintf(body, sizeof body, "%s\n", provider);
    expect_body(r, bytes_of_text(body));
    reply_free(r);
    r = ask(c, "/routing/v1/providers/" ABSENT_CID);
    expect_body(r, bytes_of_text("{\"Providers\":[]}\n"));
    reply_free(r);
    comb_close(c);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_raw_block_comes_with_the_headers_of_a_public_gateway),
        WITH_FOLDER(test_accept_alone_says_where_the_same_lies_by_query),
        WITH_FOLDER(test_a_name_is_written_so_that_it_stays_one_header),
        WITH_FOLDER(test_ranges_and_conditions_on_raw_blocks),
        WITH_FOLDER(test_a_large_block_is_sent_as_it_lies),
        WITH_FOLDER(test_paths_lead_to_raw_blocks_and_name_their_roots),
        WITH_FOLDER(test_each_request_gets_its_status),
        WITH_FOLDER(test_paths_that_lead_nowhere_are_404_and_into_a_block_501),
        WITH_FOLDER(test_a_public_gateway_lets_any_page_read),
        WITH_FOLDER(test_a_strict_gateway_serves_blocks_cars_and_records_alone),
        WITH_FOLDER(test_a_damaged_file_is_500_before_a_byte_is_sent),
        WITH_FOLDER(test_blocks_of_data_codecs_come_under_their_media_type),
        WITH_FOLDER(test_providers_are_this_gateway_or_none),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
