/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_kind -- what one block says of the file, folder or symlink whose root it is.
 */
#ifndef COLMEIA_CLI_ENTRY_KIND_H
#define COLMEIA_CLI_ENTRY_KIND_H

#include "base/cid.h"

struct entry_kind {
    const char *name; /* "file", "directory", "hamt", "symlink", or the codec's name */
    bool folder;
    bool has_bytes;       /* a folder has none */
    uint64_t bytes;       /* of a file, a symlink's target, a block of another codec */
    uint64_t total_bytes; /* the block and, as it says, all below it */
    size_t links;
    bool has_mode, has_mtime;
    uint32_t mode, mtime_nanos;
    int64_t mtime_seconds;
};

int entry_kind_of(const struct cid *cid, struct bytes block, struct entry_kind *out,
                  struct err *err) MUST_USE;

#endif
