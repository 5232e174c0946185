/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "study/check.h"
#include "study/combine.h"
#include "study/verify_internal.h"

/* A round's answers as they are found here. Arrays are (selected_count), in roster order. */
struct answers {
    const struct verify *v;
    const struct round_record *r;
    const struct rule *rule;
    uint32_t *sites;                /* roster indices, ascending */
    struct pack **packs;            /* NULL: not held */
    bool *answered;                 /* an update or a refusal of the site is listed */
    bool *equivocated;              /* ... and, besides its update, the proof of another one */
    const struct cid **accepted;    /* the site's update; NULL: none is listed, or not held here */
    size_t count;                   /* updates held; all of them: update_count */
    struct combine_update *updates; /* (update_count) */
    uint64_t bytes;                 /* of these */
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static const char *name_of(const struct answers *a, size_t k)
{
    return a->v->roster.sites[a->sites[k]].site.name;
}

static int check_selected(struct answers *a, struct err *err)
{
    const struct round_record *r = a->r;
    const struct roster *roster = &a->v->roster;
    memcpy(a->sites, r->selected, r->selected_count * sizeof *a->sites);
    qsort(a->sites, r->selected_count, sizeof *a->sites, by_number);
    for (size_t k = 0; k < r->selected_count; k++) {
        uint32_t site = a->sites[k];
        if (site >= roster->count)
            return err_set(err, ERR_DENIED, "it selects site %u of a roster of %zu", site,
                           roster->count);
        if (!roster_is_active(roster, site, r->round))
            return err_set(err, ERR_DENIED, "it selects site %s, which the roster does not admit",
                           name_of(a, k));
    }
    return 0;
}

static int pack_path(const struct answers *a, uint32_t site, char out[FILES_PATH_MAX],
                     struct err *err)
{
    return study_pack_path(a->v->options->dir, &a->v->roster.sites[site].id, a->r->round, out, err);
}

static int open_pack(const struct answers *a, uint32_t site, struct pack **out, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = pack_path(a, site, path, err);
    if (rc == 0)
        rc = pack_open(files_posix(), path, false, out, err);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* An update's blocks are records, lists and shards. The pack finds blocks by their hash alone, so
 * that a damaged codec in front of one would not be seen. */
static int check_section(void *self, const struct cid *cid, uint32_t size, struct err *err)
{
    const char *path = self;
    char text[CID_TEXT_MAX];
    (void)size;
    if (cid_codec(cid) == CID_RAW || cid_codec(cid) == CID_DAG_CBOR)
        return 0;
    return err_set(err, ERR_CORRUPT, "pack %.400s names a block of an unknown kind, %s", path,
                   cid_format(cid, text));
}

static int open_packs(struct answers *a, struct err *err)
{
    char path[FILES_PATH_MAX];
    for (size_t k = 0; k < a->r->selected_count; k++) {
        int rc = pack_path(a, a->sites[k], path, err);
        if (rc == 0)
            rc = open_pack(a, a->sites[k], &a->packs[k], err);
        if (rc == 0 && a->packs[k] != NULL)
            rc = pack_each(a->packs[k], check_section, path, err);
        if (rc != 0)
            return err_wrap(err, rc, "update of %s", name_of(a, k));
    }
    return 0;
}

/* Is the record in pack `k`, and signed by that pack's site? */
static bool is_of(const struct answers *a, size_t k, const struct cid *record)
{
    struct buf block = buf_new(RECORD_BYTES_MAX);
    struct update u;
    bool own = pack_get(a->packs[k], record, &block, NULL) == 0 &&
               update_decode(buf_bytes(&block), &u, NULL) == 0 &&
               key_equal(&u.by, &a->v->roster.sites[a->sites[k]].site.ed25519);
    buf_fini(&block);
    return own;
}

/* A site may have sent another one's record along: the signer's pack counts before any. */
static long find_holder(const struct answers *a, const struct cid *record)
{
    long holder = -1;
    for (size_t k = 0; k < a->r->selected_count; k++) {
        if (a->packs[k] == NULL || !pack_has(a->packs[k], record))
            continue;
        if (is_of(a, k, record))
            return (long)k;
        if (holder < 0)
            holder = (long)k;
    }
    return holder;
}

/* May an update that is not here be missed? */
static bool may_be_gone(const struct answers *a)
{
    return a->v->options->worker ||
           a->r->round < plan_updates_held_from(&a->v->study.plan, a->v->newest);
}

/* No selected site's pack has it: another site's, perhaps? Asked on the way to a "no" only. */
static int explain_absence(const struct answers *a, const struct cid *record, struct err *err)
{
    const struct roster *roster = &a->v->roster;
    for (size_t i = 0; i < roster->count; i++) {
        struct pack *pack = NULL;
        bool has =
            open_pack(a, (uint32_t)i, &pack, NULL) == 0 && pack != NULL && pack_has(pack, record);
        pack_close(pack);
        if (has)
            return err_set(err, ERR_DENIED, "it is of site %s, which was not selected",
                           roster->sites[i].site.name);
    }
    return may_be_gone(a)
               ? 0
               : err_set(err, ERR_NOTFOUND, "it is not held, though the plan does not let it go");
}

/* The door forgets a damaged block, to ask for it again. Here it is what a person wants to know:
 * the file, looked at afresh, says where it is. */
static int explain_missing(const struct answers *a, size_t k, const struct cid *cid,
                           struct err *err)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct pack *pack = NULL;
    char text[CID_TEXT_MAX];
    int rc = open_pack(a, a->sites[k], &pack, err);
    if (rc == 0 && pack != NULL)
        rc = pack_get(pack, cid, &block, err);
    if (rc == 0)
        rc = err_set(err, ERR_NOTFOUND, "block %s went while it was read", cid_format(cid, text));
    pack_close(pack);
    buf_fini(&block);
    return rc;
}

/* The door's own check, on what is held for good: every block is read and hashed. */
static int check_one(struct answers *a, size_t k, const struct cid *record, struct err *err)
{
    const struct verify *v = a->v;
    struct check_expected expected = {.study = &v->study,
                                      .site = v->roster.sites[a->sites[k]].site.ed25519,
                                      .site_name = name_of(a, k),
                                      .round = a->r->round,
                                      .rule = a->rule,
                                      .base = a->r->base};
    struct check_result found;
    check_update(&expected, a->packs[k], record, v->options->jobs, &found);
    int rc = 0;
    if (found.outcome == CHECK_REFUSED)
        rc = err_set(err, ERR_DENIED, "it had to be refused, %s: %s", refusal_name(found.code),
                     found.sentence);
    else if (found.outcome == CHECK_MISSING)
        rc = explain_missing(a, k, &found.missing[0], err);
    else if (found.outcome == CHECK_FAILED)
        rc = err_set(err, found.err.code, "%s", found.err.text);
    if (rc == 0) {
        const struct cid *answer =
            cid_is_none(&found.update.delta) ? &found.update.values : &found.update.delta;
        a->updates[a->count++] = (struct combine_update){.weight = (uint32_t)found.examples,
                                                         .answer = *answer,
                                                         .pack = a->packs[k],
                                                         .site_name = name_of(a, k)};
        a->bytes += found.bytes;
    }
    check_result_fini(&found);
    return rc;
}

static bool listed_before(const struct cid *list, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (cid_equal(&list[k], &list[i]))
            return true;
    return false;
}

static int check_updates(struct answers *a, struct err *err)
{
    long last = -1;
    for (size_t i = 0; i < a->r->update_count; i++) {
        const struct cid *record = &a->r->updates[i];
        char text[CID_TEXT_MAX];
        long k = find_holder(a, record);
        int rc = 0;
        if (listed_before(a->r->updates, i))
            rc = err_set(err, ERR_DENIED, "it is listed twice");
        else if (k < 0)
            rc = explain_absence(a, record, err);
        else if (a->answered[k])
            rc = err_set(err, ERR_DENIED, "another one of the same site is listed");
        else if (k < last)
            rc = err_set(err, ERR_DENIED, "it is not listed in the roster's order");
        else
            rc = check_one(a, (size_t)k, record, err);
        if (rc != 0 && k >= 0)
            return err_wrap(err, rc, "update %s of %s", cid_format(record, text),
                            name_of(a, (size_t)k));
        if (rc != 0)
            return err_wrap(err, rc, "update %s", cid_format(record, text));
        if (k >= 0) {
            a->answered[k] = true;
            a->accepted[k] = record;
            last = k;
        }
    }
    return 0;
}

/* --- refusals --- */

static int hash_block(void *self, const struct cid *cid, uint32_t size, struct err *err)
{
    (void)size;
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    int rc = pack_get(self, cid, &block, err);
    buf_fini(&block);
    return rc;
}

/* What a refused site sent proves why it was refused: all of it is hashed, whatever it means. One
 * that declined may have sent nothing. */
static int check_refused_pack(const struct answers *a, size_t k, const struct refusal *refusal,
                              struct err *err)
{
    struct pack *pack = a->packs[k];
    char text[CID_TEXT_MAX], path[FILES_PATH_MAX];
    bool spoiled = refusal->code == REFUSAL_BAD_BLOCK || refusal->code == REFUSAL_OVER_QUOTA ||
                   refusal->code == REFUSAL_DISK_FULL;
    if (pack == NULL)
        return 0;
    int rc = pack_path(a, a->sites[k], path, err);
    if (rc != 0)
        return rc;
    if (!spoiled && !cid_is_none(&refusal->record) && !pack_has(pack, &refusal->record))
        return err_set(err, ERR_NOTFOUND, "the refused record %s is not in pack %.400s",
                       cid_format(&refusal->record, text), path);
    return pack_each(pack, hash_block, pack, err);
}

/* Which of the selected sites it is about; -1: none. */
static long find_site(const struct answers *a, const struct cid *id)
{
    for (size_t k = 0; k < a->r->selected_count; k++)
        if (cid_equal(&a->v->roster.sites[a->sites[k]].id, id))
            return (long)k;
    return -1;
}

/* Whoever accuses a site of two stories must show both: the second is in its pack, too, signed by
 * it for the same exchange. */
static int check_proof(const struct answers *a, size_t k, const struct refusal *refusal,
                       struct err *err)
{
    struct buf block = buf_new(PACK_BLOCK_BYTES_MAX);
    struct update u;
    if (a->packs[k] == NULL)
        return 0;
    int rc = pack_get(a->packs[k], &refusal->record, &block, err);
    if (rc == 0)
        rc = update_decode(buf_bytes(&block), &u, err);
    buf_fini(&block);
    if (rc != 0)
        return err_wrap(err, rc, "its proof");
    if (!key_equal(&u.by, &a->v->roster.sites[a->sites[k]].site.ed25519))
        return err_set(err, ERR_DENIED, "its proof is not signed by the site");
    if (!cid_equal(&u.study, &a->r->study) || !cid_equal(&u.plan, &a->r->plan) ||
        u.round != a->r->round || u.exchange != 0)
        return err_set(err, ERR_DENIED, "its proof is of another round, exchange, plan or study");
    if (a->accepted[k] != NULL && cid_equal(a->accepted[k], &u.cid))
        return err_set(err, ERR_DENIED, "its proof is the update that was accepted");
    return 0;
}

/* May the site have this refusal, given what else is listed of it? */
static int check_answer(const struct answers *a, size_t k, const struct refusal *refusal,
                        struct err *err)
{
    bool all_held = a->count == a->r->update_count;
    if (refusal->code != REFUSAL_EQUIVOCATION)
        return a->answered[k]
                   ? err_set(err, ERR_DENIED, "another answer of site %s is listed", name_of(a, k))
                   : 0;
    if (a->equivocated[k])
        return err_set(err, ERR_DENIED, "another proof against site %s is listed", name_of(a, k));
    if (a->accepted[k] == NULL && (all_held || a->answered[k]))
        return err_set(err, ERR_DENIED, "it is about a second update of site %s, without a first",
                       name_of(a, k));
    return check_proof(a, k, refusal, err);
}

static int check_refusal(struct answers *a, const struct refusal *refusal, long *last,
                         struct err *err)
{
    if (refusal->round != a->r->round || !cid_equal(&refusal->plan, &a->r->plan))
        return err_set(err, ERR_DENIED, "it is of another round or plan");
    long found = find_site(a, &refusal->site);
    if (found < 0)
        return err_set(err, ERR_DENIED, "it is of a site that was not selected");
    size_t k = (size_t)found;
    int rc = check_answer(a, k, refusal, err);
    if (rc != 0)
        return rc;
    if (found < *last)
        return err_set(err, ERR_DENIED, "it is not listed in the roster's order");
    a->answered[k] = true;
    a->equivocated[k] = refusal->code == REFUSAL_EQUIVOCATION;
    *last = found;
    rc = check_refused_pack(a, k, refusal, err);
    return rc != 0 ? err_wrap(err, rc, "site %s", name_of(a, k)) : 0;
}

static int check_refusals(struct answers *a, struct err *err)
{
    struct buf block = buf_new(STORE_BLOCK_BYTES_MAX);
    long last = -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->r->refused_count; i++) {
        const struct cid *cid = &a->r->refused[i];
        struct refusal refusal;
        char text[CID_TEXT_MAX];
        rc = study_get(a->v->store, cid, &block, err);
        if (rc == ERR_NOTFOUND && a->v->options->worker) {
            rc = 0; /* another site's */
            continue;
        }
        if (rc == 0)
            rc = refusal_decode(buf_bytes(&block), &a->v->study.charter.cid,
                                &a->v->roster.coordinator, &refusal, err);
        if (rc == 0)
            rc = check_refusal(a, &refusal, &last, err);
        if (rc != 0)
            rc = err_wrap(err, rc, "refusal %s", cid_format(cid, text));
    }
    buf_fini(&block);
    return rc;
}

/* --- what follows from the answers --- */

/* A refused update's bytes were counted when it came: only what was accepted can be added up. */
static int check_metering(const struct answers *a, struct err *err)
{
    const struct round_record *r = a->r;
    bool agrees = r->refused_count == 0 ? r->received == a->bytes : r->received >= a->bytes;
    return agrees ? 0
                  : err_set(err, ERR_DENIED, "it counts %llu bytes received, its updates have %llu",
                            (unsigned long long)r->received, (unsigned long long)a->bytes);
}

static int recompute(const struct answers *a, struct err *err)
{
    const struct round_record *r = a->r;
    struct combine combine = {.study = &a->v->study,
                              .rule = a->rule,
                              .store = a->v->store,
                              .base = r->base,
                              .state = a->v->state,
                              .t = plan_training_rounds(&a->v->study.plan, r->round),
                              .updates = a->updates,
                              .update_count = a->count,
                              .jobs = a->v->options->jobs,
                              .dry = true,
                              .part = "verify"};
    struct combine_result found = {0};
    char here[CID_TEXT_MAX], there[CID_TEXT_MAX];
    int rc = combine_round(&combine, &found, err);
    if (rc != 0)
        return err_wrap(err, rc, "recomputing the next model");
    if (strcmp(found.failure, r->failure) != 0)
        return err_set(err, ERR_DENIED, "its failure is \"%s\" where its updates give \"%s\"",
                       r->failure, found.failure);
    if (!cid_equal(&found.next, &r->next))
        return err_set(err, ERR_DENIED, "its next model is %s where its updates give %s",
                       cid_format(&r->next, there), cid_format(&found.next, here));
    if (!cid_equal(&found.state, &r->state))
        return err_set(err, ERR_DENIED, "its optimiser's state is %s where its updates give %s",
                       cid_format(&r->state, there), cid_format(&found.state, here));
    return 0;
}

/* Is what the updates are added to here? */
static bool base_held(const struct answers *a)
{
    const struct cid *state = &a->v->state;
    return verify_model_held(a->v, &a->r->base) &&
           (!a->rule->trains || cid_is_none(state) || verify_model_held(a->v, state));
}

static int check_answers(struct answers *a, enum verify_depth *depth, struct err *err)
{
    const struct round_record *r = a->r;
    int rc = check_selected(a, err);
    if (rc == 0)
        rc = open_packs(a, err);
    if (rc == 0)
        rc = check_updates(a, err);
    if (rc == 0)
        rc = check_refusals(a, err);
    if (rc != 0 || a->count < r->update_count)
        return rc;
    rc = check_metering(a, err);
    bool no_quorum = strcmp(r->failure, "no-quorum") == 0; /* nothing was averaged */
    bool possible = no_quorum || base_held(a);
    if (rc == 0 && possible && !no_quorum)
        rc = recompute(a, err);
    if (rc == 0 && possible)
        *depth = VERIFY_FULL;
    return rc;
}

int verify_update_round(const struct verify *v, const struct round_record *r,
                        enum verify_depth *depth, struct err *err)
{
    struct answers a = {.v = v, .r = r, .rule = plan_rule(&v->study.plan, r->round)};
    a.sites = calloc(r->selected_count + 1, sizeof *a.sites);
    a.packs = calloc(r->selected_count + 1, sizeof(struct pack *));
    a.answered = calloc(r->selected_count + 1, sizeof *a.answered);
    a.equivocated = calloc(r->selected_count + 1, sizeof *a.equivocated);
    a.accepted = calloc(r->selected_count + 1, sizeof(const struct cid *));
    a.updates = calloc(r->update_count + 1, sizeof *a.updates);
    int rc = a.sites == NULL || a.packs == NULL || a.answered == NULL || a.equivocated == NULL ||
                     a.accepted == NULL || a.updates == NULL
                 ? err_set(err, ERR_NOMEM, "out of memory")
                 : check_answers(&a, depth, err);
    for (size_t k = 0; a.packs != NULL && k < r->selected_count; k++)
        pack_close(a.packs[k]);
    free(a.sites);
    free(a.packs);
    free(a.answered);
    free(a.equivocated);
    free(a.accepted);
    free(a.updates);
    return rc;
}
