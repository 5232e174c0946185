/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_read_scratch -- an open gateway over a store in the test's folder that holds a small tree
 * of every kind, and requests to it whose answers are taken apart.
 */
#ifndef COLMEIA_TESTS_TRANSPORT_GATEWAY_READ_SCRATCH_H
#define COLMEIA_TESTS_TRANSPORT_GATEWAY_READ_SCRATCH_H

#include "base/cbor.h"
#include "content/car.h"
#include "content/directory.h"
#include "tests/transport/http_scratch.h"
#include "transport/gateway_read.h"

#define CHUNK_BYTES 1000
#define CHUNK_COUNT 5
#define FILE_SIZE   (CHUNK_BYTES * (CHUNK_COUNT - 1) + 500)
#define ENTRY_COUNT 300
#define PROVIDER    "/ip4/127.0.0.1/tcp/8080/http"
#define PEER        "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d"
#define ABSENT_CID  "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
#define REPLY_MAX   (64u << 20)

/*  root/ alpha.txt            "alpha", raw
 *        big                  five raw chunks
 *        copy/ alpha.txt      the same block again
 *              index.html
 *        many/                a HAMT of 300 entries "entry-N", each "N"
 *        odd/                 names that a page must escape
 *        link                 a symlink to alpha.txt
 *        data                 dag-cbor {"n": 7, "to": {"big": link}}  */
struct tree {
    struct cid root, alpha, big, chunks[CHUNK_COUNT], copy, index, many, odd, link, data;
};

struct comb {
    struct store *store;
    struct gateway_read read;
    struct http_server *server;
    struct tree tree;
};

/* --- the tree --- */

UNUSED static struct cid put_block(struct store *s, uint32_t codec, struct bytes block)
{
    struct cid cid = cid_of(codec, block);
    struct err err = {0};
    if (store_put(s, &cid, block, &err) != 0)
        fail_msg("%s", err.text);
    return cid;
}

UNUSED static struct cid put_raw(struct store *s, const char *text)
{
    return put_block(s, CID_RAW, bytes_of_text(text));
}

UNUSED static struct unixfs_child child_of(const struct cid *cid, uint64_t bytes)
{
    return (struct unixfs_child){.cid = *cid, .file_bytes = bytes, .total_bytes = bytes};
}

UNUSED static const uint8_t *file_bytes(void)
{
    static uint8_t bytes[FILE_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)('a' + (i / CHUNK_BYTES * 3 + i) % 26);
    return bytes;
}

UNUSED static void put_big(struct store *s, struct tree *t)
{
    struct unixfs_child children[CHUNK_COUNT];
    struct buf node = buf_new(4096);
    for (size_t i = 0; i < CHUNK_COUNT; i++) {
        size_t size = i + 1 < CHUNK_COUNT ? CHUNK_BYTES : FILE_SIZE % CHUNK_BYTES;
        t->chunks[i] = put_block(s, CID_RAW, bytes_of(file_bytes() + i * CHUNK_BYTES, size));
        children[i] = child_of(&t->chunks[i], size);
    }
    unixfs_node_put_file(&node, children, CHUNK_COUNT);
    t->big = put_block(s, CID_DAG_PB, buf_bytes(&node));
    buf_fini(&node);
}

struct named {
    const char *name;
    struct cid cid;
};

UNUSED static struct cid put_directory(struct store *s, const struct named *entries, size_t count)
{
    struct buf node = buf_new(1 << 20);
    for (size_t i = 0; i < count; i++)
        dagpb_put_link(&node, &entries[i].cid, bytes_of_text(entries[i].name), 10);
    unixfs_node_put_directory(&node);
    struct cid cid = put_block(s, CID_DAG_PB, buf_bytes(&node));
    buf_fini(&node);
    return cid;
}

UNUSED static int keep_block(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return store_put(self, cid, block, err);
}

UNUSED static struct cid put_hamt(struct store *s)
{
    struct unixfs_profile profile = unixfs_v1_2025;
    struct directory *d;
    struct unixfs_child root;
    profile.directory_bytes_max = 1;
    assert_int_equal(directory_new(&profile, &d, NULL), 0);
    for (int i = 0; i < ENTRY_COUNT; i++) {
        char name[32], text[16];
        snprintf(name, sizeof name, "entry-%d", i);
        snprintf(text, sizeof text, "%d", i);
        struct cid cid = put_raw(s, text);
        struct unixfs_child child = child_of(&cid, strlen(text));
        assert_int_equal(directory_add(d, name, &child, NULL), 0);
    }
    assert_int_equal(directory_finish(d, keep_block, s, &root, NULL), 0);
    directory_free(d);
    return root.cid;
}

UNUSED static struct cid put_data(struct store *s, const struct cid *to)
{
    struct buf data = buf_new(4096);
    cbor_put_map(&data, 2);
    cbor_put_text(&data, "n");
    cbor_put_uint(&data, 7);
    cbor_put_text(&data, "to");
    cbor_put_map(&data, 1);
    cbor_put_text(&data, "big");
    cbor_put_link(&data, to);
    struct cid cid = put_block(s, CID_DAG_CBOR, buf_bytes(&data));
    buf_fini(&data);
    return cid;
}

UNUSED static void put_tree(struct store *s, struct tree *t)
{
    struct buf node = buf_new(4096);
    t->alpha = put_raw(s, "alpha");
    t->index = put_raw(s, "<!DOCTYPE html><p>index</p>");
    put_big(s, t);
    t->copy =
        put_directory(s, (struct named[]){{"alpha.txt", t->alpha}, {"index.html", t->index}}, 2);
    t->many = put_hamt(s);
    t->odd = put_directory(
        s, (struct named[]){{"\"><script>alert(1)</script>", t->alpha}, {"a b&c.txt", t->alpha}},
        2);
    unixfs_node_put_symlink(&node, bytes_of_text("alpha.txt"));
    t->link = put_block(s, CID_DAG_PB, buf_bytes(&node));
    buf_fini(&node);
    t->data = put_data(s, &t->big);
    t->root = put_directory(s,
                            (struct named[]){{"alpha.txt", t->alpha},
                                             {"big", t->big},
                                             {"copy", t->copy},
                                             {"data", t->data},
                                             {"link", t->link},
                                             {"many", t->many},
                                             {"odd", t->odd}},
                            7);
}

/* --- the gateway --- */

UNUSED static struct comb *comb_open_as(bool open)
{
    struct comb *c = calloc(1, sizeof *c);
    assert_non_null(c);
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &c->store, NULL),
                     0);
    put_tree(c->store, &c->tree);
    c->read =
        (struct gateway_read){.store = c->store, .open = open, .provider = PROVIDER, .peer = PEER};
    c->server = open_server(gateway_read_handler(&c->read), false, 30);
    return c;
}

UNUSED static struct comb *comb_open(void)
{
    return comb_open_as(true);
}

UNUSED static void comb_close(struct comb *c)
{
    http_server_close(c->server);
    store_close(c->store);
    free(c);
}

/* --- requests --- */

struct reply {
    int status;
    bool cut; /* the body ended before its end */
    struct buf all, body;
    char headers[32 << 10];
};

/* The value of a header, or NULL; good until the next call. */
UNUSED static const char *header_in(const struct reply *r, const char *name)
{
    static char value[16 << 10];
    char key[64];
    snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = strcasestr(r->headers, key);
    if (at == NULL)
        return NULL;
    at += strlen(key);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

UNUSED static void take_chunks(struct reply *r, const uint8_t *at, size_t size)
{
    r->cut = true;
    while (size > 0) {
        const uint8_t *line = memmem(at, size, "\r\n", 2);
        if (line == NULL)
            return;
        size_t chunk = strtoul((const char *)at, NULL, 16), head = (size_t)(line - at) + 2;
        if (chunk == 0) {
            r->cut = false;
            return;
        }
        size_t here = size - head < chunk ? size - head : chunk;
        buf_append(&r->body, at + head, here);
        if (size - head < chunk + 2)
            return;
        at += head + chunk + 2;
        size -= head + chunk + 2;
    }
}

UNUSED static void take_apart(struct reply *r, bool head)
{
    buf_append_byte(&r->all, 0); /* strtoul and strstr stop here */
    const char *end = r->all.size > 1 ? strstr((const char *)r->all.data, "\r\n\r\n") : NULL;
    assert_non_null(end);
    size_t size = (size_t)((const uint8_t *)end - r->all.data) + 2;
    assert_true(size < sizeof r->headers);
    memcpy(r->headers, r->all.data, size);
    r->headers[size] = '\0';
    r->status = (int)strtol(r->headers + strlen("HTTP/1.1 "), NULL, 10);
    const uint8_t *body = r->all.data + size + 2;
    size_t left = r->all.size - 1 - size - 2;
    const char *length = header_in(r, "Content-Length");
    if (length == NULL && header_in(r, "Transfer-Encoding") != NULL && !head) {
        take_chunks(r, body, left);
        return;
    }
    buf_append(&r->body, body, left);
    r->cut = !head && length != NULL && strtoull(length, NULL, 10) != left;
}

/* One request on a connection of its own. `headers`: lines that end in \r\n. */
UNUSED static struct reply *ask_with(struct comb *c, const char *method, const char *target,
                                     const char *headers)
{
    struct reply *r = calloc(1, sizeof *r);
    struct buf request = buf_new(64 << 10);
    static uint8_t piece[256 << 10];
    assert_non_null(r);
    r->all = buf_new(REPLY_MAX);
    r->body = buf_new(REPLY_MAX);
    buf_append_format(&request, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method,
                      target, headers);
    int fd = connect_to(http_server_port(c->server));
    assert_true(send_all_of(fd, request.data, request.size));
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_append(&r->all, piece, (size_t)n);
    close(fd);
    buf_fini(&request);
    take_apart(r, strcmp(method, "HEAD") == 0);
    return r;
}

UNUSED static struct reply *ask(struct comb *c, const char *target)
{
    return ask_with(c, "GET", target, "");
}

UNUSED static void reply_free(struct reply *r)
{
    buf_fini(&r->all);
    buf_fini(&r->body);
    free(r);
}

/* "/ipfs/CID" and the rest; good until the fourth call from now. */
UNUSED static const char *at(const struct cid *cid, const char *rest)
{
    static char targets[4][8192];
    static unsigned next;
    char text[CID_TEXT_MAX];
    char *target = targets[next++ % 4];
    snprintf(target, sizeof targets[0], "/ipfs/%s%s", cid_format(cid, text), rest);
    return target;
}

UNUSED static void expect_header(const struct reply *r, const char *name, const char *value)
{
    const char *is = header_in(r, name);
    if (value == NULL ? is != NULL : (is == NULL || strcmp(is, value) != 0))
        fail_msg("%s: not \"%s\" but \"%s\" in\n%s", name, value == NULL ? "(none)" : value,
                 is == NULL ? "(none)" : is, r->headers);
}

UNUSED static void expect_body(const struct reply *r, struct bytes body)
{
    if (!bytes_equal(buf_bytes(&r->body), body))
        fail_msg("a body of %zu bytes, not the %zu that were expected, behind\n%s", r->body.size,
                 body.size, r->headers);
}

/* The status alone; answers are sentences, or empty. */
UNUSED static void expect_status(struct comb *c, const char *method, const char *target,
                                 const char *headers, int status)
{
    struct reply *r = ask_with(c, method, target, headers);
    if (r->status != status)
        fail_msg("%s %s %s: %d, not %d:\n%s", method, target, headers, r->status, status,
                 buf_text(&r->body));
    reply_free(r);
}

/* --- CARs --- */

#define CAR_BLOCKS_MAX 1024

struct car_seen {
    size_t root_count, count;
    struct cid root, cids[CAR_BLOCKS_MAX];
};

UNUSED static int see_header(void *self, const struct car_header *h, struct err *err)
{
    struct car_seen *seen = self;
    (void)err;
    seen->root_count = h->root_count;
    if (h->root_count > 0)
        seen->root = h->roots[0];
    return 0;
}

UNUSED static int see_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                            struct err *err)
{
    struct car_seen *seen = self;
    (void)data;
    (void)offset;
    (void)err;
    assert_true(seen->count < CAR_BLOCKS_MAX);
    seen->cids[seen->count++] = *cid;
    return 0;
}

/* Reads a whole CAR, every block hashed. */
UNUSED static struct car_seen *read_car(struct bytes car)
{
    struct car_seen *seen = calloc(1, sizeof *seen);
    struct car_reader *reader;
    struct err err = {0};
    assert_non_null(seen);
    assert_int_equal(car_reader_new(see_header, see_block, seen, &reader, NULL), 0);
    int rc = car_reader_add(reader, car, &err);
    if (rc == 0)
        rc = car_reader_finish(reader, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    car_reader_free(reader);
    return seen;
}

/* The answer is a whole CAR of exactly these blocks in this order. */
UNUSED static void expect_car(struct comb *c, const char *target, const char *headers,
                              const struct cid *cids, size_t count)
{
    char text[CID_TEXT_MAX];
    struct reply *r = ask_with(c, "GET", target, headers);
    if (r->status != 200 || r->cut)
        fail_msg("%s: %d%s\n%s", target, r->status, r->cut ? ", cut" : "", r->headers);
    struct car_seen *seen = read_car(buf_bytes(&r->body));
    for (size_t i = 0; i < seen->count && i < count; i++)
        if (!cid_equal(&seen->cids[i], &cids[i]))
            fail_msg("%s: block %zu is %s", target, i, cid_format(&seen->cids[i], text));
    if (seen->count != count)
        fail_msg("%s: %zu blocks, not %zu", target, seen->count, count);
    free(seen);
    reply_free(r);
}

#endif
