/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash_pair -- SHA-256 of two inputs at once with the CPU's SHA instructions (SHA-NI), for hash.c.
 *
 * FIPS 180-4's compression function on two independent states, their instructions interleaved: the
 * latency of one hides behind the other. The oracle is libcrypto, in tests.
 */
#ifndef COLMEIA_BASE_HASH_PAIR_H
#define COLMEIA_BASE_HASH_PAIR_H

#include "base/hash.h"

/* Has this CPU the instructions? Looked at once. */
bool hash_pair_available(void);
/* Only where they are available. Inputs of unequal size are hashed together as far as both go. */
void hash_pair(struct bytes a, struct bytes b, uint8_t digest_a[HASH_BYTES],
               uint8_t digest_b[HASH_BYTES]);

#endif
