/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invitation -- all that a worker must know to take part, as one string:
 * "colmeia-invitation-1:u..." (base64url of dag-cbor).
 *
 * Not secret, but what it says is trusted: it is handed over in person or by a channel that both
 * sides trust.
 */
#ifndef COLMEIA_STUDY_INVITATION_H
#define COLMEIA_STUDY_INVITATION_H

#include "base/cbor.h"
#include "base/cid.h"
#include "base/key.h"

#define INVITATION_URLS_MAX   8
#define INVITATION_STRING_MAX 8192

struct invitation {
    struct cid study, plan;
    struct key_public founder;     /* signs plan and roster */
    struct key_public coordinator; /* Ed25519: signs rounds */
    struct key_public curve;       /* CURVE */
    char control[256], hints[256]; /* ZeroMQ endpoints */
    size_t url_count;
    char urls[INVITATION_URLS_MAX][256]; /* HTTPS base URLs */
    uint8_t pin[HASH_BYTES];             /* SPKI SHA-256 */
};

int invitation_format(const struct invitation *i, struct buf *out, struct err *err) MUST_USE;
int invitation_parse(const char *text, struct invitation *out, struct err *err) MUST_USE;

#endif
