/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <math.h>

#include "base/text.h"
#include "worker/contract.h"

static int parse(const char *line, struct contract_message *m, struct err *err)
{
    /* A copy of its own size, so that a sanitizer sees a read past it. */
    size_t size = strlen(line);
    char *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, line, size);
    int rc = contract_parse(bytes_of(copy, size), m, err);
    free(copy);
    return rc;
}

static struct contract_message good(const char *line)
{
    struct contract_message m;
    struct err err = {0};
    if (parse(line, &m, &err) != 0)
        fail_msg("%s: %s", line, err.text);
    return m;
}

/* --- what the worker says --- */

static struct plan some_plan(void)
{
    return (struct plan){.epochs = 3, .batch = 32, .learning_rate = 0.125, .momentum = 0.5};
}

static void test_a_train_message_is_what_the_page_says(void **state)
{
    (void)state;
    struct buf out = buf_new(CONTRACT_LINE_MAX);
    struct cid study;
    uint8_t seed[HASH_BYTES];
    const struct plan plan = some_plan();
    memset(seed, 0xc5, sizeof seed);
    study = cid_of(CID_DAG_CBOR, bytes_of_text("\xa0"));
    struct contract_task t = {.id = 7,
                              .study = &study,
                              .plan = &plan,
                              .round = 3,
                              .site = 2,
                              .seed = seed,
                              .base = "/a \"quoted\"/base",
                              .output = "/out",
                              .data = "/data"};
    char cid[CID_TEXT_MAX], expected[1024];
    contract_put_task(&t, &out);
    snprintf(expected, sizeof expected,
             "{\"type\":\"train\",\"id\":7,\"study\":\"%s\",\"round\":3,\"site\":2,\"seed\":"
             "\"c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5\","
             "\"base\":\"/a \\\"quoted\\\"/base\",\"output\":\"/out\",\"data\":\"/data\","
             "\"hyperparameters\":{\"epochs\":3,\"steps\":0,\"batch\":32,\"learning_rate\":0.125,"
             "\"momentum\":0.5,\"weight_decay\":0.0,\"proximal\":0.0}}\n",
             cid_format(&study, cid));
    assert_string_equal(buf_text(&out), expected);
    buf_clear(&out);
    t.output = NULL;
    t.data = "";
    contract_put_task(&t, &out);
    assert_non_null(strstr(buf_text(&out), "{\"type\":\"evaluate\",\"id\":7,"));
    assert_null(strstr(buf_text(&out), "\"output\""));
    assert_non_null(strstr(buf_text(&out), "\"data\":null,"));
    buf_fini(&out);
}

static void test_the_short_messages(void **state)
{
    (void)state;
    struct buf out = buf_new(CONTRACT_LINE_MAX);
    contract_put_hello(&out);
    contract_put_cancel(9, &out);
    contract_put_bye(&out);
    assert_string_equal(buf_text(&out),
                        "{\"type\":\"hello\",\"contract\":1,\"worker\":\"" VERSION "\"}\n"
                        "{\"type\":\"cancel\",\"id\":9}\n{\"type\":\"bye\"}\n");
    buf_fini(&out);
}

static void test_what_json_cannot_say_is_a_failure_and_no_half_a_line(void **state)
{
    (void)state;
    struct buf out = buf_new(CONTRACT_LINE_MAX);
    struct cid study = cid_of(CID_RAW, bytes_of(NULL, 0));
    const uint8_t seed[HASH_BYTES] = {0};
    const struct plan plan = some_plan();
    const struct contract_task t = {
        .study = &study, .plan = &plan, .seed = seed, .base = "\xff", .output = "/o", .data = ""};
    contract_put_task(&t, &out);
    assert_int_not_equal(buf_check(&out, NULL), 0);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

/* --- what the trainer says --- */

static void test_messages_are_read(void **state)
{
    (void)state;
    struct contract_message m =
        good("{\"type\":\"hello\",\"contract\":1,\"name\":\"cnn\",\"version\":\"1\","
             "\"capabilities\":[\"train\",\"fly\",7,\"evaluate\"],\"extra\":{}}");
    assert_int_equal(m.type, CONTRACT_HELLO);
    assert_string_equal(m.hello.name, "cnn");
    assert_string_equal(m.hello.version, "1");
    assert_true(m.hello.trains && m.hello.evaluates);
    m = good("{\"capabilities\":[],\"type\":\"hello\",\"contract\":1.0,\"name\":\"n\","
             "\"version\":\"v\"}\r");
    assert_false(m.hello.trains || m.hello.evaluates);

    m = good(" {\"type\":\"progress\",\"id\":5,\"done\":10,\"total\":100} ");
    assert_int_equal(m.type, CONTRACT_PROGRESS);
    assert_int_equal(m.id, 5);
    assert_int_equal(m.done, 10);
    assert_int_equal(m.total, 100);
    m = good("{\"type\":\"progress\",\"id\":5,\"done\":1e3,\"total\":null}");
    assert_int_equal(m.done, 1000);
    assert_int_equal(m.total, 0);

    m = good("{\"type\":\"done\",\"id\":6,\"examples\":536870911,"
             "\"metrics\":{\"loss\":0.5,\"top.1_x\":null,\"n\":3}}");
    assert_int_equal(m.type, CONTRACT_DONE);
    assert_int_equal(m.examples, 536870911);
    assert_int_equal(m.metric_count, 3);
    assert_string_equal(m.metrics[0].name, "loss");
    assert_true(m.metrics[0].value == 0.5 && isnan(m.metrics[1].value) && m.metrics[2].value == 3);
    m = good("{\"type\":\"done\",\"id\":6,\"examples\":1}");
    assert_int_equal(m.metric_count, 0);

    m = good("{\"type\":\"error\",\"id\":1,\"message\":\"no\\nGPU\"}");
    assert_int_equal(m.type, CONTRACT_ERROR);
    assert_string_equal(m.text, "no\nGPU");
    assert_int_equal(good("{\"type\":\"cancelled\",\"id\":1}").type, CONTRACT_CANCELLED);
}

static void test_a_long_error_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 2; shift++) {
        struct buf line = buf_new(4096);
        buf_append_text(&line, "{\"type\":\"error\",\"id\":1,\"message\":\"");
        buf_append(&line, "x", shift);
        for (int i = 0; i < 200; i++)
            buf_append_text(&line, "\xc3\xa9");
        buf_append_text(&line, "\"}");
        struct contract_message m = good(buf_text(&line));
        assert_true(text_is_utf8(bytes_of_text(m.text)));
        assert_true(strlen(m.text) >= CONTRACT_TEXT_MAX - 2);
        buf_fini(&line);
    }
}

#define HELLO(rest) "{\"type\":\"hello\",\"contract\":1," rest "}"
#define DONE(rest)  "{\"type\":\"done\",\"id\":1,\"examples\":5," rest "}"
#define TEXT_64     "0123456789012345678901234567890123456789012345678901234567890123"

static const struct {
    const char *line, *words;
} bad[] = {
    {"", "not JSON"},
    {"Epoch 1", "not JSON"},
    {"[]", "type"},
    {"{}", "type"},
    {"{\"type\":7}", "type"},
    {"{\"type\":\"finished\",\"id\":1}", "type"},
    {"{\"type\":\"cancelled\",\"id\":1} {}", "not JSON"},
    {"{\"type\":\"cancelled\",\"type\":\"done\",\"id\":1}", "duplicate"},
    {"{\"type\":\"cancelled\",\"id\":\"\\u0000\"}", "not JSON"},
    {"{\"type\":\"cancelled\",\"id\":\"\xff\"}", "not JSON"},
    {"{\"type\":\"cancelled\"}", "id"},
    {"{\"type\":\"cancelled\",\"id\":\"1\"}", "id"},
    {"{\"type\":\"cancelled\",\"id\":-1}", "id"},
    {"{\"type\":\"cancelled\",\"id\":1.5}", "id"},
    {"{\"type\":\"cancelled\",\"id\":1e17}", "id"},
    {"{\"type\":\"hello\",\"name\":\"a\",\"version\":\"1\",\"capabilities\":[]}", "version"},
    {"{\"type\":\"hello\",\"contract\":2}", "version 2"},
    {HELLO("\"version\":\"1\",\"capabilities\":[]"), "name"},
    {HELLO("\"name\":\"\",\"version\":\"1\",\"capabilities\":[]"), "name"},
    {HELLO("\"name\":\"" TEXT_64 "\",\"version\":\"1\",\"capabilities\":[]"), "63 bytes"},
    {HELLO("\"name\":\"a\",\"version\":1,\"capabilities\":[]"), "version"},
    {HELLO("\"name\":\"a\",\"version\":\"1\""), "capabilities"},
    {HELLO("\"name\":\"a\",\"version\":\"1\",\"capabilities\":\"train\""), "capabilities"},
    {"{\"type\":\"progress\",\"id\":1}", "done"},
    {"{\"type\":\"progress\",\"id\":1,\"done\":-1,\"total\":2}", "done"},
    {"{\"type\":\"progress\",\"id\":1,\"done\":1,\"total\":\"2\"}", "total"},
    {"{\"type\":\"done\",\"id\":1}", "examples"},
    {"{\"type\":\"done\",\"id\":1,\"examples\":0}", "examples"},
    {"{\"type\":\"done\",\"id\":1,\"examples\":536870912}", "536870911"},
    {"{\"type\":\"done\",\"id\":1,\"examples\":2.5}", "examples"},
    {DONE("\"metrics\":[]"), "metrics"},
    {DONE("\"metrics\":{\"\":1}"), "name"},
    {DONE("\"metrics\":{\"Loss\":1}"), "name"},
    {DONE("\"metrics\":{\"" TEXT_64 "\":1}"), "name"},
    {DONE("\"metrics\":{\"loss\":\"1\"}"), "loss"},
    {DONE("\"metrics\":{\"loss\":NaN}"), "NaN"},
    {DONE("\"metrics\":{\"loss\":1e999}"), "not JSON"},
    {DONE("\"metrics\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,"
          "\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1}"),
     "16"},
    {"{\"type\":\"error\",\"id\":1}", "message"},
    {"{\"type\":\"error\",\"id\":1,\"message\":null}", "message"},
};

static void test_what_the_contract_does_not_allow_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct contract_message m = {.id = 77};
        struct err err = {0};
        if (parse(bad[i].line, &m, &err) != ERR_MALFORMED ||
            strstr(err.text, bad[i].words) == NULL || m.id != 77)
            fail_msg("%s: %s", bad[i].line, err.text);
    }
}

static void test_a_quoted_line_cannot_leave_the_log(void **state)
{
    (void)state;
    struct contract_message m;
    struct err err = {0};
    assert_int_equal(parse("{\"type\": \x1b[31m\xe2\x80\xae", &m, &err), ERR_MALFORMED);
    assert_null(strchr(err.text, '\x1b'));
    assert_null(strstr(err.text, "\xe2\x80\xae"));
}

static void test_a_line_cut_anywhere_is_no_message(void **state)
{
    (void)state;
    static const char line[] = DONE("\"metrics\":{\"loss\":0.5}");
    for (size_t cut = 0; cut + 1 < sizeof line; cut++) {
        struct contract_message m;
        char *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, line, cut);
        copy[cut] = '\0';
        assert_int_equal(parse(copy, &m, NULL), ERR_MALFORMED);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_train_message_is_what_the_page_says),
        cmocka_unit_test(test_the_short_messages),
        cmocka_unit_test(test_what_json_cannot_say_is_a_failure_and_no_half_a_line),
        cmocka_unit_test(test_messages_are_read),
        cmocka_unit_test(test_a_long_error_is_cut_between_characters),
        cmocka_unit_test(test_what_the_contract_does_not_allow_is_said),
        cmocka_unit_test(test_a_quoted_line_cannot_leave_the_log),
        cmocka_unit_test(test_a_line_cut_anywhere_is_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
