/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "content/store_internal.h"

struct counting {
    struct store *store;
    struct store_stat *out;
};

static int count_single(void *self, const struct cid *cid, const char *path, struct err *err)
{
    struct counting *c = self;
    const struct files *f = c->store->files;
    struct files_stat st;
    (void)cid;
    int rc = f->stat(f->self, path, &st, err);
    if (rc == ERR_NOTFOUND)
        return 0; /* removed this moment */
    if (rc == 0) {
        c->out->single_blocks++;
        c->out->single_bytes += st.size;
    }
    return rc;
}

static int count_models(struct store *s, struct store_stat *out, struct err *err)
{
    struct cid *roots = NULL;
    size_t count;
    int rc = store_model_list(s, &roots, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char path[FILES_PATH_MAX];
        uint64_t size;
        if (store_model_path(s, &roots[i], path, &size, NULL) != 0)
            continue; /* deleted this moment */
        out->models++;
        out->model_bytes += size;
    }
    free(roots);
    return rc;
}

int store_stat(struct store *s, struct store_stat *out, struct err *err)
{
    struct store_stat found = {0};
    struct packs_stat packs;
    struct counting c = {.store = s, .out = &found};
    int rc = store_each_single(s, count_single, &c, err);
    if (rc == 0)
        rc = packs_stat(s->packs, &packs, err);
    if (rc == 0)
        rc = count_models(s, &found, err);
    if (rc != 0)
        return rc;
    found.packs = packs.packs;
    found.pack_blocks = packs.blocks;
    found.pack_bytes = packs.bytes;
    found.reference_blocks = packs.references;
    found.damaged_packs = packs.damaged;
    found.first_damaged = packs.first_damaged;
    *out = found;
    return 0;
}
