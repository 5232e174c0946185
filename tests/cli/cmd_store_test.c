/* SPDX-License-Identifier: Apache-2.0 */
/* `add` and `get`, which undo each other. */
#include "content/store.h"
#include "tests/cli/tool.h"

/* The file "in" of `size` reproducible bytes; its CID as `add --only-hash` says it. */
static void make_file(size_t size, char cid[CID_TEXT_MAX])
{
    uint8_t *data = stream_bytes("cmd_store_test", size);
    write_file(in_scratch("in"), bytes_of(data, size));
    free(data);
    assert_int_equal(tool_run(cmd_add, "add", "--only-hash", in_scratch("in"), NULL), 0);
    assert_true(tool.out.size < CID_TEXT_MAX);
    snprintf(cid, CID_TEXT_MAX, "%.*s", (int)(tool.out.size - 1), tool_out());
}

static void test_hello_worlds_cid_is_the_one_that_everybody_knows(void **state)
{
    (void)state;
    write_file(in_scratch("in"), bytes_of_text("hello world"));
    tool_run(cmd_add, "add", "-n", in_scratch("in"), NULL);
    tool_expect(0, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e\n", "");
    tool_run(cmd_add, "add", "-n", "--json", in_scratch("in"), NULL);
    tool_expect(0,
                "{\"cid\":\"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e\","
                "\"bytes\":11}\n",
                "");
}

static void test_what_was_added_is_got_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1u << 20, (1u << 20) + 1, 3500000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char cid[CID_TEXT_MAX];
        make_file(sizes[i], cid);
        assert_false(files_exists(files_posix(), in_scratch("store/blocks/none")));
        tool_run(cmd_add, "add", in_scratch("in"), "--store", in_scratch("store"), NULL);
        tool_expect(0, cid, "");
        tool_run(cmd_get, "get", cid, "--store", in_scratch("store"), "--force", "-o",
                 in_scratch("out"), NULL);
        tool_expect(0, "", "");
        struct buf in = read_file(in_scratch("in")), out = read_file(in_scratch("out"));
        assert_true(bytes_equal(buf_bytes(&in), buf_bytes(&out)));
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void test_only_hash_stores_nothing(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(100, cid);
    assert_false(files_exists(files_posix(), in_scratch("store")));
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    tool_expect(2, "", "--store DIR, or --only-hash");
    tool_run(cmd_add, "add", in_scratch("in"), "-n", "--store", in_scratch("store"), NULL);
    tool_expect(2, "", "--store DIR, or --only-hash");
    tool_run(cmd_add, "add", in_scratch("absent"), "-n", NULL);
    tool_expect(1, "", "absent");
}

static void test_get_replaces_a_file_only_when_told(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(100, cid);
    tool_run(cmd_add, "add", in_scratch("in"), "--store", in_scratch("store"), NULL);
    write_file(in_scratch("out"), bytes_of_text("precious"));
    tool_run(cmd_get, "get", cid, "--store", in_scratch("store"), "-o", in_scratch("out"), NULL);
    tool_expect(2, "", "--force replaces it");
    struct buf kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
}

static void test_a_damaged_block_is_named_and_no_file_appears(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], name[CID_TEXT_MAX + 64];
    make_file(2500000, cid);
    tool_run(cmd_add, "add", in_scratch("in"), "--store", in_scratch("store"), NULL);
    snprintf(name, sizeof name, "store/models/%s.safetensors", cid);
    damage_file(in_scratch(name), 2000000, 1);
    tool_run(cmd_get, "get", cid, "--store", in_scratch("store"), "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "at offset 1048576: the bytes are not block bafkrei");
    assert_false(files_exists(files_posix(), in_scratch("out")));
    assert_false(files_exists(files_posix(), in_scratch("out.part")));
}

static void test_what_is_not_there_is_a_no(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(100, cid);
    tool_run(cmd_get, "get", cid, "--store", in_scratch("store"), "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "no such folder");
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("shared"), NULL), 0);
    tool_run(cmd_get, "get", cid, "--store", scratch, "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "is not in store");
    tool_run(cmd_get, "get", "nonsense", "--store", scratch, "-o", in_scratch("out"), NULL);
    tool_expect(2, "", "colmeia get: ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_worlds_cid_is_the_one_that_everybody_knows),
        TEST(test_what_was_added_is_got_back),
        TEST(test_only_hash_stores_nothing),
        TEST(test_get_replaces_a_file_only_when_told),
        TEST(test_a_damaged_block_is_named_and_no_file_appears),
        TEST(test_what_is_not_there_is_a_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
