/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_internal -- what import*.c share, and nobody else: the window that files, folders and
 * symlinks pass through in order.
 *
 * An entry is put into the window as items: a file as its chunks, a symlink as itself, a folder as
 * its end, behind all that is in it. When the window is full its chunks are read, hashed and
 * written in parts on all cores; then the items are taken in order, leaves into their file's tree,
 * what is finished into its folder. So one window may hold hundreds of small files, or a stretch of
 * a large one, and what is told of them comes in the order of the walk.
 */
#ifndef COLMEIA_CONTENT_IMPORT_INTERNAL_H
#define COLMEIA_CONTENT_IMPORT_INTERNAL_H

#include "content/directory.h"
#include "content/import.h"
#include "content/slabs.h"

#define IMPORT_ITEMS_MAX  256        /* in a window; as many files may be open */
#define IMPORT_PART_ITEMS 32         /* hashed together by one thread, and together ... */
#define IMPORT_PART_BYTES (1u << 20) /* ... so many bytes, or two chunks if that is more */

/* A file, folder or symlink under way. */
struct import_entry {
    struct import_entry *above;           /* the folder it is in; NULL: the root */
    struct import_entry *next, *previous; /* of all under way */
    char *path;                           /* for people */
    const char *name;                     /* its end */
    struct directory *directory;          /* a folder */
    int fd;                               /* a file; -1: none, or not ours */
    uint64_t start, size;                 /* of the file's bytes under fd */
    uint64_t chunk_count, done;           /* chunk_count 0: not known, a stream */
    struct unixfs_builder *builder;       /* more than one chunk */
    uint8_t (*digests)[HASH_BYTES];       /* no_copy: of all chunks */
};

struct import_item {
    struct import_entry *entry;
    enum import_kind {
        IMPORT_CHUNK,
        IMPORT_LINK, /* `child` is what it is */
        IMPORT_END   /* of a folder */
    } kind;
    uint64_t offset; /* of a chunk */
    uint32_t size;
    const uint8_t *data; /* NULL: still in the file */
    struct unixfs_child child;
};

struct import_window {
    const struct import_options *o;
    struct slabs slabs;
    struct import_entry *entries; /* all under way */
    struct unixfs_child root;
    size_t count, part_count;
    struct import_item items[IMPORT_ITEMS_MAX];
    struct import_part {
        size_t first, end; /* items; of these the chunks */
    } parts[IMPORT_ITEMS_MAX];
    void (*aside)(void *self); /* one more part, beside the others; NULL: none */
    void *aside_self;
    pthread_mutex_t mutex; /* guards the failure of the first item that failed */
    size_t failed;         /* which; IMPORT_ITEMS_MAX: none */
    struct err err;
};

/* ERR_USAGE for options that do not go together. */
int import_window_new(const struct import_options *o, struct import_window **out,
                      struct err *err) MUST_USE;
void import_window_free(struct import_window *w); /* and all entries under way */

/* `path` is copied; the name begins at `name_at`. */
int import_window_entry(struct import_window *w, struct import_entry *above, const char *path,
                        size_t name_at, struct import_entry **out, struct err *err) MUST_USE;
/* A file whose fd, start and size are set: all its chunks. */
int import_window_file(struct import_window *w, struct import_entry *file,
                       struct err *err) MUST_USE;
int import_window_symlink(struct import_window *w, struct import_entry *link, struct bytes target,
                          struct err *err) MUST_USE;
/* Works through the window first if it is full. */
int import_window_push(struct import_window *w, const struct import_item *item,
                       struct err *err) MUST_USE;
/* Works through what is in the window. */
int import_window_flush(struct import_window *w, struct err *err) MUST_USE;
/* A stream's end: nothing of it is in the window. */
int import_window_end_stream(struct import_window *w, struct import_entry *stream,
                             struct err *err) MUST_USE;

/* What is in the folder open as `fd`, and its end. */
int import_folder(struct import_window *w, struct import_entry *folder, int fd,
                  struct err *err) MUST_USE;
/* The symlink link->name in it. */
int import_folder_symlink(struct import_window *w, struct import_entry *link, int fd,
                          struct err *err) MUST_USE;
/* Bytes of all files in the folder open as `fd`; 0 if that cannot be told. */
uint64_t import_folder_measure(int fd, bool hidden);

#endif
