/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_option -- which store a command means.
 *
 * --store DIR (a study's folder has its store in shared/), else $COLMEIA_STORE, else
 * $XDG_DATA_HOME/colmeia/store, else ~/.local/share/colmeia/store.
 */
#ifndef COLMEIA_CLI_STORE_OPTION_H
#define COLMEIA_CLI_STORE_OPTION_H

#include "cli/options.h"
#include "content/store.h"

/* `given`: what --store says, or NULL. */
int store_option_path(const char *given, char out[FILES_PATH_MAX], struct err *err) MUST_USE;
/* ERR_USAGE for what is no store: a file, or a folder that holds something else; one that is empty
 * or not there becomes a store where `mode` makes one. Else ERR_USAGE if somebody named it with
 * --store, ERR_NOTFOUND if not. */
int store_option_open(const char *given, enum store_mode mode, struct store **out,
                      struct err *err) MUST_USE;

/* For commands that only take away: a store that is not there is not made. */
int store_option_open_present(const char *given, enum store_mode mode, struct store **out,
                              struct err *err) MUST_USE;
/* Opens one that is there, and calls `one` with each operand until it fails. */
int store_option_each(const char *given, enum store_mode mode, const struct options *o,
                      int (*one)(void *self, struct store *s, const char *operand, struct err *err),
                      void *self, struct err *err) MUST_USE;

#define STORE_OPTION_ROW(target)                                                                   \
    {                                                                                              \
        .name = "store", .argument = "DIR", .text = (target),                                      \
        .help = "the store, or a study's folder"                                                   \
    }
/* Of commands that put something into it. */
#define STORE_OPTION_MADE_ROW(target)                                                              \
    {                                                                                              \
        .name = "store", .argument = "DIR", .text = (target),                                      \
        .help = "the store, made if absent; or a study's folder"                                   \
    }
#define STORE_OPTION_NO_SYNC_ROW(target)                                                           \
    {                                                                                              \
        .name = "no-sync", .flag = (target), .help = "do not wait until it is on the disk"         \
    }

#endif
