/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/blocks_scratch.h"

/* --- a whole file of raw leaves --- */

struct leaves {
    uint64_t count, next_offset, stop_at;
};

static int see_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct leaves *l = self;
    assert_int_equal(leaf->offset, l->next_offset);
    if (l->stop_at != 0 && l->count == l->stop_at)
        return err_set(err, ERR_DENIED, "enough");
    l->next_offset += leaf->size;
    l->count++;
    return 0;
}

static struct unixfs_child leaf_link(const char *text)
{
    return (struct unixfs_child){.cid = cid_of(CID_RAW, bytes_of_text(text)),
                                 .file_bytes = strlen(text),
                                 .total_bytes = strlen(text)};
}

static int walk(struct blocks *b, const struct cid *root, uint64_t max, uint64_t *size,
                struct leaves *l, struct err *err)
{
    struct block_source source = blocks_source(b);
    return unixfs_walk(&source, root, max, size, see_leaf, l, err);
}

static void test_a_walk_sees_every_leaf_in_its_place(void **state)
{
    (void)state;
    static const uint64_t counts[] = {2, 1024, 1025, 2050};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct blocks n = {0};
        struct leaves l = {0};
        struct unixfs_builder *b;
        struct unixfs_child root;
        uint8_t digest[HASH_BYTES] = {7};
        uint64_t size = 0, want = (counts[i] - 1) * UNIXFS_LEAF_BYTES + 77;
        assert_int_equal(unixfs_builder_new(&unixfs_v1_2025, blocks_put, &n, &b, NULL), 0);
        for (uint64_t k = 0; k < counts[i]; k++)
            assert_int_equal(
                unixfs_builder_add(b, digest, k + 1 < counts[i] ? UNIXFS_LEAF_BYTES : 77, NULL), 0);
        assert_int_equal(unixfs_builder_finish(b, &root, NULL), 0);
        unixfs_builder_free(b);
        assert_int_equal(walk(&n, &root.cid, want, &size, &l, NULL), 0);
        assert_int_equal(size, want);
        assert_int_equal(l.count, counts[i]);
        assert_int_equal(l.next_offset, want);
        struct leaves none = {0};
        assert_int_equal(walk(&n, &root.cid, want - 1, &size, &none, NULL), ERR_LIMIT);
        assert_int_equal(none.count, 0);
        struct leaves some = {.stop_at = 1};
        assert_int_equal(walk(&n, &root.cid, want, NULL, &some, NULL), ERR_DENIED);
        assert_int_equal(some.count, 1);
        blocks_fini(&n);
    }
}

static void test_a_file_of_one_leaf_is_its_root(void **state)
{
    (void)state;
    struct blocks n = {0};
    struct leaves l = {0};
    struct cid root = cid_of(CID_RAW, bytes_of_text("hello"));
    uint64_t size = 0;
    assert_int_equal(blocks_put(&n, &root, bytes_of_text("hello"), NULL), 0);
    assert_int_equal(walk(&n, &root, 5, &size, &l, NULL), 0);
    assert_int_equal(size, 5);
    assert_int_equal(l.count, 1);
    assert_int_equal(walk(&n, &root, 4, NULL, &l, NULL), ERR_LIMIT);
    struct cid empty = cid_of(CID_RAW, bytes_of(NULL, 0));
    struct leaves none = {0};
    assert_int_equal(blocks_put(&n, &empty, bytes_of(NULL, 0), NULL), 0);
    assert_int_equal(walk(&n, &empty, 0, &size, &none, NULL), 0);
    assert_int_equal(size, 0);
    assert_int_equal(none.count, 0);
    blocks_fini(&n);
}

static void test_a_child_that_holds_other_than_its_parent_says_is_refused(void **state)
{
    (void)state;
    struct blocks n = {0};
    struct leaves l = {0};
    struct unixfs_child leaf = leaf_link("abc");
    struct unixfs_child child = blocks_node(&n, &leaf, 1);
    child.file_bytes++;
    struct unixfs_child root = blocks_node(&n, &child, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_MALFORMED);
    assert_int_equal(l.count, 0);
    blocks_fini(&n);
}

static void test_trees_deeper_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct blocks n = {0};
    struct unixfs_child link = leaf_link("abc");
    for (size_t depth = 1; depth <= UNIXFS_DEPTH_MAX + 1; depth++) {
        struct leaves l = {0};
        link = blocks_node(&n, &link, 1);
        int rc = walk(&n, &link.cid, 100, NULL, &l, NULL);
        assert_int_equal(rc, depth <= UNIXFS_DEPTH_MAX ? 0 : ERR_LIMIT);
    }
    blocks_fini(&n);
}

static void test_children_that_are_no_leaves_of_a_file_are_refused(void **state)
{
    (void)state;
    struct blocks n = {0};
    struct leaves l = {0};
    struct unixfs_child empty = leaf_link("");
    struct unixfs_child root = blocks_node(&n, &empty, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_MALFORMED);

    struct unixfs_child record = leaf_link("abc");
    record.cid = cid_of(CID_DAG_CBOR, bytes_of_text("abc"));
    root = blocks_node(&n, &record, 1);
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);

    struct unixfs_child huge = leaf_link("abc");
    huge.file_bytes = (2u << 20) + 1;
    root = blocks_node(&n, &huge, 1);
    assert_int_equal(walk(&n, &root.cid, 1 << 30, NULL, &l, NULL), ERR_UNSUPPORTED);

    uint8_t inside[32]; /* "hello world" inside a dag-pb leaf */
    size_t size = from_hex("0a110802120b68656c6c6f20776f726c64180b", inside, sizeof inside);
    struct cid cid = cid_of(CID_DAG_PB, bytes_of(inside, size));
    assert_int_equal(blocks_put(&n, &cid, bytes_of(inside, size), NULL), 0);
    assert_int_equal(walk(&n, &cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);

    assert_int_equal(walk(&n, &record.cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);
    assert_int_equal(l.count, 0);
    blocks_fini(&n);
}

static void test_a_missing_node_is_named(void **state)
{
    (void)state;
    struct blocks n = {0};
    struct leaves l = {0};
    struct err err = {0};
    struct unixfs_child leaf = leaf_link("abc"), gone = leaf;
    gone.cid = cid_of(CID_DAG_PB, bytes_of_text("never stored"));
    struct unixfs_child both[2] = {leaf, gone};
    struct unixfs_child root = blocks_node(&n, both, 2);
    char text[CID_TEXT_MAX];
    assert_int_equal(walk(&n, &root.cid, 100, NULL, &l, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, cid_format(&gone.cid, text)));
    assert_int_equal(l.count, 1);
    blocks_fini(&n);
}

/* --- reading ranges --- */

/* Trees by boxo's trickle layout (ipld/unixfs/importer/trickle), which Colmeia reads and does not
 * write: a node's leaves, then four subtrees of depth 1, four of depth 2 and so on. */
struct trickle {
    struct blocks *blocks;
    const struct unixfs_profile *profile;
    struct bytes left;
};

static struct unixfs_child trickle_leaf(struct trickle *t)
{
    size_t chunk = t->profile->chunk_bytes;
    struct bytes data = bytes_of(t->left.data, t->left.size < chunk ? t->left.size : chunk);
    t->left = bytes_of(data.data + data.size, t->left.size - data.size);
    if (t->profile->raw_leaves)
        return blocks_leaf(t->blocks, t->profile, data);
    struct buf block = buf_new(4096); /* Type Raw, not File */
    unixfs_node_put_leaf(&block, data);
    assert_int_equal(block.data[3], UNIXFS_FILE);
    block.data[3] = UNIXFS_RAW;
    uint8_t digest[HASH_BYTES];
    hash_sha256(buf_bytes(&block), digest);
    struct unixfs_child leaf = {.cid = unixfs_profile_cid(t->profile, digest),
                                .file_bytes = data.size,
                                .total_bytes = block.size};
    assert_int_equal(blocks_put(t->blocks, &leaf.cid, buf_bytes(&block), NULL), 0);
    buf_fini(&block);
    return leaf;
}

static struct unixfs_child trickle_node(struct trickle *t, int depth_max)
{
    struct unixfs_child children[64], node = {0};
    size_t count = 0;
    while (count < t->profile->links_max && t->left.size > 0)
        children[count++] = trickle_leaf(t);
    for (int depth = 1; depth < depth_max && t->left.size > 0; depth++)
        for (int repeat = 0; repeat < 4 && t->left.size > 0; repeat++)
            children[count++] = trickle_node(t, depth);
    struct buf block = buf_new(4096);
    uint8_t digest[HASH_BYTES];
    unixfs_node_put_file(&block, children, count);
    hash_sha256(buf_bytes(&block), digest);
    node.cid = unixfs_profile_cid(t->profile, digest);
    node.total_bytes = block.size;
    for (size_t i = 0; i < count; i++) {
        node.file_bytes += children[i].file_bytes;
        node.total_bytes += children[i].total_bytes;
    }
    assert_int_equal(blocks_put(t->blocks, &node.cid, buf_bytes(&block), NULL), 0);
    buf_fini(&block);
    return node;
}

static struct unixfs_child trickle_file(struct blocks *b, const struct unixfs_profile *p,
                                        struct bytes file)
{
    struct trickle t = {.blocks = b, .profile = p, .left = file};
    return trickle_node(&t, 15);
}

static struct unixfs_profile small_profile(unsigned cid_version, bool raw_leaves)
{
    struct unixfs_profile p = unixfs_v1_2025;
    p.chunk_bytes = 10;
    p.links_max = 2;
    p.cid_version = cid_version;
    p.raw_leaves = raw_leaves;
    return p;
}

/* What a range gave, and what was touched for it. */
struct seen {
    struct blocks *blocks;
    uint64_t from, to, begun, next;
    size_t nodes;
    struct bytes file;
};

static int seen_begin(void *self, uint64_t file_bytes, struct err *err)
{
    struct seen *s = self;
    (void)err;
    s->begun++;
    assert_int_equal(s->nodes, 0);
    assert_int_equal(file_bytes, s->file.size);
    return 0;
}

static int seen_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct seen *s = self;
    (void)err;
    assert_int_equal(s->begun, 1);
    assert_int_equal(cid_verify(cid, block, NULL), 0);
    s->nodes++;
    return 0;
}

static int seen_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct seen *s = self;
    struct buf block = buf_new(4096);
    assert_true(leaf->offset < s->to && leaf->offset + leaf->size > s->from); /* overlaps */
    assert_int_equal(blocks_get(s->blocks, &leaf->cid, &block, err), 0);
    assert_true(bytes_equal(buf_bytes(&block), bytes_of(s->file.data + leaf->offset, leaf->size)));
    assert_true(leaf->offset <= s->next);
    s->next = leaf->offset + leaf->size;
    buf_fini(&block);
    return 0;
}

static int seen_data(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct seen *s = self;
    (void)err;
    assert_true(data.size > 0 && offset >= s->from && offset + data.size <= s->to);
    assert_true(bytes_equal(data, bytes_of(s->file.data + offset, data.size)));
    assert_int_equal(offset, s->next > s->from ? s->next : s->from);
    s->next = offset + data.size;
    return 0;
}

static int gather(void *self, struct bytes piece, struct err *err)
{
    (void)err;
    assert_true(piece.size > 0);
    buf_append(self, piece.data, piece.size);
    return 0;
}

/* Reads and walks every range of the file, also those that go past its end. */
static void assert_every_range(struct blocks *b, const struct cid *root, struct bytes file)
{
    struct block_source source = blocks_source(b);
    struct buf out = buf_new(file.size + 1);
    for (uint64_t from = 0; from <= file.size + 1; from++)
        for (uint64_t to = 0; to <= file.size + 2; to++) {
            uint64_t end = to < file.size ? to : file.size, first = from < end ? from : end;
            buf_clear(&out);
            assert_int_equal(unixfs_walk_read(&source, root, from, to, gather, &out, NULL), 0);
            assert_true(bytes_equal(buf_bytes(&out), bytes_of(file.data + first, end - first)));
            struct seen s = {.blocks = b, .from = from, .to = to, .next = from, .file = file};
            struct unixfs_visitor v = {.self = &s,
                                       .begin = seen_begin,
                                       .node = seen_node,
                                       .leaf = seen_leaf,
                                       .data = seen_data};
            assert_int_equal(unixfs_walk_range(&source, root, from, to, &v, NULL), 0);
            assert_int_equal(s.begun, 1);
            assert_true(first == end || s.next >= end);
            /* The root is entered; nothing else if the range is empty. */
            if (first == end)
                assert_true(s.nodes <= 1);
        }
    buf_clear(&out);
    assert_int_equal(unixfs_walk_read(&source, root, 0, UINT64_MAX, gather, &out, NULL), 0);
    assert_true(bytes_equal(buf_bytes(&out), file));
    buf_fini(&out);
}

static void test_any_range_of_a_balanced_tree_is_the_files_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 9, 10, 11, 20, 21, 40, 41, 77};
    uint8_t *data = stream_bytes("ranges", 77);
    for (unsigned kind = 0; kind < 4; kind++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct unixfs_profile p = small_profile(kind & 1, (kind & 2) != 0);
            struct blocks b = {0};
            struct unixfs_child root = blocks_file(&b, &p, bytes_of(data, sizes[i]));
            if (sizes[i] == 0 && p.raw_leaves)
                assert_int_equal(blocks_put(&b, &root.cid, bytes_of(NULL, 0), NULL), 0);
            assert_every_range(&b, &root.cid, bytes_of(data, sizes[i]));
            blocks_fini(&b);
        }
    free(data);
}

/* Roots computed with Kubo 0.43.0: `ipfs add --trickle --chunker=size-10 --max-file-links=2`. */
static const struct {
    unsigned cid_version;
    bool raw_leaves;
    const char *cid;
} trickles[] = {
    {1, true, "bafybeidfyc4i6nwv6ykcnotthpkahfmx36hes523hhb7eplerjfpjq5tui"},
    {1, false, "bafybeicgy5z7iyburtgll6rf6m4boixtf2toupmaw4tuwhkjbetl4v7lta"},
    {0, false, "QmZi1rZi157pTLNh6E5PJbWbMWYiGmWBTVedaM1CmPCEps"},
};

static void test_any_range_of_kubos_trickle_trees_is_the_files_bytes(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("trickle", 700);
    for (size_t i = 0; i < sizeof trickles / sizeof trickles[0]; i++) {
        struct unixfs_profile p = small_profile(trickles[i].cid_version, trickles[i].raw_leaves);
        struct blocks b = {0};
        struct unixfs_child root = trickle_file(&b, &p, bytes_of(data, 700));
        assert_cid(&root.cid, trickles[i].cid);
        struct block_source source = blocks_source(&b);
        struct buf out = buf_new(1000);
        assert_int_equal(unixfs_walk_read(&source, &root.cid, 0, 700, gather, &out, NULL), 0);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of(data, 700)));
        buf_fini(&out);
        blocks_fini(&b);
        root = trickle_file(&b, &p, bytes_of(data, 133));
        assert_every_range(&b, &root.cid, bytes_of(data, 133));
        blocks_fini(&b);
    }
    free(data);
}

/* The data of a file's node: bytes of its own, and the sizes of its children. */
static struct unixfs_child mixed_node(struct blocks *b, const char *own,
                                      const struct unixfs_child *children, size_t count)
{
    struct buf block = buf_new(4096), data = buf_new(4096);
    uint64_t sum = strlen(own);
    buf_append(&data, "\x08\x02\x12", 3);
    buf_append_byte(&data, (uint8_t)strlen(own));
    buf_append_text(&data, own);
    for (size_t i = 0; i < count; i++) {
        dagpb_put_link(&block, &children[i].cid, bytes_of(NULL, 0), 0);
        assert_true(children[i].file_bytes < 0x80);
        buf_append_byte(&data, 0x20);
        buf_append_byte(&data, (uint8_t)children[i].file_bytes);
        sum += children[i].file_bytes;
    }
    assert_true(sum < 0x80);
    buf_append_byte(&data, 0x18); /* behind the others: any order is read */
    buf_append_byte(&data, (uint8_t)sum);
    dagpb_put_data(&block, buf_bytes(&data));
    struct unixfs_child node = blocks_keep(b, CID_DAG_PB, buf_bytes(&block), sum);
    buf_fini(&block);
    buf_fini(&data);
    return node;
}

static struct unixfs_child kept_text(struct blocks *b, const char *text)
{
    return blocks_keep(b, CID_RAW, bytes_of_text(text), strlen(text));
}

/* The identity CID of a block of less than 128 bytes. */
static struct unixfs_child inline_child(uint8_t codec, struct bytes block, uint64_t file_bytes)
{
    uint8_t bytes[256] = {1, codec, CID_IDENTITY, (uint8_t)block.size};
    struct unixfs_child child = {.file_bytes = file_bytes, .total_bytes = block.size};
    memcpy(bytes + 4, block.data, block.size);
    assert_int_equal(cid_decode(bytes_of(bytes, block.size + 4), &child.cid, NULL), 0);
    return child;
}

static void test_bytes_inside_inner_nodes_come_before_their_children(void **state)
{
    (void)state;
    struct blocks b = {0};
    struct unixfs_child low[2] = {kept_text(&b, "cd"), kept_text(&b, "efg")};
    struct unixfs_child top[3] = {mixed_node(&b, "ab", low, 2), kept_text(&b, "hi"),
                                  mixed_node(&b, "jkl", NULL, 0)};
    struct unixfs_child root = mixed_node(&b, "01", top, 3);
    assert_every_range(&b, &root.cid, bytes_of_text("01abcdefghijkl"));
    blocks_fini(&b);
}

static void test_blocks_inside_identity_cids_are_read_without_a_source(void **state)
{
    (void)state;
    struct blocks b = {0};
    uint8_t leaf[64];
    size_t size = from_hex("0a09 0802 1203 646566 1803", leaf, sizeof leaf);
    struct unixfs_child children[3] = {inline_child(CID_RAW, bytes_of_text("abc"), 3),
                                       inline_child(CID_DAG_PB, bytes_of(leaf, size), 3),
                                       kept_text(&b, "ghi")};
    struct unixfs_child root = blocks_node(&b, children, 3);
    assert_every_range(&b, &root.cid, bytes_of_text("abcdefghi"));
    blocks_fini(&b);

    assert_every_range(&b, &children[0].cid, bytes_of_text("abc")); /* as roots */
    assert_every_range(&b, &children[1].cid, bytes_of_text("def"));
    struct cid empty;
    assert_int_equal(cid_parse("bafkqaaa", &empty, NULL), 0);
    assert_every_range(&b, &empty, bytes_of_text(""));
    assert_int_equal(b.gets, 0);

    children[0].file_bytes = 4; /* one more than there are */
    root = blocks_node(&b, children, 2);
    struct block_source source = blocks_source(&b);
    struct buf out = buf_new(100);
    assert_int_equal(unixfs_walk_read(&source, &root.cid, 0, 9, gather, &out, NULL), ERR_MALFORMED);
    buf_fini(&out);
    blocks_fini(&b);
}

static void test_children_of_no_bytes_are_passed_over(void **state)
{
    (void)state;
    struct blocks b = {0};
    struct unixfs_child gone = leaf_link("");
    gone.cid = cid_of(CID_DAG_PB, bytes_of_text("never stored"));
    struct unixfs_child children[4] = {gone, kept_text(&b, "abc"), gone, kept_text(&b, "d")};
    struct unixfs_child root = blocks_node(&b, children, 4);
    assert_every_range(&b, &root.cid, bytes_of_text("abcd"));
    blocks_fini(&b);
}

static void test_what_lies_outside_the_range_need_not_be_there(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("ranges", 80);
    struct blocks b = {0}, some = {0};
    struct unixfs_profile p = small_profile(0, false);
    struct unixfs_child root = blocks_file(&b, &p, bytes_of(data, 80));
    struct unixfs_child middle = blocks_leaf(NULL, &p, bytes_of(data + 30, 10));
    for (size_t i = 0; i < b.count; i++)
        if (!cid_equal(&b.cids[i], &middle.cid))
            assert_int_equal(blocks_put(&some, &b.cids[i], buf_bytes(&b.blocks[i]), NULL), 0);
    assert_int_equal(some.count + 1, b.count);
    struct block_source source = blocks_source(&some);
    struct buf out = buf_new(100);
    char text[CID_TEXT_MAX];
    struct err err = {0};
    assert_int_equal(unixfs_walk_read(&source, &root.cid, 0, 30, gather, &out, NULL), 0);
    assert_int_equal(unixfs_walk_read(&source, &root.cid, 40, 80, gather, &out, NULL), 0);
    assert_int_equal(out.size, 70);
    assert_int_equal(unixfs_walk_read(&source, &root.cid, 29, 31, gather, &out, &err),
                     ERR_NOTFOUND);
    assert_non_null(strstr(err.text, cid_format(&middle.cid, text)));
    assert_int_equal(out.size, 71); /* what comes before it was handed out */
    buf_fini(&out);
    blocks_fini(&some);
    blocks_fini(&b);
    free(data);
}

static void test_a_raw_leaf_of_another_size_than_its_parent_says_is_refused(void **state)
{
    (void)state;
    for (int more = -1; more <= 1; more += 2) {
        struct blocks b = {0};
        struct err err = {0};
        struct buf out = buf_new(100);
        struct block_source source = blocks_source(&b);
        struct unixfs_child children[2] = {kept_text(&b, "abc"), kept_text(&b, "def")};
        children[1].file_bytes = (uint64_t)(3 + more);
        struct unixfs_child root = blocks_node(&b, children, 2);
        assert_int_equal(unixfs_walk_read(&source, &root.cid, 0, 100, gather, &out, &err),
                         ERR_MALFORMED);
        assert_non_null(strstr(err.text, "its parent says"));
        assert_int_equal(out.size, 3);
        buf_fini(&out);
        blocks_fini(&b);
    }
}

static int enough(void *self, struct bytes piece, struct err *err)
{
    size_t *pieces = self;
    (void)piece;
    (*pieces)++;
    return err_set(err, ERR_IO, "disk full");
}

static void test_a_writer_that_fails_ends_the_reading(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("ranges", 80);
    for (unsigned raw = 0; raw < 2; raw++) {
        struct blocks b = {0};
        struct unixfs_profile p = small_profile(1, raw == 1);
        struct unixfs_child root = blocks_file(&b, &p, bytes_of(data, 80));
        struct block_source source = blocks_source(&b);
        size_t pieces = 0;
        assert_int_equal(unixfs_walk_read(&source, &root.cid, 0, 80, enough, &pieces, NULL),
                         ERR_IO);
        assert_int_equal(pieces, 1);
        blocks_fini(&b);
    }
    free(data);
}

/* --- attacks --- */

static int read_all(struct blocks *b, const struct cid *root, struct err *err)
{
    struct block_source source = blocks_source(b);
    struct buf out = buf_new(1 << 20);
    int rc = unixfs_walk_read(&source, root, 0, UINT64_MAX, gather, &out, err);
    buf_fini(&out);
    return rc;
}

static void test_attack_14_a_tree_ten_thousand_deep_is_refused_early(void **state)
{
    (void)state;
    struct blocks b = {0};
    struct leaves l = {0};
    struct err err = {0};
    struct unixfs_child link = kept_text(&b, "abc");
    for (int depth = 0; depth < 10000; depth++)
        link = blocks_node(&b, &link, 1);
    assert_int_equal(read_all(&b, &link.cid, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "deeper than 64"));
    assert_int_equal(b.gets, UNIXFS_DEPTH_MAX);
    assert_int_equal(walk(&b, &link.cid, 100, NULL, &l, NULL), ERR_LIMIT);
    assert_int_equal(b.gets, 2 * UNIXFS_DEPTH_MAX);
    assert_int_equal(l.count, 0);
    blocks_fini(&b);
}

static void test_attack_15_a_block_linked_two_to_the_fortieth_times_costs_what_is_read(void **state)
{
    (void)state;
    struct blocks b = {0};
    struct leaves l = {0};
    struct unixfs_child link = kept_text(&b, "x");
    for (int level = 0; level < 40; level++) {
        struct unixfs_child both[2] = {link, link};
        link = blocks_node(&b, both, 2);
    }
    assert_int_equal(link.file_bytes, 1ull << 40);
    assert_int_equal(walk(&b, &link.cid, 1ull << 30, NULL, &l, NULL), ERR_LIMIT);
    assert_int_equal(l.count, 0);
    assert_int_equal(b.gets, 1); /* the root says so */
    struct block_source source = blocks_source(&b);
    struct buf out = buf_new(1 << 20);
    assert_int_equal(
        unixfs_walk_read(&source, &link.cid, 1ull << 39, (1ull << 39) + 3, gather, &out, NULL), 0);
    assert_int_equal(out.size, 3);
    assert_true(b.gets <= 1 + 3 * 41);
    buf_fini(&out);
    blocks_fini(&b);
}

static void test_attack_15_sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct blocks b = {0};
    struct err err = {0};
    struct unixfs_child link = kept_text(&b, "x");
    for (int level = 0; level < 63; level++) {
        struct unixfs_child both[2] = {link, link};
        link = blocks_node(&b, both, 2);
    }
    assert_true(link.file_bytes == 1ull << 63);
    struct unixfs_child both[2] = {link, link};
    link = blocks_node(&b, both, 2); /* says 0 bytes */
    assert_int_equal(read_all(&b, &link.cid, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "overflow"));
    assert_int_equal(b.gets, 1);
    blocks_fini(&b);
}

/* Answers every question with the same block, as if a node linked its own ancestor. */
struct liar {
    struct bytes block;
    bool checked; /* as sources must */
    size_t gets;
};

static int liar_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct liar *l = self;
    l->gets++;
    buf_clear(out);
    buf_append(out, l->block.data, l->block.size);
    return l->checked && l->gets > 1 ? cid_verify(cid, l->block, err) : 0;
}

static void test_attack_16_a_source_that_answers_with_ancestors_is_not_followed(void **state)
{
    (void)state;
    struct unixfs_child leaf = leaf_link("abc"), children[3];
    leaf.cid = cid_of(CID_DAG_PB, bytes_of_text("abc"));
    for (size_t i = 0; i < 3; i++)
        children[i] = leaf;
    for (size_t count = 1; count <= 3; count++)
        for (int checked = 0; checked < 2; checked++) {
            struct buf block = buf_new(4096), out = buf_new(4096);
            unixfs_node_put_file(&block, children, count);
            struct liar l = {.block = buf_bytes(&block), .checked = checked != 0};
            struct block_source source = {.self = &l, .get = liar_get};
            struct cid root = cid_of(CID_DAG_PB, buf_bytes(&block));
            int rc = unixfs_walk_read(&source, &root, 0, UINT64_MAX, gather, &out, NULL);
            /* One child of the same size as its parent can only be gone down. */
            assert_int_equal(rc, !checked && count == 1 ? ERR_LIMIT : ERR_MALFORMED);
            assert_true(l.gets <= UNIXFS_DEPTH_MAX);
            buf_fini(&out);
            buf_fini(&block);
        }
}

static void test_attack_16_wide_nodes_on_one_way_down_are_refused_before_memory(void **state)
{
    (void)state;
    struct buf block = buf_new(BLOCK_BYTES_MAX), data = buf_new(BLOCK_BYTES_MAX);
    struct unixfs_child tiny = inline_child(CID_DAG_PB, bytes_of_text("x"), 0);
    buf_append(&data, "\x08\x02", 2);
    for (size_t i = 0; i < DAGPB_LINKS_MAX; i++) {
        dagpb_put_link(&block, &tiny.cid, bytes_of(NULL, 0), 0);
        buf_append(&data, i == 0 ? "\x20\x05" : "\x20\x00", 2);
    }
    dagpb_put_data(&block, buf_bytes(&data));
    assert_int_equal(buf_check(&block, NULL), 0);
    /* The first link is no identity: the source is asked, and answers with the same again. */
    struct buf first = buf_new(BLOCK_BYTES_MAX);
    struct cid asked = cid_of(CID_DAG_PB, bytes_of_text("asked"));
    dagpb_put_link(&first, &asked, bytes_of(NULL, 0), 0);
    size_t skip = 2 + block.data[1];
    buf_append(&first, block.data + skip, block.size - skip);
    struct liar l = {.block = buf_bytes(&first)};
    struct block_source source = {.self = &l, .get = liar_get};
    struct buf out = buf_new(4096);
    struct err err = {0};
    assert_int_equal(unixfs_walk_read(&source, &asked, 0, 5, gather, &out, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "links on one way down"));
    assert_int_equal(l.gets, 3);
    buf_fini(&out);
    buf_fini(&first);
    buf_fini(&data);
    buf_fini(&block);
}

static const struct {
    const char *hex;
    const char *says;
} other_kinds[] = {
    {"0a100804120c2e2e2f736f6d657768657265", "is a symlink"},
    {"0a020801", "is a directory"},
    {"0a06 0805 2822 3008", "is a directory"},
};

static void test_attack_21_a_symlink_or_directory_where_a_file_is_expected_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof other_kinds / sizeof other_kinds[0]; i++)
        for (int inside = 0; inside < 2; inside++) {
            uint8_t block[64];
            struct blocks b = {0};
            struct leaves l = {0};
            struct err err = {0};
            char text[CID_TEXT_MAX];
            size_t size = from_hex(other_kinds[i].hex, block, sizeof block);
            struct unixfs_child node = blocks_keep(&b, CID_DAG_PB, bytes_of(block, size), 12);
            struct unixfs_child root = inside == 0 ? node : blocks_node(&b, &node, 1);
            assert_int_equal(read_all(&b, &root.cid, &err), ERR_UNSUPPORTED);
            assert_non_null(strstr(err.text, other_kinds[i].says));
            assert_non_null(strstr(err.text, cid_format(&node.cid, text)));
            assert_int_equal(walk(&b, &root.cid, 100, NULL, &l, NULL), ERR_UNSUPPORTED);
            blocks_fini(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_walk_sees_every_leaf_in_its_place),
        cmocka_unit_test(test_a_file_of_one_leaf_is_its_root),
        cmocka_unit_test(test_a_child_that_holds_other_than_its_parent_says_is_refused),
        cmocka_unit_test(test_trees_deeper_than_the_limit_are_refused),
        cmocka_unit_test(test_children_that_are_no_leaves_of_a_file_are_refused),
        cmocka_unit_test(test_a_missing_node_is_named),
        cmocka_unit_test(test_any_range_of_a_balanced_tree_is_the_files_bytes),
        cmocka_unit_test(test_any_range_of_kubos_trickle_trees_is_the_files_bytes),
        cmocka_unit_test(test_bytes_inside_inner_nodes_come_before_their_children),
        cmocka_unit_test(test_blocks_inside_identity_cids_are_read_without_a_source),
        cmocka_unit_test(test_children_of_no_bytes_are_passed_over),
        cmocka_unit_test(test_what_lies_outside_the_range_need_not_be_there),
        cmocka_unit_test(test_a_raw_leaf_of_another_size_than_its_parent_says_is_refused),
        cmocka_unit_test(test_a_writer_that_fails_ends_the_reading),
        cmocka_unit_test(test_attack_14_a_tree_ten_thousand_deep_is_refused_early),
        cmocka_unit_test(
            test_attack_15_a_block_linked_two_to_the_fortieth_times_costs_what_is_read),
        cmocka_unit_test(test_attack_15_sizes_that_overflow_are_refused),
        cmocka_unit_test(test_attack_16_a_source_that_answers_with_ancestors_is_not_followed),
        cmocka_unit_test(test_attack_16_wide_nodes_on_one_way_down_are_refused_before_memory),
        cmocka_unit_test(test_attack_21_a_symlink_or_directory_where_a_file_is_expected_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
