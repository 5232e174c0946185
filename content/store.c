/* SPDX-License-Identifier: Apache-2.0 */
#include "content/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "content/store_internal.h"

#define FAN_OUT 2 /* characters of a CID that name its folder */
#define FORMS   5 /* names that one block may have: its own and four others */

static int take_lock(struct store *s, struct err *err)
{
    const struct files *f = s->files;
    char path[FILES_PATH_MAX];
    int rc = files_join(path, s->root, "lock", err);
    if (rc == 0 && s->mode == STORE_WRITE) {
        rc = f->lock(f->self, path, &s->lock_fd, err);
    } else if (rc == 0) {
        rc = f->open(f->self, path, FILES_CREATE, &s->lock_fd, err);
        if (rc == 0)
            rc = f->lock_fd(f->self, s->lock_fd, true, err);
    }
    if (rc == ERR_DENIED)
        rc = err_set(err, ERR_DENIED,
                     s->mode == STORE_WRITE
                         ? "it is locked: another program uses it; wait until that ends, or stop it"
                         : "it is locked: another program has it for itself (a coordinator, a "
                           "worker, gc); wait until that ends, or stop it");
    return rc;
}

static int open_packs(struct store *s, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, s->root, "packs", err);
    return rc != 0 ? rc
                   : packs_open(s->files, path, s->mode == STORE_WRITE || s->mode == STORE_SHARE,
                                &s->packs, err);
}

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
    return rc != 0 ? rc : take_lock(s, err);
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
        if (mode == STORE_WRITE || mode == STORE_SHARE)
            rc = make_folders(s, err);
        else if (!files_exists(f, root))
            rc = err_set(err, ERR_NOTFOUND, "no such folder");
    }
    if (rc == 0)
        rc = open_packs(s, err);
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
    packs_close(s->packs);
    if (s->lock_fd >= 0)
        s->files->close(s->files->self, s->lock_fd);
    digest_map_fini(&s->leaves);
    digest_map_fini(&s->synced);
    pthread_mutex_destroy(&s->mutex);
    pthread_mutex_destroy(&s->changes);
    free(s);
}

/* --- single files --- */

/* The folder is named by the last characters but one: base32 text varies most evenly there. */
static int block_path(const struct store *s, const struct cid *cid, char out[FILES_PATH_MAX],
                      char folder[FILES_PATH_MAX], struct err *err)
{
    char text[CID_TEXT_MAX], name[CID_TEXT_MAX + 16];
    cid_format(cid, text);
    snprintf(name, sizeof name, "blocks/%.*s", FAN_OUT, text + strlen(text) - 1 - FAN_OUT);
    int rc = files_join(folder, s->root, name, err);
    return rc != 0 ? rc : files_join(out, folder, text, err);
}

/* The i-th name under which the block may have been put: its own, and those of other codecs and of
 * version 0 for the same multihash. False: passed over, being its own once more or none. */
static bool form_of(const struct cid *cid, unsigned i, struct cid *out)
{
    static const uint8_t codecs[FORMS - 1] = {CID_RAW, CID_DAG_PB, CID_DAG_CBOR, CID_DAG_PB};
    struct bytes hash = cid_multihash(cid);
    if (i == 0 || hash.size + 2 > CID_BYTES_MAX) {
        *out = *cid;
        return i == 0;
    }
    *out = (struct cid){.size = (uint8_t)(hash.size + 2), .bytes = {1, codecs[i - 1]}};
    memcpy(out->bytes + 2, hash.data, hash.size);
    if (i == FORMS - 1) {
        struct cid v1 = *out;
        *out = cid_as_v0(&v1);
        return !cid_equal(out, cid) && !cid_equal(out, &v1);
    }
    return !cid_equal(out, cid);
}

/* Under which name is it there? The first that is. ERR_NOTFOUND without a sentence; any other
 * failure: it is not known. */
static int find_single(struct store *s, const struct cid *cid, struct cid *found,
                       char path[FILES_PATH_MAX], struct err *err)
{
    char folder[FILES_PATH_MAX];
    struct files_stat st;
    int rc = ERR_NOTFOUND;
    for (unsigned i = 0; i < FORMS && rc == ERR_NOTFOUND; i++) {
        if (!form_of(cid, i, found))
            continue;
        rc = block_path(s, found, path, folder, err);
        if (rc == 0)
            rc = s->files->stat(s->files->self, path, &st, err);
    }
    return rc;
}

static int not_here(const struct store *s, const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_NOTFOUND, "block %s is not in store %s", cid_format(cid, text),
                   s->root);
}

static int check_block(const struct cid *cid, const struct buf *block, const char *where,
                       struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = cid_verify(cid, buf_bytes(block), err);
    return rc != ERR_MALFORMED ? rc
                               : err_set(err, ERR_CORRUPT, "%.600s: the bytes are not block %s",
                                         where, cid_format(cid, text));
}

static int read_form(struct store *s, const struct cid *form, struct buf *out, bool hash,
                     struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    buf_clear(out);
    int rc = block_path(s, form, path, folder, err);
    if (rc == 0)
        rc = files_load(s->files, path, out, err);
    if (rc == ERR_LIMIT && out->max >= STORE_BLOCK_BYTES_MAX)
        rc = err_set(err, ERR_CORRUPT, "%.600s: larger than any block", path);
    return rc == 0 && hash ? check_block(form, out, path, err) : rc;
}

/* --- reading --- */

static int read_leaf(struct store *s, const struct cid *cid, struct buf *out, bool hash,
                     struct err *err)
{
    char where[FILES_PATH_MAX];
    int rc = store_model_read_leaf(s, cid, out, where, err);
    return rc == 0 && hash ? check_block(cid, out, where, err) : rc;
}

static int read_pack(struct store *s, const struct cid *cid, struct buf *out, bool hash,
                     struct err *err)
{
    char where[FILES_PATH_MAX];
    const uint8_t *digest = cid_digest(cid);
    if (digest == NULL)
        return ERR_NOTFOUND;
    return hash ? packs_get(s->packs, digest, out, where, err)
                : packs_read(s->packs, digest, out, where, err);
}

/* Looks in one place after another; of what was there but not whole, the first is what is said if
 * it is whole nowhere. */
static int read_any(struct store *s, const struct cid *cid, struct buf *out, bool hash,
                    struct err *err)
{
    struct cid form;
    int first = ERR_NOTFOUND;
    for (unsigned i = 0; i < 2 + FORMS; i++) {
        struct err *said = first == ERR_NOTFOUND ? err : NULL;
        int rc = ERR_NOTFOUND;
        buf_clear(out);
        if (i == 0)
            rc = read_leaf(s, cid, out, hash, said);
        else if (i == 1)
            rc = read_pack(s, cid, out, hash, said);
        else if (form_of(cid, i - 2, &form))
            rc = read_form(s, &form, out, hash, said);
        if (rc == 0 || rc == ERR_NOMEM)
            return rc;
        if (first == ERR_NOTFOUND)
            first = rc;
    }
    buf_clear(out);
    return first != ERR_NOTFOUND ? first : not_here(s, cid, err);
}

static int read_block(struct store *s, const struct cid *cid, struct buf *out, bool hash,
                      struct err *err)
{
    struct bytes inside;
    if (!cid_identity(cid, &inside))
        return read_any(s, cid, out, hash, err);
    buf_clear(out);
    buf_append(out, inside.data, inside.size);
    return buf_check(out, err);
}

int store_get(struct store *s, const struct cid *cid, struct buf *out, struct err *err)
{
    return read_block(s, cid, out, true, err);
}

int store_read(struct store *s, const struct cid *cid, struct buf *out, struct err *err)
{
    return read_block(s, cid, out, false, err);
}

int store_look(struct store *s, const struct cid *cid, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct cid form;
    const uint8_t *digest = cid_digest(cid);
    if (cid_identity(cid, NULL) || store_model_has_leaf(s, cid))
        return 0;
    int packed = digest != NULL ? packs_has(s->packs, digest, err) : ERR_NOTFOUND;
    if (packed == 0)
        return 0;
    int rc = find_single(s, cid, &form, path, packed == ERR_NOTFOUND ? err : NULL);
    if (rc == 0 || packed != ERR_NOTFOUND)
        return rc == 0 ? 0 : packed;
    return rc == ERR_NOTFOUND ? not_here(s, cid, err) : rc;
}

bool store_has(struct store *s, const struct cid *cid)
{
    return store_look(s, cid, NULL) == 0;
}

static int find_file(struct store *s, const struct cid *cid, struct store_place *out,
                     struct err *err)
{
    char path[FILES_PATH_MAX];
    struct cid form;
    struct files_stat st;
    int rc = find_single(s, cid, &form, path, err);
    if (rc == 0)
        rc = s->files->open(s->files->self, path, FILES_READ, &out->fd, err);
    if (rc != 0)
        return rc;
    rc = s->files->stat_fd(s->files->self, out->fd, &st, err);
    if (rc == 0 && st.size > STORE_BLOCK_BYTES_MAX)
        rc = err_set(err, ERR_CORRUPT, "%.600s: larger than any block", path);
    if (rc != 0) {
        s->files->close(s->files->self, out->fd);
        return rc;
    }
    out->size = (uint32_t)st.size;
    return 0;
}

static int find_packed(struct store *s, const struct cid *cid, struct store_place *out,
                       struct err *err)
{
    struct packs_place place;
    if (cid_digest(cid) == NULL)
        return ERR_NOTFOUND;
    int rc = packs_find(s->packs, cid_digest(cid), &place, err);
    if (rc == 0)
        *out = (struct store_place){
            .fd = place.fd, .offset = place.offset, .size = place.size, .hash = place.reference};
    return rc;
}

/* As read_any. */
int store_find(struct store *s, const struct cid *cid, struct store_place *out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int first = ERR_NOTFOUND;
    for (unsigned i = 0; i < 3; i++) {
        struct store_place found = {.fd = -1};
        struct err *said = first == ERR_NOTFOUND ? err : NULL;
        int rc = i == 0   ? store_model_open_leaf(s, cid, path, &found, said)
                 : i == 1 ? find_packed(s, cid, &found, said)
                          : find_file(s, cid, &found, said);
        if (rc == 0) {
            *out = found;
            return 0;
        }
        if (first == ERR_NOTFOUND)
            first = rc;
    }
    return first != ERR_NOTFOUND ? first : not_here(s, cid, err);
}

/* --- writing --- */

/* Two CIDs of other codec or version may share a digest and be two files: the key is the CID. */
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

/* After a crash a name may stand without its bytes. */
bool store_has_file(struct store *s, const struct cid *cid, struct bytes block)
{
    struct buf found = buf_new(STORE_BLOCK_BYTES_MAX);
    struct cid form;
    bool whole = false;
    for (unsigned i = 0; i < FORMS && !whole; i++)
        whole = form_of(cid, i, &form) && read_form(s, &form, &found, false, NULL) == 0 &&
                bytes_equal(buf_bytes(&found), block);
    buf_fini(&found);
    return whole;
}

/* A model's leaf counts for `leaves` alone. */
static int put(struct store *s, const struct cid *cid, struct bytes block, bool leaves,
               struct err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    if (s->mode == STORE_READ_ONLY)
        return err_set(err, ERR_DENIED, "store %s is open for reading only", s->root);
    if (block.size > STORE_BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a block of %zu bytes", block.size);
    int rc = block_path(s, cid, path, folder, err);
    if (rc == 0)
        rc = cid_verify(cid, block, err);
    if (rc != 0 || cid_identity(cid, NULL) ||
        (leaves && cid_codec(cid) == CID_RAW && store_model_has_leaf(s, cid)) ||
        store_has_file(s, cid, block) ||
        (cid_digest(cid) != NULL && packs_has_whole(s->packs, cid_digest(cid), block)))
        return rc;
    forget_synced(s, cid);
    rc = s->files->make_dir(s->files->self, folder, err);
    FAULT_POINT("store-before-put");
    return rc != 0 ? rc : files_save_unsynced(s->files, path, block, err);
}

int store_put(struct store *s, const struct cid *cid, struct bytes block, struct err *err)
{
    return put(s, cid, block, true, err);
}

int store_put_own(struct store *s, const struct cid *cid, struct bytes block, struct err *err)
{
    return put(s, cid, block, false, err);
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
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    int fd;
    int rc = block_path(s, cid, path, folder, err);
    if (rc == 0)
        rc = s->files->open(s->files->self, path, FILES_READ, &fd, err);
    if (rc == ERR_NOTFOUND)
        return not_here(s, cid, err);
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

int store_sync_root(struct store *s, struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    bool synced = s->root_synced;
    pthread_mutex_unlock(&s->mutex);
    int rc = synced ? 0 : s->files->sync_dir(s->files->self, s->root, err);
    if (rc == 0) {
        pthread_mutex_lock(&s->mutex);
        s->root_synced = true;
        pthread_mutex_unlock(&s->mutex);
    }
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
    if (rc == 0 && count > 0)
        rc = store_sync_root(s, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = remember_synced(s, &files[i], err);
    return rc;
}

/* Makes durable where the block lies now; a file of its own is only noted, in `files`. It may lie
 * in several places: which of them is whole, or stays, is not known. */
static int sync_one(struct store *s, const struct cid *cid, struct cid *files, size_t *count,
                    struct err *err)
{
    char path[FILES_PATH_MAX];
    struct cid form;
    if (cid_identity(cid, NULL))
        return 0;
    int leaf = store_model_sync_leaf(s, cid, err);
    if (leaf != 0 && leaf != ERR_NOTFOUND)
        return leaf;
    int packed =
        cid_digest(cid) != NULL ? packs_sync(s->packs, cid_digest(cid), err) : ERR_NOTFOUND;
    if (packed != 0 && packed != ERR_NOTFOUND)
        return packed;
    int single = find_single(s, cid, &form, path, err);
    if (single != 0 && single != ERR_NOTFOUND)
        return single;
    if (single == ERR_NOTFOUND)
        return leaf == 0 || packed == 0 ? 0 : not_here(s, cid, err);
    if (!is_synced(s, &form))
        files[(*count)++] = form;
    return 0;
}

int store_sync(struct store *s, const struct cid *cids, size_t count, struct err *err)
{
    struct cid *files = calloc(count + 1, sizeof *files);
    if (files == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    size_t file_count = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = sync_one(s, &cids[i], files, &file_count, err);
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
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < FORMS; i++) {
        struct cid form;
        if (!form_of(cid, i, &form))
            continue;
        rc = block_path(s, &form, path, folder, err);
        if (rc != 0)
            break;
        forget_synced(s, &form);
        rc = s->files->unlink(s->files->self, path, err);
        if (rc == ERR_NOTFOUND)
            rc = 0;
    }
    return rc;
}

const char *store_root(const struct store *s)
{
    return s->root;
}

const struct files *store_files(const struct store *s)
{
    return s->files;
}

static int source_get(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    return store_get(self, cid, out, err);
}

struct block_source store_source(struct store *s)
{
    return (struct block_source){.self = s, .get = source_get};
}
