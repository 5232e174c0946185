/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "content/store_internal.h"

struct export
{
    struct store *store;
    int fd;
    struct buf block;
};

static int export_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct export *x = self;
    const struct files *f = x->store->files;
    int rc = store_get(x->store, &leaf->cid, &x->block, err);
    if (rc == 0 && x->block.size != leaf->size)
        rc = err_set(err, ERR_MALFORMED, "a leaf of %zu bytes where %llu are named", x->block.size,
                     (unsigned long long)leaf->size);
    return rc != 0 ? rc : f->write(f->self, x->fd, leaf->offset, x->block.data, x->block.size, err);
}

int store_export(struct store *s, const struct cid *root, const char *path, struct err *err)
{
    struct export x = {.store = s, .block = buf_new(STORE_BLOCK_BYTES_MAX)};
    char part[FILES_PATH_MAX];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return err_set(err, ERR_LIMIT, "path too long");
    int rc = s->files->open(s->files->self, part, FILES_CREATE, &x.fd, err);
    if (rc != 0)
        return rc;
    struct block_source source = store_source(s);
    rc = s->files->truncate(s->files->self, x.fd, 0, err);
    if (rc == 0)
        rc = unixfs_walk(&source, root, STORE_MODEL_BYTES_MAX, NULL, export_leaf, &x, err);
    if (rc == 0)
        rc = s->files->sync(s->files->self, x.fd, err);
    s->files->close(s->files->self, x.fd);
    /* Under its name only when it is whole. */
    if (rc == 0)
        rc = s->files->rename(s->files->self, part, path, err);
    if (rc != 0)
        (void)s->files->unlink(s->files->self, part, NULL);
    buf_fini(&x.block);
    return rc;
}
