/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/content/packs_scratch.h"

#define SIZE 100

/* Which blocks stay: those whose number is in 0..count - 1 and marked. */
struct wish {
    unsigned count;
    const bool *kept;
};

static bool wished(void *self, const uint8_t digest[HASH_BYTES])
{
    const struct wish *w = self;
    uint8_t data[SIZE];
    for (unsigned n = 0; n < w->count; n++) {
        struct cid cid = block(n, data, SIZE);
        if (memcmp(cid_digest(&cid), digest, HASH_BYTES) == 0)
            return w->kept[n];
    }
    return false;
}

static int sweep(struct packs *p, const bool *kept, unsigned count, struct packs_swept *out)
{
    struct wish w = {.count = count, .kept = kept};
    *out = (struct packs_swept){0};
    return packs_sweep(p, wished, &w, out, NULL);
}

static void test_a_sweep_keeps_removes_and_rewrites(void **state)
{
    (void)state;
    bool kept[9] = {true, true, true /* all */, false, true, false /* one */};
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 9; n += 3)
        put_pack(p, n, n + 3, SIZE);
    struct packs_swept swept;
    struct packs_stat st;
    write_file(in_scratch("packs/0123456789abcdef.index.1-1.tmp"), bytes_of_text("left"));
    assert_int_equal(sweep(p, kept, 9, &swept), 0);
    assert_int_equal(swept.blocks, 5);
    assert_int_equal(swept.bytes, 5 * SIZE);
    assert_int_equal(swept.damaged, 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(packs_stat(p, &st, NULL), 0);
        assert_int_equal(st.packs, 2);
        assert_int_equal(st.blocks, 4);
        for (unsigned n = 0; n < 9; n++)
            assert_int_equal(read_back(p, n, SIZE), kept[n] ? 0 : ERR_NOTFOUND);
        packs_close(p);
        p = open_packs(true);
    }
    assert_int_equal(count_files(".car", NULL), 2);
    assert_int_equal(count_files(".index", NULL), 2);
    assert_int_equal(count_files(".tmp", NULL), 0);
    assert_int_equal(sweep(p, kept, 9, &swept), 0); /* nothing is left to do */
    assert_int_equal(swept.blocks, 0);
    packs_close(p);
    p = open_packs(false);
    assert_int_equal(sweep(p, kept, 9, &swept), ERR_DENIED);
    packs_close(p);
}

static void test_a_damaged_block_that_was_to_stay_is_counted_and_not_carried_on(void **state)
{
    (void)state;
    bool kept[3] = {true, true, false};
    struct packs *p = open_packs(true);
    struct packs_swept swept;
    char path[512];
    put_pack(p, 0, 3, SIZE);
    count_files(".car", path);
    damage_file(path, 18 + 38 + 50, 1);
    assert_int_equal(sweep(p, kept, 3, &swept), 0);
    assert_int_equal(swept.damaged, 1);
    assert_int_equal(swept.blocks, 1);
    assert_int_equal(read_back(p, 0, SIZE), ERR_NOTFOUND);
    assert_int_equal(read_back(p, 1, SIZE), 0);
    packs_close(p);
}

static void expect_unswept(struct packs *p, const bool *kept, struct blind *disk,
                           const char *hidden)
{
    struct packs_swept swept;
    snprintf(disk->hidden, sizeof disk->hidden, "%s", hidden);
    assert_int_equal(sweep(p, kept, 9, &swept), ERR_IO);
    disk->hidden[0] = '\0';
    assert_int_equal(swept.blocks + swept.damaged, 0);
    for (unsigned n = 0; n < 9; n++)
        assert_int_equal(read_back(p, n, SIZE), 0);
    packs_close(p);
}

static void test_nothing_goes_while_something_cannot_be_read(void **state)
{
    (void)state;
    bool kept[9] = {false, true, false, true, false, true, false, true, false};
    struct blind disk;
    char index[512], car[512];
    blind_init(&disk);
    struct packs *p = open_packs(true);
    put_pack(p, 0, 9, SIZE);
    count_files(".index", index);
    count_files(".car", car);
    packs_close(p);
    expect_unswept(open_packs_on(&disk.table, true), kept, &disk, index);
    expect_unswept(open_packs_on(&disk.table, true), kept, &disk,
                   car); /* its blocks may be whole */
}

/* Whichever pack is swept first. */
static void test_nothing_goes_from_one_pack_while_another_cannot_be_read(void **state)
{
    (void)state;
    bool kept[9] = {false, true, false, true, false, true, false, true, false};
    struct blind disk;
    char index[3][512];
    size_t found = 0;
    blind_init(&disk);
    struct packs *p = open_packs(true);
    for (unsigned n = 0; n < 9; n += 3)
        put_pack(p, n, n + 3, SIZE);
    packs_close(p);
    DIR *d = opendir(in_scratch("packs"));
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".index") != NULL && found < 3)
            snprintf(index[found++], sizeof index[0], "/%.200s", e->d_name);
    closedir(d);
    assert_int_equal(found, 3);
    for (size_t i = 0; i < 3; i++)
        expect_unswept(open_packs_on(&disk.table, true), kept, &disk, index[i]);
    assert_int_equal(count_files(".car", NULL), 3);
}

static void test_a_reference_goes_when_none_of_it_is_kept(void **state)
{
    (void)state;
    uint8_t data[2 * SIZE], digests[2][HASH_BYTES];
    for (unsigned n = 0; n < 2; n++) {
        struct cid cid = block(n, data + n * SIZE, SIZE);
        memcpy(digests[n], cid_digest(&cid), HASH_BYTES);
    }
    write_file(in_scratch("data"), bytes_of(data, sizeof data));
    struct packs *p = open_packs(true);
    struct packs_batch *b = new_batch(p);
    assert_int_equal(packs_batch_reference(b, in_scratch("data"), sizeof data, SIZE,
                                           (const uint8_t(*)[HASH_BYTES])digests, 2, NULL),
                     0);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
    struct packs_swept swept;
    bool kept[2] = {false, true};
    assert_int_equal(sweep(p, kept, 2, &swept), 0);
    assert_int_equal(swept.blocks, 0);
    assert_int_equal(packs_has(p, digests[0], NULL), 0);
    kept[1] = false;
    assert_int_equal(sweep(p, kept, 2, &swept), 0);
    assert_int_equal(swept.blocks, 2);
    assert_int_equal(packs_has(p, digests[0], NULL), ERR_NOTFOUND);
    assert_int_equal(count_files(".ref", NULL) + count_files(".index", NULL), 0);
    assert_int_equal(access(in_scratch("data"), F_OK), 0); /* it is somebody else's */
    packs_close(p);
}

static void test_killed_at_any_change_a_sweep_loses_nothing_that_is_kept(void **state)
{
    (void)state;
    bool kept[6] = {true, false, true, false, false, true};
    for (unsigned at = 1;; at++) {
        struct packs *p = open_packs(true);
        put_pack(p, 0, 3, SIZE);
        put_pack(p, 3, 6, SIZE);
        packs_close(p);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct flaky disk;
            struct packs_swept swept;
            flaky_init(&disk);
            disk.kill_at = at;
            if (packs_open(&disk.table, in_scratch("packs"), true, &p, NULL) != 0)
                _exit(1);
            _exit(sweep(p, kept, 6, &swept) == 0 ? 0 : 1);
        }
        int status;
        struct packs_swept swept;
        assert_int_equal(waitpid(child, &status, 0), child);
        bool through = WIFEXITED(status);
        assert_true(!through || WEXITSTATUS(status) == 0);
        p = open_packs(true);
        for (unsigned n = 0; n < 6; n++)
            if (kept[n])
                assert_int_equal(read_back(p, n, SIZE), 0);
        assert_int_equal(sweep(p, kept, 6, &swept), 0);
        for (unsigned n = 0; n < 6; n++)
            assert_int_equal(read_back(p, n, SIZE), kept[n] ? 0 : ERR_NOTFOUND);
        packs_close(p);
        assert_int_equal(count_files(".part", NULL), 0);
        assert_int_equal(count_files(".car", NULL), count_files(".index", NULL));
        scratch_teardown(NULL);
        scratch_setup(NULL);
        if (through)
            break;
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_sweep_keeps_removes_and_rewrites),
        T(test_a_damaged_block_that_was_to_stay_is_counted_and_not_carried_on),
        T(test_nothing_goes_while_something_cannot_be_read),
        T(test_nothing_goes_from_one_pack_while_another_cannot_be_read),
        T(test_a_reference_goes_when_none_of_it_is_kept),
        T(test_killed_at_any_change_a_sweep_loses_nothing_that_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
