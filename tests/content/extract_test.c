/* SPDX-License-Identifier: Apache-2.0 */
#include "content/extract.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "content/directory.h"
#include "content/import.h"
#include "content/packs.h"
#include "tests/content/store_scratch.h"

static struct jobs *jobs;
static struct store *store;

static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    store = open_real();
    return 0;
}

static int teardown(void **state)
{
    store_close(store);
    return scratch_teardown(state);
}

/* --- blocks --- */

static struct cid put(uint32_t codec, struct bytes block)
{
    struct cid cid = cid_of(codec, block);
    assert_int_equal(store_put(store, &cid, block, NULL), 0);
    return cid;
}

static struct unixfs_child file_of(const char *text)
{
    struct cid cid = put(CID_RAW, bytes_of_text(text));
    return (struct unixfs_child){
        .cid = cid, .file_bytes = strlen(text), .total_bytes = strlen(text)};
}

/* Any entries at all, in one block: names that directory.h would never write. */
struct entry {
    struct bytes name;
    struct unixfs_child child;
};

static struct unixfs_child folder_of(const struct entry *entries, size_t count)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        dagpb_put_link(&block, &entries[i].child.cid, entries[i].name,
                       entries[i].child.total_bytes);
    unixfs_node_put_directory(&block);
    struct unixfs_child folder = {.cid = put(CID_DAG_PB, buf_bytes(&block)),
                                  .total_bytes = block.size};
    buf_fini(&block);
    return folder;
}

static struct unixfs_child folder_of_one(struct bytes name, struct unixfs_child child)
{
    struct entry entry = {.name = name, .child = child};
    return folder_of(&entry, 1);
}

static struct unixfs_child symlink_to(struct bytes target)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    unixfs_node_put_symlink(&block, target);
    struct unixfs_child link = {.cid = put(CID_DAG_PB, buf_bytes(&block)),
                                .total_bytes = block.size};
    buf_fini(&block);
    return link;
}

static struct unixfs_child node_of(const struct unixfs_child *children, size_t count)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    unixfs_node_put_file(&block, children, count);
    struct unixfs_child node = {.cid = put(CID_DAG_PB, buf_bytes(&block)),
                                .total_bytes = block.size};
    for (size_t i = 0; i < count; i++)
        node.file_bytes += children[i].file_bytes;
    buf_fini(&block);
    return node;
}

static bool with_unhashed; /* every test runs with and without such a source */

static int read_unhashed(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    (void)self;
    return store_read(store, cid, out, err);
}

static struct extract_options options(void)
{
    struct extract_options o = {.source = store_source(store), .jobs = jobs};
    if (with_unhashed)
        o.unhashed.get = read_unhashed;
    return o;
}

static void import_tree(const struct unixfs_profile *profile, const char *path,
                        struct unixfs_child *root)
{
    struct import_options o = {.profile = profile, .jobs = jobs, .hidden = true};
    struct err err = {0};
    if (store_batch_new(store, &o.batch, &err) != 0 || import_path(&o, path, root, &err) != 0 ||
        store_batch_finish(o.batch, false, &err) != 0)
        fail_msg("%s", err.text);
}

static void expect_refusal(const struct extract_options *o, const struct cid *root, int code,
                           const char *words)
{
    struct err err = {0};
    struct stat s;
    assert_int_equal(extract_path(o, root, in_scratch("out"), &err), code);
    if (strstr(err.text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, err.text);
    assert_int_not_equal(lstat(in_scratch("out"), &s), 0);
}

/* What is in the scratch folder but for the store: nothing else may have been left. */
static size_t count_names(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

/* --- what comes out --- */

static void make_tree(void)
{
    uint8_t *data = stream_bytes("extract", 6000000);
    char name[64];
    assert_int_equal(mkdir(in_scratch("in"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("in/empty"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("in/many"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("in/deep"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("in/deep/er"), 0700), 0);
    write_file(in_scratch("in/none"), bytes_of(NULL, 0));
    write_file(in_scratch("in/one"), bytes_of(data, 1));
    write_file(in_scratch("in/two-blocks"), bytes_of(data, (1u << 20) + 1));
    write_file(in_scratch("in/large"), bytes_of(data, 6000000));
    write_file(in_scratch("in/.hidden"), bytes_of(data, 100));
    write_file(in_scratch("in/deep/er/file"), bytes_of(data, 1000));
    write_file(in_scratch("in/CON"), bytes_of_text("a name like any other"));
    assert_int_equal(symlink("one", in_scratch("in/link")), 0);
    assert_int_equal(symlink("../../deep", in_scratch("in/deep/er/up")), 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "in/many/%03d", i);
        write_file(in_scratch(name), bytes_of(data + i, 10));
    }
    free(data);
}

static void test_what_was_imported_comes_out_again(void **state)
{
    (void)state;
    const struct unixfs_profile *profiles[] = {&unixfs_v1_2025, &unixfs_v0_2015};
    make_tree();
    for (size_t i = 0; i < 4; i++) {
        struct unixfs_child root, again;
        struct progress_count count = {0};
        struct err err = {0};
        struct extract_options o = options();
        struct unixfs_profile sharded = *profiles[i % 2];
        if (i < 2)
            sharded.directory_bytes_max = 1; /* every folder is a HAMT */
        o.jobs = i % 2 == 0 ? jobs : NULL;
        o.progress = &count;
        o.sync = i == 1;
        import_tree(&sharded, in_scratch("in"), &root);
        if (extract_path(&o, &root.cid, in_scratch("out"), &err) != 0)
            fail_msg("%s", err.text);
        import_tree(&sharded, in_scratch("out"), &again);
        assert_true(cid_equal(&again.cid, &root.cid));
        assert_int_equal(count.done, import_measure(in_scratch("in"), true));
        assert_int_equal(count_names(scratch), 3);
        assert_int_equal(nftw(in_scratch("out"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

static void test_files_of_all_kinds_come_out_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 262145, (1u << 20) + 1, 70u << 20};
    const struct unixfs_profile *profiles[] = {&unixfs_v1_2025, &unixfs_v0_2015};
    uint8_t *data = stream_bytes("extract", 70u << 20);
    for (size_t i = 0; i < 10; i++) {
        struct bytes want = bytes_of(data, sizes[i / 2]);
        struct extract_options o = options();
        struct unixfs_child root;
        write_file(in_scratch("in"), want);
        import_tree(profiles[i % 2], in_scratch("in"), &root);
        assert_int_equal(extract_path(&o, &root.cid, in_scratch("out"), NULL), 0);
        FILE *out = fopen(in_scratch("out"), "rb");
        uint8_t *back = malloc(want.size + 1);
        assert_non_null(out);
        assert_int_equal(fread(back, 1, want.size + 1, out), want.size);
        assert_true(bytes_equal(bytes_of(back, want.size), want));
        free(back);
        fclose(out);
        assert_int_equal(unlink(in_scratch("out")), 0);
    }
    free(data);
}

static void test_a_root_may_be_an_identity_or_a_symlink(void **state)
{
    (void)state;
    static const uint8_t identity[] = {1, 0x55, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    struct extract_options o = options();
    struct cid cid;
    char target[64] = "";
    assert_int_equal(cid_decode(bytes_of(identity, sizeof identity), &cid, NULL), 0);
    assert_int_equal(extract_path(&o, &cid, in_scratch("out"), NULL), 0);
    struct buf back = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&back), bytes_of_text("hello")));
    buf_fini(&back);
    struct unixfs_child link = symlink_to(bytes_of_text("out"));
    assert_int_equal(extract_path(&o, &link.cid, in_scratch("link"), NULL), 0);
    assert_int_equal(readlink(in_scratch("link"), target, sizeof target - 1), 3);
    assert_string_equal(target, "out");
}

static void test_what_is_neither_file_nor_folder_is_refused(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct cid record = put(CID_DAG_CBOR, bytes_of("\xa0", 1));
    expect_refusal(&o, &record, ERR_UNSUPPORTED, "is neither a file nor a folder");
    struct cid absent = cid_of(CID_DAG_PB, bytes_of_text("absent"));
    expect_refusal(&o, &absent, ERR_NOTFOUND, "is not in store");
}

/* --- whole or not at all --- */

static void test_a_damaged_or_missing_block_leaves_nothing(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("extract", 3u << 20);
    struct unixfs_child leaves[3];
    for (size_t i = 0; i < 3; i++) {
        struct bytes leaf = bytes_of(data + (i << 20), 1u << 20);
        leaves[i] = (struct unixfs_child){
            .cid = put(CID_RAW, leaf), .file_bytes = leaf.size, .total_bytes = leaf.size};
    }
    struct unixfs_child root = node_of(leaves, 3);
    struct unixfs_child folder = folder_of_one(bytes_of_text("f"), root);
    for (int alone = 0; alone < 2; alone++) {
        struct extract_options o = options();
        o.jobs = alone ? NULL : jobs;
        damage_file(path_of(&leaves[1].cid), 77, 1);
        expect_refusal(&o, &root.cid, ERR_CORRUPT, "the bytes are not block");
        expect_refusal(&o, &folder.cid, ERR_CORRUPT, "/out/f: ");
        damage_file(path_of(&leaves[1].cid), 77, 255);
    }
    struct extract_options o = options();
    assert_int_equal(store_delete(store, &leaves[2].cid, NULL), 0);
    expect_refusal(&o, &root.cid, ERR_NOTFOUND, "is not in store");
    expect_refusal(&o, &folder.cid, ERR_NOTFOUND, "is not in store");
    assert_int_equal(count_names(scratch), 1);
    free(data);
}

/* The system refuses to let a file grow past a limit, as it does on a full disk. */
static void test_a_write_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct unixfs_child root, folder;
    struct extract_options o = options();
    uint8_t *data = stream_bytes("extract", 3u << 20);
    write_file(in_scratch("in"), bytes_of(data, 3u << 20));
    free(data);
    import_tree(&unixfs_v1_2025, in_scratch("in"), &root);
    assert_int_equal(unlink(in_scratch("in")), 0);
    folder = folder_of_one(bytes_of_text("f"), root);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 2u << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_refusal(&o, &root.cid, ERR_IO, "write");
    expect_refusal(&o, &folder.cid, ERR_IO, "/out/f: write");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(count_names(scratch), 1);
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("out"), NULL), 0);
}

static void test_a_leaf_of_another_size_than_its_parent_says_is_refused(void **state)
{
    (void)state;
    struct unixfs_child pair[2] = {file_of("first"), file_of("second")};
    struct extract_options o = options();
    pair[1].file_bytes--;
    struct unixfs_child root = node_of(pair, 2);
    expect_refusal(&o, &root.cid, ERR_MALFORMED, "has 6 bytes, its parent says 5");
    assert_int_equal(extract_stream(&o, &root.cid, 0, UINT64_MAX, -1, NULL), ERR_MALFORMED);
}

/* A process of the same number may have been killed here before: in a container all are 1. */
static void test_what_another_process_left_hinders_nothing(void **state)
{
    (void)state;
    enum {
        LEFT = 200 /* more than this process took */
    };
    struct extract_options o = options();
    struct unixfs_child file = file_of("new"), link = symlink_to(bytes_of_text("new"));
    struct unixfs_child folder = folder_of_one(bytes_of_text("f"), file);
    for (int i = 0; i < LEFT; i++) {
        char name[64];
        snprintf(name, sizeof name, ".colmeia-%d-%d.part", (int)getpid(), i);
        assert_int_equal(mkdir(in_scratch(name), 0700), 0);
    }
    assert_int_equal(extract_path(&o, &file.cid, in_scratch("file"), NULL), 0);
    assert_int_equal(extract_path(&o, &link.cid, in_scratch("link"), NULL), 0);
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("folder"), NULL), 0);
    struct buf back = read_file(in_scratch("folder/f"));
    assert_true(bytes_equal(buf_bytes(&back), bytes_of_text("new")));
    buf_fini(&back);
    assert_int_equal(count_names(scratch), LEFT + 4); /* with the store */
}

static void test_what_is_there_stays_unless_forced_and_folders_always_do(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct unixfs_child file = file_of("new");
    struct unixfs_child folder = folder_of_one(bytes_of_text("f"), file);
    struct err err = {0};
    write_file(in_scratch("out"), bytes_of_text("precious"));
    assert_int_equal(extract_path(&o, &file.cid, in_scratch("out"), &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "is there already"));
    o.force = true;
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("out"), &err), ERR_EXISTS);
    struct buf kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
    /* A symlink that lies there is replaced, not written through. */
    assert_int_equal(symlink("out", in_scratch("link")), 0);
    assert_int_equal(extract_path(&o, &file.cid, in_scratch("link"), &err), 0);
    kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
    assert_int_equal(extract_path(&o, &file.cid, in_scratch("out"), &err), 0);
    kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("new")));
    buf_fini(&kept);
    assert_int_equal(mkdir(in_scratch("dir"), 0700), 0);
    assert_int_equal(extract_path(&o, &file.cid, in_scratch("dir"), &err), ERR_EXISTS);
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("dir/"), &err), ERR_EXISTS);
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("dir/.."), &err), ERR_USAGE);
    assert_int_equal(extract_path(&o, &folder.cid, in_scratch("no/where"), &err), ERR_NOTFOUND);
    assert_int_equal(count_names(in_scratch("dir")), 0);
}

/* --- attacks --- */

static void test_attack_15_declared_sizes_beyond_the_disk_are_refused_at_once(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct unixfs_child leaf = file_of("0123456789abcdef");
    struct unixfs_child level = leaf;
    /* 16 bytes, linked 1,024 times a level: 2^54 bytes, all of them there. */
    struct unixfs_child links[1024];
    for (int depth = 0; depth < 5; depth++) {
        for (size_t i = 0; i < 1024; i++)
            links[i] = level;
        uint64_t total = level.total_bytes;
        level = node_of(links, 1024);
        level.total_bytes += 1024 * total;
    }
    expect_refusal(&o, &level.cid, ERR_LIMIT, "free on the disk");
    struct unixfs_child folder = folder_of_one(bytes_of_text("bomb"), level);
    expect_refusal(&o, &folder.cid, ERR_LIMIT, "free on the disk");
    /* Sizes that a folder's links say, whose sum would be small if it were let overflow ... */
    struct entry pair[2] = {{.name = bytes_of_text("a"), .child = leaf},
                            {.name = bytes_of_text("b"), .child = leaf}};
    pair[0].child.total_bytes = pair[1].child.total_bytes = 1ull << 63;
    folder = folder_of(pair, 2);
    expect_refusal(&o, &folder.cid, ERR_LIMIT, "free on the disk");
    /* ... and a folder that says nothing of what is in it. */
    level.total_bytes = 0;
    folder = folder_of_one(bytes_of_text("bomb"), level);
    expect_refusal(&o, &folder.cid, ERR_LIMIT, "do not fit on the disk");
    assert_int_equal(count_names(scratch), 1);
    /* The first bytes of it can be had all the same, and some from the midst. */
    int fd = open(in_scratch("part"), O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_int_equal(extract_stream(&o, &level.cid, (1ull << 53) + 3, (1ull << 53) + 43, fd, NULL),
                     0);
    close(fd);
    struct buf part = read_file(in_scratch("part"));
    assert_true(
        bytes_equal(buf_bytes(&part), bytes_of_text("3456789abcdef0123456789abcdef0123456789a")));
    buf_fini(&part);
}

static void test_attack_14_folders_without_end_are_refused(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct unixfs_child at = file_of("bottom");
    for (int i = 0; i < 300; i++)
        at = folder_of_one(bytes_of_text("d"), at);
    expect_refusal(&o, &at.cid, ERR_LIMIT, "more than 256 deep");
    assert_int_equal(count_names(scratch), 1);
}

static void test_attack_20_names_that_lead_out_or_are_no_names_are_refused(void **state)
{
    (void)state;
    static char huge[65536];
    memset(huge, 'n', sizeof huge);
    const struct {
        struct bytes name;
        const char *words;
    } rows[] = {
        {bytes_of_text("../x"), "slash"},
        {bytes_of_text("/abs"), "slash"},
        {bytes_of_text("a/b"), "slash"},
        {bytes_of_text("a/"), "slash"},
        {bytes_of_text("/"), "slash"},
        {bytes_of_text(".."), "leads out"},
        {bytes_of_text("."), "leads out"},
        {bytes_of_text(""), "is empty"},
        {bytes_of("a\0b", 3), "control character"},
        {bytes_of("\0", 1), "control character"},
        {bytes_of_text("a\nb"), "control character"},
        {bytes_of_text("\x1b[2J"), "control character"},
        {bytes_of_text("\x7f"), "control character"},
        {bytes_of_text("\xc2\x9b"), "control character"}, /* U+009B, an escape of one character */
        {bytes_of_text("\xff\xfe"), "not UTF-8"},
        {bytes_of_text("\xc0\xae\xc0\xae"), "not UTF-8"}, /* ".." written too long */
        {bytes_of(huge, 256), "longer than 255"},
        {bytes_of(huge, sizeof huge), "longer than 255"},
    };
    struct extract_options o = options();
    struct unixfs_child file = file_of("evil");
    struct unixfs_child empty = folder_of(NULL, 0);
    struct unixfs_child link = symlink_to(bytes_of_text("x"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct unixfs_child *kinds[] = {&file, &empty, &link};
        for (size_t k = 0; k < 3; k++) {
            struct unixfs_child bad = folder_of_one(rows[i].name, *kinds[k]);
            struct unixfs_child above = folder_of_one(bytes_of_text("sub"), bad);
            struct err err = {0};
            int rc = extract_path(&o, &bad.cid, in_scratch("out"), &err);
            /* Some are refused as no directory at all before a name is looked at. */
            assert_true(rc == ERR_DENIED || rc == ERR_MALFORMED);
            if (rc == ERR_DENIED && strstr(err.text, rows[i].words) == NULL)
                fail_msg("row %zu: %s", i, err.text);
            rc = extract_path(&o, &above.cid, in_scratch("out"), &err);
            assert_true(rc == ERR_DENIED || rc == ERR_MALFORMED);
            assert_int_equal(count_names(scratch), 1);
        }
    }
    assert_int_not_equal(access("/abs", F_OK), 0);
}

static void test_attack_20_a_name_that_means_something_elsewhere_is_a_name(void **state)
{
    (void)state;
    static const char *const names[] = {"CON", "nul.txt", "...", "a\\b", "C:",  "-rf",
                                        "~",   "$HOME",   " ",   "*",    ".git"};
    struct extract_options o = options();
    struct unixfs_child file = file_of("harmless");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct unixfs_child folder = folder_of_one(bytes_of_text(names[i]), file);
        char path[256];
        struct stat s;
        assert_int_equal(extract_path(&o, &folder.cid, in_scratch("out"), NULL), 0);
        snprintf(path, sizeof path, "%s/out/%s", scratch, names[i]);
        assert_int_equal(lstat(path, &s), 0);
        assert_int_equal(nftw(in_scratch("out"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

static void test_attack_21_symlinks_that_lead_out_are_refused(void **state)
{
    (void)state;
    /* In OUT/sub: one step up is still inside. */
    const struct {
        struct bytes target;
        bool good;
    } rows[] = {
        {bytes_of_text("file"), true},
        {bytes_of_text("a/b/c"), true},
        {bytes_of_text("./x"), true},
        {bytes_of_text("../file"), true},
        {bytes_of_text(".././file"), true},
        {bytes_of_text("..."), true},
        {bytes_of_text(".."), true},
        {bytes_of_text("../.."), false},
        {bytes_of_text("../../x"), false},
        {bytes_of_text("/"), false},
        {bytes_of_text("/etc/passwd"), false},
        {bytes_of_text("//x"), false},
        /* `a` may be a symlink to `.`: then this leads out of sub and of OUT */
        {bytes_of_text("a/../../x"), false},
        {bytes_of_text("a/.."), false},
        {bytes_of_text("./a/../x"), false},
        {bytes_of("", 0), false},
        {bytes_of("x\0/../..", 8), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct extract_options o = options();
        struct unixfs_child link = symlink_to(rows[i].target);
        struct unixfs_child sub = folder_of_one(bytes_of_text("l"), link);
        struct unixfs_child out = folder_of_one(bytes_of_text("sub"), sub);
        struct err err = {0};
        int rc = extract_path(&o, &out.cid, in_scratch("out"), &err);
        if (rc != (rows[i].good ? 0 : ERR_DENIED))
            fail_msg("row %zu: %d %s", i, rc, err.text);
        if (rc == 0)
            nftw(in_scratch("out"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        assert_int_equal(count_names(scratch), 1);
    }
    struct extract_options o = options();
    struct unixfs_child up = symlink_to(bytes_of_text("../x"));
    expect_refusal(&o, &up.cid, ERR_DENIED, "leads out of the folder");
    struct unixfs_child top = folder_of_one(bytes_of_text("l"), up);
    expect_refusal(&o, &top.cid, ERR_DENIED, "/out/l: the symlink's target \"../x\" leads out");
    o.any_symlink = true;
    assert_int_equal(extract_path(&o, &top.cid, in_scratch("out"), NULL), 0);
}

static void test_attack_21_nothing_is_written_through_a_symlink(void **state)
{
    (void)state;
    char outside[256];
    assert_int_equal(mkdir(in_scratch("outside"), 0700), 0);
    snprintf(outside, sizeof outside, "%s/outside", scratch);
    struct unixfs_child x = file_of("evil");
    struct unixfs_child inner = folder_of_one(bytes_of_text("x"), x);
    struct unixfs_child link = symlink_to(bytes_of_text(outside));
    const struct unixfs_child *seconds[] = {&inner, &x, &link};
    for (size_t i = 0; i < 6; i++) {
        struct entry pair[2] = {{.name = bytes_of_text("a"), .child = link},
                                {.name = bytes_of_text("a"), .child = *seconds[i % 3]}};
        if (i >= 3) {
            pair[1].child = link;
            pair[0].child = *seconds[i % 3];
        }
        struct unixfs_child folder = folder_of(pair, 2);
        struct extract_options o = options();
        o.any_symlink = true; /* else the symlink alone is refused already */
        o.force = true;       /* never means what is inside */
        struct err err = {0};
        int rc = extract_path(&o, &folder.cid, in_scratch("out"), &err);
        assert_true(rc == ERR_DENIED || rc == ERR_MALFORMED);
        assert_int_equal(count_names(outside), 0);
        assert_int_equal(count_names(scratch), 2);
    }
}

static void test_attack_21_a_name_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    struct unixfs_child file = file_of("one"), other = file_of("two");
    struct unixfs_child sub = folder_of_one(bytes_of_text("x"), file);
    const struct unixfs_child *kinds[] = {&file, &other, &sub};
    for (size_t i = 0; i < 9; i++) {
        struct entry pair[2] = {{.name = bytes_of_text("a"), .child = *kinds[i % 3]},
                                {.name = bytes_of_text("a"), .child = *kinds[i / 3]}};
        struct unixfs_child folder = folder_of(pair, 2);
        struct extract_options o = options();
        int rc = extract_path(&o, &folder.cid, in_scratch("out"), NULL);
        assert_true(rc == ERR_DENIED || rc == ERR_MALFORMED);
        assert_int_equal(count_names(scratch), 1);
    }
}

/* --- streams --- */

static void expect_range(const struct extract_options *o, const struct cid *root, uint64_t from,
                         uint64_t to, struct bytes want)
{
    struct err err = {0};
    int fd = open(in_scratch("range"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (extract_stream(o, root, from, to, fd, &err) != 0)
        fail_msg("%s", err.text);
    close(fd);
    struct buf got = read_file(in_scratch("range"));
    if (!bytes_equal(buf_bytes(&got), want))
        fail_msg("bytes %llu to %llu: %zu bytes", (unsigned long long)from, (unsigned long long)to,
                 got.size);
    buf_fini(&got);
}

static void test_any_range_of_a_file_can_be_streamed(void **state)
{
    (void)state;
    const size_t size = 100000, chunk = 1000;
    uint8_t *data = stream_bytes("extract", size);
    const struct unixfs_profile *profiles[] = {&unixfs_v1_2025, &unixfs_v0_2015};
    write_file(in_scratch("in"), bytes_of(data, size));
    for (size_t p = 0; p < 2; p++) {
        struct unixfs_profile narrow = *profiles[p];
        struct extract_options o = options();
        struct unixfs_child root;
        narrow.chunk_bytes = (uint32_t)chunk;
        narrow.links_max = 5;
        import_tree(&narrow, in_scratch("in"), &root);
        static const uint64_t edges[] = {0,     1,     999,   1000,   1001,      4999,
                                         5000,  5001,  24999, 25000,  99999,     100000,
                                         50500, 12345, 33000, 100001, UINT64_MAX};
        const size_t count = sizeof edges / sizeof edges[0];
        for (size_t i = 0; i < count * count; i++) {
            uint64_t from = edges[i / count], to = edges[i % count];
            uint64_t end = to < size ? to : size;
            o.jobs = i % 2 == 0 ? jobs : NULL;
            expect_range(&o, &root.cid, from, to,
                         from < end ? bytes_of(data + from, (size_t)(end - from))
                                    : bytes_of(NULL, 0));
        }
    }
    free(data);
}

static void test_a_symlink_streams_its_target_and_a_folder_nothing(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct unixfs_child link = symlink_to(bytes_of_text("some/where"));
    struct unixfs_child folder = folder_of(NULL, 0);
    struct err err = {0};
    expect_range(&o, &link.cid, 0, UINT64_MAX, bytes_of_text("some/where"));
    expect_range(&o, &link.cid, 5, 7, bytes_of_text("wh"));
    expect_range(&o, &link.cid, 50, 70, bytes_of_text(""));
    assert_int_equal(extract_stream(&o, &folder.cid, 0, 1, -1, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "is a directory"));
}

static void test_what_lies_before_a_missing_block_is_streamed(void **state)
{
    (void)state;
    struct unixfs_child leaves[40];
    char text[40][8];
    struct buf want = buf_new(4096);
    struct extract_options o = options();
    for (size_t i = 0; i < 40; i++) {
        snprintf(text[i], sizeof text[i], "%05zu ", i);
        leaves[i] = file_of(text[i]);
        if (i < 33)
            buf_append_text(&want, text[i]);
    }
    struct unixfs_child root = node_of(leaves, 40);
    assert_int_equal(store_delete(store, &leaves[33].cid, NULL), 0);
    int fd = open(in_scratch("range"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct err err = {0};
    assert_int_equal(extract_stream(&o, &root.cid, 0, UINT64_MAX, fd, &err), ERR_NOTFOUND);
    close(fd);
    struct buf got = read_file(in_scratch("range"));
    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
    buf_fini(&got);
    buf_fini(&want);
}

static void test_a_descriptor_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct unixfs_child pair[2] = {file_of("first"), file_of("second")};
    struct unixfs_child root = node_of(pair, 2);
    struct extract_options o = options();
    struct err err = {0};
    int fd = open(in_scratch("store/lock"), O_RDONLY);
    assert_int_equal(extract_stream(&o, &root.cid, 0, UINT64_MAX, fd, &err), ERR_IO);
    assert_non_null(strstr(err.text, "write"));
    close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_imported_comes_out_again),
        TEST(test_files_of_all_kinds_come_out_whole),
        TEST(test_a_root_may_be_an_identity_or_a_symlink),
        TEST(test_what_is_neither_file_nor_folder_is_refused),
        TEST(test_a_damaged_or_missing_block_leaves_nothing),
        TEST(test_a_write_that_fails_leaves_nothing),
        TEST(test_a_leaf_of_another_size_than_its_parent_says_is_refused),
        TEST(test_what_another_process_left_hinders_nothing),
        TEST(test_what_is_there_stays_unless_forced_and_folders_always_do),
        TEST(test_attack_15_declared_sizes_beyond_the_disk_are_refused_at_once),
        TEST(test_attack_14_folders_without_end_are_refused),
        TEST(test_attack_20_names_that_lead_out_or_are_no_names_are_refused),
        TEST(test_attack_20_a_name_that_means_something_elsewhere_is_a_name),
        TEST(test_attack_21_symlinks_that_lead_out_are_refused),
        TEST(test_attack_21_nothing_is_written_through_a_symlink),
        TEST(test_attack_21_a_name_that_is_there_twice_is_refused),
        TEST(test_any_range_of_a_file_can_be_streamed),
        TEST(test_a_symlink_streams_its_target_and_a_folder_nothing),
        TEST(test_what_lies_before_a_missing_block_is_streamed),
        TEST(test_a_descriptor_that_cannot_be_written_is_an_error),
    };
    struct err err = {0};
    if (jobs_new(2, &jobs, &err) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    with_unhashed = true;
    failed += cmocka_run_group_tests_name("with an unhashed source", tests, NULL, NULL);
    jobs_free(jobs);
    return failed;
}
