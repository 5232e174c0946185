/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_scratch -- sources of every character: gateways over one store that answer late, without
 * ranges, with other bytes, with half a block; and a fetch from several of them.
 */
#ifndef COLMEIA_TESTS_TRANSPORT_FETCH_SCRATCH_H
#define COLMEIA_TESTS_TRANSPORT_FETCH_SCRATCH_H

#include "content/dag.h"
#include "content/dagpb.h"
#include "tests/transport/http_scratch.h"
#include "transport/fetch_dag.h"

enum manner {
    HONEST,
    WRONG,      /* the right length, other bytes */
    WRONG_HALF, /* the first half of other bytes, then it breaks off; ranges are honest */
    BREAKS,     /* half a block (of what was asked for), then it breaks off */
    FORGETFUL,  /* has nothing, or may not give it: `status` */
    ANCESTOR,   /* answers with `other` whatever it is asked for */
};

struct source {
    struct store *store; /* borrowed */
    struct cid other;
    enum manner manner;
    atomic_int manners_left; /* so many answers of that manner, then HONEST; -1: always */
    unsigned delay_ms;
    int status;         /* 0: 404 */
    bool without_range; /* answers a Range with all */
    atomic_uint requests, ranged;
    struct http_server *server;
    char url[64];
};

/* What is sent, and where it breaks off. */
struct source_body {
    struct buf block;
    size_t next, end;
    bool cut;
};

UNUSED static long source_read(void *self, uint8_t *data, size_t size)
{
    struct source_body *b = self;
    size_t left = b->end - b->next;
    if (left == 0)
        return b->cut ? -1 : 0;
    size = size < left ? size : left;
    memcpy(data, b->block.data + b->next, size);
    b->next += size;
    return (long)size;
}

UNUSED static void source_end_body(void *self)
{
    struct source_body *b = self;
    buf_fini(&b->block);
    free(b);
}

UNUSED static enum manner source_manner(struct source *s)
{
    int left = atomic_load(&s->manners_left);
    if (left == 0)
        return HONEST;
    if (left > 0)
        atomic_fetch_sub(&s->manners_left, 1);
    return s->manner;
}

UNUSED static void source_spoil(struct source_body *b, enum manner manner, bool ranged)
{
    size_t half = (b->end - b->next) / 2;
    if (manner == WRONG)
        b->block.data[b->next + half] ^= 1;
    if (manner == WRONG_HALF && !ranged)
        b->block.data[half / 2] ^= 1;
    if (manner == BREAKS || (manner == WRONG_HALF && !ranged)) {
        b->end = b->next + half;
        b->cut = true;
    }
}

UNUSED static void source_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct source *s = self;
    char text[CID_TEXT_MAX];
    struct cid cid;
    const char *range = r->header(r, "Range");
    enum manner manner = source_manner(s);
    struct source_body *b = calloc(1, sizeof *b);
    b->block = buf_new(STORE_BLOCK_BYTES_MAX);
    atomic_fetch_add(&s->requests, 1);
    sleep_ms(s->delay_ms);
    snprintf(text, sizeof text, "%s", r->path + strlen("/ipfs/"));
    if (cid_parse(text, &cid, NULL) != 0 || manner == FORGETFUL ||
        store_get(s->store, manner == ANCESTOR ? &s->other : &cid, &b->block, NULL) != 0) {
        source_end_body(b);
        http_server_say(out, s->status == 0 ? 404 : s->status, "not here");
        return;
    }
    out->status = 200;
    b->end = b->block.size;
    if (range != NULL && !s->without_range) {
        atomic_fetch_add(&s->ranged, 1);
        b->next = strtoul(range + strlen("bytes="), NULL, 10);
        out->status = 206;
        buf_append_format(&out->headers, "Content-Range: bytes %zu-%zu/%zu\n", b->next, b->end - 1,
                          b->end);
    }
    out->stream_bytes = b->end - b->next;
    source_spoil(b, manner, out->status == 206);
    out->stream = (struct http_stream){.self = b, .read = source_read, .end = source_end_body};
}

UNUSED static bool source_begin(void *self, struct http_request *r, struct http_response *out)
{
    (void)self;
    (void)r;
    (void)out;
    return true;
}

UNUSED static bool source_take(void *self, struct http_request *r, struct bytes piece,
                               struct http_response *out)
{
    (void)self;
    (void)r;
    (void)piece;
    (void)out;
    return true;
}

UNUSED static void source_end(void *self, struct http_request *r)
{
    (void)self;
    (void)r;
}

UNUSED static void source_open(struct source *s, struct store *store, enum manner manner, int left)
{
    struct http_handler h = {.self = s,
                             .begin = source_begin,
                             .body = source_take,
                             .answer = source_answer,
                             .end = source_end};
    s->store = store;
    s->manner = manner;
    atomic_store(&s->manners_left, left);
    s->server = open_server_for(MANY, h, false, 30);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", http_server_port(s->server));
}

UNUSED static void source_close(struct source *s)
{
    http_server_close(s->server);
}

/* --- who fetches --- */

struct reader {
    struct store *theirs; /* what sources serve */
    struct store *ours;
    struct fetch fetch;
    unsigned notices;
    char notice[1024]; /* the last one */
};

UNUSED static void reader_note(void *self, const char *sentence)
{
    struct reader *r = self;
    r->notices++;
    snprintf(r->notice, sizeof r->notice, "%s", sentence);
}

UNUSED static struct store *reader_store(const char *name)
{
    struct store *s;
    struct err err = {0};
    if (store_open(files_posix(), in_scratch(name), STORE_WRITE, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

/* Stalls are not waited for: a test that needs one to end hangs. */
UNUSED static struct reader *reader_open(void)
{
    struct reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->theirs = reader_store("theirs");
    r->ours = reader_store("ours");
    r->fetch = (struct fetch){.http = open_client_with(NULL, 600, NULL),
                              .give_up_seconds = 20,
                              .notice = reader_note,
                              .notice_self = r};
    assert_int_equal(jobs_new(2, &r->fetch.jobs, NULL), 0);
    return r;
}

UNUSED static void reader_close(struct reader *r)
{
    jobs_free(r->fetch.jobs);
    http_client_free(r->fetch.http);
    store_close(r->ours);
    store_close(r->theirs);
    free(r);
}

UNUSED static void reader_add(struct reader *r, const char *url)
{
    snprintf(r->fetch.sources[r->fetch.source_count++], sizeof r->fetch.sources[0], "%s", url);
}

UNUSED static void reader_forget(struct reader *r)
{
    r->fetch.source_count = 0;
    r->notices = 0;
    fetch_begin_session(&r->fetch);
}

UNUSED static struct cid their_block(struct reader *r, uint32_t codec, const void *data,
                                     size_t size)
{
    struct cid cid = cid_of(codec, bytes_of(data, size));
    assert_int_equal(store_put(r->theirs, &cid, bytes_of(data, size), NULL), 0);
    return cid;
}

/* A leaf of `size` bytes that no other number has. */
UNUSED static struct cid their_leaf(struct reader *r, unsigned number, size_t size)
{
    uint8_t *data = calloc(1, size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((i * 31 + number * 7) >> (i % 5));
    assert_true(size >= sizeof number);
    memcpy(data, &number, sizeof number);
    struct cid cid = their_block(r, CID_RAW, data, size);
    free(data);
    return cid;
}

UNUSED static struct cid their_node(struct reader *r, const struct cid *links, size_t count,
                                    uint64_t each_bytes)
{
    struct buf node = buf_new(STORE_BLOCK_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        dagpb_put_link(&node, &links[i], bytes_of("", 0), each_bytes);
    struct cid cid = their_block(r, CID_DAG_PB, node.data, node.size);
    buf_fini(&node);
    return cid;
}

/* A node of `count` leaves of `size` bytes. */
UNUSED static struct cid their_tree(struct reader *r, unsigned first, size_t count, size_t size)
{
    struct cid leaves[256];
    assert_true(count <= 256);
    for (size_t i = 0; i < count; i++)
        leaves[i] = their_leaf(r, first + (unsigned)i, size);
    return their_node(r, leaves, count, size);
}

UNUSED static int visit_any(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    (void)cid;
    (void)block;
    (void)err;
    (*(unsigned *)self)++;
    return 0;
}

/* Every block below the root is ours, and whole; returns how many there are. */
UNUSED static unsigned assert_ours(struct reader *r, const struct cid *root)
{
    struct block_source ours = store_source(r->ours);
    unsigned count = 0;
    struct err err = {0};
    struct dag_walk w = {.source = &ours, .visit = visit_any, .self = &count};
    if (dag_walk(&w, root, &err) != 0)
        fail_msg("%s", err.text);
    return count;
}

UNUSED static int reader_fetch(struct reader *r, const struct cid *root, struct err *err)
{
    return fetch_dag(&r->fetch, r->ours, root, false, NULL, err);
}

UNUSED static void reader_must(struct reader *r, const struct cid *root)
{
    struct err err = {0};
    if (reader_fetch(r, root, &err) != 0)
        fail_msg("%s", err.text);
    assert_ours(r, root);
}

#endif
