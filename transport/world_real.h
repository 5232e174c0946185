/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world_real -- the real binding of base/world.h: system clock and entropy, the POSIX disk, ZeroMQ,
 * HTTPS, threads, signals.
 *
 * SIGINT and SIGTERM become WORLD_STOP (a second one ends the process at once); SIGPIPE is ignored.
 */
#ifndef COLMEIA_TRANSPORT_WORLD_REAL_H
#define COLMEIA_TRANSPORT_WORLD_REAL_H

#include "base/world.h"
#include "transport/bus.h"
#include "transport/fetch.h"

struct world_real;

/* A coordinator's: takes the bus over. */
int world_real_coordinator(const struct bus_server_config *c, struct world_real **out,
                           struct err *err) MUST_USE;

struct world_real_worker {
    struct bus_client_config bus;
    size_t url_count;
    const char (*urls)[256]; /* HTTPS base URLs */
    const char *pin;         /* as cert_format_pin */
    unsigned stall_seconds, give_up_seconds;
};

int world_real_worker(const struct world_real_worker *c, struct world_real **out,
                      struct err *err) MUST_USE;

const struct world *world_real_table(const struct world_real *w);
void world_real_close(struct world_real *w); /* NULL is fine */

#endif
