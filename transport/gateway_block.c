/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_block.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cbor.h"
#include "content/dagjson.h"

#define SMALL (32u << 10) /* below it one read costs less than handing over a file */

/* --- a block's bytes --- */

static int read_all(int fd, uint64_t offset, uint8_t *data, size_t size, struct err *err)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, data + at, size - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read a block");
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "a file ends inside a block");
        at += (size_t)n;
    }
    return 0;
}

/* Takes `fd` over when it returns 0. */
static int open_place(const struct store_place *place, bool head, struct gateway_block *out,
                      struct err *err)
{
    struct stat s;
    int rc = 0;
    out->size = place->size;
    out->offset = place->offset;
    if (place->size > SMALL || head) {
        if (fstat(place->fd, &s) != 0 || (uint64_t)s.st_size < place->offset + place->size)
            return err_set(err, ERR_CORRUPT, "a file ends inside a block");
        out->fd = place->fd;
        return 0;
    }
    uint8_t *data = buf_extend(&out->bytes, place->size);
    if (place->size > 0)
        rc = data == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                          : read_all(place->fd, place->offset, data, place->size, err);
    if (rc == 0)
        close(place->fd);
    return rc;
}

int gateway_block_open(const struct gateway_visit *v, const struct cid *cid, bool hashed,
                       struct gateway_block *out, struct err *err)
{
    struct gateway_block b = {.fd = -1, .bytes = buf_new(BLOCK_BYTES_MAX)};
    struct store_place place;
    struct bytes inside;
    int rc = 0;
    if (cid_identity(cid, &inside)) {
        buf_append(&b.bytes, inside.data, inside.size);
    } else if (!hashed) {
        rc = store_find(v->g->store, cid, &place, err);
        if (rc == 0 && place.hash) {
            close(place.fd);
            hashed = true;
        } else if (rc == 0 && (rc = open_place(&place, v->head, &b, err)) != 0) {
            close(place.fd);
        }
    }
    if (rc == 0 && hashed && !cid_identity(cid, NULL))
        rc = store_get(v->g->store, cid, &b.bytes, err);
    if (b.fd < 0)
        b.size = b.bytes.size;
    if (rc != 0)
        gateway_block_close(&b);
    else
        *out = b;
    return rc;
}

void gateway_block_close(struct gateway_block *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
    buf_fini(&b->bytes);
}

void gateway_block_send(struct gateway_visit *v, const struct http_request *r, const char *etag,
                        struct gateway_block *block, struct http_response *out)
{
    uint64_t from, to;
    if (!gateway_visit_put_range(v, r, etag, block->size, &from, &to, out)) {
        gateway_block_close(block);
        return;
    }
    if (block->fd >= 0) {
        out->file.fd = block->fd;
        out->file.offset = block->offset + from;
        out->file.size = to - from;
    } else {
        if (from > 0)
            memmove(block->bytes.data, block->bytes.data + from, (size_t)(to - from));
        block->bytes.size = (size_t)(to - from);
        buf_fini(&out->body);
        out->body = block->bytes;
    }
    v->sent = v->head ? 0 : to - from;
}

/* --- raw --- */

static int missing(const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_NOTFOUND, "no block %s here", cid_format(cid, text));
}

static bool open_or_refuse(struct gateway_visit *v, bool hashed, struct gateway_block *out,
                           struct http_response *answer)
{
    struct err err = {0};
    int rc = gateway_block_open(v, &v->cid, hashed, out, &err);
    if (rc == ERR_NOTFOUND || rc == ERR_UNSUPPORTED)
        (void)missing(&v->cid, &err);
    return rc == 0 ? true : gateway_visit_refuse(v, &err, answer);
}

void gateway_block_answer_raw(struct gateway_visit *v, const struct http_request *r,
                              struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX], name[CID_TEXT_MAX + 8];
    struct gateway_block block;
    if (!open_or_refuse(v, false, &block, out))
        return;
    snprintf(etag, sizeof etag, "\"%s.raw\"", cid_format(&v->cid, text));
    snprintf(name, sizeof name, "%s.bin", text);
    buf_append_text(&out->headers, "Content-Type: application/vnd.ipld.raw\n");
    gateway_visit_put_name(v, "attachment", name, out);
    gateway_visit_put_cache(v, etag, out);
    gateway_visit_put_paths(v, r, out);
    gateway_visit_put_location(v, r, "raw", out);
    if (gateway_visit_is_known(r, etag, out))
        gateway_block_close(&block);
    else
        gateway_block_send(v, r, etag, &block, out);
}

/* --- codecs that are media types --- */

static const struct {
    uint32_t codec;
    enum gateway_format format;
    const char *name, *type, *extension, *kind;
} codecs[] = {
    {CID_DAG_JSON, GATEWAY_DAG_JSON, "dag-json", "application/vnd.ipld.dag-json", "json", "inline"},
    {CID_DAG_CBOR, GATEWAY_DAG_CBOR, "dag-cbor", "application/vnd.ipld.dag-cbor", "cbor",
     "attachment"},
    {CID_JSON, GATEWAY_JSON, "json", "application/json", "json", "inline"},
    {CID_CBOR, GATEWAY_CBOR, "cbor", "application/cbor", "cbor", "attachment"},
};

#define CODEC_COUNT (sizeof codecs / sizeof codecs[0])

static size_t find_codec(uint32_t codec)
{
    size_t i = 0;
    while (i < CODEC_COUNT && codecs[i].codec != codec)
        i++;
    return i;
}

bool gateway_block_has_type(const struct cid *cid)
{
    return find_codec(cid_codec(cid)) < CODEC_COUNT;
}

static int ignore_link(void *self, const struct cid *link, struct err *err)
{
    (void)self;
    (void)link;
    (void)err;
    return 0;
}

/* dag-json may be called json and dag-cbor cbor; the other way round only if the block is that. */
static bool may_be(uint32_t codec, enum gateway_format format, struct bytes block)
{
    struct err err = {0};
    switch (format) {
    case GATEWAY_JSON:
        return codec == CID_JSON || codec == CID_DAG_JSON;
    case GATEWAY_CBOR:
        return codec == CID_CBOR || codec == CID_DAG_CBOR;
    case GATEWAY_DAG_JSON:
        return codec == CID_DAG_JSON ||
               (codec == CID_JSON && dagjson_each_link(block, ignore_link, NULL, &err) == 0);
    case GATEWAY_DAG_CBOR:
        return codec == CID_DAG_CBOR ||
               (codec == CID_CBOR && cbor_check(block, ignore_link, NULL, &err) == 0);
    default:
        return false;
    }
}

void gateway_block_answer_codec(struct gateway_visit *v, const struct http_request *r,
                                struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX], name[CID_TEXT_MAX + 8];
    struct gateway_block block;
    uint32_t codec = cid_codec(&v->cid);
    size_t as = find_codec(codec);
    for (size_t i = 0; v->want.format != GATEWAY_FILE && i < CODEC_COUNT; i++)
        if (codecs[i].format == v->want.format)
            as = i;
    if (!open_or_refuse(v, true, &block, out))
        return;
    if (as == CODEC_COUNT || !may_be(codec, codecs[as].format, buf_bytes(&block.bytes))) {
        gateway_block_close(&block);
        (void)http_server_say(out, 406, "%s is of another codec, and nothing is converted here",
                              cid_format(&v->cid, text));
        return;
    }
    snprintf(etag, sizeof etag, "\"%s.%s\"", cid_format(&v->cid, text), codecs[as].name);
    snprintf(name, sizeof name, "%s.%s", text, codecs[as].extension);
    buf_append_format(&out->headers, "Content-Type: %s\n", codecs[as].type);
    gateway_visit_put_name(v, v->want.download ? "attachment" : codecs[as].kind, name, out);
    gateway_visit_put_cache(v, etag, out);
    gateway_visit_put_paths(v, r, out);
    gateway_visit_put_location(v, r, codecs[as].name, out);
    if (gateway_visit_is_known(r, etag, out))
        gateway_block_close(&block);
    else
        gateway_block_send(v, r, etag, &block, out);
}
