/* SPDX-License-Identifier: Apache-2.0 */
/* CIDs called Kubo's were computed with Kubo 0.43.0: `ipfs add -n -Q [-r] [-H]` after `ipfs config
 * profile apply` of the profile. */
#include "content/import.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "content/packs.h"
#include "tests/content/store_scratch.h"

#define WINDOW 256 /* chunks that import takes at a time */

static struct jobs *jobs;

static void root_of(const struct import_options *o, const char *path, char out[CID_TEXT_MAX])
{
    struct unixfs_child root;
    struct err err = {0};
    if (import_path(o, path, &root, &err) != 0)
        fail_msg("%s", err.text);
    cid_format(&root.cid, out);
}

static void assert_root(const struct import_options *o, const char *path, const char *cid)
{
    char got[CID_TEXT_MAX];
    root_of(o, path, got);
    assert_string_equal(got, cid);
}

/* --- as Kubo --- */

static void test_files_have_the_roots_that_kubo_gives_them(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *v1, *v0;
    } rows[] = {
        {0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
         "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"},
        {262144, "bafkreigkigutlfhjelubgw34r2u3adnbiytotqjm67lypg5bonwl7s54zm",
         "QmcbPyh7ufjjYXgLwovcMWwVKygTmsyxb4VNQe1i9PenC2"},
        {262145, "bafkreidr5oukv6ksmhrunobgj2tegx34izkyp3uhrdhphgxwg3rjxyoz24",
         "QmP4MfekQwBde82tQhQnKVeYoitsWcxX6WDbjghAQx3Hqq"},
        {1u << 20, "bafkreigkck3ylmlwz2ms3buancrzt5lvd4nbg3nie3rnky2plm6onx325i",
         "QmY1KCm4YAWNDyJtqBpXDHc8SXXnTDxLUpoDQPGTsAWHQK"},
        {(1u << 20) + 1, "bafybeighf34jvoznxndzpnysclj4tprat7dxr6vbfwtvn73bla7wgqexkm",
         "QmZ5JM75ZXdvXHozTxSpainHPzEUjAqDHn7ZE98SYGZUfW"},
        {3u << 20, "bafybeiboxtboszcps2ee65ahh7yhpaudw2r65qjawu2fe2msty6csjwuy4",
         "QmXrXRRBoqfh3joyn1tfwfxQ8BLmxzx1DYnYqum2npkFBQ"},
        /* a full node of the older profile, and the first tree of two levels */
        {174 * 262144, "bafybeiffez2462f56vb6gwfuurof33hvzjq2bs6j3c3tzdr7ybgoibxv2y",
         "QmatU2PWbCgmNgEq8U2kuyGp3uGkYqxr1wzAfC8Ju2Jenf"},
        {174 * 262144 + 1, "bafybeibwd5epqqxadngerlpih7mxfb3cedrvwf77eoaidypxe473aispfi",
         "QmPE42m6xhorwVZ8WsoUtH3mvsWysZCNaNDsD9WbiumVoW"},
    };
    const size_t count = sizeof rows / sizeof rows[0];
    uint8_t *data = stream_bytes("import", rows[count - 1].size);
    for (size_t i = 0; i < count; i++) {
        write_file(in_scratch("in"), bytes_of(data, rows[i].size));
        for (int alone = 0; alone < 2; alone++) {
            struct import_options v1 = {.profile = &unixfs_v1_2025, .jobs = alone ? NULL : jobs};
            struct import_options v0 = {.profile = &unixfs_v0_2015, .jobs = alone ? NULL : jobs};
            assert_root(&v1, in_scratch("in"), rows[i].v1);
            assert_root(&v0, in_scratch("in"), rows[i].v0);
        }
    }
    free(data);
}

static void test_narrow_trees_have_the_roots_that_kubo_gives_them(void **state)
{
    (void)state;
    static const struct {
        uint32_t chunk_bytes, links_max;
        const char *v1, *v0;
    } rows[] = {
        {65536, 3, "bafybeida637y3iyhn5cgxmwuwma56gj47bozend2wjaath6yprdckgoixa",
         "QmfKA7dFWaY4uxXYwyw52VPfQHJn63aQMbiwABQ3mx8uGg"},
        {0, 2, "bafybeia3ikvxxs2p7b3meo4er2u4eov5bmqiadlnhzzv5aiuzljxj4p2ca",
         "QmNSh2yb6PpmjTyG5yWtwnEBukKfggTi9Z3vy2GbaXDXhR"},
    };
    uint8_t *data = stream_bytes("import", 3u << 20);
    write_file(in_scratch("in"), bytes_of(data, 3u << 20));
    free(data);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct unixfs_profile v1 = unixfs_v1_2025, v0 = unixfs_v0_2015;
        v1.links_max = v0.links_max = rows[i].links_max;
        if (rows[i].chunk_bytes != 0)
            v1.chunk_bytes = v0.chunk_bytes = rows[i].chunk_bytes;
        struct import_options o = {.profile = &v1, .jobs = jobs};
        assert_root(&o, in_scratch("in"), rows[i].v1);
        o.profile = &v0;
        assert_root(&o, in_scratch("in"), rows[i].v0);
    }
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdir(in_scratch(name), 0700), 0);
}

static void make_file(const char *name, const char *text)
{
    write_file(in_scratch(name), bytes_of_text(text));
}

static void make_symlink(const char *name, const char *target)
{
    assert_int_equal(symlink(target, in_scratch(name)), 0);
}

static void make_nest(void)
{
    make_dir("nest");
    make_dir("nest/a");
    make_dir("nest/a/b");
    make_dir("nest/a/b/c");
    make_dir("nest/a/empty");
    make_dir("nest/.hid");
    make_file("nest/a/b/c/file.txt", "deep");
    make_file("nest/z", "z");
    make_file("nest/a.txt", "1");
    make_file("nest/.hidden", "h");
    make_file("nest/.hid/x", "x");
    make_symlink("nest/link", "a/b");
    make_symlink("nest/abs", "/etc/passwd");
    make_symlink("nest/dangling", "nowhere");
}

static void make_unicode(void)
{
    make_dir("uni");
    make_file("uni/\xc3\xa9.txt", "\xc3\xa9");
    make_file("uni/\xe6\x97\xa5\xe6\x9c\xac", "jp");
    make_file("uni/a b c", "sp");
    make_file("uni/\xf0\x9f\x98\x80", "e");
    make_file("uni/Z", "Z");
    make_file("uni/a", "a");
}

static void make_entries(const char *folder, int count)
{
    char name[64], text[16];
    make_dir(folder);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/entry-%05d.bin", folder, i);
        snprintf(text, sizeof text, "%06d", i);
        make_file(name, text);
    }
}

static void test_folders_have_the_roots_that_kubo_gives_them(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool hidden;
        const char *v1, *v0;
    } rows[] = {
        {"empty", false, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
         "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"},
        {"nest", false, "bafybeia4jcdkntxmayqyoyuzbnd5fq3nved2fs4dzv2fht2lpewpbblyim",
         "QmPNHrUtb81MAWCdu93P5HHuFd43MmXPNzxYz3Ca438DCj"},
        {"nest", true, "bafybeihfxndjan42ggvgwgrkysnx2xipg3xt4ro73qi46plt66vkkchofy",
         "Qmarrp7pYjhnhtMVvqUjq4obg5Z4m5FiYW8Nnqu1SooajB"},
        {"nest///", false, "bafybeia4jcdkntxmayqyoyuzbnd5fq3nved2fs4dzv2fht2lpewpbblyim",
         "QmPNHrUtb81MAWCdu93P5HHuFd43MmXPNzxYz3Ca438DCj"},
        {"uni", false, "bafybeigjdl2ohstixbeqbqsuxoszfpkga7t42oohlquen6he6tnzmqrqy4",
         "QmdgFFzV8PeWQRzjdZrsT6PCNQSL2f3Q8uaZDamTcd3m7a"},
        /* one entry below the edge of v1's HAMT, and well above it */
        {"flat", false, "bafybeigcdz2cnck3i7enimgoistvpezo76zu3fve7wkoqotb6s63qwk2f4",
         "QmTukXT3WM7HBxC9Dqy9mK5Gbz1Enh9DzWBgufmw1Hc6G9"},
        {"hamt", false, "bafybeie4jnqb3dzf3au7jjn4b64porswoojpnn3zeptnu5g54cquxhxepu",
         "QmWnX6AUUnLhuz4owaZpP5CS3vwvAZdZhDrU3rV5MG522P"},
    };
    make_dir("empty");
    make_nest();
    make_unicode();
    make_entries("flat", 4443);
    make_entries("hamt", 5000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct import_options o = {
            .profile = &unixfs_v1_2025, .jobs = jobs, .hidden = rows[i].hidden};
        assert_root(&o, in_scratch(rows[i].name), rows[i].v1);
        o.profile = &unixfs_v0_2015;
        assert_root(&o, in_scratch(rows[i].name), rows[i].v0);
    }
}

/* --- streams --- */

struct writer {
    int fd;
    struct bytes data;
};

/* In pieces of all sizes, as a pipe brings them. */
static void *write_pieces(void *self)
{
    const struct writer *w = self;
    size_t at = 0, piece = 1;
    while (at < w->data.size) {
        size_t size = w->data.size - at < piece ? w->data.size - at : piece;
        ssize_t n = write(w->fd, w->data.data + at, size);
        if (n < 0)
            break;
        at += (size_t)n;
        piece = piece * 7 % 200003 + 1;
    }
    close(w->fd);
    return NULL;
}

static void stream_root(const struct import_options *o, struct bytes data, char out[CID_TEXT_MAX])
{
    int ends[2];
    pthread_t thread;
    struct unixfs_child root;
    struct err err = {0};
    assert_int_equal(pipe(ends), 0);
    struct writer w = {.fd = ends[1], .data = data};
    assert_int_equal(pthread_create(&thread, NULL, write_pieces, &w), 0);
    if (import_stream(o, ends[0], &root, &err) != 0)
        fail_msg("%s", err.text);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_int_equal(root.file_bytes, data.size);
    cid_format(&root.cid, out);
}

static void test_a_stream_has_the_root_of_a_file_of_its_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 1u << 20, (1u << 20) + 1, 8u << 20, (8u << 20) + 1, 16u << 20, 19000001};
    char file[CID_TEXT_MAX], stream[CID_TEXT_MAX];
    uint8_t *data = stream_bytes("import", 19000001);
    struct unixfs_profile tiny = unixfs_v1_2025;
    tiny.chunk_bytes = 1000; /* more chunks than a window has room for */
    const struct unixfs_profile *profiles[] = {&unixfs_v1_2025, &unixfs_v0_2015, &tiny};
    for (size_t p = 0; p < 3; p++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct import_options o = {.profile = profiles[p], .jobs = i % 2 == 0 ? jobs : NULL};
            write_file(in_scratch("in"), bytes_of(data, sizes[i]));
            root_of(&o, in_scratch("in"), file);
            stream_root(&o, bytes_of(data, sizes[i]), stream);
            assert_string_equal(stream, file);
        }
    free(data);
}

static void test_a_descriptor_of_a_file_is_read_from_where_it_stands(void **state)
{
    (void)state;
    char want[CID_TEXT_MAX];
    struct unixfs_child root;
    uint8_t *data = stream_bytes("import", 3000000);
    struct import_options o = {.profile = &unixfs_v1_2025, .jobs = jobs};
    write_file(in_scratch("whole"), bytes_of(data, 3000000));
    for (size_t skip = 0; skip <= 3000000; skip += 1500000) {
        write_file(in_scratch("in"), bytes_of(data + skip, 3000000 - skip));
        root_of(&o, in_scratch("in"), want);
        int fd = open(in_scratch("whole"), O_RDONLY);
        assert_true(fd >= 0 && lseek(fd, (off_t)skip, SEEK_SET) >= 0);
        assert_int_equal(import_stream(&o, fd, &root, NULL), 0);
        assert_cid(&root.cid, want);
        close(fd);
    }
    free(data);
}

/* --- the store --- */

static int append(void *self, struct bytes piece, struct err *err)
{
    (void)err;
    buf_append(self, piece.data, piece.size);
    return 0;
}

static void assert_holds(struct store *s, const struct unixfs_child *root, struct bytes data)
{
    struct block_source source = store_source(s);
    struct buf back = buf_new(16u << 20);
    struct err err = {0};
    if (unixfs_walk_read(&source, &root->cid, 0, UINT64_MAX, append, &back, &err) != 0)
        fail_msg("%s", err.text);
    assert_true(bytes_equal(buf_bytes(&back), data));
    buf_fini(&back);
}

static int import_into(struct store *s, struct import_options *o, const char *path,
                       struct unixfs_child *root, struct err *err)
{
    int rc = store_batch_new(s, &o->batch, err);
    if (rc == 0)
        rc = import_path(o, path, root, err);
    if (rc == 0)
        rc = store_batch_finish(o->batch, true, err);
    if (rc == 0)
        o->batch = NULL;
    packs_batch_free(o->batch);
    o->batch = NULL;
    return rc;
}

static void test_every_block_goes_into_the_store(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, (1u << 20) + 1, 5000000};
    const struct unixfs_profile *profiles[] = {&unixfs_v1_2025, &unixfs_v0_2015};
    struct store *s = open_real();
    uint8_t *data = stream_bytes("import", 5000000);
    for (size_t i = 0; i < 8; i++) {
        struct import_options o = {.profile = profiles[i % 2], .jobs = jobs};
        struct unixfs_child root;
        write_file(in_scratch("in"), bytes_of(data, sizes[i / 2]));
        assert_int_equal(import_into(s, &o, in_scratch("in"), &root, NULL), 0);
        assert_holds(s, &root, bytes_of(data, sizes[i / 2]));
    }
    free(data);
    store_close(s);
}

static void test_a_store_that_fails_is_an_error_at_every_step(void **state)
{
    (void)state;
    struct flaky flaky;
    uint8_t *data = stream_bytes("import", 3000000);
    make_dir("in");
    make_file("in/small", "small");
    write_file(in_scratch("in/large"), bytes_of(data, 3000000));
    free(data);
    int rc = -1;
    unsigned at = 1;
    for (; rc != 0 && at < 200; at++) {
        struct import_options o = {.profile = &unixfs_v1_2025}; /* the test's disk has no locks */
        struct unixfs_child root;
        struct store *s = NULL;
        struct err err = {0};
        flaky_init(&flaky);
        flaky.fail_at = at;
        rc = store_open(&flaky.table, in_scratch("store"), STORE_WRITE, &s, &err);
        if (rc == 0)
            rc = import_into(s, &o, in_scratch("in"), &root, &err);
        store_close(s);
        assert_true(rc == 0 || err.text[0] != '\0');
        (void)nftw(in_scratch("store"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    assert_int_equal(rc, 0);
    assert_true(at > 4);
}

static void test_without_a_copy_the_file_itself_is_read(void **state)
{
    (void)state;
    struct import_options o = {.profile = &unixfs_v1_2025, .jobs = jobs, .no_copy = true};
    struct unixfs_child root;
    struct err err = {0};
    struct store_stat stat;
    struct store *s = open_real();
    uint8_t *data = stream_bytes("import", 3500000);
    write_file(in_scratch("in"), bytes_of(data, 3500000));
    if (import_into(s, &o, in_scratch("in"), &root, &err) != 0)
        fail_msg("%s", err.text);
    assert_holds(s, &root, bytes_of(data, 3500000));
    assert_int_equal(store_stat(s, &stat, NULL), 0);
    assert_int_equal(stat.reference_blocks, 4);
    struct cid second = cid_of(CID_RAW, bytes_of(data + (1u << 20), 1u << 20));
    assert_int_equal(get(s, &second), 0);
    damage_file(in_scratch("in"), 1500000, 1);
    assert_int_not_equal(get(s, &second), 0);
    store_close(s);
    free(data);
}

static void test_without_a_copy_there_are_only_files_of_raw_leaves(void **state)
{
    (void)state;
    struct import_options o = {.profile = &unixfs_v0_2015, .no_copy = true};
    struct unixfs_child root;
    struct err err = {0};
    make_file("in", "text");
    assert_int_equal(import_path(&o, in_scratch("in"), &root, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "raw leaves"));
    o.profile = &unixfs_v1_2025;
    assert_int_equal(import_stream(&o, 0, &root, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "stream"));
}

/* The file has a hole for its bytes. */
static void test_without_a_copy_a_file_of_too_many_chunks_is_refused_before_it_is_read(void **state)
{
    (void)state;
    struct unixfs_profile tiny = unixfs_v1_2025;
    struct progress_count count = {0};
    struct import_options o = {.profile = &tiny, .jobs = jobs, .no_copy = true, .progress = &count};
    struct unixfs_child root;
    struct err err = {0};
    struct store *s = open_real();
    tiny.chunk_bytes = 100;
    make_file("in", "");
    assert_int_equal(truncate(in_scratch("in"), 100 * (off_t)IMPORT_REFERENCES_MAX + 1), 0);
    assert_int_equal(import_into(s, &o, in_scratch("in"), &root, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "/in: 1048577 chunks of 100 bytes"));
    assert_non_null(strstr(err.text, "choose a larger --chunker, or add it without --nocopy"));
    assert_int_equal(count.done, 0);
    store_close(s);
}

/* --- what is told, and refused --- */

struct told {
    char text[1024];
    const char *change; /* a file ... */
    off_t to;           /* ... that gets this length when the first thing is told */
};

static int tell(void *self, const char *path, const struct unixfs_child *child, struct err *err)
{
    struct told *t = self;
    size_t used = strlen(t->text);
    (void)child;
    (void)err;
    snprintf(t->text + used, sizeof t->text - used, "%s ", path + strlen(scratch) + 1);
    if (t->change != NULL)
        assert_int_equal(truncate(t->change, t->to), 0);
    t->change = NULL;
    return 0;
}

static void test_what_is_in_a_folder_is_told_before_it_in_the_order_of_names(void **state)
{
    (void)state;
    struct told t = {.text = ""};
    struct import_options o = {
        .profile = &unixfs_v1_2025, .jobs = jobs, .hidden = true, .added = tell, .self = &t};
    char cid[CID_TEXT_MAX];
    make_nest();
    root_of(&o, in_scratch("nest"), cid);
    assert_string_equal(t.text, "nest/.hid/x nest/.hid nest/.hidden nest/a/b/c/file.txt "
                                "nest/a/b/c nest/a/b nest/a/empty nest/a nest/a.txt nest/abs "
                                "nest/dangling nest/link nest/z nest ");
}

/* CIDs of `ipfs add` (Kubo 0.43.0) of such links, also with a slash at the end. */
static void test_a_symlink_that_is_given_itself_is_added_as_kubo_does_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *target, *cid, *why;
    } rows[] = {
        {"lf", "f", "QmTbTLvrGgqciS93zW7ELDXPknpXKZtUCHznjm32Wcjbt2", "to a file"},
        {"ld", "d", "QmUKMHFBrHzxU7nEgrvfnipCHPpL417aagdBY7gg4dSJgV", "to a folder"},
        {"dang", "nowhere", "QmT1KFsBPe2XJLDPBVKBqsNemmUYZUnc4DY6MARkWzWC5B", "to nothing"},
    };
    struct import_options o = {.profile = &unixfs_v0_2015};
    make_file("f", "hello\n");
    make_dir("d");
    make_file("d/x", "x\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char slashed[256], cid[CID_TEXT_MAX];
        make_symlink(rows[i].name, rows[i].target);
        root_of(&o, in_scratch(rows[i].name), cid);
        if (strcmp(cid, rows[i].cid) != 0)
            fail_msg("%s: %s", rows[i].why, cid);
        snprintf(slashed, sizeof slashed, "%s/%s/", scratch, rows[i].name);
        assert_root(&o, slashed, rows[i].cid);
        assert_int_equal(import_measure(in_scratch(rows[i].name), true), 0);
    }
}

/* The folder's first file is told of when the window was full, in the midst of the second. */
static void expect_change_seen(off_t to, const char *words)
{
    struct unixfs_profile tiny = unixfs_v1_2025;
    tiny.chunk_bytes = 100;
    size_t size = 100 * (size_t)(2 * WINDOW);
    uint8_t *data = stream_bytes("import", size);
    char changed[256];
    snprintf(changed, sizeof changed, "%s/in/b", scratch);
    write_file(in_scratch("in/b"), bytes_of(data, size));
    free(data);
    struct told t = {.change = changed, .to = to};
    struct import_options o = {.profile = &tiny, .jobs = jobs, .added = tell, .self = &t};
    struct unixfs_child root;
    struct err err = {0};
    assert_int_equal(import_path(&o, in_scratch("in"), &root, &err), ERR_IO);
    assert_null(t.change);
    if (strstr(err.text, words) == NULL || strstr(err.text, "/in/b: ") == NULL)
        fail_msg("%s", err.text);
}

static void test_a_file_that_changes_its_size_while_it_is_read_is_refused(void **state)
{
    (void)state;
    make_dir("in");
    make_file("in/a", "first");
    expect_change_seen(300 * 100, "became shorter");
    expect_change_seen(100 * 2 * WINDOW - 1, "became shorter");
    expect_change_seen(0, "became shorter");
    expect_change_seen(100 * 2 * WINDOW + 1, "its size changed from 51200 to 51201 bytes");
}

static void test_what_is_no_file_folder_or_symlink_is_refused_by_name(void **state)
{
    (void)state;
    struct import_options o = {.profile = &unixfs_v1_2025, .jobs = jobs};
    struct unixfs_child root = {.file_bytes = 77};
    struct err err = {0};
    make_dir("in");
    assert_int_equal(mkfifo(in_scratch("in/pipe"), 0600), 0);
    assert_int_equal(import_path(&o, in_scratch("in"), &root, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "/in/pipe is neither"));
    assert_int_equal(import_path(&o, in_scratch("in/pipe"), &root, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "/in/pipe is neither"));
    assert_int_equal(import_path(&o, in_scratch("absent"), &root, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "/absent"));
    assert_int_equal(root.file_bytes, 77); /* untouched */
}

static void test_folders_deeper_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct import_options o = {.profile = &unixfs_v1_2025};
    struct unixfs_child root;
    struct err err = {0};
    int at = open(scratch, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i <= IMPORT_DEPTH_MAX + 1; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int below = openat(at, "d", O_RDONLY | O_DIRECTORY);
        close(at);
        at = below;
    }
    close(at);
    assert_int_equal(import_path(&o, in_scratch("d"), &root, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "more than 256 deep"));
    assert_int_equal(import_path(&o, in_scratch("d/d"), &root, &err), 0);
}

static void test_progress_counts_what_measure_says(void **state)
{
    (void)state;
    struct progress_count count = {0};
    struct import_options o = {.profile = &unixfs_v1_2025, .jobs = jobs, .progress = &count};
    char cid[CID_TEXT_MAX];
    make_nest();
    assert_int_equal(import_measure(in_scratch("nest"), false), 6);
    assert_int_equal(import_measure(in_scratch("nest"), true), 8);
    assert_int_equal(import_measure(in_scratch("nest/a/b/c/file.txt"), true), 4);
    assert_int_equal(import_measure(in_scratch("absent"), true), 0);
    root_of(&o, in_scratch("nest"), cid);
    assert_int_equal(count.done, 6);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_have_the_roots_that_kubo_gives_them),
        TEST(test_narrow_trees_have_the_roots_that_kubo_gives_them),
        TEST(test_folders_have_the_roots_that_kubo_gives_them),
        TEST(test_a_stream_has_the_root_of_a_file_of_its_bytes),
        TEST(test_a_descriptor_of_a_file_is_read_from_where_it_stands),
        TEST(test_every_block_goes_into_the_store),
        TEST(test_a_store_that_fails_is_an_error_at_every_step),
        TEST(test_without_a_copy_the_file_itself_is_read),
        TEST(test_without_a_copy_a_file_of_too_many_chunks_is_refused_before_it_is_read),
        TEST(test_without_a_copy_there_are_only_files_of_raw_leaves),
        TEST(test_what_is_in_a_folder_is_told_before_it_in_the_order_of_names),
        TEST(test_a_symlink_that_is_given_itself_is_added_as_kubo_does_it),
        TEST(test_a_file_that_changes_its_size_while_it_is_read_is_refused),
        TEST(test_what_is_no_file_folder_or_symlink_is_refused_by_name),
        TEST(test_folders_deeper_than_the_limit_are_refused),
        TEST(test_progress_counts_what_measure_says),
    };
    struct err err = {0};
    if (jobs_new(2, &jobs, &err) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    jobs_free(jobs);
    return failed;
}
