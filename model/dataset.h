/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset -- examples in memory, as native trainers use them.
 */
#ifndef COLMEIA_MODEL_DATASET_H
#define COLMEIA_MODEL_DATASET_H

#include "base/buf.h"

struct dataset {
    size_t rows;
    size_t features;
    float *x;    /* (rows, features), row-major, as read: no scaling */
    uint32_t *y; /* (rows) class numbers */
};

/* Reads a site's data: IDX if the file's first bytes say so (idx.h), else CSV with a column
 * `target` (csv.h). */
int dataset_load(const char *path, const char *target, uint32_t classes, struct dataset *out,
                 struct err *err) MUST_USE;
void dataset_fini(struct dataset *d);

/* What the rule `moments` asks of a site: per feature in f64, in row order. The caller gives arrays
 * of `features`. */
void dataset_moments(const struct dataset *d, double *sum, double *squares);

#endif
