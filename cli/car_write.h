/* SPDX-License-Identifier: Apache-2.0 */
/*
 * car_write -- a DAG out of a store as a CAR, depth first, each block once.
 *
 * Raw leaves are read and hashed a window at a time on all cores while the window before is
 * written; every block is hashed. Memory: two windows of CAR_WRITE_WINDOW blocks.
 */
#ifndef COLMEIA_CLI_CAR_WRITE_H
#define COLMEIA_CLI_CAR_WRITE_H

#include "base/jobs.h"
#include "base/progress.h"
#include "content/store.h"

#define CAR_WRITE_WINDOW 8

struct car_write {
    struct store *store;
    struct jobs *jobs; /* NULL: this thread alone */
    int fd;
    struct progress_count *progress; /* bytes written; may be NULL */
    uint64_t blocks, bytes;          /* filled: what was written */
};

/* Header (`root` alone) and blocks. What was written before a failure stays written. */
int car_write(struct car_write *w, const struct cid *root, struct err *err) MUST_USE;

#endif
