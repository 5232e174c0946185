/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/simulate_door.h"

#include <stdio.h>

#define ANSWER_HEADERS_MAX (4u << 10)

/* --- one request --- */

struct request {
    struct http_request asked;
    struct http_response answer;
    char path[HTTP_PATH_MAX];
    char bearer[HTTP_TOKEN_MAX + 8];
};

static const char *header(const struct http_request *asked, const char *name)
{
    const struct request *r = asked->raw;
    return strcmp(name, "Authorization") == 0 ? r->bearer : NULL;
}

static const char *query(const struct http_request *asked, const char *name)
{
    (void)asked;
    return strcmp(name, "format") == 0 ? "raw" : NULL;
}

/* `path` is filled. True: the request goes on; false: it is answered. In both cases it must end. */
static bool begin(struct simulate_door *d, struct request *r, const char *method)
{
    snprintf(r->bearer, sizeof r->bearer, "Bearer %s", d->token);
    r->asked = (struct http_request){
        .method = method, .path = r->path, .header = header, .query = query, .raw = r};
    r->answer = (struct http_response){.body = buf_new(STORE_BLOCK_BYTES_MAX),
                                       .headers = buf_new(ANSWER_HEADERS_MAX),
                                       .file = {.fd = -1}};
    return d->gateway.begin(d->gateway.self, &r->asked, &r->answer);
}

static int judge(struct request *r, struct err *err)
{
    int code = ERR_NET;
    if (r->answer.status == 200)
        return 0;
    if (r->answer.status == 401 || r->answer.status == 403)
        code = ERR_DENIED;
    else if (r->answer.status == 404)
        code = ERR_NOTFOUND;
    else if (r->answer.status == 413)
        code = ERR_LIMIT;
    else if (r->answer.status == 400)
        code = ERR_MALFORMED;
    if (r->answer.body.size > 0)
        r->answer.body.size--; /* the end of its line */
    return err_set(err, code, "the coordinator answered %d: %s", r->answer.status,
                   buf_text(&r->answer.body));
}

static int end(struct simulate_door *d, struct request *r, struct buf *out, struct err *err)
{
    int loaded = http_server_load_file(&r->answer, err);
    d->gateway.end(d->gateway.self, &r->asked);
    int rc = loaded != 0 ? loaded : judge(r, err);
    if (rc == 0 && out != NULL) {
        buf_clear(out);
        buf_append(out, r->answer.body.data, r->answer.body.size);
        rc = buf_check(out, err);
    }
    buf_fini(&r->answer.body);
    buf_fini(&r->answer.headers);
    return rc;
}

static int check_way(const struct simulate_door *d, struct err *err)
{
    if (d->gateway.begin == NULL)
        return err_set(err, ERR_NET, "the coordinator is not there");
    return atomic_load(d->cancel) != 0 ? err_set(err, ERR_TIMEOUT, "cancelled") : 0;
}

/* --- blocks --- */

/* Into `out`, hashed; not into the store. */
static int ask_block(struct simulate_door *d, const struct cid *cid, struct buf *out,
                     struct err *err)
{
    char text[CID_TEXT_MAX];
    struct request r;
    int rc = check_way(d, err);
    if (rc != 0)
        return rc;
    snprintf(r.path, sizeof r.path, "/ipfs/%s", cid_format(cid, text));
    if (begin(d, &r, "GET"))
        d->gateway.answer(d->gateway.self, &r.asked, &r.answer);
    rc = end(d, &r, out, err);
    if (rc != 0)
        return rc;
    d->received += out->size;
    return cid_verify(cid, buf_bytes(out), err);
}

static int get_or_ask(struct simulate_door *d, struct store *s, const struct cid *cid,
                      struct buf *out, struct err *err)
{
    int rc = store_get(s, cid, out, err);
    if (rc != ERR_NOTFOUND && rc != ERR_CORRUPT)
        return rc;
    rc = ask_block(d, cid, out, err);
    return rc != 0 ? rc : store_put(s, cid, buf_bytes(out), err);
}

int simulate_door_block(struct simulate_door *d, struct store *s, const struct cid *cid,
                        struct buf *out, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = get_or_ask(d, s, cid, &block, err);
    if (rc == 0 && out != NULL) {
        buf_clear(out);
        buf_append(out, block.data, block.size);
        rc = buf_check(out, err);
    }
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "fetch block %s", cid_format(cid, text)) : 0;
}

/* --- a model --- */

struct copy {
    struct simulate_door *door;
    struct store *store;
    const struct cid *root;
    struct store_model *part; /* once its size is known */
    uint64_t size;
    struct buf leaf;
};

static int begin_part(struct copy *c, struct err *err)
{
    char text[CID_TEXT_MAX];
    return c->part != NULL
               ? 0
               : store_model_begin(c->store, cid_format(c->root, text), c->size, &c->part, err);
}

static int get_node(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct copy *c = self;
    return get_or_ask(c->door, c->store, cid, out, err);
}

static int copy_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct copy *c = self;
    int rc = begin_part(c, err);
    if (rc == 0 && store_get(c->store, &leaf->cid, &c->leaf, NULL) != 0)
        rc = ask_block(c->door, &leaf->cid, &c->leaf, err);
    return rc != 0 ? rc : store_model_write(c->part, leaf->offset, buf_bytes(&c->leaf), err);
}

static int copy_tree(struct copy *c, uint64_t bytes_max, struct err *err)
{
    const struct block_source source = {.self = c, .get = get_node};
    int rc = unixfs_walk(&source, c->root, bytes_max, &c->size, copy_leaf, c, err);
    return rc != 0 ? rc : begin_part(c, err); /* an empty file has no leaf */
}

/* A file of one leaf has no tree, and the leaf is no block of its own. */
static int copy_single(struct copy *c, uint64_t bytes_max, struct err *err)
{
    int rc = ask_block(c->door, c->root, &c->leaf, err);
    c->size = c->leaf.size;
    if (rc == 0 && c->size > bytes_max)
        rc = err_set(err, ERR_LIMIT, "a model of %llu bytes, more than %llu",
                     (unsigned long long)c->size, (unsigned long long)bytes_max);
    if (rc == 0)
        rc = begin_part(c, err);
    return rc != 0 ? rc : store_model_write(c->part, 0, buf_bytes(&c->leaf), err);
}

int simulate_door_model(struct simulate_door *d, struct store *s, const struct cid *root,
                        uint64_t bytes_max, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct copy c = {.door = d, .store = s, .root = root, .leaf = buf_new(STORE_BLOCK_BYTES_MAX)};
    if (store_model_has(s, root))
        return 0;
    int rc = cid_codec(root) == CID_RAW ? copy_single(&c, bytes_max, err)
                                        : copy_tree(&c, bytes_max, err);
    if (rc == 0)
        rc = store_model_finish(c.part, root, false, err);
    if (rc != 0)
        store_model_close(c.part, false);
    buf_fini(&c.leaf);
    return rc != 0 ? err_wrap(err, rc, "fetch model %s", cid_format(root, text)) : 0;
}

/* --- an upload --- */

/* One CAR section. False: the gateway has answered. */
static bool give_block(struct simulate_door *d, struct request *r, const struct cid *cid,
                       const struct buf *block)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    size_t size = car_section_head(cid, block->size, head);
    d->sent += block->size;
    return d->gateway.body(d->gateway.self, &r->asked, bytes_of(head, size), &r->answer) &&
           d->gateway.body(d->gateway.self, &r->asked, buf_bytes(block), &r->answer);
}

int simulate_door_upload(struct simulate_door *d, uint64_t round, struct pack *pack,
                         const struct cid *cids, size_t count, struct err *err)
{
    struct request r;
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    int rc = check_way(d, err);
    if (rc != 0)
        return rc;
    snprintf(r.path, sizeof r.path, "/upload/%llu", (unsigned long long)round);
    bool open = begin(d, &r, "PUT");
    for (size_t i = 0; rc == 0 && open && i < count; i++) {
        rc = pack_get(pack, &cids[i], &block, err);
        if (rc == 0)
            rc = check_way(d, err);
        if (rc == 0)
            open = give_block(d, &r, &cids[i], &block);
    }
    if (rc == 0 && open)
        d->gateway.answer(d->gateway.self, &r.asked, &r.answer);
    int answered = end(d, &r, NULL, rc == 0 ? err : NULL);
    buf_fini(&block);
    rc = rc != 0 ? rc : answered;
    return rc != 0 ? err_wrap(err, rc, "upload for round %llu", (unsigned long long)round) : 0;
}
