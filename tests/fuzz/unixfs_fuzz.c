/* SPDX-License-Identifier: Apache-2.0 */
/* unixfs: a range, and blocks that a source hands out without looking at their hashes: the last
 * byte of a CID says which. So nodes link themselves and their ancestors as no honest source could
 * make them. A walk ends, within the blocks that its pieces are worth; pieces come in order,
 * without a gap, and are as many bytes as the range has.
 *
 * Input: flags (1: the root is a raw block), `from` and `to` (32 bits each), then the blocks, each
 * behind its length (16 bits); all little-endian. */
#include <assert.h>
#include <stdlib.h>

#include "content/unixfs_walk.h"

#define BLOCKS_MAX 64
#define PIECES_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    size_t count, gets, pieces;
    struct bytes blocks[BLOCKS_MAX];
    bool begun;
    uint64_t from, to, file_bytes, next, read_bytes;
};

static int get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct world *w = self;
    size_t which = cid->bytes[cid->size - 1];
    w->gets++;
    buf_clear(out);
    if (which >= w->count)
        return err_set(err, ERR_NOTFOUND, "no such block");
    buf_append(out, w->blocks[which].data, w->blocks[which].size);
    return buf_check(out, err);
}

static int count_piece(struct world *w, struct err *err)
{
    return ++w->pieces > PIECES_MAX ? err_set(err, ERR_DENIED, "enough") : 0;
}

static int begin(void *self, uint64_t file_bytes, struct err *err)
{
    struct world *w = self;
    (void)err;
    assert(!w->begun);
    w->begun = true;
    w->file_bytes = file_bytes;
    return 0;
}

static int node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct world *w = self;
    (void)cid;
    (void)err;
    assert(w->begun && block.size <= BLOCK_BYTES_MAX);
    return 0;
}

static int leaf(void *self, const struct unixfs_leaf *l, struct err *err)
{
    struct world *w = self;
    assert(w->begun && l->size > 0 && l->size <= UINT64_MAX - l->offset);
    assert(l->offset < w->to && l->offset + l->size > w->from && l->offset <= w->next);
    w->next = l->offset + l->size;
    return count_piece(w, err);
}

static int bytes_inside(void *self, uint64_t offset, struct bytes piece, struct err *err)
{
    struct world *w = self;
    assert(w->begun && piece.size > 0 && offset == w->next && offset + piece.size <= w->to);
    w->next = offset + piece.size;
    return count_piece(w, err);
}

static int write_piece(void *self, struct bytes piece, struct err *err)
{
    struct world *w = self;
    assert(piece.size > 0);
    w->read_bytes += piece.size;
    return count_piece(w, err);
}

static int model_leaf(void *self, const struct unixfs_leaf *l, struct err *err)
{
    struct world *w = self;
    assert(l->offset == w->next && l->size > 0);
    w->next += l->size;
    return count_piece(w, err);
}

/* What every piece may have cost: a way down. */
static void check_cost(struct world *w)
{
    assert(w->gets <= (UNIXFS_DEPTH_MAX + 1) * (w->pieces + 1));
    w->gets = w->pieces = 0;
}

static void run(struct world *w, const struct cid *root)
{
    struct block_source source = {.self = w, .get = get};
    struct unixfs_visitor v = {
        .self = w, .begin = begin, .node = node, .leaf = leaf, .data = bytes_inside};
    w->next = w->from;
    int rc = unixfs_walk_range(&source, root, w->from, w->to, &v, NULL);
    check_cost(w);
    uint64_t end = w->to < w->file_bytes ? w->to : w->file_bytes;
    if (rc == 0)
        assert(w->begun && (w->from >= end || w->next >= end));
    int rc_read = unixfs_walk_read(&source, root, w->from, w->to, write_piece, w, NULL);
    check_cost(w);
    if (rc_read == 0)
        assert(rc == 0 && w->read_bytes == (w->from >= end ? 0 : end - w->from));
    uint64_t size = 0;
    w->next = 0;
    rc = unixfs_walk(&source, root, 1u << 30, &size, model_leaf, w, NULL);
    check_cost(w);
    if (rc == 0)
        assert(w->next == size);
}

static uint32_t take_u32(struct bytes *in)
{
    uint32_t value = bytes_get_u32(in->data);
    *in = bytes_of(in->data + 4, in->size - 4);
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zero[HASH_BYTES]; /* block 0 */
    struct world w = {0};
    if (size < 9)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    w.from = take_u32(&in);
    w.to = take_u32(&in);
    while (in.size >= 2 && w.count < BLOCKS_MAX) {
        size_t length = (size_t)in.data[0] | (size_t)in.data[1] << 8;
        if (length > in.size - 2)
            length = in.size - 2;
        w.blocks[w.count++] = bytes_of(in.data + 2, length);
        in = bytes_of(in.data + 2 + length, in.size - 2 - length);
    }
    struct cid root = cid_from_digest((data[0] & 1) != 0 ? CID_RAW : CID_DAG_PB, zero);
    run(&w, &root);
    return 0;
}
