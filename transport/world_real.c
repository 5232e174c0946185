/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/world_real.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "transport/upload.h"

#define CONNECT_SECONDS 10

struct world_real {
    struct world table;
    struct bus_server *server; /* one of the two */
    struct bus_client *client;
    struct http_client *http; /* a worker's, as all below; used by one job at a time */
    struct fetch fetch;
    struct jobs *fetch_jobs; /* that hash for it: their done list is not the loop's */
    struct upload upload;
    char pin[64];
    pthread_mutex_t mutex; /* the three below */
    char token[HTTP_TOKEN_MAX];
    atomic_int cancel; /* read without the mutex while a transfer runs */
    bool closing;
    struct progress_count count; /* of the transfer under way */
};

static int stop_fd = -1; /* an eventfd: written by the signal handler, read by receive */

static void on_signal(int number)
{
    static volatile sig_atomic_t again;
    uint64_t one = 1;
    if (again++ > 0)
        _exit(128 + number);
    ssize_t written = write(stop_fd, &one, sizeof one);
    (void)written;
}

static int catch_signals(struct err *err)
{
    if (stop_fd < 0)
        stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        return err_errno(err, "eventfd");
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGINT, &stop, NULL) != 0 || sigaction(SIGTERM, &stop, NULL) != 0 ||
        sigaction(SIGPIPE, &ignore, NULL) != 0)
        return err_errno(err, "sigaction");
    return 0;
}

static uint64_t now_ms(void *self)
{
    (void)self;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t wall_s(void *self)
{
    (void)self;
    return (uint64_t)time(NULL);
}

static void fill_random(void *self, void *out, size_t size)
{
    (void)self;
    random_bytes(out, size);
}

static void wait_real(void *self, uint64_t timeout_ms)
{
    struct world_real *w = self;
    int fds[2] = {jobs_fd(w->table.jobs), stop_fd};
    if (w->server != NULL)
        bus_server_wait(w->server, fds, 2, timeout_ms);
    else
        bus_client_wait(w->client, fds, 2, timeout_ms);
}

static enum world_event receive_server(struct world_real *w, struct world_message *out)
{
    struct bus_frame frame = {.body = out->body};
    bool got = bus_server_receive(w->server, &frame);
    out->body = frame.body;
    if (!got)
        return WORLD_NOTHING;
    out->peer = frame.peer;
    out->route.size = frame.route.size;
    memcpy(out->route.bytes, frame.route.bytes, frame.route.size);
    return WORLD_MESSAGE;
}

static enum world_event receive_real(void *self, struct world_message *out)
{
    struct world_real *w = self;
    uint64_t count;
    if (read(stop_fd, &count, sizeof count) == (ssize_t)sizeof count)
        return WORLD_STOP;
    if (w->server != NULL)
        return receive_server(w, out);
    switch (bus_client_receive(w->client, &out->body)) {
    case BUS_NOTHING:
        return WORLD_NOTHING;
    case BUS_MESSAGE:
        return WORLD_MESSAGE;
    case BUS_HINT:
        return WORLD_HINT;
    case BUS_CONNECTED:
        return WORLD_CONNECTED;
    case BUS_LOST:
        return WORLD_LOST;
    case BUS_REFUSED:
        return WORLD_REFUSED;
    }
    return WORLD_NOTHING;
}

static void send_real(void *self, const struct world_route *to, struct bytes body)
{
    struct world_real *w = self;
    if (w->server == NULL) {
        bus_client_send(w->client, body);
        return;
    }
    struct bus_route route = {.size = to->size};
    memcpy(route.bytes, to->bytes, to->size);
    bus_server_send(w->server, &route, body);
}

static void publish_real(void *self, struct bytes body)
{
    struct world_real *w = self;
    if (w->server != NULL)
        bus_server_publish(w->server, body);
}

static int allow_real(void *self, const struct key_public *keys, size_t count, struct err *err)
{
    struct world_real *w = self;
    return w->server == NULL ? 0 : bus_server_allow(w->server, keys, count, err);
}

static void start_real(void *self, struct job *job)
{
    struct world_real *w = self;
    jobs_start(w->table.jobs, job);
}

static struct job *take_done_real(void *self)
{
    struct world_real *w = self;
    return jobs_take_done(w->table.jobs);
}

static void set_token_real(void *self, const char *token)
{
    struct world_real *w = self;
    pthread_mutex_lock(&w->mutex);
    snprintf(w->token, sizeof w->token, "%s", token);
    pthread_mutex_unlock(&w->mutex);
}

/* Each transfer begins with the newest token and no cancellation left over, but for the last one.
 */
static void begin_transfer(struct world_real *w)
{
    pthread_mutex_lock(&w->mutex);
    atomic_store(&w->cancel, w->closing);
    http_client_set_token(w->http, w->token);
    pthread_mutex_unlock(&w->mutex);
}

static void note_progress(void *self, uint64_t have, uint64_t all)
{
    progress_count_set(self, have, all);
}

/* A source that sent wrong bytes once may be the only one there is: each call asks it again. */
static void begin_fetch(struct world_real *w)
{
    begin_transfer(w);
    for (size_t i = 0; i < w->fetch.source_count; i++)
        w->fetch.health[i].why[0] = '\0';
}

static int fetch_block_real(void *self, struct store *store, const struct cid *cid, struct buf *out,
                            struct err *err)
{
    struct world_real *w = self;
    begin_fetch(w);
    return fetch_block(&w->fetch, store, cid, out, err);
}

static int fetch_model_real(void *self, struct store *store, const struct cid *root,
                            uint64_t bytes_max, struct err *err)
{
    struct world_real *w = self;
    begin_fetch(w);
    int rc = fetch_model(&w->fetch, store, root, bytes_max, note_progress, &w->count, err);
    progress_count_set(&w->count, 0, 0);
    return rc;
}

static int upload_real(void *self, uint64_t round, struct pack *pack, const struct cid *cids,
                       size_t count, struct err *err)
{
    struct world_real *w = self;
    begin_transfer(w);
    w->upload.round = round;
    int rc = upload_blocks(&w->upload, pack, cids, count, err);
    progress_count_set(&w->count, 0, 0);
    return rc;
}

static void moved_real(void *self, uint64_t *sent, uint64_t *received)
{
    struct world_real *w = self;
    *sent = *received = 0;
    if (w->http != NULL)
        http_client_moved(w->http, sent, received);
}

static void progress_real(void *self, uint64_t *done, uint64_t *total)
{
    struct world_real *w = self;
    *done = w->count.done;
    *total = w->count.total;
}

static void cancel_real(void *self)
{
    struct world_real *w = self;
    atomic_store(&w->cancel, 1);
}

static int open_common(struct world_real **out, struct err *err)
{
    struct world_real *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&w->mutex, NULL);
    w->table = (struct world){
        .self = w,
        .files = files_posix(),
        .now_ms = now_ms,
        .wall_s = wall_s,
        .random = fill_random,
        .wait = wait_real,
        .receive = receive_real,
        .send = send_real,
        .publish = publish_real,
        .allow = allow_real,
        .start = start_real,
        .take_done = take_done_real,
        .set_token = set_token_real,
        .fetch_block = fetch_block_real,
        .fetch_model = fetch_model_real,
        .upload = upload_real,
        .moved = moved_real,
        .progress = progress_real,
        .cancel_transfers = cancel_real,
    };
    int rc = catch_signals(err);
    if (rc == 0)
        rc = jobs_new(0, &w->table.jobs, err);
    if (rc != 0) {
        world_real_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

int world_real_coordinator(const struct bus_server_config *c, struct world_real **out,
                           struct err *err)
{
    struct world_real *w;
    int rc = open_common(&w, err);
    if (rc != 0)
        return rc;
    rc = bus_server_open(c, &w->server, err);
    if (rc != 0) {
        world_real_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

static int open_http(struct world_real *w, const struct world_real_worker *c, struct err *err)
{
    snprintf(w->pin, sizeof w->pin, "%s", c->pin);
    struct http_client_config http = {.pin = w->pin,
                                      .connect_seconds = CONNECT_SECONDS,
                                      .stall_seconds = c->stall_seconds,
                                      .cancel = &w->cancel};
    int rc = http_client_new(&http, &w->http, err);
    if (rc == 0)
        rc = jobs_new(0, &w->fetch_jobs, err);
    w->fetch = (struct fetch){
        .http = w->http, .jobs = w->fetch_jobs, .give_up_seconds = c->give_up_seconds};
    w->upload = (struct upload){
        .http = w->http, .give_up_seconds = c->give_up_seconds, .progress = &w->count};
    for (size_t i = 0; i < c->url_count && i < FETCH_SOURCES_MAX && i < UPLOAD_URLS_MAX; i++) {
        snprintf(w->fetch.sources[w->fetch.source_count++], sizeof w->fetch.sources[0], "%s",
                 c->urls[i]);
        snprintf(w->upload.urls[w->upload.url_count++], sizeof w->upload.urls[0], "%s", c->urls[i]);
    }
    return rc;
}

int world_real_worker(const struct world_real_worker *c, struct world_real **out, struct err *err)
{
    struct world_real *w;
    int rc = open_common(&w, err);
    if (rc != 0)
        return rc;
    rc = open_http(w, c, err);
    if (rc == 0)
        rc = bus_client_open(&c->bus, &w->client, err);
    if (rc != 0) {
        world_real_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

const struct world *world_real_table(const struct world_real *w)
{
    return &w->table;
}

void world_real_close(struct world_real *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->mutex);
    w->closing = true;
    atomic_store(&w->cancel, 1);
    pthread_mutex_unlock(&w->mutex);
    if (w->table.jobs != NULL)
        jobs_free(w->table.jobs);
    jobs_free(w->fetch_jobs);
    bus_server_close(w->server);
    bus_client_close(w->client);
    http_client_free(w->http);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
