/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/simulate_world.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "cli/simulate_door.h"

#define REST_MS_MAX 60000

/* Something that waits to be received. */
struct letter {
    struct letter *next;
    enum world_event event;
    uint32_t from; /* the site; of a coordinator's letters */
    struct key_public peer;
    size_t size;
    uint8_t body[];
};

struct participant {
    struct world table;
    struct simulate_net *net;
    uint32_t site;
    struct key_public curve;
    bool joined;    /* it has a world, and has not left */
    bool connected; /* a site: its key is allowed */
    struct letter *first, *last;
    struct job *done, *done_last;
    bool idle;       /* its last turn brought nothing new ... */
    uint64_t due_ms; /* ... and this is when it wants the next */
    /* A site's transfers; the job that is in one has the door for itself. */
    struct simulate_door door;
    char token[HTTP_TOKEN_MAX]; /* by the net's mutex */
    atomic_int cancel;
    _Atomic uint64_t sent, received;
};

struct simulate_net {
    struct jobs *jobs;
    pthread_mutex_t mutex;
    struct http_handler gateway;
    struct key_public *allowed;
    size_t allowed_count;
    size_t turn;                /* whose it is; NOBODY */
    struct sigaction before[3]; /* what the signals did */
    size_t count;
    struct participant participants[]; /* 0: the coordinator */
};

#define NOBODY SIZE_MAX

static const int caught[3] = {SIGINT, SIGTERM, SIGPIPE};
static int stop_fd = -1; /* an eventfd: written by the signal handler */

/* --- time, chance, signals --- */

static uint64_t now_ms(void *self)
{
    struct timespec t;
    (void)self;
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

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    uint64_t one = 1;
    if (signals++ > 0)
        _exit(128 + number);
    ssize_t written = write(stop_fd, &one, sizeof one);
    (void)written;
}

static int catch_signals(struct simulate_net *net, struct err *err)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    signals = 0;
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        return err_errno(err, "eventfd");
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaction(caught[i], caught[i] == SIGPIPE ? &ignore : &stop, &net->before[i]);
    return 0;
}

static void release_signals(struct simulate_net *net)
{
    if (stop_fd < 0)
        return;
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaction(caught[i], &net->before[i], NULL);
    close(stop_fd);
    stop_fd = -1;
}

/* --- letters --- */

/* Without memory it is lost, as messages may be. */
static void post(struct participant *to, enum world_event event, const struct participant *from,
                 struct bytes body)
{
    struct letter *l = malloc(sizeof *l + body.size);
    if (l == NULL)
        return;
    *l = (struct letter){.event = event, .size = body.size};
    if (from != NULL) {
        l->from = from->site;
        l->peer = from->curve;
    }
    if (body.size > 0)
        memcpy(l->body, body.data, body.size);
    if (to->last != NULL)
        to->last->next = l;
    else
        to->first = l;
    to->last = l;
}

static enum world_event receive(void *self, struct world_message *out)
{
    struct participant *p = self;
    struct letter *l = p->first;
    if (l == NULL)
        return WORLD_NOTHING;
    p->first = l->next;
    if (p->first == NULL)
        p->last = NULL;
    enum world_event event = l->event;
    out->peer = l->peer;
    out->route.size = sizeof l->from;
    memcpy(out->route.bytes, &l->from, sizeof l->from);
    buf_clear(&out->body);
    buf_append(&out->body, l->body, l->size);
    free(l);
    return event;
}

static void send_up(void *self, const struct world_route *to, struct bytes body)
{
    struct participant *p = self;
    (void)to;
    if (p->connected)
        post(&p->net->participants[0], WORLD_MESSAGE, p, body);
}

static void send_down(void *self, const struct world_route *to, struct bytes body)
{
    struct participant *p = self;
    uint32_t site;
    memcpy(&site, to->bytes, sizeof site);
    struct participant *receiver = &p->net->participants[site + 1];
    if (receiver->connected)
        post(receiver, WORLD_MESSAGE, NULL, body);
}

static void publish(void *self, struct bytes body)
{
    struct participant *p = self;
    for (size_t i = 1; i < p->net->count; i++)
        if (p->net->participants[i].connected)
            post(&p->net->participants[i], WORLD_HINT, NULL, body);
}

static void publish_nothing(void *self, struct bytes body)
{
    (void)self;
    (void)body;
}

/* --- who is connected --- */

static bool is_allowed(const struct simulate_net *net, const struct key_public *key)
{
    for (size_t i = 0; i < net->allowed_count; i++)
        if (key_equal(&net->allowed[i], key))
            return true;
    return false;
}

static void look_at(struct participant *site)
{
    bool was = site->connected;
    site->connected = site->joined && is_allowed(site->net, &site->curve);
    if (site->connected != was)
        post(site, was ? WORLD_LOST : WORLD_CONNECTED, NULL, bytes_of(NULL, 0));
}

static int allow(void *self, const struct key_public *keys, size_t count, struct err *err)
{
    struct simulate_net *net = ((struct participant *)self)->net;
    struct key_public *copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(copy, keys, count * sizeof *copy);
    free(net->allowed);
    net->allowed = copy;
    net->allowed_count = count;
    for (size_t i = 1; i < net->count; i++)
        look_at(&net->participants[i]);
    return 0;
}

static int allow_nobody(void *self, const struct key_public *keys, size_t count, struct err *err)
{
    (void)self;
    (void)keys;
    (void)count;
    (void)err;
    return 0;
}

/* --- jobs --- */

/* A job on its way through the pool, with the name of its sender. */
struct parcel {
    struct job job;
    struct job *inner;
    struct participant *owner;
};

static void run_parcel(struct job *job)
{
    struct job *inner = ((struct parcel *)job)->inner;
    inner->run(inner);
}

static void hand_back(struct participant *p, struct job *job)
{
    job->next = NULL;
    if (p->done_last != NULL)
        p->done_last->next = job;
    else
        p->done = job;
    p->done_last = job;
}

static void start(void *self, struct job *job)
{
    struct participant *p = self;
    struct parcel *parcel = malloc(sizeof *parcel);
    if (parcel == NULL) { /* slow, but it is done */
        job->run(job);
        hand_back(p, job);
        return;
    }
    *parcel = (struct parcel){.job = {.run = run_parcel}, .inner = job, .owner = p};
    jobs_start(p->net->jobs, &parcel->job);
}

/* Gives what the pool has done to those whose it is. */
static void collect(struct simulate_net *net)
{
    struct job *job;
    while ((job = jobs_take_done(net->jobs)) != NULL) {
        struct parcel *parcel = (struct parcel *)job;
        hand_back(parcel->owner, parcel->inner);
        free(parcel);
    }
}

static struct job *take_done(void *self)
{
    struct participant *p = self;
    struct job *job = p->done;
    if (job == NULL)
        return NULL;
    p->done = job->next;
    if (p->done == NULL)
        p->done_last = NULL;
    return job;
}

/* --- waiting --- */

static bool has_news(const struct participant *p)
{
    return p->first != NULL || p->done != NULL;
}

static void sleep_till(struct simulate_net *net, uint64_t timeout_ms)
{
    struct pollfd fds[] = {{.fd = jobs_fd(net->jobs), .events = POLLIN},
                           {.fd = stop_fd, .events = POLLIN}};
    uint64_t count;
    (void)poll(fds, 2, (int)(timeout_ms < REST_MS_MAX ? timeout_ms : REST_MS_MAX));
    collect(net);
    if (read(stop_fd, &count, sizeof count) != (ssize_t)sizeof count)
        return;
    for (size_t i = 0; i < net->count; i++)
        post(&net->participants[i], WORLD_STOP, NULL, bytes_of(NULL, 0));
}

static void wait_or_note(void *self, uint64_t timeout_ms)
{
    struct participant *p = self;
    struct simulate_net *net = p->net;
    if (net->turn == NOBODY) {
        if (p->done == NULL) /* who is being closed waits for that alone */
            sleep_till(net, timeout_ms);
        return;
    }
    p->idle = timeout_ms > 0 && !has_news(p);
    p->due_ms = now_ms(NULL) + (timeout_ms < REST_MS_MAX ? timeout_ms : REST_MS_MAX);
}

static bool is_due(const struct participant *p, uint64_t time_ms)
{
    return p->joined && (!p->idle || has_news(p) || time_ms >= p->due_ms);
}

void simulate_world_rest(struct simulate_net *net)
{
    uint64_t time_ms = now_ms(NULL), until_ms = time_ms + REST_MS_MAX;
    for (size_t i = 0; i < net->count; i++) {
        const struct participant *p = &net->participants[i];
        if (is_due(p, time_ms))
            until_ms = time_ms;
        else if (p->joined && p->due_ms < until_ms)
            until_ms = p->due_ms;
    }
    sleep_till(net, until_ms - time_ms);
}

bool simulate_world_begin(struct simulate_net *net, size_t p)
{
    if (!is_due(&net->participants[p], now_ms(NULL)))
        return false;
    net->turn = p;
    return true;
}

void simulate_world_end(struct simulate_net *net)
{
    net->turn = NOBODY;
}

/* --- transfers: in jobs' threads, one at a time a site --- */

static void set_token(void *self, const char *token)
{
    struct participant *p = self;
    pthread_mutex_lock(&p->net->mutex);
    snprintf(p->token, sizeof p->token, "%s", token);
    pthread_mutex_unlock(&p->net->mutex);
}

/* Each transfer begins with the newest token and no cancellation left over. */
static void begin_transfer(struct participant *p)
{
    pthread_mutex_lock(&p->net->mutex);
    memcpy(p->door.token, p->token, sizeof p->token);
    p->door.gateway = p->net->gateway;
    pthread_mutex_unlock(&p->net->mutex);
    p->door.cancel = &p->cancel;
    atomic_store(&p->cancel, 0);
}

static void end_transfer(struct participant *p)
{
    atomic_store(&p->sent, p->door.sent);
    atomic_store(&p->received, p->door.received);
}

static int fetch_block(void *self, struct store *store, const struct cid *cid, struct buf *out,
                       struct err *err)
{
    struct participant *p = self;
    begin_transfer(p);
    int rc = simulate_door_block(&p->door, store, cid, out, err);
    end_transfer(p);
    return rc;
}

static int fetch_model(void *self, struct store *store, const struct cid *root, uint64_t bytes_max,
                       struct err *err)
{
    struct participant *p = self;
    begin_transfer(p);
    int rc = simulate_door_model(&p->door, store, root, bytes_max, err);
    end_transfer(p);
    return rc;
}

static int upload(void *self, uint64_t round, struct pack *pack, const struct cid *cids,
                  size_t count, struct err *err)
{
    struct participant *p = self;
    begin_transfer(p);
    int rc = simulate_door_upload(&p->door, round, pack, cids, count, err);
    end_transfer(p);
    return rc;
}

static void moved(void *self, uint64_t *sent, uint64_t *received)
{
    struct participant *p = self;
    *sent = atomic_load(&p->sent);
    *received = atomic_load(&p->received);
}

/* Nobody watches one site. */
static void progress(void *self, uint64_t *done, uint64_t *total)
{
    (void)self;
    *done = *total = 0;
}

static void cancel_transfers(void *self)
{
    struct participant *p = self;
    atomic_store(&p->cancel, 1);
}

/* --- making --- */

static void fill_participant(struct simulate_net *net, size_t index)
{
    struct participant *p = &net->participants[index];
    bool leads = index == 0;
    p->net = net;
    p->site = leads ? 0 : (uint32_t)index - 1;
    p->table = (struct world){.self = p,
                              .files = files_posix(),
                              .now_ms = now_ms,
                              .wall_s = wall_s,
                              .random = fill_random,
                              .wait = wait_or_note,
                              .receive = receive,
                              .send = leads ? send_down : send_up,
                              .publish = leads ? publish : publish_nothing,
                              .allow = leads ? allow : allow_nobody,
                              .start = start,
                              .take_done = take_done,
                              .jobs = net->jobs,
                              .set_token = set_token,
                              .fetch_block = fetch_block,
                              .fetch_model = fetch_model,
                              .upload = upload,
                              .moved = moved,
                              .progress = progress,
                              .cancel_transfers = cancel_transfers};
}

/* No more threads than the gateway takes requests, so that it never says it is busy. */
static size_t thread_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > HTTP_BODIES_MAX ? HTTP_BODIES_MAX : (size_t)cores;
}

int simulate_world_new(size_t sites, struct simulate_net **out, struct err *err)
{
    if (sites > SIMULATE_SITES_MAX)
        return err_set(err, ERR_LIMIT, "%zu sites in one process; %d at most", sites,
                       SIMULATE_SITES_MAX);
    struct simulate_net *net = calloc(1, sizeof *net + (sites + 1) * sizeof net->participants[0]);
    if (net == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&net->mutex, NULL);
    net->turn = NOBODY;
    int rc = jobs_new(thread_count(), &net->jobs, err);
    if (rc == 0)
        rc = catch_signals(net, err);
    if (rc != 0) {
        simulate_world_free(net);
        return rc;
    }
    net->count = sites + 1;
    for (size_t i = 0; i < net->count; i++)
        fill_participant(net, i);
    *out = net;
    return 0;
}

void simulate_world_free(struct simulate_net *net)
{
    if (net == NULL)
        return;
    jobs_free(net->jobs);
    release_signals(net);
    for (size_t i = 0; i < net->count; i++)
        while (net->participants[i].first != NULL) {
            struct letter *l = net->participants[i].first;
            net->participants[i].first = l->next;
            free(l);
        }
    free(net->allowed);
    pthread_mutex_destroy(&net->mutex);
    free(net);
}

const struct world *simulate_world_coordinator(struct simulate_net *net)
{
    net->participants[0].joined = true;
    return &net->participants[0].table;
}

const struct world *simulate_world_site(struct simulate_net *net, size_t index,
                                        const struct key_public *curve)
{
    struct participant *p = &net->participants[index + 1];
    p->curve = *curve;
    p->joined = true;
    look_at(p);
    return &p->table;
}

void simulate_world_leave(struct simulate_net *net, size_t p)
{
    net->participants[p].joined = net->participants[p].connected = false;
}

void simulate_world_open(struct simulate_net *net, const struct http_handler *gateway)
{
    pthread_mutex_lock(&net->mutex);
    net->gateway = *gateway;
    pthread_mutex_unlock(&net->mutex);
}
