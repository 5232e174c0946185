/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unixfs_walk.h"

#include <stdlib.h>

/* On one way down: two full nodes. No file that anybody writes comes near. */
#define LINKS_HELD_MAX (2 * DAGPB_LINKS_MAX)

/* One inner node on the way down; its block is gone, links and sizes are its own. */
struct visit {
    struct unixfs_node node;
    size_t next;
};

struct walk {
    const struct block_source *source;
    const struct unixfs_visitor *visitor;
    uint64_t from, to;
    bool whole; /* a model: a child of no bytes is refused, not passed over */
    struct visit *stack[UNIXFS_DEPTH_MAX];
    size_t depth, links_held;
    uint64_t offset; /* of the next byte in the file */
    struct buf block;
};

static int data_at(struct walk *w, struct bytes data, struct err *err)
{
    uint64_t start = w->offset, end = start + data.size;
    w->offset = end;
    if (data.size > 0 && w->visitor->data == NULL)
        return err_set(err, ERR_UNSUPPORTED, "UnixFS: bytes inside a dag-pb node");
    uint64_t first = start > w->from ? start : w->from, last = end < w->to ? end : w->to;
    if (first >= last)
        return 0;
    struct bytes cut = bytes_of(data.data + (first - start), (size_t)(last - first));
    return w->visitor->data(w->visitor->self, first, cut, err);
}

static int check_kind(const struct unixfs_node *n, struct err *err)
{
    if (n->type == UNIXFS_FILE || n->type == UNIXFS_RAW)
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "UnixFS: is a %s, not a file",
                   n->type == UNIXFS_SYMLINK ? "symlink" : "directory");
}

/* Lets the visitor see the node that was just loaded into w->block. */
static int show(struct walk *w, const struct cid *cid, const struct unixfs_node *n, bool is_root,
                struct err *err)
{
    const struct unixfs_visitor *v = w->visitor;
    int rc = 0;
    if (is_root && v->begin != NULL)
        rc = v->begin(v->self, n->file_bytes, err);
    if (rc == 0 && v->node != NULL)
        rc = v->node(v->self, cid, buf_bytes(&w->block), err);
    return rc != 0 ? rc : data_at(w, n->data, err);
}

/* Loads the node `cid`, which must say that it holds `*expected` bytes (NULL: the root, which alone
 * says so). */
static int load(struct walk *w, const struct cid *cid, const uint64_t *expected,
                struct unixfs_node *out, struct err *err)
{
    int rc = block_source_get(w->source, cid, &w->block, err);
    if (rc == 0)
        rc = unixfs_node_decode(buf_bytes(&w->block), out, err);
    if (rc != 0)
        return rc;
    rc = check_kind(out, err);
    if (rc == 0 && expected != NULL && out->file_bytes != *expected)
        rc = err_set(err, ERR_MALFORMED, "UnixFS: holds %llu bytes, its parent says %llu",
                     (unsigned long long)out->file_bytes, (unsigned long long)*expected);
    if (rc == 0 && out->pb.link_count > LINKS_HELD_MAX - w->links_held)
        rc = err_set(err, ERR_LIMIT, "UnixFS: more than %d links on one way down", LINKS_HELD_MAX);
    if (rc != 0)
        unixfs_node_fini(out);
    return rc;
}

static int enter(struct walk *w, const struct cid *cid, const uint64_t *expected, struct err *err)
{
    char text[CID_TEXT_MAX];
    if (w->depth == UNIXFS_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "UnixFS: deeper than %d", UNIXFS_DEPTH_MAX);
    struct visit *v = calloc(1, sizeof *v);
    if (v == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = load(w, cid, expected, &v->node, err);
    if (rc != 0) {
        free(v);
        return err_wrap(err, rc, "node %s", cid_format(cid, text));
    }
    w->stack[w->depth++] = v;
    w->links_held += v->node.pb.link_count;
    return show(w, cid, &v->node, expected == NULL, err);
}

static void leave(struct walk *w)
{
    struct visit *v = w->stack[--w->depth];
    w->links_held -= v->node.pb.link_count;
    unixfs_node_fini(&v->node);
    free(v);
}

/* A raw child: named, or handed out if its CID holds it. */
static int raw_leaf(struct walk *w, const struct cid *cid, uint64_t size, struct err *err)
{
    struct bytes block;
    if (cid_identity(cid, &block)) {
        if (block.size != size)
            return err_set(err, ERR_MALFORMED,
                           "UnixFS: an identity CID of %zu bytes, its parent says %llu", block.size,
                           (unsigned long long)size);
        return data_at(w, block, err);
    }
    if (size > BLOCK_BYTES_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "UnixFS: a leaf that is not a raw block: %llu bytes are too many",
                       (unsigned long long)size);
    struct unixfs_leaf leaf = {.cid = *cid, .offset = w->offset, .size = size};
    w->offset += size;
    return w->visitor->leaf == NULL ? 0 : w->visitor->leaf(w->visitor->self, &leaf, err);
}

/* The next child of the node on top. */
static int step(struct walk *w, struct visit *v, struct err *err)
{
    const struct cid *cid = &v->node.pb.links[v->next].cid;
    uint64_t size = v->node.child_bytes[v->next++];
    if (size == 0)
        return w->whole ? err_set(err, ERR_MALFORMED, "UnixFS: an empty child") : 0;
    if (w->offset + size <= w->from) {
        w->offset += size;
        return 0;
    }
    if (cid_codec(cid) == CID_DAG_PB)
        return enter(w, cid, &size, err);
    if (cid_codec(cid) == CID_RAW)
        return raw_leaf(w, cid, size, err);
    return err_set(err, ERR_UNSUPPORTED, "UnixFS: a leaf that is not a raw block");
}

static int walk_on(struct walk *w, struct err *err)
{
    while (w->depth > 0) {
        struct visit *v = w->stack[w->depth - 1];
        if (!w->whole && (w->offset >= w->to || w->from >= w->to))
            return 0;
        if (v->next == v->node.pb.link_count) {
            leave(w);
            continue;
        }
        int rc = step(w, v, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* A root that is a leaf says nothing of its size: the block does. */
static int walk_single(struct walk *w, const struct cid *root, struct err *err)
{
    int rc = block_source_get(w->source, root, &w->block, err);
    uint64_t size = w->block.size;
    if (rc == 0 && w->visitor->begin != NULL)
        rc = w->visitor->begin(w->visitor->self, size, err);
    if (rc != 0 || size == 0 || w->from >= size || w->from >= w->to)
        return rc;
    return raw_leaf(w, root, size, err);
}

static int walk_root(struct walk *w, const struct cid *root, struct err *err)
{
    int rc;
    w->block = buf_new(BLOCK_BYTES_MAX);
    if (cid_codec(root) == CID_RAW)
        rc = walk_single(w, root, err);
    else if (cid_codec(root) == CID_DAG_PB)
        rc = enter(w, root, NULL, err);
    else
        rc = err_set(err, ERR_UNSUPPORTED, "UnixFS: the root is neither raw nor dag-pb");
    if (rc == 0)
        rc = walk_on(w, err);
    while (w->depth > 0)
        leave(w);
    buf_fini(&w->block);
    return rc;
}

int unixfs_walk_range(const struct block_source *source, const struct cid *root, uint64_t from,
                      uint64_t to, const struct unixfs_visitor *v, struct err *err)
{
    struct walk w = {.source = source, .visitor = v, .from = from, .to = to};
    return walk_root(&w, root, err);
}

/* --- a model --- */

struct model {
    uint64_t max_bytes;
    uint64_t *size;
    int (*leaf)(void *self, const struct unixfs_leaf *leaf, struct err *err);
    void *self;
};

static int model_begin(void *self, uint64_t file_bytes, struct err *err)
{
    struct model *m = self;
    if (file_bytes > m->max_bytes)
        return err_set(err, ERR_LIMIT, "UnixFS: a file of %llu bytes, more than %llu",
                       (unsigned long long)file_bytes, (unsigned long long)m->max_bytes);
    if (m->size != NULL)
        *m->size = file_bytes;
    return 0;
}

static int model_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct model *m = self;
    return m->leaf(m->self, leaf, err);
}

int unixfs_walk(const struct block_source *source, const struct cid *root, uint64_t max_bytes,
                uint64_t *size,
                int (*leaf)(void *self, const struct unixfs_leaf *leaf, struct err *err),
                void *self, struct err *err)
{
    struct model m = {.max_bytes = max_bytes, .size = size, .leaf = leaf, .self = self};
    struct unixfs_visitor v = {.self = &m, .begin = model_begin, .leaf = model_leaf};
    struct walk w = {.source = source, .visitor = &v, .to = UINT64_MAX, .whole = true};
    return walk_root(&w, root, err);
}

/* --- reading --- */

struct reader {
    const struct block_source *source;
    uint64_t from, to;
    int (*write)(void *self, struct bytes piece, struct err *err);
    void *self;
    struct buf block;
};

static int read_data(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    (void)offset;
    struct reader *r = self;
    return r->write(r->self, data, err);
}

static int read_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct reader *r = self;
    char text[CID_TEXT_MAX];
    int rc = block_source_get(r->source, &leaf->cid, &r->block, err);
    if (rc == 0 && r->block.size != leaf->size)
        rc = err_set(err, ERR_MALFORMED, "UnixFS: holds %zu bytes, its parent says %llu",
                     r->block.size, (unsigned long long)leaf->size);
    if (rc != 0)
        return err_wrap(err, rc, "leaf %s", cid_format(&leaf->cid, text));
    uint64_t first = leaf->offset > r->from ? 0 : r->from - leaf->offset;
    uint64_t last = r->to - leaf->offset < leaf->size ? r->to - leaf->offset : leaf->size;
    return r->write(r->self, bytes_of(r->block.data + first, (size_t)(last - first)), err);
}

/* A root that is a leaf is fetched once, not once for its size and once for its bytes. */
static int read_single(struct reader *r, const struct cid *root, struct err *err)
{
    int rc = block_source_get(r->source, root, &r->block, err);
    uint64_t last = r->block.size < r->to ? r->block.size : r->to;
    if (rc != 0 || r->from >= last)
        return rc;
    return r->write(r->self, bytes_of(r->block.data + r->from, (size_t)(last - r->from)), err);
}

int unixfs_walk_read(const struct block_source *source, const struct cid *root, uint64_t from,
                     uint64_t to, int (*write)(void *self, struct bytes piece, struct err *err),
                     void *self, struct err *err)
{
    struct reader r = {.source = source,
                       .from = from,
                       .to = to,
                       .write = write,
                       .self = self,
                       .block = buf_new(BLOCK_BYTES_MAX)};
    struct unixfs_visitor v = {.self = &r, .leaf = read_leaf, .data = read_data};
    int rc = cid_codec(root) == CID_RAW ? read_single(&r, root, err)
                                        : unixfs_walk_range(source, root, from, to, &v, err);
    buf_fini(&r.block);
    return rc;
}
