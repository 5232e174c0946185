/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/bus_scratch.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Alice is served, Bob is admitted too, Eve is not. */
static int setup_served(void **state)
{
    if (setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    start_server(f);
    allow(f, f->alice, f->bob);
    assert_served(f);
    return 0;
}

/* --- keys --- */

static void test_a_revoked_key_is_heard_and_answered_no_more(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    struct bus_route route = f->frame.route;
    unsigned received = f->received;
    allow(f, f->bob, NULL);
    uint64_t before = dropped(f);
    bus_client_send(w->client, bytes_of_text("still me"));
    UNTIL(f, dropped(f) == before + 1);
    bus_server_send(f->server, &route, bytes_of_text("a secret"));
    assert_int_equal(dropped(f), before + 2);
    assert_int_equal(f->received, received);
    assert_int_equal(w->events[BUS_LOST], 0); /* the connection itself stands */
    stop_worker(w);
    start_worker(f, w, f->alice);
    UNTIL(f, w->events[BUS_REFUSED] > 0); /* a new one does not come about */
    allow(f, f->bob, f->alice);
    UNTIL(f, w->events[BUS_CONNECTED] > 0);
    ask(f, w, "back again");
}

static void test_a_strangers_messages_never_arrive(void **state)
{
    struct fixture *f = *state;
    unsigned received = f->received;
    uint64_t before = refused(f);
    void *eve = raw_dealer(f, f->eve, NULL, 0);
    raw_send(eve, 100, 0); /* queued at her side, for a connection that never is */
    UNTIL(f, refused(f) > before);
    assert_served(f);
    assert_int_equal(f->received, received + 1);
    raw_close(f, eve);
}

static void test_a_worker_does_not_talk_to_another_coordinator(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[1];
    struct bus_client_config c = {f->control, f->hints, key_public(f->eve), f->bob};
    uint64_t before = refused(f);
    assert_int_equal(bus_client_open(&c, &w->client, NULL), 0);
    UNTIL(f, refused(f) >= before + 2);
    assert_int_equal(w->events[BUS_CONNECTED], 0);
    assert_served(f);
}

/* --- routing ids --- */

static void test_an_id_of_the_senders_choice_is_not_heard(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *id;
        size_t size;
        const char *why;
    } table[] = {
        {"bob", 3, "a name"},
        {"abcde", 5, "of the right length"},
        {"\0abc", 4, "zero, but short"},
        {"\0abcde", 6, "zero, but long"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        unsigned received = f->received;
        uint64_t before = dropped(f);
        void *bob = raw_dealer(f, f->bob, table[i].id, table[i].size);
        raw_send(bob, 10, 0);
        UNTIL(f, dropped(f) == before + 1);
        if (f->received != received)
            fail_msg("%s", table[i].why);
        raw_close(f, bob);
    }
    assert_served(f);
}

/* Whoever could guess an id that the server gave gets neither the answers nor the place. */
static void test_a_claimed_id_leads_nowhere(void **state)
{
    struct fixture *f = *state;
    struct key_public alice = key_public(f->alice);
    struct worker *w = &f->workers[0];
    void *victim = raw_dealer(f, f->alice, "\0guess", 5);
    unsigned received = f->received;
    raw_send(victim, 10, 0);
    UNTIL(f, f->received == received + 1);
    struct bus_route route = f->frame.route;
    assert_true(key_equal(&f->frame.peer, &alice));

    /* While the victim is there the claim is not heard at all. */
    void *thief = raw_dealer(f, f->bob, "\0guess", 5);
    raw_send(thief, 20, 0);
    raw_send(victim, 30, 0);
    UNTIL(f, f->received == received + 2);
    assert_int_equal(f->frame.body.size, 30);
    raw_close(f, thief);

    /* After it has gone, the first word under its id closes the route. */
    raw_close(f, victim);
    uint64_t before = dropped(f);
    for (unsigned i = 0; dropped(f) == before; i++) { /* until the server saw the victim go */
        thief = raw_dealer(f, f->bob, "\0guess", 5);
        raw_send(thief, 40, 0);
        for (int n = 0; n < 50 && dropped(f) == before; n++)
            pump(f);
        if (dropped(f) == before)
            raw_close(f, thief);
        assert_true(i < 200);
    }
    assert_int_equal(f->received, received + 2);
    before = dropped(f);
    bus_server_send(f->server, &route, bytes_of_text("a secret"));
    assert_int_equal(dropped(f), before + 1);
    raw_close(f, thief);
    ask(f, w, "alice again"); /* on the connection that she has */
    assert_true(key_equal(&f->frame.peer, &alice));
}

static void test_a_route_made_up_leads_nowhere(void **state)
{
    struct fixture *f = *state;
    struct bus_route route = f->frame.route, changed;
    unsigned messages = f->workers[0].events[BUS_MESSAGE];
    uint64_t before = dropped(f);
    for (size_t i = 0; i < route.size; i++) {
        changed = route;
        changed.bytes[i] ^= 1;
        bus_server_send(f->server, &changed, bytes_of_text("astray"));
    }
    changed = route;
    changed.size--;
    bus_server_send(f->server, &changed, bytes_of_text("astray"));
    changed.size = 0;
    bus_server_send(f->server, &changed, bytes_of_text("astray"));
    assert_int_equal(dropped(f), before + route.size + 2);
    bus_server_send(f->server, &route, bytes_of_text("home"));
    UNTIL(f, f->workers[0].events[BUS_MESSAGE] > messages);
    assert_true(is_text(&f->workers[0].message, "home"));
}

/* --- messages --- */

static void test_oversized_and_many_framed_messages_are_dropped(void **state)
{
    struct fixture *f = *state;
    static const struct {
        size_t frames, size;
        const char *why;
    } table[] = {
        {1, BUS_BYTES_MAX + 1, "one byte too long, within what ZeroMQ lets through"},
        {2, 10, "two frames"},
        {2, 0, "two empty ones"},
        {1000, 10, "a thousand"},
        {4, BUS_BYTES_MAX, "four large ones"},
    };
    unsigned received = f->received;
    void *bob = raw_dealer(f, f->bob, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t before = dropped(f);
        for (size_t n = 1; n <= table[i].frames; n++)
            raw_send(bob, table[i].size, n < table[i].frames ? ZMQ_SNDMORE : 0);
        UNTIL(f, dropped(f) > before);
        if (f->received != received || dropped(f) != before + 1)
            fail_msg("%s", table[i].why);
    }
    raw_send(bob, 5, 0);
    UNTIL(f, f->received == received + 1);
    assert_int_equal(f->frame.body.size, 5); /* and the frames are still told apart */
    raw_close(f, bob);
    assert_served(f);
}

static void test_a_message_past_the_wires_limit_ends_its_connection(void **state)
{
    struct fixture *f = *state;
    unsigned received = f->received;
    uint8_t head[6];
    void *bob = raw_dealer(f, f->bob, NULL, 0);
    void *watcher = raw_watch(f, bob);
    raw_send(bob, 10 * BUS_BYTES_MAX, 0);
    UNTIL(f, zmq_recv(watcher, head, sizeof head, ZMQ_DONTWAIT) == (int)sizeof head);
    assert_int_equal(f->received, received);
    raw_close(f, bob);
    raw_close(f, watcher);
    assert_served(f);
}

/* A hundred connections, more than a context may have sockets. */
static void test_many_connections_are_served_together(void **state)
{
    struct fixture *f = *state;
    void *sockets[100];
    unsigned received = f->received;
    for (size_t i = 0; i < 100; i++) {
        sockets[i] = raw_dealer(f, f->bob, NULL, 0);
        raw_send(sockets[i], i, 0);
    }
    UNTIL(f, f->received == received + 100);
    assert_served(f);
    for (size_t i = 0; i < 100; i++)
        raw_close(f, sockets[i]);
}

/* --- other protocols --- */

static void test_without_curve_nobody_gets_in(void **state)
{
    struct fixture *f = *state;
    for (int plain = 0; plain < 2; plain++) {
        unsigned received = f->received;
        uint64_t before = refused(f);
        void *s = raw_socket(f, ZMQ_DEALER);
        if (plain) {
            assert_int_equal(zmq_setsockopt(s, ZMQ_PLAIN_USERNAME, "alice", 5), 0);
            assert_int_equal(zmq_setsockopt(s, ZMQ_PLAIN_PASSWORD, "secret", 6), 0);
        }
        assert_int_equal(zmq_connect(s, f->control), 0);
        raw_send(s, 10, 0);
        UNTIL(f, refused(f) > before);
        assert_served(f);
        assert_int_equal(f->received, received + 1);
        raw_close(f, s);
    }
}

/* A ZMTP 3.0 greeting, and what a stranger may send behind it before any key was asked for. */
#define GREETING(mechanism)                                                                        \
    "\xff\0\0\0\0\0\0\0\0\x7f\3\0" mechanism "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"                    \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct {
    const char *bytes;
    size_t size;
    const char *why;
} strange[] = {
    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, "HTTP"},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, "TLS"},
    {"\1\0\3\0hi", 6, "ZMTP 1.0: no identity, and a message at once"},
    {"\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0\0\2hi", 18, "ZMTP 2.0: the same"},
    {GREETING("NULL"), 64, "a greeting without CURVE"},
    {GREETING("PLAIN"), 64, "a greeting with passwords"},
    {GREETING("CURVE") "\6\0\0\0\1\0\0\0\0", 73, "CURVE, and a command of 4 GiB"},
    {GREETING("CURVE") "\6\x7f\xff\xff\xff\xff\xff\xff\xff", 73, "and one of 2^63"},
    {GREETING("CURVE") "\0\2hi", 68, "CURVE, and a message before the handshake"},
    {GREETING("CURVE") "\4\6\5READY", 72, "CURVE, and NULL's command"},
    {GREETING("CURVE") "\4\x26\5HELLO\1\0", 73, "half a HELLO and silence"},
    {"\xff", 1, "one byte and silence"},
    {"", 0, "silence"},
};

static void test_strange_bytes_are_cut_off_and_harm_nobody(void **state)
{
    struct fixture *f = *state;
    enum {
        COUNT = sizeof strange / sizeof strange[0]
    };
    int fds[COUNT];
    unsigned received = f->received;
    for (size_t i = 0; i < COUNT; i++) {
        fds[i] = raw_tcp(f->port);
        assert_true(fds[i] >= 0);
        assert_int_equal(send(fds[i], strange[i].bytes, strange[i].size, MSG_NOSIGNAL),
                         (ssize_t)strange[i].size);
    }
    assert_served(f);
    for (size_t i = 0; i < COUNT; i++) {
        UNTIL(f, is_closed(fds[i]));
        close(fds[i]);
    }
    assert_served(f);
    assert_int_equal(f->received, received + 2);
}

static void test_random_bytes_are_cut_off(void **state)
{
    struct fixture *f = *state;
    uint8_t *noise = stream_bytes("colmeia-bus-noise", 1u << 20);
    unsigned received = f->received;
    for (size_t i = 0; i < 64; i++) {
        int fd = raw_tcp(f->port);
        assert_true(fd >= 0);
        if (i % 2 == 1)
            memcpy(noise + i * 16384, GREETING("CURVE"), 64);
        (void)!send(fd, noise + i * 16384, 16384, MSG_NOSIGNAL);
        UNTIL(f, is_closed(fd));
        close(fd);
    }
    assert_served(f);
    assert_int_equal(f->received, received + 1);
    free(noise);
}

/* While the program is busy with something else: ZeroMQ's own thread must not wait for it. */
static void test_failures_that_nobody_takes_note_of_stop_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t before = refused(f), end = clock_ms() + LIMIT_MS;
    for (size_t i = 0; i < 3000; i++) {
        int fd = raw_tcp(f->port);
        assert_true(fd >= 0);
        assert_int_equal(send(fd, GREETING("NULL"), 64, MSG_NOSIGNAL), 64);
        while (!is_closed(fd)) {
            assert_true(clock_ms() < end);
            usleep(50);
        }
        close(fd);
    }
    UNTIL(f, refused(f) >= before + 3000);
    assert_served(f);
}

/* A subscriber needs the empty topic; a large one is not kept. */
static void test_a_large_subscription_ends_its_connection(void **state)
{
    struct fixture *f = *state;
    uint8_t secret[KEY_BYTES], head[6];
    struct key_public public = key_public(f->bob), server = key_public(f->own);
    static char topic[4096];
    void *s = raw_socket(f, ZMQ_SUB);
    key_secret_bytes(f->bob, secret);
    memset(topic, 'x', sizeof topic);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, secret, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, public.bytes, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server.bytes, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_SUBSCRIBE, topic, sizeof topic), 0);
    void *watcher = raw_watch(f, s);
    assert_int_equal(zmq_connect(s, f->hints), 0);
    UNTIL(f, zmq_recv(watcher, head, sizeof head, ZMQ_DONTWAIT) == (int)sizeof head);
    raw_close(f, s);
    raw_close(f, watcher);
    UNTIL(f, (bus_server_publish(f->server, bytes_of_text("head")),
              is_text(&f->workers[0].hint, "head")));
}

static void test_closing_does_not_wait_for_those_who_never_read(void **state)
{
    struct fixture *f = *state;
    static const uint8_t big[BUS_BYTES_MAX];
    for (int i = 0; i < 1000; i++) {
        bus_server_publish(f->server, bytes_of(big, sizeof big));
        bus_server_send(f->server, &f->frame.route, bytes_of(big, sizeof big));
    }
    bus_server_close(f->server); /* returns, though not all of that can be sent */
    f->server = NULL;
}

/* Somebody else on the coordinator's port: accepts, and closes at once. ZeroMQ's own back-off would
 * begin anew each time. */
static void test_a_port_that_closes_at_once_is_tried_ever_more_rarely(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(f->port)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 100), 0);
    snprintf(f->hints, sizeof f->hints, "%s", f->control);
    start_worker(f, &f->workers[0], f->alice);
    unsigned accepted = 0;
    for (uint64_t end = clock_ms() + 1500; clock_ms() < end; pump(f)) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        accepted++;
        close(fd);
    }
    close(listener);
    assert_true(accepted >= 2);
    assert_true(accepted <= 12); /* of two sockets, at 0, 50, 175, 425, 925 ms at the earliest */
    assert_int_equal(f->workers[0].events[BUS_CONNECTED] + f->workers[0].events[BUS_LOST], 0);
}

/* --- a flood --- */

#define SERVER_DESCRIPTORS 128
#define FLOOD              400

/* A server that may have few descriptors, echoing in a process of its own till it is killed. */
static pid_t limited_server(struct fixture *f)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
    struct rlimit few = {SERVER_DESCRIPTORS, 4096};
    setrlimit(RLIMIT_NOFILE, &few);
    start_server(f);
    struct key_public key = key_public(f->alice);
    /* The budget would lift the limit; this is about the time after it was used up. */
    if (bus_server_allow(f->server, &key, 1, NULL) != 0 || setrlimit(RLIMIT_NOFILE, &few) != 0)
        _exit(1);
    for (;;) {
        while (bus_server_receive(f->server, &f->frame))
            bus_server_send(f->server, &f->frame.route, buf_bytes(&f->frame.body));
        bus_server_wait(f->server, NULL, 0, LIMIT_MS);
    }
}

/* Connections that say nothing, made again as soon as they are cut off. */
static void keep_flooding(struct fixture *f, int fds[FLOOD])
{
    for (size_t i = 0; i < FLOOD; i++) {
        if (fds[i] >= 0 && is_closed(fds[i])) {
            close(fds[i]);
            fds[i] = -1;
        }
        if (fds[i] < 0)
            fds[i] = raw_tcp(f->port);
    }
}

static void test_idle_connections_past_the_descriptor_limit_lock_nobody_out(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    int fds[FLOOD];
    pid_t server = limited_server(f);
    start_worker(f, w, f->alice); /* so that the flood begins when the port is there */
    UNTIL(f, w->events[BUS_CONNECTED] == 1);
    stop_worker(w);
    memset(fds, 0xff, sizeof fds);
    keep_flooding(f, fds);
    start_worker(f, w, f->alice);
    UNTIL(f, (keep_flooding(f, fds), w->events[BUS_CONNECTED] == 1));
    bus_client_send(w->client, bytes_of_text("through the crowd"));
    UNTIL(f, (keep_flooding(f, fds), is_text(&w->message, "through the crowd")));
    for (size_t i = 0; i < FLOOD; i++)
        close(fds[i]);
    kill(server, SIGKILL);
    assert_int_equal(waitpid(server, NULL, 0), server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_served, teardown)
        TEST(test_a_revoked_key_is_heard_and_answered_no_more),
        TEST(test_a_strangers_messages_never_arrive),
        TEST(test_a_worker_does_not_talk_to_another_coordinator),
        TEST(test_an_id_of_the_senders_choice_is_not_heard),
        TEST(test_a_claimed_id_leads_nowhere),
        TEST(test_a_route_made_up_leads_nowhere),
        TEST(test_oversized_and_many_framed_messages_are_dropped),
        TEST(test_a_message_past_the_wires_limit_ends_its_connection),
        TEST(test_many_connections_are_served_together),
        TEST(test_without_curve_nobody_gets_in),
        TEST(test_strange_bytes_are_cut_off_and_harm_nobody),
        TEST(test_random_bytes_are_cut_off),
        TEST(test_failures_that_nobody_takes_note_of_stop_nothing),
        TEST(test_a_large_subscription_ends_its_connection),
        TEST(test_closing_does_not_wait_for_those_who_never_read),
        cmocka_unit_test_setup_teardown(test_a_port_that_closes_at_once_is_tried_ever_more_rarely,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_idle_connections_past_the_descriptor_limit_lock_nobody_out, setup, teardown),
    };
    return key_setup(NULL) != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
