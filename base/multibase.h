/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multibase -- text codings of binary, each named by its first character.
 *
 * Source: the multibase table. Written: base32 lower case without padding ('b'), base64url without
 * padding ('u'). Read as well: base58btc 'z', base36 'k', base16 'f', base64 'm', base32 upper 'B',
 * base16 upper 'F', base36 upper 'K'. A string that is not the one encoding of its bytes (bits left
 * over, padding) is refused.
 */
#ifndef COLMEIA_BASE_MULTIBASE_H
#define COLMEIA_BASE_MULTIBASE_H

#include "base/buf.h"

/* Appends prefix and coding to `out`. `base` is one of the characters above. */
void multibase_encode(char base, struct bytes in, struct buf *out);

/* Appends the bytes of `text` (prefix first, `size` characters). ERR_MALFORMED with the offset of
 * the bad character. */
int multibase_decode(const char *text, size_t size, struct buf *out, struct err *err) MUST_USE;

/* The same without a prefix, for bitcoin's base58 in CIDv0 ("Qm..."). */
int multibase_decode_base58(const char *text, size_t size, struct buf *out,
                            struct err *err) MUST_USE;
void multibase_encode_base58(struct bytes in, struct buf *out);

#endif
