/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_scratch.h"

#include "content/unixfs_node.h"

#define AUTH "Host: a\r\nAuthorization: Bearer good\r\n"
#define TEXT "a block of text"

static const char *read_to_end(int fd)
{
    static char answer[16 << 10];
    size_t n = 0;
    while (n + 1 < sizeof answer) {
        ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    answer[n] = '\0';
    close(fd);
    return answer;
}

/* One request on a connection of its own, and all that comes back. */
static const char *converse(struct hive *h, const char *request, size_t size)
{
    static const char last[] = "\r\nConnection: close";
    const char *line_end = strstr(request, "\r\n");
    size_t line = (size_t)(line_end - request);
    int fd = connect_to(hive_port(h));
    assert_true(send_all_of(fd, request, line));
    assert_true(send_all_of(fd, last, strlen(last)));
    assert_true(send_all_of(fd, line_end, size - line));
    return read_to_end(fd);
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* A GET or HEAD of /ipfs/TEXT's CID with more headers. */
static const char *get_text(struct hive *h, const char *method, const char *headers)
{
    char request[4096], text[CID_TEXT_MAX];
    struct cid cid = cid_of(CID_RAW, bytes_of_text(TEXT));
    int n = snprintf(request, sizeof request, "%s /ipfs/%s?format=raw HTTP/1.1\r\n" AUTH "%s\r\n",
                     method, cid_format(&cid, text), headers);
    return converse(h, request, (size_t)n);
}

static struct hive *a_hive_with(unsigned idle_seconds)
{
    struct hive *h = hive_open(false, idle_seconds);
    struct cid cid = cid_of(CID_RAW, bytes_of_text(TEXT)), empty = cid_of(CID_RAW, bytes_of("", 0));
    assert_int_equal(store_put(h->store, &cid, bytes_of_text(TEXT), NULL), 0);
    assert_int_equal(store_put(h->store, &empty, bytes_of("", 0), NULL), 0);
    return h;
}

static struct hive *a_hive(void)
{
    return a_hive_with(30);
}

/* --- reading --- */

static void test_a_block_comes_with_the_headers_of_a_trustless_gateway(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    static const char *const lines[] = {
        "HTTP/1.1 200 OK\r\n",
        "Content-Type: application/vnd.ipld.raw\r\n",
        "Content-Length: 15\r\n",
        "Content-Disposition: attachment; "
        "filename=\"bafkreiecjvzmbxa22eai5loos6zfeq4gpqwxasdurxhefmguwrsyhy4f5a.bin\"\r\n",
        "X-Content-Type-Options: nosniff\r\n",
        "Etag: \"bafkreiecjvzmbxa22eai5loos6zfeq4gpqwxasdurxhefmguwrsyhy4f5a.raw\"\r\n",
        "Cache-Control: private, max-age=29030400, immutable\r\n",
        "X-Ipfs-Path: /ipfs/bafkreiecjvzmbxa22eai5loos6zfeq4gpqwxasdurxhefmguwrsyhy4f5a\r\n",
        "X-Ipfs-Roots: bafkreiecjvzmbxa22eai5loos6zfeq4gpqwxasdurxhefmguwrsyhy4f5a\r\n"};
    for (int head = 0; head <= 1; head++) {
        const char *answer = get_text(h, head == 1 ? "HEAD" : "GET", "");
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
            if (strstr(answer, lines[i]) == NULL)
                fail_msg("no %s in\n%s", lines[i], answer);
        assert_string_equal(strstr(answer, "\r\n\r\n") + 4, head == 1 ? "" : TEXT);
    }
    hive_stop(h);
    assert_int_equal(atomic_load(&h->sent), strlen(TEXT)); /* of the GET alone */
    hive_close(h);
}

#define CID_OF_TEXT "bafkreiecjvzmbxa22eai5loos6zfeq4gpqwxasdurxhefmguwrsyhy4f5a"
#define ABSENT      "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka"

static const struct {
    const char *request;
    int status;
    const char *why;
} requests[] = {
    {"GET /ipfs/bafkqaaa?format=raw HTTP/1.1\r\nHost: a\r\n\r\n", 200, "the probe, no token"},
    {"HEAD /ipfs/bafkqaaa?format=raw HTTP/1.1\r\nHost: a\r\n\r\n", 200, "the probe by HEAD"},
    {"GET /ipfs/bafkqaaa HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the probe without a format"},
    {"GET /ipfs/" CID_OF_TEXT "?format=raw HTTP/1.1\r\nHost: a\r\n\r\n", 401, "no token"},
    {"GET /ipfs/" CID_OF_TEXT
     "?format=raw HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer bad\r\n\r\n",
     401, "a bad token"},
    {"GET /ipfs/" CID_OF_TEXT
     "?format=raw HTTP/1.1\r\nHost: a\r\nAuthorization: Basic good\r\n\r\n",
     401, "another scheme"},
    {"GET /ipfs/" CID_OF_TEXT
     "?format=raw HTTP/1.1\r\nHost: a\r\nAuthorization: bearer good\r\n\r\n",
     200, "schemes know no case"},
    {"GET /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH "\r\n", 400, "neither format nor Accept"},
    {"GET /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH "Accept: */*\r\n\r\n", 400, "any format"},
    {"GET /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH "Accept: application/vnd.ipld.raw\r\n\r\n", 200,
     "Accept alone"},
    {"GET /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH
     "Accept: text/html;q=0.5, application/vnd.ipld.raw;q=1, */*\r\n\r\n",
     200, "Accept among others"},
    {"GET /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH "Accept: application/vnd.ipld.rawer\r\n\r\n",
     400, "not quite that type"},
    {"GET /ipfs/" CID_OF_TEXT "?format=tar HTTP/1.1\r\n" AUTH
     "Accept: application/vnd.ipld.raw\r\n\r\n",
     406, "format wins over Accept"},
    {"GET /ipfs/" ABSENT "?format=raw HTTP/1.1\r\n" AUTH "\r\n", 404, "not here"},
    {"HEAD /ipfs/" ABSENT "?format=raw HTTP/1.1\r\n" AUTH "\r\n", 404, "not here, by HEAD"},
    {"GET /ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku?format=raw "
     "HTTP/1.1\r\n" AUTH "\r\n",
     200, "the empty block"},
    {"GET /ipfs/bafkqabtimvwgy3yk?format=raw HTTP/1.1\r\n" AUTH "\r\n", 200, "an identity CID"},
    {"GET /ipfs/nonsense?format=raw HTTP/1.1\r\n" AUTH "\r\n", 400, "not a CID"},
    {"GET /ipfs/?format=raw HTTP/1.1\r\n" AUTH "\r\n", 400, "no CID"},
    {"GET /ipfs/%62"
     "afkqaaa?format=raw HTTP/1.1\r\n" AUTH "\r\n",
     400, "a coded character"},
    {"GET /ipfs/../ipfs/bafkqaaa?format=raw HTTP/1.1\r\n" AUTH "\r\n", 400, "dots"},
    {"GET /ipfs/%2e%2e/etc/passwd?format=raw HTTP/1.1\r\n" AUTH "\r\n", 400, "coded dots"},
    {"GET /ipfs/" CID_OF_TEXT "/a?format=raw HTTP/1.1\r\n" AUTH "\r\n", 400, "a path behind it"},
    {"GET / HTTP/1.1\r\n" AUTH "\r\n", 404, "the root"},
    {"GET /ipns/a?format=raw HTTP/1.1\r\n" AUTH "\r\n", 404, "another service"},
    {"GET http://a/ipfs/bafkqaaa?format=raw HTTP/1.1\r\n" AUTH "\r\n", 404, "as to a proxy"},
    {"POST /ipfs/" CID_OF_TEXT "?format=raw HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 405,
     "POST"},
    {"TRACE /ipfs/" CID_OF_TEXT "?format=raw HTTP/1.1\r\n" AUTH "\r\n", 405, "TRACE"},
    {"DELETE /upload/12 HTTP/1.1\r\n" AUTH "\r\n", 405, "DELETE"},
    {"GET /upload/12 HTTP/1.1\r\n" AUTH "\r\n", 405, "reading an upload"},
    {"PUT /ipfs/" CID_OF_TEXT " HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 405,
     "writing a block"},
    {"PUT /upload/12 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 200, "an empty upload"},
    {"PUT /upload/12 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 401, "without a token"},
    {"PUT /upload/11 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 403, "another round"},
    {"PUT /upload/12 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good8\r\n"
     "Content-Length: 0\r\n\r\n",
     403, "another site"},
    {"PUT /upload/13 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 503, "a full disk"},
    {"PUT /upload/ HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 400, "no round"},
    {"PUT /upload/012 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 400, "a second spelling"},
    {"PUT /upload/+12 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 400, "a sign"},
    {"PUT /upload/12/ HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 400, "a path behind it"},
    {"PUT /upload/18446744073709551628 HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 400,
     "2^64 + 12"},
    {"PUT /upload/12?format=raw HTTP/1.1\r\n" AUTH "Content-Length: 0\r\n\r\n", 200, "a query"},
};

static void test_each_request_gets_its_status(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const char *answer = converse(h, requests[i].request, strlen(requests[i].request));
        if (status_of(answer) != requests[i].status)
            fail_msg("%s: not %d but\n%s", requests[i].why, requests[i].status, answer);
        if (status_of(answer) == 503)
            assert_non_null(strstr(answer, "Retry-After: "));
        if (status_of(answer) == 401)
            assert_non_null(strstr(answer, "WWW-Authenticate: Bearer\r\n"));
    }
    hive_close(h);
}

static const struct {
    const char *headers;
    int status;
    const char *line; /* that must be there, or NULL */
    const char *body;
} ranges[] = {
    {"Range: bytes=0-0\r\n", 206, "Content-Range: bytes 0-0/15\r\n", "a"},
    {"Range: bytes=2-6\r\n", 206, "Content-Range: bytes 2-6/15\r\n", "block"},
    {"Range: bytes=11-\r\n", 206, "Content-Range: bytes 11-14/15\r\n", "text"},
    {"Range: bytes=11-9999\r\n", 206, "Content-Range: bytes 11-14/15\r\n", "text"},
    {"Range: bytes=-4\r\n", 206, "Content-Range: bytes 11-14/15\r\n", "text"},
    {"Range: bytes=-9999\r\n", 206, "Content-Range: bytes 0-14/15\r\n", TEXT},
    {"Range: bytes=15-\r\n", 416, "Content-Range: bytes */15\r\n", ""},
    {"Range: bytes=-0\r\n", 416, "Content-Range: bytes */15\r\n", ""},
    {"Range: bytes=0-1,3-4\r\n", 206, "Content-Range: bytes 0-1/15\r\n", "a "},
    {"Range: bytes=4-2\r\n", 200, NULL, TEXT},
    {"Range: bytes=a-b\r\n", 200, NULL, TEXT},
    {"Range: bytes=-\r\n", 200, NULL, TEXT},
    {"Range: bytes=0-99999999999999999999999\r\n", 200, NULL, TEXT},
    {"Range: lines=0-1\r\n", 200, NULL, TEXT},
    {"Range: bytes=0-0\r\nIf-Range: \"" CID_OF_TEXT ".raw\"\r\n", 206, NULL, "a"},
    {"Range: bytes=0-0\r\nIf-Range: \"another\"\r\n", 200, NULL, TEXT},
    {"If-None-Match: \"" CID_OF_TEXT ".raw\"\r\n", 304, "Etag: \"" CID_OF_TEXT ".raw\"\r\n", ""},
    {"If-None-Match: W/\"" CID_OF_TEXT ".raw\"\r\n", 304, NULL, ""},
    {"If-None-Match: \"x\", \"" CID_OF_TEXT ".raw\"\r\n", 304, NULL, ""},
    {"If-None-Match: *\r\n", 304, NULL, ""},
    {"If-None-Match: \"another.raw\"\r\n", 200, NULL, TEXT},
};

static void test_ranges_and_conditions(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const char *answer = get_text(h, "GET", ranges[i].headers);
        if (status_of(answer) != ranges[i].status ||
            (ranges[i].line != NULL && strstr(answer, ranges[i].line) == NULL) ||
            strcmp(strstr(answer, "\r\n\r\n") + 4, ranges[i].body) != 0)
            fail_msg("%s gave\n%s", ranges[i].headers, answer);
    }
    hive_close(h);
}

static void test_a_block_the_disk_does_not_give_is_no_404(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    struct cid root;
    uint64_t size;
    char path[FILES_PATH_MAX];
    uint8_t *model = stream_bytes("model", 3 << 20);
    write_file(in_scratch("model"), bytes_of(model, 3 << 20));
    assert_int_equal(store_import(h->store, in_scratch("model"), NULL, &root, NULL), 0);
    assert_int_equal(store_model_path(h->store, &root, path, &size, NULL), 0);
    assert_int_equal(truncate(path, 1 << 20), 0);
    struct cid last = cid_of(CID_RAW, bytes_of(model + (2 << 20), 1 << 20));
    char request[512], text[CID_TEXT_MAX];
    int n = snprintf(request, sizeof request, "GET /ipfs/%s?format=raw HTTP/1.1\r\n" AUTH "\r\n",
                     cid_format(&last, text));
    assert_int_equal(status_of(converse(h, request, (size_t)n)), 500);
    free(model);
    hive_close(h);
}

/* A DAG behind a token, and its bytes in the books. */
static void test_a_car_is_for_sites_and_is_counted(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    struct buf node = buf_new(4096);
    char request[512], text[CID_TEXT_MAX];
    struct cid leaf = cid_of(CID_RAW, bytes_of_text(TEXT));
    dagpb_put_link(&node, &leaf, bytes_of_text("leaf"), strlen(TEXT));
    unixfs_node_put_directory(&node);
    struct cid root = cid_of(CID_DAG_PB, buf_bytes(&node));
    assert_int_equal(store_put(h->store, &root, buf_bytes(&node), NULL), 0);
    cid_format(&root, text);
    static const struct {
        const char *rest, *headers;
        int status;
    } rows[] = {{"?format=car", "Host: a\r\n", 401},
                {"/leaf?format=car", "Host: a\r\nAuthorization: Bearer bad\r\n", 401},
                {"/leaf?format=car", AUTH, 200},
                {"/none?format=car", AUTH, 404},
                {"?format=car", AUTH, 200}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int n = snprintf(request, sizeof request, "GET /ipfs/%s%s HTTP/1.1\r\n%s\r\n", text,
                         rows[i].rest, rows[i].headers);
        assert_int_equal(status_of(converse(h, request, (size_t)n)), rows[i].status);
    }
    static const char probe[] = "GET /ipfs/bafkqaaa?format=car HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(status_of(converse(h, probe, strlen(probe))), 200);
    hive_stop(h);
    /* Both CARs are header, root and leaf. */
    uint64_t bytes = 59 + 1 + 36 + node.size + 1 + 36 + strlen(TEXT);
    assert_int_equal(atomic_load(&h->sent), 2 * bytes);
    buf_fini(&node);
    hive_close(h);
}

/* --- writing --- */

static void add_section(struct buf *out, const struct cid *cid, struct bytes block)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    buf_append(out, head, car_section_head(cid, block.size, head));
    buf_append(out, block.data, block.size);
}

/* Block `i` of some, of differing sizes. */
static struct bytes block_at(size_t i)
{
    static uint8_t data[8][3000];
    memset(data[i], 'a' + (int)i, sizeof data[i]);
    return bytes_of(data[i], 1000 + 200 * i);
}

static struct cid cid_at(size_t i)
{
    return cid_of(CID_RAW, block_at(i));
}

static const char *put(struct hive *h, struct bytes body)
{
    struct buf request = buf_new(1 << 20);
    buf_append_format(&request, "PUT /upload/12 HTTP/1.1\r\n" AUTH "Content-Length: %zu\r\n\r\n",
                      body.size);
    buf_append(&request, body.data, body.size);
    const char *answer = converse(h, (const char *)request.data, request.size);
    buf_fini(&request);
    return answer;
}

/* The same, with the end of the connection after `cut` bytes of the body. */
static void put_and_cut(struct hive *h, struct bytes body, size_t cut)
{
    char head[256];
    int fd = connect_to(hive_port(h));
    int n = snprintf(head, sizeof head,
                     "PUT /upload/12 HTTP/1.1\r\n" AUTH "Content-Length: %zu\r\n\r\n", body.size);
    assert_true(send_all_of(fd, head, (size_t)n));
    assert_true(send_all_of(fd, body.data, cut));
    sleep_ms(2); /* an end that comes with the last bytes is seen only when the idle time is over */
    shutdown(fd, SHUT_WR);
    assert_string_equal(read_to_end(fd), "");
}

static void test_uploaded_blocks_are_in_the_pack_when_the_answer_comes(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    struct buf body = buf_new(1 << 20);
    for (size_t i = 0; i < 4; i++) {
        struct cid cid = cid_at(i);
        add_section(&body, &cid, block_at(i));
    }
    const char *answer = put(h, buf_bytes(&body));
    assert_int_equal(status_of(answer), 200);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "4 blocks are here\n");
    assert_int_equal(pack_count(h->pack), 4);
    uint64_t bytes = pack_bytes(h->pack);
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 200);
    assert_int_equal(pack_bytes(h->pack), bytes); /* the same again writes nothing */
    hive_stop(h);
    assert_int_equal(atomic_load(&h->received), 2 * body.size);
    assert_int_equal(atomic_load(&h->spoiled), 0);
    buf_fini(&body);
    hive_close(h);
}

static void test_what_came_before_a_bad_block_is_kept(void **state)
{
    (void)state;
    static const struct {
        int status, spoiled;
        const char *why;
    } rows[] = {{400, ERR_MALFORMED, "bytes that do not hash"},
                {400, ERR_MALFORMED, "not a CID"},
                {400, ERR_MALFORMED, "a hash we do not know"},
                {413, ERR_LIMIT, "a block over 2 MiB"},
                {413, ERR_LIMIT, "over quota"},
                {400, ERR_MALFORMED, "a block of a kind that no update has"},
                {400, 0, "the stream ends inside a block"}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct hive *h = a_hive();
        struct buf body = buf_new(1 << 20);
        struct cid first = cid_at(0), second = cid_at(1);
        uint8_t sha512[68] = {1, 0x55, 0x13, 0x40};
        add_section(&body, &first, block_at(0));
        uint64_t used = pack_bytes(h->pack) + body.size;
        if (row == 0)
            add_section(&body, &second, block_at(2));
        else if (row == 5) {
            struct cid node = cid_from_digest(CID_DAG_PB, cid_digest(&second));
            add_section(&body, &node, block_at(1));
        } else if (row == 1)
            buf_append(&body,
                       "\x10"
                       "not a CID at all!",
                       17);
        else if (row == 2) {
            buf_append_byte(&body, sizeof sha512);
            buf_append(&body, sha512, sizeof sha512);
        } else if (row == 3)
            buf_append(&body, "\xff\xff\xff\x7f", 4);
        else
            add_section(&body, &second, block_at(1));
        if (row == 4)
            atomic_store(&h->quota, used + 100);
        size_t size = row == 6 ? body.size - 1 : body.size;
        const char *answer = put(h, bytes_of(body.data, size));
        if (status_of(answer) != rows[row].status)
            fail_msg("%s:\n%s", rows[row].why, answer);
        assert_int_equal(atomic_load(&h->spoiled), rows[row].spoiled);
        assert_true(pack_has(h->pack, &first));
        assert_false(pack_has(h->pack, &second));
        assert_int_equal(pack_bytes(h->pack), used);
        buf_fini(&body);
        hive_stop(h);
        pack_forget(h->pack, &first);
        hive_close(h);
        unlink(in_scratch("update.pack"));
    }
}

static void test_a_cut_upload_keeps_every_whole_block(void **state)
{
    (void)state;
    struct buf body = buf_new(1 << 20);
    size_t ends[5] = {0};
    for (size_t i = 0; i < 4; i++) {
        struct cid cid = cid_at(i);
        add_section(&body, &cid, block_at(i));
        ends[i + 1] = body.size;
    }
    for (size_t cut = 0; cut < body.size; cut += 397) {
        struct hive *h = a_hive_with(1);
        size_t whole = 0;
        while (whole < 4 && ends[whole + 1] <= cut)
            whole++;
        put_and_cut(h, buf_bytes(&body), cut);
        hive_stop(h);
        assert_int_equal(pack_count(h->pack), whole);
        assert_int_equal(atomic_load(&h->spoiled), 0); /* a cut is nobody's fault */
        hive_close(h);
        unlink(in_scratch("update.pack"));
    }
    buf_fini(&body);
}

/* 256, and one more for each 4 KiB of the quota. */
static void test_a_quota_is_for_so_many_blocks(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    struct buf body = buf_new(1 << 20);
    const uint16_t allowed = 256 + 8;
    atomic_store(&h->quota, 8 * 4096);
    for (uint16_t i = 0; i <= allowed; i++) {
        struct bytes block = bytes_of(&i, sizeof i);
        struct cid cid = cid_of(CID_RAW, block);
        add_section(&body, &cid, block);
    }
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 413);
    assert_int_equal(atomic_load(&h->spoiled), ERR_LIMIT);
    assert_int_equal(pack_count(h->pack), allowed);
    buf_fini(&body);
    hive_stop(h);
    hive_close(h);
}

static void test_a_block_present_needs_no_quota(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    struct buf body = buf_new(1 << 20);
    struct cid cid = cid_at(0);
    add_section(&body, &cid, block_at(0));
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 200);
    atomic_store(&h->quota, pack_bytes(h->pack));
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 200);
    atomic_store(&h->quota, 0);
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 200);
    /* Another one does. */
    struct cid second = cid_at(1);
    add_section(&body, &second, block_at(1));
    assert_int_equal(status_of(put(h, buf_bytes(&body))), 413);
    assert_int_equal(pack_count(h->pack), 1);
    buf_fini(&body);
    hive_close(h);
}

static void test_one_site_leaves_room_for_others(void **state)
{
    (void)state;
    struct hive *h = a_hive();
    static const char half[] = "PUT /upload/12 HTTP/1.1\r\n" AUTH "Content-Length: 9\r\n\r\nab";
    static const char mine[] = "GET /ipfs/" CID_OF_TEXT "?format=raw HTTP/1.1\r\n" AUTH "\r\n";
    static const char other[] = "GET /ipfs/" CID_OF_TEXT "?format=raw HTTP/1.1\r\nHost: a\r\n"
                                "Authorization: Bearer good9\r\n\r\n";
    int fds[GATEWAY_SITE_REQUESTS_MAX];
    for (unsigned i = 0; i < GATEWAY_SITE_REQUESTS_MAX; i++) {
        fds[i] = connect_to(hive_port(h));
        assert_true(send_all_of(fds[i], half, strlen(half)));
        while (atomic_load(&h->uploads) <= i)
            sleep_ms(1);
    }
    const char *answer = converse(h, mine, strlen(mine));
    assert_int_equal(status_of(answer), 503);
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_int_equal(status_of(converse(h, other, strlen(other))), 200);
    for (unsigned i = 0; i < GATEWAY_SITE_REQUESTS_MAX; i++)
        close(fds[i]);
    while (atomic_load(&h->held) > 0)
        sleep_ms(1);
    assert_int_equal(status_of(converse(h, mine, strlen(mine))), 200);
    hive_close(h);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_block_comes_with_the_headers_of_a_trustless_gateway),
        WITH_FOLDER(test_each_request_gets_its_status),
        WITH_FOLDER(test_ranges_and_conditions),
        WITH_FOLDER(test_a_block_the_disk_does_not_give_is_no_404),
        WITH_FOLDER(test_a_car_is_for_sites_and_is_counted),
        WITH_FOLDER(test_uploaded_blocks_are_in_the_pack_when_the_answer_comes),
        WITH_FOLDER(test_what_came_before_a_bad_block_is_kept),
        WITH_FOLDER(test_a_cut_upload_keeps_every_whole_block),
        WITH_FOLDER(test_a_quota_is_for_so_many_blocks),
        WITH_FOLDER(test_a_block_present_needs_no_quota),
        WITH_FOLDER(test_one_site_leaves_room_for_others),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
