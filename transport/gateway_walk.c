/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/gateway_walk.h"

#include <stdlib.h>

#include "content/dag.h"
#include "content/digest_map.h"
#include "content/unixfs.h"

/* What is known of a link before its block is read. */
enum role {
    ANY,   /* follow whatever it links to */
    ALONE, /* the block itself and no more */
    ROOT,  /* of an entity: what it is decides */
    FILE_NODE,
    SHARD
};

/* A link that is still to come. On the stack its CID lies before it, so that short CIDs take little
 * room. */
struct link {
    uint64_t offset, size; /* in the file */
    uint32_t depth;
    uint8_t role;
    uint8_t cid_bytes;
};

struct gateway_walk {
    struct gateway_walk_config c;
    struct buf stack;   /* links, the next one last */
    struct buf scratch; /* one block's links, the first one first */
    struct buf block;
    struct digest_map seen;
    struct link at; /* of the block whose links are being read */
};

/* --- links --- */

static void put_link(struct buf *b, const struct cid *cid, struct link link)
{
    link.cid_bytes = cid->size;
    buf_append(b, cid->bytes, cid->size);
    buf_append(b, &link, sizeof link);
}

static bool take_link(struct buf *b, struct cid *cid, struct link *link)
{
    if (b->size == 0)
        return false;
    b->size -= sizeof *link;
    memcpy(link, b->data + b->size, sizeof *link);
    b->size -= link->cid_bytes;
    *cid = (struct cid){.size = link->cid_bytes};
    memcpy(cid->bytes, b->data + b->size, link->cid_bytes);
    return true;
}

/* The links just read, onto the stack, so that the first comes first. */
static int turn_over(struct gateway_walk *w, struct err *err)
{
    struct cid cid;
    struct link link;
    int rc = buf_check(&w->scratch, err);
    while (rc == 0 && take_link(&w->scratch, &cid, &link))
        put_link(&w->stack, &cid, link);
    return rc != 0 ? rc : buf_check(&w->stack, err);
}

static int push_any(void *self, const struct cid *cid, struct err *err)
{
    struct gateway_walk *w = self;
    (void)err;
    put_link(&w->scratch, cid, (struct link){.depth = w->at.depth + 1, .role = ANY});
    return 0;
}

/* --- files and directories --- */

static void push_chunks(struct gateway_walk *w, const struct unixfs_node *n)
{
    uint64_t offset = w->at.offset + n->data.size;
    bool whole = w->c.from == 0 && w->c.to == UINT64_MAX;
    for (size_t i = 0; i < n->pb.link_count; i++) {
        uint64_t size = n->child_bytes[i];
        struct link link = {
            .offset = offset, .size = size, .depth = w->at.depth + 1, .role = FILE_NODE};
        if (size == 0 ? whole : offset < w->c.to && offset + size > w->c.from)
            put_link(&w->scratch, &n->pb.links[i].cid, link);
        offset += size;
    }
}

/* A shard's own links are those whose name is a slot and nothing behind it. */
static void push_shards(struct gateway_walk *w, const struct unixfs_node *n)
{
    size_t prefix = 0;
    for (uint32_t left = n->fanout - 1; left > 0; left >>= 4)
        prefix++;
    for (size_t i = 0; i < n->pb.link_count; i++)
        if (n->pb.links[i].name.size == prefix)
            put_link(&w->scratch, &n->pb.links[i].cid,
                     (struct link){.depth = w->at.depth + 1, .role = SHARD});
}

/* The part of `data`, which begins at the node's offset, that is in the range. */
static struct bytes cut(const struct gateway_walk *w, struct bytes data)
{
    uint64_t start = w->at.offset, end = start + data.size;
    uint64_t first = start > w->c.from ? start : w->c.from, last = end < w->c.to ? end : w->c.to;
    return first < last ? bytes_of(data.data + (first - start), (size_t)(last - first))
                        : bytes_of(NULL, 0);
}

static int enter_node(struct gateway_walk *w, const struct unixfs_node *n,
                      struct gateway_walk_item *out, struct err *err)
{
    bool file = n->type == UNIXFS_FILE || n->type == UNIXFS_RAW;
    if (w->at.role == FILE_NODE && (!file || n->file_bytes != w->at.size))
        return err_set(err, ERR_MALFORMED, "UnixFS: holds %llu bytes, its parent says %llu",
                       (unsigned long long)n->file_bytes, (unsigned long long)w->at.size);
    if (w->at.role == SHARD && n->type != UNIXFS_HAMT)
        return err_set(err, ERR_MALFORMED, "HAMT: a shard that is none");
    if (w->at.depth >= UNIXFS_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "UnixFS: deeper than %d", UNIXFS_DEPTH_MAX);
    if (file) {
        out->data = cut(w, n->data);
        push_chunks(w, n);
    } else if (n->type == UNIXFS_HAMT) {
        push_shards(w, n);
    }
    return 0;
}

/* Of an entity: a root that is no UnixFS is an entity of one block. */
static int enter_entity(struct gateway_walk *w, struct gateway_walk_item *out, struct err *err)
{
    struct unixfs_node n = {0};
    int rc = unixfs_node_decode(out->block, &n, err);
    if (rc == 0)
        rc = enter_node(w, &n, out, err);
    else if (w->at.role == ROOT && rc != ERR_NOMEM)
        rc = 0;
    unixfs_node_fini(&n);
    return rc;
}

/* --- walking --- */

static bool is_read(const struct gateway_walk *w, const struct cid *cid)
{
    switch (w->at.role) {
    case ALONE:
        return false;
    case ANY:
        return dag_has_links(cid);
    default:
        return cid_codec(cid) == CID_DAG_PB;
    }
}

/* 1: it was given already. With `whole`: all below it was. */
static int remember(struct gateway_walk *w, const struct cid *cid, bool whole, struct err *err)
{
    uint8_t key[HASH_BYTES], name[CID_BYTES_MAX + 1];
    struct digest_place place;
    struct cid same = cid_as_v1(cid);
    if (w->c.dups)
        return 0;
    memcpy(name, same.bytes, same.size);
    name[same.size] = 1;
    hash_sha256(bytes_of(name, same.size + (size_t)whole), key);
    if (digest_map_get(&w->seen, key, &place))
        return 1;
    if (w->seen.count >= GATEWAY_WALK_SEEN_MAX)
        return err_set(err, ERR_LIMIT, "a DAG of more than %u blocks: ask with duplicates",
                       GATEWAY_WALK_SEEN_MAX);
    place = (struct digest_place){0};
    return digest_map_put(&w->seen, key, &place, err);
}

static void place_leaf(const struct gateway_walk *w, struct gateway_walk_item *out)
{
    uint64_t start = w->at.offset, end = start + w->at.size;
    uint64_t first = start > w->c.from ? start : w->c.from, last = end < w->c.to ? end : w->c.to;
    out->leaf_bytes = w->at.size;
    out->skip = first - start;
    out->size = last > first ? last - first : 0;
}

static int read_item(struct gateway_walk *w, struct gateway_walk_item *out, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = 0;
    if (w->at.depth > DAG_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "a DAG deeper than %d", DAG_DEPTH_MAX);
    rc = block_source_get(w->c.source, &out->cid, &w->block, err);
    if (rc != 0)
        return err_wrap(err, rc, "block %s", cid_format(&out->cid, text));
    out->loaded = true;
    out->block = buf_bytes(&w->block);
    buf_clear(&w->scratch);
    rc = w->at.role == ANY ? dag_each_link(&out->cid, out->block, push_any, w, err)
                           : enter_entity(w, out, err);
    if (rc == 0)
        rc = turn_over(w, err);
    return rc != 0 ? err_wrap(err, rc, "block %s", cid_format(&out->cid, text)) : 0;
}

/* A node of a file may come twice and hold more of the range the second time: only one that was in
 * it wholly is done with. There are two that are not, at most, on each level. */
static int is_done(struct gateway_walk *w, const struct cid *cid, bool given, struct err *err)
{
    bool node = w->at.role == FILE_NODE && cid_codec(cid) == CID_DAG_PB;
    if (!node)
        return given;
    bool whole = w->at.offset >= w->c.from && w->c.to - w->at.offset >= w->at.size;
    return whole ? remember(w, cid, true, err) : 0;
}

/* 1: `out` is an item. 0: it is one that was given already. */
static int take_item(struct gateway_walk *w, struct gateway_walk_item *out, struct err *err)
{
    int given = remember(w, &out->cid, false, err);
    int done = given < 0 ? given : is_done(w, &out->cid, given == 1, err);
    if (done != 0)
        return done < 0 ? done : 0;
    if (is_read(w, &out->cid)) {
        int rc = read_item(w, out, err);
        if (rc != 0)
            return rc;
    } else if (w->at.role == FILE_NODE) {
        place_leaf(w, out);
    }
    return given == 0;
}

int gateway_walk_next(struct gateway_walk *w, struct gateway_walk_item *out, struct err *err)
{
    struct gateway_walk_item item;
    int rc;
    do {
        item = (struct gateway_walk_item){0};
        if (!take_link(&w->stack, &item.cid, &w->at))
            return 0;
        rc = take_item(w, &item, err);
    } while (rc == 0);
    if (rc > 0)
        *out = item;
    return rc;
}

int gateway_walk_pass_over(struct gateway_walk *w, const struct cid *cid, struct err *err)
{
    return remember(w, cid, false, err);
}

int gateway_walk_new(const struct gateway_walk_config *c, struct gateway_walk **out,
                     struct err *err)
{
    static const enum role roles[] = {
        [GATEWAY_ALL] = ANY, [GATEWAY_ENTITY] = ROOT, [GATEWAY_BLOCK] = ALONE};
    struct gateway_walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    w->c = *c;
    w->stack = buf_new(GATEWAY_WALK_BYTES_MAX);
    w->scratch = buf_new(GATEWAY_WALK_BYTES_MAX);
    w->block = buf_new(BLOCK_BYTES_MAX);
    put_link(&w->stack, &c->root, (struct link){.role = (uint8_t)roles[c->scope]});
    int rc = buf_check(&w->stack, err);
    if (rc != 0) {
        gateway_walk_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void gateway_walk_free(struct gateway_walk *w)
{
    if (w == NULL)
        return;
    buf_fini(&w->stack);
    buf_fini(&w->scratch);
    buf_fini(&w->block);
    digest_map_fini(&w->seen);
    free(w);
}
