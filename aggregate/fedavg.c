/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate/fedavg.h"

#include <assert.h>

#include "aggregate/accumulate.h"

_Static_assert(sizeof(double) == sizeof(uint64_t), "a slot of acc holds an integer's bits");

/* What turns the bits of an integer into an unsigned number of the same order, and back. */
static uint64_t order_mask(enum dtype d)
{
    bool is_signed = d == DTYPE_I64 || d == DTYPE_I32 || d == DTYPE_I16 || d == DTYPE_I8;
    return is_signed ? 1ull << (8 * dtype_bytes(d) - 1) : 0;
}

static void add_largest(const struct shard *shard, double *acc, const uint8_t *values)
{
    uint64_t mask = order_mask(shard->dtype);
    size_t size = dtype_bytes(shard->dtype);
    for (size_t i = 0; i < shard->elements; i++) {
        uint64_t value = 0, largest;
        memcpy(&value, values + i * size, size);
        memcpy(&largest, &acc[i], sizeof largest);
        value ^= mask;
        if (value > largest)
            memcpy(&acc[i], &value, sizeof value);
    }
}

static void finish_largest(const struct shard *shard, const double *acc, uint8_t *next)
{
    uint64_t mask = order_mask(shard->dtype);
    size_t size = dtype_bytes(shard->dtype);
    for (size_t i = 0; i < shard->elements; i++) {
        uint64_t largest;
        memcpy(&largest, &acc[i], sizeof largest);
        largest ^= mask;
        memcpy(next + i * size, &largest, size);
    }
}

void fedavg_add(const struct shard *shard, double *acc, const void *delta, uint32_t weight)
{
    if (shard->use == USE_LARGEST)
        add_largest(shard, acc, delta);
    else if (shard->dtype == DTYPE_F64)
        accumulate_add_f64(acc, delta, shard->elements, weight);
    else
        accumulate_add_f32(acc, delta, shard->elements, weight);
}

/* Without an optimiser: what accumulate.h says, by its fast paths. */
static bool add_mean(const struct shard *shard, const void *base, const double *acc, uint64_t total,
                     void *next)
{
    size_t n = shard->elements;
    switch (shard->dtype) {
    case DTYPE_F64:
        return accumulate_finish_f64(base, acc, n, total, next);
    case DTYPE_F32:
        return accumulate_finish_f32(base, acc, n, total, next);
    case DTYPE_F16:
    case DTYPE_BF16:
        return accumulate_finish_half(shard->dtype, base, acc, n, total, next);
    default:
        assert(!"a layout has mean tensors of floats only");
        return false;
    }
}

bool fedavg_finish(const struct shard *shard, const void *base, const double *acc, uint64_t total,
                   const struct rule_state *state, void *next)
{
    if (shard->use == USE_LARGEST) {
        finish_largest(shard, acc, next);
        return true;
    }
    if (state == NULL)
        return add_mean(shard, base, acc, total, next);
    struct optimiser_run run = {.dtype = shard->dtype,
                                .n = shard->elements,
                                .base = base,
                                .acc = acc,
                                .total = total,
                                .m = state->m,
                                .v = state->v};
    return optimiser_apply(state->step, &run, next);
}
