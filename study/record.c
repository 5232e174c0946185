/* SPDX-License-Identifier: Apache-2.0 */
#include "study/record.h"

#define DOMAIN        "colmeia-record-v1:"
#define FIELD_KEY_MAX 32

/* Canonical order of map keys: by length, then bytes. */
static bool goes_before(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    return na != nb ? na < nb : strcmp(a, b) < 0;
}

/* --- writing --- */

void record_begin(struct record_writer *w)
{
    w->count = 0;
    w->values = buf_new(RECORD_BYTES_MAX);
}

struct buf *record_field(struct record_writer *w, const char *key)
{
    if (w->count == RECORD_FIELDS_MAX) {
        w->values.failed = ERR_LIMIT;
        return &w->values;
    }
    w->fields[w->count].key = key;
    w->fields[w->count].start = w->values.size;
    w->count++;
    return &w->values;
}

static void put_map(const struct record_writer *w, struct buf *out)
{
    size_t order[RECORD_FIELDS_MAX];
    for (size_t i = 0; i < w->count; i++) {
        size_t at = i;
        for (; at > 0 && goes_before(w->fields[i].key, w->fields[order[at - 1]].key); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    cbor_put_map(out, w->count);
    for (size_t i = 0; i < w->count; i++) {
        size_t f = order[i];
        size_t start = w->fields[f].start;
        size_t end = f + 1 < w->count ? w->fields[f + 1].start : w->values.size;
        cbor_put_text(out, w->fields[f].key);
        buf_append(out, w->values.data + start, end - start);
    }
}

static int sign_map(struct record_writer *w, const struct key *key, struct buf *scratch,
                    struct err *err)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    buf_append_text(scratch, DOMAIN);
    put_map(w, scratch);
    int rc = buf_check(scratch, err);
    if (rc == 0)
        rc = key_sign(key, buf_bytes(scratch), signature, err);
    if (rc == 0)
        cbor_put_bytes(record_field(w, "sig"), bytes_of(signature, sizeof signature));
    return rc != 0 ? rc : buf_check(&w->values, err);
}

int record_sign(struct record_writer *w, const char *kind, const struct cid *study,
                const struct key *key, struct buf *out, struct cid *cid, struct err *err)
{
    struct buf scratch = buf_new(RECORD_BYTES_MAX + sizeof DOMAIN);
    struct key_public public = key_public(key);
    struct record check;
    uint8_t by[KEY_MULTICODEC_BYTES];
    key_encode(&public, by);
    cbor_put_text(record_field(w, "kind"), kind);
    cbor_put_bytes(record_field(w, "by"), bytes_of(by, sizeof by));
    if (study != NULL)
        cbor_put_link(record_field(w, "study"), study);
    buf_clear(out);
    int rc = buf_check(&w->values, err);
    if (rc == 0)
        rc = sign_map(w, key, &scratch, err);
    if (rc == 0) {
        put_map(w, out);
        rc = buf_check(out, err);
    }
    if (rc == 0)
        rc = record_open(buf_bytes(out), kind, &check, err);
    if (rc == 0)
        *cid = check.cid;
    else
        buf_clear(out);
    buf_fini(&scratch);
    buf_fini(&w->values);
    return rc != 0 ? err_wrap(err, rc, "sign") : 0;
}

/* --- opening --- */

static size_t find(const struct record *r, const char *key)
{
    size_t i = 0;
    while (i < r->count && !bytes_equal(r->fields[i].key, bytes_of_text(key)))
        i++;
    return i;
}

bool record_has(const struct record *r, const char *key)
{
    return find(r, key) < r->count;
}

static int split(struct bytes in, struct record *r, struct err *err)
{
    if (in.size > RECORD_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a record of %zu bytes; at most %u", in.size,
                       RECORD_BYTES_MAX);
    int rc = cbor_check(in, NULL, NULL, err); /* strict, so that order is settled for all below */
    if (rc != 0)
        return rc;
    struct cbor c = cbor_reader(in);
    r->count = (size_t)cbor_take_map(&c, RECORD_FIELDS_MAX);
    for (size_t i = 0; i < r->count && !c.failed; i++) {
        r->fields[i].key = cbor_take_text(&c, FIELD_KEY_MAX);
        r->fields[i].value = cbor_take_item(&c);
    }
    return cbor_finish(&c, err);
}

static int check_kind(struct record *r, const char *kind, struct err *err)
{
    record_text(r, "kind", r->kind, sizeof r->kind);
    for (const char *c = r->kind; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '/' || *c == '-'))
            return err_set(err, ERR_MALFORMED, "a kind that is not lower-case words");
    if (r->err.code != 0)
        return err_set(err, r->err.code, "%s", r->err.text);
    if (kind != NULL && strcmp(r->kind, kind) != 0)
        return err_set(err, ERR_UNSUPPORTED, "a record of kind %s where %s is expected", r->kind,
                       kind);
    return 0;
}

/* The signature is over the map as it was before `sig` was added to it. */
static int check_signature(struct record *r, struct err *err)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    record_bytes(r, "sig", signature, sizeof signature);
    if (r->err.code != 0)
        return err_set(err, r->err.code, "%s", r->err.text);
    struct buf message = buf_new(RECORD_BYTES_MAX + sizeof DOMAIN);
    size_t sig = find(r, "sig");
    buf_append_text(&message, DOMAIN);
    cbor_put_map(&message, r->count - 1);
    for (size_t i = 0; i < r->count; i++) {
        if (i == sig)
            continue;
        cbor_put_text_bytes(&message, r->fields[i].key);
        buf_append(&message, r->fields[i].value.data, r->fields[i].value.size);
    }
    int rc = buf_check(&message, err);
    if (rc == 0)
        rc = key_verify(&r->by, buf_bytes(&message), signature, err);
    buf_fini(&message);
    return rc;
}

/* Key types other than Ed25519 are for later versions: told apart from bytes that are no key. */
static int take_signer(struct record *r, struct err *err)
{
    struct cbor c = record_take(r, "by");
    struct bytes by = cbor_take_bytes(&c, 256);
    record_end(r, &c, "by");
    if (r->err.code != 0)
        return err_set(err, r->err.code, "%s", r->err.text);
    return key_decode(by, &r->by, err);
}

int record_open(struct bytes in, const char *kind, struct record *out, struct err *err)
{
    struct record r = {.count = 0};
    int rc = split(in, &r, err);
    if (rc == 0)
        rc = check_kind(&r, kind, err);
    if (rc == 0)
        rc = take_signer(&r, err);
    if (rc == 0 && record_has(&r, "study")) {
        r.study = record_link(&r, "study");
        rc = r.err.code != 0 ? err_set(err, r.err.code, "%s", r.err.text) : 0;
    }
    if (rc == 0)
        rc = check_signature(&r, err);
    if (rc != 0)
        return err_wrap(err, rc, "%s", kind != NULL ? kind : "record");
    r.cid = cid_of(CID_DAG_CBOR, in);
    *out = r;
    return 0;
}

int record_expect(const struct record *r, const struct cid *study, const struct key_public *by,
                  const char *who, struct err *err)
{
    char found[CID_TEXT_MAX], expected[CID_TEXT_MAX];
    if (study == NULL && !cid_is_none(&r->study))
        return err_set(err, ERR_MALFORMED, "%s: unknown field study", r->kind);
    if (study != NULL && !cid_equal(study, &r->study))
        return err_set(err, ERR_DENIED, "%s: belongs to study %s, not to %s", r->kind,
                       cid_format(&r->study, found), cid_format(study, expected));
    if (by != NULL && !key_equal(by, &r->by))
        return err_set(err, ERR_DENIED, "%s: signed by another key than that of %s", r->kind, who);
    return 0;
}

/* --- taking --- */

struct cbor record_take(struct record *r, const char *key)
{
    size_t i = find(r, key);
    struct cbor c = cbor_reader(i < r->count ? r->fields[i].value : bytes_of(NULL, 0));
    if (i == r->count)
        cbor_fail(&c, "field missing");
    else
        r->fields[i].taken = true;
    return c;
}

void record_end(struct record *r, struct cbor *field, const char *key)
{
    struct err err;
    int rc = cbor_finish(field, &err);
    if (rc != 0 && r->err.code == 0) {
        r->err = err;
        (void)err_wrap(&r->err, rc, "field %s", key);
    }
}

uint64_t record_uint(struct record *r, const char *key, uint64_t least, uint64_t most)
{
    struct cbor c = record_take(r, key);
    uint64_t value = cbor_take_uint(&c, most);
    if (value < least)
        cbor_fail(&c, "integer out of range");
    record_end(r, &c, key);
    return c.failed ? 0 : value;
}

static bool is_sha256_v1(const struct cid *c)
{
    return c->size == CID_BYTES_V1 && cid_digest(c) != NULL;
}

struct cid record_item_link(struct cbor *c)
{
    struct cid link = cbor_take_link(c);
    if (!c->failed && (!is_sha256_v1(&link) || cid_codec(&link) != CID_DAG_CBOR))
        cbor_fail(c, "expected a link to dag-cbor by sha2-256");
    return c->failed ? (struct cid){0} : link;
}

struct cid record_link(struct record *r, const char *key)
{
    struct cbor c = record_take(r, key);
    struct cid link = record_item_link(&c);
    record_end(r, &c, key);
    return link;
}

struct cid record_link_or_null(struct record *r, const char *key)
{
    struct cbor c = record_take(r, key);
    if (cbor_peek(&c) != CBOR_NULL)
        return record_link(r, key);
    cbor_take_null(&c);
    record_end(r, &c, key);
    return (struct cid){0};
}

struct cid record_model(struct record *r, const char *key)
{
    struct cbor c = record_take(r, key);
    struct cid link = cbor_take_link(&c);
    bool file = cid_codec(&link) == CID_RAW || cid_codec(&link) == CID_DAG_PB;
    if (!c.failed && (!is_sha256_v1(&link) || !file))
        cbor_fail(&c, "expected a link to a file by sha2-256");
    record_end(r, &c, key);
    return c.failed ? (struct cid){0} : link;
}

struct cid record_model_or_null(struct record *r, const char *key)
{
    struct cbor c = record_take(r, key);
    if (cbor_peek(&c) != CBOR_NULL)
        return record_model(r, key);
    cbor_take_null(&c);
    record_end(r, &c, key);
    return (struct cid){0};
}

void record_item_text(struct cbor *c, char *out, size_t size)
{
    cbor_take_string(c, out, size);
    if (!c->failed && out[0] == '\0')
        cbor_fail(c, "an empty text");
    for (size_t i = 0; !c->failed && out[i] != '\0'; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            cbor_fail(c, "a control character in a text");
}

void record_text(struct record *r, const char *key, char *out, size_t size)
{
    struct cbor c = record_take(r, key);
    record_item_text(&c, out, size);
    record_end(r, &c, key);
}

void record_bytes(struct record *r, const char *key, void *out, size_t size)
{
    struct cbor c = record_take(r, key);
    struct bytes found = cbor_take_bytes(&c, size);
    if (found.size != size)
        cbor_fail(&c, "bytes of another length");
    record_end(r, &c, key);
    if (!c.failed)
        memcpy(out, found.data, size);
}

struct key_public record_key(struct record *r, const char *key)
{
    struct key_public out = {{0}};
    uint8_t bytes[KEY_MULTICODEC_BYTES] = {0};
    struct err err;
    record_bytes(r, key, bytes, sizeof bytes);
    int rc = r->err.code != 0 ? 0 : key_decode(bytes_of(bytes, sizeof bytes), &out, &err);
    if (rc != 0) {
        r->err = err;
        (void)err_wrap(&r->err, rc, "field %s", key);
    }
    return out;
}

/* Chosen by a peer: shown only if it cannot upset a line or a terminal. */
static int unknown_field(const struct record *r, struct bytes key, struct err *err)
{
    for (size_t i = 0; i < key.size; i++)
        if (!((key.data[i] >= 'a' && key.data[i] <= 'z') || key.data[i] == '_'))
            return err_set(err, ERR_MALFORMED, "%s: an unknown field", r->kind);
    return err_set(err, ERR_MALFORMED, "%s: unknown field %.*s", r->kind, (int)key.size,
                   (const char *)key.data);
}

int record_close(const struct record *r, struct err *err)
{
    if (r->err.code != 0)
        return err_set(err, r->err.code, "%s: %s", r->kind, r->err.text);
    for (size_t i = 0; i < r->count; i++)
        if (!r->fields[i].taken)
            return unknown_field(r, r->fields[i].key, err);
    return 0;
}
