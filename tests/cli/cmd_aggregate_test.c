/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cli/tool.h"

#include "base/random.h"
#include "model/safetensors.h"

#define FLOATS  200000 /* more than a shard */
#define DOUBLES 1000

struct values {
    double wide[DOUBLES];
    int64_t steps[2];
    float narrow[FLOATS];
};

static float random_float(struct random_stream *s)
{
    return (float)(random_stream_unit(s) * 2 - 1) * (float)(1u << (random_stream_u64(s) % 30));
}

static struct values *make_values(uint8_t seed)
{
    struct values *v = calloc(1, sizeof *v);
    struct random_stream s;
    assert_non_null(v);
    random_stream_init(&s, (uint8_t[HASH_BYTES]){seed});
    for (size_t i = 0; i < DOUBLES; i++)
        v->wide[i] = (double)random_float(&s);
    for (size_t i = 0; i < FLOATS; i++)
        v->narrow[i] = random_float(&s);
    v->steps[0] = 7;
    v->steps[1] = -1;
    return v;
}

static struct layout *make_layout(const char *narrow)
{
    struct tensor tensors[] = {
        {.name = (char *)narrow, .dtype = DTYPE_F32, .rank = 2, .shape = {2, FLOATS / 2}},
        {.name = (char *)"steps", .dtype = DTYPE_I64, .use = USE_FIXED, .rank = 1, .shape = {2}},
        {.name = (char *)"wide", .dtype = DTYPE_F64, .rank = 1, .shape = {DOUBLES}}};
    struct layout *l;
    for (size_t i = 0; i < 3; i++) {
        tensors[i].elements = tensors[i].shape[0];
        for (unsigned k = 1; k < tensors[i].rank; k++)
            tensors[i].elements *= tensors[i].shape[k];
    }
    assert_int_equal(layout_new(tensors, 3, &l, NULL), 0);
    return l;
}

/* In layout order: wide, steps, narrow. */
static void write_model(const char *name, const struct values *v, const char *narrow)
{
    struct buf file = buf_new(8u << 20);
    struct layout *l = make_layout(narrow);
    assert_int_equal(safetensors_format(l, &file, NULL), 0);
    buf_append(&file, v, sizeof *v);
    assert_int_equal(buf_check(&file, NULL), 0);
    write_file(in_scratch(name), buf_bytes(&file));
    buf_fini(&file);
    layout_free(l);
}

/* The same model as another library might write it: other order, metadata, no alignment. */
static void write_foreign(const char *name, const struct values *v)
{
    struct buf file = buf_new(8u << 20), header = buf_new(4096);
    uint8_t length[8];
    buf_append_format(&header,
                      "{\"__metadata__\":{\"format\":\"pt\"},\"narrow\":{\"dtype\":\"F32\","
                      "\"shape\":[2,%d],\"data_offsets\":[0,%d]},"
                      "\"wide\":{\"dtype\":\"F64\",\"shape\":[%d],\"data_offsets\":[%d,%d]},"
                      "\"steps\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[%d,%d]}}",
                      FLOATS / 2, FLOATS * 4, DOUBLES, FLOATS * 4, FLOATS * 4 + DOUBLES * 8,
                      FLOATS * 4 + DOUBLES * 8, FLOATS * 4 + DOUBLES * 8 + 16);
    bytes_put_u64(length, header.size);
    buf_append(&file, length, sizeof length);
    buf_append(&file, header.data, header.size);
    buf_append(&file, v->narrow, sizeof v->narrow);
    buf_append(&file, v->wide, sizeof v->wide);
    buf_append(&file, v->steps, sizeof v->steps);
    write_file(in_scratch(name), buf_bytes(&file));
    buf_fini(&header);
    buf_fini(&file);
}

static struct values *read_model(const char *name)
{
    struct buf file = read_file(in_scratch(name));
    struct safetensors s;
    struct values *v = malloc(sizeof *v);
    assert_non_null(v);
    assert_int_equal(safetensors_parse(buf_bytes(&file), file.size, NULL, &s, NULL), 0);
    assert_true(s.canonical);
    assert_int_equal(file.size, s.data_start + sizeof *v);
    memcpy(v, file.data + s.data_start, sizeof *v);
    safetensors_fini(&s);
    buf_fini(&file);
    return v;
}

static void average(const char *weights, const char *a, const char *b, const char *c)
{
    char x[3][256];
    const char *names[3] = {a, b, c};
    for (size_t i = 0; i < 3; i++)
        snprintf(x[i], sizeof x[i], "%s", in_scratch(names[i]));
    tool_run(cmd_aggregate, "aggregate", "--rule", "fedavg", "--weights", weights, "-o",
             in_scratch("out"), x[0], x[1], x[2], NULL);
}

/* What the man page says, element by element. */
static void expect_average(const struct values *const v[3], const uint32_t weights[3])
{
    struct values *found = read_model("out");
    double total = (double)weights[0] + (double)weights[1] + (double)weights[2];
    for (size_t i = 0; i < FLOATS; i++) {
        double base = (double)v[0]->narrow[i], sum = 0;
        for (size_t k = 0; k < 3; k++)
            sum += (double)weights[k] * (double)(float)((double)v[k]->narrow[i] - base);
        float wanted = (float)(base + sum / total);
        if (memcmp(&wanted, &found->narrow[i], sizeof wanted) != 0)
            fail_msg("element %zu: %a, not %a", i, (double)found->narrow[i], (double)wanted);
    }
    for (size_t i = 0; i < DOUBLES; i++) {
        double base = v[0]->wide[i], sum = 0;
        for (size_t k = 0; k < 3; k++)
            sum += (double)weights[k] * (v[k]->wide[i] - base);
        double wanted = base + sum / total;
        assert_memory_equal(&wanted, &found->wide[i], sizeof wanted);
    }
    assert_memory_equal(found->steps, v[0]->steps, sizeof found->steps);
    free(found);
}

static void test_the_result_is_the_first_plus_the_mean_of_differences_to_the_bit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t weights[3];
    } rows[] = {{"3,5,2", {3, 5, 2}},
                {"1,1,1", {1, 1, 1}},
                {"536870911,1,536870911", {536870911, 1, 536870911}}};
    struct values *v[3] = {make_values(1), make_values(2), make_values(3)};
    write_model("a", v[0], "narrow");
    write_model("b", v[1], "narrow");
    write_model("c", v[2], "narrow");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        average(rows[i].text, "a", "b", "c");
        tool_expect(0, "", "");
        expect_average((const struct values *const *)v, rows[i].weights);
    }
    for (size_t i = 0; i < 3; i++)
        free(v[i]);
}

static int count_name(void *arg, const char *name, struct err *err)
{
    size_t *names = arg;
    (void)name;
    (void)err;
    ++*names;
    return 0;
}

static void test_a_file_in_another_form_counts_by_its_tensors(void **state)
{
    (void)state;
    struct values *v[3] = {make_values(1), make_values(2), make_values(3)};
    write_foreign("a", v[0]);
    write_model("b", v[1], "narrow");
    write_foreign("c", v[2]);
    average("3,5,2", "a", "b", "c");
    tool_expect(0, "", "");
    expect_average((const struct values *const *)v, (const uint32_t[]){3, 5, 2});
    for (size_t i = 0; i < 3; i++)
        free(v[i]);
    size_t names = 0;
    assert_int_equal(files_posix()->list(NULL, scratch, count_name, &names, NULL), 0);
    assert_int_equal(names, 6); /* a, b, c, out; stdout, stderr: what was rewritten is gone */
}

static void test_one_file_averaged_with_itself_stays_as_it_is(void **state)
{
    (void)state;
    struct values *v = make_values(4);
    write_model("a", v, "narrow");
    average("3,5,2", "a", "a", "a");
    tool_expect(0, "", "");
    struct values *found = read_model("out");
    assert_memory_equal(found, v, sizeof *v);
    free(found);
    free(v);
}

static void test_what_cannot_be_averaged_is_named_and_nothing_is_written(void **state)
{
    (void)state;
    struct values *v = make_values(1);
    write_model("a", v, "narrow");
    write_model("other", v, "arrow");
    v->steps[1] = 5;
    write_model("steps", v, "narrow");
    v->steps[1] = -1;
    v->narrow[150000] = __builtin_nanf("");
    write_model("nan", v, "narrow");
    v->narrow[150000] = -3e38f;
    write_model("low", v, "narrow");
    v->narrow[150000] = 3e38f;
    write_model("high", v, "narrow");
    free(v);
    write_file(in_scratch("text"), bytes_of_text("this is no model at all"));
    static const struct {
        const char *b, *weights;
        int status;
        const char *sentence;
    } rows[] = {
        {"other", "1,1,1", 1, "arrow"},
        {"steps", "1,1,1", 1, "tensor steps is of integers and differs"},
        {"nan", "1,1,1", 1, "nan, from element 131072 of tensor narrow on"},
        {"text", "1,1,1", 1, "text"},
        {"absent", "1,1,1", 1, "absent"},
        {"a", "1,1", 2, "as many numbers as files, 3"},
        {"a", "1,1,1,1", 2, "as many numbers as files, 3"},
        {"a", "1,0,1", 2, "a weight of 0"},
        {"a", "1,536870912,1", 2, "\"536870912\""},
        {"a", "1,,1", 2, "\"\""},
        {"a", "1,-1,1", 2, "\"-1\""},
        {"a", "1.5,1,1", 2, "\"1.5\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        average(rows[i].weights, "a", rows[i].b, "a");
        tool_expect(rows[i].status, "", rows[i].sentence);
        assert_false(files_exists(files_posix(), in_scratch("out")));
        assert_false(files_exists(files_posix(), in_scratch("out.part")));
    }
    average("1,1,1", "low", "high", "low"); /* the difference is no f32 */
    tool_expect(1, "", "high, from element 131072 of tensor narrow on");
    tool_run(cmd_aggregate, "aggregate", "--rule", "moments", "--weights", "1", "-o",
             in_scratch("out"), in_scratch("a"), NULL);
    tool_expect(2, "", "\"moments\" is no rule that averages models");
    tool_run(cmd_aggregate, "aggregate", "-o", in_scratch("out"), in_scratch("a"), NULL);
    tool_expect(2, "", "give --weights");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_result_is_the_first_plus_the_mean_of_differences_to_the_bit),
        TEST(test_a_file_in_another_form_counts_by_its_tensors),
        TEST(test_one_file_averaged_with_itself_stays_as_it_is),
        TEST(test_what_cannot_be_averaged_is_named_and_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
