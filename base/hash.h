/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash -- SHA-256, HMAC-SHA-256, and the other hashes that a CID may name. The door to
 * <openssl/evp.h>.
 *
 * SHA-256 is libcrypto's. Where many blocks are hashed, hash_sha256_many does two in lock-step on
 * the CPU's SHA instructions (hash_pair.c): the chain of dependent rounds of one leaves that unit
 * idle half the time. Without those instructions it is libcrypto, block by block.
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

/* The digests of `count` inputs, each as by hash_sha256; fastest where neighbours have one size. */
void hash_sha256_many(const struct bytes *inputs, size_t count, uint8_t (*out)[HASH_BYTES]);

#define HASH_MULTI_MAX 64 /* the longest digest below */

/* The digest of `in` by a multihash code: sha2-256 0x12, sha2-512 0x13, sha3-512 to -224 0x14 to
 * 0x17, dbl-sha2-256 0x56, blake2b-256 0xb220, blake2b-512 0xb240, blake2s-256 0xb260. Returns its
 * length, 0 for any other code (and `out` untouched). */
size_t hash_multi(uint64_t code, struct bytes in, uint8_t out[HASH_MULTI_MAX]);

/* SHA-256 in pieces; hash_finish may be called once, hash_free always. */
int hash_new(struct hash **out, struct err *err) MUST_USE;
void hash_add(struct hash *h, struct bytes in);
void hash_finish(struct hash *h, uint8_t out[HASH_BYTES]);
void hash_free(struct hash *h);

/* RFC 2104 with SHA-256. */
void hash_hmac(struct bytes key, struct bytes in, uint8_t out[HASH_BYTES]);

#endif
