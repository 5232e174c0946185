/* SPDX-License-Identifier: Apache-2.0 */
#include "model/dataset.h"

#include <stdlib.h>

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
