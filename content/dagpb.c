/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagpb.h"

#include <stdlib.h>

#include "base/varint.h"
#include "content/protobuf.h"

/* Protobuf keys: field number << 3 | wire type. */
enum {
    LINK = 0x12,
    DATA = 0x0a,
    LINK_CID = 0x0a,
    LINK_NAME = 0x12,
    LINK_TSIZE = 0x18
};

/* One pass over a node's fields. */
struct scan {
    struct protobuf r;
    bool has_link, has_data;
    bool links_are_over; /* links, then data: no link may follow */
    struct bytes data;
};

/* The next link's message; false when there is none (and after a failure). Data that is passed is
 * kept. */
static bool next_link(struct scan *s, struct bytes *link)
{
    for (;;) {
        size_t start = s->r.at;
        uint64_t key = protobuf_key(&s->r);
        if (key == 0)
            return false;
        const char *why = NULL;
        if (key != LINK && key != DATA)
            why = "neither links nor data";
        else if (key == DATA && s->has_data)
            why = "data twice";
        else if (key == LINK && s->links_are_over)
            why = "data between links";
        if (why != NULL) {
            s->r.at = start;
            protobuf_fail(&s->r, why);
            return false;
        }
        struct bytes run = protobuf_run(&s->r);
        if (s->r.why != NULL)
            return false;
        if (key == LINK) {
            s->has_link = true;
            *link = run;
            return true;
        }
        s->data = run;
        s->has_data = true;
        s->links_are_over = s->has_link;
    }
}

static void take_cid(struct protobuf *r, struct cid *out)
{
    size_t start = r->at;
    if (protobuf_key(r) != LINK_CID) {
        r->at = start;
        protobuf_fail(r, "a link without a CID");
        return;
    }
    struct bytes run = protobuf_run(r);
    if (r->why == NULL && cid_decode(run, out, NULL) != 0) {
        r->at = start;
        protobuf_fail(r, "a link whose CID cannot be read");
    }
}

/* Reads the message `in`; a failure is left in `s`. */
static void read_link(struct scan *s, struct bytes in, struct dagpb_link *out)
{
    struct protobuf r = protobuf_within(s->r.in, in);
    if (in.size == 0)
        r.at = r.in.size = s->r.at;
    *out = (struct dagpb_link){0};
    take_cid(&r, &out->cid);
    size_t start = r.at;
    uint64_t key = protobuf_key(&r);
    if (key == LINK_NAME) {
        out->name = protobuf_run(&r);
        start = r.at;
        key = protobuf_key(&r);
    }
    if (key == LINK_TSIZE) {
        out->total_bytes = protobuf_varint(&r);
        start = r.at;
        key = protobuf_key(&r);
    }
    if (key != 0) {
        r.at = start;
        protobuf_fail(&r, "an unknown field in a link");
    }
    if (r.why != NULL) {
        s->r.at = r.at;
        protobuf_fail(&s->r, r.why);
    }
}

static int scan_result(const struct scan *s, struct err *err)
{
    if (s->r.why == NULL)
        return 0;
    return err_set(err, ERR_MALFORMED, "dag-pb: %s at offset %zu", s->r.why, s->r.at);
}

int dagpb_each_link(struct bytes in,
                    int (*each)(void *self, const struct dagpb_link *link, struct err *err),
                    void *self, struct err *err)
{
    struct scan s = {.r = protobuf_of(in)};
    struct bytes run;
    struct dagpb_link link;
    while (next_link(&s, &run)) {
        read_link(&s, run, &link);
        if (s.r.why != NULL)
            break;
        int rc = each(self, &link, err);
        if (rc != 0)
            return rc;
    }
    return scan_result(&s, err);
}

int dagpb_decode(struct bytes in, struct dagpb_node *out, struct err *err)
{
    struct scan s = {.r = protobuf_of(in)};
    struct dagpb_node node = {0};
    struct bytes run;
    size_t count = 0;
    while (next_link(&s, &run))
        count++;
    int rc = scan_result(&s, err);
    if (rc != 0)
        return rc;
    if (count > DAGPB_LINKS_MAX)
        return err_set(err, ERR_LIMIT, "dag-pb: a node of %zu links, more than %d", count,
                       DAGPB_LINKS_MAX);
    if (count > 0 && (node.links = calloc(count, sizeof *node.links)) == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    s = (struct scan){.r = protobuf_of(in)};
    while (s.r.why == NULL && next_link(&s, &run))
        read_link(&s, run, &node.links[node.link_count++]);
    rc = scan_result(&s, err);
    if (rc != 0) {
        dagpb_node_fini(&node);
        return rc;
    }
    node.has_data = s.has_data;
    node.data = s.data;
    *out = node;
    return 0;
}

void dagpb_node_fini(struct dagpb_node *n)
{
    free(n->links);
    *n = (struct dagpb_node){0};
}

void dagpb_put_link(struct buf *out, const struct cid *cid, struct bytes name, uint64_t total_bytes)
{
    size_t size = 1 + varint_size(cid->size) + cid->size + 1 + varint_size(name.size) + name.size +
                  1 + varint_size(total_bytes);
    buf_append_byte(out, LINK);
    varint_put(out, size);
    buf_append_byte(out, LINK_CID);
    varint_put(out, cid->size);
    buf_append(out, cid->bytes, cid->size);
    buf_append_byte(out, LINK_NAME); /* there even if empty: as Kubo writes it */
    varint_put(out, name.size);
    if (name.size > 0)
        buf_append(out, name.data, name.size);
    buf_append_byte(out, LINK_TSIZE);
    varint_put(out, total_bytes);
}

void dagpb_put_data(struct buf *out, struct bytes data)
{
    buf_append_byte(out, DATA);
    varint_put(out, data.size);
    if (data.size > 0)
        buf_append(out, data.data, data.size);
}
