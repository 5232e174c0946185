/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dag.h"

#include <stdlib.h>

#include "base/cbor.h"
#include "content/dagjson.h"
#include "content/dagpb.h"
#include "content/digest_map.h"

/* Links held for all levels together. Past it the levels nearest the root let theirs go and read
 * their block again when they go on. */
#define HELD_BYTES_MAX (16u << 20)

struct link_call {
    int (*each)(void *self, const struct cid *link, struct err *err);
    void *self;
};

static int each_pb_link(void *self, const struct dagpb_link *link, struct err *err)
{
    const struct link_call *call = self;
    return call->each(call->self, &link->cid, err);
}

bool dag_has_links(const struct cid *cid)
{
    uint32_t codec = cid_codec(cid);
    return codec == CID_DAG_PB || codec == CID_DAG_CBOR || codec == CID_DAG_JSON;
}

int dag_each_link(const struct cid *cid, struct bytes block,
                  int (*each)(void *self, const struct cid *link, struct err *err), void *self,
                  struct err *err)
{
    struct link_call call = {each, self};
    switch (cid_codec(cid)) {
    case CID_DAG_PB:
        return dagpb_each_link(block, each_pb_link, &call, err);
    case CID_DAG_CBOR:
        return cbor_check(block, each, self, err);
    case CID_DAG_JSON:
        return dagjson_each_link(block, each, self, err);
    default:
        return 0;
    }
}

/* --- walking --- */

/* A block whose links are being followed. `links` packs them, each as a
 * byte of length and the CID. */
struct level {
    struct cid cid;
    size_t next, at; /* the link to follow next, and its offset in `links` */
    struct buf links;
    bool held;
};

struct walk {
    const struct dag_walk *given;
    struct buf block;
    struct digest_map seen;
    struct level *levels;
    size_t depth, capacity;
    size_t held_bytes;
    size_t dropped; /* levels below this index hold nothing */
};

/* What tells a block met before: its CID. A sha2-256 digest carries version and codec folded in, so
 * that one block under two codecs, whose links differ, is two. */
static void key_of(const struct cid *cid, uint8_t key[HASH_BYTES])
{
    const uint8_t *digest = cid_digest(cid);
    if (digest == NULL) {
        hash_sha256(bytes_of(cid->bytes, cid->size), key);
        return;
    }
    memcpy(key, digest, HASH_BYTES);
    uint64_t kind = (uint64_t)cid_codec(cid) << 1 | (cid->bytes[0] == 1);
    bytes_put_u64(key + 24, bytes_get_u64(key + 24) ^ kind);
}

/* Is it new? Then it no longer is. */
static int mark(struct walk *w, const struct cid *cid, bool *is_new, struct err *err)
{
    uint8_t key[HASH_BYTES];
    struct digest_place place = {0};
    *is_new = true;
    if (w->given->dups)
        return 0;
    key_of(cid, key);
    *is_new = !digest_map_get(&w->seen, key, &place);
    return *is_new ? digest_map_put(&w->seen, key, &place, err) : 0;
}

static int pack_link(void *self, const struct cid *link, struct err *err)
{
    (void)err;
    struct buf *links = self;
    buf_append_byte(links, link->size);
    buf_append(links, link->bytes, link->size);
    return 0;
}

/* Fills `links` with those of the block in w->block, or of an identity CID. */
static int pack_links(const struct cid *cid, struct bytes block, struct buf *links, struct err *err)
{
    *links = buf_new(2 * (size_t)BLOCK_BYTES_MAX);
    int rc = dag_each_link(cid, block, pack_link, links, err);
    if (rc == 0)
        rc = buf_check(links, err);
    if (rc != 0) {
        char text[CID_TEXT_MAX];
        buf_fini(links);
        return err_wrap(err, rc, "block %s", cid_format(cid, text));
    }
    return 0;
}

static int get(struct walk *w, const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = block_source_get(w->given->source, cid, &w->block, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "block %s", cid_format(cid, text));
}

static void drop_links(struct walk *w, struct level *l)
{
    if (!l->held)
        return;
    w->held_bytes -= l->links.capacity;
    buf_fini(&l->links);
    l->held = false;
}

static void hold_links(struct walk *w, size_t index, struct buf links)
{
    struct level *l = &w->levels[index];
    l->links = links;
    l->held = true;
    w->held_bytes += links.capacity;
    if (w->dropped > index)
        w->dropped = index;
    while (w->held_bytes > HELD_BYTES_MAX && w->dropped < index)
        drop_links(w, &w->levels[w->dropped++]);
}

static int push(struct walk *w, const struct cid *cid, struct buf links, struct err *err)
{
    if (w->depth == w->capacity) {
        size_t capacity = w->capacity == 0 ? 16 : w->capacity * 2;
        struct level *levels = realloc(w->levels, capacity * sizeof *levels);
        if (levels == NULL) {
            buf_fini(&links);
            return err_set(err, ERR_NOMEM, "out of memory");
        }
        w->levels = levels;
        w->capacity = capacity;
    }
    w->levels[w->depth] = (struct level){.cid = *cid};
    hold_links(w, w->depth++, links);
    return 0;
}

/* A level that let its links go reads its block again. */
static int hold_again(struct walk *w, size_t index, struct err *err)
{
    struct level *l = &w->levels[index];
    struct buf links;
    int rc = get(w, &l->cid, err);
    if (rc == 0)
        rc = pack_links(&l->cid, buf_bytes(&w->block), &links, err);
    if (rc != 0)
        return rc;
    l->at = 0;
    for (size_t i = 0; i < l->next && l->at < links.size; i++)
        l->at += 1u + links.data[l->at];
    hold_links(w, index, links);
    return 0;
}

/* The next link of the deepest level; none left: the level is done. */
static int next_link(struct walk *w, struct cid *out, bool *any, struct err *err)
{
    struct level *l = &w->levels[w->depth - 1];
    *any = false;
    if (!l->held) {
        int rc = hold_again(w, w->depth - 1, err);
        if (rc != 0)
            return rc;
    }
    if (l->at >= l->links.size) {
        drop_links(w, l);
        w->depth--;
        return 0;
    }
    *out = (struct cid){.size = l->links.data[l->at]};
    memcpy(out->bytes, l->links.data + l->at + 1, out->size);
    l->at += 1u + out->size;
    l->next++;
    *any = true;
    return 0;
}

/* Visits one block and makes its links a level, if it has any. */
static int enter(struct walk *w, const struct cid *cid, struct err *err)
{
    struct bytes block;
    struct buf links;
    bool is_new = true, identity = cid_identity(cid, &block);
    int rc = identity ? 0 : mark(w, cid, &is_new, err);
    if (rc != 0 || !is_new)
        return rc;
    if (!identity && w->given->enter != NULL && !w->given->enter(w->given->self, cid))
        return 0;
    if (w->depth == DAG_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "more than %d blocks, one below the other", DAG_DEPTH_MAX);
    if (!identity) {
        rc = get(w, cid, err);
        block = buf_bytes(&w->block);
    }
    if (rc == 0)
        rc = pack_links(cid, block, &links, err);
    if (rc != 0)
        return rc;
    if (!identity)
        rc = w->given->visit(w->given->self, cid, block, err);
    if (rc == 0 && links.size > 0)
        return push(w, cid, links, err);
    buf_fini(&links);
    return rc;
}

int dag_walk(const struct dag_walk *given, const struct cid *root, struct err *err)
{
    struct walk w = {.given = given, .block = buf_new(BLOCK_BYTES_MAX)};
    int rc = enter(&w, root, err);
    while (rc == 0 && w.depth > 0) {
        struct cid link;
        bool any;
        rc = next_link(&w, &link, &any, err);
        if (rc == 0 && any)
            rc = enter(&w, &link, err);
    }
    while (w.depth > 0)
        drop_links(&w, &w.levels[--w.depth]);
    free(w.levels);
    digest_map_fini(&w.seen);
    buf_fini(&w.block);
    return rc;
}
