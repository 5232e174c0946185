/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "content/store_internal.h"

#define FAN_OUT 2 /* characters of a folder's name */

struct listing {
    struct store *store;
    char blocks[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int (*each)(void *self, const struct cid *cid, const char *where, struct err *err);
    int (*damaged)(void *self, const char *where, const struct err *why, struct err *err);
    void *self;
};

static bool is_temporary(const char *name)
{
    size_t size = strlen(name), tail = strlen(".tmp");
    return size > tail && strcmp(name + size - tail, ".tmp") == 0;
}

static int remove_temporary(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    const struct files *f = l->store->files;
    char path[FILES_PATH_MAX];
    if (!is_temporary(name))
        return 0;
    int rc = files_join(path, l->folder, name, err);
    return rc != 0 ? rc : f->unlink(f->self, path, err);
}

static int each_block(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    char path[FILES_PATH_MAX];
    struct cid cid;
    if (cid_parse(name, &cid, NULL) != 0)
        return 0; /* a *.tmp */
    int rc = files_join(path, l->folder, name, err);
    return rc != 0 ? rc : l->each(l->self, &cid, path, err);
}

static int sweep_folder(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    const struct files *f = l->store->files;
    if (strlen(name) != FAN_OUT)
        return 0;
    int rc = files_join(l->folder, l->blocks, name, err);
    return rc != 0 ? rc : f->list(f->self, l->folder, remove_temporary, l, err);
}

int store_each_drop_temporary(struct store *s, struct err *err)
{
    struct listing l = {.store = s};
    int rc = files_join(l.blocks, s->root, "blocks", err);
    return rc != 0 ? rc : s->files->list(s->files->self, l.blocks, sweep_folder, &l, err);
}

static int each_folder(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    const struct files *f = l->store->files;
    if (strlen(name) != FAN_OUT)
        return 0;
    int rc = files_join(l->folder, l->blocks, name, err);
    return rc != 0 ? rc : f->list(f->self, l->folder, each_block, l, err);
}

int store_each_single(struct store *s,
                      int (*each)(void *self, const struct cid *cid, const char *path,
                                  struct err *err),
                      void *self, struct err *err)
{
    struct listing l = {.store = s, .each = each, .self = self};
    int rc = files_join(l.blocks, s->root, "blocks", err);
    if (rc != 0 || !files_exists(s->files, l.blocks))
        return rc;
    return s->files->list(s->files->self, l.blocks, each_folder, &l, err);
}

static int each_packed(void *arg, const struct cid *cid, const struct packs_place *place,
                       const char *where, struct err *err)
{
    struct listing *l = arg;
    (void)place;
    return l->each(l->self, cid, where, err);
}

static int pack_damaged(void *arg, const char *where, const struct err *why, struct err *err)
{
    struct listing *l = arg;
    return l->damaged(l->self, where, why, err);
}

/* Leaf by leaf from a copy: the callee may do with the store what it likes. */
static int each_leaf(struct listing *l, struct err *err)
{
    struct store *s = l->store;
    size_t count = 0;
    pthread_mutex_lock(&s->mutex);
    struct digest_entry *leaves = calloc(s->leaves.count + 1, sizeof *leaves);
    for (size_t i = 0; leaves != NULL && i < s->leaves.capacity; i++)
        if (s->leaves.entries[i].state == DIGEST_USED)
            leaves[count++] = s->leaves.entries[i];
    pthread_mutex_unlock(&s->mutex);
    if (leaves == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char where[FILES_PATH_MAX], text[CID_TEXT_MAX];
        struct cid cid = cid_from_digest(CID_RAW, leaves[i].digest);
        pthread_mutex_lock(&s->mutex);
        struct cid root = s->models[leaves[i].place.file].root;
        pthread_mutex_unlock(&s->mutex);
        snprintf(where, sizeof where, "%s/models/%s.safetensors at offset %llu", s->root,
                 cid_format(&root, text), (unsigned long long)leaves[i].place.offset);
        rc = l->each(l->self, &cid, where, err);
    }
    free(leaves);
    return rc;
}

int store_each(struct store *s,
               int (*each)(void *self, const struct cid *cid, const char *where, struct err *err),
               int (*damaged)(void *self, const char *where, const struct err *why,
                              struct err *err),
               void *self, struct err *err)
{
    struct listing l = {.store = s, .each = each, .damaged = damaged, .self = self};
    int rc = store_each_single(s, each, self, err);
    if (rc == 0)
        rc = packs_each(s->packs, each_packed, damaged != NULL ? pack_damaged : NULL, &l, err);
    return rc != 0 ? rc : each_leaf(&l, err);
}
