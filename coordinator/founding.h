/* SPDX-License-Identifier: Apache-2.0 */
/*
 * founding -- makes the folder of a new study: keys, certificate, charter, empty roster, layout,
 * initial model, plan.
 *
 * config.toml is written last: a folder without it holds no study, and a second call takes up what
 * an interrupted one left.
 */
#ifndef COLMEIA_COORDINATOR_FOUNDING_H
#define COLMEIA_COORDINATOR_FOUNDING_H

#include "coordinator/folder.h"

#define FOUNDING_PORT 8470 /* control; hints and HTTPS are the two behind it */

/* `model_path` NULL: the plan's architecture, seeded. `listen`: HOST or HOST:PORT (then PORT,
 * PORT+1, PORT+2; 0: three free ones); NULL: 127.0.0.1. ERR_EXISTS if DIR has a study already. */
int founding_make(const char *dir, const char *plan_path, const char *model_path,
                  const char *listen, struct invitation *out, struct err *err) MUST_USE;

#endif
