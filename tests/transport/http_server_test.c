/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/http_scratch.h"

#include <fcntl.h>

/* A handler that counts, remembers the last path and answers by it. */
struct counter {
    atomic_uint begun, ended, answered;
    atomic_ullong received;
    char path[HTTP_PATH_MAX + 1]; /* read when the answer is out */
    bool refuse_at_body;
};

static bool count_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct counter *c = self;
    atomic_fetch_add(&c->begun, 1);
    if (strcmp(r->method, "PUT") != 0) /* those come several at once */
        snprintf(c->path, sizeof c->path, "%s", r->path);
    if (strcmp(r->path, "/refused") == 0)
        return http_server_say(out, 403, "not for you");
    return true;
}

static bool count_body(void *self, struct http_request *r, struct bytes piece,
                       struct http_response *out)
{
    struct counter *c = self;
    (void)r;
    atomic_fetch_add(&c->received, piece.size);
    return c->refuse_at_body ? http_server_say(out, 400, "not these bytes") : true;
}

static void count_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct counter *c = self;
    (void)r;
    atomic_fetch_add(&c->answered, 1);
    out->status = 200;
    buf_append_text(&out->headers, "X-Test: yes\n");
    buf_append_text(&out->body, "hello");
}

static void count_end(void *self, struct http_request *r)
{
    struct counter *c = self;
    (void)r;
    atomic_fetch_add(&c->ended, 1);
}

static struct http_handler counting(struct counter *c)
{
    return (struct http_handler){.self = c,
                                 .begin = count_begin,
                                 .body = count_body,
                                 .answer = count_answer,
                                 .end = count_end};
}

#define ANSWERS_MAX (64 << 10)

/* Sends `request` and reads till the server closes or nothing came for a while. */
static const char *converse(int fd, const char *request, int patience_ms)
{
    static char answer[ANSWERS_MAX];
    size_t n = 0;
    assert_true(send_all_of(fd, request, strlen(request)));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n + 1 < sizeof answer && poll(&p, 1, patience_ms) > 0) {
        ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    answer[n] = '\0';
    return answer;
}

/* Reads one answer whole; its status. */
static int read_answer(int fd, char *body, size_t size)
{
    char headers[8192];
    if (!read_headers(fd, headers, sizeof headers))
        return -1;
    const char *length = strstr(headers, "Content-Length: ");
    size_t n = length == NULL ? 0 : strtoul(length + 16, NULL, 10), at = 0;
    assert_true(n < size);
    while (at < n) {
        ssize_t got = recv(fd, body + at, n - at, 0);
        assert_true(got > 0);
        at += (size_t)got;
    }
    body[n] = '\0';
    return atoi(headers + strlen("HTTP/1.1 "));
}

static const char *ask(int fd, const char *request)
{
    static char text[32 + 8192];
    char body[8192];
    assert_true(send_all_of(fd, request, strlen(request)));
    int status = read_answer(fd, body, sizeof body);
    snprintf(text, sizeof text, "%d %s", status, body);
    return text;
}

static bool is_closed(int fd, int patience_ms)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, patience_ms) > 0 && recv(fd, &byte, 1, 0) <= 0;
}

#define HOST "Host: a\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"

static const struct {
    const char *request;
    int status;
    const char *why;
} bad_requests[] = {
    {"PUT /a HTTP/1.1\r\n" HOST
     "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
     400, "a length and an encoding: a front would see one request, we another"},
    {"PUT /a HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" NEXT,
     400, "the same in the other order"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 40\r\n\r\n" NEXT, 400,
     "two lengths"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length : 40\r\n\r\n" NEXT, 400,
     "a blank before the colon"},
    {"GET /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400,
     "a GET with an encoding"},
    {"GET /a HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" NEXT, 400,
     "an encoding that a front may not have seen"},
    {"GET /a HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\n" NEXT, 400, "a GET with a body"},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\n" NEXT, 400, "a POST with a body"},
    {"PUT /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 411,
     "no length"},
    {"PUT /a HTTP/1.1\r\n" HOST "\r\n" NEXT, 411, "neither"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" NEXT, 400, "a length below zero"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length: 0x10\r\n\r\n" NEXT, 400, "a length in hex"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length: 67108865\r\n\r\n" NEXT, 413,
     "one byte more than a PUT may carry"},
    {"PUT /a HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n" NEXT, 413, "2^66"},
    {"GET /a HTTP/1.1\r\n\r\n" NEXT, 400, "no Host"},
    {"GET /a HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400,
     "two tokens"},
    {"GET /a HTTP/1.1\r\n" HOST "no colon here\r\n\r\n" NEXT, 400, "not a header"},
    {"GET /a HTTP/1.1\r\n" HOST "Host: b\r\n\r\n", 400, "two Hosts"},
    {"GET /a HTTP/3.0\r\n" HOST "\r\n" NEXT, 505, "a version we do not speak"},
};

static void test_what_could_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        struct counter c = {0};
        struct http_server *s = open_server(counting(&c), false, 30);
        int fd = connect_to(http_server_port(s));
        const char *answer = converse(fd, bad_requests[i].request, 3000);
        int status = atoi(answer + strlen("HTTP/1.1 "));
        if (status != bad_requests[i].status)
            fail_msg("%s: %d, not %d\n%s", bad_requests[i].why, status, bad_requests[i].status,
                     answer);
        close(fd);
        http_server_close(s);
        /* Two tokens leave no doubt where the request ends: that connection lives on. */
        if (atomic_load(&c.begun) != 0)
            fail_msg("%s: %u requests came through", bad_requests[i].why, atomic_load(&c.begun));
    }
}

static void test_long_headers_and_paths_are_refused(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    static char request[70 << 10];
    static const struct {
        size_t path, header;
        int status;
    } sizes[] = {{HTTP_PATH_MAX, 11 << 10, 200},
                 {HTTP_PATH_MAX + 1, 10, 414},
                 {10, HTTP_HEADER_BYTES_MAX, 431},
                 {10, 60 << 10, 431}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int n = snprintf(request, sizeof request, "GET /%0*d HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n",
                         (int)sizes[i].path - 1, 0, (int)sizes[i].header, 0);
        assert_true(n > 0 && (size_t)n < sizeof request);
        int fd = connect_to(http_server_port(s));
        const char *answer = converse(fd, request, 500);
        assert_int_equal(atoi(answer + strlen("HTTP/1.1 ")), sizes[i].status);
        close(fd);
    }
    assert_int_equal(atomic_load(&c.begun), 1);
    http_server_close(s);
}

static void test_a_path_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    int fd = connect_to(http_server_port(s));
    static const char *const paths[] = {"/%2e%2e/%2fetc", "/../../etc/passwd", "/a+b%00c"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET %s?x=%%41 HTTP/1.1\r\n" HOST "\r\n", paths[i]);
        assert_string_equal(ask(fd, request), "200 hello");
        assert_string_equal(c.path, paths[i]);
    }
    close(fd);
    http_server_close(s);
}

static void test_head_says_the_length_and_sends_no_body(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    int fd = connect_to(http_server_port(s));
    const char *answer = converse(fd, "HEAD /a HTTP/1.1\r\n" HOST "\r\n", 300);
    assert_non_null(strstr(answer, "Content-Length: 5\r\n"));
    assert_non_null(strstr(answer, "X-Test: yes\r\n"));
    assert_null(strstr(answer, "hello"));
    /* Nothing is left over on the connection. */
    assert_string_equal(ask(fd, "GET /b HTTP/1.1\r\n" HOST "\r\n"), "200 hello");
    close(fd);
    http_server_close(s);
}

static void test_two_requests_in_one_piece_get_two_answers(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    int fd = connect_to(http_server_port(s));
    const char *answer = converse(fd,
                                  "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                                  "GET /b HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
                                  2000);
    const char *second = strstr(answer + 1, "HTTP/1.1 200");
    assert_non_null(second);
    assert_null(strstr(second + 1, "HTTP/1.1"));
    assert_int_equal(atomic_load(&c.received), 3);
    assert_string_equal(c.path, "/b");
    close(fd);
    http_server_close(s);
}

static void test_an_upload_refused_at_its_headers_is_answered_unread(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    int fd = connect_to(http_server_port(s));
    static char piece[1 << 20];
    static const char request[] =
        "PUT /refused HTTP/1.1\r\n" HOST "Content-Length: 60000000\r\n\r\n";
    assert_true(send_all_of(fd, request, strlen(request)));
    /* The client goes on sending, and is not cut off before it could read. */
    for (int i = 0; i < 8; i++)
        assert_true(send_all_of(fd, piece, sizeof piece));
    char body[8192];
    assert_int_equal(read_answer(fd, body, sizeof body), 403);
    assert_string_equal(body, "not for you\n");
    assert_true(is_closed(fd, 5000));
    assert_int_equal(atomic_load(&c.received), 0);
    assert_int_equal(atomic_load(&c.ended), 1);
    close(fd);
    http_server_close(s);
}

static void test_an_upload_refused_in_its_middle_is_answered_at_its_end(void **state)
{
    (void)state;
    struct counter c = {.refuse_at_body = true};
    struct http_server *s = open_server(counting(&c), false, 30);
    int fd = connect_to(http_server_port(s));
    static char piece[1 << 20];
    static const char request[] = "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n";
    assert_true(send_all_of(fd, request, strlen(request)));
    for (int i = 0; i < 4; i++)
        assert_true(send_all_of(fd, piece, sizeof piece));
    char body[8192];
    assert_int_equal(read_answer(fd, body, sizeof body), 400);
    assert_string_equal(body, "not these bytes\n");
    assert_true(atomic_load(&c.received) < 4u << 20); /* the handler saw the first piece alone */
    assert_string_equal(ask(fd, "GET /b HTTP/1.1\r\n" HOST "\r\n"), "200 hello");
    close(fd);
    http_server_close(s);
}

static void test_more_bodies_than_there_is_room_for_are_told_to_wait(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    static const char half[] = "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab";
    static const char get[] = "GET /b HTTP/1.1\r\n" HOST "\r\n";
    int fds[HTTP_BODIES_MAX];
    for (unsigned i = 0; i < HTTP_BODIES_MAX; i++) {
        fds[i] = connect_to(http_server_port(s));
        assert_true(send_all_of(fds[i], half, strlen(half)));
    }
    while (atomic_load(&c.begun) < HTTP_BODIES_MAX)
        sleep_ms(1);
    int fd = connect_to(http_server_port(s));
    const char *answer = converse(fd, get, 300);
    assert_int_equal(atoi(answer + strlen("HTTP/1.1 ")), 503);
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_int_equal(atomic_load(&c.begun), HTTP_BODIES_MAX);
    assert_string_equal(ask(fds[0], "cd"), "200 hello");
    while (strcmp(ask(fd, get), "200 hello") != 0) /* the place is free behind the answer */
        sleep_ms(1);
    for (unsigned i = 0; i < HTTP_BODIES_MAX; i++)
        close(fds[i]);
    close(fd);
    http_server_close(s);
    assert_int_equal(atomic_load(&c.begun), atomic_load(&c.ended));
}

static void test_headers_that_drip_and_silence_are_closed(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 1);
    int silent = connect_to(http_server_port(s)), drip = connect_to(http_server_port(s));
    int late = connect_to(http_server_port(s)), stuck = connect_to(http_server_port(s));
    static const char half[] = "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab";
    assert_string_equal(ask(late, "GET /a HTTP/1.1\r\n" HOST "\r\n"), "200 hello");
    assert_true(send_all_of(stuck, half, strlen(half)));
    assert_true(send_all_of(drip, "GET /a HTTP/1.1\r\nX: ", 20));
    unsigned dripped = 0;
    while (!is_closed(drip, 100) && dripped < 100) {
        if (!send_all_of(drip, "x", 1))
            break;
        dripped++;
    }
    assert_true(dripped < 100);
    assert_true(is_closed(silent, 10000));
    assert_true(is_closed(late, 10000));
    assert_true(is_closed(stuck, 10000));
    close(silent);
    close(drip);
    close(late);
    close(stuck);
    http_server_close(s);
    assert_int_equal(atomic_load(&c.begun), 2);
    assert_int_equal(atomic_load(&c.ended), 2);
}

static void test_every_request_begun_is_ended_however_it_breaks(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30);
    static const char half[] = "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab";
    for (int i = 0; i < 10; i++) {
        int fd = connect_to(http_server_port(s));
        assert_true(send_all_of(fd, half, strlen(half)));
        while (atomic_load(&c.begun) <= (unsigned)i)
            sleep_ms(1);
        if (i % 2 == 0)
            reset_and_close(fd);
        else
            close(fd);
    }
    int open = connect_to(http_server_port(s));
    assert_true(send_all_of(open, half, strlen(half)));
    while (atomic_load(&c.begun) < 11)
        sleep_ms(1);
    http_server_close(s); /* in the middle of one */
    assert_int_equal(atomic_load(&c.ended), 11);
    assert_int_equal(atomic_load(&c.answered), 0);
    close(open);
}

static void test_the_fewest_connections_are_served_and_closed(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 5; n++) {
        struct counter c = {0};
        struct http_server *s;
        struct http_server_config config = {
            .host = "127.0.0.1", .connections_max = n, .idle_seconds = 30, .handler = counting(&c)};
        assert_int_equal(http_server_open(&config, &s, NULL), 0);
        int fd = connect_to(http_server_port(s));
        assert_string_equal(ask(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n"), "200 hello");
        http_server_close(s);
        close(fd);
    }
}

static void test_a_server_that_cannot_start_says_why(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), false, 30), *second = NULL;
    struct http_server_config config = {.host = "127.0.0.1",
                                        .port = http_server_port(s),
                                        .connections_max = 10,
                                        .idle_seconds = 10,
                                        .handler = counting(&c)};
    struct err err = {0};
    assert_int_equal(http_server_open(&config, &second, &err), ERR_IO);
    assert_non_null(strstr(err.text, "Address already in use"));
    config.host = "not an address";
    assert_int_equal(http_server_open(&config, &second, &err), ERR_USAGE);
    config.host = "127.0.0.1";
    config.port = 0;
    config.key_pem = "not a key";
    config.certificate_pem = "not a certificate";
    assert_int_equal(http_server_open(&config, &second, &err), ERR_IO);
    assert_null(second);
    http_server_close(s);
}

/* --- answers that are files, or made while they are sent --- */

#define CARRIED_BYTES 300000 /* more than one piece */
#define HUGE_BYTES    (64u << 20)

struct carrier {
    atomic_uint streams_ended, requests_ended, late; /* ended after their request: never */
    unsigned cut_at;                                 /* 0: never */
    size_t at;
    char file[256];
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

static long carry(void *self, uint8_t *data, size_t size)
{
    struct carrier *c = self;
    size_t n = CARRIED_BYTES - c->at < size ? CARRIED_BYTES - c->at : size;
    if (c->cut_at > 0 && c->at >= c->cut_at)
        return -1;
    for (size_t i = 0; i < n; i++)
        data[i] = byte_at(c->at + i);
    c->at += n;
    return (long)n;
}

static long carry_on(void *self, uint8_t *data, size_t size)
{
    (void)self;
    memset(data, 0, size);
    return (long)size;
}

static void carry_end(void *self)
{
    struct carrier *c = self;
    atomic_fetch_add(&c->streams_ended, 1);
    if (atomic_load(&c->streams_ended) <= atomic_load(&c->requests_ended))
        atomic_fetch_add(&c->late, 1);
}

static bool carrier_begin(void *self, struct http_request *r, struct http_response *out)
{
    (void)self;
    (void)r;
    (void)out;
    return true;
}

static void carrier_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct carrier *c = self;
    out->status = 200;
    if (strcmp(r->path, "/file") == 0) {
        out->file.fd = open(c->file, O_RDONLY | O_CLOEXEC);
        out->file.offset = 1000;
        out->file.size = CARRIED_BYTES - 2000;
    } else if (strcmp(r->path, "/nothing") == 0) {
        out->file.fd = open(c->file, O_RDONLY | O_CLOEXEC);
    } else if (strcmp(r->path, "/huge") == 0) { /* more than sockets hold */
        out->file.fd = open(c->file, O_RDONLY | O_CLOEXEC);
        out->file.size = HUGE_BYTES;
    } else if (strcmp(r->path, "/endless") == 0) {
        buf_append_text(&out->headers, "X-Test: yes\n");
        out->stream = (struct http_stream){.self = c, .read = carry_on};
    } else {
        c->at = 0;
        out->stream = (struct http_stream){.self = c, .read = carry, .end = carry_end};
        if (strcmp(r->path, "/known") == 0)
            out->stream_bytes = CARRIED_BYTES;
    }
}

static void carrier_end(void *self, struct http_request *r)
{
    struct carrier *c = self;
    (void)r;
    atomic_fetch_add(&c->requests_ended, 1);
}

static struct http_server *open_carrier(struct carrier *c, bool tls)
{
    static uint8_t bytes[CARRIED_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(i);
    snprintf(c->file, sizeof c->file, "%s", in_scratch("file"));
    write_file(c->file, bytes_of(bytes, sizeof bytes));
    return open_server((struct http_handler){.self = c,
                                             .begin = carrier_begin,
                                             .body = count_body,
                                             .answer = carrier_answer,
                                             .end = carrier_end},
                       tls, 30);
}

static char carried[CARRIED_BYTES + 100000];

/* All that comes back to one request, behind its headers; its size. */
static size_t fetch_all(struct http_server *s, const char *request, char headers[8192])
{
    int fd = connect_to(http_server_port(s));
    size_t n = 0;
    ssize_t got;
    assert_true(send_all_of(fd, request, strlen(request)));
    assert_true(read_headers(fd, headers, 8192));
    while ((got = recv(fd, carried + n, sizeof carried - n, 0)) > 0)
        n += (size_t)got;
    close(fd);
    return n;
}

#define CLOSE HOST "Connection: close\r\n\r\n"

static void expect_bytes(size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)carried[i] != byte_at(from + i))
            fail_msg("byte %zu is another", i);
}

static void test_a_file_is_the_answer_from_its_offset_on(void **state)
{
    (void)state;
    struct carrier c = {0};
    char headers[8192];
    struct http_server *s = open_carrier(&c, false);
    assert_int_equal(fetch_all(s, "GET /file HTTP/1.1\r\n" CLOSE, headers), CARRIED_BYTES - 2000);
    expect_bytes(1000, CARRIED_BYTES - 2000);
    assert_int_equal(fetch_all(s, "HEAD /file HTTP/1.1\r\n" CLOSE, headers), 0);
    assert_non_null(strstr(headers, "Content-Length: 298000\r\n"));
    assert_int_equal(fetch_all(s, "GET /nothing HTTP/1.1\r\n" CLOSE, headers), 0);
    assert_non_null(strstr(headers, "Content-Length: 0\r\n"));
    http_server_close(s);
}

static void test_a_file_goes_over_tls_as_well(void **state)
{
    (void)state;
    struct carrier c = {0};
    struct http_server *s = open_carrier(&c, true);
    struct http_client *client = open_client(server_pin);
    struct http_transfer t = {.body_max = 1 << 20}, *done = NULL;
    snprintf(t.url, sizeof t.url, "https://127.0.0.1:%u/file", http_server_port(s));
    assert_int_equal(http_client_start(client, &t, NULL), 0);
    while (done == NULL)
        assert_int_equal(http_client_next(client, 1000, &done, NULL), 0);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.body.size, CARRIED_BYTES - 2000);
    memcpy(carried, t.body.data, t.body.size);
    expect_bytes(1000, t.body.size);
    buf_fini(&t.body);
    http_client_free(client);
    http_server_close(s);
}

static void test_a_stream_of_known_length_says_it(void **state)
{
    (void)state;
    struct carrier c = {0};
    char headers[8192];
    struct http_server *s = open_carrier(&c, false);
    assert_int_equal(fetch_all(s, "GET /known HTTP/1.1\r\n" CLOSE, headers), CARRIED_BYTES);
    assert_non_null(strstr(headers, "Content-Length: 300000\r\n"));
    expect_bytes(0, CARRIED_BYTES);
    assert_int_equal(fetch_all(s, "HEAD /known HTTP/1.1\r\n" CLOSE, headers), 0);
    assert_non_null(strstr(headers, "Content-Length: 300000\r\n"));
    http_server_close(s);
    assert_int_equal(atomic_load(&c.streams_ended), 2);
    assert_int_equal(atomic_load(&c.late), 0);
}

static void test_a_stream_of_unknown_length_ends_with_a_last_chunk_unless_it_is_cut(void **state)
{
    (void)state;
    struct carrier c = {0};
    char headers[8192];
    struct http_server *s = open_carrier(&c, false);
    size_t n = fetch_all(s, "GET /stream HTTP/1.1\r\n" CLOSE, headers);
    assert_non_null(strstr(headers, "Transfer-Encoding: chunked\r\n"));
    assert_true(n > CARRIED_BYTES);
    assert_memory_equal(carried + n - 5, "0\r\n\r\n", 5);
    c.cut_at = 100000;
    n = fetch_all(s, "GET /stream HTTP/1.1\r\n" CLOSE, headers);
    assert_true(n >= 100000 && n < CARRIED_BYTES);
    assert_memory_not_equal(carried + n - 5, "0\r\n\r\n", 5);
    /* A HEAD gets no chunk, not even the last. */
    assert_int_equal(fetch_all(s, "HEAD /stream HTTP/1.1\r\n" HOST "\r\n", headers), 0);
    http_server_close(s);
    assert_int_equal(atomic_load(&c.streams_ended), 3);
    assert_int_equal(atomic_load(&c.late), 0);
}

#define SENDING (HTTP_BODIES_MAX - HTTP_BODIES_MAX / 4) /* places of what is sent slowly */
#define EACH    (SENDING / 4)                           /* of one address */

/* A client at 127.0.0.`host` that asks for `path` and reads nothing but headers. */
static int ask_slowly(struct http_server *s, unsigned host, const char *path, char headers[8192])
{
    int small = 4096, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[128];
    struct sockaddr_in mine = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host)};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(http_server_port(s))};
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(bind(fd, (struct sockaddr *)&mine, sizeof mine), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_true(send_all_of(fd, request, strlen(request)));
    assert_true(read_headers(fd, headers, 8192));
    return fd;
}

static int status_in(const char *headers)
{
    return atoi(headers + strlen("HTTP/1.1 "));
}

/* Many clients of one address ask for `path`; so many get it. The others are told to wait, and
 * shut nobody out. */
static unsigned count_served(struct http_server *s, const char *path)
{
    int fds[3 * HTTP_BODIES_MAX];
    unsigned served = 0;
    char headers[8192];
    for (size_t i = 0; i < 3 * HTTP_BODIES_MAX; i++) {
        fds[i] = ask_slowly(s, 1, path, headers);
        served += status_in(headers) == 200;
        if (status_in(headers) == 200)
            continue;
        assert_int_equal(status_in(headers), 429);
        assert_non_null(strstr(headers, "Retry-After: "));
        assert_null(strstr(headers, "X-Test")); /* nothing of the answer it replaces */
    }
    fetch_all(s, "GET /nothing HTTP/1.1\r\n" CLOSE, headers);
    assert_int_equal(status_in(headers), 200);
    assert_int_equal(fetch_all(s, "GET /file HTTP/1.1\r\n" CLOSE, headers), CARRIED_BYTES - 2000);
    fetch_all(s, "HEAD /known HTTP/1.1\r\n" CLOSE, headers);
    assert_int_equal(status_in(headers), 200);
    for (size_t i = 0; i < 3 * HTTP_BODIES_MAX; i++)
        reset_and_close(fds[i]);
    return served;
}

/* A client that stops reading holds a stream's place, but not a file's. */
static void test_one_slow_reader_shuts_nobody_out(void **state)
{
    (void)state;
    struct carrier c = {0};
    struct http_server *s = open_carrier(&c, false);
    assert_int_equal(truncate(c.file, HUGE_BYTES), 0);
    assert_int_equal(count_served(s, "/huge"), 3 * HTTP_BODIES_MAX);
    http_server_close(s);
    s = open_carrier(&c, false);
    assert_int_equal(count_served(s, "/endless"), EACH);
    http_server_close(s);
}

static void test_many_slow_readers_leave_places_for_the_others(void **state)
{
    (void)state;
    struct carrier c = {0};
    struct http_server *s = open_carrier(&c, false);
    int fds[SENDING];
    unsigned known = 1;
    char headers[8192];
    for (unsigned i = 0; i < SENDING; i++) {
        fds[i] = ask_slowly(s, 1 + i / EACH, "/endless", headers);
        assert_int_equal(status_in(headers), 200);
    }
    close(ask_slowly(s, 200, "/known", headers));
    assert_int_equal(status_in(headers), 503);
    assert_non_null(strstr(headers, "Retry-After: "));
    close(ask_slowly(s, 200, "/file", headers));
    assert_int_equal(status_in(headers), 200);
    reset_and_close(fds[0]);
    do { /* its place is free when the server has seen that */
        close(ask_slowly(s, 200, "/known", headers));
        known++;
    } while (status_in(headers) == 503);
    assert_int_equal(status_in(headers), 200);
    for (unsigned i = 1; i < SENDING; i++)
        reset_and_close(fds[i]);
    http_server_close(s);
    assert_int_equal(atomic_load(&c.streams_ended), known); /* those refused as well */
}

static const struct {
    const char *text, *out; /* NULL: refused */
} escapes[] = {{"", ""},
               {"a+b", "a+b"},
               {"%41%62c", "Abc"},
               {"%2e%2E%2f", "../"},
               {"%C5%BA", "\xc5\xba"},
               {"%25%34%31", "%41"}, /* once only */
               {"%", NULL},
               {"a%4", NULL},
               {"%4g", NULL},
               {"%%41", NULL},
               {"%00", NULL},
               {"a%00b", NULL}};

static void test_escapes_are_undone_once_and_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        struct buf out = buf_new(64);
        int rc = http_server_unescape(escapes[i].text, &out, NULL);
        if (rc != (escapes[i].out == NULL ? ERR_MALFORMED : 0))
            fail_msg("%s: %d", escapes[i].text, rc);
        if (rc == 0)
            assert_string_equal(buf_text(&out), escapes[i].out);
        buf_fini(&out);
    }
    struct buf small = buf_new(2);
    assert_int_equal(http_server_unescape("abc", &small, NULL), ERR_LIMIT);
    buf_fini(&small);
}

static void test_a_tls_port_speaks_no_plain_http(void **state)
{
    (void)state;
    struct counter c = {0};
    struct http_server *s = open_server(counting(&c), true, 30);
    int fd = connect_to(http_server_port(s));
    const char *answer = converse(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n", 2000);
    assert_null(strstr(answer, "HTTP/1.1"));
    close(fd);
    http_server_close(s);
    assert_int_equal(atomic_load(&c.begun), 0);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(test_long_headers_and_paths_are_refused),
        cmocka_unit_test(test_a_path_arrives_as_it_was_sent),
        cmocka_unit_test(test_head_says_the_length_and_sends_no_body),
        cmocka_unit_test(test_two_requests_in_one_piece_get_two_answers),
        cmocka_unit_test(test_an_upload_refused_at_its_headers_is_answered_unread),
        cmocka_unit_test(test_an_upload_refused_in_its_middle_is_answered_at_its_end),
        cmocka_unit_test(test_more_bodies_than_there_is_room_for_are_told_to_wait),
        cmocka_unit_test(test_headers_that_drip_and_silence_are_closed),
        cmocka_unit_test(test_every_request_begun_is_ended_however_it_breaks),
        cmocka_unit_test(test_the_fewest_connections_are_served_and_closed),
        cmocka_unit_test(test_a_server_that_cannot_start_says_why),
        cmocka_unit_test(test_a_tls_port_speaks_no_plain_http),
        WITH_FOLDER(test_a_file_is_the_answer_from_its_offset_on),
        WITH_FOLDER(test_a_file_goes_over_tls_as_well),
        WITH_FOLDER(test_a_stream_of_known_length_says_it),
        WITH_FOLDER(test_a_stream_of_unknown_length_ends_with_a_last_chunk_unless_it_is_cut),
        WITH_FOLDER(test_one_slow_reader_shuts_nobody_out),
        WITH_FOLDER(test_many_slow_readers_leave_places_for_the_others),
        cmocka_unit_test(test_escapes_are_undone_once_and_strictly),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
