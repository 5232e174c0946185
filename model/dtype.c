/* SPDX-License-Identifier: Apache-2.0 */
#include "model/dtype.h"

#include <assert.h>
#include <math.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used where they lie");

static const struct {
    const char *name;
    uint8_t bytes;
    bool is_float;
} table[DTYPE_COUNT] = {[DTYPE_F64] = {"F64", 8, true},   [DTYPE_F32] = {"F32", 4, true},
                        [DTYPE_F16] = {"F16", 2, true},   [DTYPE_BF16] = {"BF16", 2, true},
                        [DTYPE_I64] = {"I64", 8, false},  [DTYPE_I32] = {"I32", 4, false},
                        [DTYPE_I16] = {"I16", 2, false},  [DTYPE_I8] = {"I8", 1, false},
                        [DTYPE_U64] = {"U64", 8, false},  [DTYPE_U32] = {"U32", 4, false},
                        [DTYPE_U16] = {"U16", 2, false},  [DTYPE_U8] = {"U8", 1, false},
                        [DTYPE_BOOL] = {"BOOL", 1, false}};

const char *dtype_name(enum dtype d)
{
    return table[d].name;
}

size_t dtype_bytes(enum dtype d)
{
    return table[d].bytes;
}

bool dtype_is_float(enum dtype d)
{
    return table[d].is_float;
}

bool dtype_parse(struct bytes name, enum dtype *out)
{
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (bytes_equal(name, bytes_of_text(table[d].name))) {
            *out = (enum dtype)d;
            return true;
        }
    return false;
}

/* A 16-bit float as IEEE 754 lays it out: a sign, exponent and fraction bits. */
struct half {
    int fraction_bits;
    int bias;
    double least; /* the smallest subnormal */
};

static const struct half f16 = {10, 15, 0x1p-24};
static const struct half bf16 = {7, 127, 0x1p-133};

static double widen(const struct half *h, uint16_t bits)
{
    uint16_t magnitude = bits & 0x7fff;
    uint64_t fraction = magnitude & ((1u << h->fraction_bits) - 1);
    int exponent = magnitude >> h->fraction_bits;
    double value;
    if (exponent == 0) {
        value = (double)fraction * h->least;
    } else if (exponent == 2 * h->bias + 1) {
        value = fraction == 0 ? INFINITY : NAN;
    } else {
        uint64_t wide = (uint64_t)(exponent - h->bias + 1023) << 52;
        wide |= fraction << (52 - h->fraction_bits);
        memcpy(&value, &wide, sizeof value);
    }
    return bits >> 15 ? -value : value;
}

static uint16_t narrow(const struct half *h, double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    uint16_t infinity = (uint16_t)((2 * h->bias + 1) << h->fraction_bits);
    uint16_t least_normal = (uint16_t)(1 << h->fraction_bits);
    value = fabs(value);
    if (isnan(value))
        return sign | infinity | (uint16_t)(least_normal >> 1);
    if (value < h->least * least_normal) /* the quotient is exact; rounding may reach the normals */
        return sign | (uint16_t)nearbyint(value / h->least);
    uint64_t wide;
    memcpy(&wide, &value, sizeof wide);
    int dropped = 52 - h->fraction_bits;
    wide += ((uint64_t)1 << (dropped - 1)) - 1 + (wide >> dropped & 1);
    wide = (wide >> dropped) - ((uint64_t)(1023 - h->bias) << h->fraction_bits);
    return sign | (wide < infinity ? (uint16_t)wide : infinity);
}

double dtype_get(enum dtype d, const void *at)
{
    double wide;
    float single;
    uint16_t bits;
    switch (d) {
    case DTYPE_F64:
        memcpy(&wide, at, sizeof wide);
        return wide;
    case DTYPE_F32:
        memcpy(&single, at, sizeof single);
        return (double)single;
    default:
        assert(d == DTYPE_F16 || d == DTYPE_BF16);
        memcpy(&bits, at, sizeof bits);
        return widen(d == DTYPE_F16 ? &f16 : &bf16, bits);
    }
}

void dtype_put(enum dtype d, void *at, double value)
{
    float single = (float)value;
    uint16_t bits;
    switch (d) {
    case DTYPE_F64:
        memcpy(at, &value, sizeof value);
        return;
    case DTYPE_F32:
        memcpy(at, &single, sizeof single);
        return;
    default:
        assert(d == DTYPE_F16 || d == DTYPE_BF16);
        bits = narrow(d == DTYPE_F16 ? &f16 : &bf16, value);
        memcpy(at, &bits, sizeof bits);
    }
}
