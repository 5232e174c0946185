/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/say.h"
#include "cli/store_option.h"
#include "cli/stored_file.h"
#include "model/safetensors.h"

#define PIECE_BYTES (1u << 20) /* a multiple of every element's size */
#define INDEX_MAX   (LAYOUT_RANK_MAX * 24)
#define NO_INDEX    UINT64_MAX

/* One model, open. */
struct side {
    const char *name; /* as it was given */
    int fd;           /* -1: not open */
    struct safetensors model;
};

/* What is found out about one tensor (or all): sums of f64 in element order. */
struct finding {
    uint64_t differing; /* elements that are not the same bits */
    double squares;     /* of the differences B - A */
    double largest;     /* absolute difference; NaN once one is */
    uint64_t index;     /* where; NO_INDEX: no element differs in value */
    double aa, bb, ab;  /* for the cosine */
};

struct comparison {
    struct side a, b;
    struct finding *tensors; /* (layout's tensor_count), in layout order */
    struct finding total;    /* of the floating-point tensors; its index is a tensor's */
    size_t differing;        /* tensors */
};

/* --- inputs --- */

/* A file of that name, unless a store is given and the name is a CID. */
static int open_side(struct side *s, const char *dir, struct err *err)
{
    const struct files *f = files_posix();
    struct cid root;
    int rc;
    if (cid_parse(s->name, &root, NULL) == 0 && (dir != NULL || !files_exists(f, s->name)))
        rc = stored_file_open(dir, &root, &s->fd, err);
    else
        rc = f->open(f->self, s->name, FILES_READ, &s->fd, err);
    if (rc == 0)
        rc = safetensors_open(f, s->fd, NULL, &s->model, err);
    return rc != 0 ? err_wrap(err, rc, "model %.400s", s->name) : 0;
}

static void close_side(struct side *s)
{
    const struct files *f = files_posix();
    if (s->fd >= 0)
        f->close(f->self, s->fd);
    safetensors_fini(&s->model);
}

/* --- arithmetic --- */

static int64_t get_signed(size_t size, const uint8_t *at)
{
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static uint64_t get_unsigned(size_t size, const uint8_t *at)
{
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    return bits;
}

static bool is_signed(enum dtype d)
{
    return d == DTYPE_I64 || d == DTYPE_I32 || d == DTYPE_I16 || d == DTYPE_I8;
}

/* Both elements and B - A as doubles. Integers are subtracted as such: two that differ never become
 * the same number, though a double holds 53 bits alone. */
static void widen(enum dtype d, const uint8_t *a, const uint8_t *b, double out[3])
{
    size_t size = dtype_bytes(d);
    if (dtype_is_float(d)) {
        out[0] = dtype_get(d, a);
        out[1] = dtype_get(d, b);
        out[2] = out[1] - out[0];
    } else if (is_signed(d)) {
        int64_t x = get_signed(size, a), y = get_signed(size, b);
        out[0] = (double)x;
        out[1] = (double)y;
        out[2] = y > x ? (double)((uint64_t)y - (uint64_t)x) : -(double)((uint64_t)x - (uint64_t)y);
    } else {
        uint64_t x = get_unsigned(size, a), y = get_unsigned(size, b);
        out[0] = (double)x;
        out[1] = (double)y;
        out[2] = y > x ? (double)(y - x) : -(double)(x - y);
    }
}

static void take_largest(struct finding *f, double value, uint64_t index)
{
    double size = fabs(value);
    if (size > f->largest || (isnan(size) && !isnan(f->largest))) {
        f->largest = size;
        f->index = index;
    }
}

static void add_piece(enum dtype d, const uint8_t *a, const uint8_t *b, size_t count,
                      uint64_t first, struct finding *f)
{
    size_t size = dtype_bytes(d);
    double v[3];
    for (size_t i = 0; i < count; i++) {
        const uint8_t *x = a + i * size, *y = b + i * size;
        widen(d, x, y, v);
        f->aa += v[0] * v[0];
        f->bb += v[1] * v[1];
        f->ab += v[0] * v[1];
        if (memcmp(x, y, size) == 0) /* NaN and infinity, too, do not differ from themselves */
            continue;
        f->differing++;
        f->squares += v[2] * v[2];
        take_largest(f, v[2], first + i);
    }
}

static int compare_tensor(const struct comparison *c, size_t i, uint8_t *pieces,
                          struct finding *out, struct err *err)
{
    const struct files *f = files_posix();
    const struct tensor *t = &c->a.model.layout->tensors[i];
    const struct safetensors *a = &c->a.model, *b = &c->b.model;
    size_t size = dtype_bytes(t->dtype);
    uint64_t bytes = t->elements * size;
    *out = (struct finding){.index = NO_INDEX};
    for (uint64_t at = 0; at < bytes; at += PIECE_BYTES) {
        size_t now = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
        int rc = f->read(f->self, c->a.fd, a->data_start + a->offsets[i] + at, pieces, now, err);
        if (rc == 0)
            rc = f->read(f->self, c->b.fd, b->data_start + b->offsets[i] + at, pieces + PIECE_BYTES,
                         now, err);
        if (rc != 0)
            return rc;
        add_piece(t->dtype, pieces, pieces + PIECE_BYTES, now / size, at / size, out);
    }
    return 0;
}

static void add_to_total(struct comparison *c, size_t i)
{
    const struct finding *f = &c->tensors[i];
    struct finding *all = &c->total;
    c->differing += f->differing > 0 ? 1 : 0;
    if (!dtype_is_float(c->a.model.layout->tensors[i].dtype))
        return;
    all->differing += f->differing;
    all->squares += f->squares;
    all->aa += f->aa;
    all->bb += f->bb;
    all->ab += f->ab;
    take_largest(all, f->largest, i);
}

static int compare(struct comparison *c, const char *dir, struct err *err)
{
    uint8_t *pieces = malloc(2 * (size_t)PIECE_BYTES);
    int rc = pieces == NULL ? err_set(err, ERR_NOMEM, "out of memory") : open_side(&c->a, dir, err);
    if (rc == 0)
        rc = open_side(&c->b, dir, err);
    const struct layout *l = c->a.model.layout;
    if (rc == 0 && (rc = layout_compare(l, c->b.model.layout, err)) != 0)
        rc = err_wrap(err, rc, "%.200s is not of the layout of %.200s", c->b.name, c->a.name);
    if (rc == 0 && (c->tensors = calloc(l->tensor_count + 1, sizeof *c->tensors)) == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < l->tensor_count; i++) {
        rc = compare_tensor(c, i, pieces, &c->tensors[i], err);
        if (rc == 0)
            add_to_total(c, i);
    }
    free(pieces);
    return rc;
}

/* NaN if one of the two is all zeros. Equal lengths are divided by as they are, so that a model's
 * cosine with itself is 1 to the last bit. */
static double cosine_of(const struct finding *f)
{
    double cosine = f->aa == f->bb ? f->ab / f->aa : f->ab / (sqrt(f->aa) * sqrt(f->bb));
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

/* --- what is said --- */

/* An element's place along each dimension, the last running fastest. */
static void unravel(const struct tensor *t, uint64_t index, uint64_t out[LAYOUT_RANK_MAX])
{
    for (unsigned i = t->rank; i-- > 0;) {
        out[i] = index % t->shape[i];
        index /= t->shape[i];
    }
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *index_json(const struct tensor *t, uint64_t index)
{
    uint64_t place[LAYOUT_RANK_MAX];
    if (index == NO_INDEX)
        return json_null();
    json_t *array = json_array();
    unravel(t, index, place);
    for (unsigned i = 0; i < t->rank; i++)
        (void)json_array_append_new(array, json_integer((json_int_t)place[i]));
    return array;
}

static json_t *tensor_json(const struct tensor *t, const struct finding *f)
{
    return json_pack("{s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:o}", "name", t->name, "dtype",
                     dtype_name(t->dtype), "elements", (json_int_t)t->elements, "differing",
                     (json_int_t)f->differing, "norm", number_or_null(sqrt(f->squares)), "largest",
                     number_or_null(f->largest), "index", index_json(t, f->index), "cosine",
                     number_or_null(cosine_of(f)));
}

static int print_json(const struct comparison *c)
{
    const struct layout *l = c->a.model.layout;
    const struct finding *all = &c->total;
    const char *where = all->index == NO_INDEX ? NULL : l->tensors[all->index].name;
    json_t *tensors = json_array();
    for (size_t i = 0; i < l->tensor_count; i++)
        (void)json_array_append_new(tensors, tensor_json(&l->tensors[i], &c->tensors[i]));
    return say_json(json_pack(
        "{s:b,s:I,s:o,s:{s:I,s:o,s:o,s:s?,s:o}}", "identical", c->differing == 0, "differing",
        (json_int_t)c->differing, "tensors", tensors, "total", "differing",
        (json_int_t)all->differing, "norm", number_or_null(sqrt(all->squares)), "largest",
        number_or_null(all->largest), "tensor", where, "cosine", number_or_null(cosine_of(all))));
}

static void print_row(const char *dtype, const struct finding *f, const char *index,
                      const char *name)
{
    double cosine = cosine_of(f);
    char text[32];
    snprintf(text, sizeof text, isnan(cosine) ? "-" : "%.9f", cosine);
    say_line("%-5s  %10llu  %11.5g  %11.5g  %-12s  %12s  %s", dtype,
             (unsigned long long)f->differing, sqrt(f->squares), f->largest, index, text, name);
}

static void print_tensor(const struct tensor *t, const struct finding *f)
{
    uint64_t place[LAYOUT_RANK_MAX];
    char index[INDEX_MAX] = "-";
    if (f->index != NO_INDEX) {
        int used = snprintf(index, sizeof index, "[");
        unravel(t, f->index, place);
        for (unsigned i = 0; i < t->rank; i++)
            used += snprintf(index + used, sizeof index - (size_t)used, "%s%llu", i > 0 ? "," : "",
                             (unsigned long long)place[i]);
        snprintf(index + used, sizeof index - (size_t)used, "]");
    }
    print_row(dtype_name(t->dtype), f, index, t->name);
}

static void print(const struct comparison *c)
{
    const struct layout *l = c->a.model.layout;
    say_line("%-5s  %10s  %11s  %11s  %-12s  %12s  %s", "dtype", "differing", "norm", "largest",
             "at", "cosine", "tensor");
    for (size_t i = 0; i < l->tensor_count; i++)
        print_tensor(&l->tensors[i], &c->tensors[i]);
    print_row("total", &c->total, "", "all floating-point tensors");
    if (c->differing == 0)
        say_line("the models are identical");
    else
        say_line("%zu of %zu tensors differ", c->differing, l->tensor_count);
}

int cmd_compare(int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;
    const struct options_row rows[] = {STORE_OPTION_ROW(&dir), OPTIONS_JSON_ROW(&json)};
    struct options o = {.command = "colmeia compare",
                        .operands = "A B",
                        .about =
                            "How far two models are apart, tensor by tensor: elements that "
                            "differ, norm and largest of the\ndifferences B - A, cosine of A "
                            "and B. Each is a safetensors file, or the CID of one in the store.\n"
                            "Exit status 0: they are identical to the bit; 1: they differ.",
                        OPTIONS_ROWS(rows),
                        .least = 2,
                        .most = 2};
    struct comparison c = {.a.fd = -1, .b.fd = -1, .total.index = NO_INDEX};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    c.a.name = o.given[0];
    c.b.name = o.given[1];
    int rc = compare(&c, dir, &err);
    if (rc != 0)
        status = say_error(o.command, rc, &err);
    else if (json)
        status = print_json(&c);
    else
        print(&c);
    if (rc == 0 && status == 0)
        status = c.differing > 0 ? 1 : 0;
    close_side(&c.a);
    close_side(&c.b);
    free(c.tensors);
    return status;
}
