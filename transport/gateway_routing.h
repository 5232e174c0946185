/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_routing -- who has a block, as far as this gateway knows: itself, or nobody. For the
 * gateway_*.c files alone.
 *
 * Source: Delegated Routing V1 HTTP API, GET /routing/v1/providers/CID, and IPIP-484 for the
 * filters.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_ROUTING_H
#define COLMEIA_TRANSPORT_GATEWAY_ROUTING_H

#include "transport/gateway_visit.h"

void gateway_routing_answer(struct gateway_visit *v, const struct http_request *r,
                            struct http_response *out);

/* Does a filter-addrs list let the multiaddr through? NULL: any. Protocol names, "!" before those
 * that must not be in it. */
bool gateway_routing_lets(const char *filter, const char *multiaddr);

#endif
