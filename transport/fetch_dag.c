/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_dag.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "content/dag.h"
#include "content/dagpb.h"
#include "content/digest_map.h"
#include "content/packs.h"
#include "content/slabs.h"
#include "transport/fetch_window.h"

#define LOOKED_AT      32                               /* leaves that are hashed together */
#define NAME_BYTES_MAX (1 + 5 + 5 + 2 + HASH_MULTI_MAX) /* of a CID whose block can be verified */

/* A CID without its empty tail: there may be millions. */
struct name {
    uint8_t size;
    uint8_t bytes[NAME_BYTES_MAX];
};

/* A leaf that the store has, if its hash says so. */
struct leaf {
    struct cid cid;
    int rc;
    struct err err;
};

struct dag {
    struct fetch *f;
    struct store *store;
    struct cid root;
    bool sync; /* what is said to be here must be */
    struct slabs slabs;
    size_t leaf_count;
    struct leaf leaves[LOOKED_AT]; /* to be hashed */
    struct packs_batch *batch;
    struct fetch_window *window;
    struct progress_count *progress;
    struct buf block;      /* the loop's */
    pthread_mutex_t mutex; /* all below */
    struct name *names;    /* to be visited, the next one last */
    size_t count, capacity;
    struct digest_map seen;
    uint64_t have, total;
};

/* --- what is to be visited; with the mutex held --- */

static int grow(struct dag *d, struct err *err)
{
    size_t capacity = d->capacity == 0 ? 1024 : d->capacity * 2;
    if (d->count < d->capacity)
        return 0;
    if (d->count >= FETCH_DAG_PENDING_MAX)
        return err_set(err, ERR_LIMIT, "more than %u blocks known and not fetched yet",
                       FETCH_DAG_PENDING_MAX);
    struct name *more = realloc(d->names, capacity * sizeof *more);
    if (more == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    d->names = more;
    d->capacity = capacity;
    return 0;
}

/* Marks it as seen; false in `*is_new` if it was. */
static int see(struct dag *d, const struct cid *cid, bool *is_new, struct err *err)
{
    uint8_t key[HASH_BYTES];
    struct digest_place place;
    hash_sha256(bytes_of(cid->bytes, cid->size), key);
    *is_new = !digest_map_get(&d->seen, key, &place);
    if (!*is_new)
        return 0;
    place = (struct digest_place){0};
    return digest_map_put(&d->seen, key, &place, err);
}

static int push(void *self, const struct cid *link, struct err *err)
{
    struct dag *d = self;
    bool is_new = false;
    char text[CID_TEXT_MAX];
    if (cid_identity(link, NULL)) /* its bytes are in its name */
        return 0;
    if (link->size > NAME_BYTES_MAX)
        return err_set(err, ERR_UNSUPPORTED, "block %s: a hash that cannot be checked",
                       cid_format(link, text));
    int rc = see(d, link, &is_new, err);
    if (rc != 0 || !is_new)
        return rc;
    rc = grow(d, err);
    if (rc != 0)
        return rc;
    d->names[d->count] = (struct name){.size = link->size};
    memcpy(d->names[d->count++].bytes, link->bytes, link->size);
    return 0;
}

/* The last ones were pushed in order: the first of them is to be the next. */
static void turn(struct dag *d, size_t from)
{
    for (size_t a = from, b = d->count; a + 1 < b; a++) {
        struct name kept = d->names[a];
        d->names[a] = d->names[--b];
        d->names[b] = kept;
    }
}

static int add_size(void *self, const struct dagpb_link *link, struct err *err)
{
    uint64_t *total = self;
    (void)err;
    *total = link->total_bytes > UINT64_MAX - *total ? UINT64_MAX : *total + link->total_bytes;
    return 0;
}

static void count_bytes(struct dag *d, uint64_t more)
{
    d->have += more;
    if (d->total != 0 && d->total < d->have)
        d->total = d->have; /* the root's writer was wrong */
    if (d->progress != NULL)
        progress_count_set(d->progress, d->have, d->total);
}

/* A block is here and in the store: what it links to is next. */
static int expand(struct dag *d, const struct cid *cid, struct bytes block, struct err *err)
{
    char text[CID_TEXT_MAX];
    uint64_t total = block.size;
    pthread_mutex_lock(&d->mutex);
    size_t from = d->count;
    int rc = dag_each_link(cid, block, push, d, err);
    turn(d, from);
    if (rc == 0 && cid_equal(cid, &d->root) && cid_codec(cid) == CID_DAG_PB &&
        dagpb_each_link(block, add_size, &total, NULL) == 0)
        d->total = total;
    count_bytes(d, block.size);
    pthread_mutex_unlock(&d->mutex);
    return rc != 0 ? err_wrap(err, rc, "block %s", cid_format(cid, text)) : 0;
}

/* --- the walk --- */

/* In any thread, several at once. */
static int deliver(void *self, const struct fetch_want *want, struct bytes block, struct err *err)
{
    struct dag *d = self;
    int rc = store_batch_put(d->batch, &want->cid, block, err);
    return rc != 0 ? rc : expand(d, &want->cid, block, err);
}

static void count_leaf(struct dag *d, uint64_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    count_bytes(d, bytes);
    pthread_mutex_unlock(&d->mutex);
}

/* A leaf that the store has is not read, where that it has it is no promise. */
static bool has_leaf(struct dag *d, const struct cid *cid)
{
    struct store_place place;
    if (store_find(d->store, cid, &place, NULL) != 0)
        return false;
    close(place.fd);
    count_leaf(d, place.size);
    return true;
}

/* In any thread. */
static void hash_leaf(void *self, size_t i)
{
    struct dag *d = self;
    struct leaf *l = &d->leaves[i];
    struct slab slab = slabs_take(&d->slabs);
    l->rc = store_get(d->store, &l->cid, &slab.a, &l->err);
    if (l->rc == 0)
        count_leaf(d, slab.a.size);
    slabs_give(&d->slabs, &slab);
}

/* Those that are damaged are asked for. */
static int hash_leaves(struct dag *d, struct err *err)
{
    int rc = 0;
    jobs_split(d->f->jobs, d->leaf_count, hash_leaf, d);
    for (size_t i = 0; rc == 0 && i < d->leaf_count; i++) {
        const struct leaf *l = &d->leaves[i];
        struct fetch_want want = {.cid = l->cid};
        if (l->rc == ERR_NOTFOUND || l->rc == ERR_CORRUPT)
            rc = fetch_window_ask(d->window, &want, err);
        else if (l->rc != 0)
            rc = err_set(err, l->rc, "%s", l->err.text);
    }
    d->leaf_count = 0;
    return rc;
}

static int visit_leaf(struct dag *d, const struct cid *cid, struct err *err)
{
    struct fetch_want want = {.cid = *cid};
    if (!store_has(d->store, cid) || (!d->sync && !has_leaf(d, cid)))
        return fetch_window_ask(d->window, &want, err);
    if (!d->sync)
        return 0;
    d->leaves[d->leaf_count++] = (struct leaf){.cid = *cid};
    return d->leaf_count < LOOKED_AT ? 0 : hash_leaves(d, err);
}

static int visit(struct dag *d, const struct cid *cid, struct err *err)
{
    struct fetch_want want = {.cid = *cid};
    if (cid_codec(cid) == CID_RAW)
        return visit_leaf(d, cid, err);
    int rc = store_get(d->store, cid, &d->block, err);
    if (rc == 0)
        return expand(d, cid, buf_bytes(&d->block), err);
    if (rc != ERR_NOTFOUND && rc != ERR_CORRUPT)
        return rc;
    return fetch_window_ask(d->window, &want, err);
}

static bool pop(struct dag *d, struct cid *out)
{
    bool any = false;
    pthread_mutex_lock(&d->mutex);
    if (d->count > 0) {
        const struct name *n = &d->names[--d->count];
        *out = (struct cid){.size = n->size};
        memcpy(out->bytes, n->bytes, n->size);
        any = true;
    }
    pthread_mutex_unlock(&d->mutex);
    return any;
}

static int walk(struct dag *d, struct err *err)
{
    for (;;) {
        struct cid cid;
        bool idle = fetch_window_is_idle(d->window); /* then nobody pushes any more */
        int rc = 0;
        if (pop(d, &cid))
            rc = visit(d, &cid, err);
        else if (d->leaf_count > 0)
            rc = hash_leaves(d, err);
        else if (idle)
            return 0;
        else
            rc = fetch_window_step(d->window, err);
        if (rc != 0)
            return rc;
    }
}

/* What came stays, however the fetch ended. */
static int finish(struct dag *d, int rc, bool sync, struct err *err)
{
    if (d->batch == NULL)
        return rc;
    int sealed = store_batch_finish(d->batch, rc == 0 && sync, rc == 0 ? err : NULL);
    if (sealed != 0)
        packs_batch_free(d->batch);
    return rc != 0 ? rc : sealed;
}

int fetch_dag(struct fetch *f, struct store *s, const struct cid *root, bool sync,
              struct progress_count *progress, struct err *err)
{
    char text[CID_TEXT_MAX];
    struct dag d = {.f = f,
                    .store = s,
                    .root = *root,
                    .sync = sync,
                    .progress = progress,
                    .block = buf_new(STORE_BLOCK_BYTES_MAX)};
    pthread_mutex_init(&d.mutex, NULL);
    slabs_init(&d.slabs, STORE_BLOCK_BYTES_MAX);
    int rc = store_batch_new(s, &d.batch, err);
    if (rc == 0)
        rc = fetch_window_new(f, deliver, &d, &d.window, err);
    if (rc == 0)
        rc = push(&d, root, err);
    if (rc == 0)
        rc = walk(&d, err);
    fetch_window_free(d.window);
    rc = finish(&d, rc, sync, err);
    slabs_fini(&d.slabs);
    pthread_mutex_destroy(&d.mutex);
    digest_map_fini(&d.seen);
    free(d.names);
    buf_fini(&d.block);
    return rc != 0 ? err_wrap(err, rc, "fetch %s", cid_format(root, text)) : 0;
}
