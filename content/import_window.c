/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/import_internal.h"
#include "content/packs.h"

#define ENVELOPE_BYTES_MAX 64

static uint32_t part_bytes_max(const struct import_options *o)
{
    uint32_t pair = 2 * o->profile->chunk_bytes;
    return pair > IMPORT_PART_BYTES ? pair : IMPORT_PART_BYTES;
}

int import_window_new(const struct import_options *o, struct import_window **out, struct err *err)
{
    int rc = unixfs_profile_check(o->profile, err);
    if (rc == 0 && o->no_copy && !o->profile->raw_leaves)
        rc = err_set(err, ERR_USAGE,
                     "without a copy only raw leaves can be indexed; profile %s has none",
                     o->profile->name);
    struct import_window *w = rc == 0 ? calloc(1, sizeof *w) : NULL;
    if (rc == 0 && w == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc != 0)
        return rc;
    w->o = o;
    w->failed = IMPORT_ITEMS_MAX;
    slabs_init(&w->slabs, part_bytes_max(o) + IMPORT_PART_ITEMS * ENVELOPE_BYTES_MAX);
    pthread_mutex_init(&w->mutex, NULL);
    *out = w;
    return 0;
}

/* --- entries --- */

int import_window_entry(struct import_window *w, struct import_entry *above, const char *path,
                        size_t name_at, struct import_entry **out, struct err *err)
{
    struct import_entry *e = calloc(1, sizeof *e);
    if (e != NULL)
        e->path = strdup(path);
    if (e == NULL || e->path == NULL) {
        free(e);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    e->above = above;
    e->name = e->path + name_at;
    e->fd = -1;
    e->next = w->entries;
    if (e->next != NULL)
        e->next->previous = e;
    w->entries = e;
    *out = e;
    return 0;
}

static void free_entry(struct import_window *w, struct import_entry *e)
{
    if (e->next != NULL)
        e->next->previous = e->previous;
    if (e->previous != NULL)
        e->previous->next = e->next;
    else
        w->entries = e->next;
    if (e->fd >= 0)
        close(e->fd);
    directory_free(e->directory);
    unixfs_builder_free(e->builder);
    free(e->digests);
    free(e->path);
    free(e);
}

void import_window_free(struct import_window *w)
{
    if (w == NULL)
        return;
    while (w->entries != NULL)
        free_entry(w, w->entries);
    slabs_fini(&w->slabs);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static int put_block(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct import_window *w = self;
    return w->o->batch == NULL ? 0 : store_batch_put(w->o->batch, cid, block, err);
}

/* `e` is what `child` says: into its folder, or the root. */
static int deliver(struct import_window *w, struct import_entry *e,
                   const struct unixfs_child *child, struct err *err)
{
    int rc = 0;
    if (e->above != NULL)
        rc = directory_add(e->above->directory, e->name, child, err);
    else
        w->root = *child;
    if (rc != 0)
        return err_wrap(err, rc, "%s", e->path);
    if (w->o->added != NULL)
        rc = w->o->added(w->o->self, e->path, child, err);
    free_entry(w, e);
    return rc;
}

static int check_size(const struct import_entry *file, struct err *err)
{
    struct stat s;
    if (file->fd < 0) /* a stream */
        return 0;
    if (fstat(file->fd, &s) != 0)
        return err_errno(err, "stat");
    uint64_t size = (uint64_t)s.st_size - file->start;
    return size == file->size ? 0
                              : err_set(err, ERR_IO,
                                        "its size changed from %llu to %llu bytes while it was "
                                        "read; add it again when nothing writes to it",
                                        (unsigned long long)file->size, (unsigned long long)size);
}

static int refer(const struct import_window *w, const struct import_entry *file, struct err *err)
{
    char *path = realpath(file->path, NULL);
    if (path == NULL)
        return err_errno(err, "absolute path");
    int rc = packs_batch_reference(w->o->batch, path, file->size, w->o->profile->chunk_bytes,
                                   (const uint8_t(*)[HASH_BYTES])file->digests,
                                   (size_t)file->chunk_count, err);
    free(path);
    return rc;
}

static int finish_file(struct import_window *w, struct import_entry *file,
                       struct unixfs_child *child, struct err *err)
{
    int rc = check_size(file, err);
    if (rc == 0 && file->builder != NULL)
        rc = unixfs_builder_finish(file->builder, child, err);
    if (rc == 0 && file->digests != NULL)
        rc = refer(w, file, err);
    return rc != 0 ? err_wrap(err, rc, "%s", file->path) : deliver(w, file, child, err);
}

/* The next leaf of a file. */
static int take_leaf(struct import_window *w, struct import_item *item, struct err *err)
{
    struct import_entry *file = item->entry;
    struct unixfs_child root = item->child;
    int rc = 0;
    if (file->digests != NULL)
        memcpy(file->digests[file->done], cid_digest(&item->child.cid), HASH_BYTES);
    file->done++;
    if (file->chunk_count != 1 && file->builder == NULL)
        rc = unixfs_builder_new(w->o->profile, put_block, w, &file->builder, err);
    if (rc == 0 && file->builder != NULL)
        rc = unixfs_builder_add_leaf(file->builder, &item->child, err);
    if (rc != 0)
        return err_wrap(err, rc, "%s", file->path);
    return file->done == file->chunk_count ? finish_file(w, file, &root, err) : 0;
}

int import_window_end_stream(struct import_window *w, struct import_entry *stream, struct err *err)
{
    struct unixfs_child root;
    int rc = unixfs_builder_finish(stream->builder, &root, err);
    return rc != 0 ? err_wrap(err, rc, "%s", stream->path) : deliver(w, stream, &root, err);
}

static int end_folder(struct import_window *w, struct import_entry *folder, struct err *err)
{
    struct unixfs_child child;
    int rc = directory_finish(folder->directory, put_block, w, &child, err);
    return rc != 0 ? err_wrap(err, rc, "%s", folder->path) : deliver(w, folder, &child, err);
}

/* --- parts: in any thread --- */

static void fail(struct import_window *w, size_t item, const struct err *err)
{
    pthread_mutex_lock(&w->mutex);
    if (item < w->failed) {
        w->failed = item;
        w->err = *err;
    }
    pthread_mutex_unlock(&w->mutex);
}

static bool has_failed(struct import_window *w)
{
    pthread_mutex_lock(&w->mutex);
    bool failed = w->failed != IMPORT_ITEMS_MAX;
    pthread_mutex_unlock(&w->mutex);
    return failed;
}

/* The chunks of one part, and their blocks: the same bytes if leaves are raw. */
struct run {
    size_t count;
    size_t items[IMPORT_PART_ITEMS];
    struct bytes blocks[IMPORT_PART_ITEMS];
    uint8_t digests[IMPORT_PART_ITEMS][HASH_BYTES];
};

static int read_chunk(const struct import_item *item, uint8_t *to, struct err *err)
{
    const struct files *f = files_posix();
    int rc =
        f->read(f->self, item->entry->fd, item->entry->start + item->offset, to, item->size, err);
    if (rc == ERR_CORRUPT) /* read past the end */
        rc = err_set(err, ERR_IO,
                     "it became shorter than %llu bytes while it was read; add it again when "
                     "nothing writes to it",
                     (unsigned long long)(item->offset + item->size));
    return rc != 0 ? err_wrap(err, rc, "%s", item->entry->path) : 0;
}

/* Fills run->blocks with the chunks' bytes. The failed item is run->items[count - 1]. */
static int read_run(struct import_window *w, const struct import_part *part, struct buf *space,
                    struct run *run, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = part->first; i < part->end; i++)
        if (w->items[i].kind == IMPORT_CHUNK && w->items[i].data == NULL)
            bytes += w->items[i].size;
    uint8_t *to = buf_extend(space, bytes);
    run->count = 0;
    for (size_t i = part->first; i < part->end; i++) {
        const struct import_item *item = &w->items[i];
        if (item->kind != IMPORT_CHUNK)
            continue;
        run->items[run->count++] = i;
        int rc = buf_check(space, err);
        if (rc == 0 && item->data == NULL)
            rc = read_chunk(item, to, err);
        if (rc != 0)
            return rc;
        run->blocks[run->count - 1] = bytes_of(item->data != NULL ? item->data : to, item->size);
        if (item->data == NULL)
            to += item->size;
    }
    return 0;
}

/* Puts each chunk into its envelope, if leaves have one. */
static int wrap_run(struct import_window *w, struct buf *space, struct run *run, struct err *err)
{
    size_t ends[IMPORT_PART_ITEMS];
    if (w->o->profile->raw_leaves)
        return 0;
    for (size_t i = 0; i < run->count; i++) {
        unixfs_node_put_leaf(space, run->blocks[i]);
        ends[i] = space->size;
    }
    int rc = buf_check(space, err);
    for (size_t i = 0, start = 0; rc == 0 && i < run->count; start = ends[i++])
        run->blocks[i] = bytes_of(space->data + start, ends[i] - start);
    return rc;
}

static int store_leaf(struct import_window *w, struct import_item *item, struct bytes block,
                      const uint8_t digest[HASH_BYTES], struct err *err)
{
    const struct import_options *o = w->o;
    item->child = (struct unixfs_child){.cid = o->profile->raw_leaves
                                                   ? cid_from_digest(CID_RAW, digest)
                                                   : unixfs_profile_cid(o->profile, digest),
                                        .file_bytes = item->size,
                                        .total_bytes = block.size};
    if (o->progress != NULL)
        atomic_fetch_add(&o->progress->done, item->size);
    if (item->entry->digests != NULL)
        return 0;
    int rc = put_block(w, &item->child.cid, block, err);
    return rc != 0 ? err_wrap(err, rc, "%s", item->entry->path) : 0;
}

static void work_part(struct import_window *w, const struct import_part *part)
{
    struct err err = {0};
    struct run run;
    if (has_failed(w))
        return;
    struct slab slab = slabs_take(&w->slabs);
    size_t at = part->first;
    int rc = read_run(w, part, &slab.a, &run, &err);
    if (rc != 0)
        at = run.items[run.count - 1];
    else
        rc = wrap_run(w, &slab.b, &run, &err);
    if (rc == 0)
        hash_sha256_many(run.blocks, run.count, run.digests);
    for (size_t i = 0; rc == 0 && i < run.count; i++) {
        at = run.items[i];
        rc = store_leaf(w, &w->items[at], run.blocks[i], run.digests[i], &err);
    }
    slabs_give(&w->slabs, &slab);
    if (rc != 0)
        fail(w, at, &err);
}

/* What goes aside is the first part: it may take as long as all others together. */
static void run_part(void *self, size_t i)
{
    struct import_window *w = self;
    if (w->aside == NULL)
        work_part(w, &w->parts[i]);
    else if (i == 0)
        w->aside(w->aside_self);
    else
        work_part(w, &w->parts[i - 1]);
}

/* --- the window --- */

static void divide(struct import_window *w)
{
    uint64_t most = part_bytes_max(w->o), bytes = 0;
    size_t chunks = 0;
    w->part_count = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct import_item *item = &w->items[i];
        if (item->kind != IMPORT_CHUNK)
            continue;
        if (chunks == 0 || chunks == IMPORT_PART_ITEMS || bytes + item->size > most) {
            w->parts[w->part_count++].first = i;
            chunks = 0;
            bytes = 0;
        }
        w->parts[w->part_count - 1].end = i + 1;
        chunks++;
        bytes += item->size;
    }
}

static int take_item(struct import_window *w, struct import_item *item, struct err *err)
{
    switch (item->kind) {
    case IMPORT_CHUNK:
        return take_leaf(w, item, err);
    case IMPORT_LINK:
        return deliver(w, item->entry, &item->child, err);
    case IMPORT_END:
        break;
    }
    return end_folder(w, item->entry, err);
}

int import_window_flush(struct import_window *w, struct err *err)
{
    divide(w);
    jobs_split(w->o->jobs, w->part_count + (w->aside != NULL), run_part, w);
    if (w->failed != IMPORT_ITEMS_MAX)
        return err_set(err, w->err.code, "%s", w->err.text);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->count; i++)
        rc = take_item(w, &w->items[i], err);
    w->count = 0;
    return rc;
}

int import_window_push(struct import_window *w, const struct import_item *item, struct err *err)
{
    int rc = w->count == IMPORT_ITEMS_MAX ? import_window_flush(w, err) : 0;
    if (rc == 0)
        w->items[w->count++] = *item;
    return rc;
}

/* For the digests of all chunks. */
static int take_memory(struct import_entry *file, uint32_t chunk, struct err *err)
{
    if (file->chunk_count > IMPORT_REFERENCES_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: %llu chunks of %u bytes, more than the %u that are indexed without a "
                       "copy: choose a larger --chunker, or add it without --nocopy",
                       file->path, (unsigned long long)file->chunk_count, chunk,
                       IMPORT_REFERENCES_MAX);
    file->digests = calloc((size_t)file->chunk_count, HASH_BYTES);
    return file->digests != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

int import_window_file(struct import_window *w, struct import_entry *file, struct err *err)
{
    uint32_t chunk = w->o->profile->chunk_bytes;
    /* An empty file is one leaf without bytes. */
    file->chunk_count = file->size == 0 ? 1 : (file->size + chunk - 1) / chunk;
    int rc = 0;
    if (w->o->no_copy && w->o->batch != NULL && file->size > 0)
        rc = take_memory(file, chunk, err);
    uint64_t left = file->size, count = file->chunk_count;
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        uint32_t size = left < chunk ? (uint32_t)left : chunk;
        struct import_item item = {
            .entry = file, .kind = IMPORT_CHUNK, .offset = i * chunk, .size = size};
        left -= size;
        rc = import_window_push(w, &item, err);
    }
    return rc;
}

int import_window_symlink(struct import_window *w, struct import_entry *link, struct bytes target,
                          struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    uint8_t digest[HASH_BYTES];
    unixfs_node_put_symlink(&block, target);
    int rc = buf_check(&block, err);
    struct import_item item = {.entry = link, .kind = IMPORT_LINK};
    if (rc == 0) {
        hash_sha256(buf_bytes(&block), digest);
        item.child = (struct unixfs_child){.cid = unixfs_profile_cid(w->o->profile, digest),
                                           .total_bytes = block.size};
        rc = put_block(w, &item.child.cid, buf_bytes(&block), err);
    }
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "%s", link->path) : import_window_push(w, &item, err);
}
