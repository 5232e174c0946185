/* SPDX-License-Identifier: Apache-2.0 */
/*
 * say -- what the tools print: results on stdout, errors on stderr, and never a control character
 * out of a file.
 */
#ifndef COLMEIA_CLI_SAY_H
#define COLMEIA_CLI_SAY_H

#include <jansson.h>

#include "base/buf.h"

/* Appends `text`, valid characters as they are and quotes too, whatever could move a cursor or turn
 * a line round escaped as log_escape does. */
void say_clean(struct buf *out, struct bytes text);

/* `command: sentence` on stderr, and for ERR_USAGE where help is. Returns the exit status. */
int say_error(const char *command, int code, const struct err *err);
/* The exit status for a code: err_exit's, but what is past a limit or of a kind that is not known
 * here will not do: that is an answer. */
int say_status(int code);
/* As say_error, for a sentence of our own. */
int say_usage(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* A path as a sentence may quote it: one that is too long without its middle, so that the reason
 * behind it is still said. Returns `out`. */
#define SAY_SHORT 256
const char *say_short(const char *path, char out[SAY_SHORT]);

/* One line of text on stdout, cleaned. */
void say_line(const char *format, ...) PRINTF_LIKE(1, 2);
/* One line of JSON in ASCII on stdout; takes `object`. Returns 0, or 3 without memory. */
int say_json(json_t *object);
/* The same for one line of several: ERR_NOMEM instead of a sentence. */
int say_json_row(json_t *object, struct err *err) MUST_USE;

#endif
