/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unixfs.h"

#include <stdlib.h>

#include "base/files.h"
#include "base/jobs.h"

#define NODE_BYTES_MAX (2u << 20)
#define LEVELS_MAX     8 /* 1,024^8 leaves: no file is larger */
#define WINDOW_LEAVES  16

struct level {
    size_t count;
    struct dagpb_link links[UNIXFS_LINKS];
};

/* The tree under way: level 0 collects leaves, each full level becomes one link of the next. */
struct unixfs_builder {
    int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct level *levels[LEVELS_MAX];
    struct buf block;
    bool short_leaf; /* one was added: it was the last */
};

int unixfs_builder_new(int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct unixfs_builder **out, struct err *err)
{
    struct unixfs_builder *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->put = put;
    b->self = self;
    b->block = buf_new(NODE_BYTES_MAX);
    *out = b;
    return 0;
}

void unixfs_builder_free(struct unixfs_builder *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < LEVELS_MAX; i++)
        free(b->levels[i]);
    buf_fini(&b->block);
    free(b);
}

/* Turns level `depth` into one node, linked from the level above. */
static int close_level(struct unixfs_builder *b, size_t depth, struct dagpb_link *out,
                       struct err *err)
{
    struct level *l = b->levels[depth];
    buf_clear(&b->block);
    dagpb_encode_file(l->links, l->count, &b->block);
    int rc = buf_check(&b->block, err);
    if (rc != 0)
        return rc;
    *out = (struct dagpb_link){.cid = cid_of(CID_DAG_PB, buf_bytes(&b->block)),
                               .total_bytes = b->block.size};
    for (size_t i = 0; i < l->count; i++) {
        out->file_bytes += l->links[i].file_bytes;
        out->total_bytes += l->links[i].total_bytes;
    }
    l->count = 0;
    return b->put == NULL ? 0 : b->put(b->self, &out->cid, buf_bytes(&b->block), err);
}

static int add_link(struct unixfs_builder *b, size_t depth, const struct dagpb_link *link,
                    struct err *err)
{
    for (struct dagpb_link carried = *link;; depth++) {
        if (depth == LEVELS_MAX)
            return err_set(err, ERR_LIMIT, "UnixFS: file too large");
        if (b->levels[depth] == NULL)
            b->levels[depth] = calloc(1, sizeof **b->levels);
        struct level *l = b->levels[depth];
        if (l == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        if (l->count < UNIXFS_LINKS) {
            l->links[l->count++] = carried;
            return 0;
        }
        /* Full, and one more comes: only now, so that a tree of exactly 1,024 leaves has one node.
         */
        struct dagpb_link node;
        int rc = close_level(b, depth, &node, err);
        if (rc != 0)
            return rc;
        l->links[l->count++] = carried;
        carried = node;
    }
}

int unixfs_builder_add(struct unixfs_builder *b, const uint8_t digest[HASH_BYTES], uint64_t size,
                       struct err *err)
{
    if (size == 0 || size > UNIXFS_LEAF_BYTES || b->short_leaf)
        return err_set(err, ERR_USAGE, "UnixFS: a leaf of %llu bytes here",
                       (unsigned long long)size);
    b->short_leaf = size < UNIXFS_LEAF_BYTES;
    struct dagpb_link leaf = {
        .cid = cid_from_digest(CID_RAW, digest), .file_bytes = size, .total_bytes = size};
    return add_link(b, 0, &leaf, err);
}

int unixfs_builder_finish(struct unixfs_builder *b, struct cid *root, struct err *err)
{
    if (b->levels[0] == NULL || b->levels[0]->count == 0) {
        *root = cid_of(CID_RAW, bytes_of(NULL, 0));
        return 0;
    }
    /* Every level is closed into the one above, until a level holds one link and nothing lies above
     * it: that is the root. So all leaves stand at the same depth, whatever the last node of a
     * level holds. */
    for (size_t depth = 0; depth < LEVELS_MAX; depth++) {
        struct level *l = b->levels[depth];
        bool top = depth + 1 == LEVELS_MAX || b->levels[depth + 1] == NULL;
        if (top && l->count == 1) {
            *root = l->links[0].cid;
            return 0;
        }
        struct dagpb_link node;
        int rc = close_level(b, depth, &node, err);
        if (rc == 0)
            rc = add_link(b, depth + 1, &node, err);
        if (rc != 0)
            return rc;
    }
    return err_set(err, ERR_LIMIT, "UnixFS: file too large");
}

/* --- hashing a file --- */

struct hashing {
    const struct files *files;
    int fd;
    uint64_t first, size;
    uint8_t *leaves; /* WINDOW_LEAVES of them */
    uint8_t digests[WINDOW_LEAVES][HASH_BYTES];
    struct err errs[WINDOW_LEAVES];
};

static uint64_t leaf_size(const struct hashing *h, size_t i)
{
    uint64_t left = h->size - h->first - (uint64_t)i * UNIXFS_LEAF_BYTES;
    return left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES;
}

static void hash_leaf(void *self, size_t i)
{
    struct hashing *h = self;
    uint8_t *leaf = h->leaves + i * UNIXFS_LEAF_BYTES;
    size_t size = (size_t)leaf_size(h, i);
    h->errs[i].code = 0;
    if (h->files->read(h->files->self, h->fd, h->first + (uint64_t)i * UNIXFS_LEAF_BYTES, leaf,
                       size, &h->errs[i]) == 0)
        hash_sha256(bytes_of(leaf, size), h->digests[i]);
}

static int hash_windows(struct hashing *h, struct jobs *jobs, struct unixfs_builder *b,
                        struct err *err)
{
    for (; h->first < h->size; h->first += (uint64_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES) {
        uint64_t leaves = (h->size - h->first + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES;
        size_t count = leaves < WINDOW_LEAVES ? (size_t)leaves : WINDOW_LEAVES;
        jobs_split(jobs, count, hash_leaf, h);
        for (size_t i = 0; i < count; i++) {
            if (h->errs[i].code != 0)
                return err_set(err, h->errs[i].code, "%s", h->errs[i].text);
            int rc = unixfs_builder_add(b, h->digests[i], leaf_size(h, i), err);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

int unixfs_hash_file(const struct files *f, const char *path, struct jobs *jobs, struct cid *root,
                     uint64_t *size, struct err *err)
{
    struct hashing h = {.files = f, .fd = -1};
    struct unixfs_builder *b = NULL;
    struct files_stat s;
    int rc = f->open(f->self, path, FILES_READ, &h.fd, err);
    if (rc != 0)
        return rc;
    rc = f->stat_fd(f->self, h.fd, &s, err);
    h.leaves = malloc((size_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES);
    if (rc == 0 && h.leaves == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = unixfs_builder_new(NULL, NULL, &b, err);
    if (rc == 0) {
        h.size = s.size;
        rc = hash_windows(&h, jobs, b, err);
    }
    if (rc == 0)
        rc = unixfs_builder_finish(b, root, err);
    if (rc == 0 && size != NULL)
        *size = h.size;
    unixfs_builder_free(b);
    free(h.leaves);
    f->close(f->self, h.fd);
    return rc != 0 ? err_wrap(err, rc, "%s", path) : 0;
}

/* --- reading --- */

/* One inner node on the way down. */
struct visit {
    struct dagpb_node node;
    size_t next;
};

struct walk {
    const struct unixfs_source *source;
    struct visit *stack[UNIXFS_DEPTH_MAX];
    size_t depth;
    uint64_t offset;
};

/* Loads the node `cid`, which must say that it holds `expected` bytes (UINT64_MAX: unknown). */
static int enter(struct walk *w, const struct cid *cid, uint64_t expected, struct err *err)
{
    if (w->depth == UNIXFS_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "UnixFS: deeper than %d", UNIXFS_DEPTH_MAX);
    struct visit *v = calloc(1, sizeof *v);
    if (v == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct buf block = buf_new(NODE_BYTES_MAX);
    char text[CID_TEXT_MAX];
    int rc = w->source->get(w->source->self, cid, &block, err);
    if (rc == 0)
        rc = dagpb_decode_file(buf_bytes(&block), &v->node, err);
    if (rc == 0 && v->node.data.size > 0) {
        dagpb_node_fini(&v->node);
        rc = err_set(err, ERR_UNSUPPORTED, "UnixFS: bytes inside a dag-pb node");
    }
    buf_fini(&block);
    if (rc != 0) {
        free(v);
        return err_wrap(err, rc, "node %s", cid_format(cid, text));
    }
    w->stack[w->depth++] = v;
    if (expected != UINT64_MAX && v->node.file_bytes != expected)
        return err_set(err, ERR_MALFORMED, "UnixFS: node %s holds %llu bytes, its parent says %llu",
                       cid_format(cid, text), (unsigned long long)v->node.file_bytes,
                       (unsigned long long)expected);
    return 0;
}

static void leave(struct walk *w)
{
    struct visit *v = w->stack[--w->depth];
    dagpb_node_fini(&v->node);
    free(v);
}

typedef int leaf_function(void *self, const struct unixfs_leaf *leaf, struct err *err);

static int walk_on(struct walk *w, leaf_function *leaf, void *self, struct err *err)
{
    while (w->depth > 0) {
        struct visit *v = w->stack[w->depth - 1];
        if (v->next == v->node.link_count) {
            leave(w);
            continue;
        }
        const struct dagpb_link *link = &v->node.links[v->next++];
        if (link->file_bytes == 0)
            return err_set(err, ERR_MALFORMED, "UnixFS: an empty child");
        if (cid_codec(&link->cid) == CID_DAG_PB) {
            int rc = enter(w, &link->cid, link->file_bytes, err);
            if (rc != 0)
                return rc;
            continue;
        }
        if (cid_codec(&link->cid) != CID_RAW || link->file_bytes > NODE_BYTES_MAX)
            return err_set(err, ERR_UNSUPPORTED, "UnixFS: a leaf that is not a raw block");
        struct unixfs_leaf x = {.cid = link->cid, .offset = w->offset, .size = link->file_bytes};
        w->offset += link->file_bytes;
        int rc = leaf(self, &x, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* A root that is a leaf says nothing of its size: the block does. */
static int walk_single(const struct unixfs_source *source, const struct cid *root,
                       uint64_t max_bytes, uint64_t *size, leaf_function *leaf, void *self,
                       struct err *err)
{
    struct buf block = buf_new(NODE_BYTES_MAX);
    int rc = source->get(source->self, root, &block, err);
    struct unixfs_leaf x = {.cid = *root, .size = block.size};
    if (rc == 0 && block.size > max_bytes)
        rc = err_set(err, ERR_LIMIT, "UnixFS: a file of %zu bytes", block.size);
    if (rc == 0 && size != NULL)
        *size = block.size;
    buf_fini(&block);
    return rc == 0 && x.size > 0 ? leaf(self, &x, err) : rc;
}

int unixfs_walk(const struct unixfs_source *source, const struct cid *root, uint64_t max_bytes,
                uint64_t *size, leaf_function *leaf, void *self, struct err *err)
{
    if (cid_codec(root) == CID_RAW)
        return walk_single(source, root, max_bytes, size, leaf, self, err);
    if (cid_codec(root) != CID_DAG_PB)
        return err_set(err, ERR_UNSUPPORTED, "UnixFS: the root is neither raw nor dag-pb");
    struct walk w = {.source = source};
    int rc = enter(&w, root, UINT64_MAX, err);
    if (rc == 0 && w.stack[0]->node.file_bytes > max_bytes)
        rc =
            err_set(err, ERR_LIMIT, "UnixFS: a file of %llu bytes, more than %llu",
                    (unsigned long long)w.stack[0]->node.file_bytes, (unsigned long long)max_bytes);
    if (rc == 0 && size != NULL)
        *size = w.stack[0]->node.file_bytes;
    if (rc == 0)
        rc = walk_on(&w, leaf, self, err);
    while (w.depth > 0)
        leave(&w);
    return rc;
}
