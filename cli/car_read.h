/* SPDX-License-Identifier: Apache-2.0 */
/*
 * car_read -- a CAR from a descriptor, at the speed of all cores.
 *
 * Windows of the stream are read one ahead; the blocks of a window are hashed in pairs and handed
 * on from many threads. Memory: two windows of CAR_READ_WINDOW bytes.
 */
#ifndef COLMEIA_CLI_CAR_READ_H
#define COLMEIA_CLI_CAR_READ_H

#include "base/jobs.h"
#include "base/progress.h"
#include "content/car.h"

#define CAR_READ_WINDOW (8u << 20)

struct car_read {
    int fd;
    struct jobs *jobs; /* NULL: this thread alone */
    /* Each verified block with the offset of its section, in no stated order, from any thread. */
    int (*block)(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                 struct err *err);
    void *self;
    struct progress_count *progress; /* bytes read; may be NULL */
    /* Filled: */
    uint64_t blocks, bytes; /* verified */
    unsigned version;
    struct cid *roots; /* of the header, the caller's to free, whatever came back */
    size_t root_count;
};

/* To the end of the stream. Blocks in front of what is wrong were handed on. */
int car_read(struct car_read *c, struct err *err) MUST_USE;

#endif
