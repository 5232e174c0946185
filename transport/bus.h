/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus -- control messages over ZeroMQ with CURVE: a ROUTER and a PUB at the coordinator, a DEALER
 * and a SUB at a worker.
 *
 * The bus carries opaque bytes of at most BUS_BYTES_MAX and supplies one fact, the CURVE key that
 * authenticated each message (ZAP User-Id, never the routing id). Anything may be lost; whoever
 * needs an answer asks again. ZAP fails closed: the domain is enforced and bus_server_open proves,
 * by a handshake with an unknown key on each bound socket, that it is refused before it returns. A
 * server or client belongs to one thread.
 *
 * Routing ids are the server's to give: a message under an id that its sender chose is dropped. A
 * route names id and key, and leads only to the connection on which that key spoke last.
 *
 * Client: after a refused handshake ZeroMQ does not try again, so the client watches its monitor,
 * reports BUS_REFUSED and makes its sockets anew after a back-off of 1 s to 60 s (jittered; the
 * first ones short).
 */
#ifndef COLMEIA_TRANSPORT_BUS_H
#define COLMEIA_TRANSPORT_BUS_H

#include "base/key.h"

#define BUS_BYTES_MAX    (64u << 10)
#define BUS_ROUTE_MAX    256
#define BUS_ENDPOINT_MAX 256
#define BUS_WAIT_FDS_MAX 4
#define BUS_PEERS_MAX    2000 /* connected at once: what file descriptors are reserved for */

/* --- coordinator --- */

struct bus_server;

struct bus_server_config {
    const char *control; /* "tcp://127.0.0.1:8470" */
    const char *hints;   /* "tcp://127.0.0.1:8471" */
    const struct key *curve;
};

struct bus_route { /* where an answer goes; opaque */
    size_t size;
    uint8_t bytes[BUS_ROUTE_MAX];
};

struct bus_frame {
    struct bus_route route;
    struct key_public peer; /* authenticated */
    struct buf body;        /* zeroed before the first use, then reused; bus_frame_fini */
};

/* Nobody may connect before bus_server_allow. ERR_USAGE: an endpoint that cannot be; ERR_IO: one
 * that cannot be had now; ERR_DENIED: the key check lets strangers in. */
int bus_server_open(const struct bus_server_config *c, struct bus_server **out,
                    struct err *err) MUST_USE;
void bus_server_close(struct bus_server *b); /* NULL is fine; up to 2 s for what is not sent yet */
/* From now on exactly these keys may connect; connections of others are not cut (their messages are
 * dropped here, and nothing is sent to them). Reserves file descriptors: ERR_LIMIT with the ulimit
 * to set. */
int bus_server_allow(struct bus_server *b, const struct key_public *keys, size_t count,
                     struct err *err) MUST_USE;
/* The next message: true. Oversized, many-framed or unauthenticated ones are dropped. Never blocks.
 */
bool bus_server_receive(struct bus_server *b, struct bus_frame *out);
void bus_frame_fini(struct bus_frame *f);
/* Sends or drops. */
void bus_server_send(struct bus_server *b, const struct bus_route *to, struct bytes body);
void bus_server_publish(struct bus_server *b, struct bytes body);
/* Sleeps until a message may be there, one of `fds` is readable, or `timeout_ms` is over. */
void bus_server_wait(struct bus_server *b, const int *fds, size_t count, uint64_t timeout_ms);

struct bus_stats {
    uint64_t received, sent, dropped;
    uint64_t refused_handshakes; /* unknown keys, other protocols, garbage, too slow */
};
struct bus_stats bus_server_stats(const struct bus_server *b);

/* --- worker --- */

struct bus_client;

struct bus_client_config {
    const char *control, *hints;
    struct key_public server; /* the coordinator's CURVE key */
    const struct key *curve;  /* the site's; outlives the client */
};

enum bus_event {
    BUS_NOTHING,
    BUS_MESSAGE,   /* `out` is an answer */
    BUS_HINT,      /* `out` came over PUB: believe nothing of it */
    BUS_CONNECTED, /* handshake done, first or again */
    BUS_LOST,      /* the connection broke */
    BUS_REFUSED    /* the coordinator does not know our key (yet); trying again by itself */
};

/* Succeeds whether or not the coordinator is there. ERR_USAGE: an endpoint that cannot be. */
int bus_client_open(const struct bus_client_config *c, struct bus_client **out,
                    struct err *err) MUST_USE;
void bus_client_close(struct bus_client *b); /* NULL is fine; up to 2 s for what is not sent yet */
/* The next event; `out` is cleared and filled for BUS_MESSAGE and BUS_HINT. Never blocks. */
enum bus_event bus_client_receive(struct bus_client *b, struct buf *out);
/* Sends or drops; without a connection it drops. */
void bus_client_send(struct bus_client *b, struct bytes body);
/* Sleeps until bus_client_receive may have something to say or do, one of `fds` is readable, or
 * `timeout_ms` is over. */
void bus_client_wait(struct bus_client *b, const int *fds, size_t count, uint64_t timeout_ms);

#endif
