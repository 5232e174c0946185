/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin -- where a command takes blocks from: the store of --store (store_option.h), and whom it
 * may ask for what is not there (sources.h), which then goes into the store.
 *
 * Zeroed, filled by the two rows, opened, closed whatever came back.
 */
#ifndef COLMEIA_CLI_ORIGIN_H
#define COLMEIA_CLI_ORIGIN_H

#include "cli/options.h"
#include "cli/store_option.h"

struct sources;

struct origin {
    const char *dir;            /* --store */
    struct options_list from;   /* --from */
    struct store *store;        /* these from origin_open on */
    struct sources *sources;    /* NULL: nobody is asked */
    struct block_source source; /* any thread may */
};

#define ORIGIN_FROM_ROW(o)                                                                         \
    {                                                                                              \
        .name = "from", .argument = "URL", .list = &(o)->from,                                     \
        .help = "a gateway to ask for what is not there; may be given again"                       \
    }
/* Of commands that take from it and of those that put into it. */
#define ORIGIN_ROWS(o)      STORE_OPTION_ROW(&(o)->dir), ORIGIN_FROM_ROW(o)
#define ORIGIN_MADE_ROWS(o) STORE_OPTION_MADE_ROW(&(o)->dir), ORIGIN_FROM_ROW(o)

/* Opens the store to be read; to be written as well (STORE_SHARE) if `write`, or if somebody may be
 * asked. A store that another program writes to is only read, and nobody is asked unless --from
 * names him. */
int origin_open(struct origin *o, bool write, struct err *err) MUST_USE;
void origin_close(struct origin *o);

/* What a person means by CID or CID/path: follows the path to a block. With `rest` NULL it must
 * lead to one, not into one; else `rest` is what names a place inside it (points into `target`). */
int origin_find(const struct origin *o, const char *target, struct cid *out, const char **rest,
                struct err *err) MUST_USE;
/* Opens it to be read, and reads the block that origin_find finds. */
int origin_load(struct origin *o, const char *target, struct cid *cid, const char **rest,
                struct buf *block, struct err *err) MUST_USE;
/* Brings all that `root` reaches into the store, if somebody may be asked; else does nothing.
 * `sync`: and waits until it is on the disk. */
int origin_fetch(const struct origin *o, const struct cid *root, bool sync,
                 struct err *err) MUST_USE;

#endif
