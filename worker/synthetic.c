/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/synthetic.h"

#include <stdlib.h>

#include "aggregate/moments.h"

/* No power of two: sums are rounded, each as its element demands, so that no two shards are alike.
 */
#define UNIT 0.001

/* One pass from the base's file to the output's. */
struct pass {
    const struct trainer_task *task;
    double amount;
    int from, to;
    void *piece; /* SYNTHETIC_PIECE_BYTES */
};

static void add_f32(float *x, size_t n, float amount)
{
    for (size_t i = 0; i < n; i++)
        x[i] += amount;
}

static void add(enum dtype dtype, void *piece, size_t size, double amount)
{
    size_t step = dtype_bytes(dtype);
    uint8_t *at = piece;
    if (dtype == DTYPE_F32) { /* the size of a benchmark */
        add_f32(piece, size / step, (float)amount);
        return;
    }
    for (size_t i = 0; i + step <= size; i += step)
        dtype_put(dtype, at + i, dtype_get(dtype, at + i) + amount);
}

static int change_tensor(struct pass *p, const struct tensor *t, struct err *err)
{
    const struct files *f = p->task->files;
    uint64_t bytes = t->elements * dtype_bytes(t->dtype);
    bool changes = t->use == USE_MEAN; /* floats all */
    for (uint64_t done = 0; done < bytes;) {
        size_t size =
            bytes - done < SYNTHETIC_PIECE_BYTES ? (size_t)(bytes - done) : SYNTHETIC_PIECE_BYTES;
        uint64_t at = p->task->data_start + t->offset + done;
        if (atomic_load(p->task->cancel))
            return err_set(err, ERR_TIMEOUT, "cancelled");
        int rc = f->read(f->self, p->from, at, p->piece, size, err);
        if (rc != 0)
            return rc;
        if (changes)
            add(t->dtype, p->piece, size, p->amount);
        rc = f->write(f->self, p->to, at, p->piece, size, err);
        if (rc != 0)
            return rc;
        done += size;
    }
    return 0;
}

static int change_model(const struct trainer_task *task, double amount, struct err *err)
{
    const struct files *f = task->files;
    struct pass p = {.task = task, .amount = amount, .from = -1, .to = -1};
    int rc = trainer_begin_output(task, &p.to, err);
    if (rc == 0)
        rc = f->open(f->self, task->base, FILES_READ, &p.from, err);
    if (rc == 0 && (p.piece = malloc(SYNTHETIC_PIECE_BYTES)) == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < task->layout->tensor_count; i++)
        rc = change_tensor(&p, &task->layout->tensors[i], err);
    free(p.piece);
    if (p.from >= 0)
        f->close(f->self, p.from);
    if (p.to >= 0)
        f->close(f->self, p.to);
    return rc;
}

/* Moments of one example whose features are all 0. */
static int give_values(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    struct moments m;
    int rc = moments_new((size_t)task->plan->features, &m, err);
    if (rc != 0)
        return rc;
    m.count = 1;
    rc = moments_encode(&m, &out->values, err);
    moments_fini(&m);
    return rc;
}

static int answer(const struct trainer_task *task, double amount, struct trainer_result *out,
                  struct err *err)
{
    out->examples = 1;
    switch (task->asks) {
    case RULE_DELTA:
        return change_model(task, amount, err);
    case RULE_VALUES:
        return give_values(task, out, err);
    case RULE_METRICS:
        return 0;
    }
    return err_set(err, ERR_UNSUPPORTED, "the rule asks for something this trainer cannot give");
}

int synthetic_run_null(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    return answer(task, UNIT * (double)(task->site + 1) * (double)task->round, out, err);
}

int synthetic_run_constant(const struct trainer_task *task, struct trainer_result *out,
                           struct err *err)
{
    return answer(task, UNIT * (double)(task->site + 1), out, err);
}
