/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/study/fixture.h"
#include "tests/study/hostile.h"

#include <math.h>

#include "aggregate/accumulate.h"
#include "aggregate/moments.h"
#include "base/jobs.h"
#include "study/check.h"

#define ROUND  2
#define SHARDS 6

/* Shards: 0 F64 x 4, 1 and 2 F32 x 2^17, 3 F32 x 3, 4 I32 x 2, 5 BOOL x 2. */
static const struct tensor tensors[] = {
    {.name = "a", .dtype = DTYPE_F64, .use = USE_MEAN, .rank = 1, .shape = {4}},
    {.name = "w", .dtype = DTYPE_F32, .use = USE_MEAN, .rank = 1, .shape = {2 * 131072 + 3}},
    {.name = "fixed", .dtype = DTYPE_F32, .use = USE_FIXED, .rank = 1, .shape = {2}},
    {.name = "steps", .dtype = DTYPE_I32, .use = USE_LARGEST, .rank = 1, .shape = {2}},
    {.name = "flag", .dtype = DTYPE_BOOL, .use = USE_LARGEST, .rank = 1, .shape = {2}},
};

static struct fixture f;
static struct flaky disk;
static struct jobs *jobs;
static uint64_t bytes_read; /* from the pack, by a check */
static struct check_result result;

/* --- a site's pack on a disk that counts --- */

static int counting_read(void *self, int fd, uint64_t offset, void *data, size_t size,
                         struct err *err)
{
    (void)self;
    __atomic_add_fetch(&bytes_read, size, __ATOMIC_RELAXED);
    return files_posix()->read(NULL, fd, offset, data, size, err);
}

static int group_setup(void **state)
{
    (void)state;
    return jobs_new(4, &jobs, NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    jobs_free(jobs);
    return 0;
}

static int setup(void **state)
{
    struct layout *l;
    if (scratch_setup(state) != 0)
        return -1;
    MUST(layout_new(tensors, sizeof tensors / sizeof tensors[0], &l, err));
    assert_int_equal(l->shard_count, SHARDS);
    fixture_init(&f, &(struct fixture_options){.sites = 2, .layout = l});
    layout_free(l);
    flaky_init(&disk);
    disk.table.read = counting_read;
    return 0;
}

static int setup_logistic(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    fixture_init(&f, &(struct fixture_options){.sites = 2});
    flaky_init(&disk);
    disk.table.read = counting_read;
    return 0;
}

static int teardown(void **state)
{
    check_result_fini(&result);
    fixture_fini(&f);
    return scratch_teardown(state);
}

static struct pack *open_pack(void)
{
    struct pack *pack;
    MUST(pack_open(&disk.table, in_scratch("site.car"), true, &pack, err));
    return pack;
}

/* --- checks --- */

static struct check_expected expected(const char *rule)
{
    return (struct check_expected){.study = &f.study,
                                   .site = key_public(f.sites[0].ed25519),
                                   .site_name = "hospital-a",
                                   .round = ROUND,
                                   .rule = rule_find(rule),
                                   .base = f.model};
}

static void check(const struct check_expected *e, struct pack *pack, const struct cid *record)
{
    check_result_fini(&result);
    bytes_read = 0;
    check_update(e, pack, record, jobs, &result);
}

static void assert_accepted(const struct check_expected *e, struct pack *pack,
                            const struct cid *record)
{
    check(e, pack, record);
    if (result.outcome != CHECK_ACCEPTED)
        fail_msg("outcome %d: %s%s", result.outcome, result.sentence, result.err.text);
    assert_int_equal(result.code, REFUSAL_NONE);
}

static void assert_refused(const struct check_expected *e, struct pack *pack,
                           const struct cid *record, enum refusal_code code, const char *words)
{
    check(e, pack, record);
    if (result.outcome != CHECK_REFUSED || result.code != code)
        fail_msg("%s: outcome %d, %s: %s", words, result.outcome, refusal_name(result.code),
                 result.sentence);
    if (strncmp(result.sentence, "hospital-a: ", 12) != 0 || strstr(result.sentence, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, result.sentence);
    for (const char *c = result.sentence; *c != '\0'; c++)
        assert_true(*c >= 0x20 && *c <= 0x7e);
    assert_int_equal(result.missing_count, 0);
}

static void assert_missing(const struct cid *cids, size_t count)
{
    if (result.outcome != CHECK_MISSING)
        fail_msg("outcome %d: %s%s", result.outcome, result.sentence, result.err.text);
    assert_int_equal(result.missing_count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(cid_equal(&result.missing[i], &cids[i]));
}

static uint64_t block_size(struct pack *pack, const struct cid *cid)
{
    struct buf b = buf_new(PACK_BLOCK_BYTES_MAX);
    MUST(pack_get(pack, cid, &b, err));
    uint64_t size = b.size;
    buf_fini(&b);
    return size;
}

/* An update with the given shards (SHARDS, or as many as `count`). */
static struct cid put_update(struct pack *pack, const struct cid *shards, size_t count)
{
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    struct update_index x = {.codec = "plain",
                             .layout = f.study.plan.layout,
                             .count = count,
                             .shards = (struct cid *)(uintptr_t)shards};
    MUST(update_index_write(&x, fixture_index_put, pack, &u.delta, err));
    return fixture_sign(&f, pack, 0, &u);
}

/* --- accepted --- */

static void test_a_whole_update_is_accepted(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    assert_accepted(&e, pack, &record);
    assert_int_equal(result.examples, 10);
    assert_true(cid_equal(&result.update.cid, &record));
    assert_true(update_metric(&result.update, "loss") == 0.5);
    /* shards 1 and 2 are one block */
    uint64_t small = block_size(pack, &record) + block_size(pack, &result.update.delta);
    assert_int_equal(result.bytes, small + 32 + 524288 + 12 + 8 + 2);
    pack_close(pack);
}

static void test_every_shard_is_read_exactly_once(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    assert_accepted(&e, pack, &record);
    assert_int_equal(bytes_read, result.bytes + 524288); /* the block of two shards, for each */
    pack_close(pack);
}

static void test_null_shards_count_as_zero(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 0, 10);
    assert_accepted(&e, pack, &record);
    assert_int_equal(result.bytes,
                     block_size(pack, &record) + block_size(pack, &result.update.delta));
    check_result_fini(&result);
    check_update(&e, pack, &record, NULL, &result); /* on one thread as well */
    assert_int_equal(result.outcome, CHECK_ACCEPTED);
    pack_close(pack);
}

static void test_what_is_accepted_is_synced(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    disk.log[0] = '\0';
    assert_accepted(&e, pack, &record);
    assert_string_equal(disk.log, "SD"); /* the file, then its name */
    pack_close(pack);

    pack = open_pack(); /* after a restart nothing counts as synced */
    disk.only = 'S';
    disk.changes = 0;
    disk.fail_at = 1;
    check(&e, pack, &record);
    assert_int_equal(result.outcome, CHECK_FAILED);
    assert_int_equal(result.err.code, ERR_IO);
    pack_close(pack);
}

static void test_what_is_refused_or_missing_is_not_synced(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 0);
    disk.log[0] = '\0';
    assert_refused(&e, pack, &record, REFUSAL_BAD_WEIGHT, "0 examples");
    struct cid none = fixture_cid(1);
    check(&e, pack, &none);
    assert_missing(&none, 1);
    assert_string_equal(disk.log, "");
    pack_close(pack);
}

/* --- the record --- */

static void test_a_record_that_is_not_one_is_refused(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("junk"));
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "the record: colmeia/update/1: dag-cbor");
    assert_int_equal(result.bytes, 4);
    record = fixture_pack_put(pack, CID_RAW, bytes_of_text("junk"));
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "not named by a dag-cbor sha2-256 CID");
    uint8_t identity[] = {1, 0x71, 0, 1, 0xa0};
    MUST(cid_decode(bytes_of(identity, sizeof identity), &record, err));
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "not named by a dag-cbor sha2-256 CID");
    uint8_t *large = calloc(RECORD_BYTES_MAX + 1, 1);
    assert_non_null(large);
    record = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of(large, RECORD_BYTES_MAX + 1));
    free(large);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "too large");
    record = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("\xa1\x61\x1b\x00"));
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "the record");
    pack_close(pack);
}

static void test_a_record_with_a_bad_signature_is_refused(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct cid good = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    MUST(pack_get(pack, &good, &block, err));
    struct record r;
    MUST(record_open(buf_bytes(&block), NULL, &r, err));
    for (size_t i = 0; i < r.count; i++)
        if (bytes_equal(r.fields[i].key, bytes_of_text("sig")))
            block.data[r.fields[i].value.data - block.data + 10] ^= 1;
    struct cid record = fixture_pack_put(pack, CID_DAG_CBOR, buf_bytes(&block));
    assert_refused(&e, pack, &record, REFUSAL_BAD_SIGNATURE, "does not verify");
    buf_fini(&block);
    pack_close(pack);
}

/* One field of a good record changed, and what is said of it. */
struct change {
    void (*change)(struct update *u);
    enum refusal_code code;
    const char *words;
};

static void other_study(struct update *u)
{
    u->study = fixture_cid(1);
}
static void other_plan(struct update *u)
{
    u->plan = fixture_cid(1);
}
static void other_base(struct update *u)
{
    u->base = cid_of(CID_RAW, bytes_of_text("other"));
}
static void round_before(struct update *u)
{
    u->round = ROUND - 1;
}
static void round_after(struct update *u)
{
    u->round = UINT64_MAX;
}
static void other_exchange(struct update *u)
{
    u->exchange = 1;
}
static void no_examples(struct update *u)
{
    u->examples = 0;
}
static void too_many_examples(struct update *u)
{
    u->examples = ACCUMULATE_WEIGHT_MAX + 1u;
}
static void no_delta(struct update *u)
{
    u->delta = (struct cid){0};
}
static void values_too(struct update *u)
{
    u->values = u->delta;
}
static void values_instead(struct update *u)
{
    u->values = u->delta;
    u->delta = (struct cid){0};
}
static void nothing(struct update *u)
{
    (void)u;
}
static void the_largest_weight(struct update *u)
{
    u->examples = ACCUMULATE_WEIGHT_MAX;
}

static void test_a_record_that_is_not_what_was_asked_for_is_refused(void **state)
{
    (void)state;
    static const struct change rows[] = {
        {nothing, REFUSAL_NONE, ""},
        {the_largest_weight, REFUSAL_NONE, ""},
        {other_study, REFUSAL_WRONG_STUDY, "the record is of study bafy"},
        {round_before, REFUSAL_WRONG_ROUND, "of round 1, exchange 0, expected round 2, exchange 0"},
        {round_after, REFUSAL_WRONG_ROUND, "of round 18446744073709551615"},
        {other_exchange, REFUSAL_WRONG_ROUND, "of round 2, exchange 1, expected round 2"},
        {other_plan, REFUSAL_WRONG_PLAN, "the record is of plan bafy"},
        {other_base, REFUSAL_WRONG_BASE, "the update's base is bafk"},
        {no_examples, REFUSAL_BAD_WEIGHT, "0 examples, expected 1 to 536870911"},
        {too_many_examples, REFUSAL_BAD_WEIGHT, "536870912 examples, expected 1 to 536870911"},
        {no_delta, REFUSAL_MALFORMED, "neither delta nor values, expected a delta"},
        {values_too, REFUSAL_MALFORMED, "delta and values, expected a delta"},
        {values_instead, REFUSAL_MALFORMED, "holds values, expected a delta"},
    };
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid index = fixture_index(&f, pack, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct update u = fixture_update(&f, ROUND, &f.model, 10);
        u.delta = index;
        rows[i].change(&u);
        struct cid record = fixture_sign(&f, pack, 0, &u);
        if (rows[i].code == REFUSAL_NONE)
            assert_accepted(&e, pack, &record);
        else
            assert_refused(&e, pack, &record, rows[i].code, rows[i].words);
    }
    pack_close(pack);
}

static void test_another_sites_record_is_refused(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 1, ROUND, &f.model, 1, 10); /* a copied one */
    assert_refused(&e, pack, &record, REFUSAL_UNKNOWN_SITE, "a key that is not this site's");
    pack_close(pack);
}

/* --- the index --- */

static void test_an_index_of_another_layout_is_refused(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid none[SHARDS + 1] = {{0}};
    struct cid record = put_update(pack, none, SHARDS);
    assert_accepted(&e, pack, &record);
    record = put_update(pack, none, SHARDS + 1);
    assert_refused(&e, pack, &record, REFUSAL_LAYOUT_MISMATCH, "7 shards, not 6");
    record = put_update(pack, none, 0);
    assert_refused(&e, pack, &record, REFUSAL_LAYOUT_MISMATCH, "0 shards, not 6");
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    struct update_index x = {
        .codec = "plain", .layout = fixture_cid(3), .count = SHARDS, .shards = none};
    MUST(update_index_write(&x, fixture_index_put, pack, &u.delta, err));
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_LAYOUT_MISMATCH, "the update's layout is bafy");
    x = (struct update_index){
        .codec = "topk", .layout = f.study.plan.layout, .count = SHARDS, .shards = none};
    MUST(update_index_write(&x, fixture_index_put, pack, &u.delta, err));
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "codec is topk, expected plain");
    u.delta = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("\xa0"));
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "update index: dag-cbor");
    pack_close(pack);
}

/* --- the shards --- */

static struct cid put_shard(struct pack *pack, const void *data, size_t size)
{
    return fixture_pack_put(pack, CID_RAW, bytes_of(data, size));
}

static void test_values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const float nan[] = {1, NAN, 2}, inf[] = {1, 2, -INFINITY}, fine[] = {1, 2, 3.4e38f};
    const double wide[] = {1, 2, INFINITY, NAN};
    const uint8_t flag[] = {1, 2};
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid shards[SHARDS] = {{0}};
    shards[3] = put_shard(pack, fine, sizeof fine);
    struct cid record = put_update(pack, shards, SHARDS);
    assert_accepted(&e, pack, &record);
    shards[3] = put_shard(pack, inf, sizeof inf);
    record = put_update(pack, shards, SHARDS);
    assert_refused(&e, pack, &record, REFUSAL_NOT_FINITE,
                   "shard 3 (from element 262144 of tensor w): element 2 is infinite");
    shards[3] = put_shard(pack, nan, sizeof nan);
    record = put_update(pack, shards, SHARDS);
    assert_refused(&e, pack, &record, REFUSAL_NOT_FINITE,
                   "shard 3 (from element 262144 of tensor w): element 1 is NaN");
    shards[0] = put_shard(pack, wide, sizeof wide); /* the first one is told */
    record = put_update(pack, shards, SHARDS);
    assert_refused(&e, pack, &record, REFUSAL_NOT_FINITE,
                   "shard 0 (from element 0 of tensor a): element 2 is infinite");
    shards[0] = shards[3] = (struct cid){0};
    shards[5] = put_shard(pack, flag, sizeof flag);
    record = put_update(pack, shards, SHARDS);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "not a BOOL");
    pack_close(pack);
}

static void test_shards_of_another_length_are_refused(void **state)
{
    (void)state;
    const float data[] = {1, 2, 3, 4};
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid shards[SHARDS] = {{0}};
    static const size_t sizes[] = {0, 8, 11, 13, 16};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char words[64];
        shards[3] = put_shard(pack, data, sizes[i]);
        struct cid record = put_update(pack, shards, SHARDS);
        snprintf(words, sizeof words, "a block of %zu bytes where 12 are expected", sizes[i]);
        assert_refused(&e, pack, &record, REFUSAL_LAYOUT_MISMATCH, words);
    }
    pack_close(pack);
}

/* --- missing, damaged, spoiled --- */

static void test_missing_blocks_are_listed_in_order_and_sent_one_after_another(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *whole = fixture_pack(&f, 0, ROUND), *pack = open_pack();
    struct cid record = fixture_delta(&f, whole, 0, ROUND, &f.model, 1, 10);
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct cid step[8];
    size_t sent = 0;
    for (; sent < 8; sent++) {
        check(&e, pack, &record);
        struct check_result list;
        check_missing(&e, pack, &record, &list);
        assert_int_equal(list.outcome, CHECK_MISSING);
        assert_int_equal(list.missing_count, result.missing_count);
        for (size_t i = 0; i < list.missing_count; i++)
            assert_true(cid_equal(&list.missing[i], &result.missing[i]));
        check_result_fini(&list);
        if (result.outcome == CHECK_ACCEPTED)
            break;
        assert_int_equal(result.outcome, CHECK_MISSING);
        /* record; index; then five blocks for six shards, each fewer by one */
        assert_int_equal(result.missing_count, sent < 2 ? 1 : 7 - sent);
        step[sent] = result.missing[0];
        MUST(pack_get(whole, &step[sent], &block, err));
        MUST(pack_put(pack, &step[sent], buf_bytes(&block), err));
    }
    assert_int_equal(sent, 7);
    assert_true(cid_equal(&step[0], &record));
    assert_true(cid_equal(&step[1], &result.update.delta));
    buf_fini(&block);
    pack_close(pack);
    pack_close(whole);
}

static void test_a_block_that_our_disk_damaged_is_asked_for_again(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct cid first = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    assert_accepted(&e, pack, &first);
    struct cid shard = fixture_shard(pack, &f.study.layout->shards[1], 1); /* and shard 2 */
    const struct cid damaged[] = {first, result.update.delta, shard};
    for (size_t i = 0; i < 3; i++) {
        struct buf file = read_file(in_scratch("site.car"));
        MUST(pack_get(pack, &damaged[i], &block, err));
        uint8_t *at = memmem(file.data, file.size, block.data, block.size);
        assert_non_null(at);
        damage_file(in_scratch("site.car"), at - file.data, 1);
        buf_fini(&file);
        pack_close(pack); /* what arrived since the start was hashed then */
        pack = open_pack();
        check(&e, pack, &first);
        assert_missing(&damaged[i], 1);
        MUST(pack_put(pack, &damaged[i], buf_bytes(&block), err));
        assert_accepted(&e, pack, &first);
    }
    buf_fini(&block);
    pack_close(pack);
}

static void test_a_spoiled_transfer_is_refused_by_name_if_something_is_missing(void **state)
{
    (void)state;
    static const enum refusal_code codes[] = {REFUSAL_BAD_BLOCK, REFUSAL_OVER_QUOTA};
    struct pack *pack = open_pack();
    struct cid shards[SHARDS] = {{0}};
    shards[3] = cid_of(CID_RAW, bytes_of_text("never sent"));
    struct cid record = put_update(pack, shards, SHARDS), none = fixture_cid(1);
    struct cid whole = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    for (size_t i = 0; i < 2; i++) {
        struct check_expected e = expected("fedavg");
        char words[160], text[CID_TEXT_MAX];
        e.spoiled = codes[i];
        snprintf(words, sizeof words, "%s; still missing: block %s", refusal_sentence(codes[i]),
                 cid_format(&shards[3], text));
        assert_refused(&e, pack, &record, codes[i], words);
        assert_refused(&e, pack, &none, codes[i], refusal_sentence(codes[i]));
        check_result_fini(&result);
        check_missing(&e, pack, &record, &result);
        assert_int_equal(result.outcome, CHECK_REFUSED);
        assert_int_equal(result.code, codes[i]);
        assert_accepted(&e, pack, &whole); /* all is there in spite of it */
        check_missing(&e, pack, &whole, &result);
        assert_missing(NULL, 0);
    }
    pack_close(pack);
}

static void test_the_list_of_missing_reads_no_shard_and_leaves_refusing_to_the_check(void **state)
{
    (void)state;
    struct check_expected e = expected("fedavg");
    struct pack *pack = open_pack();
    struct cid record = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 10);
    bytes_read = 0;
    check_missing(&e, pack, &record, &result);
    assert_missing(NULL, 0);
    assert_true(bytes_read < 4096);
    struct cid bad = fixture_delta(&f, pack, 0, ROUND, &f.model, 1, 0);
    check_missing(&e, pack, &bad, &result);
    assert_missing(NULL, 0);
    assert_int_equal(result.code, REFUSAL_NONE);
    assert_refused(&e, pack, &bad, REFUSAL_BAD_WEIGHT, "0 examples");
    pack_close(pack);
}

/* 1,500 shards: an index with two lists. The layout is never filled with data. */
static void test_a_large_update_is_listed_in_parts(void **state)
{
    (void)state;
    static struct cid shards[1500];
    const struct tensor wide = {.name = "w",
                                .dtype = DTYPE_F32,
                                .use = USE_MEAN,
                                .rank = 2,
                                .shape = {1500, LAYOUT_SHARD_ELEMENTS}};
    struct study s = f.study;
    MUST(layout_new(&wide, 1, &s.layout, err));
    struct check_expected e = expected("fedavg");
    e.study = &s;
    for (unsigned i = 0; i < 1500; i++)
        shards[i] = cid_of(CID_RAW, bytes_of(&i, sizeof i));
    struct pack *pack = open_pack();
    struct cid record = put_update(pack, shards, 1500);
    check(&e, pack, &record);
    assert_missing(shards, CHECK_MISSING_MAX);
    struct cid index = result.update.delta;

    /* only record and index arrived: both lists are missing */
    struct pack *part;
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    MUST(pack_open(files_posix(), in_scratch("part.car"), true, &part, err));
    const struct cid heads[] = {record, index};
    for (size_t i = 0; i < 2; i++) {
        MUST(pack_get(pack, &heads[i], &block, err));
        MUST(pack_put(part, &heads[i], buf_bytes(&block), err));
    }
    check(&e, part, &record);
    assert_int_equal(result.outcome, CHECK_MISSING);
    assert_int_equal(result.missing_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(pack_has(pack, &result.missing[i]));
    pack_close(part);

    memset(shards, 0, sizeof shards);
    record = put_update(pack, shards, 1500);
    assert_accepted(&e, pack, &record);
    /* bytes: record, index and two lists of nulls */
    assert_true(result.bytes > 1500 && result.bytes < 3000);
    buf_fini(&block);
    pack_close(pack);
    layout_free(s.layout);
}

/* --- values and metrics --- */

static struct cid put_values(struct pack *pack, size_t features, uint64_t count)
{
    struct moments m;
    struct buf block = buf_new(RECORD_BYTES_MAX);
    MUST(moments_new(features, &m, err));
    m.count = count;
    for (size_t i = 0; i < features; i++)
        m.squares[i] = 1;
    MUST(moments_encode(&m, &block, err));
    struct cid cid = fixture_pack_put(pack, CID_DAG_CBOR, buf_bytes(&block));
    moments_fini(&m);
    buf_fini(&block);
    return cid;
}

static void test_moments_are_checked(void **state)
{
    (void)state;
    struct check_expected e = expected("moments");
    struct pack *pack = open_pack();
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    u.values = put_values(pack, 3, 10);
    struct cid record = fixture_sign(&f, pack, 0, &u);
    assert_accepted(&e, pack, &record);
    assert_int_equal(result.bytes, block_size(pack, &record) + block_size(pack, &u.values));
    u.values = put_values(pack, 4, 10);
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "4 features where 3 are expected");
    u.values = put_values(pack, 3, 11);
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED,
                   "the values count 11 examples, the record 10");
    u.values = fixture_pack_put(pack, CID_DAG_CBOR, bytes_of_text("\xa0"));
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED, "moments");
    u.values = fixture_cid(5);
    record = fixture_sign(&f, pack, 0, &u);
    check(&e, pack, &record);
    assert_missing(&u.values, 1);
    u.values = (struct cid){0};
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED,
                   "neither delta nor values, expected values");
    pack_close(pack);
}

static void test_an_evaluation_is_metrics_and_nothing_else(void **state)
{
    (void)state;
    struct check_expected e = expected("evaluate");
    struct pack *pack = open_pack();
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    struct cid record = fixture_sign(&f, pack, 0, &u);
    assert_accepted(&e, pack, &record);
    assert_int_equal(result.bytes, block_size(pack, &record));
    u.delta = fixture_index(&f, pack, 0);
    record = fixture_sign(&f, pack, 0, &u);
    assert_refused(&e, pack, &record, REFUSAL_MALFORMED,
                   "a delta, expected metrics and nothing else");
    pack_close(pack);
}

static void test_damaged_values_are_asked_for_again(void **state)
{
    (void)state;
    struct check_expected e = expected("moments");
    struct pack *pack = open_pack();
    struct update u = fixture_update(&f, ROUND, &f.model, 10);
    u.values = put_values(pack, 3, 10); /* the pack's first block */
    struct cid record = fixture_sign(&f, pack, 0, &u);
    damage_file(in_scratch("site.car"), 100, 1);
    check(&e, pack, &record);
    assert_missing(&u.values, 1);
    pack_close(pack);
}

#define TEST(name)          cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_LOGISTIC(name) cmocka_unit_test_setup_teardown(name, setup_logistic, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_update_is_accepted),
        TEST(test_every_shard_is_read_exactly_once),
        TEST(test_null_shards_count_as_zero),
        TEST(test_what_is_accepted_is_synced),
        TEST(test_what_is_refused_or_missing_is_not_synced),
        TEST(test_a_record_that_is_not_one_is_refused),
        TEST(test_a_record_with_a_bad_signature_is_refused),
        TEST(test_a_record_that_is_not_what_was_asked_for_is_refused),
        TEST(test_another_sites_record_is_refused),
        TEST(test_an_index_of_another_layout_is_refused),
        TEST(test_values_that_are_not_finite_are_refused),
        TEST(test_shards_of_another_length_are_refused),
        TEST(test_missing_blocks_are_listed_in_order_and_sent_one_after_another),
        TEST(test_a_block_that_our_disk_damaged_is_asked_for_again),
        TEST(test_a_spoiled_transfer_is_refused_by_name_if_something_is_missing),
        TEST(test_the_list_of_missing_reads_no_shard_and_leaves_refusing_to_the_check),
        TEST(test_a_large_update_is_listed_in_parts),
        TEST_LOGISTIC(test_moments_are_checked),
        TEST_LOGISTIC(test_an_evaluation_is_metrics_and_nothing_else),
        TEST_LOGISTIC(test_damaged_values_are_asked_for_again),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
