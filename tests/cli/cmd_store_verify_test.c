/* SPDX-License-Identifier: Apache-2.0 */
/* `store verify` and `store stat`. */
#include "tests/cli/store_tool.h"

static void test_a_whole_store_is_said_to_be_whole(void **state)
{
    (void)state;
    tool_add_file("store", "verify", 5000000);
    tool_put("store", "raw", bytes_of_text("alone"));
    tool_run(cmd_store, "store", "verify", "--store", in_scratch("store"), NULL);
    tool_expect(0, "7 blocks, 4.8 MiB: 0 damaged\n", "");
    tool_run(cmd_store_repo, "repo", "verify", "--json", "--store", in_scratch("store"), NULL);
    tool_expect(0, "\"blocks\":7", "");
    tool_expect(0, "\"damaged\":0}\n", "");
}

/* The one pack in the folder. */
static int take_pack(void *arg, const char *name, struct err *err)
{
    (void)err;
    size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".car") == 0)
        snprintf(arg, 100, "store/packs/%.60s", name);
    return 0;
}

static void test_every_damaged_block_is_named_with_its_place(void **state)
{
    (void)state;
    char pack[100] = "";
    struct said_cid alone[40];
    tool_add_file("store", "verify", 5000000);
    for (size_t i = 0; i < 40; i++) { /* more than are hashed at a time */
        char text[20];
        snprintf(text, sizeof text, "block %zu", i);
        alone[i] = tool_put("store", "raw", bytes_of_text(text));
    }
    assert_int_equal(files_posix()->list(NULL, in_scratch("store/packs"), take_pack, pack, NULL),
                     0);
    damage_file(in_scratch(pack), 100, 1);
    damage_file(in_scratch(pack), 2500000, 1);
    damage_file(tool_block_path("store", alone[3].text), 2, 1);
    damage_file(tool_block_path("store", alone[39].text), 2, 1);
    tool_run(cmd_store, "store", "verify", "--store", in_scratch("store"), NULL);
    tool_expect(1, ": 4 damaged\n", "");
    tool_expect(1, alone[3].text, "");
    tool_expect(1, alone[39].text, "");
    tool_expect(1, pack, "");
    tool_run(cmd_store, "store", "verify", "--json", "--store", in_scratch("store"), NULL);
    tool_expect(1, "{\"damaged\":\"", "");
    tool_expect(1, "\"damaged\":4}\n", "");
}

static void test_a_block_put_anew_is_whole_again(void **state)
{
    (void)state;
    struct said_cid cid = tool_put("store", "raw", bytes_of_text("hello"));
    damage_file(tool_block_path("store", cid.text), 2, 1);
    tool_run(cmd_store, "store", "verify", "--store", in_scratch("store"), NULL);
    tool_expect(1, "1 damaged", "");
    tool_put("store", "raw", bytes_of_text("hello"));
    tool_run(cmd_store, "store", "verify", "--store", in_scratch("store"), NULL);
    tool_expect(0, "0 damaged", "");
}

static void test_stat_says_where_blocks_lie(void **state)
{
    (void)state;
    tool_add_file("store", "verify", 5000000);
    tool_put("store", "raw", bytes_of_text("alone"));
    tool_run(cmd_store, "store", "stat", "--json", "--store", in_scratch("store"), NULL);
    json_t *said = tool_json();
    assert_int_equal(json_integer_value(json_object_get(said, "single_blocks")), 1);
    assert_int_equal(json_integer_value(json_object_get(said, "single_bytes")), 5);
    assert_int_equal(json_integer_value(json_object_get(said, "pack_blocks")), 6);
    assert_int_equal(json_integer_value(json_object_get(said, "packs")), 1);
    assert_true(json_integer_value(json_object_get(said, "pack_bytes")) > 5000000);
    json_decref(said);
    tool_run(cmd_store_repo, "repo", "stat", "--store", in_scratch("store"), NULL);
    tool_expect(0, "single files          1  5 B\n", "");
    tool_run(cmd_store, "store", "stat", "--store", in_scratch("absent"), NULL);
    tool_expect(2, "", "no store at");
}

/* The one index of a reference in the folder. */
static int take_reference(void *arg, const char *name, struct err *err)
{
    (void)err;
    size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".ref") == 0)
        snprintf(arg, 100, "store/packs/%.*s", (int)(size - 4), name);
    return 0;
}

static void test_a_lost_index_is_named_and_does_not_end_the_rest(void **state)
{
    (void)state;
    char pack[100] = "", index[120];
    uint8_t *data = stream_bytes("elsewhere", 5000000);
    write_file(in_scratch("elsewhere"), bytes_of(data, 5000000));
    free(data);
    tool_run(cmd_add, "add", "--nocopy", "--store", in_scratch("store"), in_scratch("elsewhere"),
             NULL);
    assert_int_equal(tool.status, 0);
    tool_put("store", "raw", bytes_of_text("alone"));
    assert_int_equal(
        files_posix()->list(NULL, in_scratch("store/packs"), take_reference, pack, NULL), 0);
    snprintf(index, sizeof index, "%s.index", pack);
    assert_int_equal(unlink(in_scratch(index)), 0);
    tool_run(cmd_store, "store", "verify", "--store", in_scratch("store"), NULL);
    tool_expect(1, "damaged: pack ", "");
    tool_expect(1, pack, "");
    tool_expect(1, in_scratch("elsewhere"), "");
    tool_expect(1, ": 0 damaged\n", ""); /* of the blocks that could be seen */
    tool_run(cmd_store, "store", "verify", "--json", "--store", in_scratch("store"), NULL);
    tool_expect(1, "{\"damaged_pack\":\"", "");
    tool_expect(1, "\"damaged_packs\":1,\"damaged\":0}\n", "");
    tool_run(cmd_store, "store", "stat", "--store", in_scratch("store"), NULL);
    tool_expect(1, "single files", pack);
    tool_run(cmd_store, "store", "stat", "--json", "--store", in_scratch("store"), NULL);
    tool_expect(1, "\"damaged_packs\":1}", "1 damaged pack");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_store_is_said_to_be_whole),
        TEST(test_every_damaged_block_is_named_with_its_place),
        TEST(test_a_block_put_anew_is_whole_again),
        TEST(test_stat_says_where_blocks_lie),
        TEST(test_a_lost_index_is_named_and_does_not_end_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
