/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts -- one computation on all cores, of which a part may fail.
 *
 * The failure told is that of the first part that fails, in the order of the parts, so that a
 * person reads the same sentence whatever the threads did.
 */
#ifndef COLMEIA_STUDY_PARTS_H
#define COLMEIA_STUDY_PARTS_H

#include "base/jobs.h"

/* Calls part(self, i, err) for i in 0..count-1 on the threads of `jobs` (NULL: this one) and
 * returns when all have returned. Parts behind one that failed may be left out; none before it is.
 */
int parts_run(struct jobs *jobs, size_t count, int (*part)(void *self, size_t i, struct err *err),
              void *self, struct err *err) MUST_USE;

#endif
