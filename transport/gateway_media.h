/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_media -- the media type of a file, by the end of its name, else by how it begins.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_MEDIA_H
#define COLMEIA_TRANSPORT_GATEWAY_MEDIA_H

#include "base/bytes.h"

#define GATEWAY_MEDIA_LOOK_BYTES 512 /* as much is looked at */

/* NULL if the name has no ending that we know. */
const char *gateway_media_by_name(const char *name);
/* `whole`: the file ends with `first`. Never NULL. */
const char *gateway_media_by_bytes(struct bytes first, bool whole);

#endif
