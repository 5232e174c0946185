/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture -- a small study in the test's folder, made as `init` and `admit` would make it: keys,
 * charter, layout, initial model, plan, a roster of some sites; all in the store SCRATCH/shared.
 *
 * Keys come from fixed seeds. With scratch_setup and scratch_teardown around the test:
 *
 *     struct fixture f;
 *     fixture_init(&f, &(struct fixture_options){.sites = 3});
 *     struct pack *pack = fixture_pack(&f, 0, 2);
 *     struct cid record = fixture_delta(&f, pack, 0, 2, &f.model, 0.5f, 10);
 *     ...
 *     pack_close(pack);
 *     fixture_fini(&f);
 */
#ifndef COLMEIA_TESTS_STUDY_FIXTURE_H
#define COLMEIA_TESTS_STUDY_FIXTURE_H

#include "tests/scratch.h"

#include "content/pack.h"
#include "model/network.h"
#include "model/safetensors.h"
#include "study/roster.h"
#include "study/study.h"
#include "study/update.h"
#include "study/update_index.h"

#define FIXTURE_SITES_MAX 16

struct fixture_options {
    size_t sites;
    size_t features;                 /* of the logistic layout; 0: 3 */
    const struct layout *layout;     /* another one: architecture "external", trainer "constant" */
    const void *data;                /* its data section; NULL: zeros (logistic: as initialised) */
    void (*edit)(struct plan *plan); /* changes the plan before it is signed */
};

struct fixture_site {
    struct key *ed25519, *curve;
    struct site site;
};

struct fixture {
    const char *dir; /* the study's folder */
    struct store *store;
    struct key *founder, *coordinator, *curve;
    size_t site_count;
    struct fixture_site sites[FIXTURE_SITES_MAX];
    struct cid study_id, plan_id, roster_id, model;
    struct study study;
    struct roster roster;
};

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct err must_err = {0};                                                                 \
        struct err *err = &must_err;                                                               \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, must_err.text);                                              \
    } while (0)

UNUSED static struct key *fixture_key(enum key_kind kind, uint8_t number)
{
    struct key *k;
    uint8_t seed[KEY_BYTES] = {0x40, number}; /* X25519 ignores three bits of the first */
    MUST(key_setup(err));
    MUST(key_from_seed(kind, seed, &k, err));
    return k;
}

/* Any dag-cbor CID, told apart by its number. */
UNUSED static struct cid fixture_cid(unsigned number)
{
    return cid_of(CID_DAG_CBOR, bytes_of(&number, sizeof number));
}

UNUSED static struct cid fixture_put(struct fixture *f, const struct buf *block)
{
    struct cid cid = cid_of(CID_DAG_CBOR, buf_bytes(block));
    MUST(store_put(f->store, &cid, buf_bytes(block), err));
    return cid;
}

/* Stores a model of the study's layout from its data section. */
UNUSED static struct cid fixture_model(struct store *store, const struct layout *l,
                                       const void *data)
{
    struct cid root;
    struct buf file = buf_new(256u << 20);
    MUST(safetensors_format(l, &file, err));
    buf_append(&file, data, (size_t)l->data_bytes);
    MUST(buf_check(&file, err));
    write_file(in_scratch("model.safetensors"), buf_bytes(&file));
    MUST(store_import(store, in_scratch("model.safetensors"), NULL, &root, err));
    buf_fini(&file);
    return root;
}

/* The plan that a test starts from: moments 1, fedavg 3, evaluate 1. */
UNUSED static struct plan fixture_plan(const struct cid *layout, const struct cid *model)
{
    return (struct plan){.layout = *layout,
                         .model = *model,
                         .architecture = "logistic",
                         .seed = 7,
                         .step_count = 3,
                         .schedule = {{"moments", 1}, {"fedavg", 3}, {"evaluate", 1}},
                         .fraction_ppm = PLAN_PPM,
                         .minimum = 1,
                         .quorum = 1,
                         .deadline_ms = 60000,
                         .trainer = "native",
                         .target = "diagnosis",
                         .features = 3,
                         .classes = 2,
                         .epochs = 2,
                         .batch = 8,
                         .learning_rate = 0.25,
                         .weight_decay = 0.001,
                         .optimiser = {.kind = OPTIMISER_NONE, .rate = 1},
                         .codec = "plain"};
}

UNUSED static void fixture_sign_plan(struct fixture *f, const struct fixture_options *o,
                                     const struct cid *layout)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct plan plan = fixture_plan(layout, &f->model);
    if (o->features != 0)
        plan.features = o->features;
    if (o->layout != NULL) {
        strcpy(plan.architecture, "external");
        strcpy(plan.trainer, "constant");
        plan.target[0] = '\0';
        plan.features = plan.classes = 0;
        plan.step_count = 1;
        plan.schedule[0] = (struct plan_step){"fedavg", 5};
    }
    if (o->edit != NULL)
        o->edit(&plan);
    MUST(plan_sign(&plan, &f->study_id, f->founder, &block, &f->plan_id, err));
    fixture_put(f, &block);
    buf_fini(&block);
}

UNUSED static void fixture_admit_all(struct fixture *f)
{
    struct roster_site sites[FIXTURE_SITES_MAX];
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct key_public coordinator = key_public(f->coordinator);
    for (size_t i = 0; i < f->site_count; i++) {
        struct fixture_site *s = &f->sites[i];
        char name[32];
        snprintf(name, sizeof name, "hospital-%c", (int)('a' + i));
        s->ed25519 = fixture_key(KEY_ED25519, (uint8_t)(10 + i));
        s->curve = fixture_key(KEY_X25519, (uint8_t)(100 + i));
        struct key_public curve = key_public(s->curve);
        MUST(site_make(name, s->ed25519, &curve, &block, &s->site, err));
        fixture_put(f, &block);
        sites[i] = (struct roster_site){
            .id = s->site.cid, .from = 1, .until = ROSTER_FOREVER, .site = s->site};
    }
    struct roster roster = {.coordinator = coordinator, .count = f->site_count, .sites = sites};
    MUST(roster_make(&roster, &f->study_id, f->founder, &block, &f->roster_id, err));
    fixture_put(f, &block);
    buf_fini(&block);
}

UNUSED static void fixture_init(struct fixture *f, const struct fixture_options *o)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct charter charter;
    struct layout *made = NULL;
    const struct network network = {
        .kind = NETWORK_LOGISTIC, .features = o->features == 0 ? 3 : o->features, .classes = 2};
    const uint8_t seed[HASH_BYTES] = {0};
    memset(f, 0, sizeof *f);
    f->dir = scratch;
    f->site_count = o->sites;
    f->founder = fixture_key(KEY_ED25519, 1);
    f->coordinator = fixture_key(KEY_ED25519, 2);
    f->curve = fixture_key(KEY_X25519, 3);
    MUST(store_open(files_posix(), in_scratch("shared"), STORE_WRITE, &f->store, err));
    MUST(charter_make("test-study", f->founder, 1700000000, &block, &charter, err));
    f->study_id = fixture_put(f, &block);

    if (o->layout == NULL)
        MUST(network_layout(&network, &made, err));
    const struct layout *l = o->layout != NULL ? o->layout : made;
    buf_clear(&block);
    MUST(layout_encode(l, &block, err));
    struct cid layout = fixture_put(f, &block);
    void *data = calloc((size_t)l->data_bytes + 1, 1);
    assert_non_null(data);
    if (o->data != NULL)
        memcpy(data, o->data, (size_t)l->data_bytes);
    else if (o->layout == NULL)
        network_init(&network, l, seed, data);
    f->model = fixture_model(f->store, l, data);
    free(data);
    layout_free(made);

    fixture_sign_plan(f, o, &layout);
    fixture_admit_all(f);
    MUST(study_load(f->store, &f->study_id, &f->plan_id, &f->study, err));
    MUST(roster_load(f->store, &f->study_id, &f->study.charter.founder, &f->roster_id, &f->roster,
                     err));
    buf_fini(&block);
}

UNUSED static void fixture_fini(struct fixture *f)
{
    roster_fini(&f->roster);
    study_fini(&f->study);
    store_close(f->store);
    for (size_t i = 0; i < f->site_count; i++) {
        key_free(f->sites[i].ed25519);
        key_free(f->sites[i].curve);
    }
    key_free(f->founder);
    key_free(f->coordinator);
    key_free(f->curve);
}

/* --- updates, by hand --- */

/* The site's pack for a round, where the coordinator keeps it; the caller closes it. */
UNUSED static struct pack *fixture_pack(struct fixture *f, size_t site, uint64_t round)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    struct pack *pack;
    MUST(study_pack_path(f->dir, &f->sites[site].site.cid, round, path, err));
    files_folder(path, folder);
    MUST(files_make_dirs(files_posix(), folder, err));
    MUST(pack_open(files_posix(), path, true, &pack, err));
    return pack;
}

/* An update of the site as it would be for `round`, without an answer: the test adds what the rule
 * asks. */
UNUSED static struct update fixture_update(const struct fixture *f, uint64_t round,
                                           const struct cid *base, uint64_t examples)
{
    return (struct update){.study = f->study_id,
                           .plan = f->plan_id,
                           .base = *base,
                           .round = round,
                           .examples = examples,
                           .metric_count = 2,
                           .metrics = {{"loss", 0.5}, {"accuracy", 0.75}},
                           .seconds = 3};
}

UNUSED static struct cid fixture_pack_put(struct pack *pack, uint32_t codec, struct bytes block)
{
    struct cid cid = cid_of(codec, block);
    MUST(pack_put(pack, &cid, block, err));
    return cid;
}

/* Signs it with the site's key and puts the record into the pack. */
UNUSED static struct cid fixture_sign(struct fixture *f, struct pack *pack, size_t site,
                                      const struct update *u)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct cid cid;
    MUST(update_sign(u, f->sites[site].ed25519, &block, &cid, err));
    fixture_pack_put(pack, CID_DAG_CBOR, buf_bytes(&block));
    buf_fini(&block);
    return cid;
}

UNUSED static int fixture_index_put(void *self, const struct cid *cid, struct bytes block,
                                    struct err *err)
{
    return pack_put(self, cid, block, err);
}

/* A shard of the layout with `value` in every element of a mean, `value` as an integer otherwise.
 */
UNUSED static struct cid fixture_shard(struct pack *pack, const struct shard *s, float value)
{
    uint8_t *data = calloc(s->bytes, 1);
    assert_non_null(data);
    size_t size = s->bytes / s->elements;
    for (size_t i = 0; i < s->elements; i++) {
        double wide = (double)value;
        int64_t whole = (int64_t)value;
        const void *from = s->use != USE_MEAN      ? (const void *)&whole
                           : s->dtype == DTYPE_F64 ? (const void *)&wide
                                                   : (const void *)&value;
        memcpy(data + i * size, from, size);
    }
    struct cid cid = fixture_pack_put(pack, CID_RAW, bytes_of(data, s->bytes));
    free(data);
    return cid;
}

/* The index of a whole update whose every element is `value`; its shards are in the pack. */
UNUSED static struct cid fixture_index(struct fixture *f, struct pack *pack, float value)
{
    const struct layout *l = f->study.layout;
    struct update_index x = {
        .codec = "plain", .layout = f->study.plan.layout, .count = l->shard_count};
    struct cid root;
    x.shards = calloc(l->shard_count + 1, sizeof *x.shards);
    assert_non_null(x.shards);
    for (size_t i = 0; value != 0 && i < l->shard_count; i++)
        x.shards[i] = fixture_shard(pack, &l->shards[i], value);
    MUST(update_index_write(&x, fixture_index_put, pack, &root, err));
    free(x.shards);
    return root;
}

/* A whole update for a round of fedavg from `base`, every element of its delta `value`. */
UNUSED static struct cid fixture_delta(struct fixture *f, struct pack *pack, size_t site,
                                       uint64_t round, const struct cid *base, float value,
                                       uint64_t examples)
{
    struct update u = fixture_update(f, round, base, examples);
    u.delta = fixture_index(f, pack, value);
    return fixture_sign(f, pack, site, &u);
}

#endif
