/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta -- codec `plain`: what a site's training changed, shard by shard.
 *
 * delta = new - base, computed in f64 and rounded once to little-endian f32 (f64 for F64 tensors);
 * a `largest` shard holds the new values. A shard that changes nothing is written as null. No
 * clock, no disk: bytes in, bytes out.
 */
#ifndef COLMEIA_MODEL_DELTA_H
#define COLMEIA_MODEL_DELTA_H

#include "model/layout.h"

/* The shard's elements of two models, gathered in shard order in the tensors' own dtype: `base` and
 * `new_model` (shard->elements) -> `out` (shard->bytes, another run of memory). ERR_MALFORMED
 * naming the element in the shard if a result is not finite; `out` is then of no use. */
int delta_encode(const struct shard *shard, const void *base, const void *new_model, void *out,
                 struct err *err) MUST_USE;

/* The length right, every float finite, every BOOL 0 or 1? ERR_MALFORMED `element 17 is NaN`. */
int delta_check(const struct shard *shard, struct bytes delta, struct err *err) MUST_USE;

/* The sum of the squares of a `mean` shard's deltas that delta_check found good, in f64 in element
 * order; infinite if that overflows. The same bits on every machine. */
double delta_squares(const struct shard *shard, const void *delta);

/* All bytes zero? Then null stands for it; in a `largest` shard, whose null means the base's
 * values, only if the base is zero there too. */
bool delta_is_null(struct bytes delta);

#endif
