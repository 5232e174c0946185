/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "content/packs_internal.h"
#include "content/store_internal.h"

/* What the batch means but the packs do not hold: to be synced with it, each once. Grows with the
 * blocks that lie in files of their own, as does what a store knows to be synced. */
struct notes {
    struct store *store;
    pthread_mutex_t mutex;
    struct digest_map noted; /* by SHA-256 of the CID */
    size_t count, capacity;
    struct cid *cids;
};

static void free_notes(void *self)
{
    struct notes *n = self;
    pthread_mutex_destroy(&n->mutex);
    digest_map_fini(&n->noted);
    free(n->cids);
    free(n);
}

/* With the mutex held. */
static int add_note(struct notes *n, const struct cid *cid, struct err *err)
{
    struct digest_place none = {0};
    uint8_t key[HASH_BYTES];
    hash_sha256(bytes_of(cid->bytes, cid->size), key);
    if (digest_map_get(&n->noted, key, &none))
        return 0;
    if (n->count == n->capacity) {
        size_t capacity = n->capacity * 2 + 16;
        struct cid *cids = realloc(n->cids, capacity * sizeof *cids);
        if (cids == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        n->cids = cids;
        n->capacity = capacity;
    }
    int rc = digest_map_put(&n->noted, key, &none, err);
    if (rc == 0)
        n->cids[n->count++] = *cid;
    return rc;
}

static int note(struct notes *n, const struct cid *cid, struct err *err)
{
    pthread_mutex_lock(&n->mutex);
    int rc = add_note(n, cid, err);
    pthread_mutex_unlock(&n->mutex);
    return rc;
}

static int put_single(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    struct notes *n = self;
    int rc = store_put_own(n->store, cid, block, err);
    return rc != 0 ? rc : note(n, cid, err);
}

int store_batch_new(struct store *s, struct packs_batch **out, struct err *err)
{
    if (s->mode != STORE_WRITE && s->mode != STORE_SHARE)
        return err_set(err, ERR_DENIED, "store %s is not open for writing", s->root);
    struct notes *n = calloc(1, sizeof *n);
    if (n == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    n->store = s;
    pthread_mutex_init(&n->mutex, NULL);
    int rc = packs_batch_new(s->packs, put_single, n, out, err);
    if (rc != 0)
        free_notes(n);
    else
        packs_batch_own(*out, free_notes);
    return rc;
}

/* A model's leaf is written again: a second copy of up to the whole file, while the model is there.
 * The other way, deleting the model would have to know of every pin what it reaches. */
int store_batch_put(struct packs_batch *b, const struct cid *cid, struct bytes block,
                    struct err *err)
{
    struct notes *n = packs_batch_self(b);
    if (block.size > STORE_BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a block of %zu bytes", block.size);
    if (cid_identity(cid, NULL))
        return 0;
    if (store_has_file(n->store, cid, block))
        return note(n, cid, err);
    int rc = packs_batch_put(b, cid, block, false, err);
    return rc == ERR_UNSUPPORTED ? put_single(n, cid, block, err) : rc;
}

int store_batch_finish(struct packs_batch *b, bool sync, struct err *err)
{
    struct notes *n = packs_batch_self(b);
    struct store *s = n->store;
    int rc = packs_batch_seal(b, sync, err);
    if (rc == 0 && sync)
        rc = store_sync(s, n->cids, n->count, err);
    if (rc == 0)
        packs_batch_free(b);
    return rc;
}
