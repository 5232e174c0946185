/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement -- two small things the coordinator signs and workers keep as evidence, so that one
 * that was set back to yesterday's disk is found out: what the head is, and that an update was
 * taken. Below MSG_EVIDENCE_MAX bytes each. kinds colmeia/head/1 and colmeia/receipt/1
 * (docs/decisions/0001 says why the head is stated apart from the round record)
 */
#ifndef COLMEIA_STUDY_STATEMENT_H
#define COLMEIA_STUDY_STATEMENT_H

#include "study/record.h"

struct head_statement {
    uint64_t round;    /* newest closed round */
    struct cid record; /* its record */
};

struct receipt {
    struct cid record; /* the update acknowledged */
    uint64_t round;
    uint64_t sequence;        /* the journal's durable tail when the acknowledgement left ... */
    uint8_t hash[HASH_BYTES]; /* ... and that frame's hash */
};

int statement_sign_head(const struct head_statement *h, const struct cid *study,
                        const struct key *coordinator, struct buf *out, struct err *err) MUST_USE;
int statement_decode_head(struct bytes in, const struct cid *study,
                          const struct key_public *coordinator, struct head_statement *out,
                          struct err *err) MUST_USE;
int statement_sign_receipt(const struct receipt *r, const struct cid *study,
                           const struct key *coordinator, struct buf *out,
                           struct err *err) MUST_USE;
int statement_decode_receipt(struct bytes in, const struct cid *study,
                             const struct key_public *coordinator, struct receipt *out,
                             struct err *err) MUST_USE;

#endif
