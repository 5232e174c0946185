/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/coordinator/desk.h"

#include "base/cert.h"
#include "transport/http_client.h"

static struct desk d;
static struct http_client *client;
static char base_url[64], token[TOKEN_TEXT_MAX];

static void forge_token(uint32_t site, uint64_t until_ms)
{
    token_make(&d.c->tokens, site, until_ms, token);
    http_client_set_token(client, token);
}

/* A coordinator in its first round, with its gateway open; the token is site 0's. */
static int setup(void **state)
{
    static char pin[64];
    uint8_t raw[HASH_BYTES];
    if (scratch_setup(state) != 0)
        return -1;
    desk_open(&d, &(struct desk_options){.sites = 2});
    desk_gather(&d);
    d.c->folder.https_port = 0; /* any */
    MUST(serve_open(d.c, err));
    MUST(cert_pin(buf_bytes(&d.c->folder.certificate_pem), raw, err));
    cert_format_pin(raw, pin);
    snprintf(base_url, sizeof base_url, "https://127.0.0.1:%u", http_server_port(d.c->http));
    const struct http_client_config config = {
        .pin = pin, .connect_seconds = 10, .stall_seconds = 10};
    MUST(http_client_new(&config, &client, err));
    forge_token(0, UINT64_MAX);
    return 0;
}

static int teardown(void **state)
{
    http_client_free(client);
    desk_close(&d);
    return scratch_teardown(state);
}

struct body {
    struct buf bytes;
    size_t sent;
};

static long give(void *self, void *data, size_t size)
{
    struct body *b = self;
    size_t left = b->bytes.size - b->sent;
    size_t n = left < size ? left : size;
    memcpy(data, b->bytes.data + b->sent, n);
    b->sent += n;
    return (long)n;
}

static void give_again(void *self)
{
    ((struct body *)self)->sent = 0;
}

/* The status of a GET, or of a PUT if there is a body. */
static long status_of(const char *path, struct body *body, struct buf *answer)
{
    struct http_transfer t = {.body_max = 4096, .body = buf_new(4096)};
    struct http_transfer *done = NULL;
    snprintf(t.url, sizeof t.url, "%s%s", base_url, path);
    if (body != NULL) {
        t.upload = give;
        t.rewind = give_again;
        t.self = body;
        t.upload_bytes = body->bytes.size;
    }
    MUST(http_client_start(client, &t, err));
    while (done == NULL)
        MUST(http_client_next(client, 1000, &done, err));
    if (answer != NULL)
        buf_append(answer, t.body.data, t.body.size);
    buf_fini(&t.body);
    return t.status;
}

static long get(const struct cid *cid)
{
    char path[128], text[CID_TEXT_MAX];
    snprintf(path, sizeof path, "/ipfs/%s?format=raw", cid_format(cid, text));
    return status_of(path, NULL, NULL);
}

/* One section: `block` under the name of `named`. */
static long put_as(uint64_t round, const char *named, const char *block)
{
    char path[64];
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct cid cid = cid_of(CID_RAW, bytes_of_text(named));
    struct body body = {.bytes = buf_new(4096)};
    buf_append(&body.bytes, head, car_section_head(&cid, strlen(block), head));
    buf_append_text(&body.bytes, block);
    snprintf(path, sizeof path, "/upload/%llu", (unsigned long long)round);
    long status = status_of(path, &body, NULL);
    buf_fini(&body.bytes);
    return status;
}

static void test_records_and_models_are_served_to_those_who_hold_a_token(void **state)
{
    (void)state;
    struct cid never = fixture_cid(1);
    assert_int_equal(get(&d.f.plan_id), 200);
    assert_int_equal(get(&d.c->round->base), 200);
    assert_int_equal(get(&never), 404);
    static const char *const bad[] = {"", "nonsense"};
    for (size_t i = 0; i < 2; i++) {
        http_client_set_token(client, bad[i]);
        assert_int_equal(get(&d.f.plan_id), 401);
        assert_int_equal(put_as(1, "x", "x"), 401);
    }
}

static void test_a_token_ends_in_study_time(void **state)
{
    (void)state;
    uint64_t until_ms = loop_time_ms(&d.c->loop) + 1000;
    forge_token(0, until_ms);
    assert_int_equal(get(&d.f.plan_id), 200);
    desk_pass(&d, 1000);
    assert_int_equal(get(&d.f.plan_id), 401);
}

static void test_a_site_that_the_roster_lets_go_is_let_in_no_more(void **state)
{
    (void)state;
    d.c->roster.sites[0].until = d.c->round->number;
    d.c->allowed_round = UINT64_MAX;
    desk_pass(&d, COORDINATOR_ROSTER_MS + 1);
    assert_int_equal(d.allowed, 1);
    assert_int_equal(get(&d.f.plan_id), 401);
    forge_token(1, UINT64_MAX);
    assert_int_equal(get(&d.f.plan_id), 200);
    forge_token(ROSTER_SITES_MAX, UINT64_MAX);
    assert_int_equal(get(&d.f.plan_id), 401);
}

static void test_an_upload_goes_into_the_sites_own_pack_of_the_open_round(void **state)
{
    (void)state;
    struct pack *pack;
    struct cid cid = cid_of(CID_RAW, bytes_of_text("block"));
    uint64_t before = atomic_load(&d.c->received);
    long status = put_as(1, "block", "block");
    assert_true(status >= 200 && status < 300);
    MUST(inbox_take(d.c->inbox, 0, 1, false, &pack, err));
    assert_true(pack_has(pack, &cid));
    inbox_release(d.c->inbox, 0, 1);
    assert_int_equal(inbox_take(d.c->inbox, 1, 1, false, &pack, NULL), ERR_NOTFOUND);
    assert_int_equal(put_as(2, "block", "block"), 403); /* a round that is not open */
    for (int i = 0; i < 500 && atomic_load(&d.c->received) == before; i++)
        usleep(10000); /* counted when the request has ended */
    assert_true(atomic_load(&d.c->received) > before);
}

static void test_bytes_that_are_not_their_cid_spoil_the_sites_answer(void **state)
{
    (void)state;
    struct cid never = fixture_cid(4);
    assert_int_equal(put_as(1, "block", "other"), 400);
    desk_ask(&d, 0, MSG_SUBMIT, 1, &never);
    desk_expect(&d, 0, MSG_TASK);
    assert_string_equal(desk_expect(&d, 0, MSG_REFUSED)->code, "bad-block");
}

static void test_a_full_disk_takes_no_upload(void **state)
{
    (void)state;
    d.free_bytes = 0;
    long status = put_as(1, "block", "block");
    assert_true(status == 413 || status == 503 || status == 507);
    d.free_bytes = UINT64_MAX;
    status = put_as(1, "block", "block");
    assert_true(status >= 200 && status < 300);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_records_and_models_are_served_to_those_who_hold_a_token),
        TEST(test_a_token_ends_in_study_time),
        TEST(test_a_site_that_the_roster_lets_go_is_let_in_no_more),
        TEST(test_an_upload_goes_into_the_sites_own_pack_of_the_open_round),
        TEST(test_bytes_that_are_not_their_cid_spoil_the_sites_answer),
        TEST(test_a_full_disk_takes_no_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
