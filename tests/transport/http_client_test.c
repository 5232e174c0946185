/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/http_scratch.h"

#define BIG_BYTES (3u << 20)

/* GET /... : the token, or a run of bytes of the length in the path; PUT: how many bytes came. */
struct site {
    atomic_ullong received;
    atomic_uint refusals;
    atomic_bool ranged;
    atomic_uint with_token; /* GETs that showed one */
};

static bool site_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct site *s = self;
    r->state = calloc(1, sizeof(uint64_t));
    if (r->header(r, "Authorization") != NULL)
        atomic_fetch_add(&s->with_token, 1);
    if (strcmp(r->path, "/away") == 0) {
        buf_append_text(&out->headers, "Location: /1000\n");
        return http_server_say(out, 302, "elsewhere");
    }
    if (strcmp(r->path, "/full") != 0)
        return true;
    atomic_fetch_add(&s->refusals, 1);
    buf_append_text(&out->headers, "Retry-After: 7\n");
    return http_server_say(out, 503, "busy");
}

static bool site_body(void *self, struct http_request *r, struct bytes piece,
                      struct http_response *out)
{
    struct site *s = self;
    (void)r;
    (void)out;
    atomic_fetch_add(&s->received, piece.size);
    return true;
}

static void site_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct site *s = self;
    const char *token = r->header(r, "Authorization"), *range = r->header(r, "Range");
    out->status = 200;
    if (strcmp(r->method, "PUT") == 0) {
        buf_append_format(&out->body, "%llu", (unsigned long long)atomic_load(&s->received));
        return;
    }
    if (strcmp(r->path, "/token") == 0) {
        buf_append_text(&out->body, token == NULL ? "none" : token);
        return;
    }
    size_t size = strtoul(r->path + 1, NULL, 10), from = 0;
    if (range != NULL && atomic_load(&s->ranged)) {
        from = strtoul(range + strlen("bytes="), NULL, 10);
        out->status = 206;
        buf_append_format(&out->headers, "Content-Range: bytes %zu-%zu/%zu\n", from, size - 1,
                          size);
    }
    uint8_t *data = buf_extend(&out->body, size - from);
    for (size_t i = from; data != NULL && i < size; i++)
        data[i - from] = (uint8_t)(i % 251);
}

static void site_end(void *self, struct http_request *r)
{
    (void)self;
    free(r->state);
}

static struct http_server *open_site_idle(struct site *s, bool tls, unsigned idle_seconds)
{
    return open_server_for(MANY,
                           (struct http_handler){.self = s,
                                                 .begin = site_begin,
                                                 .body = site_body,
                                                 .answer = site_answer,
                                                 .end = site_end},
                           tls, idle_seconds);
}

static struct http_server *open_site(struct site *s, bool tls)
{
    return open_site_idle(s, tls, 30);
}

/* Runs one transfer to its end. */
static void run(struct http_client *c, struct http_transfer *t)
{
    struct http_transfer *done = NULL;
    struct err err = {0};
    assert_int_equal(http_client_start(c, t, NULL), 0);
    while (done == NULL)
        if (http_client_next(c, 1000, &done, &err) != 0)
            fail_msg("%s", err.text);
    assert_ptr_equal(done, t);
}

static void set_url(struct http_transfer *t, const char *scheme, uint16_t port, const char *path)
{
    snprintf(t->url, sizeof t->url, "%s://127.0.0.1:%u%s", scheme, port, path);
}

static void assert_body(const struct http_transfer *t, size_t size)
{
    assert_int_equal(t->body.size, size);
    for (size_t i = 0; i < size; i++)
        if (t->body.data[i] != i % 251)
            fail_msg("byte %zu is wrong", i);
}

static void test_a_get_brings_the_bytes_and_shows_the_token(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client(server_pin);
    struct http_transfer t = {.body_max = BIG_BYTES};
    set_url(&t, "https", http_server_port(s), "/3000000");
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.bytes_received, 3000000);
    assert_body(&t, 3000000);
    set_url(&t, "https", http_server_port(s), "/token");
    run(c, &t);
    assert_string_equal(buf_text(&t.body), "none");
    http_client_set_token(c, "uABC");
    run(c, &t);
    assert_string_equal(buf_text(&t.body), "Bearer uABC");
    http_client_set_token(c, "");
    run(c, &t);
    assert_string_equal(buf_text(&t.body), "none");
    buf_fini(&t.body);
    http_client_free(c);
    http_server_close(s);
}

static void test_another_key_is_refused_in_plain_words(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client("sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    struct http_transfer t = {.body_max = BIG_BYTES};
    set_url(&t, "https", http_server_port(s), "/10");
    run(c, &t);
    assert_int_equal(t.code, ERR_DENIED);
    assert_int_equal(t.status, 0);
    assert_non_null(strstr(t.err.text, "firewall"));
    assert_int_equal(t.body.size, 0);
    http_client_free(c);
    http_server_close(s);
}

static void test_a_pin_forbids_plain_http(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, false);
    struct http_client *c = open_client(server_pin);
    struct http_transfer t = {.body_max = BIG_BYTES};
    set_url(&t, "http", http_server_port(s), "/10");
    run(c, &t);
    assert_int_equal(t.code, ERR_NET);
    assert_int_equal(t.body.size, 0);
    set_url(&t, "file", 0, "/../etc/passwd");
    run(c, &t);
    assert_int_equal(t.code, ERR_NET);
    http_client_free(c);
    c = open_client(NULL);
    set_url(&t, "http", http_server_port(s), "/10");
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_body(&t, 10);
    buf_fini(&t.body);
    http_client_free(c);
    http_server_close(s);
}

static void test_a_connection_is_used_again_by_later_transfers(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct relay *r = relay_open(http_server_port(s), false);
    struct http_client *c = open_client(server_pin);
    struct http_transfer t = {.body_max = BIG_BYTES};
    for (int i = 0; i < 5; i++) {
        set_url(&t, "https", r->port, i % 2 == 0 ? "/100" : "/token");
        run(c, &t);
        assert_int_equal(t.code, 0);
    }
    assert_int_equal(atomic_load(&r->connections), 1);
    buf_fini(&t.body);
    http_client_free(c);
    relay_close(r);
    http_server_close(s);
}

static void test_many_transfers_run_at_once(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client(server_pin);
    static struct http_transfer t[12];
    for (size_t i = 0; i < 12; i++) {
        char path[32];
        t[i] = (struct http_transfer){.body_max = BIG_BYTES};
        snprintf(path, sizeof path, "/%zu", 200000 + i);
        set_url(&t[i], "https", http_server_port(s), path);
        assert_int_equal(http_client_start(c, &t[i], NULL), 0);
    }
    for (int left = 12; left > 0;) {
        struct http_transfer *done;
        assert_int_equal(http_client_next(c, 1000, &done, NULL), 0);
        left -= done != NULL;
    }
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(t[i].code, 0);
        assert_body(&t[i], 200000 + i);
        buf_fini(&t[i].body);
    }
    http_client_free(c);
    http_server_close(s);
}

#define ENDLESS_CHUNK                                                                              \
    "4\r\naaaa\r\n4\r\naaaa\r\n4\r\naaaa\r\n4\r\naaaa\r\n4\r\naaaa\r\n4\r\naaaa\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *first, *again;
    int code;
    long status;
    const char *why;
} lies[] = {
    {OK "Content-Length: 100\r\n\r\nshort", NULL, ERR_NET, 200, "fewer bytes than said"},
    {OK "Transfer-Encoding: chunked\r\n\r\n", ENDLESS_CHUNK, ERR_LIMIT, 200, "chunks without end"},
    {OK "\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_LIMIT, 200, "a body without end"},
    {OK "Content-Length: 99999999999\r\n\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_LIMIT, 200,
     "a body of 100 GB"},
    {OK, "X-Header: and another one\r\n", ERR_NET, 200, "headers without end"},
    {OK "X: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_NET, 200, "one header without end"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", ERR_NET, 100,
     "interim answers without end"},
    {"<html>not HTTP</html>", NULL, ERR_NET, 0, "not HTTP"},
    {"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", NULL,
     ERR_MALFORMED, 302, "a redirect to a file"},
    {"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", NULL, 0, 302, "a redirect to nowhere"},
    {"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", NULL, ERR_MALFORMED,
     301, "a redirect to itself"},
    {"HTTP/1.1 307 Moved\r\nLocation: /b\r\n\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_NET, 307,
     "a redirect with a body without end"},
    {OK "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", NULL, 0, 200,
     "nothing is decompressed"},
    {"", NULL, ERR_NET, 0, "closed without an answer"},
};

static void test_lies_end_in_a_code_and_within_the_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct liar l = {.first = lies[i].first, .again = lies[i].again};
        struct http_client *c = open_client(NULL);
        struct http_transfer t = {.body_max = 10000};
        liar_open(&l);
        set_url(&t, "http", l.port, "/a");
        run(c, &t);
        if (t.code != lies[i].code || t.status != lies[i].status || t.body.size > 10000)
            fail_msg("%s: %s, status %ld, %zu bytes: %s", lies[i].why, err_name(t.code), t.status,
                     t.body.size, t.err.text);
        buf_fini(&t.body);
        http_client_free(c);
        liar_close(&l);
    }
}

static void test_no_answer_is_a_stall_and_nobody_there_an_error(void **state)
{
    (void)state;
    struct liar l = {.silent = true};
    struct http_client *c = open_client_with(NULL, 1, NULL);
    struct http_transfer t = {.body_max = 100};
    liar_open(&l);
    set_url(&t, "http", l.port, "/a");
    run(c, &t);
    assert_int_equal(t.code, ERR_TIMEOUT);
    assert_int_equal(t.status, 0);
    liar_close(&l);
    run(c, &t); /* the same port, closed now */
    assert_int_equal(t.code, ERR_NET);
    assert_non_null(strstr(t.err.text, "onnect")); /* curl's own words */
    buf_fini(&t.body);
    http_client_free(c);
}

static void *cancel_soon(void *arg)
{
    sleep_ms(50);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void test_cancelling_ends_what_is_under_way(void **state)
{
    (void)state;
    atomic_int cancel = 0;
    struct liar l = {.silent = true};
    struct http_client *c = open_client_with(NULL, 60, &cancel);
    struct http_transfer t = {.body_max = 100}, *done = NULL;
    struct err err = {0};
    pthread_t thread;
    int rc = 0;
    liar_open(&l);
    set_url(&t, "http", l.port, "/a");
    assert_int_equal(http_client_start(c, &t, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    while (rc == 0)
        rc = http_client_next(c, 60000, &done, &err);
    assert_int_equal(rc, ERR_TIMEOUT);
    assert_string_equal(err.text, "cancelled");
    assert_null(t.raw); /* the client has let go of it */
    pthread_join(thread, NULL);
    atomic_store(&cancel, 0);
    liar_close(&l);
    http_client_free(c);
}

static void test_waiting_with_nothing_under_way_ends_when_it_should(void **state)
{
    (void)state;
    struct http_client *c = open_client(NULL);
    struct http_transfer *done;
    assert_int_equal(http_client_next(c, 0, &done, NULL), 0);
    assert_null(done);
    assert_int_equal(http_client_next(c, 30, &done, NULL), 0);
    assert_null(done);
    http_client_free(c);
}

static void test_a_resumed_get_asks_for_the_rest_alone(void **state)
{
    (void)state;
    for (int ranged = 0; ranged <= 1; ranged++) {
        struct site site = {0};
        struct http_server *s = open_site(&site, true);
        struct http_client *c = open_client(server_pin);
        struct http_transfer t = {.body_max = BIG_BYTES, .body = buf_new(BIG_BYTES)};
        atomic_store(&site.ranged, ranged == 1);
        for (size_t i = 0; i < 1000; i++)
            buf_append_byte(&t.body, (uint8_t)(i % 251));
        t.resume = true;
        set_url(&t, "https", http_server_port(s), "/5000");
        run(c, &t);
        assert_int_equal(t.code, 0);
        /* A server without ranges sends all of it, and what was there is not doubled. */
        assert_int_equal(t.status, ranged == 1 ? 206 : 200);
        assert_int_equal(t.bytes_received, ranged == 1 ? 4000 : 5000);
        assert_body(&t, 5000);
        buf_fini(&t.body);
        http_client_free(c);
        http_server_close(s);
    }
}

/* --- uploads --- */

struct giving {
    uint64_t all, given;
    unsigned rewinds;
};

static long give(void *self, void *data, size_t size)
{
    struct giving *g = self;
    size_t n = g->all - g->given < size ? (size_t)(g->all - g->given) : size;
    memset(data, 'x', n);
    g->given += n;
    return (long)n;
}

static void give_again(void *self)
{
    struct giving *g = self;
    g->given = 0;
    g->rewinds++;
}

static struct http_transfer an_upload(struct giving *g)
{
    return (struct http_transfer){
        .upload = give, .rewind = give_again, .self = g, .upload_bytes = g->all, .body_max = 4096};
}

static void test_an_upload_arrives_whole(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client(server_pin);
    struct giving g = {.all = 10000000};
    struct http_transfer t = an_upload(&g);
    set_url(&t, "https", http_server_port(s), "/a");
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_int_equal(t.status, 200);
    assert_string_equal(buf_text(&t.body), "10000000");
    assert_int_equal(t.bytes_sent, 10000000);
    buf_fini(&t.body);
    http_client_free(c);
    http_server_close(s);
}

static void test_a_refusal_in_mid_upload_is_reported_not_the_reset(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        struct site site = {0};
        struct http_server *s = open_site(&site, tls == 1);
        struct http_client *c = open_client(tls == 1 ? server_pin : NULL);
        for (int i = 0; i < 20; i++) {
            struct giving g = {.all = 60000000};
            struct http_transfer t = an_upload(&g);
            set_url(&t, tls == 1 ? "https" : "http", http_server_port(s), "/full");
            run(c, &t);
            if (t.code != 0 || t.status != 503)
                fail_msg("tls %d, upload %d: status %ld, %s", tls, i, t.status, t.err.text);
            assert_int_equal(t.retry_after_seconds, 7);
            assert_string_equal(buf_text(&t.body), "busy\n");
            assert_true(t.bytes_sent < g.all); /* it stopped sending */
            buf_fini(&t.body);
        }
        assert_int_equal(atomic_load(&site.refusals), 20);
        assert_int_equal(atomic_load(&site.received), 0);
        http_client_free(c);
        http_server_close(s);
    }
}

static void test_a_refusal_whose_sentence_is_cut_short_is_one_still(void **state)
{
    (void)state;
    struct liar l = {.first = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 100\r\n\r\ntoo"};
    struct http_client *c = open_client(NULL);
    struct giving g = {.all = 5};
    struct http_transfer t = an_upload(&g);
    liar_open(&l);
    set_url(&t, "http", l.port, "/a");
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_int_equal(t.status, 413);
    buf_fini(&t.body);
    http_client_free(c);
    liar_close(&l);
}

/* Two connections: the first answers one request and goes at the second; the other answers. */
static void *answer_once_each(void *arg)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    int listening = *(int *)arg;
    char request[8192];
    for (int i = 0; i < 2; i++) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && read_headers(fd, request, sizeof request) &&
            recv(fd, request, 5, MSG_WAITALL) == 5)
            send_all_of(fd, ok, strlen(ok));
        if (i == 0)
            (void)read_headers(fd, request, sizeof request);
        close(fd);
    }
    return NULL;
}

static void test_an_upload_on_a_dead_connection_is_sent_again_from_its_beginning(void **state)
{
    (void)state;
    uint16_t port;
    int listening = listen_any(&port);
    pthread_t thread;
    struct http_client *c = open_client(NULL);
    struct giving g = {.all = 5};
    struct http_transfer t = an_upload(&g);
    assert_int_equal(pthread_create(&thread, NULL, answer_once_each, &listening), 0);
    set_url(&t, "http", port, "/a");
    run(c, &t);
    assert_int_equal(t.status, 200);
    assert_int_equal(g.rewinds, 0);
    g.given = 0;
    run(c, &t);
    assert_int_equal(t.status, 200);
    assert_int_equal(g.given, 5);
    assert_int_equal(g.rewinds, 1);
    pthread_join(thread, NULL);
    buf_fini(&t.body);
    http_client_free(c);
    close(listening);
}

static void test_a_connection_closed_meanwhile_is_replaced_without_an_error(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site_idle(&site, true, 1);
    struct relay *r = relay_open(http_server_port(s), false);
    struct http_client *c = open_client(server_pin);
    struct giving g = {.all = 100000};
    struct http_transfer t = an_upload(&g);
    set_url(&t, "https", r->port, "/a");
    run(c, &t);
    assert_int_equal(t.status, 200);
    while (atomic_load(&r->gone) == 0) /* the server's idle time is over */
        sleep_ms(5);
    g.given = 0;
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_int_equal(t.status, 200);
    assert_int_equal(atomic_load(&r->connections), 2);
    buf_fini(&t.body);
    http_client_free(c);
    relay_close(r);
    http_server_close(s);
}

static long give_nothing(void *self, void *data, size_t size)
{
    (void)self;
    (void)data;
    (void)size;
    return -1;
}

static void test_an_upload_that_gives_up_is_an_error(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client(server_pin);
    struct http_transfer t = {.upload = give_nothing, .upload_bytes = 100, .body_max = 100};
    set_url(&t, "https", http_server_port(s), "/a");
    run(c, &t);
    assert_int_equal(t.code, ERR_NET);
    buf_fini(&t.body);
    http_client_free(c);
    http_server_close(s);
}

static void test_a_proxy_in_the_environment_is_used_and_the_pin_holds_through_it(void **state)
{
    (void)state;
    struct site site = {0};
    char proxy[64];
    struct http_server *s = open_site(&site, true);
    struct relay *r = relay_open(http_server_port(s), true);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", r->port);
    setenv("HTTPS_PROXY", proxy, 1);
    for (int right = 0; right <= 1; right++) {
        struct http_client *c = open_client(
            right == 1 ? server_pin : "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        struct http_transfer t = {.body_max = BIG_BYTES};
        http_client_set_token(c, "secret");
        set_url(&t, "https", http_server_port(s), "/1000");
        run(c, &t);
        assert_int_equal(t.code, right == 1 ? 0 : ERR_DENIED);
        if (right == 1)
            assert_body(&t, 1000);
        buf_fini(&t.body);
        http_client_free(c);
    }
    unsetenv("HTTPS_PROXY");
    assert_int_equal(atomic_load(&r->connections), 2);
    assert_false(atomic_load(&r->token_seen)); /* the proxy is not told */
    relay_close(r);
    http_server_close(s);
}

/* --- redirects --- */

static void assert_redirect(const char *to, unsigned to_port, int code, long status)
{
    char answer[512], where[256];
    struct http_client *c = open_client(NULL);
    struct http_transfer t = {.body_max = BIG_BYTES};
    snprintf(where, sizeof where, "%s:%u/1000", to, to_port);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 4\r\n\r\ngone", where);
    struct liar l = {.first = answer};
    liar_open(&l);
    http_client_set_token(c, "secret");
    set_url(&t, "http", l.port, "/a");
    run(c, &t);
    if (t.code != code || t.status != status)
        fail_msg("%s: %s, status %ld: %s", where, err_name(t.code), t.status, t.err.text);
    if (code == 0)
        assert_body(&t, 1000);
    buf_fini(&t.body);
    http_client_free(c);
    liar_close(&l);
}

static void test_a_redirect_is_followed_and_the_token_stays_at_home(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, false);
    assert_redirect("http://127.0.0.1", http_server_port(s), 0, 200);
    assert_redirect("//127.0.0.1", http_server_port(s), 0, 200);
    assert_int_equal(atomic_load(&site.with_token), 0);
    http_server_close(s);
}

static void test_a_redirect_leads_to_http_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/",
        "dict://127.0.0.1/",  "javascript:1",      "ipfs://bafkqaaa",
        "scp://127.0.0.1/a",  "unix:///run/x",     "http://",
        "http://[::1",        "FILE:///etc/passwd"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char answer[256];
        struct http_client *c = open_client(NULL);
        struct http_transfer t = {.body_max = 1000};
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", bad[i]);
        struct liar l = {.first = answer};
        liar_open(&l);
        set_url(&t, "http", l.port, "/a");
        run(c, &t);
        /* What curl takes for a path of the same host leads in a circle, and ends. */
        if (t.code != ERR_MALFORMED && t.status != 302)
            fail_msg("%s: %s, status %ld: %s", bad[i], err_name(t.code), t.status, t.err.text);
        assert_int_equal(t.body.size, 0);
        buf_fini(&t.body);
        http_client_free(c);
        liar_close(&l);
    }
}

/* Places that a source elsewhere may not send us to. */
static const char *const inside[] = {"http://169.254.169.254/latest/meta-data/",
                                     "http://127.0.0.1:5001/api/v0/id",
                                     "http://127.1/",
                                     "http://2130706433/",
                                     "http://0x7f.0.0.1/",
                                     "http://0.0.0.0/",
                                     "http://localhost:5001/",
                                     "http://LocalHost./",
                                     "http://a.localhost/",
                                     "http://[::1]/",
                                     "http://[::]/",
                                     "http://[fe80::1]/",
                                     "http://[::ffff:127.0.0.1]/",
                                     "http://[::ffff:a9fe:a9fe]/",
                                     "https://169.254.169.254/",
                                     "http://user@127.0.0.1/"};

/* The source is elsewhere, since a proxy brings its answer. */
static void
test_attack_22_a_source_elsewhere_leads_neither_to_this_machine_nor_its_link(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        char answer[256], proxy[64];
        struct http_client *c = open_client(NULL);
        struct http_transfer t = {.body_max = 1000, .url = "http://gateway.example/ipfs/a"};
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", inside[i]);
        struct liar l = {.first = answer};
        liar_open(&l);
        snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", l.port);
        setenv("HTTP_PROXY", proxy, 1);
        run(c, &t);
        unsetenv("HTTP_PROXY");
        if (t.code != ERR_MALFORMED || strstr(t.err.text, "this machine or its link") == NULL)
            fail_msg("%s: %s, status %ld: %s", inside[i], err_name(t.code), t.status, t.err.text);
        assert_int_equal(atomic_load(&l.requests), 1);
        buf_fini(&t.body);
        http_client_free(c);
        liar_close(&l);
    }
}

static void test_plain_http_goes_through_a_proxy_too(void **state)
{
    (void)state;
    struct liar l = {.first = OK "Content-Length: 2\r\n\r\nhi"};
    struct http_client *c = open_client(NULL);
    struct http_transfer t = {.body_max = 1000, .url = "http://gateway.example/ipfs/a"};
    char proxy[64];
    liar_open(&l);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", l.port);
    setenv("http_proxy", proxy, 1);
    run(c, &t);
    unsetenv("http_proxy");
    assert_int_equal(t.code, 0);
    assert_int_equal(t.body.size, 2);
    buf_fini(&t.body);
    http_client_free(c);
    liar_close(&l);
}

static void test_a_pinned_client_follows_nothing(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, true);
    struct http_client *c = open_client(server_pin);
    struct http_transfer t = {.body_max = 1000};
    set_url(&t, "https", http_server_port(s), "/away");
    run(c, &t);
    assert_int_equal(t.code, 0);
    assert_int_equal(t.status, 302);
    buf_fini(&t.body);
    http_client_free(c);
    http_server_close(s);
}

static void test_one_of_several_is_abandoned_and_the_others_go_on(void **state)
{
    (void)state;
    struct site site = {0};
    struct http_server *s = open_site(&site, false);
    struct http_client *c = open_client(NULL);
    struct liar silent = {.silent = true};
    struct http_transfer a = {.body_max = 1000}, b = {.body_max = BIG_BYTES}, *done = NULL;
    liar_open(&silent);
    set_url(&a, "http", silent.port, "/a");
    set_url(&b, "http", http_server_port(s), "/1000");
    assert_int_equal(http_client_start(c, &a, NULL), 0);
    assert_int_equal(http_client_start(c, &b, NULL), 0);
    http_client_abandon(c, &a);
    http_client_abandon(c, &a); /* twice is harmless */
    while (done == NULL)
        assert_int_equal(http_client_next(c, 1000, &done, NULL), 0);
    assert_ptr_equal(done, &b);
    assert_int_equal(b.body_expected, 1000);
    assert_body(&b, 1000);
    buf_fini(&b.body);
    http_client_free(c);
    liar_close(&silent);
    http_server_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_get_brings_the_bytes_and_shows_the_token),
        cmocka_unit_test(test_another_key_is_refused_in_plain_words),
        cmocka_unit_test(test_a_pin_forbids_plain_http),
        cmocka_unit_test(test_a_connection_is_used_again_by_later_transfers),
        cmocka_unit_test(test_many_transfers_run_at_once),
        cmocka_unit_test(test_lies_end_in_a_code_and_within_the_limit),
        cmocka_unit_test(test_no_answer_is_a_stall_and_nobody_there_an_error),
        cmocka_unit_test(test_cancelling_ends_what_is_under_way),
        cmocka_unit_test(test_waiting_with_nothing_under_way_ends_when_it_should),
        cmocka_unit_test(test_a_resumed_get_asks_for_the_rest_alone),
        cmocka_unit_test(test_an_upload_arrives_whole),
        cmocka_unit_test(test_a_refusal_in_mid_upload_is_reported_not_the_reset),
        cmocka_unit_test(test_a_refusal_whose_sentence_is_cut_short_is_one_still),
        cmocka_unit_test(test_an_upload_on_a_dead_connection_is_sent_again_from_its_beginning),
        cmocka_unit_test(test_a_connection_closed_meanwhile_is_replaced_without_an_error),
        cmocka_unit_test(test_an_upload_that_gives_up_is_an_error),
        cmocka_unit_test(test_a_proxy_in_the_environment_is_used_and_the_pin_holds_through_it),
        cmocka_unit_test(test_a_redirect_is_followed_and_the_token_stays_at_home),
        cmocka_unit_test(test_a_redirect_leads_to_http_alone),
        cmocka_unit_test(
            test_attack_22_a_source_elsewhere_leads_neither_to_this_machine_nor_its_link),
        cmocka_unit_test(test_plain_http_goes_through_a_proxy_too),
        cmocka_unit_test(test_a_pinned_client_follows_nothing),
        cmocka_unit_test(test_one_of_several_is_abandoned_and_the_others_go_on),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
