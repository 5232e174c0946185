/* SPDX-License-Identifier: Apache-2.0 */
#include "study/parts.h"

#include <pthread.h>

struct parts {
    int (*part)(void *self, size_t i, struct err *err);
    void *self;
    pthread_mutex_t mutex;
    size_t bad; /* the first part that failed so far; SIZE_MAX: none */
    int rc;
    struct err err;
};

static void run_part(void *self, size_t i)
{
    struct parts *p = self;
    struct err err = {0};
    pthread_mutex_lock(&p->mutex);
    bool skip = p->bad < i;
    pthread_mutex_unlock(&p->mutex);
    int rc = skip ? 0 : p->part(p->self, i, &err);
    if (rc == 0)
        return;
    pthread_mutex_lock(&p->mutex);
    if (i < p->bad) {
        p->bad = i;
        p->rc = rc;
        p->err = err;
    }
    pthread_mutex_unlock(&p->mutex);
}

int parts_run(struct jobs *jobs, size_t count, int (*part)(void *self, size_t i, struct err *err),
              void *self, struct err *err)
{
    struct parts p = {
        .part = part, .self = self, .mutex = PTHREAD_MUTEX_INITIALIZER, .bad = SIZE_MAX};
    jobs_split(jobs, count, run_part, &p);
    pthread_mutex_destroy(&p.mutex);
    if (p.rc != 0 && err != NULL)
        *err = p.err;
    return p.rc;
}
