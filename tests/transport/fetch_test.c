/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/gateway_scratch.h"
#include "transport/fetch.h"

#define MODEL_BYTES ((5u << 20) + 12345) /* six leaves */
#define MODEL_MAX   (1ull << 30)

/* A site: its store, its client, and a coordinator's gateway that it fetches from. */
struct bench {
    struct hive *hive;
    struct store *store;
    struct http_client *http;
    struct fetch fetch;
    struct cid root;
    uint8_t *model;
};

static void add_source(struct bench *b, const char *scheme, uint16_t port)
{
    snprintf(b->fetch.sources[b->fetch.source_count++], sizeof b->fetch.sources[0],
             "%s://127.0.0.1:%u", scheme, port);
}

static struct cid import(struct store *s, const uint8_t *data, size_t size)
{
    struct cid root;
    write_file(in_scratch("import"), bytes_of(data, size));
    assert_int_equal(store_import(s, in_scratch("import"), NULL, &root, NULL), 0);
    return root;
}

static struct bench *open_bench_with(bool tls, const char *token)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->hive = hive_open(tls, 30);
    b->store = open_real();
    b->http = open_client_with(tls ? server_pin : NULL, 2, NULL);
    http_client_set_token(b->http, token);
    b->fetch = (struct fetch){.http = b->http, .give_up_seconds = 10};
    b->model = stream_bytes("model", MODEL_BYTES);
    b->root = import(b->hive->store, b->model, MODEL_BYTES);
    return b;
}

static struct bench *open_bench(void)
{
    return open_bench_with(true, "good");
}

static void close_bench(struct bench *b)
{
    http_client_free(b->http);
    hive_close(b->hive);
    store_close(b->store);
    free(b->model);
    free(b);
}

static void assert_model(struct bench *b)
{
    char path[FILES_PATH_MAX];
    uint64_t size;
    assert_int_equal(store_model_path(b->store, &b->root, path, &size, NULL), 0);
    struct buf found = read_file(path);
    assert_int_equal(size, MODEL_BYTES);
    assert_int_equal(found.size, MODEL_BYTES);
    assert_memory_equal(found.data, b->model, MODEL_BYTES);
    buf_fini(&found);
}

struct seen_progress {
    uint64_t have, all;
    unsigned calls;
};

static void see_progress(void *self, uint64_t have, uint64_t all)
{
    struct seen_progress *p = self;
    assert_true(have > p->have);
    p->have = have;
    p->all = all;
    p->calls++;
}

static uint64_t received(const struct bench *b)
{
    uint64_t sent, bytes;
    http_client_moved(b->http, &sent, &bytes);
    return bytes;
}

static int fetch_it(struct bench *b, struct err *err)
{
    return fetch_model(&b->fetch, b->store, &b->root, MODEL_MAX, NULL, NULL, err);
}

static void must_fetch(struct bench *b)
{
    struct err err = {0};
    if (fetch_it(b, &err) != 0)
        fail_msg("%s", err.text);
    assert_model(b);
}

/* --- blocks --- */

static void test_a_block_is_fetched_once_and_over_one_connection(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct relay *r = relay_open(hive_port(b->hive), false);
    struct cid one = put_text(b->hive->store, "one"), two = put_text(b->hive->store, "two");
    struct buf out = buf_new(100);
    add_source(b, "https", r->port);
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, &out, NULL), 0);
    assert_string_equal(buf_text(&out), "one");
    assert_int_equal(get(b->store, &one), 0);
    assert_int_equal(fetch_block(&b->fetch, b->store, &two, NULL, NULL), 0);
    assert_int_equal(get(b->store, &two), 0);
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, &out, NULL), 0);
    assert_string_equal(buf_text(&out), "one");
    assert_int_equal(atomic_load(&b->hive->requests), 2);
    assert_int_equal(atomic_load(&r->connections), 1);
    assert_int_equal(b->fetch.blocks_received, 2);
    assert_int_equal(received(b), 6);
    buf_fini(&out);
    relay_close(r);
    close_bench(b);
}

static void test_a_damaged_block_is_fetched_anew(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid one = put_text(b->hive->store, "one");
    add_source(b, "https", hive_port(b->hive));
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, NULL), 0);
    damage_file(path_of(&one), 1, 1);
    assert_int_equal(get(b->store, &one), ERR_CORRUPT);
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, NULL), 0);
    assert_int_equal(get(b->store, &one), 0);
    close_bench(b);
}

/* Statuses that end a call, and by which code. */
static const struct {
    int status, code;
    const char *words;
} answers[] = {{401, ERR_DENIED, "mood"},        {403, ERR_DENIED, "mood"},
               {404, ERR_NOTFOUND, "no source"}, {302, ERR_NET, "302"},
               {400, ERR_NET, "mood"},           {410, ERR_NOTFOUND, "no source"},
               {451, ERR_NOTFOUND, "no source"}};

static void test_an_answer_that_is_no_block_ends_in_its_code(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid one = put_text(b->hive->store, "one");
    add_source(b, "https", hive_port(b->hive));
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct err err = {0};
        atomic_store(&b->hive->mood_status, answers[i].status);
        atomic_store(&b->hive->moods, 1);
        int rc = fetch_block(&b->fetch, b->store, &one, NULL, &err);
        if (rc != answers[i].code || strstr(err.text, answers[i].words) == NULL)
            fail_msg("%d: %s: %s", answers[i].status, err_name(rc), err.text);
        assert_int_equal(get(b->store, &one), ERR_NOTFOUND);
    }
    close_bench(b);
}

static void test_a_bad_token_and_a_wrong_key_are_denied(void **state)
{
    (void)state;
    struct bench *b = open_bench_with(true, "bad");
    struct cid one = put_text(b->hive->store, "one");
    struct err err = {0};
    add_source(b, "https", hive_port(b->hive));
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "not a token"));
    http_client_free(b->http);
    b->http = open_client("sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    b->fetch.http = b->http;
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "firewall"));
    close_bench(b);
}

static void test_a_busy_source_is_asked_again(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid one = put_text(b->hive->store, "one");
    static const int statuses[] = {503, 429, 500, 502};
    add_source(b, "https", hive_port(b->hive));
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        atomic_store(&b->hive->mood_status, statuses[i]);
        atomic_store(&b->hive->moods, 1);
        assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, NULL), 0);
        assert_int_equal(get(b->store, &one), 0);
        assert_int_equal(store_delete(b->store, &one, NULL), 0);
    }
    assert_int_equal(atomic_load(&b->hive->requests), 8);
    close_bench(b);
}

static void test_without_progress_it_gives_up_and_says_the_last_cause(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct cid one = put_text(b->hive->store, "one");
    struct err err = {0};
    uint16_t port;
    b->fetch.give_up_seconds = 1;
    add_source(b, "https", hive_port(b->hive));
    atomic_store(&b->hive->mood_status, 503);
    atomic_store(&b->hive->moods, 1000000);
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, &err), ERR_NET);
    assert_non_null(strstr(err.text, "nothing came for 1 s"));
    assert_non_null(strstr(err.text, "503: the test's mood"));
    b->fetch.source_count = 0;
    close(listen_any(&port));
    add_source(b, "https", port); /* nobody there */
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, &err), ERR_NET);
    assert_non_null(strstr(err.text, "onnect"));
    b->fetch.source_count = 0;
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, &err), ERR_USAGE);
    close_bench(b);
}

/* --- models --- */

static void test_a_model_arrives_whole_and_is_not_fetched_twice(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        struct bench *b = open_bench_with(tls == 1, "good");
        struct seen_progress p = {0};
        struct err err = {0};
        add_source(b, tls == 1 ? "https" : "http", hive_port(b->hive));
        if (fetch_model(&b->fetch, b->store, &b->root, MODEL_BYTES, see_progress, &p, &err) != 0)
            fail_msg("%s", err.text);
        assert_model(b);
        assert_int_equal(p.have, MODEL_BYTES);
        assert_int_equal(p.all, MODEL_BYTES);
        assert_int_equal(p.calls, 6);
        assert_int_equal(b->fetch.blocks_received, 7);
        unsigned asked = atomic_load(&b->hive->requests);
        must_fetch(b);
        assert_int_equal(atomic_load(&b->hive->requests), asked);
        /* Closed and opened again, the store has it still. */
        store_close(b->store);
        b->store = open_real();
        assert_model(b);
        close_bench(b);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_models_of_one_leaf_and_of_none(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    add_source(b, "https", hive_port(b->hive));
    for (size_t size = 0; size <= UNIXFS_LEAF_BYTES; size += UNIXFS_LEAF_BYTES / 2) {
        char path[FILES_PATH_MAX];
        uint64_t found;
        struct cid root = import(b->hive->store, b->model, size);
        assert_int_equal(
            fetch_model(&b->fetch, b->store, &root, UNIXFS_LEAF_BYTES, NULL, NULL, NULL), 0);
        assert_int_equal(store_model_path(b->store, &root, path, &found, NULL), 0);
        assert_int_equal(found, size);
        struct buf file = read_file(path);
        assert_true(bytes_equal(buf_bytes(&file), bytes_of(b->model, size)));
        buf_fini(&file);
    }
    close_bench(b);
}

static void test_a_model_over_the_limit_costs_its_root_alone(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    add_source(b, "https", hive_port(b->hive));
    assert_int_equal(fetch_model(&b->fetch, b->store, &b->root, MODEL_BYTES - 1, NULL, NULL, NULL),
                     ERR_LIMIT);
    assert_int_equal(atomic_load(&b->hive->requests), 1);
    struct cid leaf = import(b->hive->store, b->model, 1000);
    assert_int_equal(fetch_model(&b->fetch, b->store, &leaf, 999, NULL, NULL, NULL), ERR_LIMIT);
    assert_false(store_model_has(b->store, &leaf));
    close_bench(b);
}

static void test_what_is_no_file_is_refused_whoever_sent_it(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    add_source(b, "https", hive_port(b->hive));
    struct cid cid = cid_of(CID_DAG_PB, bytes_of_text("not a node"));
    assert_int_equal(store_put(b->hive->store, &cid, bytes_of_text("not a node"), NULL), 0);
    int rc = fetch_model(&b->fetch, b->store, &cid, MODEL_MAX, NULL, NULL, &err);
    assert_int_equal(rc, ERR_MALFORMED);
    assert_null(strstr(err.text, "sent bytes")); /* the source is not to blame */
    struct cid record = put_text(b->hive->store, "a record");
    assert_int_equal(fetch_model(&b->fetch, b->store, &record, MODEL_MAX, NULL, NULL, NULL),
                     ERR_UNSUPPORTED);
    close_bench(b);
}

static void test_a_source_with_wrong_bytes_is_dropped_and_named(void **state)
{
    (void)state;
    static const struct {
        const char *first, *again;
        const char *why;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", NULL, "other bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<html>login</html>\n", NULL, "a portal"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, "nothing"},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nab", NULL, "a part"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
         "10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n"
         "10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n",
         "bytes without end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = open_bench_with(false, "good");
        struct liar l = {.first = rows[i].first, .again = rows[i].again};
        struct err err = {0};
        liar_open(&l);
        add_source(b, "http", l.port);
        if (fetch_it(b, &err) != ERR_MALFORMED || strstr(err.text, b->fetch.sources[0]) == NULL)
            fail_msg("%s: %s", rows[i].why, err.text);
        /* With an honest one beside it, in whatever order, the model comes. */
        add_source(b, "http", hive_port(b->hive));
        must_fetch(b);
        liar_close(&l);
        close_bench(b);
        assert_int_equal(scratch_teardown(NULL), 0);
        assert_int_equal(scratch_setup(NULL), 0);
    }
}

static void test_a_cut_goes_on_inside_the_block(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct relay *r = relay_open(hive_port(b->hive), false);
    add_source(b, "https", r->port);
    atomic_store(&r->cut_down, 700000); /* a new connection does not live to the end of a leaf */
    atomic_store(&r->cuts_left, 12);
    must_fetch(b);
    assert_true(atomic_load(&r->cuts_left) < 10);
    assert_true(atomic_load(&b->hive->ranged) > 0);
    assert_true(received(b) <= MODEL_BYTES + 1000); /* no byte of a leaf came twice */
    relay_close(r);
    close_bench(b);
}

/* The leaves of `b->model` that are whole in the file at `path`; the last of them in `which`. */
static unsigned count_leaves(struct bench *b, const char *path, size_t *which)
{
    struct buf file = read_file(path);
    unsigned count = 0;
    for (size_t at = 0; at < MODEL_BYTES; at += UNIXFS_LEAF_BYTES) {
        size_t size = MODEL_BYTES - at < UNIXFS_LEAF_BYTES ? MODEL_BYTES - at : UNIXFS_LEAF_BYTES;
        if (memcmp(file.data + at, b->model + at, size) == 0) {
            *which = at;
            count++;
        }
    }
    buf_fini(&file);
    return count;
}

static void use_client(struct bench *b, unsigned stall_seconds, const atomic_int *cancel)
{
    http_client_free(b->http);
    b->http = open_client_with(server_pin, stall_seconds, cancel);
    http_client_set_token(b->http, "good");
    b->fetch.http = b->http;
}

static void cancel_after_three(void *self, uint64_t have, uint64_t all)
{
    (void)all;
    if (have >= 3 * UNIXFS_LEAF_BYTES)
        atomic_store((atomic_int *)self, 1);
}

static void test_an_interrupted_model_goes_on_from_its_part(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    atomic_int cancel = 0;
    struct err err = {0};
    char part[128], text[CID_TEXT_MAX];
    size_t rotten = 0;
    use_client(b, 20, &cancel);
    add_source(b, "https", hive_port(b->hive));
    assert_int_equal(
        fetch_model(&b->fetch, b->store, &b->root, MODEL_MAX, cancel_after_three, &cancel, &err),
        ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "cancelled"));
    assert_false(store_model_has(b->store, &b->root));
    unsigned came = (unsigned)b->fetch.blocks_received - 1; /* but for the root */
    assert_in_range(came, 3, 5); /* the short one does not count as one, and two end together */
    /* Another process: the part alone says what is there, and one leaf of it rots. */
    store_close(b->store);
    snprintf(part, sizeof part, "store/models/%s.part", cid_format(&b->root, text));
    assert_int_equal(count_leaves(b, in_scratch(part), &rotten), came);
    damage_file(in_scratch(part), (long)rotten + 1000, 1);
    b->store = open_real();
    atomic_store(&cancel, 0);
    must_fetch(b);
    assert_int_equal(b->fetch.blocks_received, 7 + 1); /* each once, the rotten one twice */
    close_bench(b);
}

static void test_leaves_of_another_model_here_are_not_fetched(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    add_source(b, "https", hive_port(b->hive));
    must_fetch(b);
    uint64_t before = b->fetch.blocks_received;
    b->model[3 << 20] ^= 1; /* one leaf of six is another */
    b->root = import(b->hive->store, b->model, MODEL_BYTES);
    must_fetch(b);
    assert_int_equal(b->fetch.blocks_received, before + 2); /* that leaf, and the root */
    close_bench(b);
}

static void test_a_source_that_is_gone_leaves_the_work_to_the_others(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    uint16_t port;
    close(listen_any(&port));
    add_source(b, "https", port);
    add_source(b, "https", hive_port(b->hive));
    b->fetch.give_up_seconds = 1;
    must_fetch(b);
    /* The next call begins with the one that works. */
    unsigned failures = b->fetch.health[0].failures;
    struct cid one = put_text(b->hive->store, "one");
    assert_true(failures > 0);
    assert_int_equal(fetch_block(&b->fetch, b->store, &one, NULL, NULL), 0);
    assert_int_equal(b->fetch.health[0].failures, failures);
    close_bench(b);
}

static void test_requests_that_break_off_together_are_one_failure(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct err err = {0};
    add_source(b, "https", hive_port(b->hive));
    /* The root is here, so that six leaves are asked for at once; then the source goes. */
    assert_int_equal(fetch_block(&b->fetch, b->store, &b->root, NULL, NULL), 0);
    hive_stop(b->hive);
    b->fetch.give_up_seconds = 1;
    assert_int_equal(fetch_it(b, &err), ERR_NET);
    assert_in_range(b->fetch.health[0].failures, 1, FETCH_WINDOW_MAX - 1);
    close_bench(b);
}

static void test_two_megabits_a_second_are_enough(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    struct relay *r = relay_open(hive_port(b->hive), false);
    struct err err = {0};
    use_client(b, 1, NULL);
    b->fetch.give_up_seconds = 1;
    add_source(b, "https", r->port);
    atomic_store(&r->bytes_per_tick, 2500);
    struct cid root = import(b->hive->store, b->model, 350000); /* 1.4 s */
    if (fetch_model(&b->fetch, b->store, &root, MODEL_MAX, NULL, NULL, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(b->fetch.blocks_received, 1);
    relay_close(r);
    close_bench(b);
}

static void *cancel_soon(void *arg)
{
    sleep_ms(50);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void test_cancelling_keeps_what_came(void **state)
{
    (void)state;
    struct bench *b = open_bench();
    atomic_int cancel = 0;
    struct err err = {0};
    pthread_t thread;
    use_client(b, 60, &cancel);
    b->fetch.give_up_seconds = 60;
    add_source(b, "https", hive_port(b->hive));
    atomic_store(&b->hive->mood_status, 503);
    atomic_store(&b->hive->moods, 1000000);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    assert_int_equal(fetch_it(b, &err), ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "cancelled"));
    pthread_join(thread, NULL);
    atomic_store(&cancel, 0);
    atomic_store(&b->hive->moods, 0);
    must_fetch(b);
    close_bench(b);
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_a_block_is_fetched_once_and_over_one_connection),
        WITH_FOLDER(test_a_damaged_block_is_fetched_anew),
        WITH_FOLDER(test_an_answer_that_is_no_block_ends_in_its_code),
        WITH_FOLDER(test_a_bad_token_and_a_wrong_key_are_denied),
        WITH_FOLDER(test_a_busy_source_is_asked_again),
        WITH_FOLDER(test_without_progress_it_gives_up_and_says_the_last_cause),
        WITH_FOLDER(test_a_model_arrives_whole_and_is_not_fetched_twice),
        WITH_FOLDER(test_models_of_one_leaf_and_of_none),
        WITH_FOLDER(test_a_model_over_the_limit_costs_its_root_alone),
        WITH_FOLDER(test_what_is_no_file_is_refused_whoever_sent_it),
        WITH_FOLDER(test_a_source_with_wrong_bytes_is_dropped_and_named),
        WITH_FOLDER(test_a_cut_goes_on_inside_the_block),
        WITH_FOLDER(test_an_interrupted_model_goes_on_from_its_part),
        WITH_FOLDER(test_leaves_of_another_model_here_are_not_fetched),
        WITH_FOLDER(test_a_source_that_is_gone_leaves_the_work_to_the_others),
        WITH_FOLDER(test_requests_that_break_off_together_are_one_failure),
        WITH_FOLDER(test_two_megabits_a_second_are_enough),
        WITH_FOLDER(test_cancelling_keeps_what_came),
    };
    return cmocka_run_group_tests(tests, http_setup_program, http_teardown_program);
}
