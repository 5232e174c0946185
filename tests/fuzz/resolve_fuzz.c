/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: the first byte is the root's codec, then a path and blocks. A path that is followed ends
 * at a block, the rest of it inside the path and empty unless the block is data; text is parsed
 * into a CID and the rest of itself. */
#include "content/resolve.h"
#include "tests/fuzz/blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct last {
    struct cid cid;
    size_t count;
};

static int visit(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct last *l = self;
    (void)block;
    (void)err;
    l->cid = *cid;
    l->count++;
    return 0;
}

static void check_path(const struct cid *root, struct blocks *b, const char *path)
{
    struct block_source source = {b, blocks_get};
    struct resolved r = {0};
    struct last l = {0};
    struct err err = {0};
    int rc = resolve_path(&source, root, path, visit, &l, &r, &err);
    if (rc != 0) {
        blocks_check_refusal(rc, &err);
        return;
    }
    assert(r.rest >= path && r.rest <= path + strlen(path) && *r.rest != '/');
    if (*r.rest != '\0') {
        assert(cid_codec(&r.cid) == CID_DAG_CBOR || cid_codec(&r.cid) == CID_DAG_JSON);
        assert(cid_identity(&r.cid, NULL) || (l.count > 0 && cid_equal(&l.cid, &r.cid)));
    }
    if (path[strspn(path, "/")] == '\0')
        assert(cid_equal(&r.cid, root) && l.count == 0);
}

static void check_text(const char *text)
{
    struct cid root, again;
    const char *path, *end;
    char back[CID_TEXT_MAX];
    struct err err = {0};
    int rc = resolve_parse(text, &root, &path, &err);
    if (rc != 0) {
        assert(rc == ERR_USAGE && err.code == rc && err.text[0] != '\0');
        return;
    }
    assert(path > text && path <= text + strlen(text) && (*path == '/' || *path == '\0'));
    rc = resolve_parse(cid_format(&root, back), &again, &end, NULL);
    assert(rc == 0 && *end == '\0' && cid_equal(&root, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {CID_DAG_PB, CID_DAG_CBOR, CID_DAG_JSON, CID_RAW};
    struct blocks b = {0};
    if (size == 0)
        return 0;
    blocks_take(&b, data + 1, size - 1);
    /* The first is the path; a CID's last byte 1 names the first block behind it. */
    char *path = malloc(b.block[0].size + 1);
    assert(path != NULL);
    if (b.block[0].size > 0)
        memcpy(path, b.block[0].data, b.block[0].size);
    path[b.block[0].size] = '\0';
    uint8_t digest[HASH_BYTES] = {0};
    digest[HASH_BYTES - 1] = 1;
    struct cid root = cid_from_digest(codecs[data[0] & 3], digest);
    check_path(&root, &b, path);
    check_text(path);
    free(path);
    return 0;
}
