/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "content/packs_internal.h"

#define REFERENCE_MAX (FILES_PATH_MAX + 64)

struct packs_file *packs_file_new(const char *name, bool reference)
{
    struct packs_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    snprintf(file->name, sizeof file->name, "%s", name);
    file->reference = reference;
    file->index_fd = file->data_fd = -1;
    pthread_mutex_init(&file->opening, NULL);
    return file;
}

static void close_descriptors(const struct files *f, struct packs_file *file)
{
    if (file->index_fd >= 0)
        f->close(f->self, file->index_fd);
    if (file->data_fd >= 0)
        f->close(f->self, file->data_fd);
    file->index_fd = file->data_fd = -1;
}

void packs_file_free(const struct files *f, struct packs_file *file)
{
    if (file == NULL)
        return;
    close_descriptors(f, file);
    packs_entries_fini(&file->own);
    free(file->filter.set);
    pthread_mutex_destroy(&file->opening);
    free(file->path);
    free(file);
}

/* --- descriptors --- */

/* Said before a descriptor is opened, so that none is open uncounted. */
static void count_open(struct packs *p, struct packs_file *file)
{
    pthread_mutex_lock(&p->mutex);
    if (!file->counted)
        p->open_count++;
    file->counted = true;
    pthread_mutex_unlock(&p->mutex);
}

static void close_idle(struct packs *p)
{
    while (p->open_count > p->open_max) {
        struct packs_file *oldest = NULL;
        for (size_t i = 0; i < p->count; i++) {
            struct packs_file *file = p->list[i];
            if (file->counted && file->users == 0 && (oldest == NULL || file->used < oldest->used))
                oldest = file;
        }
        if (oldest == NULL)
            return;
        close_descriptors(p->files, oldest);
        oldest->counted = false;
        p->open_count--;
    }
}

/* With the mutex held. */
static void free_if_gone(struct packs *p, struct packs_file *file)
{
    if (!file->gone || file->users > 0 || file->holders > 0)
        return;
    if (file->counted)
        p->open_count--;
    packs_file_free(p->files, file);
}

struct packs_file *packs_file_take(struct packs *p, size_t i)
{
    pthread_mutex_lock(&p->mutex);
    struct packs_file *file = i < p->count ? p->list[i] : NULL;
    if (file != NULL)
        file->users++;
    pthread_mutex_unlock(&p->mutex);
    return file;
}

struct packs_file *packs_file_take_likely(struct packs *p, size_t *i,
                                          const uint8_t digest[HASH_BYTES])
{
    struct packs_file *file = NULL;
    pthread_mutex_lock(&p->mutex);
    while (*i < p->count && !packs_index_filter_may_have(&p->list[*i]->filter, digest))
        ++*i;
    if (*i < p->count) {
        file = p->list[*i];
        file->users++;
    }
    pthread_mutex_unlock(&p->mutex);
    return file;
}

void packs_file_release(struct packs *p, struct packs_file *file)
{
    pthread_mutex_lock(&p->mutex);
    file->users--;
    if (file->gone)
        free_if_gone(p, file);
    else
        close_idle(p);
    pthread_mutex_unlock(&p->mutex);
}

/* Many are sealed in a row and seldom read soon: kept open until others need their place, they
 * would leave nothing to a process that may open few. */
void packs_file_retire(struct packs *p, struct packs_file *file)
{
    pthread_mutex_lock(&p->mutex);
    file->users--;
    if (!file->counted)
        p->open_count++;
    file->counted = true;
    if (file->users == 0) {
        close_descriptors(p->files, file);
        file->counted = false;
        p->open_count--;
    }
    pthread_mutex_unlock(&p->mutex);
}

void packs_file_let_go(struct packs *p, struct packs_file *file)
{
    pthread_mutex_lock(&p->mutex);
    file->holders--;
    free_if_gone(p, file);
    pthread_mutex_unlock(&p->mutex);
}

/* With `opening` held. */
static int open_data(struct packs *p, struct packs_file *file, struct err *err)
{
    char path[FILES_PATH_MAX];
    if (file->data_fd >= 0)
        return 0;
    int rc = packs_path(p, file->name, ".car", path, err);
    return rc != 0 ? rc : p->files->open(p->files->self, path, FILES_READ, &file->data_fd, err);
}

/* What others may rename, replace or remove is opened each time: `fd` is the caller's to close. It
 * is no file of the store's: by now it may be a pipe, at which an open that waits would wait for
 * ever. */
static int open_elsewhere(const struct packs_file *file, int *fd, struct err *err)
{
    struct stat st;
    int got = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (got < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO))
        return err_errno(err, "open %.600s", file->path);
    if (got >= 0 && fstat(got, &st) == 0 && S_ISREG(st.st_mode)) {
        *fd = got;
        return 0;
    }
    if (got >= 0)
        close(got);
    return err_set(err, ERR_CORRUPT, "%.600s has changed since it was added with --nocopy",
                   file->path);
}

int packs_file_open_data(struct packs *p, struct packs_file *file, int *fd, struct err *err)
{
    if (file->reference)
        return open_elsewhere(file, fd, err);
    count_open(p, file);
    pthread_mutex_lock(&file->opening);
    int rc = open_data(p, file, err);
    *fd = file->data_fd;
    pthread_mutex_unlock(&file->opening);
    return rc;
}

void packs_file_close_data(struct packs *p, const struct packs_file *file, int fd)
{
    if (file->reference && fd >= 0)
        p->files->close(p->files->self, fd);
}

/* --- the index --- */

/* One line: the path. With `opening` held, once a file. */
static int read_reference(struct packs *p, struct packs_file *file, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf text = buf_new(REFERENCE_MAX);
    int rc = packs_path(p, file->name, ".ref", path, err);
    if (rc == 0)
        rc = files_load(p->files, path, &text, err);
    size_t size = rc == 0 ? strcspn(buf_text(&text), "\n") : 0;
    if (rc == ERR_LIMIT ||
        (rc == 0 && (size + 1 != text.size || text.data[0] != '/' || text.data[size] != '\n')))
        rc =
            err_set(err, ERR_CORRUPT,
                    "%.600s is damaged: let `colmeia gc` remove it, and add its file with --nocopy "
                    "again",
                    path);
    if (rc == 0) {
        text.data[size] = '\0';
        file->path = strdup(buf_text(&text));
        if (file->path == NULL)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    buf_fini(&text);
    return rc;
}

/* An index that is gone or damaged is made again from the heads of the sections; in memory, where
 * nothing may be written. */
static int remake_index(struct packs *p, struct packs_file *file, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct packs_entries list = {0};
    uint64_t end;
    if (file->reference)
        return err_set(err, ERR_CORRUPT,
                       "pack %s/%s.index is gone or damaged: add %.300s with --nocopy again",
                       p->folder, file->name, file->path);
    int rc = open_data(p, file, err);
    if (rc == 0)
        rc = packs_car_scan(p->files, file->data_fd, false, &list, &end, err);
    if (rc == 0)
        rc = packs_path(p, file->name, ".index", path, err);
    if (rc != 0) {
        packs_entries_fini(&list);
        return rc;
    }
    pthread_mutex_lock(&p->mutex);
    file->synced = false;
    pthread_mutex_unlock(&p->mutex);
    packs_entries_sort(&list);
    file->count = list.count;
    if (p->write && packs_index_save(p->files, path, &list, NULL) == 0 &&
        p->files->open(p->files->self, path, FILES_READ, &file->index_fd, NULL) == 0)
        packs_entries_fini(&list);
    file->own = list;
    return 0;
}

/* With `opening` held, once a file. */
static int check_index(struct packs *p, struct packs_file *file, struct err *err)
{
    struct packs_filter filter = {0};
    int rc = packs_index_check(p->files, file->index_fd, &file->count, &filter, err);
    pthread_mutex_lock(&p->mutex);
    if (file->filter.set == NULL)
        file->filter = filter;
    else
        free(filter.set);
    pthread_mutex_unlock(&p->mutex);
    return rc;
}

/* With `opening` held. */
static int open_index(struct packs *p, struct packs_file *file, struct err *err)
{
    char path[FILES_PATH_MAX];
    if (file->checked && (file->index_fd >= 0 || file->own.entries != NULL))
        return 0;
    int rc = file->reference && file->path == NULL ? read_reference(p, file, err) : 0;
    if (rc != 0)
        return rc;
    rc = packs_path(p, file->name, ".index", path, err);
    if (rc == 0)
        rc = p->files->open(p->files->self, path, FILES_READ, &file->index_fd, err);
    if (rc == 0 && !file->checked)
        rc = check_index(p, file, err);
    if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT) {
        if (file->index_fd >= 0)
            p->files->close(p->files->self, file->index_fd);
        file->index_fd = -1;
        rc = remake_index(p, file, err);
    } else if (rc != 0) {
        rc = err_wrap(err, rc, "%.600s", path);
    }
    file->checked = rc == 0;
    return rc;
}

int packs_file_open_index(struct packs *p, struct packs_file *file, struct err *err)
{
    count_open(p, file);
    pthread_mutex_lock(&file->opening);
    int rc = open_index(p, file, err);
    pthread_mutex_unlock(&file->opening);
    return rc;
}

int packs_file_find(struct packs *p, struct packs_file *file, const uint8_t digest[HASH_BYTES],
                    struct packs_entry *out, struct err *err)
{
    int rc = packs_file_open_index(p, file, err);
    if (rc != 0)
        return rc;
    if (file->own.entries != NULL)
        return packs_entries_find(file->own.entries, file->own.count, digest, out) ? 0
                                                                                   : ERR_NOTFOUND;
    return packs_index_find(p->files, file->index_fd, file->count, digest, out, err);
}

int packs_file_entries(struct packs *p, struct packs_file *file, struct packs_entries *out,
                       struct err *err)
{
    int rc = packs_file_open_index(p, file, err);
    for (size_t i = 0; rc == 0 && i < file->own.count; i++)
        rc = packs_entries_add(out, &file->own.entries[i], err);
    if (rc == 0 && file->own.entries == NULL)
        rc = packs_index_load(p->files, file->index_fd, file->count, out, err);
    packs_entries_by_offset(out);
    return rc;
}

/* --- durability --- */

static int sync_path(struct packs *p, const char *name, const char *suffix, struct err *err)
{
    char path[FILES_PATH_MAX];
    int fd;
    int rc = packs_path(p, name, suffix, path, err);
    if (rc == 0)
        rc = p->files->open(p->files->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = p->files->sync(p->files->self, fd, err);
    p->files->close(p->files->self, fd);
    return rc;
}

static int sync_all(struct packs *p, struct packs_file *file, struct err *err)
{
    char above[FILES_PATH_MAX];
    int fd, rc;
    FAULT_POINT("packs-before-sync");
    if (file->reference) {
        rc = sync_path(p, file->name, ".ref", err);
    } else {
        rc = packs_file_open_data(p, file, &fd, err);
        if (rc == 0)
            rc = p->files->sync(p->files->self, fd, err);
    }
    if (rc == 0 && file->sealed && file->own.entries == NULL)
        rc = sync_path(p, file->name, ".index", err);
    if (rc == 0)
        rc = p->files->sync_dir(p->files->self, p->folder, err);
    pthread_mutex_lock(&p->mutex);
    bool folder = !p->folder_synced;
    pthread_mutex_unlock(&p->mutex);
    files_folder(p->folder, above);
    if (rc == 0 && folder)
        rc = p->files->sync_dir(p->files->self, above, err);
    return rc;
}

/* A failed sync is not tried again: the kernel may have dropped the pages, and a second one would
 * say yes to bytes that are gone. */
int packs_file_sync(struct packs *p, struct packs_file *file, struct err *err)
{
    pthread_mutex_lock(&p->mutex);
    bool synced = file->synced, failed = file->sync_failed, sealed = file->sealed;
    pthread_mutex_unlock(&p->mutex);
    if (synced)
        return 0;
    int rc = failed ? err_set(err, ERR_IO, "a sync failed before") : sync_all(p, file, err);
    pthread_mutex_lock(&p->mutex);
    if (rc == 0 && sealed)
        file->synced = true;
    if (rc == 0)
        p->folder_synced = true;
    else
        file->sync_failed = true;
    pthread_mutex_unlock(&p->mutex);
    return rc != 0 ? err_wrap(err, rc, "pack %s/%s", p->folder, file->name) : 0;
}
