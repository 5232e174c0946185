/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

#include "base/random.h"
#include "base/text.h"
#include "transport/zap.h"

/* ZeroMQ 4.3 aborts when a heartbeat is due on a connection whose peer has gone while what it sent
 * still waits for room in a full queue (stream_engine_base.cpp: !_io_error). So the server, whose
 * peers could bring that about, sends none: it answers those of its clients, finds dead hosts by
 * TCP's own keepalive, and leaves it to the program to see who is silent. A client's queue is too
 * long to be filled by answers and hints. */
#define WIRE_BYTES_MAX         (BUS_BYTES_MAX + 64) /* ZeroMQ counts CURVE's 33 bytes as well */
#define SUBSCRIPTION_BYTES_MAX 512 /* all that a PUB reads: handshakes and subscriptions */
#define MESSAGES_MAX           4   /* high-water mark of a connection */
#define ANSWERS_MAX            512 /* of what a client receives */
#define SOCKETS_MAX            64  /* of a context; accepted connections do not count */
#define LINGER_MS              2000
#define HEARTBEAT_MS           10000
#define HEARTBEAT_TIMEOUT_MS   30000
#define HEARTBEAT_TTL_MS       60000
#define SERVER_HANDSHAKE_MS    2000  /* whoever is slower gives its descriptor back */
#define CLIENT_HANDSHAKE_MS    10000 /* a slow line may be slow */
#define CONNECT_MS             10000
#define BACKLOG                1024
#define SELF_TEST_MS           20000
#define DROPS_MAX              64      /* bad messages skipped in one call */
#define LASTED_MS              10000   /* a connection that lived longer was a good one */
#define WAIT_MS_MAX            3600000 /* one sleep */
#define DESCRIPTORS_OTHER      256     /* files, HTTP, ourselves */
#define DESCRIPTORS_PEER       4

#define ROUTING_ID_BYTES 5 /* of the ids that a ROUTER gives: zero, then 32 bits */
#define ROUTE_BYTES      (ROUTING_ID_BYTES + KEY_BYTES)

struct option {
    int name, value;
};

/* Who calls whom. */
struct call {
    int type; /* ZMQ_DEALER or ZMQ_SUB */
    const char *endpoint;
    struct key_public server;
    const struct key *curve;
};

/* A socket and the events of its connections. */
struct line {
    void *socket, *monitor; /* NULL, or open both */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- endpoints and sockets --- */

static int check_endpoint(const char *endpoint, struct err *err)
{
    uint64_t port = 0;
    const char *host = endpoint + strlen("tcp://");
    const char *colon = strrchr(endpoint, ':');
    if (strlen(endpoint) >= BUS_ENDPOINT_MAX)
        return err_set(err, ERR_USAGE, "an endpoint of %zu characters; at most %d are allowed",
                       strlen(endpoint), BUS_ENDPOINT_MAX - 1);
    if (strncmp(endpoint, "tcp://", strlen("tcp://")) != 0 || colon <= host ||
        text_parse_uint(colon + 1, UINT16_MAX, &port, NULL) != 0 || port == 0)
        return err_set(err, ERR_USAGE,
                       "\"%s\" is not an endpoint; one looks like tcp://192.0.2.1:8470 or "
                       "tcp://coordinator.example.org:8470, with a port of 1 to 65535",
                       endpoint);
    return 0;
}

static int set_options(void *socket, const struct option *options, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (zmq_setsockopt(socket, options[i].name, &options[i].value, sizeof(int)) != 0)
            return err_set(err, ERR_UNSUPPORTED, "this build of ZeroMQ refuses option %d: %s",
                           options[i].name, zmq_strerror(zmq_errno()));
    return 0;
}

/* What both sides share. */
static int set_common(void *socket, const char *endpoint, int64_t bytes_max, struct err *err)
{
    const struct option options[] = {
        {ZMQ_SNDHWM, MESSAGES_MAX},
        {ZMQ_LINGER, LINGER_MS},
        /* Only where it is asked for: a host name would be looked up as IPv6 first. */
        {ZMQ_IPV6, strchr(endpoint, '[') != NULL},
    };
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) != 0)
        return err_set(err, ERR_UNSUPPORTED, "this build of ZeroMQ cannot limit messages: %s",
                       zmq_strerror(zmq_errno()));
    return set_options(socket, options, sizeof options / sizeof options[0], err);
}

static int set_secret(void *socket, const struct key *curve, struct err *err)
{
    uint8_t secret[KEY_BYTES];
    key_secret_bytes(curve, secret);
    int rc = zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, sizeof secret);
    key_wipe(secret, sizeof secret);
    return rc == 0 ? 0
                   : err_set(err, ERR_UNSUPPORTED, "this build of ZeroMQ has no CURVE: %s",
                             zmq_strerror(zmq_errno()));
}

static int new_context(void **out, struct err *err)
{
    void *context = zmq_ctx_new();
    if (context == NULL || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) != 0) {
        if (context != NULL)
            zmq_ctx_term(context);
        return err_set(err, ERR_IO, "start ZeroMQ: %s", zmq_strerror(zmq_errno()));
    }
    *out = context;
    return 0;
}

static void end_context(void *context)
{
    while (context != NULL && zmq_ctx_term(context) != 0 && zmq_errno() == EINTR)
        continue;
}

/* Watching is ended before the monitor is closed: ZeroMQ's own thread would wait for ever for
 * somebody to take its next event, and with it every other socket of the context. */
static void close_line(struct line *l)
{
    if (l->socket != NULL) {
        (void)zmq_socket_monitor(l->socket, NULL, 0);
        zmq_close(l->socket);
    }
    if (l->monitor != NULL)
        zmq_close(l->monitor);
    l->monitor = l->socket = NULL;
}

/* `number`: no two monitors of a context may have the same. */
static int watch(void *context, struct line *l, int events, unsigned number, struct err *err)
{
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%u", number);
    /* Without a limit, or ZeroMQ's own thread would wait when it is reached. */
    const struct option options[] = {{ZMQ_RCVHWM, 0}, {ZMQ_LINGER, 0}};
    if (zmq_socket_monitor(l->socket, address, events) != 0 ||
        (l->monitor = zmq_socket(context, ZMQ_PAIR)) == NULL ||
        set_options(l->monitor, options, 2, NULL) != 0 || zmq_connect(l->monitor, address) != 0)
        return err_set(err, ERR_IO, "watch a socket: %s", zmq_strerror(zmq_errno()));
    return 0;
}

/* The next event of a line, or 0. */
static int next_event(const struct line *l)
{
    uint8_t head[6]; /* 16 bits event, 32 bits value */
    uint16_t event;
    char endpoint[BUS_ENDPOINT_MAX];
    if (l->monitor == NULL ||
        zmq_recv(l->monitor, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head ||
        zmq_recv(l->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT) < 0)
        return 0;
    memcpy(&event, head, sizeof event);
    return event;
}

/* Begins to connect. */
static int dial(void *context, const struct call *c, unsigned number, struct line *out,
                struct err *err)
{
    const struct option options[] = {
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_RCVHWM, ANSWERS_MAX},
        {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
        {ZMQ_HEARTBEAT_TTL, HEARTBEAT_TTL_MS},
        {ZMQ_HANDSHAKE_IVL, CLIENT_HANDSHAKE_MS},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
        {ZMQ_RECONNECT_IVL, 1000}, /* the self-test's; a link closes at the first failure */
    };
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED;
    struct line l = {.socket = zmq_socket(context, c->type)};
    struct key_public own = key_public(c->curve);
    int rc = 0;
    if (l.socket == NULL)
        rc = err_set(err, ERR_IO, "make a socket: %s", zmq_strerror(zmq_errno()));
    if (rc == 0)
        rc = set_common(l.socket, c->endpoint, WIRE_BYTES_MAX, err);
    if (rc == 0)
        rc = set_options(l.socket, options, sizeof options / sizeof options[0], err);
    if (rc == 0)
        rc = set_secret(l.socket, c->curve, err);
    if (rc == 0)
        rc = watch(context, &l, events, number, err);
    if (rc == 0 &&
        (zmq_setsockopt(l.socket, ZMQ_CURVE_PUBLICKEY, own.bytes, KEY_BYTES) != 0 ||
         zmq_setsockopt(l.socket, ZMQ_CURVE_SERVERKEY, c->server.bytes, KEY_BYTES) != 0 ||
         (c->type == ZMQ_SUB && zmq_setsockopt(l.socket, ZMQ_SUBSCRIBE, "", 0) != 0) ||
         zmq_connect(l.socket, c->endpoint) != 0))
        rc = err_set(err, ERR_USAGE, "connect to %s: %s", c->endpoint, zmq_strerror(zmq_errno()));
    if (rc != 0) {
        close_line(&l);
        return rc;
    }
    *out = l;
    return 0;
}

/* Sleeps on sockets and descriptors. A signal, or a socket that needs looking at, ends it early. */
static void wait_for(zmq_pollitem_t *items, size_t used, const int *fds, size_t count,
                     uint64_t timeout_ms)
{
    assert(count <= BUS_WAIT_FDS_MAX);
    for (size_t i = 0; i < count; i++)
        items[used++] = (zmq_pollitem_t){.fd = fds[i], .events = ZMQ_POLLIN};
    (void)zmq_poll(items, (int)used, (long)(timeout_ms < WAIT_MS_MAX ? timeout_ms : WAIT_MS_MAX));
}

static zmq_pollitem_t on_socket(void *socket)
{
    return (zmq_pollitem_t){.socket = socket, .events = ZMQ_POLLIN};
}

/* Never blocks. To save time ZeroMQ looks rarely whether a full queue has room again: asking for
 * its events makes it look, or an answer would be lost now and then though nobody is behind. */
static bool send_frame(void *socket, struct bytes frame, int flags)
{
    int events;
    size_t size = sizeof events;
    if (zmq_send(socket, frame.data, frame.size, flags | ZMQ_DONTWAIT) >= 0)
        return true;
    return zmq_errno() == EAGAIN && zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 &&
           zmq_send(socket, frame.data, frame.size, flags | ZMQ_DONTWAIT) >= 0;
}

/* Reads frames up to the end of the message; true if there were any. */
static bool skip_rest(void *socket, zmq_msg_t *frame)
{
    bool any = false;
    while (zmq_msg_more(frame) && zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) >= 0)
        any = true;
    return any;
}

/* False if it is too long. */
static bool copy_body(zmq_msg_t *frame, struct buf *out)
{
    size_t size = zmq_msg_size(frame);
    out->max = BUS_BYTES_MAX;
    buf_clear(out);
    if (size > BUS_BYTES_MAX)
        return false;
    buf_append(out, zmq_msg_data(frame), size);
    return !out->failed;
}

/* --- coordinator --- */

struct peer { /* somebody who is allowed */
    struct key_public key;
    bool has_id;
    uint8_t id[ROUTING_ID_BYTES]; /* of the connection it spoke on last */
};

struct bus_server {
    void *context;
    struct zap *zap;
    struct line control, hints;
    struct peer *peers; /* sorted by key */
    size_t peer_count;
    uint64_t denied_before; /* by the self-test */
    struct bus_stats stats;
};

static int order_peers(const void *a, const void *b)
{
    return memcmp(((const struct peer *)a)->key.bytes, ((const struct peer *)b)->key.bytes,
                  KEY_BYTES);
}

static struct peer *find_peer(const struct bus_server *b, const struct key_public *key)
{
    struct peer wanted = {.key = *key};
    return b->peer_count == 0
               ? NULL
               : bsearch(&wanted, b->peers, b->peer_count, sizeof wanted, order_peers);
}

static int explain_bind(const char *endpoint, struct err *err)
{
    switch (zmq_errno()) {
    case EADDRINUSE:
        return err_set(err, ERR_IO,
                       "listen on %s: the address is in use; stop the program that has it, or give "
                       "another port",
                       endpoint);
    case EACCES:
        return err_set(err, ERR_IO, "listen on %s: not permitted; give a port of 1024 or above",
                       endpoint);
    case EADDRNOTAVAIL:
    case ENODEV:
        return err_set(err, ERR_USAGE,
                       "listen on %s: this machine has no such address; give one of its own, or "
                       "tcp://0.0.0.0:PORT for all",
                       endpoint);
    default:
        return err_set(err, ERR_USAGE, "listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
    }
}

static int listen_on(struct bus_server *b, int type, const char *endpoint, const struct key *curve,
                     struct line *out, struct err *err)
{
    const struct option options[] = {
        {ZMQ_CURVE_SERVER, 1},
        {ZMQ_RCVHWM, MESSAGES_MAX},
        {ZMQ_HANDSHAKE_IVL, SERVER_HANDSHAKE_MS},
        {ZMQ_BACKLOG, BACKLOG},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 60},
        {ZMQ_TCP_KEEPALIVE_INTVL, 20},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
    };
    const struct option router = {ZMQ_ROUTER_MANDATORY, 1};
    int rc = check_endpoint(endpoint, err);
    if (rc != 0)
        return rc;
    out->socket = zmq_socket(b->context, type);
    if (out->socket == NULL)
        return err_set(err, ERR_IO, "make a socket: %s", zmq_strerror(zmq_errno()));
    rc = set_common(out->socket, endpoint,
                    type == ZMQ_PUB ? SUBSCRIPTION_BYTES_MAX : WIRE_BYTES_MAX, err);
    if (rc == 0)
        rc = set_options(out->socket, options, sizeof options / sizeof options[0], err);
    if (rc == 0 && type == ZMQ_ROUTER)
        rc = set_options(out->socket, &router, 1, err);
    if (rc == 0)
        rc = set_secret(out->socket, curve, err);
    if (rc == 0)
        rc = zap_guard(out->socket, err);
    if (rc == 0 && zmq_bind(out->socket, endpoint) != 0)
        rc = explain_bind(endpoint, err);
    return rc;
}

/* Knocks at a bound socket with a key that nobody knows. Only a plain no will do. */
static int prove_closed(struct bus_server *b, const struct call *c, unsigned number,
                        struct err *err)
{
    struct line l = {0};
    uint64_t now = now_ms(), end = now + SELF_TEST_MS;
    int event = 0, rc = dial(b->context, c, number, &l, err);
    for (; rc == 0 && now < end; now = now_ms()) {
        zmq_pollitem_t item = on_socket(l.monitor);
        wait_for(&item, 1, NULL, 0, end - now);
        do
            event = next_event(&l);
        while (event != 0 && event != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH &&
               event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
        if (event != 0)
            break;
    }
    close_line(&l);
    if (rc != 0 || event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return rc;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        return err_set(err, ERR_DENIED,
                       "%s lets in a key that nobody admitted; this ZeroMQ is not safe to listen "
                       "with, so the program does not",
                       c->endpoint);
    return err_set(err, ERR_TIMEOUT,
                   "%s did not refuse an unknown key within %d s; is a firewall between this "
                   "machine and itself?",
                   c->endpoint, SELF_TEST_MS / 1000);
}

static int self_test(struct bus_server *b, const struct key *curve, struct err *err)
{
    struct key *stranger = NULL;
    struct line *const lines[] = {&b->control, &b->hints};
    int rc = key_new(KEY_X25519, &stranger, err);
    for (unsigned i = 0; rc == 0 && i < 2; i++) {
        char endpoint[BUS_ENDPOINT_MAX];
        size_t size = sizeof endpoint;
        if (zmq_getsockopt(lines[i]->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
            rc = err_set(err, ERR_IO, "self-test: %s", zmq_strerror(zmq_errno()));
        struct call c = {i == 0 ? ZMQ_DEALER : ZMQ_SUB, endpoint, key_public(curve), stranger};
        if (rc == 0)
            rc = prove_closed(b, &c, i, err);
    }
    key_free(stranger);
    b->denied_before = zap_denied_count(b->zap);
    return rc;
}

int bus_server_open(const struct bus_server_config *c, struct bus_server **out, struct err *err)
{
    int failures = ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    struct bus_server *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = new_context(&b->context, err);
    if (rc == 0)
        rc = zap_open(b->context, &b->zap, err);
    if (rc == 0)
        rc = listen_on(b, ZMQ_ROUTER, c->control, c->curve, &b->control, err);
    if (rc == 0)
        rc = listen_on(b, ZMQ_PUB, c->hints, c->curve, &b->hints, err);
    if (rc == 0)
        rc = self_test(b, c->curve, err);
    if (rc == 0)
        rc = watch(b->context, &b->control, failures, 2, err);
    if (rc == 0)
        rc = watch(b->context, &b->hints, failures, 3, err);
    if (rc != 0) {
        bus_server_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

void bus_server_close(struct bus_server *b)
{
    if (b == NULL)
        return;
    close_line(&b->control);
    close_line(&b->hints);
    zap_close(b->zap);
    end_context(b->context);
    free(b->peers);
    free(b);
}

/* Two connections a peer, and as many again for those that come while old ones linger. At the limit
 * ZeroMQ would spin on accept, and strangers could keep everybody out. */
static int reserve_descriptors(size_t peers, struct err *err)
{
    struct rlimit limit;
    rlim_t need = DESCRIPTORS_OTHER +
                  DESCRIPTORS_PEER * (rlim_t)(peers < BUS_PEERS_MAX ? peers : BUS_PEERS_MAX);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_errno(err, "read the limit of open files");
    if (limit.rlim_cur >= need)
        return 0;
    limit.rlim_cur = need;
    if (need > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_set(
            err, ERR_LIMIT,
            "%zu sites need %llu open files and this process may have %llu at most; raise the "
            "limit (ulimit -n %llu, or LimitNOFILE= of the service) and start again",
            peers, (unsigned long long)need, (unsigned long long)limit.rlim_max,
            (unsigned long long)need);
    return 0;
}

int bus_server_allow(struct bus_server *b, const struct key_public *keys, size_t count,
                     struct err *err)
{
    int rc = reserve_descriptors(count, err);
    if (rc != 0)
        return rc;
    struct peer *peers = calloc(count + 1, sizeof *peers);
    if (peers == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct peer *known = find_peer(b, &keys[i]);
        if (known != NULL)
            peers[i] = *known;
        peers[i].key = keys[i];
    }
    qsort(peers, count, sizeof *peers, order_peers);
    rc = zap_allow(b->zap, keys, count, err);
    if (rc != 0) {
        free(peers);
        return rc;
    }
    free(b->peers);
    b->peers = peers;
    b->peer_count = count;
    return 0;
}

static void count_failures(struct bus_server *b)
{
    while (next_event(&b->control) != 0 || next_event(&b->hints) != 0)
        b->stats.refused_handshakes++;
}

/* Whose message is it? NULL: nobody's that counts. The id must be one that the ROUTER gave. If
 * another peer was last heard under it, one of the two claimed it, and neither is answered there.
 */
static struct peer *sender_of(struct bus_server *b, zmq_msg_t *id, zmq_msg_t *body)
{
    struct key_public key;
    const char *user = zmq_msg_gets(body, "User-Id");
    if (user == NULL || strlen(user) != KEY_Z85_MAX - 1 || zmq_z85_decode(key.bytes, user) == NULL)
        return NULL;
    struct peer *p = find_peer(b, &key);
    const uint8_t *bytes = zmq_msg_data(id);
    if (p == NULL || zmq_msg_size(id) != ROUTING_ID_BYTES || bytes[0] != 0)
        return NULL;
    if (p->has_id && memcmp(p->id, bytes, ROUTING_ID_BYTES) == 0)
        return p;
    for (size_t i = 0; i < b->peer_count; i++)
        if (b->peers[i].has_id && memcmp(b->peers[i].id, bytes, ROUTING_ID_BYTES) == 0) {
            b->peers[i].has_id = false;
            return NULL;
        }
    p->has_id = true;
    memcpy(p->id, bytes, ROUTING_ID_BYTES);
    return p;
}

enum taken {
    TAKEN_NOTHING,
    TAKEN_DROPPED,
    TAKEN_MESSAGE
};

static enum taken take_frame(struct bus_server *b, zmq_msg_t *id, zmq_msg_t *body,
                             struct bus_frame *out)
{
    if (zmq_msg_recv(id, b->control.socket, ZMQ_DONTWAIT) < 0)
        return TAKEN_NOTHING;
    if (!zmq_msg_more(id) || zmq_msg_recv(body, b->control.socket, ZMQ_DONTWAIT) < 0 ||
        skip_rest(b->control.socket, body))
        return TAKEN_DROPPED;
    struct peer *p = sender_of(b, id, body);
    if (p == NULL || !copy_body(body, &out->body))
        return TAKEN_DROPPED;
    out->peer = p->key;
    out->route.size = ROUTE_BYTES;
    memcpy(out->route.bytes, p->id, ROUTING_ID_BYTES);
    memcpy(out->route.bytes + ROUTING_ID_BYTES, p->key.bytes, KEY_BYTES);
    return TAKEN_MESSAGE;
}

bool bus_server_receive(struct bus_server *b, struct bus_frame *out)
{
    enum taken taken = TAKEN_DROPPED;
    count_failures(b);
    for (int i = 0; taken == TAKEN_DROPPED && i < DROPS_MAX; i++) {
        zmq_msg_t id, body;
        zmq_msg_init(&id);
        zmq_msg_init(&body);
        taken = take_frame(b, &id, &body, out);
        if (taken == TAKEN_DROPPED)
            b->stats.dropped++;
        zmq_msg_close(&id);
        zmq_msg_close(&body);
    }
    if (taken == TAKEN_MESSAGE)
        b->stats.received++;
    return taken == TAKEN_MESSAGE;
}

void bus_frame_fini(struct bus_frame *f)
{
    buf_fini(&f->body);
}

static bool send_to(struct bus_server *b, const struct bus_route *to, struct bytes body)
{
    struct key_public key;
    if (to->size != ROUTE_BYTES || body.size > BUS_BYTES_MAX)
        return false;
    memcpy(key.bytes, to->bytes + ROUTING_ID_BYTES, KEY_BYTES);
    const struct peer *p = find_peer(b, &key);
    if (p == NULL || !p->has_id || memcmp(p->id, to->bytes, ROUTING_ID_BYTES) != 0)
        return false;
    return send_frame(b->control.socket, bytes_of(p->id, ROUTING_ID_BYTES), ZMQ_SNDMORE) &&
           send_frame(b->control.socket, body, 0);
}

void bus_server_send(struct bus_server *b, const struct bus_route *to, struct bytes body)
{
    if (send_to(b, to, body))
        b->stats.sent++;
    else
        b->stats.dropped++;
}

void bus_server_publish(struct bus_server *b, struct bytes body)
{
    if (body.size <= BUS_BYTES_MAX && send_frame(b->hints.socket, body, 0))
        b->stats.sent++;
    else
        b->stats.dropped++;
}

void bus_server_wait(struct bus_server *b, const int *fds, size_t count, uint64_t timeout_ms)
{
    count_failures(b);
    /* A PUB has nothing to read, but takes its subscriptions in only when somebody looks at it. */
    zmq_pollitem_t items[4 + BUS_WAIT_FDS_MAX] = {
        on_socket(b->control.socket), on_socket(b->hints.socket), on_socket(b->control.monitor),
        on_socket(b->hints.monitor)};
    wait_for(items, 4, fds, count, timeout_ms);
}

struct bus_stats bus_server_stats(const struct bus_server *b)
{
    struct bus_stats s = b->stats;
    s.refused_handshakes += zap_denied_count(b->zap) - b->denied_before;
    return s;
}

/* --- worker --- */

enum {
    CONTROL,
    HINTS,
    LINKS
};

struct link {
    char endpoint[BUS_ENDPOINT_MAX];
    struct line line; /* closed between attempts */
    bool up;
    unsigned failures; /* since a connection that lasted */
    uint64_t up_ms;    /* when it came up */
    uint64_t next_ms;  /* when to try again, if closed */
};

struct bus_client {
    void *context;
    struct key_public server;
    const struct key *curve;
    struct link links[LINKS];
    unsigned dials; /* a number for each monitor */
};

static uint64_t back_off_ms(unsigned failures)
{
    static const uint32_t steps[] = {100, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000};
    const unsigned last = sizeof steps / sizeof steps[0] - 1;
    uint32_t step = steps[failures < last ? failures : last], chance;
    random_bytes(&chance, sizeof chance);
    return step / 2 + chance % (step / 2 + 1); /* so that sites do not come back all at once */
}

static void link_fail(struct link *l)
{
    uint64_t now = now_ms();
    close_line(&l->line);
    if (l->up && now - l->up_ms >= LASTED_MS)
        l->failures = 0;
    l->up = false;
    l->next_ms = now + back_off_ms(l->failures++);
}

static int link_dial(struct bus_client *b, int which, struct err *err)
{
    struct link *l = &b->links[which];
    struct call c = {which == CONTROL ? ZMQ_DEALER : ZMQ_SUB, l->endpoint, b->server, b->curve};
    return dial(b->context, &c, b->dials++, &l->line, err);
}

/* Takes what the monitor says, up to something that the caller must know. */
static enum bus_event link_event(struct link *l)
{
    for (int event; (event = next_event(&l->line)) != 0;) {
        bool was_up = l->up;
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            l->up = true;
            l->up_ms = now_ms();
            return BUS_CONNECTED;
        }
        link_fail(l);
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
            return BUS_REFUSED;
        return was_up ? BUS_LOST : BUS_NOTHING;
    }
    return BUS_NOTHING;
}

/* A message of one frame. */
static bool take_body(const struct line *l, struct buf *out)
{
    enum taken taken = l->socket == NULL ? TAKEN_NOTHING : TAKEN_DROPPED;
    for (int i = 0; taken == TAKEN_DROPPED && i < DROPS_MAX; i++) {
        zmq_msg_t body;
        zmq_msg_init(&body);
        if (zmq_msg_recv(&body, l->socket, ZMQ_DONTWAIT) < 0)
            taken = TAKEN_NOTHING;
        else if (!skip_rest(l->socket, &body) && copy_body(&body, out))
            taken = TAKEN_MESSAGE;
        zmq_msg_close(&body);
    }
    return taken == TAKEN_MESSAGE;
}

int bus_client_open(const struct bus_client_config *c, struct bus_client **out, struct err *err)
{
    const char *const endpoints[LINKS] = {c->control, c->hints};
    struct bus_client *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->server = c->server;
    b->curve = c->curve;
    int rc = new_context(&b->context, err);
    for (int i = 0; rc == 0 && i < LINKS; i++) {
        rc = check_endpoint(endpoints[i], err);
        if (rc == 0) {
            snprintf(b->links[i].endpoint, BUS_ENDPOINT_MAX, "%s", endpoints[i]);
            rc = link_dial(b, i, err);
        }
    }
    if (rc != 0) {
        bus_client_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

void bus_client_close(struct bus_client *b)
{
    if (b == NULL)
        return;
    for (int i = 0; i < LINKS; i++)
        close_line(&b->links[i].line);
    end_context(b->context);
    free(b);
}

enum bus_event bus_client_receive(struct bus_client *b, struct buf *out)
{
    struct link *control = &b->links[CONTROL], *hints = &b->links[HINTS];
    buf_clear(out);
    /* What arrived before a connection broke comes before the news that it did. */
    if (take_body(&control->line, out))
        return BUS_MESSAGE;
    if (take_body(&hints->line, out))
        return BUS_HINT;
    enum bus_event event = link_event(control);
    if (event == BUS_CONNECTED && hints->line.socket == NULL)
        hints->next_ms = 0; /* if one door opened, so may the other */
    (void)link_event(hints);
    for (int i = 0; i < LINKS; i++) {
        struct link *l = &b->links[i];
        if (l->line.socket == NULL && now_ms() >= l->next_ms && link_dial(b, i, NULL) != 0)
            link_fail(l);
    }
    return event;
}

void bus_client_send(struct bus_client *b, struct bytes body)
{
    void *socket = b->links[CONTROL].line.socket;
    if (socket != NULL && body.size <= BUS_BYTES_MAX)
        (void)send_frame(socket, body, 0); /* sends or drops */
}

void bus_client_wait(struct bus_client *b, const int *fds, size_t count, uint64_t timeout_ms)
{
    zmq_pollitem_t items[2 * LINKS + BUS_WAIT_FDS_MAX];
    size_t used = 0;
    uint64_t now = now_ms();
    for (int i = 0; i < LINKS; i++) {
        const struct link *l = &b->links[i];
        if (l->line.socket != NULL) {
            items[used++] = on_socket(l->line.socket);
            items[used++] = on_socket(l->line.monitor);
        } else {
            uint64_t left_ms = l->next_ms > now ? l->next_ms - now : 0;
            timeout_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
        }
    }
    wait_for(items, used, fds, count, timeout_ms);
}
