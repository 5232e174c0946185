/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output -- the model that a trainer wrote: any safetensors file of the plan's tensors will do.
 */
#ifndef COLMEIA_WORKER_OUTPUT_H
#define COLMEIA_WORKER_OUTPUT_H

#include "base/files.h"
#include "model/layout.h"

/* Checks names, dtypes and shapes of the model at `path` against the plan's layout, and rewrites a
 * file whose form is not canonical (order, metadata, padding) in its place. ERR_MALFORMED: it is no
 * model of that layout. */
int output_adopt(const struct files *f, const char *path, const struct layout *layout,
                 struct err *err) MUST_USE;

#endif
