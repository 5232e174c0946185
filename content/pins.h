/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pins -- what a store must keep: roots with all that is below them, or single blocks, each with a
 * name if a person gave one.
 *
 *     ROOT/pins/CID     one line: recursive|direct, then the name; whole or not at all
 */
#ifndef COLMEIA_CONTENT_PINS_H
#define COLMEIA_CONTENT_PINS_H

#include "base/cid.h"
#include "base/files.h"

#define PINS_NAME_MAX 256 /* NUL included */

struct pin {
    struct cid cid;
    bool recursive;
    char name[PINS_NAME_MAX]; /* "": none */
};

/* Replaces a pin of the same CID. Synced. ERR_USAGE for a name with control characters or too long
 * a one. */
int pins_add(const struct files *f, const char *root, const struct pin *pin,
             struct err *err) MUST_USE;
/* ERR_NOTFOUND "not pinned". */
int pins_remove(const struct files *f, const char *root, const struct cid *cid,
                struct err *err) MUST_USE;
int pins_get(const struct files *f, const char *root, const struct cid *cid, struct pin *out,
             struct err *err) MUST_USE;
/* Removes what killed writers left; nobody else may use the store. */
int pins_sweep(const struct files *f, const char *root, struct err *err) MUST_USE;
/* In the byte order of CIDs' texts. ERR_CORRUPT names a file that is no pin. */
int pins_each(const struct files *f, const char *root,
              int (*each)(void *self, const struct pin *pin, struct err *err), void *self,
              struct err *err) MUST_USE;

#endif
