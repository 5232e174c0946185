/* SPDX-License-Identifier: Apache-2.0 */
/* Records are signed here, with keys made from seeds, so that each fault can be made on purpose. */
#include "content/ipns.h"

#include "base/cbor.h"
#include "base/key.h"
#include "base/varint.h"
#include "tests/scratch.h"

#define NOW      1700000000 /* 2023-11-14T22:13:20Z */
#define VALIDITY "2123-08-14T12:00:00.123456789Z"
#define VALUE    "/ipfs/bafkqaaa"

/* What goes into a record; zeroed but for what a row changes: a good V2-only record. */
struct recipe {
    const char *value, *validity; /* NULL: the good ones */
    uint64_t sequence, ttl, validity_type;
    bool old_fields, other_key, public_key, other_public_key;
    const char *old_value, *old_validity;
    uint64_t old_sequence_off, old_ttl_off, old_type_off; /* added to what was signed */
    bool no_signature, no_data, break_signature, extra_data_field, missing_data_field, twice,
        unknown_field, wrong_wire_type, keys_out_of_order, short_signature;
    size_t padding; /* bytes of an extra data field's value */
};

static struct key *key_of(uint8_t seed)
{
    uint8_t bytes[KEY_BYTES];
    struct key *k;
    memset(bytes, seed, sizeof bytes);
    assert_int_equal(key_from_seed(KEY_ED25519, bytes, &k, NULL), 0);
    return k;
}

static struct ipns_name name_of(uint8_t seed)
{
    struct key *k = key_of(seed);
    struct key_public public = key_public(k);
    struct ipns_name n;
    memcpy(n.key, public.bytes, sizeof n.key);
    key_free(k);
    return n;
}

static void put_field(struct buf *out, unsigned field, struct bytes value)
{
    varint_put(out, field << 3 | 2);
    varint_put(out, value.size);
    buf_append(out, value.data, value.size);
}

static void put_number(struct buf *out, unsigned field, uint64_t value)
{
    varint_put(out, field << 3);
    varint_put(out, value);
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static struct buf data_of(const struct recipe *r)
{
    struct buf d = buf_new(20u << 10);
    bool extra = r->extra_data_field || r->padding > 0;
    cbor_put_map(&d, 5 + (extra ? 1u : 0) - (r->missing_data_field ? 1u : 0));
    if (r->keys_out_of_order) {
        cbor_put_text(&d, "Value");
        cbor_put_bytes(&d, bytes_of_text(or_else(r->value, VALUE)));
    }
    cbor_put_text(&d, "TTL");
    cbor_put_uint(&d, r->ttl);
    if (extra) {
        char text[12u << 10] = "";
        memset(text, 'x', r->padding);
        cbor_put_text(&d, "_own");
        cbor_put_text(&d, text);
    }
    if (!r->keys_out_of_order) {
        cbor_put_text(&d, "Value");
        cbor_put_bytes(&d, bytes_of_text(or_else(r->value, VALUE)));
    }
    cbor_put_text(&d, "Sequence");
    cbor_put_uint(&d, r->sequence);
    cbor_put_text(&d, "Validity");
    cbor_put_bytes(&d, bytes_of_text(or_else(r->validity, VALIDITY)));
    if (!r->missing_data_field) {
        cbor_put_text(&d, "ValidityType");
        cbor_put_uint(&d, r->validity_type);
    }
    return d;
}

static void put_signature(struct buf *out, const struct recipe *r, struct bytes data)
{
    struct key *k = key_of(r->other_key ? 2 : 1);
    struct buf message = buf_new(20u << 10);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    buf_append_text(&message, "ipns-signature:");
    buf_append(&message, data.data, data.size);
    assert_int_equal(key_sign(k, buf_bytes(&message), signature, NULL), 0);
    signature[7] ^= r->break_signature ? 1 : 0;
    put_field(out, 8, bytes_of(signature, sizeof signature - (r->short_signature ? 1 : 0)));
    buf_fini(&message);
    key_free(k);
}

static void put_public_key(struct buf *out, uint8_t seed)
{
    uint8_t bytes[36] = {8, 1, 0x12, 0x20};
    struct ipns_name n = name_of(seed);
    memcpy(bytes + 4, n.key, 32);
    put_field(out, 7, bytes_of(bytes, sizeof bytes));
}

static struct buf make(const struct recipe *r)
{
    struct buf out = buf_new(40u << 10);
    struct buf data = data_of(r);
    if (r->old_fields) {
        put_field(&out, 1, bytes_of_text(or_else(r->old_value, or_else(r->value, VALUE))));
        put_field(&out, 2, bytes_of_text("nobody looks at this"));
        put_number(&out, 3, r->validity_type + r->old_type_off);
        put_field(&out, 4, bytes_of_text(or_else(r->old_validity, or_else(r->validity, VALIDITY))));
        put_number(&out, 5, r->sequence + r->old_sequence_off);
        put_number(&out, 6, r->ttl + r->old_ttl_off);
    }
    if (r->public_key || r->other_public_key)
        put_public_key(&out, r->other_public_key ? 2 : 1);
    if (!r->no_signature)
        put_signature(&out, r, buf_bytes(&data));
    if (!r->no_data)
        put_field(&out, 9, buf_bytes(&data));
    if (r->twice)
        put_field(&out, 9, buf_bytes(&data));
    if (r->unknown_field)
        put_number(&out, 10, 1);
    if (r->wrong_wire_type)
        put_number(&out, 1, 1);
    buf_fini(&data);
    assert_int_equal(buf_check(&out, NULL), 0);
    return out;
}

static int verify(const struct recipe *r, struct ipns_record *out, struct err *err)
{
    struct ipns_name n = name_of(1);
    struct buf record = make(r);
    int rc = ipns_record_verify(&n, buf_bytes(&record), NOW, out, err);
    buf_fini(&record);
    return rc;
}

/* --- names --- */

/* Name and key of the IPNS specification's vectors; the did:key form of it holds the same 32 bytes.
 */
static void test_a_name_is_known_in_every_form(void **state)
{
    (void)state;
    static const char base36[] = "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f";
    char text[IPNS_NAME_TEXT_MAX], other[CID_TEXT_MAX];
    struct ipns_name first, again;
    struct cid cid;
    assert_int_equal(ipns_name_parse(base36, &first, NULL), 0);
    assert_string_equal(ipns_name_format(&first, text), base36);
    assert_int_equal(cid_parse(base36, &cid, NULL), 0);
    static const char bases[] = "bzukf";
    for (size_t i = 0; i < sizeof bases - 1; i++) {
        cid_format_base(&cid, bases[i], other);
        assert_int_equal(ipns_name_parse(other, &again, NULL), 0);
        assert_memory_equal(again.key, first.key, 32);
    }
}

/* Peer id and CID of the same key, from libp2p's peer id specification. */
static void test_a_peer_id_is_the_same_name(void **state)
{
    (void)state;
    struct ipns_name a, b;
    struct cid cid;
    char text[IPNS_NAME_TEXT_MAX];
    assert_int_equal(
        ipns_name_parse("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", &a, NULL), 0);
    assert_int_equal(cid_parse(ipns_name_format(&a, text), &cid, NULL), 0);
    assert_int_equal(cid_codec(&cid), CID_LIBP2P_KEY);
    assert_int_equal(ipns_name_parse(text, &b, NULL), 0);
    assert_memory_equal(a.key, b.key, 32);
}

static void test_what_is_no_ed25519_name_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"", ERR_MALFORMED},
        {"nonsense", ERR_MALFORMED},
        {"k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103", ERR_MALFORMED}, /* cut */
        {"bafkqaaa", ERR_MALFORMED}, /* a block, not a key */
        {"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", ERR_MALFORMED},
        {"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", ERR_UNSUPPORTED}, /* RSA, hashed */
        {"k2k4r8kf8tw78b9wlf0hzxzdlytsqjmpaagd6zqv7hptkkjdz8d2dgti", ERR_UNSUPPORTED}, /* as CID */
        {"16Uiu2HAkvWeDgTtAnQ92ZbXBNUk4DGmXmcjbMeFTmfMTnbuAUwLn", ERR_UNSUPPORTED}, /* secp256k1 */
        {"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S", ERR_MALFORMED},     /* cut */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ipns_name n;
        struct err err = {0};
        int rc = ipns_name_parse(rows[i].text, &n, &err);
        if (rc != rows[i].code)
            fail_msg("%s: %d %s", rows[i].text, rc, err.text);
    }
}

static void test_a_name_of_any_length_is_no_overrun(void **state)
{
    (void)state;
    char text[1000];
    struct ipns_name n;
    for (size_t size = 0; size < sizeof text - 1; size++) {
        memset(text, '1', size);
        text[size] = '\0';
        assert_int_not_equal(ipns_name_parse(text, &n, NULL), 0);
        memset(text, 'k', size);
        assert_int_not_equal(ipns_name_parse(text, &n, NULL), 0);
    }
}

/* --- records --- */

static void test_a_good_record_says_what_was_signed(void **state)
{
    (void)state;
    const struct recipe rows[] = {
        {.sequence = 7, .ttl = 300000000000},
        {.sequence = 7, .ttl = 300000000000, .old_fields = true},
        {.sequence = 7, .ttl = 300000000000, .public_key = true},
        {.sequence = 7, .ttl = 300000000000, .extra_data_field = true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ipns_record r;
        struct err err = {0};
        if (verify(&rows[i], &r, &err) != 0)
            fail_msg("row %zu: %s", i, err.text);
        assert_string_equal(r.value, VALUE);
        assert_int_equal(r.sequence, 7);
        assert_int_equal(r.ttl_seconds, 300);
        assert_int_equal(r.valid_until, 4847688000); /* date -d 2123-08-14T12:00:00Z +%s */
    }
}

/* The least record of the specification: 0x42 0x40 signature, 0x4a length data. */
static void test_the_least_record_is_two_fields(void **state)
{
    (void)state;
    struct recipe r = {0};
    struct buf record = make(&r);
    assert_int_equal(record.data[0], 0x42);
    assert_int_equal(record.data[1], 0x40);
    assert_int_equal(record.data[66], 0x4a);
    buf_fini(&record);
}

static void test_a_record_that_is_not_right_is_refused(void **state)
{
    (void)state;
    const struct {
        struct recipe r;
        int code;
        const char *why;
    } rows[] = {
        {{.break_signature = true}, ERR_DENIED, "signature does not verify"},
        {{.other_key = true}, ERR_DENIED, "signature does not verify"}, /* of another name */
        {{.other_key = true, .other_public_key = true}, ERR_DENIED, "another name"},
        {{.other_public_key = true}, ERR_DENIED, "another name"},
        {{.validity = "2023-11-14T22:13:20Z"}, ERR_DENIED, "expired"}, /* now */
        {{.validity = "1999-01-01T00:00:00.5Z"}, ERR_DENIED, "expired"},
        {{.old_fields = true, .old_value = "/ipfs/other"}, ERR_DENIED, "old value"},
        {{.old_fields = true, .old_validity = "2124-08-14T12:00:00Z"}, ERR_DENIED, "old validity"},
        {{.old_fields = true, .old_sequence_off = 1}, ERR_DENIED, "old sequence"},
        {{.old_fields = true, .old_ttl_off = 1}, ERR_DENIED, "old ttl"},
        {{.old_fields = true, .old_type_off = 1}, ERR_DENIED, "old validity type"},
        {{.no_signature = true}, ERR_MALFORMED, "without signatureV2"},
        {{.no_signature = true, .old_fields = true}, ERR_MALFORMED, "without signatureV2"},
        {{.no_data = true}, ERR_MALFORMED, "without data"},
        {{.short_signature = true}, ERR_MALFORMED, "signature of 63 bytes"},
        {{.twice = true}, ERR_MALFORMED, "there twice"},
        {{.unknown_field = true}, ERR_MALFORMED, "records do not have"},
        {{.wrong_wire_type = true}, ERR_MALFORMED, "wrong type"},
        {{.keys_out_of_order = true}, ERR_MALFORMED, "data: dag-cbor"},
        {{.missing_data_field = true}, ERR_MALFORMED, "five fields"},
        {{.validity_type = 1}, ERR_UNSUPPORTED, "type 1"},
        {{.padding = 11000}, ERR_LIMIT, "more than 10240"},
        {{.value = "ipfs/x"}, ERR_MALFORMED, "no path"},
        {{.value = ""}, ERR_MALFORMED, "no path"},
        {{.value = "/\xff"}, ERR_MALFORMED, "no path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ipns_record r = {.sequence = 99};
        struct err err = {0};
        int rc = verify(&rows[i].r, &r, &err);
        if (rc != rows[i].code || strstr(err.text, rows[i].why) == NULL)
            fail_msg("row %zu: expected %d %s, got %d %s", i, rows[i].code, rows[i].why, rc,
                     err.text);
        assert_int_equal(r.sequence, 99); /* untouched */
    }
}

static void test_times_are_read_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* as `date -d TEXT +%s` says; 0: refused */
    } rows[] = {
        {"2100-01-01T00:00:00Z", 4102444800},
        {"2100-02-28T23:59:59.999999999Z", 4107542399},
        {"2100-02-29T00:00:00Z", 0}, /* no leap year */
        {"2096-02-29T00:00:00Z", 3981312000},
        {"2096-12-31T23:59:59.1Z", 4007836799},
        {"9999-12-31T23:59:59Z", 253402300799},
        {"2100-01-01T00:00:00", 0},       /* no zone */
        {"2100-01-01T00:00:00+01:00", 0}, /* not in UTC */
        {"2100-01-01 00:00:00Z", 0},      /* a blank for the T */
        {"2100-01-01T00:00:00.Z", 0},     /* a fraction of nothing */
        {"2100-01-01T00:00:00.1234567890Z", 0} /* and of ten digits */,
        {"2100-13-01T00:00:00Z", 0},
        {"2100-00-01T00:00:00Z", 0},
        {"2100-01-32T00:00:00Z", 0},
        {"2100-01-01T24:00:00Z", 0},
        {"2100-01-01T00:60:00Z", 0},
        {"2100-01-01T00:00:60Z", 0},
        {"2100-1-01T00:00:00Z", 0},
        {"2100-01-01T00:00:00Zx", 0},
        {"x", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recipe recipe = {.validity = rows[i].text};
        struct ipns_record r = {0};
        int rc = verify(&recipe, &r, NULL);
        if (rc != (rows[i].seconds == 0 ? ERR_MALFORMED : 0) || r.valid_until != rows[i].seconds)
            fail_msg("%s: %d, %lld", rows[i].text, rc, (long long)r.valid_until);
    }
}

static void test_a_record_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct recipe recipe = {.old_fields = true, .public_key = true, .sequence = 300};
    struct ipns_name n = name_of(1);
    struct buf record = make(&recipe);
    for (size_t size = 0; size < record.size; size++) {
        uint8_t *exact = malloc(size + 1); /* a read past the end is seen by the sanitizer */
        struct ipns_record r;
        assert_non_null(exact);
        memcpy(exact, record.data, size);
        exact = realloc(exact, size > 0 ? size : 1);
        assert_int_not_equal(ipns_record_verify(&n, bytes_of(exact, size), NOW, &r, NULL), 0);
        free(exact);
    }
    buf_fini(&record);
}

/* Every bit of the record is either signed, or compared with what is signed, or the old signature
 * and its length (it may swallow a field that says no more than its default), which nobody reads.
 */
static void test_a_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct recipe recipe = {.old_fields = true, .public_key = true};
    struct ipns_name n = name_of(1);
    struct buf record = make(&recipe);
    size_t old = 2 + strlen(VALUE) + 1, old_end = old + 1 + strlen("nobody looks at this");
    for (size_t bit = 0; bit < record.size * 8; bit++) {
        struct ipns_record r;
        if (bit / 8 >= old && bit / 8 < old_end)
            continue;
        record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (ipns_record_verify(&n, buf_bytes(&record), NOW, &r, NULL) == 0)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_fini(&record);
}

/* --- in a store --- */

static int put(const struct recipe *r, int64_t now)
{
    struct ipns_name n = name_of(1);
    struct buf record = make(r);
    int rc = ipns_put(files_posix(), scratch, &n, buf_bytes(&record), now, NULL);
    buf_fini(&record);
    return rc;
}

static int get(int64_t now, struct ipns_record *out, struct err *err)
{
    struct ipns_name n = name_of(1);
    struct buf record = buf_new(IPNS_RECORD_BYTES_MAX);
    int rc = ipns_get(files_posix(), scratch, &n, now, &record, out, err);
    if (rc == 0)
        assert_int_equal(ipns_record_verify(&n, buf_bytes(&record), now, out, NULL), 0);
    else
        assert_int_equal(record.size, 0);
    buf_fini(&record);
    return rc;
}

static void test_a_newer_record_takes_the_place_and_an_older_one_does_not(void **state)
{
    (void)state;
    struct ipns_record r;
    static const struct {
        uint64_t sequence;
        const char *validity;
        int code;
        uint64_t then; /* the sequence that is there afterwards */
    } rows[] = {
        {5, "2100-01-01T00:00:00Z", 0, 5},
        {5, "2100-01-01T00:00:00Z", 0, 5}, /* the same again */
        {4, "2200-01-01T00:00:00Z", ERR_EXISTS, 5},
        {5, "2099-01-01T00:00:00Z", ERR_EXISTS, 5},
        {5, "2100-01-02T00:00:00Z", 0, 5},
        {6, "2099-01-01T00:00:00Z", 0, 6},
        {7, "2001-01-01T00:00:00Z", ERR_DENIED, 6}, /* expired */
    };
    assert_int_equal(get(NOW, &r, NULL), ERR_NOTFOUND);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recipe recipe = {.sequence = rows[i].sequence, .validity = rows[i].validity};
        if (put(&recipe, NOW) != rows[i].code)
            fail_msg("row %zu", i);
        assert_int_equal(get(NOW, &r, NULL), 0);
        assert_int_equal(r.sequence, rows[i].then);
    }
}

static void test_an_expired_record_is_not_given_but_still_bars_older_ones(void **state)
{
    (void)state;
    struct recipe first = {.sequence = 9, .validity = "2050-01-01T00:00:00Z"};
    struct recipe replay = {.sequence = 8}, next = {.sequence = 10};
    struct ipns_record r;
    struct err err = {0};
    int64_t later = 4000000000;
    assert_int_equal(put(&first, NOW), 0);
    assert_int_equal(get(later, &r, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "expired"));
    assert_int_equal(put(&replay, later), ERR_EXISTS);
    assert_int_equal(put(&next, later), 0);
    assert_int_equal(get(later, &r, NULL), 0);
    assert_int_equal(r.sequence, 10);
}

static void test_a_damaged_file_is_named_and_can_be_replaced(void **state)
{
    (void)state;
    struct recipe recipe = {.sequence = 1};
    struct ipns_name n = name_of(1);
    char text[IPNS_NAME_TEXT_MAX], path[120];
    struct ipns_record r;
    struct err err = {0};
    assert_int_equal(put(&recipe, NOW), 0);
    snprintf(path, sizeof path, "ipns/%s", ipns_name_format(&n, text));
    write_file(in_scratch(path), bytes_of_text("rubbish"));
    assert_int_equal(get(NOW, &r, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, text));
    assert_int_equal(put(&recipe, NOW), 0);
    assert_int_equal(get(NOW, &r, NULL), 0);
}

static void test_nothing_is_kept_where_the_disk_fails(void **state)
{
    (void)state;
    struct recipe recipe = {.sequence = 1};
    struct ipns_name n = name_of(1);
    struct ipns_record r;
    struct buf record = make(&recipe);
    for (unsigned at = 1;; at++) {
        struct flaky f;
        flaky_init(&f);
        f.fail_at = at;
        if (ipns_put(&f.table, scratch, &n, buf_bytes(&record), NOW, NULL) == 0)
            break;
        int rc = get(NOW, &r, NULL); /* whole or not at all */
        assert_true(rc == ERR_NOTFOUND || rc == 0);
        assert_true(at < 50);
    }
    buf_fini(&record);
    assert_int_equal(get(NOW, &r, NULL), 0);
}

static int setup(void **state)
{
    return key_setup(NULL) != 0 ? -1 : scratch_setup(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_name_is_known_in_every_form),
        TEST(test_a_peer_id_is_the_same_name),
        TEST(test_what_is_no_ed25519_name_is_refused),
        TEST(test_a_name_of_any_length_is_no_overrun),
        TEST(test_a_good_record_says_what_was_signed),
        TEST(test_the_least_record_is_two_fields),
        TEST(test_a_record_that_is_not_right_is_refused),
        TEST(test_times_are_read_to_the_letter),
        TEST(test_a_record_cut_anywhere_is_refused),
        TEST(test_a_flipped_bit_is_noticed),
        TEST(test_a_newer_record_takes_the_place_and_an_older_one_does_not),
        TEST(test_an_expired_record_is_not_given_but_still_bars_older_ones),
        TEST(test_a_damaged_file_is_named_and_can_be_replaced),
        TEST(test_nothing_is_kept_where_the_disk_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
