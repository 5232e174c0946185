/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtype -- the element types of tensors, by their safetensors names.
 *
 * Tensors are little-endian and are used where they lie, so the host must be little-endian too
 * (dtype.c does not compile elsewhere).
 */
#ifndef COLMEIA_MODEL_DTYPE_H
#define COLMEIA_MODEL_DTYPE_H

#include "base/bytes.h"

enum dtype {
    DTYPE_F64,
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U64,
    DTYPE_U32,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_COUNT
};

const char *dtype_name(enum dtype d); /* "F32" */
size_t dtype_bytes(enum dtype d);     /* 4 */
bool dtype_is_float(enum dtype d);
/* By name; false for one that we do not know (F8_E4M3 and other small floats among them). */
bool dtype_parse(struct bytes name, enum dtype *out);

/* One float (F64, F32, F16, BF16) at any alignment: widened, which is exact; and rounded once, to
 * nearest, ties to even, too large to infinity. */
double dtype_get(enum dtype d, const void *at);
void dtype_put(enum dtype d, void *at, double value);

#endif
