/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fetch_verify.h"

/* Those with SHA-256 together. */
void fetch_verify_bodies(struct fetch_verify_body *bodies, size_t count)
{
    struct bytes blocks[FETCH_VERIFY_COUNT] = {{0}};
    uint8_t found[FETCH_VERIFY_COUNT][HASH_BYTES];
    struct fetch_verify_body *of[FETCH_VERIFY_COUNT];
    size_t many = 0;
    for (size_t i = 0; i < count; i++) {
        struct fetch_verify_body *b = &bodies[i];
        if (cid_digest(&b->want->cid) == NULL) {
            b->good = cid_verify(&b->want->cid, b->block, NULL) == 0;
            continue;
        }
        blocks[many] = b->block;
        of[many++] = b;
    }
    hash_sha256_many(blocks, many, found);
    for (size_t i = 0; i < many; i++)
        of[i]->good = memcmp(found[i], cid_digest(&of[i]->want->cid), HASH_BYTES) == 0;
}

void fetch_verify_run(struct job *job)
{
    struct fetch_verify *v = (struct fetch_verify *)job;
    fetch_verify_bodies(v->bodies, v->count);
    for (size_t i = 0; i < v->count; i++) {
        struct fetch_verify_body *b = &v->bodies[i];
        if (b->good && v->rc == 0)
            v->rc = v->deliver(v->self, b->want, b->block, &v->err);
    }
}

int fetch_verify_can(const struct cid *cid, struct err *err)
{
    if (cid_digest(cid) != NULL)
        return 0;
    int rc = cid_verify(cid, bytes_of("", 0), err);
    return rc == ERR_UNSUPPORTED ? rc : 0;
}
