/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check -- the door: is this update what the round asked of this site? Run in a job's thread;
 * touches no state but the pack's: a block found damaged is forgotten there, and so is missing.
 *
 * Order: the record is there, decodes, is signed by the site; study, round, exchange, plan, base;
 * weight; what the rule asks (delta, values, nothing) and nothing else; index of the plan's layout
 * and right count; every shard there, of the right length, finite, each read once (hashed when it
 * arrived; here, if that was before the program's start); the norm of the whole within the plan's
 * bound; at last everything is synced. For `moments`, the count in the values is the record's
 * examples. What is missing is a list, not a refusal, unless the transfer was spoiled.
 *
 * The norm is the root of the sum of the squares of all `mean` elements, in f64: within a shard in
 * element order, the shards' sums in shard order, so that verify finds the same bits. It is for a
 * delta that is finite and absurd: one element of 3e38 would undo every other site's work.
 */
#ifndef COLMEIA_STUDY_CHECK_H
#define COLMEIA_STUDY_CHECK_H

#include "content/pack.h"
#include "study/refusal.h"
#include "study/study.h"
#include "study/update.h"

#define CHECK_MISSING_MAX 1400

enum check_outcome {
    CHECK_ACCEPTED,
    CHECK_MISSING, /* `missing` lists some or all of what is not there */
    CHECK_REFUSED, /* `code` and `sentence` */
    CHECK_FAILED   /* our own disk or memory: nothing is decided, ask again */
};

struct check_expected {
    const struct study *study;
    struct key_public site; /* the site's Ed25519 key by the roster */
    const char *site_name;  /* for sentences */
    uint64_t round, exchange;
    const struct rule *rule;
    struct cid base;
    enum refusal_code spoiled; /* REFUSAL_NONE; BAD_BLOCK or OVER_QUOTA: missing blocks are then
                                  refused by that name */
};

struct check_result {
    enum check_outcome outcome;
    enum refusal_code code;
    char sentence[256];
    struct err err; /* of CHECK_FAILED */
    uint64_t examples;
    uint64_t bytes;       /* of all the update's blocks, each once */
    struct update update; /* valid if the record could be decoded */
    size_t missing_count;
    struct cid *missing; /* owned */
};

/* Checks `record` of the site against what is expected. `jobs` spreads the shards over cores; may
 * be NULL. */
void check_update(const struct check_expected *e, struct pack *pack, const struct cid *record,
                  struct jobs *jobs, struct check_result *out);
/* Only which blocks are missing: no shard is read, at most CHECK_MISSING_MAX, record first, then
 * index, lists, shards. Outcome is CHECK_MISSING (count 0 also where check_update will refuse),
 * CHECK_REFUSED (spoiled) or CHECK_FAILED. */
void check_missing(const struct check_expected *e, struct pack *pack, const struct cid *record,
                   struct check_result *out);
void check_result_fini(struct check_result *r);

#endif
