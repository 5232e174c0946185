/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_file -- what DIR/status.json of both programs has in common; docs/protocol.md lists the
 * fields.
 */
#ifndef COLMEIA_STUDY_STATUS_FILE_H
#define COLMEIA_STUDY_STATUS_FILE_H

#include <jansson.h>

#include "base/cid.h"
#include "base/files.h"
#include "base/progress.h"

/* Values for json_pack's "o". */
json_t *status_file_cid(const struct cid *cid);                /* null for none */
json_t *status_file_progress(const struct progress *progress); /* null if nothing is under way */

/* Replaces DIR/status.json, unsynced; takes `object`. What goes wrong is logged: nothing depends on
 * the file. */
void status_file_save(const struct files *f, const char *dir, json_t *object);

#endif
