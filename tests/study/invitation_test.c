/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/multibase.h"
#include "study/invitation.h"

static struct invitation example(void)
{
    struct invitation i = {.study = cid_of(CID_DAG_CBOR, bytes_of_text("study")),
                           .plan = cid_of(CID_DAG_CBOR, bytes_of_text("plan")),
                           .founder = {{1}},
                           .coordinator = {{2}},
                           .curve = {{3}},
                           .control = "tcp://coordinator.example.org:7001",
                           .hints = "tcp://10.0.0.7:7002",
                           .url_count = 2,
                           .urls = {"https://coordinator.example.org:7003", "https://[fe80::1]/a"},
                           .pin = {4}};
    return i;
}

/* What the text is of the invitation's map, changed or not. */
static void wrap(const struct buf *map, struct buf *text)
{
    buf_clear(text);
    buf_append_text(text, "colmeia-invitation-1:");
    multibase_encode('u', buf_bytes(map), text);
    assert_int_equal(buf_check(text, NULL), 0);
}

static void unwrap(struct buf *text, struct buf *map)
{
    buf_clear(map);
    const char *at = strchr(buf_text(text), ':') + 1;
    assert_int_equal(multibase_decode(at, strlen(at), map, NULL), 0);
}

static void test_an_invitation_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct invitation a = example(), b;
    struct buf text = buf_new(INVITATION_STRING_MAX);
    assert_int_equal(invitation_format(&a, &text, NULL), 0);
    assert_memory_equal(text.data, "colmeia-invitation-1:u", 22);
    assert_int_equal(invitation_parse(buf_text(&text), &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof a);
    buf_fini(&text);
}

static void test_the_largest_invitation_fits(void **state)
{
    (void)state;
    struct invitation i = example(), back;
    struct buf text = buf_new(INVITATION_STRING_MAX);
    i.url_count = INVITATION_URLS_MAX;
    for (size_t k = 0; k < INVITATION_URLS_MAX; k++) {
        memset(i.urls[k], 'a', 255);
        memcpy(i.urls[k], "https://", 8);
        i.urls[k][255] = '\0';
    }
    assert_int_equal(invitation_format(&i, &text, NULL), 0);
    assert_int_equal(invitation_parse(buf_text(&text), &back, NULL), 0);
    i.url_count++;
    assert_int_equal(invitation_format(&i, &text, NULL), ERR_LIMIT);
    buf_fini(&text);
}

static const struct {
    const char *endpoint;
    bool good;
    const char *why;
} endpoints[] = {
    {"tcp://a:1", true, "short"},
    {"tcp://host_1-x.example:65535", true, "a name"},
    {"tcp://127.0.0.1:7001", true, "IPv4"},
    {"tcp://[::1]:7001", true, "IPv6"},
    {"", false, "empty"},
    {"ipc:///tmp/socket", false, "a file of the worker's machine"},
    {"inproc://x", false, "inside the process"},
    {"pgm://eth0;239.0.0.1:1", false, "multicast"},
    {"TCP://a:1", false, "upper case"},
    {"tcp://*:1", false, "all interfaces"},
    {"tcp://:1", false, "no host"},
    {"tcp://a", false, "no port"},
    {"tcp://a:", false, "an empty port"},
    {"tcp://a:0", false, "port 0"},
    {"tcp://a:01", false, "a port with a leading zero"},
    {"tcp://a:65536", false, "past the last port"},
    {"tcp://a:100000", false, "six digits"},
    {"tcp://a:1;b:2", false, "a source address of ZeroMQ"},
    {"tcp://a:1/x", false, "a path"},
    {"tcp://a b:1", false, "a space"},
    {"tcp://a:1\n", false, "a line end"},
    {"tcp://a\t:1", false, "a control character"},
    {"tcp://\xc3\xa9:1", false, "not ASCII"},
    {"tcp://[::1:1", false, "an open bracket"},
    {"tcp://[]:1", false, "empty brackets"},
    {"tcp://[::1%eth0]:1", false, "a zone"},
    {"tcp://-a:1", false, "a host that looks like an option"},
    {"tcp://u@a:1", false, "a user"},
};

static void test_only_tcp_endpoints_are_accepted(void **state)
{
    (void)state;
    struct buf text = buf_new(INVITATION_STRING_MAX);
    for (size_t k = 0; k < sizeof endpoints / sizeof endpoints[0]; k++)
        for (int which = 0; which < 2; which++) {
            struct invitation i = example();
            strcpy(which == 0 ? i.control : i.hints, endpoints[k].endpoint);
            buf_clear(&text);
            int rc = invitation_format(&i, &text, NULL);
            if (rc != (endpoints[k].good ? 0 : ERR_MALFORMED))
                fail_msg("%s (%s): code %d", endpoints[k].endpoint, endpoints[k].why, rc);
            assert_int_equal(text.size > 0, endpoints[k].good);
        }
    buf_fini(&text);
}

static const struct {
    const char *url;
    bool good;
    const char *why;
} urls[] = {
    {"https://a", true, "short"},
    {"https://a/", true, "with a path"},
    {"https://a.example:8443/study/x~1", true, "with port and path"},
    {"https://[2001:db8::1]:8443", true, "IPv6"},
    {"http://a", false, "plain HTTP"},
    {"file:///etc/passwd", false, "a file"},
    {"https://", false, "no host"},
    {"https:///x", false, "no host but a path"},
    {"https://a:", false, "an empty port"},
    {"https://a:0", false, "port 0"},
    {"https://a:99999", false, "past the last port"},
    {"https://user:pass@a/", false, "a user"},
    {"https://a@b", false, "a user"},
    {"https://a/?q=1", false, "a query"},
    {"https://a/#x", false, "a fragment"},
    {"https://a/%2e%2e", false, "an escape"},
    {"https://a\\b", false, "a backslash"},
    {"https://a/x y", false, "a space"},
    {"https://a/\r\nHost: b", false, "a header"},
    {"https://a/{1,2}", false, "curl's globs"},
};

static void test_only_https_addresses_are_accepted(void **state)
{
    (void)state;
    struct buf text = buf_new(INVITATION_STRING_MAX);
    for (size_t k = 0; k < sizeof urls / sizeof urls[0]; k++) {
        struct invitation i = example();
        strcpy(i.urls[1], urls[k].url);
        buf_clear(&text);
        int rc = invitation_format(&i, &text, NULL);
        if (rc != (urls[k].good ? 0 : ERR_MALFORMED))
            fail_msg("%s (%s): code %d", urls[k].url, urls[k].why, rc);
    }
    struct invitation i = example();
    i.url_count = 0;
    assert_int_equal(invitation_format(&i, &text, NULL), ERR_MALFORMED);
    buf_fini(&text);
}

static void test_hostile_strings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "empty"},
        {"colmeia-invitation-1:", "nothing behind the prefix"},
        {"colmeia-invitation-1:u", "no map"},
        {"colmeia-invitation-2:uoA", "another version"},
        {"colmeia-site-1:uoA", "another kind of string"},
        {" colmeia-invitation-1:uoA", "a space before it"},
        {"colmeia-invitation-1:uoA\n", "a line end"},
        {"colmeia-invitation-1:uo\x1b[A", "a terminal's escape"},
        {"colmeia-invitation-1:fa0", "base16: one invitation would have two strings"},
        {"colmeia-invitation-1:uoA", "an empty map"},
        {"colmeia-invitation-1:u_w", "bits left over"},
    };
    struct invitation i = {.control = "untouched"};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        struct err err = {0};
        if (invitation_parse(rows[k].text, &i, &err) != ERR_MALFORMED)
            fail_msg("\"%s\" (%s) is accepted", rows[k].text, rows[k].why);
        for (const char *c = err.text; *c != '\0'; c++)
            assert_true((unsigned char)*c >= 0x20);
    }
    char *large = malloc(INVITATION_STRING_MAX + 2);
    assert_non_null(large);
    memset(large, 'A', INVITATION_STRING_MAX + 1);
    memcpy(large, "colmeia-invitation-1:u", 22);
    large[INVITATION_STRING_MAX + 1] = '\0';
    assert_int_equal(invitation_parse(large, &i, NULL), ERR_LIMIT);
    large[INVITATION_STRING_MAX] = '\0';
    assert_int_equal(invitation_parse(large, &i, NULL), ERR_MALFORMED);
    free(large);
    assert_string_equal(i.control, "untouched");
}

/* Nothing signs an invitation: a flipped bit may be another one, but never a bad one. */
static void test_a_changed_or_cut_invitation_is_refused_or_another_valid_one(void **state)
{
    (void)state;
    struct invitation i = example(), back;
    struct buf text = buf_new(INVITATION_STRING_MAX), map = buf_new(INVITATION_STRING_MAX);
    struct buf again = buf_new(INVITATION_STRING_MAX);
    assert_int_equal(invitation_format(&i, &text, NULL), 0);
    unwrap(&text, &map);
    for (size_t bit = 0; bit < 8 * map.size; bit++) {
        map.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        wrap(&map, &text);
        if (invitation_parse(buf_text(&text), &back, NULL) == 0) {
            buf_clear(&again);
            assert_int_equal(invitation_format(&back, &again, NULL), 0);
            assert_true(bytes_equal(buf_bytes(&text), buf_bytes(&again)));
        }
        map.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    while (map.size > 0) {
        map.size--;
        wrap(&map, &text);
        assert_int_equal(invitation_parse(buf_text(&text), &back, NULL), ERR_MALFORMED);
    }
    buf_fini(&again);
    buf_fini(&map);
    buf_fini(&text);
}

static void test_an_unknown_field_is_refused(void **state)
{
    (void)state;
    struct invitation i = example(), back;
    struct buf text = buf_new(INVITATION_STRING_MAX), map = buf_new(INVITATION_STRING_MAX);
    assert_int_equal(invitation_format(&i, &text, NULL), 0);
    unwrap(&text, &map);
    assert_int_equal(map.data[0], 0xa9); /* a map of nine: pin, plan, urls ... */
    map.data[0]++;
    buf_append_text(&map, "\x6csurplus12345\xf6");
    wrap(&map, &text);
    assert_int_not_equal(invitation_parse(buf_text(&text), &back, NULL), 0);
    buf_fini(&map);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_invitation_is_read_as_it_was_written),
        cmocka_unit_test(test_the_largest_invitation_fits),
        cmocka_unit_test(test_only_tcp_endpoints_are_accepted),
        cmocka_unit_test(test_only_https_addresses_are_accepted),
        cmocka_unit_test(test_hostile_strings_are_refused),
        cmocka_unit_test(test_a_changed_or_cut_invitation_is_refused_or_another_valid_one),
        cmocka_unit_test(test_an_unknown_field_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
