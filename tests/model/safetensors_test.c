/* SPDX-License-Identifier: Apache-2.0 */
/* With COLMEIA_VECTORS set to a folder that holds safetensors/manifest.json, every file listed
 * there is read as well: `expect` begins with "ok" if it is valid, and what readers may decide
 * ("policy_...") we refuse. */
#include "tests/scratch.h"

#include <jansson.h>

#include "model/safetensors.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* A header of `json` in memory of exactly its size; the caller frees it. */
static struct bytes head_of(struct bytes json)
{
    uint8_t *head = malloc(8 + json.size);
    assert_non_null(head);
    bytes_put_u64(head, json.size);
    memcpy(head + 8, json.data, json.size);
    return bytes_of(head, 8 + json.size);
}

static int parse(struct bytes json, uint64_t data_bytes, struct safetensors *out, struct err *err)
{
    struct bytes head = head_of(json);
    int rc = safetensors_parse(head, head.size + data_bytes, NULL, out, err);
    free((void *)(uintptr_t)head.data);
    return rc;
}

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #begin        \
    "," #end "]}"

static void test_valid_headers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint64_t data_bytes;
        size_t tensors;
        const char *why;
    } rows[] = {
        {"{}", 0, 0, "nothing"},
        {"{}      ", 0, 0, "padding"},
        {"{" T("a", "F32", "2,3", 0, 24) "}", 24, 1, "one tensor"},
        {"{" T("a", "F64", "", 0, 8) "}", 8, 1, "a scalar"},
        {"{" T("a", "F32", "2,0", 0, 0) "}", 0, 1, "an empty tensor"},
        {"{" T("a", "U8", "3", 0, 3) "," T("b", "F32", "1", 3, 7) "}", 7, 2, "unaligned"},
        {"{" T("b", "U8", "3", 1, 4) "," T("a", "U8", "1", 0, 1) "}", 4, 2,
         "the second lies first"},
        {"{" T("a", "U8", "1", 0, 1) "," T("e", "U8", "0", 1, 1) "," T("b", "U8", "1", 1, 2) "}", 2,
         3, "an empty one in between"},
        {"{" T("a", "U8", "1", 0, 1) "," T("e", "U8", "0", 0, 0) "," T("f", "U8", "0", 1, 1) "}", 1,
         3, "empty ones at both ends"},
        {"{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\\u00e9{[\\n\"}," T("a", "I8", "1", 0,
                                                                           1) "}",
         1, 1, "metadata"},
        {"{" T("a", "I8", "1", 0, 1) ",\"__metadata__\":{}}", 1, 1, "empty metadata, at the end"},
        {"{ \"a\" :\t{ \"shape\" : [ 1 ,\n1 ] , \"data_offsets\":[ 0,2 ],\r\n\"dtype\": \"I16\" } "
         "}",
         2, 1, "white space, another order of fields"},
        {"{" T("\\u0061\\\"\\\\\\/\\ud83d\\ude00", "BOOL", "1", 0, 1) "}", 1, 1, "escapes"},
        {"{" T("__metadata", "U8", "1", 0, 1) "}", 1, 1, "a name like that of the metadata"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct safetensors s;
        struct err err = {0};
        if (parse(bytes_of_text(rows[i].json), rows[i].data_bytes, &s, &err) != 0)
            fail_msg("%s: %s", rows[i].why, err.text);
        assert_int_equal(s.layout->tensor_count, rows[i].tensors);
        assert_int_equal(s.layout->data_bytes, rows[i].data_bytes);
        assert_int_equal(s.data_start, 8 + strlen(rows[i].json));
        safetensors_fini(&s);
    }
}

static void test_names_shapes_and_places_are_what_the_header_says(void **state)
{
    (void)state;
    struct safetensors s;
    static const char json[] = "{" T("n", "I64", "", 0, 8) "," T(
        "\\u0077", "F16", "2,3", 8, 20) "," T("v", "F64", "1", 20, 28) "}";
    assert_int_equal(parse(bytes_of_text(json), 28, &s, NULL), 0);
    static const struct {
        const char *name;
        enum dtype dtype;
        enum use use;
        uint64_t there, here;
    } rows[] = {{"v", DTYPE_F64, USE_MEAN, 20, 0},
                {"n", DTYPE_I64, USE_FIXED, 0, 8},
                {"w", DTYPE_F16, USE_MEAN, 8, 16}};
    for (size_t i = 0; i < 3; i++) {
        const struct tensor *t = &s.layout->tensors[i];
        assert_string_equal(t->name, rows[i].name);
        assert_int_equal(t->dtype, rows[i].dtype);
        assert_int_equal(t->use, rows[i].use);
        assert_int_equal(t->offset, rows[i].here);
        assert_int_equal(s.offsets[i], rows[i].there);
    }
    assert_int_equal(s.layout->tensors[2].rank, 2);
    assert_int_equal(s.layout->tensors[2].shape[0], 2);
    assert_int_equal(s.layout->tensors[2].shape[1], 3);
    safetensors_fini(&s);
}

static const struct {
    const char *json;
    uint64_t data_bytes;
    int rc;
    const char *text; /* part of the sentence: the reason */
} invalid[] = {
    {"", 0, ERR_MALFORMED, "a header begins with a brace"},
    {" {}", 0, ERR_MALFORMED, "a header begins with a brace"},
    {"[]", 0, ERR_MALFORMED, "a header begins with a brace"},
    {"{", 0, ERR_MALFORMED, "expected a string"},
    {"{}\n", 0, ERR_MALFORMED, "bytes behind the end"},
    {"{}{}", 0, ERR_MALFORMED, "bytes behind the end"},
    {"{} ", 1, ERR_MALFORMED, "tensors take 0 bytes, the file holds 1"},
    {"{" T("a", "U8", "1", 0, 1) ",}", 1, ERR_MALFORMED, "expected a string"},
    {"{" T("a", "U8", "1", 0, 1) T("b", "U8", "1", 1, 2) "}", 2, ERR_MALFORMED, "a comma"},
    {"{\"a\":1}", 0, ERR_MALFORMED, "expected an object"},
    {"{\"a\":null}", 0, ERR_MALFORMED, "expected an object"},
    {"{\"a\":[]}", 0, ERR_MALFORMED, "expected an object"},
    {"{\"a\":{}}", 0, ERR_MALFORMED, "a tensor needs dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, ERR_MALFORMED, "a tensor needs"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, ERR_MALFORMED, "a tensor needs"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, ERR_MALFORMED, "a tensor needs"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, ERR_MALFORMED,
     "a field that is not known"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     ERR_MALFORMED, "one twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, ERR_MALFORMED,
     "data_offsets are begin and end"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, ERR_MALFORMED,
     "data_offsets are begin and end"},
    {"{" T("a", "U8", "1", 1, 0) "}", 1, ERR_MALFORMED, "data_offsets are begin and end"},
    {"{" T("a", "U8", "-1", 0, 1) "}", 1, ERR_MALFORMED, "expected a whole number"},
    {"{" T("a", "U8", "1.0", 0, 1) "}", 1, ERR_MALFORMED, "a comma or the end of the array"},
    {"{" T("a", "U8", "1e0", 0, 1) "}", 1, ERR_MALFORMED, "a comma or the end of the array"},
    {"{" T("a", "U8", "01", 0, 1) "}", 1, ERR_MALFORMED, "expected a whole number"},
    {"{" T("a", "U8", "NaN", 0, 1) "}", 1, ERR_MALFORMED, "expected a whole number"},
    {"{" T("a", "U8", "\"1\"", 0, 1) "}", 1, ERR_MALFORMED, "expected a whole number"},
    {"{" T("a", "U8", "[1]", 0, 1) "}", 1, ERR_MALFORMED, "expected a whole number"},
    {"{" T("a", "U8", "18446744073709551616", 0, 1) "}", 1, ERR_MALFORMED, "2^64"},
    {"{" T("a", "F8_E4M3", "1", 0, 1) "}", 1, ERR_UNSUPPORTED, "a dtype that is not known"},
    {"{" T("a", "f32", "1", 0, 4) "}", 4, ERR_UNSUPPORTED, "a dtype that is not known"},
    {"{" T("a", "U8", "1,1,1,1,1,1,1,1,1", 0, 1) "}", 1, ERR_LIMIT, "more dimensions"},
    {"{" T("a", "F32", "2", 0, 4) "}", 4, ERR_MALFORMED,
     "tensor \"a\": data_offsets span 4 bytes, dtype and shape make 8"},
    {"{" T("a", "F32", "", 0, 0) "}", 0, ERR_MALFORMED, "span 0 bytes, dtype and shape make 4"},
    {"{" T("a", "F32", "0", 0, 4) "}", 4, ERR_MALFORMED, "span 4 bytes, dtype and shape make 0"},
    {"{" T("a", "U8", "2,9223372036854775809", 0, 2) "}", 2, ERR_LIMIT, "is larger than"},
    {"{" T("a", "I64", "2305843009213693952", 0, 0) "}", 0, ERR_LIMIT, "is larger than"},
    {"{" T("a", "U8", "1", 0, 1) "," T("a", "U8", "1", 1, 2) "}", 2, ERR_MALFORMED,
     "tensor \"a\" is there twice"},
    {"{" T("a", "U8", "1", 0, 1) "," T("\\u0061", "I8", "1", 1, 2) "}", 2, ERR_MALFORMED,
     "tensor \"a\" is there twice"},
    {"{" T("a", "U8", "1", 0, 1) "," T("b", "U8", "1", 2, 3) "}", 3, ERR_MALFORMED,
     "a hole at data offset 1"},
    {"{" T("a", "U8", "1", 1, 2) "}", 2, ERR_MALFORMED, "a hole at data offset 0"},
    {"{" T("a", "U8", "2", 0, 2) "," T("b", "U8", "2", 1, 3) "}", 3, ERR_MALFORMED,
     "tensors overlap at data offset 1"},
    {"{" T("a", "U8", "2", 0, 2) "," T("b", "U8", "2", 0, 2) "}", 2, ERR_MALFORMED,
     "tensors overlap at data offset 0"},
    {"{" T("a", "U8", "4", 0, 4) "," T("b", "U8", "0", 2, 2) "}", 4, ERR_MALFORMED,
     "tensors overlap at data offset 2"},
    {"{" T("a", "U8", "4", 0, 4) "}", 3, ERR_MALFORMED, "tensors take 4 bytes, the file holds 3"},
    {"{" T("a", "U8", "4", 0, 4) "}", 5, ERR_MALFORMED, "tensors take 4 bytes, the file holds 5"},
    {"{" T("a", "U8", "4", 18446744073709551612, 18446744073709551615) "}", 4, ERR_MALFORMED,
     "a hole at data offset 0"},
    {"{" T("a", "F32", "274877906944,4", 0, 4398046511104) "}", 10, ERR_MALFORMED,
     "tensors take 4398046511104 bytes, the file holds 10"},
    {"{" T("", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "a tensor without a name"},
    {"{" T("a\\u001b[2J", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "a control character"},
    {"{" T("a\\u0000", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "U+0000 in a string"},
    {"{" T("a\n", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "a raw control character"},
    {"{" T("\\ud800", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "half of a surrogate pair"},
    {"{" T("\xff", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "the header is not UTF-8"},
    {"{" T("\xc0\x80", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "the header is not UTF-8"},
    {"{" T("\xed\xa0\x80", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "the header is not UTF-8"},
    {"{\"__metadata__\":{\"a\":1}}", 0, ERR_MALFORMED, "expected a string"},
    {"{\"__metadata__\":{\"a\":{}}}", 0, ERR_MALFORMED, "expected a string"},
    {"{\"__metadata__\":{\"a\":[\"b\"]}}", 0, ERR_MALFORMED, "expected a string"},
    {"{\"__metadata__\":{\"a\":null}}", 0, ERR_MALFORMED, "expected a string"},
    {"{\"__metadata__\":\"a\"}", 0, ERR_MALFORMED, "expected an object"},
    {"{\"__metadata__\":{\"a\":\"\xff\"}}", 0, ERR_MALFORMED, "the header is not UTF-8"},
    {"{\"__metadata__\":{\"a\":\"b\",\"\\u0061\":\"b\"}}", 0, ERR_MALFORMED,
     "a metadata key is there twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, ERR_MALFORMED, "__metadata__ is there twice"},
    {"{" T("__metadata__", "U8", "1", 0, 1) "}", 1, ERR_MALFORMED, "expected a string"},
};

static void test_invalid_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        struct safetensors s = {.data_start = 77};
        struct err err = {0};
        int rc = parse(bytes_of_text(invalid[i].json), invalid[i].data_bytes, &s, &err);
        if (rc != invalid[i].rc || strstr(err.text, invalid[i].text) == NULL)
            fail_msg("%s: %d %s", invalid[i].json, rc, err.text);
        assert_int_equal(s.data_start, 77);
    }
}

static void test_nesting_ends_at_the_depth_of_the_format(void **state)
{
    (void)state;
    static const char *const openings[] = {"{\"__metadata__\":", "{\"a\":", "[",
                                           "{\"a\":{\"shape\":"};
    for (size_t i = 0; i < COUNT(openings); i++) {
        struct buf json = buf_new(SAFETENSORS_HEADER_MAX - 8);
        struct safetensors s;
        buf_append_text(&json, i == 2 ? "{\"a\":" : "");
        while (json.failed == 0)
            buf_append_text(&json, openings[i]);
        assert_int_equal(parse(buf_bytes(&json), 0, &s, NULL), ERR_MALFORMED);
        buf_fini(&json);
    }
}

static void test_lengths_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t length, file_size;
        size_t head_size;
        int rc;
        const char *why;
    } rows[] = {
        {2, 10, 10, 0, "{} alone"},
        {2, 10, 12, ERR_MALFORMED, "more bytes than the file"},
        {2, 10, 9, ERR_MALFORMED, "a header cut short"},
        {2, 9, 9, ERR_MALFORMED, "a file cut in its header"},
        {2, 7, 7, ERR_MALFORMED, "a file cut in the length"},
        {2, 0, 0, ERR_MALFORMED, "an empty file"},
        {0, 10, 10, ERR_MALFORMED, "no header"},
        {1, 10, 10, ERR_MALFORMED, "half a header"},
        {3, 10, 10, ERR_MALFORMED, "longer than the file"},
        {SAFETENSORS_HEADER_MAX - 8, 10, 10, ERR_MALFORMED, "longer than the file"},
        {SAFETENSORS_HEADER_MAX - 7, 1ull << 40, 10, ERR_LIMIT, "longer than allowed"},
        {UINT64_MAX, 10, 10, ERR_LIMIT, "2^64 - 1"},
        {UINT64_MAX - 7, 10, 10, ERR_LIMIT, "0 with the length added"},
        {1ull << 63, UINT64_MAX, 10, ERR_LIMIT, "2^63"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct safetensors s = {0};
        struct err err = {0};
        uint8_t file[12] = "\0\0\0\0\0\0\0\0{}  ", *head = malloc(rows[i].head_size);
        bytes_put_u64(file, rows[i].length);
        memcpy(head, file, rows[i].head_size);
        int rc =
            safetensors_parse(bytes_of(head, rows[i].head_size), rows[i].file_size, NULL, &s, &err);
        if (rc != rows[i].rc)
            fail_msg("%s: %d %s", rows[i].why, rc, err.text);
        safetensors_fini(&s);
        free(head);
    }
}

/* A header of `count` tensors of one byte, or of metadata keys. */
static struct buf many(size_t count, bool metadata)
{
    struct buf json = buf_new(SAFETENSORS_HEADER_MAX - 8);
    buf_append_text(&json, metadata ? "{\"__metadata__\":{" : "{");
    for (size_t i = 0; i < count; i++) {
        buf_append_format(&json, "%s\"%zu\":", i == 0 ? "" : ",", i);
        if (metadata)
            buf_append_text(&json, "\"\"");
        else
            buf_append_format(&json, "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}",
                              i, i + 1);
    }
    buf_append_text(&json, metadata ? "}}" : "}");
    assert_int_equal(buf_check(&json, NULL), 0);
    return json;
}

static void test_tensors_and_metadata_have_limits(void **state)
{
    (void)state;
    for (int metadata = 0; metadata < 2; metadata++) {
        size_t most = metadata ? SAFETENSORS_METADATA_MAX : LAYOUT_TENSORS_MAX;
        struct safetensors s;
        for (size_t more = 0; more < 2; more++) {
            struct buf json = many(most + more, metadata);
            int rc = parse(buf_bytes(&json), metadata ? 0 : most + more, &s, NULL);
            assert_int_equal(rc, more == 0 ? 0 : ERR_LIMIT);
            buf_fini(&json);
            if (rc == 0)
                safetensors_fini(&s);
        }
    }
}

static void test_uses_follow_the_names_of_the_plan(void **state)
{
    (void)state;
    static const char json[] = "{" T("f", "F32", "1", 0, 4) "," T("g", "F32", "1", 4, 8) "," T(
        "n", "I32", "1", 8, 12) "," T("m", "I32", "1", 12, 16) "}";
    static const char *const fixed[] = {"g"}, *const largest[] = {"n"}, *const floats[] = {"f"},
                             *const none[] = {"f", "nothing"}, *const both[] = {"n"};
    static const struct {
        struct safetensors_uses uses;
        int rc;
        const char *text; /* the uses of f, g, m, n, or the sentence */
    } rows[] = {
        {{fixed, 1, largest, 1}, 0, "MFFL"},
        {{NULL, 0, NULL, 0}, 0, "MMFF"},
        {{both, 1, largest, 1}, 0, "MMFF"},
        {{none, 2, NULL, 0}, ERR_USAGE, "safetensors: no tensor \"nothing\" in this model"},
        {{NULL, 0, none, 2}, ERR_USAGE, "safetensors: no tensor \"nothing\" in this model"},
        {{NULL, 0, floats, 1},
         ERR_USAGE,
         "safetensors: tensor \"f\": `largest` is for integers, not F32"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct safetensors s = {0};
        struct err err = {0};
        struct bytes head = head_of(bytes_of_text(json));
        int rc = safetensors_parse(head, head.size + 16, &rows[i].uses, &s, &err);
        free((void *)(uintptr_t)head.data);
        assert_int_equal(rc, rows[i].rc);
        if (rc != 0)
            assert_string_equal(err.text, rows[i].text);
        for (size_t j = 0; rc == 0 && j < 4; j++)
            assert_int_equal("MLF"[s.layout->tensors[j].use], rows[i].text[j]);
        safetensors_fini(&s);
    }
}

/* --- our own form --- */

static struct layout *sample_layout(void)
{
    struct safetensors s;
    static const char json[] =
        "{" T("n", "I64", "", 0, 8) "," T("q\\\"\\\\\\u00e9", "F32", "2,30", 8, 248) "," T(
            "e", "F32", "0", 248, 248) "," T("v", "F64", "1", 248, 256) "}";
    assert_int_equal(parse(bytes_of_text(json), 256, &s, NULL), 0);
    struct layout *l = s.layout;
    s.layout = NULL;
    safetensors_fini(&s);
    return l;
}

static void test_the_canonical_header_is_as_documented_to_the_byte(void **state)
{
    (void)state;
    static const char want[] = "{" T("v", "F64", "1", 0, 8) "," T("n", "I64", "", 8, 16) "," T(
        "e", "F32", "0", 16, 16) "," T("q\\\"\\\\\xc3\xa9", "F32", "2,30", 16, 256) "}";
    struct layout *l = sample_layout();
    struct buf got = buf_new(4096);
    assert_int_equal(safetensors_format(l, &got, NULL), 0);
    assert_int_equal(got.size % SAFETENSORS_ALIGNMENT, 0);
    assert_true(got.size - (8 + sizeof want - 1) < SAFETENSORS_ALIGNMENT);
    assert_int_equal(bytes_get_u64(got.data), got.size - 8);
    assert_memory_equal(got.data + 8, want, sizeof want - 1);
    for (size_t i = 8 + sizeof want - 1; i < got.size; i++)
        assert_int_equal(got.data[i], ' ');

    struct safetensors s;
    assert_int_equal(safetensors_parse(buf_bytes(&got), got.size + 256, NULL, &s, NULL), 0);
    assert_true(s.canonical);
    assert_int_equal(s.data_start, got.size);
    assert_int_equal(layout_compare(l, s.layout, NULL), 0);
    for (size_t i = 0; i < l->tensor_count; i++)
        assert_int_equal(s.offsets[i], l->tensors[i].offset);
    safetensors_fini(&s);
    buf_fini(&got);
    layout_free(l);
}

static void test_a_model_of_nothing_is_one_line_of_64_bytes(void **state)
{
    (void)state;
    struct layout *l;
    struct buf got = buf_new(64);
    assert_int_equal(layout_new(NULL, 0, &l, NULL), 0);
    assert_int_equal(safetensors_format(l, &got, NULL), 0);
    assert_int_equal(got.size, 64);
    assert_memory_equal(got.data, "\x38\0\0\0\0\0\0\0{}    ", 14);
    layout_free(l);
    buf_fini(&got);
}

/* What reads the same but is written otherwise is not canonical. */
static void test_only_our_own_bytes_are_canonical(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{" T("a", "U8", "1", 0, 1) "}",
        "{ " T("a", "U8", "1", 0, 1) "}",
        "{" T("\\u0061", "U8", "1", 0, 1) "}",
        "{\"a\":{\"shape\":[1],\"dtype\":\"U8\",\"data_offsets\":[0,1]}}",
        "{\"__metadata__\":{}," T("a", "U8", "1", 0, 1) "}",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf json = buf_new(256);
        struct safetensors s;
        buf_append_text(&json, rows[i]);
        while ((8 + json.size) % 64 != 0)
            buf_append_byte(&json, ' ');
        for (int more = 0; more < 2; more++) {
            assert_int_equal(parse(buf_bytes(&json), 1, &s, NULL), 0);
            assert_int_equal(s.canonical, i == 0 && more == 0);
            safetensors_fini(&s);
            for (int j = 0; j < 64; j++)
                buf_append_byte(&json, ' ');
        }
        buf_fini(&json);
    }
}

static void test_a_header_past_the_limit_is_not_written(void **state)
{
    (void)state;
    enum {
        N = 4096
    };
    static char names[N][LAYOUT_NAME_MAX + 1];
    static struct tensor in[N];
    struct layout *l;
    struct buf got = buf_new(16u << 20);
    for (size_t i = 0; i < N; i++) {
        memset(names[i], 'n', LAYOUT_NAME_MAX);
        snprintf(names[i], 8, "%06zu", i);
        names[i][6] = 'n';
        in[i] = (struct tensor){.name = names[i], .dtype = DTYPE_F32};
    }
    assert_int_equal(layout_new(in, N, &l, NULL), 0);
    assert_int_equal(safetensors_format(l, &got, NULL), ERR_LIMIT);
    assert_int_equal(got.size, 0);
    layout_free(l);
    assert_int_equal(layout_new(in, N - 1000, &l, NULL), 0);
    assert_int_equal(safetensors_format(l, &got, NULL), 0);
    layout_free(l);
    buf_fini(&got);
}

/* --- damage --- */

/* A header is refused or says something that can be written and read again. */
static void assert_sound(struct bytes json, uint64_t data_bytes, size_t *accepted)
{
    struct safetensors s, again;
    struct buf ours = buf_new(SAFETENSORS_HEADER_MAX);
    struct err err = {0};
    int rc = parse(json, data_bytes, &s, &err);
    if (rc != 0) {
        assert_true(rc == ERR_MALFORMED || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED);
        assert_true(err.text[0] != '\0');
        return;
    }
    ++*accepted;
    assert_int_equal(s.layout->data_bytes, data_bytes);
    assert_int_equal(safetensors_format(s.layout, &ours, NULL), 0);
    assert_int_equal(
        safetensors_parse(buf_bytes(&ours), ours.size + data_bytes, NULL, &again, NULL), 0);
    assert_true(again.canonical);
    assert_int_equal(layout_compare(s.layout, again.layout, NULL), 0);
    safetensors_fini(&again);
    safetensors_fini(&s);
    buf_fini(&ours);
}

static const char fuzzed[] =
    "{\"__metadata__\":{\"k\":\"v\\u00e9\"}," T("b", "I8", "0", 6, 6) "," T(
        "\\ud83d\\ude00\xc3\xa9", "F16", "1,3", 0, 6) "," T("c", "BOOL", "2", 6, 8) "} ";

static void test_every_cut_and_changed_byte_ends_in_an_answer(void **state)
{
    (void)state;
    const size_t size = sizeof fuzzed - 1;
    uint8_t json[sizeof fuzzed];
    size_t accepted = 0;
    memcpy(json, fuzzed, size);
    assert_sound(bytes_of(json, size), 8, &accepted);
    assert_int_equal(accepted, 1);
    for (size_t cut = 0; cut < size - 1; cut++)
        assert_sound(bytes_of(json, cut), 8, &accepted);
    assert_int_equal(accepted, 1);
    for (size_t i = 0; i < size; i++)
        for (int flip = 1; flip < 256; flip++) {
            json[i] = (uint8_t)(json[i] ^ flip);
            assert_sound(bytes_of(json, size), 8, &accepted);
            json[i] = (uint8_t)(json[i] ^ flip);
        }
    assert_true(accepted > 100); /* other names and metadata */
}

/* Bytes left out, doubled, and pieces put elsewhere, by a fixed seed. */
static void test_shuffled_pieces_end_in_an_answer(void **state)
{
    (void)state;
    const size_t size = sizeof fuzzed - 1;
    uint8_t seed[HASH_BYTES] = {3}, json[3 * sizeof fuzzed];
    struct random_stream s;
    size_t accepted = 0;
    random_stream_init(&s, seed);
    for (int turn = 0; turn < 8000; turn++) {
        size_t used = 0;
        for (size_t at = 0; at < size;) {
            size_t run = 1 + (size_t)random_stream_below(&s, size / 2);
            size_t from =
                random_stream_below(&s, 4) == 0 ? (size_t)random_stream_below(&s, size) : at;
            at += run;
            if (run > size - from)
                run = size - from;
            if (used + run > sizeof json)
                break;
            memcpy(json + used, fuzzed + from, run);
            used += run;
        }
        assert_sound(bytes_of(json, used), 8, &accepted);
    }
    assert_true(accepted > 0);
}

/* --- files --- */

/* A file in nobody's order, with metadata; tensor "w" is larger than the copying buffer. */
enum {
    W = 700000,
    N = 3,
    V = 5
};

static struct bytes write_foreign(const char *path)
{
    struct buf file = buf_new(8u << 20);
    buf_append_format(&file,
                      "--------{\"__metadata__\":{\"format\":\"np\"},"
                      "\"n\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
                      "\"w\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[%d,%d]},"
                      "\"v\":{\"dtype\":\"F64\",\"shape\":[%d],\"data_offsets\":[%d,%d]}}",
                      N, N, W, N, N + 4 * W, V, N + 4 * W, N + 4 * W + 8 * V);
    bytes_put_u64(file.data, file.size - 8);
    uint8_t *data = stream_bytes("foreign", N + 4 * W + 8 * V);
    buf_append(&file, data, N + 4 * W + 8 * V);
    assert_int_equal(buf_check(&file, NULL), 0);
    write_file(path, buf_bytes(&file));
    buf_fini(&file);
    return bytes_of(data, N + 4 * W + 8 * V);
}

static int open_model(const char *path, struct safetensors *out, struct err *err)
{
    int fd;
    assert_int_equal(files_posix()->open(NULL, path, FILES_READ, &fd, NULL), 0);
    int rc = safetensors_open(files_posix(), fd, NULL, out, err);
    files_posix()->close(NULL, fd);
    return rc;
}

static void test_a_rewritten_file_is_canonical_and_holds_the_same_tensors(void **state)
{
    (void)state;
    struct bytes data = write_foreign(in_scratch("foreign"));
    struct safetensors s;
    assert_int_equal(
        safetensors_rewrite(files_posix(), in_scratch("foreign"), in_scratch("ours"), NULL, NULL),
        0);
    assert_int_equal(open_model(in_scratch("ours"), &s, NULL), 0);
    assert_true(s.canonical);
    struct buf file = read_file(in_scratch("ours"));
    const uint8_t *at = file.data + s.data_start;
    assert_int_equal(file.size, s.data_start + data.size);
    assert_memory_equal(at, data.data + N + 4 * W, 8 * V);
    assert_memory_equal(at + 8 * V, data.data + N, 4 * W);
    assert_memory_equal(at + 8 * V + 4 * W, data.data, N);
    safetensors_fini(&s);

    assert_int_equal(
        safetensors_rewrite(files_posix(), in_scratch("ours"), in_scratch("again"), NULL, NULL), 0);
    struct buf again = read_file(in_scratch("again"));
    assert_true(bytes_equal(buf_bytes(&file), buf_bytes(&again)));
    buf_fini(&again);
    buf_fini(&file);
    free((void *)(uintptr_t)data.data);
}

static void test_a_file_is_not_written_over(void **state)
{
    (void)state;
    struct bytes data = write_foreign(in_scratch("foreign"));
    write_file(in_scratch("kept"), bytes_of_text("kept"));
    assert_int_equal(
        safetensors_rewrite(files_posix(), in_scratch("foreign"), in_scratch("kept"), NULL, NULL),
        ERR_EXISTS);
    struct buf kept = read_file(in_scratch("kept"));
    assert_string_equal(buf_text(&kept), "kept");
    buf_fini(&kept);
    free((void *)(uintptr_t)data.data);
}

static void test_a_disk_that_fails_leaves_no_file(void **state)
{
    (void)state;
    struct bytes data = write_foreign(in_scratch("foreign"));
    int rc = ERR_IO;
    unsigned at = 1;
    for (; rc != 0; at++) {
        struct flaky f;
        struct err err = {0};
        flaky_init(&f);
        f.fail_at = at;
        f.table.unlink = files_posix()->unlink; /* what tidies up may work */
        rc = safetensors_rewrite(&f.table, in_scratch("foreign"), in_scratch("new"), NULL, &err);
        assert_int_equal(files_exists(files_posix(), in_scratch("new")), rc == 0);
        if (rc != 0)
            assert_non_null(strstr(err.text, "failed by the test"));
        else
            assert_string_equal(f.log, "WWWWWWS"); /* header, v, w in three, n, sync */
    }
    assert_int_equal(at, 9);
    free((void *)(uintptr_t)data.data);
}

static void test_a_file_cut_anywhere_is_malformed(void **state)
{
    (void)state;
    struct buf file = buf_new(1024);
    struct layout *l = sample_layout();
    assert_int_equal(safetensors_format(l, &file, NULL), 0);
    memset(buf_extend(&file, l->data_bytes), 7, l->data_bytes);
    for (size_t cut = 0; cut <= file.size; cut++) {
        struct safetensors s = {0};
        write_file(in_scratch("cut"), bytes_of(file.data, cut));
        int rc = open_model(in_scratch("cut"), &s, NULL);
        assert_int_equal(rc, cut == file.size ? 0 : ERR_MALFORMED);
        safetensors_fini(&s);
    }
    layout_free(l);
    buf_fini(&file);
}

static void test_a_bad_file_is_named(void **state)
{
    (void)state;
    struct err err;
    char want[320];
    write_file(in_scratch("bad"), bytes_of("\2\0\0\0\0\0\0\0[]", 10));
    assert_int_equal(
        safetensors_rewrite(files_posix(), in_scratch("bad"), in_scratch("to"), NULL, &err),
        ERR_MALFORMED);
    snprintf(want, sizeof want, "%s: safetensors: JSON at offset 0: a header begins with a brace",
             in_scratch("bad"));
    assert_string_equal(err.text, want);
    assert_false(files_exists(files_posix(), in_scratch("to")));
    assert_int_equal(
        safetensors_rewrite(files_posix(), in_scratch("none"), in_scratch("to"), NULL, &err),
        ERR_NOTFOUND);
}

/* --- vectors of others --- */

static const char *vectors;

static void test_verdicts_agree_with_the_vectors(void **state)
{
    (void)state;
    char path[FILES_PATH_MAX];
    json_error_t json_error;
    size_t i;
    json_t *item;
    snprintf(path, sizeof path, "%s/safetensors/manifest.json", vectors);
    json_t *manifest = json_load_file(path, 0, &json_error);
    if (manifest == NULL)
        fail_msg("%s: %s", path, json_error.text);
    assert_true(json_array_size(manifest) > 0);
    json_array_foreach(manifest, i, item)
    {
        const char *file = json_string_value(json_object_get(item, "file"));
        const char *expect = json_string_value(json_object_get(item, "expect"));
        struct safetensors s = {0};
        struct err err = {0};
        assert_true(file != NULL && expect != NULL);
        snprintf(path, sizeof path, "%s/safetensors/%s", vectors, file);
        bool valid = strncmp(expect, "ok", 2) == 0;
        bool read = open_model(path, &s, &err) == 0;
        if (read != valid)
            fail_msg("%s: expected \"%s\", %s%s", file, expect,
                     read ? "was read" : "refused: ", err.text);
        safetensors_fini(&s);
    }
    json_decref(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_headers_are_read),
        cmocka_unit_test(test_names_shapes_and_places_are_what_the_header_says),
        cmocka_unit_test(test_invalid_headers_are_refused),
        cmocka_unit_test(test_nesting_ends_at_the_depth_of_the_format),
        cmocka_unit_test(test_lengths_that_cannot_be_are_refused),
        cmocka_unit_test(test_tensors_and_metadata_have_limits),
        cmocka_unit_test(test_uses_follow_the_names_of_the_plan),
        cmocka_unit_test(test_the_canonical_header_is_as_documented_to_the_byte),
        cmocka_unit_test(test_a_model_of_nothing_is_one_line_of_64_bytes),
        cmocka_unit_test(test_only_our_own_bytes_are_canonical),
        cmocka_unit_test(test_a_header_past_the_limit_is_not_written),
        cmocka_unit_test(test_every_cut_and_changed_byte_ends_in_an_answer),
        cmocka_unit_test(test_shuffled_pieces_end_in_an_answer),
        cmocka_unit_test_setup_teardown(
            test_a_rewritten_file_is_canonical_and_holds_the_same_tensors, scratch_setup,
            scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_is_not_written_over, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_disk_that_fails_leaves_no_file, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_cut_anywhere_is_malformed, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_bad_file_is_named, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_verdicts_agree_with_the_vectors), /* last: left out without vectors */
    };
    vectors = getenv("COLMEIA_VECTORS");
    size_t count = COUNT(tests) - (vectors == NULL ? 1 : 0);
    return _cmocka_run_group_tests("safetensors", tests, count, NULL, NULL);
}
