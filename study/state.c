/* SPDX-License-Identifier: Apache-2.0 */
#include "study/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "model/safetensors.h"
#include "study/leaves.h"
#include "study/parts.h"

#define SLOTS_MAX 2
#define NO_LEAF   SIZE_MAX

/* One slot's place in the file. The buffer holds the bytes from `from` on, where the first leaf
 * begins that is not written yet, to `read`. Those before `done` are the new state's, those behind
 * it the old one's. */
struct run {
    uint64_t start, end; /* the slot's part of the file; the first one's begins with the header */
    uint64_t from, done, read;
    uint8_t *bytes; /* owned */
    size_t capacity;
};

struct state {
    struct state_setting setting;
    uint64_t file_bytes;
    size_t leaf_count;
    uint8_t (*digests)[HASH_BYTES]; /* (leaf_count) of the new state */
    struct leaves base;             /* of the old one, if there is one */
    struct store_model *file;       /* NULL: hash only */
    struct run runs[SLOTS_MAX];
    size_t joint;         /* the leaf that both slots have a part of; NO_LEAF */
    uint8_t *joint_bytes; /* (a leaf) owned */
};

/* --- the form --- */

static uint64_t elements(const struct layout *l)
{
    uint64_t n = 0;
    for (size_t i = 0; i < l->tensor_count; i++)
        n += l->tensors[i].use == USE_MEAN ? l->tensors[i].elements : 0;
    return n;
}

uint64_t state_bytes(const struct layout *l, size_t slots)
{
    return elements(l) * slots * sizeof(float);
}

struct form {
    size_t count;
    struct tensor *tensors; /* owned */
    char *names;            /* owned */
};

static int form_new(const struct layout *l, size_t slots, struct form *out, struct err *err)
{
    size_t size = 1, count = 0;
    for (size_t i = 0; i < l->tensor_count; i++)
        size += strlen(l->tensors[i].name) + sizeof "m/";
    struct form f = {.tensors = calloc(slots * l->tensor_count + 1, sizeof *f.tensors),
                     .names = malloc(slots * size)};
    if (f.tensors == NULL || f.names == NULL) {
        free(f.tensors);
        free(f.names);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    char *name = f.names;
    uint64_t offset = 0;
    for (size_t k = 0; k < slots; k++)
        for (size_t i = 0; i < l->tensor_count; i++) {
            if (l->tensors[i].use != USE_MEAN)
                continue;
            struct tensor *t = &f.tensors[count++];
            *t = l->tensors[i];
            t->name = name;
            t->dtype = DTYPE_F32;
            t->offset = offset;
            offset += t->elements * sizeof(float);
            *name++ = "mv"[k];
            *name++ = '/';
            name = stpcpy(name, l->tensors[i].name) + 1;
        }
    f.count = count;
    *out = f;
    return 0;
}

static int make_header(const struct layout *l, size_t slots, struct buf *out, struct err *err)
{
    struct form f = {.count = 0};
    int rc = form_new(l, slots, &f, err);
    if (rc != 0)
        return rc;
    rc = safetensors_format_tensors(f.tensors, f.count, STATE_HEADER_MAX, out, err);
    free(f.tensors);
    free(f.names);
    return rc;
}

/* One comparison answers for every tensor, as for a model. */
static int check_header(const struct leaves *leaves, const struct buf *header, uint64_t data_bytes,
                        struct err *err)
{
    struct leaves_reader reader;
    if (leaves->file_bytes != header->size + data_bytes)
        return err_set(err, ERR_MALFORMED,
                       "%llu bytes, where the plan's layout and optimiser take %llu",
                       (unsigned long long)leaves->file_bytes,
                       (unsigned long long)(header->size + data_bytes));
    uint8_t *found = malloc(header->size);
    if (found == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    leaves_reader_init(&reader, leaves);
    int rc = leaves_read(&reader, 0, found, header->size, err);
    if (rc == 0 && memcmp(found, header->data, header->size) != 0)
        rc = err_set(err, ERR_MALFORMED, "its header is not that of the plan's layout");
    leaves_reader_fini(&reader);
    free(found);
    return rc;
}

int state_check(struct store *store, const struct layout *layout, size_t slots,
                const struct cid *root, struct err *err)
{
    struct buf header = buf_new(STATE_HEADER_MAX);
    struct leaves leaves = {0};
    char text[CID_TEXT_MAX];
    int rc = make_header(layout, slots, &header, err);
    if (rc == 0)
        rc = leaves_load(store, root, &leaves, err);
    if (rc == 0)
        rc = check_header(&leaves, &header, state_bytes(layout, slots), err);
    leaves_fini(&leaves);
    buf_fini(&header);
    return rc != 0 ? err_wrap(err, rc, "state %s", cid_format(root, text)) : 0;
}

/* --- leaves of a run --- */

static uint64_t leaf_start(uint64_t offset)
{
    return offset - offset % UNIXFS_LEAF_BYTES;
}

static uint64_t leaf_end(const struct state *s, uint64_t offset)
{
    uint64_t end = leaf_start(offset + UNIXFS_LEAF_BYTES - 1);
    return end < s->file_bytes ? end : s->file_bytes;
}

static int reserve(struct run *r, uint64_t size, struct err *err)
{
    if (size <= r->capacity)
        return 0;
    uint8_t *bytes = size <= SIZE_MAX ? realloc(r->bytes, (size_t)size) : NULL;
    if (bytes == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->bytes = bytes;
    r->capacity = (size_t)size;
    return 0;
}

/* Leaves of all runs, as one list: what of each run there is to do. */
struct task {
    struct state *s;
    uint64_t from[SLOTS_MAX], until[SLOTS_MAX]; /* a leaf's start; bytes before `until` */
};

static size_t task_leaves(const struct task *t, size_t k)
{
    return t->from[k] >= t->until[k]
               ? 0
               : (size_t)((t->until[k] - t->from[k] + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES);
}

static struct run *run_of_part(const struct task *t, size_t i, uint64_t *offset)
{
    size_t first = task_leaves(t, 0), k = i < first ? 0 : 1;
    *offset = t->from[k] + (uint64_t)(k == 0 ? i : i - first) * UNIXFS_LEAF_BYTES;
    return &t->s->runs[k];
}

static int run_task(struct task *t, int (*part)(void *self, size_t i, struct err *err),
                    struct err *err)
{
    return parts_run(t->s->setting.jobs, task_leaves(t, 0) + task_leaves(t, 1), part, t, err);
}

/* --- out --- */

static int write_leaf(struct state *s, uint64_t offset, const uint8_t *data, struct err *err)
{
    struct bytes leaf = bytes_of(data, (size_t)(leaf_end(s, offset + 1) - offset));
    hash_sha256(leaf, s->digests[offset / UNIXFS_LEAF_BYTES]);
    return s->file == NULL ? 0 : store_model_write(s->file, offset, leaf, err);
}

static int write_part(void *self, size_t i, struct err *err)
{
    const struct task *t = self;
    uint64_t offset;
    struct run *r = run_of_part(t, i, &offset);
    const uint8_t *data = r->bytes + (offset - r->from);
    if (offset / UNIXFS_LEAF_BYTES != t->s->joint)
        return write_leaf(t->s, offset, data, err);
    uint64_t end = leaf_end(t->s, offset + 1);
    uint64_t from = r->start > offset ? r->start - offset : 0;
    uint64_t to = (r->end < end ? r->end : end) - offset;
    memcpy(t->s->joint_bytes + from, data + from, (size_t)(to - from));
    return 0;
}

/* Writes the leaves that are complete, at the end of a run what is left of it, and moves the rest
 * to the buffer's beginning. */
static int flush(struct state *s, struct err *err)
{
    struct task t = {.s = s};
    for (size_t k = 0; k < s->setting.slots; k++) {
        struct run *r = &s->runs[k];
        t.from[k] = r->from;
        t.until[k] = r->done == r->end ? r->end : leaf_start(r->done);
    }
    int rc = run_task(&t, write_part, err);
    for (size_t k = 0; rc == 0 && k < s->setting.slots; k++) {
        struct run *r = &s->runs[k];
        memmove(r->bytes, r->bytes + (t.until[k] - r->from), (size_t)(r->read - t.until[k]));
        r->from = t.until[k];
    }
    return rc != 0 ? err_wrap(err, rc, "state") : 0;
}

/* --- in --- */

static int read_part(void *self, size_t i, struct err *err)
{
    const struct task *t = self;
    uint64_t offset;
    struct run *r = run_of_part(t, i, &offset);
    struct leaves_reader reader;
    leaves_reader_init(&reader, &t->s->base);
    int rc = leaves_read(&reader, offset, r->bytes + (offset - r->from),
                         (size_t)(leaf_end(t->s, offset + 1) - offset), err);
    leaves_reader_fini(&reader);
    return rc;
}

/* Has every run hold its next `size` bytes. Whole leaves are read: what stands before a run in its
 * first one (the header, or the end of m) is the same there. */
static int fill(struct state *s, uint64_t size, struct err *err)
{
    struct task t = {.s = s};
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < s->setting.slots; k++) {
        struct run *r = &s->runs[k];
        uint64_t need = leaf_end(s, r->done + size);
        if (r->read >= need)
            continue;
        t.from[k] = leaf_start(r->read);
        t.until[k] = need;
        rc = reserve(r, need - r->from, err);
        if (rc == 0 && cid_is_none(&s->setting.base))
            memset(r->bytes + (r->read - r->from), 0, (size_t)(need - r->read));
        r->read = need;
    }
    if (rc == 0 && !cid_is_none(&s->setting.base))
        rc = run_task(&t, read_part, err);
    return rc != 0 ? err_wrap(err, rc, "state") : 0;
}

static float *next_of(const struct run *r)
{
    return (float *)(void *)(r->bytes + (r->done - r->from));
}

int state_next(struct state *s, uint64_t count, float **m, float **v, struct err *err)
{
    struct run *first = &s->runs[0], *second = &s->runs[1];
    uint64_t size = count * sizeof(float);
    if (size > first->end - first->done)
        return err_set(err, ERR_USAGE, "state: past its end");
    int rc = flush(s, err);
    if (rc == 0)
        rc = fill(s, size, err);
    if (rc != 0)
        return rc;
    *m = next_of(first);
    *v = s->setting.slots == SLOTS_MAX ? next_of(second) : NULL;
    for (size_t k = 0; k < s->setting.slots; k++)
        s->runs[k].done += size;
    return 0;
}

/* --- beginning and end --- */

/* Both runs at their start, the first behind the header. */
static int place_runs(struct state *s, const struct buf *header, struct err *err)
{
    uint64_t bytes = state_bytes(s->setting.layout, 1);
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < s->setting.slots; k++) {
        struct run *r = &s->runs[k];
        r->start = k == 0 ? 0 : header->size + bytes;
        r->end = header->size + (k + 1) * bytes;
        r->from = leaf_start(r->start);
        r->done = r->read = k == 0 ? header->size : r->start;
        rc = reserve(r, r->read - r->from + UNIXFS_LEAF_BYTES, err);
    }
    if (rc == 0)
        memcpy(s->runs[0].bytes, header->data, header->size);
    s->joint = NO_LEAF;
    if (s->setting.slots == SLOTS_MAX && s->runs[0].end % UNIXFS_LEAF_BYTES != 0)
        s->joint = (size_t)(s->runs[0].end / UNIXFS_LEAF_BYTES);
    return rc;
}

static int prepare(struct state *s, struct err *err)
{
    const struct state_setting *x = &s->setting;
    struct buf header = buf_new(STATE_HEADER_MAX);
    int rc = make_header(x->layout, x->slots, &header, err);
    if (rc == 0 && !cid_is_none(&x->base))
        rc = leaves_load(x->store, &x->base, &s->base, err);
    if (rc == 0 && !cid_is_none(&x->base))
        rc = check_header(&s->base, &header, state_bytes(x->layout, x->slots), err);
    s->file_bytes = header.size + state_bytes(x->layout, x->slots);
    s->leaf_count = (size_t)((s->file_bytes + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES);
    s->digests = calloc(s->leaf_count, HASH_BYTES);
    s->joint_bytes = malloc(UNIXFS_LEAF_BYTES);
    if (rc == 0 && (s->digests == NULL || s->joint_bytes == NULL))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = place_runs(s, &header, err);
    if (rc == 0 && x->part != NULL)
        rc = store_model_begin(x->store, x->part, s->file_bytes, &s->file, err);
    buf_fini(&header);
    return rc;
}

int state_open(const struct state_setting *setting, struct state **out, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->setting = *setting;
    int rc = prepare(s, err);
    if (rc != 0) {
        state_free(s);
        return err_wrap(err, rc, "state %s", cid_format(&setting->base, text));
    }
    *out = s;
    return 0;
}

static int put_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return store_put(self, cid, block, err);
}

static int build_tree(struct state *s, struct cid *root, struct err *err)
{
    struct unixfs_builder *b;
    struct unixfs_child built;
    int rc = unixfs_builder_new(&unixfs_v1_2025, s->file == NULL ? NULL : put_node,
                                s->setting.store, &b, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < s->leaf_count; i++) {
        uint64_t offset = (uint64_t)i * UNIXFS_LEAF_BYTES;
        rc = unixfs_builder_add(b, s->digests[i], leaf_end(s, offset + 1) - offset, err);
    }
    if (rc == 0)
        rc = unixfs_builder_finish(b, &built, err);
    if (rc == 0)
        *root = built.cid;
    unixfs_builder_free(b);
    return rc;
}

int state_finish(struct state *s, struct cid *root, struct err *err)
{
    struct cid made;
    if (s->runs[0].done != s->runs[0].end)
        return err_set(err, ERR_USAGE, "state: finished before its end");
    int rc = flush(s, err);
    if (rc == 0 && s->joint != NO_LEAF)
        rc = write_leaf(s, (uint64_t)s->joint * UNIXFS_LEAF_BYTES, s->joint_bytes, err);
    if (rc == 0)
        rc = build_tree(s, &made, err);
    FAULT_POINT("state-before-finish");
    if (rc == 0 && s->file != NULL) {
        rc = store_model_finish(s->file, &made, true, err);
        if (rc == 0)
            s->file = NULL;
    }
    if (rc != 0)
        return err_wrap(err, rc, "state");
    *root = made;
    return 0;
}

void state_free(struct state *s)
{
    if (s == NULL)
        return;
    store_model_close(s->file, false);
    leaves_fini(&s->base);
    for (size_t k = 0; k < SLOTS_MAX; k++)
        free(s->runs[k].bytes);
    free(s->joint_bytes);
    free(s->digests);
    free(s);
}
