/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_places.h"

#include <arpa/inet.h>
#include <string.h>

#include "tests/scratch.h"

#define COUNT   64
#define SENDING 48
#define EACH    12

static struct http_places *places(unsigned count)
{
    struct http_places *p;
    assert_int_equal(http_places_new(count, &p, NULL), 0);
    return p;
}

static const struct sockaddr *address(const char *text)
{
    static struct sockaddr_in four;
    static struct sockaddr_in6 six;
    four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1)};
    six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(1)};
    if (text == NULL)
        return NULL;
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return (const struct sockaddr *)&four;
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return (const struct sockaddr *)&six;
}

/* A request of `text`, at work and then sent. */
static int send_to(struct http_places *p, struct http_place *place, const char *text)
{
    assert_true(http_places_take(p, place));
    int status = http_places_keep(p, place, address(text));
    assert_true(place->held); /* also when it was refused */
    if (status != 0)
        http_places_leave(p, place);
    return status;
}

static void test_there_are_as_many_places_as_were_said(void **state)
{
    (void)state;
    struct http_places *p = places(3);
    struct http_place all[3] = {{0}}, more = {0};
    for (size_t i = 0; i < 3; i++)
        assert_true(http_places_take(p, &all[i]));
    assert_false(http_places_take(p, &more));
    http_places_leave(p, &more); /* it has none: nothing */
    assert_false(http_places_take(p, &more));
    http_places_leave(p, &all[1]);
    http_places_leave(p, &all[1]);
    assert_true(http_places_take(p, &more));
    assert_false(http_places_take(p, &all[1]));
    http_places_free(p);
}

static void test_slow_readers_leave_places_for_the_others(void **state)
{
    (void)state;
    struct http_places *p = places(COUNT);
    struct http_place sent[SENDING] = {{0}}, more = {0}, work[COUNT - SENDING] = {{0}};
    char text[32];
    for (unsigned i = 0; i < SENDING; i++) {
        snprintf(text, sizeof text, "10.0.0.%u", i / EACH);
        assert_int_equal(send_to(p, &sent[i], text), 0);
        assert_int_equal(http_places_keep(p, &sent[i], address(text)), 0); /* once is enough */
        if (i + 1 == EACH)
            assert_int_equal(send_to(p, &more, text), 429);
    }
    assert_int_equal(send_to(p, &more, "10.0.0.99"), 503);
    for (size_t i = 0; i < COUNT - SENDING; i++)
        assert_true(http_places_take(p, &work[i]));
    assert_false(http_places_take(p, &more));
    assert_int_equal(http_places_keep(p, &more, address("10.0.0.99")), 503);
    assert_false(more.held);
    http_places_leave(p, &sent[5]);
    assert_int_equal(http_places_keep(p, &work[0], address("10.0.0.99")), 0);
    assert_int_equal(http_places_keep(p, &work[1], address("10.0.0.98")), 503);
    http_places_leave(p, &work[0]);
    assert_int_equal(http_places_keep(p, &work[1], address("10.0.0.0")), 0);
    http_places_free(p);
}

/* A request that gave its place back may get another for its answer. */
static void test_an_answer_without_a_place_takes_one(void **state)
{
    (void)state;
    struct http_places *p = places(4);
    struct http_place place = {0}, others[4] = {{0}};
    assert_int_equal(http_places_keep(p, &place, address("10.0.0.1")), 0);
    assert_true(place.held);
    for (size_t i = 0; i < 3; i++)
        assert_true(http_places_take(p, &others[i]));
    assert_false(http_places_take(p, &others[3]));
    http_places_leave(p, &place);
    assert_true(http_places_take(p, &others[3]));
    http_places_free(p);
}

static const struct {
    const char *one, *other;
    bool same;
    const char *why;
} pairs[] = {
    {"10.0.0.1", "10.0.0.1", true, "the port does not matter"},
    {"10.0.0.1", "10.0.0.2", false, "two addresses"},
    {"10.0.0.1", "::ffff:10.0.0.1", true, "the same, as a socket for both sees it"},
    {"::ffff:10.0.0.1", "::ffff:10.0.0.2", false, "these are not of one network"},
    {"2001:db8:1:2::1", "2001:db8:1:2:ffff::", true, "whoever has a network has its addresses"},
    {"2001:db8:1:2::1", "2001:db8:1:3::1", false, "another network"},
    {"::1", "127.0.0.1", false, "two ways to this machine"},
    {NULL, NULL, true, "those without an address are one"},
};

static void test_one_address_has_a_quarter_of_what_is_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct http_places *p = places(COUNT);
        struct http_place place = {0};
        for (unsigned k = 0; k < EACH; k++) {
            place = (struct http_place){0};
            assert_int_equal(send_to(p, &place, pairs[i].one), 0);
        }
        struct http_place more = {0};
        int status = send_to(p, &more, pairs[i].other);
        if (status != (pairs[i].same ? 429 : 0))
            fail_msg("%s: %d", pairs[i].why, status);
        http_places_leave(p, &place); /* and one more may come */
        assert_int_equal(send_to(p, &more, pairs[i].one), 0);
        http_places_free(p);
    }
}

static void test_the_fewest_places_still_serve(void **state)
{
    (void)state;
    for (unsigned count = 1; count < 8; count++) {
        struct http_places *p = places(count);
        struct http_place place = {0};
        assert_int_equal(send_to(p, &place, "10.0.0.1"), 0);
        http_places_leave(p, &place);
        http_places_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_are_as_many_places_as_were_said),
        cmocka_unit_test(test_slow_readers_leave_places_for_the_others),
        cmocka_unit_test(test_an_answer_without_a_place_takes_one),
        cmocka_unit_test(test_one_address_has_a_quarter_of_what_is_sent),
        cmocka_unit_test(test_the_fewest_places_still_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
