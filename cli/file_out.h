/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_out -- a file, or a part of it, to the standard output: `cat`, and `get -o -`.
 */
#ifndef COLMEIA_CLI_FILE_OUT_H
#define COLMEIA_CLI_FILE_OUT_H

#include "cli/origin.h"

/* What `target` names, from byte `begin` to before `end` (UINT64_MAX: its end). ERR_UNSUPPORTED
 * says what to do with a folder, before anything of it is fetched. `o` is open. */
int file_out(const struct origin *o, const char *target, uint64_t begin, uint64_t end,
             struct err *err) MUST_USE;

#endif
