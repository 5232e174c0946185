/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks -- an input as a list of blocks, each behind two bytes of length (big-endian), and a
 * source over them that lies: a CID's last byte, not its hash, says which block it gives. So an
 * input may hold any DAG, also such as no hash allows.
 */
#ifndef COLMEIA_TESTS_FUZZ_BLOCKS_H
#define COLMEIA_TESTS_FUZZ_BLOCKS_H

#include <assert.h>
#include <stdlib.h>

#include "content/block_source.h"

#define BLOCKS_MAX 64

struct blocks {
    struct bytes block[BLOCKS_MAX];
    size_t count;
    size_t gets;
};

/* What is left of the input is the last block. */
static inline void blocks_take(struct blocks *b, const uint8_t *data, size_t size)
{
    while (b->count < BLOCKS_MAX) {
        size_t length = size < 2 ? size : (size_t)(data[0] << 8 | data[1]);
        size_t head = size < 2 ? 0 : 2;
        if (length > size - head || b->count == BLOCKS_MAX - 1)
            length = size - head;
        b->block[b->count++] = bytes_of(data + head, length);
        if (head + length == size)
            return;
        data += head + length;
        size -= head + length;
    }
}

static inline int blocks_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct blocks *b = self;
    size_t at = cid->bytes[cid->size - 1u];
    b->gets++;
    buf_clear(out);
    if (at >= b->count)
        return err_set(err, ERR_NOTFOUND, "no such block");
    buf_append(out, b->block[at].data, b->block[at].size);
    return buf_check(out, err);
}

/* What bytes from outside may cause, and nothing else; with a sentence. */
static inline void blocks_check_refusal(int rc, const struct err *err)
{
    assert(rc == ERR_MALFORMED || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED || rc == ERR_NOTFOUND);
    assert(err->code == rc && err->text[0] != '\0');
}

#endif
