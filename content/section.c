/* SPDX-License-Identifier: Apache-2.0 */
#include "content/section.h"

#include <stdlib.h>

#define LENGTH_BYTES_MAX 9

struct section_reader {
    int (*block)(void *self, const struct cid *cid, struct bytes data, struct err *err);
    void *self;
    size_t block_bytes_max;
    uint8_t length[LENGTH_BYTES_MAX]; /* of the section under way, as far as it came */
    size_t length_size;
    size_t need;        /* CID and data; 0: the length is not whole yet */
    struct buf section; /* CID and data so far */
    int failed;
};

int section_reader_new(size_t block_bytes_max,
                       int (*block)(void *self, const struct cid *cid, struct bytes data,
                                    struct err *err),
                       void *self, struct section_reader **out, struct err *err)
{
    struct section_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->block = block;
    r->self = self;
    r->block_bytes_max = block_bytes_max;
    r->section = buf_new(block_bytes_max + CID_BYTES_MAX);
    *out = r;
    return 0;
}

void section_reader_free(struct section_reader *r)
{
    if (r == NULL)
        return;
    buf_fini(&r->section);
    free(r);
}

/* One byte of the length; when it is whole, its limit is checked before anything is allocated. */
static int take_length(struct section_reader *r, uint8_t byte, struct err *err)
{
    r->length[r->length_size++] = byte;
    if (byte >= 0x80)
        return r->length_size < LENGTH_BYTES_MAX
                   ? 0
                   : err_set(err, ERR_MALFORMED, "section: a bad length");
    if (byte == 0)
        return err_set(err, ERR_MALFORMED, "section: a bad or empty length");
    uint64_t need = 0;
    for (size_t i = r->length_size; i-- > 0;)
        need = need << 7 | (r->length[i] & 0x7f);
    if (need > r->block_bytes_max + CID_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "section: a block of %llu bytes, more than %zu",
                       (unsigned long long)need, r->block_bytes_max);
    r->need = (size_t)need;
    r->length_size = 0;
    return 0;
}

static int finish_section(struct section_reader *r, struct err *err)
{
    struct cid cid;
    size_t used;
    int rc = cid_decode_prefix(buf_bytes(&r->section), &cid, &used, err);
    if (rc != 0)
        return err_wrap(err, ERR_MALFORMED, "section");
    struct bytes data = bytes_of(r->section.data + used, r->section.size - used);
    if (data.size > r->block_bytes_max)
        return err_set(err, ERR_LIMIT, "section: a block of %zu bytes, more than %zu", data.size,
                       r->block_bytes_max);
    rc = cid_verify(&cid, data, err);
    if (rc != 0)
        return err_wrap(err, ERR_MALFORMED, "section");
    rc = r->block(r->self, &cid, data, err);
    buf_clear(&r->section);
    r->need = 0;
    return rc;
}

static int add(struct section_reader *r, struct bytes piece, struct err *err)
{
    for (size_t at = 0; at < piece.size;) {
        int rc;
        if (r->need == 0) {
            rc = take_length(r, piece.data[at++], err);
        } else {
            size_t part = r->need - r->section.size;
            if (part > piece.size - at)
                part = piece.size - at;
            buf_append(&r->section, piece.data + at, part);
            at += part;
            rc = buf_check(&r->section, err);
            if (rc == 0 && r->section.size == r->need)
                rc = finish_section(r, err);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

int section_reader_add(struct section_reader *r, struct bytes piece, struct err *err)
{
    if (r->failed != 0)
        return err_set(err, r->failed, "section: the stream was refused before");
    r->failed = add(r, piece, err);
    return r->failed;
}

int section_reader_finish(struct section_reader *r, struct err *err)
{
    if (r->failed != 0)
        return err_set(err, r->failed, "section: the stream was refused before");
    if (r->need != 0 || r->length_size != 0)
        return err_set(err, ERR_MALFORMED, "section: the stream ends inside a block");
    return 0;
}
