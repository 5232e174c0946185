/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_line.h"

#include "tests/scratch.h"

static const char *line_of(const char *event, struct buf *out)
{
    json_t *object = json_loads(event, 0, NULL);
    assert_non_null(object);
    log_line_format(object, out);
    json_decref(object);
    return buf_text(out);
}

static const struct {
    const char *event, *line, *why;
} lines[] = {
    {"{\"event\":\"update-accepted\",\"time\":0,\"round\":3,\"site\":\"a\",\"examples\":12,"
     "\"bytes\":2048,\"loss\":0.25,\"metrics\":{\"accuracy\":1,\"auc\":null,\"loss\":0.25}}",
     "1970-01-01 00:00:00Z  round 3: update of a accepted, 12 examples, 2.0 KiB, accuracy "
     "1, loss 0.25",
     "all is there"},
    {"{\"event\":\"update-accepted\",\"time\":86400,\"round\":1,\"site\":\"a\",\"examples\":12,"
     "\"metrics\":{\"loss\":null}}",
     "1970-01-02 00:00:00Z  round 1: update of a accepted, 12 examples",
     "parts without a value are left out"},
    {"{\"event\":\"update-refused\",\"time\":0,\"round\":3,\"site\":\"a\",\"code\":\"trainer-"
     "died\","
     "\"sentence\":\"a: it ended\",\"record\":null}",
     "1970-01-01 00:00:00Z  round 3: refused, trainer-died: a: it ended", "no update is named"},
    {"{\"event\":\"round-opened\",\"time\":0,\"round\":1,\"rule\":\"fedavg\",\"selected\":[\"a\","
     "\"b\"]}",
     "1970-01-01 00:00:00Z  round 1 (fedavg) opens with a, b", "a list of names"},
    {"{\"event\":\"dropped\",\"time\":0}", "1970-01-01 00:00:00Z  round ?: task dropped: ?",
     "what a sentence needs and lacks is seen"},
    {"{\"event\":\"trained\",\"time\":0,\"round\":2,\"seconds\":1.5}",
     "1970-01-01 00:00:00Z  round 2: trained in 1.5 s", "a duration"},
    {"{\"event\":\"of-tomorrow\",\"time\":0,\"x\":1,\"y\":null,\"z\":\"t\"}",
     "1970-01-01 00:00:00Z  of-tomorrow x=1 y=- z=t", "an event without a sentence"},
    {"{\"time\":0}", "1970-01-01 00:00:00Z  (no event)", "no event at all"},
    {"{\"event\":\"stopped\",\"time\":1e300}", "1970-01-01 00:00:00Z  stopped",
     "a time that no clock shows"},
    {"{\"event\":\"failed\",\"time\":0,\"sentence\":\"\\u001b[2J\\n\\u202eevil \\\"q\\\"\"}",
     "1970-01-01 00:00:00Z  stopped for good: \\x1b[2J\\x0a\\u{202e}evil \"q\"",
     "nothing moves the cursor"},
    {"{\"event\":\"\\u001b]0;x\\u0007\",\"time\":0,\"\\u001bkey\":1}",
     "1970-01-01 00:00:00Z  \\x1b]0;x\\x07 \\x1bkey=1", "nor in names"},
};

static void test_each_event_becomes_one_plain_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct buf out = buf_new(4096);
        if (strcmp(line_of(lines[i].event, &out), lines[i].line) != 0)
            fail_msg("%s:\n%s\n%s", lines[i].why, lines[i].line, buf_text(&out));
        buf_fini(&out);
    }
}

static void test_a_bracket_falls_with_any_of_its_fields(void **state)
{
    (void)state;
    json_t *fields = json_pack("{s:i,s:s,s:[]}", "a", 1, "empty", "", "none");
    static const char *const rows[][2] = {
        {"x[ {a}]y", "x 1y"},        {"x[ {a} {b}]y", "xy"}, {"x[ {empty}]y", "xy"},
        {"x[ {none}]y", "xy"},       {"[{b}][{a}]", "1"},    {"{b}", "?"},
        {"[{b}] {b} [{a}]", " ? 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = buf_new(4096);
        log_line_fill(rows[i][0], fields, &out);
        assert_string_equal(buf_text(&out), rows[i][1]);
        buf_fini(&out);
    }
    json_decref(fields);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_event_becomes_one_plain_line),
        cmocka_unit_test(test_a_bracket_falls_with_any_of_its_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
