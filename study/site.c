/* SPDX-License-Identifier: Apache-2.0 */
#include "study/site.h"

#include "base/multibase.h"
#include "base/text.h"

#define KIND         "colmeia/site/1"
#define PREFIX       "colmeia-site-1:"
#define PREFIX_SIZE  (sizeof PREFIX - 1)
#define RECORD_BYTES (SITE_STRING_MAX / 4 * 3) /* what a string can hold */

int site_make(const char *name, const struct key *ed25519, const struct key_public *curve,
              struct buf *out, struct site *site, struct err *err)
{
    struct record_writer w;
    uint8_t own[KEY_MULTICODEC_BYTES];
    struct key_public public = key_public(ed25519);
    struct cid cid;
    key_encode(&public, own);
    record_begin(&w);
    cbor_put_text(record_field(&w, "name"), name);
    cbor_put_null(record_field(&w, "prev"));
    cbor_put_bytes(record_field(&w, "ed25519"), bytes_of(own, sizeof own));
    cbor_put_bytes(record_field(&w, "curve"), bytes_of(curve->bytes, KEY_BYTES));
    int rc = record_sign(&w, KIND, NULL, ed25519, out, &cid, err);
    if (rc == 0)
        rc = site_decode(buf_bytes(out), site, NULL, err);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int site_decode(struct bytes in, struct site *out, struct key_public *out_by, struct err *err)
{
    struct record r;
    struct site s = {.name = ""};
    int rc = record_open(in, KIND, &r, err);
    if (rc != 0)
        return rc;
    s.cid = r.cid;
    s.prev = record_link_or_null(&r, "prev");
    record_text(&r, "name", s.name, sizeof s.name);
    s.ed25519 = record_key(&r, "ed25519");
    record_bytes(&r, "curve", s.curve.bytes, KEY_BYTES);
    rc = record_close(&r, err);
    if (rc == 0)
        rc = record_expect(&r, NULL, cid_is_none(&s.prev) ? &s.ed25519 : NULL, "the site itself",
                           err);
    if (rc == 0 && !text_is_name(s.name))
        rc = err_set(err, ERR_MALFORMED, KIND ": the name is not 1 to 64 of a-z 0-9 - _ .");
    if (rc != 0)
        return rc;
    *out = s;
    if (out_by != NULL)
        *out_by = r.by;
    return 0;
}

void site_format(struct bytes record, struct buf *out)
{
    buf_append_text(out, PREFIX);
    multibase_encode('u', record, out);
}

int site_parse(const char *text, struct buf *record, struct err *err)
{
    size_t size = strnlen(text, SITE_STRING_MAX + 1);
    if (size > SITE_STRING_MAX)
        return err_set(err, ERR_LIMIT, "a site string of more than %d characters", SITE_STRING_MAX);
    if (strncmp(text, PREFIX, PREFIX_SIZE) != 0 || text[PREFIX_SIZE] != 'u')
        return err_set(err, ERR_MALFORMED, "not a site string: it begins with \"" PREFIX "u\"");
    struct buf bytes = buf_new(RECORD_BYTES);
    struct site site;
    int rc = multibase_decode(text + PREFIX_SIZE, size - PREFIX_SIZE, &bytes, err);
    if (rc == 0)
        rc = site_decode(buf_bytes(&bytes), &site, NULL, err);
    if (rc == 0) {
        buf_clear(record);
        buf_append(record, bytes.data, bytes.size);
        rc = buf_check(record, err);
    }
    buf_fini(&bytes);
    return rc != 0 ? err_wrap(err, rc, "site string") : 0;
}
