/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_read.h"

#include <stdio.h>
#include <stdlib.h>

#include "transport/gateway_block.h"
#include "transport/gateway_car.h"
#include "transport/gateway_file.h"
#include "transport/gateway_record.h"
#include "transport/gateway_routing.h"
#include "transport/gateway_visit.h"

#define METHODS    "GET, HEAD, OPTIONS"
#define PASSED_MAX (4096 * sizeof(struct cid))
#define ROOTS_MAX  ((RESOLVE_SEGMENTS_MAX + 8) * sizeof(struct cid))

static const struct {
    const char *prefix;
    enum gateway_place place;
} places[] = {{"/ipfs/", GATEWAY_IPFS},
              {"/ipns/", GATEWAY_IPNS},
              {"/routing/v1/providers/", GATEWAY_PROVIDERS}};

#define PLACE_COUNT (sizeof places / sizeof places[0])

/* --- what is asked --- */

/* Any page may read what is public. */
static void put_cors(struct http_response *out)
{
    buf_append_text(&out->headers,
                    "Access-Control-Allow-Origin: *\n"
                    "Access-Control-Allow-Methods: " METHODS "\n"
                    "Access-Control-Allow-Headers: Content-Type, Range, User-Agent, "
                    "X-Requested-With\n"
                    "Access-Control-Expose-Headers: Content-Length, Content-Range, "
                    "X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output\n");
}

static bool is_method(const struct http_request *r, const char *name)
{
    return strcmp(r->method, name) == 0;
}

/* Finds the place that the path begins with; `rest` is behind it. */
static bool find_place(const struct gateway_read *g, const struct http_request *r,
                       enum gateway_place *place, const char **rest)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        size_t size = strlen(places[i].prefix);
        if (strncmp(r->path, places[i].prefix, size) != 0)
            continue;
        *place = places[i].place;
        *rest = r->path + size;
        return g->open || places[i].place != GATEWAY_PROVIDERS;
    }
    return false;
}

/* "/a//b/" becomes "/a/b", and `slash`. */
static int read_path(struct gateway_visit *v, const char *text, struct err *err)
{
    struct buf decoded = buf_new(RESOLVE_PATH_MAX);
    int rc = http_server_unescape(text, &decoded, err);
    if (rc == 0 && decoded.size > 0)
        v->slash = decoded.data[decoded.size - 1] == '/';
    for (const char *at = rc == 0 ? buf_text(&decoded) : ""; *at != '\0';) {
        at += strspn(at, "/");
        size_t size = strcspn(at, "/");
        if (size > 0)
            buf_append_byte(&v->asked, '/');
        buf_append(&v->asked, at, size);
        at += size;
    }
    buf_append(&v->path, v->asked.data, v->asked.size);
    buf_fini(&decoded);
    return rc != 0 ? rc : buf_check(&v->path, err);
}

static bool read_root(struct gateway_visit *v, const char *text, struct http_response *out)
{
    char *name = v->spelling;
    struct err err = {0};
    size_t size = strcspn(text, "/");
    bool providers = v->place == GATEWAY_PROVIDERS;
    bool fits = size > 0 && size < sizeof v->spelling;
    int rc = fits ? 0 : err_set(&err, ERR_MALFORMED, "it has %zu characters", size);
    if (fits) {
        memcpy(name, text, size);
        name[size] = '\0';
        rc = v->place == GATEWAY_IPNS ? ipns_name_parse(name, &v->name, &err)
                                      : cid_parse(name, &v->root, &err);
    }
    if (rc == 0 && (rc = read_path(v, text + size, &err)) != 0)
        return http_server_say(out, 400, "the path: %s", err.text);
    if (rc == ERR_UNSUPPORTED && v->place == GATEWAY_IPNS)
        return http_server_say(out, 404, "names of Ed25519 keys alone are known here: %s",
                               err.text);
    if (rc != 0)
        return http_server_say(out, providers ? 422 : 400, "what stands behind %s is no %s: %s",
                               places[v->place].prefix, v->place == GATEWAY_IPNS ? "name" : "CID",
                               err.text);
    return true;
}

/* What a gateway that serves no files refuses. */
static bool check_strict(const struct gateway_visit *v, struct http_response *out)
{
    switch (v->want.format) {
    case GATEWAY_FILE:
        return http_server_say(out, 400,
                               "say ?format=raw or car, or Accept: application/vnd.ipld.raw");
    case GATEWAY_RAW:
        return v->asked.size == 0
                   ? true
                   : http_server_say(out, 400, "a path is for CARs (format=car), a block has none");
    case GATEWAY_CAR:
    case GATEWAY_RECORD:
        return true;
    default:
        return http_server_say(out, 406, "raw blocks and CARs alone are served here");
    }
}

static bool check_record(const struct gateway_visit *v, struct http_response *out)
{
    if (v->want.format == GATEWAY_RECORD && (v->place != GATEWAY_IPNS || v->asked.size > 0))
        return http_server_say(out, 400, "records have addresses like /ipns/NAME, and no path");
    return true;
}

/* A worker for a whole root would see every request below it. */
static bool check_worker(const struct gateway_visit *v, const struct http_request *r,
                         struct http_response *out)
{
    const char *worker = r->header(r, "Service-Worker");
    if (worker != NULL && strcmp(worker, "script") == 0 && v->asked.size == 0)
        return http_server_say(out, 400, "no service worker for a whole root");
    return true;
}

static bool read_request(struct gateway_visit *v, const struct http_request *r, const char *rest,
                         struct http_response *out)
{
    struct err err = {0};
    if (v->place == GATEWAY_PROVIDERS)
        return read_root(v, rest, out) &&
               (v->asked.size == 0 || http_server_say(out, 404, "providers of a CID alone"));
    int status = gateway_want_read(r, &v->want, &err);
    if (status != 0)
        return http_server_say(out, status, "%s", err.text);
    if (!v->g->open && v->want.format == GATEWAY_FILE)
        return check_strict(v, out); /* before the CID: a probe without a format is told so */
    return read_root(v, rest, out) && (v->g->open || check_strict(v, out)) &&
           check_record(v, out) && check_worker(v, r, out);
}

bool gateway_read_begin(const struct gateway_read *g, const struct http_request *r,
                        struct gateway_visit **visit, struct http_response *out)
{
    enum gateway_place place;
    const char *rest;
    *visit = NULL;
    if (g->open)
        put_cors(out);
    if (g->open && is_method(r, "OPTIONS")) {
        out->status = 204;
        return false;
    }
    if (!find_place(g, r, &place, &rest))
        return http_server_say(out, 404, "here are /ipfs/CID and /ipns/NAME");
    if (!is_method(r, "GET") && !is_method(r, "HEAD")) {
        buf_append_format(&out->headers, "Allow: %s\n", g->open ? METHODS : "GET, HEAD");
        return http_server_say(out, 405, "only %s here", g->open ? METHODS : "GET, HEAD");
    }
    struct gateway_visit *v = calloc(1, sizeof *v);
    if (v == NULL) {
        buf_append_text(&out->headers, "Retry-After: 1\n");
        return http_server_say(out, 503, "busy: out of memory");
    }
    *visit = v;
    v->g = g;
    v->place = place;
    v->source = gateway_visit_source(g);
    v->head = is_method(r, "HEAD");
    v->rest = "";
    v->asked = buf_new(RESOLVE_PATH_MAX);
    v->path = buf_new(RESOLVE_PATH_MAX);
    v->roots = buf_new(ROOTS_MAX);
    v->passed = buf_new(PASSED_MAX);
    return read_request(v, r, rest, out);
}

/* --- what is answered --- */

static int find(struct gateway_visit *v, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = v->place == GATEWAY_IPNS ? gateway_record_follow(v, err) : 0;
    if (rc != 0)
        return rc;
    bool look = v->path.size > 0 || v->want.only_if_cached;
    if (look && !gateway_visit_has(v, &v->root))
        return err_set(err, ERR_NOTFOUND, "no block %s here", cid_format(&v->root, text));
    v->want.only_if_cached = false; /* the root is here: what else is missing is 404 */
    return gateway_visit_resolve(v, err);
}

static void answer_found(struct gateway_visit *v, const struct http_request *r,
                         struct http_response *out)
{
    bool unixfs = cid_codec(&v->cid) == CID_RAW || cid_codec(&v->cid) == CID_DAG_PB;
    if (v->want.format == GATEWAY_CAR) {
        gateway_car_answer(v, r, out);
        return;
    }
    if (*v->rest != '\0') {
        (void)http_server_say(out, 501,
                              "reading IPLD Kinds other than Links (CBOR Tag 42) is not "
                              "implemented: the path goes on inside a block");
        return;
    }
    switch (v->want.format) {
    case GATEWAY_RAW:
        gateway_block_answer_raw(v, r, out);
        return;
    case GATEWAY_DAG_JSON:
    case GATEWAY_DAG_CBOR:
        gateway_block_answer_codec(v, r, out);
        return;
    case GATEWAY_JSON:
    case GATEWAY_CBOR: /* a file of that kind, perhaps */
        if (unixfs)
            gateway_file_answer(v, r, out);
        else
            gateway_block_answer_codec(v, r, out);
        return;
    default:
        gateway_file_answer(v, r, out);
    }
}

void gateway_read_answer(const struct gateway_read *g, const struct http_request *r,
                         struct gateway_visit *v, struct http_response *out)
{
    struct err err = {0};
    (void)g;
    if (v->place == GATEWAY_PROVIDERS)
        gateway_routing_answer(v, r, out);
    else if (v->want.format == GATEWAY_RECORD)
        gateway_record_answer(v, r, out);
    else if (find(v, &err) != 0)
        (void)gateway_visit_refuse(v, &err, out);
    else
        answer_found(v, r, out);
}

uint64_t gateway_read_bytes(const struct gateway_visit *v)
{
    return v == NULL ? 0 : v->sent;
}

void gateway_read_end(struct gateway_visit *v)
{
    if (v == NULL)
        return;
    gateway_car_free(v->car);
    gateway_file_free(v->file);
    buf_fini(&v->asked);
    buf_fini(&v->path);
    buf_fini(&v->roots);
    buf_fini(&v->passed);
    free(v);
}

/* --- an open gateway, alone --- */

static bool handler_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct gateway_visit *v;
    bool going = gateway_read_begin(self, r, &v, out);
    r->state = v;
    return going;
}

static bool handler_body(void *self, struct http_request *r, struct bytes piece,
                         struct http_response *out)
{
    (void)self;
    (void)r;
    (void)piece;
    return http_server_say(out, 405, "only " METHODS " here"); /* begin let no body through */
}

static void handler_answer(void *self, struct http_request *r, struct http_response *out)
{
    gateway_read_answer(self, r, r->state, out);
}

static void handler_end(void *self, struct http_request *r)
{
    (void)self;
    gateway_read_end(r->state);
}

struct http_handler gateway_read_handler(const struct gateway_read *g)
{
    return (struct http_handler){.self = (void *)(uintptr_t)g,
                                 .begin = handler_begin,
                                 .body = handler_body,
                                 .answer = handler_answer,
                                 .end = handler_end};
}
