/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate_setup -- the folders of a simulated study, made by the same code as real ones.
 *
 *     OUT/plan.toml           the plan file's copy: another one is not taken for it
 *     OUT/study/              a coordinator's folder
 *     OUT/sites/client-0001/  a worker's folder, and so on, admitted in this order
 *
 * What an earlier call made is taken up, whether it was interrupted or not.
 */
#ifndef COLMEIA_CLI_SIMULATE_SETUP_H
#define COLMEIA_CLI_SIMULATE_SETUP_H

#include "base/files.h"

struct simulate_setup {
    const char *out;
    const char *plan;  /* file */
    const char *model; /* file of the initial model; NULL: the plan's own */
    size_t clients;
    char *const *data; /* (clients) files; NULL: none */
};

/* ERR_USAGE: plan, data or number of clients do not fit each other, or what OUT holds. */
int simulate_setup_make(const struct simulate_setup *s, struct err *err) MUST_USE;

/* OUT/study, and OUT/sites/NAME of client `index` (from 0). */
int simulate_setup_study(const char *out, char path[FILES_PATH_MAX], struct err *err) MUST_USE;
int simulate_setup_site(const char *out, size_t index, char path[FILES_PATH_MAX],
                        struct err *err) MUST_USE;

#endif
