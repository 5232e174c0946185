/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coordinator -- the running coordinator: what stands between the pure round and the world.
 *
 * One thread owns everything here but what HTTP threads and jobs touch (inbox, token maker, what is
 * _Atomic or does not change after the start). intake.c turns messages and finished jobs into
 * events, act.c performs effects; work.h names what runs in threads.
 */
#ifndef COLMEIA_COORDINATOR_COORDINATOR_H
#define COLMEIA_COORDINATOR_COORDINATOR_H

#include <stdatomic.h>

#include "base/loop.h"
#include "coordinator/folder.h"
#include "coordinator/inbox.h"
#include "coordinator/round.h"
#include "coordinator/round_log.h"
#include "coordinator/status.h"
#include "study/update.h"
#include "transport/gateway.h"
#include "transport/msg.h"
#include "transport/token.h"

#define COORDINATOR_ONLINE_MS 20000 /* a site is online this long after its last message */
#define COORDINATOR_WAIT_MS   5000  /* a waiting worker asks again after this, hint or no hint */
#define COORDINATOR_ROSTER_MS 250   /* how often DIR/roster is looked at */
#define COORDINATOR_WARN_MS   1000  /* between two warnings about one site's nonsense */
#define COORDINATOR_RETRY_MS  500   /* until combine is tried again for a block asked for */
#define COORDINATOR_TOKEN_MS  (24ull * 3600 * 1000)
#define COORDINATOR_LINGER_MS 10000 /* at the end, without a byte moved: some may not know */
#define COORDINATOR_QUIET_MS  500   /* the same once all know: one may still fetch */

/* What the loop knows of a site besides the round: never journalled. */
struct presence {
    uint64_t seen_ms; /* study time of its last message */
    uint64_t asked;   /* that message's sequence, which answers repeat */
    bool has_route;
    bool busy;    /* a check or look-up of it is at work: requests meanwhile are dropped */
    bool has_end; /* it said that it holds the final head */
    struct world_route route;
    uint64_t warned_ms;   /* when its nonsense was last logged; 0: never */
    uint64_t told_round;  /* the round under way when ... */
    uint32_t told;        /* ... these refusals that no round lists were told: a bit a code */
    bool has_news;        /* the last check's event is durable and in no log yet: ... */
    struct cid checked;   /* ... about this record; none: the site declined; ... */
    struct update update; /* ... which says this, if it was accepted */
};

/* The round that combining.c closed, told to people once that is durable. */
struct closed_round {
    bool is_new;
    struct round_line line;
    char rule[RULE_NAME_MAX];
    char failure[64];
};

struct coordinator {
    struct folder folder;
    const struct files *files;
    const struct world *world;
    struct store *store;
    struct study study;
    struct roster roster;      /* the newest */
    struct presence *presence; /* (ROSTER_SITES_MAX) by roster index */
    struct inbox *inbox;
    struct gateway *gateway;
    struct http_server *http;
    struct token_maker tokens;
    uint8_t boot[MSG_BOOT_BYTES];
    struct loop loop;
    bool has_loop;
    struct round *round;
    struct round_event event; /* the loop's scratch */
    struct round_effects effects;
    struct round_log log;
    struct world_message message; /* scratch of intake */
    struct buf out;               /* scratch of sending */
    struct buf head;              /* the signed statement of `head_round` */
    uint64_t head_round;
    size_t drained; /* messages and jobs taken in this turn */
    bool ticked;    /* this turn's tick was handed out */
    bool stop;      /* a signal came, or all is said */
    size_t jobs_out;
    bool combining;
    uint64_t combine_after_ms; /* 0, or when a combine that missed a block is tried again */
    struct cid repair;         /* the block that it missed, none; ... */
    uint32_t repair_site;      /* ... and whose it is */
    struct closed_round closed;
    uint64_t roster_next_ms;
    struct status status;
    uint64_t end_moved, end_moved_ms; /* once finished: bytes moved, and when they last did */
    uint64_t opened_ms, combined_ms;  /* monotonic: for the log's seconds */
    uint64_t moved_before;            /* bytes when the round before was told */
    uint64_t allowed_round;           /* for which the list of keys was made; UINT64_MAX: never */
    bool no_room, roster_bad;         /* said already */
    _Atomic uint64_t time_ms;         /* study time, for HTTP threads */
    _Atomic uint64_t sent, received;  /* by the gateway */
    _Atomic uint64_t active[ROUND_SET_WORDS]; /* sites that may read and send, for HTTP threads */
    int exit_code;
    char failure[STATUS_SENTENCE_MAX]; /* why it stops, for the last line and status */
};

/* Opens what is in DIR: keys, store (and its lock: ERR_DENIED if another coordinator has it),
 * study, roster. `c` is zeroed memory. */
int coordinator_open(struct coordinator *c, const char *dir, const struct files *files,
                     struct err *err) MUST_USE;
/* Replays the journal and resumes the round; without a journal, begins the study. */
int coordinator_start(struct coordinator *c, const struct world *world, struct err *err) MUST_USE;
/* Until the study is finished or a signal comes (0), or it must stop (3, why in c->failure). */
int coordinator_run(struct coordinator *c);
/* One turn of the loop and what is due besides; false when there is nothing more to do. */
bool coordinator_turn(struct coordinator *c);
int coordinator_end(struct coordinator *c); /* behind the last turn, as run does; the exit code */
/* Waits for jobs at work, then closes everything; harmless on what was never opened. */
void coordinator_close(struct coordinator *c);
/* Ends the program with exit code 3 after this turn; the first reason counts. */
void coordinator_fail(struct coordinator *c, const char *format, ...) PRINTF_LIKE(2, 3);
bool coordinator_is_online(const struct coordinator *c, size_t site, uint64_t time_ms);

/* serve.c: the gateway over HTTPS, and the gateway alone, for who carries requests another way. */
int serve_open(struct coordinator *c, struct err *err) MUST_USE;
int serve_gateway(struct coordinator *c, struct err *err) MUST_USE;

/* intake.c: the next event for the loop. */
bool intake_next(void *self, uint64_t time_ms, void *event);
/* May a warning be logged that the site can cause at will? At most one in COORDINATOR_WARN_MS. */
bool intake_may_warn(struct coordinator *c, uint32_t site);
/* Takes DIR/roster up if it names another one. */
int intake_roster(struct coordinator *c, struct err *err) MUST_USE;
/* `site` showed `what`, which our journal does not have: stops the program. */
void intake_rolled_back(struct coordinator *c, uint32_t site, const char *what);
/* Bytes that the disk must hold for the next round. */
uint64_t intake_room_needed(const struct coordinator *c);

#endif
