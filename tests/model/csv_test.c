/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "model/csv.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static int load(struct bytes text, uint32_t classes, struct dataset *out, struct err *err)
{
    write_file(in_scratch("d.csv"), text);
    return csv_load(in_scratch("d.csv"), "y", classes, out, err);
}

static void test_columns_but_the_target_are_features_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"a,y,b\n1.5,1,-2e3\n0,0,.25\n", "LF"},
        {"a,y,b\n1.5,1,-2e3\n0,0,.25", "no end of line at the end of the file"},
        {"a,y,b\r\n1.5,1,-2e3\r\n0,0,.25\r\n", "CRLF"},
        {"a,y,b\r\n1.5,1,-2e3\n0,0,.25", "mixed"},
        {"\"a\",\"y\",\"b\"\n\"1.5\",\"1\",\"-2e3\"\n\"0\",0,\".25\"\n", "quotes"},
        {"\"a,\"\"1\"\"\",y,\"y,\"\r\n1.5,1,-2e3\r\n0,0,.25\r\n", "commas and quotes in quotes"},
        {",y,\n1.5,1,-2e3\n0,0,.25\n", "columns without a name"},
        {"\xef\xbb\xbf"
         "a,y,b\n1.5,1,-2e3\n0,0,.25\n",
         "a byte order mark"},
        {"a,y,a\n+1.5,01,-2E+3\n-0,00,2.5e-1\n", "other ways to write the numbers"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dataset d = {0};
        struct err err = {0};
        static const float x[] = {1.5f, -2000.0f, 0.0f, 0.25f};
        if (load(bytes_of_text(rows[i].text), 2, &d, &err) != 0)
            fail_msg("%s: %s", rows[i].why, err.text);
        assert_int_equal(d.rows, 2);
        assert_int_equal(d.features, 2);
        for (size_t j = 0; j < 4; j++)
            assert_true(d.x[j] == x[j]);
        assert_int_equal(d.y[0], 1);
        assert_int_equal(d.y[1], 0);
        dataset_fini(&d);
    }
}

static void test_the_target_may_stand_first_or_last(void **state)
{
    (void)state;
    struct dataset d = {0};
    assert_int_equal(load(bytes_of_text("y,a\n2,7\n"), 3, &d, NULL), 0);
    assert_true(d.y[0] == 2 && d.x[0] == 7.0f);
    dataset_fini(&d);
    assert_int_equal(load(bytes_of_text("a,y\n7,2\n"), 3, &d, NULL), 0);
    assert_true(d.y[0] == 2 && d.x[0] == 7.0f);
    dataset_fini(&d);
}

/* A number is rounded to f32 once: by way of f64 this one would end on the other side. */
static void test_a_number_is_rounded_once(void **state)
{
    (void)state;
    struct dataset d = {0};
    const char *text = "a,y\n1.00000005960464477539062500000000000000001,0\n";
    assert_int_equal(load(bytes_of_text(text), 2, &d, NULL), 0);
    assert_true(d.x[0] == 0x1.000002p0f);
    dataset_fini(&d);
}

static void test_a_bad_file_is_refused_by_line_and_column(void **state)
{
    (void)state;
#define AT(line, column) "line " #line ", column " #column
    static const struct {
        const char *text;
        const char *where, *what;
    } rows[] = {
        {"", "line 1", "no header"},
        {"\n1\n", "line 1", "no column \"y\""},
        {"a,b\n1,2\n", "line 1", "no column \"y\""},
        {"a,Y\n1,2\n", "line 1", "no column \"y\""},
        {"y,a,y\n0,1,0\n", AT(1, 3), "a second column \"y\""},
        {"y\n0\n", "line 1", "no column besides \"y\""},
        {"\"a,y\n1,0\n", AT(1, 1), "a quote is not closed on its line"},
        {"a\"b,y\n1,0\n", AT(1, 1), "a stray quote, carriage return or NUL byte"},
        {"a,y\n", "line 2", "no examples"},
        {"a,y", "line 2", "no examples"},
        {"a,y\n1,0\n1\n", AT(3, 2) " (\"y\")", "missing: the line ends before it"},
        {"a,y\n1,0\n1,0,5\n", AT(3, 3), "more fields than the header has columns"},
        {"a,y\n1,0,\n", AT(2, 3), "more fields than the header has columns"},
        {"a,y\n,0\n", AT(2, 1) " (\"a\")", "empty"},
        {"a,y\n1,\n", AT(2, 2) " (\"y\")", "empty"},
        {"a,y\n1,", AT(2, 2) " (\"y\")", "empty"},
        {"a,y\n\"\",0\n", AT(2, 1) " (\"a\")", "empty"},
        {"a,y\n1,0\n\n1,0\n", AT(3, 1) " (\"a\")", "empty"},
        {"a,y\n1,0\n\n", AT(3, 1) " (\"a\")", "empty"},
        {"a,y\nabc,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\nnan,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n-inf,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n1e39,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n1e999,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n0x10,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n 1,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n1 ,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n1.2.3,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n1e,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a,y\n-,0\n", AT(2, 1) " (\"a\")", "not a finite decimal number"},
        {"a;y,y\n1;5,0\n", AT(2, 1) " (\"a;y\")", "not a finite decimal number"},
        {"a,y\n1,2\n", AT(2, 2) " (\"y\")", "not a class number below 2"},
        {"a,y\n1,-1\n", AT(2, 2) " (\"y\")", "not a class number below 2"},
        {"a,y\n1,1.0\n", AT(2, 2) " (\"y\")", "not a class number below 2"},
        {"a,y\n1,4294967296\n", AT(2, 2) " (\"y\")", "not a class number below 2"},
        {"a,y\n1,M\n", AT(2, 2) " (\"y\")", "not a class number below 2"},
        {"a,y\n\"1,0\n", AT(2, 1) " (\"a\")", "a quote is not closed on its line"},
        {"a,y\n\"1\n\",0\n", AT(2, 1) " (\"a\")", "a quote is not closed on its line"},
        {"a,y\n1,\"0", AT(2, 2) " (\"y\")", "a quote is not closed on its line"},
        {"a,y\n\"1\"5,0\n", AT(2, 1) " (\"a\")", "a stray quote, carriage return or NUL byte"},
        {"a,y\n1\"5\",0\n", AT(2, 1) " (\"a\")", "a stray quote, carriage return or NUL byte"},
        {"a,y\n1,0\r1,0\n", AT(2, 2) " (\"y\")", "a stray quote, carriage return or NUL byte"},
        {"a,y\r\n1,0\r\n1,0\r", AT(3, 2) " (\"y\")", "a stray quote, carriage return or NUL byte"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dataset d = {.rows = 77};
        struct err err = {0};
        char want[256];
        snprintf(want, sizeof want, "%s: %s: %s", in_scratch("d.csv"), rows[i].where, rows[i].what);
        int rc = load(bytes_of_text(rows[i].text), 2, &d, &err);
        if (rc != ERR_MALFORMED || strcmp(err.text, want) != 0)
            fail_msg("row %zu: %d %s, not %s", i, rc, err.text, want);
        assert_int_equal(d.rows, 77);
    }
}

static void test_a_nul_byte_does_not_end_a_number(void **state)
{
    (void)state;
    struct dataset d = {0};
    assert_int_equal(load(bytes_of("a,y\n1\0003,0\n", 11), 2, &d, NULL), ERR_MALFORMED);
    assert_int_equal(load(bytes_of("a,y\n\"1\0003\",0\n", 13), 2, &d, NULL), ERR_MALFORMED);
    assert_int_equal(load(bytes_of("a,y\n1,0\0", 8), 2, &d, NULL), ERR_MALFORMED);
    assert_int_equal(load(bytes_of("\0a,y\n1,0\n", 9), 2, &d, NULL), ERR_MALFORMED);
}

static void test_a_sentence_never_quotes_a_value(void **state)
{
    (void)state;
    struct dataset d = {0};
    struct err err;
    assert_int_equal(load(bytes_of_text("name,y\nAda Lovelace,0\n"), 2, &d, &err), ERR_MALFORMED);
    assert_null(strstr(err.text, "Ada"));
    assert_int_equal(load(bytes_of_text("age,y\n44,AIDS\n"), 2, &d, &err), ERR_MALFORMED);
    assert_null(strstr(err.text, "AIDS"));
}

static void test_columns_have_a_limit(void **state)
{
    (void)state;
    struct buf text = buf_new(1u << 20);
    struct dataset d = {0};
    struct err err;
    for (size_t i = 1; i < CSV_COLUMNS_MAX; i++)
        buf_append_text(&text, "c,");
    buf_append_text(&text, "y\n");
    for (size_t i = 1; i < CSV_COLUMNS_MAX; i++)
        buf_append_text(&text, "1,");
    buf_append_text(&text, "1\n");
    assert_int_equal(load(buf_bytes(&text), 2, &d, NULL), 0);
    assert_int_equal(d.features, CSV_COLUMNS_MAX - 1);
    dataset_fini(&d);
    buf_clear(&text);
    for (size_t i = 0; i < CSV_COLUMNS_MAX; i++)
        buf_append_text(&text, "c,");
    buf_append_text(&text, "y\n");
    assert_int_equal(load(buf_bytes(&text), 2, &d, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "line 1, column 4097: more than 4096 columns"));
    buf_fini(&text);
}

static void test_a_file_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct dataset d = {0};
    struct err err;
    assert_int_equal(csv_load(in_scratch("none.csv"), "y", 2, &d, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "none.csv"));
}

static void test_a_long_file_is_read_whole(void **state)
{
    (void)state;
    enum {
        ROWS = 100000,
        FEATURES = 10
    };
    struct buf text = buf_new(64u << 20);
    struct dataset d = {0};
    for (int j = 0; j < FEATURES; j++)
        buf_append_format(&text, "feature %d,", j);
    buf_append_text(&text, "y\r\n");
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < FEATURES; j++)
            buf_append_format(&text, "%d.5,", i * FEATURES + j);
        buf_append_format(&text, "%d\r\n", i % 3);
    }
    assert_int_equal(buf_check(&text, NULL), 0);
    assert_int_equal(load(buf_bytes(&text), 3, &d, NULL), 0);
    assert_int_equal(d.rows, ROWS);
    for (size_t i = 0; i < ROWS * FEATURES; i++)
        assert_true(d.x[i] == (float)i + 0.5f);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(d.y[i], i % 3);
    dataset_fini(&d);
    buf_fini(&text);
}

/* Every cut of a good file is read without a bad access, and so is every file with one byte
 * replaced by one that means something. */
static void test_damaged_files_end_in_an_answer(void **state)
{
    (void)state;
    static const char good[] = "a,\"b\"\"\",y\r\n1.5,\"2\",1\r\n-3,4e1,0\n";
    static const char bytes[] = {',', '"', '\r', '\n', '\0', '9', '-'};
    const size_t size = sizeof good - 1;
    for (size_t i = 0; i < size; i++)
        for (size_t b = 0; b <= sizeof bytes; b++) {
            char text[sizeof good];
            struct dataset d = {0};
            memcpy(text, good, size);
            if (b < sizeof bytes)
                text[i] = bytes[b];
            int rc = load(bytes_of(text, b < sizeof bytes ? size : i), 2, &d, NULL);
            if (rc == 0)
                assert_true(d.rows > 0 && d.rows <= 2 && d.features >= 1 && d.y[0] < 2);
            else
                assert_int_equal(rc, ERR_MALFORMED);
            dataset_fini(&d);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_but_the_target_are_features_in_order),
        cmocka_unit_test(test_the_target_may_stand_first_or_last),
        cmocka_unit_test(test_a_number_is_rounded_once),
        cmocka_unit_test(test_a_bad_file_is_refused_by_line_and_column),
        cmocka_unit_test(test_a_nul_byte_does_not_end_a_number),
        cmocka_unit_test(test_a_sentence_never_quotes_a_value),
        cmocka_unit_test(test_columns_have_a_limit),
        cmocka_unit_test(test_a_file_that_is_not_there_is_not_found),
        cmocka_unit_test(test_a_long_file_is_read_whole),
        cmocka_unit_test(test_damaged_files_end_in_an_answer),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
