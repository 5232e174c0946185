/* SPDX-License-Identifier: Apache-2.0 */
/* dag: the first byte is the root's codec and whether duplicates are asked for, then blocks. A walk
 * ends, visits no block twice unless asked to, and reads what it visits. */
#include "content/dag.h"
#include "tests/fuzz/blocks.h"

#define VISITS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trace {
    struct cid seen[VISITS_MAX];
    size_t count;
    bool dups;
};

static int visit(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct trace *t = self;
    (void)block;
    assert(!cid_identity(cid, NULL));
    for (size_t i = 0; !t->dups && i < t->count; i++)
        assert(!cid_equal(&t->seen[i], cid));
    if (t->count == VISITS_MAX)
        return err_set(err, ERR_DENIED, "enough");
    t->seen[t->count++] = *cid;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t codecs[] = {CID_DAG_PB, CID_DAG_CBOR, CID_DAG_JSON, CID_RAW};
    static struct trace t;
    struct blocks b = {0};
    struct block_source source = {&b, blocks_get};
    struct err err = {0};
    if (size == 0)
        return 0;
    t.count = 0;
    t.dups = (data[0] & 4) != 0;
    blocks_take(&b, data + 1, size - 1);
    uint8_t digest[HASH_BYTES] = {0}; /* block 0 */
    struct cid root = cid_from_digest(codecs[data[0] & 3], digest);
    struct dag_walk w = {.source = &source, .dups = t.dups, .visit = visit, .self = &t};
    int rc = dag_walk(&w, &root, &err);
    if (rc == ERR_DENIED)
        assert(t.count == VISITS_MAX);
    else if (rc != 0)
        blocks_check_refusal(rc, &err);
    assert(b.gets >= t.count);
    return 0;
}
