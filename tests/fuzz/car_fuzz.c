/* SPDX-License-Identifier: Apache-2.0 */
/* A CAR in one piece and byte for byte: the same blocks, the same answer, and none that does not
 * hash to its name. */
#include <stdlib.h>

#include "content/block_source.h"
#include "content/car.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t blocks, roots;
    uint64_t bytes, offsets;
};

static int see_header(void *self, const struct car_header *h, struct err *err)
{
    struct seen *s = self;
    (void)err;
    if ((h->version != 1 && h->version != 2) || h->root_count > CAR_ROOTS_MAX)
        abort();
    s->roots = h->root_count;
    return 0;
}

static int see_block(void *self, const struct cid *cid, struct bytes block, uint64_t offset,
                     struct err *err)
{
    struct seen *s = self;
    (void)err;
    if (block.size > BLOCK_BYTES_MAX || cid_verify(cid, block, NULL) != 0)
        abort();
    s->blocks++;
    s->bytes += block.size;
    s->offsets += offset;
    return 0;
}

static int feed(struct bytes in, size_t piece, struct seen *s)
{
    struct car_reader *r;
    *s = (struct seen){0};
    if (car_reader_new(see_header, see_block, s, &r, NULL) != 0)
        abort();
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < in.size; at += piece)
        rc = car_reader_add(r, bytes_of(in.data + at, in.size - at < piece ? in.size - at : piece),
                            NULL);
    int end = car_reader_finish(r, NULL);
    if (rc != 0 && end != rc)
        abort();
    car_reader_free(r);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, split;
    struct bytes in = bytes_of(data, size);
    int a = feed(in, size > 0 ? size : 1, &whole), b = feed(in, 1, &split);
    if (a != b || whole.blocks != split.blocks || whole.roots != split.roots ||
        whole.bytes != split.bytes || whole.offsets != split.offsets)
        abort();
    return 0;
}
