/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_file.h"

#include "content/slabs.h"
#include "transport/fetch_verify.h"

#define LOOKED_AT   32  /* leaves that are looked for in the part and in the store together */
#define PROBE_BYTES 512 /* of a leaf's beginning and end: all zero is taken for a hole */

struct slot {
    struct fetch_want want;
    bool here;
};

struct file {
    struct fetch *f;
    const struct fetch_file *to;
    struct fetch_window *window;
    struct slabs slabs;
    size_t count;
    struct slot slots[LOOKED_AT];
    pthread_mutex_t writing; /* into the part */
    pthread_mutex_t keeping; /* into the store */
    pthread_mutex_t mutex;   /* all below, and one call of `progress` at a time */
    uint64_t have, size;
    int rc; /* the first failure while looking */
    struct err err;
};

static void tell_progress(struct file *x, uint64_t more)
{
    pthread_mutex_lock(&x->mutex);
    x->have += more;
    if (x->to->progress != NULL)
        x->to->progress(x->to->self, x->have, x->size);
    pthread_mutex_unlock(&x->mutex);
}

/* --- writing; in any thread, several at once --- */

static int keep(struct file *x, const struct fetch_want *want, struct bytes block, struct err *err)
{
    if (x->to->batch == NULL)
        return 0;
    pthread_mutex_lock(&x->keeping);
    int rc = store_batch_put(x->to->batch, &want->cid, block, err);
    pthread_mutex_unlock(&x->keeping);
    return rc;
}

/* The kernel lets one thread write to a file, and lets the others spin: here they wait, and do
 * whichever of the two is free first. */
static int write_leaf(struct file *x, const struct fetch_want *want, struct bytes block, bool kept,
                      struct err *err)
{
    int rc = 0;
    bool first = kept || pthread_mutex_trylock(&x->writing) == 0;
    if (!first)
        rc = keep(x, want, block, err);
    if (kept || !first)
        pthread_mutex_lock(&x->writing);
    if (rc == 0)
        rc = x->to->write(x->to->self, want->offset, block, err);
    pthread_mutex_unlock(&x->writing);
    if (rc == 0 && first && !kept)
        rc = keep(x, want, block, err);
    if (rc == 0)
        tell_progress(x, block.size);
    return rc;
}

/* Its hash is right, but its parent may be wrong about its size. */
static int check_size(const struct fetch_want *want, size_t size, struct err *err)
{
    char text[CID_TEXT_MAX];
    if (size == want->size)
        return 0;
    return err_set(err, ERR_MALFORMED, "block %s has %zu bytes, its parent says %llu",
                   cid_format(&want->cid, text), size, (unsigned long long)want->size);
}

static int deliver(void *self, const struct fetch_want *want, struct bytes block, struct err *err)
{
    int rc = check_size(want, block.size, err);
    return rc != 0 ? rc : write_leaf(self, want, block, false, err);
}

/* --- what is here --- */

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static bool is_hole_at(const struct file *x, uint64_t offset, size_t size)
{
    uint8_t probe[PROBE_BYTES];
    return x->to->read(x->to->self, offset, probe, size, NULL) != 0 || is_zero(probe, size);
}

/* A new part is one hole, and reading it through would cost more than these two probes. A leaf that
 * truly begins and ends in zeros is fetched again, no more. */
static bool looks_like_hole(const struct file *x, const struct fetch_want *w)
{
    size_t size = w->size < PROBE_BYTES ? (size_t)w->size : PROBE_BYTES;
    return is_hole_at(x, w->offset, size) && is_hole_at(x, w->offset + w->size - size, size);
}

static bool load_from_part(struct file *x, const struct fetch_want *want, struct buf *out)
{
    if (want->size > STORE_BLOCK_BYTES_MAX || looks_like_hole(x, want))
        return false;
    buf_clear(out);
    uint8_t *data = buf_extend(out, (size_t)want->size);
    return data != NULL &&
           x->to->read(x->to->self, want->offset, data, (size_t)want->size, NULL) == 0;
}

static bool load_from_store(struct file *x, const struct fetch_want *want, struct buf *out)
{
    return store_read(x->to->store, &want->cid, out, NULL) == 0;
}

static int take_from_part(struct file *x, const struct fetch_want *want, struct bytes block,
                          struct err *err)
{
    int rc =
        x->to->batch == NULL || store_has(x->to->store, &want->cid) ? 0 : keep(x, want, block, err);
    if (rc == 0)
        tell_progress(x, block.size);
    return rc;
}

static int take_from_store(struct file *x, const struct fetch_want *want, struct bytes block,
                           struct err *err)
{
    int rc = check_size(want, block.size, err);
    return rc != 0 ? rc : write_leaf(x, want, block, true, err);
}

static const struct place {
    bool (*load)(struct file *x, const struct fetch_want *want, struct buf *out);
    int (*take)(struct file *x, const struct fetch_want *want, struct bytes block, struct err *err);
} places[] = {{load_from_part, take_from_part}, {load_from_store, take_from_store}};

static void look_in(struct file *x, const struct place *place, struct slot *slots, size_t count,
                    struct slab *slab)
{
    struct fetch_verify_body bodies[FETCH_VERIFY_COUNT] = {{0}};
    struct err err = {0};
    size_t loaded = 0;
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        struct buf *block = loaded == 0 ? &slab->a : &slab->b;
        if (!slots[i].here && place->load(x, &slots[i].want, block))
            bodies[loaded++] = (struct fetch_verify_body){
                .owner = &slots[i], .want = &slots[i].want, .block = buf_bytes(block)};
    }
    fetch_verify_bodies(bodies, loaded);
    for (size_t i = 0; rc == 0 && i < loaded; i++) {
        if (!bodies[i].good)
            continue;
        ((struct slot *)bodies[i].owner)->here = true;
        rc = place->take(x, bodies[i].want, bodies[i].block, &err);
    }
    if (rc == 0)
        return;
    pthread_mutex_lock(&x->mutex);
    if (x->rc == 0) {
        x->rc = rc;
        x->err = err;
    }
    pthread_mutex_unlock(&x->mutex);
}

/* In any thread: the pair `i`. */
static void look(void *self, size_t i)
{
    struct file *x = self;
    size_t first = i * FETCH_VERIFY_COUNT, left = x->count - first;
    struct slab slab = slabs_take(&x->slabs);
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++)
        look_in(x, &places[k], &x->slots[first],
                left < FETCH_VERIFY_COUNT ? left : FETCH_VERIFY_COUNT, &slab);
    slabs_give(&x->slabs, &slab);
}

/* What is not here is asked for. */
static int flush(struct file *x, struct err *err)
{
    jobs_split(x->f->jobs, (x->count + FETCH_VERIFY_COUNT - 1) / FETCH_VERIFY_COUNT, look, x);
    int rc = x->rc == 0 ? 0 : err_set(err, x->rc, "%s", x->err.text);
    for (size_t i = 0; rc == 0 && i < x->count; i++)
        if (!x->slots[i].here)
            rc = fetch_window_ask(x->window, &x->slots[i].want, err);
    x->count = 0;
    return rc;
}

/* --- the walk --- */

static int take_size(void *self, uint64_t bytes, struct err *err)
{
    struct file *x = self;
    x->size = bytes;
    if (bytes > x->to->bytes_max)
        return err_set(err, ERR_LIMIT, "a file of %llu bytes, more than %llu",
                       (unsigned long long)bytes, (unsigned long long)x->to->bytes_max);
    return 0;
}

static int get_node(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct file *x = self;
    return fetch_block(x->f, x->to->store, cid, out, err);
}

static int pass_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    (void)self;
    return fetch_verify_can(&leaf->cid, err);
}

static int take_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct file *x = self;
    x->slots[x->count++].want =
        (struct fetch_want){.cid = leaf->cid, .offset = leaf->offset, .size = leaf->size};
    x->slots[x->count - 1].here = false;
    return x->count < LOOKED_AT ? 0 : flush(x, err);
}

static int fetch_leaves(struct file *x, const struct cid *root, struct err *err)
{
    struct block_source here = store_source(x->to->store);
    struct unixfs_visitor v = {.self = x, .leaf = take_leaf};
    int rc = fetch_window_new(x->f, deliver, x, &x->window, err);
    if (rc == 0)
        rc = unixfs_walk_range(&here, root, 0, UINT64_MAX, &v, err);
    if (rc == 0)
        rc = flush(x, err);
    if (rc == 0)
        rc = fetch_window_wait(x->window, err);
    fetch_window_free(x->window);
    return rc;
}

/* The tree's nodes first: only they say how large the file is, and whether it holds together. */
static int fetch_tree(struct file *x, const struct cid *root, struct err *err)
{
    struct block_source source = {.self = x, .get = get_node};
    struct unixfs_visitor v = {.self = x, .begin = take_size, .leaf = pass_leaf};
    int rc = unixfs_walk_range(&source, root, 0, UINT64_MAX, &v, err);
    if (rc == 0)
        rc = x->to->begin(x->to->self, x->size, err);
    return rc != 0 ? rc : fetch_leaves(x, root, err);
}

/* A file of one leaf has no tree, and its size is the leaf's. */
static int fetch_single(struct file *x, const struct cid *root, struct err *err)
{
    struct buf leaf = buf_new(STORE_BLOCK_BYTES_MAX);
    struct fetch_want want = {.cid = *root};
    int rc = store_get(x->to->store, root, &leaf, err);
    bool kept = rc == 0;
    if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT)
        rc = fetch_bytes(x->f, root, &leaf, err);
    if (rc == 0)
        rc = take_size(x, leaf.size, err);
    if (rc == 0)
        rc = x->to->begin(x->to->self, leaf.size, err);
    if (rc == 0)
        rc = write_leaf(x, &want, buf_bytes(&leaf), kept, err);
    buf_fini(&leaf);
    return rc;
}

int fetch_file(struct fetch *f, const struct fetch_file *to, const struct cid *root,
               struct err *err)
{
    struct file x = {.f = f, .to = to};
    pthread_mutex_init(&x.writing, NULL);
    pthread_mutex_init(&x.keeping, NULL);
    pthread_mutex_init(&x.mutex, NULL);
    slabs_init(&x.slabs, STORE_BLOCK_BYTES_MAX);
    int rc = cid_codec(root) == CID_RAW ? fetch_single(&x, root, err) : fetch_tree(&x, root, err);
    slabs_fini(&x.slabs);
    pthread_mutex_destroy(&x.writing);
    pthread_mutex_destroy(&x.keeping);
    pthread_mutex_destroy(&x.mutex);
    return rc;
}
