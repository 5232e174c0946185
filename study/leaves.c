/* SPDX-License-Identifier: Apache-2.0 */
#include "study/leaves.h"

#include <stdlib.h>

/* The list under way. `file_bytes` is known before the first leaf. */
struct loading {
    struct leaves *leaves;
    size_t added;
};

static int add_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct loading *l = self;
    struct leaves *x = l->leaves;
    if (x->digests == NULL) {
        x->count = (size_t)((x->file_bytes + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES);
        x->digests = calloc(x->count, HASH_BYTES);
        if (x->digests == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
    }
    uint64_t left = x->file_bytes - leaf->offset;
    uint64_t expected = left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES;
    if (leaf->offset != (uint64_t)l->added * UNIXFS_LEAF_BYTES || leaf->size != expected ||
        cid_digest(&leaf->cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "a model whose leaves are not sha2-256 blocks of %u",
                       UNIXFS_LEAF_BYTES);
    memcpy(x->digests[l->added++], cid_digest(&leaf->cid), HASH_BYTES);
    return 0;
}

int leaves_load(struct store *store, const struct cid *root, struct leaves *out, struct err *err)
{
    struct block_source source = store_source(store);
    struct leaves x = {.store = store};
    struct loading l = {.leaves = &x};
    int rc = unixfs_walk(&source, root, STORE_MODEL_BYTES_MAX, &x.file_bytes, add_leaf, &l, err);
    if (rc == 0 && l.added != x.count)
        rc = err_set(err, ERR_MALFORMED, "a model with %zu of %zu leaves", l.added, x.count);
    if (rc != 0) {
        char text[CID_TEXT_MAX];
        leaves_fini(&x);
        return err_wrap(err, rc, "model %s", cid_format(root, text));
    }
    *out = x;
    return 0;
}

void leaves_fini(struct leaves *l)
{
    free(l->digests);
    *l = (struct leaves){0};
}

void leaves_reader_init(struct leaves_reader *r, const struct leaves *of)
{
    *r = (struct leaves_reader){.of = of, .held = SIZE_MAX, .leaf = buf_new(STORE_BLOCK_BYTES_MAX)};
}

void leaves_reader_fini(struct leaves_reader *r)
{
    buf_fini(&r->leaf);
}

/* The leaf's bytes into `r->leaf`, hashed by the store. */
static int hold(struct leaves_reader *r, size_t leaf, struct err *err)
{
    if (r->held == leaf)
        return 0;
    r->held = SIZE_MAX;
    const struct leaves *x = r->of;
    struct cid cid = cid_from_digest(CID_RAW, x->digests[leaf]);
    char text[CID_TEXT_MAX];
    int rc = store_get(x->store, &cid, &r->leaf, err);
    if (rc != 0)
        return err_wrap(err, rc, "leaf %zu (%s)", leaf, cid_format(&cid, text));
    uint64_t left = x->file_bytes - (uint64_t)leaf * UNIXFS_LEAF_BYTES;
    if (r->leaf.size != (left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES))
        return err_set(err, ERR_MALFORMED, "leaf %zu (%s) has %zu bytes, which its tree denies",
                       leaf, cid_format(&cid, text), r->leaf.size);
    r->held = leaf;
    return 0;
}

int leaves_read(struct leaves_reader *r, uint64_t offset, void *data, size_t size, struct err *err)
{
    const struct leaves *x = r->of;
    if (offset > x->file_bytes || size > x->file_bytes - offset)
        return err_set(err, ERR_MALFORMED, "a read past the end of the model");
    for (uint8_t *out = data; size > 0;) {
        int rc = hold(r, (size_t)(offset / UNIXFS_LEAF_BYTES), err);
        if (rc != 0)
            return rc;
        size_t from = (size_t)(offset % UNIXFS_LEAF_BYTES);
        size_t part = r->leaf.size - from < size ? r->leaf.size - from : size;
        memcpy(out, r->leaf.data + from, part);
        out += part;
        offset += part;
        size -= part;
    }
    return 0;
}
