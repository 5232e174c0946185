/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/scratch.h"
#include "transport/http_target.h"

static const struct {
    const char *address;
    bool local;
} addresses[] = {
    {"127.0.0.1", true},
    {"127.255.255.254", true},
    {"0.0.0.0", true},
    {"0.1.2.3", true},
    {"169.254.0.1", true},
    {"169.254.169.254", true},
    {"169.253.255.255", false},
    {"169.255.0.0", false},
    {"126.255.255.255", false},
    {"128.0.0.1", false},
    {"1.1.1.1", false},
    {"10.0.0.1", false}, /* a private network is where an institution's gateway stands */
    {"::1", true},
    {"::", true},
    {"::2", true}, /* IPv4-compatible 0.0.0.2 */
    {"fe80::1", true},
    {"febf:ffff::1", true},
    {"fec0::1", false},
    {"fe7f::1", false},
    {"::ffff:127.0.0.1", true},
    {"::ffff:169.254.169.254", true},
    {"::ffff:1.1.1.1", false},
    {"64:ff9b::127.0.0.1", true},
    {"64:ff9b::1.1.1.1", false},
    {"2001:db8::1", false},
};

static void test_addresses_of_this_machine_and_its_link_are_told_from_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        char bracketed[64];
        bool four = inet_pton(AF_INET, addresses[i].address, &v4.sin_addr) == 1;
        if (!four)
            assert_int_equal(inet_pton(AF_INET6, addresses[i].address, &v6.sin6_addr), 1);
        if (http_target_is_local(four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6) !=
            addresses[i].local)
            fail_msg("%s as an address", addresses[i].address);
        snprintf(bracketed, sizeof bracketed, four ? "%s" : "[%s]", addresses[i].address);
        if (http_target_is_local_host(bracketed) != addresses[i].local)
            fail_msg("%s as a host", bracketed);
    }
    struct sockaddr_un file = {.sun_family = AF_UNIX};
    assert_true(http_target_is_local((struct sockaddr *)&file));
}

static const struct {
    const char *host;
    bool local;
} hosts[] = {
    {"localhost", true},
    {"LOCALHOST.", true},
    {"a.b.localhost", true},
    {"localhost.localdomain", true},
    {"127.1", true}, /* as the C library reads it */
    {"0x7f000001", true},
    {"2130706433", true},
    {"0177.0.0.1", true},
    {"[fe80::1%25eth0]", true},
    {"", true}, /* no host at all */
    {".", true},
    {"gateway.example", false},
    {"localhost.example", false},
    {"notlocalhost", false},
    {"8.8.8.8", false},
};

static void test_hosts_that_mean_this_machine_are_known_however_they_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (http_target_is_local_host(hosts[i].host) != hosts[i].local)
            fail_msg("\"%s\"", hosts[i].host);
}

static void test_the_environment_names_the_proxy_of_each_scheme(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
    for (size_t i = 0; i < 6; i++)
        unsetenv(names[i]);
    assert_null(http_target_proxy(false));
    assert_null(http_target_proxy(true));
    setenv("ALL_PROXY", "all", 1);
    assert_string_equal(http_target_proxy(false), "all");
    assert_string_equal(http_target_proxy(true), "all");
    setenv("HTTP_PROXY", "upper", 1);
    assert_string_equal(http_target_proxy(false), "upper");
    assert_string_equal(http_target_proxy(true), "all");
    setenv("REQUEST_METHOD", "GET", 1); /* then HTTP_PROXY is a client's header */
    assert_string_equal(http_target_proxy(false), "all");
    setenv("http_proxy", "lower", 1);
    assert_string_equal(http_target_proxy(false), "lower");
    setenv("http_proxy", "", 1);
    setenv("HTTPS_PROXY", "tls", 1);
    assert_string_equal(http_target_proxy(true), "tls");
    unsetenv("REQUEST_METHOD");
    for (size_t i = 0; i < 6; i++)
        unsetenv(names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_of_this_machine_and_its_link_are_told_from_others),
        cmocka_unit_test(test_hosts_that_mean_this_machine_are_known_however_they_are_written),
        cmocka_unit_test(test_the_environment_names_the_proxy_of_each_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
