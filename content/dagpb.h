/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dagpb -- the dag-pb nodes of UnixFS files: links first, then the UnixFS message.
 *
 * Source: IPLD dag-pb and UnixFS specifications, with Kubo's habit of writing an empty Name in
 * every link of a file. Read: Name empty or absent, Type File (or Raw leaves), blocksizes and
 * filesize present and in agreement, links and sizes equal in number. Directories, symlinks and
 * HAMT nodes are refused here (ERR_UNSUPPORTED): a model is one file.
 */
#ifndef COLMEIA_CONTENT_DAGPB_H
#define COLMEIA_CONTENT_DAGPB_H

#include "base/cid.h"

#define DAGPB_LINKS_MAX 65536 /* read; written: 1,024 */

struct dagpb_link {
    struct cid cid;
    uint64_t file_bytes;  /* of the file below this child (blocksize) */
    uint64_t total_bytes; /* Tsize: child block and everything below it */
};

struct dagpb_node {
    uint64_t file_bytes;
    size_t link_count;
    struct dagpb_link *links; /* owned */
    struct bytes data;        /* inline file bytes of a dag-pb leaf, borrowed from the input */
};

/* Appends the block of an inner node of a file. */
void dagpb_encode_file(const struct dagpb_link *links, size_t count, struct buf *out);

/* `in` must outlive out->data. */
int dagpb_decode_file(struct bytes in, struct dagpb_node *out, struct err *err) MUST_USE;
void dagpb_node_fini(struct dagpb_node *n);

#endif
