/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal -- what store*.c and gc.c share, and nobody else.
 *
 * `changes` is held while the set of models changes (finish, delete) and is taken before `mutex`,
 * which guards the tables for moments only: readers never wait for a disk. A model's file is opened
 * for each read: a store may hold more models than a process may hold descriptors, and the open is
 * nothing beside the megabyte behind it.
 */
#ifndef COLMEIA_CONTENT_STORE_INTERNAL_H
#define COLMEIA_CONTENT_STORE_INTERNAL_H

#include <pthread.h>

#include "content/digest_map.h"
#include "content/packs.h"
#include "content/store.h"

#define STORE_IMPORT_PREFIX "import-" /* parts that nobody takes up again: removed at open */

struct model_slot {
    struct cid root; /* none: a free slot */
    uint64_t size;
    bool synced; /* by this process */
};

struct store {
    const struct files *files;
    char root[FILES_PATH_MAX - 256];
    enum store_mode mode;
    int lock_fd; /* -1: none */
    struct packs *packs;
    pthread_mutex_t changes;
    pthread_mutex_t mutex;    /* everything below */
    bool root_synced;         /* by this process: the folders' names in it */
    struct digest_map leaves; /* place.file: index into models */
    struct digest_map synced; /* single-file blocks this process made durable, by SHA-256 of CID */
    size_t model_count, model_capacity;
    struct model_slot *models;
};

/* Indexes every model in ROOT/models. */
int store_model_open_all(struct store *s, struct err *err) MUST_USE;
/* Reads the block if it is a model's leaf, unhashed; `name` says where it lay. ERR_NOTFOUND,
 * without a sentence, if it is none. */
int store_model_read_leaf(struct store *s, const struct cid *cid, struct buf *out,
                          char name[FILES_PATH_MAX], struct err *err) MUST_USE;
/* The same for its place; the descriptor is the caller's to close. */
int store_model_open_leaf(struct store *s, const struct cid *cid, char path[FILES_PATH_MAX],
                          struct store_place *out, struct err *err) MUST_USE;
bool store_model_has_leaf(struct store *s, const struct cid *cid);
/* Makes the model to which the leaf `cid` belongs durable. ERR_NOTFOUND, without a sentence, if it
 * is no leaf, or not called by a leaf's codec: a node whose bytes are a leaf too is synced where it
 * lies itself, or two models could wait for each other. */
int store_model_sync_leaf(struct store *s, const struct cid *cid, struct err *err) MUST_USE;
/* Every single-file block, with its path. */
int store_each_single(struct store *s,
                      int (*each)(void *self, const struct cid *cid, const char *path,
                                  struct err *err),
                      void *self, struct err *err) MUST_USE;
/* Is the block there with these bytes, in a file of its own? */
bool store_has_file(struct store *s, const struct cid *cid, struct bytes block);
/* As store_put, but a model that has the block as a leaf does not count: it may go. */
int store_put_own(struct store *s, const struct cid *cid, struct bytes block,
                  struct err *err) MUST_USE;
/* Makes the names of the store's folders durable, once. */
int store_sync_root(struct store *s, struct err *err) MUST_USE;
/* Removes what killed writers left among the single files; nobody else may have the store open. */
int store_each_drop_temporary(struct store *s, struct err *err) MUST_USE;

#endif
