/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress -- how far long work is, how fast it goes and when it will be done, for people.
 *
 * The thread that works counts (struct progress_count); the loop looks now and then and keeps
 * samples of a window of time (struct progress); a line of text says it, in place on a terminal.
 * What was there before the work began counts as done, but not into the rate, so that an
 * interrupted transfer taken up again does not promise what it cannot keep. Plain arithmetic on the
 * caller's clock.
 */
#ifndef COLMEIA_BASE_PROGRESS_H
#define COLMEIA_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdio.h>

#include "base/text.h"

#define PROGRESS_WINDOW_MS 10000 /* the rate is that of the last so many */
#define PROGRESS_SAMPLE_MS 500   /* between two samples */
#define PROGRESS_SAMPLES   24
#define PROGRESS_TEXT_MAX  160
#define PROGRESS_LINE_MS   10000 /* between two lines where there is no terminal */

/* Set by the thread that works, read by any. */
struct progress_count {
    _Atomic uint64_t done, total; /* total 0: not known */
};

void progress_count_set(struct progress_count *c, uint64_t done, uint64_t total);

enum progress_unit {
    PROGRESS_BYTES,
    PROGRESS_STEPS /* whatever the one who counts them means */
};

const char *progress_unit_name(enum progress_unit unit); /* "bytes", "steps" */

/* Zeroed: nothing was noted yet. */
struct progress {
    const char *what; /* "fetching the model"; NULL: nothing is under way */
    enum progress_unit unit;
    uint64_t done, total; /* done <= total unless that is 0 */
    uint64_t ms, moved;   /* at the last note */
    size_t count, next;   /* of the ring */
    struct progress_sample {
        uint64_t ms, moved;
    } samples[PROGRESS_SAMPLES];
};

/* What is under way at this look, or nothing (`what` NULL). Another text (by its address; it
 * outlives `p`) than at the last look is other work, whose rate is not known yet. */
void progress_of(struct progress *p, const char *what, enum progress_unit unit);
/* What is done of `total`, and how much was moved for it since whenever: only the growth counts. If
 * less is done than before, it is other work of the same name. */
void progress_note(struct progress *p, uint64_t now_ms, uint64_t done, uint64_t total,
                   uint64_t moved);

/* Units a second; negative while it is not known. */
double progress_rate(const struct progress *p);
/* Negative while it is not known: no total, no rate, or nothing moves. */
double progress_seconds_left(const struct progress *p);
/* "fetching the model: 412 of 1024 MiB, 96.3 MiB/s, 7 s left"; what is not known is left out; ""
 * if nothing is under way. Returns `out`. */
const char *progress_format(const struct progress *p, char out[PROGRESS_TEXT_MAX]);

/* --- the line --- */

/* A terminal's line that is rewritten in place; elsewhere now and then a line of its own. */
struct progress_line {
    FILE *to;
    bool terminal;
    bool stands; /* on the terminal, to be erased before anything else is printed there */
    uint64_t next_ms;
};

void progress_line_init(struct progress_line *l, FILE *to);
/* On a terminal at once; else at most every PROGRESS_LINE_MS, and not before the first such. */
void progress_line_show(struct progress_line *l, uint64_t now_ms, const char *text);
/* Erases what stands, for other text or because nothing moves any more; where there is no terminal,
 * the next text waits again. */
void progress_line_clear(struct progress_line *l);

#endif
