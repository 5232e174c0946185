/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/random.h"
#include "content/car.h"
#include "content/pack.h"
#include "content/packs_internal.h"

#define WRITEBACK_BYTES (16u << 20)
#define NAME_TRIES      8

struct packs_batch {
    struct packs *packs;
    int (*single)(void *self, const struct cid *cid, struct bytes block, struct err *err);
    void *self;
    void (*fini)(void *self);
    pthread_mutex_t making;  /* a part; taken before the packs' mutex, which guards the rest */
    struct packs_part *part; /* the one that takes blocks now; NULL: none yet */
    bool sealed_any;
    int failed;
    size_t count, capacity;
    struct packs_file **files; /* held: to be synced at the end */
};

int packs_batch_new(struct packs *p,
                    int (*single)(void *self, const struct cid *cid, struct bytes block,
                                  struct err *err),
                    void *self, struct packs_batch **out, struct err *err)
{
    if (!p->write)
        return err_set(err, ERR_DENIED, "packs in %s are open for reading only", p->folder);
    struct packs_batch *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->packs = p;
    b->single = single;
    b->self = self;
    pthread_mutex_init(&b->making, NULL);
    *out = b;
    return 0;
}

void *packs_batch_self(const struct packs_batch *b)
{
    return b->self;
}

void packs_batch_own(struct packs_batch *b, void (*fini)(void *self))
{
    b->fini = fini;
}

/* To be synced at the end; with the mutex held. */
static int remember(struct packs_batch *b, struct packs_file *file, struct err *err)
{
    for (size_t i = b->count; i-- > 0;)
        if (b->files[i] == file)
            return 0;
    if (b->count == b->capacity) {
        size_t capacity = b->capacity * 2 + 8;
        struct packs_file **files = realloc(b->files, capacity * sizeof *files);
        if (files == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        b->files = files;
        b->capacity = capacity;
    }
    b->files[b->count++] = file;
    file->holders++;
    return 0;
}

/* --- parts --- */

static void free_part(struct packs *p, struct packs_part *part)
{
    digest_map_fini(&part->map);
    packs_file_free(p->files, part->file);
    free(part);
}

/* A file of a name that nobody has, locked. One that a starting process took for left behind, in
 * the moment before it was locked, is given up for another. */
static int create_file(struct packs *p, struct packs_file **out, struct err *err)
{
    const struct files *f = p->files;
    char name[PACKS_NAME_BYTES], path[FILES_PATH_MAX];
    uint8_t random[(PACKS_NAME_BYTES - 1) / 2];
    for (int i = 0; i < NAME_TRIES; i++) {
        int fd;
        random_bytes(random, sizeof random);
        bytes_format_hex(bytes_of(random, sizeof random), name);
        int rc = packs_path(p, name, ".part", path, err);
        if (rc == 0)
            rc = f->open(f->self, path, FILES_EXCLUSIVE, &fd, err);
        if (rc == ERR_EXISTS)
            continue;
        if (rc != 0)
            return rc;
        if (f->lock_fd(f->self, fd, false, NULL) == 0 && files_exists(f, path)) {
            *out = packs_file_new(name, false);
            if (*out != NULL) {
                (*out)->data_fd = fd;
                return 0;
            }
            (void)f->unlink(f->self, path, NULL);
            f->close(f->self, fd);
            return err_set(err, ERR_NOMEM, "out of memory");
        }
        f->close(f->self, fd);
    }
    return err_set(err, ERR_IO, "no file can be made in %s", p->folder);
}

static void discard(struct packs *p, struct packs_file *file)
{
    char path[FILES_PATH_MAX];
    if (packs_path(p, file->name, ".part", path, NULL) == 0)
        (void)p->files->unlink(p->files->self, path, NULL);
}

static int make_part(struct packs_batch *b, struct err *err)
{
    struct packs *p = b->packs;
    struct packs_part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = create_file(p, &part->file, err);
    if (rc == 0) {
        rc = p->files->write(p->files->self, part->file->data_fd, 0, pack_header, PACK_HEADER_BYTES,
                             err);
        if (rc != 0)
            discard(p, part->file);
    }
    if (rc != 0) {
        free_part(p, part);
        return rc;
    }
    part->batch = b;
    part->end = part->written_back = PACK_HEADER_BYTES;
    part->file->users = 1; /* the writers' */
    pthread_mutex_lock(&p->mutex);
    part->next = p->parts;
    p->parts = part;
    b->part = part;
    pthread_mutex_unlock(&p->mutex);
    return 0;
}

static int need_part(struct packs_batch *b, struct err *err)
{
    pthread_mutex_lock(&b->making);
    pthread_mutex_lock(&b->packs->mutex);
    bool there = b->part != NULL;
    pthread_mutex_unlock(&b->packs->mutex);
    int rc = there ? 0 : make_part(b, err);
    pthread_mutex_unlock(&b->making);
    return rc;
}

/* With the mutex held. */
static void unlink_part(struct packs *p, const struct packs_part *part)
{
    for (struct packs_part **at = &p->parts; *at != NULL; at = &(*at)->next)
        if (*at == part) {
            *at = part->next;
            return;
        }
}

static int entries_of(const struct packs_part *part, struct packs_entries *out, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < part->map.capacity; i++) {
        const struct digest_entry *from = &part->map.entries[i];
        struct packs_entry e = {
            .offset = from->place.offset, .size = from->place.size, .codec = from->place.file};
        memcpy(e.digest, from->digest, HASH_BYTES);
        if (from->state == DIGEST_USED)
            rc = packs_entries_add(out, &e, err);
    }
    return rc;
}

/* Gives the file its name and puts it among the packs; on success it is theirs. Nobody lists the
 * folder meanwhile, or the pack would be there twice. */
static int publish(struct packs_batch *b, struct packs_file *file, struct err *err)
{
    struct packs *p = b->packs;
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX];
    int rc = packs_path(p, file->name, ".part", from, err);
    if (rc == 0)
        rc = packs_path(p, file->name, file->reference ? ".ref" : ".car", to, err);
    pthread_mutex_lock(&p->listing);
    FAULT_POINT("packs-before-rename");
    if (rc == 0)
        rc = p->files->rename(p->files->self, from, to, err);
    pthread_mutex_lock(&p->mutex);
    if (rc == 0) {
        file->sealed = true;
        rc = packs_list_add(p, file, err);
    }
    if (rc == 0) {
        b->sealed_any = true;
        rc = remember(b, file, err);
        if (rc != 0) /* on disk it stays, and is found by the next listing */
            p->count--;
    }
    pthread_mutex_unlock(&p->mutex);
    pthread_mutex_unlock(&p->listing);
    return rc;
}

static int seal(struct packs_batch *b, struct packs_part *part, struct err *err)
{
    struct packs *p = b->packs;
    char index[FILES_PATH_MAX];
    struct packs_entries list = {0};
    int rc = entries_of(part, &list, err);
    if (rc == 0)
        rc = packs_path(p, part->file->name, ".index", index, err);
    FAULT_POINT("packs-before-index");
    if (rc == 0)
        rc = packs_index_save(p->files, index, &list, err);
    if (rc == 0)
        rc = packs_index_filter_new(list.count, &part->file->filter, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        packs_index_filter_add(&part->file->filter, list.entries[i].digest);
    if (rc == 0) {
        part->file->count = list.count;
        part->file->checked = true;
        rc = publish(b, part->file, err);
    }
    packs_entries_fini(&list);
    return rc;
}

/* After a failed write, or seal: what is whole on disk stays. */
static void salvage(struct packs *p, struct packs_part *part)
{
    bool kept;
    int rc = packs_recover_part(p, part->file->name, part->file->data_fd, &kept, NULL);
    (void)rc; /* what failed first is what is said; the next that opens tries again */
}

/* Takes the part, to which nothing is added any more, when the last that still writes is through.
 */
static int close_part(struct packs_batch *b, struct packs_part *part, struct err *err)
{
    struct packs *p = b->packs;
    pthread_mutex_lock(&p->mutex);
    while (part->writing > 0)
        pthread_cond_wait(&p->written, &p->mutex);
    bool failed = part->failed;
    pthread_mutex_unlock(&p->mutex);
    int rc = failed ? err_set(err, ERR_IO, "a write failed before") : seal(b, part, err);
    bool sealed = rc == 0;
    if (!sealed)
        salvage(p, part);
    pthread_mutex_lock(&p->mutex);
    unlink_part(p, part);
    if (rc != 0 && b->failed == 0)
        b->failed = rc;
    struct packs_file *file = part->file;
    if (!sealed)
        file->gone = true; /* freed with its last reader */
    pthread_mutex_unlock(&p->mutex);
    if (sealed)
        packs_file_retire(p, file);
    else
        packs_file_release(p, file);
    part->file = NULL;
    free_part(p, part);
    return rc;
}

/* A small one: its blocks become files of their own. */
static int hand_over(struct packs_batch *b, const struct packs_part *part, struct err *err)
{
    struct packs *p = b->packs;
    struct packs_entries list = {0};
    struct buf block = buf_new(BLOCK_BYTES_MAX);
    int rc = entries_of(part, &list, err);
    packs_entries_by_offset(&list);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        const struct packs_entry *e = &list.entries[i];
        struct cid cid = packs_entries_cid(e);
        buf_clear(&block);
        uint8_t *data = buf_extend(&block, e->size);
        rc = buf_check(&block, err);
        if (rc == 0)
            rc = p->files->read(p->files->self, part->file->data_fd, e->offset, data, e->size, err);
        if (rc == 0)
            rc = b->single(b->self, &cid, buf_bytes(&block), err);
    }
    buf_fini(&block);
    packs_entries_fini(&list);
    return rc;
}

static int finish_part(struct packs_batch *b, struct err *err)
{
    struct packs *p = b->packs;
    pthread_mutex_lock(&p->mutex);
    struct packs_part *part = b->part;
    bool small = part != NULL && b->single != NULL && !b->sealed_any && !part->failed &&
                 part->sections <= PACKS_SMALL && part->end <= PACKS_SMALL_BYTES;
    b->part = NULL;
    pthread_mutex_unlock(&p->mutex);
    if (part == NULL)
        return 0;
    if (!small || hand_over(b, part, NULL) != 0)
        return close_part(b, part, err);
    pthread_mutex_lock(&p->mutex);
    unlink_part(p, part);
    struct packs_file *file = part->file;
    file->gone = true;
    part->file = NULL;
    pthread_mutex_unlock(&p->mutex);
    discard(p, file);
    packs_file_release(p, file);
    free_part(p, part);
    return 0;
}

/* --- putting --- */

/* Was it put into this batch? With the mutex held. */
static bool in_batch(const struct packs_batch *b, const uint8_t digest[HASH_BYTES])
{
    struct digest_place place;
    for (const struct packs_part *part = b->packs->parts; part != NULL; part = part->next)
        if (part->batch == b && digest_map_get(&part->map, digest, &place))
            return true;
    return false;
}

struct comparing {
    struct packs_batch *batch;
    struct bytes block;
    struct buf room;
};

static int use_equal(void *self, const struct packs_hit *hit, struct err *err)
{
    struct comparing *c = self;
    struct packs *p = c->batch->packs;
    if (!packs_hit_is_equal(p, hit, c->block, &c->room))
        return ERR_NOTFOUND;
    pthread_mutex_lock(&p->mutex);
    int rc = remember(c->batch, hit->file, err);
    pthread_mutex_unlock(&p->mutex);
    return rc;
}

/* What is not known counts as no: the block is written again. */
static bool is_whole(struct packs_batch *b, const uint8_t digest[HASH_BYTES], struct bytes block)
{
    struct comparing c = {.batch = b, .block = block, .room = buf_new(BLOCK_BYTES_MAX)};
    int rc = packs_each_hit(b->packs, digest, true, use_equal, &c, NULL);
    buf_fini(&c.room);
    return rc == 0;
}

/* Where a section goes. */
struct slot {
    struct packs_part *part; /* NULL: the block is there already, or there is no part */
    uint64_t offset;
    struct digest_place place;
    bool present, last;
};

/* With the mutex held. */
static int reserve(struct packs_batch *b, const struct cid *cid, size_t block_bytes,
                   struct slot *out, struct err *err)
{
    uint8_t head[CAR_SECTION_HEAD_MAX];
    struct packs_part *part = b->part;
    out->present = in_batch(b, cid_digest(cid));
    if (b->failed != 0)
        return err_set(err, b->failed, "packs in %s: a write failed before", b->packs->folder);
    if (out->present || part == NULL)
        return 0;
    size_t size = car_section_head(cid, block_bytes, head);
    out->place = (struct digest_place){
        .offset = part->end + size,
        .size = (uint32_t)block_bytes,
        .file = cid_codec(cid) | (cid->bytes[0] == CID_SHA2_256 ? PACKS_ENTRY_V0 : 0) |
                PACKS_ENTRY_UNDONE};
    int rc = digest_map_put(&part->map, cid_digest(cid), &out->place, err);
    if (rc != 0)
        return rc;
    out->part = part;
    out->offset = part->end;
    part->end = out->place.offset + block_bytes;
    part->sections++;
    part->writing++;
    out->last = part->sections == PACKS_BLOCKS_MAX || part->end >= PACKS_BYTES_MAX;
    if (out->last)
        b->part = NULL;
    return 0;
}

static void start_writeback(struct packs *p, struct packs_part *part, uint64_t from, uint64_t to)
{
    if (to > from)
        p->files->start_writeback(p->files->self, part->file->data_fd, from, to - from);
}

static int fill(struct packs_batch *b, const struct cid *cid, struct bytes block, struct slot *slot,
                struct err *err)
{
    struct packs *p = b->packs;
    struct packs_part *part = slot->part;
    uint64_t from = 0, to = 0;
    int rc = packs_car_write(p->files, part->file->data_fd, slot->offset, cid, block, err);
    slot->place.file &= ~PACKS_ENTRY_UNDONE;
    pthread_mutex_lock(&p->mutex);
    if (rc == 0)
        rc = digest_map_put(&part->map, cid_digest(cid), &slot->place, err);
    if (rc != 0) {
        digest_map_remove(&part->map, cid_digest(cid));
        part->failed = true;
        b->failed = rc;
    }
    if (part->end - part->written_back >= WRITEBACK_BYTES) {
        from = part->written_back;
        to = part->written_back = part->end;
    }
    pthread_mutex_unlock(&p->mutex);
    start_writeback(p, part, from, to);
    pthread_mutex_lock(&p->mutex);
    part->writing--;
    pthread_cond_broadcast(&p->written);
    pthread_mutex_unlock(&p->mutex);
    if (slot->last) {
        int closed = close_part(b, part, rc == 0 ? err : NULL);
        rc = rc != 0 ? rc : closed;
    }
    return rc;
}

static int append(struct packs_batch *b, const struct cid *cid, struct bytes block, struct err *err)
{
    struct slot slot = {0};
    int rc = 0;
    while (rc == 0 && slot.part == NULL && !slot.present) {
        pthread_mutex_lock(&b->packs->mutex);
        rc = reserve(b, cid, block.size, &slot, err);
        pthread_mutex_unlock(&b->packs->mutex);
        if (rc == 0 && slot.part == NULL && !slot.present)
            rc = need_part(b, err);
    }
    return rc != 0 || slot.present ? rc : fill(b, cid, block, &slot, err);
}

int packs_batch_put(struct packs_batch *b, const struct cid *cid, struct bytes block, bool replace,
                    struct err *err)
{
    if (block.size > BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a block of %zu bytes", block.size);
    if (cid_digest(cid) == NULL || cid_codec(cid) >= PACKS_ENTRY_UNDONE)
        return err_set(err, ERR_UNSUPPORTED, "a pack holds blocks with sha2-256 CIDs only");
    pthread_mutex_lock(&b->packs->mutex);
    bool present = b->failed == 0 && in_batch(b, cid_digest(cid));
    pthread_mutex_unlock(&b->packs->mutex);
    if (present || (!replace && is_whole(b, cid_digest(cid), block)))
        return 0;
    return append(b, cid, block, err);
}

/* --- files elsewhere --- */

struct chunks {
    uint64_t file_bytes;
    uint32_t chunk_bytes;
    const uint8_t (*digests)[HASH_BYTES];
};

static int chunk_entries(const struct chunks *c, size_t from, size_t to, struct packs_entries *out,
                         struct err *err)
{
    int rc = 0;
    for (size_t i = from; rc == 0 && i < to; i++) {
        uint64_t offset = (uint64_t)i * c->chunk_bytes, left = c->file_bytes - offset;
        struct packs_entry e = {.offset = offset,
                                .size = left < c->chunk_bytes ? (uint32_t)left : c->chunk_bytes,
                                .codec = CID_RAW};
        memcpy(e.digest, c->digests[i], HASH_BYTES);
        rc = packs_entries_add(out, &e, err);
    }
    return rc;
}

/* Text and index under the part's lock, so that a process that starts meanwhile leaves both alone.
 */
static int write_reference(struct packs_batch *b, struct packs_file *file, const char *path,
                           struct packs_entries *list)
{
    struct packs *p = b->packs;
    char text[FILES_PATH_MAX + 2], index[FILES_PATH_MAX];
    int size = snprintf(text, sizeof text, "%s\n", path);
    int rc = p->files->write(p->files->self, file->data_fd, 0, text, (size_t)size, NULL);
    if (rc == 0)
        rc = packs_path(p, file->name, ".index", index, NULL);
    if (rc == 0)
        rc = packs_index_save(p->files, index, list, NULL);
    p->files->close(p->files->self, file->data_fd);
    file->data_fd = -1;
    file->reference = true;
    file->checked = true;
    file->count = list->count;
    file->path = strdup(path);
    if (rc == 0 && file->path == NULL)
        rc = ERR_NOMEM;
    return rc == 0 ? publish(b, file, NULL) : rc;
}

static int put_reference(struct packs_batch *b, const char *path, struct packs_entries *list,
                         struct err *err)
{
    struct packs_file *file = NULL;
    int rc = create_file(b->packs, &file, err);
    if (rc == 0) {
        rc = write_reference(b, file, path, list);
        if (rc != 0) {
            discard(b->packs, file);
            packs_file_free(b->packs->files, file);
            rc = err_set(err, rc, "the reference to %.600s cannot be written in %.200s", path,
                         b->packs->folder);
        }
    }
    return rc;
}

int packs_batch_reference(struct packs_batch *b, const char *path, uint64_t file_bytes,
                          uint32_t chunk_bytes, const uint8_t (*digests)[HASH_BYTES], size_t count,
                          struct err *err)
{
    struct files_stat st;
    struct chunks c = {.file_bytes = file_bytes, .chunk_bytes = chunk_bytes, .digests = digests};
    if (path[0] != '/' || strlen(path) >= FILES_PATH_MAX || strchr(path, '\n') != NULL)
        return err_set(err, ERR_USAGE,
                       "%.300s cannot be referred to: an absolute path of one line "
                       "is needed",
                       path);
    if (chunk_bytes == 0 || chunk_bytes > BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "chunks of %u bytes", chunk_bytes);
    uint64_t chunks = file_bytes / chunk_bytes + (file_bytes % chunk_bytes != 0);
    if (count != chunks && !(file_bytes == 0 && count == 1))
        return err_set(err, ERR_USAGE, "%zu chunks for a file of %llu bytes", count,
                       (unsigned long long)file_bytes);
    int rc = b->packs->files->stat(b->packs->files->self, path, &st, err);
    if (rc == 0 && st.size != file_bytes)
        rc = err_set(err, ERR_CORRUPT, "%.600s changed while it was added", path);
    for (size_t from = 0; rc == 0 && from < count; from += PACKS_BLOCKS_MAX) {
        size_t to = count - from < PACKS_BLOCKS_MAX ? count : from + PACKS_BLOCKS_MAX;
        struct packs_entries list = {0};
        rc = chunk_entries(&c, from, to, &list, err);
        if (rc == 0)
            rc = put_reference(b, path, &list, err);
        packs_entries_fini(&list);
    }
    return rc;
}

/* --- the end --- */

static void free_batch(struct packs_batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        packs_file_let_go(b->packs, b->files[i]);
    free(b->files);
    if (b->fini != NULL)
        b->fini(b->self);
    pthread_mutex_destroy(&b->making);
    free(b);
}

static int sync_files(struct packs_batch *b, struct err *err)
{
    struct packs *p = b->packs;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->count; i++) {
        struct packs_file *file = b->files[i];
        pthread_mutex_lock(&p->mutex);
        file->users++;
        pthread_mutex_unlock(&p->mutex);
        rc = packs_file_sync(p, file, err);
        packs_file_release(p, file);
    }
    return rc;
}

int packs_batch_seal(struct packs_batch *b, bool sync, struct err *err)
{
    int rc = finish_part(b, err);
    if (rc == 0 && b->failed != 0)
        rc = err_set(err, b->failed, "packs in %s: a write failed before", b->packs->folder);
    if (rc == 0 && sync)
        rc = sync_files(b, err);
    return rc;
}

int packs_batch_finish(struct packs_batch *b, bool sync, struct err *err)
{
    int rc = packs_batch_seal(b, sync, err);
    if (rc == 0)
        free_batch(b);
    return rc;
}

void packs_batch_free(struct packs_batch *b)
{
    if (b == NULL)
        return;
    (void)finish_part(b, NULL);
    free_batch(b);
}
