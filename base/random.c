/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <sodium.h>

void random_bytes(void *out, size_t size)
{
    randombytes_buf(out, size);
}

void random_stream_init(struct random_stream *s, const uint8_t seed[HASH_BYTES])
{
    *s = (struct random_stream){.used = sizeof s->left};
    memcpy(s->key, seed, HASH_BYTES);
}

static void refill(struct random_stream *s)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    memset(s->left, 0, sizeof s->left);
    crypto_stream_chacha20_xor_ic(s->left, s->left, sizeof s->left, nonce, s->block++, s->key);
    s->used = 0;
}

void random_stream_fill(struct random_stream *s, void *out, size_t size)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    uint8_t *at = out;
    while (size > 0) {
        if (s->used == sizeof s->left && size >= sizeof s->left) {
            size_t blocks = size / sizeof s->left;
            memset(at, 0, blocks * sizeof s->left);
            crypto_stream_chacha20_xor_ic(at, at, blocks * sizeof s->left, nonce, s->block, s->key);
            s->block += blocks;
            at += blocks * sizeof s->left;
            size -= blocks * sizeof s->left;
            continue;
        }
        if (s->used == sizeof s->left)
            refill(s);
        size_t part = sizeof s->left - s->used;
        if (part > size)
            part = size;
        memcpy(at, s->left + s->used, part);
        s->used += part;
        at += part;
        size -= part;
    }
}

uint64_t random_stream_u64(struct random_stream *s)
{
    uint8_t bytes[8];
    random_stream_fill(s, bytes, sizeof bytes);
    return bytes_get_u64(bytes);
}

uint64_t random_stream_below(struct random_stream *s, uint64_t n)
{
    uint64_t least = (0 - n) % n; /* 2^64 mod n: below it the remainders are not even */
    for (;;) {
        uint64_t x = random_stream_u64(s);
        if (x >= least)
            return x % n;
    }
}

double random_stream_unit(struct random_stream *s)
{
    return (double)(random_stream_u64(s) >> 11) * 0x1p-53;
}
