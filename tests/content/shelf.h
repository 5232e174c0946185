/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf -- blocks in memory, as a source for what reads DAGs; and blocks made by hand.
 */
#ifndef COLMEIA_TESTS_CONTENT_SHELF_H
#define COLMEIA_TESTS_CONTENT_SHELF_H

#include "tests/scratch.h"

#include "base/cbor.h"
#include "content/block_source.h"
#include "content/digest_map.h"
#include "content/unixfs.h"

struct shelf {
    struct digest_map map; /* by digest: where in `bytes` */
    struct buf bytes;
    unsigned puts, gets;
};

UNUSED static struct shelf shelf_new(void)
{
    return (struct shelf){.bytes = buf_new(256u << 20)};
}

UNUSED static void shelf_fini(struct shelf *s)
{
    digest_map_fini(&s->map);
    buf_fini(&s->bytes);
}

UNUSED static int shelf_put(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct shelf *s = self;
    struct digest_place place = {.offset = s->bytes.size, .size = (uint32_t)block.size};
    assert_int_equal(cid_verify(cid, block, NULL), 0);
    buf_append(&s->bytes, block.data, block.size);
    assert_int_equal(buf_check(&s->bytes, NULL), 0);
    s->puts++;
    return digest_map_put(&s->map, cid_digest(cid), &place, err);
}

/* Puts a block that the test made; its CID. */
UNUSED static struct cid shelf_add(struct shelf *s, uint32_t codec, struct bytes block)
{
    struct cid cid = cid_of(codec, block);
    assert_int_equal(shelf_put(s, &cid, block, NULL), 0);
    return cid;
}

UNUSED static int shelf_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct shelf *s = self;
    struct digest_place place;
    assert_non_null(cid_digest(cid)); /* identities never come here */
    buf_clear(out);
    s->gets++;
    if (!digest_map_get(&s->map, cid_digest(cid), &place))
        return err_set(err, ERR_NOTFOUND, "not on the shelf");
    buf_append(out, s->bytes.data + place.offset, place.size);
    return buf_check(out, err);
}

UNUSED static struct block_source shelf_source(struct shelf *s)
{
    return (struct block_source){s, shelf_get};
}

/* The block called `cid` in a buf of its own. */
UNUSED static struct buf shelf_take(struct shelf *s, const struct cid *cid)
{
    struct block_source source = shelf_source(s);
    struct buf b = buf_new(BLOCK_BYTES_MAX);
    struct err err = {0};
    if (block_source_get(&source, cid, &b, &err) != 0)
        fail_msg("%s", err.text);
    return b;
}

/* The identity CID of a block. */
UNUSED static struct cid identity_of(uint8_t codec, struct bytes block)
{
    struct cid c = {.size = (uint8_t)(4 + block.size), .bytes = {1, codec, 0, (uint8_t)block.size}};
    assert_true(block.size < 128);
    memcpy(c.bytes + 4, block.data, block.size);
    return c;
}

/* A file of one leaf, as the profile has it. */
UNUSED static struct unixfs_child small_file(const struct unixfs_profile *p, const char *text)
{
    struct buf b = buf_new(1024);
    uint8_t digest[HASH_BYTES];
    struct unixfs_child child = {.file_bytes = strlen(text)};
    if (p->raw_leaves)
        buf_append_text(&b, text);
    else
        unixfs_node_put_leaf(&b, bytes_of_text(text));
    hash_sha256(buf_bytes(&b), digest);
    child.cid = p->raw_leaves ? cid_from_digest(CID_RAW, digest) : unixfs_profile_cid(p, digest);
    child.total_bytes = b.size;
    buf_fini(&b);
    return child;
}

#endif
