/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_record.h"

#include <stdio.h>
#include <time.h>

#define ETAG_BYTES 16

static int load(const struct gateway_visit *v, const struct ipns_name *name, struct buf *record,
                struct ipns_record *out, struct err *err)
{
    char text[IPNS_NAME_TEXT_MAX];
    const struct store *s = v->g->store;
    int rc = ipns_get(store_files(s), store_root(s), name, (int64_t)time(NULL), record, out, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, rc, "no record of %s here", ipns_name_format(name, text));
    if (rc == ERR_DENIED)
        return err_wrap(err, ERR_NOTFOUND, "the record of %s is not good any more",
                        ipns_name_format(name, text));
    return rc;
}

void gateway_record_answer(struct gateway_visit *v, const struct http_request *r,
                           struct http_response *out)
{
    char etag[GATEWAY_VISIT_ETAG_MAX], hex[2 * ETAG_BYTES + 1], name[CID_TEXT_MAX + 16];
    uint8_t digest[HASH_BYTES];
    struct buf record = buf_new(IPNS_RECORD_BYTES_MAX);
    struct ipns_record parsed;
    struct err err = {0};
    if (load(v, &v->name, &record, &parsed, &err) != 0) {
        buf_fini(&record);
        (void)gateway_visit_refuse(v, &err, out);
        return;
    }
    hash_sha256(buf_bytes(&record), digest);
    bytes_format_hex(bytes_of(digest, ETAG_BYTES), hex);
    snprintf(etag, sizeof etag, "\"%s.ipns-record\"", hex);
    snprintf(name, sizeof name, "%s.ipns-record", v->spelling);
    v->ttl_seconds = parsed.ttl_seconds;
    buf_append_text(&out->headers, "Content-Type: application/vnd.ipfs.ipns-record\n");
    gateway_visit_put_name(v, "attachment", name, out);
    gateway_visit_put_cache(v, etag, out);
    buf_append_format(&out->headers, "X-Content-Type-Options: nosniff\nX-Ipfs-Path: %s\n", r->path);
    gateway_visit_put_location(v, r, "ipns-record", out);
    if (gateway_visit_is_known(r, etag, out)) {
        buf_fini(&record);
        return;
    }
    buf_fini(&out->body);
    out->body = record;
    out->status = 200;
    v->sent = v->head ? 0 : record.size;
}

/* A value is "/ipfs/CID/path" or "/ipns/NAME/path". `path` gets its path before what it held. */
static int take_value(struct gateway_visit *v, const char *value, bool *again, struct err *err)
{
    static const char ipns[] = "/ipns/";
    const char *rest;
    char name[IPNS_NAME_TEXT_MAX];
    int rc;
    *again = strncmp(value, ipns, strlen(ipns)) == 0;
    if (*again) {
        const char *from = value + strlen(ipns);
        size_t size = strcspn(from, "/");
        rest = from + size;
        if (size >= sizeof name)
            return err_set(err, ERR_NOTFOUND, "the record points to no name");
        memcpy(name, from, size);
        name[size] = '\0';
        rc = ipns_name_parse(name, &v->name, err);
    } else {
        rc = resolve_parse(value, &v->root, &rest, err);
    }
    if (rc != 0)
        return err_wrap(err, ERR_NOTFOUND, "the record points nowhere");
    struct buf path = buf_new(RESOLVE_PATH_MAX);
    buf_append_format(&path, "/%s", rest);
    buf_append(&path, v->path.data, v->path.size);
    rc = buf_check(&path, err);
    buf_fini(&v->path);
    v->path = path;
    return rc;
}

int gateway_record_follow(struct gateway_visit *v, struct err *err)
{
    struct buf record = buf_new(IPNS_RECORD_BYTES_MAX);
    struct ipns_record parsed;
    bool again = true;
    int rc = 0;
    v->ttl_seconds = UINT64_MAX;
    for (int hops = 0; rc == 0 && again; hops++) {
        if (hops == GATEWAY_RECORD_HOPS_MAX)
            rc = err_set(err, ERR_NOTFOUND, "names that point to names, more than %d of them",
                         GATEWAY_RECORD_HOPS_MAX);
        if (rc == 0)
            rc = load(v, &v->name, &record, &parsed, err);
        if (rc == 0)
            rc = take_value(v, parsed.value, &again, err);
        if (rc == 0 && parsed.ttl_seconds < v->ttl_seconds)
            v->ttl_seconds = parsed.ttl_seconds;
    }
    buf_fini(&record);
    return rc;
}
