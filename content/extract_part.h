/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extract_part -- a file that is filled by somebody else, in any order, and takes the name OUT when
 * it is whole.
 *
 * Till then it is called OUT.TAIL.part, beside OUT, where TAIL is the end of its CID: one that was
 * left behind by an interrupted command is taken up by the next one for the same CID, which hashes
 * what it finds there. It is locked meanwhile, and no symlink is followed.
 */
#ifndef COLMEIA_CONTENT_EXTRACT_PART_H
#define COLMEIA_CONTENT_EXTRACT_PART_H

#include "content/extract.h"

struct extract_part;

/* Opens OUT's folder; of `o` only `force` and `sync` count. ERR_EXISTS for `out` without force, and
 * for a folder. */
int extract_part_open(const struct extract_options *o, const struct cid *cid, const char *out,
                      struct extract_part **p, struct err *err) MUST_USE;
/* Makes the part or takes it up, once. ERR_LIMIT if `bytes` do not fit on the disk; ERR_DENIED if
 * another program fills it, or something else has its name: no plain file, one of another user or
 * with a second name. */
int extract_part_begin(struct extract_part *p, uint64_t bytes, struct err *err) MUST_USE;
/* Any thread, distinct ranges. */
int extract_part_read(struct extract_part *p, uint64_t offset, void *data, size_t size,
                      struct err *err) MUST_USE;
int extract_part_write(struct extract_part *p, uint64_t offset, struct bytes data,
                       struct err *err) MUST_USE;
/* The part is whole: it becomes OUT. */
int extract_part_finish(struct extract_part *p, struct err *err) MUST_USE;
/* What was begun and not finished stays, if it is to be kept, or goes. NULL is fine. */
void extract_part_close(struct extract_part *p, bool keep);

#endif
