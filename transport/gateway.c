/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "content/car.h"
#include "transport/gateway_read.h"

#define PROBE        "bafkqaaa" /* the empty identity CID */
#define BUSY_SECONDS 1
#define FULL_SECONDS 30
#define ROUND_DIGITS 20

/* A block costs a place in memory besides its bytes: so many a quota allows. */
#define QUOTA_BLOCK_BYTES 4096
#define QUOTA_BLOCKS_FREE 256

struct gateway {
    struct gateway_read read; /* of shared/ */
    struct gateway_policy policy;
    pthread_mutex_t mutex;
    struct site_load {
        uint32_t site;
        unsigned requests; /* 0: a free entry */
    } loads[HTTP_BODIES_MAX];
};

/* One request: a block to read, or an upload. */
struct visit {
    uint32_t site;
    bool known;  /* `site` holds; moved is told */
    bool loaded; /* counted in `loads` */
    struct gateway_visit *reading;
    uint64_t round;
    struct pack *pack; /* an upload's, until released */
    uint64_t bytes_max;
    struct car_reader *sections;
    size_t block_count;
};

/* --- who asks --- */

static bool take_load(struct gateway *g, struct visit *v)
{
    struct site_load *mine = NULL, *unused = NULL;
    pthread_mutex_lock(&g->mutex);
    for (size_t i = 0; i < HTTP_BODIES_MAX; i++) {
        if (g->loads[i].requests == 0)
            unused = &g->loads[i];
        else if (g->loads[i].site == v->site)
            mine = &g->loads[i];
    }
    if (mine == NULL && unused != NULL) {
        mine = unused;
        mine->site = v->site;
    }
    if (mine != NULL && mine->requests < GATEWAY_SITE_REQUESTS_MAX) {
        mine->requests++;
        v->loaded = true;
    }
    pthread_mutex_unlock(&g->mutex);
    return v->loaded;
}

static void leave_load(struct gateway *g, struct visit *v)
{
    pthread_mutex_lock(&g->mutex);
    for (size_t i = 0; v->loaded && i < HTTP_BODIES_MAX; i++)
        if (g->loads[i].requests > 0 && g->loads[i].site == v->site) {
            g->loads[i].requests--;
            v->loaded = false;
        }
    pthread_mutex_unlock(&g->mutex);
}

static bool retry_later(struct http_response *out, unsigned seconds, const char *sentence)
{
    buf_append_format(&out->headers, "Retry-After: %u\n", seconds);
    return http_server_say(out, 503, "%s", sentence);
}

static bool authenticate(struct gateway *g, struct visit *v, const struct http_request *r,
                         struct http_response *out)
{
    static const char scheme[] = "Bearer ";
    struct err err = {0};
    const char *value = r->header(r, "Authorization");
    bool bearer = value != NULL && strncasecmp(value, scheme, strlen(scheme)) == 0;
    int rc = bearer ? g->policy.authenticate(g->policy.self, bytes_of_text(value + strlen(scheme)),
                                             &v->site, &err)
                    : err_set(&err, ERR_DENIED, "a bearer token is needed");
    if (rc != 0) {
        buf_append_text(&out->headers, "WWW-Authenticate: Bearer\n");
        return http_server_say(out, 401, "%s", err.text);
    }
    v->known = true;
    return take_load(g, v)
               ? true
               : retry_later(out, BUSY_SECONDS, "busy: your other requests are at work");
}

/* --- reading --- */

/* The request is read before the token is, since a probe needs none; nothing is looked up. */
static bool begin_read(struct gateway *g, struct visit *v, const struct http_request *r,
                       struct http_response *out)
{
    if (!gateway_read_begin(&g->read, r, &v->reading, out))
        return false;
    return strcmp(r->path, "/ipfs/" PROBE) == 0 ? true : authenticate(g, v, r, out);
}

/* --- writing --- */

static int check_quota(const struct visit *v, const struct cid *cid, size_t size, struct err *err)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    uint64_t need = car_section_head(cid, size, head) + size;
    uint64_t used = pack_bytes(v->pack);
    if (pack_has(v->pack, cid))
        return 0;
    if (used > v->bytes_max || need > v->bytes_max - used)
        return err_set(err, ERR_LIMIT, "the quota of %llu bytes is spent",
                       (unsigned long long)v->bytes_max);
    if (pack_count(v->pack) >= QUOTA_BLOCKS_FREE + v->bytes_max / QUOTA_BLOCK_BYTES)
        return err_set(err, ERR_LIMIT, "a quota of %llu bytes is not for %zu blocks",
                       (unsigned long long)v->bytes_max, pack_count(v->pack) + 1);
    return 0;
}

static int store_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                       struct err *err)
{
    struct visit *v = self;
    (void)offset;
    if (cid_codec(cid) != CID_RAW && cid_codec(cid) != CID_DAG_CBOR)
        return err_set(err, ERR_MALFORMED, "an update's blocks are raw or dag-cbor");
    int rc = check_quota(v, cid, data.size, err);
    if (rc != 0)
        return rc;
    rc = pack_put_verified(v->pack, cid, data, err); /* by the reader */
    if (rc != 0)
        return rc;
    v->block_count++;
    FAULT_POINT("gateway-block");
    return 0;
}

static bool parse_round(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits >= ROUND_DIGITS || text[digits] != '\0' ||
        (text[0] == '0' && digits > 1))
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

static bool begin_upload(struct gateway *g, struct visit *v, const struct http_request *r,
                         struct http_response *out)
{
    struct err err = {0};
    if (!authenticate(g, v, r, out))
        return false;
    if (!parse_round(r->path + strlen("/upload/"), &v->round))
        return http_server_say(out, 400, "what stands behind /upload/ is not a round's number");
    int rc = g->policy.upload(g->policy.self, v->site, v->round, &v->pack, &v->bytes_max, &err);
    if (rc == 0)
        rc = car_reader_new(NULL, store_block, v, &v->sections, &err);
    if (rc == 0)
        car_reader_start_at_sections(v->sections, PACK_BLOCK_BYTES_MAX);
    if (rc == ERR_DENIED)
        return http_server_say(out, 403, "%s", err.text);
    return rc == 0 ? true : retry_later(out, FULL_SECONDS, err.text);
}

/* Why an upload ends here, and what the program is told. */
static bool refuse_upload(struct gateway *g, struct visit *v, const struct err *why,
                          struct http_response *out)
{
    car_reader_free(v->sections); /* the rest of the body holds no memory */
    v->sections = NULL;
    switch (why->code) {
    case ERR_LIMIT:
        g->policy.spoiled(g->policy.self, v->site, v->round, ERR_LIMIT);
        return http_server_say(out, 413, "%s", why->text);
    case ERR_MALFORMED:
    case ERR_UNSUPPORTED:
        g->policy.spoiled(g->policy.self, v->site, v->round, ERR_MALFORMED);
        return http_server_say(out, 400, "%s", why->text);
    default:
        return retry_later(out, FULL_SECONDS, "blocks cannot be stored now");
    }
}

static void answer_upload(struct visit *v, struct http_response *out)
{
    struct err err = {0};
    if (car_reader_finish(v->sections, &err) != 0)
        (void)http_server_say(out, 400, "%s", err.text);
    else
        (void)http_server_say(out, 200, "%zu blocks are here", v->block_count);
}

/* --- the handler --- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool not_allowed(struct http_response *out, const char *methods)
{
    buf_append_format(&out->headers, "Allow: %s\n", methods);
    return http_server_say(out, 405, "only %s here", methods);
}

static bool handler_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct gateway *g = self;
    struct visit *v = calloc(1, sizeof *v);
    if (v == NULL)
        return retry_later(out, BUSY_SECONDS, "busy: out of memory");
    r->state = v;
    bool put = strcmp(r->method, "PUT") == 0;
    bool get = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    if (starts_with(r->path, "/ipfs/"))
        return get ? begin_read(g, v, r, out) : not_allowed(out, "GET, HEAD");
    if (starts_with(r->path, "/upload/"))
        return put ? begin_upload(g, v, r, out) : not_allowed(out, "PUT");
    return http_server_say(out, 404, "here are /ipfs/CID and /upload/ROUND");
}

static bool handler_body(void *self, struct http_request *r, struct bytes piece,
                         struct http_response *out)
{
    struct gateway *g = self;
    struct visit *v = r->state;
    struct err err = {0};
    g->policy.moved(g->policy.self, v->site, 0, piece.size);
    int rc = car_reader_add(v->sections, piece, &err);
    return rc == 0 ? true : refuse_upload(g, v, &err, out);
}

static void handler_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct visit *v = r->state;
    if (v->sections != NULL)
        answer_upload(v, out);
    else
        gateway_read_answer(&((struct gateway *)self)->read, r, v->reading, out);
}

static void handler_end(void *self, struct http_request *r)
{
    struct gateway *g = self;
    struct visit *v = r->state;
    if (v == NULL)
        return;
    car_reader_free(v->sections);
    if (v->pack != NULL)
        g->policy.release(g->policy.self, v->site, v->round, v->pack);
    if (v->known)
        g->policy.moved(g->policy.self, v->site, gateway_read_bytes(v->reading), 0);
    gateway_read_end(v->reading);
    leave_load(g, v);
    free(v);
}

size_t gateway_requests(struct gateway *g)
{
    size_t requests = 0;
    if (g == NULL)
        return 0;
    pthread_mutex_lock(&g->mutex);
    for (size_t i = 0; i < HTTP_BODIES_MAX; i++)
        requests += g->loads[i].requests;
    pthread_mutex_unlock(&g->mutex);
    return requests;
}

int gateway_new(struct store *shared, const struct gateway_policy *policy, struct gateway **out,
                struct err *err)
{
    struct gateway *g = calloc(1, sizeof *g);
    if (g == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    g->read.store = shared;
    g->policy = *policy;
    pthread_mutex_init(&g->mutex, NULL);
    *out = g;
    return 0;
}

void gateway_free(struct gateway *g)
{
    if (g == NULL)
        return;
    pthread_mutex_destroy(&g->mutex);
    free(g);
}

struct http_handler gateway_handler(struct gateway *g)
{
    return (struct http_handler){.self = g,
                                 .begin = handler_begin,
                                 .body = handler_body,
                                 .answer = handler_answer,
                                 .end = handler_end};
}
