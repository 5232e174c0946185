/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_read_scratch.h"
#include "transport/gateway_media.h"

/* --- files --- */

static void test_a_file_comes_whole_with_its_media_type(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 8];
    struct reply *r = ask(c, at(&c->tree.root, "/alpha.txt"));
    expect_body(r, bytes_of_text("alpha"));
    expect_header(r, "Content-Type", "text/plain; charset=utf-8");
    expect_header(r, "Content-Disposition", NULL);
    expect_header(r, "Cache-Control", "public, max-age=29030400, immutable");
    expect_header(r, "X-Content-Type-Options", "nosniff");
    snprintf(value, sizeof value, "\"%s\"", cid_format(&c->tree.alpha, text));
    expect_header(r, "Etag", value);
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/big"));
    assert_int_equal(r->status, 200);
    assert_false(r->cut);
    expect_header(r, "Content-Length", "4500");
    expect_header(r, "Content-Type", "text/plain; charset=utf-8"); /* by how it begins */
    expect_body(r, bytes_of(file_bytes(), FILE_SIZE));
    reply_free(r);
    r = ask_with(c, "HEAD", at(&c->tree.big, ""), "");
    expect_header(r, "Content-Length", "4500");
    assert_int_equal(r->body.size, 0);
    reply_free(r);
    comb_close(c);
}

static const struct {
    const char *range;
    int status;
    size_t from, to;
} parts[] = {
    {"bytes=0-0", 206, 0, 1},
    {"bytes=990-1010", 206, 990, 1011},
    {"bytes=1000-3999", 206, 1000, 4000},
    {"bytes=4499-", 206, 4499, 4500},
    {"bytes=-600", 206, 3900, 4500},
    {"bytes=0-99999", 206, 0, 4500},
    {"bytes=5-6,9-10", 206, 5, 7},
    {"bytes=4500-", 416, 0, 0},
    {"bytes=-0", 416, 0, 0},
    {"bytes=9-5", 200, 0, 4500},
};

static void test_ranges_of_a_file_cross_its_blocks(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char header[128], range[64];
        snprintf(header, sizeof header, "Range: %s\r\n", parts[i].range);
        struct reply *r = ask_with(c, "GET", at(&c->tree.root, "/big"), header);
        if (r->status != parts[i].status)
            fail_msg("%s: %d", parts[i].range, r->status);
        expect_body(r, bytes_of(file_bytes() + parts[i].from, parts[i].to - parts[i].from));
        snprintf(range, sizeof range, "bytes %zu-%zu/4500", parts[i].from, parts[i].to - 1);
        if (r->status == 206)
            expect_header(r, "Content-Range", range);
        if (r->status == 416)
            expect_header(r, "Content-Range", "bytes */4500");
        reply_free(r);
    }
    comb_close(c);
}

/* Of a file of several blocks, which is made while it is sent. */
static const struct {
    const char *method, *headers; /* %s: the file's CID */
    int status;
    const char *length, *range;
} conditions[] = {
    {"HEAD", "", 200, "4500", NULL},
    {"HEAD", "Range: bytes=0-0\r\n", 200, "4500", NULL}, /* a range is of a GET */
    {"HEAD", "If-None-Match: \"%s\"\r\n", 304, NULL, NULL},
    {"GET", "Range: bytes=990-1010\r\nIf-Range: \"%s\"\r\n", 206, "21", "bytes 990-1010/4500"},
    {"GET", "Range: bytes=990-1010\r\nIf-Range: \"other\"\r\n", 200, "4500", NULL},
    {"GET", "Range: bytes=990-1010\r\nIf-Range: W/\"%s\"\r\n", 200, "4500", NULL},
    {"GET", "Range: bytes=990-1010\r\nIf-Range: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 200, "4500",
     NULL},
    {"GET", "Range: bytes=9999-\r\nIf-Range: \"other\"\r\n", 200, "4500", NULL},
    {"GET", "If-Range: \"%s\"\r\n", 200, "4500", NULL},
};

static void test_conditions_on_a_file_of_several_blocks(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], headers[512];
    cid_format(&c->tree.big, text);
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        const char *said = conditions[i].headers, *hole = strstr(said, "%s");
        size_t size = hole == NULL ? strlen(said) : (size_t)(hole - said);
        snprintf(headers, sizeof headers, "%.*s%s%s", (int)size, said, hole == NULL ? "" : text,
                 hole == NULL ? "" : hole + 2);
        struct reply *r = ask_with(c, conditions[i].method, at(&c->tree.root, "/big"), headers);
        if (r->status != conditions[i].status || r->cut)
            fail_msg("%s %s: %d", conditions[i].method, headers, r->status);
        if (conditions[i].length != NULL)
            expect_header(r, "Content-Length", conditions[i].length);
        expect_header(r, "Content-Range", conditions[i].range);
        bool get = strcmp(conditions[i].method, "GET") == 0;
        assert_int_equal(r->body.size, get ? strtoul(conditions[i].length, NULL, 10) : 0);
        reply_free(r);
    }
    comb_close(c);
}

static void test_a_range_needs_no_block_beside_it(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    assert_int_equal(store_delete(c->store, &c->tree.chunks[0], NULL), 0);
    assert_int_equal(store_delete(c->store, &c->tree.chunks[3], NULL), 0);
    struct reply *r = ask_with(c, "GET", at(&c->tree.big, ""), "Range: bytes=1500-2500\r\n");
    assert_int_equal(r->status, 206);
    expect_body(r, bytes_of(file_bytes() + 1500, 1001));
    reply_free(r);
    r = ask_with(c, "GET", at(&c->tree.root, "/big"), "Range: bytes=2500-4400\r\n");
    assert_int_equal(r->status, 206);
    assert_true(r->cut); /* the missing block is in it */
    reply_free(r);
    comb_close(c);
}

/* Files are hashed before a byte of them is sent. */
static void test_a_damaged_block_is_never_sent_as_a_file(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char path[512];
    snprintf(path, sizeof path, "%s", path_of(&c->tree.chunks[1]));
    damage_file(path, 5, 1);
    struct reply *r = ask(c, at(&c->tree.big, ""));
    assert_true(r->cut);
    expect_body(r, bytes_of(file_bytes(), CHUNK_BYTES));
    reply_free(r);
    /* The first one is looked at before there is a status. */
    snprintf(path, sizeof path, "%s", path_of(&c->tree.chunks[0]));
    damage_file(path, 5, 1);
    r = ask(c, at(&c->tree.big, ""));
    assert_int_equal(r->status, 500);
    assert_false(r->cut);
    expect_header(r, "Cache-Control", NULL);
    expect_header(r, "Access-Control-Allow-Origin", "*");
    reply_free(r);
    snprintf(path, sizeof path, "%s", path_of(&c->tree.alpha));
    damage_file(path, 0, 1);
    expect_status(c, "GET", at(&c->tree.alpha, ""), "", 500);
    comb_close(c);
}

static void test_names_and_downloads(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct reply *r = ask(c, at(&c->tree.alpha, "?filename=page.html"));
    expect_header(r, "Content-Type", "text/html; charset=utf-8");
    expect_header(r, "Content-Disposition", "inline; filename=\"page.html\"");
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/alpha.txt?download=true"));
    expect_header(r, "Content-Disposition", "attachment; filename=\"alpha.txt\"");
    reply_free(r);
    comb_close(c);
}

static void test_a_symlink_is_its_target(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct reply *r = ask(c, at(&c->tree.root, "/link"));
    assert_int_equal(r->status, 200);
    expect_header(r, "Content-Type", "inode/symlink");
    expect_body(r, bytes_of_text("alpha.txt"));
    reply_free(r);
    comb_close(c);
}

static void test_a_file_that_has_not_changed_is_not_sent_again(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], header[CID_TEXT_MAX + 64];
    snprintf(header, sizeof header, "If-None-Match: \"x\", W/\"%s\"\r\n",
             cid_format(&c->tree.big, text));
    expect_status(c, "GET", at(&c->tree.root, "/big"), header, 304);
    expect_status(c, "GET", at(&c->tree.alpha, ""), header, 200);
    comb_close(c);
}

/* --- directories --- */

static void test_a_directory_has_a_slash_behind_it(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], location[CID_TEXT_MAX + 64];
    struct reply *r = ask(c, at(&c->tree.root, "/copy?filename=a%0D%0AX:y"));
    assert_int_equal(r->status, 301);
    snprintf(location, sizeof location, "/ipfs/%s/copy/?filename=a%%0D%%0AX:y",
             cid_format(&c->tree.root, text));
    expect_header(r, "Location", location);
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/m%61ny"));
    snprintf(location, sizeof location, "/ipfs/%s/many/", text);
    expect_header(r, "Location", location);
    reply_free(r);
    comb_close(c);
}

static void test_an_index_answers_for_its_directory(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 8];
    struct reply *r = ask(c, at(&c->tree.root, "/copy/"));
    assert_int_equal(r->status, 200);
    expect_header(r, "Content-Type", "text/html; charset=utf-8");
    expect_body(r, bytes_of_text("<!DOCTYPE html><p>index</p>"));
    snprintf(value, sizeof value, "\"%s\"", cid_format(&c->tree.copy, text));
    expect_header(r, "Etag", value);
    reply_free(r);
    comb_close(c);
}

static void expect_text(const struct reply *r, const char *text)
{
    if (memmem(r->body.data, r->body.size, text, strlen(text)) == NULL)
        fail_msg("no %s in\n%.*s", text, (int)r->body.size, (const char *)r->body.data);
}

static void test_a_listing_links_every_entry(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], many[CID_TEXT_MAX], value[2048];
    struct reply *r = ask(c, at(&c->tree.root, "/"));
    assert_int_equal(r->status, 200);
    expect_header(r, "Content-Type", "text/html; charset=utf-8");
    assert_non_null(strstr(header_in(r, "Content-Security-Policy"), "default-src 'none'"));
    cid_format(&c->tree.root, text);
    snprintf(value, sizeof value, "\"DirIndex-1_CID-%s\"", text);
    expect_header(r, "Etag", value);
    expect_text(r, "Index of");
    snprintf(value, sizeof value, "<a href=\"/ipfs/%s/many\">many</a>", text);
    expect_text(r, value);
    cid_format(&c->tree.many, many);
    snprintf(value, sizeof value,
             "<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/%s?filename=many\">%s</a>", many,
             many);
    expect_text(r, value);
    assert_null(memmem(r->body.data, r->body.size, "\">..</a>", 8)); /* nothing is above a root */
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/many/"));
    for (int i = 0; i < ENTRY_COUNT; i += 13) {
        snprintf(value, sizeof value, "<a href=\"/ipfs/%s/many/entry-%d\">entry-%d</a>", text, i,
                 i);
        expect_text(r, value);
    }
    snprintf(value, sizeof value, "<a href=\"/ipfs/%s/many/..\">..</a>", text);
    expect_text(r, value);
    reply_free(r);
    snprintf(value, sizeof value, "If-None-Match: \"DirIndex-1_CID-%s\"\r\n", text);
    expect_status(c, "GET", at(&c->tree.root, "/"), value, 304);
    snprintf(value, sizeof value, "If-None-Match: W/\"%s\"\r\n", text);
    expect_status(c, "GET", at(&c->tree.root, "/"), value, 304);
    comb_close(c);
}

static void test_names_cannot_write_the_page(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct reply *r = ask(c, at(&c->tree.root, "/odd/"));
    assert_int_equal(r->status, 200);
    assert_null(memmem(r->body.data, r->body.size, "<script", 7));
    expect_text(r, ">&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;</a>");
    expect_text(r, "/odd/%22%3E%3Cscript%3Ealert%281%29%3C/script%3E\"");
    expect_text(r, "/odd/a%20b%26c.txt\">a b&amp;c.txt</a>");
    reply_free(r);
    /* Nor can the path. */
    r = ask(c, at(&c->tree.root, "/odd/%22%3E%3Cb%3E/"));
    assert_int_equal(r->status, 404);
    reply_free(r);
    comb_close(c);
}

static void test_a_directory_with_a_missing_shard_is_404(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct cid gone = cid_of(CID_DAG_PB, bytes_of_text("not here"));
    struct buf node = buf_new(4096);
    uint8_t bitfield[] = {1};
    dagpb_put_link(&node, &gone, bytes_of_text("00"), 10);
    unixfs_node_put_hamt(&node, bytes_of(bitfield, sizeof bitfield), 256);
    struct cid hamt = put_block(c->store, CID_DAG_PB, buf_bytes(&node));
    expect_status(c, "GET", at(&hamt, "/"), "", 404);
    buf_fini(&node);
    comb_close(c);
}

static void test_data_is_a_page_for_a_browser_alone(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct reply *r = ask_with(c, "GET", at(&c->tree.data, "/"), "Accept: text/html,*/*;q=0.5\r\n");
    assert_int_equal(r->status, 200);
    expect_header(r, "Content-Type", "text/html; charset=utf-8");
    assert_non_null(strstr(header_in(r, "Etag"), "DagIndex-"));
    expect_header(r, "Content-Disposition", NULL);
    expect_header(r, "Cache-Control", NULL);
    expect_text(r, "{&quot;n&quot;:7,&quot;to&quot;:");
    reply_free(r);
    r = ask(c, at(&c->tree.data, "/"));
    expect_header(r, "Content-Type", "application/vnd.ipld.dag-cbor");
    reply_free(r);
    comb_close(c);
}

static void test_what_is_no_file_says_so(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct cid odd = put_block(c->store, CID_DAG_PB, bytes_of("\x0a\x03\x08\x09\x18", 5));
    struct cid key = cid_of(CID_LIBP2P_KEY, bytes_of_text("key"));
    assert_int_equal(store_put(c->store, &key, bytes_of_text("key"), NULL), 0);
    expect_status(c, "GET", at(&odd, ""), "", 400);
    expect_status(c, "GET", at(&key, ""), "", 400);
    expect_status(c, "GET", at(&key, "?format=raw"), "", 200);
    comb_close(c);
}

/* --- media types --- */

static const struct {
    const char *bytes;
    size_t size;
    const char *type;
} beginnings[] = {
    {"", 0, "text/plain; charset=utf-8"},
    {"hello\n", 6, "text/plain; charset=utf-8"},
    {"\xc5\xba", 2, "text/plain; charset=utf-8"},
    {"\xc5", 1, "application/octet-stream"}, /* half a character, and no more comes */
    {"a\0b", 3, "application/octet-stream"},
    {"a\x01", 2, "application/octet-stream"},
    {"{\"a\": 1}", 8, "application/json"},
    {" [1, 2]", 7, "application/json"},
    {"[note] text", 11, "text/plain; charset=utf-8"},
    {"{curly}", 7, "text/plain; charset=utf-8"},
    {"<!doctype HTML><p>", 18, "text/html; charset=utf-8"},
    {"<?xml version='1.0'?><svg/>", 27, "image/svg+xml"},
    {"\x89PNG\r\n\x1a\n", 8, "image/png"},
    {"\x89PN", 3, "application/octet-stream"},
    {"%PDF-1.7", 8, "application/pdf"},
};

static void test_media_types_by_name_and_by_beginning(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        assert_string_equal(
            gateway_media_by_bytes(bytes_of(beginnings[i].bytes, beginnings[i].size), true),
            beginnings[i].type);
    assert_string_equal(gateway_media_by_bytes(bytes_of("a\xc5", 2), false),
                        "text/plain; charset=utf-8");
    assert_string_equal(gateway_media_by_name("a.JPEG"), "image/jpeg");
    assert_string_equal(gateway_media_by_name("a.tar.gz"), "application/gzip");
    assert_null(gateway_media_by_name("README"));
    assert_null(gateway_media_by_name(""));
    assert_null(gateway_media_by_name("a."));
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_file_comes_whole_with_its_media_type),
        WITH_FOLDER(test_ranges_of_a_file_cross_its_blocks),
        WITH_FOLDER(test_conditions_on_a_file_of_several_blocks),
        WITH_FOLDER(test_a_range_needs_no_block_beside_it),
        WITH_FOLDER(test_a_damaged_block_is_never_sent_as_a_file),
        WITH_FOLDER(test_names_and_downloads),
        WITH_FOLDER(test_a_symlink_is_its_target),
        WITH_FOLDER(test_a_file_that_has_not_changed_is_not_sent_again),
        WITH_FOLDER(test_a_directory_has_a_slash_behind_it),
        WITH_FOLDER(test_an_index_answers_for_its_directory),
        WITH_FOLDER(test_a_listing_links_every_entry),
        WITH_FOLDER(test_names_cannot_write_the_page),
        WITH_FOLDER(test_a_directory_with_a_missing_shard_is_404),
        WITH_FOLDER(test_data_is_a_page_for_a_browser_alone),
        WITH_FOLDER(test_what_is_no_file_says_so),
        cmocka_unit_test(test_media_types_by_name_and_by_beginning),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
