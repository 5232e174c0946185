/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random -- two kinds that must not be confused: bytes nobody can guess (from the system, by
 * libsodium), and a stream that is the same for the same seed on every machine (for splits, initial
 * weights and selection; ChaCha20, RFC 8439).
 */
#ifndef COLMEIA_BASE_RANDOM_H
#define COLMEIA_BASE_RANDOM_H

#include "base/bytes.h"
#include "base/hash.h"

/* Fills `out` with unpredictable bytes; ends the process if the system has none. */
void random_bytes(void *out, size_t size);

struct random_stream {
    uint8_t key[HASH_BYTES];
    uint64_t block;   /* next ChaCha20 block */
    uint8_t left[64]; /* the present block's bytes */
    size_t used;      /* of them handed out */
};

/* A stream determined by 32 bytes of seed alone: ChaCha20 keystream, nonce 0, counter 0. */
void random_stream_init(struct random_stream *s, const uint8_t seed[HASH_BYTES]);
void random_stream_fill(struct random_stream *s, void *out, size_t size);
uint64_t random_stream_u64(struct random_stream *s); /* 8 bytes, little-endian */
uint64_t random_stream_below(struct random_stream *s,
                             uint64_t n);           /* uniform in 0..n-1, by rejection; n > 0 */
double random_stream_unit(struct random_stream *s); /* 53 bits in [0, 1) */

#endif
