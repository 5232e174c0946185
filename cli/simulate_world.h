/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate_world -- the world of base/world.h for a coordinator and all its sites in one process: a
 * local network in memory, one shared pool of threads, the real clock, disk and chance.
 *
 * Messages wait in each participant's queue; a site is connected while the coordinator allows its
 * key; transfers are calls of the coordinator's gateway (simulate_door.h). A finished job goes back
 * to whoever started it. One thread takes turns over the participants:
 *
 *     for (;;) {
 *         simulate_world_rest(net);                      sleeps while nobody has anything to do
 *         for (p = 0; p <= sites; p++)
 *             if (simulate_world_begin(net, p)) {        is it p's turn?
 *                 ... one turn of p's loop ...
 *                 simulate_world_end(net);
 *             }
 *     }
 *
 * Inside a turn wait() does not sleep: it notes until when its caller would have. Who heard nothing
 * new in a turn has no other before that time, a message or a finished job. Outside turns (when a
 * participant is closed) wait() sleeps till a job is done.
 *
 * SIGINT and SIGTERM become WORLD_STOP for everybody (a second one ends the process at once).
 */
#ifndef COLMEIA_CLI_SIMULATE_WORLD_H
#define COLMEIA_CLI_SIMULATE_WORLD_H

#include "base/world.h"
#include "transport/http_server.h"

#define SIMULATE_SITES_MAX 2000

struct simulate_net;

int simulate_world_new(size_t sites, struct simulate_net **out, struct err *err) MUST_USE;
/* When all participants are closed; NULL is fine. */
void simulate_world_free(struct simulate_net *net);

/* The coordinator's. */
const struct world *simulate_world_coordinator(struct simulate_net *net);
/* Site `index`'s, whose messages come from `curve`. */
const struct world *simulate_world_site(struct simulate_net *net, size_t index,
                                        const struct key_public *curve);
/* Where the sites' transfers go from now on; before that they fail with ERR_NET. */
void simulate_world_open(struct simulate_net *net, const struct http_handler *gateway);

/* Participant `p` below is 0 for the coordinator, i + 1 for site i.
 *
 * Sleeps until a job is done, a signal comes or somebody's time has come; at once if somebody has
 * something to do already. */
void simulate_world_rest(struct simulate_net *net);
/* Has `p` something to do? Then its turn begins. */
bool simulate_world_begin(struct simulate_net *net, size_t p);
void simulate_world_end(struct simulate_net *net);
/* `p` has no more turns and is not connected. */
void simulate_world_leave(struct simulate_net *net, size_t p);

#endif
