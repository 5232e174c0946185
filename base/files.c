/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/random.h"

#define NAMES_TRIED 10 /* for a temporary file */

static int posix_open(void *self, const char *path, enum files_mode mode, int *fd, struct err *err)
{
    (void)self;
    static const int flags[] = {[FILES_READ] = O_RDONLY,
                                [FILES_UPDATE] = O_RDWR,
                                [FILES_CREATE] = O_RDWR | O_CREAT,
                                [FILES_EXCLUSIVE] = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW};
    int got = open(path, flags[mode] | O_CLOEXEC, 0600);
    if (got < 0)
        return err_errno(err, "open %s", path);
    *fd = got;
    return 0;
}

static void posix_close(void *self, int fd)
{
    (void)self;
    close(fd);
}

static int posix_read(void *self, int fd, uint64_t offset, void *data, size_t size, struct err *err)
{
    (void)self;
    uint8_t *at = data;
    while (size > 0) {
        ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read");
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "file ends at %llu", (unsigned long long)offset);
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int posix_write(void *self, int fd, uint64_t offset, const void *data, size_t size,
                       struct err *err)
{
    (void)self;
    const uint8_t *at = data;
    int rc = FAULT_FAIL("files-write", err);
    if (rc != 0)
        return rc;
    while (size > 0) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) { /* POSIX leaves it open; going round again might never end */
            n = -1;
            errno = ENOSPC;
        }
        if (n < 0)
            return err_errno(err, "write");
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int posix_truncate(void *self, int fd, uint64_t size, struct err *err)
{
    (void)self;
    return ftruncate(fd, (off_t)size) == 0 ? 0 : err_errno(err, "truncate");
}

static int posix_reserve(void *self, int fd, uint64_t size, struct err *err)
{
    (void)self;
    int rc;
    do
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return 0; /* a file system without it: writing finds out */
    return err_errno(err, "reserve %llu bytes", (unsigned long long)size);
}

static void posix_start_writeback(void *self, int fd, uint64_t offset, uint64_t size)
{
    (void)self;
    (void)sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static int posix_sync(void *self, int fd, struct err *err)
{
    (void)self;
    int rc = FAULT_FAIL("files-sync", err);
    if (rc != 0)
        return rc;
    return fdatasync(fd) == 0 ? 0 : err_errno(err, "sync");
}

static int posix_sync_dir(void *self, const char *path, struct err *err)
{
    (void)self;
    int rc = FAULT_FAIL("files-sync-dir", err);
    if (rc != 0)
        return rc;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open folder %s", path);
    rc = fsync(fd) == 0 ? 0 : err_errno(err, "sync folder %s", path);
    close(fd);
    return rc;
}

static struct files_stat stat_of(const struct stat *s)
{
    return (struct files_stat){.size = (uint64_t)s->st_size,
                               .mtime_ns = (uint64_t)s->st_mtim.tv_sec * 1000000000u +
                                           (uint64_t)s->st_mtim.tv_nsec,
                               .is_dir = S_ISDIR(s->st_mode)};
}

static int posix_stat_fd(void *self, int fd, struct files_stat *out, struct err *err)
{
    (void)self;
    struct stat s;
    if (fstat(fd, &s) != 0)
        return err_errno(err, "stat");
    *out = stat_of(&s);
    return 0;
}

static int posix_stat(void *self, const char *path, struct files_stat *out, struct err *err)
{
    (void)self;
    struct stat s;
    if (stat(path, &s) != 0)
        return err_errno(err, "%s", path);
    *out = stat_of(&s);
    return 0;
}

static int posix_rename(void *self, const char *from, const char *to, struct err *err)
{
    (void)self;
    int rc = FAULT_FAIL("files-rename", err);
    if (rc != 0)
        return rc;
    return rename(from, to) == 0 ? 0 : err_errno(err, "rename %s to %s", from, to);
}

static int posix_unlink(void *self, const char *path, struct err *err)
{
    (void)self;
    return unlink(path) == 0 ? 0 : err_errno(err, "remove %s", path);
}

static int posix_make_dir(void *self, const char *path, struct err *err)
{
    (void)self;
    struct stat s;
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &s) == 0 && S_ISDIR(s.st_mode))
        return 0;
    return err_errno(err, "make folder %s", path);
}

static int posix_remove_dir(void *self, const char *path, struct err *err)
{
    (void)self;
    return rmdir(path) == 0 ? 0 : err_errno(err, "remove folder %s", path);
}

static int not_dots(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int posix_list(void *self, const char *path,
                      int (*each)(void *arg, const char *name, struct err *err), void *arg,
                      struct err *err)
{
    (void)self;
    struct dirent **names;
    int count = scandir(path, &names, not_dots, by_bytes);
    if (count < 0)
        return err_errno(err, "list %s", path);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = each(arg, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int posix_free_bytes(void *self, const char *path, uint64_t *out, struct err *err)
{
    (void)self;
    struct statvfs s;
    if (statvfs(path, &s) != 0)
        return err_errno(err, "free space of %s", path);
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return 0;
}

static int posix_lock(void *self, const char *path, int *fd, struct err *err)
{
    (void)self;
    int got = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (got < 0)
        return err_errno(err, "open %s", path);
    if (flock(got, LOCK_EX | LOCK_NB) != 0) {
        int busy = errno == EWOULDBLOCK;
        int rc =
            busy ? err_set(err, ERR_DENIED, "%s is locked: another process uses this folder", path)
                 : err_errno(err, "lock %s", path);
        close(got);
        return rc;
    }
    *fd = got;
    return 0;
}

static int posix_lock_fd(void *self, int fd, bool shared, struct err *err)
{
    (void)self;
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? err_set(err, ERR_DENIED, "locked by another process")
                                : err_errno(err, "lock");
}

const struct files *files_posix(void)
{
    static const struct files table = {
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .truncate = posix_truncate,
        .reserve = posix_reserve,
        .start_writeback = posix_start_writeback,
        .sync = posix_sync,
        .sync_dir = posix_sync_dir,
        .stat_fd = posix_stat_fd,
        .stat = posix_stat,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_dir = posix_make_dir,
        .remove_dir = posix_remove_dir,
        .list = posix_list,
        .free_bytes = posix_free_bytes,
        .lock = posix_lock,
        .lock_fd = posix_lock_fd,
    };
    return &table;
}

int files_join(char out[FILES_PATH_MAX], const char *dir, const char *name, struct err *err)
{
    int size = snprintf(out, FILES_PATH_MAX, "%s/%s", dir, name);
    if (size < 0 || size >= FILES_PATH_MAX)
        return err_set(err, ERR_LIMIT, "path longer than %d bytes", FILES_PATH_MAX - 1);
    return 0;
}

void files_folder(const char *path, char out[FILES_PATH_MAX])
{
    snprintf(out, FILES_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash == NULL)
        snprintf(out, FILES_PATH_MAX, ".");
    else
        slash[slash == out ? 1 : 0] = '\0';
}

int files_make_dirs(const struct files *f, const char *path, struct err *err)
{
    char part[FILES_PATH_MAX], above[FILES_PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof part)
        return err_set(err, ERR_LIMIT, "path longer than %d bytes", FILES_PATH_MAX - 1);
    for (size_t i = 1; i <= size; i++) {
        if ((path[i] != '/' && path[i] != '\0') || path[i - 1] == '/')
            continue; /* within a name, or behind a slash too many */
        memcpy(part, path, i);
        part[i] = '\0';
        struct files_stat s;
        if (f->stat(f->self, part, &s, NULL) == 0 && s.is_dir)
            continue;
        int rc = f->make_dir(f->self, part, err);
        files_folder(part, above);
        if (rc == 0) /* or what is synced inside it later would still have no name */
            rc = f->sync_dir(f->self, above, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int files_load(const struct files *f, const char *path, struct buf *out, struct err *err)
{
    int fd;
    int rc = f->open(f->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    struct files_stat s;
    size_t before = out->size;
    rc = f->stat_fd(f->self, fd, &s, err);
    if (rc == 0 && s.size > out->max - before)
        rc = err_set(err, ERR_LIMIT, "%llu bytes, more than %zu", (unsigned long long)s.size,
                     out->max - before);
    if (rc == 0 && s.size > 0) {
        uint8_t *at = buf_extend(out, (size_t)s.size);
        rc = at == NULL ? buf_check(out, err) : f->read(f->self, fd, 0, at, (size_t)s.size, err);
        if (rc != 0)
            out->size = before;
    }
    f->close(f->self, fd);
    return rc != 0 ? err_wrap(err, rc, "%s", path) : 0;
}

/* A new file beside `path`. What another process left lies under other names: numbers of processes
 * come again, above all in containers. */
static int open_temporary(const struct files *f, const char *path, char temporary[FILES_PATH_MAX],
                          int *fd, struct err *err)
{
    int rc = ERR_EXISTS;
    for (int i = 0; rc == ERR_EXISTS && i < NAMES_TRIED; i++) {
        uint64_t random;
        random_bytes(&random, sizeof random);
        int size =
            snprintf(temporary, FILES_PATH_MAX, "%s.%016llx.tmp", path, (unsigned long long)random);
        if (size < 0 || size >= FILES_PATH_MAX)
            return err_set(err, ERR_LIMIT, "path longer than %d bytes", FILES_PATH_MAX - 1);
        rc = f->open(f->self, temporary, FILES_EXCLUSIVE, fd, err);
    }
    return rc;
}

static int save(const struct files *f, const char *path, struct bytes data, bool sync,
                struct err *err)
{
    char temporary[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int fd;
    int rc = open_temporary(f, path, temporary, &fd, err);
    if (rc != 0)
        return rc;
    files_folder(path, folder);
    rc = f->write(f->self, fd, 0, data.data, data.size, err);
    if (rc == 0 && sync)
        rc = f->sync(f->self, fd, err);
    f->close(f->self, fd);
    if (rc == 0)
        rc = f->rename(f->self, temporary, path, err);
    if (rc != 0) {
        (void)f->unlink(f->self, temporary, NULL);
        return err_wrap(err, rc, "%s", path);
    }
    return sync ? f->sync_dir(f->self, folder, err) : 0;
}

int files_save(const struct files *f, const char *path, struct bytes data, struct err *err)
{
    return save(f, path, data, true, err);
}

int files_save_unsynced(const struct files *f, const char *path, struct bytes data, struct err *err)
{
    return save(f, path, data, false, err);
}

bool files_exists(const struct files *f, const char *path)
{
    struct files_stat s;
    return f->stat(f->self, path, &s, NULL) == 0;
}
