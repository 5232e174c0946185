/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multibase -- text codings of binary, each named by its first character.
 *
 * Source: the multibase table. Colmeia writes base32 lower case without padding ('b') and base64url
 * without padding ('u'); asked to, it writes and reads all of these:
 *
 *     base2 '0'      base8 '7'      base10 '9'     base16 'f' 'F'     base32z 'h'
 *     base32 'b' 'B', padded 'c' 'C'               base32hex 'v' 'V', padded 't' 'T'
 *     base36 'k' 'K'                base58btc 'z'  base58flickr 'Z'
 *     base64 'm', padded 'M'        base64url 'u', padded 'U'
 *
 * A string that is not the one encoding of its bytes is refused: bits left over that are not zero,
 * padding that is missing or too much, letters of the other case.
 */
#ifndef COLMEIA_BASE_MULTIBASE_H
#define COLMEIA_BASE_MULTIBASE_H

#include "base/buf.h"

#define MULTIBASE_NUMBER_MAX 4096 /* characters in base10, 36 and 58, whose cost is quadratic */

/* Appends prefix and coding to `out`. `base` is one of the characters above; for another `out` has
 * failed with ERR_UNSUPPORTED. */
void multibase_encode(char base, struct bytes in, struct buf *out);

/* Appends the bytes of `text` (prefix first, `size` characters); nothing on failure. ERR_MALFORMED
 * with the offset of the bad character. */
int multibase_decode(const char *text, size_t size, struct buf *out, struct err *err) MUST_USE;

/* The character of a coding by its name in the table ("base32", "base58btc"), '\0' for none. */
char multibase_named(const char *name);

/* The same without a prefix, for bitcoin's base58 in CIDv0 ("Qm..."). */
int multibase_decode_base58(const char *text, size_t size, struct buf *out,
                            struct err *err) MUST_USE;
void multibase_encode_base58(struct bytes in, struct buf *out);

#endif
