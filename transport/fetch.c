/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch.h"

#include "transport/fetch_window.h"

#define PROBE_BYTES 512 /* of a leaf's beginning and end: all zero is taken for a hole */

/* --- one block --- */

static int deliver_bytes(void *self, const struct fetch_want *want, struct bytes block,
                         struct err *err)
{
    struct buf *out = self;
    (void)want;
    buf_clear(out);
    buf_append(out, block.data, block.size);
    return buf_check(out, err);
}

/* Into `out`, hashed; not into the store. */
static int fetch_bytes(struct fetch *f, const struct cid *cid, struct buf *out, struct err *err)
{
    struct fetch_window *w = NULL;
    struct fetch_want want = {.cid = *cid};
    if (cid_digest(cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "blocks with sha2-256 CIDs alone can be fetched");
    int rc = fetch_window_new(f, deliver_bytes, out, &w, err);
    if (rc == 0)
        rc = fetch_window_ask(w, &want, err);
    if (rc == 0)
        rc = fetch_window_wait(w, err);
    fetch_window_free(w);
    return rc;
}

static int get_or_fetch(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                        struct err *err)
{
    int rc = store_get(s, cid, out, err);
    if (rc != ERR_NOTFOUND && rc != ERR_CORRUPT)
        return rc;
    rc = fetch_bytes(f, cid, out, err);
    return rc != 0 ? rc : store_put(s, cid, buf_bytes(out), err);
}

int fetch_block(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                struct err *err)
{
    char text[CID_TEXT_MAX];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = get_or_fetch(f, s, cid, &block, err);
    if (rc == 0 && out != NULL) {
        buf_clear(out);
        buf_append(out, block.data, block.size);
        rc = buf_check(out, err);
    }
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "fetch block %s", cid_format(cid, text)) : 0;
}

/* --- a model --- */

struct model {
    struct fetch *f;
    struct store *store;
    struct store_model *part;
    struct fetch_window *window;
    struct buf leaf;
    uint64_t have, size;
    void (*progress)(void *self, uint64_t have, uint64_t all);
    void *self;
};

static void tell_progress(struct model *m, uint64_t more)
{
    m->have += more;
    if (m->progress != NULL)
        m->progress(m->self, m->have, m->size);
}

static int node_source(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct model *m = self;
    return get_or_fetch(m->f, m->store, cid, out, err);
}

static int skip_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    (void)self;
    if (cid_digest(&leaf->cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "a leaf whose CID is not sha2-256");
    return 0;
}

static int deliver_leaf(void *self, const struct fetch_want *want, struct bytes block,
                        struct err *err)
{
    struct model *m = self;
    int rc = store_model_write(m->part, want->offset, block, err);
    if (rc == 0)
        tell_progress(m, block.size);
    return rc;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* A new part file is one hole, and reading it through would cost more than these two probes. A leaf
 * that truly begins and ends in zeros is fetched again, no more. */
static bool looks_like_hole(struct model *m, const struct unixfs_leaf *leaf)
{
    uint8_t probe[PROBE_BYTES];
    size_t size = leaf->size < sizeof probe ? (size_t)leaf->size : sizeof probe;
    return store_model_read(m->part, leaf->offset, probe, size, NULL) != 0 ||
           (is_zero(probe, size) &&
            (store_model_read(m->part, leaf->offset + leaf->size - size, probe, size, NULL) != 0 ||
             is_zero(probe, size)));
}

/* Is the leaf at its place from an earlier call? */
static bool is_in_part(struct model *m, const struct unixfs_leaf *leaf)
{
    if (looks_like_hole(m, leaf))
        return false;
    buf_clear(&m->leaf);
    uint8_t *data = buf_extend(&m->leaf, (size_t)leaf->size);
    return data != NULL &&
           store_model_read(m->part, leaf->offset, data, (size_t)leaf->size, NULL) == 0 &&
           cid_verify(&leaf->cid, buf_bytes(&m->leaf), NULL) == 0;
}

static int want_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct model *m = self;
    struct fetch_want want = {.cid = leaf->cid, .offset = leaf->offset};
    if (is_in_part(m, leaf)) {
        tell_progress(m, leaf->size);
        return 0;
    }
    /* Tensors that training does not change are in the model before, too. */
    if (store_get(m->store, &leaf->cid, &m->leaf, NULL) == 0)
        return deliver_leaf(m, &want, buf_bytes(&m->leaf), err);
    return fetch_window_ask(m->window, &want, err);
}

static int fetch_leaves(struct model *m, const struct cid *root, uint64_t max_bytes,
                        struct err *err)
{
    struct unixfs_source here = store_source(m->store);
    int rc = fetch_window_new(m->f, deliver_leaf, m, &m->window, err);
    if (rc == 0)
        rc = unixfs_walk(&here, root, max_bytes, NULL, want_leaf, m, err);
    if (rc == 0)
        rc = fetch_window_wait(m->window, err);
    fetch_window_free(m->window);
    return rc;
}

/* The tree's nodes first: only they say how large the file is, and whether it holds together. */
static int fetch_tree(struct model *m, const struct cid *root, uint64_t max_bytes, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct unixfs_source source = {.self = m, .get = node_source};
    int rc = unixfs_walk(&source, root, max_bytes, &m->size, skip_leaf, m, err);
    if (rc == 0)
        rc = store_model_begin(m->store, cid_format(root, text), m->size, &m->part, err);
    return rc != 0 ? rc : fetch_leaves(m, root, max_bytes, err);
}

/* A file of one leaf has no tree. */
static int fetch_single(struct model *m, const struct cid *root, uint64_t max_bytes,
                        struct err *err)
{
    char text[CID_TEXT_MAX];
    struct fetch_want whole = {.cid = *root};
    int rc = store_get(m->store, root, &m->leaf, err);
    if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT)
        rc = fetch_bytes(m->f, root, &m->leaf, err);
    if (rc == 0 && m->leaf.size > max_bytes)
        rc = err_set(err, ERR_LIMIT, "a model of %zu bytes, more than %llu", m->leaf.size,
                     (unsigned long long)max_bytes);
    m->size = m->leaf.size;
    if (rc == 0)
        rc = store_model_begin(m->store, cid_format(root, text), m->size, &m->part, err);
    return rc != 0 ? rc : deliver_leaf(m, &whole, buf_bytes(&m->leaf), err);
}

int fetch_model(struct fetch *f, struct store *s, const struct cid *root, uint64_t max_bytes,
                void (*progress)(void *self, uint64_t have, uint64_t all), void *self,
                struct err *err)
{
    char text[CID_TEXT_MAX];
    struct model m = {.f = f,
                      .store = s,
                      .leaf = buf_new(STORE_BLOCK_BYTES_MAX),
                      .progress = progress,
                      .self = self};
    int rc = 0;
    if (!store_model_has(s, root)) {
        rc = cid_codec(root) == CID_RAW ? fetch_single(&m, root, max_bytes, err)
                                        : fetch_tree(&m, root, max_bytes, err);
        if (rc == 0)
            rc = store_model_finish(m.part, root, false, err);
        if (rc != 0)
            store_model_close(m.part, true);
    }
    buf_fini(&m.leaf);
    return rc != 0 ? err_wrap(err, rc, "fetch model %s", cid_format(root, text)) : 0;
}
