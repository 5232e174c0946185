/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
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
    if (w->task.phase == TASK_SEND)
        return w->working ? "the update to be sent" : "the coordinator's answer to the update";
    if (w->final.round > 0)
        return "the final model to arrive";
    return w->waits_for[0] != '\0' ? w->waits_for : "a task";
}

static json_t *cid_or_null(const struct cid *c)
{
    char text[CID_TEXT_MAX];
    return cid_is_none(c) ? json_null() : json_string(cid_format(c, text));
}

static json_t *describe(const struct worker *w, bool running)
{
    const struct task *t = &w->task;
    char study[CID_TEXT_MAX], plan[CID_TEXT_MAX];
    bool at_work = t->phase == TASK_FETCH || t->phase == TASK_TRAIN || t->phase == TASK_SEND;
    struct cid none = {.size = 0};
    const struct cid *model = w->finished ? &w->final_model : at_work ? &t->order.base : &none;
    return json_pack(
        "{s:s,s:i,s:b,s:I,s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:s,s:[],s:n,s:s,s:o,s:o,s:s}", "program",
        "worker", "pid", (int)getpid(), "running", running ? 1 : 0, "updated",
        (json_int_t)w->world->wall_s(w->world->self), "name", w->home->site.name, "study",
        cid_format(&w->home->invitation.study, study), "plan",
        cid_format(&w->home->policy.plan, plan), "round",
        (json_int_t)(at_work ? t->order.round : t->done), "rounds", (json_int_t)w->rounds, "rule",
        at_work ? t->order.rule : "", "phase", w->finished ? "finished" : task_phase_name(t->phase),
        "waits_for", waits_for(w), "whom", "seconds_left", "advice", w->advice, "model",
        cid_or_null(model), "head", cid_or_null(t->seen.round > 0 ? &t->seen.record : &none),
        "failure", w->trouble);
}

void report_write(struct worker *w, bool running)
{
    char path[FILES_PATH_MAX];
    json_t *object = describe(w, running);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_PRESERVE_ORDER | JSON_INDENT(1));
    if (text != NULL && files_join(path, w->home->dir, "status.json", NULL) == 0) {
        struct err err;
        if (files_save_unsynced(w->world->files, path, bytes_of_text(text), &err) != 0)
            log_warn("status", "why=\"%s\"", err.text);
    }
    free(text);
    json_decref(object);
}
