/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act -- what the round wished for, done: messages, jobs, files, words.
 *
 * Called after the commit of the events that asked for it. A message that cannot be sent is lost:
 * the worker asks again.
 */
#ifndef COLMEIA_COORDINATOR_ACT_H
#define COLMEIA_COORDINATOR_ACT_H

#include "coordinator/coordinator.h"

/* Performs the collected effects: the loop's `perform`. */
int act_perform(void *self, struct err *err) MUST_USE;
/* Fills the envelope and sends `m` to site `index`, if a way to it is known. */
void act_send(struct coordinator *c, uint32_t index, struct msg *m);
/* Refuses with the stored record `refusal`, or, if that is none, with one signed for this answer
 * alone. */
void act_refuse(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
                enum refusal_code code, const struct cid *refusal);
void act_acknowledge(struct coordinator *c, uint32_t site, uint64_t round,
                     const struct cid *record);
void act_list(struct coordinator *c, uint32_t site, uint64_t round, const struct cid *record,
              const struct cid *cids, size_t count);
void act_welcome(struct coordinator *c, uint32_t site);
/* Appends the signed statement of the newest closed round; nothing before the first. */
int act_head_statement(struct coordinator *c, struct buf *out, struct err *err) MUST_USE;

#endif
