/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/shelf.h"

#include "content/directory.h"
#include "content/resolve.h"

/* root/{a.txt, sub/{deep/{b.txt}, large/(HAMT of 5,000), link -> a.txt}, data.cbor, data.json} and
 *     data.cbor: {"d": link to root/sub, "l": [1, {"x": link to data2}], "n": 5}
 *     data2:     {"y": "here"} */
struct world {
    struct shelf shelf;
    struct block_source source;
    struct cid file, deep_file, symlink, deep, large, sub, data2, data, json, root;
};

static struct unixfs_child put_text(struct world *w, const char *text)
{
    struct cid cid = shelf_add(&w->shelf, CID_RAW, bytes_of_text(text));
    return (struct unixfs_child){cid, strlen(text), strlen(text)};
}

static void add(struct directory *d, const char *name, const struct cid *cid)
{
    struct unixfs_child child = {.cid = *cid, .total_bytes = 1};
    assert_int_equal(directory_add(d, name, &child, NULL), 0);
}

static struct directory *begin(void)
{
    struct directory *d;
    assert_int_equal(directory_new(&unixfs_v1_2025, &d, NULL), 0);
    return d;
}

static struct cid end(struct world *w, struct directory *d)
{
    struct unixfs_child root;
    assert_int_equal(directory_finish(d, shelf_put, &w->shelf, &root, NULL), 0);
    directory_free(d);
    return root.cid;
}

static void make_data(struct world *w)
{
    struct buf b = buf_new(4096);
    char sub[CID_TEXT_MAX];
    cbor_put_map(&b, 1);
    cbor_put_text(&b, "y");
    cbor_put_text(&b, "here");
    w->data2 = shelf_add(&w->shelf, CID_DAG_CBOR, buf_bytes(&b));
    buf_clear(&b);
    cbor_put_map(&b, 3);
    cbor_put_text(&b, "d");
    cbor_put_link(&b, &w->sub);
    cbor_put_text(&b, "l");
    cbor_put_array(&b, 2);
    cbor_put_uint(&b, 1);
    cbor_put_map(&b, 1);
    cbor_put_text(&b, "x");
    cbor_put_link(&b, &w->data2);
    cbor_put_text(&b, "n");
    cbor_put_uint(&b, 5);
    w->data = shelf_add(&w->shelf, CID_DAG_CBOR, buf_bytes(&b));
    buf_clear(&b);
    buf_append_format(&b, "{\"sub\":{\"/\":\"%s\"},\"t\":[true]}", cid_format(&w->sub, sub));
    w->json = shelf_add(&w->shelf, CID_DAG_JSON, buf_bytes(&b));
    buf_fini(&b);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->shelf = shelf_new();
    w->source = shelf_source(&w->shelf);
    w->file = put_text(w, "a").cid;
    w->deep_file = put_text(w, "b").cid;
    struct buf b = buf_new(1024);
    unixfs_node_put_symlink(&b, bytes_of_text("a.txt"));
    w->symlink = shelf_add(&w->shelf, CID_DAG_PB, buf_bytes(&b));
    buf_fini(&b);
    struct directory *deep = begin(), *large = begin(), *sub = begin(), *root = begin();
    add(deep, "b.txt", &w->deep_file);
    w->deep = end(w, deep);
    for (unsigned i = 0; i < 5000; i++) {
        char name[32];
        snprintf(name, sizeof name, "entry-%05u.bin", i);
        add(large, name, &w->deep);
    }
    w->large = end(w, large);
    add(sub, "deep", &w->deep);
    add(sub, "large", &w->large);
    add(sub, "link", &w->symlink);
    w->sub = end(w, sub);
    make_data(w);
    add(root, "a.txt", &w->file);
    add(root, "sub", &w->sub);
    add(root, "data.cbor", &w->data);
    add(root, "data.json", &w->json);
    add(root, "relat\xc3\xb3rio %41", &w->file);
    w->root = end(w, root);
    return w;
}

static void world_free(struct world *w)
{
    shelf_fini(&w->shelf);
    free(w);
}

static void test_a_path_leads_through_directories_and_data(void **state)
{
    (void)state;
    struct world *w = world_new();
    const struct {
        const char *path;
        const struct cid *want;
        const char *rest;
    } rows[] = {
        {"", &w->root, ""},
        {"///", &w->root, ""},
        {"a.txt", &w->file, ""},
        {"/a.txt", &w->file, ""},
        {"sub/", &w->sub, ""},
        {"sub//deep///b.txt/", &w->deep_file, ""},
        {"sub/link", &w->symlink, ""},
        {"sub/large", &w->large, ""},
        {"sub/large/entry-04999.bin/b.txt", &w->deep_file, ""},
        {"data.cbor", &w->data, ""},
        {"data.cbor/n", &w->data, "n"},
        {"data.cbor/l/0/", &w->data, "l/0/"},
        {"data.cbor/l/1", &w->data, "l/1"},
        {"data.cbor/l/1/x", &w->data2, ""},
        {"data.cbor/l/1/x/y", &w->data2, "y"},
        {"data.cbor/d", &w->sub, ""},
        {"data.cbor/d/deep/b.txt", &w->deep_file, ""},
        {"data.json/sub/large/entry-00000.bin", &w->deep, ""},
        {"data.json/t/0", &w->json, "t/0"},
        {"relat\xc3\xb3rio %41", &w->file, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct resolved r;
        struct err err = {0};
        if (resolve_path(&w->source, &w->root, rows[i].path, NULL, NULL, &r, &err) != 0)
            fail_msg("\"%s\": %s", rows[i].path, err.text);
        assert_true(cid_equal(&r.cid, rows[i].want));
        assert_string_equal(r.rest, rows[i].rest);
        assert_true(r.rest >= rows[i].path && r.rest <= rows[i].path + strlen(rows[i].path));
    }
    world_free(w);
}

static void test_what_is_missing_is_said_by_name(void **state)
{
    (void)state;
    struct world *w = world_new();
    const struct {
        const char *path, *said;
        const struct cid *under;
    } rows[] = {
        {"b.txt", "\"b.txt\"", &w->root},
        {"A.TXT", "\"A.TXT\"", &w->root},
        {"relat\xc3\xb3rio A", "\"relat??rio A\"", &w->root},
        {"sub/deep/x\x1b[2J", "\"x?[2J\"", &w->deep},
        {"a.txt/x", "\"x\"", &w->file},
        {"sub/link/x", "\"x\"", &w->symlink},
        {"sub/large/nobody", "\"nobody\"", &w->large},
        {"data.cbor/m", "\"m\"", &w->data},
        {"data.cbor/n/0", "\"n/0\"", &w->data},
        {"data.cbor/l/2", "\"l/2\"", &w->data},
        {"data.json/Links/0", "\"Links/0\"", &w->json},
        {"sub/..", "\"..\"", &w->sub},
        {".", "\".\"", &w->root},
        {"Links/0/Hash", "\"Links\"", &w->root},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct resolved r = {.rest = "untouched"};
        struct err err = {0};
        char text[CID_TEXT_MAX];
        assert_int_equal(resolve_path(&w->source, &w->root, rows[i].path, NULL, NULL, &r, &err),
                         ERR_NOTFOUND);
        if (strstr(err.text, rows[i].said) == NULL ||
            strstr(err.text, cid_format(rows[i].under, text)) == NULL)
            fail_msg("\"%s\": %s", rows[i].path, err.text);
        assert_string_equal(r.rest, "untouched");
    }
    world_free(w);
}

struct visits {
    struct cid cid[16];
    size_t count, stop_at;
};

static int visit(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct visits *v = self;
    assert_int_equal(cid_verify(cid, block, err), 0);
    assert_true(v->count < 16);
    v->cid[v->count++] = *cid;
    return v->count == v->stop_at ? err_set(err, ERR_DENIED, "enough") : 0;
}

static void test_the_blocks_on_the_way_are_visited_and_the_last_is_not(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct visits v = {0}, in_data = {0}, none = {0}, stopped = {.stop_at = 2};
    struct resolved r;
    assert_int_equal(
        resolve_path(&w->source, &w->root, "sub/large/entry-00007.bin/b.txt", visit, &v, &r, NULL),
        0);
    /* The HAMT has a shard below its root on this way. */
    assert_int_equal(v.count, 5);
    assert_true(cid_equal(&v.cid[0], &w->root));
    assert_true(cid_equal(&v.cid[1], &w->sub));
    assert_true(cid_equal(&v.cid[2], &w->large));
    assert_true(cid_equal(&v.cid[4], &w->deep));

    assert_int_equal(resolve_path(&w->source, &w->root, "data.cbor/n", visit, &in_data, &r, NULL),
                     0);
    assert_int_equal(in_data.count, 2);
    assert_true(cid_equal(&in_data.cid[1], &w->data));

    assert_int_equal(resolve_path(&w->source, &w->root, "/", visit, &none, &r, NULL), 0);
    assert_int_equal(none.count, 0);

    assert_int_equal(
        resolve_path(&w->source, &w->root, "sub/deep/b.txt", visit, &stopped, &r, NULL),
        ERR_DENIED);
    assert_int_equal(stopped.count, 2);
    world_free(w);
}

static void test_plain_dag_pb_is_followed_by_its_links_names(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct buf b = buf_new(1024);
    dagpb_put_link(&b, &w->sub, bytes_of_text("s"), 1);
    struct cid bare = shelf_add(&w->shelf, CID_DAG_PB, buf_bytes(&b));
    dagpb_put_data(&b, bytes_of_text("some bytes"));
    struct cid with_data = shelf_add(&w->shelf, CID_DAG_PB, buf_bytes(&b));
    const struct cid *roots[] = {&bare, &with_data};
    for (size_t i = 0; i < 2; i++) {
        struct resolved r;
        assert_int_equal(resolve_path(&w->source, roots[i], "s/deep/b.txt", NULL, NULL, &r, NULL),
                         0);
        assert_true(cid_equal(&r.cid, &w->deep_file));
        assert_int_equal(resolve_path(&w->source, roots[i], "t", NULL, NULL, &r, NULL),
                         ERR_NOTFOUND);
    }
    buf_fini(&b);
    world_free(w);
}

static int refuse(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    (void)block;
    if (!cid_equal(cid, self))
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "no room for this one");
}

/* An error that is not about what the directory is keeps its own words. */
static void test_a_visitors_error_in_a_hamt_is_handed_on(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct visits v = {0};
    struct resolved r;
    struct err err = {0};
    const char *path = "sub/large/entry-00007.bin";
    assert_int_equal(resolve_path(&w->source, &w->root, path, visit, &v, &r, NULL), 0);
    assert_int_equal(v.count, 4);
    assert_int_equal(resolve_path(&w->source, &w->root, path, refuse, &v.cid[3], &r, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no room for this one"));
    world_free(w);
}

static void test_a_damaged_block_on_the_way_is_named(void **state)
{
    (void)state;
    struct world *w = world_new();
    static const struct {
        uint32_t codec;
        const char *bytes;
        int rc;
    } rows[] = {
        {CID_DAG_PB, "\x12\x7f", ERR_MALFORMED},
        {CID_DAG_PB, "\x0a\x04\x08\x05\x28\x22", ERR_MALFORMED}, /* a HAMT without fanout */
        {CID_DAG_PB, "\x0a\x02\x08\x09", ERR_NOTFOUND},          /* a UnixFS type that is none */
        {CID_DAG_CBOR, "\xa1", ERR_MALFORMED},
        {CID_DAG_JSON, "{", ERR_MALFORMED},
        {CID_LIBP2P_KEY, "x", ERR_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cid bad = shelf_add(&w->shelf, rows[i].codec, bytes_of_text(rows[i].bytes));
        struct resolved r;
        struct err err = {0};
        char text[CID_TEXT_MAX];
        int rc = resolve_path(&w->source, &bad, "a", NULL, NULL, &r, &err);
        if (rc != rows[i].rc || strstr(err.text, cid_format(&bad, text)) == NULL)
            fail_msg("row %zu: %d %s", i, rc, err.text);
    }
    struct cid absent = cid_of(CID_DAG_PB, bytes_of_text("absent"));
    struct resolved r;
    assert_int_equal(resolve_path(&w->source, &absent, "a", NULL, NULL, &r, NULL), ERR_NOTFOUND);
    assert_int_equal(resolve_path(&w->source, &absent, "", NULL, NULL, &r, NULL), 0);
    world_free(w);
}

static void test_a_block_that_is_a_bare_link_is_gone_through(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid below = w->root;
    struct resolved r;
    for (unsigned i = 0; i < 3000; i++) {
        struct buf b = buf_new(256);
        cbor_put_link(&b, &below);
        below = shelf_add(&w->shelf, CID_DAG_CBOR, buf_bytes(&b));
        buf_fini(&b);
        if (i == 2) {
            assert_int_equal(resolve_path(&w->source, &below, "a.txt", NULL, NULL, &r, NULL), 0);
            assert_true(cid_equal(&r.cid, &w->file));
        }
    }
    /* But not thousands of times for one segment. */
    assert_int_equal(resolve_path(&w->source, &below, "a.txt", NULL, NULL, &r, NULL), ERR_LIMIT);
    world_free(w);
}

static void test_identity_directories_are_gone_through(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct buf b = buf_new(256);
    dagpb_put_link(&b, &w->sub, bytes_of_text("s"), 1);
    unixfs_node_put_directory(&b);
    struct cid here = identity_of(CID_DAG_PB, buf_bytes(&b));
    struct resolved r;
    struct visits v = {0};
    assert_int_equal(resolve_path(&w->source, &here, "s/deep", visit, &v, &r, NULL), 0);
    assert_true(cid_equal(&r.cid, &w->deep));
    /* They are no blocks that anybody could send. */
    assert_int_equal(v.count, 1);
    assert_true(cid_equal(&v.cid[0], &w->sub));
    buf_fini(&b);
    world_free(w);
}

static void test_a_path_too_long_is_refused_before_anything_is_read(void **state)
{
    (void)state;
    struct world *w = world_new();
    char path[RESOLVE_PATH_MAX + 2];
    struct resolved r;
    w->shelf.gets = 0;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(resolve_path(&w->source, &w->root, path, NULL, NULL, &r, NULL), ERR_LIMIT);
    for (size_t i = 0; i < 2 * (RESOLVE_SEGMENTS_MAX + 1); i++)
        path[i] = i % 2 == 0 ? '/' : 'x';
    path[2 * (RESOLVE_SEGMENTS_MAX + 1)] = '\0';
    assert_int_equal(resolve_path(&w->source, &w->root, path, NULL, NULL, &r, NULL), ERR_LIMIT);
    assert_int_equal(w->shelf.gets, 0);
    path[2 * RESOLVE_SEGMENTS_MAX] = '\0';
    assert_int_equal(resolve_path(&w->source, &w->root, path, NULL, NULL, &r, NULL), ERR_NOTFOUND);
    world_free(w);
}

static void test_text_is_parsed_into_root_and_path(void **state)
{
    (void)state;
#define CID_TEXT "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    static const struct {
        const char *text, *cid, *path;
    } rows[] = {
        {CID_TEXT, CID_TEXT, ""},
        {CID_TEXT "/", CID_TEXT, "/"},
        {CID_TEXT "/a/b", CID_TEXT, "/a/b"},
        {"/ipfs/" CID_TEXT, CID_TEXT, ""},
        {"/ipfs/" CID_TEXT "//a", CID_TEXT, "//a"},
        {"ipfs://" CID_TEXT "/a%20b?x#y", CID_TEXT, "/a%20b?x#y"}, /* no escapes at this layer */
        {"/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/x",
         "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "/x"},
        {"bafkqaaa", "bafkqaaa", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cid root;
        const char *path;
        assert_int_equal(resolve_parse(rows[i].text, &root, &path, NULL), 0);
        assert_cid(&root, rows[i].cid);
        assert_string_equal(path, rows[i].path);
    }
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "nothing"},
        {"/", "no CID"},
        {"/ipfs", "no CID"},
        {"/ipfs/", "no CID"},
        {"/ipfs//x", "an empty CID"},
        {"ipfs://", "no CID"},
        {"a/b", "no CID in front"},
        {"/" CID_TEXT, "a path without /ipfs"},
        {"/ipns/" CID_TEXT, "a name, not a CID"},
        {"/ipfs/ipfs/" CID_TEXT, "twice"},
        {"ipfs:/" CID_TEXT, "a slash short"},
        {CID_TEXT "?x", "a query"},
        {"../" CID_TEXT, "a file's path"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cid root = {0};
        const char *path = NULL;
        struct err err = {0};
        if (resolve_parse(bad[i].text, &root, &path, &err) != ERR_USAGE || err.code != ERR_USAGE)
            fail_msg("\"%s\" taken: %s", bad[i].text, bad[i].why);
        assert_true(root.size == 0 && path == NULL && err.text[0] != '\0');
    }
}

static void test_attack_8_a_cid_of_a_million_characters(void **state)
{
    (void)state;
    char *text = malloc(1000001);
    struct cid root;
    const char *path;
    struct err err;
    assert_non_null(text);
    memset(text, 'b', 1000000);
    text[1000000] = '\0';
    assert_int_equal(resolve_parse(text, &root, &path, &err), ERR_USAGE);
    assert_true(strlen(err.text) < 200);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_leads_through_directories_and_data),
        cmocka_unit_test(test_what_is_missing_is_said_by_name),
        cmocka_unit_test(test_the_blocks_on_the_way_are_visited_and_the_last_is_not),
        cmocka_unit_test(test_plain_dag_pb_is_followed_by_its_links_names),
        cmocka_unit_test(test_a_visitors_error_in_a_hamt_is_handed_on),
        cmocka_unit_test(test_a_damaged_block_on_the_way_is_named),
        cmocka_unit_test(test_a_block_that_is_a_bare_link_is_gone_through),
        cmocka_unit_test(test_identity_directories_are_gone_through),
        cmocka_unit_test(test_a_path_too_long_is_refused_before_anything_is_read),
        cmocka_unit_test(test_text_is_parsed_into_root_and_path),
        cmocka_unit_test(test_attack_8_a_cid_of_a_million_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
