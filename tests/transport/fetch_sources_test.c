/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/fetch_scratch.h"

#define LEAF_BYTES (64u << 10)

/* --- several honest ones --- */

static void test_each_of_several_sources_carries_a_share(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source s[3] = {{.delay_ms = 3}, {.delay_ms = 3}, {.delay_ms = 3}};
    struct cid root = their_tree(r, 0, 60, LEAF_BYTES);
    for (size_t i = 0; i < 3; i++) {
        source_open(&s[i], r->theirs, HONEST, -1);
        reader_add(r, s[i].url);
    }
    reader_must(r, &root);
    assert_int_equal(r->fetch.blocks_received, 61);
    for (size_t i = 0; i < 3; i++) {
        assert_true(atomic_load(&s[i].requests) >= 5);
        source_close(&s[i]);
    }
    reader_close(r);
}

/* A person waits for it, and should know for what. */
static void test_a_source_that_does_not_answer_is_told_once(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct cid root = their_tree(r, 0, 10, LEAF_BYTES);
    struct err err = {0};
    reader_add(r, "http://127.0.0.1:1");
    r->fetch.give_up_seconds = 3;
    assert_int_equal(reader_fetch(r, &root, &err), ERR_NET);
    assert_int_equal(r->notices, 1);
    assert_non_null(strstr(r->notice, "asked again, for 3 s"));
    reader_close(r);
}

static void test_what_one_source_lacks_another_has(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source empty = {0}, full = {0};
    struct cid root = their_tree(r, 0, 10, LEAF_BYTES);
    source_open(&empty, r->theirs, FORGETFUL, -1);
    source_open(&full, r->theirs, HONEST, -1);
    reader_add(r, empty.url);
    reader_add(r, full.url);
    reader_must(r, &root);
    assert_int_equal(r->notices, 0);
    assert_int_equal(r->fetch.blocks_received, 11);
    source_close(&empty);
    source_close(&full);
    reader_close(r);
}

/* Whatever keeps it from one block does not keep it from the others. */
static void test_a_source_that_may_not_give_one_block_gives_the_others(void **state)
{
    (void)state;
    static const int statuses[] = {404, 410, 451};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct reader *r = reader_open();
        struct source barred = {.status = statuses[i]}, full = {.delay_ms = 3};
        struct cid root = their_tree(r, 0, 60, LEAF_BYTES);
        source_open(&barred, r->theirs, FORGETFUL, 1);
        source_open(&full, r->theirs, HONEST, -1);
        reader_add(r, barred.url);
        reader_add(r, full.url);
        reader_must(r, &root);
        if (atomic_load(&barred.requests) < 5)
            fail_msg("%d: %u requests", statuses[i], atomic_load(&barred.requests));
        assert_int_equal(r->notices, 0);
        source_close(&barred);
        source_close(&full);
        reader_close(r);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

/* --- slow ones --- */

static void test_a_source_that_never_answers_costs_nothing(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source fast = {0};
    struct liar silent = {.silent = true};
    char url[64];
    struct cid root = their_tree(r, 0, 60, LEAF_BYTES);
    liar_open(&silent);
    source_open(&fast, r->theirs, HONEST, -1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", silent.port);
    reader_add(r, url);
    reader_add(r, fast.url);
    reader_must(r, &root);           /* its stall would take ten minutes to be seen */
    assert_int_equal(r->notices, 0); /* slow is no lie */
    source_close(&fast);
    liar_close(&silent);
    reader_close(r);
}

static void test_a_slow_source_gets_few_requests(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source fast = {.delay_ms = 2}, slow = {.delay_ms = 400};
    struct cid root = their_tree(r, 0, 200, LEAF_BYTES);
    source_open(&slow, r->theirs, HONEST, -1);
    source_open(&fast, r->theirs, HONEST, -1);
    reader_add(r, slow.url);
    reader_add(r, fast.url);
    reader_must(r, &root);
    assert_true(atomic_load(&slow.requests) <= 50);
    assert_int_equal(r->fetch.blocks_received, 201); /* who comes second does not count */
    source_close(&fast);
    source_close(&slow);
    reader_close(r);
}

/* --- liars --- */

static void test_a_liar_is_dropped_for_the_session_and_named_once(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source liar = {0}, honest = {0};
    struct cid root = their_tree(r, 0, 40, LEAF_BYTES), more = their_tree(r, 1000, 40, LEAF_BYTES);
    source_open(&liar, r->theirs, WRONG, -1);
    source_open(&honest, r->theirs, HONEST, -1);
    reader_add(r, liar.url);
    reader_add(r, honest.url);
    reader_must(r, &root);
    assert_int_equal(r->notices, 1);
    assert_non_null(strstr(r->notice, liar.url));
    unsigned asked = atomic_load(&liar.requests);
    reader_must(r, &more);
    assert_int_equal(atomic_load(&liar.requests), asked);
    assert_int_equal(r->notices, 1);
    fetch_begin_session(&r->fetch);
    struct cid third = their_leaf(r, 5000, LEAF_BYTES), fourth = their_leaf(r, 5001, LEAF_BYTES);
    reader_must(r, &third);
    reader_must(r, &fourth);
    assert_true(atomic_load(&liar.requests) > asked);
    source_close(&liar);
    source_close(&honest);
    reader_close(r);
}

static void test_when_all_lie_the_fetch_fails_by_name_now_and_later(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source liar = {0};
    struct cid root = their_tree(r, 0, 4, LEAF_BYTES);
    source_open(&liar, r->theirs, WRONG, -1);
    reader_add(r, liar.url);
    for (int i = 0; i < 2; i++) {
        struct err err = {0};
        assert_int_equal(reader_fetch(r, &root, &err), ERR_MALFORMED);
        assert_non_null(strstr(err.text, liar.url));
    }
    assert_int_equal(atomic_load(&liar.requests), 1);
    source_close(&liar);
    reader_close(r);
}

/* --- cuts --- */

static void test_a_block_cut_again_and_again_goes_on_where_it_was(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source s = {0};
    struct cid root = their_leaf(r, 1, 1u << 20);
    source_open(&s, r->theirs, BREAKS, 6);
    reader_add(r, s.url);
    reader_must(r, &root);
    uint64_t sent, received;
    http_client_moved(r->fetch.http, &sent, &received);
    assert_int_equal(received, 1u << 20);
    assert_int_equal(atomic_load(&s.ranged), 6);
    source_close(&s);
    reader_close(r);
}

static void test_a_source_without_ranges_starts_over(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source s = {.without_range = true};
    struct cid root = their_leaf(r, 1, 1u << 20);
    uint64_t sent, received;
    source_open(&s, r->theirs, BREAKS, 2);
    reader_add(r, s.url);
    reader_must(r, &root);
    http_client_moved(r->fetch.http, &sent, &received);
    assert_int_equal(received, 2u << 20); /* two halves for nothing, and all of it */
    assert_int_equal(atomic_load(&s.requests), 3);
    assert_int_equal(r->notices, 0);
    source_close(&s);
    reader_close(r);
}

/* The first half is a liar's, who then breaks off: the honest one that sends the rest is not
 * blamed, and the block comes. */
static void test_a_liars_half_is_not_laid_at_another_sources_door(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source half = {0}, honest = {.delay_ms = 30};
    struct cid root = their_tree(r, 0, 8, 1u << 20);
    source_open(&half, r->theirs, WRONG_HALF, -1);
    source_open(&honest, r->theirs, HONEST, -1);
    reader_add(r, half.url);
    reader_add(r, honest.url);
    reader_must(r, &root);
    assert_null(strstr(r->notice, honest.url));
    source_close(&half);
    source_close(&honest);
    reader_close(r);
}

static void test_a_liar_that_breaks_off_is_found_out_all_the_same(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct source half = {0};
    struct cid root = their_leaf(r, 0, 1u << 20);
    struct err err = {0};
    source_open(&half, r->theirs, WRONG_HALF, -1);
    reader_add(r, half.url);
    assert_int_equal(reader_fetch(r, &root, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, "bytes that are not"));
    assert_int_equal(atomic_load(&half.requests), 4); /* two halves, twice */
    source_close(&half);
    reader_close(r);
}

/* --- attack 22: a gateway that lies --- */

#define OK  "HTTP/1.1 200 OK\r\n"
#define HEX "10\r\n0123456789abcdef\r\n"
#define SEE "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "

static const struct {
    const char *first, *again;
    const char *why, *words;
} lies[] = {
    {OK "Content-Type: text/html\r\nContent-Length: 19\r\n\r\n<html>login</html>\n", NULL,
     "a page instead of a block", "bytes that are not"},
    {OK "Content-Length: 3\r\n\r\nabcdefgh", NULL, "a length that is too short",
     "bytes that are not"},
    {OK "Content-Length: 1000\r\n\r\nabc", NULL, "a length that is too long", "ends too early"},
    {OK "Content-Length: 99999999999\r\n\r\n", "0123456789abcdef", "a length past any block",
     "bytes that are not"},
    {OK "Transfer-Encoding: chunked\r\n\r\n", HEX HEX HEX HEX HEX HEX HEX HEX, "chunks without end",
     "bytes that are not"},
    {OK "\r\n", "0123456789abcdef0123456789abcdef", "a body without end", "bytes that are not"},
    {OK "Content-Encoding: gzip\r\nContent-Length: 29\r\n\r\n"
        "\x1f\x8b\x08",
     NULL, "a bomb that stays packed, and is cut", "ends too early"},
    {OK "Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\n"
        "\x1f\x8b\x08\x01\x01\x01\x01\x01",
     NULL, "a bomb that stays packed", "bytes that are not"},
    {SEE "file:///etc/passwd\r\n\r\n", NULL, "a redirect to a file", "not http or https"},
    {SEE "ftp://127.0.0.1/a\r\n\r\n", NULL, "a redirect to FTP", "not http or https"},
    {SEE "/ipfs/elsewhere\r\n\r\n", NULL, "redirects in a circle", "too many"},
};

static void test_attack_22_a_gateway_that_lies_is_named_and_the_honest_one_delivers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct reader *r = reader_open();
        struct liar l = {.first = lies[i].first, .again = lies[i].again};
        struct source honest = {0};
        struct err err = {0};
        char url[64];
        struct cid root = their_tree(r, 0, 6, LEAF_BYTES);
        liar_open(&l);
        snprintf(url, sizeof url, "http://127.0.0.1:%u", l.port);
        reader_add(r, url);
        int rc = reader_fetch(r, &root, &err);
        if (rc != ERR_MALFORMED || strstr(err.text, url) == NULL ||
            strstr(err.text, lies[i].words) == NULL || r->notices != 1)
            fail_msg("%s: %s: %s", lies[i].why, err_name(rc), err.text);
        assert_true(atomic_load(&l.requests) <= 6);
        source_open(&honest, r->theirs, HONEST, -1);
        reader_add(r, honest.url);
        reader_must(r, &root);
        source_close(&honest);
        liar_close(&l);
        reader_close(r);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

/* A proxy brings the answers of gateways elsewhere, so that none of them is on this machine. */
static void test_attack_22_a_gateway_may_not_send_us_to_the_metadata_of_this_machine(void **state)
{
    (void)state;
    struct reader *r = reader_open();
    struct liar l = {.first = SEE "http://169.254.169.254/latest/meta-data/iam\r\n\r\n"};
    struct err err = {0};
    char proxy[64];
    struct cid root = their_leaf(r, 1, LEAF_BYTES);
    liar_open(&l);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", l.port);
    setenv("http_proxy", proxy, 1);
    reader_add(r, "http://gateway.example");
    assert_int_equal(reader_fetch(r, &root, &err), ERR_MALFORMED);
    unsetenv("http_proxy");
    assert_non_null(strstr(err.text, "169.254.169.254"));
    assert_int_equal(atomic_load(&l.requests), 1);
    assert_int_equal(r->notices, 1);
    liar_close(&l);
    reader_close(r);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_each_of_several_sources_carries_a_share),
        WITH_FOLDER(test_a_source_that_does_not_answer_is_told_once),
        WITH_FOLDER(test_what_one_source_lacks_another_has),
        WITH_FOLDER(test_a_source_that_may_not_give_one_block_gives_the_others),
        WITH_FOLDER(test_a_source_that_never_answers_costs_nothing),
        WITH_FOLDER(test_a_slow_source_gets_few_requests),
        WITH_FOLDER(test_a_liar_is_dropped_for_the_session_and_named_once),
        WITH_FOLDER(test_when_all_lie_the_fetch_fails_by_name_now_and_later),
        WITH_FOLDER(test_a_block_cut_again_and_again_goes_on_where_it_was),
        WITH_FOLDER(test_a_source_without_ranges_starts_over),
        WITH_FOLDER(test_a_liars_half_is_not_laid_at_another_sources_door),
        WITH_FOLDER(test_a_liar_that_breaks_off_is_found_out_all_the_same),
        WITH_FOLDER(test_attack_22_a_gateway_that_lies_is_named_and_the_honest_one_delivers),
        WITH_FOLDER(test_attack_22_a_gateway_may_not_send_us_to_the_metadata_of_this_machine),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
