/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output -- may a command write to the place that a person named?
 *
 * What is written replaces what has that name, so nothing but a file is given up: never a folder, a
 * symlink, a device, a FIFO or a socket.
 */
#ifndef COLMEIA_CLI_OUTPUT_H
#define COLMEIA_CLI_OUTPUT_H

#include <stdbool.h>

#include "base/err.h"

/* 0 where nothing has the name, or with `force` where a file has it; else ERR_USAGE says what is
 * there. To be asked before anything is fetched or computed. */
int output_check(const char *path, bool force, struct err *err) MUST_USE;

#endif
