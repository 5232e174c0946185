/* SPDX-License-Identifier: Apache-2.0 */
#include "content/directory.h"

#include <stdlib.h>

#define NAMES_BYTES (64u << 10) /* of one piece of the names' memory */

struct names {
    struct names *before;
    size_t used;
    char text[NAMES_BYTES];
};

struct directory {
    const struct unixfs_profile *profile;
    struct hamt_entry *entries;
    size_t count, capacity;
    struct names *names;
    uint32_t *table; /* open addressing by the names' hash: index + 1, 0 is free */
    size_t slots;    /* a power of two, at least half of it free */
};

int directory_new(const struct unixfs_profile *profile, struct directory **out, struct err *err)
{
    struct directory *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->profile = profile;
    *out = d;
    return 0;
}

void directory_free(struct directory *d)
{
    if (d == NULL)
        return;
    while (d->names != NULL) {
        struct names *before = d->names->before;
        free(d->names);
        d->names = before;
    }
    free(d->entries);
    free(d->table);
    free(d);
}

/* Where `name` stands in the table, or would. */
static uint32_t *seek(const struct directory *d, struct bytes name)
{
    for (size_t i = (size_t)hamt_hash(name);; i++) {
        uint32_t *at = &d->table[i & (d->slots - 1)];
        if (*at == 0 || bytes_equal(d->entries[*at - 1].name, name))
            return at;
    }
}

static int grow(struct directory *d, struct err *err)
{
    if (d->count < d->capacity)
        return 0;
    size_t capacity = 64;
    while (capacity <= d->count)
        capacity *= 2;
    struct hamt_entry *entries = realloc(d->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->entries = entries;
    uint32_t *table = calloc(capacity * 2, sizeof *table);
    if (table == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    free(d->table);
    d->table = table;
    d->slots = capacity * 2;
    d->capacity = capacity;
    for (size_t i = 0; i < d->count; i++)
        *seek(d, d->entries[i].name) = (uint32_t)(i + 1);
    return 0;
}

static int keep_name(struct directory *d, struct bytes name, struct bytes *out, struct err *err)
{
    if (d->names == NULL || NAMES_BYTES - d->names->used < name.size) {
        struct names *n = malloc(sizeof *n);
        if (n == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        n->before = d->names;
        n->used = 0;
        d->names = n;
    }
    char *at = d->names->text + d->names->used;
    memcpy(at, name.data, name.size);
    d->names->used += name.size;
    *out = bytes_of(at, name.size);
    return 0;
}

int directory_add(struct directory *d, const char *name, const struct unixfs_child *entry,
                  struct err *err)
{
    struct bytes given = bytes_of(name, strnlen(name, DIRECTORY_NAME_MAX + 1)), kept;
    if (given.size == 0 || given.size > DIRECTORY_NAME_MAX || memchr(name, '/', given.size) != NULL)
        return err_set(err, ERR_USAGE,
                       "directory: a name is 1 to %d bytes without '/', and this is none",
                       DIRECTORY_NAME_MAX);
    if (d->count == DIRECTORY_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "directory: more than %u entries", DIRECTORY_ENTRIES_MAX);
    int rc = grow(d, err);
    if (rc != 0)
        return rc;
    uint32_t *at = seek(d, given);
    if (*at != 0)
        return err_set(err, ERR_EXISTS, "directory: an entry of that name is there already");
    rc = keep_name(d, given, &kept, err);
    if (rc != 0)
        return rc;
    d->entries[d->count++] =
        (struct hamt_entry){.name = kept, .cid = entry->cid, .total_bytes = entry->total_bytes};
    *at = (uint32_t)d->count;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct bytes *x = &((const struct hamt_entry *)a)->name;
    const struct bytes *y = &((const struct hamt_entry *)b)->name;
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : x->size < y->size ? -1 : x->size > y->size;
}

/* The size that the profile's rule compares, but for the block's: that is known once written. */
static uint64_t links_size(const struct directory *d)
{
    uint64_t size = 0;
    for (size_t i = 0; i < d->count; i++)
        size += d->entries[i].name.size + d->entries[i].cid.size;
    return size;
}

static void put_block(struct directory *d, struct buf *block)
{
    if (d->count > 0)
        qsort(d->entries, d->count, sizeof *d->entries, by_name);
    for (size_t i = 0; i < d->count; i++)
        dagpb_put_link(block, &d->entries[i].cid, d->entries[i].name, d->entries[i].total_bytes);
    unixfs_node_put_directory(block);
}

int directory_finish(struct directory *d,
                     int (*put)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                     void *self, struct unixfs_child *root, struct err *err)
{
    const struct unixfs_profile *p = d->profile;
    uint64_t links = links_size(d);
    struct buf block = buf_new(p->directory_bytes_max < BLOCK_BYTES_MAX ? p->directory_bytes_max
                                                                        : BLOCK_BYTES_MAX);
    if (!p->directory_by_block)
        block.max = BLOCK_BYTES_MAX;
    /* The block is longer than its links' names and CIDs: past the limit, no need to write it. */
    bool large = links > p->directory_bytes_max;
    /* The table no longer holds: finishing puts the entries in another order. */
    free(d->table);
    d->table = NULL;
    d->slots = d->capacity = 0;
    if (!large) {
        put_block(d, &block);
        large = block.failed == ERR_LIMIT;
    }
    int rc = 0;
    if (large) {
        rc = hamt_build(d->entries, d->count, p->fanout, p->cid_version, put, self, root, err);
        buf_fini(&block);
        return rc;
    }
    rc = buf_check(&block, err);
    if (rc == 0) {
        uint8_t digest[HASH_BYTES];
        hash_sha256(buf_bytes(&block), digest);
        *root =
            (struct unixfs_child){.cid = unixfs_profile_cid(p, digest), .total_bytes = block.size};
        for (size_t i = 0; i < d->count; i++)
            root->total_bytes += d->entries[i].total_bytes;
        if (put != NULL)
            rc = put(self, &root->cid, buf_bytes(&block), err);
    }
    buf_fini(&block);
    return rc;
}

/* --- reading --- */

static int not_a_directory(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "not a directory");
}

static int find_flat(const struct unixfs_node *n, struct bytes name, struct cid *out,
                     struct err *err)
{
    for (size_t i = 0; i < n->pb.link_count; i++)
        if (bytes_equal(n->pb.links[i].name, name)) {
            *out = n->pb.links[i].cid;
            return 0;
        }
    return err_set(err, ERR_NOTFOUND, "no such entry");
}

int directory_find(const struct block_source *source, struct bytes block, struct bytes name,
                   int (*visit)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                   void *self, struct cid *out, struct err *err)
{
    struct unixfs_node node;
    int rc = unixfs_node_decode(block, &node, err);
    if (rc != 0)
        return rc;
    enum unixfs_type type = node.type;
    if (type == UNIXFS_DIRECTORY)
        rc = find_flat(&node, name, out, err);
    unixfs_node_fini(&node);
    if (type == UNIXFS_HAMT)
        return hamt_find(source, block, name, visit, self, out, err);
    return type == UNIXFS_DIRECTORY ? rc : not_a_directory(err);
}

int directory_each(const struct block_source *source, struct bytes block,
                   int (*each)(void *self, const struct hamt_entry *entry, struct err *err),
                   int (*visit)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                   void *self, struct err *err)
{
    struct unixfs_node node;
    int rc = unixfs_node_decode(block, &node, err);
    if (rc != 0)
        return rc;
    enum unixfs_type type = node.type;
    for (size_t i = 0; type == UNIXFS_DIRECTORY && i < node.pb.link_count && rc == 0; i++) {
        const struct dagpb_link *link = &node.pb.links[i];
        struct hamt_entry entry = {link->name, link->cid, link->total_bytes};
        rc = each(self, &entry, err);
    }
    unixfs_node_fini(&node);
    if (type == UNIXFS_HAMT)
        return hamt_each(source, block, each, visit, self, err);
    return type == UNIXFS_DIRECTORY ? rc : not_a_directory(err);
}
