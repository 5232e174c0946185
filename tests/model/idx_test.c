/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <sys/stat.h>

#include "model/idx.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* Three images of 2 x 2 and their labels. */
#define IMAGES "00000803 00000003 00000002 00000002 "
#define PIXELS "00ff0180 ffffffff 00000001"
#define LABELS "00000801 00000003 "

static void write_hex(const char *name, const char *hex)
{
    uint8_t bytes[256];
    size_t size = from_hex(hex, bytes, sizeof bytes);
    write_file(in_scratch(name), bytes_of(bytes, size));
}

static void test_images_and_labels_become_examples(void **state)
{
    (void)state;
    static const uint8_t pixels[12] = {0, 255, 1, 128, 255, 255, 255, 255, 0, 0, 0, 1};
    struct dataset d;
    struct err err = {0};
    write_hex("train-images-idx3-ubyte", IMAGES PIXELS);
    write_hex("train-labels-idx1-ubyte", LABELS "09 00 03");
    assert_int_equal(idx_load(in_scratch("train-images-idx3-ubyte"), 10, &d, &err), 0);
    assert_int_equal(d.rows, 3);
    assert_int_equal(d.features, 4);
    for (size_t i = 0; i < 12; i++)
        assert_true(d.x[i] == (float)pixels[i] / 255.0f);
    assert_true(d.x[0] == 0 && d.x[1] == 1);
    assert_true(d.y[0] == 9 && d.y[1] == 0 && d.y[2] == 3);
    dataset_fini(&d);
}

static void test_labels_lie_beside_under_the_name_that_follows(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
        {"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
        {"images", "labels"},
        {"images.idx", "labels.idx"},
        {"a-images-idx2-ubyte", "a-labels-idx1-ubyte"},
    };
    struct dataset d;
    struct err err = {0};
    assert_int_equal(mkdir(in_scratch("images-idx3"), 0700), 0); /* a folder's name is left alone */
    for (size_t i = 0; i < COUNT(names); i++) {
        char images[64], labels[64];
        snprintf(images, sizeof images, "images-idx3/%s", names[i][0]);
        snprintf(labels, sizeof labels, "images-idx3/%s", names[i][1]);
        write_hex(images, IMAGES PIXELS);
        write_hex(labels, LABELS "00 01 02");
        if (idx_load(in_scratch(images), 3, &d, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(d.rows, 3);
        dataset_fini(&d);
        assert_int_equal(remove(in_scratch(images)), 0);
        assert_int_equal(remove(in_scratch(labels)), 0);
    }
    write_hex("digits", IMAGES PIXELS);
    assert_int_equal(idx_load(in_scratch("digits"), 3, &d, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "must say \"images\""));
}

static void test_any_rank_from_two_on_is_flattened(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        size_t rows, features;
    } rows[] = {
        {"00000802 00000002 00000003 010203 040506", 2, 3},
        {"00000804 00000002 00000001 00000003 00000001 010203 040506", 2, 3},
        {"00000803 00000002 00000001 00000001 01 02", 2, 1},
    };
    struct dataset d;
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_hex("images", rows[i].hex);
        write_hex("labels", "00000801 00000002 0001");
        assert_int_equal(idx_load(in_scratch("images"), 2, &d, NULL), 0);
        assert_int_equal(d.rows, rows[i].rows);
        assert_int_equal(d.features, rows[i].features);
        dataset_fini(&d);
    }
}

/* Longer than what is read at once, and not a multiple of it. */
static void test_large_files_are_read_to_their_last_byte(void **state)
{
    (void)state;
    enum {
        IMAGE_COUNT = 331,
        WIDTH = 28 * 28
    };
    uint8_t *images = stream_bytes("images", 16 + IMAGE_COUNT * WIDTH);
    uint8_t labels[8 + IMAGE_COUNT];
    struct dataset d;
    memcpy(images, (const uint8_t[]){0, 0, 8, 3, 0, 0, 1, 75, 0, 0, 0, 28, 0, 0, 0, 28}, 16);
    memcpy(labels, (const uint8_t[]){0, 0, 8, 1, 0, 0, 1, 75}, 8);
    for (size_t i = 0; i < IMAGE_COUNT; i++)
        labels[8 + i] = (uint8_t)(i % 10);
    write_file(in_scratch("images"), bytes_of(images, 16 + IMAGE_COUNT * WIDTH));
    write_file(in_scratch("labels"), bytes_of(labels, sizeof labels));
    assert_int_equal(idx_load(in_scratch("images"), 10, &d, NULL), 0);
    assert_int_equal(d.rows, IMAGE_COUNT);
    assert_int_equal(d.features, WIDTH);
    for (size_t i = 0; i < IMAGE_COUNT * WIDTH; i++)
        assert_true(d.x[i] == (float)images[16 + i] / 255.0f);
    for (size_t i = 0; i < IMAGE_COUNT; i++)
        assert_int_equal(d.y[i], i % 10);
    dataset_fini(&d);
    free(images);
}

static void test_what_is_wrong_is_said_of_its_file(void **state)
{
    (void)state;
    static const struct {
        const char *images, *labels;
        int rc;
        const char *words;
    } rows[] = {
        {"", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"000008", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"01000803 00000001", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"00010803 00000001", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"00000703 00000001", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"00000f03 00000001", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"00000800 00000001", LABELS "000102", ERR_MALFORMED, "images: not an IDX file"},
        {"00000d02 00000001 00000001 00000000", LABELS "000102", ERR_UNSUPPORTED,
         "images: IDX of type 0x0d"}, /* floats */
        {"00000801 00000003 000102", LABELS "000102", ERR_MALFORMED,
         "images: IDX of 1 dimensions, expected 2 or more"},
        {"00000809 00000003 000102", LABELS "000102", ERR_MALFORMED, "images: IDX of 9 dimensions"},
        {"00000803 00000003 00000002", LABELS "000102", ERR_MALFORMED,
         "images: the file ends in its header"},
        {"00000803 00000000 00000002 00000002", LABELS "000102", ERR_MALFORMED,
         "images: dimension 1 is 0"},
        {"00000803 00000003 00000002 00000000", LABELS "000102", ERR_MALFORMED,
         "images: dimension 3 is 0"},
        {IMAGES "00ff0180 ffffffff 000000", LABELS "000102", ERR_MALFORMED,
         "images: 27 bytes, its header says 28"}, /* one short */
        {IMAGES PIXELS "00", LABELS "000102", ERR_MALFORMED,
         "images: 29 bytes, its header says 28"}, /* one too many */
        {"00000803 ffffffff 0000001c 0000001c", LABELS "000102", ERR_LIMIT,
         "images: more than 1073741824 values"},
        {"00000804 00010000 00000100 00000001 00000100", LABELS "000102", ERR_LIMIT,
         "images: more than 1073741824 values"}, /* 2^32 of them */
        {"00000803 00000001 00010000 00000002", LABELS "000102", ERR_LIMIT,
         "images: more than 65536 features"},
        {IMAGES PIXELS, "", ERR_MALFORMED, "labels: not an IDX file"},
        {IMAGES PIXELS, IMAGES PIXELS, ERR_MALFORMED, "labels: IDX of 3 dimensions, expected 1"},
        {IMAGES PIXELS, "00000801 00000003 0001", ERR_MALFORMED,
         "labels: 10 bytes, its header says 11"},
        {IMAGES PIXELS, "00000801 00000002 0001", ERR_MALFORMED, "has 3 images"},
        {IMAGES PIXELS, LABELS "00010a", ERR_MALFORMED,
         "labels: label 3 is not a class number below 10"},
        {IMAGES PIXELS, NULL, ERR_NOTFOUND, "labels"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dataset d = {.rows = 77};
        struct err err = {0};
        write_hex("images", rows[i].images);
        (void)remove(in_scratch("labels"));
        if (rows[i].labels != NULL)
            write_hex("labels", rows[i].labels);
        assert_int_equal(idx_load(in_scratch("images"), 10, &d, &err), rows[i].rc);
        if (strstr(err.text, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].words, err.text);
        assert_int_equal(d.rows, 77);
    }
    assert_int_equal(idx_load(in_scratch("no-images"), 10, &(struct dataset){0}, NULL),
                     ERR_NOTFOUND);
}

static void test_idx_is_known_by_its_first_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        bool is;
    } rows[] = {{IMAGES PIXELS, true},       {LABELS "000102", true},
                {"00000803", true},          /* what is wrong with it, idx_load says */
                {"00000d02", true},          /* and what is not read here */
                {"612c620a312c320a", false}, /* "a,b" */
                {"efbbbf61", false},         {"00000000", false},
                {"000008", false},           {"", false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_hex("x", rows[i].hex);
        assert_int_equal(idx_is(in_scratch("x")), rows[i].is);
    }
    assert_false(idx_is(in_scratch("absent")));
    assert_false(idx_is(scratch)); /* a folder */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_images_and_labels_become_examples),
        TEST(test_labels_lie_beside_under_the_name_that_follows),
        TEST(test_any_rank_from_two_on_is_flattened),
        TEST(test_large_files_are_read_to_their_last_byte),
        TEST(test_what_is_wrong_is_said_of_its_file),
        TEST(test_idx_is_known_by_its_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
