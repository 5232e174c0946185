/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"

#include "base/journal.h"

#define HEADER        32
#define FRAME_OVER    88 /* a frame without its batch */
#define FIRST         "0000000000000001-0000000000000001.journal"
#define SECOND        "0000000000000002-0000000000000004.journal"
#define FILE_MAX      (64u << 20)
#define RESERVE_LEAST (32u << 10)

/* --- a disk whose syncs cost nothing, for the tests that open thousands of times --- */

static int no_sync(void *self, int fd, struct err *err)
{
    (void)self;
    (void)fd;
    (void)err;
    return 0;
}

static int no_sync_dir(void *self, const char *path, struct err *err)
{
    (void)self;
    (void)path;
    (void)err;
    return 0;
}

static const struct files *quick(void)
{
    static struct files table;
    table = *files_posix();
    table.sync = no_sync;
    table.sync_dir = no_sync_dir;
    return &table;
}

/* --- what was replayed, as text: "1@10:one 2@20:two " --- */

static char replayed[4096];

static int keep(void *self, const struct journal_frame *frame, struct err *err)
{
    (void)self;
    (void)err;
    size_t size = strlen(replayed);
    snprintf(replayed + size, sizeof replayed - size, "%llu@%llu:%.*s ",
             (unsigned long long)frame->sequence, (unsigned long long)frame->time_ms,
             (int)frame->batch.size, (const char *)frame->batch.data);
    return 0;
}

static int open_on(const struct files *f, struct journal **out, uint64_t *cut, struct err *err)
{
    replayed[0] = '\0';
    return journal_open(f, in_scratch("j"), keep, NULL, out, cut, err);
}

static struct journal *open_well(uint64_t cut_expected)
{
    struct journal *j;
    uint64_t cut;
    struct err err;
    if (open_on(quick(), &j, &cut, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(cut, cut_expected);
    return j;
}

static void append(struct journal *j, uint64_t time_ms, const char *text)
{
    assert_int_equal(journal_append(j, time_ms, bytes_of_text(text), NULL), 0);
}

static void start(struct journal *j, uint64_t number, uint64_t time_ms, const char *text)
{
    assert_int_equal(journal_start(j, number, time_ms, bytes_of_text(text), NULL), 0);
}

static int check(struct err *err)
{
    replayed[0] = '\0';
    return journal_check(quick(), in_scratch("j"), keep, NULL, err);
}

#define ALL_FIRST  "1@10:one 2@20:two 3@30:three "
#define ALL_SECOND "4@40:four 5@50:five 6@60:six "

/* Two rounds of three frames each. */
static void make_two_files(void)
{
    struct journal *j = open_well(0);
    start(j, 1, 10, "one");
    append(j, 20, "two");
    append(j, 30, "three");
    start(j, 2, 40, "four");
    append(j, 50, "five");
    append(j, 60, "six");
    journal_close(j);
}

static const char *path_in_j(const char *name)
{
    char relative[128];
    snprintf(relative, sizeof relative, "j/%s", name);
    return in_scratch(relative);
}

static void assert_same_file(const char *name, const struct buf *before)
{
    struct buf now = read_file(path_in_j(name));
    assert_true(bytes_equal(buf_bytes(&now), buf_bytes(before)));
    buf_fini(&now);
}

/* --- tests --- */

static void test_a_new_folder_is_an_empty_journal(void **state)
{
    (void)state;
    struct journal *j = open_well(0);
    struct journal_tail tail = journal_tail(j), zero;
    uint8_t hash[HASH_BYTES];
    memset(&zero, 0, sizeof zero);
    assert_string_equal(replayed, "");
    assert_int_equal(tail.sequence, 0);
    assert_memory_equal(tail.hash, zero.hash, HASH_BYTES);
    assert_int_equal(journal_find(j, 1, hash, NULL), ERR_NOTFOUND);
    assert_int_equal(journal_append(j, 1, bytes_of_text("x"), NULL), ERR_USAGE);
    journal_close(j);
    journal_close(NULL);
    assert_int_equal(check(NULL), 0);
    assert_string_equal(replayed, "");
}

static void test_the_newest_file_is_replayed_and_goes_on(void **state)
{
    (void)state;
    make_two_files();
    struct journal *j = open_well(0);
    assert_string_equal(replayed, ALL_SECOND);
    assert_int_equal(journal_tail(j).sequence, 6);
    append(j, 70, "seven");
    journal_close(j);
    j = open_well(0);
    assert_string_equal(replayed, ALL_SECOND "7@70:seven ");
    assert_int_equal(journal_tail(j).sequence, 7);
    journal_close(j);
    assert_int_equal(check(NULL), 0);
    assert_string_equal(replayed, ALL_FIRST ALL_SECOND "7@70:seven ");
}

static void test_the_file_is_what_the_formats_page_says(void **state)
{
    (void)state;
    static const uint8_t header[HEADER] = "colmeia-journal-1\n";
    make_two_files();
    struct buf file = read_file(path_in_j(SECOND)), first = read_file(path_in_j(FIRST));
    assert_int_equal(file.size, HEADER + 3 * FRAME_OVER + strlen("fourfivesix"));
    assert_memory_equal(file.data, header, HEADER);
    const uint8_t *frame = file.data + HEADER;
    assert_memory_equal(frame, "CLFM\4\0\0\0\4\0\0\0\0\0\0\0", 16);
    assert_memory_equal(frame + 16, first.data + first.size - HASH_BYTES, HASH_BYTES);
    assert_memory_equal(frame + 48, "\50\0\0\0\0\0\0\0four", 12);
    uint8_t hash[HASH_BYTES];
    hash_sha256(bytes_of(frame, 60), hash);
    assert_memory_equal(frame + 60, hash, HASH_BYTES);
    assert_memory_equal(frame + 60 + HASH_BYTES + 16, hash, HASH_BYTES); /* the next one's link */
    static const uint8_t zero[HASH_BYTES];
    assert_memory_equal(first.data + HEADER + 16, zero, HASH_BYTES);
    buf_fini(&file);
    buf_fini(&first);
}

static void test_a_file_cut_at_any_byte_loses_the_torn_frame_and_no_other(void **state)
{
    (void)state;
    make_two_files();
    struct buf whole = read_file(path_in_j(SECOND));
    const size_t ends[] = {HEADER + FRAME_OVER + 4, HEADER + 2 * FRAME_OVER + 8};
    for (size_t cut = 0; cut < whole.size; cut++) {
        write_file(path_in_j(SECOND), bytes_of(whole.data, cut));
        size_t end = cut < ends[0] ? 0 : cut < ends[1] ? ends[0] : ends[1];
        struct journal *j = open_well(cut - end);
        if (end == 0) {
            /* Its round was never begun: the one before resumes. */
            assert_string_equal(replayed, ALL_FIRST);
            assert_false(files_exists(quick(), path_in_j(SECOND)));
            append(j, 99, "on");
            journal_close(j);
            assert_int_equal(check(NULL), 0);
            assert_string_equal(replayed, ALL_FIRST "4@99:on ");
            struct buf first = read_file(path_in_j(FIRST));
            write_file(path_in_j(FIRST), bytes_of(first.data, first.size - FRAME_OVER - 2));
            buf_fini(&first);
            continue;
        }
        assert_string_equal(replayed, end == ends[0] ? "4@40:four " : "4@40:four 5@50:five ");
        append(j, 99, "on");
        journal_close(j);
        assert_int_equal(check(NULL), 0);
        assert_string_equal(replayed + strlen(ALL_FIRST),
                            end == ends[0] ? "4@40:four 5@99:on " : "4@40:four 5@50:five 6@99:on ");
    }
    buf_fini(&whole);
}

static void test_zeros_or_rubbish_where_a_frame_was_being_written_are_cut(void **state)
{
    (void)state;
    make_two_files();
    struct buf whole = read_file(path_in_j(SECOND));
    static uint8_t tail[300];
    for (int kind = 0; kind < 3; kind++) {
        struct buf file = buf_new(4096);
        memset(tail, kind == 1 ? 0xff : 0, sizeof tail);
        if (kind == 2) /* a frame's beginning that promises more than there is */
            memcpy(tail, "CLFM\xff\xff\x0f", 8);
        buf_append(&file, whole.data, whole.size);
        buf_append(&file, tail, sizeof tail);
        write_file(path_in_j(SECOND), buf_bytes(&file));
        buf_fini(&file);
        struct journal *j = open_well(sizeof tail);
        journal_close(j);
        assert_string_equal(replayed, ALL_SECOND);
        assert_same_file(SECOND, &whole);
    }
    buf_fini(&whole);
}

static void test_a_bit_flipped_in_the_newest_file_is_cut_only_at_its_end(void **state)
{
    (void)state;
    make_two_files();
    struct buf whole = read_file(path_in_j(SECOND));
    size_t last = HEADER + 2 * FRAME_OVER + 8;
    for (size_t bit = 0; bit < 8 * whole.size; bit++) {
        struct buf file = read_file(path_in_j(SECOND));
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file(path_in_j(SECOND), buf_bytes(&file));
        struct journal *j = NULL;
        uint64_t cut = 77;
        struct err err = {0};
        int rc = open_on(quick(), &j, &cut, &err);
        if (bit / 8 >= last) {
            assert_int_equal(rc, 0);
            assert_int_equal(cut, whole.size - last);
            assert_string_equal(replayed, "4@40:four 5@50:five ");
        } else {
            size_t at = bit / 8 < HEADER                    ? 0
                        : bit / 8 < HEADER + FRAME_OVER + 4 ? HEADER
                                                            : HEADER + FRAME_OVER + 4;
            char offset[32];
            snprintf(offset, sizeof offset, "offset %zu", at);
            assert_int_equal(rc, ERR_CORRUPT);
            assert_int_equal(cut, 77);
            assert_non_null(strstr(err.text, SECOND));
            assert_non_null(strstr(err.text, offset));
            assert_string_equal(replayed, ""); /* nothing is believed of such a file */
            assert_same_file(SECOND, &file);
            assert_int_equal(check(&err), ERR_CORRUPT);
            assert_non_null(strstr(err.text, SECOND));
        }
        journal_close(j);
        buf_fini(&file);
        write_file(path_in_j(SECOND), buf_bytes(&whole));
    }
    buf_fini(&whole);
}

static void test_a_bit_flipped_in_an_older_file_is_found_wherever_it_is(void **state)
{
    (void)state;
    make_two_files();
    struct buf whole = read_file(path_in_j(FIRST));
    for (size_t bit = 0; bit < 8 * whole.size; bit++) {
        struct buf file = read_file(path_in_j(FIRST));
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file(path_in_j(FIRST), buf_bytes(&file));
        struct journal *j = NULL;
        uint64_t cut;
        struct err err = {0};
        assert_int_equal(check(&err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, FIRST));
        assert_non_null(strstr(err.text, "offset"));
        assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, FIRST));
        assert_same_file(FIRST, &file);
        buf_fini(&file);
        write_file(path_in_j(FIRST), buf_bytes(&whole));
    }
    for (size_t cut = 0; cut < whole.size; cut++) {
        struct err err = {0};
        write_file(path_in_j(FIRST), bytes_of(whole.data, cut));
        assert_int_equal(check(&err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, FIRST));
    }
    buf_fini(&whole);
}

static void test_nothing_is_removed_where_no_crash_can_have_been(void **state)
{
    (void)state;
    struct journal *j = NULL;
    uint64_t cut;
    struct err err;
    make_two_files();
    struct buf second = read_file(path_in_j(SECOND));
    second.size = HEADER + 10; /* no whole first frame... */
    write_file(path_in_j(SECOND), buf_bytes(&second));
    struct buf first = read_file(path_in_j(FIRST));
    /* ...and the file before it ends too early for it to have been begun. */
    write_file(path_in_j(FIRST), bytes_of(first.data, first.size - FRAME_OVER - 5));
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
    assert_same_file(SECOND, &second);
    write_file(path_in_j(FIRST), bytes_of(first.data, first.size - 1));
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
    assert_same_file(SECOND, &second);
    assert_int_equal(unlink(path_in_j(FIRST)), 0);
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
    assert_same_file(SECOND, &second);
    buf_fini(&first);
    buf_fini(&second);
}

static void test_a_first_file_torn_at_its_birth_is_an_empty_journal(void **state)
{
    (void)state;
    struct journal *j = open_well(0);
    start(j, 1, 10, "one");
    journal_close(j);
    struct buf whole = read_file(path_in_j(FIRST));
    for (size_t cut = 0; cut < whole.size; cut++) {
        write_file(path_in_j(FIRST), bytes_of(whole.data, cut));
        j = open_well(cut);
        assert_int_equal(journal_tail(j).sequence, 0);
        start(j, 1, 10, "one");
        journal_close(j);
        assert_same_file(FIRST, &whole);
    }
    buf_fini(&whole);
}

static void test_a_file_of_a_later_version_is_left_alone(void **state)
{
    (void)state;
    static const uint8_t later[64] = "colmeia-journal-2\n";
    struct journal *j = NULL;
    uint64_t cut;
    struct err err;
    make_two_files();
    write_file(path_in_j(SECOND), bytes_of(later, sizeof later));
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "later version"));
    assert_true(files_exists(quick(), path_in_j(SECOND)));
    assert_int_equal(check(&err), ERR_UNSUPPORTED);
}

static void test_files_that_do_not_follow_each_other_are_refused(void **state)
{
    (void)state;
    struct journal *j = NULL;
    uint64_t cut;
    struct err err;
    make_two_files();
    struct buf second = read_file(path_in_j(SECOND));
    /* The same rounds with another content: valid frames, another chain. */
    assert_int_equal(rename(in_scratch("j"), in_scratch("other")), 0);
    j = open_well(0);
    start(j, 1, 10, "one");
    append(j, 20, "TWO");
    append(j, 30, "three");
    journal_close(j);
    write_file(path_in_j(SECOND), buf_bytes(&second));
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, SECOND ": offset 32: the frame does not follow"));
    assert_string_equal(replayed, "");
    assert_int_equal(check(&err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "does not follow"));
    /* A file under a name that lies about its first frame. */
    assert_int_equal(unlink(path_in_j(FIRST)), 0);
    assert_int_equal(
        rename(path_in_j(SECOND), path_in_j("0000000000000002-0000000000000005.journal")), 0);
    assert_int_equal(open_on(quick(), &j, &cut, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "frame 4, but the name says 5"));
    buf_fini(&second);
}

static void test_other_files_in_the_folder_are_not_looked_at(void **state)
{
    (void)state;
    static const char *const names[] = {
        "README",
        "0000000000000002-0000000000000004.journal.tmp",
        "0000000000000009-000000000000000G.journal", /* not hex */
        "000000000000000A-0000000000000009.journal", /* not lower case */
        "0000000000000009_0000000000000009.journal",
        "9-9.journal"};
    make_two_files();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        write_file(path_in_j(names[i]), bytes_of_text("anything"));
    struct journal *j = open_well(0);
    assert_string_equal(replayed, ALL_SECOND);
    journal_close(j);
    assert_int_equal(check(NULL), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(files_exists(quick(), path_in_j(names[i])));
}

static void test_each_frame_is_synced_before_it_is_reported(void **state)
{
    (void)state;
    struct flaky f;
    struct journal *j;
    uint64_t cut;
    flaky_init(&f);
    assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
    assert_string_equal(f.log, "MDD"); /* the folder's name is durable before anything in it */
    f.log[0] = '\0';
    start(j, 1, 10, "one");
    assert_string_equal(f.log, "WSD");
    f.log[0] = '\0';
    append(j, 20, "two");
    append(j, 30, "three");
    assert_string_equal(f.log, "WSWS");
    journal_close(j);
    f.log[0] = '\0';
    assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
    assert_string_equal(f.log, "DSD"); /* what a killed process left is not yet on the disk */
    journal_close(j);
    struct buf whole = read_file(path_in_j(FIRST));
    write_file(path_in_j(FIRST), bytes_of(whole.data, whole.size - 1));
    buf_fini(&whole);
    f.log[0] = '\0';
    assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
    assert_string_equal(f.log, "DTSD");
    journal_close(j);
    write_file(path_in_j("0000000000000002-0000000000000003.journal"), bytes_of_text("torn"));
    f.log[0] = '\0';
    assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
    assert_string_equal(f.log, "DUDSD");
    journal_close(j);
}

static void test_after_a_failure_the_journal_refuses_everything(void **state)
{
    (void)state;
    static const struct {
        char only;
        bool starts;
    } rows[] = {{'W', false}, {'S', false}, {'W', true}, {'S', true}, {'D', true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flaky f;
        struct journal *j;
        uint64_t cut;
        struct err err;
        make_two_files();
        flaky_init(&f);
        assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
        struct journal_tail before = journal_tail(j), after;
        f.only = rows[i].only;
        f.changes = 0;
        f.fail_at = 1;
        f.log[0] = '\0';
        int rc = rows[i].starts ? journal_start(j, 3, 70, bytes_of_text("seven"), &err)
                                : journal_append(j, 70, bytes_of_text("seven"), &err);
        assert_int_equal(rc, ERR_IO);
        assert_non_null(strstr(err.text, "failed by the test"));
        f.fail_at = 0; /* the disk is well again; the journal does not ask */
        size_t done = strlen(f.log);
        assert_int_equal(journal_append(j, 80, bytes_of_text("eight"), &err), ERR_IO);
        assert_int_equal(journal_start(j, 4, 80, bytes_of_text("eight"), &err), ERR_IO);
        assert_non_null(strstr(err.text, "failed before"));
        assert_int_equal(strlen(f.log), done);
        after = journal_tail(j);
        assert_memory_equal(&before, &after, sizeof before);
        journal_close(j);
        /* Started again: the frame is there as a whole or not at all. */
        assert_int_equal(open_on(quick(), &j, &cut, &err), 0);
        if (journal_tail(j).sequence == 7)
            assert_non_null(strstr(replayed, "7@70:seven "));
        else
            assert_string_equal(replayed, ALL_SECOND);
        journal_close(j);
        assert_int_equal(check(&err), 0);
        scratch_teardown(NULL);
        scratch_setup(NULL);
    }
}

static void test_a_batch_outside_the_limits_is_refused(void **state)
{
    (void)state;
    struct journal *j = open_well(0);
    struct err err;
    uint8_t *batch = calloc(1, JOURNAL_BATCH_BYTES_MAX + 1);
    assert_non_null(batch);
    batch[5] = 'x';
    assert_int_equal(journal_start(j, 1, 1, bytes_of(batch, JOURNAL_BATCH_BYTES_MAX), NULL), 0);
    assert_int_equal(journal_append(j, 1, bytes_of(batch, JOURNAL_BATCH_BYTES_MAX), NULL), 0);
    assert_int_equal(journal_append(j, 1, bytes_of(batch, JOURNAL_BATCH_BYTES_MAX + 1), &err),
                     ERR_LIMIT);
    assert_int_equal(journal_append(j, 1, bytes_of(batch, 1), &err),
                     ERR_IO); /* and now it is off */
    journal_close(j);
    j = open_well(0);
    assert_int_equal(journal_tail(j).sequence, 2);
    assert_int_equal(journal_append(j, 1, bytes_of(batch, 0), &err), ERR_LIMIT);
    journal_close(j);
    free(batch);
}

static void test_a_file_that_is_full_is_refused_and_still_opens(void **state)
{
    (void)state;
    struct journal *j = open_well(0);
    uint8_t *batch = calloc(1, JOURNAL_BATCH_BYTES_MAX);
    assert_non_null(batch);
    start(j, 1, 1, "one");
    int rc = 0, frames = 0;
    for (; rc == 0 && frames < 100; frames++)
        rc = journal_append(j, 1, bytes_of(batch, JOURNAL_BATCH_BYTES_MAX), NULL);
    assert_int_equal(rc, ERR_LIMIT);
    assert_int_equal(frames, FILE_MAX / JOURNAL_BATCH_BYTES_MAX);
    journal_close(j);
    struct journal_tail tail;
    uint64_t cut;
    assert_int_equal(journal_open(quick(), in_scratch("j"), NULL, NULL, &j, &cut, NULL), 0);
    tail = journal_tail(j);
    assert_int_equal(tail.sequence, frames);
    start(j, 2, 2, "a new round has room again");
    journal_close(j);
    free(batch);
}

static int refuse_five(void *self, const struct journal_frame *frame, struct err *err)
{
    ++*(int *)self;
    return frame->sequence == 5 ? err_set(err, ERR_UNSUPPORTED, "no such event") : 0;
}

static void test_an_event_that_cannot_be_replayed_stops_the_opening(void **state)
{
    (void)state;
    struct journal *j = NULL;
    uint64_t cut = 77;
    int calls = 0;
    struct err err;
    make_two_files();
    assert_int_equal(journal_open(quick(), in_scratch("j"), refuse_five, &calls, &j, &cut, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, SECOND ": offset 124: no such event"));
    assert_int_equal(calls, 2);
    assert_null(j);
    assert_int_equal(cut, 77);
    calls = 0;
    assert_int_equal(journal_check(quick(), in_scratch("j"), refuse_five, &calls, &err),
                     ERR_UNSUPPORTED);
    assert_int_equal(calls, 5);
}

static void test_a_frame_is_found_by_its_sequence_in_any_file(void **state)
{
    (void)state;
    uint8_t hash[HASH_BYTES], first[HASH_BYTES];
    struct journal_tail tails[7];
    struct journal *j = open_well(0);
    for (uint64_t i = 1; i <= 6; i++) {
        if (i % 3 == 1)
            start(j, i, i, "x");
        else
            append(j, i, "x");
        tails[i] = journal_tail(j);
        assert_int_equal(tails[i].sequence, i);
    }
    memset(first, 0xee, sizeof first);
    memcpy(hash, first, sizeof hash);
    assert_int_equal(journal_find(j, 7, hash, NULL), ERR_NOTFOUND);
    assert_int_equal(journal_find(j, 0, hash, NULL), ERR_NOTFOUND);
    assert_memory_equal(hash, first, sizeof hash); /* untouched */
    for (int again = 0; again < 2; again++) {
        for (uint64_t i = 1; i <= 6; i++) {
            assert_int_equal(journal_find(j, i, hash, NULL), 0);
            assert_memory_equal(hash, tails[i].hash, HASH_BYTES);
        }
        journal_close(j);
        j = open_well(0);
    }
    journal_close(j);
}

static void test_pruned_rounds_are_gone_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct flaky f;
    struct journal *j;
    uint64_t cut;
    uint8_t hash[HASH_BYTES];
    make_two_files();
    flaky_init(&f);
    assert_int_equal(open_on(&f.table, &j, &cut, NULL), 0);
    start(j, 3, 70, "seven");
    f.log[0] = '\0';
    assert_int_equal(journal_prune(j, 3, NULL), 0);
    assert_string_equal(f.log, "");
    assert_int_equal(journal_prune(j, 0, NULL), 0); /* the newest stays whatever is asked */
    assert_string_equal(f.log, "UDUD");             /* the oldest first; never a gap */
    assert_int_equal(journal_find(j, 7, hash, NULL), 0);
    assert_int_equal(journal_find(j, 6, hash, NULL), ERR_NOTFOUND);
    append(j, 80, "eight");
    journal_close(j);
    j = open_well(0);
    assert_string_equal(replayed, "7@70:seven 8@80:eight ");
    start(j, 4, 90, "nine");
    journal_close(j);
    assert_int_equal(check(NULL), 0);
    assert_string_equal(replayed, "7@70:seven 8@80:eight 9@90:nine ");
}

/* --- the reserve --- */

static uint64_t reserved;
static bool disk_is_full;

static int record_reserve(void *self, int fd, uint64_t size, struct err *err)
{
    (void)self;
    (void)fd;
    if (disk_is_full)
        return err_set(err, ERR_IO, "no space left");
    reserved = size;
    return 0;
}

static void test_the_journal_keeps_room_ahead_of_its_end(void **state)
{
    (void)state;
    static char text[1001];
    struct files table = *quick();
    struct journal *j;
    uint64_t cut, end = HEADER + FRAME_OVER + 3;
    memset(text, 'x', sizeof text - 1);
    table.reserve = record_reserve;
    reserved = 0;
    disk_is_full = false;
    assert_int_equal(open_on(&table, &j, &cut, NULL), 0);
    start(j, 1, 1, "one");
    assert_true(reserved >= end + RESERVE_LEAST);
    for (int i = 0; i < 200; i++) {
        append(j, 2, text);
        end += FRAME_OVER + sizeof text - 1;
        assert_true(reserved >= end + RESERVE_LEAST);
    }
    disk_is_full = true; /* the reserve cannot grow: what fits is still written */
    for (int i = 0; i < 30; i++)
        append(j, 3, text);
    journal_close(j);
    disk_is_full = false;
    reserved = 0;
    assert_int_equal(open_on(&table, &j, &cut, NULL), 0);
    assert_true(reserved >= end + RESERVE_LEAST);
    journal_close(j);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_folder_is_an_empty_journal),
        TEST(test_the_newest_file_is_replayed_and_goes_on),
        TEST(test_the_file_is_what_the_formats_page_says),
        TEST(test_a_file_cut_at_any_byte_loses_the_torn_frame_and_no_other),
        TEST(test_zeros_or_rubbish_where_a_frame_was_being_written_are_cut),
        TEST(test_a_bit_flipped_in_the_newest_file_is_cut_only_at_its_end),
        TEST(test_a_bit_flipped_in_an_older_file_is_found_wherever_it_is),
        TEST(test_nothing_is_removed_where_no_crash_can_have_been),
        TEST(test_a_first_file_torn_at_its_birth_is_an_empty_journal),
        TEST(test_a_file_of_a_later_version_is_left_alone),
        TEST(test_files_that_do_not_follow_each_other_are_refused),
        TEST(test_other_files_in_the_folder_are_not_looked_at),
        TEST(test_each_frame_is_synced_before_it_is_reported),
        TEST(test_after_a_failure_the_journal_refuses_everything),
        TEST(test_a_batch_outside_the_limits_is_refused),
        TEST(test_a_file_that_is_full_is_refused_and_still_opens),
        TEST(test_an_event_that_cannot_be_replayed_stops_the_opening),
        TEST(test_a_frame_is_found_by_its_sequence_in_any_file),
        TEST(test_pruned_rounds_are_gone_and_the_rest_goes_on),
        TEST(test_the_journal_keeps_room_ahead_of_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
