/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scratch.h"
#include "transport/msg.h"

#define WIRE_VARINT 0
#define WIRE_BYTES  2

static struct cid some_cid(const char *seed)
{
    return cid_of(CID_DAG_CBOR, bytes_of_text(seed));
}

static void fill_blob(struct buf *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_append_byte(b, (uint8_t)(i * 7 + size));
}

static void add_list(struct msg *m, size_t count)
{
    m->cids = calloc(count, sizeof *m->cids);
    assert_non_null(m->cids);
    m->cid_count = count;
    for (size_t i = 0; i < count; i++)
        m->cids[i] = cid_of(CID_RAW, bytes_of(&i, sizeof i));
}

/* The types that are about one update or round record. */
static void fill_about(struct msg *m)
{
    m->round = 3;
    m->record = some_cid("record");
    if (m->type == MSG_LIST)
        add_list(m, 3);
    if (m->type == MSG_ACCEPTED)
        fill_blob(&m->receipt, 200);
    if (m->type == MSG_REFUSED) {
        snprintf(m->code, sizeof m->code, "wrong-base");
        memset(m->text, 'x', sizeof m->text - 1);
        fill_blob(&m->refusal, MSG_REFUSAL_MAX);
    }
}

/* A message with every member set that its type has, and with no other. */
static struct msg full(enum msg_type type)
{
    struct msg m;
    msg_init(&m, type);
    m.study = some_cid("study");
    m.sequence = UINT64_MAX;
    m.has_boot = true;
    memcpy(m.boot, "boot of the time", MSG_BOOT_BYTES);
    switch (type) {
    case MSG_HELLO:
        m.least = 1;
        m.most = UINT32_MAX;
        fill_blob(&m.head, MSG_EVIDENCE_MAX);
        fill_blob(&m.receipt, 200);
        m.site_record = some_cid("site");
        break;
    case MSG_WELCOME:
        m.agreed = 1;
        memcpy(m.welcome_boot, "another boot id.", MSG_BOOT_BYTES);
        m.site = 9999;
        snprintf(m.token, sizeof m.token, "uAbc-_09");
        m.token_ms = 24ull * 3600 * 1000;
        m.plan = some_cid("plan");
        fill_blob(&m.head, 130);
        break;
    case MSG_WANT:
        m.round = 7;
        break;
    case MSG_WAIT:
        snprintf(m.text, sizeof m.text, "waiting for 2 more sites \xe2\x80\xa6");
        m.retry_ms = 2500;
        break;
    case MSG_TASK:
        m.round = UINT64_MAX;
        snprintf(m.rule, sizeof m.rule, "fedavg");
        m.exchange = 1;
        m.plan = some_cid("plan");
        m.roster = some_cid("roster");
        m.prev = some_cid("prev");
        m.base = cid_of(CID_DAG_PB, bytes_of_text("base"));
        m.site = 4;
        fill_blob(&m.head, 130);
        break;
    case MSG_DONE:
        fill_blob(&m.head, 130);
        break;
    case MSG_MISSING:
    case MSG_LIST:
    case MSG_SUBMIT:
    case MSG_ACCEPTED:
    case MSG_REFUSED:
    case MSG_HEAD:
        fill_about(&m);
        break;
    case MSG_DENIED:
        snprintf(m.code, sizeof m.code, "version");
        snprintf(m.text, sizeof m.text, "this coordinator speaks version 1 only");
        break;
    case MSG_DECLINE:
        m.round = 8;
        snprintf(m.code, sizeof m.code, "trainer-not-finite");
        break;
    case MSG_GREET:
        break;
    }
    return m;
}

static void assert_blobs_equal(const struct buf *a, const struct buf *b)
{
    assert_true(bytes_equal(buf_bytes(a), buf_bytes(b)));
}

static void assert_same(const struct msg *a, const struct msg *b)
{
    struct msg x = *a, y = *b;
    assert_blobs_equal(&x.head, &y.head);
    assert_blobs_equal(&x.receipt, &y.receipt);
    assert_blobs_equal(&x.refusal, &y.refusal);
    assert_int_equal(x.cid_count, y.cid_count);
    for (size_t i = 0; i < x.cid_count; i++)
        assert_true(cid_equal(&x.cids[i], &y.cids[i]));
    assert_string_equal(x.text, y.text);
    assert_int_equal(x.type, y.type);
    assert_int_equal(x.version, y.version);
    assert_true(cid_equal(&x.study, &y.study) && cid_equal(&x.record, &y.record));
    assert_true(cid_equal(&x.plan, &y.plan) && cid_equal(&x.roster, &y.roster));
    assert_true(cid_equal(&x.prev, &y.prev) && cid_equal(&x.base, &y.base));
    assert_true(cid_equal(&x.site_record, &y.site_record));
    assert_true(x.sequence == y.sequence && x.round == y.round && x.token_ms == y.token_ms);
    assert_true(x.has_boot == y.has_boot && x.site == y.site && x.exchange == y.exchange);
    assert_true(x.least == y.least && x.most == y.most && x.agreed == y.agreed);
    assert_int_equal(x.retry_ms, y.retry_ms);
    assert_memory_equal(x.boot, y.boot, MSG_BOOT_BYTES);
    assert_memory_equal(x.welcome_boot, y.welcome_boot, MSG_BOOT_BYTES);
    assert_string_equal(x.rule, y.rule);
    assert_string_equal(x.token, y.token);
    assert_string_equal(x.code, y.code);
}

static struct buf encoded(const struct msg *m)
{
    struct err err = {0};
    struct buf out = buf_new(0);
    if (msg_encode(m, &out, &err) != 0)
        fail_msg("%s", err.text);
    return out;
}

static void test_every_type_comes_back_with_all_its_fields(void **state)
{
    (void)state;
    for (int type = MSG_HELLO; type <= MSG_DECLINE; type++) {
        struct err err = {0};
        struct msg m = full((enum msg_type)type), back;
        struct buf wire = encoded(&m);
        if (msg_decode(buf_bytes(&wire), &back, &err) != 0)
            fail_msg("%s", err.text);
        assert_same(&m, &back);
        buf_fini(&wire);
        msg_fini(&back);
        msg_fini(&m);
    }
}

/* Without optional fields and boot id. */
static void test_a_bare_message_comes_back(void **state)
{
    (void)state;
    struct msg m, back;
    msg_init(&m, MSG_HELLO);
    m.study = some_cid("study");
    m.least = m.most = 1;
    struct buf wire = encoded(&m);
    assert_int_equal(msg_decode(buf_bytes(&wire), &back, NULL), 0);
    assert_false(back.has_boot);
    assert_true(cid_is_none(&back.site_record));
    assert_same(&m, &back);
    buf_fini(&wire);
    msg_fini(&back);
    msg_fini(&m);
}

/* A block of memory of exactly this size, so that reading past its end is seen by ASan. */
static int decode_exact(const uint8_t *data, size_t size, struct msg *out, struct err *err)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, data, size);
    int rc = msg_decode(bytes_of(copy, size), out, err);
    free(copy);
    return rc;
}

/* What is refused may be a decline, which no record stands for. */
static void test_a_refusal_may_be_about_no_record(void **state)
{
    (void)state;
    struct msg m = full(MSG_REFUSED), back;
    m.record = (struct cid){.size = 0};
    struct buf wire = encoded(&m);
    assert_int_equal(msg_decode(buf_bytes(&wire), &back, NULL), 0);
    assert_true(cid_is_none(&back.record));
    assert_same(&m, &back);
    buf_fini(&wire);
    msg_fini(&back);
    msg_fini(&m);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    for (int type = MSG_HELLO; type <= MSG_DECLINE; type++) {
        struct msg m = full((enum msg_type)type), back;
        struct buf wire = encoded(&m);
        for (size_t size = 0; size < wire.size; size++)
            if (decode_exact(wire.data, size, &back, NULL) == 0)
                fail_msg("%s of %zu bytes read from %zu", msg_type_name(m.type), wire.size, size);
        buf_fini(&wire);
        msg_fini(&m);
    }
}

/* Whatever still decodes is a message that can be written and read again. */
static void check_flipped(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct msg m, back;
    int rc = decode_exact(data, size, &m, &err);
    if (rc != 0) {
        assert_true(rc == ERR_MALFORMED || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED);
        assert_int_equal(err.code, rc);
        return;
    }
    struct buf wire = encoded(&m);
    assert_int_equal(msg_decode(buf_bytes(&wire), &back, NULL), 0);
    assert_same(&m, &back);
    buf_fini(&wire);
    msg_fini(&back);
    msg_fini(&m);
}

static void test_every_flipped_bit_is_refused_or_makes_another_valid_message(void **state)
{
    (void)state;
    for (int type = MSG_HELLO; type <= MSG_DECLINE; type++) {
        struct msg m = full((enum msg_type)type);
        buf_clear(&m.refusal); /* opaque bytes: a hundred of them show what thousands would */
        m.head.size = m.head.size > 130 ? 130 : m.head.size;
        struct buf wire = encoded(&m);
        for (size_t i = 0; i < wire.size; i++)
            for (int bit = 0; bit < 9; bit++) {
                uint8_t mask = (uint8_t)(bit == 8 ? 0xff : 1 << bit);
                wire.data[i] ^= mask;
                check_flipped(wire.data, wire.size);
                wire.data[i] ^= mask;
            }
        buf_fini(&wire);
        msg_fini(&m);
    }
}

static void test_random_bytes_never_crash(void **state)
{
    (void)state;
    uint8_t *noise = stream_bytes("colmeia-msg", 1u << 20);
    for (size_t i = 0; i + 64 < 1u << 20; i += 61)
        check_flipped(noise + i, noise[i] % 64);
    free(noise);
}

/* --- messages by hand --- */

static void put_varint(struct buf *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_append_byte(b, (uint8_t)(value | 0x80));
    buf_append_byte(b, (uint8_t)value);
}

static void put_number(struct buf *b, uint32_t field, uint64_t value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(b, value);
}

static void put_bytes(struct buf *b, uint32_t field, struct bytes value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(b, value.size);
    buf_append(b, value.data, value.size);
}

static void put_cid(struct buf *b, uint32_t field)
{
    struct cid c = some_cid("by hand");
    put_bytes(b, field, bytes_of(c.bytes, c.size));
}

/* An envelope around `body`. */
static struct buf wrap(uint32_t type, const struct buf *body)
{
    struct buf b = buf_new(1u << 20);
    put_number(&b, 1, MSG_VERSION);
    put_cid(&b, 2);
    put_number(&b, 3, 1);
    put_bytes(&b, type, buf_bytes(body));
    assert_int_equal(b.failed, 0);
    return b;
}

/* Decodes hand-made bytes, which must give `code` and a sentence with `words`. */
static void expect(struct buf *wire, int code, const char *words)
{
    struct err err = {0};
    struct msg m;
    int rc = decode_exact(wire->data, wire->size, &m, &err);
    if (rc != code || (code != 0 && strstr(err.text, words) == NULL))
        fail_msg("%s: %s instead", words, rc == 0 ? "accepted" : err.text);
    if (rc == 0)
        msg_fini(&m);
    buf_fini(wire);
}

static void expect_body(uint32_t type, struct buf *body, int code, const char *words)
{
    struct buf wire = wrap(type, body);
    buf_fini(body);
    expect(&wire, code, words);
}

static struct buf submit_body(void)
{
    struct buf body = buf_new(1u << 20);
    put_number(&body, 1, 3);
    put_cid(&body, 2);
    return body;
}

static void test_fields_that_do_not_belong_are_refused(void **state)
{
    (void)state;
    struct buf body = submit_body();
    expect_body(MSG_SUBMIT, &body, 0, "the hand-made message itself");
    body = submit_body();
    put_number(&body, 3, 0);
    expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "unknown field 3");
    body = submit_body();
    put_number(&body, 536870911, 1); /* the largest number a field may have */
    expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "unknown field 536870911");
    body = submit_body();
    put_number(&body, 0, 1); /* which no field may have */
    expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "unknown field 0");
    body = submit_body();
    put_number(&body, 1, 4);
    expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "round stands twice");
    body = submit_body();
    expect_body(25, &body, ERR_MALFORMED, "unknown field 25");
}

static void test_wrong_wire_types_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t key;
        const char *why;
    } table[] = {
        {1 << 3 | 2, "a number as bytes"},    {1 << 3 | 1, "a number as 64 fixed bits"},
        {1 << 3 | 5, "as 32 fixed bits"},     {1 << 3 | 3, "a group begins"},
        {1 << 3 | 4, "a group ends"},         {1 << 3 | 6, "a wire type that is none"},
        {1 << 3 | 7, "another that is none"}, {2 << 3 | 0, "bytes as a number"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf body = buf_new(64);
        buf_append_byte(&body, table[i].key);
        buf_append(&body, "\0\0\0\0\0\0\0\0", 8);
        expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "wire type");
    }
}

static void test_numbers_have_one_form_and_fit(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int code;
        const char *why;
    } table[] = {
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 0, "the largest"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, ERR_MALFORMED, "round"}, /* 65 bits */
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, ERR_MALFORMED, "round"}, /* long */
        {"\x08\x81\x00", 3, ERR_MALFORMED, "round"},       /* not the shortest form */
        {"\x08\x80", 2, ERR_MALFORMED, "round"},           /* ends in the middle */
        {"\x08", 1, ERR_MALFORMED, "round"},               /* no value */
        {"\x88\x00\x01", 3, ERR_MALFORMED, "not a field"}, /* a key not in the shortest form */
        {"\x80", 1, ERR_MALFORMED, "not a field"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, ERR_MALFORMED, "not a field"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf body = buf_new(64);
        buf_append(&body, table[i].bytes, table[i].size);
        expect_body(MSG_WANT, &body, table[i].code, table[i].why);
    }
    struct buf body = buf_new(64);
    put_number(&body, 2, UINT64_C(1) << 32);
    expect_body(MSG_WAIT, &body, ERR_MALFORMED, "retry_ms has more than 32 bits");
}

static void test_lengths_past_the_end_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {37, 1000, UINT32_MAX, UINT64_C(1) << 62, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buf body = buf_new(256);
        put_varint(&body, 2 << 3 | WIRE_BYTES);
        put_varint(&body, lengths[i]);
        for (size_t n = 0; n < 36; n++)
            buf_append_byte(&body, 1);
        expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "longer than what is left");
    }
}

static void test_what_must_be_there_is_missed(void **state)
{
    (void)state;
    struct buf wire = buf_new(64), body = buf_new(64);
    expect(&wire, ERR_UNSUPPORTED, "version 0"); /* nothing at all */
    wire = buf_new(64);
    put_number(&wire, 1, MSG_VERSION);
    put_cid(&wire, 2);
    expect(&wire, ERR_MALFORMED, "no body");
    wire = buf_new(64);
    put_number(&wire, 1, MSG_VERSION);
    put_bytes(&wire, MSG_GREET, bytes_of("", 0));
    expect(&wire, ERR_MALFORMED, "study");
    expect_body(MSG_SUBMIT, &body, ERR_MALFORMED, "record");
    expect_body(MSG_TASK, &body, ERR_MALFORMED, "rule");
    expect_body(MSG_WELCOME, &body, ERR_MALFORMED, "boot");
    expect_body(MSG_ACCEPTED, &body, ERR_MALFORMED, "record");
    expect_body(MSG_REFUSED, &body, ERR_MALFORMED, "code");
    expect_body(MSG_DENIED, &body, ERR_MALFORMED, "code");
    expect_body(MSG_DECLINE, &body, ERR_MALFORMED, "code");
    expect_body(MSG_HELLO, &body, ERR_MALFORMED, "versions 0 to 0");
    put_number(&body, 1, 2);
    put_number(&body, 2, 1);
    expect_body(MSG_HELLO, &body, ERR_MALFORMED, "versions 2 to 1");
}

static void test_two_bodies_are_refused(void **state)
{
    (void)state;
    struct buf body = submit_body();
    struct buf wire = wrap(MSG_SUBMIT, &body);
    put_bytes(&wire, MSG_SUBMIT, buf_bytes(&body));
    expect(&wire, ERR_MALFORMED, "submit stands twice");
    wire = wrap(MSG_SUBMIT, &body);
    put_bytes(&wire, MSG_GREET, bytes_of("", 0));
    expect(&wire, ERR_MALFORMED, "greet stands twice");
    buf_fini(&body);
}

static void test_another_version_is_told_from_garbage(void **state)
{
    (void)state;
    struct buf wire = buf_new(64);
    put_number(&wire, 1, 2);
    put_cid(&wire, 2);
    put_bytes(&wire, MSG_GREET, bytes_of("", 0));
    expect(&wire, ERR_UNSUPPORTED, "version 2");
}

static void test_values_are_checked_into_their_types(void **state)
{
    (void)state;
    char long_text[MSG_TEXT_MAX], long_code[MSG_CODE_MAX]; /* one byte too long, each */
    memset(long_text, 'x', sizeof long_text);
    memset(long_code, 'x', sizeof long_code);
    const struct {
        uint32_t field;
        const char *value;
        size_t size;
        int code;
        const char *words;
    } table[] = {
        {1, "late", 4, 0, "a code"},
        {1, long_code, MSG_CODE_MAX, ERR_LIMIT, "code"},
        {1, "two words", 9, ERR_MALFORMED, "code"},
        {1, "a\nb", 3, ERR_MALFORMED, "code"},
        {1, "\xc3\xa9", 2, ERR_MALFORMED, "code"}, /* UTF-8, but not a word */
        {1, "a\0b", 3, ERR_MALFORMED, "code"},     /* C would stop at the NUL */
        {2, "caf\xc3\xa9", 5, 0, "a sentence"},
        {2, long_text, MSG_TEXT_MAX, ERR_LIMIT, "sentence"},
        {2, "\xff", 1, ERR_MALFORMED, "UTF-8"},
        {2, "\xc3", 1, ERR_MALFORMED, "UTF-8"},         /* cut */
        {2, "\xc0\xaf", 2, ERR_MALFORMED, "UTF-8"},     /* a slash in too long a form */
        {2, "\xed\xa0\x80", 3, ERR_MALFORMED, "UTF-8"}, /* half a surrogate pair */
        {2, "a\0b", 3, ERR_MALFORMED, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf body = buf_new(2048);
        if (table[i].field != 1)
            put_bytes(&body, 1, bytes_of_text("code"));
        put_bytes(&body, table[i].field, bytes_of(table[i].value, table[i].size));
        expect_body(MSG_DENIED, &body, table[i].code, table[i].words);
    }
}

static void test_cids_and_evidence_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *why;
    } cids[] = {
        {"", 0, "empty"},
        {"\x01\x71\x12\x20", 4, "no digest"},
        {"\x02\x71\x12\x02"
         "ab",
         6, "another version"},
        {"garbage", 7, "garbage"},
    };
    for (size_t i = 0; i < sizeof cids / sizeof cids[0]; i++) {
        struct buf body = buf_new(256);
        struct err err = {0};
        struct msg m;
        put_bytes(&body, 2, bytes_of(cids[i].bytes, cids[i].size));
        struct buf wire = wrap(MSG_SUBMIT, &body);
        if (msg_decode(buf_bytes(&wire), &m, &err) == 0)
            fail_msg("%s", cids[i].why);
        assert_non_null(strstr(err.text, "submit message: record: "));
        buf_fini(&wire);
        buf_fini(&body);
    }
    struct buf body = buf_new(8192);
    uint8_t blob[MSG_EVIDENCE_MAX + 1] = {0};
    put_bytes(&body, 1, bytes_of(blob, sizeof blob));
    expect_body(MSG_DONE, &body, ERR_LIMIT, "head");
}

/* Attack 34. */
static void test_one_byte_over_64_kib_is_refused_before_it_is_read(void **state)
{
    (void)state;
    struct buf wire = buf_new(MSG_BYTES_MAX + 1);
    memset(buf_extend(&wire, MSG_BYTES_MAX + 1), 0xff, MSG_BYTES_MAX + 1);
    struct buf fits = buf_new(MSG_BYTES_MAX);
    memset(buf_extend(&fits, MSG_BYTES_MAX), 0xff, MSG_BYTES_MAX);
    expect(&wire, ERR_LIMIT, "65537 bytes");
    expect(&fits, ERR_MALFORMED, "not a field");
}

/* Attack 35, wide: 30,000 empty items are 60 kB on the wire and would be megabytes in memory. */
static void test_a_wide_message_is_refused_before_memory_is_spent(void **state)
{
    (void)state;
    struct buf body = buf_new(1u << 20);
    put_cid(&body, 2);
    for (int i = 0; i < 30000; i++)
        put_bytes(&body, 3, bytes_of("", 0));
    expect_body(MSG_LIST, &body, ERR_LIMIT, "fields");
    body = buf_new(1u << 20);
    put_cid(&body, 2);
    for (int i = 0; i < MSG_LIST_MAX + 1; i++)
        put_cid(&body, 3);
    expect_body(MSG_LIST, &body, ERR_LIMIT, "CIDs");
}

/* Attack 35, deep: as many messages in one another as 64 KiB hold. */
static void test_a_deep_message_is_refused_at_its_first_level(void **state)
{
    (void)state;
    struct buf wire = buf_new(1u << 20);
    uint8_t room[MSG_BYTES_MAX];
    size_t at = sizeof room;
    while (at > 16) { /* from the inside out */
        struct buf head = buf_new(16);
        put_varint(&head, 3 << 3 | WIRE_BYTES);
        put_varint(&head, sizeof room - at);
        at -= head.size;
        memcpy(room + at, head.data, head.size);
        buf_fini(&head);
    }
    put_bytes(&wire, MSG_SUBMIT, bytes_of(room + at, sizeof room - at - 8));
    expect(&wire, ERR_MALFORMED, "submit: unknown field 3");
}

static void test_a_full_list_fits_and_one_more_does_not(void **state)
{
    (void)state;
    struct msg m, back;
    struct err err;
    struct buf wire = buf_new(0);
    msg_init(&m, MSG_LIST);
    m.study = some_cid("study");
    m.record = some_cid("record");
    m.has_boot = true;
    m.sequence = m.round = UINT64_MAX;
    add_list(&m, MSG_LIST_MAX);
    assert_int_equal(msg_encode(&m, &wire, NULL), 0);
    assert_int_equal(msg_decode(buf_bytes(&wire), &back, NULL), 0);
    assert_same(&m, &back);
    msg_fini(&back);
    msg_fini(&m);
    add_list(&m, MSG_LIST_MAX + 1);
    assert_int_equal(msg_encode(&m, &wire, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "1401 CIDs"));
    assert_int_equal(wire.size > 50000, true); /* what was there stays */
    buf_fini(&wire);
    msg_fini(&m);
}

static void test_too_long_a_blob_is_not_sent(void **state)
{
    (void)state;
    struct msg m;
    struct buf wire = buf_new(0);
    msg_init(&m, MSG_ACCEPTED);
    m.receipt = buf_new(MSG_EVIDENCE_MAX + 1);
    fill_blob(&m.receipt, MSG_EVIDENCE_MAX + 1);
    assert_int_equal(msg_encode(&m, &wire, NULL), ERR_LIMIT);
    buf_fini(&wire);
    msg_fini(&m);
}

static void test_a_failed_decode_leaves_the_target_alone(void **state)
{
    (void)state;
    struct msg m;
    memset(&m, 0x5a, sizeof m);
    assert_int_equal(msg_decode(bytes_of_text("nonsense"), &m, NULL), ERR_MALFORMED);
    for (size_t i = 0; i < sizeof m; i++)
        assert_int_equal(((uint8_t *)&m)[i], 0x5a);
}

static void test_types_have_names(void **state)
{
    (void)state;
    assert_string_equal(msg_type_name(MSG_HELLO), "hello");
    assert_string_equal(msg_type_name(MSG_DECLINE), "decline");
    assert_string_equal(msg_type_name((enum msg_type)0), "unknown");
    assert_string_equal(msg_type_name((enum msg_type)2), "unknown");
    assert_string_equal(msg_type_name((enum msg_type)25), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_comes_back_with_all_its_fields),
        cmocka_unit_test(test_a_bare_message_comes_back),
        cmocka_unit_test(test_a_refusal_may_be_about_no_record),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_refused_or_makes_another_valid_message),
        cmocka_unit_test(test_random_bytes_never_crash),
        cmocka_unit_test(test_fields_that_do_not_belong_are_refused),
        cmocka_unit_test(test_wrong_wire_types_are_refused),
        cmocka_unit_test(test_numbers_have_one_form_and_fit),
        cmocka_unit_test(test_lengths_past_the_end_are_refused),
        cmocka_unit_test(test_what_must_be_there_is_missed),
        cmocka_unit_test(test_two_bodies_are_refused),
        cmocka_unit_test(test_another_version_is_told_from_garbage),
        cmocka_unit_test(test_values_are_checked_into_their_types),
        cmocka_unit_test(test_cids_and_evidence_are_checked),
        cmocka_unit_test(test_one_byte_over_64_kib_is_refused_before_it_is_read),
        cmocka_unit_test(test_a_wide_message_is_refused_before_memory_is_spent),
        cmocka_unit_test(test_a_deep_message_is_refused_at_its_first_level),
        cmocka_unit_test(test_a_full_list_fits_and_one_more_does_not),
        cmocka_unit_test(test_too_long_a_blob_is_not_sent),
        cmocka_unit_test(test_a_failed_decode_leaves_the_target_alone),
        cmocka_unit_test(test_types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
