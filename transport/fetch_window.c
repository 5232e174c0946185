/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_window.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "transport/fetch_health.h"
#include "transport/fetch_verify.h"

#define TOLD_FAILURES 2     /* in a row: then a person should know what is waited for */
#define BUSY_MAX_MS   30000 /* the longest Retry-After that is waited for */
#define IDLE_MS       60000 /* how long to wait for a transfer when nothing else is due */
#define LOOK_MS       20    /* between two looks whether a slow source is to be helped */
#define GUESS_MS      50    /* what a source of unknown speed is reckoned at then */
#define NO_SOURCE     SIZE_MAX
#define ANSWER_MAX    160 /* characters of a source's sentence that are repeated */

enum want_state {
    WANT_FREE,
    WANT_WAITS,  /* for a source that may be asked */
    WANT_RUNS,   /* at one source, or at two */
    WANT_HASHES, /* an answer is being verified */
};

/* A block that is asked for. */
struct want {
    struct fetch_want of;
    enum want_state state;
    uint64_t number;                           /* in the order of asking */
    unsigned running;                          /* requests */
    uint32_t lacking;                          /* bit i: source i says it has no such block */
    uint64_t ready_ms;                         /* when a waiting one may be looked at again */
    uint64_t not_before_ms[FETCH_SOURCES_MAX]; /* source i was busy for this block */
    struct buf piece;    /* its beginning, from an answer that broke off ... */
    size_t piece_source; /* ... of this source; NO_SOURCE: of several */
    bool pure;           /* a block of several sources' pieces was wrong: no more of that */
    size_t most;         /* bytes of it that were here at once: the measure of progress */
};

struct request {
    struct http_transfer t;
    struct want *want; /* NULL: free */
    size_t source;
    size_t begun_by; /* who sent what it goes on from; NO_SOURCE: several */
    uint64_t start_ms;
    bool hashes;
};

/* One call's transfers. */
struct fetch_window {
    struct fetch *f;
    struct want wants[FETCH_IN_FLIGHT_MAX];
    struct request requests[FETCH_IN_FLIGHT_MAX];
    struct request *whole[FETCH_IN_FLIGHT_MAX]; /* bodies that wait to be verified */
    size_t whole_count;
    struct fetch_verify verifies[FETCH_IN_FLIGHT_MAX];
    size_t verifying;
    bool refused[FETCH_SOURCES_MAX]; /* for this call */
    uint64_t asked;
    uint64_t progress_ms; /* when bytes came last */
    struct err cause;     /* the newest failure of a source */
    int (*deliver)(void *self, const struct fetch_want *w, struct bytes block, struct err *err);
    void *self;
};

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- choosing a source --- */

static bool is_out(const struct fetch_window *w, const struct want *s, size_t i)
{
    return w->refused[i] || w->f->health[i].why[0] != '\0' || (s->lacking >> i & 1) != 0;
}

static uint64_t usable_from(const struct fetch_window *w, const struct want *s, size_t i)
{
    return later(w->f->health[i].not_before_ms, s->not_before_ms[i]);
}

static bool is_better(const struct fetch_health *a, const struct fetch_health *b)
{
    double soon = fetch_health_expected_ms(a), late = fetch_health_expected_ms(b);
    if (a->failures != b->failures)
        return a->failures < b->failures;
    return soon != late ? soon < late : a->running < b->running;
}

/* The source that will have brought the block first, by all we know, whether it has room or not. */
static size_t pick_soonest(const struct fetch_window *w, const struct want *s, uint64_t now,
                           bool with_room)
{
    size_t best = NO_SOURCE;
    for (size_t k = 0; k < w->f->source_count; k++) {
        size_t i = (s->number + k) % w->f->source_count; /* equals are spread over the blocks */
        const struct fetch_health *h = &w->f->health[i];
        if (is_out(w, s, i) || usable_from(w, s, i) > now ||
            (with_room && !fetch_health_has_room(h)))
            continue;
        if (best == NO_SOURCE || is_better(h, &w->f->health[best]))
            best = i;
    }
    return best;
}

/* A slow source gets one block at a time while a fast one could do several meanwhile. */
static size_t pick(const struct fetch_window *w, const struct want *s, uint64_t now)
{
    size_t best = pick_soonest(w, s, now, true), any = pick_soonest(w, s, now, false);
    if (best == NO_SOURCE || best == any || w->f->health[best].running == 0)
        return best;
    double wait_ms = fetch_health_expected_ms(&w->f->health[any]);
    return fetch_health_expected_ms(&w->f->health[best]) > 4 * wait_ms + LOOK_MS ? NO_SOURCE : best;
}

/* When a source may be asked that may not be now; 0: as soon as one has room; UINT64_MAX: never. */
static uint64_t ready_from(const struct fetch_window *w, const struct want *s, uint64_t now)
{
    uint64_t ready = UINT64_MAX;
    for (size_t i = 0; i < w->f->source_count; i++) {
        if (is_out(w, s, i))
            continue;
        uint64_t from = usable_from(w, s, i);
        from = from <= now ? 0 : from;
        ready = from < ready ? from : ready;
    }
    return ready;
}

/* No source is left for this block. */
static int fail_without_source(const struct fetch_window *w, const struct want *s, struct err *err)
{
    char text[CID_TEXT_MAX];
    if (s->lacking != 0)
        return err_set(err, ERR_NOTFOUND, "no source has block %s", cid_format(&s->of.cid, text));
    if (w->cause.code != 0)
        return err_set(err, w->cause.code, "%s", w->cause.text);
    for (size_t i = 0; i < w->f->source_count; i++)
        if (w->f->health[i].why[0] != '\0')
            return err_set(err, ERR_MALFORMED, "%s", w->f->health[i].why);
    return err_set(err, ERR_USAGE, "no source to fetch from");
}

/* --- asking --- */

static struct request *free_request(struct fetch_window *w)
{
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++)
        if (w->requests[i].want == NULL)
            return &w->requests[i];
    return NULL;
}

/* Goes on from the piece, if this source may. */
static void take_piece(struct request *r, struct want *s, size_t source)
{
    r->begun_by = source;
    r->t.resume = false;
    if (s->piece.size == 0)
        return;
    if (!s->pure || s->piece_source == source) {
        buf_fini(&r->t.body);
        r->t.body = s->piece;
        s->piece = buf_new(0);
        r->t.resume = true;
        r->begun_by = s->piece_source == source ? source : NO_SOURCE;
    } else {
        buf_fini(&s->piece);
    }
}

static int start(struct fetch_window *w, struct request *r, struct want *s, size_t source,
                 struct err *err)
{
    char text[CID_TEXT_MAX];
    const char *base = w->f->sources[source];
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    snprintf(r->t.url, sizeof r->t.url, "%.*s/ipfs/%s?format=raw", (int)size, base,
             cid_format(&s->of.cid, text));
    r->t.body_max = STORE_BLOCK_BYTES_MAX;
    int rc = http_client_start(w->f->http, &r->t, err);
    if (rc != 0)
        return rc;
    r->want = s;
    r->source = source;
    r->hashes = false;
    r->start_ms = http_client_now_ms();
    s->running++;
    s->state = WANT_RUNS;
    fetch_health_started(&w->f->health[source], r->start_ms);
    return 0;
}

/* The request is nobody's any more; its memory is the next one's. */
static void release(struct request *r)
{
    r->want = NULL;
    r->hashes = false;
}

static void settle(struct want *s)
{
    if (s->state == WANT_RUNS && s->running == 0) {
        s->state = WANT_WAITS;
        s->ready_ms = 0;
    }
}

/* Gives up what is under way. */
static void abandon(struct fetch_window *w, struct request *r, bool overtaken)
{
    struct fetch_health *h = &w->f->health[r->source];
    uint64_t now = http_client_now_ms();
    http_client_abandon(w->f->http, &r->t);
    fetch_health_ended(h, now, r->t.bytes_received);
    if (overtaken)
        fetch_health_overtaken(h, r->t.bytes_received, now - r->start_ms);
    struct want *s = r->want;
    s->running--;
    release(r);
    settle(s);
}

/* --- judging what came --- */

/* It is asked no more in this call. */
static void refuse_source(struct fetch_window *w, size_t source, const struct err *why)
{
    w->refused[source] = true;
    w->cause = *why;
}

/* It is asked no more in this session. */
static void drop_source(struct fetch_window *w, size_t source, const struct err *why)
{
    struct fetch_health *h = &w->f->health[source];
    w->cause = *why;
    if (h->why[0] != '\0')
        return; /* said already */
    snprintf(h->why, sizeof h->why, "%.*s", FETCH_WHY_MAX - 1, why->text);
    if (w->f->notice != NULL)
        w->f->notice(w->f->notice_self, h->why);
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++) {
        struct request *r = &w->requests[i];
        if (r->want != NULL && r->source == source && r->t.raw != NULL)
            abandon(w, r, false);
    }
}

static void blame(struct fetch_window *w, size_t source, const struct want *s, const char *what)
{
    char text[CID_TEXT_MAX];
    struct err why = {0};
    err_set(&why, ERR_MALFORMED, "%s sent %s block %s: it is asked no more", w->f->sources[source],
            what, cid_format(&s->of.cid, text));
    drop_source(w, source, &why);
}

static void back_off(struct fetch_window *w, size_t source, bool brought, const struct err *why)
{
    struct fetch_health *h = &w->f->health[source];
    char sentence[2 * ERR_TEXT_MAX];
    unsigned before = h->failures;
    w->cause = *why;
    fetch_health_broke(h, http_client_now_ms(), brought);
    if (w->f->notice == NULL || before >= TOLD_FAILURES || h->failures < TOLD_FAILURES)
        return; /* once is nothing, and it is said once */
    snprintf(sentence, sizeof sentence, "%s; it is asked again, for %u s without anything coming",
             why->text, w->f->give_up_seconds);
    w->f->notice(w->f->notice_self, sentence);
}

static bool is_block_status(long status)
{
    return status == 200 || status == 206;
}

/* The whole body is not the block. A part of it may be another source's fault: once, it is fetched
 * from one source alone before anybody is blamed. */
static void take_wrong(struct fetch_window *w, struct request *r)
{
    struct want *s = r->want;
    size_t source = r->source;
    bool patched = r->t.resume && r->t.status == 206;
    release(r);
    if (patched && !s->pure)
        s->pure = true;
    else
        blame(w, source, s, "bytes that are not");
}

/* It broke off: what came is where the next answer goes on. */
static void take_break(struct fetch_window *w, struct request *r)
{
    struct want *s = r->want;
    struct err why = r->t.err;
    size_t source = r->source, size = r->t.body.size;
    bool brought = is_block_status(r->t.status) && r->t.bytes_received > 0;
    /* Another part than asked for is no early end: the next request asks for all. */
    bool other_part = r->t.resume && r->t.status == 206 && size == 0;
    bool ended = is_block_status(r->t.status) && r->t.code != ERR_TIMEOUT && !other_part;
    if (is_block_status(r->t.status) && size > s->piece.size) {
        buf_fini(&s->piece);
        s->piece = r->t.body;
        s->piece_source = r->t.resume && r->t.status == 206 ? r->begun_by : source;
        r->t.body = buf_new(0);
    }
    release(r);
    if (ended && fetch_health_ends_early(&w->f->health[source], size))
        blame(w, source, s, "an answer that ends too early, again and again, for");
    else
        back_off(w, source, brought, &why);
}

/* An answer that is not the block: whether, when and whom to ask again. */
static void take_refusal(struct fetch_window *w, struct request *r)
{
    struct err why = {0};
    char text[ANSWER_MAX];
    struct want *s = r->want;
    size_t source = r->source;
    long status = r->t.status;
    http_client_words(&r->t, text, sizeof text);
    release(r);
    err_set(&why, status == 401 || status == 403 ? ERR_DENIED : ERR_NET, "%s answered HTTP %ld: %s",
            w->f->sources[source], status, text);
    if (status == 404 || status == 410 || status == 451) { /* of this block, not of the others */
        s->lacking |= 1u << source;
    } else if (status == 503 || status == 429) {
        uint64_t wait_ms = (uint64_t)r->t.retry_after_seconds * 1000;
        if (wait_ms == 0)
            wait_ms = 1000;
        s->not_before_ms[source] =
            http_client_now_ms() + (wait_ms < BUSY_MAX_MS ? wait_ms : BUSY_MAX_MS);
        fetch_health_busy(&w->f->health[source]);
        w->cause = why;
    } else if (status >= 500 || status == 416) {
        back_off(w, source, false, &why);
    } else {
        refuse_source(w, source, &why);
    }
}

static void note_progress(struct fetch_window *w, struct want *s, const struct http_transfer *t)
{
    if (!is_block_status(t->status) || t->body.size <= s->most)
        return;
    s->most = t->body.size;
    w->progress_ms = http_client_now_ms();
}

static void take_done(struct fetch_window *w, struct request *r)
{
    struct http_transfer *t = &r->t;
    struct want *s = r->want;
    bool block = is_block_status(t->status);
    s->running--;
    fetch_health_ended(&w->f->health[r->source], http_client_now_ms(), t->bytes_received);
    note_progress(w, s, t);
    if (s->state == WANT_HASHES) { /* another answer came a moment before */
        release(r);
        return;
    }
    if (t->code == 0 && block) {
        r->hashes = true;
        s->state = WANT_HASHES;
        w->whole[w->whole_count++] = r;
        return;
    }
    if (t->code == ERR_LIMIT && block) {
        take_wrong(w, r);
    } else if (t->code == ERR_MALFORMED) {
        struct err why = t->err;
        release(r);
        drop_source(w, r->source, &why);
    } else if (t->code == ERR_DENIED) {
        struct err why = t->err;
        release(r);
        refuse_source(w, r->source, &why);
    } else if (t->code != 0 && t->code != ERR_LIMIT && (t->status == 0 || block)) {
        take_break(w, r);
    } else {
        take_refusal(w, r);
    }
    settle(s);
}

/* --- verifying --- */

static void take_good(struct fetch_window *w, struct request *r)
{
    struct want *s = r->want;
    uint64_t now = http_client_now_ms();
    fetch_health_delivered(&w->f->health[r->source], now - r->start_ms);
    w->f->blocks_received++;
    w->progress_ms = now;
    release(r);
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++)
        if (w->requests[i].want == s && w->requests[i].t.raw != NULL)
            abandon(w, &w->requests[i], true);
    buf_fini(&s->piece);
    s->state = WANT_FREE;
}

static int take_verdict(struct fetch_window *w, struct fetch_verify *v, struct err *err)
{
    w->verifying--;
    for (size_t i = 0; i < v->count; i++) {
        struct request *r = v->bodies[i].owner;
        struct want *s = r->want;
        if (v->bodies[i].good) {
            take_good(w, r);
            continue;
        }
        s->state = WANT_RUNS;
        take_wrong(w, r);
        settle(s);
    }
    v->count = 0;
    return v->rc != 0 ? err_set(err, v->rc, "%s", v->err.text) : 0;
}

static int verify(struct fetch_window *w, size_t count, struct err *err)
{
    struct fetch_verify *v = w->verifies;
    while (v->count > 0)
        v++;
    *v = (struct fetch_verify){
        .job.run = fetch_verify_run, .deliver = w->deliver, .self = w->self, .count = count};
    for (size_t i = 0; i < count; i++)
        v->bodies[i] = (struct fetch_verify_body){.owner = w->whole[i],
                                                  .want = &w->whole[i]->want->of,
                                                  .block = buf_bytes(&w->whole[i]->t.body)};
    w->whole_count -= count;
    memmove(w->whole, w->whole + count, w->whole_count * sizeof w->whole[0]);
    w->verifying++;
    if (w->f->jobs != NULL) {
        jobs_start(w->f->jobs, &v->job);
        return 0;
    }
    fetch_verify_run(&v->job);
    return take_verdict(w, v, err);
}

/* Two at a time; one alone only where a thread would idle meanwhile. The caller's own thread does
 * one pair a step, so that a cancellation is seen soon. */
static int verify_whole(struct fetch_window *w, struct err *err)
{
    int rc = 0;
    if (w->f->jobs == NULL)
        return w->whole_count == 0 ? 0 : verify(w, w->whole_count > 1 ? 2 : 1, err);
    while (rc == 0 && w->whole_count >= FETCH_VERIFY_COUNT)
        rc = verify(w, FETCH_VERIFY_COUNT, err);
    bool spare = w->verifying < jobs_thread_count(w->f->jobs);
    return rc == 0 && w->whole_count > 0 && spare ? verify(w, w->whole_count, err) : rc;
}

static int take_verified(struct fetch_window *w, struct err *err)
{
    int rc = 0;
    while (rc == 0 && w->f->jobs != NULL && w->verifying > 0) {
        struct job *done = jobs_take_done(w->f->jobs);
        if (done == NULL)
            break;
        rc = take_verdict(w, (struct fetch_verify *)done, err);
    }
    return rc;
}

/* --- the end of a fetch: what slow sources owe --- */

/* How long this request will still take, as far as one can say; negative: no idea. */
static double left_ms(const struct fetch_window *w, const struct request *r, uint64_t now)
{
    double took_ms = (double)(now - r->start_ms);
    const struct http_transfer *t = &r->t;
    if (t->bytes_received > 0 && t->body_expected > 0)
        return (double)(t->body_expected - t->body.size) * took_ms / (double)t->bytes_received;
    double expected_ms = fetch_health_expected_ms(&w->f->health[r->source]);
    return expected_ms > took_ms ? expected_ms - took_ms : -1;
}

/* The request that source `i` would most shorten by asking too. */
static struct request *find_late(struct fetch_window *w, size_t i, uint64_t now)
{
    struct request *found = NULL;
    double known_ms = fetch_health_expected_ms(&w->f->health[i]), worst = 0;
    double mine_ms = known_ms > 0 ? known_ms : GUESS_MS;
    for (size_t k = 0; k < FETCH_IN_FLIGHT_MAX; k++) {
        struct request *r = &w->requests[k];
        if (r->want == NULL || r->hashes || r->want->state != WANT_RUNS || r->want->running != 1 ||
            r->source == i || is_out(w, r->want, i) || usable_from(w, r->want, i) > now)
            continue;
        double rest = left_ms(w, r, now);
        if (rest < 0)
            rest = (double)(now - r->start_ms); /* as long again as it took already */
        if (rest > 1.5 * mine_ms + LOOK_MS && rest > worst) {
            worst = rest;
            found = r;
        }
    }
    return found;
}

static int help_slow(struct fetch_window *w, struct err *err)
{
    uint64_t now = http_client_now_ms();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->f->source_count; i++) {
        struct fetch_health *h = &w->f->health[i];
        struct request *late = NULL, *r = free_request(w);
        if (r != NULL && h->not_before_ms <= now && fetch_health_has_room(h))
            late = find_late(w, i, now);
        if (late == NULL)
            continue;
        r->t.resume = false;
        r->begun_by = i;
        rc = start(w, r, late->want, i, err);
    }
    return rc;
}

/* --- the window's life --- */

int fetch_window_new(struct fetch *f,
                     int (*deliver)(void *self, const struct fetch_want *want, struct bytes block,
                                    struct err *err),
                     void *self, struct fetch_window **out, struct err *err)
{
    struct fetch_window *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    w->f = f;
    for (size_t i = 0; i < FETCH_SOURCES_MAX; i++) {
        f->health[i].not_before_ms = 0; /* the caller has waited already; its past still counts */
        f->health[i].running = 0;
    }
    w->progress_ms = http_client_now_ms();
    w->deliver = deliver;
    w->self = self;
    http_client_watch(f->http, f->jobs != NULL ? jobs_fd(f->jobs) : -1);
    *out = w;
    return 0;
}

/* Threads still read the bodies, and deliver what is good. */
static void wait_for_threads(struct fetch_window *w)
{
    while (w->verifying > 0 && w->f->jobs != NULL) {
        struct pollfd ready = {.fd = jobs_fd(w->f->jobs), .events = POLLIN};
        poll(&ready, 1, LOOK_MS);
        struct fetch_verify *v = (struct fetch_verify *)jobs_take_done(w->f->jobs);
        if (v == NULL)
            continue;
        w->verifying--;
        for (size_t i = 0; i < v->count; i++)
            w->f->blocks_received += v->bodies[i].good;
    }
}

void fetch_window_free(struct fetch_window *w)
{
    if (w == NULL)
        return;
    http_client_stop(w->f->http);
    http_client_watch(w->f->http, -1);
    wait_for_threads(w);
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++) {
        buf_fini(&w->requests[i].t.body);
        buf_fini(&w->wants[i].piece);
    }
    free(w);
}

/* The first that was asked for as `number` or later, and may be looked at. */
static struct want *next_waiting(struct fetch_window *w, uint64_t now, uint64_t number)
{
    struct want *found = NULL;
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++) {
        struct want *s = &w->wants[i];
        if (s->state == WANT_WAITS && s->ready_ms <= now && s->number >= number &&
            (found == NULL || s->number < found->number))
            found = s;
    }
    return found;
}

/* Are all sources that are left at work on as much as they may? */
static bool is_full(const struct fetch_window *w)
{
    bool any = false;
    for (size_t i = 0; i < w->f->source_count; i++) {
        if (w->refused[i] || w->f->health[i].why[0] != '\0')
            continue;
        if (fetch_health_has_room(&w->f->health[i]))
            return false;
        any = true;
    }
    return any;
}

/* Starts what may be started, in the order of asking. */
static int start_waiting(struct fetch_window *w, uint64_t now, struct err *err)
{
    int rc = 0;
    uint64_t number = 0;
    while (rc == 0 && !is_full(w)) {
        struct want *s = next_waiting(w, now, number);
        if (s == NULL)
            break;
        number = s->number + 1;
        size_t source = pick(w, s, now);
        struct request *r = free_request(w);
        if (source == NO_SOURCE || r == NULL) {
            s->ready_ms = ready_from(w, s, now); /* 0: when something has ended */
            if (s->ready_ms == UINT64_MAX)
                return fail_without_source(w, s, err);
            continue;
        }
        take_piece(r, s, source);
        rc = start(w, r, s, source, err);
    }
    return rc;
}

/* How long nothing but a transfer's end can bring us further. */
static int time_to_wait(struct fetch_window *w, uint64_t now, uint64_t *wait_ms, struct err *err)
{
    uint64_t next = now + IDLE_MS;
    bool busy = w->verifying > 0;
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++) {
        const struct want *s = &w->wants[i];
        busy |= s->state == WANT_RUNS || s->state == WANT_HASHES;
        if (s->state == WANT_WAITS && s->ready_ms > now && s->ready_ms < next)
            next = s->ready_ms;
    }
    *wait_ms = next - now;
    if (busy)
        return 0; /* whose stall the client watches */
    uint64_t end = w->progress_ms + (uint64_t)w->f->give_up_seconds * 1000;
    if (now >= end)
        return err_set(err, ERR_NET, "nothing came for %u s: %s", w->f->give_up_seconds,
                       w->cause.text);
    *wait_ms = next < end ? next - now : end - now;
    return 0;
}

static struct request *request_of(struct fetch_window *w, const struct http_transfer *t)
{
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++)
        if (&w->requests[i].t == t)
            return &w->requests[i];
    return NULL;
}

/* Waits for one transfer, and takes all that are done with it. */
static int take_transfers(struct fetch_window *w, uint64_t wait_ms, struct err *err)
{
    struct http_transfer *done = NULL;
    int rc = http_client_next(w->f->http, wait_ms, &done, err);
    while (rc == 0 && done != NULL) {
        struct request *r = request_of(w, done);
        if (r != NULL && r->want != NULL)
            take_done(w, r);
        done = NULL;
        rc = http_client_next(w->f->http, 0, &done, err);
    }
    return rc;
}

static int step(struct fetch_window *w, bool last, struct err *err)
{
    uint64_t wait_ms = 0, now = http_client_now_ms();
    int rc = start_waiting(w, now, err);
    if (rc == 0 && last && w->f->source_count > 1)
        rc = help_slow(w, err);
    if (rc == 0)
        rc = time_to_wait(w, now, &wait_ms, err);
    if (last && w->f->source_count > 1 && wait_ms > LOOK_MS)
        wait_ms = LOOK_MS;
    if (w->f->jobs == NULL && w->whole_count > 0)
        wait_ms = 0;
    if (rc == 0)
        rc = take_transfers(w, wait_ms, err);
    if (rc == 0)
        rc = take_verified(w, err);
    return rc == 0 ? verify_whole(w, err) : rc;
}

static struct want *free_want(struct fetch_window *w)
{
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++)
        if (w->wants[i].state == WANT_FREE)
            return &w->wants[i];
    return NULL;
}

int fetch_window_ask(struct fetch_window *w, const struct fetch_want *want, struct err *err)
{
    int rc = fetch_verify_can(&want->cid, err);
    struct want *s = free_want(w);
    for (; rc == 0 && s == NULL; s = free_want(w))
        rc = step(w, false, err);
    if (rc != 0)
        return rc;
    *s = (struct want){.of = *want, .state = WANT_WAITS, .number = w->asked++};
    return start_waiting(w, http_client_now_ms(), err);
}

bool fetch_window_is_idle(const struct fetch_window *w)
{
    for (size_t i = 0; i < FETCH_IN_FLIGHT_MAX; i++)
        if (w->wants[i].state != WANT_FREE)
            return false;
    return true;
}

int fetch_window_step(struct fetch_window *w, struct err *err)
{
    return fetch_window_is_idle(w) ? 0 : step(w, true, err);
}

int fetch_window_wait(struct fetch_window *w, struct err *err)
{
    int rc = 0;
    while (rc == 0 && !fetch_window_is_idle(w))
        rc = step(w, true, err);
    return rc;
}
