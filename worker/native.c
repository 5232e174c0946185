/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/native.h"

#include <stdlib.h>

#include "aggregate/moments.h"
#include "model/dataset.h"
#include "model/network.h"

static int load_data(const struct trainer_task *t, struct dataset *out, struct err *err)
{
    const struct plan *p = t->plan;
    if (t->data[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "it needs this site's data: set data = \"/path/to/table.csv\" in the "
                       "folder's config.toml");
    struct dataset d = {.rows = 0};
    int rc = dataset_load(t->data, p->target, (uint32_t)p->classes, &d, err);
    if (rc != 0)
        return rc;
    if (d.features != p->features) {
        rc = err_set(err, ERR_USAGE, "%s has %zu features; the plan asks for %llu features",
                     t->data, d.features, (unsigned long long)p->features);
        dataset_fini(&d);
        return rc;
    }
    *out = d;
    return 0;
}

/* The base's data section; the caller frees. */
static int load_base(const struct trainer_task *t, void **out, struct err *err)
{
    const struct files *f = t->files;
    uint64_t bytes = t->layout->data_bytes;
    int fd;
    if (bytes > NETWORK_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a model of %llu bytes is too large to train in memory",
                       (unsigned long long)bytes);
    int rc = f->open(f->self, t->base, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    void *data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (data == NULL)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    else
        rc = f->read(f->self, fd, t->data_start, data, (size_t)bytes, err);
    f->close(f->self, fd);
    if (rc != 0) {
        free(data);
        return rc;
    }
    *out = data;
    return 0;
}

static int save_model(const struct trainer_task *t, const void *data, struct err *err)
{
    const struct files *f = t->files;
    int fd;
    int rc = trainer_begin_output(t, &fd, err);
    if (rc != 0)
        return rc;
    rc = f->write(f->self, fd, t->data_start, data, (size_t)t->layout->data_bytes, err);
    f->close(f->self, fd);
    return rc;
}

static int give_moments(const struct dataset *d, struct buf *out, struct err *err)
{
    struct moments m;
    int rc = moments_new(d->features, &m, err);
    if (rc != 0)
        return rc;
    m.count = d->rows;
    dataset_moments(d, m.sum, m.squares);
    rc = moments_encode(&m, out, err);
    moments_fini(&m);
    return rc;
}

/* Evaluates the base on the data, and trains from it if that is asked. */
static int run_network(const struct trainer_task *t, const struct network *n,
                       const struct dataset *d, struct trainer_result *out, struct err *err)
{
    const struct plan *p = t->plan;
    const struct network_options options = {.epochs = p->epochs,
                                            .steps = p->steps,
                                            .batch = p->batch,
                                            .learning_rate = p->learning_rate,
                                            .momentum = p->momentum,
                                            .weight_decay = p->weight_decay,
                                            .proximal = p->proximal,
                                            .cancel = t->cancel};
    struct network_metrics metrics;
    void *model = NULL;
    int rc = load_base(t, &model, err);
    if (rc == 0)
        rc = network_evaluate(n, t->layout, model, d, &metrics, err);
    if (rc == 0) {
        trainer_add_metric(out, "loss", metrics.loss);
        trainer_add_metric(out, "accuracy", metrics.accuracy);
        if (t->asks == RULE_METRICS)
            trainer_add_metric(out, "correct", (double)metrics.correct);
    }
    if (rc == 0 && t->asks == RULE_DELTA) {
        rc = network_train(n, t->layout, model, d, &options, t->seed, err);
        if (rc == 0)
            rc = save_model(t, model, err);
    }
    free(model);
    return rc;
}

int native_run(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    struct network network = {.features = 0};
    struct dataset d;
    if (task->asks != RULE_VALUES && !plan_network(task->plan, &network))
        return err_set(err, ERR_UNSUPPORTED, "it cannot train the architecture \"%s\"",
                       task->plan->architecture);
    int rc = load_data(task, &d, err);
    if (rc != 0)
        return rc;
    out->examples = d.rows;
    rc = task->asks == RULE_VALUES ? give_moments(&d, &out->values, err)
                                   : run_network(task, &network, &d, out, err);
    dataset_fini(&d);
    return rc;
}
