/* SPDX-License-Identifier: Apache-2.0 */
#include "content/gc.h"

#include "content/packs.h"
#include "content/pins.h"
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

static void test_a_pin_with_blocks_missing_or_damaged_keeps_what_can_be_reached(void **state)
{
    (void)state;
    struct store *s = open_real();
    struct cid leaves[2] = {put_raw(s, "leaf 1"), put_raw(s, "leaf 2")};
    struct cid inner[3] = {put_list(s, &leaves[0], 1), put_list(s, &leaves[1], 1),
                           cid_of(CID_DAG_CBOR, bytes_of_text("\x80"))}; /* never there */
    struct cid root = put_list(s, inner, 3);
    pin(&root, true);
    write_file(path_of(&inner[1]), bytes_of_text("damaged"));
    struct gc_result r = run(s);
    assert_int_equal(r.missing, 2);
    assert_int_equal(r.blocks_kept, 3);
    assert_int_equal(r.blocks_removed, 1); /* below the damaged one nothing can be seen */
    assert_int_equal(get(s, &leaves[0]), 0);
    assert_int_equal(get(s, &leaves[1]), ERR_NOTFOUND);
    assert_int_equal(get(s, &inner[1]), ERR_CORRUPT);
    assert_int_equal(store_delete(s, &root, NULL), 0);
    r = run(s);
    assert_int_equal(r.missing, 1);
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
        T(test_a_pin_with_blocks_missing_or_damaged_keeps_what_can_be_reached),
        T(test_nothing_goes_when_a_pinned_block_cannot_be_decoded),
        T(test_bytes_that_are_linked_under_two_codecs_are_followed_under_each),
        T(test_models_and_identities_are_kept),
        T(test_only_who_has_the_store_alone_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
