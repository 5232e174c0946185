/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagjson_text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Length of the UTF-8 character at `at`, 0 if it is none. */
static size_t character_size(const uint8_t *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    size_t size = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || outside ? 0 : size;
}

/* What a character is written as, if not as itself; Kubo's choice, to the byte. */
static const char *escape(const uint8_t *at, size_t size, char room[8])
{
    switch (at[0]) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    if (at[0] < ' ') {
        snprintf(room, 8, "\\u%04x", at[0]);
        return room;
    }
    if (size == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9))
        return at[2] == 0xa8 ? "\\u2028" : "\\u2029";
    return NULL;
}

void dagjson_text_string(struct buf *out, struct bytes text)
{
    size_t from = 0;
    char room[8];
    buf_append_byte(out, '"');
    for (size_t at = 0; at < text.size;) {
        size_t size = character_size(text.data + at, text.size - at);
        const char *instead = size == 0 ? "\xef\xbf\xbd" : escape(text.data + at, size, room);
        if (instead != NULL) {
            buf_append(out, text.data + from, at - from);
            buf_append_text(out, instead);
            from = at + (size == 0 ? 1 : size);
        }
        at += size == 0 ? 1 : size;
    }
    if (text.size > from)
        buf_append(out, text.data + from, text.size - from);
    buf_append_byte(out, '"');
}

static void put_base64(struct buf *out, struct bytes in)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < in.size; at += 3) {
        size_t n = in.size - at < 3 ? in.size - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < n ? in.data[at + i] : 0u);
        for (size_t i = 0; i <= n; i++)
            buf_append_byte(out, (uint8_t)alphabet[bits >> (18 - 6 * i) & 63]);
    }
}

void dagjson_text_bytes(struct buf *out, struct bytes in)
{
    buf_append_text(out, "{\"/\":{\"bytes\":\"");
    put_base64(out, in);
    buf_append_text(out, "\"}}");
}

void dagjson_text_link(struct buf *out, const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    buf_append_text(out, "{\"/\":\"");
    buf_append_text(out, cid_format(cid, text));
    buf_append_text(out, "\"}");
}

/* The fewest digits that read back as `value`, and the exponent of the first. */
static size_t shortest_digits(double value, char digits[20], int *exponent)
{
    char text[40];
    for (int more = fabs(value) < DBL_MIN ? 0 : 14; more <= 16; more++) {
        snprintf(text, sizeof text, "%.*e", more, fabs(value));
        if (strtod(text, NULL) == fabs(value))
            break;
    }
    size_t count = 0;
    const char *at = text;
    for (; *at != '\0' && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9' && count < 19)
            digits[count++] = *at;
    *exponent = *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

/* As JavaScript and Kubo write numbers, but for ".0" where they would look like integers: the
 * specification has a float read back as one. */
void dagjson_text_double(struct buf *out, double value)
{
    char digits[20] = "0";
    int exponent = 0;
    size_t count = value == 0 ? 1 : shortest_digits(value, digits, &exponent);
    bool plain = exponent >= -6 && exponent < 21;
    int point = plain ? exponent + 1 : 1; /* digits before it */
    if (signbit(value))
        buf_append_byte(out, '-');
    if (point <= 0)
        buf_append_text(out, "0.");
    for (int i = point; i < 0; i++)
        buf_append_byte(out, '0');
    for (int i = 0; i < (int)count || i < point; i++) {
        if (i == point && point > 0)
            buf_append_byte(out, '.');
        buf_append_byte(out, i < (int)count ? (uint8_t)digits[i] : '0');
    }
    if (!plain)
        buf_append_format(out, "e%+d", exponent);
    else if ((int)count <= point)
        buf_append_text(out, ".0");
}
