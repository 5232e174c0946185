/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native -- the built-in trainer: the plan's network, on the site's table of numbers (CSV) or
 * images (IDX).
 *
 * Loss and accuracy are those of the base before training, on all of the site's examples; the
 * weight is their number. Asked for metrics alone it also says `correct`, a count. The model is
 * held in memory.
 */
#ifndef COLMEIA_WORKER_NATIVE_H
#define COLMEIA_WORKER_NATIVE_H

#include "worker/trainer.h"

int native_run(const struct trainer_task *task, struct trainer_result *out,
               struct err *err) MUST_USE;

#endif
