/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/fault.h"
#include "study/seal.h"
#include "worker/worker.h"

static bool is_listed(const struct errand *k, const struct cid *cid)
{
    for (size_t i = 0; i < k->cid_count; i++)
        if (cid_equal(&k->cids[i], cid))
            return true;
    return false;
}

/* Replaces the list by what is to be sent: never anything but the update's own. Where record or
 * index are missing the coordinator cannot know of what they name, so all from there on goes. */
static int choose(struct errand *k, struct pack *pack, struct err *err)
{
    struct cid *all = NULL;
    size_t count = 0, from = 0;
    int rc = seal_blocks(pack, &k->record, &all, &count, err);
    if (rc != 0)
        return rc;
    while (from < 2 && from < count && !is_listed(k, &all[from]))
        from++;
    if (from < 2 && from < count) {
        free(k->cids);
        memmove(all, all + from, (count - from) * sizeof *all);
        k->cids = all;
        k->cid_count = count - from;
        k->more = false;
        return 0;
    }
    free(all);
    size_t kept = 0;
    for (size_t i = 0; i < k->cid_count; i++)
        if (pack_has(pack, &k->cids[i]))
            k->cids[kept++] = k->cids[i];
    k->cid_count = kept;
    return kept > 0 ? 0
                    : err_set(err, ERR_NOTFOUND,
                              "the coordinator misses blocks that are not this update's");
}

int sending_run(struct errand *k, struct err *err)
{
    struct worker *w = k->worker;
    char path[FILES_PATH_MAX];
    struct pack *pack;
    int rc = errand_pack_path(k, k->order.round, path, err);
    if (rc == 0)
        rc = pack_open(w->world->files, path, false, &pack, err);
    if (rc != 0)
        return rc;
    rc = choose(k, pack, err);
    if (rc == 0)
        rc = w->world->upload(w->world->self, k->order.round, pack, k->cids, k->cid_count, err);
    pack_close(pack);
    if (rc == 0)
        FAULT_POINT("worker-uploaded");
    return rc;
}
