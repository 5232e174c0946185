/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"
#include "content/packs_internal.h"

struct sweep {
    struct packs *packs;
    bool (*keep)(void *self, const uint8_t digest[HASH_BYTES]);
    void *self;
    struct packs_swept *out;
};

/* The data goes first: an index without its pack is removed by the next that opens, and a pack
 * without its index would be made whole again. */
static int remove_pack(struct packs *p, struct packs_file *file, struct err *err)
{
    static const char *const endings[] = {".car", ".ref", ".index"};
    char path[FILES_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof endings / sizeof endings[0]; i++) {
        rc = packs_path(p, file->name, endings[i], path, err);
        if (rc == 0)
            rc = p->files->unlink(p->files->self, path, err);
        if (rc == ERR_NOTFOUND)
            rc = 0;
        FAULT_POINT("packs-sweep-removing");
    }
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&p->mutex);
    packs_list_remove(p, file);
    pthread_mutex_unlock(&p->mutex);
    return 0;
}

/* Copies what is kept, hashed: one that is not what its CID says is not carried on as if it were.
 */
static int copy_kept(struct sweep *s, struct packs_file *file, const struct packs_entries *list,
                     struct packs_batch *b, struct err *err)
{
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    char where[FILES_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        struct packs_hit hit = {.file = file, .entry = list->entries[i]};
        struct cid cid = packs_entries_cid(&hit.entry);
        if (!s->keep(s->self, hit.entry.digest))
            continue;
        buf_clear(&block);
        int read = packs_hit_read(s->packs, &hit, &block, where, err);
        if (read != 0 && read != ERR_CORRUPT)
            rc = read; /* it may be whole: its pack must stay */
        else if (read == 0 && packs_hit_is_block(buf_bytes(&block), hit.entry.digest))
            rc = packs_batch_put(b, &cid, buf_bytes(&block), true, err);
        else
            s->out->damaged++;
    }
    buf_fini(&block);
    return rc;
}

/* The new pack is durable before the old one goes. */
static int rewrite(struct sweep *s, struct packs_file *file, const struct packs_entries *list,
                   struct err *err)
{
    struct packs_batch *b = NULL;
    int rc = packs_batch_new(s->packs, NULL, NULL, &b, err);
    if (rc == 0)
        rc = copy_kept(s, file, list, b, err);
    if (rc == 0) {
        rc = packs_batch_finish(b, true, err);
        if (rc == 0)
            b = NULL;
    }
    packs_batch_free(b);
    FAULT_POINT("packs-sweep-before-remove");
    return rc;
}

/* A reference whose index, or whose own text, is damaged has no blocks. */
static int entries_of(struct packs *p, struct packs_file *file, struct packs_entries *out,
                      struct err *err)
{
    int rc = packs_file_entries(p, file, out, err);
    return rc == ERR_CORRUPT && file->reference ? 0 : rc;
}

static int sweep_file(struct sweep *s, struct packs_file *file, bool *removed, struct err *err)
{
    struct packs_entries list = {0};
    size_t kept = 0;
    uint64_t dead_bytes = 0;
    int rc = entries_of(s->packs, file, &list, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        if (s->keep(s->self, list.entries[i].digest))
            kept++;
        else
            dead_bytes += list.entries[i].size;
    }
    *removed = rc == 0 && (kept == 0 || (kept < list.count && !file->reference));
    if (*removed && kept > 0)
        rc = rewrite(s, file, &list, err);
    if (rc == 0 && *removed)
        rc = remove_pack(s->packs, file, err);
    if (rc == 0 && *removed) {
        s->out->blocks += list.count - kept;
        s->out->bytes += dead_bytes;
    }
    packs_entries_fini(&list);
    return rc;
}

/* Of processes that were killed: nobody else has the packs open now. */
static int remove_temporary(void *self, const char *name, struct err *err)
{
    struct packs *p = self;
    char path[FILES_PATH_MAX];
    size_t size = strlen(name);
    if (size < 4 || strcmp(name + size - 4, ".tmp") != 0)
        return 0;
    int rc = packs_path(p, name, "", path, err);
    return rc != 0 ? rc : p->files->unlink(p->files->self, path, err);
}

/* Every index is read before anything goes: with one that cannot be, a disk fails, and is not to be
 * cleaned up. */
static int read_all(struct packs *p, struct err *err)
{
    struct packs_file *file;
    int rc = 0;
    for (size_t i = 0; rc == 0 && (file = packs_file_take(p, i)) != NULL; i++) {
        struct packs_entries list = {0};
        rc = entries_of(p, file, &list, err);
        packs_entries_fini(&list);
        packs_file_release(p, file);
    }
    return rc;
}

int packs_sweep(struct packs *p, bool (*keep)(void *self, const uint8_t digest[HASH_BYTES]),
                void *self, struct packs_swept *out, struct err *err)
{
    struct sweep s = {.packs = p, .keep = keep, .self = self, .out = out};
    struct packs_file *file;
    if (!p->write)
        return err_set(err, ERR_DENIED, "packs in %s are open for reading only", p->folder);
    int rc = read_all(p, err);
    /* What is rewritten is added behind the end of the list, and is looked at too: all of it is
     * kept. */
    for (size_t i = 0; rc == 0 && (file = packs_file_take(p, i)) != NULL;) {
        bool removed = false;
        rc = sweep_file(&s, file, &removed, err);
        packs_file_release(p, file);
        if (!removed)
            i++;
    }
    if (rc == 0)
        rc = p->files->list(p->files->self, p->folder, remove_temporary, p, err);
    if (rc == 0)
        rc = p->files->sync_dir(p->files->self, p->folder, err);
    return rc;
}
