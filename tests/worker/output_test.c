/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"

#include "worker/output.h"

static const struct tensor tensors[] = {
    {.name = "w", .dtype = DTYPE_F32, .use = USE_MEAN, .rank = 2, .shape = {2, 3}},
    {.name = "b", .dtype = DTYPE_F32, .use = USE_FIXED, .rank = 1, .shape = {2}},
    {.name = "h", .dtype = DTYPE_BF16, .use = USE_MEAN, .rank = 1, .shape = {3}},
    {.name = "n", .dtype = DTYPE_I64, .use = USE_LARGEST, .rank = 0}};

static struct layout *plan_layout(void)
{
    struct layout *l;
    MUST(layout_new(tensors, sizeof tensors / sizeof tensors[0], &l, err));
    return l;
}

/* A file of this header, padded or not, and of so many data bytes that count upwards. */
static void write_model(const char *header, size_t bytes)
{
    struct buf file = buf_new(1u << 20);
    uint8_t length[8];
    bytes_put_u64(length, strlen(header));
    buf_append(&file, length, sizeof length);
    buf_append_text(&file, header);
    for (size_t i = 0; i < bytes; i++)
        buf_append_byte(&file, (uint8_t)(i + 1));
    write_file(in_scratch("model"), buf_bytes(&file));
    buf_fini(&file);
}

/* As Python's safetensors would: metadata, its own order, no alignment. */
#define FOREIGN                                                                                    \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[6,14]},"                             \
    "\"h\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]},"                             \
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[14,38]},"                          \
    "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[38,46]}}"

static void test_a_foreign_form_becomes_canonical_with_the_plans_uses(void **state)
{
    (void)state;
    struct layout *l = plan_layout();
    struct buf header = buf_new(1u << 20);
    write_model(FOREIGN, 46);
    MUST(output_adopt(files_posix(), in_scratch("model"), l, err));
    struct buf file = read_file(in_scratch("model"));
    MUST(safetensors_format(l, &header, err));
    assert_int_equal(file.size, header.size + l->data_bytes);
    assert_memory_equal(file.data, header.data, header.size);
    assert_int_equal(file.data[header.size + layout_find(l, "w")->offset], 15);
    assert_int_equal(file.data[header.size + layout_find(l, "h")->offset], 1);
    assert_int_equal(file.data[header.size + layout_find(l, "n")->offset], 39);
    assert_false(files_exists(files_posix(), in_scratch("model.canonical")));

    /* What is canonical already is left as it is. */
    MUST(output_adopt(files_posix(), in_scratch("model"), l, err));
    struct buf again = read_file(in_scratch("model"));
    assert_true(bytes_equal(buf_bytes(&file), buf_bytes(&again)));
    buf_fini(&again);
    buf_fini(&file);
    buf_fini(&header);
    layout_free(l);
}

static void test_what_an_earlier_run_left_is_no_hindrance(void **state)
{
    (void)state;
    struct layout *l = plan_layout();
    write_file(in_scratch("model.canonical"), bytes_of_text("half a model"));
    write_model(FOREIGN, 46);
    MUST(output_adopt(files_posix(), in_scratch("model"), l, err));
    layout_free(l);
}

static void test_another_layout_is_refused_naming_the_tensor(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } changes[] = {
        {"\"w\":", "\"v\":", "w"},                           /* another name */
        {"\"shape\":[2,3]", "\"shape\":[3,2]", "w"},         /* another shape */
        {"\"I64\"", "\"U64\"", "n"},                         /* another dtype */
        {"\"BF16\"", "\"F16\"", "h"},                        /* likewise */
        {"\"BF16\"", "\"Q4\"", "dtype"},                     /* one that nobody knows */
        {"[0,6]", "[0,7]", "its model"},                     /* overlap */
        {"\"__metadata__\"", "\"__metadata\"", "its model"}, /* no model at all */
    };
    struct layout *l = plan_layout();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct err err = {0};
        struct buf header = buf_new(4096);
        const char *at = strstr(FOREIGN, changes[i].from);
        assert_non_null(at);
        buf_append(&header, FOREIGN, strlen(FOREIGN) - strlen(at));
        buf_append_text(&header, changes[i].to);
        buf_append_text(&header, at + strlen(changes[i].from));
        write_model(buf_text(&header), 46);
        if (output_adopt(files_posix(), in_scratch("model"), l, &err) != ERR_MALFORMED ||
            strstr(err.text, changes[i].words) == NULL)
            fail_msg("%s: %s", changes[i].to, err.text);
        buf_fini(&header);
    }
    write_model(FOREIGN, 45); /* cut */
    assert_int_equal(output_adopt(files_posix(), in_scratch("model"), l, NULL), ERR_MALFORMED);
    write_model(FOREIGN, 47);
    assert_int_equal(output_adopt(files_posix(), in_scratch("model"), l, NULL), ERR_MALFORMED);
    write_file(in_scratch("model"), bytes_of(NULL, 0));
    assert_int_equal(output_adopt(files_posix(), in_scratch("model"), l, NULL), ERR_MALFORMED);
    layout_free(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest all[] = {
        TEST(test_a_foreign_form_becomes_canonical_with_the_plans_uses),
        TEST(test_what_an_earlier_run_left_is_no_hindrance),
        TEST(test_another_layout_is_refused_naming_the_tensor),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
