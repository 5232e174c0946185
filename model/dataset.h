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

void dataset_fini(struct dataset *d);

/* What the rule `moments` asks of a site: per feature in f64, in row order. The caller gives arrays
 * of `features`. */
void dataset_moments(const struct dataset *d, double *sum, double *squares);

#endif
