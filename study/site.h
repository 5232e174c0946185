/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site -- a site's own statement of its name and keys, and the string in which a person hands it
 * over.
 *
 * kind colmeia/site/1, no `study`. The first is signed by its own key; a later one (new keys) by
 * the key of `prev`. A site's id is the CID of its first record.
 */
#ifndef COLMEIA_STUDY_SITE_H
#define COLMEIA_STUDY_SITE_H

#include "study/record.h"

#define SITE_NAME_MAX   65
#define SITE_STRING_MAX 1024

struct site {
    struct cid cid;
    struct cid prev; /* none for the first */
    char name[SITE_NAME_MAX];
    struct key_public ed25519, curve;
};

int site_make(const char *name, const struct key *ed25519, const struct key_public *curve,
              struct buf *out, struct site *site, struct err *err) MUST_USE;
/* The signer is the site's own key for a first record; for a later one the caller checks `by`
 * through `out_by` (may be NULL). */
int site_decode(struct bytes in, struct site *out, struct key_public *out_by,
                struct err *err) MUST_USE;

/* "colmeia-site-1:u..." (base64url of the record), appended to `out`; and back (the record's
 * bytes). */
void site_format(struct bytes record, struct buf *out);
int site_parse(const char *text, struct buf *record, struct err *err) MUST_USE;

#endif
