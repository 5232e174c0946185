/* SPDX-License-Identifier: Apache-2.0 */
#include "study/update_index.h"

#include <stdlib.h>

#define BLOCK_BYTES_MAX (2u << 20)
#define LEVELS_MAX      3 /* 1,024^3 shards: past UPDATE_INDEX_COUNT_MAX */

/* Level 0 are the shards, level k + 1 the lists that hold level k; the index holds the top level.
 */
struct levels {
    size_t top;
    size_t counts[LEVELS_MAX];
};

static struct levels levels_of(size_t count)
{
    struct levels l = {.counts = {count}};
    while (l.counts[l.top] > UPDATE_INDEX_LIST) {
        l.counts[l.top + 1] = (l.counts[l.top] + UPDATE_INDEX_LIST - 1) / UPDATE_INDEX_LIST;
        l.top++;
    }
    return l;
}

static size_t list_size(const struct levels *l, size_t level, size_t list)
{
    size_t left = l->counts[level] - list * UPDATE_INDEX_LIST;
    return left < UPDATE_INDEX_LIST ? left : UPDATE_INDEX_LIST;
}

/* --- writing --- */

struct writing {
    int (*put)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    struct buf block;
};

static void put_items(struct buf *b, const struct cid *items, size_t count)
{
    cbor_put_array(b, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_link_or_null(b, &items[i]);
}

static int put_block(struct writing *w, struct cid *cid, struct err *err)
{
    int rc = buf_check(&w->block, err);
    if (rc != 0)
        return rc;
    *cid = cid_of(CID_DAG_CBOR, buf_bytes(&w->block));
    return w->put(w->self, cid, buf_bytes(&w->block), err);
}

/* Stores `items`, which stand on `level`, as lists; their names into `lists`. */
static int write_lists(struct writing *w, const struct levels *l, size_t level,
                       const struct cid *items, struct cid *lists, struct err *err)
{
    for (size_t i = 0; i < l->counts[level + 1]; i++) {
        buf_clear(&w->block);
        put_items(&w->block, items + i * UPDATE_INDEX_LIST, list_size(l, level, i));
        int rc = put_block(w, &lists[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int write_index(struct writing *w, const struct update_index *x, const struct cid *items,
                       size_t count, struct cid *root, struct err *err)
{
    buf_clear(&w->block);
    cbor_put_map(&w->block, 4);
    cbor_put_text(&w->block, "codec");
    cbor_put_text(&w->block, x->codec);
    cbor_put_text(&w->block, "count");
    cbor_put_uint(&w->block, x->count);
    cbor_put_text(&w->block, "layout");
    cbor_put_link(&w->block, &x->layout);
    cbor_put_text(&w->block, "shards");
    put_items(&w->block, items, count);
    return put_block(w, root, err);
}

int update_index_write(const struct update_index *x,
                       int (*put)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                       void *self, struct cid *root, struct err *err)
{
    struct writing w = {.put = put, .self = self, .block = buf_new(BLOCK_BYTES_MAX)};
    struct cid *lists = NULL, found;
    if (x->count > UPDATE_INDEX_COUNT_MAX)
        return err_set(err, ERR_LIMIT, "an update of %zu shards", x->count);
    struct levels l = levels_of(x->count);
    int rc = 0;
    for (size_t level = 0; rc == 0 && level < l.top; level++) {
        struct cid *above = calloc(l.counts[level + 1], sizeof *above);
        rc = above == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                           : write_lists(&w, &l, level, level == 0 ? x->shards : lists, above, err);
        free(lists);
        lists = above;
    }
    if (rc == 0)
        rc = write_index(&w, x, l.top == 0 ? x->shards : lists, l.counts[l.top], &found, err);
    if (rc == 0)
        *root = found;
    free(lists);
    buf_fini(&w.block);
    return rc;
}

/* --- reading --- */

struct reading {
    const struct update_index_source *source;
    void (*missing)(void *self, const struct cid *cid);
    struct buf block;
    struct update_index index; /* `shards` stays NULL */
    struct levels levels;
    struct cid top[UPDATE_INDEX_LIST];
    bool absent; /* a list block is not there */
};

static int get_block(struct reading *x, const struct cid *cid, struct err *err)
{
    int rc = x->source->get(x->source->self, cid, &x->block, err);
    if (rc == ERR_NOTFOUND && x->missing != NULL)
        x->missing(x->source->self, cid);
    return rc;
}

/* Items that stand on `level`: shards, or links to lists. */
static void take_items(struct cbor *r, size_t level, size_t count, struct cid *out)
{
    if (cbor_take_array(r, UPDATE_INDEX_LIST) != count)
        cbor_fail(r, "a list of another length than its count says");
    for (size_t i = 0; i < count && !r->failed; i++) {
        out[i] = level == 0 ? cbor_take_link_or_null(r) : cbor_take_link(r);
        if (r->failed || cid_is_none(&out[i]))
            continue;
        uint32_t codec = level == 0 ? CID_RAW : CID_DAG_CBOR;
        if (cid_codec(&out[i]) != codec || cid_digest(&out[i]) == NULL)
            cbor_fail(r, level == 0 ? "a shard that is not a raw sha2-256 block"
                                    : "a list that is not a dag-cbor sha2-256 block");
    }
}

/* Whatever is wrong with the form is the writer's fault. */
static int finish(struct cbor *r, const char *what, struct err *err)
{
    return cbor_finish(r, err) != 0 ? err_wrap(err, ERR_MALFORMED, "%s", what) : 0;
}

static int read_list(struct reading *x, const struct cid *cid, size_t level, size_t count,
                     struct cid *out, struct err *err)
{
    int rc = get_block(x, cid, err);
    if (rc != 0)
        return rc;
    struct cbor r = cbor_reader(buf_bytes(&x->block));
    take_items(&r, level, count, out);
    return finish(&r, "list of shards", err);
}

/* The index itself. Its list is read only if the count is the expected one. */
static int read_index(struct reading *x, const struct cid *root, size_t expected_count,
                      struct err *err)
{
    int rc = get_block(x, root, err);
    if (rc != 0)
        return rc;
    struct cbor r = cbor_reader(buf_bytes(&x->block));
    if (cbor_take_map(&r, 4) != 4)
        cbor_fail(&r, "an index is a map of four");
    cbor_expect_key(&r, "codec");
    cbor_take_string(&r, x->index.codec, sizeof x->index.codec);
    cbor_expect_key(&r, "count");
    uint64_t count = cbor_take_uint(&r, UINT64_MAX);
    cbor_expect_key(&r, "layout");
    x->index.layout = cbor_take_link(&r);
    cbor_expect_key(&r, "shards");
    if (!r.failed && (count > UPDATE_INDEX_COUNT_MAX ||
                      (expected_count != UPDATE_INDEX_ANY && count != expected_count)))
        return err_set(err, ERR_LIMIT, "update index: %llu shards, not %zu",
                       (unsigned long long)count, expected_count);
    x->index.count = r.failed ? 0 : (size_t)count;
    x->levels = levels_of(x->index.count);
    take_items(&r, x->levels.top, x->levels.counts[x->levels.top], x->top);
    return finish(&r, "update index", err);
}

static int new_reading(const struct update_index_source *source, struct reading **out,
                       struct err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    (*out)->source = source;
    (*out)->block = buf_new(BLOCK_BYTES_MAX);
    return 0;
}

static void free_reading(struct reading *x)
{
    if (x != NULL)
        buf_fini(&x->block);
    free(x);
}

/* From the lists named by `above` (first_above and on of level + 1) their items first .. first + n
 * - 1 of `level` into `out`. Absent lists are told and leave their items none. */
static int read_below(struct reading *x, size_t level, const struct cid *above, size_t first,
                      size_t n, struct cid *out, struct err *err)
{
    struct cid items[UPDATE_INDEX_LIST];
    size_t first_list = first / UPDATE_INDEX_LIST, end = first + n;
    for (size_t list = first_list; list * UPDATE_INDEX_LIST < end; list++) {
        size_t start = list * UPDATE_INDEX_LIST, count = list_size(&x->levels, level, list);
        if (cid_is_none(&above[list - first_list]))
            continue; /* the list that names it is absent */
        int rc = read_list(x, &above[list - first_list], level, count, items, err);
        if (rc == ERR_NOTFOUND)
            x->absent = true;
        else if (rc != 0)
            return rc;
        if (rc != 0)
            continue;
        size_t from = start < first ? first : start;
        size_t to = start + count < end ? start + count : end;
        memcpy(out + (from - first), items + (from - start), (to - from) * sizeof *items);
    }
    return 0;
}

/* Items first .. first + n - 1 of `level` into `out` (n, all none). */
static int read_level(struct reading *x, size_t level, size_t first, size_t n, struct cid *out,
                      struct err *err)
{
    if (n == 0)
        return 0;
    if (level == x->levels.top) {
        memcpy(out, x->top + first, n * sizeof *out);
        return 0;
    }
    size_t first_above = first / UPDATE_INDEX_LIST;
    size_t lists = (first + n - 1) / UPDATE_INDEX_LIST - first_above + 1;
    struct cid *above = calloc(lists, sizeof *above);
    if (above == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = read_level(x, level + 1, first_above, lists, above, err); /* two deep at most */
    if (rc == 0)
        rc = read_below(x, level, above, first, n, out, err);
    free(above);
    return rc;
}

int update_index_read(const struct update_index_source *source, const struct cid *root,
                      size_t expected_count, void (*missing)(void *self, const struct cid *cid),
                      struct update_index *out, struct err *err)
{
    struct reading *x;
    struct cid *shards = NULL;
    int rc = new_reading(source, &x, err);
    if (rc != 0)
        return rc;
    x->missing = missing;
    rc = read_index(x, root, expected_count, err);
    if (rc == 0) {
        shards = calloc(x->index.count + 1, sizeof *shards);
        rc = shards == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                            : read_level(x, 0, 0, x->index.count, shards, err);
    }
    if (rc == 0 && x->absent)
        rc = err_set(err, ERR_NOTFOUND, "list blocks of the update's index are missing");
    if (rc == 0) {
        *out = x->index;
        out->shards = shards;
        shards = NULL;
    }
    free(shards);
    free_reading(x);
    return rc;
}

void update_index_fini(struct update_index *x)
{
    free(x->shards);
    *x = (struct update_index){0};
}

int update_index_read_range(const struct update_index_source *source, const struct cid *root,
                            const struct update_index *expected, size_t first, size_t n,
                            struct cid *out, struct err *err)
{
    struct reading *x;
    int rc = new_reading(source, &x, err);
    if (rc != 0)
        return rc;
    rc = read_index(x, root, expected->count, err);
    if (rc == 0 && (strcmp(x->index.codec, expected->codec) != 0 ||
                    !cid_equal(&x->index.layout, &expected->layout)))
        rc = err_set(err, ERR_MALFORMED, "update index: another codec or layout than the plan's");
    if (rc == 0 && (first > expected->count || n > expected->count - first))
        rc = err_set(err, ERR_USAGE, "update index: shards past its end");
    struct cid *shards = rc == 0 ? calloc(n + 1, sizeof *shards) : NULL;
    if (rc == 0 && shards == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = read_level(x, 0, first, n, shards, err);
    if (rc == 0 && x->absent)
        rc = err_set(err, ERR_NOTFOUND, "a list block of the update's index is missing");
    if (rc == 0)
        memcpy(out, shards, n * sizeof *out);
    free(shards);
    free_reading(x);
    return rc;
}

int update_index_blocks(const struct update_index_source *source, const struct cid *root,
                        int (*each)(void *self, const struct cid *cid, struct err *err), void *self,
                        struct err *err)
{
    struct reading *x;
    int rc = new_reading(source, &x, err);
    if (rc != 0)
        return rc;
    rc = read_index(x, root, UPDATE_INDEX_ANY, err);
    if (rc == 0)
        rc = each(self, root, err);
    for (size_t level = x->levels.top; rc == 0 && level > 0; level--) {
        size_t count = x->levels.counts[level];
        struct cid *lists = calloc(count, sizeof *lists);
        rc = lists == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                           : read_level(x, level, 0, count, lists, err);
        if (rc == 0 && x->absent)
            rc = err_set(err, ERR_NOTFOUND, "list blocks of the update's index are missing");
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = each(self, &lists[i], err);
        free(lists);
    }
    free_reading(x);
    return rc;
}
