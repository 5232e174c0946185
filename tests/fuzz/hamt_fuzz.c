/* SPDX-License-Identifier: Apache-2.0 */
/* hamt: the input as shards, or as names. Shards that are read to the end give their entries in the
 * order of the names' hashes, and each of them is found by its name; what is written from names is
 * read back whole. */
#include "content/hamt.h"
#include "tests/fuzz/blocks.h"

#define NAMES_MAX 512
#define FOUND_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    const struct block_source *source;
    struct bytes root;
    size_t entries;
    uint64_t last;
};

static int see(void *self, const struct hamt_entry *e, struct err *err)
{
    struct reading *r = self;
    struct cid found;
    (void)err;
    assert(e->name.size > 0);
    assert(r->entries == 0 || hamt_hash(e->name) > r->last);
    r->last = hamt_hash(e->name);
    if (r->entries++ < FOUND_MAX) {
        int rc = hamt_find(r->source, r->root, e->name, NULL, NULL, &found, NULL);
        assert(rc == 0 && cid_equal(&found, &e->cid));
    }
    return 0;
}

static void read_shards(const uint8_t *data, size_t size)
{
    struct blocks b = {0};
    struct block_source source = {&b, blocks_get};
    struct err err = {0};
    blocks_take(&b, data, size);
    struct reading r = {.source = &source, .root = b.block[0]};
    int rc = hamt_each(&source, b.block[0], see, NULL, &r, &err);
    if (rc != 0)
        blocks_check_refusal(rc, &err);
    struct cid found;
    rc = hamt_find(&source, b.block[0], bytes_of_text("470.txt"), NULL, NULL, &found, &err);
    if (rc != 0)
        blocks_check_refusal(rc, &err);
}

/* Blocks as they are written, found by a search. */
struct written {
    struct cid cid[2 * NAMES_MAX];
    struct buf block[2 * NAMES_MAX];
    size_t count;
};

static int keep(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct written *w = self;
    if (w->count == 2 * NAMES_MAX)
        return err_set(err, ERR_LIMIT, "enough");
    w->cid[w->count] = *cid;
    w->block[w->count] = buf_new(BLOCK_BYTES_MAX);
    buf_append(&w->block[w->count++], block.data, block.size);
    return 0;
}

static int get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct written *w = self;
    for (size_t i = 0; i < w->count; i++)
        if (cid_equal(&w->cid[i], cid)) {
            buf_clear(out);
            buf_append(out, w->block[i].data, w->block[i].size);
            return buf_check(out, err);
        }
    return err_set(err, ERR_NOTFOUND, "never written");
}

static size_t split(const uint8_t *data, size_t size, struct hamt_entry *entries)
{
    size_t count = 0;
    while (size > 0 && count < NAMES_MAX) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end == NULL ? size : (size_t)(end - data);
        struct bytes name = bytes_of(data, length);
        bool known = length == 0;
        for (size_t i = 0; i < count && !known; i++)
            known = bytes_equal(entries[i].name, name);
        if (!known)
            entries[count++] = (struct hamt_entry){name, cid_of(CID_RAW, name), length};
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    return count;
}

static void write_names(uint8_t how, const uint8_t *data, size_t size)
{
    static struct hamt_entry entries[NAMES_MAX];
    static struct written w;
    struct unixfs_child root;
    struct err err = {0};
    size_t count = split(data, size, entries);
    w.count = 0;
    int rc = hamt_build(entries, count, 8u << (how >> 1) % 8, how & 1, keep, &w, &root, &err);
    if (rc == 0) {
        struct block_source source = {&w, get};
        struct reading r = {.source = &source, .root = buf_bytes(&w.block[w.count - 1])};
        assert(cid_equal(&root.cid, &w.cid[w.count - 1]));
        rc = hamt_each(&source, r.root, see, NULL, &r, &err);
        assert(rc == 0 && r.entries == count);
    } else {
        assert(rc == ERR_LIMIT || rc == ERR_USAGE);
    }
    for (size_t i = 0; i < w.count; i++)
        buf_fini(&w.block[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] < 0x80)
        read_shards(data + 1, size - 1);
    else
        write_names(data[0], data + 1, size - 1);
    return 0;
}
