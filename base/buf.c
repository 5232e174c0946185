/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

/* From here on a buffer begins on a cache line: the kernel copies 1 MiB into one that does not in
 * twice the time. */
#define LARGE      (64u << 10)
#define LINE_BYTES 64

struct buf buf_new(size_t max)
{
    return (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->size = 0;
    b->capacity = 0;
    b->failed = 0;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = 0;
}

static uint8_t *grow(struct buf *b, size_t capacity)
{
    if (capacity < LARGE)
        return realloc(b->data, capacity);
    uint8_t *data =
        aligned_alloc(LINE_BYTES, (capacity + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
    if (data != NULL && b->size > 0)
        memcpy(data, b->data, b->size);
    if (data != NULL)
        free(b->data);
    return data;
}

/* Room for `more` bytes and a NUL behind the content, which does not count against the maximum. */
static bool reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->max || b->size > b->max - more) {
        b->failed = ERR_LIMIT;
        return false;
    }
    size_t need = b->size + more + 1;
    if (need <= b->capacity)
        return true;
    size_t grown = b->capacity < 64 ? 64 : b->capacity;
    while (grown < need)
        grown += grown / 2 + 1;
    if (grown > b->max + 1)
        grown = b->max + 1;
    uint8_t *data = grow(b, grown);
    if (data == NULL) {
        b->failed = ERR_NOMEM;
        return false;
    }
    b->data = data;
    b->capacity = grown;
    return true;
}

uint8_t *buf_extend(struct buf *b, size_t size)
{
    if (!reserve(b, size))
        return NULL;
    uint8_t *at = b->data + b->size;
    b->size += size;
    return at;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
    uint8_t *at = size == 0 ? NULL : buf_extend(b, size);
    if (at != NULL)
        memcpy(at, data, size);
}

void buf_append_byte(struct buf *b, uint8_t byte)
{
    buf_append(b, &byte, 1);
}

void buf_append_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_format(struct buf *b, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    if (size >= 0 && reserve(b, (size_t)size)) {
        vsnprintf((char *)b->data + b->size, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
    va_end(arguments);
}

int buf_check(const struct buf *b, struct err *err)
{
    if (b->failed == ERR_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %zu bytes", b->max);
    if (b->failed != 0)
        return err_set(err, b->failed, "out of memory");
    return 0;
}

const char *buf_text(struct buf *b)
{
    if (!reserve(b, 0))
        return "";
    b->data[b->size] = '\0';
    return (const char *)b->data;
}
