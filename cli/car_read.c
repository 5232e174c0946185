/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/car_read.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/failure.h"
#include "content/block_source.h"

#define ITEMS_MAX 2048 /* small blocks are handed on before the window is through */
#define SHARES    16   /* into which the blocks of a window are divided, by pairs */

struct item {
    struct cid cid;
    struct bytes data;
    uint64_t offset;
};

struct run {
    struct car_read *given;
    uint8_t *windows[2];
    size_t sizes[2];
    unsigned now;                     /* the window whose blocks are handed on */
    uint64_t read_bytes, total_bytes; /* total 0: a pipe */
    struct buf across;                /* a block that lies in two windows */
    struct item items[ITEMS_MAX];
    size_t count, share;
    bool ahead;
    pthread_mutex_t mutex; /* what was done */
    struct failure failure;
};

/* Fills a window, or less at the end of the stream. */
static void fill(struct run *r, unsigned which)
{
    size_t *size = &r->sizes[which];
    for (*size = 0; *size < CAR_READ_WINDOW;) {
        ssize_t n = read(r->given->fd, r->windows[which] + *size, CAR_READ_WINDOW - *size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            struct err err = {0};
            failure_note(&r->failure, UINT64_MAX, err_errno(&err, "read"), &err);
        }
        if (n <= 0)
            break;
        *size += (size_t)n;
    }
    r->read_bytes += *size;
    if (r->given->progress != NULL)
        progress_count_set(r->given->progress, r->read_bytes, r->total_bytes);
}

/* --- blocks of a window --- */

static void hand_on(struct run *r, const struct item *item, int rc, struct err *err)
{
    if (rc == 0)
        rc = r->given->block(r->given->self, &item->cid, item->data, item->offset, err);
    if (rc != 0) {
        err_wrap(err, rc, "section at offset %llu", (unsigned long long)item->offset);
        failure_note(&r->failure, item->offset, rc, err);
        return;
    }
    pthread_mutex_lock(&r->mutex);
    r->given->blocks++;
    r->given->bytes += item->data.size;
    pthread_mutex_unlock(&r->mutex);
}

static void hash_pair_of(struct run *r, const struct item *items, size_t count)
{
    uint8_t digests[2][HASH_BYTES];
    struct bytes inputs[2];
    bool together = true;
    for (size_t i = 0; i < count; i++) {
        inputs[i] = items[i].data;
        together = together && cid_digest(&items[i].cid) != NULL;
    }
    if (together)
        hash_sha256_many(inputs, count, digests);
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        int rc = 0;
        if (!together || memcmp(digests[i], cid_digest(&items[i].cid), HASH_BYTES) != 0)
            rc = cid_verify(&items[i].cid, inputs[i], &err); /* which has the words */
        hand_on(r, &items[i], rc, &err);
    }
}

/* The last part reads the next window meanwhile, but begins first. */
static void part(void *self, size_t i)
{
    struct run *r = self;
    if (r->ahead && i == 0) {
        fill(r, 1 - r->now);
        return;
    }
    size_t at = (i - (r->ahead ? 1 : 0)) * r->share, end = at + r->share;
    for (end = end < r->count ? end : r->count; at < end; at += 2)
        hash_pair_of(r, &r->items[at], end - at < 2 ? 1 : 2);
}

static void hand_on_all(struct run *r, bool ahead)
{
    r->ahead = ahead;
    r->share = 2 * ((r->count + 2 * SHARES - 1) / (2 * SHARES));
    if (r->share == 0)
        r->share = 2;
    jobs_split(r->given->jobs, (r->count + r->share - 1) / r->share + (ahead ? 1 : 0), part, r);
    r->count = 0;
}

static int take_block(void *self, const struct cid *cid, struct bytes data, uint64_t offset,
                      struct err *err)
{
    struct run *r = self;
    const uint8_t *window = r->windows[r->now];
    if (r->count == ITEMS_MAX)
        hand_on_all(r, false);
    if (r->failure.rc != 0)
        return failure_tell(&r->failure, err);
    /* At most one a window was begun in the window before. */
    if (data.size > 0 && (data.data < window || data.data >= window + CAR_READ_WINDOW)) {
        buf_clear(&r->across);
        buf_append(&r->across, data.data, data.size);
        int rc = buf_check(&r->across, err);
        if (rc != 0)
            return rc;
        data = buf_bytes(&r->across);
    }
    r->items[r->count++] = (struct item){*cid, data, offset};
    return 0;
}

static int take_header(void *self, const struct car_header *h, struct err *err)
{
    struct car_read *c = ((struct run *)self)->given;
    c->roots = calloc(h->root_count + 1, sizeof *c->roots);
    if (c->roots == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(c->roots, h->roots, h->root_count * sizeof *c->roots);
    c->root_count = h->root_count;
    c->version = h->version;
    return 0;
}

/* --- the stream --- */

static int run_windows(struct run *r, struct car_reader *reader, struct err *err)
{
    int rc = 0;
    fill(r, r->now);
    while (rc == 0 && r->failure.rc == 0 && r->sizes[r->now] > 0) {
        rc = car_reader_add(reader, bytes_of(r->windows[r->now], r->sizes[r->now]), err);
        hand_on_all(r, rc == 0);
        r->now = 1 - r->now;
    }
    /* Whatever is wrong with a block comes before what is wrong with the stream behind it. */
    if (r->failure.rc != 0)
        return failure_tell(&r->failure, err);
    return rc != 0 ? rc : car_reader_finish(reader, err);
}

int car_read(struct car_read *c, struct err *err)
{
    struct run *r = calloc(1, sizeof *r);
    struct car_reader *reader = NULL;
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->given = c;
    c->blocks = c->bytes = 0;
    c->roots = NULL;
    c->root_count = 0;
    r->across = buf_new(BLOCK_BYTES_MAX);
    pthread_mutex_init(&r->mutex, NULL);
    failure_init(&r->failure);
    r->windows[0] = aligned_alloc(64, CAR_READ_WINDOW); /* see buf.c */
    r->windows[1] = aligned_alloc(64, CAR_READ_WINDOW);
    int rc = r->windows[0] == NULL || r->windows[1] == NULL
                 ? err_set(err, ERR_NOMEM, "out of memory")
                 : car_reader_new(take_header, take_block, r, &reader, err);
    struct stat st;
    if (fstat(c->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        r->total_bytes = (uint64_t)st.st_size;
    (void)posix_fadvise(c->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint; a pipe takes none */
    if (rc == 0) {
        car_reader_trust(reader);
        rc = run_windows(r, reader, err);
    }
    car_reader_free(reader);
    free(r->windows[0]);
    free(r->windows[1]);
    buf_fini(&r->across);
    failure_fini(&r->failure);
    pthread_mutex_destroy(&r->mutex);
    free(r);
    return rc;
}
