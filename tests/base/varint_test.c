/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/varint.h"

/* From the multiformats unsigned-varint specification and the protobuf encoding page; the last two
 * by hand. */
static const struct {
    uint64_t value;
    const char *bytes;
    size_t size;
} known[] = {
    {0, "\x00", 1},
    {1, "\x01", 1},
    {127, "\x7f", 1},
    {128, "\x80\x01", 2},
    {150, "\x96\x01", 2},
    {255, "\xff\x01", 2},
    {300, "\xac\x02", 2},
    {16383, "\xff\x7f", 2},
    {16384, "\x80\x80\x01", 3},
    {INT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9},
    {1ull << 63, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10},
    {UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
};

static void test_known_values_are_written_and_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct bytes expected = bytes_of(known[i].bytes, known[i].size);
        uint8_t at[VARINT_PROTO_BYTES_MAX];
        struct buf b = buf_new(16);
        uint64_t value = 7;
        assert_int_equal(varint_size(known[i].value), known[i].size);
        assert_true(bytes_equal(bytes_of(at, varint_write(at, known[i].value)), expected));
        varint_put(&b, known[i].value);
        assert_true(bytes_equal(buf_bytes(&b), expected));
        assert_int_equal(varint_take(expected, VARINT_PROTO_BYTES_MAX, &value), known[i].size);
        assert_true(value == known[i].value);
        buf_fini(&b);
    }
}

static void test_every_power_of_two_and_its_neighbours_come_back(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (uint64_t value = (1ull << bit) - 1; value != (1ull << bit) + 2; value++) {
            uint8_t at[VARINT_PROTO_BYTES_MAX + 1];
            uint64_t back = ~value;
            size_t size = varint_write(at, value);
            at[size] = 0x55; /* what stands behind it is not looked at */
            assert_int_equal(size, varint_size(value));
            assert_int_equal(varint_take(bytes_of(at, size + 1), VARINT_PROTO_BYTES_MAX, &back),
                             size);
            assert_true(back == value);
            bool fits = value <= INT64_MAX;
            assert_int_equal(varint_take(bytes_of(at, size), VARINT_BYTES_MAX, &back),
                             fits ? size : 0);
            for (size_t cut = 0; cut < size; cut++)
                assert_int_equal(varint_take(bytes_of(at, cut), VARINT_PROTO_BYTES_MAX, &back), 0);
        }
}

static void test_every_other_form_is_refused_and_leaves_the_value(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size, bytes_max;
        const char *why;
    } bad[] = {
        {"", 0, VARINT_BYTES_MAX, "nothing"},
        {"\x80", 1, VARINT_BYTES_MAX, "cut short"},
        {"\xff\xff", 2, VARINT_BYTES_MAX, "cut short"},
        {"\x80\x00", 2, VARINT_BYTES_MAX, "0 in two bytes"},
        {"\x81\x00", 2, VARINT_BYTES_MAX, "1 in two bytes"},
        {"\x81\x80\x00", 3, VARINT_PROTO_BYTES_MAX, "1 in three bytes"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 10, VARINT_PROTO_BYTES_MAX, "2^63 - 1 in ten"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, VARINT_BYTES_MAX, "ten bytes of nine"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, VARINT_PROTO_BYTES_MAX, "65 bits"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, VARINT_PROTO_BYTES_MAX, "70 bits"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11, VARINT_PROTO_BYTES_MAX, "eleven"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11, 20, "eleven, whatever is allowed"},
        {"\xac\x02", 2, 1, "two bytes where one is allowed"},
        {"\x01", 1, 0, "one byte where none is"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t value = 77;
        size_t n = varint_take(bytes_of(bad[i].bytes, bad[i].size), bad[i].bytes_max, &value);
        if (n != 0 || value != 77)
            fail_msg("%s: %zu bytes taken", bad[i].why, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values_are_written_and_read),
        cmocka_unit_test(test_every_power_of_two_and_its_neighbours_come_back),
        cmocka_unit_test(test_every_other_form_is_refused_and_leaves_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
