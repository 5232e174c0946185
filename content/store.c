/* SPDX-License-Identifier: Apache-2.0 */
#include "content/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "content/store_internal.h"

#define FAN_OUT 2 /* characters of a CID that name its folder */

static int make_folders(struct store *s, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_make_dirs(s->files, s->root, err);
    if (rc == 0)
        rc = files_join(path, s->root, "blocks", err);
    if (rc == 0)
        rc = s->files->make_dir(s->files->self, path, err);
    if (rc == 0)
        rc = files_join(path, s->root, "models", err);
    if (rc == 0)
        rc = s->files->make_dir(s->files->self, path, err);
    if (rc == 0)
        rc = files_join(path, s->root, "lock", err);
    return rc != 0 ? rc : s->files->lock(s->files->self, path, &s->lock_fd, err);
}

int store_open(const struct files *f, const char *root, enum store_mode mode, struct store **out,
               struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&s->changes, NULL);
    pthread_mutex_init(&s->mutex, NULL);
    s->files = f;
    s->mode = mode;
    s->lock_fd = -1;
    int rc = strlen(root) < sizeof s->root ? 0 : err_set(err, ERR_LIMIT, "path too long");
    if (rc == 0) {
        memcpy(s->root, root, strlen(root) + 1);
        if (mode == STORE_WRITE)
            rc = make_folders(s, err);
        else if (!files_exists(f, root))
            rc = err_set(err, ERR_NOTFOUND, "no such folder");
    }
    if (rc == 0 && mode != STORE_ADD)
        rc = store_model_open_all(s, err);
    if (rc != 0) {
        store_close(s);
        return err_wrap(err, rc, "store %s", root);
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    free(s->models);
    if (s->lock_fd >= 0)
        s->files->close(s->files->self, s->lock_fd);
    digest_map_fini(&s->leaves);
    digest_map_fini(&s->synced);
    pthread_mutex_destroy(&s->mutex);
    pthread_mutex_destroy(&s->changes);
    free(s);
}

/* The folder is named by the last characters but one: base32 text varies most evenly there. */
static int block_path(const struct store *s, const struct cid *cid, char out[FILES_PATH_MAX],
                      char folder[FILES_PATH_MAX], struct err *err)
{
    char text[CID_TEXT_MAX], name[CID_TEXT_MAX + 16];
    if (cid_digest(cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "a store holds blocks with sha2-256 CIDs only");
    cid_format(cid, text);
    snprintf(name, sizeof name, "blocks/%.*s", FAN_OUT, text + strlen(text) - 1 - FAN_OUT);
    int rc = files_join(folder, s->root, name, err);
    return rc != 0 ? rc : files_join(out, folder, text, err);
}

bool store_has(struct store *s, const struct cid *cid)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    return store_model_has_leaf(s, cid) ||
           (block_path(s, cid, path, folder, NULL) == 0 && files_exists(s->files, path));
}

/* Into `out`, unhashed; `name` says where the bytes lay. */
static int read_any(struct store *s, const struct cid *cid, struct buf *out,
                    char name[FILES_PATH_MAX], struct err *err)
{
    buf_clear(out);
    int rc = store_model_read_leaf(s, cid, out, name, err);
    if (rc != ERR_NOTFOUND)
        return rc;
    char folder[FILES_PATH_MAX], text[CID_TEXT_MAX];
    rc = block_path(s, cid, name, folder, err);
    if (rc == 0)
        rc = files_load(s->files, name, out, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND, "block %s is not in store %s", cid_format(cid, text),
                       s->root);
    if (rc == ERR_LIMIT && out->max >= STORE_BLOCK_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "%.600s: larger than any block", name);
    return rc;
}

int store_get(struct store *s, const struct cid *cid, struct buf *out, struct err *err)
{
    char name[FILES_PATH_MAX], text[CID_TEXT_MAX];
    int rc = read_any(s, cid, out, name, err);
    if (rc == 0 && cid_verify(cid, buf_bytes(out), NULL) != 0)
        rc = err_set(err, ERR_CORRUPT, "%.600s: the bytes are not block %s", name,
                     cid_format(cid, text));
    if (rc != 0)
        buf_clear(out);
    return rc;
}

int store_read(struct store *s, const struct cid *cid, struct buf *out, struct err *err)
{
    char name[FILES_PATH_MAX];
    return read_any(s, cid, out, name, err);
}

/* Two CIDs of other codec or version may share a digest and are two files: the key is the CID. */
static void synced_key(const struct cid *cid, uint8_t out[HASH_BYTES])
{
    hash_sha256(bytes_of(cid->bytes, cid->size), out);
}

static void forget_synced(struct store *s, const struct cid *cid)
{
    uint8_t key[HASH_BYTES];
    synced_key(cid, key);
    pthread_mutex_lock(&s->mutex);
    digest_map_remove(&s->synced, key);
    pthread_mutex_unlock(&s->mutex);
}

/* Is the file there with exactly these bytes? After a crash a name may stand without them. */
static bool is_whole(struct store *s, const char *path, struct bytes block)
{
    struct buf found = buf_new(STORE_BLOCK_BYTES_MAX);
    bool whole =
        files_load(s->files, path, &found, NULL) == 0 && bytes_equal(buf_bytes(&found), block);
    buf_fini(&found);
    return whole;
}

int store_put(struct store *s, const struct cid *cid, struct bytes block, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    if (s->mode == STORE_READ_ONLY)
        return err_set(err, ERR_DENIED, "store %s is open for reading only", s->root);
    if (block.size > STORE_BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a block of %zu bytes", block.size);
    int rc = block_path(s, cid, path, folder, err);
    if (rc == 0)
        rc = cid_verify(cid, block, err);
    if (rc != 0 || store_model_has_leaf(s, cid) || is_whole(s, path, block))
        return rc;
    forget_synced(s, cid);
    rc = s->files->make_dir(s->files->self, folder, err);
    FAULT_POINT("store-before-put");
    return rc != 0 ? rc : files_save_unsynced(s->files, path, block, err);
}

/* --- durability --- */

static bool is_synced(struct store *s, const struct cid *cid)
{
    struct digest_place place;
    uint8_t key[HASH_BYTES];
    synced_key(cid, key);
    pthread_mutex_lock(&s->mutex);
    bool yes = digest_map_get(&s->synced, key, &place);
    pthread_mutex_unlock(&s->mutex);
    return yes;
}

static int sync_file(struct store *s, const struct cid *cid, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX], text[CID_TEXT_MAX];
    int fd;
    int rc = block_path(s, cid, path, folder, err);
    if (rc == 0)
        rc = s->files->open(s->files->self, path, FILES_READ, &fd, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND, "block %s is not in store %s", cid_format(cid, text),
                       s->root);
    if (rc != 0)
        return rc;
    FAULT_POINT("store-before-sync");
    rc = s->files->sync(s->files->self, fd, err);
    s->files->close(s->files->self, fd);
    return rc;
}

static int sync_name(struct store *s, const struct cid *cid, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int rc = block_path(s, cid, path, folder, err);
    return rc != 0 ? rc : s->files->sync_dir(s->files->self, folder, err);
}

static int remember_synced(struct store *s, const struct cid *cid, struct err *err)
{
    struct digest_place none = {0};
    uint8_t key[HASH_BYTES];
    synced_key(cid, key);
    pthread_mutex_lock(&s->mutex);
    int rc = digest_map_put(&s->synced, key, &none, err);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

/* Files first, then names: a name without its bytes would be a block that is not wholly there.
 * `files` are blocks in files of their own, not yet synced, each once. */
static int sync_files(struct store *s, const struct cid *files, size_t count, struct err *err)
{
    char blocks[FILES_PATH_MAX];
    int rc = files_join(blocks, s->root, "blocks", err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = sync_file(s, &files[i], err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = sync_name(s, &files[i], err);
    if (rc == 0 && count > 0)
        rc = s->files->sync_dir(s->files->self, blocks, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = remember_synced(s, &files[i], err);
    return rc;
}

int store_sync(struct store *s, const struct cid *cids, size_t count, struct err *err)
{
    struct cid *files = calloc(count + 1, sizeof *files);
    if (files == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    size_t file_count = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = store_model_sync_leaf(s, &cids[i], err);
        if (rc != ERR_NOTFOUND)
            continue;
        rc = 0;
        if (!is_synced(s, &cids[i]))
            files[file_count++] = cids[i];
    }
    if (rc == 0)
        rc = sync_files(s, files, file_count, err);
    free(files);
    return rc;
}

int store_delete(struct store *s, const struct cid *cid, struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    if (s->mode == STORE_READ_ONLY)
        return err_set(err, ERR_DENIED, "store %s is open for reading only", s->root);
    int rc = block_path(s, cid, path, folder, err);
    if (rc != 0)
        return rc;
    forget_synced(s, cid);
    rc = s->files->unlink(s->files->self, path, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* --- listing --- */

struct listing {
    struct store *store;
    char folder[FILES_PATH_MAX];
    int (*each)(void *self, const struct cid *cid, struct err *err);
    void *self;
};

static int each_block(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    struct cid cid;
    return cid_parse(name, &cid, NULL) == 0 ? l->each(l->self, &cid, err) : 0;
}

static int each_folder(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    const struct files *f = l->store->files;
    char path[FILES_PATH_MAX];
    if (strlen(name) != FAN_OUT)
        return 0;
    int rc = files_join(path, l->folder, name, err);
    return rc != 0 ? rc : f->list(f->self, path, each_block, l, err);
}

static int each_leaf(struct listing *l, struct err *err)
{
    struct store *s = l->store;
    struct cid *cids = NULL;
    size_t count = 0;
    pthread_mutex_lock(&s->mutex);
    cids = calloc(s->leaves.count + 1, sizeof *cids);
    for (size_t i = 0; cids != NULL && i < s->leaves.capacity; i++)
        if (s->leaves.entries[i].state == DIGEST_USED)
            cids[count++] = cid_from_digest(CID_RAW, s->leaves.entries[i].digest);
    pthread_mutex_unlock(&s->mutex);
    if (cids == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = l->each(l->self, &cids[i], err);
    free(cids);
    return rc;
}

int store_each(struct store *s, int (*each)(void *self, const struct cid *cid, struct err *err),
               void *self, struct err *err)
{
    struct listing l = {.store = s, .each = each, .self = self};
    int rc = files_join(l.folder, s->root, "blocks", err);
    if (rc == 0 && files_exists(s->files, l.folder))
        rc = s->files->list(s->files->self, l.folder, each_folder, &l, err);
    return rc != 0 ? rc : each_leaf(&l, err);
}

static int source_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return store_get(self, cid, out, err);
}

struct unixfs_source store_source(struct store *s)
{
    return (struct unixfs_source){.self = s, .get = source_get};
}
