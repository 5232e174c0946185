/* SPDX-License-Identifier: Apache-2.0 */
#include "base/multibase.h"

static const char base2[] = "01";
static const char base8[] = "01234567";
static const char base10[] = "0123456789";
static const char base16_lower[] = "0123456789abcdef";
static const char base16_upper[] = "0123456789ABCDEF";
static const char base32_lower[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base32_upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base32hex_lower[] = "0123456789abcdefghijklmnopqrstuv";
static const char base32hex_upper[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV";
static const char base32_z[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
static const char base36_lower[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char base36_upper[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char base58_btc[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char base58_flickr[] = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
static const char base64_plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct coding {
    char prefix;
    const char *name, *alphabet;
    unsigned bits;  /* a character holds; 0: a number in base strlen(alphabet) */
    unsigned group; /* with '=' at the end up to a multiple of so many characters; 0: without */
};

static const struct coding codings[] = {
    {'b', "base32", base32_lower, 5, 0},
    {'B', "base32upper", base32_upper, 5, 0},
    {'u', "base64url", base64_url, 6, 0},
    {'z', "base58btc", base58_btc, 0, 0},
    {'k', "base36", base36_lower, 0, 0},
    {'K', "base36upper", base36_upper, 0, 0},
    {'f', "base16", base16_lower, 4, 0},
    {'F', "base16upper", base16_upper, 4, 0},
    {'m', "base64", base64_plain, 6, 0},
    {'M', "base64pad", base64_plain, 6, 4},
    {'U', "base64urlpad", base64_url, 6, 4},
    {'c', "base32pad", base32_lower, 5, 8},
    {'C', "base32padupper", base32_upper, 5, 8},
    {'v', "base32hex", base32hex_lower, 5, 0},
    {'V', "base32hexupper", base32hex_upper, 5, 0},
    {'t', "base32hexpad", base32hex_lower, 5, 8},
    {'T', "base32hexpadupper", base32hex_upper, 5, 8},
    {'h', "base32z", base32_z, 5, 0},
    {'Z', "base58flickr", base58_flickr, 0, 0},
    {'0', "base2", base2, 1, 0},
    {'7', "base8", base8, 3, 0},
    {'9', "base10", base10, 0, 0},
};
#define CODINGS (sizeof codings / sizeof codings[0])

static const struct coding *find(char prefix)
{
    for (size_t i = 0; i < CODINGS; i++)
        if (codings[i].prefix == prefix)
            return &codings[i];
    return NULL;
}

char multibase_named(const char *name)
{
    for (size_t i = 0; i < CODINGS; i++)
        if (strcmp(codings[i].name, name) == 0)
            return codings[i].prefix;
    return '\0';
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

/* --- codings whose characters are bits --- */

/* How many '=' stand behind `size` characters. */
static size_t padding_of(const struct coding *c, size_t size)
{
    return c->group == 0 ? 0 : (c->group - size % c->group) % c->group;
}

static void encode_bits(const struct coding *c, struct bytes in, struct buf *out)
{
    if (in.size > SIZE_MAX / 16) {
        out->failed = ERR_LIMIT;
        return;
    }
    size_t size = (in.size * 8 + c->bits - 1) / c->bits, padding = padding_of(c, size);
    uint8_t *at = buf_extend(out, size + padding);
    if (at == NULL)
        return;
    const uint32_t mask = (1u << c->bits) - 1;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < in.size; i++) {
        held = (held & mask) << 8 | in.data[i]; /* fewer than c->bits bits of it still count */
        for (bits += 8; bits >= c->bits; bits -= c->bits)
            *at++ = (uint8_t)c->alphabet[held >> (bits - c->bits) & mask];
    }
    if (bits > 0)
        *at++ = (uint8_t)c->alphabet[held << (c->bits - bits) & mask];
    memset(at, '=', padding);
}

static int decode_bits(const struct coding *c, const char *text, size_t size, size_t from,
                       struct buf *out, struct err *err)
{
    size_t end = size;
    while (c->group > 0 && end > 0 && text[end - 1] == '=')
        end--;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < end; i++) {
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
        return err_set(err, ERR_MALFORMED, "multibase: bits left over at offset %zu",
                       from + end - 1);
    if (size - end != padding_of(c, end))
        return err_set(err, ERR_MALFORMED,
                       "multibase: padding of %zu characters, not %zu, at "
                       "offset %zu",
                       size - end, padding_of(c, end), from + end);
    return 0;
}

/* --- codings that are numbers --- */

/* Most significant digit first; leading zero bytes are leading zero digits. */
static void encode_number(const char *alphabet, struct bytes in, struct buf *out)
{
    uint8_t digits[MULTIBASE_NUMBER_MAX]; /* least significant first */
    uint32_t radix = (uint32_t)strlen(alphabet);
    size_t zeros = 0, used = 0;
    while (zeros < in.size && in.data[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < in.size; i++) {
        uint32_t carry = in.data[i];
        for (size_t k = 0; k < used || carry > 0; k++) {
            if (k == MULTIBASE_NUMBER_MAX) {
                out->failed = ERR_LIMIT;
                return;
            }
            carry += k < used ? (uint32_t)digits[k] << 8 : 0;
            digits[k] = (uint8_t)(carry % radix);
            carry /= radix;
            if (k == used)
                used++;
        }
    }
    if (zeros > MULTIBASE_NUMBER_MAX - used) {
        out->failed = ERR_LIMIT;
        return;
    }
    for (size_t i = 0; i < zeros; i++)
        buf_append_byte(out, (uint8_t)alphabet[0]);
    while (used > 0)
        buf_append_byte(out, (uint8_t)alphabet[digits[--used]]);
}

static int decode_number(const char *alphabet, const char *text, size_t size, size_t from,
                         struct buf *out, struct err *err)
{
    if (size > MULTIBASE_NUMBER_MAX)
        return err_set(err, ERR_LIMIT, "multibase: more than %d characters", MULTIBASE_NUMBER_MAX);
    size_t zeros = 0, used = 0;
    while (zeros < size && text[zeros] == alphabet[0])
        zeros++;
    uint32_t radix = (uint32_t)strlen(alphabet);
    uint8_t bytes[MULTIBASE_NUMBER_MAX];
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
    return 0;
}

/* --- any of them --- */

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

/* All of the text behind offset `from`, or nothing. */
static int decode(const struct coding *c, const char *text, size_t size, size_t from,
                  struct buf *out, struct err *err)
{
    size_t before = out->size;
    int rc = c->bits > 0 ? decode_bits(c, text + from, size - from, from, out, err)
                         : decode_number(c->alphabet, text + from, size - from, from, out, err);
    if (rc == 0)
        rc = buf_check(out, err);
    if (rc != 0)
        out->size = before;
    return rc;
}

int multibase_decode(const char *text, size_t size, struct buf *out, struct err *err)
{
    const struct coding *c = size == 0 ? NULL : find(text[0]);
    if (size == 0)
        return err_set(err, ERR_MALFORMED, "multibase: empty");
    if (c == NULL)
        return bad_character(text[0], 0, err);
    return decode(c, text, size, 1, out, err);
}

int multibase_decode_base58(const char *text, size_t size, struct buf *out, struct err *err)
{
    return decode(find('z'), text, size, 0, out, err);
}

void multibase_encode_base58(struct bytes in, struct buf *out)
{
    encode_number(base58_btc, in, out);
}
