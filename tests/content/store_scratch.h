/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_scratch -- a store in the test's folder, and where its files lie by the documented rule.
 */
#ifndef COLMEIA_TESTS_CONTENT_STORE_SCRATCH_H
#define COLMEIA_TESTS_CONTENT_STORE_SCRATCH_H

#include "content/store.h"
#include "tests/scratch.h"

UNUSED static struct store *open_store(const struct files *f, enum store_mode mode)
{
    struct store *s;
    struct err err = {0};
    if (store_open(f, in_scratch("store"), mode, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

UNUSED static struct store *open_real(void)
{
    return open_store(files_posix(), STORE_WRITE);
}

/* The code of store_get; 0 only with bytes that hash. */
UNUSED static int get(struct store *s, const struct cid *cid)
{
    struct buf out = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = store_get(s, cid, &out, NULL);
    if (rc == 0)
        assert_int_equal(cid_verify(cid, buf_bytes(&out), NULL), 0);
    else
        assert_int_equal(out.size, 0);
    buf_fini(&out);
    return rc;
}

UNUSED static struct cid put_text(struct store *s, const char *text)
{
    struct cid cid = cid_of(CID_DAG_CBOR, bytes_of_text(text));
    assert_int_equal(store_put(s, &cid, bytes_of_text(text), NULL), 0);
    return cid;
}

/* Where the store keeps a block, by its documented rule. */
UNUSED static const char *path_of(const struct cid *cid)
{
    static char name[128];
    char text[CID_TEXT_MAX];
    size_t size = strlen(cid_format(cid, text));
    snprintf(name, sizeof name, "store/blocks/%.2s/%.100s", text + size - 3, text);
    return in_scratch(name);
}

UNUSED static const char *path_of_model(const struct cid *cid)
{
    static char name[128];
    char text[CID_TEXT_MAX];
    snprintf(name, sizeof name, "store/models/%.90s.safetensors", cid_format(cid, text));
    return in_scratch(name);
}

#endif
