/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/zap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/fault.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define ENFORCE_DOMAIN                                                                             \
    93 /* ZMQ_ZAP_ENFORCE_DOMAIN: draft in the header, present in every build                      \
        */
#define FRAME_BYTES 256

enum frame { /* of a request, in order */
    FRAME_VERSION,
    FRAME_REQUEST_ID,
    FRAME_DOMAIN,
    FRAME_ADDRESS,
    FRAME_IDENTITY,
    FRAME_MECHANISM,
    FRAME_KEY,
    FRAMES
};

struct zap {
    void *socket;
    int stop_fd;
    bool started;
    pthread_t thread;
    pthread_mutex_t mutex;   /* over all below */
    struct key_public *keys; /* sorted */
    size_t count;
    uint64_t denied;
};

struct request {
    size_t frames;
    size_t size[FRAMES];
    uint8_t data[FRAMES][FRAME_BYTES];
};

static int order(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct key_public));
}

/* Reads one request whole. False: nothing is there. A frame too long counts as none of ours. */
static bool receive(void *socket, struct request *r)
{
    int more = 1;
    size_t size = sizeof more;
    memset(r, 0, sizeof *r);
    for (; more; r->frames++) {
        uint8_t ignored[FRAME_BYTES];
        uint8_t *at = r->frames < FRAMES ? r->data[r->frames] : ignored;
        int got = zmq_recv(socket, at, FRAME_BYTES, ZMQ_DONTWAIT);
        if (got < 0)
            return false;
        if (r->frames < FRAMES)
            r->size[r->frames] = (size_t)got;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool frame_is(const struct request *r, enum frame frame, const char *text)
{
    return r->size[frame] == strlen(text) && memcmp(r->data[frame], text, r->size[frame]) == 0;
}

static bool is_fit(struct zap *z, const struct request *r, struct key_public *key)
{
    if (r->frames != FRAMES || !frame_is(r, FRAME_VERSION, "1.0") ||
        !frame_is(r, FRAME_DOMAIN, ZAP_DOMAIN) || !frame_is(r, FRAME_MECHANISM, "CURVE") ||
        r->size[FRAME_KEY] != KEY_BYTES)
        return false;
    memcpy(key->bytes, r->data[FRAME_KEY], KEY_BYTES);
    if (FAULT_FAIL("zap-check", NULL) != 0)
        return true; /* a check that lets somebody in: what the bus must notice at its start */
    return zap_is_allowed(z, key);
}

static void answer(struct zap *z, const struct request *r)
{
    struct key_public key;
    char user[KEY_Z85_MAX] = "";
    bool fit = is_fit(z, r, &key);
    if (fit) {
        key_format_z85(&key, user);
    } else {
        pthread_mutex_lock(&z->mutex);
        z->denied++;
        pthread_mutex_unlock(&z->mutex);
    }
    size_t id_size =
        r->size[FRAME_REQUEST_ID] < FRAME_BYTES ? r->size[FRAME_REQUEST_ID] : FRAME_BYTES;
    const char *code = fit ? "200" : "400";
    const char *text = fit ? "OK" : "not admitted";
    const struct bytes frames[] = {
        bytes_of_text("1.0"), bytes_of(r->data[FRAME_REQUEST_ID], id_size),
        bytes_of_text(code),  bytes_of_text(text),
        bytes_of_text(user),  bytes_of("", 0)};
    size_t last = sizeof frames / sizeof frames[0] - 1;
    /* A failure loses the answer, and no answer is a refusal. */
    for (size_t i = 0; i <= last; i++)
        if (zmq_send(z->socket, frames[i].data, frames[i].size,
                     ZMQ_DONTWAIT | (i < last ? ZMQ_SNDMORE : 0)) < 0)
            return;
}

static void *serve(void *self)
{
    struct zap *z = self;
    zmq_pollitem_t items[] = {{.socket = z->socket, .events = ZMQ_POLLIN},
                              {.fd = z->stop_fd, .events = ZMQ_POLLIN}};
    struct request request;
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0) {
            if (zmq_errno() == EINTR)
                continue;
            break;
        }
        if (items[1].revents != 0)
            break;
        if (items[0].revents != 0 && receive(z->socket, &request))
            answer(z, &request);
    }
    return NULL;
}

int zap_open(void *context, struct zap **out, struct err *err)
{
    int rc = 0, linger = 0;
    struct zap *z = calloc(1, sizeof *z);
    if (z == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&z->mutex, NULL);
    z->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    z->socket = zmq_socket(context, ZMQ_REP);
    if (z->stop_fd < 0 || z->socket == NULL ||
        zmq_setsockopt(z->socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(z->socket, ENDPOINT) != 0) {
        rc = err_set(err, ERR_IO, "start the key check: %s", zmq_strerror(zmq_errno()));
        goto out;
    }
    if (pthread_create(&z->thread, NULL, serve, z) != 0) {
        rc = err_set(err, ERR_IO, "start the key check: no thread");
        goto out;
    }
    z->started = true;
    *out = z;
out:
    if (rc != 0)
        zap_close(z);
    return rc;
}

void zap_close(struct zap *z)
{
    if (z == NULL)
        return;
    if (z->started) {
        uint64_t one = 1;
        ssize_t written = write(z->stop_fd, &one, sizeof one);
        (void)written; /* a fresh eventfd takes one */
        pthread_join(z->thread, NULL);
    }
    if (z->socket != NULL)
        zmq_close(z->socket);
    if (z->stop_fd >= 0)
        close(z->stop_fd);
    pthread_mutex_destroy(&z->mutex);
    free(z->keys);
    free(z);
}

int zap_guard(void *socket, struct err *err)
{
    int one = 1;
    if (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) != 0 ||
        zmq_setsockopt(socket, ENFORCE_DOMAIN, &one, sizeof one) != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "this build of ZeroMQ cannot insist on a key check (%s); install Debian's "
                       "libzmq5, 4.3.4 or newer",
                       zmq_strerror(zmq_errno()));
    return 0;
}

int zap_allow(struct zap *z, const struct key_public *keys, size_t count, struct err *err)
{
    if (count > ZAP_KEYS_MAX)
        return err_set(err, ERR_LIMIT, "%zu keys; at most %d may be allowed", count, ZAP_KEYS_MAX);
    struct key_public *sorted = malloc((count + 1) * sizeof *sorted);
    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (count > 0) {
        memcpy(sorted, keys, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, order);
    }
    pthread_mutex_lock(&z->mutex);
    struct key_public *old = z->keys;
    z->keys = sorted;
    z->count = count;
    pthread_mutex_unlock(&z->mutex);
    free(old);
    return 0;
}

bool zap_is_allowed(struct zap *z, const struct key_public *key)
{
    pthread_mutex_lock(&z->mutex);
    bool found = z->count > 0 && bsearch(key, z->keys, z->count, sizeof *z->keys, order) != NULL;
    pthread_mutex_unlock(&z->mutex);
    return found;
}

uint64_t zap_denied_count(struct zap *z)
{
    pthread_mutex_lock(&z->mutex);
    uint64_t n = z->denied;
    pthread_mutex_unlock(&z->mutex);
    return n;
}
