/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve -- follows a path from a root: through UnixFS directories and HAMTs by entries' names,
 * through dag-cbor and dag-json by map keys and array indices.
 *
 * Source: IPFS path gateway, path resolution. Segments are bytes; empty ones are passed over. Where
 * a path ends inside a dag-cbor or dag-json block, `rest` is the part that names the place in it.
 */
#ifndef COLMEIA_CONTENT_RESOLVE_H
#define COLMEIA_CONTENT_RESOLVE_H

#include "content/block_source.h"

#define RESOLVE_PATH_MAX     4096
#define RESOLVE_SEGMENTS_MAX 256

struct resolved {
    struct cid cid; /* the last block reached */
    const char
        *rest; /* into `path`: what names a place inside that block; "" if all was followed */
};

/* `path` ("a/b", "/a/b/", or "") is decoded already: no %-escapes. `visit` (may be NULL) gets every
 * block that was read on the way, the HAMT's shards too, the last one (`cid`) only if it had to be
 * looked into; identity CIDs are passed over. ERR_NOTFOUND says which segment is missing under
 * what. */
int resolve_path(const struct block_source *source, const struct cid *root, const char *path,
                 int (*visit)(void *self, const struct cid *cid, struct bytes block,
                              struct err *err),
                 void *self, struct resolved *out, struct err *err) MUST_USE;

/* "CID", "CID/path", "/ipfs/CID/path", "ipfs://CID/path": the root, and the path in `text`.
 * ERR_USAGE. */
int resolve_parse(const char *text, struct cid *root, const char **path, struct err *err) MUST_USE;

#endif
