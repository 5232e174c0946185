/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work -- what runs in threads: the door, looking up closed rounds, combining, retention.
 *
 * Work belongs to its thread from its start until it comes back through the world; it reads only
 * what does not change while the program runs, and snapshots taken at its start. One piece of a
 * site's at a time: whoever asks meanwhile asks again.
 */
#ifndef COLMEIA_COORDINATOR_WORK_H
#define COLMEIA_COORDINATOR_WORK_H

#include "coordinator/coordinator.h"

/* `finish` runs in the loop when the work is done, and says whether it made an event; `free` in any
 * case. */
struct work {
    struct job job;
    struct coordinator *coordinator;
    bool of_site; /* keeps `site` busy */
    uint32_t site;
    uint64_t round;
    struct cid record;
    bool (*finish)(struct coordinator *c, struct work *w, struct round_event *event);
    void (*free)(struct work *w);
};

/* work.c */
void work_start(struct coordinator *c, struct work *w, void (*run)(struct job *job));
bool work_finish(struct coordinator *c, struct job *job, struct round_event *event);
/* Waits till all work has come back and drops its results. */
void work_drain(struct coordinator *c);

/* examine.c: the door. Is `record` fit, or: what of it is missing? */
void examine_update(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                    bool only_list);
/* Is `record` an update of the site for this round that differs from the accepted one? Then that is
 * written down. */
void examine_second(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record);
/* The site declined by `code`: that is written down. */
void examine_decline(struct coordinator *c, uint32_t site, uint64_t round, enum refusal_code code);
/* look_up.c: the answer to a submission for a closed round, from that round's record. */
void look_up_answer(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record);
/* Is `record`, which our own statement in the site's hands calls the record of `round`, in our
 * chain? Then it is welcome. */
void look_up_evidence(struct coordinator *c, uint32_t site, uint64_t round,
                      const struct cid *record);
/* combining.c: the next model and the round's record. */
void combining_start(struct coordinator *c);
/* Again, if the block that it missed has come. */
void combining_retry(struct coordinator *c);
/* retention.c: removes what the plan no longer keeps. */
void retention_start(struct coordinator *c);

#endif
