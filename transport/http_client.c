/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POLL_MS          200 /* how soon a cancellation is seen */
#define HEADER_BYTES_MAX (64u << 10)
#define CONNECTIONS_MAX  8L
#define BUFFER_BYTES     (256L << 10)

struct http_client {
    struct http_client_config config;
    char token[HTTP_TOKEN_MAX];
    CURLM *multi;
    struct transfer *active; /* list */
    _Atomic uint64_t sent, received;
};

/* The client's half of a transfer. */
struct transfer {
    struct http_client *client;
    struct http_transfer *t;
    CURL *easy;
    struct curl_slist *headers;
    size_t header_bytes; /* of the answer */
    bool body_begun;
    char why[CURL_ERROR_SIZE];
    struct transfer *next;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(const struct http_client_config *c, struct http_client **out, struct err *err)
{
    pthread_once(&once, start_curl);
    struct http_client *h = calloc(1, sizeof *h);
    if (h != NULL)
        h->multi = curl_multi_init();
    if (h == NULL || h->multi == NULL) {
        free(h);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    h->config = *c;
    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_MAX);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    *out = h;
    return 0;
}

void http_client_set_token(struct http_client *c, const char *token)
{
    snprintf(c->token, sizeof c->token, "%s", token == NULL ? "" : token);
}

static void drop(struct transfer *x)
{
    struct transfer **at = &x->client->active;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    curl_multi_remove_handle(x->client->multi, x->easy);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    x->t->raw = NULL;
    free(x);
}

void http_client_stop(struct http_client *c)
{
    while (c->active != NULL)
        drop(c->active);
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    http_client_stop(c);
    curl_multi_cleanup(c->multi);
    free(c);
}

/* --- what curl calls --- */

static long status_of(struct transfer *x)
{
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* A server may send headers without end; one line is curl's to bound, their sum is ours. */
static size_t on_header(char *data, size_t one, size_t size, void *self)
{
    (void)data;
    (void)one;
    struct transfer *x = self;
    x->header_bytes += size;
    return x->header_bytes > HEADER_BYTES_MAX ? 0 : size;
}

/* One allocation for a body whose length is announced, within what is allowed anyway. */
static void reserve_body(struct transfer *x)
{
    struct buf *body = &x->t->body;
    curl_off_t length = 0;
    size_t before = body->size;
    if (curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
        length > 0 && body->max >= before && (uint64_t)length <= body->max - before &&
        buf_extend(body, (size_t)length) != NULL)
        body->size = before;
}

static size_t on_body(char *data, size_t one, size_t size, void *self)
{
    (void)one;
    struct transfer *x = self;
    struct http_transfer *t = x->t;
    if (!x->body_begun && t->resume && status_of(x) != 206)
        buf_clear(&t->body); /* all of it comes again, or a refusal */
    if (!x->body_begun)
        reserve_body(x);
    x->body_begun = true;
    t->bytes_received += size;
    x->client->received += size;
    buf_append(&t->body, data, size);
    return t->body.failed ? 0 : size;
}

static size_t on_upload(char *data, size_t one, size_t size, void *self)
{
    struct transfer *x = self;
    long n = x->t->upload(x->t->self, data, one * size);
    if (n < 0)
        return CURL_READFUNC_ABORT;
    x->t->bytes_sent += (uint64_t)n;
    x->client->sent += (uint64_t)n;
    return (size_t)n;
}

static int on_rewind(void *self, curl_off_t offset, int origin)
{
    struct transfer *x = self;
    if (offset != 0 || origin != SEEK_SET || x->t->rewind == NULL)
        return CURL_SEEKFUNC_CANTSEEK;
    x->t->rewind(x->t->self);
    return CURL_SEEKFUNC_OK;
}

/* --- starting --- */

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more != NULL)
        *list = more;
    return more != NULL;
}

static bool set_headers(struct http_client *c, struct transfer *x)
{
    char line[HTTP_TOKEN_MAX + 64];
    bool ok = add_header(&x->headers, "Expect:"); /* no wait for a 100 Continue */
    if (ok && c->token[0] != '\0') {
        snprintf(line, sizeof line, "Authorization: Bearer %s", c->token);
        ok = add_header(&x->headers, line);
    }
    if (ok && x->t->resume) {
        snprintf(line, sizeof line, "Range: bytes=%zu-", x->t->body.size);
        ok = add_header(&x->headers, line);
    }
    return ok;
}

static void set_trust(struct http_client *c, CURL *e)
{
    if (c->config.pin == NULL) {
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
        return;
    }
    /* The pin is the whole trust: no authority, no host name. */
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(e, CURLOPT_PINNEDPUBLICKEY, c->config.pin);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
}

static void set_options(struct http_client *c, struct transfer *x)
{
    CURL *e = x->easy;
    struct http_transfer *t = x->t;
    set_trust(c, e);
    curl_easy_setopt(e, CURLOPT_URL, t->url);
    curl_easy_setopt(e, CURLOPT_PRIVATE, x);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->why);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)c->config.connect_seconds);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)c->config.stall_seconds);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    if (t->upload != NULL) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(e, CURLOPT_READDATA, x);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_rewind);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->upload_bytes);
    }
}

static void clear_results(struct http_transfer *t)
{
    t->body.max = t->body_max;
    if (!t->resume)
        buf_clear(&t->body);
    t->code = 0;
    t->err = (struct err){0};
    t->status = 0;
    t->retry_after_seconds = 0;
    t->bytes_received = 0;
    t->bytes_sent = 0;
}

int http_client_start(struct http_client *c, struct http_transfer *t, struct err *err)
{
    struct transfer *x = calloc(1, sizeof *x);
    if (x == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    *x = (struct transfer){.client = c, .t = t, .easy = curl_easy_init()};
    if (x->easy == NULL || !set_headers(c, x)) {
        curl_easy_cleanup(x->easy);
        curl_slist_free_all(x->headers);
        free(x);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    clear_results(t);
    t->raw = x;
    set_options(c, x);
    x->next = c->active;
    c->active = x;
    if (curl_multi_add_handle(c->multi, x->easy) != CURLM_OK) {
        drop(x);
        return err_set(err, ERR_NOMEM, "cannot start a transfer");
    }
    return 0;
}

/* --- running --- */

/* Curl's result as ours, in words for the person who must do something. */
static void judge(struct transfer *x, CURLcode result)
{
    struct http_transfer *t = x->t;
    const char *why = x->why[0] != '\0' ? x->why : curl_easy_strerror(result);
    curl_off_t after = 0;
    t->status = status_of(x);
    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &after);
    t->retry_after_seconds = after > 0 && after < 3600 ? (unsigned)after : 0;
    /* A server that refuses an upload closes while we send: its answer tells more than the reset.
     */
    if (result == CURLE_OK || (t->upload != NULL && t->status >= 400))
        return;
    if (result == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
        t->code =
            err_set(&t->err, ERR_DENIED,
                    "%s: the server's key is not the one in the invitation; either this is not "
                    "the coordinator, or a firewall on the way opens TLS, and then this fails "
                    "by design: ask for an exception for this address",
                    t->url);
    else if (result == CURLE_WRITE_ERROR && t->body.failed == ERR_LIMIT)
        t->code = err_set(&t->err, ERR_LIMIT, "%s: the answer is larger than %zu bytes", t->url,
                          t->body_max);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        t->code = err_set(&t->err, ERR_TIMEOUT, "%s: %s", t->url, why);
    else
        t->code = err_set(&t->err, ERR_NET, "%s: %s", t->url, why);
}

static struct http_transfer *take_done(struct http_client *c)
{
    int left;
    for (CURLMsg *m = curl_multi_info_read(c->multi, &left); m != NULL;
         m = curl_multi_info_read(c->multi, &left)) {
        if (m->msg != CURLMSG_DONE)
            continue;
        char *private = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        struct transfer *x = (struct transfer *)(void *)private;
        struct http_transfer *t = x->t;
        judge(x, m->data.result);
        drop(x);
        return t;
    }
    return NULL;
}

uint64_t http_client_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int http_client_next(struct http_client *c, uint64_t wait_ms, struct http_transfer **out,
                     struct err *err)
{
    uint64_t begun_ms = http_client_now_ms();
    for (;;) {
        if (c->config.cancel != NULL && atomic_load(c->config.cancel) != 0) {
            http_client_stop(c);
            return err_set(err, ERR_TIMEOUT, "cancelled");
        }
        int running;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
            break;
        struct http_transfer *done = take_done(c);
        uint64_t waited_ms = http_client_now_ms() - begun_ms;
        if (done != NULL || waited_ms >= wait_ms) {
            *out = done;
            return 0;
        }
        uint64_t left_ms = wait_ms - waited_ms;
        if (curl_multi_poll(c->multi, NULL, 0, left_ms < POLL_MS ? (int)left_ms : POLL_MS, NULL) !=
            CURLM_OK)
            break;
    }
    http_client_stop(c);
    return err_set(err, ERR_NET, "transfers failed");
}

void http_client_moved(const struct http_client *c, uint64_t *sent, uint64_t *received)
{
    *sent = c->sent;
    *received = c->received;
}

const char *http_client_words(const struct http_transfer *t, char *out, size_t size)
{
    size_t n = 0;
    while (n < t->body.size && n + 1 < size && t->body.data[n] >= ' ' && t->body.data[n] < 0x7f) {
        out[n] = (char)t->body.data[n];
        n++;
    }
    out[n] = '\0';
    return out;
}
