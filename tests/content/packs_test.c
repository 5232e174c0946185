/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/packs_scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "content/car.h"

#define SIZE 100 /* of most blocks here */

static void test_what_was_put_is_read_now_and_after_opening_again(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    uint8_t data[SIZE];
    struct cid cid = block(0, data, SIZE);
    put(b, 0, SIZE);
    put(b, 1, 2 * MIB); /* the largest there is */
    put(b, 2, 24);
    assert_int_equal(packs_has(p, cid_digest(&cid), NULL), 0); /* while it is being written */
    assert_int_equal(read_back(p, 1, 2 * MIB), 0);
    assert_int_equal(packs_sync(p, cid_digest(&cid), NULL), 0);
    assert_int_equal(packs_batch_finish(b, true, NULL), 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(read_back(p, 0, SIZE), 0);
        assert_int_equal(read_back(p, 1, 2 * MIB), 0);
        assert_int_equal(read_back(p, 2, 24), 0);
        assert_int_equal(read_back(p, 3, 24), ERR_NOTFOUND);
        assert_int_equal(packs_sync(p, cid_digest(&cid), NULL), 0);
        packs_close(p);
        p = open_packs(again == 0);
    }
    packs_close(p);
    assert_int_equal(count_files(".car", NULL), 1);
    assert_int_equal(count_files(".index", NULL), 1);
    assert_int_equal(count_files("", NULL), 2 + 2); /* and . and .. */
}

static void test_no_folder_has_no_packs_and_takes_none(void **state)
{
    (void)state;
    struct packs *p = open_packs(false);
    struct packs_batch *b;
    struct packs_stat st;
    assert_int_equal(read_back(p, 0, SIZE), ERR_NOTFOUND);
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.packs + st.blocks, 0);
    assert_int_equal(packs_batch_new(p, NULL, NULL, &b, NULL), ERR_DENIED);
    packs_close(p);
    assert_int_equal(access(in_scratch("packs"), F_OK), -1);
}

/* --- the file is a CAR --- */

static int take_car_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                          struct err *err)
{
    unsigned *n = self;
    uint8_t same[SIZE];
    struct cid expected = block(*n, same, SIZE);
    (void)offset;
    (void)err;
    assert_true(cid_equal(cid, &expected));
    assert_true(bytes_equal(data, bytes_of(same, SIZE)));
    ++*n;
    return 0;
}

static void test_a_pack_is_a_car_file_in_order_of_arrival(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 40, SIZE);
    packs_close(p);
    char path[512];
    assert_int_equal(count_files(".car", path), 1);
    struct buf car = read_file(path);
    struct car_reader *r;
    unsigned n = 0;
    assert_int_equal(car_reader_new(NULL, take_car_block, &n, &r, NULL), 0);
    assert_int_equal(car_reader_add(r, buf_bytes(&car), NULL), 0);
    assert_int_equal(car_reader_finish(r, NULL), 0);
    assert_int_equal(n, 40);
    car_reader_free(r);
    buf_fini(&car);
}

/* --- finding among many --- */

static void test_every_one_of_many_is_found_and_no_other(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 84, 85, 86, 5000}; /* about the size of one look */
    struct packs *p = open_packs(true);
    unsigned from = 0;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        put_pack(p, from, from + counts[i], 24);
        from += counts[i];
    }
    packs_close(p);
    p = open_packs(false);
    for (unsigned n = 0; n < from; n++)
        assert_int_equal(read_back(p, n, 24), 0);
    for (unsigned n = from; n < from + 1000; n++)
        assert_int_equal(read_back(p, n, 24), ERR_NOTFOUND);
    struct packs_stat st;
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.packs, sizeof counts / sizeof counts[0]);
    assert_int_equal(st.blocks, from);
    packs_close(p);
}

/* The first and the last digest there can be are at the edges of every guess. */
static void test_digests_that_are_not_evenly_spread_are_found(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    uint8_t digests[4][HASH_BYTES] = {{0}};
    memset(digests[1], 0xff, HASH_BYTES);
    digests[2][HASH_BYTES - 1] = 1;
    memset(digests[3], 0xff, HASH_BYTES - 1);
    for (size_t i = 0; i < 4; i++) {
        struct cid cid = cid_from_digest(CID_RAW, digests[i]);
        assert_int_equal(packs_batch_put(b, &cid, bytes_of_text("x"), false, NULL), 0);
    }
    for (unsigned n = 0; n < 3000; n++) { /* all behind one long prefix */
        uint8_t digest[HASH_BYTES] = {0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};
        bytes_put_u32(digest + 20, n * 7919);
        struct cid cid = cid_from_digest(CID_RAW, digest);
        assert_int_equal(packs_batch_put(b, &cid, bytes_of_text("x"), false, NULL), 0);
    }
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(packs_has(p, digests[i], NULL), 0);
    for (unsigned n = 0; n < 3000; n++) {
        uint8_t digest[HASH_BYTES] = {0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};
        bytes_put_u32(digest + 20, n * 7919);
        assert_int_equal(packs_has(p, digest, NULL), 0);
        digest[31] = 1;
        assert_int_equal(packs_has(p, digest, NULL), ERR_NOTFOUND);
    }
    packs_close(p);
}

static void test_a_hundred_packs_are_read_with_few_descriptors(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 100; n++)
        put_pack(p, n * 3, n * 3 + 3, SIZE);
    packs_close(p);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    p = open_packs(false);
    for (int round = 0; round < 3; round++)
        for (unsigned n = 0; n < 300; n++)
            assert_int_equal(read_back(p, n * 7 % 300, SIZE), 0);
    packs_close(p);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_a_hundred_packs_are_written_with_few_descriptors(void **state)
{
    (void)state;
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 100; n++)
        put_pack(p, n * 3, n * 3 + 3, SIZE);
    for (unsigned n = 0; n < 300; n++)
        assert_int_equal(read_back(p, n, SIZE), 0);
    packs_close(p);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* --- what is there already --- */

static void test_a_block_is_written_once_in_a_batch_and_across_batches(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    for (int round = 0; round < 3; round++)
        for (unsigned n = 0; n < 20; n++)
            put(b, n, SIZE);
    assert_int_equal(packs_batch_finish(b, true, NULL), 0);
    struct packs_stat first, second;
    assert_int_equal(packs_stat(p, &first, NULL), 0);
    assert_int_equal(first.blocks, 20);
    assert_true(first.bytes < 20 * (SIZE + 60) + 100);
    put_pack(p, 0, 20, SIZE);
    assert_int_equal(packs_stat(p, &second, NULL), 0);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(count_files(".part", NULL), 0);
    packs_close(p);
}

static void test_a_damaged_block_is_written_again_and_read_from_there(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 20, SIZE);
    char path[512];
    count_files(".car", path);
    damage_file(path, 18 + 3 * (2 + 36 + SIZE) + 2 + 36 + 1, 1); /* block 3; two bytes of length */
    assert_int_equal(read_back(p, 3, SIZE), ERR_CORRUPT);
    put_pack(p, 0, 20, SIZE);
    struct packs_stat st;
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.packs, 2);
    assert_int_equal(st.blocks, 21); /* the damaged one alone came twice */
    packs_close(p);
    p = open_packs(false);
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(read_back(p, n, SIZE), 0);
    packs_close(p);
}

static void test_damage_is_named_by_file_offset_and_cid(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 20, SIZE);
    char path[512], where[FILES_PATH_MAX], text[CID_TEXT_MAX];
    count_files(".car", path);
    damage_file(path, 18 + 38, 1);
    uint8_t data[SIZE];
    struct cid cid = block(0, data, SIZE);
    struct buf out = buf_new(BLOCK_BYTES_MAX);
    struct err err = {0};
    assert_int_equal(packs_get(p, cid_digest(&cid), &out, where, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "at offset 56"));
    assert_non_null(strstr(err.text, cid_format(&cid, text)));
    assert_int_equal(packs_read(p, cid_digest(&cid), &out, where, NULL), 0); /* unhashed */
    assert_int_equal(out.size, SIZE);
    buf_fini(&out);
    packs_close(p);
}

/* --- names --- */

static int take_cids(void *self, const struct cid *cid, const struct packs_place *place,
                     const char *where, struct err *err)
{
    char *text = self, one[CID_TEXT_MAX];
    uint8_t data[64];
    (void)err;
    assert_non_null(strstr(where, ".car at offset "));
    assert_int_equal(pread(place->fd, data, place->size, (off_t)place->offset), place->size);
    assert_int_equal(cid_verify(cid, bytes_of(data, place->size), NULL), 0);
    snprintf(text + strlen(text), 1024 - strlen(text), "%s ", cid_format(cid, one));
    return 0;
}

static void test_blocks_are_listed_in_order_under_the_cids_they_came_by(void **state)
{
    (void)state;
    static const char *const texts[] = {"pb", "cbor", "zero", "raw", "json"};
    struct cid cids[5];
    char expected[1024] = "", one[CID_TEXT_MAX], listed[1024] = "";
    static const uint32_t codecs[] = {CID_DAG_PB, CID_DAG_CBOR, CID_DAG_PB, CID_RAW, CID_DAG_JSON};
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    for (size_t i = 0; i < 5; i++) {
        cids[i] = cid_of(codecs[i], bytes_of_text(texts[i]));
        if (i == 2)
            cids[i] = cid_as_v0(&cids[i]);
        assert_int_equal(packs_batch_put(b, &cids[i], bytes_of_text(texts[i]), false, NULL), 0);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s ",
                 cid_format(&cids[i], one));
    }
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    packs_close(p);
    p = open_packs(false);
    assert_int_equal(packs_each(p, take_cids, NULL, listed, NULL), 0);
    assert_string_equal(listed, expected);
    packs_close(p);
}

static void test_attack_11_a_block_over_two_mebibytes_is_refused(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    uint8_t *data = calloc(1, 2 * MIB + 1);
    struct cid cid = cid_of(CID_RAW, bytes_of(data, 2 * MIB + 1));
    assert_int_equal(packs_batch_put(b, &cid, bytes_of(data, 2 * MIB + 1), false, NULL), ERR_LIMIT);
    free(data);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    assert_int_equal(count_files(".car", NULL), 0);
    packs_close(p);
}

static void test_only_sha2_256_goes_into_packs(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    struct cid cid = {.size = 4 + 64, .bytes = {1, CID_RAW, 0x13, 64}};
    assert_int_equal(packs_batch_put(b, &cid, bytes_of_text("x"), false, NULL), ERR_UNSUPPORTED);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    packs_close(p);
}

/* --- small batches --- */

struct singles {
    unsigned count;
    int rc;
};

static int take_single(void *self, const struct cid *cid, struct bytes data, struct err *err)
{
    struct singles *s = self;
    (void)err;
    assert_int_equal(cid_verify(cid, data, NULL), 0);
    s->count++;
    return s->rc;
}

static void test_a_small_batch_is_handed_over_and_a_larger_one_is_not(void **state)
{
    (void)state;
    static const struct {
        unsigned blocks;
        size_t size;
        int rc;
        unsigned singles, packs;
    } rows[] = {
        {0, SIZE, 0, 0, 0},
        {1, SIZE, 0, 1, 0},
        {PACKS_SMALL, SIZE, 0, PACKS_SMALL, 0},
        {PACKS_SMALL + 1, SIZE, 0, 0, 1},
        {2, MIB, 0, 0, 1},       /* with their heads more than 2 MiB */
        {3, SIZE, ERR_IO, 1, 1}, /* who cannot take them: a pack after all */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct packs *p = open_packs(true);
        struct packs_batch *b;
        struct singles s = {.rc = rows[i].rc};
        struct packs_stat before, after;
        assert_int_equal(packs_stat(p, &before, NULL), 0);
        assert_int_equal(packs_batch_new(p, take_single, &s, &b, NULL), 0);
        for (unsigned n = 0; n < rows[i].blocks; n++)
            put(b, (unsigned)(i + 1) * 1000 + n, rows[i].size);
        assert_int_equal(packs_batch_finish(b, true, NULL), 0);
        assert_int_equal(packs_stat(p, &after, NULL), 0);
        assert_int_equal(s.count, rows[i].singles);
        assert_int_equal(after.packs - before.packs, rows[i].packs);
        assert_int_equal(count_files(".part", NULL), 0);
        packs_close(p);
    }
}

static void test_a_batch_of_200000_tiny_blocks_seals_as_it_goes(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    size_t sealed = 0;
    for (unsigned n = 0; n < 200000; n++) {
        put(b, n, 24);
        if (n == PACKS_BLOCKS_MAX || n == 2 * PACKS_BLOCKS_MAX || n == 3 * PACKS_BLOCKS_MAX)
            assert_int_equal(count_files(".car", NULL), ++sealed);
    }
    assert_int_equal(sealed, 3);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    assert_int_equal(count_files(".car", NULL), 4);
    for (unsigned n = 0; n < 200000; n += 997)
        assert_int_equal(read_back(p, n, 24), 0);
    packs_close(p);
}

/* --- others --- */

static void test_a_reader_sees_a_pack_that_was_sealed_after_it_opened(void **state)
{
    (void)state;
    struct packs *reader = open_packs(false); /* before there is a folder */
    assert_int_equal(read_back(reader, 0, SIZE), ERR_NOTFOUND);
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(read_back(reader, n, SIZE), ERR_NOTFOUND);
        put_pack(p, n, n + 1, SIZE);
        assert_int_equal(read_back(reader, n, SIZE), 0);
    }
    packs_close(p);
    packs_close(reader);
}

static void test_where_a_block_lies_outlives_the_packs(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    put_pack(p, 0, 3, SIZE);
    uint8_t data[SIZE], found[SIZE];
    struct cid cid = block(1, data, SIZE), none = block(9, found, SIZE);
    struct packs_place place;
    assert_int_equal(packs_find(p, cid_digest(&none), &place, NULL), ERR_NOTFOUND);
    assert_int_equal(packs_find(p, cid_digest(&cid), &place, NULL), 0);
    packs_close(p);
    assert_false(place.reference);
    assert_int_equal(place.size, SIZE);
    assert_int_equal(pread(place.fd, found, SIZE, (off_t)place.offset), SIZE);
    assert_memory_equal(found, data, SIZE);
    close(place.fd);
}

static int writing_child(unsigned from, unsigned to)
{
    struct packs *p;
    struct packs_batch *b;
    uint8_t data[SIZE];
    int rc = packs_open(files_posix(), in_scratch("packs"), true, &p, NULL);
    for (unsigned at = from; rc == 0 && at < to; at += 50) { /* a pack for every fifty */
        rc = packs_batch_new(p, NULL, NULL, &b, NULL);
        for (unsigned n = at; rc == 0 && n < at + 50; n++) {
            struct cid cid = block(n, data, SIZE);
            rc = packs_batch_put(b, &cid, bytes_of(data, SIZE), false, NULL);
        }
        if (rc == 0)
            rc = packs_batch_finish(b, false, NULL);
    }
    return rc == 0 ? 0 : 1;
}

static void test_two_processes_write_at_once_and_both_are_whole(void **state)
{
    (void)state;
    pid_t children[2];
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(writing_child(i * 1000, i * 1000 + 1500)); /* a third of it both */
    }
    for (int open = 0; open < 50; open++) /* what is being written is nobody's to take up */
        packs_close(open_packs(true));
    for (unsigned i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 2500; n++)
        assert_int_equal(read_back(p, n, SIZE), 0);
    packs_close(p);
    assert_int_equal(count_files(".part", NULL), 0);
}

/* --- threads --- */

struct worker {
    struct packs *packs;
    struct packs_batch *batch;
    unsigned first;
    int rc;
};

static void *put_and_read(void *arg)
{
    struct worker *w = arg;
    uint8_t data[5000];
    for (unsigned n = w->first; n < w->first + 600 && w->rc == 0; n++) {
        struct cid cid = block(n, data, sizeof data);
        char where[FILES_PATH_MAX];
        struct buf out = buf_new(BLOCK_BYTES_MAX);
        w->rc = packs_batch_put(w->batch, &cid, bytes_of(data, sizeof data), false, NULL);
        if (w->rc == 0 && n % 5 == 0)
            w->rc = packs_get(w->packs, cid_digest(&cid), &out, where, NULL);
        if (w->rc == ERR_NOTFOUND)
            w->rc = 0; /* another thread is writing it this moment */
        buf_fini(&out);
    }
    return NULL;
}

static void test_threads_write_one_batch_together_and_read_it(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    struct worker workers[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.packs = p, .batch = b, .first = i * 300};
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_read, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].rc, 0);
    }
    assert_int_equal(packs_batch_finish(b, true, NULL), 0);
    struct packs_stat st;
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.blocks, 1500); /* those of two threads once */
    for (unsigned n = 0; n < 1500; n++)
        assert_int_equal(read_back(p, n, 5000), 0);
    packs_close(p);
}

static void *put_tiny(void *arg)
{
    struct worker *w = arg;
    uint8_t data[24];
    for (unsigned n = w->first; n < w->first + 40000 && w->rc == 0; n++) {
        struct cid cid = block(n, data, sizeof data);
        w->rc = packs_batch_put(w->batch, &cid, bytes_of(data, sizeof data), false, NULL);
    }
    return NULL;
}

static void test_threads_go_on_while_one_seals(void **state)
{
    (void)state;
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    struct worker workers[2];
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (struct worker){.batch = b, .first = i * 40000};
        assert_int_equal(pthread_create(&threads[i], NULL, put_tiny, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].rc, 0);
    }
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    struct packs_stat st;
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.packs, 2);
    assert_int_equal(st.blocks, 80000);
    packs_close(p);
}

/* --- files elsewhere --- */

static void make_reference(struct packs *p, const uint8_t *data, size_t size, uint32_t chunk)
{
    size_t count = (size + chunk - 1) / chunk;
    uint8_t(*digests)[HASH_BYTES] = calloc(count, sizeof *digests);
    for (size_t i = 0; i < count; i++)
        hash_sha256(bytes_of(data + i * chunk, i + 1 < count ? chunk : size - i * chunk),
                    digests[i]);
    write_file(in_scratch("data"), bytes_of(data, size));
    struct packs_batch *b = new_batch(p);
    struct err err = {0};
    if (packs_batch_reference(b, in_scratch("data"), size, chunk,
                              (const uint8_t(*)[HASH_BYTES])digests, count, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(packs_batch_finish(b, true, NULL), 0);
    free(digests);
}

static int read_chunk(struct packs *p, struct bytes chunk, struct err *err)
{
    uint8_t digest[HASH_BYTES];
    char where[FILES_PATH_MAX];
    struct buf out = buf_new(BLOCK_BYTES_MAX);
    hash_sha256(chunk, digest);
    int rc = packs_read(p, digest, &out, where, err);
    if (rc == 0)
        assert_true(bytes_equal(buf_bytes(&out), chunk));
    buf_fini(&out);
    return rc;
}

static void test_a_file_elsewhere_is_read_and_noticed_when_it_changes(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("elsewhere", 10500);
    struct packs *p = open_packs(true);
    make_reference(p, data, 10500, 1000);
    packs_close(p);
    assert_int_equal(count_files(".ref", NULL), 1);
    assert_int_equal(count_files(".part", NULL), 0);
    p = open_packs(true);
    struct packs_stat st;
    struct packs_place place;
    uint8_t digest[HASH_BYTES];
    struct err err = {0};
    assert_int_equal(packs_stat(p, &st, NULL), 0);
    assert_int_equal(st.references, 11);
    assert_int_equal(st.blocks, 0);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(read_chunk(p, bytes_of(data + i * 1000, 1000), NULL), 0);
    assert_int_equal(read_chunk(p, bytes_of(data + 10000, 500), NULL), 0);
    hash_sha256(bytes_of(data + 1000, 1000), digest);
    assert_int_equal(packs_find(p, digest, &place, NULL), 0);
    assert_true(place.reference);
    assert_int_equal(place.offset, 1000);
    close(place.fd);

    damage_file(in_scratch("data"), 1500, 1);
    assert_int_equal(read_chunk(p, bytes_of(data, 1000), NULL), 0); /* this one is still right */
    assert_int_equal(read_chunk(p, bytes_of(data + 1000, 1000), &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "data has changed since it was added with --nocopy"));
    assert_int_equal(truncate(in_scratch("data"), 2500), 0);
    assert_int_equal(read_chunk(p, bytes_of(data, 1000), NULL), 0);
    assert_int_equal(read_chunk(p, bytes_of(data + 2000, 1000), NULL), ERR_CORRUPT);
    assert_int_equal(unlink(in_scratch("data")), 0);
    err.text[0] = '\0';
    assert_int_equal(read_chunk(p, bytes_of(data, 1000), &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "data has changed since it was added with --nocopy"));

    /* What is only elsewhere is written when it is put. */
    struct packs_batch *b = new_batch(p);
    struct cid cid = cid_of(CID_RAW, bytes_of(data, 1000));
    assert_int_equal(packs_batch_put(b, &cid, bytes_of(data, 1000), false, NULL), 0);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    assert_int_equal(read_chunk(p, bytes_of(data, 1000), NULL), 0);
    packs_close(p);
    free(data);
}

/* An open of a pipe that nobody writes to waits until somebody does. */
static void test_a_file_elsewhere_that_became_a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    uint8_t *data = stream_bytes("pipe", 1000), digest[HASH_BYTES];
    struct packs *p = open_packs(true);
    struct packs_place place;
    struct err err = {0};
    make_reference(p, data, 1000, 1000);
    assert_int_equal(unlink(in_scratch("data")), 0);
    assert_int_equal(mkfifo(in_scratch("data"), 0600), 0);
    alarm(60); /* instead of for ever */
    assert_int_equal(read_chunk(p, bytes_of(data, 1000), &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "has changed since it was added with --nocopy"));
    hash_sha256(bytes_of(data, 1000), digest);
    assert_int_equal(packs_find(p, digest, &place, NULL), ERR_CORRUPT);
    alarm(0);
    packs_close(p);
    free(data);
}

static void test_references_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint64_t size;
        uint32_t chunk;
        size_t count;
        int rc;
        const char *why;
    } rows[] = {
        {"relative", 10, 10, 1, ERR_USAGE, "a path that depends on where one stands"},
        {"/tmp/two\nlines", 10, 10, 1, ERR_USAGE, "a path of two lines"},
        {"", 10, 10, 1, ERR_USAGE, "no path"},
        {"/nonexistent/file", 10, 10, 1, ERR_NOTFOUND, "a file that is not there"},
        {"/dev/null", 10, 10, 1, ERR_CORRUPT, "another length"},
        {"/dev/null", 0, 10, 0, 0, "nothing"},
        {"/dev/null", 0, 10, 1, 0, "an empty chunk"},
        {"/dev/null", 10, 0, 1, ERR_LIMIT, "chunks of nothing"},
        {"/dev/null", 10, 2 * MIB + 1, 1, ERR_LIMIT, "chunks larger than a block"},
        {"/dev/null", 10, 10, 2, ERR_USAGE, "too many chunks"},
        {"/dev/null", 11, 10, 1, ERR_USAGE, "too few chunks"},
    };
    static const uint8_t digests[2][HASH_BYTES];
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (packs_batch_reference(b, rows[i].path, rows[i].size, rows[i].chunk, digests,
                                  rows[i].count, NULL) != rows[i].rc)
            fail_msg("%s", rows[i].why);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    packs_close(p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_was_put_is_read_now_and_after_opening_again),
        T(test_no_folder_has_no_packs_and_takes_none),
        T(test_a_pack_is_a_car_file_in_order_of_arrival),
        T(test_every_one_of_many_is_found_and_no_other),
        T(test_digests_that_are_not_evenly_spread_are_found),
        T(test_a_hundred_packs_are_read_with_few_descriptors),
        T(test_a_hundred_packs_are_written_with_few_descriptors),
        T(test_a_block_is_written_once_in_a_batch_and_across_batches),
        T(test_a_damaged_block_is_written_again_and_read_from_there),
        T(test_damage_is_named_by_file_offset_and_cid),
        T(test_blocks_are_listed_in_order_under_the_cids_they_came_by),
        T(test_attack_11_a_block_over_two_mebibytes_is_refused),
        T(test_only_sha2_256_goes_into_packs),
        T(test_a_small_batch_is_handed_over_and_a_larger_one_is_not),
        T(test_a_batch_of_200000_tiny_blocks_seals_as_it_goes),
        T(test_a_reader_sees_a_pack_that_was_sealed_after_it_opened),
        T(test_where_a_block_lies_outlives_the_packs),
        T(test_two_processes_write_at_once_and_both_are_whole),
        T(test_threads_write_one_batch_together_and_read_it),
        T(test_threads_go_on_while_one_seals),
        T(test_a_file_elsewhere_is_read_and_noticed_when_it_changes),
        T(test_a_file_elsewhere_that_became_a_pipe_is_not_waited_for),
        T(test_references_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
