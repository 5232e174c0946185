/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "aggregate/accumulate.h"
#include "study/combine_internal.h"
#include "study/parts.h"

#define ALIGNMENT 64
#define USES      2 /* shards of `mean` tensors, then those of `largest` ones */

/* --- windows --- */

struct windows {
    const struct combine_source *source;
    struct combine_window now;
};

static int read_leaf(void *self, size_t i, struct err *err)
{
    const struct windows *x = self;
    size_t at = i * UNIXFS_LEAF_BYTES, left = x->now.size - at;
    size_t size = left < UNIXFS_LEAF_BYTES ? left : UNIXFS_LEAF_BYTES;
    return x->source->base(x->source->self, x->now.offset + at, x->now.bytes + at, size, err);
}

int combine_stream_windows(const struct combine_source *source, const struct combine_sink *sink,
                           struct jobs *jobs,
                           int (*change)(void *self, const struct combine_window *w,
                                         struct err *err),
                           void *self, struct err *err)
{
    struct windows x = {.source = source};
    x.now.bytes = aligned_alloc(ALIGNMENT, COMBINE_WINDOW_BYTES);
    if (x.now.bytes == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    while (rc == 0 && x.now.offset < source->file_bytes) {
        uint64_t left = source->file_bytes - x.now.offset;
        x.now.size = left < COMBINE_WINDOW_BYTES ? (size_t)left : COMBINE_WINDOW_BYTES;
        size_t leaves = (x.now.size + UNIXFS_LEAF_BYTES - 1) / UNIXFS_LEAF_BYTES;
        rc = parts_run(jobs, leaves, read_leaf, &x, err);
        if (rc == 0)
            rc = change(self, &x.now, err);
        if (rc == 0)
            rc = sink->window(sink->self, x.now.offset, bytes_of(x.now.bytes, x.now.size), err);
        x.now.offset += x.now.size;
    }
    free(x.now.bytes);
    return rc;
}

/* --- a window's shards --- */

/* What a thread works with on one shard; made at first use and kept. */
struct slot {
    double *acc;
    uint8_t *delta;
    bool busy;
};

struct stream {
    const struct combine_sum *sum;
    const struct layout *layout; /* the sum's */
    uint64_t total;              /* of its weights */
    const struct combine_source *source;
    struct jobs *jobs;
    const struct combine_window *window;
    struct combine_range ranges[USES]; /* that touch the window */
    size_t ends[USES];                 /* past the last shard of each use */
    /* the server optimiser: `mean` elements are counted through the model, in the file's order */
    uint64_t range_rank;  /* of the first element of the first shard in ranges[0] */
    uint64_t window_rank; /* of the window's first */
    float *m, *v;         /* the state of the window's elements; NULL where there is none */
    struct combine_found found;
    pthread_mutex_t mutex; /* slots, bad_shard */
    size_t bad_shard;      /* the first one with a result that is not finite; SIZE_MAX */
    size_t slot_count;
    struct slot *slots;
};

static struct slot *take_slot(struct stream *x, struct err *err)
{
    struct slot *slot = NULL;
    pthread_mutex_lock(&x->mutex);
    for (size_t i = 0; slot == NULL && i < x->slot_count; i++)
        if (!x->slots[i].busy)
            slot = &x->slots[i];
    if (slot != NULL)
        slot->busy = true;
    pthread_mutex_unlock(&x->mutex);
    if (slot != NULL && slot->acc == NULL)
        slot->acc = malloc(LAYOUT_SHARD_ELEMENTS * sizeof *slot->acc);
    if (slot != NULL && slot->delta == NULL)
        slot->delta = malloc(LAYOUT_SHARD_ELEMENTS * sizeof(double));
    if (slot != NULL && slot->acc != NULL && slot->delta != NULL)
        return slot;
    err_set(err, ERR_NOMEM, "out of memory");
    return NULL;
}

static void give_slot(struct stream *x, struct slot *slot)
{
    pthread_mutex_lock(&x->mutex);
    slot->busy = false;
    pthread_mutex_unlock(&x->mutex);
}

/* A run of a shard's elements inside the window. */
struct run {
    uint32_t at;        /* its first element's place in the shard */
    struct shard shard; /* the shard, cut to the run */
    uint8_t *bytes;     /* in the window */
};

/* The run of `n` elements of a shard, as a shard. */
static struct shard cut(const struct shard *shard, uint32_t n)
{
    struct shard out = *shard;
    out.bytes = n * (shard->bytes / shard->elements);
    out.elements = n;
    return out;
}

/* The shard's next piece that has elements in the window, cut to it. */
static bool next_run(const struct stream *x, size_t shard, uint64_t *cursor, struct run *out)
{
    const struct combine_window *w = x->window;
    const struct shard *s = &x->layout->shards[shard];
    size_t size = dtype_bytes(s->dtype);
    for (struct piece p; layout_next_piece(x->layout, shard, cursor, &p);) {
        uint64_t start = x->source->data_start + p.offset, end = start + p.elements * size;
        uint64_t from = start > w->offset ? start : w->offset;
        uint64_t to = end < w->offset + w->size ? end : w->offset + w->size;
        if (from >= to)
            continue;
        out->at = p.at + (uint32_t)((from - start) / size);
        out->shard = cut(s, (uint32_t)((to - from) / size));
        out->bytes = w->bytes + (from - w->offset);
        return true;
    }
    return false;
}

/* A shard that is null stands for a delta of zero, which adds nothing to a sum that began with +0,
 * and in a `largest` shard for the base's values. */
static void add_null(const struct stream *x, size_t shard, uint32_t first, double *acc,
                     uint32_t weight)
{
    uint64_t cursor = 0;
    if (x->layout->shards[shard].use == USE_MEAN)
        return;
    for (struct run r; next_run(x, shard, &cursor, &r);)
        x->sum->rule->add(&r.shard, acc + (r.at - first), r.bytes, weight);
}

/* All updates' elements first .. first + n - 1 of the shard into the slot's accumulator. */
static int add_updates(const struct stream *x, size_t shard, uint32_t first, uint32_t n,
                       struct slot *slot, struct err *err)
{
    const struct shard *s = &x->layout->shards[shard];
    struct shard part = cut(s, n);
    size_t skipped = (size_t)first * (s->bytes / s->elements);
    memset(slot->acc, 0, n * sizeof *slot->acc);
    for (size_t i = 0; i < x->sum->count; i++) {
        bool null = false;
        int rc = x->source->shard(x->source->self, i, shard, slot->delta, s->bytes, &null, err);
        if (rc != 0)
            return rc;
        if (null)
            add_null(x, shard, first, slot->acc, x->sum->weights[i]);
        else
            x->sum->rule->add(&part, slot->acc, slot->delta + skipped, x->sum->weights[i]);
    }
    return 0;
}

static uint64_t rank_of(const struct stream *x, size_t shard)
{
    uint64_t rank = x->range_rank;
    for (size_t i = x->ranges[0].first; i < shard; i++)
        rank += x->layout->shards[i].elements;
    return rank;
}

/* The run's sum onto the base. */
static void finish_run(struct stream *x, size_t shard, const struct run *r, const double *acc)
{
    const struct combine_sum *sum = x->sum;
    struct rule_state state = {.step = sum->step};
    bool steps = sum->step != NULL && r->shard.use == USE_MEAN;
    if (steps && x->m != NULL) {
        size_t at = (size_t)(rank_of(x, shard) + r->at - x->window_rank);
        state.m = x->m + at;
        state.v = x->v == NULL ? NULL : x->v + at;
    }
    if (sum->rule->finish(&r->shard, r->bytes, acc, x->total, steps ? &state : NULL, r->bytes))
        return;
    pthread_mutex_lock(&x->mutex);
    x->bad_shard = shard < x->bad_shard ? shard : x->bad_shard;
    pthread_mutex_unlock(&x->mutex);
}

static size_t shard_of_part(const struct stream *x, size_t i)
{
    size_t mean = x->ranges[0].count;
    return i < mean ? x->ranges[0].first + i : x->ranges[1].first + (i - mean);
}

static int combine_shard(void *self, size_t i, struct err *err)
{
    struct stream *x = self;
    size_t shard = shard_of_part(x, i);
    uint32_t first = UINT32_MAX, end = 0;
    uint64_t cursor = 0;
    struct run r;
    /* Pieces stand in the order of the file: what the window holds of a shard is one run of it. */
    while (next_run(x, shard, &cursor, &r)) {
        first = r.at < first ? r.at : first;
        end = r.at + r.shard.elements;
    }
    if (end == 0)
        return 0; /* the window lies between two of its pieces */
    struct slot *slot = take_slot(x, err);
    if (slot == NULL)
        return ERR_NOMEM;
    int rc = add_updates(x, shard, first, end - first, slot, err);
    cursor = 0;
    while (rc == 0 && next_run(x, shard, &cursor, &r))
        finish_run(x, shard, &r, slot->acc + (r.at - first));
    give_slot(x, slot);
    return rc;
}

/* Where the shard begins and ends in the file. */
static void span(const struct stream *x, size_t shard, uint64_t *start, uint64_t *end)
{
    size_t size = dtype_bytes(x->layout->shards[shard].dtype);
    uint64_t cursor = 0;
    *start = UINT64_MAX;
    for (struct piece p; layout_next_piece(x->layout, shard, &cursor, &p);) {
        if (*start == UINT64_MAX)
            *start = x->source->data_start + p.offset;
        *end = x->source->data_start + p.offset + p.elements * size;
    }
}

/* From the window before: leaves behind the shards that end before this one, takes those that begin
 * in it. Shards of one use lie in the file in their order. */
static void move_range(struct stream *x, size_t use, struct combine_range *r)
{
    const struct combine_window *w = x->window;
    uint64_t start, end = 0;
    while (r->count > 0) {
        span(x, r->first, &start, &end);
        if (end > w->offset)
            break;
        if (use == 0)
            x->range_rank += x->layout->shards[r->first].elements;
        r->first++;
        r->count--;
    }
    while (r->first + r->count < x->ends[use]) {
        span(x, r->first + r->count, &start, &end);
        if (start >= w->offset + w->size)
            break;
        r->count++;
    }
}

/* How many `mean` elements lie in the window. */
static uint64_t count_mean(const struct stream *x)
{
    uint64_t n = 0;
    for (size_t i = 0; i < x->ranges[0].count; i++) {
        uint64_t cursor = 0;
        for (struct run r; next_run(x, x->ranges[0].first + i, &cursor, &r);)
            n += r.shard.elements;
    }
    return n;
}

/* --- whose fault --- */

static const struct tensor *tensor_at(const struct layout *l, const struct shard *s, uint32_t i)
{
    const struct tensor *t = &l->tensors[s->tensor];
    for (uint64_t at = s->element + i; t->use != s->use || at >= t->elements; t++)
        if (t->use == s->use)
            at -= t->elements;
    return t;
}

/* The largest |delta| of an update, infinite where its product with the weight is. */
static double largest_delta(const struct shard *s, const void *delta, uint32_t weight, uint32_t *at)
{
    double largest = 0;
    for (uint32_t i = 0; i < s->elements; i++) {
        enum dtype stored = s->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
        double d = fabs(dtype_get(stored, (const uint8_t *)delta + i * dtype_bytes(stored)));
        d = isfinite(d * weight) ? d : INFINITY;
        if (d > largest) {
            largest = d;
            *at = i;
        }
    }
    return largest;
}

/* Looks at the first shard with a result that is not finite again, while its window is here. */
static int find_suspect(struct stream *x, struct err *err)
{
    const struct shard *s = &x->layout->shards[x->bad_shard];
    double largest = 0;
    struct slot *slot = take_slot(x, err);
    int rc = slot == NULL ? ERR_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < x->sum->count; i++) {
        bool null = false;
        uint32_t at = 0;
        rc = x->source->shard(x->source->self, i, x->bad_shard, slot->delta, s->bytes, &null, err);
        double d = rc == 0 && !null ? largest_delta(s, slot->delta, x->sum->weights[i], &at) : 0;
        if (d > largest) {
            largest = d;
            x->found.suspect = i;
            x->found.tensor = tensor_at(x->layout, s, at);
        }
    }
    if (slot != NULL)
        give_slot(x, slot);
    x->found.finite = false;
    return rc;
}

static int combine_window(void *self, const struct combine_window *w, struct err *err)
{
    struct stream *x = self;
    x->window = w;
    for (size_t use = 0; use < USES; use++)
        move_range(x, use, &x->ranges[use]);
    uint64_t mean = count_mean(x);
    int rc = x->source->expect == NULL ? 0 : x->source->expect(x->source->self, x->ranges, err);
    if (rc == 0 && x->sum->state != NULL)
        rc = state_next(x->sum->state, mean, &x->m, &x->v, err);
    size_t parts = x->ranges[0].count + x->ranges[1].count;
    if (rc == 0)
        rc = parts_run(x->jobs, parts, combine_shard, x, err);
    if (rc == 0 && x->bad_shard != SIZE_MAX && x->found.finite)
        rc = find_suspect(x, err);
    x->window_rank += mean;
    return rc;
}

/* --- the whole --- */

static int check(struct stream *x, struct err *err)
{
    const struct combine_source *s = x->source;
    if (x->sum->count == 0)
        return err_set(err, ERR_MALFORMED, "no updates to combine");
    for (size_t i = 0; i < x->sum->count; i++) {
        if (x->sum->weights[i] == 0 || x->sum->weights[i] > ACCUMULATE_WEIGHT_MAX)
            return err_set(err, ERR_MALFORMED, "update %zu has weight %u, not 1 to %u", i,
                           x->sum->weights[i], ACCUMULATE_WEIGHT_MAX);
        x->total += x->sum->weights[i];
    }
    if (s->data_start % ALIGNMENT != 0 || s->file_bytes < s->data_start ||
        s->file_bytes - s->data_start != x->layout->data_bytes)
        return err_set(err, ERR_MALFORMED, "the base is not a model of this layout");
    return 0;
}

int combine_stream(const struct combine_sum *sum, const struct combine_source *source,
                   const struct combine_sink *sink, struct jobs *jobs, struct combine_found *out,
                   struct err *err)
{
    const struct layout *layout = sum->layout;
    struct stream x = {.sum = sum,
                       .layout = layout,
                       .source = source,
                       .jobs = jobs,
                       .found = {.finite = true, .suspect = SIZE_MAX},
                       .bad_shard = SIZE_MAX,
                       .mutex = PTHREAD_MUTEX_INITIALIZER};
    int rc = check(&x, err);
    if (rc != 0)
        return rc;
    while (x.ends[0] < layout->shard_count && layout->shards[x.ends[0]].use == USE_MEAN)
        x.ends[0]++;
    x.ends[1] = layout->shard_count;
    x.ranges[1].first = x.ends[0];
    x.slot_count = 1 + (jobs == NULL ? 0 : jobs_thread_count(jobs)); /* the caller works along */
    x.slots = calloc(x.slot_count, sizeof *x.slots);
    rc = x.slots == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                         : combine_stream_windows(source, sink, jobs, combine_window, &x, err);
    for (size_t i = 0; x.slots != NULL && i < x.slot_count; i++) {
        free(x.slots[i].acc);
        free(x.slots[i].delta);
    }
    free(x.slots);
    pthread_mutex_destroy(&x.mutex);
    if (rc == 0)
        *out = x.found;
    return rc;
}
