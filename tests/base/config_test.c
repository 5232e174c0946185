/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/config.h"

/* A schema with one key of each kind. */
static struct {
    char name[16], mode[16], free_text[CONFIG_TEXT_MAX];
    uint64_t deadline_ms, any;
    double fraction, real;
    bool on;
    struct config_list sites;
    struct config_uint_list widths;
} got;

static const struct config_key keys[] = {
    {"", "name", CONFIG_TEXT, true, got.name, sizeof got.name, 0, 0, "a name of the study"},
    {"", "text", CONFIG_TEXT, false, got.free_text, sizeof got.free_text, 0, 0, NULL},
    {"", "mode", CONFIG_TEXT, false, got.mode, sizeof got.mode, 0, 0, "fast | exact | dry run"},
    {"", "on", CONFIG_BOOL, false, &got.on, 0, 0, 0, NULL},
    {"round", "deadline_ms", CONFIG_UINT, false, &got.deadline_ms, 0, 1, 86400000,
     "a number from 1 to 86400000"},
    {"round", "any", CONFIG_UINT, false, &got.any, 0, 0, 0, NULL},
    {"round.selection", "fraction", CONFIG_DOUBLE, false, &got.fraction, 0, 0.25, 1,
     "a number from 0.25 to 1"},
    {"round.selection", "real", CONFIG_DOUBLE, false, &got.real, 0, 0, 0, NULL},
    {"round.selection", "sites", CONFIG_TEXT_LIST, false, &got.sites, 0, 0, 0, NULL},
    {"net", "widths", CONFIG_UINT_LIST, false, &got.widths, 0, 1, 512, "numbers from 1 to 512"},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

static int parse(const char *text, struct err *err)
{
    config_list_fini(&got.sites);
    memset(&got, 0, sizeof got);
    err->text[0] = '\0';
    return config_parse("plan.toml", bytes_of_text(text), keys, KEY_COUNT, err);
}

static void parse_well(const char *text)
{
    struct err err;
    if (parse(text, &err) != 0)
        fail_msg("%s", err.text);
}

static void test_every_kind_of_value_reaches_its_target(void **state)
{
    (void)state;
    parse_well("# a plan\n"
               "name = \"demo\"   # the name\n"
               "\ttext\t=\t\"\"\n"
               "on = true\r\n"
               "mode = \"dry run\"\n"
               "\n"
               "[round]\n"
               "deadline_ms = 60_000\n"
               "any = 18446744073709551615\n"
               "[round.selection] # how\n"
               "fraction = 0.5\n"
               "real = -1.5e-3\n"
               "sites = [ \"a\", # the first\n"
               "  \"b\",\n"
               "\n"
               "]\n"
               "[net]\n"
               "widths = [1, 5_12, # two\n  +7,]\n");
    assert_string_equal(got.name, "demo");
    assert_string_equal(got.free_text, "");
    assert_string_equal(got.mode, "dry run");
    assert_true(got.on);
    assert_int_equal(got.deadline_ms, 60000);
    assert_true(got.any == UINT64_MAX);
    assert_true(got.fraction == 0.5);
    assert_true(got.real == -1.5e-3);
    assert_int_equal(got.sites.count, 2);
    assert_string_equal(got.sites.items[0], "a");
    assert_string_equal(got.sites.items[1], "b");
    assert_int_equal(got.widths.count, 3);
    assert_true(got.widths.items[0] == 1 && got.widths.items[1] == 512 && got.widths.items[2] == 7);
    config_list_fini(&got.sites);
}

static void test_absent_keys_leave_their_targets(void **state)
{
    (void)state;
    struct err err;
    memset(&got, 0, sizeof got);
    got.deadline_ms = 7;
    strcpy(got.mode, "fast");
    assert_int_equal(config_parse("f", bytes_of_text("name=\"x\""), keys, KEY_COUNT, &err), 0);
    assert_int_equal(got.deadline_ms, 7);
    assert_string_equal(got.mode, "fast");
    assert_null(got.sites.items);
    assert_int_equal(got.widths.count, 0);
    parse_well("name = \"x\"\n[net]\nwidths = []\n"); /* none of them is a list too */
    assert_int_equal(got.widths.count, 0);
}

static void test_numbers_are_read_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {{"0", 0},        {"-0", 0},           {"+3", 3},     {"-12", -12},
                {"0.0", 0},      {"1_000.5", 1000.5}, {"1e3", 1000}, {"1E+3", 1000},
                {"2.5e-1", .25}, {"-0.125", -.125}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "name=\"x\"\n[round.selection]\nreal = %s\n", rows[i].text);
        parse_well(text);
        assert_true(got.real == rows[i].value);
    }
}

static void test_escapes_are_undone(void **state)
{
    (void)state;
    parse_well(
        "name = \"x\"\n"
        "text = \"a\\tb\\n\\\"q\\\" \\\\ \\b\\f\\r \\u00e9 \\u20AC \\U0001F41D #no [comment]\"");
    assert_string_equal(got.free_text, "a\tb\n\"q\" \\ \b\f\r \xc3\xa9 \xe2\x82\xac "
                                       "\xf0\x9f\x90\x9d #no [comment]");
}

#define N "name = \"x\"\n"
#define R N "[round]\n"
#define S N "[round.selection]\n"
#define W N "[net]\n"

static const struct {
    const char *text, *sentence;
} wrong[] = {
    /* against the schema */
    {"", "plan.toml: name is missing; it must be a name of the study"},
    {R "deadline_ms = \"soon\"", "plan.toml:3: deadline_ms: must be a number from 1 to "
                                 "86400000, not \"soon\""},
    {R "deadline_ms = 0", "plan.toml:3: deadline_ms: must be a number from 1 to 86400000, "
                          "not 0"},
    {R "deadline_ms = 86400001", "plan.toml:3: deadline_ms: must be a number from 1 to "
                                 "86400000, not 86400001"},
    {R "deadline_ms = 1.0", "plan.toml:3: deadline_ms: must be a number from 1 to 86400000, "
                            "not 1.0"},
    {R "deadline_ms = true", "plan.toml:3: deadline_ms: must be a number from 1 to 86400000, "
                             "not true"},
    {R "any = -1", "plan.toml:3: any: must be a whole number that is not negative, not -1"},
    {R "any = 1.5", "plan.toml:3: any: must be a whole number that is not negative, not 1.5"},
    {R "any = []", "plan.toml:3: any: must be a whole number that is not negative, not an "
                   "array"},
    {S "fraction = 0.2", "plan.toml:3: fraction: must be a number from 0.25 to 1, not 0.2"},
    {S "fraction = 2", "plan.toml:3: fraction: must be a number from 0.25 to 1, not 2"},
    {S "real = \"1\"", "plan.toml:3: real: must be a number, not \"1\""},
    {S "sites = \"a\"", "plan.toml:3: sites: must be an array of \"strings\", not \"a\""},
    {N "on = 1", "plan.toml:2: on: must be true or false, not 1"},
    {N "on = \"true\"", "plan.toml:2: on: must be true or false, not \"true\""},
    {N "text = 5", "plan.toml:2: text: must be a \"string\", not 5"},
    {N "mode = \"quick\"", "plan.toml:2: mode: must be fast | exact | dry run, not \"quick\""},
    {N "mode = \"fast | exact\"", "plan.toml:2: mode: must be fast | exact | dry run, not "
                                  "\"fast | exact\""},
    {N "mode = \"\"", "plan.toml:2: mode: must be fast | exact | dry run, not \"\""},
    {N "mode = \"fas\"", "plan.toml:2: mode: must be fast | exact | dry run, not \"fas\""},
    {"name = \"0123456789abcdef\"", "plan.toml:1: name: longer than 15 bytes"},
    {N "nmae = 1", "plan.toml:2: nmae: no such key outside the tables; allowed: name, text, "
                   "mode, on"},
    {R "fraction = 1", "plan.toml:3: fraction: no such key in [round]; allowed: deadline_ms, "
                       "any"},
    {N "[rounds]", "plan.toml:2: [rounds]: no such table; allowed: [round], "
                   "[round.selection], [net]"},
    {N N, "plan.toml:2: name: stands here a second time"},
    {R "[round]\n", "plan.toml:3: [round]: stands here a second time"},
    {N "[round]\n[round.selection]\n[round]\n", "plan.toml:4: [round]: stands here a second "
                                                "time"},
    /* numbers */
    {R "any = 18446744073709551616", "plan.toml:3: an integer that is too large"},
    {R "any = 007", "plan.toml:3: not a value: 007 "},
    {R "any = 0x10", "plan.toml:3: not a value: 0x10 "},
    {R "any = 0b1", "plan.toml:3: not a value: 0b1 "},
    {R "any = 1__0", "plan.toml:3: an underscore that is not between digits"},
    {R "any = _1", "plan.toml:3: an underscore that is not between digits"},
    {R "any = 1_", "plan.toml:3: an underscore that is not between digits"},
    {S "real = inf", "plan.toml:3: not a value: inf "},
    {S "real = nan", "plan.toml:3: not a value: nan "},
    {S "real = 1e999", "plan.toml:3: a number that is too large"},
    {S "real = .5", "plan.toml:3: not a value: .5 "},
    {S "real = 5.", "plan.toml:3: not a value: 5. "},
    {S "real = 1e", "plan.toml:3: not a value: 1e "},
    {S "real = 1.e5", "plan.toml:3: not a value: 1.e5 "},
    {S "real = +-1", "plan.toml:3: not a value: +-1 "},
    {S "real = 1.2.3", "plan.toml:3: not a value: 1.2.3 "},
    {S "real = 2026-01-01T00:00:00Z", "plan.toml:3: not a value: 2026-01-01T00:00:00Z "},
    {S "real = 1111111111111111111111111111111111111111111111111111111111111111",
     "plan.toml:3: a number that is too long"},
    {N "on = True", "plan.toml:2: not a value: True "},
    {N "on = yes", "plan.toml:2: not a value: yes "},
    {N "on =", "plan.toml:2: not a value: (a value is"},
    {N "on = # nothing", "plan.toml:2: not a value: (a value is"},
    /* strings */
    {N "text = \"open", "plan.toml:2: a string without its closing quote"},
    {N "text = \"two\nlines\"", "plan.toml:2: a string without its closing quote"},
    {N "text = \"\\q\"", "plan.toml:2: an unknown escape in a string"},
    {N "text = \"\\u12\"", "plan.toml:2: an unknown escape in a string"},
    {N "text = \"\\u12g4\"", "plan.toml:2: a bad \\u escape in a string"},
    {N "text = \"\\u0000\"", "plan.toml:2: an escape that names no character"},
    {N "text = \"\\ud800\"", "plan.toml:2: an escape that names no character"},
    {N "text = \"\\U00110000\"", "plan.toml:2: an escape that names no character"},
    {N "text = \"\\", "plan.toml:2: an unknown escape in a string"},
    {N "text = \"\x01\"", "plan.toml:2: a control character in a string"},
    {N "text = \"\x7f\"", "plan.toml:2: a control character in a string"},
    {N "text = \"\xff\"", "plan.toml:2: a string that is not UTF-8"},
    {N "text = \"\"\"x\"\"\"", "plan.toml:2: multi-line strings are not supported"},
    {N "text = 'x'", "plan.toml:2: literal strings ('...') are not supported"},
    /* shape */
    {N "text = {a = 1}", "plan.toml:2: inline tables are not supported"},
    {N "[[round]]", "plan.toml:2: arrays of tables ([[...]]) are not supported"},
    {N "round.any = 1", "plan.toml:2: dotted keys are not supported"},
    {N "\"on\" = true", "plan.toml:2: expected a bare key"},
    {N "on true", "plan.toml:2: expected = behind the key"},
    {N "on", "plan.toml:2: expected = behind the key"},
    {N "= 1", "plan.toml:2: expected a bare key"},
    {N "[]", "plan.toml:2: expected a bare key"},
    {N "[round", "plan.toml:2: expected ] behind the table's name"},
    {N "[round] any = 1", "plan.toml:2: something behind the value"},
    {N "on = true false", "plan.toml:2: something behind the value"},
    {N "on = true\rtext = \"\"", "plan.toml:2: something behind the value"},
    {N "text = \"a\" \"b\"", "plan.toml:2: something behind the value"},
    {S "sites = [\"a\" \"b\"]", "plan.toml:3: expected , or ] in the array"},
    {S "sites = [\"a\",\n\"b\"", "plan.toml:4: expected , or ] in the array"},
    {S "sites = [,]", "plan.toml:3: expected a \"string\" or ] in the array"},
    {S "sites = [1]", "plan.toml:3: expected a \"string\" or ] in the array"},
    {S "sites = [\n\n[\"a\"]]", "plan.toml:5: expected a \"string\" or ] in the array"},
    {W "widths = 3", "plan.toml:3: widths: must be numbers from 1 to 512, not 3"},
    {W "widths = \"3\"", "plan.toml:3: widths: must be numbers from 1 to 512, not \"3\""},
    {W "widths = [\n1, 0]", "plan.toml:3: widths: must be numbers from 1 to 512, not 0"},
    {W "widths = [513]", "plan.toml:3: widths: must be numbers from 1 to 512, not 513"},
    {W "widths = [1,\n-1]", "plan.toml:4: expected a whole number that is not negative or ]"},
    {W "widths = [1.5]", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [\"1\"]", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [[1]]", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [true]", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [,]", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [1 2]", "plan.toml:3: expected , or ] in the array"},
    {W "widths = [1", "plan.toml:3: expected , or ] in the array"},
    {W "widths = [1,", "plan.toml:3: expected a whole number that is not negative or ]"},
    {W "widths = [18446744073709551616]", "plan.toml:3: an integer that is too large"},
    {R "any = [1]", "plan.toml:3: expected a \"string\" or ] in the array"},
    {S "sites = [\"a\"] ]", "plan.toml:3: something behind the value"},
    {S "sites = [\n\"a\"\n]\nreal = x", "plan.toml:6: not a value: x "},
    {"\xef\xbb\xbf" N, "plan.toml:1: expected a bare key"},
};

static void test_what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err err;
        int rc = parse(wrong[i].text, &err);
        if (rc != ERR_USAGE)
            fail_msg("%s: code %d", wrong[i].text, rc);
        if (strncmp(err.text, wrong[i].sentence, strlen(wrong[i].sentence)) != 0)
            fail_msg("%s: %s", wrong[i].text, err.text);
    }
    config_list_fini(&got.sites);
}

static void test_a_multi_line_value_is_blamed_on_the_line_of_its_key(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(parse(N "text = [\n\"a\",\n\"b\"\n]\n", &err), ERR_USAGE);
    assert_string_equal(err.text, "plan.toml:2: text: must be a \"string\", not an array");
}

static void test_a_text_cut_anywhere_is_read_or_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char text[] =
        N "text = \"a\\u00e9\"\n[round]\nany = 1_0\n[round.selection]\n"
          "fraction = 0.5\nsites = [\"a\", \"b\"]\n[net]\nwidths = [1, 22]\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct err err = {0};
        char *copy = malloc(cut + 1); /* its own size, so that a sanitizer sees a read past it */
        assert_non_null(copy);
        memcpy(copy, text, cut);
        config_list_fini(&got.sites);
        int rc = config_parse("f", bytes_of(copy, cut), keys, KEY_COUNT, &err);
        assert_true(rc == 0 || (rc == ERR_USAGE && err.text[0] != '\0'));
        free(copy);
    }
    config_list_fini(&got.sites);
}

static void test_limits_hold(void **state)
{
    (void)state;
    struct err err;
    struct buf b = buf_new(CONFIG_BYTES_MAX + 100);
    buf_append_text(&b, S "sites = [");
    for (int i = 0; i < CONFIG_LIST_MAX; i++)
        buf_append_text(&b, "\"a\",");
    size_t before = b.size;
    buf_append_text(&b, "]");
    assert_int_equal(parse(buf_text(&b), &err), 0);
    assert_int_equal(got.sites.count, CONFIG_LIST_MAX);
    b.size = before;
    buf_append_text(&b, "\"a\"]");
    assert_int_equal(parse(buf_text(&b), &err), ERR_USAGE);
    assert_string_equal(err.text, "plan.toml:3: an array with too many items");

    for (size_t count = CONFIG_UINTS_MAX; count <= CONFIG_UINTS_MAX + 1; count++) {
        buf_clear(&b);
        buf_append_text(&b, W "widths = [");
        for (size_t i = 0; i < count; i++)
            buf_append_text(&b, "1,");
        buf_append_text(&b, "]");
        assert_int_equal(parse(buf_text(&b), &err), count == CONFIG_UINTS_MAX ? 0 : ERR_USAGE);
    }
    assert_string_equal(err.text, "plan.toml:3: an array with too many items");

    for (size_t size = CONFIG_TEXT_MAX - 1; size <= CONFIG_TEXT_MAX; size++) {
        buf_clear(&b);
        buf_append_text(&b, N "text = \"");
        for (size_t i = 0; i < size; i++)
            buf_append_byte(&b, 'x');
        buf_append_text(&b, "\"");
        assert_int_equal(parse(buf_text(&b), &err), size < CONFIG_TEXT_MAX ? 0 : ERR_USAGE);
    }
    assert_string_equal(err.text, "plan.toml:2: a string that is too long");

    buf_clear(&b);
    memset(buf_extend(&b, CONFIG_BYTES_MAX + 1), '\n', CONFIG_BYTES_MAX + 1);
    write_file(in_scratch("large.toml"), buf_bytes(&b));
    assert_int_equal(config_load(in_scratch("large.toml"), keys, KEY_COUNT, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "more than 262144"));
    buf_fini(&b);
}

static void test_a_file_is_loaded_or_named(void **state)
{
    (void)state;
    struct err err;
    write_file(in_scratch("good.toml"), bytes_of_text(N));
    write_file(in_scratch("bad.toml"), bytes_of_text("name = 1\n"));
    assert_int_equal(config_load(in_scratch("good.toml"), keys, KEY_COUNT, &err), 0);
    assert_string_equal(got.name, "x");
    assert_int_equal(config_load(in_scratch("bad.toml"), keys, KEY_COUNT, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "/bad.toml:1: name: must be"));
    assert_int_equal(config_load(in_scratch("none.toml"), keys, KEY_COUNT, &err), ERR_USAGE);
    assert_non_null(strstr(err.text, "none.toml"));
}

static void test_a_text_put_is_read_back(void **state)
{
    (void)state;
    char all[256];
    size_t n = 0;
    for (int c = 1; c < 128; c++)
        all[n++] = (char)c;
    memcpy(all + n, "\xc3\xa9 \xf0\x9f\x90\x9d", 8);
    struct buf b = buf_new(4096);
    buf_append_text(&b, N "text = ");
    config_put_text(&b, all);
    buf_append_text(&b, "\non = true\n");
    parse_well(buf_text(&b));
    assert_string_equal(got.free_text, all);
    assert_true(got.on);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_value_reaches_its_target),
        cmocka_unit_test(test_absent_keys_leave_their_targets),
        cmocka_unit_test(test_numbers_are_read_as_written),
        cmocka_unit_test(test_escapes_are_undone),
        cmocka_unit_test(test_what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(test_a_multi_line_value_is_blamed_on_the_line_of_its_key),
        cmocka_unit_test(test_a_text_cut_anywhere_is_read_or_refused_with_a_sentence),
        cmocka_unit_test_setup_teardown(test_limits_hold, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_is_loaded_or_named, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_a_text_put_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
