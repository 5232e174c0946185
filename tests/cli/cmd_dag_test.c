/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"
#include "tests/cli/store_tool.h"

static struct said_cid put_cbor(const struct cid *link)
{
    struct buf b = buf_new(1000);
    cbor_put_map(&b, 3);
    cbor_put_text(&b, "n");
    cbor_put_uint(&b, 7);
    cbor_put_text(&b, "to");
    cbor_put_link(&b, link);
    cbor_put_text(&b, "list");
    cbor_put_array(&b, 2);
    cbor_put_text(&b, "a");
    cbor_put_bytes(&b, bytes_of_text("b"));
    struct said_cid cid = tool_put("store", "dag-cbor", buf_bytes(&b));
    buf_fini(&b);
    return cid;
}

static struct cid parse(const struct said_cid *said)
{
    struct cid cid;
    assert_int_equal(cid_parse(said->text, &cid, NULL), 0);
    return cid;
}

static void get(const struct said_cid *cid, const char *path, int status, const char *out,
                const char *err)
{
    char target[CID_TEXT_MAX + 100];
    snprintf(target, sizeof target, "%s%s", cid->text, path);
    tool_group(cmd_dag, "dag", "get", target);
    tool_expect(status, out, err);
}

static void test_get_prints_dag_json_and_follows_paths(void **state)
{
    (void)state;
    struct said_cid leaf = tool_put("store", "dag-json", bytes_of_text("{\"x\":[1,2]}"));
    struct cid link = parse(&leaf);
    struct said_cid root = put_cbor(&link);
    char line[CID_TEXT_MAX + 100];
    snprintf(line, sizeof line,
             "{\"list\":[\"a\",{\"/\":{\"bytes\":\"Yg\"}}],\"n\":7,\"to\":{\"/\":\"%s\"}}\n",
             leaf.text);
    get(&root, "", 0, line, "");
    get(&root, "/n", 0, "7\n", "");
    get(&root, "/list/0", 0, "\"a\"\n", "");
    get(&root, "/to/x/1", 0, "2\n", ""); /* through the link, into the other block */
    get(&root, "/to/y", 1, "", "");
    get(&root, "/list/2", 1, "", "");
    get(&root, "/none", 1, "", "none");
}

static void test_get_shows_a_dag_pb_nodes_links(void **state)
{
    (void)state;
    struct said_cid root = tool_add_file("store", "dag", 2500000);
    get(&root, "", 0, "{\"Data\":{\"/\":{\"bytes\":\"CAIYoMuYASCAgEAggIBAIKDLGA\"}},\"Links\":[{",
        "");
    get(&root, "", 0, "\"Name\":\"\",\"Tsize\":1048576},", "");
}

static void test_stat_counts_each_block_once(void **state)
{
    (void)state;
    struct said_cid leaf = tool_put("store", "raw", bytes_of_text("twice"));
    char text[3 * CID_TEXT_MAX];
    snprintf(text, sizeof text, "[{\"/\":\"%s\"},{\"/\":\"%s\"}]", leaf.text, leaf.text);
    struct said_cid root = tool_put("store", "dag-json", bytes_of_text(text));
    char line[100];
    snprintf(line, sizeof line, "2 blocks, %zu bytes", strlen(text) + 5);
    tool_group(cmd_dag, "dag", "stat", root.text);
    tool_expect(0, line, "");
    tool_group(cmd_dag, "dag", "stat", "--json", root.text);
    tool_expect(0, "\"blocks\":2", "");
    assert_int_equal(unlink(tool_block_path("store", leaf.text)), 0);
    tool_group(cmd_dag, "dag", "stat", root.text);
    tool_expect(1, "", leaf.text);
}

/* Whoever has a gateway configured still reads a store that another program writes. */
static void test_a_store_in_use_is_read_without_sources_unless_they_were_asked_for(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("store", "dag-json", bytes_of_text("[1]"));
    struct store *s;
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &s, NULL), 0);
    setenv("IPFS_GATEWAY", "http://127.0.0.1:1", 1);
    get(&cid, "", 0, "[1]\n", "");
    tool_group(cmd_dag, "dag", "get", "--from", "http://127.0.0.1:1", cid.text);
    assert_int_not_equal(tool.status, 0);
    assert_int_equal(tool.out.size, 0);
    store_close(s);
    tool_group(cmd_dag, "dag", "get", "--from", "nonsense", cid.text);
    tool_expect(2, "", "nonsense");
}

static void test_what_is_no_cid_or_no_command_is_said(void **state)
{
    (void)state;
    struct said_cid any = tool_put("store", "raw", bytes_of_text("x"));
    (void)any;
    tool_group(cmd_dag, "dag", "get", "nonsense");
    tool_expect(2, "", "colmeia dag get: ");
    tool_run(cmd_dag, "dag", "git", NULL);
    tool_expect(2, "", "there is no command \"git\"");
    tool_run(cmd_dag, "dag", NULL);
    tool_expect(2, "", "usage: colmeia dag COMMAND");
    tool_run(cmd_dag, "dag", "--help", NULL);
    tool_expect(0, "  get ", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get_prints_dag_json_and_follows_paths),
        TEST(test_get_shows_a_dag_pb_nodes_links),
        TEST(test_stat_counts_each_block_once),
        TEST(test_a_store_in_use_is_read_without_sources_unless_they_were_asked_for),
        TEST(test_what_is_no_cid_or_no_command_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
