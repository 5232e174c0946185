/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/token.h"

#include "base/hash.h"
#include "base/key.h"
#include "base/multibase.h"

#define CLAIM_BYTES 12
#define TAG_BYTES   24 /* of the HMAC */
#define RAW_BYTES   (CLAIM_BYTES + TAG_BYTES)

static void make_raw(const struct token_maker *m, uint32_t site, uint64_t until_ms,
                     uint8_t raw[RAW_BYTES])
{
    uint8_t tag[HASH_BYTES];
    bytes_put_u32(raw, site);
    bytes_put_u64(raw + 4, until_ms);
    hash_hmac(bytes_of(m->key, sizeof m->key), bytes_of(raw, CLAIM_BYTES), tag);
    memcpy(raw + CLAIM_BYTES, tag, TAG_BYTES);
}

void token_make(const struct token_maker *m, uint32_t site, uint64_t until_ms,
                char out[TOKEN_TEXT_MAX])
{
    uint8_t raw[RAW_BYTES];
    make_raw(m, site, until_ms, raw);
    struct buf text = buf_new(TOKEN_TEXT_MAX - 1);
    multibase_encode('u', bytes_of(raw, sizeof raw), &text);
    memcpy(out, buf_text(&text), text.size + 1);
    buf_fini(&text);
}

int token_check(const struct token_maker *m, struct bytes text, uint64_t now_ms, uint32_t *site,
                struct err *err)
{
    struct buf raw = buf_new(TOKEN_TEXT_MAX);
    uint8_t expected[RAW_BYTES];
    int rc = 0;
    if (text.size >= TOKEN_TEXT_MAX || text.size == 0 || text.data[0] != 'u' ||
        multibase_decode((const char *)text.data, text.size, &raw, NULL) != 0 ||
        raw.size != RAW_BYTES) {
        rc = err_set(err, ERR_DENIED, "not a token");
        goto out;
    }
    uint32_t named = bytes_get_u32(raw.data);
    uint64_t until_ms = bytes_get_u64(raw.data + 4);
    make_raw(m, named, until_ms, expected);
    if (!key_secret_equal(expected, raw.data, RAW_BYTES))
        rc = err_set(err, ERR_DENIED, "not a token of this coordinator");
    else if (now_ms >= until_ms)
        rc = err_set(err, ERR_DENIED, "the token is over");
    else
        *site = named;
out:
    buf_fini(&raw);
    return rc;
}
