/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontext -- a strict pull reader of the JSON (RFC 8259) that a safetensors header is made of.
 *
 * Sticky: after the first failure every take returns zero or an empty text, and jsontext_finish
 * says what was wrong and at which offset. Nothing here recurses: the caller's own form decides how
 * deep it goes. Narrower than RFC 8259: numbers are whole, unsigned and below 2^64, and no string
 * holds U+0000. Decoded strings go to memory that the caller lends, as large as the input: a string
 * never takes more than its source, quotes included.
 */
#ifndef COLMEIA_MODEL_JSONTEXT_H
#define COLMEIA_MODEL_JSONTEXT_H

#include "base/bytes.h"
#include "base/err.h"

struct jsontext {
    struct bytes in; /* valid UTF-8 */
    size_t at;       /* offset of the next byte */
    int failed;      /* 0 or the code it failed with; sticky */
    size_t bad_at;   /* offset of the failure */
    const char *why; /* static text */
    char *text;      /* free part of the caller's memory */
};

/* A reader over `in`, with `text` (in.size bytes) for its strings; both must outlive it. */
struct jsontext jsontext_reader(struct bytes in, char *text);

/* Marks the reader failed with `code` at the present offset. `why` is static text. */
void jsontext_fail(struct jsontext *r, int code, const char *why);

/* Takes the token `c`, white space before it included; fails if it is not next. */
void jsontext_expect(struct jsontext *r, char c);

/* Is there an item `index` (from 0) in the array or object that `close` ends? Takes the comma
 * before it, or `close`. */
bool jsontext_more(struct jsontext *r, char close, size_t index);

/* Decoded, NUL-terminated, in the lent memory. */
char *jsontext_take_string(struct jsontext *r);
/* A string and the colon behind it. */
char *jsontext_take_key(struct jsontext *r);
uint64_t jsontext_take_uint(struct jsontext *r);

/* Nothing failed, and only spaces (0x20) are left: 0. Else the code of the failure, `JSON at offset
 * 17: ...`. */
int jsontext_finish(struct jsontext *r, struct err *err) MUST_USE;

#endif
