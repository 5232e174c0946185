/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_read_scratch.h"

#include "base/multibase.h"
#include "content/dag.h"
#include "content/dagpb.h"
#include "content/ipns.h"

#define CAR "?format=car"

/* --- which blocks, in which order --- */

struct list {
    size_t count;
    struct cid cids[CAR_BLOCKS_MAX];
};

static void add(struct list *l, const struct cid *cid)
{
    l->cids[l->count++] = *cid;
}

static int add_visited(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    (void)block;
    (void)err;
    add(self, cid);
    return 0;
}

/* The DAG below `root` by content/dag, which walks by itself. */
static void add_dag(struct list *l, struct store *s, const struct cid *root, bool dups)
{
    struct block_source source = store_source(s);
    struct dag_walk w = {.source = &source, .dups = dups, .visit = add_visited, .self = l};
    assert_int_equal(dag_walk(&w, root, NULL), 0);
}

static void test_a_car_is_the_whole_dag_depth_first(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct list *once = calloc(1, sizeof *once), *twice = calloc(1, sizeof *twice);
    assert_true(once != NULL && twice != NULL);
    add_dag(once, c->store, &c->tree.root, false);
    add_dag(twice, c->store, &c->tree.root, true);
    assert_true(once->count < twice->count); /* alpha.txt is there four times, the file twice */
    expect_car(c, at(&c->tree.root, CAR), "", once->cids, once->count);
    expect_car(c, at(&c->tree.root, CAR "&car-dups=n"), "", once->cids, once->count);
    expect_car(c, at(&c->tree.root, CAR "&car-dups=y"), "", twice->cids, twice->count);
    expect_car(c, at(&c->tree.root, ""), "Accept: application/vnd.ipld.car;dups=y\r\n", twice->cids,
               twice->count);
    expect_car(c, at(&c->tree.root, CAR "&dag-scope=all&car-order=unk"), "", once->cids,
               once->count);
    free(once);
    free(twice);
    comb_close(c);
}

static void test_a_path_brings_the_blocks_that_prove_it(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    const struct tree *t = &c->tree;
    struct list l = {0};
    add(&l, &t->root);
    add(&l, &t->copy);
    add(&l, &t->alpha);
    expect_car(c, at(&t->root, "/copy/alpha.txt" CAR), "", l.cids, 3);
    expect_car(c, at(&t->root, "/copy" CAR "&dag-scope=block"), "", l.cids, 2);
    expect_car(c, at(&t->root, "/copy" CAR "&dag-scope=entity"), "", l.cids, 2);
    add(&l, &t->index);
    expect_car(c, at(&t->root, "/copy" CAR), "", l.cids, 4);
    /* Through dag-cbor to a file, and to a place inside dag-cbor: its block alone. */
    l = (struct list){0};
    add(&l, &t->root);
    add(&l, &t->data);
    expect_car(c, at(&t->root, "/data" CAR "&dag-scope=entity"), "", l.cids, 2);
    expect_car(c, at(&t->root, "/data/to" CAR "&dag-scope=block"), "", l.cids, 2);
    add(&l, &t->big);
    expect_car(c, at(&t->root, "/data/to/big" CAR "&dag-scope=block"), "", l.cids, 3);
    for (size_t i = 0; i < CHUNK_COUNT; i++)
        add(&l, &t->chunks[i]);
    expect_car(c, at(&t->root, "/data/to/big" CAR), "", l.cids, 8);
    expect_car(c, at(&t->root, "/data/to/big" CAR "&dag-scope=entity"), "", l.cids, 8);
    comb_close(c);
}

static int no_entry(void *self, const struct hamt_entry *entry, struct err *err)
{
    (void)self;
    (void)entry;
    (void)err;
    return 0;
}

static void test_a_hamt_brings_the_shards_on_the_way_or_all_of_them(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct list *l = calloc(1, sizeof *l);
    struct block_source source = store_source(c->store);
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct cid entry;
    assert_non_null(l);
    assert_int_equal(store_get(c->store, &c->tree.many, &block, NULL), 0);
    add(l, &c->tree.many);
    assert_int_equal(directory_each(&source, buf_bytes(&block), no_entry, add_visited, l, NULL), 0);
    assert_true(l->count > 20); /* it has levels */
    expect_car(c, at(&c->tree.many, CAR "&dag-scope=entity"), "", l->cids, l->count);
    expect_car(c, at(&c->tree.many, CAR "&entity-bytes=5:9"), "", l->cids, l->count);
    l->count = 1;
    assert_int_equal(directory_find(&source, buf_bytes(&block), bytes_of_text("entry-123"),
                                    add_visited, l, &entry, NULL),
                     0);
    add(l, &entry);
    expect_car(c, at(&c->tree.many, "/entry-123" CAR), "", l->cids, l->count);
    expect_car(c, at(&c->tree.many, "/entry-123" CAR "&dag-scope=block"), "", l->cids, l->count);
    buf_fini(&block);
    free(l);
    comb_close(c);
}

static const struct {
    const char *bytes;
    size_t first, count; /* chunks */
} entities[] = {
    {"0:*", 0, 5},        {"0:0", 0, 1},       {"999:1000", 0, 2},   {"1000:1999", 1, 1},
    {"-1:*", 4, 1},       {"-501:*", 3, 2},    {"-9999:*", 0, 5},    {"-9999:-501", 0, 4},
    {"4499:99999", 4, 1}, {"3999:-500", 3, 2}, {"2000:-1500", 2, 2}, {"4000:-600", 0, 0},
};

static void test_entity_bytes_bring_the_fewest_blocks(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        char rest[64];
        struct list l = {0};
        add(&l, &c->tree.big);
        for (size_t k = 0; k < entities[i].count; k++)
            add(&l, &c->tree.chunks[entities[i].first + k]);
        snprintf(rest, sizeof rest, CAR "&entity-bytes=%s", entities[i].bytes);
        expect_car(c, at(&c->tree.big, rest), "", l.cids, l.count);
    }
    expect_car(c, at(&c->tree.alpha, CAR "&entity-bytes=1:2"), "", &c->tree.alpha, 1);
    /* Not a file: passed over. */
    expect_car(c, at(&c->tree.data, CAR "&entity-bytes=90000:*"), "", &c->tree.data, 1);
    expect_status(c, "GET", at(&c->tree.big, CAR "&entity-bytes=4500:*"), "", 400);
    expect_status(c, "GET", at(&c->tree.big, CAR "&entity-bytes=-9999:-4501"), "", 400);
    expect_status(c, "GET", at(&c->tree.alpha, CAR "&entity-bytes=5:9"), "", 400);
    expect_status(c, "GET", at(&c->tree.big, CAR "&entity-bytes=x"), "", 400);
    comb_close(c);
}

static struct cid put_node(struct store *s, const struct unixfs_child *children, size_t count)
{
    struct buf node = buf_new(1 << 20);
    unixfs_node_put_file(&node, children, count);
    struct cid cid = put_block(s, CID_DAG_PB, buf_bytes(&node));
    buf_fini(&node);
    return cid;
}

/* One node twice in a file, and the range cuts its first coming: the second brings the rest. */
static void test_a_node_that_comes_twice_is_not_cut_short(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    const struct tree *t = &c->tree;
    struct unixfs_child twice[2] = {child_of(&t->big, FILE_SIZE), child_of(&t->big, FILE_SIZE)};
    struct cid root = put_node(c->store, twice, 2);
    struct list l = {0};
    add(&l, &root);
    add(&l, &t->big);
    add(&l, &t->chunks[4]);
    for (size_t i = 0; i < 4; i++)
        add(&l, &t->chunks[i]);
    expect_car(c, at(&root, CAR "&entity-bytes=4100:*"), "", l.cids, l.count);
    comb_close(c);
}

/* --- what is said of it --- */

static void test_a_car_comes_with_the_headers_of_a_trustless_gateway(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    char text[CID_TEXT_MAX], value[CID_TEXT_MAX + 128], tag[CID_TEXT_MAX + 64];
    struct reply *r = ask(c, at(&c->tree.copy, CAR));
    expect_header(r, "Content-Type", "application/vnd.ipld.car; version=1; order=dfs; dups=n");
    snprintf(value, sizeof value, "attachment; filename=\"%s.car\"",
             cid_format(&c->tree.copy, text));
    expect_header(r, "Content-Disposition", value);
    expect_header(r, "X-Content-Type-Options", "nosniff");
    expect_header(r, "Accept-Ranges", "none");
    expect_header(r, "Cache-Control", "public, max-age=29030400, immutable");
    expect_header(r, "Content-Length", NULL);
    snprintf(tag, sizeof tag, "%s", header_in(r, "Etag"));
    assert_int_equal(strncmp(tag, "W/\"", 3), 0);
    struct car_seen *seen = read_car(buf_bytes(&r->body));
    assert_int_equal(seen->root_count, 1);
    assert_true(cid_equal(&seen->root, &c->tree.copy));
    free(seen);
    reply_free(r);
    r = ask(c, at(&c->tree.root, "/odd/a%20b%26c.txt" CAR));
    snprintf(value, sizeof value, "attachment; filename=\"%s_odd_a b&c.txt.car\"",
             cid_format(&c->tree.root, text));
    expect_header(r, "Content-Disposition", value);
    reply_free(r);
    cid_format(&c->tree.copy, text);
    /* HEAD says the same and sends nothing. */
    r = ask_with(c, "HEAD", at(&c->tree.copy, CAR), "");
    assert_int_equal(r->status, 200);
    assert_int_equal(r->body.size, 0);
    expect_header(r, "Etag", tag);
    reply_free(r);
    snprintf(value, sizeof value, "If-None-Match: %s\r\n", tag);
    r = ask_with(c, "GET", at(&c->tree.copy, CAR), value);
    assert_int_equal(r->status, 304);
    assert_int_equal(r->body.size, 0);
    reply_free(r);
    r = ask_with(c, "GET", at(&c->tree.copy, ""), "Accept: application/vnd.ipld.car;dups=y\r\n");
    snprintf(value, sizeof value, "/ipfs/%s?format=car&car-dups=y", text);
    expect_header(r, "Content-Location", value);
    reply_free(r);
    comb_close(c);
}

#define LEAVES     10
#define LEAF_BYTES (1u << 20) /* together more than sockets hold */
#define READERS    20
#define SHARE      4 /* of one address, of the server's places */

/* Asks from 127.0.0.`host` and reads the first line alone; the status. */
static int ask_slowly(struct comb *c, unsigned host, const char *target, int *fd)
{
    char request[1024], line[16] = "";
    int small = 4096;
    struct sockaddr_in mine = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host)};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(http_server_port(c->server))};
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(bind(*fd, (struct sockaddr *)&mine, sizeof mine), 0);
    assert_int_equal(connect(*fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_true(send_all_of(*fd, request, strlen(request)));
    assert_int_equal(recv(*fd, line, 12, MSG_WAITALL), 12);
    return atoi(line + strlen("HTTP/1.1 "));
}

/* The places of CARs and files are not all one reader's, and raw blocks need none. */
static void test_one_slow_reader_does_not_shut_the_gateway(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct buf node = buf_new(4096);
    int fds[READERS], other;
    int served = 0;
    for (size_t i = 0; i < LEAVES; i++) {
        char name[32];
        snprintf(name, sizeof name, "leaf %zu", i);
        uint8_t *data = stream_bytes(name, LEAF_BYTES);
        struct cid leaf = put_block(c->store, CID_RAW, bytes_of(data, LEAF_BYTES));
        dagpb_put_link(&node, &leaf, bytes_of("", 0), LEAF_BYTES);
        free(data);
    }
    struct cid root = put_block(c->store, CID_DAG_PB, buf_bytes(&node));
    for (size_t i = 0; i < READERS; i++) {
        int status = ask_slowly(c, 1, at(&root, CAR), &fds[i]);
        served += status == 200;
        if (status != 200)
            assert_int_equal(status, 429);
    }
    assert_int_equal(served, SHARE);
    expect_status(c, "GET", at(&c->tree.alpha, "?format=raw"), "", 200);
    expect_status(c, "GET", at(&root, "?format=raw"), "", 200);
    expect_status(c, "GET", at(&c->tree.root, "/alpha.txt"), "", 200);
    expect_status(c, "HEAD", at(&root, CAR), "", 200);
    assert_int_equal(ask_slowly(c, 2, at(&root, CAR), &other), 200); /* somebody else */
    for (size_t i = 0; i < READERS; i++)
        close(fds[i]);
    close(other);
    buf_fini(&node);
    comb_close(c);
}

static void test_each_shape_has_its_own_tag(void **state)
{
    (void)state;
    static const char *const shapes[] = {CAR,
                                         CAR "&car-dups=y",
                                         CAR "&dag-scope=entity",
                                         CAR "&dag-scope=block",
                                         CAR "&entity-bytes=0:5",
                                         CAR "&entity-bytes=0:6",
                                         CAR "&entity-bytes=-5:*"};
    enum {
        SHAPES = sizeof shapes / sizeof shapes[0]
    };
    char tags[SHAPES][512];
    struct comb *c = comb_open();
    for (size_t i = 0; i < SHAPES; i++) {
        struct reply *r = ask_with(c, "HEAD", at(&c->tree.big, shapes[i]), "");
        snprintf(tags[i], sizeof tags[i], "%s", header_in(r, "Etag"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(tags[i], tags[k]);
        reply_free(r);
    }
    comb_close(c);
}

/* {"roots": [bafkqaaa], "version": 1}: CARv1 specification. */
static void test_the_probe_is_a_car_of_a_header(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct reply *r = ask(c, "/ipfs/bafkqaaa" CAR);
    expect_body(r, bytes_of("\x19\xa2"
                            "eroots\x81\xd8*E\x00\x01U\x00\x00"
                            "gversion\x01",
                            26));
    reply_free(r);
    comb_close(c);
}

static void test_identity_cids_are_never_blocks(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct cid inlined;
    assert_int_equal(cid_parse("bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa", &inlined, NULL), 0);
    struct cid root = put_directory(
        c->store, (struct named[]){{"a", c->tree.alpha}, {"b", inlined}, {"c", c->tree.index}}, 3);
    struct cid cids[] = {root, c->tree.alpha, c->tree.index};
    expect_car(c, at(&root, CAR "&car-dups=y"), "", cids, 3);
    expect_car(c, at(&root, "/b" CAR), "", cids, 1);
    expect_car(c, at(&inlined, CAR), "", NULL, 0);
    comb_close(c);
}

/* --- what is missing --- */

static void test_a_missing_child_cuts_the_answer(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    assert_int_equal(store_delete(c->store, &c->tree.chunks[2], NULL), 0);
    struct reply *r = ask(c, at(&c->tree.big, CAR));
    assert_int_equal(r->status, 200);
    assert_true(r->cut);
    reply_free(r);
    /* What does not need it comes whole. */
    struct cid before[] = {c->tree.big, c->tree.chunks[0], c->tree.chunks[1]};
    struct cid behind[] = {c->tree.big, c->tree.chunks[3], c->tree.chunks[4]};
    expect_car(c, at(&c->tree.big, CAR "&entity-bytes=0:1999"), "", before, 3);
    expect_car(c, at(&c->tree.big, CAR "&entity-bytes=3000:*"), "", behind, 3);
    comb_close(c);
}

static void test_a_node_that_is_not_what_its_parent_says_cuts_the_answer(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct unixfs_child liar = child_of(&c->tree.big, FILE_SIZE + 1);
    struct cid root = put_node(c->store, &liar, 1);
    struct reply *r = ask(c, at(&root, CAR "&dag-scope=entity"));
    assert_int_equal(r->status, 200);
    assert_true(r->cut);
    reply_free(r);
    comb_close(c);
}

/* 2^40 leaves below 40 nodes: once each without duplicates; with them the client hangs up. */
static void test_a_bomb_costs_no_memory(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct list l = {0};
    uint64_t size = 5;
    struct cid cid = c->tree.alpha;
    add(&l, &cid);
    for (int i = 0; i < 40; i++, size *= 2) {
        struct unixfs_child twice[2] = {child_of(&cid, size), child_of(&cid, size)};
        cid = put_node(c->store, twice, 2);
        add(&l, &cid);
    }
    struct list down = {0};
    for (size_t i = l.count; i-- > 0;)
        add(&down, &l.cids[i]);
    expect_car(c, at(&cid, CAR), "", down.cids, down.count);
    expect_car(c, at(&cid, CAR "&dag-scope=entity"), "", down.cids, down.count);
    int fd = connect_to(http_server_port(c->server));
    char request[1024], piece[64 << 10];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                     at(&cid, CAR "&car-dups=y"));
    assert_true(send_all_of(fd, request, (size_t)n));
    for (int i = 0; i < 50; i++)
        assert_true(recv(fd, piece, sizeof piece, 0) > 0);
    reset_and_close(fd);
    expect_status(c, "GET", at(&c->tree.alpha, CAR), "", 200);
    comb_close(c);
}

/* --- records --- */

/* A record of ipfs/gateway-conformance v0.13.2 (Apache-2.0/MIT): V2 alone, valid
 * until 2123, for half an hour, to an inlined text. */
#define NAME "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f"
static const char record_hex[] =
    "42406a7698585e2b170709d4947e148b18b120d76db43515edacf290df96b71e29c0ca5a16510256"
    "814f8255532ec4549ade26f4ca8335f4c41e2cfffeb1ba0aa5014a78a56354544c1b000001a3185c"
    "50006556616c756558242f697066732f6261666b7161647477676977773633746d70657168657a6c"
    "646e357a67696853657175656e6365006856616c6964697479581b323132332d30382d3134543132"
    "3a31373a30332e3639343035325a6c56616c69646974795479706500";

static struct buf record_bytes(void)
{
    struct buf out = buf_new(1024);
    char text[1024];
    snprintf(text, sizeof text, "f%s", record_hex);
    assert_int_equal(multibase_decode(text, strlen(text), &out, NULL), 0);
    return out;
}

static void test_a_record_held_here_is_served_and_followed(void **state)
{
    (void)state;
    struct comb *c = comb_open();
    struct buf record = record_bytes();
    struct ipns_name name;
    assert_int_equal(ipns_name_parse(NAME, &name, NULL), 0);
    assert_int_equal(
        ipns_put(files_posix(), in_scratch("store"), &name, buf_bytes(&record), 1790000000, NULL),
        0);
    struct reply *r = ask(c, "/ipns/" NAME "?format=ipns-record");
    expect_header(r, "Content-Type", "application/vnd.ipfs.ipns-record");
    expect_header(r, "Cache-Control", "public, max-age=1800");
    expect_header(r, "Content-Disposition", "attachment; filename=\"" NAME ".ipns-record\"");
    expect_body(r, buf_bytes(&record));
    reply_free(r);
    r = ask_with(c, "GET", "/ipns/" NAME "?filename=a.ipns-record",
                 "Accept: application/vnd.ipfs.ipns-record\r\n");
    expect_header(r, "Content-Disposition", "attachment; filename=\"a.ipns-record\"");
    expect_body(r, buf_bytes(&record));
    reply_free(r);
    r = ask(c, "/ipns/" NAME);
    expect_body(r, bytes_of_text("v2-only record"));
    expect_header(r, "Cache-Control", "public, max-age=1800");
    expect_header(r, "X-Ipfs-Path", "/ipns/" NAME);
    expect_header(r, "X-Ipfs-Roots", "bafkqadtwgiww63tmpeqhezldn5zgi");
    reply_free(r);
    expect_status(c, "GET", "/ipns/" NAME "?format=raw", "", 200);
    expect_status(c, "GET", "/ipns/" NAME "?format=car", "", 200);
    expect_status(c, "GET", "/ipns/" NAME "/a?format=ipns-record", "", 400);
    expect_status(c, "GET", "/ipns/" NAME "/a", "", 404);
    buf_fini(&record);
    comb_close(c);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_car_is_the_whole_dag_depth_first),
        WITH_FOLDER(test_a_path_brings_the_blocks_that_prove_it),
        WITH_FOLDER(test_a_hamt_brings_the_shards_on_the_way_or_all_of_them),
        WITH_FOLDER(test_entity_bytes_bring_the_fewest_blocks),
        WITH_FOLDER(test_a_node_that_comes_twice_is_not_cut_short),
        WITH_FOLDER(test_a_car_comes_with_the_headers_of_a_trustless_gateway),
        WITH_FOLDER(test_one_slow_reader_does_not_shut_the_gateway),
        WITH_FOLDER(test_each_shape_has_its_own_tag),
        WITH_FOLDER(test_the_probe_is_a_car_of_a_header),
        WITH_FOLDER(test_identity_cids_are_never_blocks),
        WITH_FOLDER(test_a_missing_child_cuts_the_answer),
        WITH_FOLDER(test_a_node_that_is_not_what_its_parent_says_cuts_the_answer),
        WITH_FOLDER(test_a_bomb_costs_no_memory),
        WITH_FOLDER(test_a_record_held_here_is_served_and_followed),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
