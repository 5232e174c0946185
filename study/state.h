/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state -- a server optimiser's state on its way through a round: read, changed, written in one
 * pass.
 *
 * It is one safetensors file of F32 tensors: for each `mean` tensor NAME of the layout, in layout
 * order, m/NAME; then, for optimisers with two slots, v/NAME likewise. So its data are two flat
 * runs, m (N) and v (N), in the order in which `mean` elements stand in the model's file. Both are
 * walked at once: two places in one file, whose leaves are complete at different times; the leaf
 * where m ends and v begins is open to the end. Every leaf is read and hashed once, but for that
 * one, and written once. Memory: the runs asked for, four leaves, and 32 bytes a leaf.
 *
 * No state (the study's first training round) is read as zeros.
 */
#ifndef COLMEIA_STUDY_STATE_H
#define COLMEIA_STUDY_STATE_H

#include "base/jobs.h"
#include "content/store.h"
#include "model/layout.h"

#define STATE_HEADER_MAX                                                                           \
    (8u << 20) /* of two slots: no canonical model's header makes it larger                        \
                */

struct state;

struct state_setting {
    struct store *store;
    const struct layout *layout; /* the model's */
    size_t slots;                /* 1: m; 2: m and v */
    struct cid base;             /* none: all zero */
    const char *part;            /* name of the part file in the store; NULL: hash only */
    struct jobs *jobs;           /* NULL: this thread alone */
};

/* ERR_MALFORMED: `base` is no state of this layout and so many slots; ERR_CORRUPT, ERR_NOTFOUND: it
 * is damaged, or not here. */
int state_open(const struct state_setting *setting, struct state **out, struct err *err) MUST_USE;
/* The next `count` elements of m, and of v (NULL with one slot), to be changed in place; what the
 * call before handed out is final. Not for several threads, but what it hands out is. */
int state_next(struct state *s, uint64_t count, float **m, float **v, struct err *err) MUST_USE;
/* After the last element: writes what is left, and syncs the file under its name unless it is only
 * hashed. */
int state_finish(struct state *s, struct cid *root, struct err *err) MUST_USE;
/* What was not finished leaves no part behind. NULL is fine. */
void state_free(struct state *s);

/* Is `root` in `store` a state of this layout? Reads its header only (its leaves hashed). */
int state_check(struct store *store, const struct layout *layout, size_t slots,
                const struct cid *root, struct err *err) MUST_USE;
/* Bytes of a state's tensors. */
uint64_t state_bytes(const struct layout *l, size_t slots);

#endif
