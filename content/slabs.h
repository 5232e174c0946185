/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slabs -- a few large buffers that the threads of one computation take and give back, so that
 * memory depends on how many there may be and not on how much there is to do.
 *
 * A slab that comes back is the next to go out: its memory is still in the cache.
 */
#ifndef COLMEIA_CONTENT_SLABS_H
#define COLMEIA_CONTENT_SLABS_H

#include <pthread.h>

#include "base/buf.h"

#define SLABS_MAX 16

struct slab {
    struct buf a, b; /* what was in them is of no use */
};

struct slabs {
    pthread_mutex_t mutex;
    pthread_cond_t given;
    size_t max;         /* bytes of each buffer */
    size_t free, taken; /* slabs that lie here, and that are out */
    struct slab slabs[SLABS_MAX];
};

void slabs_init(struct slabs *s, size_t max);
void slabs_fini(struct slabs *s); /* every slab is back */

/* Waits while SLABS_MAX are out. The buffers are empty. */
struct slab slabs_take(struct slabs *s);
void slabs_give(struct slabs *s, const struct slab *slab);

#endif
