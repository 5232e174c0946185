/* SPDX-License-Identifier: Apache-2.0 */
#include "content/ipns.h"

#include <stdio.h>

#include "base/cbor.h"
#include "base/key.h"
#include "base/multibase.h"
#include "base/text.h"
#include "base/varint.h"

#define SIGNED_PREFIX "ipns-signature:"
#define NANOSECONDS   1000000000ull

/* An Ed25519 public key as libp2p writes it: protobuf {1: type 1, 2: 32 bytes}. */
#define LIBP2P_KEY_BYTES (4 + KEY_BYTES)
static const uint8_t libp2p_ed25519[4] = {0x08, 0x01, 0x12, 0x20};

/* --- names --- */

/* `digest`: what the name's identity multihash holds. */
static int take_key(struct bytes digest, struct ipns_name *out, struct err *err)
{
    if (digest.size < sizeof libp2p_ed25519 || digest.data[0] != libp2p_ed25519[0])
        return err_set(err, ERR_MALFORMED, "IPNS name: no libp2p key");
    if (digest.data[1] != libp2p_ed25519[1])
        return err_set(err, ERR_UNSUPPORTED, "IPNS name: a key that is not Ed25519");
    if (digest.size != LIBP2P_KEY_BYTES ||
        memcmp(digest.data, libp2p_ed25519, sizeof libp2p_ed25519) != 0)
        return err_set(err, ERR_MALFORMED, "IPNS name: no Ed25519 key of %d bytes", KEY_BYTES);
    memcpy(out->key, digest.data + sizeof libp2p_ed25519, KEY_BYTES);
    return 0;
}

static int take_cid(const struct cid *cid, struct ipns_name *out, struct err *err)
{
    struct bytes digest;
    if (cid_codec(cid) != CID_LIBP2P_KEY && cid->bytes[0] == 1)
        return err_set(err, ERR_MALFORMED, "IPNS name: a CID of codec 0x%x, not libp2p-key (0x%x)",
                       cid_codec(cid), CID_LIBP2P_KEY);
    if (!cid_identity(cid, &digest))
        return err_set(err, ERR_UNSUPPORTED,
                       "IPNS name: the hash of a key (RSA); only Ed25519 names are known");
    return take_key(digest, out, err);
}

/* A peer id is a multihash in base58btc without a prefix: as a CIDv1's behind version and codec. */
static int parse_peer_id(const char *text, struct cid *out, struct err *err)
{
    struct buf bytes = buf_new(2 + CID_DIGEST_MAX);
    buf_append_byte(&bytes, 1);
    buf_append_byte(&bytes, CID_LIBP2P_KEY);
    int rc = multibase_decode_base58(text, strlen(text), &bytes, err);
    if (rc == 0)
        rc = buf_check(&bytes, err);
    if (rc == 0)
        rc = cid_decode(buf_bytes(&bytes), out, err);
    buf_fini(&bytes);
    return rc;
}

int ipns_name_parse(const char *text, struct ipns_name *out, struct err *err)
{
    struct cid cid;
    size_t size = strnlen(text, CID_TEXT_MAX);
    if (size == CID_TEXT_MAX)
        return err_set(err, ERR_MALFORMED, "IPNS name: longer than %d characters",
                       CID_TEXT_MAX - 1);
    bool peer = text[0] == '1' || strncmp(text, "Qm", 2) == 0;
    int rc = peer ? parse_peer_id(text, &cid, err) : cid_parse(text, &cid, err);
    if (rc != 0)
        return err_wrap(err, rc, "IPNS name");
    return take_cid(&cid, out, err);
}

const char *ipns_name_format(const struct ipns_name *n, char out[IPNS_NAME_TEXT_MAX])
{
    uint8_t bytes[4 + LIBP2P_KEY_BYTES] = {1, CID_LIBP2P_KEY, CID_IDENTITY, LIBP2P_KEY_BYTES};
    struct buf text = buf_new(IPNS_NAME_TEXT_MAX - 1);
    memcpy(bytes + 4, libp2p_ed25519, sizeof libp2p_ed25519);
    memcpy(bytes + 4 + sizeof libp2p_ed25519, n->key, KEY_BYTES);
    multibase_encode('k', bytes_of(bytes, sizeof bytes), &text);
    snprintf(out, IPNS_NAME_TEXT_MAX, "%s", buf_text(&text));
    buf_fini(&text);
    return out;
}

/* --- the envelope: protobuf --- */

enum field {
    VALUE = 1,
    SIGNATURE_V1,
    VALIDITY_TYPE,
    VALIDITY,
    SEQUENCE,
    TTL,
    PUBLIC_KEY,
    SIGNATURE_V2,
    DATA,
    FIELD_COUNT
};

static const bool field_is_bytes[FIELD_COUNT] = {
    [VALUE] = true,      [SIGNATURE_V1] = true, [VALIDITY] = true,
    [PUBLIC_KEY] = true, [SIGNATURE_V2] = true, [DATA] = true};

struct envelope {
    bool has[FIELD_COUNT];
    struct bytes bytes[FIELD_COUNT];
    uint64_t number[FIELD_COUNT];
};

static int bad(struct err *err, size_t at, const char *why)
{
    return err_set(err, ERR_MALFORMED, "IPNS record at offset %zu: %s", at, why);
}

/* One field; `*at` moves behind it. */
static int take_field(struct bytes in, size_t *at, struct envelope *e, struct err *err)
{
    uint64_t tag, value;
    size_t start = *at;
    size_t used = varint_take(bytes_of(in.data + *at, in.size - *at), VARINT_PROTO_BYTES_MAX, &tag);
    if (used == 0)
        return bad(err, start, "a bad tag");
    *at += used;
    uint64_t field = tag >> 3;
    if (field < VALUE || field >= FIELD_COUNT)
        return bad(err, start, "a field that records do not have");
    if ((tag & 7) != (field_is_bytes[field] ? 2 : 0))
        return bad(err, start, "a field of the wrong type");
    if (e->has[field])
        return bad(err, start, "a field that is there twice");
    used = varint_take(bytes_of(in.data + *at, in.size - *at), VARINT_PROTO_BYTES_MAX, &value);
    if (used == 0)
        return bad(err, *at, "a bad number or length");
    *at += used;
    e->has[field] = true;
    e->number[field] = value;
    if (!field_is_bytes[field])
        return 0;
    if (value > in.size - *at)
        return bad(err, start, "a field that is longer than the record");
    e->bytes[field] = bytes_of(in.data + *at, (size_t)value);
    *at += (size_t)value;
    return 0;
}

static int decode_envelope(struct bytes in, struct envelope *e, struct err *err)
{
    *e = (struct envelope){0};
    if (in.size > IPNS_RECORD_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "IPNS record of %zu bytes, more than %u", in.size,
                       IPNS_RECORD_BYTES_MAX);
    for (size_t at = 0; at < in.size;) {
        int rc = take_field(in, &at, e, err);
        if (rc != 0)
            return rc;
    }
    if (!e->has[SIGNATURE_V2] || !e->has[DATA])
        return err_set(err, ERR_MALFORMED, "IPNS record without %s",
                       e->has[DATA] ? "signatureV2" : "data");
    if (e->bytes[SIGNATURE_V2].size != KEY_SIGNATURE_BYTES)
        return err_set(err, ERR_MALFORMED, "IPNS record: a signature of %zu bytes, not %d",
                       e->bytes[SIGNATURE_V2].size, KEY_SIGNATURE_BYTES);
    return 0;
}

/* --- the data: dag-cbor --- */

struct data {
    unsigned found; /* one bit a field */
    struct bytes value, validity;
    uint64_t sequence, ttl, validity_type;
};

static void take_pair(struct cbor *c, struct data *d)
{
    static const char *const names[] = {"TTL", "Value", "Sequence", "Validity", "ValidityType"};
    struct bytes key = cbor_take_text(c, SIZE_MAX);
    unsigned i = 0;
    while (i < 5 && !bytes_equal(key, bytes_of_text(names[i])))
        i++;
    if (i < 5)
        d->found |= 1u << i;
    switch (i) {
    case 0:
        d->ttl = cbor_take_uint(c, UINT64_MAX);
        return;
    case 1:
        d->value = cbor_take_bytes(c, IPNS_VALUE_MAX - 1);
        return;
    case 2:
        d->sequence = cbor_take_uint(c, UINT64_MAX);
        return;
    case 3:
        d->validity = cbor_take_bytes(c, SIZE_MAX);
        return;
    case 4:
        d->validity_type = cbor_take_uint(c, UINT64_MAX);
        return;
    default: /* the specification lets a publisher add fields of his own */
        cbor_take_item(c);
    }
}

static int decode_data(struct bytes in, struct data *d, struct err *err)
{
    *d = (struct data){0};
    /* The order of keys first: pairs are taken one by one below. */
    int rc = cbor_check(in, NULL, NULL, err);
    struct cbor c = cbor_reader(in);
    uint64_t pairs = rc == 0 ? cbor_take_map(&c, SIZE_MAX) : 0;
    for (uint64_t i = 0; i < pairs && !c.failed; i++)
        take_pair(&c, d);
    if (rc == 0)
        rc = cbor_finish(&c, err);
    if (rc != 0)
        return err_wrap(err, rc, "IPNS record: data");
    if (d->found != 0x1f)
        return err_set(err, ERR_MALFORMED, "IPNS record: data without all of its five fields");
    if (d->validity_type != 0)
        return err_set(err, ERR_UNSUPPORTED, "IPNS record: validity of type %llu, not 0",
                       (unsigned long long)d->validity_type);
    return 0;
}

/* `count` digits at `at`, or -1. */
static int64_t digits(struct bytes in, size_t at, size_t count)
{
    int64_t n = 0;
    for (size_t i = at; i < at + count; i++) {
        if (i >= in.size || in.data[i] < '0' || in.data[i] > '9')
            return -1;
        n = n * 10 + (in.data[i] - '0');
    }
    return n;
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01, by counting leap days of years that begin in March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* RFC 3339 in UTC, "2123-08-14T12:00:00.123456789Z", the fraction of 1 to 9 digits or left out. */
static int parse_time(struct bytes in, int64_t *seconds, struct err *err)
{
    static const char shape[] = "....-..-..T..:..:..";
    bool fits = in.size >= sizeof shape;
    for (size_t i = 0; fits && i < sizeof shape - 1; i++)
        fits = shape[i] == '.' || in.data[i] == (uint8_t)shape[i];
    int64_t year = digits(in, 0, 4), month = digits(in, 5, 2), day = digits(in, 8, 2);
    int64_t hour = digits(in, 11, 2), minute = digits(in, 14, 2), second = digits(in, 17, 2);
    fits = fits && year >= 1 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days_of_month(year, month) && hour >= 0 && hour < 24 && minute >= 0 &&
           minute < 60 && second >= 0 && second < 60;
    size_t at = sizeof shape - 1, fraction = 0;
    if (fits && in.data[at] == '.')
        for (at++; digits(in, at, 1) >= 0; at++)
            fraction++;
    fits = fits && fraction <= 9 && (fraction > 0) == (at > sizeof shape - 1) &&
           at + 1 == in.size && in.data[at] == 'Z';
    if (!fits)
        return err_set(err, ERR_MALFORMED, "IPNS record: a validity that is no time in UTC");
    *seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return 0;
}

/* --- verifying --- */

/* Where the old signature or value is there, old readers go by the old fields. */
static int check_old_fields(const struct envelope *e, const struct data *d, struct err *err)
{
    if (!e->has[SIGNATURE_V1] && !e->has[VALUE])
        return 0;
    const char *what = !bytes_equal(e->bytes[VALUE], d->value)         ? "value"
                       : !bytes_equal(e->bytes[VALIDITY], d->validity) ? "validity"
                       : e->number[VALIDITY_TYPE] != d->validity_type  ? "validity type"
                       : e->number[SEQUENCE] != d->sequence            ? "sequence"
                       : e->number[TTL] != d->ttl                      ? "ttl"
                                                                       : NULL;
    if (what == NULL)
        return 0;
    return err_set(err, ERR_DENIED, "IPNS record: its old %s is not what was signed", what);
}

static int check_signature(const struct ipns_name *name, const struct envelope *e, struct err *err)
{
    struct bytes key = e->bytes[PUBLIC_KEY];
    if (e->has[PUBLIC_KEY]) {
        struct ipns_name own;
        int rc = take_key(key, &own, err);
        if (rc != 0)
            return err_wrap(err, rc, "IPNS record: public key");
        if (memcmp(own.key, name->key, KEY_BYTES) != 0)
            return err_set(err, ERR_DENIED, "IPNS record: the key of another name");
    }
    uint8_t message[sizeof SIGNED_PREFIX - 1 + IPNS_RECORD_BYTES_MAX];
    struct key_public by;
    struct bytes data = e->bytes[DATA];
    memcpy(by.bytes, name->key, KEY_BYTES);
    memcpy(message, SIGNED_PREFIX, sizeof SIGNED_PREFIX - 1);
    memcpy(message + sizeof SIGNED_PREFIX - 1, data.data, data.size);
    int rc = key_verify(&by, bytes_of(message, sizeof SIGNED_PREFIX - 1 + data.size),
                        e->bytes[SIGNATURE_V2].data, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "IPNS record");
}

static int copy_value(struct bytes value, char out[IPNS_VALUE_MAX], struct err *err)
{
    if (value.size == 0 || value.data[0] != '/' || !text_is_utf8(value))
        return err_set(err, ERR_MALFORMED, "IPNS record: a value that is no path");
    memcpy(out, value.data, value.size);
    out[value.size] = '\0';
    return 0;
}

/* All but whether it has expired. */
static int verify_timeless(const struct ipns_name *name, struct bytes record,
                           struct ipns_record *out, struct err *err)
{
    struct envelope e;
    struct data d;
    struct ipns_record r = {0};
    int rc = decode_envelope(record, &e, err);
    if (rc == 0)
        rc = check_signature(name, &e, err);
    if (rc == 0)
        rc = decode_data(e.bytes[DATA], &d, err);
    if (rc == 0)
        rc = check_old_fields(&e, &d, err);
    if (rc == 0)
        rc = copy_value(d.value, r.value, err);
    if (rc == 0)
        rc = parse_time(d.validity, &r.valid_until, err);
    if (rc != 0)
        return rc;
    r.sequence = d.sequence;
    r.ttl_seconds = d.ttl / NANOSECONDS;
    *out = r;
    return 0;
}

int ipns_record_verify(const struct ipns_name *name, struct bytes record, int64_t now,
                       struct ipns_record *out, struct err *err)
{
    struct ipns_record r;
    int rc = verify_timeless(name, record, &r, err);
    if (rc != 0)
        return rc;
    if (r.valid_until <= now)
        return err_set(err, ERR_DENIED, "IPNS record: expired %lld seconds ago",
                       (long long)(now - r.valid_until));
    *out = r;
    return 0;
}

/* --- in a store --- */

static int path_of(const char *root, const struct ipns_name *name, char out[FILES_PATH_MAX],
                   struct err *err)
{
    char folder[FILES_PATH_MAX], text[IPNS_NAME_TEXT_MAX];
    int rc = files_join(folder, root, "ipns", err);
    return rc != 0 ? rc : files_join(out, folder, ipns_name_format(name, text), err);
}

/* May `record` take the place of what is there? An expired one still tells how far its key had
 * come; one that does not verify tells nothing. `same`: these very bytes are there. */
static int compare(const struct files *f, const char *path, const struct ipns_name *name,
                   struct bytes record, const struct ipns_record *new, bool *same, struct err *err)
{
    struct buf there = buf_new(IPNS_RECORD_BYTES_MAX);
    struct ipns_record old;
    int rc = files_load(f, path, &there, err);
    if (rc == 0)
        *same = bytes_equal(buf_bytes(&there), record);
    if (rc == 0 && !*same && verify_timeless(name, buf_bytes(&there), &old, NULL) == 0 &&
        (new->sequence < old.sequence ||
         (new->sequence == old.sequence &&new->valid_until <= old.valid_until)))
        rc = err_set(err, ERR_EXISTS,
                     "the IPNS record that is there is as new or newer: sequence %llu, this %llu",
                     (unsigned long long)old.sequence, (unsigned long long)new->sequence);
    buf_fini(&there);
    return rc == ERR_NOTFOUND || rc == ERR_LIMIT ? 0 : rc;
}

int ipns_put(const struct files *f, const char *root, const struct ipns_name *name,
             struct bytes record, int64_t now, struct err *err)
{
    struct ipns_record r;
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    bool same = false;
    int rc = ipns_record_verify(name, record, now, &r, err);
    if (rc == 0)
        rc = path_of(root, name, path, err);
    if (rc == 0)
        rc = compare(f, path, name, record, &r, &same, err);
    if (rc != 0 || same)
        return rc;
    files_folder(path, folder);
    rc = files_make_dirs(f, folder, err);
    return rc != 0 ? rc : files_save(f, path, record, err);
}

int ipns_get(const struct files *f, const char *root, const struct ipns_name *name, int64_t now,
             struct buf *record, struct ipns_record *out, struct err *err)
{
    struct buf there = buf_new(IPNS_RECORD_BYTES_MAX);
    char path[FILES_PATH_MAX], text[IPNS_NAME_TEXT_MAX];
    int rc = path_of(root, name, path, err);
    if (rc == 0 && (rc = files_load(f, path, &there, err)) == ERR_NOTFOUND)
        rc = err_set(err, ERR_NOTFOUND, "no IPNS record of %s here", ipns_name_format(name, text));
    if (rc == 0) {
        rc = ipns_record_verify(name, buf_bytes(&there), now, out, err);
        if (rc == ERR_MALFORMED)
            rc = err_wrap(err, ERR_CORRUPT, "%s", path);
    }
    if (rc == 0)
        buf_append(record, there.data, there.size);
    buf_fini(&there);
    return rc != 0 ? rc : buf_check(record, err);
}
