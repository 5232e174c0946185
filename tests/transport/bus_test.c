/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/bus_scratch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_an_allowed_key_gets_an_answer_and_is_named(void **state)
{
    struct fixture *f = *state;
    struct key_public alice = key_public(f->alice), bob = key_public(f->bob);
    start_server(f);
    allow(f, f->alice, f->bob);
    start_worker(f, &f->workers[0], f->alice);
    start_worker(f, &f->workers[1], f->bob);
    UNTIL(f, f->workers[0].events[BUS_CONNECTED] == 1 && f->workers[1].events[BUS_CONNECTED] == 1);
    ask(f, &f->workers[0], "from alice");
    assert_true(key_equal(&f->frame.peer, &alice));
    ask(f, &f->workers[1], "from bob");
    assert_true(key_equal(&f->frame.peer, &bob));
    assert_true(is_text(&f->workers[0].message, "from alice"));
    assert_int_equal(f->workers[0].events[BUS_MESSAGE], 1);
    struct bus_stats s = bus_server_stats(f->server);
    assert_true(s.received == 2 && s.sent == 2 && s.dropped == 0 && s.refused_handshakes == 0);
}

static void test_an_unknown_key_is_told_so_and_gets_in_by_itself_once_it_is_allowed(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    start_server(f);
    allow(f, f->bob, NULL);
    start_worker(f, w, f->alice);
    UNTIL(f, w->events[BUS_REFUSED] >= 2);
    assert_int_equal(w->events[BUS_CONNECTED], 0);
    assert_true(refused(f) >= 2);
    bus_client_send(w->client, bytes_of_text("let me in"));
    allow(f, f->bob, f->alice);
    UNTIL(f, w->events[BUS_CONNECTED] == 1);
    assert_int_equal(f->received, 0); /* nothing of before comes through */
    ask(f, w, "thank you");
    assert_int_equal(w->events[BUS_LOST], 0);
}

static void test_a_worker_may_start_before_its_coordinator(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    start_worker(f, w, f->alice);
    for (int i = 0; i < 100; i++)
        pump(f);
    assert_int_equal(w->events[BUS_CONNECTED] + w->events[BUS_LOST] + w->events[BUS_REFUSED], 0);
    start_server(f);
    allow(f, f->alice, NULL);
    UNTIL(f, w->events[BUS_CONNECTED] == 1);
    ask(f, w, "good morning");
}

static void test_a_coordinator_that_comes_back_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    start_server(f);
    allow(f, f->alice, NULL);
    start_worker(f, w, f->alice);
    UNTIL(f, w->events[BUS_CONNECTED] == 1);
    ask(f, w, "before");
    struct bus_route old = f->frame.route;
    for (unsigned i = 1; i <= 2; i++) {
        bus_server_close(f->server);
        f->server = NULL;
        UNTIL(f, w->events[BUS_LOST] == i);
        bus_client_send(w->client, bytes_of_text("into the void"));
        start_server(f);
        allow(f, f->alice, NULL);
        UNTIL(f, w->events[BUS_CONNECTED] == i + 1);
        ask(f, w, "after");
    }
    uint64_t before = dropped(f);
    bus_server_send(f->server, &old, bytes_of_text("to whom?"));
    assert_int_equal(dropped(f), before + 1);
}

static void test_hints_reach_every_subscriber(void **state)
{
    struct fixture *f = *state;
    start_server(f);
    allow(f, f->alice, f->bob);
    start_worker(f, &f->workers[0], f->alice);
    start_worker(f, &f->workers[1], f->bob);
    UNTIL(f, (bus_server_publish(f->server, bytes_of_text("head 7")),
              is_text(&f->workers[0].hint, "head 7") && is_text(&f->workers[1].hint, "head 7")));
    assert_int_equal(f->workers[0].events[BUS_MESSAGE], 0);
}

static void test_hints_come_back_with_the_coordinator(void **state)
{
    struct fixture *f = *state;
    start_server(f);
    allow(f, f->alice, NULL);
    start_worker(f, &f->workers[0], f->alice);
    UNTIL(f, (bus_server_publish(f->server, bytes_of_text("one")),
              is_text(&f->workers[0].hint, "one")));
    bus_server_close(f->server);
    f->server = NULL;
    start_server(f);
    allow(f, f->alice, NULL);
    UNTIL(f, (bus_server_publish(f->server, bytes_of_text("two")),
              is_text(&f->workers[0].hint, "two")));
}

static void test_without_a_way_to_the_hints_the_rest_works(void **state)
{
    struct fixture *f = *state;
    start_server(f);
    allow(f, f->alice, NULL);
    snprintf(f->hints, sizeof f->hints, "tcp://127.0.0.1:%u", free_port());
    start_worker(f, &f->workers[0], f->alice);
    for (int i = 0; i < 200; i++)
        pump(f);
    assert_served(f);
    assert_int_equal(f->workers[0].events[BUS_LOST], 0);
    assert_int_equal(f->workers[0].events[BUS_CONNECTED], 1);
}

static void test_messages_of_every_size_up_to_the_limit_pass(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    static const size_t sizes[] = {0, 1, 255, 256, 8192, BUS_BYTES_MAX - 1, BUS_BYTES_MAX};
    uint8_t *data = stream_bytes("colmeia-bus", BUS_BYTES_MAX);
    start_server(f);
    allow(f, f->alice, NULL);
    start_worker(f, w, f->alice);
    UNTIL(f, w->events[BUS_CONNECTED] == 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bus_client_send(w->client, bytes_of(data, sizes[i]));
        UNTIL(f, w->events[BUS_MESSAGE] == i + 1);
        assert_true(bytes_equal(buf_bytes(&w->message), bytes_of(data, sizes[i])));
    }
    bus_client_send(w->client, bytes_of(data, BUS_BYTES_MAX + 1)); /* not even sent */
    uint64_t before = dropped(f);
    bus_server_send(f->server, &f->frame.route, bytes_of(data, BUS_BYTES_MAX + 1));
    assert_int_equal(dropped(f), before + 1);
    ask(f, w, "next");
    free(data);
}

static void test_publishing_and_answering_never_block(void **state)
{
    struct fixture *f = *state;
    static const uint8_t big[BUS_BYTES_MAX];
    start_server(f);
    for (int i = 0; i < 100; i++) /* to nobody */
        bus_server_publish(f->server, bytes_of(big, sizeof big));
    allow(f, f->alice, f->bob);
    start_worker(f, &f->workers[0], f->alice);
    UNTIL(f,
          (bus_server_publish(f->server, bytes_of_text("hi")), is_text(&f->workers[0].hint, "hi")));
    ask(f, &f->workers[0], "my route");
    struct bus_route route = f->frame.route;
    for (int i = 0; i < 1000; i++) { /* to somebody who does not read */
        bus_server_publish(f->server, bytes_of(big, sizeof big));
        bus_server_send(f->server, &route, bytes_of(big, sizeof big));
    }
    assert_true(dropped(f) > 0);
    start_worker(f, &f->workers[1], f->bob);
    UNTIL(f, f->workers[1].events[BUS_CONNECTED] == 1);
    ask(f, &f->workers[1], "others are served");
}

/* --- waking --- */

struct echo {
    struct bus_server *server;
    int stop_fd;
    pthread_t thread;
    uint64_t slept_through; /* waits that ended by their time */
};

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void *echo_run(void *self)
{
    struct echo *e = self;
    struct bus_frame frame = {0};
    while (!is_readable(e->stop_fd)) {
        uint64_t before = clock_ms();
        bus_server_wait(e->server, &e->stop_fd, 1, LIMIT_MS);
        e->slept_through += clock_ms() - before >= LIMIT_MS;
        while (bus_server_receive(e->server, &frame))
            bus_server_send(e->server, &frame.route, buf_bytes(&frame.body));
    }
    bus_frame_fini(&frame);
    return NULL;
}

static void echo_start(struct echo *e, struct bus_server *server)
{
    *e = (struct echo){.server = server, .stop_fd = eventfd(0, EFD_NONBLOCK)};
    assert_int_equal(pthread_create(&e->thread, NULL, echo_run, e), 0);
}

static void echo_stop(struct echo *e)
{
    uint64_t one = 1;
    assert_int_equal(write(e->stop_fd, &one, sizeof one), sizeof one);
    pthread_join(e->thread, NULL);
    close(e->stop_fd);
    assert_int_equal(e->slept_through, 0); /* the descriptor woke it too */
}

/* Sleeps for news as a program would, never for long enough to find it by accident. */
static void sleep_until(struct worker *w, enum bus_event event, unsigned count)
{
    uint64_t end = clock_ms() + LIMIT_MS;
    for (pump_worker(w); w->events[event] < count; pump_worker(w)) {
        bus_client_wait(w->client, NULL, 0, LIMIT_MS);
        if (clock_ms() >= end)
            fail_msg("event %d did not wake the worker", (int)event);
    }
}

static void test_both_sides_wake_for_all_that_happens(void **state)
{
    struct fixture *f = *state;
    struct worker *w = &f->workers[0];
    struct echo echo;
    start_server(f);
    start_worker(f, w, f->alice);
    echo_start(&echo, f->server);
    sleep_until(w, BUS_REFUSED, 3); /* its own timer wakes it as well */
    echo_stop(&echo);
    allow(f, f->alice, NULL);
    echo_start(&echo, f->server);
    sleep_until(w, BUS_CONNECTED, 1);
    for (unsigned i = 1; i <= 300; i++) {
        bus_client_send(w->client, bytes_of(&i, sizeof i));
        sleep_until(w, BUS_MESSAGE, i);
        assert_memory_equal(w->message.data, &i, sizeof i);
    }
    echo_stop(&echo);
    bus_server_close(f->server);
    f->server = NULL;
    sleep_until(w, BUS_LOST, 1);
}

static void test_a_callers_descriptor_ends_either_wait(void **state)
{
    struct fixture *f = *state;
    uint64_t before = clock_ms();
    int fds[BUS_WAIT_FDS_MAX];
    for (size_t i = 0; i < BUS_WAIT_FDS_MAX; i++)
        fds[i] = eventfd(i == BUS_WAIT_FDS_MAX - 1, EFD_NONBLOCK);
    start_server(f);
    allow(f, f->alice, NULL);
    start_worker(f, &f->workers[0], f->alice);
    assert_served(f);
    bus_server_wait(f->server, fds, BUS_WAIT_FDS_MAX, UINT64_MAX);
    bus_client_wait(f->workers[0].client, fds, BUS_WAIT_FDS_MAX, UINT64_MAX);
    bus_server_wait(f->server, fds, BUS_WAIT_FDS_MAX - 1, 1); /* and time does */
    assert_true(clock_ms() - before < LIMIT_MS);
    for (size_t i = 0; i < BUS_WAIT_FDS_MAX; i++)
        close(fds[i]);
}

/* --- what an operator may get wrong --- */

static void test_endpoints_that_cannot_be_are_refused_with_a_sentence(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *endpoint, *why;
    } table[] = {
        {"", "nothing"},
        {"127.0.0.1:8470", "no scheme"},
        {"tcp://127.0.0.1", "no port"},
        {"tcp://127.0.0.1:", "an empty port"},
        {"tcp://127.0.0.1:0", "port 0"},
        {"tcp://127.0.0.1:*", "any port"},
        {"tcp://127.0.0.1:65536", "a port too large"},
        {"tcp://127.0.0.1:84x", "a port that is no number"},
        {"tcp://127.0.0.1:-1", "a negative port"},
        {"tcp://:8470", "no host"},
        {"tcp://8470", "a port alone"},
        {"ipc:///tmp/x", "another transport"},
        {"inproc://x:1", "inside a process"},
        {"udp://127.0.0.1:8470", "UDP"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct bus_server_config s = {table[i].endpoint, f->hints, f->own};
        struct bus_client_config c = {f->control, table[i].endpoint, key_public(f->own), f->alice};
        struct bus_client *client;
        struct err err = {0};
        if (bus_server_open(&s, &f->server, &err) != ERR_USAGE ||
            strstr(err.text, table[i].endpoint) == NULL || strstr(err.text, "tcp://") == NULL)
            fail_msg("server: %s: %s", table[i].why, err.text);
        if (bus_client_open(&c, &client, &err) != ERR_USAGE ||
            strstr(err.text, "not an endpoint") == NULL)
            fail_msg("client: %s: %s", table[i].why, err.text);
    }
    char long_one[2 * BUS_ENDPOINT_MAX];
    snprintf(long_one, sizeof long_one, "tcp://%0*d:8470", BUS_ENDPOINT_MAX, 1);
    struct bus_server_config s = {long_one, f->hints, f->own};
    assert_int_equal(bus_server_open(&s, &f->server, NULL), ERR_USAGE);
    assert_null(f->server);
}

static void test_an_address_in_use_is_named_with_what_to_do(void **state)
{
    struct fixture *f = *state;
    struct bus_server *second = NULL;
    struct err err;
    start_server(f);
    struct bus_server_config c = {f->control, f->hints, f->own};
    assert_int_equal(bus_server_open(&c, &second, &err), ERR_IO);
    assert_non_null(strstr(err.text, f->control));
    assert_non_null(strstr(err.text, "in use; stop the program that has it"));
    char other[BUS_ENDPOINT_MAX];
    snprintf(other, sizeof other, "tcp://127.0.0.1:%u", free_port());
    c.control = other; /* the hints' then */
    assert_int_equal(bus_server_open(&c, &second, &err), ERR_IO);
    assert_non_null(strstr(err.text, f->hints));
    assert_null(second);
    allow(f, f->alice, NULL);
    assert_served(f);
}

static void test_an_address_of_another_machine_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct bus_server_config c = {"tcp://192.0.2.1:8470", f->hints, f->own};
    assert_int_equal(bus_server_open(&c, &f->server, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "no such address"));
}

static void test_all_addresses_may_be_listened_on(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char any[BUS_ENDPOINT_MAX];
    snprintf(any, sizeof any, "tcp://0.0.0.0:%u", f->port);
    struct bus_server_config c = {any, f->hints, f->own};
    if (bus_server_open(&c, &f->server, &err) != 0)
        fail_msg("%s", err.text);
    allow(f, f->alice, NULL);
    assert_served(f);
}

/* In a process of its own, whose limit cannot be raised again. */
static void test_more_sites_than_descriptors_are_refused_at_once(void **state)
{
    struct fixture *f = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bus_server_config c = {f->control, f->hints, f->own};
        struct key_public keys[100];
        struct rlimit now, few = {300, 640};
        struct err err = {0};
        random_bytes(keys, sizeof keys);
        bool good = setrlimit(RLIMIT_NOFILE, &few) == 0 &&
                    bus_server_open(&c, &f->server, &err) == 0 &&
                    bus_server_allow(f->server, keys, 96, &err) == 0 &&
                    getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 640 &&
                    bus_server_allow(f->server, keys, 97, &err) == ERR_LIMIT &&
                    strstr(err.text, "ulimit -n 644") != NULL;
        if (!good)
            fprintf(stderr, "%s\n", err.text);
        bus_server_close(f->server);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The first two strangers that a fault lets in are the self-test's: see main. */
static void test_a_check_that_lets_strangers_in_is_found_before_the_server_is_open(void **state)
{
    struct fixture *f = *state;
    struct bus_server_config c = {f->control, f->hints, f->own};
    const char *const endpoints[] = {f->control, f->hints};
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        assert_int_equal(bus_server_open(&c, &f->server, &err), ERR_DENIED);
        assert_null(f->server);
        assert_non_null(strstr(err.text, endpoints[i]));
        assert_non_null(strstr(err.text, "lets in a key that nobody admitted"));
    }
    start_server(f);
    assert_int_equal(refused(f), 0); /* the self-test's own knocks are not counted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_check_that_lets_strangers_in_is_found_before_the_server_is_open),
        TEST(test_an_allowed_key_gets_an_answer_and_is_named),
        TEST(test_an_unknown_key_is_told_so_and_gets_in_by_itself_once_it_is_allowed),
        TEST(test_a_worker_may_start_before_its_coordinator),
        TEST(test_a_coordinator_that_comes_back_is_found_again),
        TEST(test_hints_reach_every_subscriber),
        TEST(test_hints_come_back_with_the_coordinator),
        TEST(test_without_a_way_to_the_hints_the_rest_works),
        TEST(test_messages_of_every_size_up_to_the_limit_pass),
        TEST(test_publishing_and_answering_never_block),
        TEST(test_both_sides_wake_for_all_that_happens),
        TEST(test_a_callers_descriptor_ends_either_wait),
        TEST(test_endpoints_that_cannot_be_are_refused_with_a_sentence),
        TEST(test_an_address_in_use_is_named_with_what_to_do),
        TEST(test_an_address_of_another_machine_is_refused),
        TEST(test_all_addresses_may_be_listened_on),
        TEST(test_more_sites_than_descriptors_are_refused_at_once),
    };
    /* The first knock of all at the control socket, and the third: after the second start's at its
     * control socket, the one at its hints. */
    setenv("COLMEIA_FAULT", "zap-check:1=fail,zap-check:3=fail", 1);
    return key_setup(NULL) != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
