/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packs_internal -- what packs*.c share, and nobody else.
 *
 * One mutex guards the lists and the maps of what is being written, for moments only: nobody reads
 * or writes a disk while holding it. A file in use is counted (`users`) and neither closed nor
 * freed.
 */
#ifndef COLMEIA_CONTENT_PACKS_INTERNAL_H
#define COLMEIA_CONTENT_PACKS_INTERNAL_H

#include <pthread.h>

#include "content/digest_map.h"
#include "content/packs.h"
#include "content/packs_index.h"

#define PACKS_NAME_BYTES 17 /* NUL included */
#define PACKS_OPEN_MAX   64 /* packs whose two descriptors are kept, where so many are allowed */

/* --- one pack --- */

struct packs_file {
    char name[PACKS_NAME_BYTES];
    bool reference;
    bool sealed;
    bool gone;                /* removed: freed with its last user and holder */
    bool synced, sync_failed; /* by this process */
    bool counted;             /* among those that are open */
    unsigned users;           /* who may read and must not lose the descriptors */
    unsigned holders;         /* who will want it again: batches, until they are synced */
    uint64_t used;            /* when, for closing what was not used for longest */
    uint64_t seen;            /* in which listing of the folder */
    struct packs_filter filter;

    pthread_mutex_t opening; /* taken by who has it in use; guards what follows */
    bool checked;            /* the index was looked at, and is right */
    uint64_t count;
    struct packs_entries own; /* the index in memory, where it cannot be written */
    int index_fd, data_fd;    /* -1: not open */
    char *path;               /* of the file elsewhere; NULL: not read yet */
};

/* A pack being written. */
struct packs_part {
    struct packs_part *next;
    struct packs_batch *batch;
    struct packs_file *file;
    struct digest_map map; /* place.file: codec and flags */
    uint64_t end, written_back;
    size_t sections;
    unsigned writing; /* threads */
    bool failed;      /* a write did: there may be a hole */
};

struct packs {
    const struct files *files;
    char folder[FILES_PATH_MAX - 64];
    bool write;
    pthread_mutex_t mutex; /* everything below */
    pthread_cond_t written;
    size_t count, capacity;
    struct packs_file **list;
    struct packs_part *parts;
    size_t hint;         /* where something was found last */
    uint64_t generation; /* grows when the list loses one */
    uint64_t ticks, listings;
    unsigned open_count, open_max;
    uint64_t folder_mtime_ns; /* as of the last listing; 0: list again */
    bool folder_synced;       /* its name in the folder above */
    pthread_mutex_t listing;  /* taken before `mutex`: one listing of the folder at a time */
};

/* --- shared by packs.c and the writers --- */

/* Is `name` that of a pack, with this ending? Then its 16 digits are in `out`. */
bool packs_name(const char *name, const char *suffix, char out[PACKS_NAME_BYTES]);

int packs_path(const struct packs *p, const char *name, const char *suffix,
               char out[FILES_PATH_MAX], struct err *err) MUST_USE;
struct packs_file *packs_file_new(const char *name, bool reference);
void packs_file_free(const struct files *f, struct packs_file *file);
/* packs_file.c. Opens and checks; the caller has it in use. A damaged index is made again. */
int packs_file_open_index(struct packs *p, struct packs_file *file, struct err *err) MUST_USE;
int packs_file_open_data(struct packs *p, struct packs_file *file, int *fd,
                         struct err *err) MUST_USE;
/* Gives back what packs_file_open_data gave. */
void packs_file_close_data(struct packs *p, const struct packs_file *file, int fd);
/* ERR_NOTFOUND without a sentence. */
int packs_file_find(struct packs *p, struct packs_file *file, const uint8_t digest[HASH_BYTES],
                    struct packs_entry *out, struct err *err) MUST_USE;
/* By offset. */
int packs_file_entries(struct packs *p, struct packs_file *file, struct packs_entries *out,
                       struct err *err) MUST_USE;
void packs_file_release(struct packs *p, struct packs_file *file);
/* The same for one just sealed: its descriptor, which was not counted until now, is closed. */
void packs_file_retire(struct packs *p, struct packs_file *file);
/* The i-th in use, NULL behind the last. */
struct packs_file *packs_file_take(struct packs *p, size_t i);
/* The next from `i` on, which is moved there, that may have the digest. */
struct packs_file *packs_file_take_likely(struct packs *p, size_t *i,
                                          const uint8_t digest[HASH_BYTES]);
/* Both with the mutex held; packs_list_add takes the file. */
int packs_list_add(struct packs *p, struct packs_file *file, struct err *err) MUST_USE;
void packs_list_remove(struct packs *p, struct packs_file *file);
void packs_file_let_go(struct packs *p, struct packs_file *file);
/* Makes the file, its index and its name durable. */
int packs_file_sync(struct packs *p, struct packs_file *file, struct err *err) MUST_USE;

/* A place where a digest was found, while the file is in use. */
struct packs_hit {
    struct packs_file *file;
    struct packs_entry entry;
};

/* Calls `use` for every place of the digest until it returns 0, and returns that. ERR_NOTFOUND
 * without a sentence: it is nowhere. Else the first other failure, of `use` or of looking into an
 * index: then it is not known whether the digest is anywhere. `sealed`: not what is being written.
 */
int packs_each_hit(struct packs *p, const uint8_t digest[HASH_BYTES], bool sealed,
                   int (*use)(void *self, const struct packs_hit *hit, struct err *err), void *self,
                   struct err *err) MUST_USE;
/* Appends the bytes to `out`, and says where they are. */
int packs_hit_read(struct packs *p, const struct packs_hit *hit, struct buf *out,
                   char where[FILES_PATH_MAX], struct err *err) MUST_USE;

/* Do the bytes hash to the digest? */
bool packs_hit_is_block(struct bytes block, const uint8_t digest[HASH_BYTES]);
/* Are they these, and in no file that others may change? `room` is for reading them. */
bool packs_hit_is_equal(struct packs *p, const struct packs_hit *hit, struct bytes block,
                        struct buf *room);

/* Takes up parts, index files and packs as a crash left them (packs_recover.c). */
int packs_recover(struct packs *p, struct err *err) MUST_USE;
/* A part whose lock is held: hashed, cut, sealed; not `kept` where nothing was whole. */
int packs_recover_part(struct packs *p, const char *name, int fd, bool *kept,
                       struct err *err) MUST_USE;

/* packs_batch_finish without its end. */
int packs_batch_seal(struct packs_batch *b, bool sync, struct err *err) MUST_USE;
/* The store's, with each batch. */
void *packs_batch_self(const struct packs_batch *b);
void packs_batch_own(struct packs_batch *b, void (*fini)(void *self)); /* called at the end */

#endif
