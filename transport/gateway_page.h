/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_page -- pages that the gateway writes itself: a directory's listing, a look at dag-cbor
 * or dag-json. No script, nothing fetched from elsewhere, every name escaped. For the gateway_*.c
 * files alone.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_PAGE_H
#define COLMEIA_TRANSPORT_GATEWAY_PAGE_H

#include "transport/gateway_visit.h"

#define GATEWAY_PAGE_BYTES_MAX (2u << 20) /* a longer listing says that it ends early */

/* `block`: the directory's, or its HAMT's first shard. */
void gateway_page_answer_directory(struct gateway_visit *v, const struct http_request *r,
                                   struct bytes block, struct http_response *out);
void gateway_page_answer_dag(struct gateway_visit *v, const struct http_request *r,
                             struct http_response *out);

#endif
