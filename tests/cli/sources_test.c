/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sources.h"

#include <stdlib.h>

#include "tests/scratch.h"

static int setup(void **state)
{
    setenv("IPFS_GATEWAY", "", 1);
    int rc = scratch_setup(state);
    setenv("IPFS_PATH", in_scratch("nothing"), 1);
    return rc;
}

static void assert_url(const struct sources *s, size_t i, const char *url)
{
    assert_true(i < sources_count(s));
    assert_string_equal(sources_url(s, i), url);
}

static void test_nobody_named_is_no_source(void **state)
{
    (void)state;
    struct sources *s = NULL;
    struct options_list none = {0};
    assert_int_equal(sources_open(NULL, &s, NULL), 0);
    assert_null(s);
    assert_int_equal(sources_open(&none, &s, NULL), 0);
    assert_null(s);
    assert_int_equal(sources_count(s), 0);
    sources_close(s);
}

static void test_from_comes_before_the_variable_and_that_before_the_file(void **state)
{
    (void)state;
    struct sources *s = NULL;
    struct options_list from = {.count = 3,
                                .items = {"http://a:1/", "https://b.example//", "http://a:1"}};
    write_file(in_scratch("gateway"),
               bytes_of_text("# ours\n\nhttp://file:3\r\n  \nhttp://more\n"));
    setenv("IPFS_PATH", in_scratch("."), 1);
    setenv("IPFS_GATEWAY", "http://one,https://two/ \nhttp://three", 1);
    assert_int_equal(sources_open(&from, &s, NULL), 0);
    assert_int_equal(sources_count(s), 2); /* one was given twice */
    assert_url(s, 0, "http://a:1");
    assert_url(s, 1, "https://b.example");
    sources_close(s);
    assert_int_equal(sources_open(NULL, &s, NULL), 0);
    assert_int_equal(sources_count(s), 3);
    assert_url(s, 0, "http://one");
    assert_url(s, 1, "https://two");
    assert_url(s, 2, "http://three");
    sources_close(s);
    setenv("IPFS_GATEWAY", "", 1);
    assert_int_equal(sources_open(NULL, &s, NULL), 0);
    assert_int_equal(sources_count(s), 2);
    assert_url(s, 0, "http://file:3");
    assert_url(s, 1, "http://more");
    sources_close(s);
}

static const struct {
    const char *url, *why;
} bad[] = {
    {"", "nothing"},
    {"host:8080", "no scheme"},
    {"ftp://host", "another scheme"},
    {"file:///etc/passwd", "a file"},
    {"http://", "no host"},
    {"http:///ipfs", "no host before a path"},
    {"http://:80", "no host before a port"},
    {"http://a b", "a blank"},
    {"http://a/?format=car", "a query of its own"},
    {"http://a/#x", "a fragment"},
    {"http://a/ipfs/bafkqaaa", "a page, not a gateway"},
    {"http://a\x1b[2J", "what a terminal obeys"},
    {"http://\xc3\xa9", "not ASCII"},
};

static void test_what_is_no_gateways_url_is_refused_and_quoted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options_list from = {.count = 1, .items = {bad[i].url}};
        struct sources *s = NULL;
        struct err err = {0};
        if (sources_open(&from, &s, &err) != ERR_USAGE || s != NULL ||
            strstr(err.text, "--from") == NULL || strstr(err.text, bad[i].url) == NULL)
            fail_msg("%s: %s", bad[i].why, err.text);
    }
}

static void test_more_sources_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    static char urls[33][32];
    struct options_list from = {0};
    struct sources *s = NULL;
    struct err err = {0};
    for (size_t i = 0; i < 33; i++) {
        snprintf(urls[i], sizeof urls[i], "http://host-%zu", i);
        from.items[from.count++] = urls[i];
    }
    assert_int_equal(sources_open(&from, &s, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "more than 32"));
    from.count = 32;
    assert_int_equal(sources_open(&from, &s, NULL), 0);
    assert_int_equal(sources_count(s), 32);
    sources_close(s);
}

static void test_a_bad_line_says_in_which_file_it_stands(void **state)
{
    (void)state;
    struct sources *s = NULL;
    struct err err = {0};
    write_file(in_scratch("gateway"), bytes_of_text("http://good\nnot a url\n"));
    setenv("IPFS_PATH", in_scratch("."), 1);
    assert_int_equal(sources_open(NULL, &s, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "gateway: \"not\""));
    assert_null(s);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_nobody_named_is_no_source),
        WITH_FOLDER(test_from_comes_before_the_variable_and_that_before_the_file),
        WITH_FOLDER(test_what_is_no_gateways_url_is_refused_and_quoted),
        WITH_FOLDER(test_more_sources_than_there_is_room_for_are_refused),
        WITH_FOLDER(test_a_bad_line_says_in_which_file_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
