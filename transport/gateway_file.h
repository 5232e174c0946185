/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_file -- what a browser is given: files with ranges, a directory's index.html or listing,
 * the target of a symlink. Every block is hashed before a byte of it is sent. For the gateway_*.c
 * files alone.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_FILE_H
#define COLMEIA_TRANSPORT_GATEWAY_FILE_H

#include "transport/gateway_visit.h"

void gateway_file_answer(struct gateway_visit *v, const struct http_request *r,
                         struct http_response *out);
void gateway_file_free(struct gateway_file *f); /* NULL is fine */

#endif
