/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash -- SHA-256 (libcrypto, which uses the CPU's SHA instructions) and HMAC-SHA-256. The door to
 * <openssl/evp.h>.
 *
 * Every function may be called from any thread.
 */
#ifndef COLMEIA_BASE_HASH_H
#define COLMEIA_BASE_HASH_H

#include "base/bytes.h"
#include "base/err.h"

#define HASH_BYTES 32

struct hash; /* a digest being made */

/* The digest of `in`. Cannot fail: libcrypto's one-shot on memory only fails without memory, which
 * ends the process. */
void hash_sha256(struct bytes in, uint8_t out[HASH_BYTES]);

/* The same in pieces; hash_finish may be called once, hash_free always. */
int hash_new(struct hash **out, struct err *err) MUST_USE;
void hash_add(struct hash *h, struct bytes in);
void hash_finish(struct hash *h, uint8_t out[HASH_BYTES]);
void hash_free(struct hash *h);

/* RFC 2104 with SHA-256. */
void hash_hmac(struct bytes key, struct bytes in, uint8_t out[HASH_BYTES]);

#endif
