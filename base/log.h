/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log -- what a program says to its operator, on stderr: `level time event key=value`.
 *
 * Only programs log; libraries return errors. Text from a peer is escaped (control characters,
 * quotes, bidi overrides), so that a line is always one line. Never a key, a token, a mask or a
 * gradient. One line is one write.
 */
#ifndef COLMEIA_BASE_LOG_H
#define COLMEIA_BASE_LOG_H

#include "base/buf.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

void log_set_level(
    enum log_level level); /* the one global; LOG_LEVEL_WARN at start, COLMEIA_LOG overrides */

/* `event` is a word such as `update-refused`; the format gives `key=value` pairs. */
void log_error(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);
void log_warn(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);
void log_info(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);
void log_debug(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);

/* Appends `text` quoted, with everything that could break a line or a terminal as \xNN or \u{NNNN}.
 */
void log_escape(struct buf *out, struct bytes text);

#endif
