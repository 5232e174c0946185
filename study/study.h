/* SPDX-License-Identifier: Apache-2.0 */
/*
 * study -- what both programs hold of the study they work on: charter, plan, layout; loaded once,
 * then read by any thread.
 */
#ifndef COLMEIA_STUDY_STUDY_H
#define COLMEIA_STUDY_STUDY_H

#include "content/store.h"
#include "model/layout.h"
#include "study/charter.h"
#include "study/plan.h"

struct study {
    struct charter charter;
    struct plan plan;
    struct layout *layout;
};

/* Reads charter `id`, plan `plan` and its layout from `store`, every signature checked. */
int study_load(struct store *store, const struct cid *id, const struct cid *plan, struct study *out,
               struct err *err) MUST_USE;
void study_fini(struct study *s);

/* Gets a verified record's block from the store into `out` (max RECORD_BYTES_MAX). */
int study_get(struct store *store, const struct cid *cid, struct buf *out,
              struct err *err) MUST_USE;

/* The path of a site's pack for a round under a study's folder: DIR/updates/<site id>/<round>.car;
 * folders not made. */
int study_pack_path(const char *dir, const struct cid *site_id, uint64_t round,
                    char out[FILES_PATH_MAX], struct err *err) MUST_USE;

/* Is the model `root` in `store` one of this layout? Reads its header only (its leaf hashed).
 * `data_start` may be NULL. */
int study_check_model(struct store *store, const struct layout *layout, const struct cid *root,
                      uint64_t *data_start, struct err *err) MUST_USE;

#endif
