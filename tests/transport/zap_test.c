/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/zap.h"

#include <zmq.h>

#include "tests/scratch.h"

#define LIMIT_MS 20000 /* generous: a wait that takes so long has failed */

static const int outcomes = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                            ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_DISCONNECTED;

/* One context with a list, a guarded socket on loopback, and keys to knock with. */
struct fixture {
    void *context, *server;
    struct zap *zap;
    struct key *own, *alice, *bob;
    char endpoint[64];
    unsigned knocks;
};

static void set(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static void set_keys(void *socket, const struct key *k)
{
    uint8_t secret[KEY_BYTES];
    struct key_public public = key_public(k);
    key_secret_bytes(k, secret);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public.bytes, KEY_BYTES), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    size_t size = sizeof f->endpoint;
    assert_non_null(f);
    f->context = zmq_ctx_new();
    assert_int_equal(zap_open(f->context, &f->zap, NULL), 0);
    assert_int_equal(key_new(KEY_X25519, &f->own, NULL), 0);
    assert_int_equal(key_new(KEY_X25519, &f->alice, NULL), 0);
    assert_int_equal(key_new(KEY_X25519, &f->bob, NULL), 0);
    f->server = zmq_socket(f->context, ZMQ_ROUTER);
    set(f->server, ZMQ_CURVE_SERVER, 1);
    set(f->server, ZMQ_LINGER, 0);
    set(f->server, ZMQ_HANDSHAKE_IVL, 1000);
    set(f->server, ZMQ_RCVTIMEO, LIMIT_MS);
    set_keys(f->server, f->own);
    assert_int_equal(zap_guard(f->server, NULL), 0);
    assert_int_equal(zmq_bind(f->server, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(f->server, ZMQ_LAST_ENDPOINT, f->endpoint, &size), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    zmq_close(f->server);
    zap_close(f->zap);
    zmq_ctx_term(f->context);
    key_free(f->own);
    key_free(f->alice);
    key_free(f->bob);
    free(f);
    return 0;
}

static void allow(struct fixture *f, const struct key *k)
{
    struct key_public public = key_public(k);
    assert_int_equal(zap_allow(f->zap, &public, 1, NULL), 0);
}

static void *knock(struct fixture *f, const struct key *k)
{
    struct key_public server = key_public(f->own);
    void *client = zmq_socket(f->context, ZMQ_DEALER);
    assert_non_null(client);
    set(client, ZMQ_LINGER, 0);
    set_keys(client, k);
    assert_int_equal(zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, server.bytes, KEY_BYTES), 0);
    return client;
}

/* What became of a connection: the first event that says it. */
static int outcome(struct fixture *f, void *client)
{
    char address[32];
    uint8_t head[6];
    uint16_t event;
    snprintf(address, sizeof address, "inproc://watch-%u", f->knocks++);
    assert_int_equal(zmq_socket_monitor(client, address, outcomes), 0);
    void *monitor = zmq_socket(f->context, ZMQ_PAIR);
    set(monitor, ZMQ_LINGER, 0);
    set(monitor, ZMQ_RCVTIMEO, LIMIT_MS);
    assert_int_equal(zmq_connect(monitor, address), 0);
    assert_int_equal(zmq_connect(client, f->endpoint), 0);
    assert_int_equal(zmq_recv(monitor, head, sizeof head, 0), (int)sizeof head);
    memcpy(&event, head, sizeof event);
    assert_int_equal(zmq_socket_monitor(client, NULL, 0), 0); /* before nobody listens any more */
    zmq_close(monitor);
    return event;
}

static int knock_and_leave(struct fixture *f, const struct key *k)
{
    void *client = knock(f, k);
    int event = outcome(f, client);
    zmq_close(client);
    return event;
}

static void test_at_first_nobody_is_allowed(void **state)
{
    struct fixture *f = *state;
    struct key_public alice = key_public(f->alice);
    assert_false(zap_is_allowed(f->zap, &alice));
    assert_int_equal(knock_and_leave(f, f->alice), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    assert_int_equal(zap_denied_count(f->zap), 1);
}

static void test_an_allowed_key_is_the_user_id_of_its_messages(void **state)
{
    struct fixture *f = *state;
    struct key_public alice = key_public(f->alice);
    char user[KEY_Z85_MAX];
    zmq_msg_t frame;
    allow(f, f->alice);
    void *client = knock(f, f->alice);
    assert_int_equal(outcome(f, client), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    assert_int_equal(zmq_send(client, "hi", 2, 0), 2);
    zmq_msg_init(&frame);
    assert_true(zmq_msg_recv(&frame, f->server, 0) >= 0); /* the routing id */
    assert_int_equal(zmq_msg_recv(&frame, f->server, 0), 2);
    key_format_z85(&alice, user);
    assert_string_equal(zmq_msg_gets(&frame, "User-Id"), user);
    zmq_msg_close(&frame);
    zmq_close(client);
    assert_int_equal(zap_denied_count(f->zap), 0);
}

static void test_a_new_list_replaces_the_old_one_whole(void **state)
{
    struct fixture *f = *state;
    allow(f, f->alice);
    allow(f, f->bob);
    assert_int_equal(knock_and_leave(f, f->alice), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    assert_int_equal(knock_and_leave(f, f->bob), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    assert_int_equal(zap_allow(f->zap, NULL, 0, NULL), 0);
    assert_int_equal(knock_and_leave(f, f->bob), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
}

static void test_a_list_over_the_limit_leaves_the_old_one(void **state)
{
    struct fixture *f = *state;
    struct key_public *keys = calloc(ZAP_KEYS_MAX + 1, sizeof *keys);
    assert_non_null(keys);
    random_bytes(keys, (ZAP_KEYS_MAX + 1) * sizeof *keys);
    allow(f, f->alice);
    assert_int_equal(zap_allow(f->zap, keys, ZAP_KEYS_MAX + 1, NULL), ERR_LIMIT);
    struct key_public alice = key_public(f->alice);
    assert_true(zap_is_allowed(f->zap, &alice));
    assert_int_equal(zap_allow(f->zap, keys, ZAP_KEYS_MAX, NULL), 0);
    assert_false(zap_is_allowed(f->zap, &alice));
    for (size_t i = 0; i < ZAP_KEYS_MAX; i++)
        assert_true(zap_is_allowed(f->zap, &keys[i]));
    assert_false(zap_is_allowed(f->zap, &keys[ZAP_KEYS_MAX]));
    free(keys);
}

/* Without zap_guard ZeroMQ would now let everybody in. */
static void test_with_the_list_gone_even_an_allowed_key_stays_out(void **state)
{
    struct fixture *f = *state;
    allow(f, f->alice);
    zap_close(f->zap);
    f->zap = NULL;
    assert_int_not_equal(knock_and_leave(f, f->alice), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    assert_int_not_equal(knock_and_leave(f, f->bob), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

static void test_a_second_list_in_one_context_is_refused(void **state)
{
    struct fixture *f = *state;
    struct zap *second = NULL;
    struct err err;
    assert_int_equal(zap_open(f->context, &second, &err), ERR_IO);
    assert_null(second);
    assert_non_null(strstr(err.text, "in use"));
    allow(f, f->alice); /* and the first goes on */
    assert_int_equal(knock_and_leave(f, f->alice), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

/* --- the protocol itself --- */

#define FRAMES_MAX 8

/* Asks straight and copies the status into `code`; the frames end at the first NULL. */
static void ask(struct fixture *f, const struct bytes frames[FRAMES_MAX], size_t count,
                char code[8])
{
    char reply[7][64] = {{0}};
    int more = 1;
    size_t n = 0, size = sizeof more;
    void *socket = zmq_socket(f->context, ZMQ_REQ);
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_RCVTIMEO, LIMIT_MS);
    assert_int_equal(zmq_connect(socket, "inproc://zeromq.zap.01"), 0);
    for (size_t i = 0; i < count; i++)
        assert_true(
            zmq_send(socket, frames[i].data, frames[i].size, i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
    for (; more && n < 7; n++) {
        assert_true(zmq_recv(socket, reply[n], sizeof reply[n] - 1, 0) >= 0);
        assert_int_equal(zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size), 0);
    }
    assert_int_equal(n, 6);
    assert_string_equal(reply[0], "1.0");
    if (count > 1 && frames[1].size < 64)
        assert_memory_equal(reply[1], frames[1].data, frames[1].size);
    assert_string_equal(reply[5], "");
    assert_int_equal(strlen(reply[4]), strcmp(reply[2], "200") == 0 ? KEY_Z85_MAX - 1 : 0);
    snprintf(code, 8, "%.3s", reply[2]);
    zmq_close(socket);
}

static void test_requests_that_are_not_ours_are_refused_and_answered(void **state)
{
    struct fixture *f = *state;
    struct key_public alice = key_public(f->alice);
    static const char big[1000];
    struct bytes key = bytes_of(alice.bytes, KEY_BYTES);
    const struct {
        const char *version, *domain, *mechanism;
        struct bytes key;
        const char *code, *why;
    } table[] = {
        {"1.0", ZAP_DOMAIN, "CURVE", key, "200", "as it should be"},
        {"1.1", ZAP_DOMAIN, "CURVE", key, "400", "another version"},
        {"1.0", "", "CURVE", key, "400", "no domain"},
        {"1.0", "colmeia2", "CURVE", key, "400", "another domain"},
        {"1.0", ZAP_DOMAIN, "NULL", key, "400", "no mechanism at all"},
        {"1.0", ZAP_DOMAIN, "PLAIN", key, "400", "a password"},
        {"1.0", ZAP_DOMAIN, "CURVE", bytes_of(alice.bytes, 31), "400", "a short key"},
        {"1.0", ZAP_DOMAIN, "CURVE", bytes_of(big, sizeof big), "400", "a long key"},
        {"1.0", ZAP_DOMAIN, "CURVE", bytes_of("", 0), "400", "an empty key"},
        {"1.0", ZAP_DOMAIN, "CURVE", bytes_of(big, KEY_BYTES), "400", "a key of zeros"},
        {"1.0", ZAP_DOMAIN, "CURVE", key, "200", "still answering"},
    };
    allow(f, f->alice);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char code[8];
        struct bytes frames[FRAMES_MAX] = {bytes_of_text(table[i].version),
                                           bytes_of_text("id 7"),
                                           bytes_of_text(table[i].domain),
                                           bytes_of_text("127.0.0.1"),
                                           bytes_of("", 0),
                                           bytes_of_text(table[i].mechanism),
                                           table[i].key,
                                           bytes_of("", 0)};
        ask(f, frames, 7, code);
        if (strcmp(code, table[i].code) != 0)
            fail_msg("%s: %s", table[i].why, code);
        for (size_t count = 1; count <= FRAMES_MAX; count++) {
            ask(f, frames, count, code);
            assert_string_equal(code, count == 7 ? table[i].code : "400");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_at_first_nobody_is_allowed),
        TEST(test_an_allowed_key_is_the_user_id_of_its_messages),
        TEST(test_a_new_list_replaces_the_old_one_whole),
        TEST(test_a_list_over_the_limit_leaves_the_old_one),
        TEST(test_with_the_list_gone_even_an_allowed_key_stays_out),
        TEST(test_a_second_list_in_one_context_is_refused),
        TEST(test_requests_that_are_not_ours_are_refused_and_answered),
    };
    return key_setup(NULL) != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
