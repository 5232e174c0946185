/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unixfs_node.h"

#include <stdlib.h>

#include "base/varint.h"
#include "content/protobuf.h"

/* Protobuf keys of the UnixFS message. */
enum {
    TYPE = 0x08,
    BYTES = 0x12,
    FILESIZE = 0x18,
    BLOCKSIZE = 0x20,
    BLOCKSIZES = 0x22, /* the same, packed: nobody writes it, protobuf reads it */
    HASH_TYPE = 0x28,
    FANOUT = 0x30,
    MODE = 0x38,
    MTIME = 0x42,
    MTIME_SECONDS = 0x08,
    MTIME_NANOS = 0x15
};
#define FIELD_MAX (MTIME >> 3)

/* The message as it was written, before its parts are held against each other. */
struct message {
    uint32_t seen; /* a bit for each field number */
    uint64_t type, filesize, hash_type, fanout;
    struct bytes data;
    size_t size_count;
    uint64_t size_sum;
};

static bool has(const struct message *m, unsigned key)
{
    return (m->seen >> (key >> 3) & 1) != 0;
}

static void take_size(struct protobuf *r, struct message *m, uint64_t *sizes, size_t max)
{
    uint64_t size = protobuf_varint(r);
    if (size > UINT64_MAX - m->size_sum)
        protobuf_fail(r, "block sizes that overflow");
    else
        m->size_sum += size;
    if (sizes != NULL && m->size_count < max)
        sizes[m->size_count] = size;
    m->size_count++;
}

static void take_sizes(struct protobuf *r, struct message *m, uint64_t *sizes, size_t max)
{
    struct bytes run = protobuf_run(r);
    if (r->why != NULL || run.size == 0)
        return;
    struct protobuf inner = protobuf_within(r->in, run);
    while (inner.why == NULL && inner.at < inner.in.size)
        take_size(&inner, m, sizes, max);
    if (inner.why != NULL) {
        r->at = inner.at;
        protobuf_fail(r, inner.why);
    }
}

static void take_mtime(struct protobuf *r, struct unixfs_node *out)
{
    struct bytes run = protobuf_run(r);
    struct protobuf inner = protobuf_within(r->in, run);
    bool has_seconds = false;
    for (uint64_t key; run.size > 0 && (key = protobuf_key(&inner)) != 0;) {
        if (key == MTIME_SECONDS) {
            out->mtime_seconds = (int64_t)protobuf_varint(&inner);
            has_seconds = true;
        } else if (key == MTIME_NANOS) {
            out->mtime_nanos = protobuf_fixed32(&inner);
        } else {
            protobuf_skip(&inner, key);
        }
    }
    if (!has_seconds || out->mtime_nanos > 999999999)
        protobuf_fail(&inner, "a time that is none");
    if (inner.why != NULL) {
        r->at = run.size > 0 ? inner.at : r->at;
        protobuf_fail(r, inner.why);
    }
    out->has_mtime = true;
}

static void take_field(struct protobuf *r, uint64_t key, struct message *m, struct unixfs_node *out)
{
    switch (key) {
    case TYPE:
        m->type = protobuf_varint(r);
        break;
    case BYTES:
        m->data = protobuf_run(r);
        break;
    case FILESIZE:
        m->filesize = protobuf_varint(r);
        break;
    case HASH_TYPE:
        m->hash_type = protobuf_varint(r);
        break;
    case FANOUT:
        m->fanout = protobuf_varint(r);
        break;
    case MODE: {
        uint64_t mode = protobuf_varint(r);
        if (mode > UINT32_MAX)
            protobuf_fail(r, "a mode of more than 32 bits");
        out->mode = (uint32_t)mode;
        out->has_mode = true;
        break;
    }
    case MTIME:
        take_mtime(r, out);
        break;
    default:
        protobuf_fail(r, "a field of the wrong kind");
    }
}

/* One pass over the UnixFS message; `sizes` (of `max`, may be NULL) receives the block sizes. */
static void read_message(struct protobuf *r, struct message *m, struct unixfs_node *out,
                         uint64_t *sizes, size_t max)
{
    for (uint64_t key; (key = protobuf_key(r)) != 0;) {
        if (key == BLOCKSIZE) {
            take_size(r, m, sizes, max);
        } else if (key == BLOCKSIZES) {
            take_sizes(r, m, sizes, max);
        } else if (key >> 3 > FIELD_MAX) {
            protobuf_skip(r, key);
        } else if (has(m, (unsigned)key)) {
            protobuf_fail(r, "a UnixFS field twice");
        } else {
            m->seen |= 1u << (key >> 3);
            take_field(r, key, m, out);
        }
    }
}

/* --- what a node of each type must be --- */

static const char *check_file(const struct message *m, struct unixfs_node *n)
{
    if (n->type == UNIXFS_RAW && n->pb.link_count > 0)
        return "a raw UnixFS leaf with links";
    for (size_t i = 0; i < n->pb.link_count; i++)
        if (n->pb.links[i].name.size > 0)
            return "a named link: not a file's chunk";
    if (m->size_count != n->pb.link_count)
        return "as many block sizes as links are needed";
    if (m->size_sum > UINT64_MAX - m->data.size)
        return "block sizes that overflow";
    uint64_t sum = m->size_sum + m->data.size;
    if (has(m, FILESIZE) && m->filesize != sum)
        return "filesize is not the sum of block sizes";
    n->file_bytes = sum; /* old writers left it out */
    return NULL;
}

static const char *check_hamt(const struct message *m, struct unixfs_node *n)
{
    if (m->hash_type != UNIXFS_NODE_MURMUR3)
        return "a HAMT by another hash than murmur3";
    if (m->fanout < 8 || m->fanout > UNIXFS_NODE_FANOUT_MAX || (m->fanout & (m->fanout - 1)) != 0)
        return "a HAMT whose fanout is no power of two from 8 to 1,024";
    if (m->data.size > m->fanout / 8)
        return "a HAMT whose bitfield is larger than its fanout";
    size_t bits = 0;
    for (size_t i = 0; i < m->data.size; i++)
        for (uint8_t byte = m->data.data[i]; byte != 0; byte = (uint8_t)(byte & (byte - 1)))
            bits++;
    if (bits != n->pb.link_count)
        return "a HAMT whose bitfield does not count its links";
    n->fanout = (uint32_t)m->fanout;
    return NULL;
}

static const char *check_message(const struct message *m, struct unixfs_node *n)
{
    n->data = m->data;
    switch (n->type) {
    case UNIXFS_RAW:
    case UNIXFS_FILE:
        return check_file(m, n);
    case UNIXFS_HAMT:
        return check_hamt(m, n);
    case UNIXFS_SYMLINK:
        return n->pb.link_count > 0 ? "a symlink with links" : NULL;
    default:
        return NULL;
    }
}

static int decode_message(struct bytes block, struct unixfs_node *n, struct err *err)
{
    if (!n->pb.has_data)
        return err_set(err, ERR_MALFORMED, "UnixFS: a dag-pb node without data");
    struct bytes data = n->pb.data;
    struct message m = {0};
    struct protobuf r = protobuf_within(block, data);
    read_message(&r, &m, n, NULL, 0);
    if (r.why != NULL)
        return err_set(err, ERR_MALFORMED, "UnixFS: %s at offset %zu", r.why, r.at);
    if (!has(&m, TYPE))
        return err_set(err, ERR_MALFORMED, "UnixFS: data without a type");
    if (m.type > UNIXFS_HAMT || m.type == UNIXFS_METADATA)
        return err_set(err, ERR_UNSUPPORTED, "UnixFS: a node of type %llu, which is not known",
                       (unsigned long long)m.type);
    n->type = (enum unixfs_type)m.type;
    const char *why = check_message(&m, n);
    if (why != NULL)
        return err_set(err, ERR_MALFORMED, "UnixFS: %s", why);
    if (n->type != UNIXFS_FILE || n->pb.link_count == 0)
        return 0;
    n->child_bytes = calloc(n->pb.link_count, sizeof *n->child_bytes);
    if (n->child_bytes == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    m = (struct message){0};
    r = protobuf_within(block, data);
    read_message(&r, &m, n, n->child_bytes, n->pb.link_count);
    return 0;
}

int unixfs_node_decode(struct bytes block, struct unixfs_node *out, struct err *err)
{
    struct unixfs_node node = {0};
    int rc = dagpb_decode(block, &node.pb, err);
    if (rc != 0)
        return rc;
    rc = decode_message(block, &node, err);
    if (rc != 0)
        unixfs_node_fini(&node);
    else
        *out = node;
    return rc;
}

void unixfs_node_fini(struct unixfs_node *n)
{
    dagpb_node_fini(&n->pb);
    free(n->child_bytes);
    *n = (struct unixfs_node){0};
}

/* --- writing --- */

/* The key of a dag-pb node's data, how long the message will be, and its type. */
static void begin_message(struct buf *out, size_t size, enum unixfs_type type)
{
    buf_append_byte(out, 0x0a);
    varint_put(out, 2 + size);
    buf_append_byte(out, TYPE);
    buf_append_byte(out, (uint8_t)type);
}

static size_t bytes_field_size(struct bytes data)
{
    return data.size == 0 ? 0 : 1 + varint_size(data.size) + data.size;
}

static void put_bytes_field(struct buf *out, struct bytes data)
{
    if (data.size == 0)
        return;
    buf_append_byte(out, BYTES);
    varint_put(out, data.size);
    buf_append(out, data.data, data.size);
}

void unixfs_node_put_file(struct buf *out, const struct unixfs_child *children, size_t count)
{
    uint64_t file_bytes = 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        dagpb_put_link(out, &children[i].cid, bytes_of(NULL, 0), children[i].total_bytes);
        file_bytes += children[i].file_bytes;
        size += 1 + varint_size(children[i].file_bytes);
    }
    begin_message(out, size + 1 + varint_size(file_bytes), UNIXFS_FILE);
    buf_append_byte(out, FILESIZE);
    varint_put(out, file_bytes);
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, BLOCKSIZE);
        varint_put(out, children[i].file_bytes);
    }
}

void unixfs_node_put_leaf(struct buf *out, struct bytes data)
{
    begin_message(out, bytes_field_size(data) + 1 + varint_size(data.size), UNIXFS_FILE);
    put_bytes_field(out, data);
    buf_append_byte(out, FILESIZE);
    varint_put(out, data.size);
}

void unixfs_node_put_symlink(struct buf *out, struct bytes target)
{
    begin_message(out, bytes_field_size(target), UNIXFS_SYMLINK);
    put_bytes_field(out, target);
}

void unixfs_node_put_directory(struct buf *out)
{
    begin_message(out, 0, UNIXFS_DIRECTORY);
}

void unixfs_node_put_hamt(struct buf *out, struct bytes bitfield, uint32_t fanout)
{
    begin_message(out, bytes_field_size(bitfield) + 3 + varint_size(fanout), UNIXFS_HAMT);
    put_bytes_field(out, bitfield);
    buf_append_byte(out, HASH_TYPE);
    buf_append_byte(out, UNIXFS_NODE_MURMUR3);
    buf_append_byte(out, FANOUT);
    varint_put(out, fanout);
}
