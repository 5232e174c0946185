/* SPDX-License-Identifier: Apache-2.0 */
#include "base/multibase.h"

#include <stdlib.h>

#define BIG_INPUT_MAX 4096 /* characters of base58 and base36, whose cost is quadratic */

static const char base32_lower[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base32_upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base16_lower[] = "0123456789abcdef";
static const char base16_upper[] = "0123456789ABCDEF";
static const char base64_plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char base36_lower[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char base36_upper[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char base58_btc[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

struct coding {
    char prefix;
    const char *alphabet;
    unsigned bits; /* a character holds; 0: a number in base strlen(alphabet) */
};

static const struct coding codings[] = {
    {'b', base32_lower, 5}, {'B', base32_upper, 5}, {'u', base64_url, 6},
    {'m', base64_plain, 6}, {'f', base16_lower, 4}, {'F', base16_upper, 4},
    {'k', base36_lower, 0}, {'K', base36_upper, 0}, {'z', base58_btc, 0},
};

static const struct coding *find(char prefix)
{
    for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++)
        if (codings[i].prefix == prefix)
            return &codings[i];
    return NULL;
}

static int value_of(const char *alphabet, char c)
{
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

static int bad_character(char c, size_t offset, struct err *err)
{
    return err_set(err, ERR_MALFORMED, "multibase: bad character 0x%02x at offset %zu",
                   (unsigned char)c, offset);
}

static void encode_bits(const struct coding *c, struct bytes in, struct buf *out)
{
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < in.size; i++) {
        held = held << 8 | in.data[i];
        bits += 8;
        while (bits >= c->bits) {
            bits -= c->bits;
            buf_append_byte(out, (uint8_t)c->alphabet[held >> bits & ((1u << c->bits) - 1)]);
        }
        held &= (1u << bits) - 1;
    }
    if (bits > 0)
        buf_append_byte(out,
                        (uint8_t)c->alphabet[held << (c->bits - bits) & ((1u << c->bits) - 1)]);
}

static int decode_bits(const struct coding *c, const char *text, size_t size, size_t from,
                       struct buf *out, struct err *err)
{
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(c->alphabet, text[i]);
        if (value < 0)
            return bad_character(text[i], from + i, err);
        held = held << c->bits | (uint32_t)value;
        bits += c->bits;
        if (bits >= 8) {
            bits -= 8;
            buf_append_byte(out, (uint8_t)(held >> bits));
            held &= (1u << bits) - 1;
        }
    }
    if (bits >= c->bits || held != 0)
        return err_set(err, ERR_MALFORMED, "multibase: bits left over at the end");
    return buf_check(out, err);
}

/* A number in base `radix`, most significant digit first; leading zero bytes are leading zero
 * digits. */
static void encode_number(const char *alphabet, struct bytes in, struct buf *out)
{
    size_t radix = strlen(alphabet), zeros = 0, used = 0;
    while (zeros < in.size && in.data[zeros] == 0)
        zeros++;
    size_t room = (in.size - zeros) * 2 + 1;
    uint8_t *digits = in.size > BIG_INPUT_MAX ? NULL : calloc(room, 1);
    if (digits == NULL) {
        out->failed = in.size > BIG_INPUT_MAX ? ERR_LIMIT : ERR_NOMEM;
        return;
    }
    for (size_t i = zeros; i < in.size; i++) {
        uint32_t carry = in.data[i];
        for (size_t k = 0; k < used || carry > 0; k++) {
            carry += (uint32_t)digits[k] << 8;
            digits[k] = (uint8_t)(carry % radix);
            carry /= (uint32_t)radix;
            if (k == used)
                used++;
        }
    }
    for (size_t i = 0; i < zeros; i++)
        buf_append_byte(out, (uint8_t)alphabet[0]);
    while (used > 0)
        buf_append_byte(out, (uint8_t)alphabet[digits[--used]]);
    free(digits);
}

static int decode_number(const char *alphabet, const char *text, size_t size, size_t from,
                         struct buf *out, struct err *err)
{
    if (size > BIG_INPUT_MAX)
        return err_set(err, ERR_LIMIT, "multibase: more than %d characters", BIG_INPUT_MAX);
    size_t zeros = 0, used = 0;
    while (zeros < size && text[zeros] == alphabet[0])
        zeros++;
    uint32_t radix = (uint32_t)strlen(alphabet);
    uint8_t bytes[BIG_INPUT_MAX];
    for (size_t i = zeros; i < size; i++) {
        int value = value_of(alphabet, text[i]);
        if (value < 0)
            return bad_character(text[i], from + i, err);
        uint32_t carry = (uint32_t)value;
        for (size_t k = 0; k < used || carry > 0; k++) {
            if (k == used)
                bytes[used++] = 0;
            carry += bytes[k] * radix;
            bytes[k] = (uint8_t)carry;
            carry >>= 8;
        }
    }
    for (size_t i = 0; i < zeros; i++)
        buf_append_byte(out, 0);
    while (used > 0)
        buf_append_byte(out, bytes[--used]);
    return buf_check(out, err);
}

void multibase_encode(char base, struct bytes in, struct buf *out)
{
    const struct coding *c = find(base);
    if (c == NULL) {
        out->failed = ERR_UNSUPPORTED;
        return;
    }
    buf_append_byte(out, (uint8_t)base);
    if (c->bits > 0)
        encode_bits(c, in, out);
    else
        encode_number(c->alphabet, in, out);
}

int multibase_decode(const char *text, size_t size, struct buf *out, struct err *err)
{
    const struct coding *c = size == 0 ? NULL : find(text[0]);
    if (size == 0)
        return err_set(err, ERR_MALFORMED, "multibase: empty");
    if (c == NULL)
        return bad_character(text[0], 0, err);
    if (c->bits > 0)
        return decode_bits(c, text + 1, size - 1, 1, out, err);
    return decode_number(c->alphabet, text + 1, size - 1, 1, out, err);
}

int multibase_decode_base58(const char *text, size_t size, struct buf *out, struct err *err)
{
    return decode_number(base58_btc, text, size, 0, out, err);
}

void multibase_encode_base58(struct bytes in, struct buf *out)
{
    encode_number(base58_btc, in, out);
}
