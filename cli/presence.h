/* SPDX-License-Identifier: Apache-2.0 */
/*
 * presence -- is all that a root reaches here? Nodes are read, raw leaves only looked up.
 */
#ifndef COLMEIA_CLI_PRESENCE_H
#define COLMEIA_CLI_PRESENCE_H

#include "content/store.h"

struct presence {
    const struct block_source *source;
    bool (*has)(void *self, const struct cid *cid);
    void *self;
    /* NULL, or called for each block that is here, once; false ends the look. */
    bool (*each)(void *self, const struct cid *cid);
};

struct presence_result {
    uint64_t missing;   /* blocks; what is below a missing one is not known */
    struct cid missed;  /* the first of them */
    struct cid strange; /* the first whose links cannot be known (presence_strange), or none */
    bool ended;         /* `each` said so */
};

/* 0 whatever is missing; ERR_MALFORMED, ERR_CORRUPT and so on for a node that cannot be read. */
int presence_look(const struct presence *p, const struct cid *root, struct presence_result *out,
                  struct err *err) MUST_USE;
/* Of a store. */
int presence_in_store(struct store *s, const struct cid *root, struct presence_result *out,
                      struct err *err) MUST_USE;
/* Is it a block of a codec that is not known here, so that nobody knows what it links? */
bool presence_strange(const struct cid *cid);
/* ERR_UNSUPPORTED says so of it: "its codec 0x65 is not known here ...". */
int presence_tell_strange(const struct cid *cid, struct err *err) MUST_USE;

#endif
