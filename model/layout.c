/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layout.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cbor.h"
#include "base/text.h"

static const char *const use_names[] = {
    [USE_MEAN] = "mean", [USE_LARGEST] = "largest", [USE_FIXED] = "fixed"};

#define USE_COUNT (sizeof use_names / sizeof use_names[0])

int layout_order(const void *a, const void *b)
{
    const struct tensor *left = a, *right = b;
    size_t left_bytes = dtype_bytes(left->dtype), right_bytes = dtype_bytes(right->dtype);
    if (left_bytes != right_bytes)
        return left_bytes > right_bytes ? -1 : 1;
    int order = strcmp(dtype_name(left->dtype), dtype_name(right->dtype));
    return order != 0 ? order : strcmp(left->name, right->name);
}

/* --- making --- */

static int check_name(const char *name, struct err *err)
{
    size_t size = strlen(name);
    if (size == 0)
        return err_set(err, ERR_MALFORMED, "a tensor without a name");
    if (size > LAYOUT_NAME_MAX)
        return err_set(err, ERR_LIMIT, "tensor name \"%.32s...\" has %zu bytes, more than %d", name,
                       size, LAYOUT_NAME_MAX);
    if (!text_is_utf8(bytes_of(name, size)))
        return err_set(err, ERR_MALFORMED, "a tensor name that is not UTF-8");
    for (const char *at = name; *at != '\0'; at++)
        if ((uint8_t)*at < 0x20 || *at == 0x7f) /* names are printed, and read in terminals */
            return err_set(err, ERR_MALFORMED, "a tensor name with a control character");
    if (strcmp(name, "__metadata__") == 0)
        return err_set(err, ERR_MALFORMED, "a tensor named \"__metadata__\"");
    return 0;
}

/* Elements, and false if they or their bytes go past the limit. Dimensions of 0 do not hide an
 * overflow of the others, as readers multiply in different orders. */
static bool count_elements(const struct tensor *t, uint64_t *out)
{
    uint64_t product = 1;
    bool empty = false;
    for (size_t i = 0; i < t->rank; i++) {
        if (t->shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, t->shape[i], &product))
            return false;
    }
    if (product > LAYOUT_BYTES_MAX / dtype_bytes(t->dtype))
        return false;
    *out = empty ? 0 : product;
    return true;
}

static int check_tensor(struct tensor *t, struct err *err)
{
    int rc = check_name(t->name, err);
    if (rc != 0)
        return rc;
    if (t->rank > LAYOUT_RANK_MAX)
        return err_set(err, ERR_LIMIT, "tensor \"%s\" has %d dimensions, more than %d", t->name,
                       t->rank, LAYOUT_RANK_MAX);
    if (!count_elements(t, &t->elements))
        return err_set(err, ERR_LIMIT, "tensor \"%s\" is larger than %llu bytes", t->name,
                       LAYOUT_BYTES_MAX);
    if (t->use == USE_MEAN && !dtype_is_float(t->dtype))
        return err_set(err, ERR_USAGE, "tensor \"%s\": integers (%s) cannot be averaged", t->name,
                       dtype_name(t->dtype));
    if (t->use == USE_LARGEST && dtype_is_float(t->dtype))
        return err_set(err, ERR_USAGE, "tensor \"%s\": `largest` is for integers, not %s", t->name,
                       dtype_name(t->dtype));
    return 0;
}

static int copy_tensors(struct layout *l, const struct tensor *tensors, size_t count,
                        struct err *err)
{
    l->tensors = calloc(count + 1, sizeof *l->tensors);
    if (l->tensors == NULL)
        return err_set(err, ERR_NOMEM, "%zu tensors: out of memory", count);
    for (size_t i = 0; i < count; i++) {
        struct tensor t = tensors[i];
        int rc = check_tensor(&t, err);
        if (rc != 0)
            return rc;
        for (size_t j = t.rank; j < LAYOUT_RANK_MAX; j++)
            t.shape[j] = 0;
        t.name = strdup(t.name);
        if (t.name == NULL)
            return err_set(err, ERR_NOMEM, "tensor names: out of memory");
        l->tensors[l->tensor_count++] = t;
    }
    qsort(l->tensors, count, sizeof *l->tensors, layout_order);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two tensors of one name may have two dtypes, and then do not lie side by side in layout order. */
static int check_unique(const struct layout *l, struct err *err)
{
    const char **names = malloc((l->tensor_count + 1) * sizeof *names);
    if (names == NULL)
        return err_set(err, ERR_NOMEM, "tensor names: out of memory");
    int rc = 0;
    for (size_t i = 0; i < l->tensor_count; i++)
        names[i] = l->tensors[i].name;
    qsort(names, l->tensor_count, sizeof *names, by_text);
    for (size_t i = 1; rc == 0 && i < l->tensor_count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = err_set(err, ERR_MALFORMED, "tensor \"%s\" is there twice", names[i]);
    free(names);
    return rc;
}

static int place_tensors(struct layout *l, struct err *err)
{
    for (size_t i = 0; i < l->tensor_count; i++) {
        struct tensor *t = &l->tensors[i];
        uint64_t bytes = t->elements * dtype_bytes(t->dtype);
        if (bytes > LAYOUT_BYTES_MAX - l->data_bytes)
            return err_set(err, ERR_LIMIT, "tensors of more than %llu bytes together",
                           LAYOUT_BYTES_MAX);
        t->offset = l->data_bytes;
        l->data_bytes += bytes;
    }
    return 0;
}

static uint32_t stored_bytes(enum use use, enum dtype d)
{
    bool wide = use == USE_LARGEST || d == DTYPE_F64;
    return wide ? (uint32_t)dtype_bytes(d) : 4; /* deltas of smaller floats are f32 */
}

/* Cuts the tensors of one use into shards at `out`, which may be NULL to count only. */
static size_t cut(const struct layout *l, enum use use, struct shard *out)
{
    size_t count = 0;
    uint32_t room = 0; /* elements that the last shard still takes */
    enum dtype dtype = DTYPE_COUNT;
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        if (t->use != use)
            continue;
        if (t->dtype != dtype)
            room = 0;
        dtype = t->dtype;
        for (uint64_t at = 0; at < t->elements;) {
            if (room == 0) {
                room = LAYOUT_SHARD_ELEMENTS;
                if (out != NULL)
                    out[count] = (struct shard){
                        .use = use, .dtype = dtype, .tensor = (uint32_t)i, .element = at};
                count++;
            }
            uint64_t left = t->elements - at;
            uint32_t part = left < room ? (uint32_t)left : room;
            if (out != NULL) {
                out[count - 1].elements += part;
                out[count - 1].bytes += part * stored_bytes(use, dtype);
            }
            room -= part;
            at += part;
        }
    }
    return count;
}

static int make_shards(struct layout *l, struct err *err)
{
    size_t means = cut(l, USE_MEAN, NULL);
    l->shard_count = means + cut(l, USE_LARGEST, NULL);
    l->shards = calloc(l->shard_count + 1, sizeof *l->shards);
    if (l->shards == NULL)
        return err_set(err, ERR_NOMEM, "%zu shards: out of memory", l->shard_count);
    cut(l, USE_MEAN, l->shards);
    cut(l, USE_LARGEST, l->shards + means);
    return 0;
}

int layout_new(const struct tensor *tensors, size_t count, struct layout **out, struct err *err)
{
    if (count > LAYOUT_TENSORS_MAX)
        return err_set(err, ERR_LIMIT, "%zu tensors, more than %d", count, LAYOUT_TENSORS_MAX);
    struct layout *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, ERR_NOMEM, "layout: out of memory");
    int rc = copy_tensors(l, tensors, count, err);
    if (rc == 0)
        rc = check_unique(l, err);
    if (rc == 0)
        rc = place_tensors(l, err);
    if (rc == 0)
        rc = make_shards(l, err);
    if (rc != 0) {
        layout_free(l);
        return rc;
    }
    *out = l;
    return 0;
}

void layout_free(struct layout *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->tensor_count; i++)
        free(l->tensors[i].name);
    free(l->tensors);
    free(l->shards);
    free(l);
}

/* --- as dag-cbor --- */

int layout_encode(const struct layout *l, struct buf *out, struct err *err)
{
    cbor_put_map(out, 2);
    cbor_put_text(out, "count");
    cbor_put_uint(out, l->tensor_count);
    cbor_put_text(out, "tensors");
    cbor_put_array(out, l->tensor_count);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        cbor_put_array(out, 4);
        cbor_put_text(out, t->name);
        cbor_put_text(out, dtype_name(t->dtype));
        cbor_put_array(out, t->rank);
        for (size_t j = 0; j < t->rank; j++)
            cbor_put_uint(out, t->shape[j]);
        cbor_put_text(out, use_names[t->use]);
    }
    return buf_check(out, err);
}

static enum use take_use(struct cbor *r)
{
    struct bytes text = cbor_take_text(r, 16);
    for (size_t u = 0; u < USE_COUNT; u++)
        if (bytes_equal(text, bytes_of_text(use_names[u])))
            return (enum use)u;
    cbor_fail(r, "a use other than mean, largest and fixed");
    return USE_FIXED;
}

/* Reads one tensor; its name goes to *names, which moves behind the name's NUL. */
static void take_tensor(struct cbor *r, struct tensor *t, char **names)
{
    if (cbor_take_array(r, 4) != 4)
        cbor_fail(r, "a tensor is a list of four");
    struct bytes name = cbor_take_text(r, LAYOUT_NAME_MAX);
    if (name.size > 0 && memchr(name.data, 0, name.size) != NULL)
        cbor_fail(r, "a tensor's name with NUL inside");
    struct bytes dtype = cbor_take_text(r, 16);
    *t = (struct tensor){.name = *names};
    if (!dtype_parse(dtype, &t->dtype))
        cbor_fail(r, "a dtype that is not known");
    t->rank = (uint8_t)cbor_take_array(r, LAYOUT_RANK_MAX);
    for (size_t j = 0; j < t->rank; j++)
        t->shape[j] = cbor_take_uint(r, UINT64_MAX);
    t->use = take_use(r);
    if (r->failed)
        return;
    memcpy(*names, name.data, name.size);
    (*names)[name.size] = '\0';
    *names += name.size + 1;
}

int layout_decode(struct bytes in, struct layout **out, struct err *err)
{
    struct cbor r = cbor_reader(in);
    if (cbor_take_map(&r, 2) != 2)
        cbor_fail(&r, "a layout has two fields");
    cbor_expect_key(&r, "count");
    uint64_t said = cbor_take_uint(&r, LAYOUT_TENSORS_MAX);
    cbor_expect_key(&r, "tensors");
    uint64_t count = cbor_take_array(&r, LAYOUT_TENSORS_MAX);
    if (said != count)
        cbor_fail(&r, "count is not the number of tensors");

    /* A name takes its bytes and a head of one or more in the input; here its bytes and a NUL. */
    char *names = malloc(in.size + 1);
    struct tensor *tensors = calloc((size_t)count + 1, sizeof *tensors);
    struct layout *l = NULL;
    int rc = 0;
    if (names == NULL || tensors == NULL) {
        rc = err_set(err, ERR_NOMEM, "layout: out of memory");
        goto out;
    }
    char *name = names;
    for (uint64_t i = 0; i < count && !r.failed; i++) {
        take_tensor(&r, &tensors[i], &name);
        if (i > 0 && !r.failed && layout_order(&tensors[i - 1], &tensors[i]) >= 0)
            cbor_fail(&r, "tensors not in layout order, or one twice");
    }
    rc = cbor_finish(&r, err);
    if (rc == 0)
        rc = layout_new(tensors, (size_t)count, &l, err);
    if (rc == ERR_USAGE)
        rc = ERR_MALFORMED; /* the peer's fault, not the operator's */
    if (rc == 0)
        *out = l;
out:
    free(names);
    free(tensors);
    return rc != 0 ? err_wrap(err, rc, "layout") : 0;
}

/* --- looking --- */

const struct tensor *layout_find(const struct layout *l, const char *name)
{
    for (size_t i = 0; i < l->tensor_count; i++)
        if (strcmp(l->tensors[i].name, name) == 0)
            return &l->tensors[i];
    return NULL;
}

#define SHAPE_TEXT_MAX (LAYOUT_RANK_MAX * 21 + 3)

/* "[2,30]" */
static const char *format_shape(const struct tensor *t, char out[SHAPE_TEXT_MAX])
{
    struct buf b = buf_new(SHAPE_TEXT_MAX - 1);
    for (size_t i = 0; i < t->rank; i++)
        buf_append_format(&b, "%s%llu", i == 0 ? "" : ",", (unsigned long long)t->shape[i]);
    snprintf(out, SHAPE_TEXT_MAX, "[%s]", buf_text(&b));
    buf_fini(&b);
    return out;
}

/* Two tensors of the same name. */
static int compare_tensors(const struct tensor *expected, const struct tensor *found,
                           struct err *err)
{
    char left[SHAPE_TEXT_MAX], right[SHAPE_TEXT_MAX];
    if (expected->dtype != found->dtype)
        return err_set(err, ERR_MALFORMED, "tensor \"%s\": dtype is %s, expected %s", found->name,
                       dtype_name(found->dtype), dtype_name(expected->dtype));
    if (expected->rank != found->rank ||
        memcmp(expected->shape, found->shape, sizeof expected->shape) != 0)
        return err_set(err, ERR_MALFORMED, "tensor \"%s\": shape is %s, expected %s", found->name,
                       format_shape(found, left), format_shape(expected, right));
    if (expected->use != found->use)
        return err_set(err, ERR_MALFORMED, "tensor \"%s\": use is %s, expected %s", found->name,
                       use_names[found->use], use_names[expected->use]);
    return 0;
}

/* The first place where the names differ: one is missing in the other layout, or has there another
 * dtype and so another place. */
static int compare_names(const struct layout *expected, const struct layout *found, size_t i,
                         struct err *err)
{
    const struct tensor *e = i < expected->tensor_count ? &expected->tensors[i] : NULL;
    const struct tensor *f = i < found->tensor_count ? &found->tensors[i] : NULL;
    const struct tensor *e_found = e == NULL ? NULL : layout_find(found, e->name);
    const struct tensor *f_expected = f == NULL ? NULL : layout_find(expected, f->name);
    if (e != NULL && e_found == NULL)
        return err_set(err, ERR_MALFORMED, "tensor \"%s\" is missing", e->name);
    if (f != NULL && f_expected == NULL)
        return err_set(err, ERR_MALFORMED, "tensor \"%s\" is not expected", f->name);
    int rc = e == NULL ? 0 : compare_tensors(e, e_found, err);
    return rc != 0 || f == NULL ? rc : compare_tensors(f_expected, f, err);
}

int layout_compare(const struct layout *expected, const struct layout *found, struct err *err)
{
    size_t most =
        expected->tensor_count > found->tensor_count ? expected->tensor_count : found->tensor_count;
    for (size_t i = 0; i < most; i++) {
        const struct tensor *e = &expected->tensors[i], *f = &found->tensors[i];
        bool same =
            i < expected->tensor_count && i < found->tensor_count && strcmp(e->name, f->name) == 0;
        int rc = same ? compare_tensors(e, f, err) : compare_names(expected, found, i, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The cursor: elements handed out, and in its upper half the tensor that follows them. A piece that
 * is not the last ends with a tensor, so the next begins with one. */
bool layout_next_piece(const struct layout *l, size_t i, uint64_t *cursor, struct piece *out)
{
    const struct shard *s = &l->shards[i];
    uint32_t at = (uint32_t)*cursor;
    if (at == s->elements)
        return false;
    size_t t = at == 0 ? s->tensor : (size_t)(*cursor >> 32);
    uint64_t element = at == 0 ? s->element : 0;
    while (l->tensors[t].use != s->use || l->tensors[t].elements == 0)
        t++;
    *out = (struct piece){.at = at};
    out->offset = l->tensors[t].offset + element * dtype_bytes(s->dtype);
    while (at < s->elements && l->tensors[t].use == s->use) {
        uint64_t left = l->tensors[t].elements - element;
        at += left < s->elements - at ? (uint32_t)left : s->elements - at;
        element = 0;
        t++;
    }
    out->elements = at - out->at;
    *cursor = (uint64_t)t << 32 | at;
    return true;
}

uint64_t layout_update_bytes(const struct layout *l)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < l->shard_count; i++)
        bytes += l->shards[i].bytes;
    return bytes;
}
