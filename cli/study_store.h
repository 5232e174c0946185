/* SPDX-License-Identifier: Apache-2.0 */
/*
 * study_store -- is this store a study's? What it keeps, the plan says; no person removes blocks
 * from it.
 */
#ifndef COLMEIA_CLI_STUDY_STORE_H
#define COLMEIA_CLI_STUDY_STORE_H

#include "cli/options.h"

/* `dir` as --store was given (NULL: not at all). ERR_USAGE if it is in a study's folder. */
int study_store_refuse(const char *dir, struct err *err) MUST_USE;

/* Of the commands that refuse it. */
#define STUDY_STORE_REFUSED_ROW(target)                                                            \
    {                                                                                              \
        .name = "store", .argument = "DIR", .text = (target),                                      \
        .help = "the store; a study's is refused"                                                  \
    }

#endif
