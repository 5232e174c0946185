/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/store_tool.h"

static void test_what_was_put_is_got_back(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    struct said_cid cid = tool_put("store", "raw", bytes_of(bytes, sizeof bytes));
    tool_group(cmd_block, "block", "get", cid.text);
    assert_int_equal(tool.status, 0);
    assert_true(bytes_equal(buf_bytes(&tool.out), bytes_of(bytes, sizeof bytes)));
    tool_group(cmd_block, "block", "stat", cid.text);
    char lines[CID_TEXT_MAX + 40];
    snprintf(lines, sizeof lines, "Key: %s\nSize: 256\n", cid.text);
    tool_expect(0, lines, "");
    tool_group(cmd_block, "block", "stat", "--json", cid.text);
    tool_expect(0, "\"bytes\":256}\n", "");
}

/* CIDs as Kubo's `block put --cid-codec` says them: of "hello world", of the empty UnixFS folder
 * and of the dag-cbor map {}. */
static void test_a_codec_makes_the_cid_that_everybody_knows(void **state)
{
    (void)state;
    static const struct {
        const char *codec, *hex, *cid;
    } rows[] = {
        {"raw", "68656c6c6f20776f726c64",
         "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"},
        {"dag-pb", "0a020801", "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
        {"dag-cbor", "a0", "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[64];
        size_t size = from_hex(rows[i].hex, bytes, sizeof bytes);
        struct said_cid cid = tool_put("store", rows[i].codec, bytes_of(bytes, size));
        assert_string_equal(cid.text, rows[i].cid);
    }
}

static void test_a_block_that_is_not_of_its_codec_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *codec, *text;
    } rows[] = {
        {"dag-pb", "hello"},      /* no protobuf */
        {"dag-cbor", "\xa1"},     /* a map without its pair */
        {"dag-cbor", "\x18\x01"}, /* not the shortest form */
        {"dag-json", "{\"a\":"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(in_scratch("block"), bytes_of_text(rows[i].text));
        tool_group(cmd_block, "block", "put", "--codec", rows[i].codec, in_scratch("block"));
        tool_expect(1, "", rows[i].codec);
    }
    tool_group(cmd_block, "block", "put", "--codec", "dag-xml", in_scratch("block"));
    tool_expect(2, "", "dag-xml");
}

static void test_a_block_of_more_than_2_mib_is_refused(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("block", (2u << 20) + 1);
    struct said_cid cid = tool_put("store", "raw", bytes_of(data, 2u << 20));
    assert_true(tool_holds("store", cid.text));
    write_file(in_scratch("block"), bytes_of(data, (2u << 20) + 1));
    tool_group(cmd_block, "block", "put", in_scratch("block"));
    tool_expect(1, "", "");
    free(data);
}

static void test_pin_keeps_what_was_put(void **state)
{
    (void)state;
    write_file(in_scratch("a"), bytes_of_text("kept"));
    write_file(in_scratch("b"), bytes_of_text("not kept"));
    tool_group(cmd_block, "block", "put", "--pin", in_scratch("a"));
    struct said_cid kept = tool_cid();
    tool_group(cmd_block, "block", "put", in_scratch("b"));
    struct said_cid other = tool_cid();
    tool_run(cmd_gc, "gc", "--store", in_scratch("store"), NULL);
    tool_expect(0, "removed 1 blocks, 8 B; kept 1", "");
    assert_true(tool_holds("store", kept.text) && !tool_holds("store", other.text));
}

static void test_rm_removes_what_no_pin_keeps(void **state)
{
    (void)state;
    char text[2 * CID_TEXT_MAX];
    struct said_cid leaf = tool_put("store", "raw", bytes_of_text("leaf"));
    snprintf(text, sizeof text, "[{\"/\":\"%s\"}]", leaf.text);
    struct said_cid root = tool_put("store", "dag-json", bytes_of_text(text));
    tool_group(cmd_pin, "pin", "add", root.text);
    tool_expect(0, root.text, "");
    tool_group(cmd_block, "block", "rm", leaf.text); /* kept from above */
    tool_expect(1, "", root.text);
    assert_true(tool_holds("store", leaf.text));
    tool_group(cmd_pin, "pin", "rm", root.text);
    tool_group(cmd_block, "block", "rm", leaf.text, root.text);
    tool_expect(0, "removed ", "");
    assert_false(tool_holds("store", leaf.text) || tool_holds("store", root.text));
    tool_group(cmd_block, "block", "rm", leaf.text);
    tool_expect(1, "", "is not here");
    tool_group(cmd_block, "block", "rm", "-f", leaf.text);
    tool_expect(0, "", "");
}

static void test_rm_leaves_packs_to_gc(void **state)
{
    (void)state;
    struct said_cid root = tool_add_file("store", "block", 5000000);
    tool_group(cmd_pin, "pin", "rm", root.text);
    tool_group(cmd_block, "block", "rm", root.text);
    tool_expect(1, "", "colmeia gc");
}

static void test_a_studys_store_loses_no_block_by_hand(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("store", "raw", bytes_of_text("a record"));
    write_file(in_scratch("config.toml"), bytes_of_text(""));
    tool_group(cmd_block, "block", "rm", cid.text);
    tool_expect(2, "", "a study's store keeps what its plan says");
    assert_true(tool_holds("store", cid.text));
}

static void test_a_damaged_or_absent_block_is_a_no(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("store", "raw", bytes_of_text("hello"));
    damage_file(tool_block_path("store", cid.text), 0, 1);
    tool_group(cmd_block, "block", "get", cid.text);
    tool_expect(1, "", cid.text);
    assert_int_equal(tool.out.size, 0);
    assert_int_equal(unlink(tool_block_path("store", cid.text)), 0);
    tool_group(cmd_block, "block", "get", cid.text);
    tool_expect(1, "", cid.text);
    tool_run(cmd_block, "block", "get", "--store", in_scratch("absent"), cid.text, NULL);
    tool_expect(2, "", "no store at");
}

static void test_an_identity_block_needs_no_store_entry(void **state)
{
    (void)state;
    tool_put("store", "raw", bytes_of_text("x"));
    tool_group(cmd_block, "block", "get", "bafkqablimvwgy3y"); /* "hello" inside */
    tool_expect(0, "hello", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_put_is_got_back),
        TEST(test_a_codec_makes_the_cid_that_everybody_knows),
        TEST(test_a_block_that_is_not_of_its_codec_is_refused),
        TEST(test_a_block_of_more_than_2_mib_is_refused),
        TEST(test_pin_keeps_what_was_put),
        TEST(test_rm_removes_what_no_pin_keeps),
        TEST(test_rm_leaves_packs_to_gc),
        TEST(test_a_studys_store_loses_no_block_by_hand),
        TEST(test_a_damaged_or_absent_block_is_a_no),
        TEST(test_an_identity_block_needs_no_store_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
