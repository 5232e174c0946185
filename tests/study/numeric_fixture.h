/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numeric_fixture -- a study small enough to be recomputed naively: a layout from a table, models
 * of random values in a store, sites that seal their updates, and the oracle of the next model.
 */
#ifndef COLMEIA_TESTS_STUDY_NUMERIC_FIXTURE_H
#define COLMEIA_TESTS_STUDY_NUMERIC_FIXTURE_H

#include "tests/scratch.h"

#include <math.h>

#include "base/jobs.h"
#include "model/safetensors.h"
#include "study/combine.h"
#include "study/seal.h"

#define SITES_MAX 8

struct spec {
    const char *name;
    enum dtype dtype;
    enum use use;
    uint64_t elements;
};

#define LAYOUT(specs) layout_of(specs, sizeof(specs) / sizeof(specs)[0])

/* A model in memory: its whole file. */
struct model {
    uint8_t *file; /* owned */
    size_t size;
    uint8_t *data; /* the data section, inside `file` */
};

struct fixture {
    struct study study;
    struct store *store;
    struct key *key;
    struct model base;
    struct cid root; /* of the base */
    size_t site_count;
    struct site_of_fixture {
        struct pack *pack;
        char name[16];
        uint32_t weight;
        struct model model; /* what it trained */
        struct cid record;
        struct update update;
    } sites[SITES_MAX];
};

UNUSED static struct layout *layout_of(const struct spec *specs, size_t count)
{
    struct tensor tensors[32] = {0};
    struct layout *l;
    struct err err = {0};
    assert_true(count <= 32);
    for (size_t i = 0; i < count; i++) {
        tensors[i] = (struct tensor){.name = (char *)(uintptr_t)specs[i].name,
                                     .dtype = specs[i].dtype,
                                     .use = specs[i].use,
                                     .rank = 1,
                                     .shape = {specs[i].elements}};
    }
    if (layout_new(tensors, count, &l, &err) != 0)
        fail_msg("%s", err.text);
    return l;
}

/* --- models --- */

UNUSED static struct model model_new(const struct layout *l)
{
    struct buf header = buf_new(SAFETENSORS_HEADER_MAX);
    assert_int_equal(safetensors_format(l, &header, NULL), 0);
    struct model m = {.size = header.size + (size_t)l->data_bytes};
    m.file = calloc(1, m.size);
    assert_non_null(m.file);
    memcpy(m.file, header.data, header.size);
    m.data = m.file + header.size;
    buf_fini(&header);
    return m;
}

UNUSED static struct model model_copy(const struct model *m)
{
    struct model copy = {.file = malloc(m->size), .size = m->size};
    assert_non_null(copy.file);
    memcpy(copy.file, m->file, m->size);
    copy.data = copy.file + (m->data - m->file);
    return copy;
}

UNUSED static void model_free(struct model *m)
{
    free(m->file);
    m->file = NULL;
}

UNUSED static uint8_t *element_of(const struct layout *l, const struct model *m, const char *name,
                                  uint64_t i)
{
    const struct tensor *t = layout_find(l, name);
    assert_non_null(t);
    return m->data + t->offset + i * dtype_bytes(t->dtype);
}

/* Random bytes for integers; floats of modest size, in half of them many bits of a step. */
UNUSED static void model_fill(const struct layout *l, struct model *m, const char *seed, bool fixed)
{
    uint8_t key[HASH_BYTES];
    struct random_stream s;
    hash_sha256(bytes_of_text(seed), key);
    random_stream_init(&s, key);
    for (size_t i = 0; i < l->tensor_count; i++) {
        const struct tensor *t = &l->tensors[i];
        size_t size = dtype_bytes(t->dtype);
        uint8_t *at = m->data + t->offset;
        if (t->use == USE_FIXED && !fixed)
            continue;
        random_stream_fill(&s, at, t->elements * size);
        for (uint64_t k = 0; k < t->elements; k++, at += size) {
            if (t->dtype == DTYPE_BOOL)
                at[0] &= 1;
            if (dtype_is_float(t->dtype))
                dtype_put(t->dtype, at, (double)(at[0] | at[1] << 8) * 0x1.003p-12 - 7);
        }
    }
}

/* --- a study --- */

UNUSED static void fixture_import(struct fixture *f, const struct model *m, struct cid *root)
{
    struct err err = {0};
    write_file(in_scratch("import.safetensors"), bytes_of(m->file, m->size));
    if (store_import(f->store, in_scratch("import.safetensors"), NULL, root, &err) != 0)
        fail_msg("%s", err.text);
}

/* Takes `layout` and keeps it. The base is random, or all zero bytes. */
UNUSED static struct fixture *fixture_new(struct layout *layout, bool zero)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct err err = {0};
    assert_non_null(f);
    assert_int_equal(scratch_setup(NULL), 0);
    f->study.layout = layout;
    f->study.charter.cid = cid_of(CID_DAG_CBOR, bytes_of_text("charter"));
    f->study.plan.cid = cid_of(CID_DAG_CBOR, bytes_of_text("plan"));
    snprintf(f->study.plan.codec, sizeof f->study.plan.codec, "plain");
    f->study.plan.optimiser.rate = 1; /* of optimiser none */
    assert_int_equal(layout_encode(layout, &block, NULL), 0);
    f->study.plan.layout = cid_of(CID_DAG_CBOR, buf_bytes(&block));
    buf_fini(&block);
    if (store_open(files_posix(), in_scratch("store"), STORE_WRITE, &f->store, &err) != 0)
        fail_msg("%s", err.text);
    uint8_t seed[KEY_BYTES] = {1};
    assert_int_equal(key_setup(NULL), 0);
    assert_int_equal(key_from_seed(KEY_ED25519, seed, &f->key, NULL), 0);
    f->base = model_new(layout);
    if (!zero)
        model_fill(layout, &f->base, "base", true);
    fixture_import(f, &f->base, &f->root);
    return f;
}

UNUSED static void fixture_free(struct fixture *f)
{
    for (size_t i = 0; i < f->site_count; i++) {
        pack_close(f->sites[i].pack);
        model_free(&f->sites[i].model);
    }
    model_free(&f->base);
    store_close(f->store);
    key_free(f->key);
    study_fini(&f->study);
    assert_int_equal(scratch_teardown(NULL), 0);
    free(f);
}

UNUSED static const char *new_model_path(const struct model *m)
{
    write_file(in_scratch("new.safetensors"), bytes_of(m->file, m->size));
    return in_scratch("new.safetensors");
}

/* Seals `m` as a site's answer to round 1 into `pack`. */
UNUSED static int seal_model(struct fixture *f, const struct model *m, struct pack *pack,
                             struct jobs *jobs, struct cid *record, struct err *err)
{
    struct seal s = {.study = &f->study,
                     .rule = rule_find("fedavg"),
                     .store = f->store,
                     .base = f->root,
                     .new_model = new_model_path(m),
                     .update = {.round = 1, .examples = 10},
                     .key = f->key,
                     .pack = pack,
                     .jobs = jobs};
    return seal_update(&s, record, err);
}

UNUSED static void load_update(struct pack *pack, const struct cid *record, struct update *out)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    assert_int_equal(pack_get(pack, record, &block, NULL), 0);
    assert_int_equal(update_decode(buf_bytes(&block), out, NULL), 0);
    buf_fini(&block);
}

UNUSED static struct pack *new_pack(const char *name)
{
    struct pack *pack;
    assert_int_equal(pack_open(files_posix(), in_scratch(name), true, &pack, NULL), 0);
    return pack;
}

/* A further site that trained `m` (taken) on `weight` examples. */
UNUSED static void fixture_add_site(struct fixture *f, struct model m, uint32_t weight)
{
    struct site_of_fixture *s = &f->sites[f->site_count];
    struct err err = {0};
    assert_true(f->site_count < SITES_MAX);
    snprintf(s->name, sizeof s->name, "site-%zu", f->site_count);
    s->model = m;
    s->weight = weight;
    s->pack = new_pack(s->name);
    if (seal_model(f, &m, s->pack, NULL, &s->record, &err) != 0)
        fail_msg("%s", err.text);
    load_update(s->pack, &s->record, &s->update);
    f->site_count++;
}

/* A site whose model is random but for the fixed tensors. */
UNUSED static void fixture_add_random_site(struct fixture *f, uint32_t weight)
{
    struct model m = model_copy(&f->base);
    char seed[32];
    snprintf(seed, sizeof seed, "site %zu", f->site_count);
    model_fill(f->study.layout, &m, seed, false);
    fixture_add_site(f, m, weight);
}

/* --- the next model --- */

struct round_of_fixture {
    struct combine combine;
    struct combine_update updates[SITES_MAX];
};

/* The round of the sites in `order` (NULL: as added). The caller may change it before it runs. */
UNUSED static void fixture_round(struct fixture *f, const size_t *order, struct jobs *jobs,
                                 struct round_of_fixture *out)
{
    for (size_t i = 0; i < f->site_count; i++) {
        const struct site_of_fixture *s = &f->sites[order == NULL ? i : order[i]];
        out->updates[i] = (struct combine_update){
            .weight = s->weight, .answer = s->update.delta, .pack = s->pack, .site_name = s->name};
    }
    out->combine = (struct combine){.study = &f->study,
                                    .rule = rule_find("fedavg"),
                                    .store = f->store,
                                    .base = f->root,
                                    .updates = out->updates,
                                    .update_count = f->site_count,
                                    .jobs = jobs,
                                    .part = "round-1"};
}

UNUSED static struct cid fixture_combine(struct fixture *f, const size_t *order, struct jobs *jobs,
                                         bool dry)
{
    struct round_of_fixture r;
    struct combine_result result;
    struct err err = {0};
    fixture_round(f, order, jobs, &r);
    r.combine.dry = dry;
    if (combine_round(&r.combine, &result, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(result.failure, "");
    return result.next;
}

/* Integers as text would order them: sign and magnitude, by the widest types. */
UNUSED static bool is_larger(enum dtype d, const uint8_t *a, const uint8_t *b)
{
    size_t size = dtype_bytes(d);
    bool is_signed = dtype_name(d)[0] == 'I';
    bool a_negative = is_signed && (a[size - 1] & 0x80) != 0;
    bool b_negative = is_signed && (b[size - 1] & 0x80) != 0;
    if (a_negative != b_negative)
        return b_negative;
    for (size_t i = size; i-- > 0;)
        if (a[i] != b[i])
            return a[i] > b[i];
    return false;
}

UNUSED static void oracle_mean(const struct fixture *f, enum dtype d, const size_t *order,
                               size_t offset, uint8_t *out)
{
    double acc = 0, total = 0, base = dtype_get(d, f->base.data + offset);
    for (size_t i = 0; i < f->site_count; i++) {
        const struct site_of_fixture *s = &f->sites[order == NULL ? i : order[i]];
        double delta = dtype_get(d, s->model.data + offset) - base;
        if (d != DTYPE_F64)
            delta = (double)(float)delta;
        acc += (double)s->weight * delta;
        total += (double)s->weight;
    }
    dtype_put(d, out, base + acc / total);
}

/* The whole next model, element by element, by the definition and from the sites' models. */
UNUSED static struct model oracle(const struct fixture *f, const size_t *order)
{
    const struct layout *l = f->study.layout;
    struct model next = model_copy(&f->base);
    for (size_t k = 0; k < l->tensor_count; k++) {
        const struct tensor *t = &l->tensors[k];
        size_t size = dtype_bytes(t->dtype);
        for (size_t offset = (size_t)t->offset, i = 0; i < t->elements; i++, offset += size) {
            if (t->use == USE_MEAN)
                oracle_mean(f, t->dtype, order, offset, next.data + offset);
            for (size_t n = 0; t->use == USE_LARGEST && n < f->site_count; n++)
                if (n == 0 ||
                    is_larger(t->dtype, f->sites[n].model.data + offset, next.data + offset))
                    memcpy(next.data + offset, f->sites[n].model.data + offset, size);
        }
    }
    return next;
}

/* The stored file of `root` is `expected` to the byte? Says where not. */
UNUSED static void assert_model(struct fixture *f, const struct cid *root,
                                const struct model *expected)
{
    char path[FILES_PATH_MAX];
    uint64_t size;
    struct buf found = buf_new(expected->size + 1);
    assert_int_equal(store_model_path(f->store, root, path, &size, NULL), 0);
    assert_int_equal(files_load(files_posix(), path, &found, NULL), 0);
    assert_int_equal(found.size, expected->size);
    for (size_t i = 0; i < found.size; i++)
        if (found.data[i] != expected->file[i])
            fail_msg("byte %zu of the data section is %02x, expected %02x",
                     i - (size_t)(expected->data - expected->file), found.data[i],
                     expected->file[i]);
    buf_fini(&found);
}

#endif
