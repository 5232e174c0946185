/* SPDX-License-Identifier: Apache-2.0 */
/* cbor: one encoding for one value. What cbor_check lets pass is read item by item and written
 * again: the same bytes; and nothing else is read to its end. */
#include <assert.h>

#include "base/cbor.h"

#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An integer below -2^63 is valid and no int64_t: it is copied. */
static void copy_negative(struct cbor *r, struct buf *out)
{
    struct cbor ahead = *r;
    int64_t value = cbor_take_int(&ahead);
    if (ahead.failed) {
        struct bytes item = cbor_take_item(r);
        buf_append(out, item.data, item.size);
    } else {
        *r = ahead;
        cbor_put_int(out, value);
    }
}

static void copy_link(struct cbor *r, struct buf *out)
{
    struct cid c = cbor_take_link(r);
    if (!r->failed)
        cbor_put_link(out, &c);
}

static void copy_map(struct cbor *r, struct buf *out, size_t *links);

/* Reads one item and writes it; cbor_check has said that it is not nested too deep. */
static void copy_item(struct cbor *r, struct buf *out, size_t *links)
{
    uint64_t count = 0;
    switch (cbor_peek(r)) {
    case CBOR_UINT:
        cbor_put_uint(out, cbor_take_uint(r, UINT64_MAX));
        break;
    case CBOR_NEGATIVE:
        copy_negative(r, out);
        break;
    case CBOR_BYTES:
        cbor_put_bytes(out, cbor_take_bytes(r, SIZE_MAX));
        break;
    case CBOR_TEXT:
        cbor_put_text_bytes(out, cbor_take_text(r, SIZE_MAX));
        break;
    case CBOR_ARRAY:
        count = cbor_take_array(r, UINT64_MAX);
        cbor_put_array(out, count);
        for (; count > 0 && !r->failed; count--)
            copy_item(r, out, links);
        break;
    case CBOR_MAP:
        copy_map(r, out, links);
        break;
    case CBOR_LINK:
        copy_link(r, out);
        ++*links;
        break;
    case CBOR_NULL:
        cbor_take_null(r);
        cbor_put_null(out);
        break;
    case CBOR_DOUBLE:
        cbor_put_double(out, cbor_take_double(r));
        break;
    case CBOR_BOOL:
        cbor_put_bool(out, cbor_take_bool(r));
        break;
    case CBOR_END:
        cbor_fail(r, "the end");
        break;
    }
}

/* The keys are text, the shorter first, of one length by their bytes, none twice. */
static void copy_map(struct cbor *r, struct buf *out, size_t *links)
{
    uint64_t count = cbor_take_map(r, UINT64_MAX);
    struct bytes before = {NULL, 0};
    cbor_put_map(out, count);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct bytes key = cbor_take_text(r, SIZE_MAX);
        assert(i == 0 || key.size > before.size ||
               (key.size == before.size && memcmp(key.data, before.data, key.size) > 0));
        before = key;
        cbor_put_text_bytes(out, key);
        copy_item(r, out, links);
    }
}

static int count_link(void *self, const struct cid *c, struct err *err)
{
    (void)err;
    assert(!cid_is_none(c));
    ++*(size_t *)self;
    return 0;
}

static int stop_at_link(void *self, const struct cid *c, struct err *err)
{
    (void)self;
    (void)c;
    return err_set(err, ERR_DENIED, "stop");
}

static void read_and_write(struct bytes in, size_t links)
{
    struct buf out = buf_new(in.size);
    struct cbor r = cbor_reader(in);
    size_t met = 0;
    copy_item(&r, &out, &met);
    int rc = cbor_finish(&r, NULL);
    assert(rc == 0 && out.failed == 0);
    assert(bytes_equal(buf_bytes(&out), in) && met == links);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size < INPUT_MAX ? size : INPUT_MAX);
    struct err err = {.code = 0};
    size_t links = 0;
    int rc = cbor_check(in, count_link, &links, &err);
    struct cbor r = cbor_reader(in);
    struct bytes item = cbor_take_item(&r);
    if (rc == 0) {
        assert(item.data == in.data && item.size == in.size);
        read_and_write(in, links);
        rc = cbor_check(in, stop_at_link, NULL, NULL);
        assert(rc == (links > 0 ? ERR_DENIED : 0));
    } else {
        assert((rc == ERR_MALFORMED || rc == ERR_LIMIT) && err.text[0] != '\0');
        assert(item.size < in.size || in.size == 0);
        if (item.size > 0) { /* a whole item with something behind it */
            links = 0;
            rc = cbor_check(item, count_link, &links, NULL);
            assert(rc == 0);
            read_and_write(item, links);
        }
    }
    return 0;
}
