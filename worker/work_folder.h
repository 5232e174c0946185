/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work_folder -- DIR/work, where trainers write: whatever one left there goes.
 */
#ifndef COLMEIA_WORKER_WORK_FOLDER_H
#define COLMEIA_WORKER_WORK_FOLDER_H

#include "base/files.h"

#define WORK_FOLDER_DEPTH_MAX 32

/* Removes all that is in the site's DIR/work, folders too; links are removed, never followed. */
int work_folder_clear(const struct files *f, const char *dir, struct err *err) MUST_USE;

#endif
