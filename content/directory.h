/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory -- a UnixFS directory's entries, whether it is one block or a HAMT.
 *
 * Written as Kubo does: links sorted by the bytes of their names in one block, or a HAMT where the
 * profile says that the directory is too large. Names are 1 to 255 bytes without '/' and NUL.
 */
#ifndef COLMEIA_CONTENT_DIRECTORY_H
#define COLMEIA_CONTENT_DIRECTORY_H

#include "content/hamt.h"
#include "content/unixfs.h"

#define DIRECTORY_NAME_MAX    255
#define DIRECTORY_ENTRIES_MAX (4u << 20) /* built in memory: about 200 bytes an entry */

struct directory; /* being built */

int directory_new(const struct unixfs_profile *profile, struct directory **out,
                  struct err *err) MUST_USE;
/* Copies. ERR_USAGE for a name that is none, ERR_EXISTS for one that is there. */
int directory_add(struct directory *d, const char *name, const struct unixfs_child *entry,
                  struct err *err) MUST_USE;
/* Hands its blocks to `put` (may be NULL), children before parents. */
int directory_finish(struct directory *d,
                     int (*put)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                     void *self, struct unixfs_child *root, struct err *err) MUST_USE;
void directory_free(struct directory *d);

/* Reading `block`, a directory or the root shard of a HAMT; ERR_UNSUPPORTED for anything else. See
 * hamt.h. */
int directory_find(const struct block_source *source, struct bytes block, struct bytes name,
                   int (*visit)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                   void *self, struct cid *out, struct err *err) MUST_USE;
/* Entries in the order of the blocks. */
int directory_each(const struct block_source *source, struct bytes block,
                   int (*each)(void *self, const struct hamt_entry *entry, struct err *err),
                   int (*visit)(void *self, const struct cid *cid, struct bytes block,
                                struct err *err),
                   void *self, struct err *err) MUST_USE;

#endif
