/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate/moments.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/cbor.h"

/* A variance below this share of the mean square is what cancellation leaves of a constant column
 * (docs/decisions/0002). */
#define NOISE 0x1p-44

int moments_new(size_t features, struct moments *out, struct err *err)
{
    if (features == 0 || features > MOMENTS_FEATURES_MAX)
        return err_set(err, ERR_LIMIT, "%zu features, not 1 to %d", features, MOMENTS_FEATURES_MAX);
    struct moments m = {.features = features};
    m.sum = calloc(features, sizeof *m.sum);
    m.squares = calloc(features, sizeof *m.squares);
    if (m.sum == NULL || m.squares == NULL) {
        moments_fini(&m);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    *out = m;
    return 0;
}

void moments_fini(struct moments *m)
{
    free(m->sum);
    free(m->squares);
    *m = (struct moments){0};
}

static int check(const struct moments *m, struct err *err)
{
    if (m->count == 0 || m->count > MOMENTS_COUNT_MAX)
        return err_set(err, ERR_MALFORMED, "moments: a count of %llu",
                       (unsigned long long)m->count);
    for (size_t i = 0; i < m->features; i++) {
        if (!isfinite(m->sum[i]) || !isfinite(m->squares[i]))
            return err_set(err, ERR_MALFORMED, "moments: feature %zu is not finite", i);
        if (m->squares[i] < 0)
            return err_set(err, ERR_MALFORMED, "moments: feature %zu has a negative sum of squares",
                           i);
        double most = FLT_MAX * (double)m->count;
        if (fabs(m->sum[i]) > most || m->squares[i] > FLT_MAX * most)
            return err_set(err, ERR_MALFORMED, "moments: feature %zu has values past f32's range",
                           i);
    }
    return 0;
}

static void put_doubles(struct buf *out, const double *values, size_t count)
{
    cbor_put_array(out, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_double(out, values[i]);
}

int moments_encode(const struct moments *m, struct buf *out, struct err *err)
{
    int rc = check(m, err);
    if (rc != 0)
        return rc;
    cbor_put_map(out, 3);
    cbor_put_text(out, "sum");
    put_doubles(out, m->sum, m->features);
    cbor_put_text(out, "count");
    cbor_put_uint(out, m->count);
    cbor_put_text(out, "squares");
    put_doubles(out, m->squares, m->features);
    return buf_check(out, err);
}

static void take_doubles(struct cbor *r, double *out, size_t count)
{
    if (cbor_take_array(r, MOMENTS_FEATURES_MAX) != count)
        cbor_fail(r, "sum and squares differ in length");
    for (size_t i = 0; i < count; i++)
        out[i] = cbor_take_double(r);
}

int moments_decode(struct bytes in, size_t features, struct moments *out, struct err *err)
{
    struct cbor r = cbor_reader(in);
    struct moments m = {0};
    if (cbor_take_map(&r, 3) != 3)
        cbor_fail(&r, "moments are a map of three");
    cbor_expect_key(&r, "sum");
    struct cbor ahead = r;
    size_t found = (size_t)cbor_take_array(&ahead, MOMENTS_FEATURES_MAX);
    if (ahead.failed) {
        int failed = cbor_finish(&ahead, err);
        return err_wrap(err, failed == ERR_LIMIT ? ERR_MALFORMED : failed, "moments");
    }
    if (found == 0 || (features != 0 && found != features))
        return err_set(err, ERR_MALFORMED, "moments: %zu features where %zu are expected", found,
                       features);
    int rc = moments_new(found, &m, err);
    if (rc != 0)
        return rc;
    take_doubles(&r, m.sum, found);
    cbor_expect_key(&r, "count");
    m.count = cbor_take_uint(&r, UINT64_MAX);
    cbor_expect_key(&r, "squares");
    take_doubles(&r, m.squares, found);
    rc = cbor_finish(&r, err);
    rc = rc != 0 ? err_wrap(err, ERR_MALFORMED, "moments") : check(&m, err);
    if (rc != 0) {
        moments_fini(&m);
        return rc;
    }
    *out = m;
    return 0;
}

void moments_add(struct moments *total, const struct moments *site)
{
    assert(total->features == site->features);
    total->count += site->count;
    for (size_t i = 0; i < total->features; i++) {
        total->sum[i] += site->sum[i];
        total->squares[i] += site->squares[i];
    }
}

bool moments_finish(const struct moments *total, float *mean, float *deviation)
{
    bool finite = true;
    double count = (double)total->count;
    for (size_t i = 0; i < total->features; i++) {
        double center = total->sum[i] / count;
        double square = total->squares[i] / count;
        double variance = square - center * center;
        mean[i] = (float)center;
        deviation[i] = (float)sqrt(variance < square * NOISE ? 0 : variance);
        if (deviation[i] == 0)
            deviation[i] = 1;
        finite &= isfinite(mean[i]) && isfinite(deviation[i]);
    }
    return finite;
}
