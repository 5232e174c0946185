/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input -- what a command is given to read: a file, or the standard input by the name `-`.
 */
#ifndef COLMEIA_CLI_INPUT_H
#define COLMEIA_CLI_INPUT_H

#include "cli/options.h"

/* Appends all of it; ERR_LIMIT past what `out` may hold. */
int input_load(const char *path, struct buf *out, struct err *err) MUST_USE;
/* A descriptor to read it from; input_close afterwards. */
int input_open(const char *path, int *fd, struct err *err) MUST_USE;
void input_close(int fd); /* negative: nothing to do */
/* For sentences: the path, or "the standard input". */
const char *input_name(const char *path);
/* For commands that take [FILE|-]...: without one it is the standard input, unless a person sits
 * there: then false, and that was said. */
bool input_operands(struct options *o, int *status);

#endif
