/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "content/extract.h"
#include "content/unixfs_walk.h"

#define WINDOW_PIECES 12 /* there are two windows */

/* A stretch of the file: a leaf that is still to be got, or bytes that are here. */
struct piece {
    struct unixfs_leaf leaf; /* size 0: none */
    struct buf block;
    size_t from, to; /* of the block's bytes: what is wanted */
    int rc;
    struct err err;
};

struct window {
    size_t count;
    struct piece pieces[WINDOW_PIECES];
};

/* While the leaves of one window are got and hashed on all cores the one before is written. */
struct stream {
    const struct extract_options *o;
    uint64_t from, to;
    int fd;
    struct window windows[2];
    struct window *now, *before;
    int rc; /* of writing */
    struct err err;
};

static int write_bytes(const struct stream *s, struct bytes data, struct err *err)
{
    for (size_t at = 0; at < data.size;) {
        ssize_t n = write(s->fd, data.data + at, data.size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "write");
        at += (size_t)n;
    }
    if (s->o->progress != NULL)
        atomic_fetch_add(&s->o->progress->done, data.size);
    return 0;
}

static void write_before(struct stream *s)
{
    for (size_t i = 0; s->rc == 0 && i < s->before->count; i++) {
        const struct piece *p = &s->before->pieces[i];
        s->rc = write_bytes(s, bytes_of(p->block.data + p->from, p->to - p->from), &s->err);
    }
    s->before->count = 0;
}

static void get_piece(const struct stream *s, struct piece *p)
{
    char text[CID_TEXT_MAX];
    if (p->leaf.size == 0)
        return;
    p->rc = block_source_get(&s->o->source, &p->leaf.cid, &p->block, &p->err);
    if (p->rc == 0 && p->block.size != p->leaf.size)
        p->rc = err_set(&p->err, ERR_MALFORMED, "block %s has %zu bytes, its parent says %llu",
                        cid_format(&p->leaf.cid, text), p->block.size,
                        (unsigned long long)p->leaf.size);
}

static void work(void *self, size_t i)
{
    struct stream *s = self;
    if (i == 0)
        write_before(s);
    else
        get_piece(s, &s->now->pieces[i - 1]);
}

/* What was got before a piece that failed is written. */
static int flush(struct stream *s, struct err *err)
{
    jobs_split(s->o->jobs, s->now->count + 1, work, s);
    if (s->rc != 0)
        return err_set(err, s->rc, "%s", s->err.text);
    for (size_t i = 0; i < s->now->count; i++) {
        const struct piece *p = &s->now->pieces[i];
        if (p->rc == 0)
            continue;
        int rc = err_set(err, p->rc, "%s", p->err.text);
        s->now->count = i;
        s->before = s->now;
        write_before(s);
        return rc;
    }
    struct window *swap = s->now;
    s->now = s->before;
    s->before = swap;
    return 0;
}

static struct piece *next_piece(struct stream *s)
{
    struct piece *p = &s->now->pieces[s->now->count++];
    p->leaf.size = 0;
    p->rc = 0;
    p->err.code = 0;
    buf_clear(&p->block);
    return p;
}

static int take_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct stream *s = self;
    uint64_t end = leaf->offset + leaf->size;
    struct piece *p = next_piece(s);
    p->leaf = *leaf;
    p->from = s->from > leaf->offset ? (size_t)(s->from - leaf->offset) : 0;
    p->to = (size_t)((s->to < end ? s->to : end) - leaf->offset);
    return s->now->count < WINDOW_PIECES ? 0 : flush(s, err);
}

static int take_data(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct stream *s = self;
    (void)offset;
    struct piece *p = next_piece(s);
    buf_append(&p->block, data.data, data.size);
    p->from = 0;
    p->to = data.size;
    int rc = buf_check(&p->block, err);
    return rc != 0 || s->now->count < WINDOW_PIECES ? rc : flush(s, err);
}

static int take_size(void *self, uint64_t file_bytes, struct err *err)
{
    const struct stream *s = self;
    (void)err;
    uint64_t to = s->to < file_bytes ? s->to : file_bytes;
    if (s->o->progress != NULL)
        progress_count_set(s->o->progress, 0, to > s->from ? to - s->from : 0);
    return 0;
}

/* Is it a symlink? Then its target goes out. */
static int write_symlink(struct stream *s, const struct cid *root, bool *is, struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct unixfs_node node = {0};
    *is = false;
    int rc = block_source_get(&s->o->source, root, &block, err);
    if (rc == 0)
        rc = unixfs_node_decode(buf_bytes(&block), &node, err);
    if (rc == 0 && node.type == UNIXFS_SYMLINK) {
        *is = true;
        size_t to = s->to < node.data.size ? (size_t)s->to : node.data.size;
        size_t from = s->from < to ? (size_t)s->from : to;
        rc = write_bytes(s, bytes_of(node.data.data + from, to - from), err);
    }
    unixfs_node_fini(&node);
    buf_fini(&block);
    return rc;
}

static int write_file(struct stream *s, const struct cid *root, struct err *err)
{
    struct unixfs_visitor visitor = {
        .self = s, .begin = take_size, .leaf = take_leaf, .data = take_data};
    int rc = unixfs_walk_range(&s->o->source, root, s->from, s->to, &visitor, err);
    int rest = flush(s, rc == 0 ? err : NULL); /* what is under way, also before a failure */
    if (rc == 0)
        rc = rest;
    if (rest == 0)
        write_before(s);
    return rc == 0 && s->rc != 0 ? err_set(err, s->rc, "%s", s->err.text) : rc;
}

int extract_stream(const struct extract_options *o, const struct cid *root, uint64_t from,
                   uint64_t to, int fd, struct err *err)
{
    bool is_symlink = false;
    int rc = 0;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->o = o;
    s->from = from;
    s->to = to;
    s->fd = fd;
    s->now = &s->windows[0];
    s->before = &s->windows[1];
    for (size_t i = 0; i < 2 * (size_t)WINDOW_PIECES; i++)
        s->windows[i / WINDOW_PIECES].pieces[i % WINDOW_PIECES].block = buf_new(BLOCK_BYTES_MAX);
    if (cid_codec(root) == CID_DAG_PB)
        rc = write_symlink(s, root, &is_symlink, err);
    if (rc == 0 && !is_symlink)
        rc = write_file(s, root, err);
    for (size_t i = 0; i < 2 * (size_t)WINDOW_PIECES; i++)
        buf_fini(&s->windows[i / WINDOW_PIECES].pieces[i % WINDOW_PIECES].block);
    free(s);
    return rc;
}
