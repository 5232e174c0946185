/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of an answer: what http_client takes for the rest of what it has. */
#include "tests/transport/http_scratch.h"

static void run(struct http_client *c, struct http_transfer *t)
{
    struct http_transfer *done = NULL;
    assert_int_equal(http_client_start(c, t, NULL), 0);
    while (done == NULL)
        assert_int_equal(http_client_next(c, 1000, &done, NULL), 0);
}

static const struct {
    const char *range; /* the header's line, or "" */
    int code;
    const char *why;
} ranges[] = {
    {"Content-Range: bytes 4-7/8\r\n", 0, "what was asked for"},
    {"content-range: Bytes 4-7/8\r\n", 0, "the same, spelled otherwise"},
    {"Content-Range: bytes 4-7/*\r\n", 0, "a server that does not know the end"},
    {"Content-Range: bytes 0-3/8\r\n", ERR_NET, "another beginning"},
    {"Content-Range: bytes 5-8/9\r\n", ERR_NET, "a gap"},
    {"Content-Range: bytes 3-6/7\r\n", ERR_NET, "an overlap"},
    {"Content-Range: bytes 4-7/9\r\n", ERR_NET, "a piece of the rest alone"},
    {"Content-Range: bytes 4-7/7\r\n", ERR_NET, "an end behind the end"},
    {"Content-Range: bytes 4-3/4\r\n", ERR_NET, "an end before the beginning"},
    {"Content-Range: bytes */8\r\n", ERR_NET, "no part at all"},
    {"Content-Range: items 4-7/8\r\n", ERR_NET, "another unit"},
    {"Content-Range: bytes 4-7\r\n", ERR_NET, "cut short"},
    {"Content-Range: bytes 4-7/8x\r\n", ERR_NET, "something behind it"},
    {"Content-Range: bytes 18446744073709551620-18446744073709551623/18446744073709551624\r\n",
     ERR_NET, "2^64 + 4 is not 4"},
    {"Content-Range: bytes 4-7/8\r\nContent-Range: bytes 0-3/8\r\n", ERR_NET, "two of them"},
    {"", ERR_NET, "none"},
};

/* Taken for the rest, it would make the block another one, and its source a liar. */
static void test_a_part_that_was_not_asked_for_is_a_break(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        char answer[512];
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 206 Partial Content\r\n%sContent-Length: 4\r\n\r\nrest",
                 ranges[i].range);
        struct liar l = {.first = answer};
        struct http_client *c = open_client(NULL);
        struct http_transfer t = {.body_max = 100, .body = buf_new(100), .resume = true};
        buf_append_text(&t.body, "here");
        liar_open(&l);
        snprintf(t.url, sizeof t.url, "http://127.0.0.1:%u/a", l.port);
        run(c, &t);
        if (t.code != ranges[i].code || t.status != 206 ||
            strcmp(buf_text(&t.body), t.code == 0 ? "hererest" : "") != 0)
            fail_msg("%s: %s, status %ld, \"%s\": %s", ranges[i].why, err_name(t.code), t.status,
                     buf_text(&t.body), t.err.text);
        /* The next one asks for all. */
        l.first = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall";
        t.resume = false;
        run(c, &t);
        assert_int_equal(t.code, 0);
        assert_string_equal(buf_text(&t.body), "all");
        buf_fini(&t.body);
        http_client_free(c);
        liar_close(&l);
    }
}

static void test_a_part_of_what_was_asked_for_whole_is_a_break(void **state)
{
    (void)state;
    struct liar l = {.first = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-4/5\r\n"
                              "Content-Length: 4\r\n\r\nrest"};
    struct http_client *c = open_client(NULL);
    struct http_transfer t = {.body_max = 100};
    liar_open(&l);
    snprintf(t.url, sizeof t.url, "http://127.0.0.1:%u/a", l.port);
    run(c, &t);
    assert_int_equal(t.code, ERR_NET);
    assert_int_equal(t.body.size, 0);
    buf_fini(&t.body);
    http_client_free(c);
    liar_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_that_was_not_asked_for_is_a_break),
        cmocka_unit_test(test_a_part_of_what_was_asked_for_whole_is_a_break),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
