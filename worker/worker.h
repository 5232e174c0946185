/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker -- the running worker: what stands between the pure task and the world.
 *
 * One thread owns everything here but the work in hand, which belongs to a job's thread while it
 * runs, and the lineage and the trainer program, which only jobs touch. One job runs at a time.
 * listen.c turns messages and finished jobs into events, perform.c performs effects, errand.c is
 * what runs in threads, report.c what people are told while they wait.
 */
#ifndef COLMEIA_WORKER_WORKER_H
#define COLMEIA_WORKER_WORKER_H

#include "base/loop.h"
#include "study/event_log.h"
#include "worker/errand.h"
#include "worker/home.h"
#include "worker/lineage.h"
#include "worker/program.h"
#include "worker/task.h"

#define WORKER_RETRY_MS     1000  /* a request is repeated after this, then ... */
#define WORKER_RETRY_MAX_MS 15000 /* ... ever later, up to this: below what counts as offline */
#define WORKER_GREET_MS     250   /* hellos that answer greetings keep this distance */
#define WORKER_TICK_MS      1000
#define WORKER_FAREWELL_MS  1000 /* after the end: how long the last hello waits for its answer */
#define WORKER_SENTENCE_MAX 1024

/* The conversation with the coordinator's present process: never journalled. */
struct session {
    bool connected; /* a CURVE connection stands */
    bool welcomed;
    unsigned refusals;    /* in a row: the first may come of a coordinator that is just starting */
    bool told_unadmitted; /* said already */
    uint8_t boot[MSG_BOOT_BYTES];
    uint32_t site;
    char token[128];
    uint64_t renew_ms; /* when to say hello for a new token */
    uint64_t greeted_ms;
    uint64_t sequence; /* of messages sent */
};

/* How the coordinator answered the update, for the log once that is durable. */
struct answer {
    struct task_order order; /* what was answered */
    enum refusal_code code;  /* of a refusal, and its sentence */
    char sentence[256];
};

struct worker {
    struct home *home;
    const struct world *world;
    struct store *store;
    struct lineage lineage;
    struct task task;
    struct loop loop;
    struct task_event event; /* the loop's scratch */
    struct task_effects effects;
    struct event_log log;
    struct session session;
    struct answer answer;
    struct world_message message; /* scratch of intake */
    struct buf out;               /* scratch of sending */
    struct cid *listed;           /* the newest List; owned */
    size_t listed_count;
    struct errand errand;
    struct program program;    /* the site's own trainer; jobs' own, as the lineage */
    struct progress progress;  /* of the job in hand, as report.c saw it last */
    struct progress_line line; /* on stderr */
    bool working;
    bool nudged;   /* a retry is due at once */
    bool finished; /* the study is, and its model is here */
    bool stop;
    bool quiet;             /* nobody watches: no lines on stdout, no status.json */
    struct task_head final; /* what Done says; none before */
    uint64_t retry_ms, backoff_ms;
    uint64_t hold_ms; /* no job starts before: the last one failed */
    uint64_t tick_ms;
    uint64_t farewell_ms; /* until when the last hello waits for its answer; 0: not said yet */
    uint64_t rounds;      /* of the plan; 0: not known yet */
    struct cid final_model;
    /* What was said already, so that it is said once. */
    struct cid said_plan;
    uint64_t said_round;
    enum verdict said_verdict;
    char trouble[WORKER_SENTENCE_MAX]; /* why there is no progress; "" */
    char advice[WORKER_SENTENCE_MAX];  /* what a person could do; "" */
    char waits_for[MSG_TEXT_MAX];      /* the coordinator's word, while idle */
    int exit_code;
};

/* Opens everything in the folder (which stays the caller's, as the world does) and replays the
 * journal. `w` is zeroed memory. ERR_DENIED if another worker has the folder open. */
int worker_open(struct worker *w, struct home *home, const struct world *world,
                struct err *err) MUST_USE;
/* Works until the study is finished or a signal comes (0), or it must stop (`err` says why). */
int worker_run(struct worker *w, struct err *err) MUST_USE;
/* One turn of the loop and what is due besides; `more` false: it was the last. worker_end comes
 * behind that one, and behind one that failed (`why`), as worker_run does it. */
int worker_turn(struct worker *w, bool *more, struct err *err) MUST_USE;
void worker_end(struct worker *w, const struct err *why);
/* Ends the job in hand, then closes everything; harmless on what was never opened. */
void worker_close(struct worker *w);

/* The next retry is due soon again: something moved. */
void worker_hurry(struct worker *w, uint64_t time_ms);
/* One step further back, with jitter. */
void worker_back_off(struct worker *w, uint64_t time_ms);
/* Why there is no progress; logged when it is not what was said last. `advice` may be "". */
void worker_trouble(struct worker *w, const char *event, const char *sentence, const char *advice);

/* listen.c: the next event for the loop. */
bool listen_next(void *self, uint64_t time_ms, void *event);

/* perform.c: performs the collected effects. */
int perform_effects(void *self, struct err *err) MUST_USE;
void perform_hello(struct worker *w);
/* One line on stdout for the person watching: "round 3 of 22 (fedavg): ...". */
void perform_say(struct worker *w, const struct task_order *o, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Says and logs, once, that a task is not done here. `plan`: the one it asks for, of OTHER_PLAN;
 * else NULL. `detail` may be "". */
void perform_refuse(struct worker *w, uint64_t round, enum verdict verdict, const struct cid *plan,
                    const char *detail);

/* report.c: DIR/status.json and, on stderr, how far the job in hand is. */
void report_write(struct worker *w, bool running);

#endif
