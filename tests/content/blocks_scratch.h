/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks_scratch -- blocks in memory as a source, and files cut into them by a profile.
 */
#ifndef COLMEIA_TESTS_CONTENT_BLOCKS_SCRATCH_H
#define COLMEIA_TESTS_CONTENT_BLOCKS_SCRATCH_H

#include "content/unixfs_walk.h"
#include "tests/scratch.h"

struct blocks {
    size_t count, capacity, gets;
    struct cid *cids;
    struct buf *blocks;
};

UNUSED static int blocks_put(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct blocks *b = self;
    (void)err;
    assert_int_equal(cid_verify(cid, block, NULL), 0);
    if (b->count == b->capacity) {
        b->capacity = 2 * b->capacity + 16;
        b->cids = realloc(b->cids, b->capacity * sizeof *b->cids);
        b->blocks = realloc(b->blocks, b->capacity * sizeof *b->blocks);
        assert_true(b->cids != NULL && b->blocks != NULL);
    }
    b->cids[b->count] = *cid;
    b->blocks[b->count] = buf_new(BLOCK_BYTES_MAX);
    buf_append(&b->blocks[b->count], block.data, block.size);
    b->count++;
    return 0;
}

UNUSED static int blocks_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct blocks *b = self;
    b->gets++;
    buf_clear(out);
    for (size_t i = 0; i < b->count; i++)
        if (cid_equal(cid, &b->cids[i])) {
            buf_append(out, b->blocks[i].data, b->blocks[i].size);
            return buf_check(out, err);
        }
    return err_set(err, ERR_NOTFOUND, "no such block");
}

UNUSED static struct block_source blocks_source(struct blocks *b)
{
    return (struct block_source){.self = b, .get = blocks_get};
}

UNUSED static void blocks_fini(struct blocks *b)
{
    for (size_t i = 0; i < b->count; i++)
        buf_fini(&b->blocks[i]);
    free(b->cids);
    free(b->blocks);
    *b = (struct blocks){0};
}

/* Keeps a block (dag-pb, or what `codec` says) and tells its parent of it. */
UNUSED static struct unixfs_child blocks_keep(struct blocks *b, uint32_t codec, struct bytes block,
                                              uint64_t file_bytes)
{
    struct unixfs_child child = {
        .cid = cid_of(codec, block), .file_bytes = file_bytes, .total_bytes = block.size};
    assert_int_equal(blocks_put(b, &child.cid, block, NULL), 0);
    return child;
}

/* A file's node over the given children. */
UNUSED static struct unixfs_child blocks_node(struct blocks *b, const struct unixfs_child *children,
                                              size_t count)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    uint64_t file_bytes = 0;
    unixfs_node_put_file(&block, children, count);
    for (size_t i = 0; i < count; i++)
        file_bytes += children[i].file_bytes;
    struct unixfs_child node = blocks_keep(b, CID_DAG_PB, buf_bytes(&block), file_bytes);
    buf_fini(&block);
    return node;
}

/* One leaf as the profile has it, kept in `b` unless that is NULL. */
UNUSED static struct unixfs_child blocks_leaf(struct blocks *b, const struct unixfs_profile *p,
                                              struct bytes data)
{
    uint8_t digest[HASH_BYTES];
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    if (p->raw_leaves)
        buf_append(&block, data.data, data.size);
    else
        unixfs_node_put_leaf(&block, data);
    assert_int_equal(buf_check(&block, NULL), 0);
    hash_sha256(buf_bytes(&block), digest);
    struct unixfs_child leaf = {.cid = p->raw_leaves ? cid_from_digest(CID_RAW, digest)
                                                     : unixfs_profile_cid(p, digest),
                                .file_bytes = data.size,
                                .total_bytes = block.size};
    if (b != NULL)
        assert_int_equal(blocks_put(b, &leaf.cid, buf_bytes(&block), NULL), 0);
    buf_fini(&block);
    return leaf;
}

/* The root of a file; its blocks are kept in `b` unless that is NULL. */
UNUSED static struct unixfs_child blocks_file(struct blocks *b, const struct unixfs_profile *p,
                                              struct bytes file)
{
    struct unixfs_builder *builder;
    struct unixfs_child root;
    assert_int_equal(unixfs_builder_new(p, b == NULL ? NULL : blocks_put, b, &builder, NULL), 0);
    for (size_t at = 0; at < file.size; at += p->chunk_bytes) {
        size_t size = file.size - at < p->chunk_bytes ? file.size - at : p->chunk_bytes;
        struct unixfs_child leaf = blocks_leaf(b, p, bytes_of(file.data + at, size));
        assert_int_equal(unixfs_builder_add_leaf(builder, &leaf, NULL), 0);
    }
    assert_int_equal(unixfs_builder_finish(builder, &root, NULL), 0);
    unixfs_builder_free(builder);
    return root;
}

#endif
