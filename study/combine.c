/* SPDX-License-Identifier: Apache-2.0 */
#include "study/combine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "aggregate/moments.h"
#include "base/fault.h"
#include "study/combine_internal.h"
#include "study/leaves.h"
#include "study/parts.h"
#include "study/update_index.h"

#define MEAN_TENSOR      "input.mean"
#define DEVIATION_TENSOR "input.deviation"

struct making {
    const struct combine *c;
    uint64_t data_start;
    /* the base: a reader for each leaf of a window, so that no two threads share one */
    struct leaves base;
    struct leaves_reader readers[COMBINE_WINDOW_LEAVES];
    /* the updates: what an index must say, and the names of the shards that the window needs */
    struct update_index expected;
    struct combine_range ranges[2];
    struct cid *names; /* (updates, shards of both ranges) */
    size_t names_capacity;
    /* the first block, in the order of the shards, that is to blame for a failure */
    pthread_mutex_t mutex;
    size_t damaged_shard, damaged_update;
    struct cid damaged;
    /* the server optimiser */
    struct optimiser_step step;
    struct state *state; /* NULL: it has none */
    /* the next model */
    struct store_model *model; /* NULL when dry */
    struct unixfs_builder *builder;
    uint64_t window_offset;
    struct bytes window;
    uint8_t digests[COMBINE_WINDOW_LEAVES][HASH_BYTES];
};

/* --- the updates --- */

/* A block of a counted update that is not here any more is damage like one that does not hash.
 * Without memory, or when the disk itself fails, no block is to blame. */
static int blame(struct making *m, size_t shard, size_t update, const struct cid *cid, int rc,
                 struct err *err)
{
    if (rc != ERR_NOMEM && rc != ERR_IO) {
        pthread_mutex_lock(&m->mutex);
        if (cid_is_none(&m->damaged) || shard < m->damaged_shard) {
            m->damaged_shard = shard;
            m->damaged_update = update;
            m->damaged = *cid;
        }
        pthread_mutex_unlock(&m->mutex);
    }
    return err_wrap(err, rc == ERR_NOTFOUND ? ERR_CORRUPT : rc, "update of %s",
                    m->c->updates[update].site_name);
}

/* An update's blocks, and which was asked for last. */
struct answer {
    struct pack *pack;
    struct cid last;
};

static int get_block(void *self, const struct cid *cid, struct buf *out, struct err *err)
{
    struct answer *a = self;
    a->last = *cid;
    return pack_get(a->pack, cid, out, err);
}

static int read_names(struct making *m, size_t update, struct cid *out, struct err *err)
{
    const struct combine_update *u = &m->c->updates[update];
    struct answer answer = {.pack = u->pack};
    struct update_index_source source = {.self = &answer, .get = get_block};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        const struct combine_range *r = &m->ranges[i];
        if (r->count > 0)
            rc = update_index_read_range(&source, &u->answer, &m->expected, r->first, r->count, out,
                                         err);
        if (rc != 0)
            return blame(m, r->first, update, &answer.last, rc, err);
        out += r->count;
    }
    return rc;
}

static int expect(void *self, const struct combine_range ranges[2], struct err *err)
{
    struct making *m = self;
    size_t width = ranges[0].count + ranges[1].count, need = width * m->c->update_count;
    memcpy(m->ranges, ranges, sizeof m->ranges);
    if (need > m->names_capacity) {
        free(m->names);
        m->names_capacity = 0;
        m->names = calloc(need, sizeof *m->names);
        if (m->names == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        m->names_capacity = need;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->c->update_count && width > 0; i++)
        rc = read_names(m, i, m->names + i * width, err);
    return rc;
}

static int read_shard(void *self, size_t update, size_t shard, void *data, size_t size, bool *null,
                      struct err *err)
{
    struct making *m = self;
    const struct combine_range *mean = &m->ranges[0], *largest = &m->ranges[1];
    bool in_mean = shard >= mean->first && shard - mean->first < mean->count;
    size_t at = in_mean ? shard - mean->first : mean->count + (shard - largest->first);
    const struct cid *name = &m->names[update * (mean->count + largest->count) + at];
    *null = cid_is_none(name);
    int rc = *null ? 0 : pack_get_into(m->c->updates[update].pack, name, data, size, err);
    if (rc == 0)
        return 0;
    rc = err_wrap(err, rc, "shard %zu", shard);
    return blame(m, shard, update, name, rc, err);
}

/* --- base and next --- */

static int read_base(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    struct making *m = self;
    size_t leaf = (size_t)(offset / UNIXFS_LEAF_BYTES);
    int rc = leaves_read(&m->readers[leaf % COMBINE_WINDOW_LEAVES], offset, data, size, err);
    return rc != 0 ? err_wrap(err, rc, "base") : 0;
}

static size_t window_leaf(const struct making *m, size_t i)
{
    size_t left = m->window.size - i * UNIXFS_LEAF_BYTES;
    return left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES;
}

static int write_leaf(void *self, size_t i, struct err *err)
{
    struct making *m = self;
    size_t at = i * UNIXFS_LEAF_BYTES;
    struct bytes leaf = bytes_of(m->window.data + at, window_leaf(m, i));
    hash_sha256(leaf, m->digests[i]);
    return m->model == NULL ? 0 : store_model_write(m->model, m->window_offset + at, leaf, err);
}

static int write_window(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    struct making *m = self;
    FAULT_POINT("combine-window");
    m->window_offset = offset;
    m->window = data;
    size_t leaves = (data.size + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES;
    int rc = parts_run(m->c->jobs, leaves, write_leaf, m, err);
    for (size_t i = 0; rc == 0 && i < leaves; i++)
        rc = unixfs_builder_add(m->builder, m->digests[i], window_leaf(m, i), err);
    if (m->c->progress != NULL)
        progress_count_set(m->c->progress, offset + data.size, m->base.file_bytes);
    return rc != 0 ? err_wrap(err, rc, "next model") : 0;
}

static int put_node(void *self, const struct cid *cid, struct bytes block, struct err *err)
{
    return store_put(self, cid, block, err);
}

static struct combine_source source_of(struct making *m)
{
    return (struct combine_source){.self = m,
                                   .base = read_base,
                                   .shard = read_shard,
                                   .expect = expect,
                                   .file_bytes = m->base.file_bytes,
                                   .data_start = m->data_start};
}

/* --- rules on shards --- */

static bool has_optimiser(const struct combine *c)
{
    return c->rule->trains && c->study->plan.optimiser.kind != OPTIMISER_NONE;
}

static int sum_shards(struct making *m, struct combine_found *found, struct err *err)
{
    const struct combine *c = m->c;
    const struct study *study = c->study;
    struct combine_source source = source_of(m);
    struct combine_sink sink = {.self = m, .window = write_window};
    uint32_t *weights = calloc(c->update_count, sizeof *weights);
    if (weights == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->update_count; i++)
        weights[i] = c->updates[i].weight;
    m->expected.layout = study->plan.layout;
    m->expected.count = study->layout->shard_count;
    memcpy(m->expected.codec, study->plan.codec, sizeof m->expected.codec);
    struct combine_sum sum = {.layout = study->layout,
                              .rule = c->rule,
                              .weights = weights,
                              .count = c->update_count,
                              .step = has_optimiser(c) ? &m->step : NULL,
                              .state = m->state};
    int rc = combine_stream(&sum, &source, &sink, c->jobs, found, err);
    free(weights);
    return rc;
}

/* --- the rule `moments` --- */

/* A tensor's new values. */
struct patch {
    uint64_t offset; /* in the file */
    float *values;   /* (features) */
};

struct patches {
    size_t features;
    struct patch mean, deviation;
};

static int find_tensor(const struct making *m, const char *name, size_t features, struct patch *out,
                       struct err *err)
{
    const struct tensor *t = layout_find(m->c->study->layout, name);
    if (t == NULL || t->dtype != DTYPE_F32 || t->use != USE_FIXED || t->elements != features)
        return err_set(err, ERR_UNSUPPORTED,
                       "rule moments needs a fixed tensor %s of %zu F32 values in the layout", name,
                       features);
    out->offset = m->data_start + t->offset;
    return 0;
}

static void patch_window(const struct patch *p, size_t features, const struct combine_window *w)
{
    uint64_t end = p->offset + features * sizeof *p->values;
    uint64_t from = p->offset > w->offset ? p->offset : w->offset;
    uint64_t to = end < w->offset + w->size ? end : w->offset + w->size;
    if (from < to)
        memcpy(w->bytes + (from - w->offset), (const uint8_t *)p->values + (from - p->offset),
               (size_t)(to - from));
}

static int set_moments(void *self, const struct combine_window *w, struct err *err)
{
    const struct patches *p = self;
    (void)err;
    patch_window(&p->mean, p->features, w);
    patch_window(&p->deviation, p->features, w);
    return 0;
}

/* All sites' values, in the order given. */
static int add_moments(struct making *m, struct moments *total, struct err *err)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->c->update_count; i++) {
        const struct combine_update *u = &m->c->updates[i];
        struct moments site = {0};
        rc = pack_get(u->pack, &u->answer, &block, err);
        if (rc == 0)
            rc = moments_decode(buf_bytes(&block), total->features, &site, err);
        if (rc == 0)
            moments_add(total, &site);
        else
            rc = blame(m, 0, i, &u->answer, rc, err);
        moments_fini(&site);
    }
    buf_fini(&block);
    return rc;
}

static int make_moments(struct making *m, bool *finite, struct err *err)
{
    struct moments total = {0};
    struct patches p = {.features = (size_t)m->c->study->plan.features};
    struct combine_source source = source_of(m);
    struct combine_sink sink = {.self = m, .window = write_window};
    int rc = moments_new(p.features, &total, err);
    if (rc != 0)
        return rc;
    p.mean.values = calloc(p.features, sizeof(float));
    p.deviation.values = calloc(p.features, sizeof(float));
    if (p.mean.values == NULL || p.deviation.values == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = find_tensor(m, MEAN_TENSOR, p.features, &p.mean, err);
    if (rc == 0)
        rc = find_tensor(m, DEVIATION_TENSOR, p.features, &p.deviation, err);
    if (rc == 0)
        rc = add_moments(m, &total, err);
    if (rc == 0) {
        *finite = moments_finish(&total, p.mean.values, p.deviation.values);
        if (*finite)
            rc = combine_stream_windows(&source, &sink, m->c->jobs, set_moments, &p, err);
    }
    free(p.mean.values);
    free(p.deviation.values);
    moments_fini(&total);
    return rc;
}

/* --- the round --- */

/* A rule that trains steps by the plan's optimiser, which may have a state. */
static int begin_state(struct making *m, struct err *err)
{
    const struct combine *c = m->c;
    const struct optimiser_setting *optimiser = &c->study->plan.optimiser;
    char part[64];
    if (!has_optimiser(c))
        return 0;
    m->step = optimiser_step(optimiser, c->t);
    snprintf(part, sizeof part, "%s-state", c->part);
    struct state_setting setting = {.store = c->store,
                                    .layout = c->study->layout,
                                    .slots = optimiser_slots(optimiser->kind),
                                    .base = c->state,
                                    .part = c->dry ? NULL : part,
                                    .jobs = c->jobs};
    return setting.slots == 0 ? 0 : state_open(&setting, &m->state, err);
}

static int begin(struct making *m, struct err *err)
{
    const struct combine *c = m->c;
    int rc = study_check_model(c->store, c->study->layout, &c->base, &m->data_start, err);
    if (rc == 0)
        rc = leaves_load(c->store, &c->base, &m->base, err);
    if (rc != 0)
        return err_wrap(err, rc, "base");
    rc = begin_state(m, err);
    if (rc == 0)
        rc = unixfs_builder_new(&unixfs_v1_2025, c->dry ? NULL : put_node, c->store, &m->builder,
                                err);
    if (rc == 0 && !c->dry)
        rc = store_model_begin(c->store, c->part, m->base.file_bytes, &m->model, err);
    return rc;
}

static int finish(struct making *m, struct combine_result *out, struct err *err)
{
    struct unixfs_child next;
    struct cid state = out->state;
    int rc = unixfs_builder_finish(m->builder, &next, err);
    FAULT_POINT("combine-before-finish");
    if (rc == 0 && m->model != NULL) {
        rc = store_model_finish(m->model, &next.cid, true, err);
        if (rc == 0)
            m->model = NULL;
    }
    if (rc == 0 && m->state != NULL)
        rc = state_finish(m->state, &state, err);
    if (rc == 0) {
        out->next = next.cid;
        out->state = state;
    }
    return rc;
}

static int make_next(struct making *m, struct combine_result *out, struct err *err)
{
    struct combine_found found = {.finite = false, .suspect = SIZE_MAX};
    for (size_t i = 0; i < COMBINE_WINDOW_LEAVES; i++)
        leaves_reader_init(&m->readers[i], &m->base);
    int rc = begin(m, err);
    if (rc == 0 && m->c->rule->add != NULL)
        rc = sum_shards(m, &found, err);
    else if (rc == 0)
        rc = make_moments(m, &found.finite, err);
    if (rc == 0 && found.finite) {
        rc = finish(m, out, err);
    } else if (rc == 0) {
        snprintf(out->failure, sizeof out->failure, "not-finite");
        out->suspect = found.suspect;
        out->suspect_tensor = found.tensor;
    }
    state_free(m->state);
    store_model_close(m->model, false);
    unixfs_builder_free(m->builder);
    for (size_t i = 0; i < COMBINE_WINDOW_LEAVES; i++)
        leaves_reader_fini(&m->readers[i]);
    leaves_fini(&m->base);
    free(m->names);
    return rc;
}

int combine_round(const struct combine *c, struct combine_result *out, struct err *err)
{
    struct combine_result r = {.next = c->base, .state = c->state, .suspect = SIZE_MAX};
    struct making m = {.c = c, .mutex = PTHREAD_MUTEX_INITIALIZER};
    int rc = 0;
    if (c->update_count == 0)
        snprintf(r.failure, sizeof r.failure, "no-quorum");
    else if (c->rule->asks[0] != RULE_METRICS)
        rc = make_next(&m, &r, err);
    pthread_mutex_destroy(&m.mutex);
    if (rc != 0) {
        out->damaged_update = m.damaged_update;
        out->damaged = m.damaged;
        return err_wrap(err, rc, "combine");
    }
    *out = r;
    return 0;
}
