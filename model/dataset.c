/* SPDX-License-Identifier: Apache-2.0 */
#include "model/dataset.h"

#include <stdlib.h>

#include "model/csv.h"
#include "model/idx.h"

int dataset_load(const char *path, const char *target, uint32_t classes, struct dataset *out,
                 struct err *err)
{
    if (idx_is(path))
        return idx_load(path, classes, out, err);
    if (target[0] == '\0')
        return err_set(err, ERR_USAGE, "%.400s: of a table, the target column must be named", path);
    return csv_load(path, target, classes, out, err);
}

void dataset_fini(struct dataset *d)
{
    free(d->x);
    free(d->y);
    *d = (struct dataset){0};
}

void dataset_moments(const struct dataset *d, double *sum, double *squares)
{
    for (size_t j = 0; j < d->features; j++)
        sum[j] = squares[j] = 0;
    for (size_t i = 0; i < d->rows; i++)
        for (size_t j = 0; j < d->features; j++) {
            double x = (double)d->x[i * d->features + j];
            sum[j] += x;
            squares[j] += x * x;
        }
}
