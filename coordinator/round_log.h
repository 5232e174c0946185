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
#include "study/event_log.h"

struct round_log {
    struct event_log events;
    bool terminal; /* stdout is one: progress in place */
    bool header;   /* the table's head was printed */
    bool live;     /* a progress line stands on the terminal */
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
/* On a terminal, the line in place: what the round waits for. Else nothing. */
void round_log_progress(struct round_log *l, const char *text);
/* A number for json_pack's "o": null if it is not finite. */
json_t *round_log_number(double value);

#endif
