/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "model/layout.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static char *mutable(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* A tensor of one dimension. */
static struct tensor row(const char *name, enum dtype d, enum use use, uint64_t n)
{
    return (struct tensor){.name = mutable(name), .dtype = d, .use = use, .rank = 1, .shape = {n}};
}

static struct layout *layout_of(const struct tensor *tensors, size_t count)
{
    struct layout *l;
    struct err err = {0};
    if (layout_new(tensors, count, &l, &err) != 0)
        fail_msg("%s", err.text);
    return l;
}

static void test_tensors_lie_by_size_then_dtype_then_name_without_gaps(void **state)
{
    (void)state;
    const struct tensor in[] = {
        row("u8", DTYPE_U8, USE_FIXED, 3),   row("b", DTYPE_F32, USE_MEAN, 5),
        row("B", DTYPE_F32, USE_MEAN, 1),    row("h", DTYPE_F16, USE_MEAN, 7),
        row("i", DTYPE_I32, USE_LARGEST, 2), row("bf", DTYPE_BF16, USE_MEAN, 1),
        row("bb", DTYPE_F32, USE_FIXED, 1),  row("d", DTYPE_F64, USE_MEAN, 2),
    };
    static const struct {
        const char *name;
        uint64_t offset;
    } want[] = {{"d", 0},  {"B", 16},  {"b", 20}, {"bb", 40},
                {"i", 44}, {"bf", 52}, {"h", 54}, {"u8", 68}};
    struct layout *l = layout_of(in, COUNT(in));
    assert_int_equal(l->tensor_count, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_string_equal(l->tensors[i].name, want[i].name);
        assert_int_equal(l->tensors[i].offset, want[i].offset);
        assert_int_equal(l->tensors[i].offset % dtype_bytes(l->tensors[i].dtype), 0);
    }
    assert_int_equal(l->data_bytes, 71);
    assert_ptr_equal(layout_find(l, "bf"), &l->tensors[5]);
    assert_null(layout_find(l, "b "));
    layout_free(l);
}

static void test_scalars_empty_tensors_and_no_tensors_are_models_too(void **state)
{
    (void)state;
    struct tensor in[2] = {{.name = mutable("scalar"), .dtype = DTYPE_F32, .use = USE_MEAN},
                           row("empty", DTYPE_F32, USE_MEAN, 0)};
    in[1].rank = 2;
    in[1].shape[1] = 9;
    struct layout *l = layout_of(in, 2);
    assert_int_equal(layout_find(l, "scalar")->elements, 1);
    assert_int_equal(layout_find(l, "empty")->elements, 0);
    assert_int_equal(l->data_bytes, 4);
    assert_int_equal(l->shard_count, 1);
    layout_free(l);
    l = layout_of(in, 0);
    assert_int_equal(l->data_bytes + l->shard_count + l->tensor_count, 0);
    layout_free(l);
}

static void test_what_cannot_be_a_layout_is_refused(void **state)
{
    (void)state;
    static char long_name[LAYOUT_NAME_MAX + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    const struct {
        const char *why;
        int rc;
        struct tensor t;
    } rows[] = {
        {"no name", ERR_MALFORMED, row("", DTYPE_F32, USE_MEAN, 1)},
        {"twice, with another dtype and so not side by side", ERR_MALFORMED,
         row("other", DTYPE_U8, USE_FIXED, 1)},
        {"twice, the same", ERR_MALFORMED, row("other", DTYPE_F32, USE_MEAN, 1)},
        {"not UTF-8", ERR_MALFORMED, row("a\xff", DTYPE_F32, USE_MEAN, 1)},
        {"an escape sequence for somebody's terminal", ERR_MALFORMED,
         row("a\x1b[2J", DTYPE_F32, USE_MEAN, 1)},
        {"safetensors' own key", ERR_MALFORMED, row("__metadata__", DTYPE_F32, USE_MEAN, 1)},
        {"name too long", ERR_LIMIT, row(long_name, DTYPE_F32, USE_MEAN, 1)},
        {"an average of integers", ERR_USAGE, row("n", DTYPE_I64, USE_MEAN, 1)},
        {"an average of truth values", ERR_USAGE, row("n", DTYPE_BOOL, USE_MEAN, 1)},
        {"the largest of floats", ERR_USAGE, row("n", DTYPE_F16, USE_LARGEST, 1)},
        {"bytes past the limit", ERR_LIMIT,
         row("n", DTYPE_F32, USE_MEAN, LAYOUT_BYTES_MAX / 4 + 1)},
        {"bytes past the limit with the other's", ERR_LIMIT,
         row("n", DTYPE_F32, USE_MEAN, LAYOUT_BYTES_MAX / 4)},
        {"bytes of 2^64", ERR_LIMIT, row("n", DTYPE_F64, USE_MEAN, 1ull << 61)},
        {"product of 2^64 + 2",
         ERR_LIMIT,
         {.name = mutable("n"),
          .dtype = DTYPE_U8,
          .use = USE_FIXED,
          .rank = 2,
          .shape = {2, (1ull << 63) + 1}}},
        {"an overflow hidden by a zero in front",
         ERR_LIMIT,
         {.name = mutable("n"),
          .dtype = DTYPE_U8,
          .use = USE_FIXED,
          .rank = 3,
          .shape = {0, 1ull << 40, 1ull << 40}}},
        {"and behind",
         ERR_LIMIT,
         {.name = mutable("n"),
          .dtype = DTYPE_U8,
          .use = USE_FIXED,
          .rank = 3,
          .shape = {1ull << 40, 1ull << 40, 0}}},
        {"rank",
         ERR_LIMIT,
         {.name = mutable("n"), .dtype = DTYPE_F32, .use = USE_MEAN, .rank = LAYOUT_RANK_MAX + 1}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct layout *l = NULL;
        struct tensor both[2] = {row("other", DTYPE_F32, USE_MEAN, 1), rows[i].t};
        struct err err;
        int rc = layout_new(both, 2, &l, &err);
        if (rc != rows[i].rc || l != NULL)
            fail_msg("%s: %d %s", rows[i].why, rc, rc == 0 ? "" : err.text);
    }
}

static void test_limits_are_inclusive(void **state)
{
    (void)state;
    size_t count = LAYOUT_TENSORS_MAX + 1;
    struct tensor *in = calloc(count, sizeof *in);
    char(*names)[LAYOUT_NAME_MAX + 1] = calloc(count, sizeof *names);
    struct layout *l = NULL;
    assert_true(in != NULL && names != NULL);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%0*zu", i == 0 ? LAYOUT_NAME_MAX : 1, i);
        in[i] = row(names[i], DTYPE_F32, USE_MEAN, 1);
    }
    assert_int_equal(layout_new(in, count, &l, NULL), ERR_LIMIT);
    l = layout_of(in, LAYOUT_TENSORS_MAX);
    assert_int_equal(l->shard_count, 1);
    assert_int_equal(l->shards[0].elements, LAYOUT_TENSORS_MAX);
    layout_free(l);
    free(names);
    free(in);
}

/* --- shards and pieces --- */

/* The naive twin: where each element of a use lies, one by one, and which shard it is in. */
static void assert_shards_are_exact(const struct layout *l)
{
    size_t shard = 0;
    uint64_t bytes = 0;
    uint32_t at = 0;
    enum dtype last = DTYPE_COUNT;
    struct piece piece = {0};
    uint64_t cursor = 0;
    for (int use = USE_MEAN; use <= USE_LARGEST; use++)
        for (size_t t = 0; t < l->tensor_count; t++) {
            const struct tensor *x = &l->tensors[t];
            for (uint64_t e = 0; (int)x->use == use && e < x->elements; e++) {
                bool begins = last == DTYPE_COUNT || at == LAYOUT_SHARD_ELEMENTS ||
                              x->dtype != last || l->shards[shard].use != x->use;
                if (begins && last != DTYPE_COUNT) {
                    assert_int_equal(l->shards[shard].elements, at);
                    assert_false(layout_next_piece(l, shard, &cursor, &piece));
                    shard++;
                }
                if (begins) {
                    at = 0;
                    cursor = 0;
                    piece = (struct piece){0};
                    assert_true(shard < l->shard_count);
                    assert_int_equal(l->shards[shard].use, x->use);
                    assert_int_equal(l->shards[shard].dtype, x->dtype);
                    assert_int_equal(l->shards[shard].tensor, t);
                    assert_int_equal(l->shards[shard].element, e);
                }
                uint64_t lies = x->offset + e * dtype_bytes(x->dtype);
                if (at == piece.at + piece.elements) {
                    uint64_t behind = piece.offset + piece.elements * dtype_bytes(x->dtype);
                    bool first = at == 0;
                    assert_true(layout_next_piece(l, shard, &cursor, &piece));
                    assert_int_equal(piece.at, at);
                    assert_int_equal(piece.offset, lies);
                    assert_true(piece.elements > 0);
                    if (!first && piece.offset == behind) /* then an empty tensor stood between */
                        assert_int_equal(l->tensors[t - 1].elements, 0);
                }
                assert_int_equal(piece.offset + (at - piece.at) * dtype_bytes(x->dtype), lies);
                bool own = x->use == USE_LARGEST || x->dtype == DTYPE_F64;
                bytes += own ? dtype_bytes(x->dtype) : 4;
                last = x->dtype;
                at++;
            }
        }
    if (last != DTYPE_COUNT) {
        assert_int_equal(l->shards[shard].elements, at);
        assert_false(layout_next_piece(l, shard, &cursor, &piece));
        shard++;
    }
    assert_int_equal(l->shard_count, shard);
    assert_int_equal(layout_update_bytes(l), bytes);
}

static void test_shards_hold_every_element_once_and_in_order(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0,
                                     1,
                                     30,
                                     1000,
                                     LAYOUT_SHARD_ELEMENTS - 1,
                                     LAYOUT_SHARD_ELEMENTS,
                                     LAYOUT_SHARD_ELEMENTS + 1};
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16,
                                        DTYPE_I64, DTYPE_I32, DTYPE_U8,  DTYPE_BOOL};
    uint8_t seed[HASH_BYTES] = {7};
    struct random_stream s;
    random_stream_init(&s, seed);
    for (int turn = 0; turn < 60; turn++) {
        struct tensor in[12];
        char names[12][24];
        size_t count = (size_t)random_stream_below(&s, 13);
        for (size_t i = 0; i < count; i++) {
            snprintf(names[i], sizeof names[i], "%c%zu", 'a' + (int)random_stream_below(&s, 26), i);
            enum dtype d = dtypes[random_stream_below(&s, turn % 2 == 0 ? 2 : COUNT(dtypes))];
            enum use use = random_stream_below(&s, 2) == 0 ? USE_FIXED
                           : dtype_is_float(d)             ? USE_MEAN
                                                           : USE_LARGEST;
            in[i] = row(names[i], d, use, sizes[random_stream_below(&s, COUNT(sizes))]);
        }
        struct layout *l = layout_of(in, count);
        assert_shards_are_exact(l);
        layout_free(l);
    }
}

static void test_pieces_skip_fixed_tensors_and_join_neighbours(void **state)
{
    (void)state;
    const struct tensor in[] = {
        row("a", DTYPE_F32, USE_MEAN, 2), row("b", DTYPE_F32, USE_MEAN, 0),
        row("c", DTYPE_F32, USE_MEAN, 3), row("d", DTYPE_F32, USE_FIXED, 4),
        row("e", DTYPE_F32, USE_MEAN, 0), row("f", DTYPE_F32, USE_FIXED, 1),
        row("g", DTYPE_F32, USE_MEAN, 6),
    };
    struct layout *l = layout_of(in, COUNT(in));
    struct piece p = {0};
    uint64_t cursor = 0;
    assert_int_equal(l->shard_count, 1);
    assert_true(layout_next_piece(l, 0, &cursor, &p));
    assert_true(p.offset == 0 && p.elements == 5 && p.at == 0);
    assert_true(layout_next_piece(l, 0, &cursor, &p));
    assert_true(p.offset == 40 && p.elements == 6 && p.at == 5);
    assert_false(layout_next_piece(l, 0, &cursor, &p));
    assert_false(layout_next_piece(l, 0, &cursor, &p));
    layout_free(l);
}

static void test_stored_sizes_follow_use_and_dtype(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        enum use use;
        uint32_t bytes;
    } rows[] = {{DTYPE_F64, USE_MEAN, 80},    {DTYPE_F32, USE_MEAN, 40},
                {DTYPE_F16, USE_MEAN, 40},    {DTYPE_BF16, USE_MEAN, 40},
                {DTYPE_I64, USE_LARGEST, 80}, {DTYPE_U16, USE_LARGEST, 20},
                {DTYPE_BOOL, USE_LARGEST, 10}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tensor in = row("x", rows[i].dtype, rows[i].use, 10);
        struct layout *l = layout_of(&in, 1);
        assert_int_equal(l->shard_count, 1);
        assert_int_equal(l->shards[0].bytes, rows[i].bytes);
        layout_free(l);
    }
}

/* --- dag-cbor --- */

static struct layout *sample(void)
{
    struct tensor in[] = {
        row("w", DTYPE_F32, USE_MEAN, 2),
        row("\xc3\xa9", DTYPE_F32, USE_FIXED, 300),
        row("n", DTYPE_I64, USE_LARGEST, 1),
    };
    in[0].rank = 2;
    in[0].shape[1] = 30;
    in[2].rank = 0;
    return layout_of(in, COUNT(in));
}

static void test_the_encoding_is_as_documented_to_the_byte(void **state)
{
    (void)state;
    /* {"count": 3, "tensors": [["n", "I64", [], "largest"], ["w", "F32", [2, 30], "mean"],
     * ["e-acute", "F32", [300], "fixed"]]} by hand from RFC 8949. */
    static const char hex[] = "a2 65 636f756e74 03 67 74656e736f7273 83"
                              "84 61 6e 63 493634 80 67 6c617267657374"
                              "84 61 77 63 463332 82 02 181e 64 6d65616e"
                              "84 62 c3a9 63 463332 81 19012c 65 6669786564";
    uint8_t want[128];
    size_t size = from_hex(hex, want, sizeof want);
    struct layout *l = sample(), *again;
    struct buf got = buf_new(1024);
    assert_int_equal(layout_encode(l, &got, NULL), 0);
    assert_int_equal(got.size, size);
    assert_memory_equal(got.data, want, size);
    assert_int_equal(layout_decode(buf_bytes(&got), &again, NULL), 0);
    assert_int_equal(layout_compare(l, again, NULL), 0);
    layout_free(again);
    layout_free(l);
    buf_fini(&got);
}

static void test_what_is_not_a_layout_object_is_refused(void **state)
{
    (void)state;
#define HEAD "a2 65 636f756e74 "
#define LIST " 67 74656e736f7273 "
#define W    "84 61 77 63 463332 81 02 64 6d65616e "
    static const struct {
        const char *hex;
        int rc;
        const char *why;
    } rows[] = {
        {HEAD "01" LIST "81" W, 0, "one tensor"},
        {HEAD "00" LIST "80", 0, "none"},
        {"", ERR_MALFORMED, "empty"},
        {"80", ERR_MALFORMED, "a list"},
        {HEAD "01" LIST "81" W "00", ERR_MALFORMED, "bytes behind the end"},
        {HEAD "02" LIST "81" W, ERR_MALFORMED, "count too large"},
        {HEAD "00" LIST "81" W, ERR_MALFORMED, "count too small"},
        {HEAD "02" LIST "82" W W, ERR_MALFORMED, "a tensor twice"},
        {HEAD "02" LIST "82" W "84 61 61 63 463332 81 02 64 6d65616e", ERR_MALFORMED,
         "not in order: a after w"},
        {HEAD "02" LIST "82" W "84 61 78 63 463634 81 02 64 6d65616e", ERR_MALFORMED,
         "not in order: F64 after F32"},
        {HEAD "02" LIST "82 84 61 77 63 463634 81 02 64 6d65616e" W, ERR_MALFORMED,
         "a name twice, with two dtypes"},
        {HEAD "01" LIST "81 83 61 77 63 463332 81 02", ERR_MALFORMED, "no use"},
        {HEAD "01" LIST "81 84 61 77 63 463332 81 02 64 6d656161", ERR_MALFORMED, "use: meaa"},
        {HEAD "01" LIST "81 84 61 77 63 463333 81 02 64 6d65616e", ERR_MALFORMED, "dtype: F33"},
        {HEAD "01" LIST "81 84 61 77 63 493332 81 02 64 6d65616e", ERR_MALFORMED,
         "an average of I32"},
        {HEAD "01" LIST "81 84 60 63 463332 81 02 64 6d65616e", ERR_MALFORMED, "no name"},
        {HEAD "01" LIST "81 84 61 77 63 463332 81 20 64 6d65616e", ERR_MALFORMED,
         "a dimension of -1"},
        {HEAD "01" LIST "81 84 61 77 63 463332 81 1b8000000000000000 64 6d65616e", ERR_LIMIT,
         "2^63 elements"},
        {HEAD "01" LIST "81 84 61 77 63 463332 89 010101010101010101 64 6d65616e", ERR_LIMIT,
         "nine dimensions"},
        {HEAD "01" LIST "81 84 63 770078 63 463332 81 01 64 6d65616e", ERR_MALFORMED,
         "NUL inside a name"},
        {HEAD "1b7fffffffffffffff" LIST "9b7fffffffffffffff", ERR_MALFORMED,
         "more tensors than bytes: nothing is allocated for them"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t in[256];
        struct layout *l = NULL;
        struct err err = {0};
        int rc = layout_decode(bytes_of(in, from_hex(rows[i].hex, in, sizeof in)), &l, &err);
        if (rc != rows[i].rc || (l != NULL) != (rc == 0))
            fail_msg("%s: %d %s", rows[i].why, rc, err.text);
        layout_free(l);
    }
}

/* Whatever is accepted is the one encoding of what it says. */
static void test_no_damage_is_taken_for_the_layout(void **state)
{
    (void)state;
    struct layout *l = sample();
    struct buf good = buf_new(1024), again = buf_new(1024);
    assert_int_equal(layout_encode(l, &good, NULL), 0);
    for (size_t cut = 0; cut < good.size; cut++) {
        uint8_t *part = malloc(cut + 1);
        struct layout *got = NULL;
        memcpy(part, good.data, cut);
        assert_int_equal(layout_decode(bytes_of(part, cut), &got, NULL), ERR_MALFORMED);
        free(part);
    }
    for (size_t i = 0; i < good.size; i++)
        for (int flip = 1; flip < 256; flip++) {
            struct layout *got = NULL;
            good.data[i] = (uint8_t)(good.data[i] ^ flip);
            if (layout_decode(buf_bytes(&good), &got, NULL) == 0) {
                assert_true(layout_compare(l, got, NULL) != 0);
                buf_clear(&again);
                assert_int_equal(layout_encode(got, &again, NULL), 0);
                assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&good)));
                layout_free(got);
            }
            good.data[i] = (uint8_t)(good.data[i] ^ flip);
        }
    buf_fini(&good);
    buf_fini(&again);
    layout_free(l);
}

/* --- comparing --- */

static void test_the_first_difference_is_named(void **state)
{
    (void)state;
    const struct tensor base[] = {row("a", DTYPE_F32, USE_MEAN, 2),
                                  row("b", DTYPE_F32, USE_FIXED, 3)};
    struct tensor scalar = row("b", DTYPE_F32, USE_FIXED, 3);
    scalar.rank = 0;
    const struct {
        struct tensor found[3];
        size_t count;
        const char *text; /* NULL: the same */
    } rows[] = {
        {{base[1], base[0]}, 2, NULL},
        {{base[0]}, 1, "tensor \"b\" is missing"},
        {{base[1]}, 1, "tensor \"a\" is missing"},
        {{{0}}, 0, "tensor \"a\" is missing"},
        {{base[0], base[1], row("c", DTYPE_F32, USE_MEAN, 1)}, 3, "tensor \"c\" is not expected"},
        {{base[0], base[1], row("A", DTYPE_F32, USE_MEAN, 1)}, 3, "tensor \"A\" is not expected"},
        {{row("a", DTYPE_F16, USE_MEAN, 2), base[1]},
         2,
         "tensor \"a\": dtype is F16, expected F32"},
        {{base[0], row("b", DTYPE_F64, USE_FIXED, 3)},
         2,
         "tensor \"b\": dtype is F64, expected F32"},
        {{base[0], row("b", DTYPE_F32, USE_MEAN, 3)},
         2,
         "tensor \"b\": use is mean, expected fixed"},
        {{row("a", DTYPE_F32, USE_MEAN, 3), base[1]},
         2,
         "tensor \"a\": shape is [3], expected [2]"},
        {{base[0], scalar}, 2, "tensor \"b\": shape is [], expected [3]"},
    };
    struct layout *expected = layout_of(base, 2);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct layout *found = layout_of(rows[i].found, rows[i].count);
        struct err err = {0};
        int rc = layout_compare(expected, found, &err);
        assert_int_equal(rc, rows[i].text == NULL ? 0 : ERR_MALFORMED);
        if (rows[i].text != NULL)
            assert_string_equal(err.text, rows[i].text);
        layout_free(found);
    }
    layout_free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_lie_by_size_then_dtype_then_name_without_gaps),
        cmocka_unit_test(test_scalars_empty_tensors_and_no_tensors_are_models_too),
        cmocka_unit_test(test_what_cannot_be_a_layout_is_refused),
        cmocka_unit_test(test_limits_are_inclusive),
        cmocka_unit_test(test_shards_hold_every_element_once_and_in_order),
        cmocka_unit_test(test_pieces_skip_fixed_tensors_and_join_neighbours),
        cmocka_unit_test(test_stored_sizes_follow_use_and_dtype),
        cmocka_unit_test(test_the_encoding_is_as_documented_to_the_byte),
        cmocka_unit_test(test_what_is_not_a_layout_object_is_refused),
        cmocka_unit_test(test_no_damage_is_taken_for_the_layout),
        cmocka_unit_test(test_the_first_difference_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
