/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_verify -- one or two whole bodies that are hashed together and, where they are what was
 * asked for, delivered. fetch*.c's alone.
 */
#ifndef COLMEIA_TRANSPORT_FETCH_VERIFY_H
#define COLMEIA_TRANSPORT_FETCH_VERIFY_H

#include "transport/fetch_window.h"

#define FETCH_VERIFY_COUNT 2 /* what hash_sha256_many does in lock-step */

struct fetch_verify {
    struct job job;
    int (*deliver)(void *self, const struct fetch_want *want, struct bytes block, struct err *err);
    void *self;
    size_t count;
    struct fetch_verify_body {
        void *owner; /* the caller's */
        const struct fetch_want *want;
        struct bytes block; /* borrowed till the job is done */
        bool good;          /* result */
    } bodies[FETCH_VERIFY_COUNT];
    int rc; /* of deliver */
    struct err err;
};

/* Says of each of up to FETCH_VERIFY_COUNT whether it is what was asked for. */
void fetch_verify_bodies(struct fetch_verify_body *bodies, size_t count);
/* A job's `run`. */
void fetch_verify_run(struct job *job);
/* Can blocks with this CID be verified at all? ERR_UNSUPPORTED. */
int fetch_verify_can(const struct cid *cid, struct err *err) MUST_USE;

#endif
