/* SPDX-License-Identifier: Apache-2.0 */
/* dagjson: the first byte is a codec, the second the length of a path, then path and block. What is
 * written as dag-json is dag-json again, with the links of the block, and the same when it is
 * written once more; a path that is followed leads where the place is written from. */
#include "base/cbor.h"
#include "content/dagjson.h"
#include "tests/fuzz/blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_link(void *self, const struct cid *link, struct err *err)
{
    (void)err;
    assert(!cid_is_none(link));
    ++*(size_t *)self;
    return 0;
}

static void check_text(const struct cid *cid, struct bytes block, struct buf *text)
{
    struct buf again = buf_new(8 * text->size + 1024);
    struct err err = {0};
    size_t in_text = 0, in_block = 0;
    struct cid json = cid_of(CID_DAG_JSON, bytes_of(NULL, 0));
    assert(strlen(buf_text(text)) == text->size);
    int rc = dagjson_each_link(buf_bytes(text), count_link, &in_text, &err);
    if (rc != 0) { /* an integer past 63 bits; a map that looks like a link and is none; size */
        assert(cid_codec(cid) != CID_DAG_JSON && (rc == ERR_MALFORMED || rc == ERR_LIMIT));
    } else {
        rc = dagjson_format(&json, buf_bytes(text), "", &again, &err);
        assert(rc == 0 && bytes_equal(buf_bytes(&again), buf_bytes(text)));
        if (cid_codec(cid) == CID_DAG_CBOR) {
            rc = cbor_check(block, count_link, &in_block, NULL);
            assert(rc == 0 && in_text >= in_block);
        }
    }
    buf_fini(&again);
}

static void check_path(const struct cid *cid, struct bytes block, const char *path)
{
    struct buf text = buf_new(64 * block.size + 1024);
    struct err err = {0}, other = {0};
    struct cid link;
    size_t used = 0;
    int format = dagjson_format(cid, block, path, &text, &err);
    int follow = dagjson_follow(cid, block, path, &link, &used, &other);
    if (format != 0)
        blocks_check_refusal(format, &err);
    if (follow != 0)
        blocks_check_refusal(follow, &other);
    else
        assert(used <= strlen(path));
    if (follow != ERR_UNSUPPORTED && follow != 0)
        assert(format == follow);
    if (follow == 0 && cid_is_none(&link))
        assert(format == 0 && used == strlen(path));
    if (format == 0 && follow != ERR_UNSUPPORTED)
        assert(follow == 0 && path[used + strspn(path + used, "/")] == '\0');
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {CID_DAG_CBOR, CID_DAG_JSON, CID_DAG_PB, CID_RAW, CID_CBOR};
    char path[256] = {0};
    if (size < 2)
        return 0;
    size_t length = data[1] < size - 2 ? data[1] : size - 2;
    memcpy(path, data + 2, length);
    struct bytes block = bytes_of(data + 2 + length, size - 2 - length);
    struct cid cid = cid_of(codecs[data[0] % 5], bytes_of(NULL, 0));
    struct buf text = buf_new(64 * size + 1024);
    struct err err = {0};
    int rc = dagjson_format(&cid, block, "", &text, &err);
    if (rc == 0)
        check_text(&cid, block, &text);
    else
        blocks_check_refusal(rc, &err);
    check_path(&cid, block, path);
    buf_fini(&text);
    return 0;
}
