/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native -- the built-in trainer: the plan's architecture, on the site's table of numbers.
 *
 * Loss and accuracy are those of the base before training, on all of the site's rows; the weight is
 * their number. The model is held in memory.
 */
#ifndef COLMEIA_WORKER_NATIVE_H
#define COLMEIA_WORKER_NATIVE_H

#include "worker/trainer.h"

#define NATIVE_MODEL_BYTES_MAX (1ull << 30)

int native_run(const struct trainer_task *task, struct trainer_result *out,
               struct err *err) MUST_USE;

#endif
