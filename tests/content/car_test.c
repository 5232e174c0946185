/* SPDX-License-Identifier: Apache-2.0 */
#include "content/car.h"

#include "base/varint.h"
#include "content/block_source.h"
#include "tests/scratch.h"

#define BLOCKS_MAX 16
#define V2_INDEX   "an index of another form, passed over"

struct seen {
    bool headed;
    struct car_header h;
    struct cid roots[4];
    size_t count;
    struct cid cids[BLOCKS_MAX];
    struct buf data;
    uint64_t offsets[BLOCKS_MAX];
};

static int see_header(void *self, const struct car_header *h, struct err *err)
{
    struct seen *s = self;
    (void)err;
    assert_false(s->headed);
    s->headed = true;
    s->h = *h;
    for (size_t i = 0; i < h->root_count && i < 4; i++)
        s->roots[i] = h->roots[i];
    return 0;
}

static int see_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                     struct err *err)
{
    struct seen *s = self;
    (void)err;
    assert_true(s->headed && s->count < BLOCKS_MAX);
    s->cids[s->count] = *cid;
    s->offsets[s->count++] = offset;
    buf_append(&s->data, data.data, data.size);
    buf_append_byte(&s->data, '|');
    return 0;
}

static void seen_fini(struct seen *s)
{
    buf_fini(&s->data);
}

struct how {
    size_t piece; /* bytes a piece; 0: all at once */
    bool trust;
};

/* The code of add or else of finish; `piece` bytes at a time. Ends the reader. */
static int feed_reader(struct car_reader *r, struct bytes stream, size_t piece, struct err *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < stream.size; at += piece) {
        size_t part = stream.size - at < piece ? stream.size - at : piece;
        rc = car_reader_add(r, bytes_of(stream.data + at, part), err);
    }
    if (rc != 0) /* sticky */
        assert_int_equal(car_reader_add(r, bytes_of_text("x"), NULL), rc);
    int end = car_reader_finish(r, rc == 0 ? err : NULL);
    if (rc != 0)
        assert_int_equal(end, rc);
    car_reader_free(r);
    return end;
}

static int feed(struct bytes stream, struct how how, struct seen *seen, struct err *err)
{
    struct car_reader *r;
    *seen = (struct seen){.data = buf_new(64u << 20)};
    assert_int_equal(car_reader_new(see_header, see_block, seen, &r, NULL), 0);
    if (how.trust)
        car_reader_trust(r);
    return feed_reader(r, stream, how.piece == 0 ? stream.size : how.piece, err);
}

static void put_section(struct buf *out, const struct cid *cid, struct bytes data)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    buf_append(out, head, car_section_head(cid, data.size, head));
    buf_append(out, data.data, data.size);
}

static void put_block(struct buf *out, const char *text)
{
    struct cid cid = cid_of(CID_RAW, bytes_of_text(text));
    put_section(out, &cid, bytes_of_text(text));
}

/* A root, three blocks (one of them empty, one twice). */
static struct buf a_car(void)
{
    struct buf b = buf_new(1u << 20);
    struct cid root = cid_of(CID_RAW, bytes_of_text("one"));
    car_put_header(&b, &root, 1);
    put_block(&b, "one");
    put_block(&b, "");
    put_block(&b, "three and more");
    put_block(&b, "one");
    assert_int_equal(buf_check(&b, NULL), 0);
    return b;
}

static struct buf a_v2(struct bytes payload, uint64_t at, uint64_t size, uint64_t index_at)
{
    static const uint8_t pragma[] = {0x0a, 0xa1, 0x67, 'v', 'e', 'r', 's', 'i', 'o', 'n', 0x02};
    struct buf b = buf_new(1u << 20);
    uint8_t header[40] = {0};
    bytes_put_u64(header + 16, at);
    bytes_put_u64(header + 24, size);
    bytes_put_u64(header + 32, index_at);
    buf_append(&b, pragma, sizeof pragma);
    buf_append(&b, header, sizeof header);
    while (b.size < at && b.size < 4096)
        buf_append_byte(&b, 0);
    buf_append(&b, payload.data, payload.size);
    return b;
}

static void assert_a_car(const struct seen *s)
{
    struct cid root = cid_of(CID_RAW, bytes_of_text("one"));
    assert_int_equal(s->h.root_count, 1);
    assert_true(cid_equal(&s->roots[0], &root));
    assert_int_equal(s->count, 4);
    assert_true(bytes_equal(buf_bytes(&s->data), bytes_of_text("one||three and more|one|")));
    assert_true(cid_equal(&s->cids[0], &root) && cid_equal(&s->cids[3], &root));
}

/* --- reading what is right --- */

static void test_pieces_of_any_size_give_the_same_blocks(void **state)
{
    (void)state;
    struct buf v1 = a_car();
    struct buf v2 = a_v2(buf_bytes(&v1), 51, v1.size, 60 + v1.size);
    buf_append_text(&v2, "123456789" V2_INDEX);
    const struct buf *streams[] = {&v1, &v2};
    for (size_t i = 0; i < 2; i++)
        for (size_t piece = 1; piece <= streams[i]->size; piece++)
            for (int trust = 0; trust < 2; trust++) {
                struct seen s;
                struct how how = {.piece = piece, .trust = trust};
                assert_int_equal(feed(buf_bytes(streams[i]), how, &s, NULL), 0);
                assert_int_equal(s.h.version, i + 1);
                assert_a_car(&s);
                assert_int_equal(s.offsets[0], (i == 0 ? 0 : 51) + CAR_HEADER_V1_BYTES);
                assert_int_equal(s.offsets[1], s.offsets[0] + 1 + 36 + 3);
                seen_fini(&s);
            }
    buf_fini(&v1);
    buf_fini(&v2);
}

/* The block's bytes are the piece's own where it lies whole in one: what makes reading fast. */
static int look_where(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                      struct err *err)
{
    struct bytes *piece = self;
    (void)cid;
    (void)offset;
    (void)err;
    assert_true(data.data > piece->data && data.data <= piece->data + piece->size);
    return 0;
}

static void test_a_block_whole_in_a_piece_is_not_copied(void **state)
{
    (void)state;
    struct buf b = a_car();
    struct bytes piece = buf_bytes(&b);
    struct car_reader *r;
    assert_int_equal(car_reader_new(NULL, look_where, &piece, &r, NULL), 0);
    assert_int_equal(car_reader_add(r, piece, NULL), 0);
    assert_int_equal(car_reader_finish(r, NULL), 0);
    car_reader_free(r);
    buf_fini(&b);
}

/* Headers of the CARv1 specification, byte for byte, and as @ipld/car and go-car write them. */
static void test_headers_are_those_of_the_specification(void **state)
{
    (void)state;
    struct cid v1 = cid_of(CID_DAG_PB, bytes_of_text("x")), v0 = cid_as_v0(&v1), empty;
    assert_int_equal(cid_parse("bafkqaaa", &empty, NULL), 0);
    const struct {
        const struct cid *root;
        size_t size;
        const char *start;
    } rows[] = {
        {&v1, 59, "3aa265726f6f747381d82a582500"},
        {&v0, 57, "38a265726f6f747381d82a582300"},
        {&empty, 26, "19a265726f6f747381d82a45000155000067"},
        {NULL, 18, "11a265726f6f7473806776657273696f6e01"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = buf_new(1000);
        uint8_t start[64];
        size_t size = from_hex(rows[i].start, start, sizeof start);
        car_put_header(&b, rows[i].root, rows[i].root != NULL);
        assert_int_equal(b.size, rows[i].size);
        assert_memory_equal(b.data, start, size);
        struct seen s;
        assert_int_equal(feed(buf_bytes(&b), (struct how){0}, &s, NULL), 0);
        assert_int_equal(s.h.root_count, rows[i].root != NULL);
        assert_int_equal(s.count, 0);
        seen_fini(&s);
        buf_fini(&b);
    }
}

static void test_many_roots_are_written_and_read(void **state)
{
    (void)state;
    static struct cid roots[CAR_ROOTS_MAX + 1];
    for (size_t i = 0; i <= CAR_ROOTS_MAX; i++)
        roots[i] = cid_of(CID_RAW, bytes_of(&i, sizeof i));
    static const struct {
        size_t count;
        int code;
    } rows[] = {{2, 0},
                {23, 0},
                {24, 0},
                {255, 0},
                {256, 0},
                {CAR_ROOTS_MAX, 0},
                {CAR_ROOTS_MAX + 1, ERR_LIMIT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = buf_new(1u << 20);
        struct seen s;
        car_put_header(&b, roots, rows[i].count);
        assert_int_equal(feed(buf_bytes(&b), (struct how){0}, &s, NULL), rows[i].code);
        if (rows[i].code == 0)
            assert_int_equal(s.h.root_count, rows[i].count);
        seen_fini(&s);
        buf_fini(&b);
    }
}

static void test_any_valid_cid_names_a_section(void **state)
{
    (void)state;
    struct bytes data = bytes_of_text("hello");
    struct cid v1 = cid_of(CID_DAG_PB, data), v0 = cid_as_v0(&v1), identity;
    static const uint8_t inline_bytes[] = {1, 0x55, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    assert_int_equal(cid_decode(bytes_of(inline_bytes, 9), &identity, NULL), 0);
    const struct cid *cids[] = {&v1, &v0, &identity};
    struct buf b = buf_new(1000);
    car_put_header(&b, NULL, 0);
    for (size_t i = 0; i < 3; i++)
        put_section(&b, cids[i], data);
    for (size_t piece = 0; piece < b.size; piece++) {
        struct seen s;
        assert_int_equal(feed(buf_bytes(&b), (struct how){.piece = piece}, &s, NULL), 0);
        assert_int_equal(s.count, 3);
        for (size_t i = 0; i < 3; i++)
            assert_true(cid_equal(&s.cids[i], cids[i]));
        assert_true(bytes_equal(buf_bytes(&s.data), bytes_of_text("hello|hello|hello|")));
        seen_fini(&s);
    }
    buf_fini(&b);
}

/* --- cut and flipped --- */

static void test_a_stream_cut_anywhere_but_between_sections_is_noticed(void **state)
{
    (void)state;
    struct buf b = a_car();
    size_t whole = 0;
    for (size_t size = 0; size <= b.size; size++) {
        struct seen s;
        struct err err = {0};
        int rc = feed(bytes_of(b.data, size), (struct how){.piece = 7}, &s, &err);
        if (rc == 0) {
            whole++;
        } else {
            char at[64];
            assert_int_equal(rc, ERR_MALFORMED);
            snprintf(at, sizeof at, "ends at offset %zu,", size);
            assert_non_null(strstr(err.text, at));
        }
        seen_fini(&s);
    }
    assert_int_equal(whole, 5); /* behind the header and behind each of four sections */
    buf_fini(&b);
}

static void test_a_v2_cut_anywhere_before_its_index_is_noticed(void **state)
{
    (void)state;
    struct buf v1 = a_car();
    struct buf b = a_v2(buf_bytes(&v1), 64, v1.size, 64 + v1.size);
    buf_append_text(&b, V2_INDEX);
    for (size_t size = 0; size <= b.size; size++) {
        struct seen s;
        int rc = feed(bytes_of(b.data, size), (struct how){.piece = 13}, &s, NULL);
        assert_int_equal(rc, size <= 64 + v1.size ? ERR_MALFORMED : 0);
        seen_fini(&s);
    }
    buf_fini(&v1);
    buf_fini(&b);
}

static void test_a_flipped_bit_never_passes_for_the_same_blocks(void **state)
{
    (void)state;
    struct buf b = a_car();
    for (size_t bit = CAR_HEADER_V1_BYTES * 8; bit < b.size * 8; bit++) {
        struct seen s;
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = feed(buf_bytes(&b), (struct how){0}, &s, NULL);
        /* One bit of a CID's codec gives another name to the same bytes; nothing else passes. */
        if (rc == 0) {
            bool renamed = false;
            for (size_t i = 0; i < s.count; i++)
                renamed = renamed || cid_codec(&s.cids[i]) != CID_RAW;
            assert_true(renamed);
        }
        seen_fini(&s);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_fini(&b);
}

/* --- hostile --- */

static void test_a_block_that_is_not_its_cid_is_refused_with_its_offset(void **state)
{
    (void)state;
    struct buf b = a_car();
    struct seen s;
    struct err err = {0};
    b.data[b.size - 1] ^= 1;
    assert_int_equal(feed(buf_bytes(&b), (struct how){.piece = 5}, &s, &err), ERR_MALFORMED);
    assert_int_equal(s.count, 3);
    assert_non_null(strstr(err.text, "section at offset 187"));
    seen_fini(&s);
    /* Who hashes himself gets it as it is. */
    assert_int_equal(feed(buf_bytes(&b), (struct how){.trust = true}, &s, &err), 0);
    assert_int_equal(s.count, 4);
    seen_fini(&s);
    buf_fini(&b);
}

static void expect_hex(const char *hex, int code, const char *why)
{
    uint8_t bytes[512];
    struct seen s;
    struct err err = {0};
    size_t size = from_hex(hex, bytes, sizeof bytes);
    int rc = feed(bytes_of(bytes, size), (struct how){.piece = 1}, &s, &err);
    if (rc != code || strstr(err.text, why) == NULL)
        fail_msg("%s: expected %d %s, got %d %s", hex, code, why, rc, err.text);
    seen_fini(&s);
}

#define NO_ROOTS "11a265726f6f7473806776657273696f6e01 "

static void test_attack_13_malformed_headers(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int code;
        const char *why;
    } rows[] = {
        {"", ERR_MALFORMED, "ends at offset 0"},
        {"00", ERR_MALFORMED, "bad or empty length"},                   /* a header of nothing */
        {"9100", ERR_MALFORMED, "bad or empty length"},                 /* 17 in two bytes */
        {"ffffffffffffffffff01", ERR_MALFORMED, "bad or empty length"}, /* ten bytes */
        {"ffffffffffffffff7f", ERR_LIMIT, "9223372036854775807 bytes"}, /* a giant */
        {"818004", ERR_LIMIT, "65537 bytes, more than 65536"},          /* one past the limit */
        {"01a0", ERR_MALFORMED, "CAR header at offset 0"},              /* no keys at all */
        {"0a a1 65726f6f7473 80 0000", ERR_MALFORMED, "CAR header"},    /* no version */
        {"0aa16776657273696f6e01", ERR_MALFORMED, "without roots"},     /* v1 that names no list */
        {"0aa16776657273696f6e03", ERR_UNSUPPORTED, "version 3"},
        {"11a265726f6f7473806776657273696f6e02", ERR_MALFORMED, "version 2 with"},
        {"11a265726f6f7473806776657273696f6e05", ERR_UNSUPPORTED, "version 5"},
        {"11a26776657273696f6e0165726f6f747380", ERR_MALFORMED, "CAR header"}, /* keys' order */
        {"11a265726f6f7473a06776657273696f6e01", ERR_MALFORMED, "CAR header"}, /* roots: a map */
        {"12a265726f6f7473 8101 6776657273696f6e01", ERR_MALFORMED, "CAR header"},  /* root 1 */
        {"12a265726f6f7473 80 6776657273696f6e01 00", ERR_MALFORMED, "CAR header"}, /* and a byte */
        {"12a265726f6f7473 9800 6776657273696f6e01", ERR_MALFORMED,
         "CAR header"}, /* not shortest */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_hex(rows[i].hex, rows[i].code, rows[i].why);
}

static void test_attack_13_malformed_section_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int code;
        const char *why;
    } rows[] = {
        {NO_ROOTS "00", ERR_MALFORMED, "bad or empty length"},
        {NO_ROOTS "a500", ERR_MALFORMED, "bad or empty length"},            /* 37 in two bytes */
        {NO_ROOTS "80808080808080808001", ERR_MALFORMED, "bad or empty"},   /* 2^63: ten bytes */
        {NO_ROOTS "ffffffffffffffff7f", ERR_LIMIT, "section at offset 18"}, /* 2^63 - 1 */
        {NO_ROOTS "90818001", ERR_LIMIT, "2097296 bytes, more than 2097295"},
        {NO_ROOTS "0101", ERR_MALFORMED, "section at offset 18"},       /* half a CID */
        {NO_ROOTS "04ffffffff", ERR_MALFORMED, "section at offset 18"}, /* no CID */
        {NO_ROOTS "25", ERR_MALFORMED, "ends at offset 19"},
        {NO_ROOTS "0401550000 616263", ERR_MALFORMED, "ends at offset 26"}, /* trailing bytes */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_hex(rows[i].hex, rows[i].code, rows[i].why);
}

static void test_attack_13_a_block_may_be_2_mib_and_no_more(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("car_test", BLOCK_BYTES_MAX + 1);
    for (size_t extra = 0; extra < 2; extra++) {
        struct bytes block = bytes_of(data, BLOCK_BYTES_MAX + extra);
        struct cid cid = cid_of(CID_RAW, block);
        struct buf b = buf_new(8u << 20);
        struct seen s;
        car_put_header(&b, NULL, 0);
        put_section(&b, &cid, block);
        assert_int_equal(feed(buf_bytes(&b), (struct how){.piece = 1 << 16}, &s, NULL),
                         extra == 0 ? 0 : ERR_LIMIT);
        assert_int_equal(s.count, 1 - extra);
        seen_fini(&s);
        buf_fini(&b);
    }
    free(data);
}

static void test_attack_13_zero_roots_and_duplicate_blocks_are_allowed(void **state)
{
    (void)state;
    struct buf b = buf_new(1000);
    struct seen s;
    car_put_header(&b, NULL, 0);
    for (int i = 0; i < 3; i++)
        put_block(&b, "again");
    assert_int_equal(feed(buf_bytes(&b), (struct how){0}, &s, NULL), 0);
    assert_int_equal(s.h.root_count, 0);
    assert_int_equal(s.count, 3);
    seen_fini(&s);
    buf_fini(&b);
}

static void test_attack_13_a_v2_header_that_lies(void **state)
{
    (void)state;
    struct buf v1 = a_car();
    uint64_t size = v1.size, end = 51 + size;
    const struct {
        uint64_t at, size, index_at;
        int code;
        const char *why;
    } rows[] = {
        {51, size, 0, 0, ""},
        {500, size, 0, 0, ""},                             /* a gap is allowed */
        {50, size, 0, ERR_MALFORMED, "inside the header"}, /* before the header's end */
        {0, size, 0, ERR_MALFORMED, "inside the header"},
        {51, 0, 0, ERR_MALFORMED, "payload of 0 bytes"},
        {51, 17, 0, ERR_MALFORMED, "payload of 17 bytes"}, /* no header fits */
        {51, UINT64_MAX, 0, ERR_MALFORMED, "payload of"},  /* the end wraps round */
        {51, UINT64_MAX - 51, 0, ERR_MALFORMED, "payload of"},
        {UINT64_MAX, size, 0, ERR_MALFORMED, "payload of"},
        {1ull << 62, size, 0, ERR_MALFORMED, "ends at offset"},  /* a gap without an end */
        {51, size + 1, 0, ERR_MALFORMED, "its payload goes to"}, /* larger than the stream */
        {51, 1ull << 62, 0, ERR_MALFORMED, "its payload goes to"},
        {51, size - 1, 0, ERR_MALFORMED, "reaches past"},       /* ends inside a section */
        {51, 60, 0, ERR_MALFORMED, "reaches past"},             /* behind a length's byte */
        {51, 59, 0, ERR_MALFORMED, "bytes behind the payload"}, /* sections behind it */
        {51, 40, 0, ERR_MALFORMED, "reaches past"},             /* the header does not fit */
        {51, size, end - 1, ERR_MALFORMED, "inside the payload"},
        {51, size, 1, ERR_MALFORMED, "inside the payload"},
        {51, size, end, ERR_MALFORMED, "before its index"}, /* promised, not there */
        {51, size, UINT64_MAX, ERR_MALFORMED, "before its index"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t piece = 0; piece < 12; piece++) {
            struct buf b = a_v2(buf_bytes(&v1), rows[i].at, rows[i].size, rows[i].index_at);
            struct seen s;
            struct err err = {0};
            int rc = feed(buf_bytes(&b), (struct how){.piece = piece}, &s, &err);
            if (rc != rows[i].code || strstr(err.text, rows[i].why) == NULL)
                fail_msg("row %zu, piece %zu: got %d %s", i, piece, rc, err.text);
            seen_fini(&s);
            buf_fini(&b);
        }
    buf_fini(&v1);
}

/* Behind the payload may stand anything of any size: it is passed over, not parsed, not held. */
static void test_attack_13_a_v2_index_bomb_is_passed_over(void **state)
{
    (void)state;
    struct buf v1 = a_car();
    struct buf b = a_v2(buf_bytes(&v1), 51, v1.size, 51 + v1.size);
    static uint8_t bomb[1 << 16];
    memset(bomb, 0xff, sizeof bomb);
    struct car_reader *r;
    struct seen s = {.data = buf_new(1000)};
    assert_int_equal(car_reader_new(see_header, see_block, &s, &r, NULL), 0);
    assert_int_equal(car_reader_add(r, buf_bytes(&b), NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(car_reader_add(r, bytes_of(bomb, sizeof bomb), NULL), 0);
    assert_int_equal(car_reader_finish(r, NULL), 0);
    assert_a_car(&s);
    car_reader_free(r);
    seen_fini(&s);
    buf_fini(&v1);
    buf_fini(&b);
}

static void test_a_v2_inside_a_v2_is_refused(void **state)
{
    (void)state;
    struct buf v1 = a_car();
    struct buf inner = a_v2(buf_bytes(&v1), 51, v1.size, 0);
    struct buf b = a_v2(buf_bytes(&inner), 51, inner.size, 0);
    struct seen s;
    assert_int_equal(feed(buf_bytes(&b), (struct how){0}, &s, NULL), ERR_MALFORMED);
    assert_false(s.headed);
    seen_fini(&s);
    buf_fini(&v1);
    buf_fini(&inner);
    buf_fini(&b);
}

static int refuse(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                  struct err *err)
{
    (void)cid;
    (void)data;
    (void)offset;
    return ++*(int *)self == 2 ? err_set(err, ERR_DENIED, "not this one") : 0;
}

static void test_the_callers_error_ends_the_reading(void **state)
{
    (void)state;
    struct buf b = a_car();
    struct car_reader *r;
    int calls = 0;
    assert_int_equal(car_reader_new(NULL, refuse, &calls, &r, NULL), 0);
    assert_int_equal(car_reader_add(r, buf_bytes(&b), NULL), ERR_DENIED);
    assert_int_equal(car_reader_finish(r, NULL), ERR_DENIED);
    assert_int_equal(calls, 2);
    car_reader_free(r);
    buf_fini(&b);
}

/* --- a stream without a header: what an upload is --- */

#define UPLOAD_BLOCKS    5
#define UPLOAD_BLOCK_MAX 1000

static const size_t upload_sizes[UPLOAD_BLOCKS] = {1, 0, 127, 500, UPLOAD_BLOCK_MAX};

static struct bytes upload_block(size_t i)
{
    static uint8_t data[UPLOAD_BLOCKS][UPLOAD_BLOCK_MAX];
    memset(data[i], (int)('a' + i), UPLOAD_BLOCK_MAX);
    return bytes_of(data[i], upload_sizes[i]);
}

/* `ends`: where each section ends. */
static struct buf an_upload(size_t ends[UPLOAD_BLOCKS])
{
    struct buf b = buf_new(1u << 20);
    for (size_t i = 0; i < UPLOAD_BLOCKS; i++) {
        struct cid cid = cid_of(CID_RAW, upload_block(i));
        put_section(&b, &cid, upload_block(i));
        ends[i] = b.size;
    }
    assert_int_equal(buf_check(&b, NULL), 0);
    return b;
}

static int feed_upload(struct bytes stream, size_t piece, struct seen *seen)
{
    struct car_reader *r;
    *seen = (struct seen){.headed = true, .data = buf_new(1u << 20)};
    assert_int_equal(car_reader_new(NULL, see_block, seen, &r, NULL), 0);
    car_reader_start_at_sections(r, UPLOAD_BLOCK_MAX);
    return feed_reader(r, stream, piece, NULL);
}

static void test_sections_without_a_header_are_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    size_t ends[UPLOAD_BLOCKS];
    struct buf stream = an_upload(ends);
    for (size_t piece = 1; piece <= stream.size; piece = piece < 130 ? piece + 1 : piece * 2) {
        struct seen seen;
        size_t at = 0;
        assert_int_equal(feed_upload(buf_bytes(&stream), piece, &seen), 0);
        assert_int_equal(seen.count, UPLOAD_BLOCKS);
        for (size_t i = 0; i < UPLOAD_BLOCKS; i++) {
            struct cid cid = cid_of(CID_RAW, upload_block(i));
            assert_true(cid_equal(&seen.cids[i], &cid));
            assert_int_equal(seen.offsets[i], i == 0 ? 0 : ends[i - 1]);
            assert_memory_equal(seen.data.data + at, upload_block(i).data, upload_sizes[i]);
            at += upload_sizes[i] + 1;
            assert_int_equal(seen.data.data[at - 1], '|');
        }
        seen_fini(&seen);
    }
    buf_fini(&stream);
}

static void test_a_cut_between_sections_is_an_end_and_elsewhere_loses_one_block(void **state)
{
    (void)state;
    size_t ends[UPLOAD_BLOCKS], whole = 0;
    struct buf stream = an_upload(ends);
    for (size_t cut = 0; cut <= stream.size; cut++) {
        struct seen seen;
        whole += whole < UPLOAD_BLOCKS && cut == ends[whole] ? 1 : 0;
        bool between = cut == (whole == 0 ? 0 : ends[whole - 1]);
        assert_int_equal(feed_upload(bytes_of(stream.data, cut), 64, &seen),
                         between ? 0 : ERR_MALFORMED);
        assert_int_equal(seen.count, whole);
        seen_fini(&seen);
    }
    assert_int_equal(whole, UPLOAD_BLOCKS);
    buf_fini(&stream);
}

#define RAW_1 "01551220 1111111111111111111111111111111111111111111111111111111111111111"

static const struct {
    const char *hex;
    int code;
    const char *why;
} bad_uploads[] = {
    {"00", ERR_MALFORMED, "a length of zero"},
    {"8000", ERR_MALFORMED, "zero in two bytes"},
    {"a500", ERR_MALFORMED, "a length longer than it need be"},
    {"ffffffffffffffffff01", ERR_MALFORMED, "a length of too many bytes"},
    {"ffffffff0f", ERR_LIMIT, "4 GiB"},
    {"f808", ERR_LIMIT, "one byte more than the longest CID and a block may have"},
    {"25" RAW_1 "00", ERR_MALFORMED, "bytes that do not hash to the CID"},
    {"0401551220", ERR_MALFORMED, "a CID cut short"},
    {"0500000000 00", ERR_MALFORMED, "not a CID"},
};

static void test_bad_uploads_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_uploads / sizeof bad_uploads[0]; i++) {
        uint8_t stream[128];
        struct seen seen;
        size_t size = from_hex(bad_uploads[i].hex, stream, sizeof stream);
        int rc = feed_upload(bytes_of(stream, size), size, &seen);
        if (rc != bad_uploads[i].code || seen.count != 0)
            fail_msg("%s: %s", bad_uploads[i].why, err_name(rc));
        seen_fini(&seen);
    }
}

/* Its CID takes less than the longest one does: the limit is the block's. */
static void test_an_uploads_block_of_one_byte_too_many_is_refused(void **state)
{
    (void)state;
    static uint8_t data[UPLOAD_BLOCK_MAX + 1];
    for (size_t more = 0; more < 2; more++) {
        struct buf stream = buf_new(1u << 20);
        struct bytes block = bytes_of(data, UPLOAD_BLOCK_MAX + more);
        struct cid cid = cid_of(CID_RAW, block);
        struct seen seen;
        put_section(&stream, &cid, block);
        assert_int_equal(feed_upload(buf_bytes(&stream), 100, &seen), more == 0 ? 0 : ERR_LIMIT);
        assert_int_equal(seen.count, 1 - more);
        seen_fini(&seen);
        buf_fini(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_size_give_the_same_blocks),
        cmocka_unit_test(test_a_block_whole_in_a_piece_is_not_copied),
        cmocka_unit_test(test_headers_are_those_of_the_specification),
        cmocka_unit_test(test_many_roots_are_written_and_read),
        cmocka_unit_test(test_any_valid_cid_names_a_section),
        cmocka_unit_test(test_a_stream_cut_anywhere_but_between_sections_is_noticed),
        cmocka_unit_test(test_a_v2_cut_anywhere_before_its_index_is_noticed),
        cmocka_unit_test(test_a_flipped_bit_never_passes_for_the_same_blocks),
        cmocka_unit_test(test_a_block_that_is_not_its_cid_is_refused_with_its_offset),
        cmocka_unit_test(test_attack_13_malformed_headers),
        cmocka_unit_test(test_attack_13_malformed_section_lengths),
        cmocka_unit_test(test_attack_13_a_block_may_be_2_mib_and_no_more),
        cmocka_unit_test(test_attack_13_zero_roots_and_duplicate_blocks_are_allowed),
        cmocka_unit_test(test_attack_13_a_v2_header_that_lies),
        cmocka_unit_test(test_attack_13_a_v2_index_bomb_is_passed_over),
        cmocka_unit_test(test_a_v2_inside_a_v2_is_refused),
        cmocka_unit_test(test_the_callers_error_ends_the_reading),
        cmocka_unit_test(test_sections_without_a_header_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(test_a_cut_between_sections_is_an_end_and_elsewhere_loses_one_block),
        cmocka_unit_test(test_bad_uploads_are_refused),
        cmocka_unit_test(test_an_uploads_block_of_one_byte_too_many_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
