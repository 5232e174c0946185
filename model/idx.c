/* SPDX-License-Identifier: Apache-2.0 */
#include "model/idx.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"

#define TYPE_U8       8
#define RANK_MAX      8
#define HEADER_MAX    (4 + 4 * RANK_MAX)
#define PIECE_BYTES   (1u << 16)
#define HIGHEST_VALUE 255.0f

/* An open file whose header said what its length says, too. */
struct array {
    char path[FILES_PATH_MAX];
    int fd;
    uint64_t start; /* of the values */
    size_t count;   /* the first dimension */
    size_t width;   /* the product of the others */
};

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Two zeros, a type of the format, a rank. */
static bool is_magic(const uint8_t magic[4])
{
    return magic[0] == 0 && magic[1] == 0 && magic[2] >= TYPE_U8 && magic[2] <= 14 && magic[3] > 0;
}

bool idx_is(const char *path)
{
    const struct files *f = files_posix();
    uint8_t magic[4];
    int fd;
    if (f->open(f->self, path, FILES_READ, &fd, NULL) != 0)
        return false;
    bool is = f->read(f->self, fd, 0, magic, sizeof magic, NULL) == 0 && is_magic(magic);
    f->close(f->self, fd);
    return is;
}

/* --- headers --- */

static int check_magic(const uint8_t magic[4], unsigned least, unsigned most, struct err *err)
{
    if (!is_magic(magic))
        return err_set(err, ERR_MALFORMED, "not an IDX file");
    if (magic[2] != TYPE_U8)
        return err_set(err, ERR_UNSUPPORTED,
                       "IDX of type 0x%02x; only unsigned bytes (0x08) are "
                       "read",
                       magic[2]);
    if (magic[3] < least || magic[3] > most)
        return err_set(err, ERR_MALFORMED, "IDX of %u dimensions, expected %u%s", magic[3], least,
                       most > least ? " or more" : "");
    return 0;
}

/* Takes the dimensions behind the magic of a file of `size` bytes. */
static int take_dimensions(struct array *a, const uint8_t *header, uint64_t size, struct err *err)
{
    uint64_t values = 1;
    a->width = 1;
    a->count = big_endian(header + 4);
    for (unsigned i = 0; i < header[3]; i++) {
        uint32_t dimension = big_endian(header + 4 + 4 * i);
        if (dimension == 0)
            return err_set(err, ERR_MALFORMED, "dimension %u is 0", i + 1);
        values *= dimension;
        if (values > IDX_BYTES_MAX)
            return err_set(err, ERR_LIMIT, "more than %u values", IDX_BYTES_MAX);
        if (i > 0)
            a->width *= dimension;
        if (a->width > IDX_FEATURES_MAX)
            return err_set(err, ERR_LIMIT, "more than %d features", IDX_FEATURES_MAX);
    }
    if (size != a->start + values)
        return err_set(err, ERR_MALFORMED, "%llu bytes, its header says %llu",
                       (unsigned long long)size, (unsigned long long)(a->start + values));
    return 0;
}

static int read_header(struct array *a, unsigned least, unsigned most, struct err *err)
{
    const struct files *f = files_posix();
    struct files_stat stat;
    uint8_t header[HEADER_MAX];
    int rc = f->stat_fd(f->self, a->fd, &stat, err);
    if (rc == 0 && stat.size < 4)
        return err_set(err, ERR_MALFORMED, "not an IDX file");
    if (rc == 0)
        rc = f->read(f->self, a->fd, 0, header, 4, err);
    if (rc == 0)
        rc = check_magic(header, least, most, err);
    if (rc != 0)
        return rc;
    a->start = 4 + 4 * (uint64_t)header[3];
    if (stat.size < a->start)
        return err_set(err, ERR_MALFORMED, "the file ends in its header");
    rc = f->read(f->self, a->fd, 4, header + 4, (size_t)a->start - 4, err);
    return rc != 0 ? rc : take_dimensions(a, header, stat.size, err);
}

/* Opens a->path; of `least` to `most` dimensions. */
static int array_open(struct array *a, unsigned least, unsigned most, struct err *err)
{
    const struct files *f = files_posix();
    int rc = f->open(f->self, a->path, FILES_READ, &a->fd, err);
    if (rc != 0)
        return rc;
    rc = read_header(a, least, most, err);
    if (rc != 0) {
        f->close(f->self, a->fd);
        return err_wrap(err, rc, "%.400s", a->path);
    }
    return 0;
}

static void array_close(struct array *a)
{
    files_posix()->close(files_posix()->self, a->fd);
}

/* --- the labels' name --- */

/* "images" becomes "labels" and, if it is there, "idxN" "idx1", in the path's last part. */
static int name_labels(const char *images, char out[FILES_PATH_MAX], struct err *err)
{
    int size = snprintf(out, FILES_PATH_MAX, "%s", images);
    if (size < 0 || size >= FILES_PATH_MAX)
        return err_set(err, ERR_LIMIT, "path too long");
    char *slash = strrchr(out, '/'), *name = slash == NULL ? out : slash + 1;
    char *word = strstr(name, "images"), *rank = strstr(name, "idx");
    if (word == NULL)
        return err_set(err, ERR_USAGE,
                       "%.400s: an IDX file's name must say \"images\"; its labels are looked for "
                       "under the name with \"labels\" instead",
                       images);
    memcpy(word, "labels", 6);
    if (rank != NULL && rank[3] >= '2' && rank[3] <= '9')
        rank[3] = '1';
    return 0;
}

/* --- values --- */

static int read_images(const struct array *a, float *x, struct err *err)
{
    const struct files *f = files_posix();
    uint64_t bytes = (uint64_t)a->count * a->width;
    uint8_t *piece = malloc(PIECE_BYTES);
    int rc = piece == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    for (uint64_t at = 0; rc == 0 && at < bytes; at += PIECE_BYTES) {
        size_t size = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
        rc = f->read(f->self, a->fd, a->start + at, piece, size, err);
        for (size_t i = 0; rc == 0 && i < size; i++)
            x[at + i] = (float)piece[i] / HIGHEST_VALUE;
    }
    free(piece);
    return rc;
}

static int read_labels(const struct array *a, uint32_t classes, uint32_t *y, struct err *err)
{
    const struct files *f = files_posix();
    uint8_t *bytes = malloc(a->count);
    int rc = bytes == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                           : f->read(f->self, a->fd, a->start, bytes, a->count, err);
    for (size_t i = 0; rc == 0 && i < a->count; i++) {
        y[i] = bytes[i];
        if (y[i] >= classes)
            rc = err_set(err, ERR_MALFORMED, "%.400s: label %zu is not a class number below %u",
                         a->path, i + 1, classes);
    }
    free(bytes);
    return rc;
}

static int read_both(const struct array *images, const struct array *labels, uint32_t classes,
                     struct dataset *out, struct err *err)
{
    struct dataset d = {.rows = images->count, .features = images->width};
    if (labels->count != images->count)
        return err_set(err, ERR_MALFORMED, "%.300s has %zu images, %.300s %zu labels", images->path,
                       images->count, labels->path, labels->count);
    d.x = malloc(d.rows * d.features * sizeof *d.x);
    d.y = malloc(d.rows * sizeof *d.y);
    int rc = d.x == NULL || d.y == NULL
                 ? err_set(err, ERR_NOMEM, "%.400s: out of memory", images->path)
                 : read_images(images, d.x, err);
    if (rc == 0)
        rc = read_labels(labels, classes, d.y, err);
    if (rc == 0)
        *out = d;
    else
        dataset_fini(&d);
    return rc;
}

int idx_load(const char *path, uint32_t classes, struct dataset *out, struct err *err)
{
    struct array images, labels;
    int rc = name_labels(path, labels.path, err);
    if (rc != 0)
        return rc;
    memcpy(images.path, path, strlen(path) + 1); /* as long as the other, which fitted */
    rc = array_open(&images, 2, RANK_MAX, err);
    if (rc != 0)
        return rc;
    rc = array_open(&labels, 1, 1, err);
    if (rc == 0) {
        rc = read_both(&images, &labels, classes, out, err);
        array_close(&labels);
    }
    array_close(&images);
    return rc;
}
