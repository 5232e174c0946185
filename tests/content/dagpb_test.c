/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagpb.h"
#include "tests/scratch.h"

/* A raw identity CID of five bytes, as the tests of other implementations use it. */
#define TINY "0155 0005 0001020304"
/* A digest of 32 bytes 0x11, as a raw CIDv1 and as a CIDv0. */
#define DIGEST "1111111111111111111111111111111111111111111111111111111111111111"
#define V1     "01551220" DIGEST
#define V0     "1220" DIGEST

/* Writes a decoded node again; whether a name was there is not kept. */
static struct buf encode(const struct dagpb_node *n)
{
    struct buf out = buf_new(4u << 20);
    for (size_t i = 0; i < n->link_count; i++)
        dagpb_put_link(&out, &n->links[i].cid, n->links[i].name, n->links[i].total_bytes);
    if (n->has_data)
        dagpb_put_data(&out, n->data);
    assert_int_equal(buf_check(&out, NULL), 0);
    return out;
}

/* The blocks of go-codec-dagpb's compat_test.go and of ipld/codec-fixtures that can be read, and
 * some more; `same`: written again they are the same bytes. */
static const struct {
    const char *hex;
    size_t links;
    int data; /* its size; -1: none */
    bool same;
    const char *why;
} good[] = {
    {"", 0, -1, true, "nothing at all is a node"},
    {"0a00", 0, 0, true, "empty data is data"},
    {"0a050001020304", 0, 5, true, "data"},
    {"120b 0a09" TINY, 1, -1, false, "a link of a CID alone"},
    {"120d 0a09" TINY "1200", 1, -1, false, "an empty name"},
    {"120f 0a09" TINY "1200 1800", 1, -1, true, "a link as it is written"},
    {"1216 0a09" TINY "1209736f6d65206e616d65", 1, -1, false, "a name"},
    {"120d 0a09" TINY "1800", 1, -1, false, "no name, no size"},
    {"1214 0a09" TINY "18ffffffffffffff0f", 1, -1, false, "a size of 2^53 - 1"},
    {"1218 0a09" TINY "1200 18ffffffffffffffffff01", 1, -1, true, "a size of 2^64 - 1"},
    {"120f 0a09" TINY "1200 1800 120f 0a09" TINY "1200 1800 0a0101", 2, 1, true, "two, and data"},
    {"0a0101 120f 0a09" TINY "1200 1800", 1, 1, false, "data first: read, never written"},
    {"122a 0a24" V1 "1200 1801 1228 0a22" V0 "1200 1802", 2, -1, true, "both versions of CID"},
};

static void test_whatever_is_valid_is_read_and_written_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t block[256];
        struct dagpb_node node;
        struct err err = {0};
        size_t size = from_hex(good[i].hex, block, sizeof block);
        if (dagpb_decode(bytes_of(block, size), &node, &err) != 0)
            fail_msg("%s: %s", good[i].why, err.text);
        struct buf again = encode(&node);
        bool same = bytes_equal(buf_bytes(&again), bytes_of(block, size));
        int data = node.has_data ? (int)node.data.size : -1;
        if (node.link_count != good[i].links || data != good[i].data || same != good[i].same)
            fail_msg("%s: %zu links, %d bytes of data, %s", good[i].why, node.link_count, data,
                     same ? "the same" : "other bytes");
        buf_fini(&again);
        dagpb_node_fini(&node);
    }
}

static void test_names_and_sizes_are_the_writers(void **state)
{
    (void)state;
    struct buf block = buf_new(1 << 20);
    char name[300];
    memset(name, 'n', sizeof name);
    struct cid raw = cid_of(CID_RAW, bytes_of_text("a"));
    struct cid tree = cid_of(CID_DAG_PB, bytes_of_text("b")), old = cid_as_v0(&tree);
    dagpb_put_link(&block, &raw, bytes_of(name, sizeof name), UINT64_MAX);
    dagpb_put_link(&block, &old, bytes_of("\0\xff/", 3), 127);
    dagpb_put_link(&block, &tree, bytes_of(NULL, 0), 128);
    dagpb_put_data(&block, bytes_of_text("data"));
    struct dagpb_node node;
    assert_int_equal(dagpb_decode(buf_bytes(&block), &node, NULL), 0);
    assert_int_equal(node.link_count, 3);
    assert_true(bytes_equal(node.links[0].name, bytes_of(name, sizeof name)));
    assert_true(bytes_equal(node.links[1].name, bytes_of("\0\xff/", 3)));
    assert_int_equal(node.links[2].name.size, 0);
    assert_true(cid_equal(&node.links[0].cid, &raw));
    assert_true(cid_equal(&node.links[1].cid, &old));
    assert_true(cid_equal(&node.links[2].cid, &tree));
    assert_true(node.links[0].total_bytes == UINT64_MAX);
    assert_int_equal(node.links[1].total_bytes, 127);
    assert_int_equal(node.links[2].total_bytes, 128);
    assert_true(bytes_equal(node.data, bytes_of_text("data")));
    dagpb_node_fini(&node);
    dagpb_node_fini(&node); /* all zero is fine */
    buf_fini(&block);
}

/* `at`: what the sentence says of the place. */
static const struct {
    const char *hex;
    const char *says;
    const char *at;
    const char *why;
} bad[] = {
    /* ipld/codec-fixtures, negative-fixtures/dag-pb/decode/edges.json */
    {"1200", "without a CID", "offset 2", "a link with no Hash"},
    {"1200 0a050001020304", "without a CID", "offset 2", "the same, and data"},
    {"1202 0a00", "CID cannot be read", "offset 2", "a Hash of no bytes"},
    {"1202 1200", "without a CID", "offset 2", "a link with just a Name"},
    {"120b 1209736f6d65206e616d65", "without a CID", "offset 2", "a link with just some Name"},
    {"1202 1800", "without a CID", "offset 2", "a link with just Tsize"},
    {"1203 18f207", "without a CID", "offset 2", "a link with just some Tsize"},
    {"1224 0a22" V0 "0a04 08021806 1224 0a22" V0, "data between links", "offset 44",
     "data between links"},
    /* go-codec-dagpb, format_test.go */
    {"0a050001020304 0a050001020304", "data twice", "offset 7", "data twice"},
    {"08 00", "neither links nor data", "offset 0", "data of another wire type"},
    {"1a00", "neither links nor data", "offset 0", "an unknown field"},
    {"120c 0809" TINY "00", "without a CID", "offset 2", "a Hash of another wire type"},
    {"1216 0a09" TINY "1009736f6d65206e616d65", "unknown field", "offset 13", "Name's wire type"},
    {"120e 0a09" TINY "1a01 00", "unknown field", "offset 13", "Tsize's wire type"},
    {"120d 0a09" TINY "2000", "unknown field", "offset 13", "a fourth field"},
    {"120f 0a09" TINY "1800 1200", "unknown field", "offset 15", "Name behind Tsize"},
    {"120d 1200 0a09" TINY, "without a CID", "offset 2", "Name before Hash"},
    {"120f 0a09" TINY "1200 1200", "unknown field", "offset 15", "Name twice"},
    {"1216 0a09" TINY "0a09" TINY, "unknown field", "offset 13", "Hash twice"},
    /* and more */
    {"0a", "bad varint", "offset 1", "a key without a length"},
    {"0a0508", "past the end", "offset 1", "data shorter than it says"},
    {"0affffffffffffffffff01", "past the end", "offset 1", "a length of 2^64 - 1"},
    {"0aff7f", "past the end", "offset 1", "a length past the end"},
    {"0affffffffffffffffff02", "bad varint", "offset 1", "more than 64 bits"},
    {"0a8000", "bad varint", "offset 1", "a varint longer than it need be"},
    {"8a0000", "bad varint", "offset 0", "a key longer than it need be"},
    {"00", "without a number", "offset 0", "field number 0"},
    {"0a00 00", "without a number", "offset 2", "a byte behind the data"},
    {"120c 0a09" TINY, "past the end", "offset 1", "a link shorter than it says"},
    {"120b 0a0a" TINY, "past the end", "offset 3", "a CID longer than its link"},
    {"1205 0a03 015512", "CID cannot be read", "offset 2", "half a CID"},
    {"120c 0a0a" TINY "00", "CID cannot be read", "offset 2", "a byte behind the CID"},
    {"120c 0a09" TINY "12", "bad varint", "offset 14", "a Name without a length"},
    {"120d 0a09" TINY "1201", "past the end", "offset 14", "a Name longer than its link"},
    {"120f 0a09" TINY "1200 1880", "bad varint", "offset 16", "a Tsize that goes on"},
};

static void test_bad_nodes_are_refused_with_the_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct dagpb_node node;
        size_t size = from_hex(bad[i].hex, block, sizeof block);
        int rc = dagpb_decode(bytes_of(block, size), &node, &err);
        if (rc != ERR_MALFORMED || strstr(err.text, bad[i].says) == NULL ||
            strstr(err.text, bad[i].at) == NULL)
            fail_msg("%s: %s %s", bad[i].why, err_name(rc), err.text);
    }
}

#define WHOLE "122a 0a24" V1 "1200 1801 1230 0a22" V0 "1208 6162636465666768 1802 0a03 010203"

/* A cut falls on a field's edge or is refused, and then what was read is a prefix. */
static void test_a_node_cut_anywhere_is_a_shorter_node_or_refused(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = from_hex(WHOLE, block, sizeof block), read = 0;
    for (size_t cut = 0; cut < size; cut++) {
        struct dagpb_node node;
        uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a byte too far */
        assert_non_null(exact);
        memcpy(exact, block, cut);
        if (dagpb_decode(bytes_of(exact, cut), &node, NULL) == 0) {
            read++;
            struct buf again = encode(&node);
            assert_true(bytes_equal(buf_bytes(&again), bytes_of(exact, cut)));
            buf_fini(&again);
            dagpb_node_fini(&node);
        }
        free(exact);
    }
    assert_int_equal(read, 3); /* nothing, one link, two links */
}

static void test_whatever_bit_flips_what_is_read_is_what_stands_there(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = from_hex(WHOLE, block, sizeof block), refused = 0, others = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        struct dagpb_node node;
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (dagpb_decode(bytes_of(block, size), &node, NULL) == 0) {
            struct buf again = encode(&node);
            /* A name that takes in the Tsize behind it: written again it is there as 0. */
            if (!bytes_equal(buf_bytes(&again), bytes_of(block, size))) {
                assert_int_equal(again.size, size + 2);
                others++;
            }
            buf_fini(&again);
            dagpb_node_fini(&node);
        } else {
            refused++;
        }
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(refused > 100);
    assert_int_equal(others, 2);
}

static void test_more_links_than_the_limit_are_refused_before_memory(void **state)
{
    (void)state;
    struct buf block = buf_new(1 << 20);
    struct dagpb_node node;
    struct err err = {0};
    for (size_t i = 0; i <= DAGPB_LINKS_MAX; i++)
        buf_append(&block, "\x12\x00", 2);
    assert_int_equal(dagpb_decode(buf_bytes(&block), &node, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "65537 links"));
    assert_int_equal(dagpb_decode(bytes_of(block.data, block.size - 2), &node, NULL),
                     ERR_MALFORMED); /* as many as are possible, but none is a link */
    buf_fini(&block);
}

static int count_link(void *self, const struct dagpb_link *link, struct err *err)
{
    size_t *count = self;
    if (link->total_bytes == 3)
        return err_set(err, ERR_DENIED, "enough");
    (*count)++;
    return 0;
}

static void test_each_link_is_seen_in_order_until_the_caller_has_enough(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t count = 0;
    size_t size = from_hex(WHOLE, block, sizeof block);
    assert_int_equal(dagpb_each_link(bytes_of(block, size), count_link, &count, NULL), 0);
    assert_int_equal(count, 2);
    size = from_hex(WHOLE "00", block, sizeof block);
    count = 0;
    assert_int_equal(dagpb_each_link(bytes_of(block, size), count_link, &count, NULL),
                     ERR_MALFORMED); /* what stands behind the links is looked at too */
    assert_int_equal(count, 2);
    size = from_hex("122a 0a24" V1 "1200 1801 122a 0a24" V1 "1200 1803", block, sizeof block);
    count = 0;
    assert_int_equal(dagpb_each_link(bytes_of(block, size), count_link, &count, NULL), ERR_DENIED);
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_is_valid_is_read_and_written_again),
        cmocka_unit_test(test_names_and_sizes_are_the_writers),
        cmocka_unit_test(test_bad_nodes_are_refused_with_the_offset),
        cmocka_unit_test(test_a_node_cut_anywhere_is_a_shorter_node_or_refused),
        cmocka_unit_test(test_whatever_bit_flips_what_is_read_is_what_stands_there),
        cmocka_unit_test(test_more_links_than_the_limit_are_refused_before_memory),
        cmocka_unit_test(test_each_link_is_seen_in_order_until_the_caller_has_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
