/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack -- blocks of one update in one file, in order of arrival: a CARv1 file without roots.
 *
 * Sections are varint(size of CID and data) | CID | data, behind the 18-byte header of a CAR with
 * no roots. Only whole blocks whose hash was right are appended, so the index (digest -> place, in
 * memory) is rebuilt by reading section heads; a torn tail is cut at open. pack_get hashes what it
 * returns. Any thread may call; appends are one at a time inside.
 */
#ifndef COLMEIA_CONTENT_PACK_H
#define COLMEIA_CONTENT_PACK_H

#include "base/files.h"
#include "content/car.h"

#define PACK_BLOCK_BYTES_MAX (2u << 20)

struct pack;

/* Opens the pack at `path`; `write`: makes it if absent, cuts a torn tail. */
int pack_open(const struct files *f, const char *path, bool write, struct pack **out,
              struct err *err) MUST_USE;
void pack_close(struct pack *p);

bool pack_has(struct pack *p, const struct cid *cid);
/* Fills `out` (cleared first) with the block, hashed: ERR_NOTFOUND, ERR_CORRUPT naming file and
 * offset. */
int pack_get(struct pack *p, const struct cid *cid, struct buf *out, struct err *err) MUST_USE;
/* The same straight into the caller's memory of exactly `size` bytes: ERR_MALFORMED if the block
 * has another size. */
int pack_get_into(struct pack *p, const struct cid *cid, void *data, size_t size,
                  struct err *err) MUST_USE;
/* The same, but a block that was appended since the pack was opened is not hashed a second time:
 * for looking at what has just arrived. Whoever computes with it hashes it. */
int pack_reread_into(struct pack *p, const struct cid *cid, void *data, size_t size,
                     struct err *err) MUST_USE;
/* Appends a block that hashes to `cid` (checked); present already: nothing is written. Starts
 * writeback every 16 MiB. */
int pack_put(struct pack *p, const struct cid *cid, struct bytes block, struct err *err) MUST_USE;
/* The same for a block that the caller itself has just hashed: `cid` is believed. */
int pack_put_verified(struct pack *p, const struct cid *cid, struct bytes block,
                      struct err *err) MUST_USE;
/* Makes everything appended so far durable, file and folder; at once if nothing was appended since
 * the last. */
int pack_sync(struct pack *p, struct err *err) MUST_USE;
/* Length of the file, and number of blocks. */
uint64_t pack_bytes(struct pack *p);
size_t pack_count(struct pack *p);
/* Forgets a block found damaged, so that it is missing and can be sent again. */
void pack_forget(struct pack *p, const struct cid *cid);
/* Calls `each` for every block in order of arrival. */
int pack_each(struct pack *p,
              int (*each)(void *self, const struct cid *cid, uint32_t size, struct err *err),
              void *self, struct err *err) MUST_USE;

/* The other way from car_section_head: `head` is what the section begins with, `left` how much of
 * the file there is from there on. ERR_MALFORMED if it is none, or not whole. */
int pack_section_parse(struct bytes head, uint64_t left, struct cid *cid, size_t *head_size,
                       uint32_t *size, struct err *err) MUST_USE;

#define PACK_HEADER_BYTES 18
extern const uint8_t pack_header[PACK_HEADER_BYTES]; /* of a CAR without roots */

#endif
