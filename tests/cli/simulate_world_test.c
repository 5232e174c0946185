/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "cli/simulate_world.h"
#include "content/pack.h"
#include "content/store.h"

#define SITES 3
#define LATER 3600000 /* an hour: never within a test */

/* A network with all sites there and all but the last one's keys allowed. */
struct room {
    struct simulate_net *net;
    const struct world *coordinator, *sites[SITES];
    struct key_public keys[SITES];
    struct world_message got;
};

static struct key_public key_of(uint8_t number)
{
    struct key_public key;
    memset(&key, number + 1, sizeof key);
    return key;
}

static void allow(struct room *r, size_t count)
{
    assert_int_equal(r->coordinator->allow(r->coordinator->self, r->keys, count, NULL), 0);
}

static struct room *open_room(void)
{
    struct room *r = calloc(1, sizeof *r);
    struct err err = {0};
    assert_non_null(r);
    r->got.body = buf_new(1000);
    if (simulate_world_new(SITES, &r->net, &err) != 0)
        fail_msg("%s", err.text);
    r->coordinator = simulate_world_coordinator(r->net);
    for (uint8_t i = 0; i < SITES; i++) {
        r->keys[i] = key_of(i);
        r->sites[i] = simulate_world_site(r->net, i, &r->keys[i]);
    }
    allow(r, SITES - 1);
    return r;
}

static void close_room(struct room *r)
{
    simulate_world_free(r->net);
    buf_fini(&r->got.body);
    free(r);
}

static enum world_event hear(struct room *r, const struct world *w)
{
    return w->receive(w->self, &r->got);
}

static void say(const struct world *w, const struct world_route *to, const char *text)
{
    w->send(w->self, to, bytes_of_text(text));
}

static void expect(struct room *r, const struct world *w, enum world_event event, const char *text)
{
    assert_int_equal(hear(r, w), event);
    assert_string_equal(buf_text(&r->got.body), text);
}

/* A turn in which everything is received and no other is wanted before `wish_ms` from now. */
static bool take_turn(struct room *r, size_t p, uint64_t wish_ms)
{
    const struct world *w = p == 0 ? r->coordinator : r->sites[p - 1];
    if (!simulate_world_begin(r->net, p))
        return false;
    w->wait(w->self, wish_ms);
    while (hear(r, w) != WORLD_NOTHING)
        continue;
    simulate_world_end(r->net);
    return true;
}

/* --- messages --- */

static void test_a_message_arrives_with_its_senders_key_and_the_way_back(void **state)
{
    (void)state;
    struct room *r = open_room();
    expect(r, r->sites[1], WORLD_CONNECTED, "");
    say(r->sites[1], NULL, "hello");
    say(r->sites[0], NULL, "me too");
    expect(r, r->coordinator, WORLD_MESSAGE, "hello");
    assert_true(key_equal(&r->got.peer, &r->keys[1]));
    struct world_route back = r->got.route;
    say(r->coordinator, &back, "welcome");
    say(r->coordinator, &back, "a task");
    expect(r, r->sites[1], WORLD_MESSAGE, "welcome");
    expect(r, r->sites[1], WORLD_MESSAGE, "a task");
    assert_int_equal(hear(r, r->sites[1]), WORLD_NOTHING);
    expect(r, r->coordinator, WORLD_MESSAGE, "me too");
    assert_true(key_equal(&r->got.peer, &r->keys[0]));
    assert_int_equal(hear(r, r->coordinator), WORLD_NOTHING);
    close_room(r);
}

static void test_a_site_is_connected_while_its_key_is_allowed(void **state)
{
    (void)state;
    struct room *r = open_room();
    const struct world *last = r->sites[SITES - 1];
    assert_int_equal(hear(r, last), WORLD_NOTHING);
    say(last, NULL, "unheard");
    assert_int_equal(hear(r, r->coordinator), WORLD_NOTHING);
    allow(r, SITES);
    allow(r, SITES); /* said once */
    expect(r, last, WORLD_CONNECTED, "");
    assert_int_equal(hear(r, last), WORLD_NOTHING);
    say(last, NULL, "heard");
    expect(r, r->coordinator, WORLD_MESSAGE, "heard");
    struct world_route back = r->got.route;
    allow(r, SITES - 1);
    say(r->coordinator, &back, "too late");
    expect(r, last, WORLD_LOST, "");
    assert_int_equal(hear(r, last), WORLD_NOTHING);
    close_room(r);
}

static void test_a_hint_reaches_every_connected_site(void **state)
{
    (void)state;
    struct room *r = open_room();
    r->coordinator->publish(r->coordinator->self, bytes_of_text("news"));
    for (size_t i = 0; i < SITES - 1; i++) {
        expect(r, r->sites[i], WORLD_CONNECTED, "");
        expect(r, r->sites[i], WORLD_HINT, "news");
    }
    assert_int_equal(hear(r, r->sites[SITES - 1]), WORLD_NOTHING);
    close_room(r);
}

/* --- turns --- */

static void test_who_has_nothing_to_do_has_no_turn(void **state)
{
    (void)state;
    struct room *r = open_room();
    assert_true(take_turn(r, 1, LATER)); /* it was connected */
    assert_true(take_turn(r, 1, LATER)); /* nothing more is there: now it rests */
    assert_false(take_turn(r, 1, LATER));
    say(r->sites[1], NULL, "hello");
    assert_true(take_turn(r, 0, LATER));
    r->coordinator->publish(r->coordinator->self, bytes_of_text("news"));
    assert_true(take_turn(r, 1, LATER));
    assert_true(take_turn(r, 1, 0)); /* wants the next at once */
    assert_true(take_turn(r, 1, 1));
    simulate_world_leave(r->net, 1);
    assert_false(take_turn(r, 1, 0));
    close_room(r);
}

static void test_rest_ends_when_somebodys_time_has_come(void **state)
{
    (void)state;
    struct room *r = open_room();
    for (size_t p = 0; p <= SITES; p++)
        for (int i = 0; i < 3; i++)
            take_turn(r, p, p == 2 ? 20 : LATER);
    while (!take_turn(r, 2, LATER)) /* at most a few: rest sleeps */
        simulate_world_rest(r->net);
    for (size_t p = 0; p <= SITES; p++)
        assert_false(take_turn(r, p, LATER));
    close_room(r);
}

/* --- jobs --- */

struct errand {
    struct job job;
    int ran;
};

static void run(struct job *job)
{
    ((struct errand *)job)->ran++;
}

static void test_a_finished_job_goes_back_to_who_started_it(void **state)
{
    (void)state;
    struct room *r = open_room();
    struct errand errands[SITES + 1] = {{.ran = 0}};
    for (size_t i = 0; i < SITES; i++) {
        errands[i].job.run = run;
        r->sites[i]->start(r->sites[i]->self, &errands[i].job);
    }
    errands[SITES].job.run = run;
    r->coordinator->start(r->coordinator->self, &errands[SITES].job);
    for (size_t i = 0; i <= SITES; i++) {
        const struct world *w = i == SITES ? r->coordinator : r->sites[i];
        struct job *done;
        while ((done = w->take_done(w->self)) == NULL)
            w->wait(w->self, LATER); /* outside of turns it sleeps till a job is done */
        assert_ptr_equal(done, &errands[i].job);
        assert_int_equal(errands[i].ran, 1);
        assert_null(w->take_done(w->self));
    }
    close_room(r);
}

static void test_a_finished_job_brings_a_turn(void **state)
{
    (void)state;
    struct room *r = open_room();
    struct errand errand = {.job = {.run = run}};
    for (size_t p = 0; p <= SITES; p++)
        for (int i = 0; i < 3; i++)
            take_turn(r, p, LATER);
    r->sites[0]->start(r->sites[0]->self, &errand.job);
    while (!simulate_world_begin(r->net, 1))
        simulate_world_rest(r->net);
    simulate_world_end(r->net);
    assert_ptr_equal(r->sites[0]->take_done(r->sites[0]->self), &errand.job);
    close_room(r);
}

/* --- signals --- */

static void test_a_signal_tells_everybody_to_stop(void **state)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    (void)state;
    for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        struct room *r = open_room();
        raise(numbers[n]);
        simulate_world_rest(r->net);
        expect(r, r->coordinator, WORLD_STOP, "");
        expect(r, r->sites[SITES - 1], WORLD_STOP, "");
        expect(r, r->sites[0], WORLD_CONNECTED, "");
        expect(r, r->sites[0], WORLD_STOP, "");
        close_room(r);
    }
}

/* --- transfers --- */

static bool nothing_here(void *self, struct http_request *q, struct http_response *out)
{
    strcpy(self, q->header(q, "Authorization"));
    return http_server_say(out, 404, "nothing here");
}

static void end(void *self, struct http_request *q)
{
    (void)self;
    (void)q;
}

static void test_transfers_go_to_the_gateway_with_the_newest_token(void **state)
{
    (void)state;
    struct room *r = open_room();
    struct cid cid = cid_of(CID_RAW, bytes_of_text("block"));
    const struct world *w = r->sites[0];
    struct store *store;
    char seen[200] = "";
    uint64_t sent, received;
    assert_int_equal(store_open(files_posix(), in_scratch("store"), STORE_WRITE, &store, NULL), 0);
    w->set_token(w->self, "first");
    assert_int_equal(w->fetch_block(w->self, store, &cid, NULL, NULL), ERR_NET);
    const struct http_handler gateway = {.self = seen, .begin = nothing_here, .end = end};
    simulate_world_open(r->net, &gateway);
    w->set_token(w->self, "second");
    w->cancel_transfers(w->self); /* of the one before: nothing is left over */
    assert_int_equal(w->fetch_block(w->self, store, &cid, NULL, NULL), ERR_NOTFOUND);
    assert_string_equal(seen, "Bearer second");
    w->moved(w->self, &sent, &received);
    assert_int_equal(sent + received, 0);
    store_close(store);
    close_room(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_arrives_with_its_senders_key_and_the_way_back),
        cmocka_unit_test(test_a_site_is_connected_while_its_key_is_allowed),
        cmocka_unit_test(test_a_hint_reaches_every_connected_site),
        cmocka_unit_test(test_who_has_nothing_to_do_has_no_turn),
        cmocka_unit_test(test_rest_ends_when_somebodys_time_has_come),
        cmocka_unit_test(test_a_finished_job_goes_back_to_who_started_it),
        cmocka_unit_test(test_a_finished_job_brings_a_turn),
        cmocka_unit_test(test_a_signal_tells_everybody_to_stop),
        cmocka_unit_test_setup_teardown(test_transfers_go_to_the_gateway_with_the_newest_token,
                                        scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
