/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored_file -- a file that a store holds, as something to read at any place: a study's model lies
 * in one piece, what `add` put into packs is written to a file without a name.
 */
#ifndef COLMEIA_CLI_STORED_FILE_H
#define COLMEIA_CLI_STORED_FILE_H

#include "base/cid.h"

/* `dir` as --store was given, or NULL. Every byte was hashed: ERR_CORRUPT, ERR_NOTFOUND naming the
 * block. The caller closes `fd`. */
int stored_file_open(const char *dir, const struct cid *root, int *fd, struct err *err) MUST_USE;

#endif
