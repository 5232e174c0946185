/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/fault.h"
#include "content/packs_internal.h"

int packs_recover_part(struct packs *p, const char *name, int fd, bool *kept, struct err *err)
{
    char part[FILES_PATH_MAX], index[FILES_PATH_MAX], car[FILES_PATH_MAX];
    const struct files *f = p->files;
    struct packs_entries list = {0};
    uint64_t end;
    int rc = packs_path(p, name, ".part", part, err);
    if (rc == 0)
        rc = packs_path(p, name, ".index", index, err);
    if (rc == 0)
        rc = packs_path(p, name, ".car", car, err);
    if (rc == 0)
        rc = packs_car_scan(f, fd, true, &list, &end, err);
    *kept = rc == 0 && list.count > 0;
    if (rc == 0 && !*kept) {
        rc = f->unlink(f->self, part, err);
        (void)f->unlink(f->self, index, NULL);
    }
    if (*kept) {
        rc = f->truncate(f->self, fd, end, err);
        if (rc == 0)
            rc = packs_index_save(f, index, &list, err);
        FAULT_POINT("packs-recover-before-rename");
        if (rc == 0)
            rc = f->rename(f->self, part, car, err);
    }
    packs_entries_fini(&list);
    return rc;
}

/* Another process that recovers, or writes, has it locked. What it renamed or removed meanwhile has
 * no name any more; a name is never used twice. On a full disk it stays a part, for the next
 * writer: a store that could not be opened could not be made smaller either. */
static int recover_part(struct packs *p, const char *name, struct err *err)
{
    char path[FILES_PATH_MAX];
    const struct files *f = p->files;
    bool kept;
    int fd;
    int rc = packs_path(p, name, ".part", path, err);
    if (rc == 0)
        rc = f->open(f->self, path, FILES_UPDATE, &fd, err);
    if (rc != 0)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = f->lock_fd(f->self, fd, false, err);
    if (rc == ERR_DENIED)
        rc = 0;
    else if (rc == 0 && files_exists(f, path))
        rc = packs_recover_part(p, name, fd, &kept, err);
    if (rc == ERR_IO)
        rc = 0;
    f->close(f->self, fd);
    return rc != 0 ? err_wrap(err, rc, "%.600s", path) : 0;
}

/* A part is looked for first: its writer renames it behind our back, never the other way round. */
static int remove_orphan(struct packs *p, const char *name, struct err *err)
{
    static const char *const owners[] = {".part", ".car", ".ref"};
    char path[FILES_PATH_MAX];
    int rc;
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        rc = packs_path(p, name, owners[i], path, err);
        if (rc != 0 || files_exists(p->files, path))
            return rc;
    }
    rc = packs_path(p, name, ".index", path, err);
    if (rc == 0)
        rc = p->files->unlink(p->files->self, path, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int recover_name(void *self, const char *name, struct err *err)
{
    struct packs *p = self;
    char digits[PACKS_NAME_BYTES];
    if (packs_name(name, ".part", digits))
        return recover_part(p, digits, err);
    return packs_name(name, ".index", digits) ? remove_orphan(p, digits, err) : 0;
}

/* A pack without its index gets a new one when it is first looked at. */
int packs_recover(struct packs *p, struct err *err)
{
    return p->files->list(p->files->self, p->folder, recover_name, p, err);
}
