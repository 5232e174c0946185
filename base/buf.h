/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf -- an owned run of bytes that grows up to a maximum it was born with.
 *
 * Appending is sticky: after the first failure further appends do nothing, and buf_check says once,
 * at the end, what happened. Not for secrets.
 */
#ifndef COLMEIA_BASE_BUF_H
#define COLMEIA_BASE_BUF_H

#include "base/bytes.h"
#include "base/err.h"

struct buf {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max;      /* growing past it is ERR_LIMIT */
    int failed;      /* 0, ERR_LIMIT or ERR_NOMEM; sticky */
};

/* An empty buffer of at most `max` bytes; nothing is allocated yet. */
struct buf buf_new(size_t max);
void buf_fini(struct buf *b);  /* frees; harmless twice */
void buf_clear(struct buf *b); /* size 0 and not failed; keeps the memory */

void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_append_text(struct buf *b, const char *text); /* without the final NUL */
void buf_append_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Room for `size` more bytes, counted as used; NULL once failed. */
uint8_t *buf_extend(struct buf *b, size_t size);

/* 0, or the first failure with a sentence. */
int buf_check(const struct buf *b, struct err *err) MUST_USE;

/* The content as text: puts a NUL behind it that does not count in size. "" once failed. */
const char *buf_text(struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->size);
}

#endif
