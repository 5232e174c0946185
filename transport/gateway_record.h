/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_record -- IPNS records that the store holds: as they are, and what they point to. For the
 * gateway_*.c files alone.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_RECORD_H
#define COLMEIA_TRANSPORT_GATEWAY_RECORD_H

#include "transport/gateway_visit.h"

#define GATEWAY_RECORD_HOPS_MAX 8 /* a name that points to a name */

/* The record itself, as application/vnd.ipfs.ipns-record. */
void gateway_record_answer(struct gateway_visit *v, const struct http_request *r,
                           struct http_response *out);
/* Fills root, path and ttl by the record called v->name. ERR_NOTFOUND. */
int gateway_record_follow(struct gateway_visit *v, struct err *err) MUST_USE;

#endif
