/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line -- one event of DIR/log.jsonl as a sentence for people.
 */
#ifndef COLMEIA_CLI_LOG_LINE_H
#define COLMEIA_CLI_LOG_LINE_H

#include <jansson.h>

#include "base/buf.h"

/* Appends "2026-01-31 12:00:00Z  round 3: ...", without a newline and without control characters.
 * An event that has no sentence here is told by its name and fields. */
void log_line_format(const json_t *event, struct buf *out);

/* Appends `pattern` with each {field} replaced by the field's value; {field:size} as bytes,
 * {field:seconds} as a duration. A part in [brackets] is left out if a field in it is absent, null
 * or empty. */
void log_line_fill(const char *pattern, const json_t *fields, struct buf *out);

#endif
