/* SPDX-License-Identifier: Apache-2.0 */
/* varint: what is taken is written the same again, and what is written is taken. */
#include <assert.h>

#include "base/varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct bytes in, size_t bytes_max)
{
    uint8_t again[VARINT_PROTO_BYTES_MAX];
    uint64_t value = 77;
    size_t n = varint_take(in, bytes_max, &value);
    if (n == 0) {
        assert(value == 77);
        return;
    }
    assert(n <= bytes_max && n <= in.size && n == varint_size(value));
    assert(varint_write(again, value) == n && memcmp(again, in.data, n) == 0);
    for (size_t cut = 0; cut < n; cut++)
        assert(varint_take(bytes_of(in.data, cut), bytes_max, &value) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    for (size_t bytes_max = 0; bytes_max <= VARINT_PROTO_BYTES_MAX + 1; bytes_max++)
        take(in, bytes_max);
    uint64_t nine = 0, ten = 0;
    size_t short_size = varint_take(in, VARINT_BYTES_MAX, &nine);
    size_t long_size = varint_take(in, VARINT_PROTO_BYTES_MAX, &ten);
    assert(short_size == 0 || (short_size == long_size && nine == ten));
    assert(short_size != 0 || long_size == 0 || ten > INT64_MAX);
    if (size >= 8) {
        uint64_t value = bytes_get_u64(data), back = ~value;
        struct buf b = buf_new(VARINT_PROTO_BYTES_MAX);
        varint_put(&b, value);
        assert(b.size == varint_size(value));
        assert(varint_take(buf_bytes(&b), VARINT_PROTO_BYTES_MAX, &back) == b.size);
        assert(back == value);
        buf_fini(&b);
    }
    return 0;
}
