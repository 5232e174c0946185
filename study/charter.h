/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charter -- the first record of a study; its CID is the study's id. Signed by the founder. kind
 * colmeia/charter/1
 */
#ifndef COLMEIA_STUDY_CHARTER_H
#define COLMEIA_STUDY_CHARTER_H

#include "study/record.h"

#define CHARTER_NAME_MAX 65

struct charter {
    struct cid cid;
    char name[CHARTER_NAME_MAX]; /* text_is_name */
    struct key_public founder;
    uint8_t nonce[16];
    uint64_t created_s; /* wall clock, Unix seconds: the one field in the study that is */
};

int charter_make(const char *name, const struct key *founder, uint64_t created_s, struct buf *out,
                 struct charter *charter, struct err *err) MUST_USE;
int charter_decode(struct bytes in, struct charter *out, struct err *err) MUST_USE;

#endif
