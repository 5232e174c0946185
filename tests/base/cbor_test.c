/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "base/cbor.h"

static struct cid some_cid(const char *text)
{
    return cid_of(CID_RAW, bytes_of_text(text));
}

/* {v: 1, sig: h'010203', prev: link, round: 7, weights: 0.5}, keys by length, then bytes. */
static void write_sample(struct buf *b, const struct cid *prev)
{
    cbor_put_map(b, 5);
    cbor_put_text(b, "v");
    cbor_put_uint(b, 1);
    cbor_put_text(b, "sig");
    cbor_put_bytes(b, bytes_of("\1\2\3", 3));
    cbor_put_text(b, "prev");
    cbor_put_link(b, prev);
    cbor_put_text(b, "round");
    cbor_put_uint(b, 7);
    cbor_put_text(b, "weights");
    cbor_put_double(b, 0.5);
}

static void test_a_map_is_written_to_the_byte(void **state)
{
    (void)state;
    struct cid prev = some_cid("prev");
    struct buf b = buf_new(1024), expected = buf_new(1024);
    write_sample(&b, &prev);
    buf_append(&expected, "\xa5\x61v\x01\x63sig\x43\x01\x02\x03\x64prev\xd8\x2a\x58\x25\x00", 22);
    buf_append(&expected, prev.bytes, prev.size);
    buf_append(&expected, "\x65round\x07\x67weights\xfb\x3f\xe0\0\0\0\0\0\0", 24);
    assert_true(bytes_equal(buf_bytes(&b), buf_bytes(&expected)));
    struct err err;
    assert_int_equal(cbor_check(buf_bytes(&b), NULL, NULL, &err), 0);
    buf_fini(&b);
    buf_fini(&expected);
}

static void test_what_was_written_is_read_back(void **state)
{
    (void)state;
    struct cid prev = some_cid("prev");
    struct buf b = buf_new(1024);
    write_sample(&b, &prev);
    struct cbor r = cbor_reader(buf_bytes(&b));
    assert_int_equal(cbor_take_map(&r, 5), 5);
    cbor_expect_key(&r, "v");
    assert_int_equal(cbor_take_uint(&r, 1), 1);
    assert_false(cbor_try_key(&r, "prev"));
    assert_true(cbor_try_key(&r, "sig"));
    assert_true(bytes_equal(cbor_take_bytes(&r, 3), bytes_of("\1\2\3", 3)));
    cbor_expect_key(&r, "prev");
    struct cid back = cbor_take_link(&r);
    assert_true(cid_equal(&back, &prev));
    cbor_expect_key(&r, "round");
    assert_int_equal(cbor_take_uint(&r, 10), 7);
    cbor_expect_key(&r, "weights");
    assert_true(cbor_take_double(&r) == 0.5);
    struct err err;
    assert_int_equal(cbor_finish(&r, &err), 0);
    buf_fini(&b);
}

static void test_integers_are_read_back_at_every_boundary(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX};
    struct err err;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct buf b = buf_new(64);
        cbor_put_uint(&b, values[i]);
        cbor_put_int(&b, -1 - (int64_t)values[i]);
        struct cbor r = cbor_reader(buf_bytes(&b));
        assert_true(cbor_take_uint(&r, UINT64_MAX) == values[i]);
        assert_true(cbor_take_int(&r) == -1 - (int64_t)values[i]);
        assert_int_equal(cbor_finish(&r, &err), 0);
        buf_fini(&b);
    }
}

static void test_a_value_that_is_not_finite_is_written_as_null(void **state)
{
    (void)state;
    struct buf b = buf_new(64);
    cbor_put_double(&b, NAN);
    cbor_put_double(&b, -INFINITY);
    assert_true(bytes_equal(buf_bytes(&b), bytes_of("\xf6\xf6", 2)));
    struct cbor r = cbor_reader(buf_bytes(&b));
    assert_true(isnan(cbor_take_double_or_null(&r)));
    buf_fini(&b);
}

/* IPLD dag-cbor: one encoding for one value. */
static void test_every_other_encoding_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *why;
    } bad[] = {
        {"", 0, "nothing"},
        {"\x01\x01", 2, "a second item"},
        {"\x18\x17", 2, "23 in two bytes"},
        {"\x19\x00\xff", 3, "255 in three bytes"},
        {"\x1a\x00\x00\xff\xff", 5, "65535 in five bytes"},
        {"\x1b\0\0\0\0\xff\xff\xff\xff", 9, "2^32-1 in nine bytes"},
        {"\x58\x01x", 3, "a length not in its shortest form"},
        {"\x5f\x41x\xff", 4, "bytes of indefinite length"},
        {"\x9f\x01\xff", 3, "an array of indefinite length"},
        {"\x1c", 1, "a reserved head"},
        {"\x42x", 2, "bytes cut short"},
        {"\x5b\x40\0\0\0\0\0\0\0", 9, "bytes of 2^62"},
        {"\x9b\x40\0\0\0\0\0\0\0", 9, "an array of 2^62"},
        {"\xbb\x40\0\0\0\0\0\0\0", 9, "a map of 2^62"},
        {"\x82\x01", 2, "an array cut short"},
        {"\xa1\x61v", 3, "a key without a value"},
        {"\xa1\x01\x01", 3, "a key that is not text"},
        {"\xa2\x61v\x01\x61v\x02", 7, "a key twice"},
        {"\xa2\x61w\x01\x61v\x02", 7, "keys of one length out of order"},
        {"\xa2\x62vv\x01\x61v\x02", 8, "a longer key first"},
        {"\x62\xc3\x28", 3, "text that is not UTF-8"},
        {"\x63\x00\xff\x61", 4, "text that is not UTF-8 behind a NUL"},
        {"\xf9\x3c\x00", 3, "a 16-bit float"},
        {"\xfa\x3f\x80\0\0", 5, "a 32-bit float"},
        {"\xfb\x7f\xf0\0\0\0\0\0\0", 9, "infinity"},
        {"\xfb\x7f\xf8\0\0\0\0\0\0", 9, "NaN"},
        {"\xf7", 1, "undefined"},
        {"\xf8\x20", 2, "another simple value"},
        {"\xc1\x01", 2, "a tag other than 42"},
        {"\xd8\x2a\x01", 3, "a link that is no bytes"},
        {"\xd8\x2a\x41\x00", 4, "a link to nothing"},
        {"\xd8\x2a\x40", 3, "a link without its zero"},
        {"\xd9\x00\x2a\x41\x00", 5, "tag 42 not in its shortest form"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err;
        int rc = cbor_check(bytes_of(bad[i].bytes, bad[i].size), NULL, NULL, &err);
        if (rc != ERR_MALFORMED)
            fail_msg("%s: %d", bad[i].why, rc);
        if (strstr(err.text, "offset") == NULL)
            fail_msg("%s: \"%s\" names no offset", bad[i].why, err.text);
    }
}

static void test_nesting_without_end_is_refused(void **state)
{
    (void)state;
    uint8_t deep[4096];
    struct err err;
    memset(deep, 0x81, sizeof deep); /* arrays of one array of one array... */
    deep[sizeof deep - 1] = 0x01;
    assert_int_not_equal(cbor_check(bytes_of(deep, sizeof deep), NULL, NULL, &err), 0);
    size_t within = CBOR_DEPTH_MAX;
    assert_int_equal(cbor_check(bytes_of(deep + sizeof deep - within, within), NULL, NULL, &err),
                     0);
}

static void test_text_with_nul_is_text_but_no_string(void **state)
{
    (void)state;
    const uint8_t in[] = {0x63, 'a', 0, 'b'};
    char out[8] = "x";
    assert_int_equal(cbor_check(bytes_of(in, sizeof in), NULL, NULL, NULL), 0);
    struct cbor r = cbor_reader(bytes_of(in, sizeof in));
    assert_int_equal(cbor_take_text(&r, SIZE_MAX).size, 3);
    r = cbor_reader(bytes_of(in, sizeof in));
    cbor_take_string(&r, out, sizeof out);
    assert_int_equal(cbor_finish(&r, NULL), ERR_MALFORMED);
    assert_string_equal(out, "");
}

static int count_link(void *self, const struct cid *c, struct err *err)
{
    (void)c;
    (void)err;
    size_t *count = self;
    return ++*count == 3 ? ERR_EXISTS : 0;
}

static void test_every_link_is_told_and_the_teller_may_stop(void **state)
{
    (void)state;
    struct buf b = buf_new(1024);
    struct cid c = some_cid("x");
    size_t count = 0;
    struct err err;
    cbor_put_array(&b, 2);
    cbor_put_link(&b, &c);
    cbor_put_array(&b, 1);
    cbor_put_link(&b, &c);
    assert_int_equal(cbor_check(buf_bytes(&b), count_link, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(cbor_check(buf_bytes(&b), count_link, &count, &err), ERR_EXISTS);
    buf_fini(&b);
}

static void test_a_reader_fails_once_and_stays_failed(void **state)
{
    (void)state;
    struct cbor r = cbor_reader(bytes_of("\x82\x01\x02", 3));
    struct err err;
    cbor_take_array(&r, 2);
    cbor_take_text(&r, 10); /* it is an integer */
    assert_int_equal(r.failed, ERR_MALFORMED);
    assert_int_equal(r.bad_at, 1);
    assert_int_equal(cbor_take_uint(&r, 10), 0);
    assert_int_equal(cbor_peek(&r), CBOR_END);
    assert_int_equal(cbor_finish(&r, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "offset 1"));
}

static void test_named_limits_are_kept(void **state)
{
    (void)state;
    struct err err;
    struct cbor r = cbor_reader(bytes_of("\x43xyz", 4));
    cbor_take_bytes(&r, 2);
    assert_int_equal(cbor_finish(&r, &err), ERR_LIMIT);
    r = cbor_reader(bytes_of("\x83\x01\x01\x01", 4));
    cbor_take_array(&r, 2);
    assert_int_equal(cbor_finish(&r, &err), ERR_LIMIT);
    r = cbor_reader(bytes_of("\x0a", 1));
    cbor_take_uint(&r, 9);
    assert_int_equal(cbor_finish(&r, &err), ERR_MALFORMED);
}

static void test_no_cut_and_no_flip_is_taken_for_the_whole(void **state)
{
    (void)state;
    struct cid prev = some_cid("prev");
    struct buf b = buf_new(1024);
    struct err err;
    write_sample(&b, &prev);
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *cut = malloc(n + 1); /* its own memory, so that a sanitizer sees a read past it */
        assert_non_null(cut);
        memcpy(cut, b.data, n);
        assert_int_equal(cbor_check(bytes_of(cut, n), NULL, NULL, &err), ERR_MALFORMED);
        free(cut);
    }
    for (size_t bit = 0; bit < 8 * b.size; bit++) { /* may be valid, may not; never a crash */
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = cbor_check(buf_bytes(&b), NULL, NULL, &err);
        assert_true(rc == 0 || rc == ERR_MALFORMED || rc == ERR_LIMIT);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_map_is_written_to_the_byte),
        cmocka_unit_test(test_what_was_written_is_read_back),
        cmocka_unit_test(test_integers_are_read_back_at_every_boundary),
        cmocka_unit_test(test_a_value_that_is_not_finite_is_written_as_null),
        cmocka_unit_test(test_every_other_encoding_is_refused),
        cmocka_unit_test(test_nesting_without_end_is_refused),
        cmocka_unit_test(test_text_with_nul_is_text_but_no_string),
        cmocka_unit_test(test_every_link_is_told_and_the_teller_may_stop),
        cmocka_unit_test(test_a_reader_fails_once_and_stays_failed),
        cmocka_unit_test(test_named_limits_are_kept),
        cmocka_unit_test(test_no_cut_and_no_flip_is_taken_for_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
