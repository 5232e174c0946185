/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/jobs.h"
#include "content/store_internal.h"

#define WINDOW_LEAVES 16

/* A file on its way in, a window of leaves at a time: memory does not grow with the file. */
struct import {
    const struct files *files;
    struct store_model *model;
    int fd;
    uint64_t first, size;
    uint8_t *leaves;
    uint8_t digests[WINDOW_LEAVES][HASH_BYTES];
    struct err errs[WINDOW_LEAVES];
};

static size_t import_leaf_size(const struct import *x, size_t i)
{
    uint64_t left = x->size - x->first - (uint64_t)i * UNIXFS_LEAF_BYTES;
    return left < UNIXFS_LEAF_BYTES ? (size_t)left : UNIXFS_LEAF_BYTES;
}

static void import_leaf(void *self, size_t i)
{
    struct import *x = self;
    uint8_t *leaf = x->leaves + i * UNIXFS_LEAF_BYTES;
    size_t size = import_leaf_size(x, i);
    uint64_t offset = x->first + (uint64_t)i * UNIXFS_LEAF_BYTES;
    x->errs[i].code = 0;
    int rc = x->files->read(x->files->self, x->fd, offset, leaf, size, &x->errs[i]);
    if (rc == 0) {
        hash_sha256(bytes_of(leaf, size), x->digests[i]);
        rc = store_model_write(x->model, offset, bytes_of(leaf, size), &x->errs[i]);
    }
    x->errs[i].code = rc;
}

static int put_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return store_put(self, cid, block, err);
}

static int import_windows(struct import *x, struct jobs *jobs, struct unixfs_builder *b,
                          struct err *err)
{
    for (; x->first < x->size; x->first += (uint64_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES) {
        uint64_t leaves = (x->size - x->first + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES;
        size_t count = leaves < WINDOW_LEAVES ? (size_t)leaves : WINDOW_LEAVES;
        jobs_split(jobs, count, import_leaf, x);
        for (size_t i = 0; i < count; i++) {
            if (x->errs[i].code != 0)
                return err_set(err, x->errs[i].code, "%s", x->errs[i].text);
            int rc = unixfs_builder_add(b, x->digests[i], import_leaf_size(x, i), err);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

int store_import(struct store *s, const char *path, struct jobs *jobs, struct cid *root,
                 struct err *err)
{
    struct import x = {.files = s->files, .fd = -1};
    struct unixfs_builder *b = NULL;
    struct files_stat st;
    struct unixfs_child tree;
    static atomic_uint count;
    char name[64];
    snprintf(name, sizeof name, STORE_IMPORT_PREFIX "%d-%u", (int)getpid(),
             atomic_fetch_add(&count, 1));
    int rc = s->files->open(s->files->self, path, FILES_READ, &x.fd, err);
    if (rc != 0)
        return rc;
    rc = s->files->stat_fd(s->files->self, x.fd, &st, err);
    x.leaves = aligned_alloc(64, (size_t)WINDOW_LEAVES * UNIXFS_LEAF_BYTES);
    if (rc == 0 && x.leaves == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0 && st.is_dir)
        rc = err_set(err, ERR_USAGE, "%s is a folder; only files can be added", path);
    if (rc == 0) {
        x.size = st.size;
        rc = store_model_begin(s, name, st.size, &x.model, err);
    }
    if (rc == 0)
        rc = unixfs_builder_new(&unixfs_v1_2025, put_node, s, &b, err);
    if (rc == 0)
        rc = import_windows(&x, jobs, b, err);
    if (rc == 0)
        rc = unixfs_builder_finish(b, &tree, err);
    if (rc == 0) {
        rc = store_model_finish(x.model, &tree.cid, true, err);
        if (rc == 0) {
            x.model = NULL;
            *root = tree.cid;
        }
    }
    store_model_close(x.model, false);
    unixfs_builder_free(b);
    free(x.leaves);
    s->files->close(s->files->self, x.fd);
    return rc != 0 ? err_wrap(err, rc, "add %s", path) : 0;
}
