/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/jobs.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "cli/say.h"
#include "content/unixfs.h"
#include "model/network.h"
#include "model/safetensors.h"

struct show {
    struct safetensors file;
    bool known; /* a network's */
    struct network network;
    struct cid cid;
    uint64_t bytes, parameters;
};

static int open_model(int fd, struct show *out, struct err *err)
{
    static const char *const fixed[] = {"input.mean", "input.deviation"};
    const struct safetensors_uses uses = {.fixed = fixed, .fixed_count = 2};
    const struct files *f = files_posix();
    int rc = safetensors_open(f, fd, &uses, &out->file, err);
    if (rc == ERR_USAGE) /* it has no such tensors, as networks have */
        return safetensors_open(f, fd, NULL, &out->file, err);
    out->known = rc == 0 && network_of(out->file.layout, &out->network, NULL) == 0;
    return rc;
}

static int look(const char *path, struct show *out, struct err *err)
{
    const struct files *f = files_posix();
    struct jobs *jobs = NULL;
    int fd;
    int rc = f->open(f->self, path, FILES_READ, &fd, err);
    if (rc != 0)
        return rc;
    rc = open_model(fd, out, err);
    f->close(f->self, fd);
    if (rc != 0)
        return err_wrap(err, rc, "model %.400s", path);
    for (size_t i = 0; i < out->file.layout->tensor_count; i++)
        out->parameters += out->file.layout->tensors[i].elements;
    rc = jobs_new(0, &jobs, err);
    if (rc == 0)
        rc = unixfs_hash_file(f, path, jobs, &out->cid, &out->bytes, err);
    jobs_free(jobs);
    if (rc != 0)
        safetensors_fini(&out->file);
    return rc;
}

static json_t *tensor_json(const struct tensor *t)
{
    json_t *shape = json_array();
    for (unsigned i = 0; i < t->rank; i++)
        (void)json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s,s:s,s:o,s:I}", "name", t->name, "dtype", dtype_name(t->dtype), "shape",
                     shape, "elements", (json_int_t)t->elements);
}

static json_t *network_json(const struct network *n)
{
    json_t *hidden = json_array();
    for (size_t i = 0; i < n->hidden_count; i++)
        (void)json_array_append_new(hidden, json_integer((json_int_t)n->hidden[i]));
    return json_pack("{s:s,s:I,s:I,s:o}", "architecture", network_kind_name(n->kind), "features",
                     (json_int_t)n->features, "classes", (json_int_t)n->classes, "hidden", hidden);
}

static int print_json(const struct show *s)
{
    const struct layout *l = s->file.layout;
    char text[CID_TEXT_MAX];
    json_t *tensors = json_array();
    for (size_t i = 0; i < l->tensor_count; i++)
        (void)json_array_append_new(tensors, tensor_json(&l->tensors[i]));
    return say_json(
        json_pack("{s:s,s:I,s:I,s:I,s:b,s:o,s:o}", "cid", cid_format(&s->cid, text), "bytes",
                  (json_int_t)s->bytes, "data_start", (json_int_t)s->file.data_start, "parameters",
                  (json_int_t)s->parameters, "canonical", s->file.canonical ? 1 : 0, "network",
                  s->known ? network_json(&s->network) : json_null(), "tensors", tensors));
}

static void print_tensor(const struct tensor *t)
{
    struct buf shape = buf_new(LAYOUT_RANK_MAX * 24);
    for (unsigned i = 0; i < t->rank; i++)
        buf_append_format(&shape, "%s%llu", i > 0 ? ", " : "", (unsigned long long)t->shape[i]);
    say_line("  %-5s [%s]  %s", dtype_name(t->dtype), buf_text(&shape), t->name);
    buf_fini(&shape);
}

/* "mlp 784-200-200-10" */
static void print_network(const struct network *n)
{
    struct buf text = buf_new((NETWORK_HIDDEN_MAX + 2) * 24);
    buf_append_format(&text, "%s %zu", network_kind_name(n->kind), n->features);
    for (size_t i = 0; i <= n->hidden_count; i++)
        buf_append_format(&text, "-%zu", network_layer(n, i).out);
    say_line("network     %s", buf_text(&text));
    buf_fini(&text);
}

static void print(const struct show *s)
{
    const struct layout *l = s->file.layout;
    char text[CID_TEXT_MAX], size[TEXT_SMALL];
    say_line("cid         %s", cid_format(&s->cid, text));
    say_line("bytes       %llu (%s)", (unsigned long long)s->bytes,
             text_format_size(s->bytes, size));
    say_line("form        %s, data from byte %llu on",
             s->file.canonical ? "canonical" : "not canonical: a study would rewrite it",
             (unsigned long long)s->file.data_start);
    if (s->known)
        print_network(&s->network);
    say_line("parameters  %llu in %zu tensors", (unsigned long long)s->parameters, l->tensor_count);
    for (size_t i = 0; i < l->tensor_count; i++)
        print_tensor(&l->tensors[i]);
}

int cmd_model_show(int argc, char **argv)
{
    bool json = false;
    const struct options_row rows[] = {
        {.name = "json", .flag = &json, .help = "say it as JSON"},
    };
    struct options o = {.command = "colmeia model show",
                        .operands = "FILE",
                        .about = "What a safetensors file holds, in layout order, and the CID it "
                                 "would have in a store.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0],
                        .least = 1,
                        .most = 1};
    struct show s = {.bytes = 0};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    int rc = look(o.given[0], &s, &err);
    if (rc != 0)
        return say_error(o.command, rc, &err);
    if (json)
        status = print_json(&s);
    else
        print(&s);
    safetensors_fini(&s.file);
    return status;
}
