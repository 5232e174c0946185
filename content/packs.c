/* SPDX-License-Identifier: Apache-2.0 */
#include "content/packs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "content/packs_internal.h"

#define LOOKS_MAX  4          /* at a list that keeps changing */
#define SETTLED_NS 100000000u /* a folder's time is only so fine */

int packs_path(const struct packs *p, const char *name, const char *suffix,
               char out[FILES_PATH_MAX], struct err *err)
{
    int size = snprintf(out, FILES_PATH_MAX, "%s/%s%s", p->folder, name, suffix);
    return size < FILES_PATH_MAX ? 0 : err_set(err, ERR_LIMIT, "path too long");
}

bool packs_name(const char *name, const char *suffix, char out[PACKS_NAME_BYTES])
{
    size_t digits = strspn(name, "0123456789abcdef");
    if (digits != PACKS_NAME_BYTES - 1 || strcmp(name + digits, suffix) != 0)
        return false;
    memcpy(out, name, digits);
    out[digits] = '\0';
    return true;
}

/* --- the list --- */

int packs_list_add(struct packs *p, struct packs_file *file, struct err *err)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity * 2 + 16;
        struct packs_file **list = realloc(p->list, capacity * sizeof *list);
        if (list == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        p->list = list;
        p->capacity = capacity;
    }
    p->list[p->count++] = file;
    return 0;
}

/* The file stays in memory until its last user lets it go: the caller must have it in use. */
void packs_list_remove(struct packs *p, struct packs_file *file)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i] == file) {
            memmove(&p->list[i], &p->list[i + 1], (p->count - i - 1) * sizeof *p->list);
            p->count--;
            p->generation++;
            file->gone = true;
            return;
        }
}

struct listing {
    struct packs *packs;
    uint64_t number;
    bool news;
};

static int see_name(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    struct packs *p = l->packs;
    char digits[PACKS_NAME_BYTES];
    bool reference = packs_name(name, ".ref", digits), known = false;
    if (!reference && !packs_name(name, ".car", digits))
        return 0;
    pthread_mutex_lock(&p->mutex);
    for (size_t i = 0; i < p->count && !known; i++) {
        known = strcmp(p->list[i]->name, digits) == 0;
        if (known)
            p->list[i]->seen = l->number;
    }
    pthread_mutex_unlock(&p->mutex);
    if (known)
        return 0;
    struct packs_file *file = packs_file_new(digits, reference);
    if (file == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    file->sealed = true;
    file->seen = l->number;
    pthread_mutex_lock(&p->mutex);
    int rc = packs_list_add(p, file, err);
    pthread_mutex_unlock(&p->mutex);
    if (rc != 0)
        packs_file_free(p->files, file);
    l->news = true;
    return rc;
}

/* Packs that another process removed. What this one sealed during the listing has no number yet:
 * it stays. */
static void drop_unseen(struct listing *l)
{
    struct packs *p = l->packs;
    pthread_mutex_lock(&p->mutex);
    for (size_t i = p->count; i-- > 0;) {
        struct packs_file *file = p->list[i];
        if (file->seen == l->number || file->seen == 0)
            continue;
        file->holders++;
        packs_list_remove(p, file);
        pthread_mutex_unlock(&p->mutex);
        packs_file_let_go(p, file);
        pthread_mutex_lock(&p->mutex);
        i = p->count;
        l->news = true;
    }
    pthread_mutex_unlock(&p->mutex);
}

/* The folder's time, if it says that nothing changed since; two changes in one tick of the clock
 * look like one, so a time is believed only once it is past. */
static uint64_t settled(uint64_t mtime_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return mtime_ns + SETTLED_NS < now_ns ? mtime_ns : 0;
}

static int list_folder(struct packs *p, uint64_t mtime_ns, bool *news, struct err *err)
{
    struct listing l = {.packs = p, .number = ++p->listings};
    uint64_t time = settled(mtime_ns);
    int rc = p->files->list(p->files->self, p->folder, see_name, &l, err);
    if (rc != 0)
        return rc;
    drop_unseen(&l);
    pthread_mutex_lock(&p->mutex);
    p->folder_mtime_ns = time;
    pthread_mutex_unlock(&p->mutex);
    *news = l.news;
    return 0;
}

/* Is there anything in the folder that was not there before? */
static int look_again(struct packs *p, bool *news, struct err *err)
{
    struct files_stat st;
    *news = false;
    int rc = p->files->stat(p->files->self, p->folder, &st, err);
    if (rc != 0)
        return rc == ERR_NOTFOUND ? 0 : rc; /* no folder, no packs */
    pthread_mutex_lock(&p->mutex);
    bool same = p->folder_mtime_ns != 0 && p->folder_mtime_ns == st.mtime_ns;
    pthread_mutex_unlock(&p->mutex);
    if (same)
        return 0;
    pthread_mutex_lock(&p->listing);
    rc = list_folder(p, st.mtime_ns, news, err);
    pthread_mutex_unlock(&p->listing);
    return rc;
}

/* Two descriptors a pack, and as many for everything else. */
static unsigned open_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 4 >= PACKS_OPEN_MAX)
        return PACKS_OPEN_MAX;
    return (unsigned)(limit.rlim_cur / 4);
}

int packs_open(const struct files *f, const char *folder, bool write, struct packs **out,
               struct err *err)
{
    struct packs *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    bool news;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_mutex_init(&p->listing, NULL);
    pthread_cond_init(&p->written, NULL);
    p->files = f;
    p->write = write;
    p->open_max = open_max();
    int rc = strlen(folder) < sizeof p->folder ? 0 : err_set(err, ERR_LIMIT, "path too long");
    if (rc == 0)
        memcpy(p->folder, folder, strlen(folder) + 1);
    if (rc == 0 && write)
        rc = f->make_dir(f->self, folder, err);
    if (rc == 0 && write)
        rc = packs_recover(p, err);
    if (rc == 0)
        rc = look_again(p, &news, err);
    if (rc != 0) {
        packs_close(p);
        return err_wrap(err, rc, "packs in %s", folder);
    }
    *out = p;
    return 0;
}

void packs_close(struct packs *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->count; i++)
        packs_file_free(p->files, p->list[i]);
    free(p->list);
    pthread_cond_destroy(&p->written);
    pthread_mutex_destroy(&p->listing);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* --- looking up --- */

typedef int hit_use(void *self, const struct packs_hit *hit, struct err *err);

struct search {
    struct packs *packs;
    const uint8_t *digest;
    hit_use *use;
    void *self;
    int rc; /* the first failure that was more than not finding it */
    struct err *err;
};

/* Is the search over? One failure is not forgotten because the digest was not in other packs
 * either: "not here" must be known, or gc would remove what it could not see. */
static bool ends_search(struct search *s, int rc)
{
    if (rc == 0)
        return true;
    if (rc != ERR_NOTFOUND && s->rc == ERR_NOTFOUND) {
        s->rc = rc;
        s->err = NULL; /* it has its sentence */
    }
    return false;
}

static bool use_part(struct search *s)
{
    struct packs *p = s->packs;
    struct packs_hit hit = {0};
    struct digest_place place;
    pthread_mutex_lock(&p->mutex);
    for (struct packs_part *part = p->parts; part != NULL && hit.file == NULL; part = part->next)
        if (digest_map_get(&part->map, s->digest, &place) &&
            (place.file & PACKS_ENTRY_UNDONE) == 0) {
            hit.file = part->file;
            hit.file->users++;
        }
    pthread_mutex_unlock(&p->mutex);
    if (hit.file == NULL)
        return false;
    memcpy(hit.entry.digest, s->digest, HASH_BYTES);
    hit.entry.offset = place.offset;
    hit.entry.size = place.size;
    hit.entry.codec = place.file;
    bool over = ends_search(s, s->use(s->self, &hit, s->err));
    packs_file_release(p, hit.file);
    return over;
}

/* Takes the file out of use. */
static bool use_file(struct search *s, struct packs_file *file)
{
    struct packs *p = s->packs;
    struct packs_hit hit = {.file = file};
    int rc = packs_file_find(p, file, s->digest, &hit.entry, s->err);
    if (rc == 0 && hit.entry.size > BLOCK_BYTES_MAX)
        rc = ERR_NOTFOUND;
    if (rc == 0)
        rc = s->use(s->self, &hit, s->err);
    if (rc == 0) {
        pthread_mutex_lock(&p->mutex);
        file->used = ++p->ticks;
        pthread_mutex_unlock(&p->mutex);
    }
    packs_file_release(p, file);
    return ends_search(s, rc);
}

/* Begins with the pack where something was found last: blocks are read in the order in which they
 * came. */
static bool use_list(struct search *s)
{
    struct packs *p = s->packs;
    pthread_mutex_lock(&p->mutex);
    size_t hint = p->hint;
    pthread_mutex_unlock(&p->mutex);
    size_t first = hint;
    struct packs_file *file = packs_file_take_likely(p, &first, s->digest);
    if (file != NULL && first != hint)
        packs_file_release(p, file);
    else if (file != NULL && use_file(s, file))
        return true;
    for (size_t i = 0; (file = packs_file_take_likely(p, &i, s->digest)) != NULL; i++) {
        if (i == hint) {
            packs_file_release(p, file);
        } else if (use_file(s, file)) {
            pthread_mutex_lock(&p->mutex);
            p->hint = i;
            pthread_mutex_unlock(&p->mutex);
            return true;
        }
    }
    return false;
}

int packs_each_hit(struct packs *p, const uint8_t digest[HASH_BYTES], bool sealed, hit_use *use,
                   void *self, struct err *err)
{
    struct search s = {
        .packs = p, .digest = digest, .use = use, .self = self, .rc = ERR_NOTFOUND, .err = err};
    bool again = true;
    for (unsigned n = 0; again && n < LOOKS_MAX; n++) {
        if (!sealed && use_part(&s))
            return 0;
        pthread_mutex_lock(&p->mutex);
        uint64_t generation = p->generation;
        pthread_mutex_unlock(&p->mutex);
        if (use_list(&s))
            return 0;
        int rc = look_again(p, &again, s.err);
        if (rc != 0)
            return s.rc != ERR_NOTFOUND ? s.rc : rc;
        pthread_mutex_lock(&p->mutex);
        again = again || generation != p->generation;
        pthread_mutex_unlock(&p->mutex);
    }
    return s.rc;
}

static int use_any(void *self, const struct packs_hit *hit, struct err *err)
{
    (void)self;
    (void)hit;
    (void)err;
    return 0;
}

int packs_has(struct packs *p, const uint8_t digest[HASH_BYTES], struct err *err)
{
    return packs_each_hit(p, digest, false, use_any, NULL, err);
}

bool packs_hit_is_block(struct bytes block, const uint8_t digest[HASH_BYTES])
{
    uint8_t found[HASH_BYTES];
    hash_sha256(block, found);
    return memcmp(found, digest, HASH_BYTES) == 0;
}

int packs_hit_read(struct packs *p, const struct packs_hit *hit, struct buf *out,
                   char where[FILES_PATH_MAX], struct err *err)
{
    const struct packs_file *file = hit->file;
    const struct files *f = p->files;
    int fd = -1;
    if (file->reference)
        snprintf(where, FILES_PATH_MAX, "%.3900s", file->path);
    else
        snprintf(where, FILES_PATH_MAX, "%s/%s.car at offset %llu", p->folder, file->name,
                 (unsigned long long)hit->entry.offset);
    int rc = packs_file_open_data(p, hit->file, &fd, err);
    if (rc != 0)
        return rc;
    size_t before = out->size;
    uint8_t *data = buf_extend(out, hit->entry.size);
    rc = buf_check(out, err);
    if (rc == 0)
        rc = f->read(f->self, fd, hit->entry.offset, data, hit->entry.size, err);
    if (file->reference &&
        (rc == ERR_CORRUPT ||
         (rc == 0 && !packs_hit_is_block(bytes_of(data, hit->entry.size), hit->entry.digest))))
        rc = err_set(err, ERR_CORRUPT, "%.600s has changed since it was added with --nocopy",
                     file->path);
    else if (rc != 0)
        rc = err_wrap(err, rc, "%.600s", where);
    packs_file_close_data(p, file, fd);
    if (rc != 0 && out->failed == 0)
        out->size = before;
    return rc;
}

struct reading {
    struct packs *packs;
    struct buf *out;
    char *where;
    bool hash, failed;
};

/* The first failure's place is the one that is said, if nothing better is found. */
static int use_bytes(void *self, const struct packs_hit *hit, struct err *err)
{
    struct reading *r = self;
    char where[FILES_PATH_MAX];
    size_t before = r->out->size;
    int rc = packs_hit_read(r->packs, hit, r->out, where, err);
    if (rc == 0 && r->hash && !hit->file->reference &&
        !packs_hit_is_block(bytes_of(r->out->data + before, r->out->size - before),
                            hit->entry.digest)) {
        struct cid cid = packs_entries_cid(&hit->entry);
        char text[CID_TEXT_MAX];
        r->out->size = before;
        rc = err_set(err, ERR_CORRUPT, "%.600s: the bytes are not block %s", where,
                     cid_format(&cid, text));
    }
    if (rc == 0 || !r->failed)
        memcpy(r->where, where, sizeof where);
    r->failed = r->failed || rc != 0;
    return rc;
}

int packs_read(struct packs *p, const uint8_t digest[HASH_BYTES], struct buf *out,
               char where[FILES_PATH_MAX], struct err *err)
{
    struct reading r = {.packs = p, .out = out, .where = where};
    return packs_each_hit(p, digest, false, use_bytes, &r, err);
}

int packs_get(struct packs *p, const uint8_t digest[HASH_BYTES], struct buf *out,
              char where[FILES_PATH_MAX], struct err *err)
{
    struct reading r = {.packs = p, .out = out, .where = where, .hash = true};
    return packs_each_hit(p, digest, false, use_bytes, &r, err);
}

bool packs_hit_is_equal(struct packs *p, const struct packs_hit *hit, struct bytes block,
                        struct buf *room)
{
    char where[FILES_PATH_MAX];
    buf_clear(room);
    return !hit->file->reference && hit->entry.size == block.size &&
           packs_hit_read(p, hit, room, where, NULL) == 0 && bytes_equal(buf_bytes(room), block);
}

struct comparing {
    struct packs *packs;
    struct bytes block;
    struct buf room;
};

static int use_equal(void *self, const struct packs_hit *hit, struct err *err)
{
    struct comparing *c = self;
    (void)err;
    return packs_hit_is_equal(c->packs, hit, c->block, &c->room) ? 0 : ERR_NOTFOUND;
}

bool packs_has_whole(struct packs *p, const uint8_t digest[HASH_BYTES], struct bytes block)
{
    struct comparing c = {.packs = p, .block = block, .room = buf_new(BLOCK_BYTES_MAX)};
    int rc = packs_each_hit(p, digest, true, use_equal, &c, NULL);
    buf_fini(&c.room);
    return rc == 0;
}

struct finding {
    struct packs *packs;
    struct packs_place *out;
};

static int use_place(void *self, const struct packs_hit *hit, struct err *err)
{
    struct finding *f = self;
    int fd;
    int rc = packs_file_open_data(f->packs, hit->file, &fd, err);
    if (rc != 0)
        return rc;
    int given = hit->file->reference ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (given < 0)
        return err_errno(err, "pack %s/%s", f->packs->folder, hit->file->name);
    *f->out = (struct packs_place){.fd = given,
                                   .offset = hit->entry.offset,
                                   .size = hit->entry.size,
                                   .reference = hit->file->reference};
    return 0;
}

int packs_find(struct packs *p, const uint8_t digest[HASH_BYTES], struct packs_place *out,
               struct err *err)
{
    struct finding f = {.packs = p, .out = out};
    return packs_each_hit(p, digest, false, use_place, &f, err);
}

/* A pack that cannot be synced fails the whole: another copy may be a damaged one. */
struct syncing {
    struct packs *packs;
    int rc;
};

static int use_sync(void *self, const struct packs_hit *hit, struct err *err)
{
    struct syncing *s = self;
    s->rc = packs_file_sync(s->packs, hit->file, err);
    return 0;
}

int packs_sync(struct packs *p, const uint8_t digest[HASH_BYTES], struct err *err)
{
    struct syncing s = {.packs = p};
    int rc = packs_each_hit(p, digest, false, use_sync, &s, err);
    return rc != 0 ? rc : s.rc;
}

/* --- the whole --- */

struct each {
    struct packs *packs;
    packs_each_block *each;
    packs_each_damaged *damaged;
    void *self;
};

static int each_entry(const struct each *e, struct packs_file *file, int fd,
                      const struct packs_entries *list, struct err *err)
{
    char where[FILES_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        const struct packs_entry *entry = &list->entries[i];
        struct cid cid = packs_entries_cid(entry);
        struct packs_place place = {
            .fd = fd, .offset = entry->offset, .size = entry->size, .reference = file->reference};
        if (file->reference)
            snprintf(where, sizeof where, "%.3900s at offset %llu", file->path,
                     (unsigned long long)entry->offset);
        else
            snprintf(where, sizeof where, "%s/%s.car at offset %llu", e->packs->folder, file->name,
                     (unsigned long long)entry->offset);
        rc = e->each(e->self, &cid, &place, where, err);
    }
    return rc;
}

/* One that cannot be looked into is said, and does not hide the others. */
static int each_of_file(const struct each *e, struct packs_file *file, struct err *err)
{
    struct packs *p = e->packs;
    struct packs_entries list = {0};
    struct err why = {0};
    char where[FILES_PATH_MAX];
    int fd = -1;
    int rc = packs_file_entries(p, file, &list, &why);
    if (rc == 0)
        rc = packs_file_open_data(p, file, &fd, &why);
    if (rc == ERR_CORRUPT && file->reference && list.count > 0)
        rc = 0; /* the file elsewhere is gone; its blocks' names are not */
    if (rc == 0) {
        rc = each_entry(e, file, fd, &list, err);
    } else if (rc == ERR_NOMEM || e->damaged == NULL) {
        rc = err_set(err, rc, "%s", why.text);
    } else {
        snprintf(where, sizeof where, "%s/%s", p->folder, file->name);
        rc = e->damaged(e->self, where, &why, err);
    }
    packs_file_close_data(p, file, fd);
    packs_entries_fini(&list);
    return rc;
}

int packs_each(struct packs *p, packs_each_block *each, packs_each_damaged *damaged, void *self,
               struct err *err)
{
    struct each e = {.packs = p, .each = each, .damaged = damaged, .self = self};
    struct packs_file *file;
    bool news;
    int rc = look_again(p, &news, err);
    for (size_t i = 0; rc == 0 && (file = packs_file_take(p, i)) != NULL; i++) {
        rc = each_of_file(&e, file, err);
        packs_file_release(p, file);
    }
    return rc;
}

static int stat_file(struct packs *p, struct packs_file *file, struct packs_stat *out,
                     struct err *err)
{
    char path[FILES_PATH_MAX];
    struct files_stat st;
    int rc = packs_file_open_index(p, file, err);
    if (rc == 0 && file->reference) {
        out->references += file->count;
        return 0;
    }
    if (rc == 0)
        rc = packs_path(p, file->name, ".car", path, err);
    if (rc == 0)
        rc = p->files->stat(p->files->self, path, &st, err);
    if (rc != 0)
        return rc;
    out->packs++;
    out->blocks += file->count;
    out->bytes += st.size;
    return 0;
}

int packs_stat(struct packs *p, struct packs_stat *out, struct err *err)
{
    struct packs_file *file;
    bool news;
    *out = (struct packs_stat){0};
    int rc = look_again(p, &news, err);
    for (size_t i = 0; rc == 0 && (file = packs_file_take(p, i)) != NULL; i++) {
        struct err why = {0};
        rc = stat_file(p, file, out, &why);
        if (rc != 0 && out->damaged++ == 0)
            out->first_damaged = why;
        if (rc != ERR_NOMEM)
            rc = 0;
        else
            rc = err_set(err, rc, "%s", why.text);
        packs_file_release(p, file);
    }
    return rc;
}
