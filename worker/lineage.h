/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage -- does a task descend from what this site has seen, and is it what the study's records
 * say?
 *
 * Plan, layout, rosters and round records are fetched by their CIDs, so each is the one that was
 * named; then each must be signed by the right party (plan and roster by the founder whom the
 * invitation names, rounds by its coordinator, whom the roster must name too), be of this study and
 * plan, and carry the round's number. The records are followed from the task's `prev` down to the
 * newest one that an earlier walk has proven.
 *
 * Belongs to the worker's jobs, which run one at a time; the loop does not touch it.
 */
#ifndef COLMEIA_WORKER_LINEAGE_H
#define COLMEIA_WORKER_LINEAGE_H

#include <stdatomic.h>

#include "base/world.h"
#include "study/roster.h"
#include "study/round_record.h"
#include "study/study.h"
#include "worker/home.h"
#include "worker/task.h"

struct lineage {
    const struct world *world;
    struct store *store;
    const struct invitation *invitation;
    const struct site *site;
    struct study study;   /* of the plan last asked for; layout NULL: none yet */
    struct roster roster; /* the one last asked for; sites NULL: none yet */
};

struct lineage_walk {
    struct task_head from;    /* proven: the walk ends here */
    struct task_head through; /* seen: the walk passes here */
    struct task_head top;     /* where it begins */
    struct cid watched;     /* is this update among those that the round `watched_round` counted? */
    uint64_t watched_round; /* 0: nothing is watched */
    const atomic_bool *cancel;
};

struct lineage_found {
    struct cid next;      /* the model that `top` made: what the next round's base must be */
    struct cid roster;    /* of `top`; none if that is the charter */
    bool watched_seen;    /* the walk passed the watched round ... */
    bool watched_counted; /* ... and the update was among its updates */
};

void lineage_init(struct lineage *l, const struct world *world, struct store *store,
                  const struct home *home);
void lineage_fini(struct lineage *l);

/* The functions below return 0, or an error: then *verdict says why nothing like it must be trained
 * here, or is VERDICT_FIT if the way was bad and the same question may be asked again. */

/* Charter, plan and layout. */
int lineage_study(struct lineage *l, const struct cid *plan, enum verdict *verdict,
                  struct err *err) MUST_USE;
/* The chain of records; needs the study. */
int lineage_follow(struct lineage *l, const struct lineage_walk *w, struct lineage_found *out,
                   enum verdict *verdict, struct err *err) MUST_USE;
/* The task itself against what lineage_follow found below it. */
int lineage_order(struct lineage *l, const struct task_order *o, const struct lineage_found *below,
                  enum verdict *verdict, struct err *err) MUST_USE;

/* The newest model before `newest` on the chain from the record `head` down, as far as records are
 * here; none if there is none. */
struct cid lineage_older_model(struct lineage *l, const struct cid *head, const struct cid *newest);

#endif
