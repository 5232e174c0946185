/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_page.h"

#include <stdio.h>

#include "base/text.h"
#include "content/dagjson.h"
#include "content/directory.h"

#define PAGE_VERSION  "1" /* of what this file writes: it changes the entity tags */
#define ROW_BYTES_MAX (8u << 10)
#define DATA_MAX      (256u << 10) /* of a block's text; escaped it may be six times as long */

/* --- text --- */

/* `text` for HTML. What is not UTF-8, or could move a cursor, is shown as '?'. */
static void put_text(struct bytes text, struct buf *out)
{
    bool utf8 = text_is_utf8(text);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        const char *name = c == '&'    ? "&amp;"
                           : c == '<'  ? "&lt;"
                           : c == '>'  ? "&gt;"
                           : c == '"'  ? "&quot;"
                           : c == '\'' ? "&#39;"
                                       : NULL;
        if (name != NULL)
            buf_append_text(out, name);
        else
            buf_append_byte(out, c < ' ' || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : c);
    }
}

static void begin_page(const char *title, struct bytes name, struct buf *out)
{
    buf_append_format(out,
                      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s ",
                      title);
    put_text(name, out);
    buf_append_format(out,
                      "</title>\n<style>body{font-family:sans-serif;margin:2em}"
                      "td{padding:0.1em 1em 0.1em 0}a{unicode-bidi:isolate}"
                      ".ipfs-hash{font-family:monospace;color:#666}pre{white-space:pre-wrap}"
                      "</style>\n</head>\n<body>\n<h1>%s ",
                      title);
}

static void put_type(struct http_response *out)
{
    buf_append_text(&out->headers, "Content-Type: text/html; charset=utf-8\n"
                                   "Content-Security-Policy: default-src 'none'; style-src "
                                   "'unsafe-inline'; base-uri 'none'; form-action 'none'; "
                                   "frame-ancestors 'none'\n");
}

/* --- a directory --- */

struct listing {
    struct gateway_visit *v;
    struct buf base; /* the directory's address, escaped, without the slash at its end */
    struct buf *out;
    bool cut;
};

/* "/ipfs/CID" or "/ipns/NAME" as the request has it. */
static struct bytes root_of(const struct http_request *r)
{
    const char *end = strchr(r->path + strlen("/ipfs/"), '/');
    return bytes_of(r->path, end == NULL ? strlen(r->path) : (size_t)(end - r->path));
}

/* /ipfs/<a>CID</a>/<a>segment</a>/... */
static void put_crumbs(const struct gateway_visit *v, const struct http_request *r, struct buf *out)
{
    size_t prefix = strlen("/ipfs/");
    struct bytes root = root_of(r);
    struct buf address = buf_new(4 * RESOLVE_PATH_MAX);
    buf_append(&address, root.data, root.size);
    put_text(bytes_of(root.data, prefix), out);
    buf_append_format(out, "<a href=\"%s\">", buf_text(&address));
    put_text(bytes_of(root.data + prefix, root.size - prefix), out);
    buf_append_text(out, "</a>");
    for (size_t at = 0; at < v->asked.size;) {
        const uint8_t *from = v->asked.data + at + 1; /* behind its slash */
        const uint8_t *end = memchr(from, '/', v->asked.size - at - 1);
        size_t size = end == NULL ? v->asked.size - at - 1 : (size_t)(end - from);
        buf_append_byte(&address, '/');
        gateway_visit_escape(bytes_of(from, size), &address);
        buf_append_format(out, "/<a href=\"%s\">", buf_text(&address));
        put_text(bytes_of(from, size), out);
        buf_append_text(out, "</a>");
        at += 1 + size;
    }
    buf_fini(&address);
}

static int put_entry(void *self, const struct hamt_entry *entry, struct err *err)
{
    struct listing *l = self;
    char text[CID_TEXT_MAX], size[TEXT_SMALL];
    if (l->out->size > GATEWAY_PAGE_BYTES_MAX) {
        l->cut = true;
        return err_set(err, ERR_LIMIT, "enough");
    }
    struct buf name = buf_new(ROW_BYTES_MAX);
    gateway_visit_escape(entry->name, &name);
    cid_format(&entry->cid, text);
    buf_append_format(l->out, "<tr><td><a href=\"%s/%s\">", buf_text(&l->base), buf_text(&name));
    put_text(entry->name, l->out);
    buf_append_format(l->out,
                      "</a></td><td><a class=\"ipfs-hash\" translate=\"no\" "
                      "href=\"/ipfs/%s?filename=%s\">%s</a></td><td>%s</td></tr>\n",
                      text, buf_text(&name), text, text_format_size(entry->total_bytes, size));
    buf_fini(&name);
    return 0;
}

static int put_listing(struct gateway_visit *v, const struct http_request *r, struct bytes block,
                       struct buf *out, struct err *err)
{
    struct bytes root = root_of(r);
    struct listing l = {.v = v, .base = buf_new(4 * RESOLVE_PATH_MAX), .out = out};
    buf_append(&l.base, root.data, root.size);
    gateway_visit_escape(buf_bytes(&v->asked), &l.base);
    begin_page("Index of", bytes_of_text(r->path), out);
    put_crumbs(v, r, out);
    buf_append_text(out, "</h1>\n<table>\n");
    if (v->asked.size > 0)
        buf_append_format(out, "<tr><td><a href=\"%s/..\">..</a></td></tr>\n", buf_text(&l.base));
    int rc = directory_each(&v->source, block, put_entry, NULL, &l, err);
    if (l.cut)
        rc = 0;
    buf_append_text(out, "</table>\n");
    if (l.cut)
        buf_append_text(out, "<p>There is more. Ask with format=car&amp;dag-scope=entity for "
                             "all.</p>\n");
    buf_append_text(out, "</body>\n</html>\n");
    buf_fini(&l.base);
    return rc;
}

void gateway_page_answer_directory(struct gateway_visit *v, const struct http_request *r,
                                   struct bytes block, struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX], plain[GATEWAY_VISIT_ETAG_MAX];
    struct err err = {0};
    snprintf(etag, sizeof etag, "\"DirIndex-" PAGE_VERSION "_CID-%s\"", cid_format(&v->cid, text));
    snprintf(plain, sizeof plain, "\"%s\"", text);
    bool known = gateway_visit_is_known(r, etag, out) || gateway_visit_is_known(r, plain, out);
    if (!known && put_listing(v, r, block, &out->body, &err) != 0) {
        (void)gateway_visit_refuse(v, &err, out);
        return;
    }
    put_type(out);
    buf_append_format(&out->headers, "Etag: %s\n", etag);
    if (v->place == GATEWAY_IPFS)
        buf_append_text(&out->headers,
                        "Cache-Control: public, max-age=604800, stale-while-revalidate=2678400\n");
    else
        buf_append_format(&out->headers, "Cache-Control: public, max-age=%llu\n",
                          (unsigned long long)v->ttl_seconds);
    gateway_visit_put_paths(v, r, out);
    if (known)
        return;
    out->status = 200;
    v->sent = v->head ? 0 : out->body.size;
}

/* --- a look at data --- */

static void put_data(const struct gateway_visit *v, struct bytes block, struct buf *out)
{
    char text[CID_TEXT_MAX];
    struct buf json = buf_new(DATA_MAX);
    begin_page("Block", bytes_of_text(cid_format(&v->cid, text)), out);
    buf_append_format(out,
                      "%s</h1>\n<p><a href=\"/ipfs/%s?format=raw\">the block as it is</a></p>\n",
                      text, text);
    uint32_t codec = cid_codec(&v->cid);
    bool known = codec == CID_DAG_CBOR && dagjson_format(&v->cid, block, "", &json, NULL) == 0;
    if (codec == CID_DAG_JSON || codec == CID_JSON) {
        known = block.size <= DATA_MAX;
        buf_append(&json, block.data, known ? block.size : 0);
    }
    if (known) {
        buf_append_text(out, "<pre>");
        put_text(buf_bytes(&json), out);
        buf_append_text(out, "</pre>\n");
    }
    buf_append_text(out, "</body>\n</html>\n");
    buf_fini(&json);
}

void gateway_page_answer_dag(struct gateway_visit *v, const struct http_request *r,
                             struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX];
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct err err = {0};
    if (block_source_get(&v->source, &v->cid, &block, &err) != 0) {
        (void)gateway_visit_refuse(v, &err, out);
        buf_fini(&block);
        return;
    }
    snprintf(etag, sizeof etag, "\"DagIndex-" PAGE_VERSION "_CID-%s\"", cid_format(&v->cid, text));
    put_type(out);
    buf_append_format(&out->headers, "Etag: %s\n", etag);
    gateway_visit_put_paths(v, r, out);
    if (!gateway_visit_is_known(r, etag, out)) {
        put_data(v, buf_bytes(&block), &out->body);
        out->status = 200;
        v->sent = v->head ? 0 : out->body.size;
    }
    buf_fini(&block);
}
