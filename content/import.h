/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import -- files, folders and streams from disk into blocks, by a profile.
 *
 * A window of chunks, gathered over as many files as it takes, is read, hashed (hash_sha256_many)
 * and written on all cores; memory does not grow with the size of a file, and for a folder only
 * with the number of its entries. A file that changes its size while it is read is refused. Folders
 * are taken in the byte order of names, symlinks as symlinks (never followed, nor is one that is
 * given itself: as Kubo does it), hidden names only if asked for; what is neither file, folder nor
 * symlink is refused by name.
 */
#ifndef COLMEIA_CONTENT_IMPORT_H
#define COLMEIA_CONTENT_IMPORT_H

#include "base/jobs.h"
#include "base/progress.h"
#include "content/store.h"

#define IMPORT_DEPTH_MAX 256 /* folders in folders */
/* Chunks of a file that is indexed without a copy: 32 bytes of memory each. */
#define IMPORT_REFERENCES_MAX (1u << 20)

struct import_options {
    const struct unixfs_profile *profile;
    struct packs_batch *batch;       /* NULL: hash only */
    bool hidden, no_copy;            /* no_copy: raw leaves only; files alone, not streams */
    struct jobs *jobs;               /* NULL: this thread alone */
    struct progress_count *progress; /* bytes read, of all (0: not known); may be NULL */
    /* Each finished file, folder (after what is in it) and symlink, `path` from the one given; may
     * be NULL. */
    int (*added)(void *self, const char *path, const struct unixfs_child *child, struct err *err);
    void *self;
};

/* A file, folder or symlink. ERR_NOTFOUND, ERR_USAGE (a special file), ERR_IO, ERR_LIMIT. */
int import_path(const struct import_options *o, const char *path, struct unixfs_child *root,
                struct err *err) MUST_USE;
/* A descriptor that is read to its end: standard input. */
int import_stream(const struct import_options *o, int fd, struct unixfs_child *root,
                  struct err *err) MUST_USE;
/* Bytes of all files below `path`, for progress; 0 if that cannot be told. */
uint64_t import_measure(const char *path, bool hidden);

#endif
