/* SPDX-License-Identifier: Apache-2.0 */
#include "study/seal.h"

#include <stdlib.h>

#include "base/fault.h"
#include "content/digest_map.h"
#include "model/delta.h"
#include "model/safetensors.h"
#include "study/leaves.h"
#include "study/parts.h"
#include "study/update_index.h"

#define PART_SHARDS   32 /* 16 MiB of f32: a leaf that two parts share is hashed twice, few are */
#define PART_LEAVES   16
#define COMPARE_BYTES (256u << 10)

/* Two models of one layout, side by side. */
struct sealing {
    const struct seal *seal;
    const struct layout *layout;
    const struct files *files;
    struct leaves base;
    int fd; /* the new model */
    uint64_t data_start;
    struct update_index index;
};

/* --- the two models --- */

static int read_base_header(const struct sealing *x, uint8_t *out, struct err *err)
{
    struct leaves_reader reader;
    leaves_reader_init(&reader, &x->base);
    int rc = leaves_read(&reader, 0, out, (size_t)x->data_start, err);
    leaves_reader_fini(&reader);
    return rc;
}

/* The headers differ: which tensor is it? What a tensor is used for is the plan's word, not the
 * file's. */
static int explain_header(const struct sealing *x, struct err *err)
{
    struct safetensors found;
    int rc = safetensors_open(x->files, x->fd, NULL, &found, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < found.layout->tensor_count; i++) {
        struct tensor *t = &found.layout->tensors[i];
        const struct tensor *known = layout_find(x->layout, t->name);
        if (known != NULL)
            t->use = known->use;
    }
    rc = layout_compare(x->layout, found.layout, err);
    safetensors_fini(&found);
    return rc != 0 ? rc : err_set(err, ERR_MALFORMED, "its header is not in canonical form");
}

/* The same header to the byte, and the same length: then every tensor lies where the base has it.
 */
static int check_header(const struct sealing *x, struct err *err)
{
    struct files_stat st;
    size_t size = (size_t)x->data_start;
    uint8_t *headers = malloc(2 * size);
    if (headers == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = read_base_header(x, headers, err);
    if (rc != 0) {
        free(headers);
        return err_wrap(err, rc, "base");
    }
    rc = x->files->stat_fd(x->files->self, x->fd, &st, err);
    bool same = rc == 0 && st.size == x->base.file_bytes;
    if (same)
        rc = x->files->read(x->files->self, x->fd, 0, headers + size, size, err);
    same = same && rc == 0 && memcmp(headers, headers + size, size) == 0;
    if (rc == 0 && !same)
        rc = explain_header(x, err);
    free(headers);
    return rc != 0 ? err_wrap(err, rc, "new model %.400s", x->seal->new_model) : 0;
}

/* `size` bytes at `offset` of the data section, from both. */
static int read_both(const struct sealing *x, struct leaves_reader *reader, uint64_t offset,
                     size_t size, uint8_t *base, uint8_t *new_model, struct err *err)
{
    int rc = leaves_read(reader, x->data_start + offset, base, size, err);
    if (rc != 0)
        return err_wrap(err, rc, "base");
    rc = x->files->read(x->files->self, x->fd, x->data_start + offset, new_model, size, err);
    return rc != 0 ? err_wrap(err, rc, "new model %.400s", x->seal->new_model) : 0;
}

/* --- fixed tensors, by windows of the file --- */

static int compare_run(const struct sealing *x, struct leaves_reader *reader,
                       const struct tensor *t, uint64_t from, uint64_t to, struct err *err)
{
    uint8_t *base = malloc(2 * (size_t)COMPARE_BYTES);
    if (base == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    uint8_t *new_model = base + COMPARE_BYTES;
    int rc = 0;
    for (uint64_t at = from; rc == 0 && at < to;) {
        size_t size = to - at < COMPARE_BYTES ? (size_t)(to - at) : COMPARE_BYTES;
        rc = read_both(x, reader, at, size, base, new_model, err);
        if (rc == 0 && memcmp(base, new_model, size) != 0)
            rc = err_set(err, ERR_DENIED,
                         "the trainer changed tensor %s, which the plan says is fixed", t->name);
        at += size;
    }
    free(base);
    return rc;
}

static int compare_fixed(void *self, size_t i, struct err *err)
{
    const struct sealing *x = self;
    struct leaves_reader reader;
    uint64_t window = (uint64_t)PART_LEAVES * UNIXFS_LEAF_BYTES, start = i * window;
    uint64_t end = start + window;
    start = start > x->data_start ? start - x->data_start : 0; /* now in the data section */
    end = end > x->data_start ? end - x->data_start : 0;
    leaves_reader_init(&reader, &x->base);
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < x->layout->tensor_count; k++) {
        const struct tensor *t = &x->layout->tensors[k];
        uint64_t from = t->offset, to = t->offset + t->elements * dtype_bytes(t->dtype);
        from = from > start ? from : start;
        to = to < end ? to : end;
        if (t->use == USE_FIXED && from < to)
            rc = compare_run(x, &reader, t, from, to, err);
    }
    leaves_reader_fini(&reader);
    return rc;
}

/* --- shards --- */

/* What one thread holds: a shard of base, of the new model, and their delta. */
struct buffers {
    struct leaves_reader reader;
    uint8_t *base, *new_model, *delta;
};

/* A delta that is not finite: which tensor, which element? */
static int explain_delta(const struct sealing *x, size_t shard, const struct buffers *b,
                         struct err *err)
{
    struct shard one = x->layout->shards[shard];
    size_t size = dtype_bytes(one.dtype);
    uint32_t bad = 0, count = one.elements;
    uint64_t cursor = 0, offset = 0;
    one.bytes /= one.elements;
    one.elements = 1;
    while (bad + 1 < count &&
           delta_encode(&one, b->base + bad * size, b->new_model + bad * size, b->delta, NULL) == 0)
        bad++;
    for (struct piece p; layout_next_piece(x->layout, shard, &cursor, &p);)
        if (p.at <= bad)
            offset = p.offset + (bad - p.at) * size;
    for (size_t k = 0; k < x->layout->tensor_count; k++) {
        const struct tensor *t = &x->layout->tensors[k];
        if (offset >= t->offset && offset < t->offset + t->elements * dtype_bytes(t->dtype))
            return err_set(err, ERR_MALFORMED,
                           "new model minus base is not finite: tensor %s, element %llu", t->name,
                           (unsigned long long)((offset - t->offset) / size));
    }
    return err_set(err, ERR_MALFORMED, "new model minus base is not finite");
}

/* Null stands for a delta of zero. A `largest` shard holds values, and its null stands for the
 * base's: there zeros are null only where the base has them too. */
static bool is_null(const struct shard *shard, const struct buffers *b)
{
    struct bytes delta = bytes_of(b->delta, shard->bytes), base = bytes_of(b->base, shard->bytes);
    return delta_is_null(delta) && (shard->use == USE_MEAN || delta_is_null(base));
}

static int seal_shard(struct sealing *x, size_t i, struct buffers *b, struct err *err)
{
    const struct shard *shard = &x->layout->shards[i];
    size_t size = dtype_bytes(shard->dtype);
    uint64_t cursor = 0;
    for (struct piece p; layout_next_piece(x->layout, i, &cursor, &p);) {
        int rc = read_both(x, &b->reader, p.offset, p.elements * size, b->base + p.at * size,
                           b->new_model + p.at * size, err);
        if (rc != 0)
            return rc;
    }
    if (delta_encode(shard, b->base, b->new_model, b->delta, NULL) != 0)
        return explain_delta(x, i, b, err);
    if (is_null(shard, b))
        return 0;
    struct bytes delta = bytes_of(b->delta, shard->bytes);
    x->index.shards[i] = cid_of(CID_RAW, delta);
    return pack_put_verified(x->seal->pack, &x->index.shards[i], delta, err);
}

static int seal_shards(void *self, size_t part, struct err *err)
{
    struct sealing *x = self;
    struct buffers b;
    size_t first = part * PART_SHARDS, end = first + PART_SHARDS;
    end = end < x->layout->shard_count ? end : x->layout->shard_count;
    uint8_t *memory = malloc(3 * (size_t)LAYOUT_SHARD_ELEMENTS * sizeof(double));
    if (memory == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b.base = memory;
    b.new_model = memory + (size_t)LAYOUT_SHARD_ELEMENTS * sizeof(double);
    b.delta = memory + 2 * (size_t)LAYOUT_SHARD_ELEMENTS * sizeof(double);
    leaves_reader_init(&b.reader, &x->base);
    int rc = 0;
    for (size_t i = first; rc == 0 && i < end; i++) {
        rc = seal_shard(x, i, &b, err);
        if (x->seal->progress != NULL)
            x->seal->progress->done += x->layout->shards[i].bytes;
    }
    leaves_reader_fini(&b.reader);
    free(memory);
    return rc;
}

static int put(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return pack_put(self, cid, block, err);
}

static int seal_models(struct sealing *x, struct err *err)
{
    const struct seal *s = x->seal;
    int rc = check_header(x, err);
    uint64_t window = (uint64_t)PART_LEAVES * UNIXFS_LEAF_BYTES;
    size_t windows = (size_t)((x->base.file_bytes + window - 1) / window);
    if (rc == 0)
        rc = parts_run(s->jobs, windows, compare_fixed, x, err);
    size_t parts = (x->layout->shard_count + PART_SHARDS - 1) / PART_SHARDS;
    if (s->progress != NULL)
        progress_count_set(s->progress, 0, layout_update_bytes(x->layout));
    return rc != 0 ? rc : parts_run(s->jobs, parts, seal_shards, x, err);
}

/* Shards and index of the delta into the pack; `delta` is the index's name. */
static int seal_delta(const struct seal *s, struct cid *delta, struct err *err)
{
    struct sealing x = {.seal = s, .layout = s->study->layout, .files = files_posix(), .fd = -1};
    x.index =
        (struct update_index){.layout = s->study->plan.layout, .count = x.layout->shard_count};
    memcpy(x.index.codec, s->study->plan.codec, sizeof x.index.codec);
    x.index.shards = calloc(x.index.count + 1, sizeof *x.index.shards);
    int rc = x.index.shards == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0)
        rc = study_check_model(s->store, x.layout, &s->base, &x.data_start, err);
    if (rc == 0)
        rc = leaves_load(s->store, &s->base, &x.base, err);
    if (rc == 0)
        rc = x.files->open(x.files->self, s->new_model, FILES_READ, &x.fd, err);
    if (rc == 0)
        rc = seal_models(&x, err);
    if (rc == 0)
        rc = update_index_write(&x.index, put, s->pack, delta, err);
    if (x.fd >= 0)
        x.files->close(x.files->self, x.fd);
    leaves_fini(&x.base);
    update_index_fini(&x.index);
    return rc;
}

static int seal_answer(const struct seal *s, struct update *u, struct err *err)
{
    switch (s->rule->asks[u->exchange]) {
    case RULE_DELTA:
        return seal_delta(s, &u->delta, err);
    case RULE_VALUES:
        u->values = cid_of(CID_DAG_CBOR, s->values);
        return pack_put(s->pack, &u->values, s->values, err);
    case RULE_METRICS:
        return 0;
    }
    return 0;
}

int seal_update(const struct seal *s, struct cid *record, struct err *err)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct update u = s->update;
    struct cid cid;
    u.study = s->study->charter.cid;
    u.plan = s->study->plan.cid;
    u.base = s->base;
    u.by = key_public(s->key);
    u.delta = u.values = (struct cid){0};
    int rc = u.exchange < s->rule->exchange_count
                 ? seal_answer(s, &u, err)
                 : err_set(err, ERR_MALFORMED, "rule %s has no exchange %llu", s->rule->name,
                           (unsigned long long)u.exchange);
    if (rc == 0)
        rc = update_sign(&u, s->key, &block, &cid, err);
    if (rc == 0)
        rc = pack_put(s->pack, &cid, buf_bytes(&block), err);
    FAULT_POINT("seal-before-sync");
    if (rc == 0)
        rc = pack_sync(s->pack, err);
    FAULT_POINT("seal-after-sync");
    buf_fini(&block);
    if (rc != 0)
        return err_wrap(err, rc, "seal");
    *record = cid;
    return 0;
}

/* --- what is to be sent --- */

struct names {
    struct cid *cids;
    size_t count, capacity;
    struct digest_map seen;
};

static int add_name(void *self, const struct cid *cid, struct err *err)
{
    struct names *n = self;
    struct digest_place none = {0};
    if (digest_map_get(&n->seen, cid_digest(cid), &none))
        return 0;
    if (n->count == n->capacity) {
        size_t capacity = n->capacity * 2 + 64;
        struct cid *cids = realloc(n->cids, capacity * sizeof *cids);
        if (cids == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        n->cids = cids;
        n->capacity = capacity;
    }
    n->cids[n->count++] = *cid;
    return digest_map_put(&n->seen, cid_digest(cid), &none, err);
}

static int get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return pack_get(self, cid, out, err);
}

static int add_delta(struct names *n, struct pack *pack, const struct cid *delta, struct err *err)
{
    struct update_index_source source = {.self = pack, .get = get};
    struct update_index index = {0};
    int rc = update_index_blocks(&source, delta, add_name, n, err);
    if (rc == 0)
        rc = update_index_read(&source, delta, UPDATE_INDEX_ANY, NULL, &index, err);
    for (size_t i = 0; rc == 0 && i < index.count; i++)
        if (!cid_is_none(&index.shards[i]))
            rc = add_name(n, &index.shards[i], err);
    update_index_fini(&index);
    return rc;
}

int seal_blocks(struct pack *pack, const struct cid *record, struct cid **out, size_t *count,
                struct err *err)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct names n = {0};
    struct update u;
    int rc = pack_get(pack, record, &block, err);
    if (rc == 0)
        rc = update_decode(buf_bytes(&block), &u, err);
    if (rc == 0)
        rc = add_name(&n, record, err);
    if (rc == 0 && !cid_is_none(&u.delta))
        rc = add_delta(&n, pack, &u.delta, err);
    if (rc == 0 && !cid_is_none(&u.values))
        rc = add_name(&n, &u.values, err);
    buf_fini(&block);
    digest_map_fini(&n.seen);
    if (rc != 0) {
        free(n.cids);
        return err_wrap(err, rc, "sealed update");
    }
    *out = n.cids;
    *count = n.count;
    return 0;
}
