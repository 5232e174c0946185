/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "transport/http_target.h"

#define POLL_MS          200 /* how soon a cancellation is seen */
#define HEADER_BYTES_MAX (64u << 10)
#define KEPT_MAX         64L /* connections, to all hosts */
#define BUFFER_BYTES     (256L << 10)
#define RANGE_DIGITS     18  /* of a byte's number */
#define QUOTE_MAX        200 /* characters of a redirect's target that a sentence repeats */

struct http_client {
    struct http_client_config config;
    char token[HTTP_TOKEN_MAX];
    CURLM *multi;
    struct transfer *active; /* list */
    int watched;             /* -1: nothing */
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
    bool other_part;       /* a 206 of bytes that were not asked for */
    char at[HTTP_URL_MAX]; /* where it is now: t->url, or where that redirects to */
    unsigned redirects;
    bool from_local; /* t->url is on this machine or its link: it may lead there */
    bool refused;    /* the address that a redirect leads to */
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
    h->watched = -1;
    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_CONNECTIONS_MAX);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
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

void http_client_abandon(struct http_client *c, struct http_transfer *t)
{
    (void)c;
    if (t->raw != NULL)
        drop(t->raw);
}

void http_client_watch(struct http_client *c, int fd)
{
    c->watched = fd;
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

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Is its answer a step to another URL, and not the answer? */
static bool may_follow(struct transfer *x)
{
    return x->client->config.pin == NULL && x->t->upload == NULL && is_redirect(status_of(x));
}

/* One allocation for a body whose length is announced, within what is allowed anyway. */
static void reserve_body(struct transfer *x)
{
    struct buf *body = &x->t->body;
    curl_off_t length = 0;
    size_t before = body->size;
    if (curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) != CURLE_OK ||
        length <= 0 || body->max < before || (uint64_t)length > body->max - before)
        return;
    x->t->body_expected = before + (uint64_t)length;
    if (buf_extend(body, (size_t)length) != NULL)
        body->size = before;
}

static bool take_number(const char **at, uint64_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > RANGE_DIGITS)
        return false;
    *out = strtoull(*at, NULL, 10);
    *at += digits;
    return true;
}

/* "bytes 100-199/200": from `from` on to the end, if it is said where that is. */
static bool is_rest(const char *range, uint64_t from)
{
    uint64_t first, last, total;
    if (strncasecmp(range, "bytes ", 6) != 0)
        return false;
    range += 6;
    if (!take_number(&range, &first) || *range++ != '-' || !take_number(&range, &last) ||
        *range++ != '/' || first != from || last < first)
        return false;
    if (strcmp(range, "*") == 0)
        return true;
    return take_number(&range, &total) && *range == '\0' && last + 1 == total;
}

/* The bytes of a part go behind what is here: it has to be the part that was asked for. */
static bool is_asked_part(struct transfer *x)
{
    struct curl_header *range;
    if (x->t->upload != NULL || status_of(x) != 206)
        return true;
    x->other_part =
        curl_easy_header(x->easy, "Content-Range", 0, CURLH_HEADER, -1, &range) != CURLHE_OK ||
        range->amount != 1 || !is_rest(range->value, x->t->body.size);
    if (x->other_part)
        buf_clear(&x->t->body);
    return !x->other_part;
}

static size_t on_body(char *data, size_t one, size_t size, void *self)
{
    (void)one;
    struct transfer *x = self;
    struct http_transfer *t = x->t;
    if (!x->body_begun && may_follow(x)) /* a redirect's own text is of no use */
        return on_header(data, 1, size, x);
    if (!x->body_begun && t->resume && status_of(x) != 206)
        buf_clear(&t->body); /* all of it comes again, or a refusal */
    if (!x->body_begun && !is_asked_part(x))
        return 0;
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

/* May a redirect lead to this address? Whoever answers at the end of a proxy is the proxy's affair,
 * which is why the URL's own host is looked at too (lead_on). */
static bool is_allowed(struct transfer *x, const struct sockaddr *address)
{
    bool tls = strncasecmp(x->at, "https:", 6) == 0;
    if (x->redirects == 0 || x->from_local || http_target_proxy(tls) != NULL ||
        !http_target_is_local(address))
        return true;
    x->refused = true;
    return false;
}

static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)purpose;
    if (!is_allowed(self, &a->addr))
        return CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The same for a connection that was there already. */
static int on_connected(void *self, char *peer, char *own, int peer_port, int own_port)
{
    (void)own;
    (void)peer_port;
    (void)own_port;
    struct transfer *x = self;
    bool tls = strncasecmp(x->at, "https:", 6) == 0;
    if (x->redirects == 0)
        x->from_local |= http_target_proxy(tls) == NULL && http_target_is_local_host(peer);
    else if (!x->from_local && http_target_proxy(tls) == NULL && http_target_is_local_host(peer))
        x->refused = true;
    return x->refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* --- starting --- */

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more != NULL)
        *list = more;
    return more != NULL;
}

/* One part of a URL, cleaned by curl's own parser; false if there is none. */
static bool take_part(const char *url, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(text) < size;
    if (ok)
        snprintf(out, size, "%s", text);
    curl_free(text);
    curl_url_cleanup(u);
    return ok;
}

static bool is_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    char left[HTTP_URL_MAX], right[HTTP_URL_MAX];
    if (strcmp(a, b) == 0)
        return true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!take_part(a, parts[i], left, sizeof left) ||
            !take_part(b, parts[i], right, sizeof right) || strcasecmp(left, right) != 0)
            return false;
    return true;
}

static bool set_headers(struct http_client *c, struct transfer *x)
{
    char line[HTTP_TOKEN_MAX + 64];
    bool ok = add_header(&x->headers, "Expect:"); /* no wait for a 100 Continue */
    if (ok && c->token[0] != '\0' && is_same_origin(x->t->url, x->at)) {
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

/* Through which proxy, and what is looked at on the way. */
static void set_way(struct transfer *x)
{
    const char *proxy = http_target_proxy(strncasecmp(x->at, "https:", 6) == 0);
    if (proxy != NULL)
        curl_easy_setopt(x->easy, CURLOPT_PROXY, proxy);
    /* NO_PROXY is for hosts that the operator named; a redirect names its own. */
    curl_easy_setopt(x->easy, CURLOPT_NOPROXY, x->redirects > 0 ? "" : NULL);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(x->easy, CURLOPT_PREREQDATA, x);
}

static void set_options(struct http_client *c, struct transfer *x)
{
    CURL *e = x->easy;
    struct http_transfer *t = x->t;
    set_trust(c, e);
    set_way(x);
    curl_easy_setopt(e, CURLOPT_URL, x->at);
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
    if (t->upload == NULL && t->body_max >= t->body.size)
        curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->body_max);
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
    t->body_expected = 0;
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
    snprintf(x->at, sizeof x->at, "%s", t->url);
    if (x->easy == NULL || !set_headers(c, x)) {
        curl_easy_cleanup(x->easy);
        curl_slist_free_all(x->headers);
        free(x);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    clear_results(t);
    t->raw = x;
    char host[HTTP_URL_MAX];
    x->from_local =
        take_part(t->url, CURLUPART_HOST, host, sizeof host) && http_target_is_local_host(host);
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

static int refuse_redirect(struct transfer *x, const char *to, const char *why)
{
    char shown[QUOTE_MAX + 1];
    size_t n = 0;
    for (; n < QUOTE_MAX && to[n] != '\0'; n++)
        shown[n] = to[n] > ' ' && to[n] < 0x7f ? to[n] : '?';
    shown[n] = '\0';
    return err_set(&x->t->err, ERR_MALFORMED, "%s redirects to %s, %s: refused", x->t->url, shown,
                   why);
}

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
    else if (x->other_part)
        t->code = err_set(&t->err, ERR_NET, "%s: a part came that was not asked for", t->url);
    else if (x->refused)
        t->code = refuse_redirect(x, x->at, "which is on this machine or its link");
    else if (result == CURLE_FILESIZE_EXCEEDED ||
             (result == CURLE_WRITE_ERROR && t->body.failed == ERR_LIMIT))
        t->code = err_set(&t->err, ERR_LIMIT, "%s: the answer is larger than %zu bytes", t->url,
                          t->body_max);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        t->code = err_set(&t->err, ERR_TIMEOUT, "%s: %s", t->url, why);
    else
        t->code = err_set(&t->err, ERR_NET, "%s: %s", t->url, why);
}

/* Goes on to where the answer points. False: it does not, and the transfer has its result. */
static bool lead_on(struct transfer *x)
{
    struct http_client *c = x->client;
    char *to = NULL;
    char host[HTTP_URL_MAX];
    const char *bad = NULL;
    curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_URL, &to);
    if (to == NULL)
        return false;
    if (strncasecmp(to, "http://", 7) != 0 && strncasecmp(to, "https://", 8) != 0)
        bad = "which is not http or https";
    else if (x->redirects == HTTP_REDIRECTS_MAX)
        bad = "which is one redirect too many";
    else if (strlen(to) >= HTTP_URL_MAX || !take_part(to, CURLUPART_HOST, host, sizeof host))
        bad = "which is no URL that can be asked";
    else if (!x->from_local && http_target_is_local_host(host))
        bad = "which is on this machine or its link";
    if (bad != NULL) {
        x->t->status = status_of(x);
        x->t->code = refuse_redirect(x, to, bad);
        return false;
    }
    snprintf(x->at, sizeof x->at, "%s", to);
    curl_multi_remove_handle(c->multi, x->easy);
    curl_easy_reset(x->easy);
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    x->header_bytes = 0;
    x->redirects++;
    if (set_headers(c, x)) {
        set_options(c, x);
        if (curl_multi_add_handle(c->multi, x->easy) == CURLM_OK)
            return true;
    }
    x->t->code = err_set(&x->t->err, ERR_NOMEM, "out of memory");
    return false;
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
        CURLcode result = m->data.result;
        if (result == CURLE_OK && may_follow(x)) {
            if (lead_on(x)) {
                curl_multi_perform(c->multi, &left);
                continue;
            }
        }
        if (t->code == 0)
            judge(x, result);
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
        struct http_transfer *done = take_done(c);
        if (done == NULL) {
            if (curl_multi_perform(c->multi, &running) != CURLM_OK)
                break;
            done = take_done(c);
        }
        uint64_t waited_ms = http_client_now_ms() - begun_ms;
        if (done != NULL || waited_ms >= wait_ms) {
            *out = done;
            return 0;
        }
        uint64_t left_ms = wait_ms - waited_ms;
        struct curl_waitfd more = {.fd = c->watched, .events = CURL_WAIT_POLLIN};
        if (curl_multi_poll(c->multi, &more, c->watched < 0 ? 0 : 1,
                            left_ms < POLL_MS ? (int)left_ms : POLL_MS, NULL) != CURLM_OK)
            break;
        if (c->watched >= 0 && more.revents != 0) {
            *out = NULL;
            return 0;
        }
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
