/* SPDX-License-Identifier: Apache-2.0 */
#include "model/jsontext.h"

struct jsontext jsontext_reader(struct bytes in, char *text)
{
    return (struct jsontext){.in = in, .text = text};
}

void jsontext_fail(struct jsontext *r, int code, const char *why)
{
    if (r->failed)
        return;
    r->failed = code;
    r->bad_at = r->at;
    r->why = why;
}

/* The next byte without taking it; 0, which is in no JSON, at the end or once failed. */
static char peek(const struct jsontext *r)
{
    return r->failed || r->at >= r->in.size ? '\0' : (char)r->in.data[r->at];
}

static void skip_space(struct jsontext *r)
{
    for (char c = peek(r); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(r))
        r->at++;
}

static bool try_token(struct jsontext *r, char c)
{
    skip_space(r);
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

void jsontext_expect(struct jsontext *r, char c)
{
    if (try_token(r, c))
        return;
    const char *why = c == '{'   ? "expected an object"
                      : c == '[' ? "expected an array"
                      : c == '}' ? "expected a comma or the end of the object"
                      : c == ']' ? "expected a comma or the end of the array"
                      : c == ':' ? "expected a colon"
                                 : "expected a string";
    jsontext_fail(r, ERR_MALFORMED, why);
}

bool jsontext_more(struct jsontext *r, char close, size_t index)
{
    if (index == 0)
        return !try_token(r, close) && !r->failed;
    if (try_token(r, ','))
        return true;
    jsontext_expect(r, close);
    return false;
}

static uint32_t take_hex4(struct jsontext *r)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(r);
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            jsontext_fail(r, ERR_MALFORMED, "expected four hexadecimal digits");
            return 0;
        }
        value = value << 4 | digit;
        r->at++;
    }
    return value;
}

static void put_utf8(struct jsontext *r, uint32_t c)
{
    if (c < 0x80) {
        *r->text++ = (char)c;
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3; /* continuation bytes */
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    *r->text++ = (char)(leads[more] | c >> (6 * more));
    while (more-- > 0)
        *r->text++ = (char)(0x80 | (c >> (6 * more) & 0x3f));
}

/* Behind "\u". */
static void take_code_point(struct jsontext *r)
{
    uint32_t c = take_hex4(r);
    if (c >= 0xd800 && c < 0xdc00) {
        bool pair = peek(r) == '\\';
        r->at += pair;
        pair = pair && peek(r) == 'u';
        r->at += pair;
        uint32_t low = pair ? take_hex4(r) : 0;
        c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00)
                                          : 0xd800;
    }
    if (c >= 0xd800 && c < 0xe000)
        jsontext_fail(r, ERR_MALFORMED, "half of a surrogate pair");
    else if (c == 0)
        jsontext_fail(r, ERR_MALFORMED, "U+0000 in a string");
    else
        put_utf8(r, c);
}

/* Behind the backslash. */
static void take_escape(struct jsontext *r)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = peek(r);
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    if (c != 'u' && found == NULL) {
        jsontext_fail(r, ERR_MALFORMED, "an escape that JSON does not know");
        return;
    }
    r->at++;
    if (c == 'u')
        take_code_point(r);
    else
        *r->text++ = values[found - letters];
}

char *jsontext_take_string(struct jsontext *r)
{
    static char none[1];
    jsontext_expect(r, '"');
    char *start = r->text;
    while (!r->failed) {
        char c = peek(r);
        if ((uint8_t)c < 0x20) {
            jsontext_fail(r, ERR_MALFORMED,
                          "a string that is not closed, or a raw control character");
            break;
        }
        r->at++;
        if (c == '"') {
            *r->text++ = '\0';
            return start;
        }
        if (c == '\\')
            take_escape(r);
        else
            *r->text++ = c;
    }
    return none;
}

char *jsontext_take_key(struct jsontext *r)
{
    char *key = jsontext_take_string(r);
    jsontext_expect(r, ':');
    return key;
}

uint64_t jsontext_take_uint(struct jsontext *r)
{
    skip_space(r);
    size_t start = r->at;
    uint64_t value = 0;
    bool fits = true;
    for (char c = peek(r); c >= '0' && c <= '9'; c = peek(r)) {
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(c - '0'), &value);
        r->at++;
    }
    size_t digits = r->at - start;
    if (digits == 0 || (digits > 1 && r->in.data[start] == '0'))
        jsontext_fail(r, ERR_MALFORMED, "expected a whole number without sign or leading zero");
    else if (!fits)
        jsontext_fail(r, ERR_MALFORMED, "a number of 2^64 or more");
    return r->failed ? 0 : value;
}

int jsontext_finish(struct jsontext *r, struct err *err)
{
    while (peek(r) == ' ')
        r->at++;
    if (r->at != r->in.size)
        jsontext_fail(r, ERR_MALFORMED, "bytes behind the end");
    if (r->failed)
        return err_set(err, r->failed, "JSON at offset %zu: %s", r->bad_at, r->why);
    return 0;
}
