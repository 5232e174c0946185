/* SPDX-License-Identifier: Apache-2.0 */
#include "content/gc.h"

#include "content/packs.h"
#include "content/pins.h"
#include "tests/content/packs_scratch.h"
#include "tests/content/store_scratch.h"

static struct cid put_raw(struct store *s, const char *text)
{
    struct cid cid = cid_of(CID_RAW, bytes_of_text(text));
    assert_int_equal(store_put(s, &cid, bytes_of_text(text), NULL), 0);
    return cid;
}

/* A dag-cbor list of links. */
static struct buf links_to(const struct cid *cids, size_t count)
{
    struct buf b = buf_new(4096);
    buf_append_byte(&b, (uint8_t)(0x80 + count));
    for (size_t i = 0; i < count; i++) {
        buf_append(&b, "\xd8\x2a", 2); /* tag 42, bytes */
        if (cids[i].size + 1 >= 24)
            buf_append_byte(&b, 0x58);
        buf_append_byte(&b, (uint8_t)(cids[i].size + 1 + (cids[i].size + 1 < 24 ? 0x40 : 0)));
        buf_append_byte(&b, 0);
        buf_append(&b, cids[i].bytes, cids[i].size);
    }
    return b;
}

static struct cid put_list(struct store *s, const struct cid *cids, size_t count)
{
    struct buf b = links_to(cids, count);
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(&b));
    assert_int_equal(store_put(s, &cid, buf_bytes(&b), NULL), 0);
    buf_fini(&b);
    return cid;
}

static void pin(const struct cid *cid, bool recursive)
{
    struct pin p = {.cid = *cid, .recursive = recursive};
    assert_int_equal(pins_add(files_posix(), in_scratch("store"), &p, NULL), 0);
}

static struct gc_result run(struct store *s)
{
    struct gc_result r = {0};
    struct err err = {0};
    if (gc_run(s, &r, &err) != 0)
        fail_msg("%s", err.text);
    return r;
}

static void test_what_is_pinned_stays_and_the_rest_goes(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid leaves[3] = {put_raw(s, "leaf 1"), put_raw(s, "leaf 2"), put_raw(s, "leaf 3")};
    struct cid inner = put_list(s, leaves, 2), root = put_list(s, &inner, 1);
    struct cid other = put_list(s, &leaves[2], 1), loose = put_raw(s, "nobody's");
    pin(&root, true);
    pin(&other, false); /* itself, and not what it links to */
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_kept, 5);
    assert_int_equal(r.blocks_removed, 2);
    assert_int_equal(r.bytes_removed, strlen("leaf 3") + strlen("nobody's"));
    assert_int_equal(r.missing, 0);
    assert_int_equal(get(s, &root), 0);
    assert_int_equal(get(s, &inner), 0);
    assert_int_equal(get(s, &leaves[0]), 0);
    assert_int_equal(get(s, &leaves[1]), 0);
    assert_int_equal(get(s, &other), 0);
    assert_int_equal(get(s, &leaves[2]), ERR_NOTFOUND);
    assert_int_equal(get(s, &loose), ERR_NOTFOUND);
    assert_int_equal(pins_remove(files_posix(), in_scratch("store"), &root, NULL), 0);
    r = run(s);
    assert_int_equal(r.blocks_kept, 1);
    assert_int_equal(r.blocks_removed, 4);
    store_close(s);
}

static void test_packs_are_swept_too(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct packs_batch *b;
    struct cid cids[40];
    char text[40];
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "packed block %u", i);
        cids[i] = cid_of(CID_RAW, bytes_of_text(text));
        assert_int_equal(store_batch_put(b, &cids[i], bytes_of_text(text), NULL), 0);
    }
    assert_int_equal(store_batch_finish(b, true, NULL), 0);
    struct cid root = put_list(s, cids, 7);
    pin(&root, true);
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_kept, 8);
    assert_int_equal(r.blocks_removed, 33);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(get(s, &cids[i]), i < 7 ? 0 : ERR_NOTFOUND);
    store_close(s);
}

/* gc fails with this code, and its sentence names pin and block and what to do. */
static void expect_stop(struct store *s, int rc, const struct cid *pinned, const struct cid *hole)
{
    struct gc_result r = {.missing = 77};
    struct err err = {0};
    char text[CID_TEXT_MAX];
    assert_int_equal(gc_run(s, &r, &err), rc);
    assert_int_equal(r.missing, 77);
    assert_non_null(strstr(err.text, cid_format(pinned, text)));
    assert_non_null(strstr(err.text, cid_format(hole, text)));
    assert_non_null(strstr(err.text, "pin add --from"));
    assert_non_null(strstr(err.text, "pin rm"));
}

static void test_nothing_goes_when_an_inner_block_is_missing_or_damaged(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid leaves[2] = {put_raw(s, "leaf 1"), put_raw(s, "leaf 2")};
    struct cid inner[2] = {put_list(s, &leaves[0], 1), put_list(s, &leaves[1], 1)};
    struct cid root = put_list(s, inner, 2), loose = put_raw(s, "nobody's");
    pin(&root, true);
    damage_file(path_of(&inner[1]), 5, 1);
    expect_stop(s, ERR_CORRUPT, &root, &inner[1]);
    assert_int_equal(unlink(path_of(&inner[1])), 0);
    expect_stop(s, ERR_NOTFOUND, &root, &inner[1]);
    damage_file(path_of(&root), 5, 1);
    expect_stop(s, ERR_CORRUPT, &root, &root);
    assert_int_equal(get(s, &leaves[0]), 0);
    assert_int_equal(get(s, &leaves[1]), 0); /* below the damaged one */
    assert_int_equal(get(s, &loose), 0);
    put_list(s, &leaves[1], 1); /* come again */
    put_list(s, inner, 2);
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_kept, 5);
    assert_int_equal(r.blocks_removed, 1);
    /* Whose hash nobody here knows. */
    struct cid strange = {.size = 4 + 32, .bytes = {1, CID_DAG_CBOR, 0x7f, 32}};
    struct cid above = put_list(s, &strange, 1);
    pin(&above, true);
    expect_stop(s, ERR_NOTFOUND, &above, &strange);
    store_close(s);
}

/* One bit of a root among its leaves in a pack. */
static void test_nothing_goes_when_a_root_in_a_pack_is_damaged(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct packs_batch *b;
    struct cid cids[40];
    char text[40], pack[512];
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "packed block %u", i);
        cids[i] = cid_of(CID_RAW, bytes_of_text(text));
        assert_int_equal(store_batch_put(b, &cids[i], bytes_of_text(text), NULL), 0);
    }
    struct buf list = links_to(cids, 20);
    struct cid root = cid_of(CID_DAG_CBOR, buf_bytes(&list));
    assert_int_equal(store_batch_put(b, &root, buf_bytes(&list), NULL), 0);
    assert_int_equal(store_batch_finish(b, true, NULL), 0);
    pin(&root, true);
    struct store_place place;
    assert_int_equal(store_find(s, &root, &place, NULL), 0);
    snprintf(text, sizeof text, "/proc/self/fd/%d", place.fd);
    ssize_t size = readlink(text, pack, sizeof pack - 1);
    assert_true(size > 0);
    pack[size] = '\0';
    close(place.fd);
    damage_file(pack, (long)place.offset + 7, 1);
    expect_stop(s, ERR_CORRUPT, &root, &root);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(get(s, &cids[i]), 0);
    assert_int_equal(store_put(s, &root, buf_bytes(&list), NULL), 0); /* fetched again */
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_removed, 20);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(get(s, &cids[i]), i < 20 ? 0 : ERR_NOTFOUND);
    buf_fini(&list);
    store_close(s);
}

static void test_leaves_that_are_missing_or_damaged_are_counted(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid leaves[3] = {put_raw(s, "leaf 1"), put_raw(s, "leaf 2"),
                            cid_of(CID_RAW, bytes_of_text("never there"))};
    struct cid root = put_list(s, leaves, 3), loose = put_raw(s, "nobody's");
    pin(&root, true);
    damage_file(path_of(&leaves[1]), 0, 1);
    struct gc_result r = run(s);
    assert_int_equal(r.missing, 1);
    assert_int_equal(r.blocks_kept, 3);
    assert_int_equal(r.blocks_removed, 1);
    assert_int_equal(get(s, &leaves[0]), 0);
    assert_int_equal(get(s, &leaves[1]), ERR_CORRUPT); /* leaves are not read */
    assert_int_equal(get(s, &loose), ERR_NOTFOUND);
    store_close(s);
}

static void put_forty(struct store *s, unsigned from, struct cid cids[40])
{
    struct packs_batch *b;
    char text[40];
    assert_int_equal(store_batch_new(s, &b, NULL), 0);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "packed block %u", from + i);
        cids[i] = cid_of(CID_RAW, bytes_of_text(text));
        assert_int_equal(store_batch_put(b, &cids[i], bytes_of_text(text), NULL), 0);
    }
    assert_int_equal(store_batch_finish(b, false, NULL), 0);
}

/* Whichever it is: the packs of pinned blocks must not go because another cannot be seen. */
static void test_nothing_goes_while_an_index_cannot_be_read(void **state)
{
    (void)state;
    struct blind disk;
    struct cid cids[3][40], few[3];
    char index[3][512];
    struct store *s = open_real();
    for (unsigned i = 0; i < 3; i++) {
        put_forty(s, i * 40, cids[i]);
        few[i] = cids[i][7];
    }
    struct cid root = put_list(s, few, 3), loose = put_raw(s, "nobody's");
    pin(&root, true);
    store_close(s);
    DIR *d = opendir(in_scratch("store/packs"));
    size_t found = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".index") != NULL && found < 3)
            snprintf(index[found++], sizeof index[0], "/%.200s", e->d_name);
    closedir(d);
    assert_int_equal(found, 3);
    blind_init(&disk);
    for (size_t i = 0; i < 3; i++) {
        struct gc_result r;
        struct err err = {0};
        s = open_store(&disk.table, STORE_WRITE);
        memcpy(disk.hidden, index[i], sizeof index[i]);
        assert_int_equal(gc_run(s, &r, &err), ERR_IO);
        assert_non_null(strstr(err.text, "unreadable"));
        disk.hidden[0] = '\0';
        assert_int_equal(get(s, &loose), 0);
        for (size_t k = 0; k < 120; k++)
            assert_int_equal(get(s, &cids[k / 40][k % 40]), 0);
        store_close(s);
    }
    s = open_real();
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_removed, 3 * 39 + 1);
    store_close(s);
}

static void test_what_killed_writers_left_goes(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid cid = put_raw(s, "kept");
    char block[600];
    pin(&cid, false);
    snprintf(block, sizeof block, "%s.0123456789abcdef.tmp", path_of(&cid));
    write_file(block, bytes_of_text("left"));
    write_file(in_scratch("store/pins/x.0123456789abcdef.tmp"), bytes_of_text("left"));
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_kept, 1);
    assert_int_equal(r.blocks_removed, 0);
    assert_int_equal(access(block, F_OK), -1);
    assert_int_equal(access(in_scratch("store/pins/x.0123456789abcdef.tmp"), F_OK), -1);
    assert_int_equal(get(s, &cid), 0);
    store_close(s);
}

static void test_nothing_goes_when_a_pinned_block_cannot_be_decoded(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid loose = put_raw(s, "nobody's");
    struct cid bad = cid_of(CID_DAG_CBOR, bytes_of_text("no cbor"));
    assert_int_equal(store_put(s, &bad, bytes_of_text("no cbor"), NULL), 0);
    pin(&bad, true);
    struct gc_result r = {.missing = 77};
    struct err err = {0};
    char text[CID_TEXT_MAX];
    assert_int_equal(gc_run(s, &r, &err), ERR_MALFORMED);
    assert_non_null(strstr(err.text, cid_format(&bad, text)));
    assert_int_equal(r.missing, 77);
    assert_int_equal(get(s, &loose), 0);
    pin(&bad, false); /* which does not ask for its links */
    r = run(s);
    assert_int_equal(r.blocks_removed, 1);
    write_file(in_scratch("store/pins/hello"), bytes_of_text("direct\n"));
    assert_int_equal(gc_run(s, &r, NULL), ERR_CORRUPT);
    store_close(s);
}

/* Reached as a raw block first, and then as one with links: these count. */
static void test_bytes_that_are_linked_under_two_codecs_are_followed_under_each(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid leaf = put_raw(s, "leaf"), inner = put_list(s, &leaf, 1);
    struct cid both[2] = {cid_from_digest(CID_RAW, cid_digest(&inner)), inner};
    struct cid root = put_list(s, both, 2);
    pin(&root, true);
    struct gc_result r = run(s);
    assert_int_equal(r.blocks_kept, 3);
    assert_int_equal(r.blocks_removed, 0);
    struct cid back[2] = {inner, both[0]}, second = put_list(s, back, 2);
    pin(&second, true);
    assert_int_equal(pins_remove(files_posix(), in_scratch("store"), &root, NULL), 0);
    r = run(s);
    assert_int_equal(r.blocks_kept, 3);
    assert_int_equal(get(s, &leaf), 0);
    store_close(s);
}

static void test_models_and_identities_are_kept(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("gc", (2u << 20) + 5);
    write_file(in_scratch("model"), bytes_of(data, (2u << 20) + 5));
    struct store *s = open_real();
    struct cid model, identity, leaf = cid_of(CID_RAW, bytes_of(data, 1u << 20));
    assert_int_equal(store_import(s, in_scratch("model"), NULL, &model, NULL), 0);
    assert_int_equal(cid_parse("bafkqaaa", &identity, NULL), 0);
    struct cid root = put_list(s, &identity, 1);
    pin(&root, true);
    struct gc_result r = run(s);
    assert_int_equal(r.missing, 0);
    assert_int_equal(r.blocks_removed, 0);
    assert_int_equal(r.blocks_kept, 1 + 4); /* the list; the model's node and leaves */
    assert_int_equal(get(s, &model), 0);
    assert_int_equal(get(s, &leaf), 0);
    store_close(s);
    free(data);
}

static void test_only_who_has_the_store_alone_may(void **state)
{
    (void)state;
    struct store *s = open_store(files_posix(), STORE_SHARE);
    struct gc_result r;
    assert_int_equal(gc_run(s, &r, NULL), ERR_DENIED);
    store_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_is_pinned_stays_and_the_rest_goes),
        T(test_packs_are_swept_too),
        T(test_nothing_goes_when_an_inner_block_is_missing_or_damaged),
        T(test_nothing_goes_when_a_root_in_a_pack_is_damaged),
        T(test_leaves_that_are_missing_or_damaged_are_counted),
        T(test_nothing_goes_while_an_index_cannot_be_read),
        T(test_what_killed_writers_left_goes),
        T(test_nothing_goes_when_a_pinned_block_cannot_be_decoded),
        T(test_bytes_that_are_linked_under_two_codecs_are_followed_under_each),
        T(test_models_and_identities_are_kept),
        T(test_only_who_has_the_store_alone_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
