/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text -- sentences for people: sizes, durations, numbers; and checked parsing of them.
 */
#ifndef COLMEIA_BASE_TEXT_H
#define COLMEIA_BASE_TEXT_H

#include "base/buf.h"

#define TEXT_SMALL 32

/* "1.5 MiB", "312 B". Return `out`. */
const char *text_format_size(uint64_t bytes, char out[TEXT_SMALL]);
/* "1.2 s", "3 min 20 s". */
const char *text_format_ms(uint64_t ms, char out[TEXT_SMALL]);

/* Whole string, decimal digits only, at most `max`; ERR_USAGE quotes the value. */
int text_parse_uint(const char *text, uint64_t max, uint64_t *out, struct err *err) MUST_USE;
/* Whole string, C locale, finite. */
int text_parse_double(const char *text, double *out, struct err *err) MUST_USE;

/* Is `in` valid UTF-8 (no surrogates, no overlong forms, no NUL)? */
bool text_is_utf8(struct bytes in);
/* A name for a site or study: 1..64 bytes of a-z 0-9 - _ . beginning with a letter or digit. */
bool text_is_name(const char *text);

#endif
