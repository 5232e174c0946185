/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert -- the coordinator's self-signed certificate (ECDSA P-256) and its pin. The door to
 * <openssl/x509.h>.
 *
 * No authority is involved: the SPKI's SHA-256 is in the invitation and workers accept that key
 * only.
 */
#ifndef COLMEIA_BASE_CERT_H
#define COLMEIA_BASE_CERT_H

#include "base/buf.h"
#include "base/hash.h"

#define CERT_PEM_MAX 8192

/* Makes a key and a certificate for `host` (name or address, as subjectAltName), valid from a day
 * ago for 30 years; both as PEM. The key's buffer is the caller's to wipe (key_wipe). */
int cert_new(const char *host, struct buf *certificate_pem, struct buf *key_pem,
             struct err *err) MUST_USE;

/* SHA-256 of the certificate's SubjectPublicKeyInfo (DER), RFC 7469's pin. */
int cert_pin(struct bytes certificate_pem, uint8_t pin[HASH_BYTES], struct err *err) MUST_USE;

/* The form curl wants: "sha256//" and base64. `out` holds 64 characters. */
void cert_format_pin(const uint8_t pin[HASH_BYTES], char out[64]);

#endif
