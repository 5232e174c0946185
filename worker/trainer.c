/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/trainer.h"

#include <assert.h>
#include <stdio.h>

#include "base/hash.h"
#include "model/safetensors.h"
#include "worker/native.h"
#include "worker/program.h"
#include "worker/synthetic.h"

#define VALUES_BYTES_MAX (1u << 20)

static const struct trainer table[] = {
    {"native", native_run},
    {"program", program_run},
    {"null", synthetic_run_null},
    {"constant", synthetic_run_constant},
};

const struct trainer *trainer_at(size_t i)
{
    return i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

int trainer_find(const char *name, const struct trainer **out, struct err *err)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0) {
            *out = &table[i];
            return 0;
        }
    return err_set(err, ERR_UNSUPPORTED,
                   "the plan's trainer \"%s\" is not one of this program; a newer version may have "
                   "it",
                   name);
}

int trainer_run(const struct trainer_task *task, struct trainer_result *out, struct err *err)
{
    const struct trainer *t = NULL;
    int rc = trainer_find(task->plan->trainer, &t, err);
    if (rc != 0)
        return rc;
    *out = (struct trainer_result){.values = buf_new(VALUES_BYTES_MAX)};
    trainer_digest(t->name, out->digest);
    rc = t->run(task, out, err);
    if (rc == 0)
        rc = buf_check(&out->values, err);
    if (rc != 0) {
        trainer_result_fini(out);
        if (task->asks == RULE_DELTA)
            (void)task->files->unlink(task->files->self, task->output, NULL);
        return err_wrap(err, rc, "trainer %s", t->name);
    }
    return 0;
}

void trainer_result_fini(struct trainer_result *r)
{
    buf_fini(&r->values);
}

void trainer_digest(const char *name, uint8_t out[HASH_BYTES])
{
    char text[64];
    int size = snprintf(text, sizeof text, "colmeia-native-1 %s", name);
    assert(size > 0 && (size_t)size < sizeof text);
    hash_sha256(bytes_of(text, (size_t)size), out);
}

void trainer_add_metric(struct trainer_result *r, const char *name, double value)
{
    assert(r->metric_count < UPDATE_METRICS_MAX);
    struct update_metric *m = &r->metrics[r->metric_count++];
    snprintf(m->name, sizeof m->name, "%s", name);
    m->value = value;
}

static int copy_header(const struct trainer_task *t, int to, struct err *err)
{
    const struct files *f = t->files;
    struct buf header = buf_new(SAFETENSORS_HEADER_MAX);
    int from = -1;
    int rc = f->open(f->self, t->base, FILES_READ, &from, err);
    if (rc == 0 && buf_extend(&header, t->data_start) == NULL)
        rc = buf_check(&header, err);
    if (rc == 0)
        rc = f->read(f->self, from, 0, header.data, header.size, err);
    if (rc == 0)
        rc = f->write(f->self, to, 0, header.data, header.size, err);
    if (from >= 0)
        f->close(f->self, from);
    buf_fini(&header);
    return rc;
}

int trainer_begin_output(const struct trainer_task *task, int *out, struct err *err)
{
    const struct files *f = task->files;
    int fd;
    int rc = f->open(f->self, task->output, FILES_CREATE, &fd, err);
    if (rc != 0)
        return rc;
    rc = f->truncate(f->self, fd, 0, err);
    if (rc == 0)
        rc = copy_header(task, fd, err);
    if (rc != 0) {
        f->close(f->self, fd);
        return rc;
    }
    *out = fd;
    return 0;
}
