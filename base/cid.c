/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cid.h"

#include "base/multibase.h"

#define VARINT_BYTES_MAX 9 /* multiformats' unsigned varint */

struct cid cid_from_digest(uint32_t codec, const uint8_t digest[HASH_BYTES])
{
    struct cid c = {0};
    uint8_t *at = c.bytes;
    *at++ = 1;
    while (codec >= 0x80) {
        *at++ = (uint8_t)(codec | 0x80);
        codec >>= 7;
    }
    *at++ = (uint8_t)codec;
    *at++ = CID_SHA2_256;
    *at++ = HASH_BYTES;
    memcpy(at, digest, HASH_BYTES);
    c.size = (uint8_t)(at + HASH_BYTES - c.bytes);
    return c;
}

struct cid cid_of(uint32_t codec, struct bytes block)
{
    uint8_t digest[HASH_BYTES];
    hash_sha256(block, digest);
    return cid_from_digest(codec, digest);
}

/* Takes one minimal unsigned varint; returns its length, 0 if it is not one. */
static size_t take_varint(struct bytes in, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < in.size && i < VARINT_BYTES_MAX; i++) {
        value |= (uint64_t)(in.data[i] & 0x7f) << (7 * i);
        if (in.data[i] < 0x80) {
            if (i > 0 && in.data[i] == 0)
                return 0; /* not minimal */
            *out = value;
            return i + 1;
        }
    }
    return 0;
}

static size_t take_field(struct bytes in, size_t *at, uint64_t *out)
{
    size_t n = take_varint(bytes_of(in.data + *at, in.size - *at), out);
    *at += n;
    return n;
}

static int check_hash(uint64_t hash, uint64_t digest_bytes, struct err *err)
{
    if (hash == CID_SHA2_256 && digest_bytes != HASH_BYTES)
        return err_set(err, ERR_MALFORMED, "CID: a sha2-256 digest of %llu bytes",
                       (unsigned long long)digest_bytes);
    if (hash == CID_IDENTITY)
        return digest_bytes > 128
                   ? err_set(err, ERR_MALFORMED, "CID: an identity of more than 128 bytes")
                   : 0;
    if (digest_bytes < 20 || digest_bytes > 128)
        return err_set(err, ERR_MALFORMED, "CID: a digest of %llu bytes, not 20 to 128",
                       (unsigned long long)digest_bytes);
    return 0;
}

static int decode_v0(struct bytes in, struct cid *out, size_t *used, struct err *err)
{
    if (in.size < 34)
        return err_set(err, ERR_MALFORMED, "CID: a version 0 of %zu bytes, not 34", in.size);
    *out = (struct cid){.size = 34};
    memcpy(out->bytes, in.data, 34);
    *used = 34;
    return 0;
}

int cid_decode_prefix(struct bytes in, struct cid *out, size_t *used, struct err *err)
{
    if (in.size == 0)
        return err_set(err, ERR_MALFORMED, "CID: empty");
    if (in.size >= 2 && in.data[0] == CID_SHA2_256 && in.data[1] == HASH_BYTES)
        return decode_v0(in, out, used, err);
    uint64_t version, codec, hash, digest_bytes;
    size_t at = 0;
    if (take_field(in, &at, &version) == 0 || version != 1)
        return err_set(err, ERR_MALFORMED, "CID: not version 0 or 1");
    if (take_field(in, &at, &codec) == 0 || take_field(in, &at, &hash) == 0 ||
        take_field(in, &at, &digest_bytes) == 0)
        return err_set(err, ERR_MALFORMED, "CID: a bad or unfinished varint");
    int rc = check_hash(hash, digest_bytes, err);
    if (rc != 0)
        return rc;
    if (digest_bytes > in.size - at)
        return err_set(err, ERR_MALFORMED, "CID: the digest is cut short");
    if (at + digest_bytes > CID_BYTES_MAX || codec > UINT32_MAX)
        return err_set(err, ERR_UNSUPPORTED, "CID: codec or hash not known here");
    *out = (struct cid){.size = (uint8_t)(at + digest_bytes)};
    memcpy(out->bytes, in.data, out->size);
    *used = out->size;
    return 0;
}

int cid_decode(struct bytes in, struct cid *out, struct err *err)
{
    struct cid c;
    size_t used = 0;
    int rc = cid_decode_prefix(in, &c, &used, err);
    if (rc != 0)
        return rc;
    if (used != in.size)
        return err_set(err, ERR_MALFORMED, "CID: %zu bytes behind it", in.size - used);
    *out = c;
    return 0;
}

int cid_parse(const char *text, struct cid *out, struct err *err)
{
    size_t size = strnlen(text, CID_TEXT_MAX);
    if (size == CID_TEXT_MAX)
        return err_set(err, ERR_MALFORMED, "CID: longer than %d characters", CID_TEXT_MAX - 1);
    if (size == 0)
        return err_set(err, ERR_MALFORMED, "CID: empty");
    struct buf binary = buf_new(CID_TEXT_MAX);
    bool v0 = size >= 2 && text[0] == 'Q' && text[1] == 'm';
    int rc = v0 ? multibase_decode_base58(text, size, &binary, err)
                : multibase_decode(text, size, &binary, err);
    struct cid c;
    if (rc == 0)
        rc = cid_decode(buf_bytes(&binary), &c, err);
    if (rc == 0 && !v0 && c.bytes[0] != 1)
        rc = err_set(err, ERR_MALFORMED, "CID: a version 0 has no multibase prefix");
    if (rc == 0 && v0 && c.bytes[0] != CID_SHA2_256)
        rc = err_set(err, ERR_MALFORMED, "CID: not a version 0 behind \"Qm\"");
    buf_fini(&binary);
    if (rc != 0)
        return err_wrap(err, rc, "\"%s\"", text);
    *out = c;
    return 0;
}

const char *cid_format(const struct cid *c, char out[CID_TEXT_MAX])
{
    struct buf text = buf_new(CID_TEXT_MAX - 1);
    if (c->size == 0)
        buf_append_text(&text, "-");
    else if (c->bytes[0] == 1)
        multibase_encode('b', bytes_of(c->bytes, c->size), &text);
    else
        multibase_encode_base58(bytes_of(c->bytes, c->size), &text);
    memcpy(out, buf_text(&text), text.size + 1);
    buf_fini(&text);
    return out;
}

bool cid_equal(const struct cid *a, const struct cid *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool cid_is_none(const struct cid *c)
{
    return c->size == 0;
}

uint32_t cid_codec(const struct cid *c)
{
    uint64_t codec = CID_DAG_PB;
    if (c->size > 1 && c->bytes[0] == 1)
        take_varint(bytes_of(c->bytes + 1, c->size - 1u), &codec);
    return (uint32_t)codec;
}

const uint8_t *cid_digest(const struct cid *c)
{
    if (c->size < HASH_BYTES + 2u)
        return NULL;
    const uint8_t *digest = c->bytes + c->size - HASH_BYTES;
    return digest[-2] == CID_SHA2_256 && digest[-1] == HASH_BYTES ? digest : NULL;
}

static int verify_identity(const struct cid *c, struct bytes block, struct err *err)
{
    uint64_t skip, size;
    size_t at = 1;
    struct bytes all = bytes_of(c->bytes, c->size);
    if (c->size < 4 || take_field(all, &at, &skip) == 0 || take_field(all, &at, &skip) == 0 ||
        skip != CID_IDENTITY || take_field(all, &at, &size) == 0)
        return err_set(err, ERR_UNSUPPORTED, "hash of the CID not known here");
    if (!bytes_equal(block, bytes_of(c->bytes + at, c->size - at)))
        return err_set(err, ERR_MALFORMED, "bytes are not those of the identity CID");
    return 0;
}

int cid_verify(const struct cid *c, struct bytes block, struct err *err)
{
    const uint8_t *expected = cid_digest(c);
    if (expected == NULL)
        return verify_identity(c, block, err);
    uint8_t digest[HASH_BYTES];
    hash_sha256(block, digest);
    if (memcmp(digest, expected, HASH_BYTES) != 0) {
        char text[CID_TEXT_MAX];
        return err_set(err, ERR_MALFORMED, "bytes do not hash to CID %s", cid_format(c, text));
    }
    return 0;
}
