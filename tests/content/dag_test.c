/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/shelf.h"

#include "content/dag.h"
#include "content/dagpb.h"

static struct cid add_text(struct shelf *s, const char *text)
{
    return shelf_add(s, CID_RAW, bytes_of_text(text));
}

/* A dag-cbor array of links, with a number in front so that no two are alike. */
static void put_array(struct buf *out, unsigned number, const struct cid *links, size_t count)
{
    buf_clear(out);
    cbor_put_array(out, count + 1);
    cbor_put_uint(out, number);
    for (size_t i = 0; i < count; i++)
        cbor_put_link(out, &links[i]);
}

static struct cid add_array(struct shelf *s, unsigned number, const struct cid *links, size_t count)
{
    struct buf b = buf_new(BLOCK_BYTES_MAX);
    put_array(&b, number, links, count);
    struct cid cid = shelf_add(s, CID_DAG_CBOR, buf_bytes(&b));
    buf_fini(&b);
    return cid;
}

static struct cid add_pb(struct shelf *s, const struct cid *links, size_t count)
{
    struct buf b = buf_new(BLOCK_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        dagpb_put_link(&b, &links[i], bytes_of(NULL, 0), 1);
    struct cid cid = shelf_add(s, CID_DAG_PB, buf_bytes(&b));
    buf_fini(&b);
    return cid;
}

/* --- links of one block --- */

struct links {
    struct cid cid[8];
    size_t count;
    size_t stop_at;
};

static int keep_link(void *self, const struct cid *link, struct err *err)
{
    struct links *l = self;
    assert_true(l->count < 8);
    l->cid[l->count++] = *link;
    return l->count == l->stop_at ? err_set(err, ERR_DENIED, "enough") : 0;
}

static void test_links_come_in_the_order_of_the_block_whatever_its_codec(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a"), b = add_text(&s, "b"), two[] = {b, a};
    char a_text[CID_TEXT_MAX], b_text[CID_TEXT_MAX], json[1024];
    snprintf(json, sizeof json, "{\"x\":[{\"/\":\"%s\"},1],\"y\":{\"z\":{\"/\":\"%s\"}}}",
             cid_format(&b, b_text), cid_format(&a, a_text));
    struct cid cids[] = {add_array(&s, 1, two, 2), add_pb(&s, two, 2),
                         shelf_add(&s, CID_DAG_JSON, bytes_of_text(json))};
    for (size_t i = 0; i < 3; i++) {
        struct links l = {0}, stopped = {.stop_at = 1};
        struct buf block = shelf_take(&s, &cids[i]);
        assert_int_equal(dag_each_link(&cids[i], buf_bytes(&block), keep_link, &l, NULL), 0);
        assert_int_equal(l.count, 2);
        assert_true(cid_equal(&l.cid[0], &b));
        assert_true(cid_equal(&l.cid[1], &a));
        assert_int_equal(dag_each_link(&cids[i], buf_bytes(&block), keep_link, &stopped, NULL),
                         ERR_DENIED);
        assert_int_equal(stopped.count, 1);
        buf_fini(&block);
    }
    shelf_fini(&s);
}

static void test_raw_and_other_codecs_have_no_links(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a");
    struct buf block = buf_new(1024);
    put_array(&block, 1, &a, 1);
    static const uint32_t codecs[] = {CID_RAW, CID_CBOR, CID_JSON, CID_LIBP2P_KEY};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        struct links l = {0};
        struct cid cid = cid_of(codecs[i], buf_bytes(&block));
        assert_int_equal(dag_each_link(&cid, buf_bytes(&block), keep_link, &l, NULL), 0);
        assert_int_equal(l.count, 0);
    }
    buf_fini(&block);
    shelf_fini(&s);
}

static void test_a_block_cut_anywhere_is_malformed(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a"), b = add_text(&s, "b"), two[] = {a, b};
    static const char json[] = "{\"x\":[{\"/\":\"bafkqaaa\"},1.5,true,null,\"\\u00e9\"]}";
    struct cid cids[] = {add_array(&s, 1, two, 2),
                         shelf_add(&s, CID_DAG_JSON, bytes_of_text(json))};
    for (size_t i = 0; i < 2; i++) {
        struct buf block = shelf_take(&s, &cids[i]);
        for (size_t cut = 0; cut < block.size; cut++) {
            struct links l = {0};
            assert_int_equal(
                dag_each_link(&cids[i], bytes_of(block.data, cut), keep_link, &l, NULL),
                ERR_MALFORMED);
        }
        buf_fini(&block);
    }
    shelf_fini(&s);
}

/* --- walks --- */

struct trace {
    struct cid cid[64];
    size_t count; /* of visits */
    size_t stop_at;
    uint64_t asked;
    const struct cid *shut; /* not entered */
};

static int trace(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct trace *t = self;
    assert_int_equal(cid_verify(cid, block, err), 0);
    if (t->count < 64)
        t->cid[t->count] = *cid;
    return ++t->count == t->stop_at ? err_set(err, ERR_DENIED, "enough") : 0;
}

static bool enter(void *self, const struct cid *cid)
{
    struct trace *t = self;
    t->asked++;
    return t->shut == NULL || !cid_equal(t->shut, cid);
}

static int walk(struct shelf *s, const struct cid *root, bool dups, struct trace *t,
                struct err *err)
{
    struct block_source source = shelf_source(s);
    struct dag_walk w = {
        .source = &source, .dups = dups, .enter = enter, .visit = trace, .self = t};
    return dag_walk(&w, root, err);
}

static void assert_order(const struct trace *t, const struct cid *const *want, size_t count)
{
    assert_int_equal(t->count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(cid_equal(&t->cid[i], want[i]));
}

static void test_a_walk_is_depth_first_a_parent_before_its_children(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a"), b = add_text(&s, "b"), c = add_text(&s, "c");
    struct cid left_links[] = {b, a}, right_links[] = {a, c};
    struct cid left = add_pb(&s, left_links, 2), right = add_array(&s, 2, right_links, 2);
    struct cid top_links[] = {left, c, right, left};
    struct cid top = add_array(&s, 1, top_links, 4);

    const struct cid *once[] = {&top, &left, &b, &a, &c, &right};
    struct trace t = {0};
    assert_int_equal(walk(&s, &top, false, &t, NULL), 0);
    assert_order(&t, once, 6);

    const struct cid *all[] = {&top, &left, &b, &a, &c, &right, &a, &c, &left, &b, &a};
    struct trace d = {0};
    assert_int_equal(walk(&s, &top, true, &d, NULL), 0);
    assert_order(&d, all, 11);

    const struct cid *without[] = {&top, &c, &right, &a};
    struct trace shut = {.shut = &left};
    assert_int_equal(walk(&s, &top, false, &shut, NULL), 0);
    assert_order(&shut, without, 4);
    shelf_fini(&s);
}

static void test_one_block_under_two_codecs_is_two(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a"), node = add_array(&s, 1, &a, 1);
    struct cid as_raw = cid_from_digest(CID_RAW, cid_digest(&node));
    struct cid both[] = {as_raw, node}, top = add_array(&s, 2, both, 2);
    const struct cid *want[] = {&top, &as_raw, &node, &a};
    struct trace t = {0};
    assert_int_equal(walk(&s, &top, false, &t, NULL), 0);
    assert_order(&t, want, 4);
    shelf_fini(&s);
}

static void test_an_error_of_the_visitor_or_the_source_ends_the_walk(void **state)
{
    (void)state;
    struct shelf s = shelf_new(), other = shelf_new();
    struct cid a = add_text(&s, "a"), gone = add_text(&other, "gone");
    struct cid links[] = {a, gone, a}, top = add_array(&s, 1, links, 3);
    struct trace t = {.stop_at = 2}, u = {0};
    struct err err;
    char text[CID_TEXT_MAX];
    assert_int_equal(walk(&s, &top, false, &t, NULL), ERR_DENIED);
    assert_int_equal(t.count, 2);
    assert_int_equal(walk(&s, &top, false, &u, &err), ERR_NOTFOUND);
    assert_int_equal(u.count, 2);
    assert_non_null(strstr(err.text, cid_format(&gone, text)));
    shelf_fini(&s);
    shelf_fini(&other);
}

static void test_a_malformed_block_is_named_and_not_visited(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid bad = shelf_add(&s, CID_DAG_CBOR, bytes_of_text("\xff"));
    struct cid top = add_array(&s, 1, &bad, 1);
    struct trace t = {0};
    struct err err;
    char text[CID_TEXT_MAX];
    assert_int_equal(walk(&s, &top, false, &t, &err), ERR_MALFORMED);
    assert_int_equal(t.count, 1);
    assert_non_null(strstr(err.text, cid_format(&bad, text)));
    assert_non_null(strstr(err.text, "offset 0"));
    shelf_fini(&s);
}

static void test_identities_are_passed_over_and_their_links_followed(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid a = add_text(&s, "a"), b = add_text(&s, "b");
    struct buf inner = buf_new(1024);
    put_array(&inner, 1, &a, 1);
    struct cid cbor = identity_of(CID_DAG_CBOR, buf_bytes(&inner));
    buf_clear(&inner);
    dagpb_put_link(&inner, &b, bytes_of(NULL, 0), 1);
    struct cid pb = identity_of(CID_DAG_PB, buf_bytes(&inner));
    struct cid raw = identity_of(CID_RAW, bytes_of_text("here"));
    struct cid links[] = {raw, pb, cbor, raw}, top = add_array(&s, 2, links, 4);
    const struct cid *want[] = {&top, &b, &a};
    struct trace t = {0}, u = {0};
    assert_int_equal(walk(&s, &top, false, &t, NULL), 0);
    assert_order(&t, want, 3);
    assert_int_equal(t.asked, 3);
    /* As a root too. */
    const struct cid *below[] = {&a};
    assert_int_equal(walk(&s, &cbor, true, &u, NULL), 0);
    assert_order(&u, below, 1);
    buf_fini(&inner);
    shelf_fini(&s);
}

static struct cid chain(struct shelf *s, unsigned length)
{
    struct cid below = add_text(s, "the end");
    for (unsigned i = 1; i < length; i++)
        below = add_array(s, i, &below, 1);
    return below;
}

static void test_attack_14_a_dag_10000_deep_is_walked_and_one_past_the_limit_refused(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid deep = chain(&s, 10000), just = chain(&s, DAG_DEPTH_MAX),
               deeper = chain(&s, DAG_DEPTH_MAX + 1);
    struct trace t = {0}, u = {0}, v = {0};
    struct err err;
    assert_int_equal(walk(&s, &deep, false, &t, &err), 0);
    assert_int_equal(t.count, 10000);
    assert_int_equal(walk(&s, &just, false, &u, NULL), 0);
    assert_int_equal(u.count, DAG_DEPTH_MAX);
    assert_int_equal(walk(&s, &deeper, false, &v, &err), ERR_LIMIT);
    assert_int_equal(v.count, DAG_DEPTH_MAX);
    assert_non_null(strstr(err.text, "65536"));
    shelf_fini(&s);
}

/* 40 levels of two links to the same block below: 2^40 ways down, 41 blocks. */
static void test_attack_15_a_block_linked_2_to_40_times_is_visited_once(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid below = add_text(&s, "the end");
    for (unsigned i = 1; i <= 40; i++) {
        struct cid two[] = {below, below};
        below = i % 2 == 0 ? add_pb(&s, two, 2) : add_array(&s, i, two, 2);
    }
    struct trace t = {0}, bounded = {.stop_at = 1000};
    s.gets = 0;
    assert_int_equal(walk(&s, &below, false, &t, NULL), 0);
    assert_int_equal(t.count, 41);
    assert_int_equal(s.gets, 41);
    /* Who asks for duplicates ends the walk himself. */
    assert_int_equal(walk(&s, &below, true, &bounded, NULL), ERR_DENIED);
    assert_int_equal(bounded.count, 1000);
    shelf_fini(&s);
}

static void test_attack_19_dag_cbor_that_claims_2_to_62_or_nests_a_million_deep(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *why;
    } rows[] = {
        {"5b4000000000000000", "bytes of 2^62"},
        {"7b4000000000000000", "text of 2^62"},
        {"9b4000000000000000", "an array of 2^62"},
        {"bb4000000000000000", "a map of 2^62"},
        {"d82a5b4000000000000000", "a link of 2^62"},
        {"9bffffffffffffffff", "an array of 2^64 - 1"},
        {"bbffffffffffffffff", "a map of 2^64 - 1"},
    };
    struct links l = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t block[16];
        size_t size = from_hex(rows[i].hex, block, sizeof block);
        struct cid cid = cid_of(CID_DAG_CBOR, bytes_of(block, size));
        if (dag_each_link(&cid, bytes_of(block, size), keep_link, &l, NULL) != ERR_MALFORMED)
            fail_msg("taken: %s", rows[i].why);
    }
    static const struct {
        uint32_t codec;
        char open;
    } nested[] = {{CID_DAG_CBOR, '\x81'}, {CID_DAG_JSON, '['}};
    char *deep = malloc(1000000);
    assert_non_null(deep);
    for (size_t i = 0; i < 2; i++) {
        memset(deep, nested[i].open, 1000000);
        struct cid cid = cid_of(nested[i].codec, bytes_of(deep, 1000000));
        assert_int_equal(dag_each_link(&cid, bytes_of(deep, 1000000), keep_link, &l, NULL),
                         ERR_LIMIT);
    }
    free(deep);
}

/* Levels of very many links let theirs go when a deeper one needs the room, and read them again:
 * what is visited is the same. */
static void test_wide_levels_above_a_deep_one_lose_nothing(void **state)
{
    (void)state;
    enum {
        WIDE = 40000,
        LEVELS = 20
    };
    struct shelf s = shelf_new();
    struct cid *links = calloc(WIDE, sizeof *links);
    assert_non_null(links);
    for (unsigned i = 0; i < WIDE; i++) {
        char text[16];
        snprintf(text, sizeof text, "leaf %u", i);
        links[i] = add_text(&s, text);
    }
    /* Each level: half of the links, the level below, the other half. */
    struct cid below = links[0];
    for (unsigned level = 0; level < LEVELS; level++) {
        struct cid kept = links[WIDE / 2];
        links[WIDE / 2] = below;
        below = add_array(&s, level, links, WIDE);
        links[WIDE / 2] = kept;
    }
    struct trace t = {0};
    s.gets = 0;
    assert_int_equal(walk(&s, &below, false, &t, NULL), 0);
    assert_int_equal(t.count, WIDE - 1 + LEVELS); /* the link in the middle is none's */
    assert_true(s.gets > t.count);                /* some level did let go */
    assert_true(s.gets <= t.count + LEVELS);      /* and once each */
    free(links);
    shelf_fini(&s);
}

static void test_only_codecs_that_we_follow_have_links(void **state)
{
    (void)state;
    static const struct {
        uint32_t codec;
        bool links;
    } rows[] = {{CID_RAW, false},     {CID_DAG_PB, true}, {CID_DAG_CBOR, true},
                {CID_DAG_JSON, true}, {CID_CBOR, false},  {CID_LIBP2P_KEY, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cid cid = cid_of(rows[i].codec, bytes_of_text("x"));
        if (dag_has_links(&cid) != rows[i].links)
            fail_msg("codec %#x", rows[i].codec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_come_in_the_order_of_the_block_whatever_its_codec),
        cmocka_unit_test(test_raw_and_other_codecs_have_no_links),
        cmocka_unit_test(test_only_codecs_that_we_follow_have_links),
        cmocka_unit_test(test_a_block_cut_anywhere_is_malformed),
        cmocka_unit_test(test_a_walk_is_depth_first_a_parent_before_its_children),
        cmocka_unit_test(test_one_block_under_two_codecs_is_two),
        cmocka_unit_test(test_an_error_of_the_visitor_or_the_source_ends_the_walk),
        cmocka_unit_test(test_a_malformed_block_is_named_and_not_visited),
        cmocka_unit_test(test_identities_are_passed_over_and_their_links_followed),
        cmocka_unit_test(test_attack_14_a_dag_10000_deep_is_walked_and_one_past_the_limit_refused),
        cmocka_unit_test(test_attack_15_a_block_linked_2_to_40_times_is_visited_once),
        cmocka_unit_test(test_attack_19_dag_cbor_that_claims_2_to_62_or_nests_a_million_deep),
        cmocka_unit_test(test_wide_levels_above_a_deep_one_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
