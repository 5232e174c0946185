/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "content/directory.h"
#include "content/unixfs_walk.h"
#include "transport/gateway_block.h"
#include "transport/gateway_media.h"
#include "transport/gateway_page.h"
#include "transport/gateway_walk.h"

struct gateway_file {
    struct gateway_visit *visit;
    struct gateway_walk *walk;
    struct bytes piece; /* what of a block is still to send */
    struct buf leaf;
    uint64_t left;
    bool failed;
};

/* --- the stream --- */

static int take_leaf(struct gateway_file *f, const struct gateway_walk_item *item, struct err *err)
{
    int rc = block_source_get(&f->visit->source, &item->cid, &f->leaf, err);
    if (rc == 0 && f->leaf.size != item->leaf_bytes)
        rc = err_set(err, ERR_MALFORMED, "UnixFS: a leaf of another size than its parent says");
    if (rc == 0)
        f->piece = bytes_of(f->leaf.data + item->skip, (size_t)item->size);
    return rc;
}

static int next_piece(struct gateway_file *f, struct err *err)
{
    struct gateway_walk_item item;
    int rc = gateway_walk_next(f->walk, &item, err);
    if (rc <= 0)
        return rc == 0 ? err_set(err, ERR_MALFORMED, "UnixFS: ends early") : rc;
    if (!item.loaded)
        return take_leaf(f, &item, err);
    f->piece = item.data;
    return 0;
}

static long file_read(void *self, uint8_t *data, size_t size)
{
    struct gateway_file *f = self;
    size_t n = 0;
    if (size > f->left)
        size = (size_t)f->left;
    while (n < size && !f->failed) {
        if (f->piece.size == 0) {
            f->failed = next_piece(f, NULL) != 0;
            continue;
        }
        size_t part = f->piece.size < size - n ? f->piece.size : size - n;
        memcpy(data + n, f->piece.data, part);
        f->piece = bytes_of(f->piece.data + part, f->piece.size - part);
        n += part;
    }
    f->left -= n;
    f->visit->sent += n;
    return n > 0 ? (long)n : (f->failed ? -1 : 0);
}

void gateway_file_free(struct gateway_file *f)
{
    if (f == NULL)
        return;
    gateway_walk_free(f->walk);
    buf_fini(&f->leaf);
    free(f);
}

static int open_stream(struct gateway_visit *v, const struct cid *cid, uint64_t from, uint64_t to,
                       struct err *err)
{
    struct gateway_walk_config c = {.source = &v->source,
                                    .root = *cid,
                                    .scope = GATEWAY_ENTITY,
                                    .from = from,
                                    .to = to,
                                    .dups = true};
    v->file = calloc(1, sizeof *v->file);
    if (v->file == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    v->file->visit = v;
    v->file->left = to - from;
    v->file->leaf = buf_new(BLOCK_BYTES_MAX);
    return gateway_walk_new(&c, &v->file->walk, err);
}

/* --- what a file is called, and what it is --- */

/* The file that answers: where the path ends, or an index.html there. */
struct found {
    struct cid cid;
    const char *name; /* "" if nothing names it */
    const char *etag;
    uint64_t size;
    struct bytes data; /* all of it, if there are no chunks */
    bool chunked;
};

static int collect(void *self, struct bytes piece, struct err *err)
{
    struct buf *first = self;
    (void)err;
    buf_append(first, piece.data, piece.size);
    return 0;
}

static const char *media_type(const struct gateway_visit *v, const struct found *f)
{
    const char *name = v->want.filename[0] != '\0' ? v->want.filename : f->name;
    const char *type = gateway_media_by_name(name);
    if (type != NULL)
        return type;
    struct buf first = buf_new(GATEWAY_MEDIA_LOOK_BYTES);
    size_t look = f->size < GATEWAY_MEDIA_LOOK_BYTES ? (size_t)f->size : GATEWAY_MEDIA_LOOK_BYTES;
    int rc = 0;
    if (f->chunked) /* a range may be here where the beginning is not */
        rc = unixfs_walk_read(&v->source, &f->cid, 0, look, collect, &first, NULL);
    else
        buf_append(&first, f->data.data, look);
    type = rc == 0 ? gateway_media_by_bytes(buf_bytes(&first), look == f->size)
                   : "application/octet-stream";
    buf_fini(&first);
    return type;
}

static const char *last_segment(struct buf *path)
{
    const char *text = buf_text(path), *slash = strrchr(text, '/');
    return slash == NULL ? text : slash + 1;
}

static void put_headers(struct gateway_visit *v, const struct http_request *r,
                        const struct found *f, struct http_response *out)
{
    char text[CID_TEXT_MAX];
    buf_append_format(&out->headers, "Content-Type: %s\n", media_type(v, f));
    if (v->want.filename[0] != '\0' || v->want.download)
        gateway_visit_put_name(v, v->want.download ? "attachment" : "inline",
                               f->name[0] != '\0' ? f->name : cid_format(&f->cid, text), out);
    gateway_visit_put_cache(v, f->etag, out);
    gateway_visit_put_paths(v, r, out);
}

/* The first block is read before the status is sent: what lacks it has no 200. Later ones can only
 * cut the answer. */
static int send_chunks(struct gateway_visit *v, const struct http_request *r, const struct found *f,
                       struct http_response *out, struct err *err)
{
    uint64_t from, to;
    if (!gateway_visit_put_range(v, r, f->etag, f->size, &from, &to, out))
        return 0;
    int rc = open_stream(v, &f->cid, from, to, err);
    while (rc == 0 && from < to && v->file->piece.size == 0)
        rc = next_piece(v->file, err);
    if (rc != 0)
        return rc;
    out->stream = (struct http_stream){.self = v->file, .read = file_read};
    out->stream_bytes = to - from;
    return 0;
}

static void send_file(struct gateway_visit *v, const struct http_request *r, const struct found *f,
                      struct http_response *out)
{
    if (gateway_visit_is_known(r, f->etag, out)) {
        gateway_visit_put_cache(v, f->etag, out);
        return;
    }
    size_t before = out->headers.size;
    put_headers(v, r, f, out);
    if (f->chunked && f->size > 0) {
        int rc = send_chunks(v, r, f, out, NULL);
        if (rc == 0)
            return;
        out->headers.size = before; /* nothing of them holds for a refusal */
        (void)http_server_say(out, rc == ERR_NOTFOUND ? 404 : 500,
                              "its first block cannot be read: %s", err_name(rc));
        return;
    }
    struct gateway_block block = {.fd = -1, .bytes = buf_new(BLOCK_BYTES_MAX), .size = f->size};
    buf_append(&block.bytes, f->data.data, (size_t)f->size);
    gateway_block_send(v, r, f->etag, &block, out);
}

/* --- by kind --- */

static bool is_file(const struct unixfs_node *n)
{
    return n->type == UNIXFS_FILE || n->type == UNIXFS_RAW;
}

/* Fills size and data of the file `f->cid`, whose block is in `block`. ERR_UNSUPPORTED: it is none.
 */
static int describe(struct found *f, struct bytes block, struct err *err)
{
    struct unixfs_node n = {0};
    f->size = block.size;
    f->data = block;
    if (cid_codec(&f->cid) != CID_DAG_PB)
        return cid_codec(&f->cid) == CID_RAW ? 0 : err_set(err, ERR_UNSUPPORTED, "is not a file");
    int rc = unixfs_node_decode(block, &n, err);
    if (rc == 0 && !is_file(&n))
        rc = err_set(err, ERR_UNSUPPORTED, "is not a file");
    f->size = n.file_bytes;
    f->data = n.data;
    f->chunked = n.pb.link_count > 0;
    unixfs_node_fini(&n);
    return rc;
}

static void send_symlink(struct gateway_visit *v, const struct http_request *r, const char *etag,
                         struct bytes target, struct http_response *out)
{
    buf_append_text(&out->headers, "Content-Type: inode/symlink\n");
    gateway_visit_put_cache(v, etag, out);
    gateway_visit_put_paths(v, r, out);
    if (gateway_visit_is_known(r, etag, out))
        return;
    buf_append(&out->body, target.data, target.size);
    out->status = 200;
    v->sent = v->head ? 0 : target.size;
}

static void redirect(const struct gateway_visit *v, const struct http_request *r,
                     struct http_response *out)
{
    const char *root_end = strchr(r->path + strlen("/ipfs/"), '/');
    int root_size = (int)(root_end == NULL ? strlen(r->path) : (size_t)(root_end - r->path));
    buf_append_format(&out->headers, "Location: %.*s", root_size, r->path);
    gateway_visit_escape(buf_bytes(&v->asked), &out->headers);
    buf_append_byte(&out->headers, '/');
    gateway_visit_put_query(r, r->query(r, "format"), &out->headers);
    buf_append_byte(&out->headers, '\n');
    (void)http_server_say(out, 301, "a directory's address ends with a slash");
}

static void send_index(struct gateway_visit *v, const struct http_request *r, const char *etag,
                       const struct cid *index, struct bytes directory, struct http_response *out)
{
    struct found f = {.cid = *index, .name = "index.html", .etag = etag};
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct err err = {0};
    int rc = block_source_get(&v->source, index, &block, &err);
    if (rc == 0)
        rc = describe(&f, buf_bytes(&block), &err);
    if (rc == 0)
        send_file(v, r, &f, out);
    else if (rc == ERR_UNSUPPORTED) /* a directory of that name, say */
        gateway_page_answer_directory(v, r, directory, out);
    else
        (void)gateway_visit_refuse(v, &err, out);
    buf_fini(&block);
}

static void send_directory(struct gateway_visit *v, const struct http_request *r, const char *etag,
                           struct bytes block, struct http_response *out)
{
    struct cid index;
    struct err err = {0};
    if (!v->slash) {
        redirect(v, r, out);
        return;
    }
    int rc =
        directory_find(&v->source, block, bytes_of_text("index.html"), NULL, NULL, &index, &err);
    if (rc == 0)
        send_index(v, r, etag, &index, block, out);
    else if (rc == ERR_NOTFOUND)
        gateway_page_answer_directory(v, r, block, out);
    else
        (void)gateway_visit_refuse(v, &err, out);
}

static void send_node(struct gateway_visit *v, const struct http_request *r, struct bytes block,
                      struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX];
    struct unixfs_node n = {0};
    struct err err = {0};
    struct found f = {.cid = v->cid, .name = last_segment(&v->path), .etag = etag};
    snprintf(etag, sizeof etag, "\"%s\"", cid_format(&v->cid, text));
    bool raw = cid_codec(&v->cid) == CID_RAW;
    int rc = raw ? 0 : unixfs_node_decode(block, &n, &err);
    if (rc == 0 && (raw || is_file(&n)))
        rc = describe(&f, block, &err);
    if (rc != 0)
        (void)gateway_visit_refuse(v, &err, out);
    else if (raw || is_file(&n))
        send_file(v, r, &f, out);
    else if (n.type == UNIXFS_SYMLINK)
        send_symlink(v, r, etag, n.data, out);
    else
        send_directory(v, r, etag, block, out);
    unixfs_node_fini(&n);
}

void gateway_file_answer(struct gateway_visit *v, const struct http_request *r,
                         struct http_response *out)
{
    struct err err = {0};
    char text[CID_TEXT_MAX];
    uint32_t codec = cid_codec(&v->cid);
    if (gateway_block_has_type(&v->cid)) {
        if (v->want.html)
            gateway_page_answer_dag(v, r, out);
        else
            gateway_block_answer_codec(v, r, out);
        return;
    }
    if (codec != CID_RAW && codec != CID_DAG_PB) {
        (void)http_server_say(out, 400, "%s is no file; ask for it with format=raw",
                              cid_format(&v->cid, text));
        return;
    }
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    if (block_source_get(&v->source, &v->cid, &block, &err) == 0)
        send_node(v, r, buf_bytes(&block), out);
    else
        (void)gateway_visit_refuse(v, &err, out);
    buf_fini(&block);
}
