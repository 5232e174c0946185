/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/say.h"
#include "model/safetensors.h"
#include "study/plan_file.h"

#define TENSOR_ELEMENTS (1u << 24) /* 64 MiB */
#define PIECE_BYTES     (1u << 20)

static int make_network(const struct plan *p, const char *to, struct err *err)
{
    struct model_file model = {.layout = NULL};
    struct network network;
    uint8_t seed[HASH_BYTES];
    if (!plan_network(p, &network))
        return err_set(err, ERR_USAGE,
                       "architecture \"%s\" is known to its trainer only; make the model there",
                       p->architecture);
    plan_initial_seed(p, seed);
    int rc = model_file_new(&network, seed, &model, err);
    if (rc == 0)
        rc = model_file_save(&model, to, err);
    model_file_fini(&model);
    return rc;
}

static int make_initial(const char *plan_path, const char *to, struct err *err)
{
    struct plan_file plan;
    int rc = plan_file_load(plan_path, &plan, err);
    if (rc != 0)
        return rc;
    rc = make_network(&plan.plan, to, err);
    plan_file_fini(&plan);
    return rc;
}

/* "200,200" */
static int take_hidden(const char *text, struct plan *p, struct err *err)
{
    char number[24];
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");
        if (p->hidden_count == NETWORK_HIDDEN_MAX)
            return err_set(err, ERR_USAGE, "--hidden: more than %d layers", NETWORK_HIDDEN_MAX);
        snprintf(number, sizeof number, "%.*s", size < sizeof number ? (int)size : 23, at);
        int rc = text_parse_uint(number, NETWORK_WIDTH_MAX, &p->hidden[p->hidden_count++], err);
        if (rc != 0)
            return err_wrap(err, rc, "--hidden");
        at += size;
        if (*at == '\0')
            return 0;
    }
}

/* What the options say of a network, as a plan with that seed would make it. */
static int make_described(struct plan *p, const char *architecture, const char *hidden,
                          const char *to, struct err *err)
{
    int rc = hidden == NULL ? 0 : take_hidden(hidden, p, err);
    if (rc != 0)
        return rc;
    snprintf(p->architecture, sizeof p->architecture, "%s", architecture);
    return make_network(p, to, err);
}

/* --- random models --- */

/* Tensors random.00000, random.00001 and so on, each of at most 64 MiB. */
static int random_layout(uint64_t bytes, struct layout **out, struct err *err)
{
    uint64_t elements = bytes / sizeof(float);
    uint64_t count = (elements + TENSOR_ELEMENTS - 1) / TENSOR_ELEMENTS;
    if (count == 0 || count > LAYOUT_TENSORS_MAX || bytes % sizeof(float) != 0)
        return err_set(err, ERR_USAGE, "--random: a multiple of 4 up to %llu bytes",
                       (unsigned long long)LAYOUT_TENSORS_MAX * TENSOR_ELEMENTS * sizeof(float));
    struct tensor *tensors = calloc((size_t)count, sizeof *tensors);
    char(*names)[16] = calloc((size_t)count, sizeof *names);
    int rc = tensors == NULL || names == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        uint64_t left = elements - i * TENSOR_ELEMENTS;
        snprintf(names[i], sizeof *names, "random.%05u", (unsigned)i);
        tensors[i] = (struct tensor){.name = names[i],
                                     .dtype = DTYPE_F32,
                                     .use = USE_MEAN,
                                     .rank = 1,
                                     .shape = {left < TENSOR_ELEMENTS ? left : TENSOR_ELEMENTS}};
        tensors[i].elements = tensors[i].shape[0];
    }
    if (rc == 0)
        rc = layout_new(tensors, (size_t)count, out, err);
    free(tensors);
    free(names);
    return rc;
}

/* Values of [-1, 1) with 24 random bits each, little-endian: nothing that a disk could pack. */
static void fill_random(struct random_stream *s, uint8_t *at, size_t size)
{
    random_stream_fill(s, at, size);
    for (size_t i = 0; i + sizeof(float) <= size; i += sizeof(float)) {
        float value = (float)(bytes_get_u32(at + i) >> 8) * 0x1p-23f - 1.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bytes_put_u32(at + i, bits);
    }
}

static int write_random(const struct layout *l, uint64_t seed, int fd, struct err *err)
{
    const struct files *f = files_posix();
    struct buf header = buf_new(SAFETENSORS_HEADER_MAX);
    uint8_t key[HASH_BYTES], message[32] = "colmeia-random-model-1:";
    size_t domain = strlen((const char *)message);
    struct random_stream stream;
    bytes_put_u64(message + domain, seed);
    hash_sha256(bytes_of(message, domain + 8), key);
    random_stream_init(&stream, key);
    uint8_t *piece = malloc(PIECE_BYTES);
    int rc = piece == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                           : safetensors_format(l, &header, err);
    if (rc == 0)
        rc = f->write(f->self, fd, 0, header.data, header.size, err);
    for (uint64_t at = 0; rc == 0 && at < l->data_bytes;) {
        size_t size = l->data_bytes - at < PIECE_BYTES ? (size_t)(l->data_bytes - at) : PIECE_BYTES;
        fill_random(&stream, piece, size);
        rc = f->write(f->self, fd, header.size + at, piece, size, err);
        at += size;
    }
    if (rc == 0)
        rc = f->sync(f->self, fd, err);
    free(piece);
    buf_fini(&header);
    return rc;
}

static int make_random(uint64_t bytes, uint64_t seed, const char *to, struct err *err)
{
    const struct files *f = files_posix();
    struct layout *layout = NULL;
    char part[FILES_PATH_MAX];
    int fd;
    if (snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part)
        return err_set(err, ERR_USAGE, "path too long");
    int rc = random_layout(bytes, &layout, err);
    if (rc == 0)
        rc = f->open(f->self, part, FILES_CREATE, &fd, err);
    if (rc != 0)
        goto out;
    rc = f->truncate(f->self, fd, 0, err);
    if (rc == 0)
        rc = write_random(layout, seed, fd, err);
    f->close(f->self, fd);
    if (rc == 0)
        rc = f->rename(f->self, part, to, err);
    if (rc != 0)
        (void)f->unlink(f->self, part, NULL);
out:
    layout_free(layout);
    return rc;
}

int cmd_model_new(int argc, char **argv)
{
    const char *plan = NULL, *architecture = NULL, *hidden = NULL, *to = NULL;
    struct plan shape = {.classes = 2};
    uint64_t bytes = 0, seed = 0;
    const struct options_row rows[] = {
        {.name = "plan", .argument = "FILE", .text = &plan, .help = "the plan's initial model"},
        {.name = "architecture",
         .argument = "NAME",
         .text = &architecture,
         .help = "instead: logistic, softmax or mlp, of the next three options"},
        {.name = "features",
         .argument = "N",
         .number = &shape.features,
         .most = NETWORK_WIDTH_MAX,
         .help = "inputs"},
        {.name = "classes",
         .argument = "N",
         .number = &shape.classes,
         .most = NETWORK_WIDTH_MAX,
         .help = "what is told apart (2)"},
        {.name = "hidden",
         .argument = "N,N,...",
         .text = &hidden,
         .help = "of an mlp: units of each hidden layer"},
        {.name = "random",
         .argument = "BYTES",
         .number = &bytes,
         .most = UINT64_MAX,
         .help = "instead: BYTES of random f32 values from -1 to 1, for benchmarks"},
        {.name = "seed",
         .argument = "N",
         .number = &seed,
         .most = UINT64_MAX,
         .help = "unless of a plan; the same seed gives the same file (0)"},
        {.name = "output",
         .letter = 'o',
         .argument = "FILE",
         .text = &to,
         .help = "the safetensors file to write"},
    };
    struct options o = {.command = "colmeia model new",
                        .operands = "",
                        .about = "Writes a new model as a safetensors file in canonical form.",
                        .rows = rows,
                        .row_count = sizeof rows / sizeof rows[0]};
    struct err err = {0};
    int status;
    if (!options_parse(&o, argc, argv, &status))
        return status;
    if (to == NULL || (plan != NULL) + (architecture != NULL) + (bytes != 0) != 1)
        return say_usage(o.command, "give -o FILE and one of --plan FILE, --architecture NAME and "
                                    "--random BYTES");
    shape.seed = seed;
    int rc = output_check(to, true, &err);
    if (rc == 0)
        rc = plan != NULL           ? make_initial(plan, to, &err)
             : architecture != NULL ? make_described(&shape, architecture, hidden, to, &err)
                                    : make_random(bytes, seed, to, &err);
    return rc != 0 ? say_error(o.command, rc, &err) : 0;
}
