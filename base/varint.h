/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varint -- unsigned LEB128 integers, as multiformats and protobuf write them.
 *
 * Multiformats allows 9 bytes and only the shortest form; protobuf allows 10 bytes, and dag-pb,
 * being canonical, only the shortest form as well. Source: multiformats unsigned-varint, protobuf
 * encoding.
 */
#ifndef COLMEIA_BASE_VARINT_H
#define COLMEIA_BASE_VARINT_H

#include "base/buf.h"

#define VARINT_BYTES_MAX       9  /* multiformats: values below 2^63 */
#define VARINT_PROTO_BYTES_MAX 10 /* protobuf: all of 64 bits */

/* Takes the varint that `in` begins with, at most `bytes_max` long, into `out`; returns its length,
 * 0 (and `out` untouched) if it is cut short, too long or not the shortest form. */
size_t varint_take(struct bytes in, size_t bytes_max, uint64_t *out);
/* Appends the shortest form. */
void varint_put(struct buf *b, uint64_t value);
/* How long that is: 1..10. */
size_t varint_size(uint64_t value);
/* Writes it to `at`, which has room for VARINT_PROTO_BYTES_MAX; returns its length. */
size_t varint_write(uint8_t *at, uint64_t value);

#endif
