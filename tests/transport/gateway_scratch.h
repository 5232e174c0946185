/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_scratch -- a gateway over a store and a pack in the test's folder, with a policy that
 * remembers what it was told.
 */
#ifndef COLMEIA_TESTS_TRANSPORT_GATEWAY_SCRATCH_H
#define COLMEIA_TESTS_TRANSPORT_GATEWAY_SCRATCH_H

#include "tests/transport/http_scratch.h"
#include "transport/gateway.h"

#define GOOD_SITE  7
#define GOOD_ROUND 12 /* the one round that takes uploads; 13: the disk is full */

struct hive {
    /* What stands before the gateway: so many requests are answered with this status first. */
    atomic_int moods;
    atomic_int mood_status;
    atomic_uint requests, ranged; /* that came, and that asked for a range */
    struct store *store;          /* ROOT/shared */
    struct pack *pack;            /* ROOT/update.pack */
    struct gateway *gateway;
    struct http_server *server;
    atomic_ullong quota;
    atomic_uint held;    /* packs not yet released */
    atomic_int spoiled;  /* the newest code */
    atomic_uint uploads; /* PUTs that were let in */
    atomic_ullong sent, received;
};

/* "good" and "good8", "good9": sites 7, 8, 9. */
UNUSED static int hive_authenticate(void *self, struct bytes token, uint32_t *site, struct err *err)
{
    (void)self;
    if (token.size < 4 || memcmp(token.data, "good", 4) != 0)
        return err_set(err, ERR_DENIED, "not a token");
    *site = token.size == 4 ? GOOD_SITE : (uint32_t)(token.data[4] - '0');
    return 0;
}

UNUSED static int hive_upload(void *self, uint32_t site, uint64_t round, struct pack **pack,
                              uint64_t *bytes_max, struct err *err)
{
    struct hive *h = self;
    if (round == GOOD_ROUND + 1)
        return err_set(err, ERR_LIMIT, "disk-full");
    if (site != GOOD_SITE || round != GOOD_ROUND)
        return err_set(err, ERR_DENIED, "site %u is not selected in round %llu", site,
                       (unsigned long long)round);
    *pack = h->pack;
    *bytes_max = atomic_load(&h->quota);
    atomic_fetch_add(&h->held, 1);
    atomic_fetch_add(&h->uploads, 1);
    return 0;
}

UNUSED static void hive_release(void *self, uint32_t site, uint64_t round, struct pack *pack)
{
    struct hive *h = self;
    if (site == GOOD_SITE && round == GOOD_ROUND && pack == h->pack)
        atomic_fetch_sub(&h->held, 1);
}

UNUSED static void hive_spoiled(void *self, uint32_t site, uint64_t round, int code)
{
    struct hive *h = self;
    if (site == GOOD_SITE && round == GOOD_ROUND)
        atomic_store(&h->spoiled, code);
}

UNUSED static void hive_moved(void *self, uint32_t site, uint64_t sent, uint64_t received)
{
    struct hive *h = self;
    (void)site;
    atomic_fetch_add(&h->sent, sent);
    atomic_fetch_add(&h->received, received);
}

UNUSED static bool hive_begin(void *self, struct http_request *r, struct http_response *out)
{
    struct hive *h = self;
    struct http_handler inner = gateway_handler(h->gateway);
    atomic_fetch_add(&h->requests, 1);
    if (r->header(r, "Range") != NULL)
        atomic_fetch_add(&h->ranged, 1);
    if (atomic_load(&h->moods) == 0)
        return inner.begin(inner.self, r, out);
    atomic_fetch_sub(&h->moods, 1);
    buf_append_text(&out->headers, "Retry-After: 1\n");
    return http_server_say(out, atomic_load(&h->mood_status), "the test's mood");
}

UNUSED static bool hive_body(void *self, struct http_request *r, struct bytes piece,
                             struct http_response *out)
{
    struct http_handler inner = gateway_handler(((struct hive *)self)->gateway);
    return inner.body(inner.self, r, piece, out);
}

UNUSED static void hive_answer(void *self, struct http_request *r, struct http_response *out)
{
    struct http_handler inner = gateway_handler(((struct hive *)self)->gateway);
    inner.answer(inner.self, r, out);
}

UNUSED static void hive_end(void *self, struct http_request *r)
{
    struct http_handler inner = gateway_handler(((struct hive *)self)->gateway);
    inner.end(inner.self, r);
}

UNUSED static void hive_start(struct hive *h, bool tls, unsigned idle_seconds)
{
    h->server = open_server((struct http_handler){.self = h,
                                                  .begin = hive_begin,
                                                  .body = hive_body,
                                                  .answer = hive_answer,
                                                  .end = hive_end},
                            tls, idle_seconds);
}

UNUSED static struct hive *hive_open(bool tls, unsigned idle_seconds)
{
    struct hive *h = calloc(1, sizeof *h);
    assert_non_null(h);
    atomic_store(&h->quota, 1ull << 30);
    assert_int_equal(store_open(files_posix(), in_scratch("shared"), STORE_WRITE, &h->store, NULL),
                     0);
    assert_int_equal(pack_open(files_posix(), in_scratch("update.pack"), true, &h->pack, NULL), 0);
    struct gateway_policy policy = {.self = h,
                                    .authenticate = hive_authenticate,
                                    .upload = hive_upload,
                                    .release = hive_release,
                                    .spoiled = hive_spoiled,
                                    .moved = hive_moved};
    assert_int_equal(gateway_new(h->store, &policy, &h->gateway, NULL), 0);
    hive_start(h, tls, idle_seconds);
    return h;
}

UNUSED static void hive_stop(struct hive *h)
{
    http_server_close(h->server);
    h->server = NULL;
    assert_int_equal(atomic_load(&h->held), 0); /* every pack came back */
}

UNUSED static void hive_close(struct hive *h)
{
    hive_stop(h);
    gateway_free(h->gateway);
    pack_close(h->pack);
    store_close(h->store);
    free(h);
}

UNUSED static uint16_t hive_port(const struct hive *h)
{
    return http_server_port(h->server);
}

#endif
