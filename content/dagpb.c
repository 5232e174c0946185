/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagpb.h"

#include <stdlib.h>

/* Protobuf keys: field number << 3 | wire type. */
enum {
    LINKS = 0x12,
    DATA = 0x0a,
    LINK_CID = 0x0a,
    LINK_NAME = 0x12,
    LINK_TSIZE = 0x18
};
enum {
    UNIX_TYPE = 0x08,
    UNIX_DATA = 0x12,
    UNIX_FILESIZE = 0x18,
    UNIX_BLOCKSIZE = 0x20
};
enum {
    TYPE_RAW = 0,
    TYPE_FILE = 2
};

static size_t varint_size(uint64_t n)
{
    size_t size = 1;
    for (; n >= 0x80; n >>= 7)
        size++;
    return size;
}

static void put_varint(struct buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_append_byte(out, (uint8_t)(n | 0x80));
    buf_append_byte(out, (uint8_t)n);
}

void dagpb_encode_file(const struct dagpb_link *links, size_t count, struct buf *out)
{
    uint64_t file_bytes = 0;
    size_t unix_size = 2;
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)links[i].cid.size + 5 + varint_size(links[i].total_bytes);
        buf_append_byte(out, LINKS);
        put_varint(out, size);
        buf_append_byte(out, LINK_CID);
        put_varint(out, links[i].cid.size);
        buf_append(out, links[i].cid.bytes, links[i].cid.size);
        buf_append_byte(out, LINK_NAME); /* empty, and there: as Kubo writes it */
        buf_append_byte(out, 0);
        buf_append_byte(out, LINK_TSIZE);
        put_varint(out, links[i].total_bytes);
        file_bytes += links[i].file_bytes;
        unix_size += 1 + varint_size(links[i].file_bytes);
    }
    unix_size += 1 + varint_size(file_bytes);
    buf_append_byte(out, DATA);
    put_varint(out, unix_size);
    buf_append_byte(out, UNIX_TYPE);
    buf_append_byte(out, TYPE_FILE);
    buf_append_byte(out, UNIX_FILESIZE);
    put_varint(out, file_bytes);
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, UNIX_BLOCKSIZE);
        put_varint(out, links[i].file_bytes);
    }
}

/* A sticky reader of protobuf fields. */
struct pb {
    struct bytes in;
    size_t at;
    const char *why; /* NULL while all is well */
};

static uint64_t take_varint(struct pb *r)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && r->why == NULL; i++) {
        if (r->at >= r->in.size)
            break;
        uint8_t byte = r->in.data[r->at++];
        if (i == 9 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (i > 0 && byte == 0)
                break; /* not minimal */
            return value;
        }
    }
    if (r->why == NULL)
        r->why = "bad varint";
    return 0;
}

static struct bytes take_run(struct pb *r)
{
    uint64_t size = take_varint(r);
    if (r->why == NULL && size > r->in.size - r->at)
        r->why = "length goes past the end";
    if (r->why != NULL)
        return bytes_of(NULL, 0);
    struct bytes run = bytes_of(r->in.data + r->at, (size_t)size);
    r->at += (size_t)size;
    return run;
}

/* The next field's key, or 0 at the end (and after a failure; no field has key 0). */
static uint64_t take_key(struct pb *r)
{
    if (r->why != NULL || r->at == r->in.size)
        return 0;
    uint64_t key = take_varint(r);
    if (key == 0 && r->why == NULL)
        r->why = "a field without a number";
    return key;
}

static const char *decode_link(struct bytes in, struct dagpb_link *out)
{
    struct pb r = {.in = in};
    *out = (struct dagpb_link){0};
    if (take_key(&r) != LINK_CID)
        return "a link without a CID";
    struct bytes cid = take_run(&r);
    if (r.why == NULL && cid_decode(cid, &out->cid, NULL) != 0)
        return "a link whose CID cannot be read";
    uint64_t key = take_key(&r);
    if (key == LINK_NAME) {
        if (take_run(&r).size > 0)
            return "a named link: not a file's chunk";
        key = take_key(&r);
    }
    if (key == LINK_TSIZE) {
        out->total_bytes = take_varint(&r);
        key = take_key(&r);
    }
    if (r.why != NULL)
        return r.why;
    return key == 0 ? NULL : "an unknown field in a link";
}

static const char *decode_unixfs(struct bytes in, struct dagpb_node *out)
{
    struct pb r = {.in = in};
    if (take_key(&r) != UNIX_TYPE)
        return "UnixFS data without a type";
    uint64_t type = take_varint(&r); /* File or Raw: others were refused before */
    if (r.why == NULL && type == TYPE_RAW && out->link_count > 0)
        return "a raw UnixFS leaf with links";
    uint64_t sum = 0;
    bool sized = false;
    size_t sizes = 0;
    for (uint64_t key = take_key(&r); key != 0 && r.why == NULL; key = take_key(&r)) {
        if (key == UNIX_DATA && out->data.data == NULL && !sized) {
            out->data = take_run(&r);
            sum = out->data.size;
        } else if (key == UNIX_FILESIZE && !sized) {
            out->file_bytes = take_varint(&r);
            sized = true;
        } else if (key == UNIX_BLOCKSIZE && sizes < out->link_count) {
            uint64_t size = take_varint(&r);
            if (size > UINT64_MAX - sum)
                return "block sizes that overflow";
            sum += size;
            out->links[sizes++].file_bytes = size;
        } else {
            return "an unexpected field in UnixFS data";
        }
    }
    if (r.why != NULL)
        return r.why;
    if (sizes != out->link_count)
        return "as many block sizes as links are needed";
    if (!sized)
        out->file_bytes = sum;
    return out->file_bytes == sum ? NULL : "filesize is not the sum of block sizes";
}

/* A first look: how many links there are, and whether the node is of a kind that is not a file
 * (whose links would only look malformed here). */
static size_t count_links(struct bytes in, bool *other_kind)
{
    struct pb r = {.in = in};
    size_t count = 0;
    uint64_t key = take_key(&r);
    for (; key == LINKS && r.why == NULL; key = take_key(&r)) {
        take_run(&r);
        count++;
    }
    struct pb data = {.in = key == DATA ? take_run(&r) : bytes_of(NULL, 0)};
    uint64_t type = take_key(&data) == UNIX_TYPE ? take_varint(&data) : TYPE_FILE;
    *other_kind = data.why == NULL && type != TYPE_FILE && type != TYPE_RAW;
    return count;
}

static const char *decode_node(struct bytes in, struct dagpb_node *out)
{
    struct pb r = {.in = in};
    size_t n = 0;
    uint64_t key = take_key(&r);
    for (; key == LINKS && n < out->link_count && r.why == NULL; key = take_key(&r)) {
        const char *why = decode_link(take_run(&r), &out->links[n++]);
        if (why != NULL)
            return why;
    }
    if (r.why == NULL && key != DATA)
        return "links first, then data";
    struct bytes data = take_run(&r);
    if (r.why == NULL && r.at != r.in.size)
        return "bytes behind the data";
    return r.why != NULL ? r.why : decode_unixfs(data, out);
}

int dagpb_decode_file(struct bytes in, struct dagpb_node *out, struct err *err)
{
    bool other_kind;
    struct dagpb_node node = {.link_count = count_links(in, &other_kind)};
    if (other_kind)
        return err_set(err, ERR_UNSUPPORTED, "dag-pb: a UnixFS node that is not a file");
    if (node.link_count > DAGPB_LINKS_MAX)
        return err_set(err, ERR_LIMIT, "dag-pb: more than %d links", DAGPB_LINKS_MAX);
    if (node.link_count > 0)
        node.links = calloc(node.link_count, sizeof *node.links);
    if (node.link_count > 0 && node.links == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    const char *why = decode_node(in, &node);
    if (why != NULL) {
        dagpb_node_fini(&node);
        return err_set(err, ERR_MALFORMED, "dag-pb: %s", why);
    }
    *out = node;
    return 0;
}

void dagpb_node_fini(struct dagpb_node *n)
{
    free(n->links);
    n->links = NULL;
    n->link_count = 0;
}
