/* SPDX-License-Identifier: Apache-2.0 */
#include "study/charter.h"

#include "base/random.h"
#include "base/text.h"

#define KIND          "colmeia/charter/1"
#define CREATED_S_MAX 253402300799ull /* the end of the year 9999 */

int charter_make(const char *name, const struct key *founder, uint64_t created_s, struct buf *out,
                 struct charter *charter, struct err *err)
{
    struct record_writer w;
    uint8_t nonce[16], by[KEY_MULTICODEC_BYTES];
    struct key_public public = key_public(founder);
    struct cid cid;
    random_bytes(nonce, sizeof nonce); /* two studies of one name and second are two studies */
    key_encode(&public, by);
    record_begin(&w);
    cbor_put_text(record_field(&w, "name"), name);
    cbor_put_bytes(record_field(&w, "founder"), bytes_of(by, sizeof by));
    cbor_put_bytes(record_field(&w, "nonce"), bytes_of(nonce, sizeof nonce));
    cbor_put_uint(record_field(&w, "created"), created_s);
    int rc = record_sign(&w, KIND, NULL, founder, out, &cid, err);
    if (rc == 0)
        rc = charter_decode(buf_bytes(out), charter, err);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int charter_decode(struct bytes in, struct charter *out, struct err *err)
{
    struct record r;
    struct charter c = {.name = ""};
    int rc = record_open(in, KIND, &r, err);
    if (rc != 0)
        return rc;
    c.cid = r.cid;
    record_text(&r, "name", c.name, sizeof c.name);
    c.founder = record_key(&r, "founder");
    record_bytes(&r, "nonce", c.nonce, sizeof c.nonce);
    c.created_s = record_uint(&r, "created", 0, CREATED_S_MAX);
    rc = record_close(&r, err);
    if (rc == 0)
        rc = record_expect(&r, NULL, &c.founder, "the founder it names", err);
    if (rc == 0 && !text_is_name(c.name))
        rc = err_set(err, ERR_MALFORMED, KIND ": the name is not 1 to 64 of a-z 0-9 - _ .");
    if (rc == 0)
        *out = c;
    return rc;
}
