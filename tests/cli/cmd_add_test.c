/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "content/pins.h"
#include "content/store.h"
#include "tests/cli/tool.h"

#define HELLO "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    setenv("COLMEIA_STORE", in_scratch("store"), 1);
    setenv("IPFS_PATH", scratch, 1);
    write_file(in_scratch("in"), bytes_of_text("hello world"));
    return 0;
}

static void make_tree(void)
{
    assert_int_equal(mkdir(in_scratch("tree"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("tree/sub"), 0700), 0);
    write_file(in_scratch("tree/sub/file"), bytes_of_text("hello world"));
    write_file(in_scratch("tree/.hidden"), bytes_of_text("h"));
}

static void test_hello_worlds_cid_is_the_one_that_everybody_knows(void **state)
{
    (void)state;
    tool_run(cmd_add, "add", "-n", in_scratch("in"), NULL);
    tool_expect(0, "added " HELLO " in\n", "");
    tool_run(cmd_add, "add", "-n", "-q", in_scratch("in"), NULL);
    assert_string_equal(tool_out(), HELLO "\n");
    tool_run(cmd_add, "add", "-n", "-Q", in_scratch("in"), NULL);
    assert_string_equal(tool_out(), HELLO "\n");
    tool_run(cmd_add, "add", "-n", "--json", in_scratch("in"), NULL);
    tool_expect(0, "{\"cid\":\"" HELLO "\",\"bytes\":11,\"total_bytes\":11,\"path\":\"", "");
    tool_run(cmd_add, "add", "-n", "-Q", "--profile", "unixfs-v0-2015", in_scratch("in"), NULL);
    assert_string_equal(tool_out(), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD\n");
    assert_false(files_exists(files_posix(), in_scratch("store")));
}

static void test_a_folder_is_told_with_what_is_in_it(void **state)
{
    (void)state;
    make_tree();
    tool_run(cmd_add, "add", "-n", "-r", in_scratch("tree/"), NULL);
    tool_expect(0, "added " HELLO " tree/sub/file\nadded bafybei", "");
    tool_expect(0, " tree/sub\nadded bafybei", "");
    assert_null(strstr(tool_out(), ".hidden"));
    tool_run(cmd_add, "add", "-n", "-H", in_scratch("tree"), NULL);
    tool_expect(0, " tree/.hidden\n", "");
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(in_scratch("tree")), 0);
    tool_run(cmd_add, "add", "-n", ".", NULL);
    assert_int_equal(chdir(before), 0);
    tool_expect(0, "added " HELLO " tree/sub/file\n", "");
    tool_expect(0, " tree\n", "");
}

static void test_several_paths_have_a_root_each(void **state)
{
    (void)state;
    make_tree();
    tool_run(cmd_add, "add", "-Q", in_scratch("in"), in_scratch("tree"), NULL);
    assert_int_equal(tool.status, 0);
    assert_int_equal(strncmp(tool_out(), HELLO "\nbafybei", strlen(HELLO) + 8), 0);
    tool_run(cmd_add, "add", "-n", "-q", "-w", in_scratch("in"), in_scratch("tree/sub/file"), NULL);
    tool_expect(0, HELLO "\n" HELLO "\nbafybei", "");
}

/* Computed with Kubo 0.43.0: `ipfs add -n -w hello`, hello holding "hello world". */
static void test_a_folder_around_it_keeps_the_name(void **state)
{
    (void)state;
    write_file(in_scratch("hello"), bytes_of_text("hello world"));
    tool_run(cmd_add, "add", "-n", "-Q", "-w", in_scratch("hello"), NULL);
    tool_expect(0, "bafybeiho2yad2oitx4vlwofrpvvkqiiuh3suzojwebcgxwtmjnigahanz4\n", "");
    tool_run(cmd_add, "add", "-n", "-Q", "-w", "--profile", "unixfs-v0-2015", in_scratch("hello"),
             NULL);
    tool_expect(0, "QmXs3sZN47Awuhj5fuATYj8fDMUuWG5jUYfoJN1gCL6AHe\n", "");
}

static void test_the_standard_input_is_added(void **state)
{
    (void)state;
    int kept = dup(STDIN_FILENO);
    for (int i = 0; i < 2; i++) {
        int in = open(in_scratch("in"), O_RDONLY);
        assert_true(kept >= 0 && in >= 0 && dup2(in, STDIN_FILENO) == STDIN_FILENO);
        close(in);
        tool_run(cmd_add, "add", i == 0 ? "-" : NULL, NULL);
        tool_expect(0, "added " HELLO " " HELLO "\n", "");
    }
    assert_true(dup2(kept, STDIN_FILENO) == STDIN_FILENO);
    close(kept);
}

static void test_what_was_added_is_pinned_unless_told(void **state)
{
    (void)state;
    struct cid cid;
    struct pin pin;
    assert_int_equal(cid_parse(HELLO, &cid, NULL), 0);
    tool_run(cmd_add, "add", "--no-pin", in_scratch("in"), NULL);
    tool_expect(0, HELLO, "");
    tool_run(cmd_add, "add", "--pin=false", in_scratch("in"), NULL);
    tool_expect(0, HELLO, "");
    assert_int_equal(pins_get(files_posix(), in_scratch("store"), &cid, &pin, NULL), ERR_NOTFOUND);
    tool_run(cmd_add, "add", "--pin-name", "greeting", in_scratch("in"), NULL);
    tool_expect(0, HELLO, "");
    assert_int_equal(pins_get(files_posix(), in_scratch("store"), &cid, &pin, NULL), 0);
    assert_true(pin.recursive);
    assert_string_equal(pin.name, "greeting");
}

static void test_a_studys_folder_has_its_store_in_shared(void **state)
{
    (void)state;
    struct store *store;
    struct cid cid;
    assert_int_equal(cid_parse(HELLO, &cid, NULL), 0);
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("study/shared"), NULL), 0);
    tool_run(cmd_add, "add", "--store", in_scratch("study"), in_scratch("in"), NULL);
    tool_expect(0, HELLO, "");
    assert_int_equal(
        store_open(files_posix(), in_scratch("study/shared"), STORE_READ_ONLY, &store, NULL), 0);
    assert_true(store_has(store, &cid));
    store_close(store);
}

static void test_the_store_is_found_by_the_environment(void **state)
{
    (void)state;
    const char *home = getenv("HOME");
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", home == NULL ? "" : home);
    unsetenv("COLMEIA_STORE");
    setenv("XDG_DATA_HOME", in_scratch("data"), 1);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    assert_true(files_exists(files_posix(), in_scratch("data/colmeia/store/blocks")));
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", in_scratch("home"), 1);
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    assert_true(files_exists(files_posix(), in_scratch("home/.local/share/colmeia/store/blocks")));
    unsetenv("HOME");
    tool_run(cmd_add, "add", in_scratch("in"), NULL);
    tool_expect(2, "", "give --store DIR");
    setenv("HOME", kept, 1);
}

static void test_without_a_copy_the_file_is_read_where_it_lies(void **state)
{
    (void)state;
    tool_run(cmd_add, "add", "--nocopy", in_scratch("in"), NULL);
    tool_expect(0, HELLO, "");
    tool_run(cmd_cat, "cat", HELLO, NULL);
    assert_string_equal(tool_out(), "hello world");
    damage_file(in_scratch("in"), 3, 1);
    tool_run(cmd_cat, "cat", HELLO, NULL);
    assert_int_not_equal(tool.status, 0);
    assert_string_equal(tool_out(), "");
}

static void test_a_pins_name_that_is_too_long_is_said_before_anything_is_stored(void **state)
{
    (void)state;
    char name[PINS_NAME_MAX + 1];
    memset(name, 'n', PINS_NAME_MAX);
    name[PINS_NAME_MAX] = '\0';
    tool_run(cmd_add, "add", "--pin-name", name, in_scratch("in"), NULL);
    tool_expect(2, "", "no longer than");
    assert_false(files_exists(files_posix(), in_scratch("store")));
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *words;
        int status;
    } rows[] = {
        {"--profile", "no-such", "unixfs-v1-2025 and unixfs-v0-2015", 2},
        {"--chunker", "rabin", "size-N", 2},
        {"--chunker", "size-", "--chunker", 2},
        {"--chunker", "size-0", "", 2},
        {"--chunker", "size-2097152", "--chunker", 2}, /* with its envelope no block */
        {"--max-file-links", "0", "2 to 8192", 2},
        {"--max-file-links", "1", "", 2},
        {"--max-file-links", "100000", "--max-file-links", 2},
        {"--cid-version", "2", "--cid-version", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tool_run(cmd_add, "add", rows[i].option, rows[i].value, in_scratch("in"), NULL);
        tool_expect(rows[i].status, "", rows[i].words);
        assert_int_equal(tool.out.size, 0);
    }
    tool_run(cmd_add, "add", "--nocopy", "--raw-leaves=false", in_scratch("in"), NULL);
    tool_expect(2, "", "raw leaves");
    tool_run(cmd_add, "add", in_scratch("absent"), NULL);
    tool_expect(1, "", "absent");
    assert_int_equal(mkfifo(in_scratch("pipe"), 0600), 0);
    tool_run(cmd_add, "add", "-n", in_scratch("pipe"), NULL);
    tool_expect(2, "", "pipe is neither a file nor a folder");
}

static void test_what_was_added_before_a_failure_is_kept_and_nothing_else_told(void **state)
{
    (void)state;
    write_file(in_scratch("c"), bytes_of_text("c"));
    assert_int_equal(mkdir(in_scratch("d"), 0700), 0);
    write_file(in_scratch("d/a"), bytes_of_text("in a folder that fails"));
    assert_int_equal(mkfifo(in_scratch("d/pipe"), 0600), 0);
    const char *const bad[] = {"absent", "d"};
    static const char *const options[] = {"--pin", "-Q", "--json"};
    for (size_t i = 0; i < 6; i++) {
        tool_run(cmd_add, "add", options[i / 2], in_scratch("in"), in_scratch(bad[i % 2]),
                 in_scratch("c"), NULL);
        assert_int_not_equal(tool.status, 0);
        tool_expect(tool.status, HELLO, bad[i % 2]);
        char *line = strchr(tool_out(), '\n');
        assert_true(line != NULL && line[1] == '\0');
        tool_run(cmd_pin, "pin", "rm", HELLO, NULL);
        tool_expect(0, "unpinned", "");
    }
    tool_run(cmd_cat, "cat", HELLO, NULL);
    assert_string_equal(tool_out(), "hello world");
    /* The folder around all is not made, so that nothing is. */
    tool_run(cmd_add, "add", "-w", in_scratch("in"), in_scratch("absent"), NULL);
    tool_expect(1, "", "absent");
    assert_int_equal(tool.out.size, 0);
    tool_run(cmd_pin, "pin", "ls", NULL);
    assert_int_equal(tool.out.size, 0);
}

static void test_names_that_get_refuses_are_warned_about_once(void **state)
{
    (void)state;
    char name[64];
    assert_int_equal(mkdir(in_scratch("t"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("t/s"), 0700), 0);
    write_file(in_scratch("t/x\x1b[2J"), bytes_of_text("x"));
    write_file(in_scratch("t/s/x\x1b[2J"), bytes_of_text("x"));
    tool_run(cmd_add, "add", "-n", in_scratch("t"), NULL);
    tool_expect(0, "added ", "warning: the name \"x\\x1b[2J\" holds a control character");
    assert_null(strstr(strchr(tool_err(), '\n') + 1, "warning"));
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "t/%c\xff", 'a' + i);
        write_file(in_scratch(name), bytes_of_text("x"));
    }
    tool_run(cmd_add, "add", "-n", in_scratch("t"), NULL);
    tool_expect(0, "added ", "is not UTF-8, and `colmeia get` will not write it");
    tool_expect(0, "added ", "warning: 4 more names like that");
    write_file(in_scratch("o\x01"), bytes_of_text("x"));
    tool_run(cmd_add, "add", "-n", in_scratch("o\x01"), NULL); /* its name is not kept */
    assert_int_equal(tool.err.size, 0);
    tool_run(cmd_add, "add", "-n", "-w", in_scratch("o\x01"), NULL);
    tool_expect(0, "added ", "warning: the name \"o\\x01\"");
}

static void test_a_folder_around_all_has_a_name_once(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_scratch("one"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("two"), 0700), 0);
    write_file(in_scratch("one/same"), bytes_of_text("1"));
    write_file(in_scratch("two/same"), bytes_of_text("2"));
    tool_run(cmd_add, "add", "-w", in_scratch("one/same"), in_scratch("two/same"), NULL);
    tool_expect(2, "", "one/same and ");
    tool_expect(2, "", "two/same would have the same name");
    assert_int_equal(tool.out.size, 0);
    struct buf once = buf_new(1000);
    tool_run(cmd_add, "add", "-w", in_scratch("one/same"), NULL);
    tool_expect(0, "added", "");
    buf_append(&once, tool.out.data, tool.out.size);
    tool_run(cmd_add, "add", "-w", in_scratch("one/same"), in_scratch("one/same"), NULL);
    assert_true(bytes_equal(buf_bytes(&tool.out), buf_bytes(&once)));
    buf_fini(&once);
}

/* Computed with Kubo 0.43.0 after `ipfs config profile apply` of the profile: `ipfs add -nQ`. */
static void test_leaves_and_versions_are_those_of_kubo_with_the_profile(void **state)
{
    (void)state;
    static const struct {
        const char *profile, *version, *leaves, *hello, *big;
    } rows[] = {
        {"unixfs-v0-2015", "1", NULL, "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa",
         "bafybeie7olqceyykwezw4rvlz772j2mmb6farczr55c4v7xlxchm74ztpe"},
        {"unixfs-v0-2015", "0", "--raw-leaves", HELLO,
         "QmYFAU6RqF1t2TwLfK3ACh5pAG8wFQ32ukQ6hmYN1AQLok"},
        {"unixfs-v0-2015", "1", "--raw-leaves", HELLO,
         "bafybeietfueeqgwtzzmwz7dcv2ih2kepzmvelbkjspxgsa556xjmiukufm"},
        {"unixfs-v1-2025", "0", NULL, HELLO, "Qmd7sPAqn2uPX6kyG4j9cKqWzNJLNsM7VoeQzXmiCYdPnh"},
        {"unixfs-v1-2025", "1", "--raw-leaves=false",
         "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa",
         "bafybeiamjiwcbhwb4sxrsg6xxc5u46drzspdqtoeeup4ukhulqnujfn6qa"},
        {"unixfs-v1-2025", "0", "--raw-leaves=false",
         "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
         "QmZBbJTnFwmPwcFo42ZDCfFzMp6Zvhu7MdQwokvSe9EBU1"},
    };
    uint8_t *data = malloc(3000000);
    assert_non_null(data);
    memset(data, 'a', 3000000);
    write_file(in_scratch("big"), bytes_of(data, 3000000));
    free(data);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char expected[200];
        snprintf(expected, sizeof expected, "%s\n%s\n", rows[i].hello, rows[i].big);
        tool_run(cmd_add, "add", "-n", "-Q", "-p", in_scratch("in"), in_scratch("big"), "--profile",
                 rows[i].profile, "--cid-version", rows[i].version, rows[i].leaves, NULL);
        assert_string_equal(tool_out(), expected);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hello_worlds_cid_is_the_one_that_everybody_knows),
        TEST(test_a_folder_is_told_with_what_is_in_it),
        TEST(test_several_paths_have_a_root_each),
        TEST(test_a_folder_around_it_keeps_the_name),
        TEST(test_the_standard_input_is_added),
        TEST(test_what_was_added_is_pinned_unless_told),
        TEST(test_a_studys_folder_has_its_store_in_shared),
        TEST(test_the_store_is_found_by_the_environment),
        TEST(test_without_a_copy_the_file_is_read_where_it_lies),
        TEST(test_a_pins_name_that_is_too_long_is_said_before_anything_is_stored),
        TEST(test_what_cannot_be_is_refused),
        TEST(test_what_was_added_before_a_failure_is_kept_and_nothing_else_told),
        TEST(test_names_that_get_refuses_are_warned_about_once),
        TEST(test_a_folder_around_all_has_a_name_once),
        TEST(test_leaves_and_versions_are_those_of_kubo_with_the_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
