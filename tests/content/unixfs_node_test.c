/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unixfs_node.h"
#include "tests/scratch.h"

/* A digest of 32 bytes 0x11, as a raw CIDv1. */
#define CID_HEX "01551220 1111111111111111111111111111111111111111111111111111111111111111"

static struct cid some_cid(uint8_t byte)
{
    uint8_t digest[HASH_BYTES];
    memset(digest, byte, sizeof digest);
    return cid_from_digest(CID_RAW, digest);
}

/* --- writing --- */

static void assert_block(struct buf *block, const char *hex)
{
    uint8_t want[256];
    size_t size = from_hex(hex, want, sizeof want);
    assert_int_equal(buf_check(block, NULL), 0);
    assert_int_equal(block->size, size);
    assert_memory_equal(block->data, want, size);
    buf_clear(block);
}

/* The layout that Kubo 0.43 gives a file of 1,048,577 bytes under unixfs-v1-2025, and one of
 * 262,145 bytes under unixfs-v0-2015. */
static void test_roots_of_two_leaves_have_the_bytes_that_kubo_writes(void **state)
{
    (void)state;
    struct unixfs_child links[2] = {
        {.cid = some_cid(0x11), .file_bytes = 1 << 20, .total_bytes = 1 << 20},
        {.cid = some_cid(0x11), .file_bytes = 1, .total_bytes = 1}};
    struct buf out = buf_new(4096);
    unixfs_node_put_file(&out, links, 2);
    assert_int_equal(out.size, 104);
    assert_block(&out, "122c0a24" CID_HEX "1200 18808040 122a0a24" CID_HEX
                       "1200 1801 0a0c 0802 18818040 20808040 2001");
    struct cid old = cid_from_digest(CID_DAG_PB, cid_digest(&links[0].cid));
    links[0] =
        (struct unixfs_child){.cid = cid_as_v0(&old), .file_bytes = 262144, .total_bytes = 262158};
    links[1] = (struct unixfs_child){.cid = links[0].cid, .file_bytes = 1, .total_bytes = 9};
    unixfs_node_put_file(&out, links, 2);
    assert_int_equal(out.size, 100);
    assert_block(&out,
                 "122a0a22 1220 1111111111111111111111111111111111111111111111111111111111111111"
                 "1200 188e8010 12280a22 1220 1111111111111111111111111111111111111111111111111111"
                 "111111111111 1200 1809 0a0c 0802 18818010 20808010 2001");
    buf_fini(&out);
}

/* Blocks of Kubo 0.43: `ipfs add` of "hello world" and of nothing by CIDv0, of a symlink, of an
 * empty folder; boxo's HAMT shard of one entry. */
static void test_other_blocks_have_the_bytes_that_kubo_writes(void **state)
{
    (void)state;
    struct buf out = buf_new(4096);
    uint8_t bits[32] = {0};
    unixfs_node_put_leaf(&out, bytes_of_text("hello world"));
    assert_block(&out, "0a110802120b68656c6c6f20776f726c64180b");
    unixfs_node_put_leaf(&out, bytes_of(NULL, 0));
    assert_block(&out, "0a0408021800");
    unixfs_node_put_symlink(&out, bytes_of_text("../somewhere"));
    assert_block(&out, "0a100804120c2e2e2f736f6d657768657265");
    unixfs_node_put_directory(&out);
    assert_block(&out, "0a020801");
    bits[31] = 0x80;
    unixfs_node_put_hamt(&out, bytes_of(bits, sizeof bits), 256);
    assert_block(&out, "0a29 0805 1220"
                       "0000000000000000000000000000000000000000000000000000000000000080"
                       "2822 308002");
    unixfs_node_put_hamt(&out, bytes_of(NULL, 0), 8);
    assert_block(&out, "0a06 0805 2822 3008");
    buf_fini(&out);
}

static void test_a_node_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct unixfs_child links[300];
    for (size_t i = 0; i < 300; i++)
        links[i] = (struct unixfs_child){.cid = some_cid((uint8_t)i),
                                         .file_bytes = i * i * 1000003 + 1,
                                         .total_bytes = (uint64_t)1 << (i % 64)};
    struct buf out = buf_new(1 << 20);
    unixfs_node_put_file(&out, links, 300);
    struct unixfs_node node;
    assert_int_equal(unixfs_node_decode(buf_bytes(&out), &node, NULL), 0);
    assert_int_equal(node.type, UNIXFS_FILE);
    assert_int_equal(node.pb.link_count, 300);
    uint64_t sum = 0;
    for (size_t i = 0; i < 300; i++) {
        assert_true(cid_equal(&node.pb.links[i].cid, &links[i].cid));
        assert_int_equal(node.child_bytes[i], links[i].file_bytes);
        assert_int_equal(node.pb.links[i].total_bytes, links[i].total_bytes);
        sum += links[i].file_bytes;
    }
    assert_int_equal(node.file_bytes, sum);
    unixfs_node_fini(&node);
    unixfs_node_fini(&node); /* all zero is fine */
    buf_fini(&out);
}

/* --- reading --- */

#define LINK_OK "122a0a24" CID_HEX "1200 1801"
#define LINK_A  "122b0a24" CID_HEX "1201 61 1801"

static const struct {
    const char *hex;
    enum unixfs_type type;
    const char *data;
    uint64_t file_bytes;
    size_t links;
    const char *why;
} good[] = {
    {"0a110802120b68656c6c6f20776f726c64180b", UNIXFS_FILE, "hello world", 11, 0,
     "a leaf with its bytes inside"},
    {"0a0408021800", UNIXFS_FILE, "", 0, 0, "an empty file"},
    {"0a020802", UNIXFS_FILE, "", 0, 0, "an empty file that does not say so"},
    {"0a080800 1202 6869 1802", UNIXFS_RAW, "hi", 2, 0, "a trickle tree's leaf"},
    {"0a060800 1202 6869", UNIXFS_RAW, "hi", 2, 0, "old writers left the size out"},
    {"0a060802 1202 6869", UNIXFS_FILE, "hi", 2, 0, "the same of a file"},
    {"12280a24" CID_HEX "1801 0a06 0802 1801 2001", UNIXFS_FILE, "", 1, 1, "a link without a name"},
    {LINK_OK "0a04 0802 2005", UNIXFS_FILE, "", 5, 1, "no filesize: the sum"},
    {LINK_OK "0a0a 0802 1202 6869 1807 2005", UNIXFS_FILE, "hi", 7, 1, "bytes and children"},
    {LINK_OK LINK_OK "0a08 0802 1806 2202 05 01", UNIXFS_FILE, "", 6, 2, "packed sizes"},
    {LINK_OK LINK_OK "0a0b 0802 2001 2201 05 2200 1806", UNIXFS_FILE, "", 6, 2, "both, mixed"},
    {"0a08 1802 1202 6869 0802", UNIXFS_FILE, "hi", 2, 0, "fields in another order"},
    {"0a23 0802 7803 79 0102030405060708 7a02 0102 7d 01020304 1202 6869 1802 a20601 00 a006 07",
     UNIXFS_FILE, "hi", 2, 0, "unknown fields of every wire type"},
    {"0a020801", UNIXFS_DIRECTORY, "", 0, 0, "an empty directory"},
    {LINK_A "0a020801", UNIXFS_DIRECTORY, "", 0, 1, "a directory"},
    {LINK_A "0a040801 1800", UNIXFS_DIRECTORY, "", 0, 1, "a directory with a size: not used"},
    {"0a100804120c2e2e2f736f6d657768657265", UNIXFS_SYMLINK, "../somewhere", 0, 0, "a symlink"},
    {LINK_A "0a09 0805 1201 80 2822 3008", UNIXFS_HAMT, "\x80", 0, 1, "a HAMT"},
    {"0a07 0805 2822 308008", UNIXFS_HAMT, "", 0, 0, "an empty HAMT of 1,024"},
};

static void test_nodes_of_every_kind_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct unixfs_node n;
        size_t size = from_hex(good[i].hex, block, sizeof block);
        if (unixfs_node_decode(bytes_of(block, size), &n, &err) != 0)
            fail_msg("%s: %s", good[i].why, err.text);
        if (n.type != good[i].type || n.file_bytes != good[i].file_bytes ||
            n.pb.link_count != good[i].links || !bytes_equal(n.data, bytes_of_text(good[i].data)))
            fail_msg("%s: type %d, %llu bytes, %zu links", good[i].why, (int)n.type,
                     (unsigned long long)n.file_bytes, n.pb.link_count);
        unixfs_node_fini(&n);
    }
}

/* A block of `ipfs add --preserve-mode --preserve-mtime`, Kubo 0.43. */
static void test_mode_and_time_are_read(void **state)
{
    (void)state;
    uint8_t block[64];
    struct unixfs_node n;
    size_t size = from_hex("0a19 0802 1203 68690a 1803 38a403 420b 08a5bbb5f005 15f2357728", block,
                           sizeof block);
    assert_int_equal(unixfs_node_decode(bytes_of(block, size), &n, NULL), 0);
    assert_true(n.has_mode);
    assert_int_equal(n.mode, 0644);
    assert_true(n.has_mtime);
    assert_int_equal(n.mtime_seconds, 1577934245);
    assert_int_equal(n.mtime_nanos, 678901234);
    unixfs_node_fini(&n);
    size = from_hex("0a0f 0801 420b 08ffffffffffffffffff01", block, sizeof block);
    assert_int_equal(unixfs_node_decode(bytes_of(block, size), &n, NULL), 0);
    assert_int_equal(n.mtime_seconds, -1); /* before 1970 */
    assert_int_equal(n.mtime_nanos, 0);
    assert_false(n.has_mode);
    unixfs_node_fini(&n);
}

static const struct {
    const char *hex;
    int code;
    const char *says;
    const char *why;
} bad[] = {
    {"", ERR_MALFORMED, "without data", "nothing at all"},
    {LINK_OK, ERR_MALFORMED, "without data", "links without data"},
    {"0a", ERR_MALFORMED, "dag-pb: bad varint at offset 1", "not even dag-pb"},
    {"0a00", ERR_MALFORMED, "without a type", "an empty message"},
    {"0a02 1800", ERR_MALFORMED, "without a type", "no type"},
    {"0a02 0803", ERR_UNSUPPORTED, "type 3", "metadata"},
    {"0a02 0806", ERR_UNSUPPORTED, "type 6", "a type that is not known"},
    {"0a0b 08ffffffffffffffffff01", ERR_UNSUPPORTED, "type 18446744073709551615", "minus one"},
    {"0a01 08", ERR_MALFORMED, "bad varint at offset 3", "half a field"},
    {"0a03 0802 18", ERR_MALFORMED, "bad varint at offset 5", "half a size"},
    {"0a05 0802 1202 68", ERR_MALFORMED, "past the end at offset 5", "bytes that go past the end"},
    {"0a06 0802 00 188100", ERR_MALFORMED, "without a number at offset 4", "field number 0"},
    {"0a05 0802 188100", ERR_MALFORMED, "bad varint at offset 5", "a varint longer than need be"},
    {"0a04 0802 0802", ERR_MALFORMED, "twice at offset 5", "the type twice"},
    {"0a08 0802 1201 61 1201 61", ERR_MALFORMED, "twice", "bytes twice"},
    {"0a06 0802 1800 1800", ERR_MALFORMED, "twice", "filesize twice"},
    {"0a05 0802 1a0100", ERR_MALFORMED, "wrong kind", "a filesize of another wire type"},
    {"0a03 0802 7b", ERR_MALFORMED, "wire type", "a group"},
    {"0a08 0802 7d 010203", ERR_MALFORMED, "past the end", "half a fixed field"},
    {"0a06 0802 79 010203", ERR_MALFORMED, "past the end", "half a longer one"},
    /* files */
    {LINK_A "0a06 0802 1801 2001", ERR_MALFORMED, "a named link", "a file's chunk with a name"},
    {LINK_OK "0a04 0802 1800", ERR_MALFORMED, "as many", "a link without a block size"},
    {"0a06 0802 1801 2001", ERR_MALFORMED, "as many", "a block size without a link"},
    {LINK_OK "0a08 0802 1802 2001 2001", ERR_MALFORMED, "as many", "two sizes, one link"},
    {LINK_OK "0a06 0800 1801 2001", ERR_MALFORMED, "raw", "a raw leaf with links"},
    {LINK_OK LINK_OK "0a09 0802 1806 2203 05 8100", ERR_MALFORMED, "bad varint at offset 97",
     "a packed size longer than need be"},
    {LINK_OK "0a05 0802 2202 05", ERR_MALFORMED, "past the end", "packed sizes cut short"},
    /* the others */
    {LINK_OK "0a05 0804 1201 61", ERR_MALFORMED, "a symlink with links", "a symlink with links"},
    {"0a0a 0802 38ffffffff7f 1800", ERR_MALFORMED, "a mode", "a mode of 35 bits"},
    {"0a04 0802 4200", ERR_MALFORMED, "a time", "a time without seconds"},
    {"0a0b 0802 4207 0800 1500ca9a3b", ERR_MALFORMED, "a time", "a second of nanoseconds"},
    {"0a08 0802 4204 0800 1500", ERR_MALFORMED, "past the end", "half the nanoseconds"},
};

static void test_bad_nodes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct unixfs_node node;
        size_t size = from_hex(bad[i].hex, block, sizeof block);
        int rc = unixfs_node_decode(bytes_of(block, size), &node, &err);
        if (rc != bad[i].code || strstr(err.text, bad[i].says) == NULL)
            fail_msg("%s: %s %s", bad[i].why, err_name(rc), err.text);
    }
}

static const struct {
    const char *hex;
    const char *says;
    const char *why;
} lies[] = {
    {"0a07 0802 1201 61 1802", "not the sum", "a leaf of one byte that says two"},
    {"0a07 0802 1201 61 1800", "not the sum", "and that says none"},
    {"0a04 0802 1801", "not the sum", "a byte that is nowhere"},
    {LINK_OK "0a06 0802 1802 2001", "not the sum", "a child's byte counted twice"},
    {LINK_OK "0a09 0802 1201 61 1801 2001", "not the sum", "a byte of its own not counted"},
    {LINK_OK "0a0e 0802 18ffffffffffffffff7f 2001", "not the sum", "2^63 - 1 said, one there"},
    {LINK_OK LINK_OK "0a11 0802 1800 20ffffffffffffffffff01 2001", "overflow",
     "block sizes that overflow to the filesize"},
    {LINK_OK LINK_OK "0a11 0802 1800 220b ffffffffffffffffff01 01", "overflow", "packed"},
    {LINK_OK "0a12 0802 1201 61 1800 20ffffffffffffffffff01", "overflow", "with bytes of its own"},
};

static void test_attack_17_a_filesize_that_is_not_the_sum_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct unixfs_node node;
        size_t size = from_hex(lies[i].hex, block, sizeof block);
        int rc = unixfs_node_decode(bytes_of(block, size), &node, &err);
        if (rc != ERR_MALFORMED || strstr(err.text, lies[i].says) == NULL)
            fail_msg("%s: %s %s", lies[i].why, err_name(rc), err.text);
    }
}

static const struct {
    const char *hex;
    const char *says;
    const char *why;
} shards[] = {
    {"0a06 0805 2822 3000", "fanout", "a fanout of 0"},
    {"0a04 0805 2822", "fanout", "none"},
    {"0a06 0805 2822 3003", "fanout", "of 3"},
    {"0a06 0805 2822 3004", "fanout", "of 4"},
    {"0a06 0805 2822 300c", "fanout", "of 12"},
    {"0a07 0805 2822 308010", "fanout", "of 2,048"},
    {"0a0a 0805 2822 308080808008", "fanout", "of 2^31"},
    {"0a0f 0805 2822 3080808080808080808001", "fanout", "of 2^63"},
    {"0a06 0805 2823 3008", "murmur3", "another hash"},
    {"0a04 0805 3008", "murmur3", "no hash"},
    {"0a0a 0805 1202 0000 2822 3008", "larger than its fanout", "a bitfield of 16 bits for 8"},
    {"0a09 0805 1201 80 2822 3008", "does not count", "a bit without a link"},
    {LINK_A "0a09 0805 1201 81 2822 3008", "does not count", "two bits, one link"},
    {LINK_A "0a09 0805 1201 00 2822 3008", "does not count", "a link without a bit"},
    {LINK_A "0a06 0805 2822 3008", "does not count", "no bitfield at all"},
};

static void test_attack_18_a_hamt_of_bad_fanout_or_bitfield_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shards / sizeof shards[0]; i++) {
        uint8_t block[256];
        struct err err = {0};
        struct unixfs_node node;
        size_t size = from_hex(shards[i].hex, block, sizeof block);
        int rc = unixfs_node_decode(bytes_of(block, size), &node, &err);
        if (rc != ERR_MALFORMED || strstr(err.text, shards[i].says) == NULL)
            fail_msg("%s: %s %s", shards[i].why, err_name(rc), err.text);
    }
}

static void test_a_node_cut_anywhere_is_refused(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size = from_hex(LINK_OK LINK_OK "0a08 0802 1802 2001 2001", block, sizeof block);
    struct unixfs_node node;
    assert_int_equal(unixfs_node_decode(bytes_of(block, size), &node, NULL), 0);
    unixfs_node_fini(&node);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, block, cut);
        assert_int_equal(unixfs_node_decode(bytes_of(exact, cut), &node, NULL), ERR_MALFORMED);
        free(exact);
    }
}

static void test_whatever_bit_flips_the_sizes_still_agree(void **state)
{
    (void)state;
    uint8_t block[256];
    size_t size =
        from_hex(LINK_OK LINK_OK "0a0c 0802 1202 6869 1804 2001 2001", block, sizeof block);
    size_t refused = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        struct unixfs_node node;
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (unixfs_node_decode(bytes_of(block, size), &node, NULL) == 0) {
            uint64_t sum = node.type == UNIXFS_FILE ? node.data.size : 0;
            for (size_t i = 0; node.child_bytes != NULL && i < node.pb.link_count; i++)
                sum += node.child_bytes[i];
            assert_int_equal(sum, node.file_bytes);
            unixfs_node_fini(&node);
        } else {
            refused++;
        }
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_of_two_leaves_have_the_bytes_that_kubo_writes),
        cmocka_unit_test(test_other_blocks_have_the_bytes_that_kubo_writes),
        cmocka_unit_test(test_a_node_reads_back_as_it_was_written),
        cmocka_unit_test(test_nodes_of_every_kind_are_read),
        cmocka_unit_test(test_mode_and_time_are_read),
        cmocka_unit_test(test_bad_nodes_are_refused),
        cmocka_unit_test(test_attack_17_a_filesize_that_is_not_the_sum_is_refused),
        cmocka_unit_test(test_attack_18_a_hamt_of_bad_fanout_or_bitfield_is_refused),
        cmocka_unit_test(test_a_node_cut_anywhere_is_refused),
        cmocka_unit_test(test_whatever_bit_flips_the_sizes_still_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
