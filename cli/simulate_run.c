/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/simulate_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "cli/simulate_setup.h"
#include "cli/simulate_world.h"
#include "coordinator/coordinator.h"
#include "worker/worker.h"

struct seat {
    struct home home;
    struct worker *worker; /* NULL: it has left */
};

struct table {
    struct simulate_net *net;
    struct coordinator *coordinator;
    struct seat *seats;
    size_t count;
    uint64_t began_ms, ended_ms; /* ended: when the last round was closed; 0: not yet */
    uint64_t first;              /* the round under way at the start */
};

/* Each site holds a few files open, and a round its packs. */
static void allow_many_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint64_t now_ms(const struct table *t)
{
    const struct world *w = t->coordinator->world;
    return w->now_ms(w->self);
}

/* --- sites --- */

static int seat_site(struct table *t, const char *out, size_t index, struct err *err)
{
    struct seat *s = &t->seats[index];
    char dir[FILES_PATH_MAX];
    int rc = simulate_setup_site(out, index, dir, err);
    if (rc == 0)
        rc = home_open(dir, &s->home, err);
    if (rc != 0)
        return rc;
    s->worker = calloc(1, sizeof *s->worker);
    if (s->worker == NULL) {
        home_close(&s->home);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    s->worker->quiet = true;
    return worker_open(s->worker, &s->home, simulate_world_site(t->net, index, &s->home.site.curve),
                       err);
}

static void leave(struct table *t, size_t index)
{
    struct seat *s = &t->seats[index];
    if (s->worker == NULL)
        return;
    worker_close(s->worker);
    free(s->worker);
    s->worker = NULL;
    home_close(&s->home);
    simulate_world_leave(t->net, index + 1);
}

static void end_site(struct table *t, size_t index, const struct err *why)
{
    struct worker *w = t->seats[index].worker;
    worker_end(w, why);
    if (why != NULL || w->exit_code != 0)
        log_error("site-stopped", "site=%s why=\"%s\"", w->home->site.name, w->trouble);
    leave(t, index);
}

static void turn_of_site(struct table *t, size_t index)
{
    struct err err = {0};
    bool more = false;
    if (t->seats[index].worker == NULL || !simulate_world_begin(t->net, index + 1))
        return;
    int rc = worker_turn(t->seats[index].worker, &more, &err);
    simulate_world_end(t->net);
    if (rc != 0 || !more)
        end_site(t, index, rc != 0 ? &err : NULL);
}

/* --- the coordinator --- */

static int open_coordinator(struct table *t, const char *out, struct err *err)
{
    struct coordinator *c = t->coordinator;
    char dir[FILES_PATH_MAX];
    int rc = simulate_setup_study(out, dir, err);
    if (rc == 0)
        rc = coordinator_open(c, dir, files_posix(), err);
    if (rc == 0)
        rc = coordinator_start(c, simulate_world_coordinator(t->net), err);
    if (rc == 0)
        rc = serve_gateway(c, err);
    if (rc != 0)
        return rc;
    const struct http_handler gateway = gateway_handler(c->gateway);
    simulate_world_open(t->net, &gateway);
    return 0;
}

static bool turn_of_coordinator(struct table *t)
{
    struct coordinator *c = t->coordinator;
    if (!simulate_world_begin(t->net, 0))
        return true;
    bool more = coordinator_turn(c);
    simulate_world_end(t->net);
    if (c->round->phase == ROUND_FINISHED && t->ended_ms == 0)
        t->ended_ms = now_ms(t);
    return more;
}

/* --- all of them --- */

static int open_all(struct table *t, const char *out, size_t clients, struct err *err)
{
    allow_many_files();
    t->coordinator = calloc(1, sizeof *t->coordinator);
    t->seats = calloc(clients, sizeof *t->seats);
    if (t->coordinator == NULL || t->seats == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = simulate_world_new(clients, &t->net, err);
    for (; rc == 0 && t->count < clients; t->count++)
        rc = seat_site(t, out, t->count, err);
    return rc != 0 ? rc : open_coordinator(t, out, err);
}

/* Sites before the coordinator: at the first turn of theirs all say hello, so that all are online
 * when it first looks. */
static void take_turns(struct table *t)
{
    bool more = true;
    while (more) {
        simulate_world_rest(t->net);
        for (size_t i = 0; i < t->count; i++)
            turn_of_site(t, i);
        more = turn_of_coordinator(t);
    }
    for (size_t i = 0; i < t->count; i++)
        if (t->seats[i].worker != NULL)
            end_site(t, i, NULL);
    (void)coordinator_end(t->coordinator);
}

static void tell_result(const struct table *t, struct simulate_result *r)
{
    const struct coordinator *c = t->coordinator;
    uint64_t ended_ms = t->ended_ms != 0 ? t->ended_ms : now_ms(t);
    *r = (struct simulate_result){.study = c->folder.study_id,
                                  .model = c->round->base,
                                  .rounds = c->round->number - 1,
                                  .planned = plan_rounds(&c->study.plan),
                                  .run = c->round->number - t->first,
                                  .seconds = (double)(ended_ms - t->began_ms) / 1000,
                                  .finished =
                                      c->round->phase == ROUND_FINISHED && c->exit_code == 0};
    if (r->rounds > 0)
        r->head = c->round->prev;
    snprintf(r->failure, sizeof r->failure, "%.*s", (int)sizeof r->failure - 1, c->failure);
}

static void close_all(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        leave(t, i);
    if (t->coordinator != NULL)
        coordinator_close(t->coordinator);
    free(t->coordinator);
    free(t->seats);
    simulate_world_free(t->net);
}

int simulate_run(const char *out, size_t clients, bool quiet, struct simulate_result *result,
                 struct err *err)
{
    struct table t = {.count = 0};
    int rc = open_all(&t, out, clients, err);
    if (rc == 0) {
        struct coordinator *c = t.coordinator;
        c->log.quiet = quiet;
        t.began_ms = now_ms(&t);
        t.first = c->round->number;
        round_log_say(&c->log, "study %s: round %llu of %llu, %zu sites in one process",
                      c->study.charter.name, (unsigned long long)t.first,
                      (unsigned long long)plan_rounds(&c->study.plan), clients);
        take_turns(&t);
        tell_result(&t, result);
    }
    close_all(&t);
    return rc;
}
