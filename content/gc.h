/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc -- removes from a store what no pin reaches.
 *
 * Marks from the pins (and the models, which are kept whole), then sweeps single files, packs, and
 * what killed writers left. A block that may link to others and is missing, damaged or of a kind
 * that cannot be read hides what is below it: then nothing is removed, and the sentence names pin
 * and block. The same where it is not known what is here. A leaf that is missing or damaged is
 * counted only. The store must be open alone (STORE_WRITE). 56 bytes of memory a block kept.
 */
#ifndef COLMEIA_CONTENT_GC_H
#define COLMEIA_CONTENT_GC_H

#include "content/store.h"

struct gc_result {
    uint64_t blocks_kept, blocks_removed, bytes_removed;
    uint64_t missing; /* leaves that pins reach and the store lacks, or has damaged */
};

int gc_run(struct store *s, struct gc_result *out, struct err *err) MUST_USE;

#endif
