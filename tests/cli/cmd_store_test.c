/* SPDX-License-Identifier: Apache-2.0 */
/* `add` and what undoes it or looks at it: `get`, `cat`, `ls`, `stat`. */
#include <glob.h>
#include <sys/stat.h>

#include "content/dagpb.h"
#include "content/store.h"
#include "content/unixfs_node.h"
#include "tests/cli/tool.h"

#define HELLO "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

/* No store and no gateway of the person who runs this. */
static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    setenv("COLMEIA_STORE", in_scratch("store"), 1);
    setenv("IPFS_PATH", scratch, 1);
    unsetenv("IPFS_GATEWAY");
    return 0;
}

/* What the last command printed is one CID. */
static void take_cid(char cid[CID_TEXT_MAX])
{
    assert_true(tool.out.size > 1 && tool.out.size < CID_TEXT_MAX);
    snprintf(cid, CID_TEXT_MAX, "%.*s", (int)(tool.out.size - 1), tool_out());
}

/* The file "in" of `size` reproducible bytes; its CID as `add --only-hash` says it. */
static void make_file(size_t size, char cid[CID_TEXT_MAX])
{
    uint8_t *data = stream_bytes("cmd_store_test", size);
    write_file(in_scratch("in"), bytes_of(data, size));
    free(data);
    assert_int_equal(tool_run(cmd_add, "add", "-n", "-Q", in_scratch("in"), NULL), 0);
    take_cid(cid);
}

/* "tree" with a folder, a file in it, a symlink and an empty file; its CID, in the store. */
static void add_tree(char cid[CID_TEXT_MAX])
{
    assert_int_equal(mkdir(in_scratch("tree"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("tree/sub"), 0700), 0);
    write_file(in_scratch("tree/sub/file"), bytes_of_text("hello world"));
    write_file(in_scratch("tree/empty"), bytes_of(NULL, 0));
    assert_int_equal(symlink("sub/file", in_scratch("tree/link")), 0);
    tool_run(cmd_add, "add", "-Q", in_scratch("tree"), NULL);
    take_cid(cid);
}

static void test_what_was_added_is_got_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1u << 20, (1u << 20) + 1, 3500000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char cid[CID_TEXT_MAX];
        make_file(sizes[i], cid);
        tool_run(cmd_add, "add", "-Q", in_scratch("in"), "--store", in_scratch("other"), NULL);
        tool_expect(0, cid, "");
        tool_run(cmd_get, "get", cid, "--store", in_scratch("other"), "--force", "-o",
                 in_scratch("out"), NULL);
        tool_expect(0, "", "");
        assert_int_equal(tool.out.size, 0);
        struct buf in = read_file(in_scratch("in")), out = read_file(in_scratch("out"));
        assert_true(bytes_equal(buf_bytes(&in), buf_bytes(&out)));
        buf_fini(&in);
        buf_fini(&out);
    }
    assert_false(files_exists(files_posix(), in_scratch("store")));
}

static void test_a_folder_is_got_back_and_a_path_in_it(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], path[CID_TEXT_MAX + 64];
    add_tree(cid);
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), "--json", NULL);
    tool_expect(0, cid, "");
    json_t *said = tool_json();
    assert_int_equal(json_integer_value(json_object_get(said, "bytes")), 11);
    json_decref(said);
    tool_run(cmd_add, "add", "-n", "-Q", in_scratch("out"), NULL);
    tool_expect(0, cid, "");
    snprintf(path, sizeof path, "/ipfs/%s/sub/file", cid);
    tool_run(cmd_get, "get", path, "-o", in_scratch("file"), NULL);
    tool_expect(0, "", "");
    struct buf file = read_file(in_scratch("file"));
    assert_true(bytes_equal(buf_bytes(&file), bytes_of_text("hello world")));
    buf_fini(&file);
    snprintf(path, sizeof path, "%s/sub/other", cid);
    tool_run(cmd_get, "get", path, "-o", in_scratch("file2"), NULL);
    tool_expect(1, "", "other");
}

static void test_get_names_what_it_writes_by_the_last_name_asked_for(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], path[CID_TEXT_MAX + 64], before[4096];
    add_tree(cid);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scratch), 0);
    snprintf(path, sizeof path, "%s/sub/", cid);
    tool_run(cmd_get, "get", path, NULL);
    int status = tool.status;
    tool_run(cmd_get, "get", HELLO, NULL);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status | tool.status, 0);
    assert_true(files_exists(files_posix(), in_scratch("sub/file")));
    assert_true(files_exists(files_posix(), in_scratch(HELLO)));
}

static void test_get_replaces_a_file_only_when_told(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(100, cid);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    write_file(in_scratch("out"), bytes_of_text("precious"));
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), NULL);
    tool_expect(2, "", "--force replaces");
    struct buf kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
    assert_int_equal(mkdir(in_scratch("dir"), 0700), 0);
    tool_run(cmd_get, "get", cid, "--force", "-o", in_scratch("dir"), NULL);
    tool_expect(2, "", "is a folder: only a file is replaced");
}

static void test_symlinks_that_lead_out_are_written_only_when_told(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    assert_int_equal(mkdir(in_scratch("tree"), 0700), 0);
    assert_int_equal(symlink("/etc/passwd", in_scratch("tree/evil")), 0);
    tool_run(cmd_add, "add", "-Q", in_scratch("tree"), NULL);
    take_cid(cid);
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "out/evil: the symlink's target \"/etc/passwd\" leads out");
    assert_false(files_exists(files_posix(), in_scratch("out")));
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), "--any-symlinks", NULL);
    tool_expect(0, "", "");
}

/* The pack's file, of which there is one. */
static void find_pack(char out[256])
{
    glob_t found;
    assert_int_equal(glob(in_scratch("store/packs/*.car"), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(out, 256, "%s", found.gl_pathv[0]);
    globfree(&found);
}

static void test_a_damaged_block_is_named_and_no_file_appears(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], pack[256];
    make_file(2500000, cid);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    find_pack(pack);
    damage_file(pack, 2000000, 1);
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "the bytes are not block bafkrei");
    assert_false(files_exists(files_posix(), in_scratch("out")));
    tool_run(cmd_cat, "cat", cid, NULL);
    tool_expect(1, "", "the bytes are not block bafkrei");
}

static void test_what_is_not_there_is_a_no(void **state)
{
    (void)state;
    tool_run(cmd_get, "get", HELLO, "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "`colmeia add` makes one");
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("study/shared"), NULL), 0);
    tool_run(cmd_get, "get", HELLO, "--store", in_scratch("study"), "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "is not in store");
    tool_run(cmd_cat, "cat", HELLO, "--store", in_scratch("study"), NULL);
    tool_expect(1, "", "is not in store");
    tool_run(cmd_get, "get", "nonsense", "--store", in_scratch("study"), NULL);
    tool_expect(2, "", "colmeia get: ");
}

static void test_a_studys_model_is_got_from_its_folder(void **state)
{
    (void)state;
    struct store *store;
    struct cid root;
    char cid[CID_TEXT_MAX];
    make_file(2500000, cid);
    assert_int_equal(
        store_open(files_posix(), in_scratch("study/shared"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_import(store, in_scratch("in"), NULL, &root, NULL), 0);
    store_close(store);
    assert_cid(&root, cid);
    tool_run(cmd_get, "get", cid, "--store", in_scratch("study"), "-o", in_scratch("out"), NULL);
    tool_expect(0, "", "");
    struct buf in = read_file(in_scratch("in")), out = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&in), buf_bytes(&out)));
    buf_fini(&in);
    buf_fini(&out);
}

static void test_cat_writes_a_file_or_a_part_of_it(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], path[CID_TEXT_MAX + 64];
    make_file(2500000, cid);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    struct buf in = read_file(in_scratch("in"));
    tool_run(cmd_cat, "cat", cid, NULL);
    tool_expect(0, "", "");
    assert_true(bytes_equal(buf_bytes(&tool.out), buf_bytes(&in)));
    tool_run(cmd_cat, "cat", cid, "--offset", "1048570", "--length", "10", NULL);
    assert_true(bytes_equal(buf_bytes(&tool.out), bytes_of(in.data + 1048570, 10)));
    tool_run(cmd_cat, "cat", cid, "-o", "2499999", NULL);
    assert_true(bytes_equal(buf_bytes(&tool.out), bytes_of(in.data + 2499999, 1)));
    tool_run(cmd_cat, "cat", cid, "-o", "3000000", NULL);
    tool_expect(0, "", "");
    assert_int_equal(tool.out.size, 0);
    tool_run(cmd_cat, "cat", cid, "-l", "0", NULL);
    assert_int_equal(tool.out.size, 0);
    buf_fini(&in);
    add_tree(cid);
    snprintf(path, sizeof path, "%s/sub/file", cid);
    tool_run(cmd_cat, "cat", path, NULL);
    assert_string_equal(tool_out(), "hello world");
    tool_run(cmd_cat, "cat", cid, NULL);
    tool_expect(1, "", "is a folder: `colmeia ls` lists it, `colmeia get`");
    tool_run(cmd_get, "get", path, "-o", "-", NULL);
    tool_expect(0, "", "");
    assert_string_equal(tool_out(), "hello world");
    tool_run(cmd_get, "get", cid, "-o", "-", NULL);
    tool_expect(1, "", "is a folder");
    assert_false(files_exists(files_posix(), "-"));
}

/* 16 bytes, linked 1,024 times a level, six levels: 2^64 bytes would be one too many. */
static void put_bomb(char cid[CID_TEXT_MAX])
{
    struct store *store;
    struct unixfs_child links[1024], level = {.file_bytes = 16, .total_bytes = 16};
    struct bytes leaf = bytes_of_text("0123456789abcdef");
    level.cid = cid_of(CID_RAW, leaf);
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_put(store, &level.cid, leaf, NULL), 0);
    for (int depth = 0; depth < 5; depth++) {
        struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
        for (size_t i = 0; i < 1024; i++)
            links[i] = level;
        unixfs_node_put_file(&block, links, 1024);
        level.cid = cid_of(CID_DAG_PB, buf_bytes(&block));
        level.file_bytes *= 1024;
        assert_int_equal(store_put(store, &level.cid, buf_bytes(&block), NULL), 0);
        buf_fini(&block);
    }
    store_close(store);
    cid_format(&level.cid, cid);
}

static void test_attack_15_a_bomb_is_read_in_part_and_never_written(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    put_bomb(cid);
    tool_run(cmd_cat, "cat", cid, "--length", "20", NULL);
    tool_expect(0, "", "");
    assert_string_equal(tool_out(), "0123456789abcdef0123");
    tool_run(cmd_cat, "cat", cid, "--offset", "9007199254740995", "--length", "4", NULL);
    assert_string_equal(tool_out(), "3456");
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), NULL);
    tool_expect(3, "", "free on the disk");
    assert_false(files_exists(files_posix(), in_scratch("out")));
    tool_run(cmd_stat, "stat", cid, NULL);
    tool_expect(0, "Size: 18014398509481984\n", "");
}

static void test_ls_says_cid_size_and_name(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    add_tree(cid);
    tool_run(cmd_ls, "ls", cid, NULL);
    tool_expect(0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku 0 empty\n", "");
    tool_expect(0, " 8 link\n", "");
    tool_expect(0, " - sub/\n", "");
    tool_run(cmd_ls, "ls", cid, "--json", NULL);
    tool_expect(0,
                "{\"name\":\"empty\",\"cid\":\"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevt"
                "enxquvyku\",\"type\":\"file\",\"total_bytes\":0,\"bytes\":0}\n",
                "");
    tool_expect(0, "\"type\":\"symlink\"", "");
    tool_expect(0, "\"type\":\"directory\"", "");
    tool_run(cmd_ls, "ls", HELLO, NULL);
    tool_expect(1, "", "is a file, not a folder");
}

static void test_ls_goes_on_past_entries_that_are_not_here(void **state)
{
    (void)state;
    struct store *store;
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    char cid[CID_TEXT_MAX];
    struct cid absent = cid_of(CID_DAG_PB, bytes_of_text("absent"));
    dagpb_put_link(&block, &absent, bytes_of_text("gone\x1b[2J"), 1234);
    dagpb_put_link(&block, &absent, bytes_of_text("gr\xfc\xdf"), 1234); /* Latin-1 */
    unixfs_node_put_directory(&block);
    struct cid folder = cid_of(CID_DAG_PB, buf_bytes(&block));
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_put(store, &folder, buf_bytes(&block), NULL), 0);
    store_close(store);
    buf_fini(&block);
    tool_run(cmd_ls, "ls", cid_format(&folder, cid), NULL);
    tool_expect(0, " - gone\\x1b[2J\n", "");
    tool_expect(0, " - gr\\xfc\\xdf\n", "");
    tool_run(cmd_ls, "ls", cid, "--json", NULL);
    tool_expect(0, "{\"name\":\"gone\\u001B[2J\",\"cid\":\"bafybei", "");
    tool_expect(0, "{\"name\":\"gr\\\\xfc\\\\xdf\",\"cid\":\"bafybei", "");
}

static void test_stat_says_what_a_cid_is(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], path[CID_TEXT_MAX + 64];
    add_tree(cid);
    tool_run(cmd_stat, "stat", cid, NULL);
    tool_expect(0, "ChildBlocks: 3\nType: directory\n", "");
    snprintf(path, sizeof path, "%s/sub/file", cid);
    tool_run(cmd_stat, "stat", path, NULL);
    tool_expect(0, HELLO "\nSize: 11\nCumulativeSize: 11\nChildBlocks: 0\nType: file\n", "");
    make_file(2500000, cid);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    tool_run(cmd_stat, "stat", "--json", cid, NULL);
    json_t *said = tool_json();
    assert_string_equal(json_string_value(json_object_get(said, "type")), "file");
    assert_int_equal(json_integer_value(json_object_get(said, "bytes")), 2500000);
    assert_int_equal(json_integer_value(json_object_get(said, "links")), 3);
    json_decref(said);
}

static void test_stat_says_mode_and_time_where_they_are_kept(void **state)
{
    (void)state;
    /* file "hi" with mode 0640 and mtime 1700000000.5 */
    static const uint8_t block[] = {0x0a, 0x18, 0x08, 0x02, 0x12, 0x02, 'h',  'i',  0x18,
                                    0x02, 0x38, 0xa0, 0x03, 0x42, 0x0b, 0x08, 0x80, 0xe2,
                                    0xcf, 0xaa, 0x06, 0x15, 0x00, 0x65, 0xcd, 0x1d};
    struct store *store;
    char cid[CID_TEXT_MAX];
    struct bytes bytes = bytes_of(block, sizeof block);
    struct cid file = cid_of(CID_DAG_PB, bytes);
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_put(store, &file, bytes, NULL), 0);
    store_close(store);
    tool_run(cmd_stat, "stat", cid_format(&file, cid), NULL);
    tool_expect(0, "Mode: 0640\nMtime: 2023-11-14T22:13:20Z\n", "");
    tool_run(cmd_stat, "stat", cid, "--json", NULL);
    tool_expect(0, "\"mode\":416,\"mtime\":1700000000,\"mtime_nanos\":500000000}", "");
}

static void test_get_gives_up_nothing_but_a_file(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX], fifo[512], link[512];
    struct stat st;
    make_file(100, cid);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    snprintf(fifo, sizeof fifo, "%s", in_scratch("fifo"));
    snprintf(link, sizeof link, "%s", in_scratch("link"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("in", link), 0);
    for (int forced = 0; forced < 2; forced++) {
        tool_run(cmd_get, "get", cid, "-o", fifo, forced ? "-f" : NULL, NULL);
        tool_expect(2, "", "is a FIFO: only a file is replaced");
        tool_run(cmd_get, "get", cid, "-o", link, forced ? "-f" : NULL, NULL);
        tool_expect(2, "", "is a symlink: only a file is replaced");
    }
    assert_true(lstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
    assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    tool_run(cmd_get, "get", cid, "-o", "", NULL);
    tool_expect(2, "", "is empty");
}

static void test_a_folder_with_a_bad_name_is_refused_with_a_way_out(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    assert_int_equal(mkdir(in_scratch("tree"), 0700), 0);
    write_file(in_scratch("tree/a\nb"), bytes_of_text("x"));
    tool_run(cmd_add, "add", "-Q", in_scratch("tree"), NULL);
    tool_expect(0, "b", "warning: the name \"a\\x0ab\" holds a control character, and");
    take_cid(cid);
    tool_run(cmd_get, "get", cid, "-o", in_scratch("out"), NULL);
    tool_expect(1, "", "`colmeia cat CID/NAME` reads one file");
    tool_expect(1, "", "`colmeia car export`");
}

static void test_ls_says_a_nul_in_a_name(void **state)
{
    (void)state;
    struct store *store;
    char cid[CID_TEXT_MAX];
    struct buf block = buf_new(1000);
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x"));
    /* A link: CID, the name "a\0b", size 1; behind it a directory's data. */
    buf_append_byte(&block, 0x12);
    buf_append_byte(&block, (uint8_t)(2 + leaf.size + 5 + 2));
    buf_append_byte(&block, 0x0a);
    buf_append_byte(&block, (uint8_t)leaf.size);
    buf_append(&block, leaf.bytes, leaf.size);
    buf_append(&block,
               "\x12\x03"
               "a\0b\x18\x01",
               7);
    buf_append(&block, "\x0a\x02\x08\x01", 4);
    struct cid folder = cid_of(CID_DAG_PB, buf_bytes(&block));
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_put(store, &folder, buf_bytes(&block), NULL), 0);
    store_close(store);
    buf_fini(&block);
    tool_run(cmd_ls, "ls", cid_format(&folder, cid), NULL);
    tool_expect(0, " 1 a\\x00b\n", "");
}

static void test_what_people_paste_is_answered_with_what_to_give(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"https://example.org/ipfs/" HELLO, "--from https://HOST"},
        {"/ipns/example.org", "IPNS names are not followed"},
        {"ipns://example.org/a", "IPNS names are not followed"},
        {"nonsense/a", "\"nonsense\" is no CID"},
    };
    char cid[CID_TEXT_MAX];
    make_file(10, cid); /* a store; what is in it does not matter */
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tool_run(cmd_stat, "stat", rows[i][0], "--store", in_scratch("store"), NULL);
        tool_expect(2, "", rows[i][1]);
    }
}

static void test_what_is_no_store_is_said_and_left_alone(void **state)
{
    (void)state;
    write_file(in_scratch("file"), bytes_of_text("x"));
    assert_int_equal(mkdir(in_scratch("folder"), 0700), 0);
    write_file(in_scratch("folder/mine"), bytes_of_text("x"));
    static const struct {
        const char *name, *words;
    } rows[] = {{"file", "is no folder"}, {"folder", "is not a store"}, {"absent", "no store at"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s", in_scratch(rows[i].name));
        tool_run(cmd_store, "store", "verify", "--store", dir, NULL);
        tool_expect(2, "", rows[i].words);
        tool_run(cmd_store, "store", "stat", "--store", dir, NULL);
        tool_expect(2, "", rows[i].words);
        tool_run(cmd_cat, "cat", HELLO, "--store", dir, NULL);
        tool_expect(2, "", rows[i].words);
        tool_run(cmd_pin, "pin", "add", HELLO, "--store", dir, NULL);
        tool_expect(2, "", rows[i].words);
        tool_run(cmd_gc, "gc", "--store", dir, NULL);
        tool_expect(2, "", rows[i].words);
    }
    assert_false(files_exists(files_posix(), in_scratch("absent")));
    for (size_t i = 0; i < 2; i++) {
        tool_run(cmd_add, "add", in_scratch("file"), "--store", in_scratch(rows[i].name), NULL);
        tool_expect(2, "", rows[i].words);
    }
    assert_false(files_exists(files_posix(), in_scratch("folder/blocks")));
    assert_int_equal(mkdir(in_scratch("empty"), 0700), 0);
    tool_run(cmd_add, "add", in_scratch("file"), "--store", in_scratch("empty"), NULL);
    tool_expect(0, "added", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_added_is_got_back),
        TEST(test_a_folder_is_got_back_and_a_path_in_it),
        TEST(test_get_names_what_it_writes_by_the_last_name_asked_for),
        TEST(test_get_replaces_a_file_only_when_told),
        TEST(test_symlinks_that_lead_out_are_written_only_when_told),
        TEST(test_a_damaged_block_is_named_and_no_file_appears),
        TEST(test_what_is_not_there_is_a_no),
        TEST(test_a_studys_model_is_got_from_its_folder),
        TEST(test_cat_writes_a_file_or_a_part_of_it),
        TEST(test_attack_15_a_bomb_is_read_in_part_and_never_written),
        TEST(test_ls_says_cid_size_and_name),
        TEST(test_ls_goes_on_past_entries_that_are_not_here),
        TEST(test_stat_says_what_a_cid_is),
        TEST(test_stat_says_mode_and_time_where_they_are_kept),
        TEST(test_get_gives_up_nothing_but_a_file),
        TEST(test_a_folder_with_a_bad_name_is_refused_with_a_way_out),
        TEST(test_ls_says_a_nul_in_a_name),
        TEST(test_what_people_paste_is_answered_with_what_to_give),
        TEST(test_what_is_no_store_is_said_and_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
