/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "worker/worker.h"

/* --- messages --- */

/* Fills the envelope and sends; what is lost is asked for again by the timer. */
static void send_message(struct worker *w, struct msg *m)
{
    struct err err;
    m->version = MSG_VERSION;
    m->study = w->home->invitation.study;
    m->sequence = ++w->session.sequence;
    if (m->type != MSG_HELLO) {
        memcpy(m->boot, w->session.boot, sizeof m->boot);
        m->has_boot = true;
    }
    if (msg_encode(m, &w->out, &err) == 0)
        w->world->send(w->world->self, NULL, buf_bytes(&w->out));
    else
        log_error("send-failed", "message=%s why=\"%s\"", msg_type_name(m->type), err.text);
    msg_fini(m);
}

void perform_hello(struct worker *w)
{
    if (!w->session.connected)
        return;
    struct msg m;
    msg_init(&m, MSG_HELLO);
    m.least = MSG_VERSION;
    m.most = MSG_VERSION;
    m.site_record = w->home->site.cid;
    buf_append(&m.head, w->task.statement.bytes, w->task.statement.size);
    buf_append(&m.receipt, w->task.receipt.bytes, w->task.receipt.size);
    w->session.greeted_ms = loop_time_ms(&w->loop);
    send_message(w, &m);
}

static void send_want(struct worker *w)
{
    struct msg m;
    bool unfit = w->task.phase == TASK_IDLE && w->task.order.round > w->task.done;
    msg_init(&m, MSG_WANT);
    m.round = unfit ? w->task.order.round : w->task.done;
    send_message(w, &m);
}

/* Missing and Submit name the sealed update. */
static void send_about_update(struct worker *w, enum msg_type type)
{
    struct msg m;
    msg_init(&m, type);
    m.round = w->task.order.round;
    m.record = w->task.record;
    send_message(w, &m);
}

/* Nothing but the code leaves the site. */
static void send_decline(struct worker *w)
{
    struct msg m;
    msg_init(&m, MSG_DECLINE);
    m.round = w->task.order.round;
    snprintf(m.code, sizeof m.code, "%s", refusal_name(w->task.code));
    send_message(w, &m);
}

/* --- words --- */

void perform_say(struct worker *w, const struct task_order *o, const char *format, ...)
{
    va_list arguments;
    if (w->quiet)
        return;
    progress_line_clear(&w->line);
    if (o != NULL && w->rounds > 0)
        printf("round %llu of %llu (%s): ", (unsigned long long)o->round,
               (unsigned long long)w->rounds, o->rule);
    else if (o != NULL)
        printf("round %llu (%s): ", (unsigned long long)o->round, o->rule);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static bool was_said(struct worker *w, uint64_t round, enum verdict verdict, const struct cid *plan)
{
    struct cid none = {.size = 0};
    const struct cid *asked = plan == NULL ? &none : plan;
    bool said = verdict == w->said_verdict && cid_equal(asked, &w->said_plan) &&
                (plan != NULL || round == w->said_round);
    w->said_verdict = verdict;
    w->said_round = round;
    w->said_plan = *asked;
    return said;
}

void perform_refuse(struct worker *w, uint64_t round, enum verdict verdict, const struct cid *plan,
                    const char *detail)
{
    char approved[CID_TEXT_MAX], asked[CID_TEXT_MAX], sentence[WORKER_SENTENCE_MAX];
    if (was_said(w, round, verdict, plan))
        return;
    snprintf(sentence, sizeof sentence, "%s%s%s", verdict_sentence(verdict),
             detail[0] == '\0' ? "" : ": ", detail);
    w->advice[0] = '\0';
    if (plan != NULL) {
        snprintf(sentence, sizeof sentence, "it asks for the plan %s, and this site approved %s",
                 cid_format(plan, asked), cid_format(&w->home->policy.plan, approved));
        snprintf(w->advice, sizeof w->advice,
                 "to approve that plan, change this line in %.512s/config.toml: "
                 "plan = \"%s\"",
                 w->home->dir, asked);
    }
    log_error("task-refused", "round=%llu code=%s: %s%s%s", (unsigned long long)round,
              verdict_name(verdict), sentence, w->advice[0] == '\0' ? "" : "; ", w->advice);
    event_log_put(&w->log, "task-refused", "{s:I,s:s,s:s}", "round", (json_int_t)round, "code",
                  verdict_name(verdict), "sentence", sentence);
    snprintf(w->trouble, sizeof w->trouble, "the task of round %llu is refused here: %.900s",
             (unsigned long long)round, sentence);
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void say_taken(struct worker *w)
{
    const struct task_order *o = &w->task.order;
    char base[CID_TEXT_MAX];
    FAULT_POINT("worker-task-journalled");
    w->trouble[0] = w->advice[0] = '\0';
    w->hold_ms = 0;
    perform_say(w, o, "fetching the model %s", cid_format(&o->base, base));
    event_log_put(&w->log, "task", "{s:I,s:s,s:s}", "round", (json_int_t)o->round, "rule", o->rule,
                  "base", base);
}

static void say_fetched(struct worker *w)
{
    FAULT_POINT("worker-fetched");
    event_log_put(&w->log, "fetched", "{s:I,s:I,s:f}", "round", (json_int_t)w->task.order.round,
                  "bytes", (json_int_t)w->errand.bytes, "seconds", (double)w->errand.ms / 1000);
}

static void say_sealed(struct worker *w, const struct task_effect *x)
{
    const struct errand *k = &w->errand;
    const struct rule *rule = rule_find(w->task.order.rule);
    char record[CID_TEXT_MAX], size[TEXT_SMALL], took[TEXT_SMALL], metrics[96] = "";
    FAULT_POINT("worker-sealed");
    if (isfinite(k->loss) && isfinite(k->accuracy))
        snprintf(metrics, sizeof metrics, " (the base has loss %.4f, accuracy %.4f here)", k->loss,
                 k->accuracy);
    perform_say(w, &w->task.order, "%s in %s%s, update of %s sealed",
                rule != NULL && rule->trains ? "trained" : "computed", text_format_ms(k->ms, took),
                metrics, text_format_size(k->bytes, size));
    event_log_put(&w->log, "trained", "{s:I,s:f,s:o,s:o}", "round", (json_int_t)x->round, "seconds",
                  (double)k->ms / 1000, "loss", number_or_null(k->loss), "accuracy",
                  number_or_null(k->accuracy));
    event_log_put(&w->log, "sealed", "{s:I,s:s,s:I,s:f}", "round", (json_int_t)x->round, "record",
                  cid_format(&x->record, record), "bytes", (json_int_t)k->bytes, "seconds",
                  (double)k->seal_ms / 1000);
}

/* Why, in the words of the failure, if the job that failed is still at hand: after a start the code
 * is all that is known. */
static void say_declined(struct worker *w, const struct task_effect *x)
{
    const struct errand *k = &w->errand;
    bool known = k->kind == ERRAND_TRAIN && k->order.round == x->round && k->rc != 0;
    const char *why = known ? k->err.text : refusal_sentence(x->code);
    FAULT_POINT("worker-declined");
    log_error("declined", "round=%llu code=%s why=\"%s\"", (unsigned long long)x->round,
              refusal_name(x->code), why);
    perform_say(w, &w->task.order, "declined: %s: %s", refusal_name(x->code), why);
    event_log_put(&w->log, "declined", "{s:I,s:s,s:s}", "round", (json_int_t)x->round, "code",
                  refusal_name(x->code), "sentence", why);
    snprintf(w->trouble, sizeof w->trouble, "the task of round %llu is declined: %s: %.900s",
             (unsigned long long)x->round, refusal_name(x->code), why);
    w->advice[0] = '\0';
}

/* The coordinator knows that the task was declined. The trouble stays told till the next task. */
static void say_noted(struct worker *w, const struct task_effect *x)
{
    const struct answer *a = &w->answer;
    perform_say(w, &a->order, "the coordinator goes on without this site (%s)",
                refusal_name(a->code));
    event_log_put(&w->log, "decline-answered", "{s:I,s:s}", "round", (json_int_t)x->round, "code",
                  refusal_name(a->code));
}

/* The state has moved on already: what was answered is in the effect and in `answer`. */
static void say_answered(struct worker *w, const struct task_effect *x)
{
    const struct answer *a = &w->answer;
    char record[CID_TEXT_MAX];
    cid_format(&x->record, record);
    if (cid_is_none(&x->record)) {
        say_noted(w, x);
        return;
    }
    w->trouble[0] = w->advice[0] = '\0';
    if (x->accepted) {
        FAULT_POINT("worker-accepted");
        perform_say(w, &a->order, "update accepted");
        event_log_put(&w->log, "accepted", "{s:I,s:s}", "round", (json_int_t)x->round, "record",
                      record);
        return;
    }
    struct buf safe = buf_new(WORKER_SENTENCE_MAX * 4);
    log_escape(&safe, bytes_of_text(a->sentence));
    log_warn("update-refused", "round=%llu code=%s sentence=%s", (unsigned long long)x->round,
             refusal_name(a->code), buf_text(&safe));
    perform_say(w, &a->order, "update refused (%s): %s", refusal_name(a->code), buf_text(&safe));
    event_log_put(&w->log, "refused", "{s:I,s:s,s:s,s:s}", "round", (json_int_t)x->round, "code",
                  refusal_name(a->code), "sentence", a->sentence, "record", record);
    buf_fini(&safe);
}

static void say_dropped(struct worker *w, const struct task_effect *x)
{
    static const char why[] = "its round is closed";
    perform_say(w, NULL, "round %llu: dropped, %s", (unsigned long long)x->round, why);
    event_log_put(&w->log, "dropped", "{s:I,s:s}", "round", (json_int_t)x->round, "why", why);
}

/* --- effects --- */

static void ask_for_work(struct worker *w)
{
    if (w->final.round > 0 && w->task.phase == TASK_IDLE)
        errand_start(w, ERRAND_FINAL);
    else
        send_want(w);
}

static void perform(struct worker *w, const struct task_effect *x)
{
    bool welcomed = w->session.welcomed; /* before that, Welcome brings a retry */
    switch (x->type) {
    case TASK_SEND_HELLO:
        perform_hello(w);
        return;
    case TASK_SEND_WANT:
        if (welcomed)
            ask_for_work(w);
        return;
    case TASK_SEND_MISSING:
        if (welcomed && w->task.phase == TASK_SEND)
            send_about_update(w, MSG_MISSING);
        return;
    case TASK_SEND_SUBMIT:
        FAULT_POINT("worker-before-submit");
        if (welcomed && w->task.phase == TASK_SEND)
            send_about_update(w, MSG_SUBMIT);
        return;
    case TASK_SEND_DECLINE:
        if (welcomed && w->task.phase == TASK_DECLINE)
            send_decline(w);
        return;
    case TASK_FETCH_JOB:
        errand_start(w, ERRAND_FETCH);
        return;
    case TASK_TRAIN_JOB:
        errand_start(w, ERRAND_TRAIN);
        return;
    case TASK_UPLOAD_JOB:
        errand_start(w, ERRAND_UPLOAD);
        return;
    case TASK_REPAIR_JOB:
        errand_start(w, ERRAND_REPAIR);
        return;
    case TASK_CANCEL_JOB:
        errand_cancel(w);
        return;
    case TASK_SAY_TAKEN:
        say_taken(w);
        return;
    case TASK_SAY_FETCHED:
        say_fetched(w);
        return;
    case TASK_SAY_SEALED:
        say_sealed(w, x);
        return;
    case TASK_SAY_DECLINED:
        say_declined(w, x);
        return;
    case TASK_SAY_ANSWERED:
        say_answered(w, x);
        return;
    case TASK_SAY_DROPPED:
        say_dropped(w, x);
        return;
    case TASK_SAY_REFUSED:
        perform_refuse(w, x->round, x->verdict, NULL,
                       w->errand.verdict == x->verdict ? w->errand.err.text : "");
        return;
    }
}

int perform_effects(void *self, struct err *err)
{
    struct worker *w = self;
    (void)err;
    bool changed = w->effects.count > 0;
    for (size_t i = 0; i < w->effects.count; i++)
        perform(w, &w->effects.items[i]);
    w->effects.count = 0;
    if (changed)
        report_write(w, true);
    return 0;
}
