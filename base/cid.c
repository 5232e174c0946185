/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cid.h"

#include <stdio.h>

#include "base/multibase.h"
#include "base/varint.h"

#define V0_BYTES 34
#define V0_CHARS 46

#define SHA1        0x11
#define MD5         0xd5
#define MURMUR3_X64 0x22
#define QUOTE_CHARS 64 /* of a bad CID that a sentence repeats */

/* Where the parts of a CID are. A version 0 is a bare multihash. */
struct parts {
    uint64_t codec, hash, digest_bytes;
    size_t multihash, digest; /* offsets */
};

struct cid cid_from_digest(uint32_t codec, const uint8_t digest[HASH_BYTES])
{
    struct cid c = {0};
    uint8_t *at = c.bytes;
    *at++ = 1;
    at += varint_write(at, codec);
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

static bool take_field(struct bytes in, size_t *at, uint64_t *out)
{
    size_t n = varint_take(bytes_of(in.data + *at, in.size - *at), VARINT_BYTES_MAX, out);
    *at += n;
    return n > 0;
}

static int bad_field(const char *field, size_t at, struct err *err)
{
    return err_set(err, ERR_MALFORMED,
                   "CID: the %s at byte %zu is cut short, too long or not in its shortest form",
                   field, at);
}

static int check_digest(const struct parts *p, size_t at, size_t left, struct err *err)
{
    unsigned long long size = p->digest_bytes;
    if (p->hash == CID_SHA2_256 && size != HASH_BYTES)
        return err_set(err, ERR_MALFORMED, "CID: a sha2-256 digest of %llu bytes at byte %zu", size,
                       at);
    if (size > CID_DIGEST_MAX)
        return err_set(err, ERR_MALFORMED, "CID: %s of %llu bytes at byte %zu, more than %d",
                       p->hash == CID_IDENTITY ? "an identity" : "a digest", size, at,
                       CID_DIGEST_MAX);
    if (p->hash != CID_IDENTITY && size < CID_DIGEST_MIN)
        return err_set(err, ERR_MALFORMED, "CID: a digest of %llu bytes at byte %zu, less than %d",
                       size, at, CID_DIGEST_MIN);
    if (size > left)
        return err_set(err, ERR_MALFORMED,
                       "CID: the digest at byte %zu is cut short: %zu bytes of %llu", p->digest,
                       left, size);
    return 0;
}

/* Where the parts of the version 1 that `in` begins with are. */
static int take_parts(struct bytes in, struct parts *p, struct err *err)
{
    uint64_t version;
    size_t at = 0, before = 0;
    if (!take_field(in, &at, &version) || version != 1)
        return err_set(err, ERR_MALFORMED, "CID: not version 0 or 1 at byte 0");
    before = at;
    if (!take_field(in, &at, &p->codec))
        return bad_field("codec", before, err);
    if (p->codec > UINT32_MAX)
        return err_set(err, ERR_UNSUPPORTED, "CID: a codec past 32 bits at byte %zu", before);
    p->multihash = at;
    if (!take_field(in, &at, &p->hash))
        return bad_field("hash", p->multihash, err);
    if (p->hash > UINT32_MAX)
        return err_set(err, ERR_UNSUPPORTED, "CID: a hash past 32 bits at byte %zu", p->multihash);
    before = at;
    if (!take_field(in, &at, &p->digest_bytes))
        return bad_field("length of the digest", before, err);
    p->digest = at;
    return check_digest(p, before, in.size - at, err);
}

static bool is_v0(struct bytes in)
{
    return in.size >= 2 && in.data[0] == CID_SHA2_256 && in.data[1] == HASH_BYTES;
}

/* The parts of a whole CID, which came through cid_decode or was made here. */
static struct parts parts_of(const struct cid *c)
{
    struct bytes in = bytes_of(c->bytes, c->size);
    struct parts p = {
        .codec = CID_DAG_PB, .hash = CID_SHA2_256, .digest_bytes = HASH_BYTES, .digest = 2};
    if (!is_v0(in) && (c->size == 0 || take_parts(in, &p, NULL) != 0))
        p = (struct parts){0};
    return p;
}

int cid_decode_prefix(struct bytes in, struct cid *out, size_t *used, struct err *err)
{
    if (in.size == 0)
        return err_set(err, ERR_MALFORMED, "CID: empty");
    size_t size = V0_BYTES;
    if (is_v0(in)) {
        if (in.size < V0_BYTES)
            return err_set(err, ERR_MALFORMED, "CID: a version 0 of %zu bytes, not %d", in.size,
                           V0_BYTES);
    } else {
        struct parts p;
        int rc = take_parts(in, &p, err);
        if (rc != 0)
            return rc;
        size = p.digest + (size_t)p.digest_bytes; /* 141 at most: version 1, 5, 5, 2, 128 */
    }
    *out = (struct cid){.size = (uint8_t)size};
    memcpy(out->bytes, in.data, size);
    *used = size;
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
        return err_set(err, ERR_MALFORMED, "CID: %zu bytes too many at byte %zu", in.size - used,
                       used);
    *out = c;
    return 0;
}

/* The text as a sentence may repeat it: its beginning, and nothing that a terminal obeys. */
static void quote(const char *text, char out[QUOTE_CHARS + 4])
{
    size_t n = 0;
    for (; n < QUOTE_CHARS && text[n] != '\0'; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    snprintf(out + n, 4, "%s", text[n] == '\0' ? "" : "...");
}

static int parse_whole(const char *text, size_t size, struct cid *out, struct err *err)
{
    uint8_t room[CID_TEXT_MAX];
    struct buf binary = {.data = room, .capacity = sizeof room, .max = sizeof room - 1};
    bool v0 = size >= 2 && text[0] == 'Q' && text[1] == 'm';
    if (v0 && size != V0_CHARS)
        return err_set(err, ERR_MALFORMED, "CID: a version 0 of %zu characters, not %d", size,
                       V0_CHARS); /* so many, and "Qm", are 34 bytes that do not begin as a v1 */
    int rc = v0 ? multibase_decode_base58(text, size, &binary, err)
                : multibase_decode(text, size, &binary, err);
    struct cid c;
    if (rc == 0)
        rc = cid_decode(buf_bytes(&binary), &c, err);
    if (rc == 0 && !v0 && c.bytes[0] != 1)
        rc = err_set(err, ERR_MALFORMED, "CID: a version 0 has no multibase prefix (offset 0)");
    if (rc == 0)
        *out = c;
    return rc;
}

int cid_parse(const char *text, struct cid *out, struct err *err)
{
    size_t size = strnlen(text, CID_TEXT_MAX);
    int rc = 0;
    if (size == 0)
        return err_set(err, ERR_MALFORMED, "CID: empty");
    if (size == CID_TEXT_MAX)
        rc = err_set(err, ERR_MALFORMED, "CID: longer than %d characters", CID_TEXT_MAX - 1);
    else
        rc = parse_whole(text, size, out, err);
    if (rc != 0) {
        char said[QUOTE_CHARS + 4];
        quote(text, said);
        return err_wrap(err, rc, "\"%s\"", said);
    }
    return 0;
}

const char *cid_format_base(const struct cid *c, char base, char out[CID_TEXT_MAX])
{
    /* Straight into the caller's room: such a buf never grows. */
    struct buf text = {.data = (uint8_t *)out, .capacity = CID_TEXT_MAX, .max = CID_TEXT_MAX - 1};
    if (c->size == 0)
        buf_append_text(&text, "-");
    else if (c->bytes[0] == 1)
        multibase_encode(base, bytes_of(c->bytes, c->size), &text);
    else
        multibase_encode_base58(bytes_of(c->bytes, c->size), &text);
    if (text.failed != 0 && base != 'b')
        return cid_format_base(c, 'b', out); /* no such base, or too long in it */
    out[text.size] = '\0';
    return out;
}

const char *cid_format(const struct cid *c, char out[CID_TEXT_MAX])
{
    return cid_format_base(c, 'b', out);
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
        (void)varint_take(bytes_of(c->bytes + 1, c->size - 1u), VARINT_BYTES_MAX, &codec);
    return (uint32_t)codec;
}

struct cid cid_as_v1(const struct cid *c)
{
    return is_v0(bytes_of(c->bytes, c->size)) ? cid_from_digest(CID_DAG_PB, c->bytes + 2) : *c;
}

struct cid cid_as_v0(const struct cid *c)
{
    const uint8_t *digest = cid_digest(c);
    if (digest == NULL || cid_codec(c) != CID_DAG_PB)
        return *c;
    struct cid v0 = {.size = V0_BYTES, .bytes = {CID_SHA2_256, HASH_BYTES}};
    memcpy(v0.bytes + 2, digest, HASH_BYTES);
    return v0;
}

struct bytes cid_multihash(const struct cid *c)
{
    struct parts p = parts_of(c);
    return bytes_of(c->bytes + p.multihash, c->size - p.multihash);
}

bool cid_identity(const struct cid *c, struct bytes *block)
{
    struct parts p = parts_of(c);
    if (p.digest == 0 || p.hash != CID_IDENTITY)
        return false;
    if (block != NULL)
        *block = bytes_of(c->bytes + p.digest, (size_t)p.digest_bytes);
    return true;
}

const uint8_t *cid_digest(const struct cid *c)
{
    /* Nearly every CID: a codec of one byte, whose 36 bytes say where the digest is. */
    const uint8_t *b = c->bytes;
    if (c->size == CID_BYTES_V1 && b[0] == 1 && b[1] < 0x80 && b[2] == CID_SHA2_256 &&
        b[3] == HASH_BYTES)
        return b + 4;
    struct parts p = parts_of(c);
    return p.hash == CID_SHA2_256 ? b + p.digest : NULL;
}

static int refuse_hash(uint64_t hash, struct err *err)
{
    const char *weak = hash == SHA1          ? "sha1"
                       : hash == MD5         ? "md5"
                       : hash == MURMUR3_X64 ? "murmur3"
                                             : NULL;
    if (weak != NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s is too weak to prove that bytes are those of a CID; ask for the same "
                       "content under a sha2-256 CID",
                       weak);
    return err_set(err, ERR_UNSUPPORTED,
                   "a CID of the multihash 0x%llx, which is not known here; ask for the same "
                   "content under a sha2-256 CID",
                   (unsigned long long)hash);
}

static int mismatch(const struct cid *c, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_MALFORMED, "bytes do not hash to CID %s", cid_format(c, text));
}

int cid_verify(const struct cid *c, struct bytes block, struct err *err)
{
    struct parts p = parts_of(c);
    uint8_t digest[HASH_MULTI_MAX];
    if (p.digest == 0)
        return err_set(err, ERR_MALFORMED, "bytes do not hash to CID -");
    if (p.hash == CID_IDENTITY)
        return bytes_equal(block, bytes_of(c->bytes + p.digest, (size_t)p.digest_bytes))
                   ? 0
                   : mismatch(c, err);
    size_t size = hash_multi(p.hash, block, digest);
    if (size == 0)
        return refuse_hash(p.hash, err);
    if (size != p.digest_bytes)
        return err_set(
            err, ERR_UNSUPPORTED,
            "a CID with %llu of the %zu bytes of its digest: only whole ones are checked",
            (unsigned long long)p.digest_bytes, size);
    return memcmp(digest, c->bytes + p.digest, size) == 0 ? 0 : mismatch(c, err);
}
