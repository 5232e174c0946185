/* SPDX-License-Identifier: Apache-2.0 */
#include "model/delta.h"

#include <math.h>

/* The dtype a `mean` shard's deltas are stored in. */
static enum dtype stored_dtype(const struct shard *shard)
{
    return shard->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* All n finite? An f32 is not if its bits without the sign are INFINITY's or above. */
static bool all_finite_f32(const uint8_t *at, size_t n)
{
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude;
        memcpy(&magnitude, at + 4 * i, sizeof magnitude);
        magnitude &= 0x7fffffff;
        worst = magnitude > worst ? magnitude : worst;
    }
    return worst < 0x7f800000;
}

static int check_floats(enum dtype stored, const uint8_t *at, size_t n, struct err *err)
{
    if (stored == DTYPE_F32 && all_finite_f32(at, n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        double value = dtype_get(stored, at + i * dtype_bytes(stored));
        if (!isfinite(value))
            return err_set(err, ERR_MALFORMED, "element %zu is %s", i,
                           isnan(value) ? "NaN" : "infinite");
    }
    return 0;
}

static void subtract_f32(const uint8_t *base, const uint8_t *new_model, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float from, to;
        memcpy(&from, base + 4 * i, sizeof from);
        memcpy(&to, new_model + 4 * i, sizeof to);
        float delta = (float)((double)to - (double)from);
        memcpy(out + 4 * i, &delta, sizeof delta);
    }
}

static void subtract(const struct shard *shard, const uint8_t *base, const uint8_t *new_model,
                     uint8_t *out)
{
    enum dtype stored = stored_dtype(shard);
    size_t size = dtype_bytes(shard->dtype), step = dtype_bytes(stored);
    for (size_t i = 0; i < shard->elements; i++) {
        double from = dtype_get(shard->dtype, base + i * size);
        double to = dtype_get(shard->dtype, new_model + i * size);
        dtype_put(stored, out + i * step, to - from);
    }
}

int delta_encode(const struct shard *shard, const void *base, const void *new_model, void *out,
                 struct err *err)
{
    if (shard->use == USE_LARGEST) {
        memcpy(out, new_model, shard->bytes);
        return 0;
    }
    if (shard->dtype == DTYPE_F32) /* most models; `subtract` gives the same, slowly */
        subtract_f32(base, new_model, out, shard->elements);
    else
        subtract(shard, base, new_model, out);
    /* Looked at after rounding, which may overflow by itself. */
    return check_floats(stored_dtype(shard), out, shard->elements, err);
}

int delta_check(const struct shard *shard, struct bytes delta, struct err *err)
{
    if (delta.size != shard->bytes)
        return err_set(err, ERR_MALFORMED, "%zu bytes, expected %u", delta.size, shard->bytes);
    if (shard->use == USE_MEAN)
        return check_floats(stored_dtype(shard), delta.data, shard->elements, err);
    for (size_t i = 0; shard->dtype == DTYPE_BOOL && i < delta.size; i++)
        if (delta.data[i] > 1)
            return err_set(err, ERR_MALFORMED, "element %zu is %d, not a BOOL", i, delta.data[i]);
    return 0;
}

double delta_squares(const struct shard *shard, const void *delta)
{
    const uint8_t *at = delta;
    double sum = 0;
    if (stored_dtype(shard) == DTYPE_F64) {
        for (size_t i = 0; i < shard->elements; i++) {
            double value;
            memcpy(&value, at + 8 * i, sizeof value);
            sum += value * value;
        }
        return sum;
    }
    for (size_t i = 0; i < shard->elements; i++) {
        float value;
        memcpy(&value, at + 4 * i, sizeof value);
        sum += (double)value * (double)value; /* the product is exact */
    }
    return sum;
}

bool delta_is_null(struct bytes delta)
{
    /* The first byte is zero and each equals the one before it. */
    return delta.size == 0 ||
           (delta.data[0] == 0 && memcmp(delta.data, delta.data + 1, delta.size - 1) == 0);
}
