/* SPDX-License-Identifier: Apache-2.0 */
#include "study/verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "study/state.h"
#include "study/verify_internal.h"

#define FAILURES_MAX 3 /* failed rounds in a row end a study */
#define CHARTER_KIND "colmeia/charter/1"
#define ROUND_KIND   "colmeia/round/1"

/* The rounds as the head claims them, newest first: what each says of its own place, before anybody
 * knows who may sign it. */
struct claim {
    struct cid study, plan, roster, prev;
    uint64_t round;
};

struct chain {
    size_t count, capacity;
    struct cid *records; /* (count) newest first; owned */
};

static int read_head_file(const char *dir, struct cid *out, struct err *err)
{
    char path[FILES_PATH_MAX];
    struct buf text = buf_new(CID_TEXT_MAX);
    struct cid cid;
    int rc = files_join(path, dir, "head", err);
    if (rc == 0)
        rc = files_load(files_posix(), path, &text, err);
    if (rc == ERR_NOTFOUND)
        rc = err_set(err, ERR_NOTFOUND, "%.600s: there is none; no round of a study is closed here",
                     path);
    if (rc == 0 && text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (rc == ERR_LIMIT ||
        (rc == 0 &&
         (strlen(buf_text(&text)) != text.size || cid_parse(buf_text(&text), &cid, NULL) != 0 ||
          cid_digest(&cid) == NULL || cid_codec(&cid) != CID_DAG_CBOR)))
        rc = err_set(err, ERR_CORRUPT, "%.600s: not the CID of a record", path);
    if (rc == 0)
        *out = cid;
    buf_fini(&text);
    return rc;
}

/* The record's block stays in `block`. */
static int read_claim(const struct verify *v, const struct cid *cid, struct buf *block,
                      struct claim *out, struct err *err)
{
    struct record record;
    int rc = study_get(v->store, cid, block, err);
    if (rc == 0)
        rc = record_open(buf_bytes(block), NULL, &record, err);
    if (rc != 0)
        return rc;
    if (strcmp(record.kind, CHARTER_KIND) == 0) { /* stands for round 0 */
        *out = (struct claim){.study = record.cid};
        return 0;
    }
    if (strcmp(record.kind, ROUND_KIND) != 0)
        return err_set(err, ERR_MALFORMED, "a record of kind %s where a round is expected",
                       record.kind);
    *out = (struct claim){.study = record.study,
                          .plan = record_link(&record, "plan"),
                          .roster = record_link(&record, "roster"),
                          .prev = record_link(&record, "prev"),
                          .round = record_uint(&record, "round", 1, PLAN_ROUNDS_MAX)};
    return record.err.code == 0 ? 0 : err_set(err, record.err.code, "%s", record.err.text);
}

static int push(struct chain *c, const struct cid *record, struct err *err)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity * 2 + 64;
        struct cid *records = realloc(c->records, capacity * sizeof *records);
        if (records == NULL)
            return err_set(err, ERR_NOMEM, "out of memory");
        c->records = records;
        c->capacity = capacity;
    }
    c->records[c->count++] = *record;
    return 0;
}

/* One step towards the charter. `expected` 0: this is the head. */
static int take_claim(const struct verify *v, const struct cid *at, uint64_t expected,
                      struct buf *block, struct claim *out, struct verify_result *result,
                      struct err *err)
{
    char text[CID_TEXT_MAX], other[CID_TEXT_MAX];
    int rc = read_claim(v, at, block, out, err);
    if (rc != 0)
        return rc;
    if (expected == 0)
        result->study = out->study;
    if (!cid_is_none(&v->options->study) && !cid_equal(&out->study, &v->options->study))
        return err_set(err, ERR_DENIED, "it belongs to the study %s, not to %s",
                       cid_format(&out->study, text), cid_format(&v->options->study, other));
    if (!cid_equal(&out->study, &result->study))
        return err_set(err, ERR_DENIED, "it belongs to another study, %s",
                       cid_format(&out->study, text));
    if (out->round == 0 && expected == 0)
        return err_set(err, ERR_NOTFOUND, "this is the charter: no round is closed yet");
    if (expected != 0 && out->round != expected)
        return err_set(err, ERR_DENIED, "it says that it is round %llu",
                       (unsigned long long)out->round);
    if (out->round == 1 && !cid_equal(&out->prev, &result->study))
        return err_set(err, ERR_DENIED, "the first round does not follow the study's charter");
    return 0;
}

static int walk_back(const struct verify *v, const struct cid *head, struct chain *chain,
                     struct verify_result *result, struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct claim claim = {.prev = *head};
    char text[CID_TEXT_MAX];
    uint64_t expected = 0;
    int rc = 0;
    do {
        struct cid at = claim.prev;
        rc = take_claim(v, &at, expected, &block, &claim, result, err);
        if (rc != 0) {
            result->bad_record = at;
            cid_format(&at, text);
            rc = expected == 0 ? err_wrap(err, rc, "head, record %s", text)
                               : err_wrap(err, rc, "round %llu, record %s",
                                          (unsigned long long)expected, text);
        } else {
            rc = push(chain, &at, err);
            expected = claim.round - 1;
        }
    } while (rc == 0 && expected > 0);
    buf_fini(&block);
    return rc;
}

/* The `prev` of the plan or roster `cid`, which the founder must have signed. */
static int read_prev(const struct verify *v, const char *what, const struct cid *cid,
                     struct buf *block, struct cid *prev, struct err *err)
{
    const struct charter *charter = &v->study.charter;
    struct record record;
    char kind[RECORD_KIND_MAX]; /* of any version */
    size_t size = (size_t)snprintf(kind, sizeof kind, "colmeia/%s/", what);
    int rc = study_get(v->store, cid, block, err);
    if (rc == 0)
        rc = record_open(buf_bytes(block), NULL, &record, err);
    if (rc == 0 && strncmp(record.kind, kind, size) != 0)
        rc = err_set(err, ERR_MALFORMED, "a record of kind %s", record.kind);
    if (rc == 0)
        rc = record_expect(&record, &charter->cid, &charter->founder, "the founder", err);
    if (rc != 0)
        return rc;
    *prev = record_link_or_null(&record, "prev");
    return record.err.code == 0 ? 0 : err_set(err, record.err.code, "%s", record.err.text);
}

/* Follows the `prev` links of the plan or roster `cid`, from `prev` on, back to the one in force
 * before (`until`; none: to the first). */
static int descend(const struct verify *v, const char *what, const struct cid *cid,
                   const struct cid *prev, const struct cid *until, struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct cid at = *prev;
    char text[CID_TEXT_MAX], other[CID_TEXT_MAX];
    int rc = 0;
    while (rc == 0 && !cid_equal(&at, until)) {
        if (cid_is_none(&at)) {
            rc = err_set(err, ERR_DENIED, "%s %s does not descend from %s, which was in force",
                         what, cid_format(cid, text), cid_format(until, other));
            break;
        }
        rc = read_prev(v, what, &at, &block, &at, err);
        if (rc == ERR_NOTFOUND && v->options->worker) {
            rc = 0; /* it was never needed here */
            break;
        }
        if (rc != 0)
            rc = err_wrap(err, rc, "earlier %s %s", what, cid_format(&at, text));
    }
    buf_fini(&block);
    return rc;
}

/* --- models and states --- */

bool verify_model_held(const struct verify *v, const struct cid *root)
{
    return store_model_has(v->store, root) || store_has(v->store, root);
}

struct hashing {
    struct store *store;
    struct buf leaf;
};

static int hash_leaf(void *self, const struct unixfs_leaf *leaf, struct err *err)
{
    struct hashing *h = self;
    char text[CID_TEXT_MAX];
    int rc = store_get(h->store, &leaf->cid, &h->leaf, err);
    if (rc == 0 && h->leaf.size != leaf->size)
        rc = err_set(err, ERR_MALFORMED, "leaf %s has %zu bytes where the tree says %llu",
                     cid_format(&leaf->cid, text), h->leaf.size, (unsigned long long)leaf->size);
    return rc;
}

static int hash_leaves(const struct verify *v, const struct cid *root, struct err *err)
{
    struct block_source source = store_source(v->store);
    struct hashing h = {.store = v->store, .leaf = buf_new(STORE_BLOCK_BYTES_MAX)};
    int rc = unixfs_walk(&source, root, STORE_MODEL_BYTES_MAX, NULL, hash_leaf, &h, err);
    buf_fini(&h.leaf);
    return rc;
}

/* Hashes all of a model that is held, and asks whether it is one of the plan's layout. */
static int hash_model(const struct verify *v, const struct cid *root, struct err *err)
{
    char text[CID_TEXT_MAX];
    int rc = hash_leaves(v, root, err);
    return rc != 0 ? err_wrap(err, rc, "model %s", cid_format(root, text))
                   : study_check_model(v->store, v->study.layout, root, NULL, err);
}

/* The same of a state, and whether it is one of the plan's optimiser. */
static int hash_state(const struct verify *v, const struct cid *root, struct err *err)
{
    char text[CID_TEXT_MAX];
    size_t slots = optimiser_slots(v->study.plan.optimiser.kind);
    int rc = hash_leaves(v, root, err);
    return rc != 0 ? err_wrap(err, rc, "state %s", cid_format(root, text))
                   : state_check(v->store, v->study.layout, slots, root, err);
}

/* The optimiser's state after round `round`, which is kept as long as that round's model. */
static int check_state(const struct verify *v, uint64_t round, const struct cid *root,
                       struct err *err)
{
    char text[CID_TEXT_MAX];
    if (cid_is_none(root))
        return 0;
    if (verify_model_held(v, root))
        return cid_equal(root, &v->state) ? 0 : hash_state(v, root, err);
    if (round < plan_models_held_from(&v->study.plan, v->newest) || v->options->worker)
        return 0;
    return err_set(err, ERR_NOTFOUND, "state %s is not held, though the plan keeps it",
                   cid_format(root, text));
}

/* The model that round `round` made (0: the initial one). `known`: it is the one before, hashed
 * already. */
static int check_model(const struct verify *v, uint64_t round, const struct cid *root, bool known,
                       struct err *err)
{
    char text[CID_TEXT_MAX];
    const struct plan *plan = &v->study.plan;
    bool gone =
        round == 0 ? plan->keep_models != 0 : round < plan_models_held_from(plan, v->newest);
    if (verify_model_held(v, root))
        return known ? 0 : hash_model(v, root, err);
    if (gone || v->options->worker)
        return 0;
    return err_set(err, ERR_NOTFOUND, "model %s is not held, though the plan keeps it",
                   cid_format(root, text));
}

/* --- one round --- */

/* What the rounds so far left to the next one. */
struct place {
    struct cid model;  /* its base must be */
    uint32_t failures; /* in a row */
};

static int bind_plan(struct verify *v, const struct cid *cid, struct place *place, struct err *err)
{
    bool first = v->study.layout == NULL;
    if (!first && cid_equal(&v->study.plan.cid, cid))
        return 0;
    struct study next = {.layout = NULL};
    int rc = study_load(v->store, &v->study.charter.cid, cid, &next, err);
    if (rc == 0)
        rc = descend(v, "plan", cid, &next.plan.prev, &v->study.plan.cid, err);
    if (rc != 0) {
        study_fini(&next);
        return rc;
    }
    study_fini(&v->study);
    v->study = next;
    if (!first)
        return 0;
    place->model = next.plan.model;
    return check_model(v, 0, &place->model, false, err);
}

static int bind_roster(struct verify *v, const struct cid *cid, struct err *err)
{
    const struct charter *charter = &v->study.charter;
    struct roster next = {.count = 0};
    char text[CID_TEXT_MAX];
    if (cid_equal(&v->roster.cid, cid))
        return 0;
    int rc = roster_load(v->store, &charter->cid, &charter->founder, cid, &next, err);
    if (rc == 0)
        rc = descend(v, "roster", cid, &next.prev, &v->roster.cid, err);
    if (rc == 0 && !cid_is_none(&v->roster.cid)) {
        rc = roster_check_append(&v->roster, &next, err);
        if (rc != 0)
            rc = err_wrap(err, rc, "roster %s", cid_format(cid, text));
    }
    if (rc != 0) {
        roster_fini(&next);
        return rc;
    }
    roster_fini(&v->roster);
    v->roster = next;
    return 0;
}

/* A round that does not step leaves the state as it was. */
static int check_step(const struct verify *v, const struct round_record *r, const struct rule *rule,
                      struct err *err)
{
    char found[CID_TEXT_MAX], wanted[CID_TEXT_MAX];
    bool steps =
        rule->trains && r->failure[0] == '\0' && optimiser_slots(v->study.plan.optimiser.kind) > 0;
    if (steps && cid_is_none(&r->state))
        return err_set(err, ERR_DENIED, "it names no state of the plan's optimiser %s",
                       optimiser_name(v->study.plan.optimiser.kind));
    if (!steps && !cid_equal(&r->state, &v->state))
        return err_set(err, ERR_DENIED,
                       "its optimiser's state is %s where the round before left %s",
                       cid_format(&r->state, found), cid_format(&v->state, wanted));
    return 0;
}

/* What the schedule, the round before and the round itself say about the round's own fields. */
static int check_place(const struct verify *v, const struct round_record *r,
                       const struct place *place, struct err *err)
{
    const struct plan *plan = &v->study.plan;
    const struct rule *rule = plan_rule(plan, r->round);
    char found[CID_TEXT_MAX], wanted[CID_TEXT_MAX];
    if (rule == NULL)
        return err_set(err, ERR_DENIED, "the plan ends after round %llu",
                       (unsigned long long)plan_rounds(plan));
    if (place->failures >= FAILURES_MAX)
        return err_set(err, ERR_DENIED, "a round after %u failed ones in a row", place->failures);
    if (strcmp(r->rule, rule->name) != 0)
        return err_set(err, ERR_DENIED, "its rule is %s where the plan says %s", r->rule,
                       rule->name);
    if (!cid_equal(&r->base, &place->model))
        return err_set(err, ERR_DENIED, "its base is model %s where the round before made %s",
                       cid_format(&r->base, found), cid_format(&place->model, wanted));
    if (r->deleted != plan_updates_held_from(plan, r->round))
        return err_set(err, ERR_DENIED,
                       "it says that updates are held from round %llu on where the plan says %llu",
                       (unsigned long long)r->deleted,
                       (unsigned long long)plan_updates_held_from(plan, r->round));
    if ((strcmp(r->failure, "no-quorum") == 0) != (r->update_count < plan->quorum))
        return err_set(err, ERR_DENIED, "%zu updates and a quorum of %llu, but it %s",
                       r->update_count, (unsigned long long)plan->quorum,
                       r->failure[0] != '\0' ? "failed for want of a quorum"
                                             : "did not fail for want of a quorum");
    if (rule->asks[rule->exchange_count - 1] == RULE_METRICS && !cid_equal(&r->next, &r->base))
        return err_set(err, ERR_DENIED, "its next model is %s where rule %s keeps the base, %s",
                       cid_format(&r->next, found), rule->name, cid_format(&r->base, wanted));
    return check_step(v, r, rule, err);
}

static int check_round(struct verify *v, const struct cid *cid, struct place *place,
                       enum verify_depth *depth, struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct round_record r = {0};
    struct claim claim;
    int rc = read_claim(v, cid, &block, &claim, err);
    if (rc == 0)
        rc = bind_plan(v, &claim.plan, place, err);
    if (rc == 0)
        rc = bind_roster(v, &claim.roster, err);
    if (rc == 0)
        rc = round_record_decode(buf_bytes(&block), &v->study.charter.cid, &v->roster.coordinator,
                                 &r, err);
    if (rc == 0)
        rc = check_place(v, &r, place, err);
    if (rc == 0)
        rc = verify_update_round(v, &r, depth, err);
    if (rc == 0)
        rc = check_model(v, r.round, &r.next, cid_equal(&r.next, &r.base), err);
    if (rc == 0)
        rc = check_state(v, r.round, &r.state, err);
    if (rc == 0) {
        v->state = r.state;
        place->model = r.next;
        place->failures = r.failure[0] != '\0' ? place->failures + 1 : 0;
    }
    round_record_fini(&r);
    buf_fini(&block);
    return rc;
}

static int walk_forward(struct verify *v, const struct chain *chain, struct verify_result *result,
                        struct err *err)
{
    const struct verify_options *o = v->options;
    struct place place = {0};
    char text[CID_TEXT_MAX];
    for (size_t i = chain->count; i-- > 0;) {
        const struct cid *cid = &chain->records[i];
        enum verify_depth depth = VERIFY_SIGNATURES;
        int rc = check_round(v, cid, &place, &depth, err);
        if (rc != 0) {
            result->bad_record = *cid;
            return err_wrap(err, rc, "round %llu, record %s",
                            (unsigned long long)(chain->count - i), cid_format(cid, text));
        }
        result->rounds++;
        if (depth == VERIFY_FULL)
            result->recomputed++;
        if (o->round != NULL)
            o->round(o->self, result->rounds, cid, &place.model, depth);
    }
    result->final_model = place.model;
    result->final_held = verify_model_held(v, &place.model);
    return 0;
}

static int load_charter(struct verify *v, const struct cid *study, struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    char text[CID_TEXT_MAX];
    int rc = study_get(v->store, study, &block, err);
    if (rc == 0)
        rc = charter_decode(buf_bytes(&block), &v->study.charter, err);
    buf_fini(&block);
    return rc != 0 ? err_wrap(err, rc, "charter %s", cid_format(study, text)) : 0;
}

/* Which round the folder's newest head is of; 0 if that cannot be said. An older head may be asked
 * about, but what retention took goes by the newest. */
static uint64_t newest_round(const struct verify *v, const struct cid *head)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    struct claim claim = {.round = 0};
    if (cid_is_none(head) || read_claim(v, head, &block, &claim, NULL) != 0)
        claim.round = 0;
    buf_fini(&block);
    return claim.round;
}

/* `newest`: DIR/head as it stands, none if there is none. */
static int verify_from(const struct verify_options *o, const struct cid *newest,
                       struct verify_result *result, struct err *err)
{
    struct verify v = {.options = o};
    struct chain chain = {.count = 0};
    char shared[FILES_PATH_MAX];
    int rc = files_join(shared, o->dir, "shared", err);
    if (rc == 0)
        rc = store_open(files_posix(), shared, STORE_READ_ONLY, &v.store, err);
    if (rc == 0)
        rc = walk_back(&v, cid_is_none(&o->head) ? newest : &o->head, &chain, result, err);
    if (rc == 0) {
        v.newest = newest_round(&v, newest);
        if (v.newest < chain.count)
            v.newest = chain.count;
        rc = load_charter(&v, &result->study, err);
    }
    if (rc == 0)
        rc = walk_forward(&v, &chain, result, err);
    roster_fini(&v.roster);
    study_fini(&v.study);
    store_close(v.store);
    free(chain.records);
    return rc;
}

int verify_study(const struct verify_options *o, struct verify_result *out, struct err *err)
{
    struct verify_result result;
    struct cid newest, now;
    bool moved;
    int rc;
    do {
        result = (struct verify_result){.rounds = 0};
        newest = now = (struct cid){.size = 0};
        rc = read_head_file(o->dir, &newest, err); /* before the store: what it names is there */
        if (rc == 0 || !cid_is_none(&o->head))
            rc = verify_from(o, &newest, &result, err);
        /* A program at work closes rounds and lets go of what is old: then look again. */
        moved = rc == ERR_NOTFOUND && read_head_file(o->dir, &now, NULL) == 0 &&
                !cid_equal(&now, &newest);
    } while (moved);
    /* A record past a limit was signed by somebody: that is a lie, not a lack of room here. */
    if (rc == ERR_LIMIT)
        rc = err_wrap(err, ERR_MALFORMED, "past a limit");
    if (rc == 0)
        *out = result;
    else
        out->bad_record = result.bad_record;
    return rc;
}
