/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jobs.h"

#include <assert.h>
#include <fenv.h>
#include <float.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 256

struct queue {
    struct job *first, *last;
};

struct jobs {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct queue waiting, done;
    bool closing;
    int fd; /* counts what is done */
    size_t thread_count;
    pthread_t threads[THREADS_MAX];
};

static void push(struct queue *q, struct job *j)
{
    j->next = NULL;
    if (q->last != NULL)
        q->last->next = j;
    else
        q->first = j;
    q->last = j;
}

static struct job *pop(struct queue *q)
{
    struct job *j = q->first;
    if (j == NULL)
        return NULL;
    q->first = j->next;
    if (q->first == NULL)
        q->last = NULL;
    return j;
}

/* Default rounding, and subnormal numbers kept: a library that set flush-to-zero in this process
 * would change results without a word. */
static void check_arithmetic(void)
{
    fesetenv(FE_DFL_ENV);
    volatile double tiny = DBL_MIN;
    volatile float tinyf = FLT_MIN;
    tiny = tiny / 2;
    tinyf = tinyf / 2;
    assert(tiny > 0 && tinyf > 0 && fegetround() == FE_TONEAREST);
}

static void tell_loop(struct jobs *j)
{
    uint64_t one = 1;
    ssize_t written = write(j->fd, &one, sizeof one);
    (void)written; /* full only after 2^64 results */
}

static void *thread_main(void *arg)
{
    struct jobs *j = arg;
    check_arithmetic();
    pthread_mutex_lock(&j->mutex);
    while (!j->closing) { /* jobs that still wait are dropped */
        struct job *job = pop(&j->waiting);
        if (job == NULL) {
            pthread_cond_wait(&j->more, &j->mutex);
            continue;
        }
        bool for_loop = job->for_loop;
        pthread_mutex_unlock(&j->mutex);
        job->run(job); /* one that is not for the loop may be freed by this */
        pthread_mutex_lock(&j->mutex);
        if (for_loop) {
            push(&j->done, job);
            tell_loop(j);
        }
    }
    pthread_mutex_unlock(&j->mutex);
    return NULL;
}

int jobs_new(size_t threads, struct jobs **out, struct err *err)
{
    if (threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores < 1 ? 1 : (size_t)cores;
    }
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    struct jobs *j = calloc(1, sizeof *j);
    if (j == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    check_arithmetic();
    pthread_mutex_init(&j->mutex, NULL);
    pthread_cond_init(&j->more, NULL);
    j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = j->fd < 0 ? err_errno(err, "eventfd") : 0;
    for (; rc == 0 && j->thread_count < threads; j->thread_count++)
        if (pthread_create(&j->threads[j->thread_count], NULL, thread_main, j) != 0) {
            rc = err_set(err, ERR_IO, "cannot start a thread");
            break;
        }
    if (rc != 0) {
        jobs_free(j);
        return rc;
    }
    *out = j;
    return 0;
}

void jobs_free(struct jobs *j)
{
    if (j == NULL)
        return;
    pthread_mutex_lock(&j->mutex);
    j->closing = true;
    pthread_cond_broadcast(&j->more);
    pthread_mutex_unlock(&j->mutex);
    for (size_t i = 0; i < j->thread_count; i++)
        pthread_join(j->threads[i], NULL);
    if (j->fd >= 0)
        close(j->fd);
    pthread_cond_destroy(&j->more);
    pthread_mutex_destroy(&j->mutex);
    free(j);
}

static void start(struct jobs *j, struct job *job, bool for_loop)
{
    job->for_loop = for_loop;
    pthread_mutex_lock(&j->mutex);
    push(&j->waiting, job);
    pthread_cond_signal(&j->more);
    pthread_mutex_unlock(&j->mutex);
}

void jobs_start(struct jobs *j, struct job *job)
{
    start(j, job, true);
}

int jobs_fd(const struct jobs *j)
{
    return j->fd;
}

struct job *jobs_take_done(struct jobs *j)
{
    pthread_mutex_lock(&j->mutex);
    struct job *job = pop(&j->done);
    if (j->done.first == NULL) {
        uint64_t count;
        ssize_t drained = read(j->fd, &count, sizeof count);
        (void)drained;
    }
    pthread_mutex_unlock(&j->mutex);
    return job;
}

void jobs_post(struct jobs *j, struct job *done)
{
    pthread_mutex_lock(&j->mutex);
    push(&j->done, done);
    tell_loop(j);
    pthread_mutex_unlock(&j->mutex);
}

size_t jobs_thread_count(const struct jobs *j)
{
    return j->thread_count;
}

/* One computation spread over threads. Helpers that start after all parts are taken find nothing
 * left, so the struct lives until the last of them has let go. */
struct split {
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    void (*part)(void *self, size_t i);
    void *self;
    size_t count, next, completed;
    unsigned holders;
};

struct helper {
    struct job job;
    struct split *split;
    struct helper *next; /* in the list of those called back */
};

static void release(struct split *s)
{
    pthread_mutex_lock(&s->mutex);
    bool last = --s->holders == 0;
    pthread_mutex_unlock(&s->mutex);
    if (!last)
        return;
    pthread_cond_destroy(&s->finished);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void work(struct split *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->next < s->count) {
        size_t i = s->next++;
        pthread_mutex_unlock(&s->mutex);
        s->part(s->self, i);
        pthread_mutex_lock(&s->mutex);
        if (++s->completed == s->count)
            pthread_cond_broadcast(&s->finished);
    }
    pthread_mutex_unlock(&s->mutex);
}

static void help(struct job *job)
{
    struct helper *h = (struct helper *)job;
    struct split *s = h->split;
    free(h);
    work(s);
    release(s);
}

static struct split *new_split(size_t count, void (*part)(void *self, size_t i), void *self)
{
    struct split *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->finished, NULL);
    s->part = part;
    s->self = self;
    s->count = count;
    s->holders = 1;
    return s;
}

static void call_helper(struct jobs *j, struct split *s)
{
    struct helper *h = calloc(1, sizeof *h);
    if (h == NULL)
        return; /* fewer hands do the same work */
    h->job.run = help;
    h->split = s;
    pthread_mutex_lock(&s->mutex);
    s->holders++;
    pthread_mutex_unlock(&s->mutex);
    start(j, &h->job, false);
}

/* Takes the helpers that no thread has begun out of the queue: nothing is left for them, and they
 * would pile up behind long jobs. */
static void call_back(struct jobs *j, struct split *s)
{
    struct helper *unused = NULL;
    struct queue kept = {0};
    pthread_mutex_lock(&j->mutex);
    for (struct job *job = pop(&j->waiting); job != NULL; job = pop(&j->waiting)) {
        struct helper *h = job->run == help ? (struct helper *)job : NULL;
        if (h == NULL || h->split != s) {
            push(&kept, job);
            continue;
        }
        h->next = unused;
        unused = h;
    }
    j->waiting = kept;
    pthread_mutex_unlock(&j->mutex);
    while (unused != NULL) {
        struct helper *next = unused->next;
        help(&unused->job);
        unused = next;
    }
}

void jobs_split(struct jobs *j, size_t count, void (*part)(void *self, size_t i), void *self)
{
    struct split *s = j == NULL || count < 2 ? NULL : new_split(count, part, self);
    if (s == NULL) { /* alone, or no memory for company */
        for (size_t i = 0; i < count; i++)
            part(self, i);
        return;
    }
    size_t helpers = j->thread_count < count ? j->thread_count : count;
    for (size_t i = 0; i + 1 < helpers; i++)
        call_helper(j, s);
    work(s);
    call_back(j, s);
    pthread_mutex_lock(&s->mutex);
    while (s->completed < s->count)
        pthread_cond_wait(&s->finished, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    release(s);
}
