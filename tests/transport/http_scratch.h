/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_scratch -- what the HTTP tests share: a server with a certificate of its own, a relay that
 * cuts, slows and counts, and a server that says what it was told, however wrong.
 */
#ifndef COLMEIA_TESTS_TRANSPORT_HTTP_SCRATCH_H
#define COLMEIA_TESTS_TRANSPORT_HTTP_SCRATCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cert.h"
#include "tests/content/store_scratch.h"
#include "transport/http_client.h"
#include "transport/http_server.h"

/* --- certificate and pin, one for the whole program --- */

static struct buf certificate_pem, key_pem;
static char server_pin[64];

UNUSED static int http_setup_program(void **state)
{
    (void)state;
    uint8_t pin[HASH_BYTES];
    static const char *const proxies[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
                                          "ALL_PROXY",   "all_proxy",   "NO_PROXY",   "no_proxy"};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++)
        unsetenv(proxies[i]);
    certificate_pem = buf_new(CERT_PEM_MAX);
    key_pem = buf_new(CERT_PEM_MAX);
    if (cert_new("127.0.0.1", &certificate_pem, &key_pem, NULL) != 0 ||
        cert_pin(buf_bytes(&certificate_pem), pin, NULL) != 0)
        return -1;
    cert_format_pin(pin, server_pin);
    return 0;
}

UNUSED static int http_teardown_program(void **state)
{
    (void)state;
    buf_fini(&certificate_pem);
    buf_fini(&key_pem);
    return 0;
}

#define MANY 200 /* places: enough for whatever one address asks at once */

UNUSED static struct http_server *open_server_for(unsigned bodies_max, struct http_handler handler,
                                                  bool tls, unsigned idle_seconds)
{
    struct http_server *s;
    struct err err = {0};
    struct http_server_config c = {.host = "127.0.0.1",
                                   .certificate_pem = tls ? buf_text(&certificate_pem) : NULL,
                                   .key_pem = tls ? buf_text(&key_pem) : NULL,
                                   .connections_max = 200,
                                   .idle_seconds = idle_seconds,
                                   .bodies_max = bodies_max,
                                   .handler = handler};
    if (http_server_open(&c, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

UNUSED static struct http_server *open_server(struct http_handler handler, bool tls,
                                              unsigned idle_seconds)
{
    return open_server_for(0, handler, tls, idle_seconds);
}

UNUSED static struct http_client *open_client_with(const char *pin, unsigned stall_seconds,
                                                   const atomic_int *cancel)
{
    struct http_client *c;
    struct http_client_config config = {
        .pin = pin, .connect_seconds = 5, .stall_seconds = stall_seconds, .cancel = cancel};
    assert_int_equal(http_client_new(&config, &c, NULL), 0);
    return c;
}

UNUSED static struct http_client *open_client(const char *pin)
{
    return open_client_with(pin, 20, NULL);
}

UNUSED static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

/* --- sockets --- */

UNUSED static int listen_any(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

UNUSED static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

UNUSED static bool send_all_of(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

UNUSED static void reset_and_close(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* --- a relay: what the network does --- */

#define RELAY_LINKS_MAX 32

struct relay_link {
    int client, server;
    uint64_t up, down;
};

struct relay {
    pthread_t thread;
    int listening;
    uint16_t port, target;
    bool proxy;             /* waits for CONNECT first */
    atomic_bool token_seen; /* in a CONNECT */
    atomic_bool stop;
    atomic_uint connections, gone;
    atomic_uint cuts_left;          /* links to cut when they have carried: */
    atomic_ullong cut_up, cut_down; /* bytes; 0: never */
    atomic_uint bytes_per_tick;     /* each way, of all links, in 10 ms; 0: no limit */
    size_t count;
    struct relay_link links[RELAY_LINKS_MAX];
};

UNUSED static void relay_drop(struct relay *r, size_t i, bool reset)
{
    if (reset)
        reset_and_close(r->links[i].client);
    else
        close(r->links[i].client);
    close(r->links[i].server);
    atomic_fetch_add(&r->gone, 1);
    r->links[i] = r->links[--r->count];
}

/* Moves one piece; false when the side `from` has ended. */
UNUSED static bool relay_move(int from, int to, size_t max, uint64_t *counted)
{
    static char piece[64 << 10]; /* one relay moves at a time: each has its own process or turn */
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    ssize_t n = recv(from, piece, max < sizeof piece ? max : sizeof piece, 0);
    bool ok = n > 0 && send_all_of(to, piece, (size_t)n);
    pthread_mutex_unlock(&mutex);
    if (ok)
        *counted += (uint64_t)n;
    return ok;
}

UNUSED static bool relay_is_cut(struct relay *r, const struct relay_link *l)
{
    uint64_t up = atomic_load(&r->cut_up), down = atomic_load(&r->cut_down);
    if (atomic_load(&r->cuts_left) == 0 ||
        !((up > 0 && l->up >= up) || (down > 0 && l->down >= down)))
        return false;
    atomic_fetch_sub(&r->cuts_left, 1);
    return true;
}

UNUSED static void relay_accept(struct relay *r)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\n\r\n";
    int client = accept4(r->listening, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    atomic_fetch_add(&r->connections, 1);
    if (r->proxy) {
        char request[2048];
        ssize_t n = recv(client, request, sizeof request - 1, 0);
        request[n > 0 ? n : 0] = '\0';
        if (strstr(request, "Authorization") != NULL)
            atomic_store(&r->token_seen, true);
        if (strncmp(request, "CONNECT ", 8) != 0 || !send_all_of(client, yes, strlen(yes))) {
            close(client);
            return;
        }
    }
    int server = r->count < RELAY_LINKS_MAX ? connect_to(r->target) : -1;
    if (server < 0)
        close(client);
    else
        r->links[r->count++] = (struct relay_link){.client = client, .server = server};
}

UNUSED static void *relay_main(void *arg)
{
    struct relay *r = arg;
    while (!atomic_load(&r->stop)) {
        struct pollfd fds[1 + 2 * RELAY_LINKS_MAX] = {{.fd = r->listening, .events = POLLIN}};
        size_t budget = atomic_load(&r->bytes_per_tick);
        size_t count = r->count;
        for (size_t i = 0; i < count; i++) {
            fds[1 + 2 * i] = (struct pollfd){.fd = r->links[i].client, .events = POLLIN};
            fds[2 + 2 * i] = (struct pollfd){.fd = r->links[i].server, .events = POLLIN};
        }
        poll(fds, (nfds_t)(1 + 2 * count), 20);
        size_t each = budget == 0 ? SIZE_MAX : budget / (count > 0 ? count : 1) + 1;
        for (size_t i = count; i-- > 0;) {
            struct relay_link *l = &r->links[i];
            bool open = true;
            if (fds[1 + 2 * i].revents != 0)
                open = relay_move(l->client, l->server, each, &l->up);
            if (open && fds[2 + 2 * i].revents != 0)
                open = relay_move(l->server, l->client, each, &l->down);
            bool cut = open && relay_is_cut(r, l);
            if (!open || cut)
                relay_drop(r, i, cut);
        }
        if (fds[0].revents != 0)
            relay_accept(r);
        if (budget > 0)
            sleep_ms(10);
    }
    return NULL;
}

UNUSED static struct relay *relay_open(uint16_t target, bool proxy)
{
    struct relay *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->target = target;
    r->proxy = proxy;
    r->listening = listen_any(&r->port);
    assert_int_equal(pthread_create(&r->thread, NULL, relay_main, r), 0);
    return r;
}

UNUSED static void relay_close(struct relay *r)
{
    atomic_store(&r->stop, true);
    pthread_join(r->thread, NULL);
    while (r->count > 0)
        relay_drop(r, 0, false);
    close(r->listening);
    free(r);
}

/* --- a server that says what it was told --- */

struct liar {
    pthread_t thread;
    int listening;
    uint16_t port;
    atomic_bool stop;
    const char *first; /* its answer to each request... */
    const char *again; /* ...and this behind it, without end; NULL: it closes */
    bool silent;       /* no answer, no close */
    atomic_uint requests;
};

/* Reads one request's headers; false if the client has gone. */
UNUSED static bool read_headers(int fd, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    while (n + 1 < size && strstr(out, "\r\n\r\n") == NULL) {
        ssize_t got = recv(fd, out + n, 1, 0);
        if (got <= 0)
            return false;
        out[++n] = '\0';
    }
    return true;
}

UNUSED static void liar_serve(struct liar *l, int fd)
{
    char request[8192];
    if (!read_headers(fd, request, sizeof request))
        return;
    atomic_fetch_add(&l->requests, 1);
    while (l->silent && !atomic_load(&l->stop))
        sleep_ms(5);
    bool more = !l->silent && send_all_of(fd, l->first, strlen(l->first));
    while (more && l->again != NULL && !atomic_load(&l->stop))
        more = send_all_of(fd, l->again, strlen(l->again));
}

UNUSED static void *liar_main(void *arg)
{
    struct liar *l = arg;
    while (!atomic_load(&l->stop)) {
        struct pollfd p = {.fd = l->listening, .events = POLLIN};
        if (poll(&p, 1, 10) <= 0)
            continue;
        int fd = accept4(l->listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        liar_serve(l, fd);
        close(fd);
    }
    return NULL;
}

UNUSED static void liar_open(struct liar *l)
{
    l->listening = listen_any(&l->port);
    assert_int_equal(pthread_create(&l->thread, NULL, liar_main, l), 0);
}

UNUSED static void liar_close(struct liar *l)
{
    atomic_store(&l->stop, true);
    pthread_join(l->thread, NULL);
    close(l->listening);
}

#endif
