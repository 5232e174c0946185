/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <sys/stat.h>

#include "worker/program_digest.h"

/* The texts are words of the command, then behind NULL the files. */
static void digest(const char *folder, const char *const *texts, uint8_t out[HASH_BYTES])
{
    struct program_config c = {.command_count = 0};
    struct err err = {0};
    char *at = c.command;
    for (; *texts != NULL; texts++, c.command_count++)
        at = stpcpy(at, *texts) + 1;
    at = c.files;
    for (texts++; *texts != NULL; texts++, c.file_count++)
        at = stpcpy(at, *texts) + 1;
    if (program_digest(&c, folder, out, &err) != 0)
        fail_msg("%s", err.text);
}

#define DIGEST(folder, out, ...) digest(folder, (const char *const[]){__VA_ARGS__, NULL}, out)

static bool same(const uint8_t a[HASH_BYTES], const uint8_t b[HASH_BYTES])
{
    return memcmp(a, b, HASH_BYTES) == 0;
}

static int setup(void **state)
{
    int rc = scratch_setup(state);
    for (const char *const *folder = (const char *const[]){"one", "two", NULL}; *folder != NULL;
         folder++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", scratch, *folder);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/%s/cnn.py", scratch, *folder);
        write_file(path, bytes_of_text("train()\n"));
        snprintf(path, sizeof path, "%s/%s/helper.py", scratch, *folder);
        write_file(path, bytes_of_text("help()\n"));
    }
    return rc;
}

/* Written by hand: ["python3", "cnn.py", "--fast"], [["cnn.py", h(train)], ["helper.py", h(help)]]
 */
static void test_it_is_the_hash_of_the_documented_bytes(void **state)
{
    (void)state;
    uint8_t found[HASH_BYTES], expected[HASH_BYTES], one[HASH_BYTES], two[HASH_BYTES];
    struct buf b = buf_new(4096);
    hash_sha256(bytes_of_text("train()\n"), one);
    hash_sha256(bytes_of_text("help()\n"), two);
    buf_append_text(&b, "colmeia-trainer-1:\x82\x83\x67python3\x66"
                        "cnn.py\x66--fast\x82\x82\x66"
                        "cnn.py\x58\x20");
    buf_append(&b, one, sizeof one);
    buf_append_text(&b, "\x82\x69helper.py\x58\x20");
    buf_append(&b, two, sizeof two);
    hash_sha256(buf_bytes(&b), expected);
    DIGEST(in_scratch("one"), found, "python3", "cnn.py", "--fast", NULL, "helper.py");
    assert_memory_equal(found, expected, HASH_BYTES);
    buf_fini(&b);
}

static void test_folders_do_not_matter(void **state)
{
    (void)state;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    DIGEST(in_scratch("one"), a, "python3", "cnn.py", NULL, "helper.py");
    DIGEST(in_scratch("two"), b, "python3", "./cnn.py", NULL, "helper.py");
    assert_true(same(a, b));
    DIGEST("/", b, "python3", in_scratch("two/cnn.py"), NULL, in_scratch("one/helper.py"));
    assert_true(same(a, b));
    DIGEST(in_scratch("one"), a, "./cnn.py", NULL);
    DIGEST("/", b, in_scratch("two/cnn.py"), NULL);
    assert_true(same(a, b));
}

static void test_every_byte_of_each_file_and_every_word_matters(void **state)
{
    (void)state;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    char one[256];
    snprintf(one, sizeof one, "%s/one", scratch);
    DIGEST(one, a, "python3", "cnn.py", NULL, "helper.py");
    DIGEST(one, b, "python3", "cnn.py", NULL);
    assert_false(same(a, b));
    DIGEST(one, b, "python3", "cnn.py", "-v", NULL, "helper.py");
    assert_false(same(a, b));
    DIGEST(one, b, "python2", "cnn.py", NULL, "helper.py");
    assert_false(same(a, b));
    for (long i = 0; i < 7; i++) {
        damage_file(in_scratch("one/helper.py"), i, 1);
        DIGEST(one, b, "python3", "cnn.py", NULL, "helper.py");
        assert_false(same(a, b));
        damage_file(in_scratch("one/helper.py"), i, 255);
    }
    DIGEST(one, b, "python3", "cnn.py", NULL, "helper.py");
    assert_true(same(a, b));
    damage_file(in_scratch("one/cnn.py"), 3, 1);
    DIGEST(one, b, "python3", "cnn.py", NULL, "helper.py");
    assert_false(same(a, b));
}

static void test_a_file_counts_once_and_in_any_order(void **state)
{
    (void)state;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    char one[256];
    snprintf(one, sizeof one, "%s/one", scratch);
    DIGEST(one, a, "python3", "cnn.py", NULL, "helper.py");
    DIGEST(one, b, "python3", "cnn.py", NULL, "helper.py", "cnn.py", "../two/helper.py");
    assert_true(same(a, b));
}

/* The interpreter is a name; a file of that name in the folder is not what PATH finds. */
static void test_an_interpreter_is_its_name_alone(void **state)
{
    (void)state;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    char one[256];
    snprintf(one, sizeof one, "%s/one", scratch);
    DIGEST(one, a, "python3", "cnn.py", NULL);
    write_file(in_scratch("one/python3"), bytes_of_text("another"));
    DIGEST(one, b, "python3", "cnn.py", NULL);
    assert_true(same(a, b));
    DIGEST(one, b, "./python3", "cnn.py", NULL);
    assert_false(same(a, b));
}

static void test_words_that_name_no_file_stay_words(void **state)
{
    (void)state;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    DIGEST(scratch, a, "sh", "one", "none", NULL); /* a folder, and nothing */
    DIGEST("/", b, "sh", "one", "none", NULL);
    assert_true(same(a, b));
    assert_int_equal(mkfifo(in_scratch("none"), 0600), 0); /* is not waited for */
    DIGEST(scratch, a, "sh", "one", "none", NULL);
    assert_true(same(a, b));
}

static void test_a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"none.py", "."};
    for (size_t i = 0; i < 2; i++) {
        struct program_config c = {.command_count = 1, .file_count = 1, .command = "sh"};
        struct err err = {0};
        uint8_t out[HASH_BYTES];
        strcpy(c.files, names[i]);
        assert_int_equal(program_digest(&c, scratch, out, &err), ERR_USAGE);
        assert_non_null(strstr(err.text, names[i]));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_is_the_hash_of_the_documented_bytes),
        TEST(test_folders_do_not_matter),
        TEST(test_every_byte_of_each_file_and_every_word_matters),
        TEST(test_a_file_counts_once_and_in_any_order),
        TEST(test_an_interpreter_is_its_name_alone),
        TEST(test_words_that_name_no_file_stay_words),
        TEST(test_a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
