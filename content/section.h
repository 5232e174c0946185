/* SPDX-License-Identifier: Apache-2.0 */
/*
 * section -- reads a stream of CAR sections that arrives in pieces of any size, holding one block.
 *
 * How uploads come in: every whole block is hashed and handed on at once, so a cut loses at most
 * one. Limits are checked on the declared length before anything is allocated.
 */
#ifndef COLMEIA_CONTENT_SECTION_H
#define COLMEIA_CONTENT_SECTION_H

#include "base/cid.h"

struct section_reader;

/* `block` is called with each verified block; its error ends the reading. */
int section_reader_new(size_t block_bytes_max,
                       int (*block)(void *self, const struct cid *cid, struct bytes data,
                                    struct err *err),
                       void *self, struct section_reader **out, struct err *err) MUST_USE;
/* ERR_MALFORMED (bad varint, CID, hash), ERR_LIMIT, or what `block` returned. */
int section_reader_add(struct section_reader *r, struct bytes piece, struct err *err) MUST_USE;
/* ERR_MALFORMED `stream ends inside a block` unless it ended between two. */
int section_reader_finish(struct section_reader *r, struct err *err) MUST_USE;
void section_reader_free(struct section_reader *r);

#endif
