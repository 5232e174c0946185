/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files -- the file operations a program may use, as a table, so that a simulated disk can stand in
 * for the real one.
 *
 * Store, journal and everything else that must survive a crash goes through this table and nothing
 * else. The real binding (files_posix) has no cache of its own; durability is asked for by name:
 * sync for a file's bytes, sync_dir for the names in a folder. A failed sync is never tried again:
 * the caller stops using what it wrote.
 *
 * Handles are small integers. Any thread may call; one handle may be read by several threads at
 * once.
 */
#ifndef COLMEIA_BASE_FILES_H
#define COLMEIA_BASE_FILES_H

#include "base/buf.h"

enum files_mode {
    FILES_READ,      /* must exist */
    FILES_UPDATE,    /* read and write, must exist */
    FILES_CREATE,    /* read and write, made if absent, mode 0600 */
    FILES_EXCLUSIVE, /* read and write, must not exist (ERR_EXISTS), mode 0600 */
};

struct files_stat {
    uint64_t size;
    uint64_t mtime_ns; /* since 1970; 0: not known */
    bool is_dir;
};

struct files {
    void *self;
    int (*open)(void *self, const char *path, enum files_mode mode, int *fd, struct err *err);
    void (*close)(void *self, int fd);
    /* All `size` bytes or an error; reading past the end is ERR_CORRUPT ("file ends at N"). */
    int (*read)(void *self, int fd, uint64_t offset, void *data, size_t size, struct err *err);
    int (*write)(void *self, int fd, uint64_t offset, const void *data, size_t size,
                 struct err *err);
    int (*truncate)(void *self, int fd, uint64_t size, struct err *err);
    int (*reserve)(void *self, int fd, uint64_t size,
                   struct err *err); /* preallocates without changing the length */
    void (*start_writeback)(void *self, int fd, uint64_t offset,
                            uint64_t size);           /* a hint; promises nothing */
    int (*sync)(void *self, int fd, struct err *err); /* fdatasync */
    int (*sync_dir)(void *self, const char *path, struct err *err);
    int (*stat_fd)(void *self, int fd, struct files_stat *out, struct err *err);
    int (*stat)(void *self, const char *path, struct files_stat *out,
                struct err *err); /* ERR_NOTFOUND */
    int (*rename)(void *self, const char *from, const char *to, struct err *err);
    int (*unlink)(void *self, const char *path, struct err *err); /* ERR_NOTFOUND if absent */
    int (*make_dir)(void *self, const char *path,
                    struct err *err); /* mode 0700; no error if it is there */
    int (*remove_dir)(void *self, const char *path, struct err *err); /* empty folders only */
    /* Calls `each` with every name in the folder (not . and ..), in byte order; stops if it returns
     * not 0. */
    int (*list)(void *self, const char *path,
                int (*each)(void *arg, const char *name, struct err *err), void *arg,
                struct err *err);
    int (*free_bytes)(void *self, const char *path, uint64_t *out,
                      struct err *err); /* for an unprivileged writer */
    int (*lock)(void *self, const char *path, int *fd,
                struct err *err); /* exclusive till close; ERR_DENIED if held */
    /* The same on an open file, alone or `shared` with others that share it. */
    int (*lock_fd)(void *self, int fd, bool shared, struct err *err);
};

/* The real disk. */
const struct files *files_posix(void);

/* --- in terms of the table
 * ---------------------------------------------------------------------------------------- */

#define FILES_PATH_MAX 4096

/* Writes `dir/name` to `out`; ERR_LIMIT if it does not fit in FILES_PATH_MAX. */
int files_join(char out[FILES_PATH_MAX], const char *dir, const char *name,
               struct err *err) MUST_USE;

/* The folder that holds `path` (shorter than FILES_PATH_MAX): "a" for "a/b", "." for "b". */
void files_folder(const char *path, char out[FILES_PATH_MAX]);

/* Makes `path` and all folders above it; each one made is durable in the folder above it. */
int files_make_dirs(const struct files *f, const char *path, struct err *err) MUST_USE;

/* Appends the whole file to `out`; ERR_LIMIT if it is larger than out->max allows. */
int files_load(const struct files *f, const char *path, struct buf *out, struct err *err) MUST_USE;

/* Replaces `path` whole or not at all: temporary file beside it, write, sync, rename, sync of the
 * folder. */
int files_save(const struct files *f, const char *path, struct bytes data,
               struct err *err) MUST_USE;

/* The same without any sync, for what can be made again (status.json). */
int files_save_unsynced(const struct files *f, const char *path, struct bytes data,
                        struct err *err) MUST_USE;

bool files_exists(const struct files *f, const char *path);

#endif
