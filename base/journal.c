/* SPDX-License-Identifier: Apache-2.0 */
#include "base/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"

#define HEADER_BYTES  32
#define FRAME_MAGIC   0x4d464c43u /* "CLFM" */
#define HEAD_BYTES    (4 + 4 + 8 + HASH_BYTES + 8)
#define FRAME_OVER    (HEAD_BYTES + HASH_BYTES)
#define FILE_MAX      (64u << 20) /* a round's events take some hundred KiB */
#define RESERVE_BYTES (64u << 10)
#define NAME_BYTES    (16 + 1 + 16 + 8) /* NUMBER-SEQUENCE.journal */

static const char header_text[] = "colmeia-journal-1\n";

struct entry {
    uint64_t number, sequence;
};

struct list {
    size_t count, capacity;
    struct entry *entries; /* by sequence */
};

struct journal {
    const struct files *files;
    char dir[FILES_PATH_MAX];
    struct list list;
    int fd;            /* the newest file; -1 before the first */
    uint64_t end;      /* where the next frame goes */
    uint64_t reserved; /* preallocated up to here */
    struct journal_tail tail;
    bool failed;
};

typedef int frame_function(void *self, const struct journal_frame *frame, struct err *err);

/* --- names --- */

static bool parse_hex(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

static int collect(void *arg, const char *name, struct err *err)
{
    struct list *l = arg;
    struct entry e;
    if (strlen(name) != NAME_BYTES || name[16] != '-' || strcmp(name + 33, ".journal") != 0 ||
        !parse_hex(name, &e.number) || !parse_hex(name + 17, &e.sequence))
        return 0;
    if (l->count == l->capacity) {
        size_t grown = l->capacity * 2 + 16;
        struct entry *entries = realloc(l->entries, grown * sizeof *entries);
        if (entries == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        l->entries = entries;
        l->capacity = grown;
    }
    l->entries[l->count++] = e;
    return 0;
}

static int by_sequence(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int list_files(const struct files *f, const char *dir, struct list *out, struct err *err)
{
    *out = (struct list){0};
    int rc = f->list(f->self, dir, collect, out, err);
    if (rc == 0 && out->count > 1)
        qsort(out->entries, out->count, sizeof *out->entries, by_sequence);
    return rc;
}

static int path_of(const char *dir, const struct entry *e, char out[FILES_PATH_MAX],
                   struct err *err)
{
    char name[NAME_BYTES + 1];
    snprintf(name, sizeof name, "%016llx-%016llx.journal", (unsigned long long)e->number,
             (unsigned long long)e->sequence);
    return files_join(out, dir, name, err);
}

/* --- frames --- */

/* A frame whose hash is right at `at`; its whole length, or 0. */
static size_t frame_at(struct bytes file, size_t at, struct journal_frame *out,
                       struct journal_tail *before, struct journal_tail *after)
{
    if (at > file.size || file.size - at < FRAME_OVER)
        return 0;
    const uint8_t *p = file.data + at;
    uint32_t size = bytes_get_u32(p + 4);
    if (bytes_get_u32(p) != FRAME_MAGIC || size == 0 || size > JOURNAL_BATCH_BYTES_MAX ||
        size > file.size - at - FRAME_OVER)
        return 0;
    uint8_t hash[HASH_BYTES];
    hash_sha256(bytes_of(p, HEAD_BYTES + size), hash);
    if (memcmp(hash, p + HEAD_BYTES + size, HASH_BYTES) != 0)
        return 0;
    out->sequence = bytes_get_u64(p + 8);
    out->time_ms = bytes_get_u64(p + 16 + HASH_BYTES);
    out->batch = bytes_of(p + HEAD_BYTES, size);
    before->sequence = out->sequence - 1;
    memcpy(before->hash, p + 16, HASH_BYTES);
    after->sequence = out->sequence;
    memcpy(after->hash, hash, HASH_BYTES);
    return FRAME_OVER + size;
}

static bool same_tail(const struct journal_tail *a, const struct journal_tail *b)
{
    return a->sequence == b->sequence && memcmp(a->hash, b->hash, HASH_BYTES) == 0;
}

/* Is there a valid frame anywhere behind `at`? Then what stands at `at` is damage, not a torn end.
 */
static bool frame_behind(struct bytes file, size_t at)
{
    struct journal_frame frame;
    struct journal_tail before, after;
    for (size_t i = at + 1; i + FRAME_OVER <= file.size; i++)
        if (bytes_get_u32(file.data + i) == FRAME_MAGIC &&
            frame_at(file, i, &frame, &before, &after) > 0)
            return true;
    return false;
}

/* What is known of a file before it is read, and what was found in it. */
struct scan {
    uint64_t first; /* in: the sequence of the first frame, as the file's name says */
    bool tail_known;
    struct journal_tail tail; /* in: where the file before ended, if known; out: its last frame */
    size_t end;               /* out: behind the last whole frame */
    size_t frames;            /* out */
};

static struct scan new_scan(const struct entry *e)
{
    return (struct scan){.first = e->sequence, .tail_known = e->sequence == 1};
}

static bool header_is_right(struct bytes file)
{
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, header_text, sizeof header_text - 1);
    return file.size >= HEADER_BYTES && memcmp(file.data, header, HEADER_BYTES) == 0;
}

/* "colmeia-journal-2\n" and the like: made by a later version, whose frames we cannot know. */
static bool header_is_newer(struct bytes file)
{
    size_t digit = sizeof header_text - 3;
    return file.size >= HEADER_BYTES && memcmp(file.data, header_text, digit) == 0 &&
           file.data[digit] > '1' && file.data[digit] <= '9' && file.data[digit + 1] == '\n';
}

static int check_header(struct bytes file, const char *path, struct scan *s, struct err *err)
{
    s->end = header_is_right(file) ? HEADER_BYTES : 0;
    s->frames = 0;
    if (s->end > 0)
        return 0;
    if (frame_behind(file, 0))
        return err_set(err, ERR_CORRUPT,
                       "%s: damage at offset 0 (the header), with a valid frame behind it; restore "
                       "the folder from a backup",
                       path);
    if (header_is_newer(file))
        return err_set(err, ERR_UNSUPPORTED, "%s was written by a later version of this program",
                       path);
    return 0;
}

/* Does the frame at s->end follow what was read before it? */
static int check_chain(const char *path, const struct scan *s, const struct journal_tail *before,
                       struct err *err)
{
    if (s->frames == 0 && before->sequence + 1 != s->first)
        return err_set(err, ERR_CORRUPT, "%s: offset %zu: frame %llu, but the name says %llu", path,
                       s->end, (unsigned long long)(before->sequence + 1),
                       (unsigned long long)s->first);
    if (s->tail_known && !same_tail(before, &s->tail))
        return err_set(err, ERR_CORRUPT, "%s: offset %zu: the frame does not follow the one before",
                       path, s->end);
    return 0;
}

/* Hands out the frames of one file and finds its end. */
static int scan_file(struct bytes file, const char *path, struct scan *s, frame_function *each,
                     void *self, struct err *err)
{
    int rc = check_header(file, path, s, err);
    while (rc == 0 && s->end > 0) {
        struct journal_frame frame;
        struct journal_tail before, after;
        size_t size = frame_at(file, s->end, &frame, &before, &after);
        if (size == 0)
            break;
        rc = check_chain(path, s, &before, err);
        if (rc == 0 && each != NULL) {
            rc = each(self, &frame, err);
            if (rc != 0)
                return err_wrap(err, rc, "%s: offset %zu", path, s->end);
        }
        s->tail = after;
        s->tail_known = true;
        s->end += size;
        s->frames++;
    }
    if (rc == 0 && s->end > 0 && s->end < file.size && frame_behind(file, s->end))
        rc = err_set(err, ERR_CORRUPT,
                     "%s: damage at offset %zu, with a valid frame behind it; restore the folder "
                     "from a backup",
                     path, s->end);
    return rc;
}

static int load_file(const struct files *f, const char *dir, const struct entry *e,
                     char path[FILES_PATH_MAX], struct buf *out, struct err *err)
{
    int rc = path_of(dir, e, path, err);
    buf_clear(out);
    return rc != 0 ? rc : files_load(f, path, out, err);
}

/* Reads a file that another follows, e[1] in the list. It was synced before its successor was
 * begun, so no crash can have torn it. */
static int scan_closed(const struct files *f, const char *dir, const struct entry *e,
                       struct scan *s, frame_function *each, void *self, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf file = buf_new(FILE_MAX);
    int rc = load_file(f, dir, e, path, &file, err);
    if (rc == 0)
        rc = scan_file(buf_bytes(&file), path, s, each, self, err);
    if (rc == 0 && (s->end != file.size || s->frames == 0))
        rc = err_set(err, ERR_CORRUPT,
                     "%s: damage at offset %zu, and a later file follows; restore the folder from "
                     "a backup",
                     path, s->end);
    else if (rc == 0 && s->tail.sequence + 1 != e[1].sequence)
        rc = err_set(err, ERR_CORRUPT,
                     "%s: ends with frame %llu, but the next file begins with %llu", path,
                     (unsigned long long)s->tail.sequence, (unsigned long long)e[1].sequence);
    buf_fini(&file);
    return rc;
}

/* --- opening --- */

/* The tail of the file before the newest, for the chain; unknown if that file was pruned. */
static int previous_tail(const struct journal *j, struct scan *s, struct err *err)
{
    *s = new_scan(&j->list.entries[j->list.count - 1]);
    if (j->list.count < 2)
        return 0;
    const struct entry *e = &j->list.entries[j->list.count - 2];
    struct scan previous = new_scan(e);
    int rc = scan_closed(j->files, j->dir, e, &previous, NULL, NULL, err);
    s->tail = previous.tail;
    s->tail_known = true;
    return rc;
}

/* Removes the newest file: it has no whole first frame, so its round was never begun. Only a crash
 * in journal_start leaves that, and then the file before it ends right there; anything else is
 * damage, and nothing is removed. */
static int drop_newest(struct journal *j, const char *path, struct err *err)
{
    struct scan s;
    int rc = previous_tail(j, &s, err);
    if (rc != 0)
        return rc;
    if (!s.tail_known)
        return err_set(err, ERR_CORRUPT,
                       "%s: no whole first frame, and the file before it is gone; restore the "
                       "folder from a backup",
                       path);
    rc = j->files->unlink(j->files->self, path, err);
    if (rc == 0)
        rc = j->files->sync_dir(j->files->self, j->dir, err);
    if (rc == 0)
        j->list.count--;
    return rc;
}

/* Keeps room ahead of the end, so that a disk that fills up is met by what asks for its own room
 * and not by the journal. A hint: without it the frame itself may still fit. */
static void reserve(struct journal *j, uint64_t end)
{
    if (end + RESERVE_BYTES / 2 <= j->reserved)
        return;
    if (j->files->reserve(j->files->self, j->fd, end + RESERVE_BYTES, NULL) == 0)
        j->reserved = end + RESERVE_BYTES;
}

static int take_newest(struct journal *j, const char *path, struct bytes file, const struct scan *s,
                       struct err *err)
{
    const struct files *f = j->files;
    int rc = f->open(f->self, path, FILES_UPDATE, &j->fd, err);
    if (rc != 0)
        return rc;
    if (s->end < file.size)
        rc = f->truncate(f->self, j->fd, s->end, err);
    j->end = s->end;
    j->reserved = s->end;
    j->tail = s->tail;
    reserve(j, j->end);
    /* A killed process leaves readable bytes that are not on the disk yet. */
    if (rc == 0)
        rc = f->sync(f->self, j->fd, err);
    if (rc == 0)
        rc = f->sync_dir(f->self, j->dir, err);
    return rc;
}

static int recover(struct journal *j, frame_function *replay, void *self, uint64_t *cut_bytes,
                   struct err *err)
{
    struct buf file = buf_new(FILE_MAX);
    char path[FILES_PATH_MAX];
    int rc = 0;
    while (rc == 0 && j->list.count > 0) {
        const struct entry *newest = &j->list.entries[j->list.count - 1];
        struct scan s = new_scan(newest), chained;
        rc = load_file(j->files, j->dir, newest, path, &file, err);
        if (rc == 0)
            rc = scan_file(buf_bytes(&file), path, &s, NULL, NULL, err);
        if (rc != 0)
            break;
        if (s.frames == 0) {
            *cut_bytes += file.size;
            rc = drop_newest(j, path, err);
            continue;
        }
        *cut_bytes += file.size - s.end;
        rc = previous_tail(j, &chained, err);
        if (rc == 0)
            rc = scan_file(bytes_of(file.data, s.end), path, &chained, replay, self, err);
        if (rc == 0)
            rc = take_newest(j, path, buf_bytes(&file), &s, err);
        break;
    }
    buf_fini(&file);
    return rc;
}

int journal_open(const struct files *f, const char *dir, frame_function *replay, void *self,
                 struct journal **out, uint64_t *cut_bytes, struct err *err)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    j->files = f;
    j->fd = -1;
    uint64_t cut = 0;
    char above[FILES_PATH_MAX];
    int rc = snprintf(j->dir, sizeof j->dir, "%s", dir) < (int)sizeof j->dir
                 ? files_make_dirs(f, dir, err)
                 : err_set(err, ERR_LIMIT, "path longer than %d bytes", FILES_PATH_MAX - 1);
    /* The folder may stand there since a crash came between making and syncing it. */
    if (rc == 0) {
        files_folder(j->dir, above);
        rc = f->sync_dir(f->self, above, err);
    }
    if (rc == 0)
        rc = list_files(f, dir, &j->list, err);
    if (rc == 0)
        rc = recover(j, replay, self, &cut, err);
    if (rc != 0) {
        journal_close(j);
        return rc;
    }
    *cut_bytes = cut;
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        j->files->close(j->files->self, j->fd);
    free(j->list.entries);
    free(j);
}

/* --- writing --- */

static void build_frame(const struct journal *j, uint64_t time_ms, struct bytes batch,
                        struct buf *out, struct journal_tail *after)
{
    uint8_t head[HEAD_BYTES];
    bytes_put_u32(head, FRAME_MAGIC);
    bytes_put_u32(head + 4, (uint32_t)batch.size);
    bytes_put_u64(head + 8, j->tail.sequence + 1);
    memcpy(head + 16, j->tail.hash, HASH_BYTES);
    bytes_put_u64(head + 16 + HASH_BYTES, time_ms);
    size_t start = out->size;
    buf_append(out, head, sizeof head);
    buf_append(out, batch.data, batch.size);
    after->sequence = j->tail.sequence + 1;
    if (!out->failed)
        hash_sha256(bytes_of(out->data + start, out->size - start), after->hash);
    buf_append(out, after->hash, HASH_BYTES);
}

static int check_writable(const struct journal *j, struct bytes batch, uint64_t end,
                          struct err *err)
{
    if (j->failed)
        return err_set(err, ERR_IO, "the journal failed before; start the program again");
    if (batch.size == 0 || batch.size > JOURNAL_BATCH_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a batch of %zu bytes, not 1 to %u", batch.size,
                       JOURNAL_BATCH_BYTES_MAX);
    if (end + FRAME_OVER + batch.size > FILE_MAX)
        return err_set(err, ERR_LIMIT, "a file of more than %u bytes", FILE_MAX);
    return 0;
}

static int append(struct journal *j, uint64_t time_ms, struct bytes batch, struct err *err)
{
    int rc = check_writable(j, batch, j->end, err);
    if (rc != 0)
        return rc;
    if (j->fd < 0)
        return err_set(err, ERR_USAGE, "a journal begins with journal_start");
    struct buf frame = buf_new(JOURNAL_BATCH_BYTES_MAX + FRAME_OVER);
    struct journal_tail after;
    build_frame(j, time_ms, batch, &frame, &after);
    rc = buf_check(&frame, err);
    if (rc == 0)
        reserve(j, j->end + frame.size);
    FAULT_POINT("journal-before-write");
    if (rc == 0)
        rc = j->files->write(j->files->self, j->fd, j->end, frame.data, frame.size, err);
    FAULT_POINT("journal-before-sync");
    if (rc == 0)
        rc = j->files->sync(j->files->self, j->fd, err);
    FAULT_POINT("journal-after-sync");
    if (rc == 0) {
        j->end += frame.size;
        j->tail = after;
    }
    buf_fini(&frame);
    return rc;
}

int journal_append(struct journal *j, uint64_t time_ms, struct bytes batch, struct err *err)
{
    int rc = append(j, time_ms, batch, err);
    if (rc == 0)
        return 0;
    j->failed = true;
    return err_wrap(err, rc, "journal %s", j->dir);
}

static int remember(struct journal *j, const struct entry *e, struct err *err)
{
    char name[NAME_BYTES + 1];
    snprintf(name, sizeof name, "%016llx-%016llx.journal", (unsigned long long)e->number,
             (unsigned long long)e->sequence);
    return collect(&j->list, name, err);
}

static int write_first(struct journal *j, const char *path, const struct buf *file, int *fd,
                       struct err *err)
{
    const struct files *f = j->files;
    int rc = f->open(f->self, path, FILES_EXCLUSIVE, fd, err);
    if (rc != 0)
        return rc;
    rc = f->write(f->self, *fd, 0, file->data, file->size, err);
    FAULT_POINT("journal-start-before-sync");
    if (rc == 0)
        rc = f->sync(f->self, *fd, err);
    if (rc == 0)
        rc = f->sync_dir(f->self, j->dir, err);
    FAULT_POINT("journal-start-after-sync");
    return rc;
}

/* The present file is left for the new one, of which `size` bytes are written. */
static void switch_to(struct journal *j, int fd, uint64_t size, const struct journal_tail *tail)
{
    if (j->fd >= 0)
        j->files->close(j->files->self, j->fd);
    j->fd = fd;
    j->end = size;
    j->reserved = size;
    j->tail = *tail;
    reserve(j, size);
}

static int start(struct journal *j, uint64_t number, uint64_t time_ms, struct bytes batch,
                 struct err *err)
{
    int rc = check_writable(j, batch, HEADER_BYTES, err);
    if (rc != 0)
        return rc;
    struct entry e = {.number = number, .sequence = j->tail.sequence + 1};
    struct buf file = buf_new(JOURNAL_BATCH_BYTES_MAX + FRAME_OVER + HEADER_BYTES);
    struct journal_tail after;
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, header_text, sizeof header_text - 1);
    buf_append(&file, header, sizeof header);
    build_frame(j, time_ms, batch, &file, &after);
    rc = buf_check(&file, err);
    char path[FILES_PATH_MAX];
    int fd = -1;
    if (rc == 0)
        rc = path_of(j->dir, &e, path, err);
    if (rc == 0)
        rc = write_first(j, path, &file, &fd, err);
    if (rc == 0)
        rc = remember(j, &e, err);
    if (rc == 0)
        switch_to(j, fd, file.size, &after);
    else if (fd >= 0)
        j->files->close(j->files->self, fd);
    buf_fini(&file);
    return rc;
}

int journal_start(struct journal *j, uint64_t number, uint64_t time_ms, struct bytes batch,
                  struct err *err)
{
    int rc = start(j, number, time_ms, batch, err);
    if (rc == 0)
        return 0;
    j->failed = true;
    return err_wrap(err, rc, "journal %s", j->dir);
}

struct journal_tail journal_tail(const struct journal *j)
{
    return j->tail;
}

/* --- reading --- */

struct wanted {
    uint64_t sequence;
    bool found;
    uint8_t hash[HASH_BYTES];
};

/* The hash of a frame is that of its bytes, which lie just before the batch and behind it. */
static int look(void *self, const struct journal_frame *frame, struct err *err)
{
    (void)err;
    struct wanted *w = self;
    if (frame->sequence == w->sequence) {
        memcpy(w->hash, frame->batch.data + frame->batch.size, HASH_BYTES);
        w->found = true;
    }
    return 0;
}

int journal_find(struct journal *j, uint64_t sequence, uint8_t hash[HASH_BYTES], struct err *err)
{
    if (sequence > j->tail.sequence || sequence == 0)
        return err_set(err, ERR_NOTFOUND, "the journal ends at frame %llu",
                       (unsigned long long)j->tail.sequence);
    size_t i = j->list.count;
    while (i > 0 && j->list.entries[i - 1].sequence > sequence)
        i--;
    if (i == 0)
        return err_set(err, ERR_NOTFOUND, "frame %llu is no longer kept",
                       (unsigned long long)sequence);
    char path[FILES_PATH_MAX];
    struct buf file = buf_new(FILE_MAX);
    struct scan s = new_scan(&j->list.entries[i - 1]);
    struct wanted w = {.sequence = sequence};
    int rc = load_file(j->files, j->dir, &j->list.entries[i - 1], path, &file, err);
    if (rc == 0)
        rc = scan_file(buf_bytes(&file), path, &s, look, &w, err);
    if (rc == 0 && !w.found)
        rc = err_set(err, ERR_CORRUPT, "%s: frame %llu is missing", path,
                     (unsigned long long)sequence);
    if (rc == 0)
        memcpy(hash, w.hash, HASH_BYTES);
    buf_fini(&file);
    return rc;
}

static int check_newest(const struct files *f, const char *dir, const struct entry *e,
                        struct scan *s, frame_function *each, void *self, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf file = buf_new(FILE_MAX);
    int rc = load_file(f, dir, e, path, &file, err);
    if (rc == 0)
        rc = scan_file(buf_bytes(&file), path, s, each, self, err);
    buf_fini(&file);
    return rc;
}

int journal_check(const struct files *f, const char *dir, frame_function *each, void *self,
                  struct err *err)
{
    struct list list;
    struct scan s = {0};
    int rc = list_files(f, dir, &list, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        const struct entry *e = &list.entries[i];
        if (i == 0)
            s = new_scan(e);
        s.first = e->sequence;
        rc = i + 1 < list.count ? scan_closed(f, dir, e, &s, each, self, err)
                                : check_newest(f, dir, e, &s, each, self, err);
    }
    free(list.entries);
    return rc;
}

int journal_prune(struct journal *j, size_t keep, struct err *err)
{
    int rc = 0;
    while (rc == 0 && j->list.count > keep && j->list.count > 1) {
        char path[FILES_PATH_MAX];
        rc = path_of(j->dir, &j->list.entries[0], path, err);
        if (rc == 0)
            rc = j->files->unlink(j->files->self, path, err);
        if (rc == 0) /* one at a time, so that a crash never leaves a gap */
            rc = j->files->sync_dir(j->files->self, j->dir, err);
        if (rc == 0) {
            j->list.count--;
            memmove(j->list.entries, j->list.entries + 1, j->list.count * sizeof *j->list.entries);
        }
    }
    return rc;
}
