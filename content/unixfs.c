/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unixfs.h"

#include <stdlib.h>

#include "base/files.h"
#include "base/jobs.h"

#define WINDOW_LEAVES 16
#define PART_LEAVES   2

/* --- profiles --- */

const struct unixfs_profile unixfs_v1_2025 = {.name = "unixfs-v1-2025",
                                              .chunk_bytes = UNIXFS_LEAF_BYTES,
                                              .links_max = UNIXFS_LINKS,
                                              .cid_version = 1,
                                              .raw_leaves = true,
                                              .directory_bytes_max = 256 << 10,
                                              .directory_by_block = true,
                                              .fanout = 256};

const struct unixfs_profile unixfs_v0_2015 = {.name = "unixfs-v0-2015",
                                              .chunk_bytes = 256 << 10,
                                              .links_max = 174,
                                              .cid_version = 0,
                                              .raw_leaves = false,
                                              .directory_bytes_max = 256 << 10,
                                              .directory_by_block = false,
                                              .fanout = 256};

const struct unixfs_profile *unixfs_profile_find(const char *name)
{
    if (strcmp(name, unixfs_v1_2025.name) == 0)
        return &unixfs_v1_2025;
    if (strcmp(name, unixfs_v0_2015.name) == 0 || strcmp(name, "legacy-cid-v0") == 0)
        return &unixfs_v0_2015;
    return NULL;
}

int unixfs_profile_check(const struct unixfs_profile *p, struct err *err)
{
    if (p->chunk_bytes < 1 || p->chunk_bytes > UNIXFS_CHUNK_BYTES_MAX)
        return err_set(err, ERR_USAGE, "chunks of %lu bytes; 1 to %u are possible",
                       (unsigned long)p->chunk_bytes, UNIXFS_CHUNK_BYTES_MAX);
    if (p->links_max < 2 || p->links_max > UNIXFS_LINKS_MAX)
        return err_set(err, ERR_USAGE, "nodes of %lu links; 2 to %d are possible",
                       (unsigned long)p->links_max, UNIXFS_LINKS_MAX);
    if (p->cid_version > 1)
        return err_set(err, ERR_USAGE, "CID version %u; there are 0 and 1", p->cid_version);
    if (p->fanout < 8 || p->fanout > UNIXFS_NODE_FANOUT_MAX || (p->fanout & (p->fanout - 1)) != 0)
        return err_set(err, ERR_USAGE, "a fanout of %lu; powers of two from 8 to %d are possible",
                       (unsigned long)p->fanout, UNIXFS_NODE_FANOUT_MAX);
    return 0;
}

struct cid unixfs_profile_cid(const struct unixfs_profile *p, const uint8_t digest[HASH_BYTES])
{
    struct cid cid = cid_from_digest(CID_DAG_PB, digest);
    return p->cid_version == 0 ? cid_as_v0(&cid) : cid;
}

/* --- building --- */

struct level {
    uint32_t count, capacity; /* grows up to the profile's links */
    struct unixfs_child *links;
};

/* The tree under way: level 0 collects leaves, each full level becomes one link of the next. */
struct unixfs_builder {
    const struct unixfs_profile *profile;
    int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct level levels[UNIXFS_DEPTH_MAX];
    struct buf block;
    bool short_leaf; /* one was added: it was the last */
};

int unixfs_builder_new(const struct unixfs_profile *profile,
                       int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct unixfs_builder **out, struct err *err)
{
    int rc = unixfs_profile_check(profile, err);
    if (rc != 0)
        return rc;
    struct unixfs_builder *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->profile = profile;
    b->put = put;
    b->self = self;
    b->block = buf_new(BLOCK_BYTES_MAX);
    *out = b;
    return 0;
}

void unixfs_builder_free(struct unixfs_builder *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < UNIXFS_DEPTH_MAX; i++)
        free(b->levels[i].links);
    buf_fini(&b->block);
    free(b);
}

/* Names the block that was written and hands it out. */
static int put_block(struct unixfs_builder *b, struct unixfs_child *out, struct err *err)
{
    uint8_t digest[HASH_BYTES];
    int rc = buf_check(&b->block, err);
    if (rc != 0)
        return rc;
    hash_sha256(buf_bytes(&b->block), digest);
    *out = (struct unixfs_child){.cid = unixfs_profile_cid(b->profile, digest),
                                 .total_bytes = b->block.size};
    return b->put == NULL ? 0 : b->put(b->self, &out->cid, buf_bytes(&b->block), err);
}

/* Turns a level into one node, linked from the level above. */
static int close_level(struct unixfs_builder *b, struct level *l, struct unixfs_child *out,
                       struct err *err)
{
    buf_clear(&b->block);
    unixfs_node_put_file(&b->block, l->links, l->count);
    int rc = put_block(b, out, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < l->count; i++) {
        out->file_bytes += l->links[i].file_bytes;
        out->total_bytes += l->links[i].total_bytes;
    }
    l->count = 0;
    return 0;
}

static int push(struct level *l, const struct unixfs_child *link, uint32_t links_max,
                struct err *err)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity == 0 ? 16 : 2 * l->capacity;
        if (capacity > links_max)
            capacity = links_max;
        struct unixfs_child *links = realloc(l->links, capacity * sizeof *links);
        if (links == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        l->links = links;
        l->capacity = capacity;
    }
    l->links[l->count++] = *link;
    return 0;
}

static int add_link(struct unixfs_builder *b, size_t depth, const struct unixfs_child *link,
                    struct err *err)
{
    uint32_t links_max = b->profile->links_max;
    for (struct unixfs_child carried = *link;; depth++) {
        if (depth == UNIXFS_DEPTH_MAX)
            return err_set(err, ERR_LIMIT, "UnixFS: file too large");
        struct level *l = &b->levels[depth];
        if (l->count < links_max)
            return push(l, &carried, links_max, err);
        /* Full, and one more comes: only now, so that a tree of exactly 1,024 leaves has one node.
         */
        struct unixfs_child node;
        int rc = close_level(b, l, &node, err);
        if (rc == 0)
            rc = push(l, &carried, links_max, err);
        if (rc != 0)
            return rc;
        carried = node;
    }
}

int unixfs_builder_add_leaf(struct unixfs_builder *b, const struct unixfs_child *leaf,
                            struct err *err)
{
    uint64_t size = leaf->file_bytes;
    if (size == 0 || size > b->profile->chunk_bytes || b->short_leaf)
        return err_set(err, ERR_USAGE, "UnixFS: a leaf of %llu bytes here",
                       (unsigned long long)size);
    b->short_leaf = size < b->profile->chunk_bytes;
    return add_link(b, 0, leaf, err);
}

int unixfs_builder_add(struct unixfs_builder *b, const uint8_t digest[HASH_BYTES], uint64_t size,
                       struct err *err)
{
    if (!b->profile->raw_leaves)
        return err_set(err, ERR_USAGE, "UnixFS: a raw leaf under %s", b->profile->name);
    struct unixfs_child leaf = {
        .cid = cid_from_digest(CID_RAW, digest), .file_bytes = size, .total_bytes = size};
    return unixfs_builder_add_leaf(b, &leaf, err);
}

static int finish_empty(struct unixfs_builder *b, struct unixfs_child *root, struct err *err)
{
    if (b->profile->raw_leaves) {
        *root = (struct unixfs_child){.cid = cid_of(CID_RAW, bytes_of(NULL, 0))};
        return 0;
    }
    buf_clear(&b->block);
    unixfs_node_put_leaf(&b->block, bytes_of(NULL, 0));
    return put_block(b, root, err);
}

int unixfs_builder_finish(struct unixfs_builder *b, struct unixfs_child *root, struct err *err)
{
    if (b->levels[0].count == 0)
        return finish_empty(b, root, err);
    /* Every level is closed into the one above, until a level holds one link and nothing lies above
     * it: that is the root. So all leaves stand at the same depth, whatever the last node of a
     * level holds. */
    for (size_t depth = 0; depth < UNIXFS_DEPTH_MAX; depth++) {
        struct level *l = &b->levels[depth];
        bool top = depth + 1 == UNIXFS_DEPTH_MAX || b->levels[depth + 1].count == 0;
        if (top && l->count == 1) {
            *root = l->links[0];
            return 0;
        }
        struct unixfs_child node;
        int rc = close_level(b, l, &node, err);
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
    struct err errs[WINDOW_LEAVES / PART_LEAVES];
};

static uint64_t leaf_size(const struct hashing *h, size_t i)
{
    uint64_t left = h->size - h->first - (uint64_t)i * UNIXFS_LEAF_BYTES;
    return left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES;
}

static size_t window_count(const struct hashing *h)
{
    uint64_t leaves = (h->size - h->first + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES;
    return leaves < WINDOW_LEAVES ? (size_t)leaves : WINDOW_LEAVES;
}

/* Neighbours are read and hashed together: hash_sha256_many does two for little more than one. */
static void hash_part(void *self, size_t part)
{
    struct hashing *h = self;
    struct err *err = &h->errs[part];
    size_t first = part * PART_LEAVES, count = window_count(h) - first;
    struct bytes leaves[PART_LEAVES];
    err->code = 0;
    if (count > PART_LEAVES)
        count = PART_LEAVES;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = h->first + (uint64_t)(first + i) * UNIXFS_LEAF_BYTES;
        uint8_t *leaf = h->leaves + (first + i) * UNIXFS_LEAF_BYTES;
        leaves[i] = bytes_of(leaf, (size_t)leaf_size(h, first + i));
        if (h->files->read(h->files->self, h->fd, offset, leaf, leaves[i].size, err) != 0)
            return;
    }
    hash_sha256_many(leaves, count, &h->digests[first]);
}

static int hash_windows(struct hashing *h, struct jobs *jobs, struct unixfs_builder *b,
                        struct err *err)
{
    for (; h->first < h->size; h->first += (uint64_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES) {
        size_t count = window_count(h), parts = (count + PART_LEAVES - 1) / PART_LEAVES;
        jobs_split(jobs, parts, hash_part, h);
        for (size_t i = 0; i < parts; i++)
            if (h->errs[i].code != 0)
                return err_set(err, h->errs[i].code, "%s", h->errs[i].text);
        for (size_t i = 0; i < count; i++) {
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
    struct unixfs_child built;
    int rc = f->open(f->self, path, FILES_READ, &h.fd, err);
    if (rc != 0)
        return rc;
    rc = f->stat_fd(f->self, h.fd, &s, err);
    h.leaves = aligned_alloc(64, (size_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES); /* see buf.c */
    if (rc == 0 && h.leaves == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = unixfs_builder_new(&unixfs_v1_2025, NULL, NULL, &b, err);
    if (rc == 0) {
        h.size = s.size;
        rc = hash_windows(&h, jobs, b, err);
    }
    if (rc == 0)
        rc = unixfs_builder_finish(b, &built, err);
    if (rc == 0)
        *root = built.cid;
    if (rc == 0 && size != NULL)
        *size = h.size;
    unixfs_builder_free(b);
    free(h.leaves);
    f->close(f->self, h.fd);
    return rc != 0 ? err_wrap(err, rc, "%s", path) : 0;
}
