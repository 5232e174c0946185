/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/worker.h"

#include <stdlib.h>

#include "base/log.h"
#include "worker/work_folder.h"

/* --- what the loop is made of --- */

static bool step(void *self, const void *event)
{
    struct worker *w = self;
    return task_step(&w->task, event, &w->effects);
}

static void encode(const void *event, struct buf *out)
{
    task_event_encode(event, out);
}

static int decode(struct cbor *r, void *event, struct err *err)
{
    return task_event_decode(r, event, err);
}

/* The file of the task that comes after the round answered. */
static bool starts_file(const void *event, uint64_t *number)
{
    const struct task_event *e = event;
    *number = e->round + 1;
    return e->type == TASK_ENDED;
}

static void forget(void *self)
{
    struct worker *w = self;
    w->effects.count = 0;
}

/* --- time --- */

void worker_hurry(struct worker *w, uint64_t time_ms)
{
    w->backoff_ms = WORKER_RETRY_MS;
    w->retry_ms = time_ms + w->backoff_ms;
}

void worker_back_off(struct worker *w, uint64_t time_ms)
{
    uint64_t draw, half = w->backoff_ms / 2;
    w->world->random(w->world->self, &draw, sizeof draw);
    w->retry_ms = time_ms + half + draw % (half + 1);
    w->backoff_ms =
        2 * w->backoff_ms < WORKER_RETRY_MAX_MS ? 2 * w->backoff_ms : WORKER_RETRY_MAX_MS;
}

void worker_trouble(struct worker *w, const char *event, const char *sentence, const char *advice)
{
    if (strncmp(w->trouble, sentence, sizeof w->trouble - 1) == 0)
        return;
    snprintf(w->trouble, sizeof w->trouble, "%s", sentence);
    snprintf(w->advice, sizeof w->advice, "%s", advice);
    struct buf safe = buf_new(WORKER_SENTENCE_MAX * 6);
    log_escape(&safe, bytes_of_text(w->trouble));
    log_warn(event, advice[0] == '\0' ? "why=%s%s" : "why=%s advice=\"%s\"", buf_text(&safe),
             advice);
    buf_fini(&safe);
}

/* --- opening --- */

static int make_folders(struct worker *w, struct err *err)
{
    static const char *const names[] = {"work", "updates"};
    const struct files *f = w->world->files;
    char path[FILES_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++) {
        rc = files_join(path, w->home->dir, names[i], err);
        if (rc == 0)
            rc = files_make_dirs(f, path, err);
    }
    /* Whatever a trainer left was of a task that is begun again, or sealed. */
    return rc != 0 ? rc : work_folder_clear(f, w->home->dir, err);
}

static int open_store(struct worker *w, struct err *err)
{
    char path[FILES_PATH_MAX];
    int rc = files_join(path, w->home->dir, "shared", err);
    if (rc == 0)
        rc = store_open(w->world->files, path, STORE_WRITE, &w->store, err);
    if (rc == 0)
        lineage_init(&w->lineage, w->world, w->store, w->home);
    return rc;
}

/* How long the study is, if an earlier run has fetched its plan. */
static void load_rounds(struct worker *w)
{
    struct study s;
    if (study_load(w->store, &w->home->invitation.study, &w->home->policy.plan, &s, NULL) != 0)
        return;
    w->rounds = plan_rounds(&s.plan);
    study_fini(&s);
}

/* Replays the journal, or begins one. */
static int open_journal(struct worker *w, struct err *err)
{
    struct loop_program program = {.self = w,
                                   .state = &w->task,
                                   .state_bytes = sizeof w->task,
                                   .event = &w->event,
                                   .event_bytes = sizeof w->event,
                                   .next = listen_next,
                                   .step = step,
                                   .encode = encode,
                                   .starts_file = starts_file,
                                   .perform = perform_effects,
                                   .decode = decode,
                                   .forget = forget};
    char path[FILES_PATH_MAX];
    int rc = files_join(path, w->home->dir, "journal", err);
    if (rc == 0)
        rc = loop_open(&w->loop, w->world, &program, path, err);
    if (rc != 0)
        return rc;
    if (w->loop.cut_bytes > 0)
        log_warn("journal-cut",
                 "bytes=%llu: an event that was being written when the program "
                 "ended; it is asked for again",
                 (unsigned long long)w->loop.cut_bytes);
    if (w->loop.replayed > 0)
        return 0;
    struct task_event first;
    task_begin(&w->home->invitation.study, &first);
    return loop_feed(&w->loop, &first, err);
}

int worker_open(struct worker *w, struct home *home, const struct world *world, struct err *err)
{
    char path[FILES_PATH_MAX];
    w->home = home;
    w->world = world;
    w->out = buf_new(MSG_BYTES_MAX);
    w->message.body = buf_new(MSG_BYTES_MAX);
    progress_line_init(&w->line, stderr);
    w->backoff_ms = WORKER_RETRY_MS;
    program_init(&w->program, home->dir, home->site.name);
    int rc = open_store(w, err);
    if (rc == 0) {
        load_rounds(w);
        rc = make_folders(w, err);
    }
    if (rc == 0)
        rc = files_join(path, home->dir, "log.jsonl", err);
    if (rc == 0)
        rc = event_log_open(&w->log, path, err);
    if (rc == 0)
        rc = open_journal(w, err);
    if (rc != 0)
        return err_wrap(err, rc, "worker in %s", home->dir);
    event_log_put(&w->log, "started", "{s:s,s:I}", "phase", task_phase_name(w->task.phase), "round",
                  (json_int_t)(w->task.order.round > 0 ? w->task.order.round : w->task.done));
    worker_hurry(w, loop_time_ms(&w->loop));
    w->nudged = true; /* training goes on without the coordinator */
    return 0;
}

/* A job is never abandoned: it writes into what is about to go. */
static void end_job(struct worker *w)
{
    while (w->working) {
        errand_cancel(w);
        struct job *job = w->world->take_done(w->world->self);
        if (job == NULL) {
            w->world->wait(w->world->self, 100);
            continue;
        }
        free(((struct errand *)job)->cids);
        w->working = false;
    }
}

void worker_close(struct worker *w)
{
    end_job(w);
    program_stop(&w->program);
    loop_close(&w->loop);
    event_log_close(&w->log);
    lineage_fini(&w->lineage);
    store_close(w->store);
    w->store = NULL;
    free(w->listed);
    w->listed = NULL;
    buf_fini(&w->out);
    buf_fini(&w->message.body);
}

/* --- running --- */

/* An approval in config.toml counts at once; a cancelled job is reminded. */
static void tick(struct worker *w, uint64_t time_ms)
{
    struct home_policy policy;
    if (time_ms < w->tick_ms)
        return;
    w->tick_ms = time_ms + WORKER_TICK_MS;
    if (w->said_verdict == VERDICT_OTHER_PLAN &&
        home_read_policy(w->home->dir, &policy, NULL) == 0 &&
        !cid_equal(&policy.plan, &w->home->policy.plan)) {
        w->home->policy = policy;
        w->said_verdict = VERDICT_FIT;
        w->nudged = true;
    }
    if (w->working && atomic_load(&w->errand.cancel))
        errand_cancel(w);
    report_write(w, true);
}

/* Shows the coordinator that this site holds the end; turns go on until the message is answered. */
static void say_farewell(struct worker *w)
{
    w->farewell_ms = loop_time_ms(&w->loop) + WORKER_FAREWELL_MS;
    w->session.welcomed = false;
    perform_hello(w);
}

static void tell_end(struct worker *w)
{
    char model[CID_TEXT_MAX], head[CID_TEXT_MAX], path[FILES_PATH_MAX] = "";
    uint64_t size;
    cid_format(&w->final_model, model);
    cid_format(&w->final.record, head);
    if (store_model_path(w->store, &w->final_model, path, &size, NULL) != 0)
        path[0] = '\0';
    perform_say(w, NULL, "the study is finished after round %llu; model %s in %s",
                (unsigned long long)w->final.round, model, path);
    event_log_put(&w->log, "finished", "{s:s,s:s,s:I}", "head", head, "model", model, "rounds",
                  (json_int_t)w->final.round);
}

/* Study time at which something is due that no message announces. */
static uint64_t next_due_ms(const struct worker *w)
{
    uint64_t due_ms = w->retry_ms < w->tick_ms ? w->retry_ms : w->tick_ms;
    if (w->farewell_ms != 0 && w->farewell_ms < due_ms)
        due_ms = w->farewell_ms;
    return w->nudged ? 0 : due_ms;
}

static bool has_more(const struct worker *w, uint64_t now_ms)
{
    if (w->stop || !w->finished)
        return !w->stop;
    return !w->session.welcomed && w->session.connected && now_ms < w->farewell_ms;
}

int worker_turn(struct worker *w, bool *more, struct err *err)
{
    uint64_t now_ms = loop_time_ms(&w->loop), due_ms = next_due_ms(w);
    int rc = loop_turn(&w->loop, due_ms > now_ms ? due_ms - now_ms : 0, err);
    if (rc != 0)
        return rc;
    now_ms = loop_time_ms(&w->loop);
    tick(w, now_ms);
    if (w->finished && w->farewell_ms == 0) {
        tell_end(w);
        say_farewell(w);
    }
    *more = has_more(w, now_ms);
    return 0;
}

void worker_end(struct worker *w, const struct err *why)
{
    if (!w->finished)
        event_log_put(&w->log, "stopped", "{}");
    if (why != NULL)
        snprintf(w->trouble, sizeof w->trouble, "%s", why->text);
    report_write(w, false);
}

int worker_run(struct worker *w, struct err *err)
{
    bool more = true;
    int rc = 0;
    while (rc == 0 && more)
        rc = worker_turn(w, &more, err);
    worker_end(w, rc != 0 ? err : NULL);
    return rc;
}
