/* SPDX-License-Identifier: Apache-2.0 */
/* dagpb: the input as a dag-pb node, and as a UnixFS node. What is read and written again is read
 * the same, and is the input itself if every link had a name and a size; what a UnixFS node says of
 * sizes, bits and links holds together. */
#include <assert.h>
#include <stdlib.h>

#include "content/unixfs_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct dagpb_node *n, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < n->link_count; i++)
        dagpb_put_link(out, &n->links[i].cid, n->links[i].name, n->links[i].total_bytes);
    if (n->has_data)
        dagpb_put_data(out, n->data);
    int rc = buf_check(out, NULL);
    assert(rc == 0);
}

static void check_same(const struct dagpb_node *a, const struct dagpb_node *b)
{
    assert(a->link_count == b->link_count && a->has_data == b->has_data);
    assert(bytes_equal(a->data, b->data));
    for (size_t i = 0; i < a->link_count; i++) {
        assert(cid_equal(&a->links[i].cid, &b->links[i].cid));
        assert(bytes_equal(a->links[i].name, b->links[i].name));
        assert(a->links[i].total_bytes == b->links[i].total_bytes);
    }
}

struct links {
    const struct dagpb_node *node;
    size_t seen;
};

static int see_link(void *self, const struct dagpb_link *link, struct err *err)
{
    struct links *l = self;
    (void)err;
    assert(l->seen < l->node->link_count);
    const struct dagpb_link *same = &l->node->links[l->seen++];
    assert(cid_equal(&link->cid, &same->cid) && link->name.data == same->name.data);
    return 0;
}

static void check_node(struct bytes in, const struct dagpb_node *node)
{
    struct links links = {.node = node};
    struct buf once = buf_new(8 * in.size + 64), twice = buf_new(8 * in.size + 64);
    struct dagpb_node again;
    int rc = dagpb_each_link(in, see_link, &links, NULL);
    assert(rc == 0 && links.seen == node->link_count);
    write_again(node, &once);
    assert(once.size >= in.size); /* what may be left out is there */
    rc = dagpb_decode(buf_bytes(&once), &again, NULL);
    assert(rc == 0);
    check_same(node, &again);
    write_again(&again, &twice);
    assert(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    dagpb_node_fini(&again);
    buf_fini(&once);
    buf_fini(&twice);
}

static void check_unixfs(const struct unixfs_node *n)
{
    uint64_t sum = n->data.size, bits = 0;
    assert(n->pb.has_data && n->mtime_nanos < 1000000000);
    for (size_t i = 0; n->child_bytes != NULL && i < n->pb.link_count; i++) {
        assert(n->child_bytes[i] <= UINT64_MAX - sum);
        sum += n->child_bytes[i];
    }
    if (n->type == UNIXFS_FILE || n->type == UNIXFS_RAW)
        assert(sum == n->file_bytes && (n->child_bytes != NULL) == (n->pb.link_count > 0));
    if (n->type == UNIXFS_SYMLINK)
        assert(n->pb.link_count == 0);
    for (size_t i = 0; i < 8 * n->data.size; i++)
        bits += n->data.data[i / 8] >> i % 8 & 1;
    if (n->type == UNIXFS_HAMT)
        assert(bits == n->pb.link_count && n->data.size <= n->fanout / 8 && n->fanout <= 1024);
}

static void check_refused(int rc, const struct err *err)
{
    assert(rc == ERR_MALFORMED || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED);
    assert(err->code == rc && err->text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct dagpb_node node;
    struct unixfs_node unixfs;
    struct err err = {0};
    int rc = dagpb_decode(in, &node, &err), rc_unixfs;
    if (rc == 0) {
        check_node(in, &node);
        dagpb_node_fini(&node);
    } else {
        check_refused(rc, &err);
    }
    rc_unixfs = unixfs_node_decode(in, &unixfs, &err);
    if (rc_unixfs == 0) {
        assert(rc == 0);
        check_unixfs(&unixfs);
        unixfs_node_fini(&unixfs);
    } else {
        check_refused(rc_unixfs, &err);
        assert(rc == 0 || rc_unixfs == rc);
    }
    return 0;
}
