/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token -- bearer tokens for HTTP, handed out over CURVE: which site, until when.
 *
 * 4 bytes site (roster index), 8 bytes expiry (study time, ms), HMAC-SHA-256 under a key that lives
 * as long as the coordinator's process; base64url. Nothing is stored: a restart makes all tokens
 * void and workers say hello again. Compared in constant time.
 */
#ifndef COLMEIA_TRANSPORT_TOKEN_H
#define COLMEIA_TRANSPORT_TOKEN_H

#include "base/bytes.h"
#include "base/err.h"

#define TOKEN_KEY_BYTES 32
#define TOKEN_TEXT_MAX  64

struct token_maker {
    uint8_t key[TOKEN_KEY_BYTES]; /* random */
};

void token_make(const struct token_maker *m, uint32_t site, uint64_t until_ms,
                char out[TOKEN_TEXT_MAX]);
/* ERR_DENIED: not ours, or expired at `now_ms`. */
int token_check(const struct token_maker *m, struct bytes text, uint64_t now_ms, uint32_t *site,
                struct err *err) MUST_USE;

#endif
