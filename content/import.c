/* SPDX-License-Identifier: Apache-2.0 */
#include "content/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/import_internal.h"

#define STREAM_BYTES (8u << 20) /* of a window of a stream; there are two */

/* --- files and folders --- */

/* Without slashes at its end, but for the root's own. */
static size_t trimmed(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    return size;
}

/* A symlink has no descriptor. */
static int open_root(const char *path, int *fd, struct stat *s, struct err *err)
{
    if (lstat(path, s) != 0)
        return err_errno(err, "%s", path);
    if (S_ISLNK(s->st_mode))
        return 0;
    if (!S_ISREG(s->st_mode) && !S_ISDIR(s->st_mode))
        return err_set(err, ERR_USAGE, "%s is neither a file nor a folder nor a symlink", path);
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return err_errno(err, "%s", path);
    if (fstat(*fd, s) != 0 || (!S_ISREG(s->st_mode) && !S_ISDIR(s->st_mode))) {
        close(*fd);
        return err_set(err, ERR_IO, "%s: it changed while it was read", path);
    }
    return 0;
}

static int take_root(struct import_window *w, struct import_entry *e, int fd, const struct stat *s,
                     struct err *err)
{
    if (S_ISLNK(s->st_mode))
        return import_folder_symlink(w, e, AT_FDCWD, err);
    if (S_ISDIR(s->st_mode)) {
        int rc = import_folder(w, e, fd, err);
        close(fd);
        return rc;
    }
    e->fd = fd;
    e->size = (uint64_t)s->st_size;
    return import_window_file(w, e, err);
}

int import_path(const struct import_options *o, const char *path, struct unixfs_child *root,
                struct err *err)
{
    struct import_window *w = NULL;
    struct import_entry *e;
    struct stat s;
    int fd = -1;
    char *clean = strndup(path, trimmed(path));
    int rc = clean == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0)
        rc = import_window_new(o, &w, err);
    if (rc == 0)
        rc = import_window_entry(w, NULL, clean, 0, &e, err);
    if (rc == 0)
        rc = open_root(clean, &fd, &s, err);
    if (rc == 0)
        rc = take_root(w, e, fd, &s, err);
    if (rc == 0)
        rc = import_window_flush(w, err);
    if (rc == 0)
        *root = w->root;
    import_window_free(w);
    free(clean);
    return rc;
}

uint64_t import_measure(const char *path, bool hidden)
{
    struct stat s;
    if (lstat(path, &s) != 0)
        return 0;
    if (!S_ISDIR(s.st_mode))
        return S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    uint64_t bytes = fd < 0 ? 0 : import_folder_measure(fd, hidden);
    if (fd >= 0)
        close(fd);
    return bytes;
}

/* --- streams --- */

/* While one window is hashed and written the next is read. */
struct stream {
    int fd;
    size_t capacity; /* whole chunks */
    struct stretch {
        uint8_t *data;
        size_t size;
    } now, next;
    int rc; /* of reading `next` */
    struct err err;
};

static void read_next(void *self)
{
    struct stream *s = self;
    s->next.size = 0;
    while (s->next.size < s->capacity) {
        ssize_t n = read(s->fd, s->next.data + s->next.size, s->capacity - s->next.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            s->rc = err_errno(&s->err, "read");
        if (n <= 0)
            return;
        s->next.size += (size_t)n;
    }
}

static int push_stretch(struct import_window *w, struct import_entry *e, const struct stretch *s,
                        struct err *err)
{
    uint32_t chunk = w->o->profile->chunk_bytes;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < s->size; at += chunk) {
        size_t size = s->size - at < chunk ? s->size - at : chunk;
        struct import_item item = {
            .entry = e, .kind = IMPORT_CHUNK, .size = (uint32_t)size, .data = s->data + at};
        rc = import_window_push(w, &item, err);
    }
    return rc;
}

static int read_stream(struct import_window *w, struct import_entry *e, struct stream *s,
                       struct err *err)
{
    read_next(s);
    if (s->rc == 0 && s->next.size == 0) { /* an empty file, which has its leaf as any other */
        struct import_item item = {.entry = e, .kind = IMPORT_CHUNK, .data = s->next.data};
        e->chunk_count = 1;
        return import_window_push(w, &item, err);
    }
    while (s->rc == 0 && s->next.size > 0) {
        struct stretch swap = s->now;
        s->now = s->next;
        s->next = swap;
        s->next.size = 0;
        bool last = s->now.size < s->capacity;
        w->aside = NULL; /* pushing may work through a full window already */
        int rc = push_stretch(w, e, &s->now, err);
        w->aside = last ? NULL : read_next;
        w->aside_self = s;
        if (rc == 0)
            rc = import_window_flush(w, err);
        w->aside = NULL;
        if (rc != 0)
            return rc;
    }
    return s->rc != 0 ? err_set(err, s->rc, "%s: %s", e->path, s->err.text)
                      : import_window_end_stream(w, e, err);
}

static int import_pipe(struct import_window *w, struct import_entry *e, int fd, struct err *err)
{
    uint32_t chunk = w->o->profile->chunk_bytes;
    struct stream s = {.fd = fd, .capacity = STREAM_BYTES / chunk * chunk};
    s.now.data = malloc(s.capacity);
    s.next.data = malloc(s.capacity);
    int rc = s.now.data == NULL || s.next.data == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                                                       : read_stream(w, e, &s, err);
    if (rc == 0)
        rc = import_window_flush(w, err);
    free(s.now.data);
    free(s.next.data);
    return rc;
}

/* A file behind the descriptor is read as files are, from where the descriptor stands. */
static int import_descriptor(struct import_window *w, struct import_entry *e, int fd,
                             struct err *err)
{
    struct stat s;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || at < 0)
        return import_pipe(w, e, fd, err);
    e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (e->fd < 0)
        return err_errno(err, "%s", e->path);
    e->start = at < s.st_size ? (uint64_t)at : (uint64_t)s.st_size;
    e->size = (uint64_t)s.st_size - e->start;
    int rc = import_window_file(w, e, err);
    return rc != 0 ? rc : import_window_flush(w, err);
}

int import_stream(const struct import_options *o, int fd, struct unixfs_child *root,
                  struct err *err)
{
    struct import_window *w = NULL;
    struct import_entry *e;
    int rc = o->no_copy
                 ? err_set(err, ERR_USAGE, "a stream cannot be indexed without a copy: name a file")
                 : import_window_new(o, &w, err);
    if (rc == 0)
        rc = import_window_entry(w, NULL, "standard input", 0, &e, err);
    if (rc == 0)
        rc = import_descriptor(w, e, fd, err);
    if (rc == 0)
        *root = w->root;
    import_window_free(w);
    return rc;
}
