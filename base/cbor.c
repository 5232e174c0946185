/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"

#include <math.h>

#include "base/text.h"

/* Major types of RFC 8949, shifted into place. */
enum {
    UINT = 0x00,
    NEGATIVE = 0x20,
    BYTES = 0x40,
    TEXT = 0x60,
    ARRAY = 0x80,
    MAP = 0xa0,
    TAG = 0xc0,
    SIMPLE = 0xe0
};

#define TAG_CID 42

/* --- writing --- */

static void put_head(struct buf *b, uint8_t major, uint64_t n)
{
    uint8_t head[9];
    size_t extra = n < 24 ? 0 : n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : n <= UINT32_MAX ? 4 : 8;
    uint8_t info = extra == 0   ? (uint8_t)n
                   : extra == 1 ? 24
                   : extra == 2 ? 25
                   : extra == 4 ? 26
                                : 27;
    head[0] = major | info;
    for (size_t i = 0; i < extra; i++)
        head[1 + i] = (uint8_t)(n >> (8 * (extra - 1 - i)));
    buf_append(b, head, 1 + extra);
}

void cbor_put_uint(struct buf *b, uint64_t value)
{
    put_head(b, UINT, value);
}

void cbor_put_int(struct buf *b, int64_t value)
{
    if (value >= 0)
        put_head(b, UINT, (uint64_t)value);
    else
        put_head(b, NEGATIVE, (uint64_t)(-(value + 1)));
}

void cbor_put_bytes(struct buf *b, struct bytes value)
{
    put_head(b, BYTES, value.size);
    buf_append(b, value.data, value.size);
}

void cbor_put_text_bytes(struct buf *b, struct bytes utf8)
{
    put_head(b, TEXT, utf8.size);
    buf_append(b, utf8.data, utf8.size);
}

void cbor_put_text(struct buf *b, const char *value)
{
    cbor_put_text_bytes(b, bytes_of_text(value));
}

void cbor_put_array(struct buf *b, uint64_t items)
{
    put_head(b, ARRAY, items);
}

void cbor_put_map(struct buf *b, uint64_t pairs)
{
    put_head(b, MAP, pairs);
}

void cbor_put_link(struct buf *b, const struct cid *value)
{
    put_head(b, TAG, TAG_CID);
    put_head(b, BYTES, (uint64_t)value->size + 1);
    buf_append_byte(b, 0); /* the multibase prefix of binary */
    buf_append(b, value->bytes, value->size);
}

void cbor_put_link_or_null(struct buf *b, const struct cid *value)
{
    if (cid_is_none(value))
        cbor_put_null(b);
    else
        cbor_put_link(b, value);
}

void cbor_put_bool(struct buf *b, bool value)
{
    buf_append_byte(b, SIMPLE | (value ? 21 : 20));
}

void cbor_put_null(struct buf *b)
{
    buf_append_byte(b, SIMPLE | 22);
}

void cbor_put_double(struct buf *b, double value)
{
    if (!isfinite(value)) {
        cbor_put_null(b);
        return;
    }
    uint64_t bits;
    uint8_t out[9] = {SIMPLE | 27};
    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    buf_append(b, out, sizeof out);
}

/* --- reading --- */

struct cbor cbor_reader(struct bytes in)
{
    return (struct cbor){.in = in};
}

static void fail_as(struct cbor *r, int code, const char *why)
{
    if (r->failed)
        return;
    r->failed = code;
    r->bad_at = r->at;
    r->why = why;
}

void cbor_fail(struct cbor *r, const char *why)
{
    fail_as(r, ERR_MALFORMED, why);
}

enum cbor_type cbor_peek(struct cbor *r)
{
    if (r->failed || r->at >= r->in.size)
        return CBOR_END;
    uint8_t first = r->in.data[r->at];
    switch (first & 0xe0) {
    case UINT:
        return CBOR_UINT;
    case NEGATIVE:
        return CBOR_NEGATIVE;
    case BYTES:
        return CBOR_BYTES;
    case TEXT:
        return CBOR_TEXT;
    case ARRAY:
        return CBOR_ARRAY;
    case MAP:
        return CBOR_MAP;
    case TAG:
        return CBOR_LINK;
    default:
        return first == (SIMPLE | 22)   ? CBOR_NULL
               : first == (SIMPLE | 27) ? CBOR_DOUBLE
                                        : CBOR_BOOL;
    }
}

/* Takes a head of `major`, minimal; its number. */
static uint64_t take_head(struct cbor *r, uint8_t major, const char *expected)
{
    if (r->failed)
        return 0;
    if (r->at >= r->in.size) {
        cbor_fail(r, "input ends too early");
        return 0;
    }
    uint8_t first = r->in.data[r->at];
    uint8_t info = first & 0x1f;
    if ((first & 0xe0) != major) {
        cbor_fail(r, expected);
        return 0;
    }
    if (info < 24) {
        r->at++;
        return info;
    }
    if (info > 27) {
        cbor_fail(r, "indefinite length or reserved head");
        return 0;
    }
    size_t extra = (size_t)1 << (info - 24);
    if (r->in.size - r->at - 1 < extra) {
        cbor_fail(r, "input ends inside a head");
        return 0;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < extra; i++)
        n = n << 8 | r->in.data[r->at + 1 + i];
    uint64_t least = extra == 1 ? 24 : (uint64_t)1 << (4 * extra);
    if (n < least) {
        cbor_fail(r, "integer or length is not in its shortest form");
        return 0;
    }
    r->at += 1 + extra;
    return n;
}

uint64_t cbor_take_uint(struct cbor *r, uint64_t max)
{
    size_t start = r->at;
    uint64_t n = take_head(r, UINT, "expected an unsigned integer");
    if (!r->failed && n > max) {
        r->at = start;
        cbor_fail(r, "integer out of range");
        return 0;
    }
    return n;
}

int64_t cbor_take_int(struct cbor *r)
{
    bool negative = cbor_peek(r) == CBOR_NEGATIVE;
    size_t start = r->at;
    uint64_t n = take_head(r, negative ? NEGATIVE : UINT, "expected an integer");
    if (!r->failed && n > INT64_MAX) {
        r->at = start;
        cbor_fail(r, "integer out of range");
        return 0;
    }
    return negative ? -1 - (int64_t)n : (int64_t)n;
}

static struct bytes take_run(struct cbor *r, uint8_t major, size_t max, const char *expected)
{
    size_t start = r->at;
    uint64_t n = take_head(r, major, expected);
    if (r->failed)
        return bytes_of(NULL, 0);
    if (n > r->in.size - r->at) {
        r->at = start;
        cbor_fail(r, "length goes past the end of the input");
        return bytes_of(NULL, 0);
    }
    if (n > max) {
        r->at = start;
        fail_as(r, ERR_LIMIT, "text or bytes longer than allowed");
        return bytes_of(NULL, 0);
    }
    struct bytes run = bytes_of(r->in.data + r->at, (size_t)n);
    r->at += (size_t)n;
    return run;
}

struct bytes cbor_take_bytes(struct cbor *r, size_t max)
{
    return take_run(r, BYTES, max, "expected bytes");
}

/* Text may hold NUL; what stands between two must be UTF-8. */
static bool is_text(struct bytes text)
{
    for (size_t at = 0; at < text.size;) {
        const uint8_t *nul = memchr(text.data + at, 0, text.size - at);
        size_t end = nul == NULL ? text.size : (size_t)(nul - text.data);
        if (!text_is_utf8(bytes_of(text.data + at, end - at)))
            return false;
        at = end + 1;
    }
    return true;
}

struct bytes cbor_take_text(struct cbor *r, size_t max)
{
    size_t start = r->at;
    struct bytes text = take_run(r, TEXT, max, "expected text");
    if (!r->failed && !is_text(text)) {
        r->at = start;
        cbor_fail(r, "text is not UTF-8");
        return bytes_of(NULL, 0);
    }
    return text;
}

void cbor_take_string(struct cbor *r, char *out, size_t size)
{
    size_t start = r->at;
    struct bytes text = cbor_take_text(r, size - 1);
    out[0] = '\0';
    if (r->failed)
        return;
    if (text.size > 0 && memchr(text.data, 0, text.size) != NULL) {
        r->at = start;
        cbor_fail(r, "text with NUL inside");
        return;
    }
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

/* Every item takes a byte at least, so a count larger than what is left cannot be true. */
static uint64_t take_count(struct cbor *r, uint8_t major, uint64_t max, const char *expected)
{
    size_t start = r->at;
    uint64_t n = take_head(r, major, expected);
    if (r->failed)
        return 0;
    uint64_t left = r->in.size - r->at;
    if (n > (major == MAP ? left / 2 : left)) {
        r->at = start;
        cbor_fail(r, "more items than the input can hold");
        return 0;
    }
    if (n > max) {
        r->at = start;
        fail_as(r, ERR_LIMIT, "more items than allowed");
        return 0;
    }
    return n;
}

uint64_t cbor_take_array(struct cbor *r, uint64_t max)
{
    return take_count(r, ARRAY, max, "expected an array");
}

uint64_t cbor_take_map(struct cbor *r, uint64_t max)
{
    return take_count(r, MAP, max, "expected a map");
}

struct cid cbor_take_link(struct cbor *r)
{
    struct cid c = {0};
    size_t start = r->at;
    uint64_t tag = take_head(r, TAG, "expected a link");
    if (!r->failed && tag != TAG_CID) {
        r->at = start;
        cbor_fail(r, "a tag other than 42");
        return c;
    }
    struct bytes run = take_run(r, BYTES, SIZE_MAX, "expected the bytes of a link");
    if (r->failed)
        return c;
    if (run.size < 1 || run.data[0] != 0 ||
        cid_decode(bytes_of(run.data + 1, run.size - 1), &c, NULL) != 0) {
        r->at = start;
        cbor_fail(r, "a link that is not a CID");
        return (struct cid){0};
    }
    return c;
}

struct cid cbor_take_link_or_null(struct cbor *r)
{
    if (cbor_peek(r) != CBOR_NULL)
        return cbor_take_link(r);
    cbor_take_null(r);
    return (struct cid){0};
}

bool cbor_take_bool(struct cbor *r)
{
    if (r->failed)
        return false;
    uint8_t first = r->at < r->in.size ? r->in.data[r->at] : 0;
    if (first != (SIMPLE | 20) && first != (SIMPLE | 21)) {
        cbor_fail(r, "expected true or false");
        return false;
    }
    r->at++;
    return first == (SIMPLE | 21);
}

void cbor_take_null(struct cbor *r)
{
    if (r->failed)
        return;
    if (r->at >= r->in.size || r->in.data[r->at] != (SIMPLE | 22))
        cbor_fail(r, "expected null");
    else
        r->at++;
}

double cbor_take_double(struct cbor *r)
{
    if (r->failed)
        return 0;
    if (r->at >= r->in.size || r->in.data[r->at] != (SIMPLE | 27) || r->in.size - r->at < 9) {
        cbor_fail(r, "expected a 64-bit float");
        return 0;
    }
    uint64_t bits = 0;
    for (size_t i = 1; i <= 8; i++)
        bits = bits << 8 | r->in.data[r->at + i];
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) {
        cbor_fail(r, "a float that is not finite");
        return 0;
    }
    r->at += 9;
    return value;
}

double cbor_take_double_or_null(struct cbor *r)
{
    if (cbor_peek(r) != CBOR_NULL)
        return cbor_take_double(r);
    cbor_take_null(r);
    return NAN;
}

bool cbor_try_key(struct cbor *r, const char *key)
{
    if (cbor_peek(r) != CBOR_TEXT)
        return false;
    struct cbor ahead = *r;
    struct bytes found = cbor_take_text(&ahead, SIZE_MAX);
    if (ahead.failed || !bytes_equal(found, bytes_of_text(key)))
        return false;
    r->at = ahead.at;
    return true;
}

void cbor_expect_key(struct cbor *r, const char *key)
{
    if (!r->failed && !cbor_try_key(r, key))
        cbor_fail(r, "not the key that is expected here");
}

/* What an open array or map still owes, and the key before this one. */
struct level {
    uint64_t items; /* left, keys and values counted apart */
    bool map;
    struct bytes key;
};

/* Canonical order: by length, then bytes. */
static bool key_follows(struct bytes before, struct bytes key)
{
    if (before.size != key.size)
        return before.size < key.size;
    return memcmp(before.data, key.data, key.size) < 0;
}

static void take_key(struct cbor *r, struct level *l)
{
    size_t start = r->at;
    struct bytes key = cbor_take_text(r, SIZE_MAX);
    if (r->failed)
        return;
    if (l->key.data != NULL && !key_follows(l->key, key)) {
        r->at = start;
        cbor_fail(r, "map keys not in order, or one twice");
        return;
    }
    l->key = key;
}

/* Takes one item that holds no others; for an array or map, its head, counted in `opened`. */
static void take_one(struct cbor *r, struct level *opened, struct cid *link)
{
    *opened = (struct level){0};
    switch (cbor_peek(r)) {
    case CBOR_UINT:
        take_head(r, UINT, "");
        return;
    case CBOR_NEGATIVE:
        take_head(r, NEGATIVE, "");
        return;
    case CBOR_BYTES:
        cbor_take_bytes(r, SIZE_MAX);
        return;
    case CBOR_TEXT:
        cbor_take_text(r, SIZE_MAX);
        return;
    case CBOR_ARRAY:
        opened->items = cbor_take_array(r, UINT64_MAX);
        return;
    case CBOR_MAP:
        opened->items = 2 * cbor_take_map(r, UINT64_MAX);
        opened->map = true;
        return;
    case CBOR_LINK:
        *link = cbor_take_link(r);
        return;
    case CBOR_NULL:
        cbor_take_null(r);
        return;
    case CBOR_DOUBLE:
        cbor_take_double(r);
        return;
    case CBOR_BOOL:
        cbor_take_bool(r);
        return;
    case CBOR_END:
        cbor_fail(r, "input ends too early");
        return;
    }
}

typedef int link_function(void *self, const struct cid *c, struct err *err);

static int walk_item(struct cbor *r, link_function *on_link, void *self, struct err *err)
{
    struct level stack[CBOR_DEPTH_MAX] = {{.items = 1}};
    size_t depth = 1;
    while (depth > 0 && !r->failed) {
        struct level *l = &stack[depth - 1];
        if (l->items == 0) {
            depth--;
            continue;
        }
        bool key = l->map && l->items % 2 == 0;
        l->items--;
        if (key) {
            take_key(r, l);
            continue;
        }
        struct level opened;
        struct cid link = {0};
        take_one(r, &opened, &link);
        if (opened.items > 0 && depth == CBOR_DEPTH_MAX)
            fail_as(r, ERR_LIMIT, "nested too deep");
        else if (opened.items > 0)
            stack[depth++] = opened;
        if (on_link != NULL && !cid_is_none(&link)) {
            int rc = on_link(self, &link, err);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

struct bytes cbor_take_item(struct cbor *r)
{
    size_t start = r->at;
    if (walk_item(r, NULL, NULL, NULL) != 0 || r->failed)
        return bytes_of(NULL, 0);
    return bytes_of(r->in.data + start, r->at - start);
}

int cbor_finish(struct cbor *r, struct err *err)
{
    if (!r->failed && r->at != r->in.size)
        cbor_fail(r, "bytes behind the end");
    if (r->failed)
        return err_set(err, r->failed, "dag-cbor at offset %zu: %s", r->bad_at, r->why);
    return 0;
}

int cbor_check(struct bytes in, link_function *link, void *self, struct err *err)
{
    struct cbor r = cbor_reader(in);
    int rc = walk_item(&r, link, self, err);
    return rc != 0 ? rc : cbor_finish(&r, err);
}
