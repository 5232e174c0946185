/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examples -- one or several CSV files as one table of examples: "all data pooled" as a study would
 * see it, if it could.
 */
#ifndef COLMEIA_CLI_EXAMPLES_H
#define COLMEIA_CLI_EXAMPLES_H

#include "aggregate/moments.h"
#include "model/dataset.h"

#define EXAMPLES_CLASSES 2 /* what the native trainer tells apart */

/* Reads the files one behind the other. All must have as many features as the first. `moments` (may
 * be NULL) adds each file's own in order, as the rule `moments` adds sites'. */
int examples_load(const char *const *paths, size_t count, const char *target, struct dataset *out,
                  struct moments *moments, struct err *err) MUST_USE;

#endif
