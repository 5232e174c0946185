/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_car.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "content/car.h"
#include "content/unixfs_node.h"
#include "transport/gateway_walk.h"

#define PENDING_MAX    (BLOCK_BYTES_MAX + CAR_HEADER_BYTES_MAX)
#define NAMED_PATH_MAX 180
#define ETAG_BYTES     8 /* of the hash of what shapes the answer */

struct gateway_car {
    struct gateway_visit *visit;
    struct gateway_walk *walk;
    size_t passed; /* of the path's blocks, given or passed over */
    struct buf pending;
    size_t pending_at;
    struct store_place place; /* what of a leaf is still to send; fd -1: nothing */
    bool over, failed;
};

/* --- sections --- */

static void put_section(struct gateway_car *c, const struct cid *cid, struct bytes block)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    buf_append(&c->pending, head, car_section_head(cid, block.size, head));
    buf_append(&c->pending, block.data, block.size);
}

/* A block that was not read: from where it lies, or, where others may have changed it, hashed. */
static int put_place(struct gateway_car *c, const struct cid *cid, struct err *err)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct store_place place;
    struct store *store = c->visit->g->store;
    int rc = store_find(store, cid, &place, err);
    if (rc != 0)
        return rc;
    if (!place.hash) {
        buf_append(&c->pending, head, car_section_head(cid, place.size, head));
        c->place = place;
        return 0;
    }
    close(place.fd);
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    rc = store_get(store, cid, &block, err);
    if (rc == 0)
        put_section(c, cid, buf_bytes(&block));
    buf_fini(&block);
    return rc;
}

/* The next block of the path; the last one is the walk's, if it is the same. 1: there was one. */
static int next_passed(struct gateway_car *c, struct err *err)
{
    struct gateway_visit *v = c->visit;
    struct cid cid;
    if (c->passed >= v->passed.size / sizeof cid)
        return 0;
    memcpy(&cid, v->passed.data + c->passed++ * sizeof cid, sizeof cid);
    if (cid_identity(&cid, NULL) ||
        (c->passed == v->passed.size / sizeof cid && cid_equal(&cid, &v->cid)))
        return 1;
    int given = gateway_walk_pass_over(c->walk, &cid, err);
    int rc = given == 0 ? put_place(c, &cid, err) : given;
    return rc < 0 ? rc : 1;
}

/* 1: more to send; 0: that was all. */
static int next_section(struct gateway_car *c, struct err *err)
{
    struct gateway_walk_item item;
    int rc = next_passed(c, err);
    if (rc != 0)
        return rc;
    rc = gateway_walk_next(c->walk, &item, err);
    if (rc <= 0 || cid_identity(&item.cid, NULL))
        return rc;
    if (!item.loaded) {
        rc = put_place(c, &item.cid, err);
        return rc != 0 ? rc : 1;
    }
    put_section(c, &item.cid, item.block);
    return 1;
}

/* --- the stream --- */

static size_t take_pending(struct gateway_car *c, uint8_t *data, size_t size)
{
    size_t n = c->pending.size - c->pending_at;
    if (n > size)
        n = size;
    if (n > 0)
        memcpy(data, c->pending.data + c->pending_at, n);
    c->pending_at += n;
    if (c->pending_at == c->pending.size) {
        buf_clear(&c->pending);
        c->pending_at = 0;
    }
    return n;
}

static void leave_place(struct gateway_car *c)
{
    if (c->place.fd >= 0)
        close(c->place.fd);
    c->place.fd = -1;
}

static size_t take_place(struct gateway_car *c, uint8_t *data, size_t size)
{
    size_t want = c->place.size < size ? c->place.size : size;
    ssize_t n = 0;
    while (want > 0 && (n = pread(c->place.fd, data, want, (off_t)c->place.offset)) < 0 &&
           errno == EINTR)
        continue;
    if (want > 0 && n <= 0) {
        c->failed = true; /* the file is shorter than the block */
        return 0;
    }
    c->place.offset += (uint64_t)n;
    c->place.size -= (uint32_t)n;
    if (c->place.size == 0)
        leave_place(c);
    return (size_t)n;
}

static long car_read(void *self, uint8_t *data, size_t size)
{
    struct gateway_car *c = self;
    size_t n = 0;
    while (n < size && !c->failed) {
        if (c->pending.size > 0) {
            n += take_pending(c, data + n, size - n);
        } else if (c->place.fd >= 0) {
            n += take_place(c, data + n, size - n);
        } else if (c->over) {
            break;
        } else {
            int rc = next_section(c, NULL);
            c->over = rc == 0;
            c->failed = rc < 0 || c->pending.failed;
        }
    }
    c->visit->sent += n;
    return n > 0 ? (long)n : (c->failed ? -1 : 0);
}

void gateway_car_free(struct gateway_car *c)
{
    if (c == NULL)
        return;
    gateway_walk_free(c->walk);
    leave_place(c);
    buf_fini(&c->pending);
    free(c);
}

/* --- the answer --- */

/* Is the end of the path a file, and how long? */
static int measure(struct gateway_visit *v, bool *file, uint64_t *size, struct err *err)
{
    *file = cid_codec(&v->cid) == CID_RAW;
    if (*file)
        return gateway_visit_size(v, &v->cid, size, err);
    if (cid_codec(&v->cid) != CID_DAG_PB)
        return 0;
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct unixfs_node n = {0};
    int rc = block_source_get(&v->source, &v->cid, &block, err);
    if (rc == 0 && unixfs_node_decode(buf_bytes(&block), &n, NULL) == 0) {
        *file = n.type == UNIXFS_FILE || n.type == UNIXFS_RAW;
        *size = n.file_bytes;
    }
    unixfs_node_fini(&n);
    buf_fini(&block);
    return rc;
}

static int shape(struct gateway_visit *v, struct gateway_walk_config *c, struct err *err)
{
    bool file;
    uint64_t size = 0;
    *c = (struct gateway_walk_config){.source = &v->source,
                                      .root = v->cid,
                                      .scope = v->want.scope,
                                      .to = UINT64_MAX,
                                      .dups = v->want.dups};
    int rc = v->want.has_bytes ? measure(v, &file, &size, err) : 0;
    if (rc != 0 || !v->want.has_bytes || !file)
        return rc;
    if (!gateway_want_place(&v->want.bytes, size, &c->from, &c->to))
        return err_set(err, ERR_USAGE, "entity-bytes lies outside its %llu bytes",
                       (unsigned long long)size);
    if (c->from == 0 && c->to == size)
        c->to = UINT64_MAX; /* all of it, empty chunks too */
    else if (c->from >= c->to)
        c->scope = GATEWAY_BLOCK;
    return 0;
}

static int open_car(struct gateway_visit *v, struct err *err)
{
    struct gateway_walk_config config;
    int rc = shape(v, &config, err);
    if (rc != 0)
        return rc;
    v->car = calloc(1, sizeof *v->car);
    if (v->car == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    v->car->visit = v;
    v->car->place.fd = -1;
    v->car->pending = buf_new(PENDING_MAX);
    car_put_header(&v->car->pending, &v->cid, 1);
    return gateway_walk_new(&config, &v->car->walk, err);
}

/* Other shapes of one DAG are other answers. */
static void put_etag(const struct gateway_visit *v, char out[GATEWAY_VISIT_ETAG_MAX])
{
    static const char *const scopes[] = {
        [GATEWAY_ALL] = "all", [GATEWAY_ENTITY] = "entity", [GATEWAY_BLOCK] = "block"};
    const struct gateway_bytes *b = &v->want.bytes;
    char text[CID_TEXT_MAX], hex[2 * ETAG_BYTES + 1];
    uint8_t digest[HASH_BYTES];
    struct buf said = buf_new(RESOLVE_PATH_MAX + CID_TEXT_MAX + 256);
    buf_append_format(&said, "%s %d %d %d %d %d %llu %llu ", cid_format(&v->root, text),
                      v->want.dups, v->want.has_bytes, b->from_end, b->to_end, b->open,
                      (unsigned long long)b->from, (unsigned long long)b->to);
    buf_append(&said, v->path.data, v->path.size);
    hash_sha256(buf_bytes(&said), digest);
    buf_fini(&said);
    bytes_format_hex(bytes_of(digest, ETAG_BYTES), hex);
    snprintf(out, GATEWAY_VISIT_ETAG_MAX, "W/\"%s.%s.%s.car\"", cid_format(&v->cid, text),
             scopes[v->want.scope], hex);
}

/* ROOT_segment_segment.car, as far as a file may be called so. */
static void put_car_name(const struct gateway_visit *v, struct http_response *out)
{
    struct buf name = buf_new(CID_TEXT_MAX + NAMED_PATH_MAX + 8);
    char text[CID_TEXT_MAX];
    size_t size = v->asked.size <= NAMED_PATH_MAX ? v->asked.size : 0;
    buf_append_text(&name, cid_format(&v->root, text));
    for (size_t i = 0; i < size; i++)
        buf_append_byte(&name, v->asked.data[i] == '/' ? '_' : v->asked.data[i]);
    buf_append_text(&name, ".car");
    gateway_visit_put_name(v, "attachment", buf_text(&name), out);
    buf_fini(&name);
}

void gateway_car_answer(struct gateway_visit *v, const struct http_request *r,
                        struct http_response *out)
{
    char text[CID_TEXT_MAX], etag[GATEWAY_VISIT_ETAG_MAX];
    struct err err = {0};
    if (!gateway_visit_has(v, &v->cid)) {
        (void)err_set(&err, ERR_NOTFOUND, "no block %s here", cid_format(&v->cid, text));
        (void)gateway_visit_refuse(v, &err, out);
        return;
    }
    if (open_car(v, &err) != 0) {
        (void)gateway_visit_refuse(v, &err, out);
        return;
    }
    put_etag(v, etag);
    buf_append_format(&out->headers,
                      "Content-Type: application/vnd.ipld.car; version=1; order=dfs; dups=%c\n"
                      "Accept-Ranges: none\n",
                      v->want.dups ? 'y' : 'n');
    put_car_name(v, out);
    gateway_visit_put_cache(v, etag, out);
    gateway_visit_put_paths(v, r, out);
    gateway_visit_put_location(v, r, "car", out);
    if (gateway_visit_is_known(r, etag, out))
        return;
    out->status = 200;
    out->stream = (struct http_stream){.self = v->car, .read = car_read};
    out->stream_bytes = UINT64_MAX;
}
