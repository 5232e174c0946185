/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop -- the one loop of both programs: drain what is ready, decide purely, commit, then act.
 *
 * Every event goes through the program's pure step. Events that changed the state are encoded into
 * one batch; the batch is one durable journal frame; only after it are the effects performed. An
 * event may start a new journal file (the commit of a round). After a failed commit the loop
 * returns its error and must not be called again: memory is ahead of the disk.
 *
 * Study time is monotonic time plus an offset carried by the journal: it never goes back and stands
 * still while the program is down. Test builds (-DFAULTS) check that a step says "changed" exactly
 * when it changed the state.
 */
#ifndef COLMEIA_BASE_LOOP_H
#define COLMEIA_BASE_LOOP_H

#include "base/cbor.h"
#include "base/journal.h"
#include "base/world.h"

#define LOOP_EVENTS_MAX 256 /* drained in one turn */

struct loop_program {
    void *self;
    void *state; /* plain data, changed by `step` alone */
    size_t state_bytes;
    void *event; /* room for one event */
    size_t event_bytes;
    /* The next ready input as an event; false when nothing more is ready. `time_ms` is study time.
     */
    bool (*next)(void *self, uint64_t time_ms, void *event);
    /* Pure. Collects effects on the side; true if the state changed. */
    bool (*step)(void *self, const void *event);
    /* Appends the event's dag-cbor. */
    void (*encode)(const void *event, struct buf *out);
    /* Does this event begin the journal file `*number`? */
    bool (*starts_file)(const void *event, uint64_t *number);
    /* Acts on the collected effects and forgets them. An error ends the program. */
    int (*perform)(void *self, struct err *err);
    /* Takes one encoded event back; replay uses it, with effects dropped by `forget`. */
    int (*decode)(struct cbor *r, void *event, struct err *err);
    void (*forget)(void *self);
};

struct loop {
    const struct world *world;
    struct loop_program program;
    struct journal *journal; /* owned */
    uint64_t offset_ms;      /* study time - monotonic time */
    uint64_t replayed;       /* events that the journal gave back */
    uint64_t cut_bytes;      /* of a torn last frame */
    void *before;            /* test builds: the state before a step */
    struct buf batch;
};

/* Opens the journal in `dir` and replays its newest file through the step. `replayed` 0: it is new,
 * and the program's first event must start a file. */
int loop_open(struct loop *l, const struct world *world, const struct loop_program *program,
              const char *dir, struct err *err) MUST_USE;
void loop_close(struct loop *l);

/* One turn, sleeping at most `timeout_ms` first. */
int loop_turn(struct loop *l, uint64_t timeout_ms, struct err *err) MUST_USE;
/* Takes one event in at once, outside a turn (the first event of a study, resume). */
int loop_feed(struct loop *l, const void *event, struct err *err) MUST_USE;

uint64_t loop_time_ms(const struct loop *l); /* study time now */

#endif
