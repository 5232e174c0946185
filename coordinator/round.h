/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round -- the coordinator's decisions, as a pure state machine: no I/O, clock, randomness or
 * allocation.
 *
 * docs/protocol.md prints the table that round_step implements. State is plain data, one slot a
 * selected site. Time, who is online and the results of jobs arrive as events; presence and jobs in
 * flight are the loop's. Effects are wishes: any of them may be lost, since workers ask again for
 * what they need. Events that changed the state are what the journal holds; `closed` on a zeroed
 * struct rebuilds it.
 */
#ifndef COLMEIA_COORDINATOR_ROUND_H
#define COLMEIA_COORDINATOR_ROUND_H

#include "base/cbor.h"
#include "study/plan.h"
#include "study/refusal.h"
#include "study/roster.h"

#define ROUND_VERSION      2 /* of the step; a journal of another one is refused */
#define ROUND_SLOTS_MAX    PLAN_SELECTED_MAX
#define ROUND_SET_WORDS    ((ROSTER_SITES_MAX + 63) / 64)
#define ROUND_FAILURES_MAX 3
#define ROUND_EFFECTS_MAX  1024 /* of one turn of the loop: at most two an event */

enum round_phase {
    ROUND_NEW,     /* zeroed: waits for its first `closed` */
    ROUND_GATHER,  /* waits until enough sites are online */
    ROUND_COLLECT, /* tasks are out */
    ROUND_COMBINE, /* no update is taken any more; the next model is being made */
    ROUND_FINISHED /* the schedule is done, or too many rounds failed in a row */
};

enum round_slot_state {
    ROUND_PENDING,
    ROUND_ACCEPTED,
    ROUND_REFUSED
};

struct round_slot {
    uint32_t site; /* roster index */
    uint32_t weight;
    uint64_t bytes;      /* of the update, and of the record that `evidence` names */
    struct cid record;   /* accepted or refused update; none: pending, or declined */
    struct cid refusal;  /* refusal record of a refused one */
    struct cid evidence; /* accepted: refusal record of a second, differing update; none */
    enum round_slot_state state;
};

struct round {
    uint64_t number; /* of the round under way, from 1 */
    enum round_phase phase;
    uint32_t failures;  /* failed rounds in a row before this one */
    struct cid prev;    /* newest round record, or the charter */
    struct cid base;    /* this round's base model */
    struct cid state;   /* the server optimiser's, as it belongs to `base`; none */
    struct cid roster;  /* bound by the last selection */
    uint64_t opened_ms; /* study time */
    uint64_t time_ms;   /* latest study time that was journalled */
    bool past;          /* the deadline is over */
    bool no_quorum;     /* combine only writes the failure down */
    uint32_t slot_count;
    uint32_t accepted, refused;
    struct round_slot slots[ROUND_SLOTS_MAX]; /* in order of selection */
};

enum round_event_type {
    ROUND_TICK = 1,
    ROUND_WANT,
    ROUND_MISSING,
    ROUND_SUBMIT,
    ROUND_CHECKED,
    ROUND_CLOSED,
    ROUND_RESUME,
    ROUND_DECLINE,    /* the site says that it cannot answer: its trainer failed by `code` */
    ROUND_EQUIVOCATED /* `record` is a second one of a site whose first was accepted */
};

struct round_event {
    enum round_event_type type;
    uint64_t round;     /* all but tick and resume */
    uint32_t site;      /* all of a site: roster index */
    struct cid record;  /* missing, submit, checked (none: it declined), equivocated: the update;
                           closed: the round record */
    bool fit;           /* checked: accepted; else refused */
    struct cid refusal; /* checked unfit, equivocated: the record, stored and synced already */
    enum refusal_code code;           /* decline */
    uint32_t weight;                  /* checked fit */
    uint64_t bytes;                   /* checked; equivocated: of the second record */
    struct cid next;                  /* closed */
    struct cid state;                 /* closed: the server optimiser's after it, or none */
    uint32_t failures;                /* closed: in a row, this one included */
    uint64_t time_ms;                 /* tick */
    struct cid roster;                /* tick: the newest */
    uint64_t admitted;                /* tick: active sites of it */
    uint64_t online[ROUND_SET_WORDS]; /* tick: of them those present; bit = roster index */
};

enum round_effect_type {
    ROUND_SEND_TASKS, /* to every pending site that is online */
    ROUND_SEND_TASK,  /* to `site` */
    ROUND_SEND_WAIT,
    ROUND_SEND_DONE,
    ROUND_LOOK_UP,        /* `record` of an older `round`: accepted or late? */
    ROUND_LIST_MISSING,   /* which blocks of `record` are not here? */
    ROUND_CHECK,          /* is `record` fit to be accepted? */
    ROUND_PROVE,          /* is `record` a second, differing update of the site? */
    ROUND_RECORD_DECLINE, /* sign the refusal that says `code`; it comes back as checked unfit */
    ROUND_ACKNOWLEDGE,
    ROUND_REFUSE, /* with `code`; `refusal` names the stored record, if there is one */
    ROUND_OPENED, /* for the log */
    ROUND_MORE,   /* for the log: more sites selected */
    ROUND_COMBINE_JOB,
    ROUND_HEAD_HINT
};

struct round_effect {
    enum round_effect_type type;
    uint32_t site;
    uint64_t round;
    struct cid record;
    struct cid refusal;
    enum refusal_code code;
};

struct round_effects {
    size_t count;
    struct round_effect items[ROUND_EFFECTS_MAX];
};

/* Decides one event. Returns whether `r` changed. */
bool round_step(struct round *r, const struct plan *plan, const struct round_event *e,
                struct round_effects *effects);

/* The journal's form of an event: a dag-cbor array [type, fields...]; `closed`, which begins each
 * file, names the step's version behind its type. Only events that can change the state have one.
 * Reading: ERR_UNSUPPORTED for another version, ERR_MALFORMED. */
void round_event_encode(const struct round_event *e, struct buf *out);
int round_event_decode(struct cbor *r, struct round_event *out, struct err *err) MUST_USE;

/* Words for people and logs. */
const char *round_phase_name(enum round_phase p);
/* The slot of `site`, or NULL. */
const struct round_slot *round_find(const struct round *r, uint32_t site);

#endif
