/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coordinator.h"

#define CONNECTIONS_MAX  2000
#define IDLE_SECONDS     30
#define ROOM_SPARE_BYTES (1u << 20) /* that an upload leaves free */

/* All of this runs in HTTP threads. */

static int authenticate(void *self, struct bytes token, uint32_t *site, struct err *err)
{
    struct coordinator *c = self;
    uint32_t named;
    int rc = token_check(&c->tokens, token, atomic_load(&c->time_ms), &named, err);
    if (rc != 0)
        return rc;
    if (named >= ROSTER_SITES_MAX || (atomic_load(&c->active[named / 64]) >> (named % 64) & 1) == 0)
        return err_set(err, ERR_DENIED, "the roster does not admit this site any more");
    *site = named;
    return 0;
}

static int upload(void *self, uint32_t site, uint64_t round, struct pack **pack,
                  uint64_t *bytes_max, struct err *err)
{
    struct coordinator *c = self;
    uint64_t room = 0;
    int rc = c->files->free_bytes(c->files->self, c->folder.dir, &room, err);
    if (rc == 0 && room < layout_update_bytes(c->study.layout) + ROOM_SPARE_BYTES)
        rc = err_set(err, ERR_LIMIT, "the coordinator's disk is full");
    if (rc == 0)
        rc = inbox_take(c->inbox, site, round, true, pack, err);
    if (rc == 0)
        *bytes_max = plan_quota(&c->study.plan, c->study.layout);
    return rc;
}

static void release(void *self, uint32_t site, uint64_t round, struct pack *pack)
{
    struct coordinator *c = self;
    (void)pack;
    inbox_release(c->inbox, site, round);
}

static void spoiled(void *self, uint32_t site, uint64_t round, int code)
{
    struct coordinator *c = self;
    inbox_spoil(c->inbox, site, round, code == ERR_LIMIT ? REFUSAL_OVER_QUOTA : REFUSAL_BAD_BLOCK);
}

static void moved(void *self, uint32_t site, uint64_t sent, uint64_t received)
{
    struct coordinator *c = self;
    (void)site;
    atomic_fetch_add(&c->sent, sent);
    atomic_fetch_add(&c->received, received);
}

int serve_gateway(struct coordinator *c, struct err *err)
{
    const struct gateway_policy policy = {.self = c,
                                          .authenticate = authenticate,
                                          .upload = upload,
                                          .release = release,
                                          .spoiled = spoiled,
                                          .moved = moved};
    return gateway_new(c->store, &policy, &c->gateway, err);
}

int serve_open(struct coordinator *c, struct err *err)
{
    int rc = serve_gateway(c, err);
    if (rc != 0)
        return rc;
    const struct http_server_config config = {.host = c->folder.bind,
                                              .port = (uint16_t)c->folder.https_port,
                                              .certificate_pem =
                                                  buf_text(&c->folder.certificate_pem),
                                              .key_pem = buf_text(&c->folder.key_pem),
                                              .connections_max = CONNECTIONS_MAX,
                                              .idle_seconds = IDLE_SECONDS,
                                              .handler = gateway_handler(c->gateway)};
    return http_server_open(&config, &c->http, err);
}
