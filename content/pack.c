/* SPDX-License-Identifier: Apache-2.0 */
#include "content/pack.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/varint.h"
#include "content/digest_map.h"

/* In place.file: appended by this process, and so hashed; 0: found at opening. */
#define HASHED_HERE 1

#define WRITEBACK_BYTES (16u << 20)
#define SCAN_BYTES      (CID_BYTES_MAX + 10)

/* What car_put_header writes for no roots: varint 17, the dag-cbor {"roots": [], "version": 1}. */
const uint8_t pack_header[PACK_HEADER_BYTES] = {0x11, 0xa2, 0x65, 'r', 'o', 'o', 't', 's', 0x80,
                                                0x67, 'v',  'e',  'r', 's', 'i', 'o', 'n', 0x01};

struct pack {
    const struct files *files;
    char path[FILES_PATH_MAX];
    int fd;
    bool write;
    pthread_mutex_t mutex; /* index, end and order; reads of blocks go without */
    struct digest_map index;
    uint64_t end;
    uint64_t written_back;   /* writeback was started up to here */
    bool dirty;              /* appended to since the last sync */
    bool folder_dirty;       /* the file's name is not synced yet */
    bool broken;             /* a sync failed: what the disk holds is not known, nothing goes on */
    pthread_mutex_t syncing; /* taken before `mutex`: who waits for it finds the bytes durable */
};

int pack_section_parse(struct bytes head, uint64_t left, struct cid *cid, size_t *head_size,
                       uint32_t *size, struct err *err)
{
    uint64_t need = 0;
    size_t used = 0, n = varint_take(head, VARINT_BYTES_MAX, &need);
    if (n == 0)
        return err_set(err, ERR_MALFORMED, "bad section length");
    int rc = cid_decode_prefix(bytes_of(head.data + n, head.size - n), cid, &used, err);
    if (rc != 0 || cid_digest(cid) == NULL || need < used || need - used > PACK_BLOCK_BYTES_MAX ||
        need > left - n)
        return err_set(err, ERR_MALFORMED, "bad or unfinished section");
    *head_size = n + used;
    *size = (uint32_t)(need - used);
    return 0;
}

/* Reads the section's head at `at`: where its data lies. ERR_MALFORMED if it is not whole or not
 * one. */
static int read_head(struct pack *p, uint64_t at, uint64_t file_size, struct cid *cid,
                     struct digest_place *place, struct err *err)
{
    uint8_t head[SCAN_BYTES];
    size_t have = file_size - at < sizeof head ? (size_t)(file_size - at) : sizeof head;
    size_t head_size;
    uint32_t size;
    int rc = p->files->read(p->files->self, p->fd, at, head, have, err);
    if (rc == 0)
        rc = pack_section_parse(bytes_of(head, have), file_size - at, cid, &head_size, &size, err);
    if (rc == 0)
        *place = (struct digest_place){.offset = at + head_size, .size = size};
    return rc;
}

static int scan(struct pack *p, uint64_t file_size, struct err *err)
{
    uint8_t header[sizeof pack_header];
    p->end = 0;
    if (file_size < sizeof pack_header)
        return 0;
    int rc = p->files->read(p->files->self, p->fd, 0, header, sizeof header, err);
    if (rc != 0)
        return rc;
    static const uint8_t zeros[sizeof pack_header];
    if (memcmp(header, zeros, sizeof header) == 0)
        return 0; /* a length without bytes: a crash before the first sync */
    if (memcmp(header, pack_header, sizeof header) != 0)
        return err_set(err, ERR_CORRUPT, "not a pack: bad header");
    p->end = sizeof pack_header;
    while (p->end < file_size) {
        struct cid cid;
        struct digest_place place;
        rc = read_head(p, p->end, file_size, &cid, &place, err);
        if (rc == ERR_MALFORMED)
            return 0; /* a torn end */
        if (rc == 0)
            rc = digest_map_put(&p->index, cid_digest(&cid), &place, err);
        if (rc != 0)
            return rc;
        p->end = place.offset + place.size;
    }
    return 0;
}

static int prepare(struct pack *p, struct err *err)
{
    struct files_stat s;
    int rc = p->files->stat_fd(p->files->self, p->fd, &s, err);
    if (rc == 0)
        rc = scan(p, s.size, err);
    if (rc != 0 || !p->write)
        return rc;
    p->dirty = true; /* what is found counts as unsynced */
    p->folder_dirty = true;
    if (p->end < s.size)
        rc = p->files->truncate(p->files->self, p->fd, p->end, err);
    if (rc == 0 && p->end == 0) {
        rc = p->files->write(p->files->self, p->fd, 0, pack_header, sizeof pack_header, err);
        p->end = sizeof pack_header;
    }
    p->written_back = p->end;
    return rc;
}

int pack_open(const struct files *f, const char *path, bool write, struct pack **out,
              struct err *err)
{
    size_t size = strlen(path);
    struct pack *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&p->mutex, NULL);
    pthread_mutex_init(&p->syncing, NULL);
    p->files = f;
    p->write = write;
    p->fd = -1;
    int rc = size < sizeof p->path ? 0 : err_set(err, ERR_LIMIT, "path too long");
    if (rc == 0) {
        memcpy(p->path, path, size + 1);
        rc = f->open(f->self, path, write ? FILES_CREATE : FILES_READ, &p->fd, err);
    }
    if (rc == 0)
        rc = prepare(p, err);
    if (rc != 0) {
        pack_close(p);
        return err_wrap(err, rc, "pack %s", path);
    }
    *out = p;
    return 0;
}

void pack_close(struct pack *p)
{
    if (p == NULL)
        return;
    if (p->fd >= 0)
        p->files->close(p->files->self, p->fd);
    digest_map_fini(&p->index);
    pthread_mutex_destroy(&p->syncing);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

static bool find(struct pack *p, const struct cid *cid, struct digest_place *out)
{
    const uint8_t *digest = cid_digest(cid);
    pthread_mutex_lock(&p->mutex);
    bool found = digest != NULL && digest_map_get(&p->index, digest, out);
    pthread_mutex_unlock(&p->mutex);
    return found;
}

bool pack_has(struct pack *p, const struct cid *cid)
{
    struct digest_place place;
    return find(p, cid, &place);
}

static int not_here(struct pack *p, const struct cid *cid, struct err *err)
{
    char text[CID_TEXT_MAX];
    return err_set(err, ERR_NOTFOUND, "block %s is not in %s", cid_format(cid, text), p->path);
}

static int read_verified(struct pack *p, const struct cid *cid, const struct digest_place *place,
                         void *data, struct err *err)
{
    int rc = p->files->read(p->files->self, p->fd, place->offset, data, place->size, err);
    if (rc == 0 && cid_verify(cid, bytes_of(data, place->size), NULL) != 0) {
        char text[CID_TEXT_MAX];
        rc = err_set(err, ERR_CORRUPT, "%s: the block at offset %llu is not %s", p->path,
                     (unsigned long long)place->offset, cid_format(cid, text));
    }
    return rc;
}

int pack_get(struct pack *p, const struct cid *cid, struct buf *out, struct err *err)
{
    struct digest_place place;
    buf_clear(out);
    if (!find(p, cid, &place))
        return not_here(p, cid, err);
    uint8_t *data = buf_extend(out, place.size);
    int rc = buf_check(out, err);
    if (rc == 0)
        rc = read_verified(p, cid, &place, data, err);
    if (rc != 0)
        buf_clear(out);
    return rc;
}

static int find_sized(struct pack *p, const struct cid *cid, size_t size, struct digest_place *out,
                      struct err *err)
{
    if (!find(p, cid, out))
        return not_here(p, cid, err);
    return out->size == size
               ? 0
               : err_set(err, ERR_MALFORMED, "a block of %u bytes where %zu are expected",
                         out->size, size);
}

int pack_get_into(struct pack *p, const struct cid *cid, void *data, size_t size, struct err *err)
{
    struct digest_place place;
    int rc = find_sized(p, cid, size, &place, err);
    return rc != 0 ? rc : read_verified(p, cid, &place, data, err);
}

int pack_reread_into(struct pack *p, const struct cid *cid, void *data, size_t size,
                     struct err *err)
{
    struct digest_place place;
    int rc = find_sized(p, cid, size, &place, err);
    if (rc != 0)
        return rc;
    return place.file == HASHED_HERE
               ? p->files->read(p->files->self, p->fd, place.offset, data, place.size, err)
               : read_verified(p, cid, &place, data, err);
}

/* Called with the mutex held: appends are one at a time. */
static int append(struct pack *p, const struct cid *cid, struct bytes block, struct err *err)
{
    const struct files *f = p->files;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    size_t head_size = car_section_head(cid, block.size, head);
    struct digest_place place = {
        .offset = p->end + head_size, .size = (uint32_t)block.size, .file = HASHED_HERE};
    int rc = f->write(f->self, p->fd, p->end, head, head_size, err);
    FAULT_POINT("pack-inside-block");
    if (rc == 0 && block.size > 0)
        rc = f->write(f->self, p->fd, place.offset, block.data, block.size, err);
    if (rc == 0)
        rc = digest_map_put(&p->index, cid_digest(cid), &place, err);
    if (rc != 0) {
        /* A longer half-written section must not show behind a shorter one that comes next. */
        (void)f->truncate(f->self, p->fd, p->end, NULL);
        return rc;
    }
    p->end = place.offset + place.size;
    p->dirty = true;
    if (p->end - p->written_back >= WRITEBACK_BYTES) {
        f->start_writeback(f->self, p->fd, p->written_back, p->end - p->written_back);
        p->written_back = p->end;
    }
    return 0;
}

int pack_put(struct pack *p, const struct cid *cid, struct bytes block, struct err *err)
{
    int rc = cid_verify(cid, block, err);
    return rc != 0 ? rc : pack_put_verified(p, cid, block, err);
}

int pack_put_verified(struct pack *p, const struct cid *cid, struct bytes block, struct err *err)
{
    if (!p->write)
        return err_set(err, ERR_DENIED, "pack %s is open for reading only", p->path);
    if (block.size > PACK_BLOCK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a block of %zu bytes", block.size);
    if (cid_digest(cid) == NULL)
        return err_set(err, ERR_UNSUPPORTED, "a pack holds blocks with sha2-256 CIDs only");
    int rc = 0;
    pthread_mutex_lock(&p->mutex);
    struct digest_place place;
    if (p->broken)
        rc = err_set(err, ERR_IO, "a sync failed before");
    else if (!digest_map_get(&p->index, cid_digest(cid), &place))
        rc = append(p, cid, block, err);
    pthread_mutex_unlock(&p->mutex);
    return rc != 0 ? err_wrap(err, rc, "pack %s", p->path) : 0;
}

static int sync_folder(struct pack *p, struct err *err)
{
    char folder[FILES_PATH_MAX];
    memcpy(folder, p->path, sizeof folder);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return p->files->sync_dir(p->files->self, ".", err);
    slash[slash == folder ? 1 : 0] = '\0';
    return p->files->sync_dir(p->files->self, folder, err);
}

/* Called with `syncing` held. A failed sync is not tried again: the kernel may have dropped the
 * pages, and a second one would say yes to bytes that are gone. */
static int sync_once(struct pack *p, struct err *err)
{
    pthread_mutex_lock(&p->mutex);
    bool dirty = p->dirty, folder_dirty = p->folder_dirty, broken = p->broken;
    p->dirty = false;
    pthread_mutex_unlock(&p->mutex);
    if (broken)
        return err_set(err, ERR_IO, "a sync failed before");
    FAULT_POINT("pack-before-sync");
    int rc = dirty ? p->files->sync(p->files->self, p->fd, err) : 0;
    if (rc == 0 && folder_dirty)
        rc = sync_folder(p, err);
    pthread_mutex_lock(&p->mutex);
    if (rc == 0)
        p->folder_dirty = false;
    else
        p->broken = true;
    pthread_mutex_unlock(&p->mutex);
    return rc;
}

int pack_sync(struct pack *p, struct err *err)
{
    pthread_mutex_lock(&p->syncing);
    int rc = sync_once(p, err);
    pthread_mutex_unlock(&p->syncing);
    return rc != 0 ? err_wrap(err, rc, "pack %s", p->path) : 0;
}

uint64_t pack_bytes(struct pack *p)
{
    pthread_mutex_lock(&p->mutex);
    uint64_t end = p->end;
    pthread_mutex_unlock(&p->mutex);
    return end;
}

size_t pack_count(struct pack *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t count = p->index.count;
    pthread_mutex_unlock(&p->mutex);
    return count;
}

void pack_forget(struct pack *p, const struct cid *cid)
{
    pthread_mutex_lock(&p->mutex);
    if (cid_digest(cid) != NULL)
        digest_map_remove(&p->index, cid_digest(cid));
    pthread_mutex_unlock(&p->mutex);
}

int pack_each(struct pack *p,
              int (*each)(void *self, const struct cid *cid, uint32_t size, struct err *err),
              void *self, struct err *err)
{
    uint64_t end = pack_bytes(p);
    for (uint64_t at = sizeof pack_header; at < end;) {
        struct cid cid;
        struct digest_place place;
        int rc = read_head(p, at, end, &cid, &place, err);
        if (rc == 0)
            rc = each(self, &cid, place.size, err);
        if (rc != 0)
            return rc;
        at = place.offset + place.size;
    }
    return 0;
}
