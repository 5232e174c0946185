/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/failure.h"

void failure_init(struct failure *f)
{
    *f = (struct failure){.rc = 0};
    pthread_mutex_init(&f->mutex, NULL);
}

void failure_fini(struct failure *f)
{
    pthread_mutex_destroy(&f->mutex);
}

void failure_note(struct failure *f, uint64_t at, int rc, const struct err *err)
{
    pthread_mutex_lock(&f->mutex);
    if (f->rc == 0 || at < f->at) {
        f->rc = rc;
        f->at = at;
        f->err = *err;
    }
    pthread_mutex_unlock(&f->mutex);
}

int failure_tell(const struct failure *f, struct err *err)
{
    return f->rc == 0 ? 0 : err_set(err, f->rc, "%s", f->err.text);
}
