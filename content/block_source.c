/* SPDX-License-Identifier: Apache-2.0 */
#include "content/block_source.h"

int block_source_get(const struct block_source *source, const struct cid *cid, struct buf *out,
                     struct err *err)
{
    struct bytes block;
    if (!cid_identity(cid, &block))
        return source->get(source->self, cid, out, err);
    buf_clear(out);
    buf_append(out, block.data, block.size);
    return buf_check(out, err);
}
