/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/work_folder.h"

struct clearing {
    const struct files *files;
    const char *path;
    unsigned depth;
};

static int clear(const struct clearing *c, struct err *err);

/* Only a real folder cannot be unlinked; asking what the name is would follow a link. */
static int remove_one(void *arg, const char *name, struct err *err)
{
    const struct clearing *c = arg;
    const struct files *f = c->files;
    char path[FILES_PATH_MAX];
    int rc = files_join(path, c->path, name, err);
    if (rc != 0 || f->unlink(f->self, path, NULL) == 0)
        return rc;
    struct clearing inner = {.files = f, .path = path, .depth = c->depth + 1};
    if (inner.depth > WORK_FOLDER_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "%.256s...: folders too deep", path);
    rc = clear(&inner, err);
    return rc != 0 ? rc : f->remove_dir(f->self, path, err);
}

static int clear(const struct clearing *c, struct err *err)
{
    return c->files->list(c->files->self, c->path, remove_one, (void *)(uintptr_t)c, err);
}

int work_folder_clear(const struct files *f, const char *dir, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct clearing c = {.files = f, .path = path};
    int rc = files_join(path, dir, "work", err);
    if (rc == 0)
        rc = clear(&c, err);
    return rc != 0 ? err_wrap(err, rc, "what a trainer left in work/") : 0;
}
