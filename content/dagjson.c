/* SPDX-License-Identifier: Apache-2.0 */
#include "content/dagjson.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/cbor.h"
#include "content/dagjson_text.h"
#include "content/dagpb.h"

/* --- writing --- */

/* Calls itself a level at a time, CBOR_DEPTH_MAX deep at most: the block was checked. */
static int put_item(struct cbor *r, struct buf *out, struct err *err);

struct pair {
    struct bytes key, value;
};

static int by_key(const void *a, const void *b)
{
    const struct bytes *x = &((const struct pair *)a)->key, *y = &((const struct pair *)b)->key;
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : x->size < y->size ? -1 : x->size > y->size;
}

/* dag-cbor has its keys by length first, dag-json by bytes alone. */
static int put_map(struct cbor *r, struct buf *out, struct err *err)
{
    size_t count = (size_t)cbor_take_map(r, UINT32_MAX);
    struct pair *pairs = calloc(count + 1, sizeof *pairs);
    if (pairs == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        pairs[i].key = cbor_take_text(r, SIZE_MAX);
        pairs[i].value = cbor_take_item(r);
    }
    qsort(pairs, count, sizeof *pairs, by_key);
    int rc = 0;
    buf_append_byte(out, '{');
    for (size_t i = 0; i < count && rc == 0 && out->failed == 0; i++) {
        struct cbor value = cbor_reader(pairs[i].value);
        if (i > 0)
            buf_append_byte(out, ',');
        dagjson_text_string(out, pairs[i].key);
        buf_append_byte(out, ':');
        rc = put_item(&value, out, err);
    }
    buf_append_byte(out, '}');
    free(pairs);
    return rc;
}

static int put_array(struct cbor *r, struct buf *out, struct err *err)
{
    uint64_t count = cbor_take_array(r, UINT64_MAX);
    int rc = 0;
    buf_append_byte(out, '[');
    for (uint64_t i = 0; i < count && rc == 0 && out->failed == 0; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        rc = put_item(r, out, err);
    }
    buf_append_byte(out, ']');
    return rc;
}

/* -1 - n, where n may be all of 64 bits: the reader has no type for that. */
static void put_negative(struct cbor *r, struct buf *out)
{
    struct bytes item = cbor_take_item(r);
    uint64_t n = item.size == 1 ? item.data[0] & 0x1f : 0;
    for (size_t i = 1; i < item.size; i++)
        n = n << 8 | item.data[i];
    if (n == UINT64_MAX)
        buf_append_text(out, "-18446744073709551616");
    else
        buf_append_format(out, "-%llu", (unsigned long long)(n + 1));
}

static int put_item(struct cbor *r, struct buf *out, struct err *err)
{
    struct cid link;
    switch (cbor_peek(r)) {
    case CBOR_UINT:
        buf_append_format(out, "%llu", (unsigned long long)cbor_take_uint(r, UINT64_MAX));
        break;
    case CBOR_NEGATIVE:
        put_negative(r, out);
        break;
    case CBOR_BYTES:
        dagjson_text_bytes(out, cbor_take_bytes(r, SIZE_MAX));
        break;
    case CBOR_TEXT:
        dagjson_text_string(out, cbor_take_text(r, SIZE_MAX));
        break;
    case CBOR_ARRAY:
        return put_array(r, out, err);
    case CBOR_MAP:
        return put_map(r, out, err);
    case CBOR_LINK:
        link = cbor_take_link(r);
        dagjson_text_link(out, &link);
        break;
    case CBOR_BOOL:
        buf_append_text(out, cbor_take_bool(r) ? "true" : "false");
        break;
    case CBOR_NULL:
        cbor_take_null(r);
        buf_append_text(out, "null");
        break;
    case CBOR_DOUBLE:
        dagjson_text_double(out, cbor_take_double(r));
        break;
    case CBOR_END:
        return err_set(err, ERR_MALFORMED, "dag-cbor: input ends too early");
    }
    return 0;
}

static int put_pb(struct bytes block, struct buf *out, struct err *err)
{
    struct dagpb_node node;
    int rc = dagpb_decode(block, &node, err);
    if (rc != 0)
        return rc;
    buf_append_byte(out, '{');
    if (node.has_data) {
        buf_append_text(out, "\"Data\":");
        dagjson_text_bytes(out, node.data);
        buf_append_byte(out, ',');
    }
    buf_append_text(out, "\"Links\":[");
    for (size_t i = 0; i < node.link_count && out->failed == 0; i++) {
        buf_append_text(out, i > 0 ? ",{\"Hash\":" : "{\"Hash\":");
        dagjson_text_link(out, &node.links[i].cid);
        buf_append_text(out, ",\"Name\":");
        dagjson_text_string(out, node.links[i].name);
        buf_append_format(out, ",\"Tsize\":%llu}", (unsigned long long)node.links[i].total_bytes);
    }
    buf_append_text(out, "]}");
    dagpb_node_fini(&node);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Calls itself a level at a time, DAGJSON_DEPTH_MAX deep at most. */
static int put_json(const json_t *value, struct buf *out, struct err *err);

static int put_object(const json_t *object, struct buf *out, struct err *err)
{
    json_t *mutable = (json_t *)(uintptr_t)object; /* the library iterates over non-const only */
    size_t count = 0;
    const char **keys = calloc(json_object_size(object) + 1, sizeof *keys);
    if (keys == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (void *at = json_object_iter(mutable); at != NULL; at = json_object_iter_next(mutable, at))
        keys[count++] = json_object_iter_key(at);
    qsort(keys, count, sizeof *keys, by_text);
    int rc = 0;
    buf_append_byte(out, '{');
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        dagjson_text_string(out, bytes_of_text(keys[i]));
        buf_append_byte(out, ':');
        rc = put_json(json_object_get(object, keys[i]), out, err);
    }
    buf_append_byte(out, '}');
    free(keys);
    return rc;
}

static int put_json(const json_t *value, struct buf *out, struct err *err)
{
    int rc = 0;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(value, out, err);
    case JSON_ARRAY:
        buf_append_byte(out, '[');
        for (size_t i = 0; i < json_array_size(value) && rc == 0; i++) {
            if (i > 0)
                buf_append_byte(out, ',');
            rc = put_json(json_array_get(value, i), out, err);
        }
        buf_append_byte(out, ']');
        return rc;
    case JSON_STRING:
        dagjson_text_string(out, bytes_of(json_string_value(value), json_string_length(value)));
        return 0;
    case JSON_INTEGER:
        buf_append_format(out, "%lld", (long long)json_integer_value(value));
        return 0;
    case JSON_REAL:
        dagjson_text_double(out, json_real_value(value));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_append_text(out, json_is_true(value) ? "true" : "false");
        return 0;
    case JSON_NULL:
        buf_append_text(out, "null");
        return 0;
    }
    return 0;
}

/* --- reading dag-json --- */

/* Is the value a link, {"/":"CID"} and nothing else? `text` is what stands for the CID. */
static bool is_link(const json_t *value, const char **text)
{
    if (!json_is_object(value) || json_object_size(value) != 1)
        return false;
    const json_t *inner = json_object_get(value, "/");
    *text = json_string_value(inner);
    return *text != NULL;
}

/* {"/":{"bytes":"..."}}: one value, with no places in it. */
static bool is_bytes(const json_t *value)
{
    const json_t *inner = json_object_size(value) == 1 ? json_object_get(value, "/") : NULL;
    return json_object_size(inner) == 1 && json_is_string(json_object_get(inner, "bytes"));
}

/* Counts what the parser would build, before it does. Text inside strings is passed over. */
static int check_size(struct bytes in, struct err *err)
{
    size_t depth = 0, items = 1;
    bool inside = false;
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        if (inside) {
            i += c == '\\';
            inside = c != '"';
            continue;
        }
        inside = c == '"';
        bool opens = c == '[' || c == '{';
        depth += opens;
        depth -= (c == ']' || c == '}') && depth > 0;
        items += opens || c == ',';
        if (depth > DAGJSON_DEPTH_MAX)
            return err_set(err, ERR_LIMIT, "dag-json at offset %zu: nested deeper than %d", i,
                           DAGJSON_DEPTH_MAX);
        if (items > DAGJSON_ITEMS_MAX)
            return err_set(err, ERR_LIMIT, "dag-json at offset %zu: more than %u items", i,
                           DAGJSON_ITEMS_MAX);
    }
    return 0;
}

static const char *why(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_premature_end_of_input:
        return "input ends too early";
    case json_error_end_of_input_expected:
        return "bytes behind the end";
    case json_error_invalid_utf8:
        return "text is not UTF-8";
    case json_error_duplicate_key:
        return "a map key twice";
    case json_error_numeric_overflow:
        return "a number out of range";
    case json_error_null_byte_in_key:
        return "a map key with NUL inside";
    default:
        return "not JSON";
    }
}

/* Calls `each` (may be NULL) for every link below `value`, itself one perhaps. Calls itself a level
 * at a time, DAGJSON_DEPTH_MAX deep at most. */
static int each_link(json_t *value,
                     int (*each)(void *self, const struct cid *link, struct err *err), void *self,
                     struct err *err)
{
    struct cid cid;
    const char *text;
    int rc = 0;
    if (is_link(value, &text)) {
        if (strlen(text) != json_string_length(json_object_get(value, "/")))
            return err_set(err, ERR_MALFORMED, "dag-json: a link with NUL inside");
        rc = cid_parse(text, &cid, err);
        if (rc != 0)
            return err_wrap(err, ERR_MALFORMED, "dag-json");
        return each == NULL ? 0 : each(self, &cid, err);
    }
    for (void *at = json_object_iter(value); at != NULL && rc == 0;
         at = json_object_iter_next(value, at))
        rc = each_link(json_object_iter_value(at), each, self, err);
    for (size_t i = 0; i < json_array_size(value) && rc == 0; i++)
        rc = each_link(json_array_get(value, i), each, self, err);
    return rc;
}

/* The whole block as a tree, each of its links a CID. */
static int load(struct bytes block, json_t **out, struct err *err)
{
    json_error_t bad;
    int rc = check_size(block, err);
    if (rc != 0)
        return rc;
    json_t *root = json_loadb((const char *)block.data, block.size,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &bad);
    if (root == NULL && json_error_code(&bad) == json_error_out_of_memory)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (root == NULL)
        return err_set(err, ERR_MALFORMED, "dag-json at offset %d: %s", bad.position, why(&bad));
    rc = each_link(root, NULL, NULL, err);
    if (rc == 0)
        *out = root;
    else
        json_decref(root);
    return rc;
}

int dagjson_each_link(struct bytes block,
                      int (*each)(void *self, const struct cid *link, struct err *err), void *self,
                      struct err *err)
{
    json_t *root;
    int rc = load(block, &root, err);
    if (rc != 0)
        return rc;
    rc = each_link(root, each, self, err);
    json_decref(root);
    return rc;
}

/* --- a place inside a block --- */

struct place {
    json_t *root, *value; /* dag-json */
    struct cbor item;     /* dag-cbor: at the value, which is sound */
};

static bool next_segment(const char *path, size_t *used, struct bytes *out)
{
    const char *at = path + *used + strspn(path + *used, "/");
    *out = bytes_of(at, strcspn(at, "/"));
    if (out->size == 0)
        return false;
    *used = (size_t)(at - path) + out->size;
    return true;
}

static bool parse_index(struct bytes segment, uint64_t *out)
{
    if (segment.size > 9 || (segment.size > 1 && segment.data[0] == '0'))
        return false;
    *out = 0;
    for (size_t i = 0; i < segment.size; i++) {
        if (segment.data[i] < '0' || segment.data[i] > '9')
            return false;
        *out = *out * 10 + (segment.data[i] - '0');
    }
    return true;
}

static bool enter_json(struct place *p, struct bytes segment)
{
    uint64_t index;
    if (json_is_array(p->value))
        p->value = parse_index(segment, &index) ? json_array_get(p->value, (size_t)index) : NULL;
    else if (is_bytes(p->value))
        p->value = NULL;
    else
        p->value = json_object_getn(p->value, (const char *)segment.data, segment.size);
    return p->value != NULL;
}

static bool enter_cbor(struct cbor *r, struct bytes segment)
{
    uint64_t index;
    if (cbor_peek(r) == CBOR_ARRAY) {
        uint64_t count = cbor_take_array(r, UINT64_MAX);
        if (!parse_index(segment, &index) || index >= count)
            return false;
        for (; index > 0; index--)
            (void)cbor_take_item(r);
        return true;
    }
    uint64_t pairs = cbor_peek(r) == CBOR_MAP ? cbor_take_map(r, UINT64_MAX) : 0;
    for (; pairs > 0; pairs--) {
        if (bytes_equal(cbor_take_text(r, SIZE_MAX), segment))
            return true;
        (void)cbor_take_item(r);
    }
    return false;
}

/* Does a link stand here? */
static bool at_link(struct place *p, struct cid *out)
{
    const char *text;
    if (p->root != NULL)
        return is_link(p->value, &text) && cid_parse(text, out, NULL) == 0;
    if (cbor_peek(&p->item) != CBOR_LINK)
        return false;
    struct cbor ahead = p->item;
    *out = cbor_take_link(&ahead);
    return true;
}

/* Follows `path` as far as the first link. */
static int follow(struct place *p, const char *path, struct cid *link, size_t *used,
                  struct err *err)
{
    struct bytes segment;
    *used = 0;
    *link = (struct cid){0};
    for (;;) {
        if (at_link(p, link))
            return 0;
        if (!next_segment(path, used, &segment)) {
            *used = strlen(path);
            return 0;
        }
        if (!(p->root != NULL ? enter_json(p, segment) : enter_cbor(&p->item, segment)))
            return err_set(err, ERR_NOTFOUND,
                           "nothing in the block where the first %zu bytes of its "
                           "path lead",
                           *used);
    }
}

static int open_place(uint32_t codec, struct bytes block, struct place *out, struct err *err)
{
    *out = (struct place){.item = cbor_reader(block)};
    if (codec == CID_DAG_CBOR)
        return cbor_check(block, NULL, NULL, err);
    if (codec != CID_DAG_JSON)
        return err_set(err, ERR_UNSUPPORTED, "a block of codec 0x%x holds no data model", codec);
    int rc = load(block, &out->root, err);
    out->value = out->root;
    return rc;
}

int dagjson_follow(const struct cid *cid, struct bytes block, const char *path, struct cid *link,
                   size_t *used, struct err *err)
{
    struct place p;
    struct cid found;
    size_t taken;
    int rc = open_place(cid_codec(cid), block, &p, err);
    if (rc == 0)
        rc = follow(&p, path, &found, &taken, err);
    if (rc == 0) {
        *link = found;
        *used = taken;
    }
    json_decref(p.root);
    return rc;
}

/* raw and dag-pb: no places inside. */
static int format_whole(uint32_t codec, struct bytes block, const char *path, struct buf *out,
                        struct err *err)
{
    if (path[strspn(path, "/")] != '\0')
        return err_set(err, ERR_NOTFOUND, "a block of codec 0x%x has no places inside", codec);
    if (codec == CID_DAG_PB)
        return put_pb(block, out, err);
    dagjson_text_bytes(out, block);
    return 0;
}

static int format_place(uint32_t codec, struct bytes block, const char *path, struct buf *out,
                        struct err *err)
{
    struct place p;
    struct cid link;
    size_t used;
    int rc = open_place(codec, block, &p, err);
    if (rc == 0)
        rc = follow(&p, path, &link, &used, err);
    if (rc == 0 && path[used + strspn(path + used, "/")] != '\0')
        rc = err_set(err, ERR_NOTFOUND, "the path leads out of the block, through a link");
    if (rc == 0)
        rc = p.root != NULL ? put_json(p.value, out, err) : put_item(&p.item, out, err);
    json_decref(p.root);
    return rc;
}

int dagjson_format(const struct cid *cid, struct bytes block, const char *path, struct buf *out,
                   struct err *err)
{
    uint32_t codec = cid_codec(cid);
    int rc = codec == CID_RAW || codec == CID_DAG_PB ? format_whole(codec, block, path, out, err)
                                                     : format_place(codec, block, path, out, err);
    return rc != 0 ? rc : buf_check(out, err);
}
