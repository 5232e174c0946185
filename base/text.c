/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *text_format_size(uint64_t bytes, char out[TEXT_SMALL])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, TEXT_SMALL, "%llu B", (unsigned long long)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(out, TEXT_SMALL, "%.1f %s", value, units[unit]);
    return out;
}

const char *text_format_ms(uint64_t ms, char out[TEXT_SMALL])
{
    unsigned long long s = ms / 1000;
    if (ms < 1000)
        snprintf(out, TEXT_SMALL, "%llu ms", (unsigned long long)ms);
    else if (s < 60)
        snprintf(out, TEXT_SMALL, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(out, TEXT_SMALL, "%llu min %llu s", s / 60, s % 60);
    else
        snprintf(out, TEXT_SMALL, "%llu h %llu min", s / 3600, s / 60 % 60);
    return out;
}

int text_parse_uint(const char *text, uint64_t max, uint64_t *out, struct err *err)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            break;
        value = value * 10 + digit;
    }
    if (at == text || *at != '\0' || value > max)
        return err_set(err, ERR_USAGE, "\"%s\" is not a number from 0 to %llu", text,
                       (unsigned long long)max);
    *out = value;
    return 0;
}

int text_parse_double(const char *text, double *out, struct err *err)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool leading_space = text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r');
    if (end == text || *end != '\0' || leading_space || !isfinite(value))
        return err_set(err, ERR_USAGE, "\"%s\" is not a finite number", text);
    *out = value;
    return 0;
}

/* Length of the well-formed sequence at `at` (Unicode table 3-7), 0 if there is none. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    if (lead < 0x80)
        return lead == 0 ? 0 : 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < length)
        return 0;
    uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool text_is_utf8(struct bytes in)
{
    for (size_t i = 0; i < in.size;) {
        size_t n = utf8_length(in.data + i, in.size - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool text_is_name(const char *text)
{
    size_t i = 0;
    for (; text[i] != '\0'; i++) {
        char c = text[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (i >= 64 || (!alnum && (i == 0 || (c != '-' && c != '_' && c != '.'))))
            return false;
    }
    return i > 0;
}
