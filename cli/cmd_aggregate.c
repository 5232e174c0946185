/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aggregate/accumulate.h"
#include "base/jobs.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/say.h"
#include "model/delta.h"
#include "model/safetensors.h"
#include "study/combine.h"

#define COMPARE_BYTES (1u << 20)

/* One input, open; a file not in canonical form was rewritten to `rewritten` first. */
struct input {
    const char *name;
    char rewritten[FILES_PATH_MAX]; /* "" if it was not needed */
    int fd;                         /* -1: not open */
    struct safetensors model;
};

struct averaging {
    const struct rule *rule;
    size_t count;
    struct input *inputs;
    uint32_t *weights;
    const char *to;
    char part[FILES_PATH_MAX];
    int out;
};

static const struct files *disk(void)
{
    return files_posix();
}

/* --- inputs --- */

static int open_file(struct input *in, const char *path, struct err *err)
{
    const struct files *f = disk();
    int rc = f->open(f->self, path, FILES_READ, &in->fd, err);
    return rc != 0 ? rc : safetensors_open(f, in->fd, NULL, &in->model, err);
}

static void close_input(struct input *in)
{
    const struct files *f = disk();
    if (in->fd >= 0)
        f->close(f->self, in->fd);
    in->fd = -1;
    safetensors_fini(&in->model);
    in->model = (struct safetensors){.layout = NULL};
}

static int open_input(const struct averaging *a, size_t i, struct err *err)
{
    struct input *in = &a->inputs[i];
    int rc = open_file(in, in->name, err);
    if (rc == 0 && !in->model.canonical) {
        close_input(in);
        if (snprintf(in->rewritten, sizeof in->rewritten, "%s.%d-%zu.part", a->to, (int)getpid(),
                     i) >= (int)sizeof in->rewritten)
            rc = err_set(err, ERR_USAGE, "path too long");
        if (rc == 0)
            rc = safetensors_rewrite(disk(), in->name, in->rewritten, NULL, err);
        if (rc == 0)
            rc = open_file(in, in->rewritten, err);
    }
    if (rc == 0)
        rc = layout_compare(a->inputs[0].model.layout, in->model.layout, err);
    return rc != 0 ? err_wrap(err, rc, "%.400s", in->name) : 0;
}

/* What is not averaged must be the same everywhere, or the result would be nobody's. */
static int compare_fixed(const struct input *base, const struct input *in, const struct tensor *t,
                         struct err *err)
{
    const struct files *f = disk();
    uint8_t *data = malloc(2 * (size_t)COMPARE_BYTES);
    if (data == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    uint64_t bytes = t->elements * dtype_bytes(t->dtype);
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < bytes;) {
        size_t size = bytes - at < COMPARE_BYTES ? (size_t)(bytes - at) : COMPARE_BYTES;
        rc = f->read(f->self, base->fd, base->model.data_start + t->offset + at, data, size, err);
        if (rc == 0)
            rc = f->read(f->self, in->fd, in->model.data_start + t->offset + at,
                         data + COMPARE_BYTES, size, err);
        if (rc == 0 && memcmp(data, data + COMPARE_BYTES, size) != 0)
            rc = err_set(err, ERR_MALFORMED,
                         "%.400s: tensor %s is of integers and differs from %.200s's", in->name,
                         t->name, base->name);
        at += size;
    }
    free(data);
    return rc;
}

static int open_inputs(struct averaging *a, struct err *err)
{
    for (size_t i = 0; i < a->count; i++) {
        int rc = open_input(a, i, err);
        const struct layout *l = rc == 0 ? a->inputs[i].model.layout : NULL;
        for (size_t k = 0; rc == 0 && i > 0 && k < l->tensor_count; k++)
            if (l->tensors[k].use == USE_FIXED)
                rc = compare_fixed(&a->inputs[0], &a->inputs[i], &l->tensors[k], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- what combine asks for --- */

static int read_base(void *self, uint64_t offset, void *data, size_t size, struct err *err)
{
    const struct averaging *a = self;
    return disk()->read(disk()->self, a->inputs[0].fd, offset, data, size, err);
}

/* The shard's elements of one model, in shard order. */
static int gather(const struct input *in, size_t shard, uint8_t *out, struct err *err)
{
    const struct layout *l = in->model.layout;
    size_t size = dtype_bytes(l->shards[shard].dtype);
    uint64_t cursor = 0;
    for (struct piece p; layout_next_piece(l, shard, &cursor, &p);) {
        int rc = disk()->read(disk()->self, in->fd, in->model.data_start + p.offset,
                              out + p.at * size, p.elements * size, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Model minus first model, as a site would have sent it. */
static int read_shard(void *self, size_t update, size_t shard, void *data, size_t size, bool *null,
                      struct err *err)
{
    const struct averaging *a = self;
    const struct input *in = &a->inputs[update];
    const struct shard *s = &in->model.layout->shards[shard];
    size_t bytes = s->elements * dtype_bytes(s->dtype);
    (void)size;
    *null = false;
    uint8_t *models = malloc(2 * bytes);
    if (models == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = gather(&a->inputs[0], shard, models, err);
    if (rc == 0)
        rc = gather(in, shard, models + bytes, err);
    if (rc == 0)
        rc = delta_encode(s, models, models + bytes, data, err);
    free(models);
    return rc != 0
               ? err_wrap(err, rc, "%.400s, from element %llu of tensor %s on", in->name,
                          (unsigned long long)s->element, in->model.layout->tensors[s->tensor].name)
               : 0;
}

static int write_window(void *self, uint64_t offset, struct bytes data, struct err *err)
{
    const struct averaging *a = self;
    return disk()->write(disk()->self, a->out, offset, data.data, data.size, err);
}

/* --- the whole --- */

static int average(struct averaging *a, struct err *err)
{
    const struct safetensors *first = &a->inputs[0].model;
    const struct combine_source source = {.self = a,
                                          .base = read_base,
                                          .shard = read_shard,
                                          .file_bytes =
                                              first->data_start + first->layout->data_bytes,
                                          .data_start = first->data_start};
    const struct combine_sink sink = {.self = a, .window = write_window};
    const struct combine_sum sum = {
        .layout = first->layout, .rule = a->rule, .weights = a->weights, .count = a->count};
    struct jobs *jobs = NULL;
    struct combine_found found;
    int rc = jobs_new(0, &jobs, err);
    if (rc == 0)
        rc = combine_stream(&sum, &source, &sink, jobs, &found, err);
    if (rc == 0 && !found.finite && found.tensor != NULL)
        rc = err_set(err, ERR_MALFORMED,
                     "the average is not finite; of the files, %.400s is the farthest from the "
                     "first, in tensor %s",
                     a->inputs[found.suspect].name, found.tensor->name);
    else if (rc == 0 && !found.finite)
        rc = err_set(err, ERR_MALFORMED, "the average is not finite");
    jobs_free(jobs);
    return rc;
}

static int run(struct averaging *a, struct err *err)
{
    const struct files *f = disk();
    if (snprintf(a->part, sizeof a->part, "%s.part", a->to) >= (int)sizeof a->part)
        return err_set(err, ERR_USAGE, "path too long");
    int rc = open_inputs(a, err);
    if (rc == 0)
        rc = f->open(f->self, a->part, FILES_CREATE, &a->out, err);
    if (rc == 0) {
        rc = f->truncate(f->self, a->out, 0, err);
        if (rc == 0)
            rc = average(a, err);
        if (rc == 0)
            rc = f->sync(f->self, a->out, err);
        f->close(f->self, a->out);
        if (rc == 0)
            rc = f->rename(f->self, a->part, a->to, err);
        if (rc != 0)
            (void)f->unlink(f->self, a->part, NULL);
    }
    for (size_t i = 0; i < a->count; i++) {
        close_input(&a->inputs[i]);
        if (a->inputs[i].rewritten[0] != '\0')
            (void)f->unlink(f->self, a->inputs[i].rewritten, NULL);
    }
    return rc;
}

/* "3,5,2": exactly `count` of them. */
static int parse_weights(const char *text, size_t count, uint32_t *out, struct err *err)
{
    char one[16];
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(text, ",");
        uint64_t value = 0;
        bool last = i + 1 == count;
        if (size >= sizeof one || (text[size] == '\0') != last)
            return err_set(err, ERR_USAGE, "--weights: as many numbers as files, %zu", count);
        memcpy(one, text, size);
        one[size] = '\0';
        int rc = text_parse_uint(one, ACCUMULATE_WEIGHT_MAX, &value, err);
        if (rc == 0 && value == 0)
            rc = err_set(err, ERR_USAGE, "a weight of 0");
        if (rc != 0)
            return err_wrap(err, rc, "--weights");
        out[i] = (uint32_t)value;
        text += size + (last ? 0 : 1);
    }
    return 0;
}

static int aggregate(struct averaging *a, char **names, const char *weights, struct err *err)
{
    a->inputs = calloc(a->count, sizeof *a->inputs);
    a->weights = calloc(a->count, sizeof *a->weights);
    int rc = a->inputs == NULL || a->weights == NULL
                 ? err_set(err, ERR_NOMEM, "out of memory")
                 : parse_weights(weights, a->count, a->weights, err);
    for (size_t i = 0; rc == 0 && i < a->count; i++)
        a->inputs[i] = (struct input){.name = names[i], .fd = -1};
    if (rc == 0)
        rc = run(a, err);
    free(a->inputs);
    free(a->weights);
    return rc;
}

int cmd_aggregate(int argc, char **argv)
{
    struct averaging a = {.out = -1};
    const char *rule = "fedavg", *weights = NULL;
    const struct options_row rows[] = {
        {.name = "rule",
         .argument = "NAME",
         .text = &rule,
         .help = "the rule that averages: fedavg"},
        {.name = "weights",
         .argument = "N,N,...",
         .text = &weights,
         .help = "one integer a file, such as its number of examples"},
        {.name = "output",
         .letter = 'o',
         .argument = "FILE",
         .text = &a.to,
         .help = "the safetensors file to write"},
    };
    struct options o = {.command = "colmeia aggregate",
                        .operands = "FILE...",
                        .about = "Averages safetensors files of one layout by the code that "
                                 "combines a round: the first file plus the weighted mean of "
                                 "what each differs from it.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = PLAN_SELECTED_MAX};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (weights == NULL || a.to == NULL)
        return say_usage(o.command, "give --weights N,N,... and -o FILE");
    a.rule = rule_find(rule);
    if (a.rule == NULL || a.rule->add == NULL)
        return say_usage(o.command, "--rule: \"%s\" is no rule that averages models", rule);
    a.count = o.count;
    int rc = output_check(a.to, true, &err);
    if (rc == 0)
        rc = aggregate(&a, o.given, weights, &err);
    return rc != 0 ? say_error(o.command, rc, &err) : 0;
}
