/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch.h"

#include "transport/fetch_file.h"
#include "transport/fetch_window.h"

void fetch_begin_session(struct fetch *f)
{
    memset(f->health, 0, sizeof f->health);
}

/* --- one block --- */

static int deliver_bytes(void *self, const struct fetch_want *want, struct bytes block,
                         struct err *err)
{
    struct buf *out = self;
    (void)want;
    buf_clear(out);
    buf_append(out, block.data, block.size);
    return buf_check(out, err);
}

int fetch_bytes(struct fetch *f, const struct cid *cid, struct buf *out, struct err *err)
{
    struct fetch_window *w = NULL;
    struct fetch_want want = {.cid = *cid};
    int rc = fetch_window_new(f, deliver_bytes, out, &w, err);
    if (rc == 0)
        rc = fetch_window_ask(w, &want, err);
    if (rc == 0)
        rc = fetch_window_wait(w, err);
    fetch_window_free(w);
    return rc;
}

static int get_or_fetch(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                        struct err *err)
{
    int rc = store_get(s, cid, out, err);
    if (rc != ERR_NOTFOUND && rc != ERR_CORRUPT)
        return rc;
    rc = fetch_bytes(f, cid, out, err);
    return rc != 0 ? rc : store_put(s, cid, buf_bytes(out), err);
}

int fetch_block(struct fetch *f, struct store *s, const struct cid *cid, struct buf *out,
                struct err *err)
{
    char text[CID_TEXT_MAX];
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    int rc = get_or_fetch(f, s, cid, &block, err);
    if (rc == 0 && out != NULL) {
        buf_clear(out);
        buf_append(out, block.data, block.size);
        rc = buf_check(out, err);
    }
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "fetch block %s", cid_format(cid, text)) : 0;
}

/* --- a store that fetches --- */

static int get_from_anywhere(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct fetch_source *s = self;
    int rc = store_get(s->store, cid, out, NULL);
    if (rc == 0)
        return 0;
    pthread_mutex_lock(&s->mutex);
    rc = get_or_fetch(s->fetch, s->store, cid, out, err);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

struct block_source fetch_source(struct fetch_source *s)
{
    return (struct block_source){.self = s, .get = get_from_anywhere};
}

/* --- a model --- */

struct model {
    struct store *store;
    const struct cid *root;
    struct store_model *part;
    void (*progress)(void *self, uint64_t have, uint64_t all);
    void *self;
};

static int begin_model(void *self, uint64_t bytes, struct err *err)
{
    struct model *m = self;
    char text[CID_TEXT_MAX];
    return store_model_begin(m->store, cid_format(m->root, text), bytes, &m->part, err);
}

static int read_model(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    struct model *m = self;
    return store_model_read(m->part, offset, data, size, err);
}

static int write_model(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct model *m = self;
    return store_model_write(m->part, offset, data, err);
}

static void tell_progress(void *self, uint64_t have, uint64_t all)
{
    struct model *m = self;
    if (m->progress != NULL)
        m->progress(m->self, have, all);
}

int fetch_model(struct fetch *f, struct store *s, const struct cid *root, uint64_t max_bytes,
                void (*progress)(void *self, uint64_t have, uint64_t all), void *self,
                struct err *err)
{
    char text[CID_TEXT_MAX];
    struct model m = {.store = s, .root = root, .progress = progress, .self = self};
    struct fetch_file to = {.store = s,
                            .bytes_max = max_bytes,
                            .self = &m,
                            .begin = begin_model,
                            .read = read_model,
                            .write = write_model,
                            .progress = tell_progress};
    if (store_model_has(s, root))
        return 0;
    int rc = fetch_file(f, &to, root, err);
    if (rc == 0)
        rc = store_model_finish(m.part, root, false, err);
    if (rc != 0)
        store_model_close(m.part, true);
    return rc != 0 ? err_wrap(err, rc, "fetch model %s", cid_format(root, text)) : 0;
}
