/* SPDX-License-Identifier: Apache-2.0 */
#include "content/car.h"

#include <stdlib.h>

#include "base/cbor.h"
#include "base/varint.h"
#include "content/block_source.h"

#define V2_PRAGMA_BYTES  11
#define V2_HEADER_BYTES  40
#define V2_DATA_FIRST    (V2_PRAGMA_BYTES + V2_HEADER_BYTES)
#define V1_PAYLOAD_LEAST 18 /* a header without roots */

/* What the next byte of the stream belongs to. */
enum place {
    LENGTH,    /* a header's or section's length */
    BODY,      /* what that length counts */
    V2_HEADER, /* the fixed part behind a v2's pragma */
    V2_GAP,    /* up to the payload */
    V2_INDEX   /* behind the payload */
};

struct car_reader {
    int (*header)(void *self, const struct car_header *h, struct err *err);
    int (*block)(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                 struct err *err);
    void *self;
    bool trust;
    enum place place;
    bool headed; /* the roots were read, or there are none to come */
    size_t block_bytes_max;
    uint64_t at;                          /* offset of the next byte ... */
    uint64_t begun;                       /* ... and of the header or section under way */
    uint64_t data_at, data_end, index_at; /* of a v2; data_end of a v1: never */
    uint8_t length[VARINT_BYTES_MAX];
    size_t length_size;
    size_t need;     /* of the body */
    struct buf part; /* of it, where it does not lie in one piece */
    struct car_header h;
    int failed;
};

static unsigned long long number(uint64_t n)
{
    return n;
}

int car_reader_new(int (*header)(void *self, const struct car_header *h, struct err *err),
                   int (*block)(void *self, const struct cid *cid, struct bytes data,
                                uint64_t offset, struct err *err),
                   void *self, struct car_reader **out, struct err *err)
{
    struct car_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->header = header;
    r->block = block;
    r->self = self;
    r->data_end = UINT64_MAX;
    r->h.version = 1;
    r->block_bytes_max = BLOCK_BYTES_MAX;
    r->part = buf_new(BLOCK_BYTES_MAX + CID_BYTES_MAX);
    *out = r;
    return 0;
}

void car_reader_start_at_sections(struct car_reader *r, size_t block_bytes_max)
{
    r->headed = true;
    r->block_bytes_max = block_bytes_max;
    r->part = buf_new(block_bytes_max + CID_BYTES_MAX);
}

void car_reader_trust(struct car_reader *r)
{
    r->trust = true;
}

void car_reader_free(struct car_reader *r)
{
    if (r == NULL)
        return;
    buf_fini(&r->part);
    free(r->h.roots);
    free(r);
}

/* --- header --- */

static int take_roots(struct car_reader *r, struct cbor *c, struct err *err)
{
    uint64_t count = cbor_take_array(c, CAR_ROOTS_MAX);
    r->h.roots = calloc(count > 0 ? (size_t)count : 1, sizeof *r->h.roots);
    if (r->h.roots == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (uint64_t i = 0; i < count; i++)
        r->h.roots[i] = cbor_take_link(c);
    r->h.root_count = (size_t)count;
    return 0;
}

/* A v2's pragma looks like the header of a v1 without roots whose version is 2. */
static int finish_header(struct car_reader *r, struct bytes body, struct err *err)
{
    struct cbor c = cbor_reader(body);
    uint64_t pairs = cbor_take_map(&c, 2);
    int rc = 0;
    if (pairs == 2) {
        cbor_expect_key(&c, "roots");
        rc = take_roots(r, &c, err);
    }
    cbor_expect_key(&c, "version");
    uint64_t version = cbor_take_uint(&c, UINT64_MAX);
    if (rc == 0 && (rc = cbor_finish(&c, err)) != 0)
        return err_wrap(err, rc, "CAR header at offset %llu", number(r->begun));
    if (rc != 0)
        return rc;
    if (pairs == 1 && version == 2 && r->h.version == 1) {
        r->h.version = 2;
        r->place = V2_HEADER;
        r->need = V2_HEADER_BYTES;
        return 0;
    }
    if (version != 1 || pairs != 2)
        return err_set(err, version > 2 ? ERR_UNSUPPORTED : ERR_MALFORMED,
                       "CAR header at offset %llu: version %llu %s roots", number(r->begun),
                       number(version), pairs == 2 ? "with" : "without");
    r->headed = true;
    r->place = LENGTH;
    return r->header != NULL ? r->header(r->self, &r->h, err) : 0;
}

/* CARv2: 16 bytes of characteristics, then where the payload lies and where the index. */
static int finish_v2_header(struct car_reader *r, struct bytes body, struct err *err)
{
    uint64_t at = bytes_get_u64(body.data + 16), size = bytes_get_u64(body.data + 24);
    r->index_at = bytes_get_u64(body.data + 32);
    if (at < V2_DATA_FIRST)
        return err_set(err, ERR_MALFORMED,
                       "CARv2 header: a payload at offset %llu, inside the header", number(at));
    if (size < V1_PAYLOAD_LEAST || size == UINT64_MAX || at > UINT64_MAX - 1 - size)
        return err_set(err, ERR_MALFORMED, "CARv2 header: a payload of %llu bytes at offset %llu",
                       number(size), number(at));
    if (r->index_at != 0 && r->index_at < at + size)
        return err_set(err, ERR_MALFORMED,
                       "CARv2 header: an index at offset %llu, inside the payload",
                       number(r->index_at));
    r->data_at = at;
    r->data_end = at + size;
    r->place = r->at < at ? V2_GAP : LENGTH;
    return 0;
}

/* --- sections --- */

static int finish_section(struct car_reader *r, struct bytes body, struct err *err)
{
    struct cid cid;
    size_t used;
    r->place = LENGTH;
    int rc = cid_decode_prefix(body, &cid, &used, err);
    if (rc != 0)
        return err_wrap(err, rc, "section at offset %llu", number(r->begun));
    struct bytes data = bytes_of(body.data + used, body.size - used);
    if (data.size > r->block_bytes_max)
        return err_set(err, ERR_LIMIT,
                       "section at offset %llu: a block of %zu bytes, more than %zu",
                       number(r->begun), data.size, r->block_bytes_max);
    if (!r->trust && (rc = cid_verify(&cid, data, err)) != 0)
        return err_wrap(err, rc, "section at offset %llu", number(r->begun));
    return r->block(r->self, &cid, data, r->begun, err);
}

/* The limit is checked before anything is allocated. */
static int finish_length(struct car_reader *r, struct err *err)
{
    uint64_t need;
    const char *what = r->headed ? "section" : "CAR header";
    size_t limit = r->headed ? r->block_bytes_max + CID_BYTES_MAX : CAR_HEADER_BYTES_MAX;
    if (varint_take(bytes_of(r->length, r->length_size), VARINT_BYTES_MAX, &need) == 0 || need == 0)
        return err_set(err, ERR_MALFORMED, "%s at offset %llu: a bad or empty length", what,
                       number(r->begun));
    if (need > limit)
        return err_set(err, ERR_LIMIT, "%s at offset %llu: %llu bytes, more than %zu", what,
                       number(r->begun), number(need), limit);
    if (need > r->data_end - r->at)
        return err_set(err, ERR_MALFORMED, "%s at offset %llu: reaches past the payload's end",
                       what, number(r->begun));
    r->need = (size_t)need;
    r->length_size = 0;
    r->place = BODY;
    return 0;
}

static int take_length(struct car_reader *r, uint8_t byte, struct err *err)
{
    if (r->length_size == 0)
        r->begun = r->at;
    if (r->at == r->data_end)
        return err_set(err, ERR_MALFORMED, "section at offset %llu: reaches past the payload's end",
                       number(r->begun));
    r->length[r->length_size++] = byte;
    r->at++;
    if (byte >= 0x80 && r->length_size < VARINT_BYTES_MAX)
        return 0;
    return finish_length(r, err);
}

static int finish_body(struct car_reader *r, struct bytes body, struct err *err)
{
    if (r->place == V2_HEADER)
        return finish_v2_header(r, body, err);
    return r->headed ? finish_section(r, body, err) : finish_header(r, body, err);
}

/* Whole in this piece: handed on where it lies. Else gathered. */
static int take_body(struct car_reader *r, struct bytes left, size_t *used, struct err *err)
{
    bool whole = r->part.size == 0 && left.size >= r->need;
    *used = r->need - r->part.size < left.size ? r->need - r->part.size : left.size;
    r->at += *used;
    if (whole)
        return finish_body(r, bytes_of(left.data, r->need), err);
    buf_append(&r->part, left.data, *used);
    int rc = buf_check(&r->part, err);
    if (rc != 0 || r->part.size < r->need)
        return rc;
    rc = finish_body(r, buf_bytes(&r->part), err);
    buf_clear(&r->part);
    return rc;
}

static int step(struct car_reader *r, struct bytes left, size_t *used, struct err *err)
{
    *used = 1;
    if (r->place == LENGTH && r->length_size == 0 && r->at == r->data_end) {
        if (r->index_at == 0)
            return err_set(err, ERR_MALFORMED, "bytes behind the payload, at offset %llu",
                           number(r->at));
        r->place = V2_INDEX;
    }
    if (r->place == LENGTH)
        return take_length(r, left.data[0], err);
    if (r->place == BODY || r->place == V2_HEADER)
        return take_body(r, left, used, err);
    *used = left.size;
    if (r->place == V2_GAP && r->data_at - r->at <= left.size) {
        *used = (size_t)(r->data_at - r->at);
        r->place = LENGTH;
    }
    r->at += *used;
    return 0;
}

int car_reader_add(struct car_reader *r, struct bytes piece, struct err *err)
{
    if (r->failed != 0)
        return err_set(err, r->failed, "the CAR was refused before");
    for (size_t at = 0; r->failed == 0 && at < piece.size;) {
        size_t used;
        r->failed = step(r, bytes_of(piece.data + at, piece.size - at), &used, err);
        at += used;
    }
    return r->failed;
}

int car_reader_finish(struct car_reader *r, struct err *err)
{
    if (r->failed != 0)
        return err_set(err, r->failed, "the CAR was refused before");
    bool v2 = r->data_end != UINT64_MAX;
    if (v2 && r->at < r->data_end)
        return err_set(err, ERR_MALFORMED, "ends at offset %llu, but its payload goes to %llu",
                       number(r->at), number(r->data_end));
    if (v2 && r->index_at != 0 && r->at <= r->index_at)
        return err_set(err, ERR_MALFORMED, "ends at offset %llu, before its index at %llu",
                       number(r->at), number(r->index_at));
    bool between = r->place == V2_INDEX || (r->place == LENGTH && r->length_size == 0);
    if (!r->headed || !between)
        return err_set(err, ERR_MALFORMED, "ends at offset %llu, inside the %s at offset %llu",
                       number(r->at), r->headed ? "section" : "header", number(r->begun));
    return 0;
}

/* --- writing --- */

static size_t head_size(uint64_t n)
{
    return n < 24 ? 1 : n <= UINT8_MAX ? 2 : n <= UINT16_MAX ? 3 : 5;
}

void car_put_header(struct buf *out, const struct cid *roots, size_t count)
{
    size_t size = 1 + 6 + head_size(count) + 8 + 1; /* map, "roots", array, "version", 1 */
    for (size_t i = 0; i < count; i++)
        size += 2 + head_size(roots[i].size + 1u) + 1 + roots[i].size;
    varint_put(out, size);
    cbor_put_map(out, 2);
    cbor_put_text(out, "roots");
    cbor_put_array(out, count);
    for (size_t i = 0; i < count; i++)
        cbor_put_link(out, &roots[i]);
    cbor_put_text(out, "version");
    cbor_put_uint(out, 1);
}

size_t car_section_head(const struct cid *cid, uint64_t size, uint8_t out[CAR_SECTION_HEAD_MAX])
{
    size_t used = varint_write(out, cid->size + size);
    memcpy(out + used, cid->bytes, cid->size);
    return used + cid->size;
}
