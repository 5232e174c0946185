/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key -- secret keys: Ed25519 for signatures, X25519 for CURVE. The door to <sodium.h> for keys.
 *
 * A secret lives in sodium_malloc memory, is wiped when freed and is never formatted; its file is
 * 0600, created exclusively, and refused if others may read it. Public halves are plain 32-byte
 * values. A signature is verified right after it is made, against faults.
 */
#ifndef COLMEIA_BASE_KEY_H
#define COLMEIA_BASE_KEY_H

#include "base/buf.h"

#define KEY_BYTES            32
#define KEY_SIGNATURE_BYTES  64
#define KEY_MULTICODEC_BYTES 34 /* 0xed 0x01 and the key: how records name their author */
#define KEY_Z85_MAX          41 /* 40 characters and NUL: how ZeroMQ writes CURVE keys */

enum key_kind {
    KEY_ED25519,
    KEY_X25519
};

struct key; /* a secret key of either kind */

struct key_public {
    uint8_t bytes[KEY_BYTES];
};

/* libsodium's start; every program calls it first. */
int key_setup(struct err *err) MUST_USE;

int key_new(enum key_kind kind, struct key **out, struct err *err) MUST_USE;
/* From 32 secret bytes; only tests call it. */
int key_from_seed(enum key_kind kind, const uint8_t seed[KEY_BYTES], struct key **out,
                  struct err *err) MUST_USE;
void key_free(struct key *k); /* wipes; NULL is fine */

/* The file holds one line: "colmeia-key-1 ed25519 HEX". save: ERR_EXISTS if it is there. load:
 * ERR_DENIED with the chmod to run if group or others have access or it is a symbolic link. Real
 * files, not the table: keys are made once, by init. */
int key_save(const struct key *k, const char *path, struct err *err) MUST_USE;
int key_load(enum key_kind kind, const char *path, struct key **out, struct err *err) MUST_USE;

struct key_public key_public(const struct key *k);
bool key_equal(const struct key_public *a, const struct key_public *b); /* constant time */

int key_sign(const struct key *k, struct bytes message, uint8_t signature[KEY_SIGNATURE_BYTES],
             struct err *err) MUST_USE;
/* ERR_DENIED `signature does not verify`. */
int key_verify(const struct key_public *by, struct bytes message,
               const uint8_t signature[KEY_SIGNATURE_BYTES], struct err *err) MUST_USE;

/* Multicodec form, and back (ERR_MALFORMED, ERR_UNSUPPORTED for other key types). */
void key_encode(const struct key_public *k, uint8_t out[KEY_MULTICODEC_BYTES]);
int key_decode(struct bytes in, struct key_public *out, struct err *err) MUST_USE;

/* CURVE's text form of a public key, and (for the bus alone) of the secret; the caller wipes the
 * latter with key_wipe. */
void key_format_z85(const struct key_public *k, char out[KEY_Z85_MAX]);
void key_secret_bytes(const struct key *k, uint8_t out[KEY_BYTES]);
void key_wipe(void *secret, size_t size);

/* Constant-time compare of any two secrets of equal size. */
bool key_secret_equal(const void *a, const void *b, size_t size);

#endif
