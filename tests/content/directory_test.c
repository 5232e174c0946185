/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/shelf.h"

#include "content/directory.h"

static struct directory *new_directory(const struct unixfs_profile *p)
{
    struct directory *d;
    assert_int_equal(directory_new(p, &d, NULL), 0);
    return d;
}

static void add(struct directory *d, const struct unixfs_profile *p, const char *name, unsigned i)
{
    char text[16];
    struct err err = {0};
    snprintf(text, sizeof text, "%06u", i);
    struct unixfs_child file = small_file(p, text);
    if (directory_add(d, name, &file, &err) != 0)
        fail_msg("%s", err.text);
}

static struct unixfs_child finish(struct directory *d, struct shelf *s)
{
    struct unixfs_child root;
    struct err err = {0};
    if (directory_finish(d, s == NULL ? NULL : shelf_put, s, &root, &err) != 0)
        fail_msg("%s", err.text);
    directory_free(d);
    return root;
}

/* entry-NNNNN.bin, the first `longer` of them with an "x" behind, each of six bytes: its number.
 * Added from the last to the first: order must not matter. */
static struct unixfs_child make(const struct unixfs_profile *p, unsigned count, unsigned longer,
                                struct shelf *s)
{
    struct directory *d = new_directory(p);
    for (unsigned i = count; i > 0; i--) {
        char name[32];
        snprintf(name, sizeof name, "entry-%05u.bin%s", i - 1, i - 1 < longer ? "x" : "");
        add(d, p, name, i - 1);
    }
    return finish(d, s);
}

/* Roots that Kubo 0.43.0 gave: `ipfs add -r -Q --only-hash` under the profile. */
static void test_roots_are_kubos_on_both_sides_of_the_threshold(void **state)
{
    (void)state;
    static const struct {
        const struct unixfs_profile *profile;
        unsigned count, longer;
        const char *root, *why;
    } rows[] = {
        {&unixfs_v1_2025, 0, 0, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
         "empty"},
        {&unixfs_v1_2025, 1, 0, "bafybeicd4y6nelt7bseq3g3jvxjqq3t2klgdjkvvoii4tcpjyh4sxh3xze",
         "one"},
        {&unixfs_v1_2025, 10, 0, "bafybeibbenujlcxidlqp6roceg3tr6p5wga6eyunp3tfwmbyaa2uixwaza",
         "few"},
        {&unixfs_v1_2025, 4443, 0, "bafybeigcdz2cnck3i7enimgoistvpezo76zu3fve7wkoqotb6s63qwk2f4",
         "a block of 262,141 bytes"},
        {&unixfs_v1_2025, 4443, 3, "bafybeibk6n5uap3i3pbq7n7se2rixdo6i7fih3fqenareknguvmr76gh3e",
         "of 262,144: not yet too large"},
        {&unixfs_v1_2025, 4443, 4, "bafybeiayzxzasjz4hsmk53aeljcy64zweea56pcenrm4qkji7imytzbk44",
         "of 262,145"},
        {&unixfs_v1_2025, 4444, 0, "bafybeigyguiigibquhqp46l4pyxj5k4bvz5b4wrk63in7hcpehg3nkdllm",
         "of 262,200"},
        {&unixfs_v0_2015, 0, 0, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "empty"},
        {&unixfs_v0_2015, 1, 0, "QmVaxFWi27pKepQygmqTcHH9FhHEB7PbUbQ4bn4J3Qji7P", "one"},
        {&unixfs_v0_2015, 10, 0, "QmX6gwczueWxvs1DUwZD6qYc9CCsvYsV43MX7VfgMsQ5CF", "few"},
        {&unixfs_v0_2015, 4443, 0, "QmTukXT3WM7HBxC9Dqy9mK5Gbz1Enh9DzWBgufmw1Hc6G9", "many"},
        {&unixfs_v0_2015, 4444, 0, "QmcW4d9HwUFUbuPRcHD86DtvWpTEvmi3iMuNEa9ofmjuhK", "many"},
        {&unixfs_v0_2015, 5349, 0, "QmRh3diJjd6uBnbFper7ZteBCLwrRSdad4q4jXNkuUztxt",
         "names and CIDs of 262,101 bytes"},
        {&unixfs_v0_2015, 5349, 43, "Qmd9btCGBZnPKCBKNKtbKGnGHyZnLiquhGCgVc1cmg51Xg",
         "of 262,144: not yet too large"},
        {&unixfs_v0_2015, 5349, 44, "QmXnmzSZ8RV8kCLGJaqp6QTXXBbvAhdGsJiCe3kzyfw2pE", "of 262,145"},
        {&unixfs_v0_2015, 5350, 0, "QmeZcxrHuDimX4vpp9LHc1zX5d81XickUz1F9QBL6ngJxi", "of 262,150"},
        {&unixfs_v1_2025, 100000, 0, "bafybeifwav4mtvwezi6x4gaynv5jtymsxzzvg2e6ldbjqmmejkjbhqgyne",
         "100,000 entries"},
        {&unixfs_v0_2015, 100000, 0, "QmdWKKVJiS8AEPUVSzbo7NUv4U2B66sRUh9qt9mX74GKh2",
         "100,000 entries"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct unixfs_child root = make(rows[i].profile, rows[i].count, rows[i].longer, NULL);
        char text[CID_TEXT_MAX];
        if (strcmp(cid_format(&root.cid, text), rows[i].root) != 0)
            fail_msg("%s, %u entries (%s): %s, not %s", rows[i].profile->name, rows[i].count,
                     rows[i].why, text, rows[i].root);
    }
}

/* Names as bytes: the roots that Kubo gave for these files, which hold their numbers here. */
static void test_names_are_sorted_by_their_bytes(void **state)
{
    (void)state;
    char long_name[DIRECTORY_NAME_MAX + 1];
    memset(long_name, 'x', DIRECTORY_NAME_MAX);
    long_name[DIRECTORY_NAME_MAX] = '\0';
    const char *const names[] = {
        "\001ctl",
        ".hidden",
        "A",
        "a",
        "a b",
        "a-b",
        "a.b",
        "a0",
        "inval\xff\xfe",
        "relat\xc3\xb3rio.txt",
        long_name,
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
        "\xf0\x9f\x98\x80",
    };
    static const struct {
        const struct unixfs_profile *profile;
        const char *root;
    } rows[] = {
        {&unixfs_v1_2025, "bafybeicxp7oxymkawzmtmdfrayfjlrwmgnkorudm7vuxbmzbd6jn4jdovy"},
        {&unixfs_v0_2015, "QmQVskXKmkA5VbFwpGN8rrLvdS9TkBgWM5ozp1cmfvasP8"},
    };
    for (size_t r = 0; r < 2; r++) {
        struct directory *d = new_directory(rows[r].profile);
        for (unsigned i = 0; i < 13; i++) {
            unsigned other = (i * 5 + 3) % 13; /* in some order */
            add(d, rows[r].profile, names[other], other);
        }
        struct unixfs_child root = finish(d, NULL);
        assert_cid(&root.cid, rows[r].root);
    }
}

static void test_a_hamt_of_names_beyond_ascii_is_kubos(void **state)
{
    (void)state;
    static const struct {
        const struct unixfs_profile *profile;
        const char *root;
    } rows[] = {
        {&unixfs_v1_2025, "bafybeihscpu34if4fogygbs6cgpyceqnmfk36mfex6v5nrrcmajbd2bmpm"},
        {&unixfs_v0_2015, "QmRGd3jQVoD8hZ1LAtcdoztNxBD7iXhtajs91ANqZbM8wC"},
    };
    for (size_t r = 0; r < 2; r++) {
        struct directory *d = new_directory(rows[r].profile);
        for (unsigned i = 0; i < 5000; i++) {
            char name[64];
            snprintf(name, sizeof name, "relat\xc3\xb3rio-%05u-\xe6\x97\xa5\xe6\x9c\xac.bin", i);
            add(d, rows[r].profile, name, i);
        }
        struct unixfs_child root = finish(d, NULL);
        assert_cid(&root.cid, rows[r].root);
    }
}

static void test_total_bytes_are_of_the_blocks_and_what_they_link_to(void **state)
{
    (void)state;
    struct unixfs_child empty = make(&unixfs_v1_2025, 0, 0, NULL);
    assert_int_equal(empty.total_bytes, 4);
    assert_int_equal(empty.file_bytes, 0);
    struct unixfs_child one = make(&unixfs_v1_2025, 1, 0, NULL);
    assert_int_equal(one.total_bytes, 4 + 59 + 6);
}

static void test_a_name_that_is_none_is_refused(void **state)
{
    (void)state;
    struct directory *d = new_directory(&unixfs_v1_2025);
    struct unixfs_child file = small_file(&unixfs_v1_2025, "x");
    char long_name[DIRECTORY_NAME_MAX + 2];
    memset(long_name, 'x', DIRECTORY_NAME_MAX + 1);
    long_name[DIRECTORY_NAME_MAX + 1] = '\0';
    static const char *const bad[] = {"", "/", "a/b", "/a", "a/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(directory_add(d, bad[i], &file, NULL), ERR_USAGE);
    assert_int_equal(directory_add(d, long_name, &file, NULL), ERR_USAGE);
    assert_int_equal(directory_add(d, long_name + 1, &file, NULL), 0);
    assert_int_equal(directory_add(d, long_name + 1, &file, NULL), ERR_EXISTS);
    directory_free(d);
}

static void test_a_name_given_twice_is_seen_among_thousands(void **state)
{
    (void)state;
    struct directory *d = new_directory(&unixfs_v1_2025);
    struct unixfs_child file = small_file(&unixfs_v1_2025, "x");
    char name[16];
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 3000; i++) {
            snprintf(name, sizeof name, "%u", i);
            assert_int_equal(directory_add(d, name, &file, NULL), round == 0 ? 0 : ERR_EXISTS);
        }
    directory_free(d);
}

static void test_more_may_be_added_after_a_root_was_asked_for(void **state)
{
    (void)state;
    struct directory *d = new_directory(&unixfs_v1_2025);
    struct unixfs_child root;
    for (unsigned i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "entry-%05u.bin", i);
        assert_int_equal(directory_finish(d, NULL, NULL, &root, NULL), 0);
        add(d, &unixfs_v1_2025, name, i);
    }
    struct unixfs_child at_once = make(&unixfs_v1_2025, 10, 0, NULL);
    root = finish(d, NULL);
    assert_true(cid_equal(&root.cid, &at_once.cid));
}

static int refuse(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    (void)self;
    (void)cid;
    (void)block;
    return err_set(err, ERR_IO, "the disk is full");
}

static void test_an_error_of_put_is_handed_on(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 5000};
    for (size_t i = 0; i < 2; i++) {
        struct directory *d = new_directory(&unixfs_v1_2025);
        struct unixfs_child root;
        for (unsigned k = 0; k < counts[i]; k++) {
            char name[32];
            snprintf(name, sizeof name, "entry-%05u", k);
            add(d, &unixfs_v1_2025, name, k);
        }
        assert_int_equal(directory_finish(d, refuse, NULL, &root, NULL), ERR_IO);
        directory_free(d);
    }
}

/* --- reading --- */

struct count {
    unsigned entries, blocks;
};

static int count_entry(void *self, const struct hamt_entry *e, struct err *err)
{
    struct count *c = self;
    (void)err;
    assert_int_equal(e->name.size, 15);
    c->entries++;
    return 0;
}

static int count_block(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct count *c = self;
    assert_int_equal(cid_verify(cid, block, err), 0);
    c->blocks++;
    return 0;
}

static void test_what_was_written_is_read_back(void **state)
{
    (void)state;
    static const unsigned counts[] = {0, 1, 10, 4443, 4444};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct shelf s = shelf_new();
        struct block_source source = shelf_source(&s);
        struct unixfs_child root = make(&unixfs_v1_2025, counts[i], 0, &s);
        struct buf block = shelf_take(&s, &root.cid);
        struct count c = {0};
        struct cid found;
        assert_int_equal(
            directory_each(&source, buf_bytes(&block), count_entry, count_block, &c, NULL), 0);
        assert_int_equal(c.entries, counts[i]);
        assert_int_equal(c.blocks + 1, s.puts);
        for (unsigned k = 0; k < counts[i]; k += 7) {
            char name[32], text[16];
            snprintf(name, sizeof name, "entry-%05u.bin", k);
            snprintf(text, sizeof text, "%06u", k);
            struct unixfs_child want = small_file(&unixfs_v1_2025, text);
            assert_int_equal(directory_find(&source, buf_bytes(&block), bytes_of_text(name), NULL,
                                            NULL, &found, NULL),
                             0);
            assert_true(cid_equal(&found, &want.cid));
        }
        assert_int_equal(directory_find(&source, buf_bytes(&block), bytes_of_text("nobody"), NULL,
                                        NULL, &found, NULL),
                         ERR_NOTFOUND);
        buf_fini(&block);
        shelf_fini(&s);
    }
}

static void test_a_file_or_a_symlink_is_no_directory(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct block_source source = shelf_source(&s);
    struct buf leaf = buf_new(1024), link = buf_new(1024);
    unixfs_node_put_leaf(&leaf, bytes_of_text("x"));
    unixfs_node_put_symlink(&link, bytes_of_text("../x"));
    const struct buf *blocks[] = {&leaf, &link};
    for (size_t i = 0; i < 2; i++) {
        struct cid found;
        struct count c = {0};
        assert_int_equal(directory_find(&source, buf_bytes(blocks[i]), bytes_of_text("x"), NULL,
                                        NULL, &found, NULL),
                         ERR_UNSUPPORTED);
        assert_int_equal(directory_each(&source, buf_bytes(blocks[i]), count_entry, NULL, &c, NULL),
                         ERR_UNSUPPORTED);
    }
    buf_fini(&leaf);
    buf_fini(&link);
    shelf_fini(&s);
}

static int keep_name(void *self, const struct hamt_entry *e, struct err *err)
{
    (void)err;
    buf_clear(self);
    buf_append(self, e->name.data, e->name.size);
    return 0;
}

/* Reading hands names out as the bytes that they are; what becomes a file judges them. */
static void test_attack_20_names_no_file_may_have_are_read_as_bytes(void **state)
{
    (void)state;
    char *huge = malloc(65536);
    assert_non_null(huge);
    memset(huge, 'A', 65536);
    const struct bytes names[] = {
        bytes_of_text("../../etc/passwd"),
        bytes_of_text("/etc/passwd"),
        bytes_of_text(".."),
        bytes_of_text("."),
        bytes_of_text("CON"),
        bytes_of("a\0b", 3),
        bytes_of("\0", 1),
        bytes_of(huge, 65536),
        bytes_of_text("\xff\xfe"),
        bytes_of_text("\xed\xa0\x80"),
        bytes_of_text("a\r\n\x1b[2J"),
        bytes_of(NULL, 0),
    };
    struct shelf s = shelf_new();
    struct block_source source = shelf_source(&s);
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x")), found;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf block = buf_new(1u << 20), got = buf_new(1u << 20);
        dagpb_put_link(&block, &leaf, names[i], 1);
        unixfs_node_put_directory(&block);
        assert_int_equal(directory_each(&source, buf_bytes(&block), keep_name, NULL, &got, NULL),
                         0);
        assert_true(bytes_equal(buf_bytes(&got), names[i]));
        assert_int_equal(
            directory_find(&source, buf_bytes(&block), names[i], NULL, NULL, &found, NULL), 0);
        assert_true(cid_equal(&found, &leaf));

        /* And the same out of a HAMT, but for the empty name, which there is a shard. */
        struct hamt_entry e = {names[i], leaf, 1};
        struct unixfs_child root;
        if (names[i].size > 0) {
            assert_int_equal(hamt_build(&e, 1, 256, 1, shelf_put, &s, &root, NULL), 0);
            struct buf shard = shelf_take(&s, &root.cid);
            assert_int_equal(
                directory_each(&source, buf_bytes(&shard), keep_name, NULL, &got, NULL), 0);
            assert_true(bytes_equal(buf_bytes(&got), names[i]));
            assert_int_equal(
                directory_find(&source, buf_bytes(&shard), names[i], NULL, NULL, &found, NULL), 0);
            buf_fini(&shard);
        }
        buf_fini(&block);
        buf_fini(&got);
    }
    free(huge);
    shelf_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_kubos_on_both_sides_of_the_threshold),
        cmocka_unit_test(test_names_are_sorted_by_their_bytes),
        cmocka_unit_test(test_a_hamt_of_names_beyond_ascii_is_kubos),
        cmocka_unit_test(test_total_bytes_are_of_the_blocks_and_what_they_link_to),
        cmocka_unit_test(test_a_name_that_is_none_is_refused),
        cmocka_unit_test(test_a_name_given_twice_is_seen_among_thousands),
        cmocka_unit_test(test_more_may_be_added_after_a_root_was_asked_for),
        cmocka_unit_test(test_an_error_of_put_is_handed_on),
        cmocka_unit_test(test_what_was_written_is_read_back),
        cmocka_unit_test(test_a_file_or_a_symlink_is_no_directory),
        cmocka_unit_test(test_attack_20_names_no_file_may_have_are_read_as_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
