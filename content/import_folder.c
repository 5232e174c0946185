/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/import_internal.h"

/* Names in the byte order that a directory's links have. */
struct names {
    size_t count, capacity;
    char **items;
};

static void free_names(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

static int add_name(struct names *n, const char *name, struct err *err)
{
    if (n->count == n->capacity) {
        size_t capacity = n->capacity == 0 ? 64 : 2 * n->capacity;
        char **grown = realloc(n->items, capacity * sizeof *grown);
        if (grown == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        n->items = grown;
        n->capacity = capacity;
    }
    n->items[n->count] = strdup(name);
    if (n->items[n->count] == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    n->count++;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_wanted(const char *name, bool hidden)
{
    if (name[0] != '.')
        return true;
    return hidden && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int list(int fd, bool hidden, struct names *out, struct err *err)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* closedir closes it */
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    int rc = 0;
    if (dir == NULL) {
        rc = err_errno(err, "list");
        if (own >= 0)
            close(own);
        return rc;
    }
    rewinddir(dir);
    struct dirent *d;
    while (rc == 0 && (errno = 0, d = readdir(dir)) != NULL)
        if (is_wanted(d->d_name, hidden))
            rc = add_name(out, d->d_name, err);
    if (rc == 0 && errno != 0)
        rc = err_errno(err, "list");
    closedir(dir);
    if (rc == 0 && out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, by_bytes);
    return rc;
}

int import_folder_symlink(struct import_window *w, struct import_entry *link, int fd,
                          struct err *err)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(fd, link->name, target, sizeof target);
    if (size < 0)
        return err_errno(err, "%s", link->path);
    return import_window_symlink(w, link, bytes_of(target, (size_t)size), err);
}

static int take_file(struct import_window *w, struct import_entry *file, int fd, struct err *err)
{
    struct stat s;
    file->fd = openat(fd, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &s) != 0)
        return err_errno(err, "%s", file->path);
    if (!S_ISREG(s.st_mode))
        return err_set(err, ERR_IO, "%s: it changed while it was read", file->path);
    file->size = (uint64_t)s.st_size;
    return import_window_file(w, file, err);
}

static unsigned depth_of(const struct import_entry *e)
{
    unsigned depth = 0;
    for (; e->above != NULL; e = e->above)
        depth++;
    return depth;
}

static int take_folder(struct import_window *w, struct import_entry *folder, int fd,
                       struct err *err)
{
    if (depth_of(folder) > IMPORT_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "%s: folders more than %d deep", folder->path,
                       IMPORT_DEPTH_MAX);
    int own = openat(fd, folder->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (own < 0)
        return err_errno(err, "%s", folder->path);
    int rc = import_folder(w, folder, own, err);
    close(own);
    return rc;
}

static int take_name(struct import_window *w, struct import_entry *folder, int fd, const char *name,
                     struct err *err)
{
    struct import_entry *e;
    struct stat s;
    char *path = NULL;
    int size = asprintf(&path, "%s%s%s", folder->path,
                        folder->path[strlen(folder->path) - 1] == '/' ? "" : "/", name);
    if (size < 0)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = import_window_entry(w, folder, path, (size_t)size - strlen(name), &e, err);
    free(path);
    if (rc != 0)
        return rc;
    if (fstatat(fd, name, &s, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, "%s", e->path);
    if (S_ISLNK(s.st_mode))
        return import_folder_symlink(w, e, fd, err);
    if (S_ISDIR(s.st_mode))
        return take_folder(w, e, fd, err);
    if (S_ISREG(s.st_mode))
        return take_file(w, e, fd, err);
    return err_set(err, ERR_USAGE, "%s is neither a file nor a folder nor a symlink", e->path);
}

int import_folder(struct import_window *w, struct import_entry *folder, int fd, struct err *err)
{
    struct names names = {0};
    int rc = directory_new(w->o->profile, &folder->directory, err);
    if (rc == 0)
        rc = list(fd, w->o->hidden, &names, err);
    if (rc != 0)
        rc = err_wrap(err, rc, "%s", folder->path);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = take_name(w, folder, fd, names.items[i], err);
    free_names(&names);
    if (rc != 0)
        return rc;
    struct import_item end = {.entry = folder, .kind = IMPORT_END};
    return import_window_push(w, &end, err);
}

/* --- measuring --- */

static bool measure(int fd, bool hidden, unsigned depth, uint64_t *bytes)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    bool good = dir != NULL && depth <= IMPORT_DEPTH_MAX;
    struct dirent *d;
    struct stat s;
    while (good && (d = readdir(dir)) != NULL) {
        if (!is_wanted(d->d_name, hidden))
            continue;
        good = fstatat(fd, d->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0;
        if (good && S_ISREG(s.st_mode))
            *bytes += (uint64_t)s.st_size;
        if (!good || !S_ISDIR(s.st_mode))
            continue;
        int below = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        good = below >= 0 && measure(below, hidden, depth + 1, bytes);
        if (below >= 0)
            close(below);
    }
    if (dir != NULL)
        closedir(dir);
    else if (own >= 0)
        close(own);
    return good;
}

uint64_t import_folder_measure(int fd, bool hidden)
{
    uint64_t bytes = 0;
    return measure(fd, hidden, 0, &bytes) ? bytes : 0;
}
