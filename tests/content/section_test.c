/* SPDX-License-Identifier: Apache-2.0 */
#include "content/pack.h"
#include "content/section.h"
#include "tests/scratch.h"

#define BLOCKS    5
#define BLOCK_MAX 1000

struct seen {
    size_t count;
    struct cid cids[BLOCKS];
    uint8_t data[BLOCKS][BLOCK_MAX];
    size_t sizes[BLOCKS];
    size_t refuse_at; /* 1-based; 0: none */
};

static int see(void *self, const struct cid *cid, struct bytes data, struct err *err)
{
    struct seen *s = self;
    if (s->refuse_at != 0 && s->count + 1 == s->refuse_at)
        return err_set(err, ERR_DENIED, "not this one");
    assert_true(s->count < BLOCKS);
    s->cids[s->count] = *cid;
    s->sizes[s->count] = data.size;
    memcpy(s->data[s->count++], data.data, data.size);
    return 0;
}

static const size_t block_sizes[BLOCKS] = {1, 0, 127, 500, BLOCK_MAX};

static struct bytes block_of(size_t i)
{
    static uint8_t data[BLOCKS][BLOCK_MAX];
    memset(data[i], (int)('a' + i), BLOCK_MAX);
    return bytes_of(data[i], block_sizes[i]);
}

static struct buf a_stream(void)
{
    struct buf stream = buf_new(1 << 20);
    for (size_t i = 0; i < BLOCKS; i++) {
        uint8_t head[PACK_SECTION_HEAD_MAX];
        struct cid cid = cid_of(CID_RAW, block_of(i));
        buf_append(&stream, head, pack_section_head(&cid, (uint32_t)block_sizes[i], head));
        buf_append(&stream, block_of(i).data, block_sizes[i]);
    }
    assert_int_equal(buf_check(&stream, NULL), 0);
    return stream;
}

/* Feeds in pieces of `piece` bytes; the code of add, or of finish. */
static int feed(struct bytes stream, size_t piece, struct seen *seen)
{
    struct section_reader *r;
    assert_int_equal(section_reader_new(BLOCK_MAX, see, seen, &r, NULL), 0);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < stream.size; at += piece) {
        size_t part = stream.size - at < piece ? stream.size - at : piece;
        rc = section_reader_add(r, bytes_of(stream.data + at, part), NULL);
    }
    if (rc == 0)
        rc = section_reader_finish(r, NULL);
    section_reader_free(r);
    return rc;
}

static void test_pieces_of_any_size_give_the_same_blocks(void **state)
{
    (void)state;
    struct buf stream = a_stream();
    for (size_t piece = 1; piece <= stream.size; piece = piece < 130 ? piece + 1 : piece * 2) {
        struct seen seen = {0};
        assert_int_equal(feed(buf_bytes(&stream), piece, &seen), 0);
        assert_int_equal(seen.count, BLOCKS);
        for (size_t i = 0; i < BLOCKS; i++) {
            struct cid cid = cid_of(CID_RAW, block_of(i));
            assert_true(cid_equal(&seen.cids[i], &cid));
            assert_int_equal(seen.sizes[i], block_sizes[i]);
            assert_memory_equal(seen.data[i], block_of(i).data, block_sizes[i]);
        }
    }
    buf_fini(&stream);
}

static void test_a_cut_loses_one_block_at_most(void **state)
{
    (void)state;
    struct buf stream = a_stream();
    size_t end = 0, whole = 0;
    for (size_t cut = 0; cut <= stream.size; cut++) {
        uint8_t head[PACK_SECTION_HEAD_MAX];
        struct seen seen = {0};
        if (whole < BLOCKS) {
            struct cid cid = cid_of(CID_RAW, block_of(whole));
            size_t next = end + pack_section_head(&cid, (uint32_t)block_sizes[whole], head) +
                          block_sizes[whole];
            if (cut == next) {
                end = next;
                whole++;
            }
        }
        int rc = feed(bytes_of(stream.data, cut), 64, &seen);
        assert_int_equal(rc, cut == end ? 0 : ERR_MALFORMED);
        assert_int_equal(seen.count, whole);
    }
    assert_int_equal(whole, BLOCKS);
    buf_fini(&stream);
}

static void test_no_flipped_bit_gets_a_wrong_block_through(void **state)
{
    (void)state;
    struct buf stream = a_stream();
    for (size_t bit = 0; bit < stream.size * 8; bit += 5) {
        struct seen seen = {0};
        stream.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = feed(buf_bytes(&stream), stream.size, &seen);
        /* A flipped codec (raw to another) is another CID of the same bytes: that one is true. */
        for (size_t i = 0; i < seen.count; i++)
            assert_int_equal(cid_verify(&seen.cids[i], bytes_of(seen.data[i], seen.sizes[i]), NULL),
                             0);
        assert_true(rc == 0 || rc == ERR_MALFORMED || rc == ERR_LIMIT);
        stream.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_fini(&stream);
}

#define RAW_1 "01551220 1111111111111111111111111111111111111111111111111111111111111111"

static const struct {
    const char *hex;
    int code;
    const char *why;
} bad_streams[] = {
    {"00", ERR_MALFORMED, "a length of zero"},
    {"8000", ERR_MALFORMED, "zero in two bytes"},
    {"a500", ERR_MALFORMED, "a length longer than it need be"},
    {"ffffffffffffffffff01", ERR_MALFORMED, "a length of too many bytes"},
    {"ffffffff0f", ERR_LIMIT, "4 GiB"},
    {"9008", ERR_LIMIT, "one byte more than CID and block may have"},
    {"25" RAW_1 "00", ERR_MALFORMED, "bytes that do not hash to the CID"},
    {"0401551220", ERR_MALFORMED, "a CID cut short"},
    {"0500000000 00", ERR_MALFORMED, "not a CID"},
};

static void test_bad_streams_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_streams / sizeof bad_streams[0]; i++) {
        uint8_t stream[128];
        struct seen seen = {0};
        size_t size = from_hex(bad_streams[i].hex, stream, sizeof stream);
        int rc = feed(bytes_of(stream, size), size, &seen);
        if (rc != bad_streams[i].code || seen.count != 0)
            fail_msg("%s: %s", bad_streams[i].why, err_name(rc));
    }
}

static void test_a_block_over_the_limit_is_refused_whatever_its_cid_takes(void **state)
{
    (void)state;
    static uint8_t big[BLOCK_MAX + 1];
    uint8_t head[PACK_SECTION_HEAD_MAX];
    struct buf stream = buf_new(1 << 20);
    struct cid cid = cid_of(CID_RAW, bytes_of(big, sizeof big));
    buf_append(&stream, head, pack_section_head(&cid, sizeof big, head));
    buf_append(&stream, big, sizeof big);
    struct seen seen = {0};
    assert_int_equal(feed(buf_bytes(&stream), 100, &seen), ERR_LIMIT);
    buf_fini(&stream);
}

static void test_what_the_taker_refuses_ends_the_stream_for_good(void **state)
{
    (void)state;
    struct buf stream = a_stream();
    struct seen seen = {.refuse_at = 3};
    struct section_reader *r;
    struct err err = {0};
    assert_int_equal(section_reader_new(BLOCK_MAX, see, &seen, &r, NULL), 0);
    assert_int_equal(section_reader_add(r, buf_bytes(&stream), &err), ERR_DENIED);
    assert_string_equal(err.text, "not this one");
    assert_int_equal(seen.count, 2);
    seen.refuse_at = 0;
    assert_int_equal(section_reader_add(r, buf_bytes(&stream), NULL), ERR_DENIED);
    assert_int_equal(section_reader_finish(r, NULL), ERR_DENIED);
    assert_int_equal(seen.count, 2);
    section_reader_free(r);
    buf_fini(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_size_give_the_same_blocks),
        cmocka_unit_test(test_a_cut_loses_one_block_at_most),
        cmocka_unit_test(test_no_flipped_bit_gets_a_wrong_block_through),
        cmocka_unit_test(test_bad_streams_are_refused),
        cmocka_unit_test(test_a_block_over_the_limit_is_refused_whatever_its_cid_takes),
        cmocka_unit_test(test_what_the_taker_refuses_ends_the_stream_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
