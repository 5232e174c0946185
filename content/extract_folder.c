/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/directory.h"
#include "content/extract_internal.h"

#define WINDOW_ENTRIES 128

struct entry {
    char *name;
    struct cid cid;
    bool later; /* a folder or a large file */
    int rc;
    struct err err;
};

/* A folder being written: entries are gathered and done in parts, small ones at once, the others
 * when the folder's own block is no longer held. */
struct folder {
    struct extract *x;
    struct extract_place place; /* of what is in it, but for the name */
    size_t count;
    struct entry window[WINDOW_ENTRIES];
    size_t later_count, later_capacity;
    struct entry *later;
};

static void work_entry(void *self, size_t i)
{
    struct folder *f = self;
    struct entry *e = &f->window[i];
    struct extract_place place = f->place;
    place.name = e->name;
    e->err.code = 0;
    e->rc = extract_entry(f->x, &place, &e->cid, &e->later, &e->err);
}

static int keep_for_later(struct folder *f, struct entry *e, struct err *err)
{
    if (f->later_count == f->later_capacity) {
        size_t capacity = f->later_capacity == 0 ? 16 : 2 * f->later_capacity;
        struct entry *grown = realloc(f->later, capacity * sizeof *grown);
        if (grown == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        f->later = grown;
        f->later_capacity = capacity;
    }
    f->later[f->later_count++] = *e;
    e->name = NULL;
    return 0;
}

static int flush(struct folder *f, struct err *err)
{
    jobs_split(f->x->o->jobs, f->count, work_entry, f);
    int rc = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct entry *e = &f->window[i];
        if (rc == 0 && e->rc != 0)
            rc = err_set(err, e->rc, "%s", e->err.text);
        if (rc == 0 && e->later)
            rc = keep_for_later(f, e, err);
        free(e->name);
    }
    f->count = 0;
    return rc;
}

static int take_entry(void *self, const struct hamt_entry *entry, struct err *err)
{
    struct folder *f = self;
    int rc = extract_name_check(entry->name, err);
    if (rc == 0 && atomic_fetch_add(&f->x->entries, 1) >= EXTRACT_ENTRIES_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %u files and folders", EXTRACT_ENTRIES_MAX);
    if (rc == 0)
        rc = extract_take_room(f->x, EXTRACT_ENTRY_BYTES, err);
    char *name = rc == 0 ? strndup((const char *)entry->name.data, entry->name.size) : NULL;
    if (rc == 0 && name == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc != 0)
        return err_wrap(err, rc, "%.400s", f->place.path);
    f->window[f->count++] = (struct entry){.name = name, .cid = entry->cid};
    return f->count < WINDOW_ENTRIES ? 0 : flush(f, err);
}

static int read_entries(struct folder *f, const struct cid *cid, struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    int rc = block_source_get(&f->x->o->source, cid, &block, err);
    if (rc == 0)
        rc = directory_each(&f->x->o->source, buf_bytes(&block), take_entry, NULL, f, err);
    if (rc == 0)
        rc = flush(f, err);
    buf_fini(&block);
    return rc;
}

static int do_later(struct folder *f, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->later_count; i++) {
        struct extract_place place = f->place;
        place.name = f->later[i].name;
        rc = extract_entry(f->x, &place, &f->later[i].cid, NULL, err);
    }
    return rc;
}

static void free_folder(struct folder *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->window[i].name);
    for (size_t i = 0; i < f->later_count; i++)
        free(f->later[i].name);
    free(f->later);
    if (f->place.folder >= 0)
        close(f->place.folder);
    free(f);
}

static int fill(struct folder *f, const struct cid *cid, struct err *err)
{
    int rc = read_entries(f, cid, err);
    if (rc == 0)
        rc = do_later(f, err);
    if (rc == 0 && f->x->o->sync && fsync(f->place.folder) != 0)
        rc = err_errno(err, "sync folder %.400s", f->place.path);
    return rc;
}

static int make(struct folder *f, const struct extract_place *place, struct err *err)
{
    if (mkdirat(place->folder, place->name, 0777) != 0) {
        if (errno != EEXIST)
            return err_errno(err, "make folder");
        if (place->depth > 0) /* the folder above was made here */
            return err_set(err, ERR_DENIED, "its folder has this name twice: refused");
        return err_set(err, ERR_EXISTS, "there is something by that name");
    }
    f->place.folder =
        openat(place->folder, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return f->place.folder >= 0 ? 0 : err_errno(err, "open folder");
}

int extract_folder(struct extract *x, const struct extract_place *place, const struct cid *cid,
                   struct err *err)
{
    if (place->depth > EXTRACT_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "folders more than %d deep", EXTRACT_DEPTH_MAX);
    struct folder *f = calloc(1, sizeof *f);
    char *path = NULL;
    if (f == NULL || asprintf(&path, "%s%s/", place->path,
                              place->shown != NULL ? place->shown : place->name) < 0) {
        free(f);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    f->x = x;
    f->place = (struct extract_place){.folder = -1, .path = path, .depth = place->depth + 1};
    int rc = make(f, place, err);
    rc = rc != 0 ? err_wrap(err, rc, "%.400s", path) : fill(f, cid, err);
    free_folder(f);
    free(path);
    return rc;
}

static void empty(int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *d;
    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), d->d_name, 0) != 0)
            extract_folder_remove(dirfd(dir), d->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    else
        close(fd);
}

void extract_folder_remove(int above, const char *name)
{
    int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        empty(fd);
    unlinkat(above, name, AT_REMOVEDIR);
}
