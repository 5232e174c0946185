/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_visit.h"

#include <stdio.h>
#include <unistd.h>

#define MAX_AGE "max-age=29030400, immutable"

/* --- blocks --- */

/* As the store's own, but what a stranger reads names no path of ours. */
static int get_block(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    const struct gateway_read *g = self;
    char text[CID_TEXT_MAX];
    int rc = store_get(g->store, cid, out, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, rc, "no block %s here", cid_format(cid, text));
    return rc;
}

struct block_source gateway_visit_source(const struct gateway_read *g)
{
    return (struct block_source){.self = (void *)(uintptr_t)g, .get = get_block};
}

/* --- the path --- */

static int pass(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct gateway_visit *v = self;
    (void)block;
    buf_append(&v->passed, cid, sizeof *cid);
    return buf_check(&v->passed, err);
}

/* Through directories a segment at a time, so that each segment's root is known; what is no
 * directory, all at once. */
static int follow(struct gateway_visit *v, char *path, struct err *err)
{
    struct resolved at = {.cid = v->cid, .rest = ""};
    int rc = 0;
    for (path += strspn(path, "/"); rc == 0 && *path != '\0'; path += strspn(path, "/")) {
        bool directory = cid_codec(&v->cid) == CID_DAG_PB;
        size_t size = directory ? strcspn(path, "/") : strlen(path);
        char end = path[size];
        path[size] = '\0';
        rc = resolve_path(&v->source, &v->cid, path, pass, v, &at, err);
        v->cid = at.cid;
        v->rest = *at.rest != '\0' ? at.rest : ""; /* then the path ends with it */
        path[size] = end;
        path += size;
        buf_append(&v->roots, &v->cid, sizeof v->cid);
    }
    return rc != 0 ? rc : buf_check(&v->roots, err);
}

int gateway_visit_resolve(struct gateway_visit *v, struct err *err)
{
    char *path = (char *)(uintptr_t)buf_text(&v->path); /* ours */
    v->cid = v->root;
    v->rest = "";
    buf_append(&v->roots, &v->root, sizeof v->root);
    int rc = buf_check(&v->path, err);
    return rc != 0 ? rc : follow(v, path, err);
}

bool gateway_visit_has(const struct gateway_visit *v, const struct cid *cid)
{
    /* "Not known" is no "no": reading it will say why. */
    return cid_identity(cid, NULL) || store_look(v->g->store, cid, NULL) != ERR_NOTFOUND;
}

int gateway_visit_size(const struct gateway_visit *v, const struct cid *cid, uint64_t *out,
                       struct err *err)
{
    struct bytes inside;
    struct store_place place;
    if (cid_identity(cid, &inside)) {
        *out = inside.size;
        return 0;
    }
    int rc = store_find(v->g->store, cid, &place, err);
    if (rc != 0)
        return rc;
    close(place.fd);
    *out = place.size;
    return 0;
}

/* --- answers --- */

bool gateway_visit_refuse(const struct gateway_visit *v, const struct err *err,
                          struct http_response *out)
{
    switch (err->code) {
    case ERR_NOTFOUND:
        return http_server_say(out, v->want.only_if_cached ? 412 : 404, "%s", err->text);
    case ERR_MALFORMED:
    case ERR_UNSUPPORTED:
    case ERR_USAGE:
    case ERR_LIMIT:
        return http_server_say(out, 400, "%s", err->text);
    default: /* the words may name files of ours */
        return http_server_say(out, 500, "this cannot be read here: %s", err_name(err->code));
    }
}

void gateway_visit_put_paths(const struct gateway_visit *v, const struct http_request *r,
                             struct http_response *out)
{
    char text[CID_TEXT_MAX];
    buf_append_format(&out->headers,
                      "X-Content-Type-Options: nosniff\nX-Ipfs-Path: %s\nX-Ipfs-Roots: ", r->path);
    for (size_t at = 0; at + sizeof(struct cid) <= v->roots.size; at += sizeof(struct cid)) {
        struct cid cid;
        memcpy(&cid, v->roots.data + at, sizeof cid);
        buf_append_format(&out->headers, "%s%s", at == 0 ? "" : ",", cid_format(&cid, text));
    }
    buf_append_byte(&out->headers, '\n');
    if (r->query(r, "format") == NULL)
        buf_append_text(&out->headers, "Vary: Accept\n");
}

void gateway_visit_put_cache(const struct gateway_visit *v, const char *etag,
                             struct http_response *out)
{
    const char *whose = v->g->open ? "public" : "private";
    buf_append_format(&out->headers, "Etag: %s\n", etag);
    if (v->place == GATEWAY_IPFS)
        buf_append_format(&out->headers, "Cache-Control: %s, " MAX_AGE "\n", whose);
    else
        buf_append_format(&out->headers, "Cache-Control: %s, max-age=%llu\n", whose,
                          (unsigned long long)v->ttl_seconds);
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

void gateway_visit_escape(struct bytes text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (is_plain(text.data[i]) || text.data[i] == '/')
            buf_append_byte(out, text.data[i]);
        else
            buf_append_format(out, "%%%02X", text.data[i]);
    }
}

/* One '_' for each character that is not ASCII, or that would end the quotes. */
static bool put_ascii(const char *name, struct buf *out)
{
    bool ascii = true;
    for (const char *at = name; *at != '\0'; at++) {
        uint8_t c = (uint8_t)*at;
        bool good = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
        if (c < 0x80 || c >= 0xc0) /* not the inside of a character */
            buf_append_byte(out, good ? c : '_');
        ascii = ascii && c < 0x80;
    }
    return ascii;
}

void gateway_visit_put_name(const struct gateway_visit *v, const char *kind, const char *name,
                            struct http_response *out)
{
    const char *chosen = v->want.filename[0] != '\0' ? v->want.filename : name;
    buf_append_format(&out->headers, "Content-Disposition: %s; filename=\"", kind);
    bool ascii = put_ascii(chosen, &out->headers);
    buf_append_byte(&out->headers, '"');
    if (!ascii) {
        struct buf escaped = buf_new(4 * (RESOLVE_PATH_MAX + CID_TEXT_MAX));
        for (const char *at = chosen; *at != '\0'; at++)
            if (is_plain((uint8_t)*at))
                buf_append_byte(&escaped, (uint8_t)*at);
            else
                buf_append_format(&escaped, "%%%02X", (uint8_t)*at);
        buf_append_format(&out->headers, "; filename*=UTF-8''%s", buf_text(&escaped));
        buf_fini(&escaped);
    }
    buf_append_byte(&out->headers, '\n');
}

/* The values come as they were sent, but for '+', of which the library made blanks. */
static void put_argument(const char *name, const char *value, char *between, struct buf *out)
{
    buf_append_format(out, "%c%s=", *between, name);
    *between = '&';
    for (; *value != '\0'; value++) {
        uint8_t c = (uint8_t)*value;
        if (c > ' ' && c < 0x7f)
            buf_append_byte(out, c);
        else
            buf_append_format(out, "%%%02X", c);
    }
}

void gateway_visit_put_query(const struct http_request *r, const char *format, struct buf *out)
{
    static const char *const names[] = {"dag-scope", "entity-bytes", "car-version", "car-order",
                                        "car-dups",  "filename",     "download"};
    char between = '?';
    if (format != NULL)
        put_argument("format", format, &between, out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = r->query(r, names[i]);
        if (value != NULL)
            put_argument(names[i], value, &between, out);
    }
}

void gateway_visit_put_location(const struct gateway_visit *v, const struct http_request *r,
                                const char *format, struct http_response *out)
{
    if (!v->want.negotiated)
        return;
    buf_append_format(&out->headers, "Content-Location: %s", r->path);
    gateway_visit_put_query(r, format, &out->headers);
    if (v->want.format == GATEWAY_CAR && r->query(r, "car-dups") == NULL)
        buf_append_format(&out->headers, "&car-dups=%c", v->want.dups ? 'y' : 'n');
    buf_append_byte(&out->headers, '\n');
}

bool gateway_visit_is_known(const struct http_request *r, const char *etag,
                            struct http_response *out)
{
    if (strncmp(etag, "W/", 2) == 0)
        etag += 2;
    if (!gateway_want_matches(r->header(r, "If-None-Match"), etag))
        return false;
    out->status = 304;
    return true;
}

bool gateway_visit_put_range(const struct gateway_visit *v, const struct http_request *r,
                             const char *etag, uint64_t size, uint64_t *from, uint64_t *to,
                             struct http_response *out)
{
    const char *if_range = r->header(r, "If-Range");
    const char *range = r->header(r, "Range");
    if (v->head || (if_range != NULL && strcmp(if_range, etag) != 0))
        range = NULL;
    *from = 0;
    *to = size;
    out->status = 200;
    buf_append_text(&out->headers, "Accept-Ranges: bytes\n");
    switch (gateway_want_range(range, size, from, to)) {
    case GATEWAY_RANGE_WHOLE:
        *from = 0;
        *to = size;
        return true;
    case GATEWAY_RANGE_PART:
        buf_append_format(&out->headers, "Content-Range: bytes %llu-%llu/%llu\n",
                          (unsigned long long)*from, (unsigned long long)*to - 1,
                          (unsigned long long)size);
        out->status = 206;
        return true;
    case GATEWAY_RANGE_OUTSIDE:
        break;
    }
    buf_append_format(&out->headers, "Content-Range: bytes */%llu\n", (unsigned long long)size);
    out->status = 416;
    return false;
}
