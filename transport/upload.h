/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload -- the blocks of an update to the coordinator: PUTs that each carry a stream of CAR
 * sections, up to HTTP_UPLOAD_BYTES_MAX long.
 *
 * A cut loses at most the block under way; the caller asks what is missing and calls again with
 * that. A busy server is asked again when it said, for up to `give_up_seconds`. Called in a job's
 * thread, one at a time.
 */
#ifndef COLMEIA_TRANSPORT_UPLOAD_H
#define COLMEIA_TRANSPORT_UPLOAD_H

#include "base/progress.h"
#include "content/pack.h"
#include "transport/http_client.h"

#define UPLOAD_URLS_MAX 8

struct upload {
    struct http_client *http; /* borrowed; its connections outlive a call */
    size_t url_count;
    char urls[UPLOAD_URLS_MAX][512]; /* base URLs of one server, tried in turn till one answers */
    size_t url;                      /* the one that answered last */
    unsigned give_up_seconds;
    uint64_t round;
    struct progress_count *progress; /* of the call's bytes; may be NULL */
};

/* Sends the named blocks of `pack`, read and hashed as they go. ERR_NET (try again), ERR_DENIED
 * (token: say hello again), ERR_LIMIT (over quota), ERR_CORRUPT (our own block is damaged),
 * ERR_NOTFOUND (one is not in the pack), ERR_MALFORMED (refused as not hashing). */
int upload_blocks(struct upload *u, struct pack *pack, const struct cid *cids, size_t count,
                  struct err *err) MUST_USE;

#endif
