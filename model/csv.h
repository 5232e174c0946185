/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv -- a site's table of numbers: a header line of column names, then one example a line.
 *
 * RFC 4180 without line breaks inside quotes; lines end in LF or CRLF; a byte order mark in front
 * is skipped. Every field but the target must be a decimal number that is finite as f32; the target
 * must be an integer from 0 to classes - 1. A bad line ends in ERR_MALFORMED: `wards.csv: line 17,
 * column 3 ("age"): not a finite decimal number`. Sentences travel, so they never quote a value.
 */
#ifndef COLMEIA_MODEL_CSV_H
#define COLMEIA_MODEL_CSV_H

#include "model/dataset.h"

#define CSV_COLUMNS_MAX 4096
#define CSV_BYTES_MAX   (1u << 30)

/* Columns other than `target` are the features, in the file's order. */
int csv_load(const char *path, const char *target, uint32_t classes, struct dataset *out,
             struct err *err) MUST_USE;

#endif
