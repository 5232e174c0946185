/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/shelf.h"

#include "content/hamt.h"

#define ENTRIES 3000

static struct hamt_entry entry_of(unsigned i)
{
    static char names[ENTRIES][24];
    snprintf(names[i], sizeof names[0], "entry-%05u.bin", i);
    return (struct hamt_entry){.name = bytes_of_text(names[i]),
                               .cid = cid_of(CID_RAW, bytes_of_text(names[i])),
                               .total_bytes = i};
}

static struct unixfs_child build(struct shelf *s, size_t count, uint32_t fanout)
{
    struct hamt_entry *entries = calloc(count + 1, sizeof *entries);
    struct unixfs_child root;
    struct err err = {0};
    for (unsigned i = 0; i < count; i++)
        entries[i] = entry_of(i);
    if (hamt_build(entries, count, fanout, 1, shelf_put, s, &root, &err) != 0)
        fail_msg("%s", err.text);
    free(entries);
    return root;
}

static void test_the_hash_is_murmur3s_first_half(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t want;
    } rows[] = {
        /* The reference implementation, MurmurHash3_x64_128 with seed 0. */
        {"", 0},
        {"hello", 0xcbd8a7b341bd9b02},
        {"hello, world", 0x342fac623a5ebc8e},
        {"The quick brown fox jumps over the lazy dog.", 0xcd99481f9ee902c9},
        {"19 Jan 2038 at 3:14:07 AM", 0xb89e5988b737affc},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(hamt_hash(bytes_of_text(rows[i].name)) == rows[i].want);
    /* Where Kubo put these two: the first bytes of the hash, from the most significant. */
    assert_int_equal(hamt_hash(bytes_of_text("470.txt")) >> 48, 0x006e);
    assert_int_equal(hamt_hash(bytes_of_text("742.txt")) >> 48, 0x00ff);
}

static void test_every_entry_is_found_and_no_other(void **state)
{
    (void)state;
    static const uint32_t fanouts[] = {8, 16, 256, 512, 1024};
    for (size_t f = 0; f < sizeof fanouts / sizeof fanouts[0]; f++) {
        struct shelf s = shelf_new();
        struct block_source source = shelf_source(&s);
        struct unixfs_child root = build(&s, ENTRIES, fanouts[f]);
        struct buf block = shelf_take(&s, &root.cid);
        struct cid found;
        for (unsigned i = 0; i < ENTRIES; i++) {
            struct hamt_entry e = entry_of(i);
            assert_int_equal(
                hamt_find(&source, buf_bytes(&block), e.name, NULL, NULL, &found, NULL), 0);
            assert_true(cid_equal(&found, &e.cid));
        }
        assert_int_equal(hamt_find(&source, buf_bytes(&block), bytes_of_text("entry-03000.bin"),
                                   NULL, NULL, &found, NULL),
                         ERR_NOTFOUND);
        assert_int_equal(
            hamt_find(&source, buf_bytes(&block), bytes_of_text(""), NULL, NULL, &found, NULL),
            ERR_NOTFOUND);
        buf_fini(&block);
        shelf_fini(&s);
    }
}

struct seen {
    bool entry[ENTRIES];
    unsigned entries, shards;
    uint64_t last_hash;
    uint64_t shard_bytes;
    unsigned stop_at;
};

static int see(void *self, const struct hamt_entry *e, struct err *err)
{
    struct seen *seen = self;
    char name[32] = {0};
    unsigned i;
    assert_true(e->name.size < sizeof name);
    memcpy(name, e->name.data, e->name.size);
    assert_int_equal(sscanf(name, "entry-%05u.bin", &i), 1);
    assert_false(seen->entry[i]);
    seen->entry[i] = true;
    assert_int_equal(e->total_bytes, i);
    assert_true(hamt_hash(e->name) > seen->last_hash || seen->entries == 0);
    seen->last_hash = hamt_hash(e->name);
    if (++seen->entries == seen->stop_at)
        return err_set(err, ERR_DENIED, "enough");
    return 0;
}

static int see_shard(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct seen *seen = self;
    assert_int_equal(cid_verify(cid, block, err), 0);
    seen->shards++;
    seen->shard_bytes += block.size;
    return 0;
}

static void test_a_walk_gives_each_entry_once_in_the_order_of_the_hash(void **state)
{
    (void)state;
    static const uint32_t fanouts[] = {8, 256, 1024};
    for (size_t f = 0; f < sizeof fanouts / sizeof fanouts[0]; f++) {
        struct shelf s = shelf_new();
        struct block_source source = shelf_source(&s);
        struct unixfs_child root = build(&s, ENTRIES, fanouts[f]);
        struct buf block = shelf_take(&s, &root.cid);
        struct seen seen = {0};
        assert_int_equal(hamt_each(&source, buf_bytes(&block), see, see_shard, &seen, NULL), 0);
        assert_int_equal(seen.entries, ENTRIES);
        assert_int_equal(seen.shards + 1, s.puts);
        /* Tsize is of all blocks and what they link to. */
        uint64_t entries_bytes = (uint64_t)ENTRIES * (ENTRIES - 1) / 2;
        assert_int_equal(root.total_bytes, entries_bytes + seen.shard_bytes + block.size);

        struct seen stopped = {.stop_at = 7};
        assert_int_equal(hamt_each(&source, buf_bytes(&block), see, NULL, &stopped, NULL),
                         ERR_DENIED);
        assert_int_equal(stopped.entries, 7);
        buf_fini(&block);
        shelf_fini(&s);
    }
}

static void test_finding_visits_the_shards_on_the_way_alone(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct block_source source = shelf_source(&s);
    struct unixfs_child root = build(&s, ENTRIES, 16);
    struct buf block = shelf_take(&s, &root.cid);
    struct seen seen = {0};
    struct cid found;
    s.gets = 0;
    assert_int_equal(
        hamt_find(&source, buf_bytes(&block), entry_of(1).name, see_shard, &seen, &found, NULL), 0);
    assert_true(seen.shards >= 1 && seen.shards <= 5);
    assert_int_equal(seen.shards, s.gets);
    buf_fini(&block);
    shelf_fini(&s);
}

static void test_a_missing_shard_is_not_found(void **state)
{
    (void)state;
    struct shelf s = shelf_new(), empty = shelf_new();
    struct block_source nothing = shelf_source(&empty);
    struct unixfs_child root = build(&s, ENTRIES, 256);
    struct buf block = shelf_take(&s, &root.cid);
    struct seen seen = {0};
    struct cid found;
    assert_int_equal(
        hamt_find(&nothing, buf_bytes(&block), entry_of(0).name, NULL, NULL, &found, NULL),
        ERR_NOTFOUND);
    assert_int_equal(hamt_each(&nothing, buf_bytes(&block), see, NULL, &seen, NULL), ERR_NOTFOUND);
    buf_fini(&block);
    shelf_fini(&s);
    shelf_fini(&empty);
}

static void test_a_shard_cut_or_flipped_anywhere_gives_no_wrong_entry(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct block_source source = shelf_source(&s);
    struct unixfs_child root = build(&s, 20, 256);
    struct buf block = shelf_take(&s, &root.cid);
    for (size_t cut = 0; cut < block.size; cut++) {
        struct seen seen = {0};
        assert_int_not_equal(hamt_each(&source, bytes_of(block.data, cut), see, NULL, &seen, NULL),
                             0);
    }
    for (size_t at = 0; at < block.size; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            block.data[at] ^= (uint8_t)(1u << bit);
            struct cid found = {0};
            int rc =
                hamt_find(&source, buf_bytes(&block), entry_of(3).name, NULL, NULL, &found, NULL);
            assert_true(rc == 0 || found.size == 0);
            block.data[at] ^= (uint8_t)(1u << bit);
        }
    buf_fini(&block);
    shelf_fini(&s);
}

static void test_a_fanout_that_is_none_is_not_written(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 3, 4, 7, 24, 2048, 1u << 31};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hamt_entry e = entry_of(0);
        struct unixfs_child root;
        assert_int_equal(hamt_build(&e, 1, bad[i], 1, NULL, NULL, &root, NULL), ERR_USAGE);
    }
}

static void test_two_names_with_one_hash_are_refused(void **state)
{
    (void)state;
    /* The same name twice is the plainest such pair. */
    struct hamt_entry two[] = {entry_of(0), entry_of(0)};
    struct unixfs_child root;
    assert_int_equal(hamt_build(two, 2, 256, 1, NULL, NULL, &root, NULL), ERR_LIMIT);
    assert_int_equal(hamt_build(two, 2, 8, 1, NULL, NULL, &root, NULL), ERR_LIMIT);
}

/* --- what others may send --- */

static int count_entry(void *self, const struct hamt_entry *e, struct err *err)
{
    (void)e;
    (void)err;
    ++*(unsigned *)self;
    return 0;
}

/* A shard of one link called `name`, at `slot`. */
static void put_shard(struct buf *out, uint32_t slot, const char *name, const struct cid *cid)
{
    uint8_t bits[32] = {0};
    bits[31 - slot / 8] = (uint8_t)(1u << slot % 8);
    size_t zero = 31 - slot / 8;
    dagpb_put_link(out, cid, bytes_of_text(name), 1);
    unixfs_node_put_hamt(out, bytes_of(bits + zero, 32 - zero), 256);
}

static int read_both(struct shelf *s, struct bytes block)
{
    struct block_source source = shelf_source(s);
    struct cid found;
    unsigned entries = 0;
    int find = hamt_find(&source, block, bytes_of_text("470.txt"), NULL, NULL, &found, NULL);
    int each = hamt_each(&source, block, count_entry, NULL, &entries, NULL);
    return each != 0 ? each : find;
}

static void test_attack_18_a_fanout_of_0_or_3_or_2_to_31(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x"));
    static const uint32_t bad[] = {0, 1, 2, 3, 4, 255, 257, 2048, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = buf_new(1024);
        dagpb_put_link(&b, &leaf, bytes_of_text("00470.txt"), 1);
        unixfs_node_put_hamt(&b, bytes_of("\1", 1), bad[i]);
        int rc = read_both(&s, buf_bytes(&b));
        assert_true(rc == ERR_MALFORMED || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED);
        buf_fini(&b);
    }
    shelf_fini(&s);
}

static void test_attack_18_a_bitfield_that_does_not_fit_the_links(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bits;
        size_t size;
        const char *why;
    } rows[] = {
        {"00470.txt", "", 0, "a link, and no bit"},
        {"00470.txt", "\3", 1, "two bits, one link"},
        {"00470.txt", "\2", 1, "the bit of slot 1, a name of slot 00"},
        {"01470.txt", "\1", 1, "the bit of slot 0, a name of slot 01"},
        {"0", "\1", 1, "a name shorter than a slot's"},
        {"", "\1", 1, "no name at all"},
        {"zz470.txt", "\1", 1, "a slot that is no hex"},
        {"00470.txt", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 33,
         "more bits than the fanout has slots"},
    };
    struct shelf s = shelf_new();
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = buf_new(1024);
        dagpb_put_link(&b, &leaf, bytes_of_text(rows[i].name), 1);
        unixfs_node_put_hamt(&b, bytes_of(rows[i].bits, rows[i].size), 256);
        if (read_both(&s, buf_bytes(&b)) != ERR_MALFORMED)
            fail_msg("taken: %s", rows[i].why);
        buf_fini(&b);
    }
    shelf_fini(&s);
}

static void test_a_name_where_its_hash_does_not_lead_is_refused(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct block_source source = shelf_source(&s);
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x"));
    struct buf good = buf_new(1024), bad = buf_new(1024);
    unsigned entries = 0;
    put_shard(&good, 0, "00470.txt", &leaf);
    put_shard(&bad, 1, "01470.txt", &leaf);
    assert_int_equal(hamt_each(&source, buf_bytes(&good), count_entry, NULL, &entries, NULL), 0);
    assert_int_equal(entries, 1);
    assert_int_equal(hamt_each(&source, buf_bytes(&bad), count_entry, NULL, &entries, NULL),
                     ERR_MALFORMED);
    buf_fini(&good);
    buf_fini(&bad);
    shelf_fini(&s);
}

/* Every level's 256 slots link to the same shard below: 256^8 ways down, over nine blocks. */
static void test_attack_15_shards_that_repeat_are_found_out_at_their_first_entry(void **state)
{
    (void)state;
    static const char *const bottoms[] = {"an entry", "an empty shard"};
    for (size_t k = 0; k < sizeof bottoms / sizeof bottoms[0]; k++) {
        struct shelf s = shelf_new();
        struct block_source source = shelf_source(&s);
        struct buf b = buf_new(BLOCK_BYTES_MAX);
        uint8_t all[32];
        memset(all, 0xff, sizeof all);
        struct cid below = cid_of(CID_RAW, bytes_of_text("x"));
        if (k == 1) {
            unixfs_node_put_hamt(&b, bytes_of(NULL, 0), 256);
            below = shelf_add(&s, CID_DAG_PB, buf_bytes(&b));
        }
        for (unsigned level = 8; level > 0; level--) {
            buf_clear(&b);
            for (unsigned slot = 0; slot < 256; slot++) {
                char name[16];
                snprintf(name, sizeof name, k == 0 && level == 8 ? "%02Xx" : "%02X", slot);
                dagpb_put_link(&b, &below, bytes_of_text(name), 1);
            }
            unixfs_node_put_hamt(&b, bytes_of(all, sizeof all), 256);
            below = shelf_add(&s, CID_DAG_PB, buf_bytes(&b));
        }
        unsigned entries = 0;
        s.gets = 0;
        assert_int_equal(hamt_each(&source, buf_bytes(&b), count_entry, NULL, &entries, NULL),
                         ERR_MALFORMED);
        assert_true(s.gets <= 8);
        assert_int_equal(entries, 0);
        buf_fini(&b);
        shelf_fini(&s);
    }
}

/* A source that answers with the same shard whatever it is asked for, and so never ends. */
static int same_shard(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    const struct buf *shard = self;
    (void)cid;
    buf_clear(out);
    buf_append(out, shard->data, shard->size);
    return buf_check(out, err);
}

static void test_attack_16_shards_that_never_end(void **state)
{
    (void)state;
    struct cid self_cid = cid_of(CID_DAG_PB, bytes_of_text("itself, it says"));
    struct buf b = buf_new(1024);
    put_shard(&b, 0, "00", &self_cid);
    struct block_source source = {&b, same_shard};
    unsigned entries = 0;
    struct cid found;
    struct err err;
    assert_int_equal(hamt_each(&source, buf_bytes(&b), count_entry, NULL, &entries, &err),
                     ERR_MALFORMED);
    assert_string_equal(err.text, "HAMT: a shard below itself");
    /* One whose hash is zeros all the way. */
    assert_int_equal(hamt_find(&source, buf_bytes(&b), bytes_of_text(""), NULL, NULL, &found, &err),
                     ERR_MALFORMED);
    assert_string_equal(err.text, "HAMT: more levels than the hash has bits for");
    buf_fini(&b);
}

static void test_a_shard_of_another_fanout_or_no_shard_below_is_refused(void **state)
{
    (void)state;
    struct shelf s = shelf_new();
    struct buf b = buf_new(1024);
    struct cid leaf = cid_of(CID_RAW, bytes_of_text("x"));
    dagpb_put_link(&b, &leaf, bytes_of_text("6470.txt"), 1);
    unixfs_node_put_hamt(&b, bytes_of("\x40", 1), 16);
    struct cid narrow = shelf_add(&s, CID_DAG_PB, buf_bytes(&b));
    buf_clear(&b);
    unixfs_node_put_directory(&b);
    struct cid flat = shelf_add(&s, CID_DAG_PB, buf_bytes(&b));
    const struct cid *below[] = {&narrow, &flat};
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&b);
        put_shard(&b, 0, "00", below[i]);
        assert_int_equal(read_both(&s, buf_bytes(&b)), ERR_MALFORMED);
    }
    buf_fini(&b);
    shelf_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_hash_is_murmur3s_first_half),
        cmocka_unit_test(test_every_entry_is_found_and_no_other),
        cmocka_unit_test(test_a_walk_gives_each_entry_once_in_the_order_of_the_hash),
        cmocka_unit_test(test_finding_visits_the_shards_on_the_way_alone),
        cmocka_unit_test(test_a_missing_shard_is_not_found),
        cmocka_unit_test(test_a_shard_cut_or_flipped_anywhere_gives_no_wrong_entry),
        cmocka_unit_test(test_a_fanout_that_is_none_is_not_written),
        cmocka_unit_test(test_two_names_with_one_hash_are_refused),
        cmocka_unit_test(test_attack_18_a_fanout_of_0_or_3_or_2_to_31),
        cmocka_unit_test(test_attack_18_a_bitfield_that_does_not_fit_the_links),
        cmocka_unit_test(test_a_name_where_its_hash_does_not_lead_is_refused),
        cmocka_unit_test(test_attack_15_shards_that_repeat_are_found_out_at_their_first_entry),
        cmocka_unit_test(test_attack_16_shards_that_never_end),
        cmocka_unit_test(test_a_shard_of_another_fanout_or_no_shard_below_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
