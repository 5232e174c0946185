/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/examples.h"

#include <stdlib.h>

/* Puts the rows of `more` behind those of `all`. */
static int append(struct dataset *all, const struct dataset *more, struct err *err)
{
    size_t rows = all->rows + more->rows;
    if (all->features != more->features)
        return err_set(err, ERR_MALFORMED, "%zu features where the first file has %zu",
                       more->features, all->features);
    float *x = realloc(all->x, (rows * all->features + 1) * sizeof *x);
    if (x != NULL)
        all->x = x;
    uint32_t *y = x == NULL ? NULL : realloc(all->y, (rows + 1) * sizeof *y);
    if (y == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    all->y = y;
    memcpy(x + all->rows * all->features, more->x, more->rows * more->features * sizeof *x);
    memcpy(y + all->rows, more->y, more->rows * sizeof *y);
    all->rows = rows;
    return 0;
}

static int add_moments(struct moments *total, const struct dataset *d, struct err *err)
{
    struct moments one;
    int rc = total->sum == NULL ? moments_new(d->features, total, err) : 0;
    if (rc == 0)
        rc = moments_new(d->features, &one, err);
    if (rc != 0)
        return rc;
    one.count = d->rows;
    dataset_moments(d, one.sum, one.squares);
    moments_add(total, &one);
    moments_fini(&one);
    return 0;
}

int examples_load(const struct options_list *files, const char *target, size_t classes,
                  struct dataset *out, struct moments *moments, struct err *err)
{
    struct dataset all = {.rows = 0};
    struct moments total = {.count = 0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < files->count; i++) {
        struct dataset one = {.rows = 0};
        rc = dataset_load(files->items[i], target, (uint32_t)classes, &one, err);
        if (rc != 0)
            break;
        if (i == 0)
            all.features = one.features;
        rc = append(&all, &one, err);
        if (rc == 0 && moments != NULL)
            rc = add_moments(&total, &one, err);
        if (rc != 0)
            rc = err_wrap(err, rc, "%.400s", files->items[i]);
        dataset_fini(&one);
    }
    if (rc == 0 && all.rows == 0)
        rc = err_set(err, ERR_MALFORMED, "there are no examples");
    if (rc != 0) {
        dataset_fini(&all);
        moments_fini(&total);
        return rc;
    }
    *out = all;
    if (moments != NULL)
        *moments = total;
    return 0;
}
