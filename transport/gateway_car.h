/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_car -- CARs as answers, made while they are sent: header, the blocks of the path, then
 * the DAG below its end in the scope that was asked for. For the gateway_*.c files alone.
 *
 * In memory are one node and the links still to come; raw leaves go from their file straight to
 * the server's buffer. What is missing half-way cuts the connection. A path that ends inside a
 * block gives that block and, with dag-scope=all, what the whole block links to.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_CAR_H
#define COLMEIA_TRANSPORT_GATEWAY_CAR_H

#include "transport/gateway_visit.h"

void gateway_car_answer(struct gateway_visit *v, const struct http_request *r,
                        struct http_response *out);
void gateway_car_free(struct gateway_car *c); /* NULL is fine */

#endif
