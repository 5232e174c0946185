/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_block -- single blocks as answers: raw, and blocks of the codecs that are media types of
 * their own. For the gateway_*.c files alone.
 */
#ifndef COLMEIA_TRANSPORT_GATEWAY_BLOCK_H
#define COLMEIA_TRANSPORT_GATEWAY_BLOCK_H

#include "transport/gateway_visit.h"

/* The block where the path ends, as application/vnd.ipld.raw. */
void gateway_block_answer_raw(struct gateway_visit *v, const struct http_request *r,
                              struct http_response *out);
/* The same under the media type of its codec (dag-json, dag-cbor, json, cbor); another codec than
 * was asked for is 406: nothing is converted. */
void gateway_block_answer_codec(struct gateway_visit *v, const struct http_request *r,
                                struct http_response *out);
/* Is `cid` of one of those codecs? */
bool gateway_block_has_type(const struct cid *cid);

/* `place` or, in memory, `block` of `size` bytes as the body, cut to the range that was asked for.
 * Takes the descriptor. */
struct gateway_block {
    uint64_t size;
    int fd; /* -1: `bytes` */
    uint64_t offset;
    struct buf bytes;
};
void gateway_block_send(struct gateway_visit *v, const struct http_request *r, const char *etag,
                        struct gateway_block *block, struct http_response *out);
/* Finds a block; `hashed`: its bytes are checked, and in memory. */
int gateway_block_open(const struct gateway_visit *v, const struct cid *cid, bool hashed,
                       struct gateway_block *out, struct err *err) MUST_USE;
void gateway_block_close(struct gateway_block *b);

#endif
