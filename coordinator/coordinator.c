/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act.h"
#include "coordinator/work.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"

/* --- the pure step, as the loop wants it --- */

static bool step(void *self, const void *event)
{
    struct coordinator *c = self;
    return round_step(c->round, &c->study.plan, event, &c->effects);
}

static void encode(const void *event, struct buf *out)
{
    const struct round_event *e = event;
    if (e->type == ROUND_CHECKED && e->fit)
        FAULT_POINT("accepted-before-commit");
    round_event_encode(e, out);
}

static bool starts_file(const void *event, uint64_t *number)
{
    const struct round_event *e = event;
    *number = e->round + 1;
    return e->type == ROUND_CLOSED;
}

static int decode(struct cbor *r, void *event, struct err *err)
{
    return round_event_decode(r, event, err);
}

static void forget(void *self)
{
    struct coordinator *c = self;
    c->effects.count = 0;
}

/* --- opening --- */

static int load_roster(struct coordinator *c, struct err *err)
{
    struct cid cid;
    struct key_public own = key_public(c->folder.coordinator);
    int rc = folder_read_cid(c->files, c->folder.dir, "roster", &cid, err);
    if (rc == 0)
        rc = roster_load(c->store, &c->folder.study_id, &c->study.charter.founder, &cid, &c->roster,
                         err);
    if (rc == 0 && !key_equal(&own, &c->roster.coordinator))
        rc = err_set(err, ERR_DENIED,
                     "it names another coordinator's key than keys/coordinator.key");
    return rc != 0 ? err_wrap(err, rc, "roster") : 0;
}

int coordinator_open(struct coordinator *c, const char *dir, const struct files *files,
                     struct err *err)
{
    c->files = files;
    c->allowed_round = UINT64_MAX;
    c->message.body = buf_new(MSG_BYTES_MAX);
    c->out = buf_new(MSG_BYTES_MAX);
    c->head = buf_new(MSG_EVIDENCE_MAX);
    c->round = calloc(1, sizeof *c->round);
    c->presence = calloc(ROSTER_SITES_MAX, sizeof *c->presence);
    if (c->round == NULL || c->presence == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    char path[FILES_PATH_MAX];
    int rc = folder_open(dir, &c->folder, err);
    if (rc != 0)
        return rc;
    rc = folder_path(&c->folder, "shared", path, err);
    if (rc == 0)
        rc = store_open(files, path, STORE_WRITE, &c->store, err);
    if (rc == ERR_DENIED)
        return err_set(err, rc, "another coordinator is at work on %.600s", c->folder.dir);
    if (rc == 0)
        rc = study_load(c->store, &c->folder.study_id, &c->folder.plan_id, &c->study, err);
    return rc != 0 ? rc : load_roster(c, err);
}

static int open_journal(struct coordinator *c, struct err *err)
{
    const struct loop_program program = {.self = c,
                                         .state = c->round,
                                         .state_bytes = sizeof *c->round,
                                         .event = &c->event,
                                         .event_bytes = sizeof c->event,
                                         .next = intake_next,
                                         .step = step,
                                         .encode = encode,
                                         .starts_file = starts_file,
                                         .perform = act_perform,
                                         .decode = decode,
                                         .forget = forget};
    char path[FILES_PATH_MAX];
    int rc = folder_path(&c->folder, "journal", path, err);
    if (rc == 0)
        rc = loop_open(&c->loop, c->world, &program, path, err);
    if (rc != 0)
        return rc;
    c->has_loop = true;
    if (c->loop.cut_bytes > 0)
        log_warn("journal-cut", "bytes=%llu: the last frame was not whole, as a crash leaves it",
                 (unsigned long long)c->loop.cut_bytes);
    return 0;
}

/* What the journal stands on must be there. */
static int check_ground(const struct coordinator *c, struct err *err)
{
    char text[CID_TEXT_MAX];
    for (uint32_t i = 0; i < c->round->slot_count; i++)
        if (c->round->slots[i].site >= c->roster.count)
            return err_set(
                err, ERR_CORRUPT,
                "round %llu has selected sites that %.400s/roster does not name; put the "
                "newest one back",
                (unsigned long long)c->round->number, c->folder.dir);
    if (!store_model_has(c->store, &c->round->base))
        return err_set(err, ERR_CORRUPT,
                       "round %llu stands on model %s, which is not in %.400s/shared; put it back "
                       "(colmeia get, from any site's folder)",
                       (unsigned long long)c->round->number, cid_format(&c->round->base, text),
                       c->folder.dir);
    if (!store_has(c->store, &c->round->prev))
        return err_set(
            err, ERR_CORRUPT, "round %llu follows record %s, which is not in %.400s/shared",
            (unsigned long long)c->round->number, cid_format(&c->round->prev, text), c->folder.dir);
    return 0;
}

static int begin_study(struct coordinator *c, struct err *err)
{
    struct round_event first = {
        .type = ROUND_CLOSED, .record = c->study.charter.cid, .next = c->study.plan.model};
    return c->loop.replayed > 0 ? 0 : loop_feed(&c->loop, &first, err);
}

int coordinator_start(struct coordinator *c, const struct world *world, struct err *err)
{
    char path[FILES_PATH_MAX], study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    const struct round_event resume = {.type = ROUND_RESUME};
    c->world = world;
    world->random(world->self, c->boot, sizeof c->boot);
    world->random(world->self, c->tokens.key, sizeof c->tokens.key);
    int rc = folder_path(&c->folder, "log.jsonl", path, err);
    if (rc == 0)
        rc = round_log_open(&c->log, path, err);
    if (rc == 0) /* soon, since the doors are open: whoever is refused comes back later */
        rc = intake_roster(c, err);
    if (rc == 0)
        rc = inbox_new(c->files, c->folder.dir, &c->inbox, err);
    if (rc == 0)
        rc = open_journal(c, err);
    if (rc == 0)
        rc = begin_study(c, err);
    if (rc == 0)
        rc = check_ground(c, err);
    if (rc == 0)
        rc = intake_roster(c, err);
    if (rc != 0)
        return rc;
    c->opened_ms = c->combined_ms = world->now_ms(world->self);
    atomic_store(&c->time_ms, loop_time_ms(&c->loop));
    event_log_put(&c->log.events, "started", "{s:s,s:s,s:I,s:I,s:I}", "study",
                  cid_format(&c->folder.study_id, study), "plan",
                  cid_format(&c->folder.plan_id, plan), "round", (json_int_t)c->round->number,
                  "rounds", (json_int_t)plan_rounds(&c->study.plan), "sites",
                  (json_int_t)c->roster.count);
    return loop_feed(&c->loop, &resume, err);
}

/* --- running --- */

bool coordinator_is_online(const struct coordinator *c, size_t site, uint64_t time_ms)
{
    const struct presence *p = &c->presence[site];
    return p->has_route && time_ms - p->seen_ms < COORDINATOR_ONLINE_MS;
}

void coordinator_fail(struct coordinator *c, const char *format, ...)
{
    if (c->exit_code == 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(c->failure, sizeof c->failure, format, arguments);
        va_end(arguments);
        event_log_put(&c->log.events, "failed", "{s:s}", "sentence", c->failure);
    }
    c->exit_code = 3;
    c->stop = true;
}

/* Study time at which something is due that no message announces. */
static uint64_t next_due_ms(const struct coordinator *c)
{
    const struct round *r = c->round;
    uint64_t due_ms = c->roster_next_ms < c->status.next_ms ? c->roster_next_ms : c->status.next_ms;
    uint64_t deadline_ms = r->opened_ms + c->study.plan.deadline_ms;
    if (r->phase == ROUND_COLLECT && !r->past && deadline_ms < due_ms)
        due_ms = deadline_ms;
    if (c->combine_after_ms != 0 && c->combine_after_ms < due_ms)
        due_ms = c->combine_after_ms;
    return due_ms;
}

static void look_at_roster(struct coordinator *c, uint64_t now_ms)
{
    struct err err = {0};
    if (now_ms < c->roster_next_ms)
        return;
    c->roster_next_ms = now_ms + COORDINATOR_ROSTER_MS;
    int rc = intake_roster(c, &err);
    if (rc != 0 && !c->roster_bad)
        log_error("roster-refused", "why=\"%s\": the one before stays in force", err.text);
    c->roster_bad = rc != 0;
}

/* Every site that may take part holds the final head. */
static bool all_know(const struct coordinator *c)
{
    for (size_t i = 0; i < c->roster.count; i++)
        if (roster_is_active(&c->roster, i, c->round->number) && !c->presence[i].has_end)
            return false;
    return true;
}

static void announce_end(struct coordinator *c)
{
    const struct round *r = c->round;
    char head[CID_TEXT_MAX], model[CID_TEXT_MAX];
    cid_format(&r->prev, head);
    cid_format(&r->base, model);
    if (r->failures >= ROUND_FAILURES_MAX) {
        round_log_say(&c->log, "the study ends after round %llu: %u rounds failed in a row",
                      (unsigned long long)r->number - 1, r->failures);
        return;
    }
    event_log_put(&c->log.events, "finished", "{s:s,s:s,s:I}", "head", head, "model", model,
                  "rounds", (json_int_t)(r->number - 1));
    round_log_say(&c->log, "finished: %llu rounds, final model %s",
                  (unsigned long long)r->number - 1, model);
}

/* How long the end has been quiet: sites may still fetch the final model, however long that takes.
 */
static uint64_t quiet_ms(struct coordinator *c, uint64_t now_ms)
{
    uint64_t moved = atomic_load(&c->sent) + atomic_load(&c->received);
    if (moved != c->end_moved || c->end_moved_ms == 0 || gateway_requests(c->gateway) > 0) {
        c->end_moved = moved;
        c->end_moved_ms = now_ms + 1; /* never 0 */
    }
    return now_ms < c->end_moved_ms ? 0 : now_ms - c->end_moved_ms;
}

static void look_at_end(struct coordinator *c, uint64_t now_ms)
{
    const struct round *r = c->round;
    if (r->phase != ROUND_FINISHED)
        return;
    if (c->end_moved_ms == 0)
        announce_end(c);
    if (quiet_ms(c, now_ms) < (all_know(c) ? COORDINATOR_QUIET_MS : COORDINATOR_LINGER_MS))
        return;
    if (r->failures >= ROUND_FAILURES_MAX)
        coordinator_fail(c,
                         "%u rounds in a row failed, the last one round %llu; see `colmeia log "
                         "%.400s` for the reasons, and begin a new study with another plan",
                         r->failures, (unsigned long long)r->number - 1, c->folder.dir);
    c->stop = true;
}

bool coordinator_turn(struct coordinator *c)
{
    struct err err = {0};
    uint64_t now_ms = loop_time_ms(&c->loop), due_ms = next_due_ms(c);
    int rc = loop_turn(&c->loop, due_ms > now_ms ? due_ms - now_ms : 0, &err);
    if (rc != 0) {
        coordinator_fail(c, "%s", err.text);
        return false;
    }
    now_ms = loop_time_ms(&c->loop);
    look_at_roster(c, now_ms);
    if (c->combine_after_ms != 0 && now_ms >= c->combine_after_ms)
        combining_retry(c);
    look_at_end(c, now_ms);
    status_update(c, true);
    return !c->stop;
}

int coordinator_run(struct coordinator *c)
{
    while (!c->stop && coordinator_turn(c))
        continue;
    return coordinator_end(c);
}

int coordinator_end(struct coordinator *c)
{
    work_drain(c);
    event_log_put(&c->log.events, "stopped", "{}");
    status_update(c, false);
    return c->exit_code;
}

void coordinator_close(struct coordinator *c)
{
    if (c->world != NULL)
        work_drain(c);
    http_server_close(c->http);
    gateway_free(c->gateway);
    if (c->has_loop)
        loop_close(&c->loop);
    round_log_close(&c->log);
    inbox_free(c->inbox);
    roster_fini(&c->roster);
    study_fini(&c->study);
    store_close(c->store);
    folder_close(&c->folder);
    key_wipe(&c->tokens, sizeof c->tokens);
    buf_fini(&c->message.body);
    buf_fini(&c->out);
    buf_fini(&c->head);
    free(c->presence);
    free(c->round);
}
