/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_scratch.h"
#include "transport/upload.h"

#define BLOCKS      40
#define BLOCK_BYTES 100000

/* A site's pack and a coordinator's gateway that takes it. */
struct bench {
    struct hive *hive;
    struct pack *pack;
    struct http_client *http;
    struct upload upload;
    struct progress_count progress; /* of the last call */
    struct cid cids[BLOCKS];
};

static struct cid put_block(struct pack *p, size_t number, size_t size)
{
    char seed[32];
    snprintf(seed, sizeof seed, "block %zu", number);
    uint8_t *data = stream_bytes(seed, size);
    struct cid cid = cid_of(CID_RAW, bytes_of(data, size));
    assert_int_equal(pack_put(p, &cid, bytes_of(data, size), NULL), 0);
    free(data);
    return cid;
}

static void use_client(struct bench *b, const char *token, const atomic_int *cancel)
{
    http_client_free(b->http);
    b->http = open_client_with(server_pin, 5, cancel);
    http_client_set_token(b->http, token);
    b->upload.http = b->http;
}

static void add_url(struct bench *b, uint16_t port)
{
    snprintf(b->upload.urls[b->upload.url_count++], sizeof b->upload.urls[0],
             "https://127.0.0.1:%u", port);
}

static struct bench *open_bench_with(unsigned idle_seconds)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->hive = hive_open(true, idle_seconds);
    assert_int_equal(pack_open(files_posix(), in_scratch("mine.pack"), true, &b->pack, NULL), 0);
    for (size_t i = 0; i < BLOCKS; i++)
        b->cids[i] = put_block(b->pack, i, BLOCK_BYTES);
    b->upload =
        (struct upload){.round = GOOD_ROUND, .give_up_seconds = 10, .progress = &b->progress};
    use_client(b, "good", NULL);
    return b;
}

static struct bench *open_bench(void)
{
    return open_bench_with(30);
}

static void close_bench(struct bench *b)
{
    http_client_free(b->http);
    pack_close(b->pack);
    hive_close(b->hive);
    free(b);
}

static int send_blocks(struct bench *b, size_t from, size_t count, struct err *err)
{
    return upload_blocks(&b->upload, b->pack, b->cids + from, count, err);
}

static size_t missing(struct bench *b, struct cid out[BLOCKS])
{
    size_t n = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        if (!pack_has(b->hive->pack, &b->cids[i]))
            out[n++] = b->cids[i];
    return n;
}

static void test_the_named_blocks_arrive_in_one_request(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct relay *r = relay_open(hive_port(b->hive), false);
    add_url(b, r->port);
    assert_int_equal(send_blocks(b, 3, 20, NULL), 0);
    assert_int_equal(pack_count(b->hive->pack), 20);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_true(pack_has(b->hive->pack, &b->cids[i]) == (i >= 3 && i < 23));
    assert_int_equal(atomic_load(&b->hive->uploads), 1);
    uint64_t sent, received;
    http_client_moved(b->http, &sent, &received);
    assert_true(sent > 20 * BLOCK_BYTES);
    assert_true(b->progress.done == sent && b->progress.total == sent);
    /* The next call uses the connection again; no blocks, no request. */
    assert_int_equal(send_blocks(b, 0, BLOCKS, NULL), 0);
    assert_int_equal(send_blocks(b, 0, 0, NULL), 0);
    assert_int_equal(atomic_load(&b->hive->uploads), 2);
    assert_int_equal(atomic_load(&r->connections), 1);
    assert_int_equal(pack_count(b->hive->pack), BLOCKS);
    relay_close(r);
    close_bench(b);
}

static void test_more_than_a_put_may_carry_goes_in_several(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid big[70];
    add_url(b, hive_port(b->hive));
    for (size_t i = 0; i < 70; i++)
        big[i] = put_block(b->pack, 1000 + i, 1 << 20);
    assert_int_equal(upload_blocks(&b->upload, b->pack, big, 70, NULL), 0);
    assert_int_equal(pack_count(b->hive->pack), 70);
    assert_int_equal(atomic_load(&b->hive->uploads), 2);
    assert_true(b->progress.total > 70ull << 20 && b->progress.done == b->progress.total);
    close_bench(b);
}

static void test_a_damaged_block_of_ours_is_ours_to_answer_for(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    add_url(b, hive_port(b->hive));
    damage_file(in_scratch("mine.pack"), 10 * BLOCK_BYTES, 1); /* in the tenth block */
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "mine.pack"));
    hive_stop(b->hive);
    for (size_t i = 9; i < BLOCKS; i++)
        assert_false(pack_has(b->hive->pack, &b->cids[i]));
    assert_int_equal(atomic_load(&b->hive->spoiled), 0); /* nothing wrong left us */
    close_bench(b);
}

static void test_a_block_we_do_not_have_is_not_found_before_anything_is_sent(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    add_url(b, hive_port(b->hive));
    b->cids[5] = cid_of(CID_RAW, bytes_of_text("never stored"));
    assert_int_equal(send_blocks(b, 0, BLOCKS, NULL), ERR_NOTFOUND);
    assert_int_equal(atomic_load(&b->hive->requests), 0);
    close_bench(b);
}

static const struct {
    int status, code;
} answers[] = {{400, ERR_MALFORMED}, {401, ERR_DENIED}, {403, ERR_DENIED}, {413, ERR_LIMIT},
               {404, ERR_NET},       {500, ERR_NET},    {507, ERR_NET}};

static void test_the_servers_refusal_is_reported_in_its_words(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    add_url(b, hive_port(b->hive));
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct err err = {0};
        atomic_store(&b->hive->mood_status, answers[i].status);
        atomic_store(&b->hive->moods, 1);
        int rc = send_blocks(b, 0, BLOCKS, &err);
        if (rc != answers[i].code || strstr(err.text, "the test's mood") == NULL)
            fail_msg("%d: %s: %s", answers[i].status, err_name(rc), err.text);
    }
    close_bench(b);
}

static void test_token_round_and_quota(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    add_url(b, hive_port(b->hive));
    use_client(b, "bad", NULL);
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "not a token"));
    use_client(b, "good", NULL);
    b->upload.round = GOOD_ROUND - 1;
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "not selected in round 11"));
    b->upload.round = GOOD_ROUND;
    atomic_store(&b->hive->quota, 5 * (BLOCK_BYTES + 100));
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "quota"));
    assert_int_equal(pack_count(b->hive->pack), 5);
    assert_int_equal(atomic_load(&b->hive->spoiled), ERR_LIMIT);
    close_bench(b);
}

static void test_a_busy_server_is_asked_again_and_then_given_up(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    add_url(b, hive_port(b->hive));
    atomic_store(&b->hive->mood_status, 503);
    atomic_store(&b->hive->moods, 1);
    assert_int_equal(send_blocks(b, 0, BLOCKS, NULL), 0);
    assert_int_equal(pack_count(b->hive->pack), BLOCKS);
    atomic_store(&b->hive->moods, 1000000);
    b->upload.give_up_seconds = 0;
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_NET);
    assert_non_null(strstr(err.text, "503: the test's mood"));
    close_bench(b);
}

static void test_after_a_cut_what_is_missing_completes_it(void **state)
{
    (void)state;
    /* A cut inside a TLS record is seen no sooner than by the idle time. */
    struct bench *b = open_bench_with(2);
    struct relay *r = relay_open(hive_port(b->hive), false);
    struct cid left[BLOCKS];
    struct err err = {0};
    add_url(b, r->port);
    atomic_store(&r->cut_up, 1500000);
    atomic_store(&r->cuts_left, 1);
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_NET);
    assert_true(b->progress.done < b->progress.total);
    /* Till the server has seen beginning and end. */
    while (atomic_load(&b->hive->uploads) == 0 || atomic_load(&b->hive->held) > 0)
        sleep_ms(1);
    size_t count = missing(b, left);
    assert_true(count > 0 && count < BLOCKS);
    assert_int_equal(upload_blocks(&b->upload, b->pack, left, count, NULL), 0);
    assert_true(b->progress.total < (count + 1) * BLOCK_BYTES); /* what arrived is not counted */
    assert_int_equal(missing(b, left), 0);
    assert_int_equal(pack_count(b->hive->pack), BLOCKS);
    assert_int_equal(atomic_load(&b->hive->spoiled), 0);
    relay_close(r);
    close_bench(b);
}

static void test_the_address_that_answers_is_found_and_kept(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    uint16_t port;
    assert_int_equal(send_blocks(b, 0, 1, &err), ERR_USAGE);
    close(listen_any(&port));
    add_url(b, port);
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_NET);
    assert_non_null(strstr(err.text, "onnect"));
    add_url(b, hive_port(b->hive));
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), 0);
    assert_int_equal(b->upload.url, 1);
    close_bench(b);
}

static void test_two_megabits_a_second_are_enough(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct relay *r = relay_open(hive_port(b->hive), false);
    struct err err = {0};
    http_client_free(b->http);
    b->http = open_client_with(server_pin, 1, NULL); /* stalls are seen after 1 s */
    http_client_set_token(b->http, "good");
    b->upload.http = b->http;
    add_url(b, r->port);
    atomic_store(&r->bytes_per_tick, 2500);
    if (send_blocks(b, 0, 5, &err) != 0) /* 2 s */
        fail_msg("%s", err.text);
    assert_int_equal(pack_count(b->hive->pack), 5);
    relay_close(r);
    close_bench(b);
}

static void *cancel_soon(void *arg)
{
    sleep_ms(50);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void test_cancelling_ends_the_wait_for_a_busy_server(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    atomic_int cancel = 0;
    pthread_t thread;
    struct err err = {0};
    use_client(b, "good", &cancel);
    add_url(b, hive_port(b->hive));
    atomic_store(&b->hive->mood_status, 503);
    atomic_store(&b->hive->moods, 1000000);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    assert_int_equal(send_blocks(b, 0, BLOCKS, &err), ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "cancelled"));
    pthread_join(thread, NULL);
    atomic_store(&cancel, 0);
    atomic_store(&b->hive->moods, 0);
    assert_int_equal(send_blocks(b, 0, BLOCKS, NULL), 0);
    close_bench(b);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_the_named_blocks_arrive_in_one_request),
        WITH_FOLDER(test_more_than_a_put_may_carry_goes_in_several),
        WITH_FOLDER(test_a_damaged_block_of_ours_is_ours_to_answer_for),
        WITH_FOLDER(test_a_block_we_do_not_have_is_not_found_before_anything_is_sent),
        WITH_FOLDER(test_the_servers_refusal_is_reported_in_its_words),
        WITH_FOLDER(test_token_round_and_quota),
        WITH_FOLDER(test_a_busy_server_is_asked_again_and_then_given_up),
        WITH_FOLDER(test_after_a_cut_what_is_missing_completes_it),
        WITH_FOLDER(test_the_address_that_answers_is_found_and_kept),
        WITH_FOLDER(test_two_megabits_a_second_are_enough),
        WITH_FOLDER(test_cancelling_ends_the_wait_for_a_busy_server),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
