/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/files.h"
#include "base/hash.h"
#include "content/extract_internal.h"

#define WINDOW_LEAVES 64
#define PAIR          2 /* leaves that are hashed in lock-step */

/* A file being written: leaves are gathered, then got, hashed and written in parts. */
struct writing {
    struct extract *x;
    struct jobs *jobs;
    int fd;
    bool *large; /* NULL: of any size */
    size_t count;
    struct unixfs_leaf leaves[WINDOW_LEAVES];
    pthread_mutex_t mutex; /* guards the failure of the first leaf that failed */
    size_t failed;
    struct err err;
};

static int begin(void *self, uint64_t file_bytes, struct err *err)
{
    struct writing *w = self;
    if (w->large != NULL && file_bytes > EXTRACT_SMALL_BYTES) {
        *w->large = true;
        return err_set(err, ERR_LIMIT, "a large file");
    }
    return extract_take_room(w->x, file_bytes, err);
}

static int write_at(struct writing *w, uint64_t offset, struct bytes data, struct err *err)
{
    const struct files *f = files_posix();
    int rc = f->write(f->self, w->fd, offset, data.data, data.size, err);
    if (rc == 0 && w->x->o->progress != NULL)
        atomic_fetch_add(&w->x->o->progress->done, data.size);
    return rc;
}

static int take_data(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    return write_at(self, offset, data, err);
}

static int take_block(struct writing *w, const struct unixfs_leaf *leaf, struct bytes block,
                      struct err *err)
{
    char text[CID_TEXT_MAX];
    if (block.size != leaf->size)
        return err_set(err, ERR_MALFORMED, "block %s has %zu bytes, its parent says %llu",
                       cid_format(&leaf->cid, text), block.size, (unsigned long long)leaf->size);
    return write_at(w, leaf->offset, block, err);
}

/* Which of them are here, unhashed, and whole; their bytes are in the slab then. */
static void read_unhashed(const struct writing *w, const struct unixfs_leaf *leaves, size_t count,
                          struct buf *const blocks[PAIR], bool good[PAIR])
{
    const struct block_source *from = &w->x->o->unhashed;
    struct bytes read[PAIR];
    size_t of[PAIR], many = 0;
    uint8_t found[PAIR][HASH_BYTES];
    for (size_t i = 0; from->get != NULL && i < count; i++)
        if (cid_digest(&leaves[i].cid) != NULL &&
            from->get(from->self, &leaves[i].cid, blocks[i], NULL) == 0) {
            read[many] = buf_bytes(blocks[i]);
            of[many++] = i;
        }
    hash_sha256_many(read, many, found);
    for (size_t k = 0; k < many; k++)
        good[of[k]] = memcmp(found[k], cid_digest(&leaves[of[k]].cid), HASH_BYTES) == 0;
}

static void note_failure(struct writing *w, size_t leaf, const struct err *err)
{
    pthread_mutex_lock(&w->mutex);
    if (leaf < w->failed) {
        w->failed = leaf;
        w->err = *err;
    }
    pthread_mutex_unlock(&w->mutex);
}

static void work_pair(void *self, size_t pair)
{
    struct writing *w = self;
    size_t first = pair * PAIR, count = w->count - first < PAIR ? w->count - first : PAIR;
    bool good[PAIR] = {false};
    pthread_mutex_lock(&w->mutex);
    bool stop = w->failed < WINDOW_LEAVES;
    pthread_mutex_unlock(&w->mutex);
    if (stop)
        return;
    struct slab slab = slabs_take(&w->x->slabs);
    struct buf *const blocks[PAIR] = {&slab.a, &slab.b};
    read_unhashed(w, &w->leaves[first], count, blocks, good);
    for (size_t i = 0; i < count; i++) {
        const struct unixfs_leaf *leaf = &w->leaves[first + i];
        struct err err = {0};
        int rc = good[i] ? 0 : block_source_get(&w->x->o->source, &leaf->cid, blocks[i], &err);
        if (rc == 0)
            rc = take_block(w, leaf, buf_bytes(blocks[i]), &err);
        if (rc != 0)
            note_failure(w, first + i, &err);
    }
    slabs_give(&w->x->slabs, &slab);
}

static int flush(struct writing *w, struct err *err)
{
    jobs_split(w->jobs, (w->count + PAIR - 1) / PAIR, work_pair, w);
    w->count = 0;
    return w->failed < WINDOW_LEAVES ? err_set(err, w->err.code, "%s", w->err.text) : 0;
}

static int take_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct writing *w = self;
    w->leaves[w->count++] = *leaf;
    return w->count < WINDOW_LEAVES ? 0 : flush(w, err);
}

static int write_all(struct extract *x, struct jobs *jobs, int fd, const struct cid *cid,
                     bool *large, struct err *err)
{
    struct writing w = {.x = x, .jobs = jobs, .fd = fd, .large = large, .failed = WINDOW_LEAVES};
    struct unixfs_visitor visitor = {
        .self = &w, .begin = begin, .leaf = take_leaf, .data = take_data};
    pthread_mutex_init(&w.mutex, NULL);
    int rc = unixfs_walk_range(&x->o->source, cid, 0, UINT64_MAX, &visitor, err);
    if (rc == 0)
        rc = flush(&w, err);
    pthread_mutex_destroy(&w.mutex);
    return rc;
}

/* In a folder that was made here a file has its name at once, since the whole is not to be seen
 * yet; else another one until it is whole. */
static int make(const struct extract_place *place, char temporary[EXTRACT_NAME_TEMPORARY],
                const char **name, int *fd, struct err *err)
{
    for (int i = 0; i < EXTRACT_NAME_TRIES; i++) {
        *name = place->name;
        if (place->depth == 0)
            *name = extract_name_temporary(temporary);
        *fd = openat(place->folder, *name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     0666);
        if (*fd >= 0)
            return 0;
        if (errno != EEXIST || place->depth > 0)
            break;
    }
    return err_errno(err, "make a file");
}

/* `name`, open as `fd`, is written: it gets its own name if all is well. */
static int finish(struct extract *x, const struct extract_place *place, int fd, const char *name,
                  int rc, struct err *err)
{
    const struct files *f = files_posix();
    if (rc == 0 && x->o->sync)
        rc = f->sync(f->self, fd, err);
    if (close(fd) != 0 && rc == 0)
        rc = err_errno(err, "close");
    if (rc == 0 && place->depth == 0)
        rc = extract_name_take(place, name, err);
    if (rc != 0)
        unlinkat(place->folder, name, 0);
    return rc;
}

int extract_file(struct extract *x, struct jobs *jobs, const struct extract_place *place,
                 const struct cid *cid, bool *large, struct err *err)
{
    char temporary[EXTRACT_NAME_TEMPORARY];
    const char *name;
    int fd;
    int rc = make(place, temporary, &name, &fd, err);
    if (rc != 0)
        return rc;
    rc = write_all(x, jobs, fd, cid, large, err);
    return finish(x, place, fd, name, rc, err);
}

int extract_file_bytes(struct extract *x, const struct extract_place *place, struct bytes data,
                       struct err *err)
{
    struct writing w = {.x = x};
    char temporary[EXTRACT_NAME_TEMPORARY];
    const char *name;
    int rc = extract_take_room(x, data.size, err);
    if (rc == 0)
        rc = make(place, temporary, &name, &w.fd, err);
    if (rc != 0)
        return rc;
    rc = write_at(&w, 0, data, err);
    return finish(x, place, w.fd, name, rc, err);
}
