/* SPDX-License-Identifier: Apache-2.0 */
/*
 * examples -- one or several data files (CSV or IDX) as one table of examples: "all data pooled" as
 * a study would see it, if it could.
 */
#ifndef COLMEIA_CLI_EXAMPLES_H
#define COLMEIA_CLI_EXAMPLES_H

#include "aggregate/moments.h"
#include "cli/options.h"
#include "model/dataset.h"

/* Reads the files one behind the other. All must have as many features as the first. `target` is
 * the column of a table. `moments` (may be NULL) adds each file's own in order, as the rule
 * `moments` adds sites'. */
int examples_load(const struct options_list *files, const char *target, size_t classes,
                  struct dataset *out, struct moments *moments, struct err *err) MUST_USE;

#endif
