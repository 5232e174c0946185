/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dagjson_text -- single values as dag-json text, each appended to a sticky buf. See dagjson.h.
 */
#ifndef COLMEIA_CONTENT_DAGJSON_TEXT_H
#define COLMEIA_CONTENT_DAGJSON_TEXT_H

#include "base/cid.h"

/* Quoted and escaped as Kubo does. dag-pb's names may be any bytes: what is no UTF-8 becomes
 * U+FFFD, which cannot be undone. */
void dagjson_text_string(struct buf *out, struct bytes text);
void dagjson_text_bytes(struct buf *out, struct bytes in);
void dagjson_text_link(struct buf *out, const struct cid *cid);
/* Finite. The fewest digits that read back as `value`, and always as a float. */
void dagjson_text_double(struct buf *out, double value);

#endif
