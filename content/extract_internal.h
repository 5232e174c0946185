/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extract_internal -- what extract*.c share, and nobody else.
 */
#ifndef COLMEIA_CONTENT_EXTRACT_INTERNAL_H
#define COLMEIA_CONTENT_EXTRACT_INTERNAL_H

#include <stdatomic.h>

#include "content/extract.h"
#include "content/slabs.h"
#include "content/unixfs_walk.h"

#define EXTRACT_DEPTH_MAX   256 /* folders in folders */
#define EXTRACT_ENTRIES_MAX (16u << 20)
#define EXTRACT_SMALL_BYTES (4u << 20) /* a file that one thread writes beside others */
#define EXTRACT_ENTRY_BYTES 4096       /* what an entry costs on disk, whatever is in it */

struct extract {
    const struct extract_options *o;
    struct slabs slabs;
    _Atomic uint64_t room;    /* bytes that may still be written */
    _Atomic uint64_t entries; /* written so far */
};

/* Where something goes: `name` in the folder open as `folder`, which is `path` for people, with a
 * slash at its end unless it is empty. `depth` counts folders from the one above the root: 0 for
 * the root, 1 for what lies in it. */
struct extract_place {
    int folder;
    const char *path, *name;
    const char *shown; /* the name for people; NULL: `name` */
    unsigned depth;
    bool replace;
};

/* `out` cut in two, the caller's to free: the folder, with its slash, and a name in it. */
int extract_split(const char *out, char **folder, char **name, struct err *err) MUST_USE;
/* Opens the folder ("": this one) of a place at depth 0, the caller's to close. */
int extract_open_place(struct extract_place *place, const char *folder, const char *name,
                       struct err *err) MUST_USE;
/* ERR_EXISTS if something is there that is not to be replaced. `there` may be NULL. */
int extract_check_there(const struct extract_place *place, bool *there, struct err *err) MUST_USE;
/* Sets the room to what is free where `folder` is; ERR_LIMIT if `declared` is more. */
int extract_check_free(struct extract *x, int folder, uint64_t declared, struct err *err) MUST_USE;
/* Takes `bytes` from the room that is left; ERR_LIMIT. */
int extract_take_room(struct extract *x, uint64_t bytes, struct err *err) MUST_USE;

/* The file `cid` at its place; the root under a temporary name until it is whole. `large` (may be
 * NULL) is set, and nothing written, if it has more than EXTRACT_SMALL_BYTES: the code is ERR_LIMIT
 * then. */
int extract_file(struct extract *x, struct jobs *jobs, const struct extract_place *place,
                 const struct cid *cid, bool *large, struct err *err) MUST_USE;
/* The same for a file whose bytes are all here. */
int extract_file_bytes(struct extract *x, const struct extract_place *place, struct bytes data,
                       struct err *err) MUST_USE;

/* The folder `cid`, which must not be there. */
int extract_folder(struct extract *x, const struct extract_place *place, const struct cid *cid,
                   struct err *err) MUST_USE;
/* Removes a folder that was made here, with all that is in it; what cannot be removed stays. */
void extract_folder_remove(int above, const char *name);

/* A file, symlink or folder at its place. `later` (may be NULL) is given by one of many threads:
 * a folder or a large file is then left undone, and *later says so. */
int extract_entry(struct extract *x, const struct extract_place *place, const struct cid *cid,
                  bool *later, struct err *err) MUST_USE;

/* ERR_DENIED for a name that no folder should get. */
int extract_name_check(struct bytes name, struct err *err) MUST_USE;
/* ERR_DENIED for a symlink's target that is absolute or steps more than `up` folders up; UINT_MAX:
 * any target that can be one. */
int extract_name_check_target(struct bytes target, unsigned up, struct err *err) MUST_USE;
/* A name that nothing has, also not what an earlier process left: random. Returns `out`. */
#define EXTRACT_NAME_TEMPORARY 64
#define EXTRACT_NAME_TRIES     10
const char *extract_name_temporary(char out[EXTRACT_NAME_TEMPORARY]);
/* Gives `from` its name in the same folder. ERR_EXISTS if there is something by that name, unless
 * it is to be replaced. */
int extract_name_take(const struct extract_place *place, const char *from,
                      struct err *err) MUST_USE;

#endif
