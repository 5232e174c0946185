/* SPDX-License-Identifier: Apache-2.0 */
/*
 * car -- CAR files: a header that names roots, then blocks one behind the other. CARv1 is written,
 * v1 and v2 are read; a v2's index is passed over.
 *
 * Source: IPLD CARv1 and CARv2 specifications. Reading takes a stream in pieces of any size and
 * holds one block; every block is hashed before it is handed on; lengths are checked before
 * anything is allocated; a stream that ends inside a section, or a v2 whose payload is shorter
 * than it says, is ERR_MALFORMED with the offset. Roots may be none, may be missing, blocks may
 * come twice: that is the caller's to judge.
 */
#ifndef COLMEIA_CONTENT_CAR_H
#define COLMEIA_CONTENT_CAR_H

#include "base/cid.h"

#define CAR_HEADER_BYTES_MAX (64u << 10)
#define CAR_ROOTS_MAX        1024
#define CAR_HEADER_V1_BYTES  59 /* with one CIDv1 of sha2-256 as its root */
#define CAR_SECTION_HEAD_MAX (10 + CID_BYTES_MAX)

struct car_header {
    unsigned version; /* 1 or 2 */
    size_t root_count;
    struct cid *roots; /* owned by the reader */
};

struct car_reader;

/* `header` (may be NULL) is called once, `block` for each verified block with the offset of its
 * section in the stream; an error of either ends the reading. A block that lies whole in one piece
 * is handed on where it lies, and stays as long as that piece does; another only for the call. */
int car_reader_new(int (*header)(void *self, const struct car_header *h, struct err *err),
                   int (*block)(void *self, const struct cid *cid, struct bytes data,
                                uint64_t offset, struct err *err),
                   void *self, struct car_reader **out, struct err *err) MUST_USE;
/* For callers that hash themselves, in parallel: blocks come unverified. Call before the first
 * piece. */
void car_reader_trust(struct car_reader *r);
/* The stream has no header: it begins with a section, as uploads do, and may be empty. A block of
 * more than `block_bytes_max` bytes is ERR_LIMIT. Call before the first piece. */
void car_reader_start_at_sections(struct car_reader *r, size_t block_bytes_max);
int car_reader_add(struct car_reader *r, struct bytes piece, struct err *err) MUST_USE;
/* The stream is over. */
int car_reader_finish(struct car_reader *r, struct err *err) MUST_USE;
void car_reader_free(struct car_reader *r); /* NULL is fine */

/* Writing. */
void car_put_header(struct buf *out, const struct cid *roots, size_t count);
/* One section's head for a block of `size` bytes: its length, in `out`. The block's bytes follow.
 */
size_t car_section_head(const struct cid *cid, uint64_t size, uint8_t out[CAR_SECTION_HEAD_MAX]);

#endif
