/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/car_write.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "cli/failure.h"
#include "content/car.h"
#include "content/dag.h"

struct slot {
    struct cid cid;
    bool ready; /* read and hashed by the walk: a node */
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct buf block;
};

struct window {
    size_t count;
    struct slot slots[CAR_WRITE_WINDOW];
};

struct run {
    struct car_write *given;
    struct window windows[2], *filling, *writing;
    struct failure failure;
};

/* --- writing --- */

static int write_all(int fd, struct iovec *at, size_t count, struct err *err)
{
    while (count > 0) {
        ssize_t n = writev(fd, at, (int)count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "write");
        size_t left = (size_t)n;
        while (count > 0 && left >= at->iov_len) {
            left -= at->iov_len;
            at++;
            count--;
        }
        if (count > 0) {
            at->iov_base = (uint8_t *)at->iov_base + left;
            at->iov_len -= left;
        }
    }
    return 0;
}

static int write_window(struct car_write *w, struct window *window, struct err *err)
{
    struct iovec parts[2 * CAR_WRITE_WINDOW];
    for (size_t i = 0; i < window->count; i++) {
        struct slot *s = &window->slots[i];
        size_t head = car_section_head(&s->cid, s->block.size, s->head);
        parts[2 * i] = (struct iovec){s->head, head};
        parts[2 * i + 1] = (struct iovec){s->block.data, s->block.size};
        w->bytes += head + s->block.size;
    }
    int rc = write_all(w->fd, parts, 2 * window->count, err);
    w->blocks += window->count;
    window->count = 0;
    if (w->progress != NULL)
        progress_count_set(w->progress, w->bytes, 0);
    return rc;
}

static int write_header(struct car_write *w, const struct cid *root, struct err *err)
{
    struct buf header = buf_new(CAR_HEADER_BYTES_MAX);
    car_put_header(&header, root, 1);
    int rc = buf_check(&header, err);
    struct iovec part = {header.data, header.size};
    if (rc == 0)
        rc = write_all(w->fd, &part, 1, err);
    w->bytes += header.size;
    buf_fini(&header);
    return rc;
}

/* --- reading --- */

/* Two blocks are hashed together; only sha2-256 can be. */
static void read_pair(struct run *r, size_t first)
{
    struct bytes inputs[2] = {0};
    uint8_t digests[2][HASH_BYTES];
    size_t slots[2], count = 0;
    struct window *w = r->filling;
    for (size_t i = first; i < first + 2 && i < w->count; i++) {
        struct err err = {0};
        char text[CID_TEXT_MAX];
        struct slot *s = &w->slots[i];
        if (s->ready)
            continue;
        int rc = store_read(r->given->store, &s->cid, &s->block, &err);
        if (rc == 0 && cid_digest(&s->cid) == NULL) {
            rc = cid_verify(&s->cid, buf_bytes(&s->block), &err);
        } else if (rc == 0) {
            inputs[count] = buf_bytes(&s->block);
            slots[count++] = i;
        }
        if (rc != 0) {
            err_wrap(&err, rc, "block %s", cid_format(&s->cid, text));
            failure_note(&r->failure, i, rc, &err);
        }
    }
    hash_sha256_many(inputs, count, digests);
    for (size_t i = 0; i < count; i++) {
        struct slot *s = &w->slots[slots[i]];
        struct err err = {0};
        /* store_get says where the damage lies. */
        if (memcmp(digests[i], cid_digest(&s->cid), HASH_BYTES) != 0) {
            int rc = store_get(r->given->store, &s->cid, &s->block, &err);
            if (rc != 0)
                failure_note(&r->failure, slots[i], rc, &err);
        }
    }
}

/* Part 0 writes the window before; the others read this one. */
static void part(void *self, size_t i)
{
    struct run *r = self;
    struct err err = {0};
    if (i > 0) {
        read_pair(r, 2 * (i - 1));
        return;
    }
    int rc = write_window(r->given, r->writing, &err);
    if (rc != 0)
        failure_note(&r->failure, 0, rc, &err);
}

static void turn(struct run *r)
{
    jobs_split(r->given->jobs, 1 + (r->filling->count + 1) / 2, part, r);
    struct window *full = r->filling;
    r->filling = r->writing;
    r->writing = full;
}

static struct slot *next_slot(struct run *r, const struct cid *cid)
{
    if (r->filling->count == CAR_WRITE_WINDOW)
        turn(r);
    struct slot *s = &r->filling->slots[r->filling->count++];
    s->cid = *cid;
    s->ready = false;
    buf_clear(&s->block);
    return s;
}

/* --- the walk --- */

/* Leaves wait in the window; only nodes are read by the walk itself. */
static bool enter(void *self, const struct cid *cid)
{
    struct run *r = self;
    if (r->failure.rc == 0 && !dag_has_links(cid))
        next_slot(r, cid);
    return r->failure.rc == 0 && dag_has_links(cid);
}

static int visit(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct run *r = self;
    struct slot *s = next_slot(r, cid);
    buf_append(&s->block, block.data, block.size);
    s->ready = true;
    return buf_check(&s->block, err);
}

static int walk(struct run *r, const struct cid *root, struct err *err)
{
    struct block_source source = store_source(r->given->store);
    struct dag_walk d = {.source = &source, .enter = enter, .visit = visit, .self = r};
    int rc = write_header(r->given, root, err);
    if (rc == 0)
        rc = dag_walk(&d, root, err);
    if (rc == 0 && r->failure.rc == 0)
        turn(r);
    if (rc == 0 && r->failure.rc == 0)
        turn(r); /* writes what the turn before has read */
    return r->failure.rc != 0 ? failure_tell(&r->failure, err) : rc;
}

int car_write(struct car_write *w, const struct cid *root, struct err *err)
{
    struct run *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->given = w;
    w->blocks = w->bytes = 0;
    r->filling = &r->windows[0];
    r->writing = &r->windows[1];
    failure_init(&r->failure);
    for (size_t i = 0; i < 2 * CAR_WRITE_WINDOW; i++)
        r->windows[i / CAR_WRITE_WINDOW].slots[i % CAR_WRITE_WINDOW].block =
            buf_new(BLOCK_BYTES_MAX);
    int rc = walk(r, root, err);
    for (size_t i = 0; i < 2 * CAR_WRITE_WINDOW; i++)
        buf_fini(&r->windows[i / CAR_WRITE_WINDOW].slots[i % CAR_WRITE_WINDOW].block);
    failure_fini(&r->failure);
    free(r);
    return rc;
}
