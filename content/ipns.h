/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipns -- names that point: records signed by the key that a name is, checked before they are kept
 * or served.
 *
 * Source: IPNS record specification. A record has signatureV2 over "ipns-signature:" || data, and
 * the data in dag-cbor; the old fields, where they are, must say the same. Ed25519 keys only.
 */
#ifndef COLMEIA_CONTENT_IPNS_H
#define COLMEIA_CONTENT_IPNS_H

#include "base/cid.h"
#include "base/files.h"

#define IPNS_RECORD_BYTES_MAX (10u << 10)
#define IPNS_VALUE_MAX        1024
#define IPNS_NAME_TEXT_MAX    80

struct ipns_name {
    uint8_t key[32]; /* Ed25519 */
};

struct ipns_record {
    char value[IPNS_VALUE_MAX]; /* "/ipfs/CID" */
    uint64_t sequence;
    int64_t valid_until; /* Unix seconds */
    uint64_t ttl_seconds;
};

/* "k51...", a CIDv1 libp2p-key in any multibase, or a peer id "12D3KooW...". ERR_MALFORMED;
 * ERR_UNSUPPORTED for names of other keys than Ed25519. */
int ipns_name_parse(const char *text, struct ipns_name *out, struct err *err) MUST_USE;
const char *ipns_name_format(const struct ipns_name *n,
                             char out[IPNS_NAME_TEXT_MAX]); /* base36 CIDv1 */

/* ERR_MALFORMED (form, offset), ERR_LIMIT (size), ERR_DENIED (signature wrong, fields that
 * disagree, expired at `now`, Unix seconds). */
int ipns_record_verify(const struct ipns_name *name, struct bytes record, int64_t now,
                       struct ipns_record *out, struct err *err) MUST_USE;

/* In a store's folder `root`/ipns/NAME, whole or not at all. A put record must verify and be newer
 * than the present one, expired or not (sequence, then validity), else ERR_EXISTS; the very same
 * record again is fine. */
int ipns_put(const struct files *f, const char *root, const struct ipns_name *name,
             struct bytes record, int64_t now, struct err *err) MUST_USE;
/* Appends the record to `record`, verified again. ERR_NOTFOUND; ERR_CORRUPT names the file. */
int ipns_get(const struct files *f, const char *root, const struct ipns_name *name, int64_t now,
             struct buf *record, struct ipns_record *out, struct err *err) MUST_USE;

#endif
