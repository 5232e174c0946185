/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include <unistd.h>

#define COLUMNS     79   /* of a line in place: one that wraps cannot be erased */
#define LEAST_MS    1000 /* of samples: a rate over less is noise */
#define SECONDS_MAX 1e9  /* left: beyond that nobody knows */

void progress_count_set(struct progress_count *c, uint64_t done, uint64_t total)
{
    atomic_store(&c->total, total);
    atomic_store(&c->done, done);
}

const char *progress_unit_name(enum progress_unit unit)
{
    return unit == PROGRESS_BYTES ? "bytes" : "steps";
}

/* --- samples --- */

static void restart(struct progress *p)
{
    p->done = p->total = p->ms = p->moved = 0;
    p->count = p->next = 0;
}

void progress_of(struct progress *p, const char *what, enum progress_unit unit)
{
    if (p->what == what)
        return;
    restart(p);
    p->what = what;
    p->unit = unit;
}

/* The i-th newest. */
static const struct progress_sample *sample(const struct progress *p, size_t i)
{
    return &p->samples[(p->next + PROGRESS_SAMPLES - 1 - i) % PROGRESS_SAMPLES];
}

void progress_note(struct progress *p, uint64_t now_ms, uint64_t done, uint64_t total,
                   uint64_t moved)
{
    if (done < p->done || moved < p->moved)
        restart(p);
    p->done = total > 0 && done > total ? total : done;
    p->total = total;
    p->ms = now_ms;
    p->moved = moved;
    if (p->count > 0 && now_ms - sample(p, 0)->ms < PROGRESS_SAMPLE_MS)
        return;
    p->samples[p->next] = (struct progress_sample){.ms = now_ms, .moved = moved};
    p->next = (p->next + 1) % PROGRESS_SAMPLES;
    p->count += p->count < PROGRESS_SAMPLES ? 1 : 0;
}

/* --- what follows from them --- */

double progress_rate(const struct progress *p)
{
    const struct progress_sample *from = NULL;
    for (size_t i = 0; i < p->count; i++) {
        from = sample(p, i);
        if (p->ms - from->ms >= PROGRESS_WINDOW_MS)
            break;
    }
    if (from == NULL || p->ms - from->ms < LEAST_MS || p->moved < from->moved)
        return -1;
    return (double)(p->moved - from->moved) * 1000 / (double)(p->ms - from->ms);
}

double progress_seconds_left(const struct progress *p)
{
    double rate = progress_rate(p);
    if (p->total == 0 || rate <= 0)
        return -1;
    double left = (double)(p->total - p->done) / rate;
    return left < SECONDS_MAX ? left : -1;
}

/* --- words --- */

static const char *const byte_units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};

/* What 1 of a unit stands for that makes `value` easy to read. */
static double scale_of(double value, const char **unit)
{
    double scale = 1;
    size_t i = 0;
    for (; value / scale >= 100 * 1024 && i + 1 < sizeof byte_units / sizeof byte_units[0]; i++)
        scale *= 1024;
    *unit = byte_units[i];
    return scale;
}

static int put_amount(const struct progress *p, char *out, size_t size)
{
    const char *unit = "";
    double scale = 1;
    if (p->unit == PROGRESS_BYTES)
        scale = scale_of((double)(p->total > 0 ? p->total : p->done), &unit);
    if (p->total == 0)
        return snprintf(out, size, "%.0f%s", (double)p->done / scale, unit);
    return snprintf(out, size, "%.0f of %.0f%s", (double)p->done / scale, (double)p->total / scale,
                    unit);
}

static int put_rate(const struct progress *p, char *out, size_t size)
{
    char text[TEXT_SMALL];
    double rate = progress_rate(p);
    if (rate < 0)
        return 0;
    if (p->unit == PROGRESS_BYTES)
        return snprintf(out, size, ", %s/s", text_format_size((uint64_t)rate, text));
    return snprintf(out, size, ", %.1f/s", rate);
}

static void put_left(const struct progress *p, char *out, size_t size)
{
    char text[TEXT_SMALL];
    double seconds = progress_seconds_left(p);
    if (seconds < 0)
        return;
    uint64_t whole = (uint64_t)seconds + (seconds > (double)(uint64_t)seconds ? 1 : 0);
    if (whole < 60)
        snprintf(out, size, ", %llu s left", (unsigned long long)whole);
    else
        snprintf(out, size, ", %s left", text_format_ms(whole * 1000, text));
}

const char *progress_format(const struct progress *p, char out[PROGRESS_TEXT_MAX])
{
    out[0] = '\0';
    if (p->what == NULL)
        return out;
    size_t used = (size_t)snprintf(out, PROGRESS_TEXT_MAX / 2, "%s: ", p->what);
    used = used < PROGRESS_TEXT_MAX / 2 ? used : PROGRESS_TEXT_MAX / 2 - 1;
    used += (size_t)put_amount(p, out + used, PROGRESS_TEXT_MAX - used);
    used += (size_t)put_rate(p, out + used, PROGRESS_TEXT_MAX - used);
    put_left(p, out + used, PROGRESS_TEXT_MAX - used);
    return out;
}

/* --- the line --- */

void progress_line_init(struct progress_line *l, FILE *to)
{
    *l = (struct progress_line){.to = to, .terminal = isatty(fileno(to)) != 0};
}

void progress_line_show(struct progress_line *l, uint64_t now_ms, const char *text)
{
    if (l->next_ms == 0)
        l->next_ms = now_ms + PROGRESS_LINE_MS;
    if (l->terminal)
        fprintf(l->to, "\r\033[K%.*s", COLUMNS, text);
    else if (now_ms < l->next_ms)
        return;
    else
        fprintf(l->to, "%s\n", text);
    fflush(l->to);
    l->stands = l->terminal;
    l->next_ms = now_ms + PROGRESS_LINE_MS;
}

void progress_line_clear(struct progress_line *l)
{
    if (l->stands) {
        fprintf(l->to, "\r\033[K");
        fflush(l->to);
    }
    l->stands = false;
    l->next_ms = 0;
}
