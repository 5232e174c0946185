/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idx -- images and labels as MNIST is distributed: IDX files (00 00 TYPE RANK, big-endian
 * dimensions, then the values), of unsigned bytes.
 *
 * The images' file is named; the labels' lies beside it, its name having `labels` for `images` and
 * `idx1` for `idx3` (train-images-idx3-ubyte, train-labels-idx1-ubyte). Pixels become byte / 255.
 * ERR_MALFORMED names file and what is wrong, ERR_UNSUPPORTED another type than bytes; sentences
 * never quote a value.
 */
#ifndef COLMEIA_MODEL_IDX_H
#define COLMEIA_MODEL_IDX_H

#include "model/dataset.h"

#define IDX_BYTES_MAX    (1u << 30) /* values of a file */
#define IDX_FEATURES_MAX 65536      /* values of an image */

/* Do the file's first bytes say IDX? False if it cannot be read. */
bool idx_is(const char *path);

/* Features are the product of all dimensions but the first. */
int idx_load(const char *path, uint32_t classes, struct dataset *out, struct err *err) MUST_USE;

#endif
