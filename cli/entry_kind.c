/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/entry_kind.h"

#include "content/unixfs_node.h"

static const char *codec_name(uint32_t codec)
{
    switch (codec) {
    case CID_DAG_CBOR:
        return "dag-cbor";
    case CID_DAG_JSON:
        return "dag-json";
    case CID_CBOR:
        return "cbor";
    case CID_JSON:
        return "json";
    case CID_LIBP2P_KEY:
        return "libp2p-key";
    default:
        return "block";
    }
}

static void fill(const struct unixfs_node *n, struct entry_kind *out)
{
    static const char *const names[] = {
        [UNIXFS_RAW] = "file",          [UNIXFS_DIRECTORY] = "directory", [UNIXFS_FILE] = "file",
        [UNIXFS_METADATA] = "metadata", [UNIXFS_SYMLINK] = "symlink",     [UNIXFS_HAMT] = "hamt"};
    out->name = names[n->type];
    out->folder = n->type == UNIXFS_DIRECTORY || n->type == UNIXFS_HAMT;
    out->has_bytes = !out->folder;
    out->bytes = n->type == UNIXFS_SYMLINK ? n->data.size : n->file_bytes;
    out->links = n->pb.link_count;
    for (size_t i = 0; i < n->pb.link_count; i++) {
        uint64_t more = n->pb.links[i].total_bytes;
        out->total_bytes =
            out->total_bytes > UINT64_MAX - more ? UINT64_MAX : out->total_bytes + more;
    }
    out->has_mode = n->has_mode;
    out->mode = n->mode;
    out->has_mtime = n->has_mtime;
    out->mtime_seconds = n->mtime_seconds;
    out->mtime_nanos = n->mtime_nanos;
}

int entry_kind_of(const struct cid *cid, struct bytes block, struct entry_kind *out,
                  struct err *err)
{
    struct entry_kind kind = {
        .name = "file", .has_bytes = true, .bytes = block.size, .total_bytes = block.size};
    struct unixfs_node node;
    uint32_t codec = cid_codec(cid);
    if (codec == CID_DAG_PB) {
        int rc = unixfs_node_decode(block, &node, err);
        if (rc != 0)
            return rc;
        fill(&node, &kind);
        unixfs_node_fini(&node);
    } else if (codec != CID_RAW) {
        kind.name = codec_name(codec);
    }
    *out = kind;
    return 0;
}
