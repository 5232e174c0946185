/* SPDX-License-Identifier: Apache-2.0 */
#include "content/hamt.h"

#include <stdlib.h>

#define LEVELS_MAX 21 /* 64 bits of hash, 3 a level */
#define PREFIX_MAX 3  /* hex digits of a slot */

/* --- murmur3-x64-128, seed 0: Austin Appleby's MurmurHash3, in the public domain --- */

#define C1 0x87c37b91114253d5u
#define C2 0x4cf5ad432745937fu

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t scramble(uint64_t k, uint64_t by, unsigned turn, uint64_t then)
{
    return rotate(k * by, turn) * then;
}

static uint64_t finish(uint64_t k)
{
    k = (k ^ k >> 33) * 0xff51afd7ed558ccdu;
    k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53u;
    return k ^ k >> 33;
}

static uint64_t tail(const uint8_t *at, size_t size)
{
    uint64_t k = 0;
    for (size_t i = size; i > 0; i--)
        k = k << 8 | at[i - 1];
    return k;
}

uint64_t hamt_hash(struct bytes name)
{
    uint64_t h1 = 0, h2 = 0;
    size_t whole = name.size / 16 * 16, left = name.size - whole;
    for (size_t at = 0; at < whole; at += 16) {
        h1 ^= scramble(bytes_get_u64(name.data + at), C1, 31, C2);
        h1 = (rotate(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= scramble(bytes_get_u64(name.data + at + 8), C2, 33, C1);
        h2 = (rotate(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (left > 8)
        h2 ^= scramble(tail(name.data + whole + 8, left - 8), C2, 33, C1);
    if (left > 0)
        h1 ^= scramble(tail(name.data + whole, left > 8 ? 8 : left), C1, 31, C2);
    h1 ^= name.size;
    h2 ^= name.size;
    h1 += h2;
    h2 += h1;
    h1 = finish(h1);
    h2 = finish(h2);
    return h1 + h2;
}

/* --- what follows from the fanout --- */

struct shape {
    uint32_t fanout;
    unsigned bits, levels, prefix; /* of the hash a level; levels; hex digits of a slot */
};

static struct shape shape_of(uint32_t fanout)
{
    struct shape s = {.fanout = fanout};
    while (fanout >> (s.bits + 1) != 0)
        s.bits++;
    s.levels = 64 / s.bits;
    s.prefix = (s.bits + 3) / 4;
    return s;
}

static uint32_t slot_of(const struct shape *s, uint64_t hash, unsigned level)
{
    return (uint32_t)(hash >> (64 - s->bits * (level + 1))) & (s->fanout - 1);
}

static void put_slot(const struct shape *s, uint32_t slot, uint8_t *out)
{
    for (unsigned i = 0; i < s->prefix; i++)
        out[i] = (uint8_t) "0123456789ABCDEF"[slot >> (4 * (s->prefix - 1 - i)) & 15];
}

/* --- writing --- */

struct place {
    uint64_t hash;
    size_t entry;
};

struct build {
    const struct hamt_entry *entries;
    const struct place *places; /* by hash: what shares a slot, at any level, lies together */
    struct shape shape;
    unsigned cid_version;
    int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct buf blocks[LEVELS_MAX]; /* one a level, under way; kept for the next */
};

static int by_hash(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void put_entry(const struct build *b, uint32_t slot, const struct hamt_entry *e,
                      struct buf *block)
{
    uint8_t room[PREFIX_MAX + UINT8_MAX], *name = room;
    size_t size = b->shape.prefix + e->name.size;
    struct buf long_name = buf_new(size);
    if (size > sizeof room && (name = buf_extend(&long_name, size)) == NULL) {
        block->failed = ERR_NOMEM;
        return;
    }
    put_slot(&b->shape, slot, name);
    if (e->name.size > 0)
        memcpy(name + b->shape.prefix, e->name.data, e->name.size);
    dagpb_put_link(block, &e->cid, bytes_of(name, size), e->total_bytes);
    buf_fini(&long_name);
}

/* Ends the shard at `level`: its data, its CID, and out with it. `total_bytes` is of its links. */
static int close_shard(struct build *b, unsigned level, const uint8_t *bitfield,
                       uint64_t total_bytes, struct unixfs_child *out, struct err *err)
{
    struct buf *block = &b->blocks[level];
    size_t bytes = b->shape.fanout / 8, zero = 0;
    while (zero < bytes && bitfield[zero] == 0)
        zero++; /* leading zeros are not written */
    unixfs_node_put_hamt(block, bytes_of(bitfield + zero, bytes - zero), b->shape.fanout);
    int rc = buf_check(block, err);
    if (rc != 0)
        return rc;
    struct cid cid = cid_of(CID_DAG_PB, buf_bytes(block));
    *out = (struct unixfs_child){.cid = b->cid_version == 0 ? cid_as_v0(&cid) : cid,
                                 .total_bytes = total_bytes + block->size};
    return b->put == NULL ? 0 : b->put(b->self, &out->cid, buf_bytes(block), err);
}

/* The shard of places `from`..`to` - 1, which share the hash's bits above `level`. Calls itself a
 * level at a time, LEVELS_MAX deep at most. */
static int build_shard(struct build *b, size_t from, size_t to, unsigned level,
                       struct unixfs_child *out, struct err *err)
{
    uint8_t bitfield[UNIXFS_NODE_FANOUT_MAX / 8] = {0};
    uint64_t total_bytes = 0;
    if (level == b->shape.levels)
        return err_set(err, ERR_LIMIT, "HAMT: two names have the same hash");
    if (b->blocks[level].max == 0)
        b->blocks[level] = buf_new(BLOCK_BYTES_MAX);
    buf_clear(&b->blocks[level]);
    int rc = 0;
    for (size_t at = from, end; at < to && rc == 0; at = end) {
        uint32_t slot = slot_of(&b->shape, b->places[at].hash, level);
        for (end = at + 1; end < to && slot_of(&b->shape, b->places[end].hash, level) == slot;)
            end++;
        bitfield[b->shape.fanout / 8 - 1 - slot / 8] |= (uint8_t)(1u << slot % 8);
        struct hamt_entry link = b->entries[b->places[at].entry];
        if (end - at > 1) {
            struct unixfs_child shard;
            rc = build_shard(b, at, end, level + 1, &shard, err);
            if (rc != 0)
                break;
            link = (struct hamt_entry){.cid = shard.cid, .total_bytes = shard.total_bytes};
        }
        put_entry(b, slot, &link, &b->blocks[level]);
        total_bytes += link.total_bytes;
    }
    if (rc == 0)
        rc = close_shard(b, level, bitfield, total_bytes, out, err);
    return rc;
}

int hamt_build(struct hamt_entry *entries, size_t count, uint32_t fanout, unsigned cid_version,
               int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err),
               void *self, struct unixfs_child *root, struct err *err)
{
    if (fanout < 8 || fanout > UNIXFS_NODE_FANOUT_MAX || (fanout & (fanout - 1)) != 0)
        return err_set(err, ERR_USAGE,
                       "HAMT: a fanout of %u, which is no power of two from 8 to %d", fanout,
                       UNIXFS_NODE_FANOUT_MAX);
    struct place *places = calloc(count + 1, sizeof *places);
    if (places == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){hamt_hash(entries[i].name), i};
    qsort(places, count, sizeof *places, by_hash);
    struct build b = {.entries = entries,
                      .places = places,
                      .shape = shape_of(fanout),
                      .cid_version = cid_version,
                      .put = put,
                      .self = self};
    struct unixfs_child made;
    int rc = build_shard(&b, 0, count, 0, &made, err);
    if (rc == 0)
        *root = made;
    for (unsigned i = 0; i < LEVELS_MAX; i++)
        buf_fini(&b.blocks[i]);
    free(places);
    return rc;
}

/* --- reading --- */

static int decode_shard(struct bytes block, const struct shape *root, struct unixfs_node *out,
                        struct err *err)
{
    int rc = unixfs_node_decode(block, out, err);
    if (rc != 0)
        return err_wrap(err, rc, "HAMT");
    if (out->type != UNIXFS_HAMT)
        rc = err_set(err, root == NULL ? ERR_UNSUPPORTED : ERR_MALFORMED, "HAMT: not a shard");
    else if (root != NULL && out->fanout != root->fanout)
        rc = err_set(err, ERR_MALFORMED, "HAMT: a shard of fanout %u below one of %u", out->fanout,
                     root->fanout);
    else if (root != NULL && out->pb.link_count == 0)
        rc = err_set(err, ERR_MALFORMED, "HAMT: an empty shard below another");
    if (rc != 0)
        unixfs_node_fini(out);
    return rc;
}

static bool has_slot(const struct unixfs_node *n, uint32_t slot)
{
    size_t from_end = slot / 8 + 1;
    return from_end <= n->data.size && (n->data.data[n->data.size - from_end] >> slot % 8 & 1) != 0;
}

/* Slots before this one that are taken: the index of its link. */
static size_t rank_of(const struct unixfs_node *n, uint32_t slot)
{
    size_t rank = 0;
    for (uint32_t i = 0; i < slot; i++)
        rank += has_slot(n, i);
    return rank;
}

/* Takes the slot off a link's name; false if it is another. */
static bool cut_slot(const struct shape *s, const struct dagpb_link *link, uint32_t slot,
                     struct bytes *name)
{
    uint8_t want[PREFIX_MAX];
    put_slot(s, slot, want);
    if (link->name.size < s->prefix || memcmp(link->name.data, want, s->prefix) != 0)
        return false;
    *name = bytes_of(link->name.data + s->prefix, link->name.size - s->prefix);
    return true;
}

static int wrong_slot(size_t link, uint32_t slot, struct err *err)
{
    return err_set(err, ERR_MALFORMED, "HAMT: link %zu does not name slot %X, which is its own",
                   link, slot);
}

/* The link that stands where `name` leads in one shard: the entry's, or a further shard's. */
static int find_link(const struct unixfs_node *n, const struct shape *s, uint32_t slot,
                     struct bytes name, struct cid *out, bool *is_shard, struct err *err)
{
    struct bytes found;
    if (!has_slot(n, slot))
        return err_set(err, ERR_NOTFOUND, "no such entry");
    size_t at = rank_of(n, slot);
    if (at >= n->pb.link_count || !cut_slot(s, &n->pb.links[at], slot, &found))
        return wrong_slot(at, slot, err);
    *is_shard = found.size == 0;
    if (!*is_shard && !bytes_equal(found, name))
        return err_set(err, ERR_NOTFOUND, "no such entry");
    *out = n->pb.links[at].cid;
    return 0;
}

int hamt_find(const struct block_source *source, struct bytes block, struct bytes name,
              int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err),
              void *self, struct cid *out, struct err *err)
{
    struct buf buf = buf_new(BLOCK_BYTES_MAX);
    uint64_t hash = hamt_hash(name);
    struct shape shape = {0};
    struct cid cid = {0};
    bool is_shard = true;
    int rc = 0;
    for (unsigned level = 0; is_shard && rc == 0; level++) {
        struct unixfs_node node;
        if (level > 0 && level == shape.levels) {
            rc = err_set(err, ERR_MALFORMED, "HAMT: more levels than the hash has bits for");
            break;
        }
        rc = decode_shard(block, level == 0 ? NULL : &shape, &node, err);
        if (rc != 0)
            break;
        shape = shape_of(node.fanout);
        rc = find_link(&node, &shape, slot_of(&shape, hash, level), name, &cid, &is_shard, err);
        unixfs_node_fini(&node);
        if (rc == 0 && is_shard) {
            rc = block_source_get(source, &cid, &buf, err);
            block = buf_bytes(&buf);
        }
        if (rc == 0 && is_shard && visit != NULL && !cid_identity(&cid, NULL))
            rc = visit(self, &cid, block, err);
    }
    if (rc == 0)
        *out = cid;
    buf_fini(&buf);
    return rc;
}

/* --- all of it --- */

struct level {
    struct cid cid; /* none: the root, whose name we do not know */
    struct buf block;
    struct unixfs_node node;
    size_t next;   /* link */
    uint32_t slot; /* where it stands, or behind */
};

struct walk {
    const struct block_source *source;
    int (*each)(void *self, const struct hamt_entry *entry, struct err *err);
    int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct shape shape;
    unsigned depth; /* levels in use */
    struct level levels[LEVELS_MAX];
};

static int enter(struct walk *w, const struct cid *cid, struct err *err)
{
    if (w->depth == w->shape.levels)
        return err_set(err, ERR_MALFORMED, "HAMT: more levels than the hash has bits for");
    for (unsigned i = 1; i < w->depth; i++)
        if (cid_equal(&w->levels[i].cid, cid))
            return err_set(err, ERR_MALFORMED, "HAMT: a shard below itself");
    struct level *l = &w->levels[w->depth];
    struct buf kept = l->block.max > 0 ? l->block : buf_new(BLOCK_BYTES_MAX);
    *l = (struct level){.cid = *cid, .block = kept};
    int rc = block_source_get(w->source, cid, &l->block, err);
    if (rc == 0)
        rc = decode_shard(buf_bytes(&l->block), &w->shape, &l->node, err);
    if (rc != 0)
        return rc;
    w->depth++;
    if (w->visit == NULL || cid_identity(cid, NULL))
        return 0;
    return w->visit(w->self, cid, buf_bytes(&l->block), err);
}

/* Does the hash of `name` lead through the slots at which the levels stand? Since every shard but
 * the root ends in entries that are checked so, one that is linked twice is found out at its first
 * entry. */
static bool leads_here(const struct walk *w, struct bytes name)
{
    uint64_t hash = hamt_hash(name);
    for (unsigned i = 0; i < w->depth; i++)
        if (slot_of(&w->shape, hash, i) != w->levels[i].slot)
            return false;
    return true;
}

/* The next link of the deepest level. */
static int step(struct walk *w, struct err *err)
{
    struct level *l = &w->levels[w->depth - 1];
    if (l->next == l->node.pb.link_count) {
        unixfs_node_fini(&l->node);
        w->depth--;
        return 0;
    }
    if (l->next > 0)
        l->slot++;
    while (l->slot < w->shape.fanout && !has_slot(&l->node, l->slot))
        l->slot++;
    const struct dagpb_link *link = &l->node.pb.links[l->next++];
    struct hamt_entry entry = {.cid = link->cid, .total_bytes = link->total_bytes};
    if (l->slot >= w->shape.fanout || !cut_slot(&w->shape, link, l->slot, &entry.name))
        return wrong_slot(l->next - 1, l->slot, err);
    if (entry.name.size == 0)
        return enter(w, &entry.cid, err);
    if (!leads_here(w, entry.name))
        return err_set(err, ERR_MALFORMED,
                       "HAMT: the name at link %zu stands where its hash does not lead",
                       l->next - 1);
    return w->each(w->self, &entry, err);
}

int hamt_each(const struct block_source *source, struct bytes block,
              int (*each)(void *self, const struct hamt_entry *entry, struct err *err),
              int (*visit)(void *self, const struct cid *cid, struct bytes block, struct err *err),
              void *self, struct err *err)
{
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    w->source = source;
    w->each = each;
    w->visit = visit;
    w->self = self;
    int rc = decode_shard(block, NULL, &w->levels[0].node, err);
    if (rc == 0) {
        w->shape = shape_of(w->levels[0].node.fanout);
        w->depth = 1;
    }
    while (rc == 0 && w->depth > 0)
        rc = step(w, err);
    while (w->depth > 0)
        unixfs_node_fini(&w->levels[--w->depth].node);
    for (unsigned i = 1; i < LEVELS_MAX; i++)
        buf_fini(&w->levels[i].block);
    free(w);
    return rc;
}
