/* SPDX-License-Identifier: Apache-2.0 */
/*
 * combine_internal -- what combine.c and combine_stream.c share, and nobody else: the walk through
 * a model's file in windows.
 */
#ifndef COLMEIA_STUDY_COMBINE_INTERNAL_H
#define COLMEIA_STUDY_COMBINE_INTERNAL_H

#include "study/combine.h"

#define COMBINE_WINDOW_BYTES ((size_t)COMBINE_WINDOW_LEAVES * UNIXFS_LEAF_BYTES)

/* A run of the base's bytes that become the next model's in place. */
struct combine_window {
    uint64_t offset; /* in the file */
    size_t size;
    uint8_t *bytes; /* aligned as in the file, up to 64 */
};

/* Reads window after window of the base, has `change` make it the next model's and hands it to the
 * sink. */
int combine_stream_windows(const struct combine_source *source, const struct combine_sink *sink,
                           struct jobs *jobs,
                           int (*change)(void *self, const struct combine_window *w,
                                         struct err *err),
                           void *self, struct err *err) MUST_USE;

#endif
