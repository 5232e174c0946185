/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/file_out.h"

#include <unistd.h>

#include "cli/entry_kind.h"
#include "cli/say.h"
#include "content/extract.h"

static int refuse_folder(const struct origin *o, const struct cid *root, const char *target,
                         struct err *err)
{
    char shown[SAY_SHORT], text[CID_TEXT_MAX];
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    struct entry_kind kind = {0};
    if (cid_codec(root) == CID_RAW)
        return 0;
    int rc = block_source_get(&o->source, root, &block, err);
    if (rc != 0)
        rc = err_wrap(err, rc, "block %s", cid_format(root, text));
    else if (entry_kind_of(root, buf_bytes(&block), &kind, NULL) == 0 && kind.folder)
        rc = err_set(err, ERR_UNSUPPORTED,
                     "%s is a folder: `colmeia ls` lists it, `colmeia get` writes it to disk",
                     say_short(target, shown));
    buf_fini(&block);
    return rc;
}

int file_out(const struct origin *o, const char *target, uint64_t begin, uint64_t end,
             struct err *err)
{
    struct extract_options e = {.source = o->source};
    struct cid root;
    int rc = origin_find(o, target, &root, NULL, err);
    if (rc == 0)
        rc = refuse_folder(o, &root, target, err);
    if (rc == 0)
        rc = jobs_new(0, &e.jobs, err);
    if (rc == 0 && begin == 0 && end == UINT64_MAX)
        rc = origin_fetch(o, &root, false, err);
    if (rc == 0)
        rc = extract_stream(&e, &root, begin, end, STDOUT_FILENO, err);
    jobs_free(e.jobs);
    return rc;
}
