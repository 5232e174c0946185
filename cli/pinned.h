/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pinned -- pins as commands set and ask for them.
 */
#ifndef COLMEIA_CLI_PINNED_H
#define COLMEIA_CLI_PINNED_H

#include "cli/options.h"
#include "content/pins.h"
#include "content/store.h"

/* Rows of commands that pin what they put into a store. */
#define PINNED_NOT_ROW(target)                                                                     \
    {                                                                                              \
        .name = "no-pin", .flag = (target), .help = "pin nothing: `gc` may remove it"              \
    }
#define PINNED_NAME_ROW(target)                                                                    \
    {                                                                                              \
        .name = "pin-name", .argument = "NAME", .text = (target), .help = "a name for the pin"     \
    }

/* Pins a root by the name that a person gave (NULL: none). ERR_USAGE for one that is too long,
 * ERR_UNSUPPORTED for a recursive pin of a codec that is not known here (presence_strange): `gc`
 * could not follow it. */
int pinned_add(struct store *s, const struct cid *root, bool recursive, const char *name,
               struct err *err) MUST_USE;
/* The same complaint, before anything is done. */
int pinned_check_name(const char *name, struct err *err) MUST_USE;
/* Which pin keeps a block? `by`: a pin that is the block or reaches it, or none. A pinned DAG is
 * looked through as far as it is there. */
int pinned_by(struct store *s, const struct cid *cid, struct cid *by, struct err *err) MUST_USE;

#endif
