/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal -- the events of one study, in order, each batch durable before anyone acts on it.
 *
 * A folder of files, one a round (or task), named NUMBER-SEQUENCE.journal after the round and the
 * sequence of its first frame, both in 16 hex digits. A file is a header ("colmeia-journal-1\n" and
 * padding) and frames; a frame is one batch: magic, length, sequence, hash of the frame before
 * (running through all files), study time, the batch, SHA-256 of all that. docs/formats.md has it
 * to the byte. A frame is written only after the one before it is synced, so a crash can damage
 * only the last.
 *
 * Opening looks at the newest file only (and at the last frame of the one before it, for the
 * chain). A newest file without a whole first frame is removed and the one before it is the newest.
 * A damaged last frame is cut and reported; damage with a valid frame behind it is ERR_CORRUPT
 * naming file and offset. The cut, the file and the folder are synced before journal_open returns.
 * After a failed append the journal refuses everything: memory is ahead of the disk.
 */
#ifndef COLMEIA_BASE_JOURNAL_H
#define COLMEIA_BASE_JOURNAL_H

#include "base/files.h"
#include "base/hash.h"

#define JOURNAL_BATCH_BYTES_MAX (1u << 20)

struct journal;

/* Where the journal ends: what receipts speak of. All zero before the first frame. */
struct journal_tail {
    uint64_t sequence; /* of the last durable frame, from 1 */
    uint8_t hash[HASH_BYTES];
};

struct journal_frame {
    uint64_t sequence;
    uint64_t time_ms; /* study time */
    struct bytes batch;
};

/* Opens or makes the folder and hands each frame of the newest file to `replay` in order.
 * `cut_bytes` says how much of a torn last frame was cut (0: none). The journal belongs to one
 * thread. */
int journal_open(const struct files *f, const char *dir,
                 int (*replay)(void *self, const struct journal_frame *frame, struct err *err),
                 void *self, struct journal **out, uint64_t *cut_bytes, struct err *err) MUST_USE;

/* Appends one frame and syncs it. */
int journal_append(struct journal *j, uint64_t time_ms, struct bytes batch,
                   struct err *err) MUST_USE;

/* Starts the file of `number`, its first frame being `batch`; durable with its name when this
 * returns. */
int journal_start(struct journal *j, uint64_t number, uint64_t time_ms, struct bytes batch,
                  struct err *err) MUST_USE;

/* The last durable frame. */
struct journal_tail journal_tail(const struct journal *j);

/* The hash of frame `sequence` if it lies in the files kept (any of them); ERR_NOTFOUND if the
 * journal is shorter. */
int journal_find(struct journal *j, uint64_t sequence, uint8_t hash[HASH_BYTES],
                 struct err *err) MUST_USE;

/* Reads every file of the folder in order without changing anything, for verify: chain, hashes,
 * sequence. ERR_CORRUPT names file and offset. `each` may be NULL. */
int journal_check(const struct files *f, const char *dir,
                  int (*each)(void *self, const struct journal_frame *frame, struct err *err),
                  void *self, struct err *err) MUST_USE;

/* Removes all files but the newest `keep`. */
int journal_prune(struct journal *j, size_t keep, struct err *err) MUST_USE;

void journal_close(struct journal *j); /* NULL is fine */

#endif
