/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/meter.h"

#include <time.h>
#include <unistd.h>

#define LOOK_MS 200

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void draw(struct meter *m)
{
    char text[PROGRESS_TEXT_MAX];
    uint64_t now = now_ms(), done = atomic_load(&m->count.done);
    uint64_t total = atomic_load(&m->count.total);
    progress_of(&m->progress, m->what, PROGRESS_BYTES);
    progress_note(&m->progress, now, done, total == 0 || total >= done ? total : done, done);
    progress_line_show(&m->line, now, progress_format(&m->progress, text));
}

static void *look(void *self)
{
    struct meter *m = self;
    struct timespec until;
    pthread_mutex_lock(&m->mutex);
    while (!m->stop) {
        uint64_t ms = now_ms() + LOOK_MS;
        until = (struct timespec){.tv_sec = (time_t)(ms / 1000),
                                  .tv_nsec = (long)(ms % 1000) * 1000000};
        pthread_cond_timedwait(&m->changed, &m->mutex, &until);
        if (!m->stop)
            draw(m);
    }
    pthread_mutex_unlock(&m->mutex);
    return NULL;
}

void meter_start(struct meter *m, const char *what)
{
    pthread_condattr_t monotonic;
    *m = (struct meter){.what = what};
    progress_line_init(&m->line, stderr);
    pthread_mutex_init(&m->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (isatty(STDERR_FILENO))
        m->runs = pthread_create(&m->thread, NULL, look, m) == 0;
}

void meter_hide(struct meter *m)
{
    pthread_mutex_lock(&m->mutex);
    progress_line_clear(&m->line);
}

void meter_show(struct meter *m)
{
    pthread_mutex_unlock(&m->mutex);
}

void meter_stop(struct meter *m)
{
    if (m->runs) {
        pthread_mutex_lock(&m->mutex);
        m->stop = true;
        pthread_cond_signal(&m->changed);
        pthread_mutex_unlock(&m->mutex);
        pthread_join(m->thread, NULL);
    }
    progress_line_clear(&m->line);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
}
