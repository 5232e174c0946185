/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synthetic -- the two test trainers, `null` and `constant`: arithmetic on the base, no data.
 *
 * They exist to measure and test everything around training: their cost is one pass over the
 * model's file, in pieces of 1 MiB whatever its size, and what they add is known.
 */
#ifndef COLMEIA_WORKER_SYNTHETIC_H
#define COLMEIA_WORKER_SYNTHETIC_H

#include "worker/trainer.h"

#define SYNTHETIC_PIECE_BYTES (1u << 20)

int synthetic_run_null(const struct trainer_task *task, struct trainer_result *out,
                       struct err *err) MUST_USE;
int synthetic_run_constant(const struct trainer_task *task, struct trainer_result *out,
                           struct err *err) MUST_USE;

#endif
