/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_window.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS   30000
#define IDLE_MS          60000 /* how long to wait for a transfer when nothing else is due */
#define NO_SOURCE        SIZE_MAX
#define ANSWER_MAX       160 /* characters of a source's sentence that are repeated */

enum slot_state {
    SLOT_FREE,
    SLOT_WAITS, /* for a source that may be asked */
    SLOT_RUNS
};

struct slot {
    struct http_transfer t;
    enum slot_state state;
    struct fetch_want want;
    size_t source;     /* of `t`; while waiting: of the piece in t.body, or NO_SOURCE */
    uint64_t ready_ms; /* when a waiting one may be looked at again */
    unsigned lacking;  /* bit i: source i says it has no such block */
    uint64_t not_before_ms[FETCH_SOURCES_MAX]; /* source i was busy for this slot */
};

/* One call's transfers. */
struct fetch_window {
    struct fetch *f;
    struct slot slots[FETCH_WINDOW];
    bool dropped[FETCH_SOURCES_MAX];
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

static uint64_t usable_from(const struct fetch_window *w, const struct slot *s, size_t i)
{
    return later(w->f->health[i].not_before_ms, s->not_before_ms[i]);
}

/* The usable source that failed least; equals are spread over the slots. Else NO_SOURCE, and in
 * `ready_ms` when to ask again: UINT64_MAX if none is left. */
static size_t pick(const struct fetch_window *w, const struct slot *s, uint64_t now,
                   uint64_t *ready_ms)
{
    size_t count = w->f->source_count, first = (size_t)(s - w->slots), best = NO_SOURCE;
    *ready_ms = UINT64_MAX;
    for (size_t k = 0; k < count; k++) {
        size_t i = (first + k) % count;
        uint64_t from = usable_from(w, s, i);
        if (w->dropped[i] || (s->lacking >> i & 1) != 0)
            continue;
        if (from > now)
            *ready_ms = from < *ready_ms ? from : *ready_ms;
        else if (best == NO_SOURCE || w->f->health[i].failures < w->f->health[best].failures)
            best = i;
    }
    return best;
}

/* No source is left for this block. */
static int fail_without_source(const struct fetch_window *w, const struct slot *s, struct err *err)
{
    char text[CID_TEXT_MAX];
    if (s->lacking != 0)
        return err_set(err, ERR_NOTFOUND, "no source has block %s", cid_format(&s->want.cid, text));
    if (w->cause.code == 0)
        return err_set(err, ERR_USAGE, "no source to fetch from");
    return err_set(err, w->cause.code, "%s", w->cause.text);
}

static int start(struct fetch_window *w, struct slot *s, size_t source, struct err *err)
{
    char text[CID_TEXT_MAX];
    const char *base = w->f->sources[source];
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    snprintf(s->t.url, sizeof s->t.url, "%.*s/ipfs/%s?format=raw", (int)size, base,
             cid_format(&s->want.cid, text));
    s->t.body_max = STORE_BLOCK_BYTES_MAX;
    s->t.resume = s->source == source && s->t.body.size > 0;
    s->source = source;
    s->state = SLOT_RUNS;
    return http_client_start(w->f->http, &s->t, err);
}

/* --- judging what came --- */

/* It is asked no more in this call. */
static void drop_source(struct fetch_window *w, struct slot *s, const struct err *why)
{
    w->dropped[s->source] = true;
    s->source = NO_SOURCE;
    w->cause = *why;
}

/* It broke off: the back-off doubles, from when the last one was over. */
static void back_off(struct fetch_window *w, struct slot *s, const struct err *why)
{
    struct fetch_health *h = &w->f->health[s->source];
    uint64_t now = http_client_now_ms();
    w->cause = *why;
    if (h->not_before_ms > now)
        return; /* several broke off together: that is one failure */
    uint64_t delay = BACKOFF_MAX_MS;
    if (h->failures < 7)
        delay = (uint64_t)BACKOFF_FIRST_MS << h->failures;
    if (h->failures < 100)
        h->failures++;
    uint32_t chance;
    random_bytes(&chance, sizeof chance);
    h->not_before_ms = now + delay - chance % (delay / 4); /* sites that were cut together part */
}

static bool is_block_status(long status)
{
    return status == 200 || status == 206;
}

static int take_block(struct fetch_window *w, struct slot *s, struct err *err)
{
    struct err why = {0};
    char text[CID_TEXT_MAX];
    if (s->t.code == ERR_LIMIT || cid_verify(&s->want.cid, buf_bytes(&s->t.body), NULL) != 0) {
        err_set(&why, ERR_MALFORMED, "%s sent bytes that are not block %s",
                w->f->sources[s->source], cid_format(&s->want.cid, text));
        drop_source(w, s, &why);
        return 0;
    }
    w->f->health[s->source] = (struct fetch_health){0};
    w->f->blocks_received++;
    s->state = SLOT_FREE;
    return w->deliver(w->self, &s->want, buf_bytes(&s->t.body), err);
}

/* An answer that is not the block: whether, when and whom to ask again. */
static void take_refusal(struct fetch_window *w, struct slot *s)
{
    struct err why = {0};
    char text[ANSWER_MAX];
    const char *source = w->f->sources[s->source];
    size_t asked = s->source;
    long status = s->t.status;
    http_client_words(&s->t, text, sizeof text);
    buf_clear(&s->t.body);
    err_set(&why, status == 401 || status == 403 ? ERR_DENIED : ERR_NET, "%s answered HTTP %ld: %s",
            source, status, text);
    if (status == 404) {
        s->lacking |= 1u << asked;
        s->source = NO_SOURCE;
    } else if (status == 503 || status == 429) {
        uint64_t wait_ms = (uint64_t)s->t.retry_after_seconds * 1000;
        if (wait_ms == 0)
            wait_ms = 1000;
        s->not_before_ms[asked] =
            http_client_now_ms() + (wait_ms < BACKOFF_MAX_MS ? wait_ms : BACKOFF_MAX_MS);
        w->cause = why;
    } else if (status >= 500 || status == 416) {
        back_off(w, s, &why);
    } else {
        drop_source(w, s, &why);
    }
}

static int take_done(struct fetch_window *w, struct slot *s, struct err *err)
{
    struct http_transfer *t = &s->t;
    s->state = SLOT_WAITS;
    s->ready_ms = 0;
    bool broke = t->code != 0 && t->code != ERR_LIMIT;
    if (is_block_status(t->status) && t->bytes_received > 0) {
        w->progress_ms = http_client_now_ms();
        if (broke)
            w->f->health[s->source].failures = 0; /* it works, and was cut */
    }
    if (t->code == ERR_DENIED)
        drop_source(w, s, &t->err);
    else if (broke && (t->status == 0 || is_block_status(t->status)))
        back_off(w, s, &t->err);
    else if (is_block_status(t->status))
        return take_block(w, s, err);
    else
        take_refusal(w, s);
    return 0;
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
    for (size_t i = 0; i < FETCH_SOURCES_MAX; i++)
        f->health[i].not_before_ms = 0; /* the caller has waited already; its past still counts */
    w->progress_ms = http_client_now_ms();
    w->deliver = deliver;
    w->self = self;
    *out = w;
    return 0;
}

void fetch_window_free(struct fetch_window *w)
{
    if (w == NULL)
        return;
    http_client_stop(w->f->http);
    for (size_t i = 0; i < FETCH_WINDOW; i++)
        buf_fini(&w->slots[i].t.body);
    free(w);
}

/* Starts what may be started; `wait_ms`: until the next one may. */
static int start_due(struct fetch_window *w, uint64_t *wait_ms, struct err *err)
{
    uint64_t now = http_client_now_ms(), next = now + IDLE_MS;
    size_t running = 0;
    for (size_t i = 0; i < FETCH_WINDOW; i++) {
        struct slot *s = &w->slots[i];
        if (s->state == SLOT_WAITS && s->ready_ms <= now) {
            size_t source = pick(w, s, now, &s->ready_ms);
            int rc = 0;
            if (source != NO_SOURCE)
                rc = start(w, s, source, err);
            else if (s->ready_ms == UINT64_MAX)
                rc = fail_without_source(w, s, err);
            if (rc != 0)
                return rc;
        }
        running += s->state == SLOT_RUNS;
        if (s->state == SLOT_WAITS && s->ready_ms < next)
            next = s->ready_ms;
    }
    *wait_ms = next - now;
    if (running > 0)
        return 0; /* whose stall the client watches */
    uint64_t end = w->progress_ms + (uint64_t)w->f->give_up_seconds * 1000;
    if (now >= end)
        return err_set(err, ERR_NET, "nothing came for %u s: %s", w->f->give_up_seconds,
                       w->cause.text);
    *wait_ms = next < end ? next - now : end - now;
    return 0;
}

static int step(struct fetch_window *w, struct err *err)
{
    struct http_transfer *done = NULL;
    uint64_t wait_ms = 0;
    int rc = start_due(w, &wait_ms, err);
    if (rc == 0)
        rc = http_client_next(w->f->http, wait_ms, &done, err);
    if (rc != 0 || done == NULL)
        return rc;
    for (size_t i = 0; i < FETCH_WINDOW; i++)
        if (&w->slots[i].t == done)
            return take_done(w, &w->slots[i], err);
    return 0;
}

static struct slot *free_slot(struct fetch_window *w)
{
    for (size_t i = 0; i < FETCH_WINDOW; i++)
        if (w->slots[i].state == SLOT_FREE)
            return &w->slots[i];
    return NULL;
}

int fetch_window_ask(struct fetch_window *w, const struct fetch_want *want, struct err *err)
{
    struct slot *s = free_slot(w);
    for (; s == NULL; s = free_slot(w)) {
        int rc = step(w, err);
        if (rc != 0)
            return rc;
    }
    s->state = SLOT_WAITS;
    s->want = *want;
    s->source = NO_SOURCE;
    s->ready_ms = 0;
    s->lacking = 0;
    memset(s->not_before_ms, 0, sizeof s->not_before_ms);
    return 0;
}

static bool is_busy(const struct fetch_window *w)
{
    for (size_t i = 0; i < FETCH_WINDOW; i++)
        if (w->slots[i].state != SLOT_FREE)
            return true;
    return false;
}

int fetch_window_wait(struct fetch_window *w, struct err *err)
{
    int rc = 0;
    while (rc == 0 && is_busy(w))
        rc = step(w, err);
    return rc;
}
