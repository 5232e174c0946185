/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaves -- a model in a store read by file range, every leaf hashed as it is read.
 *
 * The list of leaf digests is loaded once (32 bytes a MiB of model) and shared; each reader has one
 * leaf in hand, so that a sequential reader hashes each leaf once. Threads use a reader each.
 */
#ifndef COLMEIA_STUDY_LEAVES_H
#define COLMEIA_STUDY_LEAVES_H

#include "content/store.h"

struct leaves {
    struct store *store;
    uint64_t file_bytes;
    size_t count;
    uint8_t (*digests)[HASH_BYTES]; /* (count) owned */
};

int leaves_load(struct store *store, const struct cid *root, struct leaves *out,
                struct err *err) MUST_USE;
void leaves_fini(struct leaves *l);

struct leaves_reader {
    const struct leaves *of;
    size_t held; /* which leaf is in `leaf`; SIZE_MAX: none */
    struct buf leaf;
};

void leaves_reader_init(struct leaves_reader *r, const struct leaves *of);
void leaves_reader_fini(struct leaves_reader *r);
/* Copies `size` bytes at `offset`. ERR_CORRUPT (`base-changed` is the worker's word for it) names
 * leaf and CID. */
int leaves_read(struct leaves_reader *r, uint64_t offset, void *data, size_t size,
                struct err *err) MUST_USE;

#endif
