/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moments -- the rule that gives a study its input scaling: every site's count, sums and sums of
 * squares, added in roster order in f64; mean = sum / count, deviation = sqrt(squares / count -
 * mean^2), 1 where that is 0, negative or no more than rounding leaves of a constant column
 * (docs/decisions/0002); each rounded once to f32 into the fixed tensors input.mean and
 * input.deviation.
 */
#ifndef COLMEIA_AGGREGATE_MOMENTS_H
#define COLMEIA_AGGREGATE_MOMENTS_H

#include "base/buf.h"

#define MOMENTS_FEATURES_MAX 4096
#define MOMENTS_COUNT_MAX    (1ull << 40) /* of one site: sums of counts are exact in f64 */

struct moments {
    uint64_t count;
    size_t features;
    double *sum;     /* (features) owned */
    double *squares; /* (features) owned */
};

/* All zero. ERR_LIMIT unless features is 1..MOMENTS_FEATURES_MAX. */
int moments_new(size_t features, struct moments *out, struct err *err) MUST_USE;
void moments_fini(struct moments *m);

/* Appends dag-cbor {count, sum: [f64], squares: [f64]}. ERR_MALFORMED, from both, for non-finite
 * values, a negative square, values that no count of f32 numbers can have, a count of 0 or past the
 * limit, or another number of features than `features` (0: any). So no one site makes a round's
 * result infinite. */
int moments_encode(const struct moments *m, struct buf *out, struct err *err) MUST_USE;
int moments_decode(struct bytes in, size_t features, struct moments *out, struct err *err) MUST_USE;

/* Adds one site's, of as many features; call in roster order. */
void moments_add(struct moments *total, const struct moments *site);
/* mean, deviation: (features). False if a result is not finite. A deviation too small for f32 is 1
 * like one of 0: inputs are divided by it. */
bool moments_finish(const struct moments *total, float *mean, float *deviation);

#endif
