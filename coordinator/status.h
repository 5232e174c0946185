/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status -- what a coordinator does and waits for, for people: DIR/status.json, and the line of
 * progress on a terminal.
 */
#ifndef COLMEIA_COORDINATOR_STATUS_H
#define COLMEIA_COORDINATOR_STATUS_H

#include "base/progress.h"
#include "coordinator/round.h"

#define STATUS_SENTENCE_MAX 1024
#define STATUS_MS           1000 /* status.json is never older */

struct coordinator;

struct status {
    /* What both depend on, but for the passing of time. */
    struct status_key {
        uint64_t round;
        enum round_phase phase;
        uint32_t selected, accepted, refused, proofs, online;
        bool past, no_room, repair;
    } key;
    uint64_t next_ms, wrote_ms;
    struct progress progress;       /* of what moves, if anything does */
    struct progress_count combined; /* bytes of the next model; set by the job that makes it */
};

/* One sentence on what the coordinator waits for. */
const char *status_sentence(struct coordinator *c, char out[STATUS_SENTENCE_MAX]);
/* Rewrites both if they are old; `running` false: at the end. */
void status_update(struct coordinator *c, bool running);

#endif
