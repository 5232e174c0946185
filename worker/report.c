/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "study/status_file.h"
#include "worker/worker.h"

static const char *waits_for(const struct worker *w)
{
    if (w->finished)
        return "nothing: the study is finished";
    if (w->task.phase == TASK_TRAIN)
        return "the trainer";
    if (!w->session.welcomed)
        return w->session.told_unadmitted ? "this site to be admitted"
                                          : "the coordinator to answer";
    if (w->task.phase == TASK_FETCH)
        return "the base model to arrive";
    if (w->task.phase == TASK_DECLINE)
        return "the coordinator to note that the task is declined";
    if (w->task.phase == TASK_SEND)
        return w->working ? "the update to be sent" : "the coordinator's answer to the update";
    if (w->final.round > 0)
        return "the final model to arrive";
    return w->waits_for[0] != '\0' ? w->waits_for : "a task";
}

/* --- the job in hand --- */

/* What it does and how far it is; false: nothing that can be counted. */
static bool look_at_job(struct worker *w, uint64_t *done, uint64_t *total, uint64_t *moved)
{
    struct errand *k = &w->errand;
    struct progress *p = &w->progress;
    uint64_t sent = 0, received = 0;
    if (k->kind == ERRAND_TRAIN && k->sealing.total > 0) {
        progress_of(p, "sealing the update", PROGRESS_BYTES);
        *total = k->sealing.total;
        *moved = *done = k->sealing.done;
        return true;
    }
    if (k->kind == ERRAND_TRAIN) {
        progress_of(p, "training", PROGRESS_STEPS);
        *total = k->trainer_total;
        *moved = *done = k->trainer_done;
        return *total > 0;
    }
    bool fetches = k->kind == ERRAND_FETCH || k->kind == ERRAND_FINAL;
    progress_of(p, fetches ? "fetching the model" : "sending the update", PROGRESS_BYTES);
    w->world->progress(w->world->self, done, total);
    w->world->moved(w->world->self, &sent, &received);
    *moved = fetches ? received : sent;
    return *total > 0;
}

/* "round 3 of 22: training: 120 of 600, 14.2/s, 34 s left" */
static void show_line(struct worker *w, uint64_t now_ms)
{
    char text[PROGRESS_TEXT_MAX], line[PROGRESS_TEXT_MAX + 64];
    unsigned long long round = (unsigned long long)w->errand.order.round;
    progress_format(&w->progress, text);
    if (w->errand.kind == ERRAND_FINAL)
        snprintf(line, sizeof line, "%s", text);
    else if (w->rounds > 0)
        snprintf(line, sizeof line, "round %llu of %llu: %s", round, (unsigned long long)w->rounds,
                 text);
    else
        snprintf(line, sizeof line, "round %llu: %s", round, text);
    progress_line_show(&w->line, now_ms, line);
}

static void look_at_progress(struct worker *w)
{
    uint64_t done = 0, total = 0, moved = 0, now_ms = w->world->now_ms(w->world->self);
    if (w->working && look_at_job(w, &done, &total, &moved)) {
        progress_note(&w->progress, now_ms, done, total, moved);
        show_line(w, now_ms);
        return;
    }
    progress_of(&w->progress, NULL, PROGRESS_BYTES);
    progress_line_clear(&w->line);
}

/* --- status.json --- */

static json_t *describe(const struct worker *w, bool running)
{
    const struct task *t = &w->task;
    char study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    bool at_work = t->phase != TASK_NEW && t->phase != TASK_IDLE;
    struct cid none = {.size = 0};
    const struct cid *model = w->finished ? &w->final_model : at_work ? &t->order.base : &none;
    return json_pack(
        "{s:s,s:i,s:b,s:I,s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:s,s:[],s:n,s:s,s:o,s:o,s:o,s:s}", "program",
        "worker", "pid", (int)getpid(), "running", running ? 1 : 0, "updated",
        (json_int_t)w->world->wall_s(w->world->self), "name", w->home->site.name, "study",
        cid_format(&w->home->invitation.study, study), "plan",
        cid_format(&w->home->policy.plan, plan), "round",
        (json_int_t)(at_work ? t->order.round : t->done), "rounds", (json_int_t)w->rounds, "rule",
        at_work ? t->order.rule : "", "phase", w->finished ? "finished" : task_phase_name(t->phase),
        "waits_for", waits_for(w), "whom", "seconds_left", "advice", w->advice, "progress",
        status_file_progress(&w->progress), "model", status_file_cid(model), "head",
        status_file_cid(t->seen.round > 0 ? &t->seen.record : &none), "failure", w->trouble);
}

void report_write(struct worker *w, bool running)
{
    if (w->quiet)
        return;
    look_at_progress(w);
    status_file_save(w->world->files, w->home->dir, describe(w, running));
}
