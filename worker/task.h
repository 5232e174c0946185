/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task -- the worker's decisions, as a pure state machine: no I/O, clock, randomness or allocation.
 *
 * docs/protocol.md prints the table that task_step implements. One task at a time; its answer, once
 * sealed, is carried to acceptance or refusal before anything else is taken up. Messages reach the
 * step only after their signatures were checked. Effects are wishes: any of them may be lost, since
 * the retry timer asks for them again. Events that changed the state are what the journal holds;
 * `ended` on a zeroed struct rebuilds it.
 *
 * Two heads are kept apart. `seen` is the newest one that the coordinator signed: evidence, shown
 * at every hello. `proven` is the newest one whose records this site has fetched and followed back
 * to the charter. A task stands on `seen` or a later head, and is trained only when the chain from
 * it, through `seen`, to `proven` was walked.
 */
#ifndef COLMEIA_WORKER_TASK_H
#define COLMEIA_WORKER_TASK_H

#include "aggregate/rule.h"
#include "base/cbor.h"
#include "study/refusal.h"
#include "transport/msg.h"
#include "worker/verdict.h"

#define TASK_VERSION     2    /* of the step; a journal of another one is refused */
#define TASK_EFFECTS_MAX 1024 /* of one turn of the loop: at most four an event */

enum task_phase {
    TASK_NEW,    /* zeroed: waits for its first `ended` */
    TASK_IDLE,   /* asks for work */
    TASK_FETCH,  /* records and base model on their way */
    TASK_TRAIN,  /* and sealing: nothing has left the site */
    TASK_SEND,   /* sealed: the same bytes until they are answered */
    TASK_DECLINE /* the trainer failed: told until the coordinator has written it down */
};

/* What a Task message asks for. No padding: compared with memcmp. */
struct task_order {
    uint64_t round;
    uint32_t exchange;
    uint32_t site; /* this site's roster index */
    char rule[RULE_NAME_MAX];
    struct cid plan, roster, prev, base;
};

struct task_head {
    uint64_t round; /* 0: no round is closed yet, and record is the charter */
    struct cid record;
};

/* Signed bytes kept as evidence, checked before they came here. */
struct task_evidence {
    uint32_t size;
    uint8_t bytes[MSG_EVIDENCE_MAX];
};

struct task {
    enum task_phase phase;
    uint64_t done; /* newest round whose answer was accepted or refused */
    struct task_head proven;
    struct task_head seen;
    struct task_evidence statement; /* of `seen` */
    struct task_evidence receipt;   /* newest */
    struct task_order order;        /* the one in hand; idle: none, or one found unfit */
    struct cid record;              /* send: the sealed update; idle: the one answered last */
    enum refusal_code code;         /* decline: how the trainer failed */
};

enum task_event_type {
    TASK_ENDED = 1, /* journalled, begins a file: the update was answered; or the very beginning */
    TASK_ORDERED,   /* journalled: a Task whose head statement verified */
    TASK_HEAD,      /* journalled: a newer head, verified, by Welcome or Done */
    TASK_FETCHED,   /* journalled */
    TASK_SEALED,    /* journalled */
    TASK_UNFIT,     /* journalled: what was fetched shows that the task must not be done */
    TASK_BASE_LOST, /* journalled: sealing found the base damaged */
    TASK_LISTED,    /* the coordinator misses `count` of the update's blocks */
    TASK_UPLOADED,
    TASK_HINT,  /* somebody says that `round` is closed */
    TASK_RETRY, /* the timer; connected again; just started */
    TASK_FAILED /* journalled: the trainer failed for good by `code`; the task is declined */
};

struct task_event {
    enum task_event_type type;
    uint64_t round;          /* all but ordered and retry; ended: 0 at the very beginning */
    struct cid record;       /* of a head: the round's; else the update; ended: none if declined */
    bool accepted;           /* ended */
    bool more;               /* uploaded: the list may have been cut short */
    uint64_t count;          /* listed */
    enum verdict verdict;    /* unfit */
    enum refusal_code code;  /* failed */
    struct task_order order; /* ordered */
    struct task_head proven, seen;           /* ended */
    struct task_evidence statement, receipt; /* ended; ordered and head have no receipt */
};

enum task_effect_type {
    TASK_SEND_HELLO,
    TASK_SEND_WANT,
    TASK_SEND_MISSING,
    TASK_SEND_SUBMIT,
    TASK_SEND_DECLINE,
    TASK_FETCH_JOB,
    TASK_TRAIN_JOB,
    TASK_UPLOAD_JOB,
    TASK_REPAIR_JOB, /* blocks of the update answered last, damaged over there */
    TASK_CANCEL_JOB, /* what it makes is of no use any more */
    TASK_SAY_TAKEN,  /* these are for the log and the person */
    TASK_SAY_FETCHED,
    TASK_SAY_SEALED,
    TASK_SAY_DECLINED, /* `round`, `code` */
    TASK_SAY_ANSWERED, /* `round`, `accepted`, `record` (none: declined) */
    TASK_SAY_DROPPED,  /* `round` */
    TASK_SAY_REFUSED   /* `round`, `verdict` */
};

struct task_effect {
    enum task_effect_type type;
    uint64_t round;
    struct cid record;
    bool accepted;
    enum verdict verdict;
    enum refusal_code code;
};

struct task_effects {
    size_t count;
    struct task_effect items[TASK_EFFECTS_MAX];
};

/* Decides one event. Returns whether `t` changed. */
bool task_step(struct task *t, const struct task_event *e, struct task_effects *effects);

/* The very first event of a study, on a zeroed struct. */
void task_begin(const struct cid *study, struct task_event *out);
/* Fills an `ended` event for what is being sent or declined; `receipt` of an accepted one is the
 * caller's to set. */
void task_end(const struct task *t, bool accepted, struct task_event *out);

/* The journal's form: a dag-cbor array [type, fields...]; nothing for events that change nothing.
 */
void task_event_encode(const struct task_event *e, struct buf *out);
int task_event_decode(struct cbor *r, struct task_event *out, struct err *err) MUST_USE;

const char *task_phase_name(enum task_phase p);
/* Copies verified bytes; false, and nothing changed, if they are more than the room. */
bool task_evidence_set(struct task_evidence *e, struct bytes from);

#endif
