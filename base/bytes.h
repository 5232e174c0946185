/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes -- a borrowed run of bytes, and integers inside one.
 *
 * `struct bytes` never owns: it is valid as long as what it points into is, and as an argument for
 * the call only.
 */
#ifndef COLMEIA_BASE_BYTES_H
#define COLMEIA_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* may be NULL if size is 0 */
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

/* Equal length and content; not constant-time (for secrets: key_equal). */
bool bytes_equal(struct bytes a, struct bytes b);

/* Little-endian integers at any alignment, as our file formats and safetensors use them. */
void bytes_put_u32(uint8_t *at, uint32_t value);
void bytes_put_u64(uint8_t *at, uint64_t value);
uint32_t bytes_get_u32(const uint8_t *at);
uint64_t bytes_get_u64(const uint8_t *at);

/* Lower-case hex; `out` holds 2 * size + 1 characters. */
void bytes_format_hex(struct bytes in, char *out);

#endif
