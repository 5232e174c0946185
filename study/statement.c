/* SPDX-License-Identifier: Apache-2.0 */
#include "study/statement.h"

#define HEAD    "colmeia/head/1"
#define RECEIPT "colmeia/receipt/1"

int statement_sign_head(const struct head_statement *h, const struct cid *study,
                        const struct key *coordinator, struct buf *out, struct err *err)
{
    struct record_writer w;
    struct head_statement check;
    struct key_public by = key_public(coordinator);
    struct cid cid;
    record_begin(&w);
    cbor_put_uint(record_field(&w, "round"), h->round);
    cbor_put_link(record_field(&w, "record"), &h->record);
    int rc = record_sign(&w, HEAD, study, coordinator, out, &cid, err);
    if (rc == 0)
        rc = statement_decode_head(buf_bytes(out), study, &by, &check, err);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int statement_decode_head(struct bytes in, const struct cid *study,
                          const struct key_public *coordinator, struct head_statement *out,
                          struct err *err)
{
    struct record r;
    struct head_statement h;
    int rc = record_open(in, HEAD, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, coordinator, "the coordinator", err);
    if (rc != 0)
        return rc;
    h.round = record_uint(&r, "round", 1, UINT64_MAX);
    h.record = record_link(&r, "record");
    rc = record_close(&r, err);
    if (rc == 0)
        *out = h;
    return rc;
}

int statement_sign_receipt(const struct receipt *r, const struct cid *study,
                           const struct key *coordinator, struct buf *out, struct err *err)
{
    struct record_writer w;
    struct receipt check;
    struct key_public by = key_public(coordinator);
    struct cid cid;
    record_begin(&w);
    cbor_put_link(record_field(&w, "record"), &r->record);
    cbor_put_uint(record_field(&w, "round"), r->round);
    cbor_put_uint(record_field(&w, "sequence"), r->sequence);
    cbor_put_bytes(record_field(&w, "hash"), bytes_of(r->hash, sizeof r->hash));
    int rc = record_sign(&w, RECEIPT, study, coordinator, out, &cid, err);
    if (rc == 0)
        rc = statement_decode_receipt(buf_bytes(out), study, &by, &check, err);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int statement_decode_receipt(struct bytes in, const struct cid *study,
                             const struct key_public *coordinator, struct receipt *out,
                             struct err *err)
{
    struct record r;
    struct receipt x;
    int rc = record_open(in, RECEIPT, &r, err);
    if (rc == 0)
        rc = record_expect(&r, study, coordinator, "the coordinator", err);
    if (rc != 0)
        return rc;
    x.record = record_link(&r, "record");
    x.round = record_uint(&r, "round", 1, UINT64_MAX);
    x.sequence = record_uint(&r, "sequence", 1, UINT64_MAX);
    record_bytes(&r, "hash", x.hash, sizeof x.hash);
    rc = record_close(&r, err);
    if (rc == 0)
        *out = x;
    return rc;
}
