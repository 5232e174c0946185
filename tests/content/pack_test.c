/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include <pthread.h>

#include "content/pack.h"

#define HEADER_BYTES 18

static struct pack *open_pack(const struct files *f, bool write)
{
    struct pack *p;
    struct err err = {0};
    if (pack_open(f, in_scratch("pack"), write, &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

/* The i-th test block: its size and bytes follow from i. */
static struct bytes block_of(unsigned i)
{
    static uint8_t data[8][3000];
    static unsigned next;
    uint8_t *at = data[next++ % 8];
    size_t size = 1 + i * 37 % 2900;
    for (size_t k = 0; k < size; k++)
        at[k] = (uint8_t)(i * 31 + k * 7 + (k >> 8));
    return bytes_of(at, size);
}

static struct cid cid_of_block(unsigned i)
{
    return cid_of(CID_RAW, block_of(i));
}

static int put(struct pack *p, unsigned i)
{
    struct cid cid = cid_of_block(i);
    return pack_put(p, &cid, block_of(i), NULL);
}

/* The code of pack_get; 0 only if the bytes are right. */
static int get(struct pack *p, unsigned i)
{
    struct buf out = buf_new(PACK_BLOCK_BYTES_MAX);
    struct cid cid = cid_of_block(i);
    int rc = pack_get(p, &cid, &out, NULL);
    if (rc == 0)
        assert_true(bytes_equal(buf_bytes(&out), block_of(i)));
    else
        assert_int_equal(out.size, 0);
    buf_fini(&out);
    return rc;
}

static uint64_t file_size(void)
{
    struct files_stat s;
    assert_int_equal(files_posix()->stat(NULL, in_scratch("pack"), &s, NULL), 0);
    return s.size;
}

static uint64_t section_size(unsigned i)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct cid cid = cid_of_block(i);
    size_t size = block_of(i).size;
    return car_section_head(&cid, size, head) + size;
}

static void test_an_empty_pack_is_a_car_without_roots(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    uint8_t want[HEADER_BYTES];
    from_hex("11 a265726f6f747380 6776657273696f6e 01", want, sizeof want);
    struct buf file = read_file(in_scratch("pack"));
    assert_int_equal(file.size, HEADER_BYTES);
    assert_memory_equal(file.data, want, HEADER_BYTES);
    assert_int_equal(pack_bytes(p), HEADER_BYTES);
    assert_int_equal(pack_count(p), 0);
    struct buf header = buf_new(CAR_HEADER_BYTES_MAX);
    car_put_header(&header, NULL, 0);
    assert_true(bytes_equal(buf_bytes(&header), bytes_of(pack_header, PACK_HEADER_BYTES)));
    buf_fini(&header);
    buf_fini(&file);
    pack_close(p);
}

static void test_what_was_put_is_got_before_and_after_opening_again(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (int again = 0; again < 2; again++) {
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(put(p, i), 0); /* the second time nothing is written */
        assert_int_equal(pack_count(p), 100);
        assert_int_equal(pack_bytes(p), file_size());
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(get(p, i), 0);
        assert_int_equal(get(p, 100), ERR_NOTFOUND);
        struct cid last = cid_of_block(99), none = cid_of_block(100);
        assert_true(pack_has(p, &last));
        assert_false(pack_has(p, &none));
        pack_close(p);
        p = open_pack(files_posix(), true);
    }
    pack_close(p);
}

static int count_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                       struct err *err)
{
    unsigned *i = self;
    struct cid want = cid_of_block(*i);
    (void)offset;
    (void)err;
    assert_true(cid_equal(cid, &want));
    assert_int_equal(data.size, block_of(*i).size);
    ++*i;
    return 0;
}

static int see_block(void *self, const struct cid *cid, uint32_t size, struct err *err)
{
    return count_block(self, cid, bytes_of(NULL, size), 0, err);
}

static void test_behind_the_header_a_pack_is_a_stream_of_sections_in_order(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(put(p, i), 0);
    unsigned seen = 0;
    assert_int_equal(pack_each(p, see_block, &seen, NULL), 0);
    assert_int_equal(seen, 20);
    pack_close(p);

    struct buf file = read_file(in_scratch("pack"));
    struct car_reader *r;
    seen = 0;
    assert_int_equal(car_reader_new(NULL, count_block, &seen, &r, NULL), 0);
    car_reader_start_at_sections(r, 4096);
    assert_int_equal(
        car_reader_add(r, bytes_of(file.data + HEADER_BYTES, file.size - HEADER_BYTES), NULL), 0);
    assert_int_equal(car_reader_finish(r, NULL), 0);
    assert_int_equal(seen, 20);
    car_reader_free(r);
    buf_fini(&file);
}

static void test_get_into_wants_the_size_it_is_given(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    uint8_t data[4096];
    struct cid cid = cid_of_block(3), none = cid_of_block(4);
    size_t size = block_of(3).size;
    assert_int_equal(put(p, 3), 0);
    assert_int_equal(pack_get_into(p, &cid, data, size, NULL), 0);
    assert_memory_equal(data, block_of(3).data, size);
    assert_int_equal(pack_get_into(p, &cid, data, size + 1, NULL), ERR_MALFORMED);
    assert_int_equal(pack_get_into(p, &cid, data, size - 1, NULL), ERR_MALFORMED);
    assert_int_equal(pack_get_into(p, &none, data, size, NULL), ERR_NOTFOUND);
    pack_close(p);
}

static void test_only_what_hashes_and_fits_is_put(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    struct cid cid = cid_of_block(1);
    assert_int_equal(pack_put(p, &cid, block_of(2), NULL), ERR_MALFORMED);
    uint8_t *big = calloc(1, PACK_BLOCK_BYTES_MAX + 1);
    struct cid big_cid = cid_of(CID_RAW, bytes_of(big, PACK_BLOCK_BYTES_MAX + 1));
    assert_int_equal(pack_put(p, &big_cid, bytes_of(big, PACK_BLOCK_BYTES_MAX + 1), NULL),
                     ERR_LIMIT);
    big_cid = cid_of(CID_RAW, bytes_of(big, PACK_BLOCK_BYTES_MAX));
    assert_int_equal(pack_put(p, &big_cid, bytes_of(big, PACK_BLOCK_BYTES_MAX), NULL), 0);
    free(big);
    struct cid identity; /* the empty block under the identity hash */
    assert_int_equal(cid_parse("bafkqaaa", &identity, NULL), 0);
    assert_int_equal(pack_put(p, &identity, bytes_of(NULL, 0), NULL), ERR_UNSUPPORTED);
    assert_false(pack_has(p, &identity));
    assert_int_equal(pack_count(p), 1);
    pack_close(p);
    p = open_pack(files_posix(), false);
    assert_int_equal(put(p, 1), ERR_DENIED);
    pack_close(p);
}

static void test_the_empty_block_is_a_block(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    struct cid cid = cid_of(CID_RAW, bytes_of(NULL, 0));
    struct buf out = buf_new(16);
    assert_int_equal(pack_put(p, &cid, bytes_of(NULL, 0), NULL), 0);
    assert_int_equal(pack_get(p, &cid, &out, NULL), 0);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
    pack_close(p);
}

static void test_a_tail_torn_at_any_byte_is_cut_and_the_rest_stays(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(p, i), 0);
    pack_close(p);
    struct buf file = read_file(in_scratch("pack"));
    uint64_t second_end = file.size - section_size(2);
    for (size_t cut = 0; cut < file.size; cut++) {
        unsigned whole = cut >= second_end ? 2 : cut >= HEADER_BYTES + section_size(0) ? 1 : 0;
        write_file(in_scratch("pack"), bytes_of(file.data, cut));
        p = open_pack(files_posix(), false); /* a reader ignores the tail and leaves it */
        assert_int_equal(pack_count(p), whole);
        pack_close(p);
        assert_int_equal(file_size(), cut);
        p = open_pack(files_posix(), true);
        assert_int_equal(pack_count(p), whole);
        assert_int_equal(file_size(), pack_bytes(p));
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(get(p, i), i < whole ? 0 : ERR_NOTFOUND);
        assert_int_equal(put(p, 2), 0);
        assert_int_equal(get(p, 2), 0);
        pack_close(p);
    }
    buf_fini(&file);
}

/* What a machine that lost power may leave: the length is there, the bytes are not. */
static void test_a_hole_hides_what_lies_behind_it_and_nothing_before(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(p, i), 0);
    pack_close(p);
    struct buf file = read_file(in_scratch("pack"));
    memset(file.data + HEADER_BYTES + section_size(0), 0, section_size(1));
    write_file(in_scratch("pack"), buf_bytes(&file));
    p = open_pack(files_posix(), true);
    assert_int_equal(pack_count(p), 1);
    assert_int_equal(get(p, 0), 0);
    pack_close(p);
    memset(file.data, 0, file.size); /* not even the header */
    write_file(in_scratch("pack"), buf_bytes(&file));
    p = open_pack(files_posix(), true);
    assert_int_equal(pack_count(p), 0);
    assert_int_equal(put(p, 0), 0);
    pack_close(p);
    p = open_pack(files_posix(), false);
    assert_int_equal(get(p, 0), 0);
    pack_close(p);
    buf_fini(&file);
}

static void test_a_damaged_block_is_named_forgotten_and_taken_anew(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(p, i), 0);
    uint64_t data_at = HEADER_BYTES + section_size(0) + section_size(1) - block_of(1).size;
    damage_file(in_scratch("pack"), (long)data_at + 5, 1);
    struct err err = {0};
    struct buf out = buf_new(4096);
    struct cid cid = cid_of_block(1);
    char place[64];
    assert_int_equal(pack_get(p, &cid, &out, &err), ERR_CORRUPT);
    snprintf(place, sizeof place, "offset %llu", (unsigned long long)data_at);
    assert_non_null(strstr(err.text, place));
    assert_non_null(strstr(err.text, in_scratch("pack")));
    assert_int_equal(out.size, 0);
    buf_fini(&out);
    pack_forget(p, &cid);
    assert_false(pack_has(p, &cid));
    assert_int_equal(pack_count(p), 2);
    assert_int_equal(put(p, 1), 0);
    assert_int_equal(get(p, 1), 0);
    pack_close(p);
    p = open_pack(files_posix(), false); /* the later copy counts */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(get(p, i), 0);
    pack_close(p);
}

static void test_no_damaged_byte_is_ever_handed_out(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put(p, i), 0);
    pack_close(p);
    struct buf file = read_file(in_scratch("pack"));
    unsigned unharmed = 0;
    for (size_t at = 0; at < file.size; at++) {
        file.data[at] ^= 0x41;
        write_file(in_scratch("pack"), buf_bytes(&file));
        file.data[at] ^= 0x41;
        if (pack_open(files_posix(), in_scratch("pack"), false, &p, NULL) != 0) {
            assert_true(at < HEADER_BYTES);
            continue;
        }
        unsigned good = 0;
        for (unsigned i = 0; i < 3; i++)
            good += get(p, i) == 0; /* get compares */
        assert_true(at >= HEADER_BYTES);
        unharmed += good == 3;
        pack_close(p);
    }
    assert_int_equal(unharmed, 3); /* the codec of each CID: the bytes are found by digest */
    buf_fini(&file);
}

static void test_a_file_that_is_no_pack_is_left_alone(void **state)
{
    (void)state;
    struct pack *p;
    write_file(in_scratch("pack"), bytes_of_text("a text that somebody still wants to have"));
    assert_int_equal(pack_open(files_posix(), in_scratch("pack"), true, &p, NULL), ERR_CORRUPT);
    assert_int_equal(file_size(), 40);
    assert_int_equal(pack_open(files_posix(), in_scratch("none"), false, &p, NULL), ERR_NOTFOUND);
}

static void test_whichever_write_fails_the_pack_stays_readable(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        struct flaky disk;
        flaky_init(&disk);
        disk.only = 'W';
        disk.fail_at = n;
        struct pack *p;
        (void)remove(in_scratch("pack"));
        int rc = pack_open(&disk.table, in_scratch("pack"), true, &p, NULL);
        if (rc != 0) {
            assert_int_equal(rc, ERR_IO);
            failures++;
            continue;
        }
        int last = 0;
        for (unsigned i = 5; i-- > 0;) {
            last = put(p, i);
            failures += last != 0;
            assert_int_equal(file_size(), pack_bytes(p)); /* no remains */
            assert_int_equal(get(p, i), last == 0 ? 0 : ERR_NOTFOUND);
        }
        uint64_t end = pack_bytes(p);
        size_t count = pack_count(p);
        disk.fail_at = 0;
        assert_int_equal(put(p, 9), 0);
        pack_close(p);
        p = open_pack(files_posix(), true);
        assert_int_equal(pack_count(p), count + 1);
        assert_int_equal(pack_bytes(p), end + section_size(9));
        pack_close(p);
        if (last == 0)
            break;
    }
    assert_true(failures > 5);
}

static void test_a_sync_is_done_once_and_never_tried_again_after_it_failed(void **state)
{
    (void)state;
    struct flaky disk;
    flaky_init(&disk);
    disk.only = 'S';
    struct pack *p = open_pack(&disk.table, true);
    assert_int_equal(put(p, 0), 0);
    disk.log[0] = '\0';
    assert_int_equal(pack_sync(p, NULL), 0);
    assert_string_equal(disk.log, "SD"); /* the bytes, then the name */
    assert_int_equal(pack_sync(p, NULL), 0);
    assert_string_equal(disk.log, "SD");
    assert_int_equal(put(p, 1), 0);
    assert_int_equal(pack_sync(p, NULL), 0);
    assert_string_equal(disk.log, "SDWWS");
    assert_int_equal(put(p, 2), 0);
    disk.fail_at = disk.changes + 1;
    assert_int_equal(pack_sync(p, NULL), ERR_IO);
    disk.fail_at = 0;
    assert_int_equal(pack_sync(p, NULL), ERR_IO);
    assert_int_equal(put(p, 3), ERR_IO);
    pack_close(p);

    flaky_init(&disk);
    p = open_pack(&disk.table, true); /* what another process left counts as unsynced */
    assert_int_equal(pack_sync(p, NULL), 0);
    assert_string_equal(disk.log, "SD");
    pack_close(p);
}

#define THREADS 4
#define EACH    200

struct worker {
    struct pack *pack;
    unsigned first;
    int rc;
};

static void *put_and_get(void *arg)
{
    struct worker *w = arg;
    uint8_t data[64];
    struct buf out = buf_new(64);
    for (unsigned i = 0; w->rc == 0 && i < EACH; i++) {
        memset(data, 0, sizeof data);
        memcpy(data, &(unsigned){w->first + i}, sizeof i);
        struct cid cid = cid_of(CID_RAW, bytes_of(data, sizeof data));
        w->rc = pack_put(w->pack, &cid, bytes_of(data, sizeof data), NULL);
        if (w->rc == 0)
            w->rc = pack_get(w->pack, &cid, &out, NULL);
        if (w->rc == 0 && i % 50 == 0)
            w->rc = pack_sync(w->pack, NULL);
    }
    buf_fini(&out);
    return NULL;
}

static void test_threads_put_and_get_at_once(void **state)
{
    (void)state;
    struct pack *p = open_pack(files_posix(), true);
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        /* Neighbours share half of their blocks. */
        workers[i] = (struct worker){.pack = p, .first = i * EACH / 2};
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_get, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].rc, 0);
    }
    assert_int_equal(pack_count(p), EACH * (THREADS + 1) / 2);
    assert_int_equal(pack_bytes(p), HEADER_BYTES + pack_count(p) * (1 + CID_BYTES_V1 + 64));
    pack_close(p);
    p = open_pack(files_posix(), false);
    assert_int_equal(pack_count(p), EACH * (THREADS + 1) / 2);
    pack_close(p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

static void test_a_reread_trusts_what_this_process_hashed_and_nothing_else(void **state)
{
    (void)state;
    struct pack *p;
    struct err err;
    uint8_t *block = stream_bytes("reread", 1000), data[1000];
    struct cid cid = cid_of(CID_RAW, bytes_of(block, 1000));
    assert_int_equal(pack_open(files_posix(), in_scratch("p.car"), true, &p, &err), 0);
    assert_int_equal(pack_put(p, &cid, bytes_of(block, 1000), &err), 0);
    assert_int_equal(pack_reread_into(p, &cid, data, 999, &err), ERR_MALFORMED);
    assert_int_equal(pack_reread_into(p, &cid, data, 1000, &err), 0);
    assert_memory_equal(data, block, 1000);
    FILE *f = fopen(in_scratch("p.car"), "r+b"); /* the disk rots under it */
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    assert_int_equal(fputc(block[999] ^ 1, f), block[999] ^ 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(pack_reread_into(p, &cid, data, 1000, &err), 0);
    assert_int_equal(pack_get_into(p, &cid, data, 1000, &err), ERR_CORRUPT);
    pack_close(p);
    assert_int_equal(pack_open(files_posix(), in_scratch("p.car"), true, &p, &err), 0);
    assert_int_equal(pack_reread_into(p, &cid, data, 1000, &err), ERR_CORRUPT);
    pack_close(p);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_reread_trusts_what_this_process_hashed_and_nothing_else, scratch_setup,
            scratch_teardown),
        TEST(test_an_empty_pack_is_a_car_without_roots),
        TEST(test_what_was_put_is_got_before_and_after_opening_again),
        TEST(test_behind_the_header_a_pack_is_a_stream_of_sections_in_order),
        TEST(test_get_into_wants_the_size_it_is_given),
        TEST(test_only_what_hashes_and_fits_is_put),
        TEST(test_the_empty_block_is_a_block),
        TEST(test_a_tail_torn_at_any_byte_is_cut_and_the_rest_stays),
        TEST(test_a_hole_hides_what_lies_behind_it_and_nothing_before),
        TEST(test_a_damaged_block_is_named_forgotten_and_taken_anew),
        TEST(test_no_damaged_byte_is_ever_handed_out),
        TEST(test_a_file_that_is_no_pack_is_left_alone),
        TEST(test_whichever_write_fails_the_pack_stays_readable),
        TEST(test_a_sync_is_done_once_and_never_tried_again_after_it_failed),
        TEST(test_threads_put_and_get_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
