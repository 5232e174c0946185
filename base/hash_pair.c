/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash_pair.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define BLOCK_BYTES 64
#define SHA_NI      __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE      __attribute__((always_inline)) inline

/* FIPS 180-4, 4.2.2. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* FIPS 180-4, 5.3.3, in the order in which the instructions hold the eight words: F E B A, then
 * H G D C, lowest first. */
static const uint32_t initial[8] = {0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
                                    0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372};

/* One digest being made. */
struct lane {
    __m128i abef, cdgh;
    __m128i w[4]; /* the 16 newest words of the message schedule, a ring */
};

/* What a message is made of: whole blocks where they lie, and one or two that hold its end. */
struct message {
    const uint8_t *data;
    size_t blocks;
    uint8_t end[2 * BLOCK_BYTES];
    size_t end_blocks;
};

SHA_NI static INLINE __m128i load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

SHA_NI static INLINE void begin_block(struct lane *l, const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    l->w[0] = _mm_shuffle_epi8(load(block), big_endian);
    l->w[1] = _mm_shuffle_epi8(load(block + 16), big_endian);
    l->w[2] = _mm_shuffle_epi8(load(block + 32), big_endian);
    l->w[3] = _mm_shuffle_epi8(load(block + 48), big_endian);
}

/* Rounds 4i to 4i + 3, and the schedule's next four words (6.2.2, steps 1 and 3). sha256rnds2 does
 * two rounds and gives the new A B E F; what these were becomes C D G H. */
SHA_NI static INLINE void four_rounds(struct lane *l, const int i)
{
    __m128i *now = &l->w[i % 4], *next = &l->w[(i + 1) % 4], *before = &l->w[(i + 3) % 4];
    __m128i words = _mm_add_epi32(*now, load(constants + 4 * i));
    l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, words);
    if (i >= 3 && i < 15)
        *next = _mm_sha256msg2_epu32(_mm_add_epi32(*next, _mm_alignr_epi8(*now, *before, 4)), *now);
    l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(words, 0x0e));
    if (i >= 1 && i < 13)
        *before = _mm_sha256msg1_epu32(*before, *now);
}

#define SIXTEEN_TIMES(X)                                                                           \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* The two dependent chains stand side by side, four rounds of one behind four of the other: near
 * enough that the CPU runs them together. */
SHA_NI static void compress_two(struct lane *a, struct lane *b, const uint8_t *from_a,
                                const uint8_t *from_b, size_t blocks)
{
    struct lane x = *a, y = *b;
    for (; blocks > 0; blocks--, from_a += BLOCK_BYTES, from_b += BLOCK_BYTES) {
        const __m128i x_abef = x.abef, x_cdgh = x.cdgh, y_abef = y.abef, y_cdgh = y.cdgh;
        begin_block(&x, from_a);
        begin_block(&y, from_b);
#define BOTH(i)                                                                                    \
    four_rounds(&x, i);                                                                            \
    four_rounds(&y, i);
        SIXTEEN_TIMES(BOTH)
#undef BOTH
        x.abef = _mm_add_epi32(x.abef, x_abef);
        x.cdgh = _mm_add_epi32(x.cdgh, x_cdgh);
        y.abef = _mm_add_epi32(y.abef, y_abef);
        y.cdgh = _mm_add_epi32(y.cdgh, y_cdgh);
    }
    *a = x;
    *b = y;
}

SHA_NI static void compress_one(struct lane *a, const uint8_t *from, size_t blocks)
{
    struct lane x = *a;
    for (; blocks > 0; blocks--, from += BLOCK_BYTES) {
        const __m128i abef = x.abef, cdgh = x.cdgh;
        begin_block(&x, from);
#define ONE(i) four_rounds(&x, i);
        SIXTEEN_TIMES(ONE)
#undef ONE
        x.abef = _mm_add_epi32(x.abef, abef);
        x.cdgh = _mm_add_epi32(x.cdgh, cdgh);
    }
    *a = x;
}

/* 5.1.1: a one, zeros, and the length in bits. */
static void begin_message(struct message *m, struct bytes in)
{
    size_t left = in.size % BLOCK_BYTES;
    *m = (struct message){.data = in.data, .blocks = in.size / BLOCK_BYTES, .end_blocks = 1};
    if (left > 0)
        memcpy(m->end, in.data + in.size - left, left);
    m->end[left] = 0x80;
    if (left + 1 + sizeof(uint64_t) > BLOCK_BYTES)
        m->end_blocks = 2;
    uint64_t bits = (uint64_t)in.size * 8;
    for (size_t i = 0; i < sizeof bits; i++)
        m->end[m->end_blocks * BLOCK_BYTES - 1 - i] = (uint8_t)(bits >> 8 * i);
}

SHA_NI static void begin_lane(struct lane *l)
{
    *l = (struct lane){.abef = load(initial), .cdgh = load(initial + 4)};
}

SHA_NI static void finish_lane(const struct lane *l, uint8_t digest[HASH_BYTES])
{
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_unpackhi_epi64(l->cdgh, l->abef),
            efgh = _mm_unpacklo_epi64(l->cdgh, l->abef);
    _mm_storeu_si128((__m128i *)(void *)digest, _mm_shuffle_epi8(abcd, reverse));
    _mm_storeu_si128((__m128i *)(void *)(digest + 16), _mm_shuffle_epi8(efgh, reverse));
}

static bool ask_cpu(void)
{
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_SSSE3) == 0 ||
        (ecx & bit_SSE4_1) == 0)
        return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit_SHA) != 0;
}

bool hash_pair_available(void)
{
    static atomic_int known; /* 0: not asked yet */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        answer = ask_cpu() ? 1 : -1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1;
}

void hash_pair(struct bytes a, struct bytes b, uint8_t digest_a[HASH_BYTES],
               uint8_t digest_b[HASH_BYTES])
{
    struct message m, n;
    struct lane x, y;
    begin_message(&m, a);
    begin_message(&n, b);
    begin_lane(&x);
    begin_lane(&y);
    size_t both = m.blocks < n.blocks ? m.blocks : n.blocks;
    compress_two(&x, &y, m.data, n.data, both);
    if (m.blocks > both)
        compress_one(&x, m.data + both * BLOCK_BYTES, m.blocks - both);
    if (n.blocks > both)
        compress_one(&y, n.data + both * BLOCK_BYTES, n.blocks - both);
    if (m.end_blocks == n.end_blocks) {
        compress_two(&x, &y, m.end, n.end, m.end_blocks);
    } else {
        compress_one(&x, m.end, m.end_blocks);
        compress_one(&y, n.end, n.end_blocks);
    }
    finish_lane(&x, digest_a);
    finish_lane(&y, digest_b);
}

#else

bool hash_pair_available(void)
{
    return false;
}

void hash_pair(struct bytes a, struct bytes b, uint8_t digest_a[HASH_BYTES],
               uint8_t digest_b[HASH_BYTES])
{
    hash_sha256(a, digest_a);
    hash_sha256(b, digest_b);
}

#endif
