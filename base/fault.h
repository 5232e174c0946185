/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault -- named points where a test may kill the process or make a call fail. In test builds only
 * (-DFAULTS); elsewhere FAULT_POINT is nothing and fault_hits does not exist.
 *
 * COLMEIA_FAULT="name[:n]=kill|stop|fail[,...]": at the n-th pass (default 1) of the point, SIGKILL
 * the process, SIGSTOP it, or return an error from FAULT_FAIL. A name that no point ever had is
 * said on stderr at exit, so that a test cannot pass by misspelling one.
 */
#ifndef COLMEIA_BASE_FAULT_H
#define COLMEIA_BASE_FAULT_H

#include "base/err.h"

#ifdef FAULTS
int fault_hit(const char *name, struct err *err);
#define FAULT_POINT(name) ((void)fault_hit(name, NULL))
#define FAULT_FAIL(name, err)                                                                      \
    fault_hit(name, err) /* 0, or ERR_IO where the environment says fail */
#else
#define FAULT_POINT(name)     ((void)0)
#define FAULT_FAIL(name, err) 0
#endif

#endif
