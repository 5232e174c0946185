/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extract -- writes what a CID stands for to disk: a file, a folder with all below it, a symlink.
 *
 * Nothing is ever written outside `out`: each name is checked (not `.`, `..`, empty, longer than
 * 255 bytes, with '/', NUL, a control character or invalid UTF-8: refused by name) and opened
 * relative to its folder's descriptor without following symlinks, so that a symlink extracted
 * earlier leads nowhere; a symlink target that is absolute, or steps up otherwise than at its
 * beginning and within `out`, is refused unless `any_symlink`. `out` appears whole or not at all
 * (temporary name, rename), a folder too; blocks are hashed before their bytes are written, on all
 * cores. A declared size larger than the free space is refused before a byte is written.
 */
#ifndef COLMEIA_CONTENT_EXTRACT_H
#define COLMEIA_CONTENT_EXTRACT_H

#include "base/jobs.h"
#include "base/progress.h"
#include "content/block_source.h"

struct extract_options {
    struct block_source source; /* may be called from many threads at once */
    /* The same bytes, not hashed: a file's leaves are then hashed here, two at a time, and asked of
     * `source` only where that fails. `get` may be NULL. */
    struct block_source unhashed;
    struct jobs *jobs;               /* NULL: this thread alone */
    struct progress_count *progress; /* bytes written, of all; may be NULL */
    bool force;                      /* replace a file that is there; never a folder */
    bool any_symlink;
    bool sync;
};

/* ERR_EXISTS for `out` without force; ERR_DENIED for a name or target that leads out of it. */
int extract_path(const struct extract_options *o, const struct cid *root, const char *out,
                 struct err *err) MUST_USE;

/* Bytes `from`..`to` - 1 of a file to the descriptor `fd`, in order, blocks verified. A symlink
 * gives its target. */
int extract_stream(const struct extract_options *o, const struct cid *root, uint64_t from,
                   uint64_t to, int fd, struct err *err) MUST_USE;

#endif
