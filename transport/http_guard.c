/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS       250
#define DISCARD_BYTES (64u << 10)

struct http_guarded {
    int fd;
    bool owes;
    uint64_t since_ms; /* it owes */
    struct http_guarded *previous, *next;
};

struct lingerer {
    int fd;
    uint64_t until_ms;
};

struct http_guard {
    pthread_t thread;
    pthread_mutex_t mutex;
    int wake;
    uint64_t request_ms;
    bool closing;
    struct http_guarded *first;
    size_t lingerer_count;
    struct lingerer lingerers[HTTP_GUARD_LINGER_MAX];
    char discarded[DISCARD_BYTES];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wake(struct http_guard *g)
{
    uint64_t one = 1;
    ssize_t written = write(g->wake, &one, sizeof one);
    (void)written; /* full: it is awake */
}

/* --- the thread; called with the mutex held --- */

/* A shut down socket reads as ended: the server's thread sees that and closes it. */
static void shut_overdue(struct http_guard *g, uint64_t now)
{
    for (struct http_guarded *c = g->first; c != NULL; c = c->next)
        if (c->owes && now - c->since_ms >= g->request_ms) {
            shutdown(c->fd, SHUT_RDWR);
            c->owes = false;
        }
}

static void drain(struct http_guard *g, uint64_t now)
{
    for (size_t i = 0; i < g->lingerer_count;) {
        struct lingerer *l = &g->lingerers[i];
        ssize_t n = recv(l->fd, g->discarded, sizeof g->discarded, MSG_DONTWAIT);
        bool open = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
        if (open && now < l->until_ms) {
            i++;
            continue;
        }
        close(l->fd);
        *l = g->lingerers[--g->lingerer_count];
    }
}

static size_t collect(struct http_guard *g, struct pollfd fds[1 + HTTP_GUARD_LINGER_MAX])
{
    fds[0] = (struct pollfd){.fd = g->wake, .events = POLLIN};
    for (size_t i = 0; i < g->lingerer_count; i++)
        fds[1 + i] = (struct pollfd){.fd = g->lingerers[i].fd, .events = POLLIN};
    return 1 + g->lingerer_count;
}

static void *guard_main(void *arg)
{
    struct http_guard *g = arg;
    struct pollfd fds[1 + HTTP_GUARD_LINGER_MAX];
    pthread_mutex_lock(&g->mutex);
    while (!g->closing) {
        size_t count = collect(g, fds);
        int timeout_ms = g->first != NULL || g->lingerer_count > 0 ? TICK_MS : -1;
        pthread_mutex_unlock(&g->mutex);
        poll(fds, count, timeout_ms);
        uint64_t ignored;
        ssize_t got = read(g->wake, &ignored, sizeof ignored);
        (void)got;
        pthread_mutex_lock(&g->mutex);
        uint64_t now = now_ms();
        shut_overdue(g, now);
        drain(g, now);
    }
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

/* --- what the server calls --- */

int http_guard_new(unsigned request_seconds, struct http_guard **out, struct err *err)
{
    struct http_guard *g = calloc(1, sizeof *g);
    if (g == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    g->request_ms = (uint64_t)request_seconds * 1000;
    g->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&g->mutex, NULL);
    if (g->wake < 0 || pthread_create(&g->thread, NULL, guard_main, g) != 0) {
        int rc = err_set(err, ERR_IO, "cannot start a thread for HTTP");
        if (g->wake >= 0)
            close(g->wake);
        pthread_mutex_destroy(&g->mutex);
        free(g);
        return rc;
    }
    *out = g;
    return 0;
}

void http_guard_free(struct http_guard *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->mutex);
    g->closing = true;
    pthread_mutex_unlock(&g->mutex);
    wake(g);
    pthread_join(g->thread, NULL);
    for (size_t i = 0; i < g->lingerer_count; i++)
        close(g->lingerers[i].fd);
    close(g->wake);
    pthread_mutex_destroy(&g->mutex);
    free(g);
}

struct http_guarded *http_guard_open(struct http_guard *g, int fd)
{
    struct http_guarded *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct http_guarded){.fd = fd, .owes = true, .since_ms = now_ms()};
    pthread_mutex_lock(&g->mutex);
    bool asleep = g->first == NULL;
    c->next = g->first;
    if (g->first != NULL)
        g->first->previous = c;
    g->first = c;
    pthread_mutex_unlock(&g->mutex);
    if (asleep)
        wake(g);
    return c;
}

void http_guard_owes(struct http_guard *g, struct http_guarded *c, bool owes)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&g->mutex);
    c->owes = owes;
    c->since_ms = now_ms();
    pthread_mutex_unlock(&g->mutex);
}

/* A second descriptor keeps the connection when the caller closes its own: the client gets our end
 * of the stream behind the answer, and no reset. */
static void linger(struct http_guard *g, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    if (g->lingerer_count == HTTP_GUARD_LINGER_MAX) {
        close(copy);
        return;
    }
    shutdown(copy, SHUT_WR);
    g->lingerers[g->lingerer_count++] =
        (struct lingerer){.fd = copy, .until_ms = now_ms() + HTTP_GUARD_LINGER_MS};
}

void http_guard_close(struct http_guard *g, struct http_guarded *c, bool lingers)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&g->mutex);
    if (lingers)
        linger(g, c->fd);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        g->first = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    pthread_mutex_unlock(&g->mutex);
    if (lingers)
        wake(g);
    free(c);
}
