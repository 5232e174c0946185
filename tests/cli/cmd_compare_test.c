/* SPDX-License-Identifier: Apache-2.0 */
#include "content/store.h"
#include "tests/cli/tool.h"

#include <math.h>

#include "model/safetensors.h"

/* Writes a model of `count` tensors in the given order, whose bytes follow each other in `data`. */
static void write_model(const char *name, const struct tensor *tensors, size_t count,
                        const void *data, size_t size)
{
    struct buf file = buf_new(64u << 20);
    struct tensor placed[4];
    uint64_t offset = 0;
    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++) {
        placed[i] = tensors[i];
        placed[i].elements = 1;
        for (unsigned k = 0; k < tensors[i].rank; k++)
            placed[i].elements *= tensors[i].shape[k];
        placed[i].offset = offset;
        offset += placed[i].elements * dtype_bytes(tensors[i].dtype);
    }
    assert_int_equal(offset, size);
    assert_int_equal(safetensors_format_tensors(placed, count, SAFETENSORS_HEADER_MAX, &file, NULL),
                     0);
    buf_append(&file, data, size);
    assert_int_equal(buf_check(&file, NULL), 0);
    write_file(in_scratch(name), buf_bytes(&file));
    buf_fini(&file);
}

/* The same of one tensor, `t`. */
static void write_tensor(const char *name, enum dtype dtype, uint64_t elements, const void *data)
{
    const struct tensor t = {.name = (char *)"t", .dtype = dtype, .rank = 1, .shape = {elements}};
    write_model(name, &t, 1, data, (size_t)elements * dtype_bytes(dtype));
}

static int run_compare(void)
{
    return tool_run(cmd_compare, "compare", in_scratch("a"), in_scratch("b"), NULL);
}

static json_t *compare_json(int status)
{
    tool_run(cmd_compare, "compare", "--json", in_scratch("a"), in_scratch("b"), NULL);
    tool_expect(status, "{", "");
    return tool_json();
}

static json_t *tensor_of(json_t *said, size_t i)
{
    json_t *t = json_array_get(json_object_get(said, "tensors"), i);
    assert_non_null(t);
    return t;
}

static double number_of(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static bool is_null(const json_t *object, const char *key)
{
    return json_is_null(json_object_get(object, key));
}

static void test_a_model_is_identical_to_itself(void **state)
{
    (void)state;
    const float data[3] = {0.1f, -2.7f, 1e-3f};
    write_tensor("a", DTYPE_F32, 3, data);
    write_tensor("b", DTYPE_F32, 3, data);
    assert_int_equal(run_compare(), 0);
    tool_expect(0, "the models are identical\n", "");
    json_t *said = compare_json(0);
    assert_true(json_is_true(json_object_get(said, "identical")));
    json_t *t = tensor_of(said, 0);
    assert_true(number_of(t, "norm") == 0 && number_of(t, "largest") == 0);
    assert_true(number_of(t, "cosine") == 1 && number_of(t, "differing") == 0);
    assert_true(is_null(t, "index"));
    assert_true(is_null(json_object_get(said, "total"), "tensor"));
    json_decref(said);
}

static void test_norm_largest_and_cosine_are_those_of_the_numbers(void **state)
{
    (void)state;
    const struct tensor tensors[] = {
        {.name = (char *)"wide", .dtype = DTYPE_F64, .rank = 1, .shape = {2}},
        {.name = (char *)"matrix", .dtype = DTYPE_F32, .rank = 2, .shape = {2, 3}},
        {.name = (char *)"scalar", .dtype = DTYPE_F32},
    };
    struct {
        double wide[2];
        float matrix[6], scalar;
    } a = {{1, 0}, {1, 2, 3, 4, 5, 6}, 1}, b = {{0, 2}, {1, 2, 3, 8, 5, 3}, -1};
    size_t size = offsetof(__typeof__(a), scalar) + sizeof(float);
    write_model("a", tensors, 3, &a, size);
    write_model("b", tensors, 3, &b, size);
    json_t *said = compare_json(1);
    json_t *wide = tensor_of(said, 0), *matrix = tensor_of(said, 1), *scalar = tensor_of(said, 2);
    assert_string_equal(json_string_value(json_object_get(matrix, "name")), "matrix");
    assert_true(number_of(wide, "norm") == sqrt(5) && number_of(wide, "cosine") == 0);
    assert_true(number_of(matrix, "norm") == 5 && number_of(matrix, "largest") == 4);
    assert_true(number_of(matrix, "differing") == 2);
    assert_true(number_of(matrix, "cosine") == (1 + 4 + 9 + 32 + 25 + 18) / (sqrt(91) * sqrt(112)));
    json_t *index = json_object_get(matrix, "index");
    assert_int_equal(json_array_size(index), 2);
    assert_int_equal(json_integer_value(json_array_get(index, 0)), 1);
    assert_int_equal(json_integer_value(json_array_get(index, 1)), 0);
    assert_true(number_of(scalar, "norm") == 2 && number_of(scalar, "cosine") == -1);
    assert_int_equal(json_array_size(json_object_get(scalar, "index")), 0);
    json_t *total = json_object_get(said, "total");
    assert_true(number_of(total, "norm") == sqrt(5 + 25 + 4));
    assert_string_equal(json_string_value(json_object_get(total, "tensor")), "matrix");
    json_decref(said);
    run_compare();
    tool_expect(
        1, "F32             2            5            4  [1,0]          0.881577098  matrix\n", "");
    tool_expect(1, "\n3 of 3 tensors differ\n", "");
}

/* One element each, as it lies in the file. */
static void test_every_dtype_is_subtracted_as_what_it_is(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        uint64_t a, b;
        double largest;
        const char *why;
    } rows[] = {
        {DTYPE_F64, 0x3ff0000000000000, 0x4000000000000000, 1, "2 - 1"},
        {DTYPE_F32, 0x3f800000, 0xc0000000, 3, "-2 - 1"},
        {DTYPE_F16, 0x3c00, 0x0001, 1 - 0x1p-24, "a subnormal number - 1"},
        {DTYPE_BF16, 0x3f80, 0x4040, 2, "3 - 1"},
        {DTYPE_I64, 1ull << 62, (1ull << 62) + 1, 1, "as doubles they would be equal"},
        {DTYPE_I64, 1ull << 63, (1ull << 63) - 1, 0x1p64, "the range's two ends"},
        {DTYPE_I32, 0xffffffff, 1, 2, "1 - -1"},
        {DTYPE_I16, 0x8000, 0x7fff, 65535, "the range's two ends"},
        {DTYPE_I8, 0x7f, 0x80, 255, "the range's two ends"},
        {DTYPE_U64, UINT64_MAX, UINT64_MAX - 1, 1, "as doubles they would be equal"},
        {DTYPE_U32, 0, 0xffffffff, 4294967295.0, "not -1"},
        {DTYPE_U16, 0xffff, 0, 65535, "not -1"},
        {DTYPE_U8, 0, 0xff, 255, "not -1"},
        {DTYPE_BOOL, 0, 1, 1, "true - false"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_tensor("a", rows[i].dtype, 1, &rows[i].a);
        write_tensor("b", rows[i].dtype, 1, &rows[i].b);
        json_t *said = compare_json(1);
        json_t *t = tensor_of(said, 0), *total = json_object_get(said, "total");
        if (number_of(t, "largest") != rows[i].largest || number_of(t, "differing") != 1)
            fail_msg("row %zu (%s): %s", i, rows[i].why, tool_out());
        assert_true(number_of(total, "differing") == (dtype_is_float(rows[i].dtype) ? 1 : 0));
        json_decref(said);
    }
}

static void test_a_sum_goes_over_all_pieces_in_element_order(void **state)
{
    (void)state;
    enum {
        COUNT = 300001
    }; /* more than one piece of 1 MiB, the last short */
    float *a = malloc(COUNT * sizeof *a), *b = malloc(COUNT * sizeof *b);
    uint8_t *random = stream_bytes("cmd_compare_test", 2 * COUNT);
    double squares = 0, aa = 0, bb = 0, ab = 0;
    assert_true(a != NULL && b != NULL);
    for (size_t i = 0; i < COUNT; i++) {
        a[i] = (float)random[i] / 3;
        b[i] = a[i] + (float)random[COUNT + i] / 7;
    }
    b[COUNT - 2] = a[COUNT - 2] - 100;
    for (size_t i = 0; i < COUNT; i++) {
        double x = (double)a[i], y = (double)b[i];
        squares += (y - x) * (y - x);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    write_tensor("a", DTYPE_F32, COUNT, a);
    write_tensor("b", DTYPE_F32, COUNT, b);
    json_t *said = compare_json(1), *t = tensor_of(said, 0);
    assert_true(number_of(t, "norm") == sqrt(squares));
    assert_true(number_of(t, "cosine") == ab / (sqrt(aa) * sqrt(bb)));
    assert_int_equal(json_integer_value(json_array_get(json_object_get(t, "index"), 0)), COUNT - 2);
    json_decref(said);
    free(a);
    free(b);
    free(random);
}

static void test_what_is_no_number_is_found_and_said(void **state)
{
    (void)state;
    const float good[4] = {1, NAN, INFINITY, 4}, bad[4] = {9, NAN, -INFINITY, NAN};
    write_tensor("a", DTYPE_F32, 4, good);
    write_tensor("b", DTYPE_F32, 4, good);
    assert_int_equal(run_compare(), 0); /* NaN is the same as itself */
    write_tensor("b", DTYPE_F32, 4, bad);
    json_t *said = compare_json(1), *t = tensor_of(said, 0);
    assert_true(number_of(t, "differing") == 3);
    assert_true(is_null(t, "norm") && is_null(t, "largest") && is_null(t, "cosine"));
    assert_int_equal(json_integer_value(json_array_get(json_object_get(t, "index"), 0)), 3);
    json_decref(said);
    run_compare();
    tool_expect(1, "nan  [3] ", "");
}

static void test_zeros_of_both_signs_differ_by_nothing(void **state)
{
    (void)state;
    const float plus = 0.0f, minus = -0.0f;
    write_tensor("a", DTYPE_F32, 1, &plus);
    write_tensor("b", DTYPE_F32, 1, &minus);
    json_t *said = compare_json(1), *t = tensor_of(said, 0);
    assert_true(number_of(t, "differing") == 1 && number_of(t, "norm") == 0);
    assert_true(is_null(t, "index") && is_null(t, "cosine"));
    json_decref(said);
    run_compare();
    tool_expect(1, "1 of 1 tensors differ\n", "");
}

static void test_the_order_of_tensors_in_a_file_does_not_matter(void **state)
{
    (void)state;
    const struct tensor one_way[] = {
        {.name = (char *)"x", .dtype = DTYPE_I64, .rank = 1, .shape = {1}},
        {.name = (char *)"y", .dtype = DTYPE_U8, .rank = 1, .shape = {1}}};
    const struct tensor other_way[] = {one_way[1], one_way[0]};
    const uint8_t a[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, b[9] = {9, 1, 2, 3, 4, 5, 6, 7, 8};
    write_model("a", one_way, 2, a, sizeof a);
    write_model("b", other_way, 2, b, sizeof b);
    run_compare();
    tool_expect(0, "the models are identical\n", "");
}

static void test_models_of_two_layouts_are_not_compared(void **state)
{
    (void)state;
    static const uint8_t zeros[64] = {0};
    static const struct {
        struct tensor b;
        const char *words, *why;
    } rows[] = {
        {{.name = (char *)"u", .dtype = DTYPE_F32, .rank = 1, .shape = {4}}, "t", "another name"},
        {{.name = (char *)"t", .dtype = DTYPE_I32, .rank = 1, .shape = {4}},
         "I32",
         "another dtype"},
        {{.name = (char *)"t", .dtype = DTYPE_F32, .rank = 2, .shape = {2, 2}},
         "t",
         "another shape"},
    };
    write_tensor("a", DTYPE_F32, 4, zeros);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_model("b", &rows[i].b, 1, zeros, 16);
        run_compare();
        tool_expect(1, "", rows[i].words);
        tool_expect(1, "", "is not of the layout of ");
        assert_string_equal(tool_out(), "");
    }
}

/* As a study keeps its models. */
static void add(const char *name, char cid[CID_TEXT_MAX])
{
    struct store *store;
    struct cid root;
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    assert_int_equal(store_import(store, in_scratch(name), NULL, &root, NULL), 0);
    store_close(store);
    cid_format(&root, cid);
}

static void test_a_model_may_be_named_by_its_cid_in_a_store(void **state)
{
    (void)state;
    const float a[2] = {1, 2}, b[2] = {1, 3};
    char one[CID_TEXT_MAX], two[CID_TEXT_MAX], path[CID_TEXT_MAX + 64];
    write_tensor("a", DTYPE_F32, 2, a);
    write_tensor("b", DTYPE_F32, 2, b);
    add("a", one);
    add("b", two);
    tool_run(cmd_compare, "compare", one, in_scratch("a"), "--store", in_scratch("store"), NULL);
    tool_expect(0, "identical", "");
    tool_run(cmd_compare, "compare", one, two, "--store", in_scratch("store"), NULL);
    tool_expect(1, "1 of 1 tensors differ", "");
    setenv("COLMEIA_STORE", in_scratch("store"), 1);
    tool_run(cmd_compare, "compare", one, two, NULL);
    unsetenv("COLMEIA_STORE");
    tool_expect(1, "1 of 1 tensors differ", "");
    snprintf(path, sizeof path, "store/models/%s.safetensors", two);
    damage_file(in_scratch(path), 12, 1);
    tool_run(cmd_compare, "compare", one, two, "--store", in_scratch("store"), NULL);
    tool_expect(1, "", "is damaged: its bytes are not those of its CID");
}

/* More than a leaf, so that the file is put together again. */
static void test_a_model_may_be_a_file_that_add_put_into_a_store(void **state)
{
    (void)state;
    const size_t elements = 3u << 18;
    uint8_t *data = stream_bytes("a model", elements * sizeof(int32_t));
    char one[CID_TEXT_MAX];
    write_tensor("a", DTYPE_I32, elements, data);
    data[elements * sizeof(int32_t) - 1] ^= 1;
    write_tensor("b", DTYPE_I32, elements, data);
    free(data);
    tool_run(cmd_add, "add", "-Q", "--store", in_scratch("store"), in_scratch("a"), NULL);
    assert_int_equal(tool.status, 0);
    snprintf(one, sizeof one, "%.*s", (int)strcspn(tool_out(), "\n"), tool_out());
    tool_run(cmd_compare, "compare", one, in_scratch("a"), "--store", in_scratch("store"), NULL);
    tool_expect(0, "identical", "");
    tool_run(cmd_compare, "compare", one, in_scratch("b"), "--store", in_scratch("store"), NULL);
    tool_expect(1, "1 of 1 tensors differ", "");
    tool_run(cmd_compare, "compare", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
             in_scratch("b"), "--store", in_scratch("store"), NULL);
    tool_expect(1, "", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
}

static void test_what_is_not_there_or_no_model_is_named(void **state)
{
    (void)state;
    const float a[1] = {1};
    write_tensor("a", DTYPE_F32, 1, a);
    tool_run(cmd_compare, "compare", in_scratch("a"), in_scratch("none"), NULL);
    tool_expect(1, "", "none");
    write_file(in_scratch("b"), bytes_of_text("no model at all"));
    run_compare();
    tool_expect(1, "", "/b: safetensors");
    tool_run(cmd_compare, "compare", in_scratch("a"), NULL);
    tool_expect(2, "", "an argument is missing: colmeia compare [OPTION]... A B");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_model_is_identical_to_itself),
        TEST(test_norm_largest_and_cosine_are_those_of_the_numbers),
        TEST(test_every_dtype_is_subtracted_as_what_it_is),
        TEST(test_a_sum_goes_over_all_pieces_in_element_order),
        TEST(test_what_is_no_number_is_found_and_said),
        TEST(test_zeros_of_both_signs_differ_by_nothing),
        TEST(test_the_order_of_tensors_in_a_file_does_not_matter),
        TEST(test_models_of_two_layouts_are_not_compared),
        TEST(test_a_model_may_be_named_by_its_cid_in_a_store),
        TEST(test_a_model_may_be_a_file_that_add_put_into_a_store),
        TEST(test_what_is_not_there_or_no_model_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
