/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "content/pins.h"
#include "content/store_internal.h"

#define SUFFIX          ".safetensors"
#define PART_SUFFIX     ".part"
#define WRITEBACK_BYTES (16u << 20)

static int model_path(const struct store *s, const struct cid *root, char out[FILES_PATH_MAX],
                      struct err *err)
{
    char text[CID_TEXT_MAX], name[CID_TEXT_MAX + 32];
    snprintf(name, sizeof name, "models/%s%s", cid_format(root, text), SUFFIX);
    return files_join(out, s->root, name, err);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size > tail && strcmp(text + size - tail, end) == 0;
}

/* --- the table of models; called with the mutex held --- */

static long find_model(const struct store *s, const struct cid *root)
{
    for (size_t i = 0; i < s->model_count && !cid_is_none(root); i++)
        if (cid_equal(&s->models[i].root, root))
            return (long)i;
    return -1;
}

/* The slot of `root`, taken if it has none. Leaves of a model that went must be out of the index
 * before its slot is taken again. */
static int add_model(struct store *s, const struct cid *root, uint64_t size, bool synced,
                     uint32_t *number, struct err *err)
{
    long found = find_model(s, root);
    size_t slot = found >= 0 ? (size_t)found : 0;
    while (found < 0 && slot < s->model_count && !cid_is_none(&s->models[slot].root))
        slot++;
    if (slot == s->model_capacity) {
        size_t capacity = s->model_capacity * 2 + 8;
        struct model_slot *models = realloc(s->models, capacity * sizeof *models);
        if (models == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        s->models = models;
        s->model_capacity = capacity;
    }
    if (slot == s->model_count)
        s->model_count++;
    s->models[slot] = (struct model_slot){.root = *root, .size = size, .synced = synced};
    *number = (uint32_t)slot;
    return 0;
}

static void drop_model(struct store *s, uint32_t number)
{
    for (size_t i = 0; i < s->leaves.capacity; i++) {
        struct digest_entry *e = &s->leaves.entries[i];
        if (e->state == DIGEST_USED && e->place.file == number)
            digest_map_remove(&s->leaves, e->digest);
    }
    s->models[number] = (struct model_slot){0};
}

/* --- leaves --- */

/* A walk of a model's tree: its leaves into the index (where `number` says whose), its nodes into a
 * list, by standing between the walk and the store. */
struct tree {
    struct store *store;
    bool index;
    uint32_t number;
    size_t count, capacity;
    struct cid *nodes;
};

static int see_node(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct tree *t = self;
    if (t->count == t->capacity) {
        size_t capacity = t->capacity * 2 + 16;
        struct cid *nodes = realloc(t->nodes, capacity * sizeof *nodes);
        if (nodes == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        t->nodes = nodes;
        t->capacity = capacity;
    }
    t->nodes[t->count++] = *cid;
    return store_get(t->store, cid, out, err);
}

static int see_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct tree *t = self;
    struct digest_place place = {
        .offset = leaf->offset, .size = (uint32_t)leaf->size, .file = t->number};
    if (cid_digest(&leaf->cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "a leaf that is not sha2-256");
    if (!t->index)
        return 0;
    pthread_mutex_lock(&t->store->mutex);
    int rc = digest_map_put(&t->store->leaves, cid_digest(&leaf->cid), &place, err);
    pthread_mutex_unlock(&t->store->mutex);
    return rc;
}

/* The file of the model should have `size` bytes: ERR_CORRUPT if its tree says otherwise. */
static int walk_tree(struct tree *t, const struct cid *root, uint64_t size, struct err *err)
{
    struct block_source source = {.self = t, .get = see_node};
    struct unixfs_leaf whole = {.cid = *root, .size = size};
    if (cid_codec(root) == CID_RAW) /* one leaf, no node */
        return size > STORE_BLOCK_BYTES_MAX
                   ? err_set(err, ERR_CORRUPT, "a model file larger than its one leaf")
                   : see_leaf(t, &whole, err);
    uint64_t named = 0;
    int rc = unixfs_walk(&source, root, STORE_MODEL_BYTES_MAX, &named, see_leaf, t, err);
    if (rc == 0 && named != size)
        rc = err_set(err, ERR_CORRUPT, "a model file of %llu bytes that should have %llu",
                     (unsigned long long)size, (unsigned long long)named);
    return rc;
}

/* Whose leaf is it, and where? By its multihash, whatever its codec. */
static bool find_leaf(struct store *s, const struct cid *cid, struct model_slot *model,
                      struct digest_place *place)
{
    if (cid_digest(cid) == NULL)
        return false;
    pthread_mutex_lock(&s->mutex);
    bool found = digest_map_get(&s->leaves, cid_digest(cid), place);
    if (found)
        *model = s->models[place->file];
    pthread_mutex_unlock(&s->mutex);
    return found;
}

bool store_model_has_leaf(struct store *s, const struct cid *cid)
{
    struct digest_place place;
    struct model_slot model;
    return find_leaf(s, cid, &model, &place);
}

int store_model_open_leaf(struct store *s, const struct cid *cid, char path[FILES_PATH_MAX],
                          struct store_place *out, struct err *err)
{
    struct digest_place place;
    struct model_slot model;
    if (!find_leaf(s, cid, &model, &place))
        return ERR_NOTFOUND;
    *out = (struct store_place){.fd = -1, .offset = place.offset, .size = place.size};
    int rc = model_path(s, &model.root, path, err);
    return rc != 0 ? rc : s->files->open(s->files->self, path, FILES_READ, &out->fd, err);
}

int store_model_read_leaf(struct store *s, const struct cid *cid, struct buf *out,
                          char name[FILES_PATH_MAX], struct err *err)
{
    struct store_place place;
    int rc = store_model_open_leaf(s, cid, name, &place, err);
    if (rc != 0)
        return rc; /* ERR_NOTFOUND: none, or deleted this moment */
    uint8_t *data = buf_extend(out, place.size);
    rc = buf_check(out, err);
    if (rc == 0)
        rc = s->files->read(s->files->self, place.fd, place.offset, data, place.size, err);
    s->files->close(s->files->self, place.fd);
    size_t size = strlen(name);
    snprintf(name + size, FILES_PATH_MAX - size, " at offset %llu",
             (unsigned long long)place.offset);
    return rc != 0 ? err_wrap(err, rc, "%.600s", name) : 0;
}

/* --- durability --- */

static int sync_path(struct store *s, const char *path, struct err *err)
{
    int fd;
    int rc = s->files->open(s->files->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = s->files->sync(s->files->self, fd, err);
    s->files->close(s->files->self, fd);
    return rc;
}

static int sync_models_folder(struct store *s, struct err *err)
{
    char folder[FILES_PATH_MAX];
    int rc = files_join(folder, s->root, "models", err);
    if (rc == 0)
        rc = s->files->sync_dir(s->files->self, folder, err);
    return rc != 0 ? rc : store_sync_root(s, err);
}

/* Called with `changes` held: the slot stays. */
static int sync_present(struct store *s, uint32_t number, const struct cid *root, uint64_t size,
                        struct err *err)
{
    char path[FILES_PATH_MAX];
    struct tree t = {.store = s};
    int rc = walk_tree(&t, root, size, err);
    if (rc == 0)
        rc = store_sync(s, t.nodes, t.count, err);
    if (rc == 0)
        rc = model_path(s, root, path, err);
    if (rc == 0)
        rc = sync_path(s, path, err);
    if (rc == 0)
        rc = sync_models_folder(s, err);
    if (rc == 0) {
        pthread_mutex_lock(&s->mutex);
        s->models[number].synced = true;
        pthread_mutex_unlock(&s->mutex);
    }
    free(t.nodes);
    return rc;
}

int store_model_sync_leaf(struct store *s, const struct cid *cid, struct err *err)
{
    struct digest_place place;
    struct model_slot model;
    if (cid_codec(cid) != CID_RAW || !find_leaf(s, cid, &model, &place))
        return ERR_NOTFOUND;
    if (model.synced)
        return 0;
    pthread_mutex_lock(&s->changes);
    int rc = 0;
    if (find_leaf(s, cid, &model, &place) && !model.synced)
        rc = sync_present(s, place.file, &model.root, model.size, err);
    pthread_mutex_unlock(&s->changes);
    return rc == ERR_NOTFOUND ? err_wrap(err, ERR_CORRUPT, "a model with a hole") : rc;
}

/* --- opening --- */

static int put_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return store_put(self, cid, block, err);
}

/* Hashes the open file of `size` bytes, storing the nodes of its tree. */
static int store_nodes(struct store *s, int fd, uint64_t size, struct err *err)
{
    struct unixfs_builder *b = NULL;
    struct unixfs_child root;
    uint8_t digest[HASH_BYTES];
    uint8_t *leaf = malloc(UNIXFS_LEAF_BYTES);
    int rc = leaf == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                          : unixfs_builder_new(&unixfs_v1_2025, put_node, s, &b, err);
    for (uint64_t at = 0; rc == 0 && at < size;) {
        size_t part = size - at < UNIXFS_LEAF_BYTES ? (size_t)(size - at) : UNIXFS_LEAF_BYTES;
        rc = s->files->read(s->files->self, fd, at, leaf, part, err);
        if (rc != 0)
            break;
        hash_sha256(bytes_of(leaf, part), digest);
        rc = unixfs_builder_add(b, digest, part, err);
        at += part;
    }
    if (rc == 0)
        rc = unixfs_builder_finish(b, &root, err);
    unixfs_builder_free(b);
    free(leaf);
    return rc;
}

/* A model whose nodes are gone: if the file still is what its name says, they are made again. */
static int rebuild_nodes(struct store *s, const struct cid *root, const char *path, struct err *err)
{
    struct cid found;
    uint64_t size;
    int fd;
    int rc = unixfs_hash_file(s->files, path, NULL, &found, &size, err);
    if (rc == 0 && !cid_equal(&found, root))
        rc = err_set(err, ERR_CORRUPT, "%.600s: its bytes are not its name's", path);
    if (rc == 0)
        rc = s->files->open(s->files->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = store_nodes(s, fd, size, err);
    s->files->close(s->files->self, fd);
    return rc;
}

/* Adds the model to the table and its leaves to the index; undone on failure. */
static int index_model(struct store *s, const struct cid *root, uint64_t size, bool synced,
                       struct err *err)
{
    struct tree t = {.store = s, .index = true};
    pthread_mutex_lock(&s->mutex);
    int rc = add_model(s, root, size, synced, &t.number, err);
    pthread_mutex_unlock(&s->mutex);
    if (rc != 0)
        return rc;
    rc = walk_tree(&t, root, size, err);
    free(t.nodes);
    if (rc != 0) {
        pthread_mutex_lock(&s->mutex);
        drop_model(s, t.number);
        pthread_mutex_unlock(&s->mutex);
    }
    return rc;
}

/* Without its nodes, or of another length, a model is only a file: its blocks are not here, and a
 * fetch will write it anew. That is no reason not to open the rest. */
static int open_model(struct store *s, const struct cid *root, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct files_stat st;
    int rc = model_path(s, root, path, err);
    if (rc == 0)
        rc = s->files->stat(s->files->self, path, &st, err);
    if (rc != 0)
        return rc == ERR_NOTFOUND ? 0 : rc; /* deleted by its writer this moment */
    rc = index_model(s, root, st.size, false, err);
    if (rc != 0 && rc != ERR_NOMEM && s->mode == STORE_WRITE &&
        rebuild_nodes(s, root, path, NULL) == 0)
        rc = index_model(s, root, st.size, false, err);
    return rc == ERR_NOMEM ? rc : 0;
}

static int open_name(void *self, const char *name, struct err *err)
{
    struct store *s = self;
    char path[FILES_PATH_MAX], text[CID_TEXT_MAX];
    struct cid root;
    size_t size = strlen(name);
    bool import = strncmp(name, STORE_IMPORT_PREFIX, strlen(STORE_IMPORT_PREFIX)) == 0 &&
                  ends_with(name, PART_SUFFIX);
    if (import && s->mode == STORE_WRITE && files_join(path, s->root, "models/", NULL) == 0 &&
        strlen(path) + size < sizeof path) {
        memcpy(path + strlen(path), name, size + 1);
        (void)s->files->unlink(s->files->self, path, NULL); /* of a process that is gone */
    }
    if (!ends_with(name, SUFFIX) || size - strlen(SUFFIX) >= sizeof text)
        return 0;
    memcpy(text, name, size - strlen(SUFFIX));
    text[size - strlen(SUFFIX)] = '\0';
    return cid_parse(text, &root, NULL) == 0 ? open_model(s, &root, err) : 0;
}

int store_model_open_all(struct store *s, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, s->root, "models", err);
    if (rc != 0 || !files_exists(s->files, path))
        return rc;
    return s->files->list(s->files->self, path, open_name, s, err);
}

/* --- what is there --- */

bool store_model_has(struct store *s, const struct cid *root)
{
    pthread_mutex_lock(&s->mutex);
    bool yes = find_model(s, root) >= 0;
    pthread_mutex_unlock(&s->mutex);
    return yes;
}

int store_model_path(struct store *s, const struct cid *root, char out[FILES_PATH_MAX],
                     uint64_t *size, struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    long i = find_model(s, root);
    uint64_t found = i < 0 ? 0 : s->models[i].size;
    pthread_mutex_unlock(&s->mutex);
    if (i < 0) {
        char text[CID_TEXT_MAX];
        return err_set(err, ERR_NOTFOUND, "model %s is not in store %s", cid_format(root, text),
                       s->root);
    }
    if (size != NULL)
        *size = found;
    return model_path(s, root, out, err);
}

static int by_bytes(const void *a, const void *b)
{
    const struct cid *x = a, *y = b;
    return memcmp(x->bytes, y->bytes, sizeof x->bytes);
}

int store_model_list(struct store *s, struct cid **out, size_t *count, struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    struct cid *list = calloc(s->model_count + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < s->model_count; i++)
        if (!cid_is_none(&s->models[i].root))
            list[n++] = s->models[i].root;
    pthread_mutex_unlock(&s->mutex);
    if (list == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    qsort(list, n, sizeof *list, by_bytes);
    *out = list;
    *count = n;
    return 0;
}

/* --- a file being made --- */

struct store_model {
    struct store *store;
    char path[FILES_PATH_MAX];
    int fd;
    uint64_t size;
    _Atomic uint64_t written; /* since writeback was last started */
};

int store_model_begin(struct store *s, const char *name, uint64_t size, struct store_model **out,
                      struct err *err)
{
    if (s->mode != STORE_WRITE)
        return err_set(err, ERR_DENIED, "store %s is not open for writing", s->root);
    char file[512];
    if (snprintf(file, sizeof file, "models/%s" PART_SUFFIX, name) >= (int)sizeof file)
        return err_set(err, ERR_LIMIT, "name too long");
    if (size > STORE_MODEL_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a model of %llu bytes", (unsigned long long)size);
    struct store_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    m->store = s;
    m->fd = -1;
    m->size = size;
    struct files_stat st;
    int rc = files_join(m->path, s->root, file, err);
    if (rc == 0)
        rc = s->files->open(s->files->self, m->path, FILES_CREATE, &m->fd, err);
    if (rc == 0)
        rc = s->files->stat_fd(s->files->self, m->fd, &st, err);
    if (rc == 0 && st.size != size)
        rc = s->files->truncate(s->files->self, m->fd, size, err);
    if (rc != 0) {
        store_model_close(m, true);
        return rc;
    }
    *out = m;
    return 0;
}

void store_model_close(struct store_model *m, bool keep)
{
    if (m == NULL)
        return;
    const struct files *f = m->store->files;
    f->close(f->self, m->fd);
    if (!keep)
        (void)f->unlink(f->self, m->path, NULL);
    free(m);
}

int store_model_write(struct store_model *m, uint64_t offset, struct bytes data, struct err *err)
{
    const struct files *f = m->store->files;
    if (offset > m->size || data.size > m->size - offset)
        return err_set(err, ERR_LIMIT, "a write past the model's end");
    int rc = f->write(f->self, m->fd, offset, data.data, data.size, err);
    if (rc == 0 && atomic_fetch_add(&m->written, data.size) + data.size >= WRITEBACK_BYTES) {
        atomic_store(&m->written, 0);
        f->start_writeback(f->self, m->fd, 0, 0); /* all that is dirty */
    }
    return rc;
}

int store_model_read(struct store_model *m, uint64_t offset, void *data, size_t size,
                     struct err *err)
{
    const struct files *f = m->store->files;
    return f->read(f->self, m->fd, offset, data, size, err);
}

/* File and nodes, before the file gets its name: a model that has its name is durable but for that
 * name. */
static int sync_part(struct store_model *m, const struct tree *t, struct err *err)
{
    struct store *s = m->store;
    FAULT_POINT("model-before-sync");
    int rc = s->files->sync(s->files->self, m->fd, err);
    return rc != 0 ? rc : store_sync(s, t->nodes, t->count, err);
}

static int finish(struct store_model *m, const struct cid *root, bool sync, struct err *err)
{
    struct store *s = m->store;
    char path[FILES_PATH_MAX];
    struct tree t = {.store = s};
    int rc = walk_tree(&t, root, m->size, err); /* the nodes are here, and say this length */
    if (rc == 0 && sync)
        rc = sync_part(m, &t, err);
    if (rc == 0)
        rc = model_path(s, root, path, err);
    FAULT_POINT("model-before-rename");
    if (rc == 0)
        rc = s->files->rename(s->files->self, m->path, path, err);
    if (rc == 0 && sync)
        rc = sync_models_folder(s, err);
    if (rc == 0)
        rc = index_model(s, root, m->size, sync, err);
    free(t.nodes);
    return rc;
}

int store_model_finish(struct store_model *m, const struct cid *root, bool sync, struct err *err)
{
    struct store *s = m->store;
    pthread_mutex_lock(&s->changes);
    /* A present one was perhaps never synced, or is damaged: what was just made replaces it. Only
     * where nothing is promised, the part is dropped. */
    bool drop = !sync && store_model_has(s, root);
    int rc = drop ? 0 : finish(m, root, sync, err);
    pthread_mutex_unlock(&s->changes);
    if (rc == 0)
        store_model_close(m, !drop);
    return rc;
}

/* --- deleting --- */

/* Puts the leaves of every other model into the index (over those of model `number` that they
 * share) and their nodes into `keep`. */
static int index_others(struct store *s, uint32_t number, struct digest_map *keep, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0; i++) {
        struct tree t = {.store = s, .index = true, .number = i};
        pthread_mutex_lock(&s->mutex);
        bool end = i >= s->model_count;
        struct model_slot other = end ? (struct model_slot){0} : s->models[i];
        pthread_mutex_unlock(&s->mutex);
        if (end)
            break;
        if (i == number || cid_is_none(&other.root))
            continue;
        rc = walk_tree(&t, &other.root, other.size, err);
        rc = rc == ERR_NOMEM ? rc : 0; /* of a damaged one, what could be seen */
        for (size_t k = 0; rc == 0 && k < t.count; k++) {
            struct digest_place none = {0};
            rc = digest_map_put(keep, cid_digest(&t.nodes[k]), &none, err);
        }
        free(t.nodes);
    }
    return rc;
}

static int see_pin(void *self, const struct pin *pin, struct err *err)
{
    (void)self;
    (void)pin;
    return err_set(err, ERR_EXISTS, "there is a pin");
}

/* Not known is yes. */
static bool has_pins(const struct store *s)
{
    return pins_each(s->files, s->root, see_pin, NULL, NULL) != 0;
}

/* Called with `changes` held. The file goes before its nodes: nodes without a file are only a few
 * bytes too many, a file without nodes would be hashed at the next opening. Readers of a leaf that
 * two models share never miss it. What was added since may rely on a node that was here already:
 * with any pin in the store the nodes stay, for gc to tell. */
static int delete_model(struct store *s, uint32_t number, const struct model_slot *model,
                        struct err *err)
{
    char path[FILES_PATH_MAX];
    struct tree t = {.store = s};
    struct digest_map keep = {0};
    int rc = walk_tree(&t, &model->root, model->size, err);
    if (rc != ERR_NOMEM) /* a damaged model can be deleted too */
        rc = index_others(s, number, &keep, err);
    if (rc == 0)
        rc = model_path(s, &model->root, path, err);
    if (rc == 0)
        rc = s->files->unlink(s->files->self, path, err);
    if (rc == ERR_NOTFOUND)
        rc = 0; /* somebody was there before; the index is still ours to clean */
    if (rc == 0) {
        pthread_mutex_lock(&s->mutex);
        drop_model(s, number);
        pthread_mutex_unlock(&s->mutex);
    }
    bool pinned = has_pins(s);
    for (size_t i = 0; rc == 0 && !pinned && i < t.count; i++) {
        struct digest_place place;
        if (!digest_map_get(&keep, cid_digest(&t.nodes[i]), &place))
            rc = store_delete(s, &t.nodes[i], err);
    }
    digest_map_fini(&keep);
    free(t.nodes);
    return rc;
}

int store_model_delete(struct store *s, const struct cid *root, struct err *err)
{
    if (s->mode != STORE_WRITE)
        return err_set(err, ERR_DENIED, "store %s is not open for writing", s->root);
    struct model_slot model = {0};
    pthread_mutex_lock(&s->changes);
    pthread_mutex_lock(&s->mutex);
    long number = find_model(s, root);
    if (number >= 0)
        model = s->models[number];
    pthread_mutex_unlock(&s->mutex);
    int rc = number < 0 ? 0 : delete_model(s, (uint32_t)number, &model, err);
    pthread_mutex_unlock(&s->changes);
    return rc;
}
