/* SPDX-License-Identifier: Apache-2.0 */
#include "content/slabs.h"

void slabs_init(struct slabs *s, size_t max)
{
    *s = (struct slabs){.max = max};
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->given, NULL);
}

void slabs_fini(struct slabs *s)
{
    while (s->free > 0) {
        s->free--;
        buf_fini(&s->slabs[s->free].a);
        buf_fini(&s->slabs[s->free].b);
    }
    pthread_cond_destroy(&s->given);
    pthread_mutex_destroy(&s->mutex);
}

struct slab slabs_take(struct slabs *s)
{
    struct slab slab = {.a = buf_new(s->max), .b = buf_new(s->max)};
    pthread_mutex_lock(&s->mutex);
    while (s->taken == SLABS_MAX)
        pthread_cond_wait(&s->given, &s->mutex);
    s->taken++;
    if (s->free > 0)
        slab = s->slabs[--s->free];
    pthread_mutex_unlock(&s->mutex);
    buf_clear(&slab.a);
    buf_clear(&slab.b);
    return slab;
}

void slabs_give(struct slabs *s, const struct slab *slab)
{
    pthread_mutex_lock(&s->mutex);
    s->slabs[s->free++] = *slab;
    s->taken--;
    pthread_cond_signal(&s->given);
    pthread_mutex_unlock(&s->mutex);
}
