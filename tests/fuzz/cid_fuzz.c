/* SPDX-License-Identifier: Apache-2.0 */
/* cid: the input as a binary CID, and as a text. What is read is written the same again, in every
 * base, and what names it as another version names the same bytes. */
#include <assert.h>
#include <stdlib.h>

#include "base/cid.h"
#include "base/varint.h"

#define TEXT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sentence(const struct err *err)
{
    assert(err->text[0] != '\0');
    for (const char *at = err->text; *at != '\0'; at++)
        assert(*at >= ' ' && *at <= '~');
    assert(strlen(err->text) < 300);
}

static void check_bases(const struct cid *c)
{
    static const char bases[] = "079fFvVtTbBcChkKzZmMuU";
    for (size_t i = 0; bases[i] != '\0'; i++) {
        char text[CID_TEXT_MAX];
        struct cid back;
        cid_format_base(c, bases[i], text);
        assert(strlen(text) < CID_TEXT_MAX);
        assert(text[0] == bases[i] || text[0] == 'b' || text[0] == 'Q');
        int rc = cid_parse(text, &back, NULL);
        assert(rc == 0 && memcmp(&back, c, sizeof back) == 0);
    }
}

static void check_versions(const struct cid *c)
{
    struct cid v1 = cid_as_v1(c), v0 = cid_as_v0(c), again = cid_as_v1(&v0);
    struct bytes multihash = cid_multihash(c);
    assert(cid_equal(&again, &v1) && v1.bytes[0] == 1);
    assert(bytes_equal(multihash, cid_multihash(&v1)) &&
           bytes_equal(multihash, cid_multihash(&v0)));
    assert(cid_codec(c) == cid_codec(&v1) && cid_codec(c) == cid_codec(&v0));
}

/* Code, length, digest, each as cid.h bounds it. */
static void check_multihash(const struct cid *c)
{
    struct bytes in = cid_multihash(c);
    uint64_t code = 0, size = 0;
    size_t at = varint_take(in, VARINT_BYTES_MAX, &code);
    assert(at > 0 && code <= UINT32_MAX);
    at += varint_take(bytes_of(in.data + at, in.size - at), VARINT_BYTES_MAX, &size);
    assert(size == in.size - at && size <= CID_DIGEST_MAX);
    assert(size >= CID_DIGEST_MIN || code == CID_IDENTITY);
    assert(size == HASH_BYTES || code != CID_SHA2_256);
    assert((cid_digest(c) != NULL) == (code == CID_SHA2_256));
    assert(cid_identity(c, NULL) == (code == CID_IDENTITY));
}

static void check_hash(const struct cid *c, struct bytes any)
{
    struct bytes block;
    struct err err;
    const uint8_t *digest = cid_digest(c);
    if (cid_identity(c, &block)) {
        assert(digest == NULL && block.size <= CID_DIGEST_MAX);
        int rc = cid_verify(c, block, NULL);
        assert(rc == 0);
    }
    if (digest != NULL) {
        struct cid made = cid_from_digest(cid_codec(c), digest), v1 = cid_as_v1(c);
        assert(memcmp(&made, &v1, sizeof made) == 0);
    }
    int rc = cid_verify(c, any, &err);
    assert(rc == 0 || rc == ERR_MALFORMED || rc == ERR_UNSUPPORTED);
}

static void check(const struct cid *c, struct bytes any)
{
    struct cid clean = {.size = c->size};
    assert(c->size > 0 && c->size <= CID_BYTES_MAX && !cid_is_none(c));
    memcpy(clean.bytes, c->bytes, c->size);
    assert(memcmp(&clean, c, sizeof clean) == 0); /* the tail is zero */
    check_bases(c);
    check_versions(c);
    check_multihash(c);
    check_hash(c, any);
}

static void as_binary(struct bytes in)
{
    struct cid c = {.size = 77}, whole;
    struct err err;
    size_t used = 0;
    int rc = cid_decode_prefix(in, &c, &used, &err);
    if (rc != 0) {
        assert((rc == ERR_MALFORMED || rc == ERR_UNSUPPORTED) && c.size == 77);
        check_sentence(&err);
        rc = cid_decode(in, &c, NULL);
        assert(rc != 0);
        return;
    }
    assert(used == c.size && used <= in.size && memcmp(c.bytes, in.data, used) == 0);
    rc = cid_decode(in, &whole, NULL);
    assert((rc == 0) == (used == in.size));
    rc = cid_decode(bytes_of(in.data, used), &whole, NULL);
    assert(rc == 0 && memcmp(&whole, &c, sizeof c) == 0);
    check(&c, in);
}

static void as_text(struct bytes in)
{
    char *text = malloc(in.size + 1), again[CID_TEXT_MAX];
    struct cid c = {.size = 77};
    struct err err;
    if (text == NULL)
        abort();
    if (in.size > 0)
        memcpy(text, in.data, in.size);
    text[in.size] = '\0';
    int rc = cid_parse(text, &c, &err);
    if (rc == 0) {
        cid_format_base(&c, text[0], again); /* a version 0 has one base only */
        assert(strcmp(again, text) == 0);
        check(&c, in);
    } else {
        assert((rc == ERR_MALFORMED || rc == ERR_UNSUPPORTED) && c.size == 77);
        check_sentence(&err);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_binary(bytes_of(data, size));
    as_text(bytes_of(data, size < TEXT_MAX ? size : TEXT_MAX));
    return 0;
}
