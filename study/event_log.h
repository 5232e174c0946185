/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_log -- what happened in a study's folder, for scripts: DIR/log.jsonl, one JSON object a
 * line.
 *
 * docs/protocol.md lists the events of both programs and their fields. One writer, the running
 * program; lines are not synced, since records say everything again. The file is 0600: what a
 * hospital did when is its own business.
 */
#ifndef COLMEIA_STUDY_EVENT_LOG_H
#define COLMEIA_STUDY_EVENT_LOG_H

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"

struct event_log {
    FILE *file;
};

int event_log_open(struct event_log *l, const char *path, struct err *err) MUST_USE;
void event_log_close(struct event_log *l); /* harmless twice */

/* Appends {"event": event, "time": wall clock in seconds, ...}; `format` and what follows describe
 * one object as json_pack does, such as "{s:I,s:s}". */
void event_log_put(struct event_log *l, const char *event, const char *format, ...);
/* The same with an object made already, which is taken. */
void event_log_put_object(struct event_log *l, const char *event, json_t *object);

#endif
