/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_scratch -- a coordinator's bus and workers' on loopback, all pumped by one thread, and raw
 * ZeroMQ sockets that do what our client would not.
 */
#ifndef COLMEIA_TESTS_TRANSPORT_BUS_SCRATCH_H
#define COLMEIA_TESTS_TRANSPORT_BUS_SCRATCH_H

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <zmq.h>

#include "tests/scratch.h"
#include "transport/bus.h"

#define LIMIT_MS 20000 /* generous: whatever takes longer has failed */
#define WORKERS  2
#define RAW_MAX  256

struct worker {
    struct bus_client *client;
    struct buf in;
    unsigned events[BUS_REFUSED + 1]; /* how many of each */
    struct buf message, hint;         /* the last of each */
};

struct fixture {
    char control[BUS_ENDPOINT_MAX], hints[BUS_ENDPOINT_MAX];
    uint16_t port; /* of control */
    struct key *own, *alice, *bob, *eve;
    struct bus_server *server; /* echoes whatever it gets */
    bool silent;               /* it does not */
    unsigned received;
    struct bus_frame frame; /* the last it got */
    struct worker workers[WORKERS];
    void *context; /* for raw sockets */
    void *raw[RAW_MAX];
    size_t raw_count;
};

UNUSED static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A port that nobody has now, and that the system gives to no outgoing connection; no port twice in
 * a process, and others than those of processes beside it. */
UNUSED static uint16_t free_port(void)
{
    static unsigned next;
    for (;;) {
        unsigned port = 10000 + ((unsigned)getpid() * 64 + next++) % 20000;
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr = {htonl(INADDR_LOOPBACK)},
                                .sin_port = htons((uint16_t)port)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        bool free_now = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (free_now)
            return (uint16_t)port;
    }
}

UNUSED static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct key **const keys[] = {&f->own, &f->alice, &f->bob, &f->eve};
    assert_non_null(f);
    f->port = free_port();
    snprintf(f->control, sizeof f->control, "tcp://127.0.0.1:%u", f->port);
    snprintf(f->hints, sizeof f->hints, "tcp://127.0.0.1:%u", free_port());
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(key_new(KEY_X25519, keys[i], NULL), 0);
    for (size_t i = 0; i < WORKERS; i++)
        f->workers[i].in = f->workers[i].message = f->workers[i].hint = buf_new(BUS_BYTES_MAX);
    f->context = zmq_ctx_new();
    *state = f;
    return 0;
}

UNUSED static void stop_worker(struct worker *w)
{
    bus_client_close(w->client);
    w->client = NULL;
}

/* Closes a raw socket; one that is watched before its watcher. */
UNUSED static void raw_close(struct fixture *f, void *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < f->raw_count; i++)
        if (f->raw[i] == s)
            f->raw[i] = NULL;
    (void)zmq_socket_monitor(s, NULL, 0);
    zmq_close(s);
}

UNUSED static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < WORKERS; i++) {
        stop_worker(&f->workers[i]);
        buf_fini(&f->workers[i].in);
        buf_fini(&f->workers[i].message);
        buf_fini(&f->workers[i].hint);
    }
    for (size_t i = 0; i < f->raw_count;
         i++) /* in their order: who is watched goes before who watches */
        raw_close(f, f->raw[i]);
    zmq_ctx_term(f->context);
    bus_server_close(f->server);
    bus_frame_fini(&f->frame);
    key_free(f->own);
    key_free(f->alice);
    key_free(f->bob);
    key_free(f->eve);
    free(f);
    return 0;
}

UNUSED static void start_server(struct fixture *f)
{
    struct bus_server_config c = {f->control, f->hints, f->own};
    struct err err = {0};
    if (bus_server_open(&c, &f->server, &err) != 0)
        fail_msg("%s", err.text);
}

UNUSED static void start_worker(struct fixture *f, struct worker *w, const struct key *k)
{
    struct bus_client_config c = {f->control, f->hints, key_public(f->own), k};
    struct err err = {0};
    memset(w->events, 0, sizeof w->events);
    if (bus_client_open(&c, &w->client, &err) != 0)
        fail_msg("%s", err.text);
}

UNUSED static void allow(struct fixture *f, const struct key *a, const struct key *b)
{
    struct key_public keys[2];
    size_t count = 0;
    if (a != NULL)
        keys[count++] = key_public(a);
    if (b != NULL)
        keys[count++] = key_public(b);
    assert_int_equal(bus_server_allow(f->server, keys, count, NULL), 0);
}

UNUSED static void copy(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_append(to, from->data, from->size);
    assert_int_equal(to->failed, 0);
}

UNUSED static void pump_worker(struct worker *w)
{
    enum bus_event event = BUS_MESSAGE;
    while (w->client != NULL && event != BUS_NOTHING) {
        event = bus_client_receive(w->client, &w->in);
        w->events[event]++;
        if (event == BUS_MESSAGE)
            copy(&w->message, &w->in);
        if (event == BUS_HINT)
            copy(&w->hint, &w->in);
    }
}

/* Everybody's turn. */
UNUSED static void pump(struct fixture *f)
{
    while (f->server != NULL && bus_server_receive(f->server, &f->frame)) {
        f->received++;
        if (!f->silent)
            bus_server_send(f->server, &f->frame.route, buf_bytes(&f->frame.body));
    }
    for (size_t i = 0; i < WORKERS; i++)
        pump_worker(&f->workers[i]);
    if (f->server != NULL)
        bus_server_wait(f->server, NULL, 0, 2);
    else
        usleep(2000);
}

/* Pumps until `condition` holds. */
#define UNTIL(f, condition)                                                                        \
    do {                                                                                           \
        uint64_t end_ms = clock_ms() + LIMIT_MS;                                                   \
        while (!(condition)) {                                                                     \
            if (clock_ms() > end_ms)                                                               \
                fail_msg("not within 20 s: %s", #condition);                                       \
            pump(f);                                                                               \
        }                                                                                          \
    } while (0)

UNUSED static bool is_text(const struct buf *b, const char *text)
{
    return bytes_equal(buf_bytes(b), bytes_of_text(text));
}

/* Asks and waits for the echo. */
UNUSED static void ask(struct fixture *f, struct worker *w, const char *text)
{
    buf_clear(&w->message);
    bus_client_send(w->client, bytes_of_text(text));
    UNTIL(f, is_text(&w->message, text));
}

UNUSED static uint64_t dropped(const struct fixture *f)
{
    return bus_server_stats(f->server).dropped;
}

UNUSED static uint64_t refused(const struct fixture *f)
{
    return bus_server_stats(f->server).refused_handshakes;
}

/* Somebody honest is served. */
UNUSED static void assert_served(struct fixture *f)
{
    struct worker *w = &f->workers[0];
    if (w->client == NULL)
        start_worker(f, w, f->alice);
    UNTIL(f, w->events[BUS_CONNECTED] > 0);
    ask(f, w, "still there?");
}

/* --- raw ZeroMQ --- */

UNUSED static void *raw_socket(struct fixture *f, int type)
{
    int linger = 0, limit = LIMIT_MS;
    void *s = zmq_socket(f->context, type);
    assert_true(s != NULL && f->raw_count < RAW_MAX);
    f->raw[f->raw_count++] = s;
    assert_int_equal(zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_SNDTIMEO, &limit, sizeof limit), 0);
    return s;
}

/* A socket with a worker's key; `id` NULL: as ours, with none of its own. */
UNUSED static void *raw_dealer(struct fixture *f, const struct key *k, const char *id,
                               size_t id_size)
{
    uint8_t secret[KEY_BYTES];
    struct key_public public = key_public(k), server = key_public(f->own);
    void *s = raw_socket(f, ZMQ_DEALER);
    key_secret_bytes(k, secret);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, secret, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, public.bytes, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server.bytes, KEY_BYTES), 0);
    if (id != NULL)
        assert_int_equal(zmq_setsockopt(s, ZMQ_ROUTING_ID, id, id_size), 0);
    assert_int_equal(zmq_connect(s, f->control), 0);
    return s;
}

/* A socket that hears when the connection of `s` is cut. */
UNUSED static void *raw_watch(struct fixture *f, void *s)
{
    assert_int_equal(zmq_socket_monitor(s, "inproc://watch", ZMQ_EVENT_DISCONNECTED), 0);
    void *watcher = raw_socket(f, ZMQ_PAIR);
    assert_int_equal(zmq_connect(watcher, "inproc://watch"), 0);
    return watcher;
}

UNUSED static void raw_send(void *s, size_t size, int flags)
{
    void *zeros = calloc(1, size + 1);
    assert_non_null(zeros);
    assert_int_equal(zmq_send(s, zeros, size, flags), (int)size);
    free(zeros);
}

/* --- raw TCP --- */

UNUSED static int raw_tcp(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Has the other side closed? Reads away whatever it said before. */
UNUSED static bool is_closed(int fd)
{
    uint8_t away[4096];
    ssize_t n = recv(fd, away, sizeof away, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

#endif
