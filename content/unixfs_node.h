/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixfs_node -- one block of a file, directory or symlink: dag-pb whose data is a UnixFS message.
 *
 * Source: UnixFS specification and IPIP-499, to the byte as Kubo writes. Read with fields in any
 * order, unknown fields passed over, block sizes packed, or filesize left out, as protobuf allows
 * and old writers did; a field twice is refused. A node that was decoded holds together: as many
 * blocksizes as links, filesize = data + sum of blocksizes without overflow, no names on a file's
 * chunks; HAMT: murmur3, fanout a power of two from 8 to 1,024, a bitfield that fits it and counts
 * as many bits as there are links; a symlink has no links.
 */
#ifndef COLMEIA_CONTENT_UNIXFS_NODE_H
#define COLMEIA_CONTENT_UNIXFS_NODE_H

#include "content/dagpb.h"

#define UNIXFS_NODE_FANOUT_MAX 1024
#define UNIXFS_NODE_MURMUR3    0x22 /* hashType of a HAMT */

enum unixfs_type {
    UNIXFS_RAW = 0, /* bytes; old leaves */
    UNIXFS_DIRECTORY = 1,
    UNIXFS_FILE = 2,
    UNIXFS_METADATA = 3, /* refused: ERR_UNSUPPORTED */
    UNIXFS_SYMLINK = 4,
    UNIXFS_HAMT = 5
};

/* A child as its parent names it, and so the root of anything that was built. */
struct unixfs_child {
    struct cid cid;
    uint64_t file_bytes;  /* of the file below it (blocksize); 0 for a directory */
    uint64_t total_bytes; /* Tsize: the child's block and everything below it */
};

struct unixfs_node {
    enum unixfs_type type;
    struct dagpb_node pb;
    struct bytes data; /* borrowed: a file's inline bytes, a symlink's target, a HAMT's bitfield */
    uint64_t file_bytes;   /* file and raw: filesize */
    uint64_t *child_bytes; /* file: blocksize of each link; owned */
    uint32_t fanout;       /* HAMT */
    bool has_mode, has_mtime;
    uint32_t mode, mtime_nanos;
    int64_t mtime_seconds;
};

/* `block` must outlive `out`. */
int unixfs_node_decode(struct bytes block, struct unixfs_node *out, struct err *err) MUST_USE;
void unixfs_node_fini(struct unixfs_node *n); /* all zero is fine */

/* Each appends one whole block. */
void unixfs_node_put_file(struct buf *out, const struct unixfs_child *children, size_t count);
void unixfs_node_put_leaf(struct buf *out, struct bytes data); /* a dag-pb leaf, Type File */
void unixfs_node_put_symlink(struct buf *out, struct bytes target);
/* The data of a directory, behind its links (dagpb_put_link). */
void unixfs_node_put_directory(struct buf *out);
void unixfs_node_put_hamt(struct buf *out, struct bytes bitfield, uint32_t fanout);

#endif
