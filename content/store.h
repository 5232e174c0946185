/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store -- blocks on disk, named by their hash: single files, packs, and models whose leaves are
 * the safetensors file itself.
 *
 *     ROOT/blocks/xy/CID             records, nodes and small objects; xy: the two characters
 *                                    before the CID's last
 *     ROOT/packs/                    what came in bulk (packs.h)
 *     ROOT/models/CID.safetensors    a model; its leaves are its bytes, a person opens it directly,
 *                                    there is no second copy
 *     ROOT/models/NAME.part          one being made or fetched
 *     ROOT/pins/, ROOT/ipns/         pins.h, ipns.h
 *     ROOT/lock
 *
 * A block is found by its multihash whatever codec or version its CID has, as in other stores.
 * store_get hashes what it returns, so a caller never sees bytes that do not belong to the CID.
 * Nothing is durable before store_sync (store_model_finish, store_batch_finish) says so; a block
 * found present counts as unsynced unless this process synced it. Any thread may call.
 *
 * The index of model leaves is in memory only, rebuilt from the models' nodes at open, and the
 * nodes, where they are missing, from the file. A killed process leaves at worst *.tmp and *.part
 * files; store_model_begin takes up a model's *.part again, the next writer a pack's. A lost
 * machine may also leave names whose bytes are not there, of blocks never synced: those are
 * ERR_CORRUPT until store_put writes them anew.
 */
#ifndef COLMEIA_CONTENT_STORE_H
#define COLMEIA_CONTENT_STORE_H

#include "base/files.h"
#include "content/unixfs_walk.h"

#define STORE_BLOCK_BYTES_MAX BLOCK_BYTES_MAX
#define STORE_MODEL_BYTES_MAX (1ull << 42)

enum store_mode {
    STORE_WRITE, /* made if absent, locked: nobody else writes; a study's, and gc's */
    STORE_ADD,   /* only adds single-file blocks, beside a program that has it open: no lock */
    STORE_SHARE, /* made if absent; adds blocks and batches beside others that do the same */
    STORE_READ_ONLY
};

struct store;

/* Opens the store at `root`; STORE_WRITE takes the lock alone, STORE_SHARE with others that share
 * it (ERR_DENIED if another process has it otherwise). */
int store_open(const struct files *f, const char *root, enum store_mode mode, struct store **out,
               struct err *err) MUST_USE;
void store_close(struct store *s);

/* Is it here? 0, ERR_NOTFOUND, or why that cannot be known (an index that cannot be read): no
 * reason to take it for absent. Its bytes are not looked at. */
int store_look(struct store *s, const struct cid *cid, struct err *err) MUST_USE;
bool store_has(struct store *s, const struct cid *cid); /* store_look: 0; not known is no */
/* Fills `out` (cleared first; max >= STORE_BLOCK_BYTES_MAX) with the block. ERR_NOTFOUND: it is
 * known not to be here; ERR_CORRUPT naming file and CID. */
int store_get(struct store *s, const struct cid *cid, struct buf *out, struct err *err) MUST_USE;
/* The same unhashed, for serving to readers who hash. */
int store_read(struct store *s, const struct cid *cid, struct buf *out, struct err *err) MUST_USE;
/* Where the block's bytes lie, for sendfile: a real descriptor, the caller's to close. `hash`: they
 * are in a file that others may change, and must be hashed before they are sent. */
struct store_place {
    int fd;
    uint64_t offset;
    uint32_t size;
    bool hash;
};
int store_find(struct store *s, const struct cid *cid, struct store_place *out,
               struct err *err) MUST_USE;
/* Writes a single-file block under its temporary name and renames it. `block` must hash to `cid`:
 * checked. Present already with these bytes: nothing is written; with others: replaced. */
int store_put(struct store *s, const struct cid *cid, struct bytes block, struct err *err) MUST_USE;
/* Makes the named blocks durable (files and folders), each unless this process did so before.
 * ERR_NOTFOUND names one that is not there. */
int store_sync(struct store *s, const struct cid *cids, size_t count, struct err *err) MUST_USE;
/* Removes a single-file block (found by its multihash); absent is fine. */
int store_delete(struct store *s, const struct cid *cid, struct err *err) MUST_USE;
/* Calls `each` for every single-file block, every block of a pack and every leaf of every model, in
 * no stated order; `where` names file and offset. A pack that cannot be looked into goes to
 * `damaged`, and the rest goes on; NULL: it is the end. */
int store_each(struct store *s,
               int (*each)(void *self, const struct cid *cid, const char *where, struct err *err),
               int (*damaged)(void *self, const char *at, const struct err *why, struct err *err),
               void *self, struct err *err) MUST_USE;
const char *store_root(const struct store *s); /* for pins and ipns */
const struct files *store_files(const struct store *s);
struct block_source store_source(struct store *s); /* over store_get */

/* --- blocks in bulk (packs.h) --- */

struct packs_batch;
/* A batch into the store's packs; small ones become single files. STORE_WRITE, STORE_SHARE. */
int store_batch_new(struct store *s, struct packs_batch **out, struct err *err) MUST_USE;
/* A block that the caller has just hashed. Present and whole already: nothing is written. A model
 * does not count as having it: it may be deleted, and what is added must stay. */
int store_batch_put(struct packs_batch *b, const struct cid *cid, struct bytes block,
                    struct err *err) MUST_USE;
int store_batch_finish(struct packs_batch *b, bool sync, struct err *err) MUST_USE;

struct store_stat {
    uint64_t single_blocks, single_bytes, pack_blocks, pack_bytes, packs, reference_blocks;
    uint64_t models, model_bytes, damaged_packs; /* damaged: they could not be looked into */
    struct err first_damaged;
};
int store_stat(struct store *s, struct store_stat *out, struct err *err) MUST_USE;

/* --- models --- */

struct store_model; /* a model's file being written; one thread at a time, but writes of distinct
                       ranges from many */

/* Makes or takes up ROOT/models/NAME.part of `size` bytes. `name` is the root's CID where it is
 * known (a fetch). */
int store_model_begin(struct store *s, const char *name, uint64_t size, struct store_model **out,
                      struct err *err) MUST_USE;
/* Any thread. Starts writeback as it goes. */
int store_model_write(struct store_model *m, uint64_t offset, struct bytes data,
                      struct err *err) MUST_USE;
/* Reads back, for taking up an interrupted fetch: the caller hashes. */
int store_model_read(struct store_model *m, uint64_t offset, void *data, size_t size,
                     struct err *err) MUST_USE;
/* The file is whole: syncs it and its nodes (which must be in the store), renames it to `root` and
 * indexes its leaves. Frees `m` on success. A model that is there already is replaced, since it may
 * never have been synced; without `sync` the part is dropped instead. ERR_NOTFOUND, ERR_CORRUPT: a
 * node is missing or damaged, or the tree says another length. */
int store_model_finish(struct store_model *m, const struct cid *root, bool sync,
                       struct err *err) MUST_USE;
/* Closes and keeps the part, or removes it; NULL is fine. */
void store_model_close(struct store_model *m, bool keep);

bool store_model_has(struct store *s, const struct cid *root);
/* Its path and size, for trainers and people. ERR_NOTFOUND. */
int store_model_path(struct store *s, const struct cid *root, char out[FILES_PATH_MAX],
                     uint64_t *size, struct err *err) MUST_USE;
/* Removes the file, its leaves from the index and, if the store has no pins at all, its nodes, but
 * for what another model shares; absent is fine. Also the way out of a damaged leaf: delete, and
 * fetch again. */
int store_model_delete(struct store *s, const struct cid *root, struct err *err) MUST_USE;
/* The present models' roots, in byte order. */
int store_model_list(struct store *s, struct cid **out, size_t *count, struct err *err) MUST_USE;

/* Imports the file at `path` as a model (hash, store, nodes; on all cores of `jobs`, NULL: this
 * thread) and syncs it. */
struct jobs;
int store_import(struct store *s, const char *path, struct jobs *jobs, struct cid *root,
                 struct err *err) MUST_USE;
/* Writes the file `root` to `path` (made anew), every leaf hashed. */
int store_export(struct store *s, const struct cid *root, const char *path,
                 struct err *err) MUST_USE;

#endif
