/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dagjson -- dag-cbor and dag-pb blocks as dag-json text, and the links of dag-json.
 *
 * Source: IPLD dag-json specification: keys sorted by their bytes, no white space, links
 * {"/":"bafy..."}, bytes {"/":{"bytes":"base64 without padding"}}. Floats are written so that they
 * read back as floats. The door to JSON's parser is jansson.
 */
#ifndef COLMEIA_CONTENT_DAGJSON_H
#define COLMEIA_CONTENT_DAGJSON_H

#include "base/cid.h"

#define DAGJSON_DEPTH_MAX 64         /* of dag-json; dag-cbor's is CBOR_DEPTH_MAX */
#define DAGJSON_ITEMS_MAX (1u << 18) /* of dag-json: what its tree in memory may cost */

/* Appends the block, or the place in it that `path` names ("" : all), as dag-json. For dag-pb the
 * logical form
 * {"Data":...,"Links":[{"Hash":...,"Name":...,"Tsize":...}]}, raw: bytes. ERR_NOTFOUND if the path
 * leads nowhere, ERR_UNSUPPORTED for another codec. */
int dagjson_format(const struct cid *cid, struct bytes block, const char *path, struct buf *out,
                   struct err *err) MUST_USE;

/* Calls `each` for every link of a dag-json block; ERR_MALFORMED with the offset if it is not JSON.
 */
int dagjson_each_link(struct bytes block,
                      int (*each)(void *self, const struct cid *link, struct err *err), void *self,
                      struct err *err) MUST_USE;

/* Follows `path` in a dag-cbor or dag-json block as far as the first link: `link` is that, `used`
 * how much of the path was followed; no link on the way: `link` is none, and the place exists.
 * ERR_NOTFOUND. */
int dagjson_follow(const struct cid *cid, struct bytes block, const char *path, struct cid *link,
                   size_t *used, struct err *err) MUST_USE;

#endif
