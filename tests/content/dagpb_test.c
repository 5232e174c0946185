/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagpb.h"
#include "tests/scratch.h"

/* A digest of 32 bytes 0x11, as a raw CIDv1. */
#define CID_HEX "01551220 1111111111111111111111111111111111111111111111111111111111111111"

static struct cid some_cid(uint8_t byte)
{
    uint8_t digest[HASH_BYTES];
    memset(digest, byte, sizeof digest);
    return cid_from_digest(CID_RAW, digest);
}

/* The layout that Kubo 0.43 gives a file of 1,048,577 bytes under unixfs-v1-2025. */
static void test_a_root_of_two_leaves_has_the_bytes_that_kubo_writes(void **state)
{
    (void)state;
    struct dagpb_link links[2] = {
        {.cid = some_cid(0x11), .file_bytes = 1 << 20, .total_bytes = 1 << 20},
        {.cid = some_cid(0x11), .file_bytes = 1, .total_bytes = 1}};
    uint8_t want[256];
    size_t size = from_hex("122c0a24" CID_HEX "1200 18808040 122a0a24" CID_HEX
                           "1200 1801 0a0c 0802 18818040 20808040 2001",
                           want, sizeof want);
    struct buf out = buf_new(4096);
    dagpb_encode_file(links, 2, &out);
    assert_int_equal(buf_check(&out, NULL), 0);
    assert_int_equal(out.size, 104);
    assert_int_equal(size, 104);
    assert_memory_equal(out.data, want, size);
    buf_fini(&out);
}

static void test_a_node_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct dagpb_link links[300];
    for (size_t i = 0; i < 300; i++)
        links[i] = (struct dagpb_link){.cid = some_cid((uint8_t)i),
                                       .file_bytes = i * i * 1000003 + 1,
                                       .total_bytes = (uint64_t)1 << (i % 64)};
    struct buf out = buf_new(1 << 20);
    dagpb_encode_file(links, 300, &out);
    struct dagpb_node node;
    assert_int_equal(dagpb_decode_file(buf_bytes(&out), &node, NULL), 0);
    assert_int_equal(node.link_count, 300);
    uint64_t sum = 0;
    for (size_t i = 0; i < 300; i++) {
        assert_true(cid_equal(&node.links[i].cid, &links[i].cid));
        assert_int_equal(node.links[i].file_bytes, links[i].file_bytes);
        assert_int_equal(node.links[i].total_bytes, links[i].total_bytes);
        sum += links[i].file_bytes;
    }
    assert_int_equal(node.file_bytes, sum);
    dagpb_node_fini(&node);
    buf_fini(&out);
}

/* The block of `ipfs add` under unixfs-v0-2015 for "hello world". */
static void test_a_leaf_with_its_bytes_inside_is_read(void **state)
{
    (void)state;
    uint8_t block[64];
    size_t size = from_hex("0a110802120b68656c6c6f20776f726c64180b", block, sizeof block);
    struct dagpb_node node;
    assert_int_equal(dagpb_decode_file(bytes_of(block, size), &node, NULL), 0);
    assert_int_equal(node.file_bytes, 11);
    assert_int_equal(node.link_count, 0);
    assert_int_equal(node.data.size, 11);
    assert_memory_equal(node.data.data, "hello world", 11);
    dagpb_node_fini(&node);
}

static void test_a_link_without_a_name_is_read_too(void **state)
{
    (void)state;
    uint8_t block[128];
    size_t size = from_hex("12280a24" CID_HEX "1801 0a06 0802 1801 2001", block, sizeof block);
    struct dagpb_node node;
    assert_int_equal(dagpb_decode_file(bytes_of(block, size), &node, NULL), 0);
    assert_int_equal(node.link_count, 1);
    assert_int_equal(node.file_bytes, 1);
    dagpb_node_fini(&node);
}

#define LINK_OK "122a0a24" CID_HEX "1200 1801"

#define LINKS_FIRST "links first"
#define RUN_OVER    "length goes past the end"

static const struct {
    const char *hex;
    int code;
    const char *says;
    const char *why;
} bad_nodes[] = {
    {"", ERR_MALFORMED, LINKS_FIRST, "nothing at all"},
    {"0a", ERR_MALFORMED, "bad varint", "a key without a length"},
    {"0a05 0802", ERR_MALFORMED, RUN_OVER, "data shorter than it says"},
    {"0a04 0802 1800 00", ERR_MALFORMED, "bytes behind", "a byte behind the data"},
    {"0a02 1800", ERR_MALFORMED, "without a type", "no type"},
    {"0a02 0801", ERR_UNSUPPORTED, "not a file", "a directory"},
    {"0a02 0803", ERR_UNSUPPORTED, "not a file", "metadata"},
    {"0a02 0804", ERR_UNSUPPORTED, "not a file", "a symlink"},
    {"0a02 0805", ERR_UNSUPPORTED, "not a file", "a HAMT shard"},
    {"122e0a24" CID_HEX "1204 61626364 1801 0a02 0801", ERR_UNSUPPORTED, "not a file",
     "a directory's link has a name: the kind is what is wrong"},
    {LINK_OK "0a04 0802 1800", ERR_MALFORMED, "as many", "a link without a block size"},
    {"0a06 0802 1801 2001", ERR_MALFORMED, "unexpected", "a block size without a link"},
    {LINK_OK "0a08 0802 1801 2001 2001", ERR_MALFORMED, "unexpected", "two sizes, one link"},
    {LINK_OK "0a06 0802 1802 2001", ERR_MALFORMED, "not the sum", "filesize is not the sum"},
    {LINK_OK "0a06 0800 1801 2001", ERR_MALFORMED, "raw", "a raw leaf with links"},
    {LINK_OK "0a08 0802 1801 1801 2001", ERR_MALFORMED, "unexpected", "filesize twice"},
    {LINK_OK "0a08 0802 1801 2001 2801", ERR_MALFORMED, "unexpected", "a hash type: no file"},
    {LINK_OK LINK_OK "0a11 0802 1800 20ffffffffffffffffff01 2001", ERR_MALFORMED, "overflow",
     "block sizes that overflow to the filesize"},
    {LINK_OK, ERR_MALFORMED, LINKS_FIRST, "links without data"},
    {"0a06 0802 1801 2001" LINK_OK, ERR_MALFORMED, "bytes behind", "data before links"},
    {"122b0a24" CID_HEX "1201 61 1801 0a06 0802 1801 2001", ERR_MALFORMED, "a named link",
     "a named link"},
    {"12041200 1801 0a06 0802 1801 2001", ERR_MALFORMED, "without a CID", "no CID"},
    {"12060a02 0155 1801 0a06 0802 1801 2001", ERR_MALFORMED, "CID cannot be read", "half a CID"},
    {"122c0a24" CID_HEX "1200 1801 2001 0a06 0802 1801 2001", ERR_MALFORMED, "unknown field",
     "an unknown field in a link"},
    {"122b0a24" CID_HEX "1200 1801 00 0a06 0802 1801 2001", ERR_MALFORMED, "without a number",
     "a zero byte behind a link"},
    {"122b0a24" CID_HEX "1200 188100 0a06 0802 1801 2001", ERR_MALFORMED, "bad varint",
     "a varint longer than it need be"},
    {"0a0d 0802 18ffffffffffffffffff7f", ERR_MALFORMED, "bad varint", "more than 64 bits"},
    {"1a00", ERR_MALFORMED, LINKS_FIRST, "an unknown field"},
};

static void test_bad_nodes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_nodes / sizeof bad_nodes[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct dagpb_node node;
        size_t size = from_hex(bad_nodes[i].hex, block, sizeof block);
        int rc = dagpb_decode_file(bytes_of(block, size), &node, &err);
        if (rc != bad_nodes[i].code || strstr(err.text, bad_nodes[i].says) == NULL)
            fail_msg("%s: %s %s", bad_nodes[i].why, err_name(rc), err.text);
    }
}

static void test_a_node_cut_anywhere_is_refused(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = from_hex(LINK_OK LINK_OK "0a08 0802 1802 2001 2001", block, sizeof block);
    struct dagpb_node node;
    assert_int_equal(dagpb_decode_file(bytes_of(block, size), &node, NULL), 0);
    dagpb_node_fini(&node);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(dagpb_decode_file(bytes_of(block, cut), &node, NULL), ERR_MALFORMED);
}

static void test_whatever_bit_flips_the_sizes_still_agree(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = from_hex(LINK_OK LINK_OK "0a08 0802 1802 2001 2001", block, sizeof block);
    size_t refused = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        struct dagpb_node node;
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (dagpb_decode_file(bytes_of(block, size), &node, NULL) == 0) {
            uint64_t sum = node.data.size;
            for (size_t i = 0; i < node.link_count; i++)
                sum += node.links[i].file_bytes;
            assert_int_equal(sum, node.file_bytes);
            dagpb_node_fini(&node);
        } else {
            refused++;
        }
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(refused > 100);
}

static void test_more_links_than_the_limit_are_refused_before_memory(void **state)
{
    (void)state;
    struct buf block = buf_new(1 << 20);
    for (size_t i = 0; i <= DAGPB_LINKS_MAX; i++)
        buf_append(&block, "\x12\x00", 2);
    struct dagpb_node node;
    assert_int_equal(dagpb_decode_file(buf_bytes(&block), &node, NULL), ERR_LIMIT);
    buf_fini(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_root_of_two_leaves_has_the_bytes_that_kubo_writes),
        cmocka_unit_test(test_a_node_reads_back_as_it_was_written),
        cmocka_unit_test(test_a_leaf_with_its_bytes_inside_is_read),
        cmocka_unit_test(test_a_link_without_a_name_is_read_too),
        cmocka_unit_test(test_bad_nodes_are_refused),
        cmocka_unit_test(test_a_node_cut_anywhere_is_refused),
        cmocka_unit_test(test_whatever_bit_flips_the_sizes_still_agree),
        cmocka_unit_test(test_more_links_than_the_limit_are_refused_before_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
