/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_file -- one UnixFS file from several sources straight into its place: each leaf is written
 * at its offset by the thread that hashed it, and into the store too if it is to be kept.
 *
 * The nodes of the tree come first and stay in the store; then the part is begun, for the file's
 * size is known and trustworthy. Leaves that the part holds from an earlier call, or that the store
 * has, are hashed where they lie and not fetched; so whatever ends a call, the next goes on from
 * what came.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_FILE_H
#define COLMEIA_TRANSPORT_FETCH_FILE_H

#include "transport/fetch.h"

/* Where the file goes. */
struct fetch_file {
    struct store *store;
    struct packs_batch *batch; /* of the store, for the leaves; NULL: they are not kept there */
    uint64_t bytes_max;        /* a larger file is ERR_LIMIT */
    void *self;
    /* Makes the part, or takes it up; once, before the two below. */
    int (*begin)(void *self, uint64_t bytes, struct err *err);
    /* Any thread. What the part has not is an error, or zeros. */
    int (*read)(void *self, uint64_t offset, void *data, size_t size, struct err *err);
    /* Any thread, one at a time. */
    int (*write)(void *self, uint64_t offset, struct bytes data, struct err *err);
    /* Bytes of the file that are at their places, and in all; any thread, one at a time. May be
     * NULL. */
    void (*progress)(void *self, uint64_t have, uint64_t all);
};

/* All of it or an error. ERR_UNSUPPORTED, before the part is begun, for what is no file and for
 * files with bytes in dag-pb nodes: fetch_dag takes those. */
int fetch_file(struct fetch *f, const struct fetch_file *to, const struct cid *root,
               struct err *err) MUST_USE;

#endif
