/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protobuf -- a sticky reader of protobuf fields, for the few messages of IPFS that are written in
 * it.
 *
 * After the first failure nothing more is taken, and `why` says at `at` what was wrong. Runs are
 * borrowed and never longer than what is left; varints are in their shortest form. Source: protobuf
 * encoding.
 */
#ifndef COLMEIA_CONTENT_PROTOBUF_H
#define COLMEIA_CONTENT_PROTOBUF_H

#include "base/bytes.h"

/* A key: field number << 3 | wire type. */
#define PROTOBUF_VARINT  0
#define PROTOBUF_FIXED64 1
#define PROTOBUF_RUN     2
#define PROTOBUF_FIXED32 5

struct protobuf {
    struct bytes in; /* from the start of the block, so that `at` is an offset in it */
    size_t at;
    const char *why; /* NULL while all is well */
};

static inline struct protobuf protobuf_of(struct bytes in)
{
    return (struct protobuf){.in = in};
}

/* A reader of the message `run`, which lies in `in`. */
struct protobuf protobuf_within(struct bytes in, struct bytes run);

/* The next field's key; 0 at the end and after a failure (no field has number 0). */
uint64_t protobuf_key(struct protobuf *r);
uint64_t protobuf_varint(struct protobuf *r);
uint32_t protobuf_fixed32(struct protobuf *r);
struct bytes protobuf_run(struct protobuf *r);
/* Passes over the value of the field `key`. */
void protobuf_skip(struct protobuf *r, uint64_t key);
/* Records `why` unless something failed before. */
void protobuf_fail(struct protobuf *r, const char *why);

#endif
