/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/shelf.h"

#include "content/dagjson.h"

static int format(uint32_t codec, struct bytes block, const char *path, char *out, size_t size)
{
    struct buf text = buf_new(size - 1);
    struct cid cid = cid_of(codec, block);
    int rc = dagjson_format(&cid, block, path, &text, NULL);
    snprintf(out, size, "%s", rc == 0 ? buf_text(&text) : "");
    buf_fini(&text);
    return rc;
}

static void assert_format(uint32_t codec, const char *hex, const char *want)
{
    uint8_t block[1024];
    char got[4096];
    struct bytes in = bytes_of(block, from_hex(hex, block, sizeof block));
    assert_int_equal(format(codec, in, "", got, sizeof got), 0);
    assert_string_equal(got, want);
}

/* Blocks that Kubo 0.43.0 made (`ipfs dag put --store-codec dag-cbor`) and what its `ipfs dag get`
 * says of them. */
static void test_dag_cbor_is_written_as_kubo_writes_it(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *want;
    } rows[] = {
        {"6178", "\"x\""},
        {"40", "{\"/\":{\"bytes\":\"\"}}"},
        {"a16173781c011f7f225c2f080c0a0d093c3e26e280a8e280a920c3a920f09f9880",
         "{\"s\":\"\\u0001\\u001f\x7f\\\"\\\\/\\u0008\\u000c\\n\\r\\t<>&\\u2028\\u2029 \xc3\xa9 "
         "\xf0\x9f\x98\x80\"}"},
        {"a5616244010203046165a0616cd82a45000155000062656180626c30d82a5823001220bfccda787baba32b59c"
         "78450ac3d20b633360b43992c77289f9ed46d843561e6",
         "{\"b\":{\"/\":{\"bytes\":\"AQIDBA\"}},\"e\":{},\"ea\":[],\"l\":{\"/\":\"bafkqaaa\"},"
         "\"l0\":{\"/\":\"QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH\"}}"},
        {"81a36162a2617901627878a0617a0162616102",
         "[{\"aa\":2,\"b\":{\"xx\":{},\"y\":1},\"z\":1}]"},
        {"a46001617a0362c3a9026361616104", "{\"\":1,\"aaa\":4,\"z\":3,\"\xc3\xa9\":2}"},
        {"8d0001171818203738181b7fffffffffffffff3b7ffffffffffffffff5f4f660",
         "[0,1,23,24,-1,-24,-25,9223372036854775807,-9223372036854775808,true,false,null,\"\"]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_format(CID_DAG_CBOR, rows[i].hex, rows[i].want);
    assert_format(CID_DAG_CBOR,
                  "a161618cfb3fe0000000000000fb7e37e43c8800759cfb3e7ad7f29abcaf48fb3eb0c6f7a0b5ed8d"
                  "fb419d6f3454800000fb0000000000000001fb4454542ba12a337cfb3fb999999999999afbc00400"
                  "0000000000fb7feffffffffffffffb3fd3333333333334fb0010000000000000",
                  "{\"a\":[0.5,1e+300,1e-7,0.000001,123456789.125,5e-324,1.5e+21,0.1,-2.5,"
                  "1.7976931348623157e+308,0.30000000000000004,2.2250738585072014e-308]}");
}

/* Where Kubo writes 1 for the float 1.0, which then reads back as an integer, the specification is
 * followed; integers past 63 bits, which Kubo refuses or gets wrong, are written whole. */
static void test_floats_stay_floats_and_large_integers_whole(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *want;
    } rows[] = {
        {"fb3ff0000000000000", "1.0"},
        {"fbbff0000000000000", "-1.0"},
        {"fb0000000000000000", "0.0"},
        {"fb8000000000000000", "-0.0"},
        {"fb40f86a0000000000", "100000.0"},
        {"fb4340000000000000", "9007199254740992.0"},
        {"fb4415af1d78b58c40", "100000000000000000000.0"},
        {"fb444b1ae4d6e2ef50", "1e+21"},
        {"1b8000000000000000", "9223372036854775808"},
        {"1bffffffffffffffff", "18446744073709551615"},
        {"3b8000000000000000", "-9223372036854775809"},
        {"3bfffffffffffffffe", "-18446744073709551615"},
        {"3bffffffffffffffff", "-18446744073709551616"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_format(CID_DAG_CBOR, rows[i].hex, rows[i].want);
}

static void test_a_float_is_written_with_the_fewest_digits_that_read_back(void **state)
{
    (void)state;
    struct random_stream r;
    uint8_t seed[HASH_BYTES] = {7};
    random_stream_init(&r, seed);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = random_stream_u64(&r);
        double value, back;
        char text[512];
        memcpy(&value, &bits, sizeof value);
        struct buf block = buf_new(64);
        cbor_put_double(&block, value);
        if (block.size == 9) {
            assert_int_equal(format(CID_DAG_CBOR, buf_bytes(&block), "", text, sizeof text), 0);
            back = strtod(text, NULL);
            assert_memory_equal(&back, &value, sizeof back);
            assert_true(strpbrk(text, ".e") != NULL);
        }
        buf_fini(&block);
    }
}

/* `ipfs dag get` of a directory by unixfs-v1-2025, of an empty one, and of a leaf. */
static void test_dag_pb_and_raw_are_written_as_kubo_writes_them(void **state)
{
    (void)state;
    assert_format(
        CID_DAG_PB,
        "122f0a24015512208f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa41205612e74"
        "78741802122d0a2401701220b372ebc7d7b7d4f500c9c3623061a3873a87c6caa42cb7941c6b99add840779412"
        "0373756218330a020801",
        "{\"Data\":{\"/\":{\"bytes\":\"CAE\"}},\"Links\":[{\"Hash\":{\"/\":"
        "\"bafkreiepinbumzepnoln7co5vea4kf3lcctnqolb3u6bvsellgznymt2uq\"},\"Name\":\"a.txt\","
        "\"Tsize\":2},{\"Hash\":{\"/\":"
        "\"bafybeiftolv4pv5x2t2qbsodmiygdi4hhkd4nsvefs3zihdltgw5qqdxsq\"},\"Name\":\"sub\","
        "\"Tsize\":51}]}");
    assert_format(CID_DAG_PB, "0a020801", "{\"Data\":{\"/\":{\"bytes\":\"CAE\"}},\"Links\":[]}");
    assert_format(CID_RAW, "6869", "{\"/\":{\"bytes\":\"aGk\"}}");
    assert_format(CID_RAW, "", "{\"/\":{\"bytes\":\"\"}}");
    /* No data: no member for it, as the specification's logical form has it. */
    assert_format(CID_DAG_PB, "", "{\"Links\":[]}");
    /* A name that is no UTF-8, which dag-pb allows. */
    assert_format(CID_DAG_PB, "120e 0a04 01550000 1204 61ff62c3 1800",
                  "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Name\":\"a\xef\xbf\xbd"
                  "b\xef\xbf\xbd\","
                  "\"Tsize\":0}]}");
}

static void test_dag_json_is_written_in_its_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } rows[] = {
        {" {\"b\" : 1, \"a\" : 2} ", "{\"a\":2,\"b\":1}"},
        {"[1.0,1e3,-0.0,0.1,true,false,null,\"\\u00e9\\u0000\"]",
         "[1.0,1000.0,-0.0,0.1,true,false,null,\"\xc3\xa9\\u0000\"]"},
        {"{\"/\":\"bafkqaaa\"}", "{\"/\":\"bafkqaaa\"}"},
        {"{\"/\":{\"bytes\":\"AQ\"}}", "{\"/\":{\"bytes\":\"AQ\"}}"},
        {"{\"a\":1,\"/\":\"no link, beside another key\"}",
         "{\"/\":\"no link, beside another key\",\"a\":1}"},
        {"-9223372036854775808", "-9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[1024];
        assert_int_equal(format(CID_DAG_JSON, bytes_of_text(rows[i].in), "", got, sizeof got), 0);
        assert_string_equal(got, rows[i].want);
    }
}

static int count_link(void *self, const struct cid *link, struct err *err)
{
    (void)err;
    assert_false(cid_is_none(link));
    ++*(unsigned *)self;
    return 0;
}

static void test_what_is_no_dag_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int rc;
        const char *why;
    } rows[] = {
        {"", ERR_MALFORMED, "nothing"},
        {"{", ERR_MALFORMED, "cut"},
        {"1 2", ERR_MALFORMED, "two values"},
        {"{\"a\":1,\"a\":2}", ERR_MALFORMED, "a key twice"},
        {"{'a':1}", ERR_MALFORMED, "JavaScript"},
        {"[1,]", ERR_MALFORMED, "a comma too many"},
        {"NaN", ERR_MALFORMED, "no number"},
        {"1e999", ERR_MALFORMED, "a float past all"},
        {"18446744073709551615", ERR_MALFORMED, "an integer past 63 bits"},
        {"\"\xff\"", ERR_MALFORMED, "no UTF-8"},
        {"\"\\ud800\"", ERR_MALFORMED, "half a surrogate pair"},
        {"{\"a\\u0000b\":1}", ERR_MALFORMED, "NUL in a key"},
        {"{\"/\":\"x\"}", ERR_MALFORMED, "a link that is no CID"},
        {"{\"/\":\"\"}", ERR_MALFORMED, "an empty link"},
        {"[{\"/\":\"bafkqaaa\\u0000\"}]", ERR_MALFORMED, "a link with NUL behind"},
        {"]]]]", ERR_MALFORMED, "closed, never opened"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned links = 0;
        struct err err = {0};
        if (dagjson_each_link(bytes_of_text(rows[i].in), count_link, &links, &err) != rows[i].rc)
            fail_msg("%s: not refused as it should be (%s)", rows[i].why, err.text);
        assert_int_equal(links, 0);
        assert_non_null(strstr(err.text, "dag-json"));
    }
}

static void test_attack_19_dag_json_nested_deep_or_of_very_many_items(void **state)
{
    (void)state;
    enum {
        SIZE = 1 << 20
    };
    char *text = malloc(SIZE);
    assert_non_null(text);
    unsigned links = 0;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_int_equal(dagjson_each_link(bytes_of(text, 128), count_link, &links, NULL), 0);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(dagjson_each_link(bytes_of(text, 130), count_link, &links, NULL), ERR_LIMIT);
    memset(text, '[', SIZE);
    assert_int_equal(dagjson_each_link(bytes_of(text, SIZE), count_link, &links, NULL), ERR_LIMIT);
    text[0] = '[';
    for (size_t i = 1; i + 2 < SIZE; i += 2)
        memcpy(text + i, "1,", 2);
    assert_int_equal(dagjson_each_link(bytes_of(text, SIZE), count_link, &links, NULL), ERR_LIMIT);
    /* Brackets inside a string are text. */
    memset(text, '[', SIZE);
    text[0] = text[SIZE - 1] = '"';
    memcpy(text + 1, "\\\"", 2);
    assert_int_equal(dagjson_each_link(bytes_of(text, SIZE), count_link, &links, NULL), 0);
    free(text);
}

static void test_attack_19_dag_cbor_lengths_past_the_block_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "5b4000000000000000",
        "7b4000000000000000",
        "9b4000000000000000",
        "bb4000000000000000",
        "9bffffffffffffffff",
        "a16161bb7fffffffffffffff",
        "c1 00",
        "9f00ff",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t block[32];
        char got[64];
        struct bytes in = bytes_of(block, from_hex(rows[i], block, sizeof block));
        assert_int_equal(format(CID_DAG_CBOR, in, "", got, sizeof got), ERR_MALFORMED);
    }
    uint8_t *deep = malloc(1000000);
    assert_non_null(deep);
    memset(deep, 0x81, 1000000);
    char got[64];
    assert_int_equal(format(CID_DAG_CBOR, bytes_of(deep, 1000000), "", got, sizeof got), ERR_LIMIT);
    assert_int_equal(format(CID_DAG_CBOR, bytes_of(deep, 1000000), "0/0", got, sizeof got),
                     ERR_LIMIT);
    free(deep);
}

static void test_what_does_not_fit_the_callers_buffer_is_a_limit(void **state)
{
    (void)state;
    char got[8];
    assert_int_equal(format(CID_RAW, bytes_of_text("hello"), "", got, sizeof got), ERR_LIMIT);
    assert_int_equal(format(CID_CBOR, bytes_of_text("\x01"), "", got, sizeof got), ERR_UNSUPPORTED);
    assert_int_equal(format(CID_JSON, bytes_of_text("1"), "", got, sizeof got), ERR_UNSUPPORTED);
    assert_int_equal(format(CID_LIBP2P_KEY, bytes_of_text("1"), "", got, sizeof got),
                     ERR_UNSUPPORTED);
}

/* --- places --- */

/* {"a": [10, {"b": LINK}, bytes], "l": LINK, "s": "text"} */
static const char sample_json[] = "{\"a\":[10,{\"b\":{\"/\":\"bafkqaaa\"}},{\"/\":{\"bytes\":"
                                  "\"AQ\"}}],\"l\":{\"/\":\"bafkqaaa\"},\"s\":\"text\"}";
static const char sample_cbor[] = "a3 6161 83 0a a1 6162 d82a450001550000 4101 "
                                  "616c d82a450001550000 6173 6474657874";

static void test_a_path_leads_to_a_place_or_to_the_first_link(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int rc;
        bool link;
        size_t used;
        const char *text; /* of dagjson_format, NULL: ERR_NOTFOUND */
    } rows[] = {
        {"", 0, false, 0, sample_json},
        {"///", 0, false, 3, sample_json},
        {"a/0", 0, false, 3, "10"},
        {"/a/0/", 0, false, 5, "10"},
        {"a/1", 0, false, 3, "{\"b\":{\"/\":\"bafkqaaa\"}}"},
        {"a/1/b", 0, true, 5, "{\"/\":\"bafkqaaa\"}"},
        {"a/1/b/", 0, true, 5, "{\"/\":\"bafkqaaa\"}"},
        {"a/1/b/c/d", 0, true, 5, NULL},
        {"a//1//b//c", 0, true, 7, NULL},
        {"l", 0, true, 1, "{\"/\":\"bafkqaaa\"}"},
        {"a/2", 0, false, 3, "{\"/\":{\"bytes\":\"AQ\"}}"},
        {"s", 0, false, 1, "\"text\""},
        {"a/3", ERR_NOTFOUND, false, 0, NULL},
        {"a/-1", ERR_NOTFOUND, false, 0, NULL},
        {"a/00", ERR_NOTFOUND, false, 0, NULL},
        {"a/+0", ERR_NOTFOUND, false, 0, NULL},
        {"a/18446744073709551616", ERR_NOTFOUND, false, 0, NULL},
        {"a/x", ERR_NOTFOUND, false, 0, NULL},
        {"a/0/0", ERR_NOTFOUND, false, 0, NULL},
        {"a/2/0", ERR_NOTFOUND, false, 0, NULL},
        {"a/2/bytes", ERR_NOTFOUND, false, 0, NULL},
        {"a/2/%2f", ERR_NOTFOUND, false, 0, NULL},
        {"s/0", ERR_NOTFOUND, false, 0, NULL},
        {"x", ERR_NOTFOUND, false, 0, NULL},
        {"A", ERR_NOTFOUND, false, 0, NULL},
    };
    uint8_t room[256];
    struct bytes blocks[] = {bytes_of(room, from_hex(sample_cbor, room, sizeof room)),
                             bytes_of_text(sample_json)};
    static const uint32_t codecs[] = {CID_DAG_CBOR, CID_DAG_JSON};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct cid cid = cid_of(codecs[k], blocks[k]), link = {0};
            size_t used = 0;
            char got[512];
            int rc = dagjson_follow(&cid, blocks[k], rows[i].path, &link, &used, NULL);
            if (rc != rows[i].rc || link.size != (rows[i].link ? 4 : 0) || used != rows[i].used)
                fail_msg("codec %x, \"%s\": %d, %zu bytes used", codecs[k], rows[i].path, rc, used);
            rc = format(codecs[k], blocks[k], rows[i].path, got, sizeof got);
            assert_int_equal(rc, rows[i].text == NULL ? ERR_NOTFOUND : 0);
            assert_string_equal(got, rows[i].text == NULL ? "" : rows[i].text);
        }
}

static void test_raw_and_dag_pb_have_no_places_inside(void **state)
{
    (void)state;
    char got[64];
    struct cid link;
    size_t used;
    struct bytes raw = bytes_of_text("x"), pb = bytes_of_text("\x0a\x02\x08\x01");
    struct cid cid = cid_of(CID_RAW, raw);
    assert_int_equal(format(CID_RAW, raw, "/", got, sizeof got), 0);
    assert_int_equal(format(CID_RAW, raw, "a", got, sizeof got), ERR_NOTFOUND);
    assert_int_equal(format(CID_DAG_PB, pb, "Data", got, sizeof got), ERR_NOTFOUND);
    assert_int_equal(dagjson_follow(&cid, raw, "a", &link, &used, NULL), ERR_UNSUPPORTED);
}

static void test_blocks_cut_anywhere_are_malformed(void **state)
{
    (void)state;
    uint8_t room[256];
    char got[512];
    struct bytes cbor = bytes_of(room, from_hex(sample_cbor, room, sizeof room));
    for (size_t cut = 0; cut < cbor.size; cut++)
        assert_int_equal(format(CID_DAG_CBOR, bytes_of(cbor.data, cut), "", got, sizeof got),
                         ERR_MALFORMED);
    struct bytes json = bytes_of_text(sample_json);
    for (size_t cut = 0; cut < json.size; cut++)
        assert_int_equal(format(CID_DAG_JSON, bytes_of(json.data, cut), "", got, sizeof got),
                         ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dag_cbor_is_written_as_kubo_writes_it),
        cmocka_unit_test(test_floats_stay_floats_and_large_integers_whole),
        cmocka_unit_test(test_a_float_is_written_with_the_fewest_digits_that_read_back),
        cmocka_unit_test(test_dag_pb_and_raw_are_written_as_kubo_writes_them),
        cmocka_unit_test(test_dag_json_is_written_in_its_one_form),
        cmocka_unit_test(test_what_is_no_dag_json_is_refused),
        cmocka_unit_test(test_attack_19_dag_json_nested_deep_or_of_very_many_items),
        cmocka_unit_test(test_attack_19_dag_cbor_lengths_past_the_block_are_refused),
        cmocka_unit_test(test_what_does_not_fit_the_callers_buffer_is_a_limit),
        cmocka_unit_test(test_a_path_leads_to_a_place_or_to_the_first_link),
        cmocka_unit_test(test_raw_and_dag_pb_have_no_places_inside),
        cmocka_unit_test(test_blocks_cut_anywhere_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
