/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include <stdlib.h>

#include "base/text.h"
#include "model/jsontext.h"

#define LENGTH_BYTES 8
#define COPY_BYTES   (1u << 20)

/* A header being read. Until there is a layout, a tensor's `offset` is where it begins in this
 * file's data section and its `elements` are the bytes that it has there. */
struct header {
    struct jsontext json;
    struct tensor *tensors; /* names borrowed from the reader's text */
    size_t count, capacity;
};

/* --- from JSON --- */

static void take_dtype(struct jsontext *j, struct tensor *t)
{
    const char *name = jsontext_take_string(j);
    if (!j->failed && !dtype_parse(bytes_of_text(name), &t->dtype))
        jsontext_fail(j, ERR_UNSUPPORTED, "a dtype that is not known");
}

static void take_shape(struct jsontext *j, struct tensor *t)
{
    jsontext_expect(j, '[');
    for (size_t i = 0; jsontext_more(j, ']', i); i++) {
        uint64_t dimension = jsontext_take_uint(j);
        if (i == LAYOUT_RANK_MAX) {
            jsontext_fail(j, ERR_LIMIT, "more dimensions than allowed");
            return;
        }
        t->shape[i] = dimension;
        t->rank = (uint8_t)(i + 1);
    }
}

static void take_offsets(struct jsontext *j, struct tensor *t)
{
    uint64_t at[2] = {0};
    size_t count = 0;
    jsontext_expect(j, '[');
    for (; jsontext_more(j, ']', count); count++) {
        uint64_t offset = jsontext_take_uint(j);
        if (count < 2)
            at[count] = offset;
    }
    if (count != 2 || at[1] < at[0])
        jsontext_fail(j, ERR_MALFORMED, "data_offsets are begin and end");
    t->offset = at[0];
    t->elements = at[1] - at[0];
}

static void take_tensor(struct jsontext *j, char *name, struct tensor *t)
{
    static const struct {
        const char *key;
        void (*take)(struct jsontext *j, struct tensor *t);
    } fields[3] = {{"dtype", take_dtype}, {"shape", take_shape}, {"data_offsets", take_offsets}};
    bool seen[3] = {false};

    *t = (struct tensor){.name = name};
    jsontext_expect(j, '{');
    for (size_t i = 0; jsontext_more(j, '}', i); i++) {
        const char *key = jsontext_take_key(j);
        size_t which = 0;
        while (which < 3 && strcmp(key, fields[which].key) != 0)
            which++;
        if (which == 3 || seen[which]) {
            jsontext_fail(j, ERR_MALFORMED, "a field that is not known, or one twice");
            return;
        }
        seen[which] = true;
        fields[which].take(j, t);
    }
    if (!seen[0] || !seen[1] || !seen[2])
        jsontext_fail(j, ERR_MALFORMED, "a tensor needs dtype, shape and data_offsets");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void skip_metadata(struct jsontext *j)
{
    const char *keys[SAFETENSORS_METADATA_MAX];
    size_t count = 0;
    jsontext_expect(j, '{');
    for (; jsontext_more(j, '}', count); count++) {
        if (count == SAFETENSORS_METADATA_MAX) {
            jsontext_fail(j, ERR_LIMIT, "more metadata than allowed");
            return;
        }
        keys[count] = jsontext_take_key(j);
        jsontext_take_string(j);
    }
    qsort(keys, count, sizeof *keys, by_text);
    for (size_t i = 1; i < count; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            jsontext_fail(j, ERR_MALFORMED, "a metadata key is there twice");
}

/* Room for one more tensor. */
static struct tensor *next_tensor(struct header *h)
{
    if (h->count == LAYOUT_TENSORS_MAX) {
        jsontext_fail(&h->json, ERR_LIMIT, "more tensors than allowed");
        return NULL;
    }
    if (h->count == h->capacity) {
        struct tensor *grown = realloc(h->tensors, 2 * h->capacity * sizeof *grown);
        if (grown == NULL) {
            jsontext_fail(&h->json, ERR_NOMEM, "out of memory");
            return NULL;
        }
        h->tensors = grown;
        h->capacity *= 2;
    }
    return &h->tensors[h->count++];
}

static int take_header(struct header *h, struct err *err)
{
    struct jsontext *j = &h->json;
    bool metadata = false;
    if (j->in.size == 0 || j->in.data[0] != '{')
        jsontext_fail(j, ERR_MALFORMED, "a header begins with a brace");
    jsontext_expect(j, '{');
    for (size_t i = 0; jsontext_more(j, '}', i); i++) {
        char *name = jsontext_take_key(j);
        if (strcmp(name, "__metadata__") == 0) {
            if (metadata)
                jsontext_fail(j, ERR_MALFORMED, "__metadata__ is there twice");
            metadata = true;
            skip_metadata(j);
            continue;
        }
        struct tensor *t = next_tensor(h);
        if (t != NULL)
            take_tensor(j, name, t);
    }
    return jsontext_finish(j, err);
}

/* --- from tensors to a layout --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

static int name_to_tensor(const void *name, const void *t)
{
    return strcmp(name, ((const struct tensor *)t)->name);
}

static int set_use(struct header *h, const char *const *names, size_t count, enum use use,
                   struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct tensor *t =
            bsearch(names[i], h->tensors, h->count, sizeof *h->tensors, name_to_tensor);
        if (t == NULL)
            return err_set(err, ERR_USAGE, "no tensor \"%s\" in this model", names[i]);
        t->use = use;
    }
    return 0;
}

static int set_uses(struct header *h, const struct safetensors_uses *uses, struct err *err)
{
    for (size_t i = 0; i < h->count; i++)
        h->tensors[i].use = dtype_is_float(h->tensors[i].dtype) ? USE_MEAN : USE_FIXED;
    if (uses == NULL)
        return 0;
    qsort(h->tensors, h->count, sizeof *h->tensors, by_name);
    int rc = set_use(h, uses->largest, uses->largest_count, USE_LARGEST, err);
    return rc != 0 ? rc : set_use(h, uses->fixed, uses->fixed_count, USE_FIXED, err);
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *left = a, *right = b;
    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    /* Empty tensors come before the one that begins where they are. */
    return (left->elements > right->elements) - (left->elements < right->elements);
}

/* The tensors lie end to end and fill the data section. */
static int check_places(struct header *h, uint64_t data_bytes, struct err *err)
{
    uint64_t end = 0;
    qsort(h->tensors, h->count, sizeof *h->tensors, by_offset);
    for (size_t i = 0; i < h->count; i++) {
        const struct tensor *t = &h->tensors[i];
        if (t->offset != end)
            return err_set(err, ERR_MALFORMED, "%s at data offset %llu",
                           t->offset < end ? "tensors overlap" : "a hole",
                           (unsigned long long)(t->offset < end ? t->offset : end));
        end += t->elements; /* of begin <= end <= 2^64 - 1: no overflow */
    }
    if (end != data_bytes)
        return err_set(err, ERR_MALFORMED, "tensors take %llu bytes, the file holds %llu",
                       (unsigned long long)end, (unsigned long long)data_bytes);
    return 0;
}

static int make_layout(struct header *h, struct safetensors *s, struct err *err)
{
    qsort(h->tensors, h->count, sizeof *h->tensors, layout_order);
    int rc = layout_new(h->tensors, h->count, &s->layout, err);
    if (rc != 0)
        return rc;
    s->offsets = malloc((h->count + 1) * sizeof *s->offsets);
    if (s->offsets == NULL)
        return err_set(err, ERR_NOMEM, "header: out of memory");
    for (size_t i = 0; i < h->count; i++) {
        const struct tensor *t = &s->layout->tensors[i];
        uint64_t bytes = t->elements * dtype_bytes(t->dtype);
        if (h->tensors[i].elements != bytes)
            return err_set(err, ERR_MALFORMED,
                           "tensor \"%s\": data_offsets span %llu bytes, dtype and shape make %llu",
                           t->name, (unsigned long long)h->tensors[i].elements,
                           (unsigned long long)bytes);
        s->offsets[i] = h->tensors[i].offset;
    }
    return 0;
}

static int find_canonical(struct bytes head, struct safetensors *s, struct err *err)
{
    struct buf ours = buf_new(SAFETENSORS_HEADER_MAX);
    int rc = safetensors_format(s->layout, &ours, err);
    s->canonical = rc == 0 && bytes_equal(buf_bytes(&ours), head);
    buf_fini(&ours);
    return rc;
}

/* --- the header as bytes --- */

/* The whole header's size by its first 8 bytes, checked against the file's. */
static int header_size(const uint8_t length[LENGTH_BYTES], uint64_t file_size, size_t *out,
                       struct err *err)
{
    uint64_t size = bytes_get_u64(length);
    if (size > SAFETENSORS_HEADER_MAX - LENGTH_BYTES)
        return err_set(err, ERR_LIMIT, "a header of %llu bytes, more than %u",
                       (unsigned long long)size, SAFETENSORS_HEADER_MAX - LENGTH_BYTES);
    if (size > file_size - LENGTH_BYTES)
        return err_set(err, ERR_MALFORMED, "a header of %llu bytes in a file of %llu",
                       (unsigned long long)size, (unsigned long long)file_size);
    *out = (size_t)size + LENGTH_BYTES;
    return 0;
}

static int parse(struct bytes head, uint64_t file_size, const struct safetensors_uses *uses,
                 struct safetensors *s, struct err *err)
{
    struct bytes text = bytes_of(head.data + LENGTH_BYTES, head.size - LENGTH_BYTES);
    if (!text_is_utf8(text))
        return err_set(err, ERR_MALFORMED, "the header is not UTF-8");
    char *strings = malloc(text.size + 1);
    struct header h = {.json = jsontext_reader(text, strings), .capacity = 64};
    h.tensors = malloc(h.capacity * sizeof *h.tensors);
    int rc = strings != NULL && h.tensors != NULL ? take_header(&h, err)
                                                  : err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = set_uses(&h, uses, err);
    if (rc == 0)
        rc = check_places(&h, file_size - head.size, err);
    if (rc == 0)
        rc = make_layout(&h, s, err);
    if (rc == 0)
        rc = find_canonical(head, s, err);
    s->data_start = head.size;
    free(h.tensors);
    free(strings);
    return rc;
}

int safetensors_parse(struct bytes head, uint64_t file_size, const struct safetensors_uses *uses,
                      struct safetensors *out, struct err *err)
{
    struct safetensors s = {0};
    size_t size = 0;
    int rc = 0;
    if (head.size < LENGTH_BYTES || file_size < head.size)
        rc = err_set(err, ERR_MALFORMED, "shorter than a header");
    if (rc == 0)
        rc = header_size(head.data, file_size, &size, err);
    if (rc == 0 && head.size < size)
        rc = err_set(err, ERR_MALFORMED, "%zu bytes of a header of %zu", head.size, size);
    if (rc == 0)
        rc = parse(bytes_of(head.data, size), file_size, uses, &s, err);
    if (rc != 0) {
        safetensors_fini(&s);
        return err_wrap(err, rc, "safetensors");
    }
    *out = s;
    return 0;
}

int safetensors_open(const struct files *f, int fd, const struct safetensors_uses *uses,
                     struct safetensors *out, struct err *err)
{
    struct files_stat stat;
    uint8_t length[LENGTH_BYTES];
    size_t size;
    int rc = f->stat_fd(f->self, fd, &stat, err);
    if (rc != 0)
        return rc;
    if (stat.size < LENGTH_BYTES)
        return err_set(err, ERR_MALFORMED, "safetensors: shorter than a header");
    rc = f->read(f->self, fd, 0, length, sizeof length, err);
    if (rc == 0)
        rc = header_size(length, stat.size, &size, err);
    if (rc != 0)
        return err_wrap(err, rc, "safetensors");
    uint8_t *head = malloc(size);
    if (head == NULL)
        return err_set(err, ERR_NOMEM, "safetensors: out of memory");
    rc = f->read(f->self, fd, 0, head, size, err);
    if (rc == 0)
        rc = safetensors_parse(bytes_of(head, size), stat.size, uses, out, err);
    free(head);
    return rc;
}

void safetensors_fini(struct safetensors *s)
{
    layout_free(s->layout);
    free(s->offsets);
    *s = (struct safetensors){0};
}

/* --- writing --- */

/* Names hold no control characters, so two characters are all there is to escape. */
static void put_name(struct buf *out, const char *name)
{
    buf_append_byte(out, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*name);
    }
    buf_append_byte(out, '"');
}

static void put_tensor(struct buf *out, const struct tensor *t)
{
    put_name(out, t->name);
    buf_append_format(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
    for (size_t j = 0; j < t->rank; j++)
        buf_append_format(out, "%s%llu", j == 0 ? "" : ",", (unsigned long long)t->shape[j]);
    uint64_t end = t->offset + t->elements * dtype_bytes(t->dtype);
    buf_append_format(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)t->offset,
                      (unsigned long long)end);
}

int safetensors_format(const struct layout *l, struct buf *out, struct err *err)
{
    return safetensors_format_tensors(l->tensors, l->tensor_count, SAFETENSORS_HEADER_MAX, out,
                                      err);
}

int safetensors_format_tensors(const struct tensor *tensors, size_t count, size_t max,
                               struct buf *out, struct err *err)
{
    struct buf json = buf_new(max - LENGTH_BYTES);
    uint8_t length[LENGTH_BYTES];
    buf_append_byte(&json, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_byte(&json, ',');
        put_tensor(&json, &tensors[i]);
    }
    buf_append_byte(&json, '}');
    while (json.failed == 0 && (LENGTH_BYTES + json.size) % SAFETENSORS_ALIGNMENT != 0)
        buf_append_byte(&json, ' ');
    int rc = buf_check(&json, err);
    if (rc == 0) {
        bytes_put_u64(length, json.size);
        buf_append(out, length, sizeof length);
        buf_append(out, json.data, json.size);
        rc = buf_check(out, err);
    }
    buf_fini(&json);
    return rc != 0 ? err_wrap(err, rc, "safetensors header") : 0;
}

/* From one open file to another. */
struct copy {
    const struct files *f;
    int from, to;
    uint8_t *buffer; /* (COPY_BYTES) */
};

static int copy_range(const struct copy *c, uint64_t read_at, uint64_t write_at, uint64_t size,
                      struct err *err)
{
    for (uint64_t done = 0; done < size;) {
        size_t part = size - done < COPY_BYTES ? (size_t)(size - done) : COPY_BYTES;
        int rc = c->f->read(c->f->self, c->from, read_at + done, c->buffer, part, err);
        if (rc == 0)
            rc = c->f->write(c->f->self, c->to, write_at + done, c->buffer, part, err);
        if (rc != 0)
            return rc;
        done += part;
    }
    return 0;
}

/* Header and tensors of `s`, read from handle `from`, to handle `to`. */
static int write_canonical(const struct files *f, int from, const struct safetensors *s, int to,
                           struct err *err)
{
    struct buf head = buf_new(SAFETENSORS_HEADER_MAX);
    struct copy c = {.f = f, .from = from, .to = to, .buffer = malloc(COPY_BYTES)};
    int rc = c.buffer == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                              : safetensors_format(s->layout, &head, err);
    if (rc == 0)
        rc = f->write(f->self, to, 0, head.data, head.size, err);
    for (size_t i = 0; rc == 0 && i < s->layout->tensor_count; i++) {
        const struct tensor *t = &s->layout->tensors[i];
        rc = copy_range(&c, s->data_start + s->offsets[i], head.size + t->offset,
                        t->elements * dtype_bytes(t->dtype), err);
    }
    if (rc == 0)
        rc = f->sync(f->self, to, err);
    free(c.buffer);
    buf_fini(&head);
    return rc;
}

int safetensors_rewrite(const struct files *f, const char *from, const char *to,
                        const struct safetensors_uses *uses, struct err *err)
{
    struct safetensors s = {0};
    int source, target;
    int rc = f->open(f->self, from, FILES_READ, &source, err);
    if (rc != 0)
        return rc;
    rc = safetensors_open(f, source, uses, &s, err);
    if (rc != 0) {
        rc = err_wrap(err, rc, "%s", from);
        goto out;
    }
    rc = f->open(f->self, to, FILES_EXCLUSIVE, &target, err);
    if (rc != 0)
        goto out;
    rc = write_canonical(f, source, &s, target, err);
    f->close(f->self, target);
    if (rc != 0) {
        (void)f->unlink(f->self, to, NULL);
        rc = err_wrap(err, rc, "%s as %s", from, to);
    }
out:
    f->close(f->self, source);
    safetensors_fini(&s);
    return rc;
}
