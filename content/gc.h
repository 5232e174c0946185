/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc -- removes from a store what no pin reaches.
 *
 * Marks from the pins (and the models, which are kept whole), then sweeps single files and packs. A
 * pinned DAG with a block missing or damaged keeps what can be reached; nothing is removed when a
 * pin's block cannot be decoded. The store must be open alone (STORE_WRITE). 56 bytes of memory a
 * block kept.
 */
#ifndef COLMEIA_CONTENT_GC_H
#define COLMEIA_CONTENT_GC_H

#include "content/store.h"

struct gc_result {
    uint64_t blocks_kept, blocks_removed, bytes_removed;
    uint64_t missing; /* blocks that pins reach and the store lacks */
};

int gc_run(struct store *s, struct gc_result *out, struct err *err) MUST_USE;

#endif
