/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round_log -- what happened, for scripts (DIR/log.jsonl, by study/event_log.h) and for the person
 * watching (stdout).
 *
 * docs/protocol.md lists the events and their fields. A terminal gets progress in place, anything
 * else plain lines.
 */
#ifndef COLMEIA_COORDINATOR_ROUND_LOG_H
#define COLMEIA_COORDINATOR_ROUND_LOG_H

#include "base/cid.h"
#include "base/progress.h"
#include "study/event_log.h"

struct round_log {
    struct event_log events;
    struct progress_line line; /* on stdout */
    bool quiet;                /* nothing is printed */
    bool header;               /* the table's head was printed */
};

/* One closed round, as printed and logged. */
struct round_line {
    uint64_t round, rounds;
    const char *rule;
    uint32_t answered, selected, refused;
    double loss, accuracy; /* of the base, weighted by examples; NAN: nobody said */
    uint64_t examples;
    uint64_t bytes_moved;
    double seconds, seconds_collect, seconds_combine;
    struct cid record, model;
    const char *failure; /* "" */
};

int round_log_open(struct round_log *l, const char *path, struct err *err) MUST_USE;
void round_log_close(struct round_log *l); /* harmless twice */
void round_log_round(struct round_log *l, const struct round_line *line);
/* A line of its own for the person. */
void round_log_say(struct round_log *l, const char *format, ...) PRINTF_LIKE(2, 3);
/* What the round waits for, in place on a terminal; elsewhere now and then a line of its own while
 * something moves. */
void round_log_progress(struct round_log *l, uint64_t now_ms, const char *text, bool moves);
/* A number for json_pack's "o": null if it is not finite. */
json_t *round_log_number(double value);

#endif
