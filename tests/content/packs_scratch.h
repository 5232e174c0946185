/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packs_scratch -- packs in the test's folder, numbered blocks, looking at what is on the disk, and
 * a disk that cannot read everything.
 */
#ifndef COLMEIA_TESTS_CONTENT_PACKS_SCRATCH_H
#define COLMEIA_TESTS_CONTENT_PACKS_SCRATCH_H

#include <dirent.h>
#include <sys/wait.h>

#include "content/packs.h"
#include "tests/scratch.h"

#define MIB (1u << 20)

/* The real disk, but for what it cannot read: opening, listing and asking after a path that ends in
 * `hidden` fails as a bad sector or one descriptor too many would. */
struct blind {
    struct files table;
    char hidden[512]; /* "": nothing is */
};

UNUSED static int blind_check(const struct blind *b, const char *path, struct err *err)
{
    size_t size = strlen(path), tail = strlen(b->hidden);
    return tail > 0 && size >= tail && strcmp(path + size - tail, b->hidden) == 0
               ? err_set(err, ERR_IO, "%.500s: unreadable", path)
               : 0;
}

UNUSED static int blind_open(void *self, const char *path, enum files_mode mode, int *fd,
                             struct err *err)
{
    int rc = blind_check(self, path, err);
    return rc != 0 ? rc : files_posix()->open(NULL, path, mode, fd, err);
}

UNUSED static int blind_list(void *self, const char *path,
                             int (*each)(void *arg, const char *name, struct err *err), void *arg,
                             struct err *err)
{
    int rc = blind_check(self, path, err);
    return rc != 0 ? rc : files_posix()->list(NULL, path, each, arg, err);
}

UNUSED static int blind_stat(void *self, const char *path, struct files_stat *out, struct err *err)
{
    int rc = blind_check(self, path, err);
    return rc != 0 ? rc : files_posix()->stat(NULL, path, out, err);
}

UNUSED static void blind_init(struct blind *b)
{
    *b = (struct blind){.table = *files_posix()};
    b->table.self = b;
    b->table.open = blind_open;
    b->table.list = blind_list;
    b->table.stat = blind_stat;
}

UNUSED static struct packs *open_packs_on(const struct files *f, bool write)
{
    struct packs *p;
    struct err err = {0};
    if (packs_open(f, in_scratch("packs"), write, &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

UNUSED static struct packs *open_packs(bool write)
{
    return open_packs_on(files_posix(), write);
}

/* Block `n`: a text that no other has, `size` bytes long (at least 24). */
UNUSED static struct cid block(unsigned n, uint8_t *data, size_t size)
{
    memset(data, 'x', size);
    snprintf((char *)data, size, "block %u", n);
    return cid_of(CID_RAW, bytes_of(data, size));
}

UNUSED static struct packs_batch *new_batch(struct packs *p)
{
    struct packs_batch *b;
    assert_int_equal(packs_batch_new(p, NULL, NULL, &b, NULL), 0);
    return b;
}

UNUSED static void put(struct packs_batch *b, unsigned n, size_t size)
{
    uint8_t *data = malloc(size);
    struct cid cid = block(n, data, size);
    struct err err = {0};
    if (packs_batch_put(b, &cid, bytes_of(data, size), false, &err) != 0)
        fail_msg("%s", err.text);
    free(data);
}

/* A pack of the blocks from..to - 1. */
UNUSED static void put_pack(struct packs *p, unsigned from, unsigned to, size_t size)
{
    struct packs_batch *b = new_batch(p);
    for (unsigned n = from; n < to; n++)
        put(b, n, size);
    assert_int_equal(packs_batch_finish(b, false, NULL), 0);
}

/* The code of reading block `n`; 0 only if the bytes are right. */
UNUSED static int read_back(struct packs *p, unsigned n, size_t size)
{
    uint8_t *data = malloc(size);
    char where[FILES_PATH_MAX];
    struct buf out = buf_new(BLOCK_BYTES_MAX);
    struct cid cid = block(n, data, size);
    int rc = packs_get(p, cid_digest(&cid), &out, where, NULL);
    if (rc == 0)
        assert_true(bytes_equal(buf_bytes(&out), bytes_of(data, size)));
    else
        assert_int_equal(out.size, 0);
    buf_fini(&out);
    free(data);
    return rc;
}

/* How many files end so; `last` (may be NULL) is the path of one. */
UNUSED static size_t count_files(const char *ending, char last[512])
{
    size_t count = 0;
    DIR *d = opendir(in_scratch("packs"));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t size = strlen(e->d_name), tail = strlen(ending);
        if (size < tail || strcmp(e->d_name + size - tail, ending) != 0)
            continue;
        count++;
        if (last != NULL)
            snprintf(last, 512, "%s/packs/%.200s", scratch, e->d_name);
    }
    closedir(d);
    return count;
}

#endif
