/* SPDX-License-Identifier: Apache-2.0 */
#include "base/varint.h"

size_t varint_take(struct bytes in, size_t bytes_max, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < in.size && i < bytes_max; i++) {
        if (i == VARINT_PROTO_BYTES_MAX - 1 && in.data[i] > 1)
            return 0; /* more than 64 bits */
        value |= (uint64_t)(in.data[i] & 0x7f) << (7 * i);
        if (in.data[i] < 0x80) {
            if (i > 0 && in.data[i] == 0)
                return 0; /* a shorter form says the same */
            *out = value;
            return i + 1;
        }
    }
    return 0;
}

size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

size_t varint_write(uint8_t *at, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        at[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[size++] = (uint8_t)value;
    return size;
}

void varint_put(struct buf *b, uint64_t value)
{
    uint8_t bytes[VARINT_PROTO_BYTES_MAX];
    buf_append(b, bytes, varint_write(bytes, value));
}
