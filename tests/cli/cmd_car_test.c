/* SPDX-License-Identifier: Apache-2.0 */
/* `car export`, `import`, `ls` and `verify`. */
#include <sys/stat.h>

#include "content/car.h"
#include "tests/cli/store_tool.h"

#define FILE_BYTES 5000000 /* five leaves and a node */

static void export_to(const char *store, const char *cid, const char *name)
{
    tool_run(cmd_car, "car", "export", "--store", in_scratch(store), cid, "-f", "-o",
             in_scratch(name), NULL);
    tool_expect(0, "", "");
}

static void test_what_is_exported_is_imported_elsewhere(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1u << 20, FILE_BYTES, 20u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct said_cid root = tool_add_file("store", "car", sizes[i]);
        export_to("store", root.text, "a.car");
        tool_run(cmd_car, "car", "import", "--store", in_scratch("other"), in_scratch("a.car"),
                 NULL);
        tool_expect(0, "pinned root ", "");
        tool_expect(0, root.text, "");
        tool_run(cmd_get, "get", "--store", in_scratch("other"), "-f", "-o", in_scratch("got"),
                 root.text, NULL);
        tool_expect(0, "", "");
        struct buf a = read_file(in_scratch("added")), b = read_file(in_scratch("got"));
        assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
        buf_fini(&a);
        buf_fini(&b);
        /* And again out of there: the same bytes. */
        export_to("other", root.text, "b.car");
        a = read_file(in_scratch("a.car"));
        b = read_file(in_scratch("b.car"));
        assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
        buf_fini(&a);
        buf_fini(&b);
    }
}

struct order {
    struct cid cids[16];
    size_t count;
};

static int note(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                struct err *err)
{
    struct order *o = self;
    (void)data;
    (void)offset;
    (void)err;
    assert_true(o->count < 16);
    o->cids[o->count++] = *cid;
    return 0;
}

static struct order order_of(const char *name)
{
    struct order o = {0};
    struct car_reader *r;
    struct buf b = read_file(in_scratch(name));
    assert_int_equal(car_reader_new(NULL, note, &o, &r, NULL), 0);
    assert_int_equal(car_reader_add(r, buf_bytes(&b), NULL), 0);
    assert_int_equal(car_reader_finish(r, NULL), 0);
    car_reader_free(r);
    buf_fini(&b);
    return o;
}

static struct said_cid put_text(const char *text)
{
    return tool_put("store", "raw", bytes_of_text(text));
}

static struct said_cid put_json(const char *format, ...) PRINTF_LIKE(1, 2);
static struct said_cid put_json(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tool_put("store", "dag-json", bytes_of_text(text));
}

/* Leaves wait in a window while nodes are read at once: the order must not show it. */
static void test_blocks_come_depth_first_and_once(void **state)
{
    (void)state;
    struct said_cid a = put_text("a"), b = put_text("b"), c = put_text("c");
    struct said_cid under = put_json("[{\"/\":\"%s\"},{\"/\":\"%s\"}]", b.text, a.text);
    struct said_cid root = put_json("[{\"/\":\"%s\"},{\"/\":\"%s\"},{\"/\":\"%s\"},{\"/\":\"%s\"}]",
                                    a.text, under.text, c.text, under.text);
    export_to("store", root.text, "a.car");
    struct order o = order_of("a.car");
    const struct said_cid *expected[] = {&root, &a, &under, &b, &c};
    assert_int_equal(o.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_cid(&o.cids[i], expected[i]->text);
}

static void test_a_path_exports_what_it_leads_to(void **state)
{
    (void)state;
    assert_int_equal(files_make_dirs(files_posix(), in_scratch("d/sub"), NULL), 0);
    write_file(in_scratch("d/sub/x"), bytes_of_text("ex"));
    write_file(in_scratch("d/y"), bytes_of_text("why"));
    tool_run(cmd_add, "add", "-Q", "--store", in_scratch("store"), in_scratch("d"), NULL);
    struct said_cid root = tool_cid();
    char path[CID_TEXT_MAX + 20];
    snprintf(path, sizeof path, "%s/sub/x", root.text);
    export_to("store", path, "x.car");
    struct order o = order_of("x.car");
    struct cid x = cid_of(CID_RAW, bytes_of_text("ex"));
    assert_int_equal(o.count, 1);
    assert_true(cid_equal(&o.cids[0], &x));
    snprintf(path, sizeof path, "%s/sub/z", root.text);
    tool_group(cmd_car, "car", "export", "-o", in_scratch("z.car"), path);
    tool_expect(1, "", "\"z\"");
    assert_false(files_exists(files_posix(), in_scratch("z.car")));
}

static void test_the_standard_output_gets_the_same_bytes(void **state)
{
    (void)state;
    struct said_cid root = tool_add_file("store", "car", FILE_BYTES);
    export_to("store", root.text, "a.car");
    tool_group(cmd_car, "car", "export", root.text);
    assert_int_equal(tool.status, 0);
    struct buf a = read_file(in_scratch("a.car"));
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&tool.out)));
    buf_fini(&a);
}

static void test_an_export_replaces_a_file_only_when_told(void **state)
{
    (void)state;
    struct said_cid root = put_text("a");
    write_file(in_scratch("out"), bytes_of_text("precious"));
    tool_group(cmd_car, "car", "export", root.text, "-o", in_scratch("out"));
    tool_expect(2, "", "--force replaces it");
    struct buf kept = read_file(in_scratch("out"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
}

static void test_a_missing_or_damaged_block_ends_an_export_and_no_file_appears(void **state)
{
    (void)state;
    struct said_cid a = put_text("a"), b = put_text("b");
    struct said_cid root = put_json("[{\"/\":\"%s\"},{\"/\":\"%s\"}]", a.text, b.text);
    damage_file(tool_block_path("store", b.text), 0, 1);
    tool_group(cmd_car, "car", "export", root.text, "-o", in_scratch("out"));
    tool_expect(1, "", b.text);
    assert_false(files_exists(files_posix(), in_scratch("out")));
    assert_false(files_exists(files_posix(), in_scratch("out.part")));
    assert_int_equal(unlink(tool_block_path("store", b.text)), 0);
    tool_group(cmd_car, "car", "export", root.text, "-o", in_scratch("out"));
    tool_expect(1, "", b.text);
    assert_false(files_exists(files_posix(), in_scratch("out")));
}

static void test_dag_export_and_import_are_the_same_commands(void **state)
{
    (void)state;
    struct said_cid root = tool_add_file("store", "car", FILE_BYTES);
    tool_group(cmd_dag, "dag", "export", root.text, "-o", in_scratch("a.car"));
    tool_expect(0, "", "");
    tool_run(cmd_dag, "dag", "import", "--store", in_scratch("other"), in_scratch("a.car"), NULL);
    tool_expect(0, root.text, "");
    assert_true(tool_holds("other", root.text));
}

/* --- import --- */

static struct buf a_car_of(const char *const *texts, size_t count)
{
    struct buf b = buf_new(1u << 20);
    struct cid root = cid_of(CID_RAW, bytes_of_text(texts[0]));
    car_put_header(&b, &root, 1);
    for (size_t i = 0; i < count; i++) {
        uint8_t head[CAR_SECTION_HEAD_MAX];
        struct cid cid = cid_of(CID_RAW, bytes_of_text(texts[i]));
        buf_append(&b, head, car_section_head(&cid, strlen(texts[i]), head));
        buf_append_text(&b, texts[i]);
    }
    return b;
}

static bool holds_text(const char *text)
{
    struct cid cid = cid_of(CID_RAW, bytes_of_text(text));
    char name[CID_TEXT_MAX];
    return tool_holds("store", cid_format(&cid, name));
}

static void test_blocks_before_a_cut_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second", "third"};
    struct buf b = a_car_of(texts, 3);
    write_file(in_scratch("cut.car"), bytes_of(b.data, b.size - 1));
    tool_group(cmd_car, "car", "import", in_scratch("cut.car"));
    tool_expect(1, "imported 2 blocks", "ends at offset ");
    assert_true(holds_text("first") && holds_text("second") && !holds_text("third"));
    tool_group(cmd_pin, "pin", "ls");
    tool_expect(0, "", "");
    assert_int_equal(tool.out.size, 0);
    buf_fini(&b);
}

static void test_blocks_before_a_lie_stay_and_it_is_named(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second", "third"};
    struct buf b = a_car_of(texts, 3);
    b.data[b.size - 1] ^= 1;
    write_file(in_scratch("bad.car"), buf_bytes(&b));
    tool_group(cmd_car, "car", "import", in_scratch("bad.car"));
    tool_expect(1, "imported 2 blocks", "section at offset 144");
    assert_true(holds_text("first") && holds_text("second") && !holds_text("third"));
    buf_fini(&b);
}

static void test_attack_13_missing_blocks_are_said_and_the_root_is_not_pinned(void **state)
{
    (void)state;
    struct said_cid a = put_text("a"), b = put_text("b");
    struct said_cid root = put_json("[{\"/\":\"%s\"},{\"/\":\"%s\"}]", a.text, b.text);
    struct cid cid;
    struct buf car = buf_new(10000), block = buf_new(10000);
    assert_int_equal(cid_parse(root.text, &cid, NULL), 0);
    buf_append_format(&block, "[{\"/\":\"%s\"},{\"/\":\"%s\"}]", a.text, b.text);
    uint8_t head[CAR_SECTION_HEAD_MAX];
    car_put_header(&car, &cid, 1);
    buf_append(&car, head, car_section_head(&cid, block.size, head));
    buf_append(&car, block.data, block.size);
    write_file(in_scratch("thin.car"), buf_bytes(&car));
    tool_run(cmd_car, "car", "import", "--store", in_scratch("other"), in_scratch("thin.car"),
             NULL);
    tool_expect(1, root.text, "2 blocks are missing");
    tool_expect(1, "imported 1 blocks", a.text);
    tool_run(cmd_pin, "pin", "ls", "--store", in_scratch("other"), NULL);
    assert_int_equal(tool.out.size, 0);
    tool_run(cmd_car, "car", "import", "--no-pin", "--store", in_scratch("other"),
             in_scratch("thin.car"), NULL);
    tool_expect(0, root.text, "2 blocks are missing");
    /* The rest comes from another CAR, and then the root can be pinned. */
    static const char *const rest[] = {"a", "b"};
    struct buf more = a_car_of(rest, 2);
    write_file(in_scratch("rest.car"), buf_bytes(&more));
    tool_run(cmd_car, "car", "import", "--store", in_scratch("other"), in_scratch("rest.car"),
             in_scratch("thin.car"), NULL);
    tool_expect(0, root.text, "");
    tool_run(cmd_car, "car", "verify", in_scratch("thin.car"), NULL);
    tool_expect(1, "2 blocks are missing, the first of them ", "");
    tool_expect(1, a.text, "");
    buf_fini(&car);
    buf_fini(&block);
    buf_fini(&more);
}

static void test_a_car_comes_by_the_standard_input(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second"};
    struct buf b = a_car_of(texts, 2);
    int ends[2], kept = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], b.data, b.size), b.size);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    tool_group(cmd_car, "car", "import", "--pin-name", "by pipe", "-");
    assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    close(kept);
    close(ends[0]);
    tool_expect(0, "imported 2 blocks", "");
    tool_group(cmd_pin, "pin", "ls");
    tool_expect(0, " recursive by pipe\n", "");
    buf_fini(&b);
}

static void test_an_import_says_it_as_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second"};
    struct buf b = a_car_of(texts, 2);
    write_file(in_scratch("a.car"), buf_bytes(&b));
    tool_group(cmd_car, "car", "import", "--json", in_scratch("a.car"));
    tool_expect(0, "\"blocks\":2,\"bytes\":11", "");
    json_t *said = tool_json();
    assert_int_equal(json_array_size(json_object_get(said, "roots")), 1);
    json_decref(said);
    buf_fini(&b);
}

/* Many small blocks, more than are handed on at once, and large ones that lie across two windows
 * of reading. */
static void test_blocks_of_every_size_come_through_the_windows(void **state)
{
    (void)state;
    struct buf b = buf_new(64u << 20);
    car_put_header(&b, NULL, 0);
    size_t count = 0;
    uint8_t *data = stream_bytes("windows", 2u << 20);
    for (uint32_t i = 0; i < 5200; i++, count++) {
        size_t size = i % 650 == 0 ? (2u << 20) - i : 4 + i % 40;
        uint8_t head[CAR_SECTION_HEAD_MAX];
        bytes_put_u32(data, i);
        struct cid cid = cid_of(CID_RAW, bytes_of(data, size));
        buf_append(&b, head, car_section_head(&cid, size, head));
        buf_append(&b, data, size);
    }
    assert_int_equal(buf_check(&b, NULL), 0);
    write_file(in_scratch("a.car"), buf_bytes(&b));
    tool_group(cmd_car, "car", "import", in_scratch("a.car"));
    tool_expect(0, "imported 5200 blocks", "");
    for (uint32_t i = 0; i < 5200; i += 50) {
        size_t size = i % 650 == 0 ? (2u << 20) - i : 4 + i % 40;
        char text[CID_TEXT_MAX];
        bytes_put_u32(data, i);
        struct cid cid = cid_of(CID_RAW, bytes_of(data, size));
        assert_true(tool_holds("store", cid_format(&cid, text)));
    }
    tool_run(cmd_car, "car", "verify", in_scratch("a.car"), NULL);
    tool_expect(0, "0 roots, 5200 blocks", "");
    free(data);
    buf_fini(&b);
}

/* --- ls and verify --- */

static void test_ls_lists_blocks_sizes_and_offsets(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second"};
    struct buf b = a_car_of(texts, 2);
    write_file(in_scratch("a.car"), buf_bytes(&b));
    tool_run(cmd_car, "car", "ls", in_scratch("a.car"), NULL);
    struct cid first = cid_of(CID_RAW, bytes_of_text("first"));
    char text[CID_TEXT_MAX], line[CID_TEXT_MAX + 40];
    tool_expect(0, cid_format(&first, text), "");
    tool_run(cmd_car, "car", "ls", "-v", in_scratch("a.car"), NULL);
    tool_expect(0, "CARv1, 1 root\n", "");
    snprintf(line, sizeof line, "%s 5 at 59\n", text);
    tool_expect(0, line, "");
    tool_expect(0, " 6 at 101\n", "");
    tool_run(cmd_car, "car", "ls", "--version", in_scratch("a.car"), NULL);
    tool_expect(0, "1\n", "");
    assert_int_equal(tool.out.size, 2);
    tool_run(cmd_car, "car", "ls", "--json", in_scratch("a.car"), NULL);
    tool_expect(0, "{\"version\":1,\"roots\":[\"", "");
    tool_expect(0, "\"bytes\":6,\"offset\":101}\n", "");
    write_file(in_scratch("cut.car"), bytes_of(b.data, b.size - 1));
    tool_run(cmd_car, "car", "ls", in_scratch("cut.car"), NULL);
    tool_expect(1, text, "cut.car: ends at offset");
    buf_fini(&b);
}

static void test_verify_tells_a_whole_car_from_others(void **state)
{
    (void)state;
    struct said_cid root = tool_add_file("store", "car", FILE_BYTES);
    export_to("store", root.text, "a.car");
    tool_run(cmd_car, "car", "verify", in_scratch("a.car"), NULL);
    tool_expect(0, "whole: CARv1, 1 root, 6 blocks, 4.8 MiB", "");
    tool_run(cmd_car, "car", "verify", "--json", in_scratch("a.car"), NULL);
    tool_expect(0, "\"blocks\":6", "");
    damage_file(in_scratch("a.car"), 3000000, 1);
    tool_run(cmd_car, "car", "verify", in_scratch("a.car"), NULL);
    tool_expect(1, "", "section at offset ");
    write_file(in_scratch("no.car"), bytes_of_text("nonsense"));
    tool_run(cmd_car, "car", "verify", in_scratch("no.car"), NULL);
    tool_expect(1, "", "no.car: ");
    tool_run(cmd_car, "car", "verify", in_scratch("absent"), NULL);
    tool_expect(1, "", "absent");
}

static void test_a_v2_is_read_where_v1_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "second"};
    struct buf v1 = a_car_of(texts, 2), b = buf_new(1u << 20);
    uint8_t header[51] = {0x0a, 0xa1, 0x67, 'v', 'e', 'r', 's', 'i', 'o', 'n', 0x02};
    bytes_put_u64(header + 27, 51);
    bytes_put_u64(header + 35, v1.size);
    bytes_put_u64(header + 43, 51 + v1.size);
    buf_append(&b, header, sizeof header);
    buf_append(&b, v1.data, v1.size);
    buf_append_text(&b, "an index");
    write_file(in_scratch("v2.car"), buf_bytes(&b));
    tool_run(cmd_car, "car", "verify", in_scratch("v2.car"), NULL);
    tool_expect(0, "whole: CARv2, 1 root, 2 blocks", "");
    tool_group(cmd_car, "car", "import", in_scratch("v2.car"));
    tool_expect(0, "pinned root", "");
    assert_true(holds_text("first") && holds_text("second"));
    buf_fini(&v1);
    buf_fini(&b);
}

static void test_an_export_gives_up_nothing_but_a_file(void **state)
{
    (void)state;
    struct said_cid root = put_text("a");
    char fifo[512];
    struct stat st;
    snprintf(fifo, sizeof fifo, "%s", in_scratch("fifo"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    tool_group(cmd_car, "car", "export", root.text, "-f", "-o", fifo);
    tool_expect(2, "", "is a FIFO: only a file is replaced");
    assert_true(lstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
    assert_int_equal(symlink("fifo", in_scratch("link")), 0);
    tool_group(cmd_car, "car", "export", root.text, "-f", "-o", in_scratch("link"));
    tool_expect(2, "", "is a symlink");
    /* Nor by way of the temporary name. */
    write_file(in_scratch("precious"), bytes_of_text("precious"));
    assert_int_equal(symlink("precious", in_scratch("out.part")), 0);
    tool_group(cmd_car, "car", "export", root.text, "-o", in_scratch("out"));
    tool_expect(2, "", "out.part is a symlink");
    struct buf kept = read_file(in_scratch("precious"));
    assert_true(bytes_equal(buf_bytes(&kept), bytes_of_text("precious")));
    buf_fini(&kept);
}

static void append_block(struct buf *car, const struct cid *cid, const char *text)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    buf_append(car, head, car_section_head(cid, strlen(text), head));
    buf_append_text(car, text);
}

/* What a block of an unknown codec links, `gc` cannot know. */
static void test_a_root_of_an_unknown_codec_is_not_pinned_and_not_called_whole(void **state)
{
    (void)state;
    struct cid strange = cid_of(0x65, bytes_of_text("links")), above;
    struct buf inner = buf_new(1000);
    char text[CID_TEXT_MAX], pin[CID_TEXT_MAX];
    buf_append_format(&inner, "[{\"/\":\"%s\"}]", cid_format(&strange, text));
    above = cid_of(CID_DAG_JSON, buf_bytes(&inner));
    for (int below = 0; below < 2; below++) {
        struct buf car = buf_new(10000);
        const struct cid *root = below ? &above : &strange;
        car_put_header(&car, root, 1);
        if (below)
            append_block(&car, &above, buf_text(&inner));
        append_block(&car, &strange, "links");
        write_file(in_scratch("strange.car"), buf_bytes(&car));
        buf_fini(&car);
        tool_run(cmd_car, "car", "verify", in_scratch("strange.car"), NULL);
        tool_expect(1, "the codec 0x65 is not known here", "");
        tool_run(cmd_car, "car", "verify", "--json", in_scratch("strange.car"), NULL);
        tool_expect(1, "\"unknown_codec\":\"", "");
        tool_group(cmd_car, "car", "import", in_scratch("strange.car"));
        tool_expect(1, "imported ", "is not pinned: ");
        tool_expect(1, "root ",
                    "its codec 0x65 is not known here, so what it links cannot be kept");
        assert_true(tool_holds("store", text));
        tool_group(cmd_pin, "pin", "ls");
        assert_int_equal(tool.out.size, 0);
        tool_group(cmd_pin, "pin", "add", cid_format(root, pin));
        tool_expect(1, "", "cannot be kept; --direct pins the block alone");
    }
    tool_group(cmd_pin, "pin", "add", "--direct", text);
    tool_expect(0, "pinned", "");
    buf_fini(&inner);
}

static void test_a_car_of_an_unknown_hash_is_a_no(void **state)
{
    (void)state;
    struct buf car = buf_new(1000);
    struct cid root = cid_of(CID_RAW, bytes_of_text("a"));
    car_put_header(&car, &root, 1);
    /* CIDv1, raw, multihash 0x1e of 32 bytes; a block of one byte */
    static const uint8_t section[38] = {37, 1, 0x55, 0x1e, 32};
    buf_append(&car, section, sizeof section);
    write_file(in_scratch("hash.car"), buf_bytes(&car));
    tool_run(cmd_car, "car", "verify", in_scratch("hash.car"), NULL);
    tool_expect(1, "", "hash.car: ");
    buf_fini(&car);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_exported_is_imported_elsewhere),
        TEST(test_blocks_come_depth_first_and_once),
        TEST(test_a_path_exports_what_it_leads_to),
        TEST(test_the_standard_output_gets_the_same_bytes),
        TEST(test_an_export_replaces_a_file_only_when_told),
        TEST(test_a_missing_or_damaged_block_ends_an_export_and_no_file_appears),
        TEST(test_dag_export_and_import_are_the_same_commands),
        TEST(test_blocks_before_a_cut_stay),
        TEST(test_blocks_before_a_lie_stay_and_it_is_named),
        TEST(test_attack_13_missing_blocks_are_said_and_the_root_is_not_pinned),
        TEST(test_a_car_comes_by_the_standard_input),
        TEST(test_an_import_says_it_as_json),
        TEST(test_blocks_of_every_size_come_through_the_windows),
        TEST(test_ls_lists_blocks_sizes_and_offsets),
        TEST(test_verify_tells_a_whole_car_from_others),
        TEST(test_a_v2_is_read_where_v1_is),
        TEST(test_an_export_gives_up_nothing_but_a_file),
        TEST(test_a_root_of_an_unknown_codec_is_not_pinned_and_not_called_whole),
        TEST(test_a_car_of_an_unknown_hash_is_a_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
