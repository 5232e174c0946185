/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors -- the header of a safetensors file: 8 bytes of length, JSON, padding; then the
 * tensors' bytes.
 *
 * The reader is iterative and bounded: at most SAFETENSORS_HEADER_MAX bytes, LAYOUT_TENSORS_MAX
 * tensors. It refuses what the format forbids (holes, overlaps, duplicate keys, sizes that do not
 * match shapes, offsets past the end, trailing bytes) and what readers disagree on: white space
 * before the brace, padding other than spaces, fields that the format does not name. Strings in
 * "__metadata__" are checked and dropped.
 *
 * A Colmeia model's header is canonical: tensors in layout order, keys
 * "dtype","shape","data_offsets", no metadata, padded with spaces so that the data begins at a
 * multiple of 64. safetensors_rewrite makes any valid file so.
 */
#ifndef COLMEIA_MODEL_SAFETENSORS_H
#define COLMEIA_MODEL_SAFETENSORS_H

#include "base/files.h"
#include "model/layout.h"

#define SAFETENSORS_HEADER_MAX   (2u << 20) /* the 8 length bytes included */
#define SAFETENSORS_METADATA_MAX 1024       /* strings in "__metadata__" */
#define SAFETENSORS_ALIGNMENT    64

/* Which tensors are not averaged: by exact name; `fixed` wins over `largest`. All others: floats
 * are mean, integers fixed. */
struct safetensors_uses {
    const char *const *fixed;
    size_t fixed_count;
    const char *const *largest;
    size_t largest_count;
};

struct safetensors {
    struct layout *layout;
    uint64_t data_start; /* offset of the data section in the file */
    bool canonical;      /* in our form, byte for byte */
    uint64_t *offsets;   /* offsets[i]: where layout->tensors[i] lies in this file's data section
                            (equal to tensors[i].offset if canonical) */
};

/* Parses a header: `head` is the file's first bytes, at least 8 + length of them. `uses` may be
 * NULL. ERR_MALFORMED, ERR_LIMIT, ERR_UNSUPPORTED for a dtype that is not known, ERR_USAGE for a
 * use of a tensor that is not there or does not fit its dtype. */
int safetensors_parse(struct bytes head, uint64_t file_size, const struct safetensors_uses *uses,
                      struct safetensors *out, struct err *err) MUST_USE;
/* Reads the header of an open file (files handle). */
int safetensors_open(const struct files *f, int fd, const struct safetensors_uses *uses,
                     struct safetensors *out, struct err *err) MUST_USE;
void safetensors_fini(struct safetensors *s);

/* The canonical header of `l`: length, JSON and padding, appended to `out`; ERR_LIMIT if it is
 * larger than SAFETENSORS_HEADER_MAX. */
int safetensors_format(const struct layout *l, struct buf *out, struct err *err) MUST_USE;
/* The same of `count` tensors in the order they are given, elements and offsets filled in;
 * ERR_LIMIT if it is larger than `max`. */
int safetensors_format_tensors(const struct tensor *tensors, size_t count, size_t max,
                               struct buf *out, struct err *err) MUST_USE;

/* Writes the model of file `from` to `to`, a new file (ERR_EXISTS), in canonical form; its bytes
 * are synced, its name is not. On failure no file is left. Memory: one buffer of 1 MiB. */
int safetensors_rewrite(const struct files *f, const char *from, const char *to,
                        const struct safetensors_uses *uses, struct err *err) MUST_USE;

#endif
