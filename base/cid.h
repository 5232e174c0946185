/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cid -- the name of a block: version, codec and hash of its bytes (multiformats CID
 * specification).
 *
 * A value type, copied freely; unused tail bytes are zero, so memcmp and == of whole structs agree
 * with cid_equal. Colmeia writes CIDv1 with sha2-256. A CIDv0 is read and kept as it is; of other
 * hashes those are known that hash.h lists, and an identity of at most CID_DIGEST_MAX bytes, which
 * is its own block. Hashes that prove nothing (sha1, md5) and unknown ones are ERR_UNSUPPORTED when
 * a block is to be verified, so that such a CID can still be shown.
 */
#ifndef COLMEIA_BASE_CID_H
#define COLMEIA_BASE_CID_H

#include "base/buf.h"
#include "base/hash.h"

#define CID_CBOR       0x51
#define CID_RAW        0x55
#define CID_DAG_PB     0x70
#define CID_DAG_CBOR   0x71
#define CID_LIBP2P_KEY 0x72 /* the name of an IPNS record */
#define CID_DAG_JSON   0x0129
#define CID_JSON       0x0200

#define CID_SHA2_256 0x12
#define CID_IDENTITY 0x00

#define CID_DIGEST_MIN 20  /* shorter ones prove nothing; an identity may have any length */
#define CID_DIGEST_MAX 128 /* of an identity too */
#define CID_BYTES_MAX  143 /* version 1, codec 5, hash 5, length 2, digest 128, and two to spare */
#define CID_BYTES_V1   36  /* every CID that Colmeia writes */
#define CID_TEXT_MAX   304 /* NUL included; a v1 with sha2-256 in base32 takes 59 + 1 */

struct cid {
    uint8_t size; /* 0: no CID */
    uint8_t bytes[CID_BYTES_MAX];
};

/* The CIDv1 of a block's bytes, and of a digest already made. */
struct cid cid_of(uint32_t codec, struct bytes block);
struct cid cid_from_digest(uint32_t codec, const uint8_t digest[HASH_BYTES]);

/* Binary: exactly one CID, no trailing bytes. */
int cid_decode(struct bytes in, struct cid *out, struct err *err) MUST_USE;
/* Binary with something behind it: says in `used` how many bytes the CID took. */
int cid_decode_prefix(struct bytes in, struct cid *out, size_t *used, struct err *err) MUST_USE;
/* Text: multibase, or base58btc "Qm..." for v0. At most CID_TEXT_MAX - 1 characters are looked at.
 * Both forms say at which offset something is wrong. */
int cid_parse(const char *text, struct cid *out, struct err *err) MUST_USE;
/* Text out: base32 for v1, base58btc for v0; "-" for no CID. Returns `out`. */
const char *cid_format(const struct cid *c, char out[CID_TEXT_MAX]);

/* The same in another multibase (one that multibase.h writes); a v0 stays base58btc. */
const char *cid_format_base(const struct cid *c, char base, char out[CID_TEXT_MAX]);

bool cid_equal(const struct cid *a, const struct cid *b);
bool cid_is_none(const struct cid *c);
uint32_t cid_codec(const struct cid *c); /* CID_DAG_PB for a v0 */
/* A v0 as the v1 that names the same bytes; others as they are. */
struct cid cid_as_v1(const struct cid *c);
/* The v0 of a dag-pb v1 with sha2-256; others as they are. */
struct cid cid_as_v0(const struct cid *c);
/* The multihash inside (code, length, digest), which two CIDs of the same bytes share; borrowed. */
struct bytes cid_multihash(const struct cid *c);
/* Is `c` an identity CID? Then `block` (may be NULL) is its block, borrowed from `c`. */
bool cid_identity(const struct cid *c, struct bytes *block);
/* The sha2-256 digest inside, or NULL if the CID is of another hash. */
const uint8_t *cid_digest(const struct cid *c);

/* Does `block` hash to `c`? ERR_MALFORMED "bytes do not hash to CID" if not, ERR_UNSUPPORTED for a
 * hash that is not known or too weak. */
int cid_verify(const struct cid *c, struct bytes block, struct err *err) MUST_USE;

#endif
